"""The specification of some rows is the specification of the data with those rows alone."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.design.subset import take_rows
from mixedvc.likelihood import choose
from mixedvc.testing.optimum import quiet
from tests.tolerances import IDENTITY, OBJECTIVE


def data(n=60, seed=3):
    rng = np.random.default_rng(seed)
    ids = np.array([f"i{k:02d}" for k in range(20)])
    frame = pd.DataFrame(
        {
            "y": rng.standard_normal(n),
            "x": rng.standard_normal(n),
            "f": rng.choice(["a", "b", "c"], n),
            "id": rng.choice(ids, n),
            "g": rng.choice(list("pqrstu"), n),
            "w": rng.uniform(0.5, 2.0, n),
            "o": rng.standard_normal(n),
        }
    )
    root = rng.standard_normal((20, 30))
    return frame, {"A": (root @ root.T / 30, ids)}


FORMULA = "y ~ x + f + (1 + x | id:A) + (1 | g)"


@pytest.mark.parametrize("options", [{}, {"weights": "w"}, {"offset": "o"}, {"weights": "w", "offset": "o"}])
def test_a_fit_of_some_rows_is_the_fit_of_those_rows_of_the_table(options):
    frame, cov = data()
    rows = np.random.default_rng(1).permutation(len(frame))[:45]
    part = take_rows(mv.model(FORMULA, frame, cov=cov, **options), rows)
    whole = mv.model(FORMULA, frame.iloc[rows], cov=cov, **options)
    with quiet():
        got, want = part.fit("reml"), whole.fit("reml")
    np.testing.assert_allclose(got.llf, want.llf, **OBJECTIVE)
    np.testing.assert_allclose(got.params, want.params, rtol=1e-6, atol=1e-8)
    for term, same in zip(part.terms, whole.terms, strict=True):
        np.testing.assert_array_equal(term.levels[term.codes], same.levels[same.codes])
        np.testing.assert_array_equal(term.basis, same.basis)
    np.testing.assert_array_equal(part.row_labels, frame.index[rows])


def test_levels_without_rows_leave_and_the_covariance_still_knows_them():
    frame, cov = data()
    spec = mv.model(FORMULA, frame, cov=cov)
    rows = np.flatnonzero(frame["id"].isin(["i01", "i02", "i03", "i04", "i05", "i06"]))
    term = take_rows(spec, rows).terms[0]
    assert set(term.levels) == set(frame["id"].iloc[rows])
    assert len(term.covariance.labels) == 20
    np.testing.assert_array_equal(term.covariance.labels[term.positions], term.levels)


def test_a_fixed_column_that_the_rows_do_not_tell_apart_is_dropped_and_named():
    frame, cov = data()
    spec = mv.model(FORMULA, frame, cov=cov)
    part = take_rows(spec, np.flatnonzero(frame["f"] != "c"))
    assert len(part.aliased) == 1 and part.aliased[0] in spec.x_names
    assert part.p == spec.p - 1
    assert part.x_names == tuple(name for name in spec.x_names if name not in part.aliased)


def test_rows_may_be_repeated_and_the_residuals_of_copies_are_independent():
    frame, _ = data(20)
    spec = mv.model("y ~ x + (1 | g)", frame)
    rows = np.r_[np.arange(20), np.arange(20)]
    twice = take_rows(spec, rows)
    want = mv.model("y ~ x + (1 | g)", frame.iloc[rows].reset_index(drop=True))
    theta = np.array([0.7, 1.3])
    got = choose(twice, name="dense")[0].at(theta)
    np.testing.assert_allclose(got.loglik, choose(want, name="dense")[0].at(theta).loglik, **OBJECTIVE)


def test_all_rows_change_nothing():
    frame, cov = data()
    spec = mv.model(FORMULA, frame, cov=cov, weights="w")
    same = take_rows(spec, np.arange(spec.n))
    np.testing.assert_allclose(same.X, spec.X, **IDENTITY)
    for a, b in zip(same.all_terms, spec.all_terms, strict=True):
        np.testing.assert_array_equal(a.codes, b.codes)
        np.testing.assert_array_equal(a.levels, b.levels)
