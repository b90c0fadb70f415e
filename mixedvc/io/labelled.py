"""Known covariances from files: labelled square matrices (csv, tsv, npz) and pedigree tables, recognised by content."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Covariance
from ..errors import CovarianceError, PedigreeError
from ..linalg.memory import require
from . import npy
from .delimited import Delimited, read_delimited
from .opening import existing, magic, open_text
from .tables import NA, read_table

Labelled = tuple[NDArray[np.float64], NDArray[np.object_]]

_ID = ("id", "animal", "individual", "ind", "iid", "name", "label", "calf")
_SIRE = ("sire", "father", "dad", "pat", "fatherid", "father_id", "dadid", "pa")
_DAM = ("dam", "mother", "mom", "mum", "mat", "motherid", "mother_id", "momid", "ma")


def read_covariance(path: str | Path, *, as_text: bool = False) -> Labelled | Covariance:
    """A known covariance from a file, ready for ``cov={"A": …}``.

    What the file is, is recognised by its content:

    - a **labelled square matrix** as text (comma, tab, semicolon or white space; gzip, bzip2, xz): a header line of
      labels and the row's label in the first column, as ``DataFrame.to_csv`` and R's ``write.csv`` write it;
    - a **pedigree**: a table with an identity and two parents (columns ``id, sire, dam``; ``father``, ``mother``,
      ``animal`` and the like are understood, the order of columns does not matter), from which the relationship matrix
      is made;
    - an **npz** archive of numpy with one square matrix and one vector of labels.

    Parameters
    ----------
    path : str or Path
    as_text : bool
        Keep all labels as text.  Otherwise labels that are whole numbers become integers, as `read_table` makes them.

    Returns
    -------
    (matrix, labels) or Covariance
        ``matrix`` (q, q) float64 in the order of ``labels`` (q,) object.

    Raises
    ------
    CovarianceError
        Not square, labels missing, doubled or different in rows and columns, a cell that is not a number (with its
        line number), an npy or npz file without labels or with pickled objects.
    PedigreeError
        See `mixedvc.pedigree`.
    DataError
        No such file, empty, truncated, not text.
    """
    found = existing(path)
    first = magic(found)
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _read_npz(found)
    if first.startswith(b"\x93NUMPY"):
        raise CovarianceError(
            f"{str(path)!r} is an npy array, which has no labels: save both with "
            "np.savez(file, matrix=A, labels=np.array(ids, dtype=str))"
        )
    with open_text(found) as stream:
        table = read_delimited(stream, str(path), CovarianceError)
        roles = pedigree_columns(table.header)
        if roles is None:
            return _matrix(table, as_text)
    return _pedigree(found, roles, as_text)


def pedigree_columns(header: Sequence[str]) -> tuple[str, str, str] | None:
    """Names of the identity, sire and dam columns where a header names them, else None."""
    roles = []
    for known in (_ID, _SIRE, _DAM):
        named = [name for name in header if name.lower() in known]
        if not named:
            return None
        roles.append(min(named, key=lambda name: known.index(name.lower())))
    return roles[0], roles[1], roles[2]


def _pedigree(path: Path, roles: tuple[str, str, str], as_text: bool) -> Covariance:
    from ..covariance import pedigree

    table = read_table(path, na=(*NA, ".", "0", "-"), text=roles)
    if not as_text:
        table = _whole_numbers(table, roles)
    if bool(table[roles[0]].isna().any()):
        row = int(table[roles[0]].isna().to_numpy().argmax()) + 1
        raise PedigreeError(f"{str(path)!r}: row {row} of the pedigree has no {roles[0]!r}")
    made: Covariance = pedigree(table, id=roles[0], sire=roles[1], dam=roles[2])
    return made


def _whole_numbers(table: Any, columns: Sequence[str]) -> Any:
    """Identity and parents with whole numbers as integers, as `read_table` would make the ids of the data."""
    import pandas as pd

    def read(name: str) -> pd.Series[Any]:
        cells = [None if pd.isna(cell) else as_id(cell) for cell in table[name]]
        return pd.Series(cells, index=table.index, dtype=object)

    return table.assign(**{name: read(name) for name in columns})


def as_id(label: str) -> int | str:
    """A label as an integer where it is the plain text of one (``"7"``, not ``"007"``), else as it is."""
    whole = label.isascii() and label.removeprefix("-").isdigit() and len(label) < 19
    return int(label) if whole and str(int(label)) == label else label


def _matrix(table: Delimited, as_text: bool) -> Labelled:
    path, columns = table.path, list(table.header)
    rows: list[NDArray[np.float64]] = []
    labels: list[str] = []
    for line, fields in table.records:
        if not labels:
            columns = columns if len(fields) == len(columns) + 1 else columns[1:]
            _row_labels_exist(columns, fields, path)
        if len(rows) == len(columns):
            raise CovarianceError(
                f"{path!r} is not square: line {line} is row {len(rows) + 1} of {len(columns)} columns"
            )
        labels.append(fields[0].strip())
        rows.append(cells_as_numbers(fields[1:], columns, path, line))
    if not rows:
        raise CovarianceError(f"{path!r} has a header line but no rows")
    if len(rows) != len(columns):
        raise CovarianceError(f"{path!r} is not square: {len(rows)} rows, {len(columns)} columns ({_some(columns)})")
    order = _column_order(labels, columns, path)
    matrix = np.vstack(rows)
    return (matrix if order is None else matrix[:, order]), named_labels(labels, as_text)


def _row_labels_exist(columns: list[str], fields: list[str], path: str) -> None:
    if not columns:
        raise CovarianceError(
            f"{path!r} has a single column: expected a labelled square matrix (labels in the header line and in the "
            "first column) or a pedigree (columns id, sire, dam)"
        )
    if fields[0].strip() not in columns:
        raise CovarianceError(
            f"{path!r}: {fields[0].strip()!r}, first in the first row, is not among the labels of the header line "
            f"({_some(columns)}). Expected a square matrix with labels in the header line and in the first column, "
            "or a pedigree with columns id, sire, dam. A table of features is given as "
            "mixedvc.Features(pandas.read_csv(path, index_col=0)), or with --features in the shell"
        )


def cells_as_numbers(cells: list[str], columns: list[str], path: str, line: int) -> NDArray[np.float64]:
    """A record's cells as numbers, NaN where missing; the first that is no number is named with its line."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass
    for cell, column in zip(cells, columns, strict=True):
        if cell.strip() not in NA:
            try:
                float(cell)
            except ValueError:
                raise CovarianceError(f"{path!r}, line {line}, column {column!r}: {cell!r} is not a number") from None
    return np.array([np.nan if cell.strip() in NA else float(cell) for cell in cells])


