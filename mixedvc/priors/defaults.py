"""Default priors: half-t(3) standard deviations with the scale of the data, flat correlations.

The scale of an effect is the standard deviation it would have if it alone made all the variance that least squares
leaves: s_a² = Σ_i r_i / Σ_i x_ia² A_ii over the rows that have the effect, r_i the residual variance of the row's
own response.  So it is in the effect's units: with y in other units all scales change by that factor, with x in other
units that of its slope by the inverse.  Half-t(3) has a median of .76 s and 10 % beyond 2.35 s.

Where effects of a free Σ are not orthogonal over the rows (an intercept and a slope on a covariate that is not
centred), the prior is of those that are, each effect less its projection on the ones before it: the intercept at the
mean of the covariate, and the slope.  So recentring a covariate changes nothing.  An intercept at the year 0 may well
have a correlation of −1 + 1e-6 with the slope on the year, where a flat prior of correlations has no mass.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.columns import orthogonalising
from ..structures.base import Structure
from .base import BoundPrior, Prior
from .lkj import LKJ
from .patterned import Patterned
from .scalars import HalfT
from .turned import BoundTurned
from .variances import is_variances

Float = NDArray[np.float64]


def default_prior(structure: Structure) -> Prior:
    """Half-t(3) on a variance; with correlations of density one where Σ is free or patterned."""
    if is_variances(structure):
        return HalfT(3.0)
    return LKJ(1.0) if structure.name == "us" else Patterned()


def default_bound(term: Term, where: str, scale: Float) -> BoundPrior:
    """The default prior of a term; of effects made orthogonal over the rows where Σ is free."""
    structure = term.structure
    T = None if structure.name != "us" or term.k < 2 else orthogonal_effects(term, scale)
    if T is None:
        return default_prior(structure).bind(structure, where, scale, term.effects)
    inner = LKJ(1.0, HalfT(3.0, 1.0)).bind(structure, where)
    return BoundTurned(structure, inner, T, "of effects made orthogonal over the rows and brought to the data's scale")


def orthogonal_effects(term: Term, scale: Float) -> Float | None:
    """T (k, k), upper triangular: columns of basis · T are orthogonal, their effects of expected sd one; None where
    the basis is orthogonal as it is."""
    diagonal = np.maximum(term.covariance.diagonal(term.positions)[term.codes], 0.0)
    C = orthogonalising(term.basis[:, ::-1], diagonal)
    return None if C is None else scale[:, None] * np.triu(C[::-1, ::-1])


def expected_sds(spec: ModelSpec) -> tuple[Float, ...]:
    """(k,) for each term, the residual last: see the module."""
    rows = _row_variances(spec)
    return tuple(_sds(term, rows) for term in spec.all_terms)


def _row_variances(spec: ModelSpec) -> Float:
    """(n,) variance that least squares leaves in each row; of several responses each its own."""
    w = 1.0 / np.maximum((spec.residual.basis**2).sum(axis=1), 1e-300)  # prior weights
    root = np.sqrt(w)
    y = spec.response * root
    X = spec.X * root[:, None]
    left = y - X @ la.lstsq(X, y) if spec.p else y
    B = spec.residual.basis**2 * w[:, None]  # of a row's cell: 1
    own = (left**2 @ B) / np.maximum(B.sum(axis=0), 1e-300) * (spec.n / max(spec.n - spec.p, 1))
    rows = (B @ own) / w
    least = 1e-12 * float(np.mean(spec.response**2))
    return np.maximum(rows, least if least > 0.0 else 1.0)


def _sds(term: Term, rows: Float) -> Float:
    diagonal = np.maximum(term.covariance.diagonal(term.positions)[term.codes], 0.0)
    squares = term.basis**2 * diagonal[:, None]
    there = squares > 0.0
    total = np.where(there, rows[:, None], 0.0).sum(axis=0)
    given = squares.sum(axis=0)
    fallback = float(np.sqrt(rows.mean()))
    return np.where(given > 0.0, np.sqrt(total / np.where(given > 0.0, given, 1.0)), fallback)
