"""Numbers of draws: coda's tests and intervals on stored chains, densities against their definition, digits."""

import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from mixedvc.errors import MissingExtra, OptionError
from mixedvc.results import posterior_diagnose_numbers as chains
from mixedvc.results import posterior_numbers as pn
from mixedvc.results.posterior_table import places, rounded
from tests.tolerances import IDENTITY, PARAMETER

HERE = Path(__file__).resolve().parents[1] / "reference" / "coda"
CHAINS = pd.read_csv(HERE / "chains.csv")
CODA = pd.read_csv(HERE / "numbers.csv").set_index("chain")
NAMES = list(CHAINS.columns)
SAME = {"rtol": 1e-9, "atol": 1e-11}  # printed with 15 digits


@pytest.mark.parametrize("name", NAMES)
def test_geweke_and_the_spectrum_at_zero_are_codas(name):
    x = CHAINS[name].to_numpy()
    assert_allclose(chains.geweke(x), CODA.geweke[name], **SAME)
    assert_allclose(chains.spectrum_at_zero(x), CODA.spectrum[name], **SAME)


@pytest.mark.parametrize("name", NAMES)
def test_heidelberger_and_welch_are_codas(name):
    found, there = chains.heidel(CHAINS[name].to_numpy()), CODA.loc[name]
    assert found.passed == bool(there.stationary)
    if not found.passed:
        assert found.start == -1 and math.isnan(found.halfwidth)
        return
    assert found.start == there.start - 1 and found.precise == bool(there.precise)
    assert_allclose(found.pvalue, there.pvalue, rtol=1e-4, atol=0)  # coda stops its series at 1e-5
    assert_allclose(found.mean, there["mean"], **SAME)
    assert_allclose(found.halfwidth, there.halfwidth, rtol=3e-5, atol=0)  # coda's normal quantile is 1.96


@pytest.mark.parametrize("name", NAMES)
def test_intervals_and_autocorrelations_are_codas(name):
    x, there = CHAINS[name].to_numpy(), CODA.loc[name]
    assert_allclose(pn.hdi(x), (there.lower, there.upper), **SAME)
    assert_allclose(pn.hdi(x, 0.8), (there.lower80, there.upper80), **SAME)
    lags = chains.autocorrelations(x[None], 10)[0]
    assert_allclose(lags[[1, 10]], (there.lag1, there.lag10), **SAME)


@pytest.mark.parametrize("name", ["sticky", "quick", "independent"])
def test_effective_sizes_and_modes_are_near_those_of_r(name):
    x, there = CHAINS[name].to_numpy(), CODA.loc[name]
    assert 0.75 < pn.ess_bulk(x[None]) / there.ess < 1.35  # another estimator of the same thing
    step = np.ptp(x) / 512 * 3  # both look for the top of a density on a grid
    assert abs(pn.mode(x, 0.1) - there["mode"]) < step


def test_the_cramer_von_mises_law_has_its_published_points():
    for x, p in ((0.46136, 0.95), (0.74346, 0.99), (0.34730, 0.90), (0.11888, 0.50)):  # Anderson & Darling 1952
        assert_allclose(chains.cramer_von_mises(x), p, rtol=0, atol=2e-5)
    assert chains.cramer_von_mises(0.0) == 0.0 and chains.cramer_von_mises(700.0) == 1.0


def test_the_shortest_interval_is_the_shortest_of_all():
    x = np.random.default_rng(1).gamma(2.0, size=(2, 100))
    low, high = pn.hdi(x, 0.9)
    s = np.sort(x.ravel())
    every = [(s[i + 180] - s[i], s[i], s[i + 180]) for i in range(20)]
    assert (low, high) == min(every)[1:]
    low, high = pn.quantiles(x, 0.9)
    assert_allclose((low, high), np.quantile(x, [0.05, 0.95]), **IDENTITY)
    with pytest.raises(OptionError, match=r"'hdi' \(highest posterior density\), 'quantile'"):
        pn.check_interval("wald")


