"""What a posterior says of rows: fitted values, new rows, missing responses, replicated data and checks by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference.intervals import check_level
from ..inference.posterior_draws import noise_draws, row_draws
from ..inference.posterior_intervals import check_kind
from ..inference.posterior_predict import replicated, row_summaries
from ..inference.predict import Rows, choose_terms, predict_mean, training_rows
from . import support
from . import trait_cells as cells
from .posterior_criteria import PosteriorCriteria
from .posterior_effects import PosteriorEffects, draw_index
from .trait_prediction import by_trait

if TYPE_CHECKING:
    import pandas as pd

    from .posterior_check import PosteriorCheck

Float = NDArray[np.float64]
INTERVALS = ("credible", "confidence", "prediction")


class PosteriorPredicting(PosteriorEffects, PosteriorCriteria):
    """Rows of a `PosteriorResults`, of one response or of several traits; to stand before `PointResults`."""

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
        kind: str = "hdi",
        draws: bool = False,
    ) -> Any:
        """Posterior of the expectation, or of a new observation, of rows of `newdata` (the rows of the fit by default).

        Parameters
        ----------
        random : "all", "none" or list of term names
            Which random terms are added; columns of the others need not be there.
        new_levels : str
            Levels without rows in the fit: "error"; "zero" leaves the term out for them; "conditional" predicts those
            the known covariance knows from their relatives, and draws others from N(0, Σ), one effect a level.
        features : mapping, optional
            Features of levels that a `Features` covariance does not know, by its name in ``cov=``: a frame with the
            levels as its index, or ``(matrix, labels)``.
        se : bool
            Add posterior standard deviations of x'β + z'u.
        interval : "credible" or "prediction", optional
            Of x'β + z'u ("confidence" says the same), or of a new observation: its residual is in the limits.
        level : float
        kind : str
            "hdi" (the shortest interval) or "quantile" (equal tails).
        draws : bool
            The draws themselves: of x'β + z'u, or of new observations with ``interval="prediction"``.  Residuals of
            the cells of a record then depend on each other as the model says.

        Returns
        -------
        Series of posterior means, or a DataFrame with columns predicted, se (posterior standard deviation), lower,
        upper; of several traits records × traits, with these columns under each trait.  With `draws` a DataFrame with
        rows (chain, draw) and a column for each row, (record, trait) of several traits.
        """
        if interval is not None and interval not in INTERVALS:
            raise OptionError(f"interval={interval!r} is not one of 'credible', 'prediction', None")
        level, kind = check_level(level), check_kind(kind)
        if not isinstance(draws, bool):
            raise OptionError(
                f"draws={draws!r}: True or False is needed; random_effects_draws() and posterior_predictive() take a "
                "number"
            )
        chosen = choose_terms(self.spec, random)
        if newdata is None and features is not None:
            raise OptionError("features= describes levels of new rows: give newdata= too")
        place = _Place(self, newdata, chosen, new_levels, features, interval == "prediction")
        if draws:
            return place.draws(interval == "prediction")
        return place.summaries(se, interval, level, kind)

    def impute(
        self: Any,
        *,
        se: bool = True,
        interval: bool = False,
        level: float = 0.95,
        kind: str = "hdi",
        draws: bool = False,
    ) -> pd.DataFrame:
        """Posterior of the responses that are missing: of rows whose response is, and of cells of several traits.

        Nothing changes for the rest of the model: a missing response says nothing of β, u and θ (augmenting it in
        every iteration, as MCMCglmm does, gives the same posterior).

        Parameters
        ----------
        se : bool
            Add the posterior standard deviation of the response that was not observed, its residual included; of
            several traits, given the other cells of the record.
        interval : bool
            Add limits, lower and upper.
        level : float
        kind : str
            "hdi" (the shortest interval) or "quantile" (equal tails).
        draws : bool
            The draws themselves: rows (chain, draw), a column for each missing response.

        Returns
        -------
        DataFrame, one row a missing response: record, trait (of several), value (posterior mean)[, se[, lower, upper]].
        Rows that lack a predictor as well are not there; records without any trait neither: `predict` takes those.

        Raises
        ------
        OptionError
            A model that was not made from a formula and data.
        NotProvided
            One response whose residuals depend on each other.
        """
        from .posterior_impute import imputed

        return imputed(self, se, interval, check_level(level), check_kind(kind), draws)

    def simulate(
        self: Any, nsim: int = 1, *, seed: int | np.random.Generator | None = None, random: str = "new"
    ) -> pd.DataFrame:
        """New responses, each from one draw of the posterior: one column a draw, or (draw, trait) of several traits.

        ``random="new"`` draws random effects from N(0, Σ ⊗ A), as of other levels; "fitted" from their posterior.
        """
        import pandas as pd

        y = replicated(self._single, self.draws, nsim, seed, random)
        names = [f"sim_{j + 1}" for j in range(y.shape[1])]
        if self.spec.traits is not None:
            return pd.concat([self.padded(column, "") for column in y.T], axis=1, keys=names, names=["draw", "trait"])
        return pd.DataFrame({name: self.padded(column, name) for name, column in zip(names, y.T, strict=True)})

    def posterior_predictive(
        self: Any, n: int = 1000, *, random: str = "fitted", seed: int | None = None
    ) -> pd.DataFrame:
        """Replicated responses of the rows of the fit: `simulate` with their own levels by default, a row a draw.

        Parameters
        ----------
        n : int
            Replicates, each from one of the kept draws.
        random : str
            "fitted": the levels of the fit; "new": other levels, from N(0, Σ ⊗ A).
        seed : int, optional
            The fit's own by default, so that replicates are the same whenever they are asked for.

        Returns
        -------
        DataFrame (n, rows): columns rows of the fit, or (record, trait).
        """
        import pandas as pd

        y = replicated(self._single, self.draws, n, self.draws.seed if seed is None else seed, random)
        return pd.DataFrame(y.T, columns=_row_index(self.spec), index=pd.RangeIndex(n, name="replicate"))

    def check(
        self: Any, statistic: Any = "sd", *, n: int = 1000, random: str = "fitted", seed: int | None = None
    ) -> PosteriorCheck:
        """Posterior predictive check: a statistic of the data among those of replicated data.

        Parameters
        ----------
        statistic : str or callable
            "mean", "sd", "min", "max", "skewness", "kurtosis", or a function of the response (rows,) → number.
        n : int
            Replicates.
        random : str
            "fitted": replicates have the random effects of the fit; "new": of new levels, which checks the
            distribution of the random effects too.
        seed : int, optional

        Returns
        -------
        PosteriorCheck
            ``observed``, ``replicated``, ``p_value`` = P(T(y_rep) ≥ T(y) | y), of each trait; ``plot()``.
        """
        from .posterior_check import posterior_check

        return posterior_check(self, statistic, n, random, seed)


class _Place:
    """Rows to predict, and how what is found is laid out."""

    def __init__(
        self, fit: Any, newdata: Any, chosen: Sequence[int], new_levels: str, features: Any, residual: bool
    ) -> None:
        self.fit, self.spec, self.new_levels = fit, fit.spec, new_levels
        traits = self.spec.traits
        self.fills: tuple[Any, ...] = ()
        self.index: Any = None
        if newdata is None:
            self.rows, self.new_levels = training_rows(self.spec, chosen), "error"
            self.record = self.spec.residual.codes if self.spec.correlated_residual else None
            if traits is not None and not traits.complete and self.spec.source is not None:
                self.fills = cells.missing_rows(fit, chosen)
        elif traits is None:
            self.rows, wrap = support.new_rows(fit, newdata, chosen, new_levels, features, residual)
            self.index, self.record = wrap(np.zeros(len(self.rows.X)), "").index, None
        else:
            self.rows, self.index = cells.new_rows(fit, newdata, chosen, new_levels, features)
            self.record = np.repeat(np.arange(len(self.index)), traits.t)

    def summaries(self, se: bool, interval: str | None, level: float, kind: str) -> Any:
        """Means, and se and limits where they are asked for."""
        found = self._of(self.rows, self.new_levels, se, interval, level, kind)
        if self.spec.traits is None:
            return self._single(found)
        if self.index is not None:
            shape = (len(self.index), self.spec.traits.t)
            return by_trait({k: v.reshape(shape) for k, v in found.items()}, self.index, self.spec.traits.names)
        tables = {name: self.spec.traits.table(values) for name, values in found.items()}
        if self.fills:
            rows, record, trait = self.fills
            for name, values in self._of(rows, "conditional", se, interval, level, kind).items():
                tables[name][record, trait] = values
        frames = {name: cells.cell_frame(self.spec, table) for name, table in tables.items()}
        index = frames["predicted"].index
        return by_trait({name: frame.to_numpy() for name, frame in frames.items()}, index, self.spec.traits.names)

    def _of(
        self, rows: Rows, new_levels: str, se: bool, interval: str | None, level: float, kind: str
    ) -> dict[str, Float]:
        out = {"predicted": predict_mean(self.spec, self.fit._means, rows, new_levels)}
        if se or interval is not None:
            out |= row_summaries(self.fit._effects, rows, interval, level, kind, new_levels)
        return out

    def _single(self, found: dict[str, Float]) -> Any:
        import pandas as pd

        def wrap(values: Float, name: str) -> Any:
            return (
                self.fit.padded(values, name) if self.index is None else pd.Series(values, index=self.index, name=name)
            )

        if len(found) == 1:
            return wrap(found["predicted"], "predicted")
        return pd.DataFrame({name: wrap(values, name) for name, values in found.items()})

    def draws(self, observations: bool) -> pd.DataFrame:
        """A row a draw, a column a row (or a cell)."""
        import pandas as pd

        drawn = self.fit._effects
        f = row_draws(drawn, self.rows, self.new_levels)
        if observations:
            f = f + noise_draws(drawn, self.rows, self.record)
        if self.index is None:
            columns = _row_index(self.spec)
        elif self.spec.traits is None:
            columns = self.index
        else:
            columns = pd.MultiIndex.from_product([self.index, list(self.spec.traits.names)], names=["record", "trait"])
        return pd.DataFrame(f, index=draw_index(drawn), columns=columns)


def _row_index(spec: Any) -> Any:
    """Labels of the rows of the fit: records and traits of cells."""
    import pandas as pd

    if spec.traits is None:
        return pd.Index(spec.row_labels, tupleize_cols=False)
    labels, names = spec.traits.labels[spec.traits.record], np.array(spec.traits.names, dtype=object)[spec.traits.trait]
    return pd.MultiIndex.from_arrays([labels, names], names=["record", "trait"])
