"""Between the rows of a fit of several traits (cells) and frames of records × traits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..inference.impute import missing_cells
from ..inference.predict import Rows, match_levels
from .features import new_features
from .support import kept, source_data

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

Float = NDArray[np.float64]
Positions = NDArray[np.intp]


def cell_frame(spec: ModelSpec, table: Float) -> pd.DataFrame:
    """(n, t) values of the records kept as a frame; under ``missing="exclude"`` with NaN at the dropped records."""
    import pandas as pd

    columns = pd.Index(spec.traits.names, name="trait")
    if spec.missing != "exclude" or not spec.dropped.count:
        return pd.DataFrame(table, index=pd.Index(spec.traits.labels), columns=columns)
    full = np.full((spec.dropped.n_given, spec.traits.t), np.nan)
    full[kept(spec)] = table
    data = source_data(spec)
    return pd.DataFrame(full, index=None if data is None else data.index, columns=columns)


def of_records(spec: ModelSpec, values: Float | None) -> Float | None:
    """(n,) of the records from values (N,) of the rows that are the same for all cells of a record."""
    if values is None:
        return None
    out = np.full(spec.traits.n, np.nan)
    out[spec.traits.record] = values
    return out


def new_rows(
    fit: PointResults, newdata: Any, chosen: Sequence[int], new_levels: str, features: Any = None, offset: bool = True
) -> tuple[Rows, Any]:
    """Cells of the new records, record by record with the traits in order, and the records' index."""
    import pandas as pd

    spec = fit.spec
    if spec.source is None:
        raise OptionError("this model was not made from a formula and data, so new rows cannot be bound to it")
    new = new_features(spec, chosen, features)
    names = [spec.terms[i].name for i in chosen]
    bound = spec.source.new_rows(newdata, terms=names, offset=offset)
    parts = {
        i: match_levels(spec.terms[i], part.levels, part.basis, new_levels, new.get(i))
        for i, part in zip(chosen, bound.rows, strict=True)
    }
    index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.Index(bound.labels)
    return Rows(bound.X, parts, bound.offset, bound.weights, bound.traits.trait), index


def missing_rows(fit: PointResults, chosen: Sequence[int]) -> tuple[Rows, Positions, Positions]:
    """The cells of the fit's records that were not observed, as rows to predict, with their records and traits."""
    spec = fit.spec
    record, trait = missing_cells(spec.traits)
    some, place = np.unique(record, return_inverse=True)
    data = source_data(spec)
    if data is None:
        raise OptionError("this model was not made from a formula and data, so its missing cells cannot be predicted")
    rows, _ = new_rows(fit, data.iloc[kept(spec)[some]], chosen, "conditional", offset=False)
    at = place * spec.traits.t + trait
    parts = {i: part.at(at) for i, part in rows.terms.items()}
    offset, weights = (of_records(spec, values) for values in (spec.offset, spec.weights))
    own = [None if values is None else values[record] for values in (offset, weights)]
    return Rows(rows.X[at], parts, own[0], own[1], trait), record, trait
