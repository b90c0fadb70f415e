"""The posterior of the variance parameters, β and u integrated out, in unconstrained coordinates (MATH: 6b).

    log p(z | y) = ℓ_REML(θ(z)) + log p(par(z)) + log|∂par/∂z|   for a flat prior of β,

and, for β ~ N(b, B), plus log N(β̂; b, B + C) with C = (XᵀV⁻¹X)⁻¹, because the likelihood of β is N(β; β̂, C).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood, likelihoods
from ..likelihood.marginals import HasMarginals, Marginals, marginals
from ..linalg import dense as la
from ..priors.resolve import ModelPriors
from .coordinates import Coordinates, coordinates_of, linear_parameters

Float = NDArray[np.float64]
_RATE = 1.5e9  # flops a second that turn a likelihood's price into a time: plans may not depend on a clock


@dataclass(frozen=True)
class Evaluated:
    """The target at K points: `lp` in z, `lp_par` in the structures' parameters; −∞ where there is no density."""

    z: Float
    par: Float
    theta: Float
    lp: Float
    lp_par: Float
    at: Marginals

    def take(self, rows: NDArray[np.intp]) -> Evaluated:
        """The points `rows`, in that order."""
        at = Marginals(self.at.loglik[rows], self.at.beta[rows], self.at.root[rows])
        return Evaluated(self.z[rows], self.par[rows], self.theta[rows], self.lp[rows], self.lp_par[rows], at)


def joined(parts: list[Evaluated]) -> Evaluated:
    """Points of several evaluations, one after another."""
    if len(parts) == 1:
        return parts[0]
    loglik, beta, root = (np.concatenate([getattr(part.at, f) for part in parts]) for f in ("loglik", "beta", "root"))
    z, par, theta, lp, lp_par = (
        np.concatenate([getattr(part, f) for part in parts]) for f in ("z", "par", "theta", "lp", "lp_par")
    )
    return Evaluated(z, par, theta, lp, lp_par, Marginals(loglik, beta, root))


