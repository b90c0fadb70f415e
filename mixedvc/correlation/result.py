"""What a genetic correlation of two samples is reported as: estimates, intervals, a test, one table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inference.ratios import Ratio

if TYPE_CHECKING:
    import pandas as pd

    from ..results.point import PointResults

Pair = tuple[str, str]


@dataclass(frozen=True)
class CorrelationTest:
    """H0: the genetic covariance of the samples is zero.

    Attributes
    ----------
    statistic : float
        χ² of the likelihood ratio, or z of the covariance.
    p_value : float
        Two-sided.
    method : str
        Statistic and reference distribution, in words.
    llf, llf_null : float or None
        Log-likelihoods with and without the covariance; None for a z test.
    """

    statistic: float
    p_value: float
    method: str
    llf: float | None = None
    llf_null: float | None = None

    def __str__(self) -> str:
        from ..results.numbers import p_value

        shown = p_value(self.p_value)
        small = shown.startswith("<")
        return f"{self.method}: {self.statistic:.3f}, P {'< ' + shown[1:] if small else '= ' + shown}"


@dataclass(frozen=True)
class GeneticCorrelation:
    """Genetic correlation of two samples; ``print`` shows the table.

    Attributes
    ----------
    names : (str, str)
        Of the samples.
    rho : Ratio
        Correlation: ``rho.estimate``, ``rho.se``, ``rho.lower``, ``rho.upper``. NaN where a variance is not positive;
        estimates by moments may lie outside [−1, 1].
    covariance : Ratio
        σ₁₂.
    variances : (Ratio, Ratio)
        Genetic variance of each sample (of the standardised response where made from summary statistics).
    heritabilities : (Ratio, Ratio)
        Genetic share of each sample's variance.
    test : CorrelationTest or None
        Of ρ = 0; None where it was not asked for or has no answer (`notes` say why).
    method : str
    sizes : (int, int)
        Rows, or individuals, of each sample.
    fit : PointResults or None
        The joint fit; None where made from summary statistics.
    about : tuple of (str, str)
        Further facts of the table's head.
    notes : tuple of str
    """

    names: Pair
    rho: Ratio
    covariance: Ratio
    variances: tuple[Ratio, Ratio]
    heritabilities: tuple[Ratio, Ratio]
    test: CorrelationTest | None
    method: str
    sizes: tuple[float, float]
    fit: PointResults | None = field(default=None, repr=False)
    about: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def quantities(self) -> tuple[Ratio, ...]:
        """Everything estimated, in the order of the table; variances that are the heritabilities stand there once."""
        variances = () if self.variances is self.heritabilities else self.variances
        return (self.rho, self.covariance, *variances, *self.heritabilities)

    @property
    def table(self) -> pd.DataFrame:
        """One row a quantity: estimate, se, lower, upper."""
        import pandas as pd

        rows = [(q.estimate, q.se, q.lower, q.upper) for q in self.quantities]
        return pd.DataFrame(rows, columns=["estimate", "se", "lower", "upper"], index=[q.name for q in self.quantities])

    def summary(self) -> Any:
        """A statsmodels Summary: text, HTML and LaTeX."""
        from ..results.render import render
        from ..results.table import SummaryTable

        head = [("Method", self.method), *self.about]
        left, right = head[::2], head[1::2]
        right += [("", "")] * (len(left) - len(right))
        banner = ""
        if self.fit is not None and not self.fit.converged:
            banner = f"NOT CONVERGED: {self.fit.estimate.message}. The numbers below are not an optimum."
        return render(
            SummaryTable(
                title=f"Genetic correlation of {self.names[0]} and {self.names[1]}",
                banner=banner,
                header=tuple(zip(left, right, strict=True)),
                grids=tuple(_grids(self)),
                notes=self.notes,
            )
        )

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())


def _why_none(result: GeneticCorrelation) -> str:
    """What stands in the place of a standard error that there is not."""
    if result.fit is None or result.fit.estimate.loglik is None:
        return ""
    return "fixed" if result.fit.estimate.fixed[:3].all() else "boundary"


def _grids(result: GeneticCorrelation) -> list[Any]:
    from ..results.numbers import p_value, significant
    from ..results.table import Grid

    tail = (1 - result.rho.level) / 2
    limits = (f"[{np.round(tail, 6):g}", f"{np.round(1 - tail, 6):g}]")
    rows = []
    for q in result.quantities:
        error = significant(q.se) or (_why_none(result) if np.isfinite(q.estimate) else "")
        rows.append((q.name, significant(q.estimate), error, significant(q.lower), significant(q.upper)))
    grids = [Grid(("", "estimate", "std err", *limits), tuple(rows), 1)]
    if result.test is not None:
        test = result.test
        row = (test.method, f"{test.statistic:.3f}", p_value(test.p_value))
        grids.append(Grid(("Test of no genetic correlation", "statistic", "P"), (row,), 1))
    return grids
