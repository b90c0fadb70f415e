"""Average-information Newton ascent of the (restricted) likelihood over Σ ⪰ 0 (MATH: 1, 3).

The information in the coordinates q of each term's chart is J AI Jᵀ − Σ_j score_j ∇²θ_j; where that is not positive
definite, J AI Jᵀ.  Bounds are kept by an active set inside each quadratic step; a step that does not raise the
criterion is damped.  The iteration ends when the Newton decrement gᵀH⁻¹g over the free coordinates is below `tol`
(it is in units of log-likelihood, so the test is free of scale) and no singular Σ wants a rank back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import BoundaryWarning, ConvergenceError, ConvergenceWarning, warn
from ..likelihood.base import Likelihood, information_along
from ..linalg import dense as la
from ..progress import Progress
from .base import PointEstimate, TraceRow
from .charts import Chart, EigenChart, FaceChart, FactorChart, FixedChart, SdChart, unmoved
from .quadratic import box_step, relative_step
from .start import Units

Float = NDArray[np.float64]
FAR, EARLY = 0.1, 5  # decrement above which, and iterations in which, steps are kept from overshooting


@dataclass
class Point:
    """Where the iteration stands: numbers only, so that the factors behind them can go."""

    charts: list[Chart]
    theta: Float
    loglik: float
    score: Float  # scaled linear parameters
    information: Float  # average or expected
    observed: Float | None = None  # in the charts' coordinates, where that information crawls
    least: Float | None = None  # lower bounds on the diagonal of the expected information
    model: tuple[Float, Float, Float] | None = None  # gradient and Hessians in the charts' coordinates, once made


@dataclass
class Ascent:
    """One maximisation; the workspace of a fit."""

    spec: ModelSpec
    likelihood: Likelihood
    units: Units
    tol: float
    max_iter: int
    progress: Progress | None = None
    rounding: float = 1e-11  # relative rounding error of a log-likelihood
    information: str = "average"  # | "expected"
    patience: int = 3  # iterations before the observed information may take over
    rows: list[TraceRow] = field(default_factory=list)  # accepted
    visited: list[TraceRow] = field(default_factory=list)  # all, in order
    evaluations: int = 0
    _length: float = 1.0  # of the last step, 1 where it was not damped
    _damping: float = 0.0
    _observed: bool = False  # whether the observed information has taken over
    _taken_over: float = np.inf  # number of rows when it did

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

    def point(self, charts: list[Chart], theta: Float | None = None, loglik: float | None = None) -> Point:
        """Derivatives at the charts' own coordinates, or at the θ just evaluated, which differs by rounding."""
        theta = self.theta(charts) if theta is None else theta
        value = self.loglik(theta) if loglik is None else loglik
        if not np.isfinite(value):
            raise ConvergenceError(
                "the covariance of the data is not positive definite at the starting values: a known covariance may "
                "be indefinite (psd='clip' repairs it), or the residual variance is held at zero"
            )
        evaluation = self.likelihood.at(theta)
        which = evaluation.average_information if self.information == "average" else evaluation.expected_information
        observed = None
        if self._observed:
            J = _block_diagonal([chart.jacobian() for chart in charts])
            observed = information_along(evaluation, "observed", self.units.directions(J))
        score, plain = self.units.dual(evaluation.score), self.units.information(which)
        return Point(charts, theta, value, score, plain, observed, self._least(getattr(evaluation, "trace", None)))

    def _least(self, trace: Float | None) -> Float | None:
        """½ tr(TV_j)²/rank V_j ≤ ½ tr(TV_jTV_j) for the variance of each scalar term, 0 for others (scaled).

        Above its maximum the average information of a variance is too small, and its steps go far beyond zero.
        """
        if trace is None:  # least squares of moments
            return None
        terms = [self.spec.all_terms[w.term] for w in self.spec.index]
        ranks = np.array([term.q if term.k == 1 else np.inf for term in terms])
        scaled = self.units.dual(trace)
        return 0.5 * scaled * scaled / np.minimum(ranks, max(self.spec.n - self.spec.p, 1)) * np.isfinite(ranks)

    def _crawls(self) -> bool:
        """Whether the last decrements, already small, shrank slowly: the observed information is to the point then.

        A likelihood whose informations cost no more than an evaluation (`quick_information`) has it from the start of
        the end.
        """
        if getattr(self.likelihood, "quick_information", False) and self.rows[-1].decrement < 0.5:
            return True
        last = [row.decrement for row in self.rows[-3:]]
        return len(self.rows) >= self.patience and last[0] < 1e-2 and last[2] > 0.2 * last[1] > 0.04 * last[0]

    # ---- one step -------------------------------------------------------------------------------------------

    def model(self, at: Point) -> tuple[Float, Float, Float]:
        """Gradient, Hessian without and with the curvature of the charts, over all coordinates; kept with the point."""
        if at.model is None:
            at.model = self._model(at)
        return at.model

    def _model(self, at: Point) -> tuple[Float, Float, Float]:
        J = _block_diagonal([chart.jacobian() for chart in at.charts])
        plain = J @ at.information @ J.T
        scores = np.split(at.score, np.cumsum([len(c.structure.pairs) for c in at.charts])[:-1])
        bend = _block_diagonal([c.curvature(s) for c, s in zip(at.charts, scores, strict=True)])
        if at.observed is not None:
            return J @ at.score, plain, at.observed - bend
        return J @ at.score, plain, plain - bend

    def problem(self, at: Point) -> tuple[Float, Float, float, Float, Float, Float]:
        """Gradient, Hessian, decrement, coordinates and the room in the box around them."""
        gradient, plain, curved = self.model(at)
        q = np.concatenate([chart.q for chart in at.charts])
        low = np.concatenate([chart.lower for chart in at.charts]) - q
        high = np.concatenate([chart.upper for chart in at.charts]) - q
        H, decrement = _solve(gradient, plain, curved, low, high)
        if decrement > FAR and len(self.rows) < EARLY and at.least is not None:
            J = _block_diagonal([chart.jacobian() for chart in at.charts])
            more = (J * np.maximum(at.least - np.diagonal(at.information), 0.0)) @ J.T
            H, _ = _solve(gradient, plain + more, curved + more, low, high)
        return gradient, H, decrement, q, low, high

    def approach(self, charts: list[Chart], near: float = 0.3) -> list[Chart]:
        """Charts close to the maximum: steps until the decrement is below `near`, then one more, not evaluated."""
        at = self.point(charts)
        for _ in range(12):
            gradient, H, decrement, q, low, high = self.problem(at)
            if decrement < near:
                return self.moved(at.charts, q + box_step(H, gradient, low, high))
            before, (at, _) = at, self.step(at)
            if at is before:
                break
        return at.charts

    def step(self, at: Point) -> tuple[Point, float]:
        """Damped Newton step (Levenberg-Marquardt) and the decrement; the same point where nothing rises."""
        gradient, H, decrement, q, low, high = self.problem(at)
        self.record(at, decrement)
        if not self._observed and self._crawls():
            self._observed, self._taken_over = True, len(self.rows)
        if decrement < self.tol:
            return at, decrement
        noise = self.noise(at.loglik)
        size = np.diag(np.maximum(np.diagonal(H), 1e-8))
        for attempt in range(40):
            B = H + self._damping * size
            direction = box_step(B, gradient, low, high)
            promised = float(gradient @ direction - 0.5 * direction @ B @ direction)
            if attempt % 3 == 2:
                direction = relative_step(B, gradient, q, low, high)
            theta = self.theta(at.charts, q + direction)
            value = self.loglik(theta)
            if value >= at.loglik + 1e-4 * promised - noise:
                self._length = 1.0 / (1.0 + self._damping)
                # below the rounding of ℓ a step cannot be judged, and needs no damping
                self._ease((value - at.loglik) / promised if promised > 100 * noise else 1.0, attempt)
                return self._after(at, self._split(at.charts, q + direction), theta, value), decrement
            self.reject(theta, value)
            self._damping = max(4.0 * self._damping, 0.25)
        self._damping = 0.0
        return at, decrement

    def _after(self, at: Point, pieces: list[Float], theta: Float, value: float) -> Point:
        """The point of a step that was accepted.

        A chart may give up a small eigenvalue or standard deviation on the way; not where the criterion falls by that.
        """
        charts = [c.moved(x) for c, x in zip(at.charts, pieces, strict=True)]
        if self._same(charts, pieces, theta):
            return self.point(charts, theta, value)
        smaller = self.theta(charts)
        lower = self.loglik(smaller)
        if lower >= at.loglik - self.noise(at.loglik):
            return self.point(charts, smaller, lower)
        self.reject(smaller, lower)
        return self.point([unmoved(c, x) for c, x in zip(at.charts, pieces, strict=True)], theta, value)

    def _same(self, charts: list[Chart], pieces: list[Float], theta: Float) -> bool:
        """Whether the charts after a step still mean the θ that was evaluated (no rank dropped, no sd set to zero)."""
        stayed = all(
            isinstance(c, (FaceChart, FactorChart)) or np.array_equal(c.q, x)
            for c, x in zip(charts, pieces, strict=True)
        )
        again = self.theta(charts)
        scaled = theta / self.units.factor  # traits may be in units many orders apart
        near = np.allclose(again / self.units.factor, scaled, rtol=1e-9, atol=1e-12 * np.abs(scaled).max())
        return stayed and near and np.array_equal(again == 0.0, theta == 0.0)

    def _flat(self) -> bool:
        """Whether the last steps moved the criterion by no more than its rounding, and no longer come closer.

        Scoring comes closer slowly: it is not judged before the observed information has taken over.
        """
        if self.information == "expected" and len(self.rows) < self._taken_over + 5:
            return False
        last = self.rows[-4:]
        values = [row.loglik for row in last]
        if len(last) < 4 or last[-1].decrement > 1e-7 or last[-1].decrement < 0.3 * last[-2].decrement:
            return False
        return max(values) - min(values) < 4 * self.noise(values[-1])

    def noise(self, loglik: float) -> float:
        """Rounding error of a log-likelihood of this size."""
        return self.rounding * max(1.0, abs(loglik))

    def _ease(self, gain: float, attempt: int) -> None:
        """Less damping after a step that kept its promise, more after one that did not."""
        if gain > 0.7:
            self._damping = 0.2 * self._damping if self._damping > 0.02 else 0.0
        elif gain < 0.2 and attempt == 0:
            self._damping = max(2.0 * self._damping, 0.1)

    def reject(self, theta: Float, value: float) -> None:
        """A row of the trace for a point that was tried and left."""
        length = 1.0 / (1.0 + self._damping)
        self.visited.append(TraceRow(len(self.rows), theta, value, float("nan"), length, accepted=False))

    def passed(self, theta: Float, value: float) -> None:
        """A row of the trace for a point that was accepted, its decrement not known (yet)."""
        self.visited.append(TraceRow(len(self.rows), theta, value, float("nan"), self._length))

    def record(self, at: Point, decrement: float) -> None:
        """A row of the trace for where the iteration stands; it takes the place of the point's row of `passed`."""
        last = self.visited[-1] if self.visited else None
        if last is not None and last.accepted and np.isnan(last.decrement) and np.array_equal(last.theta, at.theta):
            self.visited.pop()
        self.rows.append(TraceRow(len(self.rows), at.theta, at.loglik, decrement, self._length))
        self.visited.append(self.rows[-1])
        if self.progress is not None:
            self.progress.step(loglik=f"{at.loglik:.6f}")

    # ---- the whole ------------------------------------------------------------------------------------------

    def run(self, charts: list[Chart]) -> tuple[Point, bool, str]:
        """Iterate from the charts' coordinates to the maximum."""
        at = self.point(charts)
        try:
            for _ in range(self.max_iter):
                after, decrement = self.step(at)
                if after is not at and not self._flat():
                    at = after
                    continue
                if decrement >= max(self.tol, 1e-7):
                    return (
                        at,
                        False,
                        f"no step raises the criterion (decrement {decrement:.1e}){self.edge_of_errors(at)}",
                    )
                released = self.escape(at)
                if released is None:
                    return at, True, "Newton decrement below tolerance" if decrement < self.tol else "rounding limit"
                at = released
        except KeyboardInterrupt:
            return at, False, f"interrupted after {len(self.rows)} iterations; the numbers are those of the last one"
        return at, False, f"stopped after {self.max_iter} iterations (decrement {self.rows[-1].decrement:.1e})"

    def edge_of_errors(self, at: Point) -> str:
        """What to say where an iteration ends beside a singular residual covariance; empty elsewhere."""
        chart, residual = at.charts[-1], self.spec.residual
        if residual.k == 1 or not len(chart.q) or la.small_eigh(chart.sigma(chart.q))[0][0] > 1e-5:
            return ""
        names = ", ".join(residual.effects[:4]) + (", …" if residual.k > 4 else "")
        return (
            f"; the residual covariance of {names} is singular there, and the likelihood may have no upper bound: too "
            "few records for so many (co)variances, or one response is a function of others. A simpler residual "
            "(residual='diag' or 'fa(1)'), fewer responses or fewer fixed effects have one"
        )

    def escape(self, at: Point) -> Point | None:
        """A higher point where the edge of a cone or a saddle holds a stationary one; None at a maximum."""
        return self._release(at) or self._leave_saddle(at) or self._reopen(at)

    def _leave_saddle(self, at: Point) -> Point | None:
        """A higher point along the direction in which the criterion bends upward most; None at a maximum."""
        _, plain, curved = self.model(at)
        if not len(plain):
            return None
        values, vectors, scale = _scaled_eigh(curved, plain)
        if values[0] > -1e-5:
            return None
        q = np.concatenate([chart.q for chart in at.charts])
        lengths = (1.0, -1.0, 0.1, -0.1, 0.01, -0.01)
        points = (self._inside(at, q + length * scale * vectors[:, 0]) for length in lengths)
        return self.first_higher(at, (self.moved(at.charts, point) for point in points))

    def _reopen(self, at: Point) -> Point | None:
        """A higher point with a zero standard deviation of a patterned Σ opened; None where all lie lower."""
        found = ((i, other) for i, c in enumerate(at.charts) if isinstance(c, SdChart) for other in c.reopened())
        return self.first_higher(at, ([*at.charts[:i], other, *at.charts[i + 1 :]] for i, other in found))

    def first_higher(self, at: Point, candidates: Iterable[list[Chart]]) -> Point | None:
        """The first of `candidates` that lies higher by more than rounding; the others are recorded as tried."""
        for charts in candidates:
            theta = self.theta(charts)
            value = self.loglik(theta)
            if value > at.loglik + 100 * self.noise(at.loglik):
                return self.point(charts, theta, value)
            self.reject(theta, value)
        return None

    def moved(self, charts: list[Chart], q: Float) -> list[Chart]:
        """Charts at other coordinates."""
        return [chart.moved(x) for chart, x in zip(charts, self._split(charts, q), strict=True)]

    @staticmethod
    def _inside(at: Point, q: Float) -> Float:
        low = np.concatenate([chart.lower for chart in at.charts])
        high = np.concatenate([chart.upper for chart in at.charts])
        return np.clip(q, low, high)

    def _release(self, at: Point) -> Point | None:
        """Give a singular Σ a rank back where the dual condition asks for it."""
        released = []
        start = 0
        for i, chart in enumerate(at.charts):
            stop = start + len(chart.structure.pairs)
            if isinstance(chart, (FaceChart, FactorChart)):
                found = chart.release(at.score[start:stop], at.information[start:stop, start:stop])
                if found is not None and found[1] > max(100 * self.tol, 1e-9):
                    released.append([*at.charts[:i], found[0], *at.charts[i + 1 :]])
            start = stop
        return self.first_higher(at, released)


