"""Where chains start: the REML estimate where there is one, moved inside; equal parts of the variance elsewhere."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import DegenerateResponse, MixedVCError, MixedVCWarning
from ..likelihood.base import Likelihood
from ..priors.resolve import ModelPriors
from ..sampling.target import Target
from .reml import REML

Float = NDArray[np.float64]
_ENOUGH = 1e-4  # Newton decrement: a proposal is fitted to the posterior, not to this point
_INSIDE = 0.02  # part of the response's variance that a singular term is given


def refuse_exact_fit(spec: ModelSpec, likelihood: Likelihood, priors: ModelPriors) -> None:
    """Refuse a response that the fixed effects fit exactly, unless the residual is held.

    Raises
    ------
    DegenerateResponse
    """
    if priors.terms and priors.terms[-1].held is not None:
        return
    y = spec.response
    size = float(np.mean(np.square(y - y.mean()))) + 1e-6 * float(np.mean(np.square(y)))
    if least_squares_variance(spec, likelihood) <= 1e-24 * size:
        raise DegenerateResponse(
            "the fixed effects fit the response exactly, so the variances have no posterior (its density rises without "
            "bound at zero): leave fixed effects out, or hold the residual with priors={'residual': Fixed(…)}"
        )


def least_squares_variance(spec: ModelSpec, likelihood: Likelihood) -> float:
    """Residual variance of least squares, from the moment equations of the residual's own variances."""
    S, q = likelihood.moments()
    own = [j for j, w in enumerate(spec.index) if w.term == len(spec.terms) and w.a == w.b]
    left, right = float(S[np.ix_(own, own)].sum()), float(q[own].sum())
    return max(right / left, 0.0) if left > 0 else 0.0


def started(target: Target) -> Float:
    """(n_par,) parameters near the highest restricted likelihood, those that are given at their values."""
    spec, likelihood, priors = target.spec, target.likelihood, target.priors
    held = {
        "residual" if i == len(spec.terms) else term.name: bound.held
        for i, (term, bound) in enumerate(zip(spec.all_terms, priors.terms, strict=True))
        if bound.held is not None
    }
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)
            return REML(tol=_ENOUGH, fixed_varcomp=held or None).fit(spec, likelihood=likelihood).par
    except MixedVCError:  # components that the design cannot tell apart, which a prior can
        return equal_parts(target)


def equal_parts(target: Target) -> Float:
    """(n_par,) the least-squares variance shared equally among the terms, no covariances."""
    spec = target.spec
    variance = least_squares_variance(spec, target.likelihood) / len(spec.all_terms)
    parts = []
    for term, bound in zip(spec.all_terms, target.priors.terms, strict=True):
        size = np.maximum(np.mean(term.basis**2, axis=0), 1e-300) * term.k
        A = float(np.mean(term.covariance.diagonal(term.positions)))
        parts.append(
            term.structure.start(np.diag(variance / size / (A if A > 0 else 1.0))) if bound.held is None else bound.held
        )
    return np.concatenate(parts)
