"""Restricted Haseman-Elston regression: the least squares of `he` over Σ ⪰ 0, zeros exact (MATH: 4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..progress import Progress
from .base import PointEstimate, estimators
from .moment_fit import MomentRefits, fit_moments
from .moment_options import check_options


@estimators.register("rehe")
@dataclass(frozen=True)
class REHE:
    """Haseman-Elston regression over the cone Σ ⪰ 0: non-negative least squares for variances; options as `HE`.

    Standard errors and intervals of "sandwich" and "jackknife" are those of the unconstrained estimate, around it: at
    a zero they still cover what they say, where percentiles of the constrained bootstrap do not (about 80 %).
    ``se="bootstrap"`` estimates under the constraint again and again.

    References
    ----------
    Yue et al. (2021) Genetic Epidemiology 45:171 (``projection=False`` is theirs).
    """

    projection: bool = True
    entries: str = "all"
    se: str = "auto"
    trace: str = "exact"
    probes: int = 100
    n_boot: int = 500
    n_blocks: int = 20
    fixed: str = "gls"
    outer: Any = field(default=None, compare=False, repr=False)
    fixed_varcomp: Mapping[str, Any] | None = None

    name: ClassVar[str] = "rehe"
    title: ClassVar[str] = "restricted Haseman-Elston regression"
    needs: ClassVar[frozenset[str]] = frozenset({"moments"})
    provides: ClassVar[frozenset[str]] = frozenset({"theta", "beta", "blup"})

    def __post_init__(self) -> None:
        check_options(self)

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Solve the moment equations of `spec` over Σ ⪰ 0; `rng` is used as by `HE`."""
        return fit_moments(self, spec, rng, progress, constrained=True)

    def refits(self, spec: ModelSpec, estimate: PointEstimate, likelihood: Likelihood | None) -> MomentRefits:
        """The same equations for other responses, without standard errors (`estimators.again`)."""
        return MomentRefits(self, spec, constrained=True)
