"""Coordinates q of one term's Σ in which Newton steps neither leave the cone Σ ⪰ 0 nor stick to its edge (MATH: 1).

Variances (scalar terms, diag) and patterned structures move in their own parameters inside a box.  An
unstructured block, or one of few factors, moves on a face: Σ = B Bᵀ with B lower trapezoidal of the current rank; a
factor-analytic one in its specific variances and such a B.  A chart knows θ(q), ∂θ/∂q and the curvature
Σ_j s_j ∇²θ_j(q) that the chain rule adds to the information.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..structures.base import Structure
from ..structures.factors import FactorAnalytic, ReducedRank
from .root_entries import free_entries, pivots, rise, root_curvature, root_jacobian

Float = NDArray[np.float64]
INF = np.inf
_ZERO = 1e-14  # a scaled variance on a face that is rounding


class Chart(Protocol):
    """Σ near the current point, in coordinates `q`."""

    @property
    def structure(self) -> Structure: ...
    @property
    def q(self) -> Float: ...
    @property
    def lower(self) -> Float: ...
    @property
    def upper(self) -> Float: ...

    def sigma(self, q: Float) -> Float: ...
    def jacobian(self) -> Float:
        """(len(q), m_term) ∂θ/∂q at `q`."""
        ...

    def curvature(self, score: Float) -> Float:
        """(len(q), len(q)) Σ_j score_j ∇²θ_j at `q`."""
        ...

    def moved(self, q: Float) -> Chart:
        """The chart to use after a step to q (a face may lose rank)."""
        ...


@dataclass(frozen=True)
class BoxChart:
    """Structure parameters themselves, inside their bounds; `scale` is Σ's unit, see `newton.Units`."""

    structure: Structure
    q: Float

    @cached_property
    def lower(self) -> Float:
        return self.structure.bounds()[0]

    @cached_property
    def upper(self) -> Float:
        return self.structure.bounds()[1]

    def sigma(self, q: Float) -> Float:
        return self.structure.build(q)

    def _jacobian_at(self, q: Float) -> Float:
        first, second = np.array(self.structure.pairs).T
        return self.structure.gradient(q)[:, first, second]

    def jacobian(self) -> Float:
        return self._jacobian_at(self.q)

    def curvature(self, score: Float) -> Float:
        if self.structure.linear:
            return np.zeros((len(self.q),) * 2)
        return numeric_curvature(self._jacobian_at, self.q, score, self.lower, self.upper)

    def moved(self, q: Float) -> BoxChart:
        return BoxChart(self.structure, q)


@dataclass(frozen=True)
class SdChart:
    """Patterned Σ = D R(ρ) D in standard deviations and ρ, where it is smooth up to and at a zero variance."""

    structure: Any
    q: Float  # (n_par,) standard deviation(s), then ρ

    @cached_property
    def lower(self) -> Float:
        return self.structure.bounds()[0]

    @cached_property
    def upper(self) -> Float:
        return self.structure.bounds()[1]

    def parameters(self) -> Float:
        """Variances and ρ."""
        return np.append(self.q[:-1] ** 2, self.q[-1])

    def sigma(self, q: Float) -> Float:
        return self.structure.build(np.append(q[:-1] ** 2, q[-1]))

    def _jacobian_at(self, q: Float) -> Float:
        R, dR = self.structure.correlation(q[-1])
        own = _stratum(self.structure)
        d = q[:-1][own]
        G = np.empty((len(q), len(d), len(d)))
        for j in range(len(q) - 1):
            half = (own == j)[:, None] * R * d
            G[j] = half + half.T
        G[-1] = d[:, None] * dR * d
        first, second = np.array(self.structure.pairs).T
        return G[:, first, second]

    def jacobian(self) -> Float:
        return self._jacobian_at(self.q)

    def curvature(self, score: Float) -> Float:
        return numeric_curvature(self._jacobian_at, self.q, score, self.lower, self.upper)

    def reopened(self) -> list[SdChart]:
        """Charts with one zero standard deviation opened and other correlations: at zero ρ may have lost its score."""
        out = []
        for a in np.flatnonzero(self.q[:-1] == 0.0):
            for rho in (0.9 * self.lower[-1], 0.0, 0.9 * self.upper[-1]):
                for size in (0.3, 0.1, 0.03):
                    q = self.q.copy()
                    q[a], q[-1] = size, rho
                    out.append(SdChart(self.structure, q))
        return out

    def moved(self, q: Float) -> SdChart:
        sd = np.where(q[:-1] < 1e-5, 0.0, q[:-1])  # scaled: a variance of 1e-10 of the response's is zero
        return SdChart(self.structure, np.append(sd, q[-1]))


