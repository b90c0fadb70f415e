"""What lme4, lmerTest and pbkrtest infer from lme4's own fits: tests, degrees of freedom, profiles, information."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from tests.reference.load import matrix, reference

from .closeness import allowance, within
from .test_lme4 import BOTH, CASES, fit_of

REML_CASES = list(CASES)
SLOPED = [case for case in CASES if case.startswith(("sleepstudy", "orthodont"))]
SMALLER = {  # each row of ranova: the model without that term, or with its slope taken out
    "dyestuff/batch": [("(1 | Batch)", "Yield ~ 1")],
    "penicillin/crossed": [
        ("(1 | plate)", "diameter ~ 1 + (1 | sample)"),
        ("(1 | sample)", "diameter ~ 1 + (1 | plate)"),
    ],
    "pastes/nested": [
        ("(1 | cask:batch)", "strength ~ 1 + (1 | batch)"),
        ("(1 | batch)", "strength ~ 1 + (1 | batch:cask)"),
    ],
    "sleepstudy/intercept": [("(1 | Subject)", "Reaction ~ Days")],
    "sleepstudy/slope_correlated": [("Days in (Days | Subject)", "Reaction ~ Days + (1 | Subject)")],
    "sleepstudy/slope_uncorrelated": [
        ("(1 | Subject)", "Reaction ~ Days + (0 + Days | Subject)"),
        ("Days in (0 + Days | Subject)", "Reaction ~ Days + (1 | Subject)"),
    ],
    "orthodont/lmer_intercept": [("(1 | Subject)", "distance ~ age * Sex")],
    "orthodont/lmer_slope": [("age in (age | Subject)", "distance ~ age * Sex + (1 | Subject)")],
}


def relative_factors(fit):
    """lme4's θ: entries of the Cholesky factors of Σ/σ², by (sorted group, column, row)."""
    out = {}
    for term, Sigma in zip(fit.spec.terms, fit.spec.sigmas(fit.theta), strict=False):
        L = np.linalg.cholesky(Sigma / fit.scale)
        for a in range(term.k):
            for b in range(a, term.k):
                if L[b, a] != 0.0:
                    names = ["(Intercept)" if e == "Intercept" else e for e in {term.effects[b]: 0, term.effects[a]: 0}]
                    out[":".join(sorted(term.group.split(":"))), *names] = L[b, a]
    return out


def their_factors(block):
    """The same keys from names such as ``Subject.Days.(Intercept)``."""
    out = {}
    for name, value in block["theta"].items():
        group, *effects = name.split(".")
        out[":".join(sorted(group.split(":"))), *effects] = value
    return out


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_theta_sigma_criterion_and_counts_are_lme4s(case, method):
    fit, want = fit_of(case, method)
    near = allowance(fit.llf, want["logLik"])
    ours, theirs = relative_factors(fit), their_factors(want)
    assert set(ours) == set(theirs)
    for key, value in theirs.items():  # θ moves by at most its standard errors, of the order of θ + 0.3
        within(ours[key], value, near * (abs(value) + 0.3), f"theta {key}")
    np.testing.assert_allclose(np.sqrt(fit.scale), want["sigma"], rtol=near, atol=0)
    np.testing.assert_allclose(-2 * fit.llf, want["criterion"], rtol=1e-7, atol=0)
    assert fit.nobs - fit.n_parameters == want["df_residual"]
    assert fit.n_parameters == want["npar"]
    assert {":".join(sorted(t.group.split(":"))): t.q for t in fit.spec.terms} == {
        ":".join(sorted(g.split(":"))): q for g, q in want["ngrps"].items()
    }


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_unknown_levels_are_an_error_that_names_them(case, method):
    fit, want = fit_of(case, method)
    new = pd.DataFrame(want["predict"]["newdata"])
    assert want["predict"]["strict_error"].startswith("new levels detected in newdata")
    unknown = [level.strip() for level in want["predict"]["strict_error"].split(":", 1)[1].split(",")]
    with pytest.raises(mv.errors.MixedVCError) as error:
        fit.predict(new)
    assert any(level.split(":")[0] in str(error.value) for level in unknown)


