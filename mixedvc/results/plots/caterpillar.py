"""Caterpillar plot: the predicted effect of every level of a term, sorted, with intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError
from .numbers import Caterpillar, caterpillar_numbers
from .style import BLUE, GREY, INK, axes, finish, one_or_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..point import PointResults

_NAMED = 60  # levels whose names can be read beside each other
_VARIANCES = {"conditional": "conditional_variances", "pev": "pev"}


def caterpillar(
    results: PointResults,
    term: str | None = None,
    *,
    level: float = 0.95,
    variance: str = "conditional",
    limits: tuple[Any, Any] | None = None,
    ax: Any = None,
) -> Any:
    """Predicted effects (BLUPs) of a term's levels, sorted by the first effect, one panel an effect.

    A filled blue point's interval does not hold zero; a hollow grey point's does.  More than 60 levels are drawn
    without their names.

    Parameters
    ----------
    results : PointResults
    term : str, optional
        Name of the term (``"Subject"``); needed where the model has several.
    level : float
        Of the intervals û ± z √variance.
    variance : "conditional" | "pev"
        Var(u | y, β) as lme4 draws it, or the prediction error variance, which counts the error of β̂ too.
    limits : pair of (levels, effects), optional
        Lower and upper ends of the intervals, in the place of û ± z √variance.
    ax : matplotlib axes, optional
        One for each effect; a new figure by default.

    Returns
    -------
    Axes, or an array of Axes where the term has several effects.

    Raises
    ------
    OptionError
        An unknown term or option.
    MissingExtra
        matplotlib is not installed.
    """
    name = _term(results, term)
    if variance not in _VARIANCES:
        raise OptionError(f"variance={variance!r} is not one of {', '.join(map(repr, _VARIANCES))}")
    u = results.random_effects[name]
    v = getattr(results, _VARIANCES[variance])[name].to_numpy() if limits is None else np.zeros(u.shape)
    n_levels, effects = u.shape[0], list(u.columns)
    height = float(np.clip(0.9 + 0.19 * n_levels, 2.6, 12.0)) if n_levels <= _NAMED else 7.0
    panels = axes(len(effects), ax, "a caterpillar plot", 1.2 + 3.6 * len(effects), height)
    order = None
    for j, panel in enumerate(panels):
        ends = None if limits is None else (limits[0][:, j], limits[1][:, j])
        numbers = caterpillar_numbers(u.iloc[:, j].to_numpy(), v[:, j], level, order, ends)
        order = numbers.order
        _draw(panel, numbers, str(effects[j]) if len(effects) > 1 else "")
        _name_levels(panel, [str(u.index[i]) for i in order], name, first=j == 0)
    label = next(t.label for t in results.spec.terms if t.name == name)
    if ax is None:
        panels[0].figure.suptitle(f"{label}: predicted effects, {100 * level:g} % intervals", fontsize="medium")
    return one_or_all(panels)


def _term(results: PointResults, term: str | None) -> str:
    names = [t.name for t in results.spec.terms]
    if term is None and len(names) == 1:
        return names[0]
    if term not in names:
        asked = "several terms have effects" if term is None else f"no term is called {term!r}"
        raise OptionError(f"{asked}: term= is one of {', '.join(map(repr, names))}")
    return term


def _draw(ax: Axes, numbers: Caterpillar, title: str) -> None:
    y = np.arange(len(numbers.estimate))
    many = len(y) > _NAMED
    for of, colour in ((~numbers.clear, GREY), (numbers.clear, BLUE)):
        ax.hlines(
            y[of],
            numbers.lower[of],
            numbers.upper[of],
            color=colour,
            linewidth=max(0.3, 90 / len(y)) if many else 1.4,
            alpha=0.45 if many else 1.0,
        )
        filled = colour if colour == BLUE or many else "white"
        size = max(1.2, 35 / np.sqrt(len(y))) if many else 4.5
        point = INK if many and colour == GREY else colour
        ax.plot(numbers.estimate[of], y[of], "o", color=point, markerfacecolor=filled, markersize=size, zorder=3)
    ax.axvline(0.0, color=INK, linewidth=0.8, linestyle="--", zorder=4)
    ax.set_xlabel("Effect")
    ax.set_title(title, fontsize="medium")
    ax.set_ylim(-0.7, len(y) - 0.3)
    finish(ax)


def _name_levels(ax: Axes, labels: list[str], term: str, first: bool) -> None:
    if len(labels) <= _NAMED:
        ax.set_yticks(range(len(labels)), labels if first else [""] * len(labels), fontsize="small")
        ax.grid(axis="y", color="#eeeeee", linewidth=0.8)
    else:
        ax.set_yticks([])
    if first:
        ax.set_ylabel(term if len(labels) <= _NAMED else f"{term}: {len(labels)} levels, sorted")
