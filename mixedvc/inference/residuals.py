"""The residual variance of a fit, whether the residual has one or several, and residuals in its units."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..likelihood.row_pairs import whitened

Float = NDArray[np.float64]


def scale(spec: ModelSpec, theta: Float) -> float:
    """σ_e² of a row of weight 1; where the residual has several variances, their mean over the rows."""
    if spec.residual.k == 1:
        return float(theta[-1])
    weights = np.ones(spec.n) if spec.weights is None else spec.weights
    return float(np.mean(weights * spec.residual_variances(theta)))


KINDS = ("response", "pearson", "normalized")


def scaled(spec: ModelSpec, theta: Float, residuals: Float, kind: str) -> Float:
    """(n,) y − ŷ as they are ("response"), over their standard deviations ("pearson"), or L⁻¹(y − ŷ) with LLᵀ = Var(e)
    ("normalized": uncorrelated where the model holds; rows of a group in their order)."""
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not one of {', '.join(map(repr, KINDS))}")
    if kind == "response":
        return residuals
    if kind == "pearson":
        return residuals / np.sqrt(spec.residual_variances(theta))
    return whitened(spec, theta, residuals[:, None])[:, 0]
