"""Slopes on covariates far from zero: every likelihood keeps the digits of the centred model's."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.likelihood import likelihoods
from mixedvc.likelihood.base import information_along
from mixedvc.likelihood.panel import with_responses
from mixedvc.likelihood.turned import TurnedEvaluation, TurnedLikelihood
from mixedvc.testing import problems
from mixedvc.testing.likelihood_checks import draw_checks, likelihood_checks

from ..tolerances import IDENTITY

YEAR = 2000.0
SAME = 1e-7
TURNING = ["dense", "reduced", "blocks"]
NAMES = [*TURNING, "grouped", "sparse"]
MOVE = np.array([[1.0, -YEAR], [0.0, 1.0]])  # effects at year 0 from those at 2000


@cache
def trend():
    """Thirty growth curves of eight rows, with weights."""
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(30), 8), rng.integers(-3, 4, 240).astype(float)
    w = rng.uniform(0.5, 2.0, 240)
    u = rng.multivariate_normal([0.0, 0.0], [[1.0, 0.2], [0.2, 0.3]], 30)
    y = 2.0 + 0.5 * x + u[g, 0] + u[g, 1] * x + rng.standard_normal(240) / np.sqrt(w)
    return pd.DataFrame({"y": y, "x": x, "year": YEAR + x, "g": [f"g{i}" for i in g], "w": w})


@cache
def fits(name):
    """The fits with x and with the year."""
    near = mv.fit("y ~ x + (1 + x | g)", trend(), weights="w", likelihood=name)
    return near, mv.fit("y ~ year + (1 + year | g)", trend(), weights="w", likelihood=name)


def moved(near, far):
    """θ of the year's model at the estimate of the centred one, and the matrix M that makes it."""
    columns = []
    for unit in np.eye(len(near.theta)):
        Sigma, residual = near.spec.sigmas(unit)
        columns.append(far.spec.theta([MOVE @ Sigma @ MOVE.T, residual]))
    M = np.array(columns).T
    return M @ near.theta, M


@pytest.mark.parametrize("name", NAMES)
def test_a_fit_on_years_is_the_fit_on_centred_years(name):
    near, far = fits(name)
    assert near.likelihood.name == far.likelihood.name == name
    assert far.converged
    theta, M = moved(near, far)
    np.testing.assert_allclose(far.llf, near.llf, rtol=1e-11)
    np.testing.assert_allclose(far.theta, theta, rtol=SAME)
    for kind in ("average", "expected", "observed"):
        want = M @ near.covariance(kind).theta @ M.T
        np.testing.assert_allclose(np.sqrt(np.diag(far.covariance(kind).theta)), np.sqrt(np.diag(want)), rtol=SAME)
    np.testing.assert_allclose(np.sqrt(far.evaluation.beta_cov[1, 1]), np.sqrt(near.evaluation.beta_cov[1, 1]), SAME)
    for df in ("satterthwaite", "kenward-roger"):
        np.testing.assert_allclose(far.df_fixed(df)[1], near.df_fixed(df)[1], rtol=2 * SAME)
    np.testing.assert_allclose(far.kenward_roger.cov[1, 1], near.kenward_roger.cov[1, 1], rtol=SAME)


