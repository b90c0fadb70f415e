"""Records of several traits by their joint normal law, from matrices that are written out: it knows no specification.

    Y_ia = x_iᵀβ_a + offset_i + Σ_terms Σ_e z_ie u_(a,e)(level of i) + e_ia,   Cov(u) = Σ ⊗ A,   Cov(e_i) = R / w_i

Everything is one vector over records × traits (traits changing fastest); β is estimated by generalised least squares
from the observed part, and whatever is predicted is conditioned on it (universal kriging).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Component:
    """A random term: codes (n,) of the records' levels in A (q, q), effects z (n, k), Σ (t·k, t·k), traits slowest."""

    codes: np.ndarray
    A: np.ndarray
    z: np.ndarray
    Sigma: np.ndarray

    def design(self, t):
        """(n·t, q·t·k), the effects of a level together."""
        n, k = self.z.shape
        out = np.zeros((n, t, len(self.A), t, k))
        for i in range(n):
            for a in range(t):
                out[i, a, self.codes[i], a] = self.z[i]
        return out.reshape(n * t, -1)

    @property
    def prior(self):
        return np.kron(self.A, self.Sigma)


@dataclass(frozen=True)
class Law:
    """Y (n, t) with NaN; X (n, p) for every trait, or the whole (n·t, p) design."""

    Y: np.ndarray
    X: np.ndarray
    components: list[Component]
    R: np.ndarray
    weights: np.ndarray | None = None
    offset: np.ndarray | None = None
    _: None = field(default=None, repr=False)

    @cached_property
    def t(self):
        return self.Y.shape[1]

    @cached_property
    def design(self):
        n, p = self.X.shape
        if n != len(self.Y):
            return self.X
        out = np.zeros((n, self.t, self.t, p))
        for a in range(self.t):
            out[:, a, a] = self.X
        return out.reshape(n * self.t, -1)

    @cached_property
    def mean_offset(self):
        return np.repeat(np.zeros(len(self.Y)) if self.offset is None else self.offset, self.t)

    @cached_property
    def seen(self):
        return np.flatnonzero(~np.isnan(self.Y.ravel()))

    @cached_property
    def residual(self):
        w = np.ones(len(self.Y)) if self.weights is None else self.weights
        return np.kron(np.diag(1 / w), self.R)

    @cached_property
    def signal(self):
        """Covariance of everything random but the residual, (n·t, n·t)."""
        total = np.zeros((self.Y.size, self.Y.size))
        for one in self.components:
            Z = one.design(self.t)
            total += Z @ one.prior @ Z.T
        return total

    @cached_property
    def inverse(self):
        V = (self.signal + self.residual)[np.ix_(self.seen, self.seen)]
        return np.linalg.inv(V)

    @cached_property
    def beta_cov(self):
        X = self.design[self.seen]
        return np.linalg.inv(X.T @ self.inverse @ X)

    @cached_property
    def beta(self):
        y = self.Y.ravel()[self.seen] - self.mean_offset[self.seen]
        return self.beta_cov @ self.design[self.seen].T @ self.inverse @ y

    def known(self, X, C, prior, beta_known=False):
        """Prediction of targets with columns X (r, P), Cov(target, observed) C (r, N), prior (r, r), and its error."""
        y = self.Y.ravel()[self.seen] - self.mean_offset[self.seen]
        B, Xo = C @ self.inverse, self.design[self.seen]
        D = X - B @ Xo
        value = X @ self.beta + B @ (y - Xo @ self.beta)
        error = prior - B @ C.T
        return value, error if beta_known else error + D @ self.beta_cov @ D.T

    def cells(self, residual=False):
        """E and error covariance of x'β + offset + z'u (+ e) of all cells, (n·t,) and (n·t, n·t)."""
        C = self.signal + (self.residual if residual else 0.0)
        value, error = self.known(self.design, C[:, self.seen], C)
        return value + self.mean_offset, error

    def effects(self, i, beta_known=False):
        """û and its error covariance of component i over all levels of A, (q, k) and (q·k, q·k)."""
        one = self.components[i]
        C = one.prior @ one.design(self.t).T[:, self.seen]
        value, error = self.known(np.zeros((len(C), self.design.shape[1])), C, one.prior, beta_known)
        return value.reshape(len(one.A), -1), error

    def new(self, x, levels, z, w=1.0):
        """Prediction of a new record's cells: x (p,), for each component a level of A (−1: none) and effects z (k,)."""
        t = self.t
        X = np.kron(np.eye(t), x)
        C, prior = np.zeros((t, len(self.seen))), np.zeros((t, t))
        for one, level, effects in zip(self.components, levels, z, strict=True):
            if level < 0:
                continue
            L = np.kron(np.eye(t), effects)  # (t, t·k)
            rows = one.design(t)[self.seen]
            across = np.kron(one.A[level], L @ one.Sigma)  # (t, q·t·k)
            C += across @ rows.T
            prior += one.A[level, level] * L @ one.Sigma @ L.T
        value, error = self.known(X, C, prior)
        return value, np.diagonal(error)
