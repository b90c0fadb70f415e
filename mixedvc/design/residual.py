"""The residual of a model: independent rows, a variance per level, or serial correlation within groups.

The residual is a `Term` whose levels are the groups of rows that depend on each other and whose effects are the cells
of a group; a row is in one cell, with basis weight^-½.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..covariance import Identity
from ..errors import BindError, DataError, IdentifiabilityError
from ..formula.residual import ResidualFormula
from ..linalg.columns import column_rank
from ..linalg.memory import require
from ..structures.base import Structure
from ..structures.serial import Serial
from .expressions import Categories, Value
from .frames import labels_of, listed, plain_label
from .missing import refuse_infinite
from .random import residual_term
from .spec import Term

Float = NDArray[np.float64]
Codes = NDArray[np.intp]
_LONGEST = 10_000  # steps of a series, beyond which its times are not on a grid


@dataclass(frozen=True)
class Cells:
    """Where each row is: codes (n,), −1 where missing, names of the cells, and their numbers where they have any."""

    codes: Codes
    levels: NDArray[np.object_]
    numbers: Float | None = None

    def on(self, rows: Codes) -> Cells:
        """On the rows kept, with the cells found there."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return Cells(codes.reshape(-1), self.levels[used], None if self.numbers is None else self.numbers[used])


@dataclass(frozen=True)
class ResidualSource:
    """What new rows need to know of the residual.

    Attributes
    ----------
    formula : ResidualFormula
    factors : tuple of str
        Factors whose levels have a variance each; empty where all rows have one.
    levels : (L,) object
        Those levels.
    effects : (L,) intp
        The cell of the residual with the variance of each level.
    step : float
        ar1: what one step is in the numbers left of the bar.
    notes : tuple of str
        For the summary.
    """

    formula: ResidualFormula
    factors: tuple[str, ...]
    levels: NDArray[np.object_]
    effects: Codes
    step: float = 1.0
    notes: tuple[str, ...] = ()

    def effects_of(self, values: Mapping[str, Value], labels: NDArray[Any]) -> Codes:
        """(r,) the cell with the variance of each new row; −1 where a cell of the data is missing."""
        if not self.factors:
            return np.zeros(len(labels), dtype=np.intp)
        found = crossed(self.factors, values)
        where = {level: int(effect) for level, effect in zip(self.levels, self.effects, strict=True)}
        strange = sorted({str(found.levels[c]) for c in np.unique(found.codes) if c >= 0} - set(map(str, where)))
        if strange:
            raise DataError(
                f"the residual {self.formula.text}: {':'.join(self.factors)} has levels without rows in the fit, whose "
                f"variance is not known: {listed(strange)}. Leave interval='prediction' out for these rows"
            )
        table = np.array([where[level] for level in found.levels] + [-1], dtype=np.intp)
        return table[found.codes]


def crossed(factors: Sequence[str], values: Mapping[str, Value]) -> Cells:
    """Cells of one factor or of several crossed; numbers are cells by their value."""
    codes, levels, numbers = _coded(factors[0], values[factors[0]])
    for text in factors[1:]:
        right, more, _ = _coded(text, values[text])
        joint = np.where((codes < 0) | (right < 0), -1, codes * len(more) + right)
        kept = np.unique(joint[joint >= 0])
        codes = np.where(joint < 0, -1, np.searchsorted(kept, joint))
        pairs = [divmod(int(v), len(more)) for v in kept]
        levels = np.array([f"{levels[a]}:{more[b]}" for a, b in pairs], dtype=object)
        numbers = None
    return Cells(codes, levels, numbers)


def _coded(text: str, value: Value) -> tuple[Codes, NDArray[np.object_], Float | None]:
    if isinstance(value, Categories):
        return value.codes, value.levels, None
    if value.ndim != 1:
        raise BindError(f"residual=: {text} is several columns; the cells of the residual need one column each")
    there = np.isfinite(value)
    numbers, inverse = np.unique(value[there], return_inverse=True)
    codes = np.full(len(value), -1, dtype=np.intp)
    codes[there] = inverse
    return codes, np.array([plain_label(v) for v in numbers.tolist()], dtype=object), numbers


