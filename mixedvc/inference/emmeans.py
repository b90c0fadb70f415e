"""Estimated marginal means as rows of coefficients: predictions on a reference grid, averaged (Searle et al. 1980).

The conventions are those of R's emmeans: factors at all their levels, logicals too; numbers at their mean over the rows
of the fit, but at both values where there are only two; ``factor(x)`` makes a factor of x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.expressions import Evaluator, names_in
from ..design.frames import column_of, labels_of, listed, nearest, plain_label
from ..design.random import column_reader
from ..design.spec import ModelSpec
from ..errors import NotProvided, OptionError
from ..linalg import dense as la
from ..linalg.memory import require
from .anova import kept_rows

Float = NDArray[np.float64]
WEIGHTS = ("equal", "proportional", "outer", "cells")
_COERCE = ("factor(", "ordered(", "C(")
_STEP = 1e-4  # of a covariate's range, for slopes: central differences are exact for quadratics


@dataclass(frozen=True)
class Axis:
    """One column of the data on the grid.

    Attributes
    ----------
    name : str
    values : tuple
        Labels of a factor, numbers of a covariate.
    rows : (v,) intp or None
        For a factor: a row of the fit that has each value.
    codes : (n,) intp or None
        Place in `values` of each row of the fit, −1 for others; None for a covariate at its mean or as asked.
    """

    name: str
    values: tuple[Any, ...]
    rows: NDArray[np.intp] | None
    codes: NDArray[np.intp] | None


@dataclass(frozen=True)
class Marginal:
    """Marginal means as linear functions of β.

    Attributes
    ----------
    levels : tuple of tuple
        Values of the asked variables in each row.
    L : (r, p)
        NaN rows are not estimable.
    offset : (r,)
        What the model's offset adds.
    averaged : tuple of str
        Variables averaged over.
    held : tuple of (str, value)
        Covariates held at one value.
    """

    levels: tuple[tuple[Any, ...], ...]
    L: Float
    offset: Float
    averaged: tuple[str, ...]
    held: tuple[tuple[str, float], ...]


class ReferenceGrid:
    """All combinations of the axes, as rows of the model's columns; of several traits those of the one at `trait`."""

    def __init__(self, spec: ModelSpec, at: Mapping[str, Any] | None = None, trait: int | None = None):
        source = spec.source
        if getattr(source, "coder", None) is None:
            raise NotProvided(
                "this model was not made from a formula and data, so there is no grid of its factors: test rows of "
                "coefficients with contrast()"
            )
        self.spec, self.source, self.trait = spec, source, trait
        coded = source.coder if trait is None else source.fixed
        self.variables, self.columns = coded.variables, tuple(coded.names)
        self.frame = source.frame.iloc[kept_rows(spec)]
        texts = [*self.variables, *source.parsed.offsets]
        texts += [f"`{v}`" if not v.isidentifier() else v for v in (source.request.offset,) if isinstance(v, str)]
        names = dict.fromkeys(name for text in texts for name in names_in(text))
        at = _checked(at, tuple(names))
        self.axes = {name: self._axis(name, at.get(name)) for name in names}
        self.size = int(np.prod([len(axis.values) for axis in self.axes.values()], dtype=int))
        require(
            16 * self.size * max(len(self.columns), 1),
            f"the reference grid of {self.size:,} cells ({', '.join(self.axes)})",
            "Hold some variables at one value with at=.",
        )

    def _axis(self, name: str, asked: Any) -> Axis:
        column = column_of(self.frame, name)
        coerced = any(
            variable.levels is not None and text.startswith(_COERCE) and names_in(text) == (name,)
            for text, variable in self.variables.items()
        )
        if column.levels is not None or coerced:
            return _factor_axis(name, *labels_of(column), asked)
        x = column.values
        if asked is not None:
            return Axis(name, _numbers(asked, name), None, None)
        unique = np.unique(x)
        if len(unique) == 2:
            return Axis(name, tuple(unique.tolist()), None, np.searchsorted(unique, x).astype(np.intp))
        return Axis(name, (float(x.mean()),), None, None)

    @cached_property
    def codes(self) -> dict[str, NDArray[np.intp]]:
        """Place on each axis of every cell, the first axis fastest."""
        shape = [len(axis.values) for axis in self.axes.values()]
        places = np.unravel_index(np.arange(self.size), shape, order="F") if shape else ()
        return dict(zip(self.axes, (np.asarray(p, dtype=np.intp) for p in places), strict=True))

    def matrix(self, shift: tuple[str, float] | None = None) -> Float:
        """(cells, P) all columns of the fixed part, those dropped included; a covariate moved by `shift`."""
        return self._coded(self._evaluator(shift), np.arange(self.size).astype(object))

    def _coded(self, evaluator: Evaluator, labels: NDArray[np.object_]) -> Float:
        """Rows of the fixed part for the table of `evaluator`."""
        if self.trait is None:
            return np.asarray(self.source.coder.matrix(evaluator, labels))
        record = np.arange(len(labels))
        traits = self.spec.traits
        cells = replace(traits, record=record, trait=np.full(len(labels), self.trait, dtype=np.intp), labels=labels)
        return np.asarray(self.source.fixed.matrix(evaluator, labels, cells))

    def _whole(self) -> Float:
        """(n, P) all columns on the rows of the fit."""
        evaluator = Evaluator(column_reader(self.frame), dict(self.source.memory))
        if self.trait is None:
            return np.asarray(self.source.coder.matrix(evaluator, self.spec.row_labels))
        traits = self.spec.traits
        return np.asarray(self.source.fixed.matrix(evaluator, traits.labels, traits))

    def offset(self) -> Float:
        """(cells,) the offset; its mean where the model was given numbers."""
        total = np.zeros(self.size)
        evaluator = self._evaluator(None)
        for text in self.source.parsed.offsets:
            total += evaluator.numbers(text, "the offset")
        given = self.source.request.offset
        if isinstance(given, str):
            total += evaluator.column(given).values
        elif given is not None:
            total += float(np.mean(np.asarray(given, dtype=float)[kept_rows(self.spec)]))
        return total

    def _evaluator(self, shift: tuple[str, float] | None) -> Evaluator:
        import pandas as pd

        columns = {}
        for name, axis in self.axes.items():
            place = self.codes[name]
            if axis.rows is not None:
                columns[name] = self.frame[name].iloc[axis.rows[place]].reset_index(drop=True)
            else:
                values = np.asarray(axis.values, dtype=float)[place]
                columns[name] = pd.Series(values + (shift[1] if shift is not None and shift[0] == name else 0.0))
        frame = pd.DataFrame(columns, index=pd.RangeIndex(self.size))
        return Evaluator(column_reader(frame), dict(self.source.memory))

    # ---- averaging -----------------------------------------------------------------------------------------------

    def marginal(self, wanted: Sequence[str], weights: str = "equal", var: str | None = None) -> Marginal:
        """Means (slopes in `var`) at every combination of the `wanted` variables, averaged over the others."""
        if weights not in WEIGHTS:
            raise OptionError(f"weights={weights!r} is not one of {', '.join(map(repr, WEIGHTS))}")
        self._check(wanted, var)
        rows = self.matrix() if var is None else self._slopes(var)
        shift = self.offset() if var is None else np.zeros(self.size)
        shape = [len(self.axes[name].values) for name in wanted]
        count = int(np.prod(shape, dtype=int))
        cell = np.zeros(self.size, dtype=np.intp)
        if wanted:
            cell = np.ravel_multi_index(tuple(self.codes[n] for n in wanted), shape, order="F").astype(np.intp)
        others = [name for name, axis in self.axes.items() if name not in wanted and len(axis.values) > 1]
        w = self._weights(weights, wanted, others)
        total = np.bincount(cell, weights=w, minlength=count)
        with np.errstate(invalid="ignore", divide="ignore"):
            w = w / total[cell]  # an empty combination has no cell mean: NaN
        A = np.zeros((count, self.size))
        A[cell, np.arange(self.size)] = w
        places = np.unravel_index(np.arange(count), shape, order="F") if wanted else ()
        levels = tuple(
            tuple(self.axes[name].values[p[i]] for name, p in zip(wanted, places, strict=True)) for i in range(count)
        )
        held = tuple(
            (name, axis.values[0])
            for name, axis in self.axes.items()
            if name not in wanted and len(axis.values) == 1 and axis.rows is None and name != var
        )
        return Marginal(levels, self._estimable(A @ rows), A @ shift, tuple(others), held)

    def _check(self, wanted: Sequence[str], var: str | None) -> None:
        for name in (*wanted, *(() if var is None else (var,))):
            if name not in self.axes:
                near = nearest(name, self.axes)
                hint = near if near.startswith("; did") else f". The fixed part has: {listed(self.axes)}"
                raise OptionError(f"{name!r} is no variable of the fixed part{hint}")
        if len(set(wanted)) < len(wanted):
            raise OptionError(f"a variable is asked for twice: {listed(wanted)}")
        if var is not None and self.axes[var].rows is not None:
            raise OptionError(f"var={var!r} is a factor: slopes are in a covariate")

    def _slopes(self, var: str) -> Float:
        x = column_of(self.frame, var).values
        h = _STEP * float(np.ptp(x))
        return (self.matrix((var, h)) - self.matrix((var, -h))) / (2.0 * h)

    def _weights(self, kind: str, wanted: Sequence[str], others: Sequence[str]) -> Float:
        """(cells,) weights of the cells, not normalised."""
        if kind == "equal":
            return np.ones(self.size)
        if kind == "outer":
            out = np.ones(self.size)
            for name in others:
                out *= self._frequency([name])
            return out
        counted = [*others] if kind == "proportional" else [*wanted, *others]
        return self._frequency(counted)

    def _frequency(self, names: Sequence[str]) -> Float:
        """(cells,) rows of the fit at the cell's combination of `names` (covariates at chosen values do not count)."""
        some = [name for name in names if self.axes[name].codes is not None]
        shape = [len(self.axes[name].values) for name in some]
        if not some:
            return np.ones(self.size)
        own = [self.axes[name].codes for name in some]
        known = np.logical_and.reduce([codes >= 0 for codes in own if codes is not None])
        at = np.ravel_multi_index(tuple(codes[known] for codes in own if codes is not None), shape)
        counts = np.bincount(at, minlength=int(np.prod(shape)))
        return counts[np.ravel_multi_index(tuple(self.codes[name] for name in some), shape)].astype(float)

    def _estimable(self, rows: Float) -> Float:
        """(r, p) on the coefficients that were estimated; NaN where a row depends on those that were not."""
        kept = self.source.kept
        P = len(self.columns)
        out = np.array(rows[:, kept])
        if len(kept) < P:
            lost = np.setdiff1d(np.arange(P), kept)
            whole = self._whole()
            tie = la.lstsq(whole[:, kept], whole[:, lost])
            size = 1.0 + np.abs(rows).max(axis=1, initial=0.0)
            off = np.abs(rows[:, lost] - out @ tie).max(axis=1) > 1e-7 * size
            out[off] = np.nan
        return out


