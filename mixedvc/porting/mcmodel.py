"""MCMCglmm's formulas bound to data: the core's specification, and which parts of it are R's columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..design.bind import bind
from ..design.expressions import Categories, Evaluator
from ..design.frames import column_names, frame_of
from ..design.random import column_reader
from ..design.spec import ModelSpec, Term
from ..errors import DataError, OptionError
from ..formula.canonical import quote
from ..formula.parse import parse
from . import coding, mcterms
from .mcterms import Indicators, VarianceTerm
from .rexpr import parse_one

Float = NDArray[np.float64]
Codes = NDArray[np.intp]

RESPONSE, META = "MCMC_y", "mev_rows"


@dataclass(frozen=True)
class Block:
    """One covariance matrix of G or R: where its entries are, and R's names.

    Attributes
    ----------
    term : VarianceTerm
    text : str
        As the summary names it: ``~us(1 + x):g``.
    effects : tuple of str
        R's names; empty for a grouping alone.
    place : int
        Term of the specification; the residual is the last.
    order : tuple of int
        The core's number of each effect.
    kind : str
        "us" | "idh": whether there are covariances.
    """

    term: VarianceTerm
    text: str
    effects: tuple[str, ...]
    place: int
    order: tuple[int, ...]
    kind: str

    @property
    def columns(self) -> list[tuple[str, int, int]]:
        """(name, a, b) of each column of VCV: entry (a, b) of the core's Σ."""
        group = self.term.group
        if not self.effects:
            return [(group, self.order[0], self.order[0])]
        pairs = list(zip(self.effects, self.order, strict=True))
        if self.kind == "idh":
            return [(f"{name}.{group}", a, a) for name, a in pairs]
        return [(f"{row}:{column}.{group}", a, b) for column, b in pairs for row, a in pairs]

    @property
    def names(self) -> list[str]:
        """What stands before the level in Sol."""
        group = self.term.group
        return [f"{name}.{group}" for name in self.effects] if self.effects else [group]


@dataclass(frozen=True)
class Model:
    """A call's model.

    Attributes
    ----------
    spec : ModelSpec
    random, residual : tuple of Block
    x_names : tuple of str
        R's fixed effects.
    X : (n, p)
        R's columns in the rows of the specification.
    T : (p, p)
        The core's β = T times R's.
    fixed : str
        The formula in R's spelling.
    known : dict of str to tuple
        Levels in the order of R, of groups with a known covariance.
    meta : bool
        Known variances of measurement errors are the last random term.
    wide : bool
        Several responses as the core's, side by side; else below each other, with columns trait and units.
    """

    spec: ModelSpec
    random: tuple[Block, ...]
    residual: tuple[Block, ...]
    x_names: tuple[str, ...]
    X: Float
    T: Float
    fixed: str
    meta: bool = False
    wide: bool = False

    @property
    def sizes(self) -> list[int]:
        return [len(block.order) for block in self.random[: len(self.random) - self.meta]]

    @property
    def residual_sizes(self) -> list[int]:
        return [len(block.order) for block in self.residual]


@dataclass(frozen=True)
class Asked:
    """What a call gives, besides priors and running."""

    fixed: str
    random: str | None
    rcov: str
    data: Any
    known: Mapping[str, Any]
    mev: Any = None


def build(asked: Asked) -> Model:
    """The model of a call."""
    responses = mcterms.responses_of(asked.fixed)
    if asked.data is None:
        raise OptionError("MCMCglmm() needs data=: columns are not looked up among the variables of the caller")
    frame = frame_of(asked.data).reset_index(drop=True)
    _reserved(frame, responses)
    long = _stacked(frame, responses) if len(responses) > 1 else _single(frame, responses[0])
    indicators = Indicators(lambda name: _levels(long, name))
    fixed = mcterms.fixed_formula(asked.fixed, indicators)
    random = () if asked.random is None else mcterms.variance_terms(asked.random, "random", indicators)
    rcov = mcterms.variance_terms(asked.rcov, "rcov", indicators)
    mcterms.group_columns(random, asked.known)
    _check_names(random, rcov, fixed.right, len(responses) > 1)
    long = long.assign(**indicators.columns)
    _check_known(asked.known, random, asked.mev)
    plain = _plain(asked, long, responses, fixed, random, rcov, indicators)
    if len(responses) > 1:
        from .mcwide import side_by_side

        return side_by_side(asked, plain, frame, responses, indicators) or plain
    return plain


def _reserved(frame: pd.DataFrame, responses: Sequence[str]) -> None:
    for name in ("units", "trait", RESPONSE):
        if name in frame.columns and (name != "trait" or len(responses) > 1):
            raise DataError(f"data has a column called {name!r}, a name that MCMCglmm keeps for itself: rename it")


def _single(frame: pd.DataFrame, response: str) -> pd.DataFrame:
    """Rows with a response; it is evaluated, so that the formula needs no wrapping."""
    text = response if parse_one(response).kind in ("name", "call") else f"I({response})"
    values = Evaluator(column_reader(frame)).numbers(parse(f"{text} ~ 1").response[0], response)
    return frame.assign(**{RESPONSE: values})[~np.isnan(values)]


