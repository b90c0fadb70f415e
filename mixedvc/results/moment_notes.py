"""The notes under the summary of an estimate with a sampling distribution of its own (moment estimators)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..inference.parameters import Parameter, jacobian, parameters
from ..inference.se import default_kind, information
from ..likelihood.base import Evaluation
from ..likelihood.choose import choose, rank_choices
from ..linalg.dense import NotPositiveDefinite, inverse_psd, small_eigh
from .numbers import significant

if TYPE_CHECKING:
    from .point import PointResults

Float = NDArray[np.float64]
INEFFICIENT = 0.5  # REML's variance over the estimator's that is worth a sentence
FAR = 2.0  # standard errors of REML to its maximum that are
_UNASKED = 2000  # rows up to which V is factorised for these notes alone


def error_notes(fit: PointResults, intervals: str) -> list[str]:
    """What the standard errors are, and what the intervals are centred at."""
    sampling = fit.estimate.sampling
    if sampling is None:
        asked = ("Std errors", "none") not in fit.estimate.extra.get("header", ())
        problem = fit.covariance().problem
        return [f"{problem[0].upper()}{problem[1:]}."] if asked else ["Standard errors of variances: none (se='none')."]
    about = f", {sampling.about}" if sampling.about else ""
    found = f"Standard errors of variances: {sampling.kind}{about}. Intervals: {intervals}"
    moved = ~np.isclose(sampling.centre, fit.estimate.par, rtol=1e-9, atol=0.0)
    if moved.any() and sampling.draws is None:
        pairs = zip(parameters(fit.spec), sampling.centre, moved, strict=True)
        where = ", ".join(f"{p.name} {significant(value)}" for p, value, other in pairs if other)
        found += f", around the estimate without the constraint ({where})"
    return [f"{found}."]


def test_notes(fit: PointResults) -> list[str]:
    """How fixed effects are estimated and tested."""
    e, out = fit.estimate, []
    if e.fixed_effects == "ols":
        out.append(
            "Fixed effects by least squares, with the covariance (X'X)^-1 X'VX (X'X)^-1"
            + (", rows weighted." if fit.spec.weights is not None else ".")
        )
    return out


def sign_notes(fit: PointResults) -> list[str]:
    """Negative variances, and zeros of a constrained estimate."""
    e, rows = fit.estimate, parameters(fit.spec)
    used = "Fixed effects and predictions take" if e.fixed_effects != "none" else "What conditions on it takes"
    out = []
    negative = [p.name for p, value in zip(rows, e.par, strict=True) if p.kind == "variance" and value < 0]
    if negative:
        have = "has a negative estimate" if len(negative) == 1 else "have negative estimates"
        out.append(
            f"negative: {', '.join(negative)} {have}. Moment estimates are unconstrained: where a variance is zero or "
            "small about half of them are negative. A negative one far from zero says that rows of one level are less "
            f"alike than others, which no variance describes. {used} it as zero; method='rehe' estimates under the "
            "constraint."
        )
    outside = [t.label for t, Sigma in zip(fit.spec.all_terms, fit.spec.sigmas(e.theta), strict=True) if _beyond(Sigma)]
    if outside:
        out.append(
            f"The covariance matrix of {', '.join(outside)} is not positive semi-definite: a correlation lies beyond "
            f"±1. {used} the nearest one that is; method='rehe' estimates under the constraint."
        )
    return out


def _beyond(Sigma: Float) -> bool:
    """Whether a matrix of positive variances is no covariance."""
    d = np.diagonal(Sigma)
    return len(d) > 1 and bool((d > 0).all()) and bool(small_eigh(Sigma)[0][0] < -1e-9 * d.max())


def zero_note(zero: list[str], everything: bool) -> str:
    """What a zero of a constrained moment estimate means."""
    if everything:
        which = "every random variance is exactly zero, so this is the least-squares fit"
    else:
        which = (
            f"{', '.join(zero)} {'is' if len(zero) == 1 else 'are'} exactly zero, the edge of what a variance can be"
        )
    return (
        f"boundary: {which}. The interval around the unconstrained estimate tells which values the data allow; a test "
        "that it is zero is a likelihood's: method='reml', then test_varcomp()."
    )


def reml_note(fit: PointResults) -> list[str]:
    """One sentence where REML would know much more, or would end far away."""
    found = _against_reml(fit)
    if found is None:
        return []
    rows, se, efficiency, step, reml_se, value = found
    worst = int(np.argmin(efficiency))
    far = int(np.argmax(np.abs(step) / reml_se))
    said = []
    gaussian = fit.covariance().kind != "jackknife"  # which is noisy itself, and asks less of the data
    if gaussian and efficiency[worst] < INEFFICIENT:
        said.append(
            f"by its information at this estimate the standard error of {rows[worst].name} would be "
            f"{significant(float(reml_se[worst]), 3)} instead of {significant(float(se[worst]), 3)}"
        )
    if abs(step[far]) > FAR * reml_se[far]:
        direction = "higher" if step[far] > 0 else "lower"
        said.append(
            f"the restricted likelihood is largest {abs(step[far]) / reml_se[far]:.1f} of its standard errors "
            f"{direction} for {rows[far].name} (one Newton step says {significant(float(value[far] + step[far]), 3)})"
        )
    if not said:
        return []
    return [
        f"Far from REML: {', and '.join(said)}. Both are right computations: moments weigh all pairs of rows alike, "
        "REML weighs them by what they tell. Look at method='reml' too."
    ]


def _against_reml(
    fit: PointResults,
) -> tuple[list[Parameter], Float, Float, Float, Float, Float] | None:
    """Parameters inside their bounds: name, own SE, efficiency, REML's step and SE, and value; None where unknown."""
    evaluation, cov = _restricted(fit), fit.covariance()
    if evaluation is None or cov.problem:
        return None
    kind = default_kind(fit.spec, rank_choices(fit.spec)[0].name)
    J = jacobian(fit.spec, fit.estimate.par)
    g, value = J.T @ evaluation.score, _pulled(fit)
    moves = _inside(fit, g) & (cov.se > 0)
    if not moves.any():
        return None
    own = np.ix_(moves, moves)
    try:
        inverse = inverse_psd((J.T @ information(evaluation, kind) @ J)[own])
    except NotPositiveDefinite:
        return None
    reml_se = np.sqrt(np.diagonal(inverse))
    rows = [p for p, there in zip(parameters(fit.spec), moves, strict=True) if there]
    se = cov.se[moves]
    return rows, se, (reml_se / se) ** 2, inverse @ g[moves], reml_se, value[moves]


