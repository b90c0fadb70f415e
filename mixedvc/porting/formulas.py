"""lme4's reading of a formula: its order of nested groups, the split of ``||``, relationship matrices, ``update``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import groupby

from ..errors import OptionError
from ..formula.canonical import bar_text, effects_text
from ..formula.parse import parse
from ..formula.terms import BarTerm, FixedTerm
from .rdeparse import deparse1
from .rexpr import Node, RSyntaxError, parse_one

RELMAT = "relmat_"


@dataclass(frozen=True)
class LmeFormula:
    """A formula for the core with lme4's labels of its random terms.

    Attributes
    ----------
    source : str
        As given.
    core : str
        What `mixedvc.fit` is given: the source itself where lme4 and mixedvc read it alike.
    shown : str
        What lme4 prints, ``||`` written out.
    groups : tuple of str
        lme4's name of each random term's grouping factor, in the order of `core`: ``"cask:batch"`` for the inner
        group of ``batch/cask``.
    """

    source: str
    core: str
    shown: str
    groups: tuple[str, ...]


def read(source: str, relmat: Collection[str] = ()) -> LmeFormula:
    """Read a formula as lme4 does.

    Parameters
    ----------
    source : str
    relmat : collection of str
        Grouping factors whose levels have a known covariance, called ``relmat_<group>`` in the core formula.

    Raises
    ------
    FormulaError, RSyntaxError, OptionError
    """
    source = _response_wrapped(source)
    bars = parse(source).bars
    groups: list[str] = []
    core, shown = source, source
    changes: list[tuple[int, int, str, str]] = []
    for span, together in groupby(bars, key=lambda bar: (bar.span.start, bar.span.stop)):
        given = tuple(together)
        split = _split(given, "||" in source[span[0] : span[1]])
        groups += [group for _, group, _ in split]
        texts = [_core_text(bar, columns, relmat) for bar, _, columns in split]
        plain = len(split) == 1 and split[0][2] == given[0].group and not _related(given[0].group, relmat)
        if not (plain and split[0][0] is given[0]):
            changes.append((*span, f"({' + '.join(texts)})" if len(texts) > 1 else texts[0], _shown(given, split)))
    for start, stop, text, pretty in reversed(changes):
        core = core[:start] + text + core[stop:]
        if pretty:
            shown = shown[:start] + pretty + shown[stop:]
    absent = [name for name in relmat if not any(_related(bar.group, [name]) for bar in bars)]
    if absent:
        have = ", ".join(repr(":".join(bar.group)) for bar in bars)
        raise OptionError(
            f"relmat/pedigree name {absent[0]!r}, which is no grouping factor of {source!r}: it has {have}"
        )
    return LmeFormula(source, core, _deparsed(shown), tuple(groups))


def _deparsed(source: str) -> str:
    """In R's spelling; as it is where it holds something of mixedvc's own grammar that R cannot read."""
    try:
        return deparse1(_response_bare(parse_one(source)))
    except RSyntaxError:
        return source


def _response_wrapped(source: str) -> str:
    """Arithmetic left of ``~`` in ``I(…)``, which mixedvc asks for and R does not."""
    try:
        node = parse_one(source)
    except RSyntaxError:
        return source  # the core's parser explains what is wrong with a formula
    if node.kind != "infix" or node.text != "~" or node.parts[0].kind not in ("infix", "prefix", "paren"):
        return source
    left = node.parts[0]
    return f"{source[: left.start]}I({source[left.start : left.stop]}){source[left.stop :]}"


def _response_bare(node: Node) -> Node:
    """Without the ``I(…)`` of `_response_wrapped`; one that the user wrote stays, being only text in R too."""
    left = node.parts[0]
    if left.function == "I" and len(left.parts) == 2 and left.parts[1].kind in ("infix", "prefix"):
        return Node(node.kind, node.text, node.start, node.stop, (left.parts[1], *node.parts[1:]))
    return node


def _related(columns: tuple[str, ...], relmat: Collection[str]) -> bool:
    return ":".join(columns) in relmat


def _split(bars: tuple[BarTerm, ...], doubled: bool) -> list[tuple[BarTerm, str, tuple[str, ...]]]:
    """lme4's terms of one bar: (bar with its effects, name of the group, its columns), the innermost group first.

    A `doubled` bar, ``||``, is a term for each effect; the columns of a factor stay together, and correlated.
    """
    named: list[tuple[BarTerm, str, tuple[str, ...]]] = []
    name, columns, outer = "", tuple[str, ...](), 0
    for bar in bars:
        added = bar.group[outer:]
        inside = f"({name})" if ":" in name else name
        name = ":".join([*added, inside]) if name else ":".join(added)
        columns, outer = (*added, *columns), len(bar.group)
        named.append((bar, name, columns))
    named.reverse()
    if not doubled or bars[0].structure != "diag":
        return named
    return [(_one(bar, effect), group, where) for bar, group, where in named for effect in bar.effects]


def _one(bar: BarTerm, effect: FixedTerm) -> BarTerm:
    return BarTerm((effect,), bar.group, bar.cov, bar.may_be_cov, "us", (), bar.text, bar.span)


def _core_text(bar: BarTerm, columns: tuple[str, ...], relmat: Collection[str]) -> str:
    name = ":".join(columns)
    cov = f"{RELMAT}{name}" if _related(columns, relmat) else bar.cov
    return bar_text(bar.effects, columns, cov, bar.structure, bar.options, plain=len(columns) > 1)


def _shown(given: tuple[BarTerm, ...], split: list[tuple[BarTerm, str, tuple[str, ...]]]) -> str:
    """lme4 prints ``||`` as the terms that it became; other terms as they were written."""
    if all(bar in given for bar, _, _ in split):
        return ""
    return f"({' + '.join(f'({effects_text(bar.effects)} | {group})' for bar, group, _ in split)})"


def updated(old: str, new: str) -> str:
    """``update.formula(old, new)``: dots stand for the parts of the old formula, and terms are simplified.

    Examples
    --------
    >>> updated("y ~ x + (x | g)", ". ~ . - x")
    'y ~ (x | g)'
    >>> updated("y ~ x + (1 | g)", "log(.) ~ . + x:z - (1 | g) + (x | g)")
    'log(y) ~ x + (x | g) + x:z'
    """
    before, after = parse_one(old), parse_one(new)
    if after.kind == "prefix" and after.text == "~":
        after = Node("infix", "~", after.start, after.stop, (Node("name", ".", 0, 0), after.parts[0]))
    if after.kind != "infix" or after.text != "~":
        raise OptionError(f"update needs a formula such as '. ~ . - x', not {new!r}")
    left = deparse1(_filled(after.parts[0], before.parts[0], wrap=False))
    return f"{left} ~ {_simplified(_filled(after.parts[1], before.parts[1], wrap=True))}"


def _filled(node: Node, dot: Node, wrap: bool) -> Node:
    """`node` with the name ``.`` replaced; long chains of operators are followed in a loop."""
    spine: list[Node] = []
    while node.kind == "infix":
        spine.append(node)
        node = node.parts[0]
    if node.kind == "name" and node.text == ".":
        node = Node("paren", "(", 0, 0, (dot,)) if wrap else dot
    else:
        parts = tuple(_filled(part, dot, wrap) for part in node.parts)
        node = Node(node.kind, node.text, node.start, node.stop, parts, node.names)
    for outer in reversed(spine):
        right = _filled(outer.parts[1], dot, wrap)
        node = Node("infix", outer.text, outer.start, outer.stop, (node, right))
    return node


def _pieces(node: Node, sign: int) -> list[tuple[int, Node]]:
    """Signed parts of a sum, brackets around sums opened."""
    out: list[tuple[int, Node]] = []
    stack = [(sign, node)]
    while stack:
        sign, node = stack.pop()
        if node.kind == "paren" and not _is_bar(node):
            stack.append((sign, node.parts[0]))
        elif node.kind == "infix" and node.text in ("+", "-"):
            stack += [(sign, node.parts[0]), (sign if node.text == "+" else -sign, node.parts[1])]
        elif node.kind == "prefix" and node.text in ("+", "-"):
            stack.append((sign if node.text == "+" else -sign, node.parts[0]))
        else:
            out.append((sign, node))
    return out[::-1]


def _is_bar(node: Node) -> bool:
    inner = node.parts[0] if node.kind == "paren" else node
    if node.kind == "call" and node.function in ("us", "diag", "cs", "ar1"):
        return len(node.parts) > 1 and _is_bar(node.parts[1])
    return inner.kind == "infix" and inner.text in ("|", "||")


def _simplified(node: Node) -> str:
    """Terms by degree, random terms among those of degree one; ``- 1`` where the intercept was taken out."""
    found: dict[frozenset[str] | str, int] = {}  # sets of factors, or the text of a bar; degrees
    fixed: list[str] = []
    for sign, piece in _pieces(node, 1):
        text = deparse1(piece)
        bar = text if piece.kind != "infix" else f"({text})"
        if not _is_bar(piece):
            fixed.append(f"{'+' if sign > 0 else '-'} {text}")
            if sign > 0 and piece.function != "offset":
                for term in parse(f"y ~ {text}").fixed:
                    found.setdefault(frozenset(term.factors), len(term.factors))
        elif sign > 0:
            found.setdefault(bar, 1)
        else:
            found.pop(bar, None)
    terms = {frozenset(term.factors): _term_text(term) for term in parse(f"y ~ 1 {' '.join(fixed)}").fixed}
    shown = [key if isinstance(key, str) else terms.get(key, "") for key in sorted(found, key=found.__getitem__)]
    out = " + ".join([text for text in shown if text] + [p[2:] for p in fixed if p.startswith("+ offset(")])
    if frozenset() in terms:
        return out or "1"
    return f"{out} - 1" if out else "0"


def _term_text(term: FixedTerm) -> str:
    return ":".join(factor_text(f) for f in term.factors)


def factor_text(canonical: str) -> str:
    """A factor's canonical text in R's spelling: ``I(x^2)``, ``poly(x, 2, raw = TRUE)``."""
    return deparse1(_r_constants(parse_one(re.sub(r"(?<=[=,( ])\[([^\[\]]*)\]", r"c(\1)", canonical))))


def _r_constants(node: Node) -> Node:
    words: Mapping[str, str] = {"True": "TRUE", "False": "FALSE", "None": "NULL"}
    if node.kind == "name" and node.text in words:
        return Node("name", words[node.text], node.start, node.stop)
    parts = tuple(_r_constants(part) for part in node.parts)
    return Node(node.kind, node.text, node.start, node.stop, parts, node.names)
