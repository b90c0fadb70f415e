"""How close to a package that stops early: as close as the log-likelihood it leaves behind allows.

A fit whose log-likelihood is Δ below the maximum has parameters at most about √(2Δ) standard errors away.
"""

import numpy as np

FLOOR = 1e-9  # log-likelihoods of some hundred units carry about 1e-10 of rounding


def allowance(ours: float, theirs: float, largest: float = 1e-3) -> float:
    """√(2Δ), three times over; asserts that ours is not below theirs and that they are at one optimum."""
    assert ours >= theirs - 0.5e-7 * abs(2 * theirs), f"our criterion is worse: {ours!r} where {theirs!r} was reached"
    assert ours <= theirs + largest, f"{ours!r} is far above {theirs!r}: another optimum?"
    return 3 * np.sqrt(2 * max(ours - theirs, FLOOR))


def within(actual, desired, size, what: str) -> None:
    """Assert |actual − desired| ≤ size, entry by entry."""
    a, d = np.asarray(actual, dtype=float), np.asarray(desired, dtype=float)
    assert a.shape == d.shape, f"{what}: {a.shape} where {d.shape} is expected"
    gap = np.abs(a - d) - np.broadcast_to(size, d.shape)
    worst = np.unravel_index(np.argmax(gap), d.shape) if d.size else ()
    assert d.size == 0 or gap[worst] <= 0, f"{what}: {a[worst]!r} where {d[worst]!r} is expected at {worst}"
