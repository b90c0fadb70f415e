"""REML and ML by average-information Newton (MATH: 1-3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..design.spec import ModelSpec
from ..errors import ConvergenceError
from ..likelihood.base import HasRough, Likelihood
from ..linalg.dense import NotPositiveDefinite
from ..progress import Progress
from .again import NewtonRefits
from .base import PointEstimate, estimators
from .charts import Chart
from .newton import Ascent, Point, estimate_from
from .second_start import highest_end
from .setup import begin, check_options
from .start import Units

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

    tol: float = 1e-13
    max_iter: int = 100
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "reml"
    title: ClassVar[str] = ""
    restricted: ClassVar[bool] = True
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = _PROVIDES

    def __post_init__(self) -> None:
        check_options(self.tol, self.max_iter)

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

    def refits(self, spec: ModelSpec, estimate: PointEstimate, likelihood: Likelihood) -> NewtonRefits:
        """Fits of other responses, from starts near their maxima (`estimators.again`)."""
        return NewtonRefits(self, spec, estimate, likelihood)


@estimators.register("ml")
@dataclass(frozen=True)
class ML:
    """Maximum likelihood by average-information Newton steps; the options are those of `REML`."""

    tol: float = 1e-13
    max_iter: int = 100
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "ml"
    title: ClassVar[str] = ""
    restricted: ClassVar[bool] = False
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = _PROVIDES

    def __post_init__(self) -> None:
        check_options(self.tol, self.max_iter)

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

    def refits(self, spec: ModelSpec, estimate: PointEstimate, likelihood: Likelihood) -> NewtonRefits:
        """Fits of other responses, from starts near their maxima (`estimators.again`)."""
        return NewtonRefits(self, spec, estimate, likelihood)


def _fit(
    options: REML | ML, spec: ModelSpec, progress: Progress | None, likelihood: Likelihood | None
) -> PointEstimate:
    found = begin(options, spec, likelihood)
    if isinstance(found, PointEstimate):
        return found
    charts, rough = _approach(spec, found.likelihood, found.units, found.charts)

    def run(charts: list[Chart]) -> tuple[Ascent, Point, bool, str]:
        ascent = Ascent(spec, found.likelihood, found.units, options.tol, int(options.max_iter), progress)
        return ascent, *ascent.run(charts)

    ascent, at, converged, message = highest_end(run, spec, charts, given=options.start is not None)
    estimate = estimate_from(ascent, at, converged, message, options.name, options.restricted)
    return replace(estimate, reason=found.reason, extra={"single_precision_evaluations": rough})


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
