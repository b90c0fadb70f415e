"""Effects of vector terms made orthogonal over the rows, and the linear parameters that go with them.

The intercept and slope of a covariate far from zero (a year) are all but collinear: of numbers on the user's scale
many digits cancel.  With basis·T in the place of basis, Σ becomes T⁻¹ΣT⁻ᵀ; its entries are a linear map K of the
user's, so that scores and informations go back through Kᵀ(·)K.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la
from ..linalg.columns import condition, orthogonalising

Float = NDArray[np.float64]
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class OrthogonalEffects:
    """T of each random term (None: the effects stay as they are) and K of its parameters.

    Attributes
    ----------
    turns : tuple of (k, k) or None
    inverses : tuple of (k, k) or None
    mixing : tuple of (slice, matrix)
        Working parameters = matrix · the user's, for the terms that are turned.
    """

    turns: tuple[Float | None, ...]
    inverses: tuple[Float | None, ...]
    mixing: tuple[tuple[slice, Float], ...]

    def theta(self, theta: Float) -> Float:
        """The user's θ → working θ."""
        out = np.array(theta)
        for at, K in self.mixing:
            out[at] = K @ out[at]
        return out

    def sigma(self, term: int, Sigma: Float) -> Float:
        """The user's Σ → T⁻¹ΣT⁻ᵀ."""
        inverse = self.inverses[term]
        return Sigma if inverse is None else inverse @ Sigma @ inverse.T

    def rounding(self, term: int, Sigma: Float, unit: Float | None = None) -> float:
        """What rounding of the user's Σ may do to an eigenvalue of T⁻¹ΣT⁻ᵀ: below it a singular Σ looks regular.

        With `unit` (k,): to an eigenvalue of T⁻¹ΣT⁻ᵀ whose effects have been multiplied by these.
        """
        inverse = self.inverses[term]
        if inverse is None:
            return 0.0
        variances = np.square(inverse) @ np.diagonal(Sigma)
        return 4.0 * EPS * float(variances.sum() if unit is None else np.square(unit) @ variances)

    def dual(self, values: Float) -> Float:
        """Derivatives along axis 0 by working θ → by the user's."""
        if not self.mixing:
            return values
        out = np.array(values)
        for at, K in self.mixing:
            out[at] = np.tensordot(K.T, out[at], axes=1)
        return out

    def information(self, matrix: Float) -> Float:
        """A matrix over working θ (m, m) → over the user's."""
        return self.dual(self.dual(matrix).T).T

    def directions(self, D: Float) -> Float:
        """Directions of θ (r, m) → of working θ: D I Dᵀ keeps its digits where the user's information has lost them."""
        out = np.array(D)
        for at, K in self.mixing:
            out[:, at] = out[:, at] @ K.T
        return out

    def basis(self, term: int, basis: Float) -> Float:
        """basis · T."""
        T = self.turns[term]
        return basis if T is None else basis @ T

    def effects(self, term: int, u: Float) -> Float:
        """T u for working effects (q, k)."""
        T = self.turns[term]
        return u if T is None else u @ T.T

    def covariance(self, term: int, cov: Float) -> Float:
        """T C Tᵀ for covariances (q, k, k) of working effects."""
        T = self.turns[term]
        return cov if T is None else np.einsum("ab,qbc,dc->qad", T, cov, T, optimize=True)


def orthogonal_effects(spec: ModelSpec, scale: Float, collinear: float = 0.0) -> OrthogonalEffects:
    """Turn every term all of whose entries of Σ are parameters.

    Parameters
    ----------
    spec : ModelSpec
    scale : (n,)
        Factor of each row: the effects are made orthogonal over working rows.
    collinear : float
        Condition of the effects, each of unit size, below which they stay as they are.
    """
    turns: list[Float | None] = []
    inverses: list[Float | None] = []
    mixing = []
    start = 0
    for term in spec.terms:
        pairs, k = term.structure.pairs, term.k
        T = inverse = None
        if k > 1 and len(pairs) == k * (k + 1) // 2:
            basis = term.basis * scale[:, None]
            C = orthogonalising(basis)
            if C is not None and (not collinear or condition(C) > collinear):
                size = np.sqrt(np.mean(np.square(basis), axis=0))
                T = C / size[:, None]
                inverse = la.small_solve(C, np.diag(size))
                mixing.append((slice(start, start + len(pairs)), _mixing(inverse, pairs)))
        turns.append(T)
        inverses.append(inverse)
        start += len(pairs)
    return OrthogonalEffects(tuple(turns), tuple(inverses), tuple(mixing))


def turned_specification(spec: ModelSpec, turned: OrthogonalEffects) -> ModelSpec:
    """The same model of the turned effects: basis·T of every term in the place of its basis."""
    terms = [replace(term, basis=turned.basis(i, term.basis)) for i, term in enumerate(spec.terms)]
    return replace(spec, terms=tuple(terms))


def _mixing(inverse: Float, pairs: tuple[tuple[int, int], ...]) -> Float:
    """Columns: the entries `pairs` of T⁻¹ET⁻ᵀ for E the pattern of each parameter."""
    columns = []
    for a, b in pairs:
        E = np.outer(inverse[:, a], inverse[:, b])
        E = E if a == b else E + E.T
        columns.append([E[c, d] for c, d in pairs])
    return np.array(columns).T
