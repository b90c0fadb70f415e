"""A fitted model as the user meets it."""

from __future__ import annotations

import time
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, DataError, DroppedRowsWarning, NotProvided, OptionError
from mixedvc.results.point import PointResults
from tests.reference.load import matrix, reference
from tests.tolerances import COMPONENT, IDENTITY, OBJECTIVE, PARAMETER

LME4 = {"rtol": 2e-5, "atol": 1e-3}  # lme4's optimiser stops early


@pytest.fixture(scope="module")
def sleep():
    return mv.load_data("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep):
    return mv.fit("Reaction ~ Days + (Days | Subject)", sleep)


@pytest.fixture(scope="module")
def want():
    return reference("lme4/sleepstudy/slope_correlated")["REML"]


def test_statsmodels_vocabulary_has_lme4s_numbers(fit, want):
    assert_allclose(fit.params, list(want["fixef"].values()), **PARAMETER)
    assert_allclose(fit.bse, list(want["se"].values()), **LME4)
    assert_allclose(fit.cov_params(), matrix(want["vcov"]), **LME4)
    assert_allclose([fit.llf, fit.aic, fit.bic], [want["logLik"], want["AIC"], want["BIC"]], **OBJECTIVE)
    assert_allclose(fit.scale**0.5, want["sigma"], **LME4)
    assert_allclose(fit.fittedvalues[:20], want["fitted_head"], **LME4)
    assert_allclose(fit.resid[:20], want["resid_head"], rtol=1e-3, atol=1e-3)
    assert fit.nobs == want["nobs"]
    assert fit.df_resid == 178
    assert fit.converged
    assert not fit.is_singular
    assert "reml by the" in fit.computation
    assert list(fit.params.index) == ["Intercept", "Days"]


def test_ml_has_lme4s_numbers(sleep):
    want = reference("lme4/sleepstudy/slope_correlated")["ML"]
    fit = mv.fit("Reaction ~ Days + (Days | Subject)", sleep, method="ml")
    assert_allclose([fit.llf, fit.aic, fit.bic], [want["logLik"], want["AIC"], want["BIC"]], **OBJECTIVE)
    assert_allclose(fit.bse, list(want["se"].values()), **LME4)


def test_variance_rows_are_in_vech_order_with_the_residual_last(fit, want):
    v = fit.varcomp
    assert list(v["group"]) == ["Subject"] * 3 + ["Residual"]
    assert list(v["effect"]) == ["Intercept", "Intercept", "Days", None]
    assert list(v["effect2"]) == [None, "Days", None, None]
    by_name = {(r["var1"], r["var2"]): r for r in want["varcorr"]}
    order = [("(Intercept)", None), ("(Intercept)", "Days"), ("Days", None), (None, None)]
    assert_allclose(v["variance"], [by_name[key]["vcov"] for key in order], rtol=2e-4, atol=0)
    assert_allclose(v["sd"], [by_name[key]["sdcor"] for key in order], rtol=2e-4, atol=0)
    assert not v["boundary"].any()
    assert_allclose(v["share"].sum(), 1.0, **IDENTITY)


def test_wald_intervals_of_fixed_effects_with_normal_quantiles_are_lme4s(fit, want):
    got = fit.conf_int(df="normal")
    assert list(got.columns) == [0, 1]
    assert_allclose(got, matrix(want["confint_wald"]).loc[got.index.map({"Intercept": "(Intercept)", "Days": "Days"})],
                    **LME4)  # fmt: skip
    assert (fit.conf_int()[0] < got[0]).all()
    narrow = fit.conf_int(alpha=0.5)
    assert (narrow[0] > got[0]).all()


def test_predictions_are_lme4s(fit, want):
    new = pd.DataFrame(want["predict"]["newdata"])
    assert_allclose(fit.predict(new, random="none"), want["predict"]["population"], **PARAMETER)
    assert_allclose(fit.predict(new, new_levels="zero"), want["predict"]["conditional"], **LME4)
    assert_allclose(fit.predict(new, new_levels="conditional"), want["predict"]["conditional"], **LME4)
    with pytest.raises(DataError, match="2 levels of 'Subject' had no rows in the fit: '999', 'new'"):
        fit.predict(new)


def test_prediction_of_the_data_is_the_fit(fit, sleep):
    assert_allclose(fit.predict(sleep), fit.fittedvalues, **IDENTITY)
    assert_allclose(fit.predict(), fit.fittedvalues, **IDENTITY)
    backwards = sleep.iloc[::-1]
    assert fit.predict(backwards).index.equals(backwards.index)
    out = fit.predict(sleep, se=True, interval="confidence")
    assert_allclose(out["se"], fit.predict(se=True)["se"], **OBJECTIVE)
    assert list(out.columns) == ["predicted", "se", "lower", "upper"]


def test_an_unseen_subject_under_conditional_has_the_prior_variance(fit):
    new = pd.DataFrame({"Days": [3.0], "Subject": ["nobody"]})
    z, v = np.array([1.0, 3.0]), fit.varcomp["variance"]
    prior = v[0] + 6 * v[1] + 9 * v[2]
    C = fit.cov_params().to_numpy()
    assert_allclose(fit.predict(new, new_levels="conditional", se=True)["se"] ** 2, z @ C @ z + prior, **OBJECTIVE)
    assert_allclose(fit.predict(new, new_levels="zero", se=True)["se"] ** 2, z @ C @ z, **OBJECTIVE)


def test_missing_cells_of_new_rows_predict_nan(fit):
    new = pd.DataFrame({"Days": [3.0, np.nan, 2.0], "Subject": ["308", "308", None]})
    assert list(fit.predict(new).isna()) == [False, True, True]


def test_a_new_response_is_refitted_without_setting_up_again(fit, sleep):
    twice = fit.refit(2 * sleep["Reaction"])
    assert_allclose(twice.llf, fit.llf - 178 * np.log(2), **OBJECTIVE)
    assert_allclose(twice.varcomp["variance"], 4 * fit.varcomp["variance"], **COMPONENT)
    assert_allclose(twice.resid, 2 * fit.resid, rtol=1e-6, atol=1e-6)
    assert isinstance(twice, PointResults)
    assert_allclose(fit.spec.y, sleep["Reaction"], **IDENTITY)
    with pytest.raises(DataError, match=r"the new response has shape \(3,\); the model has 180 rows"):
        fit.refit([1.0, 2.0, 3.0])
    bad = sleep["Reaction"].to_numpy().copy()
    bad[7] = np.nan
    with pytest.raises(DataError, match="missing or infinite in 1 rows: 7"):
        fit.refit(bad)
    with pytest.raises(DataError, match="not numeric"):
        fit.refit(["a"] * 180)
    with pytest.raises(OptionError, match="does not carry its estimator"):
        replace(fit, estimator=None).refit(sleep["Reaction"])


def test_refit_keeps_the_offset(sleep):
    data = sleep.assign(known=np.linspace(0, 50, len(sleep)))
    fit = mv.fit("Reaction ~ Days + offset(known) + (1 | Subject)", data)
    again = fit.refit(data["Reaction"])
    assert_allclose(again.llf, fit.llf, **OBJECTIVE)
    assert_allclose(again.resid, fit.resid, **OBJECTIVE)
    assert_allclose(fit.resid + fit.fittedvalues, data["Reaction"], **IDENTITY)
    moved = mv.fit("Reaction ~ Days + (1 | Subject)", data.assign(Reaction=data["Reaction"] - data["known"]))
    assert_allclose(fit.resid, moved.resid, **OBJECTIVE)
    assert_allclose(fit.fittedvalues - data["known"], moved.fittedvalues, **OBJECTIVE)


def test_excluded_rows_keep_their_places(sleep):
    data = sleep.copy()
    data.index = [f"row{i}" for i in range(len(data))]
    data.loc[["row3", "row50"], "Days"] = np.nan
    with pytest.warns(DroppedRowsWarning):
        fit = mv.fit("Reaction ~ Days + (1 | Subject)", data, missing="exclude")
    with pytest.warns(DroppedRowsWarning):
        omit = mv.fit("Reaction ~ Days + (1 | Subject)", data)
    assert fit.nobs == 178
    assert list(fit.fittedvalues.index) == list(data.index)
    assert list(fit.resid[fit.resid.isna()].index) == ["row3", "row50"]
    assert len(omit.fittedvalues) == 178
    assert_allclose(fit.fittedvalues.dropna(), omit.fittedvalues, **OBJECTIVE)
    assert len(fit.augment()) == 180
    assert len(omit.augment()) == 178
    assert "row3" not in omit.augment().index
    assert_allclose(fit.refit(data["Reaction"]).llf, fit.llf, **OBJECTIVE)
    assert list(fit.simulate(1, seed=1)["sim_1"].isna()) == list(fit.resid.isna())


def test_simulated_responses_can_be_refitted(fit):
    y = fit.simulate(1, seed=3)["sim_1"]
    assert fit.refit(y).converged


def test_information_can_be_chosen_and_is_remembered(fit):
    average = fit.with_information("average")
    assert average.covariance().kind == "average"
    assert_allclose(average.varcomp["se"], fit.variances(information="average")["se"], **IDENTITY)
    with pytest.raises(OptionError, match="information='ai' is not one of"):
        fit.with_information("ai")


def test_covariance_of_components_has_their_names(fit):
    cov = fit.cov_varcomp()
    assert list(cov.index) == ["Subject[Intercept]", "Subject[Intercept, Days]", "Subject[Days]", "Residual"]
    assert_allclose(np.sqrt(np.diagonal(cov)), fit.varcomp["se"], **IDENTITY)


def test_what_a_method_without_likelihood_cannot_give_names_one_that_can(fit):
    moment = replace(fit, estimate=replace(fit.estimate, method="he", loglik=None))
    for name in ("llf", "aic", "bic"):
        with pytest.raises(NotProvided, match="method 'he' has no likelihood, so no llf, aic or bic: use"):
            getattr(moment, name)
        assert not hasattr(moment, name)
    text = str(moment.summary())
    assert "AIC" not in text
    assert "Log-likelihood" not in text
    assert "logLik" not in moment.glance().columns


def test_results_of_a_method_that_ran_without_a_likelihood_are_evaluated_all_the_same(fit):
    bare = replace(fit, likelihood=None)
    assert_allclose(bare.params, fit.params, **OBJECTIVE)


def test_results_are_frozen_and_speak_when_printed(fit):
    with pytest.raises(AttributeError, match="cannot assign"):
        fit.spec = None
    assert repr(fit) == "<PointResults: Reaction ~ Days + (Days | Subject) by reml, 180 rows; .summary() prints it>"


def test_making_results_computes_nothing(fit):
    began = time.process_time()
    for _ in range(100):
        made = PointResults(fit.spec, fit.estimate, fit.likelihood, fit.estimator)
    assert (time.process_time() - began) / 100 < 2e-4
    assert "evaluation" not in vars(made)


def test_fixed_components_are_not_counted_as_parameters(sleep):
    free = mv.fit("Reaction ~ Days + (1 | Subject)", sleep)
    held = mv.fit("Reaction ~ Days + (1 | Subject)", sleep, fixed_varcomp={"Subject": 1000.0})
    assert (free.n_parameters, held.n_parameters) == (4, 3)
    assert np.isnan(held.varcomp["se"].iloc[0])
    assert "fixed" in str(held.summary())


def test_relatives_without_records_are_predictable_from_a_formula():
    rng = np.random.default_rng(2)
    labels = [f"id{j}" for j in range(30)]
    root = rng.standard_normal((30, 40))
    A = pd.DataFrame(root @ root.T / 40, labels, labels)
    data = pd.DataFrame({"id": np.repeat(labels[:24], 4)})
    u = np.linalg.cholesky(A.to_numpy()) @ rng.standard_normal(30)
    data["y"] = 5 + 2 * u[np.repeat(np.arange(24), 4)] + rng.standard_normal(96)
    fit = mv.fit("y ~ 1 + (1 | id:A)", data, cov={"A": A})
    effects = fit.random_effects["id"].iloc[:, 0]
    assert list(effects.index) == labels
    across, among = A.loc[labels[24:], labels[:24]], A.loc[labels[:24], labels[:24]]
    assert_allclose(effects[24:], across @ np.linalg.solve(among, effects[:24]), rtol=1e-7, atol=1e-9)
    new = pd.DataFrame({"id": ["id27", "id3"]})
    with pytest.raises(DataError, match=r"'id27'. 1 of them is in cov\['A'\]: new_levels='conditional' predicts rel"):
        fit.predict(new)
    with pytest.raises(DataError, match=r"'ghost'. None of them is in cov\['A'\]. new_levels='condi"):
        fit.predict(pd.DataFrame({"id": ["ghost"]}))
    got = fit.predict(new, new_levels="conditional", se=True)
    assert_allclose(got["predicted"], fit.params.iloc[0] + effects[["id27", "id3"]], **OBJECTIVE)
    assert got["se"].iloc[0] > got["se"].iloc[1]


def test_the_test_of_a_component_that_is_zero_has_p_one():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    assert fit.test_varcomp().loc["Batch", "p_value"] == 1.0


@pytest.mark.parametrize(
    ("case", "data", "formula"),
    [
        ("dyestuff/batch", "dyestuff", "Yield ~ 1 + (1 | Batch)"),
        ("penicillin/crossed", "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ("pastes/nested", "pastes", "strength ~ 1 + (1 | batch / cask)"),
        ("orthodont/lmer_slope", "orthodont", "distance ~ age * Sex + (age | Subject)"),
        ("orthodont/lmer_intercept", "orthodont", "distance ~ age * Sex + (1 | Subject)"),
    ],
)
def test_effects_predictions_and_criteria_are_lme4s(case, data, formula):
    want = reference(f"lme4/{case}")["REML"]
    fit = mv.fit(formula, mv.load_data(data))
    assert_allclose([fit.llf, fit.aic, fit.bic], [want["logLik"], want["AIC"], want["BIC"]], rtol=1e-6, atol=0)
    assert_allclose(fit.bse, list(want["se"].values()), rtol=2e-3, atol=0)
    new = pd.DataFrame(want["predict"]["newdata"])
    assert_allclose(fit.predict(new, random="none"), want["predict"]["population"], rtol=1e-5, atol=0)
    assert_allclose(fit.predict(new, new_levels="zero"), want["predict"]["conditional"], rtol=2e-4, atol=0)
    for group, block in want["ranef"].items():
        name = ":".join(reversed(group.split(":")))
        levels = [":".join(reversed(level.split(":"))) for level in block["levels"]]
        size = np.abs(block["values"]).max(axis=0)
        got = fit.random_effects[name].loc[levels].to_numpy()
        assert_allclose(got / size, np.array(block["values"]) / size, rtol=0, atol=5e-3)
        cov = np.array([fit.random_effects_cov[name].loc[level].to_numpy() for level in levels])
        assert_allclose(cov, np.array(block["condVar"]), rtol=2e-2, atol=0)
