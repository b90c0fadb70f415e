"""Residual structures are those of nlme: varIdent, corAR1, corCompSymm, corSymm and their products."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.testing.optimum import quiet
from tests.reference.load import HERE, matrix, reference
from tests.tolerances import PARAMETER

from .closeness import allowance, within

FITS = reference("nlme/fits")["cases"]
ORTHODONT = [f"nlme_{case}_{m}" for case in ("ar1", "hetvar_sex", "intercept", "slope") for m in ("reml", "ml")]
OF_ORTHODONT = {"ar1": "ar1(1 | Subject)", "hetvar_sex": "diag(0 + Sex | rows)", "intercept": None, "slope": None}
STOPPED = 1e-4  # of the log-likelihood: what nlme may leave, which is where a random covariance is singular
fits: dict = {}


def table(name):
    if name == "orthodont":
        data = mv.load_data("orthodont")
    else:
        data = pd.read_csv(HERE / "nlme" / f"{name}.csv")
    if "Sex" in data:
        data = data.assign(Sex=pd.Categorical(data["Sex"], ["Male", "Female"]))
    return data


def fitted(name):
    """Our fit of one of the recorded calls."""
    if name not in fits:
        case = FITS[name]
        data = table(case["data"])
        if "weights" in case:
            data = data.assign(w=1 / data["v"])
        with quiet():
            fits[name] = mv.fit(
                case["formula"],
                data,
                residual=case["residual"],
                weights="w" if "weights" in case else None,
                method=case["method"].lower(),
            )
    return fits[name], FITS[name]


def residual_rows(fit):
    rows = fit.varcomp[fit.varcomp["group"] == "Residual"]
    return rows[rows["effect2"].isna()], rows[rows["effect2"].notna()]


@pytest.mark.parametrize("name", FITS)
def test_log_likelihood_fixed_effects_and_their_errors_are_those_of_nlme(name):
    fit, case = fitted(name)
    near = allowance(fit.llf, case["logLik"], largest=STOPPED)
    within(fit.params, list(case["fixef"].values()), near * fit.bse + 1e-9, "fixed effects")
    # gls by ML multiplies standard errors by √(n/(n − p)); lme's vcov does not
    by_gls = case["method"] == "ML" and not case.get("random")
    factor = np.sqrt((fit.nobs - fit.spec.p) / fit.nobs) if by_gls else 1.0
    np.testing.assert_allclose(fit.bse, factor * np.array(case["se"]), rtol=max(1e-5, near), atol=0)


@pytest.mark.parametrize("name", FITS)
def test_residual_variances_and_correlations_are_those_of_nlme(name):
    fit, case = fitted(name)
    variances, correlations = residual_rows(fit)
    near = allowance(fit.llf, case["logLik"], largest=STOPPED)
    ratios = case.get("var") or {}
    want = np.array([case["sigma"] * r for _, r in sorted(ratios.items(), key=_in_our_order)] or [case["sigma"]])
    se = variances["se"] / (2 * variances["sd"])
    within(variances["sd"], want, near * se + 1e-8, "standard deviations")
    if case.get("cor"):
        cor = np.atleast_1d(case["cor"])
        within(correlations["sd"], cor, 1e-4 if len(cor) > 1 else near * correlations["se"] + 1e-8, "correlations")
    if case.get("random"):
        Sigma = fit.spec.sigmas(fit.theta)[0]
        within(Sigma, np.atleast_2d(case["random"]), 20 * near * np.abs(Sigma).max(), "random covariance")


def _in_our_order(item):
    """nlme lists the reference level first; ours are in the order of the factor: Male, Female; occasions 0, 1, 2, 3."""
    return [{"Male": "0", "Female": "1"}.get(part, part) for part in item[0].split("*")]


@pytest.mark.parametrize("name", [n for n in FITS if not n.startswith("series_ar1")])  # there nlme stops early
def test_scaled_residuals_are_those_of_nlme(name):
    fit, case = fitted(name)
    np.testing.assert_allclose(fit.residuals("pearson"), case["pearson"], rtol=0, atol=1e-4)
    if case["data"] != "gaps":  # nlme's normalized residuals suppose the rows of a group to lie together
        got = float((fit.residuals("normalized") ** 2).sum())
        assert got == pytest.approx(case["normalized_ss"], rel=2e-5)


def test_normalized_residuals_of_gls_by_reml_have_the_sum_of_squares_of_their_degrees_of_freedom():
    for name in ("ar1_gaps_reml", "ar1_sex_reml", "us_reml", "cells_reml", "ar1_weights_reml"):
        fit, _ = fitted(name)
        assert float((fit.residuals("normalized") ** 2).sum()) == pytest.approx(fit.nobs - fit.spec.p, rel=1e-6)


@pytest.mark.parametrize("name", [n for n in FITS if FITS[n].get("apVar") and FITS[n]["residual"].startswith("ar1(1")])
def test_observed_information_gives_the_standard_error_of_the_correlation_that_nlme_has(name):
    """apVar is in log((1 + φ)/(1 − φ)), by finite differences."""
    fit, case = fitted(name)
    at = case["apVar"]["names"].index("corStruct")
    theirs = np.sqrt(case["apVar"]["values"][at][at]) * (1 - fit.varcomp["sd"].iloc[-1] ** 2) / 2
    assert fit.with_information("observed").varcomp["se"].iloc[-1] == pytest.approx(theirs, rel=1e-2)


@pytest.mark.parametrize("name", ORTHODONT)
def test_the_models_of_orthodont_are_those_of_nlme(name):
    want = reference(f"lme4/orthodont/{name}")
    _, case, method = name.split("_", 1)[0], name[5:].rsplit("_", 1)[0], name.rsplit("_", 1)[1]
    random = "age" if case == "slope" else "1"
    with quiet():
        fit = mv.fit(
            f"distance ~ age * Sex + ({random} | Subject)",
            table("orthodont"),
            residual=OF_ORTHODONT[case],
            method=method,
        )
    near = allowance(fit.llf, want["logLik"], largest=STOPPED)
    within(fit.params, list(want["fixef"].values()), near * fit.bse + 1e-9, "fixed effects")
    np.testing.assert_allclose(fit.bse, np.sqrt(np.diag(matrix(want["vcov"]))), rtol=max(PARAMETER["rtol"], 5 * near))
    variances, correlations = residual_rows(fit)
    ratio = {"hetvar_sex": [want.get("modelStruct", {}).get("varStruct", 1.0), 1.0]}.get(case, [1.0])
    within(variances["sd"], want["sigma"] * np.array(ratio), near * variances["se"] / variances["sd"] + 1e-8, "sigma")
    if case == "ar1":
        within(correlations["sd"], [want["modelStruct"]["corStruct"]], near * correlations["se"] + 1e-8, "phi")
