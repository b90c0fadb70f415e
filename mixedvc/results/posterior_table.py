"""The summary of a posterior: header, fixed effects, variances, notes; digits that Monte-Carlo error supports."""

from __future__ import annotations

import math
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from ..inference.parameters import parameters
from . import posterior_numbers as pn
from . import table
from .numbers import percent, significant
from .posterior_data import sd_draws
from .posterior_notes import notes
from .table import Grid, SummaryTable, interval_names

if TYPE_CHECKING:
    from .posterior import PosteriorResults

FIRST = 6  # digits never exceeded


def summary_table(fit: PosteriorResults, level: float, interval: str) -> SummaryTable:
    """Everything the summary of a posterior says."""
    if fit.spec.traits is not None:
        from .posterior_traits_table import grids

        blocks = grids(fit, level, interval)
    else:
        blocks = variance_grids(fit, level, interval)
        if fit.spec.p:
            blocks.insert(0, fixed_grid(fit, level, interval))
    banner = ""
    if fit.draws.interrupted:
        banner = f"INTERRUPTED after {fit.draws.count} draws of each chain; extend() goes on where they stopped."
    return SummaryTable(title(fit), banner, header(fit), tuple(blocks), notes(fit, level, interval))


def title(fit: PosteriorResults) -> str:
    """What was fitted."""
    t = 0 if fit.spec.traits is None else fit.spec.traits.t
    of = f" of {t} trait{'s' * (t != 1)}" if t else ""
    return f"Bayesian linear {'mixed ' if fit.spec.terms else ''}model{of}: posterior draws"


def header(fit: PosteriorResults) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
    """Pairs of (name, value), left and right."""
    spec, d = fit.spec, fit.draws
    chains = f"{d.chains * d.count} ({d.chains} chain{'s' * (d.chains != 1)} x {d.count})"
    left = [("Draws", chains), ("Burn-in", str(d.burnin)), ("Thinning", str(d.thin)), ("Seed", str(d.seed))]
    left.append(("Date", date.today().isoformat()))
    right = [("Groups", ", ".join(f"{g} {q}" for g, q in {t.group: t.q for t in spec.terms}.items()))]
    right = right if spec.terms else []
    right += [("Sampler", str(getattr(d.plan, "name", "")))]
    if fit.estimate.likelihood:
        right.append(("Computed by", f"{fit.estimate.likelihood} likelihood"))
    if spec.traits is None:
        left.insert(0, ("Response", ", ".join(spec.y_names)))
        right.insert(0, ("Rows", f"{spec.n} ({spec.dropped.count} dropped)"))
    else:
        cells = spec.traits
        names = list(cells.names)
        left.insert(0, ("Traits", ", ".join(names if len(names) <= 12 else [*names[:6], "...", names[-1]])))
        missing = cells.n * cells.t - spec.n
        right.insert(0, ("Records", f"{cells.n} ({spec.dropped.count} dropped)"))
        right.insert(1, ("Cells", f"{spec.n} ({missing} missing)"))
    length = max(len(left), len(right))
    pad = [("", "")] * length
    return tuple(zip((left + pad)[:length], (right + pad)[:length], strict=True))


# ---- numbers --------------------------------------------------------------------------------------------------------


def places(mcse: float, sd: float, draws: int) -> int:
    """Decimals whose last one the Monte-Carlo error still moves; without one, that of independent draws."""
    error = mcse if mcse > 0 and math.isfinite(mcse) else sd / math.sqrt(max(draws, 1))
    if not error > 0 or not math.isfinite(error):
        return 4
    return -math.floor(math.log10(error))


def rounded(x: float, decimals: int) -> str:
    """`x` to so many decimals (negative: tens, hundreds), never more than FIRST significant digits; blank for NaN."""
    if math.isnan(x):
        return ""
    if math.isinf(x):
        return "inf" if x > 0 else "-inf"
    size = 0 if x == 0 else math.floor(math.log10(abs(x)))
    if size >= 9 or (x != 0 and size < -5 and decimals > 5):
        return f"{x:.{max(0, min(FIRST - 1, size + decimals))}e}"
    decimals = min(decimals, FIRST - 1 - size) if x != 0 else min(decimals, FIRST)
    text = f"{round(x, decimals):.{max(0, decimals)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def row_cells(x: Any, n: pn.Numbers) -> list[str]:
    """mean, sd, lower, upper of draws, each to the digits its Monte-Carlo error supports."""
    if n.sd == 0.0:
        return [significant(n.mean), "fixed", "", ""]
    centre, spread = places(n.mcse, n.sd, x.size), places(n.mcse / math.sqrt(2), n.sd, x.size)
    tail = centre
    if pn.there() and n.ess_tail == n.ess_tail:
        tail = places(max(pn.mcse(x, "quantile", q) for q in (0.025, 0.975)), n.sd, x.size)
    return [rounded(n.mean, centre), rounded(n.sd, spread), rounded(n.lower, tail), rounded(n.upper, tail)]


