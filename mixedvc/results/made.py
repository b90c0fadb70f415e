"""Which class of results a fit has: one for a single response, one for several traits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..design.spec import ModelSpec
from ..estimators.base import Estimator, PointEstimate
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
    """The results of an estimate: `TraitResults` for several traits, else `PointResults`."""
    from .point import PointResults
    from .traits import TraitResults

    kind = PointResults if spec.traits is None else TraitResults
    return kind(spec, estimate, likelihood, estimator, information)
