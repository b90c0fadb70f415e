"""On every generated model our log-likelihood is at least the best of lme4 and glmm, and singular means singular."""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv

from .generate import COUNT, model

PEERS = pd.read_csv(Path(__file__).with_name("peers.csv"), index_col="number", dtype={"checksum": str})
BEST = PEERS[["lme4_best", "glmm"]].max(axis=1)
FAST = [i for i in range(1, COUNT, 8) if PEERS["rows"][i] <= 600]
BELOW = 1e-8  # of the log-likelihood: how far a fit may lie below the best peer
DENSE = 1000  # rows up to which V is formed to check a log-likelihood that no peer reaches


@cache
def fitted(number):
    m = model(number)
    assert m.checksum == PEERS["checksum"][number], "the generator has changed: the peers fitted other data"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.MixedVCWarning)
        return mv.fit(
            m.formula,
            m.data,
            weights=m.weights or None,
            offset=m.offset or None,
            method="reml" if m.reml else "ml",
        )


def below(number):
    """How far our log-likelihood lies below the best peer's, relative to its size; negative where it is higher."""
    return (BEST[number] - fitted(number).llf) / max(1.0, abs(BEST[number]))


def by_definition(fit):
    """The log-likelihood at the estimate from V itself."""
    spec = fit.spec
    V = np.diag(spec.residual_variances(fit.theta))
    for term, Sigma in zip(spec.terms, spec.sigmas(fit.theta), strict=False):
        V += np.equal.outer(term.codes, term.codes) * (term.basis @ Sigma @ term.basis.T)
    L = np.linalg.cholesky(V)
    half = np.linalg.solve(L, np.column_stack([spec.X, spec.response]))
    Q, R = np.linalg.qr(half[:, :-1])
    left = half[:, -1] - Q @ (Q.T @ half[:, -1])
    twice = 2 * np.log(np.diag(L)).sum() + left @ left + spec.n * np.log(2 * np.pi)
    if fit.estimate.reml:
        twice += 2 * np.log(np.abs(np.diag(R))).sum() - spec.p * np.log(2 * np.pi)
    return -0.5 * twice


def in_orthogonal_effects(fit):
    """Of each random term: R and R Σ Rᵀ, Σ among effects of unit size, orthogonal ones unless Σ is diagonal."""
    out = []
    for term, Sigma in zip(fit.spec.terms, fit.spec.sigmas(fit.theta), strict=False):
        R = np.linalg.qr(term.basis, mode="r") / np.sqrt(len(term.basis))
        if term.structure.name == "diag":
            R = np.diag(np.sqrt(np.mean(term.basis**2, axis=0)))
        out.append((R, R @ Sigma @ R.T))
    return out


def a_term_is_singular(fit):
    for term, (_, S) in zip(fit.spec.terms, in_orthogonal_effects(fit), strict=True):
        values = np.diagonal(S) if term.structure.name == "diag" else np.linalg.eigvalsh(S)
        if values.min() <= 1e-9 * fit.scale + 1e-7 * values.max() * (term.k > 1):
            return True
    return False


def rank_is_needed(fit):
    """Whether the criterion falls when any term loses its least variance, in orthogonal effects."""
    likelihood, sigmas = fit.likelihood, fit.spec.sigmas(fit.theta)
    falls = []
    for i, (term, (R, S)) in enumerate(zip(fit.spec.terms, in_orthogonal_effects(fit), strict=True)):
        smaller = list(sigmas)
        if term.structure.name == "diag":
            a = int(np.argmin(np.diagonal(S)))
            smaller[i] = sigmas[i] * (np.arange(term.k) != a)[:, None]
        else:
            values, vectors = np.linalg.eigh(S)
            values[0] = 0.0
            back = np.linalg.solve(R, vectors)
            smaller[i] = (back * values) @ back.T
        falls.append(fit.llf - likelihood.at(fit.spec.theta(smaller)).loglik)
    return min(falls) > 1e-10 * abs(fit.llf)


def check(number):
    fit = fitted(number)
    assert fit.converged, fit.estimate.message
    assert below(number) <= BELOW, f"{fit.llf} below {BEST[number]}"
    if fit.is_singular:
        assert a_term_is_singular(fit)  # and no peer is higher: the maximum is at a singular Σ
    else:
        assert rank_is_needed(fit)
    return fit


@pytest.mark.parametrize("number", FAST)
def test_a_fit_is_as_good_as_the_best_peers_and_its_criterion_is_what_it_says(number):
    fit = check(number)
    np.testing.assert_allclose(fit.llf, by_definition(fit), rtol=1e-8, atol=1e-8)


def test_the_models_are_those_the_peers_fitted_and_there_are_enough_of_every_kind():
    assert len(PEERS) == COUNT >= 500
    assert BEST.notna().all()
    assert len(FAST) >= 50
    assert PEERS["lme4_best"].notna().mean() > 0.99
    assert PEERS["glmm"].notna().sum() > 150
    assert 0.2 < PEERS["lme4_singular"].mean() < 0.8
    assert PEERS["rows"].min() < 60
    assert PEERS["rows"].max() > 20_000


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_no_peer_is_higher_on_any_model(tenth):
    failures = []
    for number in range(tenth, COUNT, 10):
        try:
            fit = check(number)
            if below(number) < -BELOW and fit.nobs <= DENSE:  # higher than both: is it true?
                np.testing.assert_allclose(fit.llf, by_definition(fit), rtol=1e-8, atol=1e-7)
        except AssertionError as error:
            failures.append(f"{number}: {str(error).strip().splitlines()[0]}")
    assert not failures, "\n".join(failures)


@pytest.mark.slow
def test_lme4_calls_nearly_the_same_fits_singular():
    """Its rule, a relative standard deviation under 1e-4, depends on the units of the covariates; ours does not."""
    numbers = [n for n in range(0, COUNT, 3) if PEERS["rows"][n] <= DENSE]
    reached = [n for n in numbers if abs(fitted(n).llf - PEERS["lme4_best"][n]) < 1e-6]
    assert len(reached) > 100
    assert np.mean([fitted(n).is_singular == bool(PEERS["lme4_singular"][n]) for n in reached]) > 0.95
