"""Haseman-Elston regression: least squares of y yᵀ on the V_j, θ̂ = S⁻¹q, negative where the data say so (MATH: 4)."""

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


@estimators.register("he", "mom")
@dataclass(frozen=True)
class HE:
    """Haseman-Elston regression (method of moments), without a constraint: estimates may be negative.

    Minimises ‖M y yᵀ M − Σ_j θ_j M V_j M‖² with M = I − X(XᵀX)⁻¹Xᵀ.  Parameters of patterned structures (cs, ar1)
    minimise the same inside their own bounds.

    Parameters
    ----------
    projection : bool
        Project the V_j off the fixed effects as the response is; without it (as the REHE package does) the estimates
        are biased down.
    entries : "all" | "upper"
        All n² products y_i y_k, or each pair once.
    se : str
        "sandwich": S⁻¹ Cov(q) S⁻¹ for a Gaussian response; "bootstrap": responses drawn from the fitted model and
        estimated again, with percentile intervals on request; "jackknife": groups of families left out in turn;
        "none".  "auto" is the sandwich, with `outer` the jackknife.
    trace : "exact" | "hutchinson"
        tr(M V_j M V_k) exactly, or with random probes; their Monte-Carlo error is reported.
    probes : int
        Random probes of "hutchinson", and of a sandwich whose exact traces would take long.
    n_boot : int
        Responses drawn by the bootstrap.
    n_blocks : int
        Groups of the jackknife.
    fixed : "gls" | "ols"
        Fixed effects by generalised least squares at the estimate, or by least squares with a sandwich of their own,
        which needs no V⁻¹.
    outer : (n, n) array or DataFrame, optional
        A symmetric matrix in place of y yᵀ, e.g. −½ J D∘D J for distances D among the rows; a frame is matched by the
        labels of the rows.  There are then no fixed effects and no predictions.
    fixed_varcomp : mapping, optional
        Components held at given values: ``{"animal": 20.0, "residual": 40.0}``.

    References
    ----------
    Haseman & Elston (1972) Behavior Genetics 2:3; Wu & Sankararaman (2018) Bioinformatics 34:i187 (random probes).

    Examples
    --------
    >>> import mixedvc as mv
    >>> fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"), method="he")
    >>> fit.varcomp["variance"].round(6).tolist()
    [-1.321913, 14.94589]
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

    name: ClassVar[str] = "he"
    title: ClassVar[str] = "Haseman-Elston regression"
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
        """Solve the moment equations of `spec`; `rng` is used by random probes, bootstrap and jackknife only."""
        return fit_moments(self, spec, rng, progress, constrained=False)

    def refits(self, spec: ModelSpec, estimate: PointEstimate, likelihood: Likelihood | None) -> MomentRefits:
        """The same equations for other responses, without standard errors (`estimators.again`)."""
        return MomentRefits(self, spec, constrained=False)
