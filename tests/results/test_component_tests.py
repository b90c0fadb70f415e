"""Tests of variance components and the table of reduced models."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import NotProvided, OptionError
from mixedvc.estimators.reml import REML
from mixedvc.inference.hypothesis import cone_of, default_hypotheses, embed, hypothesis, with_metric
from mixedvc.results.component_tests import bootstrapped_ratios, null_fit, ranova
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute

from ..inference import cases
from ..reference.load import matrix, reference
from ..tolerances import MONTE_CARLO, OBJECTIVE

pytestmark = pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
SLEEP = "Reaction ~ Days + (Days | Subject)"


@pytest.fixture(scope="module")
def sleepstudy():
    return mv.fit(SLEEP, mv.load_data("sleepstudy"))


def blocks(seed=1):
    """Sleepstudy with a factor of three levels."""
    data = mv.load_data("sleepstudy")
    return data.assign(t=np.array(["early", "late", "mid"])[(data["Days"] // 4).to_numpy(dtype=int)])


# ---- statistics ---------------------------------------------------------------------------------------------------


def test_the_balanced_one_way_test_refits_least_squares():
    spec = assemble.one_way(6, 5, seed=3)
    row = cases.fitted(spec).test_varcomp("g", "mixture").loc["g"]
    rss = float(((spec.y - spec.y.mean()) ** 2).sum())
    s2 = rss / (spec.n - 1)
    want = -0.5 * ((spec.n - 1) * np.log(2 * np.pi * s2) + np.log(spec.n) + spec.n - 1)
    assert_allclose(row["llf_null"], want, **OBJECTIVE)
    assert_allclose(row["statistic"], 2 * (row["llf"] - want), rtol=1e-7, atol=0)
    assert row["method"] == "mixture 1/2 chi-square(0) + 1/2 chi-square(1)"
    assert_allclose(row["p_value"], 0.5 * stats.chi2.sf(row["statistic"], 1), **OBJECTIVE)
    assert row["df"] == 1 and row["mc_error"] == 0


def test_every_variance_is_tested_by_default():
    fit = cases.fitted(cases.relatives(n=80, signal=3.0))
    assert list(fit.test_varcomp(seed=1).index) == ["kin[x]", "block"]
    assert fit.test_varcomp("kin", seed=1)["df"].tolist() == [3]
    with pytest.raises(
        OptionError, match=r"no random term or effect is called 'kim'; what can be tested: 'kin', 'kin\["
    ):
        fit.test_varcomp("kim")


def test_hypotheses_follow_the_formula():
    data = blocks()

    def names(formula):
        spec = mv.model(formula, data)
        return [h.name for h in default_hypotheses(spec, mv.fit(formula, data).estimate)]

    assert names("Reaction ~ Days + (1 + t | Subject)") == ["Subject[t]"]
    assert names("Reaction ~ Days + (0 + t | Subject)") == ["Subject"]
    assert names("Reaction ~ Days + (Days || Subject)") == ["Subject[Intercept]", "Subject[Days]"]
    assert names("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)") == ["Subject", "Subject.1"]
    assert names("Reaction ~ Days + cs(0 + t | Subject)") == ["Subject"]
    fit = mv.fit("Reaction ~ Days + (1 + t | Subject)", data)
    row = fit.test_varcomp("Subject[t]", seed=1).iloc[0]
    assert row["df"] == 5  # two variances, their covariance, and two with the intercept
    assert "blocks 2×2; 5 parameters" in row["method"]
    one = fit.test_varcomp("Subject[t[T.mid]]").iloc[0]
    assert one["method"] == "mixture 1/2 chi-square(2) + 1/2 chi-square(3)"


def test_slopes_against_an_intercept_are_referred_to_half_of_each(sleepstudy):
    row = sleepstudy.test_varcomp().loc["Subject[Days]"]
    lrt = reference("lme4/sleepstudy/slope_correlated")["REML"]["ranova"]["values"][1][3]
    assert_allclose(row["statistic"], lrt, rtol=1e-6, atol=0)
    assert_allclose(row["p_value"], 0.5 * (stats.chi2.sf(lrt, 1) + stats.chi2.sf(lrt, 2)), rtol=1e-5, atol=0)
    assert row["df"] == 2


def test_uncorrelated_variances_together_weigh_by_their_information():
    fit = mv.fit("Reaction ~ Days + (Days || Subject)", mv.load_data("sleepstudy"))
    row = fit.test_varcomp("Subject").iloc[0]
    # the information of the balanced design at zero, brute force
    spec, null = fit.spec, fit.llf - row["statistic"] / 2
    at = np.array([0.0, 0.0, cases.fitted(replace(spec, terms=())).theta[0]])
    C = np.linalg.inv(Brute(spec).at(at).expected_information)
    both = 0.25 + np.arcsin(C[0, 1] / np.sqrt(C[0, 0] * C[1, 1])) / (2 * np.pi)
    x = row["statistic"]
    assert_allclose(row["p_value"], 0.5 * stats.chi2.sf(x, 1) + both * stats.chi2.sf(x, 2), rtol=1e-6, atol=0)
    assert_allclose(null, row["llf_null"], **OBJECTIVE)
    assert f"+ {both:.3g} chi-square(2)" in row["method"]


def test_components_that_do_not_move_leave_the_information():
    data = blocks()
    fit = mv.fit("Reaction ~ Days + (1 | t) + (Days || Subject)", data, fixed_varcomp={"t": 50.0})
    h = hypothesis(fit.spec, fit.estimate, "Subject")
    null = null_fit(fit, h)
    theta, known = embed(h, fit.spec, null.estimate)
    assert_allclose(theta, [50.0, 0.0, 0.0, null.theta[-1]], rtol=1e-9, atol=0)
    assert known.tolist() == [True, False, False, False]
    information = Brute(fit.spec).at(theta).expected_information[1:, 1:]
    cone = with_metric(h, cone_of(h, fit.spec), fit.spec, null.estimate, fit._evaluator.at, fit.estimate.likelihood)
    assert_allclose(cone.covariance, np.linalg.inv(information)[:2, :2], rtol=1e-7, atol=0)


# ---- exact --------------------------------------------------------------------------------------------------------


def agrees(ours, theirs, count=100_000):
    p = max(theirs, 1e-4)
    return abs(ours["p_value"] - theirs) < MONTE_CARLO * np.sqrt(p / count + ours["mc_error"] ** 2) + 2 / count


@pytest.mark.parametrize(
    ("case", "formula", "data", "component", "method"),
    [
        ("sleepstudy_intercept", "Reaction ~ Days + (1 | Subject)", "sleepstudy", "Subject", "reml"),
        ("dyestuff", "Yield ~ 1 + (1 | Batch)", "dyestuff", "Batch", "reml"),
        ("dyestuff_ml", "Yield ~ 1 + (1 | Batch)", "dyestuff", "Batch", "ml"),
        ("pastes_batch", "strength ~ 1 + (1 | sample) + (1 | batch)", "pastes", "batch", "reml"),
        (
            "sleepstudy_days",
            "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)",
            "sleepstudy",
            "Subject.1",
            "reml",
        ),
    ],
)
def test_exact_tests_agree_with_rlrsim(case, formula, data, component, method):
    want = reference("rlrsim/tests")[case]
    row = (
        mv.fit(formula, mv.load_data(data), method=method)
        .test_varcomp(component, "exact", nsim=100_000, seed=1)
        .iloc[0]
    )
    assert_allclose(row["statistic"], want["statistic"], rtol=2e-5, atol=1e-5)
    assert agrees(row, want["p"])
    several = "as if the other components were absent (Greven et al. 2008)" in row["method"]
    assert several == (case in ("pastes_batch", "sleepstudy_days"))
    assert ("restricted" in row["method"]) == (method == "reml")


def test_an_effect_of_uncorrelated_ones_is_tested_like_a_term_of_its_own():
    data = mv.load_data("sleepstudy")
    together = (
        mv.fit("Reaction ~ Days + (Days || Subject)", data).test_varcomp("Subject[Days]", "exact", seed=1).iloc[0]
    )
    apart = mv.fit("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", data).test_varcomp(
        "Subject.1", "exact", seed=1
    )
    assert_allclose(together["statistic"], apart["statistic"].iloc[0], rtol=1e-7, atol=0)
    assert together["p_value"] == apart["p_value"].iloc[0]


def test_a_zero_estimate_has_a_p_value_of_one():
    fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    for method in ("exact", "mixture", "chi2", "boot"):
        row = fit.test_varcomp("Batch", method, nsim=100, seed=1).loc["Batch"]
        assert row["statistic"] == 0.0 and row["p_value"] == 1.0, method


def test_the_default_is_exact_where_that_is_exact():
    alone = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")).test_varcomp(seed=1)
    assert alone["method"].iloc[0] == "exact law of the restricted likelihood ratio, 10,000 simulations"
    beside = mv.fit("strength ~ 1 + (1 | sample) + (1 | batch)", mv.load_data("pastes")).test_varcomp()
    assert set(beside["method"]) == {"mixture 1/2 chi-square(0) + 1/2 chi-square(1)"}


def test_seeds_repeat_a_simulated_p_value():
    fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    one, two, other = (fit.test_varcomp(seed=s)["p_value"].iloc[0] for s in (1, 1, 2))
    assert one == two != other


def test_large_spectra_are_left_to_the_mixture(monkeypatch):
    from mixedvc.inference import rlrt

    fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    monkeypatch.setattr(rlrt, "AFFORDABLE", 0)
    assert fit.test_varcomp()["method"].iloc[0].startswith("mixture")
    assert fit.test_varcomp(method="exact", seed=1)["method"].iloc[0].startswith("exact law")


# ---- bootstrap ----------------------------------------------------------------------------------------------------


def test_the_bootstrap_gives_the_exact_p_value():
    fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    smaller = replace(fit.spec, y=fit.spec.y - 0.6 * fit.spec.terms[0].spread(np.asarray(fit.evaluation.blup(0))))
    fit = cases.fitted(smaller)
    exact = fit.test_varcomp(nsim=100_000, seed=1).iloc[0]
    boot = fit.test_varcomp(method="boot", nsim=400, seed=2).iloc[0]
    assert 0.02 < exact["p_value"] < 0.4
    assert abs(boot["p_value"] - exact["p_value"]) < MONTE_CARLO * boot["mc_error"]
    assert boot["method"] == "parametric bootstrap, 400 replicates"


def test_bootstrapped_ratios_are_those_of_two_refits(sleepstudy):
    (h,) = default_hypotheses(sleepstudy.spec, sleepstudy.estimate)
    null = null_fit(sleepstudy, h)
    ratios, _ = bootstrapped_ratios(null, sleepstudy, 100, 3)
    from mixedvc.results.bootstrap import plan_of

    Y = plan_of(null, "parametric", "new", 100, 3).responses(0)
    for j in range(4):
        want = 2 * (sleepstudy.refit(Y[:, j]).llf - null.refit(Y[:, j]).llf)
        assert_allclose(ratios[j], max(want, 0.0), rtol=1e-6, atol=1e-7)
    half = np.mean([np.mean(ratios >= x) for x in stats.chi2.isf([0.2, 0.5], 1)])
    assert 0.15 < half < 0.6


def test_patterned_terms_are_left_to_the_bootstrap():
    fit = mv.fit("Reaction ~ Days + cs(0 + t | Subject, hom=True)", blocks())
    with pytest.raises(
        OptionError, match="method='mixture' does not apply to 'Subject': the large-sample law for a cs"
    ):
        fit.test_varcomp(method="mixture")
    row = fit.test_varcomp(nsim=100, seed=1).iloc[0]
    assert row["method"] == "parametric bootstrap, 100 replicates"
    assert_allclose(row["p_value"], 1 / 101, **OBJECTIVE)


# ---- refusals -----------------------------------------------------------------------------------------------------


def test_what_cannot_be_tested_is_refused(sleepstudy):
    spec = assemble.one_way(6, 5, seed=3)
    fit = cases.fitted(spec)
    with pytest.raises(OptionError, match="method='wald' is not one of 'auto', 'exact', 'mixture', 'chi2', 'boot'"):
        fit.test_varcomp("g", method="wald")
    with pytest.raises(OptionError, match="nsim=10: a whole number of at least 100"):
        fit.test_varcomp("g", nsim=10)
    with pytest.raises(OptionError, match="'g' is held fixed; nothing here can be tested"):
        cases.fitted(spec, REML(fixed_varcomp={"g": 1.0})).test_varcomp("g")
    with pytest.raises(OptionError, match="no term here can be tested"):
        cases.fitted(spec, REML(fixed_varcomp={"g": 1.0})).test_varcomp()
    with pytest.raises(OptionError, match="does not carry its estimator"):
        cases.by_brute_force(spec, [1.0, 1.0]).test_varcomp("g")
    with pytest.raises(OptionError, match=r"method='exact' does not apply to 'Subject\[Days\]': it is known for one"):
        sleepstudy.test_varcomp(method="exact")
    with pytest.raises(
        OptionError, match="method='exact' does not apply to 'g': it needs one residual variance that is"
    ):
        cases.fitted(spec, REML(fixed_varcomp={"residual": 1.0})).test_varcomp("g", "exact")
    he = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), method="he")
    with pytest.raises(NotProvided, match="method 'he' has no likelihood, so no likelihood-ratio test"):
        he.test_varcomp()


def test_options_that_name_the_tested_term_do_not_reach_the_smaller_model():
    fit = mv.fit(
        "strength ~ 1 + (1 | sample) + (1 | batch)",
        mv.load_data("pastes"),
        start={"sample": 8.0, "batch": 2.0, "residual": 0.7},
        likelihood="dense",
    )
    plain = mv.fit("strength ~ 1 + (1 | sample) + (1 | batch)", mv.load_data("pastes"))
    rotated = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), likelihood="spectral")
    assert rotated.test_varcomp(method="mixture")["statistic"].iloc[0] > 6  # spectral needs a random term
    columns = ["statistic", "llf_null"]
    got, want = (f.test_varcomp(method="mixture")[columns] for f in (fit, plain))
    assert_allclose(got, want, rtol=1e-6, atol=1e-6)


# ---- ranova -------------------------------------------------------------------------------------------------------

RANOVA = [
    ("sleepstudy/intercept", "Reaction ~ Days + (1 | Subject)"),
    ("sleepstudy/slope_correlated", SLEEP),
    ("sleepstudy/slope_uncorrelated", "Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)"),
    ("orthodont/lmer_intercept", "distance ~ age * Sex + (1 | Subject)"),
    ("orthodont/lmer_slope", "distance ~ age * Sex + (age | Subject)"),
    ("dyestuff/batch", "Yield ~ 1 + (1 | Batch)"),
    ("dyestuff2/batch_boundary", "Yield ~ 1 + (1 | Batch)"),
    ("penicillin/crossed", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ("pastes/nested", "strength ~ 1 + (1 | batch/cask)"),
]


@pytest.mark.parametrize(("case", "formula"), RANOVA, ids=[c[0] for c in RANOVA])
def test_reduced_models_are_those_of_lmertest(case, formula):
    want = matrix(reference(f"lme4/{case}")["REML"]["ranova"])
    got = ranova(mv.fit(formula, mv.load_data(case.split("/")[0])))
    if case.startswith("pastes"):
        got = got.loc[["<none>", "(1 | batch:cask)", "(1 | batch)"]]
    assert [i.replace("1 + ", "") for i in got.index][1:] == [
        i.replace("cask:batch", "batch:cask") for i in want.index
    ][1:]
    assert_allclose(got["npar"], want["npar"])
    assert_allclose(got["llf"], want["logLik"], rtol=2e-8, atol=0)  # lme4 stops a little short on Orthodont
    assert_allclose(got["aic"], want["AIC"], rtol=2e-8, atol=0)
    assert_allclose(got["lrt"][1:], want["LRT"][1:], rtol=1e-4, atol=1e-5)
    assert_allclose(got["df"][1:], want["Df"][1:])
    assert_allclose(got["p_value"][1:], want["Pr(>Chisq)"][1:], rtol=1e-3, atol=1e-30)


def test_a_factor_is_left_out_as_a_whole():
    frame = ranova(mv.fit("Reaction ~ Days + (1 + t | Subject)", blocks()))
    assert list(frame.index) == ["<none>", "t in (1 + t | Subject)"]
    assert frame["npar"].tolist() == [9, 4]
    assert frame["effect"].tolist() == ["", "t"]


# ---- size ---------------------------------------------------------------------------------------------------------


def one_way_rejections(count, alpha=0.05):
    """Rates at which exact and mixture reject a true hypothesis: 8 unequal groups and a covariate."""
    rng = np.random.default_rng(5)
    group = np.repeat(np.arange(8), (2, 3, 4, 5, 5, 6, 7, 8)).astype(str)
    data = pd.DataFrame({"g": group, "x": rng.standard_normal(40), "y": rng.standard_normal(40)})
    full, null = mv.fit("y ~ x + (1 | g)", data), mv.fit("y ~ x", data)
    from mixedvc.inference import rlrt

    critical = np.quantile(rlrt.simulate(rlrt.spectrum(full.spec, 0, True), 100_000, rng), 1 - alpha)
    ratios, _ = bootstrapped_ratios(null, full, count, 6)
    return (ratios > critical).mean(), (ratios > stats.chi2.isf(2 * alpha, 1)).mean()


@pytest.mark.slow
def test_the_exact_test_keeps_its_size():
    exact, mixture = one_way_rejections(1500)
    error = np.sqrt(0.05 * 0.95 / 1500)
    assert abs(exact - 0.05) < 3 * error
    assert mixture < exact


@pytest.mark.slow
def test_slopes_keep_the_size_of_their_mixture():
    """Thirty subjects of six: one more correlated effect, and both effects together."""
    rng = np.random.default_rng(7)
    x = np.tile(np.linspace(-1, 1, 6), 30)
    data = pd.DataFrame({"g": np.repeat(np.arange(30), 6).astype(str), "x": x, "y": rng.standard_normal(180)})
    data["y"] += np.repeat(rng.standard_normal(30), 6)
    slope = mv.fit("y ~ x + (x | g)", data)
    (h,) = default_hypotheses(slope.spec, slope.estimate)
    ratios, _ = bootstrapped_ratios(null_fit(slope, h), slope, 600, 8)
    p = 0.5 * (stats.chi2.sf(ratios, 1) + stats.chi2.sf(ratios, 2))
    assert 0.025 < (p < 0.05).mean() < 0.08
    assert (stats.chi2.sf(ratios, 2) < 0.05).mean() < 0.04  # what lmerTest prints is conservative
    flat = mv.fit("y ~ x", data)
    both, _ = bootstrapped_ratios(flat, slope, 600, 9)
    from mixedvc.inference.chibar import simulate

    whole = hypothesis(slope.spec, slope.estimate, "g")
    cone = cone_of(whole, slope.spec)
    law = with_metric(whole, cone, slope.spec, flat.estimate, slope._evaluator.at, slope.estimate.likelihood)
    critical = np.quantile(simulate(law, 50_000, rng), 0.95)
    assert 0.02 < (both > critical).mean() < 0.08
