"""Predictions of several traits against the joint normal law of all cells, written out as matrices."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import DataError, OptionError
from mixedvc.likelihood.choose import rank_choices
from tests.inference import trait_cases as cases
from tests.inference.trait_law import Component, Law
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER


@pytest.fixture(scope="module")
def gaps():
    """Two traits, a quarter of the cells missing, two terms, weights and an offset."""
    _, frame, A = cases.data()
    return frame, A, *cases.fitted(frame, A, cases.TWO_TERMS + " + offset(o)", weights="w")


def table(values, t=2):
    return np.asarray(values).reshape(-1, t)


def sd(error, t=2):
    return table(np.sqrt(np.maximum(np.diagonal(error), 0.0)), t)


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_fixed_effects_are_those_of_least_squares_on_the_observed_cells(gaps):
    _, _, fit, law = gaps
    assert_allclose(fit.params.to_numpy(), law.beta, **OBJECTIVE)
    assert_allclose(fit.evaluation.beta_cov, law.beta_cov, **OBJECTIVE)


def test_every_cell_has_a_fitted_value_and_observed_ones_a_residual(gaps):
    frame, _, fit, law = gaps
    want = table(law.cells()[0])
    assert_allclose(fit.fittedvalues.to_numpy(), want, **OBJECTIVE)
    assert list(fit.fittedvalues.index) == list(frame.index)
    assert list(fit.fittedvalues.columns) == ["y1", "y2"]
    assert_allclose(fit.resid.to_numpy(), frame[["y1", "y2"]].to_numpy() - want, **OBJECTIVE)
    assert fit.resid.isna().equals(frame[["y1", "y2"]].isna().rename_axis(columns="trait"))
    fixed = table(law.design @ law.beta + law.mean_offset)
    assert_allclose(fit.fixed_fit.to_numpy(), fixed, **OBJECTIVE)


def test_predictions_of_the_records_have_the_errors_of_the_joint_law(gaps):
    _, _, fit, law = gaps
    value, error = law.cells()
    out = fit.predict(se=True, interval="prediction", level=0.9)
    assert list(out["y2"].columns) == ["predicted", "se", "lower", "upper"]
    z = stats.norm.ppf(0.95)
    new = error + np.diag(np.diagonal(law.residual))
    for a, name in enumerate(["y1", "y2"]):
        assert_allclose(out[name]["predicted"], table(value)[:, a], **OBJECTIVE)
        assert_allclose(out[name]["se"], sd(error)[:, a], **OBJECTIVE)
        assert_allclose(out[name]["upper"] - out[name]["predicted"], z * sd(new)[:, a], **OBJECTIVE)
    assert_allclose(fit.predict().to_numpy(), table(value), **OBJECTIVE)


def test_new_records_of_relatives_and_of_levels_with_some_traits_come_through_both_covariances(gaps):
    _, A, fit, law = gaps
    new = pd.DataFrame(
        {"x": [0.3, -1.0, 2.0], "f": ["a", "c", "b"], "o": [0.5, 0.0, -1.0], "w": [1.0, 4.0, 0.25]},
        index=["p", "q", "r"],
    )
    new["id"], new["batch"] = ["id03", "id16", "id15"], ["b2", "b0", "b5"]
    out = fit.predict(new, se=True, interval="prediction", new_levels="conditional")
    assert list(out.index) == ["p", "q", "r"]
    for i, (_, row) in enumerate(new.iterrows()):
        x = np.array([1.0, row["x"], row["f"] == "b", row["f"] == "c"], dtype=float)
        levels = [A.index.get_loc(row["id"]), int(row["batch"][1])]
        value, variance = law.new(x, levels, [np.ones(1), np.ones(1)])
        assert_allclose(out.xs("predicted", axis=1, level=1).iloc[i], value + row["o"], **OBJECTIVE)
        assert_allclose(out.xs("se", axis=1, level=1).iloc[i], np.sqrt(variance), **OBJECTIVE)
        half = stats.norm.ppf(0.975) * np.sqrt(variance + np.diagonal(law.R) / row["w"])
        assert_allclose(out.xs("upper", axis=1, level=1).iloc[i], value + row["o"] + half, **OBJECTIVE)
    with pytest.raises(DataError, match=r"2 levels of 'id' had no rows in the fit: 'id16', 'id15'"):
        fit.predict(new)


def test_a_part_of_the_terms_is_predicted_alone(gaps):
    frame, _, fit, law = gaps
    one = law.components[1]
    u = law.effects(1)[0]
    want = table(law.design @ law.beta + law.mean_offset) + u[one.codes]
    assert_allclose(fit.predict(random=["batch"]).to_numpy(), want, **OBJECTIVE)
    none = fit.predict(frame.drop(columns=["id", "batch", "y1", "y2"]), random="none", se=True)
    X = law.design
    assert_allclose(none.xs("se", axis=1, level=1), sd(X @ law.beta_cov @ X.T), **OBJECTIVE)


# ---- missing cells ---------------------------------------------------------------------------------------------------


def test_missing_cells_are_imputed_by_the_conditional_law_of_everything_observed(gaps):
    frame, _, fit, law = gaps
    value, error = law.cells(residual=True)
    out = fit.impute(interval=True, level=0.8)
    record, trait = np.nonzero(frame[["y1", "y2"]].isna().to_numpy())
    assert list(out["record"]) == list(frame.index[record])
    assert list(out["trait"]) == [f"y{a + 1}" for a in trait]
    assert_allclose(out["value"], table(value)[record, trait], **OBJECTIVE)
    assert_allclose(out["se"], sd(error)[record, trait], **OBJECTIVE)
    assert_allclose(out["upper"] - out["lower"], 2 * stats.norm.ppf(0.9) * out["se"], **OBJECTIVE)
    short = fit.impute(se=False)
    assert list(short.columns) == ["record", "trait", "value"]
    assert_allclose(short["value"], out["value"], **IDENTITY)


def test_observed_cells_would_be_imputed_by_themselves(gaps):
    """With the residual in it the law of an observed cell is the cell: the sign of the residual's part is right."""
    _, _, _, law = gaps
    value, error = law.cells(residual=True)
    assert_allclose(value[law.seen], law.Y.ravel()[law.seen], **OBJECTIVE)
    assert np.abs(np.diagonal(error)[law.seen]).max() < 1e-9


