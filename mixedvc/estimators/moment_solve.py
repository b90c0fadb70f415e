"""S θ = q solved: freely, over Σ ⪰ 0, in the parameters of any structure, with components held (MATH: 4).

The objective qᵀθ − ½ θᵀSθ is a concave "log-likelihood" with score q − Sθ and information S: where a closed form (a
linear system, non-negative least squares) does not do, the Newton ascent of the likelihoods climbs it in its charts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import IdentifiabilityError
from ..linalg import dense as la
from ..structures.base import Structure
from .charts import BoxChart, Chart, FixedChart, chart_for
from .newton import Ascent, chart_parameters, scale_parameters
from .start import Units, moment_start, units_of

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
SINGULAR = 1e-10  # smallest relative eigenvalue of S with which the components can be told apart
MAX_STEPS = 200  # of an ascent over a cone of matrices
_TOL = 1e-15  # of the Newton decrement of the scaled objective


@dataclass(frozen=True)
class Problem:
    """S θ = q of a specification, some components held.

    Parameters
    ----------
    spec : ModelSpec
    S, q : (m, m), (m,)
    held : mapping of int to (n_par,)
        Parameters of the terms that are not estimated, by position in ``spec.all_terms``.
    told : bool
        Whether S is known to tell the components apart (other right-hand sides of one problem).
    """

    spec: ModelSpec
    S: Float
    q: Float
    held: dict[int, Float] = field(default_factory=dict)
    told: bool = False

    # ---- layout ---------------------------------------------------------------------------------------------

    @cached_property
    def slices(self) -> list[slice]:
        """Each term's stretch of the structure parameters."""
        stops = np.cumsum([0, *(term.structure.n_par for term in self.spec.all_terms)])
        return [slice(int(a), int(b)) for a, b in pairwise(stops)]

    @cached_property
    def free_terms(self) -> list[int]:
        """Terms that are estimated."""
        return [i for i in range(len(self.spec.all_terms)) if i not in self.held]

    @cached_property
    def fixed(self) -> Bools:
        """(n_par,) parameters that are held."""
        out = np.zeros(self.slices[-1].stop, dtype=bool)
        for i in self.held:
            out[self.slices[i]] = True
        return out

    @cached_property
    def owners(self) -> NDArray[np.intp]:
        """(m,) the term of each linear parameter."""
        return np.array([where.term for where in self.spec.index])

    @cached_property
    def linear(self) -> bool:
        """Whether every estimated Σ is linear in its parameters, which are then entries of θ."""
        return all(self.spec.all_terms[i].structure.linear for i in self.free_terms)

    @cached_property
    def variances_only(self) -> bool:
        """Whether every estimated parameter is a variance by itself (an orthant, not a cone of matrices)."""
        pairs = (self.spec.all_terms[i].structure.pairs for i in self.free_terms)
        return self.linear and all(a == b for some in pairs for a, b in some)

    @cached_property
    def free(self) -> Bools:
        """(m,) linear parameters of the estimated terms."""
        return np.isin(self.owners, self.free_terms)

    @cached_property
    def _correlations(self) -> Bools:
        """(n_par,) parameters without a unit: those between two bounds."""
        bounds = [term.structure.bounds() for term in self.spec.all_terms]
        return np.concatenate([np.isfinite(upper - lower) for lower, upper in bounds])

    @cached_property
    def given(self) -> Float:
        """(m,) θ of the held terms, zero elsewhere."""
        sigmas = [np.zeros((term.k, term.k)) for term in self.spec.all_terms]
        for i, par in self.held.items():
            sigmas[i] = self.spec.all_terms[i].structure.build(par)
        return self.spec.theta(sigmas)

    def with_q(self, q: Float) -> Problem:
        """The same equations for another right-hand side."""
        return Problem(self.spec, self.S, q, self.held, told=True)

    # ---- solutions ------------------------------------------------------------------------------------------

    def unconstrained(self) -> Solution:
        """θ̂ = S⁻¹q, negative variances and all; patterned structures stay inside their own bounds."""
        if not self.linear:
            return self._climb(constrained=False)
        free = self.free
        S, q = self.S[np.ix_(free, free)], self.q[free] - self.S[free] @ self.given
        if not self.told:
            self._check(S, self.owners[free])
        theta = self.given.copy()
        theta[free] = _solve(S, q)
        return self._solved(theta, np.zeros(len(theta), dtype=bool))

    def constrained(self) -> Solution:
        """The largest value over Σ ⪰ 0: non-negative least squares for variances, faces of the cone for matrices."""
        if not self.variances_only:
            return self._climb(constrained=True)
        free = self.free
        S, q = self.S[np.ix_(free, free)], self.q[free] - self.S[free] @ self.given
        if not self.told:
            self._check(S, self.owners[free])
        theta = self.given.copy()
        theta[free] = non_negative(S, q)
        return self._solved(theta, free & (theta == 0.0))

    def _solved(self, theta: Float, zero: Bools) -> Solution:
        """A solution whose free parameters are entries of θ, those flagged `zero` at their bound."""
        par, bound = np.zeros(len(self.fixed)), np.zeros(len(self.fixed), dtype=bool)
        for i, at in enumerate(self.slices):
            par[at] = self.held[i] if i in self.held else theta[self.owners == i]
            if i not in self.held:
                bound[at] = zero[self.owners == i]
        return Solution(self, par, theta, bound)

    def jacobian(self, par: Float) -> Float:
        """(m, n_par) ∂θ/∂par."""
        J = np.zeros((len(self.owners), len(par)))
        for i, (term, at) in enumerate(zip(self.spec.all_terms, self.slices, strict=True)):
            first, second = np.array(term.structure.pairs).T
            J[self.owners == i, at] = term.structure.gradient(par[at])[:, first, second].T
        return J

    # ---- charts ---------------------------------------------------------------------------------------------

    def _climb(self, *, constrained: bool) -> Solution:
        """Newton ascent of the objective in the charts of the structures."""
        variance = self._variance()
        units = units_of(self.spec, variance, self.held)
        objective: Any = _Quadratic(self.S, self.q, 0.5 / variance**2)
        ascent = Ascent(self.spec, objective, units, _TOL, MAX_STEPS)
        at, converged, message = ascent.run(self._charts(units, constrained))
        pieces = [
            chart_parameters(chart, units, i, units.up(i, chart.sigma(chart.q))) for i, chart in enumerate(at.charts)
        ]
        par = np.concatenate([values for values, _ in pieces])
        bound = np.concatenate([edge for _, edge in pieces])
        moves = ~(self.fixed | bound)
        J = self.jacobian(par)[:, moves]
        if not self.told and moves.any():
            owner = np.repeat(np.arange(len(self.slices)), [at.stop - at.start for at in self.slices])
            J = J / np.where(self._correlations, variance, 1.0)[moves]  # as if all were variances: θ has y's unit
            self._check(J.T @ self.S @ J, owner[moves])
        return Solution(self, par, at.theta, bound, converged, "" if converged else message)

    def _charts(self, units: Units, constrained: bool) -> list[Chart]:
        begin = moment_start(self.spec, (self.S, self.q), units)
        charts: list[Chart] = []
        for i, term in enumerate(self.spec.all_terms):
            structure = term.structure
            if i in self.held:
                par = scale_parameters(structure, self.held[i], units, i, up=False)
                charts.append(FixedChart(structure, par))
            elif structure.linear and not constrained:
                charts.append(FreeChart(structure, structure.start(begin[i])))
            else:
                charts.append(chart_for(structure, begin[i]))
        return charts

    def _variance(self) -> float:
        """Size of the response: what the residual explains alone."""
        own = [j for j, w in enumerate(self.spec.index) if w.term == len(self.spec.terms) and w.a == w.b]
        value = float(self.q[own].sum() / self.S[np.ix_(own, own)].sum())
        return value if value > 0 else max(float(np.abs(self.q).max() / np.diagonal(self.S).max()), 1e-300)

    # ---- identifiability ------------------------------------------------------------------------------------

    def _check(self, S: Float, owners: Sequence[int] | NDArray[np.intp]) -> None:
        """Refuse equations that cannot tell the components apart, naming them."""
        if not len(S):
            return
        diagonal = np.diagonal(S)
        reference = np.diagonal(self.S).max()
        unseen = diagonal <= 1e-18 * max(reference, 0.0)
        terms = self.spec.all_terms
        if unseen.any() or not np.isfinite(S).all():
            who = terms[int(np.asarray(owners)[np.flatnonzero(unseen)[0]])] if unseen.any() else terms[-1]
            raise IdentifiabilityError(
                f"{who.text}: nothing of it is left in the second moments: the fixed effects explain all that these "
                "random effects could, or no level has both of two effects. Leave the fixed or the random effect out"
            )
        scale = 1.0 / np.sqrt(diagonal)
        values, vectors = la.small_eigh(S * scale[:, None] * scale)
        if values[0] > SINGULAR * values[-1]:
            return
        involved = np.abs(vectors[:, 0]) > 0.05 * np.abs(vectors[:, 0]).max()
        names = list(dict.fromkeys(int(i) for i in np.asarray(owners)[involved]))
        random_terms = [terms[i].text for i in names if i < len(self.spec.terms)]
        among = " and ".join(random_terms) + (" and the residual" if len(names) > len(random_terms) else "")
        raise IdentifiabilityError(
            f"the moment equations cannot tell {among or 'the components'} apart: S is singular (relative eigenvalue "
            f"{values[0] / values[-1]:.0e}). Leave one of them out, or hold one by fixed_varcomp"
        )


