"""Kenward-Roger against its definition, against pbkrtest, and against the analysis of variance of balanced designs."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, NotProvided
from mixedvc.inference.kenward_roger import kenward_roger, matched
from mixedvc.inference.parameters import jacobian
from mixedvc.likelihood import choose
from mixedvc.results.fixed_tests import fixed_tests
from mixedvc.structures.patterned import CompoundSymmetry
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute
from tests.inference import cases
from tests.inference.kr_brute import BruteKenwardRoger
from tests.reference.load import input_or_skip, matrix, reference
from tests.tolerances import COMPONENT, MONTE_CARLO, OBJECTIVE

R_OPTIMUM = {"rtol": 5e-6, "atol": 0}  # lme4 at rhoend = 1e-12
UNBALANCED = {
    "crossed": "y ~ A * B + x + (1 | g)",
    "polynomial": "y ~ A * poly(x, 2) + B + (1 | g)",
    "three_way": "y ~ A * B * x + (1 | g)",
    "no_intercept": "y ~ 0 + A + A:x + (1 | g)",
}


def unbalanced() -> pd.DataFrame:
    return pd.read_csv(input_or_skip("fixed_effects/unbalanced/data.csv"))


# ---- the definition --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", [cases.by_brute_force, cases.by_likelihood])
def test_kinship_slopes_and_weights_agree_with_the_definition(likelihood):
    spec = cases.relatives()
    got = likelihood(spec, cases.RELATIVES_PAR).kenward_roger
    want = BruteKenwardRoger(spec, spec.theta(spec.sigmas(np.array(cases.RELATIVES_PAR))))
    assert_allclose(got.cov, want.PhiA, **OBJECTIVE)
    assert_allclose(got.theta_cov, want.W, **OBJECTIVE)
    L = np.eye(2)
    assert_allclose(got.joint(L), want.f_moments(L), **OBJECTIVE)
    for row in ([[1.0, 0.0]], [[0.3, -2.0]]):
        m, scale = want.f_moments(np.array(row))
        assert_allclose(got.single(np.array(row)), [m], **OBJECTIVE)
        assert_allclose(got.joint(np.array(row)), (m, 1.0), **OBJECTIVE)
        assert_allclose(scale, 1.0, **OBJECTIVE)


def three_groups(seed: int = 5):
    """Four fixed effects, two crossed terms, so that contrasts of rank 3 are there."""
    rng = np.random.default_rng(seed)
    n = 40
    X = np.column_stack([np.ones(n), rng.standard_normal((n, 2)), rng.integers(0, 2, n)])
    terms = [assemble.term(name, rng.integers(0, q, n).astype(str).astype(object)) for name, q in (("a", 6), ("b", 5))]
    return assemble.spec(X @ [1, 0.5, 0, 1] + rng.standard_normal(n), X, terms)


def test_joint_tests_of_three_rows_agree_with_the_definition():
    spec, par = three_groups(), (0.9, 0.4, 1.1)
    got, want = cases.by_likelihood(spec, par), BruteKenwardRoger(three_groups(), par)
    L = np.array([[0, 1, 0, 0], [0, 0, 1, 0.5], [0, 1, 1, -1.0]])
    m, scale = want.f_moments(L)
    assert_allclose(got.kenward_roger.joint(L), (m, scale), **OBJECTIVE)
    assert abs(scale - 1) > 1e-4  # it does scale
    test = fixed_tests(got, "kenward-roger").joint(L, [0.1, 0.0, 1.0])
    d = L @ got.evaluation.beta - [0.1, 0, 1]
    F = scale * d @ np.linalg.inv(L @ want.PhiA @ L.T) @ d / 3
    assert_allclose((test.statistic, test.df_num, test.df_denom), (F, 3, m), **OBJECTIVE)


def test_the_joint_test_does_not_depend_on_how_the_hypothesis_is_written():
    got = cases.by_likelihood(three_groups(), (0.9, 0.4, 1.1)).kenward_roger
    L = np.array([[0, 1, 0, 0], [0, 0, 1, 0.5], [0, 1, 1, -1.0]])
    M = np.array([[1, 2, 3], [0, 1, 4.0], [1, 0, 1]])
    assert_allclose(got.joint(M @ L), got.joint(L), **OBJECTIVE)


def test_the_correction_does_not_depend_on_units():
    spec, par = three_groups(), np.array([0.9, 0.4, 1.1])
    fit = cases.by_likelihood(spec, par)
    big = cases.by_likelihood(assemble.spec(1e6 * spec.y, spec.X * [1, 1e-5, 1, 1], spec.terms), 1e12 * par)
    units = 1e6 * np.array([1, 1e5, 1, 1])
    assert_allclose(big.kenward_roger.cov, fit.kenward_roger.cov * units[:, None] * units, **OBJECTIVE)


def test_the_first_order_form_does_not_depend_on_the_parametrisation_of_compound_symmetry():
    """cs with one variance is the plane a·I + b·11ᵀ: the linear model with the terms (1|g) and (1|g:f) is the same."""
    rng = np.random.default_rng(11)
    g, f = np.repeat(np.arange(8), 6), np.tile(np.repeat(np.arange(3), 2), 8)
    X = np.column_stack([np.ones(48), f == 1, f == 2]).astype(float)
    y = rng.standard_normal(48) + rng.standard_normal(8)[g]
    keep = rng.random(48) > 0.2
    g, f, X, y = g[keep], f[keep], X[keep], y[keep]
    basis = np.eye(3)[f]
    one = assemble.term("g", g.astype(str).astype(object), basis=basis, structure=CompoundSymmetry(3, hom=True))
    cs = cases.by_likelihood(assemble.spec(y, X, [one]), [1.5, 0.4, 0.7])
    pair = [
        assemble.term("g", g.astype(str).astype(object)),
        assemble.term("gf", np.array([f"{a}:{b}" for a, b in zip(g, f, strict=True)], dtype=object)),
    ]
    two = cases.by_likelihood(assemble.spec(y, X, pair), [1.5 * 0.4, 1.5 * 0.6, 0.7])
    assert_allclose(cs.kenward_roger.cov, two.kenward_roger.cov, **OBJECTIVE)
    assert_allclose(cs.df_fixed("kenward-roger"), two.df_fixed("kenward-roger"), **OBJECTIVE)


def test_an_autoregression_uses_the_covariance_of_its_own_parameters():
    rng = np.random.default_rng(3)
    g, t = np.repeat(np.arange(7), 4), np.tile(np.arange(4), 7)
    X = np.column_stack([np.ones(28), t])
    term = assemble.term("g", g.astype(str).astype(object), basis=np.eye(4)[t], structure="ar1")
    spec = assemble.spec(rng.standard_normal(28), X, [term])
    par = np.array([1.3, 0.6, 0.5])
    got = cases.by_likelihood(spec, par)

    def V(p):
        return Brute(spec).at(spec.theta([term.structure.build(p[:2]), np.array([[p[2]]])])).V

    h, at = 1e-5, V(par)
    dV = [(V(par + h * e) - V(par - h * e)) / (2 * h) for e in np.eye(3)]
    Vi = np.linalg.inv(at)
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P = Vi - Vi @ X @ Phi @ X.T @ Vi
    W = np.linalg.inv([[0.5 * np.trace(P @ A @ P @ B) for B in dV] for A in dV])
    total = sum(W[i, j] * (X.T @ Vi @ dV[i] @ P @ dV[j] @ Vi @ X) for i in range(3) for j in range(3))
    assert_allclose(got.kenward_roger.cov, Phi + 2 * Phi @ total @ Phi, rtol=1e-7, atol=0)
    assert "first-order form because of g" in str(got.summary(df="kenward-roger"))


@pytest.mark.parametrize("name", ["dense", "grouped", "reduced", "sparse"])
def test_every_likelihood_gives_the_same_adjustment(name):
    fit = replace(cases.by_likelihood(three_groups(), (0.9, 0.4, 1.1)), likelihood=choose(three_groups(), name=name)[0])
    want, L = BruteKenwardRoger(three_groups(), (0.9, 0.4, 1.1)), np.eye(4)[1:]
    assert_allclose(fit.cov_params("kenward-roger"), want.PhiA, rtol=1e-6, atol=1e-9)  # differences in some of them
    assert_allclose(fit.kenward_roger.joint(L), want.f_moments(L), rtol=1e-6, atol=0)


@pytest.mark.parametrize("residual", ["diag(0 + Sex | rows)", "ar1(0 + t | Subject)", "cs(0 + t | Subject)"])
def test_residual_structures_are_adjusted_too(residual):
    data = mv.load_data("orthodont").assign(t=lambda d: d["age"].astype(int).astype(str)).iloc[20:80]
    fit = mv.fit("distance ~ age * Sex", data, residual=residual)
    spec, par, X = fit.spec, fit.estimate.par, fit.spec.X

    def V(p):
        return Brute(spec).at(spec.theta([spec.residual.structure.build(p)])).V

    h = 1e-5 * np.abs(par)
    dV = [(V(par + h * e) - V(par - h * e)) / (2 * s) for e, s in zip(np.eye(len(par)), h, strict=True)]
    Vi = np.linalg.inv(V(par))
    Phi = np.linalg.inv(X.T @ Vi @ X)
    P = Vi - Vi @ X @ Phi @ X.T @ Vi
    W = np.linalg.inv([[0.5 * np.trace(P @ A @ P @ B) for B in dV] for A in dV])
    k = range(len(par))
    total = sum(W[i, j] * (X.T @ Vi @ dV[i] @ P @ dV[j] @ Vi @ X) for i in k for j in k)
    assert_allclose(fit.cov_params("kenward-roger"), Phi + 2 * Phi @ total @ Phi, rtol=1e-6, atol=1e-9)


def test_the_command_line_and_the_plain_values_know_it(tmp_path):
    from mixedvc.cli import main

    out = tmp_path / "fit.json"
    assert main(["fit", UNBALANCED["crossed"], str(input_or_skip("fixed_effects/unbalanced/data.csv")),
                 "--df", "kenward-roger", "--json", str(out), "--quiet"]) == 0  # fmt: skip
    got = json.loads(out.read_text(encoding="utf-8"))
    fit = mv.fit(UNBALANCED["crossed"], unbalanced())
    assert_allclose(got["cov_fixed"]["matrix"], fit.cov_params("kenward-roger"), rtol=1e-6, atol=1e-9)
    assert_allclose([row["df"] for row in got["fixed"]], fit.df_fixed("kenward-roger"), rtol=1e-6, atol=0)


# ---- other software ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", UNBALANCED)
def test_single_coefficients_agree_with_pbkrtest(case):
    want = reference(f"fixed_effects/unbalanced/{case}")["fit"]
    fit = mv.fit(UNBALANCED[case], unbalanced())
    assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    adjusted = matrix(want["vcov_adjusted"])
    assert_allclose(fit.cov_params("kenward-roger"), adjusted, rtol=5e-6, atol=1e-7 * np.abs(adjusted).to_numpy().max())
    table = matrix(want["kenward_roger"])
    tidy = fit.tidy("fixed", df="kenward-roger", conf_int=True)
    assert_allclose(tidy["std.error"], table["Std. Error"], **R_OPTIMUM)
    assert_allclose(tidy["df"], table["df"], **R_OPTIMUM)
    assert_allclose(tidy["p.value"], table["Pr(>|t|)"], rtol=1e-4, atol=0)
    assert_allclose(fit.conf_int(df="kenward-roger")[0], tidy["conf.low"], **OBJECTIVE)


def test_a_component_estimated_as_zero_stays_in_as_in_pbkrtest():
    want = reference("fixed_effects/unbalanced/singular")["fit"]
    with pytest.warns(BoundaryWarning):
        fit = mv.fit("y ~ A + B + (1 | g) + (1 | k)", unbalanced())
    assert fit.is_singular
    assert_allclose(fit.df_fixed("kenward-roger"), matrix(want["kenward_roger"])["df"], **R_OPTIMUM)
    assert_allclose(fit.cov_params("kenward-roger"), matrix(want["vcov_adjusted"]), **R_OPTIMUM)
    assert "A variance at zero counts as estimated" in " ".join(str(fit.summary(df="kenward-roger")).split())


@pytest.mark.parametrize("which", ["joint", "joint_rhs"])
def test_joint_tests_agree_with_lmertest_and_pbkrtest(which):
    want = reference("fixed_effects/unbalanced/crossed")[which]
    fit = mv.fit(UNBALANCED["crossed"], unbalanced())
    L, rhs = np.array(want["L"], dtype=float), np.array(want["rhs"], dtype=float)
    for df, key in (("kenward-roger", "kenward_roger"), ("satterthwaite", "satterthwaite")):
        got, row = fixed_tests(fit, df).joint(L, rhs if len(rhs) == len(L) else 0.0), matrix(want[key]).iloc[0]
        assert got.df_num == row["NumDF"]
        assert_allclose((got.statistic, got.df_denom), (row["F value"], row["DenDF"]), **R_OPTIMUM)
        assert_allclose(got.pvalue, row["Pr(>F)"], rtol=1e-4, atol=0)
        if df == "kenward-roger":
            assert_allclose(got.scale, matrix(want["KRmodcomp"]).loc["Ftest", "F.scaling"], **R_OPTIMUM)


@pytest.mark.parametrize(
    ("case", "data", "formula"),
    [
        ("sleepstudy/slope_correlated", "sleepstudy", "Reaction ~ Days + (Days | Subject)"),
        ("sleepstudy/intercept", "sleepstudy", "Reaction ~ Days + (1 | Subject)"),
        (
            "orthodont/lmer_slope",
            "orthodont",
            "distance ~ age * C(Sex, contr.treatment(base='Male')) + (age | Subject)",
        ),
        ("penicillin/crossed", "penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
        ("pastes/nested", "pastes", "strength ~ 1 + (1 | batch) + (1 | batch:cask)"),
    ],
)
def test_the_data_of_lme4_agree_with_pbkrtest(case, data, formula):
    want = matrix(reference(f"lme4/{case}")["REML"]["kenward_roger"])
    fit = mv.fit(formula, mv.load_data(data))
    assert_allclose(fit.df_fixed("kenward-roger"), want["df"], rtol=1e-4, atol=0)
    se = np.sqrt(np.diag(fit.cov_params("kenward-roger")))
    assert_allclose(se, want["Std. Error"], rtol=5e-4, atol=0)  # lme4 stops short of the optimum of orthodont


# ---- balanced designs ------------------------------------------------------------------------------------------------


def test_a_balanced_split_plot_has_the_degrees_of_freedom_and_f_of_its_analysis_of_variance():
    data = pd.read_csv(input_or_skip("fixed_effects/oats/data.csv")).assign(nitro=lambda d: d["nitro"].astype(str))
    want = reference("fixed_effects/oats/balanced")["aov"]
    fit = mv.fit("yield ~ Variety * nitro + (1 | Block / Variety)", data.rename(columns={"yield": "yield"}))
    for df in ("kenward-roger", "satterthwaite"):
        table = fit.anova(df=df).frame
        whole, split = matrix(want["whole"]), matrix(want["split"])
        assert_allclose(table["DenDF"], [10, 45, 45], **COMPONENT)
        assert_allclose(table["F value"], [whole["F value"].iloc[0], *split["F value"].iloc[:2]], **COMPONENT)


# ---- edges ---------------------------------------------------------------------------------------------------------


def test_known_variances_need_no_correction():
    fit = cases.by_likelihood(assemble.one_way(), [1.0, 2.0], fixed=[True, True])
    assert_allclose(fit.cov_params("kenward-roger"), fit.cov_params(), **OBJECTIVE)
    assert fit.df_fixed("kenward-roger") == [np.inf]
    test = fixed_tests(fit, "kenward-roger").joint(np.eye(1))
    assert (test.df_denom, test.scale) == (np.inf, 1.0)


def test_a_component_held_fixed_leaves_the_information():
    spec = three_groups()
    got = cases.by_likelihood(spec, (0.9, 0.4, 1.1), fixed=[False, True, False]).kenward_roger
    want = BruteKenwardRoger(spec, (0.9, 0.4, 1.1), free=[0, 2])
    assert_allclose(got.cov, want.PhiA, **OBJECTIVE)
    assert not got.theta_cov[1].any()


def test_a_correlation_at_its_edge_leaves_the_information_of_a_curved_structure():
    g, t = np.repeat(np.arange(7), 4), np.tile(np.arange(4), 7)
    term = assemble.term("g", g.astype(str).astype(object), basis=np.eye(4)[t], structure="ar1")
    spec = assemble.spec(np.sin(np.arange(28.0)), np.column_stack([np.ones(28), t]), [term])
    free = cases.by_likelihood(spec, (1.3, 0.6, 0.5)).kenward_roger
    edge = cases.by_likelihood(spec, (1.3, 0.6, 0.5), at_bound=[False, True, False]).kenward_roger
    J = jacobian(spec, np.array([1.3, 0.6, 0.5]))
    moves = J[:, [0, 2]]
    information = Brute(spec).at(edge_theta(spec)).expected_information
    want = moves @ np.linalg.inv(moves.T @ information @ moves) @ moves.T
    assert_allclose(edge.theta_cov, want, rtol=1e-7, atol=1e-10)
    assert np.abs(free.theta_cov - edge.theta_cov).max() > 1e-3


def edge_theta(spec):
    return spec.theta([spec.terms[0].structure.build(np.array([1.3, 0.6])), np.array([[0.5]])])


def test_other_methods_are_refused_with_the_remedy():
    data = unbalanced()
    ml = mv.fit("y ~ x + (1 | g)", data, method="ml")
    with pytest.raises(NotProvided, match="fitted by maximum likelihood: fit it with method='reml'"):
        ml.summary(df="kenward-roger")
    moments = mv.fit("y ~ x + (1 | g)", data, method="he")
    with pytest.raises(NotProvided, match="fitted by 'he': fit it with method='reml'"):
        kenward_roger(moments.spec, moments.evaluation, moments.estimate)


def test_moments_that_no_f_distribution_has_give_nan():
    assert all(np.isnan(matched(3, 40.0, 14.0)))  # the mean would be negative
    assert all(np.isnan(matched(2, 1.0, 2.0)))  # it would be infinite
    assert matched(4, 0.0, 0.0) == (np.inf, 1.0)
    for c, A2 in ((2, 0.3), (3, 1.5), (5, 0.01)):  # all directions known equally well: Hotelling's case without scale
        assert_allclose(matched(c, c * A2, A2), (2 * c / A2, 1.0), **OBJECTIVE)


def test_the_summary_shows_the_adjusted_errors_and_says_so():
    fit = mv.fit(UNBALANCED["crossed"], unbalanced())
    text = str(fit.summary(df="kenward-roger"))
    assert "0.7983" in text  # sqrt of the adjusted variance of the intercept; the plain one is 0.7971
    assert "Kenward and Roger's (expected information)" in " ".join(text.split())


# ---- simulation --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_f_test_has_its_size_in_a_small_unbalanced_design():
    """7 groups, 3 treatments between and within: the size at 5 % is 4-6 %, where the χ² test takes more than 8 %."""
    rng = np.random.default_rng(2024)
    g = np.repeat(np.arange(7), [2, 3, 3, 4, 4, 5, 5])
    f = np.array([rng.integers(0, 3) for _ in g])
    X = np.column_stack([np.ones(len(g)), f == 1, f == 2, np.isin(g, (0, 2, 5))]).astype(float)
    start = 2 * rng.standard_normal(7)[g] + rng.standard_normal(len(g))
    fit = cases.fitted(assemble.spec(start, X, [assemble.term("g", g.astype(str).astype(object))]))
    L, n_sim = np.eye(4)[1:], 2000
    found = {"kenward-roger": 0, "normal": 0}
    for _ in range(n_sim):
        y = rng.standard_normal(7)[g] + rng.standard_normal(len(g))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BoundaryWarning)
            again = fit.refit(y)
        for df in found:
            found[df] += fixed_tests(again, df).joint(L).pvalue < 0.05
    error = np.sqrt(0.05 * 0.95 / n_sim)
    assert abs(found["kenward-roger"] / n_sim - 0.05) < max(0.01, MONTE_CARLO * error)
    assert 0.04 <= found["kenward-roger"] / n_sim <= 0.06
    assert found["normal"] / n_sim > 0.08
