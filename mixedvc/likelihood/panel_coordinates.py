"""One kernel and many responses: the rows turned so that V = diag(θ_1 d + θ_2), whole or family by family.

The turn depends on the kernel and the weights alone.  Fixed effects and responses come to it, and rows that a response
lacks leave it as they came: a column of zeros with a one in row i takes row i out of the likelihood exactly,

    log|V_oo| = log|V| + log|EᵀV⁻¹E|,   V_oo⁻¹ (filled with zeros) = V⁻¹ − V⁻¹E(EᵀV⁻¹E)⁻¹EᵀV⁻¹,

so that a pattern of missing cells needs no decomposition of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la
from ..linalg.products import product
from .base import likelihoods
from .reduced import CompressedFrame, compressed_size
from .rows import Rows, working_rows

Float = NDArray[np.float64]
_SMALLEST = 1e-13  # an eigenvalue, over the largest and √n, that only rounding tells from zero


class Turn(Protocol):
    """Working rows (n, c) to coordinates (r, c) and back."""

    def into(self, U: Float) -> Float: ...
    def back(self, Z: Float) -> Float:
        """What the kernel sees of rows with these coordinates: directions it is zero in may be left out."""
        ...


@dataclass(frozen=True)
class WholeTurn:
    """All rows by the kernel's eigenvectors U (n, n)."""

    U: Float

    def into(self, U: Float) -> Float:
        return product(self.U.T, U)

    def back(self, Z: Float) -> Float:
        return product(self.U, Z)


@dataclass(frozen=True)
class CompressedTurn:
    """A kernel of low rank: coordinates in an orthonormal basis (n, r) of its span, then U; the rest by its length."""

    basis: Float
    U: Float  # (r + 1, r + 1)

    def into(self, U: Float) -> Float:
        within = product(self.basis.T, U)
        rest = U - product(self.basis, within)
        again = product(self.basis.T, rest)
        rest -= product(self.basis, again)
        size = np.sqrt(np.einsum("nc,nc->c", rest, rest))
        return product(self.U.T, np.vstack([within + again, size]))

    def back(self, Z: Float) -> Float:
        return product(self.basis, product(self.U, Z)[:-1])


@dataclass(frozen=True)
class FamilyTurn:
    """Rows in independent families: `index` (b, s) and eigenvectors (b, s, s) of all families of one size."""

    stacks: tuple[tuple[NDArray[np.intp], Float], ...]

    def into(self, U: Float) -> Float:
        out = np.empty_like(U)
        for index, vectors in self.stacks:
            out[index] = vectors.swapaxes(1, 2) @ U[index]
        return out

    def back(self, Z: Float) -> Float:
        out = np.empty_like(Z)
        for index, vectors in self.stacks:
            out[index] = vectors @ Z[index]
        return out


@dataclass(frozen=True)
class Coordinates:
    """Fixed effects of one specification in turned coordinates.

    Attributes
    ----------
    rows : Rows
        Working rows of the specification (of the rows a response has).
    turn : Turn
    d : (r,)
        Eigenvalues of the kernel.
    extra : int
        Directions outside the coordinates, in which V = θ_2.
    Q : (r, p + m)
        Orthonormal fixed effects; the last m columns take rows out.
    m : int
        Rows taken out.
    at : (n,) or None
        Where the specification's rows are among those turned; None where they are all of them, in order.
    size : int
        Rows that are turned.
    """

    rows: Rows
    turn: Turn
    d: Float
    extra: int
    Q: Float
    size: int
    m: int = 0
    at: NDArray[np.intp] | None = None

    def responses(self, Y: Float) -> tuple[Float, Float]:
        """Least-squares residuals of Y (n, T) in coordinates (r, T), and the least-squares coefficients (p, T)."""
        rows = self.rows
        centred = Y if rows.spec.offset is None else Y - rows.spec.offset[:, None]
        work = centred * rows.scale[:, None]
        ols = product(rows.Q.T, work)
        work -= product(rows.Q, ols)
        again = product(rows.Q.T, work)
        work -= product(rows.Q, again)
        return self.turn.into(self._spread(work)), ols + again

    def _spread(self, work: Float) -> Float:
        if self.at is None:
            return work
        wide = np.zeros((self.size, work.shape[1]))
        wide[self.at] = work
        return wide

    def kernel_rows(self, Z: Float) -> Float:
        """(n, T) on the user's rows what the kernel sees of V⁻¹-weighted rows with coordinates Z (r, T)."""
        wide = self.turn.back(Z)
        return (wide if self.at is None else wide[self.at]) * self.rows.scale[:, None]


