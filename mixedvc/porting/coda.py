"""coda's summaries and diagnostics of one chain: effective sizes, HPD intervals, Geweke, Heidelberger, Raftery.

Each function takes the frame of a chain (iterations × variables, such as ``m.VCV``) or one variable of it and returns
coda's numbers; ``x.attrs["mcpar"]`` holds first iteration, last iteration and thinning, as ``mcpar(x)`` in R.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import gamma, kve, ndtri

from ..errors import DataError, OptionError
from .codaprint import Autocorr, Geweke, Heidel, Hpd, Raftery, SummaryMcmc
from .rvalues import RVector

Float = NDArray[np.float64]


def mcpar(x: Any) -> tuple[int, int, int]:
    """First iteration, last iteration and thinning of a chain; 1, n, 1 where it does not say."""
    n = len(x)
    given = getattr(x, "attrs", {}).get("mcpar")
    if given is None or given[0] + (n - 1) * given[2] != given[1]:
        return 1, n, 1
    return int(given[0]), int(given[1]), int(given[2])


def as_chain(x: Any, function: str, least: int = 1) -> pd.DataFrame:
    """The chain as a frame with a column a variable, checked."""
    if isinstance(x, pd.Series):
        made = x.to_frame("var1" if x.name is None else str(x.name))
        made.attrs = dict(x.attrs)
    elif isinstance(x, pd.DataFrame):
        made = x
    else:
        values = np.asarray(x, dtype=np.float64)
        if values.ndim not in (1, 2):
            raise DataError(f"{function}() takes a chain, e.g. m.VCV or m.VCV['animal'], not a {type(x).__name__}")
        values = values.reshape(len(values), -1)
        made = pd.DataFrame(values, columns=[f"var{j + 1}" for j in range(values.shape[1])])
    if len(made) < least:
        raise DataError(f"{function}(): the chain has {len(made)} draws, and at least {least} are needed")
    values = made.to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=0))
    if len(bad):
        raise DataError(f"{function}(): {made.columns[bad[0]]!r} has values that are not finite")
    return made


def _each(x: pd.DataFrame, of: Callable[[Float], float]) -> RVector:
    return RVector([of(x.iloc[:, j].to_numpy(dtype=np.float64)) for j in range(x.shape[1])], index=list(x.columns))


# ---- spectral density at zero and effective size ---------------------------------------------------------------------


def autoregression(x: Float) -> tuple[Float, float]:
    """Yule-Walker fit of an autoregression, its order by AIC as R's ``ar``: coefficients and innovation variance."""
    n = len(x)
    most = min(n - 1, int(10 * np.log10(n)))
    d = x - x.mean()
    acf = np.array([d[: n - k] @ d[k:] / n for k in range(most + 1)])
    if acf[0] == 0.0:
        return np.empty(0), 0.0
    variances, fits = [acf[0]], [np.empty(0)]
    for order in range(1, most + 1):  # Levinson and Durbin
        last = fits[-1]
        partial = (acf[order] - last @ acf[order - 1 : 0 : -1]) / variances[-1]
        fits.append(np.append(last - partial * last[::-1], partial))
        variances.append(variances[-1] * (1.0 - partial * partial))
    with np.errstate(divide="ignore", invalid="ignore"):
        aic = n * np.log(variances) + 2.0 * np.arange(most + 1)
    order = int(np.nanargmin(aic))
    return fits[order], float(variances[order] * n / (n - (order + 1)))


def spectrum0(x: Float) -> float:
    """Spectral density at frequency zero by an autoregression; 0 where the chain is a straight line."""
    t = np.arange(len(x)) - (len(x) - 1) / 2
    d = x - x.mean()
    slope = (t @ d) / (t @ t) if len(x) > 1 else 0.0
    left = d - slope * t
    if len(x) < 3 or np.sqrt(left @ left / (len(x) - 1)) < 1.5e-8:
        return 0.0
    coefficients, variance = autoregression(x)
    return float(variance / (1.0 - coefficients.sum()) ** 2)


def effectiveSize(x: Any) -> RVector:
    """coda's effective sample size of each variable: n times its variance over the spectral density at zero.

    `effective_size_bulk` is the rank-normalised one of Vehtari et al. (2021), which the rest of mixedvc reports.
    """
    chain = as_chain(x, "effectiveSize", 2)

    def one(v: Float) -> float:
        spectrum = spectrum0(v)
        return 0.0 if spectrum == 0.0 else float(len(v) * v.var(ddof=1) / spectrum)

    return _each(chain, one)


