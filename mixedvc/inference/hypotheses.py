"""Hypotheses about coefficients as people write them: matrices, dictionaries, and text such as ``"a - 2*b = 1"``.

Text is read by a scanner that knows the coefficients' names (which may hold any character, as ``poly(x, 2)[1]``),
numbers and + - * / ( ) =; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..design.frames import listed, nearest
from ..errors import FormulaError, OptionError

Float = NDArray[np.float64]
MAX_LENGTH, MAX_NESTING = 10_000, 60
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_WORD = re.compile(r"(?:`[^`]*`|[^\W\d][\w.]*)(?:\[[^\]]*\]|:(?:`[^`]*`|[\w.]+))*")


@dataclass(frozen=True)
class Hypotheses:
    """Rows of L β = rhs with a label each.

    Attributes
    ----------
    L : (c, p)
    rhs : (c,)
    labels : tuple of str
    """

    L: Float
    rhs: Float
    labels: tuple[str, ...]


def hypotheses(given: Any, names: Sequence[str], rhs: Any = None, aliased: Sequence[str] = ()) -> Hypotheses:
    """Read what a user calls contrasts.

    Parameters
    ----------
    given : object
        A row or matrix of numbers; a frame with coefficients as columns; text, ``"a - b = 0"``; a dictionary from
        coefficients to weights; a list of any of these, or a dictionary from labels to them.
    names : sequence of str
        Of the coefficients.
    rhs : number or sequence, optional
        Right-hand sides; text brings its own.
    aliased : sequence of str
        Names of columns that were dropped, to say so.

    Raises
    ------
    OptionError
        Anything that does not fit the model.
    FormulaError
        Text that cannot be read, with the place.
    """
    reader = _Reader(tuple(names), tuple(aliased))
    rows = reader.read(given, None)
    if not rows:
        raise OptionError("no contrast was given")
    L = np.array([row for _, row, _ in rows])
    own = np.array([value for _, _, value in rows])
    if not (np.isfinite(L).all() and np.isfinite(own).all()):
        raise OptionError("the contrasts hold numbers that are missing or infinite")
    return Hypotheses(L, _right_hand_side(rhs, own), tuple(label for label, _, _ in rows))


def _right_hand_side(rhs: Any, own: Float) -> Float:
    if rhs is None:
        return own
    if own.any():
        raise OptionError("rhs= is given twice: in the text of a hypothesis, after '=', and as an option")
    try:
        values = np.asarray(rhs, dtype=float)
        return np.array(np.broadcast_to(values, own.shape))
    except (TypeError, ValueError):
        raise OptionError(f"rhs= needs one number, or {len(own)}: one for each row of the contrasts") from None


Row = tuple[str, Float, float]  # label, weights, right-hand side


class _Reader:
    def __init__(self, names: tuple[str, ...], aliased: tuple[str, ...]):
        self.names, self.aliased, self.p = names, aliased, len(names)
        self.place = {name: j for j, name in enumerate(names)}
        if "Intercept" in self.place:
            self.place.setdefault("(Intercept)", self.place["Intercept"])

    def read(self, given: Any, label: str | None) -> list[Row]:
        if isinstance(given, str):
            row, value = Text(given, self).equation()
            return [(label or given.strip(), row, value)]
        if hasattr(given, "columns") and hasattr(given, "to_numpy"):
            return self._frame(given)
        if hasattr(given, "items"):
            return self._mapping(given, label)
        if isinstance(given, Sequence) and not len(given):
            return []
        if isinstance(given, Sequence) and any(not isinstance(item, int | float | np.number) for item in given):
            if all(isinstance(item, Sequence | np.ndarray) and not isinstance(item, str) for item in given):
                return self._matrix(given, label)
            return [row for item in given for row in self.read(item, None)]
        return self._matrix(given, label)

    def _mapping(self, given: Any, label: str | None) -> list[Row]:
        items = list(given.items())
        if all(isinstance(value, int | float | np.number) for _, value in items):
            row = np.zeros(self.p)
            for name, value in items:
                row[self.index(name)] += float(value)
            return [(label or self.describe(row), row, 0.0)]
        found: list[Row] = []
        for name, value in items:
            rows = self.read(value, str(name))
            found += rows if len(rows) == 1 else [(f"{name}[{i + 1}]", b, c) for i, (_, b, c) in enumerate(rows)]
        return found

    def _frame(self, given: Any) -> list[Row]:
        L = np.zeros((len(given), self.p))
        for name in given.columns:
            L[:, self.index(name)] += given[name].to_numpy(dtype=float)
        return [(str(label), row, 0.0) for label, row in zip(given.index, L, strict=True)]

    def _matrix(self, given: Any, label: str | None) -> list[Row]:
        try:
            L = np.atleast_2d(np.array(given, dtype=float))
        except (TypeError, ValueError):
            raise OptionError(
                "contrasts are rows of numbers, a dictionary of coefficients or text such as 'a - b = 0', not "
                f"{given!r}"
            ) from None
        if L.ndim != 2 or L.shape[1] != self.p:
            raise OptionError(f"contrasts have {L.shape[-1]} columns, the model has {self.p} fixed effects")
        one = len(L) == 1
        return [(label or self.describe(row), row, 0.0) if one else (self.describe(row), row, 0.0) for row in L]

    def index(self, name: Any) -> int:
        """Place of a coefficient."""
        where = self.place.get(name) if isinstance(name, str) else None
        if where is None:
            self.unknown(str(name))
        return where

    def unknown(self, name: str) -> NoReturn:
        """Refuse a name."""
        if name in self.aliased:
            raise OptionError(
                f"the column {name!r} was dropped, being a linear combination of others, so its coefficient is not "
                "estimable"
            )
        near = nearest(name, self.names)
        hint = near if near.startswith("; did") else f". The coefficients are: {listed(self.names)}"
        raise OptionError(f"no coefficient is called {name!r}{hint}")

    def describe(self, row: Float) -> str:
        """``a - 2*b`` of a row of weights; long rows are cut."""
        parts: list[str] = []
        for name, weight in zip(self.names, row, strict=True):
            if weight:
                sign = ("-" if weight < 0 else "") if not parts else (" - " if weight < 0 else " + ")
                size = "" if abs(weight) == 1 else f"{abs(weight):.4g}*"
                parts.append(f"{sign}{size}{name}")
        return "".join(parts[:6]) + (" …" if len(parts) > 6 else "") or "0"


@dataclass(frozen=True)
class Linear:
    """weights · β + constant."""

    weights: Float
    constant: float

    @property
    def is_number(self) -> bool:
        return not self.weights.any()


class Text:
    """A recursive-descent reader of one equation: sums of products, of which at most one factor holds coefficients."""

    def __init__(self, source: str, reader: _Reader):
        if len(source) > MAX_LENGTH:
            raise OptionError(f"a hypothesis has {len(source):,} characters; at most {MAX_LENGTH:,} are read")
        self.source, self.reader, self.at, self.depth = source, reader, 0, 0
        self.by_length = sorted(reader.place, key=len, reverse=True)

    def equation(self) -> tuple[Float, float]:
        """Weights and right-hand side of ``left = right`` (``= 0`` may be left out)."""
        left = self.sum()
        right = Linear(np.zeros(self.reader.p), 0.0)
        if self.take("==") or self.take("="):
            right = self.sum()
        if self.at < len(self.source):
            self.fail("this cannot stand here")
        weights, constant = left.weights - right.weights, right.constant - left.constant
        if not weights.any():
            self.fail("this hypothesis holds no coefficient", 0, len(self.source))
        return weights, constant

    def sum(self) -> Linear:
        total = self.product()
        while True:
            if self.take("+"):
                other, sign = self.product(), 1.0
            elif self.take("-"):
                other, sign = self.product(), -1.0
            else:
                return total
            total = Linear(total.weights + sign * other.weights, total.constant + sign * other.constant)

    def product(self) -> Linear:
        total = self.factor()
        while True:
            start = self.at
            if self.take("*"):
                other = self.factor()
                if not total.is_number and not other.is_number:
                    self.fail("coefficients are multiplied by each other: hypotheses are linear", start)
                number, rest = (total, other) if total.is_number else (other, total)
                total = Linear(rest.weights * number.constant, rest.constant * number.constant)
            elif self.take("/"):
                other = self.factor()
                if not other.is_number or other.constant == 0.0:
                    self.fail("the divisor is zero or holds a coefficient: hypotheses are linear", start)
                total = Linear(total.weights / other.constant, total.constant / other.constant)
            else:
                return total

    def factor(self) -> Linear:
        if self.take("-"):
            inner = self.factor()
            return Linear(-inner.weights, -inner.constant)
        if self.take("+"):
            return self.factor()
        name = self.name()
        if name is not None:
            weights = np.zeros(self.reader.p)
            weights[self.reader.place[name]] = 1.0
            return Linear(weights, 0.0)
        if self.take("("):
            self.depth += 1
            if self.depth > MAX_NESTING:
                self.fail(f"more than {MAX_NESTING} nested parentheses")
            inner = self.sum()
            if not self.take(")"):
                self.fail("a ')' is missing here")
            self.depth -= 1
            return inner
        return self.number()

    def name(self) -> str | None:
        """The longest coefficient's name that starts here and does not go on as a word."""
        self.skip()
        rest = self.source[self.at :]
        for name in self.by_length:
            for spelled in (name, f"`{name}`"):
                if rest.startswith(spelled) and not _goes_on(spelled, rest[len(spelled) :][:1]):
                    self.at += len(spelled)
                    return name
        return None

    def number(self) -> Linear:
        found = _NUMBER.match(self.source, self.at)
        if found is not None:
            self.at = found.end()
            self.skip()
            return Linear(np.zeros(self.reader.p), float(found.group()))
        word = _WORD.match(self.source, self.at)
        if word is not None:
            self.reader.unknown(word.group().strip("`"))
        self.fail("a coefficient or a number is needed here")

    def take(self, text: str) -> bool:
        self.skip()
        if not self.source.startswith(text, self.at):
            return False
        self.at += len(text)
        self.skip()
        return True

    def skip(self) -> None:
        while self.at < len(self.source) and self.source[self.at] in " \t":
            self.at += 1

    def fail(self, message: str, start: int | None = None, stop: int | None = None) -> NoReturn:
        raise FormulaError(message, self.source, self.at if start is None else start, stop)


def _goes_on(name: str, following: str) -> bool:
    """Whether what follows belongs to the name: a word's letters, an interaction, a level in brackets."""
    in_word = bool(name) and (name[-1].isalnum() or name[-1] in "_.")
    return following in (":", "[") or (in_word and (following.isalnum() or following in ("_", ".")))


def named_rows(given: Mapping[str, Any], count: int) -> tuple[Float, tuple[str, ...]]:
    """Weights of `count` means from a dictionary label → weights."""
    rows = []
    for label, weights in given.items():
        try:
            row = np.array(weights, dtype=float)
        except (TypeError, ValueError):
            raise OptionError(f"the weights of {label!r} are not numbers: {weights!r}") from None
        if row.shape != (count,):
            raise OptionError(f"the contrast {label!r} has {row.size} weights for {count} means")
        rows.append(row)
    return np.array(rows), tuple(map(str, given))