def test_the_residual_counts_only_through_the_records_own_other_cells(gaps):
    """The textbook form: ŷ_m = fitted + Σ_mo Σ_oo⁻¹ (y_o − fitted_o)."""
    frame, _, fit, law = gaps
    left = fit.resid.to_numpy()
    out = fit.impute(se=False)
    for _, row in out.iterrows():
        i = frame.index.get_loc(row["record"])
        m = ["y1", "y2"].index(row["trait"])
        slope = law.R[m, 1 - m] / law.R[1 - m, 1 - m]
        assert_allclose(row["value"], fit.fittedvalues.iloc[i, m] + slope * left[i, 1 - m], **OBJECTIVE)


def test_three_traits_with_slopes_are_imputed_by_the_joint_law():
    _, frame, A = cases.data(t=3, n=70, seed=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the end of this fit is no matter
        fit, _ = cases.fitted(frame, A, "x + (1 + x|id:A)", t=3, max_iter=4)
    sigmas = fit.spec.sigmas(fit.theta)
    law = cases.law(frame, A, sigmas[:1], sigmas[1], slopes=True, t=3)
    value, error = law.cells(residual=True)
    out = fit.impute()
    record, trait = np.nonzero(frame[["y1", "y2", "y3"]].isna().to_numpy())
    assert_allclose(out["value"], table(value, 3)[record, trait], **OBJECTIVE)
    assert_allclose(out["se"], sd(error, 3)[record, trait], **OBJECTIVE)
    u, pev = law.effects(0)
    assert_allclose(fit.random_effects["id"].to_numpy(), u, **OBJECTIVE)
    assert_allclose(fit.pev["id"].to_numpy(), np.diagonal(pev).reshape(u.shape), **OBJECTIVE)


def test_complete_data_have_nothing_to_impute_and_models_without_data_refuse():
    frame, gaps, A = cases.data()
    fit, _ = cases.fitted(frame, A)
    assert fit.impute(interval=True).empty
    assert list(fit.impute(interval=True).columns) == ["record", "trait", "value", "se", "lower", "upper"]
    spec = mv.model("cbind(y1, y2) ~ x + (1|id:A)", gaps, cov={"A": A})
    bare = replace(spec, source=None).fit()
    with pytest.raises(OptionError, match="was not made from a formula and data"):
        bare.impute()
    assert bare.fittedvalues.isna().to_numpy().sum() == gaps[["y1", "y2"]].isna().to_numpy().sum()


def test_dropped_records_are_padded_and_can_be_predicted_as_new_data():
    _, gaps, A = cases.data()
    frame = gaps.copy()
    frame.loc[["r3", "r8"], ["y1", "y2"]] = np.nan
    frame.loc["r5", "x"] = np.nan
    with pytest.warns(mv.errors.DroppedRowsWarning):
        fit = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A}, missing="exclude")
    assert list(fit.fittedvalues.index) == list(frame.index)
    assert list(fit.fittedvalues.index[fit.fittedvalues.isna().all(axis=1)]) == ["r3", "r5", "r8"]
    assert fit.predict(frame.loc[["r3"]]).notna().all(axis=None)
    assert fit.predict(frame.loc[["r5"]]).isna().all(axis=None)
    with pytest.warns(mv.errors.DroppedRowsWarning):
        omitted = mv.fit("cbind(y1, y2) ~ x + (1|id:A)", frame, cov={"A": A})
    assert "r5" not in omitted.fittedvalues.index
    assert_allclose(omitted.fittedvalues, fit.fittedvalues.dropna(), **IDENTITY)


