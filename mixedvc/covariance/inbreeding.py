"""Inbreeding coefficients of any pedigree, exact, without the relationship matrix.

Positions count animals from 0, parents before offspring; −1 stands for an unknown parent.  Two exact ways, whichever
is cheaper for the pedigree at hand: tracing each pair of parents back to all ancestors (Meuwissen & Luo 1992,
Genet. Sel. Evol. 24:305) for many pairs at once as a sparse product, or the tabular method kept up among the animals
that still have offspring to come.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..linalg.memory import available_bytes
from .base import Positions

Float = NDArray[np.float64]

_TRACED = 4_000_000  # contributions of ancestors held at a time
_SECONDS_TRACED = 6e-8  # per contribution, measured
_SECONDS_STEP = 3e-4  # per generation traced back
_SECONDS_TABULAR = 1.2e-8  # per pair of living parents and generation


def generations(sire: Positions, dam: Positions) -> tuple[Positions, Positions]:
    """Longest line of ancestors of each animal, and the animals that are in or below a loop.

    Animals may stand in any order here.
    """
    n = len(sire)
    child = np.concatenate([np.flatnonzero(sire >= 0), np.flatnonzero(dam >= 0)])
    parent = np.concatenate([sire[sire >= 0], dam[dam >= 0]])
    order = np.argsort(parent, kind="stable")
    children = child[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(parent, minlength=n))])
    waiting = (sire >= 0).astype(np.intp) + (dam >= 0)
    level = np.full(n, -1, dtype=np.intp)
    ready, g = np.flatnonzero(waiting == 0), 0
    while len(ready):
        level[ready] = g
        lengths = starts[ready + 1] - starts[ready]
        first = np.repeat(starts[ready] - np.cumsum(lengths) + lengths, lengths)
        freed, times = np.unique(children[first + np.arange(len(first))], return_counts=True)
        waiting[freed] -= times
        ready, g = freed[waiting[freed] == 0], g + 1
    return level, np.flatnonzero(level < 0)


def mendelian(sire: Positions, dam: Positions, F: Float) -> Float:
    """Variance of the Mendelian sampling term, 1 − ¼ Σ_known parents (1 + F_parent)."""
    D = np.ones(len(sire))
    for parent in (sire, dam):
        known = parent >= 0
        D[known] -= 0.25 * (1.0 + F[parent[known]])
    return D


def half_parents(sire: Positions, dam: Positions) -> sp.csr_array:
    """P (n×n) with ½ at each known parent (1 where both are the same): breeding value = P · parents' + sampling."""
    n = len(sire)
    child = np.concatenate([np.flatnonzero(sire >= 0), np.flatnonzero(dam >= 0)])
    parent = np.concatenate([sire[sire >= 0], dam[dam >= 0]])
    P = sp.coo_array((np.full(len(child), 0.5), (child, parent)), shape=(n, n))
    return P.tocsr()


def contributions(start: sp.csr_array, P: sp.csr_array) -> sp.csr_array:
    """``start`` · (I + P + P² + …): every ancestor's share in each row, traced back generation by generation."""
    rows, cols, values = [], [], []
    step = start
    while step.nnz:
        traced = step.tocoo()
        rows.append(traced.row)
        cols.append(traced.col)
        values.append(traced.data)
        step = step @ P
    if not rows:
        return start
    places = (np.concatenate(rows), np.concatenate(cols))
    return sp.coo_array((np.concatenate(values), places), shape=start.shape).tocsr()


def inbreeding(sire: Positions, dam: Positions, how: str = "auto") -> Float:
    """F of every animal; parents must precede offspring.

    Parameters
    ----------
    sire, dam : (n,) intp
    how : {"auto", "traced", "tabular"}
        Which of the two exact ways; "auto" takes the cheaper.
    """
    level, _ = generations(sire, dam)
    if how == "auto":
        how = "traced" if _traced_is_cheaper(sire, dam, level) else "tabular"
    return (_traced if how == "traced" else _tabular)(sire, dam, level)


def _by_level(level: Positions) -> Iterator[Positions]:
    """Positions of the animals of each generation, oldest first."""
    order = np.argsort(level, kind="stable")
    yield from np.split(order, np.cumsum(np.bincount(level))[:-1])


def _last_use(sire: Positions, dam: Positions, level: Positions) -> Positions:
    """Generation of each animal's youngest offspring; −1 for those without."""
    last = np.full(len(sire), -1, dtype=np.intp)
    for parent in (sire, dam):
        known = parent >= 0
        np.maximum.at(last, parent[known], level[known])
    return last


def _ancestors_at_most(sire: Positions, dam: Positions, level: Positions) -> Float:
    """Upper bound on the number of ancestors (with itself) of each animal."""
    is_parent = _last_use(sire, dam, level) >= 0
    older = np.concatenate([[0.0], np.cumsum(np.bincount(level[is_parent], minlength=level.max(initial=0) + 1))])
    bound = np.ones(len(sire) + 1)
    bound[-1] = 0.0  # an unknown parent, at position −1
    for animals in _by_level(level):
        paths = 1.0 + bound[sire[animals]] + bound[dam[animals]]
        bound[animals] = np.minimum(paths, 1.0 + older[level[animals]])
    return bound[:-1]


