"""The standard error that a moment estimate of the covariance between samples would have if there were none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..estimators.admissible import admissible
from ..linalg import dense as la
from ..moments import Variant, choose_moments

if TYPE_CHECKING:
    from ..results.point import PointResults

Float = NDArray[np.float64]
_SAME = 1e-6  # relative difference up to which the estimate counts as the solution of the exact equations


def null_error(fit: PointResults, a: int, b: int) -> float | None:
    """SE of σ_ab of the first term at σ_ab = 0: the root of wᵀ Cov(q) w, w a row of S⁻¹, Cov(q) at that θ (MATH: 4).

    None where the estimate is not the solution of exact equations S θ = q, as it is not by subsamples or random
    probes: its own standard error is all there is.
    """
    spec, estimator = fit.spec, fit.estimator
    linear = all(term.structure.linear for term in spec.all_terms)
    if not linear or getattr(estimator, "trace", "exact") != "exact" or fit.estimate.sampling is None:
        return None
    variant = _variant(estimator)
    moments = choose_moments(spec)
    equations = moments.equations(variant)
    centre = fit.estimate.sampling.centre
    size = np.abs(equations.S) @ np.abs(centre)  # samples may differ in their units by many orders of magnitude
    if (np.abs(equations.S @ centre - equations.q) > _SAME * size).any():
        return None
    covariance, _ = moments.covariance(variant, _without(spec, centre, a, b))
    j = [(w.term, w.a, w.b) for w in spec.index].index((0, a, b))
    w = la.lstsq(equations.S, np.eye(len(centre))[j])
    return float(np.sqrt(w @ covariance @ w))


def _variant(estimator: Any) -> Variant:
    return Variant(getattr(estimator, "projection", True), getattr(estimator, "entries", "all"))


def _without(spec: ModelSpec, theta: Float, a: int, b: int) -> Float:
    """θ with no covariance, made admissible."""
    sigmas = spec.sigmas(theta)
    sigmas[0][a, b] = sigmas[0][b, a] = 0.0
    return admissible(spec, spec.theta(sigmas))
