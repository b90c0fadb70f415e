"""One response: effects, relatives, new levels, missing responses and intervals against posteriors by quadrature."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import DataError, DroppedRowsWarning, NotProvided, OptionError
from mixedvc.inference.posterior import FOR_MEANS

from ..tolerances import IDENTITY, PARAMETER
from .predictive_law import Law, inverse_gamma, quadrature

Z = 4.5  # standard errors
Q, N = 12, 30
IDS = np.array([f"i{j}" for j in range(Q)], dtype=object)
PRIORS = {"id": mv.priors.InverseGamma(3, 2), "residual": mv.priors.InverseGamma(3, 2)}
MISSING = [3, 20]
OBSERVED = np.setdiff1d(np.arange(N), MISSING)


@pytest.fixture(scope="module")
def data():
    """Nine of twelve relatives have records; two responses are missing, one of them of a level without any other."""
    rng = np.random.default_rng(5)
    B = rng.normal(size=(Q, 15))
    A = B @ B.T / 6 + 0.2 * np.eye(Q)
    code = rng.integers(0, 9, N)
    code[:9], code[20] = np.arange(9), 9
    x, w, o = rng.normal(size=N), rng.uniform(0.5, 2, N), rng.normal(size=N)
    u = np.linalg.cholesky(A) @ rng.normal(size=Q)
    y = 1 + 0.5 * x + o + u[code] + rng.normal(size=N) / np.sqrt(w)
    y[MISSING] = np.nan
    return A, pd.DataFrame({"y": y, "x": x, "w": w, "o": o, "id": IDS[code]}), code


@pytest.fixture(scope="module")
def new():
    """A relative without records, a level with records, one that nobody knows in two rows."""
    return pd.DataFrame({"x": [0.3, -1.0, 0.5, 0.0], "o": [0.0, 1.0, 0.0, 0.0], "w": [1.0, 2.0, 1.0, 0.5]}).assign(
        id=[IDS[11], IDS[2], "nobody", "nobody"]
    )


def fitted(data, priors=PRIORS, seed=3, draws=500):
    A, frame, _ = data
    with pytest.warns(DroppedRowsWarning):
        return mv.fit(
            "y ~ x + (1 | id:A)",
            frame,
            cov={"A": pd.DataFrame(A, IDS, IDS)},
            weights="w",
            offset="o",
            method="gibbs",
            priors=priors,
            chains=4,
            draws=draws,
            seed=seed,
            workers=1,
        )


@pytest.fixture(scope="module")
def fit(data):
    return fitted(data)


def law_of(data, new, prior=None):
    """Effects of all levels, the missing responses, x'β + u and new observations of the new rows."""
    A, frame, code = data
    r, x, w, o = (frame[name].to_numpy() for name in ("y", "x", "w", "o"))
    X = np.column_stack([np.ones(N), x])
    rows = np.eye(Q)[code]
    one = [11, 2]  # the new rows' levels; −1: nobody
    Zn = np.vstack([np.eye(Q)[one], np.zeros((2, Q))])
    Fn = np.column_stack([np.ones(4), new["x"]])
    F = np.vstack([np.zeros((Q, 2)), X[MISSING], Fn, Fn])
    offset = np.concatenate([np.zeros(Q), o[MISSING], new["o"], new["o"]])
    everyone = np.vstack([np.eye(Q), rows[MISSING], Zn, Zn])
    noise = np.concatenate([np.zeros(Q), 1 / w[MISSING], np.zeros(4), 1 / new["w"]])
    strange = np.mean(np.diag(A)[np.unique(code[OBSERVED])])
    unknown = np.concatenate([np.zeros(Q + 2), [0, 0, strange, strange], [0, 0, strange, strange]])
    inside = np.einsum("ma,ab,mb->m", everyone, A, everyone) + unknown
    seen = rows[OBSERVED]
    return Law(
        (r - o)[OBSERVED],
        X[OBSERVED],
        F,
        offset,
        V=lambda t: t[0] * seen @ A @ seen.T + t[1] * np.diag(1 / w[OBSERVED]),
        C=lambda t: t[0] * seen @ A @ everyone.T,
        D=lambda t: t[0] * inside + t[1] * noise,
        prior=prior,
    )


@pytest.fixture(scope="module")
def truth(data, new):
    ig = inverse_gamma(3, 2)
    return quadrature(law_of(data, new), lambda t: ig(t[0]) + ig(t[1]), [0.02, 0.1], [30, 9], points=33)


def ess(fit):
    """Effective draws, of the parameter that has fewest."""
    return float(fit.glance()["ess.min"].iloc[0])


