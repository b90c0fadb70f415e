"""Results of a fit of several traits: what `PointResults` has, and covariances among the traits."""

from __future__ import annotations

from dataclasses import dataclass

from .point import PointResults
from .trait_prediction import TraitPrediction


@dataclass(frozen=True, eq=False, repr=False)
class TraitResults(TraitPrediction, PointResults):
    """A fitted model of several traits."""

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of the traits."""
        return tuple(self.spec.traits.names)
