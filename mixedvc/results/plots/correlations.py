"""Heat-map of correlations of traits: numbers in the cells, one matrix below the diagonal and another above it."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from ...inference.intervals import check_level
from ...inference.traits import component, families_of, main_component
from .style import BLUE, GREY, INK, ORANGE, axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..traits import TraitResults

ERRORS = 8  # traits up to which a cell has room for its standard error
NUMBERS = 20  # traits up to which a cell has room for a number


def correlations(
    results: TraitResults, which: str | None = None, above: str | None = None, *, level: float = 0.95, ax: Any = None
) -> Any:
    """Correlations of the traits as colours, blue above zero and orange below, with their numbers and errors.

    Parameters
    ----------
    results : TraitResults
    which : str, optional
        Below the diagonal, and above it too unless `above` names another: a term, "Residual", "phenotypic".
    above : str, optional
    level : float
        Of the intervals: a correlation whose interval excludes zero is bold.
    ax : matplotlib axes, optional
        A new figure by default.

    Returns
    -------
    Axes
    """
    check_level(level)
    names = (which or main_component(results.spec), above or which or main_component(results.spec))
    below, top = (component(results.spec, name) for name in names)
    t = results.spec.traits.t
    (panel,) = axes(1, ax, "a plot of correlations", *_size(t))
    values = np.full((t, t), np.nan)
    errors, clear = np.full((t, t), np.nan), np.zeros((t, t), dtype=bool)
    for name, matrix, lower in ((names[0], below, True), (names[1], top, False)):
        at = [results.traits.index(trait) for trait in matrix.traits]
        for (j, k), row in zip(matrix.pairs, _records(results, name, level), strict=True):
            cell = (at[k], at[j]) if lower else (at[j], at[k])
            values[cell], errors[cell] = row["correlation"], row["se"]
            clear[cell] = row["lower"] > 0 or row["upper"] < 0
    _draw(panel, results, values, errors, clear)
    _explain(panel, results, below.name, top.name, _shares(panel, results, names[0]))
    return panel


def _records(results: TraitResults, name: str, level: float) -> list[Any]:
    return results.correlations(name, level).to_dict("records")


def _size(t: int) -> tuple[float, float]:
    side = float(np.clip(1.8 + 0.8 * t, 3.6, 11.0))
    return side + 1.3, side


def _draw(ax: Axes, results: TraitResults, values: Any, errors: Any, clear: Any) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    t = len(values)
    scale = LinearSegmentedColormap.from_list("correlation", [ORANGE, "#ffffff", BLUE])
    ax.set_facecolor("#efefef")  # the diagonal, and what is not defined
    image = ax.imshow(np.ma.masked_invalid(values), cmap=scale, vmin=-1, vmax=1, aspect="equal")
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, ticks=[-1, -0.5, 0, 0.5, 1])
    bar.outline.set_visible(False)
    bar.set_label("Correlation")
    size = _font(t)
    for (j, k), r in np.ndenumerate(values):
        if not np.isfinite(r) or t > NUMBERS:
            continue
        ink = "#ffffff" if abs(r) > 0.75 else INK
        error = errors[j, k] if t <= ERRORS and np.isfinite(errors[j, k]) else None
        ax.text(
            k,
            j - (0.13 if error is not None else 0.0),
            f"{r:.2f}".replace("-", "\u2212"),
            ha="center",
            va="center",
            color=ink,
            fontsize=size,
            fontweight="bold" if clear[j, k] else "normal",
        )
        if error is not None:
            ax.text(k, j + 0.2, f"({error:.2f})", ha="center", va="center", color=ink, fontsize=0.75 * size)
    ax.set_xticks(range(t), results.traits, rotation=0 if _short(results.traits) else 45)
    if not _short(results.traits):
        for label in ax.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")
    ax.set_yticks(range(t), results.traits)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xticks(np.arange(t + 1) - 0.5, minor=True)
    ax.set_yticks(np.arange(t + 1) - 0.5, minor=True)
    ax.grid(which="minor", color="#ffffff", linewidth=1.5)
    ax.tick_params(which="minor", length=0)


def _short(names: tuple[str, ...]) -> bool:
    return len(names) * max(map(len, names)) <= 36


def _shares(ax: Axes, results: TraitResults, name: str) -> bool:
    """The term's share of each trait's variance (a heritability) on the diagonal; False where it has none."""
    t = len(results.traits)
    if name not in families_of(results.spec) or t > NUMBERS:
        return False
    for j, share in enumerate(results.heritabilities(name)["heritability"]):
        ax.text(j, j, f"{100 * share:.0f} %", ha="center", va="center", color="#5f5f5f", fontsize=_font(t))
    return True


def _font(t: int) -> float:
    return float(np.clip(13 - 0.55 * t, 5, 11))


def _explain(ax: Axes, results: TraitResults, below: str, above: str, shares: bool) -> None:
    """What is where."""
    title = f"Correlations: {below}" if below == above else f"Correlations: {below} below, {above} above the diagonal"
    inches = ax.get_window_extent().width / ax.figure.dpi
    ax.set_title(textwrap.fill(title, max(20, int(12 * inches))), fontsize=10, loc="left", color=INK)
    said = ["standard errors in brackets"] if len(results.traits) <= ERRORS else []
    said += ["bold: interval excludes zero"] if len(results.traits) <= NUMBERS else []
    said += ["diagonal: share of the trait's variance"] if shares else []
    ax.set_xlabel(textwrap.fill("; ".join(said), max(24, int(14 * inches))), fontsize=8, color=GREY)
