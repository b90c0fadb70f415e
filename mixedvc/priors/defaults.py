"""Default priors: half-t(3) standard deviations with the scale of the data, flat correlations.

The scale of an effect is the standard deviation it would have if it alone made all the variance that least squares
leaves: s_a² = Σ_i r_i / Σ_i x_ia² A_ii over the rows that have the effect, r_i the residual variance of the row's
own response.  So it is in the effect's units: with y in other units all scales change by that factor, with x in other
units that of its slope by the inverse.  Half-t(3) has a median of .76 s and 10 % beyond 2.35 s.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..structures.base import Structure
from .base import Prior
from .lkj import LKJ
from .patterned import Patterned
from .scalars import HalfT
from .variances import is_variances

Float = NDArray[np.float64]


def default_prior(structure: Structure) -> Prior:
    """Half-t(3) on a variance; with correlations of density one where Σ is free or patterned."""
    if is_variances(structure):
        return HalfT(3.0)
    return LKJ(1.0) if structure.name == "us" else Patterned()


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
