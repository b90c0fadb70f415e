"""Known covariances among the levels seen, in the cheapest form for cross-products: identity, sparse, dense, or F Fᵀ.

With C = Z_bᵀZ'_c (levels × levels, sparse) the inner product of two terms needs no n×n array:

    ⟨Z_a A Z_bᵀ, Z'_c A' Z'_dᵀ⟩ = tr(A C_ac A' C_bdᵀ)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import Term

Float = NDArray[np.float64]
_BLOCK = 512  # rows or columns of a dense product at a time
_KEPT_BYTES = 256 * 2**20  # a factor F up to this size is kept


@dataclass(frozen=True)
class Levels:
    """One term at its levels.

    Attributes
    ----------
    term : Term
    pairs : tuple of (a, b)
        Entries of Σ.
    Z : list of (n, q) sparse
        Design of each effect in working rows.
    A : None, sparse or dense (q, q)
        None for the identity, and for a low rank.
    low_rank : bool
        Whether A = F Fᵀ is met through the columns of F.
    """

    term: Term
    pairs: tuple[tuple[int, int], ...]
    Z: list[sp.csr_array]
    A: Any
    low_rank: bool = False

    def columns(self) -> Iterable[Float]:
        """F (q, ·), some columns at a time: views where F is kept."""
        covariance, rows = self.term.covariance, self.term.positions
        if not hasattr(covariance, "chunks") or 8 * len(rows) * self.width <= _KEPT_BYTES:
            return [self.factor[:, start : start + _BLOCK] for start in range(0, self.factor.shape[1], _BLOCK)]
        return (F for _, F in covariance.chunks(rows))

    @cached_property
    def factor(self) -> Float:
        """F at once."""
        return self.term.covariance.factor(self.term.positions)

    @property
    def width(self) -> int:
        """Columns of F, or levels."""
        return rank(self.term) if self.low_rank else self.term.q


def rank(term: Term) -> int:
    """Columns of F, known without forming it."""
    return int(getattr(term.covariance, "rank", term.q))


def entries_per_level(term: Term) -> float:
    """Numbers that a row of A takes in its cheapest form (the columns of F where it is of low rank)."""
    covariance = term.covariance
    can = covariance.can
    if Can.DIAGONAL in can:
        return 1.0
    if is_low_rank(term):
        return float(rank(term))
    if _in_groups(can):
        sizes = np.bincount(covariance.components(term.positions)).astype(np.float64)
        return float((sizes**2).sum() / term.q)
    return float(term.q)


def _in_groups(can: Can) -> bool:
    """Whether A is best met without the zeros between its groups of levels."""
    return Can.SPARSE in can or (Can.BLOCKS in can and Can.DENSE not in can)


def entry_work(term: Term) -> float:
    """Flops for one entry of A: stored, from features, or by a solve (those of BLAS count a fifth)."""
    can = term.covariance.can
    if can & (Can.DENSE | Can.SPARSE | Can.DIAGONAL):
        return 4.0
    return 50.0 if Can.PRECISION in can else 0.2 * float(getattr(term.covariance, "m", 250))


def is_low_rank(term: Term) -> bool:
    """Whether F has fewer columns than there are levels seen."""
    return Can.LOW_RANK in term.covariance.can and rank(term) < term.q


def at_levels(term: Term, basis: Float) -> Levels:
    """A term in its cheapest form."""
    n, k = basis.shape
    ends = np.arange(n + 1)
    Z = [sp.csr_array((basis[:, a], term.codes, ends), shape=(n, term.q)) for a in range(k)]
    can, pairs = term.covariance.can, term.structure.pairs
    if term.covariance.kind == "identity":
        return Levels(term, pairs, Z, None)
    if Can.DIAGONAL in can or (_in_groups(can) and not is_low_rank(term)):
        return Levels(term, pairs, Z, term.covariance.sparse_block(term.positions))
    if is_low_rank(term):
        return Levels(term, pairs, Z, None, low_rank=True)
    return Levels(term, pairs, Z, term.covariance.block(term.positions))


def inner_products(one: Levels, two: Levels) -> Float:
    """(pairs of one, pairs of two): ⟨V_j, V_k⟩."""
    C = [[(Z.T @ Y).tocsr() for Y in two.Z] for Z in one.Z]
    out = np.empty((len(one.pairs), len(two.pairs)))
    for j, (a, b) in enumerate(one.pairs):
        for k, (c, d) in enumerate(two.pairs):
            value = _trace(one, two, C[a][c], C[b][d])
            if a != b and c != d:  # ⟨X + Xᵀ, Y + Yᵀ⟩ = 2⟨X, Y⟩ + 2⟨X, Yᵀ⟩
                value += _trace(one, two, C[a][d], C[b][c])
            out[j, k] = value * (1.0 if a == b and c == d else 2.0)
    return out


def _trace(one: Levels, two: Levels, C: Any, D: Any) -> float:
    """tr(A C A' Dᵀ)."""
    if not one.low_rank and two.low_rank:
        return _trace(two, one, C.T.tocsr(), D.T.tocsr())
    if not one.low_rank:
        return sum(
            _dot(_left(one.A, C, rows), _right(D[rows], two.A)) for rows in _row_blocks(C.shape[0], one.A, two.A)
        )
    total = 0.0
    for i, F in enumerate(one.columns()):
        L = C.T @ F  # (q', ·)
        R = L if D is C else D.T @ F
        if not two.low_rank:
            total += _dot(L, R if two.A is None else two.A @ R)
            continue
        for k, H in enumerate(two.columns()):
            if one is two and k < i:  # symmetric in the two
                continue
            weight = 2.0 if one is two and k > i else 1.0
            P = L.T @ H
            total += weight * _dot(P, P if R is L else R.T @ H)
    return total


def _row_blocks(q: int, *covariances: Any) -> list[slice]:
    """Everything at once for sparse products, some rows at a time where they are dense."""
    if not any(isinstance(A, np.ndarray) for A in covariances):
        return [slice(0, q)]
    return [slice(start, min(start + _BLOCK, q)) for start in range(0, q, _BLOCK)]


def _left(A: Any, C: Any, rows: slice) -> Any:
    """(A C)[rows]."""
    return C[rows] if A is None else A[rows] @ C


def _right(D: Any, A: Any) -> Any:
    return D if A is None else D @ A


def _dot(A: Any, B: Any) -> float:
    """Σ A ∘ B, each sparse or dense."""
    if isinstance(A, np.ndarray) and isinstance(B, np.ndarray):
        return float(np.einsum("ij,ij->", A, B))
    if isinstance(A, np.ndarray):
        A, B = B, A
    if isinstance(B, np.ndarray):
        A = A.tocoo()
        return float(A.data @ B[A.row, A.col])
    return float(A.multiply(B).sum())
