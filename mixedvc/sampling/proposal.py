"""A proposal: a mixture of multivariate t distributions, fitted to weighted points (population Monte Carlo).

Cappé, Douc, Guillin, Marin & Robert (2008) Statistics and Computing 18:447; the latent scales of the t components are
integrated out in the E step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from ..linalg import dense as la

Float = NDArray[np.float64]
_STEPS = 25  # of EM
_BROAD, _BROAD_DF, _BROAD_WEIGHT = 2.0, 3.0, 0.05


@dataclass(frozen=True)
class Proposal:
    """G components Σ_g weight_g t(z; mean_g, root_g root_gᵀ, df_g).

    Attributes
    ----------
    weights, dfs : (G,)
    means : (G, d)
    roots : (G, d, d)
        Lower triangular.
    """

    weights: Float
    means: Float
    roots: Float
    dfs: Float

    @property
    def d(self) -> int:
        return self.means.shape[1]

    def draw(self, rng: np.random.Generator, count: int, spread: float = 1.0) -> Float:
        """(count, d); scales are multiplied by `spread`."""
        which = np.searchsorted(np.cumsum(self.weights), rng.random(count) * self.weights.sum(), side="right")
        which = np.minimum(which, len(self.weights) - 1)
        scale = np.sqrt(rng.chisquare(self.dfs[which]) / self.dfs[which])
        noise = rng.standard_normal((count, self.d)) * (spread / scale)[:, None]
        return self.means[which] + np.einsum("kij,kj->ki", self.roots[which], noise)

    def logpdf(self, z: Float) -> Float:
        """(K,) log density, its constant included."""
        parts = self._parts(z)[0]
        return parts[:, 0] if parts.shape[1] == 1 else np.asarray(logsumexp(parts, axis=1))

    def _parts(self, z: Float) -> tuple[Float, Float]:
        """(K, G) log weight_g t_g(z), and squared Mahalanobis distances."""
        d, distance = self.d, np.empty((len(z), len(self.weights)))
        for g, (mean, root) in enumerate(zip(self.means, self.roots, strict=True)):
            distance[:, g] = np.square(la.solve_triangular(root, (z - mean).T)).sum(axis=0)
        logdet = np.log(np.abs(np.einsum("gii->gi", self.roots))).sum(axis=1)
        constant = gammaln(0.5 * (self.dfs + d)) - gammaln(0.5 * self.dfs) - 0.5 * d * np.log(self.dfs * np.pi) - logdet
        with np.errstate(divide="ignore"):
            weight = np.log(self.weights)
        return weight + constant - 0.5 * (self.dfs + d) * np.log1p(distance / self.dfs), distance

    def broadened(self) -> Proposal:
        """With a wide component beside it, so that no region of the posterior is out of its reach."""
        mean, cov = self.moments()
        wide = _BROAD * covariance_root(cov)
        return Proposal(
            np.append((1.0 - _BROAD_WEIGHT) * self.weights, _BROAD_WEIGHT),
            np.vstack([self.means, mean]),
            np.concatenate([self.roots, wide[None]]),
            np.append(self.dfs, _BROAD_DF),
        )

    def moments(self) -> tuple[Float, Float]:
        """Mean (d,) and the scale matrices' covariance (d, d) of the whole."""
        mean = self.weights @ self.means
        apart = self.means - mean
        cov = np.einsum("g,gij,gkj->ik", self.weights, self.roots, self.roots)
        return mean, cov + np.einsum("g,gi,gk->ik", self.weights, apart, apart)


def one_component(mean: Float, root: Float, df: float) -> Proposal:
    """A single t."""
    return Proposal(np.ones(1), mean[None, :].copy(), root[None].copy(), np.array([df]))


