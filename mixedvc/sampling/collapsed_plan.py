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
_PLENTY, _FEWER = 0.65, 0.96  # efficiency that is enough, and what a dimension takes of it
_BATCHES, _CHECKS, _WALKERS, _POINTS = 5, 4, 6, 1200
_GUARD = 0.1, 0.3  # most, and over d: share of a proposal along ridges (defensive mixture: Hesterberg 1995)
_POWER = 0.5  # of the density that the tails of a proposal are for
PILOT_SECONDS, BLOCK_SECONDS = 20.0, 2.0


@dataclass(frozen=True)
class Cloud:
    """Points (K, d) that stand for the posterior, with weights (K,) that sum to one, and lp (K,)."""

    z: Float
    weights: Float
    lp: Float

    def tempered(self, power: float) -> Float:
        """(K,) weights that make the points stand for the posterior density to a power below one."""
        with np.errstate(divide="ignore"):
            return truncated(np.log(self.weights) + (power - 1.0) * self.lp)

    def beside(self, z: Float, lp: Float) -> Cloud:
        """With the points of Markov chains, both weighed by the number of draws that they are worth."""
        worth = 1.0 / float(np.square(self.weights).sum()), 0.5 * len(z)
        share = worth[0] / (worth[0] + worth[1])
        weights = np.append(share * self.weights, np.full(len(z), (1.0 - share) / len(z)))
        return Cloud(np.vstack([self.z, z]), weights, np.append(self.lp, lp))


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

    def cloud(self) -> Cloud:
        """All points, weighted by the mixture of all proposals, the few largest weights cut down."""
        z, lp = np.vstack(self.z), np.concatenate(self.lp)
        sizes = np.log([len(part) for part in self.z])
        parts = np.stack([size + q.logpdf(z) for size, q in zip(sizes, self.proposals, strict=True)])
        log = lp - logsumexp(parts, axis=0)
        usable = np.isfinite(log)
        return Cloud(z[usable], truncated(log[usable]), lp[usable])


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
    z, lp = mode.climb(target, target.z(target.inside(start)[None, :])[0], count)
    centre, axes = mode.spread(target, z, lp, count)
    scale = axes @ axes.T
    proposal = _single(centre, 1.2 * scale).with_tails(_single(centre, 3.0 * scale))
    size = _effort(target)
    pilot, work = Pilot(target), Work()
    log = pilot.add(proposal, size, rng)
    guard = _along(mode.ridges(target, z, lp, count, 4 * size), scale)
    if guard is not None:
        pilot.add(guard, size, rng)
    plenty, last = _PLENTY * _FEWER**target.d, 0.0
    for batch in range(_BATCHES):
        now = expected_efficiency(log)
        if batch and pareto_k(log) < 0.5 and (now > plenty or 0.05 < now < 1.15 * last):
            break
        last = now
        proposal = _learnt(pilot.cloud(), proposal, guard, rng)
        log = pilot.add(proposal, size, rng)
    kept, best, judged = proposal, -np.inf, log
    for _ in range(_CHECKS):
        walked = _walk(pilot, proposal, size, rng, work)
        there = expected_efficiency(log, walked[1] - proposal.logpdf(walked[0]))
        efficiency = min(expected_efficiency(log), there)
        learnt = _learnt(pilot.cloud().beside(*walked), proposal, guard, rng)
        before = best
        if efficiency > best:
            best, kept, judged = efficiency, learnt, log
        if efficiency > plenty or (efficiency < 1.15 * before and best > 0.15):
            break
        proposal = learnt
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
    return Found(kept, chain, 1 if chain == "slice" else 40 if best > 0.4 else 10, facts)


def _single(centre: Float, scale: Float) -> Proposal:
    return one_component(centre, covariance_root(scale), 5.0)


def _along(ridges: list[tuple[int, Float]], scale: Float) -> Proposal | None:
    """Components at points of ridges, a step of them long, across as wide as the mode; None where there are none."""
    if not ridges:
        return None
    roots = []
    for i, _ in ridges:
        S = 1.5 * scale
        S[i], S[:, i] = 0.0, 0.0
        S[i, i] = mode.RIDGE_STEP**2
        roots.append(covariance_root(S))
    points = np.stack([z for _, z in ridges])
    G = len(points)
    return Proposal(np.full(G, 1.0 / G), points, np.stack(roots), np.full(G, 5.0))


def _effort(target: Target) -> int:
    """Points of a pilot batch: more where an evaluation is cheap."""
    d = target.d
    return int(np.clip(PILOT_SECONDS / target.seconds / 8.0, 50 + 10 * d, min(100 + 100 * d, 300 + 60 * d)))


def _learnt(cloud: Cloud, before: Proposal, guard: Proposal | None, rng: np.random.Generator) -> Proposal:
    """Fitted to the cloud, with tails fitted to a power of the density: wider, and wider where the tails are long.

    `guard` keeps its share, whatever the points say.
    """
    d = cloud.z.shape[1]
    if len(cloud.z) < d + 2:
        return before
    most = 6 if d <= 6 else 3 if d <= 12 else 1
    body = fitted(*resampled(cloud.z, cloud.weights, _POINTS, rng), before, most, rng)
    wide = fitted(*resampled(cloud.z, cloud.tempered(_POWER), _POINTS, rng), before, 1, rng)
    whole = body.with_tails(wide)
    return whole if guard is None else whole.beside(guard, min(_GUARD[0], _GUARD[1] / d))


def _walk(pilot: Pilot, proposal: Proposal, size: int, rng: np.random.Generator, work: Work) -> tuple[Float, Float]:
    """Points of short slice chains from dispersed pilot points, and their lp.

    They go where the proposal does not, which its own points cannot tell.
    """
    target, cloud = pilot.target, pilot.cloud()
    local, chance = local_steps(target, proposal), np.sqrt(cloud.weights)
    points, lp = [], []
    for i in rng.choice(len(cloud.z), size=_WALKERS, p=chance / chance.sum()):
        here = target.at(cloud.z[[i]])
        for step in range(max(size // (4 * _WALKERS), 4)):
            here = local.step(here, step, rng, work)
            if step:
                points.append(here.z[0])
                lp.append(float(here.lp[0]))
    return np.array(points), np.array(lp)
