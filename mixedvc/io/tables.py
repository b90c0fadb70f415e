"""Tables from files: csv, tsv and parquet into data frames, with types decided by the whole column."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import DataError, MissingExtra
from .delimited import Delimited, read_delimited
from .opening import existing, magic, open_text

if TYPE_CHECKING:
    import pandas as pd

NA = ("", "NA")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|[iI]nf(inity)?|NaN|nan)", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
_PADDED = re.compile(r"[+-]?0\d+", re.ASCII)
_BOOLEANS = ({"TRUE", "FALSE"}, {"True", "False"}, {"true", "false"})
_INT64 = 2**63


def read_table(path: str | Path, *, na: Sequence[str] = NA, text: Collection[str] = ()) -> pd.DataFrame:
    """Read a table with a header line from a csv, tsv or parquet file, compressed (gzip, bzip2, xz) or not.

    What a file is, how it is compressed and what separates its columns (comma, tab, semicolon or white space) is
    recognised by its content.  A column becomes numbers, or True/False, where every cell that is not missing reads as
    one; otherwise it stays text, exactly as written.  **Identifiers survive**: a column in which some number is padded
    with zeros (``007``) or would not fit 64 bits stays text.  Columns of whole numbers with missing cells become
    pandas' ``Int64``, so that an id 7 does not turn into 7.0.  A first column without a name (R's ``write.csv``, or
    the row names of ``write.table``) becomes the index.

    Parameters
    ----------
    path : str or Path
    na : sequence of str
        Cells that mean "missing".  The default is R's: ``NA``, and an empty cell.
    text : collection of str
        Columns to keep as text whatever they hold.

    Returns
    -------
    DataFrame

    Raises
    ------
    DataError
        No such file, an empty one, a row with too many or too few fields (with its line number), two columns of one
        name, a column without a name, text that is not UTF-8, a damaged file.
    MissingExtra
        A parquet file where pyarrow is not installed.
    """
    found = existing(path)
    first = magic(found)
    if first.startswith(b"PAR1"):
        return _read_parquet(found)
    _refuse_other_formats(first, str(path))
    with open_text(found) as stream:
        return _frame(read_delimited(stream, str(path)), set(na), set(text))


def _refuse_other_formats(first: bytes, path: str) -> None:
    known = {
        b"PK\x03\x04": "a zip archive or an Excel workbook",
        b"\xd0\xcf\x11\xe0": "an old Excel workbook",
        b"\x93NUMPY": "a numpy array, which has no column names",
        b"RDX": "an R workspace",
        b"%PDF": "a PDF document",
        b"ARROW1": "an Arrow (feather) file",
    }
    for start, what in known.items():
        if first.startswith(start):
            raise DataError(f"{path!r} is {what}: save the table as csv or parquet")


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", "parquet", f"reading the parquet file {str(path)!r}") from None
    try:
        return pq.read_table(path).to_pandas()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{str(path)!r} is a parquet file, but truncated or damaged: {error}") from error


def _frame(source: Delimited, na: set[str], text: set[str]) -> pd.DataFrame:
    import pandas as pd

    columns, header = _columns(source)
    _check_names(header, source.path)
    unknown = text - set(header)
    if unknown:
        raise DataError(
            f"{source.path!r} has no column {', '.join(map(repr, sorted(unknown)))}; it has {_some(header)}"
        )
    made = {name: _series(cells, na, name in text) for name, cells in zip(header, columns, strict=True) if name != ""}
    frame = pd.DataFrame(made)
    if header[0] == "":
        frame.index = pd.Index(convert(columns[0], na), name=None)
    return frame


def _columns(source: Delimited) -> tuple[list[tuple[str, ...]], tuple[str, ...]]:
    records = [fields for _, fields in source.records]
    if not records:
        raise DataError(f"{source.path!r} has a header line but no rows")
    header = source.header
    if len(records[0]) == len(header) + 1:
        header = ("", *header)
    return list(zip(*records, strict=True)), header


def _check_names(header: tuple[str, ...], path: str) -> None:
    seen: dict[str, int] = {}
    for position, name in enumerate(header, 1):
        if name == "" and position > 1:
            raise DataError(f"{path!r}: column {position} has no name (the header line is {_some(header)})")
        if name in seen:
            raise DataError(f"{path!r}: columns {seen[name]} and {position} are both called {name!r}: rename one")
        seen[name] = position


def _some(names: Iterable[str], most: int = 12) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")


def _series(cells: Sequence[str], na: Collection[str], as_text: bool) -> pd.Series[Any]:
    return _text(cells, set(na)) if as_text else convert(cells, na)


def convert(cells: Sequence[str], na: Collection[str] = NA) -> pd.Series[Any]:
    """A column's cells as the one type they all read as: integers, floats, booleans, else text as written."""
    import pandas as pd

    missing = set(na)
    distinct = {cell.strip() for cell in set(cells) if cell not in missing}
    gaps = any(cell in missing for cell in cells)
    if not distinct:
        return pd.Series([float("nan")] * len(cells), dtype="float64")
    if any(distinct <= pair for pair in _BOOLEANS):
        flags = [None if cell in missing else cell.strip().lower() == "true" for cell in cells]
        return pd.Series(flags, dtype="boolean" if gaps else "bool")
    if not all(_survives(cell) for cell in distinct):
        return _text(cells, missing)
    if all(_INTEGER.fullmatch(cell) for cell in distinct):
        whole = [None if cell in missing else int(cell) for cell in cells]
        return pd.Series(whole, dtype="Int64" if gaps else "int64")
    return pd.Series([float("nan") if cell in missing else float(cell) for cell in cells], dtype="float64")


def _text(cells: Sequence[str], missing: set[str]) -> pd.Series[Any]:
    import pandas as pd

    return pd.Series([None if cell in missing else cell for cell in cells])


def _survives(cell: str) -> bool:
    """True where a cell is a number and loses nothing by becoming one: no padding zeros, no integer beyond 64 bits."""
    if not _NUMBER.fullmatch(cell) or _PADDED.match(cell):
        return False
    return not _INTEGER.fullmatch(cell) or (len(cell) < 21 and -_INT64 <= int(cell) < _INT64)
