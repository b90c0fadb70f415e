"""Many θ at once where V is diagonal: sums over the coordinates as one product with products of columns.

With w = 1/v of every θ (K, n'), the entries of QᵀV⁻¹Q, QᵀV⁻¹y and yᵀV⁻¹y are w times the products of two columns of
[Q, y] coordinate by coordinate, which do not depend on θ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linalg.products import product

Float = NDArray[np.float64]
_AT_ONCE = 1 << 16  # numbers of a (θ, coordinates) array held at a time: it stays in cache
_TABLE = 1 << 23  # numbers of the table of products; more columns are multiplied out θ by θ


@dataclass(frozen=True)
class ColumnSums:
    """Sums Σ_i w_i s_i s_iᵀ of the rows s_i of S (n', c), for many w."""

    S: Float
    table: Float | None  # (n', c (c + 1)/2)

    @staticmethod
    def of(S: Float) -> ColumnSums:
        n, c = S.shape
        if n * c * (c + 1) // 2 > _TABLE:
            return ColumnSums(S, None)
        i, j = np.tril_indices(c)
        return ColumnSums(S, np.asfortranarray(S[:, i] * S[:, j]))

    def sums(self, W: Float) -> Float:
        """(K, c, c) for W (K, n')."""
        c = self.S.shape[1]
        if self.table is None:
            return np.stack([product((self.S * w[:, None]).T, self.S) for w in W])
        flat = product(W, self.table)
        out = np.empty((len(W), c, c))
        i, j = np.tril_indices(c)
        out[:, i, j] = flat
        out[:, j, i] = flat
        return out


def pieces(K: int, n: int) -> list[slice]:
    """θ at a time, so that arrays of n numbers for each stay in cache."""
    step = max(1, _AT_ONCE // max(n, 1))
    return [slice(start, min(start + step, K)) for start in range(0, K, step)]
