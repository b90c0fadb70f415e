"""Prediction error covariances of several traits' effects: each level's own sums over the rotated records.

With f_l = Uᵀ(ZA)_l the block of A ZᵀPZ A of level l is Tᵀ(diag Σ_i f_li² w_i − Hᵀ…)T: n t for a level, where a
projection of its columns would rotate them all again.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .canonical_records import CanonicalFrame, record_term
from .canonical_state import CanonicalState

Float = NDArray[np.float64]
_WEAK = 1e-3  # of the largest effect of a record: a column of K is not divided by less


def prediction_cov(frame: CanonicalFrame, state: CanonicalState, W: Float | None, term: int, Sigma: Float) -> Float:
    """(q, t, t) Var(û − u) of each level, of V⁻¹ − V⁻¹Q(…)QᵀV⁻¹ with (…) turned between canonical traits to W."""
    spec = frame.rows.spec
    of = spec.all_terms[term]
    c = frame.U.shape[1]
    w, T, t = state.w[:c], state.T, len(state.T)
    if term < len(spec.terms):
        F, outside = _effects_inside(frame), None
    else:
        F, outside = _residuals_inside(frame)
    explained = np.zeros((of.q, t, t))
    sums = np.square(F).T @ w
    if outside is not None:
        sums += np.multiply.outer(outside, 1.0 / state.of_R)
    explained[:, np.arange(t), np.arange(t)] = sums
    if W is not None:
        weighted = (w[:, :, None] * frame.Z[:c, None, :]).reshape(c, -1)
        met = (F.T @ weighted).reshape(of.q, t, -1)  # level, canonical trait, column of Z₀
        explained -= np.einsum("qcl,celk,qek->qce", met, W, met, optimize=True)
    half = T @ Sigma
    prior = of.covariance.diagonal(of.positions)[:, None, None] * Sigma
    return prior - half.T @ explained @ half


def _effects_inside(frame: CanonicalFrame) -> Float:
    """(c, q) Uᵀ Z A, column by column: UᵀK_i over the effect of a record i of the level, as K = (ZA)Zᵀ."""
    of = record_term(frame.rows.spec.terms[0], frame.records)
    x, q, c = of.basis[:, 0], of.q, frame.U.shape[1]
    order = np.argsort(np.abs(x), kind="stable")
    record = np.empty(q, dtype=np.intp)
    record[of.codes[order]] = order  # the last one written: the largest effect of a level
    F = (frame.U[record] * frame.d[:c]).T
    if frame.lift.N.size:
        F = F - frame.lift.c * (frame.Z[:c] @ frame.lift.N) @ (frame.fixed.Z[record] @ frame.lift.N).T
    F = F / np.where(x[record] != 0.0, x[record], 1.0)
    weak = np.flatnonzero(np.abs(x[record]) <= _WEAK * np.abs(x).max())
    if len(weak):
        A = of.covariance.block(of.positions[weak], of.positions)
        F[:, weak] = frame.U.T @ (A[:, of.codes] * x).T
    return np.asarray(F)


def _residuals_inside(frame: CanonicalFrame) -> tuple[Float, Float | None]:
    """(c, q) Uᵀ of each record at its level of the residual, and what U leaves of it; zeros for levels without one."""
    residual = frame.rows.spec.residual
    codes = residual.codes[frame.records.cells[:, 0]]
    F, outside = np.zeros((frame.U.shape[1], residual.q)), np.zeros(residual.q)
    F[:, codes] = frame.U.T
    outside[codes] = 1.0 - np.square(frame.U).sum(axis=1)
    return F, None if frame.complete else outside
