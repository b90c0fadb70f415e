"""Many θ at once: log-likelihood, β̂ and a root of its covariance, all that a sampler asks for.

A likelihood that can evaluate many θ faster than one by one has a method `marginals`; the others are asked one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.stacks import stacked_cholesky, stacked_triangular_inverse
from .base import Likelihood
from .rows import LOG_2PI, Rows

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
    return marginals_one_by_one(likelihood, thetas)


def marginals_one_by_one(likelihood: Likelihood, thetas: Float) -> Marginals:
    """An evaluation each."""
    p, K = likelihood.spec.p, len(thetas)
    loglik, beta, root = np.full(K, -np.inf), np.zeros((K, p)), np.zeros((K, p, p))
    for i, theta in enumerate(thetas):
        try:
            at = likelihood.at(theta)
            found, cov = at.loglik, at.beta_cov
            if p:
                half = la.psd_root(cov)
                beta[i], root[i, :, : half.shape[1]] = at.beta, half
            loglik[i] = found if np.isfinite(found) else -np.inf
        except la.NotPositiveDefinite:
            loglik[i] = -np.inf
    return Marginals(loglik, beta, root)


@dataclass(frozen=True)
class Normals:
    """QᵀV⁻¹Q = L Lᵀ of K values of θ, and the GLS coefficients of the remainder of the response.

    Attributes
    ----------
    inverse : (K, p, p)
        L⁻¹.
    b : (K, p)
        (QᵀV⁻¹Q)⁻¹QᵀV⁻¹y.
    explained : (K,)
        bᵀ QᵀV⁻¹y: yᵀPy is yᵀV⁻¹y less this.
    logdet : (K,)
        log|QᵀV⁻¹Q|.
    there : (K,) bool
        Where QᵀV⁻¹Q is positive definite.
    """

    inverse: Float
    b: Float
    explained: Float
    logdet: Float
    there: NDArray[np.bool_]

    def marginals(self, rows: Rows, logdet: Float, yPy: Float, reml: bool, there: NDArray[np.bool_]) -> Marginals:
        """On the user's scale, from log|V| and yᵀPy of the working rows; `there` says where V is regular."""
        K, p = self.b.shape
        there = there & self.there
        total = logdet - 2.0 * rows.log_scale + yPy
        if reml:
            total = total + (rows.n - p) * LOG_2PI + self.logdet + 2.0 * rows.log_det_R
        else:
            total = total + rows.n * LOG_2PI
        loglik = np.where(there & np.isfinite(total), -0.5 * total, -np.inf)
        if not p:
            return Marginals(loglik, np.zeros((K, 0)), np.zeros((K, 0, 0)))
        beta = la.solve_triangular(rows.R, rows.ols[:, None] + self.b.T, lower=False).T
        # rows of L⁻¹ as columns: R⁻¹L⁻ᵀ
        root = la.solve_triangular(rows.R, self.inverse.reshape(K * p, p).T, lower=False)
        return Marginals(loglik, beta, root.reshape(p, K, p).transpose(1, 0, 2))


def normal_equations(M: Float, c: Float) -> Normals:
    """From QᵀV⁻¹Q (K, p, p) and QᵀV⁻¹y (K, p)."""
    L, there = stacked_cholesky(M)
    inverse = stacked_triangular_inverse(L)
    half = np.einsum("kij,kj->ki", inverse, c)
    b = np.einsum("kij,ki->kj", inverse, half)
    logdet = 2.0 * np.log(np.einsum("kii->ki", L)).sum(axis=1)
    return Normals(inverse, b, np.einsum("ki,ki->k", half, half), logdet, there)
