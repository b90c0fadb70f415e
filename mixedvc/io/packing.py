"""Plain values to JSON and named arrays, and back: numbers, text, containers, arrays and pandas frames, nothing else.

Nothing in a packed value can name a class or a function: unpacking makes values of a fixed list of kinds.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import StoredModelError
from .npy import PLAIN, Array

TAG = "$"
Json = Any


class Packer:
    """Packs values; the arrays met on the way collect in `arrays` under names ``a0``, ``a1``, ….

    Examples
    --------
    >>> from mixedvc.io.packing import Packer, unpack
    >>> packer = Packer()
    >>> packed = packer.pack({"ids": ("a", "b"), "x": float("inf")})
    >>> unpack(packed, packer.arrays)
    {'ids': ('a', 'b'), 'x': inf}
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}

    def put(self, array: Array) -> str:
        """File a plain array and return its name."""
        name = f"a{len(self.arrays)}"
        self.arrays[name] = np.ascontiguousarray(array).reshape(array.shape)
        return name

    def pack(self, value: Any, where: str = "the model") -> Json:
        """JSON-able form of a value.

        Raises
        ------
        StoredModelError
            A value of a kind that cannot be stored without pickle; `where` says what it belongs to.
        """
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int | float | complex | np.number | np.bool_):
            return _pack_number(value, where)
        if isinstance(value, np.ndarray):
            return self._pack_array(value, where)
        if isinstance(value, list):
            return [self.pack(item, where) for item in value]
        if isinstance(value, tuple | set | frozenset):
            kind = "tuple" if isinstance(value, tuple) else "set"
            items = list(value) if kind == "tuple" else sorted(value, key=repr)
            return {TAG: kind, "items": [self.pack(item, where) for item in items]}
        if isinstance(value, Mapping):
            pairs = [[self.pack(key, where), self.pack(item, f"{where}, {key!r}")] for key, item in value.items()]
            return {TAG: "dict", "items": pairs}
        moment = _pack_moment(value)
        return self._pack_pandas(value, where) if moment is None else moment

    def text(self, values: Any) -> Json:
        """Strings, None where missing, as bytes and offsets."""
        encoded = [b"" if value is None else value.encode("utf-8", "surrogatepass") for value in values]
        offsets = np.concatenate([[0], np.cumsum([len(code) for code in encoded], dtype=np.int64)]).astype(np.int64)
        missing = np.array([value is None for value in values], dtype=bool)
        packed = {
            TAG: "text",
            "bytes": self.put(np.frombuffer(b"".join(encoded), dtype=np.uint8)),
            "offsets": self.put(offsets),
        }
        return packed | ({"missing": self.put(missing)} if missing.any() else {})

    def _pack_array(self, array: Array, where: str) -> Json:
        if array.dtype.kind in PLAIN.replace("U", ""):
            return {TAG: "array", "name": self.put(array)}
        if array.dtype.kind == "U":
            return {TAG: "unicode", "shape": list(array.shape), "values": self.text(array.ravel().tolist())}
        if array.dtype.hasobject and array.dtype.names is None:
            return {TAG: "objects", "shape": list(array.shape), "values": self._pack_objects(array.ravel(), where)}
        raise StoredModelError(f"{where}: an array of {array.dtype} cannot be stored")

    def _pack_objects(self, flat: Array, where: str) -> Json:
        values = flat.tolist()
        if all(type(value) is str for value in values):
            return self.text(values)
        if values and all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
            return {TAG: "array", "name": self.put(np.array(values, dtype=np.int64))}
        return [self.pack(value, where) for value in values]

    def _pack_pandas(self, value: Any, where: str) -> Json:
        from . import pandas_packing

        packed = pandas_packing.pack(value, self, where)
        if packed is None:
            raise StoredModelError(
                f"{where}: a {type(value).__module__}.{type(value).__name__} cannot be stored in a model file, which "
                "holds numbers, text, dates, categories and tables of them"
            )
        return packed


def _pack_number(value: Any, where: str) -> Json:
    if isinstance(value, complex | np.complexfloating):
        raise StoredModelError(f"{where}: complex numbers cannot be stored")
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return number if math.isfinite(number) else {TAG: "float", "value": repr(number)}


def _pack_moment(value: Any) -> Json:
    """Dates and decimals, which occur as cells of object columns; None for anything else."""
    if isinstance(value, decimal.Decimal):
        return {TAG: "decimal", "value": str(value)}
    for kind in (datetime.datetime, datetime.date, datetime.time):
        if type(value) is kind:
            return {TAG: kind.__name__, "value": value.isoformat()}
    if type(value) is datetime.timedelta:
        return {TAG: "timedelta", "value": [value.days, value.seconds, value.microseconds]}
    return None


def unpack(packed: Json, arrays: Mapping[str, Array]) -> Any:
    """The value from its JSON form and the named arrays.

    Raises
    ------
    StoredModelError
        A form that `Packer` does not write.
    """
    if packed is None or isinstance(packed, bool | int | float | str):
        return packed
    if isinstance(packed, list):
        return [unpack(item, arrays) for item in packed]
    try:
        maker = _MAKERS.get(packed[TAG])
        if maker is not None:
            return maker(packed, arrays)
        from . import pandas_packing

        return pandas_packing.unpack(packed, arrays)
    except StoredModelError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, ArithmeticError) as error:
        raise StoredModelError(f"a stored value cannot be read ({type(error).__name__}: {error})") from error


def unpack_text(packed: Json, arrays: Mapping[str, Array]) -> list[str | None]:
    """The strings, None where missing."""
    data, offsets = arrays[packed["bytes"]].tobytes(), arrays[packed["offsets"]].tolist()
    values: list[str | None] = [data[start:stop].decode("utf-8", "surrogatepass") for start, stop in pairwise(offsets)]
    if "missing" in packed:
        values = [None if gap else value for value, gap in zip(values, arrays[packed["missing"]], strict=True)]
    return values


def _unpack_objects(packed: Json, arrays: Mapping[str, Array]) -> Array:
    found = packed["values"]
    values = unpack(found, arrays)
    made = np.empty(len(values), dtype=object)
    made[:] = values.tolist() if isinstance(values, np.ndarray) else values
    return made.reshape(packed["shape"])


_MAKERS: dict[str, Callable[[Any, Mapping[str, Array]], Any]] = {
    "float": lambda p, a: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[p["value"]],
    "tuple": lambda p, a: tuple(unpack(p["items"], a)),
    "set": lambda p, a: frozenset(unpack(p["items"], a)),
    "dict": lambda p, a: {unpack(key, a): unpack(item, a) for key, item in p["items"]},
    "array": lambda p, a: a[p["name"]],
    "text": unpack_text,
    "unicode": lambda p, a: np.array(unpack_text(p["values"], a), dtype=str).reshape(p["shape"]),
    "objects": _unpack_objects,
    "decimal": lambda p, a: decimal.Decimal(p["value"]),
    "datetime": lambda p, a: datetime.datetime.fromisoformat(p["value"]),
    "date": lambda p, a: datetime.date.fromisoformat(p["value"]),
    "time": lambda p, a: datetime.time.fromisoformat(p["value"]),
    "timedelta": lambda p, a: datetime.timedelta(*p["value"]),
}
