"""Equal-sized components of a block-diagonal matrix, factored as one stack: numbers, small matrices or large ones.

A component (s×s, symmetric) is stored column by column with its lower triangle filled, so that LAPACK factors a large
one in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import dense as la
from .products import mirror_lower

Float = NDArray[np.float64]
LAPACK_FROM = 48  # components this large, or this few, are factored one by one
FEW = 4


def lower_of(stored: Float) -> Float:
    """(b, s, s) components with [.., i, j], i ≥ j, filled, from stored columns (b, s, s); a view."""
    return stored.swapaxes(1, 2)


def symmetric(stored: Float) -> Float:
    """Full symmetric components from stored columns; a single one in its own place, above the diagonal."""
    if len(stored) == 1:
        mirror_lower(stored[0].T)
        return stored.swapaxes(1, 2)
    lower = np.tril(lower_of(stored))
    full = lower + lower.swapaxes(1, 2)
    np.einsum("bss->bs", full)[...] *= 0.5
    return full


@dataclass(frozen=True)
class StackFactor:
    """Cholesky factors of b components of one size s; `factor` is what the size asks for."""

    size: int
    logdet: float
    factor: Float | list[Float]  # (b,) pivots where s = 1, else Cholesky factors

    def solve(self, B: Float) -> Float:
        """S⁻¹ B for B (b, s, c)."""
        if self.size == 1:
            return B / self.factor[:, None, None]  # type: ignore[call-overload]
        if isinstance(self.factor, list):
            return np.stack([la.cho_solve(L, np.asfortranarray(b)) for L, b in zip(self.factor, B, strict=True)])
        half = la.small_solve(self.factor, B)
        return la.small_solve(self.factor.swapaxes(1, 2), half)

    def inverse(self) -> Float:
        """Stored lower triangles of S⁻¹, (b, s, s); anything above."""
        if self.size == 1:
            return (1.0 / np.asarray(self.factor))[:, None, None]
        if isinstance(self.factor, list):
            found = [la.cholesky_inverse(L).T for L in self.factor]
            return found[0][None] if len(found) == 1 else np.stack(found)
        half = la.small_solve(self.factor, np.broadcast_to(np.eye(self.size), self.factor.shape))
        return np.triu(half.swapaxes(1, 2) @ half)


def factor_stack(stored: Float) -> StackFactor:
    """Cholesky factors of stored components (b, s, s), which may be overwritten.

    Raises
    ------
    NotPositiveDefinite
        Where one of them is not.
    """
    size = stored.shape[1]
    if size == 1:
        pivots = stored[:, 0, 0].copy()
        if not pivots.min(initial=np.inf) > 0.0:
            raise la.NotPositiveDefinite(1)
        return StackFactor(1, float(np.log(pivots).sum()), pivots)
    if size < LAPACK_FROM and len(stored) > FEW:
        L = la.small_cholesky(lower_of(stored))
        return StackFactor(size, float(la.logdet_from_cholesky(L)), L)
    factors = [la.cholesky(part.T, overwrite=True, clear=False) for part in stored]
    return StackFactor(size, sum(la.logdet_from_cholesky(L) for L in factors), factors)
