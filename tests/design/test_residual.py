"""The residual bound to data: cells, groups, weights, gaps, new rows, and what is refused."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.design.subset import take_rows
from mixedvc.errors import (
    DataError,
    DroppedRowsWarning,
    FormulaError,
    IdentifiabilityError,
    NotProvided,
)
from mixedvc.testing.brute import Brute
from mixedvc.testing.optimum import quiet
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER


def table(n_groups=8, times=5, seed=1):
    rng = np.random.default_rng(seed)
    g, t = np.repeat(np.arange(n_groups), times), np.tile(np.arange(times), n_groups)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(len(g)) + 0.5 * np.repeat(rng.standard_normal(n_groups), times),
            "x": rng.standard_normal(len(g)),
            "t": t,
            "year": 2000 + 2 * t,
            "g": [f"g{i}" for i in g],
            "f": np.where(g % 2 == 0, "a", "b"),
            "h": np.where(t < 3, "early", "late"),
            "w": rng.uniform(0.5, 2.0, len(g)),
        }
    )


def covariance(spec, par):
    """V of a model without random terms, from the residual's parameters."""
    return Brute(spec).at(spec.theta([spec.residual.structure.build(np.asarray(par, dtype=float))])).V


def test_a_variance_per_level_divided_by_the_weights():
    data = table()
    V = covariance(mv.model("y ~ x", data, residual="diag(0 + f | rows)", weights="w"), [2.0, 5.0])
    np.testing.assert_allclose(V, np.diag(np.where(data["f"] == "a", 2.0, 5.0) / data["w"]), **IDENTITY)


@pytest.mark.parametrize("shuffled", [False, True])
def test_serial_correlation_is_a_power_of_the_steps_between_times_gaps_included(shuffled):
    data = table().drop(index=[2, 7, 8, 11])
    data = data.sample(frac=1.0, random_state=3) if shuffled else data
    V = covariance(mv.model("y ~ x", data, residual="ar1(0 + t | g)", weights="w"), [3.0, 0.4])
    g, t, w = data["g"].to_numpy(), data["t"].to_numpy(), data["w"].to_numpy()
    want = 3.0 * 0.4 ** np.abs(np.subtract.outer(t, t)) * (g[:, None] == g) / np.sqrt(np.outer(w, w))
    np.testing.assert_allclose(V, want, **IDENTITY)


def test_a_step_is_the_common_divisor_of_the_differences_within_groups():
    data = table().drop(index=[2, 7])
    by_year, by_step = (mv.model("y ~ x", data, residual=f"ar1(0 + {c} | g)") for c in ("year", "t"))
    np.testing.assert_allclose(covariance(by_year, [2.0, 0.5]), covariance(by_step, [2.0, 0.5]), **IDENTITY)
    assert "a step is 2 in year" in by_year.explain()
    assert any("rows 2 apart in year" in note for note in by_year.notes)
    half = data.assign(hour=data["t"] * 0.1 + 7.3)
    np.testing.assert_allclose(
        covariance(mv.model("y ~ x", half, residual="ar1(0 + hour | g)"), [2.0, 0.5]),
        covariance(by_step, [2.0, 0.5]),
        **IDENTITY,
    )


def test_the_order_of_the_rows_numbers_a_series_where_no_time_is_given():
    data = table().drop(index=[2])
    V = covariance(mv.model("y ~ x", data, residual="ar1(1 | g)"), [1.0, 0.5])
    assert V[1, 2] == pytest.approx(0.5)  # times 1 and 3, next to each other in the data
    timed = covariance(mv.model("y ~ x", data, residual="ar1(0 + t | g)"), [1.0, 0.5])
    assert timed[1, 2] == pytest.approx(0.25)


def test_levels_of_a_factor_without_rows_are_steps_too():
    data = table().query("t != 2")
    data = data.assign(k=pd.Categorical(data["t"].map("k{}".format), [f"k{i}" for i in range(5)]))
    V = covariance(mv.model("y ~ x", data, residual="ar1(0 + k | g)"), [1.0, 0.5])
    assert V[1, 2] == pytest.approx(0.25)


