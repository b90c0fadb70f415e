"""The maximum of a likelihood with one quantity held: Newton steps along the surface on which it has its value.

Held is a coordinate, a function g(q) of the coordinates, or (for fixed effects) something inside the likelihood.  A
function is held by elimination: one coordinate, the pivot, follows from the others by g(q) = c, so that every point
visited has the value and only the criterion is to be raised.  With λ = ∂ℓ/∂q_p / ∂g/∂q_p the reduced Hessian is
Tᵀ(H + λ∇²g)T, H = −∇²ℓ, T the tangent; at the maximum λ = dℓ_p/dc is the slope of the profile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..estimators.quadratic import box_step
from ..linalg import dense as la
from .profile_space import Space

Float = NDArray[np.float64]
TOL = 1e-9  # Newton decrement, in units of log-likelihood
MOST = 80
ROUNDING = 1e-11
_OPEN = 0.05  # scaled standard deviation of an effect that had none


class Level(Protocol):
    """A function of the coordinates that is held at a value."""

    def value(self, space: Space, q: Float) -> float: ...

    def derivatives(self, space: Space, q: Float, charts: list[Any], J: Float) -> tuple[Float, Float | None]:
        """Gradient (len(q),) and Hessian (None: zero)."""
        ...


@dataclass(frozen=True)
class Coordinate:
    """One coordinate itself."""

    index: int

    def value(self, space: Space, q: Float) -> float:
        return float(q[self.index])

    def derivatives(self, space: Space, q: Float, charts: list[Any], J: Float) -> tuple[Float, Float | None]:
        a = np.zeros(len(q))
        a[self.index] = 1.0
        return a, None


@dataclass(frozen=True)
class Fraction:
    """nᵀθ, or nᵀθ / dᵀθ where there is a denominator."""

    n: Float
    d: Float | None = None

    def value(self, space: Space, q: Float) -> float:
        theta = space.theta(q)
        top = float(self.n @ theta)
        return top if self.d is None else top / float(self.d @ theta)

    def derivatives(self, space: Space, q: Float, charts: list[Any], J: Float) -> tuple[Float, Float | None]:
        if self.d is None:
            return J @ self.n, space.curvature(charts, self.n)
        theta = space.theta(q)
        below = float(self.d @ theta)
        along = (self.n - float(self.n @ theta) / below * self.d) / below
        a, down = J @ along, J @ self.d / below
        return a, space.curvature(charts, along) - np.outer(a, down) - np.outer(down, a)


@dataclass(frozen=True)
class Function:
    """Any smooth function of the structure parameters (n_par,), by differences."""

    of: Callable[[Float], float]

    def value(self, space: Space, q: Float) -> float:
        return float(self.of(space.par(q)))

    def derivatives(self, space: Space, q: Float, charts: list[Any], J: Float) -> tuple[Float, Float | None]:
        n = len(q)
        low, high, size = space.lower, space.upper, np.maximum(np.abs(q), 0.05)

        def step(i: int, h: float) -> tuple[float, float]:
            return max(q[i] - h, low[i]), min(q[i] + h, high[i])

        def at(*moves: tuple[int, float]) -> float:
            x = q.copy()
            for i, value in moves:
                x[i] = value
            return self.value(space, x)

        a, A = np.empty(n), np.empty((n, n))
        for i in range(n):
            down, up = step(i, 1e-5 * size[i])
            a[i] = np.nan_to_num((at((i, up)) - at((i, down))) / (up - down))
        ends = [step(i, 1e-3 * size[i]) for i in range(n)]
        for i, (down, up) in enumerate(ends):
            middle = 0.5 * (down + up)
            A[i, i] = 4.0 * (at((i, up)) - 2.0 * at((i, middle)) + at((i, down))) / (up - down) ** 2
            for j in range(i):
                d, u = ends[j]
                cross = at((i, up), (j, u)) - at((i, up), (j, d)) - at((i, down), (j, u)) + at((i, down), (j, d))
                A[i, j] = A[j, i] = cross / ((up - down) * (u - d))
        return a, np.nan_to_num(A)


@dataclass(frozen=True)
class Stand:
    """A point of a profile: the coordinates at which the criterion is highest given the value c.

    Attributes
    ----------
    loglik : float
        −∞ where no point with that value was found.
    slope : float
        λ = dℓ_p/dc.
    bend : float
        −d²ℓ_p/dc² of the quadratic model.
    tangent : (len(q),)
        dq/dc along the profile.
    """

    c: float
    q: Float
    theta: Float
    loglik: float
    slope: float
    bend: float
    tangent: Float
    converged: bool


class _Local:
    """ℓ near q: gradient, Hessian of the Lagrangian, and the level's gradient, over all coordinates."""

    def __init__(self, climb: Climb, level: Level | None, q: Float, evaluation: Any):
        space = climb.space
        charts = space.at(q)
        J = space.jacobian(charts)
        self.q, self.evaluation, self.J = q, evaluation, J
        self.gradient = J @ evaluation.score
        own = getattr(evaluation, f"{climb.information}_information")
        plain = evaluation.average_information if climb.information == "observed" else own
        self.plain = J @ plain @ J.T
        self.H = J @ own @ J.T - space.curvature(charts, evaluation.score)
        self.low, self.high = space.lower - q, space.upper - q
        self.a: Float | None = None
        if level is not None:
            self.a, A = level.derivatives(space, q, charts, J)
            self._A = A

    def eliminate(self, pivot: int | None) -> _Reduced:
        """The problem in all coordinates but the pivot."""
        n = len(self.q)
        if pivot is None or self.a is None:
            return _Reduced(np.arange(n), np.empty(0), self.gradient, self.H, self.plain, self.low, self.high, 0.0)
        rest = np.delete(np.arange(n), pivot)
        w = self.a[rest] / self.a[pivot]
        slope = float(self.gradient[pivot] / self.a[pivot])
        H = self.H if self._A is None else self.H + slope * self._A
        return _Reduced(
            rest,
            w,
            self.gradient[rest] - w * self.gradient[pivot],
            _fold(H, rest, pivot, w),
            _fold(self.plain, rest, pivot, w),
            self.low[rest],
            self.high[rest],
            slope,
        )

    def pivots(self) -> list[int | None]:
        """Coordinates that may be eliminated, the one that moves the level most (in its own units) first."""
        if self.a is None:
            return [None]
        size = np.abs(self.a) / np.sqrt(np.maximum(np.diagonal(self.plain), 1e-8))
        order = np.argsort(-size, kind="stable")
        return [int(i) for i in order if size[i] > 1e-7 * size[order[0]]] if size[order[0]] > 0 else []


