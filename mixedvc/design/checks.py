"""What a laid-out model is refused for, and the assumptions that it is told to have made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from ..errors import BoundaryWarning, warn
from ..formula.terms import BarTerm
from ..linalg.columns import orthonormal
from . import identify
from .fixed import Coder
from .layout import Laid
from .rank import residual_of_fixed
from .rows import check_response
from .spec import Dropped, Term
from .trait_checks import check_terms, check_traits


def check_model(laid: Laid, drawn: Sequence[Term], y_names: tuple[str, ...], labels: NDArray[Any]) -> None:
    """Refuse what cannot be estimated: degenerate responses, confounded components.

    `drawn` are the random terms of the records, a term a bar.
    """
    y = laid.response
    check_response(laid.traits.table(y) if laid.traits else y[:, None], y_names, labels)
    identify.check_groups(drawn)
    Q = orthonormal(laid.X)
    left = residual_of_fixed(y[:, None], Q)[:, 0]
    if laid.traits is not None:
        check_traits(laid, left)
        check_terms(laid.terms)
    identify.check_components(laid.terms, laid.residual, Q, laid.traits is not None)
    around = y - y.mean()
    if laid.traits is None and left @ left <= 1e-24 * (around @ around):
        warn(
            f"the response {y_names[0]} is an exact linear combination of the fixed effects: the residual variance is "
            "0 and standard errors are undefined",
            BoundaryWarning,
        )


def model_notes(bars: Sequence[BarTerm], laid: Laid, coders: Sequence[Coder], dropped: Dropped) -> tuple[str, ...]:
    """In plain words."""
    notes: list[str] = []
    for term in laid.terms:
        more = len(term.covariance.labels) - term.q
        if term.cov_name is not None and more > 0:
            notes.append(
                f"cov[{term.cov_name!r}] has {more} level(s) of {term.group!r} without records; they can be predicted."
            )
    for bar, coder in zip(bars, coders, strict=True):
        if bar.structure == "diag" and any(v.levels is not None for v in coder.variables.values()):
            notes.append(f"{bar.text}: the factor's levels have independent effects here (lme4's || correlates them).")
    gaps = laid.traits.missing if laid.traits is not None else ""
    if gaps:
        notes.append(f"{gaps}; a record stays as long as it has one response.")
    return (*dict.fromkeys(notes), *_residual_notes(laid, dropped))


def _residual_notes(laid: Laid, dropped: Dropped) -> tuple[str, ...]:
    if laid.cells is None:
        return ()
    formula = laid.cells.formula
    if formula.structure != "ar1" or formula.cell or not dropped.count:
        return laid.cells.notes
    gaps = f"{formula.text} counts the rows that are left, so rows left out leave no gaps: give the times to keep them."
    return (*laid.cells.notes, gaps)
