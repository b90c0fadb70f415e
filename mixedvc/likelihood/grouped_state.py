"""V = σ²I + Σ Z_f (I ⊗ Σ_f) Z_fᵀ at one θ: the first factor eliminated level by level, the rest factored (MATH: 2b).

With Σ_f = L_f L_fᵀ, N_l = Z_lᵀZ_l of the first factor and A_l = Z_lᵀZ_rest,

    M_l = L(σ²I + LᵀN_lL)⁻¹Lᵀ,   G = Z_restᵀZ_rest − Σ_l A_lᵀM_lA_l,   S = ΛᵀGΛ + σ²I,   Λ = diag(I ⊗ L_f)

log|V| = n log σ² + Σ log|I + LᵀN_lL/σ²| + log|S/σ²|, and û = E(u|y) solves with S.  Nothing is divided by Σ, so that
a variance of zero and a singular Σ are like any other.  H = σ²ΛS⁻¹Λᵀ is the covariance of the other factors' effects
given y; its entries between effects that meet, and no others, give every trace.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.component_stack import StackFactor, factor_stack, symmetric
from ..linalg.small_stacks import multiply, spd_inverse
from .grouped_elimination import Elimination
from .grouped_layout import Factor, Layout, Stack

Float = NDArray[np.float64]
SAFE = 1e-4  # least relative weight of a factor's data beside its prior at which dividing by Σ loses no digits


class GroupedState:
    """V at one θ, in working rows."""

    def __init__(self, layout: Layout, elimination: Elimination, theta: Float, n: int):
        self.layout, self.elimination, self.theta, self.n = layout, elimination, theta, n
        self.sigma2 = float(theta[-1])
        if not self.sigma2 > 0.0:
            raise la.NotPositiveDefinite(1)
        sigmas = layout.spec.sigmas(theta)
        working = [layout.turned.sigma(i, Sigma) for i, Sigma in enumerate(sigmas[:-1])]
        roots = [root_of_sigma(S, layout.turned.rounding(i, sigmas[i])) for i, S in enumerate(working)]
        self.sigmas = [_joined(factor, working) for factor in layout.factors]
        self.roots = [_joined(factor, roots) for factor in layout.factors]
        L, N = self.roots[0], layout.own[0]
        W = multiply(multiply(L.T, N), L)
        W[np.diag_indices(len(L))] += self.sigma2
        self.inner, logdet = spd_inverse(W)  # (σ²I + LᵀNL)⁻¹
        self.M = multiply(multiply(L, self.inner), L.T)
        self.logdet = self._eliminated() + logdet + (n - layout.size) * float(np.log(self.sigma2))

    def _eliminated(self) -> float:
        """Factor what is left of the other factors; log|S|."""
        self._reduced = self.layout.base - self.elimination.taken(self.M)
        self._factors: list[StackFactor] = []
        scaled = self._mix(self._reduced.copy(), transpose=True)
        for stack in self.layout.storage.stacks:
            view = stack.view(scaled)
            np.einsum("bss->bs", view)[...] += self.sigma2
            self._factors.append(factor_stack(view))
        return sum(factor.logdet for factor in self._factors)

    def _mix(self, stored: Float, *, transpose: bool) -> Float:
        """Λᵀ(·)Λ in place, or Λ(·)Λᵀ without `transpose`, of symmetric matrices in storage."""
        for stack in self.layout.storage.stacks:
            view = stack.view(stored)
            scale = np.ones(view.shape[1])
            for f, part in stack.parts:
                if len(self.roots[f]) == 1:
                    scale[part] = self.roots[f][0, 0]
            if not (scale == 1.0).all():
                view *= scale[:, None]
                view *= scale
            for f, part in stack.parts:
                L = self.roots[f].T if transpose else self.roots[f]
                if len(L) > 1:
                    b, s, _ = view.shape
                    rows = view[:, part, :].reshape(b, -1, len(L), s)
                    view[:, part, :] = np.einsum("ac,bqcs->bqas", L, rows).reshape(b, -1, s)
                    columns = view[:, :, part].reshape(b, s, -1, len(L))
                    view[:, :, part] = (columns @ L.T).reshape(b, s, -1)
        return stored

    # ---- solves ---------------------------------------------------------------------------------------------

    def _root_times(self, B: Float, *, transpose: bool) -> Float:
        """Λ B, or Λᵀ B, for B (effects after the first factor, c)."""
        out, skip = np.empty_like(B), self.layout.first.size
        for factor, L in zip(self.layout.factors[1:], self.roots[1:], strict=True):
            at = slice(factor.start - skip, factor.start - skip + factor.size)
            L = L.T if transpose else L
            if len(L) == 1:
                out[at] = L[0, 0] * B[at]
            else:
                out[at] = np.einsum("ab,qbc->qac", L, B[at].reshape(factor.q, factor.k, -1)).reshape(factor.size, -1)
        return out

    def _solve_rest(self, B: Float) -> Float:
        """S⁻¹ B."""
        out = np.empty_like(B)
        for stack, factor in zip(self.layout.storage.stacks, self._factors, strict=True):
            out[stack.index] = factor.solve(B[stack.index])
        return out

    def effects(self, ZU: Float) -> tuple[Float, Float]:
        """û = D Zᵀ V⁻¹ U (all effects, c) from ZᵀU, and b with û = Λ b and bᵀb = ûᵀD⁻¹û."""
        layout, first = self.layout, self.layout.first
        u, b = np.empty_like(ZU), np.empty_like(ZU)
        top, rest = ZU[first.where], slice(first.size, None)
        if layout.rest:
            left = ZU[rest] - layout.across.T @ self._levels_times(self.M, top)
            b[rest] = self._solve_rest(self._root_times(left, transpose=True))
            u[rest] = self._root_times(b[rest], transpose=False)
            top = top - layout.across @ u[rest]
        half = multiply(self.inner, np.broadcast_to(self.roots[0].T[:, :, None], self.inner.shape))
        b[first.where] = self._levels_times(half, top)
        u[first.where] = self._levels_times(np.broadcast_to(self.roots[0][:, :, None], self.M.shape), b[first.where])
        return u, b

    def _levels_times(self, M: Float, B: Float) -> Float:
        """M_l B_l of every level of the first factor, M (k, k, q) and B (q·k, c)."""
        first = self.layout.first
        if first.k == 1:
            return M[0, 0][:, None] * B
        return np.einsum("abq,qbc->qac", M, B.reshape(first.q, first.k, -1)).reshape(B.shape)

    def solve(self, U: Float) -> Float:
        """V⁻¹ U for U (n, c)."""
        Z = self.layout.Z
        return (U - Z @ self.effects(Z.T @ U)[0]) / self.sigma2

    # ---- posterior covariances ------------------------------------------------------------------------------

    @cached_property
    def H(self) -> Float:
        """Cov of the other factors' effects given y (fixed effects known), in storage."""
        found = [factor.inverse().reshape(-1) for factor in self._factors]
        out = found[0] if len(found) == 1 else np.concatenate([np.empty(0), *found])
        above, below = self.layout.storage.mirrored
        out[above] = out[below]
        out = self._mix(out, transpose=False)
        out *= self.sigma2
        return out

    @cached_property
    def _AHA(self) -> Float:
        """(k, k, q) A_l H A_lᵀ."""
        return self.elimination.given(self.H)

    def own_block(self, f: int, stored: Float) -> Float:
        """(k, k, q) diagonal blocks of a stored matrix that belong to the levels of factor f ≥ 1."""
        factor, storage = self.layout.factors[f], self.layout.storage
        heads = factor.start - self.layout.first.size + np.arange(factor.q) * factor.k
        effects = range(factor.k)
        return np.array([[stored[storage.place(heads + a, heads + b)] for b in effects] for a in effects])

    def posterior(self, f: int) -> Float:
        """(k, k, q) Cov(u_l | y), fixed effects known, of the levels of factor f."""
        if f:
            return self.own_block(f, self.H)
        return self.sigma2 * self.M + multiply(multiply(self.M, self._AHA), self.M)

    # ---- traces ---------------------------------------------------------------------------------------------

    @cached_property
    def P(self) -> Float:
        """(k, k, q) (σ²I + N_lΣ)⁻¹ of the first factor's levels."""
        if self.layout.first.k == 1:
            return self.inner
        N, Sigma = self.layout.own[0], self.sigmas[0]
        unit = np.eye(len(Sigma))[:, :, None]
        P = (unit - multiply(N, self.M)) / self.sigma2
        left = unit - self.sigma2 * P - multiply(N, multiply(Sigma, P))
        return P + multiply(P, left)  # what rounding took beside a large N Σ

    @cached_property
    def alone(self) -> Float:
        """(k, k, q) Z_lᵀV_1⁻¹Z_l of the first factor, V_1 = σ²I + Z_1(I ⊗ Σ_1)Z_1ᵀ."""
        return multiply(self.P, self.layout.own[0])

    @cached_property
    def lost(self) -> Float:
        """(k, k, q) what the other factors take from `alone`: P_l A_l H A_lᵀ P_lᵀ."""
        return multiply(multiply(self.P, self._AHA), self.P.swapaxes(0, 1))

    @cached_property
    def block_traces(self) -> list[Float]:
        """For each factor (k, k): Σ_l Z_lᵀV⁻¹Z_l."""
        out = [(self.alone - self.lost).sum(axis=2)]
        for f in range(1, len(self.layout.factors)):
            out.append(self._trace_by_prior(f) if self.divisible(f) else self._trace_by_data(f))
        return out

    def divisible(self, f: int) -> bool:
        """Whether factor f's data weigh enough beside its prior that Σ⁻¹ − Σ⁻¹HΣ⁻¹ keeps its digits."""
        L = self.roots[f]
        mean = self.own_block(f, self._reduced).mean(axis=2)
        return bool(la.small_eigh(L.T @ mean @ L)[0][0] > SAFE * self.sigma2)

    def _trace_by_prior(self, f: int) -> Float:
        inverse = la.inverse_psd(self.sigmas[f])
        held = self.own_block(f, self.H).sum(axis=2)
        return self.layout.factors[f].q * inverse - inverse @ held @ inverse

    def _trace_by_data(self, f: int) -> Float:
        """Σ_l of the blocks of (G − GΛS⁻¹ΛᵀG)/σ²: right for a Σ that is zero, singular or next to it."""
        k = self.layout.factors[f].k
        total = self.own_block(f, self._reduced).sum(axis=2)
        for stack, factor in zip(self.layout.storage.stacks, self._factors, strict=True):
            part = dict(stack.parts).get(f)
            if part is None:
                continue
            G = symmetric(stack.view(self._reduced))[:, :, part]
            X = self.mix_rows(stack, G)
            b, s, _ = X.shape
            solved = factor.solve(X).reshape(b, s, -1, k)
            total = total - np.einsum("bsqa,bsqc->ac", X.reshape(b, s, -1, k), solved, optimize=True)
        return total / self.sigma2

    def mix_rows(self, stack: Stack, B: Float) -> Float:
        """Λᵀ B for B (b, s, c) in the rows of a stack."""
        out = np.empty_like(B)
        for f, part in stack.parts:
            L = self.roots[f]
            rows = B[:, part].reshape(len(B), -1, len(L), B.shape[2])
            out[:, part] = np.einsum("ca,bqcs->bqas", L, rows).reshape(len(B), -1, B.shape[2])
        return out


