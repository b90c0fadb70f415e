"""MCMCglmm's formulas: variance functions and their groups, ``at.level()``, what has no counterpart named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from .rdeparse import deparse1
from .rexpr import Node, RSyntaxError, parse_one

Float = NDArray[np.float64]

VARIANCES = ("us", "idh", "idv")
NO_VARIANCE = {
    "cor": "correlation matrices without variances are not available: us() has both",
    "corg": "variances held at one beside free correlations are not available: us() frees both, and prior fix = 1 "
    "holds the whole matrix",
    "corgh": "variances held beside free correlations are not available: us() frees both",
    "cors": "blocks of correlations are not available: us() frees them all, idh() has none",
    "cph": "antedependence of a phylogeny is not available",
    "str": "str() lets two groupings share a covariance matrix, which is not available; terms of their own are "
    "independent: random = ~ a + b",
    "mm": "multiple membership is not available",
}
NO_EFFECT = {
    "spl": "spl(): penalised splines are not available; write the basis as columns of the data",
    "sir": "sir(): simultaneous and recursive models are not available",
    "path": "path(): path analysis is not available",
    "me": "me(): measurement error in covariates is not available",
    "mult.memb": "mult.memb(): multiple membership is not available",
    "offset": "offset() in a formula is ignored by MCMCglmm; subtract the column from the response",
    "s": "s(): smooths are not available; write the basis as columns of the data",
}


@dataclass(frozen=True)
class VarianceTerm:
    """One term of ``random=`` or ``rcov=``.

    Attributes
    ----------
    kind : str
        "us" | "idh" | "idv" | "plain" (a grouping alone).
    effects : str
        The formula in brackets with placeholders for ``at.level()``; empty where plain.
    shown : str
        The formula in brackets as written.
    groups : tuple of str
    text : str
        The whole term, in R's spelling.
    """

    kind: str
    effects: str
    shown: str
    groups: tuple[str, ...]
    text: str

    @property
    def group(self) -> str:
        """``a:b``."""
        return ":".join(self.groups)


@dataclass
class Indicators:
    """Columns made for ``at.level(f, level)`` and ``at.set(f, levels)``, by the placeholder that a formula has.

    Attributes
    ----------
    levels : callable
        Levels of a factor by its name and the level of every row: ``levels("sex") -> (levels, codes)``.
    columns : dict of str to (n,)
        0 and 1.
    names : dict of str to str
        R's name of each column.
    rules : dict of str to (str, tuple of str)
        The factor, and the levels marked.
    """

    levels: Callable[[str], tuple[list[Any], NDArray[np.intp]]]
    columns: dict[str, Float] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    rules: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)

    def add(self, shown: str, factor: str, which: tuple[int, ...]) -> str:
        """The placeholder of the column that marks rows whose level is among `which`."""
        for name, old in self.names.items():
            if old == shown:
                return name
        name = f"at_level_{len(self.names) + 1}_"
        levels, codes = self.levels(factor)
        self.columns[name] = np.isin(codes, which).astype(np.float64)
        self.names[name] = shown
        self.rules[name] = (factor, tuple(str(levels[code]) for code in which))
        return name

    def shown(self, text: str) -> str:
        """R's spelling of a name made of placeholders."""
        for name, old in self.names.items():
            text = text.replace(name, old)
        return text


def one_sided(source: str, what: str) -> Node:
    """The right side of ``~ …``."""
    if not isinstance(source, str):
        raise OptionError(f"{what}= is a formula as text, e.g. '~animal', not a {type(source).__name__}")
    try:
        node = parse_one(source)
    except RSyntaxError as error:
        raise OptionError(f"{what}=: {error}") from None
    if node.kind == "prefix" and node.text == "~":
        return node.parts[0]
    raise OptionError(f"{what}={source!r} is no formula with one side: write e.g. {what}='~animal'")


def variance_terms(source: str, what: str, indicators: Indicators) -> tuple[VarianceTerm, ...]:
    """The terms of ``random=`` or ``rcov=``, in their order."""
    return tuple(_term(node, what, indicators) for node in _sum(one_sided(source, what)))


