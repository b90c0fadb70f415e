"""The summary of several traits: fixed effects by trait, a block for every covariance of the traits, correlations.

Up to MATRICES traits a block has a row a trait (variance, error, interval, share of the trait's variance) and the
covariances with the correlations above them; of more traits one table has a row a trait and no pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..inference.traits import RESIDUAL, TraitMatrix, components, families_of, phenotypic
from . import table
from .notes import trait_notes
from .numbers import percent, significant
from .render import LIMIT, natural, shorten
from .table import Grid, SummaryTable, interval_names
from .traits_covariances import correlation_rows, covariance_frame, heritability_rows

if TYPE_CHECKING:
    from .traits import TraitResults

MATRICES = 6  # traits whose matrices are printed
LONG = 20  # correlations that are listed with intervals; of more the table has a row a pair of traits
COEFFICIENTS = 40  # fixed effects that are listed with tests; of more the table has a row a trait


def summary_table(fit: TraitResults, df: str, level: float, interval: str | None) -> SummaryTable:
    """Everything the summary of several traits says."""
    kind = fit.interval_kind(interval)
    blocks = [_block(fit, one, level, kind) for one in components(fit.spec)]
    few = len(fit.traits) <= MATRICES
    grids = [grid for block in blocks for grid in _block_grids(fit, *block, level)] if few else _by_trait(fit, blocks)
    if few and len(fit.traits) > 1:
        grids.append(_correlations(fit, level, kind))
    if fit.spec.p and fit.estimate.fixed_effects != "none":
        grids.insert(0, _fixed(fit, df, level))
    banner = ""
    if not fit.estimate.converged:
        why = f": {fit.estimate.message}" if fit.estimate.message else ""
        banner = f"NOT CONVERGED{why}. The numbers below are not an optimum."
    said = trait_notes(fit, df, kind, few)
    return SummaryTable(_title(fit), banner, _header(fit), tuple(grids), said)


def _title(fit: TraitResults) -> str:
    t = len(fit.traits)
    return table.title(fit).replace("model", f"model of {t} trait{'s' * (t != 1)}", 1)


def _header(fit: TraitResults) -> Any:
    """The usual header, with traits and records in the place of response and rows."""
    cells, spec = fit.spec.traits, fit.spec
    left = [pair for pair, _ in table.header(fit) if pair[0] not in ("", "Response")]
    right = [pair for _, pair in table.header(fit) if pair[0] not in ("", "Rows")]
    seen = np.bincount(cells.trait, minlength=cells.t)
    gaps = [f"{name} {cells.n - n}" for name, n in zip(cells.names, seen.tolist(), strict=True) if n < cells.n]
    missing = f"{cells.n * cells.t - spec.n} missing"
    if 0 < len(gaps) <= MATRICES:
        missing += f": {', '.join(gaps)}"
    names = list(cells.names)
    shown = names if len(names) <= 2 * MATRICES else [*names[:MATRICES], "...", names[-1]]
    left.insert(0, ("Traits", ", ".join(shown)))
    records = [("Records", f"{cells.n} ({spec.dropped.count} dropped)"), ("Cells", f"{spec.n} ({missing})")]
    right = [*records, *right]
    length = max(len(left), len(right))
    pad = [("", "")] * length
    return tuple(zip((left + pad)[:length], (right + pad)[:length], strict=True))


# ---- fixed effects ----------------------------------------------------------------------------------------------


def _fixed(fit: TraitResults, df: str, level: float) -> Grid:
    """Coefficients by trait, those that all share last."""
    spec = fit.spec
    of, names = np.asarray(spec.traits.columns), spec.traits.names
    own = [
        name.removeprefix(f"{names[a]}: ") if a >= 0 else name
        for a, name in zip(of.tolist(), spec.x_names, strict=True)
    ]
    if spec.p > COEFFICIENTS:
        made = _coefficients(fit, of, own)
        if natural(made) <= LIMIT:
            return made
    plain = table.fixed_grid(fit, df, level)
    order = np.argsort(np.where(of < 0, len(names), of), kind="stable").tolist()
    rows, before = [], None
    for j in order:
        rows.append(
            ("" if of[j] == before else "all traits" if of[j] < 0 else names[of[j]], own[j], *plain.rows[j][1:])
        )
        before = of[j]
    return Grid((plain.columns[0], "", *plain.columns[1:]), tuple(rows), 2)


def _coefficients(fit: TraitResults, of: Any, own: list[str]) -> Grid:
    """A row a trait, a column a coefficient; those that all share in a row of their own."""
    columns = list(dict.fromkeys(own))
    beta = fit.params.to_numpy()
    rows = []
    for a, name in [*enumerate(fit.traits), (-1, "all traits")]:
        mine = {own[j]: significant(float(beta[j])) for j in np.flatnonzero(of == a).tolist()}
        if mine:
            rows.append((name, *(mine.get(column, "") for column in columns)))
    return Grid(("Coefficients", *columns), tuple(rows), 1)


# ---- covariances ------------------------------------------------------------------------------------------------


def _label(fit: TraitResults, matrix: TraitMatrix) -> str:
    if not matrix.entries:
        return matrix.name
    term = fit.spec.all_terms[matrix.entries[0][0]]
    return matrix.name.replace(term.name, term.label, 1) if matrix.name.startswith(term.name) else matrix.name


def _block(fit: TraitResults, matrix: TraitMatrix, level: float, kind: str) -> tuple[TraitMatrix, list[Any], list[Any]]:
    """A matrix with its variances (records with limits) and the shares of its traits."""
    frame = covariance_frame(fit, matrix, level, kind, variances=True)
    return matrix, frame.to_dict("records"), _shares(fit, matrix)


def _shares(fit: TraitResults, matrix: TraitMatrix) -> list[Any]:
    """Of intercepts alone: of a term with slopes the shares stand with its first effect."""
    places = {**families_of(fit.spec), RESIDUAL: [len(fit.spec.terms)]}
    name = next((name for name, terms in places.items() if matrix.entries and matrix.entries[0][0] in terms), None)
    if name is None or not fit.spec.terms or not np.isfinite(fit.estimate.theta).all():
        return []
    first = next(one for one in components(fit.spec) if one.entries and one.entries[0][0] in places[name])
    if first.name != matrix.name:
        return []
    try:
        rows = heritability_rows(fit, name, None, "variance", 0.95, "logit")
    except ValueError:  # a denominator that is not positive
        return []
    return [row for row in rows if row["trait"] in matrix.traits]


def _cell(fit: TraitResults, row: Any) -> str:
    """A standard error, or in a word why there is none."""
    if np.isfinite(row["se"]):
        return significant(row["se"])
    return {"held fixed": "fixed"}.get(row["note"], "boundary" if row["note"].startswith("boundary") else "")


def _block_grids(
    fit: TraitResults, matrix: TraitMatrix, variances: list[Any], shares: list[Any], level: float
) -> list[Grid]:
    """Variances with shares, and the covariances: beside each other where there is room."""
    heads = ["variance", "std err", *interval_names(level), *(["share", "std err"] if shares else [])]
    rows = []
    for j, (name, row) in enumerate(zip(matrix.traits, variances, strict=True)):
        cells = [_value(row["covariance"]), _cell(fit, row), significant(row["lower"]), significant(row["upper"])]
        if shares:
            cells += [percent(shares[j]["heritability"]), percent(shares[j]["se"])]
        rows.append((name, *cells))
    label = _label(fit, matrix)
    one = Grid((label, *heads), tuple(rows), 1)
    if matrix.t == 1 or not any(matrix.L[j, k].any() for j, k in matrix.pairs):
        return [one]
    pairs = _pairs_grid(fit, matrix, f"{label}, corr. above")
    both = Grid(
        (*one.columns, *pairs.columns[1:]), tuple((*a, *b[1:]) for a, b in zip(rows, pairs.rows, strict=True)), 1
    )
    return [both] if natural(both) <= LIMIT else [one, pairs]


def _value(x: float) -> str:
    return "0" if x == 0 else significant(x)


def _pairs_grid(fit: TraitResults, matrix: TraitMatrix, label: str) -> Grid:
    """Covariances below the diagonal, correlations above."""
    C, R = matrix.value(fit.estimate.theta), matrix.correlations(fit.estimate.theta)
    rows = []
    for j, name in enumerate(matrix.traits):
        below = [_value(C[j, k]) for k in range(j)]
        above = [_correlation(R[j, k]) for k in range(j + 1, matrix.t)]
        rows.append((name, *below, "1.000", *above))
    room = max(8, (LIMIT - max(map(len, (label, *matrix.traits)))) // matrix.t - 2)
    return Grid((label, *(shorten(name, room) for name in matrix.traits)), tuple(rows), 1)


def _correlation(r: float) -> str:
    return "" if np.isnan(r) else f"{r:.3f}"


def _correlations(fit: TraitResults, level: float, kind: str) -> Grid:
    """Correlations with errors: a row each with its interval, or of many a row a pair of traits."""
    spec = fit.spec
    made = [one for one in components(spec) if one.t > 1 and any(one.L[j, k].any() for j, k in one.pairs)]
    made += [phenotypic(spec)] if spec.terms and made else []
    count = sum(len(one.pairs) for one in made)
    how = kind if kind in ("profile", "boot") and count <= LONG else "delta"
    rows = [(one, row) for one in made for row in correlation_rows(fit, one, level, how)]
    if count <= LONG:
        body, before = [], None
        for one, r in rows:
            label = "" if one is before else _label(fit, one)
            before = one
            limits = [_correlation(r["lower"]), _correlation(r["upper"])]
            body.append(
                (label, f"{r['trait1']}, {r['trait2']}", _correlation(r["correlation"]), _correlation_se(r), *limits)
            )
        return Grid(("Correlations", "", "corr.", "std err", *interval_names(level)), tuple(body), 2)
    pairs = dict.fromkeys((r["trait1"], r["trait2"]) for _, r in rows)
    cells = {(one.name, r["trait1"], r["trait2"]): r for one, r in rows}
    table_rows = []
    for a, b in pairs:
        found = [cells.get((one.name, a, b)) for one in made]
        numbers = [
            x for r in found for x in (("", "") if r is None else (_correlation(r["correlation"]), _correlation_se(r)))
        ]
        table_rows.append((f"{a}, {b}", *numbers))
    heads = [x for one in made for x in (shorten(one.name, 16), "std err")]
    return Grid(("Correlations", *heads), tuple(table_rows), 1)


def _correlation_se(row: Any) -> str:
    if np.isfinite(row["se"]):
        return f"{row['se']:.3f}"
    return {"held fixed": "fixed"}.get(row["note"], "boundary" if row["note"].startswith("boundary") else "")


def _by_trait(fit: TraitResults, blocks: list[Any]) -> list[Grid]:
    """A row a trait: variance and error in every matrix, and the share of the first."""
    heads, columns = [], []
    for matrix, variances, shares in blocks:
        own = {row["trait1"]: row for row in variances}
        heads += [shorten(_label(fit, matrix), 16), "std err"]
        columns += [
            [_value(own[name]["covariance"]) if name in own else "" for name in fit.traits],
            [_cell(fit, own[name]) if name in own else "" for name in fit.traits],
        ]
        if shares and matrix.name != RESIDUAL:
            part = {row["trait"]: row for row in shares}
            heads += ["share", "std err"]
            columns += [
                [percent(part[n][what]) if n in part else "" for n in fit.traits] for what in ("heritability", "se")
            ]
    grids, width = [], 0
    start = 0
    for at in range(2, len(heads) + 1, 2):  # as many columns beside each other as there is room for
        made = Grid(("Variances", *heads[start:at]), tuple(zip(fit.traits, *columns[start:at], strict=True)), 1)
        width = natural(made)
        if width > LIMIT and at - start > 2:
            grids.append(
                Grid(
                    ("Variances", *heads[start : at - 2]),
                    tuple(zip(fit.traits, *columns[start : at - 2], strict=True)),
                    1,
                )
            )
            start = at - 2
    grids.append(Grid(("Variances", *heads[start:]), tuple(zip(fit.traits, *columns[start:], strict=True)), 1))
    return grids
