"""Frames, series and indexes to JSON and named arrays, and back, with their types, levels and missing cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import StoredModelError
from .npy import Array

if TYPE_CHECKING:
    from .packing import Json, Packer

TAG = "$"
_NULLABLE = frozenset({"Float32", "Float64", "boolean"}) | {
    f"{kind}{bits}" for kind in ("Int", "UInt") for bits in (8, 16, 32, 64)
}


def pack(value: Any, packer: Packer, where: str) -> Json:
    """JSON form of a pandas object, None where it is not one."""
    if isinstance(value, pd.DataFrame):
        columns = [
            _pack_values(value.iloc[:, j], packer, f"column {value.columns[j]!r}") for j in range(value.shape[1])
        ]
        index = _pack_index(value.index, packer, "the index of the data")
        names = _pack_index(value.columns, packer, "the column names")
        return {TAG: "frame", "columns": columns, "names": names, "index": index}
    if isinstance(value, pd.Series):
        values, index = _pack_values(value, packer, where), _pack_index(value.index, packer, where)
        return {TAG: "series", "values": values, "index": index, "name": packer.pack(value.name, where)}
    if isinstance(value, pd.Index):
        return _pack_index(value, packer, where)
    if isinstance(value, pd.api.extensions.ExtensionArray):
        return {TAG: "extension", "values": _pack_values(pd.Series(value), packer, where)}
    if isinstance(value, pd.Timestamp):
        return {TAG: "stamp", "values": _pack_values(pd.Series([value]), packer, where)}
    if value is pd.NA or value is pd.NaT:
        return {TAG: "NA" if value is pd.NA else "NaT"}
    return None


def unpack(packed: Json, arrays: Mapping[str, Array]) -> Any:
    """The pandas object of a JSON form written by `pack`."""
    kind = packed[TAG]
    if kind == "frame":
        columns = [_unpack_values(column, arrays) for column in packed["columns"]]
        made = pd.DataFrame(dict(enumerate(columns)), index=None if columns else range(0))
        made.index = _unpack_index(packed["index"], arrays)
        made.columns = _unpack_index(packed["names"], arrays)
        return made
    if kind == "series":
        made = _unpack_values(packed["values"], arrays)
        made.index = _unpack_index(packed["index"], arrays)
        return made.rename(_plain(packed["name"], arrays))
    if kind in ("index", "range", "multi"):
        return _unpack_index(packed, arrays)
    if kind == "extension":
        return _unpack_values(packed["values"], arrays).array
    if kind == "stamp":
        return _unpack_values(packed["values"], arrays).iloc[0]
    if kind in ("NA", "NaT"):
        return pd.NA if kind == "NA" else pd.NaT
    raise StoredModelError(f"a stored value of the unknown kind {kind!r}: the file is from another version of mixedvc")


def _pack_index(index: Any, packer: Packer, where: str) -> Json:
    names = packer.pack(list(index.names), where)
    if isinstance(index, pd.RangeIndex):
        return {TAG: "range", "span": [index.start, index.stop, index.step], "names": names}
    if isinstance(index, pd.MultiIndex):
        levels = [_pack_values(pd.Series(index.get_level_values(i)), packer, where) for i in range(index.nlevels)]
        return {TAG: "multi", "levels": levels, "names": names}
    return {
        TAG: "index",
        "values": _pack_values(index.to_series(index=range(len(index))), packer, where),
        "names": names,
    }


def _unpack_index(packed: Json, arrays: Mapping[str, Array]) -> Any:
    names = _plain(packed["names"], arrays)
    if packed[TAG] == "range":
        start, stop, step = packed["span"]
        return pd.RangeIndex(start, stop, step, name=names[0])
    if packed[TAG] == "multi":
        return pd.MultiIndex.from_arrays([_unpack_values(level, arrays) for level in packed["levels"]], names=names)
    return pd.Index(_unpack_values(packed["values"], arrays), name=names[0])


def _plain(packed: Json, arrays: Mapping[str, Array]) -> Any:
    from .packing import unpack as unpack_any

    return unpack_any(packed, arrays)


def _pack_values(series: Any, packer: Packer, where: str) -> Json:
    """The cells of a series; Arrow's and sparse types become the nullable or plain type of the same values."""
    series = _without_arrow(series, where)
    dtype: Any = series.dtype
    if isinstance(dtype, pd.SparseDtype):
        return _pack_values(series.sparse.to_dense(), packer, where)
    if isinstance(dtype, pd.CategoricalDtype):
        categories = _pack_index(series.cat.categories, packer, where)
        codes = packer.put(series.cat.codes.to_numpy())
        return {"as": "category", "codes": codes, "categories": categories, "ordered": bool(series.cat.ordered)}
    if isinstance(dtype, pd.StringDtype):
        return {"as": str(dtype), "text": packer.text([None if pd.isna(v) else v for v in series])}
    if str(dtype) in _NULLABLE:
        gaps = packer.put(series.isna().to_numpy(dtype=bool))
        filled = packer.put(series.array._data)
        return {"as": str(dtype), "values": filled, "missing": gaps}
    if isinstance(dtype, pd.DatetimeTZDtype):
        return {"as": "zoned", "values": packer.put(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())} | {
            "zone": str(dtype.tz)
        }
    if isinstance(dtype, pd.PeriodDtype):
        return {"as": "period", "values": packer.put(series.array.asi8), "freq": str(dtype)[7:-1]}
    if isinstance(dtype, pd.IntervalDtype):
        sides = [_pack_values(pd.Series(side), packer, where) for side in (series.array.left, series.array.right)]
        return {"as": "interval", "sides": sides, "closed": dtype.closed}
    if isinstance(dtype, np.dtype):
        return {"as": "numpy", "values": packer.pack(series.to_numpy(), where)}
    raise StoredModelError(f"{where}: values of type {dtype} cannot be stored; convert them to numbers or text")


