"""Which columns of a design are linear combinations of earlier ones, and how close the others are to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray

from .products import product

Float = NDArray[np.float64]
_TALL, _APART = 4000, 1e-4  # rows, and least eigenvalue of the columns' correlations, from which XᵀX is used
_CONSTANT = 1e-13  # a centred column this much smaller than the column itself is rounding error


@dataclass(frozen=True)
class ColumnRank:
    """Result of `column_rank`.

    Attributes
    ----------
    kept : (r,) intp
        Columns that are not combinations of earlier ones.
    dropped : tuple of (column, distance, partners)
        Each dropped column, its distance from the span of the earlier ones relative to its length, and the columns
        that make it up.
    condition : float
        Condition number of the kept columns, centred (where the first is constant) and scaled to length one.
    weakest : tuple of int
        Columns with large weights in the direction the kept columns say least about.
    """

    kept: NDArray[np.intp]
    dropped: tuple[tuple[int, float, tuple[int, ...]], ...]
    condition: float
    weakest: tuple[int, ...]


def column_rank(X: Float, tolerance: float = 1e-7) -> ColumnRank:
    """Columns of X (n×p) to keep so that the rest has full rank, earlier columns first.

    The rule is that of LINPACK's dqrdc2, which R's lm and lme4 use: a column goes when what the earlier columns leave
    of it is shorter than `tolerance` times its length.  Where the first column is constant the others are centred
    first, so that a column of large mean is not mistaken for the intercept.
    """
    S, lengths = _scaled(X)
    R = _triangle(S)
    kept, distances = _sweep(R, lengths, tolerance)
    dropped = tuple((j, d, _partners(R, [i for i in kept if i < j], j, lengths)) for j, d in distances)
    condition, weakest = _conditioning(R, kept)
    return ColumnRank(np.array(kept, dtype=np.intp), dropped, condition, weakest)


def orthonormal(X: Float) -> Float:
    """Q (n×p) with the span of X's columns (full rank)."""
    return orthonormalised(X)[0]


def orthonormalised(X: Float) -> tuple[Float, Float]:
    """Thin Q (n×p) and R (p×p), X = Q R, of full rank.

    A tall X whose columns are far from dependent goes by Cholesky factors of XᵀX, twice, so that Q is orthonormal to
    rounding (Yamamoto et al. 2015); others by Householder reflections.
    """
    first = _tall_triangle(X)
    if first is None:
        Q, R = sl.qr(X, mode="economic", check_finite=False)
        return Q, R
    Q = _divided(X, first)
    second = sl.cholesky(product(Q.T, Q), check_finite=False)
    return _divided(Q, second), second @ first


def _divided(X: Float, R: Float) -> Float:
    """X R⁻¹."""
    return product(X, sl.solve_triangular(R, np.eye(len(R)), check_finite=False))


def _tall_triangle(X: Float) -> Float | None:
    """R of a tall X from XᵀX, where its columns, brought to length one, are far from dependent; else None."""
    n, p = X.shape
    if n < _TALL or n < 20 * p or p == 0:
        return None
    gram = product(X.T, X)
    lengths = np.sqrt(np.diagonal(gram))
    if not (np.isfinite(lengths).all() and (lengths > 0.0).all()):
        return None
    scaled = gram / lengths[:, None] / lengths
    if sl.eigvalsh(scaled, check_finite=False)[0] < _APART:
        return None
    return sl.cholesky(scaled, check_finite=False) * lengths


def orthogonalising(X: Float, weights: Float | None = None) -> Float | None:
    """C (k×k) lower triangular so that columns of X (n×k), brought to unit size, are orthonormal once multiplied by C.

    Sums over rows are weighted (n,).  None where the columns are orthogonal already, where one is zero, or where they
    are so nearly dependent (to 1e-13 of a mean square) that C would be rounding.
    """
    gram = X.T @ (X if weights is None else X * weights[:, None])
    scale = np.sqrt(np.diagonal(gram))
    if not (scale > 0).all():
        return None
    correlation = gram / np.outer(scale, scale)
    if np.abs(correlation - np.eye(len(scale))).max() < 1e-12 or np.linalg.eigvalsh(correlation)[0] < 1e-13:
        return None
    upper = np.linalg.cholesky(correlation[::-1, ::-1])[::-1, ::-1]  # correlation = upper · upperᵀ
    return np.asarray(np.linalg.inv(upper.T), dtype=np.float64)


