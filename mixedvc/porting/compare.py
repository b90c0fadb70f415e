"""Comparing models: ``anova`` of one or several, ``ranova``, ``drop1``, exact tests of a variance."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from numpy.typing import NDArray

from ..errors import DataError, OptionError
from ..formula.parse import parse
from . import coding
from .extract import extractAIC
from .formulas import factor_text, updated
from .getme import fixed_root
from .lmer import fit_core, name_of, refit_ml, update
from .mermod import LmerMod, need_model
from .rdeparse import deparse1
from .rexpr import parse_one
from .rvalues import RFrame, RTable, frame
from .summary import df_method

Float = NDArray[np.float64]
TYPES = {"1": 1, "2": 2, "3": 3, "I": 1, "II": 2, "III": 3}


def anova(
    m: LmerMod, *others: LmerMod, refit: bool = True, ddf: str | None = None, type: int | str | None = None,
    model_names: Any = None,
) -> RFrame:  # fmt: skip
    """lme4's ``anova``: F values of one model's terms, or likelihood-ratio tests between models.

    Parameters
    ----------
    m, *others : LmerMod
        Several models are put in the order of their parameters; REML fits are refitted by ML first.
    refit : bool
        False compares REML fits as they are.
    ddf : "Satterthwaite" | "Kenward-Roger" | "lme4", optional
        Of one model: lmerTest's table with denominator degrees of freedom.
    type : 1, 2, 3 or "I", "II", "III"
        Of lmerTest's table; 3 by default.
    model_names : list of str, optional
    """
    need_model(m, "anova")
    if others:
        if ddf is not None or type is not None:
            raise OptionError("ddf= and type= are for the table of one model; models are compared by likelihood ratio")
        models = [m, *(need_model(other, "anova") for other in others)]
        return _several(models, refit, model_names or [name_of(one) for one in models])
    if ddf in (None, "lme4") and type is None:
        return _sequential(m)
    return _tests(m, ddf or "Satterthwaite", type)


def _sequential(m: LmerMod) -> RFrame:
    """Sums of squares of the terms one after another, without denominator degrees of freedom."""
    steps = (fixed_root(m) @ np.asarray(m.fit.evaluation.beta)) ** 2
    belongs, labels = np.array(coding.assignment(m.spec)), coding.term_labels(m.spec)
    rows = []
    for number in dict.fromkeys(j for j in belongs.tolist() if j > 0):
        size, total = int((belongs == number).sum()), float(steps[belongs == number].sum())
        rows.append((labels[number - 1], size, total, total / size, total / size / m.fit.scale))
    table = pd.DataFrame([r[1:] for r in rows], [r[0] for r in rows], ["npar", "Sum Sq", "Mean Sq", "F value"])
    return frame(table, heading="Analysis of Variance Table", kind=RTable)


def _tests(m: LmerMod, ddf: str, type: int | str | None) -> RFrame:
    """lmerTest's table."""
    kind = TYPES.get(str(3 if type is None else type))
    if kind is None:
        raise OptionError(f"anova(type={type!r}): 1, 2 or 3 (also 'I', 'II', 'III')")
    found = m.fit.anova(kind, df=df_method(ddf)).frame
    columns = ["Sum Sq", "Mean Sq", "NumDF", "DenDF", "F value", "Pr(>F)"]
    labels = [":".join(map(factor_text, str(t).split(":"))) for t in found.index]
    title = f"Type {'I' * kind} Analysis of Variance Table with {ddf}'s method"
    return frame(pd.DataFrame(found[columns].to_numpy(dtype=float), labels, columns), heading=title, kind=RTable)


def _several(models: list[LmerMod], refit: bool, names: list[str | None]) -> RFrame:
    _check_comparable(models)
    if any(n is None for n in names) or len(set(names)) < len(names):
        names = [f"MODEL{i + 1}" for i in range(len(models))]
    if refit and any(one.reml for one in models):
        print("refitting model(s) with ML (instead of REML)", file=sys.stderr)
        models = [refit_ml(one) for one in models]
    elif len({one.reml for one in models}) > 1:
        raise OptionError("some models are fitted by REML and some by ML: leave refit=True, which compares by ML")
    order = sorted(range(len(models)), key=lambda i: models[i].n_parameters)
    models, labels = [models[i] for i in order], [str(names[i]) for i in order]
    n_par = np.array([one.n_parameters for one in models], dtype=float)
    llf = np.array([one.fit.llf for one in models])
    chisq = np.append(np.nan, 2 * np.maximum(0.0, np.diff(llf)))
    df = np.append(np.nan, np.diff(n_par))
    p = np.where(df > 0, scipy.stats.chi2.sf(chisq, np.where(df > 0, df, 1.0)), np.nan)
    bic = -2 * llf + np.log(models[0].spec.n) * n_par
    table = pd.DataFrame(
        {
            "npar": n_par, "AIC": 2 * n_par - 2 * llf, "BIC": bic, "logLik": llf, "deviance": -2 * llf,
            "Chisq": chisq, "Df": df, "Pr(>Chisq)": p,
        },
        labels,
    )  # fmt: skip
    lines = [] if models[0].call.data is None else [f"Data: {models[0].call.data}"]
    if models[0].call.subset is not None:
        lines.append(f"Subset: {models[0].call.subset}")
    lines += ["Models:", *(f"{label}: {one.formula.shown}" for label, one in zip(labels, models, strict=True))]
    return frame(table, heading="\n".join(lines), kind=RTable)


