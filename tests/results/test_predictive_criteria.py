"""DIC, WAIC, LOO and evidence against direct formulas; features of new levels; refusals."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats
from scipy.special import logsumexp

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, NotProvided, OptionError

from ..tolerances import IDENTITY, OBJECTIVE, PARAMETER

Z = 4.5
HELD = {"g": mv.priors.Fixed(1.2), "residual": mv.priors.Fixed(0.7)}
OPTIONS = {"method": "gibbs", "chains": 2, "seed": 4, "workers": 1}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    code = np.repeat(np.arange(6), 4)
    x, w = rng.normal(size=24), rng.uniform(0.5, 2.0, 24)
    y = 2 + 0.5 * x + rng.normal(size=6)[code] * 1.1 + rng.normal(size=24) * np.sqrt(0.7 / w)
    return pd.DataFrame({"y": y, "z": rng.normal(size=24), "x": x, "w": w, "g": code.astype(str)})


@pytest.fixture(scope="module")
def held(data):
    """θ given: everything is normal, and known."""
    return mv.fit("y ~ x + (1 | g)", data, weights="w", priors=HELD, draws=1000, **OPTIONS)


@pytest.fixture(scope="module")
def free(data):
    priors = {"g": mv.priors.InverseGamma(3, 2), "residual": mv.priors.InverseGamma(3, 2)}
    return mv.fit("y ~ x + (1 | g)", data, weights="w", priors=priors, draws=500, **OPTIONS)


def drawn(fit):
    """θ, β (N, ·) and x'β + z'u (N, n) of every kept draw, from what the fit hands out."""
    theta, beta = (
        getattr(fit.draws, name).reshape(-1, getattr(fit.draws, name).shape[2]) for name in ("theta", "beta")
    )
    u = fit.random_effects_draws("g").to_numpy()
    return theta, beta, beta @ fit.spec.X.T + u[:, fit.spec.terms[0].codes]


def conditional(fit):
    theta, _, f = drawn(fit)
    return stats.norm.logpdf(fit.spec.y, f, np.sqrt(theta[:, 1:] / fit.spec.weights))


def V_of(fit, theta):
    same = fit.spec.terms[0].codes[:, None] == fit.spec.terms[0].codes
    return theta[0] * same + theta[1] * np.diag(1 / fit.spec.weights)


def test_dic_given_the_effects_is_mean_deviance_plus_effective_parameters(free):
    theta, _, f = drawn(free)
    each = -2 * conditional(free).sum(axis=1)
    at = -2 * stats.norm.logpdf(free.spec.y, f.mean(axis=0), np.sqrt(theta[:, 1].mean() / free.spec.weights)).sum()
    got = free.dic()
    assert_allclose(free.deviances().ravel(), each, **OBJECTIVE)
    assert_allclose([got.mean_deviance, got.deviance_at_means], [each.mean(), at], **OBJECTIVE)
    assert_allclose(got.value, 2 * each.mean() - at, **OBJECTIVE)
    assert float(got) == got.value and "given the random effects" in str(got)


def test_dic_with_effects_integrated_out_is_that_of_the_marginal_law(free):
    theta, beta, _ = drawn(free)
    y, X = free.spec.y, free.spec.X
    some = slice(0, 1000, 50)
    want = [-2 * stats.multivariate_normal.logpdf(y, X @ b, V_of(free, t)) for t, b in zip(theta, beta, strict=True)]
    assert_allclose(free.deviances(marginal=True).ravel()[some], np.array(want)[some], **OBJECTIVE)
    at = -2 * stats.multivariate_normal.logpdf(y, X @ beta.mean(axis=0), V_of(free, theta.mean(axis=0)))
    got = free.dic(marginal=True)
    assert_allclose([got.value, got.p], [2 * np.mean(want) - at, np.mean(want) - at], **OBJECTIVE)
    assert "integrated out" in str(got)


def test_the_mean_deviance_and_effective_parameters_of_a_normal_posterior_are_traces(held):
    """θ held: D̄ = D(mean) + tr(R⁻¹ Var(f | y)), so that p_D is the effective degrees of freedom."""
    spec, V = held.spec, V_of(held, [1.2, 0.7])
    Vi = np.linalg.inv(V)
    P = Vi - Vi @ spec.X @ np.linalg.inv(spec.X.T @ Vi @ spec.X) @ spec.X.T @ Vi
    W = np.diag(spec.weights / 0.7)
    R = np.linalg.inv(W)
    spread = W @ (R - R @ P @ R)
    error = Z * np.sqrt(2 * np.trace(spread @ spread) / 2000)
    got = held.dic()
    assert abs(got.p - np.trace(spread)) < error
    exact = -2 * stats.norm.logpdf(spec.y, spec.y - R @ P @ spec.y, np.sqrt(np.diag(R))).sum()
    assert abs(got.deviance_at_means - exact) < 0.5
    assert error < 1.0


def test_waic_is_written_out(free):
    log = conditional(free)
    p = log.var(axis=0, ddof=1)
    lppd = logsumexp(log, axis=0) - np.log(len(log))
    got = free.waic()
    assert_allclose(got.frame["elpd"], lppd - p, **OBJECTIVE)
    assert_allclose([got.elpd, got.p, got.ic], [(lppd - p).sum(), p.sum(), -2 * (lppd - p).sum()], **OBJECTIVE)
    assert_allclose(got.se, np.sqrt(24) * (lppd - p).std(ddof=1), **OBJECTIVE)


def exact_left_out(fit, groups):
    """log p(y_g | y_-g) of a model whose θ is held and β is flat: the ratio of two restricted likelihoods."""
    V, y, X = V_of(fit, [1.2, 0.7]), fit.spec.y, fit.spec.X

    def evidence(rows):
        Vi, Xr, yr = np.linalg.inv(V[np.ix_(rows, rows)]), X[rows], y[rows]
        C = np.linalg.inv(Xr.T @ Vi @ Xr)
        e = yr - Xr @ (C @ (Xr.T @ Vi @ yr))
        log = (len(rows) - 2) * np.log(2 * np.pi) - np.linalg.slogdet(Vi)[1] - np.linalg.slogdet(C)[1]
        return -0.5 * (log + e @ Vi @ e)

    everything = np.arange(len(y))
    return np.array([evidence(everything) - evidence(np.setdiff1d(everything, g)) for g in groups])


def test_leave_one_out_by_either_road_is_the_exact_one(held):
    want = exact_left_out(held, [[i] for i in range(24)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        plain, marginal = held.loo(), held.loo(marginal=True, draws=1000)
    good = plain.frame["pareto_k"] < 0.6
    assert good.mean() > 0.7
    assert_allclose(plain.frame["elpd"][good], want[good], atol=0.1)
    assert_allclose(marginal.frame["elpd"], want, atol=0.05)
    assert abs(marginal.elpd - want.sum()) < 0.15
    assert marginal.frame["pareto_k"].max() < plain.frame["pareto_k"].max()
    assert "integrated out" in str(marginal)


def test_groups_are_left_out_whole(held):
    codes = held.spec.terms[0].codes
    want = exact_left_out(held, [np.flatnonzero(codes == g) for g in range(6)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        by_term, by_label = held.loo(group="g", draws=1000), held.loo(group=codes, draws=1000)
    assert_allclose(by_term.frame["elpd"], want, atol=0.15)
    assert list(by_term.frame.index) == list("012345") and by_term.unit == "g"
    assert_allclose(by_term.frame["elpd"], by_label.frame["elpd"], **IDENTITY)
    with pytest.raises(OptionError, match="no random term is called so"):
        held.loo(group="h")
    with pytest.raises(OptionError, match="a label for each of the 24 rows"):
        held.loo(group=[1, 2])


def test_leaving_out_conditions_on_the_other_rows_given_the_draw(free):
    from mixedvc.inference.posterior_criteria import leave_out

    groups = [np.array([0]), np.array([3, 9, 10]), np.array([5, 6, 7])]
    got, chain, draw = leave_out(free._evaluator, free.draws, groups, 4)
    for values, c, d in zip(got, chain, draw, strict=True):
        V, beta = V_of(free, free.draws.theta[c, d]), free.draws.beta[c, d]
        r = free.spec.y - free.spec.X @ beta
        for value, g in zip(values, groups, strict=True):
            o = np.setdiff1d(np.arange(24), g)
            B = V[np.ix_(g, o)] @ np.linalg.inv(V[np.ix_(o, o)])
            want = stats.multivariate_normal.logpdf(r[g], B @ r[o], V[np.ix_(g, g)] - B @ V[np.ix_(o, g)])
            assert_allclose(value, want, **OBJECTIVE)


def test_large_pareto_k_is_said_in_words(data):
    frame = data.assign(y=data["y"].where(data.index != 5, 40.0))
    fit = mv.fit("y ~ x + (1 | g)", frame, priors=HELD, draws=100, **OPTIONS)
    with pytest.warns(MixedVCWarning, match=r"Pareto k of \d+ of 24 rows is above .* loo\(marginal=True\)"):
        made = fit.loo()
    assert made.unreliable >= 1 and "Pareto k" in str(made)


def test_models_without_fixed_or_random_effects_are_scored(data):
    bare = mv.fit("y ~ 0 + (1 | g)", data, weights="w", priors=HELD, draws=50, **OPTIONS)
    want = -2 * stats.multivariate_normal.logpdf(bare.spec.y, np.zeros(24), V_of(bare, [1.2, 0.7]))
    assert_allclose(bare.deviances(marginal=True), want, **OBJECTIVE)
    assert_allclose(bare.dic(marginal=True).p, 0, atol=1e-9)
    assert_allclose(bare.log_evidence().value, -want / 2, **OBJECTIVE)
    assert bare.predict(data.head(2), interval="prediction").notna().all().all()
    linear = mv.fit("y ~ x", data, priors={"residual": HELD["residual"]}, draws=50, **OPTIONS)
    assert linear.random_effects == {} and linear.impute().empty
    assert_allclose(linear.deviances(marginal=True), linear.deviances(), **OBJECTIVE)
    with pytest.raises(OptionError, match="no random terms"):
        linear.random_effects_draws()


def test_units_of_several_traits_are_records(data):
    frame = data.copy()
    frame.loc[[2, 9], "z"] = np.nan
    R = np.array([[1.0, 0.4], [0.4, 0.8]])
    priors = {"g": mv.priors.Fixed(np.eye(2)), "residual": mv.priors.Fixed(R)}
    fit = mv.fit("cbind(y, z) ~ 1 + (1 | g)", frame, weights="w", priors=priors, draws=20, **OPTIONS)
    e = fit.spec.y - fit.predict(draws=True).to_numpy()
    traits, values = fit.spec.traits, fit._pointwise.values.reshape(-1, 24)
    for record in (0, 2, 9, 23):
        rows = np.flatnonzero(traits.record == record)
        own = R[np.ix_(traits.trait[rows], traits.trait[rows])] / data["w"][record]
        want = stats.multivariate_normal.logpdf(e[:, rows], np.zeros(len(rows)), own)
        assert_allclose(values[:, record], want, **OBJECTIVE)
    assert fit._pointwise.unit == "record"
    assert fit.waic().frame.index.name == "record"


def test_units_of_correlated_residuals_are_their_groups():
    frame = mv.load_data("orthodont").iloc[:40]
    fit = mv.fit("distance ~ age", frame, residual="ar1(1 | Subject)", draws=20, **OPTIONS)
    e = fit.spec.y - fit.predict(draws=True).to_numpy()
    values, codes = fit._pointwise.values.reshape(40, -1), fit.spec.residual.codes
    assert fit._pointwise.unit == "group"
    for level in (0, 4):
        rows = np.flatnonzero(codes == level)
        B = fit.spec.residual.basis[rows]
        for d in (0, 33):
            S = B @ fit.spec.sigmas(fit.draws.theta.reshape(40, -1)[d])[-1] @ B.T
            assert_allclose(values[d, level], stats.multivariate_normal.logpdf(e[d, rows], cov=S), **OBJECTIVE)
    drawn = fit.predict(interval="prediction", draws=True).to_numpy() - fit.predict(draws=True).to_numpy()
    first = np.flatnonzero(codes == 0)
    assert np.corrcoef(drawn[:, first[0]], drawn[:, first[1]])[0, 1] > 0.2


def test_bayes_factors_are_differences_of_evidences(free, data):
    priors = {"residual": mv.priors.InverseGamma(3, 2)}
    without = mv.fit("y ~ x", data, weights="w", priors=priors, draws=100, **OPTIONS)
    got = free.log_bayes_factor(without, evaluations=1000)
    a, b = (fit.log_evidence(evaluations=1000).value for fit in (free, without))
    assert_allclose(got, a - b, **IDENTITY)
    s = np.exp(np.linspace(-8, 8, 4001))  # one variance: the evidence by quadrature
    X, y, W = without.spec.X, without.spec.y, np.diag(without.spec.weights)
    C = np.linalg.inv(X.T @ W @ X)
    rest = y @ W @ y - y @ W @ X @ C @ X.T @ W @ y
    log = -0.5 * (22 * np.log(2 * np.pi * s) - np.log(np.diag(W)).sum() - np.linalg.slogdet(C)[1] + rest / s)
    log = log + stats.invgamma.logpdf(s, 3, scale=2) + np.log(s)
    assert abs(b - logsumexp(log) - np.log(np.log(s[1] / s[0]))) < 0.01
    other = mv.fit("y ~ 1", data, weights="w", priors=priors, draws=20, **OPTIONS)
    with pytest.raises(OptionError, match="different fixed effects with flat priors"):
        free.log_bayes_factor(other, evaluations=200)
    with pytest.raises(OptionError, match="different responses"):
        free.log_bayes_factor(mv.fit("z ~ x", data, priors=priors, draws=20, **OPTIONS))
    with pytest.raises(OptionError, match="method='gibbs'"):
        free.log_bayes_factor(mv.fit("y ~ x", data))


def test_an_improper_prior_has_no_evidence(data):
    fit = mv.fit("y ~ x", data, priors={"residual": mv.priors.Flat(on="log")}, draws=20, **OPTIONS)
    with pytest.raises(NotProvided, match="the prior of Residual is improper"):
        fit.log_evidence()


@pytest.mark.parametrize("by", ["loo", "waic", "dic"])
def test_posteriors_stand_beside_each_other(free, data, by):
    without = mv.fit(
        "y ~ x", data, weights="w", priors={"residual": mv.priors.InverseGamma(3, 2)}, draws=200, **OPTIONS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        table = free.compare_with({"no g": without}, by=by, name="g")
        scores = {"g": getattr(free, by)(), "no g": getattr(without, by)()}
    assert list(table.index) == ["g", "no g"]  # groups are there
    assert table["difference"].iloc[0] == 0
    if by == "dic":
        assert_allclose(table["dic"], [scores["g"].value, scores["no g"].value], **IDENTITY)
        return
    apart = scores["no g"].frame["elpd"].to_numpy() - scores["g"].frame["elpd"].to_numpy()
    assert_allclose(table["difference"].iloc[1], apart.sum(), **PARAMETER)
    assert_allclose(table["se_difference"].iloc[1], np.sqrt(24) * apart.std(ddof=1), **PARAMETER)
    with pytest.raises(OptionError, match="'loo', 'waic', 'dic'"):
        free.compare_with({"no g": without}, by="aic")


# ---- features ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def genomic():
    rng = np.random.default_rng(6)
    names = [f"a{j}" for j in range(10)]
    W = pd.DataFrame(rng.normal(size=(10, 6)), names, [f"m{j}" for j in range(6)])
    ids = rng.permutation(np.repeat(names[:8], 3))
    y = 0.8 * (W.to_numpy() @ rng.normal(size=6))[[names.index(i) for i in ids]] + rng.normal(size=24)
    frame = pd.DataFrame({"y": y, "id": ids})
    priors = {"id": mv.priors.Fixed(1.5), "residual": mv.priors.Fixed(1.0)}
    fit = mv.fit("y ~ 1 + (1 | id:W)", frame, cov={"W": mv.Features(W)}, priors=priors, draws=2000, **OPTIONS)
    new = pd.DataFrame(rng.normal(size=(3, 6)), ["n0", "n1", "n2"], W.columns)
    return fit, frame, W, new


def test_levels_known_by_their_own_features_have_their_law(genomic):
    fit, frame, W, new = genomic
    whole = np.vstack([W.to_numpy(), new.to_numpy()])
    G = (whole - W.to_numpy().mean(axis=0)) / W.to_numpy().std(axis=0)
    G = G * np.sqrt(6 / 6)
    A = G @ G.T / 6
    A_fit = np.asarray(fit.spec.terms[0].covariance.block())
    assert_allclose(A[:10, :10] / A[0, 0], A_fit / A_fit[0, 0], **PARAMETER)  # up to the deviation's divisor
    A = A * (A_fit[0, 0] / A[0, 0])
    code = [list(W.index).index(i) for i in frame["id"]]
    V = 1.5 * A[np.ix_(code, code)] + np.eye(24)
    C = 1.5 * A[np.ix_(code, [10, 11, 12])]
    Vi, one = np.linalg.inv(V), np.ones((24, 1))
    c = 1 / Vi.sum()
    beta = c * float(one[:, 0] @ Vi @ frame["y"])
    mean = beta + C.T @ Vi @ (frame["y"].to_numpy() - beta)
    d = 1 - C.T @ Vi @ one
    cov = 1.5 * A[10:, 10:] - C.T @ Vi @ C + c * d @ d.T
    rows = pd.DataFrame({"id": new.index})
    got = fit.predict(rows, features={"W": new}, se=True, draws=False)
    assert_allclose(got["predicted"], mean, atol=Z * np.sqrt(c / 4000))
    assert_allclose(got["se"], np.sqrt(np.diag(cov)), rtol=Z / np.sqrt(2 * 4000))
    drawn = fit.predict(rows, features={"W": new}, draws=True)
    want = cov / np.sqrt(np.outer(np.diag(cov), np.diag(cov)))
    assert_allclose(drawn.corr(), want, atol=Z / np.sqrt(4000))


@pytest.mark.parametrize("m", [6, 25])
def test_effects_of_features_have_their_law(genomic, m):
    """Fewer features than levels, which the levels tell apart, and more, of which some part is never seen."""
    _, frame, W, _ = genomic
    W = pd.DataFrame(np.random.default_rng(m).normal(size=(10, m)), W.index)
    cov = {"W": mv.Features(W)}
    priors = {"id": mv.priors.Fixed(1.5), "residual": mv.priors.Fixed(1.0)}
    fit = mv.fit("y ~ 1 + (1 | id:W)", frame, cov=cov, priors=priors, draws=500, **OPTIONS)
    got = fit.feature_effects(se=True)
    held = mv.fit("y ~ 1 + (1 | id:W)", frame, cov=cov, fixed_varcomp={"id": 1.5, "Residual": 1.0})
    want = held.feature_effects(se=True)
    assert_allclose(got["effect"], want["effect"], **PARAMETER)
    assert_allclose(got["se"], want["se"], rtol=Z / np.sqrt(2 * 500))
    assert_allclose(got["reliability"], want["reliability"], atol=0.2)
    assert list(fit.feature_effects().columns) == ["effect", "standardised"]
