"""How a formula was read, in words."""

from __future__ import annotations

from .missing import by_variable
from .spec import ModelSpec, Term


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
    what = "Response:" if spec.t == 1 else f"Responses ({spec.t}):"
    lines = [f"{what} {_some(spec.y_names)}"]
    if spec.offset is not None:
        parts = [f"offset({text})" for text in spec.source.parsed.offsets]
        given = spec.source.request.offset
        parts += [] if given is None else [f"offset={given}" if isinstance(given, str) else "offset= (numbers)"]
        lines.append(f"  minus {' and '.join(parts)}")
    return lines


def _fixed(spec: ModelSpec) -> list[str]:
    lines = [f"Fixed effects ({spec.p}): {_some(spec.x_names) or 'none'}"]
    for variable in spec.source.coder.variables.values():
        if variable.levels is not None:
            how = "contrasts" if any(tag in name for tag in variable.tags for name in spec.x_names) else "dummies"
            lines.append(f"  {variable.text}: factor with levels {_some(tuple(map(str, variable.levels)))}, by {how}")
    if spec.aliased:
        lines.append(f"  dropped as combinations of earlier columns: {_some(spec.aliased)}")
    return lines


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
    if spec.weights is None:
        return ["Residual: independent, one variance"]
    given = spec.source.request.weights
    return [f"Residual: independent, variance sigma2 / {given if isinstance(given, str) else 'weights'}"]


def _rows(spec: ModelSpec) -> list[str]:
    if not spec.dropped.count:
        return [f"Rows: {spec.n}"]
    return [
        f"Rows: {spec.n} of {spec.dropped.n_given}; {spec.dropped.count} left out for missing values "
        f"({by_variable(spec.dropped)})"
    ]


def _some(names: tuple[str, ...], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
