"""Spectral likelihood: one kernel, one eigendecomposition, then every θ costs n.

K = U diag(d) Uᵀ on the working rows (or on compressed coordinates for a kernel of low rank); in the rotated
coordinates V = diag(θ_1 d + θ_2).  Worth its set-up when many responses or many θ meet one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la
from ..linalg.memory import require
from .base import likelihoods
from .choose import Cost, cost_of
from .diagonal_marginals import ColumnSums, pieces
from .gaussian import Frame, GaussianEvaluation
from .kernels import ScalarKernel, row_kernel
from .marginals import Marginals, normal_equations
from .moments import moment_equations
from .panel import frames_of
from .reduced import compress, compressed_size
from .rows import RowFrame, Rows, working_rows

Float = NDArray[np.float64]
_CANCELS = 0.99  # part of yᵀV⁻¹y that fixed effects explain, from which the rest is summed by itself


@dataclass(frozen=True)
class RotatedFrame:
    """Coordinates of `inner` rotated by the kernel's eigenvectors."""

    inner: Frame
    U: Float
    Q: Float
    y: Float

    @property
    def rows(self) -> Rows:
        return self.inner.rows

    @property
    def extra(self) -> int:
        return self.inner.extra

    def into(self, B: Float) -> Float:
        return self.U.T @ self.inner.into(B)

    def back(self, B: Float) -> Float:
        return self.inner.back(self.U @ B)

    def with_response(self, y: Float) -> RotatedFrame:
        inner = self.inner.with_response(y)
        return replace(self, inner=inner, y=self.U.T @ inner.y)

    def with_responses(self, Y: Float) -> list[RotatedFrame]:
        """The same coordinates for every column of Y: one product rotates them all."""
        inners = frames_of(self.inner, Y)
        rotated = self.U.T @ np.column_stack([inner.y for inner in inners])
        return [
            replace(self, inner=inner, y=np.ascontiguousarray(y)) for inner, y in zip(inners, rotated.T, strict=True)
        ]


class SpectralState:
    """V = diag(v), V_1 = diag(d), V_2 = I."""

    def __init__(self, d: Float, theta: Float, extra: int):
        self.d, self.theta, self.extra = d, theta, extra
        self.v = theta[0] * d + theta[1]
        smallest = self.v.min() if not extra else min(float(self.v.min()), theta[1])
        if not smallest > 0.0:
            raise la.NotPositiveDefinite(int(np.argmin(self.v)) + 1)
        self.logdet = float(np.log(self.v).sum())
        if extra:
            self.logdet += extra * float(np.log(theta[1]))

    def solve(self, U: Float) -> Float:
        return U / self.v[:, None]

    def apply(self, U: Float) -> Float:
        return np.stack([self.d[:, None] * U, U])

    @cached_property
    def _sums(self) -> tuple[Float, Float, Float]:
        i = 1.0 / self.v
        di = self.d * i
        e = self.extra
        t = self.theta[1] if e else 1.0
        one = np.array([di.sum(), i.sum() + e / t])
        two = np.array([[di @ di, di @ i], [di @ i, i @ i + e / t**2]])
        cross = np.array([[self.d @ di, di.sum()], [di.sum(), i.sum() + e / t]])
        return one, two, cross

    def traces(self) -> Float:
        return self._sums[0].copy()

    def pair_traces(self) -> Float:
        return self._sums[1].copy()

    def cross_traces(self) -> Float:
        return self._sums[2].copy()


