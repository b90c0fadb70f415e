"""Random probes: traces of products from V_j times random signs, with their Monte-Carlo error (Hutchinson).

tr(H) = E zᵀHz for independent signs z; needs products V_jz alone, so that any covariance will do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .base import Variant

if TYPE_CHECKING:
    from .exact import OperatorMoments

Float = NDArray[np.float64]
DEFAULT_PROBES = 100


def signs(rng: np.random.Generator, n: int, count: int) -> Float:
    """(n, count) independent ±1."""
    return 2.0 * rng.integers(0, 2, size=(n, count)).astype(np.float64) - 1.0


def probe_covariance(moments: OperatorMoments, variant: Variant, theta: Float) -> tuple[Float, Float]:
    """2 tr(A_j Ω A_k Ω) as the mean over probes x = Mz of (Ω'B_jx)·(B_kΩ'x), and the standard error of the mean.

    One probe serves every entry, so that errors of entries go together: for any weights c, cᵀCc is itself the
    Hutchinson estimate of 2 tr((A_cΩ)²) with A_c = Σ c_jA_j, and a sandwich S⁻¹CS⁻¹ magnifies nothing.  What each
    probe says is left in `moments.covariance_probes`.
    """
    from .exact import take_out, width

    n, Q, m = moments.rows.n, moments.rows.Q, moments.m
    count, rng = moments.n_probes or DEFAULT_PROBES, moments.generator()
    D = moments.products.diagonals(variant) if variant.entries == "upper" else None
    found, step = np.empty((count, m, m)), max(1, width(m, n) // (m + 2))
    for start in range(0, count, step):
        c = min(step, count - start)
        X = take_out(Q, signs(rng, n, c))
        VX = moments.apply(X)
        U = take_out(Q, np.tensordot(theta, VX, axes=1))
        left = _halved(VX, D, X, Q)
        right = _halved(moments.apply(U), D, U, Q)
        flat = left.transpose(1, 0, 2).reshape(n, m * c)
        left = moments.operators.combine(theta, flat).reshape(n, m, c)
        found[start : start + c] = np.einsum("njc,knc->cjk", left, right, optimize=True)
    found += found.swapaxes(1, 2)  # the mean of both orders, times the 2 of the formula
    moments.covariance_probes = found
    return found.mean(axis=0), found.std(axis=0, ddof=1) / np.sqrt(count)


def _halved(VX: Float, D: Float | None, X: Float, Q: Float) -> Float:
    """(m, n, c): M B_j X."""
    from .exact import take_out

    if D is not None:
        VX = 0.5 * (VX + D[:, :, None] * X)
    return np.stack([take_out(Q, V) for V in VX])