def _fold(H: Float, rest: NDArray[np.intp], pivot: int, w: Float) -> Float:
    """TᵀHT with T = [I; −wᵀ]."""
    cross = np.outer(H[rest, pivot], w)
    return H[np.ix_(rest, rest)] - cross - cross.T + H[pivot, pivot] * np.outer(w, w)


@dataclass(frozen=True)
class _Reduced:
    rest: NDArray[np.intp]
    w: Float  # d_pivot = −wᵀ d_rest
    gradient: Float
    curved: Float
    plain: Float
    low: Float
    high: Float
    slope: float

    def held(self) -> NDArray[np.bool_]:
        """Coordinates that a bound holds."""
        return ((self.low >= 0.0) & (self.gradient <= 0.0)) | ((self.high <= 0.0) & (self.gradient >= 0.0))

    def hessian(self) -> Float:
        """The curved Hessian made positive definite over the coordinates that are free."""
        free = ~self.held()
        H = np.diag(np.maximum(np.diagonal(self.plain), 1e-8))
        H[np.ix_(free, free)] = _positive(self.curved[np.ix_(free, free)], self.plain[np.ix_(free, free)])
        return H

    def full(self, d: Float, pivot: int | None) -> Float:
        if pivot is None:
            return d
        out = np.zeros(len(d) + 1)
        out[self.rest] = d
        out[pivot] = -self.w @ d
        return out


