"""Pictures of chains: traces, ranks and autocorrelations of each parameter, a colour a chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import rankdata

from ...errors import OptionError
from ..posterior_diagnose_numbers import autocorrelations
from .posterior_panels import Shown, across, combined, panels, quantities
from .style import BAND, GREY, INK, finish, one_or_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..posterior import PosteriorResults

BINS = 20


def trace(fit: PosteriorResults, parameters: Any = None, *, ax: Any = None) -> Any:
    """Draws against iteration; chains that mix lie on top of each other, without trend.

    Parameters
    ----------
    fit : PosteriorResults
    parameters : str or list of str, optional
        "variances" (the default), "fixed", "sd", "shares", "all", or names.
    ax : matplotlib axes, optional
        As many as there are quantities; a new figure by default.

    Returns
    -------
    Axes, or an array of them
    """
    shown = quantities(fit, parameters)
    made = panels(len(shown), ax, "a trace plot", 4.2, 2.3)
    first = fit.draws.burnin
    for panel, one in zip(made, shown, strict=True):
        steps = first + fit.draws.thin * np.arange(1, one.draws.shape[1] + 1)
        width = 0.5 if one.draws.shape[1] > 400 else 0.8
        for chain, colour in zip(one.draws, combined(fit), strict=True):
            panel.plot(steps, chain, color=colour, linewidth=width, alpha=0.75)
        panel.set_title(one.name, fontsize=10)
        panel.margins(x=0.01)
        finish(panel)
    _below(made, "Iteration")
    _legend(made[0], fit)
    return one_or_all(made)


def rank(fit: PosteriorResults, parameters: Any = None, *, ax: Any = None) -> Any:
    """Histograms of the ranks of each chain's draws among all: flat, and inside the band, where chains agree.

    The band holds 95 % of the counts of independent draws (Vehtari et al. 2021 draw such histograms).
    `parameters`, `ax` and the result are as in `trace`.
    """
    if fit.draws.chains < 2:
        raise OptionError("a rank plot compares chains, and this fit has one: chains=4, or plot_trace()")
    shown = quantities(fit, parameters)
    made = panels(len(shown), ax, "a rank plot", 3.8, 2.5)
    for panel, one in zip(made, shown, strict=True):
        _ranks(panel, one, fit)
        panel.set_title(one.name, fontsize=10)
        finish(panel)
    _below(made, "Rank among the draws of all chains")
    for panel in made[:: across(len(made))]:
        panel.set_ylabel("Draws")
    _legend(made[0], fit)
    return one_or_all(made)


def _ranks(panel: Axes, one: Shown, fit: PosteriorResults) -> None:
    from scipy.stats import binom

    C, D = one.draws.shape
    ranks = rankdata(one.draws, method="average").reshape(C, D)
    bins = int(max(4, min(BINS, D // 10)))
    edges = np.linspace(0.5, C * D + 0.5, bins + 1)
    low, high = binom.ppf([0.025, 0.975], D, 1 / bins)
    panel.axhspan(low, high, color=BAND, zorder=0, linewidth=0)
    panel.axhline(D / bins, color=GREY, linewidth=0.8, zorder=1)
    most = D / bins
    for own, colour in zip(ranks, combined(fit), strict=True):
        counts = np.histogram(own, edges)[0]
        most = max(most, counts.max())
        panel.stairs(counts, edges, color=colour, linewidth=1.3, baseline=None)
    panel.set_ylim(0, 1.25 * max(most, high))
    panel.margins(x=0.01)


def autocorrelation(fit: PosteriorResults, parameters: Any = None, max_lag: int = 40, *, ax: Any = None) -> Any:
    """Autocorrelations of each chain; the band is that of independent draws.

    `parameters`, `ax` and the result are as in `trace`.
    """
    if not (isinstance(max_lag, int) and max_lag >= 1):
        raise OptionError(f"max_lag={max_lag!r}: a whole number of at least 1 is needed")
    shown = quantities(fit, parameters)
    made = panels(len(shown), ax, "an autocorrelation plot", 3.6, 2.3)
    lowest = 0.0
    for panel, one in zip(made, shown, strict=True):
        half = 1.96 / np.sqrt(one.draws.shape[1])
        panel.axhspan(-half, half, color=BAND, zorder=0, linewidth=0)
        panel.axhline(0, color=INK, linewidth=0.8)
        values = autocorrelations(one.draws, max_lag)
        lowest = min(lowest, float(np.nanmin(values)))
        for own, colour in zip(values, combined(fit), strict=True):
            panel.plot(np.arange(len(own)), own, color=colour, linewidth=1.1, marker="o", markersize=2.2)
        panel.set_title(one.name, fontsize=10)
        finish(panel)
    for panel in made:
        panel.set_ylim(min(-0.15, 1.1 * lowest), 1.05)
    _below(made, "Lag")
    for panel in made[:: across(len(made))]:
        panel.set_ylabel("Autocorrelation")
    _legend(made[0], fit)
    return one_or_all(made)


def _below(made: list[Axes], words: str) -> None:
    """A name under the lowest panel of every column."""
    for panel in made[-across(len(made)) :]:
        panel.set_xlabel(words)


def _legend(panel: Axes, fit: PosteriorResults) -> None:
    """Which colour is which chain, in the first panel."""
    from matplotlib.lines import Line2D

    if not 1 < fit.draws.chains <= 8:
        return
    handles = [Line2D([], [], color=colour, linewidth=1.5) for colour in combined(fit)]
    labels = [f"chain {c}" for c in range(1, fit.draws.chains + 1)]
    panel.legend(handles, labels, fontsize=7, frameon=True, framealpha=0.8, edgecolor="none", ncol=2, loc="upper right")
