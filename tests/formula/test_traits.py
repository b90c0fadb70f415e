"""Formulas of several responses: common(), at(), structures among traits, the residual; where an error points."""

import pytest

from mixedvc.errors import FormulaError
from mixedvc.formula.canonical import formula_text
from mixedvc.formula.parse import expand_dot, parse
from mixedvc.formula.residual import trait_residual
from mixedvc.formula.resolve import resolve, settle

STRUCTURES = ["us", "diag", "cs", "ar1", "fa", "rr"]


@pytest.mark.parametrize(
    ("source", "canonical"),
    [
        ("cbind(a,b)~x+common(z)", "cbind(a, b) ~ 1 + x + common(z)"),
        ("cbind(a,b)~common(z*w)+x", "cbind(a, b) ~ 1 + x + common(z + w + z:w)"),
        ("cbind(a,b)~0+common(1+z)", "cbind(a, b) ~ 0 + common(1 + z)"),
        ("cbind(a,b)~common(poly(z,2))+common(w)", "cbind(a, b) ~ 1 + common(poly(z, 2)) + common(w)"),
        ("cbind(a,b)~at(a,x+log(z))", "cbind(a, b) ~ 1 + at(a, x + log(z))"),
        ("cbind(a,b,d)~x+at(c(a,d),x:z)", "cbind(a, b, d) ~ 1 + x + at(c(a, d), x:z)"),
        ("cbind(a,b)~at(['a', 'b'], x)", "cbind(a, b) ~ 1 + at(c(a, b), x)"),
        ("cbind(log(a),b)~at(log(a),x)", "cbind(log(a), b) ~ 1 + at(log(a), x)"),
        ("cbind(`a b`,b)~at('a b',x)", "cbind(`a b`, b) ~ 1 + at(`a b`, x)"),
        ("cbind(a,b)~0+at(a,1)", "cbind(a, b) ~ 0 + at(a, 1)"),
        ("cbind(a,b)~(x+(common(z)))+offset(o)", "cbind(a, b) ~ 1 + x + common(z) + offset(o)"),
        ("cbind(a,b)~fa(1|g,2)", "cbind(a, b) ~ 1 + fa(1 | g, factors=2)"),
        ("cbind(a,b)~rr(1|g:A,factors=2)", "cbind(a, b) ~ 1 + rr(1 | g:A, factors=2)"),
        ("cbind(a,b)~fa(1|g)", "cbind(a, b) ~ 1 + fa(1 | g)"),
        ("cbind(a,b)~diag(1|g)", "cbind(a, b) ~ 1 + diag(1 | g)"),
        ("cbind(a,b)~(1+x||g)", "cbind(a, b) ~ 1 + (1 + x || g)"),
        ("cbind(a,b)~(x||g/h)", "cbind(a, b) ~ 1 + (1 + x || g) + (1 + x || gr(g:h))"),
        ("cbind(a,b)~(1||g)", "cbind(a, b) ~ 1 + (1 | g)"),
        ("cbind(a,b)~us(1+x|g,traits='diag')", "cbind(a, b) ~ 1 + us(1 + x | g, traits='diag')"),
        ("cbind(a,b)~us(1+x|g,traits='us')", "cbind(a, b) ~ 1 + (1 + x | g)"),
        ("cbind(a,b)~cs(0+f|g,hom=TRUE,traits='diag')", "cbind(a, b) ~ 1 + cs(0 + f | g, hom=True, traits='diag')"),
    ],
)
def test_a_formula_of_several_responses_has_one_canonical_spelling(source, canonical):
    formula = parse(source, STRUCTURES)
    assert formula_text(formula) == canonical
    again = parse(canonical, STRUCTURES)
    assert formula_text(again) == canonical
    assert [(t.traits, [x.factors for x in t.terms]) for t in again.of_traits] == [
        (t.traits, [x.factors for x in t.terms]) for t in formula.of_traits
    ]
    assert [(b.structure, b.options, b.traits, b.double) for b in again.bars] == [
        (b.structure, b.options, b.traits, b.double) for b in formula.bars
    ]


def test_the_words_are_only_words_where_they_are_called():
    assert formula_text(parse("cbind(at, fa) ~ common + (1 | rr)")) == "cbind(at, fa) ~ 1 + common + (1 | rr)"


