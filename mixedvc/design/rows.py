"""Responses, weights and offsets: numbers for every row, checked cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DegenerateResponse, IdentifiabilityWarning, warn
from ..formula.terms import Formula
from .expressions import Categories, Evaluator, names_in
from .frames import Column, listed
from .missing import refuse_infinite
from .request import Request

Float = NDArray[np.float64]
WIDE = 1e12


@dataclass(frozen=True)
class Responses:
    """Responses of all rows given.

    Attributes
    ----------
    y : (n, t)
        NaN where missing.
    names : (t,) tuple of str
    missing : (n, t) bool
        Cells that were missing in the data; a NaN elsewhere came out of a transform.
    """

    y: Float
    names: tuple[str, ...]
    missing: NDArray[np.bool_]

    def check_cells(self, formula: Formula, rows: NDArray[np.intp], labels: NDArray[Any]) -> None:
        """Of several responses: refuse one without numbers, and numbers infinite or lost in a transform."""
        for name, y, missing in zip(self.names, self.y.T, self.missing.T, strict=True):
            there = rows[~missing[rows]]
            if not len(there):
                raise DegenerateResponse(f"the response {name} is missing in every row used: leave it out")
            known = formula.response if name in formula.response else ()
            source = [column for text in known if text == name for column in names_in(text)]
            because = f" (computed from {', '.join(source)})" if source and source != [name.strip("`")] else ""
            refuse_infinite(name, y[there], labels[there], because)


def responses(formula: Formula, request: Request, evaluator: Evaluator) -> Responses:
    """The responses of all rows given."""
    columns: list[Float] = []
    gone: list[NDArray[np.bool_]] = []
    names: list[str] = []
    for text in formula.response:
        key = text.strip("`")
        if key in request.responses:
            own, numbers = request.responses[key]
            columns.append(numbers)
            gone.append(np.isnan(numbers))
            names += own
            continue
        for name in names_in(text):
            _refuse_labels(evaluator.column(name), request.frame)
        value = evaluator.value(text)
        if isinstance(value, Categories) or value.ndim != 1:
            raise DataError(f"the response {text} is not one column of numbers")
        columns.append(value[:, None])
        gone.append(np.logical_or.reduce([evaluator.column(name).missing for name in names_in(text)])[:, None])
        names.append(key if len(formula.response) > 1 else text)
    if len(set(names)) < len(names):
        raise DataError(f"responses need different names: {listed(names)}")
    return Responses(np.concatenate(columns, axis=1), tuple(names), np.concatenate(gone, axis=1))


def _refuse_labels(column: Column, frame: Any) -> None:
    """Explain why a column that is not numeric cannot be the response."""
    if column.levels is None:
        return
    name = repr(column.name)
    if column.kind == "logical" or (len(column.levels) == 2 and column.declared):
        one = column.levels[-1]
        raise DataError(
            f"the response {name} is {'logical' if column.kind == 'logical' else 'categorical'}; a Gaussian model "
            f"needs numbers: (data[{name}] == {one!r}).astype(float) makes 0 and 1 of it"
        )
    if column.declared:
        raise DataError(
            f"the response {name} is categorical (levels {listed(column.levels, 4)}); a Gaussian model needs numbers: "
            f"make a 0/1 column of one level, or pd.to_numeric(data[{name}].astype(str)) if the levels are numbers"
        )
    if column.kind == "time":
        raise DataError(f"the response {name} holds dates or times; make a number of it first, e.g. days since a date")
    rows = np.flatnonzero(column.values >= 0)
    row = next(
        (r for r in rows.tolist() if not _is_number(column.levels[column.values[r]])), rows[0] if len(rows) else 0
    )
    value = column.levels[column.values[row]] if len(rows) else None
    remedy = "Every cell reads as a number: convert" if len(rows) and _is_number(value) else "Convert"
    raise DataError(
        f"the response {name} is text: {value!r} in row {frame.index[row]!r}. "
        f"{remedy} it with pd.to_numeric (read_csv(decimal=',') for decimal commas)"
    )


def _is_number(text: Any) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def check_response(y: Float, names: tuple[str, ...], labels: NDArray[Any]) -> None:
    """Refuse infinite and constant responses (n, t); of several, a cell may be missing."""
    for name, column in zip(names, y.T, strict=True):
        there = ~np.isnan(column) if len(names) > 1 else np.ones(len(column), dtype=bool)
        seen = column[there]
        refuse_infinite(name, seen, labels[there])
        if seen.min() == seen.max():
            raise DegenerateResponse(
                f"the response {name} is {seen[0]:g} in every row used: its variance is 0 and there is nothing to fit"
            )


def weights(request: Request, evaluator: Evaluator, rows: NDArray[np.intp], labels: NDArray[Any]) -> Float | None:
    """(n,) positive weights of the rows kept."""
    if request.weights is None:
        return None
    what, values = _given(request.weights, "weights", evaluator)
    kept = values[rows]
    bad = ~(np.isfinite(kept) & (kept > 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{what} must be positive and finite; row {labels[first]!r} has {kept[first]}"
            f"{f' (and {int(bad.sum()) - 1} more rows)' if bad.sum() > 1 else ''}. Drop rows that should not count"
        )
    if kept.max() > WIDE * kept.min():
        warn(
            f"{what} span {kept.max() / kept.min():.0e}: rows of small weight hardly count and the fit is badly "
            "conditioned; check their unit",
            IdentifiabilityWarning,
        )
    return kept


def offsets(
    formula: Formula, request: Request, evaluator: Evaluator, rows: NDArray[np.intp], labels: NDArray[Any]
) -> Float | None:
    """(n,) sum of the offsets of the formula and of ``offset=`` on the rows kept."""
    parts = [(f"offset({text})", evaluator.numbers(text, "the offset")) for text in formula.offsets]
    if request.offset is not None:
        parts.append(_given(request.offset, "offset", evaluator))
    if not parts:
        return None
    total = np.zeros(len(rows))
    for what, values in parts:
        kept = values[rows]
        bad = np.flatnonzero(~np.isfinite(kept))
        if len(bad):
            raise DataError(f"{what} is {kept[bad[0]]} in row {labels[bad[0]]!r}: an offset is a known finite number")
        total += kept
    return total


def _given(value: str | Float, what: str, evaluator: Evaluator) -> tuple[str, Float]:
    if not isinstance(value, str):
        return what, value
    column = evaluator.column(value)
    if column.levels is not None:
        raise DataError(f"{what}: the column {value!r} does not hold numbers")
    return f"{what} (column {value!r})", column.values
