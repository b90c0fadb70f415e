"""Which rows are kept: missing cells counted per variable, infinite ones refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DroppedRowsWarning, OptionError, warn
from .frames import listed
from .spec import Dropped

NO_RESPONSE = "all responses"
RULES = ("omit", "exclude", "fail")


def check_rule(missing: str) -> None:
    """Refuse anything but "omit", "exclude" and "fail"."""
    if missing not in RULES:
        raise OptionError(f"missing={missing!r}: choose 'omit' (drop), 'exclude' (drop, and pad results) or 'fail'")


def drop_missing(
    cells: Mapping[str, NDArray[np.bool_]], labels: NDArray[Any], missing: str
) -> tuple[NDArray[np.intp], Dropped]:
    """Positions of complete rows and a record of the others.

    Parameters
    ----------
    cells : mapping of str to (n,) bool
        For each variable, True where it is missing.
    labels : (n,) object
        Row labels, for messages.
    missing : {"omit", "exclude", "fail"}

    Raises
    ------
    DataError
        ``missing="fail"`` and a cell is missing, or no complete row is left.
    """
    n = len(labels)
    holes = {name: mask for name, mask in cells.items() if mask.any()}
    if not holes:
        return np.arange(n), Dropped(n, np.empty(0, np.intp))
    gone = np.logical_or.reduce(list(holes.values()))
    dropped = Dropped(n, np.flatnonzero(gone), tuple((name, int(mask.sum())) for name, mask in holes.items()))
    _report(dropped, labels, missing)
    return np.flatnonzero(~gone), dropped


def _report(dropped: Dropped, labels: NDArray[Any], missing: str) -> None:
    counts = by_variable(dropped)
    if dropped.count == dropped.n_given:
        raise DataError(f"none of the {dropped.n_given} rows is complete. Missing values: {counts}")
    if missing == "fail":
        where = listed(labels[dropped.rows])
        raise DataError(f'missing="fail" and values are missing: {counts}; rows {where}. Fill or drop these rows')
    if [name for name, _ in dropped.by_variable] == [NO_RESPONSE]:
        what = f"{dropped.count} of {dropped.n_given} rows left out: no response is observed in "
        warn(f"{what}{'it' if dropped.count == 1 else 'them'}", DroppedRowsWarning)
        return
    plural = "row" if dropped.n_given == 1 else "rows"
    warn(
        f"{dropped.count} of {dropped.n_given} {plural} left out for missing values: {counts}",
        DroppedRowsWarning,
    )


def by_variable(dropped: Dropped) -> str:
    """``y 3, x 1``: missing cells per variable, in words."""
    return ", ".join(f"{name} {count}" for name, count in dropped.by_variable)


def refuse_infinite(name: str, values: NDArray[np.float64], labels: NDArray[Any], because: str = "") -> None:
    """Raise DataError with column and row label where a kept value is infinite (or became NaN in a transform)."""
    bad = ~np.isfinite(values)
    if bad.any():
        rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=1))
        value = values[rows[0]] if values.ndim == 1 else values[rows[0]][bad[rows[0]]][0]
        also = "" if len(rows) == 1 else f" (and in {len(rows) - 1} more rows)"
        raise DataError(
            f"{name} is {value} in row {labels[rows[0]]!r}{also}{because}. It is not treated as missing: "
            "correct the value, or set it to NaN to leave the row out"
        )
