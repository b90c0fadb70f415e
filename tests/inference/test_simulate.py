"""Simulated responses."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.errors import OptionError
from tests.inference import cases
from tests.tolerances import IDENTITY, MONTE_CARLO


@pytest.fixture(scope="module")
def brute():
    return cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)


def test_the_same_seed_gives_the_same_draws(brute):
    first, again, other = (brute.simulate(3, seed=s) for s in (5, 5, 6))
    assert first.equals(again)
    assert not first.equals(other)
    assert list(first.columns) == ["sim_1", "sim_2", "sim_3"]
    assert brute.simulate(1, seed=np.random.default_rng(5)).shape == (24, 1)


@pytest.mark.parametrize("random", ["new", "fitted"])
def test_draws_have_the_mean_and_covariance_of_the_model(brute, random):
    spec, model, repeats = brute.spec, brute.evaluation, 20_000
    y = brute.simulate(repeats, seed=11, random=random).to_numpy()
    noise = brute.scale / spec.weights
    mean = (brute.fixed_fit if random == "new" else brute.fittedvalues).to_numpy()
    V = model.V if random == "new" else np.diag(noise)
    z = (y.mean(axis=1) - mean) / np.sqrt(np.diagonal(V) / repeats)
    assert np.abs(z).max() < MONTE_CARLO
    S = np.cov(y)
    spread = np.sqrt((V**2 + np.outer(np.diagonal(V), np.diagonal(V))) / repeats)
    assert np.abs((S - V) / spread).max() < MONTE_CARLO + 1  # 300 entries at once


def test_draws_around_the_fitted_effects_are_centred_there(brute):
    y = brute.simulate(1, seed=1, random="fitted")["sim_1"]
    again = brute.simulate(2, seed=1, random="fitted")["sim_1"]
    assert (y.index == brute.fittedvalues.index).all()
    assert_allclose(y.shape, again.shape, **IDENTITY)


def test_nonsense_is_refused(brute):
    with pytest.raises(OptionError, match="nsim=0 must be a whole number of at least 1"):
        brute.simulate(0)
    with pytest.raises(OptionError, match="random='old' is not one of 'new', 'fitted'"):
        brute.simulate(1, random="old")
