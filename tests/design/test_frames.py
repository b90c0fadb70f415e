"""Any table becomes the same columns: pandas of every dtype, polars, pyarrow, a dictionary."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mixedvc.design.bind import bind
from mixedvc.design.frames import column_of, frame_of, labels_of, row_labels
from mixedvc.errors import BindError, DataError
from tests.tolerances import IDENTITY

FORMULA = "y ~ x + f + flag + (1 | g)"


def plain() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "y": rng.standard_normal(24),
            "x": rng.integers(0, 9, 24),
            "f": np.tile(["b", "a", "c"], 8),
            "flag": rng.random(24) < 0.5,
            "g": np.repeat(np.arange(6), 4),
            "unused": "text",
        }
    )


def same(spec, other) -> None:
    np.testing.assert_allclose(spec.X, other.X, **IDENTITY)
    np.testing.assert_allclose(spec.y, other.y, **IDENTITY)
    assert spec.x_names == other.x_names
    assert spec.terms[0].levels.tolist() == other.terms[0].levels.tolist()
    assert spec.terms[0].codes.tolist() == other.terms[0].codes.tolist()


def test_polars_pyarrow_and_dictionaries_give_the_same_model():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    data = plain()
    want = bind(FORMULA, data)
    same(bind(FORMULA, polars.from_pandas(data)), want)
    same(bind(FORMULA, polars.from_pandas(data).lazy()), want)
    same(bind(FORMULA, pyarrow.Table.from_pandas(data)), want)
    same(bind(FORMULA, {name: data[name].to_numpy() for name in data}), want)


def test_nullable_and_arrow_types_give_the_same_model():
    data = plain()
    want = bind(FORMULA, data)
    same(bind(FORMULA, data.convert_dtypes()), want)
    pytest.importorskip("pyarrow")
    same(bind(FORMULA, data.convert_dtypes(dtype_backend="pyarrow")), want)
    same(bind(FORMULA, data.astype({"f": "category", "g": "category"})), want)
    same(bind(FORMULA, data.astype({"f": object, "g": object, "x": object})), want)
    same(bind(FORMULA, data.astype({"y": "float64", "x": "int8", "g": "uint16"})), want)


def test_missing_cells_of_every_kind_are_found():
    polars = pytest.importorskip("polars")
    data = plain()
    holes = data.astype({"x": "Int64", "flag": "boolean", "g": "Int64", "f": "object"})
    holes.loc[0, "x"], holes.loc[1, "flag"], holes.loc[2, "g"], holes.loc[3, "f"] = pd.NA, pd.NA, pd.NA, None
    with pytest.warns(UserWarning, match="4 of 24 rows left out for missing values"):
        want = bind(FORMULA, holes)
    assert dict(want.dropped.by_variable) == {"x": 1, "flag": 1, "g": 1, "f": 1}
    assert want.dropped.rows.tolist() == [0, 1, 2, 3]
    with pytest.warns(UserWarning, match="4 of 24"):
        same(bind(FORMULA, polars.from_pandas(holes)), want)
    with pytest.warns(UserWarning, match="4 of 24"):
        same(bind(FORMULA, holes.astype({"x": float, "g": float})), want)


def test_an_arrow_dictionary_and_polars_enum_keep_their_levels():
    polars, pyarrow = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    data = plain()
    enum = polars.from_pandas(data).with_columns(polars.col("f").cast(polars.Enum(["c", "b", "a"])))
    assert bind("y ~ f", enum).x_names == ("Intercept", "f[T.b]", "f[T.a]")
    categorical = polars.from_pandas(data).with_columns(polars.col("f").cast(polars.Categorical))
    assert bind("y ~ f", categorical).x_names == ("Intercept", "f[T.b]", "f[T.c]")
    encoded = pyarrow.Table.from_pandas(data.astype({"f": pd.CategoricalDtype(["c", "b", "a"])}))
    assert bind("y ~ f", encoded).x_names == ("Intercept", "f[T.b]", "f[T.a]")
    arrow = data.assign(f=pd.Series(encoded["f"].combine_chunks(), dtype=pd.ArrowDtype(encoded["f"].type)))
    assert bind("y ~ f", arrow).x_names == ("Intercept", "f[T.b]", "f[T.a]")


def test_an_ordered_category_gets_polynomial_contrasts_from_any_table():
    data = plain().astype({"f": pd.CategoricalDtype(["a", "b", "c"], ordered=True)})
    assert bind("y ~ f", data).x_names == ("Intercept", "f[.L]", "f[.Q]")
    pyarrow = pytest.importorskip("pyarrow")
    assert bind("y ~ f", pyarrow.Table.from_pandas(data)).x_names == ("Intercept", "f[.L]", "f[.Q]")


def test_whole_floats_are_integer_labels_and_text_stays_text():
    frame = pd.DataFrame({"a": [2.0, 1.0, np.nan], "b": ["2", "1", None], "c": [1.5, 1.0, 2.0]})
    assert labels_of(column_of(frame, "a"))[1].tolist() == [1, 2]
    assert all(isinstance(level, int) for level in labels_of(column_of(frame, "a"))[1])
    assert labels_of(column_of(frame, "b"))[1].tolist() == ["1", "2"]
    assert labels_of(column_of(frame, "c"))[1].tolist() == [1, 1.5, 2]


def test_numbers_sort_as_numbers_and_text_as_text():
    frame = pd.DataFrame({"a": [10, 9, 2], "b": ["10", "9", "2"]})
    assert labels_of(column_of(frame, "a"))[1].tolist() == [2, 9, 10]
    assert labels_of(column_of(frame, "b"))[1].tolist() == ["10", "2", "9"]


def test_only_the_columns_used_are_kept_and_copied():
    data = plain()
    spec = bind("y ~ x + (1 | g)", data)
    assert list(spec.source.frame.columns) == ["y", "x", "g"]
    before = spec.y.copy()
    data.loc[:, "y"] = 0.0
    np.testing.assert_array_equal(spec.source.rebind().y, before)


def test_inputs_are_not_changed_and_arrays_of_the_spec_are_read_only():
    data = plain()
    copy = data.copy(deep=True)
    spec = bind(FORMULA, data)
    pd.testing.assert_frame_equal(data, copy)
    for array in (spec.y, spec.X, spec.terms[0].codes, spec.terms[0].basis):
        assert not array.flags.writeable
    assert data["y"].to_numpy(copy=True).flags.writeable


def test_a_multi_index_of_rows_becomes_joined_labels():
    data = plain().set_index([pd.Index(range(24)), pd.Index(["r"] * 24)])
    assert row_labels(data)[:2].tolist() == ["0:r", "1:r"]
    assert bind("y ~ x", data).row_labels[0] == "0:r"


def test_something_that_is_no_table_is_refused_by_its_type():
    with pytest.raises(DataError, match="data is a int; a pandas, polars or pyarrow table"):
        bind("y ~ x", 3)
    with pytest.raises(DataError, match="columns of one length"):
        bind("y ~ x", {"y": [1, 2, 3], "x": [1, 2]})


def test_a_missing_column_names_the_nearest_one():
    with pytest.raises(BindError, match="no column is called 'Dais'; did you mean 'Days'"):
        frame_of(pd.DataFrame({"Days": [1]}), ["Dais"])
    with pytest.raises(BindError, match="The columns are: 'Days'"):
        frame_of(pd.DataFrame({"Days": [1]}), ["zzz"])
