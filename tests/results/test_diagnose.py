"""A diagnosis names what was planted, with number and remedy, and has nothing to say of data the model made."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import NotProvided
from mixedvc.inference import diagnostics as numbers
from mixedvc.results.diagnose import _curvature
from mixedvc.testing import problems
from mixedvc.testing.brute import Brute
from mixedvc.testing.optimum import quiet


def table(groups=20, rows=8, seed=1, effects=1.0):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rows)
    return pd.DataFrame(
        {
            "e": rng.standard_normal(len(g)),
            "u": effects * rng.standard_normal(groups)[g],
            "x": rng.standard_normal(len(g)),
            "f": np.where(np.arange(len(g)) % 2, "a", "b"),
            "g": [f"g{i:02d}" for i in g],
        }
    )


def diagnosed(data, formula="y ~ x + f + (1 | g)", **options):
    with quiet():
        return mv.fit(formula, data, **options).diagnose()


def found(diagnosis, check):
    (one,) = [f for f in diagnosis.findings if f.check == check and f.state != "fine"]
    return one


def test_data_that_the_model_made_are_fine():
    quiet_ones = 0
    for seed in range(20):
        data = table(seed=seed).assign(y=lambda d: 1 + d["x"] + d["u"] + d["e"])
        diagnosis = diagnosed(data)
        assert not [f for f in diagnosis.findings if f.state == "problem"]
        quiet_ones += not diagnosis.problems
    assert quiet_ones >= 15
    assert diagnosis.verdict.startswith("Nothing to object to in") or diagnosis.problems


def test_an_unfinished_iteration_is_a_problem_with_what_is_left_to_gain():
    data = table().assign(y=lambda d: d["u"] + d["e"])
    one = found(diagnosed(data, max_iter=1), "convergence")
    assert one.state == "problem"
    assert "did not end at a maximum: stopped after 1 iterations" in one.said
    assert "all_fit()" in one.remedy


def test_a_zero_variance_is_named_with_what_to_leave_out():
    data = table(effects=0.0).assign(y=lambda d: d["e"] - 0.9 * d.groupby("g")["e"].transform("mean"))
    one = found(diagnosed(data), "singular fit")
    assert one.said == "the variance of g is exactly zero"
    assert "leave the term out of (1 | g)" in one.remedy


def test_a_correlation_at_its_bound_gives_the_rank():
    rng = np.random.default_rng(5)
    data = table(seed=5)
    slope = data["u"] * 0.8
    data = data.assign(y=data["u"] + slope * data["x"] + 0.5 * rng.standard_normal(len(data)))
    one = found(diagnosed(data, "y ~ x + (x | g)"), "singular fit")
    assert "the covariance of (1 + x | g) has rank 1 of 2" in one.said
    assert "diag(1 + x | g)" in one.remedy


def test_variances_that_cannot_be_told_apart_are_named():
    fit = problems.bound("crossed_weights_offset").fit("reml")
    names = list(fit.cov_varcomp().index)
    for weakest, state in ((1e-9, "problem"), (1e-4, "warning")):
        one = _curvature(fit, numbers.Slope(0.0, weakest, np.array([0.7, 0.1, -0.7])))
        assert one.state == state
        assert f"the data hardly tell {names[0]} and {names[2]} apart" in one.said
        assert "hold one by fixed_varcomp" in one.remedy
    assert _curvature(fit, numbers.Slope(0.0, 0.1, np.zeros(3))).state == "fine"


def test_what_is_left_to_gain_is_half_the_newton_decrement():
    with quiet():
        fit = problems.bound("slopes").fit("ml", max_iter=2)
    at = numbers.slope(fit.spec, fit.evaluation, fit.estimate)
    brute = Brute(fit.spec, reml=False).at(fit.theta)
    information = brute.average_information
    want = brute.score @ np.linalg.solve(information, brute.score)
    assert at.decrement == pytest.approx(want, rel=1e-6)
    size = np.sqrt(np.diag(information))
    assert at.weakest == pytest.approx(np.linalg.eigvalsh(information / np.outer(size, size))[0], rel=1e-6)


def test_nearly_collinear_and_badly_scaled_columns_are_named():
    data = table()
    big = 1e6 * np.sin(np.arange(160.0))
    data = data.assign(z=data["x"] + 1e-4 * data["e"], big=big, y=lambda d: d["u"] + d["e"] * d["x"])
    diagnosis = diagnosed(data, "y ~ x + z + big + (1 | g)")
    assert "x, z" in found(diagnosis, "collinearity").said
    assert found(diagnosis, "collinearity").value > 100
    assert "the spread of big is" in found(diagnosis, "scale of predictors").said


def test_few_levels_single_rows_and_constant_levels_are_told():
    data = table(4).assign(y=lambda d: d["u"] + d["e"])
    assert found(diagnosed(data), "levels of g").said.startswith("4 levels")
    single = table(60, 1).assign(y=lambda d: d["u"] + d["e"])
    single = pd.concat([single, single.iloc[:10].assign(y=0.3)], ignore_index=True)
    assert "83 % of the 60 levels have one row" in found(diagnosed(single), "rows of g").said
    flat = table().assign(y=lambda d: np.where(d["g"] == "g03", 2.0, d["u"] + d["e"]))
    assert "within 1 levels of 3 rows or more: g03" in found(diagnosed(flat), "constant levels of g").said


def test_outlying_levels_and_rows_are_named_with_their_size():
    data = table(seed=3).assign(y=lambda d: d["u"] + d["e"])
    far = data.assign(y=data["y"] + 12.0 * (data["g"] == "g07"))
    one = found(diagnosed(far), "outlying levels of g")
    assert one.said.split(": ")[1].startswith("g07 (Intercept +")
    assert "influence('g')" in one.remedy
    row = data.assign(y=data["y"] + 9.0 * (data.index == 77))
    assert "77 (+" in found(diagnosed(row), "outlying rows").said


def test_skew_and_funnels_and_unequal_variances_and_series_are_hinted_at():
    data = table(30, 10, seed=4)
    skew = data.assign(y=data["u"] + np.exp(1.2 * data["e"]))
    assert found(diagnosed(skew), "normality of residuals").value > 0.5
    data["m"] = np.linspace(0, 4, len(data))
    funnel = data.assign(y=data["m"] * (1 + 0.5 * data["e"]))
    assert found(diagnosed(funnel, "y ~ m + (1 | g)"), "equal spread").value > 0.2
    unequal = data.assign(y=data["u"] + data["e"] * np.where(data["f"] == "a", 1.0, 3.0))
    one = found(diagnosed(unequal), "equal spread by f")
    assert "'b' is" in one.said
    assert one.remedy.startswith("residual='diag(0 + f | rows)'")
    assert not [f for f in diagnosed(unequal, residual="diag(0 + f | rows)").problems if f.check == "equal spread by f"]
    e = data["e"].to_numpy().reshape(30, 10).copy()
    for t in range(1, 10):
        e[:, t] = 0.8 * e[:, t - 1] + 0.6 * e[:, t]
    series = data.assign(y=e.ravel())
    one = found(diagnosed(series), "serial correlation in g")
    assert "residual='ar1(1 | g)'" in one.remedy
    left = diagnosed(series, "y ~ x + f + (1 | g)", residual="ar1(1 | g)")
    assert not [f for f in left.problems if f.check.startswith("serial")]


def test_a_tiny_component_is_told_by_its_share():
    data = table(200, 20, effects=0.02).assign(y=lambda d: d["u"] + d["e"])
    with quiet():
        fit = mv.fit("y ~ 1 + (1 | g)", data, fixed_varcomp={"g": 4e-4})
    assert "g makes up 0.0" in found(fit.diagnose(), "variance ratios").said


def test_the_worst_stands_first_in_text_frame_and_html():
    data = table(4).assign(y=lambda d: d["u"] + d["e"])
    diagnosis = diagnosed(data, max_iter=1)
    states = list(diagnosis.frame["state"])
    assert states == sorted(states, key=["problem", "warning", "fine"].index)
    text = str(diagnosis)
    assert text.splitlines()[1].startswith("!! convergence")
    assert max(map(len, text.splitlines())) <= 96
    assert diagnosis._repr_html_().count("<tr>") == len(diagnosis.findings)
    assert "1 problem and" in diagnosis.verdict


def test_moment_fits_are_diagnosed_without_a_maximum_and_outer_products_not_at_all():
    data = table().assign(y=lambda d: d["u"] + d["e"])
    checks = {f.check for f in diagnosed(data, method="he").findings}
    assert "convergence" not in checks
    assert {"collinearity", "equal spread", "outlying levels of g"} <= checks
    spec = mv.model("y ~ 1 + (1 | g)", data)
    with quiet():
        fit = spec.fit("he", outer=np.outer(data["y"], data["y"]), se="none")
    with pytest.raises(NotProvided, match="an outer product has none"):
        fit.diagnose()


def test_principal_components_of_random_effects_are_those_of_lme4():
    parts = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy")).principal_components()
    frame = parts["Subject"]
    # lme4's rePCA: sdev and rotation (signs are free)
    np.testing.assert_allclose(frame["relative_sd"], [0.966858991063, 0.230879458533], rtol=1e-4)
    np.testing.assert_allclose(np.abs(frame["Intercept"]), [0.99986158, 0.01663786], rtol=1e-3)
    assert frame["cumulative"].iloc[-1] == pytest.approx(1.0)
    Sigma = frame[["Intercept", "Days"]].T.to_numpy() @ np.diag(frame["variance"]) @ frame[["Intercept", "Days"]]
    np.testing.assert_allclose(np.diag(Sigma), [612.1, 35.07], rtol=1e-3)


def test_effects_are_standardised_by_the_spread_they_have_under_the_model():
    fit = problems.bound("one_way_unbalanced").fit("reml")
    z = numbers.standardised_effects(fit.spec, fit.evaluation, 0)
    brute = Brute(fit.spec).at(fit.theta)
    G, Z = brute.effects_cov(0), brute.effects_design(0)
    spread = np.sqrt(np.diag(G @ Z.T @ brute.P @ Z @ G))
    np.testing.assert_allclose(z[:, 0], brute.blup(0)[:, 0] / spread, rtol=1e-6)


def test_residuals_that_add_up_to_zero_in_their_groups_are_not_taken_for_a_series():
    rng = np.random.default_rng(8)
    r = rng.standard_normal((200, 4))
    r -= r.mean(axis=1, keepdims=True)
    value, z = numbers.neighbours(r.ravel(), np.repeat(np.arange(200), 4))
    assert value < -0.15
    assert abs(z) < 4
