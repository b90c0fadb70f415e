"""Rows that a cross-validation holds out, of one response or of several traits, and the scores of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.folds import Fold
from ..design.frames import nearest
from ..design.spec import ModelSpec
from ..errors import OptionError
from ..inference.parameters import parameters
from .cross_validation import scores_of
from .trait_cross_validation import TraitCrossValidation, stacked

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Held:
    """One finished fold: what was held out (rows of the specification), scores by trait, predictions, estimates."""

    fold: Fold
    rows: list[dict[str, Any]]
    predicted: Float
    baseline: Float
    par: Float


def traits_hidden(spec: ModelSpec, hide: Any, residual: Any) -> tuple[str, ...]:
    """Names of the traits to hold out: all by default."""
    if not isinstance(residual, bool):
        raise OptionError(f"residual={residual!r:.60}: True or False is needed")
    if spec.traits is None:
        if hide is not None:
            raise OptionError(f"hide={hide!r:.60} names traits to hold out, and the specification has one response")
        return (spec.y_names[0],)
    names = spec.traits.names
    if hide is None:
        return names
    wanted = [hide] if isinstance(hide, str) else list(hide)
    for name in wanted:
        if name not in names:
            near = nearest(str(name), names)
            hint = near if near.startswith("; did") else f"; the traits are {', '.join(map(repr, names))}"
            raise OptionError(f"hide={hide!r:.60}: no trait is called {name!r}{hint}")
    if not wanted:
        raise OptionError("hide=[] holds out nothing: name traits, or leave hide= out to hold out all of them")
    return tuple(name for name in names if name in wanted)


def records_of(spec: ModelSpec) -> Any:
    """What folds are made of: the specification, or its records as if they were its rows."""
    traits = spec.traits
    if traits is None:
        return spec
    first = np.unique(traits.record, return_index=True)[1]
    terms = tuple(SimpleNamespace(name=term.name, codes=term.codes[first]) for term in spec.terms)
    return SimpleNamespace(n=traits.n, terms=terms, dropped=spec.dropped)


def cells_held(spec: ModelSpec, fold: Fold, hidden: Sequence[str]) -> Fold:
    """A fold of records as one of rows: their cells of the hidden traits."""
    traits = spec.traits
    if traits is None:
        return fold
    of = np.isin(traits.trait, [traits.names.index(name) for name in hidden])
    rows = np.flatnonzero(of & np.isin(traits.record, fold.held_out))
    if not len(rows):
        raise OptionError(f"fold {fold.label} has no observed cell of {', '.join(hidden)} to hold out")
    left = np.setdiff1d(np.arange(traits.t), np.delete(traits.trait, rows))
    if len(left):
        raise OptionError(f"without fold {fold.label} no record has {traits.names[left[0]]}: take other folds")
    return Fold(fold.label, rows)


def records_left(spec: ModelSpec, train: ModelSpec, test: Positions) -> Positions:
    """Record of the training rows that each held-out row belongs to, −1 where none of its cells is left."""
    at = np.delete(np.arange(spec.n), test)
    place = np.full(spec.traits.n, -1, dtype=np.intp)
    place[spec.traits.record[at]] = train.traits.record
    return np.asarray(place[spec.traits.record[test]])


def scored(spec: ModelSpec, train: ModelSpec, test: Positions, predicted: Float) -> tuple[Float, list[dict[str, Any]]]:
    """What r2 compares with (training mean of the trait and the row's offset), and a row of scores for each trait."""
    y, baseline = spec.y[test], np.empty(len(test))
    whose = np.zeros(spec.n, dtype=np.intp) if spec.traits is None else spec.traits.trait
    trained = np.zeros(train.n, dtype=np.intp) if train.traits is None else train.traits.trait
    out = []
    for a in np.unique(whose[test]).tolist():
        some = whose[test] == a
        own = train.response[trained == a]
        baseline[some] = float(own.mean()) + (0.0 if spec.offset is None else spec.offset[test[some]])
        scores = scores_of(y[some], predicted[some], baseline[some])
        row: dict[str, Any] = {"n_train": len(own), "n_test": int(some.sum())}
        out.append(row | dict(zip(("mse", "r2", "correlation"), scores, strict=True)))
    return baseline, out


def of_traits(
    spec: ModelSpec,
    method: str,
    done: Sequence[Held],
    asked: Sequence[Fold],
    hidden: tuple[str, ...],
    residual: bool,
    seed: int | None,
) -> TraitCrossValidation:
    """Frames of what was found."""
    import pandas as pd

    traits = spec.traits
    predicted, baseline = np.full(spec.n, np.nan), np.full(spec.n, np.nan)
    labels = np.full(traits.n, None, dtype=object)
    for fold in asked:
        for record in fold.held_out:  # one by one: a label may be a tuple
            labels[record] = fold.label
    folds, names, rows = [], [], []
    for held in done:
        predicted[held.fold.held_out], baseline[held.fold.held_out] = held.predicted, held.baseline
        there = np.unique(traits.trait[held.fold.held_out])
        folds += [held.fold.label] * len(there)
        names += [traits.names[a] for a in there]
        rows += held.rows

    def frame(values: Float) -> pd.DataFrame:
        return pd.DataFrame(traits.table(values), index=pd.Index(traits.labels), columns=list(traits.names))

    index = pd.Index([held.fold.label for held in done], name="fold", tupleize_cols=False)
    return TraitCrossValidation(
        method=method,
        hidden=hidden,
        table=stacked(folds, names, rows),
        observed=frame(spec.y),
        predictions=frame(predicted),
        baseline=frame(baseline),
        fold=pd.Series(labels, index=pd.Index(traits.labels), name="fold"),
        varcomp=pd.DataFrame([held.par for held in done], index=index, columns=[p.name for p in parameters(spec)]),
        n_folds=len(asked),
        seed=seed,
        notes=_said(traits.names, hidden, residual),
    )


def _said(names: Sequence[str], hidden: Sequence[str], residual: bool) -> tuple[str, ...]:
    left = [name for name in names if name not in hidden]
    if not left:
        return ("All traits of a record are held out together.",)
    how = "random effects and the residual covariance" if residual else "random effects only"
    return (f"{', '.join(left)} of a record stay, and count through {how}.",)
