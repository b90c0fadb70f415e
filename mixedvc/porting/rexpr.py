"""R's expressions as a tree with positions, and back to text as ``deparse`` writes it; nothing is executed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

from ..errors import MixedVCError

MAX_NESTING = 150
MAX_LENGTH = 2_000_000


class RSyntaxError(MixedVCError):
    """Text that is not R, with line, column and a caret."""


@dataclass(frozen=True)
class Node:
    """One expression.

    Attributes
    ----------
    kind : str
        "number" | "string" | "name" | "call" | "infix" | "prefix" | "index" | "paren" | "block" | "keyword" | "empty".
    text : str
        The number as written, the string's content, the name, the operator, ``[`` or ``[[``, the keyword.
    parts : tuple of Node
        Operands; for calls and indexing the callee first, then the arguments.
    names : tuple of (str or None)
        Of the arguments, in step with ``parts[1:]``, for calls and indexing.
    start, stop : int
        Place in the source.
    """

    kind: str
    text: str
    start: int
    stop: int
    parts: tuple[Node, ...] = ()
    names: tuple[str | None, ...] = ()

    @property
    def arguments(self) -> list[tuple[str | None, Node]]:
        """Names and values of a call's arguments."""
        return list(zip(self.names, self.parts[1:], strict=True))

    @property
    def function(self) -> str:
        """Name of the function called, without its package; empty where it is not a plain name."""
        if self.kind != "call":
            return ""
        callee = self.parts[0]
        if callee.kind == "infix" and callee.text in ("::", ":::"):
            callee = callee.parts[1]
        return callee.text if callee.kind in ("name", "string") else ""


@dataclass(frozen=True)
class Token:
    """One token of ``source[start:stop]``; `kind` is number, string, name, op, newline, comment or end."""

    kind: str
    text: str
    start: int
    stop: int


_TOKEN = re.compile(
    r"""(?P<space>[ \t\f\r\u00a0]+)
    |(?P<newline>\n)
    |(?P<comment>\#[^\n]*)
    |(?P<number>0[xX][0-9a-fA-F]+L?|(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?[Li]?)
    |(?P<raw>[rR](?P<quote>["'])(?P<dashes>-*)\((?:.|\n)*?\)(?P=dashes)(?P=quote))
    |(?P<string>"(?:[^"\\]|\\(?:.|\n))*"|'(?:[^'\\]|\\(?:.|\n))*')
    |(?P<name>(?:[^\W\d_]|\.(?!\d))[\w.]*)
    |(?P<quoted>`[^`]*`)
    |(?P<op><<-|->>|:::|%[^%\n]*%|<-|->|<=|>=|==|!=|&&|\|\||\|>|::|:=|\*\*|[-+*/^~?!&|<>=:$@(){}\[\],;\\])
    """,
    re.VERBOSE,
)
_BINARY = {  # left and right binding power
    "?": (1, 2), "=": (4, 3), "<-": (6, 5), "<<-": (6, 5), ":=": (6, 5), "->": (7, 8), "->>": (7, 8),
    "~": (9, 10), "|": (11, 12), "||": (11, 12), "&": (13, 14), "&&": (13, 14),
    "==": (17, 18), "!=": (17, 18), "<": (17, 18), ">": (17, 18), "<=": (17, 18), ">=": (17, 18),
    "+": (19, 20), "-": (19, 20), "*": (21, 22), "/": (21, 22), "|>": (23, 24), ":": (25, 26),
    "^": (30, 29), "$": (34, 35), "@": (34, 35), "::": (38, 39), ":::": (38, 39),
}  # fmt: skip
_PREFIX = {"-": 27, "+": 27, "!": 15, "~": 10, "?": 2}
_POSTFIX = 34
_KEYWORDS = ("if", "for", "while", "repeat", "function", "break", "next")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def tokens(source: str) -> list[Token]:
    """All tokens with their places, comments too, ending with one of kind ``"end"``."""
    if len(source) > MAX_LENGTH:
        raise RSyntaxError(f"the text has {len(source):,} characters; at most {MAX_LENGTH:,} are read")
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            what = "this quote is never closed" if source[at] in "\"'`" else f"{source[at]!r} is not R"
            fail(what, source, at)
        kind, text = str(match.lastgroup), match.group()
        if kind != "space":
            found.append(_token(kind, text, at, match.end()))
        at = match.end()
    return [*found, Token("end", "", len(source), len(source))]


