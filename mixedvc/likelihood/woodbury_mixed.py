"""The small matrix of many θ where the effects of a term share their columns: combined before they are summed.

An effect of each trait on the same levels has the same columns of S for every trait, so that the combination of the
effects by Σ = L Lᵀ acts on the t×t weights of the nodes, Lᵀ(d*G + R)⁻¹L, and each block of the small matrix is one
product of weights with a table.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linalg.products import product
from .woodbury_frame import WoodburyFrame

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """Columns of the small matrix that come from one block of S: `mix` (K or 1, t, s) is traits → copies of it."""

    block: slice
    mix: Float
    start: int

    @property
    def width(self) -> int:
        return self.block.stop - self.block.start

    def place(self, copy: int) -> slice:
        return slice(self.start + copy * self.width, self.start + (copy + 1) * self.width)


class PairTables:
    """Sums over the nodes' records of the products of the columns of two blocks, (N, w·w'), made when asked for."""

    def __init__(self, sums: Float, c: int):
        self._sums = sums.reshape(len(sums), c, c)
        self._made: dict[tuple[int, int, int, int], Float] = {}

    def between(self, one: slice, two: slice) -> Float:
        key = (one.start, one.stop, two.start, two.stop)
        if key not in self._made:
            part = self._sums[:, one, two]
            self._made[key] = np.ascontiguousarray(part).reshape(len(part), -1)
        return self._made[key]


def shares_columns(frame: WoodburyFrame) -> bool:
    """Whether every term's effects have the same columns."""
    return all(len({block.start for block in term.blocks}) == 1 for term in frame.low)


def mixed(frame: WoodburyFrame, tables: PairTables, weights: Float, roots: list[Float]) -> Float:
    """(K, q, q) upper triangle of I + ΛᵀFᵀWFΛ bordered by the fixed effects and y, q = order + p + 1.

    `weights` (K, t, t, N) are (d*G + R)⁻¹ at the nodes, `roots` L (K, k, k) of every term of low rank.
    """
    K, t = len(weights), frame.t
    low, at = [], 0
    for term, root in zip(frame.low, roots, strict=True):
        mix = np.zeros((K, t, root.shape[2]))
        for e, trait in enumerate(term.traits):
            mix[:, trait] += root[:, e]
        low.append(Group(term.blocks[0], mix, at))
        at += root.shape[2] * term.width
    order, p = at, frame.rows.p
    c, r = frame.columns.shape[1], frame.Z.shape[1]
    fixed = Group(slice(c, c + r), np.eye(t)[None], order)
    y = [Group(slice(c + r + a, c + r + a + 1), np.eye(t)[None, :, [a]], order + t * r) for a in range(t)]
    out = _filled(tables, weights, [*low, fixed, *y], order + t * r + 1)
    diagonal = np.arange(order)
    out[:, diagonal, diagonal] += 1.0
    B = frame.fixed.B
    return out if B is None or t == 1 else _of_fixed(out, B.reshape(t * r, p), order)


def _filled(tables: PairTables, weights: Float, groups: list[Group], size: int) -> Float:
    """Every block of the upper triangle; groups that start at one place are added up."""
    groups = [group for group in groups if group.width]
    out = np.zeros((len(weights), size, size))
    starts = [group.start for group in groups]
    for i, one in enumerate(groups):
        left = np.einsum("kal,kabn->klbn", np.broadcast_to(one.mix, (len(weights), *one.mix.shape[1:])), weights)
        for two in groups[i:]:
            table = tables.between(one.block, two.block)
            both = np.einsum("klbn,kbm->klmn", left, np.broadcast_to(two.mix, (len(left), *two.mix.shape[1:])))
            twice = one is not two and one.start == two.start
            more = starts.count(one.start) + starts.count(two.start) > 2
            for first in range(both.shape[1]):
                for second in range(first if one is two else 0, both.shape[2]):
                    found = product(table.T, both[:, first, second].T).T.reshape(len(out), one.width, two.width)
                    to = out[:, one.place(first), two.place(second)]
                    if more:
                        to += 2.0 * found if twice else found
                    else:
                        to[...] = found
    return out


def _of_fixed(out: Float, B: Float, order: int) -> Float:
    """The columns of Z for every trait combined to fixed effects."""
    K, last = len(out), out.shape[1] - 1
    made = np.zeros((K, order + B.shape[1] + 1, order + B.shape[1] + 1))
    made[:, :order, :order] = out[:, :order, :order]
    made[:, :order, order:-1] = out[:, :order, order:last] @ B
    middle = np.triu(out[:, order:last, order:last])
    middle = middle + np.triu(middle, 1).transpose(0, 2, 1)
    made[:, order:-1, order:-1] = B.T @ middle @ B
    made[:, :order, -1] = out[:, :order, last]
    made[:, order:-1, -1] = out[:, order:last, last] @ B
    made[:, -1, -1] = out[:, last, last]
    return made
