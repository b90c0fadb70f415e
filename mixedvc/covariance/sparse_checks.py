"""The checks of `checks`, for sparse matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ..errors import CovarianceError
from .checks import ASYMMETRY, Symmetrize
from .labels import Labels


def canonical(A: Any, what: str) -> sp.csr_array:
    """A float64 copy with sorted rows, duplicates summed and stored zeros dropped."""
    if not isinstance(A, sp.sparray | sp.spmatrix):
        raise CovarianceError(f"{what} must be a scipy sparse matrix, not {type(A).__name__}: use Dense(A, labels)")
    values: Any = A
    if values.dtype.kind not in "biuf":
        raise CovarianceError(f"{what} has entries of type {values.dtype}: a covariance is real numbers")
    out = sp.csr_array(values, dtype=np.float64, copy=True)
    out.sum_duplicates()
    out.eliminate_zeros()
    return out


def sparse_symmetric(A: sp.csr_array, index: Labels, what: str, symmetrize: Symmetrize) -> sp.csr_array:
    """`A` if finite and symmetric to rounding; else as `symmetrize` asks, or CovarianceError."""
    if symmetrize in ("lower", "upper"):
        half = sp.tril(A, -1) if symmetrize == "lower" else sp.triu(A, 1)
        A = sp.csr_array(half + half.T + sp.diags_array(A.diagonal()))
    _require_finite(A, index, what)
    if A.nnz == 0:
        raise CovarianceError(f"{what} is zero everywhere: a term with it has no variance")
    gap = abs(A - A.T).tocoo()
    worst = int(gap.data.argmax()) if gap.nnz else -1
    if worst < 0 or gap.data[worst] <= ASYMMETRY * abs(A).max():
        return A
    for filled, other in (("lower", sp.triu(A, 1)), ("upper", sp.tril(A, -1))):
        if other.count_nonzero() == 0:
            raise CovarianceError(
                f"{what} has only its {filled} triangle filled. Sparse(A, labels, symmetrize={filled!r}) mirrors it"
            )
    if symmetrize:
        return sp.csr_array(0.5 * (A + A.T))
    i, j = int(gap.row[worst]), int(gap.col[worst])
    a, b = index.values[i], index.values[j]
    raise CovarianceError(
        f"{what} is not symmetric: it has {A[i, j]:.6g} between {a!r} and {b!r} but {A[j, i]:.6g} between {b!r} and "
        f"{a!r}, the largest difference. If that is rounding, symmetrize=True takes the mean"
    )


def _require_finite(A: sp.csr_array, index: Labels, what: str) -> None:
    bad = np.flatnonzero(~np.isfinite(A.data))
    if len(bad):
        i = int(np.searchsorted(A.indptr, bad[0], side="right")) - 1
        a, b = index.values[i], index.values[int(A.indices[bad[0]])]
        raise CovarianceError(f"{what} has {A.data[bad[0]]} between {a!r} and {b!r}: every entry must be finite")
