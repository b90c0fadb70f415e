"""Randomised traces: right on average, and their stated Monte-Carlo error is the one they have."""

import numpy as np
import pytest

from mixedvc.errors import OptionError
from mixedvc.moments import Variant, choose_moments, moment_kinds
from mixedvc.testing import assemble, kernels, problems
from mixedvc.testing.moment_checks import VARIANTS, BruteMoments
from tests.tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE

SOME = ["two_kernels", "kinship_slopes", "crossed_weights_offset", "features", "pedigree"]


def probed(problem, probes=400, seed=0):
    spec = problems.bound(problem)
    return choose_moments(spec, trace="hutchinson", probes=probes, rng=np.random.default_rng(seed))


def z_scores(found, error, want, scale):
    """Deviations in Monte-Carlo errors where there is one; the rest must agree."""
    random = error > 1e-12 * scale
    assert np.all(np.abs(found - want)[~random] <= 1e-8 * scale[~random])
    return np.abs(found - want)[random] / error[random]


@pytest.mark.parametrize("problem", SOME)
def test_S_lies_within_its_stated_error(problem):
    moments, brute = probed(problem), BruteMoments(problems.bound(problem))
    scale = np.outer(brute.sizes, brute.sizes)
    for variant in VARIANTS:
        found = moments.equations(variant)
        np.testing.assert_allclose(found.S, found.probes.mean(axis=0), **IDENTITY)
        error = found.probes.std(axis=0, ddof=1) / np.sqrt(len(found.probes))
        assert z_scores(found.S, error, brute.S(variant), scale).max() < MONTE_CARLO


@pytest.mark.parametrize("problem", SOME)
def test_the_residual_row_of_S_is_exact(problem):
    spec = problems.bound(problem)
    moments, brute = probed(problem, probes=2), BruteMoments(spec)
    r = len(spec.index) - len(spec.residual.structure.pairs)
    for variant in VARIANTS:
        found = moments.equations(variant)
        np.testing.assert_allclose(found.S[r:], brute.S(variant)[r:], **OBJECTIVE)
        assert np.ptp(found.probes[:, r:], axis=0).max() == 0


@pytest.mark.parametrize("problem", SOME)
def test_the_covariance_of_q_lies_within_its_stated_error(problem):
    spec = problems.bound(problem)
    moments, brute = probed(problem, seed=1), BruteMoments(spec)
    theta = spec.theta([np.diag(np.linspace(1, 2, term.k)) for term in spec.all_terms])
    for variant in VARIANTS:
        found, error = moments.covariance(variant, theta)
        want = brute.covariance(variant, theta)
        np.testing.assert_allclose(found, found.T, **IDENTITY)
        scale = np.sqrt(np.outer(np.diag(want), np.diag(want)))
        assert z_scores(found, error, want, scale).max() < MONTE_CARLO
        assert (error < 0.3 * scale).all()


@pytest.mark.parametrize("problem", SOME)
def test_a_sandwich_from_probes_is_as_exact_as_its_middle(problem):
    """S⁻¹ cancels most of Cov(q); the probes' errors go together and cancel with it."""
    spec = problems.bound(problem)
    moments, brute = probed(problem, probes=100), BruteMoments(spec)
    theta = spec.theta([np.diag(np.linspace(1, 2, term.k)) for term in spec.all_terms])
    found, _ = moments.covariance(Variant(), theta)
    each = moments.covariance_probes
    np.testing.assert_allclose(each.mean(axis=0), found, **IDENTITY)
    gain = np.linalg.inv(brute.S(Variant()))
    want = np.diag(gain @ brute.covariance(Variant(), theta) @ gain)
    variances = np.einsum("ij,bjk,ik->bi", gain, each, gain)
    error = variances.std(axis=0, ddof=1) / np.sqrt(100)
    assert (np.abs(variances.mean(axis=0) - want) < MONTE_CARLO * error).all()
    assert (error < 0.15 * want).all()


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["two_kernels", "kinship_slopes"])
def test_the_stated_errors_are_the_spread_over_repetitions(problem):
    spec = problems.bound(problem)
    theta = spec.theta([np.diag(np.linspace(1, 2, term.k)) for term in spec.all_terms])
    variant, repetitions = Variant(entries="upper"), 500
    S, S_error, C, C_error = [], [], [], []
    for seed in range(repetitions):
        moments = probed(problem, probes=20, seed=seed)
        found = moments.equations(variant)
        S.append(found.S)
        S_error.append(found.probes.std(axis=0, ddof=1) / np.sqrt(20))
        value, error = moments.covariance(variant, theta)
        C.append(value)
        C_error.append(error)
    for values, errors in ((S, S_error), (C, C_error)):
        spread = np.std(values, axis=0, ddof=1)
        stated = np.sqrt(np.mean(np.square(errors), axis=0))
        random = spread > 1e-10 * np.abs(values).max()
        # a standard deviation from 500 values has a relative error of 3 % and more for long tails
        np.testing.assert_allclose(stated[random] / spread[random], 1.0, atol=0.2, rtol=0)
    brute = BruteMoments(spec)
    for values, want in ((S, brute.S(variant)), (C, brute.covariance(variant, theta))):
        error = np.std(values, axis=0, ddof=1) / np.sqrt(repetitions)
        assert (
            z_scores(np.mean(values, axis=0), error, want, np.abs(want).max() * np.ones_like(want)).max() < MONTE_CARLO
        )


