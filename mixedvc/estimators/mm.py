"""MM: a minorizer of the likelihood that separates the terms, maximised in closed form (MATH: 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..likelihood.choose import Purpose
from ..progress import Progress
from .base import PointEstimate, estimators
from .charts import Chart
from .climb import Whole, check_climb, climb
from .surrogate import mm_step


@estimators.register("mm")
@dataclass(frozen=True)
class MM:
    """Maximum likelihood, restricted or not, by minorization and maximisation.

        Σ M Σ = Σ₀ Q Σ₀,      θ ← θ √(quad / trace)  for one variance.

    Every update raises the criterion.  The log-determinant is below its tangent, and the quadratic form is convex in V.

    Parameters
    ----------
    tol : float
        Newton decrement, in units of log-likelihood, at which the iteration ends.  It is smaller than Newton's own:
        an iteration whose steps shrink by a factor stops as far from the maximum as the decrement says.
    max_iter : int
        Largest number of updates.
    restricted : bool
        Restricted maximum likelihood (True) or maximum likelihood.
    accelerate : "squarem" or None
        Squared extrapolation, kept where it does not lower the criterion, or the plain monotone iteration.
    fixed_varcomp, start, likelihood
        As in `REML`.

    References
    ----------
    Zhou, Hu, Zhou & Lange (2019) J. Comput. Graph. Statist. 28:350; Varadhan & Roland (2008) Scand. J. Statist. 35:335.
    """

    tol: float = 1e-14
    max_iter: int = 20_000
    restricted: bool = True
    accelerate: str | None = "squarem"
    fixed_varcomp: Mapping[str, Any] | None = None
    start: Mapping[str, Any] | None = None
    likelihood: str | None = None

    name: ClassVar[str] = "mm"
    title: ClassVar[str] = "MM"
    purpose: ClassVar[Purpose] = "iterate"
    needs: ClassVar[frozenset[str]] = frozenset({"likelihood"})
    provides: ClassVar[frozenset[str]] = frozenset({"loglik", "theta", "beta", "blup"})

    def __post_init__(self) -> None:
        check_climb(self.tol, self.max_iter, self.restricted, self.accelerate)

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate:
        """Maximise the (restricted) likelihood of `spec`; deterministic, `rng` is not used."""
        return climb(self, spec, _update, progress, likelihood)


def _update(whole: Whole) -> dict[int, Chart]:
    return {one.term: mm_step(one) for one in whole.seen}
