"""Pictures of marginal posteriors: densities with interval and prior, and pairs of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...inference.intervals import check_level
from ...inference.parameters import par_slices, parameters
from .. import posterior_numbers as pn
from .posterior_panels import Shown, across, panels, quantities
from .style import BLUE, INK, ORANGE, axes, finish, one_or_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..posterior import PosteriorResults

Float = NDArray[np.float64]
MOST_PAIRS = 8
DOTS = 2000
PRIOR_DRAWS = 4000


def density(
    fit: PosteriorResults, asked: Any = None, level: float = 0.95, prior: bool = True, *, ax: Any = None
) -> Any:
    """Kernel densities of marginal posteriors, shaded over their highest-density interval; the prior dashed.

    Parameters
    ----------
    fit : PosteriorResults
    asked : str or list of str, optional
        "variances" (the default), "fixed", "sd", "shares", "all", or names.
    level : float
        Of the interval.
    prior : bool
        Draw the prior of variance parameters where it is proper, over the range of the picture.
    ax : matplotlib axes, optional
        As many as there are quantities; a new figure by default.

    Returns
    -------
    Axes, or an array of them
    """
    level, shown = check_level(level), quantities(fit, asked)
    made = panels(len(shown), ax, "a density plot", 3.6, 2.5)
    for panel, one in zip(made, shown, strict=True):
        drawn = prior_density(fit, one.column) if prior and one.column >= 0 else None
        _density(panel, one, level, drawn)
        panel.set_title(one.name, fontsize=10)
        finish(panel)
    for panel in made[:: across(len(made))]:
        panel.set_ylabel("Density")
    _explain(made[0], level, prior and any(one.column >= 0 for one in shown))
    return one_or_all(made)


def _density(panel: Axes, one: Shown, level: float, prior: Any) -> None:
    x = one.draws.ravel()
    grid, height = pn.density(x, 1.2, one.lower, one.upper)
    low, high = pn.hdi(x, level)
    inside = (grid >= low) & (grid <= high)
    panel.fill_between(grid[inside], 0, height[inside], color=BLUE, alpha=0.22, linewidth=0)
    panel.plot(grid, height, color=BLUE, linewidth=1.6)
    panel.axvline(x.mean(), color=INK, linewidth=1.0)
    left, right = np.quantile(x, [0.0005, 0.999])
    pad = 0.05 * (right - left)
    left = left - pad if one.lower is None else max(one.lower, left - pad)
    right = right + pad if one.upper is None else min(one.upper, right + pad)
    if prior is not None:
        points = np.linspace(left, right, 400)[1:]
        panel.plot(points, prior(points), color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)))
    panel.set_xlim(left, right)
    panel.set_ylim(0, 1.18 * height.max())
    panel.set_yticks([])


def _explain(panel: Axes, level: float, prior: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Any] = [
        Patch(facecolor=BLUE, alpha=0.3, label=f"{100 * level:g} % HPD"),
        Line2D([], [], color=INK, linewidth=1.0, label="mean"),
    ]
    if prior:
        handles.append(Line2D([], [], color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)), label="prior"))
    panel.legend(handles=handles, fontsize=7, frameon=True, framealpha=0.8, edgecolor="none", loc="upper right")


def prior_density(fit: PosteriorResults, column: int) -> Any:
    """The prior density of a variance parameter as a function of points; None where it is improper or held.

    Of a term of one parameter exactly; of others a kernel density of draws of it, within the range of most of them.
    """
    priors = fit.priors
    if priors is None or priors.shares is not None:
        return None
    for i, of in enumerate(par_slices(fit.spec)):
        if of.start <= column < of.stop:
            bound = priors.terms[i]
            if bound.held is not None or not bound.proper:
                return None
            if of.stop - of.start == 1:
                return lambda points: np.exp(bound.logpdf(np.asarray(points)[:, None]))
            rng = np.random.default_rng(i)
            draws = np.array([bound.draw(rng)[column - of.start] for _ in range(PRIOR_DRAWS)])
            variance = parameters(fit.spec)[column].kind == "variance"
            return lambda points: _kernel(draws, np.asarray(points), variance)
    return None


def _kernel(draws: Float, points: Float, positive: bool) -> Float:
    """Density of draws at points; of variances on the scale of their logarithms, so that long tails do not blur it."""
    if positive:
        keep = draws > 0
        z, at = np.log(draws[keep]), np.log(points)
        grid, height = pn.density(z)
        return np.asarray(np.interp(at, grid, height, left=0.0, right=0.0) / points)
    near = (draws >= points[0] - np.ptp(points)) & (draws <= points[-1] + np.ptp(points))
    if near.sum() < 50:
        return np.zeros(len(points))
    grid, height = pn.density(draws[near])
    return np.asarray(np.interp(points, grid, height * near.mean(), left=0.0, right=0.0))


def pairs(fit: PosteriorResults, asked: Any = None, *, ax: Any = None) -> Any:
    """Every pair of parameters as a scatter of draws, densities on the diagonal, correlations above it.

    `asked` and `ax` (k × k axes) are as in `density`; of many parameters the variances alone by default.
    """
    shown = quantities(fit, asked)
    if asked is None and len(shown) > MOST_PAIRS:
        kinds = [p.kind for p in parameters(fit.spec)]
        shown = [one for one in shown if kinds[one.column] == "variance"]
    k = len(shown)
    if not 2 <= k <= MOST_PAIRS:
        raise OptionError(f"plot_pairs() of {k} quantities: choose 2 to {MOST_PAIRS} by name")
    made = axes(k * k, ax, "a pairs plot", 1.9 * k + 0.6, 1.8, across=k)
    flat = np.stack([one.draws.ravel() for one in shown])
    some = np.unique(np.linspace(0, flat.shape[1] - 1, min(DOTS, flat.shape[1])).astype(int))
    R = np.asarray(np.corrcoef(flat))
    for row in range(k):
        for column in range(k):
            _cell(made[row * k + column], shown, flat[:, some], R, row, column)
    return one_or_all(made)


def _cell(panel: Axes, shown: list[Shown], flat: Float, R: Float, row: int, column: int) -> None:
    if row == column:
        one = shown[row]
        grid, height = pn.density(one.draws, 1.0, one.lower, one.upper)
        panel.fill_between(grid, 0, height, color=BLUE, alpha=0.22, linewidth=0)
        panel.plot(grid, height, color=BLUE, linewidth=1.2)
        panel.set_xlim(flat[row].min(), flat[row].max())
        panel.set_ylim(0, None)
        panel.set_yticks([])
    elif row > column:
        panel.plot(flat[column], flat[row], ".", color=BLUE, markersize=2.5, alpha=0.35, markeredgewidth=0)
        panel.set_xlim(flat[column].min(), flat[column].max())
    else:
        r = float(R[row, column])
        size = 8 + 6 * abs(r)
        panel.text(0.5, 0.5, f"{r:.2f}", ha="center", va="center", transform=panel.transAxes, fontsize=size, color=INK)
        panel.set_axis_off()
        return
    last = row == len(shown) - 1
    panel.tick_params(labelsize=7, labelbottom=last, labelleft=column == 0 and row > 0)
    if last:
        panel.set_xlabel(shown[column].name, fontsize=8)
    if column == 0:
        panel.set_ylabel(shown[row].name, fontsize=8, color=INK)
    finish(panel)
