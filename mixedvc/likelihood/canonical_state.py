"""G and R of several traits diagonalised together: in canonical traits V is diagonal.

With S = cG + R = M Mᵀ (c a typical eigenvalue of K) and M⁻¹GM⁻ᵀ = Q Λ Qᵀ, T = QᵀM⁻¹ gives T G Tᵀ = Λ and
T R Tᵀ = I − cΛ, so V = d_i G + R has the canonical variances v_ic = d_i λ_c + ρ_c.  Neither G nor R need be regular.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from .canonical_records import CanonicalFrame

Float = NDArray[np.float64]
_AT_ONCE = 1 << 21  # products of columns held at a time


class CanonicalState:
    """One (G, R): T (t×t), the weights w = 1/v (n', t) and log|V| of the working rows."""

    def __init__(self, frame: CanonicalFrame, G: Float, R: Float):
        self.frame = frame
        n, t = frame.records.cells.shape
        typical = float(frame.copies @ frame.d) / n
        M = la.cholesky(typical * G + R)
        inverse = la.solve_triangular(M, np.eye(t))
        half = inverse @ G @ inverse.T
        _, vectors = la.small_eigh(0.5 * (half + half.T))
        self.T = T = vectors.T @ inverse
        # both diagonals directly: 1 − cλ would lose the digits of a small residual
        self.of_G, self.of_R = (np.einsum("ca,ab,cb->c", T, Sigma, T) for Sigma in (G, R))
        v = np.multiply.outer(frame.d, self.of_G) + self.of_R
        if not v.min() > 0.0:
            raise la.NotPositiveDefinite(int(np.argmin(v.min(axis=1))) + 1)
        self.w = 1.0 / v
        self.logdet = n * la.logdet_from_cholesky(M) + float(frame.copies @ np.log(v).sum(axis=1))

    def canonical(self, B: Float) -> Float:
        """(n', t, …) of traits → of canonical traits."""
        return _along_traits(self.T, B)

    def traits(self, B: Float) -> Float:
        """Tᵀ of canonical traits: what V⁻¹ = Tᵀ diag(w) T ends with."""
        return _along_traits(self.T.T, B)

    def outside(self, B: Float) -> Float:
        """V⁻¹ B (n, t, …) in the directions that the frame leaves out, where V = R ⊗ I."""
        return _along_traits((self.T.T / self.of_R) @ self.T, B)

    def powers(self, highest: int) -> list[Float]:
        """[w, d∘w, d²∘w, …] (n', t)."""
        out = [self.w]
        for _ in range(highest):
            out.append(self.frame.d[:, None] * out[-1])
        return out


def _along_traits(A: Float, B: Float) -> Float:
    """(n, t, …) ↦ Σ_b A_ab B_nb…"""
    if B.ndim == 2:
        return B @ A.T
    return np.matmul(A, B.reshape(*B.shape[:2], math.prod(B.shape[2:]))).reshape(B.shape)


def weighted_grams(Z: Float, weights: Float) -> Float:
    """(k, r, r) Zᵀ diag(weights_k) Z of every column of weights (n, k)."""
    n, r = Z.shape
    total = np.zeros((weights.shape[1], r * r))
    step = max(1, _AT_ONCE // max(r * r, 1))
    for at in range(0, n, step):
        total += weights[at : at + step].T @ _squares(Z[at : at + step])
    return total.reshape(-1, r, r)


def quadratic_forms(Z: Float, W: Float) -> Float:
    """(n, k) z_iᵀ W_k z_i of every row of Z (n, r) and matrix of W (k, r, r)."""
    n, r = Z.shape
    out = np.empty((n, len(W)))
    step = max(1, _AT_ONCE // max(r * r, 1))
    for at in range(0, n, step):
        out[at : at + step] = _squares(Z[at : at + step]) @ W.reshape(len(W), r * r).T
    return out


def _squares(Z: Float) -> Float:
    """(n, r²) products of two columns."""
    return (Z[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
