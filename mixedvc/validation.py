"""Cross-validation: fit without some rows, predict them, and measure how well, by any registered method."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .api import check_seed, fit_spec
from .covariance import Features, Marginal
from .design.folds import Fold, make_folds
from .design.spec import ModelSpec, Term
from .design.subset import take_rows
from .errors import MixedVCError, MixedVCWarning, OptionError, RankWarning, warn
from .estimators import estimators
from .inference.impute import conditional_mean
from .inference.parameters import parameters
from .inference.predict import held_out, predict_mean
from .progress import Progress
from .results.cross_validation import CrossValidation
from .results.held_out import Held, cells_held, of_traits, records_left, records_of, scored, traits_hidden
from .results.point import PointResults
from .results.trait_cross_validation import TraitCrossValidation

Float = NDArray[np.float64]
Positions = NDArray[np.intp]


def cross_validate(
    spec: ModelSpec,
    method: Any = "reml",
    folds: Any = 5,
    seed: int | None = None,
    *,
    groups: Any = None,
    restandardize: bool = False,
    hide: Any = None,
    residual: bool = True,
    progress: bool | None = None,
    **options: Any,
) -> CrossValidation | TraitCrossValidation:
    """Predict rows from a fit to the others, fold by fold.

    A row held out is predicted by its fixed effects, its offset and the random effects of its levels.  A level that
    has no training rows is predicted through its known covariance with those that have (as
    ``predict(new_levels="conditional")`` does), and is zero without one.

    Parameters
    ----------
    spec : ModelSpec
        From `model`.
    method : str or Estimator
        As in `fit`.
    folds : int, array (n,) or list of arrays
        A number of random folds of nearly equal size; or a label for each row, rows of one label being held out
        together; or the rows held out in each fold, by position (rows in none always train).  Rows are records where
        there are several traits.
    seed : int, optional
        Of the random folds, which are the same for every method, and of methods that draw.
    groups : str or array (n,), optional
        Rows that stay together in a random fold: all rows of a level of the random term of this name (``"kin"``: every
        prediction is for an individual without records), or of a label.
    restandardize : bool
        Standardise `Features` by the individuals with training rows only.  By default all individuals' features
        count, as is common in genomic prediction: no response is used.
    hide : str or list of str, optional
        Of several traits: those that are held out (of the records of a fold), the others staying in the training data
        ("CV2" in genomic prediction).  All traits by default ("CV1"): every prediction is for a record without data.
    residual : bool
        With `hide`: whether the residuals of the traits that stay count through the residual covariance, so that
        predictions are E(y | everything observed); False: fixed and random effects only.  Either way the correlation
        with y holds what the traits of a record share for other reasons than the random effects: it says how well y is
        predicted, not u (Runcie & Cheng 2019, G3 9:3727).
    progress : bool, optional
        Show a progress bar; by default only on a terminal or in a notebook, and only for long work.
    **options
        Of the method, and ``fixed_varcomp``, ``threads``: as in `fit`.  Predictions of ``method="gibbs"`` are posterior
        means, for which some hundred ``draws=`` are enough.

    Returns
    -------
    CrossValidation, or TraitCrossValidation of several traits
        ``print`` shows it; `table` has a row for each fold, `predictions` the rows.  Mean squared errors and r2 count
        every row once, whatever its weight.  If the work is interrupted, the finished folds are kept.

    Raises
    ------
    OptionError
        Folds or groups that do not fit the rows, unknown options.
    MixedVCError
        Where the fit to a fold's training rows fails; the message names the fold.

    Warns
    -----
    MixedVCWarning
        What the fits warned of, once for all folds.

    Examples
    --------
    >>> import mixedvc as mv
    >>> spec = mv.model("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    >>> cv = mv.cross_validate(spec, folds=6, seed=1)
    >>> cv.table.shape[0], round(cv.r2, 1)
    (6, 0.7)
    """
    if not isinstance(spec, ModelSpec):
        raise OptionError(f"cross_validate() takes a specification, mixedvc.model(formula, data), not {spec!r:.60}")
    hidden = traits_hidden(spec, hide, residual)
    check_seed(seed)
    if not isinstance(restandardize, bool):
        raise OptionError(f"restandardize={restandardize!r:.60}: True or False is needed")
    if isinstance(method, str):
        estimators.get(method)  # an unknown name is refused before anything else is done
    if spec.source is not None:
        spec.source.check_unchanged()
    asked = make_folds(records_of(spec), folds, groups, np.random.default_rng(seed))
    planned = [cells_held(spec, fold, hidden) for fold in asked]
    seeds = (
        [None] * len(planned) if seed is None else np.random.SeedSequence(seed).generate_state(len(planned)).tolist()
    )
    said, done = _Said(), []
    try:
        with Progress(f"cross-validation by {_name(method)}", len(planned), progress) as bar:
            for fold, own in zip(planned, seeds, strict=True):
                with said.listening(fold):
                    result = _one(spec, fold, method, own, restandardize, options, residual)
                if result is None:  # the estimator was interrupted and gave its last point
                    raise KeyboardInterrupt
                done.append(result)
                bar.step(r2=", ".join(f"{row['r2']:.3f}" for row in result.rows))
    except KeyboardInterrupt:
        if not done:
            raise
        warn(f"cross-validation interrupted: {len(done)} of {len(planned)} folds are finished")
    said.repeat()
    if spec.traits is not None:
        return of_traits(spec, _name(method), done, asked, hidden, residual, seed)
    return _collected(spec, _name(method), done, len(planned), asked, seed)


def _one(
    spec: ModelSpec,
    fold: Fold,
    method: Any,
    seed: int | None,
    restandardize: bool,
    options: dict[str, Any],
    residual: bool,
) -> Held | None:
    """Fit without the fold, predict it; None where the fit was interrupted."""
    began = time.perf_counter()
    test = fold.held_out
    train = take_rows(spec, np.delete(np.arange(spec.n), test))
    if restandardize:
        train = replace(train, terms=tuple(_restandardized(term) for term in train.terms))
    dropped = [name for name in spec.x_names if name not in train.x_names]
    if dropped:
        warn(f"columns that the other rows do not tell apart count zero: {', '.join(dropped)}", RankWarning)
    try:
        fit = fit_spec(train, method, seed=seed, progress=False, **options)
        if _interrupted(fit):
            return None
        rows = held_out(spec, train, test)
        if spec.traits is not None and residual:
            predicted = conditional_mean(train, fit._means, rows, records_left(spec, train, test))
        else:
            predicted = predict_mean(train, fit._means, rows, "conditional")
    except OptionError:
        raise
    except MixedVCError as error:
        raise MixedVCError(f"fold {fold.label} ({train.n} training rows): {error}") from error
    baseline, rows_of_table = scored(spec, train, test, predicted)
    also = {"converged": fit.converged, "seconds": time.perf_counter() - began}
    return Held(fold, [row | also for row in rows_of_table], predicted, baseline, fit.estimate.par)


def _interrupted(fit: PointResults) -> bool:
    """Whether the estimator was stopped and gave what it had."""
    draws = getattr(fit.estimate, "draws", None)
    return bool(draws.interrupted) if draws is not None else not fit.converged and "interrupted" in fit.estimate.message


def _restandardized(term: Term) -> Term:
    """The term with features standardised by the levels that have rows."""
    cov = term.covariance
    if isinstance(cov, Features):
        return replace(term, covariance=cov.standardized_by(term.positions))
    if isinstance(cov, Marginal) and isinstance(cov.base, Features):
        return replace(term, covariance=Marginal(cov.base.standardized_by(cov.rows[term.positions]), cov.rows))
    return term


@dataclass
class _Said:
    """Warnings of the folds, each kind said once at the end with the folds it came from."""

    heard: dict[type[Warning], dict[str, list[str]]] = field(default_factory=dict)

    def listening(self, fold: Fold) -> _Listening:
        return _Listening(self, str(fold.label))

    def repeat(self) -> None:
        for category, messages in self.heard.items():
            folds = list(dict.fromkeys(label for labels in messages.values() for label in labels))
            where = ", ".join(folds[:10]) + (f" and {len(folds) - 10} more" if len(folds) > 10 else "")
            first = next(iter(messages))
            more = f" ({len(messages) - 1} other such warnings)" if len(messages) > 1 else ""
            said = f"in fold{'s' * (len(folds) > 1)} {where}: {first}{more}"
            if issubclass(category, MixedVCWarning):
                warn(said, category)
            else:
                warnings.warn(said, category, stacklevel=3)


class _Listening:
    """Collects the warnings of one fold."""

    def __init__(self, said: _Said, label: str):
        self._said, self._label = said, label
        self._catch = warnings.catch_warnings(record=True)

    def __enter__(self) -> None:
        self._caught = self._catch.__enter__()
        warnings.simplefilter("always")

    def __exit__(self, *error: Any) -> None:
        self._catch.__exit__(*error)
        for warning in self._caught or ():
            kept = self._said.heard.setdefault(warning.category, {})
            kept.setdefault(str(warning.message), []).append(self._label)


def _name(method: Any) -> str:
    return method if isinstance(method, str) else str(getattr(method, "name", type(method).__name__))


def _collected(
    spec: ModelSpec, method: str, done: Sequence[Held], n_folds: int, planned: Sequence[Fold], seed: int | None
) -> CrossValidation:
    """Frames of what was found."""
    import pandas as pd

    index = pd.Index(spec.row_labels)
    predicted, baseline = np.full(spec.n, np.nan), np.full(spec.n, np.nan)
    labels = np.full(spec.n, None, dtype=object)
    for fold in planned:
        for row in fold.held_out:  # one by one: a label may be a tuple
            labels[row] = fold.label
    for result in done:
        predicted[result.fold.held_out] = result.predicted
        baseline[result.fold.held_out] = result.baseline
    folds = pd.Index([result.fold.label for result in done], name="fold", tupleize_cols=False)
    names = [p.name for p in parameters(spec)]
    return CrossValidation(
        method=method,
        response=spec.y_names[0],
        table=pd.DataFrame([result.rows[0] for result in done], index=folds),
        observed=pd.Series(spec.y.reshape(-1), index=index, name="observed"),
        predictions=pd.Series(predicted, index=index, name="predicted"),
        baseline=pd.Series(baseline, index=index, name="baseline"),
        fold=pd.Series(labels, index=index, name="fold"),
        varcomp=pd.DataFrame([result.par for result in done], index=folds, columns=names),
        n_folds=n_folds,
        seed=seed,
    )
