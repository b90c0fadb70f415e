"""The list of what may be computed in a formula; everything else is refused before anything runs.

`check` turns the text of a factor into a standard-library syntax tree that contains nothing but

* ``ast.Name``: a column (its id is the column's name without back-quotes, dots and all), or the function of a call;
* ``ast.Call`` of a name in `TRANSFORMS`, or of ``contr.treatment`` as second argument of ``C``;
* ``ast.Attribute``: only ``contr.treatment``, ``.sum``, ``.helmert``, ``.poly``, only as second argument of ``C``;
* ``ast.BinOp`` (Add Sub Mult Div Pow Mod), ``ast.UnaryOp`` (USub), ``ast.Compare`` (one comparison);
* ``ast.Constant`` (int below 2**53, finite float, str, bool, None) and, as a whole argument, ``ast.List`` of constants.

Arithmetic between constants is done here, so a walker never meets ``9 ** 9 ** 9``.  The tree is meant to be walked;
it is never compiled.
"""

from __future__ import annotations

import ast
import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from ..errors import FormulaError
from .canonical import expression_text
from .syntax import Binary, Call, Items, Name, Node, Number, Paren, Sum, Text, Unary, expression
from .tokens import Token

MAX_OPERATORS = 200


@dataclass(frozen=True)
class Transform:
    """What a call may look like.

    Attributes
    ----------
    params : tuple of str
        Parameters in order; the first takes an expression of columns, the others constants.
    kind : str
        ``"elementwise"`` (a function of one cell), ``"stateful"`` (remembers a number of the fitted data, as scale
        does), ``"basis"`` (several columns, remembers), ``"factor"`` (categorical) or ``"identity"``.
    """

    params: tuple[str, ...]
    kind: str


TRANSFORMS: dict[str, Transform] = {
    "log": Transform(("x", "base"), "elementwise"),
    **{name: Transform(("x",), "elementwise") for name in ("log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs")},
    "scale": Transform(("x", "center", "scale"), "stateful"),
    "center": Transform(("x",), "stateful"),
    "poly": Transform(("x", "degree", "raw"), "basis"),
    "bs": Transform(("x", "df", "knots", "degree", "intercept", "boundary_knots"), "basis"),
    "ns": Transform(("x", "df", "knots", "intercept", "boundary_knots"), "basis"),
    "C": Transform(("x", "contr"), "factor"),
    "factor": Transform(("x", "levels", "labels"), "factor"),
    "ordered": Transform(("x", "levels", "labels"), "factor"),
    "I": Transform(("x",), "identity"),
}
"""Functions allowed in a formula, by name: parameters and kind."""

CONTRASTS = ("treatment", "sum", "helmert", "poly")
"""Contrasts allowed as ``C(f, contr.<name>)``."""

ALIASES = {"as.factor": "factor", "as.ordered": "ordered"}
_PARAMETERS = {"Boundary.knots": "boundary_knots", "contrasts": "contr"}
_NUMPY = ("log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs")
_WORDS = {"TRUE": True, "True": True, "FALSE": False, "False": False, "NULL": None, "None": None}
_ARITHMETIC: dict[str, Callable[[], ast.operator]] = {"*": ast.Mult, "/": ast.Div, "%": ast.Mod, "^": ast.Pow}
_COMPARE: dict[str, Callable[[], ast.cmpop]] = {
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "==": ast.Eq,
    "!=": ast.NotEq,
}
_LOAD = ast.Load()


def check(text: str) -> ast.Expression:
    """The tree of one factor, with nothing in it that is not on the list (see the module's docstring).

    Parameters
    ----------
    text : str
        Canonical text of a factor, a response or an offset; R's spelling is read as well.

    Raises
    ------
    FormulaError
        With a caret under whatever is not allowed.

    Examples
    --------
    >>> ast.unparse(check("np.log(x + 1)"))
    'log(x + 1)'
    """
    return ast.Expression(tree(expression(text), text))


def canonical(text: str) -> str:
    """Canonical text of an expression: Python syntax, names that are no identifiers in back-quotes."""
    return expression_text(check(text).body)


