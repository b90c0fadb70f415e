"""Many θ at once of one grouping factor: levels with the same Z_lᵀZ_l are eliminated once (MATH: 2b).

    SᵀV⁻¹S = (SᵀS − Σ_l b_lᵀM_lb_l)/σ²,   b_l = Z_lᵀS, S = [Q, y],   M_l = L(σ²I + LᵀN_lL)⁻¹Lᵀ

The levels' data enter as Σ b_l b_lᵀ of equal levels, so that the cost is that of the different N_l, whatever the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linalg.products import product
from ..linalg.small_stacks import spd_inverse_each
from .grouped_layout import Layout
from .marginals import Marginals, normal_equations
from .rows import Rows
from .woodbury_marginals import stacked_root

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
_AT_ONCE = 1 << 18  # numbers of M held at a time
_CANCELS = 1e-6  # part of SᵀS/σ² that is left, below which too few digits are
_SINGULAR = 1e-7  # least eigenvalue of a turned Σ, relative to its variances, that is not rounding


@dataclass(frozen=True)
class Levels:
    """The different levels of the one factor.

    Attributes
    ----------
    N : (k, k, u)
        Z_lᵀZ_l of each.
    counts : (u,)
    table : (u·k², c²)
        Σ b_l b_lᵀ of equal levels, c = p + 1 columns [Q, y].
    total : (c, c)
        SᵀS.
    """

    N: Float
    counts: Float
    table: Float
    total: Float


def levels_of(layout: Layout, rows: Rows, ZS: Float) -> Levels:
    """From ZᵀS (q·k, c) of the one factor."""
    first, S = layout.first, np.column_stack([rows.Q, rows.y])
    k, q, c = first.k, first.q, S.shape[1]
    N = layout.own[0]
    size = float(np.abs(N).max(initial=0.0))
    key = np.round(N.reshape(k * k, q).T / (size if size > 0.0 else 1.0), 14)
    _, lead, which = np.unique(key + 0.0, axis=0, return_index=True, return_inverse=True)
    which = which.reshape(-1)
    b = ZS.reshape(q, k * c)
    order = np.argsort(which, kind="stable")
    counts = np.bincount(which)
    outer = np.empty((len(lead), k * c, k * c))
    if len(lead) == q:
        outer[which] = b[:, :, None] * b[:, None, :]
    else:
        for u, members in enumerate(np.split(order, np.cumsum(counts)[:-1])):
            outer[u] = product(b[members].T, b[members])
    table = outer.reshape(len(lead), k, c, k, c).transpose(0, 1, 3, 2, 4).reshape(len(lead) * k * k, c * c)
    return Levels(N[:, :, lead], counts.astype(np.float64), np.ascontiguousarray(table), S.T @ S)


def grouped_marginals(layout: Layout, rows: Rows, levels: Levels, thetas: Float, reml: bool) -> tuple[Marginals, Bools]:
    """Each row of `thetas` (K, m), and where too many digits cancel for this way."""
    K, p = len(thetas), rows.p
    k, u = levels.N.shape[0], levels.N.shape[2]
    s2 = thetas[:, -1]
    there = np.logical_and.reduce(np.isfinite(thetas), axis=1) & (s2 > 0.0)
    s2 = np.where(there, s2, 1.0)
    root, good, doubtful = _roots(layout, thetas)
    there = there & good
    logdet, sums = np.empty(K), np.empty((K, (p + 1) ** 2))
    step = max(1, _AT_ONCE // (u * k * k))
    for start in range(0, K, step):
        at = slice(start, start + step)
        M, logs, regular = _inner(levels.N, root[at], s2[at])
        there[at] &= regular
        logdet[at] = logs @ levels.counts
        sums[at] = levels.total.reshape(-1) - product(M, levels.table)
    left = sums.reshape(K, p + 1, p + 1)
    logdet = logdet + (rows.n - layout.size) * np.log(s2)
    whole = np.diagonal(levels.total)
    thin = (np.einsum("kcc->kc", left)[:, :p] < _CANCELS * whole[:p]).any(axis=1)
    left = left / s2[:, None, None]
    found = normal_equations(left[:, :p, :p], left[:, p, :p])
    yPy = left[:, p, p] - found.explained
    thin = thin | (yPy * s2 < _CANCELS * whole[p])
    out = found.marginals(rows, logdet, yPy, reml, there)
    return out, there & (thin | doubtful | ~found.there)


def _inner(N: Float, root: Float, s2: Float) -> tuple[Float, Float, Bools]:
    """M (K, u·k²), log|σ²I + LᵀNL| (K, u), and where all are regular."""
    (k, _, u), K = N.shape, len(root)
    half = np.einsum("kba,bcu->kacu", root, N)
    W = np.einsum("kacu,kcd->adku", half, root)
    W[np.arange(k), np.arange(k)] += s2[:, None]
    inverse, logs, good = spd_inverse_each(np.ascontiguousarray(W).reshape(k, k, K * u))
    inverse = inverse.reshape(k, k, K, u)
    M = np.einsum("kacu,kdc->kuad", np.einsum("kab,bcku->kacu", root, inverse), root)
    regular = np.logical_and.reduce(good.reshape(K, u), axis=1)
    return np.ascontiguousarray(M).reshape(K, u * k * k), logs.reshape(K, u), regular


def _roots(layout: Layout, thetas: Float) -> tuple[Float, Bools, Bools]:
    """(K, k, k) L of all the factor's terms, where Σ ⪰ 0, and where a turned Σ is too near to singular to say."""
    working = np.array(thetas, dtype=np.float64)
    for place, mixing in layout.turned.mixing:
        working[:, place] = working[:, place] @ mixing.T
    first = layout.first
    root = np.zeros((len(thetas), first.k, first.k))
    good, doubtful = np.ones(len(thetas), dtype=bool), np.zeros(len(thetas), dtype=bool)
    starts = np.cumsum([0, *(len(term.structure.pairs) for term in layout.spec.terms)])
    for term, at in first.members:
        of = layout.spec.terms[term]
        Sigma = np.zeros((len(thetas), of.k, of.k))
        for j, (a, b) in enumerate(of.structure.pairs):
            Sigma[:, a, b] = Sigma[:, b, a] = working[:, starts[term] + j]
        L, fine = stacked_root(Sigma)
        root[:, at : at + of.k, at : at + of.k] = L
        if of.k > 1 and layout.turned.turns[term] is not None:
            least = np.square(L).sum(axis=1).min(axis=1)
            near = ~fine | (least < _SINGULAR * np.einsum("kaa->ka", np.abs(Sigma)).max(axis=1))
            doubtful |= near
            fine = fine | near
        good &= fine
    return root, good, doubtful
