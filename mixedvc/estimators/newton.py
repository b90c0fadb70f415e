"""Average-information Newton ascent of the (restricted) likelihood over Σ ⪰ 0 (MATH: 1, 3).

The information in the coordinates q of each term's chart is J AI Jᵀ − Σ_j score_j ∇²θ_j; where that is not positive
definite, J AI Jᵀ.  Bounds are kept by an active set inside each quadratic step; a step that does not raise the
criterion is damped.  The iteration ends when the Newton decrement gᵀH⁻¹g over the free coordinates is below `tol`
(it is in units of log-likelihood, so the test is free of scale) and no singular Σ wants a rank back.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import BoundaryWarning, ConvergenceError, ConvergenceWarning
from ..likelihood.base import Likelihood
from ..linalg import dense as la
from ..progress import Progress
from .base import PointEstimate, TraceRow
from .charts import Chart, EigenChart, FaceChart, FixedChart, SdChart
from .quadratic import box_step
from .start import Units

Float = NDArray[np.float64]
_NOISE = 1e-11  # relative rounding error of a log-likelihood


@dataclass
class _Point:
    """Where the iteration stands: numbers only, so that the factors behind them can go."""

    charts: list[Chart]
    theta: Float
    loglik: float
    score: Float  # scaled linear parameters
    information: Float


@dataclass
class Ascent:
    """One maximisation; the workspace of a fit."""

    spec: ModelSpec
    likelihood: Likelihood
    units: Units
    tol: float
    max_iter: int
    progress: Progress | None = None
    rows: list[TraceRow] = field(default_factory=list)
    evaluations: int = 0

    # ---- evaluation -----------------------------------------------------------------------------------------

    def theta(self, charts: list[Chart], q: Float | None = None) -> Float:
        """Linear parameters on the user's scale."""
        qs = [chart.q for chart in charts] if q is None else self._split(charts, q)
        pairs = zip(charts, qs, strict=True)
        return self.spec.theta([self.units.up(i, chart.sigma(x)) for i, (chart, x) in enumerate(pairs)])

    @staticmethod
    def _split(charts: list[Chart], q: Float) -> list[Float]:
        return np.split(q, np.cumsum([len(chart.q) for chart in charts])[:-1])

    def loglik(self, theta: Float) -> float:
        """Criterion at θ; −inf where V is not positive definite."""
        self.evaluations += 1
        try:
            value = self.likelihood.at(theta).loglik
        except la.NotPositiveDefinite:
            return -np.inf
        return value if np.isfinite(value) else -np.inf

    def point(self, charts: list[Chart], theta: Float | None = None, loglik: float | None = None) -> _Point:
        """Derivatives at the charts' own coordinates, or at the θ just evaluated, which differs by rounding."""
        theta = self.theta(charts) if theta is None else theta
        value = self.loglik(theta) if loglik is None else loglik
        if not np.isfinite(value):
            raise ConvergenceError(
                "the covariance of the data is not positive definite at the starting values: a known covariance may "
                "be indefinite (psd='clip' repairs it), or the residual variance is held at zero"
            )
        evaluation = self.likelihood.at(theta)
        f = self.units.factor
        info = evaluation.observed_information if self._crawls() else evaluation.average_information
        return _Point(charts, theta, value, evaluation.score * f, info * f[:, None] * f)

    def _crawls(self) -> bool:
        """Whether the last decrements shrank too slowly: the average information is far from the observed one."""
        last = [row.decrement for row in self.rows[-3:]]
        return self._observed or (len(last) == 3 and last[2] > 0.2 * last[1] > 0.04 * last[0])

    # ---- one step -------------------------------------------------------------------------------------------

    def model(self, at: _Point) -> tuple[Float, Float, Float]:
        """Gradient, Hessian with and without the curvature of the charts, over all coordinates."""
        J = _block_diagonal([chart.jacobian() for chart in at.charts])
        plain = J @ at.information @ J.T
        scores = np.split(at.score, np.cumsum([len(c.structure.pairs) for c in at.charts])[:-1])
        curved = plain - _block_diagonal([c.curvature(s) for c, s in zip(at.charts, scores, strict=True)])
        return J @ at.score, plain, curved

    def _watch(self) -> None:
        """Once the average information crawls, the observed one is used to the end."""
        self._observed = self._crawls()

    def step(self, at: _Point) -> tuple[_Point, float]:
        """Best damped Newton step from a point, and the decrement there; the same point where none rises."""
        gradient, plain, curved = self.model(at)
        q = np.concatenate([chart.q for chart in at.charts])
        low = np.concatenate([chart.lower for chart in at.charts]) - q
        high = np.concatenate([chart.upper for chart in at.charts]) - q
        H, direction, decrement = _solve(gradient, plain, curved, low, high)
        self._record(at, decrement)
        self._watch()
        if decrement < self.tol:
            return at, decrement
        noise = _NOISE * max(1.0, abs(at.loglik))
        damping = 0.0
        for attempt in range(30):
            theta = self.theta(at.charts, q + direction)
            value = self.loglik(theta)
            if value >= at.loglik + 1e-4 * float(gradient @ direction) - noise:
                self._length = 1.0 if not attempt else float(0.25**attempt)
                charts = [c.moved(x) for c, x in zip(at.charts, self._split(at.charts, q + direction), strict=True)]
                kept = np.allclose(self.theta(charts), theta, rtol=1e-9, atol=1e-12 * np.abs(theta).max())
                return self.point(charts, *((theta, value) if kept else ())), decrement
            damping = max(4.0 * damping, 0.5)
            scale = np.diag(np.maximum(np.diagonal(H), 1e-8))
            direction = box_step(H + damping * scale, gradient, low, high)
        return at, decrement

    _length: float = 1.0
    _observed: bool = False

    def _record(self, at: _Point, decrement: float) -> None:
        self.rows.append(TraceRow(len(self.rows), at.theta, at.loglik, decrement, self._length))
        if self.progress is not None:
            self.progress.step(loglik=f"{at.loglik:.6f}")

    # ---- the whole ------------------------------------------------------------------------------------------

    def run(self, charts: list[Chart]) -> tuple[_Point, bool, str]:
        """Iterate from the charts' coordinates to the maximum."""
        at = self.point(charts)
        for _ in range(self.max_iter):
            before = at
            at, decrement = self.step(at)
            if at is not before:
                continue
            if decrement >= max(self.tol, 1e-8):
                return at, False, f"no step raises the criterion (decrement {decrement:.1e})"
            released = self._release(at) or self._leave_saddle(at)
            if released is None:
                return at, True, "Newton decrement below tolerance" if decrement < self.tol else "rounding limit"
            at = released
        return at, False, f"stopped after {self.max_iter} iterations (decrement {self.rows[-1].decrement:.1e})"

    def _leave_saddle(self, at: _Point) -> _Point | None:
        """A higher point along the direction in which the criterion bends upward most; None at a maximum."""
        _, plain, curved = self.model(at)
        if not len(plain):
            return None
        scale = 1.0 / np.sqrt(np.maximum(np.diagonal(plain), 1e-12))
        values, vectors = la.small_eigh(curved * scale[:, None] * scale)
        if values[0] > -1e-5:
            return None
        q = np.concatenate([chart.q for chart in at.charts])
        for length in (1.0, -1.0, 0.1, -0.1, 0.01, -0.01):
            charts = [
                c.moved(x)
                for c, x in zip(
                    at.charts, self._split(at.charts, self._inside(at, q + length * scale * vectors[:, 0])), strict=True
                )
            ]
            theta = self.theta(charts)
            value = self.loglik(theta)
            if value > at.loglik + 1e-9 * max(1.0, abs(at.loglik)):
                return self.point(charts, theta, value)
        return None

    @staticmethod
    def _inside(at: _Point, q: Float) -> Float:
        low = np.concatenate([chart.lower for chart in at.charts])
        high = np.concatenate([chart.upper for chart in at.charts])
        return np.clip(q, low, high)

    def _release(self, at: _Point) -> _Point | None:
        """Give a singular Σ a rank back where the dual condition asks for it."""
        start = 0
        for i, chart in enumerate(at.charts):
            stop = start + len(chart.structure.pairs)
            if isinstance(chart, FaceChart):
                found = chart.release(at.score[start:stop], at.information[start:stop, start:stop])
                if found is not None and found[1] > max(100 * self.tol, 1e-9):
                    charts = [*at.charts[:i], found[0], *at.charts[i + 1 :]]
                    theta = self.theta(charts)
                    value = self.loglik(theta)
                    if value > at.loglik:
                        return self.point(charts, theta, value)
            start = stop
        return None


