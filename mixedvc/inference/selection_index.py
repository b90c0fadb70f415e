"""Selection on several traits at once: an index of BLUPs, how sure it is, and what selecting by it is expected to give.

The merit of a level is H = wᵀu, w the value of one unit of each trait.  Its best predictor is I = wᵀû (Henderson 1963,
in Statistical Genetics and Plant Breeding, NAS-NRC 982:141): û of all traits together needs no other weights.

    PEV = wᵀ Var(û − u) w,      accuracy r = √(1 − PEV / (wᵀGw a_ii))

Selecting a fraction α by I moves the mean of trait a by (Hazel 1943, Genetics 28:476; Cochran 1951, Proc. 2nd Berkeley
Symp. 449)

    ΔG_a = i · Cov(u_a, I) / √Var(I),    i = φ(z)/α, z the normal quantile above which α lie,

with Cov(u, û) = Var(û) = G a_ii − PEV averaged over the candidates; i is that of an infinite number of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Index:
    """An index of L levels; every array is (L,).

    Attributes
    ----------
    value : (L,)
        wᵀû.
    pev : (L,)
        wᵀ Var(û − u) w.
    accuracy : (L,)
        √(1 − PEV/prior); NaN where the index has no variance.
    """

    value: Float
    pev: Float
    accuracy: Float


def index(u: Float, pev: Float, prior: Float, w: Float) -> Index:
    """The index of BLUPs u (L, k) with error covariances pev and prior covariances prior (L, k, k), weights w (k,)."""
    error, total = np.einsum("a,lab,b->l", w, pev, w), np.einsum("a,lab,b->l", w, prior, w)
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = np.where(total > 0, 1.0 - error / total, np.nan)
    return Index(u @ w, error, np.sqrt(np.clip(reliability, 0.0, None)))


def intensity(fraction: float) -> float:
    """i = φ(z)/α: the mean of the top fraction of a standard normal."""
    if fraction == 1.0:
        return 0.0
    return float(stats.norm.pdf(stats.norm.isf(fraction)) / fraction)


def expected_gain(pev: Float, prior: Float, w: Float, fraction: float) -> Float:
    """(k,) ΔG of each effect when the top `fraction` by the index is selected; zero where the index does not vary."""
    C = np.mean(prior - pev, axis=0)
    variance = float(w @ C @ w)
    if variance <= 0.0:
        return np.zeros(len(w))
    return np.asarray(intensity(fraction) * (C @ w) / np.sqrt(variance))