def count(x: float) -> str:
    """An effective sample size."""
    return "" if math.isnan(x) else f"{x:.0f}"


def ratio(x: float) -> str:
    """An R-hat."""
    return "" if math.isnan(x) else f"{x:.3f}" if x < 100 else f"{x:.3g}"


def limit_names(level: float, interval: str) -> tuple[str, str]:
    """Heads of the limits."""
    return (f"[{100 * level:g}%", "HPD]") if interval == "hdi" else interval_names(level)


# ---- blocks ---------------------------------------------------------------------------------------------------------


def fixed_rows(fit: PosteriorResults, level: float, interval: str) -> list[tuple[str, ...]]:
    """A row a coefficient: name, mean, std dev, limits, ESS of bulk and tail, R-hat, MCSE."""
    rows = []
    for j, name in enumerate(fit.spec.x_names):
        n = fit.summary_of("beta", j, level, interval)
        cells = row_cells(fit.draws.beta[..., j], n)
        error = "" if math.isnan(n.mcse) else f"{n.mcse:.2g}"
        rows.append((name, *cells, count(n.ess_bulk), count(n.ess_tail), ratio(n.rhat), error))
    return rows


FIXED_HEADS = ("ESS bulk", "ESS tail", "R-hat", "MCSE")


def fixed_grid(fit: PosteriorResults, level: float, interval: str) -> Grid:
    """Coefficients."""
    columns = ("Fixed effects", "mean", "std dev", *limit_names(level, interval), *FIXED_HEADS)
    return Grid(columns, tuple(fixed_rows(fit, level, interval)), 1)


def variance_grids(fit: PosteriorResults, level: float, interval: str) -> list[Grid]:
    """Variances with covariances after them, and correlations where there are any."""
    spec, rows = fit.spec, parameters(fit.spec)
    order = sorted(range(len(rows)), key=lambda j: (rows[j].term, rows[j].kind != "variance"))
    effects = any(t.k > 1 or t.effects[0] not in (*table.INTERCEPT, t.name) for t in spec.all_terms)
    shares = fit.varcomp["share"].to_numpy()
    body, related = [], []
    whole = sd_draws(fit) if any(p.kind == "covariance" for p in rows) else fit.draws.par
    for j in order:
        p, x = rows[j], fit.draws.par[..., j]
        n = fit.summary_of("par", j, level, interval)
        stub = [spec.all_terms[p.term].label, *([table._effect(p)] if effects else [])]
        if p.kind == "correlation":
            related.append((*stub, *_correlation_cells(x, n)))
            continue
        mean, sd, low, high = row_cells(x, n)
        middle = rounded(n.median, places(n.mcse, n.sd, x.size)) if n.sd > 0 else ""
        part = "" if p.kind != "variance" and not shares[j] else percent(float(shares[j]))
        body.append((*stub, mean, middle, sd, low, high, part, count(n.ess_bulk), ratio(n.rhat)))
        if p.kind == "covariance" and n.sd > 0:
            related.append((*stub, *_correlation_cells(whole[..., j], pn.numbers(whole[..., j], level, interval))))
    blank = [""] if effects else []
    numbers = ("mean", "median", "std dev", *limit_names(level, interval), "share", "ESS", "R-hat")
    made = [Grid(("Variances", *blank, *numbers), tuple(body), len(blank) + 1)]
    if related:
        heads = ("mean", "std dev", *limit_names(level, interval), "P(>0)", "ESS", "R-hat")
        made.append(Grid(("Correlations", *blank, *heads), tuple(related), len(blank) + 1))
    return made


def _correlation_cells(x: Any, n: pn.Numbers) -> list[str]:
    above = "" if n.sd == 0 or not np.isfinite(x).all() else f"{float((x > 0).mean()):.3f}"
    return [*row_cells(x, n), above, count(n.ess_bulk), ratio(n.rhat)]