@dataclass(frozen=True)
class Solution:
    """Where the objective of a problem is largest.

    Attributes
    ----------
    problem : Problem
    par : (n_par,)
    theta : (m,)
    at_bound : (n_par,) bool
    converged : bool
    message : str
    """

    problem: Problem
    par: Float
    theta: Float
    at_bound: Bools
    converged: bool = True
    message: str = ""

    @property
    def singular(self) -> bool:
        """Whether some Σ is at the edge of what it can be."""
        return bool(self.at_bound.any())

    @cached_property
    def gain(self) -> Float:
        """(n_par, m): ∂par/∂q = (JᵀSJ)⁻¹Jᵀ over the parameters that move, zero rows elsewhere."""
        return self._gain(self.at_bound)

    @property
    def noise_gain(self) -> Float:
        """`gain` for Monte-Carlo errors: on a face of a cone of matrices, where no entry rests, as if it were free."""
        patterned = np.zeros(len(self.par), dtype=bool)
        for i, at in enumerate(self.problem.slices):
            patterned[at] = not self.problem.spec.all_terms[i].structure.linear
        return self.gain if self.problem.variances_only else self._gain(self.at_bound & patterned)

    def _gain(self, rests: Bools) -> Float:
        moves = ~(self.problem.fixed | rests)
        J = self.problem.jacobian(self.par)[:, moves]
        out = np.zeros((len(self.par), len(self.theta)))
        if moves.any():
            out[moves] = _solve(J.T @ self.problem.S @ J, J.T)
        return out


