"""Coordinates of a whole model in which a profile holds one quantity: a standard deviation or a correlation of its own.

An unstructured Σ is B Bᵀ with B lower triangular in an order of our choice: the first effect's standard deviation is
then an entry of B; the second row is written as a standard deviation and an angle, whose sine is the correlation of the
first two.  Unlike the faces on which a fit moves
(`estimators.charts.FaceChart`) these coordinates keep full rank at a singular Σ, so that a path may leave it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..estimators.charts import (
    BoxChart,
    Chart,
    EigenChart,
    FaceChart,
    FactorChart,
    FixedChart,
    SdChart,
    box_chart,
    unmoved,
)
from ..estimators.newton import chart_parameters, scale_parameters
from ..estimators.start import Units
from ..linalg import dense as la
from ..structures.base import Structure
from .parameters import par_slices

Float = NDArray[np.float64]
INF = np.inf


@lru_cache(maxsize=256)
def _entries(order: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the entries of B, row by row in `order`."""
    pairs = [(row, column) for place, row in enumerate(order) for column in range(place + 1)]
    rows, columns = np.array(pairs, dtype=np.intp).T
    return rows, columns


@dataclass(frozen=True)
class TriangleChart:
    """Σ = M Mᵀ on the user's scale, M = T B, B (k×k, k > 1) lower triangular in the row order `order`.

    q are the entries of B, row by row, but for the second row (s sin φ, s cos φ), whose coordinates are s and φ.
    T is lower triangular in that order too: the first effect is the first coordinate times T₀₀.  With `signed` the
    first two standard deviations are not negative, so that sin φ keeps the sign of the correlation.
    """

    structure: Structure
    q: Float
    order: tuple[int, ...]
    T: Float
    signed: bool = False

    @property
    def lower(self) -> Float:
        out = np.full(len(self.q), -INF)
        if self.signed:
            out[:2] = 0.0
        return out

    @property
    def upper(self) -> Float:
        return np.full(len(self.q), INF)

    def _M(self, q: Float) -> Float:
        k = len(self.order)
        flat = q.copy()
        flat[1], flat[2] = q[1] * np.sin(q[2]), q[1] * np.cos(q[2])
        B = np.zeros((k, k))
        B[_entries(self.order)] = flat
        return self.T @ B

    def sigma(self, q: Float) -> Float:
        M = self._M(q)
        return M @ M.T

    @cached_property
    def _jacobian(self) -> Float:
        """∂θ/∂(entries of B)."""
        (r, c), M, T = _entries(self.order), self._M(self.q), self.T
        first, second = np.array(self.structure.pairs).T
        J = T[first[None, :], r[:, None]] * M[second[None, :], c[:, None]]
        J += T[second[None, :], r[:, None]] * M[first[None, :], c[:, None]]
        return J

    @cached_property
    def _turn(self) -> Float:
        """(2, 2) ∂(entries)/∂(s, φ) of the second row, one coordinate a row."""
        s, phi = self.q[1], self.q[2]
        return np.array([[np.sin(phi), np.cos(phi)], [s * np.cos(phi), -s * np.sin(phi)]])

    def jacobian(self) -> Float:
        J = self._jacobian.copy()
        J[1:3] = self._turn @ J[1:3]
        return J

    def curvature(self, score: Float) -> Float:
        r, c = _entries(self.order)
        S = self.T.T @ self._matrix(score) @ self.T
        C = 2.0 * S[np.ix_(r, r)] * (c[:, None] == c)
        C[1:3] = self._turn @ C[1:3]
        C[:, 1:3] = C[:, 1:3] @ self._turn.T
        along = self._jacobian[1:3] @ score
        s, phi = self.q[1], self.q[2]
        cross = along @ [np.cos(phi), -np.sin(phi)]
        C[1, 2] += cross
        C[2, 1] += cross
        C[2, 2] -= s * (along @ [np.sin(phi), np.cos(phi)])
        return C

    def reopened(self, score: Float) -> Iterator[Float]:
        """Coordinates with the first two effects, of zero variance, opened along ∂ℓ/∂Σ's largest eigenvector.

        Where both roots are zero, the second derivatives do not hold the angle between them.
        """
        first = np.ix_(self.order[:2], self.order[:2])
        values, vectors = la.small_eigh((self.T.T @ self._matrix(score) @ self.T)[first])
        if values[-1] <= 0.0:
            return
        v = vectors[:, -1]
        for size in (0.5, 0.15, 0.05, 0.015):
            q = self.q.copy()
            q[:3] = size * abs(v[0]), size * abs(v[1]), np.pi / 2 * (1.0 if v[0] * v[1] >= 0 else -1.0)
            yield q

    def _matrix(self, score: Float) -> Float:
        """S with dℓ = ⟨S, dΣ⟩ from ∂ℓ/∂θ: an off-diagonal θ moves two entries."""
        k = len(self.order)
        S = np.zeros((k, k))
        for value, (a, b) in zip(score, self.structure.pairs, strict=True):
            S[a, b] = S[b, a] = value if a == b else 0.5 * value
        return S

    def moved(self, q: Float) -> TriangleChart:
        return TriangleChart(self.structure, q, self.order, self.T, self.signed)


