"""The model of several traits with one kernel at one θ: sums over rotated records of t×t matrices (MATH: 2, 6).

V_ab = e_a e_bᵀ ⊗ K^s (s = 1 for G, 0 for R) is d^s on the coordinates.  Sums over them are made once for all pairs of
traits, Γ_s[a, b] for what is linear in V_j and Φ[(a, b), (x, y)] for what is bilinear in V_j and V_k; the linear
parameters, whose patterns E_j are sums of entries, are ⟨E_j, Γ_s⟩ and E Φ Eᵀ.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from .canonical_effects import prediction_cov
from .canonical_records import CanonicalFrame
from .canonical_state import CanonicalState, quadratic_forms, weighted_grams
from .gaussian import levels_matmat, posterior_draw

Float = NDArray[np.float64]


class CanonicalEvaluation:
    """One θ; parts are computed when first asked for (see `mixedvc.likelihood.base.Evaluation`)."""

    def __init__(self, frame: CanonicalFrame, G: Float, R: Float, theta: Float, reml: bool):
        self.frame, self.theta, self.reml = frame, theta, reml
        self.rows, self.state, self._G = frame.rows, CanonicalState(frame, G, R), G

    # ---- fixed effects and the criterion -------------------------------------------------------------------

    def _coefficients(self, canonical: Float) -> Float:
        """(t, r, …) of canonical traits → (p, …): (T ⊗ I)ᵀ, then Bᵀ."""
        flat = np.tensordot(self.state.T.T, canonical, axes=1)
        flat = flat.reshape(-1, *canonical.shape[2:])
        B = self.frame.fixed.B
        return flat if B is None else np.tensordot(B.reshape(len(flat), -1).T, flat, axes=1)

    def _spread(self, b: Float) -> Float:
        """(p, …) → (t, r, …) of canonical traits: B, then T ⊗ I."""
        B, t, r = self.frame.fixed.B, len(self.state.T), self.frame.Z.shape[1]
        full = b if B is None else np.tensordot(B.reshape(t * r, -1), b, axes=1)
        return np.tensordot(self.state.T, full.reshape(t, r, *b.shape[1:]), axes=1)

    @cached_property
    def _gls(self) -> tuple[Float, Float, Float]:
        """Cholesky of QᵀV⁻¹Q, GLS coefficients of the remainder in Q, V⁻¹(y − Qb) in canonical traits (n', t)."""
        frame, state = self.frame, self.state
        Y = state.canonical(frame.Y)
        if not self.rows.p:
            return np.empty((0, 0)), np.empty(0), state.w * Y
        blocks = weighted_grams(frame.Z, state.w)
        t, r = blocks.shape[:2]
        wide = np.zeros((t, r, t, r))
        wide[np.arange(t), :, np.arange(t)] = blocks
        half = self._coefficients(wide.reshape(t, r, t * r)).T.reshape(t, r, -1)
        L = la.cholesky(self._coefficients(half))
        b = la.cho_solve(L, self._coefficients((frame.Z.T @ (state.w * Y)).T))
        return L, b, state.w * (Y - frame.Z @ self._spread(b).T)

    @cached_property
    def _C(self) -> Float:
        """(QᵀV⁻¹Q)⁻¹, V of the kernel as it was lifted."""
        L = self._gls[0]
        return la.cho_solve(L, np.eye(len(L))) if len(L) else np.empty((0, 0))

    @cached_property
    def _taken_off(self) -> Float:
        """(QᵀV⁻¹Q)⁻¹ as the kernel was given."""
        lift = self.frame.lift
        return self._C - lift.fixed(self._G, self.frame.fixed.B) if lift.N.size else self._C

    @cached_property
    def _unlifted(self) -> Float | None:
        """M (p, p): V⁻¹ of the kernel as given is V⁻¹ − V⁻¹Q M QᵀV⁻¹ of the lifted one; None where it was not."""
        if not self.frame.lift.N.size:
            return None
        return self._C - self._C @ la.cho_solve(la.cholesky(self._taken_off), self._C)

    @cached_property
    def _W(self) -> Float:
        return self._between_traits(self._C)

    def _between_traits(self, M: Float) -> Float:
        """(t, t, r, r) M (p, p) as it acts between canonical traits: B M Bᵀ turned by T."""
        half = self._spread(M)
        return self._spread(half.reshape(-1, self.rows.p).T).reshape(*half.shape[:2], *half.shape[:2]).swapaxes(1, 2)

    @cached_property
    def loglik(self) -> float:
        L, _, _ = self._gls
        return self.rows.loglik(self.state.logdet, float(np.vdot(self.frame.Y, self._Py)), L, self.reml)

    @cached_property
    def beta(self) -> Float:
        return self.rows.beta(self._gls[1])

    @cached_property
    def beta_cov(self) -> Float:
        return self.rows.on_user_scale(self._taken_off)

    @cached_property
    def _Py(self) -> Float:
        """(n', t) Py in coordinates."""
        return self.state.traits(self._gls[2])

    @cached_property
    def Py(self) -> Float:
        frame, c = self.frame, self.frame.U.shape[1]
        table = frame.back(self._Py[:c])
        if frame.rest is not None:
            table += self.state.outside(frame.rest)
        return frame.records.rows(table) * self.rows.scale

    # ---- from entries of G and R to linear parameters ------------------------------------------------------

    def _linear(self, of_G: Float, of_R: Float) -> Float:
        """(m,) ⟨E_j, Γ_s⟩."""
        E, F = self.frame.patterns
        return np.concatenate([E @ of_G.ravel(), F @ of_R.ravel()])

    def _bilinear(self, both: Float, mixed: Float, none: Float) -> Float:
        """(m, m) from Φ[a, b, x, y] of two entries of G, of one of G and one of R, and of two of R."""
        E, F = self.frame.patterns
        k = E.shape[1]
        GG, GR, RR = (part.reshape(k, k) for part in (both, mixed, none))
        cross = E @ GR @ F.T
        return _symmetric(np.block([[E @ GG @ E.T, cross], [cross.T, F @ RR @ F.T]]))

    def _turned(self, sums: Float) -> Float:
        """Σ_c T_ca T_cb sums_c…: (t, …) → (t, t, …)."""
        t = len(self.state.T)
        return np.tensordot(self._pairs.T, sums, axes=1).reshape(t, t, *sums.shape[1:])

    @cached_property
    def _pairs(self) -> Float:
        """(t, t²) T_ca T_cb."""
        T = self.state.T
        return (T[:, :, None] * T[:, None, :]).reshape(len(T), -1)

    # ---- derivatives ----------------------------------------------------------------------------------------

    def _powers_of_d(self, highest: int) -> Float:
        """(highest + 1, n') 1, d, d², …"""
        return self.frame.d ** np.arange(highest + 1)[:, None]

    @cached_property
    def quad(self) -> Float:
        Py = self._Py
        return self._linear(Py.T @ (self.frame.d[:, None] * Py), Py.T @ Py)

    @cached_property
    def _leverage(self) -> Float:
        """(n', t, t) entries of V⁻¹Q C QᵀV⁻¹ between the canonical traits of one coordinate."""
        w, W = self.state.w, self._W
        t = len(W)
        forms = quadratic_forms(self.frame.Z, W.reshape(t * t, *W.shape[2:]))
        return forms.reshape(-1, t, t) * w[:, :, None] * w[:, None, :]

    @property
    def _corrected(self) -> bool:
        return self.reml and self.rows.p > 0

    def _diagonals(self, highest: int) -> Float:
        """(highest + 1, t, t) Σ_i d_i^s T_ii over the coordinates, of traits."""
        D = self._powers_of_d(highest)
        found = np.stack([self._turned(row) for row in (D * self.frame.copies) @ self.state.w])
        if self._corrected:
            t = len(self.state.T)
            lever = (D @ self._leverage.reshape(-1, t * t)).reshape(-1, t, t)
            found -= self.state.T.T @ lever @ self.state.T
        return found

    @cached_property
    def trace(self) -> Float:
        of_R, of_G = self._diagonals(1)
        return self._linear(of_G, of_R)

    @cached_property
    def score(self) -> Float:
        return 0.5 * (self.quad - self.trace)

    @cached_property
    def average_information(self) -> Float:
        Py, t = self._Py, len(self.state.T)
        products = (Py[:, :, None] * Py[:, None, :]).reshape(len(Py), -1)
        Phi = []
        for weights in self.state.powers(2):
            turned = self._turned((weights.T @ products).reshape(t, t, t))  # a, x, b, y
            Phi.append(turned.transpose(0, 2, 1, 3))
        total = self._bilinear(Phi[2], Phi[1], Phi[0])
        return 0.5 * (total - self._explained() if self.rows.p else total)

    def _explained(self) -> Float:
        """(m, m) FᵀV⁻¹Q C QᵀV⁻¹F with F = V_jPy."""
        Z, Py, t = self.frame.Z, self._Py, len(self.state.T)
        r = Z.shape[1]
        weighted = (self.state.w[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)
        parts = []
        for patterns, moved in zip(self.frame.patterns, (self.frame.d[:, None] * Py, Py), strict=True):
            K = (weighted.T @ moved).reshape(t, r, t)  # canonical trait, column, b
            entries = self.state.T[:, None, :, None] * K[:, :, None, :]  # … of V_ab Py
            parts.append(self._coefficients(entries.reshape(t, r, t * t)) @ patterns.T)
        half = la.solve_triangular(self._gls[0], np.hstack(parts))
        return half.T @ half

    @cached_property
    def expected_information(self) -> Float:
        return 0.5 * self._bilinear(*(self._products(*powers) for powers in ((1, 1), (1, 0), (0, 0))))

    @cached_property
    def _met(self) -> Float:
        """(2, t, t, r, r) Z₀ᵀ diag(d^s w_c w_e) Z₀ for s = 0, 1."""
        w, (t, r) = self.state.w, (len(self.state.T), self.frame.Z.shape[1])
        both = (w[:, :, None] * w[:, None, :]).reshape(len(w), -1)
        grams = weighted_grams(self.frame.Z, np.hstack([both, self.frame.d[:, None] * both]))
        return grams.reshape(2, t, t, r, r)

    @cached_property
    def _crossed(self) -> Float:
        """(2, t, t, t, r, r) C between canonical traits c and d, times Z₀ᵀ diag(d^s w_d w_e) Z₀."""
        return self._W[None, :, :, None] @ self._met[:, None]

    def _products(self, first: int, second: int) -> Float:
        """Φ[a, b, x, y] = tr(T V_ab T V_xy), V_ab with K^first and V_xy with K^second; T = V⁻¹ − H."""
        T, w, t = self.state.T, self.state.w, len(self.state.T)
        power = self.frame.d ** (first + second)
        inner = np.zeros((t, t, t))  # V⁻¹ of trait c against V⁻¹ − 2H of traits e and f
        inner[:, np.arange(t), np.arange(t)] = (w * (power * self.frame.copies)[:, None]).T @ w
        if self._corrected:
            weighted = (w * power[:, None]).T
            inner -= 2.0 * (weighted @ self._leverage.reshape(-1, t * t)).reshape(t, t, t)
        Phi = self._turned(T.T @ inner @ T)  # b, x, y, a
        if self._corrected:
            r = self.frame.Z.shape[1]
            left = self._crossed[second].transpose(0, 2, 1, 3, 4).reshape(t, t, t, r * r)  # c, e; d; l, m
            right = self._crossed[first].transpose(2, 0, 4, 3, 1).reshape(t, t, r * r, t)  # c, e; l, m; f
            H = (left @ right).transpose(0, 2, 1, 3).reshape(t * t, t * t)  # c, d; e, f
            both = np.kron(T, T)
            Phi = Phi + (both.T @ H @ both).reshape(Phi.shape)
        return Phi.transpose(3, 0, 1, 2)

    @cached_property
    def observed_information(self) -> Float:
        return 2.0 * self.average_information - self.expected_information

    def information_along(self, kind: str, D: Float) -> Float:
        """(r, r) D I Dᵀ of an information and directions D (r, m) of θ."""
        return np.asarray(D @ getattr(self, f"{kind}_information") @ D.T)

    @cached_property
    def cross_trace(self) -> Float:
        eye = np.eye(len(self.state.T))
        found = [np.einsum("bx,ya->abxy", Gamma, eye) for Gamma in self._diagonals(2)]
        return self._bilinear(found[2], found[1], found[0])

    @cached_property
    def cross_quad(self) -> Float:
        Py, eye = self._Py, np.eye(len(self.state.T))
        found = [np.einsum("ya,bx->abxy", Py.T @ (power[:, None] * Py), eye) for power in self._powers_of_d(2)]
        return self._bilinear(found[2], found[1], found[0])

    @cached_property
    def residual_traces(self) -> Float:
        """(t, t) tr(T Z_a Z_bᵀ) of the traits' residuals (on working rows)."""
        return self._diagonals(0)[0]

    @cached_property
    def beta_cov_gradient(self) -> Float:
        m, p, t = len(self.theta), self.rows.p, len(self.state.T)
        if not p:
            return np.empty((m, 0, 0))
        half = la.solve_triangular(self.rows.R, self._spread(self._C).reshape(-1, p).T, lower=False)
        S = half.T.reshape(t, -1, p)  # canonical trait, column of Z₀, the user's coefficient
        moves = []
        for patterns, met in zip(self.frame.patterns, self._met[::-1], strict=True):
            between = np.einsum("clp,cekl,ekq->cepq", S, met.swapaxes(2, 3), S, optimize=True)
            E = patterns.reshape(-1, t, t)
            turned = self.state.T @ E @ self.state.T.T
            moves.append(turned.reshape(-1, t * t) @ between.reshape(t * t, p * p))
        total = np.concatenate(moves).reshape(m, p, p)
        if self.frame.lift.N.size:
            E = self.frame.patterns[0].reshape(-1, t, t)
            for j, C in enumerate(self.frame.lift.fixed(E, self.frame.fixed.B)):
                total[j] -= self.rows.on_user_scale(C)
        return total

    # ---- solves and random effects on the user's rows -------------------------------------------------------

    def solve(self, U: Float) -> Float:
        return self._on_rows(U, self._unlifted)

    def project(self, U: Float) -> Float:
        return self._on_rows(U, self._C if self.rows.p else None)

    def _on_rows(self, U: Float, M: Float | None) -> Float:
        """V⁻¹U − V⁻¹Q M QᵀV⁻¹U."""
        frame, state = self.frame, self.state
        given = np.asarray(U, dtype=np.float64)
        scale = self.rows.scale[:, None]
        table = frame.records.table(given.reshape(len(given), -1) * scale)
        inside = frame.into(table)
        c = len(inside)
        w = state.w[:c, :, None]
        solved = w * state.canonical(inside)
        if M is not None:
            Z = frame.Z[:c]
            b = M @ self._coefficients(np.tensordot(Z.T, solved, axes=1).swapaxes(0, 1))
            solved -= w * np.tensordot(Z, self._spread(b), axes=(1, 1))
        out = frame.back(state.traits(solved))
        if not frame.complete:
            out += state.outside(table - frame.back(inside))
        return (frame.records.rows(out) * scale).reshape(given.shape)

    def blup(self, term: int) -> Float:
        spec = self.rows.spec
        of = spec.all_terms[term]
        return levels_matmat(of, of.collect(self.Py)) @ spec.sigmas(self.theta)[term]

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        M = self._unlifted if fixed_known else self._C
        W = None if M is None or not self.rows.p else self._between_traits(M)
        return prediction_cov(self.frame, self.state, W, term, self.rows.spec.sigmas(self.theta)[term])

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        return posterior_draw(self, self.rows, rng)


def _symmetric(A: Float) -> Float:
    return 0.5 * (A + A.T)