def test_variances_by_a_factor_and_correlations_by_time_multiply():
    data = table()
    spec = mv.model("y ~ x", data, residual="diag(0 + h | rows) * ar1(0 + t | g)")
    V = covariance(spec, [4.0, 9.0, 0.5])
    sd = np.where(data["h"] == "early", 2.0, 3.0)
    R = 0.5 ** np.abs(np.subtract.outer(data["t"].to_numpy(), data["t"].to_numpy()))
    same = data["g"].to_numpy()[:, None] == data["g"].to_numpy()
    np.testing.assert_allclose(V, np.outer(sd, sd) * R * same, **IDENTITY)


def test_compound_symmetry_is_a_random_intercept():
    data = table(seed=5)
    with quiet():
        cs = mv.fit("y ~ x", data, residual="cs(1 | g)")
        intercept = mv.fit("y ~ x + (1 | g)", data)
    np.testing.assert_allclose(cs.llf, intercept.llf, **OBJECTIVE)
    total = float(intercept.theta.sum())
    np.testing.assert_allclose(cs.estimate.par, [total, intercept.theta[0] / total], **PARAMETER)


def test_compound_symmetry_may_be_negative_where_a_variance_is_zero():
    data = table(seed=2)
    data["y"] -= 0.9 * data.groupby("g")["y"].transform("mean")
    with quiet():
        cs, intercept = mv.fit("y ~ x", data, residual="cs(1 | g)"), mv.fit("y ~ x + (1 | g)", data)
    assert intercept.theta[0] == 0.0
    assert -0.25 <= cs.estimate.par[-1] < 0.0
    assert cs.llf > intercept.llf + 0.1


def test_unstructured_is_what_a_random_effect_of_each_time_without_residual_would_be():
    data = table(12, 3)
    with quiet():
        fit = mv.fit("y ~ x", data, residual="us(0 + t | g)", method="ml")
    r = (data["y"] - fit.fittedvalues).to_numpy().reshape(12, 3)
    np.testing.assert_allclose(fit.spec.sigmas(fit.theta)[-1], r.T @ r / 12, rtol=1e-5, atol=1e-7)
    assert list(fit.varcomp["effect"][:3]) == ["t[0]", "t[0]", "t[0]"]


@pytest.mark.parametrize(
    ("residual", "error", "message"),
    [
        ("us(0 + h | g)", DataError, "rows 0 and 1 are both of g 'g0' at the same h"),
        ("ar1(0 + x | g)", DataError, "not on a grid"),
        ("ar1(0 + f | g)", IdentifiabilityError, "f is the same in all rows of a group"),
        ("ar1(1 | one)", IdentifiabilityError, "every one has one row"),
        ("diag(0 + one | rows)", IdentifiabilityError, "one 0 has 1 row, which cannot tell a variance"),
        ("ar1(0 + t:h | g)", FormulaError, "needs one column that says where a row is"),
        ("us(0 + half | g)", IdentifiabilityError, r"no group has rows in both 'half\[0\]' and 'half\[4\]'"),
    ],
)
def test_what_cannot_be_estimated_or_told_apart_is_refused_by_name(residual, error, message):
    data = table()
    data["one"] = np.arange(len(data))
    data["half"] = data["t"]
    if "half" in residual:
        data = data[np.where(data["f"] == "a", data["t"] < 4, data["t"] > 0)]
    with pytest.raises(error, match=message):
        mv.model("y ~ x", data, residual=residual)


def test_a_random_intercept_beside_compound_symmetry_is_confounded_and_beside_ar1_is_not():
    data = table()
    with pytest.raises(IdentifiabilityError, match=r"\(1 \| g\) is confounded with the residual"):
        mv.model("y ~ x + (1 | g)", data, residual="cs(1 | g)")
    mv.model("y ~ x + (1 | g)", data, residual="ar1(0 + t | g)")


