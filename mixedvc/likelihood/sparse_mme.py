"""Sparse-precision likelihood: pedigrees, precisions and groupings by sparse mixed-model equations (MATH: 2c).

One evaluation costs what the non-zeros of a sparse Cholesky factor cost; no n×n or q×q array exists.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg.dense import NotPositiveDefinite
from ..linalg.elimination import Elimination
from ..linalg.memory import require
from ..structures.base import pattern_of
from .base import likelihoods
from .choose import Cost, cost_of
from .dense import DenseLikelihood
from .differences import observed_by_differences
from .gaussian import GaussianEvaluation
from .kernels import Kernel, residual_kernel, row_kernel
from .orthogonal_effects import turned_specification
from .rows import RowFrame, Rows, working_rows
from .sparse_equations import Equations, equations
from .sparse_moments import sparse_moments
from .sparse_products import quadratic_forms
from .sparse_residual import Records, has_records
from .sparse_sources import source_of, source_size
from .sparse_state import SparseState, largest_eigenvalues
from .turned import TurnedEvaluation, TurnedLikelihood

Float = NDArray[np.float64]
_SMALL = 300  # effects below which the pattern is not looked at to tell the price
_FILLED = 0.3  # share of the other factors' pairs that meet in the largest one's levels beyond which all of them will
_WHOLE = 4000  # rows up to which V is factored whole where the residual variance vanishes
_REGULAR = 1e-5  # least residual variance over a term's part of V that leaves R⁻¹ its digits
_DIRECT = 300  # rows up to which tr(T V_jT V_k) is multiplied out


@dataclass(frozen=True, eq=False)
class Setup:
    """What does not depend on θ or the response."""

    equations: Equations
    norms: list[Float]
    sizes: list[Float]  # (cells, k) mean square of each effect in the rows of a cell, times the diagonal of A
    independent: bool  # every source has Q = I


class SparseEvaluation(GaussianEvaluation):
    """One θ (see `mixedvc.likelihood.base.Evaluation`), but derivatives are by working θ: those of `Equations`."""

    state: SparseState

    def __init__(self, setup: Setup, frame: RowFrame, theta: Float, reml: bool):
        super().__init__(frame, SparseState(setup.equations, frame.rows, setup.norms, theta), theta, reml)
        self.setup = setup

    @property
    def _VPy(self) -> Float:
        return self.state.apply(self._solved[3][:, None])[:, :, 0].T

    @cached_property
    def _products(self) -> Float:
        """(m, p + 1, p + 1) UᵀV_jU of U = [V⁻¹Q, Py]: V_jU is never made."""
        return quadratic_forms(self.rows, self.setup.equations, np.column_stack([self._solved[0], self._solved[3]]))

    @property
    def _HVH(self) -> Float:
        return self._products[:, :-1, :-1]

    @property
    def quad(self) -> Float:
        return self._products[:, -1, -1]

    @cached_property
    def average_information(self) -> Float:
        F, H = self._VPy, self._solved[0]
        given = self.state.weighted(F)
        half = self.state.half_effects(given)
        through = H.T @ F
        total = F.T @ given - half.T @ half - through.T @ self._C @ through
        return np.asarray(0.25 * (total + total.T))

    @cached_property
    def residual_traces(self) -> Float:
        cells = self.state.cells
        if self.reml and self.rows.p:
            H = self._solved[0]
            cells = cells - self.setup.equations.records.by_cells(H @ self._C, H)
        return cells

    def _score_at(self, theta: Float) -> Float:
        return SparseEvaluation(self.setup, self.frame, theta, self.reml).score  # type: ignore[arg-type]

    @cached_property
    def observed_information(self) -> Float:
        if self.rows.n <= _DIRECT:
            return 2.0 * self.average_information - self.expected_information
        turned = self.setup.equations.turned
        return observed_by_differences(self._score_at, self.rows.spec, self.theta, turned.directions)

    @cached_property
    def expected_information(self) -> Float:
        if self.rows.n <= _DIRECT:
            return self._expected(self.state.pair_traces(), self._VH, self._HVH)
        return 2.0 * self.average_information - self.observed_information

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        return self._prediction_cov(term, fixed_known)[self.state.equations.spreads[term].seen]

    def prediction_cov_of_labels(self, term: int, *, fixed_known: bool = False) -> Float | None:
        """(L, k, k) `prediction_cov` of all labels of a pedigree or precision; None of other covariances."""
        return self._prediction_cov(term, fixed_known) if self.state.equations.spreads[term].all_labels else None

    def _prediction_cov(self, term: int, fixed_known: bool) -> Float:
        """Prediction error covariances in the order of the rows of the term's source."""
        equations, L = self.state.equations, self.state.roots[term]
        spread = equations.spreads[term]
        meeting = next(m for m in equations.meetings if m.i == m.j == term)
        labels, k = spread.everyone.shape[0], spread.k
        X = self.state.inverse[meeting.places]
        core = np.empty((labels, k, k))
        for a in range(k):
            for b in range(k):
                core[:, a, b] = np.bincount(spread.label, spread.value * X[a, b, spread.place], labels)
        if self.rows.p and not fixed_known:
            w = spread.of(self.state.effects(self.state.weighted(self.frame.Q)))  # (s, k, p)
            through = (spread.everyone @ w.reshape(len(w), -1)).reshape(labels, k, -1)
            core += np.einsum("lap,pq,lbq->lab", through, self._C, through, optimize=True)
        out = np.einsum("ac,lcd,bd->lab", L, core, L, optimize=True)
        out, Sigma = equations.turned.covariance(term, out), self._sigma(term)
        return out * np.outer(np.diagonal(Sigma) > 0.0, np.diagonal(Sigma) > 0.0)


