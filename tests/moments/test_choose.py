"""Which kind of second moments is chosen, and that its reason is told."""

import numpy as np
import pytest

from mixedvc.errors import MixedVCError, OptionError
from mixedvc.moments import choose_moments, rank_moments
from mixedvc.testing import assemble, kernels, problems


def grouped(n, factors, seed=0):
    rng = np.random.default_rng(seed)
    codes = {name: rng.integers(0, given, n) if np.isscalar(given) else given for name, given in factors.items()}
    terms = [assemble.term(name, code) for name, code in codes.items()]
    return assemble.spec(rng.standard_normal(n), np.ones((n, 1)), terms)


@pytest.mark.parametrize(
    ("spec", "name", "reason"),
    [
        (grouped(3000, {"a": 200, "b": 90}), "factors", "290 levels of 2 terms"),
        (problems.bound("two_kernels"), "panels", "each kernel is read once, a few of its 26 rows at a time"),
    ],
)
def test_the_cheapest_exact_kind_is_chosen_and_says_why(spec, name, reason):
    moments = choose_moments(spec)
    assert (moments.name, moments.reason, moments.fallback) == (name, reason, "")
    assert rank_moments(spec)[0].name == name


def test_families_of_a_stored_kernel_never_meet_the_zeros_between_them():
    families, ids = 300, [f"i{i}" for i in range(900)]
    A = np.kron(np.eye(families), np.full((3, 3), 0.5) + 0.5 * np.eye(3))
    spec = assemble.spec(
        np.arange(900.0), np.ones((900, 1)), [assemble.term("i", ids, covariance=kernels.known_dense(A, ids))]
    )
    ranked = [choice.name for choice in rank_moments(spec)]
    assert ranked[-1] == "panels"
    assert set(ranked[:2]) == {"blocks", "factors"}


def test_an_exact_covariance_of_q_counts_where_it_is_asked_for():
    """9,000 groups of 12: more levels than one matrix among them may have, but small blocks."""
    spec = grouped(108_000, {"a": np.repeat(np.arange(9_000), 12)})
    assert rank_moments(spec)[0].name == "blocks"
    assert rank_moments(spec, covariance=False)[0].name == "factors"
    assert choose_moments(spec, covariance=False).name == "factors"


def test_a_named_kind_is_taken_and_an_unknown_one_refused():
    spec = problems.bound("one_way")
    assert choose_moments(spec, name="panels").name == "panels"
    with pytest.raises(OptionError, match="no kind of second moments is called 'panel'; did you mean 'panels'"):
        choose_moments(spec, name="panel")
    with pytest.raises(MixedVCError, match="the 'blocks' kind of second moments does not apply"):
        choose_moments(problems.bound("two_kernels"), name="blocks")


def test_only_exact_or_randomised_traces_exist():
    with pytest.raises(OptionError, match='trace must be "exact" or "hutchinson", not \'random\''):
        choose_moments(problems.bound("one_way"), trace="random")
    assert choose_moments(problems.bound("one_way"), trace="hutchinson").name == "hutchinson"
