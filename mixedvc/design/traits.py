"""Several responses as one: a row for each cell of records × traits, an effect for each trait in every term.

    y_i = (y_i1 … y_it),   Cov(vec u) = Σ ⊗ A  with Σ among the traits' effects,   Cov(e_i) = Σ_e / w_i

Rows go record by record, in the order of the traits; a missing cell is a row that is not there.  Every likelihood and
estimator of one response then fits several.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..covariance import Identity
from ..structures.base import Structure
from .spec import Term

Float = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Traits:
    """Which cell of records × traits each row of a specification is.

    Attributes
    ----------
    names : (t,) tuple of str
    record : (N,) intp
        Record (0…n−1) of each row.
    trait : (N,) intp
        Trait (0…t−1) of each row.
    labels : (n,) object
        Index of the data frame, of the records kept.
    columns : (p,) intp
        Trait of each fixed effect, −1 where all traits share it.
    """

    names: tuple[str, ...]
    record: Codes
    trait: Codes
    labels: NDArray[np.object_]
    columns: Codes

    @property
    def t(self) -> int:
        """Traits."""
        return len(self.names)

    @property
    def n(self) -> int:
        """Records."""
        return len(self.labels)

    @cached_property
    def complete(self) -> bool:
        """Whether no cell is missing."""
        return len(self.record) == self.n * self.t

    def table(self, values: Float) -> Float:
        """(n, t) of values (N,) of the rows, NaN in cells without one."""
        out = np.full((self.n, self.t), np.nan)
        out[self.record, self.trait] = values
        return out


def cells_of(Y: Float, names: tuple[str, ...], labels: NDArray[np.object_]) -> Traits:
    """The rows of the cells of Y (n, t) that are not NaN; the fixed effects are still to come."""
    record, trait = np.nonzero(~np.isnan(Y))
    return Traits(names, record, trait, labels, np.empty(0, np.intp))


def stacked_columns(
    X: Float, names: Sequence[str], shared: NDArray[np.bool_], cells: Traits
) -> tuple[Float, tuple[str, ...], Codes]:
    """Fixed effects of the cells, names, and whose they are: every column of X (n, p) once a trait, then shared ones.

    Names are ``"trait: column"``; shared columns keep theirs.
    """
    own, common = np.flatnonzero(~shared), np.flatnonzero(shared)
    of = np.repeat(np.arange(cells.t), len(own))
    out = np.zeros((len(cells.record), len(of) + len(common)))
    rows = X[cells.record]
    for a in range(cells.t):
        at = np.flatnonzero(cells.trait == a)
        out[np.ix_(at, np.flatnonzero(of == a))] = rows[np.ix_(at, own)]
    out[:, len(of) :] = rows[:, common]
    every = tuple(f"{cells.names[a]}: {names[j]}" for a in range(cells.t) for j in own.tolist())
    return out, (*every, *(names[j] for j in common.tolist())), np.append(of, np.full(len(common), -1, dtype=np.intp))


def stacked_term(term: Term, structure: Structure, cells: Traits) -> Term:
    """A term of single records as one of the cells: an effect for each trait and effect, traits changing slowest."""
    k, t = term.k, cells.t
    basis = np.zeros((len(cells.record), t, k))
    basis[np.arange(len(cells.record)), cells.trait] = term.basis[cells.record]
    return replace(
        term,
        effects=trait_effects(cells.names, term.effects),
        codes=term.codes[cells.record],
        basis=basis.reshape(-1, t * k),
        structure=structure,
    )


def trait_effects(names: Sequence[str], effects: Sequence[str]) -> tuple[str, ...]:
    """``y1`` for the intercept where it is the only effect, else ``y1: Days``."""
    if tuple(effects) == ("Intercept",):
        return tuple(names)
    return tuple(f"{name}: {effect}" for name in names for effect in effects)


def trait_residual(structure: Structure, weights: Float | None, cells: Traits) -> Term:
    """The residual: a level for each record, an effect for each trait, basis weight^-½."""
    labels = np.arange(cells.n).astype(object)
    basis = np.eye(cells.t)[cells.trait]
    if weights is not None:
        basis /= np.sqrt(weights)[cells.record][:, None]
    return Term(
        name="Residual",
        label="Residual",
        text="Residual",
        group="Residual",
        effects=cells.names,
        levels=labels,
        codes=cells.record,
        basis=basis,
        covariance=Identity(labels),
        positions=np.arange(cells.n),
        structure=structure,
    )


def row_names(cells: Traits) -> NDArray[np.object_]:
    """(N,) ``"label, trait"`` of each cell."""
    made = [f"{cells.labels[r]}, {cells.names[a]}" for r, a in zip(cells.record, cells.trait, strict=True)]
    return np.array(made, dtype=object)


def default_residual(t: int) -> Structure:
    """Any covariance among the traits."""
    return structures.make("us", t)
