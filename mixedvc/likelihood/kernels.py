"""V_j as operators on n working rows: Hadamard products of a level kernel with the effects, or explicit matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from ..design.spec import ModelSpec, Term
from .row_pairs import RowPairs, row_pairs

Float = NDArray[np.float64]


class Kernel(Protocol):
    """All V_j of one term.  ``pairs`` are the (a, b) of its linear parameters."""

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]: ...

    def add_to(self, V: Float, theta: Float) -> None:
        """V += Σ θ_j V_j in place (V Fortran-ordered)."""
        ...

    def traces(self, S: Float) -> Float:
        """tr(S V_j) for each j; S symmetric, given by its lower triangle with zeros above."""
        ...

    def apply(self, U: Float) -> Float:
        """(len(pairs), n, c): V_j U."""
        ...

    def matrix(self, j: int) -> Float:
        """V_j, n×n."""
        ...

    def single(self) -> Kernel:
        """The same in single precision: half the memory traffic, for the first steps of an iteration."""
        ...


def contiguous(A: Float) -> Float:
    """The numbers of a contiguous matrix as one vector, without a copy (symmetric matrices: order is no matter)."""
    return A.ravel(order="K")


def row_major(A: Float) -> Float:
    """A or its transpose, whichever has its rows in one piece; of a symmetric A, or of one triangle of it."""
    return A if A.flags.c_contiguous else A.T


def _chunks(n: int, size: int = 64) -> list[slice]:
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]


def axpy(alpha: float, A: Float, V: Float) -> None:
    """V += alpha A for two contiguous symmetric matrices."""
    if A.flags.c_contiguous or A.flags.f_contiguous:
        (blas.saxpy if V.dtype == np.float32 else blas.daxpy)(contiguous(A), contiguous(V), a=alpha)
    else:
        V += alpha * A


def dot(a: Float, b: Float) -> float:
    """Σ a_i b_i by scipy's BLAS.

    numpy brings a BLAS of its own, whose threads keep spinning for a while after a call and slow the LAPACK calls of
    scipy's that follow; the large products of a likelihood therefore all go to one library.
    """
    return float((blas.sdot if a.dtype == np.float32 else blas.ddot)(a, b))


def times(K: Float, U: Float) -> Float:
    """K U of a symmetric K and few columns U, by scipy's BLAS."""
    if not (K.flags.c_contiguous or K.flags.f_contiguous):
        return K @ U
    A = K if K.flags.f_contiguous else K.T
    return (blas.sgemm if K.dtype == np.float32 else blas.dgemm)(1.0, A, U)


def symmetric_product(S: Float, A: Float) -> Float:
    """S A of a symmetric S given by its lower triangle and a symmetric A: one new matrix, no mirrored copy of S."""
    A = A if A.flags.f_contiguous else A.T  # symmetric: the transpose is A itself, in the order BLAS wants
    return (blas.ssymm if S.dtype == np.float32 else blas.dsymm)(1.0, S, A, side=0, lower=1)


def lower_dot(S: Float, A: Float) -> float:
    """tr(S A) from the lower triangle of a symmetric S (zeros above) and a full symmetric A."""
    S = S if S.flags.f_contiguous else np.asfortranarray(S)
    A = A if (A.flags.c_contiguous or A.flags.f_contiguous) else np.ascontiguousarray(A)
    # A symmetric: its transpose in memory is itself, so both run along the same vector
    twice = 2.0 * dot(contiguous(S), contiguous(A))
    return twice - float(np.einsum("ii,ii->", S, A))


@dataclass(frozen=True)
class ScalarKernel:
    """One variance: V = K (n×n)."""

    K: Float
    pairs: tuple[tuple[int, int], ...] = ((0, 0),)

    def add_to(self, V: Float, theta: Float) -> None:
        if theta[0] != 0.0:
            axpy(theta[0], self.K, V)

    def traces(self, S: Float) -> Float:
        return np.array([lower_dot(S, self.K)])

    def apply(self, U: Float) -> Float:
        return times(self.K, U.astype(self.K.dtype, copy=False))[None]

    def matrix(self, j: int) -> Float:
        return self.K

    def single(self) -> ScalarKernel:
        return ScalarKernel(self.K.astype(np.float32))


@dataclass(frozen=True)
class DiagonalKernel:
    """Residual: V_ab = diag(x_a x_b) (+ its transpose, the same, where a ≠ b)."""

    D: Float  # (m_i, n)
    pairs: tuple[tuple[int, int], ...] = ((0, 0),)

    def add_to(self, V: Float, theta: Float) -> None:
        V.ravel(order="K")[:: V.shape[0] + 1] += theta @ self.D

    def traces(self, S: Float) -> Float:
        return self.D @ np.diagonal(S)

    def apply(self, U: Float) -> Float:
        return self.D[:, :, None] * U

    def matrix(self, j: int) -> Float:
        return np.diag(self.D[j])

    def single(self) -> DiagonalKernel:
        return self


