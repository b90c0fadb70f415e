"""Improper priors are refused exactly where the posterior is improper."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from mixedvc import priors as P
from mixedvc.errors import IdentifiabilityError, IdentifiabilityWarning
from mixedvc.priors.resolve import resolve

from .data import dense_parts, kernel, records, spec_of


def _accepted(formula: str, given: Any, groups: int = 6, **options: Any) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentifiabilityWarning)
        spec = spec_of(formula, records(groups), **options)
        try:
            resolve(spec, given)
        except IdentifiabilityError:
            return False
    return True


@pytest.mark.parametrize(
    ("formula", "prior", "least"),
    [
        ("y ~ 1 + (1 | g)", P.Flat("variance"), 4),
        ("y ~ 1 + (1 | g)", P.Flat("sd"), 3),
        ("y ~ 1 + (1 | g)", P.InverseGamma(-0.75, 0.0), 3),  # v^{−¼}: more than 2 · ¾
        ("y ~ 1 + (1 | g)", P.InverseWishart(1e-16, -2.0), 4),  # the flat prior as MCMCglmm's users write it
        ("y ~ x + (x || g)", P.Flat("variance"), 4),
        ("y ~ x + (x | g)", P.Flat("variance"), 6),  # more than 4 levels in each direction
        ("y ~ x + (x | g)", P.Flat("sd"), 3),
        ("y ~ x + (x | g)", P.InverseWishart(1.0, -2.0), 5),  # more than 1 + 2 levels
        ("y ~ x + (x | g)", P.InverseWishart(1.0, -1.0), 9),  # never: infinite mass where Σ is singular
        ("y ~ x + (x | g)", P.LKJ(2.0, P.Flat("variance")), 4),
    ],
)
def test_the_number_of_levels_a_flat_prior_needs(formula: str, prior: Any, least: int):
    assert [groups for groups in range(2, 9) if _accepted(formula, {"g": prior}, groups)] == list(range(least, 9))


def test_fixed_effects_absorb_levels_unless_they_have_a_prior():
    assert _accepted("y ~ 0 + f + (1 | g)", {"g": P.Flat()}, 6)
    assert not _accepted("y ~ 0 + f + (1 | g)", {"g": P.Flat()}, 4)  # groups are within f: two absorbed
    assert _accepted("y ~ 0 + f + (1 | g)", {"g": P.Flat(), "fixed": P.Normal(0, sd=10)}, 4)


@pytest.mark.parametrize(
    "prior",
    [
        P.InverseWishart(1.0, 0.5, improper=True),
        P.InverseWishart(1.0, 0.0),
        P.InverseWishart(1.0, -2.0),
        P.Flat("variance"),
    ],
)
def test_tails_of_a_matrix_are_those_of_one_eigenvalue(prior: Any):
    # of eigenvalues λ far above the rest Σ has measure λ^{k−1} dλ, far below dλ
    from mixedvc.structures import make

    for k in (2, 3):
        s = make("us", k)
        tail = prior.bind(s, "g").tails()[0]
        Q = np.linalg.qr(np.random.default_rng(k).standard_normal((k, k)))[0]

        def log_density(x: float, s: Any = s, Q: np.ndarray = Q, k: int = k) -> float:
            d = np.append(np.exp(x), np.arange(1.0, k))
            return float(prior.bind(s, "g").logpdf(s.start((Q * d) @ Q.T)[None])[0])

        assert (log_density(23.0) - log_density(18.0)) / 5.0 + k == pytest.approx(tail.up, abs=1e-4)
        near = (log_density(-18.0) - log_density(-23.0)) / 5.0 + 1.0
        assert near > 100.0 if tail.down == np.inf else near == pytest.approx(tail.down, abs=1e-4)


@pytest.mark.parametrize("prior", [P.Flat("log"), P.InverseGamma(0, 0), P.InverseWishart(1, 0), P.InverseGamma(0.5, 0)])
def test_infinite_mass_at_zero_is_never_accepted_for_a_random_term(prior: Any):
    assert not _accepted("y ~ x + (1 | g)", {"g": prior}, 8)
    assert _accepted("y ~ x + (1 | g)", {"residual": prior}, 8)


def test_infinite_mass_at_zero_is_accepted_for_the_residual_unless_random_terms_span_the_rows():
    data = records()
    K = kernel(data)
    half = K.copy()
    half.iloc[:, :] = np.kron(np.eye(len(K) // 2), np.ones((2, 2)))  # twins: half the rank
    default = {"residual": P.InverseWishart(1, 0)}
    assert not _accepted("y ~ x + (1 | id:K)", default, cov={"K": K})
    assert _accepted("y ~ x + (1 | id:K)", default, cov={"K": half})
    assert not _accepted("y ~ x + (1 | id:K) + (1 | g)", default, cov={"K": K})
    assert _accepted("y ~ x + (1 | id:K)", {"residual": P.InverseWishart(1, 0.002)}, cov={"K": K})
    with pytest.raises(IdentifiabilityError, match="'id' can explain every row without a residual"):
        resolve(spec_of("y ~ x + (1 | id:K)", data, cov={"K": K}), default)


def test_messages_name_the_term_the_reason_and_the_remedy():
    spec = spec_of("y ~ x + (x | g)", records(4))
    with pytest.raises(IdentifiabilityError, match=r"priors\['g'\] \(flat\) needs more than 4 independent levels"):
        resolve(spec, {"g": P.Flat()})
    with pytest.raises(IdentifiabilityError, match=r"infinite mass at a variance of zero.*nu > 1"):
        resolve(spec, {"g": P.InverseWishart(np.eye(2), 0)})


def test_improper_true_turns_the_refusal_into_a_warning():
    spec = spec_of("y ~ x + (1 | g)")
    with pytest.warns(IdentifiabilityWarning, match="the chain describes what it visits only"):
        resolve(spec, {"g": P.InverseWishart(1, 0, improper=True)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        resolve(spec_of("y ~ x + (x | g)"), {"g": P.InverseWishart(np.eye(2), 0.002, improper=True)})


def test_mcmcglmms_default_for_the_residual_of_two_responses_is_accepted():
    data = records()
    data["z"] = np.random.default_rng(3).standard_normal(len(data))
    spec = spec_of("cbind(y, z) ~ 1 + (1 | g)", data, residual="us")
    resolve(spec, {"residual": P.InverseWishart(np.eye(2), 0)})


def _log_marginal(spec: Any, theta: np.ndarray) -> float:
    V = sum(t * part for t, part in zip(theta, dense_parts(spec), strict=True))
    Vi = np.linalg.inv(V)
    C = spec.X.T @ Vi @ spec.X
    Py = Vi @ spec.y - Vi @ spec.X @ np.linalg.solve(C, spec.X.T @ Vi @ spec.y)
    return float(-0.5 * (np.linalg.slogdet(V)[1] + np.linalg.slogdet(C)[1] + spec.y @ Py))


@pytest.mark.parametrize(
    ("formula", "grow", "rank"),
    [
        ("y ~ 1 + (1 | g)", [0], 5),
        ("y ~ x + (1 | g) + (1 | h)", [1], 4),
        ("y ~ x + (1 | g) + (1 | h)", [0, 1], 9),
        ("y ~ 0 + f + (1 | g)", [0], 4),
        ("y ~ x + (x || g)", [1], 5),
        ("y ~ x + (x || g)", [0, 1], 10),
        ("y ~ x + (1 | g)", [1], 40),  # the residual: n − p, less the directions g holds at its own variance
    ],
)
def test_the_likelihood_falls_with_half_the_rank_that_a_growing_variance_adds(formula: str, grow: list[int], rank: int):
    # the slope of log L in log v, on which all of the propriety conditions rest
    spec = spec_of(formula)
    base = np.ones(len(spec.index))
    at = []
    for v in (1e7, 1e9):
        theta = base.copy()
        theta[grow] = v
        at.append(_log_marginal(spec, theta))
    slope = (at[1] - at[0]) / np.log(100.0)
    if formula == "y ~ x + (1 | g)":
        rank = spec.n - spec.p
    assert slope == pytest.approx(-0.5 * rank, abs=1e-3)
    from mixedvc.priors.base import Tail
    from mixedvc.priors.propriety import _Part, _Space

    where = [spec.index[j] for j in grow]
    group = [_Part(w.term, Tail((w.a,), 1.0, 1.0)) for w in where]
    assert _Space(spec, None).gain(group, 60) == rank


def test_the_likelihood_without_a_residual_is_finite_only_where_random_terms_span_the_rows():
    data = records()
    for formula, options, spans in (
        ("y ~ x + (1 | id:K)", {"cov": {"K": kernel(data)}}, True),
        ("y ~ x + (1 | g)", {}, False),
    ):
        spec = spec_of(formula, data, **options)
        near = [_log_marginal(spec, np.array([1.0, v])) for v in (1e-4, 1e-8)]
        assert (abs(near[1] - near[0]) < 1.0) == spans
        from mixedvc.priors.propriety import _Space

        assert _Space(spec, None).spanned == spans
