"""Random effects, their variances, and relatives without records."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from mixedvc.covariance import Dense
from mixedvc.testing import assemble
from tests.inference import cases
from tests.reference.load import reference
from tests.tolerances import COMPONENT, OBJECTIVE, printed


def _everyone(spec, par):
    """û, condVar and PEV of every label of the covariance of term 0, from the joint normal law written out."""
    fit = cases.by_brute_force(spec, par)
    term, model = spec.terms[0], fit.evaluation
    Sigma = spec.sigmas(model.theta)[0]
    A = term.covariance.block()
    Z = np.zeros((spec.n, len(A), term.k))
    Z[np.arange(spec.n), term.positions[term.codes]] = term.basis
    G, Z = np.kron(A, Sigma), Z.reshape(spec.n, -1)
    u = (G @ Z.T @ model.Py).reshape(len(A), term.k)
    blocks = []
    for inner in (model.Vinv, model.P):
        full = (G - G @ Z.T @ inner @ Z @ G).reshape(len(A), term.k, len(A), term.k)
        blocks.append(np.array([full[j, :, j] for j in range(len(A))]))
    return fit, u, *blocks, A


def test_relatives_without_records_are_predicted_through_the_cross_covariance():
    spec = cases.relatives()
    fit, u, conditional, pev, A = _everyone(spec, cases.RELATIVES_PAR)
    frame = fit.random_effects["kin"]
    assert list(frame.index) == list(spec.terms[0].covariance.labels)
    assert_allclose(frame, u, **OBJECTIVE)
    assert_allclose(fit.random_effects_cov["kin"].to_numpy().reshape(u.shape[0], 2, 2), conditional, **OBJECTIVE)
    assert_allclose(fit.conditional_variances["kin"], np.einsum("lkk->lk", conditional), **OBJECTIVE)
    assert_allclose(fit.pev["kin"], np.einsum("lkk->lk", pev), **OBJECTIVE)
    prior = np.outer(np.diagonal(A), [cases.RELATIVES_PAR[0], cases.RELATIVES_PAR[2]])
    assert_allclose(fit.reliability["kin"], 1 - np.einsum("lkk->lk", pev) / prior, **OBJECTIVE)


def test_fast_likelihoods_give_the_same_predictions_of_relatives():
    spec = cases.relatives()
    brute = cases.by_brute_force(spec, cases.RELATIVES_PAR)
    fast = cases.by_likelihood(spec, cases.RELATIVES_PAR)
    for quantity in ("random_effects", "conditional_variances", "pev", "reliability"):
        for name in ("kin", "block"):
            assert_allclose(getattr(fast, quantity)[name], getattr(brute, quantity)[name], **OBJECTIVE)


def test_sleepstudy_effects_and_conditional_variances_are_lme4s():
    want = reference("lme4/sleepstudy/slope_correlated")["REML"]["ranef"]["Subject"]
    fit = cases.fitted(cases.sleepstudy())
    frame = fit.random_effects["Subject"]
    assert list(frame.index) == want["levels"]
    assert_allclose(frame, want["values"], rtol=2e-4, atol=1e-3)  # lme4 stops 1.7e-5 short in the first variance
    blocks = fit.random_effects_cov["Subject"]
    assert_allclose(blocks.to_numpy().reshape(-1, 2, 2), want["condVar"], rtol=2e-5, atol=1e-4)
    assert list(blocks.loc["308"].index) == ["Intercept", "Days"]


def test_a_term_without_variance_has_zero_effects_and_no_reliability():
    spec = assemble.one_way(6, 5, seed=2)
    fit = cases.by_brute_force(spec, [0.0, 1.7], at_bound=[True, False])
    assert (fit.random_effects["g"] == 0).all(axis=None)
    assert (fit.pev["g"] == 0).all(axis=None)
    assert fit.reliability["g"].isna().all(axis=None)


def _mrode():
    """Mrode (2014), Example 3.1: calves 4-8, parents 4:(1,-) 5:(3,2) 6:(1,2) 7:(4,5) 8:(3,6)."""
    A = np.eye(8)
    for child, (sire, dam) in {3: (0, None), 4: (2, 1), 5: (0, 1), 6: (3, 4), 7: (2, 5)}.items():
        parents = [p for p in (sire, dam) if p is not None]
        A[child, :child] = A[:child, child] = 0.5 * A[parents, :child].sum(axis=0)
        A[child, child] = 1 + (0.5 * A[sire, dam] if dam is not None else 0.0)
    cov = Dense(A, [str(j + 1) for j in range(8)])
    animal = assemble.term("animal", np.array(list("45678"), dtype=object), covariance=cov)
    male = np.array([1.0, 0, 0, 1, 1])
    return assemble.spec([4.5, 2.9, 3.9, 3.5, 5.0], np.column_stack([male, 1 - male]), [animal])


@pytest.mark.parametrize("brute", [True, False])
def test_mrode_example_3_1(brute):
    spec = _mrode()
    at = cases.by_brute_force if brute else cases.by_likelihood
    fit = at(spec, [20.0, 40.0], fixed=[True, True])
    assert_allclose(fit.params, [4.3585, 3.4044], **printed(4))
    frame = fit.random_effects["animal"].iloc[:, 0]
    assert list(frame.index) == list("12345678")
    assert_allclose(frame, [0.0984, -0.0188, -0.0411, -0.0087, -0.1857, 0.1769, -0.2495, 0.1826], **printed(4))
    want = [0.0578, 0.0158, 0.0871, 0.1446, 0.1438, 0.1154, 0.1163, 0.1553]
    assert_allclose(fit.reliability["animal"].iloc[:, 0], want, **printed(4))


def test_balanced_one_way_effects_shrink_group_means():
    spec = assemble.one_way(6, 5, seed=3)
    fit = cases.fitted(spec)
    a, e = fit.estimate.theta
    means = pd.Series(spec.y).groupby(spec.terms[0].codes).mean().to_numpy()
    want = 5 * a / (5 * a + e) * (means - spec.y.mean())
    assert_allclose(fit.random_effects["g"].iloc[:, 0], want, **COMPONENT)
    assert_allclose(fit.conditional_variances["g"].iloc[:, 0], a * e / (5 * a + e), **COMPONENT)
