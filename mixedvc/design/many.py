"""Many responses beside one table: their names, how their rows meet those of the data, blocks of them as numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DroppedRowsWarning, OptionError, warn
from .frames import column_of, frame_of, listed, row_labels

Float = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Many:
    """Responses as they were given; nothing is copied until a block is asked for.

    Attributes
    ----------
    names : tuple of str
    values : (N, T) float32 or float64
        With the rows they came with.
    rows : (n,) intp or None
        For each row of the data its row in `values`, −1 where there is none; None where they are the same.
    notes : tuple of str
        How rows met, where not all did.
    """

    names: tuple[str, ...]
    values: NDArray[Any]
    rows: Index | None = None
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        return len(self.names)

    def block(self, which: Index | slice, at: Index | None = None) -> Float:
        """(n, c) float64 of some responses on the rows `at` of the data (all where None), missing cells NaN."""
        rows = self.rows if at is None else at if self.rows is None else self.rows[at]
        part = self.values[:, which]
        if rows is None:
            return np.array(part, dtype=np.float64)
        out = np.asarray(part[rows], dtype=np.float64)
        out[rows < 0] = np.nan
        return out

    def column(self, j: int, at: Index | None = None) -> Float:
        """(n,) one response."""
        return self.block(np.array([j]), at)[:, 0]

    def blocks(self, size: int) -> Iterator[slice]:
        """Slices of `size` responses."""
        for start in range(0, self.count, size):
            yield slice(start, min(start + size, self.count))


def read_many(responses: Any, data: Any) -> Many:
    """Responses for `data`: columns of it by name, or a table or array with a row for each of its rows.

    Parameters
    ----------
    responses : list of str, or (N, T) table or array, or (N,) Series
        A pandas frame is matched to `data` by the labels of the rows; arrays and tables without labels by position.
    data : table

    Raises
    ------
    OptionError, DataError
        What is neither; rows that do not meet; columns that hold no numbers; names that are given twice.
    """
    if isinstance(responses, str):
        raise OptionError(f"responses={responses!r:.60}: a list of column names, or a table with a column a response")
    if isinstance(responses, Sequence) and responses and all(isinstance(name, str) for name in responses):
        made = _of_columns(tuple(responses), data)
    else:
        made = _of_table(responses, data)
    if not made.count:
        raise DataError("responses has no columns: nothing to fit")
    twice = _repeated(made.names)
    if twice:
        raise DataError(f"responses need different names; several are called {listed(twice)}")
    return made


def _repeated(names: tuple[str, ...]) -> list[str]:
    seen: set[str] = set()
    return [name for name in names if name in seen or seen.add(name)]  # type: ignore[func-returns-value]


def _of_columns(names: tuple[str, ...], data: Any) -> Many:
    frame = frame_of(data, dict.fromkeys(names))
    columns = []
    for name in names:
        column = column_of(frame, name)
        if column.levels is not None:
            raise DataError(f"the response {name!r} does not hold numbers; make numbers of it first")
        columns.append(column.values)
    return Many(names, np.column_stack(columns))


def _of_table(responses: Any, data: Any) -> Many:
    import pandas as pd

    if isinstance(responses, pd.Series):
        responses = responses.to_frame(str(responses.name) if responses.name is not None else "y")
    frame = frame_of(data) if not isinstance(data, pd.DataFrame) else data
    if isinstance(responses, pd.DataFrame):
        names, values = tuple(map(str, responses.columns)), _numbers(responses)
        index = responses.index
    elif isinstance(responses, Mapping) or hasattr(responses, "__narwhals_dataframe__") or _is_table(responses):
        table = frame_of(responses)
        names, values, index = tuple(map(str, table.columns)), _numbers(table), None
    else:
        values, index = _array(responses), None
        width = len(str(values.shape[1]))
        names = tuple(f"y{j + 1:0{width}d}" for j in range(values.shape[1]))
    if index is None or index.equals(frame.index):
        _check_length(values, len(frame))
        return Many(names, values)
    rows, notes = _meet(index, frame.index, values, frame)
    return Many(names, values, rows, notes)


def _is_table(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("polars", "pyarrow", "narwhals", "modin", "cudf")


def _array(responses: Any) -> NDArray[Any]:
    try:
        values = np.asarray(responses)
        if values.dtype not in (np.float32, np.float64):
            values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError("responses holds values that are no numbers") from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2:
        raise DataError(f"responses has shape {values.shape}: (rows, responses) is needed")
    return values


def _numbers(frame: Any) -> NDArray[Any]:
    """Numbers of a pandas frame, in single precision where all of it is; no copy where it is one block already."""
    kinds = {str(dtype) for dtype in frame.dtypes}
    if kinds <= {"float64"} or kinds <= {"float32"}:
        return np.asarray(frame.to_numpy())
    columns = [column_of(frame.iloc[:, [j]].set_axis(["x"], axis=1), "x") for j in range(frame.shape[1])]
    bad = [str(name) for name, column in zip(frame.columns, columns, strict=True) if column.levels is not None]
    if bad:
        raise DataError(
            f"{len(bad)} of {frame.shape[1]} responses do not hold numbers: {listed(bad)}. Labels of rows belong in "
            "the index: responses.set_index(…)"
        )
    return np.column_stack([column.values for column in columns]) if columns else np.empty((len(frame), 0))


def _check_length(values: NDArray[Any], n: int) -> None:
    if len(values) == n:
        return
    turned = " It has a row for each response: give its transpose, responses.T" if values.shape[1] == n else ""
    raise DataError(f"responses has {len(values):,} rows; the data have {n:,}.{turned}")


def _meet(index: Any, wanted: Any, values: NDArray[Any], frame: Any) -> tuple[Index, tuple[str, ...]]:
    """Where each row of the data is among the rows of the responses."""
    if not index.is_unique:
        twice = list(dict.fromkeys(index[index.duplicated()]))
        raise DataError(f"responses has several rows labelled {listed(twice)}: rows are matched by their labels")
    rows = np.asarray(index.get_indexer(wanted), dtype=np.intp)
    found = int((rows >= 0).sum())
    if not found:
        turned = values.shape[1] == len(wanted)
        also = " It has a column for each row of the data: give its transpose, responses.T." if turned else ""
        raise DataError(
            f"no row of responses (labels {listed(list(index)[:3])}) has the label of a row of the data "
            f"({listed(row_labels(frame)[:3])}).{also} Set the data's index to the labels, data.set_index('id'), or "
            "pass responses.to_numpy() to go by position"
        )
    notes = []
    if found < len(rows):
        missing = len(rows) - found
        warn(
            f"{missing:,} of {len(rows):,} rows of the data are not in responses and are left out: "
            f"{listed(row_labels(frame)[rows < 0])}",
            DroppedRowsWarning,
        )
        notes.append(f"{missing:,} rows of the data had no row in responses and were left out.")
    beyond = len(index) - len(np.unique(rows[rows >= 0]))
    if beyond:
        notes.append(f"{beyond:,} rows of responses have no row in the data and were not used.")
    return rows, tuple(notes)
