"""Sums of G Gᵀ over chunks of columns, in one triangle and without a temporary matrix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

Float = NDArray[np.float64]


def add_gram(total: Float, G: Float) -> Float:
    """Lower triangle of total += G Gᵀ, in place; `total` (n×n) is Fortran-ordered, G (n×c) row-major."""
    return blas.dsyrk(1.0, G.T, beta=1.0, c=total, trans=1, lower=1, overwrite_c=1)


def mirror_lower(A: Float, block: int = 256) -> None:
    """Copy the lower triangle of a square matrix to its upper one, in place and block by block."""
    for start in range(0, len(A), block):
        part = slice(start, start + block)
        A[:start, part] = A[part, :start].T
        square = A[part, part]
        square[...] = np.tril(square) + np.tril(square, -1).T


def product(A: Float, B: Float) -> Float:
    """A B by scipy's BLAS, whatever the order of the two in memory, without a copy of either."""
    left, turned = (A, 0) if A.flags.f_contiguous else (A.T, 1)
    right, turned_too = (B, 0) if B.flags.f_contiguous else (B.T, 1)
    return blas.dgemm(1.0, left, right, trans_a=turned, trans_b=turned_too)
