"""Mixtures of t distributions, their fit, and what importance weights say of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mixedvc.sampling.proposal import Proposal, fitted, one_component, resampled
from mixedvc.sampling.proposal_weights import (
    acceptance_at,
    expected_acceptance,
    expected_efficiency,
    pareto_k,
    truncated,
)
from tests.tolerances import IDENTITY, OBJECTIVE


def mixture() -> Proposal:
    roots = np.array([[[1.0, 0.0], [0.5, 0.8]], [[0.4, 0.0], [-0.2, 1.5]]])
    return Proposal(np.array([0.7, 0.3]), np.array([[0.0, 1.0], [3.0, -1.0]]), roots, np.array([5.0, 3.0]))


def test_the_density_of_a_mixture_is_that_of_its_multivariate_t_components():
    q, z = mixture(), np.random.default_rng(0).normal(size=(20, 2)) * 3
    parts = [
        w * stats.multivariate_t(m, r @ r.T, df=df).pdf(z)
        for w, m, r, df in zip(q.weights, q.means, q.roots, q.dfs, strict=True)
    ]
    np.testing.assert_allclose(q.logpdf(z), np.log(sum(parts)), **OBJECTIVE)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9, 0.99])
def test_draws_of_a_component_have_its_degrees_of_freedom(level):
    """Squared distances over d are F(d, df): the tails of draws are those of the density."""
    q = one_component(np.array([1.0, 2.0]), np.array([[2.0, 0.0], [1.0, 0.5]]), 4.0)
    z = q.draw(np.random.default_rng(1), 40_000)
    distance = np.square(np.linalg.solve(q.roots[0], (z - q.means[0]).T)).sum(axis=0) / 2.0
    share = (distance <= stats.f.ppf(level, 2, 4)).mean()
    assert abs(share - level) < 4.5 * np.sqrt(level * (1 - level) / 40_000)


def test_draws_of_a_mixture_have_its_density():
    """E_q[f / q] = 1 for any density f that q covers, and E over parts of the plane as f has them."""
    q, f = mixture(), stats.multivariate_normal([1.0, 0.0], [[2.0, 0.5], [0.5, 1.0]])
    z = q.draw(np.random.default_rng(2), 40_000)
    w = np.exp(f.logpdf(z) - q.logpdf(z))
    for values, want in ((w, 1.0), (w * (z[:, 0] < 1.0), 0.5), (w * (z[:, 1] < 0.0), 0.5)):
        assert abs(values.mean() - want) < 4.5 * values.std() / np.sqrt(len(values))


def test_a_fit_to_weighted_points_finds_both_modes():
    rng = np.random.default_rng(3)
    z = rng.uniform(-8, 8, size=(6000, 2))
    first, second = (
        stats.multivariate_normal([-3, 0], 0.5 * np.eye(2)),
        stats.multivariate_normal([3, 1], 0.3 * np.eye(2)),
    )
    w = 0.25 * first.pdf(z) + 0.75 * second.pdf(z)
    q = fitted(z, w / w.sum(), one_component(np.zeros(2), 1.5 * np.eye(2), 5.0), 3, rng)
    near = q.weights[np.square(q.means - [3, 1]).sum(axis=1) < 1.0].sum()
    assert near == pytest.approx(0.75, abs=0.06)
    x = np.vstack([first.rvs(500, random_state=rng), second.rvs(1500, random_state=rng)])
    truth = np.log(0.25 * first.pdf(x) + 0.75 * second.pdf(x))
    assert (truth - q.logpdf(x)).mean() < 0.2  # nats of relative entropy


def test_resampling_keeps_what_weights_say():
    rng = np.random.default_rng(4)
    z, w = rng.normal(size=(5000, 1)), rng.exponential(size=5000)
    w /= w.sum()
    points, weights = resampled(z, w, 1000, rng)
    assert weights.sum() == pytest.approx(1.0)
    assert abs(weights @ points[:, 0] - w @ z[:, 0]) < 4.5 / np.sqrt(1000)


@pytest.mark.parametrize("shape", [0.2, 0.5, 0.9])
def test_pareto_k_is_the_shape_of_the_weights_tail(shape):
    x = 1.0 + stats.genpareto(shape).rvs(20_000, random_state=np.random.default_rng(5))
    assert pareto_k(np.log(x)) == pytest.approx(shape, abs=0.25)


def test_pareto_k_of_few_weights_is_infinite_and_of_equal_ones_low():
    assert pareto_k(np.zeros(10)) == np.inf
    assert pareto_k(np.zeros(500)) < 0.0


def test_expected_acceptance_is_that_of_all_pairs():
    log = np.append(np.random.default_rng(6).normal(size=60), [-np.inf, -np.inf])
    w = np.exp(log)
    pairs = np.minimum(w[:, None], w)[~np.eye(len(w), dtype=bool)]
    np.testing.assert_allclose(expected_acceptance(log), pairs.mean() / w.mean(), **OBJECTIVE)


def test_acceptance_at_a_point_is_the_mean_over_proposals():
    log, points = np.append(np.random.default_rng(7).normal(size=50), -np.inf), np.array([-1.0, 0.0, 4.0])
    want = np.minimum(1.0, np.exp(log[None] - points[:, None])).mean(axis=1)
    np.testing.assert_allclose(acceptance_at(log, points), want, **OBJECTIVE)


def test_expected_efficiency_is_one_over_the_autocorrelation_time_of_a_chain():
    """Independence chains with normal target and t proposal: the inverse of the lag sums of a long chain."""
    rng = np.random.default_rng(8)
    q = one_component(np.zeros(1), 1.3 * np.eye(1), 4.0)
    z = q.draw(rng, 60_000)
    weight = stats.norm.logpdf(z[:, 0]) - q.logpdf(z)
    at, chain = 0, np.empty(len(z))
    dice = np.log(rng.random(len(z)))
    for i in range(len(z)):
        at = i if dice[i] < weight[i] - weight[at] else at
        chain[i] = z[at, 0]
    batches = chain.reshape(-1, 100).mean(axis=1)
    efficiency = chain.var() / (100.0 * batches.var())
    assert expected_efficiency(weight) == pytest.approx(efficiency, rel=0.2)
    assert expected_efficiency(weight, stats.norm.logpdf(0.0) * np.ones(5) - q.logpdf(np.zeros((5, 1)))) > 0.0


def test_truncated_weights_sum_to_one_and_none_rules():
    w = truncated(np.append(np.zeros(99), 30.0))
    np.testing.assert_allclose(w.sum(), 1.0, **IDENTITY)
    assert w[-1] < 0.6
