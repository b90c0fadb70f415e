"""Random terms: the level of each row, the value of each effect in each row, and where the levels are in A."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..covariance import Identity
from ..errors import BindError
from ..formula.terms import BarTerm
from .expressions import Evaluator, Value
from .fixed import Coder
from .frames import column_of, labels_of, listed, plain_label
from .spec import Term

Float = NDArray[np.float64]
ROWS = "rows"


@dataclass(frozen=True)
class Grouping:
    """Codes (n,), −1 where missing, and sorted levels (q,) of a grouping factor."""

    codes: NDArray[np.intp]
    levels: NDArray[np.object_]

    def on(self, rows: NDArray[np.intp]) -> Grouping:
        """On the rows kept, with only the levels found there."""
        codes = self.codes[rows]
        count = np.bincount(codes, minlength=len(self.levels))
        if count.all():
            return Grouping(codes, self.levels)
        return Grouping((np.cumsum(count > 0) - 1)[codes], self.levels[count > 0])

    def of_rows(self) -> NDArray[np.object_]:
        """(n,) level of each row; None where missing."""
        return np.append(self.levels, [None])[self.codes]


def is_rows(bar: BarTerm, frame: Any) -> bool:
    """Whether the term has one level per row: ``gr(rows, cov=A)`` with no column of this name."""
    return bar.group == (ROWS,) and bar.cov is not None and ROWS not in frame.columns


def grouping(bar: BarTerm, evaluator: Evaluator, labels: NDArray[np.object_], by_row: bool) -> Grouping:
    """The grouping of one term on all rows given; several factors are crossed, their levels joined by ``:``.

    The order of levels is R's: that of each factor, the first changing slowest.
    """
    if by_row:
        return _rows(bar, labels)
    codes, levels = labels_of(evaluator.column(bar.group[0]))
    for name in bar.group[1:]:
        right, more = labels_of(evaluator.column(name))
        crossed = np.where((codes < 0) | (right < 0), -1, codes * len(more) + right)
        found, inverse = np.unique(crossed, return_inverse=True)
        lowest = int(len(found) > 0 and found[0] == -1)
        codes = inverse.reshape(-1) - lowest
        pairs = [divmod(int(v), len(more)) for v in found[lowest:]]
        levels = np.array([f"{levels[a]}:{more[b]}" for a, b in pairs], dtype=object)
    return Grouping(codes, levels)


def _rows(bar: BarTerm, labels: NDArray[np.object_]) -> Grouping:
    if len(set(labels.tolist())) < len(labels):
        twice = [label for label, count in Counter(labels.tolist()).items() if count > 1]
        raise BindError(f"{bar.text}: one level per row needs unique row labels; these stand twice: {listed(twice)}")
    return Grouping(np.arange(len(labels)), np.array([plain_label(v) for v in labels.tolist()], dtype=object))


def make_term(
    bar: BarTerm, name: str, group: Grouping, coder: Coder, values: Mapping[str, Value], covariances: Mapping[str, Any]
) -> Term:
    """The term on the rows kept, with a variance for each effect until its structure is known.

    Raises
    ------
    BindError
        Levels that the covariance does not have, no effect left of the bar.
    """
    n = len(group.codes)
    basis = np.ones((n, 1)) if coder.names == ("Intercept",) else coder.assemble(values, np.arange(n))
    if not coder.names:
        raise BindError(f"{bar.text}: no effect stands left of the bar; write 1 for a random intercept")
    if bar.cov is not None:
        cov = covariances[bar.cov]
    else:  # joined names of crossed factors might coincide
        cov = Identity.among(group.levels) if len(bar.group) == 1 else Identity(group.levels)
    if bar.cov is None:
        positions = np.arange(len(group.levels))
    else:
        positions = np.array(cov.positions(group.levels), dtype=np.intp)
        _refuse_unknown(bar, group, cov, positions)
    return Term(
        name=name,
        label=name if bar.cov is None else f"{':'.join(bar.group)} (cov {bar.cov})",
        text=bar.text,
        group=":".join(bar.group),
        effects=coder.names,
        levels=group.levels,
        codes=group.codes,
        basis=basis,
        covariance=cov,
        positions=positions,
        structure=structures.make("diag", len(coder.names)),
        cov_name=bar.cov,
    )


def unique_names(bars: tuple[BarTerm, ...]) -> tuple[str, ...]:
    """A key for each term: its group, with the covariance (``kin:A``) or a number (``g.1``) where that is needed."""
    groups = [":".join(bar.group) for bar in bars]
    names: list[str] = []
    for bar, group in zip(bars, groups, strict=True):
        name = group if groups.count(group) == 1 or bar.cov is None else f"{group}:{bar.cov}"
        base, number = name, 0
        while name in names:
            number += 1
            name = f"{base}.{number}"
        names.append(name)
    return tuple(names)


def residual_term(n: int, weights: Float | None) -> Term:
    """The residual: one level a row, A = I, basis = weights^-½."""
    labels: Any = np.arange(n)  # sorted integers: unique without a look
    cov = Identity(labels)
    return Term(
        name="Residual",
        label="Residual",
        text="Residual",
        group="Residual",
        effects=("Residual",),
        levels=cov.labels,
        codes=np.arange(n),
        basis=np.ones((n, 1)) if weights is None else (1.0 / np.sqrt(weights))[:, None],
        covariance=cov,
        positions=np.arange(n),
        structure=structures.make("us", 1),
    )


def _refuse_unknown(bar: BarTerm, group: Grouping, cov: Any, positions: NDArray[np.intp]) -> None:
    absent = group.levels[positions < 0]
    if not len(absent):
        return
    name, what = ":".join(bar.group), "level" if len(absent) == 1 else "levels"
    count = int((positions[group.codes] < 0).sum())
    hint = _hint(absent, cov.labels)
    raise BindError(
        f"{bar.text}: {len(absent)} {what} of {name!r} are not in cov[{bar.cov!r}]: {listed(absent)}. "
        f"{hint or f'Add them to {bar.cov}, or drop the {count} rows with them'}"
    )


def _hint(absent: NDArray[np.object_], labels: NDArray[np.object_]) -> str:
    """What would make the unmatched ids match: another type, stripped spaces, another case."""
    if _match_as_text(absent, labels):
        kinds = [type(values[0]).__name__ for values in (absent, labels)]
        return (
            f"They match as text, but the data hold {kinds[0]} ({absent[0]!r}) and the covariance {kinds[1]} labels: "
            "convert one of the two, e.g. data[column].astype(str)"
        )
    texts = [v for v in absent.tolist() if isinstance(v, str)]
    for how, change in (("strip()", str.strip), ("lower()", str.lower), ("strip().lower()", _both)):
        have = {change(v) for v in labels.tolist() if isinstance(v, str)}
        fit = [v for v in texts if change(v) in have]
        if fit:
            return f"{len(fit)} of them would match after {how} on both sides: {listed(fit, 3)}"
    return ""


def _match_as_text(absent: NDArray[np.object_], labels: NDArray[np.object_]) -> bool:
    have = {str(plain_label(v)) for v in labels.tolist()}
    return any(str(v) in have for v in absent.tolist())


def _both(text: str) -> str:
    return text.strip().lower()


def column_reader(frame: Any) -> Any:
    """A function from name to Column that reads each column once."""
    seen: dict[str, Any] = {}

    def read(name: str) -> Any:
        if name not in seen:
            seen[name] = column_of(frame, name)
        return seen[name]

    return read
