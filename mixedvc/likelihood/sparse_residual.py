"""The residual of mixed-model equations: records whose rows depend on each other, alike where they have the same cells.

    R = blockdiag(Σ_e[cells of a record]),   R⁻¹ and log|R| from one small inverse for each set of cells that occurs

A record is a level of the residual: the traits measured on an animal, the times of a subject, or a single row.  Of t
traits with missing cells at most 2ᵗ sets occur, however many records there are.  `numbers` are the entries of the
inverses, one after the other; the equations are a linear map of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..design.spec import Term
from ..linalg import dense as la
from ..linalg.dense import NotPositiveDefinite
from .row_pairs import RowPairs, block_rows, row_pairs

Float = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class Sets:
    """The sets of s cells that occur.

    Attributes
    ----------
    cells : (G, s)
    counts : (G,)
        Records of each.
    start : int
        Where their G·s·s numbers begin.
    rows : (b, s)
        Rows of the records, in the order of their cells.
    which : (b,)
        Set of each record.
    """

    cells: Ints
    counts: Float
    start: int
    rows: Ints
    which: Ints

    @property
    def of(self) -> slice:
        """Place of the numbers."""
        return slice(self.start, self.start + self.cells.size * self.cells.shape[1])

    def square(self, numbers: Float) -> Float:
        """(G, s, s) from the numbers of all sets."""
        G, s = self.cells.shape
        return numbers[self.of].reshape(G, s, s)


@dataclass(frozen=True)
class Records:
    """How rows make records.

    Attributes
    ----------
    n, k : int
        Rows and cells.
    sets : tuple of Sets
        One for each number of cells.
    cell : (n,)
        Cell of each row.
    first, second, number : (e,)
        Ordered pairs of rows of one record, each row with itself among them, and the number that belongs to each.
    """

    n: int
    k: int
    sets: tuple[Sets, ...]
    cell: Ints
    first: Ints
    second: Ints
    number: Ints

    @cached_property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(s.cells.size * s.cells.shape[1] for s in self.sets)

    @cached_property
    def single(self) -> bool:
        """Whether every record is one row."""
        return len(self.first) == self.n

    @cached_property
    def identity(self) -> Float:
        """The numbers of R = I."""
        out = np.zeros(self.size)
        for s in self.sets:
            s.square(out)[...] = np.eye(s.cells.shape[1])
        return out

    def inverse(self, Sigma: Float) -> tuple[Float, float]:
        """Numbers of R⁻¹, and log|R|.

        Raises
        ------
        NotPositiveDefinite
            Where Σ_e of a set of cells is singular.
        """
        out, logdet = np.empty(self.size), 0.0
        for s in self.sets:
            S = Sigma[s.cells[:, :, None], s.cells[:, None, :]]
            if s.cells.shape[1] == 1:
                if not S.min() > 0.0:
                    raise NotPositiveDefinite(1)
                logdet += float(s.counts @ np.log(S[:, 0, 0]))
                s.square(out)[...] = 1.0 / S
                continue
            variances = np.einsum("gss->gs", S)
            if not variances.min() > 0.0:
                raise NotPositiveDefinite(1)
            size = np.sqrt(variances)  # traits may have any units
            outer = size[:, :, None] * size[:, None, :]
            L = la.small_cholesky(S / outer)
            logs = np.log(np.einsum("gss->gs", L)) + np.log(size)
            logdet += 2.0 * float(s.counts @ logs.sum(axis=1))
            s.square(out)[...] = la.stacked_inverse(S / outer) / outer
        return out, logdet

    @cached_property
    def _order(self) -> tuple[Ints, Ints, Ints]:
        """The pairs of rows as a sparse matrix: order, columns, pointers."""
        by = np.lexsort((self.second, self.first))
        pointers = np.concatenate([[0], np.cumsum(np.bincount(self.first, minlength=self.n))])
        return by, self.second[by], pointers

    def matrix(self, numbers: Float) -> Any:
        """The sparse block diagonal matrix (n, n) of these numbers."""
        if self.single:
            return sp.diags_array(numbers[self.number])
        by, columns, pointers = self._order
        return sp.csr_array((numbers[self.number[by]], columns, pointers), shape=(self.n, self.n))

    def unexplained(self, numbers: Float, explained: Float) -> Float:
        """(k, k) tr(V⁻¹Z_aZ_bᵀ) of the cells: Σ over sets of n_g W − W K W.

        Parameters
        ----------
        numbers : (size,)
            W = R⁻¹.
        explained : (size,)
            K, sums over the records of each set of what H⁻¹ leaves between the effects of their rows.
        """
        out = np.zeros((self.k, self.k))
        for s in self.sets:
            W, K = s.square(numbers), s.square(explained)
            left = s.counts[:, None, None] * W - W @ (0.5 * (K + K.swapaxes(1, 2))) @ W
            np.add.at(out, (s.cells[:, :, None], s.cells[:, None, :]), left)
        return out

    def by_cells(self, A: Float, B: Float) -> Float:
        """(k, k) Σ over records of A_a B_bᵀ, A_a the row (n, c) of A that has cell a in a record."""
        out = np.zeros((self.k, self.k))
        for s in self.sets:
            inner = A[s.rows] @ B[s.rows].swapaxes(1, 2)
            cells = s.cells[s.which]
            np.add.at(out, (cells[:, :, None], cells[:, None, :]), inner)
        return out

    def between(self, a: int, b: int) -> tuple[Ints, Ints]:
        """Rows of cells a and b of every record that has both."""
        found = self._between.get((a, b))
        if found is None:
            here = (self.cell[self.first] == a) & (self.cell[self.second] == b)
            found = self._between[a, b] = (self.first[here], self.second[here])
        return found

    @cached_property
    def _between(self) -> dict[tuple[int, int], tuple[Ints, Ints]]:
        return {}

    @cached_property
    def partners(self) -> Ints:
        """(n, k) the row of each cell in each row's record, −1 where there is none."""
        out = np.full((self.n, self.k), -1, dtype=np.intp)
        out[self.first, self.cell[self.second]] = self.second
        return out

    def cell_precision(self, numbers: Float) -> Float:
        """(k,) largest diagonal entry of the inverses for each cell: 1 / the least variance given the other cells."""
        out = np.zeros(self.k)
        for s in self.sets:
            np.maximum.at(out, s.cells, np.einsum("gss->gs", s.square(numbers)))
        return out