def _scale(curved: Float, plain: Float) -> Float:
    size = np.maximum(np.abs(np.diagonal(curved)), np.diagonal(plain))
    return 1.0 / np.sqrt(np.maximum(size, 1e-10))


def _positive(curved: Float, plain: Float) -> Float:
    """The curved Hessian with the size of its curvature where it bends upward; a floor where it is flat."""
    if not len(curved):
        return curved
    scale = _scale(curved, plain)
    values, vectors = la.small_eigh(curved * scale[:, None] * scale)
    if values[0] > 1e-8:
        return curved
    bent = (vectors * np.maximum(np.abs(values), 1e-4)) @ vectors.T
    return bent / scale[:, None] / scale


class Climb:
    """Maximises a likelihood in the coordinates of a space, with or without a level.

    Parameters
    ----------
    at : callable
        (θ, c) ↦ evaluation; raises NotPositiveDefinite.
    information : str
        "observed", or "average" where the traces of products are dear.
    """

    def __init__(self, space: Space, at: Callable[[Float, float], Any], information: str):
        self.space, self.at, self.information = space, at, information
        self.evaluations = 0

    def look(self, q: Float, c: float) -> tuple[Any, float]:
        """Evaluation and criterion at q; −∞ where V is not positive definite."""
        self.evaluations += 1
        try:
            evaluation = self.at(self.space.theta(q), c)
            value = evaluation.loglik
        except la.NotPositiveDefinite:
            return None, -np.inf
        return (evaluation, float(value)) if np.isfinite(value) else (None, -np.inf)

    def restored(self, level: Level | None, q: Float, c: float, pivot: int | None, a: float) -> Float | None:
        """q with the pivot moved until the level is c, by the secant rule; None where that is impossible."""
        low, high = self.space.lower, self.space.upper
        if level is None or pivot is None:
            return np.clip(q, low, high)
        x = q.copy()
        enough = 1e-12 * max(abs(c), 1e-8)
        gap = level.value(self.space, x) - c
        for _ in range(25):
            if not np.isfinite(gap):
                return None
            if abs(gap) <= enough:
                inside = low[pivot] - 1e-12 <= x[pivot] <= high[pivot] + 1e-12
                return np.clip(x, low, high) if inside else None
            before, gap_before = x[pivot], gap
            x[pivot] -= gap / a
            gap = level.value(self.space, x) - c
            moved = x[pivot] - before
            if moved == 0.0:
                break
            if gap != gap_before and abs(gap - gap_before) > 1e-3 * abs(a * moved):
                a = (gap - gap_before) / moved
        return np.clip(x, low, high) if abs(gap) <= 1e3 * enough and low[pivot] <= x[pivot] <= high[pivot] else None

    def feasible(self, level: Level | None, q: Float, c: float) -> Float | None:
        """A point with the level at c near q."""
        x = np.clip(q, self.space.lower, self.space.upper)
        if level is None:
            return x
        if isinstance(level, Coordinate):
            x[level.index] = c
            return x
        near = self._projected(level, x, c)
        if near is not None:
            return near
        charts = self.space.at(x)
        a, _ = level.derivatives(self.space, x, charts, self.space.jacobian(charts))
        if not a.any():  # roots of variances that are zero have no slope: open them a little
            x = np.where(x == 0.0, _OPEN, x)
            charts = self.space.at(x)
            a, _ = level.derivatives(self.space, x, charts, self.space.jacobian(charts))
        for pivot in np.argsort(-np.abs(a), kind="stable"):
            if a[pivot] != 0.0:
                found = self.restored(level, x, c, int(pivot), float(a[pivot]))
                if found is not None:
                    return found
        return None

    def _projected(self, level: Level, q: Float, c: float) -> Float | None:
        """The point with the level at c that gradient steps reach from q; None where they get stuck.

        One coordinate alone may have to go far, to another branch of solutions.
        """
        x, last = q, np.inf
        for _ in range(40):
            gap = level.value(self.space, x) - c
            if not np.isfinite(gap) or abs(gap) > 0.9 * last:
                return None
            if abs(gap) <= 1e-12 * max(abs(c), 1e-8):
                return x
            charts = self.space.at(x)
            a, _ = level.derivatives(self.space, x, charts, self.space.jacobian(charts))
            size = float(a @ a)
            if size == 0.0:
                return None
            x, last = np.clip(x - gap / size * a, self.space.lower, self.space.upper), abs(gap)
        return None

    # ---- the iteration --------------------------------------------------------------------------------------

    def run(self, level: Level | None, q: Float, c: float, tol: float = TOL) -> Stand:
        """The maximum given the level, from a point near q, to a Newton decrement of `tol`."""
        start = self.feasible(level, q, c)
        evaluation, value = (None, -np.inf) if start is None else self.look(start, c)
        if start is None or evaluation is None:
            return Stand(c, q, np.empty(0), -np.inf, np.nan, np.nan, np.zeros(len(q)), False)
        x, damping, flat = start, 0.0, 0
        for _ in range(MOST):
            local = _Local(self, level, x, evaluation)
            pivot, reduced, H, d, decrement = self._step(local)
            if decrement < tol or flat >= 2:
                lifted = self._lifted(level, local, reduced, pivot, value, c)
                if lifted is None:
                    return self._stand(local, pivot, reduced, value, decrement, c)
                (x, evaluation, value), flat, damping = lifted, 0, 0.0
                continue
            found, damping = self._advance(level, local, pivot, reduced, H, d, value, c, damping)
            if found is None:
                stand = self._stand(local, pivot, reduced, value, decrement, c)
                return stand if decrement < 1e-6 else _unfinished(stand)
            noise = ROUNDING * max(1.0, abs(value))
            flat = flat + 1 if abs(found[2] - value) < 4.0 * noise and decrement < 1e-6 else 0
            x, evaluation, value = found
        local = _Local(self, level, x, evaluation)
        pivot, reduced, _, _, decrement = self._step(local)
        return _unfinished(self._stand(local, pivot, reduced, value, decrement, c))

    def _step(self, local: _Local) -> tuple[int | None, _Reduced, Float, Float, float]:
        """Undamped step inside the box, by the first pivot that stays inside it, and its decrement."""
        best = None
        for pivot in local.pivots() or [None]:
            reduced = local.eliminate(pivot)
            H = reduced.hessian()
            d = box_step(H, reduced.gradient, reduced.low, reduced.high)
            found = (pivot, reduced, H, d, float(reduced.gradient @ d))
            if pivot is None or not len(d):
                return found
            move = -float(reduced.w @ d)
            if local.low[pivot] <= move <= local.high[pivot]:
                return found
            best = best or found
        assert best is not None
        return best

    def _advance(
        self,
        level: Level | None,
        local: _Local,
        pivot: int | None,
        reduced: _Reduced,
        H: Float,
        d: Float,
        value: float,
        c: float,
        damping: float,
    ) -> tuple[tuple[Float, Any, float] | None, float]:
        """A higher point by damped steps, and the damping to go on with."""
        noise = ROUNDING * max(1.0, abs(value))
        size = np.diag(np.maximum(np.diagonal(H), 1e-8))
        a = 1.0 if pivot is None or local.a is None else float(local.a[pivot])
        for attempt in range(40):
            B = H + damping * size
            step = d if damping == 0.0 else box_step(B, reduced.gradient, reduced.low, reduced.high)
            promised = float(reduced.gradient @ step - 0.5 * step @ B @ step)
            x = self.restored(level, local.q + reduced.full(step, pivot), c, pivot, a)
            evaluation, after = (None, -np.inf) if x is None else self.look(x, c)
            if x is not None and evaluation is not None and after >= value + 1e-4 * promised - noise:
                gain = (after - value) / promised if promised > 100.0 * noise else 1.0
                if gain > 0.7:
                    damping = 0.2 * damping if damping > 0.02 else 0.0
                elif gain < 0.2 and attempt == 0:
                    damping = max(2.0 * damping, 0.1)
                return (x, evaluation, after), damping
            damping = max(4.0 * damping, 0.25)
        return None, 0.0

    def _lifted(
        self, level: Level | None, local: _Local, reduced: _Reduced, pivot: int | None, value: float, c: float
    ) -> tuple[Float, Any, float] | None:
        """A higher point along the direction in which the criterion bends upward; None at a maximum.

        Where a root of a variance is zero its gradient is zero too: only the curvature says that it wants to leave.
        """
        for q in self.space.reopened(local.q, local.evaluation.score, getattr(level, "index", None)):
            a = 1.0 if pivot is None or local.a is None else float(local.a[pivot])
            x = self.restored(level, q, c, pivot, a)
            evaluation, after = (None, -np.inf) if x is None else self.look(x, c)
            if x is not None and evaluation is not None and after > value + 100.0 * ROUNDING * max(1.0, abs(value)):
                return x, evaluation, after
        outward = ((reduced.low >= 0.0) & (reduced.gradient < 0.0)) | ((reduced.high <= 0.0) & (reduced.gradient > 0.0))
        free = np.flatnonzero(~outward)
        if not len(free):
            return None
        inner = np.ix_(free, free)
        scale = _scale(reduced.curved[inner], reduced.plain[inner])
        values, vectors = la.small_eigh(reduced.curved[inner] * scale[:, None] * scale)
        if values[0] > -1e-5:
            return None
        direction = np.zeros(len(reduced.rest))
        direction[free] = scale * vectors[:, 0]
        a = 1.0 if pivot is None or local.a is None else float(local.a[pivot])
        for length in (1.0, -1.0, 0.1, -0.1, 0.01, -0.01):
            x = self.restored(level, local.q + reduced.full(length * direction, pivot), c, pivot, a)
            evaluation, after = (None, -np.inf) if x is None else self.look(x, c)
            if x is not None and evaluation is not None and after > value + 100.0 * ROUNDING * max(1.0, abs(value)):
                return x, evaluation, after
        return None

    def _stand(
        self, local: _Local, pivot: int | None, reduced: _Reduced, value: float, decrement: float, c: float
    ) -> Stand:
        """Slope, bend and tangent where the iteration ended; half the decrement is what a last step would add."""
        value = value + (0.5 * decrement if decrement < 1e-4 else 0.0)
        theta = self.space.theta(local.q)
        free = np.flatnonzero(~reduced.held())
        inner = _positive(reduced.curved[np.ix_(free, free)], reduced.plain[np.ix_(free, free)])
        if pivot is not None and local.a is not None:
            H = local.H if local._A is None else local.H + reduced.slope * local._A
            v = np.zeros(len(local.q))
            v[pivot] = 1.0 / local.a[pivot]
            pull = (H @ v)[reduced.rest] - reduced.w * float(H[pivot] @ v)
            r = np.zeros(len(reduced.rest))
            r[free] = -la.small_solve(inner, pull[free]) if len(free) else 0.0
            v = v + reduced.full(r, pivot)
            return Stand(c, local.q, theta, value, reduced.slope, float(v @ H @ v), v, True)
        cross = getattr(local.evaluation, "cross", None)
        if cross is None:
            return Stand(c, local.q, theta, value, 0.0, np.nan, np.zeros(len(local.q)), True)
        pull = local.J @ cross
        v = np.zeros(len(local.q))
        v[free] = la.small_solve(inner, pull[free]) if len(free) else 0.0
        bend = local.evaluation.bend - float(pull @ v)
        return Stand(c, local.q, theta, value, local.evaluation.slope, bend, v, True)


def _unfinished(stand: Stand) -> Stand:
    return Stand(stand.c, stand.q, stand.theta, stand.loglik, stand.slope, stand.bend, stand.tangent, False)
