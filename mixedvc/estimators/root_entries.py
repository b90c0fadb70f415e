"""Roots B of Σ = B Bᵀ, lower trapezoidal in some order of the rows: their free entries, derivatives, one rank more."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la

Float = NDArray[np.float64]


def free_entries(B: Float, order: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the entries of a B (k×r) that is lower trapezoidal in the row order `order`."""
    k, r = B.shape
    place = np.empty(k, dtype=int)
    place[order] = np.arange(k)
    rows, columns = np.nonzero(np.arange(r)[None, :] <= place[:, None])
    return rows, columns


def root_jacobian(
    B: Float, entries: tuple[NDArray[np.intp], NDArray[np.intp]], pairs: tuple[tuple[int, int], ...]
) -> Float:
    """(entries, pairs) ∂(B Bᵀ)/∂B."""
    rows, columns = (index[:, None] for index in entries)
    a, b = np.array(pairs).T
    return (rows == a) * B[b, columns] + (rows == b) * B[a, columns]


def root_curvature(
    score: Float, entries: tuple[NDArray[np.intp], NDArray[np.intp]], pairs: tuple[tuple[int, int], ...], k: int
) -> Float:
    """Σ_j score_j ∇²(B Bᵀ)_j, the same everywhere."""
    S = score_matrix(score, pairs, k)
    rows, columns = entries
    return 2.0 * S[np.ix_(rows, rows)] * (columns[:, None] == columns)


def rise(B: Float, pairs: tuple[tuple[int, int], ...], score: Float, information: Float) -> tuple[Float, float] | None:
    """B Bᵀ + step · vvᵀ, v in the null space of BBᵀ where the criterion rises most, and the rise expected; or None."""
    S = score_matrix(score, pairs, len(B))
    null = null_space(B)
    values, vectors = la.small_eigh(null.T @ S @ null)
    if values[-1] <= 0:
        return None
    v = null @ vectors[:, -1]
    direction = np.array([v[a] * v[b] for a, b in pairs])
    bend = float(direction @ information @ direction)
    step = values[-1] / bend if bend > 0 else 1e-3
    return B @ B.T + min(step, 1.0) * np.outer(v, v), float(0.5 * values[-1] * step)


def score_matrix(score: Float, pairs: tuple[tuple[int, int], ...], k: int) -> Float:
    """Symmetric S with dℓ = ⟨S, dΣ⟩ from ∂ℓ/∂θ (an off-diagonal θ moves two entries)."""
    S = np.zeros((k, k))
    for value, (a, b) in zip(score, pairs, strict=True):
        S[a, b] = S[b, a] = value if a == b else 0.5 * value
    return S


def null_space(B: Float) -> Float:
    values, vectors = la.small_eigh(B @ B.T)
    return vectors[:, : len(B) - B.shape[1]] if values.size else vectors


def pivots(root: Float) -> NDArray[np.intp]:
    """Rows in the order of a pivoted Cholesky factorisation of root rootᵀ."""
    left = root @ root.T
    order: list[int] = []
    for _ in range(root.shape[1]):
        diagonal = np.diagonal(left).copy()
        diagonal[order] = -1.0
        pivot = int(np.argmax(diagonal))
        order.append(pivot)
        if left[pivot, pivot] > 0:
            left = left - np.outer(left[:, pivot], left[pivot]) / left[pivot, pivot]
    rest = [a for a in range(len(root)) if a not in order]
    return np.array(order + rest, dtype=np.intp)