def effective_size_bulk(x: Any) -> RVector:
    """Bulk effective sample size (Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021), by arviz-stats."""
    from ..results.posterior_numbers import ess_bulk

    chain = as_chain(x, "effective_size_bulk", 4)
    return _each(chain, lambda v: float(ess_bulk(v[None, :])))


def batchSE(x: Any, batchSize: int = 100) -> RVector:
    """Standard error of the mean of each variable from the means of batches."""
    chain = as_chain(x, "batchSE", 2 * batchSize)
    count = len(chain) // batchSize

    def one(v: Float) -> float:
        means = v[: count * batchSize].reshape(count, batchSize).mean(axis=1)
        return float(np.sqrt(batchSize * means.var(ddof=1) / len(v)))

    return _each(chain, one)


# ---- intervals and modes ---------------------------------------------------------------------------------------------


def HPDinterval(x: Any, prob: float = 0.95) -> Hpd:
    """The shortest interval of each variable that holds a share `prob` of the draws."""
    if not 0 < prob < 1:
        raise OptionError(f"prob={prob!r}: a number between 0 and 1")
    chain = as_chain(x, "HPDinterval", 2)
    rows = [hpd(chain.iloc[:, j].to_numpy(dtype=np.float64), prob) for j in range(chain.shape[1])]
    made = Hpd(rows, index=list(chain.columns), columns=["lower", "upper"])
    made.attrs["Probability"] = round(len(chain) * prob) / len(chain)
    return made


def hpd(v: Float, prob: float) -> tuple[float, float]:
    """Shortest interval as coda counts draws in it."""
    ordered, n = np.sort(v), len(v)
    gap = max(1, min(n - 1, round(n * prob)))
    first = int(np.argmin(ordered[gap:] - ordered[: n - gap]))
    return float(ordered[first]), float(ordered[first + gap])


def posterior_mode(x: Any, adjust: float = 0.1) -> RVector:
    """MCMCglmm's ``posterior.mode``: where a Gaussian kernel density, `adjust` times R's bandwidth, is highest."""
    if not adjust > 0:
        raise OptionError(f"adjust={adjust!r}: a positive number")
    return _each(as_chain(x, "posterior_mode", 2), lambda v: _mode(v, adjust))


def _mode(v: Float, adjust: float) -> float:
    """The peak of R's ``density``: draws binned linearly on 1,024 points, convolved, read off at 512."""
    n, points = len(v), 512
    sd = float(v.std(ddof=1))
    spread = min(sd, float(np.subtract(*np.quantile(v, [0.75, 0.25]))) / 1.34) or sd or abs(float(v[0])) or 1.0
    width = adjust * 0.9 * spread * n**-0.2
    low, high = v.min() - 7 * width, v.max() + 7 * width
    place = (v - low) / ((high - low) / (points - 1))
    at = np.clip(np.floor(place).astype(np.intp), 0, points - 2)
    mass = np.zeros(2 * points)
    np.add.at(mass, at, 1.0 - (place - at))
    np.add.at(mass, at + 1, place - at)
    grid = np.linspace(0.0, 2 * (high - low), 2 * points)
    grid[points + 1 :] = -grid[points - 1 : 0 : -1]
    kernel = np.exp(-0.5 * (grid / width) ** 2)
    smooth = np.fft.ifft(np.fft.fft(mass) * np.conj(np.fft.fft(kernel))).real[:points]
    shown = np.linspace(v.min() - 3 * width, v.max() + 3 * width, points)
    density = np.interp(shown, np.linspace(low, high, points), np.maximum(smooth, 0.0))
    return float(shown[int(np.argmax(density))])


# ---- autocorrelation -------------------------------------------------------------------------------------------------