def solution_at(problem: Problem, par: Float) -> Solution:
    """Given parameters as a solution, variances of exactly zero flagged (a combination of solutions)."""
    sigmas = [t.structure.build(par[at]) for t, at in zip(problem.spec.all_terms, problem.slices, strict=True)]
    bound = np.zeros(len(par), dtype=bool)
    for term, at, Sigma in zip(problem.spec.all_terms, problem.slices, sigmas, strict=True):
        if term.structure.linear:
            zero = np.diagonal(Sigma) == 0.0
            bound[at] = [bool(zero[a] or zero[b]) for a, b in term.structure.pairs]
    bound &= ~problem.fixed
    return Solution(problem, par, problem.spec.theta(sigmas), bound)


@dataclass(frozen=True)
class FreeChart:
    """Entries of Σ without bounds: what an unconstrained moment estimate moves in."""

    structure: Structure
    q: Float

    @property
    def lower(self) -> Float:
        return np.full(len(self.q), -np.inf)

    @property
    def upper(self) -> Float:
        return np.full(len(self.q), np.inf)

    def sigma(self, q: Float) -> Float:
        return self.structure.build(q)

    def jacobian(self) -> Float:
        return BoxChart(self.structure, self.q).jacobian()

    def curvature(self, score: Float) -> Float:
        return np.zeros((len(self.q),) * 2)

    def moved(self, q: Float) -> FreeChart:
        return FreeChart(self.structure, q)


@dataclass(frozen=True)
class _Quadratic:
    """c (qᵀθ − ½ θᵀSθ) with the interface of a likelihood that `Ascent` climbs."""

    S: Float
    q: Float
    unit: float
    name = "moments"

    def at(self, theta: Float) -> _QuadraticAt:
        return _QuadraticAt(self, theta)


@dataclass(frozen=True)
class _QuadraticAt:
    of: _Quadratic
    theta: Float

    @property
    def loglik(self) -> float:
        return self.of.unit * float(self.of.q @ self.theta - 0.5 * self.theta @ self.of.S @ self.theta)

    @property
    def score(self) -> Float:
        return self.of.unit * (self.of.q - self.of.S @ self.theta)

    @property
    def average_information(self) -> Float:
        return self.of.unit * self.of.S

    @property
    def observed_information(self) -> Float:
        return self.of.unit * self.of.S


def _solve(S: Float, b: Float) -> Float:
    """S⁻¹ b after scaling S to a unit diagonal: effects may have any units."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(S), 1e-300))
    right = b * scale if b.ndim == 1 else b * scale[:, None]
    x = la.small_solve(S * scale[:, None] * scale, right)
    return x * scale if b.ndim == 1 else x * scale[:, None]


def non_negative(S: Float, q: Float) -> Float:
    """argmax qᵀθ − ½ θᵀSθ over θ ≥ 0, zeros exact; S positive semi-definite, q in its range."""
    from scipy.optimize import nnls  # here: the import takes as long as that of everything else

    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(S), 1e-300))
    size = float(np.abs(q * scale).max(initial=0.0))
    if size == 0.0:
        return np.zeros(len(q))
    scaled, right = S * scale[:, None] * scale, q * scale / size
    values, vectors = la.small_eigh(scaled)
    kept = values > 1e-12 * values[-1]
    root = np.sqrt(values[kept])
    x = nnls(root[:, None] * vectors[:, kept].T, (vectors[:, kept].T @ right) / root)[0]
    positive = x > 1e-14 * x.max(initial=0.0)
    x = np.where(positive, x, 0.0)
    inside = np.ix_(positive, positive)
    if positive.any() and kept.all():  # the free ones to full precision: where none is zero, S⁻¹q itself
        polished = la.small_solve(scaled[inside], right[positive])
        if (polished > 0).all():
            x[positive] = polished
    return x * size * scale