def numeric_jacobian(function, at):
    """Central differences."""
    columns = []
    for j in range(len(at)):
        h = 1e-5 * max(abs(at[j]), 0.1)
        step = np.eye(len(at))[j] * h
        columns.append((function(at + step) - function(at - step)) / (2 * h))
    return np.column_stack(columns)


def from_relative(fit):
    """lme4's (θ, σ) of a fit, and our linear parameters as a function of them (terms in our order)."""
    spec = fit.spec
    factors = [np.linalg.cholesky(S / fit.scale) for S in spec.sigmas(fit.theta)[:-1]]
    free = [[(b, a) for a in range(t.k) for b in range(a, t.k) if (a, b) in t.structure.pairs] for t in spec.terms]
    at = np.array([L[entry] for L, entries in zip(factors, free, strict=True) for entry in entries])

    def linear(x):
        sigmas, i = [], 0
        for term, entries in zip(spec.terms, free, strict=True):
            L = np.zeros((term.k, term.k))
            for entry in entries:
                L[entry] = x[i]
                i += 1
            sigmas.append(L @ L.T * x[-1] ** 2)
        return spec.theta([*sigmas, np.array([[x[-1] ** 2]])])

    return np.append(at, np.sqrt(fit.scale)), linear


def in_their_order(fit, want):
    """Positions of lme4's θ among ours."""
    ours = list(relative_factors(fit))
    return [ours.index(key) for key in their_factors(want)]


@pytest.mark.parametrize("case", REML_CASES)
def test_the_information_of_theta_and_sigma_is_lmertests(case):
    """vcov_varpar is 2·(Hessian of the criterion in θ, σ)⁻¹: our observed information, by the chain rule."""
    fit, want = fit_of(case, "REML")
    at, linear = from_relative(fit)
    J = numeric_jacobian(linear, at)
    cov = np.linalg.inv(J.T @ fit.evaluation.observed_information @ J)
    order = [*in_their_order(fit, want), len(at) - 1]
    cov = cov[np.ix_(order, order)]
    theirs = np.array(want["vcov_varpar"]["values"])
    size = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    near = max(30 * allowance(fit.llf, want["logLik"]), 1e-4)  # numDeriv's Hessian, at the θ where lme4 stopped
    within(cov, theirs, near * size, "vcov_varpar")


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_the_hessian_of_the_profiled_criterion_is_lme4s(case, method):
    """Twice the information in θ with σ profiled out; lme4 takes differences of step 1e-4."""
    fit, want = fit_of(case, method)
    at, linear = from_relative(fit)
    J = numeric_jacobian(linear, at)
    info = J.T @ fit.evaluation.observed_information @ J
    profiled = info[:-1, :-1] - np.outer(info[:-1, -1], info[-1, :-1]) / info[-1, -1]
    order = in_their_order(fit, want)
    theirs = np.array(want["hessian_theta_beta"], dtype=float)[: len(order), : len(order)]
    size = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    near = max(30 * allowance(fit.llf, want["logLik"]), 2e-3)
    within(2 * profiled[np.ix_(order, order)], theirs, near * size, "Hessian")


def compare_tests(fit, want, block, df, near):
    table = matrix(want[block])
    nu = fit.df_fixed(df)
    within(nu, table["df"], 30 * near * table["df"], f"{block} df")
    t = fit.params.to_numpy() / table["Std. Error"].to_numpy()
    within(fit.params, table["Estimate"], near * table["Std. Error"], f"{block} estimates")
    within(t, table["t value"], near * (1 + np.abs(table["t value"])), f"{block} t")
    ours = fit.tidy("fixed", df=df)
    p = table["Pr(>|t|)"].to_numpy()
    within(ours["p.value"], p, p * (0.01 + 100 * near), f"{block} p")
    return ours


