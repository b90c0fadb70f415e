"""Specifications put together by hand, without a formula or a data frame: for tests of what works on a ModelSpec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import structures
from ..covariance import Identity
from ..design.spec import ModelSpec, Term
from ..design.traits import (
    cells_of,
    row_names,
    stacked_columns,
    stacked_term,
    trait_residual,
)
from ..structures.base import Structure

Float = NDArray[np.float64]


def term(
    name: str,
    group: Sequence[object] | NDArray[Any],
    *,
    basis: ArrayLike | None = None,
    covariance: Any = None,
    structure: str | Structure = "us",
) -> Term:
    """A random term from each row's level.

    Parameters
    ----------
    name : str
    group : (n,)
        Level of each row.
    basis : (n, k), optional
        Value of each effect in each row; a column of ones by default.
    covariance : Covariance, optional
        Its labels include every level; independent levels by default.
    structure : str or Structure
        Registered name, or one made for k effects.
    """
    levels, codes = np.unique(np.asarray(group, dtype=object), return_inverse=True)
    rows = np.ones((len(codes), 1)) if basis is None else np.array(basis, dtype=float).reshape(len(codes), -1)
    cov = Identity(levels) if covariance is None else covariance
    k = rows.shape[1]
    return Term(
        name=name,
        label=name,
        text=f"({' + '.join(f'e{a}' for a in range(k))} | {name})",
        group=name,
        effects=("Intercept",) if k == 1 else tuple(f"e{a}" for a in range(k)),
        levels=levels,
        codes=codes.astype(np.intp),
        basis=rows,
        covariance=cov,
        positions=np.asarray(cov.positions(levels), dtype=np.intp),
        structure=structures.make(structure, k) if isinstance(structure, str) else structure,
        cov_name=None if covariance is None else f"{name}_cov",
    )


def residual(n: int, weights: ArrayLike | None = None) -> Term:
    """The residual of n rows: A = identity, basis = weights^-½."""
    labels = np.arange(n).astype(object)
    scale = np.ones(n) if weights is None else 1 / np.sqrt(np.asarray(weights, dtype=float))
    return Term(
        name="Residual",
        label="Residual",
        text="residual",
        group="Residual",
        effects=("Residual",),
        levels=labels,
        codes=np.arange(n),
        basis=scale[:, None],
        covariance=Identity(labels),
        positions=np.arange(n),
        structure=structures.make("us", 1),
    )


def spec(
    y: ArrayLike,
    X: ArrayLike,
    terms: Sequence[Term],
    *,
    weights: ArrayLike | None = None,
    offset: ArrayLike | None = None,
) -> ModelSpec:
    """A ModelSpec from arrays: y (n,), X (n, p) of full rank, and terms of `term`."""
    response, fixed = np.array(y, dtype=float), np.array(X, dtype=float)
    n, p = fixed.shape
    return ModelSpec(
        y=response,
        X=fixed,
        terms=tuple(terms),
        residual=residual(n, weights),
        x_names=tuple(f"x{j}" for j in range(p)),
        y_names=("y",),
        row_labels=np.arange(n).astype(object),
        weights=None if weights is None else np.array(weights, dtype=float),
        offset=None if offset is None else np.array(offset, dtype=float),
    )


def traits_spec(
    Y: ArrayLike,
    X: ArrayLike,
    terms: Sequence[Term],
    *,
    weights: ArrayLike | None = None,
    structure: str = "us",
    residual_structure: str | None = None,
) -> ModelSpec:
    """A ModelSpec of several responses from arrays: Y (n, t) with NaN for missing cells, X (n, p) for every trait.

    `terms` are made by `term` on the n records; each gets an effect a trait, with `structure` among them.
    """
    table = np.array(Y, dtype=float)
    names = tuple(f"y{a + 1}" for a in range(table.shape[1]))
    fixed = np.array(X, dtype=float)
    cells = cells_of(table, names, np.arange(len(table)).astype(object))
    stacked, x_names, columns = stacked_columns(
        fixed, [f"x{j}" for j in range(fixed.shape[1])], np.zeros(fixed.shape[1], bool), cells
    )
    t = len(names)
    own = structures.make(residual_structure or "us", t)
    return ModelSpec(
        y=table[cells.record, cells.trait],
        X=stacked,
        terms=tuple(stacked_term(one, structures.make(structure, t * one.k), cells) for one in terms),
        residual=trait_residual(own, None if weights is None else np.asarray(weights, dtype=float), cells),
        x_names=x_names,
        y_names=names,
        row_labels=row_names(cells),
        weights=None if weights is None else np.asarray(weights, dtype=float)[cells.record],
        traits=replace(cells, columns=columns),
    )


def one_way(groups: int = 6, per_group: int = 5, seed: int = 0) -> ModelSpec:
    """Balanced one-way layout with an intercept, simulated with unit variances."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), per_group)
    y = 10 + rng.standard_normal(groups)[group] + rng.standard_normal(len(group))
    return spec(y, np.ones((len(y), 1)), [term("g", [f"g{i:03d}" for i in group])])
