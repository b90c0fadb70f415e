"""Solves with sparse unit triangular matrices through SuperLU: nothing is filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray

Float = NDArray[np.float64]


@dataclass(frozen=True)
class UnitTriangular:
    """Solves with a sparse unit lower triangular matrix; nothing is filled in."""

    _lu: Any
    _L: Any

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process as its matrix: SuperLU's factors cannot travel."""
        return unit_triangular, (self._L,)

    def solve(self, B: Float) -> Float:
        """L⁻¹ B for B (n,) or (n×c)."""
        return self._lu.solve(np.asarray(B, dtype=np.float64))

    def solve_transposed(self, B: Float) -> Float:
        """L⁻ᵀ B."""
        return self._lu.solve(np.asarray(B, dtype=np.float64), trans="T")


def unit_triangular(L: Any) -> UnitTriangular:
    """Solver of a sparse lower triangular matrix with ones on its diagonal."""
    columns: Any = sp.csc_array(L, dtype=np.float64)
    lu = sla.splu(columns, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"Equil": False})
    return UnitTriangular(lu, columns)
