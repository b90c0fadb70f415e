"""V at one θ: a diagonal in canonical traits and rotated records, less a correction of low rank (Woodbury).

    N V Nᵀ = I + X Xᵀ,   N = diag(w)^½ (T ⊗ Uᵀ),   X = N [F̃_i (L_i ⊗ I)],   Σ_i = L_i L_iᵀ
    V⁻¹ = Nᵀ (I − B Bᵀ) N,   B = X (chol(I + XᵀX))⁻ᵀ

T makes G and R diagonal at once (`canonical_state`), so w = 1/(d λ + ρ).  A variance of zero is a column of zeros in X.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.products import product
from .grouped_state import root_of_sigma
from .woodbury_frame import LowTerm, WoodburyFrame

Float = NDArray[np.float64]


class WoodburyState:
    """See `mixedvc.likelihood.gaussian.State`; columns U are (n'·t, c)."""

    def __init__(self, frame: WoodburyFrame, theta: Float):
        self.frame, self.theta = frame, theta
        self.sigmas = frame.rows.spec.sigmas(theta)
        self.T, self.w, self.logdet = self._diagonal()
        self.half = np.sqrt(self.w)
        columns = [self._rooted(term) for term in frame.low]
        X = self._weighted(np.concatenate([np.empty((len(frame.d), frame.t, 0)), *columns], axis=2))
        schur = product(X.T, X) if X.size else np.zeros((X.shape[1],) * 2)
        schur[np.diag_indices_from(schur)] += 1.0
        L = la.cholesky(schur) if len(schur) else schur
        self.logdet += la.logdet_from_cholesky(L) if len(schur) else 0.0
        self.B = np.ascontiguousarray(la.solve_triangular(L, X.T).T) if len(schur) else X

    def _diagonal(self) -> tuple[Float, Float, float]:
        """T (t, t), w (n', t) and log|G ⊗ K + R ⊗ I|."""
        frame, R = self.frame, self.sigmas[-1]
        t, kernel = frame.t, frame.outline.kernel
        G = np.zeros((t, t)) if kernel is None else self.sigmas[kernel]
        T, logdet = np.eye(t), 0.0
        if t > 1:
            M = la.cholesky(float(frame.d.mean()) * G + R)
            inverse = la.solve_triangular(M, np.eye(t))
            turned = inverse @ G @ inverse.T
            T = la.small_eigh(0.5 * (turned + turned.T))[1].T @ inverse
            logdet = len(frame.d) * la.logdet_from_cholesky(M)
        of_G, of_R = (np.einsum("ca,ab,cb->c", T, Sigma, T) for Sigma in (G, R))
        v = np.multiply.outer(frame.d, of_G) + of_R
        if not v.min() > 0.0 or (frame.extra and not self.theta[-1] > 0.0):
            raise la.NotPositiveDefinite(int(np.argmin(v.min(axis=1))) + 1)
        logdet += float(np.log(v).sum())
        return T, 1.0 / v, logdet + (frame.extra * float(np.log(self.theta[-1])) if frame.extra else 0.0)

    def _rooted(self, term: LowTerm) -> Float:
        """(n', t, columns) F̃ (L ⊗ I)."""
        frame = self.frame
        L = root_of_sigma(self.sigmas[term.index], 0.0)
        out = np.zeros((len(frame.d), frame.t, L.shape[1], term.width))
        for e, (trait, block) in enumerate(zip(term.traits, term.blocks, strict=True)):
            for column, value in enumerate(L[e]):
                if value != 0.0:
                    out[:, trait, column] += value * frame.columns[:, block]
        return out.reshape(*out.shape[:2], -1)

    # ---- V⁻¹ and V_j --------------------------------------------------------------------------------------------

    def _weighted(self, table: Float) -> Float:
        """N of (n', t, c), as (n'·t, c)."""
        turned = table if self.frame.t == 1 else np.matmul(self.T, table)
        return (self.half[:, :, None] * turned).reshape(self.half.size, table.shape[2])

    def _unweighted(self, X: Float) -> Float:
        """Nᵀ of (n'·t, c)."""
        table = self.half[:, :, None] * self._by_record(X)
        return (table if self.frame.t == 1 else np.matmul(self.T.T, table)).reshape(X.shape)

    def _by_record(self, U: Float) -> Float:
        return U.reshape(len(self.w), self.frame.t, U.shape[1])

    def _less(self, X: Float) -> Float:
        """(I − BBᵀ) X."""
        return X - product(self.B, product(self.B.T, X)) if self.B.size and X.size else X

    def solve(self, U: Float) -> Float:
        return self._unweighted(self._less(self._weighted(self._by_record(U))))

    def apply(self, U: Float) -> Float:
        frame = self.frame
        table = self._by_record(U)
        out = np.zeros((len(self.theta), *table.shape))
        for j, (power, E) in self._diagonal_parameters.items():
            out[j] = np.matmul(E, table)
            if power:
                out[j] *= frame.d[:, None, None]
        for term in frame.low:
            through = [
                product(frame.columns[:, block].T, np.ascontiguousarray(table[:, a]))
                for a, block in zip(term.traits, term.blocks, strict=True)
            ]
            for j, entries in self._low_parameters(term):
                for e, f in entries:
                    out[j][:, term.traits[e]] += product(frame.columns[:, term.blocks[e]], through[f])
        return out.reshape(len(out), *U.shape)

    # ---- linear parameters --------------------------------------------------------------------------------------

    @cached_property
    def _first(self) -> list[int]:
        """Number of the first parameter of each term."""
        counts = [len(E) for E in self.frame.patterns]
        return np.cumsum([0, *counts[:-1]]).tolist()

    @cached_property
    def _diagonal_parameters(self) -> dict[int, tuple[int, Float]]:
        """Parameters of the kernel, E ⊗ K, and of the residual, E ⊗ I: the power of d and E (t, t)."""
        kernel, found = self.frame.outline.kernel, {}
        of = [] if kernel is None else [(kernel, 1)]
        for term, power in (*of, (len(self.frame.patterns) - 1, 0)):
            for j, E in enumerate(self.frame.patterns[term]):
                found[self._first[term] + j] = (power, E)
        return found

    def _low_parameters(self, term: LowTerm) -> list[tuple[int, list[tuple[int, int]]]]:
        """Parameters of a term of low rank: the entries (a, b) of Σ that each is."""
        patterns = self.frame.patterns[term.index]
        return [
            (self._first[term.index] + j, list(zip(*(part.tolist() for part in np.nonzero(E)), strict=True)))
            for j, E in enumerate(patterns)
        ]

    # ---- traces -------------------------------------------------------------------------------------------------

    def record_blocks(self, highest: int) -> list[Float]:
        """(t, t) Σ_i d_i^s (V⁻¹)_ii over the records, s = 0 … highest."""
        B, out = self._by_record(self.B), []
        half = self.half[:, :, None] * B
        for s in range(highest + 1):
            power = self.frame.d**s
            inner = np.diag(power @ self.w) - np.einsum("iar,ibr->ab", half * power[:, None, None], half, optimize=True)
            out.append(self.T.T @ inner @ self.T)
        return out

    @cached_property
    def _effects(self) -> dict[tuple[int, int], Float]:
        """N F_e and (I − BBᵀ) N F_e of each effect of each term, side by side: (2, n'·t, width)."""
        frame, found = self.frame, {}
        for term in frame.low:
            for e, (trait, block) in enumerate(zip(term.traits, term.blocks, strict=True)):
                table = np.zeros((len(frame.d), frame.t, term.width))
                table[:, trait] = frame.columns[:, block]
                X = self._weighted(table)
                found[term.index, e] = np.stack([X, self._less(X)])
        return found

    def traces(self) -> Float:
        out = np.zeros(len(self.theta))
        sums = self.record_blocks(1)
        for j, (power, E) in self._diagonal_parameters.items():
            out[j] = np.vdot(E, sums[power])
        for term in self.frame.low:
            for j, entries in self._low_parameters(term):
                out[j] = sum(
                    np.vdot(self._effects[term.index, e][0], self._effects[term.index, f][1]) for e, f in entries
                )
        out[-1] += self._outside(1)
        return out

    def _outside(self, power: int) -> float:
        return self.frame.extra / self.theta[-1] ** power if self.frame.extra else 0.0

    def _changed(self, j: int, X: Float) -> Float:
        """N V_j Nᵀ X of a parameter of the kernel or the residual."""
        power, E = self._diagonal_parameters[j]
        table = np.matmul(self.T @ E @ self.T.T, self.half[:, :, None] * self._by_record(X))
        if power:
            table *= self.frame.d[:, None, None]
        return (self.half[:, :, None] * table).reshape(X.shape)

    def pair_traces(self) -> Float:
        m = len(self.theta)
        out = np.zeros((m, m))
        self._diagonal_pairs(out)
        for term in self.frame.low:
            for j in self._diagonal_parameters:
                changed = [self._changed(j, self._effects[term.index, e][1]) for e in range(term.k)]
                for k, entries in self._low_parameters(term):
                    value = sum(np.vdot(self._effects[term.index, e][1], changed[f]) for e, f in entries)
                    out[j, k] = out[k, j] = value
        self._low_pairs(out)
        out[-1, -1] += self._outside(2)
        return out

    def _diagonal_pairs(self, out: Float) -> None:
        """tr((I − BBᵀ)V_j(I − BBᵀ)V_k), both diagonal over records."""
        w, d = self.w, self.frame.d
        met = [(w * (d**s)[:, None]).T @ w for s in range(3)]
        turned, moved, inner = {}, {}, {}
        for j, (_, E) in self._diagonal_parameters.items():
            turned[j] = self.T @ E @ self.T.T
            moved[j] = self._changed(j, self.B)
            inner[j] = product(self.B.T, moved[j]) if self.B.size else np.zeros((0, 0))
        for j, (s, _) in self._diagonal_parameters.items():
            for k, (r, _) in self._diagonal_parameters.items():
                if k >= j:
                    value = np.vdot(turned[j] * turned[k], met[s + r]) - 2.0 * np.vdot(moved[j], moved[k])
                    out[j, k] = out[k, j] = value + np.vdot(inner[j], inner[k])

    def _low_pairs(self, out: Float) -> None:
        """Both of low rank: from H = F_eᵀV⁻¹F_f of every two effects."""
        low, effects = self.frame.low, self._effects
        for one in low:
            for two in low:
                if two.index < one.index:
                    continue
                H = [
                    [product(effects[one.index, e][0].T, effects[two.index, f][1]) for f in range(two.k)]
                    for e in range(one.k)
                ]
                for j, entries in self._low_parameters(one):
                    for k, others in self._low_parameters(two):
                        value = sum(np.vdot(H[f][g], H[e][h]) for e, f in entries for g, h in others)
                        out[j, k] = out[k, j] = value

    def cross_traces(self) -> Float:
        out = np.zeros((len(self.theta),) * 2)
        sums = self.record_blocks(2)
        for j, (s, E) in self._diagonal_parameters.items():
            for k, (r, D) in self._diagonal_parameters.items():
                out[j, k] = np.trace(E @ sums[s + r] @ D)
        for term in self.frame.low:
            self._crossed(term, out)
        out[-1, -1] += self._outside(1)
        return 0.5 * (out + out.T)

    def _crossed(self, term: LowTerm, out: Float) -> None:
        """tr(V_j V⁻¹ V_k), k of this term, j any other (terms before it are done)."""
        frame = self.frame
        solved = [self._by_record(self._unweighted(self._effects[term.index, e][1])) for e in range(term.k)]
        for k, entries in self._low_parameters(term):
            for j, (power, E) in self._diagonal_parameters.items():
                total = 0.0
                for e, f in entries:
                    moved = np.matmul(E, solved[f])[:, term.traits[e]]
                    if power:
                        moved = frame.d[:, None] * moved
                    total += float(np.vdot(frame.columns[:, term.blocks[e]], moved))
                out[j, k] = out[k, j] = total
        for other in frame.low:
            if other.index <= term.index:
                self._crossed_low(term, other, solved, out)

    def _crossed_low(self, term: LowTerm, other: LowTerm, solved: list[Float], out: Float) -> None:
        frame = self.frame
        for k, entries in self._low_parameters(term):
            for j, others in self._low_parameters(other):
                total = 0.0
                for e, f in entries:  # F_e F_fᵀ V⁻¹ F_g F_hᵀ
                    for g, h in others:
                        if other.traits[h] != term.traits[e]:
                            continue
                        met = product(frame.columns[:, other.blocks[h]].T, frame.columns[:, term.blocks[e]])
                        own = np.ascontiguousarray(solved[f][:, other.traits[g]])
                        total += float(np.vdot(met, product(frame.columns[:, other.blocks[g]].T, own)))
                out[j, k] = out[k, j] = total
