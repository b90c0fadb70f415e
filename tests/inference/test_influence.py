"""Influence by deletion formulas is influence by brute force; refits are those of lme4."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.design.subset import take_rows
from mixedvc.errors import NotProvided, OptionError
from mixedvc.testing import problems
from mixedvc.testing.brute import Brute
from mixedvc.testing.optimum import quiet
from tests.reference.load import reference

PROBLEMS = [
    ("crossed_weights_offset", None),
    ("slopes", "id"),
    ("kinship_slopes", "person"),
    ("residual_autoregressive", "id"),
    ("residual_by_sex", None),
    ("residual_unstructured", "g"),
]


def fitted(problem):
    with quiet():
        return problems.bound(problem).fit("reml")


@pytest.mark.parametrize(("problem", "group"), PROBLEMS)
def test_deletions_at_given_variances_are_the_least_squares_of_the_other_rows(problem, group):
    fit = fitted(problem)
    found = fit.influence(group)
    spec = fit.spec
    labels = spec.row_labels if group is None else spec.source.frame[group].to_numpy()
    C = np.asarray(fit.cov_params())
    for level in list(found.frame.index)[:8]:
        kept = np.flatnonzero(labels != level)
        V, X = Brute(spec).at(fit.theta).V[np.ix_(kept, kept)], spec.X[kept]
        cov = np.linalg.inv(X.T @ np.linalg.solve(V, X))
        beta = cov @ X.T @ np.linalg.solve(V, spec.response[kept])
        row = found.frame.loc[level]
        np.testing.assert_allclose(found.params.loc[level], beta, rtol=1e-8, atol=1e-9)
        moved = np.asarray(fit.params) - beta
        np.testing.assert_allclose(found.dfbeta.loc[level], moved, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(found.dfbetas.loc[level], moved / np.sqrt(np.diag(cov)), rtol=1e-6, atol=1e-9)
        assert row["cooks_d"] == pytest.approx(moved @ np.linalg.solve(C, moved) / spec.p, rel=1e-6)
        assert row["mdffits"] == pytest.approx(moved @ np.linalg.solve(cov, moved) / spec.p, rel=1e-6)
        assert row["covratio"] == pytest.approx(np.linalg.det(cov) / np.linalg.det(C), rel=1e-8)
        assert row["rows"] == spec.n - len(kept)


@pytest.mark.parametrize(("problem", "group"), PROBLEMS[:4])
def test_leverages_add_up_to_the_number_of_fixed_effects(problem, group):
    fit = fitted(problem)
    assert fit.influence(group).frame["leverage"].sum() == pytest.approx(fit.spec.p, rel=1e-9)


def test_without_random_effects_it_is_the_influence_of_least_squares():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((2, 30))
    frame = mv.fit("y ~ x", pd.DataFrame({"x": x, "y": y})).influence().frame
    X = np.column_stack([np.ones(30), x])
    h = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)
    e = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    np.testing.assert_allclose(frame["cooks_d"], e**2 * h / (1 - h) ** 2 / 2 / (e @ e / 28), rtol=1e-8, atol=0)
    np.testing.assert_allclose(frame["leverage"], h, rtol=1e-10, atol=0)


@pytest.mark.parametrize("problem", ["slopes", "residual_autoregressive"])
def test_refits_are_fits_of_the_rows_that_are_left(problem):
    fit = fitted(problem)
    found = fit.influence("id", refit=True)
    labels = fit.spec.source.frame["id"].to_numpy()
    for level in list(found.frame.index)[:3]:
        with quiet():
            alone = take_rows(fit.spec, np.flatnonzero(labels != level)).fit("reml")
        np.testing.assert_allclose(found.params.loc[level], alone.params, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.varcomp.loc[level], alone.estimate.par, rtol=1e-4, atol=1e-5)


def test_refits_without_each_subject_are_those_of_lme4():
    want = reference("influence/sleepstudy")
    found = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy")).influence("Subject", refit=True)
    assert [str(level) for level in found.frame.index] == want["groups"]
    np.testing.assert_allclose(-found.dfbeta, want["dfbeta"], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(-found.dfbetas, want["dfbetas"], rtol=2e-3, atol=1e-4)
    G, p = found.dfbeta.shape
    np.testing.assert_allclose(found.frame["cooks_d"] * (G - p) / G, want["cooks"], rtol=1e-4, atol=0)


def test_a_group_without_which_the_fixed_effects_are_not_estimable_is_told():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"y": rng.standard_normal(24), "g": np.repeat(list("abcdef"), 4)})
    data["x"] = (data["g"] == "c") * 1.0
    with quiet():
        fit = mv.fit("y ~ x + (1 | g)", data)
    for refit in (False, True):
        found = fit.influence("g", refit=refit)
        assert np.isnan(found.frame.loc["c", "cooks_d"])
        assert found.frame["cooks_d"].notna().sum() == 5
        assert any("1 groups cannot be left out" in note for note in found.notes)
    assert found.top(1).index[0] == "c"


def test_labels_may_be_given_row_by_row():
    fit = fitted("slopes")
    column = fit.spec.source.frame["id"].to_numpy()
    pd.testing.assert_frame_equal(
        fit.influence(column).frame.reset_index(drop=True), fit.influence("id").frame.reset_index(drop=True)
    )


def test_what_has_no_influence_is_refused_in_words():
    fit = fitted("slopes")
    with pytest.raises(OptionError, match="'idd' is no column that the model uses; did you mean 'id'"):
        fit.influence("idd")
    with pytest.raises(OptionError, match="has one group"):
        fit.influence(np.zeros(fit.nobs))
    with pytest.raises(OptionError, match="refit=1"):
        fit.influence("id", refit=1)
    with pytest.raises(NotProvided, match="generalised least squares"):
        problems.bound("slopes").fit("he", fixed="ols").influence("id")


def test_tables_and_pictures_name_the_largest():
    plt = pytest.importorskip("matplotlib.pyplot")
    found = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy")).influence("Subject")
    shown = [line.split()[0] for line in str(found).splitlines() if line[:3].isdigit()]
    assert shown == [str(level) for level in found.top().index]
    assert shown[:3] == ["309", "335", "337"]
    assert "The 3 of 18 groups" in str(found.summary(3))
    assert "<table" in found._repr_html_()
    ax = found.plot(label=2)
    assert [t.get_text() for t in ax.texts] == []  # none beyond 4/18
    panels = found.plot("dfbetas", label=1)
    assert [p.get_title(loc="left") for p in panels] == ["Intercept", "Days"]
    assert panels[1].get_xlabel() == "Subject, in order of the data"
    with pytest.raises(OptionError, match="kind='qq'"):
        found.plot("qq")
    plt.close("all")
