"""Records rotated by the eigenvectors of one kernel, and the other terms as few columns of them.

    V = G ⊗ K + R ⊗ I + Σ_i F̃_i (Σ_i ⊗ I) F̃_iᵀ,   K = U diag(d) Uᵀ over the records

One trait is a record of one cell.  F̃_i holds, for each effect of term i, the columns of its design times a root of its
A, in the cells of one trait; effects of several traits that meet the same levels share their columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.products import product
from .canonical_records import Fixed, Lift, Records, cleared, fixed_of, lift_of, patterns_of, record_term, records_of
from .covariance_blocks import blocks_at
from .kernels import ScalarKernel, row_kernel
from .panel import frames_of
from .reduced import CompressedFrame, compress, rank_of, root_of
from .row_pairs import block_rows
from .rows import RowFrame, Rows, remainder_of, row_scale, working_rows

Float = NDArray[np.float64]
Ints = NDArray[np.intp]
_BY_GROUPS = 0.6  # part of the records in the largest group of the kernel up to which groups go one by one


@dataclass(frozen=True)
class LowTerm:
    """A term of low rank: Σ_ab of its effects a and b is F_a F_bᵀ, F_a the columns `blocks[a]` in trait `traits[a]`."""

    index: int
    traits: tuple[int, ...]
    blocks: tuple[slice, ...]

    @property
    def k(self) -> int:
        return len(self.traits)

    @property
    def width(self) -> int:
        """Columns of one effect."""
        return self.blocks[0].stop - self.blocks[0].start


@dataclass(frozen=True)
class Outline:
    """How a specification is read, before anything is decomposed.

    Attributes
    ----------
    records : Records
    kernel : int or None
        The term that is rotated.
    low : tuple of LowTerm
        Blocks at their widest: a root of A may have fewer columns.
    sources : tuple of (term, effect)
        Where each different block of columns comes from.
    columns : int
    groups : (n,) intp
        Independent group of each record under the kernel alone.
    squeezed : int
        Coordinates, where the span of all terms is smaller than the records; else 0.
    """

    records: Records
    kernel: int | None
    low: tuple[LowTerm, ...]
    sources: tuple[tuple[int, int], ...]
    columns: int
    groups: Ints
    squeezed: int

    @property
    def by_groups(self) -> bool:
        """Whether independent groups of records are decomposed by themselves."""
        return not self.squeezed and int(np.bincount(self.groups).max()) <= _BY_GROUPS * self.records.n

    @property
    def order(self) -> int:
        """Order of the Schur complement."""
        return sum(term.k * term.width for term in self.low)


def outline_of(spec: ModelSpec) -> Outline | None:
    """The reading of a specification; None where it is not of this kind.

    The term that is rotated has one effect for each trait, alike in all traits of a record; of several it is the one
    of most levels.  Each effect of the other terms acts on one trait.
    """
    records = _records(spec, ())
    if records is None or not spec.terms:
        return None
    found = {i: _records(spec, (i,)) for i, term in enumerate(spec.terms) if term.k == records.t}
    there = {i: one for i, one in found.items() if one is not None}
    kernel = max(there, key=lambda i: (rank_of(spec.terms[i]), -i), default=None)
    if kernel is not None:
        records = there[kernel]
    low, sources, at = [], [], 0
    for i, term in enumerate(spec.terms):
        if i == kernel:
            continue
        if not all(a <= b for a, b in term.structure.pairs) or getattr(term.structure, "pattern", None) is not None:
            return None
        traits = _traits_of(term, records)
        if traits is None:
            return None
        blocks: list[slice] = []
        for e in range(term.k):
            twin = next((f for f in range(e) if _same_columns(term, records, traits, e, f)), None)
            if twin is None:
                blocks.append(slice(at, at + rank_of(term)))
                sources.append((i, e))
                at += rank_of(term)
            else:
                blocks.append(blocks[twin])
        low.append(LowTerm(i, traits, tuple(blocks)))
    groups = np.arange(records.n)
    if kernel is not None:
        term = spec.terms[kernel]
        groups = term.covariance.components(term.positions)[term.codes[records.cells[:, 0]]]
    return Outline(records, kernel, tuple(low), tuple(sources), at, groups, _squeezed(spec, records))


def _records(spec: ModelSpec, terms: tuple[int, ...]) -> Records | None:
    """The records of the residual and of some terms, which have an effect for each trait of a record."""
    if spec.residual.k > 1:
        return records_of(replace(spec, terms=tuple(spec.terms[i] for i in terms)))
    if spec.correlated_residual or spec.y.ndim != 1:
        return None
    value = spec.terms[terms[0]].basis[:, 0] if terms else np.zeros(spec.n)
    return Records(np.arange(spec.n)[:, None], 1.0 / row_scale(spec), value)


def _squeezed(spec: ModelSpec, records: Records) -> int:
    if records.t > 1:
        return 0
    size = sum(term.k * rank_of(term) for term in spec.terms) + spec.p + 1
    return size if size < spec.n else 0


def _traits_of(term: Term, records: Records) -> tuple[int, ...] | None:
    """The one trait that each effect acts on."""
    acts = (term.basis[records.cells] != 0.0).any(axis=0)  # (t, k)
    if (acts.sum(axis=0) > 1).any():
        return None
    return tuple(int(a) for a in np.argmax(acts, axis=0))


def _values(term: Term, records: Records, traits: tuple[int, ...], e: int) -> tuple[Float, Ints]:
    """What effect `e` is in each record, in working rows, and of which level."""
    cells = records.cells[:, traits[e]]
    return term.basis[cells, e] / records.size, term.codes[cells]


def _same_columns(term: Term, records: Records, traits: tuple[int, ...], e: int, f: int) -> bool:
    one, two = _values(term, records, traits, e), _values(term, records, traits, f)
    return all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@dataclass(frozen=True)
class Turn:
    """Coordinates of tables over the records: U of eigenvectors, whole, by groups (sparse) or None for no rotation."""

    U: Any

    def into(self, A: Float) -> Float:
        """(n, c) → (n', c)."""
        return self._times(A, transpose=True)

    def back(self, A: Float) -> Float:
        """(n', c) → (n, c)."""
        return self._times(A, transpose=False)

    def _times(self, A: Float, transpose: bool) -> Float:
        if self.U is None or not A.size:
            return A
        U = self.U.T if transpose else self.U
        return np.asarray(U @ A) if sp.issparse(U) else product(U, A)


@dataclass(frozen=True)
class WoodburyFrame:
    """Coordinates of `mixedvc.likelihood.gaussian`: records × traits, records rotated (and compressed before).

    Attributes
    ----------
    inner : RowFrame or CompressedFrame
        Before the rotation.
    outline : Outline
    turn : Turn
    d : (n',)
        Eigenvalues of the kernel.
    low : tuple of LowTerm
    columns : (n', c)
        Blocks of columns of the other terms.
    Z : (n', r), fixed : Fixed
        Fixed effects are (I ⊗ Z) B.
    table : (n', t)
        The response.
    lift : Lift
    """

    inner: RowFrame | CompressedFrame
    outline: Outline
    turn: Turn
    d: Float
    low: tuple[LowTerm, ...]
    columns: Float
    Z: Float
    fixed: Fixed
    table: Float
    lift: Lift

    @property
    def rows(self) -> Rows:
        return self.inner.rows

    @property
    def records(self) -> Records:
        return self.outline.records

    @property
    def t(self) -> int:
        return self.records.t

    @property
    def extra(self) -> int:
        return self.inner.extra

    @property
    def y(self) -> Float:
        return self.table.reshape(-1)

    @property
    def order(self) -> int:
        """Order of the Schur complement."""
        return sum(term.k * term.width for term in self.low)

    @cached_property
    def Q(self) -> Float:
        """(n'·t, p)."""
        if self.t == 1:
            return self.Z
        B, r = self.fixed.B, self.Z.shape[1]
        if B is None:
            B = np.eye(self.t * r).reshape(self.t, r, -1)
        return np.einsum("nr,trp->ntp", self.Z, B, optimize=True).reshape(len(self.d) * self.t, self.rows.p)

    @cached_property
    def patterns(self) -> list[Float]:
        """(m_i, k, k) of every term, the residual last: entries of Σ that are each linear parameter."""
        return [patterns_of(term).reshape(-1, term.k, term.k) for term in self.rows.spec.all_terms]

    def into(self, U: Float) -> Float:
        if self.t == 1:
            return self.turn.into(self.inner.into(U))
        return _by_table(self.records.table(U), self.turn.into).reshape(len(self.d) * self.t, U.shape[1])

    def back(self, U: Float) -> Float:
        if self.t == 1:
            return self.inner.back(self.turn.back(U))
        return self.records.rows(_by_table(U.reshape(len(self.d), self.t, U.shape[1]), self.turn.back))

    def with_response(self, y: Float) -> WoodburyFrame:
        return self._of(self.inner.with_response(y))

    def with_responses(self, Y: Float) -> list[WoodburyFrame]:
        """The same coordinates for every column of Y."""
        if self.t == 1:
            return [self._of(inner) for inner in frames_of(self.inner, Y)]  # type: ignore[arg-type]
        return [self.with_response(y) for y in Y.T]

    def _of(self, inner: RowFrame | CompressedFrame) -> WoodburyFrame:
        again = replace(self, inner=inner, table=self.turn.into(_table_of(inner, self.records)))
        kept = {name: value for name, value in self.__dict__.items() if name in ("Q", "patterns")}
        again.__dict__.update(kept)
        return again


def _by_table(table: Float, work: Callable[[Float], Float]) -> Float:
    """A rotation of the first axis of (n, t, c)."""
    n, t, c = table.shape
    flat = work(np.ascontiguousarray(table.reshape(n, t * c)))
    return flat.reshape(len(flat), t, c)


def _table_of(inner: RowFrame | CompressedFrame, records: Records) -> Float:
    return inner.y[:, None] if records.t == 1 else records.table(inner.y)


def woodbury_frame(spec: ModelSpec, outline: Outline, reml: bool) -> WoodburyFrame:
    """Decompose the kernel, rotate everything else."""
    records = outline.records
    inner, fixed = _inner(spec, records, bool(outline.squeezed))
    low, columns = _columns(spec, outline, inner)
    Z = inner.Q if records.t == 1 else fixed.Z
    d, turn, lift = _decomposed(spec, outline, inner, fixed, reml)
    rotated = turn.into(np.hstack([columns, Z, _table_of(inner, records)]))
    stops = np.cumsum([columns.shape[1], Z.shape[1]])
    columns, Z, table = (np.ascontiguousarray(part) for part in np.split(rotated, stops, axis=1))
    return WoodburyFrame(inner, outline, turn, d, low, columns, Z, fixed, table, lift)


def _inner(spec: ModelSpec, records: Records, squeezed: bool) -> tuple[RowFrame | CompressedFrame, Fixed]:
    """Working rows, compressed where that pays, and their fixed effects."""
    if records.t == 1:
        rows = working_rows(spec)
        fixed = Fixed(rows.Q, None, rows.R)
        return (compress(rows)[0] if squeezed else RowFrame(rows)), fixed
    fixed = fixed_of(spec, records)
    scale = np.empty(spec.n)
    scale[records.cells] = 1.0 / records.size[:, None]
    Q = fixed.Q(records)
    y, ols = remainder_of(Q, spec.response * scale)
    return RowFrame(Rows(spec, scale, Q, fixed.R, y, ols)), fixed


def _columns(spec: ModelSpec, outline: Outline, inner: RowFrame | CompressedFrame) -> tuple[tuple[LowTerm, ...], Float]:
    """The terms of low rank, and (n or compressed, c) their blocks of columns."""
    traits = {term.index: term.traits for term in outline.low}
    made, where, at = [np.empty((outline.records.n, 0))], {}, 0
    for i, e in outline.sources:
        term = spec.terms[i]
        value, codes = _values(term, outline.records, traits[i], e)
        made.append(value[:, None] * root_of(term)[codes])
        where[i, e] = slice(at, at + made[-1].shape[1])
        at = where[i, e].stop
    firsts = {term.index: term for term in outline.low}
    starts = {firsts[i].blocks[e].start: block for (i, e), block in where.items()}
    low = tuple(replace(term, blocks=tuple(starts[block.start] for block in term.blocks)) for term in outline.low)
    columns = np.hstack(made)
    return low, inner.into(columns) if isinstance(inner, CompressedFrame) else columns


def _decomposed(
    spec: ModelSpec, outline: Outline, inner: RowFrame | CompressedFrame, fixed: Fixed, reml: bool
) -> tuple[Float, Turn, Lift]:
    """Eigenvalues and eigenvectors of the kernel over the records, or in compressed coordinates; what lifted it."""
    n, Z = outline.records.n, fixed.Z
    none = Lift(0.0, np.empty((Z.shape[1], 0)))
    if outline.kernel is None:
        return np.zeros(len(inner.y) if outline.records.t == 1 else n), Turn(None), none
    term = record_term(spec.terms[outline.kernel], outline.records)
    if isinstance(inner, CompressedFrame):
        half = inner.into(root_of(term)[term.codes] * term.basis)
        d, U = la.eigh(half @ half.T)
        return cleared(d), Turn(U), none
    if outline.by_groups:
        return *_by_groups(term, outline.groups), none
    require(8 * 4 * n**2, f"the eigendecomposition of {n:,} records", "Use the dense or the sparse likelihood.")
    kernel = row_kernel(term, term.basis)
    assert isinstance(kernel, ScalarKernel)
    lift = lift_of(kernel.K, Z, fixed, n, reml) if outline.records.t > 1 else none
    d, U = la.eigh(lift.added(kernel.K, Z))
    return cleared(d), Turn(U), lift


def _by_groups(term: Term, groups: Ints) -> tuple[Float, Turn]:
    """Each independent group of records by itself; coordinates in the order of the records' places."""
    n = len(groups)
    d = np.empty(n)
    rows, columns, values = [], [], []
    for index in block_rows(groups):
        b, s = index.shape
        x = term.basis[index, 0]
        K = blocks_at(term.covariance, term.positions[term.codes[index]]) * x[:, :, None] * x[:, None, :]
        own, vectors = la.small_eigh(K)
        d[index] = own
        rows.append(np.broadcast_to(index[:, :, None], (b, s, s)).ravel())
        columns.append(np.broadcast_to(index[:, None, :], (b, s, s)).ravel())
        values.append(vectors.ravel())
    made = sp.csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n))
    top = max(float(d.max()), 0.0)
    d = np.where(np.abs(d) < 1e-13 * top * np.bincount(groups).max() ** 0.5, 0.0, d)
    return d, Turn(made)
