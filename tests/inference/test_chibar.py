"""Mixtures of chi-squares: closed forms, projections onto cones, and their agreement with each other."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize, stats

from mixedvc.inference.chibar import Cone, known_weights, project, simulate, tail, upper
from tests.tolerances import MONTE_CARLO, OBJECTIVE

RNG = np.random.default_rng(0)


def covariance(d, seed=1):
    root = np.random.default_rng(seed).standard_normal((d, d + 2))
    return root @ root.T


def test_one_variance_beside_k_minus_one_covariances():
    """Stram & Lee (1994): k effects against k − 1."""
    for extra in (0, 1, 2):
        found = tail(3.0, Cone((1,), extra), 0, RNG)
        below = stats.chi2.sf(3.0, extra) if extra else 0.0
        assert_allclose(found.p, 0.5 * below + 0.5 * stats.chi2.sf(3.0, extra + 1), **OBJECTIVE)
        assert found.law == f"mixture 1/2 chi-square({extra}) + 1/2 chi-square({extra + 1})"
        assert found.error == 0
    assert tail(0.0, Cone((1,)), 0, RNG).p == 1.0
    plain = tail(3.0, Cone((), 2), 0, RNG)
    assert_allclose(plain.p, stats.chi2.sf(3.0, 2), **OBJECTIVE)
    assert plain.law == "chi-square(2)"


def test_two_variances_weigh_by_their_correlation():
    assert known_weights(Cone((1, 1), 0, np.diag([2.0, 5.0]))) == pytest.approx((0.25, 0.5, 0.25))
    C = np.array([[2.0, 1.0], [1.0, 1.0]])
    z = np.random.default_rng(2).standard_normal((400_000, 2)) @ np.linalg.cholesky(C).T
    both = (z > 0).all(axis=1).mean()
    assert abs(known_weights(Cone((1, 1), 0, C))[2] - both) < MONTE_CARLO * 0.5 / np.sqrt(400_000)


def agrees(draws, p):
    for x in (0.5, 2.0, 4.0, 7.0):
        want = p(x)
        assert abs((draws >= x).mean() - want) < MONTE_CARLO * np.sqrt(want * (1 - want) / len(draws))


def test_simulated_mixtures_agree_with_closed_ones():
    C = np.array([[2.0, 0.9], [0.9, 1.0]])
    cone = Cone((1, 1), 1, C)
    agrees(simulate(cone, 100_000, np.random.default_rng(3)), lambda x: tail(x, cone, 0, RNG).p)
    # the 2×2 positive semi-definite matrices with the Frobenius metric: a circular cone of half-angle 45°
    w3 = 0.5 * (1 - np.sqrt(0.5))
    weights = (w3, 0.5 - w3, 0.5 - w3, w3)
    draws = simulate(Cone((2,), 0, np.diag([1.0, 0.5, 1.0])), 100_000, np.random.default_rng(4))
    agrees(draws, lambda x: sum(w * upper(x, j) for j, w in enumerate(weights)))
    # independent blocks add up
    blocks = simulate(Cone((1, 1, 1), 0, np.diag([1.0, 4.0, 9.0])), 100_000, np.random.default_rng(5))
    agrees(blocks, lambda x: sum(w * upper(x, j) for j, w in enumerate((0.125, 0.375, 0.375, 0.125))))


def test_the_scale_of_the_covariance_does_not_matter():
    C = covariance(3)
    one, two = (simulate(Cone((2,), 1, c * C), 500, np.random.default_rng(6)) for c in (1.0, 1e6))
    assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("blocks", [(2,), (1, 2), (3,), (1, 1, 1)])
def test_projections_satisfy_the_conditions_of_a_nearest_point(blocks):
    d = Cone(blocks).size
    C = covariance(d, seed=7)
    W = np.linalg.inv(C)
    z = np.random.default_rng(8).standard_normal((200, d)) @ np.linalg.cholesky(C).T
    c = project(blocks, W, z)
    gradient = (z - c) @ W
    size = np.einsum("bi,ij,bj->b", z, W, z).max()
    assert np.abs(np.einsum("bi,bi->b", gradient, c)).max() < 1e-5 * size  # orthogonal at the nearest point
    at = 0
    for r in blocks:
        pairs = [(a, b) for a in range(r) for b in range(a, r)]
        for own, slope in zip(c[:, at : at + len(pairs)], gradient[:, at : at + len(pairs)], strict=True):
            Sigma, G = np.zeros((r, r)), np.zeros((r, r))
            for value, g, (a, b) in zip(own, slope, pairs, strict=True):
                Sigma[a, b] = Sigma[b, a] = value
                G[a, b] = G[b, a] = g if a == b else g / 2
            assert np.linalg.eigvalsh(Sigma)[0] > -1e-6
            assert np.linalg.eigvalsh(G)[-1] < 1e-4 * size  # nothing of the cone lies that way
        at += len(pairs)


def test_projections_are_as_near_as_a_general_optimiser_comes():
    C = covariance(3, seed=9)
    W = np.linalg.inv(C)
    z = np.random.default_rng(10).standard_normal((8, 3)) @ np.linalg.cholesky(C).T
    c = project((2,), W, z)

    def distance(b, at):
        v = at - np.array([b[0] ** 2, b[0] * b[1], b[1] ** 2 + b[2] ** 2])
        return v @ W @ v

    starts = np.random.default_rng(11).standard_normal((5, 3))
    for own, at in zip(c, z, strict=True):
        best = min(optimize.minimize(distance, b, args=(at,), tol=1e-12).fun for b in starts)
        assert_allclose((at - own) @ W @ (at - own), best, rtol=1e-5, atol=1e-8)


def test_a_simulated_tail_tells_its_error():
    found = tail(4.0, Cone((2,), 0, covariance(3)), 5000, np.random.default_rng(12))
    assert_allclose(found.error, np.sqrt(found.p * (1 - found.p) / 5000), **OBJECTIVE)
    assert "simulated (chi-bar-square; blocks 2×2; 3 parameters)" in found.law
    assert tail(0.0, Cone((2,), 0, covariance(3)), 500, RNG).p == 1.0
