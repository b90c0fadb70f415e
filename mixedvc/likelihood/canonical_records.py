"""Rows of a specification as records × traits, their kernel decomposed once, fixed effects as Z₀ for every trait.

    vec Y = (I ⊗ Z₀) B b + vec(u + e),   Cov = G ⊗ K + R ⊗ I,   K = U diag(d) Uᵀ over the records

Working rows: a record's weight is taken into its rows, so that its residuals have covariance R.  Where the kernel's
rank is below the number of records, U holds an orthonormal basis of its span and of Z₀; outside of it V = R ⊗ I.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.products import product
from ..structures.base import entries_of
from .kernels import ScalarKernel, row_kernel
from .reduced import rank_of, root_of
from .rows import Rows, remainder_of

Float = NDArray[np.float64]
NEXT_TO_ZERO = 1e-4  # of the kernel's mean diagonal


@dataclass(frozen=True)
class Records:
    """Which rows are the traits of one record.

    Attributes
    ----------
    cells : (n, t) intp
        Row of each record and trait.
    size : (n,)
        The residual's factor of each record: weight^-½.
    value : (n,)
        The random term's effect in each record, one for all its traits (zeros without a term).
    """

    cells: NDArray[np.intp]
    size: Float
    value: Float

    @property
    def n(self) -> int:
        return self.cells.shape[0]

    @property
    def t(self) -> int:
        return self.cells.shape[1]

    def table(self, U: Float) -> Float:
        """(N, …) rows → (n, t, …)."""
        return U[self.cells]

    def rows(self, table: Float) -> Float:
        """(n, t, …) → (N, …) rows."""
        out = np.empty((self.cells.size, *table.shape[2:]))
        out[self.cells] = table
        return out


def records_of(spec: ModelSpec) -> Records | None:
    """The records of a specification all of whose cells are there, with at most one term; None for another one."""
    residual, t = spec.residual, spec.residual.k
    if len(spec.terms) > 1 or spec.y.ndim != 1 or spec.n % t or any(term.k != t for term in spec.terms):
        return None
    cell = np.argmax(residual.basis != 0.0, axis=1)
    counts = np.bincount(residual.codes)
    if not (counts[counts > 0] == t).all():
        return None
    cells = np.lexsort((cell, residual.codes)).reshape(-1, t)
    if not (cell[cells] == np.arange(t)).all():
        return None
    size = _common(residual.basis, cells)
    value = np.zeros(len(cells))
    if size is None or not (size > 0.0).all():
        return None
    if spec.terms:
        term = spec.terms[0]
        own, codes = _common(term.basis, cells), term.codes[cells]
        if own is None or not (codes == codes[:, :1]).all():
            return None
        value = own
    return Records(cells, size, value)


def _common(basis: Float, cells: NDArray[np.intp]) -> Float | None:
    """(n,) the effect of each record in its traits' own columns; None where traits differ or meet other columns."""
    t = cells.shape[1]
    own = basis[cells, np.arange(t)]
    same = (own == own[:, :1]).all() and np.count_nonzero(basis) == np.count_nonzero(own)
    return own[:, 0] if same else None


def record_term(term: Term, records: Records) -> Term:
    """The random term of single records: one effect, in working rows."""
    codes = term.codes[records.cells[:, 0]]
    basis = (records.value / records.size)[:, None]
    return replace(term, effects=("Intercept",), codes=codes, basis=basis, structure=structures.make("us", 1))


@dataclass(frozen=True)
class Fixed:
    """Fixed effects of working rows, Q = (I ⊗ Z₀) B.

    Attributes
    ----------
    Z : (n, r)
        Z₀, orthonormal columns that span those of every trait.
    B : (t, r, p) or None
        None for the identity: every trait has all of Z₀'s columns and no other (p = t·r, traits changing slowest).
    R : (p, p)
        X in working rows = Q R.
    """

    Z: Float
    B: Float | None
    R: Float

    def Q(self, records: Records) -> Float:
        """(N, p)."""
        n, t = records.cells.shape
        if self.B is None:
            r = self.Z.shape[1]
            table = np.zeros((n, t, t, r))
            table[:, np.arange(t), np.arange(t)] = self.Z[:, None]
            return records.rows(table.reshape(n, t, t * r))
        return records.rows(np.einsum("nr,trp->ntp", self.Z, self.B, optimize=True))

    def of_every_trait(self) -> Float:
        """(r, k) orthonormal directions of Z₀ in which each trait has a fixed effect of its own."""
        r = self.Z.shape[1]
        if self.B is None:
            return np.eye(r)
        t, _, p = self.B.shape
        flat = self.B.reshape(t * r, p)
        left = np.eye(t * r) - flat @ flat.T  # zero on I ⊗ v
        _, gaps, directions = la.svd(left.reshape(t * r * t, r))
        return directions[gaps < 1e-10].T


