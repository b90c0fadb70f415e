"""A posterior: its numbers are those of its draws, its tables agree with each other, and nothing else leaks through."""

import math
import re
import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import MissingExtra, NotProvided, OptionError
from mixedvc.inference import ratios
from mixedvc.inference.parameters import parameters
from mixedvc.results import frames
from mixedvc.results import posterior_numbers as pn
from mixedvc.results.point import PointResults
from mixedvc.results.posterior import PosteriorResults, TraitPosterior
from mixedvc.results.posterior_data import share_draws, sigma_draws
from mixedvc.results.posterior_refused import Refused
from mixedvc.results.traits import TraitResults
from tests.results.posterior_made import GivenPlan, dyestuff, results_of, sleepstudy, with_draws
from tests.tolerances import IDENTITY, PARAMETER

NAMES = ["Subject[Intercept]", "Subject[Intercept, Days]", "Subject[Days]", "Residual"]

# Public names that a posterior takes over from a point fit as they are, and why they say nothing frequentist.
AS_THEY_ARE = {
    "converged": "judged of the draws: R-hat and effective draws",
    "df_resid": "n − p, a count",
    "estimator": "what was asked for",
    "evaluation": "the model at the posterior mean of θ, for plug-in quantities; the public numbers do not use it",
    "fittedvalues": "made by _fitted from posterior means",
    "fixed_fit": "Xβ at posterior means",
    "information": "an option that nothing here reads",
    "is_singular": "a posterior has no mass at singular Σ",
    "method": "a name",
    "nobs": "a count",
    "padded": "an index for row quantities",
    "plot_residuals": "a picture of residuals",
    "plot_shares": "drawn from heritability(), which is a posterior's",
    "plot_correlations": "drawn from correlations(), which is a posterior's",
    "principal_components": "of posterior means of Σ",
    "resid": "made of posterior means",
    "resid_values": "made of posterior means",
    "residuals": "made of posterior means, scaled by posterior means of variances",
    "save": "writes draws too",
    "scale": "posterior mean of the residual variance",
    "theta": "posterior mean of the linear parameters",
    "G": "trait_cov(), which is a posterior's",
    "R": "trait_cov(), which is a posterior's",
    "P": "trait_cov(), which is a posterior's",
    "traits": "names",
    "selection_index": "of posterior means and posterior covariances of effects",
}


@pytest.fixture(scope="module")
def fit():
    return sleepstudy()


# ---- the surface ----------------------------------------------------------------------------------------------------


def _owner(cls, name):
    return next((k for k in cls.__mro__ if name in vars(k)), None)


@pytest.mark.parametrize(("base", "cls"), [(PointResults, PosteriorResults), (TraitResults, TraitPosterior)])
def test_every_public_name_of_a_point_fit_has_a_bayesian_meaning_or_is_refused_or_has_a_reason(base, cls):
    public = {name for name in dir(base) if not name.startswith("_")}
    inherited = {name for name in public if _owner(cls, name) is _owner(base, name)}
    assert inherited <= set(AS_THEY_ARE), f"no Bayesian meaning was given to {sorted(inherited - set(AS_THEY_ARE))}"


def test_no_reason_is_given_for_a_name_that_is_overridden():
    inherited = set()
    for base, cls in ((PointResults, PosteriorResults), (TraitResults, TraitPosterior)):
        inherited |= {name for name in dir(base) if _owner(cls, name) is _owner(base, name)}
    assert set(AS_THEY_ARE) <= inherited


def test_what_is_refused_is_told_by_name_with_what_takes_its_place(fit):
    names = [name for name in dir(type(fit)) if isinstance(getattr(type(fit), name, None), Refused)]
    assert {"aic", "bic", "llf", "pvalues", "profile", "bootstrap", "test_varcomp", "anova", "kenward_roger"} <= set(
        names
    )
    for name in names:
        with pytest.raises(NotProvided, match=rf"^a posterior has no {name}: .*\w\("):
            getattr(fit, name)
    with pytest.raises(NotProvided, match="no information matrix"):
        fit.covariance("expected")
    with pytest.raises(NotProvided, match="leverages"):
        fit.augment(influence=True)
    with pytest.raises(OptionError, match="interval='profile'"):
        fit.variances(interval="profile")


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_params_bse_and_covariances_are_moments_of_the_draws(fit):
    beta = fit.draws.beta.reshape(-1, 2)
    assert_allclose(fit.params, beta.mean(axis=0), **PARAMETER)
    assert_allclose(fit.bse, beta.std(axis=0, ddof=1), **PARAMETER)
    assert_allclose(fit.cov_params(), np.cov(beta.T), **PARAMETER)
    par = fit.draws.par.reshape(-1, 4)
    assert list(fit.cov_varcomp().index) == NAMES
    assert_allclose(fit.cov_varcomp(), np.cov(par.T), **PARAMETER)
    low, high = np.quantile(beta, [0.05, 0.95], axis=0)
    assert_allclose(fit.conf_int(0.1, "quantile"), np.column_stack([low, high]), **PARAMETER)
    assert_allclose(fit.conf_int(0.1).loc["Days"], pn.hdi(beta[:, 1], 0.9), **PARAMETER)


