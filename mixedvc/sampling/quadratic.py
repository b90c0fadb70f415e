"""What effects say of their Σ: the scatter S of `count` independent rows, or of records that lack some cells.

log p(u | Σ) = −½ (count log|Σ| + tr(Σ⁻¹S)) + constant
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..likelihood.sparse_residual import Records
from ..linalg import dense as la

Float = NDArray[np.float64]
Count = int | NDArray[np.intp]


class Evidence(Protocol):
    """A log-likelihood of Σ."""

    def log_density(self, Sigma: Float) -> float:
        """Up to a constant; −∞ where Σ is not positive definite."""
        ...


@dataclass(frozen=True)
class Scatter:
    """S (k, k) = uᵀA⁻¹u and its degrees of freedom `count`, (k,) where independent effects differ in theirs."""

    S: Float
    count: Count

    def log_density(self, Sigma: Float) -> float:
        if np.ndim(self.count) or len(Sigma) == 1:  # independent effects
            variances = np.diagonal(Sigma)
            if not variances.min() > 0.0:
                return -np.inf
            return float(-0.5 * np.sum(self.count * np.log(variances) + np.diagonal(self.S) / variances))
        size = np.sqrt(np.maximum(np.diagonal(Sigma), 0.0))  # effects may have any units
        if not size.min() > 0.0:
            return -np.inf
        outer = size[:, None] * size
        try:
            L = la.small_cholesky(Sigma / outer)
        except la.NotPositiveDefinite:
            return -np.inf
        logdet = 2.0 * float(np.log(np.diagonal(L)).sum() + np.log(size).sum())
        half = la.solve_triangular(L, la.solve_triangular(L, self.S / outer).T)
        return -0.5 * (float(self.count) * logdet + float(np.trace(half)))


@dataclass(frozen=True)
class RecordScatter:
    """Residuals of records that lack some cells: sums of products of the cells that records of a kind have."""

    records: Records
    sums: Float  # in the order of the numbers of R⁻¹

    @staticmethod
    def of(records: Records, e: Float) -> RecordScatter:
        """From residuals (n,) of unit weight."""
        products = e[records.first] * e[records.second]
        return RecordScatter(records, np.bincount(records.number, products, records.size).astype(np.float64))

    def log_density(self, Sigma: Float) -> float:
        try:
            numbers, logdet = self.records.inverse(Sigma)
        except la.NotPositiveDefinite:
            return -np.inf
        return -0.5 * (logdet + float(numbers @ self.sums))
