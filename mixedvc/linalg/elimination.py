"""Symbolic elimination of a sparse symmetric matrix: fill-reducing order, elimination tree, supernodes, price.

Columns low in the tree with few entries ("thin") are eliminated one level of the tree at a time, all columns of a level
at once; the columns above them form fronts, dense blocks for BLAS.  Neighbouring fronts are merged where the zeros this
stores cost less than handling another front (Duff & Reid 1983; Davis 2006, ch. 4 and 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as sla
from numpy.typing import NDArray

Ints = NDArray[np.intp]

THIN = 24  # entries below the diagonal up to which a column is eliminated within its level
_TALLEST = 60  # levels of thin columns: higher ones hold few columns each
_FRONT = 2.5e5  # price of handling a front, in flops
_ENTRY = 8.0  # price of moving one entry of a front, in flops
_THIN_PRODUCT = 100.0  # price of one product of two entries of a thin column, in flops


@dataclass(frozen=True)
class Front:
    """Columns ``first … first + width − 1`` eliminated together, and the rows below them that they touch.

    Attributes
    ----------
    rows : (r,) intp
        In the new numbering, ascending.
    parent : int
        Front that takes what this one leaves behind; −1 for a root.
    """

    first: int
    width: int
    rows: Ints
    parent: int


@dataclass(frozen=True)
class Elimination:
    """The plan by which a pattern is eliminated; numbers play no part in it.

    Attributes
    ----------
    order : (n,) intp
        Column of the matrix that is eliminated k-th.
    thin : int
        The first `thin` of them go by levels.
    levels : (L + 1,) intp
        Boundaries of the levels among the thin columns.
    below : list of (c, r) intp
        Rows below the diagonal of the thin columns, one array for each number r of rows; `members` says which.
    members : list of (c,) intp
    fronts : tuple of Front
        Children before parents.
    nnz : int
        Entries of the factor, zeros in fronts included.
    flops : float
        Multiplications and additions of one factorisation.
    price : float
        The same with what it costs to handle thin columns and fronts, in flops at the speed of BLAS.
    """

    order: Ints
    thin: int
    levels: Ints
    below: list[Ints]
    members: list[Ints]
    fronts: tuple[Front, ...]
    nnz: int
    flops: float
    price: float


def fill_reducing_order(A: Any) -> Ints:
    """Multiple minimum degree order of a sparse symmetric pattern (n×n).

    SuperLU orders before it factors; an incomplete factorisation that drops everything costs no more than the order.
    """
    n = A.shape[0]
    pattern = sp.csc_array(A)
    ones = sp.csc_array((np.full(pattern.nnz, -1e-3 / n), pattern.indices, pattern.indptr), shape=(n, n))
    options = {"SymmetricMode": True, "Equil": False}
    found = sla.spilu(
        sp.csc_array(ones + sp.diags_array(np.full(n, 2.0))),
        drop_tol=1.0,
        fill_factor=1.0,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options=options,
    )
    return np.argsort(found.perm_c).astype(np.intp)


def plan(A: Any, order: Ints | None = None) -> Elimination:
    """How to eliminate a sparse symmetric matrix of the pattern of A (n×n, both triangles).

    Parameters
    ----------
    A : sparse (n, n)
    order : (n,) intp, optional
        Elimination order to keep to, up to equivalent ones; minimum degree by default.
    """
    order = fill_reducing_order(A) if order is None else np.asarray(order, dtype=np.intp)
    upper = _upper_lists(A, order)
    parent = _tree(upper)
    sequence = _postorder(parent)
    order = order[sequence]
    rank = np.empty(len(order), dtype=np.intp)
    rank[sequence] = np.arange(len(order))
    parent = np.append(rank, -1)[parent[sequence]]
    return _arrange(A, order, parent)


def _upper_lists(A: Any, order: Ints) -> tuple[list[int], list[int]]:
    """Column pointers and rows of the strict upper triangle of A in the given order, as Python lists."""
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    coo = sp.coo_array(A)
    i, j = rank[coo.row], rank[coo.col]
    above = i < j
    i, j = i[above], j[above]
    by_column = np.argsort(j, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(j, minlength=len(order)))])
    return starts.tolist(), i[by_column].tolist()


def _tree(upper: tuple[list[int], list[int]]) -> Ints:
    """Elimination tree by Liu's algorithm: parent of each column, −1 for roots."""
    starts, rows = upper
    n = len(starts) - 1
    parent, ancestor = [-1] * n, [-1] * n
    for j in range(n):
        for i in rows[starts[j] : starts[j + 1]]:
            while i != j:
                above = ancestor[i]
                ancestor[i] = j
                if above == -1:
                    parent[i] = j
                    break
                i = above
                if i == j:
                    break
    return np.array(parent, dtype=np.intp)