def _stacked(frame: pd.DataFrame, responses: Sequence[str]) -> pd.DataFrame:
    """Responses below each other, with columns ``trait`` and ``units``; cells without a response are left out."""
    reader = Evaluator(column_reader(frame))
    parts = []
    for name in responses:
        values = reader.numbers(parse(f"{quote(name)} ~ 1").response[0], name)
        trait = pd.Categorical([name] * len(frame), categories=list(responses))
        parts.append(frame.assign(trait=trait, units=np.arange(len(frame)), **{RESPONSE: values}))
    long = pd.concat(parts, ignore_index=True)
    long.index = long["units"] * len(responses) + np.repeat(np.arange(len(responses)), len(frame))
    long["trait"] = pd.Categorical(long["trait"], categories=list(responses))
    return long[long[RESPONSE].notna()]


def _levels(frame: pd.DataFrame, name: str) -> tuple[list[Any], Codes]:
    """Levels of a factor and the level of each row."""
    if name not in frame.columns:
        raise DataError(f"at.level({name}, …): data has no column called {name!r}")
    value = Evaluator(column_reader(frame)).value(quote(name))
    if isinstance(value, Categories):
        return list(value.levels), value.codes
    numbers, codes = np.unique(np.asarray(value), return_inverse=True)
    return [f"{v:g}" for v in numbers], codes.reshape(-1)


def _check_names(random: Sequence[VarianceTerm], rcov: Sequence[VarianceTerm], right: str, several: bool) -> None:
    texts = [right, *(term.effects for term in (*random, *rcov) if term.effects)]
    names = {name for text in texts for name in mcterms.names_in(text)} | {g for t in random for g in t.groups}
    if not several and "trait" in names:
        raise OptionError("trait stands for the responses of cbind(…), and there is one")
    if "units" in {g for term in random for g in term.groups}:
        raise OptionError("random=: units are the rows, whose effects are the residuals: rcov='~units' has them")


def _check_known(known: Mapping[str, Any], random: Sequence[VarianceTerm], mev: Any) -> None:
    groups = {g for term in random for g in term.groups}
    for name in known:
        if name not in groups:
            have = ", ".join(map(repr, sorted(groups))) or "none"
            raise OptionError(f"ginverse/pedigree: {name!r} is no random term; there are {have}")
    del mev


def _bar(term: VarianceTerm, known: Mapping[str, Any], effects: str | None) -> tuple[str, str]:
    """The core's bar, and "us" or "idh"."""
    groups = ":".join(map(quote, term.groups))
    group = f"gr({groups}, cov={cov_name(term.groups[0])})" if term.groups[0] in known else groups
    if effects is None:
        return f"(1 | {group})", "us"
    return (f"diag({effects} | {group})", "idh") if term.kind == "idh" else (f"({effects} | {group})", "us")


def cov_name(group: str) -> str:
    """Name in ``cov=`` of the covariance of a grouping."""
    return "A_" + "".join(ch if ch.isalnum() else "_" for ch in group)


def _idv(term: VarianceTerm, long: pd.DataFrame, known: Mapping[str, Any]) -> VarianceTerm:
    """One variance for all effects: those of a factor are the levels of a crossed grouping."""
    node = parse_one(term.effects)
    factors = [n.strip("`") for n in term.effects.replace(" ", "").split(":")]
    if all(f in long.columns and not pd.api.types.is_numeric_dtype(long[f]) for f in factors) and node.kind != "call":
        if any(g in known for g in term.groups):
            raise OptionError(
                f"random=: {term.text}: one variance for several effects of levels with a known covariance is not "
                f"available: idh({term.shown}):{term.group} has one for each"
            )
        return replace(term, groups=(*factors, *term.groups), effects="")
    if node.kind == "name":
        return term  # one numeric effect
    raise OptionError(
        f"{term.text}: one variance for effects that are no factor is not available: idh({term.shown}) has one for each"
    )


def _plain(
    asked: Asked,
    long: pd.DataFrame,
    responses: Sequence[str],
    fixed: mcterms.Fixed,
    random: Sequence[VarianceTerm],
    rcov: Sequence[VarianceTerm],
    indicators: Indicators,
) -> Model:
    """The model as one response: of several, below each other."""
    bars, kinds = [], []
    for term in random:
        inner = _idv(term, long, asked.known) if term.kind == "idv" else term
        bar, kind = _bar(inner, asked.known, mcterms.core_effects(inner) if inner.effects else None)
        bars.append(bar)
        kinds.append(kind)
    cov = {cov_name(name): A for name, A in asked.known.items()}
    if asked.mev is not None:
        long, cov[META] = _with_errors(long, asked)
        bars.append(f"(1 | gr({META}, cov={META}))")
    residual = residual_text(rcov, "trait" in long.columns)
    right = " + ".join([fixed.right, *bars])
    name = responses[0] if len(responses) == 1 and responses[0] in long.columns else RESPONSE
    spec = bind(f"{quote(name)} ~ {right}", long, cov=cov or None, residual=residual, missing="fail")
    if spec.offset is not None:
        raise OptionError("offset() is not read by MCMCglmm; subtract the column from the response")
    names = tuple(indicators.shown(n) for n in coding.coefficient_names(spec))
    blocks = tuple(_block(term, i, kinds[i], spec, indicators) for i, term in enumerate(random))
    if asked.mev is not None:
        blocks += (_meta(len(random)),)
    residuals = residual_blocks(rcov, spec, long)
    return Model(spec, blocks, residuals, names, np.asarray(spec.X), np.eye(spec.p), fixed.shown, asked.mev is not None)


