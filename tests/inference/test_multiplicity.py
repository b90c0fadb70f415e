"""Families of t tests: definitions, and the multivariate t against tables and against Tukey's range."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from mixedvc.errors import OptionError
from mixedvc.inference.multiplicity import (
    LargestT,
    adjusted_pvalues,
    check_adjust,
    critical_values,
    range_quantile,
    range_tail,
)
from tests.tolerances import OBJECTIVE

PAIRS = np.array([[1, -1, 0, 0], [1, 0, -1, 0], [1, 0, 0, -1], [0, 1, -1, 0], [0, 1, 0, -1], [0, 0, 1, -1.0]])
T = np.array([1.5, 2.2, -2.9, 0.3, 3.5, -2.0])


def test_the_classic_adjustments():
    df = np.full(6, 12.0)
    p = 2 * stats.t.sf(np.abs(T), df)
    assert_allclose(adjusted_pvalues(T, df, "none"), p, **OBJECTIVE)
    assert_allclose(adjusted_pvalues(T, df, "bonferroni"), np.minimum(6 * p, 1), **OBJECTIVE)
    assert_allclose(adjusted_pvalues(T, df, "sidak"), 1 - (1 - p) ** 6, **OBJECTIVE)
    assert_allclose(adjusted_pvalues(T, df, "fdr"), stats.false_discovery_control(p), **OBJECTIVE)
    order = np.sort(p)
    holm = np.maximum.accumulate(order * np.arange(6, 0, -1)).clip(max=1)
    assert_allclose(np.sort(adjusted_pvalues(T, df, "holm")), holm, **OBJECTIVE)


@pytest.mark.parametrize("df", [4.7, 30.0, np.inf])
def test_the_multivariate_t_of_all_pairs_is_tukeys_range(df):
    nu, R = np.full(6, df), PAIRS @ PAIRS.T / 2
    tukey, mvt = adjusted_pvalues(T, nu, "tukey", 4), adjusted_pvalues(T, nu, "mvt", correlation=R)
    assert_allclose(mvt, tukey, rtol=2e-4, atol=2e-5)
    tukey, mvt = critical_values(nu, 0.95, "tukey", 4), critical_values(nu, 0.95, "mvt", correlation=R)
    assert_allclose(mvt, tukey, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("k", "df"), [(2, 10), (5, 20), (9, 60)])
def test_comparisons_with_a_control_have_dunnetts_critical_values(k, df):
    """Correlations ½: given the control's mean z and the scale s, the comparisons are independent (Dunnett 1955)."""
    R = np.full((k, k), 0.5) + 0.5 * np.eye(k)
    largest = LargestT(R)
    t = largest.quantile(0.95, df)
    z, wz = np.polynomial.hermite_e.hermegauss(80)
    grid = (np.arange(8000) + 0.5) / 8000
    s = np.sqrt(stats.chi2.ppf(grid, df) / df)[:, None]
    inside = stats.norm.cdf(np.sqrt(2) * t * s + z) - stats.norm.cdf(-np.sqrt(2) * t * s + z)
    coverage = np.mean((inside**k) @ wz / wz.sum())
    assert_allclose(coverage, 0.95, rtol=0, atol=1e-4)
    assert_allclose(t, {2: 2.57, 5: 2.73, 9: 2.77}[k], rtol=0, atol=0.0055)  # Dunnett (1964), table 2


@pytest.mark.parametrize(
    ("q", "means", "df"), [(3.5, 3, 7.3), (0.2, 4, 2.2), (6.0, 12, 40.0), (9.0, 3, 1e5), (2.0, 2, 1.3)]
)
def test_the_studentized_range_is_scipys(q, means, df):
    assert_allclose(range_tail(q, means, df), stats.studentized_range.sf(q, means, df), rtol=1e-6, atol=1e-9)


def test_the_range_of_two_means_is_t_and_tables_are_met():
    for df in (1.0, 2.5, 12.0, 1e7, np.inf):
        assert_allclose(range_tail(np.sqrt(2) * 2.2, 2, df), 2 * stats.t.sf(2.2, df), rtol=1e-8, atol=0)
    for means, df, table in ((3, 10, 3.877), (5, 20, 4.232), (10, 60, 4.646), (4, np.inf, 3.633)):
        assert_allclose(range_quantile(0.95, means, df), table, rtol=0, atol=0.0006)
    assert_allclose(range_tail(range_quantile(0.9, 6, 4.4), 6, 4.4), 0.1, rtol=1e-9, atol=0)


def test_independent_tests_are_sidaks():
    t = np.array([1.0, 2.5, 4.0])
    nu = np.full(3, np.inf)
    assert_allclose(
        adjusted_pvalues(t, nu, "mvt", correlation=np.eye(3)), adjusted_pvalues(t, nu, "sidak"), rtol=1e-3, atol=1e-6
    )


def test_simultaneous_intervals_agree_with_their_p_values():
    nu, R = np.full(6, 9.0), PAIRS @ PAIRS.T / 2
    for adjust in ("bonferroni", "sidak", "tukey", "mvt"):
        at = critical_values(nu, 0.9, adjust, 4, R)
        assert_allclose(adjusted_pvalues(at, nu, adjust, 4, R), 0.1, rtol=1e-6, atol=0)


def test_missing_tests_leave_the_family():
    t, nu = np.array([2.0, np.nan, 3.0]), np.array([10.0, np.nan, 10.0])
    p = 2 * stats.t.sf([2.0, 3.0], 10)
    assert_allclose(adjusted_pvalues(t, nu, "bonferroni"), [2 * p[0], np.nan, 2 * p[1]], **OBJECTIVE)
    R = np.full((3, 3), np.nan)
    R[np.ix_([0, 2], [0, 2])] = [[1, 0.3], [0.3, 1]]
    assert np.isnan(adjusted_pvalues(t, nu, "mvt", correlation=R)[1])
    assert np.isnan(critical_values(nu, 0.95, "mvt", correlation=R)[1])
    single = critical_values(np.array([8.0]), 0.95, "sidak")
    assert_allclose(single, stats.t.ppf(0.975, 8), **OBJECTIVE)


def test_unknown_adjustments_and_tukey_without_pairs_are_refused():
    with pytest.raises(OptionError, match="adjust='scheffe' is not one of 'none', 'bonferroni'"):
        check_adjust("scheffe")
    with pytest.raises(OptionError, match="adjust='tukey' is for all pairwise comparisons"):
        check_adjust("tukey", pairs=False)
