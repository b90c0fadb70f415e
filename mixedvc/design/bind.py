"""Formula, data and covariances to a frozen ModelSpec: every check that needs the data happens here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.coerce import as_covariance
from ..errors import BindError, DataError, DroppedRowsWarning, OptionError, warn
from ..formula.parse import expand_dot, parse
from ..formula.residual import AMONG_RESPONSES, EXAMPLES, ResidualFormula, TraitResidual, parse_residual, trait_residual
from ..formula.resolve import resolve, settle
from ..formula.terms import BarTerm, FixedTerm, Formula
from ..structures import structures
from . import random
from .checks import check_model, model_notes
from .contrasts import as_contrasts
from .expressions import Categories, Evaluator, Value, names_in
from .fixed import Coder, check_contrast_names, coded, learn, refuse_bad_cells
from .frames import column_names, frame_of, listed, row_labels
from .layout import Laid, lay_cells
from .missing import NO_RESPONSE, check_rule, drop_missing
from .parts import Part, parts_of
from .random import Grouping, column_reader
from .rank import full_rank
from .request import Request, per_row, read_responses
from .residual import Cells, groups_of, make_residual
from .rows import Responses, offsets, responses, weights
from .source import Source
from .spec import Dropped, ModelSpec, Term
from .trait_columns import TraitCoders, code_traits

Float = NDArray[np.float64]
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
        ``y ~ x + (1 | g) + (1 | kin:A)``; of several responses ``cbind(y1, y2) ~ x + common(z) + at(y1, w) + …``:
        x has an effect on each, z one for all, w one on y1.  A bar has any covariance among traits × effects;
        ``diag()``, ``cs()``, ``fa(…, 1)``, ``rr(…, 1)`` around it have fewer, and ``us(1 + x | g, traits="diag")``
        has none between traits.
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

        With weights, Cov(e_i, e_j) is divided by √(w_i w_j).  Of several responses the residual is a covariance among
        those of a record: ``"us"`` (default), ``"diag"``, ``"cs"``, ``"fa(1)"``.
    missing : {"omit", "exclude", "fail"}
        Rows with missing cells: left out; left out, and results padded; refused.  A record of several responses stays
        as long as it has one of them.
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
    if "trait" in wanted and "trait" not in names and len(parsed.response) > 1:
        raise BindError(
            "no column is called 'trait': every response has its own effects here, so trait:x is x; common(x) is one "
            "effect for all responses, at(y1, x) one of y1 alone"
        )
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
    residual: ResidualFormula | TraitResidual | None,
) -> list[str]:
    """Columns that the model reads, in order of appearance."""
    texts = [t for t in parsed.response if t.strip("`") not in responses]
    texts += [f for term in _all_terms(parsed, bars) for f in term.factors] + list(parsed.offsets)
    used = [name for text in texts for name in names_in(text)]
    used += [g for bar in bars for g in bar.group if not (g == random.ROWS and bar.cov and g not in names)]
    used += [value for value in extra if isinstance(value, str)]
    if isinstance(residual, ResidualFormula):
        used += [*(name for text in residual.factors for name in names_in(text)), *residual.group]
    return list(dict.fromkeys(used))


def _all_terms(parsed: Formula, bars: tuple[BarTerm, ...]) -> list[FixedTerm]:
    return [*parsed.every_fixed, *(effect for bar in bars for effect in bar.effects)]


@dataclass(frozen=True)
class _Table:
    """What binding reads from the data: values of factors, groupings, and the rows kept."""

    labels: NDArray[np.object_]  # of the rows kept
    rows: NDArray[np.intp]
    dropped: Dropped
    responses: Responses  # on all rows given
    values: Mapping[str, Value]  # on all rows given
    groups: tuple[Grouping, ...]  # on all rows given
    residual: ResidualFormula | TraitResidual | None = None
    blocks: Cells | None = None  # groups of the residual, on all rows given

    @property
    def y(self) -> Float:
        """(n, t) of the rows kept."""
        return self.responses.y[self.rows]

    @property
    def y_names(self) -> tuple[str, ...]:
        return self.responses.names


def _bind(request: Request, parsed: Formula, bars: tuple[BarTerm, ...], notes: tuple[str, ...]) -> ModelSpec:
    _check_options(request)
    evaluator = Evaluator(column_reader(request.frame))
    table = _table(request, parsed, bars, evaluator)
    bars = settle(parsed, bars, len(table.y_names))
    covariances = _covariances(request, bars, table.groups)
    request = replace(request, covariances=covariances)
    drawn, coders = _random_terms(request, bars, table, covariances)
    coder, fixed, values = _fixed(request, parsed, table, coders)
    w = weights(request, evaluator, table.rows, table.labels)
    offset = offsets(parsed, request, evaluator, table.rows, table.labels)
    parts = parts_of(bars, coders, table.y_names)
    if fixed is None:
        laid = _one_response(table, coder, values, drawn, parts, w, offset)
    else:
        residual = table.residual if isinstance(table.residual, TraitResidual) else None
        laid = lay_cells(table.y, table.labels, fixed, values, drawn, parts, residual, w, offset)
    kept, aliased = full_rank(laid.X, laid.x_names, request.rank)
    laid = laid.with_columns(kept) if aliased else laid
    check_model(laid, drawn, table.y_names, table.labels)
    source = Source(
        request=request,
        binder=bind_request,
        parsed=parsed,
        bars=bars,
        coder=coder,
        kept=kept,
        coders=coders,
        parts=parts,
        memory=evaluator.memory,
        fingerprints={name: covariance.fingerprint() for name, covariance in covariances.items()},
        residual=laid.cells,
        fixed=fixed,
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
        notes=(*notes, *model_notes(bars, laid, coders, table.dropped)),
        source=source,
        traits=laid.traits,
    )


def _one_response(
    table: _Table,
    coder: Coder,
    values: Mapping[str, Value],
    drawn: tuple[Term, ...],
    parts: tuple[Part, ...],
    w: Float | None,
    offset: Float | None,
) -> Laid:
    """Records as rows."""
    given = table.residual
    if isinstance(given, TraitResidual):
        if given.structure != "us" or given.options:
            given.fail(f"a covariance among several responses, and there is one, {table.y_names[0]}; {EXAMPLES}")
        given = None
    X = coder.assemble(values, table.labels)
    terms = tuple(
        replace(term, name=part.name, structure=part.make(term.k)) for term, part in zip(drawn, parts, strict=True)
    )
    residual, cells = make_residual(given, table.values, table.blocks, table.rows, table.labels, w, X)
    return Laid(table.y[:, 0], X, coder.names, terms, residual, w, offset, table.labels, cells)


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
    y = responses(parsed, request, evaluator)
    if len(labels) < 2:
        raise DataError(f"the data have {len(labels)} row{'s' * (len(labels) != 1)}: a variance needs at least two")
    values = {f: evaluator.value(f) for f in dict.fromkeys(f for t in _all_terms(parsed, bars) for f in t.factors)}
    groups = tuple(random.grouping(bar, evaluator, labels, random.is_rows(bar, frame)) for bar in bars)
    residual = _residual_formula(request.residual)
    blocks = None
    if isinstance(residual, ResidualFormula):
        if len(y.names) > 1:
            what = "with several responses the residual is a covariance among those of a record"
            residual.fail(f"{what}: residual= is {AMONG_RESPONSES}")
        values |= {f: evaluator.value(f) for f in residual.factors if f not in values}
        blocks = groups_of([evaluator.column(name) for name in residual.group]) if residual.group else None
    names = residual.group if isinstance(residual, ResidualFormula) else ()
    rows, dropped = drop_missing(_cells(request, parsed, bars, evaluator, values, y, names), labels, request.missing)
    if len(rows) < 2:
        raise DataError(f"only {len(rows)} complete row is left of {len(labels)}: a variance needs at least two")
    if len(y.names) > 1:
        y.check_cells(parsed, rows, labels)
    return _Table(labels[rows], rows, dropped, y, values, groups, residual, blocks)


def _residual_formula(text: Any) -> ResidualFormula | TraitResidual | None:
    """What ``residual=`` says: among the rows of a group, or among the responses of a record."""
    if text is None:
        return None
    if not isinstance(text, str):
        raise OptionError(
            f"residual= is text such as 'diag(0 + f | rows)' or 'ar1(1 | g)', not a {type(text).__name__}"
        )
    return trait_residual(text, structures.names()) or parse_residual(text)


def _cells(
    request: Request,
    parsed: Formula,
    bars: tuple[BarTerm, ...],
    evaluator: Evaluator,
    values: Mapping[str, Value],
    y: Responses,
    more: tuple[str, ...] = (),
) -> dict[str, NDArray[np.bool_]]:
    """Missing cells by column; a factor is listed beside its columns only where it loses cells that they have."""
    several = len(y.names) > 1
    texts = [*(t for t in parsed.response if not several and t.strip("`") not in request.responses), *values]
    names = [name for text in texts for name in names_in(text)]
    names += [g for bar in bars for g in bar.group if g in request.frame.columns] + list(more)
    cells = {name: evaluator.column(name).missing for name in dict.fromkeys(names)}
    for text, value in values.items():
        if isinstance(value, Categories):
            lost = (value.codes < 0) & ~np.logical_or.reduce([cells[name] for name in names_in(text)])
            if lost.any():
                cells[text] = lost
    if several and request.missing != "fail":  # a record stays as long as it has one response
        cells[NO_RESPONSE] = np.asarray(y.missing.all(axis=1))
    elif several or parsed.response[0].strip("`") in request.responses:
        cells |= dict(zip(y.names, y.missing.T, strict=True))
    return cells


def _random_terms(
    request: Request, bars: tuple[BarTerm, ...], table: _Table, covariances: Mapping[str, Any]
) -> tuple[tuple[Term, ...], tuple[Coder, ...]]:
    """A term of the records for each bar, its structure still to come, and how its effects are coded."""
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
) -> tuple[Coder, TraitCoders | None, Mapping[str, Value]]:
    """How the fixed effects are coded, those of all traits and of each, and the values that they are made of."""
    contrasts = as_contrasts(request.contrasts)
    every = tuple(t.factors for t in parsed.every_fixed)
    whole, values, lost = learn(every, table.values, table.rows, contrasts)
    coder = coded(tuple(t.factors for t in parsed.fixed), whole.variables)
    check_contrast_names(contrasts, (whole, *coders))
    refuse_bad_cells(whole, values, table.labels)
    if lost:
        warn(f"levels without a complete row are dropped: {', '.join(lost)}", DroppedRowsWarning)
    several = len(table.y_names) > 1
    return coder, code_traits(parsed, table.y_names, whole.variables) if several else None, values


def _as_mapping(value: Any, what: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise OptionError(
            f"{what}= is a dictionary from names in the formula to matrices, not a {type(value).__name__}"
        )
    return value
