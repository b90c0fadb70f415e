"""Fixed-effect columns that are combinations of others: dropped and named as lme4 does, or refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..errors import BindError, OptionError, RankWarning, warn
from ..linalg.columns import ColumnRank, column_rank
from .frames import listed

Float = NDArray[np.float64]
NEAR = 1e10  # condition number (of scaled columns) from which columns are called nearly collinear
RULES = ("drop", "error")


def full_rank(X: Float, names: tuple[str, ...], rule: str) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Columns to keep and the names of those dropped.

    Parameters
    ----------
    X : (n, p)
    names : tuple of str
    rule : {"drop", "error"}

    Raises
    ------
    OptionError
        Another rule.
    BindError
        ``rule="error"`` and a column is a linear combination of earlier ones, or no residual degree of freedom is left.
    """
    if rule not in RULES:
        raise OptionError(f"rank={rule!r}: choose 'drop' (later columns go, as in lme4) or 'error'")
    found = column_rank(X)
    _enough_rows(X, names, found)
    if found.dropped:
        some = [(j, distance, partners if X[:, j].any() else ()) for j, distance, partners in found.dropped[:10]]
        said = "; ".join(_explained(j, distance, partners, names) for j, distance, partners in some)
        more = f"; and {len(found.dropped) - 10} more" if len(found.dropped) > 10 else ""
        if rule == "error":
            raise BindError(
                f"the fixed effects have {X.shape[1]} columns and rank {len(found.kept)}: {said}{more}. "
                "Leave them out, or let rank='drop' do it"
            )
        what = "column is" if len(found.dropped) == 1 else "columns are"
        warn(f"{len(found.dropped)} fixed-effect {what} dropped: {said}{more}", RankWarning)
    if found.condition > NEAR:
        warn(
            f"the fixed-effect columns {listed(names[j] for j in found.weakest)} are nearly collinear (condition "
            f"number {found.condition:.1e}): their coefficients are hardly determined. Centre them or leave one out",
            RankWarning,
        )
    return found.kept, tuple(names[j] for j, _, _ in found.dropped)


def _enough_rows(X: Float, names: tuple[str, ...], found: ColumnRank) -> None:
    n, p = X.shape
    if len(found.kept) < n:
        return
    raise BindError(
        f"{n} rows and {p} fixed-effect columns of rank {len(found.kept)} ({listed(names)}): no residual degree of "
        "freedom is left to estimate a variance from. Leave columns out or add rows"
    )


def _explained(j: int, distance: float, partners: tuple[int, ...], names: tuple[str, ...]) -> str:
    name = repr(names[j])
    if partners == (0,) and distance == 0.0 and names[0] == "Intercept":
        return f"{name} is constant: it equals a multiple of Intercept"
    if not partners:
        return f"{name} is zero in every row"
    near = "a linear combination of" if distance < 1e-12 else f"nearly (to {distance:.0e}) a linear combination of"
    return f"{name} is {near} {listed((names[i] for i in partners), 6)}"


def residual_of_fixed(y: Float, Q: Float) -> Float:
    """What the fixed effects leave of y, by the orthonormal Q of X."""
    return y - Q @ (Q.T @ y) if Q.shape[1] else np.array(y)
