"""Grouping factors laid out for elimination: the largest first, the others in independent components (MATH: 2b).

The effects of all terms that share one partition of the rows form a `Factor`.  Levels of the first factor meet no
rows in common, so it is eliminated level by level; what is left couples levels of the other factors, and falls into
components that share no rows.  All of this is known before θ is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..design.spec import ModelSpec
from .orthogonal_effects import OrthogonalEffects, orthogonal_effects
from .rows import Rows

Float = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Factor:
    """All effects that meet the rows through one partition.

    Attributes
    ----------
    codes : (n,)
        Level of each row, 0…q−1.
    basis : (n, k)
        Value of each effect in each working row.
    q : int
    start : int
        Where its effects begin among all effects, level by level.
    members : tuple of (term, offset)
        Which terms, and where each one's effects begin among the k.
    """

    codes: Index
    basis: Float
    q: int
    start: int
    members: tuple[tuple[int, int], ...]

    @property
    def k(self) -> int:
        return self.basis.shape[1]

    @property
    def size(self) -> int:
        """Effects in all, q·k."""
        return self.q * self.k

    @property
    def where(self) -> slice:
        """Its effects among all."""
        return slice(self.start, self.start + self.size)

    def levels(self, B: Float) -> Float:
        """(q, k, c) its part of B (all effects, c)."""
        return B[self.where].reshape(self.q, self.k, -1)


def same_partition(spec: ModelSpec) -> list[list[int]]:
    """Terms grouped by the partition of the rows they meet, the partition with most effects first."""
    groups: list[list[int]] = []
    for i, term in enumerate(spec.terms):
        for group in groups:
            other = spec.terms[group[0]]
            if other.q == term.q and (other.codes is term.codes or np.array_equal(other.codes, term.codes)):
                group.append(i)
                break
        else:
            groups.append([i])
    return sorted(groups, key=lambda group: -sum(spec.terms[i].q * spec.terms[i].k for i in group))


def factors_of(spec: ModelSpec, rows: Rows, turned: OrthogonalEffects) -> tuple[Factor, ...]:
    """The factors of a specification in the order of elimination."""
    out, start = [], 0
    for group in same_partition(spec):
        terms = [spec.terms[i] for i in group]
        offsets = np.concatenate([[0], np.cumsum([t.k for t in terms])]).tolist()
        bases = [turned.basis(i, rows.basis(spec.terms[i])) for i in group]
        basis = bases[0] if len(bases) == 1 else np.hstack(bases)
        members = tuple(zip(group, offsets[:-1], strict=True))
        factor = Factor(terms[0].codes, basis, terms[0].q, start, members)
        out.append(factor)
        start += factor.size
    return tuple(out)


@dataclass(frozen=True)
class Meeting:
    """Z_iᵀZ_j of two factors on the pairs of levels that share rows: CSR over levels, one number a pair of effects."""

    indptr: NDArray[Any]
    indices: NDArray[Any]
    data: Float  # (k_i, k_j, pairs of levels)

    @cached_property
    def first(self) -> Index:
        """(pairs,) level of the first factor."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))


def meeting(one: Factor, two: Factor) -> Meeting:
    """Sums over the rows that two factors' levels share."""
    data = []
    for a in range(one.k):
        for b in range(two.k):
            products = one.basis[:, a] * two.basis[:, b]
            block = sp.coo_array((products, (one.codes, two.codes)), shape=(one.q, two.q)).tocsr()
            data.append(block.data)
    return Meeting(block.indptr, block.indices, np.array(data).reshape(one.k, two.k, -1))


def own(factor: Factor) -> Float:
    """(k, k, q) Z_lᵀZ_l of every level."""
    out = np.empty((factor.k, factor.k, factor.q))
    for a in range(factor.k):
        for b in range(a + 1):
            products = factor.basis[:, a] * factor.basis[:, b]
            out[a, b] = out[b, a] = np.bincount(factor.codes, products, minlength=factor.q)
    return out


@dataclass(frozen=True)
class Stack:
    """Components with the same number of levels of each factor: one place in storage, one size s.

    Attributes
    ----------
    at : slice
        Where they are in storage.
    index : (b, s)
        Effect (counted from the first of the second factor) of each row of each component.
    parts : tuple of (factor, slice)
        Which rows belong to which factor.
    """

    at: slice
    index: Index
    parts: tuple[tuple[int, slice], ...]

    @property
    def shape(self) -> tuple[int, int, int]:
        b, s = self.index.shape
        return b, s, s

    def view(self, storage: Float) -> Float:
        """(b, s, s) stored columns of its components."""
        return storage[self.at].reshape(self.shape)


