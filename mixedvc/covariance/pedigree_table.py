"""A pedigree from a table with one row an animal: any order, unknown parents, duplicates, loops."""

from __future__ import annotations

import difflib
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import PedigreeError
from .base import Positions
from .checks import warn
from .inbreeding import generations
from .labels import Labels, is_missing, named, objects
from .pedigree import Pedigree

UNKNOWN = ("", "0", "NA", "NaN", "nan", "<NA>", "None", ".", "*")  # texts that mean an unknown parent


def pedigree(table: Any, *, id: Any = "id", sire: Any = "sire", dam: Any = "dam") -> Pedigree:
    """The additive relationship matrix of the animals in a table.

    Rows may stand in any order.  Parents that are not rows themselves are added as founders, with a warning that
    lists them; rows that repeat are merged.

    Parameters
    ----------
    table : data frame or mapping of columns
        pandas, polars, pyarrow, or a dict of lists.
    id, sire, dam : hashable
        Names of the columns.  Unknown parents are missing values, 0, ``""``, ``"0"``, ``"NA"``, ``"."`` or ``"*"``.

    Returns
    -------
    Pedigree
        Labels are the animals, parents before offspring; the table's order where it has that already.

    Raises
    ------
    PedigreeError
        Where a column is absent, an id is missing, an id has two different pairs of parents, an animal is its own
        parent, or the pedigree runs in a loop.

    Warns
    -----
    CovarianceWarning
        Where parents were added as founders, or an id is both a sire and a dam (plants may be).

    Examples
    --------
    >>> A = pedigree({"id": ["x", "s", "d"], "sire": ["s", 0, 0], "dam": ["d", "", None]})
    >>> list(A.labels)
    ['s', 'd', 'x']
    """
    ids, sires, dams = (_column(table, name, role) for name, role in ((id, "id"), (sire, "sire"), (dam, "dam")))
    _refuse_missing(ids, id)
    _refuse_mixed(ids, sires + dams, id)
    animals, sires, dams = _merged(ids, sires, dams)
    _refuse_own_parent(animals, sires, dams)
    added = _absent(animals, sires + dams)
    if added:
        warn(f"{len(added)} parent(s) without a row of their own were added as founders: {named(added)}")
    index = Labels(objects(added + animals), "the pedigree")
    none: list[Any] = [None] * len(added)
    return _sorted(index, _places(index, none + sires), _places(index, none + dams))


def _column(table: Any, name: Any, role: str) -> list[Any]:
    try:
        column = table[name]
    except _absent_column():
        # pyarrow's `columns` are the arrays themselves, its `column_names` the names
        found = getattr(table, "column_names", None)
        names = [str(c) for c in (found if found is not None else getattr(table, "columns", table))]
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise PedigreeError(
            f"the pedigree has no column {name!r}: {hint}Its columns are {', '.join(map(repr, names))}; "
            f"say {role}= which one holds the {role}"
        ) from None
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def _absent_column() -> tuple[type[Exception], ...]:
    """What tables raise for an absent column; polars has an exception of its own."""
    import sys

    polars = sys.modules.get("polars")
    ours = (KeyError, IndexError, TypeError, ValueError)
    return (*ours, polars.exceptions.ColumnNotFoundError) if polars else ours