def fitted(z: Float, weights: Float, prior: Proposal, most: int, rng: np.random.Generator) -> Proposal:
    """The mixture of at most `most` components and of the df that describes weighted points best.

    Parameters
    ----------
    z : (K, d)
    weights : (K,)
        Importance weights, summing to one.
    prior : Proposal
        Whose covariance a component of few points is drawn towards.
    most : int
    rng : Generator
        Where the components begin.
    """
    d, effective = z.shape[1], 1.0 / float(np.square(weights).sum())
    held = prior.moments()[1]
    best, highest = prior, -np.inf
    for count in range(1, most + 1):
        own = count * (1 + d + d * (d + 1) // 2)
        if count > 1 and effective < 2.0 * own:
            break
        for df in (4.0, 12.0) if best is prior else (float(best.dfs[0]),):
            for _ in range(1 if count == 1 else 2):
                found = _em(z, weights, _seeded(z, weights, count, df, rng), effective, held)
                value = effective * float(weights @ found.logpdf(z)) - 0.5 * own * np.log(max(effective, 2.0))
                if value > highest:
                    best, highest = found, value
    return best


def resampled(z: Float, weights: Float, count: int, rng: np.random.Generator) -> tuple[Float, Float]:
    """About `count` of the weighted points (systematic resampling), each once with the weight of how often it came."""
    if len(z) <= count:
        return z, weights
    at = (rng.random() + np.arange(count)) / count
    times = np.diff(np.searchsorted(at, np.append(0.0, np.cumsum(weights)) / weights.sum()))
    chosen = np.flatnonzero(times)
    return z[chosen], times[chosen] / times.sum()


def _covariance(z: Float, weights: Float) -> Float:
    apart = z - weights @ z
    return (apart * weights[:, None]).T @ apart


def _seeded(z: Float, weights: Float, count: int, df: float, rng: np.random.Generator) -> Proposal:
    """Components at points far from each other (k-means++: Arthur & Vassilvitskii 2007), of a part of the spread."""
    root = covariance_root(_covariance(z, weights))
    if count == 1:
        return one_component(weights @ z, root, df)
    white = la.solve_triangular(root, z.T).T
    chance, centres = weights, []
    nearest = np.full(len(z), np.inf)
    for _ in range(count):
        centres.append(int(rng.choice(len(z), p=chance / chance.sum())))
        nearest = np.minimum(nearest, np.square(white - white[centres[-1]]).sum(axis=1))
        chance = weights * nearest + 1e-12 * weights
    own = np.argmin([np.square(white - white[c]).sum(axis=1) for c in centres], axis=0)
    size = np.maximum(np.bincount(own, weights, minlength=count), 1e-3)
    roots = np.repeat(0.6 * root[None], count, axis=0)
    return Proposal(size / size.sum(), z[centres].copy(), roots, np.full(count, df))


def covariance_root(cov: Float) -> Float:
    """Cholesky factor of a covariance, kept off singularity."""
    scale = np.sqrt(np.maximum(np.diagonal(cov), 1e-300))
    R = cov / scale[:, None] / scale
    for ridge in (1e-10, 1e-6, 1e-3, 0.1):
        try:
            return scale[:, None] * la.cholesky(R + ridge * np.eye(len(R)))
        except la.NotPositiveDefinite:
            continue
    return np.diag(scale)


def _em(z: Float, weights: Float, start: Proposal, effective: float, held: Float) -> Proposal:
    """Weighted EM; `held` (d, d) is worth d + 1 points of each component."""
    now, d, before = start, z.shape[1], -np.inf
    few = (d + 1.0) / effective
    for _ in range(_STEPS):
        parts, distance = now._parts(z)
        total = logsumexp(parts, axis=1)
        value = float(weights @ total)
        if value - before < 1e-4:
            break
        before = value
        share = np.exp(parts - total[:, None]) * weights[:, None]
        pull = share * (now.dfs + d) / (now.dfs + distance)
        size, mass = share.sum(axis=0), pull.sum(axis=0)
        if size.min() < 1e-3:
            break
        means = (pull.T @ z) / mass[:, None]
        roots = np.empty_like(now.roots)
        for g in range(len(size)):
            apart = z - means[g]
            S = (apart * pull[:, g, None]).T @ apart
            roots[g] = covariance_root((S + few * held * now.dfs[g] / (now.dfs[g] + 2.0)) / (size[g] + few))
        now = replace(now, weights=size / size.sum(), means=means, roots=roots)
    return now
