"""Which likelihood is chosen, what it refuses, what it keeps."""

import numpy as np
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.errors import MemoryLimitError, MixedVCError, OptionError
from mixedvc.likelihood import blocks, choose, likelihoods, rank_choices
from mixedvc.likelihood import dense as dense_module
from mixedvc.linalg import memory
from mixedvc.testing import assemble

from ..tolerances import IDENTITY


def kernel_spec(n=60, seed=1):
    rng = np.random.default_rng(seed)
    ids = [f"i{k}" for k in range(n)]
    W = rng.standard_normal((n, 2 * n))
    term = assemble.term("id", ids, covariance=mv.Dense(W @ W.T / (2 * n), ids))
    return assemble.spec(rng.standard_normal(n), np.ones((n, 1)), [term])


def test_one_dense_kernel_is_factorised_for_a_fit_and_rotated_for_many():
    spec = kernel_spec(400)
    assert choose(spec)[0].name == "dense"
    assert choose(spec, purpose="many")[0].name == "spectral"


def test_few_features_are_compressed():
    rng = np.random.default_rng(3)
    ids = [f"i{k}" for k in range(500)]
    terms = [assemble.term(f"t{m}", ids, covariance=mv.Features(rng.standard_normal((500, m)), ids)) for m in (8, 5)]
    y, X = rng.standard_normal(500), np.ones((500, 1))
    likelihood, reason = choose(assemble.spec(y, X, terms))
    assert likelihood.name == "reduced"
    assert "15 of 500" in reason
    alone = choose(assemble.spec(y, X, terms[:1]))[0]
    assert alone.name == "spectral"
    assert len(alone._frame.y) == 10  # rotated inside the span of the features, never 500 × 500


def test_many_small_groups_are_eliminated_one_by_one():
    rng = np.random.default_rng(4)
    groups = np.repeat([f"g{k}" for k in range(2000)], 3)
    likelihood, reason = choose(
        assemble.spec(rng.standard_normal(6000), np.ones((6000, 1)), [assemble.term("g", groups)])
    )
    assert likelihood.name == "grouped"
    assert "the 2,000 levels of g are eliminated one by one" in reason


def test_families_of_a_known_covariance_are_rotated_and_of_two_fitted_block_by_block():
    rng = np.random.default_rng(4)
    ids = [f"i{k}" for k in range(1500)]
    siblings = sp.kron(sp.eye_array(500), 0.5 + 0.5 * np.eye(3))
    term = assemble.term("id", ids, covariance=mv.Sparse(siblings.tocsc(), ids))
    y, X = rng.standard_normal(1500), np.ones((1500, 1))
    likelihood, reason = choose(assemble.spec(y, X, [term]))
    assert likelihood.name == "woodbury"
    assert "id is rotated once in 500 independent blocks" in reason
    household = sp.kron(sp.eye_array(500), np.array([[1.0, 0.3, 0.0], [0.3, 1.0, 0.3], [0.0, 0.3, 1.0]]))
    another = assemble.term("home", ids, covariance=mv.Sparse(household.tocsc(), ids))
    likelihood, reason = choose(assemble.spec(y, X, [term, another]))
    assert likelihood.name == "blocks"
    assert "500 independent blocks of at most 3 rows" in reason


def test_a_likelihood_that_does_not_apply_is_refused_by_name():
    with pytest.raises(MixedVCError, match="'blocks' likelihood does not apply"):
        choose(kernel_spec(), name="blocks")
    with pytest.raises(OptionError, match="no likelihood is called 'spectre'; did you mean 'spectral'"):
        choose(kernel_spec(), name="spectre")


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    spec = kernel_spec(200)
    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    assert dense_module.require is blocks.require is memory.require
    with pytest.raises(MemoryLimitError, match=r"the dense likelihood of 200 rows needs .* mv\.Features"):
        likelihoods.get("dense")(spec)


def test_the_same_theta_is_not_factorised_twice():
    likelihood = choose(kernel_spec(), name="dense")[0]
    first = likelihood.at(np.array([0.5, 0.5]))
    assert likelihood.at(np.array([0.5, 0.5])) is first
    assert likelihood.at(np.array([0.5, 0.6])) is not first


def test_every_choice_gives_the_same_number():
    spec = kernel_spec()
    values = {c.name: likelihoods.get(c.name)(spec).at(np.array([0.4, 0.7])).loglik for c in rank_choices(spec)}
    assert len(values) >= 2
    np.testing.assert_allclose(list(values.values()), values["dense"], **IDENTITY)


def test_a_response_of_the_wrong_length_or_with_holes_is_refused():
    likelihood = choose(kernel_spec(), name="dense")[0]
    with pytest.raises(MixedVCError, match=r"shape \(3,\), the specification has 60 rows"):
        likelihood.with_response(np.ones(3))
    with pytest.raises(MixedVCError, match="not finite in row 2"):
        likelihood.with_response(np.where(np.arange(60) == 2, np.nan, 1.0))


def test_factors_of_an_evaluation_still_held_are_never_overwritten():
    likelihood = choose(kernel_spec(), name="dense")[0]
    held = likelihood.at(np.array([0.5, 0.5]))
    before = held.state.L.copy(), held.state.inverse.copy(), held.score.copy()
    for k in range(4):
        likelihood.at(np.array([0.1 + k, 0.5])).score.sum()
    np.testing.assert_array_equal(held.state.L, before[0])
    np.testing.assert_array_equal(held.state.inverse, before[1])
    np.testing.assert_allclose(likelihood.at(np.array([0.5, 0.5])).score, before[2], **IDENTITY)


def test_arrays_that_nobody_holds_are_used_again():
    likelihood = choose(kernel_spec(), name="dense")[0]
    first = likelihood.at(np.array([0.5, 0.5])).state
    first.traces()
    addresses = {array.ctypes.data for array in first._loan.arrays}
    del first
    likelihood.at(np.array([0.6, 0.5])).state.traces()
    assert {array.ctypes.data for array in likelihood._last.state._loan.arrays} == addresses