@pytest.mark.parametrize("name", NAMES)
def test_effects_on_years_are_those_on_centred_years(name):
    near, far = fits(name)
    at, want = far.likelihood.at(moved(near, far)[0]), near.likelihood.at(near.theta)
    back = np.linalg.inv(MOVE)
    np.testing.assert_allclose(at.Py, want.Py, rtol=0, atol=SAME)
    np.testing.assert_allclose(at.blup(0) @ back.T, want.blup(0), rtol=0, atol=SAME)
    for known in (False, True):
        got = back @ at.prediction_cov(0, fixed_known=known) @ back.T
        np.testing.assert_allclose(got, want.prediction_cov(0, fixed_known=known), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_informations_along_directions_keep_the_digits_that_the_users_matrix_loses(name):
    near, far = fits(name)
    theta, M = moved(near, far)
    at, want = far.likelihood.at(theta), near.likelihood.at(near.theta)
    for kind in ("average", "expected", "observed"):
        exact = getattr(want, f"{kind}_information")
        size = np.sqrt(np.outer(*2 * [np.diag(want.expected_information)]))
        assert (np.abs(information_along(at, kind, M.T) - exact) < SAME * size).all()


def shifted(spec, by=60.0):
    """The covariates of every vector term that far from zero."""
    move = lambda term: replace(term, basis=term.basis + by * (np.arange(term.k) > 0))  # noqa: E731
    return replace(spec, terms=tuple(move(term) if term.k > 1 else term for term in spec.terms), source=None)


def serial():
    """Slopes of far covariates across series of correlated errors, with weights and an offset."""
    made = problems.problem("residual_autoregressive")
    data = made.data.assign(year=made.data["t"] + 60.0, off=0.1 * made.data["t"])
    return replace(made, formula="y ~ t + (1 + year | site)", data=data, offset="off").spec()


FAR = {
    "slopes": lambda: shifted(problems.bound("slopes")),
    "kinship_slopes": lambda: shifted(problems.bound("kinship_slopes")),
    "serial": serial,
}


@pytest.mark.parametrize("problem", FAR)
@pytest.mark.parametrize("name", NAMES)
def test_every_quantity_of_far_covariates_equals_brute_force(name, problem):
    kind, spec = likelihoods.get(name), FAR[problem]()
    if kind.cost(spec) is None:
        pytest.skip(f"the {name} likelihood says that it does not apply")
    assert isinstance(kind(spec), TurnedLikelihood) == (name in TURNING)
    assert likelihood_checks(kind, spec)
    draw_checks(kind, spec, draws=300, other_response=True)


def test_many_responses_and_single_precision_go_through_the_likelihood_inside(monkeypatch):
    near, far = fits("reduced")
    theta = moved(near, far)[0]
    Y = np.random.default_rng(1).standard_normal((240, 3))
    for one, y in zip(with_responses(far.likelihood, Y), Y.T, strict=True):
        assert isinstance(one, TurnedLikelihood)
        np.testing.assert_allclose(one.at(theta).loglik, far.likelihood.with_response(y).at(theta).loglik, **IDENTITY)
    assert far.likelihood.rough() is None
    monkeypatch.setattr("mixedvc.likelihood.dense._ROUGH_FROM", 10)
    rough = far.likelihood.rough()
    np.testing.assert_allclose(rough.at(theta).loglik, far.likelihood.at(theta).loglik, rtol=1e-4)
    assert rough.at(theta).loglik != far.likelihood.at(theta).loglik


@pytest.mark.parametrize("name", TURNING)
def test_likelihoods_of_ordinary_covariates_are_not_turned(name):
    kind = likelihoods.get(name)
    for problem in ("slopes", "slopes_uncorrelated", "one_way", "autoregressive"):
        if kind.cost(problems.bound(problem)) is not None:
            assert not isinstance(kind(problems.bound(problem)), TurnedLikelihood)
    held = shifted(problems.bound("slopes_uncorrelated"))  # without a covariance there is nothing to turn
    assert not isinstance(likelihoods.get("dense")(held), TurnedLikelihood)


def test_differences_of_the_sparse_score_are_taken_by_orthogonal_effects(monkeypatch):
    near, far = fits("sparse")
    monkeypatch.setattr("mixedvc.likelihood.sparse_mme._DIRECT", 10)
    theta, M = moved(near, far)
    at = likelihoods.get("sparse")(far.spec).at(theta)
    exact, size = near.likelihood.at(near.theta), np.sqrt(np.diag(near.evaluation.expected_information))
    for kind in ("observed", "expected"):
        want = getattr(exact, f"{kind}_information")
        assert (np.abs(information_along(at, kind, M.T) - want) < 1e-5 * np.outer(size, size)).all()


def test_the_sparse_likelihood_factors_v_in_orthogonal_effects_where_the_residual_vanishes(monkeypatch):
    near, far = fits("sparse")
    monkeypatch.setattr("mixedvc.likelihood.sparse_mme._REGULAR", 1e9)
    theta, M = moved(near, far)
    likelihood = likelihoods.get("sparse")(far.spec)
    at, want = likelihood.at(theta), near.likelihood.at(near.theta)
    assert type(at) is TurnedEvaluation
    np.testing.assert_allclose(at.loglik, want.loglik, rtol=1e-11)
    np.testing.assert_allclose(np.linalg.inv(MOVE) @ at.blup(0)[3], want.blup(0)[3], rtol=0, atol=SAME)
    size = np.sqrt(np.outer(*2 * [np.diag(want.expected_information)]))
    assert (np.abs(information_along(at, "observed", M.T) - want.observed_information) < SAME * size).all()
    y = np.random.default_rng(2).standard_normal(240)
    other = near.likelihood.with_response(y).at(near.theta)
    np.testing.assert_allclose(likelihood.with_response(y).at(theta).loglik, other.loglik, rtol=1e-11)
