"""Every likelihood equals brute force on designs drawn at random: terms, kernels, structures, weights, θ."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixedvc.likelihood import likelihoods
from mixedvc.testing import assemble, kernels, thetas
from mixedvc.testing.brute import Brute
from mixedvc.testing.likelihood_checks import compare_evaluations, compare_moments

PROFILE = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def term(most_levels, most_effects):
    return st.fixed_dictionaries(
        {
            "q": st.integers(2, most_levels),
            "k": st.integers(1, most_effects),
            "kernel": st.sampled_from(kernels.KINDS),
            "structure": st.sampled_from(["us", "diag", "cs", "ar1"]),
            "relatives": st.integers(0, 3),
        }
    )


terms = st.one_of(
    st.lists(term(9, 3), min_size=0, max_size=3),  # crossed, anything
    st.lists(term(12, 1), min_size=1, max_size=1),  # one kernel
    st.lists(term(3, 2), min_size=1, max_size=2),  # few levels
)
design = st.fixed_dictionaries(
    {
        "n": st.integers(6, 28),
        "p": st.integers(0, 3),
        "terms": terms,
        "weights": st.booleans(),
        "offset": st.booleans(),
        "traits": st.sampled_from([1, 1, 1, 2, 3]),
        "missing": st.sampled_from([0.0, 0.0, 0.3]),
        "seed": st.integers(0, 2**20),
    }
)


def random_spec(draw):
    rng = np.random.default_rng(draw["seed"])
    n = draw["n"]
    made = []
    for i, given_term in enumerate(draw["terms"]):
        labels = [f"t{i}_{j}" for j in range(given_term["q"] + given_term["relatives"])]
        cov = kernels.covariance(given_term["kernel"], labels, rng)
        k = given_term["k"]
        structure = given_term["structure"] if k > 1 else "us"
        basis = rng.standard_normal((n, k))
        basis[:, 0] = 1.0
        group = np.array(labels, dtype=object)[rng.integers(0, given_term["q"], n)]
        made.append(assemble.term(f"t{i}", group, basis=basis, covariance=cov, structure=structure))
    X = rng.standard_normal((n, draw["p"]))
    weights = rng.uniform(0.3, 3.0, n) if draw["weights"] else None
    if draw["traits"] > 1:
        Y = rng.standard_normal((n, draw["traits"]))
        Y[rng.random(Y.shape) < draw["missing"]] = np.nan
        Y[:4] = rng.standard_normal((4, draw["traits"]))
        scalar = [one for one in made if one.k == 1]
        return assemble.traits_spec(Y, X, scalar, weights=weights)
    return assemble.spec(
        rng.standard_normal(n),
        X,
        made,
        weights=weights,
        offset=rng.standard_normal(n) if draw["offset"] else None,
    )


@pytest.mark.parametrize("name", likelihoods.names())
def test_a_likelihood_equals_brute_force_on_random_designs(name):
    kind = likelihoods.get(name)
    applied = []

    @PROFILE
    @given(design, st.booleans())
    def check(draw, reml):
        spec = random_spec(draw)
        if kind.cost(spec) is None:
            return
        applied.append(1)
        likelihood, brute = kind(spec, reml=reml), Brute(spec, reml)
        compare_moments(likelihood, brute, "random design")
        for where, theta in thetas.points(spec, draw["seed"]).items():
            compare_evaluations(likelihood.at(theta), brute.at(theta), where)

    check()
    assert applied, f"{name} applied to none of the random designs"