def triangle_chart(
    structure: Structure, Sigma: Float, scale: Float, first: tuple[int, ...] = (), together: Float | None = None
) -> TriangleChart:
    """The chart at Σ (user's scale) with the effects `first` at the top of the order, the others by decreasing size.

    Parameters
    ----------
    scale : (k,)
        A natural standard deviation of each effect.
    together : (k, k), optional
        Correlations of the effects' values over the rows: the coordinates then belong to combinations of effects that
        are orthogonal there.  An intercept and a slope on years are next to collinear, and only so told apart.
    """
    relative = np.diagonal(Sigma) / scale**2
    by_size = np.argsort(-relative, kind="stable")
    order = (*first, *(int(a) for a in by_size if a not in first))
    at = np.ix_(order, order)
    T = np.diag(scale[list(order)])
    if together is not None:
        T = T @ _orthogonal(together[at])
    half = la.solve_triangular(T, Sigma[at])
    B = _triangle(la.solve_triangular(T, half.T))
    q = B[np.tril_indices(len(B))]
    s = float(np.hypot(q[1], q[2]))
    q[1], q[2] = s, (np.arctan2(q[1], abs(q[2])) if s > 0 else 0.0)
    whole = np.zeros_like(T)
    whole[at] = T
    return TriangleChart(structure, q, order, whole)


def _orthogonal(G: Float) -> Float:
    """C lower triangular with CᵀGC = I for the correlations G of some effects; I where they are collinear."""
    try:
        L = la.cholesky(np.ascontiguousarray(G[::-1, ::-1]))
    except la.NotPositiveDefinite:
        return np.eye(len(G))
    R = L[::-1, ::-1].T  # lower triangular, G = RᵀR
    return la.solve_triangular(R, np.eye(len(G))) if np.diagonal(L).min() > 1e-7 else np.eye(len(G))


def _triangle(Sigma: Float) -> Float:
    """Lower triangular B with B Bᵀ = Σ for a positive semi-definite Σ; columns of pivots that are rounding are zero."""
    B, left = np.zeros_like(Sigma), 0.5 * (Sigma + Sigma.T)
    least = 1e-13 * max(float(np.diagonal(Sigma).max()), 1e-300)
    for j in range(len(Sigma)):
        if left[j, j] > least:
            B[j:, j] = left[j:, j] / np.sqrt(left[j, j])
            left = left - np.outer(B[:, j], B[:, j])
    return B


