"""Many θ at once: log-likelihood, β̂ and a root of its covariance, all that a sampler asks for.

A likelihood that can evaluate many θ faster than one by one has a method `marginals`; the others are asked one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from .base import Likelihood

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Marginals:
    """K values of θ.

    Attributes
    ----------
    loglik : (K,)
        −∞ where V is not positive definite.
    beta : (K, p)
        β̂ (GLS).
    root : (K, p, p)
        R with R Rᵀ = (XᵀV⁻¹X)⁻¹: a draw of β under a flat prior is β̂ + R z.
    """

    loglik: Float
    beta: Float
    root: Float


@runtime_checkable
class HasMarginals(Protocol):
    """A likelihood with a way of its own."""

    def marginals(self, thetas: Float) -> Marginals:
        """Each row of `thetas` (K, m); the numbers of a row do not depend on the other rows."""
        ...


def marginals(likelihood: Likelihood, thetas: Float) -> Marginals:
    """Each row of `thetas` (K, m)."""
    if isinstance(likelihood, HasMarginals):
        return likelihood.marginals(thetas)
    p, K = likelihood.spec.p, len(thetas)
    loglik, beta, root = np.full(K, -np.inf), np.zeros((K, p)), np.zeros((K, p, p))
    for i, theta in enumerate(thetas):
        try:
            at = likelihood.at(theta)
            loglik[i], beta[i], root[i] = at.loglik, at.beta, la.psd_root(at.beta_cov)
        except la.NotPositiveDefinite:
            loglik[i] = -np.inf
    return Marginals(loglik, beta, root)
