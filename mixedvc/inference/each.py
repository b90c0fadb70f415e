"""Standard errors, degrees of freedom and shares of many fits of one specification at once: the formulas of `se`, `df`,
`ratios` and `lrt`, written over responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..likelihood.panel_profile import Ends
from .intervals import variance_interval

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Numbers:
    """Fits of one specification, T responses, p fixed effects, m variance parameters; NaN where a number is not known.

    Attributes
    ----------
    which : (T,) intp
        Position of each response among all.
    n : int
        Rows of each fit.
    x_names, par_names, par_kinds : tuple of str
        Kinds are "variance", "covariance" and "correlation".
    share_of : str
        The term of `share`; empty where the model has no term to single out.
    beta, se, df : (T, p)
    par, par_se, lower, upper, bound : (T, m)
    share, share_se, loglik, statistic : (T,)
        `statistic` is 2(ℓ − ℓ_0) of the term's variance being zero.
    converged : (T,) bool
    messages : tuple of str
        Empty where there is nothing to say.
    """

    which: NDArray[np.intp]
    n: int
    x_names: tuple[str, ...]
    par_names: tuple[str, ...]
    par_kinds: tuple[str, ...]
    share_of: str
    beta: Float
    se: Float
    df: Float
    par: Float
    par_se: Float
    lower: Float
    upper: Float
    bound: Bool
    share: Float
    share_se: Float
    loglik: Float
    statistic: Float
    converged: Bool
    messages: tuple[str, ...]

    def take(self, some: NDArray[np.intp]) -> Numbers:
        """Some of the responses."""
        kept: dict[str, Any] = {n: value[some] for n, value in vars(self).items() if isinstance(value, np.ndarray)}
        kept["messages"] = tuple(self.messages[i] for i in some.tolist())
        return Numbers(**{**vars(self), **kept})


def covariances(ends: Ends, bound: Bool, kind: str) -> tuple[Float, Bool]:
    """(T, 2, 2) inverse of an information where parameters are free to move, and where it is positive definite.

    Rows of parameters at a bound are zero; everything is NaN where the information is not positive definite.
    """
    I = getattr(ends, kind) if kind != "observed" else 2.0 * ends.average - ends.expected
    out = np.zeros_like(I)
    free = ~bound
    a, b, c = I[:, 0, 0], I[:, 0, 1], I[:, 1, 1]
    good = np.isfinite(I).all(axis=(1, 2)) & ((a > 0) | bound[:, 0]) & ((c > 0) | bound[:, 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        r = b / np.sqrt(a * c)
        both = free.all(axis=1)
        good &= ~both | (1.0 - np.abs(r) >= 1e-12)
        D = a * c * (1.0 - r) * (1.0 + r)
        out[both] = (np.stack([c, -b, -b, a], axis=1) / D[:, None]).reshape(-1, 2, 2)[both]
        for j in range(2):
            alone = free[:, j] & bound[:, 1 - j]
            out[alone, j, j] = 1.0 / I[alone, j, j]
    out[~good] = np.nan
    return out, good


def satterthwaite(ends: Ends, cov: Float) -> Float:
    """(T, p) degrees of freedom of each coefficient (`df.chi2_df`)."""
    f = np.einsum("tpp->tp", ends.beta_cov)
    spread = np.einsum("tjp,tjk,tkp->tp", ends.beta_slopes, cov, ends.beta_slopes)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 0, 2 * f**2 / spread, np.where(np.isnan(spread), np.nan, np.inf))


def df_covariance(ends: Ends, bound: Bool, kind: str, own: Float) -> Float:
    """Satterthwaite's Cov(θ̂): from the observed information where that is positive definite, else the fit's own."""
    if kind not in ("expected", "observed"):
        return own
    observed, good = covariances(ends, bound, "observed")
    return np.where(good[:, None, None], observed, own)


def shares(theta: Float, cov: Float, weights: Float) -> tuple[Float, Float]:
    """Share of the first of two components with its delta-method SE; `weights` (2,) as in `ratios.weights`."""
    total = theta @ weights
    with np.errstate(divide="ignore", invalid="ignore"):
        value = weights[0] * theta[:, 0] / total
        gradient = np.stack([weights[0] * (1.0 - value), -weights[1] * value], axis=1) / total[:, None]
        variance = np.einsum("tj,tjk,tk->t", gradient, cov, gradient)
        moves = (cov[:, 0, 0] > 0) & (variance > 0)
        return value, np.where(moves, np.sqrt(np.where(moves, variance, 1.0)), np.nan)


def variance_limits(par: Float, se: Float, level: float) -> tuple[Float, Float]:
    """Chi-square limits as `frames.variance_frame` has them; NaN at a bound."""
    return variance_interval(np.where(par > 0, par, np.nan), se, level)


def likelihood_ratios(loglik: Float, null: Float) -> Float:
    """2(ℓ − ℓ_0), 0 where only rounding is between them (`lrt.likelihood_ratio`)."""
    statistic = 2.0 * (loglik - null)
    return np.where(statistic < 1e-8 * np.maximum(1.0, 1e-4 * np.abs(loglik)), 0.0, statistic)


def boundary_p(statistic: Float) -> Float:
    """P-values of one variance being zero by ½χ²₀ + ½χ²₁."""
    with np.errstate(invalid="ignore"):
        tail = 0.5 * special.chdtrc(1.0, np.maximum(statistic, 0.0))
    return np.where(np.isnan(statistic), np.nan, np.where(statistic <= 0.0, 1.0, tail))


def false_discovery(p: Float) -> Float:
    """Benjamini and Hochberg's adjusted p-values among those that are there; NaN stays."""
    from scipy.stats import false_discovery_control

    out = np.full(len(p), np.nan)
    there = ~np.isnan(p)
    if there.any():
        out[there] = false_discovery_control(p[there])
    return out
