"""Saved models: `save` writes any registered kind of results into one file, `load` makes them again."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from ..errors import OptionError, StoredModelError
from ..registry import Registry
from .archive import read_archive, write_archive
from .npy import Array
from .packing import Packer

IN_FOLDER = "model.mvc"  # the file of a folder that holds the model, where arrays stand beside it


class StoredKind(Protocol):
    """How one kind of results becomes plain values and comes back."""

    def handles(self, results: Any) -> bool:
        """True for the results this kind stores."""
        ...

    def pack(self, results: Any, packer: Packer) -> dict[str, Any]:
        """JSON-able content; arrays go to `packer`."""
        ...

    def unpack(self, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
        """The results from what `pack` wrote."""
        ...


stored_kinds: Registry[StoredKind] = Registry("kind of stored results", "mixedvc.stored_kinds")


def save(results: Any, path: str | PathLike[str]) -> Path:
    """Write results to one file: a zip of a JSON manifest and npy arrays, without pickle.

    The file holds the formula and all options, the columns of the data that the formula uses, the known covariances,
    the estimator and its estimate, with a checksum for every member.  It is written beside `path` and moved there when
    it is whole: a full disk leaves the old file as it was.

    Parameters
    ----------
    results : PointResults
    path : str or Path
        Usually ends in ``.mvc``; an existing file is replaced.

    Returns
    -------
    Path
        Where the file is.

    Raises
    ------
    StoredModelError
        A value that only pickle could store (it is named), or a place that cannot be written.
    """
    for name in stored_kinds.names():
        kind = stored_kinds.get(name)
        if kind.handles(results):
            packer = Packer()
            content = {"kind": name, "results": kind.pack(results, packer)}
            return write_archive(Path(path), content, packer.arrays)
    raise OptionError(f"save takes the results of a fit, not {type(results).__name__}")


def load(path: str | PathLike[str]) -> Any:
    """Read results written by `save`; nothing in the file is executed.

    The model is bound again from the stored data and options, and the stored estimate put on it: no estimator runs, and
    the log-likelihood and components are the stored ones to the last bit.

    Parameters
    ----------
    path : str or Path
        The file, or a folder of draws (``store=`` of method "gibbs"), also one whose run ended in a crash.

    Returns
    -------
    PointResults

    Raises
    ------
    StoredModelError
        No such file; not one of ours; from a later version; truncated or altered.
    """
    place = Path(path).expanduser()
    manifest, arrays = read_archive(place / IN_FOLDER if place.is_dir() and (place / IN_FOLDER).is_file() else place)
    content = manifest.get("content")
    if not isinstance(content, dict) or not {"kind", "results"} <= content.keys():
        raise StoredModelError(f"{str(path)!r} holds no results: it is altered, or from another version of mixedvc")
    if content["kind"] not in stored_kinds.names():
        raise StoredModelError(
            f"{str(path)!r} holds results of the kind {content['kind']!r}, which this version does not know; it reads "
            f"{', '.join(map(repr, stored_kinds.names()))}. Upgrade mixedvc, or install the package that wrote it"
        )
    inside = content["results"]
    if place.is_dir() and isinstance(inside, dict):
        inside = {**inside, "folder": str(place.resolve())}
    try:
        return stored_kinds.get(content["kind"]).unpack(inside, arrays)
    except StoredModelError as error:
        raise StoredModelError(f"{str(path)!r}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        writer = manifest.get("written_by")
        raise StoredModelError(
            f"{str(path)!r} cannot be made into results ({type(error).__name__}: {error}); it was written with {writer}"
        ) from error