def _sum(node: Node) -> list[Node]:
    out: list[Node] = []
    while node.kind == "infix" and node.text == "+":
        out.append(node.parts[1])
        node = node.parts[0]
    if node.kind == "paren":
        return [*_sum(node.parts[0]), *out[::-1]]
    return [node, *out[::-1]]


def _chain(node: Node) -> list[Node]:
    """Parts joined by ``:``."""
    out: list[Node] = []
    while node.kind == "infix" and node.text == ":":
        out.append(node.parts[1])
        node = node.parts[0]
    return [node, *out[::-1]]


def _term(node: Node, what: str, indicators: Indicators) -> VarianceTerm:
    text = deparse1(node)
    parts = _chain(node)
    first = parts[0]
    kind, effects, shown = "plain", "", ""
    if first.kind == "call":
        name = first.function
        if name not in VARIANCES:
            raise OptionError(f"{what}=: {_refused(name)}")
        if len(first.parts) != 2:
            raise OptionError(f"{what}=: {name}() takes one formula, as in {name}(1 + x):g")
        kind, shown = name, deparse1(first.parts[1])
        effects = deparse1(substituted(first.parts[1], what, indicators))
        parts = parts[1:]
        if not parts:
            raise OptionError(f"{what}=: {text} names no group: write {text}:g")
    groups = []
    for part in parts:
        if part.kind == "call":
            raise OptionError(f"{what}=: {_refused(part.function, grouping=True)}")
        if part.kind not in ("name", "string"):
            raise OptionError(
                f"{what}=: {text!r}: a term is a grouping, g or a:b, perhaps after a variance function, us(1 + x):g"
            )
        groups.append(part.text)
    return VarianceTerm(kind, effects, shown, tuple(groups), text)


def _refused(name: str, grouping: bool = False) -> str:
    if name.startswith("ante") or name.startswith("antec"):
        return f"{name}(): antedependence is not available; us() has any covariance among the effects"
    if name in NO_VARIANCE:
        return f"{name}(): {NO_VARIANCE[name]}"
    if name in NO_EFFECT:
        return NO_EFFECT[name]
    if name == "at.level":
        return "at.level() stands inside a variance function: us(at.level(f, 1)):g"
    if grouping:
        return f"{name}(): a grouping is a column of the data; make the column first"
    return f"{name}() is no variance function: us(), idh() and idv() are available"


def check_function(node: Node, what: str) -> None:
    """Refuse a call that has no counterpart in a formula."""
    name = node.function
    if name in NO_EFFECT or name in NO_VARIANCE or name.startswith("ante"):
        raise OptionError(f"{what}=: {_refused(name)}")


def substituted(node: Node, what: str, indicators: Indicators) -> Node:
    """The expression with a column in the place of every ``at.level()``; refuses what has no counterpart."""
    name = node.function
    if name in ("at.level", "at.set"):
        return _indicator(node, what, indicators)
    check_function(node, what)
    spine: list[Node] = []
    while node.kind == "infix":
        spine.append(node)
        node = node.parts[0]
    if spine:
        made = substituted(node, what, indicators)
    else:
        parts = tuple(substituted(p, what, indicators) for p in node.parts)
        made = replace(node, parts=parts)
    for outer in reversed(spine):
        made = replace(outer, parts=(made, substituted(outer.parts[1], what, indicators)))
    return made


def _indicator(node: Node, what: str, indicators: Indicators) -> Node:
    text = deparse1(node)
    if len(node.parts) != 3 or node.parts[1].kind not in ("name", "string"):
        raise OptionError(f"{what}=: {text}: write {node.function}(f, level) with f a column of the data")
    factor = node.parts[1].text
    levels, _ = indicators.levels(factor)
    which = _levels(node.parts[2], factor, levels, text, what)
    if node.function == "at.set" or len(which) == 1:
        names = [indicators.add(text, factor, tuple(which))]
    else:
        names = [indicators.add(f"{text}{i + 1}", factor, (code,)) for i, code in enumerate(which)]
    made = Node("name", names[0], node.start, node.stop)
    for name in names[1:]:
        made = Node("infix", "+", node.start, node.stop, (made, Node("name", name, node.start, node.stop)))
    return made if len(names) == 1 else Node("paren", "(", node.start, node.stop, (made,))