def _check_comparable(models: list[LmerMod]) -> None:
    first = models[0].spec
    for one in models[1:]:
        if one.spec.n != first.n:
            raise DataError(
                f"the models were not fitted to the same rows: {first.n} and {one.spec.n}. Missing values of a "
                "variable that only one of them has drop rows; fit both to the rows complete in all variables"
            )
        if not np.array_equal(one.spec.y, first.y):
            raise DataError("the models have different responses (or transforms of it): likelihoods cannot be compared")


def ranova(m: LmerMod, reduce_terms: bool = True) -> RFrame:
    """lmerTest's ``ranova``: every random term left out, or reduced by its slopes, one at a time.

    Parameters
    ----------
    m : LmerMod
    reduce_terms : bool
        True: ``(x | g)`` is reduced to ``(1 | g)``; False: terms are left out whole.
    """
    need_model(m, "ranova")
    rows = [("<none>", m.n_parameters, m.fit.llf, -2 * m.fit.llf + 2 * m.n_parameters, np.nan, np.nan, np.nan)]
    for label, formula in _reductions(m, reduce_terms):
        smaller = fit_core(m.call.arguments, formula)
        llf, count = smaller.llf, smaller.n_parameters
        df = m.n_parameters - count
        statistic = max(0.0, 2 * (m.fit.llf - llf))
        p = float(scipy.stats.chi2.sf(statistic, df)) if df > 0 else np.nan
        rows.append((label, count, llf, -2 * llf + 2 * count, statistic, df, p))
    columns = ["npar", "logLik", "AIC", "LRT", "Df", "Pr(>Chisq)"]
    table = pd.DataFrame([r[1:] for r in rows], [r[0] for r in rows], columns)
    shown = deparse1(parse_one(_without_one(m.formula.shown)))
    title = f"ANOVA-like table for random-effects: Single term deletions\n\nModel:\n{shown}"
    return frame(table, heading=title, kind=RTable)


def _without_one(text: str) -> str:
    """lmerTest prints ``y ~ (1 | g)`` for ``y ~ 1 + (1 | g)``."""
    return updated(text, ". ~ .")


def _reductions(m: LmerMod, reduce_terms: bool) -> list[tuple[str, str]]:
    """Label and formula of every smaller model."""
    out = []
    for place in range(len(m.spec.terms)):
        block = next(b for b in m.blocks if b.place == place)
        coder = m.spec.source.coders[place]
        labels = [":".join(map(factor_text, term)) for term in coder.terms]
        text = f"({_effects(labels)} | {block.group})"
        if reduce_terms and "" in labels and len(labels) > 1:
            for i, slope in enumerate(labels):
                if slope and not any(set(slope.split(":")) < set(other.split(":")) for other in labels):
                    left = _effects([x for j, x in enumerate(labels) if j != i])
                    out.append((f"{slope} in {text}", _replaced(m, place, f"({left} | {block.group})")))
        else:
            out.append((text, _replaced(m, place, None)))
    return out


def _effects(labels: list[str]) -> str:
    slopes = [x for x in labels if x]
    if "" in labels:
        return " + ".join(slopes) or "1"
    return " + ".join(["0", *slopes])


def _replaced(m: LmerMod, place: int, text: str | None) -> str:
    """The core formula with one random term replaced, or left out."""
    source = m.formula.core
    span = parse(source).bars[place].span
    if text is not None:
        return source[: span.start] + text + source[span.stop :]
    left, right = source[: span.start].rstrip(), source[span.stop :].lstrip()
    if left.endswith("+"):
        return f"{left[:-1].rstrip()} {right}".strip()
    if right.startswith("+"):
        return f"{left} {right[1:].lstrip()}"
    return f"{left} 1 {right}".strip()


def drop1(m: LmerMod, test: str = "none", k: float = 2.0) -> RFrame:
    """Every fixed term that can be left out, compared by ML.

    Parameters
    ----------
    m : LmerMod
    test : "none" or "Chisq"
    k : float
        Price of a parameter in AIC.
    """
    if test not in ("none", "Chisq"):
        raise OptionError(f"drop1(test={test!r}): 'none' or 'Chisq'")
    need_model(m, "drop1")
    labels = coding.term_labels(m.spec)
    sets = [set(label.split(":")) for label in labels]
    scope = [label for label, own in zip(labels, sets, strict=True) if not any(own < other for other in sets)]
    fits = [extractAIC(m, k), *(extractAIC(update(m, f". ~ . - {label}"), k) for label in scope)]
    n_par, aic = np.array(fits).T
    columns = {"npar": np.append(np.nan, n_par[0] - n_par[1:]), "AIC": aic}
    if test == "Chisq":
        statistic = (aic - k * n_par) - (aic[0] - k * n_par[0])
        statistic[0] = np.nan
        columns["LRT"] = statistic
        columns["Pr(Chi)"] = scipy.stats.chi2.sf(statistic, columns["npar"])
    title = f"Single term deletions\n\nModel:\n{m.formula.shown}"
    return frame(pd.DataFrame(columns, ["<none>", *scope]), heading=title, kind=RTable)
