"""Intervals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from mixedvc.errors import OptionError
from mixedvc.inference import intervals
from mixedvc.testing import assemble
from tests.inference import cases
from tests.tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE

Z = 1.959963984540054


@pytest.mark.parametrize("level", [0.8, 0.95, 0.99])
def test_variance_interval_is_the_scaled_chi_square(level):
    theta, se = np.array([2.0, 5.0, 1.0]), np.array([1.0, 0.5, 0.9])
    nu = 2 * (theta / se) ** 2
    low, high = intervals.variance_interval(theta, se, level)
    assert_allclose(low, nu * theta / stats.chi2.ppf(0.5 + level / 2, nu), **OBJECTIVE)
    assert_allclose(high, nu * theta / stats.chi2.ppf(0.5 - level / 2, nu), **OBJECTIVE)


def test_a_variance_interval_holds_its_estimate_however_little_the_data_say():
    theta = np.full(200, 0.02)
    se = theta * np.geomspace(0.01, 1e4, 200)
    low, high = intervals.variance_interval(theta, se)
    assert np.all(low < theta) and np.all(theta < high)
    assert np.all(np.diff(low) <= 0)
    assert low[-1] == 0 < low[80]


def test_variance_interval_with_very_many_degrees_of_freedom_is_continuous():
    theta = np.array([1.0, 1.0])
    nu = np.array([0.999e6, 1.001e6])
    low, high = intervals.variance_interval(theta, theta / np.sqrt(nu / 2))
    assert_allclose(low[0], low[1], rtol=1e-5, atol=0)
    assert_allclose(high[0], high[1], rtol=1e-5, atol=0)
    assert_allclose(high[1], 1 + 1.959964 * np.sqrt(2 / nu[1]), rtol=1e-5, atol=0)


def test_residual_interval_of_a_balanced_one_way_is_exact():
    fit = cases.fitted(assemble.one_way(6, 5, seed=3))
    row, df = fit.varcomp.iloc[-1], 6 * 4
    want = df * row["variance"] / stats.chi2.ppf([0.975, 0.025], df)
    assert_allclose([row["lower"], row["upper"]], want, rtol=1e-6, atol=0)


def test_no_interval_where_there_is_no_standard_error():
    low, high = intervals.variance_interval(np.array([0.0, 1.0]), np.array([np.nan, 1.0]))
    assert np.isnan([low[0], high[0]]).all()
    assert np.isfinite([low[1], high[1]]).all()


def test_correlations_stay_inside_and_are_symmetric_on_fishers_scale():
    low, high = intervals.correlation_interval(np.array([0.9, 0.0]), np.array([0.2, 0.3]))
    assert (low > -1).all()
    assert (high < 1).all()
    assert_allclose(np.arctanh(low) + np.arctanh(high), 2 * np.arctanh([0.9, 0.0]), **OBJECTIVE)
    assert_allclose(np.arctanh(high), np.arctanh([0.9, 0.0]) + Z * np.array([0.2 / (1 - 0.81), 0.3]), **OBJECTIVE)


def test_shares_stay_inside_and_are_symmetric_on_the_logit_scale():
    low, high = intervals.share_interval(np.array([0.95]), np.array([0.2]))
    assert 0 < low[0] < 0.95 < high[0] < 1
    assert_allclose(np.log(low / (1 - low)) + np.log(high / (1 - high)), 2 * np.log(0.95 / 0.05), **OBJECTIVE)
    assert_allclose(np.log(high / (1 - high)), np.log(0.95 / 0.05) + Z * 0.2 / (0.95 * 0.05), **OBJECTIVE)


def test_t_intervals_and_p_values_are_students_and_normal_at_infinity():
    low, high = intervals.t_interval(np.array([1.0, 1.0]), np.array([0.5, 0.5]), np.array([4.0, np.inf]))
    assert_allclose(high, [1 + 0.5 * stats.t.ppf(0.975, 4), 1 + 0.5 * stats.norm.ppf(0.975)], **OBJECTIVE)
    assert_allclose(low + high, [2.0, 2.0], **IDENTITY)
    p = intervals.t_pvalue(np.array([-2.5, 2.5]), np.array([4.0, np.inf]))
    assert_allclose(p, [2 * stats.t.sf(2.5, 4), 2 * stats.norm.sf(2.5)], **OBJECTIVE)


def test_unknown_intervals_are_refused_with_those_that_exist():
    fit = cases.fitted(assemble.one_way())
    with pytest.raises(OptionError, match="method='hpd' is not one of 'wald'"):
        fit.conf_int(method="hpd")
    with pytest.raises(OptionError, match="level=95 must lie strictly between 0 and 1"):
        fit.summary(level=95)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_default_interval_of_a_variance_covers_where_wald_does_not():
    groups, repeats, inside = 10, 600, {"chi2": 0, "wald": 0}
    regular = 0
    for seed in range(repeats):
        fit = cases.fitted(assemble.one_way(groups, 5, seed=seed))
        if fit.is_singular:
            continue
        regular += 1
        for kind in inside:
            row = fit.variances(interval=kind).iloc[0]
            inside[kind] += bool(row["lower"] <= 1.0 <= row["upper"])
    coverage = {kind: count / regular for kind, count in inside.items()}
    assert coverage["wald"] < coverage["chi2"] - 0.04
    assert abs(coverage["chi2"] - 0.95) < MONTE_CARLO * np.sqrt(0.95 * 0.05 / regular)