# ---- random effects --------------------------------------------------------------------------------------------------


def _covariance(kind):
    """A as it is given, as a matrix, and the column whose levels it relates."""
    _, _, A = cases.data()
    if kind == "kernel":
        return {"A": A}, A, "(1|id:A)"
    if kind == "pedigree":
        table, A = cases.pedigree()
        return {"A": mv.pedigree(table, id="id", dam="dam", sire="sire")}, A, "(1|id:A)"
    seen = [label for label in A.index if label < "id14"]
    return None, pd.DataFrame(np.eye(14), index=seen, columns=seen), "(1|id)"


def _every():
    frames = dict(zip(("complete", "gaps"), cases.data()[:2], strict=True))
    return [
        (kind, cells, choice.name)
        for kind in ("kernel", "pedigree", "group")
        for cells, frame in frames.items()
        for cov, _, right in [_covariance(kind)]
        for choice in rank_choices(mv.model(f"cbind(y1, y2) ~ x + f + {right}", frame, cov=cov))
    ]


@pytest.mark.parametrize(("kind", "cells", "likelihood"), _every())
def test_random_effects_and_their_errors_are_those_of_the_joint_law_by_every_likelihood(kind, cells, likelihood):
    frame = cases.data()[cells == "gaps"]
    cov, A, right = _covariance(kind)
    fit = mv.fit(f"cbind(y1, y2) ~ x + f + {right}", frame, cov=cov, likelihood=likelihood)
    G, R = fit.spec.sigmas(fit.theta)
    law = cases.law(frame, A, [G], R)
    u, error = law.effects(0)
    condition = law.effects(0, beta_known=True)[1]
    q, k = u.shape
    blocks = np.einsum("lalb->lab", error.reshape(q, k, q, k))
    known = np.einsum("lalb->lab", condition.reshape(q, k, q, k))
    assert list(fit.random_effects["id"].index) == list(A.index)  # relatives without records included
    assert_allclose(fit.random_effects["id"].to_numpy(), u, **PARAMETER)
    assert_allclose(fit.pev["id"].to_numpy(), np.einsum("lkk->lk", blocks), **PARAMETER)
    assert_allclose(fit.conditional_variances["id"].to_numpy(), np.einsum("lkk->lk", known), **PARAMETER)
    assert_allclose(fit.random_effects_cov["id"].to_numpy().reshape(q, k, k), known, **PARAMETER)
    prior = np.outer(np.diagonal(A.to_numpy()), np.diagonal(G))
    assert_allclose(fit.reliability["id"].to_numpy(), 1 - np.einsum("lkk->lk", blocks) / prior, **PARAMETER)
    assert_allclose(fit.fittedvalues.to_numpy(), table(law.cells()[0]), **PARAMETER)


