"""Comparison plot: every variance parameter as each method estimates it, with its interval."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import OptionError
from .style import BLUE, GREY, INK, ORANGE, axes, finish, one_or_all

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..comparison import Comparison

_BESIDE = 4  # panels in a row


def comparison(
    results: Comparison, parameters: str | Sequence[str] | None = None, *, level: float = 0.95, ax: Any = None
) -> Any:
    """One panel a variance parameter, one line a method: point and interval on the parameter's own scale.

    Blue methods maximised a likelihood, orange ones did not; a hollow point lies at the boundary.  Intervals are each
    method's own (`PointResults.variances`); a point without one has no standard error, and that of a constrained
    estimate may lie beside it, where it is centred at the estimate without constraints.  The dashed line is at zero,
    the grey one at the estimate with the highest common log-likelihood.

    Parameters
    ----------
    results : Comparison
    parameters : str or list of str, optional
        Names as in ``cov_varcomp()``, or of fixed effects; all variance parameters by default.
    level : float
    ax : matplotlib axes, optional
        One for each parameter; a new figure by default, four panels in a row.

    Returns
    -------
    Axes, or an array of Axes where there are several parameters.

    Raises
    ------
    OptionError
        An unknown parameter, or not as many axes as parameters.
    MissingExtra
        matplotlib is not installed.
    """
    frame = results.estimates(level=level)
    names = _chosen(frame, parameters)
    labels = results.labels
    across = min(len(names), _BESIDE)
    width = max(4.5, 1.0 + 0.075 * max(map(len, labels)) + 2.6 * across)
    height = 1.1 + 0.34 * len(labels)
    panels = axes(len(names), ax, "a comparison plot", width, height, across=across)
    for j, (panel, name) in enumerate(zip(panels, names, strict=True)):
        rows = frame[frame["parameter"] == name].set_index("method").reindex(list(labels))
        _draw(panel, rows, results, name)
        first = j % across == 0 or ax is not None
        panel.set_yticks(range(len(labels)), [_named(results, label) if first else "" for label in labels])
    if ax is None:
        heading = _heading(results, frame[frame["parameter"].isin(names)], level)
        panels[0].figure.suptitle(textwrap.fill(heading, int(width / 0.085)), fontsize="medium")
    return one_or_all(panels)


def _heading(results: Comparison, shown: Any, level: float) -> str:
    """What the signs mean, as far as they appear."""
    signs = []
    if len({fit.estimate.loglik is None for fit in results.fits.values()}) == 2:
        signs.append("blue: by likelihood, orange: by other equations")
    if shown["boundary"].any():
        signs.append("hollow: at the boundary")
    if ((shown["estimate"] < shown["lower"]) | (shown["estimate"] > shown["upper"])).any():
        signs.append("beside its interval: the estimate is constrained, the interval is not")
    return f"Estimates with {100 * level:g} % intervals" + (f" ({'; '.join(signs)})" if signs else "")


def _chosen(frame: Any, parameters: str | Sequence[str] | None) -> list[str]:
    every = list(dict.fromkeys(frame["parameter"]))
    if parameters is None:
        return list(dict.fromkeys(frame["parameter"][frame["kind"] != "fixed"]))
    names = [parameters] if isinstance(parameters, str) else list(parameters)
    unknown = [name for name in names if name not in every]
    if unknown or not names:
        asked = f"no parameter is called {unknown[0]!r}" if unknown else "parameters= is empty"
        raise OptionError(f"{asked}; there are {', '.join(map(repr, every))}")
    return names


def _draw(ax: Axes, rows: Any, results: Comparison, name: str) -> None:
    estimate, lower, upper = (rows[column].to_numpy(dtype=float) for column in ("estimate", "lower", "upper"))
    boundary = rows["boundary"].eq(True).to_numpy()
    y = np.arange(len(rows))
    best = results.best
    if best is not None:
        ax.axvline(estimate[list(rows.index).index(best)], color=GREY, linewidth=0.8, alpha=0.7)
    for j, label in enumerate(rows.index):
        if label in results.errors:
            continue
        colour = BLUE if results.fits[label].estimate.loglik is not None else ORANGE
        if np.isfinite(lower[j]):
            ax.hlines(y[j], lower[j], upper[j], color=colour, linewidth=1.8)
        ax.plot(
            estimate[j], y[j], "o", color=colour, markerfacecolor="white" if boundary[j] else colour, markersize=5.5
        )
    low, high = ax.get_xlim()
    if low <= 0.0 <= high or boundary.any():
        ax.axvline(0.0, color=INK, linewidth=0.8, linestyle="--", zorder=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)  # the first method on top
    ax.set_title(name, fontsize="medium")
    ax.tick_params(labelsize="small")
    ax.locator_params(axis="x", nbins=5)
    finish(ax)


def _named(results: Comparison, label: str) -> str:
    return f"{label} (failed)" if label in results.errors else label
