"""Satterthwaite's degrees of freedom."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, IdentifiabilityWarning, OptionError
from mixedvc.inference.df import mean_matched, satterthwaite
from mixedvc.testing import assemble
from tests.inference import cases
from tests.reference.load import input_or_skip, matrix, reference
from tests.tolerances import COMPONENT, OBJECTIVE, PARAMETER

LMERTEST = {"rtol": 2e-4, "atol": 0}  # lmerTest differentiates numerically


def _table(name):
    data = pd.read_csv(input_or_skip(f"lme4/{name}/data.csv"))
    return data, np.ones((len(data), 1))


def test_sleepstudy_has_seventeen_degrees_of_freedom_for_both_coefficients():
    fit = cases.fitted(cases.sleepstudy())
    assert_allclose(fit.df_fixed(), [17.0, 17.0], **COMPONENT)
    want = matrix(reference("lme4/sleepstudy/slope_correlated")["REML"]["satterthwaite"])
    assert_allclose(fit.df_fixed(), want["df"], **LMERTEST)
    assert_allclose(fit.pvalues, want["Pr(>|t|)"], rtol=1e-3, atol=0)


def test_uncorrelated_slopes_agree_with_lmertest():
    spec = cases.sleepstudy()
    term = assemble.term("Subject", spec.terms[0].levels[spec.terms[0].codes], basis=spec.X, structure="diag")
    fit = cases.fitted(assemble.spec(spec.y, spec.X, [term]))
    want = matrix(reference("lme4/sleepstudy/slope_uncorrelated")["REML"]["satterthwaite"])
    assert_allclose(fit.df_fixed(), want["df"], **LMERTEST)


def test_crossed_terms_agree_with_lmertest():
    data, X = _table("penicillin")
    terms = [assemble.term(name, data[name].astype(str).to_numpy(dtype=object)) for name in ("plate", "sample")]
    fit = cases.fitted(assemble.spec(data["diameter"], X, terms))
    want = matrix(reference("lme4/penicillin/crossed")["REML"]["satterthwaite"])
    assert_allclose(fit.df_fixed(), want["df"], **LMERTEST)


def test_an_unbalanced_factor_and_slopes_agree_with_lmertest():
    data, _ = _table("orthodont")
    female = (data["Sex"] == "Female").to_numpy(dtype=float)
    age = data["age"].to_numpy(dtype=float)
    X = np.column_stack([np.ones(len(data)), age, female, age * female])
    term = assemble.term("Subject", data["Subject"].astype(str).to_numpy(dtype=object), basis=X[:, :2])
    fit = cases.fitted(assemble.spec(data["distance"], X, [term]))
    want = matrix(reference("lme4/orthodont/lmer_slope")["REML"]["satterthwaite"])
    assert_allclose(fit.df_fixed(), 27 - 2, **COMPONENT)  # balanced in time: between subjects less two sexes
    assert_allclose(fit.df_fixed(), want["df"], rtol=1e-3, atol=0)  # 25.008 and 25.011: lmerTest's numerical error


def test_a_balanced_one_way_has_groups_minus_one():
    assert_allclose(cases.fitted(assemble.one_way(7, 4, seed=1)).df_fixed(), [6.0], **COMPONENT)


def test_least_squares_has_n_minus_p():
    spec = assemble.one_way(6, 5, seed=2)
    s2 = float(np.var(spec.y, ddof=1))
    fit = cases.by_brute_force(spec, [0.0, s2], at_bound=[True, False])
    assert_allclose(fit.df_fixed(), [spec.n - 1.0], **OBJECTIVE)


def test_known_variances_have_infinitely_many():
    fit = cases.by_brute_force(assemble.one_way(), [1.0, 2.0], fixed=[True, True])
    assert fit.df_fixed() == [np.inf]


def test_a_contrast_row_is_its_own_coefficient_after_reparametrisation():
    spec = cases.relatives()
    T = np.array([[1.0, 0.0], [2.0, 1.0]])  # β = T γ
    fit = cases.by_brute_force(spec, cases.RELATIVES_PAR)
    other = assemble.spec(spec.y, spec.X @ T, spec.terms, weights=spec.weights, offset=spec.offset)
    moved = cases.by_brute_force(other, cases.RELATIVES_PAR)
    assert_allclose(moved.df_fixed(contrasts=T), fit.df_fixed(), **OBJECTIVE)
    with pytest.raises(OptionError, match="contrasts have 3 columns, the model has 2"):
        satterthwaite(fit.evaluation, fit.covariance().theta, np.ones((1, 3)))


def test_degrees_of_freedom_do_not_depend_on_the_unit_of_a_contrast():
    fit = cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)
    want = fit.df_fixed()
    assert_allclose(fit.df_fixed(contrasts=np.diag([3.0, -0.5])), want, **OBJECTIVE)
    assert_allclose(fit.df_fixed(contrasts=np.diag([3.0, -0.5])[::-1]), want[::-1], **OBJECTIVE)
    both = np.array([[1.0, 1.0], [0.0, 2.0]])  # the general way, beside a single coefficient
    assert_allclose(fit.df_fixed(contrasts=both)[1], want[1], **OBJECTIVE)


def test_a_singular_unstructured_covariance_has_the_degrees_of_freedom_of_one_of_reduced_rank():
    rng = np.random.default_rng(1)
    g = np.repeat([0, 1, 2], 20)
    Y = 2.0 * rng.standard_normal((3, 4))[g] + rng.standard_normal((60, 4)) @ rng.standard_normal((4, 4))
    data = pd.DataFrame(Y, columns=list("abcd")).assign(g=np.array(["x", "y", "z"])[g])
    with pytest.warns(IdentifiabilityWarning, match="10 parameters"), pytest.warns(BoundaryWarning, match="singular"):
        us = mv.fit("cbind(a, b, c, d) ~ 1 + (1 | g)", data)
    rr = mv.fit("cbind(a, b, c, d) ~ 1 + rr(1 | g, 2)", data)
    assert_allclose(us.llf, rr.llf, **OBJECTIVE)
    assert_allclose(us.df_fixed(), rr.df_fixed(), **PARAMETER)


def test_degrees_of_freedom_by_name():
    fit = cases.fitted(assemble.one_way(6, 5))
    assert fit.df_fixed("residual") == [29.0]
    assert fit.df_fixed("normal") == [np.inf]
    with pytest.raises(OptionError, match="df='exact' is not one of 'satterthwaite', 'kenward-roger', 'residual', '"):
        fit.summary(df="exact")


def test_the_mean_of_squared_t_is_matched_by_f():
    nu = np.array([5.0, 8.0, 30.0])
    mean = np.mean(nu / (nu - 2))
    m = mean_matched(nu)
    assert_allclose(m / (m - 2), mean, **OBJECTIVE)
    assert mean_matched(np.array([7.0, 7.0])) == 7.0
    assert mean_matched(np.array([2.0, 9.0])) == mean_matched(np.array([1.1, 9.0])) == 2.0  # no mean
    assert mean_matched(np.array([np.inf, np.inf])) == np.inf
    half = mean_matched(np.array([6.0, np.inf]))
    assert_allclose(half / (half - 2), (1.5 + 1) / 2, **OBJECTIVE)
    assert np.isnan(mean_matched(np.array([np.nan, 3.0])))
