"""The residual's covariance where rows depend on each other: a list of the pairs of rows that meet in a group.

Every operation costs the pairs and not the linear parameters: V_j of a series of 200 times is one of 200 diagonals of
a 200×200 block, of which the list has each entry once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..structures.base import pattern_of

Float = NDArray[np.float64]
Positions = NDArray[np.intp]


@dataclass(frozen=True)
class RowPairs:
    """Σ_j θ_j V_j by entries (i, j), i ≥ j.

    Attributes
    ----------
    n, m : int
        Rows and linear parameters.
    i, j : (e,)
        Rows of each entry.
    owner : (e,)
        Its linear parameter.
    value : (e,)
        Product of the two rows' factors (weights^-½; ones in working rows).
    cells : (e, 2)
        Cells of the two rows.
    k : int
        Cells.
    """

    n: int
    m: int
    i: Positions
    j: Positions
    owner: Positions
    value: Float
    cells: NDArray[np.intp]
    k: int

    @cached_property
    def twice(self) -> Float:
        """1 on the diagonal, 2 off it."""
        return np.where(self.i == self.j, 1.0, 2.0)

    def entries(self, theta: Float) -> Float:
        """(e,) of V(θ)."""
        return theta[self.owner] * self.value

    def inner(self, S: Float) -> Float:
        """(m,) ⟨S, V_j⟩ of a symmetric S given by its entries (e,)."""
        found: Float = np.bincount(self.owner, S * self.value * self.twice, minlength=self.m)  # type: ignore[assignment]
        return found

    def by_cells(self, S: Float) -> Float:
        """(k, k) tr(S Z_a Z_bᵀ) of a symmetric S given by its entries."""
        a, b = self.cells.T
        flat = np.bincount(a * self.k + b, S * self.value, minlength=self.k**2).reshape(self.k, self.k)
        own = np.bincount(a[self.i == self.j], (S * self.value)[self.i == self.j], minlength=self.k)
        return np.asarray(flat + flat.T - np.diag(own), dtype=np.float64)

    @cached_property
    def diagonal(self) -> Float:
        """(m, n) diagonals of V_j."""
        on = self.i == self.j
        out = np.zeros((self.m, self.n))
        out[self.owner[on], self.i[on]] = self.value[on]
        return out

    @cached_property
    def _stacked(self) -> sp.csr_array:
        """(m·n × n): every V_j below the other."""
        off = self.i != self.j
        row = np.concatenate([self.owner * self.n + self.i, (self.owner * self.n + self.j)[off]])
        column = np.concatenate([self.j, self.i[off]])
        value = np.concatenate([self.value, self.value[off]])
        return sp.csr_array((value, (row, column)), shape=(self.m * self.n, self.n))

    def apply(self, U: Float) -> Float:
        """(m, n, c): V_j U."""
        return np.asarray(self._stacked @ U).reshape(self.m, self.n, U.shape[1])

    def matrix(self, coefficients: Float) -> sp.csr_array:
        """Σ_j coefficients_j V_j (n × n)."""
        value, off = self.entries(coefficients), self.i != self.j
        row, column = np.concatenate([self.i, self.j[off]]), np.concatenate([self.j, self.i[off]])
        return sp.csr_array((np.concatenate([value, value[off]]), (row, column)), shape=(self.n, self.n))


def row_pairs(term: Term, basis: Float) -> RowPairs:
    """Of a residual whose rows have one effect each.

    Parameters
    ----------
    basis : (n, k)
        Effects in the rows that are wanted: the user's or working rows.
    """
    n, k = basis.shape
    cell = np.argmax(basis != 0.0, axis=1)
    size = basis[np.arange(n), cell]
    i, j = _within(term.codes)
    pattern = pattern_of(term.structure)
    if pattern is None:
        pattern = np.full((k, k), -1, dtype=np.intp)
        for number, (a, b) in enumerate(term.structure.pairs):
            pattern[a, b] = pattern[b, a] = number
    owner = pattern[cell[i], cell[j]]
    kept = owner >= 0
    i, j, owner = i[kept], j[kept], owner[kept]
    cells = np.column_stack([cell[i], cell[j]])
    return RowPairs(n, len(term.structure.pairs), i, j, owner, size[i] * size[j], cells, k)


def _within(codes: Positions) -> tuple[Positions, Positions]:
    """(i, j), i ≥ j, of all pairs of rows with one code."""
    first, second = [], []
    for index in block_rows(codes):
        a, b = np.tril_indices(index.shape[1])
        one, two = index[:, a].ravel(), index[:, b].ravel()
        first.append(np.maximum(one, two))
        second.append(np.minimum(one, two))
    return np.concatenate(first), np.concatenate(second)


def block_rows(label: Positions) -> list[Positions]:
    """One array (blocks, size) of row numbers for each block size."""
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return [order[starts[sizes == s][:, None] + np.arange(s)] for s in np.unique(sizes[sizes > 0])]


# ---- the residual alone --------------------------------------------------------------------------------------------


def residual_times(spec: ModelSpec, theta: Float, U: Float) -> Float:
    """R U (n, c), R = Var(e)."""
    if not spec.correlated_residual:
        return spec.residual_variances(theta)[:, None] * U
    return np.asarray(row_pairs(spec.residual, spec.residual.basis).matrix(_own(spec, theta)) @ U)


def residual_solve(spec: ModelSpec, theta: Float, U: Float) -> Float:
    """R⁻¹ U (n, c)."""
    if not spec.correlated_residual:
        return U / spec.residual_variances(theta)[:, None]
    return _by_group(spec, theta, U, la.small_solve)


def whitened(spec: ModelSpec, theta: Float, U: Float) -> Float:
    """L⁻¹ U (n, c) with L Lᵀ = R, rows of a group in their order: independent residuals of unit variance."""
    if not spec.correlated_residual:
        return U / np.sqrt(spec.residual_variances(theta))[:, None]
    return _by_group(spec, theta, U, lambda V, B: la.small_solve(la.small_cholesky(V), B))


def _own(spec: ModelSpec, theta: Float) -> Float:
    return np.asarray(theta, dtype=np.float64)[len(theta) - len(spec.residual.structure.pairs) :]


def _by_group(spec: ModelSpec, theta: Float, U: Float, solve: Callable[[Float, Float], Float]) -> Float:
    """`solve` (R of the groups, U) for all groups of one size together."""
    Sigma, basis = spec.sigmas(theta)[-1], spec.residual.basis
    cell = np.argmax(basis != 0.0, axis=1)
    size = basis[np.arange(len(cell)), cell]
    out = np.empty(U.shape)
    for index in block_rows(spec.residual.codes):
        at, x = cell[index], size[index]
        R = Sigma[at[:, :, None], at[:, None, :]] * x[:, :, None] * x[:, None, :]
        out[index] = solve(R, U[index])
    return out
