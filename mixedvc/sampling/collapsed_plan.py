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
from .proposal import Proposal, covariance_root, fitted, one_component, pareto_k
from .slices import Ellipses, Work, axis_step
from .target import Evaluated, Target, joined

Float = NDArray[np.float64]
GOOD_K = 0.7  # Pareto k from which importance weights have no usable variance
LEAST_ACCEPTED = 0.2
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


def truncated(log_weights: Float) -> Float:
    """Weights summing to one, none above √K times their mean (Ionides 2008)."""
    log = log_weights - logsumexp(log_weights)
    log = np.minimum(log, 0.5 * np.log(len(log)) - np.log(len(log)))
    return np.asarray(np.exp(log - logsumexp(log)))


def expected_acceptance(log_weights: Float) -> float:
    """Acceptance rate of independence proposals at stationarity, from weights of points of the proposal.

    E min(w, w')/E w over two independent points: of the sorted weights, each is the smaller against those above it.
    """
    finite = log_weights[np.isfinite(log_weights)]
    if len(finite) < 2:
        return 0.0
    w = np.zeros(len(log_weights))
    w[: len(finite)] = np.exp(finite - finite.max())
    w = np.sort(w)
    n = len(w)
    return float(2.0 * (w * np.arange(n - 1, -1, -1)).sum() / ((n - 1) * w.sum()))


@dataclass(frozen=True)
class Found:
    """What the pilot leaves: a proposal, which chain to run, and what it cost."""

    proposal: Proposal
    mode: str
    facts: dict[str, float]


def explore(
    target: Target, start: Float, rng: np.random.Generator, wanted: str | None, progress: Progress | None
) -> Found:
    """From parameters (n_par,), perhaps on the boundary, to a proposal."""
    count = mode.Counter()
    z, lp, _ = mode.climb(target, target.z(target.inside(start)[None, :])[0], count)
    centre, axes = mode.spread(target, z, lp, count)
    first = _first(centre, axes)
    size, rounds = _effort(target)
    pilot, proposal = Pilot(target), first
    log = np.empty(0)
    for _ in range(rounds):
        log = pilot.add(proposal.broadened(), size, rng)
        if progress is not None:
            progress.step(0)
        if expected_acceptance(log) > 0.85 and pareto_k(log) < 0.5:
            break
        proposal = _refitted(pilot, proposal, target.d)
    facts = {"mode_evaluations": float(count.evaluations)}
    log = pilot.add(proposal.broadened(), size, rng)
    k, accepted = pareto_k(log), expected_acceptance(log)
    evaluations = count.evaluations + pilot.count
    if k >= GOOD_K or accepted < LEAST_ACCEPTED:
        proposal, cost = _by_slices(target, pilot, proposal, size, rng)
        log = pilot.add(proposal.broadened(), size, rng)
        k, accepted = pareto_k(log), expected_acceptance(log)
        evaluations += cost + size
    good = k < GOOD_K and accepted >= LEAST_ACCEPTED
    facts |= {"pilot_evaluations": float(evaluations), "pareto_k": float(k), "expected_acceptance": accepted}
    return Found(proposal.broadened(), wanted or ("independence" if good else "slice"), facts)


def _first(centre: Float, axes: Float) -> Proposal:
    return one_component(centre, covariance_root(1.2 * axes @ axes.T), 5.0)


def _effort(target: Target) -> tuple[int, int]:
    """Points of a pilot batch and batches: more where an evaluation is cheap."""
    d = target.d
    most = int(PILOT_SECONDS / target.seconds)
    size = int(np.clip(most // 6, 50 + 10 * d, 300 + 60 * d))
    return size, 6


def _refitted(pilot: Pilot, before: Proposal, d: int) -> Proposal:
    z, weights = pilot.weighted()
    if len(z) < d + 2:
        return before
    return fitted(z, weights, before, most=4 if d <= 6 else 2)


def _by_slices(
    target: Target, pilot: Pilot, proposal: Proposal, size: int, rng: np.random.Generator
) -> tuple[Proposal, int]:
    """A proposal fitted to a slice-sampled chain, twice: where importance weights teach nothing."""
    work = Work()
    z, lp = np.vstack(pilot.z), np.concatenate(pilot.lp)
    here = target.at(z[[int(np.argmax(lp))]])
    for _ in range(2):
        chain, here = slice_run(target, here, proposal, max(size // 2, 8 * target.d), rng, work)
        points = chain.z[len(chain.z) // 5 :]
        proposal = fitted(points, np.full(len(points), 1.0 / len(points)), proposal, most=4 if target.d <= 6 else 2)
    return proposal, work.evaluations


def slice_run(
    target: Target, here: Evaluated, proposal: Proposal, count: int, rng: np.random.Generator, work: Work
) -> tuple[Evaluated, Evaluated]:
    """`count` iterations from one point: all of them, and the last."""
    mean, cov = proposal.moments()
    root = covariance_root(cov)
    ellipses = Ellipses(target, mean, root, 5.0, 3 if target.vectorised else 1)
    every = 1 if target.d <= 4 else 3
    points = []
    for i in range(count):
        here = ellipses.step(here, rng, work)
        if i % every == 0:
            axis = root[:, int(rng.integers(target.d))]
            here = axis_step(target, here, 2.0 * axis, rng, work)
        points.append(here)
    return joined(points), here
