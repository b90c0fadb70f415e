"""Draws on disk while they are made: one npy file an array, mapped into memory, and a note of how far the chains are.

    par.npy, theta.npy, beta.npy, lp.npy, loglik.npy    (rows, C, …), row d of chain c at [d, c]
    effects-0.npy, effects-1.npy, …                     (rows, C, q, k), where random effects are kept
    chains.mvc                                          plan, states, rows that count; replaced whole
    model.mvc                                           what `mixedvc.load` needs beside them

Rows come first, so that a file grows at its end.  Space is taken before sampling; what `chains.mvc` does not count was
being written when the process ended, and is written again by whoever goes on.  Headers are compared with the size of
the file and with what `chains.mvc` says before anything is mapped; nothing is unpickled.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import OptionError, StoredModelError
from ..io.archive import read_archive, write_archive
from ..io.packing import Packer, unpack
from .base import ROWS, Draws, Piece, piece_of
from .chains import At
from .plans import pack_plan, unpack_plan

Float = NDArray[np.float64]
CHAINS, MODEL = "chains.mvc", "model.mvc"
_EVERY = 5.0  # seconds between two notes
_HEADER = 128  # bytes: room for any number of rows
_DTYPE = np.dtype("<f8")


class Folder:
    """Kept rows in a folder: a sink of `chains`.

    Parameters
    ----------
    path : Path
    facts : mapping
        Seed, burn-in, thin and plan: what is the same during the run.
    widths : mapping of str to tuple
        Shape of one row of each array.
    chains : int
    """

    def __init__(self, path: Path, facts: Mapping[str, Any], widths: Mapping[str, tuple[int, ...]], chains: int):
        self._path, self._facts, self._widths, self._chains = path, dict(facts), dict(widths), chains
        self.folder: str | None = str(path)
        self._maps: dict[str, Float] = {}
        self._noted, self._asked = time.monotonic(), 0

    def reserve(self, rows: int) -> None:
        """So many rows were asked for: there is room for them, or an error."""
        self._asked = rows
        self._grow(rows)

    def _grow(self, rows: int) -> None:
        """Make room for `rows` rows of every chain; files that have more stay as they are.

        Raises
        ------
        StoredModelError
            The disk has no room for them, or the folder cannot be written.
        """
        self._check_room(rows)
        self._maps = {}
        try:
            for name, width in self._widths.items():
                _resize(self._path / f"{name}.npy", rows, (self._chains, *width))
        except OSError as error:
            raise StoredModelError(f"store={str(self._path)!r}: {error.strerror or error}") from error
        self._maps = {name: _mapped(self._path / f"{name}.npy", self._shape(name), "r+") for name in self._widths}

    def _shape(self, name: str) -> tuple[int, ...]:
        return (self._chains, *self._widths[name])

    def _check_room(self, rows: int) -> None:
        files = [self._path / f"{name}.npy" for name in self._widths]
        there = sum(file.stat().st_size for file in files if file.exists())
        wanted = sum(8 * rows * math.prod(self._shape(name)) for name in self._widths) - there
        free = shutil.disk_usage(self._path).free
        if wanted > free:
            raise StoredModelError(
                f"store={str(self._path)!r}: {rows:,} draws of {self._chains} chains need {wanted / 2**30:.1f} GiB "
                f"more, and the disk has {free / 2**30:.1f} GiB; leave save_random out (effects can be drawn later), "
                "or thin"
            )

    def put(self, chain: int, row: int, piece: Piece) -> None:
        rows = slice(row, row + len(piece))
        if rows.stop > len(self._maps["lp"]):  # a block may reach beyond what was asked for
            self._grow(rows.stop)
        for name in ROWS:
            self._maps[name][rows, chain] = getattr(piece, name)
        for i, u in enumerate(piece.effects or ()):
            self._maps[f"effects-{i}"][rows, chain] = u

    def safe(self, at: list[At]) -> None:
        if time.monotonic() - self._noted > _EVERY:
            self.note(at)

    def note(self, at: list[At]) -> None:
        """Everything so far is on disk, then `chains.mvc` says so."""
        for mapped in self._maps.values():
            mapped.flush()  # type: ignore[attr-defined]
        packer = Packer()
        chains = [
            {"blocks": a.blocks, "kept": a.kept, "state": dict(a.state or {}), "facts": dict(a.facts)} for a in at
        ]
        said = {name: value for name, value in self._facts.items() if name != "plan"}
        packed = {
            "rows": packer.pack({"widths": self._widths, "asked": self._asked, "chains": chains, **said}, "the chains"),
            "plan": pack_plan(self._facts["plan"], packer),
        }
        write_archive(self._path / CHAINS, {"kind": "chains", "results": packed}, packer.arrays)
        self._noted = time.monotonic()

    def finish(self, at: list[At]) -> None:
        """No more rows come: files end with the last row that counts."""
        self.note(at)
        self._maps = {}
        for name in self._widths:
            _resize(self._path / f"{name}.npy", max(a.kept for a in at), self._shape(name), shrink=True)

    def take(self, count: int, kept: list[int]) -> tuple[dict[str, Float], tuple[Float, ...] | None, list[Piece]]:
        return read_rows(self._path, self._widths, self._chains, count, kept)


def read_rows(
    path: Path, widths: Mapping[str, tuple[int, ...]], chains: int, count: int, kept: list[int]
) -> tuple[dict[str, Float], tuple[Float, ...] | None, list[Piece]]:
    """Arrays (C, count, …) by name, effects mapped into memory, and what each chain has beyond `count`."""
    whole = {
        name: _mapped(path / f"{name}.npy", (chains, *width), "r", max(kept)).swapaxes(0, 1)
        for name, width in widths.items()
    }
    rows = {name: np.ascontiguousarray(whole[name][:, :count]) for name in ROWS}
    names = [f"effects-{i}" for i in range(len(widths) - len(ROWS))]
    effects = tuple(whole[name][:, :count] for name in names) if names else None
    surplus = []
    for c, n in enumerate(kept):
        own = {name: np.array(whole[name][c, count:n]) for name in ROWS}
        surplus.append(piece_of(own, tuple(whole[name][c, count:n] for name in names) if names else None))
    return rows, effects, surplus


def new_folder(given: Any) -> Path:
    """The folder `store` names, made where it is not there.

    Raises
    ------
    OptionError
        No path, a file, or a folder that holds something.
    StoredModelError
        A place that cannot be written.
    """
    path = Path(given).expanduser().resolve()
    if path.exists() and not path.is_dir():
        raise OptionError(f"store={str(given)!r} is a file: name a new or empty folder")
    if path.is_dir() and any(path.iterdir()):
        there = "a fit, which mixedvc.load opens and fit.extend goes on with" if (path / MODEL).exists() else "files"
        raise OptionError(f"store={str(given)!r} holds {there} already: name a new or empty folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoredModelError(f"store={str(given)!r}: {error.strerror or error}") from error
    return path


def read_chains(path: Path) -> Draws:
    """The draws that every chain in a folder has reached.

    Raises
    ------
    StoredModelError
        A folder without draws; a file that is missing, truncated, altered, or not what it says.
    """
    if not (path / CHAINS).is_file():
        raise StoredModelError(f"{str(path)!r} holds no draws: the run ended before the first were safe")
    manifest, arrays = read_archive(path / CHAINS)
    content = manifest["content"]
    if not isinstance(content, dict) or content.get("kind") != "chains":
        raise StoredModelError(f"{str(path / CHAINS)!r} does not describe chains")
    said = unpack(content["results"]["rows"], arrays)
    at, widths = said["chains"], said["widths"]
    kept = [int(a["kept"]) for a in at]
    if not at or min(kept) < 1:
        raise StoredModelError(f"{str(path)!r} holds no draws: the run ended before every chain had one")
    _check_widths(path, widths)
    rows, effects, surplus = read_rows(path, widths, len(at), min(int(said["asked"]), *kept), kept)
    names = list(dict.fromkeys(name for a in at for name in a["facts"]))
    kinds: dict[str, Any] = dict(rows)
    return Draws(
        **kinds,
        effects=effects,
        seed=int(said["seed"]),
        burnin=int(said["burnin"]),
        thin=int(said["thin"]),
        plan=unpack_plan(content["results"]["plan"], arrays),
        states=tuple(a["state"] for a in at),
        surplus=tuple(surplus),
        blocks=tuple(int(a["blocks"]) for a in at),
        facts={name: np.array([a["facts"].get(name, 0.0) for a in at]) for name in names},
        interrupted=min(kept) < int(said["asked"]),
        folder=str(path),
    )


def _check_widths(path: Path, widths: Mapping[str, Any]) -> None:
    names = [*ROWS, *(f"effects-{i}" for i in range(len(widths) - len(ROWS)))]
    whole = all(isinstance(n, int) and n >= 0 for width in widths.values() for n in width)
    if sorted(widths) != sorted(names) or not whole:
        raise StoredModelError(f"{str(path / CHAINS)!r} is altered: it describes other arrays than those of a sampler")


def _resize(file: Path, rows: int, width: tuple[int, ...], shrink: bool = False) -> None:
    """Give a file the header and the size of `rows` rows; a new one is made."""
    row = 8 * math.prod(width)
    with file.open("r+b" if file.exists() else "w+b") as stream:
        size = os.fstat(stream.fileno()).st_size
        there = (size - _HEADER) // row if row and size >= _HEADER else 0
        rows = rows if shrink else max(rows, there)
        stream.truncate(_HEADER + rows * row)
        if rows > there and hasattr(os, "posix_fallocate"):  # a full disk is an error here, not a crash later
            os.posix_fallocate(stream.fileno(), _HEADER, rows * row)
        stream.seek(0)
        stream.write(_header((rows, *width)))


def _header(shape: tuple[int, ...]) -> bytes:
    """The first 128 bytes of an npy file of doubles."""
    text = repr({"descr": _DTYPE.str, "fortran_order": False, "shape": shape}).encode()
    start = npy.magic(1, 0)
    room = _HEADER - len(start) - 2
    return start + room.to_bytes(2, "little") + text.ljust(room - 1) + b"\n"


def _mapped(file: Path, width: tuple[int, ...], mode: Any, least: int = 0) -> Float:
    """A file as an array (rows, …), its header compared with its size and with the shape of a row.

    Raises
    ------
    StoredModelError
        No such file, or one that is not what it should be.
    """
    try:
        with file.open("rb") as stream:
            rows = _rows(stream, file, width)
    except FileNotFoundError:
        raise StoredModelError(f"there is no file {str(file)!r}: the folder is not whole") from None
    except OSError as error:
        raise StoredModelError(f"{str(file)!r} cannot be read: {error.strerror or error}") from error
    if rows < least:
        raise StoredModelError(f"{str(file)!r} is truncated: it has {rows:,} rows, {least:,} were written")
    if rows * math.prod(width) == 0:  # nothing to map
        return np.zeros((rows, *width))
    return np.memmap(file, dtype=_DTYPE, mode=mode, offset=_HEADER, shape=(rows, *width))


def _rows(stream: BinaryIO, file: Path, width: tuple[int, ...]) -> int:
    size = os.fstat(stream.fileno()).st_size
    try:
        if npy.read_magic(stream) != (1, 0):
            raise ValueError("another version of the format")
        shape, fortran, dtype = npy.read_array_header_1_0(stream)
    except (ValueError, SyntaxError, TypeError, EOFError) as error:
        raise StoredModelError(f"{str(file)!r} is not an array of draws: its header cannot be read ({error})") from None
    if dtype != _DTYPE or fortran or shape[1:] != width or stream.tell() != _HEADER:
        raise StoredModelError(
            f"{str(file)!r} is not the array it should be: {shape} of {dtype}, rows of {width} of {_DTYPE} are expected"
        )
    if shape[0] < 0 or size != _HEADER + 8 * math.prod(shape):
        raise StoredModelError(
            f"{str(file)!r} is truncated or altered: its header announces {math.prod(shape) * 8:,} bytes of numbers, "
            f"{size - _HEADER:,} are there"
        )
    return int(shape[0])
