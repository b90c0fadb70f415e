"""The way from a specification to a moment estimate, common to `he` and `rehe`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import BoundaryWarning, ConvergenceWarning, warn
from ..likelihood.rows import Rows
from ..moments import Moments, Variant, choose_moments
from ..progress import Progress
from .admissible import admissible
from .base import PointEstimate, Sampling
from .given import given_parameters
from .moment_options import MomentOptions, wanted_se
from .moment_outer import outer_rows
from .moment_sampling import bootstrap, jackknife, probe_noise, row_groups, sandwich
from .moment_solve import Problem, Solution

Float = NDArray[np.float64]
LARGE_NOISE = 0.3  # Monte-Carlo error over standard error that is worth a warning


def fit_moments(
    o: MomentOptions,
    spec: ModelSpec,
    rng: np.random.Generator | None,
    progress: Progress | None,
    *,
    constrained: bool,
) -> PointEstimate:
    """Solve S θ = q, over Σ ⪰ 0 where `constrained`, and say how the estimate varies."""
    rng = np.random.default_rng(0) if rng is None else rng
    held = given_parameters(spec, o.fixed_varcomp, "fixed_varcomp")
    variant = Variant(bool(o.projection), o.entries)  # type: ignore[arg-type]
    outer = None if o.outer is None else outer_rows(spec, o.outer)
    squared = wanted_se(o) == "sandwich"
    trace: Any = o.trace
    moments = choose_moments(spec, trace=trace, probes=int(o.probes), rng=rng, covariance=squared)
    if outer is None and fits_exactly(moments.rows):
        return exact_fit(spec, o.name, shown(o, moments))
    equations = moments.equations(variant, _working(moments, outer))
    problem = Problem(spec, equations.S, equations.q, held)
    free = problem.unconstrained()
    solution = problem.constrained() if constrained else free
    noise = probe_noise(problem, solution, equations.probes)
    sampling, notes = _sampling(o, moments, variant, problem, free, solution, outer, rng, progress, noise, constrained)
    if equations.probes is not None:
        notes = (*notes, _said_noise(noise, sampling, int(o.probes)))
    if outer is not None:
        notes = (*notes, "The second moments are those of outer=, in place of the response, which is not used.")
    fixed = "none" if outer is not None else o.fixed
    return point_estimate(o.name, problem, solution, sampling, fixed, notes, shown(o, moments), moments.reason)


def _working(moments: Moments, outer: Float | None) -> Float | None:
    """An outer product among working rows: prior weights absorbed."""
    if outer is None:
        return None
    scale = moments.rows.scale
    return outer if np.all(scale == 1.0) else outer * scale[:, None] * scale


def _sampling(
    o: MomentOptions,
    moments: Moments,
    variant: Variant,
    problem: Problem,
    free: Solution,
    solution: Solution,
    outer: Float | None,
    rng: np.random.Generator,
    progress: Progress | None,
    noise: Float | None,
    constrained: bool,
) -> tuple[Sampling | None, tuple[str, ...]]:
    """The sampling distribution asked for, and what must be said about it."""
    spec, kind = problem.spec, wanted_se(o)
    if kind == "sandwich":
        found = sandwich(moments, variant, free, admissible(spec, solution.theta), noise)
        why = moments.fallback if o.trace == "exact" else ""  # of probes that nobody asked for
        return found, (f"{why[0].upper()}{why[1:]}.",) if why else ()
    if kind == "bootstrap":
        solve = partial(_again, problem, constrained)
        omega = admissible(spec, solution.theta)
        drawn = bootstrap(moments, variant, solution, solve, omega, int(o.n_boot), rng, progress, noise)
        return drawn, () if drawn is not None else (INTERRUPTED,)
    if kind == "jackknife":
        groups, what = row_groups(spec, int(o.n_blocks), rng)
        one_family = "The jackknife took rows as independent: the covariances tie all of them into one family."
        left_out = jackknife(spec, groups, free, partial(_without, variant, outer, problem.held), progress, what)
        if left_out is None:
            return None, (INTERRUPTED,)
        return left_out, (one_family,) if what == "rows" and len(spec.terms) else ()
    return None, ()


INTERRUPTED = "Standard errors of variances: interrupted before there were any."


def _again(problem: Problem, constrained: bool, q: Float) -> Solution:
    """The same equations with another right-hand side."""
    other = problem.with_q(q)
    return other.constrained() if constrained else other.unconstrained()


def _without(
    variant: Variant, outer: Float | None, held: dict[int, Float], spec: ModelSpec, kept: NDArray[np.intp]
) -> Solution:
    """The unconstrained estimate from some of the rows."""
    moments = choose_moments(spec, covariance=False)
    part = None if outer is None else outer[np.ix_(kept, kept)]
    equations = moments.equations(variant, _working(moments, part))
    return Problem(spec, equations.S, equations.q, held).unconstrained()


def _said_noise(noise: Float | None, sampling: Sampling | None, probes: int) -> str:
    """The Monte-Carlo error of random traces in words; warns where it is no longer small beside the standard error."""
    said = f"Traces are estimated with {probes} random probes, and the estimates vary with them"
    if noise is None or sampling is None:
        error = "" if noise is None else f": Monte-Carlo errors {', '.join(f'{x:.2g}' for x in noise)}, in their order"
        return f"{said}{error}."
    se = np.sqrt(np.maximum(np.diagonal(sampling.cov), 0.0))
    share = float(np.max(np.divide(noise, se, out=np.zeros_like(noise), where=se > 0)))
    if share > LARGE_NOISE:
        warn(
            f"the error of random traces is {100 * share:.0f}% of a standard error: use more than probes={probes}, or "
            "trace='exact'"
        )
    return f"{said}: the Monte-Carlo error is at most {max(100 * share, 0.1):.1f}% of a standard error."


def shown(o: MomentOptions, moments: Moments) -> tuple[tuple[str, str], ...]:
    """What takes the place of the log-likelihood in a summary's header."""
    traces = "exact" if o.trace == "exact" else f"{o.probes} random probes"
    kinds = {"none": "none", "sandwich": "sandwich", "bootstrap": "bootstrap", "jackknife": "jackknife"}
    return (
        ("Equations", described(o.projection, o.entries)),
        ("Traces", traces),
        ("Std errors", kinds[wanted_se(o)]),
        ("Computed by", f"{moments.name} moments"),
    )