def test_a_trait_never_recorded_for_an_individual_has_the_reliability_that_the_other_lends():
    """One record an individual, no relatives: all that is known of y2 of an individual without it is through y1."""
    rng = np.random.default_rng(8)
    n = 80
    u = rng.standard_normal((20, 2)) @ np.linalg.cholesky([[2.0, 1.2], [1.2, 1.5]]).T
    frame = pd.DataFrame(np.repeat(u, 4, axis=0) + rng.standard_normal((n, 2)), columns=["y1", "y2"])
    frame["g"] = np.repeat([f"g{j:02d}" for j in range(20)], 4)
    frame.loc[frame["g"] == "g00", "y2"] = np.nan
    fit = mv.fit("cbind(y1, y2) ~ 1 + (1|g)", frame)
    G, R = fit.spec.sigmas(fit.theta)
    codes = np.repeat(np.arange(20), 4)
    law = Law(frame[["y1", "y2"]].to_numpy(), np.ones((n, 1)), [Component(codes, np.eye(20), np.ones((n, 1)), G)], R)
    error = np.diagonal(law.effects(0)[1]).reshape(20, 2)
    assert_allclose(fit.reliability["g"].to_numpy(), 1 - error / np.diagonal(G), **PARAMETER)
    lent = fit.reliability["g"].loc["g00", "y2"]
    assert 0 < lent < fit.reliability["g"].loc["g00", "y1"]
    assert lent < fit.reliability["g"]["y2"].drop("g00").min()


# ---- selection index -------------------------------------------------------------------------------------------------


def test_a_selection_index_has_the_mean_and_error_of_the_weighted_effects(gaps):
    _, A, fit, law = gaps
    w = np.array([1.0, -0.4])
    u, error = law.effects(0)
    q = len(u)
    pev = np.einsum("a,lalb,b->l", w, error.reshape(q, 2, q, 2), w)
    prior = np.diagonal(A.to_numpy()) * (w @ law.components[0].Sigma @ w)
    found = fit.selection_index({"y1": 1.0, "y2": -0.4}, "id").frame.loc[list(A.index)]
    assert_allclose(found["index"], u @ w, **OBJECTIVE)
    assert_allclose(found["pev"], pev, **OBJECTIVE)
    assert_allclose(found["accuracy"], np.sqrt(1 - pev / prior), **OBJECTIVE)
    assert_allclose(found["rank"], stats.rankdata(-(u @ w), method="min"), **IDENTITY)


def test_the_gain_of_a_selection_is_the_mean_of_those_selected_and_the_formula_of_hazel(gaps):
    _, A, fit, law = gaps
    w = np.array([0.5, 2.0])
    u, error = law.effects(0)
    q, G = len(u), law.components[0].Sigma
    best = np.argsort(-(u @ w))[:4]
    found = fit.selection_index({"y1": 0.5, "y2": 2.0}, select=4, term="id")
    assert set(found.frame.index[found.frame["selected"]]) == set(A.index[best])
    assert_allclose(found.gain["selected"][:2], u[best].mean(axis=0) - u.mean(axis=0), **OBJECTIVE)
    of_u = np.mean([A.iloc[j, j] * G - error.reshape(q, 2, q, 2)[j, :, j] for j in range(q)], axis=0)
    alpha = 4 / q
    i = stats.norm.pdf(stats.norm.ppf(1 - alpha)) / alpha
    want = i * of_u @ w / np.sqrt(w @ of_u @ w)
    assert_allclose(found.gain["expected"][:2], want, **OBJECTIVE)
    assert_allclose(found.gain.loc["index"], [np.nan, found.gain["selected"].iloc[:2] @ w, want @ w], **OBJECTIVE)
    part = fit.selection_index({"y2": 1}, "id", select=0.5, candidates=["id02", "id15", "id07", "id01"])
    assert list(part.frame["selected"]) == [True, True, False, False]
    assert "2 of 4 candidates" in str(part)


