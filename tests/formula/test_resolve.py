"""The table of ``(1 | g:s)``: column, covariance, both or neither."""

import pytest

from mixedvc.errors import BindError
from mixedvc.formula.parse import parse
from mixedvc.formula.resolve import resolve

COLUMNS = ["y", "x", "line", "env", "batch", "both"]
COVS = ["A", "G", "both"]


def _one(term, columns=COLUMNS, covs=COVS):
    (bar,) = resolve(parse(f"y ~ {term}"), columns, covs)
    assert not bar.may_be_cov
    return bar.group, bar.cov, bar.text


@pytest.mark.parametrize(
    ("term", "group", "cov", "text"),
    [
        ("(1|line:env)", ("line", "env"), None, "(1 | line:env)"),
        ("(1|line:A)", ("line",), "A", "(1 | gr(line, cov=A))"),
        ("(1|line:env:A)", ("line", "env"), "A", "(1 | gr(line:env, cov=A))"),
        ("(1|line:env:batch)", ("line", "env", "batch"), None, "(1 | line:env:batch)"),
        ("(x|gr(line, cov=both))", ("line",), "both", "(1 + x | gr(line, cov=both))"),
        ("(1|gr(line:both))", ("line", "both"), None, "(1 | gr(line:both))"),
        ("(1|gr(rows, cov=A))", ("rows",), "A", "(1 | gr(rows, cov=A))"),
        ("cs(0+x|line:G, hom=TRUE)", ("line",), "G", "cs(0 + x | gr(line, cov=G), hom=True)"),
        ("(1|both)", ("both",), None, "(1 | both)"),
    ],
)
def test_the_last_name_is_a_column_or_a_covariance(term, group, cov, text):
    assert _one(term) == (group, cov, text)
    assert _one(text) == (group, cov, text)


def test_a_name_in_both_spaces_is_an_error_with_both_spellings():
    with pytest.raises(BindError) as error:
        _one("(x|line:both)")
    assert "'both' is a column of the data and a covariance" in str(error.value)
    assert "write (1 + x | gr(line, cov=both)) for the covariance" in str(error.value)
    assert "or (1 + x | gr(line:both)) for the interaction" in str(error.value)


def test_a_missing_column_names_the_nearest_one_and_the_spelling_for_rows():
    with pytest.raises(BindError) as error:
        _one("(1|lien:G)")
    assert "no column is called 'lien'; did you mean 'line'" in str(error.value)
    assert "write (1 | gr(rows, cov=G))" in str(error.value)


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("(1|lien)", "(1 | lien): no column is called 'lien'; did you mean 'line'? Columns: 'y', 'x'"),
        ("(1|line:envv)", "'envv' is neither a column of the data nor a name in cov=; did you mean 'env'?"),
        ("(1|gr(line, cov=GG))", "no covariance is called 'GG'; did you mean 'G'?"),
        ("(1|A:line)", "'A' is a covariance in cov=: write (1 | gr(line, cov=A))"),
        ("(1|A)", "write (1 | gr(rows, cov=A)) (one level per row), or gr(column, cov=A)"),
        ("(1|line:A:G)", "'A' and 'G' are both covariances in cov=: a term has one"),
        ("(1|rows)", "no column is called 'rows'"),
        ("(1|line/nest)", "(1 | gr(line:nest)): no column is called 'nest'"),
    ],
)
def test_an_unknown_name_is_an_error_with_a_remedy(term, message):
    with pytest.raises(BindError) as error:
        resolve(parse(f"y ~ {term}"), COLUMNS, COVS)
    assert message in str(error.value)


def test_without_cov_the_message_says_so():
    with pytest.raises(BindError, match=r"no covariance is called 'A'; no cov= was given"):
        _one("(1|gr(line, cov=A))", covs=[])
    with pytest.raises(BindError, match=r"cov=: nothing"):
        _one("(1|line:A)", covs=[])


def test_a_column_called_rows_is_a_column():
    assert _one("(1|gr(rows, cov=A))", columns=["y", "rows"]) == (("rows",), "A", "(1 | gr(rows, cov=A))")


def test_terms_that_turn_out_equal_are_refused():
    with pytest.raises(BindError, match="are confounded: both hold a random intercept"):
        resolve(parse("y ~ (1|line:A) + (1|gr(line, cov=A))"), COLUMNS, COVS)
    with pytest.raises(BindError, match="are confounded"):
        resolve(parse("y ~ (1|line:env) + (1|env:line)"), COLUMNS, COVS)


def test_different_covariances_of_one_group_are_different_terms():
    bars = resolve(parse("y ~ (1|line:A) + (1|line:G) + (1|line)"), COLUMNS, COVS)
    assert [bar.cov for bar in bars] == ["A", "G", None]
