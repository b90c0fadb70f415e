"""The same model fitted to many responses: what does not depend on the response is prepared once.

Newton starts where one scoring step from the first estimate leads,

    θ⁽⁰⁾ = θ̂ + I(θ̂)⁻¹ ½(quad_b(θ̂) − trace(θ̂)),

which needs of each response only quad_j = (Py_b)ᵀV_jPy_b, a product with all responses at once.  On a balanced design
that is the maximum already (where it lies inside the parameter space).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..likelihood.base import Evaluation, Likelihood
from ..likelihood.gaussian import levels_matmat
from ..linalg import dense as la
from .base import Estimator, PointEstimate
from .charts import Chart, FixedChart, chart_for
from .newton import Ascent, estimate_from
from .setup import Options, begin
from .start import Units

Float = NDArray[np.float64]
Refit = Callable[[], PointEstimate]
TOLERANCE = 1e-9  # decrement at which a refit ends: θ̂ to about 3e-5 of its standard error
FLOOR = 0.01  # of the response's variance: where a start at or below zero begins


class Refits(Protocol):
    """Fits of one model to other responses on the same rows."""

    def prepare(self, Y: Float, likelihoods: Sequence[Likelihood | None]) -> list[Refit]:
        """One call for each column of Y (n, B) that fits it; `likelihoods` carry the columns where there are any."""
        ...


def refits(estimator: Any, spec: ModelSpec, estimate: PointEstimate, likelihood: Likelihood | None) -> Refits:
    """How `estimator` fits other responses: its own way (a method `refits`), or from the start each time.

    Parameters
    ----------
    estimate : PointEstimate
        The first estimate: where the others start.
    likelihood : Likelihood or None
        Carries `spec`'s own response; None for an estimator that needs none.
    """
    own = getattr(estimator, "refits", None)
    return FromTheStart(estimator, spec) if own is None else own(spec, estimate, likelihood)


@dataclass(frozen=True)
class FromTheStart:
    """Each response by `estimator.fit`; an estimator that starts somewhere by chance starts the same way each time."""

    estimator: Estimator
    spec: ModelSpec

    def prepare(self, Y: Float, likelihoods: Sequence[Likelihood | None]) -> list[Refit]:
        return [partial(self._fit, y, own) for y, own in zip(Y.T, likelihoods, strict=True)]

    def _fit(self, y: Float, likelihood: Likelihood | None) -> PointEstimate:
        needed = likelihood if "likelihood" in self.estimator.needs else None
        rng = np.random.default_rng(0)
        return self.estimator.fit(replace(self.spec, y=np.array(y)), rng=rng, likelihood=needed)


class NewtonRefits:
    """Newton from a start near the maximum, in the units of the first fit."""

    def __init__(
        self,
        options: Options,
        spec: ModelSpec,
        estimate: PointEstimate,
        likelihood: Likelihood,
        information: str = "average",
        patience: int = 3,
    ):
        self._options, self._spec = options, spec
        self._information, self._patience = information, patience
        found = begin(options, spec, likelihood)
        self._exact = isinstance(found, PointEstimate)
        self._units: Units | None = None if isinstance(found, PointEstimate) else found.units
        charts = [] if isinstance(found, PointEstimate) else found.charts
        self._held: dict[int, Chart] = {i: c for i, c in enumerate(charts) if isinstance(c, FixedChart)}
        self._step = Scoring(spec, likelihood.at(estimate.theta), estimate.fixed)

    def prepare(self, Y: Float, likelihoods: Sequence[Likelihood | None]) -> list[Refit]:
        if self._units is None:  # the first response was fitted exactly: it tells no units
            return FromTheStart(self._options, self._spec).prepare(Y, likelihoods)  # type: ignore[arg-type]
        starts = self._step.starts(Y)
        return [partial(self._fit, theta, own) for theta, own in zip(starts, likelihoods, strict=True)]

    def _fit(self, theta: Float, likelihood: Likelihood | None) -> PointEstimate:
        assert self._units is not None and likelihood is not None
        options = self._options
        ascent = Ascent(
            self._spec,
            likelihood,
            self._units,
            max(options.tol, TOLERANCE),  # type: ignore[attr-defined]
            int(options.max_iter),  # type: ignore[attr-defined]
            information=self._information,
            patience=self._patience,
        )
        at, converged, message = ascent.run(self._charts(theta))
        return estimate_from(ascent, at, converged, message, options.name, options.restricted)

    def _charts(self, theta: Float) -> list[Chart]:
        charts: list[Chart] = []
        for i, (term, Sigma) in enumerate(zip(self._spec.all_terms, self._spec.sigmas(theta), strict=True)):
            if i in self._held:
                charts.append(self._held[i])
                continue
            assert self._units is not None
            scaled = la.nearest_psd(self._units.down(i, Sigma), FLOOR / term.k)
            charts.append(chart_for(term.structure, scaled))
        return charts


class Scoring:
    """θ̂ + I⁻¹ score for many responses at once, everything else taken at one θ̂."""

    def __init__(self, spec: ModelSpec, evaluation: Evaluation, fixed: NDArray[np.bool_]):
        self._spec, self._at = spec, evaluation
        self._free = np.flatnonzero(_moving(spec, fixed))
        information = np.asarray(evaluation.average_information if _large(spec) else evaluation.expected_information)
        self._gain = _inverse(information[np.ix_(self._free, self._free)])

    def starts(self, Y: Float) -> Float:
        """(B, m) where Newton starts for each column of Y (n, B)."""
        spec, theta = self._spec, self._at.theta
        centred = Y if spec.offset is None else Y - spec.offset[:, None]
        score = 0.5 * (quadratics(spec, np.asarray(self._at.project(centred))) - self._at.trace[:, None])
        out = np.repeat(theta[None], Y.shape[1], axis=0)
        out[:, self._free] += (self._gain @ score[self._free]).T
        return out


def quadratics(spec: ModelSpec, U: Float) -> Float:
    """(m, B) U_bᵀ V_j U_b of the columns of U (n, B)."""
    return np.concatenate([_of_term(term, U) for term in spec.all_terms])


def _of_term(term: Term, U: Float) -> Float:
    """(m_term, B) for the linear parameters of one term."""
    own = term.collect(U)  # (q, k, B)
    spread = levels_matmat(term, own.reshape(term.q, -1)).reshape(own.shape)
    pattern = getattr(term.structure, "pattern", None)
    if pattern is not None:  # entries of Σ that share a parameter
        out = np.zeros((len(term.structure.pairs), U.shape[1]))
        for a in range(term.k):
            np.add.at(out, pattern[a], np.einsum("qb,qcb->cb", own[:, a], spread))
        return out
    products = [np.einsum("qb,qb->b", own[:, a], spread[:, b]) for a, b in term.structure.pairs]
    twice = np.array([1.0 if a == b else 2.0 for a, b in term.structure.pairs])
    return twice[:, None] * np.array(products)


def _inverse(information: Float) -> Float:
    """Inverse where the information says something, zero in directions of which it says nothing."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    values, vectors = la.small_eigh(information * scale * scale[:, None])
    kept = values > 1e-10
    return (vectors[:, kept] / values[kept]) @ vectors[:, kept].T * scale * scale[:, None]


def _large(spec: ModelSpec) -> bool:
    """Whether the expected information may cost more than the few iterations it saves."""
    return spec.n > 2000


def _moving(spec: ModelSpec, fixed: NDArray[np.bool_]) -> list[bool]:
    """Which linear parameters belong to terms that are not held."""
    held, at = [], 0
    for term in spec.all_terms:
        held.append(bool(fixed[at : at + term.structure.n_par].all()))
        at += term.structure.n_par
    return [not held[where.term] for where in spec.index]
