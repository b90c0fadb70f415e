"""An outer product in place of y yᵀ: any symmetric matrix among the rows, e.g. Gower's of a distance matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import DataError, OptionError

Float = NDArray[np.float64]


def outer_rows(spec: ModelSpec, outer: Any) -> Float:
    """`outer` among the rows of the fit, (n, n).

    Parameters
    ----------
    outer : (n, n) array, (n_given, n_given) array, or DataFrame
        Among the rows of the fit, or of the data handed in; a frame is matched by the labels of the rows.
    """
    if spec.offset is not None:
        raise OptionError("outer= takes the place of the response: an offset has nothing to be subtracted from")
    if hasattr(outer, "columns") and hasattr(outer, "index"):
        return _by_label(spec, outer)
    G = _numeric(outer)
    if G.shape == (spec.n, spec.n):
        return G
    given = spec.dropped.n_given
    if G.shape == (given, given):
        kept = np.setdiff1d(np.arange(given), spec.dropped.rows)
        return G[np.ix_(kept, kept)]
    also = f" or ({given}, {given}), one row for each of the data" if given not in (0, spec.n) else ""
    raise DataError(f"outer has shape {G.shape}; the model has {spec.n} rows, so it must be ({spec.n}, {spec.n}){also}")


def _by_label(spec: ModelSpec, frame: Any) -> Float:
    if not frame.index.is_unique or len(set(spec.row_labels)) < spec.n:
        where = "outer" if not frame.index.is_unique else "the data"
        raise DataError(f"the row labels of {where} repeat, so outer cannot be matched by them: give an array")
    columns = frame.columns.get_indexer(frame.index)
    if len(frame.columns) != len(frame.index) or (columns < 0).any():
        raise DataError("outer has other labels in its columns than in its rows: a symmetric matrix has the same")
    at = frame.index.get_indexer(list(spec.row_labels))
    if (at < 0).any():
        missing = [spec.row_labels[i] for i in np.flatnonzero(at < 0)]
        shown = ", ".join(repr(x) for x in missing[:5]) + (" …" if len(missing) > 5 else "")
        raise DataError(
            f"outer lacks {len(missing)} of the {spec.n} rows, by their labels in the data's index: {shown}. Label it "
            "as the data are, or give an array in the order of the rows"
        )
    return _numeric(frame.to_numpy())[np.ix_(at, columns[at])]


def _numeric(value: Any) -> Float:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("outer is not a numeric matrix") from None
