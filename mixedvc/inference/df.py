"""Degrees of freedom of tests of fixed effects."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..likelihood.base import Evaluation

Float = NDArray[np.float64]
METHODS = ("satterthwaite", "residual", "normal")


def satterthwaite(evaluation: Evaluation, theta_cov: Float, contrasts: Float | None = None) -> Float:
    """Satterthwaite's degrees of freedom of rows ℓᵀβ.

    ν = 2 f² / (gᵀ Cov(θ̂) g) with f = ℓᵀCℓ, C = (XᵀV⁻¹X)⁻¹ and g_j = ℓᵀ(∂C/∂θ_j)ℓ (Giesbrecht & Burns 1985;
    SAS; lmerTest).

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
    L = np.eye(len(C)) if contrasts is None else np.atleast_2d(np.asarray(contrasts, dtype=float))
    if L.shape[1] != len(C):
        raise OptionError(f"contrasts have {L.shape[1]} columns, the model has {len(C)} fixed effects")
    f = np.einsum("cp,pq,cq->c", L, C, L)
    g = np.einsum("cp,jpq,cq->cj", L, evaluation.beta_cov_gradient, L)
    spread = np.einsum("cj,jk,ck->c", g, theta_cov, g)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, 2 * f**2 / spread, np.where(np.isnan(spread), np.nan, np.inf))


def degrees_of_freedom(
    method: str, spec: ModelSpec, evaluation: Evaluation, theta_cov: Float, contrasts: Float | None = None
) -> Float:
    """Degrees of freedom of each coefficient (or contrast row) by `method`: satterthwaite, residual or normal."""
    rows = spec.p if contrasts is None else len(np.atleast_2d(contrasts))
    if method == "satterthwaite":
        return satterthwaite(evaluation, theta_cov, contrasts)
    if method == "residual":
        return np.full(rows, float(spec.n - spec.p))
    if method == "normal":
        return np.full(rows, np.inf)
    if method == "kenward-roger":
        raise OptionError("df='kenward-roger' is not available in this version; use df='satterthwaite'")
    raise OptionError(f"df={method!r} is not one of {', '.join(map(repr, METHODS))}")
