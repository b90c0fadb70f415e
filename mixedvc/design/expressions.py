"""The value of a factor: a walk over the allow-listed tree of its text, in numpy; nothing is compiled."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError
from ..formula import allowlist
from .contrasts import Contrast
from .frames import Column, labels_of, listed, plain_label
from .transforms import ELEMENTWISE, REMEMBERING, Memory, remembered

Float = NDArray[np.float64]
_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}
_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Categories:
    """A categorical value: codes (n,), −1 where missing, levels in order, and how it asked to be coded."""

    codes: NDArray[np.intp]
    levels: NDArray[np.object_]
    ordered: bool = False
    contrast: Contrast | None = None
    logical: bool = False


Value = Float | Categories


@lru_cache(maxsize=512)
def names_in(text: str) -> tuple[str, ...]:
    """Columns that a factor reads."""
    return (text,) if text.isidentifier() else allowlist.names(text)


@lru_cache(maxsize=512)
def _tree(text: str) -> ast.expr:
    return allowlist.check(text).body


@dataclass(frozen=True)
class Evaluator:
    """Evaluates canonical factor texts on one table.

    Attributes
    ----------
    column : callable
        Column by name.
    memory : dict
        What each remembering call learned; filled on the first table, only read on later ones.
    """

    column: Callable[[str], Column]
    memory: dict[str, Memory] = field(default_factory=dict)

    def value(self, text: str) -> Value:
        """Numbers (n,) or (n, c), or Categories."""
        with np.errstate(all="ignore"):  # values that are not finite are reported with their row later
            if text.isidentifier():
                return self._column(text)
            return self._walk(_tree(text), text)

    def numbers(self, text: str, what: str) -> Float:
        """A value that must be numbers (n,)."""
        value = self.value(text)
        if isinstance(value, Categories) or value.ndim != 1:
            kind = "a factor" if isinstance(value, Categories) else "several columns"
            raise BindError(f"{what} {text!r} is {kind}; one column of numbers is needed")
        return value

    def _column(self, name: str) -> Value:
        column = self.column(name)
        if column.levels is None:
            return column.values
        if column.kind == "time":
            raise BindError(
                f"column {name!r} holds dates or times: make a number of it first, e.g. days since the first, "
                f"(d - d.min()) / pd.Timedelta('1D'), or write factor({name}) to use it as labels"
            )
        return Categories(column.values, column.levels, column.ordered, logical=column.kind == "logical")

    def _walk(self, node: ast.expr, text: str) -> Value:
        match node:
            case ast.Name(id=name):
                return self._column(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return np.negative(self._operand(operand, text))
            case ast.BinOp(left=left, op=op, right=right):
                return np.asarray(
                    _ARITHMETIC[type(op)](self._operand(left, text), self._operand(right, text)), dtype=np.float64
                )
            case ast.Compare(left=left, ops=[op], comparators=[right]):
                return self._compare(left, op, right, text)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
                return self._call(name, args, keywords, text)
        raise BindError(f"{text!r} cannot be evaluated")

    def _operand(self, node: ast.expr, text: str) -> Any:
        """Numbers for arithmetic: constants as they are, logicals as 0 and 1."""
        if isinstance(node, ast.Constant):
            return node.value
        value = self._walk(node, text)
        if not isinstance(value, Categories):
            return value
        if value.logical:
            return np.where(value.codes < 0, np.nan, value.codes)
        raise BindError(f"{text!r} computes with a factor (levels {listed(value.levels, 3)}); numbers are needed")

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> Categories:
        sides = [self._comparable(side, op, text) for side in (left, right)]
        result = np.asarray(_COMPARE[type(op)](sides[0][0], sides[1][0]))
        missing = np.broadcast_to(sides[0][1] | sides[1][1], result.shape)
        codes = np.where(missing, -1, result.astype(np.intp))
        return Categories(codes, np.array([False, True], dtype=object), logical=True)

    def _comparable(self, node: ast.expr, op: ast.cmpop, text: str) -> tuple[Any, Any]:
        """Values that can be compared, and where they are missing; factors only by == and !=."""
        if isinstance(node, ast.Constant):
            return node.value, np.bool_(False)
        value = self._walk(node, text)
        if not isinstance(value, Categories):
            return value, np.isnan(value)
        if value.logical:
            return value.codes, value.codes < 0
        if not isinstance(op, ast.Eq | ast.NotEq):
            raise BindError(f"{text!r} compares a factor by size; only == and != are defined")
        return value.levels[value.codes], value.codes < 0

    def _call(self, name: str, args: list[ast.expr], keywords: list[ast.keyword], text: str) -> Value:
        if name == "C":
            return self._contrasted(args, text)
        options = [_constant(a) for a in args[1:]]
        named = {str(k.arg): _constant(k.value) for k in keywords}
        if name in ("factor", "ordered"):
            return self._factor(name == "ordered", args[0], text, *options, **named)
        if name == "I":
            return self._walk(args[0], text)
        x = self._operand(args[0], text)
        if x.ndim != 1:
            raise BindError(f"{text!r}: {name}() of several columns; one column is needed")
        if name in REMEMBERING:
            return remembered(
                name, x, options, named, self.memory.setdefault(ast.dump(_call_key(name, args, keywords)), {})
            )
        return np.asarray(ELEMENTWISE[name](x, *options, **named), dtype=np.float64)

    def _contrasted(self, args: list[ast.expr], text: str) -> Categories:
        """``C(f, contr.sum)``, ``C(f, contr.treatment(base=2))``."""
        found = self._categories(args[0], text)
        contrast = None
        match args[1:]:
            case [ast.Attribute(attr=kind)]:
                contrast = Contrast(kind)
            case [ast.Call(func=ast.Attribute(attr=kind), keywords=[ast.keyword(value=base)])]:
                contrast = Contrast(kind, _constant(base))
        return Categories(found.codes, found.levels, found.ordered, contrast or found.contrast)

    def _factor(self, ordered: bool, node: ast.expr, text: str, levels: Any = None, labels: Any = None) -> Categories:
        """``factor(x, levels, labels)``: cells that are none of `levels` are missing, as in R."""
        found = self._categories(node, text)
        codes, have = found.codes, found.levels
        if levels is not None:
            wanted = [plain_label(v) for v in (levels if isinstance(levels, list) else [levels])]
            place = {level: i for i, level in enumerate(wanted)}
            moved = np.array([place.get(level, -1) for level in have] + [-1], dtype=np.intp)
            codes, have = moved[codes], np.array(wanted, dtype=object)
        if labels is not None:
            new = labels if isinstance(labels, list) else [labels]
            if len(new) != len(have) or len(set(new)) != len(new):
                raise BindError(f"{text!r}: {len(have)} levels need {len(have)} different labels, not {new!r}")
            have = np.array(new, dtype=object)
        return Categories(codes, have, ordered or found.ordered)

    def _categories(self, node: ast.expr, text: str) -> Categories:
        """Any column as categories: numbers by value, times by their ISO text."""
        if isinstance(node, ast.Name):
            column = self.column(node.id)
            codes, levels = labels_of(column)
            return Categories(codes, levels, column.ordered)
        value = self._walk(node, text)
        if isinstance(value, Categories):
            return value
        if value.ndim != 1:
            raise BindError(f"{text!r}: a factor of several columns; one column is needed")
        codes, levels = labels_of(Column(text, "number", value))
        return Categories(codes, levels)


def _call_key(name: str, args: list[ast.expr], keywords: list[ast.keyword]) -> ast.Call:
    return ast.Call(ast.Name(name), args, keywords)


def _constant(node: ast.expr) -> Any:
    """A constant argument: number, text, True/False/None, or a list of them."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=elements):
            return [_constant(e) for e in elements]
    raise BindError("a constant is needed as an argument")
