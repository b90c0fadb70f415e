"""Mixed-model equations on a fixed sparse pattern: where every product of two effects goes (MATH: 2c).

    H = ΛᵀZᵀR⁻¹ZΛ + blockdiag(I ⊗ Q_i),    Λ = blockdiag(L_i ⊗ I),    Σ_i = L_iL_iᵀ

H is regular whatever Σ is: a zero variance is a zero column of Λ, not an infinite precision.  Each pair of terms has
one list of pairs of levels (l, m) that meet in some record; all its numbers are arrays over that list, and linear in
the few numbers of R⁻¹ (`sparse_residual`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..linalg.elimination import fill_reducing_order
from ..linalg.sparse_cholesky import Analysis, analyse
from .orthogonal_effects import OrthogonalEffects, orthogonal_effects
from .row_pairs import RowPairs
from .rows import Rows
from .sparse_residual import Records, pairs_of, records_of
from .sparse_sources import Source

Float = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Meeting:
    """Two terms: which of their levels meet in a record, and how ZᵀR⁻¹Z there depends on the numbers of R⁻¹.

    Attributes
    ----------
    i, j : int
        Terms, i ≤ j.
    map : sparse (k_i·k_j·Z, numbers)
        ZᵀR⁻¹Z among the Z pairs of levels that meet, effect by effect.
    places : (k_i, k_j, Z) intp
        Where their entries are among the values of the equations; both triangles where i = j.
    """

    i: int
    j: int
    map: sp.csr_array
    places: Ints

    def products(self, numbers: Float) -> Float:
        """(k_i, k_j, Z) ZᵀR⁻¹Z."""
        return np.asarray(self.map @ numbers).reshape(self.places.shape)


@dataclass(frozen=True)
class Spread:
    """How the effects w of a term reach rows and levels.

    Attributes
    ----------
    start, size, k : int
        Its place in the vector of all effects, level by level: entry ``start + l·k + a``.
    Z : sparse (n, s·k)
        Working rows.
    everyone : sparse (L, s)
    seen : (q,) intp
    all_labels : bool
    label, place : (e,) intp; value : (e,)
        Products of two entries of each row of `everyone`: the row, the place in the term's list of pairs, the product.
    """

    start: int
    size: int
    k: int
    Z: sp.csr_array
    everyone: sp.csr_array
    seen: Ints
    all_labels: bool
    label: Ints
    place: Ints
    value: Float

    def of(self, x: Float) -> Float:
        """(s, k, c) of the term in a vector or columns of all effects."""
        return x[self.start : self.start + self.size * self.k].reshape(self.size, self.k, -1)


@dataclass(frozen=True)
class Equations:
    """The equations of one specification; numbers enter with Σ and the residual variances.

    Attributes
    ----------
    analysis : Analysis
    spreads : list of Spread
    meetings : list of Meeting
    prior : (e,)
        blockdiag(I ⊗ Q_i) among the values.
    logdet : float
        log|blockdiag(I ⊗ Q_i)⁻¹|.
    records : Records
        What R is made of.
    pairs : RowPairs or None
        Entries of the residual's V_j in working rows; None where every record is one row.
    touched : list of (k, cells) bool
        Cells of the residual in whose rows each effect is.
    turned : OrthogonalEffects
        Effects of vector terms as they stand in the equations.
    """

    analysis: Analysis
    spreads: list[Spread]
    meetings: list[Meeting]
    prior: Float
    logdet: float
    records: Records
    pairs: RowPairs | None
    touched: list[NDArray[np.bool_]]
    turned: OrthogonalEffects

    @property
    def size(self) -> int:
        """Number of effects."""
        return self.analysis.n

    def products(self, numbers: Float) -> list[Float]:
        """ZᵀR⁻¹Z of every meeting."""
        return [meeting.products(numbers) for meeting in self.meetings]

    def values(self, roots: list[Float], products: list[Float]) -> Float:
        """H's values at roots L_i (k×k) and `products`."""
        out = self.prior.copy()
        held = np.zeros_like(out)
        for meeting, N in zip(self.meetings, products, strict=True):
            held[meeting.places] = _between(roots[meeting.i].T, N, roots[meeting.j])
        return out + held

    def gradients(self, roots: list[Float], products: list[Float], inverse: Float) -> list[Float]:
        """½ ∂log|H|/∂L_i (k, k) of every term: Σ over levels of ZᵀR⁻¹ZΛH⁻¹, from H⁻¹ on the pattern."""
        out = [np.zeros_like(L) for L in roots]
        for meeting, N in zip(self.meetings, products, strict=True):
            i, j = meeting.i, meeting.j
            X = inverse[meeting.places]
            k, h = N.shape[:2]
            P = (N.reshape(k * h, -1) @ X.reshape(k * h, -1).T).reshape(k, h, k, h)
            out[i] += np.einsum("axbd,xd->ab", P, roots[j])
            if i != j:
                out[j] += np.einsum("axbd,ab->xd", P, roots[i])
        return out

    def explained(self, roots: list[Float], inverse: Float) -> Float:
        """∂log|H|/∂(numbers of R⁻¹): sums over the records of ZΛH⁻¹ΛᵀZᵀ among their rows."""
        out = np.zeros(self.records.size)
        for meeting in self.meetings:
            left = _between(roots[meeting.i], inverse[meeting.places], roots[meeting.j].T)
            out += (1.0 if meeting.i == meeting.j else 2.0) * (meeting.map.T @ left.ravel())
        return out

    def gather(self, roots: list[Float], U: Float) -> Float:
        """ΛᵀZᵀU (size, c)."""
        return np.concatenate([self._turned(s.Z.T @ U, L, s.k) for s, L in zip(self.spreads, roots, strict=True)])

    def spread(self, roots: list[Float], w: Float) -> Float:
        """ZΛw (n, c)."""
        total = np.zeros((self.records.n, w.shape[1]))
        for s, L in zip(self.spreads, roots, strict=True):
            total += s.Z @ self._turned(w[s.start : s.start + s.size * s.k], L.T, s.k)
        return total

    @staticmethod
    def _turned(w: Float, L: Float, k: int) -> Float:
        """Lᵀ times each level's k numbers."""
        if k == 1:
            return w * L[0, 0]
        return np.einsum("ab,sac->sbc", L, w.reshape(-1, k, w.shape[1])).reshape(w.shape)


