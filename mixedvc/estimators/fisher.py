"""Fisher scoring: Newton steps on the expected information (MATH: 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..progress import Progress
from .again import NewtonRefits
from .base import PointEstimate, estimators
from .charts import Chart
from .newton import Ascent, Point, estimate_from
from .second_start import highest_end
from .setup import begin, check_options, check_restricted


@estimators.register("fisher")
@dataclass(frozen=True)
class Fisher:
    """Maximum likelihood, restricted or not, by scoring: θ ← θ + I⁻¹ score,  I_jk = ½ tr(T V_j T V_k).

    The steps, the cone and the end are those of `REML` with the expected in the place of the average information; after
    20 iterations the observed one takes over where the expected one crawls.  Where V is dense an iteration costs
    several products of n×n matrices, so that `REML` is the faster one.

    Parameters
    ----------
    tol : float
        Newton decrement, in units of log-likelihood, at which the iteration ends; smaller than that of `REML`, whose
        last step overshoots its tolerance by more.
    max_iter : int
        Largest number of iterations.
    restricted : bool
        Restricted maximum likelihood (True) or maximum likelihood.
    fixed_varcomp, start, likelihood
        As in `REML`.

    References
    ----------
    Jennrich & Sampson (1976) Technometrics 18:11; Longford (1987) Biometrika 74:817.
    """

    tol: float = 1e-14
    max_iter: int = 200
    restricted: bool = True
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "fisher"
    title: ClassVar[str] = "Fisher scoring"
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = frozenset({"loglik", "theta", "beta", "blup"})

    def __post_init__(self) -> None:
        check_options(self.tol, self.max_iter)
        check_restricted(self.restricted)

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Maximise the (restricted) likelihood of `spec`; deterministic, `rng` is not used."""
        found = begin(self, spec, likelihood)
        if isinstance(found, PointEstimate):
            return found

        def run(charts: list[Chart]) -> tuple[Ascent, Point, bool, str]:
            ascent = Ascent(
                spec,
                found.likelihood,
                found.units,
                self.tol,
                int(self.max_iter),
                progress,
                information="expected",
                patience=20,
            )
            return ascent, *ascent.run(charts)

        ascent, at, converged, message = highest_end(run, spec, found.charts, given=self.start is not None)
        return replace(estimate_from(ascent, at, converged, message, self.name, self.restricted), reason=found.reason)

    def refits(self, spec: ModelSpec, estimate: PointEstimate, likelihood: Likelihood) -> NewtonRefits:
        """Fits of other responses, from starts near their maxima (`estimators.again`)."""
        return NewtonRefits(self, spec, estimate, likelihood, information="expected", patience=20)
