"""Many small symmetric matrices at once: Cholesky factors row by row of a stack, those that have none marked."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
_FEW = 8  # rows above which LAPACK is faster


def stacked_cholesky(A: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Lower factors L (K, k, k) of A (K, k, k), and which of the K are positive definite (the others: identity).

    One loop over the k columns, each for all K: for k of a few this is faster than LAPACK matrix by matrix, and one
    indefinite matrix does not spoil the rest.
    """
    K, k = A.shape[0], A.shape[1]
    if k > _FEW:
        return _matrix_by_matrix(A)
    L = np.zeros_like(A)
    good = np.ones(K, dtype=bool)
    for j in range(k):
        left = A[:, j, j] - np.einsum("ni,ni->n", L[:, j, :j], L[:, j, :j])
        good &= left > 1e-15 * np.abs(A[:, j, j])
        root = np.sqrt(np.where(good, left, 1.0))
        L[:, j, j] = root
        if j + 1 < k:
            below = A[:, j + 1 :, j] - np.einsum("nai,ni->na", L[:, j + 1 :, :j], L[:, j, :j])
            L[:, j + 1 :, j] = below / root[:, None]
    if not good.all():
        L[~good] = np.eye(k)
    return L, good


def stacked_triangular_inverse(L: Float) -> Float:
    """L⁻¹ of each lower triangular L (K, k, k)."""
    k = L.shape[1]
    out = np.zeros_like(L)
    for j in range(k):
        own = 1.0 / L[:, j, j]
        out[:, j, j] = own
        if j:
            out[:, j, :j] = -own[:, None] * np.einsum("ni,nib->nb", L[:, j, :j], out[:, :j, :j])
    return out


def _matrix_by_matrix(A: Float) -> tuple[Float, NDArray[np.bool_]]:
    try:
        return np.asarray(np.linalg.cholesky(A), dtype=np.float64), np.ones(len(A), dtype=bool)
    except np.linalg.LinAlgError:
        out, there = np.tile(np.eye(A.shape[-1]), (len(A), 1, 1)), np.zeros(len(A), dtype=bool)
        for i, one in enumerate(A):
            try:
                out[i], there[i] = np.linalg.cholesky(one), True
            except np.linalg.LinAlgError:
                continue
        return out, there
