"""Genetic correlation from records: estimates, errors and tests against brute force, every method, every refusal."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.design.joint import Joint, join
from mixedvc.errors import BindError, BoundaryWarning, OptionError
from mixedvc.testing.brute import Brute
from tests.tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE, PARAMETER

N1, N2, M = 90, 70, 60
IDS = [f"p{i:03d}" for i in range(N1 + N2)]
MAXIMISERS = [n for n in mv.estimators.names() if "loglik" in mv.estimators.get(n).provides]


def features(n1=N1, n2=N2, m=M, seed=1):
    return np.random.default_rng(seed).standard_normal((n1 + n2, m))


def tables(seed=1, rho=0.6, h2=(0.6, 0.5), n1=N1, n2=N2, m=M, W=None):
    """Two tables: y with a covariate in one, z with homes in the other."""
    rng = np.random.default_rng([seed, 7])
    W = features(n1, n2, m) if W is None else W
    G = (W - W.mean(0)) / W.std(0) / np.sqrt(m)
    Sigma = np.array([[h2[0], rho * np.sqrt(h2[0] * h2[1])], [rho * np.sqrt(h2[0] * h2[1]), h2[1]]])
    g = G @ (rng.standard_normal((m, 2)) @ np.linalg.cholesky(Sigma + 1e-12 * np.eye(2)).T)
    noise = rng.standard_normal(n1 + n2)
    one = pd.DataFrame({"id": IDS[:n1], "x": rng.standard_normal(n1)})
    one["y"] = 2 + one["x"] + g[:n1, 0] + np.sqrt(1 - h2[0]) * noise[:n1]
    two = pd.DataFrame({"id": IDS[n1 : n1 + n2], "home": [f"h{i % 12}" for i in range(n2)]})
    two["z"] = g[n1:, 1] + np.sqrt(1 - h2[1]) * noise[n1:]
    return one, two


def kernel():
    return mv.Features(features(), IDS)


def models(G=None, **options):
    one, two = tables(**options)
    G = kernel() if G is None else G
    return mv.model("y ~ x + (1 | id:G)", one, cov={"G": G}), mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": G})


def correlation(**options):
    return mv.genetic_correlation(*models(), **options)


def test_the_correlation_has_the_delta_method_error_of_the_expected_information():
    result = correlation()
    theta = result.fit.estimate.theta
    spec = result.fit.spec
    cov = np.linalg.inv(Brute(spec).at(theta).expected_information)
    rho = theta[1] / np.sqrt(theta[0] * theta[2])
    slope = np.array([-rho / (2 * theta[0]), 1 / np.sqrt(theta[0] * theta[2]), -rho / (2 * theta[2]), 0, 0])
    se = np.sqrt(slope @ cov @ slope)
    z = np.arctanh(rho) + np.array([-1, 1]) * 1.959963984540054 * se / (1 - rho**2)
    found = [result.rho.estimate, result.rho.se, result.rho.lower, result.rho.upper]
    np.testing.assert_allclose(found, [rho, se, *np.tanh(z)], **OBJECTIVE)
    h = theta[2] / (theta[2] + theta[4])
    slope = np.array([0, 0, (1 - h), 0, -h]) / (theta[2] + theta[4])
    np.testing.assert_allclose(result.heritabilities[1].estimate, h, **OBJECTIVE)
    np.testing.assert_allclose(result.heritabilities[1].se, np.sqrt(slope @ cov @ slope), **OBJECTIVE)
    np.testing.assert_allclose([v.estimate for v in result.variances], theta[[0, 2]], **IDENTITY)
    np.testing.assert_allclose(result.covariance.se, np.sqrt(cov[1, 1]), **OBJECTIVE)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_the_likelihood_ratio_is_against_the_two_models_by_themselves(method):
    first, second = models()
    result = mv.genetic_correlation(first, second, method=method)
    alone = first.fit(method).llf + second.fit(method).llf
    np.testing.assert_allclose(result.test.llf_null, alone, **OBJECTIVE)
    np.testing.assert_allclose(result.test.statistic, 2 * (result.fit.llf - alone), rtol=1e-6, atol=1e-8)
    assert 0.0 < result.test.p_value < 0.5
    assert result.test.p_value == pytest.approx(_chi2_tail(result.test.statistic), rel=1e-10)


def _chi2_tail(x):
    from math import erfc, sqrt

    return erfc(sqrt(x / 2))


@pytest.mark.parametrize("name", MAXIMISERS)
def test_every_maximiser_finds_the_same_correlation(name):
    result = correlation(method=name)
    want = correlation(method="reml" if result.fit.estimate.reml else "ml")
    np.testing.assert_allclose(result.rho.estimate, want.rho.estimate, **PARAMETER)
    np.testing.assert_allclose(result.rho.se, want.rho.se, **PARAMETER)
    np.testing.assert_allclose(result.test.statistic, want.test.statistic, rtol=1e-6, atol=1e-8)


def test_px_em_by_maximum_likelihood_is_the_maximum_of_the_likelihood():
    result = correlation(method="pxem", restricted=False)
    want = correlation(method="ml")
    np.testing.assert_allclose(result.rho.estimate, want.rho.estimate, **PARAMETER)
    np.testing.assert_allclose(result.test.llf_null, want.test.llf_null, **OBJECTIVE)


def by_moments(table, response, fixed, rows):
    """S, q of one sample by itself, A among its rows, M and the response, all formed."""
    W = features()
    G = (W - W.mean(0)) / W.std(0)
    X = np.column_stack([np.ones(len(table)), *(table[name] for name in fixed)])
    A, P = G[rows] @ G[rows].T / M, np.eye(len(table)) - X @ np.linalg.pinv(X)
    y = P @ table[response].to_numpy()
    S = np.array([[np.trace(P @ A @ P @ A), np.trace(P @ A)], [np.trace(P @ A), np.trace(P)]])
    return S, np.array([y @ A @ y, y @ y]), A, P, y, G[rows]


def test_by_he_the_covariance_is_the_cross_product_and_the_variances_are_those_of_each_sample():
    one, two = tables()
    S1, q1, A1, P1, y1, G1 = by_moments(one, "y", ["x"], slice(0, N1))
    S2, q2, A2, P2, y2, G2 = by_moments(two, "z", [], slice(N1, None))
    theta1, theta2, K = np.linalg.solve(S1, q1), np.linalg.solve(S2, q2), G1 @ G2.T / M
    bottom = np.trace(P1 @ K @ P2 @ K.T)
    s12 = y1 @ K @ y2 / bottom
    result = correlation(method="he")
    want = [s12 / np.sqrt(theta1[0] * theta2[0]), s12, theta1[0], theta2[0]]
    want += [theta1[0] / theta1.sum(), theta2[0] / theta2.sum()]
    np.testing.assert_allclose([q.estimate for q in result.quantities], want, rtol=1e-10, atol=0)
    O1, O2 = (P @ (t[0] * A + t[1] * np.eye(len(A))) @ P for P, t, A in ((P1, theta1, A1), (P2, theta2, A2)))
    null = np.sqrt(np.trace(O1 @ K @ O2 @ K.T)) / bottom  # Var(y1ᵀK y2) of independent y1, y2
    np.testing.assert_allclose(result.test.statistic, s12 / null, rtol=1e-8, atol=0)
    np.testing.assert_allclose(result.test.p_value, _chi2_tail((s12 / null) ** 2), rtol=1e-8, atol=0)
    assert "under no correlation" in result.test.method
    single = models()[0].fit("he")
    np.testing.assert_allclose(result.variances[0].estimate, single.estimate.theta[0], rtol=1e-10, atol=0)


def test_by_he_the_error_of_the_correlation_is_that_of_its_sandwich():
    result = correlation(method="he")
    estimate = result.fit.estimate
    V = Brute(result.fit.spec).patterns
    X = result.fit.spec.X
    P = np.eye(len(X)) - X @ np.linalg.pinv(X)
    B = [P @ v @ P for v in V]
    Omega = sum(t * v for t, v in zip(estimate.theta, V, strict=True))
    S = np.array([[np.trace(a @ b) for b in B] for a in B])
    C = np.array([[2 * np.trace(a @ Omega @ b @ Omega) for b in B] for a in B])
    cov = np.linalg.inv(S) @ C @ np.linalg.inv(S)
    t = estimate.theta
    rho = t[1] / np.sqrt(t[0] * t[2])
    slope = np.array([-rho / (2 * t[0]), 1 / np.sqrt(t[0] * t[2]), -rho / (2 * t[2]), 0, 0])
    np.testing.assert_allclose(result.rho.se, np.sqrt(slope @ cov @ slope), rtol=1e-8, atol=0)


def test_random_probes_leave_the_test_to_the_method_s_own_error():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.MixedVCWarning)  # of the error that so few probes leave
        result = correlation(method="he", trace="hutchinson", probes=60, seed=1)
    assert result.test.method == "z of the genetic covariance, by its standard error"
    sampling = result.fit.estimate.sampling
    np.testing.assert_allclose(result.test.statistic, sampling.centre[1] / np.sqrt(sampling.cov[1, 1]), **IDENTITY)


@pytest.mark.parametrize("options", [{"entries": "upper"}, {"projection": False}])
def test_the_variants_of_he_are_tested_with_their_own_equations(options):
    result = correlation(method="he", **options)
    assert "under no correlation" in result.test.method
    assert abs(result.test.statistic / correlation(method="he").test.statistic - 1) < 0.5


def test_where_components_are_held_the_equations_are_not_solved_and_the_own_error_serves():
    result = correlation(method="he", fixed_varcomp={"residual": [0.4, 0.5]})
    assert result.test.method == "z of the genetic covariance, by its standard error"


def test_random_probes_are_not_followed_by_exact_traces(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("exact second moments of a model that may be too large for them")

    monkeypatch.setattr("mixedvc.correlation.moments.choose_moments", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.MixedVCWarning)
        assert correlation(method="he", trace="hutchinson", probes=60, seed=1).test is not None


def test_what_the_method_has_to_say_is_among_the_notes():
    first, second = models()
    result = quietly(first=first, second=second, method="rerehe", seed=1)
    assert result.fit.estimate.notes
    assert set(result.fit.estimate.notes) <= set(result.notes)


def test_without_standard_errors_nothing_is_tested_and_the_notes_say_so():
    result = correlation(method="he", se="none")
    assert result.test is None
    assert np.isnan(result.rho.se) and np.isfinite(result.rho.estimate)
    assert any("gave no standard errors" in note for note in result.notes)


def test_the_covariance_between_the_samples_may_be_given_in_every_form():
    A = kernel().block()
    frame = pd.DataFrame(A, index=IDS, columns=IDS).sample(frac=1.0, random_state=3)
    plain = correlation(test=False).rho.estimate
    own = [mv.Features(features(seed=9)[:N1], IDS[:N1]), mv.Dense(2 * A[N1:, N1:], IDS[N1:])]
    one, two = tables()
    first = mv.model("y ~ x + (1 | id:G)", one, cov={"G": own[0]})
    second = mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": own[1]})
    for cov in (kernel(), frame.loc[:, frame.index], (A, IDS), mv.Dense(A, IDS)):
        found = mv.genetic_correlation(first, second, cov=cov, test=False)
        np.testing.assert_allclose(found.rho.estimate, plain, **PARAMETER)
    tested = mv.genetic_correlation(first, second, cov=(A, IDS))
    np.testing.assert_allclose(tested.test.statistic, correlation().test.statistic, **PARAMETER)
    one_each = mv.genetic_correlation(*(models(G=kernel())[0], models(G=kernel())[1]), test=False)
    np.testing.assert_allclose(one_each.rho.estimate, plain, **IDENTITY)


def test_two_covariances_of_single_samples_are_refused():
    one, two = tables()
    W = features()
    first = mv.model("y ~ x + (1 | id:G)", one, cov={"G": mv.Features(W[:N1], IDS[:N1])})
    second = mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": mv.Features(W[N1:], IDS[N1:])})
    with pytest.raises(
        BindError, match=r"two different covariances, features 90×60, .* give cov= with the individuals"
    ):
        mv.genetic_correlation(first, second)
    A = kernel().block()
    other = mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": mv.Dense(A, IDS)})
    with pytest.raises(BindError, match=r"features .* and dense 160×160"):
        mv.genetic_correlation(models()[0], other)


def test_groups_without_known_covariance_relate_nothing():
    _, two = tables()
    with pytest.raises(BindError, match="has no known covariance, so nothing relates the samples: give cov="):
        mv.genetic_correlation(models()[0], mv.model("z ~ 1 + (1 | home)", two))


def test_a_covariance_changed_since_is_refused():
    A = np.array(kernel().block())
    first, second = models(G=mv.Dense(A, IDS))
    A[0, 1] = A[1, 0] = 0.0
    with pytest.raises(mv.errors.CovarianceError, match="changed in place"):
        mv.genetic_correlation(first, second)


def test_several_kernels_need_the_name_of_one():
    one, _ = tables()
    B = mv.Features(features(seed=9), IDS)
    cov = {"G": kernel(), "B": B}
    first = mv.model("y ~ x + (1 | id:G) + (1 | gr(id2, cov=B))", one.assign(id2=one["id"]), cov=cov)
    second = models()[1]
    with pytest.raises(OptionError, match=r"the model of y has 2, 'id', 'id2': name the genetic one, term='id'"):
        mv.genetic_correlation(first, second)
    with pytest.raises(OptionError, match=r"the model of z has no term called 'id2': its terms are 'id'"):
        mv.genetic_correlation(first, second, term="id2")
    with pytest.raises(OptionError, match="one name, or one for each"):
        mv.genetic_correlation(first, second, term=("id", "id", "id"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        result = mv.genetic_correlation(first, second, term=("id", "id"), test=False)
    theta = result.fit.estimate.theta
    assert [t.name for t in result.fit.spec.terms] == ["id", "y: id2"]
    np.testing.assert_allclose(
        result.heritabilities[0].estimate, theta[0] / (theta[0] + theta[3] + theta[4]), **IDENTITY
    )
    np.testing.assert_allclose(result.heritabilities[1].estimate, theta[2] / (theta[2] + theta[5]), **IDENTITY)


def test_other_terms_count_in_the_heritability_of_their_own_sample_alone():
    second = mv.model("z ~ 1 + (1 | id:G) + (1 | home)", tables()[1], cov={"G": kernel()})
    result = mv.genetic_correlation(models()[0], second, term="id", test=False)
    t = result.fit.estimate.theta
    assert t[3] > 0.0
    np.testing.assert_allclose(result.heritabilities[0].estimate, t[0] / (t[0] + t[4]), **IDENTITY)
    np.testing.assert_allclose(result.heritabilities[1].estimate, t[2] / (t[2] + t[3] + t[5]), **IDENTITY)


def test_a_model_without_random_terms_has_nothing_to_correlate():
    one, _ = tables()
    with pytest.raises(OptionError, match=r"has no random terms: it needs a genetic one, e.g. \(1 \| id:A\)"):
        mv.genetic_correlation(mv.model("y ~ x", one), models()[1])


def test_something_else_than_a_model_is_refused():
    with pytest.raises(OptionError, match=r"two models from mixedvc\.model, not a DataFrame"):
        mv.genetic_correlation(tables()[0], models()[1])


def test_the_samples_are_called_by_their_responses_or_as_told():
    assert correlation(test=False).names == ("y", "z")
    assert correlation(test=False, names=["tall", "heavy"]).names == ("tall", "heavy")
    first, second = models()
    again = mv.model("z ~ x + (1 | id:G)", tables()[0].rename(columns={"y": "z"}), cov={"G": kernel()})
    assert mv.genetic_correlation(again, second, test=False).names == ("sample 1", "sample 2")
    for names in ("ab", ("a",), ("a", "a")):
        with pytest.raises(OptionError, match="two"):
            mv.genetic_correlation(first, second, names=names)


def test_individuals_in_both_samples_are_refused_unless_levels_are_lines():
    _, two = tables()
    both = two.assign(id=[IDS[0], *two["id"].iloc[1:]])
    first, second = models()[0], mv.model("z ~ 1 + (1 | id:G)", both, cov={"G": kernel()})
    with pytest.raises(BindError, match="1 of 'id' are in both samples: 'p000'"):
        mv.genetic_correlation(first, second)
    assert np.isfinite(mv.genetic_correlation(first, second, shared=True, test=False).rho.estimate)


def quietly(**options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        return mv.genetic_correlation(**options)


def test_a_variance_of_zero_leaves_no_correlation_and_no_test():
    _, two = tables()
    G = kernel().factor()[N1:]
    nothing = np.linalg.svd(np.column_stack([G, np.ones(N2)]))[0][:, M + 1 :]  # directions that no feature sees
    two = two.assign(z=nothing @ np.random.default_rng(4).standard_normal(nothing.shape[1]))
    first, second = models()[0], mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": kernel()})
    result = quietly(first=first, second=second)
    assert result.variances[1].estimate < 1e-12
    assert np.isnan([result.rho.estimate, result.rho.se, result.rho.lower]).all()
    assert result.test is None
    assert any("genetic variance of z is zero: there is no correlation to test" in note for note in result.notes)
    assert "genetic correlation" in str(result)


def test_a_variance_that_is_zero_without_the_covariance_is_told():
    for seed in range(60):
        first, second = models(seed=seed, h2=(0.7, 0.15), rho=0.9)
        result = quietly(first=first, second=second)
        if result.test is not None and quiet_fit(second).estimate.theta[0] == 0.0:
            break
    assert quiet_fit(second).estimate.theta[0] == 0.0
    assert result.variances[1].estimate > 0.0
    assert any("Without covariance the genetic variance of z is zero" in note for note in result.notes)


def quiet_fit(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        return spec.fit()


def test_a_correlation_of_one_has_a_test_but_no_error():
    for seed in range(20):
        first, second = models(seed=seed, rho=1.0)
        result = quietly(first=first, second=second)
        if result.rho.estimate > 0.999999:
            break
    np.testing.assert_allclose(result.rho.estimate, 1.0, **PARAMETER)
    assert np.isnan(result.rho.se) and np.isnan(result.rho.lower)
    assert result.test.p_value < 0.05
    assert str(result).count("boundary") == 2  # correlation and covariance
    assert any("edge of its range" in note for note in result.notes)


def test_a_moment_estimate_outside_the_range_is_reported_as_it_is():
    for seed in range(60):
        first, second = models(seed=seed, rho=1.0)
        result = mv.genetic_correlation(first, second, method="he")
        if result.rho.estimate > 1.05:
            break
    assert result.rho.estimate > 1.05
    assert result.rho.interval == "Wald"
    half = result.rho.upper - result.rho.estimate
    np.testing.assert_allclose(half, 1.959963984540054 * result.rho.se, **OBJECTIVE)
    assert any("outside [-1, 1]" in note for note in result.notes)


def test_a_negative_moment_variance_leaves_no_correlation():
    for seed in range(60):
        first, second = models(seed=seed, h2=(0.6, 0.0), rho=0.0)
        result = mv.genetic_correlation(first, second, method="he")
        if result.variances[1].estimate < 0.0:
            break
    assert result.variances[1].estimate < 0.0
    assert np.isnan(result.rho.estimate)
    assert np.isfinite(result.test.statistic)  # of the covariance, which there still is
    assert any("genetic variance of z is not positive" in note for note in result.notes)


def test_a_given_covariance_is_not_tested_and_a_start_belongs_to_the_joint_fit():
    held = correlation(fixed_varcomp={"id": np.array([[0.6, 0.2], [0.2, 0.5]])})
    assert held.test is None
    assert str(held).count("fixed") >= 4
    np.testing.assert_allclose(held.rho.estimate, 0.2 / np.sqrt(0.3), **IDENTITY)
    assert any("was given, so it is not tested" in note for note in held.notes)
    some = correlation(fixed_varcomp={"residual": [0.4, 0.5]})
    null = join(*models(), Joint(("id", "id"), kernel(), ("y", "z"), structure="diag"))
    llf = null.fit(fixed_varcomp={"residual": [0.4, 0.5]}).llf
    np.testing.assert_allclose(some.test.llf_null, llf, **OBJECTIVE)
    started = correlation(start={"id": np.array([[0.6, -0.2], [-0.2, 0.5]])})
    np.testing.assert_allclose(started.test.statistic, correlation().test.statistic, **PARAMETER)


def test_the_table_names_everything_and_reads_in_html():
    result = correlation(level=0.9)
    text = str(result)
    for word in ("Genetic correlation of y and z", "heritability, y", "[0.05", "chi-square(1)", "90 + 70", "reml"):
        assert word in text, word
    assert max(map(len, text.splitlines())) <= 100
    assert "<table" in result._repr_html_() and "heritability, z" in result._repr_html_()
    assert list(result.table.columns) == ["estimate", "se", "lower", "upper"]
    assert result.table.loc["genetic correlation", "estimate"] == result.rho.estimate
    assert str(result.test).startswith("likelihood ratio, chi-square(1): ")
    assert "NOT CONVERGED" not in text


def test_options_reach_the_method_and_unknown_ones_are_refused():
    with pytest.warns(mv.errors.ConvergenceWarning):
        result = correlation(max_iter=1, test=False)
    assert "NOT CONVERGED" in str(result)
    with pytest.raises(TypeError, match="maxiter"):
        correlation(maxiter=3)
    with pytest.raises(OptionError, match="level=2"):
        correlation(level=2)


def test_breeding_values_of_both_traits_are_predicted_for_everyone():
    result = correlation(test=False)
    u = result.fit.random_effects["id"]
    assert list(u.columns) == ["y", "z"] and list(u.index) == IDS
    spec, theta = result.fit.spec, result.fit.estimate.theta
    Sigma = spec.sigmas(theta)[0]
    A = kernel().block()
    Z = np.zeros((N1 + N2, 2 * (N1 + N2)))  # rows by (trait, individual)
    Z[np.arange(N1), np.arange(N1)] = 1.0
    Z[np.arange(N1, N1 + N2), N1 + N2 + np.arange(N1, N1 + N2)] = 1.0
    want = (np.kron(Sigma, A) @ Z.T @ Brute(spec).at(theta).Py).reshape(2, -1).T
    np.testing.assert_allclose(u.to_numpy(), want, **PARAMETER)


def simulated(rho, method, n1, n2, reps, seed, h2=0.6, m=100):
    out = []
    rng = np.random.default_rng(seed)
    ids = [f"p{i}" for i in range(n1 + n2)]
    for _ in range(reps):
        G = mv.Features(rng.standard_normal((n1 + n2, m)), ids)
        g = G.factor() @ rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=m)
        e = rng.standard_normal(n1 + n2) * np.sqrt((1 - h2) / h2)
        one = pd.DataFrame({"id": ids[:n1], "y": g[:n1, 0] + e[:n1]})
        two = pd.DataFrame({"id": ids[n1:], "z": g[n1:, 1] + e[n1:]})
        first = mv.model("y ~ 1 + (1 | id:G)", one, cov={"G": G})
        second = mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": G})
        result = quietly(first=first, second=second, method=method)
        q = result.rho
        out.append([q.estimate, q.se, q.lower, q.upper, np.nan if result.test is None else result.test.p_value])
    return np.array(out)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["reml", "he"])
@pytest.mark.parametrize(("rho", "n1", "n2"), [(0.5, 160, 120), (0.0, 160, 120), (0.5, 240, 110)])
def test_the_correlation_is_unbiased_and_its_interval_covers(method, rho, n1, n2):
    reps = 150
    draws = simulated(rho, method, n1, n2, reps, seed=[n1, int(10 * rho)])
    known = np.isfinite(draws[:, 1])
    assert known.mean() > 0.94
    estimate, se, lower, upper, p = draws[known].T
    error = estimate.std(ddof=1) / np.sqrt(known.sum())
    assert abs(estimate.mean() - rho) < MONTE_CARLO * error + 0.01  # of a ratio: biased by a few hundredths of a SE
    cover = ((lower <= rho) & (rho <= upper)).mean()
    assert abs(cover - 0.95) < 3 * np.sqrt(0.95 * 0.05 / reps) + 0.005
    assert 0.75 < np.median(se) / estimate.std(ddof=1) < 1.25  # few large ones where a variance is near zero
    if rho == 0.0:
        size = (p < 0.05).mean()
        assert abs(size - 0.05) < 3 * np.sqrt(0.05 * 0.95 / reps)


def profiled(spec, rho, reml=True, starts=3):
    """max ℓ at a correlation, by a general-purpose minimiser from several places, on brute force."""
    from scipy.optimize import minimize

    brute, unit = Brute(spec, reml), float(np.var(spec.response))
    y = spec.index

    def theta(q):
        out = np.empty(len(y))
        out[[0, 2]] = unit * np.exp(2 * q[:2])
        out[1] = rho * unit * np.exp(q[0] + q[1])
        out[3:] = unit * np.exp(q[2:])
        return out

    def criterion(q):
        at = brute.at(theta(q))
        J = np.zeros((len(y), len(q)))
        J[0, 0], J[2, 1], J[1, :2] = 2 * at.theta[0], 2 * at.theta[2], at.theta[1]
        J[np.arange(3, len(y)), np.arange(2, len(q))] = at.theta[3:]
        return -at.loglik, -J.T @ at.score

    rng = np.random.default_rng(5)
    found = [minimize(criterion, rng.uniform(-2, 0.5, len(y) - 1), jac=True, method="BFGS") for _ in range(starts)]
    return -min(f.fun for f in found)


@pytest.mark.parametrize(("seed", "rho", "method"), [(1, 0.6, "reml"), (2, 1.0, "ml"), (3, -0.8, "reml")])
def test_the_ends_of_a_profile_interval_are_just_rejected(seed, rho, method):
    first, second = models(seed=seed, rho=rho)
    result = quietly(first=first, second=second, interval="profile", method=method)
    assert result.rho.interval == "profile-likelihood"
    assert result.rho.lower < result.rho.estimate < result.rho.upper
    limit = 3.841458820694124
    for end in (result.rho.lower, result.rho.upper):
        deviance = 2 * (result.fit.llf - profiled(result.fit.spec, end, reml=method == "reml"))
        if abs(end) < 1:
            np.testing.assert_allclose(deviance, limit, rtol=0, atol=0.01)
        else:
            assert deviance <= limit
    assert (result.rho.lower <= 0 <= result.rho.upper) == (result.test.p_value > 0.05)


def test_the_profile_at_zero_is_the_likelihood_ratio_test():
    from mixedvc.correlation.profile import _climb, path_of

    result = correlation()
    loglik = _climb(result.fit.likelihood, path_of(result.fit), 0.0)
    np.testing.assert_allclose(loglik, result.test.llf_null, rtol=0, atol=1e-6)


def test_a_correlation_of_one_has_a_profile_interval():
    for seed in range(20):
        first, second = models(seed=seed, rho=1.0)
        result = quietly(first=first, second=second, interval="profile", level=0.9)
        if result.rho.estimate > 0.999999:
            break
    assert result.rho.upper == 1.0 and np.isnan(result.rho.se)
    deviance = 2 * (result.fit.llf - profiled(result.fit.spec, result.rho.lower))
    np.testing.assert_allclose(deviance, 2.705543454095404, rtol=0, atol=0.01)
    assert any("Interval of the correlation: profile likelihood" in note for note in result.notes)


def test_a_profile_interval_goes_through_components_at_zero_and_around_those_that_are_given():
    _, two = tables()
    first, _ = models()
    for seed in range(20):
        homes = two.assign(home=two["home"].sample(frac=1.0, random_state=seed).to_numpy())
        second = mv.model("z ~ 1 + (1 | id:G) + (1 | home)", homes, cov={"G": kernel()})
        result = quietly(first=first, second=second, term="id", test=False)
        if result.fit.is_singular:
            break
    result = quietly(first=first, second=second, term="id", interval="profile")
    assert result.fit.varcomp.set_index("group").loc["z: home", "variance"] == 0.0
    plain = correlation(interval="profile")
    np.testing.assert_allclose([result.rho.lower, result.rho.upper], [plain.rho.lower, plain.rho.upper], atol=2e-3)
    e1, e2 = plain.fit.estimate.theta[-2:]
    held = correlation(interval="profile", fixed_varcomp={"residual": [e1, e2]})
    assert plain.rho.lower < held.rho.lower < held.rho.upper < plain.rho.upper
    given = correlation(interval="profile", fixed_varcomp={"id": np.array([[0.6, 0.2], [0.2, 0.5]])})
    assert np.isnan(given.rho.lower)


def test_profile_intervals_that_cannot_be_had_are_refused():
    with pytest.raises(mv.errors.NotProvided, match="method 'he' has no likelihood, so no profile"):
        correlation(method="he", interval="profile")
    with pytest.raises(OptionError, match="interval='wald' is not one of 'fisher', 'profile'"):
        correlation(interval="wald")
    _, two = tables()
    two = two.assign(t=np.random.default_rng(1).standard_normal(N2))
    slopes = mv.model("z ~ 1 + (1 | id:G) + (t | home)", two, cov={"G": kernel()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        with pytest.raises(mv.errors.NotProvided, match=r"\(1 \+ t \| home\) has correlated ones"):
            mv.genetic_correlation(models()[0], slopes, term="id", interval="profile", test=False)


def test_the_joint_fit_is_that_of_the_joined_specification():
    first, second = models()
    fit = join(first, second, Joint(("id", "id"), kernel(), ("y", "z"))).fit()
    np.testing.assert_allclose(correlation(test=False).fit.estimate.theta, fit.estimate.theta, **IDENTITY)
