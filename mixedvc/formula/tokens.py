"""Formula text to tokens with positions, in one pass: what is not on the list of tokens is refused under a caret."""

from __future__ import annotations

import re
from typing import NamedTuple, NoReturn

from ..errors import FormulaError

MAX_LENGTH = 50_000
MAX_NESTING = 60
MAX_NUMBER = 40

_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
    |(?P<number>(?>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?L?))(?![A-Za-z0-9_.])
    |(?P<name>(?:[A-Za-z_]|\.(?!\d))[A-Za-z0-9_.]*)
    |(?P<quoted>`[^`]*`)
    |(?P<string>"[^"\\]*"|'[^'\\]*')
    |(?P<percent>%[A-Za-z0-9_./]*%)
    |(?P<op>\*\*|\|\||<=|>=|==|!=|<-|[-+*/^:~|(),=<>%\[\]])
    """,
    re.VERBOSE | re.ASCII,
)
_CLOSES = {")": "(", "]": "["}
_SPELLED = {
    "{": "braces do not belong in a formula; nothing in it is executed",
    "}": "braces do not belong in a formula; nothing in it is executed",
    "$": "'$' does not belong in a formula: give the column's name and the table in data=",
    "@": "'@' does not belong in a formula",
    ";": "';' does not belong in a formula: it is one expression",
    "\\": "a backslash does not belong in a formula",
    "&": "'&' does not belong in a formula: make the combined column first",
    "!": "'!' does not belong in a formula; did you mean '!='?",
    "`": "this back-quote is never closed",
    '"': "this quote is never closed (a string here has no backslashes)",
    "'": "this quote is never closed (a string here has no backslashes)",
    "%": "this operator is not closed: '%in%' or '%%'",
}


class Token(NamedTuple):
    """One token of ``source[start:stop]``.

    `kind` is ``"name"``, ``"quoted"`` (a back-quoted name, `text` without the quotes), ``"number"``, ``"string"``
    (`text` without the quotes), ``"op"`` or ``"end"``.
    """

    kind: str
    text: str
    start: int
    stop: int


def tokenize(source: str) -> list[Token]:
    """Tokens of a formula, ending with one of kind ``"end"``.

    Raises
    ------
    FormulaError
        For text that is too long, nested too deeply or unbalanced, and for every character outside the grammar:
        unicode outside back-quotes, control characters anywhere (with the code point).
    """
    if not isinstance(source, str):
        raise FormulaError(f"a formula is text such as 'y ~ x + (1 | g)', not {type(source).__name__}")
    if len(source) > MAX_LENGTH:
        raise FormulaError(f"the formula has {len(source):,} characters; at most {MAX_LENGTH:,} are read")
    tokens: list[Token] = []
    open_brackets: list[int] = []
    at, end, match = 0, len(source), _TOKEN.match
    while at < end:
        found = match(source, at)
        if found is None:
            _refuse(source, at)
        kind, stop = str(found.lastgroup), found.end()
        if kind == "op":
            text = source[at:stop]
            tokens.append(Token("op", text, at, stop))
            if text in "([)]":
                _balance(source, at, text, open_brackets)
        elif kind != "space":
            tokens.append(_operand(source, kind, at, stop))
        at = stop
    if open_brackets:
        at = open_brackets[-1]
        raise FormulaError(f"this '{source[at]}' is never closed", source, at)
    tokens.append(Token("end", "", end, end))
    return tokens


def _balance(source: str, at: int, text: str, open_brackets: list[int]) -> None:
    """Keep the stack of open brackets."""
    if text in "([":
        open_brackets.append(at)
        if len(open_brackets) > MAX_NESTING:
            raise FormulaError(f"more than {MAX_NESTING} nested parentheses", source, at)
    elif not open_brackets or source[open_brackets[-1]] != _CLOSES[text]:
        raise FormulaError(f"this '{text}' closes nothing", source, at)
    else:
        open_brackets.pop()


def _operand(source: str, kind: str, at: int, stop: int) -> Token:
    """Name, number or string token after the checks that a regular expression does not make."""
    text = source[at:stop]
    if kind == "name":
        if "__" in text and (text.startswith("__") or "." in text):
            what = f"{text!r} reads like an attribute of Python; back-quote it if a column has this name"
            raise FormulaError(what, source, at, stop)
        return Token("name", text, at, stop)
    if kind == "number":
        if len(text) > MAX_NUMBER:
            raise FormulaError(f"a number of more than {MAX_NUMBER} characters", source, at, stop)
        return Token("number", text.removesuffix("L"), at, stop)
    if kind == "percent":
        if text not in ("%in%", "%%"):
            raise FormulaError(f"unknown operator {text}; '%in%' and, inside I(), '%%' are known", source, at, stop)
        return Token("op", "%" if text == "%%" else text, at, stop)
    inner = text[1:-1]
    if not inner.isprintable():
        bad = next(i for i, c in enumerate(inner) if not c.isprintable())
        raise FormulaError(f"{code_point(inner[bad])} cannot stand in a name or string", source, at + 1 + bad)
    if kind == "quoted" and not inner.strip():
        raise FormulaError("an empty name between back-quotes", source, at, stop)
    return Token(kind, inner, at, stop)


def _refuse(source: str, at: int) -> NoReturn:
    """Explain the character at which no token starts."""
    char = source[at]
    if char.isascii() and char.isdigit():
        word = re.compile(r"[A-Za-z0-9_.]*", re.ASCII).match(source, at)
        stop = word.end() if word else at + 1
        what = f"{source[at:stop][:40]!r} is neither a number nor a name; back-quote a name that starts with a digit"
        raise FormulaError(what, source, at, stop)
    if char in _SPELLED:
        raise FormulaError(_SPELLED[char], source, at)
    if char.isascii() and char.isprintable():
        raise FormulaError(f"{char!r} does not belong in a formula", source, at)
    hint = "; back-quote a column name that contains it" if char.isprintable() else "; a formula is one line of text"
    raise FormulaError(f"unexpected character {code_point(char)}{hint}", source, at)


def code_point(char: str) -> str:
    """``"U+0430 CYRILLIC SMALL LETTER A"``."""
    import unicodedata

    plain = {"\n": "LINE FEED (newline)", "\r": "CARRIAGE RETURN", "\0": "NULL"}
    return f"U+{ord(char):04X} {plain.get(char) or unicodedata.name(char, '(unnamed)')}"
