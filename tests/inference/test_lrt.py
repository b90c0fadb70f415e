"""Tests of a variance component."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from mixedvc.errors import NotProvided, OptionError
from mixedvc.estimators.reml import REML
from mixedvc.inference.lrt import component_test
from mixedvc.testing import assemble
from tests.inference import cases
from tests.tolerances import OBJECTIVE


def test_the_mixture_halves_the_chi_square_tail():
    got = component_test("g", -10.0, -11.5)
    assert got.statistic == 3.0
    assert_allclose(got.p_value, 0.5 * stats.chi2.sf(3.0, 1), **OBJECTIVE)
    assert_allclose(component_test("g", -10.0, -11.5, "chi2").p_value, stats.chi2.sf(3.0, 1), **OBJECTIVE)
    assert component_test("g", -10.0, -10.0).p_value == 1.0


def test_the_balanced_one_way_test_refits_least_squares():
    spec = assemble.one_way(6, 5, seed=3)
    fit = cases.fitted(spec)
    row = fit.test_varcomp("g").loc["g"]
    rss = float(((spec.y - spec.y.mean()) ** 2).sum())
    s2 = rss / (spec.n - 1)
    want = -0.5 * ((spec.n - 1) * np.log(2 * np.pi * s2) + np.log(spec.n) + spec.n - 1)
    assert_allclose(row["llf_null"], want, **OBJECTIVE)
    assert_allclose(row["statistic"], 2 * (fit.llf - want), rtol=1e-7, atol=0)
    assert row["method"] == "mixture 1/2 chi-square(0) + 1/2 chi-square(1)"


def test_every_single_variance_is_tested_by_default():
    fit = cases.fitted(cases.relatives(n=80, signal=3.0))
    assert list(fit.test_varcomp().index) == ["block"]
    with pytest.raises(OptionError, match=r"'kin' has 2 effects.*can be tested: 'block'.*by their llf"):
        fit.test_varcomp("kin")
    with pytest.raises(OptionError, match="no random term is called 'kim'"):
        fit.test_varcomp("kim")


def test_what_cannot_be_tested_is_refused():
    spec = assemble.one_way(6, 5, seed=3)
    fit = cases.fitted(spec)
    with pytest.raises(NotProvided, match="method='exact' is not available in this version; use method='mixture'"):
        fit.test_varcomp("g", method="exact")
    with pytest.raises(OptionError, match="method='wald' is not one of 'mixture', 'chi2'"):
        fit.test_varcomp("g", method="wald")
    with pytest.raises(OptionError, match="'g' is held fixed"):
        cases.fitted(spec, REML(fixed_varcomp={"g": 1.0})).test_varcomp("g")
    with pytest.raises(OptionError, match="does not carry its estimator"):
        cases.by_brute_force(spec, [1.0, 1.0]).test_varcomp("g")
