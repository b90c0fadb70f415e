"""Roots of positive semi-definite matrices at the price of one Cholesky factorisation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Float = NDArray[np.float64]


def pivoted_root(A: Float, tolerance: float = 1e-12) -> Float:
    """F (n×r) with A = F Fᵀ for a positive semi-definite A, by Cholesky with diagonal pivoting.

    The remainder A − F Fᵀ has no diagonal entry above `tolerance` times A's largest; r is the rank to that
    precision.  Higham (2002), Accuracy and Stability of Numerical Algorithms, 10.3.
    """
    n = A.shape[0]
    if n == 0 or not np.diagonal(A).max() > 0:
        return np.zeros((n, 0))
    L, pivots, rank, _ = lapack.dpstrf(A, lower=1, tol=tolerance * float(np.diagonal(A).max()))
    F = np.empty((n, int(rank)))
    F[pivots - 1] = np.tril(L[:, :rank])
    return F


def shifted_cholesky_fails(A: Float, shift: float) -> bool:
    """Whether A + shift·I is not positive definite; one triangle of A is read, one n×n array is made."""
    # the transpose of a C-ordered symmetric matrix is the same numbers in the order LAPACK wants: a plain copy
    work = np.array(A.T if A.flags.c_contiguous else A, dtype=np.float64, order="F")
    work[np.diag_indices_from(work)] += shift
    return bool(lapack.dpotrf(work, lower=1, clean=0, overwrite_a=1)[1])
