"""The posterior by sampling: θ on its marginal posterior or by conjugate steps, β and u drawn exactly given θ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..likelihood.choose import choose
from ..priors.resolve import ModelPriors, resolve
from ..progress import Progress
from ..sampling.base import Draws
from ..sampling.chains import Run, run
from ..sampling.collapsed import plan_collapsed
from ..sampling.target import Target
from .base import PosteriorEstimate, estimators
from .reml import REML


@estimators.register("gibbs")
@dataclass(frozen=True)
class Gibbs:
    """Draws from the posterior of the variance components, fixed and random effects.

    Parameters
    ----------
    priors : mapping, optional
        Priors by term, ``"residual"`` and ``"fixed"``.
    draws, burnin, thin, chains : int
        Draws kept of each chain, iterations left out first, every thin-th kept.
    likelihood : str, optional
        Registered likelihood to evaluate with; the cheapest for many θ by default.
    """

    priors: Mapping[str, Any] | None = None
    draws: int = 1000
    burnin: int = 0
    thin: int = 1
    chains: int = 4
    likelihood: str | None = None

    name: ClassVar[str] = "gibbs"
    title: ClassVar[str] = "Gibbs"
    restricted: ClassVar[bool] = True
    purpose: ClassVar[str] = "many"
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood", "prior"})
    provides: ClassVar[frozenset[str]] = frozenset({"draws", "theta", "beta", "blup"})

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PosteriorEstimate:
        """Sample; `rng` gives the seed behind every draw."""
        reason = ""
        bound = resolve(spec, self.priors)
        if likelihood is None:
            likelihood, reason = choose(spec, reml=True, purpose="many", name=self.likelihood)
        target = Target(spec, likelihood, bound)
        seed = int((rng or np.random.default_rng()).integers(2**63))
        start = REML().fit(spec, likelihood=likelihood)
        plan = plan_collapsed(
            target, np.where(start.at_bound, np.abs(start.par) + 0.05 * start.par.max(), start.par), self.thin
        )
        draws = run(target, plan, Run(self.draws, self.burnin, self.thin, self.chains, seed), progress)
        return posterior_estimate(spec, draws, bound, self.name, likelihood.name, reason)


def posterior_estimate(
    spec: ModelSpec, draws: Draws, priors: ModelPriors, method: str, likelihood: str, reason: str
) -> PosteriorEstimate:
    """Draws with the means that stand for them where one number is asked for."""
    par = draws.par.mean(axis=(0, 1))
    held = np.ptp(draws.par, axis=(0, 1)) == 0.0
    return PosteriorEstimate(
        method=method,
        theta=draws.theta.mean(axis=(0, 1)),
        par=par,
        at_bound=np.zeros(len(par), dtype=bool),
        fixed=held,
        singular=False,
        loglik=None,
        reml=True,
        converged=True,
        n_evaluations=int(draws.facts["iterations"].sum()),
        likelihood=likelihood,
        reason=reason,
        draws=draws,
        priors=priors,
    )
