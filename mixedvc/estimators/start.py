"""Units in which every component is of order one, and a start from the moment equations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la

Float = NDArray[np.float64]
FLOOR = 0.05  # of the response's variance: a moment estimate at or below zero starts here


@dataclass(frozen=True)
class Units:
    """Σ_term = variance · D Σ_scaled D with D = diag(1/size of each effect): scaled components are of order one.

    Attributes
    ----------
    variance : float
        Least-squares residual variance of the (working) response.
    sizes : tuple of (k,)
        Root mean square of each effect times the root of the mean diagonal of A.
    factor : (m,)
        θ = factor · θ_scaled.
    """

    variance: float
    sizes: tuple[Float, ...]
    factor: Float

    def up(self, term: int, Sigma: Float) -> Float:
        """Scaled Σ → the user's."""
        d = 1.0 / self.sizes[term]
        return self.variance * d[:, None] * Sigma * d

    def down(self, term: int, Sigma: Float) -> Float:
        """The user's Σ → scaled."""
        d = self.sizes[term]
        return Sigma * d[:, None] * d / self.variance


def units_of(spec: ModelSpec, variance: float) -> Units:
    """Units for a response of least-squares residual `variance` (on the user's scale, prior weights of mean one)."""
    sizes = []
    expected = _row_variances(spec, variance)
    for term in spec.all_terms:
        diagonal = term.covariance.diagonal(term.positions)[term.codes]
        squares = np.maximum(term.basis**2 * diagonal[:, None], 0.0)
        size = np.sqrt(np.mean(squares, axis=0) if expected is None else _relative(squares, expected))
        structure = term.structure
        if not structure.linear and structure.n_par <= structure.k:
            # D Σ D stays in a family with one common variance only where D is a multiple of the identity
            size = np.full(term.k, np.sqrt(np.mean(size**2)))
        sizes.append(np.where(size > 0, size, 1.0))
    factor = np.array([variance / (sizes[w.term][w.a] * sizes[w.term][w.b]) for w in spec.index])
    return Units(variance, tuple(sizes), factor)


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


def moment_start(spec: ModelSpec, moments: tuple[Float, Float], units: Units) -> list[Float]:
    """Scaled Σ of every term from S θ = q, each made positive definite with eigenvalues at least FLOOR."""
    S, q = moments
    f = units.factor
    theta = la.lstsq(S * f[:, None] * f, q * f)
    out = []
    for Sigma in spec.sigmas(theta):
        k = len(Sigma)
        limited = np.clip(Sigma, -4.0, 4.0)
        out.append(la.nearest_psd(limited, FLOOR / k) if np.isfinite(limited).all() else np.eye(k) * 0.5)
    return out
