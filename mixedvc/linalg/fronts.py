"""Dense fronts of a sparse factor through BLAS: what children leave behind is added to their parent's block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from . import dense as la
from .elimination import Front

Float = NDArray[np.float64]
Ints = NDArray[np.intp]
Block = tuple[Float, Float]  # L₁₁ (w×w, zeros above) and L₂₁ (r×w)


@dataclass(frozen=True)
class FrontPlaces:
    """Where the numbers of a front come from and go to.

    Attributes
    ----------
    low, high : int
        Its columns' slice of the working storage.
    top, top_at : intp
        Entries of that slice inside the w×w block, and their places in it (by columns).
    side, side_at : intp
        The same for the r×w block below.
    split : int
        How many of the rows that it leaves to its parent are among the parent's columns.
    up : (r,) intp
        Place of each of its rows among the parent's columns and rows.
    last_child : bool
        Whether no child of its parent comes before it: the parent's inverse is not needed after it.
    has_children : bool
    """

    low: int
    high: int
    top: Ints
    top_at: Ints
    side: Ints
    side_at: Ints
    split: int
    up: Ints
    last_child: bool
    has_children: bool


def places_of(fronts: Sequence[Front], starts: Ints, rows: Ints) -> list[FrontPlaces]:
    """Index arrays of every front; `starts` and `rows` describe the working storage."""
    parents = [front.parent for front in fronts]
    first_child: dict[int, int] = {}
    for s, parent in enumerate(parents):
        first_child.setdefault(parent, s)
    out = []
    for s, front in enumerate(fronts):
        low, high = int(starts[front.first]), int(starts[front.first + front.width])
        row = rows[low:high]
        column = np.repeat(np.arange(front.width), np.diff(starts[front.first : front.first + front.width + 1]))
        inside = row < front.first + front.width
        top, side = np.flatnonzero(inside), np.flatnonzero(~inside)
        top_at = column[top] * front.width + row[top] - front.first
        side_at = column[side] * len(front.rows) + np.searchsorted(front.rows, row[side])
        split, up = 0, np.empty(0, dtype=np.intp)
        if front.parent >= 0:
            above = fronts[front.parent]
            end = above.first + above.width
            split = int(np.searchsorted(front.rows, end))
            up = np.where(
                front.rows < end, front.rows - above.first, above.width + np.searchsorted(above.rows, front.rows)
            )
        out.append(
            FrontPlaces(
                low, high, top, top_at, side, side_at, split, up, first_child.get(front.parent) == s, s in first_child
            )
        )
    return out


def factor_fronts(fronts: Sequence[Front], places: Sequence[FrontPlaces], work: Float) -> list[Block]:
    """Blocks of the factor, children before parents."""
    blocks: list[Block] = []
    waiting: list[list[tuple[FrontPlaces, Float]]] = [[] for _ in fronts]
    for s, (front, place) in enumerate(zip(fronts, places, strict=True)):
        w, r = front.width, len(front.rows)
        top, side, left = _assembled(w, r, place, work)
        for child, given in waiting[s]:
            _add(top, side, left, child, given)
        waiting[s] = []
        try:
            top = la.cholesky(top, overwrite=True)
        except la.NotPositiveDefinite as error:
            raise la.NotPositiveDefinite(front.first + error.order) from None
        if r:
            side = blas.dtrsm(1.0, top, side, side=1, lower=1, trans_a=1, overwrite_b=1)
            if front.parent >= 0:
                waiting[front.parent].append((place, blas.dsyrk(-1.0, side, beta=1.0, c=left, lower=1, overwrite_c=1)))
        blocks.append((top, side))
    return blocks


def _assembled(w: int, r: int, place: FrontPlaces, work: Float) -> tuple[Float, Float, Float]:
    """The three parts of a front (w×w, r×w, r×r; Fortran-ordered, lower triangles) with the storage's own entries."""
    own = work[place.low : place.high]
    top, side = np.zeros(w * w), np.zeros(r * w)
    top[place.top_at] = own[place.top]
    side[place.side_at] = own[place.side]
    return top.reshape((w, w), order="F"), side.reshape((r, w), order="F"), np.zeros((r, r), order="F")


def _add(top: Float, side: Float, left: Float, child: FrontPlaces, given: Float) -> None:
    """Add what a child leaves (r×r, lower triangle) to the three parts of its parent."""
    a, w = child.split, len(top)
    inner, outer = child.up[:a], child.up[a:] - w
    if a:
        _add_at(top, inner, inner, given[:a, :a])
    if a and len(outer):
        _add_at(side, outer, inner, given[a:, :a])
    if len(outer):
        _add_at(left, outer, outer, given[a:, a:])


def _add_at(block: Float, rows: Ints, columns: Ints, given: Float) -> None:
    """block[rows, columns] += given; by slices where the places are neighbours."""
    if _run(rows) and _run(columns):
        block[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += given
    else:
        block.T[columns[:, None], rows] += given.T


def _run(places: Ints) -> bool:
    return bool(places[-1] - places[0] == len(places) - 1)


def invert_fronts(
    fronts: Sequence[Front], places: Sequence[FrontPlaces], blocks: Sequence[Block], inverse: Float
) -> None:
    """Entries of the inverse in the fronts' columns, parents before children, into the working storage."""
    whole: dict[int, Float] = {}
    for s in range(len(fronts) - 1, -1, -1):
        front, place, (top, side) = fronts[s], places[s], blocks[s]
        w, r = front.width, len(front.rows)
        Z = la.cholesky_inverse(top)
        below = np.empty((0, w))
        around = np.empty((0, 0))
        if r:
            parent = whole[front.parent]
            around = np.asfortranarray(parent[np.ix_(place.up, place.up)])
            ratio = blas.dtrsm(1.0, top, side, side=1, lower=1)
            below = blas.dsymm(-1.0, around, ratio, side=0, lower=1)
            Z = blas.dgemm(-1.0, ratio, below, beta=1.0, c=Z, trans_a=1, overwrite_c=1)
        if place.last_child:
            whole.pop(front.parent, None)
        own = inverse[place.low : place.high]
        own[place.top] = Z.ravel(order="F")[place.top_at] if not Z.flags.f_contiguous else Z.T.ravel()[place.top_at]
        own[place.side] = below.T.ravel()[place.side_at]
        if place.has_children:
            whole[s] = _joined(Z, below, around)


def _joined(Z: Float, below: Float, around: Float) -> Float:
    """The front's part of the inverse in one piece, lower triangle."""
    w, r = Z.shape[0], len(around)
    if not r:
        return Z
    out = np.empty((w + r, w + r), order="F")
    out[:w, :w], out[w:, :w], out[w:, w:] = Z, below, around
    return out


def solve_forward(fronts: Sequence[Front], blocks: Sequence[Block], x: Float) -> None:
    """The fronts' part of L⁻¹x, in place."""
    for front, (top, side) in zip(fronts, blocks, strict=True):
        own = slice(front.first, front.first + front.width)
        x[own] = blas.dtrsm(1.0, top, x[own], lower=1)
        if len(front.rows):
            x[front.rows] -= side @ x[own]


def solve_backward(fronts: Sequence[Front], blocks: Sequence[Block], x: Float) -> None:
    """The fronts' part of L⁻ᵀx, in place."""
    for front, (top, side) in zip(reversed(fronts), reversed(blocks), strict=True):
        own = slice(front.first, front.first + front.width)
        right = x[own] - side.T @ x[front.rows] if len(front.rows) else x[own]
        x[own] = blas.dtrsm(1.0, top, right, lower=1, trans_a=1)
