"""Fits to many responses by any estimator: one set-up for all of them, each response as exact as if fitted alone.

`again` has quick refits around one estimate, for bootstraps; here nothing is taken from another response's estimate.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError, MixedVCWarning
from ..likelihood.base import Likelihood
from ..likelihood.panel import with_responses
from ..likelihood.panel_coordinates import Coordinates
from ..likelihood.panel_profile import Ends, Profile
from ..moments import Moments, Variant, choose_moments
from .base import Estimator, PointEstimate
from .each_share import Found, grid_of, search
from .given import given_parameters
from .he import HE
from .moment_fit import _sampling, exact_fit, fits_exactly, point_estimate, shown
from .moment_options import wanted_se
from .moment_solve import Problem
from .rehe import REHE
from .reml import ML, REML

Float = NDArray[np.float64]
EXACT = 1e-24  # of a response's variance: what is left of it by the fixed effects is rounding
_CELLS = 4e5  # numbers in one of the arrays of a block


@dataclass(frozen=True)
class PanelFit:
    """One kernel, T responses: where each profile is highest, and the model there.

    Attributes
    ----------
    found : Found
    ends : Ends
    null : (T,)
        Log-likelihood without the kernel.
    exact : (T,) bool
        The fixed effects reproduce the response: nothing here holds for it.
    """

    found: Found
    ends: Ends
    null: Float
    exact: NDArray[np.bool_]


def has_panel(estimator: Any) -> bool:
    """Whether `estimator` maximises a likelihood whose maximum `fit_panel` finds."""
    plain = isinstance(estimator, REML | ML)
    free = plain and estimator.fixed_varcomp is None and estimator.start is None
    return free and estimator.likelihood in (None, "spectral")


class Panel:
    """Every response of a specification with one scalar kernel by REML or ML, all at once."""

    def __init__(self, coordinates: Coordinates, estimator: REML | ML):
        self.profile = Profile(coordinates, estimator.restricted)
        self._tol, self._max_iter = estimator.tol, int(estimator.max_iter)
        self._grid = grid_of(self.profile)

    @property
    def block(self) -> int:
        """Responses that are worked on together."""
        return int(np.clip(_CELLS / max(len(self.profile.d), 1), 16, 4096))

    def fit(self, Y: Float) -> PanelFit:
        """Y (n, T) on the rows of the specification, complete."""
        coordinates = self.profile.coordinates
        centred = Y - Y.mean(axis=0)
        size = np.einsum("nt,nt->t", centred, centred) + 1e-6 * np.einsum("nt,nt->t", Y, Y)
        Z, ols = coordinates.responses(Y)
        exact = np.einsum("rt,rt->t", Z, Z) <= EXACT * size * float(np.mean(coordinates.rows.scale**2))
        if exact.any():
            Z[:, exact] = np.random.default_rng(0).standard_normal((len(Z), 1))  # so that nothing divides by zero
        found = search(self.profile, Z, self._tol, self._max_iter, self._grid)
        return PanelFit(found, self.profile.ends(Z, ols, found.share), found.null + self.profile.constant, exact)


@dataclass(frozen=True)
class OneFit:
    """A response fitted by itself, or why it was not."""

    estimate: PointEstimate | None
    likelihood: Likelihood | None
    spec: ModelSpec
    failure: str = ""


class OneByOne:
    """Each response by the estimator's own iteration, on one likelihood and one set of moment equations."""

    def __init__(self, estimator: Estimator, spec: ModelSpec, likelihood: Likelihood | None, count: int, seed: int):
        self._seed = seed
        self._estimator, self._spec, self._likelihood = estimator, spec, likelihood
        self._moments = SharedMoments(estimator, spec, count) if _shares_moments(estimator) else None  # type: ignore[arg-type]

    def fits(self, Y: Float, names: Sequence[str]) -> Iterator[OneFit]:
        """Every column of Y (n, B), in order."""
        carriers: Sequence[Likelihood | None] = [None] * Y.shape[1]
        if self._likelihood is not None:
            carriers = with_responses(self._likelihood, Y)
        prepared = None if self._moments is None else self._moments.prepare(Y)
        for b, (y, carrier, name) in enumerate(zip(Y.T, carriers, names, strict=True)):
            spec = replace(self._spec, y=np.array(y), y_names=(name,), source=None)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", MixedVCWarning)  # what they say stands in the row
                    if prepared is None or self._moments is None:
                        needed = carrier if "likelihood" in self._estimator.needs else None
                        estimate = self._estimator.fit(spec, rng=np.random.default_rng(self._seed), likelihood=needed)
                    else:
                        estimate = self._moments.fit(spec, prepared[:, b])
            except MixedVCError as error:
                yield OneFit(None, carrier, spec, str(error))
            else:
                yield OneFit(estimate, carrier, spec)


