"""Joint draws of β and every term's effects given θ: rotated for one kernel, by sparse equations, or with V itself.

Effects are held in the coordinates of their source (`effects_sources`), W (s, k) with covariance Q⁻¹ ⊗ Σ: nothing there
is singular, and WᵀQW has s degrees of freedom.  Rows are those of the engine: the user's, or rotated ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..likelihood.base import Likelihood
from ..likelihood.marginals import Marginals
from ..likelihood.sparse_mme import OnUserScale, SparseLikelihood
from ..likelihood.spectral import SpectralLikelihood
from ..linalg import dense as la
from .augment import ResidualRows
from .effects import EffectSampler
from .effects_likelihood import for_effects
from .effects_sources import EffectSource
from .quadratic import Evidence, Scatter
from .target import Target

Float = NDArray[np.float64]


@dataclass
class Position:
    """Where β and the effects are.

    Attributes
    ----------
    at : Marginals
        log-likelihood, β̂ and a root of its covariance at the θ of the draw; one row.
    beta : (p,)
    effects : list of (s, k)
    e : rows
        Residual.
    """

    at: Marginals
    beta: Float
    effects: list[Float]
    e: Float


class Residual(Protocol):
    """The residual on an engine's rows."""

    def scatter(self, e: Float, Sigma: Float, rng: np.random.Generator) -> Scatter: ...
    def evidence(self, e: Float) -> Evidence: ...
    def weighted(self, U: Float, Sigma: Float) -> Float: ...  # R⁻¹U


class Engine(Protocol):
    """One way of drawing β and the effects."""

    words: str

    @property
    def residual(self) -> Residual: ...

    def draw(self, theta: Float, rng: np.random.Generator) -> Position:
        """β and all effects given θ."""
        ...

    def left(self, beta: Float, effects: list[Float]) -> Float:
        """The residual that β and the effects leave."""
        ...

    def scatter(self, term: int, W: Float) -> Scatter:
        """What the effects of a term say of its Σ."""
        ...

    def columns(self, term: int, W: Float) -> Float:
        """(rows, k, c) x_a (J W)_c: what W (s, c) in the place of effect a adds to each row."""
        ...


def engine_of(target: Target) -> Engine:
    """The cheapest engine for the target's likelihood."""
    likelihood = for_effects(target.likelihood)
    if isinstance(likelihood, SpectralLikelihood):
        return Rotated(target, likelihood)
    if isinstance(likelihood, SparseLikelihood):
        return SparseRows(target, likelihood)
    return Rows(target, likelihood)


class Rows:
    """The user's rows and any likelihood: effects by one more solve with V (see `effects`)."""

    words = "one solve with V"

    def __init__(self, target: Target, likelihood: Likelihood):
        self.target, self.spec, self.likelihood = target, target.spec, likelihood
        self._sampler = EffectSampler(likelihood)

    @property
    def sources(self) -> tuple[EffectSource, ...]:
        return self._sampler.sources

    @cached_property
    def residual(self) -> ResidualRows:
        return ResidualRows(self.spec.residual)

    def draw(self, theta: Float, rng: np.random.Generator) -> Position:
        evaluation = self.likelihood.at(theta)
        root = la.psd_root(evaluation.beta_cov) if self.spec.p else np.empty((0, 0))
        at = Marginals(np.array([evaluation.loglik]), evaluation.beta[None], root[None])
        beta = self.target.draw_beta(at, rng)[0]
        effects = self._sampler.latent(theta, beta, rng, evaluation)
        return Position(at, beta, effects, self.left(beta, effects))

    def left(self, beta: Float, effects: list[Float]) -> Float:
        e = self._response - self.spec.X @ beta
        for term, source, W in zip(self.spec.terms, self.sources, effects, strict=True):
            e -= term.spread(source.seen(W))
        return e

    @property
    def _response(self) -> Float:
        return self.spec.response

    def scatter(self, term: int, W: Float) -> Scatter:
        return self.sources[term].scatter(W)

    def columns(self, term: int, W: Float) -> Float:
        of = self.spec.terms[term]
        return of.basis[:, :, None] * self.sources[term].seen(W)[of.codes][:, None, :]


