"""Mixed-model equations on a fixed sparse pattern: where every product of two effects goes (MATH: 2c).

    H = ΛᵀZᵀR⁻¹ZΛ + blockdiag(I ⊗ Q_i),    Λ = blockdiag(L_i ⊗ I),    Σ_i = L_iL_iᵀ

H is regular whatever Σ is: a zero variance is a zero column of Λ, not an infinite precision.  Each pair of terms has
one list of pairs of effects (l, m) that meet in some row; all its numbers are arrays over that list.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..linalg.sparse_cholesky import Analysis, analyse
from .orthogonal_effects import OrthogonalEffects, orthogonal_effects
from .rows import Rows
from .sparse_sources import Source

Float = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Meeting:
    """Two terms: which of their effects meet, and the sums of products of their values there.

    Attributes
    ----------
    i, j : int
        Terms, i ≤ j.
    N : (G, k_i, k_j, Z)
        Zᵀ Z among the pairs that meet, for each group of rows with a residual variance of its own.
    places : (k_i, k_j, Z) intp
        Where their entries are among the values of the equations; both triangles where i = j.
    """

    i: int
    j: int
    N: Float
    places: Ints


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
    group : (n,) intp
        Residual variance of each row.
    counts : (G,)
        Rows of each.
    turned : OrthogonalEffects
        Effects of vector terms as they stand in the equations.
    """

    analysis: Analysis
    spreads: list[Spread]
    meetings: list[Meeting]
    prior: Float
    logdet: float
    group: Ints
    counts: Float
    turned: OrthogonalEffects

    @property
    def size(self) -> int:
        """Number of effects."""
        return self.analysis.n

    def values(self, roots: list[Float], precision: Float) -> Float:
        """H's values at roots L_i (k×k) and residual precisions (G,)."""
        out = self.prior.copy()
        held = np.zeros_like(out)
        for meeting in self.meetings:
            held[meeting.places] = self.scaled(meeting, roots, np.tensordot(precision, meeting.N, axes=1))
        return out + held

    @staticmethod
    def scaled(meeting: Meeting, roots: list[Float], N: Float) -> Float:
        """L_iᵀ N L_j (k_i, k_j, Z)."""
        if N.shape[:2] == (1, 1):
            return roots[meeting.i][0, 0] * roots[meeting.j][0, 0] * N
        return np.einsum("ac,abz,bd->cdz", roots[meeting.i], N, roots[meeting.j], optimize=True)

    def gradients(self, roots: list[Float], precision: Float, inverse: Float) -> list[Float]:
        """½ ∂log|H|/∂L_i (k, k) of every term: Σ over levels of ZᵀR⁻¹ZΛH⁻¹, from H⁻¹ on the pattern."""
        out = [np.zeros_like(L) for L in roots]
        for meeting in self.meetings:
            i, j = meeting.i, meeting.j
            N = np.tensordot(precision, meeting.N, axes=1)
            X = inverse[meeting.places]
            k, h = N.shape[:2]
            P = (N.reshape(k * h, -1) @ X.reshape(k * h, -1).T).reshape(k, h, k, h)
            out[i] += np.einsum("axbd,xd->ab", P, roots[j])
            if i != j:
                out[j] += np.einsum("axbd,ab->xd", P, roots[i])
        return out

    def residual_traces(self, roots: list[Float], inverse: Float) -> Float:
        """(G,) tr(H⁻¹ ΛᵀZ_gᵀZ_gΛ), Z_g the rows of each residual variance."""
        out = np.zeros(len(self.counts))
        for meeting in self.meetings:
            X = inverse[meeting.places]
            for g, N in enumerate(meeting.N):
                total = float(np.vdot(self.scaled(meeting, roots, N), X))
                out[g] += total if meeting.i == meeting.j else 2.0 * total
        return out

    def gather(self, roots: list[Float], U: Float) -> Float:
        """ΛᵀZᵀU (size, c)."""
        return np.concatenate([self._turned(s.Z.T @ U, L, s.k) for s, L in zip(self.spreads, roots, strict=True)])

    def spread(self, roots: list[Float], w: Float) -> Float:
        """ZΛw (n, c)."""
        total = np.zeros((len(self.group), w.shape[1]))
        for s, L in zip(self.spreads, roots, strict=True):
            total += s.Z @ self._turned(w[s.start : s.start + s.size * s.k], L.T, s.k)
        return total

    @staticmethod
    def _turned(w: Float, L: Float, k: int) -> Float:
        """Lᵀ times each level's k numbers."""
        if k == 1:
            return w * L[0, 0]
        return np.einsum("ab,sac->sbc", L, w.reshape(-1, k, w.shape[1])).reshape(w.shape)


def residual_groups(rows: Rows) -> tuple[Ints, int] | None:
    """Residual variance of each row and how many there are; None where a row's residual mixes several."""
    residual = rows.spec.residual
    return groups_of(residual.basis, residual.structure.pairs, residual.q, residual.codes)


def groups_of(basis: Float, pairs: tuple[tuple[int, int], ...], q: int, codes: Ints) -> tuple[Ints, int] | None:
    """`residual_groups` from the residual's parts."""
    n, k = basis.shape
    if q != n or not np.array_equal(codes, np.arange(n)) or any(a != b for a, b in pairs):
        return None
    if len(pairs) != k or (k > 1 and np.any((basis != 0.0).sum(axis=1) != 1)):
        return None
    return (np.zeros(n, dtype=np.intp) if k == 1 else np.argmax(basis != 0.0, axis=1)), k