def _postorder(parent: Ints) -> Ints:
    """Columns with children before parents, subtree by subtree."""
    n = len(parent)
    children: list[list[int]] = [[] for _ in range(n)]
    up = parent.tolist()
    stack: list[int] = []
    for j in range(n - 1, -1, -1):
        (stack if up[j] < 0 else children[up[j]]).append(j)
    out = []
    while stack:
        j = stack.pop()
        out.append(j)
        stack.extend(reversed(children[j]))
    return np.array(out[::-1], dtype=np.intp)


def _arrange(A: Any, order: Ints, parent: Ints) -> Elimination:
    """Split postordered columns into thin ones and fronts and number them anew."""
    starts, rows = _upper_lists(sp.coo_array(A).T, order[::-1])  # rows below, counted from the end
    n = len(order)
    counts, thin, height, structure = _count(n, starts, rows, parent.tolist())
    is_thin = np.array(thin, dtype=bool)
    kept = np.flatnonzero(is_thin)
    by_level = kept[np.argsort(np.array(height)[kept], kind="stable")]
    levels = np.concatenate([[0], np.cumsum(np.bincount(np.array(height)[kept]))]).astype(np.intp)
    groups = _supernodes(counts, is_thin, parent)
    groups = _merged(groups, np.array(counts), parent)
    sequence = np.concatenate([by_level, *[columns for columns, _ in groups]]).astype(np.intp)
    rank = np.empty(n, dtype=np.intp)
    rank[sequence] = np.arange(n)
    below, members = _thin_rows(by_level, structure, rank)
    fronts = _front_rows(A, order[sequence], len(by_level), groups, structure, by_level, parent, rank)
    r = np.array(counts, dtype=np.float64)[by_level]
    nnz, flops = float((r + 1).sum()), float(((r + 1) ** 2).sum())
    price = 0.5 * _THIN_PRODUCT * flops
    for front in fronts:
        w, b = float(front.width), float(len(front.rows))
        nnz += w * (w + 1) / 2 + w * b
        flops += w**3 / 3 + w * w * b + w * b * b
        price += _price(w, b)
    return Elimination(order[sequence], len(by_level), levels, below, members, fronts, int(nnz), flops, price)


def _count(
    n: int, starts: list[int], rows: list[int], parent: list[int]
) -> tuple[list[int], list[bool], list[int], dict[int, list[int]]]:
    """Entries below the diagonal of each column of the factor, whether it is thin, its level, rows of thin ones.

    The rows of a column are its own and those of its children; the largest child's set is handed on, not copied.
    """
    counts, thin, height = [0] * n, [True] * n, [0] * n
    sets: list[set[int] | None] = [None] * n
    structure: dict[int, list[int]] = {}
    for j in range(n):
        back = n - 1 - j
        own = [n - 1 - i for i in rows[starts[back] : starts[back + 1]]]
        below = sets[j]
        if below is None:
            below = set(own)
        else:
            below.discard(j)
            below.update(own)
        sets[j] = None
        counts[j] = len(below)
        thin[j] = thin[j] and len(below) <= THIN and height[j] < _TALLEST
        if thin[j]:
            structure[j] = list(below)
        up = parent[j]
        if up < 0:
            continue
        thin[up] = thin[up] and thin[j]
        height[up] = max(height[up], height[j] + 1)
        other = sets[up]
        if other is None:
            sets[up] = below
        elif len(other) < len(below):
            below.update(other)
            sets[up] = below
        else:
            other.update(below)
    return counts, thin, height, structure


def _supernodes(counts: list[int], thin: NDArray[np.bool_], parent: Ints) -> list[tuple[Ints, int]]:
    """Runs of columns that share their rows, and the parent column of each run."""
    columns = np.flatnonzero(~thin)
    if not len(columns):
        return []
    c = np.array(counts)
    before = np.concatenate([[-2], columns[:-1]])
    inner = (before == columns - 1) & (parent[before] == columns) & (c[before] == c[columns] + 1)
    inner[0] = False
    pieces = np.split(columns, np.flatnonzero(~inner)[1:])
    return [(piece, int(parent[piece[-1]])) for piece in pieces]


