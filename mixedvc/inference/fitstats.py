"""Likelihood-based fit statistics, with parameters counted as lme4 counts them."""

from __future__ import annotations

import numpy as np

from ..design.spec import ModelSpec
from ..estimators.base import PointEstimate


def n_parameters(spec: ModelSpec, estimate: PointEstimate) -> int:
    """Fixed effects estimated plus variance parameters not held fixed (those at a bound count)."""
    return spec.p + int(np.sum(~estimate.fixed))


def aic(loglik: float, k: int) -> float:
    """−2ℓ + 2k."""
    return -2 * loglik + 2 * k


def bic(loglik: float, k: int, n: int) -> float:
    """−2ℓ + k log n, n the rows (as lme4 does for REML too)."""
    return float(-2 * loglik + k * np.log(n))