def names(text: str) -> tuple[str, ...]:
    """Columns that an expression reads, in order of appearance.

    Examples
    --------
    >>> names("I(a * `b c` + log(a))")
    ('a', 'b c')
    """
    return tuple(dict.fromkeys(columns(check(text).body)))


def columns(node: ast.expr) -> list[str]:
    """Column names in a tree, in order, repeats included."""
    match node:
        case ast.Name(id=name):
            return [name]
        case ast.Call(args=args, keywords=keywords):
            return [n for a in (*args, *(k.value for k in keywords)) for n in columns(a)]
        case ast.BinOp(left=left, right=right):
            return columns(left) + columns(right)
        case ast.Compare(left=left, comparators=[right]):
            return columns(left) + columns(right)
        case ast.UnaryOp(operand=operand):
            return columns(operand)
    return []


def factor_text(node: Node, source: str) -> str:
    """Canonical text of a term's factor: a column or an allowed call."""
    return expression_text(tree(node, source))


def tree(node: Node, source: str) -> ast.expr:
    """The syntax tree of an expression of columns; raises FormulaError where it leaves the list."""
    if _operators(node) > MAX_OPERATORS:
        what = f"more than {MAX_OPERATORS} operators in one expression: compute it as a column of the data first"
        _fail(what, source, node)
    found = _data(node, source)
    if isinstance(found, ast.Constant | ast.UnaryOp) and not columns(found):
        _fail("a constant where a column is needed", source, node)
    return found


def _operators(node: Node) -> int:
    """Number of operators, which bounds the height of the tree."""
    match node:
        case Sum(parts=parts):
            return len(parts) + sum(_operators(part) for _, part in parts)
        case Binary(left=left, right=right):
            return 1 + _operators(left) + _operators(right)
        case Paren(inner=inner) | Unary(operand=inner):
            return 1 + _operators(inner)
        case Call(args=args, keywords=keywords):
            return 1 + sum(map(_operators, args)) + sum(_operators(value) for _, value in keywords)
    return 0


def column(node: Name, source: str) -> str:
    """The column that a name stands for."""
    if not node.quoted and node.name in _WORDS:
        _fail(f"{node.name} is a constant; back-quote it if a column has this name", source, node)
    if not node.quoted and node.name == "lambda":
        _fail("functions cannot be written in a formula; back-quote lambda if a column has this name", source, node)
    return node.name


def _data(node: Node, source: str) -> ast.expr:
    """An expression of columns and numbers."""
    match node:
        case Name():
            if node.name == "." and not node.quoted:
                _fail("'.' cannot stand inside a function", source, node)
            return ast.Name(column(node, source), _LOAD)
        case Number():
            return _number(node.value, source, node)
        case Paren(inner=inner):
            return _data(inner, source)
        case Call():
            return _call(node, source)
        case Unary(op=op, operand=operand):
            inside = _data(operand, source)
            return inside if op == "+" else _negative(inside)
        case Sum():
            return _sum(node, source)
        case Binary(op=op) if op in _ARITHMETIC:
            return _fold(_ARITHMETIC[op](), _data(node.left, source), _data(node.right, source), source, node)
        case Binary(op=op) if op in _COMPARE:
            left, right = (_text_or_data(side, source) for side in (node.left, node.right))
            if not columns(left) and not columns(right):
                _fail("a comparison without a column", source, node)
            return ast.Compare(left, [_COMPARE[op]()], [right])
        case Binary():
            _operator(node, source)
        case Text():
            _fail("a string where a column is needed (strings are constants; columns go without quotes)", source, node)
    _fail("a list of constants can only be a whole argument, as in knots=c(1, 2)", source, node)


def _text_or_data(node: Node, source: str) -> ast.expr:
    return ast.Constant(node.value) if isinstance(node, Text) else _data(node, source)


def _operator(node: Binary, source: str) -> NoReturn:
    """Refuse a formula operator inside a function."""
    if node.op in ("|", "||"):
        what = "a bar cannot stand inside a function or be part of arithmetic: add it as a term, … + (1 | g)"
    elif node.op == ":":
        what = "':' inside a function is no interaction; write a list of numbers as c(1, 2, 3)"
    else:
        what = f"'{node.op}' cannot stand inside a function"
    raise FormulaError(what, source, node.at, node.at + len(node.op))


