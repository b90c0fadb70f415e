"""Woodbury likelihood: one kernel is rotated once, all other terms are few columns; an evaluation costs n r², not n³.

An animal model with common environments, kinship and herds, lines in environments: beside the kernel stand groupings,
random slopes or features of r columns in all.  For several traits the kernel's and the residual's covariances are made
diagonal together.  The log-likelihood alone, of many θ, reads a table made once (`woodbury_marginals`).
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError
from .base import likelihoods
from .choose import Cost, cost_of
from .eigen_nodes import number_of_nodes
from .gaussian import GaussianEvaluation
from .marginals import Marginals
from .moments import moment_equations
from .turned import TurnedLikelihood, on_orthogonal_effects
from .woodbury_frame import Outline, WoodburyFrame, outline_of, woodbury_frame
from .woodbury_marginals import Tables, tables_of, woodbury_marginals
from .woodbury_state import WoodburyState

Float = NDArray[np.float64]


class WoodburyEvaluation(GaussianEvaluation):
    """One θ (see `mixedvc.likelihood.base.Evaluation`)."""

    frame: WoodburyFrame
    state: WoodburyState

    @cached_property
    def residual_traces(self) -> Float:
        found = self.state.record_blocks(0)[0]
        if self.reml and self.rows.p:
            H = self._solved[0].reshape(-1, self.frame.t, self.rows.p)
            found = found - np.einsum("iap,pq,ibq->ab", H, self._C, H, optimize=True)
        return found

    @cached_property
    def beta_cov_gradient(self) -> Float:
        found = super().beta_cov_gradient
        lift, kernel = self.frame.lift, self.frame.outline.kernel
        if not lift.N.size or kernel is None:
            return found
        first = sum(len(E) for E in self.frame.patterns[:kernel])
        for j, C in enumerate(lift.fixed(self.frame.patterns[kernel], self.frame.fixed.B)):
            found[first + j] -= self.rows.on_user_scale(C)
        return found


class WoodburyLikelihood:
    """A rotated kernel and terms of low rank (see `mixedvc.likelihood.base.Likelihood`)."""

    name = "woodbury"

    def __init__(self, spec: ModelSpec, reml: bool, frame: WoodburyFrame):
        self.spec, self.reml, self._frame = spec, reml, frame
        self._last: WoodburyEvaluation | None = None

    def at(self, theta: Float) -> WoodburyEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = None
            state = WoodburyState(self._frame, theta)
            lift, kernel, lifted = self._frame.lift, self._frame.outline.kernel, None
            if lift.N.size and kernel is not None:
                lifted = lift.fixed(state.sigmas[kernel], self._frame.fixed.B)
            self._last = WoodburyEvaluation(self._frame, state, theta, self.reml, lifted)
        return self._last

    @cached_property
    def _identity(self) -> WoodburyState:
        """V = I: there V_j can be applied, and tr(V⁻¹V_jV⁻¹V_k) is ⟨V_j, V_k⟩."""
        sigmas = [np.zeros((term.k, term.k)) for term in self.spec.terms]
        return WoodburyState(self._frame, self.spec.theta([*sigmas, np.eye(self.spec.residual.k)]))

    @cached_property
    def _inner(self) -> Float:
        found = self._identity.pair_traces()
        found[-1, -1] -= self._frame.extra
        return found

    def moments(self) -> tuple[Float, Float]:
        return moment_equations(self._frame, self._inner, self._identity.apply)

    @cached_property
    def _tables(self) -> Tables:
        return tables_of(self._frame)

    def marginals(self, thetas: Float) -> Marginals:
        """Each row of `thetas` (K, m)."""
        return woodbury_marginals(self._frame, self._tables, thetas, self.reml)

    def with_response(self, y: Float) -> WoodburyLikelihood:
        return self._on(self._frame.with_response(y))

    def with_responses(self, Y: Float) -> list[WoodburyLikelihood]:
        """`with_response` of every column of Y (n, B)."""
        return [self._on(frame) for frame in self._frame.with_responses(Y)]

    def _on(self, frame: WoodburyFrame) -> WoodburyLikelihood:
        again = WoodburyLikelihood(self.spec, self.reml, frame)
        if "_inner" in self.__dict__:
            again.__dict__["_inner"] = self._inner
        return again


class _Woodbury:
    """Registered kind: at most one term that needs a decomposition, independent residuals in complete records."""

    name = "woodbury"

    def cost(self, spec: ModelSpec) -> Cost | None:
        outline = outline_of(spec)
        if outline is None:
            return None
        return _price(spec, outline)

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> WoodburyLikelihood | TurnedLikelihood:
        return on_orthogonal_effects(spec, lambda turned: self._build(turned, reml))

    def _build(self, spec: ModelSpec, reml: bool) -> WoodburyLikelihood:
        outline = outline_of(spec)
        if outline is None:
            raise MixedVCError(
                "the woodbury likelihood needs complete records with independent residuals, and terms whose effects "
                "act on one trait each: use the dense likelihood"
            )
        return WoodburyLikelihood(spec, reml, woodbury_frame(spec, outline, reml))


def _price(spec: ModelSpec, outline: Outline) -> Cost:
    """Flops from the number of records, of columns of low rank, and of nodes of a spectrum of usual width."""
    t, r = outline.records.t, float(outline.order)
    size = outline.squeezed or outline.records.n
    cells, width = float(size * t), outline.columns + spec.p + t
    groups = np.bincount(outline.groups).astype(np.float64)
    kernel = 18.0 * float((groups**3).sum() if outline.by_groups else size**3)
    if outline.kernel is None:
        kernel = 0.0
    if outline.squeezed:
        kernel += 4.0 * spec.n * size**2
    nodes = min(size, number_of_nodes(1e-2, 1e2)) * t * (t + 1) / 2
    diagonal = len(spec.index) - sum(len(spec.terms[term.index].structure.pairs) for term in outline.low)
    return cost_of(
        setup=kernel + 4.0 * size * width**2,
        each=1e6 + cells * r**2 * (6.0 + 2.0 * diagonal) + r**3 + 30.0 * cells * (spec.p + len(spec.index)),
        memory=8.0 * (3.0 * size**2 * (not outline.by_groups) + cells * r * (6.0 + diagonal) + nodes * width**2),
        reason=_reason(spec, outline),
        loglik=5e4 + 2.0 * nodes * width**2 + (r + spec.p) ** 3 + 10.0 * cells,
    )


def _reason(spec: ModelSpec, outline: Outline) -> str:
    rest = f"{outline.order:,} columns of other terms"
    if outline.kernel is None:
        return rest + " beside the residual"
    term = spec.terms[outline.kernel]
    groups = f" in {int(outline.groups.max()) + 1:,} independent blocks" if outline.by_groups else ""
    return f"{term.label} is rotated once{groups}" + (f", beside it {rest}" if outline.low else "")


likelihoods.register("woodbury")(_Woodbury())