def test_the_same_seed_gives_the_same_numbers_and_another_one_others():
    same = [probed("two_kernels", 10, seed).equations(Variant()).S for seed in (3, 3, 4)]
    np.testing.assert_array_equal(same[0], same[1])
    assert not np.allclose(same[0], same[2])
    spec = problems.bound("two_kernels")
    default = [choose_moments(spec, trace="hutchinson").equations(Variant()) for _ in range(2)]
    np.testing.assert_array_equal(default[0].S, default[1].S)
    assert len(default[0].probes) == 100


def test_many_probes_in_small_steps_are_the_same_probes(monkeypatch):
    from mixedvc.moments import exact

    spec = problems.bound("families")
    theta = np.array([1.0, 0.5, 2.0])
    first = probed("families", 30)
    whole = first.equations(Variant()).probes.mean(axis=0)
    monkeypatch.setattr(exact, "_COLUMN_BYTES", 8 * spec.n * 3 * 4)
    second = probed("families", 30)
    steps = second.equations(Variant()).probes
    assert len(steps) == 30
    # other signs, because they are drawn in smaller portions: equal within their error only
    error = steps.std(axis=0, ddof=1) / np.sqrt(30)
    assert (np.abs(steps.mean(axis=0) - whole) <= 6 * error + 1e-9).all()
    value, error = second.covariance(Variant(), theta)
    assert (np.abs(value - BruteMoments(spec).covariance(Variant(), theta)) < 6 * error).all()


def test_fewer_than_two_probes_are_refused():
    with pytest.raises(OptionError, match="probes must be at least 2"):
        moment_kinds.get("hutchinson")(problems.bound("one_way"), probes=1)


def test_an_intercept_variance_of_zero_does_not_silence_the_slopes():
    spec = problems.bound("slopes_uncorrelated")
    theta = np.array([0.0, 1.5, 0.3, 0.7])
    assert [spec.all_terms[where.term].name for where in spec.index][1] == spec.all_terms[0].name
    moments = probed("slopes_uncorrelated")
    found, error = moments.covariance(Variant(), theta)
    want = BruteMoments(spec).covariance(Variant(), theta)
    assert z_scores(found, error, want, np.abs(want).max() * np.ones_like(want)).max() < MONTE_CARLO
    U = np.eye(spec.n)[:, :4]
    V = np.tensordot(theta, np.array(BruteMoments(spec).V), axes=1)
    np.testing.assert_allclose(moments.operators.combine(theta, U), V @ U, **OBJECTIVE)


def test_probes_are_projected_off_many_fixed_effects():
    rng = np.random.default_rng(9)
    X, ids = rng.standard_normal((30, 14)), [f"i{i:02d}" for i in range(30)]
    B = np.hstack([rng.standard_normal((30, 34)), 4.0 * X])  # the kernel is largest along the fixed effects
    term = assemble.term("i", ids, covariance=kernels.known_dense(B @ B.T / 34, ids))
    spec = assemble.spec(rng.standard_normal(30), X, [term])
    moments = choose_moments(spec, trace="hutchinson", probes=600, rng=rng)
    brute, theta = BruteMoments(spec), np.array([1.0, 0.5])
    for variant in VARIANTS:
        found, error = moments.covariance(variant, theta)
        assert (np.abs(found - brute.covariance(variant, theta)) < MONTE_CARLO * error).all()
        probes = moments.equations(variant).probes
        error = probes.std(axis=0, ddof=1) / np.sqrt(600)
        assert np.abs(probes.mean(axis=0) - brute.S(variant))[0, 0] < MONTE_CARLO * error[0, 0]
