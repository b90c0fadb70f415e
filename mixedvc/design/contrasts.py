"""Factors to columns: contrast matrices as R makes them, and the tags that name their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError, OptionError
from .frames import listed

Float = NDArray[np.float64]
KINDS = ("treatment", "sum", "helmert", "poly")


@dataclass(frozen=True)
class Contrast:
    """How a factor is coded: a named kind, or a matrix of the user's.

    Attributes
    ----------
    kind : {"treatment", "sum", "helmert", "poly", "matrix"}
    base : object
        Reference of "treatment": a level, or its 1-based position if it is an int and no level; None: the first.
    matrix : (L, c) float or None
    tags : tuple of str
        Names of the columns of `matrix`.
    levels : tuple or None
        Levels that the rows of `matrix` belong to; None: the factor's own order.
    """

    kind: str
    base: Any = None
    matrix: Float | None = None
    tags: tuple[str, ...] = ()
    levels: tuple[Any, ...] | None = None


def as_contrast(value: Any, what: str) -> Contrast:
    """A contrast from its name (``"sum"``, ``"contr.sum"``), or a matrix with one row a level.

    Raises
    ------
    OptionError
        An unknown name; `what` says where it stood.
    """
    if isinstance(value, Contrast):
        return value
    if isinstance(value, str):
        kind = value.removeprefix("contr.").lower()
        if kind not in KINDS:
            raise OptionError(f"{what}: no contrast is called {value!r}. Choose {listed(KINDS)} or give a matrix")
        return Contrast(kind)
    if hasattr(value, "to_numpy") and hasattr(value, "columns"):
        return Contrast(
            "matrix", None, _matrix(value.to_numpy(), what), tuple(map(str, value.columns)), tuple(value.index)
        )
    matrix = _matrix(value, what)
    return Contrast("matrix", None, matrix, tuple(str(j + 1) for j in range(matrix.shape[1])))


def as_contrasts(contrasts: Mapping[str, Any] | None) -> dict[str, Contrast]:
    """The option ``contrasts=`` checked: factor name to Contrast."""
    if contrasts is None:
        return {}
    if not isinstance(contrasts, Mapping):
        raise OptionError(f"contrasts={contrasts!r}: a dictionary is needed, e.g. {{'f': 'sum'}}")
    return {name: as_contrast(value, f"contrasts[{name!r}]") for name, value in contrasts.items()}


def _matrix(value: Any, what: str) -> Float:
    try:
        matrix = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise OptionError(f"{what}: {value!r} is neither a contrast's name ({listed(KINDS)}) nor a matrix") from None
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise OptionError(f"{what}: a contrast matrix is finite and has one row a level, not shape {matrix.shape}")
    return matrix


def coding(contrast: Contrast, levels: NDArray[np.object_], name: str) -> tuple[Float, tuple[str, ...]]:
    """Contrast matrix (L×c) for these levels and the tags of its columns (``T.b``, ``S.a``, ``.L``).

    Raises
    ------
    BindError
        Fewer than two levels, or a matrix that does not fit them.
    """
    if len(levels) < 2:
        raise BindError(
            f"the factor {name!r} has only one level, {levels[0]!r}, in the rows used: contrasts need two. "
            "Leave it out of the formula"
        )
    if contrast.kind == "matrix":
        return _own(contrast, levels, name), contrast.tags
    if contrast.kind == "treatment":
        base = _base(contrast.base, levels, name)
        matrix = np.delete(np.eye(len(levels)), base, axis=1)
        return matrix, tuple(f"T.{level}" for i, level in enumerate(levels) if i != base)
    return _named(contrast.kind, levels)


def _named(kind: str, levels: NDArray[np.object_]) -> tuple[Float, tuple[str, ...]]:
    """Sum, Helmert and polynomial contrasts by formulaic, whose matrices are R's."""
    from formulaic.transforms.contrasts import HelmertContrasts, PolyContrasts, SumContrasts

    maker = {"sum": SumContrasts, "helmert": HelmertContrasts, "poly": PolyContrasts}[kind]()
    matrix = np.asarray(maker.get_coding_matrix(list(range(len(levels))), reduced_rank=True), dtype=np.float64)
    if kind == "sum":
        return matrix, tuple(f"S.{level}" for level in levels[:-1])
    if kind == "helmert":
        return matrix, tuple(f"H.{level}" for level in levels[1:])
    degrees = (".L", ".Q", ".C", *(f"^{d}" for d in range(4, len(levels))))
    return matrix, degrees[: len(levels) - 1]


def _base(base: Any, levels: NDArray[np.object_], name: str) -> int:
    if base is None:
        return 0
    if isinstance(base, int | float) and base not in levels:
        if base == int(base) and 1 <= base <= len(levels):
            return int(base) - 1
    elif base in levels:
        return int(np.flatnonzero(levels == base)[0])
    raise BindError(f"base={base!r} is no level of {name!r}; its levels are {listed(levels)}")


def _own(contrast: Contrast, levels: NDArray[np.object_], name: str) -> Float:
    assert contrast.matrix is not None
    matrix = contrast.matrix
    if contrast.levels is not None and set(levels) <= set(contrast.levels):
        where = {level: i for i, level in enumerate(contrast.levels)}
        matrix = matrix[[where[level] for level in levels]]
    if len(matrix) != len(levels) or matrix.shape[1] >= len(levels):
        raise BindError(
            f"the contrast matrix of {name!r} has shape {contrast.matrix.shape}; the factor has {len(levels)} levels "
            f"in the rows used ({listed(levels)}), so it needs {len(levels)} rows and at most {len(levels) - 1} columns"
        )
    return matrix
