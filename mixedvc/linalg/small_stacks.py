"""Many small matrices at once, stored effect by effect, (k, k, q), so that each step is one operation on q numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .dense import NotPositiveDefinite

Float = NDArray[np.float64]


def spd_inverse(W: Float) -> tuple[Float, float]:
    """Inverses of q symmetric positive definite matrices W (k, k, q), and the sum of their log-determinants.

    Gauss-Jordan without pivoting, which is stable for positive definite matrices; k passes over k² rows of q numbers
    are faster than q calls of LAPACK.

    Raises
    ------
    NotPositiveDefinite
        Where a pivot is not positive.
    """
    B = np.array(W)
    logdet = 0.0
    for j in range(len(B)):
        pivot = B[j, j].copy()
        if not pivot.min(initial=np.inf) > 0.0:
            raise NotPositiveDefinite(j + 1)
        logdet += float(np.log(pivot).sum())
        if len(B) == 1:
            B[0, 0] = 1.0 / pivot
            break
        row, column = B[j] / pivot, B[:, j].copy()
        B -= column[:, None] * row
        B[j] = row
        B[:, j] = -column / pivot
        B[j, j] = 1.0 / pivot
    return B, logdet


def multiply(A: Float, B: Float) -> Float:
    """A_l B_l for every l, from (i, k, q) and (k, j, q) to (i, j, q); a matrix without q serves all l."""
    left = A[..., None] if A.ndim == 2 else A
    right = B[..., None] if B.ndim == 2 else B
    if left.shape[0] == left.shape[1] == right.shape[1] == 1:
        return left * right
    q = max(left.shape[2], right.shape[2])
    out = np.zeros((left.shape[0], right.shape[1], q))
    for i in range(left.shape[0]):
        for j in range(right.shape[1]):
            for k in range(left.shape[1]):
                out[i, j] += left[i, k] * right[k, j]
    return out


def spd_inverse_each(W: Float) -> tuple[Float, Float, NDArray[np.bool_]]:
    """Inverses of q symmetric matrices W (k, k, q), each log-determinant (q,), and which are positive definite.

    Those that are not have the inverse and the determinant of an identity.
    """
    B, q = np.array(W), W.shape[2]
    there = np.ones(q, dtype=bool)
    pivots = np.empty((len(B), q))
    for j in range(len(B)):
        pivot = B[j, j]
        there &= pivot > 0.0
        pivots[j] = np.where(there, pivot, 1.0)
        row, column = B[j] / pivots[j], B[:, j].copy()
        B -= column[:, None] * row
        B[j] = row
        B[:, j] = -column / pivots[j]
        B[j, j] = 1.0 / pivots[j]
    if not there.all():
        B[:, :, ~there] = np.eye(len(B))[:, :, None]
        pivots[:, ~there] = 1.0
    return B, np.log(pivots).sum(axis=0), there
