"""fit_each: numbers are those of mixedvc.fit; what cannot be fitted is said; Ctrl-C keeps the rest."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import BindError, ConvergenceWarning, DataError, MixedVCWarning, NotProvided, OptionError
from mixedvc.estimators.each import Panel
from mixedvc.likelihood import panel_coordinates
from mixedvc.many import plan
from tests.tolerances import COMPONENT, IDENTITY, OBJECTIVE, PARAMETER

N, T = 48, 8
pytestmark = [
    pytest.mark.filterwarnings("ignore::mixedvc.errors.DroppedRowsWarning"),
    pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning"),
]
SCALED = {"rtol": 1e-6, "atol": 1e-6}  # variances over their sum: the end of Newton alone is no closer
LIMIT = {"rtol": 1e-3, "atol": 1e-8}  # limits and tails magnify the last digits of an estimate
IDS = [f"i{j:02d}" for j in range(N)]


def related(seed=1, rank=2 * N):
    W = np.random.default_rng(seed).standard_normal((N, rank))
    return pd.DataFrame(W @ W.T / rank, IDS, IDS)


def families():
    K = np.kron(np.eye(N // 4), 0.5 + 0.5 * np.eye(4))
    return pd.DataFrame(K, IDS, IDS)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(2)
    columns = {"id": IDS, "x": rng.standard_normal(N) + 10, "s": rng.choice(list("abc"), N)}
    columns |= {"w": rng.uniform(0.3, 3.0, N), "o": rng.standard_normal(N), "g": rng.choice(list("ABCDEFGH"), N)}
    return pd.DataFrame(columns, index=IDS)


@pytest.fixture(scope="module")
def Y(data):
    """Shares from 0 to 1, scales from 1e-6 to 1e6."""
    rng = np.random.default_rng(3)
    h = np.linspace(0.0, 1.0, T)
    u = np.linalg.cholesky(related().to_numpy()) @ rng.standard_normal((N, T))
    y = 3.0 + u * np.sqrt(h) + rng.standard_normal((N, T)) * np.sqrt(1 - h) + 0.4 * data["x"].to_numpy()[:, None]
    return pd.DataFrame(y * 10.0 ** np.linspace(-6, 6, T), IDS, [f"y {j}" for j in range(T)])


@pytest.fixture(scope="module")
def holes(Y):
    """Two responses lack the same two rows, two some of their own, one a third of them, all of them one row."""
    out = Y.copy()
    out.iloc[3:5, 1:3] = np.nan
    out.iloc[7, 3] = out.iloc[[2, 9, 11], 4] = np.nan
    out.iloc[: N // 3, 5] = np.nan
    out.iloc[20] = np.nan
    return out


def alone(y, formula, data, information="auto", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        right = formula.removeprefix("~ ")
        fit = mv.fit(f"y_ ~ {right}", data, responses={"y_": y.to_numpy()}, **options)
        return fit.with_information(information)


def same(each, Y, formula, data, df="satterthwaite", **options):
    """Every row of `each.frame` is the fit of its response alone."""
    frame = each.frame.set_index("response")
    assert list(frame.index) == list(Y.columns)
    for name, y in Y.items():
        row, fit = frame.loc[name], alone(y, formula, data, **options)
        if fit.estimate.loglik is not None:
            np.testing.assert_allclose(row["loglik"], fit.llf, **OBJECTIVE)
        assert (row["n"], bool(row["converged"])) == (fit.nobs, True)
        scale = float(np.abs(fit.varcomp["variance"]).sum())
        for parameter, kind in zip(fit.cov_varcomp().columns, fit.varcomp["effect2"], strict=True):
            at = list(fit.cov_varcomp().columns).index(parameter)
            short = "var" if kind is None or kind != kind else "cov"
            value, se = fit.varcomp["variance"].iloc[at], fit.varcomp["se"].iloc[at]
            np.testing.assert_allclose(row[f"{short}[{parameter}]"] / scale, value / scale, **SCALED)
            np.testing.assert_allclose(row[f"se.{short}[{parameter}]"] / scale, se / scale, **SCALED)
            own = each.variances.query("response == @name and component == @parameter").iloc[0]
            for limit in ("lower", "upper"):
                if fit.varcomp[limit].iloc[at] > 1e3 * scale:  # next to nothing is known
                    continue
                np.testing.assert_allclose(own[limit] / scale, fit.varcomp[limit].iloc[at] / scale, **LIMIT)
        dfs = fit.df_fixed(df)
        table = fit.tidy("fixed", df=df, conf_int=True)
        for a, x in enumerate(fit.spec.x_names):
            want = table.iloc[a]
            np.testing.assert_allclose(row[f"coef[{x}]"], want["estimate"], rtol=1e-6, atol=1e-6 * want["std.error"])
            np.testing.assert_allclose(row[f"se[{x}]"], want["std.error"], **COMPONENT)
            np.testing.assert_allclose(row[f"df[{x}]"], dfs[a], **PARAMETER)
            np.testing.assert_allclose(row[f"p[{x}]"], want["p.value"], **LIMIT)
        share = "h2" if "h2" in frame else "icc"
        if share in frame:
            ratio = fit.heritability()
            np.testing.assert_allclose(row[share], ratio.estimate, **SCALED)
            np.testing.assert_allclose(row[f"se.{share}"], ratio.se, **SCALED)
        tested = [c for c in frame.columns if c.startswith("lrt[")]
        if tested:
            test = fit.test_varcomp(tested[0][4:-1], method="mixture").iloc[0]
            np.testing.assert_allclose(row[tested[0]], test["statistic"], **OBJECTIVE)
            np.testing.assert_allclose(row[f"p.{tested[0]}"], test["p_value"], **OBJECTIVE)


def both(Y, formula, data, workers=1, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        each = mv.fit_each(Y, formula, data, workers=workers, **options)
    same(each, Y, formula, data, **options)
    return each


@pytest.fixture
def turned(monkeypatch):
    """Every response together, whatever the price says; counts the ways taken."""
    ways = {"own": 0, "without": 0}
    own, without = panel_coordinates.coordinates, panel_coordinates.without_rows

    def count(name, function):
        def counted(*given):
            ways[name] += 1
            return function(*given)

        return counted

    monkeypatch.setattr(plan.turned, "coordinates", count("own", own))
    monkeypatch.setattr(plan.turned, "without_rows", count("without", without))
    monkeypatch.setattr(plan, "_alone_price", lambda spec, count: np.inf)
    return ways


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_one_kernel_gives_the_numbers_of_fits_alone(turned, Y, data, method):
    each = both(Y, "~ x + s + (1 | id:A)", data, cov={"A": related()}, method=method)
    assert turned == {"own": 1, "without": 0}
    assert each.frame["var[id]"].eq(0.0).any()  # exact zeros
    both(Y.iloc[:, 1:4], "~ 0 + (1 | id:A)", data, cov={"A": related()}, method=method, information="observed")


@pytest.mark.parametrize("df", ["residual", "normal"])
def test_other_degrees_of_freedom_and_informations_are_those_of_fits_alone(turned, Y, data, df):
    both(Y.iloc[:, :3], "~ x + (1 | id:A)", data, cov={"A": related()}, df=df, information="average")


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_missing_cells_weights_and_offset(turned, holes, data, method):
    given = {"cov": {"A": related()}, "method": method, "weights": "w", "offset": "o"}
    both(holes, "~ scale(x) + s + (1 | id:A)", data, **given)
    assert turned["without"] >= 2  # rows taken out of the turned ones
    assert turned["own"] <= 3  # a third of the rows is too many to take out


def test_a_kernel_of_low_rank_and_an_effect_of_a_covariate(turned, holes, data):
    W = np.random.default_rng(9).standard_normal((N, 9))
    markers = mv.Features(pd.DataFrame(W, IDS))
    each = both(holes.iloc[:, ::2], "~ x + (1 | id:F)", data, cov={"F": markers}, weights="w")
    assert each.frame["at_bound"].any()
    both(holes.iloc[:, :4], "~ s + (0 + x | id:A)", data, cov={"A": related()})


def test_families_and_groups_are_turned_by_themselves(turned, holes, data):
    both(holes.iloc[:, 1::2], "~ x + (1 | id:A)", data, cov={"A": families()}, weights="w")
    each = both(holes.iloc[:, ::2], "~ x + (1 | g)", data, method="ml")
    assert "icc" in each.frame


@pytest.mark.parametrize("method", ["he", "rehe", "mm", pytest.param("em", marks=pytest.mark.slow)])
def test_other_methods_give_the_numbers_of_fits_alone(holes, data, method):
    both(holes.iloc[:, 2:8], "~ x + (1 | id:A)", data, cov={"A": related()}, method=method)


def test_moment_equations_are_shared_by_many_responses(Y, data):
    """More responses than products of two kernels: Cov(q) comes from a quadratic form; scales from 1e-6 to 1e6."""
    both(Y, "~ x + (1 | id:A)", data, cov={"A": related()}, method="rehe", weights="w")
    both(Y.iloc[:, -4:], "~ x + (1 | id:A)", data, cov={"A": related()}, method="he")  # negative residual variances


@pytest.mark.slow
def test_methods_that_draw_start_from_the_seed(holes, data):
    both(holes.iloc[:, 2:4], "~ x + (1 | id:A)", data, cov={"A": related()}, method="rerehe", seed=3)


def test_least_squares_with_moments(holes, data):
    both(holes.iloc[:, 2:8], "~ x + (1 | id:A)", data, cov={"A": related()}, method="he", fixed="ols")


def test_several_terms_and_vectors_go_one_by_one(holes, data):
    both(holes.iloc[:, 4:6], "~ x + (1 | g) + (1 | id:A)", data, cov={"A": related()})
    both(holes.iloc[:, 3:5], "~ x + (x | g)", data)
    both(holes.iloc[:, 3:5], "~ x + (1 | g)", data, residual="diag(0 + s | rows)")
    both(holes.iloc[:, 3:5], "~ x + (1 | g) + (1 | id:A)", data, cov={"A": related()}, fixed_varcomp={"g": 1e-3})


@pytest.mark.slow
def test_other_processes_give_the_same(holes, data):
    one = mv.fit_each(holes.iloc[:, 3:8], "~ x + (1 | g) + (1 | id:A)", data, cov={"A": related()})
    two = mv.fit_each(holes.iloc[:, 3:8], "~ x + (1 | g) + (1 | id:A)", data, cov={"A": related()}, workers=2)
    pd.testing.assert_frame_equal(one.frame, two.frame, rtol=1e-7)


def test_kenward_and_rogers_tests_go_one_by_one(Y, data):
    each = mv.fit_each(Y.iloc[:, 2:4], "~ x + (1 | id:A)", data, cov={"A": related()}, df="kenward-roger")
    fit = alone(Y.iloc[:, 2], "~ x + (1 | id:A)", data, cov={"A": related()})
    want = fit.tidy("fixed", df="kenward-roger").iloc[1]
    got = each.fixed.query("response == 'y 2' and term == 'x'").iloc[0]
    np.testing.assert_allclose([got["se"], got["df"]], [want["std.error"], want["df"]], **COMPONENT)


# ---- what is made of the fits ---------------------------------------------------------------------------------


def test_predictions_are_those_of_fits_alone(turned, holes, data):
    more = [*IDS, "new1", "new2"]
    W = np.random.default_rng(4).standard_normal((N + 2, 3 * N))
    A = pd.DataFrame(W @ W.T / (3 * N), more, more)
    turned_round = related().iloc[::-1, ::-1]
    kernels = ({"A": A}, {"A": turned_round}, None)
    for formula, cov in zip(("~ x + (1 | id:A)", "~ x + (1 | id:A)", "~ x + (1 | g)"), kernels, strict=True):
        each = mv.fit_each(holes, formula, data, cov=cov, weights="w")
        blups = each.blups()
        assert list(blups.columns) == list(holes.columns)
        for name in ("y 1", "y 4", "y 7"):
            want = alone(holes[name], formula, data, cov=cov, weights="w").random_effects
            want = next(iter(want.values())).iloc[:, 0]
            scale = float(np.abs(want).max())
            np.testing.assert_allclose(blups.loc[want.index, name] / scale, want / scale, rtol=1e-5, atol=1e-6)
    assert turned["without"] > 0


def test_predictions_of_terms_with_two_effects_and_of_moments(Y, data):
    each = mv.fit_each(Y.iloc[:, 3:5], "~ x + (scale(x) | g)", data)
    want = alone(Y.iloc[:, 3], "~ x + (scale(x) | g)", data).random_effects["g"]
    np.testing.assert_allclose(each.blups("g")["y 3"], want, **PARAMETER)
    for fixed in ("gls", "ols"):
        each = mv.fit_each(Y.iloc[:, 3:5], "~ x + (1 | id:A)", data, cov={"A": related()}, method="rehe", fixed=fixed)
        want = alone(Y.iloc[:, 4], "~ x + (1 | id:A)", data, cov={"A": related()}, method="rehe", fixed=fixed)
        np.testing.assert_allclose(each.blups()[["y 4"]], want.random_effects["id"], **PARAMETER)
    with pytest.raises(OptionError, match="no random term is called 'kin'; the model has 'id'"):
        each.blups("kin")


def test_one_response_in_full_is_the_fit_alone(turned, holes, data):
    each = mv.fit_each(holes, "~ scale(x) + (1 | id:A)", data, cov={"A": related()}, information="average")
    got, want = each.fit("y 4"), alone(holes["y 4"], "~ scale(x) + (1 | id:A)", data, cov={"A": related()})
    assert got.llf == want.llf
    assert got.spec.y_names == ("y 4",)
    np.testing.assert_allclose(each.frame["se.var[id]"][4], got.varcomp["se"].iloc[0], **COMPONENT)
    assert each.fit(4).llf == got.llf
    with pytest.raises(OptionError, match="no response is called 'y 44'; did you mean 'y 4'"):
        each.fit("y 44")


def test_a_fit_alone_that_ends_lower_starts_again_from_what_was_found(turned, Y, data):
    each = mv.fit_each(Y.iloc[:, :4], "~ x + (1 | id:A)", data, cov={"A": related()})
    starts = []

    def lower(spec, estimator, seed, progress):
        fit = real(spec, estimator, seed, progress)
        starts.append(estimator.start)
        return replace(fit, estimate=replace(fit.estimate, loglik=fit.llf - 1.0)) if estimator.start is None else fit

    real, each.again._fit = each.again._fit, lower
    np.testing.assert_allclose(each.fit("y 2").llf, each.frame["loglik"][2], **OBJECTIVE)
    assert starts == [None, {"id": each.frame["var[id]"][2], "residual": each.frame["var[Residual]"][2]}]


def test_q_values_are_benjamini_and_hochbergs_over_the_responses(Y, data):
    frame = mv.fit_each(Y, "~ x + (1 | id:A)", data, cov={"A": related()}).frame
    p = frame["p[x]"].to_numpy()
    order = np.argsort(p)
    want = np.empty(T)
    want[order] = np.minimum.accumulate((p[order] * T / np.arange(1, T + 1))[::-1])[::-1]
    np.testing.assert_allclose(frame["q[x]"], np.minimum(want, 1.0), **IDENTITY)
    assert (frame["q.lrt[id]"] >= frame["p.lrt[id]"]).all()


def test_the_summary_counts(turned, holes, data, tmp_path):
    Y = holes.assign(flat=1.0)
    with pytest.warns(MixedVCWarning, match="1 of 9 responses could not be fitted"):
        each = mv.fit_each(Y, "~ x + (1 | id:A)", data, cov={"A": related()})
    text = each.summary()
    assert "8 of 9 responses fitted by reml: ~ x + (1 | id:A)" in text
    assert "rows: 31 to 47" in text
    assert f"at a boundary: id {int((each.frame['var[id]'] == 0).sum())}" in text
    assert f"h2: median {each.frame['h2'].median():.3f}" in text
    assert f"x: {int((each.frame['q[x]'] < 0.05).sum())} with q < 0.05" in text
    assert "not fitted: 1: flat (the response flat is 1 in every row used" in text
    assert repr(each) == "<EachFit: ~ x + (1 | id:A) by reml, 8 of 9 responses, 1 failed ('flat')>"
    each.to_csv(tmp_path / "all.csv")
    back = pd.read_csv(tmp_path / "all.csv")
    np.testing.assert_allclose(back["h2"], each.frame["h2"], **IDENTITY)
    assert len(each) == 9


# ---- responses as they come -----------------------------------------------------------------------------------


def test_responses_meet_the_data_by_labels_or_by_position(Y, data):
    want = mv.fit_each(Y, "~ x + (1 | id:A)", data, cov={"A": related()}).frame
    shuffled = Y.sample(frac=1.0, random_state=0)
    pd.testing.assert_frame_equal(mv.fit_each(shuffled, "~ x + (1 | id:A)", data, cov={"A": related()}).frame, want)
    array = mv.fit_each(Y.to_numpy(), "~ x + (1 | id:A)", data, cov={"A": related()}).frame
    assert list(array["response"]) == [f"y{j + 1}" for j in range(T)]
    pd.testing.assert_frame_equal(array.drop(columns="response"), want.drop(columns="response"))
    wide = pd.concat([data, Y], axis=1)
    columns = mv.fit_each(list(Y.columns), "~ x + (1 | id:A)", wide, cov={"A": related()}).frame
    pd.testing.assert_frame_equal(columns, want)
    every = mv.fit_each(list(Y.columns), "~ . + (1 | id:A)", wide[["id", "x", *Y.columns]], cov={"A": related()}).frame
    assert "coef[x]" in every
    assert not any("y 3" in column for column in every.columns)


def test_rows_without_responses_are_left_out(Y, data):
    short = Y.iloc[5:]
    with pytest.warns(MixedVCWarning, match="5 of 48 rows of the data are not in responses"):
        each = mv.fit_each(short, "~ x + (1 | id:A)", data, cov={"A": related()})
    want = alone(Y.iloc[5:, 4], "~ x + (1 | id:A)", data.iloc[5:], cov={"A": related()})
    np.testing.assert_allclose(each.frame["loglik"][4], want.llf, **OBJECTIVE)
    assert "5 rows of the data had no row in responses" in each.summary()


def test_missing_covariates_are_left_out(Y, data):
    holed = data.assign(x=data["x"].where(np.arange(N) > 2))
    with pytest.warns(MixedVCWarning, match="3 of 48 rows left out"):
        each = mv.fit_each(Y, "~ x + (1 | id:A)", holed, cov={"A": related()})
    assert set(each.frame["n"]) == {N - 3}


def test_single_precision_is_read_as_it_is(Y, data):
    single = Y.astype(np.float32)
    got = mv.fit_each(single, "~ x + (1 | id:A)", data, cov={"A": related()}).frame
    want = mv.fit_each(single.astype(np.float64), "~ x + (1 | id:A)", data, cov={"A": related()}).frame
    pd.testing.assert_frame_equal(got, want)
    assert single.dtypes.eq(np.float32).all()


def test_inputs_are_not_written_to(turned, holes, data):
    before, given = holes.copy(), holes.to_numpy()
    given.flags.writeable = False
    mv.fit_each(given, "~ x + (1 | id:A)", data, cov={"A": related()}, offset="o")
    pd.testing.assert_frame_equal(holes, before)


def test_what_cannot_be_fitted_is_named_and_the_others_are_fitted(turned, Y, data):
    bad = Y.assign(flat=2.0, empty=np.nan, endless=Y["y 3"].where(np.arange(N) != 4, np.inf))
    bad["lone"] = np.nan
    bad.loc[IDS[:1], "lone"] = 1.0
    bad["of_x"] = 1.0 + 2.0 * data["x"]
    with pytest.warns(MixedVCWarning, match="4 of 13 responses could not be fitted"):
        each = mv.fit_each(bad, "~ x + (1 | id:A)", data, cov={"A": related()})
    said = dict(each.failures.to_numpy())
    assert set(said) == {"flat", "empty", "endless", "lone"}
    assert "is 2 in every row used" in said["flat"]
    assert "missing in every row" in said["empty"]
    assert "inf in row 'i04'" in said["endless"]
    frame = each.frame.set_index("response")
    assert np.isnan(frame.loc["flat", "loglik"])
    assert frame.loc["flat", "message"] == said["flat"]
    assert frame.loc["of_x", "message"] == "the fixed effects fit the response exactly"
    np.testing.assert_allclose(frame.loc["of_x", "coef[x]"], 2.0, **PARAMETER)
    same(
        mv.fit_each(Y, "~ x + (1 | id:A)", data, cov={"A": related()}),
        Y,
        "~ x + (1 | id:A)",
        data,
        cov={"A": related()},
    )
    with pytest.raises(NotProvided, match="'flat' could not be fitted: the response flat is 2"):
        each.fit("flat")


def test_rows_that_leave_a_model_without_sense_are_the_fault_of_their_response(turned, Y, data):
    few = Y.copy()
    few.iloc[2:, 0] = np.nan  # two rows, four fixed effects
    with pytest.warns(MixedVCWarning, match="1 of 8 responses"):
        each = mv.fit_each(few, "~ x + s + (1 | id:A)", data, cov={"A": related()})
    assert list(each.failures["response"]) == ["y 0"]
    assert each.frame["converged"][1:].all()


def test_missing_fail_refuses_responses_with_holes(turned, holes, data):
    with pytest.warns(MixedVCWarning, match="could not be fitted"):
        each = mv.fit_each(
            holes.drop(index=IDS[20]),
            "~ x + (1 | id:A)",
            data.drop(index=IDS[20]),
            cov={"A": related()},
            missing="fail",
        )
    assert list(each.failures["response"]) == ["y 1", "y 2", "y 3", "y 4", "y 5"]


def test_ctrl_c_returns_what_is_done(turned, monkeypatch, Y, data):
    fit, calls = Panel.fit, []

    def interrupted(self, block):
        calls.append(block.shape)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(self, block)

    monkeypatch.setattr(Panel, "fit", interrupted)
    monkeypatch.setattr(Panel, "block", 5)
    with pytest.warns(MixedVCWarning, match="interrupted: 5 of 8 responses were fitted"):
        each = mv.fit_each(Y, "~ x + (1 | id:A)", data, cov={"A": related()})
    assert each.interrupted
    assert list(each.frame["response"]) == list(Y.columns[:5])
    assert "interrupted: 3 responses were not reached" in each.summary()


def test_fits_that_stop_early_are_told(turned, Y, data):
    with pytest.warns(ConvergenceWarning, match=r"of 8 fits did not converge"):
        each = mv.fit_each(Y, "~ x + (1 | id:A)", data, cov={"A": related()}, max_iter=1)
    stopped = each.frame[~each.frame["converged"]]
    assert len(stopped)
    assert stopped["message"].str.contains("larger max_iter").all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"formula": "y ~ x + (1 | id:A)"}, OptionError, "names a response; fit_each takes the right-hand side alone"),
        ({"formula": 3}, OptionError, "the formula is text"),
        ({"formula": "~ nothing + (1 | id:A)"}, BindError, "no column is called 'nothing'"),
        ({"responses": "y 1"}, OptionError, "a list of column names"),
        ({"responses": ["y 1"]}, BindError, "no column is called 'y 1'"),
        ({"responses": ["s"]}, DataError, "'s' does not hold numbers"),
        ({"responses": np.zeros((T, N))}, DataError, r"It has a row for each response: give its transpose"),
        ({"responses": pd.DataFrame(np.zeros((3, 2)), list("abc"))}, DataError, "no row of responses"),
        ({"responses": np.full((N, 2), "a")}, DataError, "no numbers"),
        ({"responses": pd.DataFrame(np.zeros((N, 2)), IDS, ["a", "a"])}, DataError, "several are called 'a'"),
        ({"df": "none"}, OptionError, "df='none' is not one of"),
        ({"information": "fisher"}, OptionError, "information='fisher' is not one of"),
        ({"level": 2}, OptionError, "level=2"),
        ({"workers": 0}, OptionError, "workers=0"),
        ({"method": "he", "outer": np.eye(N)}, OptionError, "outer= takes the place of the response"),
        ({"tolerance": 1}, OptionError, "'tolerance': no option"),
    ],
)
def test_mistakes_are_named(Y, data, change, error, message):
    given = {"responses": Y, "formula": "~ x + (1 | id:A)", "data": data, "cov": {"A": related()}} | change
    with pytest.raises(error, match=message):
        mv.fit_each(given.pop("responses"), given.pop("formula"), given.pop("data"), **given)
