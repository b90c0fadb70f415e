"""Any text either is a formula or raises FormulaError, quickly and with nothing else."""

import ast
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from mixedvc.errors import BindError, FormulaError
from mixedvc.formula.allowlist import TRANSFORMS, check
from mixedvc.formula.canonical import formula_text
from mixedvc.formula.parse import expand_dot, parse
from mixedvc.formula.resolve import resolve, settle

CHARACTERS = "abxyg.+-*/:^()|,=<>%~`'\"[]{}@#!&\\ \t\n\0é"
WORDS = """** || %in% %% == <- 0 1 2 -1 1e3 log( poly(x,2) I( C(f,contr.sum) c(1,2) cbind( offset( gr( cov=A cs(
    hom=TRUE (1|g) (x||g) (1|a/b) (0+f|g:A) y~ `a_b.c` 's' lambda __import__ x.y
    cbind(a,b)~ common( common(x) at( at(a, at(c(a,b), fa( rr( us( diag( ,1) traits='diag' factors=2"""
PIECES = st.sampled_from([*CHARACTERS, *WORDS.split()])
SAFE = (ast.Name, ast.Call, ast.Attribute, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant, ast.List, ast.keyword)
SAFE_PARTS = (ast.Expression, ast.operator, ast.unaryop, ast.cmpop, ast.expr_context)


def _parse(source):
    """The formula, or None where it is refused, and the seconds that took."""
    start = time.process_time()
    try:
        return parse(source), time.process_time() - start
    except FormulaError:
        return None, time.process_time() - start


def _read(source):
    """Parse soon; a formula that is read prints, is read again the same and holds only safe trees.

    One parse may be held up by a garbage collection, three are not.
    """
    formula, seconds = _parse(source)
    if seconds > 0.5:
        assert min(_parse(source)[1] for _ in range(3)) < 0.5
    if formula is None:
        return
    if formula.has_dot:
        formula = expand_dot(formula, ["u", "v", "w w"])
    text = formula_text(formula)
    again = parse(text)
    assert again.response == formula.response
    assert _sets(again.fixed) == _sets(formula.fixed)
    assert [_bar(b) for b in again.bars] == [_bar(b) for b in formula.bars]
    assert again.offsets == formula.offsets
    assert _of_traits(again) == _of_traits(formula)
    factors = {f for t in (*formula.every_fixed, *(e for b in formula.bars for e in b.effects)) for f in t.factors}
    for factor in (*factors, *formula.response, *formula.offsets):
        _is_safe(check(factor))
    for responses in (1, 2):
        try:
            bars = settle(formula, resolve(formula, ["a", "b", "g"], ["A"]), responses)
        except (BindError, FormulaError):
            continue
        if responses == len(formula.response):
            assert [_bar(b) for b in resolve(parse(formula_text(formula, bars)), ["a", "b", "g"], ["A"])] == [
                _bar(b) for b in bars
            ]


def _sets(terms):
    """Terms as sets: the order of factors within one is that of first writing, as in R, which printing may change."""
    return {frozenset(t.factors) for t in terms}


def _bar(bar):
    said = bar.structure, bar.options, bar.traits
    return _sets(bar.effects), bar.group, bar.cov, bar.may_be_cov, *said


def _of_traits(formula):
    return [(some.traits, _sets(some.terms)) for some in formula.of_traits]


def _is_safe(tree):
    for node in ast.walk(tree):
        assert isinstance(node, SAFE + SAFE_PARTS)
        if isinstance(node, ast.Attribute):
            assert isinstance(node.value, ast.Name)
            assert node.value.id == "contr"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id in TRANSFORMS


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text):
    _read(text)
    _read(f"y ~ {text}")


@settings(max_examples=1500, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_any_pieces_of_formulas_are_read_or_refused(text):
    _read(text)
    _read(f"y ~ {text}")


ATOMS = st.sampled_from(["a", "b", "x", "`a b`", "log(x)", "1", "0", "I(x^2 %% 3 * z)", "poly(x, 2)"])
ALGEBRA = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", ":", "*", "/", "%in%"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("({})^2".format),
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(ALGEBRA, ALGEBRA)
def test_formulas_of_the_algebra_survive_their_canonical_text(fixed, effects):
    _read(f"y ~ {fixed}")
    _read(f"y ~ {fixed} + ({effects} | g)")


SHARED = st.recursive(
    st.sampled_from(["v", "w", "log(w)", "1", "x"]),
    lambda inner: st.tuples(inner, st.sampled_from(["+", ":", "*"]), inner).map(" ".join),
    max_leaves=4,
)
TRAITS = st.sampled_from(["p", "q", "c(p, q)", "'p'", "log(q)", "r"])
BARS = st.sampled_from(
    ["us({}|g,traits='diag')", "({}||g)", "({}|g)", "fa({}|g,1)", "rr({}|g,factors=2)", "diag({}|g)"]
)


@settings(max_examples=500, deadline=None)
@given(ALGEBRA, SHARED, TRAITS, SHARED, BARS, ALGEBRA)
def test_formulas_of_several_responses_survive_their_canonical_text(fixed, shared, traits, own, bar, effects):
    text = f"cbind(p, q, log(q)) ~ {fixed} + common({shared}) + at({traits}, {own}) + {bar.format(effects)}"
    _read(text)
    _read(text.replace("cbind(p, q, log(q))", "p"))
