"""Two specifications, each of a sample of its own, as one: a term with an effect in each sample ties them together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .. import structures
from ..covariance import Identity
from ..covariance.base import Covariance, Positions
from ..errors import BindError, IdentifiabilityError, OptionError
from ..linalg.columns import orthonormal
from . import identify
from .frames import listed
from .spec import Dropped, ModelSpec, Term

Float = NDArray[np.float64]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Joint:
    """How two specifications are joined.

    Attributes
    ----------
    terms : (str, str)
        The term of each specification that becomes one term with an effect in each sample.
    covariance : Covariance
        Among the levels of both samples.
    names : (str, str)
        What the samples are called; their fixed effects and other terms carry these names before a colon.
    structure : str
        Of the 2×2 Σ: "us" (with a covariance between samples) or "diag" (without).
    shared : bool
        Whether a level may have rows in both samples. Residuals are independent all the same.
    """

    terms: Pair
    covariance: Covariance
    names: Pair = ("sample 1", "sample 2")
    structure: str = "us"
    shared: bool = False


def join(first: ModelSpec, second: ModelSpec, how: Joint) -> ModelSpec:
    """One specification of the rows of both.

        y₁ = X₁β₁ + Z₁u₁ + … + e₁,   y₂ = X₂β₂ + Z₂u₂ + … + e₂,   Cov(vec[u₁ u₂]) = Σ ⊗ A,   Var(e_s) = σ²_s W_s⁻¹

    with A among the levels of both samples, so that Cov(Z₁u₁, Z₂u₂) = σ₁₂ Z₁A₁₂Z₂ᵀ.  Fixed effects and all other random
    terms stay those of their sample; residuals are independent, with a variance in each sample.

    Parameters
    ----------
    first, second : ModelSpec
        Of one response each.
    how : Joint

    Returns
    -------
    ModelSpec
        The rows of `first`, then those of `second`; without ``source``.

    Raises
    ------
    BindError
        Levels that the covariance does not know, or that both samples have.
    IdentifiabilityError
        Where the covariance relates no level of one sample to one of the other.
    OptionError
        A term that has several effects, several responses, names that do not differ.
    """
    specs = (first, second)
    _check(specs, how)
    term = _tie(specs, how)
    others = [
        _carried(other, specs, s, how.names)
        for s, spec in enumerate(specs)
        for other in spec.terms
        if other.name != how.terms[s]
    ]
    residual = _residual(specs, how.names)
    X = np.zeros((first.n + second.n, first.p + second.p))
    X[: first.n, : first.p], X[first.n :, first.p :] = first.X, second.X
    terms = (term, *others)
    if how.structure != "diag":
        identify.check_components(terms, residual, orthonormal(X))
    return ModelSpec(
        y=np.concatenate([first.y, second.y]),
        X=X,
        terms=terms,
        residual=residual,
        x_names=_prefixed([s.x_names for s in specs], how.names),
        y_names=(_response(specs),),
        row_labels=_row_labels(specs, how.names),
        weights=_stacked(specs, "weights", 1.0),
        offset=_stacked(specs, "offset", 0.0),
        aliased=_prefixed([s.aliased for s in specs], how.names),
        dropped=_dropped(specs, how.names),
        notes=_notes(specs, how),
    )


def alone(spec: ModelSpec, name: str, covariance: Covariance) -> ModelSpec:
    """One sample by itself, its term `name` with the covariance among both samples: what `join` makes of it."""
    term = term_of(spec, name)
    tied = replace(term, covariance=covariance, positions=np.asarray(covariance.positions(term.levels), dtype=np.intp))
    return replace(spec, terms=tuple(tied if t is term else t for t in spec.terms), source=None)


def term_of(spec: ModelSpec, name: str) -> Term:
    """The random term called `name`.

    Raises
    ------
    OptionError
        With the names there are.
    """
    for term in spec.terms:
        if term.name == name:
            return term
    have = f"its terms are {listed(t.name for t in spec.terms)}" if spec.terms else "it has no random terms"
    raise OptionError(f"the model of {', '.join(spec.y_names)} has no term called {name!r}: {have}")


def _check(specs: tuple[ModelSpec, ModelSpec], how: Joint) -> None:
    if len(set(how.names)) < 2 or not all(how.names):
        raise OptionError(f"the samples need two different names, not {how.names[0]!r} and {how.names[1]!r}")
    for spec, name in zip(specs, how.terms, strict=True):
        if spec.traits is not None:
            raise OptionError(
                f"a model of {spec.traits.t} responses ({listed(spec.y_names, 3)}) cannot be joined: "
                "give one of one response"
            )
        if spec.residual.k != 1:
            raise OptionError("a joint model cannot be joined again: give the models of the single samples")
        term = term_of(spec, name)
        if term.k != 1:
            raise OptionError(
                f"{term.text} has {term.k} effects ({listed(term.effects)}): samples are tied by one effect in each"
            )


def _tie(specs: tuple[ModelSpec, ModelSpec], how: Joint) -> Term:
    """The term with an effect in each sample."""
    one, two = (term_of(spec, name) for spec, name in zip(specs, how.terms, strict=True))
    at = [_positions(term, how) for term in (one, two)]
    _refuse_shared(one, two, at, how)
    _refuse_unrelated(one, two, at, how)
    positions, back = np.unique(np.concatenate(at), return_inverse=True)
    back = back.reshape(-1)
    levels = np.empty(len(positions), dtype=object)
    levels[back] = np.concatenate([one.levels, two.levels])
    name = one.name if one.name == two.name else f"{one.name}/{two.name}"
    group = one.group if one.group == two.group else f"{one.group}/{two.group}"
    cov_name = one.cov_name or two.cov_name or "cov"
    return Term(
        name=name,
        label=f"{group} (cov {cov_name})",
        text=f"({'0 + ' + ' + '.join(how.names)} | {group}:{cov_name})",
        group=group,
        effects=how.names,
        levels=levels,
        codes=np.concatenate([back[: one.q][one.codes], back[one.q :][two.codes]]),
        basis=_two_columns(one.basis[:, 0], two.basis[:, 0]),
        covariance=how.covariance,
        positions=positions,
        structure=structures.make(how.structure, 2),
        cov_name=cov_name,
    )


def _positions(term: Term, how: Joint) -> Positions:
    at = np.asarray(how.covariance.positions(term.levels), dtype=np.intp)
    absent = term.levels[at < 0]
    if len(absent):
        what = "level" if len(absent) == 1 else "levels"
        raise BindError(
            f"{term.text}: {len(absent)} {what} of {term.group!r} are not in the covariance between the samples "
            f"({how.covariance.describe()}): {listed(absent)}. It needs the individuals of both samples"
        )
    return at


def _refuse_shared(one: Term, two: Term, at: Sequence[Positions], how: Joint) -> None:
    both = np.isin(at[0], at[1])
    if both.any() and not how.shared:
        raise BindError(
            f"{int(both.sum())} of {one.group!r} are in both samples: {listed(one.levels[both])}. Their residuals "
            "would be correlated, and this model has them independent: leave them out of one sample. Where the levels "
            "are lines or sires whose records in the two samples are of different individuals, shared=True says so"
        )


def _refuse_unrelated(one: Term, two: Term, at: Sequence[Positions], how: Joint) -> None:
    if how.structure == "diag":
        return
    groups = how.covariance.components(np.concatenate(at))
    if not np.isin(groups[: one.q], groups[one.q :]).any():
        raise IdentifiabilityError(
            f"the covariance ({how.covariance.describe()}) relates no level of {one.group!r} in {how.names[0]} to one "
            f"of {two.group!r} in {how.names[1]}: nothing tells their correlation"
        )


def _carried(term: Term, specs: tuple[ModelSpec, ModelSpec], s: int, names: Pair) -> Term:
    """A term of one sample on the rows of both: its effects are 0 in the other's rows."""
    before, after = (0, specs[1].n) if s == 0 else (specs[0].n, 0)
    return replace(
        term,
        name=f"{names[s]}: {term.name}",
        label=f"{names[s]}: {term.label}",
        text=f"{names[s]}: {term.text}",
        group=f"{names[s]}: {term.group}",
        codes=np.pad(term.codes, (before, after)),
        basis=np.pad(term.basis, ((before, after), (0, 0))),
    )