def groups_of(columns: Sequence[Any]) -> Cells:
    """The groups of rows: levels of one column, or of several crossed."""
    values: dict[str, Value] = {}
    for column in columns:
        values[column.name] = Categories(*labels_of(column))
    return crossed([column.name for column in columns], values)


def make_residual(
    formula: ResidualFormula | None,
    values: Mapping[str, Value],
    groups: Cells | None,
    rows: Codes,
    labels: NDArray[Any],
    weights: Float | None,
    X: Float,
) -> tuple[Term, ResidualSource | None]:
    """The residual on the rows kept, and what new rows need.

    Parameters
    ----------
    values : mapping of str to Value
        Of the formula's factors, on all rows given.
    groups : Cells or None
        On all rows given; None for ``rows``.
    rows : (n,)
        Positions of the rows kept.
    labels : (n,)
        Their labels.
    X : (n, p)
        Fixed effects, to see that a variance has rows of its own to be estimated from.
    """
    if formula is None:
        return residual_term(len(rows), weights), None
    for text in formula.factors:
        value = values[text]
        if not isinstance(value, Categories):
            refuse_infinite(text, value[rows], labels, " (residual=)")
    scale = np.ones(len(rows)) if weights is None else 1.0 / np.sqrt(weights)
    if formula.structure == "diag":
        return _heterogeneous(formula, crossed(formula.variance, values).on(rows), scale, weights, X)
    assert groups is not None
    return _grouped(formula, values, groups.on(rows), rows, labels, scale, X)


# ---- a variance per level, independent rows ------------------------------------------------------------------------


def _heterogeneous(
    formula: ResidualFormula, cells: Cells, scale: Float, weights: Float | None, X: Float
) -> tuple[Term, ResidualSource | None]:
    n, k = len(cells.codes), len(cells.levels)
    if k == 1:
        note = f"{formula.text}: the rows have one level, {cells.levels[0]!r}, so the residual has one variance."
        return residual_term(n, weights), ResidualSource(formula, (), cells.levels, np.zeros(1, np.intp), 1.0, (note,))
    _check_strata(formula, formula.variance, cells.codes, cells.levels, X)
    labels = np.arange(n)
    term = _term(
        formula, cells.codes, scale, labels, labels, structures.make("diag", k), _names(formula.variance, cells)
    )
    return term, ResidualSource(formula, formula.variance, cells.levels, np.arange(k))


def _check_strata(
    formula: ResidualFormula, factors: tuple[str, ...], codes: Codes, levels: NDArray[np.object_], X: Float
) -> None:
    """Refuse a variance whose rows the fixed effects can fit exactly: the likelihood has no maximum then."""
    name, count = ":".join(factors), np.bincount(codes, minlength=len(levels))
    few = np.flatnonzero(count <= max(X.shape[1], 1))
    for level in few:
        at = np.flatnonzero(codes == level)
        if len(at) == 1 or len(column_rank(X[at]).kept) == len(at):
            rows = f"{len(at)} row{'s' * (len(at) > 1)}"
            raise IdentifiabilityError(
                f"residual {formula.text}: {name} {levels[level]!r} has {rows}, which cannot tell a variance of their "
                f"own beside the fixed effects. Join levels of {name} that have few rows, or leave these rows out"
            )


# ---- groups of rows that depend on each other ----------------------------------------------------------------------


