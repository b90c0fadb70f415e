"""Profile likelihood of a fit: the maximum of its criterion with one quantity held, for each quantity asked for.

    ζ(ψ) = sign(ψ − ψ̂) √(2(ℓ̂ − max{ℓ : ψ held})),      interval = {ψ : |ζ(ψ)| ≤ z}

Variance parameters and functions of them are profiled on the criterion that was fitted; fixed effects always on the
(unrestricted) likelihood, since the restricted one does not know β.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import ConvergenceError, OptionError
from ..estimators.base import PointEstimate
from ..estimators.newton import scale_parameters
from ..estimators.start import units_of
from ..likelihood.base import Likelihood
from ..linalg import dense as la
from .parameters import par_slices, parameters
from .profile_climb import Climb, Coordinate, Fraction, Function, Stand
from .profile_fixed import HeldEffect
from .profile_path import Axis, End, Higher, Path, Point
from .profile_space import TriangleChart, coordinate_chart, space_at
from .profile_targets import Target, variance_targets
from .se import default_kind

Float = NDArray[np.float64]
INF = np.inf
_RESTARTS = 3
_TOP = 1e-13  # Newton decrement at the maximum itself
_FEW = 2000  # random effects whose products of traces are cheap by any likelihood


class Machine:
    """One criterion of one model at its maximum, from which paths start.

    Parameters
    ----------
    spec : ModelSpec
        With the response of the fit: the likelihood may have been set up for another one.
    likelihood : Likelihood
        REML or ML: its maximum is looked for from θ and `par`.
    fixed : (n_par,) bool
        Parameters held at given values.
    """

    def __init__(self, spec: ModelSpec, likelihood: Likelihood, theta: Float, par: Float, fixed: NDArray[np.bool_]):
        self.spec, self.likelihood, self._fixed = spec, likelihood, fixed
        self.units = units_of(spec, _variance(spec))
        self.information = "observed" if _cheap(spec, likelihood.name) else "average"
        self.evaluations = 0
        self.restart(theta, par)

    def restart(self, theta: Float, par: Float) -> None:
        """Climb to the maximum from another place."""
        space = space_at(self.spec, self.units, theta, par, self._fixed)
        climb = Climb(space, lambda th, _: self.likelihood.at(th), self.information)
        self.top: Stand = climb.run(None, space.q, 0.0, _TOP)
        self.evaluations += climb.evaluations
        if not np.isfinite(self.top.loglik):
            raise ConvergenceError(
                "the likelihood cannot be evaluated where the fit ended (the covariance of the data is singular "
                "there), so there is no profile"
            )
        self.space = space.moved(self.top.q)

    @property
    def loglik(self) -> float:
        return self.top.loglik

    def path(self, target: Target) -> Path:
        """The path of a target, nothing of it found yet."""
        return Path(self._axis(target), self.loglik, self.information)

    # ---- axes -----------------------------------------------------------------------------------------------

    def _axis(self, target: Target) -> Axis:
        if target.kind == "fixed":
            return self._fixed_axis(target)
        if target.kind == "share":
            return self._share_axis(target)
        if target.kind == "function":
            return self._function_axis(target)
        if target.kind == "level":
            return self._level_axis(target)
        if target.kind == "covariance":
            return self._covariance_axis(target)
        p = target.parameter
        assert p is not None
        structure = self.spec.all_terms[p.term].structure
        if structure.name == "us" and structure.k > 1:
            return self._correlation_axis(target) if target.kind == "correlation" else self._root_axis(target)
        return self._parameter_axis(target)

    def _at(self, theta: Float, _: float) -> Any:
        return self.likelihood.at(theta)

    def _root_axis(self, target: Target) -> Axis:
        """A standard deviation of an unstructured Σ: the first entry of its triangle."""
        p = target.parameter
        assert p is not None
        chart = self.space.triangle(p.term, (p.a,))
        unit = float(chart.T[p.a, p.a])
        space = self.space.with_chart(p.term, chart)
        at = space.slices[p.term].start
        return Axis(
            space,
            self._at,
            Coordinate(at),
            unit * float(space.q[at]),
            lambda t: t / unit,
            lambda c: c * unit,
            lambda t: 1.0 / unit,
            lower=0.0,
            size=0.3 * unit,
        )

    def _correlation_axis(self, target: Target) -> Axis:
        """A correlation of an unstructured Σ: the sine of an angle."""
        p = target.parameter
        assert p is not None
        chart = replace(self.space.triangle(p.term, (p.a, p.b), orthogonal=False), signed=True)
        space = self.space.with_chart(p.term, chart)
        at = space.slices[p.term].start + 2
        least = 1e-9 * np.abs(chart.q).max(initial=0.0)
        there = chart.q[0] > least and chart.q[1] > least
        return Axis(
            space,
            self._at,
            Coordinate(at),
            float(np.sin(chart.q[2])) if there else np.nan,
            lambda t: float(np.arcsin(np.clip(t, -1.0, 1.0))),
            lambda c: float(np.sin(np.clip(c, -np.pi / 2, np.pi / 2))),
            lambda t: 1.0 / np.sqrt(max(1.0 - t * t, 1e-300)),
            lower=-1.0,
            upper=1.0,
            size=0.2,
        )

    def _parameter_axis(self, target: Target) -> Axis:
        """A variance of independent effects, or a parameter of a patterned structure: a coordinate of its chart."""
        p = target.parameter
        assert p is not None
        i, structure = p.term, self.spec.all_terms[p.term].structure
        own = par_slices(self.spec)[i]
        j = [q for q in parameters(self.spec) if q.term == i].index(p)
        chart = coordinate_chart(structure, self.space.scaled(i))
        space = self.space.with_chart(i, chart)
        at = Coordinate(space.slices[i].start + j)
        estimate, q = float(space.par(space.q)[own][j]), float(chart.q[j])
        if p.kind != "variance":
            low, high = structure.bounds()
            return Axis(
                space, self._at, at, estimate, _same, _same, lambda t: 1.0, float(low[j]), float(high[j]), size=0.2
            )
        unit = float(self.units.variance / self.units.sizes[i][p.a if structure.linear else 0] ** 2)
        if not structure.linear:
            unit = float(scale_parameters(structure, np.ones(structure.n_par), self.units, i, up=True)[j])
        root = float(np.sqrt(unit))
        if abs(q - estimate / unit) > 1e-6 * max(q, 1e-12):  # the coordinate is the standard deviation
            inside, outside, slope = lambda t: t / root, lambda c: c * root, lambda t: 1.0 / root
        else:
            inside, outside = lambda t: t * t / unit, lambda c: root * float(np.sqrt(max(c, 0.0)))
            slope = lambda t: 2.0 * t / unit  # noqa: E731
        return Axis(
            space, self._at, at, float(np.sqrt(max(estimate, 0.0))), inside, outside, slope, lower=0.0, size=0.3 * root
        )

    def _covariance_axis(self, target: Target) -> Axis:
        p = target.parameter
        assert p is not None
        of = [(w.term, w.a, w.b) for w in self.spec.index]
        j = of.index((p.term, p.a, p.b))
        space = self.space.with_chart(p.term, _opened(self.space.triangle(p.term)))
        level = Fraction(np.eye(len(of))[j])
        unit = float(self.units.factor[j])
        return Axis(space, self._at, level, level.value(space, space.q), _same, _same, lambda t: 1.0, size=0.1 * unit)

    def _share_axis(self, target: Target) -> Axis:
        assert target.w is not None and target.d is not None
        level = Fraction(target.w, target.d)
        lower, upper = (-INF if target.terms[0] is None else 0.0), (INF if target.terms[1] is None else 1.0)
        return Axis(
            self.space,
            self._at,
            level,
            level.value(self.space, self.space.q),
            _same,
            _same,
            lambda t: 1.0,
            lower,
            upper,
            target.terms,
            size=0.1,
        )

    def _function_axis(self, target: Target) -> Axis:
        assert target.function is not None
        names, function = [p.name for p in parameters(self.spec)], target.function

        def of(par: Float) -> float:
            try:
                with np.errstate(all="ignore"):
                    return float(function(dict(zip(names, (float(v) for v in par), strict=True))))
            except (ArithmeticError, ValueError):  # log(0): no value there
                return np.nan

        level, space = Function(of), self.space
        estimate = level.value(space, space.q)
        if not np.isfinite(estimate):
            raise OptionError(f"the function {target.name!r} has no finite value at the estimates, so no profile")
        charts = space.at(space.q)
        slope, _ = level.derivatives(space, space.q, charts, space.jacobian(charts))
        size = 0.1 * max(abs(estimate), float(np.abs(slope).max(initial=0.0)))
        return Axis(
            self.space,
            self._at,
            level,
            estimate,
            _same,
            _same,
            lambda t: 1.0,
            size=size if size > 0.0 else 1.0,
        )

    def _level_axis(self, target: Target) -> Axis:
        """A level given as such, in its own units."""
        level, space = target.level, self.space
        estimate = level.value(space, space.q)
        charts = space.at(space.q)
        slope, _ = level.derivatives(space, space.q, charts, space.jacobian(charts))
        size = max(0.1 * abs(estimate), 0.1 * float(np.abs(slope).max(initial=0.0)))
        return Axis(
            space,
            self._at,
            level,
            estimate,
            _same,
            _same,
            lambda t: 1.0,
            *target.bounds,
            size=size if size > 0.0 else 0.1,
        )

    def _fixed_axis(self, target: Target) -> Axis:
        assert target.w is not None
        w, spec, likelihood = target.w, self.spec, self.likelihood
        evaluation = likelihood.at(self.top.theta)
        estimate, se = float(w @ evaluation.beta), float(np.sqrt(w @ evaluation.beta_cov @ w))

        def at(theta: Float, b: float) -> HeldEffect:
            return HeldEffect(spec, likelihood.at(theta), w, b)

        return Axis(self.space, at, None, estimate, _same, _same, lambda t: 1.0, size=se)


def _same(t: float) -> float:
    return t


def _cheap(spec: ModelSpec, likelihood: str) -> bool:
    """Whether traces of products of two V_j, and with them the observed information, cost little."""
    if likelihood in ("spectral", "reduced", "blocks", "dense"):
        return default_kind(spec, likelihood) == "expected"
    return sum(term.q * term.k for term in spec.terms) <= _FEW


def _opened(chart: TriangleChart) -> TriangleChart:
    """The chart with coordinates that are exactly zero moved a little: a covariance of zero has no slope in them."""
    size = np.abs(chart.q).max(initial=0.0) or 1.0
    return replace(chart, q=np.where(chart.q == 0.0, 1e-4 * size, chart.q))


def _variance(spec: ModelSpec) -> float:
    """Weighted least-squares residual variance of the response."""
    y, X = spec.response, spec.X
    if spec.weights is not None:
        root = np.sqrt(spec.weights)
        y, X = y * root, X * root[:, None]
    left = y - X @ la.lstsq(X, y) if spec.p else y
    return max(float(left @ left) / max(spec.n - spec.p, 1), 1e-300)


@dataclass
class Profiler:
    """Paths of a fit, found when asked for and kept.

    Parameters
    ----------
    spec : ModelSpec
    estimate : PointEstimate
        With a likelihood.
    likelihood : callable
        reml ↦ the likelihood to evaluate with.
    """

    spec: ModelSpec
    estimate: PointEstimate
    likelihood: Callable[[bool], Likelihood]

    @cached_property
    def _machines(self) -> dict[bool, Machine]:
        return {}

    @cached_property
    def _paths(self) -> dict[tuple[bool, Hashable], Path]:
        return {}

    def restricted(self, target: Target, reml: bool | None = None) -> bool:
        """Whether a target is profiled on the restricted likelihood."""
        return target.kind != "fixed" and bool(self.estimate.reml if reml is None else reml)

    def machine(self, reml: bool) -> Machine:
        """The maximum of REML or ML, the fit's own or one climbed to from there."""
        if reml not in self._machines:
            e = self.estimate
            self._machines[reml] = Machine(self.spec, self.likelihood(reml), e.theta, e.par, e.fixed)
        return self._machines[reml]

    def path(self, target: Target, reml: bool | None = None) -> Path:
        """The path of a target, with what is known of it."""
        restricted = self.restricted(target, reml)
        key = (restricted, target.key)
        if key not in self._paths:
            path = self.machine(restricted).path(target)
            if target.kind == "correlation":
                path.axis = replace(path.axis, ceiling=lambda: self._without(target, reml))
            self._paths[key] = path
        return self._paths[key]

    def _without(self, target: Target, reml: bool | None) -> float:
        """Smallest |ζ| of a model in which a correlation is not defined, because a variance is zero."""
        p = target.parameter
        assert p is not None
        own = [t for t in variance_targets(self.spec) if t.kind == "variance" and t.parameter.term == p.term]  # type: ignore[union-attr]
        involved = [t for t in own if t.effect in (p.effect, p.effect2)] or own
        if len(involved) > 2:  # of many effects with one correlation it is not defined where all but one are zero
            return INF
        return min((self.path(t, reml).at_lower_edge() for t in involved), default=INF)

    def ends(self, target: Target, z: float, reml: bool | None = None) -> tuple[End, End]:
        """Both ends of the interval of a target; where a higher maximum comes to light everything starts from it."""
        return self._from_the_top(target, reml, lambda path: (path.end(-1, z), path.end(1, z)))

    def at(self, target: Target, t: float, reml: bool | None = None) -> Point:
        """The point of a profile at t; |ζ| is the root of the likelihood ratio of that value."""
        return self._from_the_top(target, reml, lambda path: path.at(t))

    def _from_the_top(self, target: Target, reml: bool | None, find: Callable[[Path], Any]) -> Any:
        for _ in range(_RESTARTS):
            path = self.path(target, reml)
            try:
                return find(path)
            except Higher as found:
                restricted = self.restricted(target, reml)
                self.machine(restricted).restart(found.theta, found.par)
                for key in [key for key in self._paths if key[0] == restricted]:
                    del self._paths[key]
        raise ConvergenceError(
            f"the profile of {target.name!r} keeps finding points above the maximum: the likelihood has several "
            "maxima, or is not smooth here"
        )

    @property
    def gain(self) -> float:
        """How much higher than the fit its criterion turned out to be."""
        own = self._machines.get(bool(self.estimate.reml))
        return 0.0 if own is None or self.estimate.loglik is None else own.loglik - self.estimate.loglik

    @property
    def evaluations(self) -> int:
        return sum(m.evaluations for m in self._machines.values()) + sum(p.evaluations for p in self._paths.values())