def test_varcomp_is_made_of_the_draws(fit):
    v, par = fit.varcomp, fit.draws.par.reshape(-1, 4)
    assert_allclose(v.variance, par.mean(axis=0), **PARAMETER)
    assert_allclose(v.se, par.std(axis=0, ddof=1), **PARAMETER)
    assert_allclose(v["median"], np.median(par, axis=0), **PARAMETER)
    r = par[:, 1] / np.sqrt(par[:, 0] * par[:, 2])
    assert_allclose(v.sd, [np.sqrt(par[:, 0]).mean(), r.mean(), *np.sqrt(par[:, 2:]).mean(axis=0)], **PARAMETER)
    assert_allclose(v[["lower", "upper"]], [pn.hdi(x) for x in par.T], **PARAMETER)
    assert not v.boundary.any() and (v.ess_bulk > 3000).all() and (v.rhat < 1.01).all()
    q = fit.variances(level=0.8, interval="quantile")
    assert_allclose(q[["lower", "upper"]], np.quantile(par, [0.1, 0.9], axis=0).T, **PARAMETER)
    assert (v["mode"] < v.variance)[[0, 2, 3]].all()  # right-skew


def test_shares_of_every_draw_are_those_of_a_point_fit_there(fit):
    shares = share_draws(fit)
    for c, d in ((0, 0), (2, 17), (3, 999)):
        at = fit.estimate.__class__(
            **{**vars(fit.estimate), "theta": fit.draws.theta[c, d], "par": fit.draws.par[c, d]}
        )
        assert_allclose(shares[c, d], frames.share_column(fit.spec, at, parameters(fit.spec)), **IDENTITY)
    assert_allclose(fit.varcomp.share.sum(), 1.0, **PARAMETER)


@pytest.mark.parametrize("structure", ["cs", "ar1", "diag", "fa1"])
def test_shares_of_other_structures_are_those_of_a_point_fit(structure):
    rng = np.random.default_rng(8)
    data = pd.DataFrame(
        {"g": np.repeat(np.arange(12), 8), "f": np.tile(list("abcd"), 24), "y": rng.standard_normal(96)}
    )
    left = {"cs": "cs(0 + f | g)", "ar1": "ar1(0 + f | g)", "diag": "diag(0 + f | g)", "fa1": "fa(0 + f | g, 1)"}[
        structure
    ]
    spec = mv.model(f"y ~ 1 + {left}", data)
    n_par = sum(t.structure.n_par for t in spec.all_terms)
    par = 0.2 + rng.random((1, 6, n_par)) * 0.5
    theta = np.stack([_theta(spec, row) for row in par[0]])[None]

    class Drawn:
        pass

    made = Drawn()
    made.spec, made.draws = spec, Drawn()
    made.draws.par, made.draws.theta = par, theta
    shares = share_draws(made)
    for d in range(6):
        at = Drawn()
        at.theta, at.par = theta[0, d], par[0, d]
        assert_allclose(shares[0, d], frames.share_column(spec, at, parameters(spec)), **IDENTITY)
        for i, Sigma in enumerate(spec.sigmas(theta[0, d])):
            assert_allclose(sigma_draws(spec, theta, i)[0, d], Sigma, **IDENTITY)


def _theta(spec, par):
    from mixedvc.inference.parameters import linear_parameters

    return linear_parameters(spec, par)


