"""An R expression as ``deparse`` writes it: one spelling of spaces, lines broken after operators."""

from __future__ import annotations

import json
import re

from .rexpr import Node, RSyntaxError, parse_one
from .rnumbers import common

CUTOFF = 60
_SPACED = {"+", "-", "*", "~", "|", "||", "&", "&&", "==", "!=", "<", ">", "<=", ">=", "<-", "<<-", "=", "->", "->>"}
_BREAKS = {"+", "-", "*", "|", "||", "&", "&&", "==", "!=", "<", ">", "<=", ">="}
_RESERVED = ("if", "else", "for", "while", "repeat", "function", "break", "next", "in")
_SYNTACTIC = re.compile(r"(?:[^\W\d_]|\.(?!\d))[\w.]*\Z")


class _Buffer:
    """Lines under construction; a line that has more than 60 characters ends at the next operator."""

    def __init__(self, cutoff: int):
        self.lines: list[str] = []
        self.line, self.indent, self.cutoff = "", 0, cutoff

    def write(self, text: str) -> None:
        if not self.line and self.lines:
            self.line = "    " * min(self.indent, 4) + "  " * max(0, self.indent - 4)
        self.line += text

    def full(self) -> bool:
        return len(self.line) > self.cutoff

    def end_line(self) -> None:
        self.lines.append(self.line)
        self.line = ""


def deparse(node: Node, cutoff: int = CUTOFF) -> list[str]:
    """Lines of text."""
    buffer = _Buffer(cutoff)
    _write(node, buffer)
    return [*buffer.lines, buffer.line]


def deparse1(node: Node) -> str:
    """One line, as ``deparse1``."""
    return deparse(node, 10**9)[0]


def formula_lines(text: str) -> list[str]:
    """A formula given as text, deparsed.

    Examples
    --------
    >>> formula_lines("y~x*z+(1|g)")
    ['y ~ x * z + (1 | g)']
    """
    try:
        return deparse(parse_one(text))
    except RSyntaxError:  # something of mixedvc's own grammar
        return [text]


def name_text(name: str) -> str:
    """A name, in back-quotes where R needs them."""
    return name if _SYNTACTIC.match(name) and name not in _RESERVED else f"`{name}`"


def _write(node: Node, out: _Buffer) -> None:
    match node.kind:
        case "number":
            out.write(_number(node.text))
        case "string":
            out.write(json.dumps(node.text, ensure_ascii=False))
        case "name":
            out.write(name_text(node.text))
        case "paren":
            out.write("(")
            _write(node.parts[0], out)
            out.write(")")
        case "prefix":
            out.write(node.text)
            _write(node.parts[0], out)
        case "infix":
            _infix(node, out)
        case "call":
            _write(node.parts[0], out)
            _list(node, out, "(", ")")
        case "index":
            _write(node.parts[0], out)
            _list(node, out, node.text, "]" * len(node.text))
        case "empty":
            pass
        case _:
            raise ValueError(f"{node.text!r} has no place in a formula")


def _number(text: str) -> str:
    if text.endswith(("L", "i")) or text[:2].lower() == "0x":
        return text
    return common([float(text)], 15)[0]


def _infix(node: Node, out: _Buffer) -> None:
    """A chain of operators that associate to the left is written in a loop: it can be long."""
    chain: list[tuple[str, Node]] = []
    while node.kind == "infix":
        chain.append((node.text, node.parts[1]))
        node = node.parts[0]
    _write(node, out)
    for operator, right in reversed(chain):
        out.write(f" {operator} " if operator in _SPACED or operator.startswith("%") else operator)
        broken = operator in _BREAKS and out.full()
        if broken:
            out.indent += 1
            out.end_line()
        _write(right, out)
        out.indent -= broken


def _list(node: Node, out: _Buffer, opening: str, closing: str) -> None:
    out.write(opening)
    for i, (name, value) in enumerate(node.arguments):
        if i:
            out.write(", ")
        if name is not None:
            out.write(f"{name_text(name)} = ")
        _write(value, out)
    out.write(closing)
