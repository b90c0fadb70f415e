"""A proposal: a mixture of multivariate t distributions, fitted to weighted points (population Monte Carlo).

Cappé, Douc, Guillin, Marin & Robert (2008) Statistics and Computing 18:447; the latent scales of the t components are
integrated out in the E step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from ..linalg import dense as la
from ..linalg.stacks import stacked_triangular_inverse

Float = NDArray[np.float64]
_STEPS, _HELD = 25, 2.0  # of EM; points that a component has beside the data
_TAILS, _FAR, _FAR_SCALE, _FAR_DF = 0.15, 0.03, 2.5, 3.0


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
        parts = self.parts(z)[0]
        return parts[:, 0] if parts.shape[1] == 1 else np.asarray(logsumexp(parts, axis=1))

    @cached_property
    def _whitening(self) -> tuple[Float, Float]:
        """Inverse roots (G, d, d), and log weight_g plus the constant of t_g (G,)."""
        d = self.d
        logdet = np.log(np.abs(np.einsum("gii->gi", self.roots))).sum(axis=1)
        constant = gammaln(0.5 * (self.dfs + d)) - gammaln(0.5 * self.dfs) - 0.5 * d * np.log(self.dfs * np.pi) - logdet
        with np.errstate(divide="ignore"):
            return stacked_triangular_inverse(self.roots), np.log(self.weights) + constant

    def parts(self, z: Float) -> tuple[Float, Float]:
        """(K, G) log weight_g t_g(z), and squared Mahalanobis distances."""
        inverse, constant = self._whitening
        white = (z[None] - self.means[:, None]) @ inverse.transpose(0, 2, 1)
        distance = np.square(white).sum(axis=2).T
        return constant - 0.5 * (self.dfs + self.d) * np.log1p(distance / self.dfs), distance

    def with_tails(self, tails: Proposal) -> Proposal:
        """With a share of its points from `tails`, and a few from far around, so that nothing is out of its reach."""
        mean, cov = self.moments()
        return Proposal(
            np.concatenate([(1.0 - _TAILS - _FAR) * self.weights, _TAILS * tails.weights, [_FAR]]),
            np.vstack([self.means, tails.means, mean]),
            np.concatenate([self.roots, tails.roots, _FAR_SCALE * covariance_root(cov)[None]]),
            np.concatenate([self.dfs, tails.dfs, [_FAR_DF]]),
        )

    def beside(self, other: Proposal, share: float) -> Proposal:
        """A mixture of this one and a `share` of another."""
        return Proposal(
            np.concatenate([(1.0 - share) * self.weights, share * other.weights]),
            np.vstack([self.means, other.means]),
            np.concatenate([self.roots, other.roots]),
            np.concatenate([self.dfs, other.dfs]),
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
        Whose covariance keeps a component of few points from collapsing.
    most : int
    rng : Generator
        Where the components begin.
    """
    d, effective = z.shape[1], 1.0 / float(np.square(weights).sum())
    held = prior.moments()[1]
    best, highest, since = prior, -np.inf, 0
    for count in range(1, most + 1):
        own = count * (1 + d + d * (d + 1) // 2)
        if count > 1 and effective < 4.0 * own:
            break
        since += 1
        for df in (4.0, 12.0) if count == 1 else (12.0, float(best.dfs[0])):
            found = _em(z, weights, _seeded(z, weights, count, df, rng), effective, held)
            value = effective * float(weights @ found.logpdf(z)) - 1.5 * own
            if value > highest:
                best, highest, since = found, value, 0
        if since > 1:
            break
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
    """Weighted EM; each component has a point's worth of `held` (d, d), so that none collapses."""
    now, d, before = start, z.shape[1], -np.inf
    few = _HELD / effective
    for _ in range(_STEPS):
        parts, distance = now.parts(z)
        total = logsumexp(parts, axis=1)
        value = float(weights @ total)
        if value - before < 1e-3:
            break
        before = value
        share = np.exp(parts - total[:, None]) * weights[:, None]
        pull = share * (now.dfs + d) / (now.dfs + distance)
        size, mass = share.sum(axis=0), pull.sum(axis=0)
        if size.min() < 1e-3:
            break
        means = (pull.T @ z) / mass[:, None]
        apart = z[None] - means[:, None]
        S = (apart * pull.T[:, :, None]).transpose(0, 2, 1) @ apart
        S += few * held * (now.dfs / (now.dfs + 2.0))[:, None, None]
        roots = np.stack([covariance_root(C) for C in S / (size + few)[:, None, None]])
        now = Proposal(size / size.sum(), means, roots, now.dfs)
    return now
