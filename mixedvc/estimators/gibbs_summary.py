"""What a sampled posterior says where one number is asked for: means, and whether the chains can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..priors.resolve import ModelPriors
from ..sampling.base import Draws
from .base import PosteriorEstimate

Float = NDArray[np.float64]
RHAT, ESS = 1.05, 100.0  # beyond, below: not converged


def posterior_estimate(
    spec: ModelSpec,
    draws: Draws,
    priors: ModelPriors | None,
    about: Mapping[str, Any],
) -> PosteriorEstimate:
    """Draws with the means that stand for them where one number is asked for.

    `about` has the fields method, likelihood and reason of the estimate, and `why` this scheme ran.  `converged` is
    split R-hat below 1.05 and a bulk effective sample size of at least 100 for every variance parameter that moves
    (ArviZ's; True where arviz-stats is not installed, and `message` says so).
    """
    par = draws.par.mean(axis=(0, 1))
    still = np.ptp(draws.par, axis=(0, 1)) == 0.0
    converged, message = judged(draws)
    return PosteriorEstimate(
        method=about["method"],
        theta=draws.theta.mean(axis=(0, 1)),
        par=par,
        at_bound=np.zeros(len(par), dtype=bool),
        fixed=still if priors is None or priors.shares is not None else _held(spec, priors),
        singular=False,
        loglik=None,
        reml=True,
        converged=converged,
        n_evaluations=int(draws.facts["iterations"].sum()),
        message=message,
        likelihood=about["likelihood"],
        reason=about["reason"],
        notes=notes(draws, about["why"]),
        extra={"about": dict(about)},
        draws=draws,
        priors=priors,
    )


def _held(spec: ModelSpec, priors: ModelPriors) -> NDArray[np.bool_]:
    """(n_par,) parameters that are given."""
    parts = [np.full(t.structure.n_par, b.held is not None) for t, b in zip(spec.all_terms, priors.terms, strict=True)]
    return np.concatenate(parts)


def notes(draws: Draws, why: str) -> tuple[str, ...]:
    """Sentences for the summary: how it was sampled, and what is to be known of the run."""
    scheme = f"scheme {draws.plan.name!r}" + f" ({why})" * bool(why)
    kept = f"{draws.chains} chain{'s' * (draws.chains != 1)} of {draws.count:,} draws"
    every = f", every {draws.thin}th kept" * (draws.thin > 1)
    left = f", the first {draws.burnin:,} iterations left out" * (draws.burnin > 0)
    said = [f"Sampled by {scheme}: {draws.plan.describe()}; {kept}{every}{left}."]
    if draws.interrupted:
        said.append("The run was interrupted; fit.extend(n) goes on where it stopped.")
    if draws.folder is not None:
        said.append(f"The draws are in {draws.folder!r}.")
    return tuple(said)


def judged(draws: Draws) -> tuple[bool, str]:
    """Whether the chains agree and hold enough, and words where they do not, or where nobody looked."""
    try:
        from arviz_stats.base import array_stats  # type: ignore[attr-defined]
    except ImportError:
        return True, "convergence was not judged: pip install 'mixedvc[bayes]'"
    moving = draws.par[:, :, np.ptp(draws.par, axis=(0, 1)) > 0.0]
    if moving.shape[2] == 0:
        return True, ""
    if draws.count < 4:
        return False, f"{draws.count} draws of a chain are too few to be judged"
    worst_rhat, worst_ess = 0.0, np.inf
    for j in range(moving.shape[2]):
        x = np.ascontiguousarray(moving[:, :, j])
        worst_rhat = max(worst_rhat, _number(array_stats.rhat(x, chain_axis=0, draw_axis=1)))
        worst_ess = min(worst_ess, _number(array_stats.ess(x, chain_axis=0, draw_axis=1)))
    good = worst_rhat <= RHAT and worst_ess >= ESS
    found = f"R-hat up to {worst_rhat:.3f}, at least {worst_ess:,.0f} effective draws"
    return good, found if good else f"{found}: too few, run longer"


def _number(value: Any) -> float:
    number = float(np.asarray(value).reshape(-1)[0])
    return number if np.isfinite(number) else 0.0