def _joined(factor: Factor, sigmas: list[Float]) -> Float:
    """One k×k matrix for all effects of a factor: its terms' matrices along the diagonal."""
    if len(factor.members) == 1:
        return sigmas[factor.members[0][0]]
    out = np.zeros((factor.k, factor.k))
    for term, at in factor.members:
        size = len(sigmas[term])
        out[at : at + size, at : at + size] = sigmas[term]
    return out


def root_of_sigma(Sigma: Float, rounding: float) -> Float:
    """L with Σ = L Lᵀ; eigenvalues that may be nothing but rounding (absolute) are zero.

    Raises
    ------
    NotPositiveDefinite
        Where Σ has a negative eigenvalue beyond rounding: this likelihood is for Σ ⪰ 0.
    """
    if len(Sigma) == 1:
        if Sigma[0, 0] < 0.0:
            raise la.NotPositiveDefinite(1)
        return np.sqrt(Sigma)
    unit = np.ones(len(Sigma))
    if not rounding:
        scale = np.sqrt(np.maximum(np.diagonal(Sigma), 0.0))
        unit = np.where(scale > 0.0, scale, 1.0)
    values, vectors = la.small_eigh(Sigma / unit[:, None] / unit)
    if values[0] < -1e-9 * max(values[-1], 0.0 if rounding else 1.0) - 100.0 * rounding:
        raise la.NotPositiveDefinite(1)
    return unit[:, None] * vectors * np.sqrt(np.where(values > rounding, values, 0.0))
