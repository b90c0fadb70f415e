"""The sparse Cholesky factor against dense algebra: every quantity, every shape of tree."""

import numpy as np
import pytest
import scipy.sparse as sp

from mixedvc.linalg import elimination
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.linalg.elimination import THIN, fill_reducing_order, plan
from mixedvc.linalg.sparse_cholesky import analyse, sparse_cholesky

from ..tolerances import IDENTITY


def _random(n, density, seed):
    B = sp.random_array((n, n), density=density, rng=np.random.default_rng(seed))
    return sp.csc_array(B @ B.T + sp.diags_array(np.linspace(0.5, 2.0, n)))


def _grid(m):
    """Laplacian of an m×m grid plus a ridge: large separators, deep trees."""
    D = sp.diags_array([np.full(m, 2.0), -np.ones(m - 1), -np.ones(m - 1)], offsets=[0, 1, -1])
    return sp.csc_array(sp.kron(D, sp.eye_array(m)) + sp.kron(sp.eye_array(m), D) + 0.1 * sp.eye_array(m * m))


def _arrow(n):
    """One row that meets all others."""
    A = sp.lil_array(sp.eye_array(n) * 3.0)
    A[0, 1:] = A[1:, 0] = 0.1
    return sp.csc_array(A)


def _chain(n):
    return sp.csc_array(sp.diags_array([np.full(n, 4.0), -np.ones(n - 1), -np.ones(n - 1)], offsets=[0, 1, -1]))


def _separate():
    """Independent parts: two dense blocks beyond the thin columns, a chain, single columns."""
    rng = np.random.default_rng(3)
    dense = [(B @ B.T + np.eye(25)) for B in rng.standard_normal((2, 25, 25))]
    return sp.csc_array(sp.block_diag([dense[0], _chain(40), dense[1], sp.eye_array(5), _grid(9)]))


CASES = {
    "one number": sp.csc_array(np.array([[2.5]])),
    "diagonal": sp.csc_array(np.diag([1.0, 4.0, 0.5])),
    "thin only": _random(40, 0.03, 1),
    "thin and fronts": _random(150, 0.015, 2),
    "one dense front": _random(60, 0.5, 3),
    "grid": _grid(20),
    "arrow": _arrow(50),
    "chain longer than the levels": _chain(300),
    "separate parts": _separate(),
}


@pytest.mark.parametrize("thin", [2, 8, elimination.THIN])
@pytest.mark.parametrize("name", CASES)
def test_every_quantity_of_a_factor_equals_dense_algebra(name, thin, monkeypatch):
    monkeypatch.setattr(elimination, "THIN", thin)
    matrix = CASES[name]
    factor, dense = sparse_cholesky(matrix), matrix.toarray()
    inverse = np.linalg.inv(dense)
    n, analysis = len(dense), factor.analysis
    np.testing.assert_allclose(factor.logdet, np.linalg.slogdet(dense)[1], **IDENTITY)
    size = {"rtol": 0.0, "atol": 1e-12 * np.abs(inverse).max()}
    np.testing.assert_allclose(factor.solve(np.eye(n)), inverse, **size)
    np.testing.assert_allclose(factor.solve(np.arange(n) + 1.0), inverse @ (np.arange(n) + 1.0), rtol=0, atol=1e-10)
    np.testing.assert_allclose(factor.inverse_entries(), inverse[analysis.rows, analysis.cols], **size)
    half = factor.half_solve(np.eye(n))
    np.testing.assert_allclose(half.T @ half, inverse, **size)
    root = factor.half_solve_transposed(np.eye(n))
    np.testing.assert_allclose(root @ root.T, inverse, **size)


def test_the_cases_cover_thin_columns_fronts_and_trees_of_fronts(monkeypatch):
    assert analyse(CASES["thin only"]).plan.fronts == ()
    monkeypatch.setattr(elimination, "THIN", 8)
    plans = {name: analyse(A).plan for name, A in CASES.items()}
    assert plans["one dense front"].thin == 0
    assert any(front.parent >= 0 for front in plans["grid"].fronts)
    assert sum(front.parent < 0 for front in plans["separate parts"].fronts) > 1
    assert 0 < plans["chain longer than the levels"].thin < 300


def test_one_analysis_serves_many_values():
    A = CASES["grid"]
    analysis = analyse(A)
    for scale in (1.0, 3.0):
        values = analysis.values(A) * scale
        values[analysis.rows == analysis.cols] += scale
        dense = scale * (A.toarray() + np.eye(A.shape[0]))
        np.testing.assert_allclose(analysis.factor(values).logdet, np.linalg.slogdet(dense)[1], **IDENTITY)


def test_the_lower_triangle_alone_is_enough():
    A = CASES["thin and fronts"]
    np.testing.assert_allclose(sparse_cholesky(sp.tril(A)).logdet, sparse_cholesky(A).logdet, **IDENTITY)


@pytest.mark.parametrize("name", ["thin only", "grid", "one dense front"])
def test_a_matrix_that_is_not_positive_definite_is_refused(name):
    A = CASES[name]
    low = np.linalg.eigvalsh(A.toarray())[0]
    with pytest.raises(NotPositiveDefinite, match="not positive"):
        sparse_cholesky(A - (low + 0.01) * sp.eye_array(A.shape[0]))


def test_values_outside_the_pattern_are_refused():
    with pytest.raises(ValueError, match="outside the pattern"):
        analyse(sp.eye_array(3)).values(sp.csc_array(np.ones((3, 3))))


def test_the_order_is_a_permutation_that_keeps_fill_low():
    A = CASES["grid"]
    order = fill_reducing_order(A)
    assert sorted(order.tolist()) == list(range(A.shape[0]))
    natural = plan(A, np.arange(A.shape[0]))
    assert plan(A, order).flops < 0.7 * natural.flops


def test_the_price_counts_the_entries_of_the_factor():
    A = CASES["thin and fronts"]
    order = plan(A).order
    L = np.linalg.cholesky(A.toarray()[np.ix_(order, order)])
    at_least = int((np.abs(L) > 1e-14).sum())
    assert at_least <= plan(A).nnz <= 1.5 * at_least
    dense = plan(CASES["one dense front"])
    assert dense.nnz == 60 * 61 // 2 and dense.flops == pytest.approx(60**3 / 3)


def test_a_given_order_is_kept_up_to_equivalent_ones():
    A = CASES["arrow"]
    hub_first = plan(A, np.arange(50))
    hub_last = plan(A, np.arange(50)[::-1])
    assert hub_last.nnz == 99 and hub_first.nnz == 50 * 51 // 2
    np.testing.assert_allclose(sparse_cholesky(A, np.arange(50)).logdet, sparse_cholesky(A).logdet, **IDENTITY)


def test_thin_columns_have_few_entries():
    for below in analyse(CASES["grid"]).plan.below:
        assert below.shape[1] <= THIN
