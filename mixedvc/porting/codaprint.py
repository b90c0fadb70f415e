"""What coda's functions return, laid out as coda prints it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .rnumbers import common, format_numbers, number
from .rtables import grid, named_vector
from .rvalues import RFrame, RVector, frame_text


class Hpd(RFrame):
    """Lower and upper ends of intervals."""

    @property
    def _constructor(self) -> Any:
        return RFrame

    def __repr__(self) -> str:
        texts = [common(self.iloc[:, j].tolist()) for j in range(2)]
        table = grid([str(i) for i in self.index], ["lower", "upper"], texts)
        return f'{table}\nattr(,"Probability")\n[1] {number(self.attrs.get("Probability", float("nan")))}'

    __str__ = __repr__


@dataclass(frozen=True, repr=False)
class Geweke:
    """Geweke's diagnostic: `z` by variable."""

    z: RVector
    frac1: float
    frac2: float

    def __repr__(self) -> str:
        head = f"\nFraction in 1st window = {number(self.frac1)}\nFraction in 2nd window = {number(self.frac2)} \n"
        return f"{head}\n{named_vector([str(n) for n in self.z.index], common(self.z.tolist(), 4))}\n"

    __str__ = __repr__


class Heidel(RFrame):
    """Heidelberger & Welch's tests by variable: stest, start, pvalue, htest, mean, halfwidth (1 is passed)."""

    @property
    def _constructor(self) -> Any:
        return RFrame

    def __repr__(self) -> str:
        first = _heidel_cells(
            self, "stest", ("start", "pvalue"), ("Stationarity", "start", "p-value"), ("test", "iteration", "")
        )
        second = _heidel_cells(
            self, "htest", ("mean", "halfwidth"), ("Halfwidth", "Mean", "Halfwidth"), ("test", "", "")
        )
        return f"{first}\n{second}"

    __str__ = __repr__


def _heidel_cells(
    table: pd.DataFrame, test: str, numbers: tuple[str, str], top: tuple[str, str, str], under: tuple[str, str, str]
) -> str:
    """A test's column, two of numbers, below headings of two lines."""
    words = {1.0: "passed", 0.0: "failed"}
    columns = [[words.get(value, "<NA>") for value in table[test].tolist()]]
    columns += [format_numbers(table[name].tolist(), 3) for name in numbers]
    names = ["", "", *(str(i) for i in table.index)]
    cells = [[a, b, *column] for a, b, column in zip(top, under, columns, strict=True)]
    widths = [max(map(len, cell)) for cell in cells]
    label = max(map(len, names))
    lines = [" " * (label + sum(w + 1 for w in widths))]
    for i, name in enumerate(names):
        lines.append(name.ljust(label) + "".join(" " + c[i].ljust(w) for c, w in zip(cells, widths, strict=True)))
    return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class Raftery:
    """Raftery & Lewis: `table` (M, N, Nmin, I) by variable, empty where the chain is shorter than `least`."""

    table: pd.DataFrame
    q: float
    r: float
    s: float
    least: int

    def __repr__(self) -> str:
        head = [
            "",
            f"Quantile (q) = {number(self.q)}",
            f"Accuracy (r) = +/- {number(self.r)}",
            f"Probability (s) = {number(self.s)} ",
        ]
        if not len(self.table):
            what = "You need a sample size of at least"
            return "\n".join([*head, "", f"{what} {self.least} with these values of q, r and s"])
        columns = [[str(int(v)) for v in self.table[name]] for name in ("M", "N", "Nmin")]
        columns.append(format_numbers(self.table["I"].tolist(), 3))
        top, under = ("Burn-in ", "Total", "Lower bound ", "Dependence"), ("(M)", "(N)", "(Nmin)", "factor (I)")
        names = ["", "", *(f" {i}" for i in self.table.index)]
        cells = [[a, b, *column] for a, b, column in zip(top, under, columns, strict=True)]
        widths, label = [max(map(len, cell)) for cell in cells], max(map(len, names))
        lines = [" " * (label + sum(w + 1 for w in widths))]
        for i, name in enumerate(names):
            lines.append(name.ljust(label) + "".join(" " + c[i].ljust(w) for c, w in zip(cells, widths, strict=True)))
        return "\n".join([*head, *lines, ""])

    __str__ = __repr__


class Autocorr(dict[str, pd.DataFrame]):
    """By variable, its correlations with every variable at later lags."""

    def __repr__(self) -> str:
        return "\n".join(f", , {name}\n\n{frame_text(table)}\n" for name, table in self.items())

    __str__ = __repr__


@dataclass(frozen=True, repr=False)
class SummaryMcmc:
    """``summary`` of a chain: `statistics` and `quantiles` by variable."""

    statistics: pd.DataFrame
    quantiles: pd.DataFrame
    mcpar: tuple[int, int, int]

    def __repr__(self) -> str:
        first, last, thin = self.mcpar
        lines = [
            "",
            f"Iterations = {first}:{last}",
            f"Thinning interval = {thin} ",
            "Number of chains = 1 ",
            f"Sample size per chain = {(last - first) // thin + 1} ",
            "",
            "1. Empirical mean and standard deviation for each variable,",
            "   plus standard error of the mean:",
            "",
            _numbers(self.statistics),
            "",
            "2. Quantiles for each variable:",
            "",
            _numbers(self.quantiles),
            "",
        ]
        return "\n".join(lines)

    __str__ = __repr__


def _numbers(table: pd.DataFrame) -> str:
    """A table with four digits; of one variable, a vector."""
    columns = [str(c) for c in table.columns]
    if len(table) == 1:
        return named_vector(columns, format_numbers(np.asarray(table.iloc[0], dtype=float).tolist(), 4))
    texts = [format_numbers(table.iloc[:, j].tolist(), 4) for j in range(len(columns))]
    return grid([str(i) for i in table.index], columns, texts)
