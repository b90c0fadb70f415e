"""The likelihood ratio of one variance and its closed-form laws."""

from __future__ import annotations

import pytest
from numpy.testing import assert_allclose
from scipy import stats

from mixedvc.errors import OptionError
from mixedvc.inference.lrt import component_test, likelihood_ratio
from tests.tolerances import OBJECTIVE


def test_the_mixture_halves_the_chi_square_tail():
    got = component_test("g", -10.0, -11.5)
    assert got.statistic == 3.0
    assert_allclose(got.p_value, 0.5 * stats.chi2.sf(3.0, 1), **OBJECTIVE)
    assert got.method == "mixture 1/2 chi-square(0) + 1/2 chi-square(1)"
    assert_allclose(component_test("g", -10.0, -11.5, "chi2").p_value, stats.chi2.sf(3.0, 1), **OBJECTIVE)
    assert component_test("g", -10.0, -10.0).p_value == 1.0
    with pytest.raises(OptionError, match="method='boot' is not one of 'mixture', 'chi2'"):
        component_test("g", -10.0, -11.5, "boot")


def test_rounding_is_no_likelihood_ratio():
    assert likelihood_ratio(-10.0, -10.0 - 1e-10) == 0.0
    assert likelihood_ratio(-10.0, -9.0) == 0.0
    assert likelihood_ratio(-120_000.0, -120_000.0 - 1e-8) == 0.0
    assert likelihood_ratio(-10.0, -10.1) == pytest.approx(0.2)
