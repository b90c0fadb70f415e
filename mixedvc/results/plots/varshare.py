"""Variance shares: how much of the variance of an observation each term accounts for, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import Shares
from .style import BLUE, GREY, INK, axes, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..point import PointResults


def shares(results: PointResults, level: float = 0.95) -> Shares:
    """Shares of the terms, the residual last, from `PointResults.heritability` (logit intervals)."""
    terms = results.spec.all_terms
    ratios = [results.heritability(term.name, level=level) for term in terms]
    groups, flags = results.varcomp["group"].to_numpy(), results.varcomp["boundary"].to_numpy(dtype=bool)
    known = np.array([np.isfinite(r.se) for r in ratios])
    return Shares(
        tuple(term.label for term in terms),
        np.array([r.estimate for r in ratios]),
        np.array([r.lower if ok else np.nan for r, ok in zip(ratios, known, strict=True)]),
        np.array([r.upper if ok else np.nan for r, ok in zip(ratios, known, strict=True)]),
        np.array([flags[groups == term.name].all() for term in terms]),
    )


def varshare(results: PointResults, *, level: float = 0.95, ax: Any = None) -> Any:
    """Each term's share of the average variance of an observation, as bars with intervals.

    A share counts all variances and covariances of a term, averaged over the rows; the shares add up to one.  Intervals
    are `PointResults.heritability`'s: delta method on the logit scale.  A term at the boundary has no interval and says
    so.

    Parameters
    ----------
    results : PointResults
    level : float
    ax : matplotlib axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    (panel,) = axes(1, ax, "a variance-share plot", 6.5, 1.2 + 0.5 * len(results.spec.all_terms))
    _draw(panel, shares(results, level), level)
    return panel


def _draw(ax: Axes, s: Shares, level: float) -> None:
    y = np.arange(len(s.names))[::-1]
    colours = [BLUE] * (len(y) - 1) + [GREY]
    ax.barh(y, s.share, height=0.55, color=colours)
    known = np.isfinite(s.lower)
    ax.hlines(y[known], s.lower[known], s.upper[known], color=INK, linewidth=1.6)
    for at in (s.lower, s.upper):
        ax.plot(at[known], y[known], "|", color=INK, markersize=8)
    for j, row in enumerate(y):
        end = np.nanmax([s.share[j], s.upper[j], 0.0])
        note = "  at the boundary" if s.boundary[j] else ""
        ax.annotate(
            f"{100 * s.share[j]:.1f} %{note}", (end, row), xytext=(6, 0), textcoords="offset points", va="center"
        )
    ax.set_yticks(y, s.names)
    low = np.nanmin([0.0, *s.share, *s.lower])
    ax.set_xlim(1.05 * low, max(1.0, np.nanmax([*s.share, *s.upper])) * 1.02)
    ax.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    ax.set_xlabel(f"Share of variance, with {100 * level:g} % intervals")
    finish(ax)