@pytest.mark.parametrize(
    ("source", "message", "place"),
    [
        ("mvbind(a, b) ~ x", "several responses are written cbind(a, b)", "mvbind(a, b)"),
        ("c(a, b) ~ x", "several responses are written cbind(a, b)", "c(a, b)"),
        ("a + b ~ x", "cbind(a, b); arithmetic of a response goes into I(): I(a + b)", "a + b"),
        ("a, b ~ x", "several responses are written cbind(y1, y2)", ","),
        ("cbind(log(a), b / 100) ~ x", "goes into I(): I(b / 100)", "b / 100"),
        ("cbind(a, c(b, d)) ~ x", "several responses are written cbind(b, d)", "c(b, d)"),
        ("c(a, 1) ~ x", "a response is a column, a transform of one", "c(a, 1)"),
        ("cbind(a,b) ~ us(trait):g", "us(trait):g of R is (1 | g) of several responses here", "us"),
        ("cbind(a,b) ~ common()", "common() takes fixed effects, added with '+'", "common()"),
        ("cbind(a,b) ~ common(x, z)", "common() takes fixed effects, added with '+'", "common(x, z)"),
        ("cbind(a,b) ~ common(x=z)", "it has no argument 'x'", "x"),
        ("cbind(a,b) ~ common(x):z", "common() can only stand as a term of its own", "common"),
        ("cbind(a,b) ~ z*at(a, x)", "at() can only stand as a term of its own", "at"),
        ("cbind(a,b) ~ x - common(x)", "common() can only stand as a term of its own", "common"),
        ("cbind(a,b) ~ log(common(x))", "common() can only stand as a term of its own", "common"),
        ("cbind(a,b) ~ common(at(a, x))", "at() can only stand as a term of its own", "at"),
        ("cbind(a,b) ~ (common(x) | g)", "common() can only stand as a term of its own", "common"),
        ("cbind(a,b) ~ common((1 | g))", "a bar cannot stand inside common()", "common"),
        ("cbind(a,b) ~ common(.)", "'.' cannot stand inside common()", "."),
        ("cbind(a,b) ~ at(., x)", "'.' is no response", "."),
        ("cbind(a,b) ~ at(a, .)", "'.' cannot stand inside at()", "."),
        ("cbind(a,b) ~ at(a, 0 + x)", "at() has no intercept unless 1 is written", "0"),
        ("cbind(a,b) ~ common(x - 1)", "common() has no intercept unless 1 is written", "1"),
        ("cbind(a,b) ~ common(x - x)", "common() without an effect", "common(x - x)"),
        ("cbind(a,b) ~ at(a)", "at() takes the response(s) and their effects", "at(a)"),
        ("cbind(a,b) ~ at(a, b, x)", "at() takes the response(s) and their effects", "at(a, b, x)"),
        ("cbind(a,b) ~ at(c(), x)", "no response is named", "c()"),
        ("cbind(a,b) ~ at(c(a, a), x)", "the response a is named twice", "a"),
        ("cbind(a,b) ~ at(a + b, x)", "a response is named as left of '~'", "a + b"),
        ("cbind(a,b) ~ at(1, x)", "a response is named as left of '~'", "1"),
        ("cbind(a,b) ~ at(foo(a), x)", "foo() is not allowed", "foo"),
        ("cbind(a,b) ~ at(__import__('os'), x)", "reads like an attribute of Python", "__import__"),
        ("cbind(a,b) ~ common(__import__('os'))", "reads like an attribute of Python", "__import__"),
        ("cbind(a,b) ~ at(a, x.__class__)", "reads like an attribute of Python", "x.__class__"),
        ("cbind(a,b) ~ x + common(x + z)", "each response has it already: leave one out", "x"),
        ("cbind(a,b) ~ common(x) + common(x)", "it is shared already", "x"),
        ("cbind(a,b) ~ common(1)", "write 0 + common(1)", "common(1)"),
        ("cbind(a,b) ~ at(a, b)", "the response b also stands right of '~'", "b"),
        ("cbind(a,b) ~ common(a)", "the response a also stands right of '~'", "a"),
        ("cbind(a,b) ~ at.level(trait, 'a'):x", "at.level() is at() here: at(y1, x)", "at.level"),
        ("cbind(a,b) ~ at(trait, 'a'):x", "at(trait, 'y1'):x of R is at(y1, x) here", "at"),
        ("cbind(a,b) ~ fa(1 | g, 1, 2)", "one option that goes without a name, factors", "2"),
        ("cbind(a,b) ~ fa(1 | g, 1, factors=2)", "'factors' is given twice", "2"),
        ("cbind(a,b) ~ fa(1 | g, k)", "must be a constant", "k"),
        ("cbind(a,b) ~ fa(1 | g, c(1, 2))", "takes one value", "c(1, 2)"),
        ("cbind(a,b) ~ cs(1 | g, TRUE)", "options of cs() go by name", "TRUE"),
        ("cbind(a,b) ~ us(1 | g, traits='no')", "'us' (any covariance among responses) or 'diag'", "'no'"),
        ("cbind(a,b) ~ us(1 | g, traits=2)", "'us' (any covariance among responses) or 'diag'", "2"),
        ("cbind(a,b) ~ cs(1 | g, traits='us')", "cs() is over all combinations of traits and effects", "'us'"),
        ("cbind(a,b) ~ rr(1|g, 2) + diag(1|g)", "together are one structure: write fa(…, 2)", "diag(1|g)"),
    ],
)
def test_errors_point_at_the_place(source, message, place):
    with pytest.raises(FormulaError) as caught:
        parse(source, STRUCTURES)
    text, line, carets = str(caught.value).rsplit("\n", 2)
    assert message in text
    start = len(carets) - len(carets.lstrip())
    assert line.strip() == source
    assert line[start : start + carets.count("^")] == place


