"""Collapsed sampling: chains on the posterior of the variance parameters alone, β and u integrated out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..progress import Progress
from .base import Piece, State
from .collapsed_plan import BLOCK_SECONDS, explore, slice_run
from .proposal import Proposal
from .slices import Work
from .target import Evaluated, Target

Float = NDArray[np.float64]
PROPOSALS = ("independence", "slice")
CHEAP = 12  # free parameters up to which the collapsed sampler is the better one


@dataclass(frozen=True)
class CollapsedPlan:
    """A mixture of multivariate t proposals, and what is done with it.

    Attributes
    ----------
    weights, dfs : (G,)
    means : (G, d)
    roots : (G, d, d)
        See `Proposal`.
    mode : "independence" | "slice"
        Metropolis-Hastings with the mixture as proposal, or slice sampling with its first two moments.
    thin : int
        Iterations of a kept draw.
    block : int
        Kept draws of a block.
    facts : mapping of str to float
        ``pilot_evaluations``, ``pareto_k`` of the proposal's weights, ``expected_acceptance`` of independence chains.
    """

    weights: Float
    means: Float
    roots: Float
    dfs: Float
    mode: str = "independence"
    thin: int = 1
    block: int = 100
    facts: Mapping[str, float] = field(default_factory=dict)
    name: ClassVar[str] = "collapsed"

    @property
    def proposal(self) -> Proposal:
        return Proposal(self.weights, self.means, self.roots, self.dfs)

    @property
    def burnin(self) -> int:
        """Iterations that a chain needs to forget where it began."""
        return 20 if self.mode == "independence" else 20 + 10 * self.means.shape[1]

    def scheme(self, target: Target) -> Independence | Slices:
        return Independence(self, target) if self.mode == "independence" else Slices(self, target)

    def describe(self) -> str:
        if not self.means.shape[1]:
            return "independent draws: no variance parameter is free"
        if self.mode == "independence":
            return (
                "independence Metropolis-Hastings on the marginal posterior of the variances "
                f"(Pareto k of the proposal {self.facts.get('pareto_k', np.nan):.2f})"
            )
        return "slice sampling of the marginal posterior of the variances"


def _start(plan: CollapsedPlan, target: Target, rng: np.random.Generator) -> State:
    """An overdispersed point: one of 20 of a wide proposal, drawn by the roots of their importance weights."""
    for spread in (1.5, 1.0, 0.5, 0.25):
        z = plan.proposal.draw(rng, 20, spread)
        at = target.at(z)
        usable = np.isfinite(at.lp)
        if usable.any():
            weight = np.where(usable, 0.5 * (at.lp - plan.proposal.logpdf(z)), -np.inf)
            return {"z": z[int(np.argmax(weight - np.log(-np.log(rng.random(20)))))]}
    return {"z": plan.means[int(np.argmax(plan.weights))].copy()}


class Independence:
    """Metropolis-Hastings with the plan's proposals; a block is evaluated at once."""

    def __init__(self, plan: CollapsedPlan, target: Target):
        self.plan, self.target, self.block = plan, target, plan.block

    def begin(self, rng: np.random.Generator) -> State:
        return _start(self.plan, self.target, rng)

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        count, proposal = self.block * self.plan.thin, self.plan.proposal
        z = np.vstack([state["z"][None, :], proposal.draw(rng, count)])
        at = self.target.at(z)
        weight = at.lp - proposal.logpdf(z)
        chosen, accepted = _walk(weight, np.log(rng.random(count)))
        got = at.take(chosen[self.plan.thin - 1 :: self.plan.thin])
        facts = {
            "iterations": float(count),
            "accepted": float(accepted),
            "evaluations": float(count + 1),
            "expansions": 0.0,
        }
        return _piece(self.target, got, rng, facts), {"z": z[chosen[-1]].copy()}


def _walk(weight: Float, dice: Float) -> tuple[NDArray[np.intp], int]:
    """Which point the chain is at after each proposal, `weight` (count + 1,) beginning with where it starts."""
    weights, throws = weight.tolist(), dice.tolist()
    now, current, accepted, chosen = weights[0], 0, 0, []
    for i, (candidate, throw) in enumerate(zip(weights[1:], throws, strict=True), start=1):
        if throw < candidate - now:
            current, now, accepted = i, candidate, accepted + 1
        chosen.append(current)
    return np.array(chosen, dtype=np.intp), accepted


class Slices:
    """Elliptical and axis-wise slice steps in turn."""

    def __init__(self, plan: CollapsedPlan, target: Target):
        self.plan, self.target, self.block = plan, target, plan.block

    def begin(self, rng: np.random.Generator) -> State:
        return _start(self.plan, self.target, rng)

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        count, work = self.block * self.plan.thin, Work(evaluations=1)
        here = self.target.at(state["z"][None, :])
        every, here = slice_run(self.target, here, self.plan.proposal, count, rng, work)
        got = every.take(np.arange(self.plan.thin - 1, count, self.plan.thin))
        facts = {
            "iterations": float(count),
            "accepted": float(count),
            "evaluations": float(work.evaluations),
            "expansions": float(work.expansions),
        }
        return _piece(self.target, got, rng, facts), {"z": here.z[0].copy()}


def _piece(target: Target, got: Evaluated, rng: np.random.Generator, facts: dict[str, float]) -> Piece:
    return Piece(got.par, got.theta, target.draw_beta(got.at, rng), got.lp_par, got.at.loglik, None, facts)


def plan_collapsed(
    target: Target,
    start: Float,
    thin: int = 1,
    *,
    seed: int = 0,
    proposal: str | None = None,
    progress: Progress | None = None,
) -> CollapsedPlan:
    """A proposal for the posterior from `start` (n_par,), e.g. the REML estimate, which may be on the boundary.

    Parameters
    ----------
    target : Target
    start : (n_par,)
    thin : int
        Iterations of a kept draw.
    seed : int
        Of the pilot's random numbers: the same plan for the same seed.
    proposal : "independence" | "slice", optional
        Which chain to run; by default independence proposals where their importance weights allow it.
    progress : Progress, optional

    Raises
    ------
    OptionError
        An unknown `proposal`.
    """
    if proposal is not None and proposal not in PROPOSALS:
        raise OptionError(f"proposal={proposal!r:.60}: one of {', '.join(map(repr, PROPOSALS))} is needed")
    if target.d == 0:
        empty = np.zeros((1, 0))
        return CollapsedPlan(np.ones(1), empty, np.zeros((1, 0, 0)), np.full(1, 5.0), "independence", thin, 100)
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2**31,)))
    found = explore(target, np.asarray(start, dtype=np.float64), rng, proposal, progress)
    q = found.proposal
    each = target.seconds * thin * (1.0 if found.mode == "independence" else 6.0)
    block = int(np.clip(BLOCK_SECONDS / each, 1, 250))
    return CollapsedPlan(q.weights, q.means, q.roots, q.dfs, found.mode, thin, block, found.facts)


def collapsed_is_cheap(of: Target | ModelSpec | Any) -> bool:
    """Whether the collapsed sampler is the better choice: few free parameters of Σ."""
    free = of.d if isinstance(of, Target) else sum(term.structure.n_par for term in of.all_terms)
    return free <= CHEAP
