"""Fits as rows: what `PointResults` says of each response, in the layout of many (`inference.each.Numbers`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import MixedVCError
from ..estimators.base import Estimator
from ..estimators.each import OneByOne, OneFit, PanelFit
from ..inference.each import (
    Numbers,
    covariances,
    df_covariance,
    likelihood_ratios,
    satterthwaite,
    shares,
    variance_limits,
)
from ..inference.parameters import parameters
from ..inference.ratios import weights
from ..likelihood.base import Likelihood
from ..likelihood.rows import Rows, working_rows
from .fixed_tests import fixed_tests
from .point import PointResults

Float = NDArray[np.float64]
Index = NDArray[np.intp]
Failures = dict[int, str]


@dataclass(frozen=True)
class Asked:
    """What is wanted of every fit; methods that draw start from `seed` for each response."""

    information: str
    df: str
    level: float
    seed: int


def share_of(spec: ModelSpec) -> str:
    """The term whose share of the variance a row has: the only kernel, or the only random term; empty where none."""
    known = [term.name for term in spec.terms if term.cov_name is not None] or [term.name for term in spec.terms]
    return known[0] if len(known) == 1 else ""


def panel_numbers(spec: ModelSpec, fitted: PanelFit, which: Index, asked: Asked) -> Numbers:
    """T responses of one kernel, those of `PanelFit`."""
    ends, found = fitted.ends, fitted.found
    kind = "expected" if asked.information == "auto" else asked.information
    bound = np.stack([found.share.top == 0.0, found.share.low == 0.0], axis=1)
    cov, _ = covariances(ends, bound, kind)
    diagonal = np.einsum("tjj->tj", cov)
    par_se = np.where(bound, np.nan, np.sqrt(np.maximum(diagonal, 0.0)))
    se = np.sqrt(np.einsum("tpp->tp", ends.beta_cov))
    if asked.df == "satterthwaite":
        df = satterthwaite(ends, df_covariance(ends, bound, kind, cov))
    else:
        df = np.full(se.shape, np.inf if asked.df == "normal" else float(spec.n - spec.p))
    share, share_se = shares(ends.theta, cov, weights(spec))
    rows = parameters(spec)
    lower, upper = variance_limits(ends.theta, par_se, asked.level)
    return Numbers(
        which=which,
        n=spec.n,
        x_names=spec.x_names,
        par_names=tuple(row.name for row in rows),
        par_kinds=tuple(row.kind for row in rows),
        share_of=spec.terms[0].name,
        beta=ends.beta,
        se=se,
        df=df,
        par=ends.theta,
        par_se=par_se,
        lower=lower,
        upper=upper,
        bound=bound,
        share=share,
        share_se=share_se,
        loglik=ends.loglik,
        statistic=likelihood_ratios(ends.loglik, fitted.null),
        converged=found.converged,
        messages=tuple(map(_said, found.converged.tolist(), found.runaway.tolist())),
    )


def _said(converged: bool, runaway: bool) -> str:
    if runaway:
        return "the likelihood rises without end as the residual variance goes to zero"
    return "" if converged else "stopped before the maximum was found: give a larger max_iter"


@dataclass(frozen=True)
class Job:
    """One specification and how its responses are fitted one by one; goes to other processes whole."""

    estimator: Estimator
    spec: ModelSpec
    likelihood: Likelihood | None
    asked: Asked
    count: int

    @cached_property
    def way(self) -> OneByOne:
        return OneByOne(self.estimator, self.spec, self.likelihood, self.count, self.asked.seed)

    @cached_property
    def null(self) -> Rows | None:
        """Working rows of the model without its random term, where that is one variance."""
        spec = self.spec
        scalar = spec.traits is None and len(spec.terms) == 1 and spec.terms[0].k == spec.residual.k == 1
        held = getattr(self.estimator, "fixed_varcomp", None)
        return working_rows(spec) if scalar and not spec.correlated_residual and not held else None


def fit_block(job: Job, Y: Float, which: Index, names: Sequence[str]) -> tuple[list[Numbers], Failures]:
    """Every column of Y (n, B), and why some were not fitted."""
    rows: list[Numbers] = []
    failures: Failures = {}
    for one, j in zip(job.way.fits(Y, names), which.tolist(), strict=True):
        if one.estimate is None:
            failures[j] = one.failure
            continue
        try:
            rows.append(_row(job, one, j))
        except MixedVCError as error:
            failures[j] = str(error)
    return rows, failures


def _row(job: Job, one: OneFit, j: int) -> Numbers:
    """One response's numbers."""
    spec, estimate = one.spec, one.estimate
    assert estimate is not None
    fit = PointResults(spec, estimate, one.likelihood, job.estimator, job.asked.information)
    tests = fixed_tests(fit, job.asked.df).coefficients()
    frame = fit.variances(level=job.asked.level)
    parts, name = parameters(spec), share_of(spec)
    ratio = fit.heritability(name) if name and float(weights(spec) @ estimate.theta) > 0 else None
    converged = bool(estimate.converged)
    return Numbers(
        which=np.array([j]),
        n=spec.n,
        x_names=spec.x_names,
        par_names=tuple(part.name for part in parts),
        par_kinds=tuple(part.kind for part in parts),
        share_of=name,
        beta=np.atleast_2d(tests.estimate),
        se=np.atleast_2d(tests.se),
        df=np.atleast_2d(tests.df),
        par=estimate.par[None],
        par_se=frame["se"].to_numpy()[None],
        lower=frame["lower"].to_numpy()[None],
        upper=frame["upper"].to_numpy()[None],
        bound=np.asarray(estimate.at_bound, dtype=bool)[None],
        share=np.array([np.nan if ratio is None else ratio.estimate]),
        share_se=np.array([np.nan if ratio is None else ratio.se]),
        loglik=np.array([np.nan if estimate.loglik is None else estimate.loglik]),
        statistic=_statistic(job, spec, estimate.loglik),
        converged=np.array([converged]),
        messages=("" if converged and "exactly" not in estimate.message else estimate.message,),
    )


def _statistic(job: Job, spec: ModelSpec, loglik: float | None) -> Float:
    """2(ℓ − ℓ_0), ℓ_0 from least squares."""
    if job.null is None or loglik is None:
        return np.array([np.nan])
    reml = bool(getattr(job.estimator, "restricted", True))
    rows = job.null.with_response(spec.y)
    N = rows.n - (rows.p if reml else 0)
    variance = float(rows.y @ rows.y) / N
    if not variance > 0.0:
        return np.array([np.nan])
    L = np.eye(rows.p) / np.sqrt(variance)
    null = rows.loglik(rows.n * np.log(variance), float(N), L, reml)
    return likelihood_ratios(np.array([loglik]), np.array([null]))
