"""Vectors, matrices, data frames and coefficient tables laid out as R prints them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .rnumbers import DIGITS, EPSILON, LEGEND, WIDTH, common, format_numbers, p_values, rounded, star, zapped


def named_vector(names: Sequence[str], texts: Sequence[str], gap: int = 1) -> str:
    """Names above values, right-justified, as many in a line as fit."""
    if not texts:
        return "named numeric(0)"
    width = max(len(t) for t in (*names, *texts))
    per_line = max(1, WIDTH // (width + gap))
    space, lines = " " * gap, []
    for at in range(0, len(texts), per_line):
        for row in (names, texts):
            lines.append("".join(text.rjust(width) + space for text in row[at : at + per_line]))
    return "\n".join(lines)


def vector(texts: Sequence[str], quote: bool = False) -> str:
    """``[1] 1.5 2.5``: numbers are right-justified, quoted text left-justified; lines begin with an index."""
    cells = [f'"{t}"' for t in texts] if quote else list(texts)
    width, label = max(map(len, cells)), len(str(len(cells))) + 2
    per_line = max(1, (WIDTH - label) // (width + 1))
    lines = []
    for at in range(0, len(cells), per_line):
        row = [c.ljust(width) if quote else c.rjust(width) for c in cells[at : at + per_line]]
        lines.append(f"[{at + 1}]".rjust(label) + "".join(f" {c}" for c in row))
    return "\n".join(lines)


def grid(rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[str]], right: bool = True) -> str:
    """A matrix of text: row names on the left, columns that do not fit in 80 characters below.

    Parameters
    ----------
    rows, columns : names
    cells : one sequence of text a column
    right : bool
        Columns are right-justified (numbers, data frames); left-justified otherwise (character matrices).
    """
    label = max((len(r) for r in rows), default=0)
    widths = [max([len(name), *map(len, cell)]) for name, cell in zip(columns, cells, strict=True)]
    lines: list[str] = []
    at = 0
    while at < len(columns):
        stop, used = at + 1, label + 1 + widths[at]
        while stop < len(columns) and used + 1 + widths[stop] < WIDTH:
            used, stop = used + 1 + widths[stop], stop + 1
        lines.append(" " * label + "".join(" " + _set(columns[j], widths[j], right) for j in range(at, stop)))
        for i, row in enumerate(rows):
            lines.append(row.ljust(label) + "".join(" " + _set(cells[j][i], widths[j], right) for j in range(at, stop)))
        at = stop
    return "\n".join(lines)


def _set(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def coefficient_table(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    *,
    digits: int,
    estimates: Sequence[int] = (),
    tests: Sequence[int] = (),
    zap: Sequence[int] = (),
    p_last: bool = False,
    na: str = "NA",
    stars: bool = True,
    smallest: float = EPSILON,
) -> str:
    """``printCoefmat``: estimates share their decimals, test statistics another, p-values get stars.

    Parameters
    ----------
    values : one sequence of numbers a column
    digits : int
    estimates, tests, zap : positions of columns
        Estimates and standard errors (formatted together); statistics; columns of which small entries become 0.
    p_last : bool
        The last column holds p-values.
    na : str
        What stands for a missing value.
    stars : bool
        Stars and their legend where a p-value is below 0.1.
    smallest : float
        p-values below it are shown as smaller than it.
    """
    last = len(columns) - 1 if p_last else len(columns)
    numbers = [zapped(v, digits) if j in zap else list(v) for j, v in enumerate(values)]
    test_digits = max(1, min(5, digits - 1))
    cells: list[list[str]] = [[] for _ in columns]
    _fill(cells, numbers, estimates, _estimate_places([numbers[j] for j in estimates], digits), digits)
    _fill(cells, numbers, tests, test_digits, digits)
    for j in range(last):
        if j not in estimates and j not in tests:
            cells[j] = format_numbers(numbers[j], digits)
    for j in range(last):
        cells[j] = [na if math.isnan(x) else c for x, c in zip(numbers[j], cells[j], strict=True)]
    names, marked = list(columns), False
    if p_last:
        p = numbers[-1]
        known = [i for i, x in enumerate(p) if not math.isnan(x)]
        cells[-1] = [na] * len(p)
        for i, text in zip(known, p_values([p[i] for i in known], test_digits, smallest), strict=True):
            cells[-1][i] = text
        marked = stars and any(p[i] < 0.1 for i in known)
        if marked:
            marks = ["" if math.isnan(x) else star(x) for x in p]
            width = max(map(len, marks))
            names, cells = [*names, ""], [*cells, [m.ljust(width) for m in marks]]
    return grid(rows, names, cells) + (f"\n{LEGEND}" if marked else "")


def _estimate_places(columns: list[list[float]], digits: int) -> int:
    sizes = [abs(x) for column in columns for x in column if math.isfinite(x) and x != 0]
    if not sizes:
        return max(1, digits - 1)
    return max(1, *(digits - 1 - math.floor(math.log10(x)) for x in (min(sizes), max(sizes))))


def _fill(cells: list[list[str]], numbers: list[list[float]], which: Sequence[int], places: int, digits: int) -> None:
    """Round some columns to `places` and format them as one block."""
    if not which:
        return
    block = [rounded(x, places) for j in which for x in numbers[j]]
    texts = format_numbers(block, digits)
    for k, j in enumerate(which):
        n = len(numbers[j])
        cells[j] = texts[k * n : (k + 1) * n]


def wrapped(items: Sequence[str], sep: str = " ") -> str:
    """``cat(…, fill = TRUE)``: a line is broken before an item that would not fit."""
    text, width = "", 0
    for i, item in enumerate(items):
        if i:
            text += sep
            if width + len(item) + len(sep) > WIDTH:
                text, width = text + "\n", 0
        text += item
        width += len(item) + len(sep)
    return text


def numeric_column(values: Sequence[float]) -> list[str]:
    """A column of a matrix or data frame with seven significant digits."""
    return common(values, DIGITS)
