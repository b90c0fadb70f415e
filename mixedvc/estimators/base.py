"""The estimator contract: "an estimator iterates" and returns plain numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..progress import Progress
from ..registry import Registry

Float = NDArray[np.float64]


@dataclass(frozen=True)
class TraceRow:
    """One evaluation of an iteration: where, how high, how far from the end, and whether it went on from there."""

    iteration: int
    theta: Float
    loglik: float
    decrement: float  # Newton decrement gᵀH⁻¹g over the free coordinates; NaN where an estimator has none
    step: float  # step length taken to get here (1 = full)
    accepted: bool = True  # False: tried and left, its decrement is NaN (−∞ where V is not positive definite)


@dataclass(frozen=True)
class Sampling:
    """How an estimate varies from sample to sample, where its estimator says so itself instead of an information.

    Attributes
    ----------
    kind : str
        "sandwich" | "bootstrap" | "jackknife" | another word that the notes print.
    centre : (n_par,)
        What `cov` is the covariance of and intervals are centred at: the estimate before any constraint.
    cov : (n_par, n_par)
    draws : (B, n_par) or None
        Estimates of replicated data, for percentile intervals.
    noise : (n_par,) or None
        Monte-Carlo standard error of the estimate itself (random probes or subsamples); None where nothing is random.
    about : str
        A sentence for the notes, e.g. how many draws; may be empty.
    """

    kind: str
    centre: Float
    cov: Float
    draws: Float | None = None
    noise: Float | None = None
    about: str = ""


@dataclass(frozen=True)
class PointEstimate:
    """What a point estimator returns: numbers only; names, inference and tables are made from them later.

    Attributes
    ----------
    method : str
        Registered name.
    theta : (m,)
        Linear parameters in the layout of ``spec.index``.
    par : (sum of n_par,)
        Structure parameters, term by term, the residual last (equal to θ where structures are linear).
    at_bound : (sum of n_par,) bool
        Parameters at the edge of their domain (a variance at zero, a correlation at ±1).
    fixed : (sum of n_par,) bool
        Parameters held at a given value.
    singular : bool
        Some term's Σ is singular.
    loglik : float or None
        None where the method has no likelihood.
    reml : bool or None
    sampling : Sampling or None
        Where standard errors do not come from an information; None too where a method was told to give none.
    fixed_effects : str
        "gls" (weighted by V at the estimate) | "ols" | "none" (there is no response to regress).
    notes : tuple of str
        Sentences for the summary that only the estimator knows.
    """

    method: str
    theta: Float
    par: Float
    at_bound: NDArray[np.bool_]
    fixed: NDArray[np.bool_]
    singular: bool
    loglik: float | None
    reml: bool | None
    converged: bool
    n_evaluations: int
    message: str = ""
    trace: tuple[TraceRow, ...] = ()
    likelihood: str = ""  # which likelihood ran: shown under "Computed by", never otherwise visible
    reason: str = ""  # why it was chosen
    sampling: Sampling | None = None
    fixed_effects: str = "gls"
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PosteriorEstimate(PointEstimate):
    """What a sampler returns: its draws, and posterior means in the fields of a point estimate.

    Attributes
    ----------
    draws : Draws
        See `mixedvc.sampling.base`.
    priors : ModelPriors
        What was believed before, term by term.
    """

    draws: Any = None
    priors: Any = None


class Estimator(Protocol):
    """A frozen dataclass whose fields are its options; it validates itself.

    One that needs a likelihood says with `restricted` (a class variable or a field) which: REML (True) or ML (False),
    and with `purpose` (a class variable, "fit" where it has none) how often it will evaluate it: `likelihood.choose`.
    A class variable `title` is how summaries name the method ("PX-EM"; empty where the criterion's name says it all);
    `name` where it has none.
    """

    name: ClassVar[str]
    needs: ClassVar[frozenset[str]]  # of "likelihood", "moments", "prior"
    provides: ClassVar[frozenset[str]]  # of "loglik", "theta", "beta", "blup", "draws"

    def fit(
        self,
        spec: ModelSpec,
        *,
        rng: np.random.Generator | None = None,
        progress: Progress | None = None,
        likelihood: Likelihood | None = None,
    ) -> PointEstimate: ...


estimators: Registry[Any] = Registry("estimator", "mixedvc.estimators")
