"""Smaller models for tests of variances: without a random term, or without one effect of a term."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..design.spec import ModelSpec, Term

Float = NDArray[np.float64]
INTERCEPT = ("Intercept", "(Intercept)")


def without_term(spec: ModelSpec, i: int) -> ModelSpec:
    """The model without random term `i`."""
    return replace(spec, terms=(*spec.terms[:i], *spec.terms[i + 1 :]))


def without_effects(spec: ModelSpec, i: int, dropped: Collection[int]) -> ModelSpec:
    """The model with some effects of term `i` left out; without the term where none is left."""
    term = spec.terms[i]
    kept = [a for a in range(term.k) if a not in dropped]
    if not kept:
        return without_term(spec, i)
    effects = tuple(term.effects[a] for a in kept)
    small = replace(
        term,
        effects=effects,
        basis=np.ascontiguousarray(term.basis[:, kept]),
        structure=structures.make(term.structure.name, len(kept)),
        text=bar_text(effects, term) if spec.traits is None else term.text,
    )
    return replace(spec, terms=(*spec.terms[:i], small, *spec.terms[i + 1 :]))


def bar_text(effects: tuple[str, ...], term: Term) -> str:
    """A term in the notation of formulas, put together from its effects: ``(1 + Days | Subject)``."""
    if term.structure.name not in ("us", "diag"):
        return term.text
    names = ["1" if name in INTERCEPT else name for name in effects]
    left = " + ".join(names if "1" in names else ["0", *names])
    right = term.text.rsplit("|", 1)[-1].strip()[:-1] if "|" in term.text else term.group
    return f"({left} {'||' if term.structure.name == 'diag' and len(names) > 1 else '|'} {right})"


def reducible(term: Term) -> bool:
    """Whether single effects can be left out of the term: its Σ stays in the family."""
    return term.k > 1 and term.structure.name in ("us", "diag")


def for_reduced(estimator: Any, names: Collection[str]) -> Any:
    """The estimator without what its options say of the terms `names`, and free to choose its likelihood again."""
    known = {field.name for field in fields(estimator)}
    changes: dict[str, Any] = {}
    for option in ("fixed_varcomp", "start"):
        given = getattr(estimator, option) if option in known else None
        if given is not None:
            changes[option] = {name: value for name, value in given.items() if name not in names} or None
    if "likelihood" in known:
        changes["likelihood"] = None
    return replace(estimator, **changes) if changes else estimator
