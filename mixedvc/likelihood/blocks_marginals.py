"""Many θ at once of block-diagonal V: equal blocks are inverted once, and their data are summed before.

Twin pairs have two kinds of blocks however many pairs there are, subjects measured at the same times one: what the
likelihood needs of the data of equal blocks is Σ_b s_b s_bᵀ, s_b the rows of [Q, y] in a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la
from ..linalg.products import product
from ..linalg.small_stacks import spd_inverse_each
from ..linalg.stacks import stacked_cholesky
from .covariance_blocks import blocks_at
from .gaussian import Frame
from .marginals import Marginals, normal_equations

Float = NDArray[np.float64]
Index = NDArray[np.intp]
_AT_ONCE = 1 << 19  # numbers of V held at a time
_MOST = 1 << 25  # numbers of tables
LARGEST = 64  # rows of a block
SWEPT = 5  # rows up to which blocks are inverted by operations on all of them at once


@dataclass(frozen=True)
class Kind:
    """The different blocks of one size.

    Attributes
    ----------
    V : (m, u·s²)
        Every V_j in them.
    size : int
        s.
    counts : (u,)
        How many blocks there are of each.
    table : (u·s², c²)
        Σ_b s_i s_jᵀ of the rows i, j of equal blocks, c = p + 1 columns [Q, y].
    """

    V: Float
    size: int
    counts: Float
    table: Float


def kinds_of(frame: Frame, stacks: list[tuple[Index, Float]]) -> list[Kind] | None:
    """From rows (b, s) and V_j (m, b, s, s) of the blocks of each size; None where tables would not be small."""
    c = frame.Q.shape[1] + 1
    if any(index.shape[1] > LARGEST for index, _ in stacks):
        return None
    found = [_different(index, V) for index, V in stacks]
    if sum(len(first) * index.shape[1] ** 2 for index, _, first, _ in found) * c * c > _MOST:
        return None
    S = np.column_stack([frame.Q, frame.y])
    out = []
    for index, V, first, which in found:
        u, s = len(first), index.shape[1]
        table = np.empty((u, s, s, c, c))
        order = np.argsort(which, kind="stable")
        for g, blocks in enumerate(np.split(order, np.cumsum(np.bincount(which, minlength=u))[:-1])):
            flat = S[index[blocks]].reshape(len(blocks), s * c)
            table[g] = product(flat.T, flat).reshape(s, c, s, c).transpose(0, 2, 1, 3)
        counts = np.bincount(which, minlength=u).astype(np.float64)
        out.append(Kind(V[:, first].reshape(len(V), -1), s, counts, table.reshape(u * s * s, c * c)))
    return out


def share_that_differs(spec: ModelSpec, index: Index) -> float:
    """Part of the blocks of rows `index` (b, s) that differ in their effects or covariances, rows as they come."""
    parts = []
    for term in spec.all_terms:
        x, levels = term.basis[index], term.codes[index]
        parts.append(x.reshape(len(index), -1))
        if term.covariance.kind == "identity":
            parts.append((levels[:, :, None] == levels[:, None, :]).reshape(len(index), -1).astype(np.float64))
        else:
            parts.append(blocks_at(term.covariance, term.positions[levels]).reshape(len(index), -1))
    return len(np.unique(np.round(np.hstack(parts), 10), axis=0)) / len(index)


def _different(index: Index, V: Float) -> tuple[Index, Float, Index, Index]:
    """Rows and V of the blocks with rows in a standard order, the first of each different block, which each is."""
    m, b, s, _ = V.shape
    unit = np.abs(V).max(axis=(1, 2, 3), initial=0.0)
    unit = np.where(unit > 0.0, unit, 1.0)
    scaled = np.round(V / unit[:, None, None, None], 12)
    marks = np.concatenate([np.einsum("jbss->jbs", scaled), np.square(scaled).sum(axis=3)])  # alike in equal rows
    flat = np.round(marks, 9).reshape(2 * m, b * s)
    order = np.lexsort([*flat, np.repeat(np.arange(b), s)]).reshape(b, s) - np.arange(b)[:, None] * s
    at = np.arange(b)[:, None, None]
    turned = V[:, at, order[:, :, None], order[:, None, :]]
    key = np.round(turned / unit[:, None, None, None], 12).transpose(1, 0, 2, 3).reshape(b, -1) + 0.0
    seen: dict[bytes, int] = {}
    which = np.array([seen.setdefault(row.tobytes(), len(seen)) for row in key], dtype=np.intp)
    first = np.unique(which, return_index=True)[1]
    return np.take_along_axis(index, order, axis=1), turned, first, which


def blocks_marginals(frame: Frame, kinds: list[Kind], thetas: Float, reml: bool) -> Marginals:
    """Each row of `thetas` (K, m)."""
    numbers = max(sum(kind.V.shape[1] for kind in kinds), 1)
    step = max(1, _AT_ONCE // numbers)
    K, p = len(thetas), frame.Q.shape[1]
    logdet, sums, there = np.zeros(K), np.zeros((K, (p + 1) ** 2)), np.asarray(np.isfinite(thetas).all(axis=1))
    for start in range(0, K, step):
        at = slice(start, start + step)
        for kind in kinds:
            inverse, logs, good = _inverted(kind, thetas[at])
            there[at] &= good
            logdet[at] += logs @ kind.counts
            sums[at] += product(inverse, kind.table)
    sums = sums.reshape(K, p + 1, p + 1)
    found = normal_equations(sums[:, :p, :p], sums[:, p, :p])
    return found.marginals(frame.rows, logdet, sums[:, p, p] - found.explained, reml, there)


def _inverted(kind: Kind, thetas: Float) -> tuple[Float, Float, NDArray[np.bool_]]:
    """V⁻¹ of every different block (K, u·s²), its log-determinant (K, u), and the θ at which all are regular."""
    K, s, u = len(thetas), kind.size, len(kind.counts)
    V = product(np.where(np.isfinite(thetas), thetas, 0.0), kind.V).reshape(K * u, s, s)
    if s <= SWEPT:
        inverse, logs, good = spd_inverse_each(np.ascontiguousarray(V.transpose(1, 2, 0)))
        inverse = np.ascontiguousarray(inverse.transpose(2, 0, 1))
    else:
        L, good = stacked_cholesky(V)
        logs = 2.0 * np.log(np.einsum("kii->ki", L)).sum(axis=1)
        inverse = la.stacked_inverse(np.where(good[:, None, None], V, np.eye(s)))
    return inverse.reshape(K, u * s * s), logs.reshape(K, u), np.asarray(good.reshape(K, u).all(axis=1))
