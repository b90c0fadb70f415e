"""Dense factorisations and solves: the only place that calls LAPACK."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg as sl
from numpy.typing import NDArray
from scipy.linalg import lapack

from ..errors import MixedVCError

Float = NDArray[np.float64]


class NotPositiveDefinite(MixedVCError):
    """A matrix that should be positive definite is not; `order` is the leading minor that failed."""

    def __init__(self, order: int):
        self.order = order
        super().__init__(f"the leading minor of order {order} is not positive")


def _routine(name: str, A: Float) -> Any:
    """LAPACK's routine in the precision of A."""
    return getattr(lapack, ("s" if A.dtype == np.float32 else "d") + name)


def cholesky(A: Float, *, overwrite: bool = False, clear: bool = True) -> Float:
    """Lower Cholesky factor L of A (n×n, only the lower triangle is read), zeros above (or, if not `clear`, anything).

    With ``overwrite=True`` a Fortran-ordered `A` is turned into L in place.  Single precision stays single.
    """
    small = clear and len(A) <= 512
    L, info = _routine("potrf", A)(A, lower=1, clean=int(small), overwrite_a=int(overwrite))
    if info > 0:
        raise NotPositiveDefinite(int(info))
    return _clear_above(L) if clear and not small else L


def _clear_above(L: Float, block: int = 256) -> Float:
    """Zeros above the diagonal, in place, by blocks of columns (faster than LAPACK's wrapper does it)."""
    for start in range(0, len(L), block):
        stop = min(start + block, len(L))
        L[:start, start:stop] = 0.0
        corner = L[start:stop, start:stop]
        corner[...] = np.tril(corner)
    return L


def cholesky_inverse(L: Float, *, overwrite: bool = False) -> Float:
    """Lower triangle of A⁻¹ from its Cholesky factor L; the strict upper triangle is zero."""
    inverse, info = _routine("potri", L)(L, lower=1, overwrite_c=int(overwrite))
    if info > 0:
        raise NotPositiveDefinite(int(info))
    return inverse


def triangular_inverse(L: Float, *, overwrite: bool = False) -> Float:
    """L⁻¹ of a lower triangular L, half the work of `cholesky_inverse`."""
    inverse, info = _routine("trtri", L)(L, lower=1, overwrite_c=int(overwrite))
    if info > 0:
        raise NotPositiveDefinite(int(info))
    return inverse


def inverse_from_triangular(L_inverse: Float) -> Float:
    """Lower triangle of A⁻¹ = L⁻ᵀL⁻¹ from L⁻¹, in its place: the second half of `cholesky_inverse`."""
    return _routine("lauum", L_inverse)(L_inverse, lower=1, overwrite_c=1)[0]


def cho_solve(L: Float, B: Float) -> Float:
    """A⁻¹ B from the lower Cholesky factor L."""
    X, _ = _routine("potrs", L)(L, B, lower=1)
    return X if B.ndim == 2 else X.reshape(B.shape)


def solve_triangular(L: Float, B: Float, *, lower: bool = True, trans: bool = False) -> Float:
    """Solve L X = B (Lᵀ X = B with `trans`)."""
    return sl.solve_triangular(L, B, lower=lower, trans=int(trans), check_finite=False)


def logdet_from_cholesky(L: Float) -> float:
    """log|A| = 2 Σ log L_ii."""
    return 2.0 * float(np.log(np.einsum("...ii->...i", L)).sum())


def inverse_psd(A: Float) -> Float:
    """A⁻¹ for a symmetric positive definite A, full and symmetric."""
    return symmetrize_lower(cholesky_inverse(cholesky(A)))


def symmetrize_lower(A: Float) -> Float:
    """Full symmetric matrix from a lower triangle with zeros above."""
    full = A + A.T
    full[np.diag_indices_from(full)] *= 0.5
    return full


def eigh(A: Float, *, overwrite: bool = False) -> tuple[Float, Float]:
    """Eigenvalues (ascending) and eigenvectors of a symmetric matrix."""
    if overwrite:
        return sl.eigh(A, overwrite_a=True, check_finite=False, driver="evd")
    return sl.eigh(A, check_finite=False, driver="evd")


def eigvalsh(A: Float) -> Float:
    """Eigenvalues (ascending) of a symmetric matrix."""
    return sl.eigvalsh(A, check_finite=False)


def qr(A: Float) -> tuple[Float, Float]:
    """Thin Q (n×p) and R (p×p)."""
    return sl.qr(A, mode="economic", check_finite=False)


def small_qr(A: Float) -> tuple[Float, Float]:
    """Q and R of a small matrix, without the checks that take longer than the factorisation."""
    Q, R = np.linalg.qr(A)
    return Q, R


def lstsq(A: Float, b: Float) -> Float:
    """Least-squares solution of A x = b, minimum norm where A lacks full rank."""
    return sl.lstsq(A, b, check_finite=False)[0]


def svd(A: Float) -> tuple[Float, Float, Float]:
    """Thin singular value decomposition U, s, Vᵀ."""
    return sl.svd(A, full_matrices=False, check_finite=False)


def nearest_psd(A: Float, floor: float = 0.0) -> Float:
    """Symmetric A with eigenvalues below `floor` raised to it."""
    values, vectors = np.linalg.eigh(0.5 * (A + A.T))
    return (vectors * np.maximum(values, floor)) @ vectors.T


def psd_root(A: Float, tolerance: float = 1e-12) -> Float:
    """F (n×r) with A = F Fᵀ for a positive semi-definite A: Cholesky, or by eigenvectors where A is singular."""
    try:
        return cholesky(A)
    except NotPositiveDefinite:
        values, vectors = eigh(A)
        keep = values > tolerance * max(values[-1], 0.0)
        return vectors[:, keep] * np.sqrt(values[keep])


def small_eigh(A: Float) -> tuple[Float, Float]:
    """Eigen-decomposition of a small symmetric matrix (k×k), without LAPACK driver overhead worth tuning."""
    return np.linalg.eigh(A)


def small_root(A: Float) -> Float:
    """F (k×k) with A = F Fᵀ for a small A, its negative eigenvalues taken as zero."""
    values, vectors = small_eigh(A)
    return vectors * np.sqrt(np.maximum(values, 0.0))


def small_cholesky(A: Float) -> Float:
    """Cholesky factors of a stack of small matrices (..., k, k)."""
    try:
        return np.asarray(np.linalg.cholesky(A), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise NotPositiveDefinite(0) from None


def stacked_inverse(A: Float) -> Float:
    """Inverses of a stack (..., k, k)."""
    return np.asarray(np.linalg.inv(A), dtype=np.float64)


def small_solve(A: Float, B: Float) -> Float:
    """A⁻¹ B for a small general matrix."""
    try:
        return np.asarray(np.linalg.solve(A, B), dtype=np.float64)
    except np.linalg.LinAlgError:
        raise NotPositiveDefinite(0) from None


def factor_each(A: Float) -> NDArray[np.bool_]:
    """Cholesky factors of a stack (K, n, n) of larger matrices in place, and which exist.

    A[k] = UᵀU: the upper triangle is read and becomes U; what is below stays as it is.  Row-major.
    """
    if not A.flags.c_contiguous:
        raise ValueError("the stack is not row-major: its matrices would be factored in copies")
    there = np.ones(len(A), dtype=bool)
    for k, one in enumerate(A):
        if len(one):
            there[k] = lapack.dpotrf(one.T, lower=1, clean=0, overwrite_a=1)[1] == 0
    return there
