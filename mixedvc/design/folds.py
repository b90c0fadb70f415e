"""Folds of a cross-validation: which rows are held out together."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OptionError
from .spec import ModelSpec

Array = NDArray[Any]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Rows held out together, by position among the rows of the specification, and what they are called."""

    label: Any
    held_out: Positions


def make_folds(spec: ModelSpec, folds: Any, groups: Any, rng: np.random.Generator) -> tuple[Fold, ...]:
    """Folds from a number, a label for each row, or a list of arrays of row positions.

    Parameters
    ----------
    spec : ModelSpec
    folds : int, (n,) array or list of arrays
    groups : str or (n,) array, optional
        Rows that stay together, with a number of folds: the name of a random term, or a label for each row.
    rng : Generator
        Shuffles the rows (or groups), with a number of folds.
    """
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        return _random(spec, int(folds), groups, rng)
    if groups is not None:
        raise OptionError("groups= goes with a number of folds: given folds say already which rows stay together")
    if isinstance(folds, Sequence) and not isinstance(folds, str) and len(folds) and np.ndim(folds[0]) == 1:
        return _given(spec, folds)
    labels = _per_row(spec, folds, "folds", "a number of folds, a label for each row, or a list of arrays of rows")
    distinct, codes = _codes(labels)
    if len(distinct) < 2:
        raise OptionError(f"folds= puts every row into fold {distinct[0]!r}: two folds at least are needed")
    return tuple(Fold(label, np.flatnonzero(codes == j)) for j, label in enumerate(distinct))


def _random(spec: ModelSpec, count: int, groups: Any, rng: np.random.Generator) -> tuple[Fold, ...]:
    """`count` folds of nearly equal size; groups go whole, in random order, into the fold that is smallest then."""
    codes = np.arange(spec.n) if groups is None else _groups(spec, groups)
    sizes = np.bincount(codes)
    what = "rows" if groups is None else "groups"
    if not 2 <= count <= len(sizes):
        raise OptionError(f"folds={count}: between 2 and {len(sizes)}, the number of {what}")
    if groups is None:
        fold_of = np.arange(len(sizes)) % count
        rng.shuffle(fold_of)
    else:
        fold_of, filled = np.empty(len(sizes), dtype=np.intp), np.zeros(count)
        for group in rng.permutation(len(sizes)):
            fold_of[group] = np.argmin(filled)
            filled[fold_of[group]] += sizes[group]
    return tuple(Fold(j + 1, np.flatnonzero(fold_of[codes] == j)) for j in range(count))


def _groups(spec: ModelSpec, groups: Any) -> Positions:
    """Group 0…B−1 of each row."""
    if isinstance(groups, str):
        names = [term.name for term in spec.terms]
        if groups not in names:
            has = f"its terms are {', '.join(map(repr, names))}" if names else "it has none"
            raise OptionError(f"groups={groups!r}: the model has no random term of this name; {has}")
        return spec.terms[names.index(groups)].codes
    return _codes(_per_row(spec, groups, "groups", "the name of a random term or a label for each row"))[1]


def _per_row(spec: ModelSpec, values: Any, name: str, wanted: str) -> Array:
    """One label for each row of the specification, from as many or from one for each row of the data handed in."""
    if isinstance(values, str) or not hasattr(values, "__len__"):
        raise OptionError(f"{name}={values!r:.60}: {wanted} is needed; a column is given as data[{str(values)!r}]")
    labels = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    given = spec.dropped.n_given
    if labels.ndim == 1 and len(labels) == given != spec.n:
        labels = np.delete(labels, spec.dropped.rows)
    if labels.shape != (spec.n,):
        also = f" or {given} (one for each row of the data)" if given not in (0, spec.n) else ""
        raise OptionError(f"{name}= has shape {labels.shape}; the model has {spec.n} rows{also}")
    return labels


def _codes(labels: Array) -> tuple[list[Any], Positions]:
    """Distinct labels, sorted where they can be, and each row's place among them; missing labels are refused."""
    listed = labels.tolist()
    for row, label in enumerate(listed):
        if label is None or label != label:
            raise DataError(f"row {row} has no label: every row belongs to a fold (or group)")
    distinct = list(dict.fromkeys(listed))
    with suppress(TypeError):
        distinct.sort()
    where = {label: j for j, label in enumerate(distinct)}
    return distinct, np.array([where[label] for label in listed], dtype=np.intp)


def _given(spec: ModelSpec, folds: Sequence[Any]) -> tuple[Fold, ...]:
    """Folds listed as positions of rows, or as one True for each row held out; rows in no fold always train."""
    made, taken = [], np.zeros(spec.n, dtype=np.intp)
    for j, rows in enumerate(folds, 1):
        at = np.asarray(rows)
        if at.dtype == bool and at.shape == (spec.n,):
            at = np.flatnonzero(at)
        if at.ndim != 1 or at.dtype.kind not in "iu":
            raise OptionError(f"fold {j} is not an array of row positions, nor of {spec.n} truth values")
        outside = at[(at < 0) | (at >= spec.n)]
        if len(outside):
            raise OptionError(f"fold {j} holds out row {outside[0]}; the model has rows 0 to {spec.n - 1}")
        np.add.at(taken, at, 1)
        if not len(at) or len(at) == spec.n:
            raise OptionError(f"fold {j} holds out {'every row' if len(at) else 'no row'}")
        made.append(Fold(j, np.sort(at).astype(np.intp)))
    twice = np.flatnonzero(taken > 1)
    if len(twice):
        raise OptionError(f"row {twice[0]} is held out twice ({len(twice)} such rows): folds share no rows")
    return tuple(made)