def _sum(node: Sum, source: str) -> ast.expr:
    total = _data(node.parts[0][1], source)
    for added, part in node.parts[1:]:
        total = _fold(ast.Add() if added else ast.Sub(), total, _data(part, source), source, node)
    return total


def _negative(inside: ast.expr) -> ast.expr:
    if isinstance(inside, ast.UnaryOp):
        return inside.operand
    return ast.UnaryOp(ast.USub(), inside)


def _number(value: int | float, source: str, node: Node) -> ast.expr:
    """A finite constant; integers beyond 2**53 become floats, a sign becomes an operator as Python's parser has it."""
    if isinstance(value, int) and abs(value) > 2**53:
        value = float(value)
    if not math.isfinite(value):
        _fail("this does not give a finite number", source, node)
    if math.copysign(1.0, value) < 0:
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def _value(node: ast.expr) -> int | float | None:
    """The number that a tree without columns stands for, else None."""
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(operand=ast.Constant(value=int() | float() as value)):
            return -value
    return None


def _fold(op: ast.operator, left: ast.expr, right: ast.expr, source: str, node: Node) -> ast.expr:
    """``left op right``, computed at once where both are numbers."""
    a, b = _value(left), _value(right)
    if a is None or b is None:
        return ast.BinOp(left, op, right)
    try:
        match op:
            case ast.Add():
                value = a + b
            case ast.Sub():
                value = a - b
            case ast.Mult():
                value = a * b
            case ast.Div():
                value = a / b
            case ast.Mod():
                value = a % b
            case _:
                value = math.pow(a, b)
    except (ArithmeticError, ValueError):
        value = math.nan
    exact = isinstance(a, int) and isinstance(b, int) and isinstance(value, float) and value.is_integer()
    return _number(int(value) if exact and abs(value) < 2**53 else value, source, node)


def _call(node: Call, source: str) -> ast.expr:
    """A call of a listed function."""
    name = _function(node, source)
    transform = TRANSFORMS[name]
    given = _arguments(node, name, transform, source)
    if "x" not in given:
        _fail(f"{name}() needs a column", source, node)
    x = _data(given["x"], source)
    if not columns(x):
        _fail(f"{name}() of a constant: a column is needed", source, given["x"])
    func = ast.Name(name, _LOAD)
    if name == "C":
        contrast = _contrast(given, source)
        return ast.Call(func, [x, contrast] if contrast else [x], [])
    args, keywords = [x], []
    positional = len(node.args)
    for place, (param, value) in enumerate(given.items()):
        if param == "x":
            continue
        value_tree = constant(value, f"the argument {param!r} of {name}()", source)
        if place < positional:
            args.append(value_tree)
        else:
            keywords.append(ast.keyword(param, value_tree))
    return ast.Call(func, args, keywords)


def _function(node: Call, source: str) -> str:
    """The listed name of a called function."""
    name = ALIASES.get(node.name, node.name)
    for prefix in ("np.", "numpy."):
        if name.startswith(prefix) and name.removeprefix(prefix) in _NUMPY:
            name = name.removeprefix(prefix)
    if name in TRANSFORMS:
        return name
    stop = node.start + len(node.name)
    if node.name in ("at.level", "trait.level"):
        what = f"{node.name}() is at() here: at(y1, x) is an effect of x on the response y1 alone"
        raise FormulaError(what, source, node.start, stop)
    if node.name in ("c", "gr", "cbind", "offset", "common", "at", "us", "diag", "cs", "ar1", "fa", "rr"):
        where = {
            "c": "as an argument, as in knots=c(1, 2)",
            "gr": "right of a bar",
            "cbind": "left of '~'",
            "offset": "as a term of its own, added with '+'",
            "common": "as a term of its own, added with '+': the product goes inside, as in common(x:z)",
            "at": "as a term of its own, added with '+': at(trait, 'y1'):x of R is at(y1, x) here",
        }
        around = "around a bar that is added as a term, (1 | g); us(trait):g of R is (1 | g) of several responses here"
        what = f"{node.name}() can only stand {where.get(node.name, around)}"
        raise FormulaError(what, source, node.start, stop)
    near = difflib.get_close_matches(node.name[:40], TRANSFORMS, n=1)
    meant = f"; did you mean {near[0]}()?" if near else ""
    what = f"{node.name[:60]}() is not allowed in a formula{meant} Allowed: {', '.join(TRANSFORMS)}"
    what = what if near else what.replace(" Allowed:", ". Allowed:", 1)
    raise FormulaError(f"{what}. Compute anything else as a column of the data first", source, node.start, stop)


