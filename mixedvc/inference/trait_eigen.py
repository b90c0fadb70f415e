"""Eigenvalues and eigenvectors of a covariance among traits, with their uncertainty.

Of a simple eigenvalue λ_i with vector v_i,   dλ_i = v_iᵀ dC v_i,   dv_i = Σ_{j≠i} v_j (v_jᵀ dC v_i) / (λ_i − λ_j),
and the delta method does.  Where eigenvalues nearly coincide it does not: errors then come from draws of C from its
asymptotic distribution (REML-MVN; Houle & Meyer 2015), each made positive semi-definite where it is not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from .traits import TraitMatrix, errors

Float = NDArray[np.float64]
APART = 2.0  # standard errors of their difference between two eigenvalues that the delta method tells apart
NONE = 1e-10  # of the largest eigenvalue, below which one is zero


@dataclass(frozen=True)
class Eigen:
    """Eigenvalues in decreasing order, vectors in columns.

    Attributes
    ----------
    values, values_se : (t,)
    vectors, vectors_se : (t, t)
    apart : (t,) bool
        Whether the delta method holds for each; where not, and everywhere with draws, errors are those of the draws.
    draws : (B, t) or None
        Eigenvalues of the draws, where there are any.
    clipped : float
        Share of the draws that had a negative eigenvalue, which became zero.
    """

    values: Float
    values_se: Float
    vectors: Float
    vectors_se: Float
    apart: NDArray[np.bool_]
    draws: Float | None = None
    clipped: float = 0.0


def signed(vectors: Float) -> Float:
    """Vectors (columns) whose largest loading is positive."""
    largest = np.argmax(np.abs(vectors).round(12), axis=-2)
    size = np.take_along_axis(vectors, largest[..., None, :], axis=-2)
    return np.asarray(vectors * np.where(size < 0, -1.0, 1.0))


def decreasing(C: Float) -> tuple[Float, Float]:
    """Eigenvalues (…, t), largest first, and vectors in columns."""
    values, vectors = la.small_eigh(0.5 * (C + np.swapaxes(C, -1, -2)))
    return values[..., ::-1], vectors[..., ::-1]


def matrix_and_slope(matrix: TraitMatrix, theta: Float, correlation: bool) -> tuple[Float, Float]:
    """The covariance or the correlation matrix (t, t), and its derivative (t, t, m)."""
    if not correlation:
        return matrix.value(theta), matrix.L
    return matrix.correlations(theta), matrix.correlation_slope(theta)


def eigen(
    matrix: TraitMatrix,
    theta: Float,
    theta_cov: Float,
    *,
    correlation: bool = False,
    method: str = "auto",
    nsim: int = 10_000,
    seed: int = 0,
) -> Eigen:
    """Eigen-decomposition with errors by the delta method, by simulation, or ("auto") by the one that holds."""
    C, slope = matrix_and_slope(matrix, theta, correlation)
    values, vectors = decreasing(C)
    vectors = signed(vectors)
    values = np.where(np.abs(values) < NONE * np.abs(values).max(initial=0.0), 0.0, values)
    turned = np.einsum("ai,abm,bj->ijm", vectors, slope, vectors, optimize=True)
    along = np.einsum("iim->im", turned)
    se = errors(along, theta_cov)
    apart = _apart(values, along, theta_cov)
    spread = _vector_errors(values, vectors, turned, theta_cov)
    if method == "delta" or (method == "auto" and apart.all()):
        return Eigen(values, se, vectors, spread, apart)
    draws, turned_draws, clipped = _drawn(matrix, theta, theta_cov, vectors, correlation, nsim, seed)
    use = np.ones(len(values), bool) if method == "simulation" else ~apart
    return Eigen(
        values,
        np.where(use, draws.std(axis=0, ddof=1), se),
        vectors,
        np.where(use, turned_draws.std(axis=0, ddof=1), spread),
        apart,
        draws,
        clipped,
    )


def _apart(values: Float, along: Float, theta_cov: Float) -> NDArray[np.bool_]:
    """Which eigenvalues lie far enough from their neighbours, in standard errors of the difference."""
    gap = -np.diff(values)
    with np.errstate(invalid="ignore"):
        far = gap > APART * errors(along[:-1] - along[1:], theta_cov)
    return np.append(far, True) & np.append(True, far)


def _vector_errors(values: Float, vectors: Float, turned: Float, theta_cov: Float) -> Float:
    """(t, t) delta-method errors of the loadings; NaN where an eigenvalue is not simple."""
    gap = values[:, None] - values
    size = np.abs(values).max(initial=0.0)
    near = (np.abs(gap) <= 1e-9 * size) & ~np.eye(len(values), dtype=bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(np.eye(len(values), dtype=bool), 0.0, 1.0 / gap)
    weight[near] = np.nan
    slope = np.einsum("aj,jim,ij->aim", vectors, turned, weight, optimize=True)
    return errors(slope, theta_cov)


def _drawn(
    matrix: TraitMatrix, theta: Float, theta_cov: Float, vectors: Float, correlation: bool, nsim: int, seed: int
) -> tuple[Float, Float, float]:
    """Eigenvalues (B, t) and vectors (B, t, t) of draws, vectors with the sign nearest to the estimate's."""
    rng = np.random.default_rng(seed)
    cov = np.einsum("abm,mk,cdk->abcd", matrix.L, theta_cov, matrix.L, optimize=True).reshape(matrix.t**2, -1)
    size, directions = la.small_eigh(0.5 * (cov + cov.T))
    root = directions * np.sqrt(np.maximum(size, 0.0))
    C = matrix.value(theta) + (rng.standard_normal((nsim, len(root))) @ root.T).reshape(nsim, matrix.t, matrix.t)
    values, own = decreasing(C)
    least = values[:, -1] < -NONE * values[:, 0]
    if correlation:
        C = (own * np.maximum(values, 0.0)[:, None, :]) @ own.swapaxes(1, 2)
        d = np.sqrt(np.maximum(np.einsum("bii->bi", C), 1e-300))
        values, own = decreasing(C / d[:, :, None] / d[:, None, :])
    turn = np.einsum("ai,bai->bi", vectors, own)
    return np.maximum(values, 0.0), own * np.where(turn < 0, -1.0, 1.0)[:, None, :], float(least.mean())
