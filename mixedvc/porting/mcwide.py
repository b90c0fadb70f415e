"""Several responses side by side, where MCMCglmm's formulas say what ``cbind(y1, y2) ~ …`` of the core can say.

The same model is bound both ways: fixed effects are then a change of basis, checked column by column, and the effects
of every random term are matched by their columns; where something does not match, the responses stay below each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..design.bind import bind
from ..design.expressions import Categories, Evaluator
from ..design.random import column_reader
from ..design.spec import ModelSpec
from ..errors import MixedVCError
from ..formula.canonical import quote
from ..formula.terms import FixedTerm
from ..linalg.dense import lstsq
from .mcmodel import Asked, Block, Model, cov_name
from .mcterms import Indicators

Float = NDArray[np.float64]
Codes = NDArray[np.intp]


def side_by_side(
    asked: Asked, plain: Model, frame: pd.DataFrame, responses: Sequence[str], indicators: Indicators
) -> Model | None:
    """The model with a response a trait; None where it cannot be said so."""
    residual = {"us": "us", "idh": "diag"}.get(plain.residual[0].kind)
    bars = [_bar(block, plain.spec.source.bars[i].effects, asked.known) for i, block in enumerate(plain.random)]
    right = _fixed(plain.spec.source.parsed.fixed, responses, indicators)
    if residual is None or plain.residual[0].term.effects != "trait" or right is None or None in bars:
        return None
    left = ", ".join(map(quote, responses))
    formula = f"cbind({left}) ~ {' + '.join([right, *map(str, bars)])}"
    known = {cov_name(name): A for name, A in asked.known.items()}
    try:
        spec = bind(formula, _records(frame, indicators), cov=known or None, residual=residual)
    except MixedVCError:
        return None
    return _matched(plain, spec, responses)


def _records(frame: pd.DataFrame, indicators: Indicators) -> pd.DataFrame:
    """The records, with the columns of ``at.level(f, …)`` where f is no trait."""
    made = {}
    for name, (factor, which) in indicators.rules.items():
        if factor != "trait":
            value = Evaluator(column_reader(frame)).value(factor)
            levels = value.levels[value.codes] if isinstance(value, Categories) else [f"{v:g}" for v in value]
            made[name] = np.array([str(level) in which for level in levels], dtype=np.float64)
    return frame.assign(**made)


def _fixed(terms: Iterable[FixedTerm], responses: Sequence[str], indicators: Indicators) -> str | None:
    """The right side: effects that each trait has, those of some, those that all share."""
    own: list[tuple[str, ...]] = []
    shared: list[tuple[str, ...]] = []
    some: list[str] = []
    for term in terms:
        marks = [f for f in term.factors if indicators.rules.get(f, ("",))[0] == "trait"]
        rest = tuple(f for f in term.factors if f != "trait" and f not in marks)
        if len(marks) > 1 or (marks and "trait" in term.factors):
            return None
        if marks:
            which = ", ".join(map(quote, indicators.rules[marks[0]][1]))
            some.append(f"at(c({which}), {_text(rest)})")
        else:
            (own if "trait" in term.factors else shared).append(rest)
    shared = [rest for rest in shared if rest not in own]
    pieces = ["1" if () in own else "0", *(_text(rest) for rest in own if rest), *some]
    if shared:
        pieces.append(f"common({' + '.join(_text(rest) for rest in shared)})")
    return " + ".join(pieces)


def _text(factors: tuple[str, ...]) -> str:
    return ":".join(factors) or "1"


def _bar(block: Block, effects: Sequence[FixedTerm], known: Any) -> str | None:
    """The bar of single records, where every effect is one of each trait."""
    if not block.effects or not all("trait" in term.factors for term in effects):
        return None
    rest = [tuple(f for f in term.factors if f != "trait") for term in effects]
    left = " + ".join([*([] if () in rest else ["0"]), *(_text(factors) for factors in rest)])
    groups = ":".join(map(quote, block.term.groups))
    first = block.term.groups[0]
    group = f"gr({groups}, cov={cov_name(first)})" if first in known else groups
    return f"diag({left} | {group})" if block.kind == "idh" else f"({left} | {group})"


# ---- the same model -------------------------------------------------------------------------------------------------


def _matched(plain: Model, spec: ModelSpec, responses: Sequence[str]) -> Model | None:
    """`plain` with the parts of `spec` in the place of its own; None where they are not the same model."""
    rows = _rows(plain.spec, spec, responses)
    if rows is None or len(spec.terms) != len(plain.spec.terms) or spec.p != plain.spec.p:
        return None
    X = plain.X[rows]
    T = np.zeros((spec.p, spec.p))
    if spec.p:
        T = lstsq(np.array(spec.X), X)
        if np.abs(spec.X @ T - X).max() > 1e-8 * max(1.0, np.abs(X).max()):
            return None
        T[np.abs(T) < 1e-9] = 0.0
    random = []
    for block, theirs, ours in zip(plain.random, plain.spec.terms, spec.terms, strict=True):
        order = _order(theirs.basis[rows], ours.basis)
        same = theirs.structure.name == ours.structure.name or theirs.k == 1
        if order is None or not same or not _same_levels(theirs.codes[rows], ours.codes):
            return None
        random.append(replace(block, order=tuple(order[a] for a in block.order)))
    order = _order(plain.spec.residual.basis[rows], spec.residual.basis)
    if order is None:
        return None
    residual = tuple(
        replace(block, place=len(spec.terms), order=tuple(order[a] for a in block.order)) for block in plain.residual
    )
    return replace(plain, spec=spec, random=tuple(random), residual=residual, X=X, T=T, wide=True)


def _rows(plain: ModelSpec, spec: ModelSpec, responses: Sequence[str]) -> Codes | None:
    """The row of `plain` that is each cell of `spec`."""
    t = len(responses)
    keys = {divmod(int(label), t): i for i, label in enumerate(plain.row_labels)}
    labels = spec.traits.labels
    cells = [(int(labels[r]), int(t)) for r, t in zip(spec.traits.record, spec.traits.trait, strict=True)]
    if len(cells) != len(keys) or not all(cell in keys for cell in cells):
        return None
    return np.array([keys[cell] for cell in cells], dtype=np.intp)


def _order(theirs: Float, ours: Float) -> list[int] | None:
    """Our column that equals each of theirs; None where one has no equal."""
    if theirs.shape != ours.shape:
        return None
    found: list[int] = []
    for column in theirs.T:
        equal = [j for j in range(ours.shape[1]) if j not in found and np.allclose(ours[:, j], column, atol=1e-10)]
        if not equal:
            return None
        found.append(equal[0])
    return found


def _same_levels(theirs: Codes, ours: Codes) -> bool:
    pairs = np.unique(np.stack([theirs, ours], axis=1), axis=0)
    return len(pairs) == len(np.unique(theirs)) == len(np.unique(ours))
