"""REML and ML by average-information Newton (MATH: 1-3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import ConvergenceError, OptionError
from ..likelihood import choose
from ..likelihood.base import HasRough, Likelihood
from ..linalg.dense import NotPositiveDefinite
from ..progress import Progress
from .base import PointEstimate, estimators
from .charts import Chart, FixedChart, box_chart, chart_for, face_at
from .given import given_parameters
from .newton import Ascent, estimate_from, scale_parameters
from .start import Units, moment_start, units_of

Float = NDArray[np.float64]
_PROVIDES = frozenset({"loglik", "theta", "beta", "blup"})


@estimators.register("reml")
@dataclass(frozen=True)
class REML:
    """Restricted maximum likelihood by average-information Newton steps.

    Parameters
    ----------
    tol : float
        Newton decrement, in units of log-likelihood, at which the iteration ends.
    max_iter : int
        Largest number of iterations.
    fixed_varcomp : mapping, optional
        Components held at given values: ``{"animal": 20.0, "residual": 40.0}``; a k×k matrix for a vector term.
    start : mapping, optional
        Components to start from, in the same form; the others start from the moment estimate.
    likelihood : str, optional
        Registered likelihood to evaluate with; the cheapest that applies by default.

    References
    ----------
    Gilmour, Thompson & Cullis (1995) Biometrics 51:1440; the cone Σ ⪰ 0 is handled as docs/math.md says.
    """

    tol: float = 5e-12
    max_iter: int = 100
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "reml"
    restricted: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = _PROVIDES

    def __post_init__(self) -> None:
        _check_options(self.tol, self.max_iter)

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Maximise the restricted likelihood of `spec`; deterministic, `rng` is not used."""
        return _fit(self, spec, progress, likelihood)


@estimators.register("ml")
@dataclass(frozen=True)
class ML:
    """Maximum likelihood by average-information Newton steps; the options are those of `REML`."""

    tol: float = 5e-12
    max_iter: int = 100
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "ml"
    restricted: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = _PROVIDES

    def __post_init__(self) -> None:
        _check_options(self.tol, self.max_iter)

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Maximise the likelihood of `spec`; deterministic, `rng` is not used."""
        return _fit(self, spec, progress, likelihood)


def _check_options(tol: float, max_iter: int) -> None:
    if not (isinstance(tol, (int, float)) and tol > 0 and np.isfinite(tol)):
        raise OptionError(f"tol={tol!r}: a positive number is needed")
    if isinstance(max_iter, bool) or not isinstance(max_iter, (int, np.integer)) or max_iter < 1:
        raise OptionError(f"max_iter={max_iter!r}: at least one iteration is needed")


def _fit(
    options: REML | ML, spec: ModelSpec, progress: Progress | None, likelihood: Likelihood | None
) -> PointEstimate:
    reml = options.restricted
    held = given_parameters(spec, options.fixed_varcomp, "fixed_varcomp")
    begin = given_parameters(spec, options.start, "start")
    reason = ""
    if likelihood is None:
        likelihood, reason = choose(spec, reml=reml, name=options.likelihood)
    moments = likelihood.moments()
    variance, exact = _variance(spec, moments)
    if exact and not held:
        return replace(_exact_fit(spec, likelihood, variance, options.name, reml), reason=reason)
    units = units_of(spec, variance)
    charts = _charts(spec, moments, units, held, begin)
    charts, rough = _approach(spec, likelihood, units, charts)
    ascent = Ascent(spec, likelihood, units, options.tol, int(options.max_iter), progress)
    at, converged, message = ascent.run(charts)
    estimate = estimate_from(ascent, at, converged, message, options.name, reml)
    return replace(estimate, reason=reason, extra={"single_precision_evaluations": rough})


def _approach(spec: ModelSpec, likelihood: Likelihood, units: Units, charts: list[Chart]) -> tuple[list[Chart], int]:
    """First steps in single precision where the likelihood offers that; the charts given where it fails."""
    rough = likelihood.rough() if isinstance(likelihood, HasRough) else None
    if rough is None:
        return charts, 0
    ascent = Ascent(spec, rough, units, tol=1e-3, max_iter=12, rounding=1e-6)
    try:
        return ascent.approach(charts), ascent.evaluations
    except (ConvergenceError, NotPositiveDefinite):
        return charts, ascent.evaluations


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


def _exact_fit(spec: ModelSpec, likelihood: Likelihood, variance: float, name: str, reml: bool) -> PointEstimate:
    """The fixed effects reproduce the response: every variance is zero up to rounding (binding warned of it)."""
    residual = len(spec.terms)
    sigmas = [np.zeros((t.k, t.k)) for t in spec.terms] + [variance * np.eye(spec.residual.k)]
    theta = spec.theta(sigmas)
    par = [np.zeros(t.structure.n_par) for t in spec.terms] + [spec.residual.structure.start(sigmas[residual])]
    n_par = sum(len(p) for p in par)
    return PointEstimate(
        method=name,
        theta=theta,
        par=np.concatenate(par),
        at_bound=np.ones(n_par, dtype=bool),
        fixed=np.zeros(n_par, dtype=bool),
        singular=True,
        loglik=likelihood.at(theta).loglik,
        reml=reml,
        converged=True,
        n_evaluations=1,
        message="the fixed effects fit the response exactly",
        likelihood=likelihood.name,
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
