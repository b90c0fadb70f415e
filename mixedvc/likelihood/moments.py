"""Moment equations S θ = q in a likelihood's own coordinates (MATH: 4).

    S_jk = tr(M V_j M V_k) = ⟨V_j, V_k⟩ − 2⟨V_jQ, V_kQ⟩ + ⟨QᵀV_jQ, QᵀV_kQ⟩,   q_j = yᵀ M V_j M y

on working rows (prior weights absorbed, so that the residual's V is the identity).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .gaussian import Frame

Float = NDArray[np.float64]


def moment_equations(frame: Frame, inner: Float, apply: Callable[[Float], Float]) -> tuple[Float, Float]:
    """S (m, m) and q (m,) from ⟨V_j, V_k⟩ in the frame's coordinates; directions outside see only the residual."""
    U = np.column_stack([frame.Q, frame.y])
    VU = apply(U)
    p = frame.Q.shape[1]
    VQ = VU[:, :, :p]
    QVQ = np.einsum("np,jnq->jpq", frame.Q, VQ, optimize=True)
    S = inner + projected_inner(VQ, QVQ)
    q = VU[:, :, p] @ frame.y
    S[-1, -1] += frame.extra
    return S, q


def projected_inner(VQ: Float, QVQ: Float) -> Float:
    """tr(M V_j M V_k) − ⟨V_j, V_k⟩ (m, m), from V_jQ (m, n, p) and QᵀV_jQ (m, p, p)."""
    m = len(VQ)
    flat, small = VQ.reshape(m, -1), QVQ.reshape(m, -1)
    return small @ small.T - 2.0 * (flat @ flat.T)
