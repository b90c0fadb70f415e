"""Fixed effects by least squares instead of GLS: the model at θ with β̂ = (XᵀWX)⁻¹XᵀWy and its own sandwich.

    Cov(β̂) = (XᵀWX)⁻¹ XᵀW V W X (XᵀWX)⁻¹,    W = diag(prior weights), V = V(θ)

û = G Zᵀ V⁻¹ (y − Xβ̂) has the error covariance G − GZᵀV⁻¹ZG + F Cov(β̂) Fᵀ, F = GZᵀV⁻¹X: Henderson's formula with
another Cov(β̂), because Cov(β̂, û − u) vanishes for every linear β̂.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Evaluation
from ..likelihood.gaussian import levels_matmat
from ..likelihood.row_pairs import row_pairs
from ..linalg import dense as la

Float = NDArray[np.float64]


def covariance_times(spec: ModelSpec, U: Float) -> Float:
    """(m, n, c): V_j U on the user's rows, for every linear parameter."""
    parts: list[Float] = []
    spread: dict[int, Float] = {}
    for where in spec.index:
        if where.term == len(spec.terms) and spec.correlated_residual:
            residual = row_pairs(spec.residual, spec.residual.basis)
            return np.concatenate([np.stack(parts) if parts else np.empty((0, *U.shape)), residual.apply(U)])
        term = spec.all_terms[where.term]
        if where.term not in spread:
            collected = term.collect(U)  # (q, k, c)
            q, k, c = collected.shape
            spread[where.term] = levels_matmat(term, collected.reshape(q, k * c)).reshape(q, k, c)[term.codes]
        rows, a, b = spread[where.term], where.a, where.b
        value = term.basis[:, a, None] * rows[:, b]
        parts.append(value if a == b else value + term.basis[:, b, None] * rows[:, a])
    return np.stack(parts)


class LeastSquares:
    """An evaluation whose fixed effects are those of (weighted) least squares.

    The rest is that of `inner()`, which is asked for when something needs V⁻¹: the fixed effects do not.
    """

    def __init__(self, spec: ModelSpec, theta: Float, inner: Callable[[], Evaluation]):
        self._spec, self.theta, self.reml, self._make = spec, theta, True, inner
        self._w = np.ones(spec.n) if spec.weights is None else spec.weights

    @cached_property
    def _inner(self) -> Evaluation:
        return self._make()

    @cached_property
    def _root(self) -> tuple[Float, Float]:
        """Q, R of W^½X."""
        return la.qr(self._spec.X * np.sqrt(self._w)[:, None])

    @cached_property
    def beta(self) -> Float:
        Q, R = self._root
        return la.solve_triangular(R, Q.T @ (np.sqrt(self._w) * self._spec.response), lower=False)

    @cached_property
    def _moves(self) -> Float:
        """(m, p, p) the share of each V_j in Cov(β̂)."""
        Q, R = self._root
        L = la.solve_triangular(R, Q.T * np.sqrt(self._w), lower=False)  # β̂ = L y
        return np.einsum("pn,jnq->jpq", L, covariance_times(self._spec, L.T))

    @cached_property
    def beta_cov(self) -> Float:
        return np.tensordot(self.theta, self._moves, axes=1)

    @property
    def beta_cov_gradient(self) -> Float:
        return self._moves

    @cached_property
    def Py(self) -> Float:
        """V⁻¹(y − Xβ̂)."""
        return self._inner.solve(self._spec.response - self._spec.X @ self.beta)

    def solve(self, U: Float) -> Float:
        return self._inner.solve(U)

    @cached_property
    def _VX(self) -> Float:
        return self._inner.solve(self._spec.X)

    def project(self, U: Float) -> Float:
        """V⁻¹U − V⁻¹X Cov(β̂) XᵀV⁻¹U: takes the place of PU in error covariances."""
        return self._inner.solve(U) - self._VX @ (self.beta_cov @ (self._VX.T @ U))

    def blup(self, term: int) -> Float:
        t = self._spec.all_terms[term]
        return levels_matmat(t, t.collect(self.Py)) @ self._spec.sigmas(self.theta)[term]

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        known = self._inner.prediction_cov(term, fixed_known=True)
        if fixed_known:
            return known
        t, Sigma = self._spec.all_terms[term], self._spec.sigmas(self.theta)[term]
        collected = t.collect(self._VX)
        q, k, p = collected.shape
        F = np.einsum("ab,qbp->qap", Sigma, levels_matmat(t, collected.reshape(q, k * p)).reshape(q, k, p))
        return known + np.einsum("qap,pr,qbr->qab", F, self.beta_cov, F)
