"""What a cross-validation of several traits found: scores by fold and trait, predictions as records × traits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError
from .cross_validation import SCORES, CrossValidation, fold_notes
from .numbers import significant
from .table import Grid, SummaryTable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class TraitCrossValidation:
    """What `mixedvc.cross_validate` returns for several traits; `print` shows it.

    Attributes
    ----------
    method : str
    hidden : tuple of str
        Traits that were held out and predicted.
    table : DataFrame
        One row a finished fold and trait: n_train, n_test (cells of this trait), mse, r2, correlation, converged,
        seconds.
    observed, predictions, baseline : DataFrame
        Records × traits; NaN where a cell was not held out in a finished fold (`observed`: missing).
    fold : Series
        The fold in which each record is held out; None where in none.  It serves as ``folds=`` of another method.
    varcomp : DataFrame
        Variance parameters estimated in each fold.
    n_folds : int
    seed : int or None
    notes : tuple of str
        What predictions were made from.
    """

    method: str
    hidden: tuple[str, ...]
    table: pd.DataFrame
    observed: pd.DataFrame
    predictions: pd.DataFrame
    baseline: pd.DataFrame
    fold: pd.Series
    varcomp: pd.DataFrame
    n_folds: int
    seed: int | None = None
    notes: tuple[str, ...] = ()

    def of(self, trait: str) -> CrossValidation:
        """The results of one trait, as of a model of one response."""
        if trait not in self.hidden:
            raise OptionError(f"of({trait!r}): the traits held out are {', '.join(map(repr, self.hidden))}")
        return CrossValidation(
            method=self.method,
            response=trait,
            table=self.table[self.table.index.get_level_values("trait") == trait].droplevel("trait"),
            observed=self.observed[trait],
            predictions=self.predictions[trait],
            baseline=self.baseline[trait],
            fold=self.fold,
            varcomp=self.varcomp,
            n_folds=self.n_folds,
            seed=self.seed,
        )

    @property
    def complete(self) -> bool:
        """Whether every fold was finished."""
        return len(self.varcomp) == self.n_folds

    @cached_property
    def overall(self) -> pd.DataFrame:
        """mse, r2 and correlation of each trait: mean over folds, its standard error (sd/√folds), of all cells pooled.

        The standard error takes folds for independent, which they are not quite: it is a rough guide, usually too
        small.
        """
        import pandas as pd

        return pd.concat({name: self.of(name).overall for name in self.hidden}, names=["trait", None])

    def _means(self, score: str) -> pd.Series:
        values = {name: float(self.of(name).overall.loc["mean", score]) for name in self.hidden}  # type: ignore[arg-type]
        import pandas as pd

        return pd.Series(values, name=score)

    @property
    def mse(self) -> pd.Series:
        """Mean squared error of prediction of each trait, averaged over folds."""
        return self._means("mse")

    @property
    def r2(self) -> pd.Series:
        """1 − Σ(y − ŷ)²/Σ(y − baseline)² of each trait, averaged over folds."""
        return self._means("r2")

    @property
    def correlation(self) -> pd.Series:
        """Correlation of observed and predicted values of each trait, averaged over folds: the predictive ability."""
        return self._means("correlation")

    def plot(self, ax: Any = None) -> Any:
        """Observed against predicted values, a panel for each trait."""
        from .plots.cross_validation import cross_validation
        from .plots.style import axes, one_or_all

        count = len(self.hidden)
        panels = axes(count, ax, "a cross-validation plot", 5.0 * count, 4.6)
        for name, panel in zip(self.hidden, panels, strict=True):
            cross_validation(self.of(name), ax=panel)
            panel.set_title(name, fontsize="medium")
        return one_or_all(panels)

    def __str__(self) -> str:
        from .render import text

        return text(_summary(self))

    def __repr__(self) -> str:
        state = "" if self.complete else f" of {self.n_folds}"
        said = ", ".join(f"{name} {value:.3f}" for name, value in self.correlation.items())
        return (
            f"<TraitCrossValidation of {self.method}: {len(self.varcomp)}{state} folds, correlation {said}; print() "
            "shows it>"
        )

    def _repr_html_(self) -> str:
        from .render import as_html

        return as_html(_summary(self))


def _summary(cv: TraitCrossValidation) -> SummaryTable:
    banner = "" if cv.complete else f"INTERRUPTED after {len(cv.varcomp)} of {cv.n_folds} folds."
    left = [("Traits", ", ".join(cv.hidden)), ("Records", f"{len(cv.observed)}")]
    right = [("Method", cv.method), ("Folds", f"{cv.n_folds}" + ("" if cv.seed is None else f" (seed {cv.seed})"))]
    rows: list[tuple[str, ...]] = []
    for name in cv.hidden:
        overall, tested = cv.of(name).overall, int(cv.of(name).table["n_test"].sum())
        for which, words in (("mean", "mean of folds"), ("se", "std err"), ("pooled", "all cells")):
            scores = (significant(float(overall.loc[which, score])) for score in SCORES)  # type: ignore[arg-type]
            rows.append((name, words, f"{tested}" if which == "pooled" else "", *scores))
    grid = Grid(("Trait", "", "test", "MSE", "R2", "correlation"), tuple(rows), 2)
    one = cv.of(cv.hidden[0])
    header = tuple(zip(left, right, strict=True))
    return SummaryTable("Cross-validation", banner, header, (grid,), (*cv.notes, *fold_notes(one)))


def stacked(folds: list[Any], traits: list[str], rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows of (fold, trait) as a table."""
    import pandas as pd

    index = pd.MultiIndex.from_arrays([np.array(folds, dtype=object), traits], names=["fold", "trait"])
    return pd.DataFrame(rows, index=index)
