"""Formula text to tokens."""

import pytest

from mixedvc.errors import FormulaError
from mixedvc.formula.tokens import MAX_LENGTH, MAX_NESTING, tokenize


def test_tokens_know_their_positions():
    source = "log(y) ~ `a b` + 1.5e3*x.1 %in% 2L || 'u'"
    tokens = tokenize(source)
    assert [t.text for t in tokens] == (
        ["log", "(", "y", ")", "~", "a b", "+", "1.5e3", "*", "x.1", "%in%", "2", "||", "u", ""]
    )
    for token in tokens[:-1]:
        assert token.text.strip("L") in source[token.start : token.stop]


@pytest.mark.parametrize(
    ("source", "message", "at"),
    [
        ("y ~ x # c", "'#' does not belong", 6),
        ("y ~ x$a", "'$' does not belong", 5),
        ("y ~ x & z", "'&' does not belong", 6),
        ("y ~ `x", "back-quote is never closed", 4),
        ("y ~ 'x", "quote is never closed", 4),
        ("y ~ ``", "empty name", 4),
        ("y ~ x %o% z", "unknown operator %o%", 6),
        ("y ~ 1e", "neither a number nor a name", 4),
        ("y ~ 2x", "back-quote a name that starts with a digit", 4),
        ("y ~ (x]", "this ']' closes nothing", 6),
        ("y ~ " + "1" * 41, "a number of more than 40 characters", 4),
    ],
)
def test_what_is_no_token_is_refused_at_its_place(source, message, at):
    with pytest.raises(FormulaError) as error:
        tokenize(source)
    assert message in str(error.value)
    assert error.value.start == at
    assert str(error.value).splitlines()[-1].index("^") == 4 + at


def test_the_limits_are_inclusive():
    assert len(tokenize("x" * MAX_LENGTH)) == 2
    assert len(tokenize("(" * MAX_NESTING + ")" * MAX_NESTING)) == 2 * MAX_NESTING + 1
    with pytest.raises(FormulaError, match="characters; at most"):
        tokenize("x" * (MAX_LENGTH + 1))
    with pytest.raises(FormulaError, match="nested parentheses"):
        tokenize("(" * (MAX_NESTING + 1))


def test_a_formula_must_be_text():
    with pytest.raises(FormulaError, match="not float"):
        tokenize(3.0)  # type: ignore[arg-type]