def test_the_mean_of_the_best_of_many_normal_candidates_is_the_intensity():
    from mixedvc.inference.selection_index import expected_gain, intensity

    rng = np.random.default_rng(4)
    assert_allclose(intensity(1.0), 0.0, **IDENTITY)
    G, pev = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[0.8, 0.1], [0.1, 0.6]])
    w = np.array([1.0, 1.5])
    draws = rng.multivariate_normal(np.zeros(2), G - pev, size=(200, 500))
    top = np.argsort(-(draws @ w), axis=1)[:, :100]
    means = np.take_along_axis(draws, top[:, :, None], axis=1).mean(axis=1)
    want = expected_gain(np.tile(pev, (3, 1, 1)), np.tile(G, (3, 1, 1)), w, 0.2)
    error = means.std(axis=0, ddof=1) / np.sqrt(200)
    assert np.abs((means.mean(axis=0) - want) / error).max() < 5  # i of 500 candidates is 0.3 % below that of ∞


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"weights": {"y3": 1}}, "weights= names 'y3', which is no trait or effect .* did you mean"),
        ({"weights": {"y1": 0.0}}, "weights= are all zero"),
        ({"weights": {"y1": np.nan}}, "missing or infinite"),
        ({"weights": [1, 2]}, "is a dictionary from traits to numbers"),
        ({"weights": {"y1": 1}, "term": "ID"}, "no random term is called 'ID'"),
        (
            {"weights": {"y1": 1}, "select": 1.5, "term": "id"},
            "select=1.5: a fraction between 0 and 1, or a number of levels",
        ),
        ({"weights": {"y1": 1}, "select": 40, "term": "id"}, "from 1 to 17"),
        ({"weights": {"y1": 1}, "candidates": ["nobody", "id01"]}, "candidates= names 'nobody'"),
    ],
)
def test_a_selection_index_refuses_what_it_does_not_know(gaps, arguments, said):
    with pytest.raises(OptionError, match=said):
        gaps[2].selection_index(**arguments)


# ---- new responses ---------------------------------------------------------------------------------------------------


def test_a_refit_takes_a_frame_of_records_and_traits_and_is_the_fit_of_those_data(gaps):
    frame, A, fit, _ = gaps
    new = frame.copy()
    o = frame[["o"]].to_numpy()
    new[["y1", "y2"]] = (frame[["y1", "y2"]] - o) * np.array([1.5, -1.0]) + o + frame[["x"]].to_numpy() / 3
    again = fit.refit(new[["y2", "y1"]])  # by name
    fresh = mv.fit("cbind(y1, y2) ~ x + f + (1|id:A) + (1|batch) + offset(o)", new, cov={"A": A}, weights="w")
    assert_allclose(again.llf, fresh.llf, **OBJECTIVE)
    assert_allclose(again.fittedvalues, fresh.fittedvalues, **PARAMETER)
    assert type(again) is type(fit)
    with pytest.raises(DataError, match="have no column 'y2'"):
        fit.refit(new[["y1"]])
    with pytest.raises(DataError, match=r"have values in \d+ cells that were missing in the fit"):
        fit.refit(new[["y1", "y2"]].fillna(0.0))
    holes = new[["y1", "y2"]].copy()
    holes.iloc[np.flatnonzero(holes["y1"].notna())[0], 0] = np.nan
    with pytest.raises(DataError, match="missing or infinite in 1 cells"):
        fit.refit(holes)
    with pytest.raises(DataError, match=r"have shape \(60,\)"):
        fit.refit(new["y1"].to_numpy())


def test_simulated_records_have_the_cells_of_the_fit_and_its_covariance():
    _, frame, A = cases.data()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where the iteration stands after one step is no matter
        fit, law = cases.fitted(frame.iloc[:30], A, max_iter=1)
    draws = fit.simulate(2000, seed=2)
    assert draws["sim_1"].isna().equals(fit.resid.isna())
    Y = draws.to_numpy().reshape(30, 2000, 2).transpose(1, 0, 2).reshape(2000, -1)[:, law.seen]
    V = (law.signal + law.residual)[np.ix_(law.seen, law.seen)]
    mean = (law.design @ law.beta)[law.seen]
    z = (Y.mean(axis=0) - mean) / np.sqrt(np.diagonal(V) / 2000)
    assert np.abs(z).max() < 4.5  # of 45 cells
    S = (Y - mean).T @ (Y - mean) / 2000
    spread = np.sqrt((V**2 + np.outer(np.diagonal(V), np.diagonal(V))) / 2000)
    assert np.abs((S - V) / spread).max() < 5  # of a thousand entries


def test_a_saved_fit_predicts_the_same(gaps, tmp_path):
    _, _, fit, _ = gaps
    fit.save(tmp_path / "fit.mvc")
    back = mv.load(tmp_path / "fit.mvc")
    pd.testing.assert_frame_equal(back.impute(interval=True), fit.impute(interval=True), rtol=1e-10)
    pd.testing.assert_frame_equal(back.predict(se=True), fit.predict(se=True), rtol=1e-10)
