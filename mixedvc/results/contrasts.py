"""Linear functions of the fixed effects with their tests and intervals, one by one and together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..inference import intervals
from ..inference.df import check_df
from ..inference.ftest import FixedTests, FTest
from ..inference.hypotheses import hypotheses
from ..inference.multiplicity import adjusted_pvalues, check_adjust, critical_values
from .fixed_tests import fixed_tests
from .listing import interval_names, listing

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

Float = NDArray[np.float64]
ADJUSTED = {
    "bonferroni": "Bonferroni",
    "holm": "Holm (intervals: Bonferroni)",
    "sidak": "Sidak",
    "fdr": "Benjamini-Hochberg (intervals: Bonferroni)",
    "mvt": "the multivariate t distribution",
}
NUMBERS = ("estimate", "se", "rhs", "df", "t", "p", "lower", "upper")  # a variable of such a name gets a point
TESTS = {
    "satterthwaite": "Satterthwaite's degrees of freedom",
    "kenward-roger": "Kenward and Roger's standard errors and degrees of freedom",
    "residual": "residual degrees of freedom, n - p",
    "normal": "normal tests: the variances count as known",
    "robust": "cluster-robust standard errors",
}


@dataclass(frozen=True)
class Contrasts:
    """What `PointResults.contrast` and `MarginalMeans.contrast` return; printing shows the table.

    Attributes
    ----------
    frame : DataFrame
        Labels, then estimate, se, df, t, p, lower, upper; rhs where a hypothesis is not about zero.  p and the limits
        are adjusted for the family by `adjust`.
    L : (c, p)
        One row a contrast, NaN where it is not estimable.
    rhs : (c,)
        What L β is compared with.
    df, adjust : str
    level : float
    notes : tuple of str
    """

    frame: pd.DataFrame
    L: Float
    rhs: Float
    df: str
    adjust: str
    level: float
    notes: tuple[str, ...]
    tests: FixedTests = field(repr=False)

    def f_test(self) -> FTest:
        """All (estimable) rows together: statistic, df_num, df_denom, pvalue."""
        there = np.isfinite(self.L).all(axis=1)
        return self.tests.joint(self.L[there], self.rhs[there])

    def summary(self) -> ModelSummary:
        """The table as text, HTML and LaTeX."""
        stubs = list(self.frame.columns)[: list(self.frame.columns).index("estimate")]
        return listing("Contrasts of fixed effects", self.frame, stubs, self.notes, interval_names(self.level))

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def contrast(fit: PointResults, given: Any, rhs: Any, df: str, adjust: str, level: float) -> Contrasts:
    """See `PointResults.contrast`."""
    import pandas as pd

    found = hypotheses(given, fit.spec.x_names, rhs, fit.spec.aliased)
    adjust, level = check_adjust(adjust, pairs=False), intervals.check_level(level)
    labels = pd.DataFrame({"contrast": pd.Series(found.labels, dtype=object)})
    return contrast_table(fixed_tests(fit, check_df(df)), found.L, found.rhs, labels, df=df, adjust=adjust, level=level)


def contrast_table(
    tests: FixedTests,
    L: Float,
    rhs: Float,
    labels: pd.DataFrame,
    *,
    df: str,
    adjust: str,
    level: float,
    families: NDArray[np.intp] | None = None,
    means: int | None = None,
    notes: tuple[str, ...] = (),
    shift: Float | float = 0.0,
) -> Contrasts:
    """Test rows L β + shift = rhs, each of `families` (c,) adjusted by itself."""
    rows = tests.rows(L, rhs - shift)
    estimate = rows.estimate + shift
    there = np.isfinite(rows.estimate)
    nu = np.where(there, rows.df, np.nan)
    p, half = np.full(len(L), np.nan), np.full(len(L), np.nan)
    family = np.zeros(len(L), dtype=np.intp) if families is None else families
    for one in np.unique(family):
        some = family == one
        R = _correlation(L[some], tests.cov) if adjust == "mvt" else None
        p[some] = adjusted_pvalues(rows.t[some], nu[some], adjust, means, R)
        half[some] = critical_values(nu[some], level, adjust, means, R)
    frame = labels.rename(columns={name: f"{name}." for name in labels.columns if name in NUMBERS})
    frame["estimate"], frame["se"] = estimate, rows.se
    if np.any(rhs != 0.0):
        frame["rhs"] = rhs
    frame["df"], frame["t"], frame["p"] = nu, rows.t, p
    frame["lower"], frame["upper"] = estimate - half * rows.se, estimate + half * rows.se
    said = _notes(df, adjust, [int(np.sum((family == one) & there)) for one in np.unique(family)], means)
    return Contrasts(frame, L, rhs - shift, df, adjust, level, (*said, *notes), tests)


def _correlation(L: Float, cov: Float) -> Float:
    C = L @ cov @ L.T
    d = np.sqrt(np.diagonal(C))
    with np.errstate(invalid="ignore", divide="ignore"):
        return C / d[:, None] / d


def _notes(df: str, adjust: str, sizes: list[int], means: int | None) -> list[str]:
    out = [f"Tests: {TESTS[df]}."]
    if adjust == "tukey":
        out.append(f"P-values and intervals are adjusted by Tukey's studentized range of {means} means.")
    elif adjust != "none" and max(sizes, default=0) > 1:
        many = f"{sizes[0]}" if len(set(sizes)) == 1 else "up to " + str(max(sizes))
        out.append(f"P-values and intervals are adjusted for {many} tests by {ADJUSTED[adjust]}.")
    return out