def _levels(node: Node, factor: str, levels: list[Any], text: str, what: str) -> list[int]:
    """Positions of the levels named: by name or by number from 1, one or ``c(…)`` or ``1:2``."""
    if node.function == "c":
        return [code for part in node.parts[1:] for code in _levels(part, factor, levels, text, what)]
    if node.kind == "infix" and node.text == ":":
        ends = [_levels(part, factor, levels, text, what)[0] for part in node.parts]
        return list(range(ends[0], ends[1] + 1))
    if node.kind == "string" and node.text in map(str, levels):
        return [[str(level) for level in levels].index(node.text)]
    if node.kind == "number":
        place = float(node.text.removesuffix("L"))
        if place == int(place) and 1 <= place <= len(levels):
            return [int(place) - 1]
    known = ", ".join(map(str, levels[:8])) + (", …" if len(levels) > 8 else "")
    raise OptionError(f"{what}=: {text}: {deparse1(node)} is no level of {factor!r}, which has {known}")


def core_effects(term: VarianceTerm) -> str:
    """Left of a bar: the intercept is there only where the formula says so."""
    pieces = _sum(parse_one(term.effects))
    explicit = any(p.kind == "number" and p.text == "1" for p in pieces)
    if explicit:
        rest = [deparse1(p) for p in pieces if not (p.kind == "number" and p.text == "1")]
        return " + ".join(["1", *rest])
    return f"0 + {term.effects}"


@dataclass(frozen=True)
class Fixed:
    """``fixed=``: responses and the right side, with placeholders.

    Attributes
    ----------
    responses : tuple of str
        Columns; of a single response any expression.
    right, shown : str
        With placeholders, and the whole formula in R's spelling.
    """

    responses: tuple[str, ...]
    right: str
    shown: str


def responses_of(source: str) -> tuple[str, ...]:
    """The responses left of ``~``."""
    if not isinstance(source, str):
        raise OptionError(f"fixed= is a formula as text, e.g. 'y ~ x', not a {type(source).__name__}")
    try:
        node = parse_one(source)
    except RSyntaxError as error:
        raise OptionError(f"fixed=: {error}") from None
    if node.kind != "infix" or node.text != "~":
        raise OptionError(f"fixed={source!r}: a formula with a response is needed, e.g. 'y ~ x'")
    left = node.parts[0]
    if left.function == "c" or left.function == "cbind":
        bad = [p for p in left.parts[1:] if p.kind not in ("name", "string")]
        if bad:
            raise OptionError(
                f"fixed=: {deparse1(bad[0])} in {left.function}(): name columns; transform them in the data first"
            )
        names = tuple(p.text for p in left.parts[1:])
        if len(set(names)) < len(names) or not names:
            raise OptionError(f"fixed=: {deparse1(left)} names a response twice, or none")
        return names
    return (deparse1(left),)


def fixed_formula(source: str, indicators: Indicators) -> Fixed:
    """Read ``fixed=``; `responses_of` has checked its left side."""
    node = parse_one(source)
    if "|" in {part.text for part in _walk(node.parts[1]) if part.kind == "infix"}:
        raise OptionError("fixed=: bars are lme4's grammar; random terms stand in random='~us(1 + x):g'")
    right = substituted(node.parts[1], "fixed", indicators)
    return Fixed(responses_of(source), deparse1(right), deparse1(node))


def _walk(node: Node) -> list[Node]:
    out, stack = [], [node]
    while stack:
        out.append(stack.pop())
        stack += out[-1].parts
    return out


def names_in(text: str) -> set[str]:
    """Plain names that an expression uses."""
    return {node.text for node in _walk(parse_one(text)) if node.kind == "name"}


def group_columns(terms: tuple[VarianceTerm, ...], known: Mapping[str, Any]) -> None:
    """Refuse an interaction of groups one of which has a known covariance, as MCMCglmm does."""
    for term in terms:
        both = [name for name in term.groups if name in known]
        if both and len(term.groups) > 1:
            raise OptionError(
                f"random=: {term.text}: {both[0]!r} has a known covariance and cannot be crossed with another "
                f"grouping; write idh({term.groups[0] if term.groups[0] != both[0] else term.groups[1]}):{both[0]}"
            )
