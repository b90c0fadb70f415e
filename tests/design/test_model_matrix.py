"""Fixed-effect columns equal R's model.matrix, in value and order, for the data fitted and for new rows."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mixedvc.design.bind import bind
from mixedvc.design.expressions import Evaluator
from mixedvc.design.random import column_reader
from mixedvc.errors import FormulaError, RankWarning
from tests.tolerances import OBJECTIVE

HERE = Path(__file__).parent.parent / "reference" / "model_matrix"
CASES = sorted(path.stem for path in HERE.glob("*.json"))
LEVELS = ["low", "mid", "high", "top"]


def table(name: str) -> pd.DataFrame:
    data = pd.read_csv(HERE / name)
    data["o"] = pd.Categorical(data["o"], LEVELS, ordered=True)
    data["y"] = np.random.default_rng(1).standard_normal(len(data))
    return data


def bound(case: dict):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankWarning)
        return bind(f"y ~ {case['formula']}", table("data.csv"), contrasts=case["contrasts"])


def all_columns(spec, data: pd.DataFrame) -> np.ndarray:
    evaluator = Evaluator(column_reader(data), dict(spec.source.memory))
    return spec.source.coder.matrix(evaluator, np.arange(len(data)))


def test_there_are_cases_of_every_kind():
    assert len(CASES) >= 50


@pytest.mark.parametrize("name", CASES)
def test_columns_equal_those_of_r(name):
    case = json.loads((HERE / f"{name}.json").read_text())
    spec = bound(case)
    want = np.array(case["columns"], dtype=float).T
    np.testing.assert_allclose(all_columns(spec, table("data.csv")), want, **OBJECTIVE)


@pytest.mark.parametrize("name", CASES)
def test_the_columns_kept_are_those_that_r_keeps(name):
    case = json.loads((HERE / f"{name}.json").read_text())
    spec = bound(case)
    assert (spec.source.kept + 1).tolist() == case["kept"]
    np.testing.assert_allclose(spec.X, np.array(case["columns"], dtype=float).T[:, spec.source.kept], **OBJECTIVE)


@pytest.mark.parametrize("name", CASES)
def test_new_rows_get_the_knots_means_and_polynomials_of_the_fit(name):
    case = json.loads((HERE / f"{name}.json").read_text())
    if "new_columns" not in case:
        pytest.skip("R cannot code new rows for contrasts given inside the formula")
    spec = bound(case)
    new = table("new.csv")
    want = np.array(case["new_columns"], dtype=float).T
    np.testing.assert_allclose(all_columns(spec, new), want, **OBJECTIVE)
    np.testing.assert_allclose(spec.source.new_rows(new).X, want[:, spec.source.kept], **OBJECTIVE)


@pytest.mark.parametrize(
    ("formula", "names"),
    [
        ("x + f", ["Intercept", "x", "f[T.b]", "f[T.c]"]),
        ("0 + f", ["f[a]", "f[b]", "f[c]"]),
        ("f * x", ["Intercept", "f[T.b]", "f[T.c]", "x", "f[T.b]:x", "f[T.c]:x"]),
        ("poly(x, 2)", ["Intercept", "poly(x, 2)[1]", "poly(x, 2)[2]"]),
        ("poly(x, 1)", ["Intercept", "poly(x, 1)[1]"]),
        ("o", ["Intercept", "o[.L]", "o[.Q]", "o[.C]"]),
        ("flag", ["Intercept", "flag[T.True]"]),
        ("C(f, contr.sum)", ["Intercept", "C(f, contr.sum)[S.a]", "C(f, contr.sum)[S.b]"]),
        ("C(f, contr.treatment(base='b'))", None),
        ("scale(x)", ["Intercept", "scale(x)"]),
        ("np.log(z)", ["Intercept", "log(z)"]),
    ],
)
def test_columns_are_named_as_formulaic_names_them(formula, names):
    spec = bind(f"y ~ {formula}", table("data.csv"))
    if names is None:
        assert [n.rpartition("[")[2] for n in spec.x_names] == ["Intercept", "T.a]", "T.c]"]
    else:
        assert list(spec.x_names) == names


def test_contrasts_may_be_a_matrix_or_a_labelled_frame():
    data = table("data.csv")
    matrix = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    plain = bind("y ~ f", data, contrasts={"f": matrix})
    by_name = bind("y ~ f", data, contrasts={"f": "sum"})
    np.testing.assert_array_equal(plain.X, by_name.X)
    assert plain.x_names == ("Intercept", "f[1]", "f[2]")
    shuffled = pd.DataFrame(matrix, index=["a", "b", "c"], columns=["A", "B"]).loc[["c", "a", "b"]]
    labelled = bind("y ~ f", data, contrasts={"f": shuffled})
    np.testing.assert_array_equal(labelled.X, by_name.X)
    assert labelled.x_names == ("Intercept", "f[A]", "f[B]")


def test_contrasts_hold_left_of_the_bar_too():
    data = table("data.csv")
    data["g2"] = np.tile(np.arange(8), 5)
    spec = bind("y ~ f + (0 + f | g2) + (f | k)", data, contrasts={"f": "sum"})
    assert spec.terms[0].effects == ("f[a]", "f[b]", "f[c]")
    assert spec.terms[1].effects == ("Intercept", "f[S.a]", "f[S.b]")


def test_transforms_learn_from_all_rows_given_as_in_r():
    data = table("data.csv")
    data.loc[[3, 17], "y"] = np.nan
    with pytest.warns(UserWarning, match="2 of 40 rows left out for missing values: y 2"):
        spec = bind("y ~ scale(x)", data)
    x = data["x"].to_numpy()
    want = ((x - x.mean()) / x.std(ddof=1))[np.delete(np.arange(40), [3, 17])]
    np.testing.assert_allclose(spec.X[:, 1], want, **OBJECTIVE)


def test_text_levels_are_sorted_and_categories_keep_their_order():
    data = table("data.csv")
    data["c"] = pd.Categorical(data["f"], ["c", "b", "a"])
    assert bind("y ~ f", data).x_names == ("Intercept", "f[T.b]", "f[T.c]")
    assert bind("y ~ c", data).x_names == ("Intercept", "c[T.b]", "c[T.a]")


def test_levels_never_seen_are_left_out_without_a_word():
    data = table("data.csv")
    data["c"] = pd.Categorical(data["f"], ["c", "b", "never", "a"])
    assert bind("y ~ c", data).x_names == ("Intercept", "c[T.b]", "c[T.a]")


def test_a_call_with_a_column_of_an_awkward_name_is_evaluated():
    data = table("data.csv").rename(columns={"x": "body mass", "f": "class"})
    spec = bind("y ~ `body mass` + log(`body mass` + 9) + `class`", data)
    assert spec.x_names[:3] == ("Intercept", "`body mass`", "log(`body mass` + 9)")
    np.testing.assert_allclose(spec.X[:, 2], np.log(data["body mass"] + 9), **OBJECTIVE)


def test_modulo_and_logicals_compute_as_numbers():
    data = table("data.csv")
    spec = bind("y ~ I(k % 2) + I(flag * x)", data)
    np.testing.assert_allclose(spec.X[:, 1], data["k"] % 2, **OBJECTIVE)
    np.testing.assert_allclose(spec.X[:, 2], data["flag"] * data["x"], **OBJECTIVE)


@pytest.mark.parametrize(
    "text", ["open('pwned', 'w')", "x.__class__", "x[0]", "(lambda: 1)()", "__import__('os')", "np.load(x)", "f'{x}'"]
)
def test_the_evaluator_itself_refuses_what_is_not_on_the_list(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FormulaError):
        Evaluator(column_reader(table("data.csv"))).value(text)
    assert list(tmp_path.iterdir()) == []
