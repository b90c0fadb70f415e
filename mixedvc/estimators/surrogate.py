"""The M step of one term: Σ of its structure that lowers  a log|Σ| + ⟨M, Σ⟩ + ⟨N, Σ⁻¹⟩  (MATH: 3).

EM has a = number of effects and M = 0, MM has a = 0.  Unstructured and diagonal Σ have the minimum in closed form; so
has compound symmetry with one variance, in its eigenvalues.  For other structures damped scoring steps go down and
never up, which is all that a monotone iteration needs.  A singular Σ keeps its range: `faces` moves that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import ModelSpec, Term
from ..likelihood.base import Evaluation, HasCells
from ..linalg import dense as la
from ..structures.base import pattern_of, sigma_of
from .charts import BoxChart, Chart, EigenChart, FaceChart, FactorChart, SdChart, face_at, factors_at
from .quadratic import box_step
from .start import Units

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """One free term at one evaluation, in scaled units: ∂ℓ/∂Σ = ½ (Q − M).

    Attributes
    ----------
    term : int
        Position in ``spec.all_terms``.
    chart : Chart
    Sigma : (k, k)
    Q : (k, k)
        (Py)ᵀ Z_a A Z_bᵀ (Py).
    M : (k, k)
        tr(T Z_a A Z_bᵀ).
    counts : (k,)
        Independent effects behind each variance, see `effects_met`.
    """

    term: int
    chart: Chart
    Sigma: Float
    Q: Float
    M: Float
    counts: Float

    @property
    def explained(self) -> Float:
        """Σ Q Σ, the second moment of the BLUPs: Σ_ab ûᵀ_a A⁻¹ û_b."""
        return _symmetric(self.Sigma @ self.Q @ self.Sigma)

    @property
    def second_moment(self) -> Float:
        """E(u_aᵀ A⁻¹ u_b | y), BLUPs and their posterior covariance together."""
        root = np.sqrt(self.counts)
        return _symmetric(self.Sigma * root[:, None] * root + self.Sigma @ (self.Q - self.M) @ self.Sigma)


def effects_met(term: Term) -> Float:
    """(k,) columns that a root of A needs, at most the levels with rows: what EM divides by.

    Effects that are independent of each other count their own levels.  EM rises with any root of A, and the faster
    the fewer columns it has.
    """
    limit = term.q
    if Can.LOW_RANK in term.covariance.can:
        limit = min(limit, int(getattr(term.covariance, "rank", limit)))
    if term.structure.linear:
        met = [len(np.unique(codes[codes >= 0])) for codes in term.linked_codes()]
    else:  # effects with parameters in common count the same levels
        met = [len(np.unique(term.codes[term.basis.any(axis=1)]))]
    return np.minimum(np.resize(np.array(met, dtype=np.float64), term.k), limit)


def look(spec: ModelSpec, units: Units, at: Evaluation, charts: Sequence[Chart], counts: Sequence[Float]) -> list[Seen]:
    """What an evaluation says of every term that can move."""
    Q = _matrices(spec, units.dual(np.asarray(at.quad)))
    M = _matrices(spec, units.dual(np.asarray(at.trace)))
    if pattern_of(spec.residual.structure) is not None and len(charts[-1].q):
        Q[-1], M[-1] = _of_cells(spec, units, at)
    return [
        Seen(i, chart, chart.sigma(chart.q), Q[i], M[i], counts[i]) for i, chart in enumerate(charts) if len(chart.q)
    ]


def _of_cells(spec: ModelSpec, units: Units, at: Evaluation) -> tuple[Float, Float]:
    """Q and M of a residual whose entries share parameters: θ has sums over entries, the M step needs each."""
    T = np.sqrt(units.variance) * units.transform(len(spec.terms))
    assert isinstance(at, HasCells)
    errors = spec.residual.collect(np.asarray(at.Py)) @ T
    return errors.T @ errors, T.T @ np.asarray(at.residual_traces) @ T


def _matrices(spec: ModelSpec, values: Float) -> list[Float]:
    """k×k matrices of quad or trace: those of off-diagonal parameters are of V_ab + V_ba, so each entry has half."""
    halves = [1.0 if where.a == where.b else 0.5 for where in spec.index]
    return spec.sigmas(values * np.array(halves))


def _symmetric(A: Float) -> Float:
    return 0.5 * (A + A.T)


# ---- the M step ---------------------------------------------------------------------------------------------------


def em_step(seen: Seen) -> Chart:
    """argmax over Σ of E log p(u | Σ), the posterior second moment divided by the number of effects."""
    return lowered(seen.chart, seen.counts, np.zeros_like(seen.M), seen.second_moment)


def mm_step(seen: Seen) -> Chart:
    """Minimum of ⟨M, Σ⟩ + ⟨Σ₀QΣ₀, Σ⁻¹⟩: θ√(quad/trace) for one variance (Zhou, Hu, Zhou & Lange 2019)."""
    return lowered(seen.chart, np.zeros_like(seen.counts), seen.M, seen.explained)


def lowered(chart: Chart, a: Float, M: Float, N: Float) -> Chart:
    """A chart of the structure where  a log|Σ| + ⟨M, Σ⟩ + ⟨N, Σ⁻¹⟩  is lower, at its minimum where that is explicit."""
    if isinstance(chart, FaceChart):
        return _free(chart, float(a[0]), M, N)
    if isinstance(chart, EigenChart):
        k = chart.structure.k
        size = np.array([1.0, k - 1.0])
        inner = np.array([[A.sum() / k, np.trace(A) - A.sum() / k] for A in (M, N)])
        return EigenChart(chart.structure, _variances(chart.q, a[0] * size, inner[0], inner[1]))
    if isinstance(chart, BoxChart) and chart.structure.linear:
        return BoxChart(chart.structure, _variances(chart.q, a, np.diagonal(M), np.diagonal(N)))
    return _patterned(chart, float(a[0]), M, N)


def _variances(old: Float, a: Float, M: Float, N: Float) -> Float:
    """Minimum of a log v + M v + N / v for each variance; zeros stay zero."""
    N = np.maximum(N, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(a > 0.0, N / a, np.sqrt(N / M))
    return np.where((old > 0.0) & np.isfinite(found) & (found > 0.0), found, old)


def _free(chart: FaceChart, a: float, M: Float, N: Float) -> FaceChart:
    """Minimum over all Σ with the range of the chart's."""
    r, k = chart.rank, len(chart.B)
    if r == 0:
        return chart
    U = np.eye(k) if r == k else la.qr(chart.B)[0]
    inner = U.T @ N @ U
    if a > 0.0:
        S = inner / a
    else:
        # Σ M Σ = N with M = L Lᵀ: Σ = L⁻ᵀ (LᵀNL)^½ L⁻¹
        size = np.trace(U.T @ M @ U) / r
        L = la.cholesky(U.T @ M @ U + 1e-14 * size * np.eye(r))
        values, vectors = la.small_eigh(_symmetric(L.T @ inner @ L))
        half = la.solve_triangular(L, vectors, trans=True) * np.maximum(values, 0.0) ** 0.25
        S = half @ half.T
    return face_at(chart.structure, _symmetric(U @ S @ U.T), 0.0, at_most=r, order=chart.order)


