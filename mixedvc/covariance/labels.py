"""The names of a covariance's levels: unique, hashable, looked up by an index built when first needed."""

from __future__ import annotations

import datetime
import hashlib
import math
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CovarianceError
from .base import Array, Positions

_SHOWN = 10  # labels listed in a message


class Labels:
    """q unique level names in order.

    Parameters
    ----------
    values : iterable of hashable
        The names; numpy and pandas scalars become Python's own.
    what : str
        What the labels belong to, for messages, e.g. ``"cov['A']"``.

    Raises
    ------
    CovarianceError
        Where a label is missing (None, NaN), cannot be hashed, or stands twice.
    """

    def __init__(self, values: Any, what: str = "the covariance"):
        given = values.to_numpy() if hasattr(values, "to_numpy") else values
        self._where: dict[Any, int] | None = None
        if isinstance(given, np.ndarray) and given.ndim == 1 and given.dtype.kind in "iu" and _rises(given):
            self.values = _frozen(given.astype(object))  # sorted integers are unique without a hash
            return
        self.values = _frozen(_as_objects(given, what))
        listed = self.values.tolist()
        _refuse_missing(listed, what)
        self._where = _hashed(listed, what)

    @classmethod
    def trusted(cls, values: NDArray[np.object_]) -> Labels:
        """Labels known to be unique, e.g. a selection of others."""
        new = cls.__new__(cls)
        new.values, new._where = _frozen(values), None
        return new

    def __len__(self) -> int:
        return len(self.values)

    @property
    def where(self) -> dict[Any, int]:
        """Label → position."""
        if self._where is None:
            self._where = {label: i for i, label in enumerate(self.values.tolist())}
        return self._where

    def positions(self, levels: Any) -> Positions:
        """Position of each of `levels`; −1 where absent."""
        listed = _as_objects(levels, "levels").tolist()
        get = self.where.get
        try:
            return np.fromiter((get(level, -1) for level in listed), np.intp, len(listed))
        except TypeError as error:
            raise CovarianceError(f"levels must be hashable values (text, numbers, dates): {error}") from None

    def take(self, rows: Positions, what: str = "the covariance") -> Labels:
        """The labels at `rows`, in that order; a row asked for twice is refused."""
        if len(rows) and np.bincount(rows, minlength=len(self)).max() > 1:
            twice = self.values[np.flatnonzero(np.bincount(rows) > 1)]
            raise CovarianceError(f"{what} cannot be restricted to the same level twice: {named(twice)}")
        return Labels.trusted(self.values[rows])

    @cached_property
    def digest(self) -> str:
        """Digest of the names and their types; the array is read-only, so once is enough."""
        text = "\x1f".join(f"{type(label).__name__}:{label}" for label in self.values.tolist())
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()

    def pack(self) -> list[Any]:
        """JSON-able list from which `unpack` rebuilds the labels with their types."""
        return [_to_json(label) for label in self.values.tolist()]

    @classmethod
    def unpack(cls, options: Mapping[str, Any], key: str = "labels") -> Labels:
        """The labels that `pack` wrote into ``options[key]``."""
        return cls(objects([_from_json(label) for label in options[key]]))


def named(labels: Iterable[Any], shown: int = _SHOWN) -> str:
    """``'a', 'b', 'c' and 7 more`` for messages."""
    listed = list(labels)
    text = ", ".join(repr(label.item() if isinstance(label, np.generic) else label) for label in listed[:shown])
    return text if len(listed) <= shown else f"{text} and {len(listed) - shown} more"


def objects(values: list[Any]) -> NDArray[np.object_]:
    """A 1-d object array of `values`, tuples kept whole."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def _rises(values: Array) -> bool:
    return bool(np.all(values[1:] > values[:-1]))


def _frozen(values: NDArray[np.object_]) -> NDArray[np.object_]:
    values.flags.writeable = False
    return values


def _as_objects(values: Any, what: str) -> NDArray[np.object_]:
    """A fresh 1-d object array of Python scalars."""
    given = values.to_numpy() if hasattr(values, "to_numpy") else values
    if isinstance(given, np.ndarray):
        if given.ndim != 1:
            raise CovarianceError(f"labels of {what} must be one-dimensional, not of shape {given.shape}")
        return given.astype(object)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise CovarianceError(f"labels of {what} must be a list of names, not {given!r:.60}")
    return objects(list(given))


def _refuse_missing(listed: list[Any], what: str) -> None:
    if set(map(type, listed)) <= {str, int}:
        return
    missing = [i for i, label in enumerate(listed) if is_missing(label)]
    if missing:
        at = ", ".join(map(str, missing[:_SHOWN]))
        raise CovarianceError(f"{what} has {len(missing)} missing label(s), at position {at}: name every level")


def is_missing(label: Any) -> bool:
    """True for None, NaN, NaT and pandas' NA."""
    if label is None or (isinstance(label, float) and math.isnan(label)):
        return True
    return type(label).__name__ in {"NAType", "NaTType"}


def _hashed(listed: list[Any], what: str) -> dict[Any, int]:
    try:
        where = {label: i for i, label in enumerate(listed)}
    except TypeError as error:
        raise CovarianceError(f"labels of {what} must be hashable values (text, numbers, dates): {error}") from None
    if len(where) < len(listed):
        twice = list(dict.fromkeys(label for i, label in enumerate(listed) if where[label] != i))
        raise CovarianceError(f"{what} has {len(twice)} label(s) more than once: {named(twice)}. Labels must be unique")
    return where


def _to_json(label: Any) -> Any:
    if isinstance(label, np.generic):
        label = label.item()
    if isinstance(label, str | int | float | bool):
        return label
    if isinstance(label, tuple):
        return {"tuple": [_to_json(part) for part in label]}
    if isinstance(label, datetime.datetime):  # pandas' Timestamp is one
        return {"datetime": label.isoformat()}
    if isinstance(label, datetime.date):
        return {"date": label.isoformat()}
    raise CovarianceError(f"label {label!r:.60} of type {type(label).__name__} cannot be saved: use text or numbers")


def _from_json(label: Any) -> Any:
    if not isinstance(label, dict):
        return label
    ((kind, value),) = label.items()
    if kind == "tuple":
        return tuple(_from_json(part) for part in value)
    if kind == "datetime":
        return datetime.datetime.fromisoformat(value)
    if kind == "date":
        return datetime.date.fromisoformat(value)
    raise CovarianceError(f"unknown kind of label in a saved covariance: {kind!r}")
