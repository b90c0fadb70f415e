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
from .collapsed_plan import BLOCK_SECONDS, explore
from .proposal import Proposal
from .slices import Work, local_steps
from .target import Evaluated, Target, joined

Float = NDArray[np.float64]
PROPOSALS = ("independence", "slice")
CHEAP = 30  # free parameters up to which the collapsed sampler was the better one (docs/architecture.md)
_JUMPS = 0.02  # acceptance below which proposals are not worth their evaluation
_FIRST = np.zeros(1, dtype=np.intp)


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
    every : int
        Iterations from one slice step to the next; 0 for none.  They lead out of where the proposal is too thin.
    jumps : bool
        Whether iterations propose from the mixture at all.
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
    every: int = 40
    jumps: bool = True
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

    def scheme(self, target: Target) -> Collapsed:
        return Collapsed(self, target)

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


class Collapsed:
    """Independence proposals, all of a block evaluated at once, and every `plan.every` iterations a slice step."""

    def __init__(self, plan: CollapsedPlan, target: Target):
        self.plan, self.target, self.block = plan, target, plan.block
        self._proposal = plan.proposal
        self._local = local_steps(target, self._proposal) if plan.every else None

    def begin(self, rng: np.random.Generator) -> State:
        return _start(self.plan, self.target, rng)

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        count, thin, work = self.block * self.plan.thin, self.plan.thin, Work()
        visited, chosen, accepted = self._path(state["z"], count, rng, work)
        got = visited.take(chosen[thin - 1 :: thin])
        facts = {
            "iterations": float(count),
            "accepted": float(accepted),
            "evaluations": float(work.evaluations),
            "expansions": float(work.expansions),
        }
        beta = self.target.draw_beta(got.at, rng)
        piece = Piece(got.par, got.theta, beta, got.lp_par, got.at.loglik, None, facts)
        return piece, {"z": visited.z[chosen[-1]].copy()}

    def _path(
        self, start: Float, count: int, rng: np.random.Generator, work: Work
    ) -> tuple[Evaluated, NDArray[np.intp], int]:
        """All points evaluated, which of them the chain is at after each iteration, and accepted proposals."""
        jumps = count if self.plan.jumps else 0
        parts = [self.target.at(np.vstack([start[None, :], self._proposal.draw(rng, jumps)]))]
        work.evaluations += jumps + 1
        weights = (parts[0].lp - self._proposal.logpdf(parts[0].z)).tolist() if jumps else []
        dice, every = np.log(rng.random(jumps)).tolist(), self.plan.every or count
        at, current, here = weights[0] if jumps else 0.0, 0, parts[0].take(_FIRST)
        chosen, accepted, total = np.empty(count, dtype=np.intp), 0, jumps + 1
        for i in range(count):
            if jumps and dice[i] < weights[i + 1] - at:
                at, current, accepted = weights[i + 1], i + 1, accepted + 1
            if self._local is not None and (i + 1) % every == 0:
                before = parts[0].take(np.array([current])) if current <= jumps else here
                here = self._local.step(before, i // every, rng, work)
                parts.append(here)
                current, total = total, total + 1
                if jumps:
                    at = float(here.lp[0] - self._proposal.logpdf(here.z)[0])
            chosen[i] = current
        return joined(parts), chosen, accepted


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
        return CollapsedPlan(
            np.ones(1), empty, np.zeros((1, 0, 0)), np.full(1, 5.0), "independence", 0, False, thin, 250
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2**31,)))
    found = explore(target, np.asarray(start, dtype=np.float64), rng, proposal, progress)
    q = found.proposal
    each = target.seconds * thin * (1.0 + 5.0 / found.every)
    block = int(np.clip(BLOCK_SECONDS / each, 1, 250))
    jumps = found.facts["expected_acceptance"] > _JUMPS
    return CollapsedPlan(q.weights, q.means, q.roots, q.dfs, found.mode, found.every, jumps, thin, block, found.facts)


def collapsed_is_cheap(of: Target | ModelSpec | Any) -> bool:
    """Whether the collapsed sampler is the better choice: few free parameters of Σ."""
    free = of.d if isinstance(of, Target) else sum(term.structure.n_par for term in of.all_terms)
    return free <= CHEAP
