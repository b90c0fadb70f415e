"""The exact posterior of two variances and of β by quadrature, in dense code of its own: no part of the package.

y ~ N(Xβ, a K + b D), D diagonal.  With D^-½ K D^-½ = Q diag(e) Qᵀ the restricted likelihood at every point of a grid
over (log a, log b) is a sum over n numbers; priors are given as densities of (a, b).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Exact:
    """Grid points a, b (G,), their posterior weights (G,), and β | a, b ~ N(mean (G, p), cov (G, p, p))."""

    a: Float
    b: Float
    weight: Float
    mean: Float
    cov: Float

    def quantile(self, values: Float, level: float) -> float:
        """Of a positive function of (a, b), `values` (G,) on the grid; a cell is even in its logarithm."""
        where, group = np.unique(np.log(values), return_inverse=True)  # a and b take each value on a line of the grid
        mass = np.bincount(group, self.weight)
        return float(np.exp(np.interp(level, np.cumsum(mass) - 0.5 * mass, where)))

    def beta_quantile(self, j: int, level: float) -> float:
        """Of coefficient j: a mixture of normal distributions."""
        mean, sd = self.mean[:, j], np.sqrt(self.cov[:, j, j])
        low, high = float((mean - 12 * sd).min()), float((mean + 12 * sd).max())
        return float(brentq(lambda x: self.weight @ norm.cdf((x - mean) / sd) - level, low, high, xtol=1e-10))


def exact_posterior(
    y: Float,
    X: Float,
    K: Float,
    D: Float,
    log_prior: Callable[[Float, Float], Float],
    a: tuple[float, float],
    b: tuple[float, float],
    *,
    size: int = 240,
    normal: tuple[Float, Float] | None = None,
) -> Exact:
    """Posterior on a grid of `size` × `size` points, logarithms of the variances between `a` and between `b`.

    Parameters
    ----------
    D : (n,)
        Residual variances over b.
    log_prior : callable
        Log density of (a, b) with respect to da db; arrays (G,) in, (G,) out.
    normal : (mean (p,), covariance (p, p)), optional
        Of β; flat without.
    """
    one = lambda ends: np.linspace(*ends, size) if ends[0] < ends[1] else np.array([ends[0]])  # noqa: E731
    log_a, log_b = (grid.ravel() for grid in np.meshgrid(one(a), one(b), indexing="ij"))
    va, vb = np.exp(log_a), np.exp(log_b)
    root = 1.0 / np.sqrt(D)
    e, Q = np.linalg.eigh(K * root[:, None] * root)
    Xt, yt = Q.T @ (X * root[:, None]), Q.T @ (y * root)
    p = X.shape[1]
    lp, means, covs = np.empty(len(va)), np.empty((len(va), p)), np.empty((len(va), p, p))
    for part in np.array_split(np.arange(len(va)), max(1, len(va) // 4000)):
        v = va[part, None] * np.maximum(e, 0.0) + vb[part, None]
        A = np.einsum("np,gn,nq->gpq", Xt, 1.0 / v, Xt, optimize=True)
        r = (yt / v) @ Xt
        quad = (yt * yt / v).sum(axis=1)
        if normal is not None:
            inverse = np.linalg.inv(normal[1])
            A, r = A + inverse, r + inverse @ normal[0]
            quad = quad + normal[0] @ inverse @ normal[0]
        covs[part] = np.linalg.inv(A)
        means[part] = np.einsum("gpq,gq->gp", covs[part], r)
        left = quad - np.einsum("gp,gp->g", r, means[part])
        lp[part] = -0.5 * (np.log(v).sum(axis=1) + np.linalg.slogdet(A)[1] + left)
    free = (log_a if a[0] < a[1] else 0.0) + (log_b if b[0] < b[1] else 0.0)
    lp = lp + log_prior(va, vb) + free
    weight = np.exp(lp - lp.max())
    edge = weight.reshape(len(one(a)), len(one(b)))
    assert max(edge[0].max() * (a[0] < a[1]), edge[-1].max() * (a[0] < a[1])) < 2e-4, "the grid of a is too narrow"
    assert max(edge[:, 0].max() * (b[0] < b[1]), edge[:, -1].max() * (b[0] < b[1])) < 2e-4, (
        "the grid of b is too narrow"
    )
    return Exact(va, vb, weight / weight.sum(), means, covs)


def z_score(draws: Float, cut: float, level: float, batch: int = 50) -> float:
    """How many standard errors the share of draws (C, D) below `cut` is from `level`, by means of batches."""
    below = (draws <= cut).astype(float)
    D = below.shape[1]
    means = below[:, : D // batch * batch].reshape(-1, batch).mean(axis=1)
    least = level * (1.0 - level) / below.size  # as if independent: batches may happen to agree
    return float((means.mean() - level) / np.sqrt(max(means.var(ddof=1) / len(means), least)))
