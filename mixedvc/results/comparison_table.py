"""A comparison as a neutral table: a column a method, estimate (standard error) in its cells, then what each cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from .comparison import criterion, is_admissible, is_posterior, se_kind
from .numbers import info, significant
from .render import LIMIT, shorten
from .table import Grid, SummaryTable

if TYPE_CHECKING:
    from .comparison import Comparison

_STUB, _LABEL, _FIXED = 34, 26, 12  # longest name, longest label; fixed effects shown


def comparison_table(comparison: Comparison, *, wrap: bool = True) -> SummaryTable:
    """Everything a printed comparison says; with `wrap` the methods stand in groups of at most 100 columns."""
    stub, columns = _columns(comparison)
    if not wrap:  # HTML drops leading blanks
        stub = [name.replace("  ", "\u2003", 1) if name.startswith("  ") else name for name in stub]
    groups = _groups(stub, columns) if wrap else [list(range(len(columns)))]
    grids = []
    for group in groups:
        heads = tuple(columns[j][0] for j in group)
        rows = tuple((name, *(columns[j][1 + i] for j in group)) for i, name in enumerate(stub[1:]))
        grids.append(Grid((stub[0], *heads), rows, 1, aligned=True))
    k = len(comparison.labels)
    title = f"{'Linear mixed model' if comparison.spec.terms else 'Linear model'} by {k} method{'s' * (k != 1)}"
    return SummaryTable(title, "", _header(comparison), tuple(grids), tuple(comparison_notes(comparison)))


def _header(c: Comparison) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
    spec = c.spec
    groups = ", ".join(f"{group} {q}" for group, q in {t.group: t.q for t in spec.terms}.items())
    left = [("Response", ", ".join(spec.y_names)), ("Rows", f"{spec.n} ({spec.dropped.count} dropped)")]
    right = [("Date", date.today().isoformat()), ("Groups", groups) if groups else ("", "")]
    return tuple(zip(left, right, strict=True))


# ---- cells --------------------------------------------------------------------------------------------------


def _columns(c: Comparison) -> tuple[list[str], list[list[str]]]:
    """The stub and one column a method, heading first; the cells of a column have one width."""
    frame = c.table
    stub, rows = ["Variances"], []
    for title, kinds in (("", ("variance", "covariance", "correlation", "loading")), ("Fixed effects", ("fixed",))):
        part = frame[frame["kind"].isin(kinds)]
        names = list(dict.fromkeys(part["parameter"]))
        if title and names:
            stub.append(title)
            rows.append([("", "")] * len(c.labels))
        for name in names[: _FIXED if title else None]:
            stub.append(f"  {shorten(name, _STUB)}")
            rows.append(_estimates(c, part[part["parameter"] == name]))
    columns = [_aligned([row[j] for row in rows]) for j in range(len(c.labels))]
    foot = _fit_rows(c)
    stub += [name for name, _ in foot]
    for j, label in enumerate(c.labels):
        cells = [*columns[j], *(values[j] for _, values in foot)]
        head = shorten(label, _LABEL)
        width = max(len(head), *map(len, cells))
        columns[j] = [f"{cell:>{width}}" for cell in (head, *cells)]
    return stub, columns


def _estimates(c: Comparison, rows: Any) -> list[tuple[str, str]]:
    """(estimate, standard error) of one parameter by every method, with one number of decimals."""
    by = {row["method"]: row for row in rows.to_dict("records")}
    places = decimals([row["estimate"] for row in by.values()], [row["se"] for row in by.values()])
    cells = []
    for label in c.labels:
        row = by.get(label)
        if row is None:
            cells.append(("-", "") if label in c.errors else ("", ""))
            continue
        value = "0" if row["estimate"] == 0 else shown(row["estimate"], places)
        note = "(given)" if row["given"] else f"({shown(row['se'], places)})" if math.isfinite(row["se"]) else ""
        cells.append((value + "*" * row["boundary"], note))
    return cells


def decimals(estimates: Iterable[float], errors: Iterable[float]) -> int | None:
    """Decimals that give the typical standard error three digits; None where only scientific notation would do."""
    scale = [x for x in errors if math.isfinite(x) and x > 0] or [abs(x) for x in estimates if math.isfinite(x) and x]
    sizes = [abs(x) for x in estimates if math.isfinite(x)]
    if not scale or not math.isfinite(math.log10(max(sizes, default=0.0) or 1.0)):
        return 0
    places = max(0, 2 - math.floor(math.log10(float(np.median(scale)))))
    return None if places > 8 or max(sizes) >= 1e9 else places


def shown(x: float, places: int | None) -> str:
    """`x` with `places` decimals, or with four digits where they would leave nothing of it."""
    if places is None or (x != 0 and abs(x) < 0.5 * 10.0**-places):
        return significant(x)
    return f"{x:.{places}f}"


def _aligned(cells: Sequence[tuple[str, str]]) -> list[str]:
    """Decimal points under each other, standard errors beside them."""
    points = [(value.find(".") if "." in value else len(value.rstrip("*")), value) for value, _ in cells]
    left = max((at for at, _ in points), default=0)
    right = max((len(value) - at for at, value in points), default=0)
    error = max((len(note) for _, note in cells), default=0)
    gap = " " if error else ""
    return [
        f"{' ' * (left - at)}{value}".ljust(left + right) + gap + note.rjust(error)
        for (at, value), (_, note) in zip(points, cells, strict=True)
    ]


def _fit_rows(c: Comparison) -> list[tuple[str, list[str]]]:
    """What is known of each fit as a whole."""
    g = c.glance()
    rows = []
    if c.likelihood is not None:
        rows.append((f"Log-likelihood ({'REML' if c.reml else 'ML'})", [_loglik(x, 4) for x in g["loglik"]]))
        rows.append(("  below the best", [_loglik(x, 4) for x in g["below_best"]]))
    rows.append(("Seconds", ["" if math.isnan(x) else significant(x, 2) for x in g["seconds"]]))
    failed = [label in c.errors for label in c.labels]
    rows.append(("Evaluations", ["" if bad else str(x) for x, bad in zip(g["evaluations"], failed, strict=True)]))
    if "ess" in g:
        rows.append(("Effective draws (least)", ["" if math.isnan(x) else str(round(x)) for x in g["ess"]]))
    states = zip(g["converged"], failed, strict=True)
    rows.append(("Converged", ["FAILED" if bad else "yes" if ok else "NO" for ok, bad in states]))
    return rows


def _loglik(x: float, places: int) -> str:
    return "" if math.isnan(x) else info(x, places)


def _groups(stub: Sequence[str], columns: Sequence[Sequence[str]]) -> list[list[int]]:
    """Positions of the methods that stand beside each other: as few groups as fit the width, of like size."""
    room = LIMIT - max(map(len, stub))
    widest = max(len(column[0]) + 2 for column in columns)
    most = max(1, room // widest)
    groups = -(-len(columns) // most)
    return [list(map(int, part)) for part in np.array_split(np.arange(len(columns)), groups)]


# ---- notes --------------------------------------------------------------------------------------------------


def comparison_notes(c: Comparison) -> list[str]:
    """What a reader must know to compare the columns."""
    found = [f"{label} failed: {' '.join(error.split())}" for label, error in c.errors.items()]
    found += [f"{label} did not converge: {_ended(c, label)}" for label, fit in c.fits.items() if not fit.converged]
    found += [*_criteria(c), *_errors(c)]
    if c.table["boundary"].any():
        found.append("*: at the edge of what it can be (a variance of zero, a correlation of one).")
    found += [f"{label}: {note}" for label, fit in c.fits.items() for note in fit.estimate.notes]
    p = c.spec.p
    if p > _FIXED:
        found.append(f"The first {_FIXED} of {p} fixed effects are shown; .table has them all.")
    return found + list(c.spec.notes)


def _ended(c: Comparison, label: str) -> str:
    return c.fits[label].estimate.message.rstrip(".") + ". Its column is not its final answer."


def _criteria(c: Comparison) -> list[str]:
    """What the log-likelihood row is, and who maximised what."""
    if c.likelihood is None:
        return [f"There is no common log-likelihood: {c.obstacle}"]
    kind = "REML" if c.reml else "ML"
    found = [f"Log-likelihood: {kind}, evaluated at every method's estimate, with lme4's constants."]
    by = {what: [label for label, fit in c.fits.items() if criterion(fit) == what] for what in ("REML", "ML", None)}
    if by["REML"] and by["ML"]:
        found.append(
            f"Two criteria: {_names(by['ML'])} maximised ML, {_names(by['REML'])} REML. ML takes no account of the "
            "degrees of freedom that the fixed effects use, so its variances tend to be smaller. The log-likelihood "
            f"shown is not the one that {_names(by['ML' if c.reml else 'REML'])} maximised."
        )
    elif by["ML" if c.reml else "REML"]:
        other = by["ML" if c.reml else "REML"]
        found.append(f"{_names(other)} maximised {'ML' if c.reml else 'REML'}, not the log-likelihood shown.")
    sampled = [label for label in by[None] if is_posterior(c.fits[label])]
    others = [label for label in by[None] if label not in sampled]
    if sampled:
        found.append(
            f"{_names(sampled)} sampled a posterior: its estimates are posterior means, its standard errors posterior "
            "standard deviations, its intervals of highest posterior density; it maximised nothing."
        )
    if others:
        found.append(f"{_names(others)} solved other equations and maximised no likelihood.")
    raised = [label for label, fit in c.fits.items() if not is_admissible(fit)]
    if raised:
        found.append(
            f"The estimate by {_names(raised)} is no covariance (a negative variance): for the log-likelihood and the "
            "fixed effects its nearest admissible one is used (zero in the place of a negative variance)."
        )
    return found


def _errors(c: Comparison) -> list[str]:
    """Where each method's standard errors come from."""
    kinds: dict[str | None, list[str]] = {}
    for label, fit in c.fits.items():
        kinds.setdefault(se_kind(fit), []).append(label)
    none = kinds.pop(None, [])
    parts = [f"{kind} ({', '.join(labels)})" for kind, labels in kinds.items()]
    found = [f"Standard errors of variances, in parentheses: {'; '.join(parts)}."] if parts else []
    return found + ([f"No standard errors of variances: {_names(none)}."] if none else [])


def _names(labels: Sequence[str]) -> str:
    return labels[0] if len(labels) == 1 else f"{', '.join(labels[:-1])} and {labels[-1]}"
