"""A fit whose draws are given: what the results say of them can be computed by hand, and no sampler has to run."""

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar

import numpy as np

import mixedvc as mv
from mixedvc.estimators.gibbs import Gibbs
from mixedvc.estimators.gibbs_summary import posterior_estimate
from mixedvc.likelihood.choose import choose
from mixedvc.priors.resolve import resolve
from mixedvc.results.made import made
from mixedvc.sampling.base import Draws

ABOUT = {"method": "gibbs", "reason": "", "why": "given"}


@dataclass(frozen=True)
class GivenPlan:
    """Draws that nobody sampled."""

    mode: str = "independence"
    name: ClassVar[str] = "collapsed"
    burnin: ClassVar[int] = 20

    def describe(self):
        return "draws that were given"


def results_of(spec, par, beta, lp=None, priors=None, estimator=None, **more):
    """Posterior results of `spec` with draws of a linear structure's parameters and of the fixed effects."""
    shape = par.shape[:2]
    draws = Draws(
        par=par,
        theta=par,
        beta=beta,
        lp=np.broadcast_to(np.arange(shape[1], dtype=float), shape) if lp is None else lp,
        loglik=np.zeros(shape),
        effects=None,
        seed=7,
        burnin=20,
        thin=1,
        plan=GivenPlan(),
        states=({},) * shape[0],
        surplus=(),
        blocks=(1,) * shape[0],
        facts={"iterations": np.full(shape[0], 1e3), "accepted": np.full(shape[0], 8e2)},
    )
    draws = replace(draws, **more)
    likelihood, _ = choose(spec, reml=True, purpose="fit")
    estimate = posterior_estimate(spec, draws, resolve(spec, priors), {**ABOUT, "likelihood": likelihood.name})
    estimate = replace(estimate, fixed=np.ptp(par, axis=(0, 1)) == 0.0)
    return made(spec, estimate, likelihood, estimator or Gibbs(draws=60, chains=2, workers=1))


def with_draws(fit, par, beta=None, **more):
    """The same model with other draws."""
    if beta is None:
        beta = np.random.default_rng(13).normal(0.0, 1.0, (*par.shape[:2], fit.spec.p))
    return results_of(fit.spec, par, beta, **more)


def matrix(rng, size, centre, spread, r):
    """vech of 2×2 matrices: log-normal variances about `centre`, correlations about `r`."""
    variances = centre * np.exp(rng.normal(0.0, spread, (*size, 2)))
    correlation = np.tanh(rng.normal(np.arctanh(r), 0.25, size))
    return np.stack([variances[..., 0], correlation * np.sqrt(variances.prod(axis=-1)), variances[..., 1]], axis=-1)


@cache
def sleepstudy(chains=4, count=1000, seed=3):
    """A term of two effects: independent draws near the REML estimates."""
    spec = mv.model("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    rng, size = np.random.default_rng(seed), (chains, count)
    residual = 655.0 * np.exp(rng.normal(0.0, 0.1, (*size, 1)))
    par = np.concatenate([matrix(rng, size, np.array([612.0, 35.0]), 0.4, 0.07), residual], axis=-1)
    return results_of(spec, par, rng.normal([251.4, 10.5], [6.8, 1.5], (*size, 2)))


@cache
def dyestuff(chains=2, count=200, seed=4):
    """One variance beside the residual."""
    spec = mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    rng, size = np.random.default_rng(seed), (chains, count)
    par = np.array([1764.0, 2451.0]) * np.exp(rng.normal(0.0, 0.4, (*size, 2)))
    return results_of(spec, par, rng.normal(1527.5, 20.0, (*size, 1)))
