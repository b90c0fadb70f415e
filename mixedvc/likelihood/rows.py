"""Working rows: prior weights absorbed, fixed effects orthonormal, the response free of them.

Every likelihood works on these.  With r = weights^½ the rows r∘y, r∘X, r∘Z have an identity residual (an identity in
each sample where each has its own variance); X = Q R; the least-squares fit is taken out of y at once, so that a large
constant in the response costs no digits (GLS is equivariant: β̂ = b_ols + GLS of the remainder).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from ..design.spec import ModelSpec, Term
from ..errors import MixedVCError
from ..linalg import dense as la
from ..linalg.columns import orthonormalised

Float = NDArray[np.float64]
LOG_2PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True)
class Rows:
    """Working rows of one specification and one response.

    Attributes
    ----------
    scale : (n,)
        r, the factor each row was multiplied by.
    Q : (n, p), R : (p, p)
        Orthonormal fixed effects, r∘X = Q R.
    y : (n,)
        Least-squares residual of r∘response on Q.
    ols : (p,)
        Qᵀ(r∘response).
    """

    spec: ModelSpec
    scale: Float
    Q: Float
    R: Float
    y: Float
    ols: Float

    @property
    def n(self) -> int:
        return self.Q.shape[0]

    @property
    def p(self) -> int:
        return self.Q.shape[1]

    @cached_property
    def log_scale(self) -> float:
        """Σ log r: log|V| of the user's rows is the working one minus twice this."""
        return float(np.log(self.scale).sum())

    @cached_property
    def log_det_R(self) -> float:
        return float(np.log(np.abs(np.diagonal(self.R))).sum())

    def basis(self, term: Term) -> Float:
        """Effects of a term in working rows (n, k)."""
        return term.basis * self.scale[:, None]

    def loglik(self, logdet: float, yPy: float, L: Float, reml: bool) -> float:
        """The criterion of the user's rows from log|V| and yᵀPy of these, L the Cholesky factor of QᵀV⁻¹Q."""
        total = logdet - 2.0 * self.log_scale + yPy
        if not reml:
            return -0.5 * (self.n * LOG_2PI + total)
        log_xvx = (la.logdet_from_cholesky(L) if len(L) else 0.0) + 2.0 * self.log_det_R
        return -0.5 * ((self.n - self.p) * LOG_2PI + total + log_xvx)

    def beta(self, b: Float) -> Float:
        """β̂ of the user from the GLS coefficients b of the remainder in Q."""
        return la.solve_triangular(self.R, self.ols + b, lower=False) if self.p else np.empty(0)

    def on_user_scale(self, C: Float) -> Float:
        """R⁻¹ C R⁻ᵀ: a covariance of coefficients in Q as one of β̂."""
        if not self.p:
            return np.empty((0, 0))
        half = la.solve_triangular(self.R, C, lower=False)
        return la.solve_triangular(self.R, half.T, lower=False)

    def with_response(self, y: Float) -> Rows:
        """The same rows for another response (offset still to be subtracted)."""
        y = np.asarray(y, dtype=np.float64)
        if y.shape != (self.n,):
            raise MixedVCError(f"the new response has shape {y.shape}, the specification has {self.n} rows")
        if not np.isfinite(y).all():
            raise MixedVCError(f"the new response is not finite in row {int(np.flatnonzero(~np.isfinite(y))[0])}")
        if self.spec.offset is not None:
            y = y - self.spec.offset
        remainder, ols = remainder_of(self.Q, y * self.scale)
        return Rows(self.spec, self.scale, self.Q, self.R, remainder, ols)


@dataclass(frozen=True)
class RowFrame:
    """Coordinates = working rows."""

    rows: Rows
    extra: int = 0

    @property
    def y(self) -> Float:
        return self.rows.y

    @property
    def Q(self) -> Float:
        return self.rows.Q

    def into(self, U: Float) -> Float:
        return U

    def back(self, U: Float) -> Float:
        return U

    def with_response(self, y: Float) -> RowFrame:
        return RowFrame(self.rows.with_response(y))


def working_rows(spec: ModelSpec) -> Rows:
    """Working rows of a specification."""
    scale = row_scale(spec)
    if spec.p:
        Q, R = _orthonormal_columns(spec, spec.X * scale[:, None])
    else:
        Q, R = np.empty((spec.n, 0)), np.empty((0, 0))
    remainder, ols = remainder_of(Q, spec.response * scale)
    return Rows(spec, scale, Q, R, remainder, ols)


def _orthonormal_columns(spec: ModelSpec, X: Float) -> tuple[Float, Float]:
    """Q and R, X = Q R; traits that share no fixed effect by themselves, so that their units do not meet.

    Traits of 10⁻⁶ and 10⁶ would otherwise leave each other's rounding in the columns, which is all of the smaller one.
    """
    if spec.traits is None:
        return orthonormalised(X)
    trait = spec.traits.trait
    touched = np.stack([(X[trait == a] != 0.0).any(axis=0) for a in range(spec.traits.t)])
    count, block = connected_components(touched.astype(np.intp) @ touched.T.astype(np.intp), directed=False)
    if count == 1:
        return orthonormalised(X)
    Q, R = np.zeros(X.shape), np.zeros((X.shape[1],) * 2)
    for b in range(count):
        columns = np.flatnonzero(touched[block == b].any(axis=0))
        if len(columns):
            rows = np.flatnonzero((block == b)[trait])
            Q[np.ix_(rows, columns)], R[np.ix_(columns, columns)] = orthonormalised(X[np.ix_(rows, columns)])
    return Q, R


def row_scale(spec: ModelSpec) -> Float:
    """(n,) factor that makes a working row of each row: weight^½."""
    residual = spec.residual
    size = residual.basis[:, 0] if residual.k == 1 else np.sqrt(np.square(residual.basis).sum(axis=1))
    return np.asarray(1.0 / np.where(size > 0.0, size, 1.0))


def remainder_of(Q: Float, y: Float) -> tuple[Float, Float]:
    """y − QQᵀy and Qᵀy, projected twice: once is not enough beside a large mean."""
    ols = Q.T @ y
    remainder = y - Q @ ols
    again = Q.T @ remainder
    return remainder - Q @ again, ols + again