@dataclass(frozen=True)
class Storage:
    """Where the Schur complement among the factors after the first is stored: dense inside components, in `stacks`.

    Entry (i, j) is stored where the level of i is at or after that of j in their component.
    """

    size: int
    stacks: tuple[Stack, ...]
    local: Index  # (r,) row in its component
    block: Index  # (r,) row in its component of the first effect of its level
    width: Index  # (r,) size of the component
    begin: Index  # (r,) where the component begins in storage
    mirrored: tuple[Index, Index]  # entries above the diagonal inside a level's own block, and those they mirror

    def place(self, i: Index, j: Index) -> Index:
        """Position in storage of entries (i, j), the level of i at or after that of j."""
        return self.begin[i] + self.local[j] * self.width[i] + self.local[i]


def storage_of(factors: tuple[Factor, ...], meetings: dict[tuple[int, int], Meeting]) -> Storage:
    """Components of the levels after the first factor, stacked by their make-up."""
    rest = factors[1:]
    component = _components(factors, meetings)
    made = int(max((c.max() for c in component), default=-1)) + 1
    counts = np.array([np.bincount(c, minlength=made) for c in component]).reshape(len(rest), made)
    kinds, kind = np.unique(counts, axis=1, return_inverse=True)
    kind = kind.reshape(-1)
    k = np.array([factor.k for factor in rest], dtype=np.intp)
    sizes = k @ kinds  # of each kind
    offsets = np.cumsum(np.vstack([np.zeros(kinds.shape[1], np.intp), k[:, None] * kinds]), axis=0)[:-1]
    members = np.bincount(kind, minlength=kinds.shape[1])
    kind_start = np.concatenate([[0], np.cumsum(members * sizes**2)])
    order = np.argsort(kind, kind="stable")
    rank = np.empty(made, dtype=np.intp)
    rank[order] = np.arange(made) - np.concatenate([[0], np.cumsum(members)])[kind[order]]
    begin_of = kind_start[kind] + rank * sizes[kind] ** 2
    first, effect, of = [], [], []
    for f, (factor, c) in enumerate(zip(rest, component, strict=True)):
        by = np.argsort(c, kind="stable")
        place = np.empty(factor.q, dtype=np.intp)
        place[by] = np.arange(factor.q) - np.concatenate([[0], np.cumsum(counts[f])])[c[by]]
        first.append(np.repeat(offsets[f, kind[c]] + place * factor.k, factor.k))
        effect.append(np.tile(np.arange(factor.k), factor.q))
        of.append(np.repeat(c, factor.k))
    if not rest:
        nothing = np.empty(0, dtype=np.intp)
        return Storage(0, (), nothing, nothing, nothing, nothing, (nothing, nothing))
    block, owner = np.concatenate(first), np.concatenate(of)
    local = block + np.concatenate(effect)
    stacks = []
    for j in range(kinds.shape[1]):
        index = np.empty((members[j], sizes[j]), dtype=np.intp)
        mine = np.flatnonzero(kind[owner] == j)
        index[rank[owner[mine]], local[mine]] = mine
        ends = [(f, slice(offsets[f, j], offsets[f, j] + k[f] * kinds[f, j])) for f in range(len(rest)) if kinds[f, j]]
        stacks.append(Stack(slice(kind_start[j], kind_start[j + 1]), index, tuple((f + 1, at) for f, at in ends)))
    made_storage = Storage(
        int(kind_start[-1]), tuple(stacks), local, block, sizes[kind[owner]], begin_of[owner], (local[:0], local[:0])
    )
    return _with_mirrors(made_storage, rest)


def _with_mirrors(storage: Storage, rest: tuple[Factor, ...]) -> Storage:
    above, below, at = [], [], 0
    for factor in rest:
        heads = at + np.arange(factor.q) * factor.k
        for a in range(factor.k):
            for b in range(a):
                above.append(storage.place(heads + b, heads + a))
                below.append(storage.place(heads + a, heads + b))
        at += factor.size
    nothing = np.empty(0, dtype=np.intp)
    pair = (np.concatenate(above), np.concatenate(below)) if above else (nothing, nothing)
    return Storage(storage.size, storage.stacks, storage.local, storage.block, storage.width, storage.begin, pair)


def _components(factors: tuple[Factor, ...], meetings: dict[tuple[int, int], Meeting]) -> list[Index]:
    """For each factor after the first, the component of each level: levels that meet, or meet a common first level."""
    if len(factors) == 1:
        return []
    starts = np.concatenate([[0], np.cumsum([factor.q for factor in factors])])
    i = np.concatenate([starts[f] + m.first for (f, _), m in meetings.items()])
    j = np.concatenate([starts[g] + m.indices for (_, g), m in meetings.items()])
    total = int(starts[-1])
    graph = sp.coo_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(total, total))
    label = connected_components(graph, directed=False)[1]
    return [label[starts[f] : starts[f + 1]].astype(np.intp) for f in range(1, len(factors))]


