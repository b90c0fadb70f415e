"""Specifications and estimates for the tests of inference and results."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from mixedvc.covariance import Dense
from mixedvc.design.spec import ModelSpec
from mixedvc.estimators.base import PointEstimate
from mixedvc.estimators.reml import ML, REML
from mixedvc.likelihood import choose
from mixedvc.results.point import PointResults
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute
from tests.reference.load import input_or_skip


def sleepstudy() -> ModelSpec:
    """Reaction ~ Days + (Days | Subject), put together by hand."""
    data = pd.read_csv(input_or_skip("lme4/sleepstudy/data.csv"))
    X = np.column_stack([np.ones(len(data)), data["Days"]])
    term = assemble.term("Subject", data["Subject"].astype(str).to_numpy(), basis=X)
    spec = assemble.spec(data["Reaction"], X, [replace(term, effects=("Intercept", "Days"))])
    return replace(spec, x_names=("Intercept", "Days"), y_names=("Reaction",))


def estimate(spec: ModelSpec, par: object, *, at_bound: object = None, fixed: object = None) -> PointEstimate:
    """An estimate at given structure parameters, as if an estimator had returned it."""
    values = np.array(par, dtype=float)
    parts, at = [], 0
    for term in spec.all_terms:
        parts.append(term.structure.build(values[at : at + term.structure.n_par]))
        at += term.structure.n_par
    bound = np.zeros(len(values), dtype=bool) if at_bound is None else np.array(at_bound, dtype=bool)
    held = np.zeros(len(values), dtype=bool) if fixed is None else np.array(fixed, dtype=bool)
    theta = spec.theta(parts)
    loglik = Brute(spec).at(theta).loglik
    return PointEstimate("reml", theta, values, bound, held, bool(bound.any()), loglik, True, True, 1)


def by_likelihood(spec: ModelSpec, par: object, **flags: object) -> PointResults:
    """Results at given parameters, evaluated by the likelihood that `choose` takes."""
    return PointResults(spec, estimate(spec, par, **flags), choose(spec)[0])


def fitted(spec: ModelSpec, estimator: REML | ML | None = None) -> PointResults:
    """`spec` fitted by REML, or by `estimator`."""
    how = REML() if estimator is None else estimator
    likelihood, _ = choose(spec, reml=how.name == "reml")
    return PointResults(spec, how.fit(spec, likelihood=likelihood), likelihood, how)


def by_brute_force(spec: ModelSpec, par: object, **flags: object) -> PointResults:
    """Results at given parameters, evaluated by explicit n×n matrices."""
    return PointResults(spec, estimate(spec, par, **flags), Brute(spec))


def relatives(seed: int = 3, n: int = 24, q: int = 9, unseen: int = 4, signal: float = 0.0) -> ModelSpec:
    """A vector term over levels with a known covariance that has more levels than the data, and a second term."""
    rng = np.random.default_rng(seed)
    labels = [f"id{j}" for j in range(q + unseen)]
    root = rng.standard_normal((q + unseen, q + unseen + 3))
    A = Dense(root @ root.T / (q + unseen + 3), labels)
    level = np.array(labels, dtype=object)[rng.permutation(np.arange(n) % q)]
    x = rng.standard_normal(n)
    X = np.column_stack([np.ones(n), x])
    kin = replace(assemble.term("kin", level, basis=X, covariance=A), effects=("Intercept", "x"))
    block = assemble.term("block", rng.integers(0, 5, n).astype(str).astype(object))
    y = X @ [3.0, 1.0] + rng.standard_normal(n)
    for term in (kin, block):
        y = y + signal * term.spread(rng.standard_normal((term.q, term.k)))
    return assemble.spec(y, X, [kin, block], weights=rng.uniform(0.5, 2, n), offset=rng.standard_normal(n))


RELATIVES_PAR = (1.2, 0.3, 0.8, 0.5, 0.9)