def described(projection: bool, entries: str) -> str:
    """Which Haseman-Elston equations were solved, in a few words."""
    which = "all entries" if entries == "all" else "upper triangle"
    return f"{'projected' if projection else 'unprojected'}, {which}"


def fits_exactly(rows: Rows) -> bool:
    """Whether the fixed effects leave nothing of the response but rounding."""
    left = float(rows.y @ rows.y)
    return left <= 1e-24 * (left + float(rows.ols @ rows.ols))


def exact_fit(spec: ModelSpec, name: str, header: tuple[tuple[str, str], ...]) -> PointEstimate:
    """Every variance is zero up to rounding (binding warned of it)."""
    n_par = sum(term.structure.n_par for term in spec.all_terms)
    return PointEstimate(
        method=name,
        theta=np.zeros(len(spec.index)),
        par=np.zeros(n_par),
        at_bound=np.ones(n_par, dtype=bool),
        fixed=np.zeros(n_par, dtype=bool),
        singular=True,
        loglik=None,
        reml=None,
        converged=True,
        n_evaluations=1,
        message="the fixed effects fit the response exactly",
        extra={"header": header},
    )


def point_estimate(
    name: str,
    problem: Problem,
    solution: Solution,
    sampling: Sampling | None,
    fixed_effects: str,
    notes: tuple[str, ...],
    header: tuple[tuple[str, str], ...],
    reason: str = "",
) -> PointEstimate:
    """Plain numbers; warns where the fit is singular or unfinished."""
    spec = problem.spec
    if not solution.converged:
        warn(f"{name} did not converge: {solution.message}", ConvergenceWarning)
    elif solution.singular:
        edges = zip(spec.all_terms, problem.slices, strict=True)
        names = [term.label for term, at in edges if solution.at_bound[at].any()]
        warn(f"singular fit: a variance is zero or a correlation ±1 in {', '.join(names)}", BoundaryWarning)
    return PointEstimate(
        method=name,
        theta=solution.theta,
        par=solution.par,
        at_bound=solution.at_bound,
        fixed=problem.fixed,
        singular=solution.singular,
        loglik=None,
        reml=None,
        converged=solution.converged,
        n_evaluations=1,
        message=solution.message,
        reason=reason,
        sampling=sampling,
        fixed_effects=fixed_effects,
        notes=notes,
        extra={"header": header},
    )


class MomentRefits:
    """The same equations for other responses: S is computed once, q for many responses at a time."""

    def __init__(self, o: MomentOptions, spec: ModelSpec, *, constrained: bool):
        self._o, self._constrained = o, constrained
        self._variant = Variant(bool(o.projection), o.entries)  # type: ignore[arg-type]
        rng, trace = np.random.default_rng(0), cast(Any, o.trace)
        self._moments = choose_moments(spec, trace=trace, probes=int(o.probes), rng=rng, covariance=False)
        equations = self._moments.equations(self._variant)
        held = given_parameters(spec, o.fixed_varcomp, "fixed_varcomp")
        self._problem = Problem(spec, equations.S, equations.q, held)

    def prepare(self, Y: Float, likelihoods: Sequence[Any]) -> list[Callable[[], PointEstimate]]:
        """See `estimators.again.Refits`; no likelihood is needed."""
        offset = self._problem.spec.offset
        given = Y if offset is None else Y - offset[:, None]
        q = self._moments.quadratic(self._variant, given * self._moments.rows.scale[:, None])
        return [partial(self._fit, column) for column in q.T]

    def _fit(self, q: Float) -> PointEstimate:
        solution = _again(self._problem, self._constrained, q)
        return point_estimate(self._o.name, self._problem, solution, None, self._o.fixed, (), ())
