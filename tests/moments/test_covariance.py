"""Cov(q) of a Gaussian response: against simulation, and what happens where it would cost too much."""

import numpy as np
import pytest

from mixedvc.moments import choose_moments, factors, levels, moment_kinds, squared, squared_levels
from mixedvc.testing import assemble, kernels, problems
from mixedvc.testing.moment_checks import VARIANTS, BruteMoments, moment_checks
from tests.tolerances import MONTE_CARLO, OBJECTIVE, PARAMETER


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["kinship_slopes", "crossed_weights_offset", "twins"])
def test_it_is_the_covariance_of_q_over_simulated_responses(problem):
    spec, draws = problems.bound(problem), 20_000
    moments, brute, rng = choose_moments(spec), BruteMoments(spec), np.random.default_rng(5)
    sigmas = [np.diag(np.linspace(0.5, 1.5, term.k)) for term in spec.all_terms]
    for zero in (False, True):
        if zero:
            sigmas[0] = 0 * sigmas[0]
        theta = spec.theta(sigmas)
        values, vectors = np.linalg.eigh(np.tensordot(theta, np.array(brute.V), axes=1))
        Y = (vectors * np.sqrt(np.maximum(values, 0))) @ rng.standard_normal((spec.n, draws))
        Y += brute.X.sum(axis=1)[:, None]
        for variant in VARIANTS:
            q = moments.quadratic(variant, Y)
            q = q - q.mean(axis=1, keepdims=True)
            products = np.einsum("jd,kd->djk", q, q)
            want, error = moments.covariance(variant, theta)
            assert error is None
            z = (products.mean(axis=0) - want) / (products.std(axis=0, ddof=1) / np.sqrt(draws))
            assert np.abs(z).max() < MONTE_CARLO


@pytest.mark.parametrize("name", ["panels", "factors"])
def test_probes_take_over_where_exact_products_would_take_long_and_say_so(name, monkeypatch):
    monkeypatch.setattr(squared, "_MOST_CUBED", 1.0)
    monkeypatch.setattr(factors, "_MOST_LEVELS", 1)
    spec = problems.bound("two_kernels")
    moments, brute, theta = moment_kinds.get(name)(spec, probes=300), BruteMoments(spec), np.array([1.0, 0.5, 0.8])
    for variant in VARIANTS:
        found, error = moments.covariance(variant, theta)
        assert (np.abs(found - brute.covariance(variant, theta)) < 5 * error).all()
    assert moments.fallback == "products of 26×26 matrices would take long"
    assert moments.covariance_probes.shape == (300, 3, 3)
    # the equations stay exact
    np.testing.assert_allclose(moments.equations(VARIANTS[0]).S, brute.S(VARIANTS[0]), **OBJECTIVE)


def test_probes_take_over_where_memory_is_short(monkeypatch):
    spec = problems.bound("two_kernels")
    monkeypatch.setattr(squared, "available_bytes", lambda: 10_000)
    moments = moment_kinds.get("panels")(spec)
    _, error = moments.covariance(VARIANTS[0], np.ones(3))
    assert error is not None
    assert moments.fallback == "products of 26×26 matrices need 0.0 GiB"


@pytest.mark.parametrize(
    "problem", ["two_kernels", "kinship_slopes", "clones", "features", "pedigree", "sparse_blocks"]
)
@pytest.mark.parametrize("name", ["panels", "factors"])
def test_matrices_met_in_many_blocks_give_the_same(name, problem, monkeypatch):
    for module in (squared, squared_levels, levels):
        monkeypatch.setattr(module, "_BLOCK", 7)
    assert len(moment_checks(moment_kinds.get(name), [problems.bound(problem)])) > 30


def test_features_too_large_to_keep_are_read_again_for_every_product(monkeypatch):
    monkeypatch.setattr(levels, "_KEPT_BYTES", 0)
    monkeypatch.setattr("mixedvc.covariance.features.CHUNK_BYTES", 8 * 30 * 2, raising=False)
    spec = problems.bound("features")
    assert len(list(factors.FactorMoments(spec).levels[0].columns())) > 2
    assert len(moment_checks(moment_kinds.get("factors"), [spec])) > 30


@pytest.mark.parametrize("name", ["panels", "factors"])
def test_a_constant_added_to_a_kernel_changes_no_projected_number(name):
    rng = np.random.default_rng(2)
    ids = [f"i{i:02d}" for i in range(20)]
    B = rng.standard_normal((20, 24))
    y, X = rng.standard_normal(20), np.column_stack([np.ones(20), rng.standard_normal(20)])
    found = []
    for constant in (0.0, 1000.0):
        K = kernels.known_dense(B @ B.T / 24 + constant, ids)
        moments = moment_kinds.get(name)(assemble.spec(y, X, [assemble.term("i", ids, covariance=K)]))
        parts = [(moments.equations(v), moments.covariance(v, np.array([1.0, 0.5]))[0]) for v in VARIANTS[:2]]
        found.append([array for equations, C in parts for array in (equations.S, equations.q, C)])
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, **PARAMETER)


def test_a_large_mean_of_the_response_is_taken_out_to_the_last_digit():
    """What the first projection leaves of it would be magnified by a kernel with a large constant."""
    rng = np.random.default_rng(2)
    ids = [f"i{i:02d}" for i in range(20)]
    K = kernels.known_dense(np.eye(20) + 1e8, ids)
    spec = assemble.spec(rng.standard_normal(20), np.ones((20, 1)), [assemble.term("i", ids, covariance=K)])
    Y = np.round(rng.standard_normal((20, 30)), 3)
    small, large = (choose_moments(spec).quadratic(VARIANTS[0], Y + mean) for mean in (0.0, 1e10))
    np.testing.assert_allclose(large, small, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", ["panels", "factors", "blocks"])
def test_without_random_terms_the_residual_has_the_variance_of_a_chi_square(name):
    spec = assemble.spec(np.arange(9.0) ** 2, np.column_stack([np.ones(9), np.arange(9.0)]), [])
    moments = moment_kinds.get(name)(spec)
    found, _ = moments.covariance(VARIANTS[0], np.array([3.0]))
    np.testing.assert_allclose(found, [[2 * 3.0**2 * 7]], **OBJECTIVE)
    np.testing.assert_allclose(moments.equations(VARIANTS[0]).S, [[7.0]], **OBJECTIVE)