@dataclass(frozen=True)
class HadamardKernel:
    """Vector term: V_ab = x_a x_bᵀ ∘ B (+ transpose), B the kernel of the rows' levels."""

    M: Float  # (n, k)
    B: Float  # (n, n)
    pairs: tuple[tuple[int, int], ...]

    def add_to(self, V: Float, theta: Float) -> None:
        k = self.M.shape[1]
        Sigma = np.zeros((k, k))
        for value, (a, b) in zip(theta, self.pairs, strict=True):
            Sigma[a, b] = Sigma[b, a] = value
        if Sigma.any():
            rows, B, dtype = row_major(V), row_major(self.B), self.B.dtype
            left, right = (self.M @ Sigma).astype(dtype, copy=False), self.M.T.astype(dtype, copy=False)
            for at in _chunks(len(B)):  # what is made stays in cache
                part = left[at] @ right
                part *= B[at]
                rows[at] += part

    def traces(self, S: Float) -> Float:
        rows, B = row_major(S), row_major(self.B)
        C, diagonal = np.zeros((self.M.shape[1],) * 2), np.diagonal(S) * np.diagonal(self.B)
        for at in _chunks(len(B)):
            C += self.M[at].T @ ((rows[at] * B[at]) @ self.M)
        C = C + C.T - (self.M.T * diagonal) @ self.M
        return np.array([C[a, b] * (1.0 if a == b else 2.0) for a, b in self.pairs])

    def apply(self, U: Float) -> Float:
        n, k = self.M.shape
        BU = np.stack([times(self.B, (self.M[:, a, None] * U).astype(self.B.dtype, copy=False)) for a in range(k)])
        out = np.empty((len(self.pairs), n, U.shape[1]))
        for j, (a, b) in enumerate(self.pairs):
            out[j] = self.M[:, a, None] * BU[b]
            if a != b:
                out[j] += self.M[:, b, None] * BU[a]
        return out

    def matrix(self, j: int) -> Float:
        a, b = self.pairs[j]
        outer = np.multiply.outer(self.M[:, a], self.M[:, b])
        if a != b:
            outer += outer.T.copy()
        outer *= self.B
        return outer

    def single(self) -> HadamardKernel:
        return HadamardKernel(self.M, self.B.astype(np.float32), self.pairs)


@dataclass(frozen=True)
class ExplicitKernel:
    """Vector term in coordinates where no Hadamard form exists: every V_j formed once."""

    V: tuple[Float, ...]
    pairs: tuple[tuple[int, int], ...]

    def add_to(self, V: Float, theta: Float) -> None:
        for value, matrix in zip(theta, self.V, strict=True):
            if value != 0.0:
                axpy(value, matrix, V)

    def traces(self, S: Float) -> Float:
        return np.array([lower_dot(S, matrix) for matrix in self.V])

    def apply(self, U: Float) -> Float:
        return np.stack([times(matrix, U.astype(matrix.dtype, copy=False)) for matrix in self.V])

    def matrix(self, j: int) -> Float:
        return self.V[j]

    def single(self) -> ExplicitKernel:
        return ExplicitKernel(tuple(matrix.astype(np.float32) for matrix in self.V), self.pairs)


def row_kernel(term: Term, basis: Float) -> Kernel:
    """The operator of one random term on all n working rows."""
    rows = term.positions[term.codes]
    B = term.covariance.block(rows)
    pairs = term.structure.pairs
    if term.k > 1:
        return HadamardKernel(basis, B, pairs)
    x = basis[:, 0]
    if np.all(x == 1.0):
        return ScalarKernel(B if B.flags.c_contiguous or B.flags.f_contiguous else np.ascontiguousarray(B))
    K = B * x
    K *= x[:, None]
    return ScalarKernel(K)


@dataclass(frozen=True)
class PairsKernel:
    """Residual whose rows depend on each other in groups: entries of V_j at the pairs of rows that meet."""

    rows: RowPairs
    pairs: tuple[tuple[int, int], ...]

    @property
    def D(self) -> Float:
        """(m_i, n) diagonals."""
        return self.rows.diagonal

    def add_to(self, V: Float, theta: Float) -> None:
        i, j, values = self.rows.i, self.rows.j, self.rows.entries(theta)
        V[i, j] += values
        off = i != j
        V[j[off], i[off]] += values[off]

    def traces(self, S: Float) -> Float:
        return self.rows.inner(S[self.rows.i, self.rows.j])

    def apply(self, U: Float) -> Float:
        return self.rows.apply(U)

    def matrix(self, j: int) -> Float:
        return np.asarray(self.rows.matrix(np.eye(len(self.pairs))[j]).toarray(order="F"))

    def single(self) -> PairsKernel:
        return self


def residual_kernel(spec: ModelSpec, basis: Float) -> DiagonalKernel | PairsKernel:
    """The residual as an operator on working rows."""
    term = spec.residual
    if spec.correlated_residual:
        return PairsKernel(row_pairs(term, basis), term.structure.pairs)
    return DiagonalKernel(term.row_products(basis), term.structure.pairs)