@pytest.mark.parametrize("case", REML_CASES)
def test_satterthwaite_and_kenward_roger_tables_are_lmertests(case):
    fit, want = fit_of(case, "REML")
    near = allowance(fit.llf, want["logLik"])
    plain = compare_tests(fit, want, "satterthwaite", "satterthwaite", near)
    within(plain["std.error"], matrix(want["satterthwaite"])["Std. Error"], near * plain["std.error"], "se")
    if "cannot" in str(want["kenward_roger"]):
        return
    compare_tests(fit, want, "kenward_roger", "kenward-roger", near)


@pytest.mark.parametrize("case", SLOPED)
@pytest.mark.parametrize(
    ("block", "df"), [("anova_satterthwaite_type3", "satterthwaite"), ("anova_kr_type3", "kenward-roger")]
)
def test_type_three_tables_are_lmertests(case, block, df):
    fit, want = fit_of(case, "REML")
    near = 3 * allowance(fit.llf, want["logLik"])
    table, ours = matrix(want[block]), fit.anova(3, df=df).frame
    assert list(ours.index) == list(table.index)
    for column in ("Sum Sq", "Mean Sq", "F value"):
        within(ours[column], table[column], near * (np.abs(table[column]) + 1e-3), column)
    np.testing.assert_array_equal(ours["NumDF"], table["NumDF"])
    within(ours["DenDF"], table["DenDF"], 10 * near * table["DenDF"], "DenDF")
    within(ours["Pr(>F)"], table["Pr(>F)"], table["Pr(>F)"] * (0.01 + 100 * near), "p")


@pytest.mark.parametrize("case", SMALLER)
def test_ranova_is_the_fits_without_each_term(case):
    fit, want = fit_of(case, "REML")
    data, table = mv.load_data(case.split("/")[0]), matrix(want["ranova"])
    within(fit.llf, table["logLik"].iloc[0], 1e-4, "full")
    assert list(table.index[1:]) == [name for name, _ in SMALLER[case]]
    for name, formula in SMALLER[case]:
        row = table.loc[name]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            small = mv.fit(formula, data)
        near = allowance(small.llf, row["logLik"])
        assert near < 1e-2
        within(2 * (fit.llf - small.llf), row["LRT"], 1e-4 + 2e-6 * row["LRT"], f"LRT of {name}")
        assert fit.n_parameters - small.n_parameters == row["Df"]
        within(small.aic, row["AIC"], 1e-4, "AIC")


@pytest.mark.parametrize("case", CASES)
def test_profile_intervals_of_ml_fits_are_lme4s(case):
    fit, want = fit_of(case, "ML")
    table = matrix(want["confint_profile"])
    ours = fit.profile().conf_int()
    fixed = [row for row in table.index if row in want["fixef"]]
    assert len(ours) == len(table)
    for name, theirs in table.iterrows():
        if name == "sigma":
            row = ours.loc["sd(Residual)"]
        elif name in fixed:
            row = ours[ours["kind"] == "fixed"].iloc[fixed.index(name)]
        else:
            kind, rest = name.split("_", 1)
            effect, group = rest.split("|")
            effects = ["Intercept" if e == "(Intercept)" else e for e in effect.split(".")]
            same = ours["group"].map(lambda g, group=group: sorted(str(g).split(":")) == sorted(group.split(":")))
            same &= ours["kind"] == ("sd" if kind == "sd" else "correlation")
            same &= ours["effect"].isin(effects)
            row = ours[same].iloc[0]
            assert same.sum() == 1
        scale = max(abs(theirs["97.5 %"] - theirs["2.5 %"]), 1e-3)  # lme4 interpolates its profile by splines
        within([row["lower"], row["upper"]], theirs, 2e-3 * scale, name)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_dyestuff2_has_the_tests_and_intervals_of_a_model_without_the_term(method):
    want = reference("lme4/dyestuff2/batch_boundary")[method]
    data = mv.load_data("dyestuff2")
    with pytest.warns(mv.errors.BoundaryWarning):
        fit = mv.fit("Yield ~ 1 + (1 | Batch)", data, method=method.lower())
    assert fit.is_singular == want["singular"]
    assert list(want["theta"].values()) == [0]
    np.testing.assert_allclose(-2 * fit.llf, want["criterion"], rtol=1e-9, atol=0)
    np.testing.assert_allclose([fit.aic, fit.bic], [want["AIC"], want["BIC"]], rtol=1e-9, atol=0)
    within(fit.conf_int(df="normal"), matrix(want["confint_wald"]).loc[["(Intercept)"]], 1e-5, "Wald")
    new = pd.DataFrame(want["predict"]["newdata"])
    within(fit.predict(new, random="none"), want["predict"]["population"], 1e-6, "population")
    within(fit.predict(new, new_levels="zero"), want["predict"]["conditional"], 1e-6, "conditional")
    if method == "REML":
        table = matrix(want["satterthwaite"])
        np.testing.assert_allclose(fit.df_fixed("satterthwaite"), table["df"], rtol=1e-4, atol=0)
        smaller = mv.fit("Yield ~ 1", data)
        np.testing.assert_allclose(smaller.llf, fit.llf, rtol=1e-10, atol=0)
        within(matrix(want["ranova"])["LRT"].iloc[1], 0.0, 1e-6, "LRT")


