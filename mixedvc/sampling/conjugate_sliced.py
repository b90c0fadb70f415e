"""Σ under any prior: slices in unconstrained coordinates, twice, and free matrices also by proposals.

Given u, Σ is sliced under p(u | Σ); given the independent effects b with u = b B(Σ)ᵀ, under the regression of the rows
on b.  The one moves where the data say much, the other where they say little, beside zero too (Yu & Meng 2011).
A free Σ of enough levels is proposed from its inverse Wishart law under a flat prior, whole and at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..linalg import dense as la
from ..linalg.stacks import stacked_cholesky
from ..priors.base import BoundPrior
from ..priors.matrices import draw_inverse_wishart, parameters_of
from ..structures.base import Structure
from .base import State
from .conjugate_engines import Engine, Position
from .conjugate_slices import slice_coordinates
from .coordinates import Coordinates, linear_parameters
from .expanded import Regression
from .quadratic import Evidence, Scatter

Float = NDArray[np.float64]
_WIDTH = 1.5  # of a first bracket, in coordinates, where nothing is known
_LEVELS = 3.0  # times k: levels from which proposals of a whole Σ are accepted so often that one slice is enough
_COLUMNS = 4_000_000  # numbers in the columns of a root beyond which Σ is sliced given u alone


class _Density:
    """Prior density of one term's coordinates; K points at once."""

    def __init__(self, prior: BoundPrior, coordinates: Coordinates):
        self.prior, self.coordinates, self.structure = prior, coordinates, prior.structure

    def at(self, z: Float) -> tuple[Float, Float]:
        """Parameters (K, n_par) and log density (K,) in z."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            par = self.coordinates.par(z)
            out = self.prior.logpdf(par) + self.coordinates.log_jacobian(z)
        return par, np.where(np.isfinite(out) & np.isfinite(par).all(axis=1), out, -np.inf)

    def under(self, evidence: Evidence, z: Float) -> Float:
        """(K,) with what effects say of Σ."""
        par, out = self.at(z)
        good = np.isfinite(out)
        if good.any():
            out[good] += evidence.log_density(matrices_of(self.structure, par[good]))
        return out

    def sliced(self, z: Float, evidence: Evidence, rng: np.random.Generator, single: bool = False) -> Float:
        """One sweep, or one coordinate chosen at random, given effects."""
        width = min(_WIDTH, 4.0 / np.sqrt(max(evidence.size, 1.0)))
        which = [int(rng.integers(len(z)))] if single else None
        return slice_coordinates(z, lambda points: self.under(evidence, points), rng, width, which)

    def proposed(self, z: Float, found: Scatter, rng: np.random.Generator) -> Float:
        """A whole free Σ from its law under p(Σ) ∝ |Σ|^{−k/2}, accepted for the prior's ratio to that."""
        k = self.structure.k
        Sigma = draw_inverse_wishart(float(found.count) - 1.0, found.S, rng)
        par = np.stack([parameters_of(self.structure, Sigma), self.coordinates.par(z[None])[0]])
        L, good = stacked_cholesky(matrices_of(self.structure, par))
        if not good.all():
            return z
        weight = self.prior.logpdf(par) + k * np.log(np.einsum("nii->ni", L)).sum(axis=1)
        if not np.log(rng.random()) < weight[0] - weight[1]:
            return z
        moved = self.coordinates.z(par[:1])[0]
        return moved if np.isfinite(moved).all() else z