def condition(M: Float) -> float:
    """Largest over least singular value of a small square matrix."""
    return float(np.linalg.cond(M))


def row_complement(C: Float, B: Float) -> Float:
    """Columns c+1… of B Q where Q is the full Householder factor of Cᵀ (c×m): the part of B that C annihilates.

    This is how R's splines::ns imposes its natural boundary conditions.
    """
    Q = sl.qr(C.T, mode="full", check_finite=False)[0]
    return (B @ Q)[:, C.shape[0] :]


def least_singular(M: Float) -> tuple[Float, Float]:
    """Singular values of M (n×m, n ≥ m or not) in descending order, and all right singular vectors as rows (m×m)."""
    _, s, Vt = sl.svd(_triangle(M), full_matrices=True, check_finite=False)
    return np.pad(s, (0, M.shape[1] - len(s))), Vt


def _scaled(X: Float) -> tuple[Float, Float]:
    """Columns centred (if the first is constant) and brought to length one, and their lengths (0: nothing left)."""
    raw = np.sqrt(np.einsum("ij,ij->j", X, X))
    S = np.array(X, dtype=np.float64)
    if X.shape[1] and len(X) and X[0, 0] != 0 and (X[:, 0] == X[0, 0]).all():
        S[:, 1:] -= S[:, 1:].mean(axis=0)
    lengths = np.sqrt(np.einsum("ij,ij->j", S, S))
    lengths[lengths <= _CONSTANT * raw] = 0.0
    S /= np.where(lengths > 0, lengths, np.inf)
    return S, lengths


def _sweep(R: Float, lengths: Float, tolerance: float) -> tuple[list[int], list[tuple[int, float]]]:
    """Kept columns and (dropped column, relative distance), by QR from the left."""
    zero = [(j, 0.0) for j in np.flatnonzero(lengths == 0.0).tolist()]
    kept = np.flatnonzero(lengths > 0.0).tolist()
    T, gone, j = (R[:, kept] if zero else R), list(zero), 0
    if zero and kept:
        T = _triangle(T)
    while j < len(kept):
        distance = abs(T[j, j]) if j < T.shape[0] else 0.0
        if distance > tolerance:
            j += 1
            continue
        gone.append((kept.pop(j), float(distance)))
        if j < len(kept):
            T = _triangle(np.delete(T, j, axis=1))
        else:
            T = np.delete(T, j, axis=1)
    return kept, sorted(gone)


def _partners(R: Float, earlier: list[int], j: int, lengths: Float) -> tuple[int, ...]:
    """Earlier columns with a share in column j; the first (constant) one for a column without variation."""
    if lengths[j] == 0.0:
        return (0,) if 0 in earlier else ()
    if not earlier:
        return ()
    weights = np.abs(sl.lstsq(R[:, earlier], R[:, j], check_finite=False)[0])
    order = [earlier[i] for i in np.argsort(-weights) if weights[i] > 1e-6]
    return tuple(sorted(order[:6]))


def _conditioning(R: Float, kept: list[int]) -> tuple[float, tuple[int, ...]]:
    if len(kept) < 2:
        return 1.0, ()
    _, s, Vt = sl.svd(R[:, kept], full_matrices=False, check_finite=False)
    if s[-1] == 0.0:
        return np.inf, tuple(kept)
    large = np.flatnonzero(np.abs(Vt[-1]) > 0.1)
    return float(s[0] / s[-1]), tuple(kept[i] for i in large)


def _triangle(X: Float) -> Float:
    """R of the QR decomposition, min(n, p) rows."""
    tall = _tall_triangle(X)
    if tall is not None:
        return tall
    R: Any = sl.qr(X, mode="r", check_finite=False)[0][: min(X.shape)]
    return R