def check_means(got, mixture, some, fit, X=None):
    """Means against their error: u is exact given θ, averaged over draws of θ; β is the mean of its draws."""
    share = min(1.0, FOR_MEANS / (fit.draws.chains * fit.draws.count))
    error = np.sqrt(mixture.var_of_means[some] / (ess(fit) * share))
    if X is not None:
        cov = np.cov(fit.draws.beta.reshape(-1, X.shape[1]).T)
        error = np.sqrt(error**2 + np.einsum("np,pq,nq->n", X, cov, X) / (fit.draws.chains * fit.draws.count))
    assert (np.abs(np.asarray(got) - mixture.mean[some]) < Z * error + 1e-9).all()
    assert (error < 0.2 * np.sqrt(mixture.var[some])).all()  # a test of means that can fail


def check_limits(lower, upper, mixture, some, fit, level, kind):
    """What the true posterior has below the lower and upper limits."""
    full = np.full(mixture.means.shape[1], np.nan)
    below, above = full.copy(), full.copy()
    below[some], above[some] = lower, upper
    below, above = mixture.cdf(below)[some], mixture.cdf(above)[some]
    tail = (1 - level) / 2
    if kind == "quantile":
        error = np.sqrt(tail * (1 - tail) / ess(fit))
        assert (np.abs(below - tail) < Z * error).all()
        assert (np.abs(above - (1 - tail)) < Z * error).all()
    else:  # the shortest of many intervals holds a little less than it should
        error = np.sqrt(2 * tail * level / ess(fit))
        assert (np.abs(above - below - level) < 2 * Z * error).all()


def test_means_of_effects_are_the_exact_ones_relatives_without_records_included(fit, truth):
    check_means(fit.random_effects["id"]["Intercept"], truth[0], slice(0, Q), fit)
    assert list(fit.random_effects["id"].index) == list(IDS)


def test_variances_of_effects_count_the_uncertainty_of_the_variance_components(fit, truth):
    mixture = truth[0]
    got = fit.pev["id"]["Intercept"].to_numpy()
    assert_allclose(got, mixture.var[:Q], rtol=0.08)
    assert_allclose(fit.random_effects_cov["id"].to_numpy()[:, 0], got, **IDENTITY)
    assert_allclose(fit.conditional_variances["id"]["Intercept"], got, **IDENTITY)
    between = mixture.var_of_means[:Q]
    most = np.argmax(between / mixture.var[:Q])
    assert between[most] > 0.1 * mixture.var[most]
    assert abs(got[most] - mixture.var[most]) < 0.4 * between[most]  # the variance of means is in it
    drawn = fit.random_effects_draws("id").var().to_numpy()
    assert_allclose(drawn, mixture.var[:Q], rtol=Z * np.sqrt(2.5 / ess(fit)))


def test_reliabilities_compare_posterior_and_prior_variance(fit, truth, data):
    mixture, grid, _ = truth
    prior = (mixture.weights @ grid[:, 0]) * np.diag(data[0])
    assert_allclose(fit.reliability["id"]["Intercept"], 1 - mixture.var[:Q] / prior, atol=0.05)


@pytest.mark.parametrize("kind", ["quantile", "hdi"])
def test_intervals_of_effects_have_the_probability_that_they_say(fit, truth, kind):
    got = fit.random_effects_intervals("id", level=0.9, kind=kind)
    check_limits(got["lower"], got["upper"], truth[0], slice(0, Q), fit, 0.9, kind)
    assert list(got["id"]) == list(IDS)
    assert_allclose(got["sd"], np.sqrt(truth[0].var[:Q]), rtol=0.1)


@pytest.mark.parametrize("kind", ["quantile", "hdi"])
def test_missing_responses_have_their_posterior_predictive_law(fit, truth, data, kind):
    some = slice(Q, Q + 2)
    got = fit.impute(interval=True, level=0.9, kind=kind)
    assert list(got["record"]) == MISSING
    check_means(got["value"], truth[0], some, fit, np.column_stack([np.ones(2), data[1]["x"].iloc[MISSING]]))
    check_limits(got["lower"], got["upper"], truth[0], some, fit, 0.9, kind)
    assert_allclose(got["se"], np.sqrt(truth[0].var[some]), rtol=Z * np.sqrt(0.7 / ess(fit)))
    assert list(fit.impute(draws=True).columns) == MISSING


@pytest.mark.parametrize("interval", ["credible", "prediction"])
@pytest.mark.parametrize("kind", ["quantile", "hdi"])
def test_new_rows_of_relatives_known_and_unknown_levels_have_their_law(fit, truth, new, interval, kind):
    start = Q + 2 + 4 * (interval == "prediction")
    some = slice(start, start + 4)
    got = fit.predict(new, new_levels="conditional", se=True, interval=interval, level=0.8, kind=kind)
    check_means(got["predicted"], truth[0], some, fit, np.column_stack([np.ones(4), new["x"]]))
    check_limits(got["lower"], got["upper"], truth[0], some, fit, 0.8, kind)
    assert_allclose(got["se"], np.sqrt(truth[0].var[Q + 2 : Q + 6]), rtol=0.1)


