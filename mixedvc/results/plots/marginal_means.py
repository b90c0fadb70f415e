"""Estimated marginal means as points with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..listing import label
from .style import BLUE, GREY, INK, ORANGE, axes, finish

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..emmeans import MarginalMeans

COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", INK, GREY)


def marginal_means(means: MarginalMeans, *, ax: Any = None) -> Axes:
    """Means (or slopes) of one table, a place on the horizontal axis for each; `by` gives the colours."""
    frame, specs, by = means.frame, list(means.specs), list(means.by)
    panel = axes(1, ax, "emmeans().plot()", 6.4, 4.0)[0]
    levels = means.levels
    place = [" ".join(map(label, key)) or "all" for key in levels[specs].to_numpy(dtype=object)]
    group = [", ".join(map(label, key)) for key in levels[by].to_numpy(dtype=object)]
    ticks, groups = list(dict.fromkeys(place)), list(dict.fromkeys(group))
    for g, name in enumerate(groups):
        rows = frame[[own == name for own in group]]
        x = np.array([ticks.index(p) for p, own in zip(place, group, strict=True) if own == name], dtype=float)
        x += 0.12 * (g - (len(groups) - 1) / 2)
        y = rows["estimate"].to_numpy()
        errors = np.maximum([y - rows["lower"].to_numpy(), rows["upper"].to_numpy() - y], 0.0)
        colour = COLOURS[g % len(COLOURS)]
        panel.errorbar(x, y, yerr=errors, fmt="o", color=colour, capsize=3, label=name or None)
    panel.set_xticks(range(len(ticks)), ticks)
    panel.set_xlabel(" ".join(specs))
    panel.set_ylabel("Estimated marginal mean" if means.var is None else f"Slope in {means.var}")
    if by:
        panel.legend(title=", ".join(by), frameon=False)
    finish(panel)
    return panel
