"""Residual variances of the rows, whether the residual has one variance or one in each sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec

Float = NDArray[np.float64]


def residual_variances(spec: ModelSpec, theta: Float) -> Float:
    """(n,) Var(e_i) = b_iᵀ Σ_e b_i, b_i the residual's effects in row i (weight^-½ of its sample)."""
    B = spec.residual.basis
    return np.einsum("na,ab,nb->n", B, spec.sigmas(theta)[-1], B)


def scale(spec: ModelSpec, theta: Float) -> float:
    """σ_e² of a row of weight 1; where the residual has several variances, their mean over the rows."""
    if spec.residual.k == 1:
        return float(theta[-1])
    weights = np.ones(spec.n) if spec.weights is None else spec.weights
    return float(np.mean(weights * residual_variances(spec, theta)))
