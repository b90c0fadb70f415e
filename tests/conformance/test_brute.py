"""The brute force itself, against definitions written by others and against finite differences."""

import numpy as np
import pytest
from scipy import stats

from mixedvc.testing import assemble, thetas
from mixedvc.testing.brute import Brute
from mixedvc.testing.likelihood_checks import finite_difference_score, likelihood_checks
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER


def two_terms(weights=None, offset=None):
    rng = np.random.default_rng(3)
    n = 24
    x = rng.standard_normal(n)
    terms = [
        assemble.term("id", np.repeat(np.arange(6), 4), basis=np.column_stack([np.ones(n), x])),
        assemble.term("block", np.tile(["a", "b", "c", "d"], 6)),
    ]
    return assemble.spec(
        rng.standard_normal(n) + x, np.column_stack([np.ones(n), x]), terms, weights=weights, offset=offset
    )


@pytest.fixture
def evaluations():
    rng = np.random.default_rng(0)
    spec = two_terms(weights=rng.uniform(0.5, 2, 24), offset=rng.standard_normal(24))
    theta = thetas.interior(spec, rng)
    return [Brute(spec, reml).at(theta) for reml in (True, False)]


def test_the_ml_log_likelihood_is_the_multivariate_normal_density(evaluations):
    ml = evaluations[1]
    spec = ml.model.spec
    density = stats.multivariate_normal(spec.X @ ml.beta, ml.V).logpdf(spec.response)
    np.testing.assert_allclose(ml.loglik, density, **OBJECTIVE)


def test_the_reml_log_likelihood_is_the_density_of_error_contrasts(evaluations):
    reml = evaluations[0]
    spec = reml.model.spec
    K = np.linalg.svd(spec.X)[0][:, spec.p :]  # orthonormal contrasts: their density lacks ½ log|XᵀX|
    density = stats.multivariate_normal(np.zeros(spec.n - spec.p), K.T @ reml.V @ K).logpdf(K.T @ spec.response)
    constant = 0.5 * np.linalg.slogdet(spec.X.T @ spec.X)[1]
    np.testing.assert_allclose(reml.loglik, density - constant, **OBJECTIVE)


def test_v_is_the_covariance_of_simulated_terms_entry_by_entry(evaluations):
    spec, V = evaluations[0].model.spec, evaluations[0].V
    sigmas = spec.sigmas(evaluations[0].theta)
    for row, other in [(0, 0), (0, 1), (0, 4), (2, 3), (5, 9)]:
        by_hand = 0.0
        for term, Sigma in zip(spec.terms, sigmas, strict=False):
            if term.codes[row] == term.codes[other]:
                by_hand += term.basis[row] @ Sigma @ term.basis[other]
        by_hand += sigmas[-1][0, 0] / spec.weights[row] if row == other else 0.0
        np.testing.assert_allclose(V[row, other], by_hand, **IDENTITY)


def test_blup_and_pev_solve_hendersons_mixed_model_equations(evaluations):
    reml = evaluations[0]
    spec = reml.model.spec
    Z = np.hstack([reml.effects_design(0), reml.effects_design(1)])
    G = np.zeros((Z.shape[1],) * 2)
    G[:12, :12], G[12:, 12:] = reml.effects_cov(0), reml.effects_cov(1)
    Rinv = np.diag(spec.weights / reml.theta[-1])
    W = np.hstack([spec.X, Z])
    C = W.T @ Rinv @ W
    C[spec.p :, spec.p :] += np.linalg.inv(G)
    solution = np.linalg.solve(C, W.T @ Rinv @ spec.response)
    inverse = np.linalg.inv(C)
    np.testing.assert_allclose(solution[: spec.p], reml.beta, **OBJECTIVE)
    np.testing.assert_allclose(solution[spec.p :][:12].reshape(6, 2), reml.blup(0), **OBJECTIVE)
    np.testing.assert_allclose(inverse[spec.p :, spec.p :][:12, :12], reml.prediction_cov_full(0), **OBJECTIVE)
    mean, cov = reml.joint_posterior()
    np.testing.assert_allclose(mean, solution, **OBJECTIVE)
    np.testing.assert_allclose(cov, inverse, **OBJECTIVE)
    known = np.linalg.inv(C[spec.p :, spec.p :])
    np.testing.assert_allclose(known[:12, :12], reml.prediction_cov_full(0, fixed_known=True), **OBJECTIVE)


def test_score_and_observed_information_are_derivatives(evaluations):
    for evaluation in evaluations:
        finite_difference_score(evaluation.model, evaluation.theta, "brute")


def test_the_gradient_of_beta_cov_is_a_derivative(evaluations):
    at = evaluations[0]
    for j, gradient in enumerate(at.beta_cov_gradient):
        step = 1e-5 * np.eye(len(at.theta))[j]
        up, down = at.model.at(at.theta + step).beta_cov, at.model.at(at.theta - step).beta_cov
        np.testing.assert_allclose(gradient, (up - down) / 2e-5, rtol=PARAMETER["rtol"], atol=1e-7)


def test_average_and_expected_information_agree_in_the_mean():
    spec = two_terms()
    brute = Brute(spec, True)
    theta = thetas.interior(spec, np.random.default_rng(1))
    root = np.linalg.cholesky(brute.at(theta).V)
    rng = np.random.default_rng(2)
    draws = [brute.with_response(root @ rng.standard_normal(spec.n)).at(theta) for _ in range(400)]
    for name in ("score", "average_information"):
        values = np.array([getattr(d, name) for d in draws])
        expected = 0.0 if name == "score" else draws[0].expected_information
        z = (values.mean(axis=0) - expected) / (values.std(axis=0) / np.sqrt(len(draws)))
        assert np.abs(z).max() < 4, name


class BruteKind:
    name = "brute"

    def cost(self, spec):
        return 1.0

    def __call__(self, spec, *, reml=True):
        return Brute(spec, reml)


def test_brute_force_passes_its_own_checks():
    done = likelihood_checks(BruteKind(), two_terms())
    assert len(done) > 20


class Wrong:
    """Brute force with one number changed by a factor."""

    def __init__(self, inner, name, factor):
        self._inner, self._name, self._factor = inner, name, factor

    def __getattr__(self, name):
        value = getattr(self._inner, name)
        if name == "at":
            return lambda theta: Wrong(value(theta), self._name, self._factor)
        if name == self._name:
            return (lambda *a, **k: self._factor * value(*a, **k)) if callable(value) else self._factor * value
        return value


@pytest.mark.parametrize(
    "name",
    [
        *(
            "loglik",
            "beta",
            "beta_cov",
            "Py",
            "quad",
            "trace",
            "score",
            "cross_trace",
            "cross_quad",
            "beta_cov_gradient",
        ),
        *("average_information", "expected_information", "observed_information"),
        *("solve", "project", "blup", "prediction_cov", "moments"),
    ],
)
def test_a_planted_error_in_any_quantity_is_caught(name):
    class Kind(BruteKind):
        def __call__(self, spec, *, reml=True):
            inner = Brute(spec, reml)
            if name == "moments":
                S, q = inner.moments()
                inner = Wrong(inner, "", 1.0)
                inner.moments = lambda: (S, q * (1 + 1e-6))
                return inner
            return Wrong(inner, name, 1 + 1e-6)

    with pytest.raises(AssertionError, match=name.replace("moments", "moment equations")):
        likelihood_checks(Kind(), assemble.one_way(4, 3))
