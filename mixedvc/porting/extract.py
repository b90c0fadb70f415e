"""lme4's extractors: effects, criteria, fitted values, matrices; each gives lme4's numbers, names and layout."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import MixedVCWarning, OptionError, warn
from .coding import level_text, term_labels
from .lmer import refit_ml
from .mermod import Block, LmerMod, need_model
from .rnumbers import number
from .rvalues import OWN_LAYOUT, RFrame, RList, RText, RVector, frame

Float = NDArray[np.float64]


class LogLik(float):
    """A log-likelihood with ``df`` and ``nobs``; prints as R's."""

    df: int
    nobs: int

    def __repr__(self) -> str:
        return f"'log Lik.' {number(float(self))} (df={self.df})"

    __str__ = __repr__


OWN_LAYOUT.add(LogLik)


class Ranef(RList):
    """Random effects by grouping factor: levels × effects, with ``attr(re["g"], "postVar")``."""


class Coef(RList):
    """Coefficients of every level: fixed plus random."""

    note = 'attr(,"class")\n[1] "coef.mer"'


def fixef(m: LmerMod) -> RVector:
    """Fixed effects."""
    return RVector(np.array(need_model(m, "fixef").fit.evaluation.beta), index=list(m.names))


def levels_of(m: LmerMod, block: Block) -> list[str]:
    """Labels of a block's levels."""
    return [level_text(level) for level in m.term(block).levels]


def block_effects(m: LmerMod, block: Block) -> Float:
    """(q, k) conditional modes."""
    return np.asarray(m.fit.evaluation.blup(block.place))


def block_variances(m: LmerMod, block: Block) -> Float:
    """(k, k, q) conditional covariances, the fixed effects taken as known."""
    k, term = len(block.effects), m.term(block)
    cov = m.fit.random_effects_cov[term.name]
    every = list(dict.fromkeys(cov.index.get_level_values(0)))
    where = {label: i for i, label in enumerate(every)}
    stacked = cov.to_numpy().reshape(-1, k, k)
    return np.moveaxis(stacked[[where[label] for label in term.levels]], 0, -1)


def ranef(m: LmerMod, condVar: bool = True) -> Ranef:
    """Conditional modes of the random effects.

    ``ranef(m)["Subject"]`` is a frame; with `condVar` its attribute ``postVar`` holds their conditional covariances
    (k, k, levels), a list of those where several terms share the grouping factor.
    """
    need_model(m, "ranef")
    made = Ranef()
    for group, blocks in m.groups.items():
        columns = [e for b in blocks for e in b.effects]
        values = np.concatenate([block_effects(m, b) for b in blocks], axis=1)
        shown = frame(pd.DataFrame(values, levels_of(m, blocks[0]), columns))
        if condVar:
            stacks = [block_variances(m, b) for b in blocks]
            shown.attributes["postVar"] = stacks[0] if len(stacks) == 1 else stacks
        made[group] = shown
    if condVar:
        made.note = f"with conditional variances for {' '.join(f'“{name}”' for name in made)} "
    return made


def ranef_frame(effects: Ranef) -> RFrame:
    """``as.data.frame(ranef(m))``: grpvar, term, grp, condval, condsd."""
    parts = []
    for group, table in effects.items():
        stacks = getattr(table, "attributes", {}).get("postVar")
        stacks = [stacks] if isinstance(stacks, np.ndarray) else stacks
        sd = None if stacks is None else np.concatenate([np.sqrt(np.einsum("kkq->kq", s)) for s in stacks])
        for j, term in enumerate(table.columns):
            part = pd.DataFrame(
                {"grpvar": group, "term": term, "grp": list(table.index), "condval": table[term].to_numpy()}
            )
            if sd is not None:
                part["condsd"] = sd[j]
            parts.append(part)
    return frame(pd.concat(parts, ignore_index=True))


def model_coef(m: LmerMod) -> Coef:
    """``coef(m)``: fixed plus random effects of every level."""
    beta, made = fixef(m), Coef()
    absent = list(dict.fromkeys(e for b in m.blocks for e in b.effects if e not in m.names))
    for group, blocks in m.groups.items():
        rows = levels_of(m, blocks[0])
        start = {**dict.fromkeys(absent, 0.0), **{str(k): float(v) for k, v in beta.items()}}
        table = pd.DataFrame({name: np.full(len(rows), value) for name, value in start.items()}, index=rows)
        for block in blocks:
            for j, effect in enumerate(block.effects):
                table[effect] = table[effect] + block_effects(m, block)[:, j]
        made[group] = frame(table)
    return made


def sigma(m: LmerMod) -> float:
    """Residual standard deviation."""
    return need_model(m, "sigma").sigma


def vcov(m: LmerMod) -> RFrame:
    """Covariance of the fixed effects."""
    names = list(need_model(m, "vcov").names)
    p = len(names)
    cov = pd.DataFrame(np.array(m.fit.evaluation.beta_cov), names, names)
    return frame(cov, heading=f'{p} x {p} Matrix of class "dpoMatrix"')


def logLik(m: LmerMod, REML: bool | None = None) -> LogLik:
    """Log-likelihood: of the criterion that was fitted, or by REML (True) or ML (False) at this fit's variances."""
    need_model(m, "logLik")
    made = LogLik(-m.criterion(m.reml if REML is None else REML) / 2)
    made.df, made.nobs = m.n_parameters, m.spec.n
    return made


