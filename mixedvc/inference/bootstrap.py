"""Refits of one model to many responses drawn from it, block by block: the same draws whoever computes a block.

Replicates come in blocks (of at most `MOST`, fewer of many rows), each with a random stream of its own (`SeedSequence`
with the block's number as its spawn key), so that neither the number of processes nor an interruption changes a draw.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError, MixedVCWarning
from ..estimators.admissible import admissible
from ..estimators.again import Refits, refits
from ..estimators.base import Estimator, PointEstimate
from ..likelihood.base import Likelihood
from ..likelihood.panel import with_responses
from .fixed import LeastSquares
from .resample import Resampler

Float = NDArray[np.float64]
MOST = 50
_CELLS = 5_000_000  # of the responses of one block


@dataclass(frozen=True)
class Model:
    """What is fitted to every response.

    Attributes
    ----------
    spec : ModelSpec
    estimator : Estimator
    estimate : PointEstimate
        Of the response at hand: where refits start.
    likelihood : Likelihood
        Carries the response at hand; evaluates the fixed effects of moment estimates too.
    """

    spec: ModelSpec
    estimator: Estimator
    estimate: PointEstimate
    likelihood: Likelihood

    def refits(self) -> Refits:
        """Fits of other responses."""
        return refits(self.estimator, self.spec, self.estimate, self.likelihood)


@dataclass(frozen=True)
class Plan:
    """A bootstrap before it runs: where responses come from, the models fitted to each, and the seed."""

    resampler: Resampler
    models: tuple[Model, ...]
    entropy: int
    nsim: int

    @property
    def size(self) -> int:
        """Replicates in a block; it depends on the data alone."""
        return max(1, min(MOST, _CELLS // max(len(self.resampler.mean), 1)))

    @property
    def blocks(self) -> int:
        """How many blocks of replicates there are."""
        return -(-self.nsim // self.size)

    def responses(self, block: int) -> Float:
        """(n, at most `size`) the responses of one block; those beyond `nsim` are drawn and left out."""
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(block,)))
        return self.resampler.draw(rng, self.size)[:, : min(self.size, self.nsim - block * self.size)]

    def light(self) -> Plan:
        """Without what only new data would need: what is sent to other processes."""
        models = [replace(m, spec=replace(m.spec, source=None)) for m in self.models]
        return replace(self, models=tuple(models))


@dataclass(frozen=True)
class Refitted:
    """One model fitted to one response; `estimate` is None where that failed, with the reason in `problem`."""

    estimate: PointEstimate | None
    beta: Float
    problem: str = ""


@dataclass
class Block:
    """The replicates of one block, model by model; `statistics` where a function was asked for."""

    number: int
    fits: list[tuple[Refitted, ...]] = field(default_factory=list)
    interrupted: bool = False


Visit = Callable[[int, tuple[Refitted, ...], Float, tuple[Likelihood, ...]], None]


def run_block(
    plan: Plan, ways: Sequence[Refits], number: int, visit: Visit | None = None, step: Callable[[], None] | None = None
) -> Block:
    """Fit every model to every response of a block.

    Parameters
    ----------
    ways : sequence of Refits
        How each model is fitted, prepared once.
    visit : callable, optional
        Sees each replicate: its number, fits, response and likelihoods.
    step : callable, optional
        Called after each replicate.
    """
    out, Y = Block(number), plan.responses(number)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)  # singular and unfinished refits are counted instead
            carriers = [with_responses(model.likelihood, Y) for model in plan.models]
            calls = [way.prepare(Y, own) for way, own in zip(ways, carriers, strict=True)]
            for b, y in enumerate(Y.T):  # each is let go after its turn: it may keep n×n factors
                own = tuple(carrier.pop(0) for carrier in carriers)
                due = [call.pop(0) for call in calls]
                fits = tuple(_refit(*one) for one in zip(plan.models, due, [y] * len(own), own, strict=True))
                if visit is not None:
                    visit(number * plan.size + b, fits, y, own)
                out.fits.append(fits)
                if step is not None:
                    step()
    except KeyboardInterrupt:
        out.interrupted = True
    return out


def _refit(model: Model, call: Callable[[], PointEstimate], y: Float, likelihood: Likelihood) -> Refitted:
    """One fit; what it raises is kept in words."""
    try:
        estimate = call()
        if not estimate.converged and estimate.message.startswith("interrupted"):
            raise KeyboardInterrupt
        beta = fixed_effects(model.spec, estimate, y, likelihood)
    except (MixedVCError, ArithmeticError, np.linalg.LinAlgError) as error:
        return Refitted(None, np.full(model.spec.p, np.nan), f"{type(error).__name__}: {error}")
    problem = "" if estimate.converged else f"not converged: {estimate.message}"
    return Refitted(replace(estimate, trace=()), beta, problem)


def fixed_effects(spec: ModelSpec, estimate: PointEstimate, y: Float, likelihood: Likelihood) -> Float:
    """β̂ (p,) as the estimator's results give it: by GLS at the estimate, or by least squares."""
    if not spec.p:
        return np.empty(0)
    if estimate.loglik is not None:
        return np.array(likelihood.at(estimate.theta).beta)
    theta = admissible(replace(spec, y=y), estimate.theta)
    if estimate.fixed_effects == "ols":
        return np.array(LeastSquares(replace(spec, y=y), theta, lambda: likelihood.at(theta)).beta)
    return np.array(likelihood.at(theta).beta)
