"""Analysis of variance of the fixed part of a fit: one F test a term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..inference.anova import TermHypothesis, check_type, term_hypotheses
from ..inference.df import check_df
from ..inference.ftest import FixedTests, FTest
from ..inference.trait_anova import ALL, COMMON, trait_hypotheses
from .fixed_tests import fixed_tests
from .listing import listing

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

COLUMNS = ("Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)")
METHODS = {
    "satterthwaite": "Satterthwaite's",
    "kenward-roger": "Kenward and Roger's",
    "residual": "residual",
    "normal": "infinite",
}


@dataclass(frozen=True)
class Anova:
    """The table that `PointResults.anova` returns; printing shows it.

    Attributes
    ----------
    frame : DataFrame
        One row a term: Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F), as lmerTest names them.  With several traits one
        row a term and trait, and one ("all") for the term in all of them together, without sums of squares.
    type : int
        1, 2 or 3.
    df : str
    hypotheses : mapping of str to DataFrame
        The rows L of each term's hypothesis Lβ = 0, one column a coefficient.
    notes : tuple of str
    """

    frame: pd.DataFrame
    type: int
    df: str
    hypotheses: Mapping[str, pd.DataFrame]
    notes: tuple[str, ...]

    def summary(self) -> ModelSummary:
        """The table as text, HTML and LaTeX."""
        title = f"Type {'I' * self.type} analysis of variance with {METHODS[self.df]} degrees of freedom"
        stubs = [str(name) for name in self.frame.index.names]
        return listing(title, self.frame.reset_index(), stubs, self.notes)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def anova(fit: PointResults, type: int | str, df: str) -> Anova:
    """See `PointResults.anova`."""
    import pandas as pd

    kind, tests = check_type(type), fixed_tests(fit, check_df(df))
    if fit.spec.traits is not None:
        return _of_traits(fit, tests, kind, df)
    terms = term_hypotheses(fit.spec, kind)
    rows = [_row(tests.joint(term.L), fit.scale) for term in terms]
    frame = pd.DataFrame(rows, columns=list(COLUMNS), index=pd.Index([t.name for t in terms], name="term"))
    frame["NumDF"] = frame["NumDF"].astype(int)
    names = list(fit.spec.x_names)
    hypotheses = {term.name: pd.DataFrame(term.L, columns=names) for term in terms}
    return Anova(frame, kind, df, hypotheses, _notes(fit, terms, kind))


def _of_traits(fit: PointResults, tests: FixedTests, kind: int, df: str) -> Anova:
    """Each term in every trait, and in all of them together: MANOVA's hypothesis, by Wald's F."""
    import pandas as pd

    found = trait_hypotheses(fit.spec, kind)
    rows = [_row(tests.joint(one.L), 1.0)[2:] for one in found]
    index = pd.MultiIndex.from_tuples([(one.term, one.trait) for one in found], names=["term", "trait"])
    frame = pd.DataFrame(rows, columns=list(COLUMNS[2:]), index=index)
    frame["NumDF"] = frame["NumDF"].astype(int)
    names = list(fit.spec.x_names)
    hypotheses = {
        one.term if one.trait in (ALL, COMMON) else f"{one.trait}: {one.term}": pd.DataFrame(one.L, columns=names)
        for one in found
    }
    own = [TermHypothesis(f"{one.term} ({one.trait})", one.L, one.nominal) for one in found if one.trait != ALL]
    about = (f"{ALL}: no effect on any trait, Wald's F (the hypothesis of a MANOVA).",)
    more = about if any(one.trait == ALL for one in found) else ()
    return Anova(frame, kind, df, hypotheses, (*more, *_notes(fit, own, kind)))


def _row(test: FTest, scale: float) -> tuple[float, ...]:
    """Sums of squares are F (before Kenward and Roger's λ) in units of the residual variance."""
    mean_square = test.statistic / test.scale * scale
    c = test.df_num
    return (
        mean_square * c if c else np.nan,
        mean_square,
        c,
        test.df_denom,
        test.statistic,
        test.pvalue,
    )


def _notes(fit: PointResults, terms: list[TermHypothesis], kind: int) -> tuple[str, ...]:
    nothing = [t.name for t in terms if not len(t.L)]
    partial = [t.name for t in terms if 0 < len(t.L) < t.nominal]
    notes = []
    if nothing:
        notes.append(f"Not estimable: no part of {', '.join(nothing)} can be told from the other terms.")
    if partial:
        notes.append(
            f"Only a part of {', '.join(partial)} is estimable (fewer degrees of freedom than columns): the design has "
            f"empty cells or dependent columns ({', '.join(fit.spec.aliased)})."
        )
    if fit.spec.aliased and kind == 3:
        notes.append("Type III hypotheses depend on which cells are empty: compare estimable cell means by contrast().")
    return tuple(notes)