def _grouped(
    formula: ResidualFormula,
    values: Mapping[str, Value],
    groups: Cells,
    rows: Codes,
    labels: NDArray[Any],
    scale: Float,
    X: Float,
) -> tuple[Term, ResidualSource]:
    if len(groups.codes) == len(groups.levels):
        raise IdentifiabilityError(
            f"residual {formula.text}: every {':'.join(formula.group)} has one row, so nothing tells a correlation "
            "within them. Leave residual= out, or write diag(0 + f | rows) for variances alone"
        )
    place, cells, step = _places(formula, values, groups, rows, labels)
    if formula.structure == "us":
        assert cells is not None
        names = _names(formula.cell, cells)
        term = _term(formula, place, scale, groups.codes, groups.levels, structures.make("us", len(names)), names)
        _check_strata(formula, formula.cell, place, cells.levels, X)
        return term, ResidualSource(formula, formula.cell, cells.levels, np.arange(len(names)))
    if not formula.hom:
        assert cells is not None
        strata, factors = cells, formula.cell
    elif formula.variance:
        strata, factors = crossed(formula.variance, values).on(rows), formula.variance
    else:
        strata, factors = Cells(np.zeros(len(rows), dtype=np.intp), np.array(["any"], dtype=object)), ()
    if factors:
        _check_strata(formula, factors, strata.codes, strata.levels, X)
    return _serial(formula, place, strata, factors, groups, scale, step)


def _serial(
    formula: ResidualFormula,
    place: Codes,
    strata: Cells,
    factors: tuple[str, ...],
    groups: Cells,
    scale: Float,
    step: float,
) -> tuple[Term, ResidualSource]:
    """ar1 or cs: a cell for each stratum and place that is met."""
    width = int(place.max()) + 1
    found, codes = np.unique(strata.codes * width + place, return_inverse=True)
    stratum, at = np.divmod(found, width)
    n, k = len(place), len(found)
    require(
        8 * (n * k + 4 * k * k),
        f"{k:,} cells of the residual {formula.text} in {n:,} rows",
        "Fewer distinct times need less: number them within groups, as ar1(1 | g) does.",
    )
    labels = () if len(strata.levels) in (1, k) else _names(factors, strata)
    across = len(np.unique(groups.codes * len(strata.levels) + strata.codes)) > len(groups.levels)
    structure = Serial(formula.structure, tuple(at.tolist()), tuple(stratum.tolist()), labels, across)
    single = len(strata.levels) == 1
    own = [f"{_name(factors, strata.levels[s])}, " for s in stratum.tolist()] if not single else [""] * k
    what = "place" if formula.structure == "cs" else "step"
    names = tuple(f"{stratum_}{what} {t}" for stratum_, t in zip(own, at.tolist(), strict=True))
    if len(strata.levels) == k:
        names = tuple(_name(factors, strata.levels[s]) for s in stratum.tolist())
    term = _term(formula, codes.reshape(-1), scale, groups.codes, groups.levels, structure, names)
    first = np.array([int(np.flatnonzero(stratum == s)[0]) for s in range(len(strata.levels))], dtype=np.intp)
    notes = _step_notes(formula, step)
    return term, ResidualSource(formula, factors, strata.levels, first, step, notes)


def _step_notes(formula: ResidualFormula, step: float) -> tuple[str, ...]:
    if formula.structure != "ar1" or not formula.cell or step == 1.0:
        return ()
    return (f"{formula.text}: the correlation is that of rows {step:g} apart in {':'.join(formula.cell)}.",)


def _places(
    formula: ResidualFormula, values: Mapping[str, Value], groups: Cells, rows: Codes, labels: NDArray[Any]
) -> tuple[Codes, Cells | None, float]:
    """Place of each row in its group, the cells left of the bar, and what one step is there."""
    if not formula.cell or (formula.structure == "cs" and formula.hom):  # exchangeable rows: any numbering will do
        return _order(groups.codes), None, 1.0
    everywhere = crossed(formula.cell, values)
    cells = everywhere.on(rows)
    if formula.structure != "ar1":
        _refuse_shared_cells(formula, groups, cells.codes, labels)
        return cells.codes, cells, 1.0
    if len(formula.cell) > 1:
        formula.fail("ar1() needs one column that says where a row is in its series, not crossed factors")
    # the levels of a factor are a step apart, those without rows included
    times = everywhere.codes[rows].astype(np.float64) if cells.numbers is None else cells.numbers[cells.codes]
    if formula.hom:  # only differences within a group matter
        first = np.full(len(groups.levels), np.inf)
        np.minimum.at(first, groups.codes, times)
        times = times - first[groups.codes]
    place, step = _grid(formula, times)
    _refuse_shared_cells(formula, groups, place, labels)
    return place, cells, step


