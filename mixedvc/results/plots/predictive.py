"""Replicates of a posterior predictive check: their histogram and the value of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .style import BLUE, GREY, INK, axes, finish, one_or_all

if TYPE_CHECKING:
    from ..posterior_check import PosteriorCheck


def check_plot(check: PosteriorCheck, ax: Any = None) -> Any:
    """A panel a response: grey bars the replicates, the line the data."""
    panels = axes(len(check.names), ax, "a posterior predictive check", 1.2 + 3.6 * len(check.names), 3.2)
    frame = check.frame
    for a, (panel, name) in enumerate(zip(panels, check.names, strict=True)):
        panel.hist(check.replicated[:, a], bins=30, color=GREY, edgecolor="white", linewidth=0.4)
        panel.axvline(check.observed[a], color=BLUE, linewidth=2.0)
        panel.set_title(f"{name}: P = {frame['p_value'].iloc[a]:.3f}", fontsize="medium", color=INK)
        panel.set_xlabel(check.statistic)
        panel.set_yticks([])
        finish(panel)
    return one_or_all(panels)