def test_heritability_is_the_share_of_every_draw(fit):
    h = fit.heritability("Subject")
    every = [ratios.share(fit.spec, theta, np.eye(4), "Subject").estimate for theta in fit.draws.theta[1, :20]]
    assert_allclose(h.draws[1, :20], every, **IDENTITY)
    assert h.name == "var(Subject)" and h.denominator == "var(Subject) + var(Residual)"
    assert_allclose((h.lower, h.upper), pn.hdi(h.draws), **IDENTITY)
    assert_allclose((float(h), h.se, h.median), (h.draws.mean(), h.draws.std(ddof=1), np.median(h.draws)), **PARAMETER)
    assert h.ess > 3000 and h.rhat < 1.01 and 0 < h.mode() < 1
    assert h.probability(lambda x: x > h.median) == pytest.approx(0.5, abs=1e-12)
    assert re.fullmatch(
        r"var\(Subject\) / \(var\(Subject\) \+ var\(Residual\)\) = 0\.\d+ "
        r"\(posterior SD 0\.\d+, 95 % HPD interval 0\.\d+ to 0\.\d+\)",
        str(h),
    )
    only = fit.heritability("Subject", ["Residual"], interval="quantile", level=0.5)
    assert_allclose(only.interval(), np.quantile(only.draws, [0.25, 0.75]), **IDENTITY)
    with pytest.raises(OptionError, match="no variance component is called 'kin'"):
        fit.heritability("kin")


def test_derived_quantities_take_functions_of_arrays_and_of_numbers(fit):
    par = fit.draws.par
    at_once = fit.derived(lambda v: v["Subject[Days]"] / v["Residual"], name="ratio")
    assert_allclose(at_once.draws, par[..., 2] / par[..., 3], **IDENTITY)
    asked = []
    fit.derived(lambda v: asked.append(1) or v["Residual"] * 2)
    assert len(asked) < 10  # of 4,000 draws
    by_draw = fit.derived(lambda v: math.sqrt(v["Residual"]) if v["Residual"] > 600 else 0.0)
    assert_allclose(by_draw.draws, np.where(par[..., 3] > 600, np.sqrt(par[..., 3]), 0.0), **IDENTITY)
    wrong_at_once = fit.derived(lambda v: v["Residual"] * 0 + np.max(v["Residual"]))  # of arrays: the largest of all
    assert_allclose(wrong_at_once.draws, par[..., 3], **IDENTITY)
    half_wrong = fit.derived(lambda v: np.maximum(v["Residual"], np.median(v["Residual"])))
    assert_allclose(half_wrong.draws, par[..., 3], **IDENTITY)
    of_beta = fit.derived(lambda v: v["Days"] * v["Residual"])
    assert_allclose(of_beta.draws, fit.draws.beta[..., 1] * par[..., 3], **IDENTITY)
    with pytest.raises(OptionError, match="no parameter is called 'kin'; there are 'Subject\\[Intercept\\]'"):
        fit.derived(lambda v: v["kin"])


def test_a_probability_is_the_part_of_the_draws_in_which_a_statement_holds(fit):
    par = fit.draws.par
    p = fit.probability(lambda v: v["Subject[Intercept]"] > v["Residual"])
    assert p == pytest.approx((par[..., 0] > par[..., 3]).mean(), abs=1e-12)
    assert p.mcse == pytest.approx(math.sqrt(p * (1 - p) / 4000), rel=0.15)
    assert str(p).startswith(f"posterior probability {float(p):.4g} (Monte-Carlo error 0.00")
    both = fit.probability(lambda v: v["Residual"] > 650 and v["Days"] > 10)  # `and` works draw by draw
    assert both == pytest.approx(((par[..., 3] > 650) & (fit.draws.beta[..., 1] > 10)).mean(), abs=1e-12)
    with pytest.raises(OptionError, match="a statement is true or false of every draw"):
        fit.probability(lambda v: v["Residual"])
    assert math.isnan(fit.probability(lambda v: v["Residual"] > 0).mcse)


def test_contrasts_are_linear_functions_of_the_draws(fit):
    made = fit.contrast(["Days = 10.5", {"Days": 2.0, "Intercept": -1.0}])
    beta = fit.draws.beta
    assert_allclose(made.draws[..., 0], beta[..., 1], **IDENTITY)
    assert_allclose(made.draws[..., 1], 2 * beta[..., 1] - beta[..., 0], **IDENTITY)
    assert_allclose(
        made.frame.above, [(beta[..., 1] > 10.5).mean(), (2 * beta[..., 1] > beta[..., 0]).mean()], **IDENTITY
    )
    assert "P(>rhs)" in str(made) and "P(>0)" in str(fit.contrast("Days"))
    with pytest.raises(TypeError, match="df"):
        fit.contrast("Days", df="satterthwaite")


