"""New rows are coded as the fit was, and `explain` says how the formula was read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedvc.design.bind import bind
from mixedvc.errors import BindError, DataError
from tests.design.test_bind import kinship, table
from tests.tolerances import IDENTITY


def test_the_rows_of_the_fit_come_back():
    data = table()
    spec = bind("y ~ poly(x, 2) * f + offset(o) + (x | g) + (1 | g:s)", data, weights="w")
    rows = spec.source.new_rows(data)
    np.testing.assert_allclose(rows.X, spec.X, **IDENTITY)
    np.testing.assert_allclose(rows.offset, spec.offset, **IDENTITY)
    np.testing.assert_allclose(rows.weights, spec.weights, **IDENTITY)
    for new, term in zip(rows.rows, spec.terms, strict=True):
        assert new.name == term.name
        assert new.levels.tolist() == term.levels[term.codes].tolist()
        np.testing.assert_allclose(new.basis, term.basis, **IDENTITY)


def test_a_few_rows_keep_the_levels_and_polynomials_of_the_fit():
    data = table()
    spec = bind("y ~ poly(x, 2) * f + scale(w) + (0 + s | g)", data.assign(x=data["x"] + 0.1 * data["o"] ** 2))
    few = data.assign(x=data["x"] + 0.1 * data["o"] ** 2).iloc[[7, 3]]
    rows = spec.source.new_rows(few)
    np.testing.assert_allclose(rows.X, spec.X[[7, 3]], **IDENTITY)
    np.testing.assert_allclose(rows.rows[0].basis, spec.terms[0].basis[[7, 3]], **IDENTITY)
    assert rows.labels.tolist() == [7, 3]


def test_terms_not_asked_for_need_no_columns():
    data = table()
    source = bind("y ~ x + (1 | g) + (1 | s)", data).source
    assert source.new_rows(data[["x"]], terms=False).rows == ()
    assert [r.name for r in source.new_rows(data[["x", "s"]], terms=["s"]).rows] == ["s"]
    with pytest.raises(BindError, match="no random term is called 'h'; the model has 'g', 's'"):
        source.new_rows(data, terms=["h"])


def test_086_absent_columns_are_listed_together():
    data = table()
    source = bind("y ~ x + log(w) + offset(o) + (1 | g)", data).source
    with pytest.raises(BindError, match="3 columns are needed to predict and not in the new data: 'w', 'o', 'g'"):
        source.new_rows(data[["x"]])


def test_levels_of_groups_may_be_new_and_float_ids_meet_integers():
    data = table()
    source = bind("y ~ x + (1 | g)", data).source
    rows = source.new_rows(pd.DataFrame({"x": [1.0, 2.0, 3.0], "g": [3.0, 99.0, np.nan]})).rows[0]
    assert rows.levels.tolist() == [3, 99, None]


def test_missing_cells_give_nan_rows_and_infinite_ones_are_refused():
    data = table()
    source = bind("y ~ x + f", data).source
    new = pd.DataFrame({"x": [1.0, np.nan, 2.0], "f": ["a", "b", None]})
    X = source.new_rows(new).X
    assert np.isnan(X).any(axis=1).tolist() == [False, True, True]
    with pytest.raises(DataError, match="x is inf in row 1"):
        source.new_rows(new.assign(x=[1.0, np.inf, 2.0]))
    assert np.isnan(source.new_rows(new.assign(f=None)).X[:, 2]).all()


def test_a_column_that_changed_its_kind_is_refused():
    data = table()
    source = bind("y ~ x + f", data).source
    with pytest.raises(DataError, match="x was numeric in the fit and holds labels now: '1'"):
        source.new_rows(pd.DataFrame({"x": ["1"], "f": ["a"]}))
    with pytest.raises(DataError, match="f was a factor in the fit and holds numbers now; its levels were 'a'"):
        source.new_rows(pd.DataFrame({"x": [1.0], "f": [1.0]}))


def test_an_offset_given_as_numbers_says_that_prediction_needs_a_column():
    data = table()
    source = bind("y ~ x", data, offset=np.ones(48)).source
    with pytest.raises(BindError, match="offset= as numbers, which say nothing about new rows"):
        source.new_rows(data)
    source = bind("y ~ x", data, offset="o").source
    np.testing.assert_array_equal(source.new_rows(data).offset, data["o"])
    with pytest.raises(BindError, match="offset column 'o' is needed"):
        source.new_rows(data[["x"]])


def test_columns_dropped_for_rank_are_dropped_in_new_rows_too():
    data = table()
    with pytest.warns(UserWarning, match="dropped"):
        spec = bind("y ~ x + I(2 * x) + w", data)
    assert spec.source.new_rows(data).X.shape == (48, 3)
    np.testing.assert_allclose(spec.source.new_rows(data).X, spec.X, **IDENTITY)


def test_explain_says_how_everything_was_read():
    data = table().assign(id=np.repeat([f"i{j}" for j in range(16)], 3))
    data.loc[[1, 5], "x"] = np.nan
    A = kinship([*(f"i{j}" for j in range(16)), "parent"])
    with pytest.warns(UserWarning, match="2 of 48"):
        spec = bind("y ~ x + f + offset(o) + (x | id:A) + (1 | g)", data, cov={"A": A}, weights="w")
    text = spec.explain()
    for words in (
        "Formula: y ~ x + f + offset(o) + (x | id:A) + (1 | g)",
        "Response: y\n  minus offset(o)",
        "Fixed effects (4): Intercept, x, f[T.b], f[T.c]\n  f: factor with levels a, b, c, by contrasts",
        "Random term 'id': (1 + x | gr(id, cov=A))\n  effects: Intercept, x; structure us (3 parameters)",
        "levels: 16 of 'id' in the data, cov['A']:",
        "1 more level(s) in the covariance, without records",
        "Random term 'g': (1 | g)\n  effects: Intercept; structure us (one variance)\n  levels: 8 of 'g'",
        "Residual: independent, variance sigma2 / w",
        "Rows: 46 of 48; 2 left out for missing values (x 2)",
        "Note: cov['A'] has 1 level(s) of 'id' without records; they can be predicted.",
    ):
        assert words in text


def test_explain_says_dummies_without_an_intercept():
    assert "f: factor with levels a, b, c, by dummies" in bind("y ~ 0 + f", table()).explain()
    assert "by contrasts" in bind("y ~ f", table(), contrasts={"f": "sum"}).explain()
