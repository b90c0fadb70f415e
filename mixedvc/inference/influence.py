"""Deletion of groups of rows: what β̂ and its covariance would be without them, exactly, the variances held (no refit).

The generalised least squares of the rows that are left, from that of all rows: with E the columns of the identity at
the deleted rows, H = V⁻¹X, W = (EᵀV⁻¹E)⁻¹ and r = Py,

    XᵀV⁻¹X without the rows = XᵀV⁻¹X − HᵀE W EᵀH =: F,        β̂ − β̂₋ = F⁻¹ HᵀE W Eᵀr

(the inverse of what is left of V is V⁻¹ − V⁻¹E W EᵀV⁻¹).  References: Christensen, Pearson & Johnson (1992)
Technometrics 34:38; Demidenko & Stukel (2005) Statist. Med. 24:893.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Evaluation
from ..linalg import dense as la
from ..progress import Progress

Float = NDArray[np.float64]
Rows = NDArray[np.intp]
_BYTES = 64_000_000  # of unit columns solved for at a time
_ESTIMABLE = 1e-9  # of the information about a direction of β: less is rounding


@dataclass(frozen=True)
class Deletion:
    """What changes without each of G groups of rows.

    Attributes
    ----------
    beta : (G, p)
        β̂ without the group; NaN where the rows left do not tell all of β.
    beta_cov : (G, p, p)
        Its covariance.
    leverage : (G,)
        Trace of the group's block of X(XᵀV⁻¹X)⁻¹XᵀV⁻¹; all of them add up to p.
    theta : (G, m) or None
        Variances, where they were estimated again.
    """

    beta: Float
    beta_cov: Float
    leverage: Float
    theta: Float | None = None


def delete(spec: ModelSpec, evaluation: Evaluation, groups: list[Rows], progress: Progress | None = None) -> Deletion:
    """Deletion of each group at the variances of `evaluation`."""
    X, p, G = spec.X, spec.p, len(groups)
    H = np.asarray(evaluation.solve(X))
    C, r = np.asarray(evaluation.beta_cov), np.asarray(evaluation.Py)
    L = la.cholesky(np.asfortranarray(X.T @ H))
    beta, cov = np.full((G, p), np.nan), np.full((G, p, p), np.nan)
    leverage = np.empty(G)
    for some in _batches(groups, spec.n):
        blocks = _inverse_blocks(evaluation, [groups[i] for i in some], spec.n)
        for i, B in zip(some, blocks, strict=True):
            rows = groups[i]
            leverage[i] = float(np.einsum("np,pq,nq->", X[rows], C, H[rows]))
            left = _without(L, H[rows], B, r[rows])
            if left is not None:
                cov[i], moved = left
                beta[i] = evaluation.beta - moved
        if progress is not None:
            progress.step(len(some))
    return Deletion(beta, cov, leverage)


def _without(L: Float, H: Float, B: Float, r: Float) -> tuple[Float, Float] | None:
    """(p, p) covariance of β̂ without the rows, and β̂ − β̂₋; None where they are needed to estimate β."""
    lower = la.small_cholesky(B)
    half = la.solve_triangular(lower, H)  # ‖half‖² = HᵀE W EᵀH
    S = la.solve_triangular(L, half.T)  # in units in which all rows inform about β alike
    values, vectors = la.small_eigh(np.eye(len(L)) - S @ S.T)
    if values[0] < _ESTIMABLE:
        return None
    root = la.solve_triangular(L, vectors, trans=True) / np.sqrt(values)
    cov = root @ root.T
    return cov, cov @ (half.T @ la.solve_triangular(lower, r))


def _batches(groups: list[Rows], n: int) -> list[list[int]]:
    """Groups whose unit columns together fit the buffer."""
    most = max(1, _BYTES // (8 * n))
    out: list[list[int]] = [[]]
    filled = 0
    for i, rows in enumerate(groups):
        if out[-1] and filled + len(rows) > most:
            out.append([])
            filled = 0
        out[-1].append(i)
        filled += len(rows)
    return out


def _inverse_blocks(evaluation: Evaluation, groups: list[Rows], n: int) -> list[Float]:
    """EᵀV⁻¹E of each group: one solve with the unit columns of all."""
    rows = np.concatenate(groups)
    E = np.zeros((n, len(rows)))
    E[rows, np.arange(len(rows))] = 1.0
    solved = np.asarray(evaluation.solve(E))
    out, at = [], 0
    for own in groups:
        B = solved[own, at : at + len(own)]
        out.append(0.5 * (B + B.T))
        at += len(own)
    return out


# ---- measures ------------------------------------------------------------------------------------------------------


def cooks_distance(deletion: Deletion, beta: Float, beta_cov: Float) -> Float:
    """(G,) (β̂ − β̂₋)ᵀ Cov(β̂)⁻¹ (β̂ − β̂₋) / p."""
    moved = la.solve_triangular(la.cholesky(np.asfortranarray(beta_cov)), (beta - deletion.beta).T)
    return np.sum(moved**2, axis=0) / max(len(beta), 1)


def mdffits(deletion: Deletion, beta: Float) -> Float:
    """(G,) the same in units of the covariance without the group (Belsley, Kuh & Welsch's MDFFITS)."""
    out = np.full(len(deletion.beta), np.nan)
    for i, (other, cov) in enumerate(zip(deletion.beta, deletion.beta_cov, strict=True)):
        if np.isfinite(other).all():
            moved = la.solve_triangular(la.cholesky(np.asfortranarray(cov)), beta - other)
            out[i] = float(moved @ moved) / max(len(beta), 1)
    return out


def covariance_ratio(deletion: Deletion, beta_cov: Float) -> Float:
    """(G,) |Cov(β̂₋)| / |Cov(β̂)|: above one where the group makes β̂ more precise."""
    whole = la.logdet_from_cholesky(la.cholesky(np.asfortranarray(beta_cov)))
    out = np.full(len(deletion.beta), np.nan)
    for i, cov in enumerate(deletion.beta_cov):
        if np.isfinite(cov).all():
            out[i] = np.exp(la.logdet_from_cholesky(la.cholesky(np.asfortranarray(cov))) - whole)
    return out
