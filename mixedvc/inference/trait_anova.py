"""Hypotheses of the fixed terms of several traits: of each trait, of all of them together, of what they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.fixed import Coder
from ..design.spec import ModelSpec
from ..errors import NotProvided
from ..linalg import dense as la
from .anova import Fixed, TermHypothesis, kept_rows

Float = NDArray[np.float64]
ALL, COMMON = "all", "common"


@dataclass(frozen=True)
class TraitHypothesis:
    """What is tested of a term in one trait, in all of them ("all") or in what they share ("common").

    Attributes
    ----------
    term, trait : str
    L : (r, p)
        On all coefficients of the model.
    nominal : int
        Rows that there would be if all cells of the design had data.
    """

    term: str
    trait: str
    L: Float
    nominal: int


def trait_hypotheses(spec: ModelSpec, kind: int) -> list[TraitHypothesis]:
    """Term by term: the hypothesis in each trait that has it, and in all of those together.

    Each trait's own terms are those of a model of this trait alone, in the records that have it; terms that the traits
    share come after all of them.

    Parameters
    ----------
    kind : 1, 2 or 3
        See `anova.term_hypotheses`.
    """
    fixed = getattr(spec.source, "fixed", None)
    if fixed is None:
        raise NotProvided(
            "this model was not made from a formula, so its columns belong to no terms: test rows of coefficients "
            "with contrast()"
        )
    found = [(name, a, one) for a, name in enumerate(spec.traits.names) for one in _own(spec, a).hypotheses(kind)]
    out = []
    for term in dict.fromkeys(one.name for _, _, one in found):
        rows = [
            TraitHypothesis(term, name, _wide(spec, one.L, a), one.nominal)
            for name, a, one in found
            if one.name == term
        ]
        out += rows
        if len(rows) > 1:
            whole = np.concatenate([row.L for row in rows])
            out.append(TraitHypothesis(term, ALL, whole, sum(row.nominal for row in rows)))
    return out + [TraitHypothesis(one.name, COMMON, _wide(spec, one.L, -1), one.nominal) for one in _common(spec, kind)]


def _own(spec: ModelSpec, a: int) -> Fixed:
    """The columns of trait `a` on the rows that have it."""
    source, at = spec.source, np.flatnonzero(spec.traits.trait == a)
    columns = np.flatnonzero(spec.traits.columns == a)
    frame = source.frame.iloc[kept_rows(spec)[spec.traits.record[at]]]
    X = spec.X[np.ix_(at, columns)]
    return Fixed(X, source.fixed.of[a], _kept(spec, columns, a), frame, source.memory, spec.row_labels[at])


def _kept(spec: ModelSpec, columns: NDArray[np.intp], a: int) -> NDArray[np.intp]:
    """Places of `columns` of X among the coded columns of trait `a` (−1: shared)."""
    every = np.flatnonzero(spec.source.fixed.columns == a)
    return np.asarray(np.searchsorted(every, spec.source.kept[columns]), dtype=np.intp)


def _common(spec: ModelSpec, kind: int) -> list[TermHypothesis]:
    """Those of the shared terms; types I and II are adjusted for every trait's own columns."""
    source, columns = spec.source, np.flatnonzero(spec.traits.columns < 0)
    if not len(columns):
        return []
    coder, kept, X = source.fixed.shared, _kept(spec, columns, -1), spec.X[:, columns]
    frame = source.frame.iloc[kept_rows(spec)[spec.traits.record]]
    if kind < 3:
        Q = la.qr(spec.X[:, spec.traits.columns >= 0])[0]
        return Fixed(X - Q @ (Q.T @ X), coder, kept, frame, source.memory, spec.row_labels).hypotheses(kind)
    if not any(() in own.terms for own in source.fixed.of):
        return Fixed(X, coder, kept, frame, source.memory, spec.row_labels).hypotheses(kind)
    whole = Coder(((), *coder.terms), ((), *coder.full), coder.variables, ("Intercept", *coder.names))
    with_one = np.column_stack([np.ones(spec.n), X])  # what the cells' parameters are counted from
    found = Fixed(with_one, whole, np.append(0, kept + 1), frame, source.memory, spec.row_labels).hypotheses(kind)
    return [TermHypothesis(one.name, one.L[:, 1:], one.nominal) for one in found]


def _wide(spec: ModelSpec, L: Float, a: int) -> Float:
    """Rows on the coefficients of trait `a` as rows on all."""
    out = np.zeros((len(L), spec.p))
    out[:, np.flatnonzero(spec.traits.columns == a)] = L
    return out