def deviance(m: LmerMod, REML: bool | None = None) -> float:
    """−2 log-likelihood of an ML fit, or by ML at a REML fit's variances with ``REML=False``."""
    need_model(m, "deviance")
    if REML is None and m.reml:
        warn(
            "deviance() of a REML fit is the REML criterion: write REMLcrit(m) for it, or deviance(m, REML=False) for "
            "the deviance at the REML fit"
        )
        REML = True
    return m.criterion(bool(REML))


def REMLcrit(m: LmerMod) -> float:
    """The REML criterion at the fit's variances."""
    return need_model(m, "REMLcrit").criterion(True)


def AIC(m: LmerMod, *more: LmerMod, k: float = 2.0) -> Any:
    """Akaike's criterion; of several models a table."""
    return _criteria("AIC", k, m, more)


def BIC(m: LmerMod, *more: LmerMod) -> Any:
    """Schwarz's criterion; of several models a table."""
    return _criteria("BIC", None, m, more)


def _criteria(name: str, k: float | None, m: LmerMod, more: tuple[LmerMod, ...]) -> Any:
    from .lmer import name_of

    models = [need_model(one, name) for one in (m, *more)]
    values = [-2 * x.fit.llf + (np.log(x.spec.n) if k is None else k) * x.n_parameters for x in models]
    if not more:
        return float(values[0])
    if len({x.reml for x in models}) > 1 or (m.reml and len({x.names for x in models}) > 1):
        warn(f"{name} of REML fits with different fixed effects, or beside ML fits, cannot be compared: fit by ML")
    rows = [name_of(x) or f"MODEL{i + 1}" for i, x in enumerate(models)]
    return frame(pd.DataFrame({"df": [x.n_parameters for x in models], name: values}, rows))


def extractAIC(m: LmerMod, k: float = 2.0) -> list[float]:
    """Parameters and AIC by maximum likelihood."""
    ml = refit_ml(need_model(m, "extractAIC"))
    return [ml.n_parameters, -2 * ml.fit.llf + k * ml.n_parameters]


def nobs(m: LmerMod) -> int:
    """Rows of the fit."""
    return need_model(m, "nobs").spec.n


def df_residual(m: LmerMod) -> int:
    """Rows less parameters."""
    return need_model(m, "df_residual").df_residual


def isREML(m: LmerMod) -> bool:
    """Fitted by REML."""
    return need_model(m, "isREML").reml


def isLMM(m: LmerMod) -> bool:
    """True: every model here is linear and Gaussian."""
    need_model(m, "isLMM")
    return True


def isSingular(m: LmerMod, tol: float = 1e-4) -> bool:
    """Some diagonal entry of Λ is below `tol`: a variance of zero, or a correlation of one."""
    need_model(m, "isSingular")
    return bool((m.theta[m.lower == 0] < tol).any())


def ngrps(m: LmerMod) -> RVector:
    """Levels of each grouping factor."""
    groups = need_model(m, "ngrps").groups
    return RVector([m.term(blocks[0]).q for blocks in groups.values()], index=list(groups))


def formula(m: LmerMod) -> RText:
    """The model's formula as text."""
    return RText(need_model(m, "formula").formula.shown)


def terms(m: LmerMod) -> RText:
    """The formula, with ``attr(terms(m), "term.labels")`` and ``"intercept"``."""
    made = RText(need_model(m, "terms").formula.shown)
    made.attributes = {"term.labels": term_labels(m.spec), "intercept": int(() in m.spec.source.coder.terms)}
    return made


def fitted(m: LmerMod) -> RVector:
    """Xβ̂ + Zb̂ + offset."""
    return RVector(need_model(m, "fitted").fit.fittedvalues)


def residuals(m: LmerMod, type: str = "response", scaled: bool = False) -> RVector:
    """Residuals: "response", or "pearson" (times the root of the prior weight); `scaled` divides by sigma."""
    kinds = ("response", "pearson", "working", "deviance")
    if type not in kinds:
        raise OptionError(f"residuals(type={type!r}): choose among {', '.join(map(repr, kinds))}")
    need_model(m, "residuals")
    values = np.array(m.fit.resid_values)
    if type in ("pearson", "deviance") and m.spec.weights is not None:
        values = values * np.sqrt(m.spec.weights)
    return RVector(m.fit.padded(values / m.sigma if scaled else values, "resid"))


def weights(m: LmerMod) -> Float:
    """Prior weights of the rows; ones where none were given."""
    given = need_model(m, "weights").spec.weights
    return np.ones(m.spec.n) if given is None else np.array(given)


def model_matrix(m: LmerMod, type: str = "fixed") -> Any:
    """Columns of the fixed effects with R's names; ``type="random"`` gives Z (sparse)."""
    from .getme import random_design

    if type not in ("fixed", "random", "randomListRaw"):
        raise OptionError(f"model_matrix(type={type!r}): choose 'fixed' or 'random'")
    if type != "fixed":
        return random_design(need_model(m, "model_matrix"))
    return frame(pd.DataFrame(np.array(m.spec.X), list(m.spec.row_labels), list(m.names)))


def refitML(m: LmerMod) -> LmerMod:
    """The same model by maximum likelihood."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return refit_ml(need_model(m, "refitML"))
