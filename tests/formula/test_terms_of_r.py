"""The expansion of fixed terms is that of R's terms.formula."""

import json
from pathlib import Path

import pytest

from mixedvc.formula.allowlist import canonical
from mixedvc.formula.parse import expand_dot, parse

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "formula_terms" / "terms.json").read_text())


def _compare(formula, expected):
    terms = [list(term.factors) for term in formula.fixed if term.factors]
    wanted = [[canonical(v) for v in (t if isinstance(t, list) else [t])] for t in expected["terms"]]
    assert terms == wanted
    assert any(term.factors == () for term in formula.fixed) == bool(expected["intercept"])


@pytest.mark.parametrize("expected", REFERENCE["plain"], ids=lambda e: e["formula"])
def test_terms_and_their_order_are_those_of_r(expected):
    _compare(parse(expected["formula"]), expected)


@pytest.mark.parametrize("expected", REFERENCE["dots"], ids=lambda e: e["formula"])
def test_a_dot_expands_as_in_r(expected):
    formula = parse(expected["formula"])
    assert formula.has_dot
    expanded = expand_dot(formula, REFERENCE["columns"])
    assert not expanded.has_dot
    _compare(expanded, expected)
