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

    @property
    def missing(self) -> str:
        """``"41 of 1,198 cells are missing (y1 38, y2 3)"``; nothing where none is."""
        if self.complete:
            return ""
        lost = self.n - np.bincount(self.trait, minlength=self.t)
        by_trait = [f"{name} {count:,}" for name, count in zip(self.names, lost.tolist(), strict=True) if count]
        what = "cell is" if lost.sum() == 1 else "cells are"
        return f"{int(lost.sum()):,} of {self.n * self.t:,} {what} missing ({', '.join(by_trait)})"

    def table(self, values: Float) -> Float:
        """(n, t) of values (N,) of the rows, NaN in cells without one."""
        out = np.full((self.n, self.t), np.nan)
        out[self.record, self.trait] = values
        return out


def cells_of(Y: Float, names: tuple[str, ...], labels: NDArray[np.object_]) -> Traits:
    """The rows of the cells of Y (n, t) that are not NaN; the fixed effects are still to come."""
    record, trait = np.nonzero(~np.isnan(Y))
    return Traits(names, record, trait, labels, np.empty(0, np.intp))


def every_cell(names: tuple[str, ...], labels: NDArray[np.object_], columns: Codes) -> Traits:
    """All cells of the records called `labels`."""
    n, t = len(labels), len(names)
    return Traits(names, np.repeat(np.arange(n), t), np.tile(np.arange(t), n), labels, columns)


def stacked_columns(
    X: Float, names: Sequence[str], shared: NDArray[np.bool_], cells: Traits
) -> tuple[Float, tuple[str, ...], Codes]:
    """Fixed effects of the cells, names, and whose they are: every column of X (n, p) once a trait, then shared ones.

    Names are ``"trait: column"``; shared columns keep theirs.
    """
    own, common = np.flatnonzero(~shared).tolist(), np.flatnonzero(shared).tolist()
    every, of = column_names(cells.names, [[names[j] for j in own]] * cells.t, [names[j] for j in common])
    return stacked_blocks([X[:, own]] * cells.t, X[:, common], cells.record, cells.trait), every, of


def column_names(
    traits: Sequence[str], own: Sequence[Sequence[str]], shared: Sequence[str]
) -> tuple[tuple[str, ...], Codes]:
    """Names of stacked columns, ``"y1: x"`` and then ``"x"`` of shared ones, and the trait of each (−1: shared)."""
    names = [f"{trait}: {name}" for trait, some in zip(traits, own, strict=True) for name in some]
    of = np.repeat(np.arange(len(traits)), [len(some) for some in own])
    return (*names, *shared), np.append(of, np.full(len(shared), -1, dtype=np.intp))


def stacked_blocks(own: Sequence[Float], shared: Float, record: Codes, trait: Codes) -> Float:
    """(N, P) columns of cells: those of its trait, ``own[a]`` (n, p_a), then ``shared`` (n, s)."""
    starts = np.cumsum([0, *(block.shape[1] for block in own)])
    out = np.zeros((len(record), int(starts[-1]) + shared.shape[1]))
    for a, block in enumerate(own):
        at = np.flatnonzero(trait == a)
        out[at, starts[a] : starts[a + 1]] = block[record[at]]
    out[:, starts[-1] :] = shared[record]
    return out


def stacked_term(term: Term, structure: Structure, cells: Traits, trait: int | None = None) -> Term:
    """A term of single records as one of the cells: an effect for each trait and effect, traits changing slowest.

    With `trait` the term is of that trait alone: its effects are zero in the rows of others.
    """
    names = cells.names if trait is None else (cells.names[trait],)
    return replace(
        term,
        effects=trait_effects(names, term.effects),
        codes=term.codes[cells.record],
        basis=stacked_basis(term.basis, cells, trait),
        structure=structure,
    )


def stacked_basis(basis: Float, cells: Traits, trait: int | None = None) -> Float:
    """(N, t·k) of effects (n, k) of records: each cell has those of its trait; (N, k) those of one `trait`."""
    rows = basis[cells.record]
    if trait is not None:
        return rows * (cells.trait == trait)[:, None]
    out = np.zeros((len(rows), cells.t, rows.shape[1]))
    out[np.arange(len(rows)), cells.trait] = rows
    return out.reshape(len(rows), -1)


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