def _checked(at: Mapping[str, Any] | None, names: tuple[str, ...]) -> Mapping[str, Any]:
    if at is None:
        return {}
    if not isinstance(at, Mapping):
        raise OptionError(f"at= is a dictionary from variables to values, e.g. {{'x': [1, 2]}}, not {at!r}")
    for name in at:
        if name not in names:
            near = nearest(str(name), names)
            hint = near if near.startswith("; did") else f". The fixed part has: {listed(names)}"
            raise OptionError(f"at= names {name!r}, which is no variable of the fixed part{hint}")
    return at


def _several(asked: Any) -> list[Any]:
    if isinstance(asked, str) or not hasattr(asked, "__iter__"):
        return [asked]
    return list(asked)


def _numbers(asked: Any, name: str) -> tuple[float, ...]:
    try:
        values = tuple(float(v) for v in _several(asked))
    except (TypeError, ValueError):
        raise OptionError(f"at[{name!r}] = {asked!r}: numbers are needed") from None
    if not values or not np.isfinite(values).all():
        raise OptionError(f"at[{name!r}] = {asked!r}: finite numbers are needed")
    return values


def _factor_axis(name: str, codes: NDArray[np.intp], levels: NDArray[np.object_], asked: Any) -> Axis:
    present = [j for j in range(len(levels)) if (codes == j).any()]
    if asked is not None:
        where = {levels[j]: j for j in present}
        wanted = [plain_label(v) for v in _several(asked)]
        unknown = [v for v in wanted if v not in where]
        if unknown or not wanted:
            raise OptionError(f"at[{name!r}] = {asked!r}: the levels in the fit are {listed(where)}")
        present = [where[v] for v in wanted]
    rows = np.array([np.flatnonzero(codes == j)[0] for j in present], dtype=np.intp)
    place = np.full(len(levels) + 1, -1, dtype=np.intp)
    place[present] = np.arange(len(present))
    return Axis(name, tuple(levels[j] for j in present), rows, place[codes])