def _without_arrow(series: Any, where: str) -> Any:
    """An Arrow-backed series as the pandas type of the same values."""
    dtype: Any = series.dtype
    if type(dtype).__name__ != "ArrowDtype":
        return series
    name = str(dtype)
    if name.startswith("dictionary"):  # pandas' own astype("category") fails where a cell is missing
        return pd.Series(series.array.__arrow_array__().to_pandas().array, index=series.index)
    if name.startswith(("string", "large_string")):
        return series.astype("string")
    if name.startswith("bool"):
        return series.astype("boolean")
    if name.startswith(("int", "uint")):
        width = name.split("[")[0]
        return series.astype(width.replace("uint", "UInt") if width.startswith("uint") else width.replace("int", "Int"))
    if name.startswith(("float", "double", "halffloat", "decimal")):
        return series.astype("Float64")
    if name.startswith(("timestamp", "date", "duration")):
        return pd.Series(pd.array(series.to_list()), index=series.index)
    raise StoredModelError(f"{where}: Arrow values of type {name} cannot be stored; convert them to numbers or text")


def _unpack_values(packed: Json, arrays: Mapping[str, Array]) -> Any:
    made = _READERS.get(packed["as"])
    if made is not None:
        return made(packed, arrays)
    if packed["as"] not in _NULLABLE:
        raise StoredModelError(f"a stored column of the unknown type {packed['as']!r}")
    values, gaps = arrays[packed["values"]], arrays[packed["missing"]]
    kinds: Any = pd.arrays
    array = kinds.BooleanArray if packed["as"] == "boolean" else None
    if array is None:
        array = kinds.FloatingArray if packed["as"].startswith("Float") else kinds.IntegerArray
    return pd.Series(array(values.copy(), gaps.copy()))


def _strings(packed: Json, arrays: Mapping[str, Array]) -> Any:
    from .packing import unpack_text

    values = unpack_text(packed["text"], arrays)
    if packed["as"] == "str" and int(pd.__version__.split(".")[0]) < 3:
        return pd.Series(values, dtype=object)
    return pd.Series(values, dtype=packed["as"])


def _category(packed: Json, arrays: Mapping[str, Array]) -> Any:
    categories = _unpack_index(packed["categories"], arrays)
    kind = pd.CategoricalDtype(categories, ordered=packed["ordered"])
    return pd.Series(pd.Categorical.from_codes(arrays[packed["codes"]], dtype=kind))


def _zoned(packed: Json, arrays: Mapping[str, Array]) -> Any:
    naive: Any = pd.Series(arrays[packed["values"]])
    return naive.dt.tz_localize("UTC").dt.tz_convert(packed["zone"])


def _period(packed: Json, arrays: Mapping[str, Array]) -> Any:
    kind: Any = pd.PeriodIndex
    return pd.Series(kind.from_ordinals(arrays[packed["values"]], freq=packed["freq"]))


def _interval(packed: Json, arrays: Mapping[str, Array]) -> Any:
    left, right = (_unpack_values(side, arrays) for side in packed["sides"])
    return pd.Series(pd.arrays.IntervalArray.from_arrays(left, right, closed=packed["closed"]))


_READERS: dict[str, Callable[[Any, Mapping[str, Array]], Any]] = {
    "numpy": lambda p, a: pd.Series(_plain(p["values"], a)),
    "str": _strings,
    "string": _strings,
    "category": _category,
    "zoned": _zoned,
    "period": _period,
    "interval": _interval,
}
