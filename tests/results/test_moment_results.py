"""What the results of a moment estimate show, and what they refuse with a remedy."""

from __future__ import annotations

import json
import re
import warnings
from dataclasses import replace
from xml.dom import minidom

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.cli import main
from mixedvc.errors import MixedVCWarning, NotProvided
from mixedvc.estimators import HE, REHE
from mixedvc.results.plain import as_plain
from mixedvc.testing import problems, simulate
from mixedvc.testing.brute import Brute
from tests.reference.load import wheat
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER, printed


def fit(formula, data, method="he", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return mv.fit(formula, data, method=method, seed=1, **options)


def words(fit, **options):
    """The summary without line breaks."""
    return " ".join(str(fit.summary(**options)).split())


@pytest.fixture(scope="module")
def dyestuff():
    return mv.load_data("dyestuff2")


@pytest.fixture(scope="module")
def he(dyestuff):
    return fit("Yield ~ 1 + (1 | Batch)", dyestuff)


@pytest.fixture(scope="module")
def rehe(dyestuff):
    return fit("Yield ~ 1 + (1 | Batch)", dyestuff, "rehe")


@pytest.fixture(scope="module")
def outer(dyestuff):
    y = dyestuff["Yield"].to_numpy()
    return fit("Yield ~ 1 + (1 | Batch)", dyestuff, outer=np.outer(y, y))


# ---- summaries -------------------------------------------------------------------------------------------------


def test_the_summary_of_a_negative_estimate_reads_as_designed(he):
    lines = [line for line in str(he.summary()).splitlines() if not line.startswith("Date")]
    computed = dict(he.estimate.extra["header"])["Computed by"]
    assert lines == [
        "==============================================================================",
        "            Linear mixed model fitted by Haseman-Elston regression",
        "==============================================================================",
        "Response:    Yield                     Rows:         30 (0 dropped)",
        "Equations:   projected, all entries    Groups:       Batch 6",
        f"Traces:      exact                     Computed by:  {computed}",
        "Std errors:  sandwich",
        "------------------------------------------------------------------------------",
        "Fixed effects      coef    std err      df        t    P>|t|   [0.025   0.975]",
        "Intercept        5.6656     0.7058    5.00    8.027   <0.001    3.851    7.480",
        "------------------------------------------------------------------------------",
        "Variances      variance     std err        sd     [0.025     0.975]      share",
        "Batch            -1.322       2.078               -5.395      2.751      -9.7%",
        "Residual         14.95        4.315     3.866      6.490     23.40      109.7%",
        "==============================================================================",
        "Notes:",
        "[1] Standard errors of variances: sandwich, S^-1 Cov(q) S^-1 for a Gaussian",
        "    response. Intervals: Wald.",
        "[2] t tests use Satterthwaite's degrees of freedom (sandwich).",
        "[3] share: of the total variance, Batch + Residual.",
        "[4] negative: Batch has a negative estimate. Moment estimates are",
        "    unconstrained: where a variance is zero or small about half of them are",
        "    negative. A negative one far from zero says that rows of one level are",
        "    less alike than others, which no variance describes. Fixed effects and",
        "    predictions take it as zero; method='rehe' estimates under the constraint.",
    ]


def test_a_zero_has_the_error_and_the_interval_of_the_unconstrained_estimate(rehe):
    text = words(rehe)
    assert "fitted by restricted Haseman-Elston regression" in text
    assert "Batch 0 1.920 0 -5.084 2.441 0.0%" in text
    assert "around the estimate without the constraint (Batch -1.322, Residual 14.95)" in text
    assert "boundary: every random variance is exactly zero" in text
    assert "method='reml', then test_varcomp()" in text
    row = rehe.varcomp.iloc[0]
    assert row["variance"] == 0.0
    assert row["boundary"]
    half = 1.959964 * row["se"]
    np.testing.assert_allclose([row["lower"], row["upper"]], [-1.321913 - half, -1.321913 + half], rtol=1e-5)


def test_text_html_and_latex_hold_the_same(he, rehe, outer):
    for one in (he, rehe, outer):
        html = one.summary().as_html()
        minidom.parseString(html)
        assert "sandwich" in html or "jackknife" in html
        assert "None" not in html
        assert "nan" not in re.sub("<[^>]*>", " ", html)
        assert "begin{tabular}" in one.summary().as_latex()
        assert max(map(len, str(one.summary()).splitlines())) <= 100
    assert "-1.322" in he.summary().as_html()


def test_without_errors_the_summary_says_so_and_tests_are_normal(dyestuff):
    got = fit("Yield ~ 1 + (1 | Batch)", dyestuff, se="none")
    text = words(got)
    assert np.isinf(got.df_fixed()).all()
    assert np.isfinite(got.pvalues).all()
    assert "Standard errors of variances: none (se='none')" in text
    assert "Tests of fixed effects are normal" in text
    assert "nan" not in text


def test_random_traces_are_named_with_their_number_and_error():
    made = simulate.families(40, 2, seed=3)
    got = fit(made.formula, made.data, cov=made.cov, trace="hutchinson", probes=300)
    text = words(got)
    assert "Traces: 300 random probes" in text
    assert re.search(r"the Monte-Carlo error is at most [\d.]+% of a standard error", text)
    assert re.search(r"Cov\(q\) by \d+ random probes \(each standard error within about \d+%\)", text)


def test_variants_and_bootstrap_and_least_squares_are_named(dyestuff):
    options = {"projection": False, "entries": "upper", "se": "bootstrap", "fixed": "ols"}
    got = fit("Yield ~ 1 + (1 | Batch)", dyestuff, **options)
    text = words(got)
    assert ("Equations", "unprojected, upper triangle") in got.estimate.extra["header"]
    assert "Equations: unprojected, upper" in text
    assert "bootstrap, 500 responses drawn from the fitted model and estimated again" in text
    assert "Fixed effects by least squares, with the covariance (X'X)^-1 X'VX (X'X)^-1" in text


def test_subsampling_is_described():
    made = simulate.families(60, 2, seed=3)
    text = words(fit(made.formula, made.data, "rerehe", cov=made.cov))
    assert "resampled restricted Haseman-Elston regression" in text
    assert "Combined: S and q pooled" in text
    assert "50 subsamples of 24 of 240 rows" in text
    assert "families drawn without replacement: other draws would move an estimate by up to" in text


def test_a_covariance_matrix_beyond_the_cone_is_named():
    spec = problems.bound("factor_unstructured")
    got = spec.fit("he")
    text = words(got)
    values = [np.linalg.eigvalsh(S)[0] for S in spec.sigmas(got.estimate.theta)]
    assert min(values) < 0 < min(np.diag(S).min() for S in spec.sigmas(got.estimate.theta))
    assert "is not positive semi-definite: a correlation lies beyond ±1" in text


def test_wheat_by_one_kernel_is_far_from_reml():
    table, _, G = wheat()
    got = fit("y1 ~ 1 + (1 | line:G)", table, cov={"G": G})
    np.testing.assert_allclose(got.varcomp["variance"].iloc[0], 0.176, **printed(3))
    text = words(got)
    assert "Far from REML: by its information at this estimate the standard error of line would be 0.0598" in text
    assert re.search(r"the restricted likelihood is largest 5\.9 of its standard errors higher for line", text)
    assert "Look at method='reml' too" in text


def test_moments_that_are_as_good_as_reml_are_not_called_far(he):
    assert "Far from REML" not in words(he)
    sleep = fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"), fixed="ols")
    assert "Far from REML" not in words(sleep)


def test_a_jackknife_that_asks_less_of_the_data_is_not_called_inefficient():
    got = fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"), se="jackknife")
    assert got.varcomp["se"].iloc[-1] > 2 * 77.2  # of the residual, by the information
    assert "Far from REML" not in words(got)


def test_the_note_compares_with_the_restricted_likelihood_at_the_same_variances():
    """A kernel with few large eigenvalues: numbers of the note from explicit algebra."""
    rng = np.random.default_rng(6)
    W = rng.standard_normal((80, 60)) * np.r_[np.full(2, 12.0), np.ones(58)]
    K = W @ W.T / np.mean((W**2).sum(axis=1))
    ids = [f"i{j}" for j in range(80)]
    root = np.linalg.cholesky(0.7 * K + 0.3 * np.eye(80))
    data = pd.DataFrame({"y": root @ rng.standard_normal(80), "id": ids})
    got = fit("y ~ 1 + (1 | id:K)", data, cov={"K": pd.DataFrame(K, ids, ids)})
    brute = Brute(got.spec).at(got.theta)
    inverse = np.linalg.inv(brute.expected_information)
    reml_se = np.sqrt(np.diag(inverse))
    efficiency = (reml_se / got.varcomp["se"].to_numpy()) ** 2
    step = inverse @ brute.score
    text = words(got)
    assert ("the standard error of" in text) == (efficiency.min() < 0.5)
    assert ("the restricted likelihood is largest" in text) == (np.abs(step / reml_se).max() > 2)
    assert efficiency.min() < 0.5, "choose an example that has the note"
    j = int(efficiency.argmin())
    assert f"would be {reml_se[j]:.3g} instead of {got.varcomp['se'].iloc[j]:.3g}" in text


# ---- what there is and what there is not -------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["llf", "aic", "bic"])
@pytest.mark.parametrize("method", ["he", "rehe", "rerehe"])
def test_there_is_no_likelihood_and_the_message_names_reml(dyestuff, method, what):
    got = fit("Yield ~ 1 + (1 | Batch)", dyestuff, method)
    with pytest.raises(AttributeError, match="reml"):
        getattr(got, what)
    assert not hasattr(got, what)


def test_a_likelihood_ratio_test_is_refused_with_what_to_use(he):
    with pytest.raises(NotProvided, match="no likelihood-ratio test of 'Batch': fit with method='reml'"):
        he.test_varcomp("Batch")
    with pytest.raises(NotProvided, match="no observed information: use method='reml'"):
        he.variances(information="observed")


def test_intervals_are_wald_and_percentiles_come_from_draws(dyestuff, he):
    row = he.varcomp.iloc[1]
    np.testing.assert_allclose(row["upper"] - row["variance"], 1.959964 * row["se"], rtol=1e-6)
    with pytest.raises(NotProvided, match="se='bootstrap'"):
        he.variances(interval="percentile")
    chi2 = he.variances(interval="chi2")
    assert chi2.loc[0, ["lower", "upper"]].isna().all()  # a negative estimate is no scaled chi-square
    assert chi2.loc[1, "lower"] > 0
    booted = fit("Yield ~ 1 + (1 | Batch)", dyestuff, se="bootstrap", n_boot=200)
    frame = booted.variances(interval="percentile", level=0.9)
    want = np.quantile(booted.estimate.sampling.draws, [0.05, 0.95], axis=0)
    np.testing.assert_allclose(frame[["lower", "upper"]].to_numpy().T, want, **IDENTITY)
    assert "percentiles of the draws" in words(booted, interval="percentile")


def test_a_negative_variance_has_no_standard_deviation_and_a_negative_share(he):
    frame = he.varcomp
    assert np.isnan(frame["sd"].iloc[0])
    np.testing.assert_allclose(frame["share"].sum(), 1.0, **IDENTITY)
    assert frame["share"].iloc[0] < 0
    ratio = he.heritability("Batch")
    np.testing.assert_allclose(ratio.estimate, -1.321913 / (14.945890 - 1.321913), rtol=1e-6)
    assert ratio.interval == "Wald"
    assert ratio.lower < ratio.estimate < ratio.upper


def test_heritability_of_a_zero_is_zero_with_an_interval_around_the_unconstrained_one(he, rehe):
    ratio = rehe.heritability("Batch")
    assert ratio.estimate == 0.0
    centre = he.heritability("Batch").estimate
    np.testing.assert_allclose(0.5 * (ratio.lower + ratio.upper), centre, **PARAMETER)
    assert ratio.se > 0


def test_the_delta_method_uses_the_sandwich(he):
    S = he.cov_varcomp().to_numpy()
    total = he.derived(lambda v: v["Batch"] + v["Residual"])
    np.testing.assert_allclose(total.se, np.sqrt(S.sum()), **PARAMETER)


def test_a_parameter_that_does_not_move_has_no_standard_error(he):
    still = replace(he.estimate.sampling, cov=np.diag([0.0, 2.0]))
    got = replace(he, estimate=replace(he.estimate, sampling=still))
    np.testing.assert_array_equal(np.isnan(got.varcomp["se"]), [True, False])


def test_the_reliability_of_an_effect_without_variance_is_not_a_number():
    spec = problems.bound("families")
    got = spec.fit("he")
    assert got.estimate.theta[1] < 0
    assert (got.pev["home"].to_numpy() == 0).all()
    assert got.reliability["home"].isna().all().all()
    assert (got.reliability["person"] < 1).all().all()


def test_tidy_and_glance_hold_what_can_be_said(he, rehe):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tidy = he.tidy(conf_int=True)
        variances = he.tidy("ran_pars", scales="vcov", conf_int=True)
        glance = he.glance()
        zero = rehe.tidy("ran_pars", conf_int=True)
    batch = tidy[tidy["group"] == "Batch"].iloc[0]
    assert np.isnan(batch["estimate"])
    assert batch["conf.low"] == 0.0
    np.testing.assert_allclose(variances["estimate"], he.varcomp["variance"], **IDENTITY)
    assert "logLik" not in glance
    assert glance["nobs"].iloc[0] == 30
    assert zero["estimate"].iloc[0] == 0.0


def test_augment_and_plain_values_are_complete(he):
    assert {".fitted", ".resid"} <= set(he.augment().columns)
    values = as_plain(he)
    text = json.dumps(values, allow_nan=False)
    back = json.loads(text)
    assert back["fit"]["loglik"] is None
    assert back["sampling"]["kind"] == "sandwich"
    np.testing.assert_allclose(back["sampling"]["centre"], he.estimate.par, **IDENTITY)
    assert back["varcomp"][0]["variance"] < 0
    assert back["varcomp"][0]["sd"] is None


# ---- fixed effects and predictions -------------------------------------------------------------------------------


def test_gls_is_that_of_the_nearest_admissible_variances(he):
    np.testing.assert_allclose(he.theta, [0.0, 14.945890], rtol=1e-6)
    brute = Brute(he.spec).at(he.theta)
    np.testing.assert_allclose(he.params, brute.beta, **OBJECTIVE)
    np.testing.assert_allclose(he.bse, np.sqrt(np.diag(brute.beta_cov)), **OBJECTIVE)
    assert not he.random_effects["Batch"].to_numpy().any()
    np.testing.assert_allclose(he.predict(), np.full(30, brute.beta[0]), **OBJECTIVE)
    assert he.scale == he.estimate.theta[-1]


@pytest.mark.parametrize("fixed", ["gls", "ols"])
def test_everything_that_conditions_on_the_variances_works(fixed):
    made = simulate.families(25, 3, seed=4).unbalanced(0.8, 5)  # relatives without records
    got = fit(made.formula, made.data, cov=made.cov, fixed=fixed)
    names = {term.name for term in got.spec.terms}
    assert set(got.random_effects) == names
    assert (got.pev["person"].to_numpy() > 0).all()
    assert (got.reliability["person"].to_numpy() < 1).all()
    frame = got.predict(se=True, interval="prediction")
    assert (frame["se"] > 0).all()
    assert np.isfinite(frame.to_numpy()).all()
    unseen = [person for person in made.cov["A"].index if person not in set(made.data["person"])][:3]
    new = made.data.head(3).assign(person=unseen, home=unseen)
    relatives = got.predict(new, new_levels="conditional", se=True)
    assert np.isfinite(relatives.to_numpy()).all()
    assert got.simulate(3, seed=1).shape == (got.nobs, 3)
    assert (got.pvalues <= 1).all()
    assert got.conf_int().shape == (2, 2)
    assert (got.df_fixed() > 1).all()
    w = np.linalg.inv(got.spec.X.T @ got.spec.X) @ got.spec.X.T
    brute = Brute(got.spec).at(got.theta)
    beta, cov = (w @ got.spec.y, w @ brute.V @ w.T) if fixed == "ols" else (brute.beta, brute.beta_cov)
    np.testing.assert_allclose(got.params, beta, **OBJECTIVE)
    np.testing.assert_allclose(got.cov_params(), cov, **OBJECTIVE)


def test_a_refit_solves_the_same_equations_for_another_response(dyestuff, he):
    y = dyestuff["Yield"].to_numpy()[::-1] * 2.0
    again = he.refit(y)
    want = fit("Yield ~ 1 + (1 | Batch)", dyestuff.assign(Yield=y))
    np.testing.assert_allclose(again.varcomp.select_dtypes("number"), want.varcomp.select_dtypes("number"), **OBJECTIVE)
    assert again.likelihood is None


# ---- an outer product --------------------------------------------------------------------------------------------


def test_an_outer_product_has_variances_but_nothing_of_a_response(he, outer):
    np.testing.assert_allclose(outer.varcomp["variance"], he.varcomp["variance"], **OBJECTIVE)
    assert float(outer.heritability("Batch")) < 0
    for name in ("params", "bse", "pvalues", "random_effects", "fittedvalues", "resid", "pev"):
        with pytest.raises(NotProvided, match="took an outer product in place of the response"):
            getattr(outer, name)
    for call in (outer.predict, outer.simulate, outer.augment, outer.cov_params, lambda: outer.refit(np.ones(30))):
        with pytest.raises(NotProvided, match="took an outer product"):
            call()


def test_the_summary_and_frames_of_an_outer_product_leave_out_the_fixed_effects(outer):
    text = words(outer)
    assert "P>|t|" not in text
    assert "fixed effects" not in text.lower()
    assert "jackknife, 6 groups of families left out in turn" in text
    assert "those of outer=, in place of the response, which is not used" in text
    assert set(outer.tidy()["effect"]) == {"ran_pars"}
    values = as_plain(outer)
    assert values["fixed"] is None
    assert values["rows"] is None
    json.dumps(values, allow_nan=False)


# ---- stored ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("he", {}),
        ("he", {"se": "bootstrap", "n_boot": 30, "fixed": "ols"}),
        ("he", {"se": "none", "projection": False}),
        ("rehe", {"trace": "hutchinson", "probes": 40}),
        ("rerehe", {"n_subsamples": 5, "n_boot": 20}),
    ],
)
def test_a_saved_fit_comes_back_whole(tmp_path, dyestuff, method, options):
    got = fit("Yield ~ 1 + (1 | Batch)", dyestuff, method, **options)
    got.save(tmp_path / "fit.mvc")
    back = mv.load(tmp_path / "fit.mvc")
    assert str(back.summary()) == str(got.summary())
    assert back.estimator == got.estimator
    pd.testing.assert_frame_equal(back.varcomp, got.varcomp)
    one, other = back.estimate.sampling, got.estimate.sampling
    assert (one is None) == (other is None)
    if other is not None:
        for name in ("centre", "cov", "draws", "noise"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    pd.testing.assert_series_equal(back.params, got.params)


@pytest.mark.parametrize("labelled", [True, False])
def test_an_outer_product_is_saved_with_its_estimator(tmp_path, dyestuff, labelled):
    y = dyestuff["Yield"].to_numpy()
    G = pd.DataFrame(np.outer(y, y), dyestuff.index, dyestuff.index) if labelled else np.outer(y, y)
    got = fit("Yield ~ 1 + (1 | Batch)", dyestuff, "rehe", outer=G, n_blocks=3)
    got.save(tmp_path / "fit.mvc")
    back = mv.load(tmp_path / "fit.mvc")
    np.testing.assert_array_equal(np.asarray(back.estimator.outer), np.outer(y, y))
    assert str(back.summary()) == str(got.summary())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        again = back.spec.fit(replace(back.estimator))
    np.testing.assert_allclose(again.estimate.theta, got.estimate.theta, **IDENTITY)


# ---- command line --------------------------------------------------------------------------------------------------


def test_the_command_line_prints_and_writes_moment_fits(tmp_path, capsys):
    out, tidy = tmp_path / "fit.json", tmp_path / "fit.csv"
    status = main(
        ["fit", "Yield ~ 1 + (1 | Batch)", "dyestuff2", "--method", "mom", "--json", str(out), "--tidy", str(tidy)]
    )
    assert status == 0
    assert "Haseman-Elston regression" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert written["fit"]["method"] == "he"
    np.testing.assert_allclose(written["varcomp"][0]["variance"], -1.321913, rtol=1e-6)
    assert len(pd.read_csv(tidy)) == 3


def test_options_and_seed_reach_the_estimator_from_the_command_line(capsys):
    options = ["--option", "se=bootstrap", "--option", "n_boot=25", "--seed", "3"]
    assert main(["fit", "Yield ~ 1 + (1 | Batch)", "dyestuff2", "--method", "rehe", *options]) == 0
    first = capsys.readouterr().out
    assert "25 responses drawn" in " ".join(first.split())
    main(["fit", "Yield ~ 1 + (1 | Batch)", "dyestuff2", "--method", "rehe", *options])
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("options", [{}, {"trace": "hutchinson"}, {"se": "bootstrap"}, {"se": "jackknife"}])
@pytest.mark.parametrize("method", ["he", "rehe"])
def test_a_model_without_random_terms_has_the_residual_variance_of_least_squares(dyestuff, method, options):
    got = fit("Yield ~ 1", dyestuff, method, **options)
    variance = dyestuff["Yield"].var(ddof=1)
    np.testing.assert_allclose(got.estimate.theta, [variance], **OBJECTIVE)
    assert 0.5 < got.varcomp["se"].iloc[0] / (variance * np.sqrt(2 / 29)) < 2
    assert "nan" not in words(got)


@pytest.mark.parametrize("options", [{}, {"se": "bootstrap"}, {"combine": "mean"}])
def test_subsampling_needs_no_random_terms_either(dyestuff, options):
    got = fit("Yield ~ 1", dyestuff, "rerehe", **options)
    assert 0.8 < got.scale / dyestuff["Yield"].var(ddof=1) < 1.25
    assert got.varcomp["se"].iloc[0] > 0


def test_estimators_are_values(he):
    assert HE(probes=7) == HE(probes=7) != HE(probes=8)
    assert REHE() != HE()
    assert hash(HE(outer=np.eye(2), se="none")) == hash(HE(outer=np.eye(3), se="none"))
    assert he.estimator == HE()