def test_marginal_means_are_those_of_a_point_fit_at_every_draw():
    data = mv.load_data("orthodont")
    formula = "distance ~ age * Sex + (1 | Subject)"
    fit = mv.fit(formula, data, method="gibbs", chains=2, draws=60, burnin=20, seed=4, workers=1)
    point = mv.fit(formula, data).emmeans("Sex", at={"age": 14})
    means = fit.emmeans("Sex", at={"age": 14})
    assert_allclose(means.draws, fit.draws.beta @ point.L.T, **IDENTITY)
    assert list(means.frame.Sex) == ["Male", "Female"]
    pair = means.contrast("pairwise")
    assert_allclose(pair.draws[..., 0], means.draws[..., 0] - means.draws[..., 1], **IDENTITY)
    assert pair.frame.contrast[0] == "Male - Female" and pair.frame.above[0] > 0.99
    slopes = fit.emmeans("Sex", var="age")
    assert_allclose(slopes.draws[..., 0], fit.draws.beta[..., fit.spec.x_names.index("age")], **PARAMETER)
    assert "Marginal slopes in age" in str(slopes)


def test_marginal_means_count_the_offset():
    data = mv.load_data("sleepstudy").assign(o=100.0)
    spec = mv.model("Reaction ~ Days + offset(o) + (1 | Subject)", data)
    rng = np.random.default_rng(6)
    fit = results_of(spec, 1.0 + rng.random((2, 50, 2)), rng.random((2, 50, 2)))
    means = fit.emmeans("Days", at={"Days": [0, 2]})
    beta = fit.draws.beta
    assert_allclose(means.draws, 100.0 + beta[..., [0]] + beta[..., [1]] * np.array([0.0, 2.0]), **IDENTITY)


# ---- frames ---------------------------------------------------------------------------------------------------------


def test_tidy_and_glance_have_broom_mixeds_columns_of_a_sampled_model(fit):
    t = fit.tidy()
    assert list(t.columns) == [
        "effect",
        "group",
        "term",
        "estimate",
        "std.error",
        "conf.low",
        "conf.high",
        "rhat",
        "ess",
    ]
    assert list(t.term) == ["Intercept", "Days", "sd__Intercept", "cor__Intercept.Days", "sd__Days", "sd__Observation"]
    par = fit.draws.par.reshape(-1, 4)
    assert_allclose(t.estimate[5], np.sqrt(par[:, 3]).mean(), **PARAMETER)
    assert_allclose(t[["conf.low", "conf.high"]].iloc[5], pn.hdi(np.sqrt(par[:, 3])), **PARAMETER)
    v = fit.tidy("ran_pars", scales="vcov", conf_int=False)
    assert list(v.term)[:2] == ["var__Intercept", "cov__Intercept.Days"] and "conf.low" not in v
    assert_allclose(v.estimate, par.mean(axis=0), **PARAMETER)
    g = fit.glance().iloc[0]
    assert g.pss == 4000 and g.chains == 4 and g.nobs == 180
    assert g["rhat.max"] < 1.01 and g["ess.min"] > 3000
    with pytest.raises(OptionError, match="effects='random'"):
        fit.tidy("random")


def test_the_frame_of_all_draws_is_named_as_cov_varcomp(fit):
    frame = fit.draws_frame()
    assert list(frame.columns) == ["chain", "draw", "Intercept", "Days", *NAMES, "lp"]
    row = frame[(frame.chain == 2) & (frame.draw == 7)].iloc[0]
    assert_allclose(row[NAMES].astype(float), fit.draws.par[2, 7], **IDENTITY)
    assert_allclose(row[["Intercept", "Days"]].astype(float), fit.draws.beta[2, 7], **IDENTITY)


def test_effects_that_were_not_kept_are_drawn_with_the_posterior_draws():
    fit = sleepstudy(chains=2, count=150)
    t = fit.tidy("ran_vals")
    assert len(t) == 36 and list(t.columns)[2] == "level"
    means = fit.random_effects["Subject"]["Days"]
    own = t[t.term == "Days"].set_index("level").estimate
    spread = t[t.term == "Days"].set_index("level")["std.error"]
    z = (own - means.loc[own.index]) / (spread / np.sqrt(300))
    assert np.abs(z).max() < 5


