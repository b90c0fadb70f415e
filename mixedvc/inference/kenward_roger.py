"""Kenward and Roger's small-sample covariance of β̂, degrees of freedom and scaled F (Biometrics 53, 1997, 983-997).

    Φ_A = Φ + 2 Φ {Σ_jk W_jk (Q_jk − P_j Φ P_k − ¼ R_jk)} Φ,    Φ = (XᵀV⁻¹X)⁻¹,  W = Cov(θ̂)

with P_j = −XᵀV⁻¹V_jV⁻¹X and Q_jk = XᵀV⁻¹V_jV⁻¹V_kV⁻¹X.  Then Q_jk − P_jΦP_k = XᵀV⁻¹V_j P V_kV⁻¹X with REML's projection
P, so that the correction is a sum of squares; only n×p arrays are made.

V is linear in θ, so R = 0 (second derivatives).  Structures that are not linear in their own parameters (cs, ar1) enter
through W = J Cov(par) Jᵀ: the first-order form, which does not depend on how Σ is parametrised (SAS's
``ddfm=kr(firstorder)``, mmrm's "Kenward-Roger-Linear").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import NotProvided
from ..estimators.base import PointEstimate
from ..likelihood.base import Evaluation, information_along
from ..likelihood.gaussian import levels_matmat
from ..linalg import dense as la
from .df import chi2_df
from .parameters import jacobian, par_slices
from .se import inverse_information, orthogonal_patterns

Float = NDArray[np.float64]


@dataclass(frozen=True)
class KenwardRoger:
    """A `df.Denominator`.

    Attributes
    ----------
    cov : (p, p)
        Φ_A.
    plain : (p, p)
        Φ.
    moves : (r, p, p)
        −Φ P(ω) Φ, the change of Φ along each direction ω of a root of W = Σ_r ω_r ω_rᵀ.
    theta_cov : (m, m)
        W, the inverse of the expected REML information.
    """

    cov: Float
    plain: Float
    moves: Float
    theta_cov: Float

    def single(self, L: Float) -> Float:
        """m = 2/A₁ for each row; F is not scaled there."""
        return chi2_df(L, self.plain, self.moves, np.eye(len(self.moves)))

    def joint(self, L: Float) -> tuple[float, float]:
        """m and λ of F* = λF ~ F(c, m): two moments of F matched (their section 3)."""
        root = la.cholesky(L @ self.plain @ L.T)
        half = la.solve_triangular(root, L)  # halfᵀhalf = Lᵀ(LΦLᵀ)⁻¹L
        D = np.einsum("ap,rpq,bq->rab", half, self.moves, half)  # similar to ΘΦP(ω)Φ, up to sign
        return matched(len(L), float(np.sum(np.einsum("raa->r", D) ** 2)), float(np.sum(D**2)))


def matched(c: int, A1: float, A2: float) -> tuple[float, float]:
    """Degrees of freedom m and scale λ from A₁ and A₂, for c contrasts (Kenward & Roger 1997, p. 987).

    (∞, 1) for known variances; (NaN, NaN) where no F distribution has the moments.
    """
    if np.isnan(A1) or np.isnan(A2):
        return float("nan"), float("nan")
    if A2 <= 0.0:
        return float("inf"), 1.0
    if c == 1:
        return 2.0 / A2, 1.0
    B = (A1 + 6.0 * A2) / (2.0 * c)
    g = ((c + 1) * A1 - (c + 4) * A2) / ((c + 2) * A2)
    k = 3.0 * c + 2.0 * (1.0 - g)
    c1, c2, c3 = g / k, (c - g) / k, (c + 2 - g) / k
    inverse_mean = 1.0 - A2 / c  # 1/E*
    if inverse_mean <= 0.0:
        return float("nan"), float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = inverse_mean**2 * np.float64(1.0 + c1 * B) / ((1.0 - c2 * B) ** 2 * (1.0 - c3 * B)) / c
        m = float(4.0 + (c + 2) / (c * rho - 1.0))
    return (m, m * inverse_mean / (m - 2.0)) if m > 2.0 else (float("nan"), float("nan"))


def kenward_roger(spec: ModelSpec, evaluation: Evaluation, estimate: PointEstimate) -> KenwardRoger:
    """Φ_A and what degrees of freedom need, at a REML estimate.

    Parameters
    ----------
    evaluation : Evaluation
        The REML model at the estimate.

    Raises
    ------
    NotProvided
        An estimate that is not REML's: the correction is derived for it.
    """
    if estimate.loglik is None or not estimate.reml or estimate.fixed_effects != "gls":
        is_ml = estimate.loglik is not None and not estimate.reml
        found = "fitted by maximum likelihood" if is_ml else f"fitted by {estimate.method!r}"
        raise NotProvided(
            f"df='kenward-roger' is derived for REML estimates, and this model was {found}: fit it with method='reml', "
            "or use df='satterthwaite'"
        )
    Phi = evaluation.beta_cov
    root = reml_root(spec, evaluation, estimate)
    W = root @ root.T
    if not np.isfinite(root).all():
        nothing = np.full_like(Phi, np.nan)
        return KenwardRoger(nothing, Phi, nothing[None], W)
    VX = evaluation.solve(spec.X) @ Phi
    H = covariance_along(spec, root.T, VX)
    bias = np.zeros_like(Phi)  # Σ_jk W_jk G_jᵀ P G_k with G_j = V_jV⁻¹XΦ
    for each in H:
        bias += each.T @ evaluation.project(each)
    return KenwardRoger(Phi + (bias + bias.T), Phi, np.einsum("np,rnq->rpq", VX, H), W)


def reml_root(spec: ModelSpec, evaluation: Evaluation, estimate: PointEstimate) -> Float:
    """F (m, r), F Fᵀ = W the inverse expected information of the linear parameters that were estimated.

    A variance estimated as zero stays in (as in pbkrtest): to call it known would give its stratum the residual's
    degrees of freedom.  Parameters held fixed are out, and so are those at an edge of a structure that is not linear.
    NaN where the information is singular.
    """
    moves = ~np.asarray(estimate.fixed, dtype=bool)
    for term, of in zip(spec.all_terms, par_slices(spec), strict=True):
        if not term.structure.linear:
            moves[of] &= ~np.asarray(estimate.at_bound[of], dtype=bool)
    m = len(spec.index)
    if not moves.any():
        return np.zeros((m, 0))
    T = jacobian(spec, estimate.par) @ _directions(spec, moves)
    try:
        return np.asarray(T @ _root(inverse_information(information_along(evaluation, "expected", T.T))))
    except la.NotPositiveDefinite:
        return np.full((m, 1), np.nan)


def _directions(spec: ModelSpec, moves: NDArray[np.bool_]) -> Float:
    """Columns: the parameters that move; of a free Σ its entries among orthogonal effects, which do not nearly depend
    on each other as those of the intercept and the slope of a year do."""
    columns = []
    for term, of in zip(spec.all_terms, par_slices(spec), strict=True):
        local = moves[of]
        free = term.structure.name == "us" and term.k > 1 and bool(local.all())
        block = orthogonal_patterns(term) if free else np.eye(len(local))[:, local]
        wide = np.zeros((len(moves), block.shape[1]))
        wide[of] = block
        columns.append(wide)
    return np.hstack(columns)


def covariance_along(spec: ModelSpec, directions: Float, U: Float) -> Float:
    """(r, n, c) V(ω) U for directions ω (r, m) of θ and U (n, c)."""
    out = np.zeros((len(directions), *U.shape))
    parts = [spec.sigmas(direction) for direction in directions]
    for i, term in enumerate(spec.all_terms):
        collected = term.collect(U)
        q, k, c = collected.shape
        spread = levels_matmat(term, collected.reshape(q, k * c)).reshape(q, k, c)
        for r, sigmas in enumerate(parts):
            if sigmas[i].any():
                out[r] += term.spread(np.einsum("ab,qbc->qac", sigmas[i], spread))
    return out


def _root(W: Float) -> Float:
    """F (m, r) with W = F Fᵀ, whatever the units of the parameters."""
    scale = np.sqrt(np.diagonal(W))
    moves = scale > 0.0
    if not moves.any():
        return np.zeros((len(W), 0))
    inner = la.psd_root(W[np.ix_(moves, moves)] / scale[moves, None] / scale[moves])
    root = np.zeros((len(W), inner.shape[1]))
    root[moves] = scale[moves, None] * inner
    return root