def _between(left: Float, N: Float, right: Float) -> Float:
    """left N right (k, h, Z), for each of the Z."""
    if N.shape[:2] == (1, 1):
        return np.asarray(left[0, 0] * right[0, 0] * N)
    return np.asarray(np.einsum("ca,abz,bd->cdz", left, N, right, optimize=True))


def equations(rows: Rows, sources: list[Source]) -> Equations:
    """Pattern and sums of products of the equations of working rows."""
    terms, residual = rows.spec.terms, rows.spec.residual
    records = records_of(residual)
    starts = np.concatenate([[0], np.cumsum([term.k * s.size for term, s in zip(terms, sources, strict=True)])])
    met = [s.everyone[s.seen[term.codes]] for term, s in zip(terms, sources, strict=True)]
    turned = orthogonal_effects(rows.spec, rows.scale)
    bases = [turned.basis(i, rows.basis(term)) for i, term in enumerate(terms)]
    designs = [_design(B, basis) for B, basis in zip(met, bases, strict=True)]
    patterns, maps, owners, spreads = [], [], [], []
    for i, term in enumerate(terms):
        for j in range(i, len(terms)):
            extra = sources[i].everyone if i == j else None
            l, m, linear, own = _meet((designs[i], term.k), (designs[j], terms[j].k), records, extra)
            patterns.append((i, j, l, m))
            maps.append(linear)
            if i == j:
                owners.append(own)
        s = sources[i]
        spreads.append(Spread(int(starts[i]), s.size, term.k, designs[i], s.everyone, s.seen, s.all_labels, *owners[i]))
    wide = [_entries(l, m, starts[i], starts[j], terms[i].k, terms[j].k) for i, j, l, m in patterns]
    fixed = [_prior(s, int(starts[i]), terms[i].k) for i, s in enumerate(sources)]
    size = int(starts[-1])
    high = np.concatenate([*(np.maximum(a, b).ravel() for a, b in wide), *(a for a, _, _ in fixed)])
    low = np.concatenate([*(np.minimum(a, b).ravel() for a, b in wide), *(b for _, b, _ in fixed)])
    order = _level_order(patterns, sources, [term.k for term in terms])
    analysis = analyse(sp.coo_array((np.ones(len(high)), (high, low)), shape=(size, size)), order)
    keys = analysis.cols * size + analysis.rows
    meetings = [
        Meeting(i, j, linear, np.searchsorted(keys, np.minimum(a, b) * size + np.maximum(a, b)))
        for (i, j, _, _), linear, (a, b) in zip(patterns, maps, wide, strict=True)
    ]
    prior = np.zeros(len(keys))
    for a, b, values in fixed:
        prior[np.searchsorted(keys, b * size + a)] = values
    logdet = sum(term.k * s.logdet for term, s in zip(terms, sources, strict=True))
    pairs = pairs_of(residual, rows.basis(residual))
    touched = [_touched(basis, records) for basis in bases]
    return Equations(analysis, spreads, meetings, prior, logdet, records, pairs, touched, turned)