class OnUserScale(TurnedEvaluation):
    """A `SparseEvaluation`, whose effects are the user's, with derivatives by the user's θ."""

    inner: SparseEvaluation

    def blup(self, term: int) -> Float:
        return self.inner.blup(term)

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        return self.inner.prediction_cov(term, fixed_known=fixed_known)

    def prediction_cov_of_labels(self, term: int, *, fixed_known: bool = False) -> Float | None:
        """(L, k, k) `prediction_cov` of all labels of a pedigree or precision; None of other covariances."""
        return self.inner.prediction_cov_of_labels(term, fixed_known=fixed_known)

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        return self.inner.draw(rng)


class SparseLikelihood:
    """V through sparse mixed-model equations (see `mixedvc.likelihood.base.Likelihood`).

    `moments` is exact for independent levels and for few rows; of pedigrees and precisions of many rows S is estimated
    from a fixed set of random vectors, which is as good a start.
    """

    name = "sparse"

    def __init__(self, spec: ModelSpec, reml: bool, setup: Setup, frame: RowFrame, kernels: list[Kernel] | None = None):
        self.spec, self.reml, self.setup, self.frame = spec, reml, setup, frame
        self._kernels: list[Kernel] = [] if kernels is None else kernels  # filled when first needed
        self._last: OnUserScale | None = None

    def at(self, theta: Float) -> TurnedEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._all_but_explained(theta):
            return self._whole.at(theta)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = None
            inner = SparseEvaluation(self.setup, self.frame, theta, self.reml)
            self._last = OnUserScale(inner, self.setup.equations.turned, theta)
        return self._last

    def _all_but_explained(self, theta: Float) -> bool:
        """Whether V itself is to be factored: R⁻¹ has no digits left beside the random effects, or does not exist.

        Of more rows than a dense V holds well, the equations are solved as they are, and R must be regular.
        """
        if self.spec.n > _WHOLE:
            return False
        *sigmas, residual = self.spec.sigmas(theta)
        try:
            numbers, _ = self.setup.equations.records.inverse(residual)
        except NotPositiveDefinite:
            return bool(np.isfinite(theta).all())  # V may be regular all the same
        parts = [sizes @ np.maximum(np.diagonal(S), 0.0) for sizes, S in zip(self.setup.sizes, sigmas, strict=True)]
        return bool(np.max(parts * self.setup.equations.records.cell_precision(numbers)) > 1.0 / _REGULAR)

    @cached_property
    def _whole(self) -> TurnedLikelihood:
        turned = self.setup.equations.turned
        spec = turned_specification(self.spec, turned)
        rows = replace(self.frame.rows, spec=spec)
        if not self._kernels:
            self._kernels += [row_kernel(term, rows.basis(term)) for term in spec.terms]
            self._kernels.append(residual_kernel(spec, rows.basis(spec.residual)))
        inner = DenseLikelihood(spec, self.reml, RowFrame(rows), self._kernels, self.name)
        return TurnedLikelihood(self.spec, inner, turned)

    def moments(self) -> tuple[Float, Float]:
        return sparse_moments(self.frame, self.setup.equations, self.setup.independent)

    def with_response(self, y: Float) -> SparseLikelihood:
        return SparseLikelihood(self.spec, self.reml, self.setup, self.frame.with_response(y), self._kernels)


_kept: weakref.WeakValueDictionary[int, Setup] = weakref.WeakValueDictionary()


