"""Fixed effects that only some responses have, ``at(y1, x)``, or that all share, ``common(x)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from ..errors import FormulaError
from .allowlist import column, factor_text
from .canonical import quote, traits_text
from .expand import Algebra, Budget
from .syntax import Call, Items, Name, Node, Text
from .terms import FixedTerm, Span, TraitTerms

_AT = "at() takes the response(s) and their effects, as in at(y1, x + z) or at(c(y1, y3), x)"


def trait_terms(node: Call, budget: Budget, variables: Mapping[str, int]) -> TraitTerms:
    """What ``common(…)`` or ``at(…, …)`` says; `variables` of the formula go first in its products.

    Raises
    ------
    FormulaError
        With a caret, for another number of arguments, no response or no effect.
    """
    source, shared = budget.source, node.name == "common"
    if node.keywords:
        token = node.keywords[0][0]
        takes = "common() takes fixed effects, as in common(x + z)" if shared else _AT
        raise FormulaError(f"{takes}; it has no argument {token.text!r}", source, token.start, token.stop)
    if len(node.args) != (1 if shared else 2):
        what = "common() takes fixed effects, added with '+', as in common(x + z)" if shared else _AT
        _fail(what, source, node)
    traits = () if shared else _traits(node.args[0], source)
    algebra = Algebra(budget, dot_allowed=False, where=f"{node.name}()")
    algebra.variables.update(variables)
    terms = algebra.terms(node.args[-1], node.args[-1].start)
    if not terms:
        _fail(f"{node.name}() without an effect", source, node)
    return TraitTerms(traits, terms, traits_text(traits, terms), Span(node.start, node.stop))


def _traits(node: Node, source: str) -> tuple[str, ...]:
    """The responses named: a name, text, a transform as left of ``~``, or ``c(…)`` of those."""
    match node:
        case Call(name="c", args=elements, keywords=()) | Items(elements=elements):
            if not elements:
                _fail(f"no response is named; {_AT}", source, node)
        case _:
            elements = (node,)
    found: list[str] = []
    for element in elements:
        text = _trait(element, source)
        if text in found:
            _fail(f"the response {text} is named twice", source, element)
        found.append(text)
    return tuple(found)


def _trait(node: Node, source: str) -> str:
    match node:
        case Name(name=".", quoted=False):
            _fail("'.' is no response: name it", source, node)
        case Name():
            return quote(column(node, source))
        case Text(value=value):
            return quote(value)
        case Call():
            return factor_text(node, source)
    _fail(f"a response is named as left of '~'; {_AT}", source, node)


def check_shared(terms: Sequence[FixedTerm], of_traits: Iterable[TraitTerms], source: str) -> None:
    """Refuse an effect that all traits share beside one that each has, and one that is shared twice."""
    seen = {frozenset(term.factors): "each response has it already" for term in terms}
    for some in of_traits:
        for term in some.terms if some.shared else ():
            key = frozenset(term.factors)
            if key in seen:
                name = ":".join(term.factors) or "the intercept"
                remedy = "write 0 + common(1)" if not key else "leave one out"
                _refuse(f"common() shares {name}, and {seen[key]}: {remedy}", source, term, some)
            seen[key] = "it is shared already"


def _refuse(message: str, source: str, term: FixedTerm, some: TraitTerms) -> NoReturn:
    span = term.span if term.span.stop > term.span.start else some.span
    raise FormulaError(message, source, span.start, span.stop)


def _fail(message: str, source: str, node: Node) -> NoReturn:
    raise FormulaError(message, source, node.start, node.stop)