class SparseRows(Rows):
    """Sparse mixed-model equations: the factor that gives the likelihood gives the effects."""

    words = "sparse mixed-model equations"

    def draw(self, theta: Float, rng: np.random.Generator) -> Position:
        evaluation = self.likelihood.at(theta)
        if not isinstance(evaluation, OnUserScale):  # next to no residual variance: V itself was factored
            return super().draw(theta, rng)
        inner, p = evaluation.inner, self.spec.p
        root = la.psd_root(inner.beta_cov) if p else np.empty((0, 0))
        at = Marginals(np.array([inner.loglik]), inner.beta[None], root[None])
        beta = self.target.draw_beta(at, rng)[0]
        rows, state = inner.rows, inner.state
        r = rows.y + rows.Q @ (rows.ols - rows.R @ beta) if p else rows.y
        half = state.half_effects(state.weighted(r[:, None]))
        b = state.factor.half_solve_transposed(half + rng.standard_normal(half.shape))
        effects = []
        for i, (spread, L) in enumerate(zip(state.equations.spreads, state.roots, strict=True)):
            effects.append(state.equations.turned.effects(i, spread.of(b)[:, :, 0] @ L.T))
        return Position(at, beta, effects, self.left(beta, effects))


class Rotated:
    """One scalar kernel in the coordinates of its eigenvectors: √d_i b_i, b_i independent; an iteration costs n."""

    words = "eigenvectors of the kernel"

    def __init__(self, target: Target, likelihood: SpectralLikelihood):
        self.target, self.likelihood = target, likelihood
        frame, self.rows = likelihood.frame, likelihood.frame.rows
        there = likelihood.d > 0.0
        self._y, self._Q = frame.y, frame.Q
        self._place = np.flatnonzero(there)
        self._size = np.sqrt(likelihood.d[there])
        self.residual = RotatedResidual(len(frame.y) + frame.extra)

    def draw(self, theta: Float, rng: np.random.Generator) -> Position:
        found = self.likelihood.marginals(theta[None])
        if not np.isfinite(found.loglik[0]):
            raise la.NotPositiveDefinite(1)
        beta = self.target.draw_beta(found, rng)[0]
        r, (first, second) = self._without_fixed(beta), theta
        v = second + first * np.square(self._size)
        noise = rng.standard_normal(len(self._size))
        b = first * self._size * r[self._place] / v + np.sqrt(first * second / v) * noise
        effects = [b[:, None]]
        return Position(found, beta, effects, self._minus(r, b))

    def _without_fixed(self, beta: Float) -> Float:
        if not len(beta):
            return self._y
        return self._y + self._Q @ (self.rows.ols - self.rows.R @ beta)

    def _minus(self, r: Float, b: Float) -> Float:
        e = r.copy()
        e[self._place] -= self._size * b
        return e

    def left(self, beta: Float, effects: list[Float]) -> Float:
        return self._minus(self._without_fixed(beta), effects[0][:, 0])

    def scatter(self, term: int, W: Float) -> Scatter:
        return Scatter(W.T @ W, len(W))

    def columns(self, term: int, W: Float) -> Float:
        out = np.zeros((len(self._y), 1, W.shape[1]))
        out[self._place, 0] = self._size[:, None] * W
        return out


class RotatedResidual:
    """A residual of one variance on rotated rows; beyond them are directions in which nothing is left over."""

    def __init__(self, count: int):
        self.count = count

    def scatter(self, e: Float, Sigma: Float, rng: np.random.Generator) -> Scatter:
        return Scatter(np.array([[e @ e]]), self.count)

    def evidence(self, e: Float) -> Evidence:
        return Scatter(np.array([[e @ e]]), self.count)

    def weighted(self, U: Float, Sigma: Float) -> Float:
        return U / Sigma[0, 0]
