"""What an estimate's own sampling distribution must be: a covariance in the units of the parameters."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..design.spec import ModelSpec
from .compare import close
from .fits import fit


def the_sampling_covariance_is_one(estimator: Any, name: str, spec: ModelSpec) -> None:
    """Shapes, symmetry, no negative variances, nothing for what is held, errors and draws of the right form."""
    estimate = fit(estimator, spec)
    sampling, n_par = estimate.sampling, len(estimate.par)
    if sampling is None:
        return
    assert sampling.kind, f"{name}: the sampling distribution has no name"
    cov = np.asarray(sampling.cov)
    assert cov.shape == (n_par, n_par), f"{name}: sampling.cov has shape {cov.shape} for {n_par} parameters"
    assert np.isfinite(cov).all(), f"{name}: sampling.cov is not finite: {cov}"
    sd = np.sqrt(np.maximum(np.diag(cov), 0.0))
    close(cov, cov.T, f"{name}: sampling.cov against its transpose", rtol=1e-10, scale=np.outer(sd, sd))
    unit = np.where(sd > 0, sd, 1.0)
    smallest = np.linalg.eigvalsh(cov / np.outer(unit, unit))[0]
    assert smallest > -1e-8, f"{name}: sampling.cov has a negative eigenvalue ({smallest:.3g} of a variance)"
    assert not cov[estimate.fixed].any(), f"{name}: sampling.cov of a parameter that is held"
    assert np.shape(sampling.centre) == (n_par,), f"{name}: sampling.centre has shape {np.shape(sampling.centre)}"
    if not estimate.singular:
        inside = "sampling.centre of an estimate that no constraint moved"
        close(sampling.centre, estimate.par, f"{name}: {inside}", scale=sd + np.abs(estimate.par), rtol=1e-6)
    if sampling.noise is not None:
        noise = np.asarray(sampling.noise)
        assert noise.shape == (n_par,), f"{name}: sampling.noise has shape {noise.shape}"
        assert np.isfinite(noise).all(), f"{name}: sampling.noise is {noise}"
        assert (noise >= 0).all(), f"{name}: sampling.noise is {noise}"
    if sampling.draws is not None:
        draws = np.asarray(sampling.draws)
        assert draws.ndim == 2, f"{name}: sampling.draws has shape {draws.shape}"
        assert draws.shape[1] == n_par, f"{name}: sampling.draws has shape {draws.shape}"
        spread = np.atleast_2d(np.cov(draws.T))
        close(spread, cov, f"{name}: covariance of sampling.draws", rtol=1e-6, scale=np.outer(unit, unit))


def an_estimate_without_likelihood_claims_none(estimator: Any, name: str, spec: ModelSpec) -> None:
    """``loglik`` and ``reml`` are None exactly where the estimator does not provide a log-likelihood."""
    estimate = fit(estimator, spec)
    claims = "loglik" in estimator.provides
    assert (estimate.loglik is not None) == claims, f"{name}: loglik {estimate.loglik}, provides {estimator.provides}"
    assert (estimate.reml is not None) == claims, f"{name}: reml {estimate.reml}, provides {estimator.provides}"
    known = ("gls", "ols", "none")
    assert estimate.fixed_effects in known, f"{name}: fixed_effects {estimate.fixed_effects!r} is not one of {known}"
