"""Predictions of rows, their errors, and levels nobody has seen."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.errors import DataError, OptionError
from mixedvc.inference import predict
from tests.inference import cases
from tests.tolerances import OBJECTIVE


def _rows(spec, chosen, levels, basis, new_levels):
    return {i: predict.match_levels(spec.terms[i], levels[i], basis[i], new_levels) for i in chosen}


@pytest.fixture(scope="module")
def brute():
    return cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)


def test_errors_of_the_rows_of_the_fit_come_from_the_joint_law_of_fixed_and_random_effects(brute):
    spec, model = brute.spec, brute.evaluation
    mean, cov = model.joint_posterior()
    W = np.hstack([spec.X, *(model.effects_design(i) for i in range(2))])
    out = brute.predict(se=True)
    assert_allclose(out["predicted"], W @ mean + spec.offset, **OBJECTIVE)
    assert_allclose(out["se"], np.sqrt(np.einsum("nj,jk,nk->n", W, cov, W)), **OBJECTIVE)


def test_a_part_of_the_random_terms_counts_only_its_own_errors(brute):
    spec, model = brute.spec, brute.evaluation
    mean, cov = model.joint_posterior()
    W = np.hstack([spec.X, model.effects_design(0), np.zeros((spec.n, spec.terms[1].q))])
    out = brute.predict(random=["kin"], se=True)
    assert_allclose(out["predicted"], W @ mean + spec.offset, **OBJECTIVE)
    assert_allclose(out["se"], np.sqrt(np.einsum("nj,jk,nk->n", W, cov, W)), **OBJECTIVE)
    population = brute.predict(random="none", se=True)
    assert_allclose(population["se"], np.sqrt(np.einsum("np,pq,nq->n", spec.X, model.beta_cov, spec.X)), **OBJECTIVE)


def test_relatives_are_predicted_through_the_covariance_with_their_own_error(brute):
    spec, model = brute.spec, brute.evaluation
    term, Sigma = spec.terms[0], spec.sigmas(brute.estimate.theta)[0]
    levels = np.array(["id10", "id0", "stranger"], dtype=object)
    basis = np.array([[1.0, 0.4], [1.0, -1.0], [1.0, 2.0]])
    parts = _rows(spec, [0], {0: levels}, {0: basis}, "conditional")
    rows = predict.Rows(basis.copy(), parts)
    mean = predict.predict_mean(spec, model, rows, "conditional")
    variance = predict.prediction_variance(spec, model, rows, "conditional")
    u = brute.random_effects["kin"].to_numpy()
    A, labels = term.covariance.block(), list(term.covariance.labels)
    want = basis @ model.beta
    want[:2] += np.einsum("rk,rk->r", basis[:2], u[[labels.index("id10"), labels.index("id0")]])
    assert_allclose(mean, want, **OBJECTIVE)
    for r, label in enumerate(levels):
        at = labels.index(label) if label in labels else None
        across = np.zeros(spec.n) if at is None else A[term.positions[term.codes], at]
        c = across * (term.basis @ Sigma @ basis[r])
        diagonal = A[at, at] if at is not None else np.mean(np.diagonal(A)[term.positions])
        d = basis[r] - spec.X.T @ model.Vinv @ c
        prior = diagonal * basis[r] @ Sigma @ basis[r]
        assert_allclose(variance[r], prior - c @ model.Vinv @ c + d @ model.beta_cov @ d, **OBJECTIVE)


def test_zero_leaves_the_term_out_for_new_levels(brute):
    spec, model = brute.spec, brute.evaluation
    levels, basis = np.array(["id10", "id0"], dtype=object), np.ones((2, 2))
    parts = _rows(spec, [0], {0: levels}, {0: basis}, "zero")
    rows, plain = predict.Rows(basis.copy(), parts), predict.Rows(basis.copy(), {})
    mean, base = (predict.predict_mean(spec, model, r, "zero") for r in (rows, plain))
    assert mean[0] == base[0]
    assert mean[1] != base[1]
    errors = [predict.prediction_variance(spec, model, r, "zero") for r in (rows, plain)]
    assert_allclose(errors[0][0], errors[1][0], **OBJECTIVE)


def test_new_levels_are_named_and_relatives_are_told_from_strangers(brute):
    levels = np.array(["id10", "ghost", "id11"], dtype=object)
    with pytest.raises(DataError, match=r"3 levels of 'kin' had no rows.*'id10', 'ghost', 'id11'.* 2 of them are in"):
        predict.match_levels(brute.spec.terms[0], levels, np.ones((3, 2)), "error")
    with pytest.raises(DataError, match=r"1 level of 'block' had no rows in the fit: 'zz'.*prior mean.*'zero'"):
        predict.match_levels(brute.spec.terms[1], np.array(["zz"], dtype=object), np.ones((1, 1)), "error")
    with pytest.raises(OptionError, match="new_levels='skip' is not one of 'error', 'zero', 'conditional'"):
        predict.match_levels(brute.spec.terms[1], levels, np.ones((3, 1)), "skip")


def test_a_missing_level_or_covariate_predicts_nan_and_disturbs_no_other_row(brute):
    spec, model = brute.spec, brute.evaluation
    levels = np.array(["id0", None, "id1"], dtype=object)
    basis = np.array([[1.0, 0.3], [1.0, 0.3], [1.0, np.nan]])
    parts = _rows(spec, [0], {0: levels}, {0: basis}, "error")
    rows = predict.Rows(np.ones((3, 2)), parts)
    assert list(np.isnan(predict.predict_mean(spec, model, rows))) == [False, True, True]
    assert list(np.isnan(predict.prediction_variance(spec, model, rows))) == [False, True, True]


def test_many_rows_are_worked_off_in_slabs(brute, monkeypatch):
    whole = brute.predict(se=True)["se"]
    monkeypatch.setattr(predict, "CHUNK", brute.spec.n * 5)
    assert_allclose(brute.predict(se=True)["se"], whole, **OBJECTIVE)


def test_prediction_intervals_add_the_residual_of_a_new_observation(brute):
    out = brute.predict(interval="prediction", level=0.9)
    narrow = brute.predict(interval="confidence", level=0.9)
    z = 1.6448536269514722
    assert_allclose((narrow["upper"] - narrow["lower"]) / 2, z * narrow["se"], **OBJECTIVE)
    noise = brute.scale / brute.spec.weights
    assert_allclose((out["upper"] - out["lower"]) / 2, z * np.sqrt(out["se"] ** 2 + noise), **OBJECTIVE)


def test_unknown_terms_and_intervals_are_refused(brute):
    with pytest.raises(OptionError, match="no random term is called 'kim'; 'all', 'none' or terms 'kin', 'block'"):
        brute.predict(random=["kim"])
    with pytest.raises(OptionError, match="interval='tolerance' is not one of"):
        brute.predict(interval="tolerance")
    with pytest.raises(OptionError, match="was not made from a formula and data"):
        brute.predict({"x": [1.0]})
