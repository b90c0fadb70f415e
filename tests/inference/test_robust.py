"""The cluster-robust covariance against brute force, clubSandwich, and what least squares says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import DataError, NotProvided, OptionError
from mixedvc.inference.robust import covariance_of
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute
from tests.inference import cases
from tests.reference.load import input_or_skip, matrix, reference
from tests.tolerances import MONTE_CARLO, OBJECTIVE

KINDS = ("CR0", "CR1", "CR1S", "CR2")


def unbalanced() -> pd.DataFrame:
    return pd.read_csv(input_or_skip("fixed_effects/unbalanced/data.csv"))


def oats() -> pd.DataFrame:
    table = pd.read_csv(input_or_skip("fixed_effects/oats/data.csv")).assign(nitro=lambda d: d["nitro"].astype(str))
    return table.drop(index=[i - 1 for i in reference("fixed_effects/oats/incomplete")["dropped"]])


MODELS = {
    "slopes": lambda: (mv.fit("y ~ A * B + x + (x | g)", unbalanced()), "g", "unbalanced", 1e-5),
    "weighted": lambda: (mv.fit("y ~ A + x + (1 | g)", unbalanced(), weights="w"), None, "unbalanced", 1e-5),
    "lmer": lambda: (mv.fit("yield ~ Variety + nitro + (1 | Block / Variety)", oats()), "Block", "oats", 1e-5),
    "lme": lambda: (mv.fit("yield ~ Variety + nitro + (1 | Block / Variety)", oats()), None, "oats", 2e-4),
}


@pytest.mark.parametrize("name", MODELS)
def test_all_kinds_agree_with_clubsandwich(name):
    fit, cluster, place, tolerance = MODELS[name]()
    want = reference(f"fixed_effects/{place}/robust")[name]
    for kind in KINDS:
        got, test = fit.cov_robust(cluster, kind), want[kind]["test"]
        table = matrix(want[kind]["vcov"]).to_numpy()
        assert_allclose(got.cov, table, rtol=tolerance, atol=1e-6 * np.abs(table).max())
        assert_allclose(got.bse, test["SE"], rtol=tolerance, atol=0)
        assert_allclose(got.df, test["df_Satt"], rtol=tolerance, atol=0)
        assert_allclose(got.pvalues, test["p_Satt"], rtol=tolerance, atol=0)


def test_joint_tests_are_clubsandwichs_htz():
    want = reference("fixed_effects/unbalanced/robust")["slopes_HTZ"]
    got = MODELS["slopes"]()[0].cov_robust("g").contrast(np.eye(7)[[1, 2, 5]]).f_test()
    assert_allclose(got.statistic, want["Fstat"][0], rtol=1e-6, atol=0)
    assert_allclose(got.df_denom, want["df_denom"][0], rtol=1e-6, atol=0)
    assert_allclose(got.pvalue, want["p_val"][0], rtol=1e-6, atol=0)
    assert_allclose(got.scale, want["delta"][0], rtol=1e-6, atol=0)


def blocks(seed: int = 4):
    """Kinship within families, slopes and weights: clusters with a covariance that is nobody's default."""
    from mixedvc.covariance import Dense

    rng = np.random.default_rng(seed)
    family = np.repeat(np.arange(8), [3, 4, 2, 5, 3, 4, 6, 3])
    n = len(family)
    root = rng.standard_normal((n, n)) * (family[:, None] == family)
    labels = [f"i{j:02d}" for j in range(n)]
    A = Dense(root @ root.T / 3 + np.eye(n), labels)
    x = rng.standard_normal(n)
    X = np.column_stack([np.ones(n), x, rng.integers(0, 2, n)])
    kin = assemble.term("kin", np.array(labels, dtype=object), basis=X[:, :2], covariance=A)
    spec = assemble.spec(
        rng.standard_normal(n), X, [kin], weights=rng.uniform(0.5, 2, n), offset=rng.standard_normal(n)
    )
    return spec, family, (0.6, 0.1, 0.4, 0.8)


