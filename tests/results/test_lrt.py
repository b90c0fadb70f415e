"""Likelihood-ratio tests of nested fits: lme4's numbers, what is refitted, what is refused, how it reads."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import MixedVCError, MixedVCWarning, NotProvided, OptionError
from mixedvc.results.lrt import by_ml

from ..reference.load import matrix, reference
from ..tolerances import MONTE_CARLO, OBJECTIVE

FORMULAS = {
    "intercept": "Reaction ~ Days + (1 | Subject)",
    "uncorrelated": "Reaction ~ Days + (Days || Subject)",
    "correlated": "Reaction ~ Days + (Days | Subject)",
}


@pytest.fixture(scope="module")
def data():
    return mv.load_data("sleepstudy")


@pytest.fixture(scope="module")
def reml(data):
    return {name: mv.fit(formula, data) for name, formula in FORMULAS.items()}


@pytest.fixture(scope="module")
def ml(data):
    return {name: mv.fit(formula, data, method="ml") for name, formula in FORMULAS.items()}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("refit", ["always", True])
def test_the_table_is_that_of_lme4(reml, ml, order, refit):
    want = matrix(reference("lme4/sleepstudy/anova_lrt")["table"])
    source = reml if refit == "always" else ml
    names = [list(FORMULAS)[j] for j in order]
    table = mv.lrt(*(source[name] for name in names), refit=refit, names=names)
    got = table.frame
    assert list(got.index) == list(want.index)
    assert table.criterion == "ML"
    ours = got[["npar", "aic", "bic", "llf", "deviance", "chisq", "df", "p_value"]]
    assert_allclose(ours, want, rtol=1e-5, atol=1e-12, equal_nan=True)
    assert_allclose(got["llf"], want["logLik"], rtol=1e-8, atol=0)


def test_variances_at_the_edge_get_their_mixture_beside(reml):
    frame = mv.lrt(*reml.values()).frame
    x = frame["chisq"].iloc[1]
    assert_allclose(frame["p_mixture"].iloc[1], 0.5 * stats.chi2.sf(x, 1), **OBJECTIVE)
    assert np.isnan(frame["p_mixture"].iloc[2])  # a covariance is not at an edge
    both = mv.lrt(reml["intercept"], reml["correlated"]).frame.iloc[1]
    x = both["chisq"]
    assert_allclose(both["p_value"], stats.chi2.sf(x, 2), **OBJECTIVE)
    assert_allclose(both["p_mixture"], 0.5 * (stats.chi2.sf(x, 1) + stats.chi2.sf(x, 2)), **OBJECTIVE)
    assert_allclose(both["p_mixture"], reml["correlated"].test_varcomp().p_value.iloc[0], rtol=1e-7, atol=0)


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_several_variances_agree_with_the_test_of_the_whole_term(data, reml):
    flat = mv.fit("Reaction ~ Days", data)
    got = mv.lrt(flat, reml["uncorrelated"]).frame.iloc[1]
    want = reml["uncorrelated"].test_varcomp("Subject", "mixture").iloc[0]
    assert_allclose([got["chisq"], got["p_mixture"]], want[["statistic", "p_value"]].astype(float), rtol=1e-6, atol=0)
    weak = reml["correlated"].refit(np.random.default_rng(8).standard_normal(180))
    small = mv.fit("Reaction ~ Days", data.assign(Reaction=weak.spec.y))
    got, want = mv.lrt(small, weak).frame.iloc[1], weak.test_varcomp("Subject", "mixture", seed=0).iloc[0]
    assert got["chisq"] > 0.5
    assert abs(got["p_mixture"] - want["p_value"]) < MONTE_CARLO * 2 * want["mc_error"]


def test_restricted_fits_are_refitted_where_the_fixed_parts_differ(data, reml, ml):
    constant = mv.fit("Reaction ~ 1 + (1 | Subject)", data)
    table = mv.lrt(constant, reml["intercept"])
    assert table.criterion == "ML"
    assert table.notes == ("2 fits by REML were refitted by ML: the fixed parts differ.",)
    assert_allclose(table.frame["llf"].iloc[1], ml["intercept"].llf, **OBJECTIVE)
    assert [fit.estimate.reml for fit in table.fits] == [False, False]
    mixed = mv.lrt(ml["intercept"], reml["correlated"])
    assert mixed.notes[0] == "1 fit by REML was refitted by ML: the others are fits by ML."
    assert_allclose(mixed.frame["llf"].iloc[1], ml["correlated"].llf, **OBJECTIVE)
    same = mv.lrt(reml["intercept"], reml["correlated"])
    assert same.criterion == "REML"
    assert_allclose(same.frame["llf"], [reml[name].llf for name in ("intercept", "correlated")])


def test_restricted_likelihoods_of_different_fixed_parts_are_refused_or_warned_of(data, reml, ml):
    constant = mv.fit("Reaction ~ 1 + (1 | Subject)", data)
    with pytest.raises(
        MixedVCError, match="restricted likelihoods of models with different fixed parts cannot be compared"
    ):
        mv.lrt(constant, reml["intercept"], refit=False)
    with pytest.warns(MixedVCWarning, match="different fixed parts are compared: chisq, AIC and BIC mean little"):
        table = mv.lrt(constant, reml["intercept"], refit=False, allow=True)
    assert table.criterion == "REML"
    assert_allclose(table.frame["llf"], [constant.llf, reml["intercept"].llf])
    with pytest.raises(
        MixedVCError, match="a restricted likelihood and a likelihood cannot be compared: use refit=True"
    ):
        mv.lrt(ml["intercept"], reml["correlated"], refit=False)


def test_models_that_are_not_nested_are_refused_or_left_untested(data, ml):
    other = mv.fit("Reaction ~ I(Days > 4) + (Days | Subject)", data.assign(d=data.Days), method="ml")
    with pytest.raises(
        MixedVCError, match=r"model 1 is not a special case of model 2: the fixed part .*\(Days\).*allow=True"
    ):
        mv.lrt(ml["intercept"], other)
    with pytest.warns(MixedVCWarning, match="model 1 is not a special case of model 2"):
        table = mv.lrt(ml["intercept"], other, allow=True)
    assert np.isnan(table.frame["chisq"]).all() and np.isfinite(table.frame["aic"]).all()
    assert table.notes[0].endswith("not tested.")


def test_fits_of_other_rows_or_responses_are_refused(data, ml):
    part = mv.fit(FORMULAS["correlated"], data.iloc[:170], method="ml")
    with pytest.raises(
        MixedVCError, match="model 1 and model 2 cannot be compared: they were fitted to different rows: 180"
    ):
        mv.lrt(ml["intercept"], part)
    logged = mv.fit("log(Reaction) ~ Days + (Days | Subject)", data, method="ml")
    with pytest.raises(MixedVCError, match=r"different responses, 'Reaction' and 'log\(Reaction\)'"):
        mv.lrt(ml["intercept"], logged, allow=True)
    he = mv.fit(FORMULAS["intercept"], data, method="he")
    with pytest.raises(NotProvided, match="method 'he' has no likelihood, so no ratio of it"):
        mv.lrt(he, ml["correlated"])


def test_the_same_model_twice_has_nothing_to_test(data, ml):
    again = mv.fit("Reaction ~ I(Days / 2) + (1 | Subject)", data, method="ml")
    table = mv.lrt(ml["intercept"], again)
    row = table.frame.iloc[1]
    assert row["df"] == 0 and row["chisq"] == 0 and np.isnan(row["p_value"])
    assert "model 1 and model 2 are the same model." in table.notes


def test_fixed_effects_can_be_tested_by_bootstrap(data, ml):
    rng = np.random.default_rng(1)
    noise = data.assign(z=rng.standard_normal(180))
    large = mv.fit("Reaction ~ Days + z + (1 | Subject)", noise, method="ml")
    one, two = (mv.lrt(ml["intercept"], large, boot=200, seed=4) for _ in range(2))
    row = one.frame.iloc[1]
    assert row["p_boot"] == two.frame["p_boot"].iloc[1]
    assert abs(row["p_boot"] - row["p_value"]) < MONTE_CARLO * np.sqrt(0.25 / 200)
    assert "P(>boot)" in str(one) and "bootstrap of 200 replicates" in one.notes[0]


def test_options_are_checked(ml):
    two = (ml["intercept"], ml["correlated"])
    for arguments, options, message in [
        (two[:1], {}, "lrt compares two or more fits"),
        ((two[0], "m1"), {}, "lrt compares fits, and was given a str"),
        (two, {"refit": "never"}, "refit='never' is not one of True, False, 'always'"),
        (two, {"names": ["a"]}, "names=.*2 different names are needed"),
        (two, {"names": "ab"}, "names='ab': 2 different names are needed"),
        (two, {"boot": 10}, "boot=10: a whole number of replicates of at least 100"),
    ]:
        with pytest.raises(OptionError, match=message):
            mv.lrt(*arguments, **options)


def test_refits_by_ml_keep_the_way_of_maximising(data):
    em = mv.fit(FORMULAS["intercept"], data, method="em", tol=1e-9)
    again = by_ml(em)
    assert again.method == "em" and again.estimator.tol == 1e-9 and again.estimate.reml is False
    held = by_ml(mv.fit(FORMULAS["intercept"], data, fixed_varcomp={"Subject": 900.0}))
    assert held.method == "ml" and held.varcomp["variance"].iloc[0] == 900.0


def test_a_larger_model_that_fits_worse_is_not_at_its_maximum(reml):
    from dataclasses import replace

    bad = replace(reml["correlated"], estimate=replace(reml["correlated"].estimate, loglik=-900.0))
    with pytest.warns(MixedVCWarning, match="model 2 has a lower log-likelihood than model 1, which it contains"):
        table = mv.lrt(reml["intercept"], bad)
    assert table.frame["chisq"].iloc[1] == 0


def test_a_patterned_covariance_at_zero_has_no_mixture(data):
    third = data.assign(t=(data.Days // 4).astype(int).astype(str))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        large = mv.fit("Reaction ~ Days + cs(0 + t | Subject)", third)
        table = mv.lrt(mv.fit("Reaction ~ Days", third), large)
    assert np.isnan(table.frame["p_mixture"].iloc[1]) and np.isfinite(table.frame["p_value"].iloc[1])
    assert "the law of the ratio is not known, and P(>Chi2) may be far off: boot= gives one" in table.notes[-1]


def test_it_reads_well(reml):
    table = mv.lrt(*reml.values(), names=["flat", "independent", "correlated"])
    text = str(table)
    for words in ("Likelihood-ratio tests (REML)", "Rows: 180", "flat", "Reaction ~ Days + (Days || Subject)",
                  "P(>Chi2)", "P(>mixture)", "<0.001", "0.839", "the mixture 1/2"):  # fmt: skip
        assert words in " ".join(text.split()), words
    assert max(map(len, text.splitlines())) <= 100
    html = table._repr_html_()
    assert html.count("<table") >= 2 and "Reaction ~ Days + (1 | Subject)" in html
    assert repr(table) == "<LikelihoodRatioTests of 3 models by REML; print() shows them>"
    assert isinstance(table.frame, pd.DataFrame)


@pytest.mark.parametrize(
    ("small", "large", "df"),
    [
        (None, "ar1(1 | Subject)", 1),
        (None, "diag(0 + Sex | rows)", 1),
        ("diag(0 + Sex | rows)", "diag(0 + Sex | rows) * ar1(0 + age | Subject)", 1),
        ("ar1(0 + age | Subject)", "diag(0 + Sex | rows) * ar1(0 + age | Subject)", 1),
    ],
)
def test_residual_structures_are_nested_beside_a_random_intercept(small, large, df):
    data = mv.load_data("orthodont")
    fits = [mv.fit("distance ~ age * Sex + (1 | Subject)", data, residual=text) for text in (small, large)]
    frame = mv.lrt(*fits).frame
    assert frame["df"].iloc[-1] == df
    assert frame["chisq"].iloc[-1] == pytest.approx(2 * (fits[1].llf - fits[0].llf), abs=1e-9)


def test_serial_residuals_are_nested_in_unstructured_ones_and_not_in_exchangeable_ones():
    data = mv.load_data("orthodont")
    ar1, het, cs, us = (
        mv.fit("distance ~ age * Sex", data, residual=f"{text} | Subject{more})")
        for text, more in (("ar1(0 + age", ""), ("ar1(0 + age", ", hom=FALSE"), ("cs(0 + age", ""), ("us(0 + age", ""))
    )
    assert mv.lrt(ar1, het).frame["df"].iloc[-1] == 3
    assert mv.lrt(het, us).frame["df"].iloc[-1] == 5
    assert mv.lrt(cs, us).frame["df"].iloc[-1] == 8
    with pytest.raises(mv.errors.MixedVCError, match="not a special case"):
        mv.lrt(ar1, cs)
