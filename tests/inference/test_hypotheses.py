"""What users call contrasts, as rows of weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from mixedvc.errors import FormulaError, OptionError
from mixedvc.inference.hypotheses import hypotheses

NAMES = ("Intercept", "x", "poly(x, 2)[1]", "poly(x, 2)[2]", "f[T.a b]", "f[T.a b]:x", "x.y", "I(x ** 2)")


def read(given, rhs=None, aliased=()):
    return hypotheses(given, NAMES, rhs, aliased)


def row(**weights):
    out = np.zeros(len(NAMES))
    for place, value in weights.items():
        out[int(place[1:])] = value
    return out


@pytest.mark.parametrize(
    ("text", "weights", "rhs"),
    [
        ("x = 10", row(_1=1), 10),
        ("x", row(_1=1), 0),
        ("10 = x", row(_1=-1), -10),
        ("2*x - Intercept/4 == 1e1 + 2", row(_1=2, _0=-0.25), 12),
        ("poly(x, 2)[1] - poly(x, 2)[2] = 0", row(_2=1, _3=-1), 0),
        ("f[T.a b] = f[T.a b]:x", row(_4=1, _5=-1), 0),
        ("-(x + 2 * (x.y - 3)) * .5 = 0", row(_1=-0.5, _6=-1), -3),
        ("I(x ** 2) + +x - -1 = 0", row(_7=1, _1=1), -1),
        ("`f[T.a b]` * 3", row(_4=3), 0),
        ("(Intercept) + x", row(_0=1, _1=1), 0),
        ("x + x", row(_1=2), 0),
        ("2 * 3 * x / 6 = 6 / 3", row(_1=1), 2),
    ],
)
def test_text_is_read_with_the_names_of_the_coefficients(text, weights, rhs):
    found = read(text)
    assert_array_equal(found.L, [weights])
    assert_array_equal(found.rhs, [rhs])
    assert found.labels == (text,)


def test_the_longest_name_wins_and_a_name_ends_where_its_word_does():
    assert_array_equal(read("x.y").L, [row(_6=1)])
    with pytest.raises(OptionError, match="no coefficient is called 'x2'"):
        read("x2 = 1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x * x.y = 0", "coefficients are multiplied by each other"),
        ("1 / x = 0", "the divisor is zero or holds a coefficient"),
        ("x / 0 = 0", "the divisor is zero or holds a coefficient"),
        ("x = 1 = 2", "this cannot stand here"),
        ("x 2", "this cannot stand here"),
        ("(x", r"a '\)' is missing here"),
        ("x +", "a coefficient or a number is needed here"),
        ("1 = 2", "holds no coefficient"),
        ("x - x = 0", "holds no coefficient"),
        ("", "a coefficient or a number is needed here"),
        ("(" * 61 + "x", "more than 60 nested parentheses"),
        ("__import__('os')", "no coefficient is called '__import__'"),
        ("x = 1; x", "this cannot stand here"),
    ],
)
def test_other_text_is_refused_at_its_place(text, message):
    with pytest.raises((FormulaError, OptionError), match=message):
        read(text)


def test_dictionaries_lists_and_frames():
    found = read({"x": 1, "x.y": -2})
    assert_array_equal(found.L, [row(_1=1, _6=-2)])
    assert found.labels == ("x - 2*x.y",)
    found = read({"first": {"x": 1}, "second": "x.y = 3", "third": row(_0=1)})
    assert found.labels == ("first", "second", "third")
    assert_array_equal(found.L, [row(_1=1), row(_6=1), row(_0=1)])
    assert_array_equal(found.rhs, [0, 3, 0])
    assert_array_equal(read(["x", {"x.y": 2}]).L, [row(_1=1), row(_6=2)])
    frame = pd.DataFrame({"x": [1.0, 0.0], "Intercept": [0.0, 2.0]}, index=["a", "b"])
    found = read(frame)
    assert_array_equal(found.L, [row(_1=1), row(_0=2)])
    assert found.labels == ("a", "b")
    assert_array_equal(read([list(row(_1=1)), list(row(_0=1))]).L, [row(_1=1), row(_0=1)])
    assert_array_equal(read(list(row(_1=1))).L, [row(_1=1)])
    assert read({"both": np.eye(8)[:2]}).labels == ("both[1]", "both[2]")


def test_a_level_that_is_not_there_is_named_whole():
    with pytest.raises(OptionError, match=r"no coefficient is called 'f\[T.a c\]:x'; did you mean 'f\[T.a b\]:x'"):
        read("x + f[T.a c]:x = 0")
    with pytest.raises(OptionError, match=r"no coefficient is called 'x:f\[T.a b\]'"):
        read("x:f[T.a b] = 0")


def test_right_hand_sides_are_given_once():
    assert_array_equal(read(np.eye(8)[:2], [1, 2]).rhs, [1, 2])
    assert_array_equal(read(["x", "x.y"], 5).rhs, [5, 5])
    with pytest.raises(OptionError, match="rhs= is given twice"):
        read("x = 1", 2)
    with pytest.raises(OptionError, match="one number, or 2"):
        read(np.eye(8)[:2], [1, 2, 3])


def test_what_does_not_fit_is_refused():
    with pytest.raises(OptionError, match="contrasts have 3 columns, the model has 8 fixed effects"):
        read([1.0, 2.0, 3.0])
    with pytest.raises(OptionError, match="missing or infinite"):
        read(row(_1=np.nan))
    with pytest.raises(OptionError, match="no contrast was given"):
        read([])
    with pytest.raises(OptionError, match="the column 'z' was dropped"):
        read("z = 1", aliased=("z",))
    with pytest.raises(OptionError, match="did you mean 'Intercept'"):
        read({"Intercpt": 1})
    with pytest.raises(OptionError, match="contrasts are rows of numbers"):
        read([["a", object()]])


def test_a_name_that_goes_on_in_another_gives_way_to_it():
    found = hypotheses("a - b = 0", ("a", "b", "a - b"))
    assert_array_equal(found.L, [[0, 0, 1]])