def test_cr0_is_the_sandwich_by_brute_force():
    spec, family, par = blocks()
    fit = cases.by_likelihood(spec, par)
    at = Brute(spec).at(fit.theta)
    e, M = spec.response - spec.X @ at.beta, at.beta_cov
    meat = sum(
        np.outer(s, s)
        for s in (
            spec.X.T[:, r] @ at.Vinv[np.ix_(r, r)] @ e[r] for r in map(np.flatnonzero, family == np.arange(8)[:, None])
        )
    )
    assert_allclose(fit.cov_robust(family, "CR0").cov, M @ meat @ M, **OBJECTIVE)
    assert_allclose(fit.cov_robust(None, "CR1").cov, M @ meat @ M * 8 / 7, **OBJECTIVE)
    rows = np.array([4, 5, 20])
    assert_allclose(covariance_of(spec, fit.theta, rows), at.V[np.ix_(rows, rows)], **OBJECTIVE)


def test_cr2_is_unbiased_under_the_working_model_and_its_df_are_those_of_the_quadratic_form():
    spec, family, par = blocks()
    fit = cases.by_likelihood(spec, par)
    at = Brute(spec).at(fit.theta)
    X, W, M, V = spec.X, at.Vinv, at.beta_cov, at.V
    H = X @ M @ X.T @ W
    Q, parts = np.eye(spec.n) - H, []  # residuals are Q y
    for i in range(8):
        r = np.flatnonzero(family == i)
        D = np.linalg.cholesky(V[np.ix_(r, r)]).T
        B = D @ (V - X @ M @ X.T)[np.ix_(r, r)] @ D.T
        values, vectors = np.linalg.eigh(B)
        A = D.T @ (vectors / np.sqrt(values)) @ vectors.T @ D
        parts.append(M @ X[r].T @ W[np.ix_(r, r)] @ A @ Q[r])  # p × n: cluster i's share of β̂'s sandwich, in y
    y = spec.response
    got = fit.cov_robust(family, "CR2")
    assert_allclose(got.cov, sum(np.outer(G @ y, G @ y) for G in parts), **OBJECTIVE)
    assert_allclose(sum(G @ V @ G.T for G in parts), M, **OBJECTIVE)  # its expectation
    for j in range(3):
        S = sum(np.outer(G[j], G[j]) for G in parts)  # V^R_jj = yᵀSy
        mean, variance = np.trace(S @ V), 2 * np.trace(S @ V @ S @ V)
        assert_allclose(got.df.iloc[j], 2 * mean**2 / variance, **OBJECTIVE)


def test_single_rows_as_clusters_are_the_hc_estimators_of_least_squares():
    data = unbalanced()
    fit = mv.fit("y ~ A + x", data)
    X = fit.spec.X
    for kind, hc in (("CR0", "HC0"), ("CR1S", "HC1"), ("CR2", "HC2")):
        want = sm.OLS(data["y"].to_numpy(), X).fit(cov_type=hc).cov_params()
        assert_allclose(fit.cov_robust(kind=kind).cov, want, rtol=1e-7, atol=0)


def test_a_cluster_can_be_a_term_a_column_or_labels_of_all_rows_given():
    data = unbalanced()
    data["town"] = data["g"].str[-1]  # several groups in a town
    data.loc[3, "x"] = np.nan
    with pytest.warns(mv.errors.DroppedRowsWarning):
        fit = mv.fit("y ~ x + town + (1 | g)", data)
    by_column, by_labels = fit.cov_robust("town"), fit.cov_robust(data["town"])
    assert_allclose(by_column.cov, by_labels.cov, rtol=0, atol=0)
    assert_allclose(fit.cov_robust(data["town"].drop(index=3)).cov, by_column.cov, rtol=0, atol=0)
    assert by_column.n_clusters == data["town"].nunique()
    assert fit.cov_robust("g").n_clusters == 14


