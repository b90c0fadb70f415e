"""Cov(q)_jk = 2 tr(A_j Ω A_k Ω) of a Gaussian response: by n×n products where they fit, else by random probes.

A_j = M B_j M with B_j = V_j over all entries, ½(V_j + D_j) over the upper triangle (D_j = diag W_j), so that
tr(A_j Ω A_k Ω) = tr(B_j Ω' B_k Ω') with Ω' = M Ω M = Ω − Q Tᵀ − T Qᵀ,  T = ΩQ − ½ Q QᵀΩQ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..likelihood.kernels import times
from ..linalg.memory import available_bytes
from .base import Variant
from .levels import rank
from .operators import Operator, Operators
from .probes import probe_covariance

if TYPE_CHECKING:
    from .exact import OperatorMoments

Float = NDArray[np.float64]
_MOST_CUBED = 2e12  # n³ of a product that is still made
_BLOCK = 256
INEXACT = 1e12  # flops at which an exact Cov(q) is valued above one by probes


def covariance(
    moments: OperatorMoments, variant: Variant, theta: Float, *, most_rows: int | None = None
) -> tuple[Float, Float | None]:
    """Cov(q) and its Monte-Carlo standard error (None: exact); says in `moments.fallback` why probes were used."""
    theta = np.asarray(theta, dtype=np.float64)
    reason = too_much(moments.operators, most_rows)
    moments.fallback, moments.covariance_probes = reason, None
    if not reason:
        return dense_covariance(moments, variant, theta), None
    return probe_covariance(moments, variant, theta)


def too_much(operators: Operators, most_rows: int | None = None) -> str:
    """Why n×n products are not made; empty where they are."""
    n = operators.rows.n
    if float(n) ** 3 > _MOST_CUBED or (most_rows is not None and n > most_rows):
        return f"products of {n:,}×{n:,} matrices would take long"
    need = 8 * n * n * (operators.m + 2)
    if need > 0.7 * available_bytes():
        return f"products of {n:,}×{n:,} matrices need {need / 2**30:.1f} GiB"
    return ""


def dense_covariance(moments: OperatorMoments, variant: Variant, theta: Float) -> Float:
    """Cov(q) with one product of n×n matrices for each kernel (k of them for a term of k effects)."""
    operators = moments.operators
    Omega = projected_variance(operators, theta)
    P = [V for op in operators.random for V in _products(op, Omega)]
    P += [Omega if np.all(d == 1.0) else d[:, None] * Omega for d in operators.residual]
    m = len(P)
    C, F = np.empty((m, m)), np.empty((m, len(Omega)))
    for j in range(m):
        for k in range(j, m):
            C[j, k] = C[k, j] = _paired(P[j], P[k]).sum()
        if variant.entries == "upper":
            F[j] = _paired(Omega, P[j])
    if variant.entries == "all":
        return 2.0 * C
    D = moments.products.diagonals(variant)
    X = D @ F.T
    return 0.5 * (C + X + X.T + _squares(D, Omega))


def projected_variance(operators: Operators, theta: Float) -> Float:
    """M V(θ) M as a full Fortran-ordered matrix."""
    n, Q = operators.rows.n, operators.rows.Q
    Omega = np.zeros((n, n), order="F")
    at = 0
    for op in operators.random:
        part = theta[at : at + len(op.pairs)]
        at += len(op.pairs)
        if part.any():
            _add(op, part, Omega)
    Omega.ravel(order="K")[:: n + 1] += theta[at:] @ operators.residual
    OQ = times(Omega, np.asfortranarray(Q)) if Q.shape[1] else np.zeros((n, 0))
    T = OQ - 0.5 * Q @ (Q.T @ OQ)
    for start in range(0, n, _BLOCK):
        cols = slice(start, start + _BLOCK)
        Omega[:, cols] -= Q @ T[cols].T + T @ Q[cols].T
    return Omega


def _add(op: Operator, part: Float, Omega: Float) -> None:
    """Ω += Σ θ_j V_j, full, block by block of the lower triangle."""
    n = len(Omega)
    step = max(_BLOCK, n // 16) if op.computed else _BLOCK
    for start in range(0, n, step):
        stop = min(start + step, n)
        V = sum(value * panel for value, panel in zip(part, op.panel(start, stop), strict=True))
        Omega[:stop, start:stop] += V.T
        Omega[start:stop, :start] += V[:, :start]


def _products(op: Operator, Omega: Float) -> list[Float]:
    """V_j Ω' of each parameter of a term."""
    n, k = op.basis.shape
    low = Can.LOW_RANK in op.term.covariance.can and 2 * rank(op.term) < n
    if low or op.term.covariance.can & (Can.SPARSE | Can.PRECISION):
        out = [np.empty((n, n), order="F") for _ in op.pairs]
        step = max(1, 2**22 // (n * len(op.pairs)))
        for start in range(0, n, step):
            cols = slice(start, start + step)
            for into, found in zip(out, op.apply(Omega[:, cols]), strict=True):
                into[:, cols] = found
        return out
    K = op.stored if op.stored is not None else _full(op)
    if op.plain:
        return [times(K, Omega)]
    KO = [times(K, np.asfortranarray(op.basis[:, a, None] * Omega)) for a in range(k)]
    out = []
    for a, b in op.pairs:
        V = op.basis[:, a, None] * KO[b]
        if a != b:
            V += op.basis[:, b, None] * KO[a]
        out.append(V)
    return out


def _full(op: Operator) -> Float:
    """A among the rows, formed."""
    K = np.empty((op.n, op.n), order="F")
    step = max(_BLOCK, op.n // 16) if op.computed else _BLOCK
    for start in range(0, op.n, step):
        stop = min(start + step, op.n)
        K[:stop, start:stop] = op.kernel(start, stop).T
        K[start:stop, :start] = K[:start, start:stop].T
    return K


def _paired(A: Float, B: Float) -> Float:
    """(n,) row sums of A ∘ Bᵀ: their sum is tr(A B)."""
    out = np.zeros(len(A))
    for start in range(0, len(A), _BLOCK):  # so that the transpose stays in cache
        part = slice(start, start + _BLOCK)
        out[part] = np.einsum("ij,ji->i", A[part], B[:, part])
    return out


def _squares(D: Float, Omega: Float) -> Float:
    """d_jᵀ (Ω' ∘ Ω') d_k."""
    out = np.zeros((len(D), len(D)))
    for start in range(0, len(Omega), _BLOCK):
        part = slice(start, start + _BLOCK)
        out += (D @ Omega[:, part] ** 2) @ D[:, part].T
    return out