# ---- ArviZ ----------------------------------------------------------------------------------------------------------


def test_arviz_data_have_named_dimensions_and_say_what_ran(fit):
    data = fit.posterior
    post = data["posterior"]
    assert post["beta"].dims == ("chain", "draw", "fixed") and list(post["fixed"].values) == ["Intercept", "Days"]
    assert post["cov_Subject"].dims == ("chain", "draw", "effect_Subject", "effect2_Subject")
    picked = post["cov_Subject"].sel(effect_Subject="Intercept", effect2_Subject="Days")
    assert_allclose(picked, fit.draws.par[..., 1], **IDENTITY)
    assert_allclose(post["var_Residual"], fit.draws.par[..., 3], **IDENTITY)
    assert_allclose(post["sd_Subject"].sel(effect_Subject="Days"), np.sqrt(fit.draws.par[..., 2]), **IDENTITY)
    r = fit.draws.par[..., 1] / np.sqrt(fit.draws.par[..., 0] * fit.draws.par[..., 2])
    assert_allclose(post["cor_Subject"].sel(pair_Subject="Intercept, Days"), r, **IDENTITY)
    assert_allclose(post["share"].sum("term"), 1.0, **IDENTITY)
    assert_allclose(data["observed_data"]["y"], fit.spec.y, **IDENTITY)
    assert_allclose(data["sample_stats"]["lp"], fit.draws.lp, **IDENTITY)
    assert post.attrs["scheme"] == "collapsed" and post.attrs["seed"] == str(fit.draws.seed)
    assert post.attrs["prior of Residual"].endswith("(default)")
    assert "u_Subject" not in post


def test_arviz_summarises_and_cross_validates():
    import arviz_stats as az

    fit = sleepstudy(chains=2, count=150)
    table = az.summary(fit.posterior, kind="stats")
    assert {"beta[Days]", "cov_Subject[Intercept, Days]", "sd_Residual", "share[Subject]"} <= set(table.index)
    data = fit.to_arviz(effects=True, log_likelihood=True)
    assert data["posterior"]["u_Subject"].dims == ("chain", "draw", "level_Subject", "effect_Subject")
    assert data["posterior"]["u_Subject"].sizes["level_Subject"] == 18
    with pytest.warns(UserWarning, match="Pareto"):
        assert az.loo(data).elpd == pytest.approx(-860, abs=15)


def test_arviz_missing_is_told_with_what_to_install(monkeypatch, fit):
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mixedvc\[bayes\]'"):
        fit.to_arviz()


# ---- the summary ----------------------------------------------------------------------------------------------------


def test_the_summary_has_its_numbers_and_says_how_they_were_made(fit):
    text = str(fit.summary())
    assert max(map(len, text.splitlines())) <= 100
    assert "Bayesian linear mixed model" in text and "4000 (4 chains x 1000)" in text
    days = next(line.split() for line in text.splitlines() if line.startswith("Days"))
    n = fit.summary_of("beta", 1)
    assert float(days[1]) == pytest.approx(n.mean, abs=n.mcse * 10)
    assert days[5] == f"{n.ess_bulk:.0f}" and days[7] == f"{n.rhat:.3f}"
    assert "[95%" in text and "HPD]" in text and "[0.05" in str(fit.summary(level=0.9, interval="quantile"))
    assert re.search(
        r"Prior of .*Residual: half-t\(3\) on the sd, scale = [\d.]+ \(default\)", text.replace("\n    ", " ")
    )
    assert "Prior of fixed effects: flat (default)" in text.replace("\n    ", " ")
    assert "NOT MIXED" not in text and "FEW EFFECTIVE" not in text
    assert "<table" in fit.summary().as_html() and r"\begin{tabular}" in fit.summary().as_latex()


def test_few_draws_and_chains_that_disagree_are_said_with_the_remedy(fit):
    few = sleepstudy(count=60)
    text = str(few.summary()).replace("\n    ", " ")
    assert re.search(r"FEW EFFECTIVE DRAWS: .* fewer than 400.* fit\.extend\(\d+\)", text)
    par = fit.draws.par.copy()
    par[3, :, 3] *= 2
    apart = with_draws(fit, par)
    text = str(apart.summary()).replace("\n    ", " ")
    assert re.search(r"NOT MIXED: R-hat of Residual is above 1\.01.*at most 1\.\d+ \(Residual\)", text)
    assert apart.converged != fit.converged


