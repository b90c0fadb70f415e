"""The test of a correlation of two traits against a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NotProvided, OptionError
from ..inference.chibar import Cone
from ..inference.trait_targets import correlation_target
from ..inference.trait_tests import p_value, reference_law
from ..inference.traits import TraitMatrix
from .listing import listing
from .profile import check_profiled
from .traits_covariances import check_estimated, held

if TYPE_CHECKING:
    from .traits import TraitResults

_NOTHING = 1e-7  # a likelihood ratio of rounding


@dataclass(frozen=True, repr=False)
class TraitCorrelationTest:
    """H0: the correlation of two traits is `rho`; printing shows it.

    Attributes
    ----------
    component : str
        Whose correlation.
    trait1, trait2 : str
    rho : float
        The value under the hypothesis.
    estimate : float
    statistic : float
        2(ℓ̂ − max ℓ given rho) of the criterion that was fitted.
    p_value : float
        Also as `pvalue`.
    df : str
        The law that the statistic is compared with, in words.
    llf, llf_null : float
        The two log-likelihoods.
    notes : tuple of str
    """

    component: str
    trait1: str
    trait2: str
    rho: float
    estimate: float
    statistic: float
    p_value: float
    df: str
    llf: float
    llf_null: float
    notes: tuple[str, ...] = field(default=())

    @property
    def pvalue(self) -> float:
        """`p_value`."""
        return self.p_value

    def summary(self) -> Any:
        """The test as text, HTML or LaTeX."""
        import pandas as pd

        row = {
            "traits": f"{self.trait1}, {self.trait2}",
            "correlation": self.estimate,
            "H0": f"{self.rho:g}",
            "Chi2": self.statistic,
            "p": self.p_value,
        }
        title = f"Likelihood-ratio test of a correlation in {self.component}"
        notes = (f"Law under the hypothesis: {self.df}.", *self.notes)
        names = {"p": "P(>Chi2)"}
        return listing(title, pd.DataFrame([row]), ["traits", "H0"], notes, names)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())


def correlation_test(fit: TraitResults, matrix: TraitMatrix, trait1: str, trait2: str, rho: float) -> Any:
    """See `TraitResults.test_correlation`."""
    check_estimated(fit)
    check_profiled(fit)
    j, k = sorted((matrix.at(trait1), matrix.at(trait2)))
    cone = _checked(fit, matrix, j, k, rho)
    target = correlation_target(fit.spec, matrix, j, k)
    estimate = float(matrix.correlations(fit.estimate.theta)[j, k])
    statistic, converged, top = 0.0, True, fit.llf
    if np.isfinite(estimate):  # else a variance is zero, which agrees with every correlation
        point = fit.profiler.at(target, float(rho))
        converged, top = point.stand.converged, fit.profiler.machine(bool(fit.estimate.reml)).loglik
        statistic = float(point.zeta**2) if point.zeta**2 > _NOTHING else 0.0
    p, law = p_value(statistic, cone)
    return TraitCorrelationTest(
        matrix.name,
        trait1,
        trait2,
        float(rho),
        estimate,
        statistic,
        p,
        law,
        top,
        top - 0.5 * statistic,
        _notes(fit, matrix, j, k, rho, cone, converged),
    )


def _checked(fit: TraitResults, matrix: TraitMatrix, j: int, k: int, rho: float) -> Cone:
    if j == k:
        raise OptionError(f"a trait's correlation with itself is 1: name two traits, not {matrix.traits[j]!r} twice")
    cone = reference_law(fit.spec, matrix, j, k, rho)
    if held(fit, matrix, j, k):
        raise NotProvided(f"the covariance of {matrix.name!r} is held fixed, so there is nothing to test")
    return cone


def _notes(
    fit: TraitResults, matrix: TraitMatrix, j: int, k: int, rho: float, cone: Cone, converged: bool
) -> tuple[str, ...]:
    out = []
    if abs(rho) == 1.0:
        out.append(
            "The hypothesis is at the edge of what a correlation can be; the law holds in large samples where the "
            "other covariances are not at an edge themselves."
        )
        if cone.extra:
            out.append("Of more than two effects it also says that both have the same correlations with the others.")
    C = matrix.value(fit.estimate.theta)
    zero = [matrix.traits[a] for a in (j, k) if not C[a, a] > 0]
    if zero:
        out.append(
            f"The variance of {' and of '.join(zero)} is zero, where a correlation has no meaning: every value fits "
            "equally well."
        )
    if not converged:
        out.append("The fit under the hypothesis did not converge: the statistic may be too large.")
    return tuple(out)
