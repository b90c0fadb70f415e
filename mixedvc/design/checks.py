"""What a laid-out model is refused for, and the assumptions that it is told to have made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BoundaryWarning, warn
from ..formula.terms import BarTerm
from ..linalg.columns import orthonormal
from . import identify
from .fixed import Coder
from .layout import Laid
from .rank import residual_of_fixed
from .rows import check_response
from .spec import Dropped


def check_model(laid: Laid, y_names: tuple[str, ...], labels: NDArray[Any]) -> None:
    """Refuse what cannot be estimated: degenerate responses, confounded components."""
    y = laid.response
    check_response(laid.traits.table(y) if laid.traits else y[:, None], y_names, labels)
    identify.check_groups(laid.terms)
    Q = orthonormal(laid.X)
    identify.check_components(laid.terms, laid.residual, Q)
    left, around = residual_of_fixed(y[:, None], Q)[:, 0], y - y.mean()
    whose = laid.traits.trait if laid.traits else np.zeros(len(y), dtype=np.intp)
    for a, name in enumerate(y_names):
        r, s = left[whose == a], around[whose == a]
        if (r @ r) <= 1e-24 * (s @ s):
            warn(
                f"the response {name} is an exact linear combination of the fixed effects: the residual variance is 0 "
                "and standard errors are undefined",
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
    return (*dict.fromkeys(notes), *_residual_notes(laid, dropped))


def _residual_notes(laid: Laid, dropped: Dropped) -> tuple[str, ...]:
    if laid.cells is None:
        return ()
    formula = laid.cells.formula
    if formula.structure != "ar1" or formula.cell or not dropped.count:
        return laid.cells.notes
    gaps = f"{formula.text} counts the rows that are left, so rows left out leave no gaps: give the times to keep them."
    return (*laid.cells.notes, gaps)
