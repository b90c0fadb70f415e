"""Responses that are missing, with their posterior: rows without a response, and cells of several traits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotProvided, OptionError
from ..inference.impute import conditional_mean
from ..inference.posterior_draws import missing_draws, noise_draws, row_draws
from ..inference.posterior_intervals import limits
from ..inference.posterior_predict import slab
from ..inference.predict import Rows, match_levels, predict_mean
from . import trait_cells as cells
from .posterior_effects import draw_index

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


def imputed(fit: Any, se: bool, interval: bool, level: float, kind: str, draws: bool) -> pd.DataFrame:
    """See `PosteriorPredicting.impute`."""
    import pandas as pd

    names, mean, made = _rows(fit) if fit.spec.traits is None else _cells(fit)
    if draws:
        index: Any = pd.Index(names["record"], name="record", tupleize_cols=False)
        if len(names) > 1:
            index = pd.MultiIndex.from_arrays(list(names.values()), names=list(names))
        return pd.DataFrame(made(), index=draw_index(fit._effects), columns=index)
    out: dict[str, Any] = {**names, "value": mean}
    if (se or interval) and len(mean):
        values = made()
        out["se"] = values.std(axis=0, ddof=1)
        if interval:
            out["lower"], out["upper"] = limits(values, level, kind)
    elif se or interval:
        out |= {name: np.empty(0) for name in ("se", *(["lower", "upper"] if interval else []))}
    return pd.DataFrame(out)


def _cells(fit: Any) -> tuple[dict[str, Any], Float, Any]:
    """Record and trait of each missing cell, its posterior mean, and a function that draws it."""
    spec = fit.spec
    if spec.traits.complete:
        none = np.empty(0, dtype=object)
        return {"record": none, "trait": none}, np.empty(0), lambda: np.empty((len(fit._effects), 0))
    rows, record, trait = cells.missing_rows(fit, range(len(spec.terms)))
    names = {"record": spec.traits.labels[record], "trait": np.array(spec.traits.names, dtype=object)[trait]}
    mean = conditional_mean(spec, fit._means, rows, record)
    return names, mean, lambda: missing_draws(fit._effects, rows, record)


def _rows(fit: Any) -> tuple[dict[str, Any], Float, Any]:
    """Label of each row that only lacks its response, its posterior mean, and a function that draws it."""
    spec = fit.spec
    if spec.source is None:
        raise OptionError("this model was not made from a formula and data, so its missing responses are not known")
    if spec.correlated_residual:
        raise NotProvided(
            "impute(): residuals of this model depend on each other within a group, and a row without a response is in "
            "none; predict(rows, interval='prediction') takes its residual as independent of the others"
        )
    if not spec.dropped.count:
        return {"record": np.empty(0, dtype=object)}, np.empty(0), lambda: np.empty((len(fit._effects), 0))
    rows, labels = _without_response(fit)

    def drawn() -> Float:
        return row_draws(fit._effects, rows, "conditional") + noise_draws(fit._effects, rows)

    return {"record": labels}, predict_mean(spec, fit._means, rows, "conditional"), drawn


def _without_response(fit: Any) -> tuple[Rows, Any]:
    """Rows that were dropped though every predictor is there: what they lack is the response."""
    spec, source = fit.spec, fit.spec.source
    at = spec.dropped.rows
    request = source.request
    bound = source.new_rows(source.frame.iloc[at], residual=True, offset=not _given(request.offset))
    parts = {
        i: match_levels(term, part.levels, part.basis, "conditional")
        for i, (term, part) in enumerate(zip(spec.terms, bound.rows, strict=True))
    }
    rows = Rows(bound.X, parts, bound.offset, bound.weights, bound.residual)
    if _given(request.offset):
        rows = replace(rows, offset=np.asarray(request.offset, dtype=float)[at])
    if _given(request.weights):
        rows = replace(rows, weights=np.asarray(request.weights, dtype=float)[at])
    whole = np.isfinite(rows.X).all(axis=1)
    for values in (rows.offset, rows.weights):
        whole &= True if values is None else np.isfinite(values)
    whole &= True if rows.residual is None else rows.residual >= 0
    for part in parts.values():
        whole &= np.isfinite(part.basis).all(axis=1)
    some = np.flatnonzero(whole)
    return slab(rows, some), bound.labels[some]


def _given(values: Any) -> bool:
    """Whether weights or offsets came as numbers, not as a column's name."""
    return values is not None and not isinstance(values, str)
