"""Columns of a sparse factor with few entries: all columns of one level of the elimination tree at a time."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .dense import NotPositiveDefinite
from .elimination import Elimination

Float = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Level:
    """Columns of which none is above another; every index is worked out once.

    The entries of the level's columns are one slice of the working storage, column by column, diagonals first.  A
    product of two entries of one column changes a `target` further on.

    Attributes
    ----------
    first, last : int
        Columns.
    low, high : int
        Their slice of the storage.
    diagonal : (c,) intp
        Place of each column's diagonal in the slice.
    owner : (e,) intp
        Column (counted from `first`) of each entry.
    left, right : (t,) intp
        The two entries of each product, places in the slice, sorted by target.
    target : (t,) intp
        Entry of the storage.
    starts, distinct : (d,) intp
        Where each distinct target's products begin, and that target.
    unlike : (t',) intp
        Products of two different entries.
    off : (e − c,) intp
        Entries below the diagonal, places in the slice.
    touched : (r,) intp
        Rows below, distinct.
    indices, pointers : intp
        The entries below the diagonal as a sparse r×c matrix, by columns.
    """

    first: int
    last: int
    low: int
    high: int
    diagonal: Ints
    owner: Ints
    left: Ints
    right: Ints
    target: Ints
    starts: Ints
    distinct: Ints
    unlike: Ints
    off: Ints
    touched: Ints
    indices: Ints
    pointers: Ints

    def eliminate(self, work: Float, pivots: Float) -> None:
        """Scale the level's columns to a unit diagonal and take their products from what follows."""
        column = work[self.low : self.high]
        d = column[self.diagonal]
        if not (d.min() > 0.0 and np.isfinite(d.max())):
            raise NotPositiveDefinite(self.first + 1 + int(np.argmin(d)))
        unit = column / d[self.owner]
        if len(self.target):
            product = column[self.left]
            product *= unit[self.right]
            work[self.distinct] -= np.add.reduceat(product, self.starts)
        pivots[self.first : self.last] = d
        column[:] = unit

    def invert(self, work: Float, pivots: Float, inverse: Float) -> None:
        """Entries of the inverse in the level's columns, from those further on."""
        unit = work[self.low : self.high]
        size = len(unit)
        total = np.zeros(size)
        if len(self.target):
            z = inverse[self.target]
            total += np.bincount(self.left, z * unit[self.right], size)
            some = self.unlike
            total += np.bincount(self.right[some], z[some] * unit[self.left[some]], size)
        d = 1.0 / pivots[self.first : self.last]
        d += np.bincount(self.owner, unit * total, self.last - self.first)
        np.negative(total, out=total)
        total[self.diagonal] = d
        inverse[self.low : self.high] = total

    @cached_property
    def _patterns(self) -> tuple[sp.csc_array, sp.csr_array]:
        shape = (len(self.touched), self.last - self.first)
        below = sp.csc_array((np.empty(len(self.off)), self.indices, self.pointers), shape=shape)
        return below, below.T

    def matrices(self, work: Float) -> tuple[sp.csc_array, sp.csr_array]:
        """Entries below the diagonal (rows `touched` by the level's columns), and the transposed matrix."""
        values = work[self.low : self.high][self.off]
        found = tuple(copy(pattern) for pattern in self._patterns)  # shallow: scipy's checks are made once
        for matrix in found:
            matrix.data = values
        return found

    def forward(self, below: sp.csc_array, x: Float) -> None:
        """One step of L⁻¹x, in place."""
        x[self.touched] -= below @ x[self.first : self.last]

    def backward(self, below: sp.csr_array, x: Float) -> None:
        """One step of L⁻ᵀx, in place; `below` is the transposed matrix."""
        x[self.first : self.last] -= below @ x[self.touched]


def levels_of(steps: Elimination, keys: Ints, starts: Ints, rows: Ints, n: int) -> list[Level]:
    """The levels of the thin columns.

    Parameters
    ----------
    steps : Elimination
    keys : (s,) intp
        Column · n + row of every entry of the working storage, ascending.
    starts : (n + 1,) intp
        Where each column begins in it.
    rows : (s,) intp
        Row of each entry.
    """
    if not steps.thin:
        return []
    left, right, target = _products(steps, keys, starts, n)
    column = np.searchsorted(starts, left, side="right") - 1
    level = np.searchsorted(steps.levels, column, side="right") - 1
    by = np.lexsort((target, level))
    left, right, target = left[by], right[by], target[by]
    cuts = np.searchsorted(level[by], np.arange(len(steps.levels)))
    out = []
    for at, (first, last) in enumerate(zip(steps.levels[:-1].tolist(), steps.levels[1:].tolist(), strict=True)):
        own = slice(cuts[at], cuts[at + 1])
        out.append(_level(first, last, starts, rows, left[own], right[own], target[own]))
    return out


def _products(steps: Elimination, keys: Ints, starts: Ints, n: int) -> tuple[Ints, Ints, Ints]:
    """Places in the storage of the two entries and of the target of every product."""
    left, right, targets = [], [], []
    for below, columns in zip(steps.below, steps.members, strict=True):
        r = below.shape[1]
        if not r:
            continue
        first, second = np.tril_indices(r)
        base = starts[columns][:, None] + 1
        left.append((base + first).ravel())
        right.append((base + second).ravel())
        targets.append((below[:, second] * n + below[:, first]).ravel())
    if not left:
        nothing = np.empty(0, dtype=np.intp)
        return nothing, nothing, nothing
    return np.concatenate(left), np.concatenate(right), np.searchsorted(keys, np.concatenate(targets))


def _level(first: int, last: int, starts: Ints, rows: Ints, left: Ints, right: Ints, target: Ints) -> Level:
    low, high = int(starts[first]), int(starts[last])
    diagonal = starts[first:last] - low
    lengths = np.diff(starts[first : last + 1])
    owner = np.repeat(np.arange(last - first), lengths)
    off = np.ones(high - low, dtype=bool)
    off[diagonal] = False
    distinct, begin = np.unique(target, return_index=True)
    places = np.flatnonzero(off)
    touched, indices = np.unique(rows[low:high][places], return_inverse=True)
    pointers = np.concatenate([[0], np.cumsum(lengths - 1)])
    return Level(
        first=first,
        last=last,
        low=low,
        high=high,
        diagonal=diagonal,
        owner=owner,
        left=left - low,
        right=right - low,
        target=target,
        starts=begin,
        distinct=distinct,
        unlike=np.flatnonzero(left != right),
        off=places,
        touched=touched,
        indices=indices,
        pointers=pointers,
    )
