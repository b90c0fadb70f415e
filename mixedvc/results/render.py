"""A neutral summary table as a statsmodels Summary: text of at most 100 columns, HTML, LaTeX, csv."""

from __future__ import annotations

import html
import textwrap
from typing import Any

from statsmodels.iolib.summary import Summary
from statsmodels.iolib.table import SimpleTable

from .table import Grid, SummaryTable

WIDTH = 78  # the least; tables grow with their names
LIMIT = 100
_LATEX = {"\\": r"\textbackslash{}", "|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}", "^": r"\^{}"}
_LATEX |= {"~": r"\textasciitilde{}"} | {c: f"\\{c}" for c in "&%$#_{}"}


class ModelSummary(Summary):
    """statsmodels' Summary with our layout; ``tables`` holds SimpleTables as usual."""

    def __init__(self, content: SummaryTable):
        super().__init__()
        self.content = content
        self.tables = _simple_tables(content)
        self.extra_txt = "\n".join(([content.banner] if content.banner else []) + _numbered(content.notes))

    def as_text(self) -> str:
        """Plain text, no line longer than 100 characters."""
        return text(self.content)

    def as_html(self) -> str:
        """HTML tables, as notebooks show them."""
        return as_html(self.content)

    def as_latex(self, label: str = "") -> str:
        """LaTeX tabulars (booktabs)."""
        return as_latex(self.content, label)

    def __repr__(self) -> str:
        return f"<mixedvc summary: {self.content.title}; print() shows it>"

    def __str__(self) -> str:
        return self.as_text()

    def _repr_html_(self) -> str:
        return self.as_html()

    def _repr_latex_(self, center: bool = True) -> str:
        body = self.as_latex()
        return f"\\begin{{center}}\n{body}\n\\end{{center}}\n" if center else body


def render(content: SummaryTable) -> ModelSummary:
    """The Summary of a neutral table."""
    return ModelSummary(content)


def _simple_tables(content: SummaryTable) -> list[Any]:
    head = [[name, value, name2, value2] for (name, value), (name2, value2) in content.header]
    return [SimpleTable(head, title=content.title)] + [
        SimpleTable([list(row) for row in grid.rows], headers=list(grid.columns)) for grid in content.grids
    ]


def _numbered(lines: tuple[str, ...]) -> list[str]:
    return [f"[{j}] {line}" for j, line in enumerate(lines, 1)]


# ---- text ---------------------------------------------------------------------------------------------------


def text(content: SummaryTable) -> str:
    """The whole summary as plain text."""
    grids = [_aligned(grid) for grid in content.grids]
    width = min(LIMIT, max([WIDTH, *(natural(grid) for grid in grids)]))
    double, single = "=" * width, "-" * width
    lines = [double, *(line.center(width).rstrip() for line in textwrap.wrap(content.title, width)), double]
    if content.banner:
        lines += [*textwrap.wrap(f"*** {content.banner} ***", width), single]
    lines += _header_lines(content, width)
    for grid in grids:
        lines += [*([single] if lines[-1] != double else []), *_grid_lines(grid, width)]
    lines.append(double)
    if content.notes:
        lines.append("Notes:")
        for line in _numbered(content.notes):
            lines += textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False)
    return "\n".join(lines)


def _header_lines(content: SummaryTable, width: int) -> list[str]:
    """Two columns of name: value; long values continue on the next line."""
    sides: tuple[list[str], list[str]] = ([], [])
    half = (width - 3) // 2
    for side in (0, 1):
        pairs = [pair[side] for pair in content.header if pair[side][0]]
        stub = max((len(name) for name, _ in pairs), default=0) + 2
        for name, value in pairs:
            wrapped = textwrap.wrap(value, max(12, half - stub), break_on_hyphens=False) or [""]
            sides[side].append(f"{name + ':':<{stub}} {wrapped[0]}")
            sides[side].extend(" " * (stub + 1) + more for more in wrapped[1:])
    length = max(map(len, sides))
    left, right = (side + [""] * (length - len(side)) for side in sides)
    column = max(half + 2, max(map(len, left), default=0) + 2)
    return [f"{a:<{column}}{b}".rstrip()[:LIMIT] for a, b in zip(left, right, strict=True)]


def _aligned(grid: Grid) -> Grid:
    """Cells of each numeric column padded so that decimal points stand under each other."""
    if grid.aligned:
        return grid
    columns = [list(cells) for cells in zip(*grid.rows, strict=True)]
    for c in range(grid.stubs, len(columns)):
        tails = [len(cell) - _point(cell) if _is_number(cell) else 0 for cell in columns[c]]
        longest = max(tails)
        columns[c] = [
            cell + " " * (longest - tail) if _is_number(cell) else cell
            for cell, tail in zip(columns[c], tails, strict=True)
        ]
    return Grid(grid.columns, tuple(zip(*columns, strict=True)), grid.stubs)


def _is_number(cell: str) -> bool:
    return bool(cell) and (cell[0].isdigit() or cell[0] in "-<") and "e" not in cell


def _point(cell: str) -> int:
    at = cell.find(".")
    return at if at >= 0 else len(cell)


