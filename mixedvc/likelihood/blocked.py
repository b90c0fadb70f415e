"""Grouped likelihood: mixed-model equations, the largest grouping factor eliminated level by level (MATH: 2b)."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from .base import likelihoods
from .choose import Cost, cost_of
from .grouped_elimination import Elimination, elimination_of
from .grouped_evaluation import GroupedEvaluation
from .grouped_layout import Layout, layout_of, same_partition
from .grouped_marginals import Levels, grouped_marginals, levels_of
from .grouped_moments import grouped_moments
from .grouped_state import GroupedState
from .marginals import Marginals, marginals_one_by_one
from .rows import Rows, working_rows

Float = NDArray[np.float64]


class GroupedLikelihood:
    """Independent levels in every term, one residual variance (see `mixedvc.likelihood.base.Likelihood`)."""

    name = "grouped"

    def __init__(
        self, spec: ModelSpec, reml: bool, rows: Rows, layout: Layout, elimination: Elimination, ZQ: Float | None = None
    ):
        self.spec, self.reml, self._rows, self._layout, self._elimination = spec, reml, rows, layout, elimination
        self._ZQ = layout.Z.T @ rows.Q if ZQ is None else ZQ
        self._Zy = layout.Z.T @ rows.y
        self._last: GroupedEvaluation | None = None

    def at(self, theta: Float) -> GroupedEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = None
            state = GroupedState(self._layout, self._elimination, theta, self._rows.n)
            self._last = GroupedEvaluation(state, self._rows, self._ZQ, self._Zy, self.reml)
        return self._last

    @cached_property
    def _levels(self) -> Levels:
        return levels_of(self._layout, self._rows, np.column_stack([self._ZQ, self._Zy]))

    def marginals(self, thetas: Float) -> Marginals:
        """Each row of `thetas` (K, m): of one factor all at once."""
        if len(self._layout.factors) > 1:
            return marginals_one_by_one(self, thetas)
        found, thin = grouped_marginals(self._layout, self._rows, self._levels, thetas, self.reml)
        if thin.any():
            again = marginals_one_by_one(self, thetas[thin])
            found.loglik[thin], found.beta[thin], found.root[thin] = again.loglik, again.beta, again.root
        return found

    @cached_property
    def _moments(self) -> tuple[Float, Float]:
        return grouped_moments(self._layout, self._rows, self._ZQ, self._Zy)

    def moments(self) -> tuple[Float, Float]:
        return self._moments

    def with_response(self, y: Float) -> GroupedLikelihood:
        rows = self._rows.with_response(y)
        return GroupedLikelihood(self.spec, self.reml, rows, self._layout, self._elimination, self._ZQ)


class _Grouped:
    """Registered kind: terms of independent levels and a residual with one variance."""

    name = "grouped"

    def cost(self, spec: ModelSpec) -> Cost | None:
        if not spec.terms or spec.residual.k != 1:
            return None
        if any(term.covariance.kind != "identity" for term in spec.terms):
            return None
        first, *rest = same_partition(spec)
        sizes = self._component_sizes(spec, rest)
        k = sum(spec.terms[i].k for i in first)
        lead = spec.terms[first[0]]
        rows = np.bincount(lead.codes, minlength=lead.q).astype(np.float64)
        met = sum(np.minimum(rows, spec.terms[g[0]].q) * sum(spec.terms[i].k for i in g) for g in rest)
        pairs = float(np.sum(np.square(met))) * k * (k + 1) / 4
        effects = sum(term.k for term in spec.terms)
        matrices = float((sizes**2).sum())
        calls = 5e5 + 5e5 * len(rest) + 5e5 * any(term.k > 1 for term in spec.terms)  # the interpreter's part
        each = float((sizes**3).sum()) + 20.0 * pairs + 30.0 * matrices + 20.0 * spec.n * (effects + spec.p)
        return cost_of(
            setup=1e6 + 1.5e6 * len(rest) + 100.0 * spec.n * effects + 60.0 * pairs,
            each=calls + each + 30.0 * lead.q * k**3,
            memory=8.0 * (6.0 * matrices + 1.5 * min(pairs, 4e7) + spec.n * (3.0 * effects + spec.p)),
            reason=_reason(spec, first, rest, sizes),
            loglik=None if rest else 1e5 + lead.q * k**2 * (20.0 * k + 2.0 * (spec.p + 1) ** 2),
        )

    @staticmethod
    def _component_sizes(spec: ModelSpec, rest: list[list[int]]) -> Float:
        """Effects that each component of the Schur complement couples."""
        if not rest:
            return np.zeros(1)
        family = spec.families
        made = int(family.max()) + 1
        sizes = np.zeros(made)
        for group in rest:
            term = spec.terms[group[0]]
            of = np.empty(term.q, dtype=np.intp)
            of[term.codes] = family
            sizes += np.bincount(of, minlength=made) * sum(spec.terms[i].k for i in group)
        return sizes

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> GroupedLikelihood:
        rows = working_rows(spec)
        layout = layout_of(spec, rows)
        return GroupedLikelihood(spec, reml, rows, layout, elimination_of(layout))


def _reason(spec: ModelSpec, first: list[int], rest: list[list[int]], sizes: Float) -> str:
    lead = spec.terms[first[0]]
    words = f"the {lead.q:,} levels of {lead.group} are eliminated one by one"
    if not rest:
        return words
    largest = int(sizes.max())
    return f"{words}, which leaves {int(sizes.sum()):,} effects in components of at most {largest:,}"


likelihoods.register("grouped")(_Grouped())