def test_rows_with_a_missing_time_or_group_are_left_out_and_gaps_by_order_are_said():
    data = table()
    data.loc[3, "t"] = np.nan
    with pytest.warns(DroppedRowsWarning, match="1 of 40 rows left out .*t 1"):
        assert mv.model("y ~ x", data, residual="ar1(0 + t | g)").n == 39
    data.loc[5, "y"] = np.nan
    with pytest.warns(DroppedRowsWarning):
        spec = mv.model("y ~ x", data, residual="ar1(1 | g)")
    assert any("rows left out leave no gaps" in note for note in spec.notes)


def test_a_factor_with_one_level_leaves_one_variance_and_says_so():
    data = table()
    data["f"] = "a"
    spec = mv.model("y ~ x", data, residual="diag(0 + f | rows)")
    assert spec.residual.k == 1
    assert any("the residual has one variance" in note for note in spec.notes)


# ---- what is done with a fit ---------------------------------------------------------------------------------------


def test_prediction_intervals_have_the_variance_of_each_rows_level():
    data = table(20, seed=4)
    data["y"] *= np.where(data["f"] == "a", 1.0, 4.0)
    fit = mv.fit("y ~ x", data, residual="diag(0 + f | rows)", weights="w")
    new = pd.DataFrame({"x": [0.0, 0.0, 0.0], "f": ["a", "b", "b"], "w": [1.0, 1.0, 4.0]})
    out = fit.predict(new, interval="prediction")
    width = ((out["upper"] - out["lower"]) / (2 * 1.959963984540054)) ** 2 - out["se"] ** 2
    a, b = fit.estimate.par
    np.testing.assert_allclose(width, [a, b, b / 4], rtol=1e-10, atol=0)
    assert len(fit.predict(new.drop(columns="f"))) == 3  # means need no column of the residual
    with pytest.raises(DataError, match=r"f has levels without rows in the fit, .*: 'c'"):
        fit.predict(new.assign(f="c"), interval="prediction")


def test_new_rows_of_a_series_need_no_time():
    fit = mv.fit("y ~ x", table(), residual="ar1(0 + t | g)")
    out = fit.predict(pd.DataFrame({"x": [0.0, 1.0]}), interval="prediction")
    width = ((out["upper"] - out["lower"]) / (2 * 1.959963984540054)) ** 2 - out["se"] ** 2
    np.testing.assert_allclose(width, fit.estimate.par[0], rtol=1e-10, atol=0)


@pytest.mark.parametrize("residual", ["ar1(0 + t | g)", "us(0 + t | g)", "diag(0 + h | rows) * ar1(0 + t | g)"])
def test_simulated_responses_have_the_covariance_of_the_model(residual):
    fit = mv.fit("y ~ 1", table(12, 3, seed=6), residual=residual, weights="w")
    draws = fit.simulate(4000, seed=1).to_numpy()
    V = Brute(fit.spec).at(fit.theta).V[:3, :3]
    got = np.cov(draws[:3], bias=True)
    error = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / 4000)
    assert np.abs((got - V) / error).max() < 4.5


@pytest.mark.parametrize("residual", ["ar1(0 + t | g)", "us(0 + t | g)", "diag(0 + f | rows)"])
def test_a_saved_fit_and_a_refit_keep_the_residual(residual, tmp_path):
    data = table(14, 3, seed=8)
    fit = mv.fit("y ~ x", data, residual=residual)
    fit.save(tmp_path / "fit.mvc")
    again = mv.load(tmp_path / "fit.mvc")
    np.testing.assert_array_equal(again.theta, fit.theta)
    assert str(again.summary()) == str(fit.summary())
    y = data["y"] + data["x"]
    afresh = mv.fit("y ~ x", data.assign(y=y), residual=residual)
    np.testing.assert_allclose(fit.refit(y).llf, afresh.llf, **OBJECTIVE)


def test_a_specification_of_some_rows_is_that_of_the_table_of_those_rows():
    data = table(10, 5, seed=9)
    rows = np.random.default_rng(2).permutation(50)[:38]
    part = take_rows(mv.model("y ~ x", data, residual="ar1(0 + t | g)"), rows)
    whole = mv.model("y ~ x", data.iloc[rows], residual="ar1(0 + t | g)")
    with quiet():
        np.testing.assert_allclose(part.fit().llf, whole.fit().llf, **OBJECTIVE)


