"""Tests of one chain: autocorrelation, Geweke's comparison of its ends, Heidelberger and Welch's test of stationarity.

The variance of a mean of correlated draws is S(0)/n, with the spectral density at zero of an autoregression fitted by
Yule-Walker, its order chosen by AIC.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Float = NDArray[np.float64]
CRITICAL = 0.05
HALFWIDTH = 0.1


def autocovariances(x: Float, most: int) -> Float:
    """(most + 1,) autocovariances of x (n,), divided by n."""
    n = len(x)
    centred = x - x.mean()
    size = 1 << (2 * n - 1).bit_length()
    power = np.abs(np.fft.rfft(centred, size)) ** 2
    return np.asarray(np.fft.irfft(power, size)[: most + 1] / n)


def autocorrelations(x: Float, most: int = 40) -> Float:
    """(C, lags) autocorrelations of each chain of x (C, D) at lags 0 … most; NaN where a chain does not move."""
    lags = min(most, x.shape[1] - 1)
    out = np.full((len(x), lags + 1), np.nan)
    for c, chain in enumerate(x):
        if np.ptp(chain) > 0:
            g = autocovariances(chain, lags)
            out[c] = g / g[0]
    return out


def spectrum_at_zero(x: Float) -> float:
    """S(0) of x (n,): n times the variance of its mean.

    AR(p) by Levinson and Durbin's recursion, p minimising n log σ²_p + 2p up to 10 log10 n; σ²_p is corrected for the
    p + 1 numbers that were estimated.
    """
    n = len(x)
    if n < 2 or np.ptp(x) == 0.0:
        return 0.0
    most = min(n - 1, int(10 * np.log10(n)))
    r = autocovariances(x, most)
    phi, v = np.zeros(0), r[0]
    fits, criterion = [(phi, v)], [n * np.log(v)]
    for k in range(1, most + 1):
        a = (r[k] - phi @ r[k - 1 : 0 : -1]) / v if k > 1 else r[1] / v
        phi = np.append(phi - a * phi[::-1], a)
        v = v * (1.0 - a * a)
        if not v > 0:
            break
        fits.append((phi, v))
        criterion.append(n * np.log(v) + 2 * k)
    order = int(np.argmin(criterion))
    phi, v = fits[order]
    if n - order - 1 > 0:
        v = v * n / (n - order - 1)
    return float(v / (1.0 - phi.sum()) ** 2)


def geweke(x: Float, first: float = 0.1, last: float = 0.5) -> float:
    """z of the difference of the means of the first and the last part of a chain (n,) (Geweke 1992)."""
    n = len(x)
    a = x[: int(np.ceil(1 + first * (n - 1)))]
    b = x[int(np.floor(n - last * (n - 1))) - 1 :]
    spread = spectrum_at_zero(a) / len(a) + spectrum_at_zero(b) / len(b)
    return float((a.mean() - b.mean()) / np.sqrt(spread)) if spread > 0 else float("nan")


@dataclass(frozen=True)
class Heidel:
    """Heidelberger and Welch's (1983) tests of one chain.

    Attributes
    ----------
    passed : bool
        Stationary from `start` on.
    start : int
        Draws left out at the beginning (at most half of them); −1 where no start passed.
    pvalue : float
        Of the last Cramér-von Mises test that was made.
    mean, halfwidth : float
        Of the part that is left, and half of the 95 % interval of its mean; NaN where no part is left.
    precise : bool
        The half-width is less than a tenth of the mean.
    """

    passed: bool
    start: int
    pvalue: float
    mean: float
    halfwidth: float
    precise: bool


def heidel(x: Float, critical: float = CRITICAL, part: float = HALFWIDTH) -> Heidel:
    """The tests of a chain (n,): up to five tenths of it are left out until the rest looks stationary."""
    n = len(x)
    S = spectrum_at_zero(x[int(np.ceil(n / 2)) - 1 :])
    pvalue = 0.0
    for start in range(0, n // 2 + 1, max(1, n // 10)):
        rest = x[start:]
        m, mean = len(rest), float(rest.mean())
        if not S > 0:
            break
        bridge = np.cumsum(rest) - mean * np.arange(1, m + 1)
        pvalue = 1.0 - cramer_von_mises(float(np.sum(bridge**2)) / (m * m * S))
        if pvalue > critical:
            half = 1.959963984540054 * float(np.sqrt(spectrum_at_zero(rest) / m))
            return Heidel(True, start, pvalue, mean, half, mean != 0 and abs(half / mean) <= part)
    return Heidel(False, -1, pvalue, float("nan"), float("nan"), False)


def cramer_von_mises(x: float) -> float:
    """Limiting distribution function of the Cramér-von Mises statistic (Anderson & Darling 1952)."""
    if not x > 0:
        return 0.0
    if x > 5:  # what is left is below 1e-10
        return 1.0
    k = np.arange(20)
    y = 4 * k + 1.0
    q = y * y / (16 * x)
    weight = special.gamma(k + 0.5) / (special.gamma(0.5) * special.factorial(k))
    terms = weight * np.sqrt(y) * np.exp(-2 * q) * special.kve(0.25, q)
    return float(min(1.0, terms.sum() / (np.pi * np.sqrt(x))))
