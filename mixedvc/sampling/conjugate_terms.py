"""Σ of one term given its effects: which update its prior allows, exact draws among them.

An update may move the effects too, and with them the residual: parameter expansion rescales them, slices given
independent effects do.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..priors.base import BoundPrior, HasUpdate
from .base import State
from .conjugate_engines import Engine, Position
from .conjugate_expanded import Expanded, expansion_of
from .conjugate_sliced import Sliced, SlicedResidual
from .coordinates import Coordinates

Float = NDArray[np.float64]


class Update(Protocol):
    """How Σ of one term is drawn; `name` prefixes its arrays in the state of a chain."""

    words: str

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        """What it keeps beside the parameters."""
        ...

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        """New parameters; `where` moves with them. `residual` is Σ of the residual now."""
        ...


def update_of(engine: Engine, i: int, term: Term, prior: BoundPrior, coordinates: Coordinates) -> Update:
    """The update of random term `i`."""
    if prior.held is not None:
        return Nothing()
    expansion = expansion_of(prior)
    if expansion is not None:
        return Expanded(engine, i, term, expansion)
    if isinstance(prior, HasUpdate):
        return Exact(engine, i, term, prior)
    return Sliced(engine, i, term, prior, coordinates)


def residual_update(engine: Engine, term: Term, prior: BoundPrior, coordinates: Coordinates) -> Update:
    """The update of the residual."""
    if prior.held is not None:
        return Nothing()
    if isinstance(prior, HasUpdate):
        return ExactResidual(engine, term, prior)
    return SlicedResidual(engine, term, prior, coordinates)


class Nothing:
    """Parameters that are given."""

    words = "held"

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        return par, own


class Exact:
    """Σ | u from its law."""

    words = "exact"

    def __init__(self, engine: Engine, i: int, term: Term, prior: HasUpdate):
        self.engine, self.i, self.prior = engine, i, prior

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"auxiliary": self.prior.auxiliary(rng)}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        found = self.engine.scatter(self.i, where.effects[self.i])
        par, auxiliary = self.prior.update(found.S, found.count, own["auxiliary"], rng)  # type: ignore[arg-type]
        return par, {"auxiliary": auxiliary}


class ExactResidual:
    """Σ_e | e from its law, missing cells of records drawn first where it has covariances."""

    words = "exact"

    def __init__(self, engine: Engine, term: Term, prior: HasUpdate):
        self.engine, self.structure, self.prior = engine, term.structure, prior

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"auxiliary": self.prior.auxiliary(rng)}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        found = self.engine.residual.scatter(where.e, residual, rng)
        par, auxiliary = self.prior.update(found.S, found.count, own["auxiliary"], rng)  # type: ignore[arg-type]
        return par, {"auxiliary": auxiliary}