def _solve(gradient: Float, plain: Float, curved: Float, low: Float, high: Float) -> tuple[Float, Float, float]:
    """Hessian used, step inside the box and decrement gᵀd over what may move."""
    if not len(gradient):
        return plain, gradient, 0.0
    H = _positive(plain, curved)
    ridge = 1e-10 * np.diag(np.maximum(np.diagonal(H), 1e-12))
    direction = box_step(H + ridge, gradient, low, high)
    return H, direction, float(gradient @ direction)


def _positive(plain: Float, curved: Float) -> Float:
    """The curved Hessian, with the size of its curvature in the directions where it bends upward (saddles repel)."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(plain), 1e-12))
    values, vectors = la.small_eigh(curved * scale[:, None] * scale)
    if values[0] > 1e-4:
        return curved
    bent = (vectors * np.maximum(np.abs(values), 1e-3)) @ vectors.T
    return bent / scale[:, None] / scale


def _block_diagonal(blocks: list[Float]) -> Float:
    shape = np.sum([block.shape for block in blocks], axis=0)
    out = np.zeros(shape)
    i = j = 0
    for block in blocks:
        out[i : i + block.shape[0], j : j + block.shape[1]] = block
        i, j = i + block.shape[0], j + block.shape[1]
    return out


def estimate_from(ascent: Ascent, at: _Point, converged: bool, message: str, method: str, reml: bool) -> PointEstimate:
    """Plain numbers of the end point; warns where the fit is singular or unfinished."""
    spec, units = ascent.spec, ascent.units
    par, bound, fixed = [], [], []
    singular = False
    for i, chart in enumerate(at.charts):
        structure = chart.structure
        Sigma = units.up(i, chart.sigma(chart.q))
        held = isinstance(chart, FixedChart)
        values, edge = _parameters(chart, units, i, Sigma)
        par.append(values)
        bound.append(edge & (not held))
        fixed.append(np.full(structure.n_par, held))
        singular = singular or (bool(edge.any()) and not held)
    if not converged:
        warnings.warn(ConvergenceWarning(f"{method} did not converge: {message}"), stacklevel=4)
    elif singular:
        names = [t.label for t, edge in zip(spec.all_terms, bound, strict=True) if edge.any()]
        warnings.warn(
            BoundaryWarning(f"singular fit: a variance is zero or a correlation ±1 in {', '.join(names)}"), stacklevel=4
        )
    return PointEstimate(
        method=method,
        theta=at.theta,
        par=np.concatenate(par),
        at_bound=np.concatenate(bound),
        fixed=np.concatenate(fixed),
        singular=singular,
        loglik=at.loglik,
        reml=reml,
        converged=converged,
        n_evaluations=ascent.evaluations,
        message=message,
        trace=tuple(ascent.rows),
        likelihood=ascent.likelihood.name,
    )


def _parameters(chart: Chart, units: Units, i: int, Sigma: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Structure parameters on the user's scale, and which of them are at an edge."""
    structure = chart.structure
    if isinstance(chart, FaceChart):
        values = structure.start(Sigma)
        if chart.rank == structure.k:
            return values, np.zeros(structure.n_par, dtype=bool)
        zero = np.diagonal(chart.sigma(chart.q)) == 0.0
        edge = [bool(zero[a] or zero[b] or a != b) for a, b in structure.pairs]
        return values, np.array(edge)
    if isinstance(chart, FixedChart):
        return scale_parameters(structure, chart.par, units, i, up=True), np.zeros(structure.n_par, dtype=bool)
    edge = (chart.q <= chart.lower) | (chart.q >= chart.upper)
    if isinstance(chart, EigenChart) and edge.any():
        edge = np.array([edge.all(), True])
    own = chart.parameters() if isinstance(chart, (SdChart, EigenChart)) else chart.q
    return scale_parameters(structure, own, units, i, up=True), edge


def scale_parameters(structure: object, par: Float, units: Units, i: int, *, up: bool) -> Float:
    """Parameters between scaled and the user's units: variances and covariances scale, correlations do not."""
    power = 1.0 if up else -1.0
    sizes = units.sizes[i]
    if structure.linear:  # type: ignore[attr-defined]
        factor = np.array([units.variance / (sizes[a] * sizes[b]) for a, b in structure.pairs])  # type: ignore[attr-defined]
        return par * factor**power
    n_variances = structure.n_par - 1  # type: ignore[attr-defined]
    own = np.full(n_variances, sizes[0] ** 2) if n_variances == 1 else sizes**2
    return np.append(par[:-1] * (units.variance / own) ** power, par[-1])
