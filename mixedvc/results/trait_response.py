"""New responses of several traits on the cells of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.frames import listed
from ..design.spec import ModelSpec
from ..errors import DataError
from ..inference.anova import kept_rows
from ..inference.impute import missing_cells

Float = NDArray[np.float64]


def response(spec: ModelSpec, y: Any) -> Float:
    """New responses (N,) of the cells of the fit, from records × traits (a frame by its columns) or from N values."""
    traits = spec.traits
    if hasattr(y, "columns"):
        absent = [name for name in traits.names if name not in y.columns]
        if absent:
            raise DataError(f"the new responses have no column {listed(absent)}; the traits are {listed(traits.names)}")
        y = y[list(traits.names)]
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the new responses are not numeric") from None
    given, shape = spec.dropped.n_given, (traits.n, traits.t)
    if values.shape == (given, traits.t) and given != traits.n:
        values = values[kept_rows(spec)]
    if values.shape == shape:
        _refuse_more(spec, values)
        values = values[traits.record, traits.trait]
    if values.shape != (spec.n,):
        also = f", {(given, traits.t)} (a row for each row of the data)" if given not in (0, traits.n) else ""
        raise DataError(
            f"the new responses have shape {values.shape}; the model has {shape} records and traits{also} or, cell by "
            f"cell, ({spec.n},)"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        cells = ", ".join(repr(spec.row_labels[i]) for i in bad[:5])
        raise DataError(
            f"the new responses are missing or infinite in {len(bad)} cells that the model has: {cells}. Bind a new "
            "model for them."
        )
    return values


def _refuse_more(spec: ModelSpec, values: Float) -> None:
    record, trait = missing_cells(spec.traits)
    more = np.flatnonzero(np.isfinite(values[record, trait]))
    if len(more):
        first = more[0]
        raise DataError(
            f"the new responses have values in {len(more)} cells that were missing in the fit: "
            f"{spec.traits.labels[record[first]]!r}, {spec.traits.names[trait[first]]}. Set them to NaN (values.where("
            "fit.resid.notna())), or bind a new model for them."
        )