def _widths(grid: Grid) -> list[int]:
    return [
        max(len(name), *(len(row[c]) for row in grid.rows)) if grid.rows else len(name)
        for c, name in enumerate(grid.columns)
    ]


def natural(grid: Grid) -> int:
    """Width of a grid as text."""
    return sum(_widths(grid)) + 2 * (len(grid.columns) - 1)


def _grid_lines(grid: Grid, width: int) -> list[str]:
    """Rows of a grid spread over `width`: stubs to the left, numbers to the right, names shortened if they must."""
    widths = _widths(grid)
    excess = natural(grid) - width
    while excess > 0:
        longest = max(range(grid.stubs), key=lambda c: widths[c])
        if widths[longest] <= 8:
            break
        widths[longest] -= 1
        excess -= 1
    gaps, spare = [2] * (len(widths) - 1), max(0, -excess)
    stretch = list(range(grid.stubs - 1, len(gaps)))
    for j in range(min(spare, 3 * len(stretch))):
        gaps[stretch[j % len(stretch)]] += 1
    gaps[grid.stubs - 1] += max(0, spare - 3 * len(stretch))
    return [_line(row, widths, gaps, grid.stubs) for row in (grid.columns, *grid.rows)]


def _line(row: tuple[str, ...], widths: list[int], gaps: list[int], stubs: int) -> str:
    cells = []
    for c, (cell, w) in enumerate(zip(row, widths, strict=True)):
        shown = shorten(cell, w)
        cells.append(f"{shown:<{w}}" if c < stubs else f"{shown:>{w}}")
        cells.append(" " * gaps[c] if c < len(gaps) else "")
    return "".join(cells).rstrip()


def shorten(name: str, width: int) -> str:
    """`name` with its middle replaced by … where it is longer than `width`: both ends tell names apart."""
    if len(name) <= width:
        return name
    head = (width - 1) * 2 // 3
    return f"{name[:head]}…{name[len(name) - (width - 1 - head) :]}"


# ---- HTML and LaTeX -----------------------------------------------------------------------------------------


def as_html(content: SummaryTable) -> str:
    """One table a block, class "simpletable" as in statsmodels; numbers to the right, notes as a numbered list."""
    parts = ['<div class="mixedvc-summary">']
    if content.banner:
        parts.append(f"<p><strong>{html.escape(content.banner)}</strong></p>")
    parts.append(f'<table class="simpletable">\n<caption>{html.escape(content.title)}</caption>')
    for sides in content.header:
        cells = "".join(
            f'<th style="text-align:left">{html.escape(name)}{":" if name else ""}</th>'
            f'<td style="text-align:left">{html.escape(value)}</td>'
            for name, value in sides
        )
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</table>")
    parts += [_grid_html(grid) for grid in content.grids]
    if content.notes:
        items = "".join(f"<li>{html.escape(note)}</li>" for note in content.notes)
        parts.append(f'<div style="font-size:90%">Notes:<ol style="margin-top:0">{items}</ol></div>')
    return "\n".join([*parts, "</div>"])


def _grid_html(grid: Grid) -> str:
    def row(cells: tuple[str, ...], tag: str) -> str:
        out = []
        for c, cell in enumerate(cells):
            side = "left" if c < grid.stubs else "right"
            kind = "th" if c < grid.stubs else tag
            out.append(f'<{kind} style="text-align:{side};white-space:nowrap">{html.escape(cell)}</{kind}>')
        return f"<tr>{''.join(out)}</tr>"

    body = "\n".join(row(cells, "td") for cells in grid.rows)
    return f'<table class="simpletable">\n<thead>{row(grid.columns, "th")}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'


def as_latex(content: SummaryTable, label: str = "") -> str:
    """One tabular a block under one caption; needs booktabs."""
    lines = [r"\begin{table}", f"\\caption{{{_tex(content.title)}}}"]
    lines += [f"\\label{{{label}}}"] if label else []
    lines += [r"\centering"]
    if content.banner:
        lines.append(f"\\textbf{{{_tex(content.banner)}}}\\\\[1ex]")
    rows = [[f"{n}:" if n else "", v, f"{m}:" if m else "", w] for (n, v), (m, w) in content.header]
    lines += _tabular("llll", [], rows)
    for grid in content.grids:
        align = "l" * grid.stubs + "r" * (len(grid.columns) - grid.stubs)
        lines += [r"\\[1ex]", *_tabular(align, list(grid.columns), [list(r) for r in grid.rows])]
    if content.notes:
        lines += [r"\par\smallskip\begin{minipage}{0.95\linewidth}\footnotesize Notes:"]
        lines += [f"\\newline {_tex(line)}" for line in _numbered(content.notes)] + [r"\end{minipage}"]
    return "\n".join([*lines, r"\end{table}"])


def _tabular(align: str, heads: list[str], rows: list[list[str]]) -> list[str]:
    out = [f"\\begin{{tabular}}{{{align}}}", r"\toprule"]
    if heads:
        out += [" & ".join(_tex(cell) for cell in heads) + r" \\", r"\midrule"]
    out += [" & ".join(_tex(cell) for cell in row) + r" \\" for row in rows]
    return [*out, r"\bottomrule", r"\end{tabular}"]


def _tex(cell: str) -> str:
    return "".join(_LATEX.get(c, c) for c in cell)
