"""What users hand over as ``cov={"A": …}``, made into a checked covariance with labels."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp

from ..errors import CovarianceError, OptionError
from .base import Array, Covariance
from .checks import check_shape
from .dense import Dense
from .labels import Labels, named
from .sparse import Sparse

_METHODS = ("positions", "block", "sparse_block", "matmat", "restrict", "factor", "fingerprint", "state")


def as_covariance(
    value: Any, name: str, align: Literal["labels", "position"] = "labels", levels: Array | None = None
) -> Covariance:
    """A covariance from a labelled frame, ``(matrix, labels)``, or a covariance; checks included.

    Parameters
    ----------
    value : Any
        A pandas frame with the same labels on rows and columns (in any order), a pair of a dense or sparse matrix
        and labels, or a covariance, which is returned as it is.
    name : str
        Its name in ``cov=``, for messages.
    align : {"labels", "position"}
        "position" lets an unlabelled matrix take `levels` as its labels, in order.
    levels : (q,) array-like, optional
        Levels of the grouping factor, for ``align="position"``.

    Raises
    ------
    CovarianceError
        Where the value is none of these, has no labels, or fails a check of `Dense` or `Sparse`.
    """
    what = f"cov[{name!r}]"
    if align not in ("labels", "position"):
        raise OptionError(f"align must be 'labels' or 'position', not {align!r}")
    if is_covariance(value):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        matrix, labels = value
        if hasattr(matrix, "index") and hasattr(matrix, "columns"):
            matrix = matrix.to_numpy()
        return _checked(matrix, Labels(labels, what), what)
    if hasattr(value, "index") and hasattr(value, "columns") and hasattr(value, "to_numpy"):
        return _from_frame(value, what, align, levels)
    if isinstance(value, np.ndarray | sp.sparray | sp.spmatrix):
        unlabelled: Any = value
        return _checked(value, _by_position(unlabelled.shape, what, align, levels), what)
    raise CovarianceError(f"{what} {_not_usable(value)}")


def is_covariance(value: Any) -> bool:
    """Whether `value` has the methods of a covariance; no property is evaluated."""
    return not isinstance(value, type) and all(callable(getattr(type(value), method, None)) for method in _METHODS)


def _not_usable(value: Any) -> str:
    kind = type(value)
    if isinstance(value, type):
        return f"is the class {value.__name__}: make one, e.g. Dense(A, labels)"
    if kind.__module__.startswith(("polars", "pyarrow")):
        return (
            f"is a {kind.__module__.split('.')[0]} table, which has no row labels: give (matrix, labels), e.g. "
            "(table.to_numpy(), names)"
        )
    if isinstance(value, list):
        return "is a list, which has no labels: give (matrix, labels)"
    return (
        f"is a {kind.__name__}: give a labelled data frame, (matrix, labels), or a covariance such as Dense(A, labels)"
    )


def _checked(matrix: Any, index: Labels, what: str) -> Covariance:
    if sp.issparse(matrix):
        return Sparse.checked(matrix, index, what)
    if getattr(matrix, "ndim", 2) != 2 or isinstance(matrix, str):
        raise CovarianceError(f"{what} must be a square matrix with labels, not {type(matrix).__name__}")
    return Dense.checked(matrix, index, what)


def _by_position(shape: tuple[int, ...], what: str, align: str, levels: Array | None) -> Labels:
    if align != "position":
        raise CovarianceError(
            f"{what} has no labels, so its rows cannot be matched to the data: give (matrix, labels) or a data frame "
            "with the same names on rows and columns. If its rows are in the order of the levels, align='position' "
            "says so"
        )
    if levels is None:
        raise CovarianceError(f"{what} has no labels and align='position' needs the levels of its grouping factor")
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] != len(levels):
        raise CovarianceError(
            f"{what} is {' × '.join(map(str, shape))} but there are {len(levels)} levels: align='position' needs one "
            "row and column for each level, in order"
        )
    return Labels(levels, what)


def _from_frame(frame: Any, what: str, align: str, levels: Array | None) -> Covariance:
    if frame.index.nlevels > 1 or frame.columns.nlevels > 1:
        raise CovarianceError(f"{what} has several levels of row or column labels: join them into one name each")
    if align == "position" and _is_unlabelled(frame):
        return _checked(_numbers(frame), _by_position(frame.shape, what, align, levels), what)
    _refuse_names_in_a_column(frame, what)
    if frame.shape[0] != frame.shape[1]:
        check_shape(frame.shape, frame.shape[0], what)
    rows = Labels(frame.index, what)
    if frame.index.equals(frame.columns) or _same_as_text(frame):
        return _checked(_numbers(frame), rows, what)
    columns = Labels(frame.columns, f"the columns of {what}")
    at = columns.positions(rows.values)
    if np.any(at < 0):
        raise CovarianceError(_different_labels(rows, columns, at, what))
    matrix = _numbers(frame)
    return _checked(matrix if np.array_equal(at, np.arange(len(at))) else matrix[:, at], rows, what)


def _is_unlabelled(frame: Any) -> bool:
    """Whether rows and columns are both just counted from 0, as pandas does for a bare matrix."""
    return all(type(axis).__name__ == "RangeIndex" and axis.start == 0 and axis.step == 1 for axis in frame.axes)


def _same_as_text(frame: Any) -> bool:
    """Row names 1, 2, 3 above column names "1", "2", "3": what reading a csv file gives."""
    return frame.index.inferred_type == "integer" and [str(i) for i in frame.index] == list(frame.columns)


def _numbers(frame: Any) -> Any:
    if all(type(dtype).__name__ == "SparseDtype" for dtype in frame.dtypes):
        return frame.sparse.to_coo()
    return frame.to_numpy()


def _refuse_names_in_a_column(frame: Any, what: str) -> None:
    """A csv file read without ``index_col=0`` has the row names in its first column."""
    rows, columns = frame.shape
    if columns == rows + 1 and type(frame.index).__name__ == "RangeIndex":
        raise CovarianceError(
            f"{what} is {rows} × {columns} and its rows are not named: the names seem to be in its first column, "
            f"{frame.columns[0]!r}. Use frame.set_index({frame.columns[0]!r}), or read the file with index_col=0"
        )


def _different_labels(rows: Labels, columns: Labels, at: Array, what: str) -> str:
    extra = columns.values[rows.positions(columns.values) < 0]
    text = (
        f"{what} has different names on rows and columns: {named(rows.values[at < 0], 5)} only on rows, "
        f"{named(extra, 5)} only on columns"
    )
    if list(rows.values) == list(range(len(rows))):
        return f"{text}. If the rows are in the order of the columns, set A.index = A.columns"
    return f"{text}. A covariance has the same names on both"