def _solve(gradient: Float, plain: Float, curved: Float, low: Float, high: Float) -> tuple[Float, float]:
    """Hessian to use, and the decrement gᵀd of its undamped step inside the box."""
    if not len(gradient):
        return plain, 0.0
    held = ((low >= 0.0) & (gradient <= 0.0)) | ((high <= 0.0) & (gradient >= 0.0))
    free = np.ix_(~held, ~held)
    H = np.diag(np.maximum(np.diagonal(plain), 1e-8))  # coordinates that a bound holds do not bend the others
    H[free] = _positive(plain[free], curved[free])
    H = H + 1e-12 * np.diag(np.maximum(np.diagonal(H), 1e-12))
    return H, float(gradient @ box_step(H, gradient, low, high))


def _scaled_eigh(H: Float, plain: Float) -> tuple[Float, Float, Float]:
    """Eigenvalues and vectors of H in units of the roots of plain's diagonal, and those units."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(plain), 1e-12))
    values, vectors = la.small_eigh(H * scale[:, None] * scale)
    return values, vectors, scale


def _positive(plain: Float, curved: Float) -> Float:
    """The curved Hessian, with the size of its curvature in the directions where it bends upward (saddles repel)."""
    if not len(plain):
        return plain
    values, vectors, scale = _scaled_eigh(curved, plain)
    if values[0] > 1e-9:
        return curved
    bent = (vectors * np.where(values > 1e-9, values, np.maximum(np.abs(values), 1e-3))) @ vectors.T
    return bent / scale[:, None] / scale


def _block_diagonal(blocks: list[Float]) -> Float:
    shape = np.sum([block.shape for block in blocks], axis=0)
    out = np.zeros(shape)
    i = j = 0
    for block in blocks:
        out[i : i + block.shape[0], j : j + block.shape[1]] = block
        i, j = i + block.shape[0], j + block.shape[1]
    return out


def estimate_from(ascent: Ascent, at: Point, converged: bool, message: str, method: str, reml: bool) -> PointEstimate:
    """Plain numbers of the end point; warns where the fit is singular or unfinished."""
    spec, units = ascent.spec, ascent.units
    par, bound, fixed = [], [], []
    singular = False
    for i, chart in enumerate(at.charts):
        structure = chart.structure
        Sigma = units.up(i, chart.sigma(chart.q))
        held = isinstance(chart, FixedChart)
        values, edge = chart_parameters(chart, units, i, Sigma)
        par.append(values)
        bound.append(edge & (not held))
        fixed.append(np.full(structure.n_par, held))
        singular = singular or (bool(edge.any()) and not held)
    if not converged:
        warn(f"{method} did not converge: {message}", ConvergenceWarning)
    elif singular:
        names = [t.label for t, edge in zip(spec.all_terms, bound, strict=True) if edge.any()]
        warn(f"singular fit: a variance is zero or a correlation ±1 in {', '.join(names)}", BoundaryWarning)
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
        trace=tuple(ascent.visited),
        likelihood=ascent.likelihood.name,
    )


def chart_parameters(chart: Chart, units: Units, i: int, Sigma: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Structure parameters on the user's scale, and which of them are at an edge."""
    structure = chart.structure
    if isinstance(chart, FactorChart) or structure.name == "rr":
        return _factor_parameters(chart, units, i, Sigma)
    if isinstance(chart, FaceChart):
        values = structure.start(Sigma)
        if chart.rank == structure.k:
            return values, np.zeros(structure.n_par, dtype=bool)
        zero = np.diagonal(Sigma) == 0.0
        return values, np.array([bool(zero[a] or zero[b] or a != b) for a, b in structure.pairs])
    if isinstance(chart, FixedChart):
        return scale_parameters(structure, chart.par, units, i, up=True), np.zeros(structure.n_par, dtype=bool)
    edge = (chart.q <= chart.lower) | (chart.q >= chart.upper)
    if isinstance(chart, EigenChart) and edge.any():
        edge = np.array([edge.all(), not edge.all()])
    elif hasattr(structure, "correlation"):  # of fewer than two effects that vary it is not defined: at no edge
        edge[-1] = edge[-1] and np.count_nonzero(np.diagonal(Sigma)) > 1
    own = chart.parameters() if isinstance(chart, (SdChart, EigenChart)) else chart.q
    return scale_parameters(structure, own, units, i, up=True), edge


