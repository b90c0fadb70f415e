"""Posteriors by quadrature: the dense joint normal law of everything at each point of a grid of θ, mixed by its weight.

Nothing here is the package's: V, the prior densities and the laws given θ are written out.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

GRID = 61


@dataclass(frozen=True)
class Mixture:
    """Normals with weights, one set for each of m quantities: means, variances (G, m), weights (G,)."""

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray

    @property
    def mean(self):
        return self.weights @ self.means

    @property
    def var(self):
        return self.weights @ (self.variances + (self.means - self.mean) ** 2)

    @property
    def var_of_means(self):
        """What is left to Monte-Carlo where means given θ are averaged over draws of θ."""
        return self.weights @ (self.means - self.mean) ** 2

    def cdf(self, x):
        sd = np.sqrt(np.maximum(self.variances, 1e-300))
        return self.weights @ stats.norm.cdf((np.asarray(x) - self.means) / sd)


@dataclass(frozen=True)
class Law:
    """y = Xβ + s + e with effects u behind s: joint prior covariances at θ.

    `V(θ)` (n, n), `C(θ)` (n, m) = Cov(y, f − x'β) and `D(θ)` (m,) = Var(f − x'β) of the m quantities f = x'β + …, F
    their rows x (m, p), `offset` (m,), `r` the response minus its offset.  `prior` of β: mean, covariance.
    """

    r: np.ndarray
    X: np.ndarray
    F: np.ndarray
    offset: np.ndarray
    V: object
    C: object
    D: object
    prior: tuple | None = None

    def given(self, theta):
        """log p(y | θ), and means and variances of f given θ and y, β integrated out."""
        Vi = np.linalg.inv(self.V(theta))
        C, D = self.C(theta), self.D(theta)
        P = self.X.T @ Vi @ self.X
        rhs = self.X.T @ Vi @ self.r
        log = -0.5 * (-np.linalg.slogdet(Vi)[1] + self.r @ Vi @ self.r)
        if self.prior is not None:
            b, B = self.prior
            Bi = np.linalg.inv(B)
            log -= 0.5 * (np.linalg.slogdet(B)[1] + b @ Bi @ b)
            P, rhs = P + Bi, rhs + Bi @ b
        cov = np.linalg.inv(P)
        beta = cov @ rhs
        log += 0.5 * (np.linalg.slogdet(cov)[1] + rhs @ cov @ rhs)
        d = self.F - C.T @ Vi @ self.X
        mean = self.F @ beta + self.offset + C.T @ Vi @ (self.r - self.X @ beta)
        var = D - np.einsum("nm,nk,km->m", C, Vi, C) + np.einsum("mp,pq,mq->m", d, cov, d)
        return log, mean, np.maximum(var, 0.0), beta, cov


def quadrature(law, log_prior, low, high, points=GRID):
    """The mixture over a grid of log θ between `low` and `high`; `log_prior(θ)` is a density of θ."""
    axes = [np.linspace(np.log(a), np.log(b), points) for a, b in zip(low, high, strict=True)]
    grid = np.exp(np.stack([g.ravel() for g in np.meshgrid(*axes, indexing="ij")], axis=1))
    logs, means, variances, betas = [], [], [], []
    for theta in grid:
        log, mean, var, beta, _ = law.given(theta)
        logs.append(log + log_prior(theta) + np.log(theta).sum())
        means.append(mean)
        variances.append(var)
        betas.append(beta)
    logs = np.array(logs)
    weights = np.exp(logs - logs.max())
    weights /= weights.sum()
    edge = np.zeros([points] * len(axes), dtype=bool)
    for k in range(len(axes)):
        for at in (0, -1):
            edge[(slice(None),) * k + (at,)] = True
    assert weights[edge.ravel()].sum() < 2e-4, "the grid cuts the posterior off"
    cell = np.prod([a[1] - a[0] for a in axes])
    evidence = logs.max() + np.log(np.exp(logs - logs.max()).sum() * cell)
    return Mixture(weights, np.array(means), np.array(variances)), grid, evidence


def inverse_gamma(shape, scale):
    return lambda x: stats.invgamma.logpdf(x, shape, scale=scale)