def test_a_normal_prior_of_fixed_effects_moves_effects_and_predictions(data, new):
    b, sd = np.array([0.0, 2.0]), np.array([0.5, 0.2])
    priors = {**PRIORS, "fixed": mv.priors.Normal(b, sd=sd)}
    fit = fitted(data, priors, seed=8)
    ig = inverse_gamma(3, 2)
    law = law_of(data, new, prior=(b, np.diag(sd**2)))
    mixture, _, evidence = quadrature(law, lambda t: ig(t[0]) + ig(t[1]), [0.02, 0.1], [30, 9], points=33)
    check_means(fit.random_effects["id"]["Intercept"], mixture, slice(0, Q), fit)
    assert_allclose(fit.pev["id"]["Intercept"], mixture.var[:Q], rtol=0.08)
    got = fit.predict(new, new_levels="conditional", interval="prediction", kind="quantile", level=0.8)
    check_limits(got["lower"], got["upper"], mixture, slice(Q + 6, Q + 10), fit, 0.8, "quantile")
    made = fit.log_evidence(evaluations=2000)
    constant = -0.5 * len(OBSERVED) * np.log(2 * np.pi)
    assert not made.flat
    assert abs(made.value - evidence - constant) < Z * made.se + 2e-3
    assert made.se < 0.02


def test_the_evidence_is_that_of_quadrature(fit, truth):
    made = fit.log_evidence(evaluations=2000)
    constant = -0.5 * (len(OBSERVED) - 2) * np.log(2 * np.pi)
    assert made.flat and made.pareto_k < 0.7
    assert abs(made.value - truth[2] - constant) < Z * made.se + 2e-3


def test_fitted_values_are_means_of_the_rows_and_residuals_what_is_left(fit, data):
    frame = data[1].iloc[OBSERVED]
    u = fit.random_effects["id"]["Intercept"]
    want = fit.params["Intercept"] + fit.params["x"] * frame["x"] + frame["o"] + u.loc[frame["id"]].to_numpy()
    assert_allclose(fit.fittedvalues, want, **IDENTITY)
    assert_allclose(fit.resid, frame["y"] - want, **PARAMETER)
    assert_allclose(fit.predict(), fit.fittedvalues, **IDENTITY)
    assert_allclose(fit.fixed_fit, want - u.loc[frame["id"]].to_numpy(), **PARAMETER)
    assert_allclose(fit.predict(frame), fit.fittedvalues, **IDENTITY)


def test_rows_of_one_unknown_level_share_its_effect_and_others_do_not(fit, new):
    other = new.assign(id=["nobody", "nobody", "somebody", IDS[0]], x=0.0)
    drawn = fit.predict(other, new_levels="conditional", draws=True) - fit.draws.beta[..., 0].ravel()[:, None]
    drawn = drawn - other["o"].to_numpy()
    assert_allclose(drawn[0], drawn[1], **PARAMETER)
    assert abs(np.corrcoef(drawn[0], drawn[2])[0, 1]) < 0.3
    assert_allclose(drawn[3], fit.random_effects_draws("id")[IDS[0]], **PARAMETER)


def test_levels_without_rows_are_refused_or_left_out_when_that_is_said(fit, new):
    with pytest.raises(DataError, match="'nobody'"):
        fit.predict(new)
    zero = fit.predict(new, new_levels="zero", interval="credible")
    population = fit.predict(new, random="none", interval="credible")
    assert_allclose(zero.iloc[[0, 2, 3]], population.iloc[[0, 2, 3]], **PARAMETER)


def test_draws_of_effects_are_the_same_whichever_are_asked_for(fit):
    everything = fit.random_effects_draws("id")
    assert everything.shape == (2000, Q)
    some = fit.random_effects_draws("id", 40)
    assert len(some) == 40
    assert_allclose(some, everything.loc[some.index], **IDENTITY)
    with pytest.raises(OptionError, match="kept 2000 draws"):
        fit.random_effects_draws("id", 5000)


def test_ranks_are_counted_over_draws(fit):
    u = fit.random_effects_draws("id")
    got = fit.rank_probabilities("id", top=3)
    ranks = u.rank(axis=1, ascending=False)
    assert_allclose(got["rank"], ranks.mean()[got.index], **PARAMETER)
    assert_allclose(got["top"], (ranks <= 3).mean()[got.index], **PARAMETER)
    assert got["top"].is_monotonic_decreasing
    assert_allclose(got["top"].sum(), 3, **PARAMETER)
    worst = fit.rank_probabilities("id", top=0.25, largest=False, candidates=list(IDS[:8]))
    few = u[list(IDS[:8])].rank(axis=1)
    assert_allclose(worst["top"], (few <= 2).mean()[worst.index], **PARAMETER)
    for name, p in (("lower", 0.025), ("upper", 0.975)):
        assert_allclose(worst[name], few.quantile(p, interpolation="nearest")[worst.index], **IDENTITY)


