"""Several traits by the textbook: dense V of the seen cells, functions of (Σ_g, Σ_e), derivatives by differences."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import pandas as pd
from scipy import linalg, optimize

LOG2PI = np.log(2 * np.pi)


class Brute:
    """cbind(y1, …) ~ x + (1|id:A): kron(A, Σ_g) + kron(I, Σ_e) of the cells that were seen."""

    def __init__(self, Y, x, A, reml=True):
        self.n, self.t = Y.shape
        self.A, self.reml = A, reml
        self.seen = ~np.isnan(Y).ravel()
        self.y = Y.ravel()[self.seen]
        design = np.column_stack([np.ones(self.n), x])
        self.X = np.kron(design, np.eye(self.t))[self.seen]
        self.pairs = [(a, b) for a in range(self.t) for b in range(a, self.t)]

    def sigmas(self, theta):
        out = []
        for part in np.split(np.asarray(theta, dtype=float), 2):
            S = np.zeros((self.t, self.t))
            for v, (a, b) in zip(part, self.pairs, strict=True):
                S[a, b] = S[b, a] = v
            out.append(S)
        return out

    def V(self, theta):
        G, R = self.sigmas(theta)
        return (np.kron(self.A, G) + np.kron(np.eye(self.n), R))[np.ix_(self.seen, self.seen)]

    def loglik(self, theta):
        try:
            L = np.linalg.cholesky(self.V(theta))
        except np.linalg.LinAlgError:
            return -np.inf
        Z = linalg.solve_triangular(L, np.column_stack([self.X, self.y]), lower=True)
        n, p = self.X.shape
        X, y = Z[:, :p], Z[:, p]
        XVX = X.T @ X
        r = y - X @ np.linalg.solve(XVX, X.T @ y)
        out = -0.5 * ((n - p * self.reml) * LOG2PI + 2 * np.log(np.diag(L)).sum() + r @ r)
        return out - 0.5 * self.reml * np.linalg.slogdet(XVX)[1]

    @cached_property
    def _each(self):
        m = 2 * len(self.pairs)
        return [self.V(row) for row in np.eye(m)]

    def _projector(self, theta):
        Vi = np.linalg.inv(self.V(theta))
        return Vi, Vi - Vi @ self.X @ np.linalg.solve(self.X.T @ Vi @ self.X, self.X.T @ Vi)

    def score(self, theta):
        Vi, P = self._projector(theta)
        T, Py = (P if self.reml else Vi), P @ self.y
        return 0.5 * np.array([Py @ E @ Py - np.sum(T * E) for E in self._each])

    def expected_information(self, theta):
        TV = [self._projector(theta)[self.reml] @ E for E in self._each]
        return 0.5 * np.array([[np.sum(a * b.T) for b in TV] for a in TV])

    def observed_information(self, theta, step=2e-4):
        m = len(theta)
        H = np.empty((m, m))
        for i in range(m):
            for j in range(m):
                e, f = step * np.eye(m)[i], step * np.eye(m)[j]
                four = [self.loglik(theta + s * e + u * f) for s in (1, -1) for u in (1, -1)]
                H[i, j] = -(four[0] - four[1] - four[2] + four[3]) / (4 * step**2)
        return H

    def held(self, rho, place=0, starts=6, seed=0):
        """Largest log-likelihood with the correlation of traits 1 and 2 of Σ_g (place 0) or Σ_e (1) at `rho`."""
        rng = np.random.default_rng(seed)
        t, size = self.t, len(self.pairs)
        low = np.tril_indices(t)
        scale = np.nanstd(self.y)

        def sigma(q, tied):
            L = np.zeros((t, t))
            L[low] = q
            if tied:  # the second row has length |q| and the angle of rho with the first
                L[1, 0], L[1, 1] = q[1] * rho, q[1] * np.sqrt(1 - rho**2)
                L[0, 0], L[1] = abs(q[0]), L[1] * np.sign(q[1] or 1.0)
            return L @ L.T

        def theta(q):
            S = [sigma(part, k == place) for k, part in enumerate(np.split(q, 2))]
            return np.concatenate([[M[a, b] for a, b in self.pairs] for M in S])

        def fall(q):
            at = theta(q)
            value = self.loglik(at)
            return (1e10, 0 * q) if not np.isfinite(value) else (-value, -self.score(at) @ slope(theta, q))

        best = -np.inf
        for _ in range(starts):
            q = 0.7 * scale * (np.tile(np.eye(t)[low], 2) + 0.3 * rng.standard_normal(2 * size))
            found = optimize.minimize(fall, q, jac=True, method="BFGS", options={"gtol": 1e-5})
            best = max(best, -found.fun)
        return best


def slope(function, theta, step=1e-6):
    """Gradient (m,) or Jacobian (…, m) by central differences."""
    return np.stack(
        [(function(theta + step * e) - function(theta - step * e)) / (2 * step) for e in np.eye(len(theta))], -1
    )


def delta_se(function, theta, cov):
    """Standard errors of a function of θ by the delta method."""
    J = np.asarray(slope(function, theta))
    return np.sqrt(np.einsum("...i,ij,...j->...", J, cov, J))


def kernel(n, m, rng):
    """A of n labelled levels from m random features, a little away from unit diagonal."""
    W = rng.standard_normal((n, m))
    W -= W.mean(axis=0)
    return W @ W.T / m + 0.05 * np.eye(n)


def data(n=45, t=2, seed=7, G=None, R=None, missing=4, m=60):
    """(frame with id, x, y1…, kernel frame), drawn from the model; `missing` cells of all traits but the first."""
    rng = np.random.default_rng(seed)
    A = kernel(n, m, rng)
    G = np.full((t, t), 0.4) + np.diag(np.full(t, 0.6)) if G is None else np.asarray(G, dtype=float)
    R = np.full((t, t), -0.1) + np.diag(np.full(t, 0.7)) if R is None else np.asarray(R, dtype=float)

    def root(S):
        values, vectors = np.linalg.eigh(S)
        return vectors * np.sqrt(np.maximum(values, 0.0))

    Y = root(A) @ rng.standard_normal((n, t)) @ root(G).T + rng.standard_normal((n, t)) @ root(R).T
    x = rng.standard_normal(n)
    Y += 0.3 * x[:, None] + np.arange(t)
    for a in range(1, t):
        Y[rng.choice(n, missing, replace=False), a] = np.nan
    ids = [f"i{j:03d}" for j in range(n)]
    frame = pd.DataFrame(Y, columns=[f"y{a + 1}" for a in range(t)])
    frame.insert(0, "x", x)
    frame.insert(0, "id", ids)
    return frame, pd.DataFrame(A, ids, ids)
