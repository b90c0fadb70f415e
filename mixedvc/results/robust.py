"""Cluster-robust inference on the fixed effects of a fit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NotProvided
from ..inference import intervals
from ..inference.ftest import FixedTests
from ..inference.hypotheses import hypotheses
from ..inference.multiplicity import check_adjust
from ..inference.robust import check_kind, cluster_labels, independent_clusters, robust_covariance
from .contrasts import Contrasts, contrast_table
from .listing import interval_names, listing

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary


@dataclass(frozen=True)
class RobustResults:
    """What `PointResults.cov_robust` returns; printing shows the coefficients.

    Attributes
    ----------
    cov : DataFrame
        The sandwich covariance of the fixed effects.
    params, bse, tvalues, df, pvalues : Series
        Coefficients and their t tests with Bell and McCaffrey's degrees of freedom.
    kind : str
    n_clusters : int
    notes : tuple of str
    """

    cov: pd.DataFrame
    params: pd.Series
    bse: pd.Series
    tvalues: pd.Series
    df: pd.Series
    pvalues: pd.Series
    kind: str
    n_clusters: int
    notes: tuple[str, ...]
    tests: FixedTests = field(repr=False)
    aliased: tuple[str, ...] = ()

    def conf_int(self, alpha: float = 0.05) -> pd.DataFrame:
        """coef ± t·se, columns 0 and 1."""
        import pandas as pd

        low, high = self.tests.coefficients().interval(intervals.check_level(1 - alpha))
        return pd.DataFrame({0: low, 1: high}, index=self.params.index)

    def contrast(self, L: Any, rhs: Any = None, *, adjust: str = "none", level: float = 0.95) -> Contrasts:
        """As `PointResults.contrast`; ``.f_test()`` is Pustejovsky and Tipton's HTZ test."""
        import pandas as pd

        found = hypotheses(L, list(self.params.index), rhs, self.aliased)
        labels = pd.DataFrame({"contrast": pd.Series(found.labels, dtype=object)})
        adjust, level = check_adjust(adjust, pairs=False), intervals.check_level(level)
        return contrast_table(
            self.tests, found.L, found.rhs, labels, df="robust", adjust=adjust, level=level, notes=self.notes
        )

    def summary(self, level: float = 0.95) -> ModelSummary:
        """Coefficients with robust tests, as text, HTML and LaTeX."""
        import pandas as pd

        low, high = self.tests.coefficients().interval(intervals.check_level(level))
        columns = {"coef": self.params, "se": self.bse, "df": self.df, "t": self.tvalues, "p": self.pvalues}
        frame = pd.DataFrame({**columns, "lower": low, "upper": high})
        frame.index.name = "Fixed effects"
        title = "Fixed effects with cluster-robust standard errors"
        return listing(title, frame, ["Fixed effects"], self.notes, interval_names(level))

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def cov_robust(fit: PointResults, cluster: Any, kind: str) -> RobustResults:
    """See `PointResults.cov_robust`."""
    import pandas as pd

    check_kind(kind)
    if fit.estimate.fixed_effects != "gls":
        raise NotProvided(
            f"method {fit.method!r} estimates fixed effects by least squares or has none; cov_robust() is the sandwich "
            "of generalised least squares: fit with method='reml' or 'ml'"
        )
    spec = fit.spec
    if cluster is None:
        clusters = independent_clusters(spec, None, "the independent groups of the model")
    else:
        clusters = independent_clusters(spec, *cluster_labels(spec, cluster))
    tests = FixedTests(fit.evaluation.beta, robust_covariance(spec, fit.evaluation, clusters, kind))
    rows, names = tests.coefficients(), list(spec.x_names)

    def series(values: Any, name: str) -> pd.Series:
        return pd.Series(np.array(values), index=names, name=name)

    return RobustResults(
        cov=pd.DataFrame(tests.cov, index=names, columns=names),
        params=series(rows.estimate, "coef"),
        bse=series(rows.se, "std err"),
        tvalues=series(rows.t, "t"),
        df=series(rows.df, "df"),
        pvalues=series(rows.pvalue, "P>|t|"),
        kind=kind,
        n_clusters=len(clusters),
        notes=_notes(kind, len(clusters), clusters.name, spec.p),
        tests=tests,
        aliased=spec.aliased,
    )


def _notes(kind: str, m: int, name: str, p: int) -> tuple[str, ...]:
    out = [f"{kind} sandwich over {m} clusters ({name}); the model's covariance is the working one."]
    if kind == "CR2":
        out.append("CR2 is unbiased where the working covariance holds.")
    out.append("t tests use Bell and McCaffrey's degrees of freedom.")
    if m <= p:
        out.append(f"There are no more clusters ({m}) than coefficients ({p}): some of them cannot be tested so.")
    return tuple(out)
