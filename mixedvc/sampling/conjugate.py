"""Gibbs sampling as it is known: (β, u) | θ in one draw, then every Σ given its effects, the residual last.

An iteration updates Σ of each term, evaluates the model at the new θ, and draws β and all effects from their joint law
there; what is kept is θ, the draw of β, and the likelihood of that θ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..likelihood.marginals import Marginals
from ..linalg.dense import NotPositiveDefinite
from ..structures.base import Structure
from .base import Piece, State
from .conjugate_engines import Engine, Position, engine_of
from .conjugate_expanded import Expanded
from .conjugate_terms import Update, residual_update, update_of
from .target import Target

Float = NDArray[np.float64]
_BLOCK = 50
_SPREAD = 0.7  # of the beginnings of chains around the start, in coordinates: a factor of two in a standard deviation
_TRIES = 40
_BURNIN = 1000


@dataclass(frozen=True)
class ConjugatePlan:
    """Gibbs sampling from `start` (n_par,), inside the bounds.

    Attributes
    ----------
    thin : int
        Iterations of a kept draw.
    block : int
        Kept draws of a block.
    burnin : int
        Iterations left out where the user does not say.
    words : str
        How the parts are drawn.
    """

    start: Float
    thin: int = 1
    block: int = _BLOCK
    burnin: int = _BURNIN
    words: str = ""
    name: ClassVar[str] = "conjugate"

    def scheme(self, target: Target) -> Gibbs:
        """The chain on a target."""
        return Gibbs(self, target)

    def describe(self) -> str:
        """How it samples."""
        return f"Gibbs sampling: {self.words}"


@dataclass
class _Here:
    """Where a chain is within an iteration: parameters and states term by term, β, effects and residual."""

    pieces: list[Float]
    own: list[State]
    where: Position


class Gibbs:
    """The chain of a `ConjugatePlan` (see `sampling.base.Scheme`)."""

    def __init__(self, plan: ConjugatePlan, target: Target):
        self.plan, self.target, self.block = plan, target, plan.block
        self.engine: Engine = engine_of(target)
        terms, priors = target.spec.all_terms, target.priors.terms
        parts = list(zip(terms[:-1], priors[:-1], target.coordinates[:-1], strict=True))
        self.updates: list[Update] = [update_of(self.engine, i, *part) for i, part in enumerate(parts)]
        self.updates.append(residual_update(self.engine, terms[-1], priors[-1], target.coordinates[-1]))
        self._stops = np.cumsum([term.structure.n_par for term in terms])[:-1]
        self._density = _evaluable(target, self.updates)

    # ---- states ---------------------------------------------------------------------------------------------

    def begin(self, rng: np.random.Generator) -> State:
        """A start scattered around the plan's, with effects drawn at it."""
        start = self.target.z(self.plan.start[None])[0]
        for attempt in range(_TRIES):
            spread = _SPREAD * 0.8**attempt if attempt < _TRIES - 1 else 0.0
            par = self.target.par((start + spread * rng.standard_normal(len(start)))[None])
            if not np.isfinite(self._density.log_prior(par)[0]):
                continue
            try:
                where = self.engine.draw(self.target.theta(par)[0], rng)
            except NotPositiveDefinite:
                continue
            pieces = np.split(par[0], self._stops)
            own = [update.begin(piece, rng) for update, piece in zip(self.updates, pieces, strict=True)]
            return self._state(_Here(pieces, own, where))
        raise NotPositiveDefinite(0)

    def _state(self, here: _Here) -> State:
        state = {"par": np.concatenate(here.pieces), "beta": here.where.beta}
        for i, W in enumerate(here.where.effects):
            state[f"effects {i}"] = W
        for i, own in enumerate(here.own):
            state |= {f"{name} {i}": value for name, value in own.items()}
        return state

    def _here(self, state: State) -> _Here:
        own: list[State] = []
        for i in range(len(self.updates)):
            names = [key for key in state if key.endswith(f" {i}") and not key.startswith("effects ")]
            own.append({key.rsplit(" ", 1)[0]: state[key] for key in names})
        effects = [state[f"effects {i}"].copy() for i in range(len(self.updates) - 1)]
        nowhere = Marginals(np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0)))
        where = Position(nowhere, state["beta"], effects, self.engine.left(state["beta"], effects))
        return _Here(np.split(state["par"], self._stops), own, where)

    # ---- iterations -----------------------------------------------------------------------------------------

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        """One whole block."""
        here, kept = self._here(state), []
        for iteration in range(1, self.block * self.plan.thin + 1):
            self.step(here, rng)
            if iteration % self.plan.thin == 0:
                par = np.concatenate(here.pieces)
                kept.append((par, here.where.beta, here.where.at, self._beyond(here)))
        return self._piece(kept), self._state(here)

    def step(self, here: _Here, rng: np.random.Generator) -> None:
        """One iteration."""
        structure = self.target.spec.residual.structure
        for i, update in enumerate(self.updates):
            Sigma_e = structure.build(here.pieces[-1])
            here.pieces[i], here.own[i] = update.draw(here.pieces[i], here.own[i], here.where, Sigma_e, rng)
        theta = self.target.theta(np.concatenate(here.pieces)[None])[0]
        here.where = self.engine.draw(theta, rng)

    def _beyond(self, here: _Here) -> float:
        """Log prior densities that are of Σ and the working parameters, because Σ alone has none to evaluate."""
        parts = zip(self.updates, here.pieces, here.own, strict=True)
        return float(sum(u.log_prior(par, own) for u, par, own in parts if _is_closed(u)))  # type: ignore[attr-defined]

    def _piece(self, kept: list[tuple[Float, Float, Marginals, float]]) -> Piece:
        par = np.stack([k[0] for k in kept])
        at = Marginals(*(np.concatenate([getattr(k[2], name) for k in kept]) for name in ("loglik", "beta", "root")))
        lp = self._density.log_posterior(par, at) + np.array([k[3] for k in kept])
        facts: Mapping[str, float] = {"iterations": float(self.block * self.plan.thin)}
        facts = {**facts, "evaluations": facts["iterations"]}
        return Piece(par, self.target.theta(par), np.stack([k[1] for k in kept]), lp, at.loglik, None, facts)


@dataclass(frozen=True)
class _NoDensity:
    """In the place of a prior without a density to evaluate."""

    structure: Structure
    proper: bool = True
    held: ClassVar[None] = None

    def logpdf(self, par: Float) -> Float:
        return np.zeros(len(par))

    def draw(self, rng: np.random.Generator) -> Float:
        raise NotImplementedError

    def describe(self) -> str:
        return ""


def _is_closed(update: Update) -> bool:
    return isinstance(update, Expanded) and update.expansion.closed


def _evaluable(target: Target, updates: list[Update]) -> Target:
    """The target with flat densities in the place of those that cannot be evaluated."""
    if not any(map(_is_closed, updates)):
        return target
    terms = zip(target.priors.terms, updates, strict=True)
    priors = tuple(_NoDensity(prior.structure) if _is_closed(update) else prior for prior, update in terms)
    return replace(target, priors=replace(target.priors, terms=priors))


def plan_conjugate(target: Target, start: Float, thin: int = 1) -> ConjugatePlan:
    """A plan from parameters `start` (n_par,), which may be on the boundary."""
    scheme = Gibbs(ConjugatePlan(start), target)
    how = sorted({update.words for update in scheme.updates if update.words != "held"})
    words = f"β and the effects in one draw ({scheme.engine.words}), covariances by {' and '.join(how)} updates"
    return ConjugatePlan(target.inside(np.asarray(start, dtype=np.float64)), int(thin), words=words)
