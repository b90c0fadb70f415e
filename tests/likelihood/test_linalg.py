"""Dense factorisations in both precisions, below and above the size where the upper triangle is cleared by blocks."""

import numpy as np
import pytest

from mixedvc.linalg import dense as la
from mixedvc.linalg import products

from ..tolerances import OBJECTIVE


def positive(n, seed=0):
    A = np.random.default_rng(seed).standard_normal((n, n))
    return A @ A.T / n + np.eye(n)


@pytest.mark.parametrize("n", [1, 3, 512, 513, 700])
@pytest.mark.parametrize("overwrite", [False, True])
def test_factors_and_inverses_agree_with_numpy(n, overwrite):
    A = positive(n)
    given = np.array(A, order="F")
    L = la.cholesky(given, overwrite=overwrite)
    np.testing.assert_allclose(L, np.linalg.cholesky(A), **OBJECTIVE)
    assert np.count_nonzero(np.triu(L, 1)) == 0
    assert np.array_equal(given, A) is not overwrite or n == 1
    inverse = np.linalg.inv(A)
    np.testing.assert_allclose(la.symmetrize_lower(la.cholesky_inverse(L)), inverse, **OBJECTIVE)
    both = la.inverse_from_triangular(la.triangular_inverse(L))
    np.testing.assert_allclose(la.symmetrize_lower(both), inverse, **OBJECTIVE)
    np.testing.assert_allclose(la.cho_solve(L, np.eye(n)), inverse, **OBJECTIVE)


def test_single_precision_stays_single():
    A = positive(600).astype(np.float32)
    L = la.cholesky(A)
    assert L.dtype == la.triangular_inverse(L).dtype == la.cho_solve(L, A[:, :2]).dtype == np.float32
    np.testing.assert_allclose(L, np.linalg.cholesky(A.astype(float)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n", [3, 600])
def test_an_indefinite_matrix_names_the_minor(n):
    A = positive(n)
    A[2, 2] = -1.0
    with pytest.raises(la.NotPositiveDefinite, match="leading minor of order 3 is not positive"):
        la.cholesky(A)


@pytest.mark.parametrize("n", [1, 5, 256, 300, 600])
def test_a_gram_matrix_of_chunks_is_that_of_the_whole(n):
    rng = np.random.default_rng(n)
    G = rng.standard_normal((n, 40))
    total = np.zeros((n, n), order="F")
    for part in (slice(0, 17), slice(17, 18), slice(18, 40)):
        total = products.add_gram(total, np.ascontiguousarray(G[:, part]))
    products.mirror_lower(total)
    np.testing.assert_allclose(total, G @ G.T, rtol=1e-12, atol=1e-12)
