"""The printed summary."""

from __future__ import annotations

import warnings
from xml.dom import minidom

import numpy as np
import pandas as pd
import pytest
from statsmodels.iolib.summary import Summary

import mixedvc as mv
from mixedvc.errors import MixedVCWarning
from mixedvc.results.numbers import fixed_row, p_value, percent, significant, t_value
from mixedvc.results.render import shorten
from tests.tolerances import PARAMETER


def quiet(formula, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return mv.fit(formula, data, **options)


def words(fit, **options):
    """The summary without line breaks."""
    return " ".join(str(fit.summary(**options)).split())


@pytest.fixture(scope="module")
def sleep():
    return mv.load_data("sleepstudy")


@pytest.fixture(scope="module")
def fit(sleep):
    return mv.fit("Reaction ~ Days + (Days | Subject)", sleep)


def test_the_summary_of_sleepstudy_reads_as_designed(fit):
    lines = [line for line in str(fit.summary()).splitlines() if not line.startswith("Date")]
    assert lines == [
        "================================================================================",
        "                       Linear mixed model fitted by REML",
        "================================================================================",
        "Response:        Reaction               Rows:         180 (0 dropped)",
        "Log-likelihood:  -871.8141 (REML)       Groups:       Subject 18",
        f"AIC, BIC:        1755.63, 1774.79       Computed by:  {fit.estimate.likelihood} likelihood",
        "--------------------------------------------------------------------------------",
        "Fixed effects       coef   std err      df        t    P>|t|    [0.025    0.975]",
        "Intercept       251.4051    6.8246   17.00   36.838   <0.001   237.007   265.804",
        "Days             10.4673    1.5458   17.00    6.771   <0.001     7.206    13.729",
        "--------------------------------------------------------------------------------",
        "Variances                   variance  std err  sd | corr  [0.025   0.975]  share",
        "Subject    Intercept         612.1     288.8    24.74     289.4   2043     26.0%",
        "Subject    Days               35.07     14.78    5.922     17.72    99.56  42.5%",
        "Subject    Intercept, Days     9.604    46.68    0.06555  -81.88   101.1    3.7%",
        "Residual                     654.9      77.19   25.59     526.5    837.1   27.8%",
        "================================================================================",
        "Notes:",
        "[1] Standard errors of variances: expected information. Intervals:",
        "    Satterthwaite's chi-square for variances, Wald for covariances.",
        "[2] t tests use Satterthwaite's degrees of freedom (observed information).",
        "[3] Rows with two effects: a covariance, with the correlation under sd | corr.",
        "[4] share: of the average variance of an observation in these rows, each effect",
        "    at its mean square. Shares add up to 100%, covariances included; where",
        "    effects are correlated, some may be negative.",
        "[5] Log-likelihood constants are lme4's: (n - p) log 2pi, no log|X'X|.",
        "    Restricted likelihoods compare only between models with the same fixed",
        "    effects.",
    ]


def test_it_is_a_statsmodels_summary_in_every_format(fit):
    summary = fit.summary()
    assert isinstance(summary, Summary)
    assert len(summary.tables) == 3
    html = summary.as_html()
    minidom.parseString(html)  # well formed
    assert html.count("<table") == 3
    assert "288.8" in html
    assert summary._repr_html_() == html
    latex = summary.as_latex()
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 3
    assert r"26.0\%" in latex
    assert r"P\textgreater{}\textbar{}t\textbar{}" in latex
    assert "612.1" in summary.as_csv()
    for row in latex.splitlines():
        if row.endswith(r"\\") and "&" in row:
            assert row.count(" & ") in (3, 7, 8), row


def test_names_are_escaped_in_html_and_latex():
    data = pd.DataFrame({"a<b & c_%": np.arange(12.0) % 5, "y": np.arange(12.0) ** 1.5, "g": list("abcdef") * 2})
    summary = quiet("y ~ `a<b & c_%` + (1 | g)", data).summary()
    minidom.parseString(summary.as_html())
    assert "a&lt;b &amp; c_%" in summary.as_html()
    assert r"a\textless{}b \& c\_\%" in summary.as_latex()


def test_no_line_is_longer_than_a_hundred_characters():
    rng = np.random.default_rng(1)
    covariate, group = "x" + "_long" * 30, "g" + "roup" * 25
    data = pd.DataFrame({covariate: rng.standard_normal(60), group: np.repeat(list("abcdefghijkl"), 5)})
    data["y"] = 1e-7 * rng.standard_normal(60)
    fit = quiet(f"y ~ {covariate} + ({covariate} | {group})", data)
    text = str(fit.summary())
    assert max(map(len, text.splitlines())) <= 100
    assert "…" in text
    assert covariate in fit.summary().as_html()


def test_degrees_of_freedom_change_tests_and_note(fit):
    normal = str(fit.summary(df="normal"))
    assert "P>|z|" in normal
    assert " df " not in normal
    assert "z tests take the variances as known" in normal
    assert "178.00" in str(fit.summary(df="residual"))
    assert "residual degrees of freedom" in str(fit.summary(df="residual"))


def test_level_information_and_interval_are_printed(fit):
    text = words(fit, level=0.9, information="average", interval="wald")
    assert "[0.05 0.95]" in text
    assert "average information. Intervals: Wald for variances, Wald for covariances" in text


def test_a_zero_prints_as_zero_with_boundary_and_the_test_to_use():
    fit = quiet("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    row = next(line for line in str(fit.summary()).splitlines() if line.startswith("Batch"))
    assert row.split() == ["Batch", "0", "boundary", "0", "0.0%"]
    assert "test_varcomp() tests it with the mixture of chi-squares" in words(fit)
    assert "nan" not in str(fit.summary()).lower()


def test_one_zero_among_several_terms_is_named_and_the_others_are_not():
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"a": list("abcd") * 15, "b": np.repeat(list("uvwxyz"), 10)})
    e = rng.standard_normal(60)
    data["y"] = e - pd.Series(e).groupby(data["a"]).transform("mean") + 4 * data["b"].map(ord)
    fit = quiet("y ~ 1 + (1 | a) + (1 | b)", data)
    assert list(fit.varcomp["boundary"]) == [True, False, False]
    assert "boundary: a is exactly zero, the edge of what a variance can be." in words(fit)
    assert "The other standard errors are those of the model without it." in words(fit)
    alone = quiet("y ~ 1 + (1 | b)", data)
    np.testing.assert_allclose(fit.varcomp["se"].iloc[1:], alone.varcomp["se"], **PARAMETER)


