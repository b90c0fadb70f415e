"""``summary(m)``: lme4's layout, and lmerTest's where degrees of freedom are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from ..errors import OptionError
from ..inference import intervals
from .extract import residuals
from .mermod import LmerMod, criterion_text, groups_text, head_text, need_model, varcorr_table, warnings_text
from .rnumbers import abbreviated, common, format_numbers, rounded, zapped
from .rtables import coefficient_table, grid, named_vector
from .rvalues import RFrame, frame

DDF = {"Satterthwaite": "satterthwaite", "Kenward-Roger": "kenward-roger"}
MOST_CORRELATIONS = 20


def df_method(ddf: str) -> str:
    """mixedvc's name of a method for degrees of freedom."""
    if ddf not in DDF:
        raise OptionError(f"ddf={ddf!r}: choose {', '.join(map(repr, DDF))}, or 'lme4' for none")
    return DDF[ddf]


@dataclass(frozen=True, repr=False)
class SummaryMerMod:
    """What ``summary(m)`` prints; ``coef(summary(m))`` is its table of fixed effects.

    Attributes
    ----------
    model : LmerMod
    ddf : str or None
        "Satterthwaite" or "Kenward-Roger" add degrees of freedom and p-values.
    correlation : bool or None
        Print the correlation of fixed effects; None: up to 20 of them.
    """

    model: LmerMod
    ddf: str | None = None
    correlation: bool | None = None

    @cached_property
    def coefficients(self) -> RFrame:
        """Estimates, standard errors, t values; with `ddf` also df and p-values."""
        m = self.model
        beta, se = np.array(m.fit.evaluation.beta), np.sqrt(np.diagonal(m.fit.evaluation.beta_cov))
        columns = {"Estimate": beta, "Std. Error": se}
        if self.ddf is not None:
            method = df_method(self.ddf)
            if method == "kenward-roger":
                table = m.fit.tidy(effects="fixed", df=method)
                columns["Std. Error"] = se = table["std.error"].to_numpy(dtype=float)
                columns["df"] = df = table["df"].to_numpy(dtype=float)
            else:
                columns["df"] = df = np.asarray(m.fit.df_fixed(method), dtype=float)
            columns["t value"] = beta / se
            columns["Pr(>|t|)"] = intervals.t_pvalue(beta / se, df)
        else:
            columns["t value"] = beta / se
        return frame(pd.DataFrame(columns, index=list(m.names)))

    def __repr__(self) -> str:
        return summary_text(self)

    __str__ = __repr__


def summary_of(m: LmerMod, ddf: str | None = None, correlation: bool | None = None) -> SummaryMerMod:
    """``summary(m)``; with ``ddf="Satterthwaite"`` or ``"Kenward-Roger"`` as lmerTest prints it."""
    need_model(m, "summary")
    if ddf is not None and ddf != "lme4":
        df_method(ddf)
    return SummaryMerMod(m, None if ddf == "lme4" else ddf, correlation)


def summary_text(s: SummaryMerMod) -> str:
    """All that is printed."""
    m = s.model
    title = None
    if s.ddf is not None:
        how = "REML" if m.reml else "maximum likelihood "
        title = f"Linear mixed model fit by {how}. t-tests use {s.ddf}'s method"
    lines = [*head_text(m, title, "lmerMod" if title is None else "lmerModLmerTest"), "", criterion_text(m, 1), ""]
    lines += ["Scaled residuals: ", _quantiles(m), "", "Random effects:"]
    lines += [varcorr_table(m, 4, ("Variance", "Std.Dev.")), groups_text(m)]
    if m.names:
        lines += ["", "Fixed effects:", _fixed(s.coefficients)]
    p = len(m.names)
    if s.correlation or (s.correlation is None and p <= MOST_CORRELATIONS):
        lines += _correlations(m) if p > 1 else []
    elif s.correlation is None:
        lines += ["", f"Correlation matrix not shown by default, as p = {p} > {MOST_CORRELATIONS}."]
        lines += ["Use print(summary(m, correlation=True)), or vcov(m), if you need it"]
    return "\n".join(lines + warnings_text(m))


def _quantiles(m: LmerMod) -> str:
    values = residuals(m, "pearson", scaled=True).to_numpy()
    five = zapped(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]).tolist(), 5)
    return named_vector(["Min", "1Q", "Median", "3Q", "Max"], common(five, 4))


def _fixed(table: RFrame) -> str:
    columns = [str(c) for c in table.columns]
    values = [table[c].tolist() for c in table.columns]
    with_p = "df" in columns
    tests = [columns.index("t value")]
    return coefficient_table(
        list(table.index), columns, values, digits=4, estimates=range(tests[0]), tests=tests, p_last=with_p
    )


def _correlations(m: LmerMod) -> list[str]:
    V = np.array(m.fit.evaluation.beta_cov)
    sd = np.sqrt(np.diagonal(V))
    R, p = V / np.outer(sd, sd), len(sd)
    texts = format_numbers([rounded(float(x), 3) for x in R.reshape(-1)], nsmall=3)
    rows, columns = abbreviated(m.names, 11), abbreviated(m.names, 6)
    cells = [[texts[i * p + j] if i > j else "" for i in range(1, p)] for j in range(p - 1)]
    return ["", "Correlation of Fixed Effects:", grid(rows[1:], columns[:-1], cells, right=False)]