def _token(kind: str, text: str, start: int, stop: int) -> Token:
    if kind in ("raw", "quote", "dashes"):
        inner = text[2:-1].strip("-")[1:-1]
        return Token("string", inner, start, stop)
    if kind == "string":
        return Token("string", re.sub(r"\\(.|\n)", lambda m: _ESCAPES.get(m[1], m[1]), text[1:-1]), start, stop)
    if kind == "quoted":
        return Token("name", text[1:-1], start, stop)
    return Token(kind, "^" if text == "**" else text, start, stop)


def fail(message: str, source: str, start: int, stop: int | None = None) -> NoReturn:
    """Raise with line, column and a caret."""
    raise RSyntaxError(f"{place(source, start)}: {message}\n{pointed(source, start, stop)}")


def place(source: str, at: int) -> str:
    """``line 2, column 5``."""
    return f"line {source.count(chr(10), 0, at) + 1}, column {at - (source.rfind(chr(10), 0, at) + 1) + 1}"


def pointed(source: str, start: int, stop: int | None = None) -> str:
    """The line of `start` with carets under what is meant."""
    left = source.rfind("\n", 0, start) + 1
    right = source.find("\n", start)
    line = source[left : right if right >= 0 else len(source)]
    width = max(1, min((stop or start + 1) - start, len(line) - (start - left)))
    shown = "".join(ch if ch.isprintable() else " " for ch in line)
    return f"    {shown}\n    {' ' * (start - left)}{'^' * width}"


