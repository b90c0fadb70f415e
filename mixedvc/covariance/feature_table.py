"""What users hand over as features: a labelled frame, or a matrix with labels; names of columns are remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import CovarianceError
from . import checks
from .base import Array, Positions
from .labels import Labels, named

Float = NDArray[np.float64]

CHUNK_BYTES = 32 * 2**20  # standardised columns held at a time


def read_features(values: Any, labels: Any, names: Any, what: str) -> tuple[Array, Labels, Labels | None]:
    """Matrix, labels of its rows, and names of its columns (None where nobody named them).

    Parameters
    ----------
    values : (q, m) array or frame
    labels : (q,) or None
        None: the index of the frame.
    names : (m,) or None
        None: the columns of the frame, unless they are just counted.
    what : str
        For messages, ``"the features"``.
    """
    if sp.issparse(values):
        raise CovarianceError(f"{what} are a dense matrix: give W.toarray(), or Sparse(W @ W.T / m, labels)")
    if isinstance(values, str):
        raise CovarianceError(
            f"{what} are a matrix or a frame, not the text {values!r:.60}: "
            "read a file with pandas.read_csv(path, index_col=0)"
        )
    framed = hasattr(values, "columns") and hasattr(values, "to_numpy")
    index = Labels(_index_of(values, what) if labels is None else labels, what)
    W = _as_matrix(values.to_numpy() if hasattr(values, "to_numpy") else values, index, what)
    if names is None and framed and not _is_counted(values.columns):
        names = values.columns
    columns = None if names is None else Labels(names, f"the list of columns of {what}")
    if columns is not None and len(columns) != W.shape[1]:
        raise CovarianceError(f"{what} have {W.shape[1]} columns but {len(columns)} names: one name for each column")
    return W, index, columns


def _index_of(values: Any, what: str) -> Any:
    """Row names of a frame that has them."""
    if not hasattr(values, "index") or not hasattr(values, "columns"):
        raise CovarianceError(f"{what} have no labels: one for each row says which level it belongs to")
    if _is_counted(values.index):
        raise CovarianceError(
            f"the rows of {what} are not named, only counted: use frame.set_index('id') with the column that holds the "
            "levels, or give labels"
        )
    return values.index


def _is_counted(axis: Any) -> bool:
    """Whether pandas counted from 0 because nobody gave names."""
    return type(axis).__name__ == "RangeIndex" and axis.start == 0 and axis.step == 1


def _as_matrix(values: Any, index: Labels, what: str) -> Array:
    W = np.asarray(values)
    if W.ndim != 2 or W.shape[1] == 0:
        raise CovarianceError(f"{what} must be a levels × features matrix, not of shape {W.shape}")
    if W.shape[0] != len(index):
        raise CovarianceError(f"{what} have {W.shape[0]} rows but {len(index)} labels: one label for each row")
    if W.dtype.kind not in "biuf":
        W = checks.as_float(W, index, what)
    return W.astype(np.float32) if W.dtype == np.float16 else W


def column_moments(
    W: Array, index: Labels, columns: Labels | None, rows: Positions | None = None
) -> tuple[Float, Float]:
    """Mean and standard deviation (divisor q) of each column, in one reading; refuses NaN and infinity.

    Over the levels at `rows`, all by default.
    """
    q, m = len(W) if rows is None else len(rows), W.shape[1]
    mean, sd = np.empty(m), np.empty(m)
    width = max(1, CHUNK_BYTES // (8 * max(q, 1)))
    for start in range(0, m, width):
        part = slice(start, min(start + width, m))
        G = np.array(W[:, part] if rows is None else W[rows, part], dtype=np.float64)
        mean[part] = G.mean(axis=0)
        bad = np.flatnonzero(~np.isfinite(mean[part]))
        if len(bad):
            labels = index.values if rows is None else index.values[rows]
            at = start + int(bad[0])
            refuse_missing(G[:, bad[0]], labels, at if columns is None else repr(columns.values[at]))
        G -= mean[part]
        sd[part] = np.sqrt(np.einsum("ij,ij->j", G, G) / q)
    return mean, sd


def refuse_missing(column: Float, labels: NDArray[np.object_], feature: object) -> None:
    """Name the first level at which `column` is not finite, if there is one."""
    bad = np.flatnonzero(~np.isfinite(column))
    if len(bad):
        raise CovarianceError(
            f"feature {feature} of level {labels[bad[0]]!r} is {column[bad[0]]}: impute missing features first, "
            "e.g. with the column's mean"
        )


def match_columns(
    new: Labels | None, width: int, known: Labels | None, used: Positions, size: int, what: str
) -> Positions:
    """Column of new features that holds each of the `used` ones among the `size` known: by name where both are named.

    A feature that was constant (not used) may be absent; one that is not known may not be there.
    """
    if new is None or known is None:
        if width != size:
            raise CovarianceError(
                f"{what} has {width} columns, the features of the fit have {size}: without names they match in order"
            )
        return used
    at = new.positions(known.values[used])
    absent = known.values[used][at < 0]
    extra = new.values[known.positions(new.values) < 0]
    if len(absent) or len(extra):
        found = [f"{len(absent)} of the fit are missing: {named(absent, 5)}"] if len(absent) else []
        found += [f"{len(extra)} were not in the fit: {named(extra, 5)}"] if len(extra) else []
        raise CovarianceError(f"{what} does not have the columns of the fit: {'; '.join(found)}")
    return at
