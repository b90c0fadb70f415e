"""Several traits in common units: each in its own standard deviation, then made uncorrelated over the records.

Traits may differ by twelve orders of magnitude, or one may be nearly a function of another.  In units in which the
least-squares residuals of the traits are uncorrelated and of variance one, a step in Σ is the same whatever linear
transformation of the traits was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la

Float = NDArray[np.float64]
_COMPLETE, _PAIRWISE = 1e-12, 0.1  # least eigenvalue of the correlations: of a sample, of pairs from unlike records


@dataclass(frozen=True)
class TraitUnits:
    """Least-squares residuals of the traits.

    Attributes
    ----------
    variances : (t,)
    rows : (N,)
        Variance of each row's trait.
    root : (t, t)
        Lower triangular factor of the residuals' correlations.
    """

    variances: Float
    rows: Float
    root: Float

    def turn(self, spec: ModelSpec, term: Term) -> Float | None:
        """(k, k) that makes the effects of a term those of uncorrelated traits; None where a trait has no effect."""
        t = len(self.variances)
        size, left = divmod(term.k, t)
        if left or not np.array_equal(_owners(spec, term), np.repeat(np.arange(t), size)):
            return None
        return np.asarray(np.kron(self.root, np.eye(size)), dtype=np.float64)

    def sizes_of_parameters(self, spec: ModelSpec) -> Float:
        """(m,) product of the standard deviations of the traits that each linear parameter is about."""
        mean = np.exp(0.5 * np.log(self.variances).mean())
        sd = np.append(np.sqrt(self.variances), mean)  # the last: of an effect that several traits have
        owners = [_owners(spec, term) for term in spec.all_terms]
        return np.array([sd[owners[w.term][w.a]] * sd[owners[w.term][w.b]] for w in spec.index])


def trait_units(spec: ModelSpec) -> TraitUnits | None:
    """Units of a model of several traits; None for one response."""
    if spec.traits is None:
        return None
    traits, left = spec.traits, np.empty(spec.n)
    w = np.ones(spec.n) if spec.weights is None else np.sqrt(spec.weights)
    own = np.empty(traits.t)
    for a in range(traits.t):
        at = np.flatnonzero(traits.trait == a)
        y, X = w[at] * spec.response[at], w[at, None] * spec.X[at]
        X = X[:, X.any(axis=0)]
        left[at] = y - X @ la.lstsq(X, y) if X.shape[1] else y
        own[a] = left[at] @ left[at] / max(len(at) - X.shape[1], 1)
    own = np.maximum(own, max(1e-30 * float(own.max()), 1e-300))
    table = traits.table(left / np.sqrt(own)[traits.trait])
    return TraitUnits(own, own[traits.trait], la.cholesky(_correlations(table)))


def _correlations(table: Float) -> Float:
    """Correlations of columns with NaN for missing cells, pair by pair, made positive definite."""
    there = ~np.isnan(table)
    Z = np.where(there, table, 0.0)
    squares = (Z**2).T @ there
    scale = np.sqrt(np.maximum(squares * squares.T, 1e-300))
    C = (Z.T @ Z) / scale
    few = (1.0 * there).T @ there < 3
    C[few] = 0.0
    np.fill_diagonal(C, 1.0)
    least, wanted = la.small_eigh(C)[0][0], _COMPLETE if there.all() else _PAIRWISE
    if least < wanted:  # towards no correlation, as far as it takes
        C = C + (wanted - least) / (1.0 - least) * (np.eye(len(C)) - C)
    return C


def _owners(spec: ModelSpec, term: Term) -> NDArray[np.intp]:
    """(k,) trait of each effect, −1 for one that several traits have."""
    out = np.full(term.k, -1, dtype=np.intp)
    for a in range(term.k):
        traits = np.unique(spec.traits.trait[term.basis[:, a] != 0.0])
        if len(traits) == 1:
            out[a] = traits[0]
    return out
