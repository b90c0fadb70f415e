"""Formula, data and covariances to a frozen ModelSpec: every check that needs the data happens here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.coerce import as_covariance
from ..errors import BoundaryWarning, DataError, DroppedRowsWarning, OptionError, warn
from ..formula.parse import expand_dot, parse
from ..formula.residual import ResidualFormula, parse_residual
from ..formula.resolve import resolve
from ..formula.terms import BarTerm, FixedTerm, Formula
from ..linalg.columns import orthonormal
from ..structures import make as structures_of
from ..structures import structures
from . import identify, random
from .contrasts import as_contrasts
from .expressions import Categories, Evaluator, Value, names_in
from .fixed import Coder, check_contrast_names, learn, refuse_bad_cells
from .frames import column_names, frame_of, listed, row_labels
from .missing import check_rule, drop_missing
from .random import Grouping, column_reader
from .rank import full_rank, residual_of_fixed
from .request import Request, per_row, read_responses
from .residual import Cells, ResidualSource, groups_of, make_residual
from .rows import check_response, offsets, responses, weights
from .source import Source
from .spec import Dropped, ModelSpec, Term
from .traits import Traits, cells_of, row_names, stacked_columns, stacked_term, trait_residual

Float = NDArray[np.float64]
TRAIT_RESIDUALS = ("us", "diag")  # among the traits of one record
Terms = tuple[tuple[str, ...], ...]


def bind(
    formula: str,
    data: Any,
    *,
    cov: Mapping[str, Any] | None = None,
    responses: Mapping[str, Any] | None = None,
    weights: Any = None,
    offset: Any = None,
    residual: str | None = None,
    missing: str = "omit",
    contrasts: Mapping[str, Any] | None = None,
    align: str = "labels",
    rank: str = "drop",
) -> ModelSpec:
    """Bind a formula to data and known covariances.

    Parameters
    ----------
    formula : str
        ``y ~ x + (1 | g) + (1 | kin:A)``.
    data : table
        A pandas frame, or any table that narwhals reads (polars, pyarrow, …), or a dictionary of columns.
        Text and logicals are factors with sorted levels (by code point; logicals False, True), categoricals keep
        their order, ordered ones get polynomial contrasts. Dates, times and periods serve as groups (by their ISO
        text), not as numbers. Ids read as floats count as integers where they are whole.
    cov : mapping of str to covariance, optional
        What `mixedvc.covariance.coerce.as_covariance` reads.
    responses : mapping of str to (n, t) matrix, optional
        Response matrices that the formula names left of ``~``.
    weights, offset : str or (n,), optional
        A column or numbers; Var(e_i) = σ²/w_i.
    residual : str, optional
        Structure of the residual, in the grammar of random terms: what stands left of the bar says which cell of its
        group a row is (numbers count by value), right of it stand the groups whose rows depend on each other, and
        ``rows`` is the word for one group a row.

        =====================================  =============================================================
        ``diag(0 + f | rows)``                 independent rows, a variance for each level of f
        ``ar1(1 | g)``                         ρ^|i − j| between the i-th and j-th row of a group, in the order
                                               of the data
        ``ar1(0 + time | g)``                  ρ to the number of steps between two times; a step is the common
                                               divisor of the differences in the groups, gaps count
        ``cs(1 | g)``                          one correlation between any two rows of a group
        ``us(0 + time | g)``                   any covariance among the times, one row of a group at each
        ``ar1(0 + time | g, hom=False)``       with a variance at each time (cs alike)
        ``diag(0 + f | rows) * ar1(1 | g)``    with a variance for each level of f (cs alike)
        =====================================  =============================================================

        With weights, Cov(e_i, e_j) is divided by √(w_i w_j).
    missing : {"omit", "exclude", "fail"}
    contrasts : mapping of str, optional
        For factors by name: "treatment", "sum", "helmert", "poly", or a matrix with a row a level. Holds for the
        fixed part and for effects left of a bar.
    align : {"labels", "position"}
        How unlabelled covariances meet levels; "position": in the sorted order of all levels in the data.
    rank : {"drop", "error"}
        What happens to fixed-effect columns that are combinations of earlier ones.

    Returns
    -------
    ModelSpec

    Raises
    ------
    FormulaError, BindError, DataError, CovarianceError, IdentifiabilityError, OptionError
        As the package's list of bad inputs says.
    """
    if not isinstance(formula, str):
        raise OptionError(f"the formula is text such as 'y ~ x + (1 | g)', not a {type(formula).__name__}")
    covs = _as_mapping(cov, "cov")
    names = column_names(data)
    parsed, bars, dot = _read(formula, names, None, covs, (weights, offset))
    responses = _as_mapping(responses, "responses")
    structured = _residual_formula(residual)
    wanted = _columns_used(parsed, bars, names, responses, (weights, offset), structured)
    frame = frame_of(data, wanted)
    request = Request(
        formula=formula,
        frame=frame,
        covariances={name: covs[name] for name in dict.fromkeys(bar.cov for bar in bars if bar.cov is not None)},
        responses=read_responses(responses, frame),
        weights=per_row(weights, "weights", frame),
        offset=per_row(offset, "offset", frame),
        residual=residual,
        missing=missing,
        contrasts=dict(contrasts) if isinstance(contrasts, Mapping) else contrasts,  # type: ignore[arg-type]
        align=align,
        rank=rank,
        dot=dot,
    )
    unused = [name for name in covs if name not in request.covariances]
    notes = (f"cov= has {listed(unused)}, which the formula does not use.",) if unused else ()
    return _bind(request, parsed, bars, notes)


def bind_request(request: Request) -> ModelSpec:
    """Bind again what a Request holds: the same specification, from its own copy of the data."""
    parsed, bars, _ = _read(request.formula, tuple(request.frame.columns), request.dot, request.covariances, ())
    return _bind(request, parsed, bars, ())


def _read(
    formula: str, names: tuple[str, ...], dot: tuple[str, ...] | None, covs: Mapping[str, Any], extra: tuple[Any, ...]
) -> tuple[Formula, tuple[BarTerm, ...], tuple[str, ...] | None]:
    """Parse, expand ``.`` and settle the groups."""
    parsed = parse(formula, structures.names())
    if parsed.has_dot:
        dot = tuple(n for n in names if n not in extra) if dot is None else dot
        parsed = expand_dot(parsed, dot)
    return parsed, resolve(parsed, names, tuple(covs)), dot


def _columns_used(
    parsed: Formula,
    bars: tuple[BarTerm, ...],
    names: tuple[str, ...],
    responses: Mapping[str, Any],
    extra: Any,
    residual: ResidualFormula | None,
) -> list[str]:
    """Columns that the model reads, in order of appearance."""
    texts = [t for t in parsed.response if t.strip("`") not in responses]
    texts += [f for term in _all_terms(parsed, bars) for f in term.factors] + list(parsed.offsets)
    used = [name for text in texts for name in names_in(text)]
    used += [g for bar in bars for g in bar.group if not (g == random.ROWS and bar.cov and g not in names)]
    used += [value for value in extra if isinstance(value, str)]
    if residual is not None:
        used += [*(name for text in residual.factors for name in names_in(text)), *residual.group]
    return list(dict.fromkeys(used))


def _all_terms(parsed: Formula, bars: tuple[BarTerm, ...]) -> list[FixedTerm]:
    return [*parsed.fixed, *(effect for bar in bars for effect in bar.effects)]


@dataclass(frozen=True)
class _Table:
    """What binding reads from the data: values of factors, groupings, and the rows kept."""

    labels: NDArray[np.object_]  # of the rows kept
    rows: NDArray[np.intp]
    dropped: Dropped
    y: Float
    y_names: tuple[str, ...]
    values: Mapping[str, Value]  # on all rows given
    groups: tuple[Grouping, ...]  # on all rows given
    residual: ResidualFormula | None = None
    blocks: Cells | None = None  # groups of the residual, on all rows given


def _bind(request: Request, parsed: Formula, bars: tuple[BarTerm, ...], notes: tuple[str, ...]) -> ModelSpec:
    _check_options(request)
    evaluator = Evaluator(column_reader(request.frame))
    table = _table(request, parsed, bars, evaluator)
    covariances = _covariances(request, bars, table.groups)
    request = replace(request, covariances=covariances)
    terms, coders = _random_terms(request, bars, table, covariances)
    X, names, coder = _fixed(request, parsed, table, coders)
    w = weights(request, evaluator, table.rows, table.labels)
    offset = offsets(parsed, request, evaluator, table.rows, table.labels)
    lay = _one_response if table.y.shape[1] == 1 else _several_responses
    laid = lay(request, bars, table, terms, X, names, w, offset)
    kept, aliased = full_rank(laid.X, laid.x_names, request.rank)
    if aliased:
        laid = laid.with_columns(kept)
    _check_model(laid, table)
    source = Source(
        request=request,
        binder=bind_request,
        parsed=parsed,
        bars=bars,
        coder=coder,
        kept=kept,
        coders=coders,
        memory=evaluator.memory,
        fingerprints={name: covariance.fingerprint() for name, covariance in covariances.items()},
        residual=laid.cells,
    )
    return ModelSpec(
        y=laid.y,
        X=laid.X,
        terms=laid.terms,
        residual=laid.residual,
        x_names=laid.x_names,
        y_names=table.y_names,
        row_labels=laid.labels,
        weights=laid.weights,
        offset=laid.offset,
        aliased=aliased,
        dropped=table.dropped,
        missing=request.missing,
        notes=(*notes, *_notes(bars, terms, table, coders), *_residual_notes(laid.cells, table.dropped)),
        source=source,
        traits=laid.traits,
    )


@dataclass(frozen=True)
class _Laid:
    """The arrays of a specification: rows are records, or cells of records × traits."""

    y: Float
    X: Float
    x_names: tuple[str, ...]
    terms: tuple[Term, ...]
    residual: Term
    weights: Float | None
    offset: Float | None
    labels: NDArray[np.object_]
    cells: ResidualSource | None = None
    traits: Traits | None = None

    def with_columns(self, kept: NDArray[np.intp]) -> _Laid:
        """With these fixed effects only."""
        traits = self.traits and replace(self.traits, columns=self.traits.columns[kept])
        return replace(self, X=self.X[:, kept], x_names=tuple(self.x_names[j] for j in kept.tolist()), traits=traits)


def _one_response(
    request: Request,
    bars: tuple[BarTerm, ...],
    table: _Table,
    terms: tuple[Term, ...],
    X: Float,
    names: tuple[str, ...],
    w: Float | None,
    offset: Float | None,
) -> _Laid:
    if request.residual in TRAIT_RESIDUALS[1:]:
        raise OptionError(f"residual={request.residual!r} is a covariance among responses, and the formula has one")
    residual, cells = make_residual(table.residual, table.values, table.blocks, table.rows, table.labels, w, X)
    return _Laid(table.y[table.rows, 0], X, names, terms, residual, w, offset, table.labels, cells)


def _several_responses(
    request: Request,
    bars: tuple[BarTerm, ...],
    table: _Table,
    terms: tuple[Term, ...],
    X: Float,
    names: tuple[str, ...],
    w: Float | None,
    offset: Float | None,
) -> _Laid:
    """Records × traits as rows (`mixedvc.design.traits`)."""
    if table.residual is not None:
        table.residual.fail("with several responses the residual is a covariance among them: 'us' or 'diag'")
    Y = table.y[table.rows]
    cells = cells_of(Y, table.y_names, table.labels)
    X, names, columns = stacked_columns(X, names, np.zeros(len(names), dtype=bool), cells)
    stacked = [
        stacked_term(term, structures_of(bar.structure, cells.t * term.k, bar.options), cells)
        for term, bar in zip(terms, bars, strict=True)
    ]
    return _Laid(
        y=Y[cells.record, cells.trait],
        X=X,
        x_names=names,
        terms=tuple(stacked),
        residual=trait_residual(structures_of(request.residual or "us", cells.t), w, cells),
        weights=None if w is None else w[cells.record],
        offset=None if offset is None else offset[cells.record],
        labels=row_names(cells),
        traits=replace(cells, columns=columns),
    )


def _covariances(request: Request, bars: tuple[BarTerm, ...], groups: tuple[Grouping, ...]) -> dict[str, Any]:
    """Each covariance of the formula, checked once; an unlabelled one gets the levels of its first term."""
    align: Any = request.align
    made: dict[str, Any] = {}
    for bar, group in zip(bars, groups, strict=True):
        if bar.cov is not None and bar.cov not in made:
            made[bar.cov] = as_covariance(request.covariances[bar.cov], bar.cov, align=align, levels=group.levels)
    return made


def _check_options(request: Request) -> None:
    check_rule(request.missing)
    if request.align not in ("labels", "position"):
        raise OptionError(f"align={request.align!r}: choose 'labels' or 'position'")


def _table(request: Request, parsed: Formula, bars: tuple[BarTerm, ...], evaluator: Evaluator) -> _Table:
    """Read every value, then find the complete rows."""
    frame = request.frame
    labels = row_labels(frame)
    y, y_names = responses(parsed, request, evaluator)
    if len(labels) < 2:
        raise DataError(f"the data have {len(labels)} row{'s' * (len(labels) != 1)}: a variance needs at least two")
    values = {f: evaluator.value(f) for f in dict.fromkeys(f for t in _all_terms(parsed, bars) for f in t.factors)}
    groups = tuple(random.grouping(bar, evaluator, labels, random.is_rows(bar, frame)) for bar in bars)
    residual = _residual_formula(request.residual)
    blocks = None
    if residual is not None:
        values |= {f: evaluator.value(f) for f in residual.factors if f not in values}
        blocks = groups_of([evaluator.column(name) for name in residual.group]) if residual.group else None
    names = residual.group if residual is not None else ()
    rows, dropped = drop_missing(_cells(request, parsed, bars, evaluator, values, y, names), labels, request.missing)
    if len(rows) < 2:
        raise DataError(f"only {len(rows)} complete row is left of {len(labels)}: a variance needs at least two")
    return _Table(labels[rows], rows, dropped, y, y_names, values, groups, residual, blocks)


def _residual_formula(text: Any) -> ResidualFormula | None:
    if text is None or text in TRAIT_RESIDUALS:
        return None
    if not isinstance(text, str):
        raise OptionError(
            f"residual= is text such as 'diag(0 + f | rows)' or 'ar1(1 | g)', not a {type(text).__name__}"
        )
    return parse_residual(text)


def _cells(
    request: Request,
    parsed: Formula,
    bars: tuple[BarTerm, ...],
    evaluator: Evaluator,
    values: Mapping[str, Value],
    y: Float,
    more: tuple[str, ...] = (),
) -> dict[str, NDArray[np.bool_]]:
    """Missing cells by column; a factor is listed beside its columns only where it loses cells that they have."""
    several = y.shape[1] > 1
    texts = [*(t for t in parsed.response if not several and t.strip("`") not in request.responses), *values]
    names = [name for text in texts for name in names_in(text)]
    names += [g for bar in bars for g in bar.group if g in request.frame.columns] + list(more)
    cells = {name: evaluator.column(name).missing for name in dict.fromkeys(names)}
    for text, value in values.items():
        if isinstance(value, Categories):
            lost = (value.codes < 0) & ~np.logical_or.reduce([cells[name] for name in names_in(text)])
            if lost.any():
                cells[text] = lost
    if several:  # a record stays as long as it has one response
        cells["all responses"] = np.asarray(np.isnan(y).all(axis=1))
        return cells
    for text in parsed.response:
        if text.strip("`") in request.responses:
            holes: Any = np.isnan(request.responses[text.strip("`")][1]).any(axis=1)
            cells[text] = holes
    return cells


def _random_terms(
    request: Request, bars: tuple[BarTerm, ...], table: _Table, covariances: Mapping[str, Any]
) -> tuple[tuple[Term, ...], tuple[Coder, ...]]:
    contrasts = as_contrasts(request.contrasts)
    terms: list[Term] = []
    coders: list[Coder] = []
    for bar, name, group in zip(bars, random.unique_names(bars), table.groups, strict=True):
        effects = tuple(effect.factors for effect in bar.effects)
        coder, kept, _ = learn(effects, table.values, table.rows, contrasts)
        refuse_bad_cells(coder, kept, table.labels)
        terms.append(random.make_term(bar, name, group.on(table.rows), coder, kept, covariances))
        coders.append(coder)
    return tuple(terms), tuple(coders)


def _fixed(
    request: Request, parsed: Formula, table: _Table, coders: tuple[Coder, ...]
) -> tuple[Float, tuple[str, ...], Coder]:
    """X (n, p) of the records, perhaps not of full rank, its names, and how it was coded."""
    contrasts = as_contrasts(request.contrasts)
    coder, values, lost = learn(tuple(t.factors for t in parsed.fixed), table.values, table.rows, contrasts)
    check_contrast_names(contrasts, (coder, *coders))
    refuse_bad_cells(coder, values, table.labels)
    if lost:
        warn(f"levels without a complete row are dropped: {', '.join(lost)}", DroppedRowsWarning)
    return coder.assemble(values, table.labels), coder.names, coder


def _check_model(laid: _Laid, table: _Table) -> None:
    """Refuse what cannot be estimated: degenerate responses, confounded components."""
    y = laid.y if laid.offset is None else laid.y - laid.offset
    check_response(laid.traits.table(y) if laid.traits else y[:, None], table.y_names, table.labels)
    identify.check_groups(laid.terms)
    Q = orthonormal(laid.X)
    identify.check_components(laid.terms, laid.residual, Q)
    left, around = residual_of_fixed(y[:, None], Q)[:, 0], y - y.mean()
    whose = laid.traits.trait if laid.traits else np.zeros(len(y), dtype=np.intp)
    for a, name in enumerate(table.y_names):
        r, s = left[whose == a], around[whose == a]
        if (r @ r) <= 1e-24 * (s @ s):
            warn(
                f"the response {name} is an exact linear combination of the fixed effects: the residual variance is 0 "
                "and standard errors are undefined",
                BoundaryWarning,
            )


def _notes(
    bars: tuple[BarTerm, ...], terms: tuple[Term, ...], table: _Table, coders: tuple[Coder, ...]
) -> tuple[str, ...]:
    notes: list[str] = []
    for bar, term, coder in zip(bars, terms, coders, strict=True):
        more = len(term.covariance.labels) - term.q
        if bar.cov is not None and more > 0:
            notes.append(
                f"cov[{bar.cov!r}] has {more} level(s) of {term.group!r} without records; they can be predicted."
            )
        if bar.structure == "diag" and any(v.levels is not None for v in coder.variables.values()):
            notes.append(f"{term.text}: the factor's levels have independent effects here (lme4's || correlates them).")
    return tuple(dict.fromkeys(notes))


def _residual_notes(residual: ResidualSource | None, dropped: Dropped) -> tuple[str, ...]:
    if residual is None:
        return ()
    formula = residual.formula
    if formula.structure != "ar1" or formula.cell or not dropped.count:
        return residual.notes
    gaps = f"{formula.text} counts the rows that are left, so rows left out leave no gaps: give the times to keep them."
    return (*residual.notes, gaps)


def _as_mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise OptionError(
            f"{what}= is a dictionary from names in the formula to matrices, not a {type(value).__name__}"
        )
    return value