def fixed_of(spec: ModelSpec, records: Records) -> Fixed:
    """Z₀ from the different columns of all traits; B from their coordinates in it."""
    n, t = records.cells.shape
    X = records.table(spec.X) / records.size[:, None, None]
    if not spec.p:
        return Fixed(np.empty((n, 0)), np.empty((t, 0, 0)), np.empty((0, 0)))
    there = X.any(axis=0)
    found: dict[bytes, Float] = {}
    place = np.full((t, spec.p), -1)
    for a, j in zip(*np.nonzero(there), strict=True):
        column = np.ascontiguousarray(X[:, a, j])
        key = column.tobytes()
        found.setdefault(key, column)
        place[a, j] = list(found).index(key)
    Z, S = la.qr(np.column_stack(list(found.values())))
    r, u = S.shape
    own = np.zeros((t, u, spec.p))
    a, j = np.nonzero(there)
    own[a, place[a, j], j] = 1.0
    if r == u and np.array_equal(own.reshape(t * u, -1), np.eye(t * u)):
        return Fixed(Z, None, np.asarray(np.kron(np.eye(t), S)))
    B, R = la.qr((S @ own).reshape(t * r, spec.p))
    return Fixed(Z, B.reshape(t, r, spec.p), R)


@dataclass(frozen=True)
class Lift:
    """c Z₀N NᵀZ₀ᵀ, added to a kernel that is next to zero on fixed effects that every trait has; by REML only.

    A centred kernel is zero on the intercept, and V is singular there where R is, although the restricted likelihood
    does not see it: V + QCQᵀ has the same P and log|V| + log|XᵀV⁻¹X|.  With C = Bᵀ(G ⊗ cNNᵀ)B that is a change of the
    kernel alone.  What is not a function of P takes C off again.
    """

    c: float
    N: Float  # (r, k)

    def added(self, K: Float, Z: Float) -> Float:
        """K + c ZN(ZN)ᵀ."""
        return K + self.c * (Z @ self.N) @ (Z @ self.N).T if self.N.size else K

    def fixed(self, of_G: Float, B: Float | None) -> Float:
        """(…, p, p) Bᵀ(G ⊗ cNNᵀ)B of matrices (…, t, t)."""
        wide = np.einsum("...ab,lk->...albk", of_G, self.c * self.N @ self.N.T)
        k = of_G.shape[-1] * len(self.N)
        flat = wide.reshape(*of_G.shape[:-2], k, k)
        return flat if B is None else B.reshape(k, -1).T @ flat @ B.reshape(k, -1)


def lift_of(K: Float, Z: Float, fixed: Fixed, n: int, reml: bool) -> Lift:
    """Directions of Z₀ in which every trait has a fixed effect and K is below NEXT_TO_ZERO of its mean diagonal."""
    typical = float(np.einsum("ii->", K)) / n
    own = fixed.of_every_trait() if reml and Z.size else np.empty((Z.shape[1], 0))
    if not own.size or typical <= 0.0:
        return Lift(0.0, own)
    S = Z @ own
    values, vectors = la.small_eigh(S.T @ product(K, S))
    return Lift(typical, own @ vectors[:, values < NEXT_TO_ZERO * typical])


@dataclass(frozen=True)
class CanonicalFrame:
    """The rotated records of one specification and one response.

    Attributes
    ----------
    U : (n, c)
        Orthonormal; K = U diag(d_1…d_c) Uᵀ.
    d : (n',)
        n' = c where U spans everything; else t more coordinates, of what U leaves of y, with d = 0.
    copies : (n',)
        Directions that each coordinate stands for in sums without data.
    Z : (n', r)
        UᵀZ₀.
    Y : (n', t)
    rest : (n, t) or None
        What U leaves of y.
    patterns : (m_1, t²), (m_2, t²)
        Entries of G and of R that are each linear parameter.
    lift : Lift
        What was added to K.
    """

    rows: Rows
    records: Records
    fixed: Fixed
    U: Float
    d: Float
    copies: Float
    Z: Float
    Y: Float
    rest: Float | None
    patterns: tuple[Float, Float]
    lift: Lift

    def into(self, table: Float) -> Float:
        """(n, …) → (c, …) coordinates."""
        return _times(self.U.T, table)

    def back(self, inside: Float) -> Float:
        """(c, …) → (n, …)."""
        return _times(self.U, inside)

    @property
    def complete(self) -> bool:
        """Whether U spans all directions."""
        return self.rest is None

    def with_responses(self, Y: Float) -> list[CanonicalFrame]:
        """The same coordinates for every column of Y (N, b): one product rotates them all."""
        rows = [self.rows.with_response(y) for y in Y.T]
        tables = self.records.table(np.column_stack([own.y for own in rows]))
        inside = self.into(tables)
        outside = None if self.complete else tables - self.back(inside)
        out = []
        for b, own in enumerate(rows):
            rest = None if outside is None else np.ascontiguousarray(outside[:, :, b])
            out.append(replace(self, rows=own, Y=_coordinates(inside[:, :, b], rest), rest=rest))
        return out


