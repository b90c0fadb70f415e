"""Records to the arrays of a specification: its rows are the records or, with several responses, their cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StructureError
from ..formula.residual import AMONG_RESPONSES, TraitResidual
from ..structures import make as structure_of
from .parts import Part
from .residual import ResidualSource
from .spec import Term
from .trait_columns import TraitCoders
from .traits import Traits, cells_of, row_names, trait_residual

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Laid:
    """The arrays of a specification."""

    y: Float
    X: Float
    x_names: tuple[str, ...]
    terms: tuple[Term, ...]
    residual: Term
    weights: Float | None
    offset: Float | None
    labels: NDArray[np.object_]
    cells: ResidualSource | None = None
    traits: Traits | None = None

    @property
    def response(self) -> Float:
        """y minus the offset."""
        return self.y if self.offset is None else self.y - self.offset

    def with_columns(self, kept: NDArray[np.intp]) -> Laid:
        """With these fixed effects only."""
        traits = self.traits and replace(self.traits, columns=self.traits.columns[kept])
        return replace(self, X=self.X[:, kept], x_names=tuple(self.x_names[j] for j in kept.tolist()), traits=traits)


def lay_cells(
    Y: Float,
    labels: NDArray[np.object_],
    fixed: TraitCoders,
    values: Any,
    drawn: Sequence[Term],
    parts: Sequence[Part],
    residual: TraitResidual | None,
    weights: Float | None,
    offset: Float | None,
) -> Laid:
    """Records × traits as rows (`mixedvc.design.traits`).

    Parameters
    ----------
    Y : (n, t)
        NaN where a cell is missing.
    labels : (n,) object
    fixed, values : TraitCoders and the values of its variables in the records
    drawn : sequence of Term
        A term of the records for each bar.
    parts : sequence of Part
        What the terms of the specification take of those.
    residual : TraitResidual or None
    weights, offset : (n,) or None
    """
    cells = cells_of(Y, fixed.traits, labels)
    return Laid(
        y=Y[cells.record, cells.trait],
        X=fixed.assemble(values, labels, cells),
        x_names=fixed.names,
        terms=tuple(part.of(drawn[part.bar], cells) for part in parts),
        residual=_residual(residual, weights, cells),
        weights=None if weights is None else weights[cells.record],
        offset=None if offset is None else offset[cells.record],
        labels=row_names(cells),
        traits=replace(cells, columns=fixed.columns),
    )


def _residual(given: TraitResidual | None, weights: Float | None, cells: Traits) -> Term:
    if given is None:
        return trait_residual(structure_of("us", cells.t), weights, cells)
    if given.structure == "rr":
        given.fail(f"a residual of reduced rank leaves y without a density: residual= is {AMONG_RESPONSES}")
    try:
        structure = structure_of(given.structure, cells.t, given.options)
    except StructureError as error:
        raise StructureError(f"residual={given.source!r}: {error}") from None
    return replace(trait_residual(structure, weights, cells), text=given.text)
