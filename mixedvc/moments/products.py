"""S and q of every variant from ⟨V_j, V_k⟩, V_jQ, diag V_j and rᵀV_jr: the projection identity (MATH: 4).

tr(M V_j M V_k) = ⟨V_j, V_k⟩ − 2⟨V_jQ, V_kQ⟩ + ⟨QᵀV_jQ, QᵀV_kQ⟩,   M = I − QQᵀ is never formed
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..likelihood.moments import projected_inner
from .base import Variant

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Products:
    """What one pass over the kernels leaves.

    Attributes
    ----------
    inner : (m, m)
        ⟨V_j, V_k⟩.
    VQ : (m, n, p)
    quad : (m,)
        rᵀV_jr of the projected response.
    diagonal : (m, n)
        diag V_j.
    Q : (n, p)
    """

    inner: Float
    VQ: Float
    quad: Float
    diagonal: Float
    Q: Float

    @cached_property
    def QVQ(self) -> Float:
        """(m, p, p): QᵀV_jQ."""
        return np.einsum("np,jnq->jpq", self.Q, self.VQ, optimize=True)

    def diagonals(self, variant: Variant) -> Float:
        """(m, n): diag W_j."""
        if not variant.projection:
            return self.diagonal
        return self.diagonal + projected_diagonal(self.VQ, self.QVQ, self.Q)

    def S(self, variant: Variant) -> Float:
        """(m, m): ⟨W_j, W_k⟩ over the entries of the variant."""
        S = self.inner + projected_inner(self.VQ, self.QVQ) if variant.projection else self.inner.copy()
        if variant.entries == "upper":
            D = self.diagonals(variant)
            S = 0.5 * (S + D @ D.T)
        return S

    def q(self, variant: Variant, quad: Float, squares: Float) -> Float:
        """q from tr(V_j G) and diag G of a projected outer product G: (m, …) from (m, …) and (n, …)."""
        if variant.entries == "all":
            return quad.copy()
        return 0.5 * (quad + self.diagonals(variant) @ squares)


def projected_diagonal(VQ: Float, QVQ: Float, Q: Float) -> Float:
    """diag(M V_j M) − diag(V_j), (m, n)."""
    return np.einsum("jnp,np->jn", Q @ QVQ - 2.0 * VQ, Q, optimize=True)
