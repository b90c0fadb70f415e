"""The profile of one quantity: points (t, ζ), ζ = ±√(2(ℓ̂ − ℓ_p(t))), and the ends of intervals where |ζ| = z.

Every point carries the slope of the profile (a Lagrange multiplier), so that t as a function of ζ is a cubic through
two points and their slopes; an end is a point that was solved for, not interpolated.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .profile_climb import Climb, Level, Stand
from .profile_space import Space

Float = NDArray[np.float64]
INF = np.inf
ENOUGH = 1e-8  # |ζ| − z at an end
_FAR = 1e5  # sizes from the estimate at which a profile that has not fallen counts as flat
_MOST = 60
_NEAR = 1e-9  # relative width of a bracket that has nothing between


@dataclass(frozen=True)
class Axis:
    """One quantity as a profile sees it.

    Attributes
    ----------
    space : Space
        Coordinates, at the maximum.
    at : callable
        (θ, c) ↦ evaluation.
    level : Level or None
        What is held at c (None for fixed effects, which the evaluation holds).
    estimate : float
        t at the maximum; NaN where it is not defined there.
    inside, outside, slope : callable
        t ↦ c, c ↦ t, dc/dt.
    lower, upper : float
        Ends of the range of t.
    gone : two tuples of int, or None
        Terms whose Σ is zero at those ends where the coordinates cannot go there; None where they can, or where
        there is nothing to see.
    size : float
        A natural unit of t.
    ceiling : callable
        () ↦ the largest |ζ| there can be: that of a model in which the quantity is not defined (a correlation with an
        effect of zero variance), which fits equally well whatever t is.
    """

    space: Space
    at: Callable[[Float, float], Any]
    level: Level | None
    estimate: float
    inside: Callable[[float], float]
    outside: Callable[[float], float]
    slope: Callable[[float], float]
    lower: float = -INF
    upper: float = INF
    gone: tuple[tuple[int, ...] | None, tuple[int, ...] | None] = (None, None)
    size: float = 1.0
    ceiling: Callable[[], float] = lambda: INF


@dataclass(frozen=True)
class Point:
    """A point of the profile: t, signed ζ, dζ/dt (NaN where unknown), and where the other parameters are."""

    t: float
    zeta: float
    slope: float
    stand: Stand

    def __lt__(self, other: Point) -> bool:
        return self.t < other.t


@dataclass(frozen=True)
class End:
    """An end of an interval.

    Attributes
    ----------
    t : float
    kind : str
        "crossed": |ζ| = z there.  "edge": the range of the quantity ends there, not rejected.  "limit": no values
        beyond exist.  "open": the profile has not fallen far enough anywhere (t is ±∞).  "undefined": a model in which
        the quantity is not defined is not rejected, so neither is any value of it.
    zeta : float
    converged : bool
        Whether the end was found, and the other parameters there.
    """

    t: float
    kind: str
    zeta: float
    converged: bool = True


class Higher(Exception):
    """A point of a profile lies above the maximum; carries its θ and structure parameters."""

    def __init__(self, theta: Float, par: Float):
        self.theta, self.par = theta, par
        super().__init__("a point of the profile lies above the maximum")


class Path:
    """The profile along one axis, found as far as it was asked for.

    Parameters
    ----------
    top : float
        Log-likelihood at the maximum.
    information : str
        "observed" | "average".
    """

    def __init__(self, axis: Axis, top: float, information: str):
        self.axis, self._top, self._information = axis, top, information
        self._climb = Climb(axis.space, axis.at, information)
        self._ends: dict[tuple[int, float], End] = {}
        self.points: list[Point] = []
        self.turns = False  # whether the profile rose on the way outward
        self._size = self._large = axis.size  # of a step that changes something, and of one that changes a lot
        self.extra = 0

    @property
    def evaluations(self) -> int:
        return self._climb.evaluations + self.extra

    @property
    def defined(self) -> bool:
        return bool(np.isfinite(self.axis.estimate))

    @cached_property
    def ceiling(self) -> float:
        """Largest |ζ| there can be."""
        return self.axis.ceiling()

    def at_lower_edge(self) -> float:
        """|ζ| at the lower end of the range."""
        if not self.points:
            self._begin()
        if self.axis.estimate == self.axis.lower:
            return 0.0
        near = self.points[0]
        return abs(self.point(self.axis.lower, near).zeta)

    def _begin(self) -> None:
        axis = self.axis
        t = axis.estimate
        stand = self._climb.run(axis.level, axis.space.q, axis.inside(t))
        slope = np.nan
        inside = axis.lower < t < axis.upper
        if inside and stand.bend > 0 and abs(stand.slope) < 1e-4 * np.sqrt(stand.bend):
            slope = np.sqrt(stand.bend) * axis.slope(t)
        self.points = [Point(t, 0.0, slope if slope > 0 else np.nan, stand)]
        if slope > 0:
            self._size, self._large = min(axis.size, 1.0 / slope), max(axis.size, 1.0 / slope)
        self._large = max(self._large, abs(t))

    # ---- points ---------------------------------------------------------------------------------------------

    def point(self, t: float, near: Point, other: Point | None = None) -> Point:
        """The point at t, from where the other parameters are at `near`; its ζ is ±∞ where t cannot be had.

        `other`: a neighbour to start from as well where the criterion lies below what that one promises.
        """
        for seen in self.points:
            if seen.t == t:
                return seen
        stand = self._stand(t, near)
        if other is not None and not self._as_expected(stand, other.stand):
            stand = max(stand, self._stand(t, other), key=lambda one: one.loglik)
        return self._placed(t, stand)

    def at(self, t: float) -> Point:
        """The point at t, however far: the higher of two climbs, straight from the estimate and by steps."""
        if not self.points:
            self._begin()
        for seen in self.points:
            if seen.t == t:
                return seen
        start = next(p for p in self.points if p.t == self.axis.estimate)
        straight, near = self._stand(t, start), start
        for share in (0.4, 0.7, 0.9):
            between = self.point(start.t + share * (t - start.t), near)
            near = between if np.isfinite(between.zeta) else near
        return self._placed(t, max(straight, self._stand(t, near), key=lambda stand: stand.loglik))

    def _placed(self, t: float, stand: Stand) -> Point:
        """A point of the profile, remembered."""
        axis, sign = self.axis, 1.0 if t > self.axis.estimate else -1.0
        if stand.loglik > self._top + 1e-7 * max(1.0, 1e-4 * abs(self._top)):
            raise Higher(stand.theta, axis.space.par(stand.q))
        size = float(np.sqrt(2.0 * max(self._top - stand.loglik, 0.0)))
        zeta, capped = sign * min(size, self.ceiling), size >= self.ceiling
        # at an edge of the range the coordinates of the others may be degenerate, and the slope with them
        known = zeta != 0.0 and np.isfinite(zeta) and not capped and axis.lower < t < axis.upper
        rise = -stand.slope * axis.slope(t) / zeta if known else np.nan
        found = Point(t, zeta, rise if np.isfinite(rise) else np.nan, stand)
        if np.isfinite(zeta):
            insort(self.points, found)
            self._notice()
        return found

    def _stand(self, t: float, near: Point) -> Stand:
        axis = self.axis
        edge = axis.gone[0] if t == axis.lower else axis.gone[1] if t == axis.upper else None
        c = axis.inside(t)
        if edge is not None:
            return self._edge(edge, near, c)
        move = near.stand.tangent * (c - near.stand.c)
        # no coordinate is moved by more than its own size: beyond that the tangent says nothing
        too_far = (np.abs(move) / np.maximum(np.abs(near.stand.q), 0.1)).max(initial=0.0)
        start = near.stand.q + move / max(1.0, too_far)
        found = self._climb.run(axis.level, start, c)
        if self._as_expected(found, near.stand):
            return found
        other = self._climb.run(axis.level, near.stand.q, c)  # where the tangent led to another valley, without it
        return max(found, other, key=lambda stand: stand.loglik)

    @staticmethod
    def _as_expected(found: Stand, near: Stand) -> bool:
        """Whether the criterion fell no more than about what slope and bend promised."""
        step = found.c - near.c
        drop = abs(near.slope * step) + 0.5 * abs(near.bend) * step**2
        if not np.isfinite(drop):
            return bool(np.isfinite(found.loglik))
        return bool(found.loglik >= near.loglik - 2.0 * drop - 0.5)

    def _edge(self, gone: tuple[int, ...], near: Point, c: float) -> Stand:
        """The maximum of the model without the terms that are zero at an end of the range."""
        space = self.axis.space.moved(near.stand.q).without(gone)
        climb = Climb(space, self.axis.at, self._information)
        found = climb.run(None, space.q, c)
        self.extra += climb.evaluations
        n = len(near.stand.q)
        return Stand(c, near.stand.q, found.theta, found.loglik, np.nan, np.nan, np.zeros(n), found.converged)

    def _notice(self) -> None:
        """Whether ζ falls anywhere between the points known."""
        zetas = [p.zeta for p in self.points]
        self.turns = self.turns or any(b < a - 1e-5 for a, b in pairwise(zetas))
        self.turns = self.turns or any(p.slope < -1e-4 * (abs(p.zeta) + 1e-3) / self._size for p in self.points)

    # ---- ends -----------------------------------------------------------------------------------------------

    def end(self, sign: int, z: float) -> End:
        """Where the profile crosses ±z, on the side `sign` of the estimate."""
        if (sign, z) not in self._ends:
            if not self.defined:
                t = self.axis.upper if sign > 0 else self.axis.lower
                self._ends[sign, z] = End(t, "edge", 0.0)
            else:
                if not self.points:
                    self._begin()
                self._ends[sign, z] = self._search(sign, z)
        return self._ends[sign, z]

    def _search(self, sign: int, z: float) -> End:
        axis = self.axis
        bound = axis.upper if sign > 0 else axis.lower
        if self.ceiling < z:
            return End(bound, "undefined", sign * self.ceiling)
        inner, outer = self._bracket(sign, z)
        if inner.t == bound:
            return End(bound, "edge", inner.zeta)
        if outer is None and abs(inner.zeta) < 0.3 * z:  # a point half way: where the next guess comes from
            half = self._clipped(self._guess(sign, 0.5 * z, inner, None), inner.t, bound)
            inner, outer = self._sorted(sign, z, inner, None, self.point(half, inner))
        slow, before = 0, INF  # steps in which the bracket was not halved
        for _ in range(_MOST):
            if inner.t == bound:
                return End(bound, "edge", inner.zeta)
            if outer is None and abs(inner.t - axis.estimate) > _FAR * self._large:
                return End(sign * INF, "open", inner.zeta)
            if outer is not None and self._closed(inner, outer):
                return (
                    End(inner.t, "limit", inner.zeta) if np.isinf(outer.zeta) else End(outer.t, "crossed", outer.zeta)
                )
            width = INF if outer is None else abs(outer.t - inner.t)
            slow, before = (slow + 1, before) if width > 0.5 * before else (0, width)
            t = 0.5 * (inner.t + outer.t) if outer and slow > 2 else self._next(sign, z, inner, outer, bound)
            near = inner if outer is None or np.isinf(outer.zeta) else self._nearer(t, inner, outer)
            found = self.point(t, near, None if near is inner else inner)
            if abs(abs(found.zeta) - z) < ENOUGH * max(1.0, z):
                return End(found.t, "crossed", found.zeta, found.stand.converged)
            inner, outer = self._sorted(sign, z, inner, outer, found)
        return End(inner.t, "crossed" if outer is not None else "open", inner.zeta, False)

    def _bracket(self, sign: int, z: float) -> tuple[Point, Point | None]:
        """The outermost known point before the crossing, and the first one beyond it."""
        at = next(p for p in self.points if p.t == self.axis.estimate)
        side = sorted((p for p in self.points if sign * (p.t - at.t) > 0), key=lambda p: sign * p.t)
        inner: Point = at
        for p in side:
            if abs(p.zeta) >= z:
                return inner, p
            inner = p
        return inner, None

    @staticmethod
    def _sorted(sign: int, z: float, inner: Point, outer: Point | None, new: Point) -> tuple[Point, Point | None]:
        if abs(new.zeta) < z:
            return (new if sign * (new.t - inner.t) >= 0 else inner), outer
        return inner, new

    def _closed(self, inner: Point, outer: Point) -> bool:
        return abs(outer.t - inner.t) <= _NEAR * max(self._size * 1e-3, abs(inner.t))

    @staticmethod
    def _nearer(t: float, inner: Point, outer: Point) -> Point:
        return inner if abs(t - inner.t) <= abs(t - outer.t) else outer

    @staticmethod
    def _clipped(t: float, start: float, bound: float) -> float:
        return min(t, bound) if bound >= start else max(t, bound)

    def _guess(self, sign: int, z: float, inner: Point, before: Point | None) -> float:
        """Where ζ might reach ±z beyond `inner`, by the quadratic model of the criterion there, or a cubic."""
        axis, stand = self.axis, inner.stand
        if before is not None and before.slope > 0 and inner.slope > 0:
            t = _cubic(before, inner, sign * z)
            if sign * (t - inner.t) > 0:
                return t
        if inner.zeta != 0.0 and inner.slope > 0:
            return inner.t + (sign * z - inner.zeta) / inner.slope
        # ℓ̂ − ℓ ≈ |λ| δ + ½ bend δ² in c
        down, bend = abs(stand.slope) if np.isfinite(stand.slope) else 0.0, max(stand.bend, 0.0)
        bend = bend if np.isfinite(bend) else 0.0
        if down == 0.0 and bend == 0.0:
            return inner.t + sign * self._size
        root = down + np.sqrt(down**2 + bend * z**2)
        t = axis.outside(stand.c + sign * z**2 / root)
        return t if np.isfinite(t) and sign * (t - inner.t) > 0 else inner.t + sign * self._size

    def _next(self, sign: int, z: float, inner: Point, outer: Point | None, bound: float) -> float:
        width = abs(inner.t - self.axis.estimate)
        if outer is None:
            before = self._neighbour(sign, inner)
            t = self._guess(sign, z, inner, before)
            least = max(0.02 * width, 1e-3 * self._size)
            most = max(4.0 * width, 4.0 * self._size) if inner.zeta != 0.0 else INF
            step = min(max(sign * (t - inner.t), least), most)
            return self._clipped(inner.t + sign * step, inner.t, bound)
        low, high = sorted((inner.t, outer.t))
        middle = 0.5 * (low + high)
        if abs(outer.zeta) > 5.0 * z:  # too far to interpolate
            t = self._guess(sign, z, inner, None)
            return t if low + 0.01 * (high - low) < t < high - 0.01 * (high - low) else middle
        for t in self._between(sign, z, inner, outer):
            if low < t < high:
                return t
        return middle

    def _between(self, sign: int, z: float, inner: Point, outer: Point) -> list[float]:
        tries = []
        if inner.slope > 0 and outer.slope > 0:
            tries.append(_cubic(inner, outer, sign * z))
        for p in sorted((inner, outer), key=lambda p: abs(abs(p.zeta) - z)):
            if p.slope > 0:
                tries.append(p.t + (sign * z - p.zeta) / p.slope)
        share = (z - abs(inner.zeta)) / (abs(outer.zeta) - abs(inner.zeta))
        return [*tries, inner.t + share * (outer.t - inner.t)]

    def _neighbour(self, sign: int, inner: Point) -> Point | None:
        known = [p for p in self.points if sign * (inner.t - p.t) > 0 and sign * (p.t - self.axis.estimate) >= 0]
        return max(known, key=lambda p: sign * p.t) if known else None

    # ---- the curve ------------------------------------------------------------------------------------------

    def curve(self, zetas: Float) -> Float:
        """t at given ζ between the outermost points, by cubics through neighbours and their slopes."""
        points = [p for p in self.points if np.isfinite(p.zeta)]
        if len(points) < 2:
            return np.full(len(zetas), np.nan)
        z = np.array([p.zeta for p in points])
        out = np.empty(len(zetas))
        for i, value in enumerate(zetas):
            j = int(np.clip(np.searchsorted(z, value) - 1, 0, len(points) - 2))
            a, b = points[j], points[j + 1]
            inside = z[j] <= value <= z[j + 1]
            out[i] = _cubic(a, b, value) if inside else np.nan
        return out


def _cubic(a: Point, b: Point, zeta: float) -> float:
    """t at ζ by the cubic through two points with their slopes dt/dζ; a chord where a slope is unknown."""
    h = b.zeta - a.zeta
    if h == 0.0:
        return a.t
    s, chord = (zeta - a.zeta) / h, (b.t - a.t) / h
    left = 1.0 / a.slope if a.slope > 0 else chord
    right = 1.0 / b.slope if b.slope > 0 else chord
    limit = 3.0 * abs(chord)  # monotone (Fritsch & Carlson)
    if 0.0 <= s <= 1.0:
        left, right = min(left, limit), min(right, limit)
    spread = h * s * (1.0 - s) * ((left - chord) * (1.0 - s) - (right - chord) * s)
    return float(a.t + s * (b.t - a.t) + spread)
