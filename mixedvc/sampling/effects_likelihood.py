"""The likelihood that draws effects: one θ after another, where the one that samples may be made for many at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..likelihood.base import Likelihood, likelihoods
from ..likelihood.rows import Rows

_WITH_V = ("dense", "woodbury", "reduced", "blocks")  # price of a θ grows with products of rows
_FEW = 200  # rows below which nothing is to be gained
_INTERPRETER = 4e7  # part of the price of sparse equations that is the derivatives' bookkeeping


def for_effects(likelihood: Likelihood) -> Likelihood:
    """Sparse mixed-model equations where they draw effects at a smaller price than `likelihood`; else itself."""
    spec = likelihood.spec
    if likelihood.name not in _WITH_V or spec.n < _FEW or not spec.terms:
        return likelihood
    sparse, given = (likelihoods.get(name).cost(spec) for name in ("sparse", likelihood.name))
    if sparse is None or given is None or sparse.each - 0.9 * _INTERPRETER > given.each:
        return likelihood
    rows = _rows_of(likelihood)
    if rows is None or not np.allclose((rows.Q @ rows.ols + rows.y) / rows.scale, spec.response, rtol=1e-9, atol=0.0):
        return likelihood  # it has a response of its own
    made: Likelihood = likelihoods.get("sparse")(spec, reml=likelihood.reml)
    return made


def _rows_of(likelihood: Any) -> Rows | None:
    """Working rows behind a likelihood."""
    inner = getattr(likelihood, "inner", likelihood)
    frame = getattr(inner, "_frame", None)
    rows = getattr(inner if frame is None else frame, "rows", None)
    return rows if isinstance(rows, Rows) else None