class Sliced:
    """Σ given u, then given independent effects b; of a Σ that is singular by its making only the latter."""

    words = "slices"

    def __init__(self, engine: Engine, i: int, term: Term, prior: BoundPrior, coordinates: Coordinates):
        self.engine, self.i, self.term, self.coordinates = engine, i, term, coordinates
        self._density = _Density(prior, coordinates)
        self._degenerate = bool(getattr(term.structure, "degenerate", False))
        self._proposes = term.structure.name == "us" and term.k > 1
        self._interweaved = self._degenerate or len(term.codes) * term.k**2 <= _COLUMNS

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"z": self.coordinates.z(par[None])[0]}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        z = own["z"]
        if self._degenerate:
            z = self._given_independent(z, where, residual, rng, single=False)
            return self.coordinates.par(z[None])[0], {"z": z}
        found = self.engine.scatter(self.i, where.effects[self.i])
        enough = self._proposes and found.size >= _LEVELS * self.term.k
        if self._proposes and found.size >= self.term.k + 2:
            z = self._density.proposed(z, found, rng)
        z = self._density.sliced(z, found, rng, single=enough)
        if self._interweaved:
            z = self._given_independent(z, where, residual, rng, single=True)
        return self.coordinates.par(z[None])[0], {"z": z}

    def _given_independent(
        self, z: Float, where: Position, residual: Float, rng: np.random.Generator, single: bool
    ) -> Float:
        """z given b, u = b Bᵀ, b of the Σ that z has now; the effects and the residual follow."""
        engine, i = self.engine, self.i
        before = self._roots(self.coordinates.par(z[None]))[0][0]
        b = _through(where.effects[i], before)
        columns = engine.columns(i, b)  # (rows, k, f)
        M = columns.reshape(len(columns), -1)
        used = np.flatnonzero(M.any(axis=0))
        M = np.ascontiguousarray(M[:, used])
        e = where.e + M @ before.ravel()[used]
        regression = Regression.of(M, engine.residual.weighted(M, residual), e)

        def log_density(points: Float) -> Float:
            par, out = self._density.at(points)
            good = np.isfinite(out)
            if good.any():
                roots, definite = self._roots(par[good])
                said = regression.log_density(roots.reshape(len(roots), -1)[:, used])
                out[good] += np.where(definite, said, -np.inf)
            return out

        width = min(_WIDTH, 4.0 / np.sqrt(1.0 + max(regression.explained, 0.0)))
        which = [int(rng.integers(len(z)))] if single else None
        z = slice_coordinates(z, log_density, rng, width, which)
        after = self._roots(self.coordinates.par(z[None]))[0][0]
        where.effects[i] = b @ after.T
        where.e = e - M @ after.ravel()[used]
        return z

    def _roots(self, par: Float) -> tuple[Float, NDArray[np.bool_]]:
        """B (K, k, f) with BBᵀ = Σ, smooth in the parameters, and where Σ is positive definite."""
        if self._degenerate:
            roots = [self.term.structure.loadings.matrix(row) for row in par]  # type: ignore[attr-defined]
            return np.stack(roots), np.ones(len(par), dtype=bool)
        Sigma = matrices_of(self.term.structure, par)
        size = np.sqrt(np.maximum(np.einsum("nii->ni", Sigma), 1e-300))
        L, good = stacked_cholesky(Sigma / size[:, :, None] / size[:, None, :])
        return L * size[:, :, None], good


class SlicedResidual:
    """Σ_e given the residual, missing cells integrated out; for proposals of a free Σ_e they are drawn."""

    words = "slices"

    def __init__(self, engine: Engine, term: Term, prior: BoundPrior, coordinates: Coordinates):
        self.engine, self.coordinates = engine, coordinates
        self._density = _Density(prior, coordinates)
        self._free = term.structure.name == "us" and term.k > 1

    def begin(self, par: Float, rng: np.random.Generator) -> State:
        return {"z": self.coordinates.z(par[None])[0]}

    def draw(
        self, par: Float, own: State, where: Position, residual: Float, rng: np.random.Generator
    ) -> tuple[Float, State]:
        z, proposed = own["z"], False
        if self._free:
            found = self.engine.residual.scatter(where.e, residual, rng)
            proposed = found.size >= _LEVELS * len(residual)
            z = self._density.proposed(z, found, rng) if proposed else z
        z = self._density.sliced(z, self.engine.residual.evidence(where.e), rng, single=proposed)
        return self.coordinates.par(z[None])[0], {"z": z}


def matrices_of(structure: Structure, par: Float) -> Float:
    """(K, k, k) Σ of parameters (K, n_par)."""
    k = structure.k
    if k == 1 and structure.linear:
        return par[:, :, None]
    if getattr(structure, "pattern", None) is not None:
        return np.stack([structure.build(row) for row in par])
    values = linear_parameters(structure, par)
    out = np.zeros((len(par), k, k))
    a, b = np.array(structure.pairs).T
    out[:, a, b] = out[:, b, a] = values
    return out


def _through(W: Float, B: Float) -> Float:
    """b (s, f) with W = b Bᵀ, B (k, f) of full column rank."""
    if B.shape == (1, 1):
        return W / B[0, 0]
    size = np.sqrt(np.square(B).sum(axis=1))
    unit = np.where(size > 0.0, size, 1.0)
    return np.asarray(la.lstsq(B / unit[:, None], (W / unit).T).T)
