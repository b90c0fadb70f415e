"""Several responses with covariances that cannot be estimated: combinations of each other, too few shared records."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ..errors import DegenerateResponse, IdentifiabilityError, IdentifiabilityWarning, warn
from ..linalg.columns import column_rank, orthonormal
from ..structures.base import Structure
from .frames import listed
from .layout import Laid
from .rank import residual_of_fixed
from .spec import Term
from .traits import Traits

Float = NDArray[np.float64]
EXACT = 1e-9  # of the length of what fixed effects leave of a response: what others may leave of that
REMEDY = "residual='diag', or 'fa(1)' for fewer parameters"


def check_traits(laid: Laid, left: Float) -> None:
    """Refuse responses with which the likelihood has no maximum, or that share too few records.

    Parameters
    ----------
    laid : Laid
        Of several responses.
    left : (N,)
        What the fixed effects leave of the cells.

    Raises
    ------
    DegenerateResponse
        A response that is a linear combination of others and fixed effects.
    IdentifiabilityError
        Fewer cells than parameters; responses that share too few records for their residual covariance.
    """
    traits = laid.traits
    assert traits is not None
    _fixed_alone(laid, traits, left)
    _count(laid)
    if all(_independent(term.structure) for term in (*laid.terms, laid.residual)):
        return
    free = laid.residual.structure.name == "us"
    if free:
        _never_together(traits)
    Y = traits.table(laid.response)
    _combinations(laid, traits, Y, tuple(range(traits.t)), free)
    if not traits.complete:
        for pair in combinations(range(traits.t), 2):
            _combinations(laid, traits, Y, pair, free)


def check_terms(terms: Sequence[Term]) -> None:
    """Warn of a free covariance among more effects than there are levels."""
    for term in terms:
        if term.structure.name == "us" and 1 < term.q < term.k:
            warn(
                f"{term.text}: any covariance among {term.k} effects has {term.structure.n_par} parameters, and "
                f"{term.group!r} has {term.q} levels, so the estimate is singular: {_fewer(term)} has fewer parameters",
                IdentifiabilityWarning,
            )


def _independent(structure: Structure) -> bool:
    return all(a == b for a, b in structure.pairs)


def _fewer(term: Term) -> str:
    inner = term.text[term.text.index("(") + 1 : -1]
    return f"fa({inner}, 1) or rr({inner}, 1)"


def _fixed_alone(laid: Laid, traits: Traits, left: Float) -> None:
    """A response that its fixed effects fit exactly."""
    y = laid.response
    for a, name in enumerate(traits.names):
        own = traits.trait == a
        around = y[own] - y[own].mean()
        if (left[own] @ left[own]) > 1e-24 * (around @ around):
            continue
        count, columns = int(own.sum()), int(np.sum(traits.columns == a))
        if count <= columns:
            what = f"the response {name} is observed in {count} records and has {columns} fixed effects: nothing is "
            raise DegenerateResponse(f"{what}left to estimate its variance from. Leave it out, or effects of it")
        raise DegenerateResponse(
            f"the response {name} is an exact linear combination of the fixed effects: its residual variance would be "
            "0 and the likelihood has no maximum. Leave it out"
        )


def _count(laid: Laid) -> None:
    """More parameters than cells can tell."""
    every = (*laid.terms, laid.residual)
    m, free = sum(term.structure.n_par for term in every), len(laid.y) - laid.X.shape[1]
    if m <= free:
        return
    most = max(every, key=lambda term: term.structure.n_par)
    what = f"residual={most.text!r}" if most is laid.residual and most.text != "Residual" else most.text
    instead = (
        REMEDY if most is laid.residual else f"{_fewer(most)}, or diag({most.text[most.text.index('(') + 1 : -1]})"
    )
    raise IdentifiabilityError(
        f"{m} parameters of covariance are more than {len(laid.y)} cells with {laid.X.shape[1]} fixed effects can tell "
        f"({free} left). Most are in {what}, {most.structure.n_par}: write {instead}"
    )


def _never_together(traits: Traits) -> None:
    """Pairs of responses that no record has both of."""
    seen = (~np.isnan(traits.table(np.ones(len(traits.record))))).astype(float)
    together = seen.T @ seen
    apart = [(a, b) for a, b in combinations(range(traits.t), 2) if together[a, b] == 0]
    if not apart:
        return
    a, b = apart[0]
    more = f" (nor {len(apart) - 1} more pairs)" if len(apart) > 1 else ""
    raise IdentifiabilityError(
        f"no record has both {traits.names[a]} and {traits.names[b]}{more}, so nothing tells their residual "
        "covariance: write residual='diag'"
    )


def _combinations(laid: Laid, traits: Traits, Y: Float, some: tuple[int, ...], free: bool) -> None:
    """Are these responses linearly dependent, with fixed effects, in the records that have all of them?

    With `free` residual covariances the records must be more than fixed effects and responses together: fewer are
    always dependent, and the likelihood grows without bound as the residual covariance becomes singular.
    """
    whole = np.flatnonzero(~np.isnan(Y[:, some]).any(axis=1))
    names = [traits.names[a] for a in some]
    X = _of_records(laid, traits, some, whole)
    if len(whole) < len(some) + X.shape[1]:
        X = X[:, column_rank(X).kept] if X.size else X
        if len(whole) < len(some) + X.shape[1]:
            if free and (len(some) == 2 or traits.complete):
                _too_few(names, len(whole), X.shape[1], traits.complete)
            return
    X = X[:, column_rank(X).kept] if X.size else X
    y = Y[whole][:, np.array(some, dtype=np.intp)]
    left = residual_of_fixed(y, orthonormal(X)) if X.size else y
    sizes = np.sqrt((left**2).sum(axis=0))
    rounding = 1e-13 * np.abs(y).max(axis=0) * np.sqrt(len(whole))
    scaled = left / np.maximum(sizes, 1e-300)
    found = column_rank(scaled, max(EXACT, float(np.max(rounding / np.maximum(sizes, 1e-300)))))
    if not found.dropped:
        return
    j, _, partners = found.dropped[0]
    of = listed([names[i] for i in partners if i != j] or [name for name in names if name != names[j]])
    where = "all records" if traits.complete else f"the {len(whole)} records that have them"
    raise DegenerateResponse(
        f"the response {names[j]} is an exact linear combination of {of} and the fixed effects in {where}: the "
        "covariance of these responses is singular and the likelihood has no maximum. Leave one of them out"
    )


def _too_few(names: list[str], n: int, p: int, complete: bool) -> None:
    records = f"{n} record{'s' * (n != 1)}"
    if complete:
        raise IdentifiabilityError(
            f"any residual covariance of {len(names)} responses needs at least as many records beyond the {p} fixed "
            f"effects, and there are {records}: write {REMEDY}"
        )
    raise IdentifiabilityError(
        f"only {records} {'has' if n == 1 else 'have'} both {names[0]} and {names[1]}, too few for a residual "
        f"covariance beside {p} fixed effects: write {REMEDY}"
    )


def _of_records(laid: Laid, traits: Traits, some: tuple[int, ...], whole: NDArray[np.intp]) -> Float:
    """Columns (n, P) of the fixed effects of some responses in the records that have them all."""
    at = np.full((traits.n, traits.t), -1, dtype=np.intp)
    at[traits.record, traits.trait] = np.arange(len(traits.record))
    blocks = [laid.X[np.ix_(at[whole, a], np.flatnonzero((traits.columns == a) | (traits.columns < 0)))] for a in some]
    distinct = [block for j, block in enumerate(blocks) if not any(np.array_equal(block, one) for one in blocks[:j])]
    return np.concatenate(distinct, axis=1)
