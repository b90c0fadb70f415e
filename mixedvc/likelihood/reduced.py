"""Reduced likelihood: terms of low total rank are compressed into their own span once, then everything is small.

Working rows [Z̃ X] = Q_c R with Z̃ the terms' designs times a root of A (features: W/√m; groupings: incidence).
In the orthonormal coordinates Q_c, with one more for the rest of y, V is an r×r matrix; in every other direction
V = σ_e² I and nothing has a component there.  The n rows are read once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.memory import require
from .base import likelihoods
from .choose import Cost, cost_of
from .dense import DenseLikelihood
from .kernels import DiagonalKernel, ExplicitKernel, Kernel, ScalarKernel
from .rows import Rows, working_rows
from .turned import TurnedLikelihood, on_orthogonal_effects

Float = NDArray[np.float64]


@dataclass(frozen=True)
class CompressedFrame:
    """Orthonormal coordinates of the span of [Z̃ X] and of the rest of y."""

    rows: Rows
    basis: Float  # (n, r)
    rest: Float  # (n,) unit vector of y outside the span; zeros where there is none
    Q: Float  # (r + 1, p)
    y: Float  # (r + 1,)

    @property
    def extra(self) -> int:
        """Directions outside the coordinates, in which V = σ_e² I."""
        return self.rows.n - len(self.y)

    def into(self, U: Float) -> Float:
        return np.vstack([self.basis.T @ U, self.rest @ U])

    def back(self, U: Float) -> Float:
        return self.basis @ U[:-1] + np.multiply.outer(self.rest, U[-1])

    def with_response(self, y: Float) -> CompressedFrame:
        return _frame(self.rows.with_response(y), self.basis, self.Q[:-1])

    def with_responses(self, Y: Float) -> list[CompressedFrame]:
        """The same coordinates for every column of Y: the basis is read once for all of them."""
        rows = [self.rows.with_response(y) for y in Y.T]
        rests, within = _remove(self.basis, np.column_stack([own.y for own in rows]))
        return [
            _coordinates(own, self.basis, self.Q, np.array(rest), inside)
            for own, rest, inside in zip(rows, rests.T, within.T, strict=True)
        ]


def _frame(rows: Rows, basis: Float, Q: Float) -> CompressedFrame:
    rest, within = _remove(basis, rows.y)
    return _coordinates(rows, basis, np.vstack([Q, np.zeros(Q.shape[1])]), rest, within)


def _coordinates(rows: Rows, basis: Float, Q: Float, rest: Float, within: Float) -> CompressedFrame:
    """From the part of y outside the basis, and its coordinates inside."""
    size = float(np.sqrt(rest @ rest))
    return CompressedFrame(rows, basis, rest / size if size > 0 else rest, Q, np.append(within, size))


def _remove(basis: Float, y: Float) -> tuple[Float, Float]:
    """The part of y outside the basis, and its coordinates inside (projected twice)."""
    first = basis.T @ y
    rest = y - basis @ first
    again = basis.T @ rest
    return rest - basis @ again, first + again


def root_of(term: Term) -> Float:
    """F (q × rank) with A = F Fᵀ among the levels seen."""
    return term.covariance.factor(term.positions)


def rank_of(term: Term) -> int:
    """Columns of the term's root of A, without forming it."""
    if Can.LOW_RANK in term.covariance.can:
        return min(term.q, int(getattr(term.covariance, "rank", term.q)))
    return term.q


def compressed_size(spec: ModelSpec) -> int:
    """Coordinates that compression would leave (may exceed n, where it does not pay)."""
    return sum(term.k * rank_of(term) for term in spec.terms) + spec.p + 1


def compress(rows: Rows) -> tuple[CompressedFrame, list[Kernel]]:
    """Frame, and the operators of every term in it, the residual last."""
    spec, r = rows.spec, compressed_size(rows.spec)
    require(16 * spec.n * r, f"compressing {spec.n:,} rows to {r:,} coordinates", "Fit it in family blocks.")
    designs = [_designs(term, rows.basis(term)) for term in spec.terms]
    flat = [Z for design in designs for Z in design]
    basis, R = la.qr(np.hstack([*flat, rows.Q]))
    kernels: list[Kernel] = []
    at = 0
    for term, design in zip(spec.terms, designs, strict=True):
        width = design[0].shape[1]
        parts = [_pad(R[:, at + a * width : at + (a + 1) * width]) for a in range(term.k)]
        at += term.k * width
        kernels.append(_small_kernel(term, parts))
    frame = _frame(rows, basis, R[:, at:])
    kernels.append(DiagonalKernel(np.ones((1, len(frame.y)))))
    return frame, kernels


def _designs(term: Term, basis: Float) -> list[Float]:
    F = root_of(term)
    spread = F[term.codes]
    return [spread * basis[:, a, None] for a in range(term.k)]


def _pad(Z: Float) -> Float:
    return np.vstack([Z, np.zeros((1, Z.shape[1]))])


def _small_kernel(term: Term, parts: list[Float]) -> Kernel:
    pairs = term.structure.pairs
    products = []
    for a, b in pairs:
        V = parts[a] @ parts[b].T
        products.append(np.asfortranarray(V if a == b else V + V.T))
    if len(pairs) == 1:
        return ScalarKernel(products[0])
    return ExplicitKernel(tuple(products), pairs)


class _Reduced:
    """Registered kind: total rank below the number of rows, identity residual."""

    name = "reduced"

    def cost(self, spec: ModelSpec) -> Cost | None:
        r = compressed_size(spec)
        if spec.residual.k != 1 or r >= spec.n or not spec.terms:
            return None
        vectors = max((term.k for term in spec.terms), default=1)
        return cost_of(
            setup=4.0 * spec.n * r * r,
            each=1.0 * r**3 + 4.0 * r * r * len(spec.index),
            memory=8.0 * (2.0 * spec.n * r + r * r * (len(spec.index) + 3)),
            reason=f"the random terms span {r:,} of {spec.n:,} directions" + (" (vector terms)" if vectors > 1 else ""),
        )

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> DenseLikelihood | TurnedLikelihood:
        return on_orthogonal_effects(spec, lambda turned: self._build(turned, reml))

    def _build(self, spec: ModelSpec, reml: bool) -> DenseLikelihood:
        frame, kernels = compress(working_rows(spec))
        return DenseLikelihood(spec, reml, frame, kernels, self.name)


likelihoods.register("reduced")(_Reduced())
