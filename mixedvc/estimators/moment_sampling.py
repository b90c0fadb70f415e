"""How a moment estimate varies: sandwich, parametric bootstrap, jackknife over families, Monte-Carlo error (MATH: 4).

θ̂ = S⁻¹q is linear in q, so Cov(θ̂) = S⁻¹ Cov(q) S⁻¹ with Cov(q)_jk = 2 tr(A_j Ω A_k Ω), Ω = V(θ̂₊), for a Gaussian
response.  That of the unconstrained estimate is used for the constrained one too: around the unconstrained estimate it
covers at a zero component as well, where the constrained one is not normal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..design.subset import take_rows
from ..errors import IdentifiabilityError, OptionError
from ..linalg import dense as la
from ..moments import Moments, Variant
from ..progress import Progress
from .base import Sampling
from .moment_solve import Problem, Solution

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
_DRAW_BYTES = 64 * 2**20  # of responses drawn at a time
LEAST_DRAWS = 20  # that an interrupted bootstrap may be judged by


def sandwich(moments: Moments, variant: Variant, centre: Solution, omega: Float, noise: Float | None) -> Sampling:
    """S⁻¹ Cov(q) S⁻¹ at the variances `omega`; says how exact it is where Cov(q) comes from random probes."""
    C, error = moments.covariance(variant, omega)
    cov = _symmetric(centre.gain @ C @ centre.gain.T)
    about = "S^-1 Cov(q) S^-1 for a Gaussian response"
    probes = moments.covariance_probes
    if error is not None and probes is not None:
        each = np.einsum("ij,bjk,ik->bi", centre.gain, probes, centre.gain)
        spread, variances = each.std(axis=0, ddof=1) / np.sqrt(len(each)), np.diagonal(cov)
        share = float(np.max(np.divide(spread, variances, out=np.zeros_like(spread), where=variances > 0)))
        about += f", Cov(q) by {len(each)} random probes (each standard error within about {max(100 * share, 1):.0f}%)"
    return Sampling("sandwich", centre.par, cov, noise=noise, about=about)


def draw_error(count: int) -> str:
    """How far a standard error from `count` draws may be off, in words."""
    return f"each standard error within about {200.0 / np.sqrt(2.0 * (count - 1)):.0f}%"


def bootstrap(
    moments: Moments,
    variant: Variant,
    estimate: Solution,
    solve: Callable[[Float], Solution],
    omega: Float,
    n_boot: int,
    rng: np.random.Generator,
    progress: Progress | None,
    noise: Float | None,
) -> Sampling | None:
    """Re-estimates of responses drawn from N(0, V(omega)); None where it is interrupted before it means anything."""
    spec, draws = moments.spec, []
    step = max(1, _DRAW_BYTES // (8 * spec.n))
    try:
        for start in range(0, n_boot, step):
            Y = draw_responses(spec, omega, rng, min(step, n_boot - start))
            for q in moments.quadratic(variant, Y * moments.rows.scale[:, None]).T:
                draws.append(solve(q).par)
                if progress is not None:
                    progress.step()
    except KeyboardInterrupt:
        if len(draws) < LEAST_DRAWS:
            return None
    return from_draws(np.array(draws), estimate, n_boot, noise)


def from_draws(draws: Float, estimate: Solution, wanted: int, noise: Float | None) -> Sampling:
    """Standard deviations of re-estimates, which are kept for percentile intervals."""
    short = f" (interrupted, {wanted} were asked for)" if len(draws) < wanted else ""
    about = f"{len(draws)} responses drawn from the fitted model and estimated again{short}"
    cov = np.atleast_2d(np.cov(draws.T))
    return Sampling("bootstrap", estimate.par, cov, draws=draws, noise=noise, about=about)


def draw_responses(spec: ModelSpec, theta: Float, rng: np.random.Generator, count: int) -> Float:
    """(n, count) columns from N(0, V(θ)), term by term: V is neither formed nor factorised."""
    out = np.zeros((spec.n, count))
    for term, Sigma in zip(spec.all_terms, spec.sigmas(theta), strict=True):
        if not Sigma.any():
            continue
        z = np.asarray(term.covariance.draw(rng, term.k * count))[term.positions].reshape(term.q, term.k, count)
        out += term.spread(np.einsum("ab,qbs->qas", la.small_root(Sigma), z))
    return out


def jackknife(
    spec: ModelSpec,
    groups: Sequence[Rows],
    centre: Solution,
    solve: Callable[[ModelSpec, Rows], Solution],
    progress: Progress | None,
    what: str,
) -> Sampling | None:
    """Estimates without each group of rows: (g−1)/g times their sum of squares; None where interrupted."""
    found, everything = [], np.arange(spec.n)
    try:
        for b, group in enumerate(groups):
            kept = np.setdiff1d(everything, group)
            try:
                found.append(solve(take_rows(spec, kept), kept).par)
            except IdentifiabilityError as error:
                raise IdentifiabilityError(
                    f"the jackknife without group {b + 1} of {len(groups)}: {error}; or take se='none'"
                ) from None
            if progress is not None:
                progress.step()
    except KeyboardInterrupt:
        return None
    spread = np.array(found) - np.mean(found, axis=0)
    cov = (len(groups) - 1) / len(groups) * spread.T @ spread
    return Sampling("jackknife", centre.par, _symmetric(cov), about=f"{len(groups)} groups of {what} left out in turn")


def row_groups(spec: ModelSpec, count: int, rng: np.random.Generator) -> tuple[list[Rows], str]:
    """About `count` groups of rows of like size that keep families whole (rows where there is one family)."""
    label, what = spec.families, "families"
    if label.max() == 0:
        label, what = np.arange(spec.n), "rows"
    units = int(label.max()) + 1
    if units < 3:
        raise OptionError(f"se='jackknife' needs at least three {what}, there are {units}: use another se=")
    sizes = np.bincount(label)
    order = rng.permutation(units)
    middle = np.cumsum(sizes[order]) - 0.5 * sizes[order]
    group_of = np.empty(units, dtype=np.intp)
    group_of[order] = np.minimum(middle * min(count, units) / len(label), min(count, units) - 1).astype(np.intp)
    of_row = group_of[label]
    groups = [np.flatnonzero(of_row == g) for g in np.unique(of_row)]
    return groups, what


def probe_noise(problem: Problem, solution: Solution, probes: Float | None) -> Float | None:
    """Monte-Carlo standard error of the estimate from S by each probe: dθ = −S⁻¹ dS θ."""
    if probes is None:
        return None
    moved = np.einsum("ij,bjk,k->bi", solution.noise_gain, probes - problem.S, solution.theta)
    return np.asarray(moved.std(axis=0, ddof=1) / np.sqrt(len(probes)))


def _symmetric(A: Float) -> Float:
    return np.asarray(0.5 * (A + A.T))
