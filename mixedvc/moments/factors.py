"""Grouping factors: cross-products of designs at the levels, no array of n×n or of rows × levels that is dense.

For independent or sparsely related levels, for A of low rank, and wherever there are fewer levels than rows.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import ModelSpec, Term
from ..likelihood.choose import Cost, cost_of
from ..linalg.memory import require
from .base import Variant, moment_kinds
from .exact import OperatorMoments
from .levels import Levels, at_levels, entries_per_level, entry_work, inner_products, is_low_rank, rank
from .products import Products
from .squared import INEXACT, covariance
from .squared_levels import level_count, level_covariance

Float = NDArray[np.float64]
_FEW = 1000  # levels among which any A may be formed
_DENSE_ROWS = 4000  # rows up to which n×n products stand in for what the levels do not give
_MOST_LEVELS = 8000  # of one dense matrix among all levels


class FactorMoments(OperatorMoments):
    """Exact second moments through the levels of the terms."""

    name = "factors"

    @cached_property
    def levels(self) -> list[Levels]:
        """Each random term at its levels."""
        return [at_levels(term, self.rows.basis(term)) for term in self.spec.terms]

    @cached_property
    def products(self) -> Products:
        ops, Q, y = self.operators, self.rows.Q, self.rows.y
        inner, D = np.zeros((ops.m, ops.m)), ops.diagonal
        at = np.cumsum([0, *(len(level.pairs) for level in self.levels)])
        for i, one in enumerate(self.levels):
            for j, two in enumerate(self.levels[i:], i):
                found = inner_products(one, two)
                inner[at[i] : at[i + 1], at[j] : at[j + 1]] = found
                inner[at[j] : at[j + 1], at[i] : at[i + 1]] = found.T
        r = int(at[-1])
        inner[r:] = ops.residual @ D.T
        inner[:r, r:] = inner[r:, :r].T
        VU = self.apply(np.column_stack([Q, y]))
        return Products(inner, VU[:, :, :-1], VU[:, :, -1] @ y, D, Q)

    def covariance(self, variant: Variant, theta: Float) -> tuple[Float, Float | None]:
        """Cov(q) from one matrix among all levels; by n×n products or probes where that is not enough."""
        levels = level_count(self.levels)
        if variant.entries == "all" and self.operators.identity_residual and levels <= _MOST_LEVELS:
            return level_covariance(self, np.asarray(theta, dtype=np.float64)), None
        return covariance(self, variant, theta, most_rows=_DENSE_ROWS)


class _Factors:
    """Registered kind: applies to every specification unless a kernel of n×n would be computed."""

    name = "factors"
    random = False

    def cost(self, spec: ModelSpec) -> Cost | None:
        if spec.correlated_residual or any(_would_fill(term, spec.n) for term in spec.terms):
            return None
        width = [entries_per_level(term) for term in spec.terms]
        n, work = float(spec.n), 50.0 * spec.n * len(spec.index) * (spec.p + 2)
        work += sum(entry_work(term) * term.q * width_ for term, width_ in zip(spec.terms, width, strict=True))
        for i, one in enumerate(spec.terms):
            for j, two in enumerate(spec.terms[i:], i):
                links = min(n, float(one.q)) if i == j else min(n, float(one.q) * two.q)
                pairs = len(one.structure.pairs) * len(two.structure.pairs)
                work += pairs * _pair_work(one, two, links, width[i], width[j])
        return cost_of(
            setup=work,
            each=_covariance_work(spec),
            memory=_memory(spec.terms, width),
            reason=f"{_counted(sum(term.q for term in spec.terms), 'level')} of {_counted(len(spec.terms), 'term')}",
        )

    def __call__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None) -> FactorMoments:
        width = [entries_per_level(term) for term in spec.terms]
        require(
            int(_memory(spec.terms, width)),
            f"second moments through {sum(term.q for term in spec.terms):,} levels",
            'Use trace="hutchinson", which needs products alone.',
        )
        return FactorMoments(spec, probes=probes, rng=rng)


def _covariance_work(spec: ModelSpec) -> float:
    """Flops of Cov(q) among all levels; as a minute's where probes would have to stand in."""
    sizes = [term.k * (rank(term) if is_low_rank(term) else term.q) for term in spec.terms]
    if sum(sizes) > _MOST_LEVELS:
        return INEXACT
    sparse = Can.SPARSE | Can.DIAGONAL
    work = [10.0 * len(spec.index) if term.covariance.can & sparse else 2.0 * sum(sizes) for term in spec.terms]
    return float(sum(sizes) ** 2 * max(work, default=0.0))


def _would_fill(term: Term, n: int) -> bool:
    """Whether A among the levels would have to be computed in full and be about as large as n×n."""
    cheap = Can.DENSE | Can.SPARSE | Can.DIAGONAL
    return not (term.covariance.can & cheap or is_low_rank(term) or 2 * term.q <= n or term.q <= _FEW)


def _pair_work(one: Term, two: Term, links: float, left: float, right: float) -> float:
    """Flops of one tr(A C A' Dᵀ): sparse products count tenfold, they wait for memory."""
    low = is_low_rank(one), is_low_rank(two)
    work = 10.0 * links * (left + right)
    if all(low):
        work += (0.2 if one is two else 0.4) * left * right * two.q  # of BLAS, several a cycle
    elif any(low) or max(left / one.q, right / two.q) > 0.2:
        work += 4.0 * one.q * two.q
    return work


def _memory(terms: tuple[Term, ...], width: list[float]) -> float:
    """Bytes of the covariances among levels and of the rows' designs."""
    stored = sum((8.0 if is_low_rank(term) else 12.0) * term.q * w for term, w in zip(terms, width, strict=True))
    return stored + sum(40.0 * term.k * len(term.codes) for term in terms)


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


moment_kinds.register("factors")(_Factors())
