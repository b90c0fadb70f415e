"""R's names of coefficients: ``(Intercept)``, ``SexFemale``, ``f1`` for sum contrasts, ``poly(x, 2)1``."""

from __future__ import annotations

from ..design.fixed import Coder, Variable
from ..design.spec import ModelSpec
from .formulas import factor_text


def coefficient_names(spec: ModelSpec) -> tuple[str, ...]:
    """Of the fixed effects kept, in their order."""
    names = coder_names(spec.source.coder)
    return tuple(names[j] for j in spec.source.kept)


def assignment(spec: ModelSpec) -> list[int]:
    """The term of the formula that each kept column belongs to (R's ``assign``: 0 for the intercept)."""
    coder: Coder = spec.source.coder
    numbers = [i for i, width in enumerate(widths(coder)) for _ in range(width)]
    shift = 0 if () in coder.terms else 1
    return [numbers[j] + shift for j in spec.source.kept]


def term_labels(spec: ModelSpec) -> list[str]:
    """Labels of the fixed terms without the intercept, in R's spelling."""
    return [":".join(map(factor_text, term)) for term in spec.source.coder.terms if term]


def coder_names(coder: Coder) -> list[str]:
    """All columns of a coder."""
    return [name for i in range(len(coder.terms)) for name in _term_names(coder, i)]


def widths(coder: Coder) -> list[int]:
    return [len(_term_names(coder, i)) for i in range(len(coder.terms))]


def _term_names(coder: Coder, i: int) -> list[str]:
    """Products of the factors' columns, those of the first factor changing fastest."""
    term, names = coder.terms[i], [""]
    for place, (text, full) in enumerate(zip(term, coder.full[i], strict=True)):
        own = _variable_names(coder.variables[text], full)
        names = [f"{left}:{right}" if place else right for right in own for left in names]
    return names if term else ["(Intercept)"]


def _variable_names(variable: Variable, full: bool) -> list[str]:
    text = factor_text(variable.text)
    text = text.strip("`") if text.startswith("`") and text.count("`") == 2 else text
    if variable.levels is None:
        return [text] if not variable.matrix_valued else [f"{text}{j + 1}" for j in range(variable.width)]
    if full:
        return [f"{text}{level_text(level)}" for level in variable.levels]
    return [f"{text}{_tag(tag, j)}" for j, tag in enumerate(variable.tags)]


def _tag(tag: str, j: int) -> str:
    """Treatment contrasts are named by level, sum and Helmert contrasts by number."""
    if tag.startswith("T."):
        return level_text(tag[2:])
    return str(j + 1) if tag.startswith(("S.", "H.")) else tag


def level_text(level: object) -> str:
    """A level as R prints it; logical values in capitals."""
    return {"True": "TRUE", "False": "FALSE"}.get(str(level), str(level))
