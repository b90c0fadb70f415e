"""Refits share the set-up of the first fit and give what a fit from the start gives."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv

from ..tolerances import COMPONENT, OBJECTIVE, PARAMETER

IDS = [f"i{k}" for k in range(80)]


def kernel(m, seed=1):
    return np.random.default_rng(seed).standard_normal((len(IDS), m))


def cases():
    W = kernel(200)
    yield "dense kernel", "y ~ x + (1 | id:A)", {"A": (W @ W.T / 200, IDS)}, "spectral"
    yield "few features", "y ~ x + (1 | id:A)", {"A": mv.Features(kernel(6), IDS)}, None
    yield "two terms", "y ~ x + (1 | id:A) + (1 | group)", {"A": (W @ W.T / 200, IDS)}, None
    yield "slopes", "y ~ x + (x | group)", None, None


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    y = kernel(6) @ rng.standard_normal(6) * 0.5 + rng.standard_normal(80)
    return pd.DataFrame({"y": y, "x": rng.standard_normal(80), "id": IDS, "group": np.tile(list("abcdefgh"), 10)})


@pytest.mark.parametrize(("formula", "cov", "name"), [c[1:] for c in cases()], ids=[c[0] for c in cases()])
@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_a_refit_equals_a_fit_from_the_start(data, formula, cov, name, weights):
    data = data.assign(w=np.linspace(0.5, 2.0, 80))
    first = mv.fit(formula, data, cov=cov, weights=weights)
    other = 10.0 + data["y"].to_numpy()[::-1] + np.random.default_rng(9).standard_normal(80)
    again, fresh = first.refit(other), mv.fit(formula, data.assign(y=other), cov=cov, weights=weights)
    np.testing.assert_allclose(again.llf, fresh.llf, **OBJECTIVE)
    np.testing.assert_allclose(again.estimate.theta, fresh.estimate.theta, rtol=COMPONENT["rtol"], atol=1e-7)
    np.testing.assert_allclose(again.params, fresh.params, **PARAMETER)
    np.testing.assert_allclose(again.bse, fresh.bse, **PARAMETER)
    np.testing.assert_allclose(again.varcomp["se"], fresh.varcomp["se"], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(again.fittedvalues, fresh.fittedvalues, rtol=1e-5, atol=1e-6)
    for term in first.random_effects:
        np.testing.assert_allclose(again.random_effects[term], fresh.random_effects[term], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(again.pev[term], fresh.pev[term], rtol=1e-5, atol=1e-6)
    if name is not None:
        assert first._repeated.name == name


def test_refits_decompose_once(data):
    W = kernel(200)
    first = mv.fit("y ~ x + (1 | id:A)", data, cov={"A": (W @ W.T / 200, IDS)}, likelihood="dense")
    kept = first._repeated
    one, two = first.refit(data["y"].to_numpy() + 1.0), first.refit(2.0 * data["y"].to_numpy())
    assert first._repeated is kept
    assert one.likelihood._frame.U is two.likelihood._frame.U is kept._frame.U


def test_results_without_a_likelihood_evaluate_the_one_that_was_fitted():
    fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"), method="ml")
    alone = type(fit)(fit.spec, fit.estimate, None, fit.estimator)
    assert alone.evaluation.reml is False
    np.testing.assert_allclose(alone.evaluation.loglik, fit.llf, **OBJECTIVE)
    np.testing.assert_allclose(alone.varcomp["se"], fit.varcomp["se"], **PARAMETER)
