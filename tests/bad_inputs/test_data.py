"""Bad tables, columns, weights and designs: each row of the list of bad inputs that binding answers for."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from mixedvc.covariance import Dense
from mixedvc.design.bind import bind
from mixedvc.errors import (
    BindError,
    BoundaryWarning,
    CovarianceError,
    CovarianceWarning,
    DataError,
    DegenerateResponse,
    DroppedRowsWarning,
    IdentifiabilityError,
    IdentifiabilityWarning,
    OptionError,
    RankWarning,
)
from tests.tolerances import OBJECTIVE


def table(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(n),
            "x": rng.standard_normal(n),
            "z": rng.standard_normal(n),
            "f": np.tile(["a", "b", "c", "d"], n // 4),
            "g": np.repeat([f"g{i}" for i in range(n // 4)], 4),
            "id": [f"i{i}" for i in range(n)],
        },
        index=[f"r{i}" for i in range(n)],
    )


def kinship(ids: list, seed: int = 5) -> pd.DataFrame:
    W = np.random.default_rng(seed).standard_normal((len(ids), 3 * len(ids)))
    return pd.DataFrame(W @ W.T / W.shape[1], ids, ids)


def refused(error: type[Exception], words: str, formula: str, data, **options) -> None:
    with pytest.raises(error, match=words):
        bind(formula, data, **options)


def warned(category: type[Warning], words: str, formula: str, data, **options):
    with pytest.warns(category, match=words):
        return bind(formula, data, **options)


# ---- 1-13: response and rows ------------------------------------------------------------------------------------


def test_001_an_absent_response_names_the_closest_column():
    data = table().rename(columns={"y": "Reaction"})
    refused(BindError, "'Reacton'.*did you mean 'Reaction'", "Reacton ~ x", data)
    refused(BindError, "'xx'.*did you mean 'x'", "Reaction ~ xx", data)


def test_002_a_response_of_text_names_the_first_row_that_is_no_number():
    data = table().astype({"y": object})
    data["y"] = data["y"].astype(str)
    data.loc["r7", "y"] = "1,2"
    refused(DataError, "response 'y' is text: '1,2' in row 'r7'", "y ~ x", data)
    data.loc["r7", "y"] = "12"
    refused(DataError, "Every cell reads as a number: convert it with", "y ~ x", data)


def test_002_a_response_that_mixes_numbers_and_text_shows_an_example_of_each():
    data = table().astype({"y": object})
    data.loc["r7", "y"] = "1,2"
    refused(DataError, r"column 'y' mixes types: .*\(float, row r0\), '1,2' \(str, row r7\)", "y ~ x", data)


def test_003_a_logical_or_categorical_response_suggests_zero_and_one():
    data = table()
    refused(DataError, r"'y' is logical.*== True\)\.astype\(float\)", "y ~ x", data.assign(y=data["x"] > 0))
    two = pd.Categorical(np.where(data["x"] > 0, "ill", "well"))
    refused(DataError, r"categorical.*== 'well'\)\.astype\(float\)", "y ~ x", data.assign(y=two))
    refused(DataError, "categorical.*0/1 column", "y ~ x", data.assign(y=pd.Categorical(data["f"])))


def test_004_a_constant_response_says_its_value():
    refused(DegenerateResponse, "y is 3 in every row used", "y ~ x", table().assign(y=3.0))


def test_005_no_complete_row_says_which_variables_are_missing():
    data = table().assign(y=np.nan)
    refused(DataError, "none of the 40 rows is complete. Missing values: y 40", "y ~ x", data)
    data = table()
    data.loc["r0":"r19", "y"], data.loc["r20":, "x"] = np.nan, np.nan
    refused(DataError, "y 20, x 20", "y ~ x", data)
    refused(DataError, "none of the 40 rows is complete. Missing values: y 40", "y ~ x", table().assign(y=None))


def test_006_missing_values_are_counted_by_variable_and_fail_names_the_rows():
    data = table()
    data.loc[["r1", "r2"], "y"], data.loc["r2", "x"], data.loc["r5", "g"] = np.nan, np.nan, None
    words = "3 of 40 rows left out for missing values: y 2, x 1, g 1"
    spec = warned(DroppedRowsWarning, words, "y ~ x + (1 | g)", data)
    assert spec.n == 37
    assert spec.dropped.rows.tolist() == [1, 2, 5]
    assert "r1" not in spec.row_labels
    refused(DataError, "y 2, x 1, g 1; rows 'r1', 'r2', 'r5'", "y ~ x + (1 | g)", data, missing="fail")
    refused(OptionError, "missing='skip': choose 'omit'", "y ~ x", data, missing="skip")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("column", ["y", "x", "z"])
def test_007_an_infinite_value_is_refused_with_column_and_row(column, value):
    data = table()
    data.loc["r3", column] = value
    formula = "y ~ x + (z | g)"
    refused(DataError, f"{column} is {value} in row 'r3'.*not treated as missing", formula, data)


def test_007_a_transform_that_leaves_the_numbers_is_refused_not_dropped():
    data = table()
    data["x"] = np.abs(data["x"]) + 1
    data.loc["r3", "x"] = 0.0
    refused(DataError, r"log\(x\) is -inf in row 'r3' \(computed from x\)", "y ~ log(x)", data)
    data.loc["r3", "x"] = -1.0
    refused(DataError, r"log\(x\) is nan in row 'r3'", "y ~ log(x)", data)
    refused(DataError, r"log\(x\) is nan in row 'r3'", "log(x) ~ z", data)


def test_008_a_response_exactly_linear_in_x_warns_that_the_residual_is_zero():
    data = table()
    data["y"] = 3 + 2 * data["x"]
    warned(BoundaryWarning, "exact linear combination.*residual variance is 0", "y ~ x", data)


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_009_the_scale_of_the_response_changes_nothing_that_is_checked(scale):
    data = table()
    data["y"] *= scale
    assert bind("y ~ x + (1 | g)", data).n == 40


def test_010_a_large_offset_of_y_or_x_is_no_collinearity():
    data = table()
    data["y"] += 1e9
    data["x"] += 1e9
    spec = bind("y ~ x + (1 | g)", data)
    assert spec.x_names == ("Intercept", "x")


@pytest.mark.parametrize("n", [0, 1])
def test_011_no_rows_or_one_row_are_refused(n):
    refused(DataError, f"the data have {n} row", "y ~ 1", table().iloc[:n])


def test_011_one_complete_row_is_refused():
    data = table().iloc[:3].copy()
    data.loc[["r0", "r1"], "y"] = np.nan
    with pytest.warns(DroppedRowsWarning), pytest.raises(DataError, match="only 1 complete row is left of 3"):
        bind("y ~ 1", data)


def test_012_fewer_rows_than_columns_names_rows_rank_and_columns():
    words = r"3 rows and 5 fixed-effect columns of rank 3 \('Intercept', 'x', .*no residual degree of freedom"
    refused(BindError, words, "y ~ x + z + I(x*z) + I(x**2)", table().iloc[:3])


def test_013_as_many_columns_as_rows_leave_no_residual():
    refused(BindError, "3 rows and 3 fixed-effect columns of rank 3", "y ~ x + z", table().iloc[:3])


# ---- 14-24: columns of X -----------------------------------------------------------------------------------------


def test_014_collinear_columns_are_dropped_by_name_or_refused():
    data = table()
    data["s"] = data["x"] + data["z"]
    spec = warned(
        RankWarning, "1 fixed-effect column is dropped: 's' is a linear comb.*'x', 'z'", "y ~ x + z + s", data
    )
    assert spec.x_names == ("Intercept", "x", "z")
    assert spec.aliased == ("s",)
    refused(
        BindError, "4 columns and rank 3: 's' is a linear combination of 'x', 'z'", "y ~ x + z + s", data, rank="error"
    )
    refused(OptionError, "rank='keep': choose 'drop'", "y ~ x", data, rank="keep")


def test_015_nearly_collinear_columns_are_named():
    data = table()
    data["w"] = data["x"] + 1e-9 * data["z"]
    spec = warned(RankWarning, r"'w' is nearly \(to \de-\d+\) a linear combination of 'x'", "y ~ x + w", data)
    assert spec.aliased == ("w",)
    data["u"] = data["x"] + 1e-6 * data["z"]  # no column is within 1e-7 of the earlier ones: together they nearly are
    data["v"] = data["z"] + 1e-6 * np.random.default_rng(2).standard_normal(40)
    words = r"'x', 'u' are nearly collinear \(condition number \d\.\de\+1\d\)"
    spec = warned(RankWarning, words, "y ~ x + u + v", data)
    assert spec.aliased == ()


def test_016_a_constant_column_beside_the_intercept_says_so():
    spec = warned(RankWarning, "'c' is constant: it equals a multiple of Intercept", "y ~ c + x", table().assign(c=2.0))
    assert spec.x_names == ("Intercept", "x")


def test_017_a_factor_with_one_level_is_refused_by_factor_and_level():
    refused(BindError, "factor 'f' has only one level, 'a'", "y ~ f", table().assign(f="a"))


def test_018_a_level_that_only_dropped_rows_have_is_dropped_with_a_warning():
    data = table()
    data.loc[data["f"] == "c", "y"] = np.nan
    with pytest.warns(DroppedRowsWarning) as said:
        spec = bind("y ~ f", data)
    assert any("levels without a complete row are dropped: f 'c'" in str(w.message) for w in said)
    assert spec.x_names == ("Intercept", "f[T.b]", "f[T.d]")


def test_019_a_new_level_in_prediction_is_named():
    source = bind("y ~ f + x", table()).source
    new = table().iloc[:4].assign(f=["a", "new", "b", "newer"])
    with pytest.raises(DataError, match=r"f has 2 level\(s\) that the fit did not see: 'new', 'newer' \(row 'r1'\)"):
        source.new_rows(new)


def test_020_a_fixed_factor_of_very_many_levels_asks_for_a_random_term():
    n = 6000
    data = pd.DataFrame({"y": np.random.default_rng(0).standard_normal(n), "f": [f"l{i // 2}" for i in range(n)]})
    refused(BindError, r"'f' has 3000 levels.*did you mean the random term \(1 \| f\)", "y ~ f", data)


def test_021_duplicated_column_names_are_refused_by_name():
    data = table()
    refused(DataError, "several columns called 'x'", "y ~ x", pd.concat([data, data[["x"]]], axis=1))


def test_022_a_multi_index_of_columns_is_refused():
    data = table()
    data.columns = pd.MultiIndex.from_product([["top"], data.columns])
    refused(DataError, "MultiIndex", "y ~ x", data)


@pytest.mark.parametrize("kind", ["naive", "zone", "period", "delta"])
def test_022_times_are_labels_but_not_numbers(kind):
    data = table()
    days = pd.date_range("2026-01-01", periods=10, freq="D")
    values = {
        "naive": days,
        "zone": days.tz_localize("Europe/Paris"),
        "period": days.to_period("D"),
        "delta": days - days[0],
    }[kind]
    data["t"] = values.repeat(4)
    refused(BindError, "column 't' holds dates or times: make a number of it", "y ~ t", data)
    refused(DataError, "response 't' holds dates or times", "t ~ x", data)
    spec = bind("y ~ x + (1 | t)", data)
    assert spec.terms[0].q == 10
    assert isinstance(spec.terms[0].levels[0], str)
    assert spec.terms[0].codes.tolist() == np.repeat(np.arange(10), 4).tolist()


def test_023_nullable_and_ordered_columns_give_the_right_result():
    data = table()
    other = data.convert_dtypes().assign(f=pd.Categorical(data["f"], ordered=True))
    np.testing.assert_allclose(bind("y ~ x", other).X, bind("y ~ x", data).X, **OBJECTIVE)
    assert bind("y ~ f", other).x_names == ("Intercept", "f[.L]", "f[.Q]", "f[.C]")


def test_024_columns_of_awkward_names_go_in_back_quotes():
    data = table().rename(columns={"x": "1x", "z": "two words", "g": "gr"})
    spec = bind("y ~ `1x` + `two words` + (1 | gr)", data)
    assert spec.x_names == ("Intercept", "`1x`", "`two words`")
    assert spec.terms[0].group == "gr"


# ---- 31-37: what can be told apart -----------------------------------------------------------------------------


def test_031_the_same_random_term_twice_is_confounded():
    refused(ValueError, r"\(1 \| g\)", "y ~ x + (1 | g) + (1 | g)", table())
    data = table().assign(h=lambda d: "h" + d["g"])
    refused(IdentifiabilityError, r"\(1 \| g\) and \(1 \| h\) are confounded", "y ~ (1 | g) + (1 | h)", data)


def test_032_an_interaction_unique_in_every_row_is_confounded_with_the_residual():
    words = r"\(1 \| g:f\) is confounded with the residual: the number of levels of 'g:f' equals the number of rows, 40"
    refused(IdentifiabilityError, words, "y ~ x + (1 | g:f)", table())


def test_033_a_grouping_with_one_level_is_refused():
    refused(IdentifiabilityError, "'g' has only one level, 'only'", "y ~ x + (1 | g)", table().assign(g="only"))


def test_034_singletons_are_confounded_unless_a_kinship_tells_them_apart():
    data = table()
    refused(IdentifiabilityError, r"\(1 \| id\) is confounded with the residual", "y ~ x + (1 | id)", data)
    assert bind("y ~ x + (1 | id:A)", data, cov={"A": kinship(list(data["id"]))}).terms[0].q == 40


def test_035_two_groups_warn_of_one_degree_of_freedom():
    data = table().assign(g=np.repeat(["a", "b"], 20))
    warned(IdentifiabilityWarning, "'g' has only two levels.*one degree of freedom", "y ~ x + (1 | g)", data)


def test_036_a_slope_constant_within_groups_or_everywhere_names_the_term():
    data = table()
    data["between"] = np.repeat(np.random.default_rng(1).standard_normal(10), 4)
    words = r"\(1 \+ between \| g\): 'between' does not vary within any level of 'g'"
    warned(IdentifiabilityWarning, words, "y ~ x + (between | g)", data)
    with pytest.warns(IdentifiabilityWarning) as said:
        bind("y ~ x + (one | g)", data.assign(one=1.5))
    assert any("'one' is constant of 'g'" in str(w.message) for w in said)


def test_036_effects_that_never_meet_in_a_level_warn():
    data = table().assign(f=np.repeat(["u", "v"], 20))
    words = r"no level of 'g' has both 'f\[u\]' and 'f\[v\]', so their covariance cannot be estimated"
    warned(IdentifiabilityWarning, words, "y ~ x + (0 + f | g)", data)


def test_036_an_effect_that_is_zero_everywhere_is_refused():
    words = r"the effect 'nil' is zero in every row"
    refused(IdentifiabilityError, words, "y ~ x + (0 + nil | g)", table().assign(nil=0.0))


def test_036_a_group_that_is_a_fixed_effect_too_warns():
    words = "the fixed effects explain all that these random effects could"
    warned(IdentifiabilityWarning, words, "y ~ g + (1 | g)", table())


def test_037_ids_of_mixed_types_are_refused_with_examples():
    data = table().astype({"g": object})
    data["g"] = np.repeat(np.arange(10), 4).astype(object)
    data.loc["r5", "g"] = "1"
    refused(DataError, r"column 'g' mixes types: 0 \(int, row r0\), '1' \(str, row r5\)", "y ~ x + (1 | g)", data)


def test_037_float_ids_with_a_hole_meet_integer_labels_but_text_never_does():
    data = table()
    data["id"] = np.arange(40, dtype=float)
    data.loc["r3", "id"] = np.nan
    A = kinship(list(range(40)))
    spec = warned(DroppedRowsWarning, "id 1", "y ~ x + (1 | id:A)", data, cov={"A": A})
    assert spec.terms[0].levels[:4].tolist() == [0, 1, 2, 4]
    whole = table().assign(id=np.arange(40))
    texts = kinship([str(i) for i in range(40)])
    words = r"They match as text, but the data hold int \(0\) and the covariance str labels"
    refused(BindError, words, "y ~ x + (1 | id:A)", whole, cov={"A": texts})
    words = r"They match as text, but the data hold str \('0'\) and the covariance int labels"
    refused(BindError, words, "y ~ x + (1 | id:A)", whole.astype({"id": str}), cov={"A": A})


# ---- 38-42, 50-52: covariances meet data -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: f"{v} ", r"40 of them would match after strip\(\) on both sides"),
        (str.upper, r"40 of them would match after lower\(\) on both sides"),
        (lambda v: f" {v.upper()}", r"would match after strip\(\)\.lower\(\)"),
    ],
)
def test_038_ids_that_differ_by_spaces_or_case_say_what_would_match(change, words):
    data = table()
    A = kinship(list(data["id"]))
    refused(BindError, words, "y ~ x + (1 | id:A)", data.assign(id=data["id"].map(change)), cov={"A": A})


def test_039_ids_absent_from_the_covariance_are_counted_and_listed():
    data = table()
    A = kinship(list(data["id"][:25]))
    words = (
        r"\(1 \| gr\(id, cov=A\)\): 15 levels of 'id' are not in cov\['A'\]: 'i25', .*\(15 in all\).*drop the 15 rows"
    )
    refused(BindError, words, "y ~ x + (1 | id:A)", data, cov={"A": A})


def test_040_labels_without_records_are_kept_for_prediction_and_reported():
    data = table()
    A = kinship([*data["id"], "u1", "u2"])
    spec = bind("y ~ x + (1 | id:A)", data, cov={"A": A})
    assert spec.terms[0].q == 40
    assert len(spec.terms[0].covariance.labels) == 42
    assert "cov['A'] has 2 level(s) of 'id' without records; they can be predicted." in spec.notes


def test_041_duplicate_labels_are_refused_by_name():
    data = table()
    A = kinship(list(data["id"])).to_numpy()
    refused(CovarianceError, "'i0'", "y ~ x + (1 | id:A)", data, cov={"A": (A, ["i0", "i0", *data["id"][2:]])})


def test_042_an_unlabelled_matrix_needs_align_position_and_the_right_size():
    data = table()
    A = kinship(list(data["id"]))
    refused(CovarianceError, re.escape("cov['A']"), "y ~ x + (1 | id:A)", data, cov={"A": A.to_numpy()})
    ordered = A.loc[sorted(A.index), sorted(A.index)]
    spec = bind("y ~ x + (1 | id:A)", data, cov={"A": ordered.to_numpy()}, align="position")
    term = spec.terms[0]
    np.testing.assert_allclose(term.covariance.block(term.positions), ordered.to_numpy(), **OBJECTIVE)
    small = {"A": ordered.to_numpy()[:30, :30]}
    refused(CovarianceError, re.escape("cov['A']"), "y ~ x + (1 | id:A)", data, cov=small, align="position")
    refused(OptionError, "align='rows': choose 'labels'", "y ~ x", data, align="rows")


def test_050_a_covariance_of_zeros_has_no_variance():
    data = table()
    ids = list(data["id"])
    full = np.zeros((41, 41))
    full[40, 40] = 1.0
    with pytest.warns(CovarianceWarning, match="mean diagonal"):
        A = Dense(full, [*ids, "other"])
    words = r"cov\['A'\] is zero among the levels in the data: the term has no variance"
    refused(IdentifiabilityError, words, "y ~ x + (1 | id:A)", data, cov={"A": A})


def test_051_an_identity_with_a_level_a_row_is_confounded_with_the_residual():
    data = table()
    for scale in (1.0, 0.5):
        A = pd.DataFrame(scale * np.eye(40), data["id"], data["id"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            words = r"confounded with the residual.*cov\['A'\] is proportional to the identity"
            refused(IdentifiabilityError, words, "y ~ x + (1 | id:A)", data, cov={"A": A})


def test_052_proportional_covariances_are_confounded_by_name():
    data = table()
    A = kinship(list(data["id"]))
    cov = {"A": A, "B": 2 * A.loc[A.index[::-1], A.index[::-1]]}
    words = r"\(1 \| gr\(id, cov=A\)\) and \(1 \| gr\(id, cov=B\)\) are confounded"
    refused(IdentifiabilityError, words, "y ~ x + (1 | id:A) + (1 | id:B)", data, cov=cov)
    both = bind("y ~ x + (1 | id:A) + (1 | id:B)", data, cov={"A": A, "B": kinship(list(data["id"]), 6)})
    assert [term.name for term in both.terms] == ["id:A", "id:B"]


def test_052_a_covariance_that_is_the_sum_of_others_is_confounded():
    data = table()
    A, B = kinship(list(data["id"])), kinship(list(data["id"]), 6)
    words = r"cov=A\)\) and .*cov=B\)\) and .*cov=C\)\) are confounded"
    formula = "y ~ x + (1 | id:A) + (1 | id:B) + (1 | id:C)"
    refused(IdentifiabilityError, words, formula, data, cov={"A": A, "B": B, "C": 0.3 * A + 0.7 * B})


# ---- 72-74, 99: weights, offsets, later changes ------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.0, -1.0, np.nan, np.inf])
def test_072_a_weight_that_is_not_positive_names_its_row(value):
    data = table().assign(w=1.0)
    data.loc["r4", "w"] = value
    words = rf"weights \(column 'w'\) must be positive and finite; row 'r4' has {value}"
    refused(DataError, words, "y ~ x", data, weights="w")
    refused(DataError, "weights must be positive and finite; row 'r4'", "y ~ x", data, weights=data["w"].to_numpy())


def test_072_weights_of_another_length_or_all_zero_are_refused():
    refused(DataError, r"weights has shape \(39,\); the data have 40 rows", "y ~ x", table(), weights=np.ones(39))
    refused(
        DataError, "row 'r0' has 0.0 .and in 39|row 'r0' has 0.0 \\(and 39 more", "y ~ x", table(), weights=np.zeros(40)
    )
    refused(BindError, "no column is called 'ww'", "y ~ x", table(), weights="ww")
    refused(DataError, "the column 'f' does not hold numbers", "y ~ x", table(), weights="f")


def test_072_a_series_of_weights_goes_by_its_index():
    data = table()
    w = pd.Series(np.arange(1.0, 41.0), data.index)
    spec = bind("y ~ x", data, weights=w.sample(frac=1, random_state=1))
    np.testing.assert_allclose(spec.weights, w, **OBJECTIVE)
    np.testing.assert_allclose(spec.residual.basis[:, 0], w**-0.5, **OBJECTIVE)
    refused(DataError, "index of weights does not fit", "y ~ x", data, weights=w.reset_index(drop=True))


def test_073_weights_over_twelve_decades_warn():
    w = np.ones(40)
    w[0] = 1e13
    warned(IdentifiabilityWarning, r"weights span 1e\+13", "y ~ x", table(), weights=w)


def test_074_an_offset_with_a_hole_or_of_another_length_is_refused():
    data = table().assign(o=1.0)
    data.loc["r9", "o"] = np.nan
    refused(DataError, r"offset\(o\) is nan in row 'r9'", "y ~ x + offset(o)", data)
    refused(DataError, r"offset \(column 'o'\) is nan in row 'r9'", "y ~ x", data, offset="o")
    refused(DataError, r"offset has shape \(3,\)", "y ~ x", data, offset=np.ones(3))


def test_099_data_changed_after_binding_do_not_reach_the_model():
    data = table()
    spec = bind("y ~ x + (1 | g)", data)
    before = spec.y.copy()
    data["y"] = 0.0
    np.testing.assert_array_equal(spec.y, before)
    np.testing.assert_array_equal(spec.source.rebind().y, before)


def test_099_a_covariance_changed_in_place_is_noticed():
    data = table()
    A = kinship(list(data["id"])).to_numpy().copy()
    spec = bind("y ~ x + (1 | id:A)", data, cov={"A": Dense(A, list(data["id"]))})
    spec.source.check_unchanged()
    A[0, 1] = A[1, 0] = 0.5
    with pytest.raises(CovarianceError, match=r"cov\['A'\] was changed in place after the model was specified"):
        spec.source.check_unchanged()


# ---- 87-89: several responses --------------------------------------------------------------------------------------


def traits(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(12)
    data = table(n)
    for a in range(4):
        data[f"y{a + 1}"] = rng.standard_normal(n) + 0.5 * data["y"]
    data.iloc[3:7, data.columns.get_loc("y1")] = np.nan
    return data


@pytest.mark.parametrize("formula", ["cbind(y1, bad, y4) ~ x", "cbind(bad, y1, y2) ~ x + (1 | g)"])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        (lambda d: np.nan, "the response bad is missing in every row used: leave it out"),
        (lambda d: 3.5, "the response bad is 3.5 in every row used: its variance is 0"),
        (lambda d: d["x"] * 2 - 1, "the response bad is an exact linear combination of the fixed effects"),
        (lambda d: d["y1"], "the response (bad|y1) is an exact linear combination of '(bad|y1)' and the fixed effects"),
        (lambda d: 1e-3 * d["y1"] + 3e5, "the response (bad|y1) is an exact linear combination of '(bad|y1)' and the"),
        (lambda d: d["y1"] - d["x"], "linear combination of '(bad|y1)' and the fixed effects in the 36 records that"),
        (lambda d: d["y1"].where(d["y1"].isna(), 2.0), "the response bad is 2 in every row used"),
    ],
)
def test_087_a_response_without_variance_of_its_own_is_refused_by_name(formula, values, words):
    data = traits()
    data["bad"] = values(data)
    refused(DegenerateResponse, words, formula, data)


def test_087_a_sum_of_responses_is_refused():
    data = traits().assign(total=lambda d: d["y2"] + d["y3"])
    words = "the response total is an exact linear combination of 'y2', 'y3' and the fixed effects in all records"
    refused(DegenerateResponse, words, "cbind(y2, y3, total) ~ x", data)
    refused(DegenerateResponse, "'y2', 'y3' and the fixed effects in the 36", "cbind(y1, y2, y3, total) ~ 1", data)
    refused(DegenerateResponse, "'y2', 'y3' and the", "cbind(y2, y3, total) ~ x + (1 | g)", data, residual="diag")
    bind("cbind(y2, y3, total) ~ x + diag(1 | g)", data, residual="diag")  # three models that do not meet
    nearly = data.assign(total=lambda d: d["total"] + 1e-5 * d["z"])
    bind("cbind(y2, y3, total) ~ x", nearly)


def test_087_two_responses_alike_are_seen_where_a_third_is_rare():
    data = traits().assign(bad=lambda d: 2 * d["y2"], rare=lambda d: d["y3"].where(np.arange(len(d)) < 3))
    words = "the response bad is an exact linear combination of 'y2' and the fixed effects in the 40 records that have"
    refused(DegenerateResponse, words, "cbind(y2, bad, rare) ~ 1", data)


def test_087_a_response_with_fewer_cells_than_effects_is_refused():
    data = traits().assign(few=lambda d: d["y2"].where(np.arange(len(d)) < 3))
    words = "the response few is observed in 3 records and has 3 fixed effects: nothing is left"
    refused(DegenerateResponse, words, "cbind(y2, few) ~ x + z", data, residual="diag")


def test_088_responses_of_any_scale_are_checked_alike():
    data = traits().assign(y2=lambda d: 1e-6 * d["y2"], y3=lambda d: 1e6 * d["y3"] + 1e9)
    spec = bind("cbind(y1, y2, y3) ~ x + (1 | g)", data)
    assert spec.traits.t == 3
    both = data.assign(sum=lambda d: d["y2"] + 1e-12 * d["y3"])
    refused(DegenerateResponse, "the response sum is an exact", "cbind(y2, y3, sum) ~ x", both)


def test_089_more_parameters_than_cells_are_refused_with_a_count():
    data = traits().iloc[10:16]
    words = (
        "any residual covariance of 4 responses needs at least as many records beyond the 3 fixed effects, and there"
    )
    refused(IdentifiabilityError, words, "cbind(y1, y2, y3, y4) ~ x + z", data)
    refused(IdentifiabilityError, r"residual='diag', or 'fa\(1\)'", "cbind(y1, y2, y3, y4) ~ x + z", data)
    bind("cbind(y1, y2, y3, y4) ~ x + z", data, residual="diag")
    more = traits().iloc[8:24]
    refused(IdentifiabilityError, "88 parameters of covariance", "cbind(y1, y2, y3, y4) ~ 1 + (1 + x + z | g)", more)
    refused(IdentifiabilityError, "write fa.1 . x . z . g, 1. or", "cbind(y1, y2, y3, y4) ~ 1 + (1 + x + z | g)", more)


def test_089_responses_that_no_record_shares_need_a_diagonal_residual():
    data = traits()
    data["a"], data["b"] = data["y2"].where(np.arange(40) % 4 < 2), data["y3"].where(np.arange(40) % 4 > 1)
    words = "no record has both a and b, so nothing tells their residual covariance: write residual='diag'"
    refused(IdentifiabilityError, words, "cbind(a, b) ~ x + (1 | g)", data)
    refused(
        IdentifiabilityError,
        words.replace(", so", r" \(nor 1 more pairs\), so"),
        "cbind(a, b, c) ~ 1",
        data.assign(c=data["y4"].where(np.arange(40) % 4 > 1)),
    )
    spec = bind("cbind(a, b) ~ x + (1 | g)", data, residual="diag")
    assert spec.terms[0].structure.n_par == 3
    data.loc[["r0", "r1"], "b"] = [0.3, 0.7]
    words = "only 2 records have both a and b, too few for a residual covariance beside 2 fixed effects"
    refused(IdentifiabilityError, words, "cbind(a, b) ~ x + (1 | g)", data)


def test_089_responses_of_unrelated_levels_need_a_diagonal_term():
    data = traits()
    half = np.arange(40) < 20
    data["a"], data["b"] = data["y2"].where(half), data["y3"].where(~half)
    words = r"\(1 \| g\): no level of 'g' has records of both 'a' and 'b', so nothing tells .*: write diag\(1 \| g\)"
    refused(IdentifiabilityError, words, "cbind(a, b) ~ x + (1 | g)", data, residual="diag")
    bind("cbind(a, b) ~ x + diag(1 | g)", data, residual="diag")
    A = np.zeros((40, 40))
    A[:20, :20], A[20:, 20:] = kinship(data["id"][:20].tolist()), kinship(data["id"][20:].tolist())
    A = pd.DataFrame(A, data["id"].tolist(), data["id"].tolist())
    words = r"\(id, cov=A\)\): no level of 'id' has records of both 'a' and 'b' or relatives with them"
    refused(IdentifiabilityError, words, "cbind(a, b) ~ x + (1 | gr(id, cov=A))", data, cov={"A": A}, residual="diag")