def _residual(specs: tuple[ModelSpec, ModelSpec], names: Pair) -> Term:
    n = specs[0].n + specs[1].n
    labels = np.arange(n).astype(object)
    return Term(
        name="Residual",
        label="Residual",
        text="Residual",
        group="Residual",
        effects=names,
        levels=labels,
        codes=np.arange(n),
        basis=_two_columns(specs[0].residual.basis[:, 0], specs[1].residual.basis[:, 0]),
        covariance=Identity(labels),
        positions=np.arange(n),
        structure=structures.make("diag", 2),
    )


def _two_columns(first: Float, second: Float) -> Float:
    out = np.zeros((len(first) + len(second), 2))
    out[: len(first), 0], out[len(first) :, 1] = first, second
    return out


def _prefixed(parts: Sequence[Sequence[str]], names: Pair) -> tuple[str, ...]:
    return tuple(f"{name}: {text}" for part, name in zip(parts, names, strict=True) for text in part)


def _response(specs: tuple[ModelSpec, ModelSpec]) -> str:
    one, two = (spec.y_names[0] for spec in specs)
    return f"{one}, in two samples" if one == two else f"{one}, {two}"


def _row_labels(specs: tuple[ModelSpec, ModelSpec], names: Pair) -> NDArray[np.object_]:
    """``"sample: label"`` of each row: labels may be the same in both."""
    labels = _prefixed([[str(label) for label in spec.row_labels.tolist()] for spec in specs], names)
    return np.array(labels, dtype=object)


def _stacked(specs: tuple[ModelSpec, ModelSpec], field: str, neutral: float) -> Float | None:
    parts: list[Float | None] = [getattr(spec, field) for spec in specs]
    if all(part is None for part in parts):
        return None
    return np.concatenate(
        [np.full(spec.n, neutral) if part is None else part for spec, part in zip(specs, parts, strict=True)]
    )


def _dropped(specs: tuple[ModelSpec, ModelSpec], names: Pair) -> Dropped:
    one, two = (spec.dropped for spec in specs)
    counts = tuple(
        (f"{name}: {v}", c) for spec, name in zip(specs, names, strict=True) for v, c in spec.dropped.by_variable
    )
    return Dropped(one.n_given + two.n_given, np.concatenate([one.rows, two.rows + one.n_given]), counts)


def _notes(specs: tuple[ModelSpec, ModelSpec], how: Joint) -> tuple[str, ...]:
    # what was said of the levels of a tied term held for its sample alone
    own = [
        [note for note in spec.notes if not note.startswith(f"cov[{term_of(spec, name).cov_name!r}] has ")]
        for spec, name in zip(specs, how.terms, strict=True)
    ]
    return (
        *_prefixed(own, how.names),
        f"Residuals of {how.names[0]} and {how.names[1]} are independent, with a variance each.",
    )