@dataclass(frozen=True)
class Layout:
    """Everything about the random terms of one specification that does not depend on θ or y.

    Attributes
    ----------
    turned : OrthogonalEffects
        What the effects of vector terms were multiplied by.
    factors : tuple of Factor
        The first is eliminated level by level.
    own : list of (k, k, q)
        Z_lᵀZ_l of each factor.
    meetings : dict
        Z_iᵀZ_j of each two factors i < j.
    Z : (n, all effects) sparse
        Working rows.
    gram : (all effects, all effects) sparse
        ZᵀZ.
    storage : Storage
    base : (storage.size,)
        ZᵀZ among the factors after the first, stored.
    """

    spec: ModelSpec
    turned: OrthogonalEffects
    factors: tuple[Factor, ...]
    own: list[Float]
    meetings: dict[tuple[int, int], Meeting]
    storage: Storage
    base: Float

    @property
    def first(self) -> Factor:
        return self.factors[0]

    @cached_property
    def size(self) -> int:
        """All effects."""
        return sum(factor.size for factor in self.factors)

    @cached_property
    def rest(self) -> int:
        """Effects after the first factor."""
        return self.size - self.first.size

    @cached_property
    def Z(self) -> Any:
        indices = np.hstack([f.start + f.codes[:, None] * f.k + np.arange(f.k) for f in self.factors])
        data = np.hstack([f.basis for f in self.factors])
        n, width = data.shape
        small = np.int32 if max(n * width, self.size) < 2**31 else np.int64
        indptr = np.arange(0, n * width + 1, width, dtype=small)
        return sp.csr_array((data.ravel(), indices.ravel().astype(small), indptr), shape=(n, self.size))

    @cached_property
    def gram(self) -> Any:
        i, j, data = (np.concatenate(part) for part in zip(*self._entries(), strict=True))
        return sp.coo_array((data, (i, j)), shape=(self.size,) * 2).tocsr()

    @cached_property
    def across(self) -> Any:
        """(effects of the first factor, effects of the rest) Z_1ᵀZ_rest, sparse."""
        return self.gram[: self.first.size, self.first.size :]

    def _entries(self) -> Iterator[tuple[Index, Index, Float]]:
        """(row, column, value) of ZᵀZ, both triangles, all effects of levels that meet."""
        for factor, values in zip(self.factors, self.own, strict=True):
            heads = factor.start + np.arange(factor.q) * factor.k
            for a in range(factor.k):
                for b in range(factor.k):
                    yield heads + a, heads + b, values[a, b]
        for (f, g), met in self.meetings.items():
            one, two = self.factors[f], self.factors[g]
            i, j = one.start + met.first * one.k, two.start + met.indices.astype(np.intp) * two.k
            for a in range(one.k):
                for b in range(two.k):
                    yield i + a, j + b, met.data[a, b]
                    yield j + b, i + a, met.data[a, b]


def layout_of(spec: ModelSpec, rows: Rows) -> Layout:
    """Lay out the random terms of `spec` for elimination."""
    turned = orthogonal_effects(spec, rows.scale)
    factors = factors_of(spec, rows, turned)
    diagonal = [own(factor) for factor in factors]
    pairs = [(f, g) for f in range(len(factors)) for g in range(f + 1, len(factors))]
    meetings = {(f, g): meeting(factors[f], factors[g]) for f, g in pairs}
    storage = storage_of(factors, meetings)
    base = _base(factors, diagonal, meetings, storage)
    return Layout(spec, turned, factors, diagonal, meetings, storage, base)


def _base(
    factors: tuple[Factor, ...], diagonal: list[Float], meetings: dict[tuple[int, int], Meeting], storage: Storage
) -> Float:
    """ZᵀZ of the factors after the first, stored."""
    base = np.zeros(storage.size)
    skip = factors[0].size
    for factor, values in zip(factors[1:], diagonal[1:], strict=True):
        heads = factor.start - skip + np.arange(factor.q) * factor.k
        for a in range(factor.k):
            for b in range(factor.k):
                base[storage.place(heads + a, heads + b)] = values[a, b]
    for (f, g), met in meetings.items():
        if f == 0:
            continue
        one, two = factors[f], factors[g]
        i = one.start - skip + met.first * one.k
        j = two.start - skip + met.indices.astype(np.intp) * two.k
        for a in range(one.k):
            for b in range(two.k):  # factor g comes after factor f in every component
                base[storage.place(j + b, i + a)] = met.data[a, b]
    return base
