"""pandas objects that print as R prints them, and `rprint`, which does it for any value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from . import rtables
from .rnumbers import DIGITS, common, is_na

PLAIN = (bool, int, float, str, list, tuple, np.ndarray, np.generic)
OWN_LAYOUT: set[type] = set()  # subclasses of plain types that print themselves


class RVector(pd.Series):
    """A named vector: a Series that prints R's way."""

    @property
    def _constructor(self) -> Any:
        return RVector

    def __repr__(self) -> str:
        return rtables.named_vector([str(n) for n in row_names(self)], _texts(self.to_numpy()))

    __str__ = __repr__

    def _repr_html_(self) -> None:
        return None


class RText(str):
    """Text that prints without quotes, e.g. a formula; `attributes` as in R."""

    attributes: dict[str, Any]

    def __repr__(self) -> str:
        return str.__str__(self)


OWN_LAYOUT.add(RText)


class RFrame(pd.DataFrame):
    """A matrix or data frame that prints R's way.

    `heading` stands above it; `attributes` are R's ``attr(x, name)``.
    """

    _metadata = ["heading", "attributes"]  # noqa: RUF012  (pandas' protocol)
    heading: str
    attributes: dict[str, Any]

    @property
    def _constructor(self) -> Any:
        return RFrame

    @property
    def _constructor_sliced(self) -> Any:
        return pd.Series

    def __finalize__(self, other: Any, method: str | None = None, **_: Any) -> RFrame:
        """A part of a table has not the heading and attributes of the whole."""
        return self

    def __repr__(self) -> str:
        return _headed(self, frame_text(self))

    __str__ = __repr__

    def _repr_html_(self) -> None:
        return None


class RTable(RFrame):
    """An anova or coefficient table: a frame whose tests are printed with stars."""

    @property
    def _constructor(self) -> Any:
        return RFrame

    def __repr__(self) -> str:
        return _headed(self, anova_text(self))

    __str__ = __repr__


class RList(dict[str, Any]):
    """A named list: a dict that prints R's way."""

    note = ""

    def __repr__(self) -> str:
        parts = [f"${backquoted(name)}\n{r_text(value)}\n" for name, value in self.items()]
        return "\n".join([*parts, self.note] if self.note else parts)

    __str__ = __repr__


def frame(data: Any, index: Any = None, heading: str = "", kind: type[RFrame] = RFrame, **attributes: Any) -> RFrame:
    """An `RFrame` with its heading and attributes."""
    made = kind(data, index=index)
    made.heading, made.attributes = heading, attributes
    return made


def backquoted(name: str) -> str:
    """A name as R prints it after ``$``."""
    plain = name.replace(".", "").replace("_", "").isalnum() and not name[:1].isdigit()
    return name if plain else f"`{name}`"


def _headed(shown: RFrame, text: str) -> str:
    heading = getattr(shown, "heading", "")
    return f"{heading}\n{text}" if heading else text


def _texts(values: Any) -> list[str]:
    """One column of anything as R formats it."""
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return ["TRUE" if v else "FALSE" for v in array]
    if array.dtype.kind in "iuf":
        return common([float(v) for v in array], DIGITS)
    if all(v is None for v in array):
        return ["<NA>"] * len(array)
    if all(is_na(v) or (isinstance(v, int | float | np.number) and not isinstance(v, bool)) for v in array):
        return common([float("nan") if is_na(v) else float(v) for v in array], DIGITS)
    return ["<NA>" if is_na(v) else {True: "TRUE", False: "FALSE"}.get(v, str(v)) for v in array.tolist()]


def frame_text(shown: pd.DataFrame) -> str:
    """A data frame or numeric matrix."""
    if not len(shown.columns):
        return f"data frame with 0 columns and {len(shown)} rows"
    names = ["" if n is None else str(n) for n in row_names(shown)]
    cells = [_texts(shown.iloc[:, j].to_numpy()) for j in range(shown.shape[1])]
    return rtables.grid(names, [str(c) for c in shown.columns], cells)