def _times(A: Float, table: Float) -> Float:
    """A applied to the first axis of a table."""
    shape = (len(A), *table.shape[1:])
    flat = np.ascontiguousarray(table.reshape(len(table), math.prod(table.shape[1:])))
    return product(A, flat).reshape(shape) if flat.size and A.size else np.zeros(shape)  # BLAS takes no empty ones


def _coordinates(inside: Float, rest: Float | None) -> Float:
    """(n', t) of y from its part in U and what U leaves of it, of which only inner products matter."""
    return np.ascontiguousarray(inside) if rest is None else np.vstack([inside, _gram_root(rest)])


def _gram_root(rest: Float) -> Float:
    """(t, t) F with FᵀF = restᵀrest."""
    t = rest.shape[1]
    F = la.qr(rest)[1]
    return np.vstack([F, np.zeros((t - len(F), t))])


def frame_of(spec: ModelSpec, records: Records, reml: bool) -> CanonicalFrame:
    """Decompose the kernel, rotate y and the fixed effects."""
    fixed = fixed_of(spec, records)
    scale = np.empty(spec.n)
    scale[records.cells] = 1.0 / records.size[:, None]
    Q = fixed.Q(records)
    y, ols = remainder_of(Q, spec.response * scale)
    rows = Rows(spec, scale, Q, fixed.R, y, ols)
    U, d, lift = _decomposed(spec, records, fixed, reml)
    n, t = records.cells.shape
    table = records.table(y)
    inside, Z = _times(U.T, table), _times(U.T, fixed.Z)
    copies, rest = np.ones(len(d)), None
    if len(d) < n:
        rest = table - _times(U, inside)
        copies = np.append(copies, np.full(t, (n - len(d)) / t))
        d, Z = np.append(d, np.zeros(t)), np.vstack([Z, np.zeros((t, Z.shape[1]))])
    of_traits = (patterns_of(spec.terms[0]) if spec.terms else np.empty((0, t * t)), patterns_of(spec.residual))
    Y, Z = _coordinates(inside, rest), np.ascontiguousarray(Z)
    return CanonicalFrame(rows, records, fixed, U, d, copies, Z, Y, rest, of_traits, lift)


def rank_of_records(spec: ModelSpec) -> int:
    """Largest rank of the kernel over the records, without forming it."""
    return rank_of(spec.terms[0]) if spec.terms else 0


def _decomposed(spec: ModelSpec, records: Records, fixed: Fixed, reml: bool) -> tuple[Float, Float, Lift]:
    """U and d of the kernel over the records; in its span and that of Z₀ where that is smaller than everything."""
    n, Z = records.n, fixed.Z
    size = rank_of_records(spec) + Z.shape[1]
    if not spec.terms:
        return np.asfortranarray(Z), np.zeros(Z.shape[1]), Lift(0.0, np.empty((Z.shape[1], 0)))
    term = record_term(spec.terms[0], records)
    if size < n:
        require(24 * n * size, f"compressing {n:,} records to {size:,} coordinates", "Fit fewer records.")
        F = root_of(term)[term.codes] * term.basis
        basis, S = la.qr(np.hstack([F, Z]))
        half, Z_inside = S[:, : F.shape[1]], S[:, F.shape[1] :]
        K = half @ half.T
        lift = lift_of(K, Z_inside, fixed, n, reml)
        d, inner = la.eigh(lift.added(K, Z_inside))
        return np.asfortranarray(product(basis, inner)), cleared(d), lift
    require(8 * 4 * n**2, f"the eigendecomposition of {n:,} records", "Use the dense or the sparse likelihood.")
    kernel = row_kernel(term, term.basis)
    assert isinstance(kernel, ScalarKernel)
    lift = lift_of(kernel.K, Z, fixed, n, reml)
    d, U = la.eigh(lift.added(kernel.K, Z))
    return U, cleared(d), lift


def cleared(d: Float) -> Float:
    """Eigenvalues that are rounding of the largest as exact zeros."""
    return np.where(np.abs(d) < 1e-13 * max(float(d[-1]), 0.0) * len(d) ** 0.5, 0.0, d)


def patterns_of(term: Term) -> Float:
    """(m, t²) the entries of Σ that are each linear parameter."""
    out = np.zeros((len(term.structure.pairs), term.k, term.k))
    for j in range(len(out)):
        for a, b in entries_of(term.structure, j):
            out[j, a, b] = out[j, b, a] = 1.0
    return out.reshape(len(out), -1)
