"""A precision's diagonal, determinant and draws from one sparse factor; what has no covariance is refused."""

import numpy as np
import pytest
import scipy.sparse as sp

from mixedvc.covariance import Precision
from mixedvc.errors import CovarianceError

from ..tolerances import OBJECTIVE


def _field(m, ridge):
    """An intrinsic Markov field on an m×m grid, made proper by a ridge."""
    D = sp.csr_array(sp.diags_array([np.ones(m - 1), -np.ones(m - 1)], offsets=[0, 1], shape=(m - 1, m)))
    L = D.T @ D
    return sp.csc_array(sp.kron(L, sp.eye_array(m)) + sp.kron(sp.eye_array(m), L) + ridge * sp.eye_array(m * m))


def test_the_numbers_of_a_precision_are_those_of_its_dense_inverse():
    Q = _field(9, 0.4)
    A, cov = np.linalg.inv(Q.toarray()), Precision(Q, [f"s{i}" for i in range(81)])
    rows = np.array([80, 3, 3, 17])
    np.testing.assert_allclose(cov.diagonal(), np.diag(A), **OBJECTIVE)
    np.testing.assert_allclose(cov.diagonal(rows), np.diag(A)[rows], **OBJECTIVE)
    np.testing.assert_allclose(cov.block(rows), A[np.ix_(rows, rows)], **OBJECTIVE)
    np.testing.assert_allclose(cov.logdet(), np.linalg.slogdet(A)[1], **OBJECTIVE)
    draws = cov.draw(np.random.default_rng(1), 20_000)
    z = (np.mean(draws**2, axis=1) / np.diag(A) - 1.0) / np.sqrt(2.0 / 20_000)
    assert np.abs(z).max() < 4.5


@pytest.mark.parametrize("ridge", [0.0, 1e-18, -0.01])
def test_an_intrinsic_field_has_no_covariance_and_is_refused(ridge):
    with pytest.raises(CovarianceError, match="not positive definite, so it has no covariance: add a small multiple"):
        Precision(_field(9, ridge), [f"s{i}" for i in range(81)])
