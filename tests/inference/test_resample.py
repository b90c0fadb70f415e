"""Responses for a bootstrap: their mean and covariance are those of the fitted model, whichever way they are made."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.covariance import Dense
from mixedvc.errors import OptionError
from mixedvc.inference.resample import _levels, inflation, resampler
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute
from tests.inference import cases
from tests.tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE


def relatives():
    spec = cases.relatives()
    return spec, cases.by_likelihood(spec, cases.RELATIVES_PAR)


def far(found, expected, error):
    """Largest |z| of the differences."""
    return float(np.max(np.abs(found - expected) / np.maximum(error, 1e-12)))


def check_moments(Y, mean, V):
    """Mean and covariance of the columns of Y, within their Monte-Carlo errors."""
    count = Y.shape[1]
    assert far(Y.mean(axis=1), mean, np.sqrt(np.diagonal(V) / count)) < MONTE_CARLO + 0.5  # the largest of many
    centred = Y - mean[:, None]
    found = centred @ centred.T / count
    error = np.sqrt((V**2 + np.outer(np.diagonal(V), np.diagonal(V))) / count)
    assert far(found, V, error) < MONTE_CARLO + 1.0


def test_parametric_responses_have_the_mean_and_covariance_of_the_model():
    spec, fit = relatives()
    draws = resampler(spec, fit.evaluation, "parametric", "new").draw(np.random.default_rng(1), 20_000)
    mean = spec.X @ np.asarray(fit.evaluation.beta) + spec.offset
    check_moments(draws, mean, Brute(spec).at(fit.theta).V)


def test_responses_around_the_predictions_vary_by_the_residual_alone():
    spec, fit = relatives()
    draws = resampler(spec, fit.evaluation, "parametric", "fitted").draw(np.random.default_rng(2), 20_000)
    V = np.diag(spec.residual_variances(fit.theta))
    count = draws.shape[1]
    assert far(draws.mean(axis=1), fit.fittedvalues.to_numpy(), np.sqrt(np.diagonal(V) / count)) < MONTE_CARLO
    assert far(draws.var(axis=1), np.diagonal(V), np.diagonal(V) * np.sqrt(2 / count)) < MONTE_CARLO
    kept = resampler(spec, fit.evaluation, "residual", "fitted").draw(np.random.default_rng(2), 20_000)
    assert far(kept.mean(axis=1), fit.fittedvalues.to_numpy(), np.sqrt(np.diagonal(V) / count)) < MONTE_CARLO + 0.5
    assert_allclose(kept.var(axis=1), np.diagonal(V), rtol=0.1, atol=0)


def test_resampled_residuals_and_effects_have_the_covariance_of_the_model():
    spec, fit = relatives()
    draws = resampler(spec, fit.evaluation, "residual", "new").draw(np.random.default_rng(3), 40_000)
    mean, V = spec.X @ np.asarray(fit.evaluation.beta) + spec.offset, Brute(spec).at(fit.theta).V
    centred = draws - mean[:, None]
    found = centred @ centred.T / draws.shape[1]
    # whitened effects of a known covariance are not centred: their mean is part of the draws' second moment
    assert_allclose(np.diagonal(found), np.diagonal(V), rtol=0.06, atol=0)
    unlike = np.abs(found - V).max() / np.diagonal(V).max()
    assert unlike < 0.06


def test_blups_are_spread_out_to_the_estimated_covariance():
    rng = np.random.default_rng(4)
    root = rng.standard_normal((3, 3))
    S, Sigma = root @ root.T, np.diag([3.0, 1.0, 2.0]) + 0.5
    T = inflation(S, Sigma)
    sd = np.sqrt(np.diagonal(S))
    own = T * sd[:, None] / sd
    assert_allclose(own, own.T, rtol=1e-9, atol=1e-9)
    assert np.linalg.eigvalsh(own)[0] > 0
    assert_allclose(T.T @ S @ T, Sigma, **OBJECTIVE)
    assert_allclose(inflation(Sigma, Sigma), np.eye(3), rtol=0, atol=1e-10)
    units = np.array([1.0, 1e-4, 1e3])  # a slope in other units is the same slope
    scaled = inflation(S * units * units[:, None], Sigma * units * units[:, None])
    assert_allclose(scaled, T / units[:, None] * units, rtol=1e-8, atol=0)
    edge = np.outer([1.0, 2.0], [1.0, 2.0])  # a singular Σ and BLUPs on its line
    T = inflation(0.25 * edge, edge)
    assert_allclose(T.T @ (0.25 * edge) @ T, edge, **OBJECTIVE)
    far = np.array([[2000.0**2 + 1.0, -2000.0], [-2000.0, 1.0]])  # intercept and slope of a year
    T, year = inflation(0.5 * far, far), np.array([1.0, 2000.0])
    assert_allclose(year @ T.T @ (0.5 * far) @ T @ year, year @ far @ year, rtol=0.05, atol=0)  # 1, of terms of 4e6


def test_only_values_that_were_seen_are_resampled():
    spec = assemble.one_way(6, 5, seed=3)
    fit = cases.fitted(spec)
    draws = resampler(spec, fit.evaluation, "residual", "new").draw(np.random.default_rng(5), 200)
    u = np.asarray(fit.evaluation.blup(0))[:, 0]
    u = (u - u.mean()) / u.std() * np.sqrt(fit.theta[0])
    e = fit.resid_values - fit.resid_values.mean()
    e = e / e.std() * np.sqrt(fit.theta[1])
    possible = (fit.params.iloc[0] + u[:, None] + e).ravel()
    nearest = np.abs(draws.ravel()[:, None] - possible).min(axis=1)
    assert nearest.max() < 1e-9


@pytest.mark.filterwarnings("ignore::mixedvc.errors.CovarianceWarning")
def test_blups_are_centred_and_whitened_before_they_are_drawn():
    rng = np.random.default_rng(8)
    names = np.array([f"i{j:02d}" for j in range(40)], dtype=object)
    size = np.linspace(0.5, 4.0, 40)
    u = (5.0 + rng.standard_normal(40)) * size
    diagonal = assemble.term("k", names, covariance=Dense(np.diag(size**2), list(names)))
    draws = _levels(diagonal, np.eye(1) * 2.0, u[:, None])(rng, 4000)[:, 0]
    assert_allclose(draws.std(axis=1), np.sqrt(2.0) * size, rtol=0.1, atol=0)
    assert np.abs(draws.mean(axis=1) / size).max() < 0.15
    white = u / size - np.mean(u / size)
    possible = white / white.std() * np.sqrt(2.0)
    seen = (draws[:, :50] / size[:, None]).ravel()
    assert np.abs(seen[:, None] - possible).min(axis=1).max() < 1e-9
    plain = _levels(assemble.term("g", names), np.eye(1), u[:, None])(rng, 4000)[:, 0]
    assert abs(plain.mean()) < 0.02
    assert_allclose(plain.std(), 1.0, rtol=0.02, atol=0)


def test_zero_variances_add_nothing():
    spec = assemble.one_way(6, 5, seed=3)
    fit = cases.by_likelihood(spec, [0.0, 2.0], at_bound=[True, False])
    for kind in ("parametric", "residual"):
        how = resampler(spec, fit.evaluation, kind, "new")
        assert [term.name for term, _ in how.parts] == ["Residual"]
        draws = how.draw(np.random.default_rng(6), 4000)
        assert_allclose(draws.var(), 2.0, rtol=0.05, atol=0)


def test_the_mean_of_draws_is_the_same_for_both_kinds():
    spec, fit = relatives()
    one, two = (resampler(spec, fit.evaluation, kind, "new") for kind in ("parametric", "residual"))
    assert_allclose(one.mean, two.mean, **IDENTITY)


def test_correlated_residuals_are_not_resampled():
    from dataclasses import replace

    from mixedvc import structures

    spec = assemble.one_way(6, 5, seed=3)
    level = np.repeat(np.arange(6), 5).astype(str).astype(object)
    pairs = assemble.term("Residual", level, basis=np.tile(np.eye(5), (6, 1)))
    residual = replace(pairs, structure=structures.make("us", 5), text="us(0 + t | g)")
    spec = replace(spec, terms=(), residual=residual)
    Sigma = np.eye(5) + 0.5
    evaluation = cases.by_brute_force(spec, residual.structure.start(Sigma)).evaluation
    with pytest.raises(OptionError, match=r"residuals of this model are correlated \(us\(0 \+ t \| g\)\).*parametric"):
        resampler(spec, evaluation, "residual", "new")
    draws = resampler(spec, evaluation, "parametric", "new").draw(np.random.default_rng(7), 20_000)
    check_moments(draws, spec.X @ np.asarray(evaluation.beta), np.kron(np.eye(6), Sigma))
