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
from ..linalg.stacks import stacked_cholesky, stacked_triangular_inverse

Float = NDArray[np.float64]
Count = int | NDArray[np.intp]


class Evidence(Protocol):
    """A log-likelihood of Σ."""

    @property
    def size(self) -> float:
        """About how many independent rows there are."""
        ...

    def log_density(self, Sigma: Float) -> Float:
        """(K,) of Σ (K, k, k) up to a constant; −∞ where it is not positive definite."""
        ...


@dataclass(frozen=True)
class Scatter:
    """S (k, k) = uᵀA⁻¹u and its degrees of freedom `count`, (k,) where independent effects differ in theirs."""

    S: Float
    count: Count

    @property
    def size(self) -> float:
        return float(np.min(self.count))

    def log_density(self, Sigma: Float) -> Float:
        variances = np.einsum("nii->ni", Sigma)
        good = variances.min(axis=1) > 0.0
        v = np.where(good[:, None], variances, 1.0)
        if np.ndim(self.count) or Sigma.shape[1] == 1:  # independent effects
            out = -0.5 * (self.count * np.log(v) + np.diagonal(self.S) / v).sum(axis=1)
            return np.where(good, out, -np.inf)
        outer = np.sqrt(v[:, :, None] * v[:, None, :])  # effects may have any units
        L, definite = stacked_cholesky(Sigma / outer)
        inverse = stacked_triangular_inverse(L)
        logdet = 2.0 * np.log(np.einsum("nii->ni", L)).sum(axis=1) + np.log(v).sum(axis=1)
        trace = np.einsum("nai,naj,nij->n", inverse, inverse, self.S / outer)
        return np.where(good & definite, -0.5 * (self.count * logdet + trace), -np.inf)


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

    @property
    def size(self) -> float:
        return self.records.n / self.records.k

    def log_density(self, Sigma: Float) -> Float:
        out = np.full(len(Sigma), -np.inf)
        for i, S in enumerate(Sigma):
            try:
                numbers, logdet = self.records.inverse(S)
            except la.NotPositiveDefinite:
                continue
            out[i] = -0.5 * (logdet + float(numbers @ self.sums))
        return out
