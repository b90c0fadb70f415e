"""The posterior by sampling: θ on its marginal posterior or by conjugate steps, β and u drawn exactly given θ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from os import PathLike
from typing import Any, ClassVar

import numpy as np

from ..design.spec import ModelSpec
from ..errors import OptionError, warn
from ..likelihood.base import Likelihood
from ..likelihood.choose import choose
from ..linalg.processes import check_workers
from ..priors.resolve import ModelPriors, resolve
from ..priors.state import from_state, to_state
from ..progress import Progress
from ..sampling.base import Draws
from ..sampling.chains import Run, run
from ..sampling.chains import extend as go_on
from ..sampling.target import Target
from .base import PosteriorEstimate, estimators
from .gibbs_plans import PROPOSALS, SCHEMES, chosen_plan
from .gibbs_priors import with_held
from .gibbs_start import refuse_exact_fit, started
from .gibbs_store import opened, opened_again
from .gibbs_summary import posterior_estimate

_LARGEST = 2**31 - 1  # draws of a chain: far beyond use, and safe as an index anywhere


@estimators.register("gibbs")
@dataclass(frozen=True)
class Gibbs:
    """Draws from the posterior of the variance components, fixed and random effects.

    Parameters
    ----------
    priors : prior or mapping, optional
        Priors by term, ``"residual"`` and ``"fixed"``: ``{"animal": mv.priors.HalfT(3, 1)}``; one prior stands for all
        terms, `mixedvc.priors.VarianceShare` for the whole model.  Terms without one get the default prior.
    draws : int
        Kept draws of each chain.
    burnin : int, optional
        Iterations left out at the beginning of each chain (rounded up to a multiple of `thin`); by default what the
        scheme needs, which is none where its draws are independent.
    thin : int
        Every `thin`-th iteration is kept; `draws` counts what is kept.
    chains : int
    workers : int, optional
        Processes that run the chains; by default this one where the work takes seconds, else one for each chain as far
        as there are processors.  The draws are the same for any number.
    scheme : "auto" | "collapsed" | "conjugate" | "shares"
        "collapsed" samples the variances with β and u integrated out, "conjugate" alternates (β, u) and the variances,
        "shares" enumerates a `VarianceShare` prior; "auto" takes "shares" for such a prior, "collapsed" where it is
        cheap, else "conjugate".  The summary says which ran, and why.
    proposal : "independence" | "slice", optional
        How the collapsed scheme moves: proposals from an approximation of the posterior, or slice sampling; by default
        the first, unless its approximation is poor.
    save_random : bool
        Keep the random effects of every draw.  Without it they are drawn when they are asked for, the same ones.
    store : str or Path, optional
        A new or empty folder to which draws are written as they come: for runs that do not fit in memory, or must
        survive a crash; ``mixedvc.load(folder)`` opens it.
    fixed_varcomp : mapping, optional
        Components held at given values: ``{"animal": 20.0}`` is the prior ``Fixed(20.0)``.
    likelihood : str, optional
        Registered likelihood to evaluate with; the cheapest for many θ by default.
    """

    priors: Any = None
    draws: int = 1000
    burnin: int | None = None
    thin: int = 1
    chains: int = 4
    workers: int | None = None
    scheme: str = "auto"
    proposal: str | None = None
    save_random: bool = False
    store: Any = None
    fixed_varcomp: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "gibbs"
    title: ClassVar[str] = "Gibbs"
    restricted: ClassVar[bool] = True
    purpose: ClassVar[str] = "sample"
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood", "prior"})
    provides: ClassVar[frozenset[str]] = frozenset({"draws", "theta", "beta", "blup"})

    def __post_init__(self) -> None:
        check_count(self.draws, "draws", 1, "how many draws of each chain are kept, e.g. draws=1000")
        check_count(self.thin, "thin", 1, "1 keeps every iteration, 10 every tenth")
        check_count(self.chains, "chains", 1, "four chains show whether they agree")
        if self.burnin is not None:
            check_count(
                self.burnin, "burnin", 0, "iterations left out before the draws that are kept, 0 for none, or None"
            )
        if self.workers is not None:
            check_workers(self.workers)
        if not isinstance(self.scheme, str) or self.scheme not in SCHEMES:
            raise OptionError(f"scheme={self.scheme!r:.60}: one of {', '.join(map(repr, SCHEMES))} is needed")
        if not (self.proposal is None or (isinstance(self.proposal, str) and self.proposal in PROPOSALS)):
            raise OptionError(f"proposal={self.proposal!r:.60}: 'independence', 'slice' or None is needed")
        if self.proposal is not None and self.scheme not in ("auto", "collapsed"):
            raise OptionError(
                f"proposal={self.proposal!r} is of scheme='collapsed', and scheme={self.scheme!r} was asked"
            )
        if self.store is not None and not (isinstance(self.store, (str, PathLike)) and str(self.store).strip()):
            raise OptionError(f"store={self.store!r:.60}: the path of a new or empty folder is needed")
        if not isinstance(self.save_random, bool):
            raise OptionError(f"save_random={self.save_random!r:.60}: True or False is needed")

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PosteriorEstimate:
        """Sample; `rng` gives the seed behind every draw, its own where nothing was drawn from it yet.

        Raises
        ------
        OptionError, IdentifiabilityError
            Priors that do not fit the model, before anything is sampled.
        DegenerateResponse
            Fixed effects that fit the response exactly: there is no posterior.
        ConvergenceError
            A chain that meets a number that is not finite.
        """
        priors = self.bound_priors(spec)
        reason = ""
        if likelihood is None:
            likelihood, reason = choose(spec, reml=True, purpose="sample", name=self.likelihood)
        refuse_exact_fit(spec, likelihood, priors)
        target = Target(spec, likelihood, priors)
        seed = seed_of(np.random.default_rng() if rng is None else rng)
        plan, why = chosen_plan(target, lambda: started(target), self.scheme, self.proposal, int(self.thin), seed)
        asked = Run(
            draws=int(self.draws),
            burnin=int(plan.burnin if self.burnin is None else self.burnin),
            thin=int(self.thin),
            chains=int(self.chains),
            seed=seed,
            workers=self.workers,
            save_random=self.save_random,
        )
        about = {"method": self.name, "likelihood": likelihood.name, "reason": reason, "why": why}
        sink = None if self.store is None else opened(self.store, spec, self.stated(priors), plan, asked, about)
        draws = run(target, plan, asked, progress, sink)
        _say_interrupted(draws, asked.draws)
        return posterior_estimate(spec, draws, priors, about)

    def bound_priors(self, spec: ModelSpec) -> ModelPriors:
        """The priors of `spec`, held components among them."""
        return resolve(spec, with_held(spec, self.priors, self.fixed_varcomp))

    def stated(self, priors: ModelPriors) -> Gibbs:
        """The same with the priors as they were resolved: without functions, and with what is held."""
        return replace(self, priors=priors.stated, fixed_varcomp=None)

    def to_plain(self) -> dict[str, Any]:
        """The options as plain values, for saving; a folder for draws belongs to one run and is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return {**values, "priors": to_state(self.priors), "store": None}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Gibbs:
        """The estimator from what `to_plain` gave."""
        return cls(**{**values, "priors": from_state(values["priors"])})


