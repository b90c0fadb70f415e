"""The page "Coming from lme4": its R output is stored R output, and every cell below a line of R prints the same."""

import contextlib
import io
import re
import warnings
from pathlib import Path

import pytest

from .sessions import closeness, lines, said

PAGE = Path(__file__).resolve().parents[2] / "vignettes" / "coming_from_lme4.py"


def cells():
    """(kind, text) of every cell."""
    parts = re.split(r"^# %%(.*)\n", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    for mark, body in zip(parts[::2], parts[1::2], strict=True):
        markdown = "[markdown]" in mark
        yield ("markdown", re.sub(r"^# ?", "", body, flags=re.M)) if markdown else ("code", body)


def blocks(text):
    """(R line, its output) of the R blocks of a markdown cell."""
    for block in re.findall(r"```r\n> (.*?)\n```", text, flags=re.S):
        line, *out = block.split("\n")
        if not line.startswith("exactRLRT"):  # its p-value is simulated
            yield line, out


def test_the_r_output_on_the_page_is_stored_output():
    stored = {}
    for line in lines():
        stored.setdefault(line.r, []).append([text.rstrip() for text in said(line.out)])
    found = [pair for kind, text in cells() if kind == "markdown" for pair in blocks(text)]
    assert len(found) >= 15
    for r, out in found:
        assert out in stored[r], r


@pytest.mark.slow
def test_every_cell_below_a_line_of_r_prints_what_r_printed():
    space, expected, compared = {"__name__": "page"}, [], 0
    for kind, text in cells():
        if kind == "markdown":
            expected = list(blocks(text))
            continue
        shown = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            exec(compile(text, str(PAGE), "exec"), space)
        for r, out in expected:
            got = [line.rstrip() for line in shown.getvalue().split("\n")][: len(out)]
            how = closeness(out, got, 3e-4 if "confint" in r else 3e-6)
            assert how in ("same", "near"), f"> {r}\n{how}"
            compared += 1
        expected = []
    assert compared >= 15
