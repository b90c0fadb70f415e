"""The one spelling of every parsed thing: names, expressions, random terms, whole formulas."""

from __future__ import annotations

import ast
import keyword
import re

from ..errors import FormulaError
from .terms import BarTerm, FixedTerm, Formula

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_OPERATORS: dict[type, tuple[str, float]] = {
    ast.Add: ("+", 2),
    ast.Sub: ("-", 2),
    ast.Mult: ("*", 3),
    ast.Div: ("/", 3),
    ast.Mod: ("%", 2.5),  # looser than Python has it, so that it is bracketed among * and /, where R disagrees
    ast.Pow: ("**", 5),
}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def quote(name: str) -> str:
    """A column or covariance name as canonical text: plain if it is an identifier, else in back-quotes.

    Examples
    --------
    >>> quote("Days"), quote("Sepal.Length"), quote("class")
    ('Days', '`Sepal.Length`', '`class`')
    """
    if _PLAIN.fullmatch(name) and not keyword.iskeyword(name) and name not in _CONSTANTS and not name.startswith("__"):
        return name
    if "`" in name or not name.isprintable() or not name.strip():
        raise FormulaError(f"a column called {name!r} cannot be written in a formula: rename it")
    return f"`{name}`"


_CONSTANTS = ("TRUE", "FALSE", "NULL")


def expression_text(node: ast.expr, least: float = 0) -> str:
    """Python text of an allow-listed tree, names that are no identifiers in back-quotes.

    `least` is the precedence that the surroundings ask for; looser text is put into parentheses.
    """
    match node:
        case ast.Name(id=name):
            return quote(name)
        case ast.Constant(value=value):
            return repr(value)
        case ast.Attribute(value=ast.Name(id=owner), attr=attr):
            return f"{owner}.{attr}"
        case ast.List(elts=elements):
            return f"[{', '.join(map(expression_text, elements))}]"
        case ast.Call(func=func, args=args, keywords=keywords):
            inner = [expression_text(a) for a in args] + [f"{k.arg}={expression_text(k.value)}" for k in keywords]
            name = func.id if isinstance(func, ast.Name) else expression_text(func)
            return f"{name}({', '.join(inner)})"
        case ast.UnaryOp(operand=operand):
            text, binds = f"-{expression_text(operand, 4)}", 4.0
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            text, binds = f"{expression_text(left, 2)} {_COMPARISONS[type(op)]} {expression_text(right, 2)}", 1.0
        case ast.BinOp():
            text, binds = _operation(node)
        case _:
            raise TypeError(f"no canonical text for {ast.dump(node)}")
    return f"({text})" if binds < least else text


def _operation(node: ast.BinOp) -> tuple[str, float]:
    """Text and precedence of a binary operation."""
    binds = _OPERATORS[type(node.op)][1]
    match node.op:
        case ast.Pow():
            left, right = 6.0, 4.0
        case ast.Mod():
            left = right = 4.0
        case _:
            left, right = binds, binds + 0.5 if binds == 2 else 4.0
    # a flat chain of + is deep on the left only: unroll it rather than recurse
    tail: list[str] = []
    while True:
        tail.append(f" {_OPERATORS[type(node.op)][0]} {expression_text(node.right, right)}")
        inner = node.left
        if binds == 2 and isinstance(inner, ast.BinOp) and _OPERATORS[type(inner.op)][1] == 2:
            node = inner
            continue
        return expression_text(inner, left) + "".join(reversed(tail)), binds


def traits_text(traits: tuple[str, ...], terms: tuple[FixedTerm, ...]) -> str:
    """``"common(z + w)"``; with traits ``"at(y1, x)"``, ``"at(c(y1, y3), 1 + x)"``."""
    inner = " + ".join(":".join(term.factors) or "1" for term in terms)
    if not traits:
        return f"common({inner})"
    names = ", ".join(traits)
    return f"at({names if len(traits) == 1 else f'c({names})'}, {inner})"


def effects_text(effects: tuple[FixedTerm, ...]) -> str:
    """``"1 + x + a:b"``; ``"0 + x"`` without an intercept."""
    texts = [":".join(term.factors) for term in effects if term.factors]
    intercept = any(not term.factors for term in effects)
    return " + ".join(["1" if intercept else "0", *texts])


def bar_text(
    effects: tuple[FixedTerm, ...],
    group: tuple[str, ...],
    cov: str | None,
    structure: str,
    options: tuple[tuple[str, object], ...],
    plain: bool = False,
    *,
    traits: str = "",
    double: bool = False,
) -> str:
    """``"(1 + x | g)"``, ``"(1 | gr(kin, cov=A))"``, ``"cs(0 + f | g, hom=True)"``; with `double` ``"(1 + x || g)"``.

    With `plain`, a group of several columns is spelled ``gr(a:b)``, which no covariance name can capture.
    """
    where = ":".join(map(quote, group))
    if cov is not None:
        where = f"gr({where}, cov={quote(cov)})"
    elif plain:
        where = f"gr({where})"
    if double:
        return f"({effects_text(effects)} || {where})"
    every = (*options, *((("traits", traits),) if traits else ()))
    inner = ", ".join([f"{effects_text(effects)} | {where}", *(f"{k}={v!r}" for k, v in every)])
    return f"({inner})" if structure == "us" and not every else f"{structure}({inner})"


def respelled(bar: BarTerm, group: tuple[str, ...], cov: str | None, plain: bool = False, several: bool = False) -> str:
    """A random term's text with another grouping; with `several` responses ``||`` is no ``diag()``."""
    double = bar.double and (several or bar.text.startswith("("))
    return bar_text(bar.effects, group, cov, bar.structure, bar.options, plain, traits=bar.traits, double=double)


def formula_text(formula: Formula, bars: tuple[BarTerm, ...] | None = None) -> str:
    """The whole formula in canonical spelling.

    Parameters
    ----------
    formula : Formula
        Without an unexpanded ``.``.
    bars : tuple of BarTerm, optional
        Resolved random terms to print instead of ``formula.bars``.

    Examples
    --------
    >>> from mixedvc.formula.parse import parse
    >>> formula_text(parse("y ~ a*b - 1 + (x||g)"))
    'y ~ 0 + a + b + a:b + diag(1 + x | g)'
    """
    if formula.has_dot:
        raise FormulaError("the '.' of this formula has no meaning before the columns are known")
    response = formula.response[0] if len(formula.response) == 1 else f"cbind({', '.join(formula.response)})"
    parts = [
        effects_text(formula.fixed),
        *(some.text for some in formula.of_traits),
        *(f"offset({text})" for text in formula.offsets),
    ]
    parts += [bar.text for bar in (formula.bars if bars is None else bars)]
    return f"{response} ~ {' + '.join(parts)}"
