"""Arithmetic in a formula has R's precedence: trees walked here give R's values."""

import ast
import json
import math
import operator
from pathlib import Path

import pytest
from numpy.testing import assert_allclose

from mixedvc.formula.allowlist import canonical, check
from tests.tolerances import IDENTITY

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "formula_terms" / "arithmetic.json").read_text())
BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: math.pow,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def _walk(node, columns):
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            return columns[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_walk(operand, columns)
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            return BINARY[type(op)](_walk(left, columns), _walk(right, columns))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=keywords):
            values = [_walk(a, columns) for a in (*args, *(k.value for k in keywords))]
            return abs(*values) if name == "abs" else getattr(math, name)(*values)
    raise AssertionError(ast.dump(node))


@pytest.mark.parametrize("case", REFERENCE["expressions"], ids=lambda c: c["text"])
def test_arithmetic_has_the_value_that_r_gives_it(case):
    columns = REFERENCE["at"]
    text = canonical(f"I({case['text']})")
    again = ast.parse(text, mode="eval")
    assert ast.dump(check(text)) == ast.dump(check(f"I({case['text']})")) == ast.dump(again)
    (inside,) = check(text).body.args
    assert_allclose(_walk(inside, columns), case["value"], **IDENTITY)