def rescaled(chart: Chart, factor: float) -> Chart | None:
    """The chart of factor · Σ; None where the structure may not have it."""
    if isinstance(chart, FaceChart):
        return replace(chart, B=chart.B * np.sqrt(factor))
    if isinstance(chart, EigenChart) or (isinstance(chart, BoxChart) and chart.structure.linear):
        return chart.moved(chart.q * factor)
    if isinstance(chart, FactorChart):
        return factors_at(chart.structure, chart.psi * factor, chart.B * np.sqrt(factor), 0.0)
    if isinstance(chart, SdChart):
        return chart.moved(np.append(chart.q[:-1] * np.sqrt(factor), chart.q[-1]))
    if hasattr(chart.structure, "correlation"):
        return chart.moved(np.append(chart.q[:-1] * factor, chart.q[-1]))
    return None


# ---- structures without an explicit minimum -----------------------------------------------------------------------


def _patterned(chart: Chart, a: float, M: Float, N: Float, steps: int = 12) -> Chart:
    """Damped scoring steps in the chart's coordinates over the effects that have a variance."""
    if edge_of_pattern(chart):
        return chart
    value, damping = _value(chart.sigma(chart.q), a, M, N), 0.0
    for _ in range(steps):
        slope, H = _slope(chart, a, M, N)
        low, high = _room(chart)
        step = box_step(H + damping * np.diag(np.diagonal(H)), -slope, low, high)
        if -float(slope @ step) < 1e-15 * max(1.0, abs(value)):
            break
        other = _value(chart.sigma(chart.q + step), a, M, N)
        if other <= value:
            chart, value, damping = chart.moved(chart.q + step), other, 0.2 * damping if damping > 0.1 else 0.0
        else:
            damping = max(4.0 * damping, 0.5)
    return chart


