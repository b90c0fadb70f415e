"""Several tests at once: adjusted p-values and critical values of a family of t tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from ..errors import OptionError
from ..linalg import dense as la
from . import intervals

Float = NDArray[np.float64]
METHODS = ("none", "bonferroni", "holm", "sidak", "fdr", "tukey", "mvt")


def check_adjust(adjust: str | None, pairs: bool = True) -> str:
    """`adjust` if it exists; "tukey" only for all pairs of means."""
    name = "none" if adjust is None else adjust
    if name not in METHODS:
        raise OptionError(f"adjust={adjust!r} is not one of {', '.join(map(repr, METHODS))}")
    if name == "tukey" and not pairs:
        raise OptionError(
            "adjust='tukey' is for all pairwise comparisons of means; use 'mvt' (exact for any contrasts), 'sidak' or "
            "'holm'"
        )
    return name


def adjusted_pvalues(
    t: Float, df: Float, adjust: str, means: int | None = None, correlation: Float | None = None
) -> Float:
    """Two-sided p-values of c t statistics that count as one family.

    Parameters
    ----------
    t, df : (c,)
    adjust : str
        "none"; "bonferroni"; "holm" (step-down Bonferroni); "sidak"; "fdr" (Benjamini-Hochberg); "tukey" (studentized
        range of `means` means); "mvt" (the largest of c multivariate t, to about 1e-5).
    means : int
        Number of means that were compared, for "tukey".
    correlation : (c, c)
        Of the c estimates, for "mvt".
    """
    p = intervals.t_pvalue(t, df)
    there = ~np.isnan(p)
    if adjust == "none" or not there.any():
        return p
    out = np.full_like(p, np.nan)
    q, c = p[there], int(there.sum())
    if adjust == "bonferroni":
        out[there] = np.minimum(1.0, c * q)
    elif adjust == "sidak":
        out[there] = -np.expm1(c * np.log1p(-q))
    elif adjust in ("holm", "fdr"):
        out[there] = _stepwise(q, adjust)
    elif adjust == "tukey":
        assert means is not None
        out[there] = [range_tail(np.sqrt(2.0) * abs(a), means, b) for a, b in zip(t[there], df[there], strict=True)]
    else:
        assert correlation is not None
        largest = LargestT(correlation[np.ix_(there, there)])
        out[there] = [largest.tail(abs(a), b) for a, b in zip(t[there], df[there], strict=True)]
    return out


def critical_values(
    df: Float, level: float, adjust: str, means: int | None = None, correlation: Float | None = None
) -> Float:
    """(c,) half-widths of simultaneous intervals in standard errors; stepwise methods use Bonferroni's."""
    c = int(np.sum(~np.isnan(df)))
    if adjust == "none" or c <= 1:
        return intervals.t_quantile(df, level)
    if adjust in ("bonferroni", "holm", "fdr"):
        return intervals.t_quantile(df, 1.0 - (1.0 - level) / c)
    if adjust == "sidak":
        return intervals.t_quantile(df, level ** (1.0 / c))
    there = ~np.isnan(df)
    largest = None
    if adjust == "mvt":
        assert correlation is not None
        largest = LargestT(correlation[np.ix_(there, there)])
    out = np.full(len(df), np.nan)
    for value in np.unique(df[there]).tolist():
        if largest is None:
            assert means is not None
            out[df == value] = range_quantile(level, means, value) / np.sqrt(2.0)
        else:
            out[df == value] = largest.quantile(level, value)
    return out


def _stepwise(p: Float, adjust: str) -> Float:
    order, c = np.argsort(p), len(p)
    ranked = p[order]
    if adjust == "holm":
        stepped = np.maximum.accumulate(ranked * (c - np.arange(c)))
    else:
        stepped = np.minimum.accumulate((ranked * c / np.arange(1, c + 1))[::-1])[::-1]
    out = np.empty(c)
    out[order] = np.minimum(1.0, stepped)
    return out


def range_tail(q: float, means: int, df: float) -> float:
    """P(Q > q) of the studentized range of k `means`: 1 − E_s k ∫ φ(z) [Φ(z) − Φ(z − qs)]^(k−1) dz, νs² ~ χ²_ν.

    The trapezoid rule in z and in log s, whose errors vanish exponentially; scipy's takes a hundred times longer.
    """
    z = np.linspace(-8.5, 8.5, 171)
    x, density = _log_scale(df)
    inside = special.ndtr(z) - special.ndtr(z - q * np.exp(x)[:, None])
    each = means * (z[1] - z[0]) * (np.maximum(inside, 0.0) ** (means - 1) @ (np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)))
    return float(np.clip(1.0 - each @ density, 0.0, 1.0))


def _log_scale(df: float) -> tuple[Float, Float]:
    """Points of log s and their probabilities, νs² ~ χ²_ν; a single point at ν = ∞."""
    if np.isinf(df):
        return np.zeros(1), np.ones(1)
    low, high = special.gammaincinv(df / 2, 1e-17), special.gammainccinv(df / 2, 1e-17)
    first, last = (0.5 * float(np.log(2.0 * end / df)) for end in (max(low, 1e-300), high))
    x = np.linspace(first, last, 200)
    log_density = df * x - 0.5 * df * np.exp(2.0 * x)
    weights = np.exp(log_density - log_density.max())
    return x, weights / weights.sum()


def range_quantile(level: float, means: int, df: float) -> float:
    """q with P(Q ≤ q) = level."""
    high = 4.0
    while range_tail(high, means, df) > 1.0 - level:
        high *= 2.0
    return float(optimize.brentq(lambda q: range_tail(q, means, df) - (1.0 - level), 0.0, high, xtol=1e-12))


class LargestT:
    """max |T_i| of c estimates with correlation R that share an error with χ² degrees of freedom.

    With R = F Fᵀ, F (c, r): max |T| = √(r F_{r,df}) · h(u), h(u) = max |F u|, u uniform on the sphere; so tails are
    means of F tails over u, which a Sobol sequence with a fixed seed gives to about 1e-5.
    """

    def __init__(self, R: Float, points: int = 1 << 14):
        root = la.psd_root(R, tolerance=1e-9)
        self.rank = root.shape[1]
        from scipy.stats import qmc  # slow to import

        draws = qmc.Sobol(self.rank, scramble=True, seed=20240).random(points)
        z = special.ndtri(np.clip(draws, 1e-12, 1 - 1e-12))
        z /= np.sqrt(np.einsum("nr,nr->n", z, z))[:, None]
        self.h2 = np.max(np.abs(z @ root.T), axis=1) ** 2

    def tail(self, t: float, df: float) -> float:
        """P(max |T_i| > t)."""
        with np.errstate(divide="ignore"):
            ratio = t * t / self.h2
        if np.isinf(df):
            return float(np.mean(special.chdtrc(self.rank, ratio)))
        return float(np.mean(special.fdtrc(self.rank, df, ratio / self.rank)))

    def quantile(self, level: float, df: float) -> float:
        """t with P(max |T_i| > t) = 1 − level."""
        high = 2.0
        while self.tail(high, df) > 1.0 - level:
            high *= 2.0
        return float(optimize.brentq(lambda t: self.tail(t, df) - (1.0 - level), 1e-6, high, xtol=1e-10))