@pytest.mark.parametrize(
    ("source", "message", "place"),
    [
        ("y ~ common(x + z)", "there is one, y: write x + z alone; several are cbind(y, another)", "common(x + z)"),
        ("y ~ at(y, x)", "there is one, y: write x alone", "at(y, x)"),
        ("y ~ us(1 + x | g, traits='diag')", "there is one, y: leave it out", "us(1 + x | g, traits='diag')"),
    ],
)
def test_words_about_several_responses_are_refused_with_one(source, message, place):
    formula = parse(source, STRUCTURES)
    bars = resolve(formula, ["x", "z", "g"], [])
    assert settle(formula, bars, 2)[: len(bars)] == bars
    with pytest.raises(FormulaError) as caught:
        settle(formula, bars, 1)
    text, line, carets = str(caught.value).rsplit("\n", 2)
    assert message in text
    start = len(carets) - len(carets.lstrip())
    assert line[start : start + carets.count("^")] == place


def test_what_a_bar_means_settles_with_the_number_of_responses():
    formula = parse("Y ~ x + (1 + x || g) + diag(1 | h)", STRUCTURES)
    bars = resolve(formula, ["x", "g", "h"], [])
    one, several = settle(formula, bars, 1), settle(formula, bars, 3)
    assert [(b.structure, b.text) for b in one] == [("diag", "diag(1 + x | g)"), ("us", "(1 | h)")]
    assert [(b.structure, b.text) for b in several] == [("diag", "(1 + x || g)"), ("diag", "diag(1 | h)")]
    crossed = resolve(parse("Y ~ (1 + x || gr(g:h))", STRUCTURES), ["x", "g", "h"], ["h"])
    assert settle(formula, crossed, 2)[0].text == "(1 + x || gr(g:h))"


def test_a_dot_leaves_out_what_is_shared_or_of_one_response():
    formula = parse("cbind(a, b) ~ . + common(log(z)) + at(a, w) + (1 | g)")
    expanded = expand_dot(formula, ["a", "b", "x", "z", "w", "v", "g"])
    assert formula_text(expanded) == "cbind(a, b) ~ 1 + x + v + common(log(z)) + at(a, w) + (1 | g)"


@pytest.mark.parametrize(
    ("source", "structure", "options", "text"),
    [
        ("us", "us", (), "us"),
        (" (diag) ", "diag", (), "diag"),
        ("fa(2)", "fa", (("factors", 2),), "fa(factors=2)"),
        ("fa(factors=2)", "fa", (("factors", 2),), "fa(factors=2)"),
        ("cs(hom=TRUE)", "cs", (("hom", True),), "cs(hom=True)"),
    ],
)
def test_the_residual_of_several_responses_is_a_structure(source, structure, options, text):
    found = trait_residual(source, STRUCTURES)
    assert (found.structure, found.options, found.text) == (structure, options, text)
    assert trait_residual(found.text, STRUCTURES).options == options


@pytest.mark.parametrize("source", ["", "ar1(1 | g)", "diag(0 + f | rows) * ar1(1 | g)", "foo", "foo(1)", "`us`", "1"])
def test_what_is_no_structure_of_responses_is_left_to_the_grammar_of_rows(source):
    assert trait_residual(source, STRUCTURES) is None


@pytest.mark.parametrize(
    ("source", "message"), [("fa(1, 2)", "goes without a name"), ("us(1)", "options of us() go by")]
)
def test_bad_options_of_the_residual_are_refused(source, message):
    with pytest.raises(FormulaError, match=message.replace("(", r"\(").replace(")", r"\)")):
        trait_residual(source, STRUCTURES)