def _lags(
    chain: pd.DataFrame, lags: Iterable[int] | None, relative: bool, function: str
) -> tuple[list[int], list[str]]:
    thin = mcpar(chain)[2]
    asked = [int(lag) for lag in ((0, 1, 5, 10, 50) if lags is None else lags)]
    if not relative:
        wrong = [lag for lag in asked if lag % thin]
        if wrong:
            raise OptionError(f"{function}(lags=…): {wrong[0]} is no multiple of the thinning interval {thin}")
        asked = [lag // thin for lag in asked]
    if lags is None:
        asked = [lag for lag in asked if lag < len(chain)]
    late = [lag for lag in asked if not 0 <= lag < len(chain)]
    if late:
        raise OptionError(f"{function}(lags=…): lag {late[0]} in a chain of {len(chain)} draws")
    return asked, [f"Lag {lag * thin}" for lag in asked]


def _correlations(values: Float, lag: int) -> Float:
    """(k, k) correlation of variable i at t + lag with variable j at t."""
    n = len(values)
    d = values - values.mean(axis=0)
    sd = np.sqrt((d * d).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        made: Float = (d[lag:].T @ d[: n - lag]) / np.outer(sd, sd)
    return made


def autocorr(x: Any, lags: Iterable[int] | None = None, relative: bool = True) -> Autocorr:
    """Auto- and cross-correlations: by variable, a table of lags × variables, as ``autocorr(m$VCV)`` prints them."""
    chain = as_chain(x, "autocorr", 2)
    asked, names = _lags(chain, lags, relative, "autocorr")
    found = np.stack([_correlations(chain.to_numpy(dtype=np.float64), lag) for lag in asked])
    columns = [str(c) for c in chain.columns]
    tables = {name: pd.DataFrame(found[:, :, j], index=names, columns=columns) for j, name in enumerate(columns)}
    return Autocorr(tables)


def autocorr_diag(x: Any, lags: Iterable[int] | None = None, relative: bool = True) -> pd.DataFrame:
    """Autocorrelation of each variable: a table of lags × variables."""
    from .rvalues import frame

    chain = as_chain(x, "autocorr_diag", 2)
    asked, names = _lags(chain, lags, relative, "autocorr_diag")
    found = [np.diagonal(_correlations(chain.to_numpy(dtype=np.float64), lag)) for lag in asked]
    return frame(pd.DataFrame(found, index=names, columns=list(chain.columns)))


# ---- convergence -----------------------------------------------------------------------------------------------------


def _window(v: Float, par: tuple[int, int, int], start: float, end: float) -> Float:
    """Draws whose iteration is between `start` and `end`."""
    time = par[0] + par[2] * np.arange(len(v))
    return v[(time >= start - 1e-9) & (time <= end + 1e-9)]


def geweke_diag(x: Any, frac1: float = 0.1, frac2: float = 0.5) -> Geweke:
    """Geweke's (1992) z: the mean of the first share of the chain against that of the last."""
    if not (0 <= frac1 <= 1 and 0 <= frac2 <= 1 and frac1 + frac2 <= 1):
        raise OptionError(f"geweke_diag(frac1={frac1!r}, frac2={frac2!r}): shares whose sum is at most 1")
    chain = as_chain(x, "geweke_diag", 20)
    par = mcpar(chain)
    first, last, _ = par
    ends = (np.ceil(first + frac1 * (last - first)), np.floor(last - frac2 * (last - first)))

    def one(v: Float) -> float:
        parts = (_window(v, par, first, ends[0]), _window(v, par, ends[1], last))
        means = [part.mean() for part in parts]
        variance = sum(spectrum0(part) / len(part) for part in parts)
        return float((means[0] - means[1]) / np.sqrt(variance)) if variance > 0 else float("nan")

    return Geweke(_each(chain, one), frac1, frac2)


def cramer(q: float) -> float:
    """Limit distribution of the Cramér-von Mises statistic (Anderson & Darling 1952, eq. 4.35), four terms."""
    if not q > 0:
        return 0.0
    k = np.arange(4)
    u = (4 * k + 1) ** 2 / (16.0 * q)
    z = gamma(k + 0.5) * np.sqrt(4.0 * k + 1.0) / (gamma(k + 1.0) * np.pi**1.5 * np.sqrt(q))
    return float(np.sum(z * np.exp(-2.0 * u) * kve(0.25, u)))


def heidel_diag(x: Any, eps: float = 0.1, pvalue: float = 0.05) -> Heidel:
    """Heidelberger & Welch's (1983) tests: stationarity, dropping tenths of the chain until passed, and half-width."""
    chain = as_chain(x, "heidel_diag", 20)
    rows = [_heidel(chain.iloc[:, j].to_numpy(dtype=np.float64), eps, pvalue) for j in range(chain.shape[1])]
    return Heidel(rows, index=list(chain.columns), columns=["stest", "start", "pvalue", "htest", "mean", "halfwidth"])


def _heidel(v: Float, eps: float, level: float) -> tuple[float, ...]:
    n, nan = len(v), float("nan")
    spectrum = spectrum0(v[int(np.ceil(n / 2)) - 1 :])
    start, statistic, passed = 0, nan, False
    for first in np.arange(1.0, n / 2 + 1e-9, n / 10):
        start = int(np.ceil(first)) - 1
        y = v[start:]
        if spectrum > 0:
            bridge = np.cumsum(y) - y.mean() * np.arange(1, len(y) + 1)
            statistic = float((bridge * bridge).sum() / (len(y) * spectrum) / len(y))
            passed = cramer(statistic) < 1 - level
        if passed:
            break
    half = 1.96 * np.sqrt(spectrum0(v[start:]) / (n - start))
    p = nan if np.isnan(statistic) else 1.0 - cramer(statistic)
    if not passed:
        return 0.0, nan, p, nan, nan, nan
    mean = float(v[start:].mean())
    return 1.0, float(start + 1), p, float(abs(half / mean) <= eps), mean, float(half)


def raftery_diag(x: Any, q: float = 0.025, r: float = 0.005, s: float = 0.95, converge_eps: float = 0.001) -> Raftery:
    """Raftery & Lewis's (1992) run length for the quantile `q` to within ±`r` with probability `s`."""
    if not (0 < q < 1 and r > 0 and 0 < s < 1 and converge_eps > 0):
        raise OptionError(f"raftery_diag(q={q!r}, r={r!r}, s={s!r}): shares between 0 and 1")
    chain = as_chain(x, "raftery_diag", 2)
    phi = float(ndtri(0.5 * (1.0 + s)))
    least = int(np.ceil(q * (1.0 - q) * phi * phi / (r * r)))
    rows: list[tuple[float, ...]] = []
    if least <= len(chain):
        thin = mcpar(chain)[2]
        columns = (chain.iloc[:, j].to_numpy(dtype=np.float64) for j in range(chain.shape[1]))
        rows = [_raftery(v, thin, q, (phi / r) ** 2, converge_eps, least) for v in columns]
    table = pd.DataFrame(rows, index=list(chain.columns) if rows else None, columns=["M", "N", "Nmin", "I"])
    return Raftery(table, q, r, s, least)


def _raftery(v: Float, thin: int, q: float, precision: float, eps: float, least: int) -> tuple[float, ...]:
    below = (v <= np.quantile(v, q)).astype(np.intp)
    step = 0
    while True:  # thin until the indicator is a first-order chain rather than a second-order one
        step += 1
        some = below[::step]
        counts = np.zeros((2, 2, 2))
        np.add.at(counts, (some[:-2], some[1:-1], some[2:]), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            fitted = counts.sum(axis=2)[:, :, None] * counts.sum(axis=0)[None] / counts.sum(axis=(0, 2))[None, :, None]
            parts = np.where(counts > 0, counts * np.log(counts / fitted), 0.0)
        if 2.0 * parts.sum() - 2.0 * np.log(len(some) - 2) < 0 or len(some) < 5:
            break
    moves = np.zeros((2, 2))
    np.add.at(moves, (some[:-1], some[1:]), 1.0)
    alpha, beta = moves[0, 1] / moves[0].sum(), moves[1, 0] / moves[1].sum()
    with np.errstate(divide="ignore"):
        burn = np.log(eps * (alpha + beta) / max(alpha, beta)) / np.log(abs(1.0 - alpha - beta))
    keep = (2.0 - alpha - beta) * alpha * beta * precision / (alpha + beta) ** 3
    every = step * thin
    M, N = int(np.ceil(burn)) * every, int(np.ceil(keep)) * every
    return float(M), float(N + M), float(least), float(f"{(M + N) / least:.3g}")


def summary_mcmc(x: Any, quantiles: Iterable[float] = (0.025, 0.25, 0.5, 0.75, 0.975)) -> SummaryMcmc:
    """coda's ``summary`` of a chain: means, standard deviations, their standard errors, quantiles."""
    chain = as_chain(x, "summary", 2)
    values, n = chain.to_numpy(dtype=np.float64), len(chain)
    sd = values.std(axis=0, ddof=1)
    spectral = np.sqrt([spectrum0(values[:, j]) / n for j in range(values.shape[1])])
    statistics = pd.DataFrame(
        {"Mean": values.mean(axis=0), "SD": sd, "Naive SE": sd / np.sqrt(n), "Time-series SE": spectral},
        index=list(chain.columns),
    )
    shares = list(quantiles)
    table = pd.DataFrame(np.quantile(values, shares, axis=0).T, index=list(chain.columns))
    table.columns = [f"{100 * share:.3g}%" for share in shares]
    return SummaryMcmc(statistics, table, mcpar(chain))