@pytest.mark.parametrize(("lower", "upper"), [(None, None), (0.0, None), (None, 3.0), (0.0, 3.0)])
def test_a_density_is_the_sum_of_its_kernels_mirrored_at_the_ends(lower, upper):
    x = np.random.default_rng(2).uniform(0, 3, 400)
    grid, height = pn.density(x, 1.3, lower, upper)
    h = 1.3 * pn.bandwidth(x)
    images = [x] + ([-x] if lower is not None else []) + ([6.0 - x] if upper is not None else [])
    direct = sum(stats.norm.pdf(grid[:, None], image, h).sum(axis=1) for image in images) / len(x)
    assert_allclose(height, direct, rtol=0, atol=2e-3 * direct.max())
    assert_allclose(np.trapezoid(height, grid), 1.0, rtol=0, atol=2e-3)


def test_the_bandwidth_is_silvermans():
    x = np.random.default_rng(3).standard_normal(1000)
    low, high = np.quantile(x, [0.25, 0.75])
    assert_allclose(pn.bandwidth(x), 0.9 * min(x.std(ddof=1), (high - low) / 1.34) * 1000**-0.2, **IDENTITY)


def test_the_mode_of_a_variance_may_lie_at_zero():
    x = np.random.default_rng(4).standard_exponential(20_000)
    assert pn.mode(x, 1.0, 0.0) < 0.15
    assert pn.mode(np.full((2, 3), 4.0)) == 4.0


def test_independent_draws_are_worth_their_number_and_shifted_chains_disagree():
    x = np.random.default_rng(5).standard_normal((4, 1000))
    n = pn.numbers(x)
    assert 3400 < n.ess_bulk < 4600 and 3000 < n.ess_tail < 4600
    assert n.rhat < 1.005
    assert_allclose(n.mcse, n.sd / np.sqrt(n.ess_bulk), rtol=0.1, atol=0)
    assert pn.rhat(x + np.array([[0.0], [0.0], [0.0], [1.0]])) > 1.05
    one = np.concatenate([x[:1, :500], x[:1, 500:] + 1], axis=1)
    assert pn.rhat(one) > 1.05 > 1.02 > pn.rhat(x[:1])  # of one chain its halves


def test_numbers_are_those_of_their_definitions():
    x = np.random.default_rng(6).gamma(3.0, size=(2, 300))
    n = pn.numbers(x, 0.8, "quantile")
    assert_allclose((n.mean, n.sd, n.median), (x.mean(), x.std(ddof=1), np.median(x)), **PARAMETER)
    assert_allclose((n.lower, n.upper), np.quantile(x, [0.1, 0.9]), **IDENTITY)
    held = pn.numbers(np.full((2, 50), 1.1))
    assert (held.mean, held.sd) == (1.1, 0.0) and math.isnan(held.rhat)


def test_without_arviz_stats_the_numbers_that_need_it_are_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    x = np.random.default_rng(7).standard_normal((2, 100))
    n = pn.numbers(x)
    assert_allclose(n.mean, x.mean(), **PARAMETER)
    assert math.isnan(n.ess_bulk) and math.isnan(n.rhat)
    with pytest.raises(MissingExtra, match=r"pip install 'mixedvc\[bayes\]'"):
        pn.ess_bulk(x)


@pytest.mark.parametrize(
    ("x", "mcse", "shown"),
    [
        (251.3214, 0.11, "251.3"),
        (10.4187, 0.025, "10.42"),
        (684.2, 6.5, "684"),
        (2861.4, 120.0, "2900"),
        (0.0004567, 0.0000012, "0.000457"),
        (-0.0004, 0.01, "0.00"),
        (0.43, 1e-12, "0.430000"),
        (float("nan"), 0.1, ""),
    ],
)
def test_numbers_are_printed_to_the_digits_that_their_error_supports(x, mcse, shown):
    assert rounded(x, places(mcse, 1.0, 100)) == shown


def test_without_an_error_digits_are_those_of_independent_draws():
    assert places(float("nan"), 1.0, 10_000) == 2
    assert places(float("nan"), 0.0, 10_000) == 4
