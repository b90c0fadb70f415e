"""One kernel and many responses: the profile against the likelihoods, its derivatives, rows taken out, its maximum."""

import numpy as np
import pytest

from mixedvc.covariance import Dense
from mixedvc.design.subset import take_rows
from mixedvc.estimators import ML, REML
from mixedvc.estimators.each import Panel
from mixedvc.estimators.each_share import grid_of
from mixedvc.likelihood.choose import choose
from mixedvc.likelihood.panel_coordinates import coordinates, without_rows
from mixedvc.likelihood.panel_profile import Profile, Share
from mixedvc.testing import assemble
from tests.tolerances import OBJECTIVE, PARAMETER


def kernel(n, rank, seed, families=None):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, rank))
    K = W @ W.T / rank
    if families is not None:
        K *= families[:, None] == families
    return K


def wide(n, seed):
    """A third of the spectrum at 3, a third at 3e-3, a third at 3e-6."""
    Q, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))
    return (Q * np.repeat([3.0, 3e-3, 3e-6], n // 3)) @ Q.T


def specification(kind, n=36, p=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array([f"i{j:02d}" for j in range(n)], dtype=object)
    K = {
        "whole": lambda: kernel(n, 2 * n, seed),
        "singular": lambda: kernel(n, 7, seed),
        "families": lambda: kernel(n, n, seed, np.repeat(np.arange(n // 3), 3)),
        "wide": lambda: wide(n, seed),
    }[kind]()
    term = assemble.term("id", rng.permutation(labels), covariance=Dense(K, labels))
    X = np.column_stack([np.ones(n), rng.standard_normal((n, 4))])[:, :p]
    y = rng.standard_normal(n)
    return assemble.spec(y, X, [term], weights=rng.uniform(0.3, 3.0, n), offset=rng.standard_normal(n))


KINDS = ("whole", "singular", "families")


@pytest.mark.parametrize("p", [0, 1, 3])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_ends_are_the_evaluation_of_the_dense_likelihood(kind, reml, p):
    spec = specification(kind, p=p)
    rng = np.random.default_rng(5)
    Y = rng.standard_normal((spec.n, 4)) * [1.0, 1e-3, 1e3, 1.0] + 2.0
    profile = Profile(coordinates(spec), reml)
    shares = Share(np.array([0.3, 0.02, 0.4, 0.0]), np.array([False, False, True, False]))
    Z, ols = profile.coordinates.responses(Y)
    ends = profile.ends(Z, ols, shares)
    dense = choose(spec, reml, name="dense")[0]
    for b, y in enumerate(Y.T):
        at = dense.with_response(y).at(ends.theta[b])
        np.testing.assert_allclose(ends.loglik[b], at.loglik, **OBJECTIVE)
        np.testing.assert_allclose(ends.beta[b], at.beta, **PARAMETER)
        np.testing.assert_allclose(ends.beta_cov[b], at.beta_cov, **OBJECTIVE)
        np.testing.assert_allclose(ends.expected[b], at.expected_information, **OBJECTIVE)
        np.testing.assert_allclose(ends.average[b], at.average_information, **OBJECTIVE)
        slopes = np.einsum("jpp->jp", at.beta_cov_gradient) if p else np.empty((2, 0))
        np.testing.assert_allclose(ends.beta_slopes[b], slopes, **OBJECTIVE)


@pytest.mark.parametrize("out", [0, 2])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", ["whole", "families", "singular"])
def test_slopes_and_curvatures_are_those_of_differences(kind, reml, out):
    spec = specification(kind)
    turned = coordinates(spec)
    if out and kind != "singular":
        at = np.arange(out, spec.n)
        spec = take_rows(spec, at)
        turned = without_rows(turned, spec, at)
    profile = Profile(turned, reml)
    Z, _ = turned.responses(np.random.default_rng(1).standard_normal((spec.n, 3)))
    k, upper, step = np.array([0.3, 0.45, 0.1]), np.array([False, True, True]), 1e-4

    def at_k(k):
        return profile.at(Z, Share(k, upper), value=True)

    here, after, before = at_k(k), at_k(k + step), at_k(k - step)
    np.testing.assert_allclose(here.first, (after.value - before.value) / (2 * step), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(here.second, (after.first - before.first) / (2 * step), rtol=1e-5, atol=1e-5)
    value, slope = profile.grid(Z, Share(k, upper))
    np.testing.assert_allclose(np.diagonal(value), here.value, **OBJECTIVE)
    np.testing.assert_allclose(np.diagonal(slope) * np.where(upper, -1.0, 1.0), here.first, **OBJECTIVE)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("kind", ["whole", "families"])
def test_rows_taken_out_leave_the_likelihood_of_the_others(kind, reml):
    spec = specification(kind)
    at = np.setdiff1d(np.arange(spec.n), [0, 5, 17, 18])
    part = take_rows(spec, at)
    Y = np.random.default_rng(2).standard_normal((part.n, 3))
    results = []
    for turned in (without_rows(coordinates(spec), part, at), coordinates(part)):
        profile = Profile(turned, reml)
        Z, ols = turned.responses(Y)
        # the two have kernels of different mean: one θ for both
        theta = np.array([0.7, 0.4])
        top = theta[0] * profile.scale
        ends = profile.ends(Z, ols, Share(np.full(3, top / (top + theta[1])), np.zeros(3, dtype=bool)))
        results.append(ends)
    for name in ("loglik", "theta", "beta", "beta_cov", "beta_slopes", "expected", "average"):
        np.testing.assert_allclose(getattr(results[0], name), getattr(results[1], name), **OBJECTIVE, err_msg=name)


def test_another_kernel_is_no_part_of_the_whole():
    spec = specification("whole")
    at = np.arange(4, spec.n)
    assert without_rows(coordinates(spec), take_rows(specification("whole", seed=1), at), at) is None


@pytest.mark.parametrize("estimator", [REML(), ML()])
@pytest.mark.parametrize("kind", [*KINDS, "wide"])
def test_no_share_is_better_than_the_one_found(kind, estimator):
    """Also where a profile has several maxima: parts of the spectrum that ask for different shares."""
    spec = specification(kind, seed=3)
    turned = coordinates(spec)
    panel = Panel(turned, estimator)
    rng = np.random.default_rng(4)
    size = np.choose(rng.integers(3, size=(len(turned.d), 300)), [0.05, 1.0, 8.0])
    if kind == "wide":  # the large part asks for a ratio around 1, the middle for one around 1e4
        part = np.digitize(turned.d, np.array([1e-4, 1e-1]))
        size = np.ones((len(part), 300))
        size[part == 1] = rng.uniform(2.0, 8.0, 300)
        size[part == 2] = rng.uniform(0.8, 3.0, 300)
    Z = rng.standard_normal(size.shape) * size
    Y = np.linalg.inv(turned.turn.into(np.eye(spec.n))) @ Z if kind != "singular" else rng.standard_normal((36, 300))
    Y = Y / turned.rows.scale[:, None] + spec.offset[:, None]
    fitted = panel.fit(Y)
    assert fitted.found.converged.all()
    Z, _ = turned.responses(Y)
    h = 1.0 / (1.0 + np.exp(-np.linspace(-16.0, 16.0, 1500)))
    value, slope = panel.profile.grid(
        Z, Share(np.append(0.0, np.where(h > 0.5, 1.0 - h, h)), np.append(False, h > 0.5))
    )
    several = ((slope[:-1] > 0) & (slope[1:] <= 0)).sum(axis=0) + (slope[0] < 0) > 1
    assert several.sum() >= 20 * (kind == "wide")  # otherwise this would show nothing
    assert (fitted.ends.loglik >= value.max(axis=0) + panel.profile.constant - 1e-8).all()
    if kind == "wide":  # where Newton from the moment estimate ends is not always the highest
        rough = np.argmax(value[:, several], axis=0)
        assert len(set(rough // 300)) > 1


def test_an_end_is_exactly_an_end():
    """Nothing of the kernel, or nothing but the kernel, in the response."""
    spec = specification("whole", p=1)
    turned = coordinates(spec)
    root = turned.turn.back(np.diag(np.sqrt(turned.d))) / turned.rows.scale[:, None]
    rng = np.random.default_rng(6)
    inverse = turned.turn.back(np.diag(1.0 / np.sqrt(turned.d))) / turned.rows.scale[:, None]
    Y = np.hstack([root @ rng.standard_normal((spec.n, 40)), inverse @ rng.standard_normal((spec.n, 40))])
    theta = Panel(turned, REML()).fit(Y + spec.offset[:, None]).ends.theta
    assert (theta[:40, 1] == 0.0).sum() >= 5
    assert (theta[40:, 0] == 0.0).sum() >= 30
    assert (theta >= 0.0).all()


def test_the_grid_reaches_both_ends_of_a_regular_kernel_and_one_of_a_singular_one():
    regular, singular = (grid_of(Profile(coordinates(specification(kind)), True)) for kind in ("whole", "singular"))
    assert (regular.top[0], regular.top[-1]) == (0.0, 1.0)
    assert singular.top[0] == 0.0
    assert 1.0 - singular.top[-1] > 0.0 or singular.low[-1] > 0.0
    for shares in (regular, singular):
        assert (np.diff(shares.top) >= 0.0).all()
