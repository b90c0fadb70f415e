"""The grouped model at one θ: every quantity of an `Evaluation` from sums over levels (MATH: 2, 2b).

Rows are touched once, for e = y − Xβ̂ − Zû (the sums of squares are then sums of positive numbers, without
cancellation); everything else is done on levels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.products import product
from .gaussian import levels_matmat, prior_draw
from .grouped_pairs import by_identity, cross_traces, pair_traces, parameters
from .grouped_state import GroupedState
from .rows import Rows

Float = NDArray[np.float64]
COLUMNS = 16_000_000  # numbers in the columns that are worked on at a time


class GroupedEvaluation:
    """One θ; parts are computed when first asked for (see `mixedvc.likelihood.base.Evaluation`)."""

    def __init__(self, state: GroupedState, rows: Rows, ZQ: Float, Zy: Float, reml: bool):
        self.state, self.rows, self.theta, self.reml = state, rows, state.theta, reml
        self._ZQ, self._Zy = ZQ, Zy
        self._index, self._turned = parameters(state), state.layout.turned
        self._working = self._turned.theta(self.theta)

    # ---- fixed effects and the criterion --------------------------------------------------------------------

    @cached_property
    def _both(self) -> tuple[Float, Float]:
        """û and b of the columns of Q and of y."""
        return self.state.effects(np.column_stack([self._ZQ, self._Zy]))

    @cached_property
    def _outside(self) -> Float:
        """σ²V⁻¹Q = Q − Zû (n, p) in working rows."""
        u = self._both[0][:, : self.rows.p]
        return self.rows.Q - self.state.layout.Z @ u

    @cached_property
    def _fixed(self) -> tuple[Float, Float, Float]:
        """QᵀV⁻¹Q, its Cholesky factor, and the GLS coefficients of y in Q."""
        p, s2 = self.rows.p, self.state.sigma2
        if not p:
            return np.empty((0, 0)), np.empty((0, 0)), np.empty(0)
        prior = self._both[1][:, :p]
        XVX = product(self._outside.T, self._outside) / s2 + product(prior.T, prior)
        L = la.cholesky(XVX)
        return XVX, L, la.cho_solve(L, self._outside.T @ self.rows.y / s2)

    @cached_property
    def _C(self) -> Float:
        """(QᵀV⁻¹Q)⁻¹."""
        L = self._fixed[1]
        return la.cho_solve(L, np.eye(len(L))) if len(L) else L

    @cached_property
    def _rest(self) -> tuple[Float, float]:
        """e = y − Qb − Zû in working rows, and yᵀPy."""
        (u, b), coef, p = self._both, self._fixed[2], self.rows.p
        e = self.rows.y - self.state.layout.Z @ (u[:, p] - u[:, :p] @ coef)
        if p:
            e -= self.rows.Q @ coef
        prior = b[:, p] - b[:, :p] @ coef
        return e, float(e @ e) / self.state.sigma2 + float(prior @ prior)

    @cached_property
    def loglik(self) -> float:
        return self.rows.loglik(self.state.logdet, self._rest[1], self._fixed[1], self.reml)

    @cached_property
    def beta(self) -> Float:
        return self.rows.beta(self._fixed[2])

    @cached_property
    def beta_cov(self) -> Float:
        return self.rows.on_user_scale(self._C)

    @cached_property
    def Py(self) -> Float:
        return self._rest[0] / self.state.sigma2 * self.rows.scale

    # ---- derivatives ----------------------------------------------------------------------------------------

    @cached_property
    def _ZPy(self) -> Float:
        """ZᵀPy (all effects,)."""
        return self.state.layout.Z.T @ self._rest[0] / self.state.sigma2

    @cached_property
    def _ZVQ(self) -> Float:
        """ZᵀV⁻¹Q (all effects, p)."""
        return self.state.layout.Z.T @ self._outside / self.state.sigma2

    def _patterned(self, B: Float) -> Float:
        """(all effects, m − 1, c): E_j B for every random parameter."""
        layout = self.state.layout
        out = np.zeros((layout.size, len(self._index), B.shape[1]))
        for j, (f, a, b) in enumerate(self._index):
            factor = layout.factors[f]
            given, made = factor.levels(B), out[factor.where, j].reshape(factor.q, factor.k, -1)
            made[:, a] += given[:, b]
            if a != b:
                made[:, b] += given[:, a]
            out[factor.where, j] = made.reshape(factor.size, -1)
        return out

    @cached_property
    def _EZPy(self) -> Float:
        """(all effects, m − 1): V_jPy = Z times these."""
        return self._patterned(self._ZPy[:, None])[:, :, 0]

    @cached_property
    def quad(self) -> Float:
        e = self._rest[0] / self.state.sigma2
        return self._turned.dual(np.append(self._ZPy @ self._EZPy, e @ e))

    @cached_property
    def _plain(self) -> Float:
        """(m − 1,) tr(V⁻¹V_j)."""
        blocks = self.state.block_traces
        return np.array([blocks[f][a, b] * (1.0 if a == b else 2.0) for f, a, b in self._index])

    @cached_property
    def _HVH(self) -> Float:
        """(m, p, p) QᵀV⁻¹V_jV⁻¹Q."""
        p, E = self.rows.p, self._ZVQ
        out = np.empty((len(self.theta), p, p))
        if p:
            for j, (f, a, b) in enumerate(self._index):
                levels = self.state.layout.factors[f].levels(E)
                inner = levels[:, a].T @ levels[:, b]
                out[j] = inner if a == b else inner + inner.T
        out[-1] = product(self._outside.T, self._outside) / self.state.sigma2**2
        return out

    @property
    def _df(self) -> int:
        """tr(TV)."""
        return self.rows.n - (self.rows.p if self.reml else 0)

    @cached_property
    def trace(self) -> Float:
        random = self._plain
        if self.reml:
            random = random - np.einsum("pq,jpq->j", self._C, self._HVH[:-1])
        return self._turned.dual(np.append(random, (self._df - random @ self._working[:-1]) / self.state.sigma2))

    @cached_property
    def score(self) -> Float:
        return 0.5 * (self.quad - self.trace)

    def _gram_of(self, W: Float, ZF: Float, FF: Float) -> Float:
        """FᵀF for F = [ZW, F_0], from W, ZᵀF_0 and F_0ᵀF_0."""
        across = W.T @ ZF
        return np.block([[W.T @ (self.state.layout.gram @ W), across], [across.T, FF]])

    def _inner(self, W: Float, ZF: Float, FF: Float) -> tuple[Float, Float]:
        """FᵀV⁻¹F for F = [ZW, F_0], and û of F."""
        GW = self.state.layout.gram @ W
        given = np.column_stack([GW, ZF])
        u = self.state.effects(given)[0]
        across = W.T @ ZF
        plain = np.block([[W.T @ GW, across], [across.T, FF]])
        return (plain - given.T @ u) / self.state.sigma2, u

    @cached_property
    def _average(self) -> Float:
        """Average information of working θ."""
        W = self._EZPy
        FVF, u = self._inner(W, self._ZPy[:, None], np.array([[self.quad[-1]]]))
        if self.rows.p:
            QVF = np.column_stack([self._ZVQ.T @ W, -self._ZQ.T @ u[:, -1] / self.state.sigma2])
            FVF = FVF - QVF.T @ self._C @ QVF
        return 0.25 * (FVF + FVF.T)

    @cached_property
    def _expected(self) -> Float:
        """Expected information of working θ."""
        require_pairs(self.state)
        total = by_identity(pair_traces(self.state), self._plain, self._working, float(self.rows.n))
        if self.reml and self.rows.p:
            CH = np.einsum("pq,jqr->jpr", self._C, self._HVH)
            CE = self._over_fixed(lambda *F: self._inner(*F)[0])
            total = total - 2.0 * CE + np.einsum("jpr,krp->jk", CH, CH)
        return 0.25 * (total + total.T)

    def _over_fixed(self, inner: Callable[[Float, Float, Float], Float]) -> Float:
        """(m, m) Σ_c F_jcᵀ(·)F_kc with F_j = V_jV⁻¹Q C^½, a few columns c at a time."""
        m, layout = len(self.theta), self.state.layout
        half = la.cholesky(self._C)
        B, FF = self._ZVQ @ half, half.T @ self._HVH[-1] @ half
        total = np.zeros((m, m))
        step = max(1, COLUMNS // (layout.size * m))
        for start in range(0, self.rows.p, step):
            some = slice(start, start + step)
            W = self._patterned(B[:, some]).reshape(layout.size, -1)
            found = inner(W, B[:, some], FF[some, some])
            c = len(found) // m
            total += np.einsum("jckc->jk", found.reshape(m, c, m, c))
        return total

    def _information(self, kind: str) -> Float:
        """Of working θ."""
        if kind == "observed":
            return 2.0 * self._average - self._expected
        return self._average if kind == "average" else self._expected

    @cached_property
    def average_information(self) -> Float:
        return self._turned.information(self._information("average"))

    @cached_property
    def expected_information(self) -> Float:
        return self._turned.information(self._information("expected"))

    @cached_property
    def observed_information(self) -> Float:
        return self._turned.information(self._information("observed"))

    def information_along(self, kind: str, D: Float) -> Float:
        """(r, r) D I Dᵀ of the information called `kind` and directions D (r, m) of θ."""
        working = self._turned.directions(D)
        return working @ self._information(kind) @ working.T

    @cached_property
    def cross_trace(self) -> Float:
        require_pairs(self.state)
        m = len(self.theta)
        total = np.empty((m, m))
        total[:-1, :-1] = cross_traces(self.state)
        total[-1, :-1] = total[:-1, -1] = self._plain
        total[-1, -1] = (self.rows.n - self._plain @ self._working[:-1]) / self.state.sigma2
        if self.reml and self.rows.p:
            total = total - self._over_fixed(self._gram_of)
        return self._turned.information(0.5 * (total + total.T))

    @cached_property
    def cross_quad(self) -> Float:
        gram = self._gram_of(self._EZPy, self._ZPy[:, None], np.array([[self.quad[-1]]]))
        return self._turned.information(gram)

    @cached_property
    def beta_cov_gradient(self) -> Float:
        p = self.rows.p
        if not p:
            return np.empty((len(self.theta), 0, 0))
        return self._turned.dual(np.stack([self.rows.on_user_scale(self._C @ D @ self._C) for D in self._HVH]))

    # ---- solves and random effects on the user's rows -------------------------------------------------------

    def solve(self, U: Float) -> Float:
        return self._on_rows(U, restricted=False)

    def project(self, U: Float) -> Float:
        return self._on_rows(U, restricted=True)

    def _on_rows(self, U: Float, *, restricted: bool) -> Float:
        rows, given = self.rows, np.asarray(U, dtype=np.float64)
        flat = (given[:, None] if given.ndim == 1 else given) * rows.scale[:, None]
        if restricted and rows.p:  # P does not see Q: take it out first, so that large parts cost no digits
            flat = flat - rows.Q @ (rows.Q.T @ flat)
        out = self.state.solve(flat)
        if restricted and rows.p:
            out -= self.state.solve(rows.Q @ (self._C @ (rows.Q.T @ out)))
        out *= rows.scale[:, None]
        return out[:, 0] if given.ndim == 1 else out

    def _place(self, term: int) -> tuple[int, slice]:
        """Factor of a term and its effects there."""
        k = self.rows.spec.terms[term].k
        for f, factor in enumerate(self.state.layout.factors):
            for member, at in factor.members:
                if member == term:
                    return f, slice(at, at + k)
        raise IndexError(f"no random term {term}")

    def blup(self, term: int) -> Float:
        spec = self.rows.spec
        if term == len(spec.terms):
            return spec.residual.collect(self.Py) @ spec.sigmas(self.theta)[-1]
        f, own = self._place(term)
        collected = self.state.layout.factors[f].levels(self._ZPy[:, None])[:, own, 0]
        return self._turned.effects(term, collected @ self.state.sigmas[f][own, own])

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        f, own = self._place(term)
        cov = np.moveaxis(self.state.posterior(f)[own, own], 2, 0)
        if self.rows.p and not fixed_known:
            u = self.state.layout.factors[f].levels(self._both[0][:, : self.rows.p])[:, own]
            cov = cov + np.einsum("qap,pr,qbr->qab", u, self._C, u, optimize=True)
        return np.array(self._turned.covariance(term, cov))

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        spec = self.rows.spec
        sigmas = spec.sigmas(self.theta)
        prior = [prior_draw(term, Sigma, rng) for term, Sigma in zip(spec.terms, sigmas, strict=False)]
        e = rng.standard_normal((spec.residual.q, 1)) * np.sqrt(self.state.sigma2)
        y_star = spec.residual.spread(e)
        for term, u in zip(spec.terms, prior, strict=True):
            y_star = y_star + term.spread(u)
        y = (self.rows.Q @ self.rows.ols + self.rows.y) / self.rows.scale  # this likelihood's own response
        # the difference of two draws with one covariance, regressed on itself, has the conditional law (Matheron)
        d = (y - spec.X @ self.beta) - y_star
        Pd = self.project(d)
        us = [
            u + levels_matmat(term, term.collect(Pd)) @ sigmas[i]
            for i, (term, u) in enumerate(zip(spec.terms, prior, strict=True))
        ]
        beta = self.beta + self.beta_cov @ (spec.X.T @ self.solve(d)) if spec.p else np.empty(0)
        return beta, us


def require_pairs(state: GroupedState) -> None:
    """Refuse traces of products where the matrices they need would not fit."""
    layout = state.layout
    largest = max((stack.index.size * stack.index.shape[1] for stack in layout.storage.stacks), default=0)
    first = sum(f == 0 for f, _, _ in parameters(state))
    require(
        8 * (largest * (4 + 3 * first) + 4 * COLUMNS),
        f"the expected information of {layout.size:,} random effects",
        "Use the average information (information='average').",
    )
