"""Any table to named columns: numbers, logicals, factors and times, with missing cells marked."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError, DataError

Kind = Literal["number", "logical", "factor", "time"]


@dataclass(frozen=True)
class Column:
    """One column of the data, read once.

    Attributes
    ----------
    name : str
    kind : {"number", "logical", "factor", "time"}
    values : (n,) float
        Numbers, with NaN where missing; for the other kinds the position of each cell in `levels`, −1 where missing.
    levels : (L,) object or None
        Levels in R's order: as declared by a categorical, else sorted; None for numbers.
    ordered : bool
        An ordered categorical.
    """

    name: str
    kind: Kind
    values: NDArray[Any]
    levels: NDArray[np.object_] | None = None
    ordered: bool = False
    declared: bool = False

    @property
    def missing(self) -> NDArray[np.bool_]:
        """(n,) True where the cell is missing."""
        return np.isnan(self.values) if self.levels is None else self.values < 0


def frame_of(data: Any, names: Iterable[str] | None = None) -> Any:
    """A pandas frame of the columns `names` (all where None) of any table that narwhals reads.

    Raises
    ------
    DataError
        No table, duplicated column names, a MultiIndex over the columns, or a column that is not there.
    """
    import pandas as pd

    if isinstance(data, pd.DataFrame):
        column_names(data)
        return data if names is None else data[_present(list(names), column_names(data))].copy()
    if isinstance(data, Mapping):
        return frame_of(_frame_of_mapping(data), names)
    table = _narwhals_frame(data)
    wanted = table.columns if names is None else _present(list(names), tuple(table.columns))
    return pd.DataFrame({name: _pandas_values(table[name]) for name in wanted}, copy=True)


def column_names(data: Any) -> tuple[str, ...]:
    """Names of the columns of any table, checked to be unique; names that are not text are skipped."""
    import pandas as pd

    if isinstance(data, Mapping):
        return tuple(str(key) for key in data)
    if not isinstance(data, pd.DataFrame):
        return tuple(_narwhals_frame(data).columns)
    if isinstance(data.columns, pd.MultiIndex):
        raise DataError(
            "the columns of the data have a MultiIndex: a formula needs one name per column, "
            "e.g. data.columns = ['_'.join(map(str, c)) for c in data.columns]"
        )
    if not data.columns.is_unique:
        twice = list(dict.fromkeys(str(name) for name in data.columns[data.columns.duplicated()]))
        raise DataError(f"the data have several columns called {listed(twice)}: rename or drop all but one of each")
    return tuple(name for name in data.columns if isinstance(name, str))


def column_of(frame: Any, name: str) -> Column:
    """The column `name` of a pandas frame, read as number, logical, factor or time.

    Raises
    ------
    DataError
        Mixed types in one column, or cells that are neither numbers nor labels.
    """
    import pandas as pd

    if name not in frame.columns:
        raise BindError(f"no column is called {name!r}{nearest(name, column_names(frame))}")
    series = frame[name]
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "fiu":
        return Column(name, "number", np.array(series.to_numpy(), dtype=np.float64))
    if isinstance(dtype, pd.CategoricalDtype) or _is_arrow_dictionary(dtype):
        return _categorical(name, series)
    if pd.api.types.is_bool_dtype(dtype):
        return _logical(name, series)
    if pd.api.types.is_numeric_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            raise DataError(f"column {name!r} holds complex numbers; use its real part or its modulus")
        return Column(name, "number", series.to_numpy(dtype=np.float64, na_value=np.nan).copy())
    if _is_time(dtype):
        return _time(name, series)
    return _objects(name, series)


def _categorical(name: str, series: Any) -> Column:
    cat = series
    if _is_arrow_dictionary(series.dtype):  # pandas' astype("category") fails at missing cells and forgets the order
        import pandas as pd

        cat = pd.Series(series.array.__arrow_array__().to_pandas().array, index=series.index)
    levels = np.array([plain_label(v) for v in cat.cat.categories], dtype=object)
    return Column(
        name, "factor", cat.cat.codes.to_numpy().astype(np.intp), levels, bool(cat.cat.ordered), declared=True
    )


def _logical(name: str, series: Any) -> Column:
    codes = np.full(len(series), -1, dtype=np.intp)
    there = series.notna().to_numpy()
    codes[there] = series[there].to_numpy(dtype=bool).astype(np.intp)
    return Column(name, "logical", codes, np.array([False, True], dtype=object))


def _time(name: str, series: Any) -> Column:
    """Dates, times and periods: usable as labels (ISO text, sorted in time), not as numbers."""
    codes, levels = _factorised(series)
    return Column(name, "time", codes, np.array([str(v) for v in levels], dtype=object))


def _factorised(series: Any) -> tuple[NDArray[np.intp], Any]:
    import pandas as pd

    codes, levels = pd.factorize(series, sort=True)
    return codes.astype(np.intp), levels


def _objects(name: str, series: Any) -> Column:
    """Text, or Python objects whose type has to be found out."""
    import pandas as pd

    found = "string" if isinstance(series.dtype, pd.StringDtype) else pd.api.types.infer_dtype(series, skipna=True)
    if found == "empty" and not isinstance(series.dtype, pd.StringDtype):
        return Column(name, "number", np.full(len(series), np.nan))
    if found == "string":
        codes, levels = _factorised(series)
        return Column(name, "factor", codes, np.array(levels, dtype=object))
    if found in ("integer", "floating", "mixed-integer-float", "decimal"):
        return Column(name, "number", pd.to_numeric(series).to_numpy(dtype=np.float64, na_value=np.nan).copy())
    if found == "boolean":
        return _logical(name, series)
    if found in ("datetime", "datetime64", "date", "period", "time", "timedelta", "timedelta64"):
        return _time(name, series)
    raise DataError(f"column {name!r} mixes types: {_examples(series)}. Convert it to one type, e.g. .astype(str)")


def _examples(series: Any) -> str:
    """The first cell of each type, with its row: ``1 (int, row 0), '1' (str, row 3)``."""
    first: dict[str, str] = {}
    for label, value in zip(series.index, series, strict=True):
        kind = type(value).__name__
        if kind not in first and not (isinstance(value, float) and np.isnan(value)) and value is not None:
            first[kind] = f"{value!r} ({kind}, row {label})"
    return ", ".join(first.values())


def labels_of(column: Column) -> tuple[NDArray[np.intp], NDArray[np.object_]]:
    """Codes (−1 where missing) and sorted levels of a column used as a grouping factor, as R's factor() makes them.

    Whole numbers become Python ints whatever they were stored as, so that ids read as floats because of a missing
    cell still meet integer labels; text stays text.
    """
    if column.levels is not None:
        return column.values, column.levels
    there = ~column.missing
    given = column.values[there]
    codes = np.full(len(column.values), -1, dtype=np.intp)
    whole = given.astype(np.int64) if len(given) and np.abs(given).max() < 2.0**53 else None
    if whole is None or not (whole == given).all():
        numbers, codes[there] = np.unique(given, return_inverse=True)
        return codes, np.array([plain_label(v) for v in numbers.tolist()], dtype=object)
    ids, codes[there] = _sorted_ids(whole)
    return codes, ids.astype(object)


def _sorted_ids(whole: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """Sorted unique whole numbers and the place of each; without a sort where they are dense."""
    low, span = int(whole.min()), int(whole.max()) - int(whole.min()) + 1
    if span > 4 * len(whole) + 1024:
        ids, places = np.unique(whole, return_inverse=True)
        return ids, places
    there = np.zeros(span, dtype=bool)
    there[whole - low] = True
    return np.flatnonzero(there) + low, (np.cumsum(there) - 1)[whole - low]


def plain_label(value: Any) -> Any:
    """A label as Python int, float, bool or str; whole floats are ints."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | float | str) else str(value)


