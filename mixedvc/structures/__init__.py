"""Unknown covariance among a term's effects: us, diag, cs, ar1, fa, rr."""

from __future__ import annotations

import inspect
from typing import Any

from ..errors import StructureError
from . import factors, patterned, us  # noqa: F401  (registers)
from .base import Structure, structures

__all__ = ["Structure", "make", "structures"]


def make(name: str, k: int, options: tuple[tuple[str, Any], ...] = ()) -> Structure:
    """The structure called `name` for k effects; unknown options are refused by name."""
    cls = structures.get(name)
    known = [p for p in inspect.signature(cls).parameters if p != "k"]
    for key, value in options:
        if key not in known:
            raise StructureError(f"{name}() has no option {key!r}; it knows: {', '.join(known) or 'none'}")
        if key == "hom" and not isinstance(value, bool):
            raise StructureError(f"{name}(…, hom={value!r}): hom is True or False")
    return cls(k, **dict(options))
