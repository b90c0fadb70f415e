"""Bars to the terms of a specification: one each, or several where effects or traits are independent of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .. import structures
from ..errors import StructureError
from ..formula.canonical import bar_text
from ..formula.terms import BarTerm
from ..structures.base import Structure
from .fixed import Coder
from .random import unique_names
from .spec import Term
from .traits import Traits, stacked_term


@dataclass(frozen=True)
class Part:
    """What a term of the specification takes of a bar.

    Attributes
    ----------
    name, text : str
        Of the term.
    bar : int
        Which bar.
    columns : tuple of int
        Which of its effects.
    trait : int or None
        Which trait's effects; None for all (and with one response).
    structure : str
        Among the effects; `options` are the bar's.
    """

    name: str
    text: str
    bar: int
    columns: tuple[int, ...]
    trait: int | None = None
    structure: str = "us"
    options: tuple[tuple[str, object], ...] = ()

    def make(self, k: int) -> Structure:
        """The structure for k effects."""
        try:
            made: Structure = structures.make(self.structure, k, self.options)
        except StructureError as error:
            raise StructureError(f"{self.text}: {error}") from None
        return made

    def of(self, term: Term, cells: Traits) -> Term:
        """This part of the bar's `term` of single records, in the rows of the cells."""
        some = list(self.columns)
        own = replace(term, name=self.name, text=self.text, effects=tuple(term.effects[j] for j in some))
        own = replace(own, basis=term.basis[:, some])
        own = own if term.cov_name is not None else replace(own, label=self.name)
        return stacked_term(own, self.make(len(some) * (cells.t if self.trait is None else 1)), cells, self.trait)


def parts_of(bars: Sequence[BarTerm], coders: Sequence[Coder], traits: tuple[str, ...]) -> tuple[Part, ...]:
    """The terms that the bars make for these responses.

    With several responses ``(1 + x || g)`` makes a term of each effect, any covariance among the traits in it, and
    ``us(1 + x | g, traits="diag")`` a term of each trait, any covariance among its effects.
    """
    whole = tuple(range(len(coders[i].names)) for i in range(len(bars)))
    found: list[tuple[BarTerm, Part]] = []
    for i, (bar, columns) in enumerate(zip(bars, whole, strict=True)):
        one = Part("", bar.text, i, tuple(columns), None, bar.structure, bar.options)
        if len(traits) > 1 and bar.double:
            found += [
                (bar, replace(one, text=text, columns=(j,), structure="us")) for j, text in _single(bar, coders[i])
            ]
        elif len(traits) > 1 and bar.traits == "diag" and len(columns) == 1:
            found.append((bar, replace(one, structure="diag", options=())))
        elif len(traits) > 1 and bar.traits == "diag":
            found += [(bar, replace(one, trait=a)) for a in range(len(traits))]
        else:
            found.append((bar, one))
    return _named(found, traits)


def _single(bar: BarTerm, coder: Coder) -> list[tuple[int, str]]:
    """Each effect of a ``||``, with the text of a term that has it alone where there is one."""
    made = []
    at = 0
    for term, width in zip(bar.effects, coder.widths, strict=True):
        double = width > 1
        text = bar_text((term,), bar.group, bar.cov, "us", (), plain=len(bar.group) > 1, double=double)
        made += [(j, text) for j in range(at, at + width)]
        at += width
    return made


def _named(found: list[tuple[BarTerm, Part]], traits: tuple[str, ...]) -> tuple[Part, ...]:
    """With a name each: parts of single traits share one, and add the trait's."""
    first = [j for j, (_, part) in enumerate(found) if not part.trait]
    names = np.repeat(unique_names(tuple(found[j][0] for j in first)), np.diff([*first, len(found)]))
    return tuple(
        replace(part, name=str(name) if part.trait is None else f"{name}: {traits[part.trait]}")
        for name, (_, part) in zip(names, found, strict=True)
    )
