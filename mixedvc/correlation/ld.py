"""Correlations among features (linkage disequilibrium) of a reference panel, summed feature by feature in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Array, Positions
from ..errors import DataError
from ..linalg.columns import orthonormal
from ..linalg.memory import require

Float = NDArray[np.float64]
_CHUNK_BYTES = 32 * 2**20
_CONSTANT = 1e-10  # norm left by the covariates, relative to the norm before, below which a feature does not vary


@dataclass(frozen=True)
class Panel:
    """Features of reference individuals, free of an intercept and covariates, standardised as they are read.

    Attributes
    ----------
    matrix : (n, k) array
        As given; never copied whole.
    columns : (m,) intp
        Those in use, in the order of use.
    Q : (n, c)
        Orthonormal basis of the intercept and the covariates.
    norms : (m,)
        Length of each column free of Q.
    """

    matrix: Array
    columns: Positions
    Q: Float
    norms: Float

    @property
    def nu(self) -> int:
        """Degrees of freedom: individuals less intercept and covariates."""
        return self.Q.shape[0] - self.Q.shape[1]

    @property
    def m(self) -> int:
        return len(self.columns)

    def take(self, at: NDArray[np.intp]) -> Panel:
        """The panel of some of its features."""
        return Panel(self.matrix, self.columns[at], self.Q, self.norms[at])

    def chunks(self) -> Iterator[tuple[slice, Float]]:
        """(which features, their columns of unit length (n, c)), a few at a time."""
        for part in _parts(self.matrix.shape[0], self.m):
            yield part, _free(self.matrix[:, self.columns[part]], self.Q) / self.norms[part]


def panel_of(matrix: Array, covariates: Float | None, what: str) -> Panel:
    """A panel of all columns; those that do not vary have norm 0.

    Raises
    ------
    DataError
        Fewer than three degrees of freedom, missing or infinite values.
    """
    n, k = matrix.shape
    C = np.ones((n, 1)) if covariates is None else np.column_stack([np.ones(n), covariates])
    Q = orthonormal(C)
    if n - Q.shape[1] < 3:
        raise DataError(f"{what} has {n} individuals: too few for correlations among features")
    norms = np.empty(k)
    for part in _parts(n, k):
        raw = np.array(matrix[:, part], dtype=np.float64)
        bad = np.flatnonzero(~np.isfinite(raw).all(axis=0))
        if len(bad):
            raise DataError(
                f"{what} has missing or infinite values in column {part.start + int(bad[0])}: impute them first, e.g. "
                "with the column's mean"
            )
        before = np.sqrt(np.square(raw).sum(axis=0))
        left = np.sqrt(np.square(_free(raw, Q)).sum(axis=0))
        norms[part] = np.where(left > _CONSTANT * before, left, 0.0)
    return Panel(matrix, np.arange(k), Q, norms)


def ld_sums(one: Panel, two: Panel) -> Float:
    """(m,) Σ_k r_jk r'_jk over the features k, r in one panel and r' in the other (or the same).

    Through WW'ᵀ (n×n') or the m×m correlations, whichever is smaller.
    """
    n1, n2, m = one.matrix.shape[0], two.matrix.shape[0], one.m
    out = np.empty(m)
    if m <= max(n1, n2):
        require(16 * m * m, f"correlations among {m:,} features", "Use fewer features.")
        R = _correlations(one)
        R *= R if two is one else _correlations(two)
        return R.sum(axis=0)
    require(8 * n1 * n2, f"products of {n1:,} × {n2:,} individuals of the panel", "Use a smaller panel.")
    C = np.zeros((n1, n2))
    for (_, G), (_, H) in _together(one, two):
        C += G @ H.T
    for (part, G), (_, H) in _together(one, two):
        out[part] = np.einsum("ij,ij->j", G, C @ H)
    return out


def unbiased(sums: Float, nu: int) -> Float:
    """Σ_k ρ_jk² from Σ_k r_jk² of a panel of ν degrees of freedom: r² − (1 − r²)/(ν − 1) has the mean ρ², nearly."""
    return (nu * sums - len(sums)) / (nu - 1)


def _together(one: Panel, two: Panel) -> Iterator[tuple[tuple[slice, Float], tuple[slice, Float]]]:
    """The same features of both panels at a time."""
    if two is one:
        yield from ((chunk, chunk) for chunk in one.chunks())
        return
    for part in _parts(max(one.matrix.shape[0], two.matrix.shape[0]), one.m):
        at = np.arange(part.start, part.stop)
        (_, G), (_, H) = (next(iter(_whole(p.take(at)))) for p in (one, two))
        yield (part, G), (part, H)


def _whole(panel: Panel) -> Iterator[tuple[slice, Float]]:
    yield slice(0, panel.m), _free(panel.matrix[:, panel.columns], panel.Q) / panel.norms


def _correlations(panel: Panel) -> Float:
    G = np.concatenate([G for _, G in panel.chunks()], axis=1)
    return G.T @ G


def _free(raw: Array, Q: Float) -> Float:
    """Columns free of Q, centred first: a projection alone leaves rounding of a large mean."""
    G = np.array(raw, dtype=np.float64)
    G -= G.mean(axis=0)
    if Q.shape[1] > 1:  # more than the intercept
        G -= Q @ (Q.T @ G)
    return G


def _parts(n: int, m: int) -> Iterator[slice]:
    width = max(1, _CHUNK_BYTES // (8 * n))
    return (slice(start, min(start + width, m)) for start in range(0, m, width))
