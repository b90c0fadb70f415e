"""R's names for mixed models, so that a script for lme4 ports line by line: ``from mixedvc.porting.lme4 import *``.

Formulas are text, dots in names become underscores (``model_matrix``, ``re_form=``, ``allow_new_levels=``), columns
that R takes without quotes are text (``weights="w"``), lists are dictionaries (``relmat={"id": K}``). Every function
gives lme4's numbers under lme4's names, in lme4's order and, printed, in lme4's layout; ``m.fit`` is mixedvc's own
result.
"""

from __future__ import annotations

from ..io.datasets import load_data
from .compare import anova, drop1, ranova
from .extract import (
    AIC,
    BIC,
    REMLcrit,
    deviance,
    df_residual,
    extractAIC,
    fitted,
    fixef,
    formula,
    isLMM,
    isREML,
    isSingular,
    logLik,
    model_matrix,
    ngrps,
    nobs,
    ranef,
    refitML,
    residuals,
    sigma,
    terms,
    vcov,
    weights,
)
from .face import as_data_frame, augment, coef, emmeans, glance, pairs, summary, tidy
from .getme import getME
from .intervals import allFit, confint, profile
from .lmer import lmer, refit, update
from .notyet import glmer, lme, nlmer
from .predict import bootMer, predict, simulate
from .rlrt import exactRLRT
from .rvalues import attr, c, data_frame, head, rprint
from .varcorr import VarCorr, rePCA

resid = residuals
relmatLmer = lmer
pedigreemm = lmer
TRUE, FALSE, NULL = True, False, None
NA = float("nan")
na_omit, na_exclude, na_fail = "na.omit", "na.exclude", "na.fail"
contr_treatment, contr_sum, contr_helmert, contr_poly = "contr.treatment", "contr.sum", "contr.helmert", "contr.poly"

__all__ = [
    "AIC",
    "BIC",
    "FALSE",
    "NA",
    "NULL",
    "TRUE",
    "REMLcrit",
    "VarCorr",
    "allFit",
    "anova",
    "as_data_frame",
    "attr",
    "augment",
    "bootMer",
    "c",
    "coef",
    "confint",
    "contr_helmert",
    "contr_poly",
    "contr_sum",
    "contr_treatment",
    "data_frame",
    "deviance",
    "df_residual",
    "drop1",
    "emmeans",
    "exactRLRT",
    "extractAIC",
    "fitted",
    "fixef",
    "formula",
    "getME",
    "glance",
    "glmer",
    "head",
    "isLMM",
    "isREML",
    "isSingular",
    "lme",
    "lmer",
    "load_data",
    "logLik",
    "model_matrix",
    "na_exclude",
    "na_fail",
    "na_omit",
    "ngrps",
    "nlmer",
    "nobs",
    "pairs",
    "pedigreemm",
    "predict",
    "profile",
    "ranef",
    "ranova",
    "rePCA",
    "refit",
    "refitML",
    "relmatLmer",
    "resid",
    "residuals",
    "rprint",
    "sigma",
    "simulate",
    "summary",
    "terms",
    "tidy",
    "update",
    "vcov",
    "weights",
]