def _shares_moments(estimator: Any) -> bool:
    """Whether what does not depend on the response may be computed once, without changing a digit of a random trace."""
    return (
        isinstance(estimator, HE | REHE)
        and wanted_se(estimator) in ("sandwich", "none")
        and estimator.trace == "exact"
        and estimator.outer is None
    )


class SharedMoments:
    """`he` and `rehe`: S is computed once, q for many responses at a time.

    Cov(q) is a quadratic form in θ, C(θ) = Σ θ_l θ_m C_lm, so that m(m + 1)/2 of them give that of every response.
    """

    covariance_probes: Float | None = None

    def __init__(self, estimator: HE | REHE, spec: ModelSpec, count: int):
        o = self._o = estimator
        self.spec = spec
        self._variant = Variant(bool(o.projection), o.entries)  # type: ignore[arg-type]
        squared = wanted_se(o) == "sandwich"
        rng = np.random.default_rng(0)
        self._moments: Moments = choose_moments(spec, probes=int(o.probes), rng=rng, covariance=squared)
        self.rows, self.name, self.reason = self._moments.rows, self._moments.name, self._moments.reason
        equations = self._moments.equations(self._variant)
        held = given_parameters(spec, o.fixed_varcomp, "fixed_varcomp")
        self._problem = Problem(spec, equations.S, equations.q, held)
        self._problem.unconstrained()  # says if S does not tell the components apart
        m = len(spec.index)
        self._form = self._quadratic_form(m) if squared and count > m * (m + 1) // 2 else None

    @property
    def fallback(self) -> str:
        """Why Cov(q) came from random probes; empty where it did not."""
        return self._moments.fallback

    def _quadratic_form(self, m: int) -> Float | None:
        """(m, m, m, m) C_lm of Cov(q); None where it comes from random probes."""
        unit = np.eye(m)
        form = np.empty((m, m, m, m))
        for a in range(m):
            form[a, a], error = self._moments.covariance(self._variant, unit[a])
            if error is not None:
                return None
        for a, b in combinations(range(m), 2):
            both = self._moments.covariance(self._variant, unit[a] + unit[b])[0]
            form[a, b] = form[b, a] = 0.5 * (both - form[a, a] - form[b, b])
        return form

    def covariance(self, variant: Variant, theta: Float) -> tuple[Float, Float | None]:
        """Cov(q) at θ (see `mixedvc.moments.base.Moments`)."""
        if self._form is None:
            made = self._moments.covariance(variant, theta)
            self.covariance_probes = self._moments.covariance_probes
            return made
        return np.einsum("a,b,abjk->jk", theta, theta, self._form), None

    def prepare(self, Y: Float) -> Float:
        """(m, B) right-hand sides of Y (n, B)."""
        offset = self.spec.offset
        centred = Y if offset is None else Y - offset[:, None]
        return self._moments.quadratic(self._variant, centred * self.rows.scale[:, None])

    def fit(self, spec: ModelSpec, q: Float) -> PointEstimate:
        """One response from its right-hand side."""
        o, constrained = self._o, isinstance(self._o, REHE)
        header: Any = shown(o, self)  # type: ignore[arg-type]
        if fits_exactly(self.rows.with_response(spec.y)):
            return exact_fit(spec, o.name, header)
        problem = replace(self._problem.with_q(q), spec=spec)
        free = problem.unconstrained()
        solution = problem.constrained() if constrained else free
        rng = np.random.default_rng(0)
        moments: Any = self
        found = _sampling(o, moments, self._variant, problem, free, solution, None, rng, None, None, constrained)
        return point_estimate(o.name, problem, solution, found[0], o.fixed, found[1], header, self.reason)
