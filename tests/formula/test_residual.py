"""residual= in the grammar of random terms: what is read, and where an error points."""

import pytest

from mixedvc.errors import FormulaError
from mixedvc.formula.residual import parse_residual


@pytest.mark.parametrize("text", ["us", "(1 | rows)", "diag(1 | rows)", " us "])
def test_one_variance_of_independent_rows_is_no_structure(text):
    assert parse_residual(text) is None


@pytest.mark.parametrize(
    ("text", "structure", "cell", "group", "variance", "hom", "canonical"),
    [
        ("diag(0+f|rows)", "diag", (), (), ("f",), True, "diag(0 + f | rows)"),
        ("(0+f||rows)", "diag", (), (), ("f",), True, "diag(0 + f | rows)"),
        ("diag(0+a:b|rows)", "diag", (), (), ("a", "b"), True, "diag(0 + a:b | rows)"),
        ("ar1(1|g)", "ar1", (), ("g",), (), True, "ar1(1 | g)"),
        ("ar1(0+t|g:h)", "ar1", ("t",), ("g", "h"), (), True, "ar1(0 + t | g:h)"),
        ("cs(0+t|g, hom=FALSE)", "cs", ("t",), ("g",), (), False, "cs(0 + t | g, hom=False)"),
        ("us(0+t|g)", "us", ("t",), ("g",), (), True, "us(0 + t | g)"),
        ("(0+t|g)", "us", ("t",), ("g",), (), True, "us(0 + t | g)"),
        ("ar1(1|g) * diag(0+f|rows)", "ar1", (), ("g",), ("f",), True, "diag(0 + f | rows) * ar1(1 | g)"),
        ("(diag(0+f|rows))*(cs(1|g))", "cs", (), ("g",), ("f",), True, "diag(0 + f | rows) * cs(1 | g)"),
        ("ar1(0+factor(t)|`my g`)", "ar1", ("factor(t)",), ("my g",), (), True, "ar1(0 + factor(t) | `my g`)"),
    ],
)
def test_structures_cells_groups_and_variances_are_read(text, structure, cell, group, variance, hom, canonical):
    found = parse_residual(text)
    assert (found.structure, found.cell, found.group, found.variance, found.hom) == (
        structure,
        cell,
        group,
        variance,
        hom,
    )
    assert found.text == canonical
    again = parse_residual(found.text)
    assert again.text == canonical
    assert (again.structure, again.cell, again.group, again.variance) == (structure, cell, group, variance)


@pytest.mark.parametrize(
    ("text", "message", "carets"),
    [
        ("", "residual= is empty", ""),
        ("ar1", "no structure of the residual", "ar1"),
        ("ar1(t|g)", r"a row is in one cell: write 0 \+ t", "ar1(t|g)"),
        ("ar1(0+a+b|g)", r"cross the factors as 0 \+ a:b", "b"),
        ("diag(0+f|g)", r"write diag\(0 \+ f \| rows\)", "diag(0+f|g)"),
        ("ar1(1|rows)", "every row is a group of its own", "ar1(1|rows)"),
        ("us(1|g)", "a variance in each cell: name the column", "us(1|g)"),
        ("ar1(1|g, hom=FALSE)", "hom=False is a variance in each cell", "ar1(1|g, hom=FALSE)"),
        ("ar1(1|g, hom=2)", "hom is True", "ar1(1|g, hom=2)"),
        ("cs(1|g, rho=1)", "no option 'rho'; it knows: hom", "cs(1|g, rho=1)"),
        ("us(0+t|g, hom=TRUE)", "no option 'hom'; it has none", "us(0+t|g, hom=TRUE)"),
        ("ar1(1|g/h)", "one grouping: write a:b", "ar1(1|g/h)"),
        ("ar1(1|gr(g, cov=A))", "takes no cov=", "ar1(1|gr(g, cov=A))"),
        ("foo(1|g)", r"cannot stand inside foo\(\)", "foo"),
        ("y ~ ar1(1|g)", "has no '~'", "~"),
        ("diag(0+f|rows) + ar1(1|g)", "no structure of the residual", "diag(0+f|rows) + ar1(1|g)"),
        ("diag(0+f|rows) * us(0+t|g)", "a product is variances times correlations", "diag(0+f|rows) * us(0+t|g)"),
        ("ar1(1|g) * cs(1|g)", "a product is variances times correlations", "ar1(1|g) * cs(1|g)"),
        ("diag(1|rows) * ar1(1|g)", "is one variance", "diag(1|rows)"),
        ("diag(0+f|rows) * ar1(0+t|g, hom=FALSE)", "leave hom= out", "ar1(0+t|g, hom=FALSE)"),
        ("ar1(0+t|g", "never closed", "(0+t|g"),
    ],
)
def test_errors_say_what_to_write_and_point_at_the_place(text, message, carets):
    with pytest.raises(FormulaError, match=message) as raised:
        parse_residual(text)
    error = raised.value
    assert error.source == text
    if carets:
        assert text[error.start : error.stop] == carets
