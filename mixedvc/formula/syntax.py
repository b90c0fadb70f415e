"""Tokens to a tree by operator precedence (that of R), without yet asking what the tree means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from ..errors import FormulaError
from .tokens import Token, tokenize

MAX_DEPTH = 90

# R's ?Syntax, loosest first; '|' and '||' stand alone so that what is left and right of a bar is whole.
_BINDS = {
    "|": 1,
    "||": 1,
    **dict.fromkeys(("<", "<=", ">", ">=", "==", "!="), 2),
    **dict.fromkeys(("+", "-"), 3),
    **dict.fromkeys(("*", "/"), 4),
    **dict.fromkeys(("%in%", "%"), 5),
    ":": 6,
    "^": 8,
    "**": 8,
}
_COMPARE, _SUM, _UNARY, _POWER = 2, 3, 7, 8


@dataclass(frozen=True, slots=True)
class Name:
    """A name; `quoted` if it stood in back-quotes."""

    name: str
    start: int
    stop: int
    quoted: bool = False
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Number:
    """A number literal."""

    value: int | float
    start: int
    stop: int
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Text:
    """A string literal."""

    value: str
    start: int
    stop: int
    depth: int = 1


@dataclass(frozen=True, slots=True)
class Sum:
    """A chain of ``+`` and ``-``: pairs (added?, operand), left to right."""

    parts: tuple[tuple[bool, Node], ...]
    start: int
    stop: int
    depth: int


@dataclass(frozen=True, slots=True)
class Binary:
    """``left op right`` with the operator at ``source[at]``; ``**`` is spelled ``^``."""

    op: str
    left: Node
    right: Node
    at: int
    start: int
    stop: int
    depth: int


@dataclass(frozen=True, slots=True)
class Unary:
    """``+operand`` or ``-operand``."""

    op: str
    operand: Node
    start: int
    stop: int
    depth: int


@dataclass(frozen=True, slots=True)
class Paren:
    """``(inner)``."""

    inner: Node
    start: int
    stop: int
    depth: int


@dataclass(frozen=True, slots=True)
class Items:
    """``[a, b]``, the canonical spelling of ``c(a, b)``."""

    elements: tuple[Node, ...]
    start: int
    stop: int
    depth: int


@dataclass(frozen=True, slots=True)
class Call:
    """``name(args, key=value)``; `keywords` are (name token, value)."""

    name: str
    args: tuple[Node, ...]
    keywords: tuple[tuple[Token, Node], ...]
    start: int
    stop: int
    depth: int


Node = Name | Number | Text | Sum | Binary | Unary | Paren | Items | Call


def expression(source: str) -> Node:
    """The tree of one whole expression, e.g. the canonical text of a factor."""
    tokens = tokenize(source)
    return Parser(source, tokens).whole("an expression")


class Parser:
    """A precedence parser over tokens ``[first, last)``; a workspace that lives for one parse."""

    def __init__(self, source: str, tokens: list[Token], first: int = 0, last: int | None = None):
        self.source, self.tokens, self.at = source, tokens, first
        self.last = len(tokens) - 1 if last is None else last
        self.level = 0

    def whole(self, what: str) -> Node:
        """The expression that takes up all tokens; `what` names it in messages."""
        if self.at == self.last:
            self._fail(f"{what} is missing here")
        node = self._expression(1)
        if self.at != self.last:
            self._unexpected()
        return node

    def _expression(self, least: int) -> Node:
        self.level += 1
        if self.level > MAX_DEPTH:
            self._fail("the formula is nested too deeply")
        left = self._prefix()
        while (op := self._operator()) is not None and (binds := _BINDS[op]) >= least:
            if binds == _SUM:
                left = self._sum(left)
                continue
            token = self.tokens[self.at]
            self.at += 1
            right = self._expression(binds if binds == _POWER else binds + 1)
            depth = 1 + max(left.depth, right.depth)
            if depth > MAX_DEPTH:
                raise FormulaError("too many operators in one chain", self.source, token.start, token.stop)
            name = "^" if op == "**" else op
            left = Binary(name, left, right, token.start, left.start, right.stop, depth)
            if binds == _COMPARE and self._operator() is not None and _BINDS[self.tokens[self.at].text] == _COMPARE:
                self._fail("comparisons cannot be chained; use parentheses")
        self.level -= 1
        return left

    def _sum(self, first: Node) -> Node:
        """All of ``first + b - c …`` as one flat node, so that a long sum is not a deep tree."""
        parts = [(True, first)]
        depth = first.depth
        while self._operator() in ("+", "-"):
            added = self.tokens[self.at].text == "+"
            self.at += 1
            operand = self._expression(_SUM + 1)
            parts.append((added, operand))
            depth = max(depth, operand.depth)
        return Sum(tuple(parts), first.start, parts[-1][1].stop, depth + 1)

    def _operator(self) -> str | None:
        if self.at >= self.last:
            return None
        token = self.tokens[self.at]
        return token.text if token.kind == "op" and token.text in _BINDS else None

    def _prefix(self) -> Node:
        """A name, constant, call, parenthesis or signed operand."""
        if self.at >= self.last:
            self._fail("something is missing here")
        token = self.tokens[self.at]
        kind, text, start, stop = token
        if kind == "op" and text not in ("(", "[", "+", "-"):
            self._unexpected()
        self.at += 1
        if kind == "name":
            if self.at < self.last and self.tokens[self.at].text == "(" and self.tokens[self.at].kind == "op":
                return self._call(token)
            return Name(text, start, stop)
        if kind == "quoted":
            return Name(text, start, stop, True)
        if kind == "number":
            value = int(text) if text.isdigit() else float(text)
            if value == float("inf"):
                raise FormulaError("this number is too large", self.source, start, stop)
            return Number(value, start, stop)
        if kind == "string":
            return Text(text, start, stop)
        if text == "(":
            if self._is("|") or self._is("||"):
                self._fail("nothing stands left of the bar; write 1 for a random intercept")
            inner = self._expression(1)
            return Paren(inner, start, self._expect(")"), inner.depth + 1)
        if text == "[":
            elements = self._elements("]")
            return Items(elements, start, self._expect("]"), 1 + max((e.depth for e in elements), default=0))
        operand = self._expression(_UNARY)
        return Unary(text, operand, start, operand.stop, operand.depth + 1)

    def _elements(self, close: str) -> tuple[Node, ...]:
        elements: list[Node] = []
        while not self._is(close):
            elements.append(self._expression(1))
            if not self._is(","):
                break
            self.at += 1
        return tuple(elements)

    def _call(self, name: Token) -> Call:
        """``name(`` has been seen up to the name."""
        self.at += 1
        args: list[Node] = []
        keywords: list[tuple[Token, Node]] = []
        seen: set[str] = set()
        while not self._is(")"):
            token, after = self.tokens[self.at], self.tokens[min(self.at + 1, self.last)]
            if token.kind in ("name", "quoted") and after.kind == "op" and after.text == "=":
                if token.text in seen:
                    self._fail(f"the argument {token.text!r} is given twice")
                seen.add(token.text)
                self.at += 2
                keywords.append((token, self._expression(1)))
            elif keywords:
                self._fail("an argument without a name follows one with a name")
            else:
                args.append(self._expression(1))
            if not self._is(","):
                break
            self.at += 1
        stop = self._expect(")")
        depth = 1 + max((n.depth for n in (*args, *(v for _, v in keywords))), default=0)
        return Call(name.text, tuple(args), tuple(keywords), name.start, stop, depth)

    def _is(self, op: str) -> bool:
        token = self.tokens[self.at]
        return self.at < self.last and token.kind == "op" and token.text == op

    def _expect(self, op: str) -> int:
        if not self._is(op):
            self._unexpected()
        self.at += 1
        return self.tokens[self.at - 1].stop

    def _fail(self, message: str) -> NoReturn:
        token = self.tokens[self.at]
        raise FormulaError(message, self.source, token.start, max(token.stop, token.start + 1))

    def _unexpected(self) -> NoReturn:
        """Say what cannot stand at the current token, and why where there is a common reason."""
        kind, text, start, _ = self.tokens[self.at]
        before = self.tokens[self.at - 1] if self.at else None
        if kind == "end":
            self._fail("something is missing here")
        if kind != "op":
            ends = before is not None and (before.kind != "op" or before.text in (")", "]"))
            self._fail(f"an operator is missing before {text[:40]!r}" if ends else f"{text[:40]!r} cannot stand here")
        if text == "[" and start:
            self._fail("indexing does not belong in a formula: make the column first")
        if text == "(":
            self._fail("only a named function can be called")
        if text in (")", ",") and before is not None and before.kind == "op" and before.text in ("|", "||"):
            self._fail("nothing stands right of the bar; name the grouping column")
        if text == "~":
            self._fail("'~' cannot stand inside an expression")
        if text == "<-":
            self._fail("'<-' is an assignment; write '< -' to compare with a negative number")
        if text == "=":
            self._fail("'=' cannot stand here; '==' compares")
        self._fail(f"'{text}' cannot stand here")
