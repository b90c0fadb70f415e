"""The summary of a posterior of several traits: fixed effects by trait, a block for every covariance, correlations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..inference.traits import RESIDUAL, TraitMatrix, components, families_of, phenotypic
from . import posterior_numbers as pn
from .numbers import percent
from .posterior_data import term_shares
from .posterior_table import (
    FIXED_HEADS,
    _correlation_cells,
    count,
    fixed_rows,
    limit_names,
    places,
    ratio,
    rounded,
    row_cells,
)
from .posterior_traits import correlation_draws, matrix_draws
from .table import Grid
from .traits_table import LONG, _label

if TYPE_CHECKING:
    from .posterior import PosteriorResults


def grids(fit: PosteriorResults, level: float, interval: str) -> list[Grid]:
    """All blocks."""
    spec = fit.spec
    made = [_fixed(fit, level, interval)] if spec.p else []
    names, shares = term_shares(fit)
    mean = shares.mean(axis=(0, 1))
    made += [_block(fit, one, level, interval, _own_share(fit, one, names, mean)) for one in components(spec)]
    related = [one for one in components(spec) if one.t > 1 and any(one.L[j, k].any() for j, k in one.pairs)]
    related += [phenotypic(spec)] if spec.terms and related else []
    if related and sum(len(one.pairs) for one in related) <= LONG:
        made.append(_correlations(fit, related, level, interval))
    return made


def _fixed(fit: PosteriorResults, level: float, interval: str) -> Grid:
    """Coefficients by trait, those that all share last."""
    traits = fit.spec.traits
    of, names = np.asarray(traits.columns), traits.names
    plain = fixed_rows(fit, level, interval)
    order = np.argsort(np.where(of < 0, len(names), of), kind="stable").tolist()
    rows, before = [], None
    for j in order:
        own = plain[j][0].removeprefix(f"{names[of[j]]}: ") if of[j] >= 0 else plain[j][0]
        rows.append(("" if of[j] == before else "all traits" if of[j] < 0 else names[of[j]], own, *plain[j][1:]))
        before = of[j]
    columns = ("Fixed effects", "", "mean", "std dev", *limit_names(level, interval), *FIXED_HEADS)
    return Grid(columns, tuple(rows), 2)


def _own_share(fit: PosteriorResults, matrix: TraitMatrix, names: list[str], mean: Any) -> dict[str, float]:
    """Shares of the traits; of a term with slopes they stand with its first effect."""
    spec = fit.spec
    if not spec.terms:
        return {}
    places_of = {**families_of(spec), RESIDUAL: [len(spec.terms)]}
    name = next((n for n, terms in places_of.items() if matrix.entries and matrix.entries[0][0] in terms), None)
    first = next((one for one in components(spec) if name and one.entries[0][0] in places_of[name]), None)
    if name is None or first is None or first.name != matrix.name:
        return {}
    return dict(zip(spec.traits.names, mean[names.index(name)].tolist(), strict=True))


def _block(fit: PosteriorResults, matrix: TraitMatrix, level: float, interval: str, share: dict[str, float]) -> Grid:
    """Variances of the traits, then (of few) their covariances."""
    C = matrix_draws(fit, matrix)
    entries = [(j, j) for j in range(matrix.t)]
    if len(matrix.pairs) <= LONG:
        entries += [(j, k) for j, k in matrix.pairs if matrix.L[j, k].any()]
    rows = []
    for j, k in entries:
        x = C[..., j, k]
        n = pn.numbers(x, level, interval)
        mean, sd, low, high = row_cells(x, n)
        middle = rounded(n.median, places(n.mcse, n.sd, x.size)) if n.sd > 0 else ""
        name = matrix.traits[j] if j == k else f"{matrix.traits[j]}, {matrix.traits[k]}"
        part = percent(share[name]) if j == k and name in share else ""
        rows.append((name, mean, middle, sd, low, high, part, count(n.ess_bulk), ratio(n.rhat)))
    heads = ("mean", "median", "std dev", *limit_names(level, interval), "share", "ESS", "R-hat")
    return Grid((_label(fit, matrix), *heads), tuple(rows), 1)  # type: ignore[arg-type]


def _correlations(fit: PosteriorResults, matrices: list[TraitMatrix], level: float, interval: str) -> Grid:
    body, before = [], None
    for one in matrices:
        R = correlation_draws(fit, one)
        for j, k in one.pairs:
            x = R[..., j, k]
            label = "" if one is before else _label(fit, one)  # type: ignore[arg-type]
            before = one
            cells = _correlation_cells(x, pn.numbers(x, level, interval))
            body.append((label, f"{one.traits[j]}, {one.traits[k]}", *cells))
    heads = ("mean", "std dev", *limit_names(level, interval), "P(>0)", "ESS", "R-hat")
    return Grid(("Correlations", "", *heads), tuple(body), 2)
