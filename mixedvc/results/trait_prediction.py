"""What a fit of several traits says of its cells: fitted values, predictions, missing cells, a selection index.

Everything about rows comes as records × traits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference import intervals
from ..inference import simulate as draws
from ..inference.impute import conditional_mean, conditional_variance
from ..inference.predict import Rows, choose_terms, predict_mean, prediction_variance, training_rows
from . import trait_cells as cells
from .frames import influence_of_rows
from .selection_index import SelectionIndex, selection_index
from .support import residual_variances, used_data

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


class TraitPrediction:
    """Rows of a `PointResults` of several traits, as frames of records × traits; to stand before it in the bases."""

    def padded(self: Any, values: Float, name: str) -> pd.DataFrame:
        """A quantity (N,) of the rows of the fit as records × traits; NaN in missing cells."""
        return cells.cell_frame(self.spec, self.spec.traits.table(values))

    @cached_property
    def fittedvalues(self: Any) -> pd.DataFrame:
        """Xβ̂ + offset + Σ Z û, records × traits; missing cells have one too (see `impute` for their best guess).

        NaN at dropped records under ``missing="exclude"``, and in missing cells where the model was not made from a
        formula and data.
        """
        return self._everywhere(self._fitted, range(len(self.spec.terms)))

    @cached_property
    def fixed_fit(self: Any) -> pd.DataFrame:
        """Xβ̂ + offset, records × traits."""
        rows = training_rows(self.spec, ())
        return self._everywhere(predict_mean(self.spec, self._means, rows), ())

    def _everywhere(self: Any, values: Float, chosen: Sequence[int]) -> pd.DataFrame:
        """Fitted values (N,) with those of the missing cells."""
        table = self.spec.traits.table(values)
        if not self.spec.traits.complete and self.spec.source is not None:
            rows, record, trait = cells.missing_rows(self, list(chosen))
            table[record, trait] = predict_mean(self.spec, self._means, rows, "conditional")
        return cells.cell_frame(self.spec, table)

    def predict(
        self: Any,
        newdata: Any = None,
        *,
        random: str | Sequence[str] = "all",
        new_levels: str = "error",
        features: Mapping[str, Any] | None = None,
        se: bool = False,
        interval: str | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """Predict every trait of the records of `newdata` (the records of the fit by default).

        A level that has records of some traits only, or none, is predicted through the covariance between traits and
        levels.  The residual of a record is not predicted: `impute` does that for the missing cells of the fit.

        Parameters
        ----------
        random : "all", "none" or list of term names
            Which random terms are added; columns of the others need not be there.
        new_levels : str
            Levels without rows in the fit: "error"; "zero" leaves the term out for them; "conditional" predicts those
            the known covariance knows through its cross terms, others at prior mean 0 with prior variance.
        features : mapping, optional
            Features of levels that a `Features` covariance does not know, by its name in ``cov=``: a frame with the
            levels as its index, or ``(matrix, labels)``.
        se : bool
            Add standard errors of x'β̂ + z'û as a guess of x'β + z'u: Var(β̂) and Cov(β̂, û) are in them.
        interval : "confidence" or "prediction", optional
            The second adds the residual variance of the trait.

        Returns
        -------
        DataFrame, records × traits; with `se` or `interval` each trait has the columns predicted, se, lower, upper
        (``.predict(new, se=True)["y1"]``).
        """
        if interval not in (None, "confidence", "prediction"):
            raise OptionError(f"interval={interval!r} is not one of 'confidence', 'prediction', None")
        level = intervals.check_level(level)
        chosen = choose_terms(self.spec, random)
        if newdata is not None:
            rows, index = cells.new_rows(self, newdata, chosen, new_levels, features)
            shape = (len(index), self.spec.traits.t)
            columns = self._quantities(rows, se, interval, level, new_levels)
            return by_trait({k: v.reshape(shape) for k, v in columns.items()}, index, self.spec.traits.names)
        if features is not None:
            raise OptionError("features= describes levels of new rows: give newdata= too")
        return self._predict_records(chosen, se, interval, level)

    def _predict_records(self: Any, chosen: Sequence[int], se: bool, interval: str | None, level: float) -> Any:
        """Predictions of every cell of the records of the fit."""
        traits = self.spec.traits
        found = self._quantities(training_rows(self.spec, chosen), se, interval, level, "error")
        tables = {name: traits.table(values) for name, values in found.items()}
        if not traits.complete and self.spec.source is not None:
            rows, record, trait = cells.missing_rows(self, chosen)
            for name, values in self._quantities(rows, se, interval, level, "conditional").items():
                tables[name][record, trait] = values
        frames = {name: cells.cell_frame(self.spec, table) for name, table in tables.items()}
        index = frames["predicted"].index
        return by_trait({name: frame.to_numpy() for name, frame in frames.items()}, index, traits.names)

    def _quantities(
        self: Any, rows: Rows, se: bool, interval: str | None, level: float, new_levels: str
    ) -> dict[str, Float]:
        """predicted and, where asked for, se, lower, upper of rows."""
        mean = predict_mean(self.spec, self._means, rows, new_levels)
        out = {"predicted": mean}
        if not se and interval is None:
            return out
        variance = prediction_variance(self.spec, self.evaluation, rows, new_levels)
        out["se"] = np.sqrt(variance)
        if interval is not None:
            extra = residual_variances(self, rows) if interval == "prediction" else 0.0
            out["lower"], out["upper"] = intervals.wald(mean, np.sqrt(variance + extra), level)
        return out

    def impute(self: Any, *, se: bool = True, interval: bool = False, level: float = 0.95) -> pd.DataFrame:
        """The missing cells: their expectation given every observed cell, with standard errors.

        E(y_m | y) = x'β̂ + z'û + Σ_mo Σ_oo⁻¹ (y_o − X_oβ̂ − Z_oû): the other traits of the record count through the
        residual covariance as well, which is not in `fittedvalues` (Goldberger 1962).

        Parameters
        ----------
        se : bool
            Add the standard error of the guess: of û, of β̂, and of the part of the residual that is left; the variance
            parameters count as known.
        interval : bool
            Add limits, lower and upper, of the value that was not observed.
        level : float
            Of the limits.

        Returns
        -------
        DataFrame, one row a missing cell: record, trait, value[, se[, lower, upper]].  Records without any trait are
        not in the fit: `predict` takes them as new data.

        Raises
        ------
        OptionError
            A model that was not made from a formula and data.
        """
        import pandas as pd

        level, spec = intervals.check_level(level), self.spec
        if spec.traits.complete:
            columns = ["record", "trait", "value", *(["se"] * (se or interval)), *(["lower", "upper"] * interval)]
            return pd.DataFrame({name: [] for name in columns})
        rows, record, trait = cells.missing_rows(self, range(len(spec.terms)))
        value = conditional_mean(spec, self.evaluation, rows, record)
        out = {"record": spec.traits.labels[record], "trait": np.array(spec.traits.names, dtype=object)[trait]}
        out["value"] = value
        if se or interval:
            out["se"] = np.sqrt(conditional_variance(spec, self.evaluation, rows, record))
        if interval:
            out["lower"], out["upper"] = intervals.wald(value, out["se"], level)
        return pd.DataFrame(out)

    def selection_index(
        self: Any,
        weights: Mapping[str, float],
        term: str | None = None,
        *,
        select: float | int | None = None,
        candidates: Sequence[Any] | None = None,
    ) -> SelectionIndex:
        """Rank levels by I = Σ w_a û_a, the best predictor of their merit Σ w_a u_a.

        Parameters
        ----------
        weights : mapping from trait to number
            Economic value of one unit of each trait; others count 0 (they still inform about the ones named).  In a
            term with more effects than intercepts an effect may be named, ``"y1: Days"``.
        term : str, optional
            Needed unless one term has a covariance (or there is one term).
        select : float or int, optional
            A fraction of the candidates, or how many of them, to select: adds the gain that is expected of it.
        candidates : sequence, optional
            Labels of the levels that can be selected; all of them by default, relatives without records included.

        Returns
        -------
        SelectionIndex
            ``frame`` (levels: index, pev, accuracy, rank[, selected]), sorted by rank; ``gain`` (traits and the index:
            selected, expected).  "selected" is the mean û of those selected minus that of all candidates, which is what
            is expected of these; "expected" is i·Cov(u_a, I)/√Var(I), what selecting this fraction gives on average
            (Hazel 1943; Cochran 1951), with Var(û) averaged over the candidates and i that of infinitely many.

        Raises
        ------
        OptionError
            Traits, terms or candidates that the model does not have, weights that are all zero.
        """
        return selection_index(self, weights, term, select, candidates)

    def augment(self: Any, *, influence: bool = False) -> pd.DataFrame:
        """The data with .fitted, .resid and .fixed of every trait beside them (``.fitted.y1``): a row for each record.

        With `influence` also .hat and .cooksd, of each cell.
        """
        import pandas as pd

        frames = {".fitted": self.fittedvalues, ".resid": self.resid, ".fixed": self.fixed_fit}
        for name, values in ((".weights", self.spec.weights), (".offset", self.spec.offset)):
            if values is not None:
                frames[name] = self.padded(values, name)
        if influence:
            hat, cook = influence_of_rows(self)
            frames |= {".hat": self.padded(hat, "hat"), ".cooksd": self.padded(cook, "cooksd")}
        added = pd.concat([frame.add_prefix(f"{name}.") for name, frame in frames.items()], axis=1)
        added.columns.name = None
        data = used_data(self.spec)
        return added if data is None else pd.concat([data, added], axis=1)

    def simulate(
        self: Any, nsim: int = 1, *, seed: int | np.random.Generator | None = None, random: str = "new"
    ) -> pd.DataFrame:
        """New responses in the cells that were observed: columns (draw, trait), so that ``["sim_1"]`` can be refitted.

        ``random="new"`` draws random effects, "fitted" keeps the BLUPs.
        """
        import pandas as pd

        y = draws.simulate(self.spec, self.evaluation, nsim, seed, random)
        names = [f"sim_{j + 1}" for j in range(y.shape[1])]
        return pd.concat([self.padded(column, "") for column in y.T], axis=1, keys=names, names=["draw", "trait"])


def by_trait(tables: Mapping[str, Float], index: Any, names: Sequence[str]) -> pd.DataFrame:
    """Records × traits; columns (trait, quantity) where there are several quantities."""
    import pandas as pd

    if len(tables) == 1:
        return pd.DataFrame(tables["predicted"], index=index, columns=pd.Index(names, name="trait"))
    columns = pd.MultiIndex.from_product([list(names), list(tables)], names=["trait", None])
    values = np.stack(list(tables.values()), axis=2).reshape(len(index), -1)
    return pd.DataFrame(values, index=index, columns=columns)