def _with_errors(long: pd.DataFrame, asked: Asked) -> tuple[pd.DataFrame, Any]:
    """A level for each row, whose variance is known: ``mev=``."""
    import scipy.sparse as sp

    from ..covariance import Sparse

    if "trait" in long.columns:
        raise OptionError("mev= with several responses is not available")
    values = asked.mev
    if isinstance(values, str):
        values = Evaluator(column_reader(long)).numbers(quote(values), "mev") if values in column_names(long) else None
    else:
        values = np.asarray(values, dtype=np.float64).reshape(-1)
        if len(values) != len(frame_of(asked.data)):
            raise DataError(f"mev= has {len(values)} entries and data {len(frame_of(asked.data))} rows")
        values = values[long.index.to_numpy()]
    if values is None or not np.isfinite(values).all() or (values <= 0).any():
        raise DataError("mev= is a column or a vector of positive variances, one for each row")
    labels = np.array([f"r{i}" for i in range(len(long))], dtype=object)
    return long.assign(**{META: labels}), Sparse(sp.diags_array(values).tocsr(), labels)


def _meta(place: int) -> Block:
    term = VarianceTerm("us", "", "", ("meta",), "us(sqrt(mev)):meta")
    return Block(term, "~us(sqrt(mev)):meta", ("sqrt(mev)",), place, (0,), "us")


def _block(term: VarianceTerm, place: int, kind: str, spec: ModelSpec, indicators: Indicators) -> Block:
    core: Term = spec.terms[place]
    whole = f"~{term.text}"
    if term.kind == "plain":
        return Block(term, whole, (), place, (0,), "us")
    if term.kind == "idv":
        shown = replace(term, groups=(f"{term.shown.replace(' ', '')}.{term.group}",))
        return Block(shown, whole, (), place, (0,), "us")
    effects = tuple(indicators.shown(n) for n in coding.coder_names(spec.source.coders[place]))
    return Block(term, whole, effects, place, tuple(range(core.k)), kind)


# ---- the residual ----------------------------------------------------------------------------------------------------


def residual_text(rcov: Sequence[VarianceTerm], several: bool) -> str | None:
    """``residual=`` of the core, for responses below each other."""
    if len(rcov) > 1:
        raise OptionError(
            f"rcov=: {' + '.join(t.text for t in rcov)}: one residual structure is available: rcov='~idh(f):units' has "
            "a variance for each level of f"
        )
    term = rcov[0]
    if term.groups[-1] != "units":
        raise OptionError(
            f"rcov=: {term.text}: every residual is of one row, so the term ends with units: ~units, ~us(trait):units"
        )
    if term.kind in ("plain", "idv"):
        if term.kind == "plain" and several and "trait" not in term.groups:
            raise OptionError("rcov=: ~units with several responses: write ~us(trait):units or ~idh(trait):units")
        return None
    if len(term.groups) > 1:
        raise OptionError(f"rcov=: {term.text}: one grouping, units, is available after {term.kind}()")
    if term.kind == "idh":
        if "at_level_" in term.effects or "+" in term.effects:
            raise OptionError(f"rcov=: {term.text}: factors crossed by ':' are available, idh(f):units")
        return f"diag(0 + {term.effects} | rows)"
    if term.effects != "trait" or not several:
        raise OptionError(
            f"rcov=: {term.text}: covariances among the rows of a unit are those of traits, ~us(trait):units; "
            "~idh(f):units has a variance for each level of f"
        )
    return "us(0 + trait | units)"


def residual_blocks(rcov: Sequence[VarianceTerm], spec: ModelSpec, long: pd.DataFrame) -> tuple[Block, ...]:
    """The residual's names, its cells in R's order."""
    term = rcov[0]
    place, text = len(spec.terms), f"~{term.text}"
    if term.kind == "plain":
        return (Block(term, text, (), place, (0,), "us"),)
    if term.kind == "idv":
        shown = replace(term, groups=(f"{term.shown.replace(' ', '')}.{term.group}",))
        return (Block(shown, text, (), place, (0,), "us"),)
    factors = [f.strip("` ") for f in term.effects.split(":")]
    first = np.argmax(np.asarray(spec.residual.basis) != 0.0, axis=0)
    cells = []
    for core, row in enumerate(first):
        codes, names = [], []
        for factor in factors:
            levels, code = _levels(long, factor)
            codes.append(int(code[row]))
            names.append(f"{factor}{coding.level_text(levels[code[row]])}")
        cells.append((codes[::-1], ":".join(names), core))
    cells.sort()
    return (Block(term, text, tuple(c[1] for c in cells), place, tuple(c[2] for c in cells), term.kind),)
