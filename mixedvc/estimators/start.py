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
    for term in spec.all_terms:
        diagonal = term.covariance.diagonal(term.positions)[term.codes]
        size = np.sqrt(np.maximum(np.mean(term.basis**2 * diagonal[:, None], axis=0), 0.0))
        structure = term.structure
        if not structure.linear and structure.n_par <= structure.k:
            # D Σ D stays in a family with one common variance only where D is a multiple of the identity
            size = np.full(term.k, np.sqrt(np.mean(size**2)))
        sizes.append(np.where(size > 0, size, 1.0))
    factor = np.array([variance / (sizes[w.term][w.a] * sizes[w.term][w.b]) for w in spec.index])
    return Units(variance, tuple(sizes), factor)


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
