"""Profiles: ζ against each parameter (straight where the likelihood is quadratic), its size, or the implied density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...inference.intervals import normal_quantile
from .style import BAND, BLUE, GREY, INK, axes, finish, one_or_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..profile import Profile

Float = NDArray[np.float64]
KINDS = ("zeta", "abs", "density")
_ACROSS = 3


def profile(table: Profile, kind: str = "zeta", *, ax: Any = None) -> Any:
    """A panel for each parameter of a profile.

    Parameters
    ----------
    table : Profile
    kind : str
        "zeta": the signed root of the likelihood ratio; a bend away from the straight line through the estimate says
        how far from quadratic the likelihood is.  "abs": its size, with the interval at the height of its level.
        "density": φ(ζ)·dζ/dψ, the density of the estimate that the profile implies.
    ax : matplotlib axes, optional
        As many as there are parameters; a new figure by default.

    Returns
    -------
    Axes, or an array of them

    Raises
    ------
    OptionError
        An unknown kind.
    MissingExtra
        matplotlib is not installed.
    """
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not one of {', '.join(map(repr, KINDS))}")
    n = len(table.targets)
    across = min(n, _ACROSS)
    panels = axes(n, ax, "a profile plot", 3.2 * across + 0.6, 2.7, across=across)
    bounds = table.conf_int()
    for panel, target, row in zip(panels, table.targets, bounds.itertuples(), strict=True):
        value, zeta = table.curve(target.name)
        panel.set_title(target.name, fontsize=10)
        if len(value) < 2:
            panel.annotate("no profile", (0.5, 0.5), xycoords="axes fraction", ha="center", color=GREY)
            panel.set_xticks([])
            panel.set_yticks([])
            continue
        if kind == "density":
            _density(panel, value, zeta, row)
        else:
            _zeta(panel, value, zeta, row, normal_quantile(table.level), kind == "abs")
        finish(panel)
    for panel in panels[::across]:
        panel.set_ylabel({"zeta": "ζ", "abs": "|ζ|", "density": "Density"}[kind])
    return one_or_all(panels)


def _zeta(ax: Axes, value: Float, zeta: Float, row: Any, z: float, size: bool) -> None:
    shown = np.abs(zeta) if size else zeta
    for at in (row.lower, row.upper):
        if np.isfinite(at):
            ax.axvline(at, color=BAND, linewidth=1.2)
    for height in (z,) if size else (-z, 0.0, z):
        ax.axhline(height, color=BAND, linewidth=1.2)
    if not size:
        _straight(ax, value, zeta, row.estimate)
    ax.plot(value, shown, color=BLUE, linewidth=1.8)
    ax.plot([row.estimate], [0.0], "o", color=INK, markersize=4)


def _straight(ax: Axes, value: Float, zeta: Float, estimate: float) -> None:
    """The line that a quadratic likelihood would have: the tangent at the estimate."""
    near = np.flatnonzero(np.abs(zeta) < 0.15)
    if len(near) < 2 or value[near[-1]] == value[near[0]] or not zeta.min() < 0.0 < zeta.max():
        return
    slope = (zeta[near[-1]] - zeta[near[0]]) / (value[near[-1]] - value[near[0]])
    low, high = max(value[0], estimate + zeta[0] / slope), min(value[-1], estimate + zeta[-1] / slope)
    ends = np.array([low, high])
    ax.plot(ends, slope * (ends - estimate), color=GREY, linewidth=1.0, linestyle="--")


def _density(ax: Axes, value: Float, zeta: Float, row: Any) -> None:
    step = np.diff(value)
    middle = 0.5 * (zeta[1:] + zeta[:-1])
    height = np.exp(-0.5 * middle**2) / np.sqrt(2.0 * np.pi) * np.diff(zeta) / np.where(step > 0, step, np.nan)
    at = 0.5 * (value[1:] + value[:-1])
    ax.fill_between(at, 0.0, height, where=(at >= row.lower) & (at <= row.upper), color=BAND, linewidth=0)
    ax.plot(at, height, color=BLUE, linewidth=1.8)
    ax.axvline(row.estimate, color=INK, linewidth=1.0)
    ax.set_ylim(bottom=0.0)
    ax.set_yticks([])
