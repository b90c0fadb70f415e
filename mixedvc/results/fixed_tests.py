"""Which covariance and degrees of freedom the tests of a fit's fixed effects use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..inference.df import Constant, Denominator, Satterthwaite, check_df
from ..inference.ftest import FixedTests

if TYPE_CHECKING:
    from .point import PointResults


def fixed_tests(fit: PointResults, df: str = "satterthwaite") -> FixedTests:
    """Tests of the fixed effects of `fit` by "satterthwaite", "kenward-roger", "residual" or "normal"."""
    return FixedTests(fit.evaluation.beta, _denominator(fit, check_df(df)))


def _denominator(fit: PointResults, df: str) -> Denominator:
    e = fit.evaluation
    if df == "kenward-roger":
        return fit.kenward_roger
    if df == "residual":
        return Constant(e.beta_cov, fit.df_resid)
    if df == "normal":
        return Constant(e.beta_cov, float("inf"))
    if fit.estimate.loglik is None and fit.estimate.sampling is None:
        theta_cov = np.zeros((len(fit.estimate.theta),) * 2)  # nothing is known: the variances count as given
    else:
        theta_cov = fit.df_covariance.theta
    return Satterthwaite(e.beta_cov, e.beta_cov_gradient, theta_cov)