def _column_order(rows: list[str], columns: list[str], path: str) -> NDArray[np.intp] | None:
    """Where each row's label is among the columns; None where both are in the same order already."""
    for what, names in (("rows", rows), ("columns", columns)):
        doubled = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
        if doubled:
            raise CovarianceError(f"{path!r}: labels stand twice in the {what}: {_some(map(repr, doubled))}")
    if rows == columns:
        return None
    where = {name: i for i, name in enumerate(columns)}
    absent = [name for name in rows if name not in where]
    if absent:
        raise CovarianceError(
            f"{path!r}: {len(absent)} row labels are not among the column labels: {_some(map(repr, absent))}"
        )
    return np.array([where[name] for name in rows], dtype=np.intp)


def named_labels(labels: Sequence[str], as_text: bool) -> NDArray[np.object_]:
    """Labels as text, or with whole numbers as integers."""
    named = np.empty(len(labels), dtype=object)
    named[:] = list(labels) if as_text else [as_id(label) for label in labels]
    return named


def _some(names: Iterable[str], most: int = 10) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (f", … ({len(listed)} in all)" if len(listed) > most else "")


def _read_npz(path: Path) -> Labelled:
    arrays: dict[str, npy.Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    raise CovarianceError(
                        f"{str(path)!r} is a zip archive with {member.filename!r}, not an npz file of numpy"
                    )
                arrays[member.filename[:-4]] = npy.loads(_bounded(archive, member))
    except npy.BadArray as error:
        raise CovarianceError(
            f"{str(path)!r}, array {member.filename[:-4]!r}: {error}. Save labels as text: np.array(ids, dtype=str)"
        ) from None
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise CovarianceError(f"{str(path)!r} is an npz archive, but truncated or damaged ({error})") from error
    return _labelled_pair(arrays, str(path))


def _bounded(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """A member's bytes, once the size it announces is known to fit in memory."""
    require(member.file_size, f"array {member.filename!r} of {archive.filename!r}", "Read it on a larger machine")
    with archive.open(member) as stream:
        data = stream.read(member.file_size + 1)
    if len(data) != member.file_size:
        raise zipfile.BadZipFile(f"{member.filename} is not as long as announced")
    return data


def _labelled_pair(arrays: dict[str, npy.Array], path: str) -> Labelled:
    matrices = {name: a for name, a in arrays.items() if a.ndim == 2 and a.dtype.kind in "biuf"}
    labels = {name: a for name, a in arrays.items() if a.ndim == 1 and a.dtype.kind in "Uiu"}
    if len(matrices) != 1 or len(labels) != 1:
        found = ", ".join(f"{name} {a.shape} {a.dtype}" for name, a in arrays.items()) or "nothing"
        raise CovarianceError(
            f"{path!r} must hold one matrix and one vector of labels; it holds {found}. Write it with "
            "np.savez(file, matrix=A, labels=np.array(ids, dtype=str))"
        )
    (matrix,), (names,) = matrices.values(), labels.values()
    if matrix.shape != (len(names), len(names)):
        raise CovarianceError(
            f"{path!r}: the matrix is {matrix.shape[0]}×{matrix.shape[1]}, but has {len(names)} labels"
        )
    made = np.empty(len(names), dtype=object)
    made[:] = names.tolist()
    return matrix.astype(np.float64), made
