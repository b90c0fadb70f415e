"""The summary as a neutral table: strings in blocks, ready for any rendering."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from ..design.spec import ModelSpec
from ..estimators.base import estimators
from ..inference.parameters import Parameter, parameters
from .fixed_tests import fixed_tests
from .notes import notes
from .numbers import fixed_row, info, p_value, percent, significant, t_value

if TYPE_CHECKING:
    from .point import PointResults

INTERCEPT = ("Intercept", "(Intercept)")


@dataclass(frozen=True)
class Grid:
    """A block of cells: the first `stubs` columns are names, the others numbers.

    `aligned`: the numbers stand under each other already; otherwise text lines up their decimal points.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    stubs: int
    aligned: bool = False


@dataclass(frozen=True)
class SummaryTable:
    """A summary without a medium.

    Attributes
    ----------
    title : str
    banner : str
        Empty, or a warning to be printed first.
    header : tuple of (left, right)
        Each side is a (name, value) pair.
    grids : tuple of Grid
    notes : tuple of str
    """

    title: str
    banner: str
    header: tuple[tuple[tuple[str, str], tuple[str, str]], ...]
    grids: tuple[Grid, ...]
    notes: tuple[str, ...]


def summary_table(
    fit: PointResults, df: str, level: float, interval: str | None, information: str | None
) -> SummaryTable:
    """Everything the summary of a point fit says."""
    interval = fit.interval_kind(interval)
    grids = [variance_grid(fit, level, interval, information)]
    if fit.spec.p and fit.estimate.fixed_effects != "none":
        grids.insert(0, fixed_grid(fit, df, level))
    e = fit.estimate
    banner = ""
    if not e.converged:
        why = f": {e.message}" if e.message else ""
        banner = f"NOT CONVERGED{why}. The numbers below are not an optimum."
    return SummaryTable(title(fit), banner, header(fit), tuple(grids), notes(fit, df, interval, information))


def title(fit: PointResults) -> str:
    """What was fitted, and how."""
    model = "Linear mixed model" if fit.spec.terms else "Linear model"
    how = _how(fit)
    if fit.estimate.fixed.all():
        criterion = f" ({how} criterion)" if fit.estimate.loglik is not None else ""
        return f"{model} at given variance components{criterion}"
    return f"{model} fitted by {how}"


def _how(fit: PointResults) -> str:
    """The criterion and the way to its maximum, or what else was solved."""
    method = fit.estimator or (estimators.get(fit.method) if fit.method in estimators else None)
    words = getattr(method, "title", fit.method)
    if fit.estimate.loglik is None or not hasattr(method, "title"):
        return str(words)
    criterion = "REML" if fit.estimate.reml else "maximum likelihood"
    return f"{criterion} ({words})" if words else criterion


def header(fit: PointResults) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
    """Pairs of (name, value), left and right."""
    spec, e = fit.spec, fit.estimate
    left = [("Response", ", ".join(spec.y_names))]
    if e.loglik is not None:
        left.append(("Log-likelihood", f"{info(fit.llf, 4)} ({'REML' if e.reml else 'ML'})"))
        left.append(("AIC, BIC", f"{info(fit.aic, 2)}, {info(fit.bic, 2)}"))
    own = [pair for pair in e.extra.get("header", ()) if pair[0] != "Computed by"]
    left += own
    left.append(("Date", date.today().isoformat()))
    right = [("Rows", f"{spec.n} ({spec.dropped.count} dropped)")]
    if spec.terms:
        sizes = {term.group: term.q for term in spec.terms}
        right.append(("Groups", ", ".join(f"{group} {q}" for group, q in sizes.items())))
    if e.likelihood:
        right.append(("Computed by", f"{e.likelihood} likelihood"))
    right += [pair for pair in e.extra.get("header", ()) if pair not in own]
    count = f"{e.n_evaluations} evaluation{'s' * (e.n_evaluations != 1)}"
    if not own or not e.converged:  # what is solved in closed form has nothing to converge
        right.append(("Converged", f"{'yes' if e.converged else 'NO'}, {count}"))
    blank = ("", "")
    length = max(len(left), len(right))
    left += [blank] * (length - len(left))
    right += [blank] * (length - len(right))
    return tuple(zip(left, right, strict=True))


def fixed_grid(fit: PointResults, df: str, level: float) -> Grid:
    """Coefficients with tests and intervals."""
    tests = fixed_tests(fit, df).coefficients()
    beta, se, nu, t, p = tests.estimate, tests.se, tests.df, tests.t, tests.pvalue
    low, high = tests.interval(level)
    normal = df == "normal"
    columns = ["Fixed effects", "coef", "std err", *([] if normal else ["df"])]
    columns += ["z", "P>|z|"] if normal else ["t", "P>|t|"]
    rows = []
    for j, name in enumerate(fit.spec.x_names):
        coef, err, lower, upper = fixed_row(beta[j], se[j], low[j], high[j])
        freedom = [] if normal else [f"{nu[j]:.2f}" if nu[j] < 1e6 else "inf"]
        rows.append((name, coef, err, *freedom, t_value(t[j]), p_value(p[j]), lower, upper))
    return Grid((*columns, *interval_names(level)), tuple(rows), 1)


def variance_grid(fit: PointResults, level: float, interval: str, information: str | None) -> Grid:
    """Variance components: each term's variances first, then its covariances."""
    spec = fit.spec
    frame = fit.variances(level=level, interval=interval, information=information).to_dict("records")
    rows = parameters(spec)
    order = sorted(range(len(rows)), key=lambda j: (rows[j].term, rows[j].kind != "variance"))
    effects = any(t.k > 1 or t.effects[0] not in (*INTERCEPT, t.name) for t in spec.all_terms)
    mixed = any(p.kind != "variance" for p in rows)
    body = []
    for j in order:
        p, r = rows[j], frame[j]
        stub = [_label(spec, p), *([_effect(p)] if effects else [])]
        value = "0" if r["variance"] == 0 else significant(r["variance"])
        limits = [significant(r["lower"]), significant(r["upper"])]
        part = "" if p.kind != "variance" and r["share"] == 0 else percent(r["share"])
        body.append((*stub, value, _se_cell(fit, j, r["se"]), significant(r["sd"]), *limits, part))
    numbers = ("variance", "std err", "sd | corr" if mixed else "sd", *interval_names(level), "share")
    return Grid(("Variances", *([""] if effects else []), *numbers), tuple(body), 2 if effects else 1)


def _se_cell(fit: PointResults, j: int, se: float) -> str:
    if fit.estimate.fixed[j]:
        return "fixed"
    # a constrained moment estimate at zero still has the error of the unconstrained one
    return "boundary" if fit.estimate.at_bound[j] and not se > 0 else significant(se)


def _label(spec: ModelSpec, p: Parameter) -> str:
    return spec.all_terms[p.term].label


def _effect(p: Parameter) -> str:
    if p.effect == p.group:
        return ""
    if p.effect2 is None:
        return p.effect
    if p.kind != "correlation":
        return f"{p.effect}, {p.effect2}"
    return f"corr. {p.effect2}" if p.effect == "any" else f"corr. {p.effect}, {p.effect2}"


def interval_names(level: float) -> tuple[str, str]:
    """Heads of the limits: the probabilities below them."""
    tail = (1 - level) / 2
    return f"[{np.round(tail, 6):g}", f"{np.round(1 - tail, 6):g}]"
