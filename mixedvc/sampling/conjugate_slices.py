"""Slice sampling of single coordinates with stepping out (Neal 2003, Ann. Statist. 31:705), several points at a time.

What would be looked at next, were a point refused, is known before it is looked at: such points are evaluated together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
LogDensity = Callable[[Float], Float]  # (K, d) → (K,), −∞ outside the support
_OUT = 8  # widenings of a bracket
_AHEAD = 4  # points looked at together
_TRIES = 25  # times that many, after which a coordinate stays where it is


def slice_coordinates(
    z: Float, log_density: LogDensity, rng: np.random.Generator, width: float, which: Iterable[int] | None = None
) -> Float:
    """Move coordinates of z (d,) one after another; the density is the law that stays what it is.

    Parameters
    ----------
    log_density : callable
        Up to a constant; finite at `z`.
    width : float
        First width of a bracket; may depend on anything but z.
    which : iterable of int, optional
        These coordinates; all by default.
    """
    z = z.copy()
    for j in range(len(z)) if which is None else which:
        z[j] = _moved(z, j, log_density, rng, width)
    return z


def _moved(z: Float, j: int, log_density: LogDensity, rng: np.random.Generator, width: float) -> float:
    """A new value of z[j]."""

    def at(values: NDArray[np.floating]) -> Float:
        points = np.tile(z, (len(values), 1))
        points[:, j] = values
        return log_density(points)

    start, low = float(z[j]), float(z[j]) - width * rng.random()
    high = low + width
    here, *ends = at(np.array([start, low, high])).tolist()
    level = here + np.log(rng.random())
    left = int(rng.integers(_OUT + 1))
    if ends[0] > level:
        low = _stepped(low, -width, left, at, level)
    if ends[1] > level:
        high = _stepped(high, width, _OUT - left, at, level)
    for _ in range(_TRIES):
        values = np.empty(_AHEAD)
        for i in range(_AHEAD):
            values[i] = rng.uniform(low, high)
            low, high = (values[i], high) if values[i] < start else (low, values[i])
        above = np.flatnonzero(at(values) > level)
        if len(above):
            return float(values[above[0]])
    return start


def _stepped(end: float, step: float, most: int, at: Callable[[NDArray[np.floating]], Float], level: float) -> float:
    """The first of at most `most` ends further out that is below the level, else the last."""
    done = 0
    while done < most:
        ends = end + step * np.arange(1, min(_AHEAD, most - done) + 1)
        below = np.flatnonzero(~(at(ends) > level))
        if len(below):
            return float(ends[below[0]])
        done, end = done + len(ends), float(ends[-1])
    return end
