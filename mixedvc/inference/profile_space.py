"""Coordinates of a whole model in which a profile holds one quantity: a standard deviation or a correlation of its own.

An unstructured Σ is B Bᵀ with B lower triangular in an order of our choice: the first effect's standard deviation is
then an entry of B; the second row is written as a standard deviation and an angle, whose sine is the correlation of the
first two.  Unlike the faces on which a fit moves
(`estimators.charts.FaceChart`) these coordinates keep full rank at a singular Σ, so that a path may leave it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..estimators.charts import BoxChart, Chart, EigenChart, FixedChart, box_chart, unmoved
from ..estimators.newton import chart_parameters, scale_parameters
from ..estimators.start import Units
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
    """Σ = B Bᵀ, B (k×k, k > 1) lower triangular in the row order `order`, of full rank or not.

    q are its entries, row by row, but for the second row (s sin φ, s cos φ), whose coordinates are s and φ.
    """

    structure: Structure
    q: Float
    order: tuple[int, ...]

    @property
    def lower(self) -> Float:
        return np.full(len(self.q), -INF)

    @property
    def upper(self) -> Float:
        return np.full(len(self.q), INF)

    def _flat(self, q: Float) -> Float:
        """Entries of B."""
        out = q.copy()
        out[1], out[2] = q[1] * np.sin(q[2]), q[1] * np.cos(q[2])
        return out

    def _B(self, q: Float) -> Float:
        k = len(self.order)
        B = np.zeros((k, k))
        B[_entries(self.order)] = self._flat(q)
        return B

    def sigma(self, q: Float) -> Float:
        B = self._B(q)
        return B @ B.T

    @cached_property
    def _jacobian(self) -> Float:
        """∂θ/∂(entries of B)."""
        (r, c), B = _entries(self.order), self._B(self.q)
        first, second = np.array(self.structure.pairs).T
        J = (r[:, None] == first) * B[second[None, :], c[:, None]]
        return J + (r[:, None] == second) * B[first[None, :], c[:, None]]

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
        (r, c), k = _entries(self.order), len(self.order)
        S = np.zeros((k, k))
        for value, (a, b) in zip(score, self.structure.pairs, strict=True):
            S[a, b] = S[b, a] = value if a == b else 0.5 * value
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

    def moved(self, q: Float) -> TriangleChart:
        return TriangleChart(self.structure, q, self.order)


def triangle_chart(structure: Structure, Sigma: Float, first: tuple[int, ...] = ()) -> TriangleChart:
    """The chart at Σ with the effects `first` at the top of the order, the others by decreasing variance."""
    by_size = np.argsort(-np.diagonal(Sigma), kind="stable")
    order = (*first, *(int(a) for a in by_size if a not in first))
    B = _triangle(Sigma[np.ix_(order, order)])
    q = B[np.tril_indices(len(B))]
    s = float(np.hypot(q[1], q[2]))
    q[1], q[2] = s, (np.arctan2(q[1], abs(q[2])) if s > 0 else 0.0)
    return TriangleChart(structure, q, order)


def _triangle(Sigma: Float) -> Float:
    """Lower triangular B with B Bᵀ = Σ for a positive semi-definite Σ; columns of pivots that are rounding are zero."""
    B, left = np.zeros_like(Sigma), Sigma.copy()
    least = 1e-14 * np.maximum(np.diagonal(Sigma), 1e-300)
    for j in range(len(Sigma)):
        if left[j, j] > least[j]:
            B[j:, j] = left[j:, j] / np.sqrt(left[j, j])
            left -= np.outer(B[:, j], B[:, j])
    return B


def free_chart(structure: Any, Sigma: Float, par: Float) -> Chart:
    """The chart of a term about which nothing is asked, at scaled Σ and structure parameters."""
    if structure.name == "us" and structure.k > 1:
        return triangle_chart(structure, Sigma)
    return box_chart(structure, par)


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
    def _pairs(self) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        return [tuple(np.array(chart.structure.pairs).T) for chart in self.charts]

    def theta(self, q: Float) -> Float:
        """Linear parameters on the user's scale."""
        parts = zip(self.charts, self.slices, self._pairs, strict=True)
        return self.units.factor * np.concatenate([chart.sigma(q[of])[pair] for chart, of, pair in parts])

    def at(self, q: Float) -> list[Chart]:
        """The charts at q."""
        return [unmoved(chart, q[of]) for chart, of in zip(self.charts, self.slices, strict=True)]

    def jacobian(self, charts: Sequence[Chart]) -> Float:
        """(len(q), m) ∂θ/∂q on the user's scale."""
        J = np.zeros((len(self.q), len(self.units.factor)))
        for chart, of, at in zip(charts, self.slices, self._theta_slices, strict=True):
            J[of, at] = chart.jacobian()
        return J * self.units.factor

    def curvature(self, charts: Sequence[Chart], score: Float) -> Float:
        """(len(q), len(q)) Σ_j score_j ∇²θ_j, `score` on the user's scale."""
        C = np.zeros((len(self.q),) * 2)
        scaled = score * self.units.factor
        for chart, of, at in zip(charts, self.slices, self._theta_slices, strict=True):
            C[of, of] = chart.curvature(scaled[at])
        return C

    def par(self, q: Float) -> Float:
        """Structure parameters on the user's scale."""
        out = []
        for i, (chart, of) in enumerate(zip(self.at(q), self.slices, strict=True)):
            Sigma = up(self.units, i, chart.sigma(q[of]))
            if chart.structure.linear:
                out.append(Sigma[self._pairs[i]])
            else:
                out.append(chart_parameters(chart, self.units, i, Sigma)[0])
        return np.concatenate(out)

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

    def scaled(self, term: int) -> tuple[Float, Float]:
        """Scaled Σ and structure parameters of a term at the start."""
        chart = self.charts[term]
        of = par_slices(self.spec)[term]
        return chart.sigma(chart.q), _scaled(chart.structure, self.par(self.q)[of], self.units, term)