def equations(rows: Rows, sources: list[Source]) -> Equations:
    """Pattern and sums of products of the equations of working rows."""
    found = residual_groups(rows)
    assert found is not None
    group, count = found
    terms = rows.spec.terms
    starts = np.concatenate([[0], np.cumsum([term.k * s.size for term, s in zip(terms, sources, strict=True)])])
    met = [s.everyone[s.seen[term.codes]] for term, s in zip(terms, sources, strict=True)]
    turned = orthogonal_effects(rows.spec, rows.scale)
    bases = [turned.basis(i, rows.basis(term)) for i, term in enumerate(terms)]
    patterns, sums, owners, spreads = [], [], [], []
    for i, term in enumerate(terms):
        for j in range(i, len(terms)):
            extra = sources[i].everyone if i == j else None
            l, m, N, own = _meet(met[i], met[j], bases[i], bases[j], group, count, extra)
            patterns.append((i, j, l, m))
            sums.append(N)
            if i == j:
                owners.append(own)
        Z, s = _design(met[i], bases[i]), sources[i]
        spreads.append(Spread(int(starts[i]), s.size, term.k, Z, s.everyone, s.seen, s.all_labels, *owners[i]))
    wide = [_entries(l, m, starts[i], starts[j], terms[i].k, terms[j].k) for i, j, l, m in patterns]
    fixed = [_prior(s, int(starts[i]), terms[i].k) for i, s in enumerate(sources)]
    size = int(starts[-1])
    high = np.concatenate([*(np.maximum(a, b).ravel() for a, b in wide), *(a for a, _, _ in fixed)])
    low = np.concatenate([*(np.minimum(a, b).ravel() for a, b in wide), *(b for _, b, _ in fixed)])
    analysis = analyse(sp.coo_array((np.ones(len(high)), (high, low)), shape=(size, size)))
    keys = analysis.cols * size + analysis.rows
    meetings = [
        Meeting(i, j, N, np.searchsorted(keys, np.minimum(a, b) * size + np.maximum(a, b)))
        for (i, j, _, _), N, (a, b) in zip(patterns, sums, wide, strict=True)
    ]
    prior = np.zeros(len(keys))
    for a, b, values in fixed:
        prior[np.searchsorted(keys, b * size + a)] = values
    counts = np.bincount(group, minlength=count).astype(np.float64)
    logdet = sum(term.k * s.logdet for term, s in zip(terms, sources, strict=True))
    return Equations(analysis, spreads, meetings, prior, logdet, group, counts, turned)


def _design(met: sp.csr_array, basis: Float) -> sp.csr_array:
    """Z (n, s·k) of a term: its rows' effects w times their values."""
    n, k = basis.shape
    lengths = np.diff(met.indptr)
    row = np.repeat(np.arange(n), lengths)
    columns = (met.indices.astype(np.intp)[:, None] * k + np.arange(k)).ravel()
    values = (met.data[:, None] * basis[row]).ravel()
    return sp.csr_array((values, columns, met.indptr * k), shape=(n, met.shape[1] * k))


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
    B: sp.csr_array,
    C: sp.csr_array,
    x: Float,
    z: Float,
    group: Ints,
    count: int,
    everyone: sp.csr_array | None,
) -> tuple[Ints, Ints, Float, tuple[Ints, Ints, Float]]:
    """Pairs (l, m) of effects that meet in a row (or a row of `everyone`), and the sums of products (G, k, h, Z).

    The last part is the products of `everyone`: label, pair, value.
    """
    row, left, right = row_products(B, C)
    s = C.shape[1]
    key = B.indices[left].astype(np.intp) * s + C.indices[right]
    label, own = np.empty(0, np.intp), np.empty(0)
    if everyone is not None:
        label, a, b = row_products(everyone, everyone)
        own = everyone.data[a] * everyone.data[b]
        key = np.concatenate([key, everyone.indices[a].astype(np.intp) * s + everyone.indices[b]])
    distinct, at = np.unique(key, return_inverse=True)
    place, at = at[len(row) :], at[: len(row)]
    product = B.data[left] * C.data[right]
    N = np.empty((count, x.shape[1], z.shape[1], len(distinct)))
    where = group[row] * len(distinct) + at
    for e in range(x.shape[1]):
        for f in range(z.shape[1]):
            total = np.bincount(where, product * x[row, e] * z[row, f], count * len(distinct))
            N[:, e, f] = total.reshape(count, -1)
    return distinct // s, distinct % s, N, (label, place, own)


def row_products(B: sp.csr_array, C: sp.csr_array) -> tuple[Ints, Ints, Ints]:
    """Every pair of an entry of B and one of C in one row: row, place in B, place in C."""
    mine, other = np.diff(B.indptr).astype(np.intp), np.diff(C.indptr).astype(np.intp)
    row_of = np.repeat(np.arange(B.shape[0]), mine)
    times = other[row_of]
    left = np.repeat(np.arange(B.nnz), times)
    row = row_of[left]
    before = np.repeat(np.cumsum(times) - times, times)
    return row, left, C.indptr[row] + np.arange(len(left)) - before
