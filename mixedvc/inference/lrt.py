"""Test of one variance component: likelihood ratio against a mixture of chi-squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from ..errors import NotProvided, OptionError

METHODS = ("mixture", "chi2")


@dataclass(frozen=True)
class ComponentTest:
    """H0: the component is zero.

    Attributes
    ----------
    component : str
    statistic : float
        2(ℓ − ℓ0) of the criterion that was fitted, 0 at least.
    p_value : float
    method : str
        The reference distribution, in words.
    llf, llf_null : float
    """

    component: str
    statistic: float
    p_value: float
    method: str
    llf: float
    llf_null: float


def check_method(method: str) -> str:
    """`method` if it exists."""
    if method in ("exact", "boot"):
        raise NotProvided(f"method={method!r} is not available in this version; use method='mixture'")
    if method not in METHODS:
        raise OptionError(f"method={method!r} is not one of {', '.join(map(repr, METHODS))}")
    return method


def component_test(component: str, llf: float, llf_null: float, method: str = "mixture") -> ComponentTest:
    """Likelihood-ratio test of one variance; "mixture" refers it to ½χ²₀ + ½χ²₁ (Self & Liang 1987).

    "chi2" uses χ²₁, which is conservative at the boundary.
    """
    check_method(method)
    statistic = 2 * (llf - llf_null)
    if statistic < 1e-8:  # both fits are the same but for rounding (or the larger stopped a hair below)
        statistic = 0.0
    tail = float(special.chdtrc(1, statistic)) if np.isfinite(statistic) else 0.0
    if method == "chi2":
        return ComponentTest(component, statistic, tail, "chi-square(1), conservative at the boundary", llf, llf_null)
    p = 1.0 if statistic == 0 else 0.5 * tail
    return ComponentTest(component, statistic, p, "mixture 1/2 chi-square(0) + 1/2 chi-square(1)", llf, llf_null)
