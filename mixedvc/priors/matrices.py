"""Rows of structure parameters as matrices: Σ, its Cholesky factor, log-determinant and inverse, many at once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.stacks import stacked_cholesky, stacked_triangular_inverse
from ..structures.base import Structure

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Matrices:
    """Unstructured Σ (K, k, k); where `good` is False it is the identity instead, so that nothing overflows."""

    Sigma: Float
    L: Float
    good: NDArray[np.bool_]

    @cached_property
    def logdet(self) -> Float:
        """(K,) log|Σ|."""
        return np.asarray(2.0 * np.log(np.einsum("nii->ni", self.L)).sum(axis=1))

    @cached_property
    def L_inverse(self) -> Float:
        return stacked_triangular_inverse(self.L)

    @cached_property
    def inverse(self) -> Float:
        """(K, k, k) Σ⁻¹."""
        return self.L_inverse.transpose(0, 2, 1) @ self.L_inverse

    @cached_property
    def inverse_diagonal(self) -> Float:
        """(K, k) diagonal of Σ⁻¹."""
        return np.asarray((self.L_inverse**2).sum(axis=1))

    @property
    def variances(self) -> Float:
        """(K, k)."""
        return np.einsum("nii->ni", self.Sigma)

    def inside(self, log_density: Float) -> Float:
        """−∞ where Σ is not positive definite."""
        return np.where(self.good, log_density, -np.inf)


def matrices(structure: Structure, par: Float) -> Matrices:
    """Of an unstructured term, from its parameters (K, n_par)."""
    par = np.asarray(par, dtype=np.float64)
    k = structure.k
    Sigma = np.zeros((len(par), k, k))
    a, b = np.array(structure.pairs).T
    Sigma[:, a, b] = par
    Sigma[:, b, a] = par
    finite = np.isfinite(par).all(axis=1)
    Sigma[~finite] = -np.eye(k)
    L, good = stacked_cholesky(Sigma)
    if not good.all():
        Sigma[~good] = np.eye(k)
    return Matrices(Sigma, L, good)


def parameters_of(structure: Structure, Sigma: Float) -> Float:
    """(n_par,) of an unstructured term."""
    a, b = np.array(structure.pairs).T
    return Sigma[a, b]


def draw_inverse_wishart(df: float, scale: Float, rng: np.random.Generator) -> Float:
    """(k, k) one draw of IW(df, scale), density ∝ |Σ|^{−(df+k+1)/2} e^{−½ tr(scale Σ⁻¹)}.

    Σ = F (T Tᵀ)⁻¹ Fᵀ with scale = F Fᵀ and T the lower triangle of Bartlett's decomposition of W(df, I).
    """
    k = len(scale)
    T = np.tril(rng.standard_normal((k, k)), -1)
    T[np.diag_indices(k)] = np.sqrt(rng.chisquare(df - np.arange(k)))
    M = la.small_solve(T, la.small_cholesky(scale).T)
    return np.asarray(M.T @ M)
