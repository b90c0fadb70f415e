"""Writing a file in one step: it is whole, or what stood there before is unchanged."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ..errors import MixedVCError


def write_whole(path: str | Path, write: Callable[[BinaryIO], None], error: type[MixedVCError]) -> Path:
    """Let `write` fill a temporary file beside `path`, then move it there.

    Parameters
    ----------
    path : str or Path
        A link is followed: the file it points to is replaced.
    write : callable
        Gets a binary stream.
    error : type
        Of the errors raised.

    Returns
    -------
    Path
        Where the file is.

    Raises
    ------
    `error`
        `path` is a folder, its folder does not exist, is read-only or full.
    """
    target = Path(os.path.realpath(Path(path).expanduser()))
    if target.is_dir():
        raise error(f"cannot write {str(path)!r}: it is a folder; add a file name")
    if not target.parent.is_dir():
        raise error(f"cannot write {str(path)!r}: the folder {str(target.parent)!r} does not exist")
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".mixedvc-", suffix=".tmp", dir=target.parent)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except OSError as problem:
        kept = "; the file that was there is unchanged" if target.exists() else ""
        raise error(f"cannot write {str(path)!r}: {problem.strerror or problem}{kept}") from problem
    finally:
        if temporary is not None:
            with suppress(OSError):
                os.unlink(temporary)
    return target


def _mode(target: Path) -> int:
    """Permissions of the file replaced, else those a new file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