def _level_order(patterns: list[tuple[int, int, Ints, Ints]], sources: list[Source], effects: list[int]) -> Ints | None:
    """Order of elimination in which the effects of a level stay together, from the graph of levels; None for k = 1.

    That graph is several times smaller than the one of effects, and leaves the same blocks to fill.
    """
    if max(effects) == 1:
        return None
    first = np.concatenate([[0], np.cumsum([s.size for s in sources])]).astype(np.intp)
    start = np.concatenate([[0], np.cumsum([k * s.size for k, s in zip(effects, sources, strict=True)])]).astype(
        np.intp
    )
    prior = [sp.coo_array(s.Q) for s in sources]
    rows = [first[i] + l for i, _, l, _ in patterns] + [first[i] + Q.row for i, Q in enumerate(prior)]
    cols = [first[j] + m for _, j, _, m in patterns] + [first[i] + Q.col for i, Q in enumerate(prior)]
    one, two = np.concatenate(rows), np.concatenate(cols)
    met = sp.coo_array((np.ones(2 * len(one)), (np.append(one, two), np.append(two, one))), shape=(int(first[-1]),) * 2)
    order = fill_reducing_order(met)
    term = np.searchsorted(first, order, side="right") - 1
    k = np.array(effects, dtype=np.intp)[term]
    begin = start[term] + (order - first[term]) * k
    return np.repeat(begin - np.cumsum(k) + k, k) + np.arange(int(k.sum()))


def _touched(basis: Float, records: Records) -> NDArray[np.bool_]:
    """(k, cells) whether an effect is in rows of a cell."""
    out = np.zeros((basis.shape[1], records.k), dtype=bool)
    row, effect = np.nonzero(basis)
    out[effect, records.cell[row]] = True
    return out


def _design(met: sp.csr_array, basis: Float) -> sp.csr_array:
    """Z (n, s·k) of a term: its rows' effects w times their values."""
    n, k = basis.shape
    lengths = np.diff(met.indptr)
    row = np.repeat(np.arange(n), lengths)
    columns = (met.indices.astype(np.intp)[:, None] * k + np.arange(k)).ravel()
    values = (met.data[:, None] * basis[row]).ravel()
    Z = sp.csr_array((values, columns, met.indptr * k), shape=(n, met.shape[1] * k))
    Z.eliminate_zeros()  # a trait's row has the effects of that trait alone
    return Z


def _entries(l: Ints, m: Ints, i: int, j: int, k: int, h: int) -> tuple[Ints, Ints]:
    """(k, h, Z) rows and columns among all effects of the pairs (l, m) of two terms."""
    shape = (k, h, len(l))
    first = i + l * k + np.arange(k)[:, None]
    second = j + m * h + np.arange(h)[:, None]
    return np.broadcast_to(first[:, None], shape), np.broadcast_to(second[None], shape)


def _prior(source: Source, start: int, k: int) -> tuple[Ints, Ints, Float]:
    """Entries of I ⊗ Q, lower triangle."""
    lower = sp.coo_array(sp.tril(source.Q))
    a, b = lower.row.astype(np.intp), lower.col.astype(np.intp)
    effects = np.arange(k)[:, None]
    rows, cols = start + a * k + effects, start + b * k + effects
    return rows.ravel(), cols.ravel(), np.tile(lower.data, k)


def _meet(
    mine: tuple[sp.csr_array, int], other: tuple[sp.csr_array, int], records: Records, everyone: sp.csr_array | None
) -> tuple[Ints, Ints, sp.csr_array, tuple[Ints, Ints, Float]]:
    """Pairs (l, m) of levels that meet in a record (or a row of `everyone`), and ZᵀR⁻¹Z there by the numbers of R⁻¹.

    `mine` and `other` are designs with their number of effects.  The last part is the products of `everyone`: label,
    pair, value.
    """
    (B, k), (C, h) = mine, other
    if not records.single:
        B, C = B[records.first], C[records.second]
    row, left, right = row_products(B, C)
    s = C.shape[1] // h
    one, two = B.indices[left].astype(np.intp), C.indices[right].astype(np.intp)
    key = (one // k) * s + two // h
    label, own = np.empty(0, np.intp), np.empty(0)
    if everyone is not None:
        label, a, b = row_products(everyone, everyone)
        own = everyone.data[a] * everyone.data[b]
        key = np.concatenate([key, everyone.indices[a].astype(np.intp) * s + everyone.indices[b]])
    distinct, at = np.unique(key, return_inverse=True)
    place, at = at[len(row) :], at[: len(row)]
    entry = ((one % k) * h + two % h) * len(distinct) + at
    linear = sp.coo_array(
        (B.data[left] * C.data[right], (entry, records.number[row])), shape=(k * h * len(distinct), records.size)
    ).tocsr()
    return distinct // s, distinct % s, linear, (label, place, own)


def row_products(B: sp.csr_array, C: sp.csr_array) -> tuple[Ints, Ints, Ints]:
    """Every pair of an entry of B and one of C in one row: row, place in B, place in C."""
    mine, other = np.diff(B.indptr).astype(np.intp), np.diff(C.indptr).astype(np.intp)
    row_of = np.repeat(np.arange(B.shape[0]), mine)
    times = other[row_of]
    left = np.repeat(np.arange(B.nnz), times)
    row = row_of[left]
    before = np.repeat(np.cumsum(times) - times, times)
    return row, left, C.indptr[row] + np.arange(len(left)) - before