def applies(spec: ModelSpec) -> bool:
    """Whether V = θ_1 K + θ_2 I on working rows."""
    return spec.traits is None and len(spec.terms) == 1 and spec.terms[0].k == spec.residual.k == 1


def flops(spec: ModelSpec) -> tuple[float, float]:
    """Rough price of the turn, and of turning one response."""
    sizes = np.bincount(spec.families).astype(float)
    largest, rank = float(sizes.max()), compressed_size(spec)
    by_family = 10.0 * float((sizes**3).sum()) + 1e6 * len(sizes), 2.0 * float((sizes**2).sum())
    if largest < 0.5 * spec.n or rank >= spec.n:
        return by_family
    compressed = 10.0 * rank**3 + 4.0 * spec.n * rank**2, 6.0 * spec.n * rank
    return min(by_family, compressed)


def flops_of_fits(n: int, columns: int, count: int) -> float:
    """Rough price of the grid and of `count` maxima; `columns` are fixed effects and rows taken out."""
    return 1e8 + n * (columns + 2.0) ** 2 * (1000.0 + 90.0 * count)


def bytes_needed(spec: ModelSpec) -> float:
    """What the turn keeps while it is made."""
    sizes = np.bincount(spec.families).astype(float)
    return 32.0 * float(min((sizes**2).sum(), max(spec.n, compressed_size(spec)) * float(compressed_size(spec))))


def coordinates(spec: ModelSpec) -> Coordinates:
    """Turn the rows of a specification with one scalar kernel: by families where there are several."""
    sizes = np.bincount(spec.families)
    rows = working_rows(spec)
    if len(sizes) > 1 and (sizes.max() < 0.5 * spec.n or compressed_size(spec) >= spec.n):
        return _by_family(spec, rows)
    whole = likelihoods.get("spectral")(spec)
    frame, d = whole._frame, whole._d
    inner = frame.inner
    compressed = isinstance(inner, CompressedFrame)
    turn: Turn = CompressedTurn(inner.basis, frame.U) if compressed else WholeTurn(frame.U)
    return Coordinates(inner.rows, turn, d, frame.extra, frame.Q, spec.n)


def _by_family(spec: ModelSpec, rows: Rows) -> Coordinates:
    term = spec.terms[0]
    basis = rows.basis(term)[:, 0]
    order = np.argsort(spec.families, kind="stable")
    sizes = np.bincount(spec.families)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    d, stacks = np.empty(spec.n), []
    for s in np.unique(sizes).tolist():
        index = order[starts[:-1][sizes == s][:, None] + np.arange(s)]
        K = np.empty((len(index), s, s))
        for out, some in zip(K, index, strict=True):
            at = term.positions[term.codes[some]]
            out[...] = term.covariance.block(at, at)
        K *= basis[index][:, :, None] * basis[index][:, None, :]
        if s > 64:
            pairs = [la.eigh(k) for k in K]
            values, vectors = np.stack([v for v, _ in pairs]), np.stack([w for _, w in pairs])
        else:
            values, vectors = la.small_eigh(K)
        d[index] = values
        stacks.append((index, np.asarray(vectors)))
    top = max(float(d.max()), 0.0)
    d = np.where(np.abs(d) < _SMALLEST * top * np.sqrt(sizes.max()), 0.0, d)
    turn = FamilyTurn(tuple(stacks))
    return Coordinates(rows, turn, d, 0, turn.into(rows.Q), spec.n)


def without_rows(full: Coordinates, spec: ModelSpec, at: NDArray[np.intp]) -> Coordinates | None:
    """The coordinates of `full` for a specification of its rows `at` alone; None where that kernel is another one.

    Parameters
    ----------
    full : Coordinates
    spec : ModelSpec
        Bound on the rows `at`, which may have made other fixed effects of them.
    at : (n,)
        Positions among the rows of `full`.
    """
    old, new = full.rows.spec.terms[0], spec.terms[0]
    same = (
        isinstance(full.turn, WholeTurn | FamilyTurn)
        and np.array_equal(old.basis[at], new.basis)
        and np.array_equal(old.levels[old.codes[at]], new.levels[new.codes])
    )
    if not same:
        return None
    rows = working_rows(spec)
    out = np.setdiff1d(np.arange(full.size), at)
    wide = np.zeros((full.size, rows.p + len(out)))
    wide[at, : rows.p] = rows.Q
    wide[out, rows.p + np.arange(len(out))] = 1.0
    return replace(full, rows=rows, Q=full.turn.into(wide), m=len(out), at=at)