def _stratum(structure: Any) -> NDArray[np.intp]:
    """(k,) which of its variances each effect of a patterned structure has."""
    own = getattr(structure, "stratum", None)
    if own is not None:
        return np.array(own, dtype=np.intp)
    return np.zeros(structure.k, dtype=np.intp) if structure.hom else np.arange(structure.k)


@dataclass(frozen=True)
class EigenChart:
    """Homogeneous compound symmetry in its two eigenvalues σ²(1 + (k−1)ρ) and σ²(1 − ρ), where it is linear."""

    structure: Any
    q: Float  # (2,) both at least zero

    lower = np.zeros(2)
    upper = np.full(2, INF)

    @cached_property
    def _map(self) -> Float:
        k = self.structure.k
        on = np.array([a == b for a, b in self.structure.pairs])
        return np.stack([np.full(len(on), 1.0 / k), np.where(on, (k - 1.0) / k, -1.0 / k)])

    def parameters(self) -> Float:
        """Variance and ρ (0 where the variance is zero)."""
        k = self.structure.k
        variance = (self.q[0] + (k - 1) * self.q[1]) / k
        return np.array([variance, (self.q[0] - self.q[1]) / (k * variance) if variance > 0 else 0.0])

    def sigma(self, q: Float) -> Float:
        k = self.structure.k
        return (q[0] - q[1]) / k + q[1] * np.eye(k)

    def jacobian(self) -> Float:
        return self._map

    def curvature(self, score: Float) -> Float:
        return np.zeros((2, 2))

    def moved(self, q: Float) -> EigenChart:
        return EigenChart(self.structure, q)


def numeric_curvature(jacobian: Callable[[Float], Float], q: Float, score: Float, lower: Float, upper: Float) -> Float:
    """Σ_j score_j ∇²θ_j by differences of the Jacobian inside the bounds."""
    n = len(q)
    C = np.empty((n, n))
    for i in range(n):
        h = 1e-6 * max(1.0, abs(q[i]))
        up, down = q.copy(), q.copy()
        up[i], down[i] = min(up[i] + h, upper[i]), max(down[i] - h, lower[i])
        C[i] = (jacobian(up) - jacobian(down)) @ score / (up[i] - down[i])
    return 0.5 * (C + C.T)


