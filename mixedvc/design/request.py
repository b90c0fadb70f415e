"""Everything a specification was asked for, in plain values: enough to bind it again, here or after loading."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, OptionError
from .frames import row_labels

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Request:
    """Arguments of `bind` after reading: data reduced to the columns used, covariances as objects.

    Attributes
    ----------
    formula : str
        As the user wrote it.
    frame : DataFrame
        Copy of the columns used, with all rows and their index.
    covariances : mapping of str to Covariance
        The values of ``cov=``, by name.
    responses : mapping of str to (names, (n, t) float)
        Response matrices by the name they have in the formula.
    weights, offset : str, (n,) float or None
        A column's name, or numbers.
    residual : str or None
    missing, align, rank : str
    contrasts : mapping of str to object
        As given.
    dot : tuple of str or None
        The columns that ``.`` may stand for; None: those of the frame.
    """

    formula: str
    frame: Any
    covariances: Mapping[str, Any] = field(default_factory=dict)
    responses: Mapping[str, tuple[tuple[str, ...], Float]] = field(default_factory=dict)
    weights: str | Float | None = None
    offset: str | Float | None = None
    residual: str | None = None
    missing: str = "omit"
    contrasts: Mapping[str, Any] = field(default_factory=dict)
    align: str = "labels"
    rank: str = "drop"
    dot: tuple[str, ...] | None = None


Binder = Callable[[Request], Any]


def per_row(value: Any, what: str, frame: Any) -> Any:
    """A column's name, or (n,) numbers for the rows of `frame`; a Series goes by its index.

    Raises
    ------
    DataError
        Another length than the data, an index that does not fit, or values that are no numbers.
    """
    if value is None or isinstance(value, str):
        return value
    n = len(frame)
    value = by_index(value, what, frame)
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} holds values that are not numbers") from None
    if numbers.shape != (n,):
        raise DataError(f"{what} has shape {numbers.shape}; the data have {n} rows, so ({n},) is needed")
    return numbers


def by_index(value: Any, what: str, frame: Any) -> Any:
    """A Series or DataFrame put into the row order of `frame` by its index; anything else as it is."""
    if not (hasattr(value, "index") and hasattr(value, "reindex")) or value.index.equals(frame.index):
        return value
    if value.index.is_unique and frame.index.is_unique and len(value) >= len(frame):
        absent = frame.index.difference(value.index)
        if not len(absent):
            return value.loc[frame.index]
    raise DataError(
        f"the index of {what} does not fit the rows of the data (first row {row_labels(frame)[:1].tolist()}); "
        "give it the same index, or pass .to_numpy() to go by position"
    )


def read_responses(responses: Mapping[str, Any] | None, frame: Any) -> dict[str, tuple[tuple[str, ...], Float]]:
    """``responses=`` as names and (n, t) numbers."""
    if responses is None:
        return {}
    if not isinstance(responses, Mapping):
        raise OptionError('responses= is a dictionary, e.g. {"Y": matrix} for the formula "Y ~ …"')
    return {name: _matrix(name, value, frame) for name, value in responses.items()}


def _matrix(name: str, value: Any, frame: Any) -> tuple[tuple[str, ...], Float]:
    what = f"responses[{name!r}]"
    value = by_index(value, what, frame)
    try:
        numbers = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} holds values that are not numbers") from None
    if numbers.ndim not in (1, 2) or len(numbers) != len(frame):
        raise DataError(f"{what} has shape {numbers.shape}; the data have {len(frame)} rows")
    if numbers.ndim == 1:
        return (name,), numbers[:, None]
    if hasattr(value, "columns"):
        return tuple(map(str, value.columns)), numbers
    return tuple(f"{name}[{j + 1}]" for j in range(numbers.shape[1])), numbers
