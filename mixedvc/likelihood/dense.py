"""Dense likelihood: one Cholesky factorisation of V per θ, in the rows as they are or in compressed coordinates.

Cost per θ: n³/3 for the criterion, 2n³/3 more for the traces (n³/3 with a single kernel, whose trace follows from
‖L⁻¹‖²).  Products of three n×n matrices are formed only for the expected information of several kernels, and one
kernel's share of those comes free from Σ_k θ_k V_k = V.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.pool import Pool
from .base import likelihoods
from .choose import Cost, cost_of
from .gaussian import Frame, GaussianEvaluation
from .kernels import (
    DiagonalKernel,
    Kernel,
    PairsKernel,
    ScalarKernel,
    contiguous,
    dot,
    lower_dot,
    residual_kernel,
    row_kernel,
    symmetric_product,
)
from .moments import moment_equations
from .panel import frames_of
from .record_products import RecordProducts, record_products
from .rows import RowFrame, Rows, working_rows
from .turned import TurnedLikelihood, on_orthogonal_effects

Float = NDArray[np.float64]
SINGULAR = 1e-9  # part of a row's variance that the rows before leave, below which V counts as singular
_ROUGH_FROM = 1500  # rows from which the first Newton steps are taken in single precision


class DenseState:
    """V(θ) factorised by Cholesky.

    `kernels` are the terms' operators, the residual last; `extra` counts directions outside the coordinates in
    which V = σ_e² I and neither y nor X has a component (compressed coordinates).  The factors live in arrays of
    `pool`, which go to the next state when this one is no longer referenced.
    """

    def __init__(
        self,
        kernels: Sequence[Kernel],
        theta: Float,
        pool: Pool,
        extra: int = 0,
        records: RecordProducts | None = None,
        root: Float | None = None,
    ):
        n = pool.n
        self.kernels, self.theta, self.n, self.extra, self.records = kernels, theta, n, extra, records
        self._parts = _split(kernels, theta)
        self._loan = pool.lend(self)
        V = self._loan.take()
        V.fill(0.0)
        for kernel, part in zip(kernels, self._parts, strict=True):
            kernel.add_to(V, part)
        self._lifted = root is not None
        if root is not None:
            V += root @ root.T
        variances = np.diagonal(V).copy()
        self.L = la.cholesky(V, overwrite=True)
        self.least = float((np.square(np.diagonal(self.L)) / variances).min())  # part of a variance that is its own
        self.logdet = la.logdet_from_cholesky(self.L)
        if extra:
            if theta[-1] <= 0:
                raise la.NotPositiveDefinite(n + 1)
            self.logdet += extra * float(np.log(theta[-1]))

    def solve(self, U: Float) -> Float:
        return la.cho_solve(self.L, U.astype(self.L.dtype, copy=False)).astype(np.float64, copy=False)

    def apply(self, U: Float) -> Float:
        return np.concatenate([kernel.apply(U) for kernel in self.kernels])

    # ---- inverses, by the cheapest route that answers the question asked ------------------------------------

    @cached_property
    def _L_inverse(self) -> Float:
        return la.triangular_inverse(self._loan.copy(self.L), overwrite=True)

    @cached_property
    def inverse(self) -> Float:
        """Lower triangle of V⁻¹, zeros above."""
        if "_L_inverse" in self.__dict__:
            return la.inverse_from_triangular(self.__dict__.pop("_L_inverse"))
        return la.cholesky_inverse(self._loan.copy(self.L), overwrite=True)

    @property
    def _single(self) -> bool:
        """One scalar kernel and an identity residual: everything follows from tr V⁻¹ and ‖V⁻¹‖."""
        kernels = self.kernels
        return (
            len(kernels) == 2
            and isinstance(kernels[0], ScalarKernel)
            and isinstance(kernels[1], DiagonalKernel)
            and self._share(0) > 1e-3
            and bool(np.all(kernels[1].D == 1.0))
        )

    @cached_property
    def _tops(self) -> Float:
        """θ_j tr V_j of the scalar kernels (0 for others), relative to the residual's and theirs together."""
        traces = np.array([float(np.einsum("ii->", k.K)) if isinstance(k, ScalarKernel) else 0.0 for k in self.kernels])
        parts = traces * [part[0] for part in self._parts]
        residual = self.kernels[-1]
        rest = (
            float((self._parts[-1] @ residual.D).sum()) if isinstance(residual, (DiagonalKernel, PairsKernel)) else 0.0
        )
        return parts / max(parts.sum() + rest, 1e-300)

    def _share(self, i: int) -> float:
        """Part of V that the scalar kernel i contributes: small shares lose digits in Σ θ_k V_k = V."""
        return float(self._tops[i])

    def traces(self) -> Float:
        return self._traces.copy()

    @cached_property
    def _traces(self) -> Float:
        if self._single:
            if "inverse" in self.__dict__:
                t_e = float(np.trace(self.inverse))
            else:
                t_e = _sum_of_squares(contiguous(self._L_inverse))
            t_k = (self.n - self.theta[1] * t_e) / self.theta[0]
            return np.array([t_k, t_e + self._extra(1)])
        found = np.concatenate([kernel.traces(self.inverse) for kernel in self.kernels])
        found[-1] += self._extra(1)
        return found

    def _extra(self, power: int) -> float:
        return self.extra / self.theta[-1] ** power if self.extra else 0.0

    # ---- products of two, for the expected information ------------------------------------------------------

    def pair_traces(self) -> Float:
        found = self._pairs()
        found[-1, -1] += self._extra(2)
        return found

    def _pairs(self) -> Float:
        if self.records is not None:
            return self._of_records.copy()
        m = len(self.theta)
        inner = self._traces.copy()
        inner[-1] -= self._extra(1)
        free = self._free_by_identity()
        direct = [j for j in range(m) if j != free]
        if direct == [m - 1] and self._single:
            I = np.zeros((m, m))
            I[1, 1] = _square_norm(self.inverse)
            _complete(I, 0, self.theta, inner)
            return I
        W = self.inverse
        I = np.zeros((m, m))
        owners = self._owners()
        for c, j in enumerate(direct):
            left = _times(W, *owners[j])
            for k in direct[c:]:
                right = left if k == j else _times(W, *owners[k])
                I[j, k] = I[k, j] = _trace_of_product(W, left, right)
        if free is not None:
            _complete(I, free, self.theta, inner)
        return I

    @cached_property
    def _of_records(self) -> Float:
        assert self.records is not None
        return self.records.pair_traces(self.inverse)

    def inverse_entries(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> Float:
        return self.inverse[i, j]

    def pair_traces_along(self, D: Float) -> Float:
        """(r, r) tr(V⁻¹G_aV⁻¹G_b), G_a = Σ_j D_aj V_j: n³ for each direction, however many parameters there are."""
        if self.records is not None:
            return D @ self.pair_traces() @ D.T
        W, extra = self.inverse, self._extra(2) * np.outer(D[:, -1], D[:, -1])
        found = []
        for direction in D:
            G = np.zeros((self.n, self.n), order="F")
            for kernel, part in zip(self.kernels, _split(self.kernels, direction), strict=True):
                kernel.add_to(G, part)
            found.append(symmetric_product(W, G))
        return np.array([[_trace_of_product(W, A, B) for B in found] for A in found]) + extra

    def _owners(self) -> list[tuple[Kernel, int]]:
        """The kernel of each parameter, and the parameter's place in it."""
        return [(kernel, j) for kernel in self.kernels for j in range(len(kernel.pairs))]

    def _free_by_identity(self) -> int | None:
        """A parameter whose row follows from Σ_k θ_k tr(V⁻¹V_jV⁻¹V_k) = tr(V⁻¹V_j): the largest kernel's."""
        if self._lifted:
            return None  # the sum is not V
        best, where, j = 1e-2, None, 0
        for i, kernel in enumerate(self.kernels):
            if isinstance(kernel, ScalarKernel) and (share := self._share(i)) > best:
                best, where = share, j
            j += len(kernel.pairs)
        return where

    def cross_traces(self) -> Float:
        if self.records is not None:
            return self.records.cross_traces(self.inverse)
        owners, W = self._owners(), self.inverse
        m = len(owners)
        found = np.empty((m, m))
        for j in range(m):
            left = _times(W, *owners[j])
            for k in range(j, m):
                kernel, where = owners[k]
                if isinstance(kernel, DiagonalKernel):
                    value = float(kernel.D[where] @ np.diagonal(W if left is None else left))
                elif left is None:
                    value = lower_dot(W, kernel.matrix(where))
                else:
                    value = float(np.einsum("ij,ij->", left, kernel.matrix(where)))
                found[j, k] = found[k, j] = value
        found[-1, -1] += self._extra(1)
        return found


def _row_variances(rows: Rows, theta: Float) -> Float:
    """(n,) variances of the working rows, known covariances as if of unit diagonal."""
    parts = zip(rows.spec.all_terms, rows.spec.sigmas(theta), strict=True)
    found = [
        np.einsum("na,ab,nb->n", rows.basis(term), Sigma, rows.basis(term), optimize=True) for term, Sigma in parts
    ]
    return np.asarray(np.maximum(sum(found), 0.0))


def _split(kernels: Sequence[Kernel], theta: Float) -> list[Float]:
    ends = np.cumsum([len(kernel.pairs) for kernel in kernels])
    return np.split(np.asarray(theta, dtype=np.float64), ends[:-1])


def _sum_of_squares(flat: Float, block: int = 1 << 18) -> float:
    """Σ a², accumulated in double precision whatever the precision of a."""
    if flat.dtype == np.float64:
        return dot(flat, flat)
    pieces = (flat[i : i + block].astype(np.float64) for i in range(0, len(flat), block))
    return sum(dot(piece, piece) for piece in pieces)


def _square_norm(S: Float) -> float:
    """‖A‖² of a symmetric A given by its lower triangle."""
    flat, diagonal = contiguous(S), np.diagonal(S)
    return 2.0 * dot(flat, flat) - float(diagonal @ diagonal)


def _times(W: Float, kernel: Kernel, j: int) -> Float | None:
    """V⁻¹V_j from the lower triangle W of V⁻¹; None stands for V⁻¹ itself (V_j = I)."""
    if isinstance(kernel, DiagonalKernel):
        return None if np.all(kernel.D[j] == 1.0) else la.symmetrize_lower(W) * kernel.D[j]
    return symmetric_product(W, kernel.matrix(j))


def _trace_of_product(W: Float, A: Float | None, B: Float | None, block: int = 512) -> float:
    """tr(A B), None standing for the symmetric matrix whose lower triangle is W."""
    if A is None or B is None:
        M = B if A is None else A
        if M is None:
            return _square_norm(W)
        twice = float(np.einsum("ij,ij->", W, M)) + _trace_of_product(W, W, M)
        return twice - float(np.diagonal(W) @ np.diagonal(M))
    total = 0.0
    for start in range(0, len(A), block):  # so that the transpose stays in cache
        stop = start + block
        total += float(np.einsum("ij,ji->", A[start:stop], B[:, start:stop]))
    return total


def _complete(I: Float, free: int, theta: Float, inner: Float) -> None:
    """Fill row `free` of the symmetric I with I θ = inner."""
    others = [j for j in range(len(theta)) if j != free]
    for j in others:
        I[j, free] = I[free, j] = (inner[j] - I[j, others] @ theta[others]) / theta[free]
    I[free, free] = (inner[free] - I[free, others] @ theta[others]) / theta[free]


class DenseLikelihood:
    """V = Σ θ_j V_j as a dense n×n matrix (see `mixedvc.likelihood.base.Likelihood`)."""

    def __init__(
        self,
        spec: ModelSpec,
        reml: bool,
        frame: Frame,
        kernels: Sequence[Kernel],
        name: str,
        dtype: type = np.float64,
        records: RecordProducts | None = None,
    ):
        self.spec, self.reml, self.name, self._records = spec, reml, name, records
        self._frame, self._kernels = frame, kernels
        self._pool = Pool(len(frame.y), dtype)
        self._last: GaussianEvaluation | None = None

    def at(self, theta: Float) -> GaussianEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is not None and np.array_equal(self._last.theta, theta):
            return self._last
        self._last = None  # its factors make room for the new ones
        self._last = self._evaluation(theta)
        return self._last

    def _evaluation(self, theta: Float) -> GaussianEvaluation:
        """At θ; lifted (see `GaussianEvaluation`) where residuals of several traits may make V singular."""
        liftable = self.reml and self._frame.rows.p > 0 and self.spec.correlated_residual
        try:
            state = DenseState(self._kernels, theta, self._pool, self._frame.extra, self._records)
            if not liftable or state.least > SINGULAR:
                return GaussianEvaluation(self._frame, state, theta, self.reml)
        except la.NotPositiveDefinite:
            if not liftable:
                raise
        Q = self._frame.Q
        lift = (Q.T * _row_variances(self._frame.rows, theta)) @ Q
        root: Float = (Q @ la.small_root(lift)).astype(self._pool.dtype, copy=False)
        state = DenseState(self._kernels, theta, self._pool, self._frame.extra, self._records, root)
        return GaussianEvaluation(self._frame, state, theta, self.reml, lift)

    def rough(self) -> DenseLikelihood | None:
        """The same in single precision where that saves time: good to about four digits of the criterion's slope."""
        if len(self._frame.y) < _ROUGH_FROM:
            return None
        kernels = [kernel.single() for kernel in self._kernels]
        return DenseLikelihood(self.spec, self.reml, self._frame, kernels, self.name, np.float32)

    def moments(self) -> tuple[Float, Float]:
        records = self._records
        inner = _inner_products(self._kernels) if records is None else records.inner()
        return moment_equations(self._frame, inner, self._apply)

    def _apply(self, U: Float) -> Float:
        return np.concatenate([kernel.apply(U) for kernel in self._kernels])

    def with_response(self, y: Float) -> DenseLikelihood:
        return self._on(self._frame.with_response(y))

    def with_responses(self, Y: Float) -> list[DenseLikelihood]:
        """`with_response` of every column of Y (n, B): coordinates are made together, one pool of arrays serves all."""
        frames = frames_of(self._frame, Y)
        out = [self._on(frame) for frame in frames]
        for one in out:
            one._pool = self._pool
        return out

    def _on(self, frame: Frame) -> DenseLikelihood:
        return DenseLikelihood(self.spec, self.reml, frame, self._kernels, self.name, records=self._records)


def _inner_products(kernels: Sequence[Kernel]) -> Float:
    """tr(V_j V_k) in coordinates."""
    owners = [(kernel, j) for kernel in kernels for j in range(len(kernel.pairs))]
    m = len(owners)
    inner = np.empty((m, m))
    for j, (kernel, a) in enumerate(owners):
        for k in range(j, m):
            other, b = owners[k]
            if isinstance(other, PairsKernel):  # the last one: all of its parameters at once
                inner[j, k:] = inner[k:, j] = _with_pairs(kernel, a, other)[b:]
                break
            if isinstance(other, DiagonalKernel):
                value = float(_diagonal(kernel, a) @ other.D[b])
            elif isinstance(kernel, DiagonalKernel):
                value = float(kernel.D[a] @ _diagonal(other, b))
            else:
                value = _dot(kernel.matrix(a), other.matrix(b))
            inner[j, k] = inner[k, j] = value
    return inner


def _with_pairs(kernel: Kernel, a: int, other: PairsKernel) -> Float:
    """tr(V_a V_k) with every V_k of a residual in groups."""
    rows = other.rows
    if kernel is other:  # an entry belongs to one parameter
        return rows.inner(np.where(rows.owner == a, rows.value, 0.0))
    return rows.inner(kernel.matrix(a)[rows.i, rows.j])


def _diagonal(kernel: Kernel, j: int) -> Float:
    return kernel.D[j] if isinstance(kernel, DiagonalKernel) else np.diagonal(kernel.matrix(j))


def _dot(A: Float, B: Float) -> float:
    """⟨A, B⟩ of two symmetric matrices: one pass along memory where both are contiguous."""
    if all(M.flags.c_contiguous or M.flags.f_contiguous for M in (A, B)):
        return dot(contiguous(A), contiguous(B))
    return float(np.einsum("ij,ij->", A, B))


class _Dense:
    """Registered kind: applies to every specification."""

    name = "dense"

    def cost(self, spec: ModelSpec) -> Cost | None:
        n = spec.n
        kernels = sum(1 + (term.k > 1) for term in spec.terms)
        return cost_of(
            setup=2.0 * n * n * (len(spec.terms) + 1) * 8,
            each=1.0 * n**3 + 4.0 * n * n * len(spec.index),
            memory=8.0 * n * n * (kernels + 3),
            reason=f"V is one dense {n:,}×{n:,} matrix",
        )

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> DenseLikelihood | TurnedLikelihood:
        n = spec.n
        require(
            8 * n * n * (len(spec.terms) + 3),
            f"the dense likelihood of {n:,} rows",
            "Models whose terms are grouping factors or family blocks fit in blocks; kernels of low rank go in as "
            "mv.Features.",
        )
        return on_orthogonal_effects(spec, lambda turned: self._build(turned, reml))

    def _build(self, spec: ModelSpec, reml: bool) -> DenseLikelihood:
        rows = working_rows(spec)
        kernels: list[Kernel] = [row_kernel(term, rows.basis(term)) for term in spec.terms]
        kernels.append(residual_kernel(spec, rows.basis(spec.residual)))
        return DenseLikelihood(spec, reml, RowFrame(rows), kernels, self.name, records=record_products(rows))


likelihoods.register("dense")(_Dense())
