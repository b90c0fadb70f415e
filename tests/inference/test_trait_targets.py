"""Levels that profiles of traits hold: derivatives against differences, in every kind of chart."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.inference.trait_targets import Correlation
from mixedvc.inference.traits import component, phenotypic

from ..results.test_traits import quiet
from ..results.traits_brute import data


@pytest.mark.parametrize("term", ["(1|id:A)", "fa(1|id:A)", "rr(1|id:A, 2)"])
def test_a_correlation_has_the_derivatives_of_differences(term):
    frame, A = data(t=3, n=40, seed=8)
    fit = quiet(f"cbind(y1, y2, y3) ~ x + {term}", frame, A)
    space = fit.profiler.machine(True).space
    q = space.q * (1 + 0.1 * np.random.default_rng(0).uniform(size=len(space.q)))
    for matrix in (component(fit.spec, "id"), phenotypic(fit.spec)):
        level = Correlation(matrix.L[0, 2], matrix.L[0, 0], matrix.L[2, 2])

        def first(x, level=level):
            charts = space.at(x)
            return level.derivatives(space, x, charts, space.jacobian(charts))

        steps = 1e-6 * np.eye(len(q))
        slopes = [(level.value(space, q + h) - level.value(space, q - h)) / 2e-6 for h in steps]
        bends = [(first(q + h)[0] - first(q - h)[0]) / 2e-6 for h in steps]
        a, bend = first(q)
        assert_allclose(a, slopes, rtol=1e-5, atol=1e-8)
        assert_allclose(bend, bends, rtol=1e-5, atol=1e-7)