def _arguments(node: Call, name: str, transform: Transform, source: str) -> dict[str, Node]:
    """Parameter → argument, positional ones first."""
    params = (*transform.params, "base") if name == "C" else transform.params
    if len(node.args) > len(transform.params):
        extra = node.args[len(transform.params)]
        takes = ", ".join(transform.params)
        _fail(f"{name}() takes {len(transform.params)} arguments ({takes})", source, extra)
    given = dict(zip(transform.params, node.args, strict=False))
    for token, value in node.keywords:
        param = _PARAMETERS.get(token.text, token.text)
        if param not in params:
            what = f"{name}() has no argument {token.text!r}; it has {', '.join(params)}"
            raise FormulaError(what, source, token.start, token.stop)
        if param in given:
            raise FormulaError(f"the argument {param!r} is given twice", source, token.start, token.stop)
        given[param] = value
    return given


def constant(node: Node, what: str, source: str) -> ast.expr:
    """A constant argument: number, string, TRUE/FALSE/NULL or ``c(…)`` of those."""
    match node:
        case Call(name="c", args=elements, keywords=()) | Items(elements=elements):
            if not elements:
                _fail(f"{what} is an empty list", source, node)
            return ast.List([_scalar(e, what, source) for e in elements], _LOAD)
    return _scalar(node, what, source)


def _scalar(node: Node, what: str, source: str) -> ast.expr:
    match node:
        case Text(value=value):
            return ast.Constant(value)
        case Name(name=name, quoted=False) if name in _WORDS:
            return ast.Constant(_WORDS[name])
        case Name(name=name):
            hint = {"T": " (write TRUE)", "F": " (write FALSE)"}.get(name, "")
            _fail(f"{what} must be a constant, not the name {name!r}{hint}", source, node)
        case Call() | Items():
            _fail(f"{what} must be a constant", source, node)
    found = _data(node, source)
    if _value(found) is None:
        _fail(f"{what} must be a constant", source, node)
    return found


def _contrast(given: dict[str, Node], source: str) -> ast.expr | None:
    """The second argument of ``C``: ``contr.sum`` or ``contr.treatment(base=…)``, also from ``"contr.sum"``."""
    node, base = given.get("contr"), given.get("base")
    name = "contr.treatment"
    keywords: tuple[tuple[Token, Node], ...] = ()
    match node:
        case Name(name=name) | Text(value=name):
            pass
        case Call(name=name, args=()):
            keywords = node.keywords
        case Call():
            _fail("the arguments of a contrast go by name, as in contr.treatment(base=2)", source, node)
        case None:
            if base is None:
                return None
        case _:
            _fail("the second argument of C() is a contrast such as contr.sum", source, node)
    if not name.startswith("contr.") or name.removeprefix("contr.") not in CONTRASTS:
        known = ", ".join(f"contr.{c}" for c in CONTRASTS)
        _fail(f"{name[:40]!r} is not a contrast; C() knows {known}", source, node or given["x"])
    attribute = ast.Attribute(ast.Name("contr", _LOAD), name.removeprefix("contr."), _LOAD)
    for token, value in keywords:
        if token.text != "base" or base is not None:
            raise FormulaError(f"{name}() has no argument {token.text!r} here", source, token.start, token.stop)
        base = value
    if base is None:
        return attribute
    if attribute.attr != "treatment":
        _fail(f"only contr.treatment has a base, not {name}", source, base)
    return ast.Call(attribute, [], [ast.keyword("base", _scalar(base, "base", source))])


def _fail(message: str, source: str, node: Node) -> NoReturn:
    raise FormulaError(message, source, node.start, node.stop)
