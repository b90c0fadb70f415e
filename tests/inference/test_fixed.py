"""Fixed effects by least squares: their sandwich, and predictions whose errors know of it, by explicit algebra."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixedvc.estimators.admissible import admissible
from mixedvc.inference.fixed import LeastSquares, covariance_times
from mixedvc.inference.predict import prediction_variance, training_rows
from mixedvc.likelihood import choose
from mixedvc.testing import assemble, problems
from mixedvc.testing.brute import Brute
from mixedvc.testing.compare import close
from mixedvc.testing.thetas import interior
from tests.tolerances import IDENTITY, OBJECTIVE

NAMES = ["one_way_unbalanced", "crossed_weights_offset", "slopes", "families", "kinship_slopes", "twins"]


def both(name):
    """Our evaluation and the pieces of the textbook: L with β̂ = L y, and V."""
    spec = problems.bound(name)
    theta = interior(spec, np.random.default_rng(8))
    model = LeastSquares(spec, theta, lambda: choose(spec)[0].at(theta))
    w = np.ones(spec.n) if spec.weights is None else spec.weights
    L = np.linalg.inv(spec.X.T @ (w[:, None] * spec.X)) @ (spec.X.T * w)
    return spec, model, L, Brute(spec).at(theta)


@pytest.mark.parametrize("name", NAMES)
def test_coefficients_and_their_sandwich(name):
    spec, model, L, brute = both(name)
    close(model.beta, L @ spec.response, "beta", rtol=1e-9)
    cov = L @ brute.V @ L.T
    sd = np.sqrt(np.diag(cov))
    close(model.beta_cov, cov, "Cov(beta)", rtol=1e-9, scale=np.outer(sd, sd))
    moves = np.array([L @ V @ L.T for V in Brute(spec).patterns])
    close(model.beta_cov_gradient, moves, "gradient", rtol=1e-9, scale=np.abs(moves).max())


@pytest.mark.parametrize("name", NAMES)
def test_kernels_times_columns(name):
    spec = problems.bound(name)
    U = np.random.default_rng(0).standard_normal((spec.n, 3))
    want = np.array([V @ U for V in Brute(spec).patterns])
    close(covariance_times(spec, U), want, "V_j U", rtol=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_random_effects_and_their_errors_from_the_joint_covariance(name):
    """û = G Zᵀ V⁻¹ (I − X L) y is linear in (y, u): Var(û − u) by multiplying out."""
    spec, model, L, brute = both(name)
    residual_maker = np.eye(spec.n) - spec.X @ L
    close(model.Py, brute.Vinv @ residual_maker @ spec.response, "V⁻¹(y − Xb)", rtol=1e-8)
    for i, term in enumerate(spec.terms):
        G, Z = brute.effects_cov(i), brute.effects_design(i)
        B = G @ Z.T @ brute.Vinv @ residual_maker
        close(model.blup(i).ravel(), B @ spec.response, f"{name}: û of term {i}", rtol=1e-8)
        full = B @ brute.V @ B.T - B @ Z @ G - (B @ Z @ G).T + G
        k = term.k
        blocks = np.array([full[j : j + k, j : j + k] for j in range(0, term.q * k, k)])
        close(model.prediction_cov(i), blocks, f"{name}: PEV of term {i}", rtol=1e-7)
        known = brute.prediction_cov(i, fixed_known=True)
        close(model.prediction_cov(i, fixed_known=True), known, f"{name}: given β, term {i}", rtol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_prediction_variances_from_the_joint_covariance(name):
    """Error of x'b + Σ z'û as a guess of x'β + Σ z'u: both linear in the data, multiplied out."""
    spec, model, L, brute = both(name)
    w = np.ones(spec.n) if spec.weights is None else spec.weights
    C = brute.V - brute.theta[-1] * np.diag(1 / w)  # Cov(y, Σ Z u)
    maker = np.eye(spec.n) - spec.X @ L
    A = spec.X @ L + C @ brute.Vinv @ maker  # prediction = A y
    want = np.diag(A @ brute.V @ A.T - A @ C - (A @ C).T + C)
    got = prediction_variance(spec, model, training_rows(spec, range(len(spec.terms))))
    close(got, want, name, rtol=1e-7)


def test_what_takes_the_place_of_P_has_the_error_covariances_it_is_used_for():
    spec, model, L, brute = both("slopes")
    U = np.random.default_rng(1).standard_normal((spec.n, 2))
    VX = brute.Vinv @ spec.X
    want = brute.Vinv @ U - VX @ (L @ brute.V @ L.T) @ (VX.T @ U)
    close(model.project(U), want, "project", rtol=1e-8)
    close(model.solve(U), brute.Vinv @ U, "solve", rtol=1e-8)


def test_coefficients_need_no_inverse_of_V():
    spec = problems.bound("families")

    def never():
        raise AssertionError("V was factorised")

    model = LeastSquares(spec, interior(spec, np.random.default_rng(8)), never)
    assert np.isfinite(model.beta).all()
    assert np.isfinite(model.beta_cov).all()
    assert np.isfinite(model.beta_cov_gradient).all()


# ---- the nearest θ that exists -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_an_admissible_theta_stays_as_it_is(name):
    spec = problems.bound(name)
    theta = interior(spec, np.random.default_rng(8))
    assert admissible(spec, theta) is theta


def test_negative_variances_become_zero_and_matrices_the_nearest_covariance():
    spec = problems.bound("families")
    np.testing.assert_allclose(admissible(spec, np.array([0.5, -0.2, 0.3])), [0.5, 0.0, 0.3], **IDENTITY)
    slopes = problems.bound("slopes")
    got = admissible(slopes, np.array([1.0, 2.0, 1.0, 0.5]))  # eigenvalues 3 and −1 along (1, ±1)/√2
    np.testing.assert_allclose(got, [1.5, 1.5, 1.5, 0.5], **OBJECTIVE)


def test_a_residual_at_or_below_zero_keeps_a_millionth_of_the_response():
    spec = problems.bound("crossed_weights_offset")
    got = admissible(spec, np.array([1.0, 1.0, -0.5]))
    left = spec.response - spec.X @ np.linalg.lstsq(spec.X, spec.response, rcond=None)[0]
    squares = 1 / spec.weights
    np.testing.assert_allclose(got[-1], 1e-6 * (left**2 @ squares) / (squares @ squares), **OBJECTIVE)
    choose(spec)[0].at(got)  # V is positive definite


def test_each_sample_keeps_a_millionth_of_its_own_response():
    spec = problems.bound("two_samples")
    first = spec.residual.basis[:, 0] != 0
    y = np.where(first, 1e3 * spec.response, spec.response)
    spec = replace(spec, y=y, offset=None, source=None)
    got = admissible(spec, np.zeros(len(spec.index)))
    left = y - spec.X @ np.linalg.lstsq(spec.X, y, rcond=None)[0]
    squares = [spec.residual.basis[:, a] ** 2 for a in (0, 1)]
    want = [1e-6 * (left**2 @ s) / (s @ s) for s in squares]
    np.testing.assert_allclose(got[-2:], want, **OBJECTIVE)


def test_a_model_without_fixed_effects_is_admissible_too():
    spec = assemble.spec(np.arange(6.0), np.empty((6, 0)), [assemble.term("g", [0, 0, 1, 1, 2, 2])])
    np.testing.assert_allclose(admissible(spec, np.array([1.0, 0.0])), [1.0, 1e-6 * np.mean(spec.y**2)], **OBJECTIVE)