@dataclass(frozen=True)
class Space:
    """Charts of every term, the residual last, as one vector of coordinates q.

    Attributes
    ----------
    charts : tuple of Chart
        Where `q` starts; charts at other coordinates are made by `at`.
    """

    spec: ModelSpec
    units: Units
    charts: tuple[Chart, ...]

    @cached_property
    def q(self) -> Float:
        return np.concatenate([chart.q for chart in self.charts])

    @cached_property
    def lower(self) -> Float:
        return np.concatenate([chart.lower for chart in self.charts])

    @cached_property
    def upper(self) -> Float:
        return np.concatenate([chart.upper for chart in self.charts])

    @cached_property
    def slices(self) -> list[slice]:
        """Each term's stretch of q."""
        return _stretches([len(chart.q) for chart in self.charts])

    @cached_property
    def _theta_slices(self) -> list[slice]:
        return _stretches([len(chart.structure.pairs) for chart in self.charts])

    @cached_property
    def _factor(self) -> Float:
        """(m,) θ on the user's scale = factor · the charts' θ."""
        out = self.units.factor.copy()
        for chart, at in zip(self.charts, self._theta_slices, strict=True):
            if isinstance(chart, TriangleChart):
                out[at] = 1.0
        return out

    @cached_property
    def _pairs(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        return [tuple(np.array(chart.structure.pairs).T) for chart in self.charts]

    def theta(self, q: Float) -> Float:
        """Linear parameters on the user's scale."""
        parts = zip(self.charts, self.slices, self._pairs, strict=True)
        return self._factor * np.concatenate([chart.sigma(q[of])[pair] for chart, of, pair in parts])

    def at(self, q: Float) -> list[Chart]:
        """The charts at q."""
        return [_kept(chart, q[of]) for chart, of in zip(self.charts, self.slices, strict=True)]

    def jacobian(self, charts: Sequence[Chart]) -> Float:
        """(len(q), m) ∂θ/∂q on the user's scale."""
        J = np.zeros((len(self.q), len(self._factor)))
        for chart, of, at in zip(charts, self.slices, self._theta_slices, strict=True):
            J[of, at] = chart.jacobian()
        return J * self._factor

    def curvature(self, charts: Sequence[Chart], score: Float) -> Float:
        """(len(q), len(q)) Σ_j score_j ∇²θ_j, `score` on the user's scale."""
        C = np.zeros((len(self.q),) * 2)
        scaled = score * self._factor
        for chart, of, at in zip(charts, self.slices, self._theta_slices, strict=True):
            C[of, of] = chart.curvature(scaled[at])
        return C

    def par(self, q: Float) -> Float:
        """Structure parameters on the user's scale."""
        out = []
        for i, chart in enumerate(self.at(q)):
            Sigma = self.sigma(i, q)
            if chart.structure.linear:
                out.append(Sigma[self._pairs[i]])
            else:
                out.append(chart_parameters(chart, self.units, i, Sigma)[0])
        return np.concatenate(out)

    def sigma(self, term: int, q: Float) -> Float:
        """Σ of a term on the user's scale."""
        chart = self.charts[term]
        Sigma = chart.sigma(q[self.slices[term]])
        return Sigma if isinstance(chart, TriangleChart) else up(self.units, term, Sigma)

    def triangle(self, term: int, first: tuple[int, ...] = (), *, orthogonal: bool = True) -> TriangleChart:
        """The chart of an unstructured term where it stands, with the effects `first` at the top."""
        return triangle_of(self.spec, self.units, term, self.sigma(term, self.q), first, orthogonal=orthogonal)

    def reopened(self, q: Float, score: Float, held: int | None) -> Iterator[Float]:
        """Coordinates with effects opened whose zero variance the criterion's first two derivatives may not see.

        Parameters
        ----------
        held : int or None
            A coordinate that may not move: its chart stays as it is.
        """
        for chart, of, at in zip(self.at(q), self.slices, self._theta_slices, strict=True):
            if held is not None and of.start <= held < of.stop:
                continue
            for part in _reopened(chart, score[at]):
                x = q.copy()
                x[of] = part
                yield x

    def with_chart(self, term: int, chart: Chart) -> Space:
        """The same space with another chart of one term."""
        return Space(self.spec, self.units, (*self.charts[:term], chart, *self.charts[term + 1 :]))

    def without(self, terms: Sequence[int]) -> Space:
        """The same space with some terms' Σ held at zero."""
        out = self
        for i in terms:
            structure = self.charts[i].structure
            out = out.with_chart(i, FixedChart(structure, np.zeros(structure.n_par)))
        return out

    def moved(self, q: Float) -> Space:
        """The same space, starting at q."""
        return Space(self.spec, self.units, tuple(self.at(q)))

    def scaled(self, term: int) -> Float:
        """Scaled structure parameters of a term at the start."""
        return _scaled(self.charts[term].structure, self.par(self.q)[par_slices(self.spec)[term]], self.units, term)


def triangle_of(
    spec: ModelSpec, units: Units, term: int, Sigma: Float, first: tuple[int, ...] = (), *, orthogonal: bool = True
) -> TriangleChart:
    """The triangle of a term at Σ (user's scale)."""
    t = spec.all_terms[term]
    scale = np.sqrt(units.variance) / units.sizes[term]
    if not orthogonal:
        return triangle_chart(t.structure, Sigma, scale, first)
    G = t.basis.T @ t.basis
    size = np.sqrt(np.maximum(np.diagonal(G), 1e-300))
    return triangle_chart(t.structure, Sigma, scale, first, G / np.outer(size, size))


def _kept(chart: Any, q: Float) -> Chart:
    """The chart at q in the same coordinates: factors keep the order of their rows and their signs."""
    if isinstance(chart, FactorChart):
        psi, B = chart.split(q)
        return replace(chart, psi=psi, B=B)
    if isinstance(chart, FaceChart):
        return replace(chart, B=chart.root(q))
    return unmoved(chart, q)


def _reopened(chart: Any, score: Float) -> Iterator[Float]:
    if isinstance(chart, SdChart):
        yield from (other.q for other in chart.reopened())
    elif isinstance(chart, TriangleChart) and max(abs(chart.q[0]), abs(chart.q[1])) < 1e-6:
        yield from chart.reopened(score)


def space_at(spec: ModelSpec, units: Units, theta: Float, par: Float, fixed: NDArray[np.bool_]) -> Space:
    """Charts of every term at an estimate (user's scale); terms held fixed have no coordinates."""
    charts: list[Chart] = []
    sigmas = spec.sigmas(theta)
    for i, (term, of) in enumerate(zip(spec.all_terms, par_slices(spec), strict=True)):
        structure = term.structure
        scaled = _scaled(structure, par[of], units, i)
        if fixed[of].any():
            charts.append(FixedChart(structure, scaled))
        elif structure.name == "us" and structure.k > 1:
            charts.append(triangle_of(spec, units, i, sigmas[i]))
        else:
            charts.append(box_chart(structure, scaled))
    return Space(spec, units, tuple(charts))


def up(units: Units, term: int, Sigma: Float) -> Float:
    """Scaled Σ → the user's: every effect in its own unit, and no other mixing, so that an effect is a coordinate."""
    d = 1.0 / units.sizes[term]
    return units.variance * d[:, None] * Sigma * d


def _scaled(structure: Any, par: Float, units: Units, term: int) -> Float:
    """Structure parameters on the user's scale → scaled."""
    if not structure.linear:
        return scale_parameters(structure, par, units, term, up=False)
    d = units.sizes[term]
    return np.array([value * d[a] * d[b] for value, (a, b) in zip(par, structure.pairs, strict=True)]) / units.variance


def coordinate_chart(structure: Any, par: Float) -> Chart:
    """A chart of a patterned structure in which every parameter is a coordinate (a variance perhaps by its root)."""
    chart = box_chart(structure, par)
    return BoxChart(structure, par) if isinstance(chart, (EigenChart, FaceChart, FactorChart)) else chart


def _stretches(sizes: Sequence[int]) -> list[slice]:
    stops = np.cumsum([0, *sizes])
    return [slice(int(a), int(b)) for a, b in pairwise(stops)]
