"""Units in which every component is of order one, and a start from the moment equations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.columns import orthogonalising
from .trait_units import TraitUnits, trait_units

Float = NDArray[np.float64]
FLOOR = 0.05  # of the response's variance: a moment estimate at or below zero starts here


@dataclass(frozen=True)
class Units:
    """Σ_term = variance · T Σ_scaled Tᵀ: scaled components are of order one, and effects are orthogonal over the rows.

    T = D C, D = diag(1/size of each effect).  C is the identity but for unstructured terms, where it makes the effects
    orthogonal: the intercept and slope of a covariate far from zero (a year) have correlation −1 to six digits
    whatever happens in the rows, and no eigenvalue of a merely rescaled Σ would tell that from a singular one.  It
    makes the effects of several traits those of uncorrelated ones (`trait_units`).

    Attributes
    ----------
    variance : float
        Least-squares residual variance of the (working) response.
    sizes : tuple of (k,)
        Root mean square of each effect times the root of the mean diagonal of A.
    turns : tuple of (k, k) or None
        C of each term; None for the identity.
    factor : (m,)
        θ = factor · vech(C Σ_scaled Cᵀ).
    mixing : tuple of (slice, matrix)
        vech(C Σ_scaled Cᵀ) = matrix · vech(Σ_scaled) where C is not the identity.
    """

    variance: float
    sizes: tuple[Float, ...]
    turns: tuple[Float | None, ...]
    factor: Float
    mixing: tuple[tuple[slice, Float], ...]

    def transform(self, term: int) -> Float:
        """T (k, k): the effects in scaled units are basis · T."""
        C, d = self.turns[term], 1.0 / self.sizes[term]
        return np.diag(d) if C is None else d[:, None] * C

    def up(self, term: int, Sigma: Float) -> Float:
        """Scaled Σ → the user's."""
        d, C = 1.0 / self.sizes[term], self.turns[term]
        if C is not None:
            Sigma = _cleared(C @ Sigma @ C.T)
        return self.variance * d[:, None] * Sigma * d

    def down(self, term: int, Sigma: Float) -> Float:
        """The user's Σ → scaled."""
        d, C = self.sizes[term], self.turns[term]
        Sigma = Sigma * d[:, None] * d / self.variance
        return Sigma if C is None else la.small_solve(C, la.small_solve(C, Sigma).T)

    def dual(self, values: Float) -> Float:
        """∂/∂θ → ∂/∂θ_scaled: of a score, quad or trace (m,)."""
        out = values * self.factor
        for at, K in self.mixing:
            out[at] = K.T @ out[at]
        return out

    def directions(self, J: Float) -> Float:
        """Directions (r, m) of θ_scaled → of θ."""
        out = np.array(J)
        for at, K in self.mixing:
            out[:, at] = out[:, at] @ K.T
        return out * self.factor

    def information(self, matrix: Float) -> Float:
        """An information (m, m) of θ → of θ_scaled."""
        out = matrix * self.factor[:, None] * self.factor
        for at, K in self.mixing:
            out[at] = K.T @ out[at]
            out[:, at] = out[:, at] @ K
        return out


_NOTHING = 1e-14  # a variance, over the response's, that only rounding tells from zero


def _cleared(Sigma: Float) -> Float:
    """Exact zeros where a transformed Σ has an effect of no variance but for rounding."""
    none = (np.abs(np.diagonal(Sigma)) < _NOTHING) & (np.abs(Sigma).max(axis=1) < 1e-6)
    return np.where(none[:, None] | none, 0.0, Sigma) if none.any() else Sigma


