"""Working parameters of a term, by regression given everything else: parameter expansion and loadings.

u = η D: each effect is a working parameter α_a times η_a, and the rows are a regression on Z_a η_a with residual
covariance R (Liu, Rubin & Wu 1998; Gelman et al. 2008).  u = b Bᵀ of independent b: the rows are a regression on the
entries of the root B(par) of Σ, which moves where p(u | Σ) does not let Σ move, beside zero (Papaspiliopoulos,
Roberts & Sköld 2007; Yu & Meng 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """What rows e with residual covariance R say of the coefficients of columns M: exp(hᵀx − ½ xᵀHx)."""

    M: Float
    H: Float
    h: Float

    @staticmethod
    def of(M: Float, RM: Float, e: Float) -> Regression:
        """From columns M (rows, c), R⁻¹M and rows e."""
        H = M.T @ RM
        return Regression(M, 0.5 * (H + H.T), RM.T @ e)

    def log_density(self, x: Float) -> Float:
        """(K,) of coefficients x (K, c), up to a constant."""
        return np.asarray(x @ self.h - 0.5 * np.einsum("kc,kc->k", x @ self.H, x))

    @property
    def explained(self) -> float:
        """What the columns explain of the rows, in units of R: how sharply their size is known."""
        size = np.sqrt(np.maximum(np.diagonal(self.H), 1e-300))
        x = la.small_solve(self.H / size[:, None] / size + 1e-8 * np.eye(len(size)), self.h / size)
        return float(self.h / size @ x)

    def draw(self, mean: Float, cov: Float, rng: np.random.Generator) -> Float:
        """Coefficients under a prior N(mean, cov)."""
        size = np.sqrt(np.diagonal(cov))  # coefficients may have any units
        outer = size[:, None] * size
        prior = la.stacked_inverse(cov / outer)
        L = la.small_cholesky(prior + self.H * outer)
        given = la.solve_triangular(L, prior @ (mean / size) + self.h * size)
        return size * la.solve_triangular(L, given + rng.standard_normal(len(mean)), trans=True)
