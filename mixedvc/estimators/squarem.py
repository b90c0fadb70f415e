"""Squared extrapolation of three points of an iteration (SQUAREM, scheme S3: Varadhan & Roland 2008).

    r = x₁ − x₀,   v = (x₂ − x₁) − r,   α = −‖r‖/‖v‖,   x = x₀ − 2αr + α²v

in coordinates whose every value is a covariance: standard deviations, loadings B of Σ = BBᵀ, correlations held inside
their bounds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .charts import BoxChart, Chart, EigenChart, FaceChart, FactorChart, face_at, factors_at

Float = NDArray[np.float64]


def extrapolated(
    first: Sequence[Chart], second: Sequence[Chart], third: Sequence[Chart], reach: float
) -> tuple[list[Chart], float]:
    """Charts beyond `third` and the length −α ≤ `reach` used; `third` itself and 1 where there is no way to go on."""
    x0, x1, x2 = (np.concatenate([_coordinates(c) for c in charts]) for charts in (first, second, third))
    if not len(x0) == len(x1) == len(x2):
        return list(third), 1.0  # a rank has changed
    r = x1 - x0
    v = x2 - x1 - r
    bend = float(np.sqrt(v @ v))
    length = min(float(np.sqrt(r @ r)) / bend, reach) if bend > 0.0 else 1.0
    if length <= 1.0:
        return list(third), 1.0
    pieces = np.split(x0 + 2.0 * length * r + length**2 * v, np.cumsum([len(_coordinates(c)) for c in first])[:-1])
    return [_at(chart, x) for chart, x in zip(third, pieces, strict=True)], length


def _coordinates(chart: Chart) -> Float:
    if isinstance(chart, EigenChart) or _variances(chart):
        return np.sqrt(chart.q)
    if isinstance(chart, FactorChart):
        return np.append(np.sqrt(chart.psi), chart.parameters()[len(chart.psi) :])
    return chart.q


def _variances(chart: Chart) -> bool:
    return isinstance(chart, BoxChart) and chart.structure.linear


def _at(chart: Chart, x: Float) -> Chart:
    """The chart at coordinates x; what was inside its bounds stays inside, and no variance collapses.

    A standard deviation thrown near zero would take updates many steps to come back from.
    """
    if isinstance(chart, EigenChart) or _variances(chart):
        return chart.moved(np.maximum(x, 0.3 * np.sqrt(chart.q)) ** 2)
    if isinstance(chart, FaceChart):
        return face_at(chart.structure, chart.sigma(x), 0.0, at_most=chart.rank, order=chart.order)
    if isinstance(chart, FactorChart):
        k = len(chart.psi)
        psi = np.maximum(x[:k], 0.3 * np.sqrt(chart.psi)) ** 2
        return factors_at(chart.structure, psi, chart.structure.loadings.matrix(x[k:]), 0.0, at_most=chart.rank)
    room = np.where(np.isfinite(chart.upper), 0.9, 0.7)  # a correlation has two bounds, a standard deviation has one
    low = np.where(chart.q > chart.lower, chart.q + room * (chart.lower - chart.q), chart.lower)
    high = np.where(chart.q < chart.upper, chart.q + 0.9 * (chart.upper - chart.q), chart.upper)
    return chart.moved(np.clip(x, low, high))
