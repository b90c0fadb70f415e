"""Rows 78-80, 85 and 86 of the list of bad inputs: results that are easily printed wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import BindError, BoundaryWarning, DataError, NotProvided


def test_78_a_variance_at_zero_is_zero_flagged_and_without_standard_error():
    with pytest.warns(BoundaryWarning, match="Batch"):
        fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    row = fit.varcomp.iloc[0]
    assert row["variance"] == 0.0
    assert row["boundary"]
    assert np.isnan(row["se"])
    assert np.isnan(row["lower"])
    assert fit.is_singular
    text = str(fit.summary())
    assert "boundary" in text
    assert "nan" not in text.lower()
    got = fit.test_varcomp("Batch").loc["Batch"]
    assert got["p_value"] == 1.0
    assert got["method"].startswith("exact law")


def test_79_a_correlation_at_one_is_flagged_and_the_variances_keep_their_errors():
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(15), 6)
    x = rng.standard_normal(90)
    b = rng.standard_normal(15)[group]
    data = pd.DataFrame({"g": group.astype(str), "x": x, "y": b * (1 + 0.7 * x) + 0.5 * rng.standard_normal(90)})
    with pytest.warns(BoundaryWarning, match="correlation"):
        fit = mv.fit("y ~ x + (x | g)", data)
    v = fit.varcomp
    assert fit.is_singular
    assert list(v["boundary"]) == [False, True, False, False]
    assert_allclose(abs(v["sd"].iloc[1]), 1.0, rtol=1e-6, atol=0)
    assert np.isnan(v["se"].iloc[1])
    assert np.isfinite(v["se"].iloc[[0, 2, 3]]).all()
    text = " ".join(str(fit.summary()).split())
    assert "the correlation of Intercept and x in g is at the edge of its range" in text
    assert "nan" not in text.lower()


def test_80_all_variances_zero_is_the_least_squares_fit_with_a_note():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"a": list("abcd") * 6, "b": list("uvwxyz") * 4, "x": rng.standard_normal(24)})
    both = pd.get_dummies(data[["a", "b"]], dtype=float).to_numpy()
    e = rng.standard_normal(24)
    data["y"] = 2 + data["x"] + e - both @ np.linalg.lstsq(both, e, rcond=None)[0]  # nothing left between levels
    with pytest.warns(BoundaryWarning):
        fit = mv.fit("y ~ x + (1 | a) + (1 | b)", data)
    X = np.column_stack([np.ones(24), data["x"]])
    beta, rss = np.linalg.lstsq(X, data["y"].to_numpy(), rcond=None)[:2]
    assert (fit.varcomp["variance"].iloc[:2] == 0).all()
    assert_allclose(fit.params, beta, rtol=1e-10, atol=1e-12)
    assert_allclose(fit.scale, rss[0] / 22, rtol=1e-10, atol=0)
    assert_allclose(fit.bse, np.sqrt(np.diagonal(rss[0] / 22 * np.linalg.inv(X.T @ X))), rtol=1e-10, atol=0)
    assert_allclose(fit.df_fixed(), [22, 22], rtol=1e-8, atol=0)
    assert "every random variance is exactly zero, so this is the least-squares fit" in " ".join(
        str(fit.summary()).split()
    )


def test_85_a_method_without_likelihood_has_no_aic_and_says_which_has():
    fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    moment = replace(fit, estimate=replace(fit.estimate, method="he", loglik=None))
    with pytest.raises(AttributeError, match=r"method 'he' has no likelihood.*use method='reml' or method='ml'"):
        _ = moment.aic
    with pytest.raises(NotProvided, match="no llf, aic or bic"):
        _ = moment.bic


def test_86_prediction_lists_absent_columns_and_unknown_ids():
    fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    with pytest.raises(BindError, match=r"2 columns are needed to predict and not in the new data: .*Days.*Subject"):
        fit.predict(pd.DataFrame({"day": [1.0]}))
    assert len(fit.predict(pd.DataFrame({"Days": [1.0]}), random="none")) == 1
    labels = [f"id{j}" for j in range(12)]
    A = pd.DataFrame(np.eye(12) + 0.3, labels, labels)
    data = pd.DataFrame({"id": labels[:10] * 3, "y": np.random.default_rng(4).standard_normal(30)})
    data["y"] += 3 * np.tile(np.linspace(-1, 1, 10), 3)
    kin = mv.fit("y ~ 1 + (1 | id:A)", data, cov={"A": A})
    with pytest.raises(DataError, match=r"2 levels of 'id' had no rows in the fit: 'ghost', 'id11'. 1 of them is in"):
        kin.predict(pd.DataFrame({"id": ["ghost", "id11", "id0"]}))