def _restricted(fit: PointResults) -> Evaluation | None:
    """The restricted likelihood at the estimate, where that costs nothing new or little."""
    e, spec = fit.estimate, fit.spec
    if e.sampling is None or e.fixed_effects == "none" or not spec.terms or not e.converged:
        return None
    try:
        if e.fixed_effects == "gls":
            return fit.evaluation
        return choose(spec, reml=True)[0].at(fit.theta) if spec.n <= _UNASKED else None
    except NotPositiveDefinite:
        return None


def _pulled(fit: PointResults) -> Float:
    """(n_par,) the estimate as the evaluation takes it: negative variances at zero."""
    rows = parameters(fit.spec)
    values = [max(v, 0.0) if p.kind == "variance" else v for p, v in zip(rows, fit.estimate.par, strict=True)]
    return np.array(values)


def _inside(fit: PointResults, gradient: Float) -> NDArray[np.bool_]:
    """Parameters that REML would move from here: those of regular Σ, and zero variances that it would raise."""
    out = ~fit.estimate.fixed
    sigmas = fit.spec.sigmas(fit.theta)
    singular = [bool(small_eigh(S)[0][0] <= 1e-10 * max(float(np.abs(S).max()), 1e-300)) for S in sigmas]
    for j, p in enumerate(parameters(fit.spec)):
        if singular[p.term]:
            out[j] &= fit.spec.all_terms[p.term].k == 1 and gradient[j] > 0
    return out