def test_replicated_data_have_the_posterior_predictive_mean_and_spread(fit, data):
    made = fit.posterior_predictive(800)
    assert_allclose(made.mean(), fit.fittedvalues, atol=Z * made.std().max() / np.sqrt(600))
    frame = fit.predict(interval="prediction", kind="quantile", level=0.8)
    inside = ((made >= frame["lower"]) & (made <= frame["upper"])).to_numpy().mean()
    assert abs(inside - 0.8) < 0.02
    assert_allclose(made, fit.posterior_predictive(800), **IDENTITY)
    fresh = fit.simulate(800, seed=1)
    A, frame, code = data
    s2, e2 = fit.draws.theta.reshape(-1, 2).mean(axis=0)
    want = s2 * np.diag(A)[code[OBSERVED]] + e2 / frame["w"].to_numpy()[OBSERVED]
    X = np.column_stack([np.ones(N), frame["x"]])[OBSERVED]
    want = want + np.einsum("np,pq,nq->n", X, np.cov(fit.draws.beta.reshape(-1, 2).T), X)
    assert_allclose(fresh.var(axis=1), want, rtol=0.25)


def test_a_check_counts_replicates_beyond_the_data(fit):
    made = fit.check("max", n=200)
    replicated = fit.posterior_predictive(200).max(axis=1)
    assert_allclose(made.replicated[:, 0], replicated, **IDENTITY)
    assert made.p_value == (replicated > fit.spec.y.max()).mean()
    assert "observed" in str(made)
    assert fit.check(lambda y: float(np.median(y)), n=50).statistic == "statistic"
    with pytest.raises(OptionError, match="is not one of 'mean'"):
        fit.check("mode")
    with pytest.raises(OptionError, match="one number is needed"):
        fit.check(lambda y: y)


def test_options_that_are_not_there_are_refused(fit, new):
    with pytest.raises(OptionError, match="'credible', 'prediction'"):
        fit.predict(interval="wald")
    with pytest.raises(OptionError, match="kind='wald'"):
        fit.predict(interval="credible", kind="wald")
    with pytest.raises(OptionError, match="draws=10"):
        fit.predict(draws=10)
    with pytest.raises(OptionError, match="no random term is called 'kin'"):
        fit.random_effects_draws("kin")
    with pytest.raises(OptionError, match="top=0"):
        fit.rank_probabilities(top=0)


def test_weights_and_offsets_given_as_numbers_reach_the_missing_rows(fit, data):
    A, frame, _ = data
    with pytest.warns(DroppedRowsWarning):
        spec = mv.model(
            "y ~ x + (1 | id:A)",
            frame,
            cov={"A": pd.DataFrame(A, IDS, IDS)},
            weights=frame["w"].to_numpy(),
            offset=frame["o"].to_numpy(),
        )
    other = dataclasses.replace(fit, spec=spec)
    assert_allclose(other.impute()[["value", "se"]], fit.impute()[["value", "se"]], **PARAMETER)


def test_rows_without_predictors_are_not_imputed(data):
    A, frame, _ = data
    frame = frame.assign(x=frame["x"].where(frame.index != 7))
    frame.loc[20, "id"] = None
    fit = fitted((A, frame, None), draws=20)
    assert list(fit.impute()["record"]) == [3]


def test_a_stored_posterior_says_the_same(fit, new, tmp_path):
    fit.save(tmp_path / "fit.mvc")
    again = mv.load(tmp_path / "fit.mvc")
    assert_allclose(again.random_effects["id"], fit.random_effects["id"], **PARAMETER)
    assert_allclose(again.random_effects_draws("id"), fit.random_effects_draws("id"), **PARAMETER)
    options = {"new_levels": "conditional", "interval": "prediction"}
    assert_allclose(again.predict(new, **options), fit.predict(new, **options), **PARAMETER)
    assert_allclose(again.dic().value, fit.dic().value, **PARAMETER)


def test_rows_whose_residuals_depend_on_others_are_not_imputed():
    frame = mv.load_data("orthodont").assign(age=lambda d: d["age"].astype(int))
    frame.loc[3, "distance"] = np.nan
    with pytest.warns(DroppedRowsWarning):
        fit = mv.fit(
            "distance ~ age + (1 | Subject)",
            frame,
            residual="ar1(0 + age | Subject)",
            method="gibbs",
            draws=20,
            chains=1,
            seed=1,
            workers=1,
        )
    with pytest.raises(NotProvided, match="depend on each other"):
        fit.impute()