@dataclass(frozen=True)
class Target:
    """The posterior of one specification under `priors`, evaluated by `likelihood` (a restricted one)."""

    spec: ModelSpec
    likelihood: Likelihood
    priors: ModelPriors

    @cached_property
    def coordinates(self) -> tuple[Coordinates, ...]:
        spec, y = self.spec, self.spec.response
        left = y - spec.X @ la.lstsq(spec.X, y) if spec.p else y
        return tuple(
            coordinates_of(spec, term, prior.held, left)
            for term, prior in zip(spec.all_terms, self.priors.terms, strict=True)
        )

    @cached_property
    def d(self) -> int:
        """Free coordinates."""
        return sum(c.d for c in self.coordinates)

    @cached_property
    def seconds(self) -> float:
        """Rough time of one evaluation, from the likelihood's price in flops: the same on every machine."""
        name = self.likelihood.name
        cost = likelihoods.get(name).cost(self.spec) if name in likelihoods.names() else None
        if cost is None:
            return 1e7 / _RATE
        alone = cost.loglik() if callable(cost.loglik) else cost.loglik
        return float(cost.each if alone is None else alone) / _RATE

    @property
    def vectorised(self) -> bool:
        """Whether many points cost less than one by one."""
        return isinstance(self.likelihood, HasMarginals)

    @cached_property
    def _stops(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Where the terms end in z and in the parameters."""
        sizes = [term.structure.n_par for term in self.spec.all_terms]
        return np.cumsum([c.d for c in self.coordinates])[:-1], np.cumsum(sizes)[:-1]

    def par(self, z: Float) -> Float:
        """(K, n_par) parameters of all terms."""
        pieces = np.split(z, self._stops[0], axis=1)
        return np.hstack([c.par(piece) for c, piece in zip(self.coordinates, pieces, strict=True)])

    def z(self, par: Float) -> Float:
        """(K, d) coordinates of parameters inside their bounds."""
        pieces = np.split(par, self._stops[1], axis=1)
        return np.hstack([c.z(piece) for c, piece in zip(self.coordinates, pieces, strict=True)])

    def inside(self, par: Float) -> Float:
        """(n_par,) parameters near `par` that have coordinates; `par` may be on the boundary."""
        pieces = np.split(np.asarray(par, dtype=np.float64), self._stops[1])
        return np.concatenate([c.inside(piece) for c, piece in zip(self.coordinates, pieces, strict=True)])

    def theta(self, par: Float) -> Float:
        """(K, m) linear parameters."""
        pieces = np.split(par, self._stops[1], axis=1)
        terms = self.spec.all_terms
        return np.hstack([linear_parameters(t.structure, piece) for t, piece in zip(terms, pieces, strict=True)])

    def log_jacobian(self, z: Float) -> Float:
        """(K,) log|∂par/∂z|."""
        out = np.zeros(len(z))
        for c, piece in zip(self.coordinates, np.split(z, self._stops[0], axis=1), strict=True):
            out += c.log_jacobian(piece)
        return out

    def log_prior(self, par: Float) -> Float:
        """(K,) log density of the free parameters before the data; −∞ where there is none."""
        out = np.zeros(len(par))
        for bound, piece in zip(self.priors.terms, np.split(par, self._stops[1], axis=1), strict=True):
            if bound.held is None:
                out += bound.logpdf(piece)
        return np.where(np.isfinite(out), out, -np.inf)

    def at(self, z: Float) -> Evaluated:
        """The target at each row of z (K, d)."""
        z = np.asarray(z, dtype=np.float64)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            par = self.par(z)
            theta = self.theta(par)
            prior, jacobian = self.log_prior(par), self.log_jacobian(z)
        usable = np.isfinite(prior) & np.isfinite(jacobian) & (np.abs(theta) < 1e200).all(axis=1)
        made = self._marginals(theta, usable)
        lp = np.where(usable, self._sum(prior, made), -np.inf)
        return Evaluated(z, par, theta, lp + np.where(usable, jacobian, 0.0), lp, made)

    def log_posterior(self, par: Float, at: Marginals) -> Float:
        """(K,) log posterior density of the parameters (K, n_par) whose marginals are `at`, up to a constant."""
        return self._sum(self.log_prior(par), at)

    def _sum(self, prior: Float, at: Marginals) -> Float:
        with np.errstate(invalid="ignore"):
            lp = at.loglik + prior + self._fixed(at)
        return np.where(np.isfinite(lp), lp, -np.inf)

    def _marginals(self, theta: Float, usable: NDArray[np.bool_]) -> Marginals:
        """Points of no prior density are not evaluated: a likelihood need not bear an infinite variance."""
        if usable.all():
            return marginals(self.likelihood, theta)
        p, K = self.spec.p, len(theta)
        loglik, beta, root = np.full(K, -np.inf), np.zeros((K, p)), np.zeros((K, p, p))
        if usable.any():
            some = marginals(self.likelihood, theta[usable])
            loglik[usable], beta[usable], root[usable] = some.loglik, some.beta, some.root
        return Marginals(loglik, beta, root)

    def _fixed(self, at: Marginals) -> Float:
        """log ∫ N(β; β̂, C) p(β) dβ: zero for a flat prior."""
        if self.priors.fixed is None or not self.spec.p:
            return np.zeros(len(at.loglik))
        out, there = np.full(len(at.loglik), -np.inf), np.isfinite(at.loglik)
        if there.any():
            out[there] = self.priors.fixed.log_marginal(at.beta[there], at.root[there])
        return out

    def draw_beta(self, at: Marginals, rng: np.random.Generator) -> Float:
        """(K, p) one draw of β given each θ."""
        if self.priors.fixed is not None and self.spec.p:
            return np.asarray(self.priors.fixed.draw(at.beta, at.root, rng), dtype=np.float64)
        noise = rng.standard_normal(at.beta.shape)
        return at.beta + np.einsum("kpq,kq->kp", at.root, noise)
