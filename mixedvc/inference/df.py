"""Denominator degrees of freedom: what each method makes of contrasts of fixed effects, one by one and jointly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..likelihood.base import Evaluation
from ..linalg import dense as la

Float = NDArray[np.float64]
METHODS = ("satterthwaite", "kenward-roger", "residual", "normal")


class Denominator(Protocol):
    """Covariance of β̂ and the degrees of freedom that go with it."""

    @property
    def cov(self) -> Float:
        """(p, p) covariance of β̂ behind standard errors and F statistics."""
        ...

    def single(self, L: Float) -> Float:
        """(c,) degrees of freedom of each row of L (c, p)."""
        ...

    def joint(self, L: Float) -> tuple[float, float]:
        """Denominator degrees of freedom of the F test of Lβ, L (c, p) of full row rank, and the factor F gets."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same degrees of freedom for everything: n − p, or ∞ where the variances count as known."""

    cov: Float
    df: float

    def single(self, L: Float) -> Float:
        return np.full(len(L), self.df)

    def joint(self, L: Float) -> tuple[float, float]:
        return self.df, 1.0


@dataclass(frozen=True)
class Satterthwaite:
    """Giesbrecht & Burns (1985) for single contrasts, Fai & Cornelius (1996) for several; as lmerTest.

    Attributes
    ----------
    cov : (p, p)
        C = (XᵀV⁻¹X)⁻¹.
    gradient : (m, p, p)
        ∂C/∂θ_j.
    theta_cov : (m, m)
        Covariance of the linear variance parameters.
    """

    cov: Float
    gradient: Float
    theta_cov: Float

    def single(self, L: Float) -> Float:
        return chi2_df(L, self.cov, self.gradient, self.theta_cov)

    def joint(self, L: Float) -> tuple[float, float]:
        """F is the mean of c independent t²: E F = Σ ν/(ν−2)/c, and the F distribution with that mean is taken."""
        _, vectors = la.small_eigh(L @ self.cov @ L.T)
        return mean_matched(self.single(vectors.T @ L)), 1.0


def chi2_df(L: Float, C: Float, gradient: Float, theta_cov: Float) -> Float:
    """ν = 2 f² / (gᵀ Cov(θ̂) g), f = ℓᵀCℓ, g_j = ℓᵀ(∂C/∂θ_j)ℓ, for each row ℓ of L; ∞ where the variance is known."""
    f = np.einsum("cp,pq,cq->c", L, C, L)
    g = _quadratic_forms(L, gradient)
    spread = np.einsum("cj,jk,ck->c", g, theta_cov, g)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, 2 * f**2 / spread, np.where(np.isnan(spread), np.nan, np.inf))


def _quadratic_forms(L: Float, gradient: Float) -> Float:
    """(c, m) ℓᵀ D_j ℓ; of single coefficients, the usual case, only the diagonals are read."""
    row, column = np.nonzero(L)
    if len(row) == len(L) and np.array_equal(row, np.arange(len(L))):
        return np.square(L[row, column])[:, None] * np.einsum("jpp->pj", gradient)[column]
    return np.einsum("jcq,cq->cj", L @ gradient, L)


def mean_matched(nu: Float) -> float:
    """Denominator degrees of freedom of the average of c squared t variables with ν_1 … ν_c, by its mean.

    Where some ν ≤ 2 the mean does not exist, and 2 is returned (lmerTest's convention).
    """
    if np.isnan(nu).any():
        return float("nan")
    if np.ptp(np.where(np.isinf(nu), 1e300, nu)) < 1e-8 * nu.min():
        return float(nu.mean())
    if (nu <= 2.0).any():
        return 2.0
    excess = np.sum(2.0 / (nu - 2.0))  # E − c, without the rounding of ν/(ν−2) − 1
    return float(2.0 * (len(nu) + excess) / excess) if excess > 0 else float("inf")


def as_contrasts(contrasts: object, p: int) -> Float:
    """(c, p) contrast rows; the single coefficients for None."""
    L = np.eye(p) if contrasts is None else np.atleast_2d(np.asarray(contrasts, dtype=float))
    if L.ndim != 2 or L.shape[1] != p:
        raise OptionError(f"contrasts have {L.shape[-1]} columns, the model has {p} fixed effects")
    return L


def satterthwaite(evaluation: Evaluation, theta_cov: Float, contrasts: Float | None = None) -> Float:
    """Satterthwaite's degrees of freedom of rows ℓᵀβ (see `chi2_df`).

    Parameters
    ----------
    evaluation : Evaluation
    theta_cov : (m, m)
        Covariance of the linear variance parameters.
    contrasts : (c, p), optional
        One row a contrast; the single coefficients by default.

    Returns
    -------
    (c,) degrees of freedom; ∞ where the variance does not depend on any estimated parameter.
    """
    C = evaluation.beta_cov
    return Satterthwaite(C, evaluation.beta_cov_gradient, theta_cov).single(as_contrasts(contrasts, len(C)))


def check_df(method: str) -> str:
    """`method` if it is one of METHODS."""
    if method not in METHODS:
        raise OptionError(f"df={method!r} is not one of {', '.join(map(repr, METHODS))}")
    return method
