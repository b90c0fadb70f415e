"""Known covariances from files: matrices meet by label, whatever the spelling; what is wrong is named with its line."""

import gzip

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import CovarianceError, DataError, PedigreeError
from mixedvc.io.labelled import as_id, pedigree_columns, read_covariance

from ..tolerances import IDENTITY, OBJECTIVE

IDS = ["b", "a", "007"]
A = np.array([[1.0, 0.5, 0.25], [0.5, 1.25, 0.1], [0.25, 0.1, 1.0]])


@pytest.fixture
def file(tmp_path):
    def write(content, name="A.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / name

    return write


@pytest.mark.parametrize("sep", [",", "\t", ";"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_labelled_matrix_keeps_every_bit(file, sep, pack):
    text = pd.DataFrame(A / 3, IDS, IDS).to_csv(sep=sep)
    matrix, labels = read_covariance(file(pack(text.encode())))
    np.testing.assert_array_equal(matrix, A / 3)
    assert labels.tolist() == IDS


def test_r_writes_the_same_matrix_with_one_name_less_in_the_header(file):
    matrix, labels = read_covariance(file('"b" "a" "007"\n"b" 1 .5 .25\n"a" .5 1.25 .1\n"007" .25 .1 1\n'))
    np.testing.assert_array_equal(matrix, A)
    assert labels.tolist() == IDS


def test_columns_in_another_order_are_put_in_the_order_of_the_rows(file):
    order = [2, 0, 1]
    frame = pd.DataFrame(A, IDS, IDS).iloc[:, order]
    matrix, labels = read_covariance(file(frame.to_csv()))
    np.testing.assert_array_equal(matrix, A)
    assert labels.tolist() == IDS


def test_whole_numbers_are_integers_unless_text_is_asked_for(file):
    path = file(",1,02,x\n1,1,0,0\n02,0,1,0\nx,0,0,1\n")
    assert read_covariance(path)[1].tolist() == [1, "02", "x"]
    assert read_covariance(path, as_text=True)[1].tolist() == ["1", "02", "x"]


@pytest.mark.parametrize(
    ("text", "label"),
    [("7", 7), ("-7", -7), ("007", "007"), ("+7", "+7"), ("7.0", "7.0"), ("-0", "-0"), ("²", "²"), ("", "")],
)
def test_only_the_plain_text_of_an_integer_becomes_one(text, label):
    assert as_id(text) == label
    assert type(as_id(text)) is type(label)


def test_a_cell_marked_missing_is_nan_for_the_covariance_to_refuse(file):
    path = file(",a,b\na,1,NA\nb,NA,1\n")
    matrix, _ = read_covariance(path)
    assert np.isnan(matrix[0, 1])
    data = pd.DataFrame({"g": ["a", "b"] * 3, "y": [1.0, 2, 4, 3, 2, 5]})
    with pytest.raises(CovarianceError, match=r"'a'.*'b'"):
        mv.model("y ~ 1 + (1 | g:A)", data, cov={"A": path})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a,b\na,1,0\nb,zero,1\n", r"line 3, column 'a': 'zero' is not a number"),
        (",a,b\na,1,0\nb,0\n", r"line 3: 2 fields, expected 3"),
        (",a,b\na,1,0\n", r"not square: 1 rows, 2 columns \(a, b\)"),
        (",a,b\na,1,0\nb,0,1\nc,0,0\n", r"not square: line 4 is row 3 of 2 columns"),
        (",a,b\na,1,0\nc,0,1\n", r"1 row labels are not among the column labels: 'c'"),
        (",a,a\na,1,0\na,0,1\n", r"labels stand twice in the rows: 'a'"),
        ("a,b\n1,0\n0,1\n", r"'1', first in the first row, is not among the labels of the header line"),
        (",a,b\n", r"has a header line but no rows"),
        ("a\n1\n", r"single column: expected a labelled square matrix"),
    ],
)
def test_a_malformed_matrix_names_the_place(file, text, message):
    with pytest.raises(CovarianceError, match=message):
        read_covariance(file(text))


def test_a_missing_covariance_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*K\.csv"):
        mv.fit("y ~ 1 + (1 | g:A)", {"y": [1.0, 2], "g": ["a", "b"]}, cov={"A": tmp_path / "K.csv"})


def test_npz_with_labels_is_read_and_anything_less_is_refused(tmp_path):
    np.savez_compressed(tmp_path / "good.npz", matrix=A.astype(np.float32), labels=np.array(IDS))
    matrix, labels = read_covariance(tmp_path / "good.npz")
    np.testing.assert_array_equal(matrix, A.astype(np.float32))
    assert labels.tolist() == IDS
    np.save(tmp_path / "bare.npy", A)
    np.savez(tmp_path / "bare.npz", matrix=A)
    np.savez(tmp_path / "short.npz", matrix=A, labels=np.array(IDS[:2]))
    np.savez(tmp_path / "objects.npz", matrix=A, labels=np.array(IDS, dtype=object))
    for name, message in (
        ("bare.npy", r"npy array, which has no labels: save both with np\.savez"),
        ("bare.npz", r"must hold one matrix and one vector of labels; it holds matrix \(3, 3\)"),
        ("short.npz", r"the matrix is 3×3, but has 2 labels"),
        ("objects.npz", r"array 'labels': it holds Python objects.*pickles are never loaded"),
    ):
        with pytest.raises(CovarianceError, match=message):
            read_covariance(tmp_path / name)


def test_a_truncated_npz_is_an_error_of_ours(tmp_path):
    np.savez(tmp_path / "a.npz", matrix=A, labels=np.array(IDS))
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CovarianceError, match="truncated or damaged"):
        read_covariance(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("header", "roles"),
    [
        (("id", "sire", "dam"), ("id", "sire", "dam")),
        (("sex", "Dam", "Sire", "Animal"), ("Animal", "Sire", "Dam")),
        (("ID", "father", "mother", "id2"), ("ID", "father", "mother")),
        (("", "a", "b"), None),
        (("id", "sire", "x"), None),
    ],
)
def test_a_pedigree_is_recognised_by_its_header(header, roles):
    assert pedigree_columns(header) == roles


