"""Stacks of small matrices, components, and tall designs: the same numbers as one matrix at a time."""

import numpy as np
import pytest

from mixedvc.design.families import row_families
from mixedvc.design.frames import Column, labels_of
from mixedvc.linalg.columns import column_rank, orthonormalised
from mixedvc.linalg.component_stack import factor_stack, symmetric
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.linalg.products import product
from mixedvc.linalg.small_stacks import multiply, spd_inverse

from ..tolerances import IDENTITY


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_stacked_inverses_and_products_are_those_of_each_matrix(k):
    rng = np.random.default_rng(k)
    root = rng.standard_normal((7, k, k + 1))
    A = root @ root.swapaxes(1, 2)
    W = np.moveaxis(A, 0, 2)
    inverse, logdet = spd_inverse(W)
    np.testing.assert_allclose(np.moveaxis(inverse, 2, 0) @ A, np.broadcast_to(np.eye(k), A.shape), rtol=0, atol=1e-9)
    np.testing.assert_allclose(logdet, np.linalg.slogdet(A)[1].sum(), rtol=1e-10, atol=1e-10)
    B = rng.standard_normal((k, 2))
    np.testing.assert_allclose(np.moveaxis(multiply(W, B), 2, 0), A @ B, **IDENTITY)
    np.testing.assert_allclose(np.moveaxis(multiply(B.T, W), 2, 0), B.T @ A, **IDENTITY)


def test_a_matrix_that_is_not_positive_definite_is_refused():
    W = np.stack([np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])], axis=2)
    with pytest.raises(NotPositiveDefinite, match="order 2"):
        spd_inverse(W)
    for size in (1, 2):
        with pytest.raises(NotPositiveDefinite):
            factor_stack(-np.ones((6, size, size)))


@pytest.mark.parametrize(("b", "s"), [(9, 1), (6, 5), (1, 7), (2, 60)])
def test_components_are_solved_and_inverted(b, s):
    rng = np.random.default_rng(b)
    root = rng.standard_normal((b, s, s + 3))
    A = root @ root.swapaxes(1, 2)
    stored = np.triu(A)  # column by column, the lower triangle of each component
    np.testing.assert_allclose(symmetric(stored), A, **IDENTITY)
    factor = factor_stack(stored.copy())
    np.testing.assert_allclose(factor.logdet, np.linalg.slogdet(A)[1].sum(), rtol=1e-10, atol=1e-10)
    B = rng.standard_normal((b, s, 3))
    np.testing.assert_allclose(A @ factor.solve(B), B, rtol=0, atol=1e-7)
    np.testing.assert_allclose(symmetric(factor.inverse()) @ A, np.broadcast_to(np.eye(s), A.shape), rtol=0, atol=1e-7)


def test_a_product_is_the_same_in_any_memory_order():
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((6, 4)), rng.standard_normal((4, 3))
    wide = rng.standard_normal((6, 8))
    wide[:, ::2] = A
    for left in (A, np.asfortranarray(A), wide[:, ::2]):
        for right in (B, np.asfortranarray(B)):
            np.testing.assert_allclose(product(left, right), A @ B, **IDENTITY)


@pytest.mark.parametrize("near", [1.0, 0.03, 1e-3, 1e-9])
def test_tall_designs_are_orthonormalised_to_rounding(near):
    rng = np.random.default_rng(1)
    X = np.column_stack([np.ones(5000), 1e6 + rng.standard_normal(5000), rng.standard_normal((5000, 3))])
    X[:, 4] = X[:, 3] + near * X[:, 4]
    for given in (X, X[:, [0, 2, 3, 4]], X[:40]):
        Q, R = orthonormalised(given)
        np.testing.assert_allclose(Q.T @ Q, np.eye(given.shape[1]), rtol=0, atol=5e-14)
        np.testing.assert_allclose(Q @ R, given, rtol=1e-12, atol=1e-12 * np.abs(given).max())


def test_dependent_columns_of_a_tall_design_are_found_as_in_a_short_one():
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(6000), rng.standard_normal((6000, 4))])
    X[:, 3] = X[:, 1] - 2 * X[:, 2] + 3
    found = column_rank(X)
    assert found.kept.tolist() == [0, 1, 2, 4]
    assert found.dropped[0][0] == 3
    fine = column_rank(X[:, [0, 1, 2, 4]])
    np.testing.assert_allclose(fine.condition, column_rank(X[:3000, [0, 1, 2, 4]]).condition, rtol=0.1, atol=0)
    assert not fine.dropped


@pytest.mark.parametrize(
    "values",
    [
        [3, 1, 2, 1, np.nan, 3],
        [-5, 10**12, -5, 7],
        [2.5, 1, 2.5],
        [2.0**60, 1.0, 2.0**60],
        [1.0, np.inf, 1.0],
        [np.nan, np.nan],
    ],
)
def test_numbers_used_as_groups_get_sorted_levels_whole_ones_as_integers(values):
    given = np.array(values, dtype=float)
    codes, levels = labels_of(Column("g", "number", given))
    want = sorted({v for v in values if v == v})
    assert levels.tolist() == want
    assert [type(v) for v in levels.tolist()] == [int if float(v).is_integer() else float for v in want]
    assert [None if c < 0 else levels[c] for c in codes] == [None if np.isnan(v) else v for v in given]


def test_families_are_numbered_from_zero_without_gaps():
    from mixedvc.covariance import Identity

    levels = Identity(["a", "b", "unused", "c"])
    label = row_families(5, [(levels, np.array([0, 1, 3]), [np.array([0, 2, 1, 0, 2])])])
    assert sorted(set(label.tolist())) == [0, 1, 2]
    assert label[0] == label[3]
    assert label[1] == label[4]
    assert len({label[0], label[1], label[2]}) == 3
