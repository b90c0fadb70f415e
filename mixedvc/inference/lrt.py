"""Test of a variance by the likelihood ratio of two fits, and its reference distributions in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import OptionError
from .chibar import Cone, tail, upper

METHODS = ("auto", "exact", "mixture", "chi2", "boot")


@dataclass(frozen=True)
class ComponentTest:
    """H0: the component is zero.

    Attributes
    ----------
    component : str
    statistic : float
        2(ℓ − ℓ0) of the criterion that was fitted, 0 at least.
    p_value : float
    mc_error : float
        Monte-Carlo standard error of the p-value; 0 where nothing was simulated.
    df : int
        Parameters that are zero under the hypothesis.
    method : str
        The reference distribution, in words.
    llf, llf_null : float
    """

    component: str
    statistic: float
    p_value: float
    mc_error: float
    df: int
    method: str
    llf: float
    llf_null: float


def check_method(method: str) -> str:
    """`method` if it exists."""
    if method not in METHODS:
        raise OptionError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))}")
    return method


def likelihood_ratio(llf: float, llf_null: float) -> float:
    """2(ℓ − ℓ0), 0 where the two fits are the same but for rounding (or the larger stopped a hair below)."""
    statistic = 2 * (llf - llf_null)
    return 0.0 if statistic < 1e-8 * max(1.0, 1e-4 * abs(llf)) else statistic


def component_test(component: str, llf: float, llf_null: float, method: str = "mixture") -> ComponentTest:
    """Likelihood-ratio test of one variance; "mixture" refers it to ½χ²₀ + ½χ²₁ (Self & Liang 1987).

    "chi2" uses χ²₁, which is conservative at the boundary.
    """
    if method not in ("mixture", "chi2"):
        raise OptionError(f"method={method!r} is not one of 'mixture', 'chi2'")
    statistic = likelihood_ratio(llf, llf_null)
    if method == "chi2":
        p, law = plain(statistic, 1)
    else:
        found = tail(statistic, Cone((1,)), 0, np.random.default_rng(0))
        p, law = found.p, found.law
    return ComponentTest(component, statistic, p, 0.0, 1, law, llf, llf_null)


def plain(statistic: float, df: int) -> tuple[float, str]:
    """p-value of the plain chi-square, and its name."""
    return upper(statistic, df), f"chi-square({df}), conservative at the boundary"