def test_a_pedigree_table_is_the_relationship_matrix(file):
    path = file("animal,sex,sire,dam\n1,M,,\n2,F,NA,0\n3,M,1,2\n4,F,1,.\n")
    made = read_covariance(path)
    direct = mv.pedigree(
        pd.DataFrame({"id": [1, 2, 3, 4], "sire": [None, None, 1, 1], "dam": [None, None, 2, None]}),
        id="id",
        sire="sire",
        dam="dam",
    )
    assert made.labels.tolist() == direct.labels.tolist() == [1, 2, 3, 4]
    np.testing.assert_allclose(made.block(), direct.block(), **IDENTITY)
    assert read_covariance(path, as_text=True).labels.tolist() == ["1", "2", "3", "4"]


def test_a_pedigree_without_an_identity_names_the_row(file):
    with pytest.raises(PedigreeError, match=r"row 2 of the pedigree has no 'id'"):
        read_covariance(file("id,sire,dam\na,,\n,a,\n"))


def _problem(ids):
    rng = np.random.default_rng(3)
    B = rng.standard_normal((len(ids), 40))
    frame = pd.DataFrame({"g": np.repeat(np.array(ids, dtype=object), 4)})
    frame["y"] = rng.standard_normal(len(frame)) + np.repeat(rng.standard_normal(len(ids)), 4)
    return frame, pd.DataFrame(B @ B.T / 40, ids, ids)


@pytest.mark.parametrize("kind", ["padded text", "text of numbers", "integers", "floats with a gap"])
def test_a_path_in_cov_meets_ids_of_any_type(tmp_path, kind):
    ids = [f"{i:03d}" for i in range(12)] if kind == "padded text" else list(range(12))
    data, K = _problem([str(i) for i in ids] if kind == "text of numbers" else ids)
    want = mv.fit("y ~ 1 + (1 | g:K)", data, cov={"K": K}).llf
    K.to_csv(tmp_path / "K.csv")
    if kind == "floats with a gap":
        data = pd.concat([pd.DataFrame({"g": [None], "y": [0.0]}), data], ignore_index=True)
        data["g"] = data["g"].astype(float)
        with pytest.warns(mv.errors.DroppedRowsWarning, match="1 of 49 rows? left out"):
            got = mv.fit("y ~ 1 + (1 | g:K)", data, cov={"K": str(tmp_path / "K.csv")}).llf
    else:
        got = mv.fit("y ~ 1 + (1 | g:K)", data, cov={"K": tmp_path / "K.csv"}).llf
    np.testing.assert_allclose(got, want, **OBJECTIVE)


@pytest.mark.parametrize("library", ["polars", "pyarrow", "dictionary"])
def test_a_path_in_cov_works_with_other_tables(tmp_path, library):
    data, K = _problem([f"{i:02d}" for i in range(10)])
    K.to_csv(tmp_path / "K.csv")
    want = mv.fit("y ~ 1 + (1 | gr(g, cov=K))", data, cov={"K": K}).llf
    if library == "dictionary":
        other = {name: data[name].tolist() for name in data}
    else:
        module = pytest.importorskip(library)
        columns = {name: data[name].tolist() for name in data}
        other = module.DataFrame(columns) if library == "polars" else module.table(columns)
    got = mv.fit("y ~ 1 + (1 | gr(g, cov=K))", other, cov={"K": tmp_path / "K.csv"}).llf
    np.testing.assert_allclose(got, want, **OBJECTIVE)