def extend(
    spec: ModelSpec,
    estimate: PosteriorEstimate,
    likelihood: Likelihood | None,
    draws: int,
    *,
    workers: int | None = None,
    progress: bool | None = None,
) -> PosteriorEstimate:
    """The estimate after `draws` more draws of each chain: bit for bit what a longer run would have given.

    An interruption returns the draws that every chain has reached, with a warning.

    Raises
    ------
    OptionError
        A number of draws below one.
    """
    check_count(draws, "draws", 1, "how many more draws of each chain are wanted")
    if workers is not None:
        check_workers(workers)
    if likelihood is None:
        likelihood = choose(spec, reml=True, purpose="sample", name=estimate.likelihood or None)[0]
    before: Draws = estimate.draws
    with Progress(estimate.method, show=progress) as bar:
        after = go_on(Target(spec, likelihood, estimate.priors), before, int(draws), workers, bar, opened_again(before))
    _say_interrupted(after, before.count + draws)
    about = {**estimate.extra["about"], "likelihood": likelihood.name}
    return replace(
        posterior_estimate(spec, after, estimate.priors, about),
        reason=estimate.reason,
        extra={**estimate.extra, "about": about},
    )


def check_count(value: object, name: str, least: int, remedy: str) -> None:
    """Refuse what is no whole number from `least` on."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or not least <= int(value) <= _LARGEST:  # type: ignore[call-overload]
        at_least = "zero or above" if least == 0 else "at least 1"
        raise OptionError(f"{name}={value!r:.60}: a whole number, {at_least}, is needed ({remedy})")


def seed_of(rng: np.random.Generator) -> int:
    """The seed that made a generator, if nothing was drawn from it and people can type it; else a new one from it."""
    made_from = getattr(rng.bit_generator, "seed_seq", None)
    entropy, key = getattr(made_from, "entropy", None), getattr(made_from, "spawn_key", None)
    drawn = int(rng.integers(2**63))  # another fit from the same generator has other draws
    if not isinstance(entropy, (int, np.integer)) or key != () or not 0 <= entropy < 2**63:
        return drawn
    return int(entropy) if drawn == int(np.random.default_rng(int(entropy)).integers(2**63)) else drawn


def _say_interrupted(draws: Draws, wanted: int) -> None:
    if draws.interrupted:
        warn(
            f"interrupted: each of the {draws.chains} chains has {draws.count:,} of {wanted:,} draws; "
            f"fit.extend({wanted - draws.count}) goes on from there"
        )
