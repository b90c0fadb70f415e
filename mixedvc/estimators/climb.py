"""Slow monotone iterations (EM, PX-EM, MM) from their start to a maximum over Σ ⪰ 0 (MATH: 1, 3).

An update maps an evaluation to the next Σ of every term.  Updates never leave the cone and reach its edge only in the
limit, so that a variance whose criterion rises all the way to zero is set to zero, an exact zero that wants to leave is
let go, and the range of a singular Σ is turned (`faces`).  The end is judged as in `newton`: the decrement over the
free coordinates, then the dual condition.  Nothing here depends on which likelihood evaluates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import NotProvided, OptionError
from ..likelihood.base import Evaluation, Likelihood
from ..linalg import dense as la
from ..progress import Progress
from .base import PointEstimate
from .charts import Chart, FaceChart, FixedChart, face_at
from .faces import can_turn, has_bound, turned
from .newton import Ascent, Point, estimate_from
from .quadratic import box_step
from .second_start import highest_end
from .setup import begin, check_options, check_restricted
from .squarem import extrapolated
from .start import Units
from .surrogate import Seen, effects_met, look

Float = NDArray[np.float64]
ACCELERATIONS = ("squarem",)


@dataclass(frozen=True)
class Whole:
    """Everything an update may look at: one evaluation, and each free term as it sees it."""

    spec: ModelSpec
    units: Units
    evaluation: Evaluation
    seen: list[Seen]


Update = Callable[[Whole], Mapping[int, Chart]]  # the next chart of every free term, by its position


def check_climb(tol: float, max_iter: int, restricted: bool, accelerate: str | None) -> None:
    """Refuse what is no option of these iterations."""
    check_options(tol, max_iter)
    check_restricted(restricted)
    if accelerate is not None and not (isinstance(accelerate, str) and accelerate in ACCELERATIONS):
        raise OptionError(f"accelerate={accelerate!r:.60} is not one of {', '.join(map(repr, ACCELERATIONS))} or None")


def climb(
    options: Any, spec: ModelSpec, update: Update, progress: Progress | None, likelihood: Likelihood | None
) -> PointEstimate:
    """Fit `spec` with the update of an estimator whose fields are `options`."""
    if getattr(spec.residual.structure, "degenerate", False):
        raise NotProvided(
            f"method {options.name!r} needs the inverse of the covariance of all cells of the residual, and in "
            f"{spec.residual.text} a place with a variance for each level is several cells: use method='reml' or 'ml'"
        )
    found = begin(options, spec, likelihood, purpose="iterate")
    if isinstance(found, PointEstimate):
        return found
    counts = [effects_met(term) for term in spec.all_terms]
    updates = 0

    def run(charts: list[Chart]) -> tuple[Ascent, Point, bool, str]:
        nonlocal updates
        ascent = Ascent(spec, found.likelihood, found.units, options.tol, int(options.max_iter), progress)
        work = Climb(ascent, update, options.accelerate is not None, counts)
        ended = work.run(charts)
        updates += work.updates
        return ascent, *ended

    ascent, at, converged, message = highest_end(run, spec, found.charts, given=options.start is not None)
    estimate = estimate_from(ascent, at, converged, message, options.name, options.restricted)
    return replace(estimate, reason=found.reason, extra={"updates": updates})


@dataclass
class Climb:
    """One maximisation; the workspace of a fit."""

    ascent: Ascent
    update: Update
    squared: bool
    counts: Sequence[Float]
    updates: int = 0
    _reach: float = 4.0  # longest extrapolation that is tried
    _patience: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)  # (next try, wait) of an edge

    def run(self, charts: list[Chart]) -> tuple[Point, bool, str]:
        """Iterate from the charts' coordinates to the maximum."""
        ascent = self.ascent
        at = ascent.point(charts)
        try:
            while self.updates < ascent.max_iter:
                gradient, H, decrement, _, low, high = ascent.problem(at)
                ascent.record(at, decrement)
                if decrement < ascent.tol or self._stalled():
                    after = self._closed(at, gradient, H, last=True) or ascent.escape(at)
                    if after is None and decrement >= 1e-7:
                        after = self._off_a_corner(at, box_step(H, gradient, low, high))
                    if after is None:
                        return at, *self._end(decrement, ascent.edge_of_errors(at))
                else:
                    after = self._opened(at, gradient, H, low, high, decrement)
                    if after is None and (decrement < 0.1 or self.updates >= 20):  # far away zeros are not settled
                        after = self._closed(at, gradient, H)
                    after = after or self._cycle(at)
                at = after
        except KeyboardInterrupt:
            return at, False, f"interrupted after {self.updates} updates; the numbers are those of the last one"
        except la.NotPositiveDefinite:
            return at, False, f"an update does not exist{ascent.edge_of_errors(at)}"
        decrement = ascent.problem(at)[2]
        ascent.record(at, decrement)
        return at, False, f"stopped after {self.updates} updates (decrement {decrement:.1e}, tol {ascent.tol:.1e})"

    def _end(self, decrement: float, edge: str) -> tuple[bool, str]:
        if decrement < self.ascent.tol:
            return True, "Newton decrement below tolerance"
        if decrement < 1e-7:
            return True, "rounding limit"
        return False, f"the updates no longer move (decrement {decrement:.1e}){edge}"

    def _stalled(self, rows: int = 40) -> bool:
        """Whether the criterion has long not risen nor the decrement fallen: what is left of both is rounding."""
        last = self.ascent.rows[-2 * rows :]
        if len(last) < 2 * rows:
            return False
        before, after = ([row.decrement for row in part] for part in (last[:rows], last[rows:]))
        risen = (last[-1].loglik - last[0].loglik) / self.ascent.noise(last[-1].loglik)
        # far from the end an iteration may be slow: it has stopped only where it does not move at all
        return min(after) >= 0.9 * min(before) and risen < (10.0 if after[-1] < 1e-7 else 0.1)

    # ---- updates --------------------------------------------------------------------------------------------

    def _next(self, at: Point) -> list[Chart]:
        """Charts after one update."""
        whole = self._whole(at)
        self.updates += 1
        return self._put(at.charts, self.update(whole))

    def _whole(self, at: Point) -> Whole:
        ascent = self.ascent
        evaluation = ascent.likelihood.at(at.theta)
        seen = look(ascent.spec, ascent.units, evaluation, at.charts, self.counts)
        return Whole(ascent.spec, ascent.units, evaluation, seen)

    @staticmethod
    def _put(charts: Sequence[Chart], new: Mapping[int, Chart]) -> list[Chart]:
        return [new.get(i, chart) for i, chart in enumerate(charts)]

    def _moved(self, at: Point) -> Point:
        """One update, and a turn of the terms that are singular; never lower than `at` by more than rounding."""
        after = self._if_higher(at, self._next(at))
        if any(can_turn(chart) for chart in after.charts):
            if not has_bound(self.ascent.spec, after.theta):
                return self._scored(after)
            whole = self._whole(after)
            new = turned(whole.spec, whole.units, whole.evaluation, whole.seen)
            after = self._if_higher(after, self._put(after.charts, new))
        return after

    def _scored(self, at: Point) -> Point:
        """A scoring step in the loadings of the singular terms, shortened until it rises.

        Where the residual of several traits is singular the bound behind a turn does not exist.
        """
        gradient, H, _, q, low, high = self.ascent.problem(at)
        turning = np.concatenate([np.full(len(chart.q), can_turn(chart)) for chart in at.charts])
        direction = np.zeros(len(q))
        inner = np.ix_(turning, turning)
        direction[turning] = box_step(H[inner], gradient[turning], low[turning], high[turning])
        for length in (1.0, 0.3, 0.1, 0.01):
            after = self._if_higher(at, self.ascent.moved(at.charts, q + length * direction))
            if after is not at:
                return after
        return at

    def _if_higher(self, at: Point, charts: list[Chart]) -> Point:
        return self._tried(charts, at.loglik - self.ascent.noise(at.loglik)) or at

    def _tried(self, charts: list[Chart], least: float) -> Point | None:
        """The point at `charts`, None (and a row of the trace) where it lies below `least`."""
        theta = self.ascent.theta(charts)
        value = self.ascent.loglik(theta)
        if value >= least:
            self.ascent.passed(theta, value)
            return self.ascent.point(charts, theta, value)
        self.ascent.reject(theta, value)
        return None

    def _cycle(self, at: Point) -> Point:
        """One update, or two and an extrapolation that is kept where it does not lie lower."""
        first = self._moved(at)
        if not self.squared or first is at:
            return first
        if any(can_turn(chart) for chart in first.charts):
            last = self._moved(first)
            charts = last.charts
        else:
            last, charts = first, self._next(first)  # evaluated only where the extrapolation fails
        beyond, length = extrapolated(at.charts, first.charts, charts, self._reach)
        least = last.loglik - self.ascent.noise(last.loglik)
        kept = self._tried(beyond, least) or self._recovered(beyond, least)
        if kept is not None:
            self._reach = max(self._reach, 4.0 * length)
            return kept
        self._reach = max(1.5, 0.25 * length)
        return self._if_higher(first, charts) if last is first else last

    def _recovered(self, charts: list[Chart], least: float) -> Point | None:
        """One update from an extrapolation that lies too low: off a curved ridge, but perhaps far along it."""
        low = self.ascent.visited[-1]
        if not np.isfinite(low.loglik):
            return None
        return self._tried(self._next(self.ascent.point(charts, low.theta, low.loglik)), least)

    # ---- the edge of the cone -------------------------------------------------------------------------------

    def _opened(self, at: Point, gradient: Float, H: Float, low: Float, high: Float, decrement: float) -> Point | None:
        """A higher point off a bound that the score points away from: updates themselves cannot leave a zero."""
        inward = ((low >= 0.0) & (gradient > 0.0)) | ((high <= 0.0) & (gradient < 0.0))
        step = gradient / np.diagonal(H)
        for j in np.flatnonzero(inward & (gradient * step > 0.1 * decrement)):
            longest = np.clip(step[j], max(low[j], -1.0), min(high[j], 1.0))
            found = self.ascent.first_higher(
                at, (self._shifted(at, int(j), length * longest) for length in (1.0, 0.3, 0.03, 1e-3))
            )
            if found is not None:
                return found
        return None

    def _off_a_corner(self, at: Point, direction: Float) -> Point | None:
        """A higher point along a joint move of all coordinates: in a corner of several cones none rises by itself."""
        q = np.concatenate([chart.q for chart in at.charts])
        return self.ascent.first_higher(
            at, (self.ascent.moved(at.charts, q + t * direction) for t in (1, 0.3, 0.1, 0.01))
        )

    def _shifted(self, at: Point, j: int, change: float) -> list[Chart]:
        """Charts with the j-th of all coordinates changed."""
        out, start = list(at.charts), 0
        for i, chart in enumerate(at.charts):
            if start <= j < start + len(chart.q):
                q = chart.q.copy()
                q[j - start] += change
                out[i] = chart.moved(q)
            start += len(chart.q)
        return out

    def _closed(self, at: Point, gradient: Float, H: Float, last: bool = False) -> Point | None:
        """A point with one variance (an eigenvalue, a correlation) at its bound, where that lies no lower.

        What was tried in vain waits longer each time; at the end (`last`) all are tried once more.
        """
        least = at.loglik - (self.ascent.noise(at.loglik) if last else 0.0)
        for key, charts in self._edges(at, gradient, np.diagonal(H)):
            due, wait = self._patience.get(key, (0, 1))
            if self.updates < due and not last:
                continue
            found = self._tried(charts, least)
            if found is not None:
                return found
            self._patience[key] = (self.updates + 2 * wait, 2 * wait)
        return None

    def _edges(self, at: Point, gradient: Float, bend: Float) -> list[tuple[tuple[int, int], list[Chart]]]:
        """Bounds that are uphill and no farther than the maximum of the criterion's parabola in that direction."""
        out: list[tuple[tuple[int, int], list[Chart]]] = []
        start = first = 0
        for i, chart in enumerate(at.charts):
            stop, last = start + len(chart.structure.pairs), first + len(chart.q)
            if isinstance(chart, FaceChart):
                less = _one_rank_less(chart, at.score[start:stop], at.information[start:stop, start:stop])
                if less is not None:
                    out.append(((i, -1), self._put(at.charts, {i: less})))
            elif not isinstance(chart, FixedChart):
                step = gradient[first:last] / bend[first:last]
                for j in range(len(chart.q)):
                    bound = chart.upper[j] if step[j] > 0 else chart.lower[j]
                    room = bound - chart.q[j]
                    if np.isfinite(room) and room != 0.0 and step[j] / room > 0.7:
                        q = chart.q.copy()
                        q[j] = bound
                        out.append(((i, j), self._put(at.charts, {i: chart.moved(q)})))
            start, first = stop, last
        return out


def _one_rank_less(chart: FaceChart, score: Float, information: Float) -> FaceChart | None:
    """The chart without its smallest eigenvalue where the criterion falls with it; None elsewhere."""
    if chart.rank == 0:
        return None
    Sigma = chart.sigma(chart.q)
    values, vectors = la.small_eigh(Sigma)
    value, v = values[-chart.rank], vectors[:, -chart.rank]
    along = np.array([v[a] * v[b] for a, b in chart.structure.pairs])  # ∂θ as that eigenvalue grows
    if not value * float(along @ information @ along) <= -float(score @ along):
        return None
    return face_at(chart.structure, Sigma - value * np.outer(v, v), 0.0, at_most=chart.rank - 1)
