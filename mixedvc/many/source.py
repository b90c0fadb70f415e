"""The right-hand side and its data, bound on the rows that responses have; responses grouped by those rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.bind import bind
from ..design.frames import column_names, frame_of, row_labels
from ..design.many import Many
from ..design.rows import check_response
from ..design.spec import ModelSpec
from ..errors import BoundaryWarning, MixedVCError, MixedVCWarning, OptionError
from ..formula.parse import parse
from ..io.covariance_files import with_files
from ..structures import structures

Float = NDArray[np.float64]
Index = NDArray[np.intp]
CELLS = 5e6  # of responses that are looked through at a time


@dataclass(frozen=True)
class Source:
    """The right-hand side and its data, to be bound on the rows that responses have.

    Attributes
    ----------
    name : str
        Of the response in formulas that are bound.
    at : (n,) intp
        Rows of the data that any response and all covariates have.
    """

    many: Many
    right: str
    data: Any
    binding: Mapping[str, Any]
    name: str
    index: Any
    at: Index

    @classmethod
    def of(cls, many: Many, formula: Any, data: Any, binding: dict[str, Any], responses: Any) -> Source:
        """Bind once on all rows, so that what is wrong with the model is said at once."""
        right = _right_hand_side(formula)
        name = "response"
        while name in column_names(data):
            name += "_"
        if isinstance(responses, Sequence) and parse(f"{name} ~ {right}", structures.names()).has_dot:
            data = frame_of(data, [column for column in column_names(data) if column not in many.names])
        index = frame_of(data, []).index if hasattr(data, "index") else None
        n = len(frame_of(data))
        text = f"{name} ~ {right}"
        made = cls(
            many, right, data, {**binding, "cov": with_files(text, data, binding["cov"])}, name, index, np.arange(n)
        )
        first = made.bound(_rows_of_any(many, n), quiet=False)
        prepared = {**made.binding, "cov": dict(first.source.covariances) or None}
        kept = np.setdiff1d(np.arange(n), first.dropped.rows)
        return replace(made, binding=prepared, at=kept)

    def bound(self, rows: Index, *, quiet: bool = True) -> ModelSpec:
        """The specification of some rows of the data, its response a stand-in."""
        stand_in = np.full(self.count, np.nan)
        stand_in[rows] = np.sin(1.0 + 12.9898 * rows) * 43.0  # of no structure
        return self._bind(self.name, stand_in, quiet)

    @property
    def count(self) -> int:
        """Rows of the data."""
        return len(frame_of(self.data)) if self.index is None else len(self.index)

    def named(self, j: int) -> ModelSpec:
        """The specification of one response, as `mixedvc.model` makes it."""
        name = self.many.names[j]
        plain = name and not set(name) & set("`\n\\")
        return self._bind(name if plain else self.name, self.many.column(j), quiet=False)

    def _bind(self, name: str, y: Float, quiet: bool) -> ModelSpec:
        with warnings.catch_warnings():
            if quiet:
                warnings.simplefilter("ignore", MixedVCWarning)
            else:
                warnings.simplefilter("ignore", BoundaryWarning)
            return bind(f"`{name}` ~ {self.right}", self.data, responses={name: y}, **self.binding)


def _right_hand_side(formula: Any) -> str:
    if not isinstance(formula, str):
        raise OptionError(f"the formula is text such as '~ x + (1 | g)', not a {type(formula).__name__}")
    left, tilde, right = formula.partition("~")
    if not tilde:
        left, right = "", formula
    if left.strip():
        raise OptionError(
            f"{formula!r} names a response; fit_each takes the right-hand side alone, '~ {right.strip()}', and the "
            "responses by themselves: their names in data, or a table"
        )
    return right.strip()


def _rows_of_any(many: Many, n: int) -> Index:
    """Rows of the data that at least one response has."""
    found = np.zeros(n, dtype=bool)
    for some in many.blocks(max(1, int(CELLS / max(n, 1)))):
        found |= ~np.isnan(many.block(some)).all(axis=1)
        if found.all():
            break
    return np.flatnonzero(found) if found.any() else np.arange(n)


@dataclass(frozen=True)
class Group:
    """Responses that have the same rows."""

    rows: Index  # of the data
    members: Index


def groups_of(source: Source) -> tuple[list[Group], dict[int, str]]:
    """Responses by the rows they have, and why some cannot be fitted, by position."""
    many, at = source.many, source.at
    labels = row_labels(frame_of(source.data))[at]
    errors: dict[int, str] = {}
    found: dict[bytes, list[int]] = {}
    for some in many.blocks(max(1, int(CELLS / max(len(at), 1)))):
        Y = many.block(some, at)
        holes = np.isnan(Y)
        low, high = np.fmin.reduce(Y, axis=0), np.fmax.reduce(Y, axis=0)
        odd = ~(np.isfinite(low) & np.isfinite(high)) | (low == high)
        for c in range(Y.shape[1]):
            j = some.start + c
            if odd[c]:
                errors[j] = _why(Y[:, c], many.names[j], labels)
            else:
                found.setdefault(np.packbits(holes[:, c]).tobytes(), []).append(j)
    groups = []
    for key, members in found.items():
        lacking = np.unpackbits(np.frombuffer(key, np.uint8), count=len(at)).astype(bool)
        groups.append(Group(at[~lacking], np.array(members, dtype=np.intp)))
    return groups, errors


def _why(y: Float, name: str, labels: NDArray[Any]) -> str:
    """Why a response cannot be fitted."""
    there = ~np.isnan(y)
    if not there.any():
        return f"the response {name} is missing in every row used"
    try:
        check_response(y[there][:, None], (name,), labels[there])
    except MixedVCError as error:
        return str(error)
    return f"the response {name} cannot be fitted"
