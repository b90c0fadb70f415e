"""Formula text to `Formula`: response, fixed terms, random terms and offsets, without seeing data."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NoReturn

from ..errors import FormulaError
from .allowlist import TRANSFORMS, column, names, tree
from .bars import STRUCTURES, bar_terms, check_repeated, is_bar
from .canonical import expression_text, quote
from .expand import Algebra, Budget
from .syntax import Binary, Call, Name, Node, Paren, Parser, Sum
from .terms import FixedTerm, Formula, TraitTerms
from .tokens import Token, tokenize
from .trait_terms import check_shared, trait_terms

_LISTS = ("c", "list", "mvbind", "rbind", "cbind")
_RESPONSE_KINDS = ("elementwise", "stateful", "identity")


def parse(source: str, structures: Collection[str] = STRUCTURES) -> Formula:
    """Read a formula.

    Parameters
    ----------
    source : str
        ``response ~ fixed + (effects | group) + …``; with several responses also ``common(x)`` and ``at(y1, x)``.
    structures : collection of str
        Names that may be wrapped around a bar, e.g. those of the structure registry.

    Returns
    -------
    Formula
        Terms expanded as R's ``terms.formula`` does; ``a/b`` right of a bar and ``||`` expanded as lme4 does.

    Raises
    ------
    FormulaError
        For everything that is not in the grammar, with a caret under the place.

    Examples
    --------
    >>> from mixedvc.formula.canonical import formula_text
    >>> formula_text(parse("Reaction ~ Days + (Days | Subject)"))
    'Reaction ~ 1 + Days + (1 + Days | Subject)'
    """
    return _parse(source, structures, None)


def expand_dot(formula: Formula, columns: Iterable[str]) -> Formula:
    """The formula with ``.`` replaced by all columns that have no other role in it.

    Left out are the columns of the response, of offsets, of grouping factors, and of ``common()`` and ``at()``.
    (R leaves out those of the response; a grouping factor as a fixed effect as well would explain its random effect
    away.)

    Parameters
    ----------
    formula : Formula
        As `parse` gave it; returned as it is if it has no ``.``.
    columns : iterable of str
        Columns of the data that may be covariates, in their order there.

    Raises
    ------
    FormulaError
        If nothing is left, or a column's name is not text or cannot be written in a formula.
    """
    if not formula.has_dot:
        return formula
    used = {name for text in (*formula.response, *formula.offsets) for name in names(text)}
    used |= {name for bar in formula.bars for name in bar.group}
    at = _dot(formula.source)
    dot = []
    for name in columns:
        if not isinstance(name, str):
            what = f"'.' cannot include the column {name!r}, whose name is not text: rename it"
            raise FormulaError(what, formula.source, at)
        if name not in used:
            quote(name)
            dot.append(name)
    if not dot:
        what = "'.' stands for no column: every column of the data has another role in the formula"
        raise FormulaError(what, formula.source, at)
    wrappers = {*STRUCTURES, *(bar.structure for bar in formula.bars)}
    return _parse(formula.source, wrappers, dot)


def _dot(source: str) -> int:
    return next((t.start for t in tokenize(source) if t.kind == "name" and t.text == "."), 0)


def _parse(source: str, structures: Collection[str], dot: list[str] | None) -> Formula:
    """Parse with ``.`` standing for the columns `dot`."""
    tokens = tokenize(source)
    tilde = _tilde(source, tokens)
    response = _response(Parser(source, tokens, 0, tilde).whole("the response"), source)
    right = Parser(source, tokens, tilde + 1).whole("the right-hand side (1 for an intercept alone)")
    specials: list[Node] = []
    fixed = _cut(right, specials)
    budget = Budget(source)
    calls = [node for node in specials if isinstance(node, Call) and not is_bar(node)]
    some = [node for node in calls if node.name != "offset"]
    if dot is not None:
        taken = _read_by(trait_terms(node, budget, {}) for node in some)
        dot = [name for name in dot if name not in taken]
    algebra = Algebra(budget, dot)
    terms = algebra.terms(fixed, tokens[tilde].stop)
    of_traits = tuple(trait_terms(node, budget, algebra.variables) for node in some)
    _not_the_response((*terms, *(term for some in of_traits for term in some.terms)), response, source)
    check_shared(terms, of_traits, source)
    several = len(response) > 1
    bars = tuple(term for node in specials if is_bar(node) for term in bar_terms(node, budget, structures, several))
    check_repeated(bars, source)
    offsets = tuple(_offset(node, source) for node in calls if node.name == "offset")
    return Formula(source, response, terms, bars, offsets, algebra.has_dot and dot is None, of_traits)


def _read_by(of_traits: Iterable[TraitTerms]) -> set[str]:
    """Columns in ``common()`` and ``at()``."""
    texts = (text for some in of_traits for term in some.terms for text in term.factors)
    return {name for text in texts for name in names(text)}


def _tilde(source: str, tokens: list[Token]) -> int:
    """Index of the only ``~``."""
    found = [i for i, t in enumerate(tokens) if t.kind == "op" and t.text == "~"]
    if len(tokens) == 1:
        raise FormulaError("the formula is empty; write one such as 'y ~ x + (1 | g)'", source, 0)
    if not found:
        raise FormulaError("the formula has no '~' between response and terms: 'y ~ …'", source, 0, tokens[-1].start)
    if len(found) > 1:
        raise FormulaError("a second '~'; a formula has one", source, tokens[found[1]].start)
    comma = _bare_comma(tokens[: found[0]])
    if comma is not None:
        raise FormulaError("several responses are written cbind(y1, y2)", source, comma.start)
    if found[0] == 0:
        raise FormulaError("the response is missing: write 'y ~ …'", source, tokens[0].start)
    return found[0]


def _bare_comma(tokens: list[Token]) -> Token | None:
    """The first comma outside of parentheses."""
    depth = 0
    for token in tokens:
        if token.kind == "op":
            depth += (token.text in "([") - (token.text in ")]")
            if token.text == "," and depth == 0:
                return token
    return None


def _response(node: Node, source: str) -> tuple[str, ...]:
    """Canonical text of each response."""
    if is_bar(node):
        raise FormulaError("a bar term cannot be a response", source, node.start, node.stop)
    while isinstance(node, Paren):
        node = node.inner
    if not (isinstance(node, Call) and node.name == "cbind"):
        return (_one_response(node, source),)
    if node.keywords:
        token = node.keywords[0][0]
        raise FormulaError("cbind() takes responses without names", source, token.start, token.stop)
    if not node.args:
        raise FormulaError("cbind() without responses", source, node.start, node.stop)
    texts: list[str] = []
    for arg in node.args:
        text = _one_response(arg, source)
        if text in texts:
            raise FormulaError(f"the response {text} is given twice", source, arg.start, arg.stop)
        texts.append(text)
    return tuple(texts)


def _one_response(node: Node, source: str) -> str:
    if isinstance(node, Name):
        if node.name == "." and not node.quoted:
            raise FormulaError("'.' cannot be a response", source, node.start, node.stop)
        return quote(column(node, source))
    if not isinstance(node, Call) or node.name in _LISTS:
        _no_response(node, source)
    text = expression_text(tree(node, source))
    kind = TRANSFORMS[text.partition("(")[0]].kind
    if kind not in _RESPONSE_KINDS:
        raise FormulaError(f"{node.name}() cannot make a response", source, node.start, node.stop)
    return text


def _no_response(node: Node, source: str) -> NoReturn:
    """What to write for several responses, or for arithmetic."""
    what = "a response is a column, a transform of one, I(…) for arithmetic, or cbind(y1, y2)"
    written = source[node.start : node.stop]
    parts = node.args if isinstance(node, Call) else [part for _, part in node.parts] if isinstance(node, Sum) else ()
    if isinstance(node, Sum | Binary):
        what = f"arithmetic of a response goes into I(): I({written})"
    if parts and all(isinstance(part, Name) for part in parts):
        several = f"several responses are written cbind({', '.join(source[p.start : p.stop] for p in parts)})"
        what = f"{several}; {what}" if isinstance(node, Sum) else several
    raise FormulaError(what, source, node.start, node.stop)


def _cut(node: Node, specials: list[Node]) -> Node | None:
    """Take the added bar terms and offsets out of a sum; what is left is the fixed part."""
    if _special(node):
        specials.append(node)
        return None
    if isinstance(node, Paren):
        inner = _cut(node.inner, specials)
        return None if inner is None else Paren(inner, node.start, node.stop, node.depth)
    if not isinstance(node, Sum):
        return node
    parts = []
    for added, part in node.parts:
        left = _cut(part, specials) if added else part
        if left is not None:
            parts.append((added, left))
    return Sum(tuple(parts), node.start, node.stop, node.depth) if parts else None


def _special(node: Node) -> bool:
    if isinstance(node, Call):
        return node.name in ("offset", "common", "at") or (node.name not in TRANSFORMS and is_bar(node))
    return isinstance(node, Paren) and is_bar(node)


def _offset(node: Node, source: str) -> str:
    """Canonical text of the expression inside ``offset(…)``."""
    assert isinstance(node, Call)
    if len(node.args) != 1 or node.keywords:
        raise FormulaError("offset() takes one expression", source, node.start, node.stop)
    return expression_text(tree(node.args[0], source))


def _not_the_response(terms: tuple[FixedTerm, ...], response: tuple[str, ...], source: str) -> None:
    for term in terms:
        for text in response:
            if text in term.factors:
                what = f"the response {text} also stands right of '~'"
                raise FormulaError(what, source, term.span.start, term.span.stop)