def units_of(spec: ModelSpec, variance: float, held: Collection[int] = ()) -> Units:
    """Units for a response of least-squares residual `variance` (on the user's scale, prior weights of mean one).

    Terms that are `held` at given values are not turned, so that their values come back as they were given.
    """
    sizes: list[Float] = []
    turns: list[Float | None] = []
    traits = trait_units(spec)
    expected = _row_variances(spec, variance) if traits is None else traits.rows / variance
    for i, term in enumerate(spec.all_terms):
        diagonal = term.covariance.diagonal(term.positions)[term.codes]
        squares = np.maximum(term.basis**2 * diagonal[:, None], 0.0)
        size = np.sqrt(np.mean(squares, axis=0) if expected is None else _relative(squares, expected))
        structure = term.structure
        if not (structure.linear or hasattr(structure, "scaled")) and structure.n_par <= structure.k:
            # D Σ D stays in a family with one common variance only where D is a multiple of the identity
            size = np.full(term.k, np.sqrt(np.mean(size**2)))
        sizes.append(np.where(size > 0, size, 1.0))
        free = structure.name in ("us", "rr") and term.k > 1 and i not in held
        turns.append(_turn(spec, term, np.maximum(diagonal, 0.0), traits) if free else None)
    factor = np.array([variance / (sizes[w.term][w.a] * sizes[w.term][w.b]) for w in spec.index])
    return Units(variance, tuple(sizes), tuple(turns), factor, _mixing(spec, turns))


def _turn(spec: ModelSpec, term: Term, diagonal: Float, traits: TraitUnits | None) -> Float | None:
    """C of a free term: effects orthogonal over the rows, and those of several traits of uncorrelated ones."""
    over_rows = orthogonalising(term.basis, diagonal)
    across = None if traits is None else traits.turn(spec, term)
    if over_rows is None or across is None:
        return across if over_rows is None else over_rows
    return over_rows @ across


def _mixing(spec: ModelSpec, turns: list[Float | None]) -> tuple[tuple[slice, Float], ...]:
    """Each turn as it acts on vech(Σ), with the place of its term in θ."""
    out: list[tuple[slice, Float]] = []
    at = 0
    for term, C in zip(spec.all_terms, turns, strict=True):
        pairs = term.structure.pairs
        if C is not None:
            a, b = np.array(pairs).T
            K = C[np.ix_(a, a)] * C[np.ix_(b, b)] + C[np.ix_(a, b)] * C[np.ix_(b, a)]
            out.append((slice(at, at + len(pairs)), np.where(a == b, 0.5, 1.0) * K))
        at += len(pairs)
    return tuple(out)


def _row_variances(spec: ModelSpec, variance: float) -> Float | None:
    """(n,) least-squares residual variance of each row over `variance`, where the residual has several; else None.

    Samples measured in different units differ by many orders of magnitude.
    """
    if spec.residual.k == 1:
        return None
    y = spec.response
    left = y - spec.X @ la.lstsq(spec.X, y) if spec.p else y
    B = spec.residual.basis**2
    own = (left**2 @ B) / np.maximum((B**2).sum(axis=0), 1e-300)
    rows = B @ own / variance
    return np.maximum(rows, 1e-26 * max(float(rows.max()), 1e-300))


def _relative(squares: Float, expected: Float) -> Float:
    """(k,) what a unit of each effect's variance adds to the rows that have it, over what is expected there."""
    there = squares > 0.0
    return squares.sum(axis=0) / np.maximum(np.where(there, expected[:, None], 0.0).sum(axis=0), 1e-300)


def _solved(S: Float, q: Float) -> Float:
    """S⁻¹q of a positive semi-definite S, each equation in its own unit."""
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(S), 1e-300))
    return la.lstsq(S * scale[:, None] * scale, q * scale) * scale


def moment_start(spec: ModelSpec, moments: tuple[Float, Float], units: Units) -> list[Float]:
    """Scaled Σ of every term from S θ = q, each made positive definite with eigenvalues at least FLOOR."""
    S, q = moments
    traits = trait_units(spec)
    if traits is not None:  # equations of one pair of traits each: put in those traits' units they weigh the same
        size = traits.sizes_of_parameters(spec)
        units, q = replace(units, factor=units.factor / size), q / size
    theta = _solved(units.information(S), units.dual(q))
    out = []
    for Sigma in spec.sigmas(theta):
        k = len(Sigma)
        limited = np.clip(Sigma, -4.0, 4.0)
        out.append(la.nearest_psd(limited, FLOOR / k) if np.isfinite(limited).all() else np.eye(k) * 0.5)
    return out