def test_a_residual_at_zero_says_so_and_the_share_is_one_without_error():
    labels = [f"r{j}" for j in range(12)]
    rng = np.random.default_rng(1)
    root = rng.standard_normal((12, 3))
    A = pd.DataFrame(root @ root.T + 1e-3 * np.eye(12), labels, labels)
    data = pd.DataFrame({"id": labels, "y": root @ [3.0, -2.0, 1.0] + 0.03 * rng.standard_normal(12)})
    fit = quiet("y ~ 1 + (1 | id:A)", data, cov={"A": A})
    if fit.scale > 0:
        pytest.fail("the example no longer ends at a residual variance of zero")
    assert "the residual variance is exactly zero: the random terms leave nothing to it" in words(fit)
    assert float(fit.heritability()) == 1.0
    assert np.isnan(fit.heritability().se)


def test_dropped_rows_and_aliased_columns_are_notes_only_when_there_are_some(fit, sleep):
    data = sleep.copy()
    data.loc[[3, 9], "Days"] = np.nan
    data["twice"] = 2 * data["Days"]
    text = words(quiet("Reaction ~ Days + twice + (1 | Subject)", data))
    assert "178 (2 dropped)" in text
    assert "2 of 180 rows were left out because of missing values: 2 in Days, 2 in twice." in text
    assert "Not estimable, left out (linear combinations of others): twice." in text
    assert "left out" not in words(fit)


def test_a_covariance_prints_as_it_was_read_and_fixed_components_say_so():
    labels = list("abcdef")
    A = pd.DataFrame(np.eye(6) + 0.25, labels, labels)
    data = pd.DataFrame({"id": labels[:4] * 3, "y": np.arange(12.0) ** 1.3})
    fit = quiet("y ~ 1 + (1 | id:A)", data, cov={"A": A}, fixed_varcomp={"id": 2.0, "residual": 3.0})
    text = words(fit)
    assert "id (cov A) 2.000 fixed 1.414" in text
    assert "Linear mixed model at given variance components (REML criterion)" in text
    assert "fixed: id, Residual were given, not estimated." in text
    assert "the variances are given, so they count as known" in text
    assert "share: of the total variance, id (cov A) + Residual." in text


