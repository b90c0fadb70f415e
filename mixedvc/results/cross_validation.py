"""What a cross-validation found: a table of folds, a prediction for every row held out, text, HTML and a plot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .numbers import significant
from .table import Grid, SummaryTable

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
SCORES = ("mse", "r2", "correlation")
_SHOWN = 20  # folds that are printed one by one


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """What `mixedvc.cross_validate` returns; `print` shows it, a notebook draws it as a table.

    Attributes
    ----------
    method : str
    response : str
    table : DataFrame
        One row a fold that was finished: n_train, n_test, mse, r2, correlation, converged, seconds.
    observed, predictions : Series
        Of the model's rows, by their labels; `predictions` is NaN where a row was held out of no finished fold.
    fold : Series
        The fold in which each row is held out; None where in none.  It serves as ``folds=`` of another method.
    baseline : Series
        What r2 compares with: the training rows' mean of y minus offset, plus the row's offset.
    varcomp : DataFrame
        Variance parameters estimated in each fold, by their names in ``fit.cov_varcomp()``.
    n_folds : int
        Folds asked for: more than the table has where the work was interrupted.
    seed : int or None
    """

    method: str
    response: str
    table: pd.DataFrame
    observed: pd.Series
    predictions: pd.Series
    baseline: pd.Series
    fold: pd.Series
    varcomp: pd.DataFrame
    n_folds: int
    seed: int | None = None

    @property
    def complete(self) -> bool:
        """Whether every fold was finished."""
        return len(self.table) == self.n_folds

    @cached_property
    def overall(self) -> pd.DataFrame:
        """mse, r2 and correlation: mean over folds, its standard error (sd/√folds), and of all rows pooled.

        The standard error takes folds for independent, which they are not quite (they share training rows): it is a
        rough guide, usually too small.
        """
        import pandas as pd

        scores = self.table[list(SCORES)]
        count = scores.notna().sum()
        se = scores.std(ddof=1) / np.sqrt(count)
        done = self.predictions.notna().to_numpy()
        columns = (s.to_numpy(dtype=float)[done] for s in (self.observed, self.predictions, self.baseline))
        pooled = pd.Series(dict(zip(SCORES, scores_of(*columns), strict=True)))
        return pd.DataFrame({"mean": scores.mean(), "se": se, "pooled": pooled}).T

    @property
    def mse(self) -> float:
        """Mean squared error of prediction, averaged over folds."""
        return float(self.overall["mse"].to_numpy()[0])

    @property
    def r2(self) -> float:
        """1 − Σ(y − ŷ)²/Σ(y − baseline)², averaged over folds."""
        return float(self.overall["r2"].to_numpy()[0])

    def plot(self, ax: Any = None) -> Any:
        """Observed against predicted values, folds told apart."""
        from .plots.cross_validation import cross_validation

        return cross_validation(self, ax=ax)

    def __str__(self) -> str:
        from .render import text  # statsmodels is behind it

        return text(_summary(self))

    def __repr__(self) -> str:
        state = "" if self.complete else f" of {self.n_folds}"
        return f"<CrossValidation of {self.method}: {len(self.table)}{state} folds, r2 {self.r2:.3f}; print() shows it>"

    def _repr_html_(self) -> str:
        from .render import as_html

        return as_html(_summary(self))


def scores_of(y: Float, predicted: Float, baseline: Float) -> tuple[float, float, float]:
    """Mean squared error, R² about the baseline, correlation; NaN where nothing varies."""
    sse, sst = float(np.sum((y - predicted) ** 2)), float(np.sum((y - baseline) ** 2))
    r2 = 1.0 - sse / sst if sst > 0 else np.nan
    a, b = y - y.mean(), predicted - predicted.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    flat = size <= 1e-12 * float(np.sqrt((y @ y) * (predicted @ predicted)))
    return sse / len(y), r2, np.nan if flat else float(a @ b) / size


def _summary(cv: CrossValidation) -> SummaryTable:
    banner = "" if cv.complete else f"INTERRUPTED after {len(cv.table)} of {cv.n_folds} folds."
    left = [("Response", cv.response), ("Rows", f"{len(cv.observed)}")]
    right = [("Method", cv.method), ("Folds", f"{cv.n_folds}" + ("" if cv.seed is None else f" (seed {cv.seed})"))]
    header = tuple(zip(left, right, strict=True))
    return SummaryTable("Cross-validation", banner, header, (_grid(cv),), tuple(fold_notes(cv)))


def _grid(cv: CrossValidation) -> Grid:
    rows: list[tuple[str, ...]] = []
    if len(cv.table) <= _SHOWN:
        for label, r in cv.table.iterrows():
            scores = (significant(float(r[name])) for name in SCORES)
            rows.append((str(label), f"{r['n_train']}", f"{r['n_test']}", *scores))
    total = int(cv.table["n_test"].sum())
    for name, words in (("mean", "mean"), ("se", "std err"), ("pooled", "all rows")):
        scores = (significant(x) for x in cv.overall.loc[[name]].to_numpy(dtype=float)[0].tolist())
        rows.append((words, "", f"{total}" if name == "pooled" else "", *scores))
    return Grid(("Fold", "train", "test", "MSE", "R2", "correlation"), tuple(rows), 1)


def fold_notes(cv: CrossValidation) -> list[str]:
    """How the scores are made, and the folds that did not converge."""
    notes = [
        "R2: 1 - SSE/SST, SST about the mean of the training rows (offsets on both sides); it can be negative.",
        "std err: of the mean over folds, as if they were independent.",
    ]
    failed = [str(label) for label in cv.table.index[~cv.table["converged"].astype(bool)]]
    if failed:
        notes.append(f"Not converged in fold {', '.join(failed[:10])}{' and others' * (len(failed) > 10)}.")
    return notes
