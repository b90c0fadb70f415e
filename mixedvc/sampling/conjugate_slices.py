"""Slice sampling of a few coordinates, one after another, with stepping out (Neal 2003, Ann. Statist. 31:705)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
_OUT = 10  # widenings of a bracket
_TRIES = 100  # narrowings after which a coordinate stays where it is


def slice_coordinates(z: Float, log_density: Callable[[Float], float], rng: np.random.Generator, width: float) -> Float:
    """One sweep over the coordinates of z (d,); the density is the law that stays what it is.

    Parameters
    ----------
    log_density : callable
        Of z (d,), up to a constant; −∞ outside the support, finite at `z`.
    width : float
        First width of a bracket.
    """
    z = z.copy()
    here = log_density(z)
    for j in range(len(z)):
        here = _one(z, j, here, log_density, rng, width)
    return z


def _one(
    z: Float, j: int, here: float, log_density: Callable[[Float], float], rng: np.random.Generator, width: float
) -> float:
    """Move z[j] in place; the log density there."""
    start, level = float(z[j]), here + np.log(rng.random())

    def at(value: float) -> float:
        z[j] = value
        return log_density(z)

    low = start - width * rng.random()
    high = low + width
    left = int(rng.integers(_OUT + 1))
    right = _OUT - left
    while left > 0 and at(low) > level:
        low, left = low - width, left - 1
    while right > 0 and at(high) > level:
        high, right = high + width, right - 1
    for _ in range(_TRIES):
        value = rng.uniform(low, high)
        found = at(value)
        if found > level:
            return found
        low, high = (value, high) if value < start else (low, value)
    z[j] = start
    return here