def test_a_variance_whose_interval_begins_at_zero_is_explained():
    fit = dyestuff()
    par = np.stack([np.random.default_rng(1).exponential(1.0, (2, 500)), np.full((2, 500), 2.0)], axis=-1)
    par[..., 1] += np.random.default_rng(2).random((2, 500))
    text = str(with_draws(fit, par, beta=np.random.default_rng(3).random((2, 500, 1))).summary()).replace("\n    ", " ")
    assert "The interval of Batch begins at zero" in text and "no mass at zero" in text


def test_a_held_variance_is_fixed_and_an_interrupted_run_is_flagged():
    fit = dyestuff()
    par = fit.draws.par.copy()
    par[..., 0] = 1764.05
    held = with_draws(fit, par, interrupted=True)
    text = str(held.summary())
    assert re.search(r"Batch +1764 +fixed", text) and "fixed: Batch was given" in text
    assert "INTERRUPTED after 200 draws" in text and "interrupted" in repr(held)
    assert math.isnan(held.varcomp.se[0]) and "held fixed" in str(held.derived(lambda v: v["Batch"], name="b"))


def test_without_arviz_the_summary_prints_what_it_can(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    text = str(sleepstudy(count=400).summary()).replace("\n    ", " ")
    assert "arviz-stats is not installed: pip install 'mixedvc[bayes]'" in text
    assert re.search(r"Days +10\.\d", text)


# ---- again ----------------------------------------------------------------------------------------------------------


def test_extending_gives_the_draws_of_a_longer_run():
    data = mv.load_data("dyestuff")
    options = {"method": "gibbs", "chains": 2, "seed": 2, "workers": 1}
    short = mv.fit("Yield ~ 1 + (1 | Batch)", data, draws=200, **options)
    longer = mv.fit("Yield ~ 1 + (1 | Batch)", data, draws=300, **options)
    extended = short.extend(100, workers=1)
    assert np.array_equal(extended.draws.par, longer.draws.par) and np.array_equal(
        extended.draws.beta, longer.draws.beta
    )
    assert_allclose(extended.varcomp.variance, longer.varcomp.variance, **IDENTITY)


def test_another_response_is_sampled_with_the_same_model():
    fit = dyestuff()
    again = fit.refit(fit.spec.y + 100.0)
    assert isinstance(again, PosteriorResults) and again.draws.count == 60
    assert abs(again.params.iloc[0] - 1627.5) < 5 * again.summary_of("beta", 0).mcse
    other = fit.refit(fit.spec.y + 100.0, seed=99)
    assert not np.array_equal(other.draws.par, again.draws.par)


def test_a_model_without_fixed_effects_and_one_without_random_terms_have_all_their_tables():
    data = mv.load_data("dyestuff")
    rng = np.random.default_rng(5)
    bare = mv.model("Yield ~ 0 + (1 | Batch)", data)
    fit = results_of(bare, 100 + rng.random((2, 50, 2)), np.zeros((2, 50, 0)))
    assert fit.params.empty and fit.bse.empty and fit.cov_params().empty and fit.conf_int().empty
    assert "Fixed effects" not in str(fit.summary())
    plain = mv.model("Yield ~ 1", data)
    fit = results_of(plain, 100 + rng.random((2, 50, 1)), rng.random((2, 50, 1)))
    assert "Bayesian linear model" in str(fit.summary()) and list(fit.varcomp.group) == ["Residual"]
    assert "share" not in fit.posterior["posterior"]


def test_of_independent_draws_no_agreement_is_asked():
    class Independent(GivenPlan):
        name = "shares"

    fit = sleepstudy(count=100)
    par = fit.draws.par * np.array([1.0, 1.1, 1.2, 1.3])[:, None, None]
    assert "do not agree" in str(with_draws(fit, par).summary()).replace("\n    ", " ")
    apart = with_draws(fit, par, plan=Independent())
    assert "do not agree" not in str(apart.summary()).replace("\n    ", " ")
    assert next(f.said for f in apart.diagnose().findings if f.check == "R-hat").startswith("draws are independent")
