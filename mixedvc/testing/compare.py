"""Comparison of two sets of numbers, with tolerances relative to the size of what is compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

BRUTE_FORCE = 1e-8  # quantities of a likelihood against explicit dense algebra
OPTIMUM = 1e-6  # parameters of one optimum reached by two routes
DERIVATIVE = 1e-5  # derivatives against finite differences
MONTE_CARLO = 4.0  # largest |z| of a simulated mean


def close(actual: ArrayLike, desired: ArrayLike, what: str, *, rtol: float = BRUTE_FORCE, scale: Any = None) -> None:
    """Assert |actual − desired| ≤ rtol · scale entry by entry.

    Parameters
    ----------
    actual, desired : array_like
        Equal shapes.
    what : str
        What is compared, for the message.
    rtol : float
    scale : array_like, optional
        Size of the numbers; the largest |desired| by default, so that an entry that is small by cancellation is
        judged by its neighbours.

    Raises
    ------
    AssertionError
        Names the quantity, the worst entry and both values.
    """
    a, d = np.asarray(actual, dtype=float), np.asarray(desired, dtype=float)
    assert a.shape == d.shape, f"{what}: shape {a.shape} where {d.shape} is expected"
    if d.size == 0:
        return
    assert np.isfinite(a).all(), f"{what}: not finite: {a}"
    size = np.broadcast_to(np.abs(d).max() if scale is None else np.asarray(scale, dtype=float), d.shape)
    excess = np.abs(a - d) - rtol * size
    worst = np.unravel_index(int(np.argmax(excess)), d.shape)
    assert excess[worst] <= 0, (
        f"{what}: {a[worst]!r} where {d[worst]!r} is expected at {tuple(map(int, worst))} "
        f"(difference {a[worst] - d[worst]:.3g}, allowed {rtol * size[worst]:.3g})"
    )


def z_scores(samples: ArrayLike, expected: ArrayLike, what: str, *, limit: float = MONTE_CARLO) -> None:
    """Assert that the mean over the first axis of `samples` lies within `limit` standard errors of `expected`."""
    s, e = np.asarray(samples, dtype=float), np.asarray(expected, dtype=float)
    error = s.std(axis=0, ddof=1) / np.sqrt(len(s))
    gap = s.mean(axis=0) - e
    constant = error < 1e-12 * (1 + np.abs(e))
    assert np.all(np.abs(gap[constant]) <= 1e-9 * (1 + np.abs(e[constant]))), f"{what}: constant but not as expected"
    z = np.abs(gap[~constant] / error[~constant])
    assert z.size == 0 or z.max() < limit, f"{what}: |z| = {z.max():.2f} (limit {limit}) over {len(s)} draws"
