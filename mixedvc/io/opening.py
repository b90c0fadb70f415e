"""Opening a file by its content: compression and encoding are recognised by the first bytes, never by the name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from ..errors import DataError

_READ_ERRORS = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def existing(path: str | Path) -> Path:
    """The path of a readable, non-empty file; otherwise a DataError that says what is there instead."""
    found = Path(path).expanduser()
    if found.is_dir():
        raise DataError(f"{str(path)!r} is a folder, not a file")
    if not found.exists():
        raise DataError(f"there is no file {str(path)!r}{_similar(found)}")
    if found.is_file() and found.stat().st_size == 0:
        raise DataError(f"the file {str(path)!r} is empty (0 bytes)")
    return found


def _similar(path: Path) -> str:
    import difflib

    folder = path.parent
    if not folder.is_dir():
        return f": the folder {str(folder)!r} does not exist"
    near = difflib.get_close_matches(path.name, [p.name for p in folder.iterdir()], n=2)
    return f"; did you mean {' or '.join(repr(str(folder / name)) for name in near)}?" if near else ""


def magic(path: Path, size: int = 8) -> bytes:
    """The first bytes of a file."""
    try:
        with path.open("rb") as stream:
            return stream.read(size)
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror}") from error


def open_bytes(path: Path) -> Any:
    """A binary stream, decompressed where the file is gzip, bzip2 or xz."""
    first = magic(path)
    if first.startswith(b"\x1f\x8b"):
        return gzip.open(path, "rb")
    if first.startswith(b"BZh"):
        return bz2.open(path, "rb")
    if first.startswith(b"\xfd7zXZ\x00"):
        return lzma.open(path, "rb")
    return path.open("rb")


@contextmanager
def open_text(path: Path) -> Iterator[TextIO]:
    """A text stream (UTF-8 with or without a mark, UTF-16 with one); failures while reading name the file."""
    try:
        with open_bytes(path) as raw:
            mark = raw.read(4)
            raw.seek(0)
            encoding = "utf-16" if mark[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            with io.TextIOWrapper(raw, encoding=encoding, newline="") as text:
                yield text
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} is not text in UTF-8: byte {error.object[error.start]:#04x} cannot be read. "
            "If it is text in another encoding, save it as UTF-8"
        ) from error
    except _READ_ERRORS as error:
        raise DataError(f"{str(path)!r} is compressed, but truncated or damaged ({error})") from error
    except OSError as error:
        raise DataError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
