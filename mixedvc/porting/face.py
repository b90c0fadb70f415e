"""R's generic functions, for several kinds of objects: ``summary``, ``coef``, ``as_data_frame``, broom's three."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd

from ..errors import OptionError
from ..results.emmeans import MarginalMeans
from .extract import Ranef, model_coef, ranef_frame
from .mermod import LmerMod, need_model
from .rvalues import RFrame, frame
from .summary import SummaryMerMod, df_method, summary_of
from .varcorr import ComponentList, ImportanceList, VarCorrMerMod, varcorr_frame


def summary(x: Any, ddf: str | None = None, correlation: bool | None = None) -> Any:
    """R's ``summary``: of a model, as lme4 prints it, with ``ddf=`` as lmerTest does; of ``rePCA(m)``.

    Parameters
    ----------
    x : LmerMod, or what `rePCA` returns
    ddf : "Satterthwaite" | "Kenward-Roger" | "lme4", optional
    correlation : bool, optional
        Print the correlation of the fixed effects; by default for up to 20.
    """
    if isinstance(x, ComponentList):
        return ImportanceList({name: part.importance for name, part in x.items()})
    if hasattr(x, "summary") and not isinstance(x, LmerMod):
        return x.summary()
    return summary_of(need_model(x, "summary"), ddf, correlation)


def coef(x: Any) -> Any:
    """R's ``coef``: fixed plus random effects by group; of ``summary(m)``, its table of fixed effects."""
    return x.coefficients if isinstance(x, SummaryMerMod) else model_coef(need_model(x, "coef"))


def as_data_frame(x: Any, order: str = "cov.last") -> RFrame:
    """R's ``as.data.frame`` of ``VarCorr(m)``, ``ranef(m)`` or a table."""
    if isinstance(x, VarCorrMerMod):
        if order not in ("cov.last", "lower.tri"):
            raise OptionError(f"as_data_frame(order={order!r}): 'cov.last' or 'lower.tri'")
        return varcorr_frame(x, order)
    if isinstance(x, Ranef):
        return ranef_frame(x)
    return frame(pd.DataFrame(x))


def emmeans(
    m: LmerMod, specs: Any, by: Any = None, at: Any = None, ddf: str | None = None, adjust: str = "none"
) -> MarginalMeans:
    """R's ``emmeans``: estimated marginal means of factors, ``"f"``, ``["f", "g"]`` or ``"~ f | g"``.

    Parameters
    ----------
    specs, by : str or list of str
    at : mapping, optional
        Values of covariates (their means by default) or levels of factors.
    ddf : "Satterthwaite" | "Kenward-Roger", optional
        The second by default for REML fits, as in R.
    adjust : str

    Returns
    -------
    mixedvc's marginal means, with ``contrast("pairwise")``; `pairs` is short for it.
    """
    need_model(m, "emmeans")
    if isinstance(specs, str) and "~" in specs:
        left, _, right = specs.replace("~", "", 1).partition("|")
        specs = [part.strip() for part in re.split(r"[*+:]", left)]
        by = by or [part.strip() for part in re.split(r"[*+:]", right) if part.strip()] or None
    df = df_method(ddf or ("Kenward-Roger" if m.reml else "Satterthwaite"))
    made: MarginalMeans = m.fit.emmeans(specs, by, at, df=df, adjust=adjust)
    return made


def pairs(means: MarginalMeans, adjust: str = "tukey") -> Any:
    """R's ``pairs(emmeans(…))``: all pairwise differences, adjusted by Tukey's method as in R."""
    return means.contrast("pairwise", adjust=adjust)


def tidy(
    m: LmerMod, effects: Any = ("ran_pars", "fixed"), conf_int: bool = False, conf_level: float = 0.95,
    ddf: str | None = None,
) -> RFrame:  # fmt: skip
    """``broom.mixed::tidy``: effect, group, term, estimate, std.error, statistic; with `ddf` also df and p.value."""
    from .broom import tidied

    return tidied(need_model(m, "tidy"), effects, conf_int, conf_level, ddf)


def glance(m: LmerMod) -> RFrame:
    """``broom.mixed::glance``: one row of criteria."""
    need_model(m, "glance")
    last = {"REMLcrit": -2 * m.fit.llf} if m.reml else {"deviance": -2 * m.fit.llf}
    row = {"nobs": m.spec.n, "sigma": m.sigma, "logLik": m.fit.llf, "AIC": m.fit.aic, "BIC": m.fit.bic}
    return frame(pd.DataFrame([{**row, **last, "df.residual": m.df_residual}]))


def augment(m: LmerMod) -> RFrame:
    """``broom.mixed::augment``: the data with .fitted, .resid, .fixed and more."""
    return frame(need_model(m, "augment").fit.augment())
