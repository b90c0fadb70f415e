"""Parameter expansion of one term: u = η D, Σ = D Σ_η D with D = diag(α), α | η a regression, Σ_η | η exact.

Half-t priors are expanded priors: σ = |α| √W with α ~ N(0, s²), W ~ IG(ν/2, ν/2) (Gelman 2006), which is how a chain
leaves the neighbourhood of a zero variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..linalg import dense as la
from ..priors.inverse_wishart import BoundInverseWishart
from ..priors.laws import ExpandedLaw, HalfTLaw, InverseGammaLaw
from ..priors.parameter_expanded import BoundExpanded
from ..priors.variances import BoundVariances
from .base import State
from .conjugate_engines import Engine, Position
from .expanded import Regression
from .quadratic import Scatter

Float = NDArray[np.float64]


class Inner:
    """Draws Σ_η given η: one inverse Wishart matrix, or a law for each of independent variances."""

    def __init__(self, matrix: BoundInverseWishart | None, laws: tuple[Any, ...] = ()):
        self._matrix, self._laws = matrix, laws

    def draw(self, found: Scatter, rng: np.random.Generator) -> Float:
        """(k, k)."""
        if self._matrix is not None:
            par, _ = self._matrix.update(found.S, int(found.count), np.empty(0), rng)
            return self._matrix.structure.build(par)
        counts = np.broadcast_to(found.count, len(self._laws))
        each = zip(self._laws, np.diagonal(found.S), counts, strict=True)
        return np.diag([law.update(float(s), int(n), np.nan, rng)[0] for law, s, n in each])

    def log_density(self, Sigma: Float) -> float:
        """Of Σ_η, of a matrix."""
        assert self._matrix is not None
        pairs = self._matrix.structure.pairs
        return float(self._matrix.logpdf(np.array([[Sigma[a, b] for a, b in pairs]]))[0])


@dataclass(frozen=True)
class Expansion:
    """α ~ N(mean, cov) of the effects `free`, one for the others, and the prior of Σ_η."""

    mean: Float
    cov: Float
    free: NDArray[np.intp]
    inner: Inner
    closed: bool = False  # whether Σ has no density to evaluate


def expansion_of(prior: Any) -> Expansion | None:
    """How a bound prior is a parameter-expanded one; None where it is not."""
    if isinstance(prior, BoundExpanded):
        inner = Inner(BoundInverseWishart(prior.structure, prior.V, prior.nu))
        free = np.arange(prior.structure.k)
        return Expansion(prior.alpha_mu, prior.alpha_V, free, inner, bool(prior.closed))
    if not isinstance(prior, BoundVariances):
        return None
    wide = [isinstance(law, HalfTLaw | ExpandedLaw) for law in prior.laws]
    if not any(wide) or not all(
        w or getattr(law, "auxiliaries", 1) == 0 for w, law in zip(wide, prior.laws, strict=True)
    ):
        return None
    means, variances, inner_laws = [], [], []
    for law in prior.laws:
        mean, variance, own = _expanded_law(law)
        means.append(mean)
        variances.append(variance)
        inner_laws.append(own)
    free = np.flatnonzero(wide)
    return Expansion(np.array(means)[free], np.diag(np.array(variances)[free]), free, Inner(None, tuple(inner_laws)))


class Expanded:
    """α | η, the rest by regression, then Σ_η | η."""

    words = "parameter-expanded"

    def __init__(self, engine: Engine, i: int, term: Term, expansion: Expansion):
        self.engine, self.i, self.term, self.expansion = engine, i, term, expansion

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"alpha": np.ones(self.term.k)}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        engine, i, free, alpha = self.engine, self.i, self.expansion.free, own["alpha"]
        eta = where.effects[i] / alpha
        M = np.einsum("naa->na", engine.columns(i, eta))[:, free]
        regression = Regression.of(M, engine.residual.weighted(M, residual), where.e + M @ alpha[free])
        new = alpha.copy()
        new[free] = regression.draw(self.expansion.mean, self.expansion.cov, rng)
        where.e = where.e - M @ (new - alpha)[free]
        where.effects[i] = eta * new
        Sigma = self.expansion.inner.draw(engine.scatter(i, eta), rng) * new[:, None] * new
        return np.array([Sigma[a, b] for a, b in self.term.structure.pairs]), {"alpha": new}

    def log_prior(self, par: Float, own: State) -> float:
        """Log density of (Σ, α), for a Σ whose own density is an integral that is not known."""
        alpha, mean, cov = own["alpha"], self.expansion.mean, self.expansion.cov
        Sigma = self.term.structure.build(par) / alpha[:, None] / alpha
        L = la.small_cholesky(cov)
        z = la.solve_triangular(L, alpha - mean)
        normal = -0.5 * float(z @ z) - float(np.log(np.diagonal(L)).sum()) - 0.5 * len(mean) * np.log(2.0 * np.pi)
        return normal + self.expansion.inner.log_density(Sigma) - (len(mean) + 1) * float(np.log(np.abs(alpha)).sum())


def _expanded_law(law: Any) -> tuple[float, float, Any]:
    """Mean and variance of α (one and zero where it is not free) and the law of the variance of η."""
    if isinstance(law, HalfTLaw):
        return 0.0, law.scale**2, InverseGammaLaw(0.5 * law.df, 0.5 * law.df)
    if isinstance(law, ExpandedLaw):
        return law.mu, law.B, InverseGammaLaw(0.5 * law.nu, 0.5 * law.nu * law.V)
    return 1.0, 0.0, law
