"""Delimited text into a header and checked records: every record has its line number and the right length."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TextIO

from ..errors import DataError, MixedVCError

_QUOTED = re.compile(r'"[^"]*"')
_WORDS = re.compile(r'"((?:[^"]|"")*)"|(\S+)')
_SHOWN = {",": "comma", "\t": "tab", ";": "semicolon", " ": "white space", "": "nothing"}
_FIELD_LIMIT = 1 << 20


@dataclass(frozen=True)
class Delimited:
    """A delimited text file opened for reading.

    Attributes
    ----------
    path : str
    delimiter : str
        ``","``, tab, ``";"``, ``" "`` (runs of white space) or ``""`` (a single column).
    header : tuple of str
        Names, stripped of white space around them.
    records : iterator of (int, list of str)
        Line number in the file and the fields, as many as the header or (R's ``write.table``) one more.
    """

    path: str
    delimiter: str
    header: tuple[str, ...]
    records: Iterator[tuple[int, list[str]]]


def sniff(line: str) -> str:
    """The delimiter of a header line: a tab if there is one, else the commoner of ``,`` and ``;``, else white space."""
    bare = _QUOTED.sub("", line.strip("\r\n"))
    if "\t" in bare:
        return "\t"
    commas, semicolons = bare.count(","), bare.count(";")
    if commas or semicolons:
        return "," if commas >= semicolons else ";"
    return " " if len(line.split()) > 1 and len(_WORDS.findall(line)) > 1 else ""


def read_delimited(stream: TextIO, path: str, error: type[MixedVCError] = DataError) -> Delimited:
    """Header and records of a stream; blank lines are skipped.

    Raises
    ------
    `error`
        No header, or (while iterating) a record with too few or too many fields, an unclosed quote, a NUL.
    """
    skipped, first = 0, ""
    for first in stream:
        if first.strip():
            break
        skipped += 1
    if not first.strip():
        raise error(f"{path!r} holds no header line: the first line must name the columns")
    delimiter = sniff(first)
    rows = _rows(_clean(chain([first], stream), path, skipped, error), delimiter, path, skipped, error)
    _, names = next(rows)
    header = tuple(name.strip() for name in names)
    return Delimited(path, delimiter, header, _checked(rows, header, delimiter, path, error))


def _clean(lines: Iterator[str], path: str, skipped: int, error: type[MixedVCError]) -> Iterator[str]:
    for number, line in enumerate(lines, skipped + 1):
        if "\x00" in line:
            raise error(f"{path!r} is not a table: line {number} holds a NUL character")
        yield line


def _rows(
    lines: Iterator[str], delimiter: str, path: str, skipped: int, error: type[MixedVCError]
) -> Iterator[tuple[int, list[str]]]:
    if delimiter == " ":
        for number, line in enumerate(lines, skipped + 1):
            if line.strip():
                yield number, [q.replace('""', '"') if q or not w else w for q, w in _WORDS.findall(line)]
        return
    reader = csv.reader(lines, delimiter=delimiter or "\x1f", strict=True)
    before = csv.field_size_limit(_FIELD_LIMIT)
    try:
        while True:
            start = reader.line_num + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            if fields and (len(fields) > 1 or fields[0].strip() or not delimiter):
                yield start + skipped, fields
    except csv.Error as problem:
        raise error(
            f"{path!r}, line {start + skipped}: {problem}. Look for a quotation mark that is not closed"
        ) from None
    finally:
        csv.field_size_limit(before)


def _checked(
    rows: Iterator[tuple[int, list[str]]], header: tuple[str, ...], delimiter: str, path: str, error: type[MixedVCError]
) -> Iterator[tuple[int, list[str]]]:
    expected = None
    for number, fields in rows:
        if expected is None:  # R's write.table leaves the name of the row-name column out
            expected = len(header) + 1 if len(fields) == len(header) + 1 else len(header)
        if len(fields) != expected:
            raise error(
                f"{path!r}, line {number}: {_count(len(fields))}, expected {expected} as in the lines before "
                f"(separated by {_SHOWN[delimiter]}): {_excerpt(fields)}"
            )
        yield number, fields


def _count(n: int) -> str:
    return "1 field" if n == 1 else f"{n} fields"


def _excerpt(fields: list[str], width: int = 60) -> str:
    text = ", ".join(fields)
    return repr(text if len(text) <= width else text[:width] + "…")
