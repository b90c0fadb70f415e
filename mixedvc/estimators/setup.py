"""Where every iteration on the likelihood begins: the options checked, the likelihood, units, charts of every term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..likelihood.base import Likelihood
from ..likelihood.choose import Purpose, choose
from .base import PointEstimate
from .charts import Chart, FixedChart, box_chart, chart_for, face_at
from .given import given_parameters
from .newton import scale_parameters
from .start import Units, moment_start, units_of

Float = NDArray[np.float64]


class Options(Protocol):
    """What the estimators that maximise a likelihood have in common."""

    @property
    def name(self) -> str: ...
    @property
    def restricted(self) -> bool: ...
    @property
    def fixed_varcomp(self) -> Mapping[str, Any] | None: ...
    @property
    def start(self) -> Mapping[str, Any] | None: ...
    @property
    def likelihood(self) -> str | None: ...


@dataclass(frozen=True)
class Beginning:
    """A likelihood (and why this one), scaled units, and the charts to start from."""

    likelihood: Likelihood
    reason: str
    units: Units
    charts: list[Chart]


def begin(
    options: Options, spec: ModelSpec, likelihood: Likelihood | None, purpose: Purpose = "fit"
) -> Beginning | PointEstimate:
    """Where to start; the estimate itself where the fixed effects already fit the response exactly."""
    held = given_parameters(spec, options.fixed_varcomp, "fixed_varcomp")
    given = given_parameters(spec, options.start, "start")
    reason = ""
    if likelihood is None:
        likelihood, reason = choose(spec, reml=options.restricted, purpose=purpose, name=options.likelihood)
    moments = likelihood.moments()
    variance, exact = _variance(spec, moments)
    if exact and not held:
        return _exact_fit(spec, likelihood, variance, options, reason)
    units = units_of(spec, variance, held)
    return Beginning(likelihood, reason, units, _charts(spec, moments, units, held, given))


def check_options(tol: float, max_iter: int) -> None:
    """Refuse a tolerance that is not positive and a number of iterations below one."""
    if not (isinstance(tol, (int, float)) and tol > 0 and np.isfinite(tol)):
        raise OptionError(f"tol={tol!r:.60}: a positive number is needed")
    if isinstance(max_iter, bool) or not isinstance(max_iter, (int, np.integer)) or max_iter < 1:
        raise OptionError(f"max_iter={max_iter!r:.60}: at least one iteration is needed")


def check_restricted(restricted: bool) -> None:
    """Refuse what is neither True (REML) nor False (ML)."""
    if not isinstance(restricted, bool):
        raise OptionError(f"restricted={restricted!r:.60}: True (REML) or False (ML)")


def _variance(spec: ModelSpec, moments: tuple[Float, Float]) -> tuple[float, bool]:
    """Least-squares residual variance of the working response, and whether it is only rounding."""
    S, q = moments
    own = [j for j, w in enumerate(spec.index) if w.term == len(spec.terms) and w.a == w.b]
    left, right = float(S[np.ix_(own, own)].sum()), float(q[own].sum())
    variance = right / left if left > 0 else 0.0
    y = spec.response
    size = float(np.mean(np.square(y - y.mean()))) + 1e-6 * float(np.mean(np.square(y)))
    exact = variance <= 1e-24 * size
    return (max(variance, 1e-30 * size, 1e-300) if exact else variance), exact


def _exact_fit(
    spec: ModelSpec, likelihood: Likelihood, variance: float, options: Options, reason: str
) -> PointEstimate:
    """The fixed effects reproduce the response: every variance is zero up to rounding (binding warned of it)."""
    residual = len(spec.terms)
    sigmas = [np.zeros((t.k, t.k)) for t in spec.terms] + [variance * np.eye(spec.residual.k)]
    theta = spec.theta(sigmas)
    par = [np.zeros(t.structure.n_par) for t in spec.terms] + [spec.residual.structure.start(sigmas[residual])]
    n_par = sum(len(p) for p in par)
    return PointEstimate(
        method=options.name,
        theta=theta,
        par=np.concatenate(par),
        at_bound=np.ones(n_par, dtype=bool),
        fixed=np.zeros(n_par, dtype=bool),
        singular=True,
        loglik=likelihood.at(theta).loglik,
        reml=options.restricted,
        converged=True,
        n_evaluations=1,
        message="the fixed effects fit the response exactly",
        likelihood=likelihood.name,
        reason=reason,
    )


def _charts(
    spec: ModelSpec, moments: tuple[Float, Float], units: Units, held: dict[int, Float], begin: dict[int, Float]
) -> list[Chart]:
    everything_given = all(i in held or i in begin for i in range(len(spec.all_terms)))
    sigmas = [] if everything_given else moment_start(spec, moments, units)
    charts: list[Chart] = []
    for i, term in enumerate(spec.all_terms):
        structure = term.structure
        if i in held:
            charts.append(FixedChart(structure, scale_parameters(structure, held[i], units, i, up=False)))
        elif i in begin:
            par = scale_parameters(structure, begin[i], units, i, up=False)
            if structure.name == "us" and structure.k > 1:
                charts.append(face_at(structure, structure.build(par), 1e-12))
            else:
                charts.append(box_chart(structure, par))
        else:
            charts.append(chart_for(structure, sigmas[i]))
    return charts
