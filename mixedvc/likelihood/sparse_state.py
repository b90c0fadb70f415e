"""V(θ) through sparse mixed-model equations: log|V|, V⁻¹U, V_jU, tr(V⁻¹V_j) for their non-zeros (MATH: 2c).

    V = ZΛG(ZΛ)ᵀ + R,   log|V| = log|R| + log|H| + log|G|,   V⁻¹ = R⁻¹ − R⁻¹ZΛH⁻¹ΛᵀZᵀR⁻¹,   G = blockdiag(I ⊗ Q_i⁻¹)

With S_i the k×k matrix of tr(V⁻¹Z_aA_iZ_bᵀ), S_i = (½ ∂log|H|/∂L_i) L_i⁻¹: entries of H⁻¹ on the pattern, no
difference of large numbers.  A zero eigenvalue of Σ enters as one so small that V does not feel it, for that quotient.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..errors import MixedVCError
from ..linalg import dense as la
from ..linalg.dense import NotPositiveDefinite
from .gaussian import levels_matmat
from .rows import Rows
from .sparse_equations import Equations
from .sparse_products import apply_working, level_sums

Float = NDArray[np.float64]
FLOOR = 1e-13  # least eigenvalue of Σ, in units in which it moves V by that part of the residual variance
_NEGATIVE = 1e-9  # relative size of a negative eigenvalue that is not rounding
MOST_ROWS = 20_000  # rows up to which a solve for each is thought worth it
_CHUNK = 4_000_000  # numbers in one slab of columns


class SparseState:
    """V at one θ; working rows are the coordinates (see `mixedvc.likelihood.gaussian.State`).

    Parameters
    ----------
    equations : Equations
    rows : Rows
    norms : list of (k_i,)
        Largest eigenvalue of Z_aA_iZ_aᵀ for each effect as it stands in the equations.
    theta : (m,)
    """

    def __init__(self, equations: Equations, rows: Rows, norms: list[Float], theta: Float):
        self.equations, self.rows, self.theta = equations, rows, theta
        *sigmas, residual = rows.spec.sigmas(theta)
        if not np.isfinite(theta).all():
            raise NotPositiveDefinite(1)
        self.precision, log_residual = equations.records.inverse(residual)
        cells = equations.records.cell_precision(self.precision)
        found = []
        for i, (S, norm) in enumerate(zip(sigmas, norms, strict=True)):
            unit = np.sqrt(norm * np.where(equations.touched[i], cells, 0.0).max(axis=1, initial=0.0))
            unit = np.where(unit > 0.0, unit, 1.0)
            rounding = equations.turned.rounding(i, S, unit)
            found.append(_root(equations.turned.sigma(i, S), unit, rounding))
        self.roots = [root for root, _ in found]
        self._inverses = [inverse for _, inverse in found]
        self.products = equations.products(self.precision)
        self.factor = equations.analysis.factor(equations.values(self.roots, self.products))
        self.logdet = log_residual + self.factor.logdet + equations.logdet

    def weighted(self, U: Float) -> Float:
        """R⁻¹U (n, c)."""
        return np.asarray(self._weights @ U)

    @cached_property
    def _weights(self) -> Any:
        return self.equations.records.matrix(self.precision)

    def solve(self, U: Float) -> Float:
        given = self.weighted(U)
        return given - self.weighted(self.equations.spread(self.roots, self.effects(given)))

    def effects(self, given: Float) -> Float:
        """H⁻¹ΛᵀZᵀ of R⁻¹U (n, c)."""
        return self.factor.solve(self.equations.gather(self.roots, given))

    def half_effects(self, given: Float) -> Float:
        """L⁻¹ΛᵀZᵀ of R⁻¹U (n, c), H = LLᵀ."""
        return self.factor.half_solve(self.equations.gather(self.roots, given))

    def apply(self, U: Float) -> Float:
        return apply_working(self.rows, self.equations, U)

    @cached_property
    def inverse(self) -> Float:
        """Entries of H⁻¹ on the pattern."""
        return self.factor.inverse_entries()

    def traces(self) -> Float:
        gradients = self.equations.gradients(self.roots, self.products, self.inverse)
        out = []
        for term, M, back in zip(self.rows.spec.terms, gradients, self._inverses, strict=True):
            out += _by_pairs(term, M @ back)
        return np.array(out + _by_pairs(self.rows.spec.residual, self.cells))

    @cached_property
    def cells(self) -> Float:
        """(k, k) tr(V⁻¹Z_aZ_bᵀ) of the residual's cells."""
        return self.equations.records.unexplained(self.precision, self.equations.explained(self.roots, self.inverse))

    def _columns(self) -> list[Float]:
        n, m = self.rows.n, len(self.theta)
        step = max(1, _CHUNK // (n * (m + 1)))
        return [np.eye(n)[:, at : at + step] for at in range(0, n, step)]

    def pair_traces(self) -> Float:
        m = len(self.theta)
        total = np.zeros((m, m))
        for U in self._columns():
            left = self.apply(self.solve(U)).reshape(m, -1)
            right = np.stack([self.solve(VU) for VU in self.apply(U)]).reshape(m, -1)
            total += left @ right.T
        return total

    def cross_traces(self) -> Float:
        if self.rows.n > MOST_ROWS:
            raise MixedVCError(
                f"tr(V_jPV_k) of {self.rows.n:,} rows (the M step of method='pxem') takes one sparse solve a row and "
                "component: use method='reml', 'ml', 'em' or 'mm', which reach the same optimum without it"
            )
        m = len(self.theta)
        total = np.zeros((m, m))
        for U in self._columns():
            VU = self.apply(U)
            total += VU.reshape(m, -1) @ np.stack([self.solve(W) for W in VU]).reshape(m, -1).T
        return total


def _by_pairs(term: Term, S: Float) -> list[float]:
    """tr(V⁻¹V_j) of a term's parameters from S_ab = tr(V⁻¹Z_aAZ_bᵀ)."""
    return [float(S[a, a] if a == b else S[a, b] + S[b, a]) for a, b in term.structure.pairs]


def _root(Sigma: Float, unit: Float, rounding: float) -> tuple[Float, Float]:
    """L with LLᵀ = Σ, column by column along Σ's eigenvectors, and L⁻¹; eigenvalues are floored in units 1/unit²."""
    values, vectors = la.small_eigh(Sigma * unit[:, None] * unit)
    if values[0] < -_NEGATIVE * max(values[-1], 0.0) - FLOOR - rounding:
        raise NotPositiveDefinite(1)
    sizes = np.sqrt(np.where(values > rounding, np.maximum(values, FLOOR), FLOOR))
    return vectors * sizes / unit[:, None], (vectors * unit[:, None] / sizes).T


def largest_eigenvalues(equations: Equations, rows: Rows, steps: int = 8) -> list[Float]:
    """About the largest eigenvalue of Z_aA_iZ_aᵀ for each effect of each term, by the power method."""
    start = np.random.default_rng(7).standard_normal((rows.n, 1))
    found = []
    for i, term in enumerate(rows.spec.terms):
        norms = np.ones(term.k)
        for a, x in enumerate(equations.turned.basis(i, rows.basis(term)).T):
            v = start
            for _ in range(steps):
                v = x[:, None] * levels_matmat(term, level_sums(term, x, v))[term.codes]
                size = float(np.sqrt(np.vdot(v, v)))
                if size == 0.0:
                    break
                norms[a], v = size, v / size
        found.append(norms)
    return found