def _unknown(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip() in UNKNOWN
    return is_missing(value) or (isinstance(value, numbers.Number) and value == 0)


def _refuse_missing(ids: Sequence[Any], name: Any) -> None:
    if not ids:
        raise PedigreeError("the pedigree is empty: it has no rows")
    bad = [i for i, value in enumerate(ids) if _unknown(value)]
    if bad:
        raise PedigreeError(
            f"column {name!r} of the pedigree has no id in {len(bad)} row(s), the first is row {bad[0]} "
            f"({ids[bad[0]]!r}): every animal needs an id that is not a code for an unknown parent"
        )


def _refuse_mixed(ids: Sequence[Any], parents: Sequence[Any], name: Any) -> None:
    """Text and numbers never match by accident: '7' is not 7."""
    text_ids = {isinstance(value, str) for value in ids}
    text_parents = {isinstance(value, str) for value in parents if not _unknown(value)}
    if len(text_ids | text_parents) < 2:
        return
    texts = [v for v in [*ids, *parents] if isinstance(v, str) and not _unknown(v)]
    others = [v for v in [*ids, *parents] if not isinstance(v, str) and not _unknown(v)]
    raise PedigreeError(
        f"the pedigree mixes text and numbers in its ids, e.g. {texts[0]!r} and {others[0]!r}: convert column {name!r} "
        "and both parents to one type first"
    )


def _merged(ids: list[Any], sires: list[Any], dams: list[Any]) -> tuple[list[Any], list[Any], list[Any]]:
    """One row an animal, whole numbers as int, unknown parents as None."""
    seen: dict[Any, tuple[Any, Any, int]] = {}
    for row, (animal, s, d) in enumerate(zip(ids, sires, dams, strict=True)):
        parents = (None if _unknown(s) else _whole(s), None if _unknown(d) else _whole(d))
        before = seen.setdefault(_whole(animal), (*parents, row))
        if before[:2] != parents:
            raise PedigreeError(
                f"{animal!r} has two different pairs of parents: {_shown(before[:2])} in row {before[2]} and "
                f"{_shown(parents)} in row {row}. Keep the right one"
            )
    return list(seen), [entry[0] for entry in seen.values()], [entry[1] for entry in seen.values()]


def _whole(value: Any) -> Any:
    """3.0 as 3: parents become floats where a column has gaps."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shown(parents: tuple[Any, Any]) -> str:
    return " × ".join("unknown" if parent is None else repr(parent) for parent in parents)


def _refuse_own_parent(animals: list[Any], sires: list[Any], dams: list[Any]) -> None:
    own = [a for a, s, d in zip(animals, sires, dams, strict=True) if a in (s, d)]
    if own:
        raise PedigreeError(f"{named(own)} stand as their own parent: correct the sire or dam")
    roles = set(sires) & set(dams) - {None}
    if roles:
        both = [a for a in dict.fromkeys(sires) if a in roles]
        warn(f"{len(both)} id(s) are both a sire and a dam: {named(both)}. Right for plants, an error for animals")


def _absent(animals: list[Any], parents: list[Any]) -> list[Any]:
    known = set(animals) | {None}
    return [parent for parent in dict.fromkeys(parents) if parent not in known]


def _places(index: Labels, parents: list[Any]) -> Positions:
    get = index.where.get
    return np.fromiter((-1 if parent is None else get(parent, -1) for parent in parents), np.intp, len(parents))


def _sorted(index: Labels, sire: Positions, dam: Positions) -> Pedigree:
    """Parents before offspring; the order given where it is so already."""
    level, looped = generations(sire, dam)
    if len(looped):
        raise PedigreeError(_loop(index, sire, dam, looped))
    n = len(index)
    if np.all(np.maximum(sire, dam) < np.arange(n)):
        return Pedigree(index, sire, dam)  # type: ignore[arg-type]
    order = np.argsort(level, kind="stable")
    rank = np.full(n + 1, -1, dtype=np.intp)
    rank[order] = np.arange(n)
    return Pedigree(index.take(order), rank[sire[order]], rank[dam[order]])  # type: ignore[arg-type]


def _loop(index: Labels, sire: Positions, dam: Positions, looped: Positions) -> str:
    """Walk up through animals that never became ready until one comes back."""
    stuck = set(looped.tolist())
    path, at = [int(looped[0])], {int(looped[0]): 0}
    while True:
        parent = next(int(p) for p in (sire[path[-1]], dam[path[-1]]) if int(p) in stuck)
        if parent in at:
            break
        at[parent] = len(path)
        path.append(parent)
    cycle = [*path[at[parent] :], parent]
    shown = [repr(index.values[i]) for i in cycle]
    if len(shown) > 12:
        shown = [*shown[:6], f"… {len(shown) - 12} more …", *shown[-6:]]
    return (
        f"the pedigree runs in a loop of {len(cycle) - 1} animals, each a child of the next: {' ← '.join(shown)}. "
        "No animal is its own ancestor: correct one of these parents"
    )
