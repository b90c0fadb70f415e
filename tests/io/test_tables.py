"""Tables from files: delimiters, compression, types decided by the column, and messages that name the line."""

import bz2
import gzip
import lzma

import numpy as np
import pandas as pd
import pytest

from mixedvc.errors import DataError, MissingExtra
from mixedvc.io.tables import convert, read_table


@pytest.fixture
def file(tmp_path):
    def write(text, name="table.csv", pack=bytes):
        path = tmp_path / name
        path.write_bytes(pack(text.encode("utf-8")))
        return path

    return write


@pytest.mark.parametrize(
    "text",
    [
        'id,y,"a b"\nx,1.5,"p, q"\nz,2,r\n',
        "id\ty\ta b\nx\t1.5\tp, q\nz\t2\tr\n",
        'id;y;a b\nx;1.5;"p, q"\nz;2;r\n',
        'id   y "a b"\n x 1.5  "p, q"\n z 2  r\n',
        '\ufeffid,y,a b\r\nx,1.5,"p, q"\r\n\r\nz,2,r\r\n',
        '\n\nid,y,a b\nx,1.5,"p, q"\nz,2,r',
    ],
    ids=["comma", "tab", "semicolon", "white space", "mark and crlf and blank line", "blank lines first"],
)
def test_one_table_in_many_spellings_is_one_frame(file, text):
    frame = read_table(file(text))
    assert frame.columns.tolist() == ["id", "y", "a b"]
    assert frame["y"].tolist() == [1.5, 2.0]
    assert frame["a b"].tolist() == ["p, q", "r"]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_compression_is_recognised_by_content_not_by_name(file, pack):
    assert read_table(file("x\n1\n2\n", "wrong.name", pack))["x"].tolist() == [1, 2]


def test_text_in_utf16_with_a_mark_is_read(tmp_path):
    (tmp_path / "t").write_bytes("é,y\nü,1\n".encode("utf-16"))
    assert read_table(tmp_path / "t").to_dict("list") == {"é": ["ü"], "y": [1]}


def test_a_cell_may_hold_a_line_break_in_quotes(file):
    frame = read_table(file('a,b\n"two\nlines",1\nx,2\n'))
    assert frame["a"].tolist() == ["two\nlines", "x"]


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "2"], "int64", [1, 2]),
        (["1", " 2 "], "int64", [1, 2]),
        (["1", "NA", ""], "Int64", [1, pd.NA, pd.NA]),
        (["1", "2.5", "-3e2", ".5"], "float64", [1.0, 2.5, -300.0, 0.5]),
        (["1", "Inf", "-inf"], "float64", [1.0, np.inf, -np.inf]),
        (["TRUE", "FALSE"], "bool", [True, False]),
        (["True", "NA"], "boolean", [True, pd.NA]),
        (["0", "0.5", "-0.25"], "float64", [0.0, 0.5, -0.25]),
        (["9223372036854775807"], "int64", [2**63 - 1]),
    ],
)
def test_a_column_that_reads_as_one_type_becomes_it(cells, dtype, values):
    made = convert(cells)
    assert str(made.dtype) == dtype
    pd.testing.assert_series_equal(made, pd.Series(values, dtype=dtype))


@pytest.mark.parametrize(
    "cells",
    [
        ["007", "12"],
        ["-01", "1"],
        ["00.5", "1"],
        ["9223372036854775808", "1"],
        ["1" * 400, "1"],
        ["1_000", "2"],
        ["0x1F", "2"],
        ["1,5", "2,5"],
        ["٣", "4"],
        ["T", "F"],
        ["a", "1"],
        ["True", "TRUE"],
    ],
)
def test_a_column_that_a_number_would_change_stays_text(cells):
    assert convert(cells).tolist() == cells


def test_padded_ids_survive_and_missing_ids_do_not_turn_ids_into_floats(file):
    frame = read_table(file("id,kin,y\n007,7,1.0\n012,NA,2.0\n013,12,2.5\n"))
    assert frame["id"].tolist() == ["007", "012", "013"]
    assert frame["kin"].dropna().tolist() == [7, 12]
    assert not any(isinstance(value, float) for value in frame["kin"].dropna())


def test_missing_cells_are_those_the_caller_names(file):
    path = file("x,g\n.,a\n2,NA\n")
    assert read_table(path)["x"].tolist() == [".", "2"]
    frame = read_table(path, na=(".",))
    assert frame["x"].isna().tolist() == [True, False]
    assert frame["g"].tolist() == ["a", "NA"]