def test_correlations_of_a_pattern_print_with_their_own_error_and_fisher_interval():
    rng = np.random.default_rng(0)
    group, time = rng.integers(0, 40, 300), rng.integers(0, 3, 300)
    root = np.linalg.cholesky(0.6 ** np.abs(np.subtract.outer(range(3), range(3))))
    u = rng.standard_normal((40, 3)) @ root.T
    data = pd.DataFrame({"g": group.astype(str), "t": np.array(list("abc"))[time]})
    data["y"] = u[group, time] + 0.6 * rng.standard_normal(300)
    fit = mv.fit("y ~ 1 + ar1(0 + t | g)", data)
    row = fit.varcomp.iloc[1]
    assert np.isnan(row["variance"])
    assert -1 < row["lower"] < row["sd"] < row["upper"] < 1
    line = next(line for line in str(fit.summary()).splitlines() if "corr. next" in line)
    assert line.split()[3:] == [significant(row[name]) for name in ("se", "sd", "lower", "upper")]
    assert "Fisher's z for correlations" in words(fit)


def test_an_unfinished_fit_says_so_first():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": rng.integers(0, 9, 60).astype(str), "x": rng.standard_normal(60)})
    data["y"] = data["x"] * rng.standard_normal(60) + rng.standard_normal(9)[data["g"].astype(int)]
    fit = quiet("y ~ x + (x | g)", data, max_iter=1)
    assert str(fit.summary()).splitlines()[3].startswith("*** NOT CONVERGED")
    assert "NOT CONVERGED" in fit.summary().as_html()
    assert "NOT CONVERGED" in fit.summary().as_latex()
    assert "not converged" in repr(fit)


def test_a_model_without_random_terms_has_a_summary(sleep):
    text = words(mv.fit("Reaction ~ Days", sleep))
    assert "Linear model fitted by REML" in text
    assert "Groups" not in text
    assert "178.00" in text


@pytest.mark.parametrize(
    ("x", "text"),
    [(612.0899, "612.1"), (0.065551, "0.06555"), (9.99996, "10.00"), (1764.05, "1764"), (123456.7, "123457"),
     (2.5e-9, "2.500e-09"), (3.2e8, "3.200e+08"), (0.0, "0"), (np.nan, ""), (np.inf, "inf"), (-81.883, "-81.88")],
)  # fmt: skip
def test_significant_digits(x, text):
    assert significant(x) == text


def test_coefficients_take_their_decimals_from_the_error():
    assert fixed_row(251.40510, 6.82456, 237.0066, 265.8037) == ("251.4051", "6.8246", "237.007", "265.804")
    assert fixed_row(1.5e-5, 2.5e-4, -1e-4, 3e-4) == ("0.00001500", "0.00025000", "-0.0001000", "0.0003000")
    assert fixed_row(1e12, 3e10, 9e11, 1.1e12)[0] == "1.00000e+12"
    assert p_value(0.0004) == "<0.001"
    assert p_value(0.0312) == "0.031"
    assert percent(0.2601) == "26.0%"
    assert percent(float("nan")) == ""
    assert percent(-1e-12) == "0.0%"
    assert t_value(-12.34567) == "-12.346"
    assert t_value(5.0286e14) == "5.029e+14"


def test_long_names_keep_both_ends():
    assert shorten("abcdefghij", 10) == "abcdefghij"
    assert shorten("abcdefghijk", 7) == "abcd…jk"


def test_a_variance_that_the_data_hardly_inform_is_named():
    rng = np.random.default_rng(2)
    n = 120
    W, ids = rng.standard_normal((n, 300)), [f"i{k}" for k in range(n)]
    K = W @ W.T / 300
    data = pd.DataFrame({"y": np.linalg.cholesky(K) @ rng.standard_normal(n), "id": ids})
    fit = mv.fit("y ~ 1 + (1 | id:A)", data, cov={"A": (K, ids)})
    assert fit.varcomp["se"].iloc[1] > fit.varcomp["variance"].iloc[1]
    assert "hardly inform Residual" in " ".join(str(fit.summary()).split())
    assert "hardly inform" not in str(mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff")).summary())


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("reml", {}, "fitted by REML"),
        ("ml", {}, "fitted by maximum likelihood"),
        ("pxem", {}, "fitted by REML (PX-EM)"),
        ("mm", {"restricted": False}, "fitted by maximum likelihood (MM)"),
        ("fisher", {}, "fitted by REML (Fisher scoring)"),
        ("mom", {}, "fitted by Haseman-Elston regression"),
    ],
)
def test_the_title_names_the_criterion_and_the_way_to_it(method, options, words):
    spec = mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
    title = str(spec.fit(method, **options).summary()).splitlines()[1]
    assert title.strip().endswith(words)