@dataclass(frozen=True)
class FaceChart:
    """Σ = B Bᵀ, B (k × r) lower trapezoidal in the row order `order`; q are its entries, row by row."""

    structure: Structure
    B: Float
    order: NDArray[np.intp]
    drop_below: float = 1e-5

    @property
    def rank(self) -> int:
        return self.B.shape[1]

    @property
    def most(self) -> int:
        """The highest rank that the structure has."""
        return int(getattr(self.structure, "factors", len(self.B)))

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return free_entries(self.B, self.order)

    @property
    def q(self) -> Float:
        return self.B[self.entries]

    @property
    def lower(self) -> Float:
        return np.full(len(self.entries[0]), -INF)

    @property
    def upper(self) -> Float:
        return np.full(len(self.entries[0]), INF)

    def root(self, q: Float) -> Float:
        B = np.zeros_like(self.B)
        B[self.entries] = q
        return B

    def sigma(self, q: Float) -> Float:
        B = self.root(q)
        return B @ B.T

    def jacobian(self) -> Float:
        return root_jacobian(self.B, self.entries, self.structure.pairs)

    def curvature(self, score: Float) -> Float:
        return root_curvature(score, self.entries, self.structure.pairs, len(self.B))

    def moved(self, q: Float) -> FaceChart:
        return face_at(self.structure, self.sigma(q), self.drop_below, at_most=self.rank)

    def release(self, score: Float, information: Float) -> tuple[FaceChart, float] | None:
        """The chart one rank higher where the criterion would still rise, and the rise expected; else None.

        At a maximum on the cone ∂ℓ/∂Σ is negative semi-definite on the null space of Σ.
        """
        if self.rank == self.most:
            return None
        found = rise(self.B, self.structure.pairs, score, information)
        if found is None:
            return None
        Sigma, gain = found
        return face_at(self.structure, Sigma, 1e-12, at_most=self.rank + 1), gain


@dataclass(frozen=True)
class FactorChart:
    """Σ = B Bᵀ + diag(ψ): ψ in a box from zero, B (k × r) lower trapezoidal in the row order `order`.

    q are ψ and the entries of B, row by row.  r falls below the structure's number of factors where one vanishes.
    """

    structure: Any
    psi: Float
    B: Float
    order: NDArray[np.intp]
    drop_below: float = 1e-5

    @property
    def rank(self) -> int:
        return self.B.shape[1]

    @property
    def most(self) -> int:
        """The structure's number of factors."""
        return int(self.structure.factors)

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        return free_entries(self.B, self.order)

    @property
    def q(self) -> Float:
        return np.append(self.psi, self.B[self.entries])

    @property
    def lower(self) -> Float:
        return np.append(np.zeros(len(self.psi)), np.full(len(self.entries[0]), -INF))

    @property
    def upper(self) -> Float:
        return np.full(len(self.psi) + len(self.entries[0]), INF)

    def parameters(self) -> Float:
        """The structure's own: ψ and Λ."""
        return np.asarray(self.structure.join(self.psi, self.B))

    def split(self, q: Float) -> tuple[Float, Float]:
        """ψ (k,) and B (k × r)."""
        B = np.zeros_like(self.B)
        B[self.entries] = q[len(self.psi) :]
        return q[: len(self.psi)], B

    def sigma(self, q: Float) -> Float:
        psi, B = self.split(q)
        return B @ B.T + np.diag(psi)

    def jacobian(self) -> Float:
        a, b = np.array(self.structure.pairs).T
        own = 1.0 * ((np.arange(len(self.psi))[:, None] == a) & (a == b))
        return np.concatenate([own, root_jacobian(self.B, self.entries, self.structure.pairs)])

    def curvature(self, score: Float) -> Float:
        k = len(self.psi)
        out = np.zeros((k + len(self.entries[0]),) * 2)
        out[k:, k:] = root_curvature(score, self.entries, self.structure.pairs, k)
        return out

    def moved(self, q: Float) -> FactorChart:
        psi, B = self.split(q)
        return factors_at(self.structure, psi, B, self.drop_below)

    def release(self, score: Float, information: Float) -> tuple[FactorChart, float] | None:
        """The chart with one more factor where the criterion would still rise, and the rise expected; else None."""
        if self.rank == self.most:
            return None
        found = rise(self.B, self.structure.pairs, score, information)
        if found is None:
            return None
        common, gain = found
        return factors_at(self.structure, self.psi, la.small_root(common), 1e-12, at_most=self.rank + 1), gain


