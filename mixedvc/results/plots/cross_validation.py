"""Cross-validation plot: observed values against the predictions of fits that had not seen them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .style import BLUE, INK, axes, finish, point_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..cross_validation import CrossValidation

_FOLDS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito's, on white
_MARKERS = ("o", "s", "^", "D", "v", "P")
_RASTER = 5000  # points beyond which a vector file would grow heavy


def cross_validation(results: CrossValidation, *, ax: Any = None) -> Any:
    """Observed against predicted, with the line of perfect prediction; up to six folds have their own colours.

    Points that rise less steeply than the line are predictions that vary too much, points that rise more steeply
    predictions that vary too little; the legend gives each fold's R².

    Parameters
    ----------
    results : CrossValidation
    ax : matplotlib axes, optional
        A new figure by default.

    Returns
    -------
    Axes

    Raises
    ------
    OptionError
        `ax` is not one axes.
    MissingExtra
        matplotlib is not installed.
    """
    (panel,) = axes(1, ax, "a cross-validation plot", 5.6, 4.8)
    x, y = results.predictions.to_numpy(dtype=float), results.observed.to_numpy(dtype=float)
    done = np.isfinite(x)
    low, high = float(min(x[done].min(), y[done].min())), float(max(x[done].max(), y[done].max()))
    panel.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle="--", zorder=1)
    if len(results.table) <= len(_FOLDS):
        of = results.fold.to_numpy()
        for j, (label, row) in enumerate(results.table.iterrows()):
            rows = np.array([one == label for one in of], dtype=bool) & done
            _points(panel, x[rows], y[rows], len(x), _FOLDS[j], _MARKERS[j], f"{label}: {row['r2']:.2f}")
        panel.legend(title="Fold: R²", frameon=False, fontsize="small", title_fontsize="small", loc="best")
    else:
        _points(panel, x[done], y[done], len(x), BLUE, "o", "")
        mean, se = results.overall.loc[["mean", "se"], "r2"]
        panel.set_title(f"R² {mean:.2f} (standard error {se:.2f}) over {len(results.table)} folds", fontsize="medium")
    panel.set_xlabel(f"Predicted {results.response}, by {results.method} without the fold")
    panel.set_ylabel(f"Observed {results.response}")
    finish(panel)
    return panel


def _points(ax: Axes, x: Any, y: Any, n: int, colour: str, marker: str, label: str) -> None:
    ax.plot(
        x,
        y,
        marker,
        color=colour,
        markersize=point_size(n),
        markeredgewidth=0,
        alpha=0.45 if n > 500 else 0.75,
        rasterized=n > _RASTER,
        label=label or "_rows",
        zorder=2,
    )
