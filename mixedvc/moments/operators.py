"""V_j of one term as an operator on working rows: products, diagonals and panels of rows, never n×n."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import Term
from ..likelihood.row_pairs import row_pairs
from ..likelihood.rows import Rows

Float = NDArray[np.float64]
_KEPT_BYTES = 64 * 2**20  # a computed covariance among levels up to this size is formed once and kept


class Operator:
    """Z_a A Z_bᵀ (+ transpose where a ≠ b) of a random term, for each (a, b) of its linear parameters.

    Parameters
    ----------
    term : Term
    basis : (n, k)
        Effects in working rows.
    """

    def __init__(self, term: Term, basis: Float):
        self.term, self.basis = term, basis
        self.pairs = term.structure.pairs
        self.n, self.k = basis.shape
        self.plain = self.k == 1 and bool(np.all(basis == 1.0))

    @cached_property
    def positions(self) -> NDArray[np.intp]:
        """(n,) position of each row's level in the covariance."""
        return self.term.positions[self.term.codes]

    @cached_property
    def in_order(self) -> bool:
        """Whether the rows are the covariance's labels, all of them, in their order."""
        return len(self.term.covariance.labels) == self.n and bool(np.array_equal(self.positions, np.arange(self.n)))

    @cached_property
    def stored(self) -> Float | None:
        """The matrix among the rows where it is stored as it is: a view."""
        if self.in_order and Can.DENSE in self.term.covariance.can:
            return self.term.covariance.block()
        return None

    @cached_property
    def incidence(self) -> list[sp.csr_array]:
        """Z_a (n × labels of the covariance) of each effect."""
        shape = (self.n, len(self.term.covariance.labels))
        ends = np.arange(self.n + 1)
        return [sp.csr_array((self.basis[:, a], self.positions, ends), shape=shape) for a in range(self.k)]

    def apply(self, U: Float) -> Float:
        """(pairs, n, c): V_j U, in one product with A."""
        if self.in_order and self.plain:
            return np.asarray(self.term.covariance.matmat(U))[None]
        c = U.shape[1]
        inner = np.hstack([Z.T @ U for Z in self.incidence])
        AU = self.term.covariance.matmat(inner).reshape(-1, self.k, c)
        out = np.empty((len(self.pairs), self.n, c))
        for j, (a, b) in enumerate(self.pairs):
            out[j] = self.incidence[a] @ AU[:, b]
            if a != b:
                out[j] += self.incidence[b] @ AU[:, a]
        return out

    @cached_property
    def diagonal(self) -> Float:
        """(pairs, n): diag V_j."""
        term = self.term
        A = np.asarray(term.covariance.diagonal(term.positions), dtype=np.float64)[term.codes]
        x = self.basis
        return np.stack([x[:, a] * x[:, b] * A * (1.0 if a == b else 2.0) for a, b in self.pairs])

    # ---- panels of rows -------------------------------------------------------------------------------------

    @property
    def row_bytes(self) -> int:
        """Memory that one row of a panel takes: the kernel's and each V_j's, where they are not views."""
        if self.stored is not None and self.plain:
            return 0
        return 8 * self.n * (1 + (0 if self.plain else 2 * len(self.pairs)))

    @property
    def computed(self) -> bool:
        """Whether a panel of A is computed (by solves or from features) rather than looked up."""
        return not (Can.DENSE in self.term.covariance.can or self._kept is not None)

    @cached_property
    def _kept(self) -> Float | None:
        """A among the levels, where it is small or stored."""
        term = self.term
        if Can.DENSE in term.covariance.can:
            return term.covariance.block()
        if 8 * term.q**2 <= _KEPT_BYTES:
            return term.covariance.block(term.positions)
        return None

    def kernel(self, start: int, stop: int) -> Float:
        """A among rows start…stop and rows 0…stop."""
        if self.stored is not None:
            return self.stored[start:stop, :stop]
        term, A = self.term, self._kept
        if A is None:
            rows, cols = self.positions[start:stop], self.positions[:stop]
            return term.covariance.block(cols, rows).T  # few columns: those are what a solve is made for
        at = self.positions if Can.DENSE in term.covariance.can else term.codes
        return A[at[start:stop]][:, at[:stop]] if len(A) <= self.n else A[at[start:stop, None], at[:stop]]

    def panel(self, start: int, stop: int) -> list[Float]:
        """Rows start…stop and columns 0…stop of each V_j."""
        K = self.kernel(start, stop)
        if self.plain:
            return [K]
        left, right = self.basis[start:stop], self.basis[:stop]
        out = []
        for a, b in self.pairs:
            V = np.multiply.outer(left[:, a], right[:, b])
            if a != b:
                V += np.multiply.outer(left[:, b], right[:, a])
            V *= K
            out.append(V)
        return out


class PairsOperator(Operator):
    """The same of a residual whose rows depend on each other in groups."""

    def __init__(self, term: Term, basis: Float):
        super().__init__(term, basis)
        self.rows = row_pairs(term, basis)
        self.plain = False

    def apply(self, U: Float) -> Float:
        return self.rows.apply(U)

    @cached_property
    def diagonal(self) -> Float:
        return self.rows.diagonal

    @cached_property
    def _matrices(self) -> list[sp.csr_array]:
        return [self.rows.matrix(unit) for unit in np.eye(len(self.pairs))]

    def panel(self, start: int, stop: int) -> list[Float]:
        return [np.asarray(V[start:stop].toarray()[:, :stop]) for V in self._matrices]


class Operators:
    """Every V_j of a specification, the residual last, on its working rows.

    A residual whose rows depend on each other is among the operators of `random`, the last one; `residual` (m_e, n)
    has the diagonals of any other.
    """

    def __init__(self, rows: Rows):
        self.rows = rows
        spec, x = rows.spec, rows.basis(rows.spec.residual)
        self.random = [Operator(term, rows.basis(term)) for term in spec.terms]
        self.residual = spec.residual.row_products(x)
        if spec.correlated_residual:
            self.random.append(PairsOperator(spec.residual, x))
            self.residual = np.empty((0, rows.n))

    @property
    def m(self) -> int:
        """Linear parameters."""
        return sum(len(op.pairs) for op in self.random) + len(self.residual)

    @property
    def identity_residual(self) -> bool:
        """Whether the residual's V is the identity."""
        return len(self.residual) == 1 and bool(np.all(self.residual == 1.0))

    def apply(self, U: Float) -> Float:
        """(m, n, c): V_j U."""
        out = np.empty((self.m, *U.shape))
        at = 0
        for op in self.random:
            out[at : at + len(op.pairs)] = op.apply(U)
            at += len(op.pairs)
        np.multiply(self.residual[:, :, None], U, out=out[at:])
        return out

    def combine(self, theta: Float, U: Float) -> Float:
        """V(θ) U, one term at a time."""
        at = len(theta) - len(self.residual)
        out: Float = (theta[at:] @ self.residual)[:, None] * U
        at = 0
        for op in self.random:
            part = theta[at : at + len(op.pairs)]
            at += len(op.pairs)
            if part.any():
                out += np.tensordot(part, op.apply(U), axes=1)
        return out

    @cached_property
    def diagonal(self) -> Float:
        """(m, n): diag V_j."""
        return np.concatenate([*(op.diagonal for op in self.random), self.residual])
