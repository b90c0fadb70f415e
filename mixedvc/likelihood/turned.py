"""A likelihood of orthogonal effects, read on the user's scale.

V does not change when a term's basis is multiplied by T and its Σ becomes T⁻¹ΣT⁻ᵀ.  Where the user's effects are
nearly collinear (the intercept and the slope of a year), the likelihood inside is built on basis·T, and its linear
parameters are K θ: derivatives by them go back through Kᵀ, the effects through T.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from .base import Evaluation, HasCells, HasRough, Likelihood, information_along
from .marginals import Marginals, marginals
from .orthogonal_effects import OrthogonalEffects, orthogonal_effects, turned_specification
from .panel import with_responses
from .rows import row_scale

Float = NDArray[np.float64]
COLLINEAR = 30.0  # condition of a term's effects from which they are turned: below, a digit or two are lost at most


AnyLikelihood = TypeVar("AnyLikelihood", bound=Likelihood)


class TurnedEvaluation:
    """One θ of the user's (see `mixedvc.likelihood.base.Evaluation`), from the evaluation at K θ."""

    def __init__(self, inner: Evaluation, turned: OrthogonalEffects, theta: Float):
        self.inner, self.turned, self.theta, self.reml = inner, turned, theta, inner.reml

    # ---- what does not know of effects ----------------------------------------------------------------------

    @property
    def loglik(self) -> float:
        return self.inner.loglik

    @property
    def beta(self) -> Float:
        return self.inner.beta

    @property
    def beta_cov(self) -> Float:
        return self.inner.beta_cov

    @property
    def Py(self) -> Float:
        return self.inner.Py

    def solve(self, U: Float) -> Float:
        return self.inner.solve(U)

    def project(self, U: Float) -> Float:
        return self.inner.project(U)

    @property
    def residual_traces(self) -> Float:
        """(k, k) tr(T Z_a Z_bᵀ) of the cells of a residual whose rows depend on each other: never turned."""
        if not isinstance(self.inner, HasCells):
            raise TypeError("this likelihood has no entries of V⁻¹ for a residual whose rows depend on each other")
        return self.inner.residual_traces

    # ---- derivatives ----------------------------------------------------------------------------------------

    @property
    def quad(self) -> Float:
        return self.turned.dual(self.inner.quad)

    @property
    def trace(self) -> Float:
        return self.turned.dual(self.inner.trace)

    @property
    def score(self) -> Float:
        return self.turned.dual(self.inner.score)

    @property
    def average_information(self) -> Float:
        return self.turned.information(self.inner.average_information)

    @property
    def expected_information(self) -> Float:
        return self.turned.information(self.inner.expected_information)

    @property
    def observed_information(self) -> Float:
        return self.turned.information(self.inner.observed_information)

    def information_along(self, kind: str, D: Float) -> Float:
        """(r, r) D I Dᵀ, of the directions of K θ."""
        return information_along(self.inner, kind, self.turned.directions(D))

    @property
    def cross_trace(self) -> Float:
        return self.turned.information(self.inner.cross_trace)

    @property
    def cross_quad(self) -> Float:
        return self.turned.information(self.inner.cross_quad)

    @property
    def beta_cov_gradient(self) -> Float:
        return self.turned.dual(self.inner.beta_cov_gradient)

    # ---- random effects -------------------------------------------------------------------------------------

    def blup(self, term: int) -> Float:
        return self.turned.effects(term, self.inner.blup(term))

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        return self.turned.covariance(term, self.inner.prediction_cov(term, fixed_known=fixed_known))

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        beta, us = self.inner.draw(rng)
        return beta, [self.turned.effects(term, u) for term, u in enumerate(us)]


class TurnedLikelihood:
    """The likelihood `inner` of orthogonal effects as one of the user's specification."""

    def __init__(self, spec: ModelSpec, inner: Likelihood, turned: OrthogonalEffects):
        self.spec, self.inner, self.turned = spec, inner, turned
        self.name, self.reml = inner.name, inner.reml

    def at(self, theta: Float) -> TurnedEvaluation:
        theta = np.array(theta, dtype=np.float64)
        return TurnedEvaluation(self.inner.at(self.turned.theta(theta)), self.turned, theta)

    def marginals(self, thetas: Float) -> Marginals:
        """Each row of `thetas` (K, m), by the way of the likelihood inside."""
        turned = np.array(thetas, dtype=np.float64)
        for at, K in self.turned.mixing:
            turned[:, at] = turned[:, at] @ K.T
        return marginals(self.inner, turned)

    def rough(self) -> TurnedLikelihood | None:
        """The same in single precision, where the likelihood inside has that."""
        rough = self.inner.rough() if isinstance(self.inner, HasRough) else None
        return None if rough is None else self._on(rough)

    def moments(self) -> tuple[Float, Float]:
        S, q = self.inner.moments()
        return self.turned.information(S), self.turned.dual(q)

    def with_response(self, y: Float) -> TurnedLikelihood:
        return self._on(self.inner.with_response(y))

    def with_responses(self, Y: Float) -> list[TurnedLikelihood]:
        """`with_response` of every column of Y (n, B), by the way of the likelihood inside."""
        return [self._on(one) for one in with_responses(self.inner, Y)]

    def _on(self, inner: Likelihood) -> TurnedLikelihood:
        return TurnedLikelihood(self.spec, inner, self.turned)


def on_orthogonal_effects(
    spec: ModelSpec, build: Callable[[ModelSpec], AnyLikelihood]
) -> AnyLikelihood | TurnedLikelihood:
    """`build` on the specification as it is, or where effects of a term are nearly collinear on orthogonal ones."""
    if all(term.k == 1 for term in spec.terms):
        return build(spec)
    turned = orthogonal_effects(spec, row_scale(spec), COLLINEAR)
    if not turned.mixing:
        return build(spec)
    return TurnedLikelihood(spec, build(turned_specification(spec, turned)), turned)
