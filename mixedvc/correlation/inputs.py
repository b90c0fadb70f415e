"""Summary statistics and panels as users have them, matched by the names of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Array
from ..covariance.labels import Labels, objects
from ..design.frames import listed
from ..errors import DataError, OptionError
from ..linalg.columns import column_rank

Float = NDArray[np.float64]
_Z, _EFFECT, _SE, _N = ("z",), ("effect", "beta", "b"), ("se", "std.error"), ("n", "N")


@dataclass(frozen=True)
class Statistics:
    """z and sample size of each feature; `names` is None where features are known by position."""

    names: Labels | None
    z: Float
    n: Float


def statistics(value: Any, n: Any, what: str, align: str) -> Statistics:
    """z-scores from a Series, ``(values, names)``, an array (by position), or a frame with z, or effect and se.

    Parameters
    ----------
    n : number or None
        Individuals; None where the frame has a column ``n``.
    """
    table = value if hasattr(value, "columns") else None
    names, numbers = (table.index, None) if table is not None else _named(value, what, 1, align)
    z = _z_of(table, what) if table is not None else _floats(numbers, what)
    index = None if align == "position" else Labels(names, what)
    column = None if table is None else _column(table, _N)
    if n is not None and column is not None:
        raise OptionError(f"n={n!r} and the column {column!r} of {what}: give one of them")
    if table is not None and column is not None:
        sizes = _floats(table[column], f"the column {column!r} of {what}")
    elif n is None:
        raise OptionError(f"n= is needed: how many individuals {what} is of (or a column 'n' in it)")
    else:
        sizes = np.full(len(z), _size(n, what))
    if np.isinf(z).any():
        raise DataError(f"{what} is infinite for {_first(index, np.isinf(z))}: a standard error of 0?")
    if (bad := ~(sizes > 3) & np.isfinite(z)).any():
        raise DataError(f"{what} has {sizes[np.flatnonzero(bad)[0]]:g} individuals for {_first(index, bad)}")
    return Statistics(index, z, sizes)


def panel_matrix(value: Any, what: str, align: str) -> tuple[Labels | None, Array]:
    """Names of the features and the individuals × features matrix."""
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        names, matrix = value.columns, value.to_numpy()
    else:
        names, matrix = _named(value, what, 2, align)
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.dtype.kind not in "biuf":
        raise DataError(f"{what} is a numeric matrix of individuals × features, not {matrix.dtype} of {matrix.shape}")
    if align == "position":
        return None, matrix
    index = Labels(names, f"the features of {what}")
    if len(index) != matrix.shape[1]:
        raise DataError(f"{what} has {matrix.shape[1]} columns and {len(index)} names")
    return index, matrix


def match(parts: Sequence[tuple[Labels | None, int]], what: Sequence[str]) -> list[NDArray[np.intp]]:
    """Positions of the features that all parts have, in the order of the third (the first panel)."""
    if parts[2][0] is None:
        sizes = [size for _, size in parts]
        if len(set(sizes)) > 1:
            told = ", ".join(f"{name} {size}" for name, size in zip(what, sizes, strict=True))
            raise DataError(f"align='position' needs the same number of features everywhere; there are: {told}")
        return [np.arange(sizes[0]) for _ in parts]
    labels = [index for index, _ in parts if index is not None]
    order = labels[2].values
    at = np.stack([index.positions(order) for index in labels])
    common = np.flatnonzero((at >= 0).all(axis=0))
    if len(common) == 0:
        shown = "; ".join(f"{name}: {listed(index.values, 3)}" for name, index in zip(what, labels, strict=True))
        raise DataError(f"no feature is in all of {', '.join(what)}. Their names: {shown}")
    return [row[common] for row in at]


def covariates_of(value: Any, n: int, what: str) -> Float | None:
    """Covariates (n, c) of a panel's individuals."""
    if value is None:
        return None
    try:
        C = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"the covariates of {what} are not numeric") from None
    C = C[:, None] if C.ndim == 1 else C
    if C.ndim != 2:
        raise DataError(f"the covariates of {what} have shape {C.shape}: a column each, a row for each individual")
    if C.shape[0] != n or not np.isfinite(C).all():
        raise DataError(f"the covariates of {what} are {C.shape[0]} rows for {n} individuals, or hold missing values")
    if len(column_rank(np.column_stack([np.ones(n), C])).kept) < 1 + C.shape[1]:
        raise DataError(f"the covariates of {what} depend on each other or on the intercept, which is always there")
    return C


def block_labels(value: Any, index: Labels | None, k: int) -> NDArray[np.object_]:
    """The block of each of the k columns of the panel; None where a Series does not say it."""
    if hasattr(value, "index") and hasattr(value, "to_numpy"):
        if index is None:
            raise OptionError("blocks= as a Series needs names of features; with align='position' give an array")
        of = dict(zip(value.index.tolist(), value.to_numpy().tolist(), strict=True))
        absent = [name for name in index.values.tolist() if name not in of]
        if absent:
            raise DataError(f"blocks= does not say the block of {len(absent)} features of the panel: {listed(absent)}")
        return objects([of[name] for name in index.values.tolist()])
    labels = objects(list(value)) if hasattr(value, "__len__") and not isinstance(value, str) else None
    if labels is None or len(labels) != k:
        raise OptionError(
            f"blocks= is a number of blocks or the block of each of the panel's {k} features, not {value!r:.60}"
        )
    return labels


def _named(value: Any, what: str, ndim: int, align: str) -> tuple[Any, Any]:
    """(names, values) of a Series, a pair or, by position, an array."""
    if isinstance(value, tuple) and len(value) == 2:
        return value[1], value[0]
    if ndim == 1 and hasattr(value, "index") and hasattr(value, "to_numpy"):
        return value.index, value.to_numpy()
    if align == "position" and isinstance(value, np.ndarray | list):
        return None, value
    kind = "a Series by feature, a frame, or (values, names)" if ndim == 1 else "a frame, or (matrix, feature names)"
    raise DataError(
        f"{what} has no names of features, so nothing can be matched: give {kind}. If all are in the same order, "
        "align='position' says so"
    )


def _z_of(table: Any, what: str) -> Float:
    if (z := _column(table, _Z)) is not None:
        return _floats(table[z], what)
    effect, se = _column(table, _EFFECT), _column(table, _SE)
    if effect is None or se is None:
        raise DataError(f"{what} needs a column 'z', or 'effect' and 'se'; it has {listed(table.columns)}")
    b, s = _floats(table[effect], what), _floats(table[se], what)
    if (s < 0).any():
        raise DataError(f"{what} has a negative standard error for {table.index[int(np.flatnonzero(s < 0)[0])]!r}")
    with np.errstate(divide="ignore", invalid="ignore"):
        return b / s


def _column(table: Any, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _floats(values: Any, what: str) -> Float:
    try:
        out = np.array(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{what} is not numeric") from None
    if out.ndim != 1:
        raise DataError(f"{what} has shape {out.shape}: one number for each feature is needed")
    return out


def _size(n: Any, what: str) -> float:
    if isinstance(n, bool) or not isinstance(n, int | float | np.number) or not n > 3:
        raise OptionError(f"n={n!r}: the number of individuals {what} is of")
    return float(n)


def _first(index: Labels | None, bad: NDArray[np.bool_]) -> str:
    at = int(np.flatnonzero(bad)[0])
    return f"feature {at}" if index is None else f"feature {index.values[at]!r}"