def _setup(spec: ModelSpec) -> Setup:
    """Pattern and plan of a specification: made when its price is asked for, kept as long as the specification."""
    found = _kept.get(id(spec))
    if found is None:
        rows = working_rows(spec)  # not kept: it refers to the specification
        sources = [source_of(term) for term in spec.terms]
        independent = all(s.logdet == 0.0 and s.Q.nnz == s.size for s in sources)
        made = equations(rows, sources)
        found = Setup(made, largest_eigenvalues(made, rows), _sizes(rows, made.records), independent)
        _kept[id(spec)] = found
        weakref.finalize(spec, lambda kept: None, found)  # the specification holds its set-up
    return found


def _sizes(rows: Rows, records: Records) -> list[Float]:
    found = []
    counts = np.maximum(np.bincount(records.cell, minlength=records.k), 1)
    for term in rows.spec.terms:
        diagonal = term.covariance.diagonal(term.positions)[term.codes]
        squares = (rows.basis(term) ** 2 * diagonal[:, None]).T
        found.append(np.array([np.bincount(records.cell, x, records.k) / counts for x in squares]).T)
    return found


class _Sparse:
    """Registered kind: every term has a sparse source, the residual is independent between records."""

    name = "sparse"

    def cost(self, spec: ModelSpec) -> Cost | None:
        if not spec.terms:
            return None
        if pattern_of(spec.residual.structure) is not None or not has_records(spec.residual):
            return None
        found = [source_size(term) for term in spec.terms]
        sizes = [size for size in found if size is not None]
        if len(sizes) < len(spec.terms):
            return None
        effects = [term.k * size for term, (size, _) in zip(spec.terms, sizes, strict=True)]
        entries = sum(term.k * nnz for term, (_, nnz) in zip(spec.terms, sizes, strict=True))
        return _price(spec, effects, entries)

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> SparseLikelihood:
        setup = _setup(spec)
        plan = setup.equations.analysis.plan
        require(
            int(_memory(plan) + 8 * _columns(spec)),
            f"the sparse likelihood ({plan.nnz:,} entries in the factor of {setup.equations.size:,} effects)",
            "Fewer fixed effects or terms need less.",
        )
        return SparseLikelihood(spec, reml, setup, RowFrame(working_rows(spec)))


def _price(spec: ModelSpec, effects: list[int], entries: float) -> Cost:
    """Price of sparse equations from their plan; a bound where they are small, or would leave a dense matrix."""
    size = float(sum(effects))
    others = size - max(effects)
    if size <= _SMALL or _fills(spec, effects):
        price, nnz = 10.0 * size + others**3, size + 0.5 * others**2
        setup, memory = 2e4 * (entries + spec.n * len(spec.terms)), 24.0 * nnz
        reason = f"sparse equations of {int(size):,} effects"
    else:
        plan = _setup(spec).equations.analysis.plan
        price, nnz, setup = plan.price, float(plan.nnz), 0.0  # the plan is made
        memory = _memory(plan)
        reason = f"sparse equations: {int(size):,} effects, {plan.nnz:,} entries in their factor"
    columns = _columns(spec)
    return cost_of(
        setup=setup + 20.0 * nnz,
        each=4e7 + 3.0 * price + 800.0 * nnz + 1200.0 * columns,  # measured
        memory=memory + 8.0 * columns,
        reason=reason,
    )


def _columns(spec: ModelSpec) -> float:
    """Numbers in the columns that are solved for: fixed effects, the response, working variates."""
    return float(spec.n) * (spec.p + 1 + len(spec.index))


def _memory(plan: Elimination) -> float:
    """Bytes of a factor, the entries of its inverse, and the places of the products of thin columns."""
    products = sum(0.5 * below.size * (below.shape[1] + 1) for below in plan.below)
    return 24.0 * plan.nnz + 48.0 * products


def _fills(spec: ModelSpec, effects: list[int]) -> bool:
    """Whether eliminating the largest of several groupings leaves next to a dense matrix, by a count of records."""
    if any(term.cov_name is not None for term in spec.terms):
        return False
    largest = int(np.argmax(effects))
    lead = spec.terms[largest]
    step = int(spec.residual.codes.max()) + 1
    records = np.unique(lead.codes * step + spec.residual.codes) // step  # once for every record of a level
    met = np.bincount(records) * float(sum(t.k for t in spec.terms) - lead.k)
    others = float(sum(effects) - effects[largest])
    return others <= _SMALL or float(np.minimum(met, others) @ np.minimum(met, others)) > _FILLED * others**2


likelihoods.register("sparse")(_Sparse())
