"""Second moments by explicit n×n algebra, for the tests of the moment estimators; shares no code with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mixedvc.testing.brute import Brute


@dataclass(frozen=True)
class BruteMoments:
    """S, q and Cov(q) of one specification from the definitions, all entries or each pair once."""

    spec: object
    projection: bool = True
    entries: str = "all"

    @cached_property
    def root(self):
        """Square roots of the prior weights."""
        w = self.spec.weights
        return np.ones(self.spec.n) if w is None else np.sqrt(w)

    @cached_property
    def patterns(self):
        """V_j of the weighted rows."""
        return [self.root[:, None] * V * self.root for V in Brute(self.spec).patterns]

    @cached_property
    def M(self):
        X = self.root[:, None] * self.spec.X
        return np.eye(self.spec.n) - X @ np.linalg.pinv(X)

    @cached_property
    def W(self):
        return [self.M @ V @ self.M for V in self.patterns] if self.projection else self.patterns

    @cached_property
    def mask(self):
        """Entries that are regressed on one another."""
        return np.triu(np.ones((self.spec.n,) * 2)) if self.entries == "upper" else np.ones((self.spec.n,) * 2)

    @cached_property
    def S(self):
        return np.array([[np.sum(self.mask * A * B) for B in self.W] for A in self.W])

    def q_of(self, G):
        """Regression of M G M, G among weighted rows."""
        G = self.M @ G @ self.M
        return np.array([np.sum(self.mask * A * G) for A in self.W])

    @cached_property
    def q(self):
        y = self.root * self.spec.response
        return self.q_of(np.outer(y, y))

    def quadratic_forms(self):
        """A_j with q_j = yᵀ A_j y (weighted rows)."""
        halves = [0.5 * (self.mask * A + (self.mask * A).T) for A in self.W]
        return [self.M @ A @ self.M for A in halves]

    def covariance(self, theta):
        """Cov(q)_jk = 2 tr(A_j Ω A_k Ω), Ω = V(θ)."""
        omega = sum(value * V for value, V in zip(theta, self.patterns, strict=True))
        B = [A @ omega for A in self.quadratic_forms()]
        return 2 * np.array([[np.trace(a @ b) for b in B] for a in B])

    def sandwich(self, theta):
        """S⁻¹ Cov(q) S⁻¹."""
        inverse = np.linalg.inv(self.S)
        return inverse @ self.covariance(theta) @ inverse