def _price(w: float, r: float) -> float:
    """Price of a front of w columns and r rows below, in flops."""
    return _FRONT + _ENTRY * (w + r) ** 2 + w**3 / 3 + w * w * r + w * r * r


def _merged(groups: list[tuple[Ints, int]], counts: Ints, parent: Ints) -> list[tuple[Ints, int]]:
    """Supernodes joined with their parents where that is cheaper, children before parents.

    Returns columns and the position of the parent group of each.
    """
    owner = {int(column): g for g, (columns, _) in enumerate(groups) for column in columns}
    up = [owner.get(above, -1) for _, above in groups]
    children: list[list[int]] = [[] for _ in groups]
    roots: list[int] = []
    for g, above in enumerate(up):
        (roots if above < 0 else children[above]).append(g)
    parts: list[list[Ints]] = [[columns] for columns, _ in groups]
    width = [len(columns) for columns, _ in groups]
    below = [int(counts[columns[-1]]) for columns, _ in groups]
    for g in range(len(groups)):  # children come first
        kept: list[int] = []
        for child in sorted(children[g], key=lambda c: -width[c] - below[c]):
            apart = _price(width[child], below[child]) + _price(width[g], below[g])
            if _price(width[child] + width[g], below[g]) <= apart:
                parts[g] = parts[child] + parts[g]
                width[g] += width[child]
                kept += children[child]
            else:
                kept.append(child)
        children[g] = kept
    sequence, stack = [], roots
    while stack:
        g = stack.pop()
        sequence.append(g)
        stack += children[g]
    sequence.reverse()
    place = {g: at for at, g in enumerate(sequence)}
    heir = {child: place[g] for g in sequence for child in children[g]}
    return [(np.concatenate(parts[g]), heir.get(g, -1)) for g in sequence]


def _thin_rows(columns: Ints, structure: dict[int, list[int]], rank: Ints) -> tuple[list[Ints], list[Ints]]:
    """Rows below the diagonal of the thin columns in the new numbering, grouped by how many there are."""
    lengths = np.array([len(structure[j]) for j in columns.tolist()], dtype=np.intp)
    below, members = [], []
    for r in np.unique(lengths):
        which = np.flatnonzero(lengths == r)
        rows = [structure[j] for j in columns[which].tolist()]
        block = rank[np.array(rows, dtype=np.intp).reshape(len(which), r)]
        block.sort(axis=1)
        below.append(block)
        members.append(which)
    return below, members


def _front_rows(
    A: Any,
    order: Ints,
    first: int,
    groups: list[tuple[Ints, int]],
    structure: dict[int, list[int]],
    by_level: Ints,
    parent: Ints,
    rank: Ints,
) -> tuple[Front, ...]:
    """Rows below each front: those of A, of thin children and of child fronts."""
    if not groups:
        return ()
    place = np.empty(len(order), dtype=np.intp)
    place[order] = np.arange(len(order))
    lower = sp.coo_array(A)
    i, j = place[lower.row], place[lower.col]
    keep = (i > j) & (j >= first)
    i, j = i[keep], j[keep]
    feeding = [(c, rank[parent[c]]) for c in by_level.tolist() if parent[c] >= 0 and rank[parent[c]] >= first]
    given = [rank[np.array(structure[c], dtype=np.intp)] for c, _ in feeding]
    i = np.concatenate([i, *given]) if given else i
    j = np.concatenate([j, np.repeat([c for _, c in feeding], [len(g) for g in given])]) if given else j
    ends = first + np.cumsum([len(columns) for columns, _ in groups])
    front_of = np.searchsorted(ends, j, side="right")
    sort = np.argsort(front_of, kind="stable")
    cuts = np.searchsorted(front_of[sort], np.arange(1, len(groups)))
    pieces = np.split(i[sort], cuts)
    inherited: list[list[Ints]] = [[] for _ in groups]
    fronts, start = [], first
    for g, (columns, above) in enumerate(groups):
        rows = np.unique(np.concatenate([pieces[g], *inherited[g]]))
        rows = rows[rows >= ends[g]]
        inherited[g] = []
        if above >= 0:
            inherited[above].append(rows)
        fronts.append(Front(start, len(columns), rows, above))
        start += len(columns)
    return tuple(fronts)
