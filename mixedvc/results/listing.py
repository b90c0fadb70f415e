"""A titled data frame with notes as a Summary: text, HTML and LaTeX like the summary of a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .numbers import p_value, significant, t_value
from .render import ModelSummary, render
from .table import Grid, SummaryTable

if TYPE_CHECKING:
    import pandas as pd

NAMES = {"p": "P>|t|", "se": "std err"}
FORMATS: dict[str, Callable[[float], str]] = {
    "p": p_value,
    "Pr(>F)": p_value,
    "t": t_value,
    "F value": t_value,
    "df": lambda x: "" if x != x else f"{x:.2f}" if x < 1e6 else "inf",
    "DenDF": lambda x: "" if x != x else f"{x:.2f}" if x < 1e6 else "inf",
    "NumDF": lambda x: f"{x:.0f}",
}


def listing(
    title: str, frame: pd.DataFrame, stubs: Sequence[str], notes: Sequence[str] = (), names: Mapping[str, str] = NAMES
) -> ModelSummary:
    """The frame (its index too where it has a name) under a title.

    `stubs` are columns of labels; the others are numbers, printed by FORMATS or to four significant digits, under
    `names`.
    """
    shown = frame.reset_index() if frame.index.name is not None else frame
    numbers = [name for name in shown.columns if name not in stubs]
    cells = [[label(v) for v in shown[name]] for name in stubs]
    cells += [[FORMATS.get(name, significant)(float(v)) for v in shown[name]] for name in numbers]
    columns = tuple(names.get(name, str(name)) for name in (*stubs, *numbers))
    rows = tuple(zip(*cells, strict=True)) if len(shown) else ()
    return render(SummaryTable(title, "", (), (Grid(columns, rows, len(stubs)),), tuple(notes)))


def interval_names(level: float) -> dict[str, str]:
    """NAMES, and the limits as quantiles."""
    tail = (1 - level) / 2
    return {**NAMES, "lower": f"[{tail:.6g}", "upper": f"{1 - tail:.6g}]"}


def label(value: Any) -> str:
    """A level as text; whole numbers without a point."""
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)
