"""Independent draws under a discrete prior on variance shares: every point of its grid is evaluated once.

With V = τ V_s, V_s at shares s and a total of one, the restricted likelihood is

    ℓ(τ, s) = c_s − ½ (n − p) log τ − Q_s / (2τ),    Q_s = yᵀP_s y,

so that with p(τ) ∝ τ^{−a−1} e^{−b/τ} (a = b = 0: p ∝ 1/τ) the total integrates out, p(s | y) is enumerated exactly and
τ | s, y ~ IG(a + ½(n − p), b + ½ Q_s); β | s, τ, y is normal (Runcie et al. 2021 draw heritabilities so).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from ..errors import OptionError
from ..likelihood.marginals import Marginals, marginals
from .base import Piece, State
from .target import Target

Float = NDArray[np.float64]
_AT_ONCE = 512  # points evaluated in one call
_NEGLIGIBLE = -60.0  # log of a posterior weight, over the largest, that is left out: 1e-26


@dataclass(frozen=True)
class SharesPlan:
    """The enumerated posterior; G points of the grid that have any weight.

    Attributes
    ----------
    shares : (G, R + 1)
        The residual's last.
    units : (G, R + 1)
        Variances of the terms at a total variance of one.
    log_prior, log_posterior : (G,)
        Of the points; the posterior normalised.
    constant, Q : (G,)
        ℓ(τ) = constant − ½ df log τ − Q / (2τ).
    beta : (G, p)
        β̂, whatever τ is.
    root : (G, p, p)
        Root of (XᵀV⁻¹X)⁻¹ at a total of one.
    df : int
        n − p.
    a, b : float
        Of the prior of the total.
    block : int
        Draws of a block.
    """

    shares: Float
    units: Float
    log_prior: Float
    log_posterior: Float
    constant: Float
    Q: Float
    beta: Float
    root: Float
    df: int
    a: float
    b: float
    block: int = 100
    thin: int = 1
    burnin: ClassVar[int] = 0
    name: ClassVar[str] = "shares"

    @property
    def posterior(self) -> Float:
        """(G,) probability of each point."""
        return np.exp(self.log_posterior)

    def scheme(self, target: Target) -> SharesScheme:
        """Independent draws; the target is not evaluated again."""
        return SharesScheme(self)

    def describe(self) -> str:
        return f"independent draws, the posterior enumerated at {len(self.Q):,} points of the grid of shares"


@dataclass(frozen=True)
class SharesScheme:
    """Draws from a `SharesPlan`; a chain has no state."""

    plan: SharesPlan

    @property
    def block(self) -> int:
        """Draws of a block."""
        return self.plan.block

    @cached_property
    def _steps(self) -> Float:
        steps = np.cumsum(self.plan.posterior)
        return steps / steps[-1]

    def begin(self, rng: np.random.Generator) -> State:
        """Nothing to remember."""
        return {}

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        """One block of independent draws: shares, total, β."""
        plan, D = self.plan, self.plan.block
        g = np.searchsorted(self._steps, rng.random(D), side="right")
        shape = plan.a + 0.5 * plan.df
        total = (plan.b + 0.5 * plan.Q[g]) / rng.standard_gamma(shape, D)
        par = total[:, None] * plan.units[g]
        noise = rng.standard_normal((D, plan.beta.shape[1]))
        beta = plan.beta[g] + np.sqrt(total)[:, None] * np.einsum("dpq,dq->dp", plan.root[g], noise)
        loglik = plan.constant[g] - 0.5 * plan.df * np.log(total) - 0.5 * plan.Q[g] / total
        lp = plan.log_prior[g] + loglik - (plan.a + 1.0) * np.log(total) - plan.b / total
        return Piece(par, par.copy(), beta, lp, loglik, None, {"iterations": float(D), "accepted": float(D)}), {}


def plan_shares(target: Target, thin: int = 1) -> SharesPlan:
    """Enumerate the posterior of the bound `VarianceShare` of ``target.priors.shares``.

    Draws are independent, so that leaving out all but every `thin`-th changes nothing: `thin` is taken as done.
    """
    bound = target.priors.shares
    if bound is None:
        raise OptionError("scheme='shares' enumerates a discrete prior: give priors=VarianceShare(…)")
    if target.priors.fixed is not None:
        raise OptionError(
            "scheme='shares' integrates the total variance out, for flat priors of the fixed effects only"
        )
    spec = target.spec
    a, b = (0.0, 0.0) if bound.total is None else (bound.total.shape, bound.total.scale)
    df = spec.n - spec.p
    if a + 0.5 * df <= 0.0:
        raise OptionError(f"VarianceShare: {spec.n} rows and {spec.p} fixed effects leave nothing to estimate a total")
    unit, constant, Q = _profiles(target, bound.units, df)
    rate = b + 0.5 * Q
    with np.errstate(divide="ignore", invalid="ignore"):
        log_posterior = bound.log_weights + constant - (a + 0.5 * df) * np.log(rate) + gammaln(a + 0.5 * df)
    log_posterior = np.where(np.isfinite(log_posterior), log_posterior, -np.inf)
    if not np.isfinite(log_posterior).any():
        raise OptionError("VarianceShare: no point of the grid has a covariance matrix that is positive definite")
    keep = log_posterior > log_posterior.max() + _NEGLIGIBLE
    return SharesPlan(
        shares=bound.shares[keep],
        units=bound.units[keep],
        log_prior=bound.log_weights[keep],
        log_posterior=log_posterior[keep] - logsumexp(log_posterior[keep]),
        constant=constant[keep],
        Q=Q[keep],
        beta=unit.beta[keep],
        root=unit.root[keep],
        df=df,
        a=a,
        b=b,
        thin=thin,
    )


def _profiles(target: Target, units: Float, df: int) -> tuple[Marginals, Float, Float]:
    """Marginals of β at a total of one, and c_s and Q_s of each point, from ℓ at two totals."""
    y = target.spec.response
    low = max(float(np.var(y)), 1e-300)
    high = 4.0 * low
    at = [_evaluated(target, low * units), _evaluated(target, high * units)]
    with np.errstate(invalid="ignore"):
        rise = at[1].loglik - at[0].loglik + 0.5 * df * np.log(high / low)
        Q = np.maximum(2.0 * rise / (1.0 / low - 1.0 / high), 0.0)
        constant = at[0].loglik + 0.5 * df * np.log(low) + 0.5 * Q / low
    return Marginals(constant, at[0].beta, at[0].root / np.sqrt(low)), constant, Q


def _evaluated(target: Target, theta: Float) -> Marginals:
    parts = [marginals(target.likelihood, theta[i : i + _AT_ONCE]) for i in range(0, len(theta), _AT_ONCE)]
    return Marginals(*(np.concatenate([getattr(part, f) for part in parts]) for f in ("loglik", "beta", "root")))
