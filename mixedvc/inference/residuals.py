"""The residual variance of a fit, whether the residual has one or one in each sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec

Float = NDArray[np.float64]


def scale(spec: ModelSpec, theta: Float) -> float:
    """σ_e² of a row of weight 1; where the residual has several variances, their mean over the rows."""
    if spec.residual.k == 1:
        return float(theta[-1])
    weights = np.ones(spec.n) if spec.weights is None else spec.weights
    return float(np.mean(weights * spec.residual_variances(theta)))
