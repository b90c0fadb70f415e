"""Intervals of many posteriors at once, from their draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError

Float = NDArray[np.float64]
KINDS = ("hdi", "quantile")
_CHUNK = 8_000_000  # numbers sorted at once


def check_kind(kind: str) -> str:
    """ "hdi" or "quantile"."""
    if kind not in KINDS:
        raise OptionError(
            f"kind={kind!r} is not one of 'hdi' (the shortest interval), 'quantile' (equal tails): intervals of a "
            "posterior are made from its draws"
        )
    return kind


def limits(x: Float, level: float, kind: str) -> tuple[Float, Float]:
    """Lower and upper ends (...) of the interval of each column of draws x (N, ...); NaN where a draw is NaN."""
    x = np.asarray(x)
    flat = x.reshape(len(x), -1)
    step = max(1, _CHUNK // len(x))
    parts = [_slab(flat[:, at : at + step], level, kind) for at in range(0, flat.shape[1], step)]
    if not parts:
        return np.empty(x.shape[1:]), np.empty(x.shape[1:])
    lower, upper = (np.concatenate(ends).reshape(x.shape[1:]) for ends in zip(*parts, strict=True))
    return lower, upper


def _slab(x: Float, level: float, kind: str) -> tuple[Float, Float]:
    if kind == "quantile":
        tail = (1.0 - level) / 2.0
        low, high = np.quantile(x, [tail, 1.0 - tail], axis=0)
        return low, high
    values, n = np.sort(x, axis=0), len(x)
    if n < 2:
        return values[0], values[-1]
    gap = max(1, min(n - 1, round(n * level)))
    at = np.argmin(values[gap:] - values[:-gap], axis=0)
    columns = np.arange(x.shape[1])
    lost = np.isnan(values[-1])  # NaN sorts last
    return np.where(lost, np.nan, values[at, columns]), np.where(lost, np.nan, values[at + gap, columns])