def has_records(term: Term) -> bool:
    """Whether the residual `term` is made of records: one effect in each row, no cell twice in a record."""
    basis = term.basis
    if term.k > 1 and np.any((basis != 0.0).sum(axis=1) != 1):
        return False
    key = term.codes * term.k + (np.argmax(basis != 0.0, axis=1) if term.k > 1 else 0)
    return len(np.unique(key)) == len(key)


def records_of(term: Term) -> Records:
    """The records of a residual of which `has_records` is true."""
    n, k = term.basis.shape
    cell = np.argmax(term.basis != 0.0, axis=1) if k > 1 else np.zeros(n, dtype=np.intp)
    sets, first, second, number, start = [], [], [], [], 0
    for rows in block_rows(term.codes):
        rows = np.take_along_axis(rows, np.argsort(cell[rows], axis=1), axis=1)
        s = rows.shape[1]
        cells, which = np.unique(cell[rows], axis=0, return_inverse=True)
        which = which.ravel()
        made = Sets(cells, np.bincount(which).astype(np.float64), start, rows, which)
        shape = (len(rows), s, s)
        first.append(np.broadcast_to(rows[:, :, None], shape).ravel())
        second.append(np.broadcast_to(rows[:, None, :], shape).ravel())
        number.append((start + which[:, None, None] * s * s + np.arange(s * s).reshape(s, s)).ravel())
        start = made.of.stop
        sets.append(made)
    return Records(n, k, tuple(sets), cell, *(np.concatenate(part) for part in (first, second, number)))


def pairs_of(term: Term, basis: Float) -> RowPairs | None:
    """Entries of the residual's V_j in working rows; None where every record is one row."""
    return None if len(np.unique(term.codes)) == len(term.codes) else row_pairs(term, basis)
