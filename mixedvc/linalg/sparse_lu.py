"""Sparse solves through SuperLU: symmetric positive definite matrices and unit triangular ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray

from .dense import NotPositiveDefinite

Float = NDArray[np.float64]


@dataclass(frozen=True)
class SparseFactor:
    """Q[order][:, order] = L D Lᵀ of a sparse symmetric positive definite Q.

    Attributes
    ----------
    order : (n,) intp
        Fill-reducing order.
    pivots : (n,) float
        Diagonal of D.
    """

    order: NDArray[np.intp]
    pivots: Float
    _lu: Any
    _lower: Any

    def solve(self, B: Float) -> Float:
        """Q⁻¹ B for B (n,) or (n×c)."""
        return self._lu.solve(np.asarray(B, dtype=np.float64))

    def logdet(self) -> float:
        """log|Q|."""
        return float(np.log(self.pivots).sum())

    def correlate(self, Z: Float) -> Float:
        """Columns with covariance Q⁻¹ from columns Z (n×c) of independent standard normals."""
        out = np.empty_like(Z)
        out[self.order] = self._lower.solve_transposed(Z / np.sqrt(self.pivots)[:, None])
        return out


@dataclass(frozen=True)
class UnitTriangular:
    """Solves with a sparse unit lower triangular matrix; nothing is filled in."""

    _lu: Any

    def solve(self, B: Float) -> Float:
        """L⁻¹ B for B (n,) or (n×c)."""
        return self._lu.solve(np.asarray(B, dtype=np.float64))

    def solve_transposed(self, B: Float) -> Float:
        """L⁻ᵀ B."""
        return self._lu.solve(np.asarray(B, dtype=np.float64), trans="T")


def unit_triangular(L: Any) -> UnitTriangular:
    """Solver of a sparse lower triangular matrix with ones on its diagonal."""
    return UnitTriangular(_superlu(L, "NATURAL"))


def sparse_cholesky(Q: Any) -> SparseFactor:
    """Factor of a sparse symmetric Q (n×n) in a fill-reducing order.

    Raises
    ------
    NotPositiveDefinite
        Where a pivot is not positive; pivoting is held to the diagonal, so the pivots' signs are Q's inertia.
    """
    lu = _superlu(Q, "MMD_AT_PLUS_A")
    pivots = lu.U.diagonal()
    off_diagonal = bool(np.any(lu.perm_r != lu.perm_c))
    bad = np.flatnonzero(~(pivots > 0))
    if off_diagonal or len(bad):
        raise NotPositiveDefinite(int(bad[0]) + 1 if len(bad) else 0)
    order = np.argsort(lu.perm_c).astype(np.intp)
    return SparseFactor(order, pivots, lu, unit_triangular(lu.L))


def _superlu(A: Any, order: Literal["NATURAL", "MMD_AT_PLUS_A"]) -> Any:
    options = {"Equil": False, "SymmetricMode": order != "NATURAL"}
    try:
        columns: Any = sp.csc_array(A, dtype=np.float64)
        return sla.splu(columns, permc_spec=order, diag_pivot_thresh=0.0, options=options)
    except RuntimeError:  # "Factor is exactly singular"
        raise NotPositiveDefinite(0) from None
