"""How a formula was read, in words."""

from __future__ import annotations

import numpy as np

from .missing import by_variable
from .spec import ModelSpec, Term
from .trait_columns import TraitCoders


def explain(spec: ModelSpec) -> str:
    """Response, fixed columns, each random term with its covariance, rows dropped, notes."""
    lines = [f"Formula: {spec.source.formula}", *_response(spec), *_fixed(spec)]
    for term in spec.terms:
        lines += _random(term)
    lines += _residual(spec)
    lines += _rows(spec)
    lines += [f"Note: {note}" for note in spec.notes]
    return "\n".join(lines)


def _response(spec: ModelSpec) -> list[str]:
    what = "Response:" if spec.traits is None else f"Responses ({spec.traits.t}):"
    lines = [f"{what} {_some(spec.y_names)}"]
    if spec.offset is not None:
        parts = [f"offset({text})" for text in spec.source.parsed.offsets]
        given = spec.source.request.offset
        parts += [] if given is None else [f"offset={given}" if isinstance(given, str) else "offset= (numbers)"]
        lines.append(f"  minus {' and '.join(parts)}")
    return lines


def _fixed(spec: ModelSpec) -> list[str]:
    lines = [f"Fixed effects ({spec.p}): {_some(spec.x_names) or 'none'}"]
    if spec.traits is not None:
        lines = [f"Fixed effects ({spec.p}):", *_of_traits(spec.source.fixed)]
    coding = spec.source.coder if spec.traits is None else spec.source.fixed
    for variable in coding.variables.values():
        if variable.levels is not None:
            how = "contrasts" if any(tag in name for tag in variable.tags for name in spec.x_names) else "dummies"
            lines.append(f"  {variable.text}: factor with levels {_some(tuple(map(str, variable.levels)))}, by {how}")
    if spec.aliased:
        lines.append(f"  dropped as combinations of earlier columns: {_some(spec.aliased)}")
    return lines


def _of_traits(fixed: TraitCoders) -> list[str]:
    """Whose each fixed effect is."""
    whose: dict[str, list[str]] = {}
    for trait, coder in zip(fixed.traits, fixed.of, strict=True):
        for name in coder.names:
            whose.setdefault(name, []).append(trait)
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, traits in whose.items():
        groups.setdefault(tuple(traits), []).append(name)
    lines = [
        f"  of {'each response' if len(traits) == len(fixed.traits) else ' and '.join(traits)}: {_some(tuple(names))}"
        for traits, names in groups.items()
    ]
    return lines + ([f"  one for all responses: {_some(fixed.shared.names)}"] if fixed.shared.names else [])


def _random(term: Term) -> list[str]:
    many = "one variance" if term.k == 1 else f"{term.structure.n_par} parameters"
    among = "independent" if term.cov_name is None else f"cov[{term.cov_name!r}]: {term.covariance.describe()}"
    lines = [
        f"Random term {term.name!r}: {term.text}",
        f"  effects: {_some(term.effects)}; structure {term.structure.name} ({many})",
        f"  levels: {term.q} of {term.group!r} in the data, {among}",
    ]
    more = len(term.covariance.labels) - term.q
    if more > 0:
        lines.append(f"  {more} more level(s) in the covariance, without records")
    return lines


def _residual(spec: ModelSpec) -> list[str]:
    given = spec.source.request.weights
    weighted = "" if spec.weights is None else f" / {given if isinstance(given, str) else 'weights'}"
    own = spec.source.residual
    if spec.traits is not None:
        return [_among_traits(spec, weighted)]
    if own is None or spec.residual.k == 1:
        return [
            "Residual: independent, one variance"
            if not weighted
            else f"Residual: independent, variance sigma2{weighted}"
        ]
    lines = [f"Residual: {own.formula.text}{', variances' if weighted else ''}{weighted}"]
    if own.factors:
        lines.append(f"  a variance for each of {_some(tuple(map(str, own.levels)))} ({':'.join(own.factors)})")
    if not spec.correlated_residual:
        return [*lines, "  rows are independent"]
    sizes = np.bincount(spec.residual.codes)
    group = ":".join(own.formula.group)
    lines.append(f"  correlated within the {spec.residual.q} levels of {group} ({sizes.min()} to {sizes.max()} rows)")
    if own.formula.structure == "ar1":
        what = f"{own.step:g} in {own.formula.cell[0]}" if own.formula.cell else "from one row to the next of a group"
        lines.append(f"  correlation: rho to the number of steps; a step is {what}")
    return lines


def _among_traits(spec: ModelSpec, weighted: str) -> str:
    """The residual of several responses."""
    structure = spec.residual.structure
    if all(a == b for a, b in structure.pairs):
        return f"Residual: independent among responses, a variance for each{weighted}"
    what = "any covariance" if structure.name == "us" else f"{spec.residual.text} covariance"
    return f"Residual: {what} among the responses of a record ({structure.n_par} parameters){weighted}"


def _rows(spec: ModelSpec) -> list[str]:
    what, n = ("Rows", spec.n) if spec.traits is None else ("Records", spec.traits.n)
    lines = [f"{what}: {n}"]
    if spec.dropped.count:
        gone = f"{spec.dropped.count} left out for missing values ({by_variable(spec.dropped)})"
        lines = [f"{what}: {n} of {spec.dropped.n_given}; {gone}"]
    if spec.traits is not None:
        whole = spec.traits.n * spec.traits.t
        lines.append(f"Cells: {spec.n} of {whole}" if spec.traits.missing else f"Cells: {spec.n}, none missing")
    return lines


def _some(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
