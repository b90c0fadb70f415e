"""What eliminating the first factor takes from the others: Σ_l A_lᵀ M_l A_l, and the adjoint A_l H A_lᵀ (MATH: 2b).

A_l (k × effects of the rest) is Z_lᵀZ_rest of one level.  Which entries of the sum a level touches never changes, so
the map from the M_l to storage is kept as a sparse matrix: one product an evaluation, and its transpose gives the
blocks A_l H A_lᵀ from an H known on the touched entries only.  Where levels meet so many others that the map would be
larger than the result, products of dense slabs take its place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..linalg.products import product
from .grouped_layout import Layout, Stack

Float = NDArray[np.float64]
Index = NDArray[np.intp]
MOST_ENTRIES = 40_000_000  # of the sparse map, 12 bytes each (and 8 more for each further pair of effects)
SLAB = 4_000_000  # numbers in a dense slab of A


class Elimination(Protocol):
    """The map M ↦ Σ_l A_lᵀ M_l A_l and its adjoint."""

    def taken(self, M: Float) -> Float:
        """Σ_l A_lᵀ M_l A_l in storage, for symmetric M_l (k, k, q)."""
        ...

    def given(self, H: Float) -> Float:
        """A_l H A_lᵀ (k, k, q) of every level, for symmetric H in storage (a level's own block in full)."""
        ...


def upper_pairs(k: int) -> list[tuple[int, int]]:
    """(a, b) with a ≤ b."""
    return [(a, b) for a in range(k) for b in range(a, k)]


@dataclass(frozen=True)
class Nothing:
    """One factor only: nothing is left."""

    shape: tuple[int, int, int]

    def taken(self, M: Float) -> Float:
        return np.zeros(0)

    def given(self, H: Float) -> Float:
        return np.zeros(self.shape)


@dataclass(frozen=True)
class PairMap:
    """Sparse maps (levels × storage), one for each pair of effects (a ≤ b) of the first factor.

    Its coefficient for entry (i, j) is A_ai A_bj, plus A_bi A_aj where a ≠ b.
    """

    k: int
    maps: tuple[Any, ...]
    own: Index  # storage inside levels' own blocks

    def taken(self, M: Float) -> Float:
        total = self.maps[0].T @ M[0, 0]
        for map_, (a, b) in zip(self.maps[1:], upper_pairs(self.k)[1:], strict=True):
            total += map_.T @ M[a, b]
        return total

    def given(self, H: Float) -> Float:
        H[self.own] *= 0.5  # entries stored once stand for two; put back below, exactly
        out = np.empty((self.k, self.k, self.maps[0].shape[0]))
        for map_, (a, b) in zip(self.maps, upper_pairs(self.k), strict=True):
            out[a, b] = map_ @ H
            if a == b:
                out[a, b] *= 2.0
            else:
                out[b, a] = out[a, b]
        H[self.own] *= 2.0
        return out


def own_places(layout: Layout) -> Index:
    """Storage of all entries inside levels' own blocks."""
    storage, out, at = layout.storage, [np.empty(0, dtype=np.intp)], 0
    for factor in layout.factors[1:]:
        heads = at + np.arange(factor.q) * factor.k
        out += [storage.place(heads + a, heads + b) for a in range(factor.k) for b in range(factor.k)]
        at += factor.size
    return np.concatenate(out)


def entries_of_map(layout: Layout) -> int:
    """How many entries the sparse map would have (for one pair of effects)."""
    met = np.diff(layout.across.indptr)[:: layout.first.k].astype(np.float64)
    widest = max((f.k for f in layout.factors[1:]), default=1)
    return int((met * (met + widest) / 2).sum())


def elimination_of(layout: Layout) -> Elimination:
    """The map of a layout: none, sparse, or by dense slabs."""
    first = layout.first
    if len(layout.factors) == 1:
        return Nothing((first.k, first.k, first.q))
    if entries_of_map(layout) <= MOST_ENTRIES:
        return pair_map(layout)
    return Slabs(layout)


def pair_map(layout: Layout) -> PairMap:
    """Enumerate the pairs of effects that each level of the first factor touches."""
    A, k, q, storage = layout.across, layout.first.k, layout.first.q, layout.storage
    count = np.diff(A.indptr)[::k]
    several = any(f.k > 1 for f in layout.factors[1:])
    within = np.zeros(q, dtype=np.intp)  # entries above the diagonal in blocks of vector terms
    groups = [(c, np.flatnonzero(count == c)) for c in np.unique(count) if c > 0]
    if several:
        for c, levels in groups:
            block = storage.block[A.indices[A.indptr[levels * k, None] + np.arange(c)]]
            u, v = np.tril_indices(c, -1)
            within[levels] = (block[:, u] == block[:, v]).sum(axis=1)
    indptr = np.concatenate([[0], np.cumsum(count * (count + 1) // 2 + within)])
    small = np.int32 if max(indptr[-1], storage.size) < 2**31 else np.int64
    where = np.empty(indptr[-1], dtype=small)
    values = np.empty((len(upper_pairs(k)), indptr[-1]))
    for c, levels in groups:
        for some in np.array_split(levels, 1 + len(levels) * c * c // SLAB):
            _fill(layout, int(c), some, indptr[some], where, values, several)
    shape = (q, storage.size)
    pointers = indptr.astype(small)
    return PairMap(k, tuple(sp.csr_array((v, where, pointers), shape=shape) for v in values), own_places(layout))


def _fill(layout: Layout, c: int, levels: Index, begin: Index, where: Any, values: Float, several: bool) -> None:
    """Write the entries of levels that touch c effects each; columns of a level are in the order of its component."""
    A, k, storage = layout.across, layout.first.k, layout.storage
    at = A.indptr[levels[:, None] * k + np.arange(k)][:, :, None] + np.arange(c)  # (levels, k, c)
    column = A.indices[at[:, 0]]
    value, local = A.data[at], storage.local[column]
    width, base = storage.width[column[:, :1]], storage.begin[column[:, :1]]
    i, j = np.tril_indices(c)
    place = begin[:, None] + np.arange(len(i))
    where[place] = base + (local * width)[:, j] + local[:, i]
    for (a, b), row in zip(upper_pairs(k), values, strict=True):
        product = value[:, a][:, i] * value[:, b][:, j]
        row[place] = product if a == b else product + value[:, b][:, i] * value[:, a][:, j]
    if several:
        block = storage.block[column]
        level, entry = np.nonzero((block[:, i] == block[:, j]) & (i != j))
        order = np.arange(len(level)) - np.searchsorted(level, level)
        more = begin[level] + len(i) + order
        where[more] = (base + (local * width)[:, i] + local[:, j])[level, entry]
        values[:, more] = values[:, place[level, entry]]


@dataclass(frozen=True)
class Slabs:
    """Products of dense slabs of A, component by component: for levels that meet a good part of all others."""

    layout: Layout

    def taken(self, M: Float) -> Float:
        out = np.zeros(self.layout.storage.size)
        for stack in self.layout.storage.stacks:
            view = stack.view(out)
            for c in range(len(view)):
                for levels, A in self._slabs(stack, c):
                    MA = np.einsum("abl,lbs->las", M[:, :, levels], A)
                    view[c] += product(A.reshape(-1, A.shape[2]).T, MA.reshape(-1, A.shape[2]))
        return out

    def given(self, H: Float) -> Float:
        k, q = self.layout.first.k, self.layout.first.q
        out = np.zeros((k, k, q))
        for stack in self.layout.storage.stacks:
            view = stack.view(H)
            for c in range(len(view)):
                full = np.triu(view[c])
                full = full + np.triu(full, 1).T
                for levels, A in self._slabs(stack, c):
                    AH = product(A.reshape(-1, A.shape[2]), full).reshape(A.shape)
                    out[:, :, levels] += np.einsum("las,lbs->abl", AH, A)
        return out

    def _slabs(self, stack: Stack, c: int) -> Any:
        """(levels, dense A (levels, k, s)) of the levels that touch one component."""
        k = self.layout.first.k
        columns = self.layout.across[:, stack.index[c]]
        touched = np.flatnonzero(np.diff(columns.indptr)[::k])
        step = max(1, SLAB // (k * columns.shape[1]))
        for start in range(0, len(touched), step):
            levels = touched[start : start + step]
            rows = (levels[:, None] * k + np.arange(k)).ravel()
            yield levels, columns[rows].toarray().reshape(len(levels), k, -1)
