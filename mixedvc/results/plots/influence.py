"""Influence plots: Cook's distance of each group in order, and DFBETAS of every fixed effect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError
from .style import BLUE, GREY, INK, ORANGE, axes, finish, one_or_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..influence import Influence

_NAMED = 40  # groups that have room for their names under the axis
KINDS = ("cooks", "dfbetas")
_WORDS = {"cooks": "Cook's distance", "dfbetas": "DFBETAS"}


def influence(results: Influence, kind: str = "cooks", *, label: int = 5, ax: Any = None) -> Any:
    """An index plot of influence.

    Parameters
    ----------
    results : Influence
    kind : "cooks" | "dfbetas"
        One panel of Cook's distances with the line 4/G, or a panel of DFBETAS for each fixed effect with lines at
        ±2/√G (G groups); what lies beyond is orange.
    label : int
        How many of the largest beyond the lines are named.
    ax : axes, optional
        As many as there are panels; a new figure by default.
    """
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not one of {', '.join(map(repr, KINDS))}")
    G = len(results.frame)
    if kind == "cooks":
        panels = axes(1, ax, "an influence plot", 7.0, 3.6)
        _stems(panels[0], results.frame["cooks_d"], results.cutoff, label)
        panels[0].set_ylabel(_WORDS[kind])
        panels[0].set_ylim(bottom=0)
    else:
        columns = results.dfbetas.columns
        panels = axes(len(columns), ax, "an influence plot", 7.0, 2.4, across=1)
        for panel, name in zip(panels, columns, strict=True):
            _stems(panel, results.dfbetas[name], 2 / np.sqrt(G), label)
            panel.set_ylabel(_WORDS[kind])
            panel.set_title(str(name), fontsize="medium", loc="left")
    panels[-1].set_xlabel(f"{results.frame.index.name}, in order of the data")
    for panel in panels[:-1]:
        panel.tick_params(labelbottom=False)
    return one_or_all(panels)


def _stems(ax: Axes, values: Any, limit: float, label: int) -> None:
    y = values.to_numpy(dtype=float)
    x = np.arange(1, len(y) + 1)
    beyond = np.abs(y) > limit
    for which, colour in ((~beyond, BLUE), (beyond, ORANGE)):
        ax.vlines(x[which], 0.0, y[which], color=colour, linewidth=1.0)
        ax.plot(x[which], y[which], "o", color=colour, markersize=3.5)
    ax.axhline(0.0, color=INK, linewidth=0.8)
    for level in (limit, -limit) if (y < 0).any() else (limit,):
        ax.axhline(level, color=GREY, linewidth=0.8, linestyle="--")
    order = [j for j in np.argsort(-np.abs(np.where(np.isfinite(y), y, 0.0))) if beyond[j]]
    for j in order[:label]:
        ax.annotate(
            str(values.index[j]),
            (x[j], y[j]),
            xytext=(4, 2 if y[j] >= 0 else -2),
            textcoords="offset points",
            fontsize="small",
            va="bottom" if y[j] >= 0 else "top",
        )
    ax.margins(y=0.15)
    if len(y) <= _NAMED:
        names = [str(level) for level in values.index]
        ax.set_xticks(x, names, rotation=90 if max(map(len, names)) > 2 else 0, fontsize="small")
    else:
        ax.locator_params(axis="x", integer=True)
    finish(ax)
