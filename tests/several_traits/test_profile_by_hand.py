"""Limits and tests of a correlation are where the constrained maximum of the explicit model says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

import mixedvc as mv

from .kronecker import Model
from .test_ill_conditions import FORMULA, by_hand, world  # noqa: F401


def held(model: Model, which: int, rho: float) -> float:
    """Highest log-likelihood of two traits where the correlation of G (0) or R (1) is `rho`."""

    def tied(par: np.ndarray) -> np.ndarray:
        a, b = np.exp(par)
        return np.array([[a * a, rho * a * b], [rho * a * b, b * b]])

    def free(par: np.ndarray) -> np.ndarray:
        L = np.array([[np.exp(par[0]), 0.0], [par[1], np.exp(par[2])]])
        return L @ L.T

    def value(par: np.ndarray) -> float:
        one, other = tied(par[:2]), free(par[2:])
        return -model.at([one, other] if which == 0 else [other, one]).loglik

    found = [minimize(value, np.r_[start, 0.1], method="BFGS", options={"gtol": 1e-7}) for start in STARTS]
    return -min(one.fun for one in found)


STARTS = (np.zeros(4), np.array([0.3, -0.3, -0.3, 0.2]))


@pytest.mark.slow
@pytest.mark.parametrize("which", [0, 1])
def test_profile_limits_of_a_correlation_are_half_a_chi_square_below_the_maximum(world, which) -> None:  # noqa: F811
    frame, cov = world
    gaps = frame.assign(y2=frame["y2"].where(np.arange(len(frame)) % 5 != 0))
    fit = mv.fit(FORMULA, gaps, cov=cov)
    row = fit.correlations(interval="profile").iloc[which]
    model = by_hand(gaps, cov)
    for limit in (row["lower"], row["upper"]):
        if abs(limit) < 1:
            assert 2 * (fit.llf - held(model, which, limit)) == pytest.approx(3.841459, abs=1e-3)
        else:
            assert 2 * (fit.llf - held(model, which, np.sign(limit) * (1 - 1e-9))) < 3.8415


@pytest.mark.parametrize("rho", [0.5, pytest.param(-0.4, marks=pytest.mark.slow)])
def test_the_likelihood_ratio_of_a_correlation_is_that_of_the_constrained_maximum(world, rho) -> None:  # noqa: F811
    frame, cov = world
    fit = mv.fit(FORMULA, frame, cov=cov, method="ml")
    test = fit.test_correlation("y1", "y2", rho=rho)
    by = 2 * (fit.llf - held(by_hand(frame, cov, reml=False), 0, rho))
    assert test.statistic == pytest.approx(by, abs=1e-5)
    residual = fit.test_correlation("y1", "y2", rho=rho, term="Residual")
    by = 2 * (fit.llf - held(by_hand(frame, cov, reml=False), 1, rho))
    assert residual.statistic == pytest.approx(by, abs=1e-5)