@dataclass
class _Parser:
    """One pass over the tokens; newlines count only outside parentheses and brackets."""

    source: str
    tokens: list[Token]
    at: int = 0
    depth: int = 0

    def peek(self, quiet: bool) -> Token:
        """The next token; with `quiet`, newlines are skipped first."""
        while self.tokens[self.at].kind == "comment" or (quiet and self.tokens[self.at].kind == "newline"):
            self.at += 1
        return self.tokens[self.at]

    def take(self, quiet: bool) -> Token:
        token = self.peek(quiet)
        self.at += 1
        return token

    def expect(self, text: str, opened: Token) -> Token:
        token = self.take(True)
        if token.kind != "op" or token.text != text:
            if token.kind == "end":
                fail(f"this '{opened.text}' is never closed", self.source, opened.start)
            fail(f"'{text}' is expected here", self.source, token.start, token.stop)
        return token

    def expression(self, least: int, quiet: bool) -> Node:
        self.depth += 1
        if self.depth > MAX_NESTING:
            fail(f"more than {MAX_NESTING} nested expressions", self.source, self.tokens[self.at].start)
        left = self.operand(quiet)
        while True:
            token = self.peek(quiet)
            if token.kind == "op" and token.text in ("(", "[") and least <= _POSTFIX:
                left = self.postfix(left, quiet)
                continue
            powers = self._powers(token)
            if powers is None or powers[0] < least:
                break
            self.at += 1
            right = self.expression(powers[1], True if quiet else self._skip())
            left = Node("infix", token.text, left.start, right.stop, (left, right))
        self.depth -= 1
        return left

    def _skip(self) -> bool:
        """After an operator a newline does not end the expression; the rest of the line counts again."""
        self.peek(True)
        return False

    def _powers(self, token: Token) -> tuple[int, int] | None:
        if token.kind != "op":
            return None
        return (23, 24) if token.text.startswith("%") else _BINARY.get(token.text)

    def operand(self, quiet: bool) -> Node:
        token = self.take(quiet)
        if token.kind == "name" and token.text in _KEYWORDS and self.source[token.start] != "`":
            return self.keyword(token, quiet)
        if token.kind in ("number", "string", "name"):
            return Node(token.kind, token.text, token.start, token.stop)
        if token.kind == "op" and token.text in _PREFIX:
            inner = self.expression(_PREFIX[token.text], True if quiet else self._skip())
            return Node("prefix", token.text, token.start, inner.stop, (inner,))
        if token.kind == "op" and token.text == "(":
            inner = self.expression(1, True)
            return Node("paren", "(", token.start, self.expect(")", token).stop, (inner,))
        if token.kind == "op" and token.text == "{":
            return self.block(token)
        if token.kind == "op" and token.text == "\\":
            return self.keyword(token, quiet)
        what = "the expression ends here too early" if token.kind in ("end", "newline") else f"{token.text!r} here"
        fail(f"{what}: an operand is expected", self.source, min(token.start, max(0, len(self.source) - 1)), token.stop)

    def block(self, opened: Token) -> Node:
        inside: list[Node] = []
        while True:
            token = self.peek(True)
            if token.kind == "op" and token.text in ("}", ";"):
                self.at += 1
                if token.text == "}":
                    return Node("block", "{", opened.start, token.stop, tuple(inside))
                continue
            if token.kind == "end":
                fail("this '{' is never closed", self.source, opened.start)
            inside.append(self.expression(1, False))

    def keyword(self, word: Token, quiet: bool) -> Node:
        """Control flow is read, so that its end is known; it has no translation."""
        parts: list[Node] = []
        text = "function" if word.text == "\\" else word.text
        if text in ("if", "while", "for", "function"):
            opened = self.take(True)
            if opened.text != "(":
                fail(f"'(' is expected after {word.text!r}", self.source, opened.start)
            if text == "function":
                self.arguments(")", opened)
            elif text == "for":
                self.take(True), self.take(True)
                parts.append(self.expression(1, True))
                self.expect(")", opened)
            else:
                parts.append(self.expression(1, True))
                self.expect(")", opened)
        if text not in ("break", "next"):
            self.peek(True)
            parts.append(self.expression(3, quiet))
        if text == "if" and self.peek(quiet).text == "else":
            self.at += 1
            self.peek(True)
            parts.append(self.expression(3, quiet))
        return Node("keyword", text, word.start, parts[-1].stop if parts else word.stop, tuple(parts))

    def postfix(self, callee: Node, quiet: bool) -> Node:
        opened = self.take(quiet)
        if opened.text == "(":
            names, values, stop = self.arguments(")", opened)
            return Node("call", "(", callee.start, stop, (callee, *values), names)
        double = self.tokens[self.at].text == "[" and self.tokens[self.at].start == opened.stop
        if double:
            self.at += 1
        names, values, stop = self.arguments("]", opened)
        if double:
            stop = self.expect("]", opened).stop
        return Node("index", "[[" if double else "[", callee.start, stop, (callee, *values), names)

    def arguments(self, closing: str, opened: Token) -> tuple[tuple[str | None, ...], tuple[Node, ...], int]:
        names: list[str | None] = []
        values: list[Node] = []
        while True:
            token = self.peek(True)
            if token.kind == "op" and token.text == closing:
                self.at += 1
                if names and self._comma:
                    names.append(None)
                    values.append(Node("empty", "", token.start, token.start))
                self._comma = False
                return tuple(names), tuple(values), token.stop
            if token.kind == "end":
                fail(f"this '{opened.text}' is never closed", self.source, opened.start)
            name, value = self.argument()
            names.append(name)
            values.append(value)
            token = self.peek(True)
            self._comma = token.kind == "op" and token.text == ","
            if self._comma:
                self.at += 1
            elif not (token.kind == "op" and token.text == closing):
                if token.kind == "end":
                    fail(f"this '{opened.text}' is never closed", self.source, opened.start)
                fail(f"',' or '{closing}' is expected here", self.source, token.start, token.stop)

    _comma: bool = False

    def argument(self) -> tuple[str | None, Node]:
        token = self.peek(True)
        if token.kind == "op" and token.text == ",":
            return None, Node("empty", "", token.start, token.start)
        if token.kind in ("name", "string"):
            after = self.at + 1
            while self.tokens[after].kind in ("newline", "comment"):
                after += 1
            if self.tokens[after].kind == "op" and self.tokens[after].text == "=":
                self.at = after + 1
                following = self.peek(True)
                if following.kind == "op" and following.text in (",", ")", "]"):
                    return token.text, Node("empty", "", following.start, following.start)
                return token.text, self.expression(5, True)
        return None, self.expression(5, True)


def parse(source: str) -> tuple[Node, ...]:
    """Every expression of a script, in order.

    Raises
    ------
    RSyntaxError
        With line, column and a caret.
    """
    parser = _Parser(source, tokens(source))
    out: list[Node] = []
    while True:
        token = parser.peek(True)
        if token.kind == "end":
            return tuple(out)
        if token.kind == "op" and token.text == ";":
            parser.at += 1
            continue
        out.append(parser.expression(1, False))
        token = parser.peek(False)
        if token.kind not in ("newline", "end") and token.text != ";":
            fail(f"{token.text!r} is not expected here", source, token.start, token.stop)


def parse_one(source: str) -> Node:
    """The one expression of `source`."""
    found = parse(source)
    if len(found) != 1:
        raise RSyntaxError(f"one expression is needed, not {len(found)}: {source[:60]!r}")
    return found[0]


def comments(source: str) -> Iterator[Token]:
    """Comments with their places."""
    return (token for token in tokens(source) if token.kind == "comment")
