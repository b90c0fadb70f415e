"""Whether a model is a special case of another is judged by what the models allow, not by how they are written."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.inference.nesting import cone_metric, images_of, nest, outside, same_data
from mixedvc.testing.brute import Brute

pytestmark = [
    pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning"),
    pytest.mark.filterwarnings("ignore::mixedvc.errors.DroppedRowsWarning"),
]
IDS = [f"i{j}" for j in range(15)]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    n = 150
    frame = pd.DataFrame({"x": rng.standard_normal(n), "z": rng.standard_normal(n)})
    frame["a"], frame["b"] = np.repeat(list("abcde"), 30), np.tile(np.repeat(list("pqr"), 10), 5)
    frame["t"] = np.tile(["1", "2"], 75)
    frame["id"] = np.array(IDS)[rng.integers(0, 15, n)]
    frame["y"] = rng.standard_normal(n) + frame.x + np.repeat(rng.standard_normal(5), 30)
    return frame


def fit(data, formula, **options):
    W = np.random.default_rng(2).standard_normal((15, 20))
    A = (W @ W.T / 20, IDS)
    return mv.fit(formula, data, cov={"A": A}, method=options.pop("method", "ml"), **options)


def relation(data, small, large, **options):
    one, two = (fit(data, f) for f in (small, large))
    return nest(one.spec, one.estimate, two.spec, two.estimate)


NESTED = [  # smaller, larger, df, blocks, extra
    ("y ~ x + (1 | a)", "y ~ x + (x | a)", 2, (1,), 1),
    ("y ~ x + (1 | a)", "y ~ x + (x || a)", 1, (1,), 0),
    ("y ~ x + (x || a)", "y ~ x + (x | a)", 1, (), 1),
    ("y ~ x + (1 | a) + (0 + x | a)", "y ~ x + (x | a)", 1, (), 1),
    ("y ~ x", "y ~ x + (x | a)", 3, (2,), 0),
    ("y ~ x", "y ~ x + (x || a)", 2, (1, 1), 0),
    ("y ~ x + (1 | a)", "y ~ x + (1 | a) + (1 | b)", 1, (1,), 0),
    ("y ~ x + (1 | a)", "y ~ x + (1 | a / b)", 1, (1,), 0),
    ("y ~ x + (1 | a) + (1 | a:b)", "y ~ x * z + (1 | a / b)", 2, (), 2),
    ("y ~ 1 + (1 | a)", "y ~ x + z + (1 | a)", 2, (), 2),
    ("y ~ x + (1 | id)", "y ~ x + (1 | id) + (1 | id:A)", 1, (1,), 0),
    ("y ~ x + (0 + t | a)", "y ~ t + x + (t | a)", 1, (), 1),  # the same covariances, coded otherwise
    ("y ~ x + (1 | a)", "y ~ x + (0 + t | a)", 2, (1,), 1),  # all effects of a level equal: a line of the cone
    ("y ~ x + cs(0 + t | a)", "y ~ x + (0 + t | a)", 0, (), 0),  # two effects: the same model
    ("y ~ I(2 * x) + (1 | a)", "y ~ x + z + (1 | a)", 1, (), 1),
]


@pytest.mark.parametrize(("small", "large", "df", "blocks", "extra"), NESTED, ids=[f"{c[0]} in {c[1]}" for c in NESTED])
def test_special_cases_are_found_whatever_the_formula_looks_like(data, small, large, df, blocks, extra):
    found = relation(data, small, large)
    assert found.problem == ""
    assert found.df == df
    assert found.cone is not None and (found.cone.blocks, found.cone.extra) == (blocks, extra)


NOT_NESTED = [
    ("y ~ z + (1 | a)", "y ~ x + (x | a)", r"fixed part of the smaller model is not contained .*\(z\)"),
    ("y ~ x + (1 | b)", "y ~ x + (x | a)", r"no term for \(1 \| b\) of the smaller"),
    ("y ~ x + (1 | id)", "y ~ x + (1 | id:A)", "no term for"),
    ("y ~ x + (x | a)", "y ~ x + (x || a) + (1 | b)", r"no term for \(1 \+ x \| a\)"),
    ("y ~ x + (0 + x | a)", "y ~ x + (z | a)", "no term for"),
    ("y ~ x + (0 + t | a)", "y ~ x + cs(0 + t | a, hom=True)", "has another pattern"),
    ("y ~ x + (0 + t || a)", "y ~ x + (1 | a) + (1 | a:t)", "no term for|would need a negative variance"),
]


@pytest.mark.parametrize(("small", "large", "reason"), NOT_NESTED, ids=[f"{c[0]} in {c[1]}" for c in NOT_NESTED])
def test_models_that_are_no_special_cases_are_told_apart(data, small, large, reason):
    assert re.search(reason, relation(data, small, large).problem)


def test_a_covariance_that_would_need_a_negative_variance_is_not_inside(data):
    """Compound symmetry with any correlation is not an intercept and a residual, which only gives positive ones."""
    found = relation(data, "y ~ x + cs(0 + t | a, hom=True)", "y ~ x + (1 | a) + (1 | a:t)")
    assert "would need a negative variance" in found.problem
    assert relation(data, "y ~ x + (1 | a) + (1 | a:t)", "y ~ x + cs(0 + t | a, hom=True)").problem == ""


def test_the_image_of_a_model_has_its_covariance(data):
    one, two = fit(data, "y ~ x + (0 + t | a)").spec, fit(data, "y ~ x + (t | a)").spec
    theta = np.array([2.0, 0.3, 1.5, 0.7])
    images, lost = images_of(one, two, theta[:, None])
    assert not lost
    assert_allclose(Brute(two).at(images[:, 0]).V, Brute(one).at(theta).V, rtol=1e-8, atol=1e-9)


def test_the_metric_of_an_edge_is_that_of_the_covariance_in_its_directions(data):
    """All effects of a level equal: Σ is zero in the two directions across."""
    one, two = fit(data, "y ~ b + (1 | a)"), fit(data, "y ~ b + (0 + b | a)")
    found = nest(one.spec, one.estimate, two.spec, two.estimate)
    assert (found.cone.blocks, found.cone.extra) == ((2,), 2)
    N, m = found.edges[0], len(two.spec.index)
    assert_allclose(N.sum(axis=0), 0, atol=1e-9)
    rows = []
    for unit in np.eye(m):
        inner = N.T @ two.spec.sigmas(unit)[0] @ N
        rows.append([inner[0, 0], inner[0, 1], inner[1, 1]])
    root = np.random.default_rng(5).standard_normal((m, m + 2))
    information, J = root @ root.T, np.array(rows).T
    cone = cone_metric(found.cone, found, two.spec, information, np.zeros(m, dtype=bool))
    assert_allclose(cone.covariance, J @ np.linalg.inv(information) @ J.T, rtol=1e-8, atol=1e-12)


def test_components_held_fixed_belong_to_the_model(data):
    free, held = fit(data, "y ~ x + (1 | a)"), fit(data, "y ~ x + (1 | a)", fixed_varcomp={"a": 0.5})
    assert nest(held.spec, held.estimate, free.spec, free.estimate).df == 1
    assert "(1 | a) is held at other values" in nest(free.spec, free.estimate, held.spec, held.estimate).problem


def test_columns_are_compared_as_spaces():
    X = np.random.default_rng(1).standard_normal((20, 3))
    assert not len(outside(X @ np.diag([1e-9, 1.0, 1e9]), X))
    assert outside(np.column_stack([X, X[:, 0] + 1e-3 * np.arange(20)]), X).tolist() == [3]
    assert outside(X, np.empty((20, 0))).tolist() == [0, 1, 2]


def test_models_of_other_data_are_told_apart(data):
    first = fit(data, "y ~ x + (1 | a)").spec
    holes = data.assign(z=data.z.mask(data.index < 4))
    message = same_data(first, fit(holes, "y ~ z + (1 | a)").spec)
    assert message.startswith(
        "they were fitted to different rows: 150 and 146 (4 only in the first, 0 only in the second)"
    )
    shifted = data.assign(y=np.exp(data.y))
    message = same_data(first, fit(shifted, "log(y) ~ x + (1 | a)").spec)
    assert message == ""  # the same numbers
    assert "different responses, 'y' and 'log(y)'" in same_data(
        first, fit(data.assign(y=data.y + 9), "log(y) ~ x + (1 | a)").spec
    )
    assert "two different versions of 'y'" in same_data(first, fit(data.assign(y=-data.y), "y ~ x + (1 | a)").spec)
    weighted = data.assign(w=np.arange(1.0, 151.0))
    assert same_data(first, fit(weighted, "y ~ x + (1 | a)", weights="w").spec) == "they have different weights"
    assert same_data(first, fit(weighted, "y ~ x + (1 | a)", offset="w").spec) == "they have different offset"