def _order(codes: Codes) -> Codes:
    """Number of each row among those of its group, in the order of the rows."""
    order, size = np.argsort(codes, kind="stable"), np.bincount(codes)
    start = np.concatenate([[0], np.cumsum(size)[:-1]])
    place = np.empty(len(codes), dtype=np.intp)
    place[order] = np.arange(len(codes)) - np.repeat(start, size)
    return place


def _grid(formula: ResidualFormula, times: Float) -> tuple[Codes, float]:
    """Times (n,) in whole steps of their common divisor.

    Raises
    ------
    DataError
        Times that are on no grid of at most `_LONGEST` steps.
    """
    offsets, inverse = np.unique(times - times.min(), return_inverse=True)
    longest = float(offsets[-1])
    if longest == 0.0:
        raise IdentifiabilityError(
            f"residual {formula.text}: {formula.cell[0]} is the same in all rows of a group, so there is no series"
        )
    step = 0.0
    for offset in offsets[1:].tolist():
        step = _divisor(offset, step, 1e-3 * longest / _LONGEST)
    steps = np.rint(offsets / step)
    if longest / step > _LONGEST or np.abs(offsets / step - steps).max() > 1e-3:
        raise DataError(
            f"residual {formula.text}: the times in {formula.cell[0]} are not on a grid, and ar1() goes by whole "
            f"steps; round them to one, or number the rows of each group: ar1(1 | {':'.join(formula.group)})"
        )
    return steps.astype(np.intp)[inverse.reshape(-1)], step


def _divisor(a: float, b: float, tolerance: float) -> float:
    """Greatest common divisor of two numbers read with rounding."""
    while b > tolerance:
        rest = a - b * round(a / b)
        a, b = b, abs(rest)
    return a


def _refuse_shared_cells(formula: ResidualFormula, groups: Cells, place: Codes, labels: NDArray[Any]) -> None:
    """Two rows of a group in one cell would have the same residual."""
    key = groups.codes * (int(place.max()) + 1) + place
    order = np.argsort(key, kind="stable")
    same = np.flatnonzero(key[order][1:] == key[order][:-1])
    if len(same):
        one, two = order[same[0]], order[same[0] + 1]
        what, also = ":".join(formula.cell), f" (and {len(same) - 1} more)" if len(same) > 1 else ""
        raise DataError(
            f"residual {formula.text}: rows {labels[one]!r} and {labels[two]!r} are both of "
            f"{':'.join(formula.group)} {groups.levels[groups.codes[one]]!r} at the same {what}{also}. A cell has one "
            f"row: average them, tell them apart by another column, or go by the order of the rows, (1 | …)"
        )


# ---- terms ---------------------------------------------------------------------------------------------------------


def _names(factors: tuple[str, ...], cells: Cells) -> tuple[str, ...]:
    return tuple(_name(factors, level) for level in cells.levels)


def _name(factors: tuple[str, ...], level: Any) -> str:
    """``Sex[Male]``, ``Sex[Male]:age[8]``."""
    if len(factors) == 1:
        return f"{factors[0]}[{level}]"
    return ":".join(f"{factor}[{part}]" for factor, part in zip(factors, str(level).split(":"), strict=False))


def _term(
    formula: ResidualFormula,
    cell: Codes,
    scale: Float,
    codes: Codes,
    levels: NDArray[Any],
    structure: Structure,
    names: tuple[str, ...],
) -> Term:
    basis = np.zeros((len(cell), structure.k))
    basis[np.arange(len(cell)), cell] = scale
    covariance = Identity(levels)
    return Term(
        name="Residual",
        label="Residual",
        text=formula.text,
        group="Residual",
        effects=names,
        levels=covariance.labels,
        codes=np.array(codes),
        basis=basis,
        covariance=covariance,
        positions=np.arange(len(levels)),
        structure=structure,
    )
