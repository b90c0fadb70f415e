"""Intervals: chi-square for variances, Wald for covariances, Fisher's z for correlations, logit for shares."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..errors import OptionError

Float = NDArray[np.float64]
METHODS = ("chi2", "wald", "profile", "boot", "percentile")


def check_level(level: float) -> float:
    """`level` if it lies strictly between 0 and 1."""
    if not (isinstance(level, int | float | np.floating) and 0.0 < float(level) < 1.0):
        raise OptionError(f"level={level!r} must lie strictly between 0 and 1, e.g. 0.95")
    return float(level)


def check_method(method: str, methods: tuple[str, ...] = METHODS) -> str:
    """`method` if it exists."""
    if method not in methods:
        raise OptionError(f"method={method!r} is not one of {', '.join(map(repr, methods))}")
    return method


def normal_quantile(level: float) -> float:
    """z with P(|N(0,1)| < z) = level."""
    return float(special.ndtri(0.5 + level / 2))


def wald(estimate: Float, se: Float, level: float = 0.95) -> tuple[Float, Float]:
    """estimate ± z·se; NaN where `se` is NaN."""
    half = normal_quantile(level) * np.asarray(se)
    return estimate - half, estimate + half


def percentile(draws: Float, level: float = 0.95) -> tuple[Float, Float]:
    """Quantiles of draws (B, n) column by column."""
    tail = (1.0 - level) / 2.0
    lower, upper = np.quantile(draws, [tail, 1.0 - tail], axis=0)
    return lower, upper


def t_interval(estimate: Float, se: Float, df: Float, level: float = 0.95) -> tuple[Float, Float]:
    """estimate ± t_df·se (normal where df is infinite)."""
    half = t_quantile(df, level) * np.asarray(se)
    return estimate - half, estimate + half


def t_quantile(df: Float, level: float) -> Float:
    """t with P(|T_df| < t) = level, element by element; normal at df = ∞."""
    df = np.asarray(df, dtype=float)
    with np.errstate(invalid="ignore"):
        t = special.stdtrit(np.where(np.isinf(df), 1.0, df), 0.5 + level / 2)
    return np.where(np.isinf(df), normal_quantile(level), t)


def t_pvalue(t: Float, df: Float) -> Float:
    """Two-sided P(|T_df| > |t|); normal at df = ∞."""
    t, df = -np.abs(np.asarray(t, dtype=float)), np.asarray(df, dtype=float)
    student = special.stdtr(np.where(np.isinf(df), 1.0, df), t)
    return 2 * np.where(np.isinf(df), special.ndtr(t), student)


def variance_interval(theta: Float, se: Float, level: float = 0.95) -> tuple[Float, Float]:
    """Satterthwaite's chi-square interval [ν θ/χ²_{ν,1−α/2}, ν θ/χ²_{ν,α/2}], ν = 2(θ/se)².

    It is what SAS prints for components bounded at zero; the estimate is treated as a scaled χ²_ν (exact for the
    residual of a balanced design).  NaN where `se` is NaN.  Where the data say next to nothing (ν below about 0.1) the
    formula's lower limit rises again, in the end above θ: the limit is 0 there.
    """
    theta, se = np.asarray(theta, dtype=float), np.asarray(se, dtype=float)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        nu = 2 * (theta / se) ** 2
        # χ²_ν is 2·Gamma(ν/2); beyond 1e6 degrees of freedom the incomplete gamma loses digits: Wilson-Hilferty
        low, high = (_chi2_ratio(nu, q) for q in (0.5 + level / 2, 0.5 - level / 2))
        turned = (nu < 1.0) & ~(_chi2_ratio(1.01 * nu, 0.5 + level / 2) < low)
        return np.where(turned, 0.0, theta / low), theta / high


def _chi2_ratio(nu: Float, q: float) -> Float:
    """χ²_{ν,q} / ν."""
    small = 2 * special.gammaincinv(np.minimum(nu, 1e6) / 2, q) / np.minimum(nu, 1e6)
    h = 2 / (9 * nu)
    return np.where(nu <= 1e6, small, (1 - h + special.ndtri(q) * np.sqrt(h)) ** 3)


def correlation_interval(r: Float, se: Float, level: float = 0.95) -> tuple[Float, Float]:
    """Wald on Fisher's z = atanh r, se(z) = se(r)/(1 − r²), taken back to (−1, 1)."""
    r, se = np.asarray(r, dtype=float), np.asarray(se, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = wald(np.arctanh(r), se / (1 - r**2), level)
    return np.tanh(lower), np.tanh(upper)


def share_interval(share: Float, se: Float, level: float = 0.95) -> tuple[Float, Float]:
    """Wald on the logit scale, se(logit) = se/(s(1−s)), taken back to (0, 1)."""
    share, se = np.asarray(share, dtype=float), np.asarray(se, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        lower, upper = wald(special.logit(share), se / (share * (1 - share)), level)
    return special.expit(lower), special.expit(upper)
