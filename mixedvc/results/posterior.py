"""Results of a sampler: every number is a summary of draws, and the draws themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..estimators.base import PosteriorEstimate
from ..sampling.base import Draws
from .point import PointResults
from .traits import TraitResults


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorResults(PointResults):
    """A sampled posterior. Point estimates are posterior means, standard errors posterior standard deviations."""

    @property
    def draws(self) -> Draws:
        """Kept draws as arrays."""
        assert isinstance(self.estimate, PosteriorEstimate)
        return self.estimate.draws  # type: ignore[no-any-return]

    @cached_property
    def posterior(self) -> Any:
        """The draws as ArviZ data with named dimensions."""
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class TraitPosterior(PosteriorResults, TraitResults):
    """A sampled posterior of several traits."""
