"""Which class of results a fit has: a point or a posterior, of one response or of several traits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..design.spec import ModelSpec
from ..estimators.base import Estimator, PointEstimate, PosteriorEstimate
from ..likelihood.base import Likelihood

if TYPE_CHECKING:
    from .point import PointResults


def made(
    spec: ModelSpec,
    estimate: PointEstimate,
    likelihood: Likelihood | None,
    estimator: Estimator | None = None,
    information: str = "auto",
) -> PointResults:
    """The results of an estimate: a point or a posterior, of one response or of several traits."""
    from .point import PointResults
    from .posterior import PosteriorResults, TraitPosterior
    from .traits import TraitResults

    several = spec.traits is not None
    if isinstance(estimate, PosteriorEstimate):
        kind: type[PointResults] = TraitPosterior if several else PosteriorResults
    else:
        kind = TraitResults if several else PointResults
    return kind(spec, estimate, likelihood, estimator, information)