def _traced_is_cheaper(sire: Positions, dam: Positions, level: Positions) -> bool:
    if len(sire) == 0:
        return True
    depth = int(level.max()) + 1
    bound = _ancestors_at_most(sire, dam, level)
    both = (sire >= 0) & (dam >= 0)
    traced = _SECONDS_TRACED * float(bound[both].sum()) + _SECONDS_STEP * depth * depth / 2
    last = _last_use(sire, dam, level)
    parents = last >= 0
    changes = np.zeros(depth + 2)
    np.add.at(changes, level[parents] + 1, 1.0)
    np.add.at(changes, last[parents] + 1, -1.0)
    living = np.cumsum(changes)
    fits = 3 * 8 * float(living.max()) ** 2 < 0.5 * available_bytes()
    return not fits or traced <= _SECONDS_TABULAR * float((living**2).sum())


def _traced(sire: Positions, dam: Positions, level: Positions) -> Float:
    n = len(sire)
    F, D, P = np.zeros(n), np.ones(n), half_parents(sire, dam)
    bound = _ancestors_at_most(sire, dam, level)
    for animals in _by_level(level):
        D[animals] = _sampling(sire, dam, F, animals)
        pair = animals[(sire[animals] >= 0) & (dam[animals] >= 0)]
        low, high = np.minimum(sire[pair], dam[pair]), np.maximum(sire[pair], dam[pair])
        unrelated = (low != high) & (level[low] == 0) & (level[high] == 0)
        pair, low, high = pair[~unrelated], low[~unrelated], high[~unrelated]
        if len(pair) == 0:
            continue
        families, first, back = np.unique(low * n + high, return_index=True, return_inverse=True)
        low, high = low[first], high[first]
        cuts = np.flatnonzero(np.diff(np.cumsum(bound[low] + bound[high]) // _TRACED)) + 1
        square = np.empty(len(families))
        for some in np.split(np.arange(len(families)), cuts):
            both = np.column_stack([low[some], high[some]]).ravel()
            start = sp.coo_array((np.full(len(both), 0.5), (np.repeat(np.arange(len(some)), 2), both)), (len(some), n))
            shares = contributions(start.tocsr(), P)
            shares.data **= 2
            square[some] = shares @ D
        F[pair] = np.maximum(square[back] + D[pair] - 1.0, 0.0)
        F[pair[F[pair] < 1e-14]] = 0.0  # rounding of ½ + ½ − 1
    return F


def _sampling(sire: Positions, dam: Positions, F: Float, animals: Positions) -> Float:
    D = np.ones(len(animals))
    for parent in (sire[animals], dam[animals]):
        known = parent >= 0
        D[known] -= 0.25 * (1.0 + F[parent[known]])
    return D


def _tabular(sire: Positions, dam: Positions, level: Positions) -> Float:
    """Relationships among living parents, one generation at a time."""
    n = len(sire)
    F = np.zeros(n)
    last = _last_use(sire, dam, level)
    place = np.full(n + 1, -1, dtype=np.intp)
    living, A = np.empty(0, dtype=np.intp), np.empty((0, 0))
    for g, animals in enumerate(_by_level(level)):
        both = animals[(sire[animals] >= 0) & (dam[animals] >= 0)]
        F[both] = 0.5 * A[place[sire[both]], place[dam[both]]]
        born = animals[last[animals] > g]
        stay = np.flatnonzero(last[living] > g)
        rows = _half_sum(A, place[sire[born]], place[dam[born]])
        within = _half_sum(rows.T, place[sire[born]], place[dam[born]])
        within[np.diag_indices_from(within)] = 1.0 + F[born]
        k = len(stay)
        grown = np.empty((k + len(born), k + len(born)))
        grown[:k, :k] = A[np.ix_(stay, stay)] if k < len(living) else A
        grown[k:, :k] = rows[:, stay]
        grown[:k, k:] = grown[k:, :k].T
        grown[k:, k:] = within
        place[living] = -1
        living, A = np.concatenate([living[stay], born]), grown
        place[living] = np.arange(len(living))
    return F


def _half_sum(A: Float, s: Positions, d: Positions) -> Float:
    """½ (A[s] + A[d]), zero for an unknown parent (−1)."""
    out = np.zeros((len(s), A.shape[1]))
    for parent in (s, d):
        known = np.flatnonzero(parent >= 0)
        if len(known) == len(parent):
            out += A[parent]
        else:
            out[known] += A[parent[known]]
    out *= 0.5
    return out


def relationships(sire: Positions, dam: Positions, F: Float) -> Float:
    """A (n×n) by the tabular method, a generation at a time."""
    n = len(sire)
    level, _ = generations(sire, dam)
    order = np.argsort(level, kind="stable")
    rank = np.full(n + 1, -1, dtype=np.intp)
    rank[order] = np.arange(n)
    s, d = rank[sire[order]], rank[dam[order]]
    A = np.zeros((n, n))
    ends = np.cumsum(np.bincount(level)) if n else np.empty(0, dtype=np.intp)
    start = 0
    for stop in ends:
        rows = _half_sum(A[:start, :start], s[start:stop], d[start:stop])
        within = _half_sum(rows.T, s[start:stop], d[start:stop])
        A[start:stop, :start], A[:start, start:stop] = rows, rows.T
        A[start:stop, start:stop] = within
        A[range(start, stop), range(start, stop)] = 1.0 + F[order[start:stop]]
        start = int(stop)
    return A if np.array_equal(order, np.arange(n)) else A[np.ix_(rank[:-1], rank[:-1])]
