"""Fixed effects of several responses: the columns that each has for itself, and those that all share."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FormulaError
from ..formula.canonical import quote
from ..formula.terms import Formula, TraitTerms
from .expressions import Evaluator, Value
from .fixed import Coder, Variable, coded
from .traits import Codes, Traits, column_names, stacked_blocks

Float = NDArray[np.float64]
Terms = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class TraitCoders:
    """How the fixed effects of several responses are coded.

    Attributes
    ----------
    traits : (t,) tuple of str
    of : (t,) tuple of Coder
        Each trait's own columns, coded as R codes a model of this response alone.
    shared : Coder
        Columns with one coefficient for all traits, coded as if they stood last in the formula.
    """

    traits: tuple[str, ...]
    of: tuple[Coder, ...]
    shared: Coder

    @cached_property
    def _layout(self) -> tuple[tuple[str, ...], Codes]:
        return column_names(self.traits, [coder.names for coder in self.of], self.shared.names)

    @property
    def names(self) -> tuple[str, ...]:
        """(P,) of all columns, ``"y1: x"``; shared ones ``"x"``."""
        return self._layout[0]

    @property
    def columns(self) -> Codes:
        """(P,) trait of each column, −1 where all share it."""
        return self._layout[1]

    @property
    def variables(self) -> Mapping[str, Variable]:
        """Of all columns."""
        return {text: variable for coder in (*self.of, self.shared) for text, variable in coder.variables.items()}

    def matrix(self, evaluator: Evaluator, labels: NDArray[Any], cells: Traits) -> Float:
        """(N, P) columns of the cells for the table of `evaluator`; NaN where a value is missing."""
        return self.assemble({text: evaluator.value(text) for text in self.variables}, labels, cells)

    def assemble(self, values: Mapping[str, Value], labels: NDArray[Any], cells: Traits) -> Float:
        """(N, P) columns of the cells from the value of each variable in the records."""
        made = {coder.terms: coder.assemble(values, labels) for coder in self.of}
        own = [made[coder.terms] for coder in self.of]
        return stacked_blocks(own, self.shared.assemble(values, labels), cells.record, cells.trait)


def code_traits(parsed: Formula, traits: tuple[str, ...], variables: Mapping[str, Variable]) -> TraitCoders:
    """Coders of the terms that every trait has, with those of ``at()``, and of ``common()``.

    Raises
    ------
    FormulaError
        ``at()`` names what is no response.
    """
    every = tuple(term.factors for term in parsed.fixed)
    more: list[list[tuple[str, ...]]] = [[] for _ in traits]
    shared: list[tuple[str, ...]] = []
    for some in parsed.of_traits:
        factors = [term.factors for term in some.terms]
        for a in [_trait(parsed, some, name, traits) for name in some.traits]:
            more[a] += factors
        shared += factors if some.shared else []
    of = tuple(coded(_merged(every, own), variables) for own in more)
    return TraitCoders(traits, of, coded((*every, *sorted(shared, key=len)), variables, first=len(every)))


def _trait(parsed: Formula, some: TraitTerms, name: str, traits: tuple[str, ...]) -> int:
    """Number of the response called `name`: as printed, or as its column is called."""
    called = {quote(trait) if "`" not in trait else trait: a for a, trait in enumerate(traits)}
    called |= {trait: a for a, trait in enumerate(traits)}
    if name not in called:
        near = difflib.get_close_matches(name, traits, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else "."
        what = f"at(): no response is called {name}{meant} The responses are: {', '.join(traits)}"
        raise FormulaError(what, parsed.source, some.span.start, some.span.stop)
    return called[name]


def _merged(every: Terms, more: Sequence[tuple[str, ...]]) -> Terms:
    """Terms by degree, each once, as one formula has them."""
    seen: dict[frozenset[str], tuple[str, ...]] = {}
    for term in (*every, *more):
        seen.setdefault(frozenset(term), term)
    return tuple(sorted(seen.values(), key=len))