def test_clusters_that_depend_on_each_other_are_refused_with_the_reason():
    fit = mv.fit("y ~ x + (1 | g)", unbalanced().assign(h=lambda d: d["A"]))
    with pytest.raises(
        OptionError, match=r"clusters of cluster= are not independent in this model: level 'g\d\d' of g has"
    ):
        fit.cov_robust(np.arange(84) % 7)
    with pytest.raises(OptionError, match="cluster='h' is no column that the model uses"):
        fit.cov_robust("h")
    with pytest.raises(OptionError, match="cluster= has one level only"):
        fit.cov_robust(np.zeros(84))
    with pytest.raises(OptionError, match=r"cluster= has shape \(3,\); the model has 84 rows"):
        fit.cov_robust([1, 2, 3])
    with pytest.raises(DataError, match="cluster= has missing labels"):
        fit.cov_robust([None] * 84)
    with pytest.raises(OptionError, match="kind='CR3' is not one of 'CR0', 'CR1', 'CR1S', 'CR2'"):
        fit.cov_robust(kind="CR3")
    crossed = mv.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))
    with pytest.raises(OptionError, match="the levels of plate and sample cross"):
        crossed.cov_robust()
    with pytest.raises(OptionError, match="has rows in several of them"):
        crossed.cov_robust("plate")
    kin = cases.by_likelihood(cases.relatives(), cases.RELATIVES_PAR)
    with pytest.raises(OptionError, match="known covariance of kin relates all rows"):
        kin.cov_robust()
    spec, _, par = blocks()
    with pytest.raises(OptionError, match="the known covariance of kin relates some of them"):
        cases.by_likelihood(spec, par).cov_robust(np.arange(spec.n))
    with pytest.raises(NotProvided, match="fit with method='reml' or 'ml'"):
        mv.fit("y ~ x + (1 | g)", unbalanced(), method="he", fixed="ols").cov_robust()


def test_results_are_consistent_and_say_what_they_are():
    fit = MODELS["slopes"]()[0]
    got = fit.cov_robust("g")
    assert_allclose(got.tvalues, fit.params / got.bse, **OBJECTIVE)
    from scipy import stats

    half = stats.t.ppf(0.95, got.df) * got.bse
    assert_allclose(got.conf_int(0.1)[1] - fit.params, half, **OBJECTIVE)
    single = got.contrast("x = 0.1")
    assert_allclose(single.frame["t"], (fit.params["x"] - 0.1) / got.bse["x"], **OBJECTIVE)
    assert_allclose(single.frame["df"], got.df["x"], **OBJECTIVE)
    assert_allclose(single.f_test().df_denom, got.df["x"], **OBJECTIVE)
    text = " ".join(str(got).split())
    assert "CR2 sandwich over 14 clusters ('g')" in text and "Bell and McCaffrey" in text
    assert "A[T.a2]:B[T.low]" in got.summary().as_html()


def test_fewer_clusters_than_coefficients_cannot_be_tested_jointly():
    data = unbalanced().assign(town=lambda d: d["g"].str[-2] + (d["g"].str[-1].astype(int) % 2).astype(str))
    fit = mv.fit("y ~ A * B + x + town + (1 | g)", data)
    few = fit.cov_robust("town")
    assert "no more clusters" in " ".join(few.notes)
    with pytest.raises(OptionError, match="cannot be tested together: their covariance is singular"):
        few.contrast(np.eye(fit.spec.p)).f_test()


@pytest.mark.slow
def test_cr2_keeps_its_size_where_the_model_is_wrong():
    """Slopes vary and the model says they do not: the model's test takes 20 %, the robust one 5 %."""
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(20), rng.integers(4, 10, 20))
    x = rng.standard_normal(len(g)) + 0.5 * rng.standard_normal(20)[g]
    X = np.column_stack([np.ones(len(g)), x])
    y = 2 * rng.standard_normal(20)[g] + rng.standard_normal(len(g))
    fit = cases.fitted(assemble.spec(y, X, [assemble.term("g", g.astype(str).astype(object))]))
    robust = model = 0
    n_sim = 400
    for _ in range(n_sim):
        y = rng.standard_normal(20)[g] + 0.8 * rng.standard_normal(20)[g] * x + rng.standard_normal(len(g))
        again = fit.refit(y)
        model += again.pvalues.iloc[1] < 0.05
        robust += again.cov_robust("g").pvalues.iloc[1] < 0.05
    assert model / n_sim > 0.12
    assert abs(robust / n_sim - 0.05) < MONTE_CARLO * np.sqrt(0.05 * 0.95 / n_sim)