def space_at(spec: ModelSpec, units: Units, theta: Float, par: Float, fixed: NDArray[np.bool_]) -> Space:
    """Charts of every term at an estimate (user's scale); terms held fixed have no coordinates."""
    charts: list[Chart] = []
    sigmas = spec.sigmas(theta)
    for i, (term, of) in enumerate(zip(spec.all_terms, par_slices(spec), strict=True)):
        structure = term.structure
        scaled = _scaled(structure, par[of], units, i)
        if fixed[of].any():
            charts.append(FixedChart(structure, scaled))
        else:
            charts.append(free_chart(structure, down(units, i, sigmas[i]), scaled))
    return Space(spec, units, tuple(charts))


def up(units: Units, term: int, Sigma: Float) -> Float:
    """Scaled Σ → the user's: every effect in its own unit, and no other mixing, so that an effect is a coordinate."""
    d = 1.0 / units.sizes[term]
    return units.variance * d[:, None] * Sigma * d


def down(units: Units, term: int, Sigma: Float) -> Float:
    """The user's Σ → scaled."""
    d = units.sizes[term]
    return Sigma * d[:, None] * d / units.variance


def _scaled(structure: Any, par: Float, units: Units, term: int) -> Float:
    """Structure parameters on the user's scale → scaled."""
    if not structure.linear:
        return scale_parameters(structure, par, units, term, up=False)
    d = units.sizes[term]
    return np.array([value * d[a] * d[b] for value, (a, b) in zip(par, structure.pairs, strict=True)]) / units.variance


def coordinate_chart(structure: Any, par: Float) -> Chart:
    """A chart of a patterned structure in which every parameter is a coordinate (a variance perhaps by its root)."""
    chart = box_chart(structure, par)
    return BoxChart(structure, par) if isinstance(chart, EigenChart) else chart


def _stretches(sizes: Sequence[int]) -> list[slice]:
    stops = np.cumsum([0, *sizes])
    return [slice(int(a), int(b)) for a, b in pairwise(stops)]
