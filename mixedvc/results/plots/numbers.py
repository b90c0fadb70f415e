"""What the pictures show, as arrays: order of a caterpillar, quantiles and their band, shares and their intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...inference.intervals import check_level, normal_quantile

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Caterpillar:
    """Effects of the levels of a term, smallest first.

    Attributes
    ----------
    order : (q,) intp
        Positions of the levels, by increasing effect.
    estimate, lower, upper : (q,)
        In that order.
    clear : (q,) bool
        The interval does not hold zero.
    """

    order: NDArray[np.intp]
    estimate: Float
    lower: Float
    upper: Float
    clear: NDArray[np.bool_]


def caterpillar_numbers(
    estimate: Float,
    variance: Float,
    level: float = 0.95,
    order: NDArray[np.intp] | None = None,
    ends: tuple[Float, Float] | None = None,
) -> Caterpillar:
    """Sorted effects with intervals û ± z √variance, or those given; `order` keeps the order of another effect."""
    half = normal_quantile(check_level(level)) * np.sqrt(np.maximum(variance, 0.0))
    by = np.argsort(estimate, kind="stable") if order is None else order
    low, high = (estimate - half, estimate + half) if ends is None else ends
    lower, upper = low[by], high[by]
    return Caterpillar(by, estimate[by], lower, upper, (lower > 0) | (upper < 0))


@dataclass(frozen=True)
class Quantiles:
    """Ordered standardised residuals against normal quantiles, with a pointwise band.

    Attributes
    ----------
    theoretical : (n,)
        Φ⁻¹((i − 3/8)/(n + 1/4)), Blom's expected normal order statistics.
    ordered : (n,)
        Residuals, centred and divided by their standard deviation, in increasing order.
    lower, upper : (n,)
        Φ⁻¹ of the quantiles of Beta(i, n + 1 − i), the law of the i-th order statistic of n independent values.
    outside : (n,) bool
        Points beyond the band.
    """

    theoretical: Float
    ordered: Float
    lower: Float
    upper: Float
    outside: NDArray[np.bool_]


def normal_quantiles(residuals: Float, level: float = 0.95) -> Quantiles:
    """Quantile-quantile points of residuals (n,), NaN left out."""
    from scipy import special

    tail = (1 - check_level(level)) / 2
    r = np.sort(residuals[np.isfinite(residuals)])
    n, i = len(r), np.arange(1, len(r) + 1)
    spread = float(r.std(ddof=1)) if n > 1 else 0.0
    z = (r - r.mean()) / spread if spread > 0 else np.zeros(n)
    lower, upper = (np.asarray(special.ndtri(special.betaincinv(i, n + 1 - i, q)), float) for q in (tail, 1 - tail))
    return Quantiles(special.ndtri((i - 0.375) / (n + 0.25)), z, lower, upper, (z < lower) | (z > upper))


def trend(x: Float, y: Float, n_bins: int = 12) -> tuple[Float, Float]:
    """Means of y in bins of x with equal numbers of points: where a smooth line would run.

    Bins hold at least 20 points; empty arrays where there are fewer than three bins or x does not vary.
    """
    keep = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[keep], kind="stable")
    xs, ys = x[keep][order], y[keep][order]
    bins = min(n_bins, len(xs) // 20)
    if bins < 3 or xs[0] == xs[-1]:
        return np.empty(0), np.empty(0)
    parts = zip(np.array_split(xs, bins), np.array_split(ys, bins), strict=True)
    means = np.array([(px.mean(), py.mean()) for px, py in parts])
    return means[:, 0], means[:, 1]


@dataclass(frozen=True)
class Shares:
    """Each term's part of the average variance of an observation, the residual last.

    Attributes
    ----------
    names : tuple of str
    share, lower, upper : (t,)
        Limits are NaN where there is no standard error (at the boundary, held fixed).
    boundary : (t,) bool
        Everything in the term is at the edge of its domain.
    """

    names: tuple[str, ...]
    share: Float
    lower: Float
    upper: Float
    boundary: NDArray[np.bool_]
