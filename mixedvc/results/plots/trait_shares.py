"""Variance shares of several traits: a stacked bar a trait, a segment a term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference.traits import RESIDUAL, families_of
from .style import BAND, BLUE, INK, ORANGE, axes, finish

if TYPE_CHECKING:
    from ..traits import TraitResults

COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#F0E442", "#56B4E9", "#E69F00")  # Okabe and Ito


def trait_shares(results: TraitResults, *, level: float = 0.95, ax: Any = None) -> Any:
    """Each term's share of each trait's variance, stacked, with the interval of the first term's share.

    Intervals are `TraitResults.heritabilities`' (logit); a trait whose share is at the boundary has none.

    Parameters
    ----------
    results : TraitResults
    level : float
    ax : matplotlib axes, optional
        A new figure by default.

    Returns
    -------
    Axes
    """
    terms = [*families_of(results.spec), RESIDUAL]
    traits = results.traits
    (panel,) = axes(1, ax, "a variance-share plot", 7.0, 1.5 + 0.45 * len(traits))
    y, left = np.arange(len(traits))[::-1], np.zeros(len(traits))
    for j, name in enumerate(terms):
        share = results.heritabilities(name)["heritability"].to_numpy()
        colour = BAND if name == RESIDUAL else COLOURS[j % len(COLOURS)]
        panel.barh(y, share, left=left, height=0.6, color=colour, label=_label(results, name))
        for row, start, part in zip(y, left, share, strict=True):
            if part > 0.07:
                ink = "#ffffff" if colour in (BLUE, ORANGE, "#009E73") else INK
                panel.text(
                    start + part / 2, row, f"{100 * part:.0f} %", ha="center", va="center", color=ink, fontsize=8
                )
        left = left + share
    first = results.heritabilities(terms[0], level)
    known = np.isfinite(first["se"].to_numpy())
    low, high = (first[c].to_numpy()[known] for c in ("lower", "upper"))
    down = y[known] - 0.36  # under the bar, so that the numbers stay readable
    panel.hlines(down, low, high, color=INK, linewidth=1.4)
    for at in (low, high):
        panel.plot(at, down, "|", color=INK, markersize=6)
    panel.set_yticks(y, traits)
    panel.set_xlim(min(0.0, float(np.nanmin(left))), max(1.0, float(np.nanmax(left))))
    panel.set_ylim(-0.7, len(traits) - 0.4)
    panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    panel.set_xlabel(f"Share of the trait's variance, with {100 * level:g} % intervals of {_label(results, terms[0])}")
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(4, len(terms)), frameon=False, fontsize=9)
    finish(panel)
    return panel


def _label(results: TraitResults, name: str) -> str:
    terms = families_of(results.spec).get(name)
    return name if terms is None or len(terms) > 1 else results.spec.terms[terms[0]].label
