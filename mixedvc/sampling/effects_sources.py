"""What a term's effects are made of while they are sampled: u = J W, the columns of W with covariance Q⁻¹.

In W nothing is singular: uᵀA⁻¹u is WᵀQW, and its degrees of freedom are the rows of W.  Independent levels and roots of
a known covariance have Q = I; a pedigree or a precision has all its labels in W, with or without records, and Q = A⁻¹.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can, Positions
from ..covariance.pedigree import Pedigree
from ..design.spec import ModelSpec, Term
from ..errors import CovarianceError
from ..likelihood.sparse_sources import Source, source_of, source_size
from ..linalg import dense as la
from ..linalg.roots import pivoted_root
from ..linalg.sparse_cholesky import SparseCholesky, sparse_cholesky
from .quadratic import Scatter

Float = NDArray[np.float64]


class EffectSource(Protocol):
    """u (q, k) = J W of one term, W (s, k)."""

    @property
    def size(self) -> int:
        """s, the rows of W."""
        ...

    def draw(self, k: int, rng: np.random.Generator) -> Float:
        """(s, k) columns from N(0, Q⁻¹)."""
        ...

    def seen(self, W: Float) -> Float:
        """J W: the levels in the data."""
        ...

    def back(self, C: Float) -> Float:
        """Q⁻¹ Jᵀ C (s, c) for C (q, c): what a sum over the levels says of W."""
        ...

    def scatter(self, W: Float) -> Scatter:
        """WᵀQW (k, k) and its degrees of freedom."""
        ...

    def everyone(self, W: Float) -> Float | None:
        """(L, k) all labels of the covariance, where W knows them."""
        ...


class Independent:
    """A = I."""

    def __init__(self, q: int):
        self.size = q

    def draw(self, k: int, rng: np.random.Generator) -> Float:
        return rng.standard_normal((self.size, k))

    def seen(self, W: Float) -> Float:
        return W

    def back(self, C: Float) -> Float:
        return C

    def scatter(self, W: Float) -> Scatter:
        return Scatter(W.T @ W, self.size)

    def everyone(self, W: Float) -> Float | None:
        return None


class Rooted:
    """A = JJᵀ among the levels in the data, J (q, rank) dense."""

    def __init__(self, J: Float):
        self.J, self.size = J, J.shape[1]

    def draw(self, k: int, rng: np.random.Generator) -> Float:
        return rng.standard_normal((self.size, k))

    def seen(self, W: Float) -> Float:
        return self.J @ W

    def back(self, C: Float) -> Float:
        return self.J.T @ C

    def scatter(self, W: Float) -> Scatter:
        return Scatter(W.T @ W, self.size)

    def everyone(self, W: Float) -> Float | None:
        return None


class Sparse:
    """Sparse J and Q (see `mixedvc.likelihood.sparse_sources.Source`).

    `used` are the rows of W that say something of Σ, with their own precision: all, unless some only add noise.
    """

    def __init__(self, source: Source, used: tuple[Positions, sp.csc_array] | None = None):
        self._all, self.size = source, source.size
        self._J = source.everyone[source.seen]
        Q = source.Q
        self._plain = Q.nnz == source.size and bool(np.all(Q.diagonal() == 1.0))
        self._used: slice | Positions
        self._used, self._precision = (slice(None), Q) if used is None else used

    @cached_property
    def _factor(self) -> SparseCholesky:
        return sparse_cholesky(self._all.Q)

    def draw(self, k: int, rng: np.random.Generator) -> Float:
        z = rng.standard_normal((self.size, k))
        return z if self._plain else self._factor.half_solve_transposed(z)

    def seen(self, W: Float) -> Float:
        return np.asarray(self._J @ W)

    def back(self, C: Float) -> Float:
        given = np.asarray(self._J.T @ C)
        return given if self._plain else self._factor.solve(given)

    def scatter(self, W: Float) -> Scatter:
        W, Q = W[self._used], self._precision
        return Scatter(W.T @ (W if self._plain else np.asarray(Q @ W)), len(W))

    def everyone(self, W: Float) -> Float | None:
        return np.asarray(self._all.everyone @ W) if self._all.all_labels else None


def effect_source(term: Term) -> EffectSource:
    """The cheapest one that `term` has."""
    if term.cov_name is None or term.covariance.kind == "identity":
        return Independent(term.q)
    if source_size(term) is not None:
        source = source_of(term)
        if not source.all_labels:
            _require_root(term, np.asarray(source.everyone.multiply(source.everyone).sum(axis=1)).ravel())
        return Sparse(source, _with_records(term, source))
    if Can.LOW_RANK in term.covariance.can:
        J = np.asarray(term.covariance.factor(term.positions))
        if J.shape[1] <= term.q:
            return Rooted(J)
    J = pivoted_root(term.covariance.block(term.positions))
    _require_root(term, np.einsum("ij,ij->i", J, J))
    return Rooted(J)


def _with_records(term: Term, source: Source) -> tuple[Positions, sp.csc_array] | None:
    """Animals with records and their ancestors, and their precision: the others of a pedigree say nothing of Σ."""
    pedigree = term.covariance
    if not isinstance(pedigree, Pedigree) or source.size != len(pedigree.labels) or Can.PRECISION not in pedigree.can:
        return None
    kept = pedigree.ancestors(term.positions)
    if len(kept) == source.size:
        return None
    return kept, pedigree.restrict(kept).precision()


def _require_root(term: Term, explained: Float) -> None:
    """Refuse a matrix that is no covariance, by the diagonal of what its root explains: it has no effects."""
    diagonal = term.covariance.diagonal(term.positions)
    if np.abs(diagonal - explained).max(initial=0.0) > 1e-8 * np.abs(diagonal).max(initial=0.0):
        raise CovarianceError(
            f"{term.label}: {term.covariance.describe()} is not positive semi-definite, so there are no effects with "
            "this covariance to draw: psd='clip' takes the nearest matrix that is; methods that need the likelihood "
            "alone (reml, gibbs with scheme='collapsed') work as it is"
        )


def root_of(Sigma: Float) -> Float:
    """F (k×k) with FFᵀ = Σ for effects of any units, singular or not: no digit is lost beside a larger variance."""
    if len(Sigma) == 1:
        return np.sqrt(np.maximum(Sigma, 0.0))
    size = np.sqrt(np.maximum(np.diagonal(Sigma), 0.0))
    unit = np.where(size > 0.0, size, 1.0)
    return la.small_root(Sigma / unit[:, None] / unit) * unit[:, None]


def residual_draw(spec: ModelSpec, Sigma: Float, rng: np.random.Generator) -> Float:
    """(n,) one draw of the residual."""
    residual = spec.residual
    if spec.correlated_residual:
        return residual.spread(rng.standard_normal((residual.q, residual.k)) @ root_of(Sigma).T)
    B = residual.basis
    return np.asarray(np.sqrt(np.sum((B @ Sigma) * B, axis=1)) * rng.standard_normal(spec.n))
