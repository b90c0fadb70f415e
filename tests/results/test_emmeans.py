"""Estimated marginal means, slopes and their comparisons against R's emmeans, and by hand."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import NotProvided, OptionError, RankWarning
from mixedvc.inference.comparisons import comparison_weights, polynomials
from tests.inference import cases
from tests.reference.load import input_or_skip, reference
from tests.results.test_anova import data_of, fitted
from tests.tolerances import OBJECTIVE

matplotlib.use("Agg")
COLUMNS = {
    "se": "SE", "df": "df", "lower": "lower.CL", "upper": "upper.CL", "t": "t.ratio", "p": "p.value"
}  # fmt: skip
BOTH = pytest.mark.parametrize("df", ["satterthwaite", "kenward-roger"])


def same(frame, want, estimate, rtol=2e-6):
    """A frame of ours against the columns of emmeans."""
    for ours, theirs in {"estimate": estimate, **COLUMNS}.items():
        if ours in frame and theirs in want:
            column = np.array(want[theirs], dtype=float)
            assert_allclose(frame[ours], column, rtol=rtol, atol=1e-9 * np.nanmax(np.abs(column)), err_msg=ours)


@BOTH
def test_means_and_all_comparisons_agree_with_emmeans(df):
    want, fit = reference("fixed_effects/unbalanced/crossed")["emmeans"][df], fitted("unbalanced/crossed")
    means = fit.emmeans("A", df=df)
    same(means.frame, want["A"]["means"], "emmean")
    for method in ("pairwise", "revpairwise", "trt.vs.ctrl", "eff", "poly", "consec"):
        got = means.contrast(method, adjust="none").frame
        assert got["contrast"].tolist() == want["A"][method]["contrast"]
        same(got, want["A"][method], "estimate")
    for adjust in ("tukey", "bonferroni", "holm", "sidak", "fdr"):
        same(means.contrast(adjust=adjust).frame, want["A"][f"pairwise {adjust}"], "estimate", rtol=1e-5)
    same(fit.emmeans(["A", "B"], df=df).frame, want["AB"]["means"], "emmean")
    same(fit.emmeans(["A", "x"], at={"x": [8, 12]}, df=df).frame, want["A_at_x"]["means"], "emmean")
    within = fit.emmeans("A", by="B", df=df)
    same(within.frame, want["A_by_B"]["means"], "emmean")
    same(within.contrast().frame, want["A_by_B"]["pairwise tukey"], "estimate", rtol=1e-5)
    assert within.contrast().frame["B"].tolist() == ["high"] * 3 + ["low"] * 3


@pytest.mark.parametrize(
    ("name", "specs", "weights"),
    [
        ("A_proportional", "A", "proportional"),
        ("A_cells", "A", "cells"),
        ("A_outer", "A", "outer"),
        ("B_proportional", "B", "proportional"),
    ],
)
def test_weights_of_cells_agree_with_emmeans(name, specs, weights):
    want = reference("fixed_effects/unbalanced/crossed")["emmeans"]["satterthwaite"][name]["means"]
    same(fitted("unbalanced/crossed").emmeans(specs, weights=weights).frame, want, "emmean")


def test_prior_weights_do_not_count_as_frequencies():
    want = reference("fixed_effects/unbalanced/weighted_slopes")["emmeans"]["satterthwaite"]
    fit = fitted("unbalanced/weighted_slopes")
    same(fit.emmeans("A").frame, want["A"]["means"], "emmean")
    same(fit.emmeans("x", weights="proportional").frame, want["A_proportional"]["means"], "emmean")


def test_logicals_two_valued_covariates_and_coerced_factors_follow_emmeans():
    want = reference("fixed_effects/unbalanced/conventions")["emmeans"]["satterthwaite"]
    fit = fitted("unbalanced/conventions")
    for name in ("A", "flag", "d", "k"):
        same(fit.emmeans(name).frame, want[name]["means"], "emmean")
    same(fit.emmeans("A", weights="proportional").frame, want["A_proportional"]["means"], "emmean")


@BOTH
def test_polynomials_and_slopes_agree_with_emmeans_and_emtrends(df):
    want, fit = reference("fixed_effects/unbalanced/polynomial"), fitted("unbalanced/polynomial")
    same(fit.emmeans("A", df=df).frame, want["emmeans"][df]["A"]["means"], "emmean")
    same(fit.emmeans("x", at={"x": [5, 10]}, df=df).frame, want["emmeans"][df]["x"]["means"], "emmean")
    same(fit.emmeans("A", var="x", df=df).frame, want["emtrends"][df]["A"], "x.trend", rtol=2e-3)  # R: one-sided
    slopes = fit.emmeans("A", by="x", at={"x": [7, 13]}, var="x", df=df)
    same(slopes.frame, want["emtrends"][df]["A_at"], "x.trend", rtol=2e-3)


def test_slopes_are_derivatives():
    data = data_of("unbalanced/crossed")
    fit = mv.fit("y ~ A + x + I(x^2) + log(x) + A:x + (1 | g)", data)
    b, at = fit.params, 9.0
    want = b["x"] + 2 * b["I(x ** 2)"] * at + b["log(x)"] / at + np.array([0.0, b["A[T.a2]:x"], b["A[T.a3]:x"]])
    slopes = fit.emmeans("A", at={"x": at}, var="x")
    assert_allclose(slopes.frame["estimate"], want, rtol=1e-6, atol=0)
    assert_allclose(slopes.contrast("trt.vs.ctrl").frame["estimate"], b[["A[T.a2]:x", "A[T.a3]:x"]], rtol=1e-6, atol=0)


@BOTH
def test_cells_without_data_are_not_estimable_as_in_emmeans(df):
    want, fit = reference("fixed_effects/missing_cell/crossed")["emmeans"][df], fitted("missing_cell/crossed")
    for name, specs in (("A", "A"), ("B", "B"), ("AB", ["A", "B"])):
        same(fit.emmeans(specs, df=df).frame, want[name]["means"], "emmean")
    same(fit.emmeans("B", weights="cells", df=df).frame, want["B_cells"]["means"], "emmean")
    means = fit.emmeans(["A", "B"], df=df)
    assert means.frame["estimate"].isna().tolist() == [False, False, True, False, False, False]
    assert "1 of 6 are not estimable" in " ".join(str(means).split())
    pairs = means.contrast(adjust="none").frame.set_index("contrast")["estimate"]
    assert pairs.isna().sum() == 5
    assert np.isfinite(pairs["a2 high - a3 low"])
    averaged = means.contrast({"low - high in a1, a2": [-0.5, -0.5, 0, 0.5, 0.5, 0]})
    assert np.isfinite(averaged.frame["p"]).all()


@BOTH
@pytest.mark.parametrize("case", ["balanced", "incomplete"])
def test_a_split_plot_agrees_with_emmeans(case, df):
    want, fit = reference(f"fixed_effects/oats/{case}")["emmeans"][df], fitted(f"oats/{case}")
    variety, nitro = fit.emmeans("Variety", df=df), fit.emmeans("nitro", df=df)
    same(variety.frame, want["Variety"]["means"], "emmean")
    same(variety.contrast().frame, want["Variety"]["pairwise tukey"], "estimate", rtol=1e-5)
    same(nitro.contrast("poly").frame, want["nitro"]["poly"], "estimate")
    same(nitro.contrast("trt.vs.ctrl", adjust="none").frame, want["nitro"]["trt.vs.ctrl"], "estimate")


# ---- by hand -------------------------------------------------------------------------------------------------------


def test_means_are_averages_of_predictions():
    fit = fitted("unbalanced/crossed")
    x = data_of("unbalanced/crossed")["x"].mean()
    grid = pd.DataFrame([{"A": a, "B": b, "x": x} for a in ("a1", "a2", "a3") for b in ("high", "low")])
    predicted = fit.predict(grid, random="none").to_numpy().reshape(3, 2)
    assert_allclose(fit.emmeans("A").frame["estimate"], predicted.mean(axis=1), **OBJECTIVE)
    assert_allclose(fit.emmeans([]).frame["estimate"], [predicted.mean()], **OBJECTIVE)
    overall = fit.emmeans([], at={"A": ["a1", "a3"]}, weights="outer").frame
    n = data_of("unbalanced/crossed")["A"].value_counts()
    low = (data_of("unbalanced/crossed")["B"] == "low").mean()
    cells = predicted @ [1 - low, low]
    assert_allclose(overall["estimate"], [(n["a1"] * cells[0] + n["a3"] * cells[2]) / (n["a1"] + n["a3"])], **OBJECTIVE)


def test_means_do_not_depend_on_the_coding_or_on_declared_levels():
    plain = fitted("unbalanced/crossed").emmeans(["A", "B"], df="kenward-roger").frame
    data = data_of("unbalanced/crossed")
    data["A"] = pd.Categorical(data["A"], ["a9", "a1", "a2", "a3"], ordered=True)
    data["B"] = pd.Categorical(data["B"], ["high", "low"])
    other = mv.fit("y ~ A * B + x + (1 | g)", data, contrasts={"B": "sum"}).emmeans(["A", "B"], df="kenward-roger")
    assert_allclose(other.frame.iloc[:, 2:], plain.iloc[:, 2:], rtol=1e-6, atol=0)


def test_offsets_are_part_of_means_and_leave_their_differences_alone():
    data = data_of("unbalanced/crossed").assign(o=lambda d: 100 + d["x"] / 7, z=lambda d: d["y"] + 100 + d["x"] / 7)
    plain, moved = mv.fit("y ~ A + B + (1 | g)", data), mv.fit("z ~ A + B + offset(o) + (1 | g)", data)
    for fit in (moved, mv.fit("z ~ A + B + (1 | g)", data, offset="o")):
        means = fit.emmeans("A")
        assert_allclose(means.frame["estimate"], plain.emmeans("A").frame["estimate"] + data["o"].mean(), rtol=1e-8)
        assert_allclose(means.contrast().frame["estimate"], plain.emmeans("A").contrast().frame["estimate"], rtol=1e-6)
    numbers = mv.fit("z ~ A + B + (1 | g)", data, offset=data["o"].to_numpy()).emmeans("A")
    assert_allclose(numbers.frame["estimate"], moved.emmeans("A").frame["estimate"], rtol=1e-8, atol=0)
    single = moved.emmeans("A").contrast({"the first": [1, 0, 0]}).frame.iloc[0]
    assert_allclose(single["t"], single["estimate"] / single["se"], **OBJECTIVE)
    assert_allclose(single["estimate"], moved.emmeans("A").frame["estimate"].iloc[0], **OBJECTIVE)
    holes = data.assign(z=data["z"].where(data.index > 1))  # rows that are left out do not count in the mean
    found = []
    for offset in (data["o"].to_numpy(), "o"):
        with pytest.warns(mv.errors.DroppedRowsWarning):
            found.append(mv.fit("z ~ A + B + (1 | g)", holes, offset=offset))
    first, second = (fit.emmeans("A").frame["estimate"] for fit in found)
    assert_allclose(first, second, rtol=1e-8, atol=0)


def test_a_variable_may_be_called_like_a_column_of_the_table():
    data = data_of("unbalanced/crossed").rename(columns={"A": "df", "B": "t"})
    fit = mv.fit("y ~ df * t + x + (1 | g)", data)
    means = fit.emmeans("df", by="t")
    assert means.frame.columns.tolist() == ["df.", "t.", "estimate", "se", "df", "lower", "upper"]
    want = fitted("unbalanced/crossed").emmeans("A", by="B")
    assert_allclose(means.contrast().frame["p"], want.contrast().frame["p"], rtol=1e-7, atol=0)
    assert "df." in str(means)


def test_adjusted_intervals_are_wider_and_said():
    fit = fitted("unbalanced/crossed")
    plain, wide = fit.emmeans("A"), fit.emmeans("A", adjust="mvt", level=0.9)
    assert (wide.frame["estimate"] == plain.frame["estimate"]).all()
    assert "adjusted for 3 tests by the multivariate t distribution" in " ".join(str(wide).split())
    narrow = fit.emmeans("A", level=0.9).frame
    assert (wide.frame["lower"] < narrow["lower"]).all() and (wide.frame["upper"] > narrow["upper"]).all()


def test_each_part_of_a_split_table_is_a_family_of_its_own():
    means = fitted("unbalanced/crossed").emmeans("A", by="B")
    plain, adjusted = (means.contrast(adjust=adjust).frame for adjust in ("none", "bonferroni"))
    assert_allclose(adjusted["p"], np.minimum(3 * plain["p"], 1), **OBJECTIVE)
    wide = (adjusted["upper"] - adjusted["estimate"]) / adjusted["se"]
    assert_allclose(wide, stats.t.ppf(1 - 0.025 / 3, adjusted["df"]), **OBJECTIVE)
    assert "adjusted for 3 tests by Bonferroni" in " ".join(str(means.contrast(adjust="bonferroni")).split())


def test_the_pairs_of_means_are_the_f_test_of_the_term():
    fit = fitted("unbalanced/crossed")
    got, want = fit.emmeans("A", df="kenward-roger").contrast().f_test(), fit.anova(3, "kenward-roger").frame.loc["A"]
    assert got.df_num == 2  # of three pairs
    assert_allclose((got.statistic, got.df_denom, got.pvalue), want[["F value", "DenDF", "Pr(>F)"]], rtol=1e-7, atol=0)


def test_dunnetts_test_is_the_default_against_a_control():
    means = fitted("unbalanced/crossed").emmeans("A")
    got = means.contrast("trt.vs.ctrl", ref="a2")
    assert got.adjust == "mvt"
    assert got.frame["contrast"].tolist() == ["a1 - a2", "a3 - a2"]
    alone = means.contrast("trt.vs.ctrl", ref=1, adjust="none").frame["p"]
    bonferroni = means.contrast("trt.vs.ctrl", ref=1, adjust="bonferroni").frame["p"]
    assert (got.frame["p"] > alone).all() and (got.frame["p"] < bonferroni).all()


def test_polynomials_are_those_of_the_tables():
    assert polynomials(3).tolist() == [[-1, 0, 1], [1, -2, 1]]
    assert polynomials(4).tolist() == [[-3, -1, 1, 3], [1, -1, -1, 1], [-1, 3, -3, 1]]
    assert polynomials(5).tolist()[2:] == [[-1, 2, 0, -2, 1], [1, -4, 6, -4, 1]]
    for k in (6, 9):
        K = polynomials(k)
        assert_allclose(K @ K.T, np.diag(np.diag(K @ K.T)), rtol=0, atol=1e-9)


def test_contrasts_of_coefficients_and_means_are_the_same():
    fit = fitted("unbalanced/crossed")
    by_text = fit.contrast("A[T.a2] + A[T.a2]:B[T.low]/2 = 0", df="kenward-roger").frame.iloc[0]
    by_means = fit.emmeans("A", df="kenward-roger").contrast("trt.vs.ctrl", adjust="none").frame.iloc[0]
    for name in ("estimate", "se", "df", "t", "p", "lower", "upper"):
        assert_allclose(by_text[name], by_means[name], rtol=1e-9, atol=0)


def test_contrasts_with_right_hand_sides_test_the_difference():
    fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    got = fit.contrast(["Days = 10", "Intercept - 250"], df="residual", adjust="bonferroni", level=0.9)
    b, se = fit.params, fit.bse
    assert_allclose(
        got.frame["t"], [(b["Days"] - 10) / se["Days"], (b["Intercept"] - 250) / se["Intercept"]], **OBJECTIVE
    )
    assert got.frame["rhs"].tolist() == [10.0, 250.0]
    assert_allclose(got.frame["estimate"], [b["Days"], b["Intercept"]], **OBJECTIVE)
    d = b.to_numpy() - [250, 10]
    F = d @ np.linalg.solve(fit.cov_params().to_numpy(), d) / 2
    assert_allclose((got.f_test().statistic, got.f_test().df_denom), (F, 178), **OBJECTIVE)
    repeated = fit.contrast(["Days = 10", "2*Days = 20", "Intercept = 250"], df="normal").f_test()
    assert repeated.df_num == 2
    assert_allclose(repeated.statistic, F, **OBJECTIVE)
    assert_allclose(repeated.pvalue, stats.chi2.sf(2 * F, 2), **OBJECTIVE)
    assert_allclose(got.f_test().pvalue, stats.f.sf(F, 2, 178), **OBJECTIVE)
    with pytest.raises(OptionError, match="contradict each other"):
        fit.contrast(["Days = 10", "2*Days = 21"]).f_test()
    with pytest.raises(OptionError, match="zero equals something else"):
        fit.contrast([[0.0, 0.0]], 1.0).f_test()


# ---- pictures and refusals -------------------------------------------------------------------------------------------


def test_the_picture_shows_every_mean_with_its_interval():
    import matplotlib.pyplot as plt

    means = fitted("unbalanced/crossed").emmeans("A", by="B")
    ax = means.plot()
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a1", "a2", "a3"]
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["high", "low"]
    drawn = np.concatenate([c.lines[0].get_ydata() for c in ax.containers])
    assert_allclose(drawn, means.frame["estimate"], **OBJECTIVE)
    bars = np.concatenate([[s[:, 1] for s in c.lines[2][0].get_segments()] for c in ax.containers])
    assert_allclose(bars, means.frame[["lower", "upper"]], **OBJECTIVE)
    _, own = plt.subplots()
    assert fitted("missing_cell/crossed").emmeans([]).plot(ax=own) is own
    plt.close("all")


def test_what_cannot_be_is_refused_with_the_remedy():
    fit = fitted("unbalanced/crossed")
    for call, message in (
        (lambda: fit.emmeans("g"), r"'g' is no variable of the fixed part"),
        (lambda: fit.emmeans("AA"), r"did you mean 'A'\?"),
        (lambda: fit.emmeans("~ A | B"), r"give names of variables, specs=\['f', 'g'\]"),
        (lambda: fit.emmeans("A", by="A"), "asked for twice"),
        (lambda: fit.emmeans("A", weights="flat"), "weights='flat' is not one of 'equal', 'proportional'"),
        (lambda: fit.emmeans("A", at={"z": 1}), "at= names 'z', which is no variable"),
        (lambda: fit.emmeans("A", at={"A": "a7"}), r"at\['A'\] = 'a7': the levels in the fit are 'a1', 'a2', 'a3'"),
        (lambda: fit.emmeans("A", at={"x": "many"}), r"at\['x'\] = 'many': numbers are needed"),
        (lambda: fit.emmeans("A", at={"x": [np.nan]}), "finite numbers are needed"),
        (lambda: fit.emmeans("A", at=[1]), "at= is a dictionary from variables to values"),
        (lambda: fit.emmeans("A", var="B"), "var='B' is a factor: slopes are in a covariate"),
        (lambda: fit.emmeans("A", adjust="tukey"), "adjust='tukey' is for all pairwise"),
        (lambda: fit.emmeans("A", df="exact"), "df='exact' is not one of"),
        (lambda: fit.emmeans("A").contrast("tukey"), "method='tukey' is not one of 'pairwise'"),
        (lambda: fit.emmeans("A").contrast("eff", adjust="tukey"), "adjust='tukey' is for all pairwise"),
        (lambda: fit.emmeans("A").contrast(ref="a1"), "ref= is the control of 'trt.vs.ctrl'"),
        (lambda: fit.emmeans("A").contrast("trt.vs.ctrl", ref="a9"), "ref='a9' is none of the means a1, a2, a3"),
        (lambda: fit.emmeans("A").contrast({"c": [1, -1]}), "'c' has 2 weights for 3 means"),
        (lambda: fit.contrast("x", adjust="tukey"), "adjust='tukey' is for all pairwise"),
    ):
        with pytest.raises(OptionError, match=message):
            call()
    with pytest.raises(NotProvided, match="not made from a formula and data"):
        cases.by_likelihood(cases.relatives(), cases.RELATIVES_PAR).emmeans("x")


def test_a_dropped_column_is_said_to_be_not_estimable():
    data = pd.read_csv(input_or_skip("fixed_effects/unbalanced/data.csv")).assign(x2=lambda d: 2 * d["x"])
    with pytest.warns(RankWarning):
        fit = mv.fit("y ~ A + x + x2 + (1 | g)", data)
    with pytest.raises(OptionError, match="the column 'x2' was dropped"):
        fit.contrast("x2 = 0")
    assert np.isfinite(fit.emmeans("A").frame["estimate"]).all()  # x and x2 at their means: on the line
    assert fit.emmeans("A", at={"x": 10.0, "x2": 3.0}).frame["estimate"].isna().all()


def test_weights_by_name():
    K, names = comparison_weights("consec", ["a", "b", "c"])
    assert names == ("b - a", "c - b")
    assert K.tolist() == [[-1, 1, 0], [0, -1, 1]]