class SpectralLikelihood:
    """One scalar kernel plus an identity residual, rotated once."""

    name = "spectral"

    def __init__(self, spec: ModelSpec, reml: bool, frame: RotatedFrame, d: Float):
        self.spec, self.reml, self._frame, self._d = spec, reml, frame, d
        self._last: GaussianEvaluation | None = None

    @property
    def frame(self) -> RotatedFrame:
        """Coordinates in which V is diagonal."""
        return self._frame

    @property
    def d(self) -> Float:
        """(n',) eigenvalues of the kernel in these coordinates."""
        return self._d

    def at(self, theta: Float) -> GaussianEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            state = SpectralState(self._d, theta, self._frame.extra)
            self._last = GaussianEvaluation(self._frame, state, theta, self.reml)
        return self._last

    @cached_property
    def _columns(self) -> ColumnSums:
        return ColumnSums.of(np.column_stack([self._frame.Q, self._frame.y]))

    def marginals(self, thetas: Float) -> Marginals:
        """Each row of `thetas` (K, 2): n numbers and n p² products a row."""
        p, extra = self.spec.p, self._frame.extra
        logdet, sums = np.empty(len(thetas)), np.empty((len(thetas), p + 1, p + 1))
        there = np.empty(len(thetas), dtype=bool)
        for at in pieces(len(thetas), len(self._d)):
            first, second = thetas[at, 0, None], thetas[at, 1, None]
            v = first * self._d
            v += second
            there[at] = v.min(axis=1) > 0.0
            if extra:
                there[at] &= second[:, 0] > 0.0
            v[~there[at]] = 1.0
            logdet[at] = np.log(v).sum(axis=1)
            sums[at] = self._columns.sums(np.divide(1.0, v, out=v))
        if extra:
            logdet += extra * np.log(np.where(there, thetas[:, 1], 1.0))
        found = normal_equations(sums[:, :p, :p], sums[:, p, :p])
        yPy = sums[:, p, p] - found.explained
        for i in np.flatnonzero(there & (found.explained > _CANCELS * sums[:, p, p])):
            rest = self._frame.y - self._frame.Q @ found.b[i]
            yPy[i] = rest @ (rest / (thetas[i, 0] * self._d + thetas[i, 1]))
        return found.marginals(self._frame.rows, logdet, yPy, self.reml, there)

    @cached_property
    def _products(self) -> Float:
        d = self._d
        return np.array([[d @ d, d.sum()], [d.sum(), len(d)]])

    def moments(self) -> tuple[Float, Float]:
        return moment_equations(self._frame, self._products, lambda U: np.stack([self._d[:, None] * U, U]))

    def with_response(self, y: Float) -> SpectralLikelihood:
        return self._on(self._frame.with_response(y))

    def with_responses(self, Y: Float) -> list[SpectralLikelihood]:
        """`with_response` of every column of Y (n, B), the columns rotated together."""
        return [self._on(frame) for frame in self._frame.with_responses(Y)]

    def _on(self, frame: RotatedFrame) -> SpectralLikelihood:
        again = SpectralLikelihood(self.spec, self.reml, frame, self._d)
        again.__dict__["_products"] = self._products
        return again


def _applies(spec: ModelSpec) -> bool:
    return len(spec.terms) == 1 and spec.terms[0].k == 1 and spec.residual.k == 1


class _Spectral:
    """Registered kind: exactly one scalar term."""

    name = "spectral"

    def cost(self, spec: ModelSpec) -> Cost | None:
        if not _applies(spec):
            return None
        n, rank = spec.n, compressed_size(spec)
        size = min(n, rank)
        setup = 18.0 * size**3 + (2.0 * n * rank**2 if rank < n else 0.0)
        return cost_of(
            setup=setup,
            each=60.0 * size * (spec.p + 2),
            loglik=2e3 + size * (10.0 + 1.0 * spec.p**2),
            memory=8.0 * (3.0 * size * size + n * min(rank, n)),
            reason="one kernel: one eigendecomposition serves every evaluation",
        )

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> SpectralLikelihood:
        rows = working_rows(spec)
        frame: Frame
        if compressed_size(spec) < spec.n:
            frame, kernels = compress(rows)
            K = kernels[0].matrix(0)
        else:
            require(8 * 4 * spec.n**2, f"the eigendecomposition of {spec.n:,} rows", "Use the dense likelihood.")
            frame = RowFrame(rows)
            kernel = row_kernel(spec.terms[0], rows.basis(spec.terms[0]))
            assert isinstance(kernel, ScalarKernel)
            K = kernel.K
        d, U = la.eigh(K)
        top = max(float(d[-1]), 0.0)
        d = np.where(np.abs(d) < 1e-13 * top * len(d) ** 0.5, 0.0, d)
        rotated = RotatedFrame(frame, U, U.T @ frame.Q, U.T @ frame.y)
        return SpectralLikelihood(spec, reml, rotated, d)


likelihoods.register("spectral")(_Spectral())