def row_labels(frame: Any) -> NDArray[np.object_]:
    """(n,) labels of the rows; the levels of a MultiIndex are joined by ``:``."""
    import pandas as pd

    if isinstance(frame.index, pd.RangeIndex):
        return np.arange(frame.index.start, frame.index.stop, frame.index.step).astype(object)
    if isinstance(frame.index, pd.MultiIndex):
        return np.array([":".join(map(str, key)) for key in frame.index], dtype=object)
    return np.array([plain_label(v) for v in frame.index.tolist()], dtype=object)


def listed(things: Iterable[Any], most: int = 10) -> str:
    """``'a', 'b', … (12 in all)``: at most `most` things, quoted as Python does."""
    every = list(things)
    text = ", ".join(repr(thing) for thing in every[:most])
    return text if len(every) <= most else f"{text}, … ({len(every)} in all)"


def nearest(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'Days'?`` or the list of what there is."""
    known = list(names)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f". The columns are: {listed(known)}" if known else ". The data have no columns"


def _present(wanted: list[str], names: tuple[str, ...]) -> list[str]:
    have = set(names)
    for name in wanted:
        if name not in have:
            raise BindError(f"no column is called {name!r}{nearest(name, names)}")
    return wanted


def _is_arrow_dictionary(dtype: Any) -> bool:
    return type(dtype).__name__ == "ArrowDtype" and str(dtype).startswith("dictionary")


def _is_time(dtype: Any) -> bool:
    import pandas as pd

    types = pd.api.types
    arrow = type(dtype).__name__ == "ArrowDtype" and str(dtype).startswith(("timestamp", "date", "time", "duration"))
    return (
        arrow
        or types.is_datetime64_any_dtype(dtype)
        or types.is_timedelta64_dtype(dtype)
        or isinstance(dtype, pd.PeriodDtype)
    )


def _frame_of_mapping(data: Mapping[str, Any]) -> Any:
    import pandas as pd

    try:
        return pd.DataFrame(dict(data))
    except ValueError as problem:
        raise DataError(f"a dictionary of columns needs columns of one length: {problem}") from problem


def _narwhals_frame(data: Any) -> Any:
    import narwhals.stable.v1 as nw

    try:
        table = nw.from_native(data)
    except TypeError:
        raise DataError(
            f"data is a {type(data).__name__}; a pandas, polars or pyarrow table (or a dictionary of columns) is needed"
        ) from None
    return table.collect() if isinstance(table, nw.LazyFrame) else table


def _pandas_values(series: Any) -> Any:
    """One narwhals column as pandas values; levels of an Enum keep their order, those of a Categorical are sorted."""
    import narwhals.stable.v1 as nw
    import pandas as pd

    native, dtype = series.to_native(), series.dtype
    if type(native).__module__.startswith("pyarrow"):
        return native.to_pandas()
    if dtype in (nw.Categorical, nw.Enum):
        levels = series.cat.get_categories().to_list()
        levels = levels if dtype == nw.Enum else sorted(levels)
        return pd.Categorical(series.cast(nw.String).to_list(), categories=levels)
    if dtype.is_numeric():
        return series.cast(nw.Float64).to_numpy() if series.null_count() else series.to_numpy()
    if dtype == nw.Boolean:
        return pd.array(series.to_list(), dtype="boolean")
    if dtype == nw.String:
        return pd.array(series.to_list(), dtype="str")
    return series.to_list()
