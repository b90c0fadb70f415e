"""What the pictures show, as numbers: orders, intervals, bands, bins."""

import numpy as np
import pytest
from scipy import stats

from mixedvc.errors import OptionError
from mixedvc.results.plots.numbers import caterpillar_numbers, normal_quantiles, trend

from ..tolerances import IDENTITY, OBJECTIVE


def test_a_caterpillar_is_sorted_with_normal_intervals():
    u, v = np.array([0.5, -2.0, 1.0]), np.array([0.04, 0.25, 1.0])
    c = caterpillar_numbers(u, v, 0.9)
    assert c.order.tolist() == [1, 0, 2]
    np.testing.assert_array_equal(c.estimate, [-2.0, 0.5, 1.0])
    z = stats.norm.ppf(0.95)
    np.testing.assert_allclose(c.lower, [-2 - 0.5 * z, 0.5 - 0.2 * z, 1 - z], **IDENTITY)
    np.testing.assert_allclose(c.upper, [-2 + 0.5 * z, 0.5 + 0.2 * z, 1 + z], **IDENTITY)
    assert c.clear.tolist() == [True, True, False]


def test_a_second_effect_keeps_the_order_of_the_first():
    order = np.array([2, 0, 1])
    c = caterpillar_numbers(np.array([1.0, 2.0, 3.0]), np.zeros(3), order=order)
    np.testing.assert_array_equal(c.estimate, [3.0, 1.0, 2.0])
    np.testing.assert_array_equal(c.lower, c.upper)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, "0.95"])
def test_a_level_outside_zero_and_one_is_refused(level):
    with pytest.raises(OptionError, match="strictly between 0 and 1"):
        caterpillar_numbers(np.zeros(2), np.ones(2), level)


def test_the_quantile_band_is_the_law_of_order_statistics():
    q = normal_quantiles(np.random.default_rng(0).standard_normal(50), 0.9)
    i = np.arange(1, 51)
    np.testing.assert_allclose(q.lower, stats.norm.ppf(stats.beta.ppf(0.05, i, 51 - i)), **OBJECTIVE)
    np.testing.assert_allclose(q.upper, stats.norm.ppf(stats.beta.ppf(0.95, i, 51 - i)), **OBJECTIVE)
    assert (np.diff(q.theoretical) > 0).all()
    np.testing.assert_allclose(q.theoretical, -q.theoretical[::-1], **OBJECTIVE)
    np.testing.assert_allclose([q.ordered.mean(), q.ordered.std(ddof=1)], [0.0, 1.0], **OBJECTIVE)


def test_each_point_of_normal_data_is_in_the_band_as_often_as_it_says():
    rng = np.random.default_rng(7)
    draws, n = 400, 40
    outside = np.zeros(n)
    for _ in range(draws):
        z = np.sort(rng.standard_normal(n))
        q = normal_quantiles(z)
        outside += (z < q.lower) | (z > q.upper)  # not standardised: the band's own law
    rate = outside / draws
    assert (np.abs(rate - 0.05) / np.sqrt(0.05 * 0.95 / draws) < 4.5).all()


def test_outliers_are_outside_the_band_and_gaps_are_left_out():
    r = np.r_[stats.norm.ppf((np.arange(30) + 0.5) / 30), 9.0, np.nan]
    q = normal_quantiles(r)
    assert len(q.ordered) == 31
    assert q.outside[-1]


def test_constant_residuals_have_no_quantiles_to_speak_of():
    q = normal_quantiles(np.zeros(5))
    assert q.ordered.tolist() == [0.0] * 5


def test_means_of_bins_follow_a_line_and_count_every_point_once():
    x = np.linspace(0, 1, 240)
    at, mean = trend(x, 2 * x + 1)
    assert len(at) == 12
    np.testing.assert_allclose(mean, 2 * at + 1, **OBJECTIVE)
    np.testing.assert_allclose(at.mean(), x.mean(), **OBJECTIVE)


@pytest.mark.parametrize(("x", "y"), [(np.arange(59.0), np.arange(59.0)), (np.ones(500), np.arange(500.0))])
def test_too_few_points_or_none_that_vary_have_no_trend(x, y):
    assert len(trend(x, y)[0]) == 0
