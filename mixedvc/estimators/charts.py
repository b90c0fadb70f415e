"""Coordinates q of one term's Σ in which Newton steps neither leave the cone Σ ⪰ 0 nor stick to its edge (MATH: 1).

Variances (scalar terms, diag) and patterned structures move in their own parameters inside a box.  An
unstructured block moves on a face: Σ = B Bᵀ with B lower trapezoidal of the current rank.  A chart knows
θ(q), ∂θ/∂q and the curvature Σ_j s_j ∇²θ_j(q) that the chain rule adds to the information.
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

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        k, r = self.B.shape
        place = np.empty(k, dtype=int)
        place[self.order] = np.arange(k)
        rows, columns = np.nonzero(np.arange(r)[None, :] <= place[:, None])
        return rows, columns

    @property
    def q(self) -> Float:
        return self.B[self.entries]

    @property
    def lower(self) -> Float:
        return np.full(len(self.entries[0]), -INF)

    @property
    def upper(self) -> Float:
        return np.full(len(self.entries[0]), INF)

    def _B(self, q: Float) -> Float:
        B = np.zeros_like(self.B)
        B[self.entries] = q
        return B

    def sigma(self, q: Float) -> Float:
        B = self._B(q)
        return B @ B.T

    def jacobian(self) -> Float:
        rows, columns = (index[:, None] for index in self.entries)
        a, b = np.array(self.structure.pairs).T
        return (rows == a) * self.B[b, columns] + (rows == b) * self.B[a, columns]

    def curvature(self, score: Float) -> Float:
        S = _score_matrix(score, self.structure.pairs, len(self.B))
        rows, columns = self.entries
        return 2.0 * S[np.ix_(rows, rows)] * (columns[:, None] == columns)

    def moved(self, q: Float) -> FaceChart:
        return face_at(self.structure, self.sigma(q), self.drop_below, at_most=self.rank)

    def release(self, score: Float, information: Float) -> tuple[FaceChart, float] | None:
        """The chart one rank higher where the criterion would still rise, and the rise expected; else None.

        At a maximum on the cone ∂ℓ/∂Σ is negative semi-definite on the null space of Σ.
        """
        k = len(self.B)
        if self.rank == k:
            return None
        S = _score_matrix(score, self.structure.pairs, k)
        null = _null_space(self.B)
        values, vectors = la.small_eigh(null.T @ S @ null)
        if values[-1] <= 0:
            return None
        v = null @ vectors[:, -1]
        direction = np.array([v[a] * v[b] for a, b in self.structure.pairs])
        bend = float(direction @ information @ direction)
        step = values[-1] / bend if bend > 0 else 1e-3
        gain = 0.5 * values[-1] * step
        Sigma = self.B @ self.B.T + min(step, 1.0) * np.outer(v, v)
        return face_at(self.structure, Sigma, 1e-12, at_most=self.rank + 1), float(gain)


def _score_matrix(score: Float, pairs: tuple[tuple[int, int], ...], k: int) -> Float:
    """Symmetric S with dℓ = ⟨S, dΣ⟩ from ∂ℓ/∂θ (an off-diagonal θ moves two entries)."""
    S = np.zeros((k, k))
    for value, (a, b) in zip(score, pairs, strict=True):
        S[a, b] = S[b, a] = value if a == b else 0.5 * value
    return S


def _null_space(B: Float) -> Float:
    values, vectors = la.small_eigh(B @ B.T)
    return vectors[:, : len(B) - B.shape[1]] if values.size else vectors


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
    order = _pivots(root) if order is None else order
    # rotate the root so that it is lower trapezoidal in the pivot order (its gauge freedom is gone)
    Q, R = la.small_qr(root[order[:rank]].T) if rank else (np.zeros((0, 0)), np.zeros((0, 0)))
    B = root @ Q if rank else np.zeros((k, 0))
    if rank < k:  # zero is zero: an effect of next to no variance on this face has none
        B = np.where((B**2).sum(axis=1, keepdims=True) < _ZERO, 0.0, B)
    signs = np.where(np.diagonal(R) < 0, -1.0, 1.0) if rank else np.ones(0)
    return FaceChart(structure, B * signs, order, drop_below)


def _pivots(root: Float) -> NDArray[np.intp]:
    """Rows in the order of a pivoted Cholesky factorisation of root rootᵀ."""
    left = root @ root.T
    order: list[int] = []
    for _ in range(root.shape[1]):
        diagonal = np.diagonal(left).copy()
        diagonal[order] = -1.0
        pivot = int(np.argmax(diagonal))
        order.append(pivot)
        if left[pivot, pivot] > 0:
            left = left - np.outer(left[:, pivot], left[pivot]) / left[pivot, pivot]
    rest = [a for a in range(len(root)) if a not in order]
    return np.array(order + rest, dtype=np.intp)


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
    return replace(chart, q=q)


def chart_for(structure: Structure, Sigma: Float) -> Chart:
    """The chart in which a term starts at Σ (interior)."""
    if structure.name == "us" and structure.k > 1:
        return face_at(structure, Sigma, 1e-5)
    return box_chart(structure, structure.start(Sigma))


def box_chart(structure: Any, par: Float) -> Chart:
    """The chart in which a structure that is not free moves inside its bounds, from its parameters."""
    if structure.name == "cs" and structure.hom:
        k, (variance, rho) = structure.k, par
        return EigenChart(structure, variance * np.array([1.0 + (k - 1) * rho, 1.0 - rho]))
    if hasattr(structure, "correlation") and not structure.hom:
        return SdChart(structure, np.append(np.sqrt(par[:-1]), par[-1]))
    return BoxChart(structure, par)
