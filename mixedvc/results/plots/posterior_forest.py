"""A forest: posterior means under each other with a thick and a thin interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import OptionError
from ...inference.intervals import check_level
from .. import posterior_numbers as pn
from .posterior_panels import quantities
from .style import BLUE, GREY, INK, axes, finish

if TYPE_CHECKING:
    from ..posterior import PosteriorResults

Float = NDArray[np.float64]
MOST = 80  # rows with names; of more levels the most extreme half at either end
INNER = 0.5


def forest(fit: PosteriorResults, asked: Any = None, level: float = 0.95, *, ax: Any = None) -> Any:
    """Means with the interval of `level` (thin) and of a half (thick), both of highest density.

    Parameters
    ----------
    fit : PosteriorResults
    asked : str or list of str, optional
        "shares" (heritabilities and other parts; the default where there are random terms), "fixed", "sd",
        "variances", names; or a term, whose random effects (of its first effect) are shown sorted, and of many levels
        those at either end.
    level : float
    ax : matplotlib axes, optional
        A new figure by default.

    Returns
    -------
    Axes
    """
    level = check_level(level)
    if asked is None:
        asked = "shares" if fit.spec.terms else "fixed"
    terms = [term.name for term in fit.spec.terms]
    if isinstance(asked, str) and asked in terms:
        names, draws, zero, title = _levels(fit, terms.index(asked))
    else:
        shown = quantities(fit, asked)
        names, draws = [one.name for one in shown], np.stack([one.draws.ravel() for one in shown])
        zero = all(one.lower is None for one in shown)
        title = "Share of variance" if asked == "shares" else ""
    (panel,) = axes(1, ax, "a forest plot", 6.2, 0.9 + 0.26 * max(len(names), 2))
    y = np.arange(len(names))[::-1]
    wide = np.array([pn.hdi(x, level) for x in draws])
    narrow = np.array([pn.hdi(x, INNER) for x in draws])
    if zero:
        panel.axvline(0, color=GREY, linewidth=1.0)
    panel.hlines(y, wide[:, 0], wide[:, 1], color=BLUE, linewidth=1.2)
    panel.hlines(y, narrow[:, 0], narrow[:, 1], color=BLUE, linewidth=3.4)
    panel.plot(draws.mean(axis=1), y, "o", color=INK, markersize=4.5 if len(y) < 40 else 3)
    panel.set_yticks(y, names, fontsize=9 if len(y) < 40 else 7)
    panel.set_ylim(-0.7, len(names) - 0.3)
    ends = f"mean, {100 * INNER:g} % and {100 * level:g} % HPD"
    panel.set_xlabel(f"{title} ({ends})" if title else f"Posterior {ends}")
    if asked == "shares":
        panel.set_xlim(0, 1)
        panel.xaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    finish(panel)
    return panel


def _levels(fit: PosteriorResults, i: int) -> tuple[list[str], Float, bool, str]:
    from ..posterior_data import effect_draws

    term = fit.spec.terms[i]
    u = effect_draws(fit)[i][..., 0].reshape(-1, term.q).T
    if not len(u):
        raise OptionError(f"{term.name!r} has no levels")
    order = np.argsort(-u.mean(axis=1), kind="stable")
    if len(order) > MOST:
        order = np.concatenate([order[: MOST // 2], order[-MOST // 2 :]])
    of = f" ({term.effects[0]})" if term.k > 1 else ""
    many = f", {MOST} most extreme of {term.q}" if term.q > MOST else ""
    return [str(term.levels[j]) for j in order], u[order], True, f"{term.label}{of}{many}"
