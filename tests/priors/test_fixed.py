"""Normal priors of fixed effects against the whole multivariate normal of y."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from mixedvc import priors as P
from mixedvc.likelihood.choose import choose
from mixedvc.likelihood.marginals import marginals
from mixedvc.priors.resolve import resolve
from mixedvc.sampling.target import Target
from tests.tolerances import OBJECTIVE

from .data import dense_parts, spec_of

FORMULA = "y ~ x + f + (1 | g)"
THETAS = np.array([[0.7, 1.1], [2.0, 0.4], [0.01, 3.0]])
B3 = np.array([[4.0, 0.5, 0.0], [0.5, 1.0, -0.2], [0.0, -0.2, 2.0]])
GIVEN = {
    "all": P.Normal([1.0, 0.0, -1.0], cov=B3),
    "one sd": P.Normal(0.5, sd=2.0),
    "one": {"x": P.Normal(0.3, sd=0.2)},
    "two, out of order": {"f[T.b]": P.Normal(-1.0, sd=0.5), "Intercept": P.Normal(0.0, cov=9.0)},
    "flat beside": {"x": P.Normal(0.3, sd=0.2), "Intercept": P.Flat()},
}


def _bound(given: Any) -> tuple[Any, Any, Any]:
    spec = spec_of(FORMULA)
    likelihood, _ = choose(spec, reml=True, purpose="many")
    return spec, resolve(spec, {"fixed": given}), likelihood


def _given_theta(spec: Any, theta: np.ndarray, prior: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """log p(y | θ) with flat columns by REML, and the mean and covariance of β | θ, y."""
    V = sum(t * part for t, part in zip(theta, dense_parts(spec), strict=True))
    flat = np.setdiff1d(np.arange(spec.p), prior.which)
    X, y = spec.X, spec.y - spec.X @ prior.mean
    V_all = V + X[:, prior.which] @ prior.B @ X[:, prior.which].T
    Vi = np.linalg.inv(V_all)
    F = X[:, flat]
    loglik = -0.5 * np.linalg.slogdet(V_all)[1] - 0.5 * (spec.n - len(flat)) * np.log(2 * np.pi)
    if len(flat):
        C = F.T @ Vi @ F
        loglik -= 0.5 * np.linalg.slogdet(C)[1]
        Vi = Vi - Vi @ F @ np.linalg.solve(C, F.T @ Vi)
    loglik -= 0.5 * y @ Vi @ y
    Vi = np.linalg.inv(V)
    cov = np.linalg.inv(X.T @ Vi @ X + prior.precision)
    mean = prior.mean + cov @ (X.T @ Vi @ y)
    return loglik, mean, cov


@pytest.mark.parametrize("name", list(GIVEN))
def test_the_marginal_likelihood_is_that_of_the_larger_covariance(name: str):
    spec, bound, likelihood = _bound(GIVEN[name])
    assert spec.x_names == ("Intercept", "x", "f[T.b]")
    made = marginals(likelihood, THETAS)
    found = made.loglik + bound.fixed.log_marginal(made.beta, made.root)
    expected = [_given_theta(spec, theta, bound.fixed)[0] for theta in THETAS]
    np.testing.assert_allclose(found, expected, **OBJECTIVE)


@pytest.mark.parametrize("name", list(GIVEN))
def test_the_target_of_the_sampler_has_it(name: str):
    spec, bound, likelihood = _bound(GIVEN[name])
    target = Target(spec, likelihood, bound)
    at = target.at(target.z(THETAS))
    prior = sum(p.logpdf(THETAS[:, [j]]) for j, p in enumerate(bound.terms))
    expected = [_given_theta(spec, theta, bound.fixed)[0] for theta in THETAS] + prior
    np.testing.assert_allclose(at.lp_par, expected, **OBJECTIVE)


@pytest.mark.parametrize("name", list(GIVEN))
def test_draws_of_beta_have_the_moments_of_the_conditional(name: str):
    spec, bound, likelihood = _bound(GIVEN[name])
    theta = THETAS[1]
    one = marginals(likelihood, theta[None])
    _, mean, cov = _given_theta(spec, theta, bound.fixed)
    np.testing.assert_allclose(bound.fixed.posterior_mean(one.beta, one.root)[0], mean, **OBJECTIVE)
    D = 20_000
    x = bound.fixed.draw(np.repeat(one.beta, D, axis=0), np.repeat(one.root, D, axis=0), np.random.default_rng(3))
    z = np.linalg.solve(np.linalg.cholesky(cov), (x - mean).T)
    assert np.abs(z.mean(axis=1)).max() < 4.5 / np.sqrt(D)
    for i in range(3):
        assert stats.kstest(z[i], "norm").pvalue > 1e-5
        for j in range(i):
            assert abs(np.mean(z[i] * z[j])) < 4.5 / np.sqrt(D)


def test_a_vague_prior_is_the_flat_one_and_a_sharp_one_fixes_the_coefficient():
    _, vague, likelihood = _bound(P.Normal(0, sd=1e6))
    made = marginals(likelihood, THETAS)
    np.testing.assert_allclose(vague.fixed.posterior_mean(made.beta, made.root), made.beta, rtol=1e-9, atol=1e-9)
    gap = np.ptp(vague.fixed.log_marginal(made.beta, made.root))
    assert gap < 1e-9
    _, sharp, _ = _bound({"x": P.Normal(0.123, sd=1e-7)})
    x = sharp.fixed.draw(made.beta, made.root, np.random.default_rng(1))
    np.testing.assert_allclose(x[:, 1], 0.123, rtol=0.0, atol=1e-6)


def test_the_log_density_is_scipys():
    _, bound, _ = _bound(GIVEN["all"])
    beta = np.random.default_rng(2).standard_normal((4, 3))
    expected = stats.multivariate_normal([1.0, 0.0, -1.0], B3).logpdf(beta)
    np.testing.assert_allclose(bound.fixed.logpdf(beta), expected, **OBJECTIVE)


def test_flat_for_all_is_no_prior_and_words_say_what_is_there():
    assert _bound(P.Flat())[1].fixed is None
    assert _bound({"x": P.Flat()})[1].fixed is None
    assert _bound(GIVEN["one"])[1].fixed.describe() == "normal, x: 0.3 ± 0.2; others flat"
    assert _bound(GIVEN["one sd"])[1].fixed.describe() == "normal, mean = 0.5, sd = 2"