def test_columns_can_be_kept_as_text(file):
    frame = read_table(file("id,y\n1,2\nNA,3\n"), text=["id"])
    assert frame["id"].iloc[0] == "1"
    assert frame["id"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match=r"has no column 'kin'; it has id, y"):
        read_table(file("id,y\n1,2\n"), text=["kin"])


def test_row_names_of_r_become_the_index(file):
    write_csv = read_table(file('"","x"\n"a",1\n"b",2\n'))
    write_table = read_table(file('"x" "z"\n"a" 1 3\n"b" 2 4\n'))
    assert write_csv.index.tolist() == ["a", "b"]
    assert write_csv.columns.tolist() == ["x"]
    assert write_table.index.tolist() == ["a", "b"]
    assert write_table["z"].tolist() == [3, 4]


def test_parquet_keeps_types_and_levels(tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"y": [1.5, None], "g": pd.Categorical(["b", "a"], categories=["b", "a"]), "id": ["007", "8"]})
    frame.to_parquet(tmp_path / "table.data")
    again = read_table(tmp_path / "table.data")
    pd.testing.assert_frame_equal(again, frame)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    import sys

    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(20))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mixedvc\[parquet\]'"):
        read_table(tmp_path / "t.parquet")


def test_a_damaged_parquet_file_is_an_error_of_ours(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"PAR1" + bytes(20))
    with pytest.raises(DataError, match="parquet file, but truncated or damaged"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n", r"line 3: 1 field, expected 2 .*separated by comma\): '3'"),
        ("a,b\n1,2\n\n3,4\n5,6,7\n", r"line 5: 3 fields, expected 2"),
        ("a,b\n1,2,3\n1,2\n", r"line 3: 2 fields, expected 3"),
        ("a b\n1 2\n3 4 5 6\n", r"line 3: 4 fields, expected 2 .*white space"),
        ('a,b\n"1\n2",2\n3\n', r"line 4: 1 field"),
        ('a,b\n"1,2\n3,4\n', r"line 2: .*quotation mark that is not closed"),
        ("a,a\n1,2\n", r"columns 1 and 2 are both called 'a'"),
        ("a,,c\n1,2,3\n", r"column 2 has no name"),
        ("a,b\n", r"a header line but no rows"),
        ("\n \n", r"no header line"),
        ("a\x00b,c\n1,2\n", r"not a table: line 1 holds a NUL"),
        ("a,b\n1,2\x00\n", r"not a table: line 2 holds a NUL"),
    ],
)
def test_a_malformed_table_names_the_line(file, text, message):
    with pytest.raises(DataError, match=message):
        read_table(file(text))


def test_a_missing_file_names_its_nearest_neighbour(file):
    path = file("a\n1\n", "sleepstudy.csv")
    with pytest.raises(DataError, match=r"no file .*; did you mean .*sleepstudy\.csv"):
        read_table(path.with_name("sleepstudi.csv"))
    with pytest.raises(DataError, match=r"the folder .* does not exist"):
        read_table(path.parent / "nowhere" / "x.csv")


def test_an_empty_file_a_folder_and_other_formats_say_what_they_are(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04rest")
    (tmp_path / "array.npy").write_bytes(b"\x93NUMPYrest")
    for name, message in (
        ("empty", r"is empty \(0 bytes\)"),
        (".", "is a folder"),
        ("book.xlsx", "zip archive or an Excel workbook: save the table as csv"),
        ("array.npy", "numpy array, which has no column names"),
    ):
        with pytest.raises(DataError, match=message):
            read_table(tmp_path / name)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_truncated_compressed_file_is_an_error_of_ours(tmp_path, pack):
    data = pack(("a,b\n" + "1,2\n" * 5000).encode())
    (tmp_path / "t").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="truncated or damaged"):
        read_table(tmp_path / "t")


def test_text_in_another_encoding_names_the_byte(tmp_path):
    (tmp_path / "t").write_bytes("a,b\né,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"not text in UTF-8: byte 0xe9"):
        read_table(tmp_path / "t")


def test_a_shipped_data_set_reads_as_pandas_reads_it():
    from mixedvc.io import datasets

    path = datasets._folder() / "sleepstudy.csv"
    pd.testing.assert_frame_equal(read_table(path), pd.read_csv(path))