def factors_at(structure: Any, psi: Float, L: Float, drop_below: float, at_most: int | None = None) -> FactorChart:
    """Chart of L Lᵀ + diag(ψ), L any root; factors of a variance up to `drop_below` (scaled) leave."""
    limit = structure.factors if at_most is None else at_most
    face = face_at(structure, L @ L.T, drop_below, at_most=min(limit, L.shape[1]))
    return FactorChart(structure, psi, face.B, face.order)


def face_at(
    structure: Structure,
    Sigma: Float,
    drop_below: float,
    at_most: int | None = None,
    order: NDArray[np.intp] | None = None,
) -> FaceChart:
    """Chart of the face of Σ: rank = eigenvalues above `drop_below` (Σ in units of its scale).

    `order` keeps the rows' order of an earlier chart, so that the coordinates of the two can be compared.
    """
    values, vectors = la.small_eigh(Sigma)
    k = len(values)
    rank = int((values > drop_below).sum())
    rank = min(rank, at_most) if at_most is not None else rank
    root = vectors[:, k - rank :] * np.sqrt(np.maximum(values[k - rank :], 0.0))
    order = pivots(root) if order is None else order
    # rotate the root so that it is lower trapezoidal in the pivot order (its gauge freedom is gone)
    Q, R = la.small_qr(root[order[:rank]].T) if rank else (np.zeros((0, 0)), np.zeros((0, 0)))
    B = root @ Q if rank else np.zeros((k, 0))
    if rank < k:  # zero is zero: an effect of next to no variance on this face has none
        B = np.where((B**2).sum(axis=1, keepdims=True) < _ZERO, 0.0, B)
    signs = np.where(np.diagonal(R) < 0, -1.0, 1.0) if rank else np.ones(0)
    return FaceChart(structure, B * signs, order, drop_below)


@dataclass(frozen=True)
class FixedChart:
    """A Σ that is held: no coordinates."""

    structure: Structure
    par: Float

    q = np.empty(0)
    lower = np.empty(0)
    upper = np.empty(0)

    def sigma(self, q: Float) -> Float:
        return self.structure.build(self.par)

    def jacobian(self) -> Float:
        return np.empty((0, len(self.structure.pairs)))

    def curvature(self, score: Float) -> Float:
        return np.empty((0, 0))

    def moved(self, q: Float) -> FixedChart:
        return self


def unmoved(chart: Any, q: Float) -> Chart:
    """The chart at q with every rank and standard deviation it has, however small."""
    if isinstance(chart, FixedChart):
        return chart
    if isinstance(chart, FaceChart):
        face = face_at(chart.structure, chart.sigma(q), 0.0, at_most=chart.rank)
        return replace(face, drop_below=chart.drop_below)
    if isinstance(chart, FactorChart):
        return factors_at(chart.structure, *chart.split(q), 0.0)
    return replace(chart, q=q)


def chart_for(structure: Structure, Sigma: Float) -> Chart:
    """The chart in which a term starts at Σ (interior)."""
    if structure.name == "us" and structure.k > 1:
        return face_at(structure, Sigma, 1e-5)
    if isinstance(structure, FactorAnalytic):
        return box_chart(structure, structure.near(Sigma))
    return box_chart(structure, structure.start(Sigma))


def box_chart(structure: Any, par: Float) -> Chart:
    """The chart in which a structure that is not free moves inside its bounds, from its parameters."""
    if isinstance(structure, FactorAnalytic):
        return factors_at(structure, *structure.split(par), 1e-12)
    if isinstance(structure, ReducedRank):
        face = face_at(structure, structure.build(par), 1e-12, at_most=structure.factors)
        return replace(face, drop_below=1e-5)
    if structure.name == "cs" and structure.hom:
        k, (variance, rho) = structure.k, par
        return EigenChart(structure, variance * np.array([1.0 + (k - 1) * rho, 1.0 - rho]))
    if hasattr(structure, "correlation") and not structure.hom:
        return SdChart(structure, np.append(np.sqrt(par[:-1]), par[-1]))
    return BoxChart(structure, par)
