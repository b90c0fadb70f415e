"""The step of a quadratic model inside a box, by an active set (a handful of coordinates)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la

Float = NDArray[np.float64]


def box_step(H: Float, g: Float, low: Float, high: Float) -> Float:
    """argmax gᵀd − ½ dᵀHd subject to low ≤ d ≤ high, H positive definite.

    Coordinates that a step would push out are held at their bound; those whose multiplier has the wrong sign are
    let go again.  Each change raises the model, so it ends.
    """
    n = len(g)
    d = np.zeros(n)
    held = ((low >= 0.0) & (g <= 0.0)) | ((high <= 0.0) & (g >= 0.0))
    if n and not held.any():
        free_step = la.small_solve(H, g)
        if ((low <= free_step) & (free_step <= high)).all():  # mostly: nothing in the way
            return free_step
    for _ in range(8 * n + 8):
        free = ~held
        target = d.copy()
        if free.any():
            rest = g[free] - H[np.ix_(free, held)] @ d[held]
            target[free] = la.small_solve(H[np.ix_(free, free)], rest)
        reach = _reach(d, target, low, high, free)
        d = d + reach * (target - d)
        if reach < 1.0:
            hit = free & (((d <= low + 1e-15) & (target < d)) | ((d >= high - 1e-15) & (target > d)))
            d[hit & (target < low)] = low[hit & (target < low)]
            d[hit & (target > high)] = high[hit & (target > high)]
            held = held | hit
            continue
        multiplier = g - H @ d
        wrong = held & (((d <= low) & (multiplier > 1e-12)) | ((d >= high) & (multiplier < -1e-12)))
        wrong &= low < high
        if not wrong.any():
            break
        held[np.flatnonzero(wrong)[np.argmax(np.abs(multiplier[wrong]))]] = False
    return np.clip(d, low, high)


def _reach(d: Float, target: Float, low: Float, high: Float, free: NDArray[np.bool_]) -> float:
    """Largest part of the way to `target` that stays in the box."""
    move = target - d
    with np.errstate(divide="ignore", invalid="ignore"):
        room = np.where(move < 0, (low - d) / move, np.where(move > 0, (high - d) / move, np.inf))
    room = np.where(free & np.isfinite(room), room, np.inf)
    return float(min(1.0, room.min(initial=np.inf)))


def relative_step(B: Float, gradient: Float, q: Float, low: Float, high: Float) -> Float:
    """Newton step with positive variances in log scale: where ℓ bends on the scale of the variance itself."""
    positive = (low > -np.inf) & (high == np.inf) & (q > 0)
    t = np.where(positive, q, 1.0)
    g = gradient * t
    H = B * t[:, None] * t + np.diag(np.where(positive, np.abs(g), 0.0))
    limit = np.where(positive, 1.5, np.inf)
    held = np.where(positive | (low < 0) | (high < np.inf), 1.0, 0.0)
    step = box_step(H, g * held, np.where(positive, -limit, low), np.where(positive, limit, high))
    return np.clip(np.where(positive, q * np.expm1(np.clip(step, -1.5, 1.5)), step), low, high)
