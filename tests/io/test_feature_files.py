"""Features from files: labels in the first column, every other column a feature, mistakes named with their line."""

from __future__ import annotations

import gzip

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import CovarianceError, DataError
from mixedvc.io.feature_files import FeatureFile, read_feature_file
from tests.tolerances import IDENTITY

W = pd.DataFrame([[0, 1.25, 2], [1, 1 / 3, 0], [2, 0, 1e-7]], ["b", "a", "007"], ["rs1", "rs2", "3"])


@pytest.fixture
def file(tmp_path):
    def write(content, name="W.csv"):
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return FeatureFile(tmp_path / name)

    return write


@pytest.mark.parametrize("sep", [",", "\t", ";", " "])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_table_keeps_every_bit_its_labels_and_names(file, sep, pack):
    cov = read_feature_file(file(pack(W.to_csv(sep=sep, index_label="line").encode())))
    np.testing.assert_array_equal(cov.matrix, W)
    assert cov.labels.tolist() == ["b", "a", "007"]
    assert cov.names.tolist() == ["rs1", "rs2", "3"]
    np.testing.assert_allclose(cov.block(), mv.Features(W).block(), **IDENTITY)


def test_r_writes_the_same_table_with_one_name_less_in_the_header(file):
    cov = read_feature_file(file('"rs1" "rs2"\n"b" 1 .5\n"a" 2 1.25\n'))
    assert (cov.names.tolist(), cov.labels.tolist()) == (["rs1", "rs2"], ["b", "a"])
    np.testing.assert_array_equal(cov.matrix, [[1, 0.5], [2, 1.25]])


@pytest.mark.parametrize("index", [True, False])
def test_parquet_files_hold_labels_in_the_index_or_the_first_column(tmp_path, index):
    pytest.importorskip("pyarrow")
    path = tmp_path / "W.parquet"
    (W if index else W.reset_index()).to_parquet(path)
    cov = read_feature_file(FeatureFile(path))
    np.testing.assert_array_equal(cov.matrix, W)
    assert (cov.names.tolist(), cov.labels.tolist()) == (["rs1", "rs2", "3"], ["b", "a", "007"])
    W.reset_index()[["index"]].to_parquet(path)
    with pytest.raises(CovarianceError, match="has no columns of features"):
        read_feature_file(FeatureFile(path))


def test_labels_have_the_type_of_the_ids_in_the_data(file):
    source = file("id,m1,m2\n1,0,3\n2,1,1\n3,2,5\n4,2,4\n")
    assert read_feature_file(source).labels.tolist() == [1, 2, 3, 4]
    assert read_feature_file(source, as_text=True).labels.tolist() == ["1", "2", "3", "4"]
    y = np.array([0.3, 1.0, 2.2, 1.7, 0.5, 1.2, 2.0, 1.9])
    for ids in ([1, 2, 3, 4], ["1", "2", "3", "4"]):
        data = pd.DataFrame({"id": ids * 2, "y": y})
        fit = mv.fit("y ~ 1 + (1 | id:G)", data, cov={"G": source})
        want = mv.fit("y ~ 1 + (1 | id:G)", data, cov={"G": mv.Features([[0, 3], [1, 1], [2, 5], [2, 4]], ids)})
        assert fit.llf == want.llf
        assert fit.feature_effects().index.tolist() == ["m1", "m2"]


def test_features_are_standardised_as_told(file):
    path = file(W.to_csv()).path
    for how in (True, "center", False):
        cov = read_feature_file(FeatureFile(path, how))
        np.testing.assert_allclose(cov.block(), mv.Features(W, standardize=how).block(), **IDENTITY)


@pytest.mark.parametrize(
    ("text", "message", "error"),
    [
        ("id,m1,m2\na,0,1\nb,x,1\n", r"line 3, column 'm1': 'x' is not a number", CovarianceError),
        ("id,m1,m2\na,0,1\nb,,1\n", r"feature 'm1' of level 'b' is nan: impute", CovarianceError),
        ("id,m1,m2\na,0,1\na,2,1\n", r"'a'.*Labels must be unique", CovarianceError),
        ("id,m1,m1\na,0,1\nb,2,1\n", r"list of columns .* more than once: 'm1'", CovarianceError),
        ("id,m1,m2\na,0,1\nb,2\n", r"line 3: 2 fields, expected 3", CovarianceError),
        ("id,m1,m2\n", "has a header line but no rows", CovarianceError),
        ("id\na\nb\n", "has a single column: expected labels in the first column", CovarianceError),
        ("", r"is empty \(0 bytes\)", DataError),
    ],
)
def test_what_is_wrong_is_named(file, text, message, error):
    with pytest.raises(error, match=message):
        read_feature_file(file(text))


def test_a_table_of_features_given_as_a_covariance_is_told_where_it_belongs(file):
    data = pd.DataFrame({"id": ["b", "a", "007"] * 2, "y": np.arange(6.0)})
    with pytest.raises(CovarianceError, match=r"A table of features is given as mixedvc.Features.*--features"):
        mv.fit("y ~ 1 + (1 | id:G)", data, cov={"G": str(file(W.to_csv()).path)})
