"""Numbers of draws: centre, spread, intervals, and how far Monte-Carlo error lets them be trusted.

Draws come as (C, D): C chains of D draws.  Effective sample sizes, R-hat and Monte-Carlo errors are those of Vehtari et
al. (2021), computed by arviz-stats.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtra, OptionError

Float = NDArray[np.float64]
INTERVALS = ("hdi", "quantile")
GRID = 1024  # points of a density


def check_interval(interval: str | None) -> str:
    """ "hdi" (the default) or "quantile"."""
    if interval is None:
        return "hdi"
    if interval not in INTERVALS:
        raise OptionError(
            f"interval={interval!r} is not one of 'hdi' (highest posterior density), 'quantile': the intervals of a "
            "posterior are made from its draws"
        )
    return interval


def hdi(x: Float, level: float = 0.95) -> tuple[float, float]:
    """The shortest interval between two draws that holds `level` of them (coda's HPDinterval)."""
    values = np.sort(np.ravel(x))
    n = len(values)
    if n < 2:
        return float(values[0]), float(values[-1])
    gap = max(1, min(n - 1, round(n * level)))
    width = values[gap:] - values[:-gap]
    at = int(np.argmin(width))
    return float(values[at]), float(values[at + gap])


def quantiles(x: Float, level: float = 0.95) -> tuple[float, float]:
    """The interval with (1 − level)/2 of the draws on either side."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(x, [tail, 1.0 - tail])
    return float(low), float(high)


def limits(x: Float, level: float, interval: str) -> tuple[float, float]:
    """The interval of kind `interval`; NaN where draws are not numbers."""
    if not np.isfinite(x).all():
        return float("nan"), float("nan")
    return hdi(x, level) if interval == "hdi" else quantiles(x, level)


def bandwidth(x: Float) -> float:
    """Silverman's rule of thumb, 0.9 min(s, IQR/1.34) n^-1/5 (R's bw.nrd0)."""
    values = np.ravel(x)
    s = float(np.std(values, ddof=1))
    low, high = np.quantile(values, [0.25, 0.75])
    spread = min(s, float(high - low) / 1.34) or s or abs(float(values[0])) or 1.0
    return 0.9 * spread * len(values) ** -0.2


def density(
    x: Float, adjust: float = 1.0, lower: float | None = None, upper: float | None = None
) -> tuple[Float, Float]:
    """Gaussian kernel density on a grid; draws are mirrored at the ends of their range, where it has any.

    Returns
    -------
    grid, density : (GRID,)
    """
    values = np.ravel(x)
    h = bandwidth(values) * adjust
    low, high = float(values.min()) - 4 * h, float(values.max()) + 4 * h
    low = low if lower is None else max(low, lower)
    high = high if upper is None else min(high, upper)
    grid = np.linspace(low, high, GRID)
    step = grid[1] - grid[0]
    pad = int(np.ceil(5 * h / step)) + 1
    counts = np.zeros(GRID + 2 * pad)
    place = (values - low) / step + pad
    base = np.clip(np.floor(place).astype(np.intp), 0, len(counts) - 2)
    part = np.clip(place - base, 0.0, 1.0)
    np.add.at(counts, base, 1.0 - part)
    np.add.at(counts, base + 1, part)
    offsets = step * np.arange(-pad, pad + 1)
    weight = np.exp(-0.5 * (offsets / h) ** 2) / (h * np.sqrt(2 * np.pi) * len(values))
    from scipy.signal import fftconvolve

    smooth = fftconvolve(counts, weight, mode="same")
    out = smooth[pad : pad + GRID].copy()
    if lower is not None and low == lower:
        out[1 : pad + 1] += smooth[pad - 1 :: -1][:pad][: GRID - 1]
        out[0] *= 2
    if upper is not None and high == upper:
        out[-2 : -pad - 2 : -1] += smooth[pad + GRID :][:pad][: GRID - 1]
        out[-1] *= 2
    return grid, np.maximum(out, 0.0)


def mode(x: Float, adjust: float = 1.0, lower: float | None = None, upper: float | None = None) -> float:
    """Where the kernel density is highest; MCMCglmm's posterior.mode has ``adjust=0.1``."""
    values = np.ravel(x)
    if not np.isfinite(values).all() or values.min() == values.max():
        return float(values[0])
    grid, height = density(values, adjust, lower, upper)
    return float(grid[np.argmax(height)])


# ---- what arviz-stats computes --------------------------------------------------------------------------------------


def array_stats(purpose: str = "effective sample sizes and R-hat") -> Any:
    """arviz-stats' functions of arrays.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    try:
        import arviz_stats.base
    except ImportError:
        raise MissingExtra("arviz-stats", "bayes", purpose) from None
    return arviz_stats.base.array_stats  # type: ignore[attr-defined]


def there() -> bool:
    """Whether arviz-stats is installed."""
    try:
        array_stats()
    except MissingExtra:
        return False
    return True


def _asked(function: Callable[..., Any], x: Float, **options: Any) -> float:
    """NaN where draws do not move, are not numbers or are too few."""
    if x.shape[1] < 4 or not np.isfinite(x).all() or np.ptp(x) == 0.0:
        return float("nan")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return float(function(np.ascontiguousarray(x), chain_axis=0, draw_axis=1, **options))


def ess_bulk(x: Float) -> float:
    """Effective sample size in the bulk: how sure the mean is."""
    return _asked(array_stats().ess, x, method="bulk")


def ess_tail(x: Float) -> float:
    """Effective sample size in the tails: the smaller of those of the 5 % and 95 % quantiles."""
    return _asked(array_stats().ess, x, method="tail", prob=(0.05, 0.95))


def rhat(x: Float) -> float:
    """Rank-normalised split R-hat; of one chain that of its halves."""
    if x.shape[0] == 1:
        half = x.shape[1] // 2
        x = np.stack([x[0, :half], x[0, -half:]]) if half else x
    return _asked(array_stats().rhat, x, method="rank")


def mcse(x: Float, method: str = "mean", prob: float | None = None) -> float:
    """Monte-Carlo standard error of the mean, the standard deviation ("sd"), the median or a quantile."""
    options: dict[str, float] = {} if prob is None else {"prob": prob}
    return _asked(array_stats().mcse, x, method=method, **options)


@dataclass(frozen=True)
class Numbers:
    """One quantity in numbers; those of arviz-stats are NaN where it is not installed.

    Attributes
    ----------
    mean, sd, median, lower, upper : float
    ess_bulk, ess_tail, rhat, mcse : float
        `mcse` is of the mean.
    """

    mean: float
    sd: float
    median: float
    lower: float
    upper: float
    ess_bulk: float = float("nan")
    ess_tail: float = float("nan")
    rhat: float = float("nan")
    mcse: float = float("nan")


def numbers(x: Float, level: float = 0.95, interval: str = "hdi") -> Numbers:
    """All numbers of draws (C, D)."""
    flat = np.ravel(x)
    moves = np.ptp(flat) > 0 if np.isfinite(flat).all() else True
    sd = float(np.std(flat, ddof=1)) if len(flat) > 1 and moves else 0.0 if not moves else float("nan")
    mean = float(np.mean(flat)) if moves else float(flat[0])
    centre = (mean, sd, float(np.median(flat)), *limits(flat, level, interval))
    if not there():
        return Numbers(*centre)
    return Numbers(*centre, ess_bulk(x), ess_tail(x), rhat(x), mcse(x))
