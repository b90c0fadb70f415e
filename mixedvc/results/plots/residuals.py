"""Residual plots: residuals against fitted values, and a normal quantile plot with a reference band."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Quantiles, normal_quantiles, trend
from .style import BAND, BLUE, INK, ORANGE, axes, finish, one_or_all, point_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..point import PointResults

_RASTER = 5000  # points beyond which a vector file would grow heavy


def residuals(results: PointResults, *, level: float = 0.95, ax: Any = None) -> Any:
    """Two panels (of each trait) that question the model's assumptions about the residual.

    Left: residuals y − ŷ (random effects included in ŷ) against fitted values, with means of bins of equal size; a
    bend or a funnel is a warning, a straight slight rise is not: random effects are shrunken.

    Right: the residuals, each divided by its own √(1/weight) and by their common standard deviation, against normal
    quantiles; the band holds each point with probability `level` if they are normal and independent, and points beyond
    it are orange crosses.

    Parameters
    ----------
    results : PointResults
    level : float
        Of the band, point by point.
    ax : two matplotlib axes, optional
        A new figure by default.  Two for each of several traits.

    Returns
    -------
    (2,) array of Axes; (2t,) of t traits.

    Raises
    ------
    OptionError
        `ax` does not hold so many axes.
    MissingExtra
        matplotlib is not installed.
    """
    spec, raw = results.spec, np.asarray(results.resid_values, dtype=float)
    fitted, scaled = np.asarray(spec.y) - raw, raw / _sizes(spec, results.theta)
    parts = [np.arange(spec.n)]
    if spec.traits is not None:
        parts = [np.flatnonzero(spec.traits.trait == a) for a in range(spec.traits.t)]
    panels = axes(2 * len(parts), ax, "a residual plot", 9.0, 4.0, across=2)
    for name, rows, left, right in zip(spec.y_names, parts, panels[::2], panels[1::2], strict=True):
        _against_fitted(left, fitted[rows], raw[rows], str(name))
        _quantile_plot(right, normal_quantiles(scaled[rows], level), level)
    return one_or_all(panels)


def _sizes(spec: Any, theta: Any) -> Any:
    """(n,) residual standard deviations up to a factor: prior weights, and samples with their own variance."""
    if spec.residual.k == 1:
        return spec.residual.basis[:, 0]
    return np.sqrt(spec.residual_variances(theta))


def _against_fitted(ax: Axes, fitted: Any, raw: Any, response: str) -> None:
    dense = len(raw) > 500
    ax.axhline(0.0, color=INK, linewidth=0.8, linestyle="--")
    ax.plot(
        fitted,
        raw,
        "o",
        color=BLUE,
        markersize=point_size(len(raw)),
        markeredgewidth=0,
        alpha=0.4 if dense else 0.7,
        rasterized=len(raw) > _RASTER,
    )
    x, y = trend(fitted, raw)
    if len(x):
        ax.plot(x, y, color=ORANGE, linewidth=1.8, label="mean of bins")
        ax.legend(frameon=False, fontsize="small")
    ax.set_xlabel(f"Fitted {response}")
    ax.set_ylabel("Residual")
    finish(ax)


def _quantile_plot(ax: Axes, q: Quantiles, level: float) -> None:
    ax.fill_between(q.theoretical, q.lower, q.upper, color=BAND, linewidth=0, label=f"{100 * level:g} % band")
    ax.plot(q.theoretical[[0, -1]], q.theoretical[[0, -1]], color=INK, linewidth=0.8, linestyle="--")
    inside, size = ~q.outside, point_size(len(q.ordered))
    raster = len(q.ordered) > _RASTER
    ax.plot(
        q.theoretical[inside], q.ordered[inside], "o", color=BLUE, markersize=size, markeredgewidth=0, rasterized=raster
    )
    if q.outside.any():
        ax.plot(
            q.theoretical[q.outside],
            q.ordered[q.outside],
            "x",
            color=ORANGE,
            markersize=max(size, 3.5),
            label=f"beyond it: {int(q.outside.sum())} of {len(q.ordered)}",
            rasterized=raster,
        )
    ax.set_xlabel("Normal quantile")
    ax.set_ylabel("Standardised residual")
    ax.legend(frameon=False, fontsize="small", loc="upper left")
    finish(ax)
