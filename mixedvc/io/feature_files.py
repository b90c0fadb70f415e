"""Features from files: one row a level, its label first, then one number for each feature."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..covariance.features import Features, Standardize
from ..covariance.labels import objects
from ..errors import CovarianceError
from .delimited import Delimited, read_delimited
from .labelled import cells_as_numbers, named_labels
from .opening import existing, magic, open_text
from .tables import read_table

Float = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureFile:
    """A path in ``cov=`` whose file holds features, not a covariance: what a table is for cannot be told by its look.

    Parameters
    ----------
    path : str or Path
    standardize : {True, "sample", "center", False}
        See `Features`.
    """

    path: str | PathLike[str]
    standardize: Standardize = True


def read_feature_file(file: FeatureFile, *, as_text: bool = False) -> Features:
    """Features of a delimited text file (compressed or not) or a parquet file.

    The first column (or pandas' index in parquet) holds the labels of the levels, whatever its name; every other column
    is a feature.  Missing cells
    are refused by `Features`, which names the first.

    Parameters
    ----------
    file : FeatureFile
    as_text : bool
        Keep all labels as text.  Otherwise labels that are whole numbers become integers, as `read_table` makes them.

    Raises
    ------
    CovarianceError
        A cell that is no number (with its line), a label or a name that stands twice, a file without features.
    DataError
        No such file, empty, truncated, not text.
    """
    found = existing(Path(file.path))
    if magic(found).startswith(b"PAR1"):
        return _from_parquet(found, file.standardize, as_text)
    with open_text(found) as stream:
        table = read_delimited(stream, str(file.path), CovarianceError)
        matrix, labels, names = _read(table)
    return Features(matrix, named_labels(labels, as_text), file.standardize, names=objects(names))


def _read(table: Delimited) -> tuple[Float, list[str], list[str]]:
    rows: list[Float] = []
    labels: list[str] = []
    names = list(table.header)
    for line, fields in table.records:
        if not labels and len(fields) == len(names):  # R's write.table does not name the column of labels
            names = names[1:]
        if not names:
            raise CovarianceError(
                f"{table.path!r} has a single column: expected labels in the first column and a feature in each other"
            )
        labels.append(fields[0].strip())
        rows.append(cells_as_numbers(fields[1:], names, table.path, line))
    if not rows:
        raise CovarianceError(f"{table.path!r} has a header line but no rows")
    return np.vstack(rows), labels, names


def _from_parquet(path: Path, standardize: Standardize, as_text: bool) -> Features:
    frame = read_table(path)
    if type(frame.index).__name__ == "RangeIndex":  # else pandas wrote the labels as the index
        frame = frame.set_index(frame.columns[0])
    if not len(frame.columns):
        raise CovarianceError(f"{str(path)!r} has no columns of features")
    labels = [str(label) for label in frame.index]
    return Features(
        frame.to_numpy(), named_labels(labels, as_text), standardize, names=objects([str(c) for c in frame.columns])
    )
