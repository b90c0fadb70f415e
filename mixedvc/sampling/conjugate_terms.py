"""Σ of one term given its effects: exact draws, parameter expansion, slices in unconstrained coordinates.

An update may move the effects too, and with them the residual: parameter expansion rescales them, and where Σ is
sliced it is sliced twice, given u and given the independent effects b with u = b B(Σ)ᵀ, so that a chain neither sticks
beside zero nor where the data say much (Yu & Meng 2011).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..linalg import dense as la
from ..priors.base import BoundPrior, HasUpdate
from .base import State
from .conjugate_engines import Engine, Position
from .conjugate_expanded import Expanded, expansion_of
from .conjugate_slices import slice_coordinates
from .coordinates import Coordinates
from .expanded import Regression
from .quadratic import Evidence

Float = NDArray[np.float64]
_WIDTH = 1.0  # of a slice in coordinates: about a unit of a logarithm
_COLUMNS = 4_000_000  # numbers in the columns of a root beyond which Σ is sliced given u alone


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


class Sliced:
    """Σ sliced given u, then given independent effects b; of a Σ that is singular by its making only the latter."""

    words = "slices"

    def __init__(self, engine: Engine, i: int, term: Term, prior: BoundPrior, coordinates: Coordinates):
        self.engine, self.i, self.term, self.prior, self.coordinates = engine, i, term, prior, coordinates
        self.degenerate = bool(getattr(term.structure, "degenerate", False))
        self.interweaved = self.degenerate or len(term.codes) * term.k**2 <= _COLUMNS

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"z": self.coordinates.z(par[None])[0]}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        z = own["z"]
        if not self.degenerate:
            found = self.engine.scatter(self.i, where.effects[self.i])
            z = _sliced(z, self.coordinates, self.prior, found, rng)
        if self.interweaved:
            z = self._given_independent(par, z, where, residual, rng)
        return self.coordinates.par(z[None])[0], {"z": z}

    def _given_independent(
        self, par: Float, z: Float, where: Position, residual: Float, rng: np.random.Generator
    ) -> Float:
        """z given b, u = b Bᵀ, b of the Σ that z has now; the effects and the residual follow."""
        engine, i = self.engine, self.i
        before = self._root(self.coordinates.par(z[None])[0])
        b = _through(where.effects[i], before)
        columns = engine.columns(i, b)  # (rows, k, f)
        M = columns.reshape(len(columns), -1)
        used = M.any(axis=0)
        M = M[:, used]
        e = where.e + M @ before.ravel()[used]
        regression = Regression.of(M, engine.residual.weighted(M, residual), e)

        def log_density(value: Float) -> float:
            par = self.coordinates.par(value[None])
            prior = float(self.prior.logpdf(par)[0] + self.coordinates.log_jacobian(value[None])[0])
            if not np.isfinite(prior):
                return -np.inf
            try:
                root = self._root(par[0])
            except la.NotPositiveDefinite:
                return -np.inf
            return prior + regression.log_density(root.ravel()[used])

        z = slice_coordinates(z, log_density, rng, _WIDTH)
        after = self._root(self.coordinates.par(z[None])[0])
        where.effects[i] = b @ after.T
        where.e = e - M @ after.ravel()[used]
        return z

    def _root(self, par: Float) -> Float:
        """B (k, f) with BBᵀ = Σ, smooth in the parameters."""
        if self.degenerate:
            return np.asarray(self.term.structure.loadings.matrix(par))  # type: ignore[attr-defined]
        Sigma = self.term.structure.build(par)
        size = np.sqrt(np.maximum(np.diagonal(Sigma), 0.0))
        if not size.min() > 0.0:
            raise la.NotPositiveDefinite(0)
        return la.small_cholesky(Sigma / size[:, None] / size) * size[:, None]


class SlicedResidual:
    """Σ_e sliced given e, missing cells integrated out."""

    words = "slices"

    def __init__(self, engine: Engine, term: Term, prior: BoundPrior, coordinates: Coordinates):
        self.engine, self.prior, self.coordinates = engine, prior, coordinates

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"z": self.coordinates.z(par[None])[0]}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        evidence = self.engine.residual.evidence(where.e)
        z = _sliced(own["z"], self.coordinates, self.prior, evidence, rng)
        return self.coordinates.par(z[None])[0], {"z": z}


def _sliced(
    z: Float, coordinates: Coordinates, prior: BoundPrior, evidence: Evidence, rng: np.random.Generator
) -> Float:
    """One sweep over the coordinates of Σ under its prior and what effects say of it."""
    structure = prior.structure

    def log_density(value: Float) -> float:
        par = coordinates.par(value[None])
        before = float(prior.logpdf(par)[0] + coordinates.log_jacobian(value[None])[0])
        return before + evidence.log_density(structure.build(par[0])) if np.isfinite(before) else -np.inf

    return slice_coordinates(z, log_density, rng, _WIDTH)


def _through(W: Float, B: Float) -> Float:
    """b (s, f) with W = b Bᵀ, B (k, f) of full column rank."""
    size = np.sqrt(np.square(B).sum(axis=1))
    unit = np.where(size > 0.0, size, 1.0)
    return la.lstsq(B / unit[:, None], (W / unit).T).T
