"""Random terms in all spellings."""

import pytest

from mixedvc.errors import FormulaError
from mixedvc.formula.parse import parse


def _bars(term, **options):
    return parse(f"y ~ {term}", **options).bars


@pytest.mark.parametrize(
    ("term", "effects", "group"),
    [
        ("(1|g)", [()], ("g",)),
        ("(x|g)", [(), ("x",)], ("g",)),
        ("(1+x|g)", [(), ("x",)], ("g",)),
        ("(0+x|g)", [("x",)], ("g",)),
        ("(-1+x|g)", [("x",)], ("g",)),
        ("(x-1|g)", [("x",)], ("g",)),
        ("(a*b|g)", [(), ("a",), ("b",), ("a", "b")], ("g",)),
        ("(0+f:x|g)", [("f", "x")], ("g",)),
        ("(poly(x,2)|g)", [(), ("poly(x, 2)",)], ("g",)),
        ("(I(x^2)|`my g`)", [(), ("I(x ** 2)",)], ("my g",)),
        ("((1|(g)))", [()], ("g",)),
        ("(1|a:b)", [()], ("a", "b")),
        ("(1|a:b:c)", [()], ("a", "b", "c")),
        ("(1|Sepal.Length)", [()], ("Sepal.Length",)),
    ],
)
def test_effects_and_group_of_a_bar(term, effects, group):
    (bar,) = _bars(term)
    assert [t.factors for t in bar.effects] == effects
    assert bar.group == group
    assert (bar.structure, bar.options, bar.cov) == ("us", (), None)
    assert bar.may_be_cov == (len(group) > 1)


@pytest.mark.parametrize(
    ("term", "groups"),
    [
        ("(1|a/b)", [("a",), ("a", "b")]),
        ("(x|a/b/c)", [("a",), ("a", "b"), ("a", "b", "c")]),
        ("(1|a/(b/c))", [("a",), ("a", "b"), ("a", "b", "c")]),
        ("(1|a:b/c)", [("a", "b"), ("a", "b", "c")]),
    ],
)
def test_nesting_expands_to_one_term_per_level(term, groups):
    assert [bar.group for bar in _bars(term)] == groups


def test_only_a_written_colon_may_name_a_covariance():
    assert [bar.may_be_cov for bar in _bars("(1|a/b)")] == [False, False]
    assert [bar.may_be_cov for bar in _bars("(1|a:b/c)")] == [True, False]
    assert [bar.may_be_cov for bar in _bars("(1|a/b:c)")] == [False, True]
    assert not _bars("(1|gr(a:b))")[0].may_be_cov
    assert _bars("(1|gr(a:b))")[0].group == ("a", "b")


@pytest.mark.parametrize("cov", ["A", "'A'", "`A`"])
def test_gr_names_a_covariance(cov):
    (bar,) = _bars(f"(x|gr(id, cov={cov}))")
    assert (bar.group, bar.cov, bar.may_be_cov) == (("id",), "A", False)
    assert bar.text == "(1 + x | gr(id, cov=A))"


@pytest.mark.parametrize(
    ("term", "structure", "options", "text"),
    [
        ("(x||g)", "diag", (), "diag(1 + x | g)"),
        ("(1||g)", "us", (), "(1 | g)"),
        ("us(x|g)", "us", (), "(1 + x | g)"),
        ("diag(f|g)", "diag", (), "diag(1 + f | g)"),
        ("cs(0+f|g, hom=TRUE)", "cs", (("hom", True),), "cs(0 + f | g, hom=True)"),
        ("cs((0+f|g), hom=False)", "cs", (("hom", False),), "cs(0 + f | g, hom=False)"),
        ("ar1(0+t|g:A, hom=True)", "ar1", (("hom", True),), "ar1(0 + t | g:A, hom=True)"),
        ("ar1(0+t|g, start=-0.5)", "ar1", (("start", -0.5),), "ar1(0 + t | g, start=-0.5)"),
    ],
)
def test_structures_wrap_a_bar(term, structure, options, text):
    (bar,) = _bars(term)
    assert (bar.structure, bar.options, bar.text) == (structure, options, text)
    (again,) = _bars(text)
    assert (again.structure, again.options, again.text) == (structure, options, text)


def test_a_structure_of_another_package_can_be_wrapped_around_a_bar():
    (bar,) = _bars("toep(0+t|g)", structures=("us", "toep"))
    assert bar.structure == "toep"
    with pytest.raises(FormulaError, match=r"structures that may be put around a bar: us, diag, cs, ar1"):
        _bars("toep(0+t|g)")


@pytest.mark.parametrize(
    ("term", "message", "place"),
    [
        ("x | g", "a bar term can only be added, in parentheses of its own", "| g"),
        ("(0|g)", "no effect is left of the bar", "0|g"),
        ("(1|a+b)", "one term per factor", "a+b"),
        ("(1|a*b)", "one term per grouping factor", "*b"),
        ("(1|g|h)", "a bar term can only be added", "|g|h"),
        ("(1|a:a)", "crossed with itself", "a:a"),
        ("(1|factor(g))", "a grouping factor is a column", "factor"),
        ("(1|1)", "a grouping factor is a column", "1)"),
        ("(1|.)", "'.' cannot be a grouping factor", ".)"),
        ("(.|g)", "'.' cannot stand left of a bar", ".|"),
        ("(1|gr(a, A))", "gr() takes one grouping factor and cov=", "gr(a, A)"),
        ("(1|gr(a, by=A))", "gr() has no argument 'by'", "by"),
        ("(1|gr(a, cov=1))", "cov= is a name", "1)"),
        ("(1|gr(a/b, cov=A))", "gr() takes one grouping factor: a column or a:b", "a/b"),
        ("(1|gr(a, cov=A)/b)", "write the terms out", "/b"),
        ("(1|(a/b):c)", "write the terms out", ":c"),
        ("cs(x||g)", "'||' already says diag()", "||"),
        ("cs(x|g, TRUE)", "options of cs() go by name", "TRUE"),
        ("cs(x|g, hom=z)", "the option 'hom' of cs() must be a constant", "z"),
        ("cs(x|g, hom=c(1,2))", "takes one value", "c(1,2)"),
        ("cs(us(x|g))", "a structure cannot stand inside another", "us(x|g)"),
        ("cs(x)", "cs() can only stand around a bar", "cs"),
        ("gr(a, cov=A)", "gr() can only stand right of a bar", "gr"),
        ("(offset(x)|g)", "offset() can only stand as a term of its own", "offset"),
    ],
)
def test_a_bar_that_cannot_be_read_is_refused_at_its_place(term, message, place):
    source = f"y ~ {term}"
    with pytest.raises(FormulaError) as error:
        parse(source)
    assert message in error.value.message
    assert source[error.value.start :].startswith(place)
