"""How the collapsed sampler is set up: mode, pilot batches that teach the proposal, and the choice between two chains.

Every pilot point counts in every later fit, weighted by the mixture of all proposals so far (adaptive multiple
importance sampling: Cornuet, Marin, Mira & Robert 2012, Scandinavian Journal of Statistics 39:798).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from ..progress import Progress
from . import mode
from .proposal import Proposal, covariance_root, fitted, one_component, resampled
from .proposal_weights import GOOD_K, expected_acceptance, expected_efficiency, pareto_k, truncated
from .slices import Work, local_steps
from .target import Target

Float = NDArray[np.float64]
LEAST_EFFICIENCY = 0.08  # of independence chains, below which slice sampling does as well
_PLENTY = 0.6
_BATCHES, _CHECKS, _WALKERS = 5, 4, 6
PILOT_SECONDS, BLOCK_SECONDS = 20.0, 2.0


@dataclass
class Pilot:
    """Points so far, and the proposals they came from."""

    target: Target
    z: list[Float] = field(default_factory=list)
    lp: list[Float] = field(default_factory=list)
    proposals: list[Proposal] = field(default_factory=list)

    def add(self, proposal: Proposal, count: int, rng: np.random.Generator) -> Float:
        """Draw and evaluate; log importance weights of these points alone."""
        z = proposal.draw(rng, count)
        lp = self.target.at(z).lp
        self.z.append(z)
        self.lp.append(lp)
        self.proposals.append(proposal)
        return lp - proposal.logpdf(z)

    @property
    def count(self) -> int:
        return sum(len(z) for z in self.z)

    def weighted(self) -> tuple[Float, Float]:
        """All points with weights that sum to one, the few largest cut down where they would rule alone."""
        z, lp = np.vstack(self.z), np.concatenate(self.lp)
        sizes = np.log([len(part) for part in self.z])
        parts = np.stack([size + q.logpdf(z) for size, q in zip(sizes, self.proposals, strict=True)])
        log = lp - logsumexp(parts, axis=0)
        usable = np.isfinite(log)
        z, log = z[usable], log[usable]
        return z, truncated(log)


@dataclass(frozen=True)
class Found:
    """What the pilot leaves: a proposal, which chain to run, and what it cost."""

    proposal: Proposal
    mode: str
    every: int
    facts: dict[str, float]


def explore(
    target: Target, start: Float, rng: np.random.Generator, wanted: str | None, progress: Progress | None
) -> Found:
    """From parameters (n_par,), perhaps on the boundary, to a proposal."""
    count = mode.Counter()
    z, lp, _ = mode.climb(target, target.z(target.inside(start)[None, :])[0], count)
    centre, axes = mode.spread(target, z, lp, count)
    proposal = one_component(centre, covariance_root(1.2 * axes @ axes.T), 5.0).broadened()
    size = _effort(target)
    pilot, work, best, most = Pilot(target), Work(), -np.inf, proposal
    log = pilot.add(proposal, size, rng)
    for batch in range(_BATCHES):
        if batch and _enough(log):
            break
        proposal = _learnt(*pilot.weighted(), proposal, rng)
        log = pilot.add(proposal, size, rng)
    for _ in range(_CHECKS):
        walked = _walk(pilot, proposal, size, rng, work)
        efficiency = min(expected_efficiency(log), expected_efficiency(log, walked[1]))
        if efficiency > best:
            best, most, judged = efficiency, proposal, log
        if efficiency > _PLENTY:
            break
        proposal = _learnt(*_both(pilot.weighted(), walked[0]), proposal, rng)
        log = pilot.add(proposal, size, rng)
        if progress is not None:
            progress.step(0)
    k = pareto_k(judged)
    chain = wanted or ("independence" if k < GOOD_K and best > LEAST_EFFICIENCY else "slice")
    facts = {
        "pilot_evaluations": float(count.evaluations + pilot.count + work.evaluations),
        "pareto_k": float(k),
        "expected_acceptance": expected_acceptance(judged),
        "expected_efficiency": best,
    }
    return Found(most, chain, 1 if chain == "slice" else 40 if best > 0.4 else 10, facts)


def _enough(log_weights: Float) -> bool:
    return expected_efficiency(log_weights) > _PLENTY and pareto_k(log_weights) < 0.5


def _effort(target: Target) -> int:
    """Points of a pilot batch: more where an evaluation is cheap."""
    d = target.d
    return int(np.clip(PILOT_SECONDS / target.seconds / 8.0, 50 + 10 * d, 300 + 60 * d))


def _learnt(z: Float, weights: Float, before: Proposal, rng: np.random.Generator) -> Proposal:
    d = z.shape[1]
    if len(z) < d + 2:
        return before
    most = 6 if d <= 6 else 3 if d <= 12 else 1
    return fitted(*resampled(z, weights, 2000, rng), before, most, rng).broadened()


def _walk(pilot: Pilot, proposal: Proposal, size: int, rng: np.random.Generator, work: Work) -> tuple[Float, Float]:
    """Points of short slice chains from dispersed pilot points, and their log weights.

    They go where the proposal does not, which its own points cannot tell.
    """
    target = pilot.target
    local = local_steps(target, proposal)
    z, weights = pilot.weighted()
    begin = rng.choice(len(z), size=_WALKERS, p=np.sqrt(weights) / np.sqrt(weights).sum())
    points, log = [], []
    for i in begin:
        here = target.at(z[[i]])
        for step in range(max(size // (4 * _WALKERS), 4)):
            here = local.step(here, step, rng, work)
            if step:
                points.append(here.z[0])
                log.append(here.lp[0])
    walked = np.array(points)
    return walked, np.array(log) - proposal.logpdf(walked)


def _both(weighted: tuple[Float, Float], walked: Float) -> tuple[Float, Float]:
    """Weighted points and those of the walk together, each set by the number of draws that it is worth."""
    z, weights = weighted
    worth = 1.0 / float(np.square(weights).sum()), 0.5 * len(walked)
    share = worth[0] / (worth[0] + worth[1])
    return np.vstack([z, walked]), np.append(share * weights, np.full(len(walked), (1.0 - share) / len(walked)))
