"""Exact draws of the random effects given θ, β and y, for every kept draw of every scheme.

Prior draws u° ~ N(0, G) and y° = Zu° + e° have the joint law of the model, so (Matheron)

    u = u° + G Zᵀ V⁻¹ (y − Xβ − y°)

has the law of u | θ, β, y: one solve with V, whatever the likelihood.  A draw takes its random numbers from the seed,
the chain and the number of the draw alone.  Relatives without records follow given the levels that have some, from the
same stream: the levels in the data are the same with them as without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..likelihood.base import Evaluation, Likelihood
from .base import Draws
from .effects_likelihood import for_effects
from .effects_relatives import Relatives
from .effects_sources import EffectSource, effect_source, residual_draw, root_of

Float = NDArray[np.float64]
EffectsOf = tuple[Float, ...]
_STREAM = 1  # third word of the key: not the stream of a block
_CHUNK = 4_000_000  # numbers of effects drawn at a time
_MOST = 64


class EffectSampler:
    """Draws of u | θ, β, y by one likelihood; what does not depend on θ is prepared once.

    Parameters
    ----------
    likelihood : Likelihood
        Of the rows and the response; another one that draws effects faster may take its place.
    relatives : bool
        Also the labels that a term's covariance knows beyond the levels in the data.
    """

    def __init__(self, likelihood: Likelihood, relatives: bool = False):
        self.likelihood = for_effects(likelihood)
        self.spec, self.relatives = likelihood.spec, relatives
        self._beyond: dict[int, Relatives] = {}  # made when first asked for

    @cached_property
    def sources(self) -> tuple[EffectSource, ...]:
        """What the effects of each term are made of."""
        return tuple(effect_source(term) for term in self.spec.terms)

    def draw(self, theta: Float, beta: Float, rng: np.random.Generator) -> EffectsOf:
        """(q, k) of every term; with relatives (L, k) in the order of `labels_of`."""
        latent = self.latent(theta, beta, rng)
        if not self.relatives:
            return tuple(source.seen(W) for source, W in zip(self.sources, latent, strict=True))
        sigmas = self.spec.sigmas(theta)
        return tuple(self._everyone(i, W, sigmas[i], rng) for i, W in enumerate(latent))

    def latent(self, theta: Float, beta: Float, rng: np.random.Generator, at: Evaluation | None = None) -> list[Float]:
        """(s, k) of every term's source; `at` the evaluation at θ, where there is one already."""
        spec = self.spec
        at = self.likelihood.at(theta) if at is None else at
        *sigmas, residual = spec.sigmas(theta)
        parts = list(zip(spec.terms, self.sources, sigmas, strict=True))
        prior = [source.draw(term.k, rng) @ root_of(S).T for term, source, S in parts]
        d = spec.X @ (at.beta - beta) - residual_draw(spec, residual, rng)
        for (term, source, _), W in zip(parts, prior, strict=True):
            d -= term.spread(source.seen(W))
        solved = at.Py + at.solve(d)  # V⁻¹(y − Xβ̂) is Py, of the likelihood's own response
        return [W + source.back(term.collect(solved)) @ S for (term, source, S), W in zip(parts, prior, strict=True)]

    def many(self, thetas: Float, betas: Float, rngs: Sequence[np.random.Generator]) -> EffectsOf:
        """(D, q, k) of every term, a row for each θ, β and stream."""
        rows = [self.draw(theta, beta, rng) for theta, beta, rng in zip(thetas, betas, rngs, strict=True)]
        return tuple(np.stack(parts) for parts in zip(*rows, strict=True))

    def _everyone(self, i: int, W: Float, Sigma: Float, rng: np.random.Generator) -> Float:
        beyond, source = self._beyond, self.sources[i]
        if len(labels_of(self.spec.terms[i], True)) == self.spec.terms[i].q:
            return source.seen(W)
        known = source.everyone(W)
        if known is not None:
            return known
        if i not in beyond:
            beyond[i] = Relatives(self.spec.terms[i])
        return beyond[i].extended(source.seen(W), root_of(Sigma), rng)


def labels_of(term: Term, relatives: bool = False) -> NDArray[np.object_]:
    """The levels a draw of `term` has: those in the data, or all labels of the covariance where it knows more."""
    known = term.covariance.labels
    return known if relatives and len(known) > term.q else term.levels


def effect_rng(seed: int, chain: int, draw: int) -> np.random.Generator:
    """Random numbers of the effects that go with one kept draw of a chain."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chain, draw, _STREAM)))


def draw_effects(
    likelihood: Likelihood, theta: Float, beta: Float, rng: np.random.Generator, relatives: bool = False
) -> EffectsOf:
    """One draw of every term's u | θ, β, y.

    Parameters
    ----------
    likelihood : Likelihood
    theta : (m,)
        Linear parameters.
    beta : (p,)
        Fixed effects; a draw from β | θ, y makes the two a joint draw.
    rng : numpy.random.Generator
    relatives : bool
        Also the labels of a covariance that have no records.

    Returns
    -------
    tuple of (q, k)
        Rows as `labels_of` names them.
    """
    return EffectSampler(likelihood, relatives).draw(np.asarray(theta), np.asarray(beta), rng)


def effects_of(
    likelihood: Likelihood | EffectSampler,
    theta: Float,
    beta: Float,
    seed: int,
    chain: int,
    first: int = 0,
    relatives: bool = False,
) -> EffectsOf:
    """Effects of consecutive kept draws of one chain, (D, q, k) of every term.

    Parameters
    ----------
    likelihood : Likelihood or EffectSampler
        A sampler keeps its preparations from call to call.
    theta : (D, m), beta : (D, p)
    seed, chain : int
    first : int
        Number of the first of them among the kept draws of the chain.
    """
    sampler = likelihood if isinstance(likelihood, EffectSampler) else EffectSampler(likelihood, relatives)
    rngs = [effect_rng(seed, chain, first + i) for i in range(len(theta))]
    return sampler.many(np.asarray(theta), np.asarray(beta), rngs)


def draws_of_effects(
    likelihood: Likelihood | EffectSampler,
    draws: Draws,
    relatives: bool = False,
    at: Iterable[tuple[int, int]] | None = None,
) -> Iterator[EffectsOf]:
    """The effects that go with kept draws, one draw after another: chain by chain, (q, k) of every term.

    Parameters
    ----------
    likelihood : Likelihood or EffectSampler
    draws : Draws
    relatives : bool
        Also the labels of a covariance that have no records.
    at : iterable of (chain, draw), optional
        These draws alone, in this order; a draw has the same effects whichever others are asked for.
    """
    sampler = likelihood if isinstance(likelihood, EffectSampler) else EffectSampler(likelihood, relatives)
    if draws.effects is not None and not relatives:
        for c, d in np.ndindex(draws.chains, draws.count) if at is None else at:
            yield tuple(np.asarray(u[c, d]) for u in draws.effects)
        return
    wanted = list(np.ndindex(draws.chains, draws.count) if at is None else at)
    sizes = sum(len(labels_of(term, relatives)) * term.k for term in sampler.spec.terms)
    step = int(min(_MOST, max(1, _CHUNK // max(1, sizes))))
    for start in range(0, len(wanted), step):
        some = wanted[start : start + step]
        chain, draw = np.array(some, dtype=np.intp).reshape(-1, 2).T
        rngs = [effect_rng(draws.seed, int(c), int(d)) for c, d in some]
        found = sampler.many(draws.theta[chain, draw], draws.beta[chain, draw], rngs)
        for i in range(len(some)):
            yield tuple(u[i] for u in found)