def test_the_origin_of_days_does_not_matter_though_it_does_to_lme4():
    """The same model in other coordinates; lmer ends up to 21 log-likelihood units below the maximum."""
    data = mv.load_data("sleepstudy")
    for row in reference("lme4/sleepstudy/years")["fits"]:
        fit = mv.fit("Reaction ~ x + (x | Subject)", data.assign(x=data["Days"] + row["origin"]))
        np.testing.assert_allclose(fit.llf, -871.814135979, rtol=1e-9, atol=0)
        assert fit.llf >= row["logLik"] - 1e-8
        assert not fit.is_singular


@pytest.fixture(scope="module")
def insteval():
    data = mv.load_data("insteval")
    formula = "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"
    return {method: mv.fit(formula, data, method=method.lower()) for method in ("REML", "ML")}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["REML", "ML"])
def test_insteval_is_lme4s(insteval, method):
    fit, want = insteval[method], reference("lme4/insteval/crossed_large")[method]
    near = allowance(fit.llf, want["logLik"])
    np.testing.assert_allclose(-2 * fit.llf, want["criterion"], rtol=1e-8, atol=0)
    np.testing.assert_allclose([fit.aic, fit.bic], [want["AIC"], want["BIC"]], rtol=1e-8, atol=0)
    se = np.array(list(want["se"].values()))
    within(fit.params, list(want["fixef"].values()), near * se, "fixef")
    within(fit.bse, se, near * se, "se")
    within(
        fit.conf_int(df="normal"), matrix(want["confint_wald"]).loc[list(want["fixef"])], 3 * near * se[:, None], "Wald"
    )
    got = {":".join(sorted(r.group.split(":"))): (r.variance, r.se) for r in fit.varcomp.itertuples()}
    for row in want["varcorr"]:
        variance, error = got[":".join(sorted(row["grp"].split(":")))]
        within(variance, row["vcov"], near * error, row["grp"])
    for name, block in want["ranef"].items():
        frames = {":".join(sorted(group.split(":"))): frame for group, frame in fit.random_effects.items()}
        ours = frames[":".join(sorted(name.split(":")))]
        assert len(ours) == block["n_levels"]
        levels = [level if level in ours.index else ":".join(level.split(":")[::-1]) for level in block["levels"]]
        within(ours.loc[levels], block["values"], near * 0.5, f"ranef of {name}")
    head = np.array(want["fitted_head"])
    within(np.asarray(fit.fittedvalues)[: len(head)], head, near * np.sqrt(fit.scale), "fitted")
    within(np.sum(np.asarray(fit.fittedvalues) ** 2), want["sum_fitted_sq"], near * fit.nobs, "sum of squares")
    new = pd.DataFrame(want["predict"]["newdata"])
    within(fit.predict(new, random="none"), want["predict"]["population"], near, "population")
    within(fit.predict(new, new_levels="zero"), want["predict"]["conditional"], near, "conditional")
    with pytest.raises(mv.errors.MixedVCError, match=r"999999|9999"):
        fit.predict(new)
