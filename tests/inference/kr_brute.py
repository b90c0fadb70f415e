"""Kenward and Roger's method from its definitions, with explicit n×n matrices: slow, and shares no code with ours."""

from __future__ import annotations

import numpy as np

from mixedvc.testing.brute import Brute


class BruteKenwardRoger:
    """Φ, Φ_A, and (m, λ) of a contrast, by the letters of Kenward & Roger (1997), for linear θ."""

    def __init__(self, spec, theta, free=None):
        model = Brute(spec, reml=True)
        at = model.at(theta)
        free = list(range(len(theta))) if free is None else free
        X, Vi, Vs = spec.X, at.Vinv, [model.patterns[j] for j in free]
        self.Phi = np.linalg.inv(X.T @ Vi @ X)
        P_reml = Vi - Vi @ X @ self.Phi @ X.T @ Vi
        information = [[0.5 * np.trace(P_reml @ A @ P_reml @ B) for B in Vs] for A in Vs]
        self.W = np.linalg.inv(np.array(information))
        self.P = [-X.T @ Vi @ A @ Vi @ X for A in Vs]
        Q = [[X.T @ Vi @ A @ Vi @ B @ Vi @ X for B in Vs] for A in Vs]
        total = np.zeros_like(self.Phi)
        for i in range(len(free)):
            for j in range(len(free)):
                total += self.W[i, j] * (Q[i][j] - self.P[i] @ self.Phi @ self.P[j])
        self.PhiA = self.Phi + 2 * self.Phi @ total @ self.Phi

    def f_moments(self, L):
        """(m, λ) with Θ = Lᵀ(LΦLᵀ)⁻¹L, E* and V* as in the paper."""
        c, Phi = len(L), self.Phi
        Theta = L.T @ np.linalg.inv(L @ Phi @ L.T) @ L
        A1 = A2 = 0.0
        for i, Pi in enumerate(self.P):
            for j, Pj in enumerate(self.P):
                left, right = Theta @ Phi @ Pi @ Phi, Theta @ Phi @ Pj @ Phi
                A1 += self.W[i, j] * np.trace(left) * np.trace(right)
                A2 += self.W[i, j] * np.trace(left @ right)
        B = (A1 + 6 * A2) / (2 * c)
        g = ((c + 1) * A1 - (c + 4) * A2) / ((c + 2) * A2)
        c1, c2, c3 = (x / (3 * c + 2 * (1 - g)) for x in (g, c - g, c + 2 - g))
        E = 1 / (1 - A2 / c)
        V = (2 / c) * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
        rho = V / (2 * E**2)
        m = 4 + (c + 2) / (c * rho - 1)
        return m, m / (E * (m - 2))
