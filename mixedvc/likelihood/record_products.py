"""Traces of products of dense V_j of several traits: sums over traits of products of n×n matrices of the records.

    V_αβ = S_a (x_α x_βᵀ ∘ K) S_bᵀ,   S_a the cells of trait a (N×n),   W_ya = S_yᵀ V⁻¹ S_a (zeros for missing cells)
    tr(V⁻¹V_αβ V⁻¹V_γδ) = ⟨W_ya L, (W_bx L′)ᵀ⟩

V_j as N×N matrices are zero but for two of t² blocks: products with each would cost N³ for every parameter, all of
these together cost 2 t² n³ for every kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..linalg import dense as la
from ..linalg.products import product
from ..structures.base import entries_of
from .rows import Rows

Float = NDArray[np.float64]
_KEPT = 1e9  # bytes of products that are kept, not made again


@dataclass(frozen=True)
class RecordProducts:
    """The parameters of a specification by record kernels and pairs of traits.

    Attributes
    ----------
    n, t : int
        Records and traits.
    place : (N,)
        trait · n + record of each row.
    sources : tuple of (n, n) or None
        x_α x_βᵀ ∘ K, symmetric or with its transpose among the others; None for the identity (the residual's).
    patterns : (sources, m, t²)
        Entries (a, b) in which each parameter has each source.
    """

    n: int
    t: int
    place: NDArray[np.intp]
    sources: tuple[Float | None, ...]
    patterns: Float

    def pair_traces(self, W: Float) -> Float:
        """(m, m) tr(V⁻¹V_jV⁻¹V_k) from the lower triangle of V⁻¹."""
        wide = self._padded(W)
        count = len(self.sources)
        keep = 16.0 * count * wide.size <= _KEPT
        turned = {i: self._turned(wide, i) for i in range(count)} if keep else {}
        total = np.zeros((self.patterns.shape[1],) * 2)
        for i in range(count):
            left = self._times(wide, i).transpose(0, 2, 1, 3).reshape(self.t**2, -1)  # y, a; r, s
            for j in range(i, count):
                right = turned[j] if keep else self._turned(wide, j)
                Phi = product(left, right.T).reshape((self.t,) * 4)  # y, a, b, x
                part = self.patterns[i] @ Phi.transpose(1, 2, 3, 0).reshape(self.t**2, -1) @ self.patterns[j].T
                total += part if i == j else part + part.T
        return 0.5 * (total + total.T)

    def cross_traces(self, W: Float) -> Float:
        """(m, m) tr(V_jV⁻¹V_k)."""
        n, t = self.n, self.t
        blocks = self._padded(W).reshape(t, n, t, n).transpose(0, 2, 1, 3).reshape(t * t, n * n)  # b, x; r, s
        total = np.zeros((self.patterns.shape[1],) * 2)
        for i in range(len(self.sources)):
            for j in range(len(self.sources)):
                Phi = np.zeros((t,) * 4)  # a, b, x, y
                for a in range(t):
                    between = self._between(j, a, i)  # K_j over the records of trait a, K_i
                    Phi[a, :, :, a] = (blocks @ between.T.ravel()).reshape(t, t)
                total += self.patterns[i] @ Phi.reshape(t * t, -1) @ self.patterns[j].T
        return 0.5 * (total + total.T)

    def inner(self) -> Float:
        """(m, m) tr(V_jV_k)."""
        seen = np.zeros((self.t, self.n))
        seen.ravel()[self.place] = 1.0
        total = np.zeros((self.patterns.shape[1],) * 2)
        for i, one in enumerate(self.sources):
            for j in range(i, len(self.sources)):
                other = self.sources[j]
                if one is None or other is None:
                    d = np.ones(self.n)
                    for K in (one, other):
                        d = d if K is None else d * np.diagonal(K)
                    sums = (seen * d) @ seen.T
                else:
                    sums = seen @ (one * other) @ seen.T
                part = (self.patterns[i] * sums.ravel()) @ self.patterns[j].T
                total += part if i == j else part + part.T
        return total

    def _padded(self, W: Float) -> Float:
        """(tn, tn) V⁻¹ trait by trait, with zeros for missing cells."""
        out = np.zeros((self.t * self.n,) * 2)
        out[np.ix_(self.place, self.place)] = la.symmetrize_lower(W)
        return out

    def _times(self, wide: Float, i: int) -> Float:
        """(t, n, t, n) W_ya times a source."""
        source = self.sources[i]
        flat = wide if source is None else product(source.T, wide.reshape(-1, self.n).T).T
        return flat.reshape(self.t, self.n, self.t, self.n)

    def _turned(self, wide: Float, i: int) -> Float:
        """(t², n²) the same, transposed within blocks."""
        return self._times(wide, i).transpose(0, 2, 3, 1).reshape(self.t**2, -1)

    def _between(self, j: int, a: int, i: int) -> Float:
        """K_j diag(records of trait a) K_i (n, n)."""
        seen = np.zeros(self.t * self.n)
        seen[self.place] = 1.0
        mask = seen[a * self.n : (a + 1) * self.n]
        first, second = self.sources[j], self.sources[i]
        if first is None or second is None:
            masked = np.diag(mask) if second is None else mask[:, None] * second
            return masked if first is None else first * mask
        return product(first, mask[:, None] * second)


def record_products(rows: Rows) -> RecordProducts | None:
    """Of rows that are (most of) the cells of records × traits, each effect of a term one trait's; else None."""
    spec, residual = rows.spec, rows.spec.residual
    t, N = residual.k, rows.n
    if t < 2 or not spec.terms:
        return None
    record, codes = np.unique(residual.codes, return_inverse=True)
    n, trait = len(record), np.argmax(residual.basis != 0.0, axis=1)
    if (t * n) ** 2 > 2.0 * N**2:  # of few cells a record: blocks of zeros would be multiplied
        return None
    sources: list[Float | None] = []
    owned: list[tuple[int, int, int, int]] = []  # source, parameter, a, b
    parameter = 0
    for term in spec.terms:
        columns = _columns(term, rows.basis(term), codes, trait, n)
        level = _levels(term, codes, n)
        if columns is None or level is None:
            return None
        K = term.covariance.block(term.positions[level])
        of, values, traits = columns
        made: dict[tuple[int, int], int] = {}
        for j in range(len(term.structure.pairs)):
            for alpha, beta in entries_of(term.structure, j):
                for one, two in {(alpha, beta), (beta, alpha)}:
                    key = (of[one], of[two])
                    if key not in made:
                        made[key] = len(sources)
                        sources.append(_scaled(K, values[key[0]], values[key[1]]))
                    owned.append((made[key], parameter, traits[one], traits[two]))
            parameter += 1
    for j in range(len(residual.structure.pairs)):
        for a, b in entries_of(residual.structure, j):
            owned += [(len(sources), parameter, *cell) for cell in {(a, b), (b, a)}]
        parameter += 1
    sources.append(None)
    patterns = np.zeros((len(sources), parameter, t, t))
    for at in owned:
        patterns[at] = 1.0
    return RecordProducts(n, t, trait * n + codes, tuple(sources), patterns.reshape(len(sources), parameter, -1))


def _columns(
    term: Term, basis: Float, codes: NDArray[np.intp], trait: NDArray[np.intp], n: int
) -> tuple[list[int], list[Float], list[int]] | None:
    """Which record effect each effect of a term is, these effects (n,), and the trait of each; None where mixed.

    Effects of two traits are one where they agree in all records that have both.
    """
    of, traits = [], []
    values: list[Float] = []
    for column in basis.T:
        there = np.flatnonzero(column)
        own = np.unique(trait[there])
        if len(own) != 1:
            return None
        traits.append(int(own[0]))
        cells = np.flatnonzero(trait == own[0])
        mine = np.full(n, np.nan)
        mine[codes[cells]] = column[cells]
        for e, other in enumerate(values):
            both = ~np.isnan(mine) & ~np.isnan(other)
            if (mine[both] == other[both]).all():
                values[e] = np.where(np.isnan(other), mine, other)
                of.append(e)
                break
        else:
            of.append(len(values))
            values.append(mine)
    return of, [np.nan_to_num(x) for x in values], traits


def _levels(term: Term, codes: NDArray[np.intp], n: int) -> NDArray[np.intp] | None:
    """(n,) level of each record; None where its cells have several."""
    level = np.empty(n, dtype=np.intp)
    level[codes] = term.codes
    return level if np.array_equal(level[codes], term.codes) else None


def _scaled(K: Float, x: Float, z: Float) -> Float:
    """x zᵀ ∘ K."""
    if (x == 1.0).all() and (z == 1.0).all():
        return K
    out = K * z
    out *= x[:, None]
    return out
