"""What all exact second moments share: equations from the products of one pass, other responses, outer products."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError
from ..likelihood.rows import working_rows
from .base import Equations, Variant
from .operators import Operators
from .products import Products, projected_diagonal

Float = NDArray[np.float64]
_COLUMN_BYTES = 32 * 2**20  # of V_jU at a time


class OperatorMoments:
    """Second moments over the operators of the terms; subclasses say how ⟨V_j, V_k⟩ and Cov(q) are found.

    `reason` says in words why this kind was chosen; `fallback` why Cov(q) came from probes, where it did;
    `covariance_probes` Cov(q) by each probe.
    """

    name = "operators"
    reason = ""
    fallback = ""
    covariance_probes: Float | None = None

    def __init__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None):
        self.spec = spec
        self.rows = working_rows(spec)
        self.operators = Operators(self.rows)
        self.n_probes, self._rng = probes, rng

    @property
    def m(self) -> int:
        """Linear parameters."""
        return self.operators.m

    def generator(self) -> np.random.Generator:
        """Where probes are drawn from; a fixed seed where none was given."""
        if self._rng is None:
            self._rng = np.random.default_rng(20)
        return self._rng

    def apply(self, U: Float) -> Float:
        """(m, n, c): V_j U."""
        return self.operators.apply(np.asarray(U, dtype=np.float64))

    @cached_property
    def products(self) -> Products:
        """Everything S and q are made of; computed once."""
        raise NotImplementedError

    def inner_with(self, G: Float) -> Float:
        """(m,): ⟨V_j, G⟩ of a symmetric G (n, n)."""
        out, step = np.zeros(self.m), width(self.m, len(G))
        for start in range(0, len(G), step):
            part = slice(start, start + step)
            out += np.einsum("jii->j", self.apply(G[:, part])[:, part])
        return out

    def equations(self, variant: Variant, outer: Float | None = None) -> Equations:
        """S and q (see `mixedvc.moments.base.Moments`)."""
        products = self.products
        if outer is None:
            q = products.q(variant, products.quad, self.rows.y**2)
        else:
            q = self._outer(variant, outer)
        return Equations(products.S(variant), q)

    def _outer(self, variant: Variant, outer: Float) -> Float:
        """q_j = tr(A_j G) without forming M G M."""
        G, Q, products = checked_outer(outer, self.rows.n), self.rows.Q, self.products
        GQ = G @ Q
        QGQ = Q.T @ GQ
        quad = self.inner_with(G) - 2.0 * np.einsum("jnp,np->j", products.VQ, GQ)
        quad += np.einsum("jpq,pq->j", products.QVQ, QGQ)
        squares = np.diagonal(G) + projected_diagonal(GQ[None], QGQ[None], Q)[0]
        return products.q(variant, quad, squares)

    def quadratic(self, variant: Variant, Y: Float) -> Float:
        """(m, c): q of other responses, some columns at a time."""
        Y = np.asarray(Y, dtype=np.float64)
        if Y.ndim != 2 or Y.shape[0] != self.rows.n:
            raise MixedVCError(f"responses of shape {Y.shape} where ({self.rows.n}, c) is expected")
        out = np.empty((self.m, Y.shape[1]))
        step = width(self.m, self.rows.n)
        for start in range(0, Y.shape[1], step):
            R = take_out(self.rows.Q, Y[:, start : start + step])
            quad = np.einsum("nc,jnc->jc", R, self.apply(R), optimize=True)
            out[:, start : start + step] = self.products.q(variant, quad, R**2)
        return out


def width(m: int, n: int) -> int:
    """Columns of U whose V_jU fit the buffer."""
    return max(1, _COLUMN_BYTES // (8 * m * n))


def take_out(Q: Float, U: Float) -> Float:
    """M U, projected twice: once is not enough beside a large mean."""
    R = U - Q @ (Q.T @ U)
    R -= Q @ (Q.T @ R)
    return R


def checked_outer(outer: Float, n: int) -> Float:
    """`outer` as a finite symmetric (n, n) array."""
    G = np.asarray(outer, dtype=np.float64)
    if G.shape != (n, n):
        raise MixedVCError(f"the outer product has shape {G.shape}; it needs a row and a column for each of {n} rows")
    probe = np.cos(np.arange(n))  # G v = Gᵀ v of one vector: two readings instead of a transpose
    left, right = G @ probe, probe @ G
    if not np.isfinite(left).all():
        raise MixedVCError(f"the outer product is not finite in row {int(np.flatnonzero(~np.isfinite(left))[0])}")
    if not np.allclose(left, right, rtol=1e-8, atol=1e-8 * np.abs(left).max(initial=0.0)):
        worst = int(np.argmax(np.abs(left - right)))
        raise MixedVCError(f"the outer product is not symmetric: row and column {worst} differ")
    return G
