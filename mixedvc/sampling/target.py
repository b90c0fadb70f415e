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
from ..likelihood.base import Likelihood
from ..likelihood.marginals import Marginals, marginals
from ..priors.resolve import ModelPriors
from .coordinates import Coordinates, coordinates_of

Float = NDArray[np.float64]


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


@dataclass(frozen=True)
class Target:
    """The posterior of one specification under `priors`, evaluated by `likelihood` (a restricted one)."""

    spec: ModelSpec
    likelihood: Likelihood
    priors: ModelPriors

    @cached_property
    def coordinates(self) -> tuple[Coordinates, ...]:
        return tuple(
            coordinates_of(term.structure, prior.held)
            for term, prior in zip(self.spec.all_terms, self.priors.terms, strict=True)
        )

    @cached_property
    def d(self) -> int:
        """Free coordinates."""
        return sum(c.d for c in self.coordinates)

    def _split(self, values: Float, sizes: list[int]) -> list[Float]:
        return np.split(values, np.cumsum(sizes)[:-1], axis=1)

    def par(self, z: Float) -> Float:
        """(K, n_par) parameters of all terms."""
        pieces = self._split(z, [c.d for c in self.coordinates])
        return np.hstack([c.par(piece) for c, piece in zip(self.coordinates, pieces, strict=True)])

    def z(self, par: Float) -> Float:
        """(K, d) coordinates of parameters inside their bounds."""
        pieces = self._split(par, [t.structure.n_par for t in self.spec.all_terms])
        return np.hstack([c.z(piece) for c, piece in zip(self.coordinates, pieces, strict=True)])

    def theta(self, par: Float) -> Float:
        """(K, m) linear parameters."""
        pieces = self._split(par, [t.structure.n_par for t in self.spec.all_terms])
        out = []
        for term, piece in zip(self.spec.all_terms, pieces, strict=True):
            structure = term.structure
            if structure.linear:
                out.append(piece)
            else:
                first, second = np.array(structure.pairs).T
                out.append(np.stack([structure.build(row)[first, second] for row in piece]))
        return np.hstack(out)

    def at(self, z: Float) -> Evaluated:
        """The target at each row of z (K, d)."""
        z = np.asarray(z, dtype=np.float64)
        par = self.par(z)
        pieces = self._split(par, [t.structure.n_par for t in self.spec.all_terms])
        prior = np.zeros(len(z))
        for bound, piece in zip(self.priors.terms, pieces, strict=True):
            if bound.held is None:
                prior = prior + bound.logpdf(piece)
        jacobian = np.zeros(len(z))
        for c, piece in zip(self.coordinates, self._split(z, [c.d for c in self.coordinates]), strict=True):
            jacobian = jacobian + c.log_jacobian(piece)
        theta = self.theta(par)
        made = marginals(self.likelihood, theta)
        lp = made.loglik + prior + self._fixed(made)
        lp = np.where(np.isfinite(lp), lp, -np.inf)
        return Evaluated(z, par, theta, lp + jacobian, lp, made)

    def _fixed(self, at: Marginals) -> Float:
        """log ∫ N(β; β̂, C) p(β) dβ: zero for a flat prior."""
        if self.priors.fixed is None or not self.spec.p:
            return np.zeros(len(at.loglik))
        raise NotImplementedError

    def draw_beta(self, at: Marginals, rng: np.random.Generator) -> Float:
        """(K, p) one draw of β given each θ."""
        noise = rng.standard_normal(at.beta.shape)
        return at.beta + np.einsum("kpq,kq->kp", at.root, noise)