def test_a_row_taken_twice_is_of_two_groups():
    spec = mv.model("y ~ x", table(), residual="ar1(0 + t | g)")
    part = take_rows(spec, np.array([0, 1, 2, 0, 1, 7]))
    assert part.residual.codes[0] == part.residual.codes[1] == part.residual.codes[2]
    assert part.residual.codes[3] == part.residual.codes[4] != part.residual.codes[0]
    V = Brute(part).at(part.theta([part.residual.structure.build(np.array([1.0, 0.5]))])).V
    assert V[0, 3] == 0.0
    assert V[3, 4] == pytest.approx(0.5)


def test_the_slow_iterations_refuse_what_they_cannot_invert():
    data = table().assign(h=lambda d: np.where((d["t"] + d["g"].str[1:].astype(int)) % 2, "odd", "even"))
    spec = mv.model("y ~ x", data, residual="diag(0 + h | rows) * ar1(0 + t | g)")
    for method in ("em", "pxem", "mm"):
        with pytest.raises(NotProvided, match="use method='reml' or 'ml'"):
            spec.fit(method)
    with quiet():
        fit = spec.fit("reml")
        np.testing.assert_allclose(spec.fit("fisher").llf, fit.llf, **OBJECTIVE)
        assert fit.converged
        for method in ("he", "rehe"):
            moments = spec.fit(method)
            np.testing.assert_array_equal(moments.theta, moments.estimate.theta)  # singular cells are no reason to move


def test_explain_says_groups_steps_and_variances():
    text = mv.model("y ~ x", table(), residual="diag(0 + f | rows) * ar1(0 + year | g)", weights="w").explain()
    assert "Residual: diag(0 + f | rows) * ar1(0 + year | g), variances / w" in text
    assert "a variance for each of a, b (f)" in text
    assert "correlated within the 8 levels of g (5 to 5 rows)" in text


def test_long_series_take_no_array_of_all_pairs_of_times():
    rng = np.random.default_rng(3)
    e = rng.standard_normal((6, 150))
    for j in range(1, 150):
        e[:, j] = 0.6 * e[:, j - 1] + 0.8 * e[:, j]
    data = pd.DataFrame({"y": e.ravel(), "t": np.tile(np.arange(150), 6), "g": np.repeat(list("abcdef"), 150)})
    fit = mv.fit("y ~ 1", data, residual="ar1(0 + t | g)")
    assert len(fit.theta) == 150
    assert fit.estimate.likelihood == "blocks"
    # the likelihood of an AR(1) by its innovations
    s2, rho = fit.estimate.par
    r = e - float(fit.params.iloc[0])
    z = np.concatenate([r[:, :1] / np.sqrt(s2), (r[:, 1:] - rho * r[:, :-1]) / np.sqrt(s2 * (1 - rho**2))], axis=1)
    logdet = 900 * np.log(s2) + 6 * 149 * np.log(1 - rho**2)
    one = np.concatenate([np.ones((6, 1)) / np.sqrt(s2), np.full((6, 149), (1 - rho) / np.sqrt(s2 * (1 - rho**2)))], 1)
    want = -0.5 * (899 * np.log(2 * np.pi) + logdet + (z**2).sum() + np.log((one**2).sum()))
    assert fit.llf == pytest.approx(want, rel=1e-10)
    assert fit.varcomp["se"].iloc[1] == pytest.approx(np.sqrt((1 - rho**2) / 900), rel=0.05)


def test_leverages_take_the_whole_residual_covariance():
    fit = mv.fit("y ~ x", table(8, 4, seed=3), residual="ar1(0 + t | g)")
    brute = Brute(fit.spec).at(fit.theta)  # without random terms V is the residual's covariance
    want = 1.0 - np.diag(brute.V @ brute.P)
    np.testing.assert_allclose(fit.augment(influence=True)[".hat"], want, rtol=1e-8, atol=1e-10)