def _room(chart: Chart) -> tuple[Float, Float]:
    """Most of the way to the bounds; none for a variance that is zero."""
    free = (chart.q != 0.0) | np.isfinite(chart.upper)
    low, high = chart.lower - chart.q, chart.upper - chart.q
    low, high = (np.where(np.isfinite(room), 0.9 * room, room) for room in (low, high))
    return np.where(free, low, 0.0), np.where(free, high, 0.0)


def edge_of_pattern(chart: Chart) -> bool:
    """Whether a correlation is at its bound, or no variance is left: the range of Σ is then all that Σ can be in."""
    if isinstance(chart, (FaceChart, EigenChart)) or chart.structure.linear:
        return False
    if isinstance(chart, FactorChart):
        return singular_factors(chart)
    finite = np.isfinite(chart.upper)
    edge = finite & ((chart.q <= chart.lower) | (chart.q >= chart.upper))
    return bool(edge.any()) or not np.any(chart.q[~finite] > 0.0)


def singular_factors(chart: FactorChart) -> bool:
    """Whether a factor-analytic Σ of the effects that vary has no inverse: more zeros in ψ than factors for them."""
    common = chart.B[(chart.psi <= 0.0) & chart.B.any(axis=1)]
    if not chart.psi.any() and not len(common):
        return True
    return len(common) > 0 and la.small_eigh(common @ common.T)[0][0] <= 1e-12 * float((common**2).max())


def _inside(Sigma: Float, *others: Float) -> list[Float]:
    keep = np.flatnonzero(np.diagonal(Sigma) > 0.0)
    return [A[np.ix_(keep, keep)] for A in (Sigma, *others)]


def _value(Sigma: Float, a: float, M: Float, N: Float) -> float:
    S, M, N = _inside(Sigma, M, N)
    try:
        L = la.cholesky(S)
    except la.NotPositiveDefinite:
        return np.inf
    return a * la.logdet_from_cholesky(L) + float(np.sum(M * S)) + float(np.trace(la.cho_solve(L, N)))


def _slope(chart: Chart, a: float, M: Float, N: Float) -> tuple[Float, Float]:
    """Gradient, and a positive definite Hessian: that of ⟨N, Σ⁻¹⟩, halved where log|Σ| takes half of it away."""
    Sigma = chart.sigma(chart.q)
    keep = np.flatnonzero(np.diagonal(Sigma) > 0.0)
    S, M, N = _inside(Sigma, M, N)
    inverse = la.inverse_psd(S)
    K = inverse @ N @ inverse
    G = a * inverse + M - K
    full = np.stack([sigma_of(chart.structure, row) for row in chart.jacobian()])
    D = full[:, keep[:, None], keep]
    slope = np.einsum("iab,ab->i", D, G)
    weight = 1.0 if a > 0.0 else 2.0
    H = weight * np.einsum("iab,bc,jcd,da->ij", D, K, D, inverse)
    H = _symmetric(H)
    return slope, H + 1e-10 * np.diag(np.diagonal(H)) + 1e-14 * np.eye(len(H))
