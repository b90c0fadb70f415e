"""Moment equations of grouping factors from their tables of counts (MATH: 4), in the time of their non-zeros.

    S_jk = tr(M V_j M V_k) = ⟨V_j, V_k⟩ − 2⟨V_jQ, V_kQ⟩ + ⟨QᵀV_jQ, QᵀV_kQ⟩,   q_j = yᵀ M V_j M y

with V_j = Z E_j Zᵀ: ⟨V_j, V_k⟩ sums squares of the counts in which two factors' levels meet.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .grouped_layout import Layout
from .rows import Rows

Float = NDArray[np.float64]


def grouped_moments(layout: Layout, rows: Rows, ZQ: Float, Zy: Float) -> tuple[Float, Float]:
    """S (m, m) and q (m,) on working rows; y is already free of Q."""
    spec, p = layout.spec, rows.p
    where = {term: (f, at) for f, factor in enumerate(layout.factors) for term, at in factor.members}
    index = [(*where[w.term], w.a, w.b) for w in spec.index if w.term < len(spec.terms)]
    orders = [(f, [(at + a, at + b)] if a == b else [(at + a, at + b), (at + b, at + a)]) for f, at, a, b in index]
    m = len(index) + 1
    S, q = np.empty((m, m)), np.empty(m)
    B = np.zeros((layout.size, m - 1, p))  # E_j ZᵀQ
    for j, (f, pairs) in enumerate(orders):
        factor = layout.factors[f]
        u, U = factor.levels(Zy[:, None])[:, :, 0], factor.levels(ZQ)
        made = np.zeros_like(U)
        for a, b in pairs:
            made[:, a] += U[:, b]
        B[factor.where, j] = made.reshape(factor.size, p)
        q[j] = sum(float(u[:, a] @ u[:, b]) for a, b in pairs)
        for i, (g, others) in enumerate(orders[: j + 1]):
            S[i, j] = S[j, i] = sum(_shared(layout, g, f, c, d, a, b) for c, d in others for a, b in pairs)
    q[-1] = float(rows.y @ rows.y)
    own = [sum(float(layout.own[f][a, b].sum()) for a, b in pairs) for f, pairs in orders]
    S[-1, :-1] = S[:-1, -1] = own
    S[-1, -1] = rows.n
    turned = layout.turned
    return turned.information(S + _projected(layout, ZQ, B, p)), turned.dual(q)


def _shared(layout: Layout, f: int, g: int, a: int, b: int, c: int, d: int) -> float:
    """tr(Z_aZ_bᵀ Z_cZ_dᵀ) of two factors (f before or equal to g)."""
    if f == g:
        values = layout.own[f]
        return float(values[b, c] @ values[d, a])
    first, second, swap = (f, g, False) if f < g else (g, f, True)
    values = layout.meetings[first, second].data
    return float(values[c, b] @ values[d, a]) if swap else float(values[b, c] @ values[a, d])


def _projected(layout: Layout, ZQ: Float, B: Float, p: int) -> Float:
    """−2⟨V_jQ, V_kQ⟩ + ⟨QᵀV_jQ, QᵀV_kQ⟩ of all parameters, the residual (V = I) last."""
    m = B.shape[1] + 1
    flat = B.reshape(len(B), -1)
    images = np.zeros((m, p, p))
    images[:-1] = np.einsum("sp,sjr->jpr", ZQ, B, optimize=True)
    images[-1] = np.eye(p)
    inner = np.empty((m, m))
    products = (flat.T @ (layout.gram @ flat)).reshape(m - 1, p, m - 1, p)
    inner[:-1, :-1] = np.einsum("jpkp->jk", products)
    inner[-1, :-1] = inner[:-1, -1] = np.einsum("jpp->j", images[:-1])
    inner[-1, -1] = p
    small = images.reshape(m, -1)
    return small @ small.T - 2.0 * inner