def _factor_parameters(chart: Chart, units: Units, i: int, Sigma: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Parameters of a Σ of few factors; at an edge are zero ψ, and all loadings of a factor that has vanished."""
    structure: Any = chart.structure
    if isinstance(chart, FixedChart):
        return scale_parameters(structure, chart.par, units, i, up=True), np.zeros(structure.n_par, dtype=bool)
    if isinstance(chart, FactorChart):
        values = scale_parameters(structure, chart.parameters(), units, i, up=True)
        own = chart.psi <= 0.0
    else:
        values, own = structure.start(Sigma), np.empty(0, dtype=bool)
    rank = chart.rank if isinstance(chart, (FactorChart, FaceChart)) else structure.factors
    return values, np.append(own, structure.loadings.entries[1] >= rank)


def scale_parameters(structure: object, par: Float, units: Units, i: int, *, up: bool) -> Float:
    """Parameters between scaled and the user's units: variances and covariances scale, correlations do not."""
    power = 1.0 if up else -1.0
    sizes = units.sizes[i]
    if units.turns[i] is not None:
        Sigma = structure.build(par)  # type: ignore[attr-defined]
        return np.asarray(structure.start((units.up if up else units.down)(i, Sigma)))  # type: ignore[attr-defined]
    if structure.linear:  # type: ignore[attr-defined]
        factor = np.array([units.variance / (sizes[a] * sizes[b]) for a, b in structure.pairs])  # type: ignore[attr-defined]
        return par * factor**power
    if hasattr(structure, "scaled"):
        root = np.sqrt(units.variance)
        return np.asarray(structure.scaled(par, (root / sizes) ** power))
    effects = {f"{a}": a for a in range(structure.k)}  # type: ignore[attr-defined]
    factor = np.ones(structure.n_par)  # type: ignore[attr-defined]
    for j, (effect, effect2) in enumerate(structure.names(tuple(effects))):  # type: ignore[attr-defined]
        if effect2 is None:  # a variance, of one effect or (where all sizes are equal) of all
            factor[j] = units.variance / sizes[effects.get(effect, 0)] ** 2
    return par * factor**power
