"""A model file: a zip of one JSON manifest and plain npy arrays, checked byte for byte before anything is believed.

Layout, format version 1: member ``manifest.json`` (format, version, writer, ``arrays`` with size and SHA-256 of every
array member, ``content``) and members ``arrays/<name>.npy``; all stored uncompressed, so that no member can be larger
than the file; the zip comment holds the SHA-256 of the manifest.  Checksums find damage, they are not a signature.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..errors import StoredModelError
from . import npy
from .atomic import write_whole

FORMAT = "mixedvc model"
VERSION = 1
MANIFEST = "manifest.json"
_MEMBER = re.compile(r"arrays/(a\d{1,9})\.npy")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # no clock in the file: equal models give equal bytes
_NOTHING = "nothing was loaded"


def write_archive(path: str | Path, content: Any, arrays: Mapping[str, npy.Array]) -> Path:
    """Write a model file in one step: either the whole file stands at `path`, or what stood there before.

    Parameters
    ----------
    path : str or Path
    content : JSON-able
    arrays : mapping of str to array
        Plain numbers; names as `packing.Packer` gives them.

    Returns
    -------
    Path
        Where the file is.

    Raises
    ------
    StoredModelError
        The folder does not exist, is read-only or full.
    """
    return write_whole(path, lambda stream: _write(stream, content, arrays), StoredModelError)


def _write(stream: Any, content: Any, arrays: Mapping[str, npy.Array]) -> None:
    listed = {}
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            data = npy.dumps(array)
            listed[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            archive.writestr(zipfile.ZipInfo(f"arrays/{name}.npy", _EPOCH), data)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "written_by": versions(),
            "arrays": listed,
            "content": content,
        }
        data = json.dumps(manifest, allow_nan=False, separators=(",", ":")).encode()
        archive.writestr(zipfile.ZipInfo(MANIFEST, _EPOCH), data)
        archive.comment = b"sha256:" + hashlib.sha256(data).hexdigest().encode()


def versions() -> dict[str, str]:
    """Versions of the packages whose arithmetic is behind a fit."""
    found = {}
    for package in ("mixedvc", "numpy", "scipy", "pandas", "formulaic"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def read_archive(path: str | Path) -> tuple[dict[str, Any], dict[str, npy.Array]]:
    """The manifest and the arrays of a model file.

    Raises
    ------
    StoredModelError
        No such file; not a model file; from a later version; truncated or altered (the member is named); a member
        that would need pickle, is compressed, has a name that we do not write or a header that lies about its size.
    """
    place = Path(path).expanduser()
    try:
        size = place.stat().st_size
        with place.open("rb") as stream:
            start = stream.read(4)
            if start != b"PK\x03\x04":
                raise StoredModelError(f"{str(path)!r} is not a model saved by mixedvc (it is no zip archive)")
            with zipfile.ZipFile(stream) as archive:
                return _read(archive, size, str(path))
    except FileNotFoundError:
        raise StoredModelError(f"there is no file {str(path)!r}") from None
    except IsADirectoryError:
        raise StoredModelError(f"{str(path)!r} is a folder, not a saved model") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, UnicodeDecodeError) as error:
        raise StoredModelError(f"{str(path)!r} is truncated or altered ({error}): {_NOTHING}") from error


def _read(archive: zipfile.ZipFile, size: int, path: str) -> tuple[dict[str, Any], dict[str, npy.Array]]:
    members = archive.infolist()
    _check_members(members, size, path)
    manifest = _manifest(archive, path)
    found = {match[1]: member for member in members if (match := _MEMBER.fullmatch(member.filename))}
    listed = _listed(manifest, path)
    if found.keys() != listed.keys():
        odd = ", ".join(sorted(found.keys() ^ listed.keys()))
        raise StoredModelError(f"{path!r} is altered: its arrays are not those its manifest lists ({odd}): {_NOTHING}")
    return manifest, {name: _array(archive, found[name], listed[name], path) for name in found}


def _check_members(members: list[zipfile.ZipInfo], size: int, path: str) -> None:
    seen = set()
    for member in members:
        name = member.filename
        if name != MANIFEST and not _MEMBER.fullmatch(name):
            raise StoredModelError(f"{path!r} is not a model saved by mixedvc, or altered: it holds {name!r}")
        if name in seen:
            raise StoredModelError(f"{path!r} is altered: {name!r} stands in it twice: {_NOTHING}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise StoredModelError(f"{path!r} is altered: {name!r} is compressed, which mixedvc never does: {_NOTHING}")
        seen.add(name)
    if MANIFEST not in seen:
        raise StoredModelError(f"{path!r} is a zip archive, but not a model saved by mixedvc: no {MANIFEST!r} in it")
    announced = sum(member.file_size for member in members)
    if announced > size:
        raise StoredModelError(
            f"{path!r} is altered: its members announce {announced} bytes, the file has {size}: {_NOTHING}"
        )


def _manifest(archive: zipfile.ZipFile, path: str) -> dict[str, Any]:
    data = archive.read(MANIFEST)
    try:
        manifest = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise StoredModelError(f"{path!r}: {MANIFEST!r} is altered ({type(error).__name__}): {_NOTHING}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise StoredModelError(f"{path!r} is a zip archive, but not a model saved by mixedvc")
    _check_version(manifest, path)
    if archive.comment != b"sha256:" + hashlib.sha256(data).hexdigest().encode():
        raise StoredModelError(f"{path!r}: the checksum of {MANIFEST!r} does not match, it was altered: {_NOTHING}")
    return manifest


def _listed(manifest: dict[str, Any], path: str) -> dict[str, dict[str, Any]]:
    listed = manifest.get("arrays")
    if not isinstance(listed, dict) or not all(isinstance(entry, dict) for entry in listed.values()):
        raise StoredModelError(f"{path!r}: {MANIFEST!r} is altered, it lists no arrays: {_NOTHING}")
    return listed


def _check_version(manifest: dict[str, Any], path: str) -> None:
    found = manifest.get("version")
    if type(found) is int and 1 <= found <= VERSION:
        return
    writer = manifest.get("written_by")
    by = f"mixedvc {writer.get('mixedvc')}" if isinstance(writer, dict) else "another mixedvc"
    raise StoredModelError(
        f"{path!r} was written by {by} in format version {found!r}; this is mixedvc {versions()['mixedvc']}, which "
        f"reads versions up to {VERSION}. Upgrade with: pip install --upgrade mixedvc"
    )


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, listed: dict[str, Any], path: str) -> npy.Array:
    data = archive.read(member)
    if len(data) != listed.get("bytes") or hashlib.sha256(data).hexdigest() != listed.get("sha256"):
        raise StoredModelError(
            f"{path!r}: the checksum of {member.filename!r} does not match, it was altered: {_NOTHING}"
        )
    try:
        return npy.loads(data)
    except npy.BadArray as error:
        raise StoredModelError(f"{path!r}: {member.filename!r} is not acceptable: {error}") from None
