"""Sparse Cholesky factors of one pattern with many values: analyse once, factor, solve, invert where the pattern is.

    analysis = analyse(A)                    # order, tree, where every number goes
    factor = analysis.factor(values)         # the lower triangle's, in the order of analysis.rows, analysis.cols
    factor.logdet, factor.solve(B), factor.inverse_entries()

Thin columns go by levels of the elimination tree in numpy's index arithmetic, fronts through BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from .dense import NotPositiveDefinite
from .elimination import Elimination, plan
from .fronts import FrontPlaces, factor_fronts, invert_fronts, places_of, solve_backward, solve_forward
from .thin_columns import Level, levels_of

Float = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Analysis:
    """The pattern of a symmetric matrix, prepared for factorisations.

    Attributes
    ----------
    n : int
    rows, cols : (e,) intp
        Entries of the lower triangle, diagonal included, column by column: the order in which values are given.
    plan : Elimination
    """

    n: int
    rows: Ints
    cols: Ints
    plan: Elimination
    _levels: list[Level]
    _fronts: list[FrontPlaces]
    _places: Ints  # of the given entries in the working storage
    _size: int

    @property
    def nnz(self) -> int:
        """Entries of the factor."""
        return self.plan.nnz

    @property
    def flops(self) -> float:
        """Price of a factorisation; the entries of the inverse cost about twice as much again."""
        return self.plan.flops

    def values(self, A: Any) -> Float:
        """(e,) the values of a sparse A whose entries are all in the pattern."""
        lower = sp.csc_array(sp.tril(A))
        lower.sum_duplicates()
        out = np.zeros(len(self.rows))
        column = np.repeat(np.arange(self.n), np.diff(lower.indptr))
        keys = self.cols * self.n + self.rows
        at = np.minimum(np.searchsorted(keys, column * self.n + lower.indices), len(keys) - 1)
        if not np.array_equal(keys[at], column * self.n + lower.indices):
            raise ValueError("the matrix has entries outside the pattern that was analysed")
        out[at] = lower.data
        return out

    def factor(self, values: Float) -> SparseCholesky:
        """The factor of the matrix with these values.

        Raises
        ------
        NotPositiveDefinite
            Where a pivot is not positive.
        """
        work = np.zeros(self._size)
        work[self._places] = values
        pivots = np.empty(self.plan.thin)
        for level in self._levels:
            level.eliminate(work, pivots)
        blocks = factor_fronts(self.plan.fronts, self._fronts, work)
        return SparseCholesky(self, work, pivots, blocks)


@dataclass(frozen=True, eq=False)
class SparseCholesky:
    """A[order][:, order] = L Lᵀ of a sparse positive definite A; made by `Analysis.factor`."""

    analysis: Analysis
    _work: Float  # thin columns of the unit triangular factor
    _pivots: Float
    _blocks: list[tuple[Float, Float]]

    @cached_property
    def logdet(self) -> float:
        """log|A|."""
        return float(np.log(self.pivots).sum())

    @cached_property
    def pivots(self) -> Float:
        """(n,) squared diagonal of L, in the order of elimination."""
        return np.concatenate([self._pivots, *(np.diagonal(top) ** 2 for top, _ in self._blocks)])

    @cached_property
    def _steps(self) -> list[tuple[Level, sp.csc_array, sp.csr_array]]:
        """Levels with their entries below the diagonal, both ways; made at the first solve."""
        return [(level, *level.matrices(self._work)) for level in self.analysis._levels if len(level.off)]

    @cached_property
    def _roots(self) -> Float:
        return np.sqrt(self._pivots)[:, None]

    def solve(self, B: Float) -> Float:
        """A⁻¹ B for B (n,) or (n, c)."""
        return self.half_solve_transposed(self.half_solve(B))

    def half_solve(self, B: Float) -> Float:
        """L⁻¹ B[order] for B (n,) or (n, c): its squares add up to BᵀA⁻¹B."""
        given = np.asarray(B, dtype=np.float64)
        x = given.reshape(len(given), -1)[self.analysis.plan.order]
        for level, below, _ in self._steps:
            level.forward(below, x)
        solve_forward(self.analysis.plan.fronts, self._blocks, x)
        x[: len(self._pivots)] /= self._roots
        return x.reshape(given.shape)

    def half_solve_transposed(self, B: Float) -> Float:
        """Rows of L⁻ᵀ B in A's own order: A⁻¹ is their covariance where B is standard normal."""
        given = np.asarray(B, dtype=np.float64)
        x = given.reshape(len(given), -1).copy()
        x[: len(self._pivots)] /= self._roots
        solve_backward(self.analysis.plan.fronts, self._blocks, x)
        for level, _, turned in reversed(self._steps):
            level.backward(turned, x)
        out = np.empty_like(x)
        out[self.analysis.plan.order] = x
        return out.reshape(given.shape)

    def inverse_entries(self) -> Float:
        """(e,) entries of A⁻¹ where the pattern is, in the order of ``analysis.rows``, ``analysis.cols``.

        Takahashi's recursion from the last column to the first (Takahashi, Fagan & Chin 1973; Erisman & Tinney 1975).
        """
        inverse = np.zeros(self.analysis._size)
        invert_fronts(self.analysis.plan.fronts, self.analysis._fronts, self._blocks, inverse)
        for level in reversed(self.analysis._levels):
            level.invert(self._work, self._pivots, inverse)
        return inverse[self.analysis._places]


