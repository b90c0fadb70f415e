"""Frames with broom.mixed's columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import OptionError
from tests.inference import cases
from tests.tolerances import IDENTITY, OBJECTIVE


@pytest.fixture(scope="module")
def fit():
    return mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))


def test_tidy_has_broom_mixeds_columns_terms_and_numbers(fit):
    t = fit.tidy()
    assert list(t.columns) == ["effect", "group", "term", "estimate", "std.error", "statistic", "df", "p.value"]
    assert list(t["effect"]) == ["fixed"] * 2 + ["ran_pars"] * 4
    names = ["sd__Intercept", "cor__Intercept.Days", "sd__Days", "sd__Observation"]
    assert list(t["term"]) == ["Intercept", "Days", *names]
    assert_allclose(t["estimate"][2:], fit.varcomp["sd"], **IDENTITY)
    assert_allclose(t["std.error"][:2], fit.bse, **IDENTITY)
    assert_allclose(t["df"][:2], fit.df_fixed(), **IDENTITY)
    assert t["p.value"][2:].isna().all()


def test_standard_errors_of_sds_and_correlations_are_the_delta_methods(fit):
    t = fit.tidy("ran_pars", conf_int=True)
    v = fit.varcomp
    assert_allclose(t["std.error"].iloc[[0, 2, 3]], (v["se"] / (2 * v["sd"])).iloc[[0, 2, 3]], **IDENTITY)
    corr = fit.derived(lambda p: p["Subject[Intercept, Days]"] / np.sqrt(p["Subject[Intercept]"] * p["Subject[Days]"]))
    assert_allclose(t["std.error"].iloc[1], corr.se, rtol=1e-6, atol=0)
    assert -1 < t["conf.low"].iloc[1] < t["estimate"].iloc[1] < t["conf.high"].iloc[1] < 1
    assert_allclose(t["conf.low"].iloc[0] ** 2, v["lower"].iloc[0], **OBJECTIVE)


def test_tidy_on_the_variance_scale_is_the_variance_table(fit):
    t = fit.tidy("ran_pars", scales="vcov", conf_int=True)
    assert list(t["term"]) == ["var__Intercept", "cov__Intercept.Days", "var__Days", "var__Observation"]
    for ours, broom in (("variance", "estimate"), ("se", "std.error"), ("lower", "conf.low"), ("upper", "conf.high")):
        assert_allclose(t[broom], fit.varcomp[ours], **IDENTITY)


def test_tidy_random_values_carry_conditional_standard_errors(fit):
    t = fit.tidy("ran_vals")
    assert list(t.columns) == ["effect", "group", "level", "term", "estimate", "std.error"]
    assert len(t) == 36
    row = t[(t["level"] == "308") & (t["term"] == "Days")].iloc[0]
    assert_allclose(row["estimate"], fit.random_effects["Subject"].loc["308", "Days"], **IDENTITY)
    assert_allclose(row["std.error"] ** 2, fit.conditional_variances["Subject"].loc["308", "Days"], **OBJECTIVE)


def test_tidy_refuses_what_it_does_not_know(fit):
    with pytest.raises(OptionError, match="effects='random' is not among 'fixed', 'ran_pars', 'ran_vals'"):
        fit.tidy("random")
    with pytest.raises(OptionError, match="scales='var' is not one of 'sdcor', 'vcov'"):
        fit.tidy(scales="var")


def test_glance_counts_as_lme4_does(fit):
    g = fit.glance().iloc[0]
    assert list(fit.glance().columns) == ["nobs", "sigma", "logLik", "AIC", "BIC", "REMLcrit", "df.residual"]
    assert g["df.residual"] == 174
    assert_allclose(g["REMLcrit"], -2 * fit.llf, **IDENTITY)
    ml = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"), method="ml")
    assert "deviance" in ml.glance().columns


def test_augment_puts_the_fit_beside_the_data(fit):
    a = fit.augment()
    assert {"Reaction", "Days", "Subject", ".fitted", ".resid", ".fixed"} <= set(a.columns)
    assert_allclose(a[".fitted"] + a[".resid"], a["Reaction"], **IDENTITY)
    assert_allclose(a[".fixed"], fit.predict(random="none"), **IDENTITY)


def test_leverages_are_the_diagonal_of_the_smoother():
    brute = cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)
    spec, model = brute.spec, brute.evaluation
    mean = brute.fittedvalues.to_numpy()
    got = brute.augment(influence=True)
    H = np.empty((spec.n, spec.n))
    for j in range(spec.n):  # ŷ is affine in y: move one observation
        y = spec.y.copy()
        y[j] += 1.0
        moved = cases.by_brute_force(assembled(spec, y), cases.RELATIVES_PAR)
        H[:, j] = moved.fittedvalues.to_numpy() - mean
    assert_allclose(got[".hat"], np.diagonal(H), rtol=1e-7, atol=1e-9)
    assert (got[".cooksd"] > 0).all()
    assert {".weights", ".offset"} <= set(got.columns)
    assert model.reml


def assembled(spec, y):
    from dataclasses import replace

    return replace(spec, y=y)


def test_a_frame_of_covariances_gives_one_block_a_level(fit):
    block = fit.random_effects_cov["Subject"].loc["309"]
    assert isinstance(block, pd.DataFrame)
    assert block.shape == (2, 2)
    assert_allclose(np.diagonal(block), fit.conditional_variances["Subject"].loc["309"], **IDENTITY)
