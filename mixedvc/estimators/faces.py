"""Singular Σ = L Lᵀ turn in their loadings L: a step that M steps, which keep the range of Σ, cannot take (MATH: 3).

With Z(L b), b ~ N(0, I ⊗ A), the log-determinant lies below its tangent and the quadratic form below its value at the
present b̂, û and ê, so that −2ℓ(L) is at most

    ⟨M, LLᵀ⟩ + ‖ê − Σ_ac (L − L₀)_ac Z_a b̂_c‖²_R⁻¹ + constant,        R = Var(e),

with equality at L₀.  Its minimum is one small linear system: (M ⊗ I + G) ΔL = (Q − M) L₀, G_ac,a'c' the products of
Z_a b̂_c.  The step is monotone like MM's own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Evaluation
from ..likelihood.gaussian import levels_matmat
from ..likelihood.row_pairs import residual_solve
from ..linalg import dense as la
from ..linalg.roots import pivoted_root
from .charts import BoxChart, Chart, FaceChart, FactorChart, face_at, factors_at
from .start import Units
from .surrogate import Seen, edge_of_pattern

Float = NDArray[np.float64]


def can_turn(chart: Chart) -> bool:
    """Whether Σ is singular in a way that leaves its range to be chosen."""
    if isinstance(chart, FaceChart):
        return 0 < chart.rank < len(chart.B)
    if isinstance(chart, FactorChart):
        return chart.rank > 0 and edge_of_pattern(chart)
    return hasattr(chart.structure, "correlation") and edge_of_pattern(chart) and bool(np.any(chart.q[:-1] > 0.0))


def turned(spec: ModelSpec, units: Units, at: Evaluation, seen: Sequence[Seen]) -> dict[int, Chart]:
    """Charts after a step in the loadings, by term.

    Effects that rows without residual variance have keep their loadings: what they add there cannot be made up for.
    """
    noise = spec.residual_variances(at.theta)
    silent = noise <= 0.0
    precision = np.where(silent, 0.0, 1.0 / np.where(silent, 1.0, noise))
    correlated = spec.correlated_residual
    if not has_bound(spec, at.theta):
        return {}
    out: dict[int, Chart] = {}
    for one in seen:
        if correlated and one.term == len(spec.terms):
            continue  # its errors are what the other terms are weighed by
        met = spec.all_terms[one.term].basis[silent] @ units.transform(one.term)
        free = np.asarray(~met.any(axis=0))
        if can_turn(one.chart) and (free.all() if not isinstance(one.chart, FaceChart) else free.any()):
            L = _root(one)
            out[one.term] = _step(one, L, _products(spec, units, at, one.term, L, precision), free)
    return out


def has_bound(spec: ModelSpec, theta: Float) -> bool:
    """Whether what the loadings of a term add in a row can be made up for by the residuals, whichever row."""
    if not spec.correlated_residual:
        return True
    Sigma = spec.sigmas(theta)[-1]
    d = np.sqrt(np.diagonal(Sigma))
    return bool((d > 0.0).all()) and bool(la.small_eigh(Sigma / d[:, None] / d)[0][0] > 1e-10)


def _root(one: Seen) -> Float:
    """L with Σ = L Lᵀ in which the chart's coordinates move."""
    if isinstance(one.chart, FaceChart):
        return one.chart.B
    if isinstance(one.chart, FactorChart):
        return np.column_stack([one.chart.B, np.diag(np.sqrt(one.chart.psi))])
    return pivoted_root(one.Sigma)


def _products(spec: ModelSpec, units: Units, at: Evaluation, term: int, L: Float, precision: Float) -> Float:
    """G (k·r, k·r): products of Z_a b̂_c over the rows, in scaled units."""
    t = spec.all_terms[term]
    T = np.sqrt(units.variance) * units.transform(term)  # loadings on the user's scale are T L
    b = levels_matmat(t, t.collect(at.Py)) @ (T @ L)
    g = (t.basis @ T)[:, :, None] * b[t.codes][:, None, :]
    flat = g.reshape(len(g), -1)
    if spec.correlated_residual:
        return flat.T @ residual_solve(spec, at.theta, flat)
    return flat.T @ (flat * precision[:, None])


def _step(one: Seen, L: Float, G: Float, free: NDArray[np.bool_]) -> Chart:
    k, r = L.shape
    H = np.kron(one.M, np.eye(r)) + G
    slope = ((one.Q - one.M) @ L).ravel()
    if isinstance(one.chart, FaceChart):
        entries = np.repeat(free, r)
        move = np.zeros(k * r)
        move[entries] = la.lstsq(H[np.ix_(entries, entries)], slope[entries])
        L = L + move.reshape(k, r)
        Sigma = L @ L.T
        return face_at(one.chart.structure, Sigma, 0.0, at_most=r, order=one.chart.order)
    if isinstance(one.chart, FactorChart):
        return _new_factors(one.chart, L, H, slope)
    return _resized(one.chart, L, H, slope)


def _new_factors(chart: FactorChart, L: Float, H: Float, slope: Float) -> Chart:
    """Loadings and the roots of specific variances that are not zero, both entries of L: the bound's minimum."""
    k, r = chart.B.shape
    moves = np.zeros(L.shape, dtype=bool)
    moves[:, :r] = True
    moves[np.arange(k), r + np.arange(k)] = chart.psi > 0.0
    free = moves.ravel()
    new = L.copy()
    new[moves] += la.lstsq(H[np.ix_(free, free)], slope[free])
    return factors_at(chart.structure, np.diagonal(new[:, r:]) ** 2, new[:, :r], 0.0, at_most=r)


def _resized(chart: Chart, L: Float, H: Float, slope: Float) -> Chart:
    """A pattern D C Cᵀ D at the bound of its correlation, which moves in its standard deviations."""
    common = isinstance(chart, BoxChart)
    sds = np.sqrt(chart.q[:1]) if common else chart.q[:-1]
    free = np.flatnonzero(sds > 0.0)
    T = np.zeros((len(free), *L.shape))  # ∂L/∂sd
    for row, j in zip(T, free, strict=True):
        which = slice(None) if common else j
        row[which] = L[which] / sds[j]
    flat = T.reshape(len(free), -1)
    new = sds.copy()
    # the bound is convex in the standard deviations, so that a part of the way is lower too
    new[free] = np.maximum(sds[free] + la.lstsq(flat @ H @ flat.T, flat @ slope), 0.1 * sds[free])
    return chart.moved(np.append(new**2 if common else new, chart.q[-1]))