def analyse(A: Any, order: Ints | None = None) -> Analysis:
    """Prepare the pattern of a sparse symmetric A (n×n, either triangle or both; a full diagonal is added).

    Parameters
    ----------
    A : sparse (n, n)
    order : (n,) intp, optional
        Elimination order to keep to; minimum degree by default.
    """
    rows, cols, full = _pattern(A)
    n = full.shape[0]
    steps = plan(full, order)
    rank = np.empty(n, dtype=np.intp)
    rank[steps.order] = np.arange(n)
    low, high = np.minimum(rank[rows], rank[cols]), np.maximum(rank[rows], rank[cols])
    given = low * n + high
    keys = _distinct(np.concatenate([given, *_thin_keys(steps, n)]))
    starts = np.searchsorted(keys, np.arange(n + 1) * n)
    entry_rows = keys % max(n, 1)
    levels = levels_of(steps, keys, starts, entry_rows, n)
    fronts = places_of(steps.fronts, starts, entry_rows)
    return Analysis(n, rows, cols, steps, levels, fronts, np.searchsorted(keys, given), len(keys))


def sparse_cholesky(A: Any, order: Ints | None = None) -> SparseCholesky:
    """Analyse and factor one matrix (both triangles or the lower one given).

    Raises
    ------
    NotPositiveDefinite
    """
    analysis = analyse(A, order)
    return analysis.factor(analysis.values(A))


def _distinct(keys: Ints) -> Ints:
    """Ascending, each once; a sort is faster here than numpy's table of hashes."""
    keys.sort()
    first = np.ones(len(keys), dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def _pattern(A: Any) -> tuple[Ints, Ints, sp.csc_array]:
    """Lower entries column by column, and the symmetric pattern with its diagonal."""
    coo = sp.coo_array(A)
    n = coo.shape[0]
    i = np.concatenate([np.maximum(coo.row, coo.col), np.arange(n)]).astype(np.intp)
    j = np.concatenate([np.minimum(coo.row, coo.col), np.arange(n)]).astype(np.intp)
    keys = _distinct(j * n + i)
    rows, cols = keys % max(n, 1), keys // max(n, 1)
    off = rows > cols
    both = (np.concatenate([rows, cols[off]]), np.concatenate([cols, rows[off]]))
    return rows, cols, sp.csc_array(sp.coo_array((np.ones(len(both[0])), both), shape=(n, n)))


def _thin_keys(steps: Elimination, n: int) -> list[Ints]:
    """Keys (column · n + row) of the entries of thin columns and of all that eliminating them touches."""
    out = []
    for below, columns in zip(steps.below, steps.members, strict=True):
        out.append(columns * n + columns)
        if below.shape[1]:
            out.append((columns[:, None] * n + below).ravel())
            first, second = np.tril_indices(below.shape[1])
            out.append((below[:, second] * n + below[:, first]).ravel())
    return out


__all__ = ["Analysis", "NotPositiveDefinite", "SparseCholesky", "analyse", "sparse_cholesky"]
