"""Plain values to JSON and arrays and back: equal values of equal types, and nothing that only pickle could store."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixedvc.errors import StoredModelError
from mixedvc.io.packing import Packer, unpack


def round_trip(value):
    packer = Packer()
    return unpack(json.loads(json.dumps(packer.pack(value), allow_nan=False)), packer.arrays)


def same(a, b):
    if isinstance(a, float) and a != a:
        return isinstance(b, float) and b != b
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.timedeltas()
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(trees)
def test_plain_values_come_back_equal_and_of_their_type(value):
    assert same(value, round_trip(value))


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.5, np.nan, -np.inf, -0.0]),
        np.arange(6, dtype=np.int8).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(10.0)[::-2],
        np.array([True, False]),
        np.array(["a", "ü\x00", ""]),
        np.array([["a", "b"]]),
        np.array(3.5),
        np.empty((0, 4)),
        np.array(["2020-01-01", "NaT"], dtype="M8[D]"),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_arrays_come_back_with_shape_dtype_and_bits(array):
    again = round_trip(array)
    assert again.dtype.kind == array.dtype.kind
    assert again.shape == array.shape
    np.testing.assert_array_equal(again, array)
    if array.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(again), np.signbit(array))


def test_object_arrays_keep_the_type_of_every_cell():
    cells = [1, "1", 1.0, None, True, 2**80, (1, "a"), decimal.Decimal("1.10"), datetime.date(2020, 2, 29)]
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    again = round_trip(array)
    assert again.dtype == object
    assert [type(cell) for cell in again] == [type(cell) for cell in cells]
    assert again.tolist() == cells
    tidy = round_trip(np.array([3, 1, 2**62], dtype=object))
    assert tidy.dtype == object
    assert [type(cell) for cell in tidy] == [int] * 3


COLUMNS = {
    "float": [1.5, np.nan, np.inf],
    "float32": np.array([1, 2, 3], dtype="f4"),
    "bool": [True, False, True],
    "text": ["a", None, "ü"],
    "mixed": np.array([1, "a", None], dtype=object),
    "categories": pd.Categorical(["x", None, "y"], categories=["y", "x", "z"], ordered=True),
    "codes": pd.Categorical([3, 1, 3]),
    "intervals": pd.cut([1.0, 2.0, 3.0], 2),
    "Int64": pd.array([1, None, 2**60 + 1], dtype="Int64"),
    "UInt8": pd.array([1, None, 3], dtype="UInt8"),
    "Float64": pd.array([1.5, None, np.inf], dtype="Float64"),
    "boolean": pd.array([True, None, False], dtype="boolean"),
    "string": pd.array(["a", None, "b"], dtype="string"),
    "times": pd.to_datetime(["2020-01-01", None, "2020-03-01"]),
    "zoned": pd.to_datetime(["2020-01-01", None, "2020-03-01"]).tz_localize("Europe/Paris"),
    "periods": pd.period_range("2020-01", periods=3, freq="M"),
    "dates": [datetime.date(2020, 1, 1)] * 3,
}
INDEXES = {
    "default": pd.RangeIndex(3),
    "stepped": pd.RangeIndex(5, 11, 2, name="row"),
    "text": pd.Index(["r1", "r2", "r1"]),
    "named numbers": pd.Index([3, 1, 2], name="id"),
    "several levels": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["g", None]),
    "dates": pd.DatetimeIndex(["2020-01-01", "2020-02-01", "2021-01-01"]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_a_frame_keeps_type_levels_and_gaps(name):
    frame = pd.DataFrame({name: COLUMNS[name]})
    pd.testing.assert_frame_equal(round_trip(frame), frame)


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_comes_back_as_it_was(name):
    frame = pd.DataFrame({"x": [1, 2, 3]}, index=INDEXES[name])
    again = round_trip(frame)
    pd.testing.assert_frame_equal(again, frame)
    assert type(again.index) is type(frame.index)


@pytest.mark.parametrize(
    ("arrow", "plain"),
    [
        ("int64", "Int64"),
        ("uint8", "UInt8"),
        ("double", "Float64"),
        ("bool", "boolean"),
        ("string", "string"),
    ],
)
def test_arrow_columns_come_back_as_the_same_values(arrow, plain):
    pa = pytest.importorskip("pyarrow")
    values = {"bool": [True, None], "string": ["a", None]}.get(arrow, [1, None])
    kind = pa.float64() if arrow == "double" else pa.bool_() if arrow == "bool" else getattr(pa, arrow)()
    again = round_trip(pd.Series(values, dtype=pd.ArrowDtype(kind)))
    pd.testing.assert_series_equal(again, pd.Series(values, dtype=plain))


def test_an_arrow_dictionary_with_gaps_is_a_categorical():
    pa = pytest.importorskip("pyarrow")
    series = pd.Series(["b", None, "a"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string())))
    again = round_trip(series)
    assert again.cat.categories.tolist() == ["b", "a"]
    assert again.isna().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"f": print}, r"the model, 'f': a builtins\.builtin_function_or_method cannot be stored"),
        (1 + 2j, "complex numbers"),
        (np.array([1j]), "an array of complex128 cannot be stored"),
        (np.zeros(2, dtype=[("a", "f8")]), "cannot be stored"),
        (pd.DataFrame({"odd": [object()]}), r"column 'odd': a builtins\.object cannot be stored"),
    ],
)
def test_what_only_pickle_could_store_is_named(value, message):
    with pytest.raises(StoredModelError, match=message):
        Packer().pack(value)


@pytest.mark.parametrize(
    "packed",
    [
        {"$": "no such kind"},
        {"$": "array", "name": "a9"},
        {"$": "float", "value": "1"},
        {"$": "dict", "items": [[1]]},
        {"$": "dict", "items": [[{"$": "dict", "items": []}, 1]]},
        {"no tag": 1},
        {"$": "frame", "columns": [{"as": "evil"}], "names": [], "index": []},
        {"$": "date", "value": "not a date"},
        {"$": ["list"]},
    ],
)
def test_a_form_we_do_not_write_is_refused(packed):
    with pytest.raises(StoredModelError, match=r"stored value|stored column"):
        unpack(packed, {})