def row_names(shown: pd.DataFrame | pd.Series) -> list[Any]:
    """Rows of a default index are counted from 1, as R does."""
    labels = list(shown.index)
    whole = all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in labels)
    return [int(i) + 1 for i in labels] if whole else labels


def anova_text(shown: pd.DataFrame) -> str:
    """``print.anova``: statistics with five digits, stars after p-values, blanks where there is nothing."""
    columns = [str(c) for c in shown.columns]
    p_last = columns[-1].startswith("Pr(")
    tests = [j for j, c in enumerate(columns) if c[1:7] == " value" or c in ("F", "Cp", "Chisq")]
    zap = [
        j
        for j, c in enumerate(columns)
        if j not in tests and not c.endswith("Df") and not (p_last and c == columns[-1])
    ]
    values = [[float("nan") if is_na(v) else float(v) for v in shown.iloc[:, j]] for j in range(len(columns))]
    rows = [str(r) for r in shown.index]
    return rtables.coefficient_table(rows, columns, values, digits=5, tests=tests, zap=zap, p_last=p_last, na="")


def r_text(value: Any) -> str:
    """What R prints for a value.

    Examples
    --------
    >>> r_text(25.591795)
    '[1] 25.5918'
    >>> r_text([True, False])
    '[1]  TRUE FALSE'
    """
    if value is None:
        return "NULL"
    if isinstance(value, RVector | RFrame | RList):
        return str(value)
    if isinstance(value, pd.Series):
        return str(RVector(value))
    if isinstance(value, pd.DataFrame):
        return frame_text(value)
    if isinstance(value, Mapping):
        return str(RList(value))
    if not isinstance(value, PLAIN) or type(value) in OWN_LAYOUT:
        return str(value)
    array = np.asarray(value)
    if array.ndim == 2:
        return _matrix(array)
    if array.ndim > 2:
        raise TypeError(f"rprint prints vectors and matrices; this array has {array.ndim} dimensions: index it first")
    items = array.reshape(-1)
    return rtables.vector(_texts(items), quote=items.dtype.kind in "UO") if len(items) else "numeric(0)"


def _matrix(array: Any) -> str:
    rows = [f"[{i + 1},]" for i in range(array.shape[0])]
    columns = [f"[,{j + 1}]" for j in range(array.shape[1])]
    return rtables.grid(rows, columns, [_texts(array[:, j]) for j in range(array.shape[1])])


def rprint(value: Any) -> None:
    """Print a value as R prints it: ``rprint(sigma(m))`` shows ``[1] 25.5918``."""
    print(r_text(value))


def attr(value: Any, which: str) -> Any:
    """R's ``attr(x, which)``: e.g. ``attr(ranef(m)["Subject"], "postVar")``, (k, k, levels).

    None where there is no such attribute.
    """
    return getattr(value, "attributes", {}).get(which)


def c(*values: Any) -> list[Any]:
    """R's ``c``: a list of values; lists among them are joined."""
    out: list[Any] = []
    for value in values:
        out.extend(value if isinstance(value, list | tuple | np.ndarray | pd.Series) else [value])
    return out


def data_frame(**columns: Any) -> pd.DataFrame:
    """R's ``data.frame``: columns by name; single values are repeated."""
    lengths = [len(v) for v in columns.values() if isinstance(v, list | tuple | np.ndarray | pd.Series)]
    if not lengths:
        columns = {name: [value] for name, value in columns.items()}
    return pd.DataFrame(columns)


def head(value: Any, n: int = 6) -> Any:
    """R's ``head``: the first `n` rows or elements."""
    return value.iloc[:n] if isinstance(value, pd.Series | pd.DataFrame) else value[:n]


def as_sequence(value: Any) -> Sequence[Any]:
    """A single name or a list of them, as a list."""
    return [value] if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray | pd.Index) else list(value)
