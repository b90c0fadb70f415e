"""Random effects: predictions of every level, relatives without records included, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Positions
from ..design.spec import ModelSpec, Term
from ..likelihood.base import Evaluation

Float = NDArray[np.float64]
CHUNK = 4_000_000  # numbers in one slab of cross-covariances


@dataclass(frozen=True)
class Roster:
    """The levels a term predicts.

    Attributes
    ----------
    labels : (L,) object
        ``term.levels``, or all labels of the covariance, in its order, where it knows more levels than the data.
    seen : (L,) intp
        Position in ``term.levels``; −1 for a relative without records.
    positions : (L,) intp
        Position in ``term.covariance.labels``.
    """

    labels: NDArray[np.object_]
    seen: Positions
    positions: Positions


def roster(term: Term) -> Roster:
    """Which levels of `term` have a prediction."""
    known = term.covariance.labels
    if len(known) == term.q:
        return Roster(term.levels, np.arange(term.q), term.positions)
    seen = np.full(len(known), -1, dtype=np.intp)
    seen[term.positions] = np.arange(term.q)
    return Roster(known, seen, np.arange(len(known)))


@runtime_checkable
class HasEffectWeights(Protocol):
    """What stands for an evaluation where no one θ does: the average over a posterior's draws of θ."""

    def effect_weights(self, i: int) -> Float: ...


def effect_weights(spec: ModelSpec, evaluation: Evaluation | HasEffectWeights, i: int) -> Float:
    """(q, k) W of term `i` (the residual last) with û = A_{·,levels} W at any labels: ZᵀPy Σ."""
    if isinstance(evaluation, HasEffectWeights):
        return evaluation.effect_weights(i)
    return np.asarray(spec.all_terms[i].collect(evaluation.Py) @ spec.sigmas(evaluation.theta)[i])


def effects(spec: ModelSpec, evaluation: Evaluation, i: int) -> Float:
    """û (L, k) of every level in `roster`: Σ ⊗ A_{·,s} times ZᵀPy, so relatives come through the cross-covariance."""
    term = spec.terms[i]
    who = roster(term)
    if (who.seen >= 0).all():
        return np.asarray(evaluation.blup(i))[who.seen]
    wide = np.zeros((len(term.covariance.labels), term.k))
    wide[term.positions] = effect_weights(spec, evaluation, i)
    return np.asarray(term.covariance.matmat(wide))[who.positions]


def error_covariance(spec: ModelSpec, evaluation: Evaluation, i: int, *, fixed_known: bool = False) -> Float:
    """Var(û − u), (L, k, k), of every level in `roster`.

    PEV by default; with ``fixed_known=True`` lme4's condVar, Var(u | y, β).
    """
    term = spec.terms[i]
    who = roster(term)
    everyone = getattr(evaluation, "prediction_cov_of_labels", None)
    known = everyone(i, fixed_known=fixed_known) if everyone is not None else None
    if known is not None:
        return np.asarray(known)[who.positions]
    out = np.empty((len(who.labels), term.k, term.k))
    old = who.seen >= 0
    if old.any():
        out[old] = np.asarray(evaluation.prediction_cov(i, fixed_known=fixed_known))[who.seen[old]]
    strangers = np.flatnonzero(~old)
    step = max(1, CHUNK // (spec.n * term.k))
    for at in range(0, len(strangers), step):
        some = strangers[at : at + step]
        out[some] = _relatives(spec, evaluation, i, who.positions[some], fixed_known)
    return out


def prior_covariance(spec: ModelSpec, theta: Float, i: int) -> Float:
    """A_ll Σ, (L, k, k), of every level in `roster`."""
    term = spec.terms[i]
    diagonal = term.covariance.diagonal(roster(term).positions)
    return np.asarray(diagonal)[:, None, None] * spec.sigmas(theta)[i]


def _relatives(spec: ModelSpec, evaluation: Evaluation, i: int, who: Positions, fixed_known: bool) -> Float:
    """Σ A_ss − Cov(u_s, y) P Cov(y, u_s) of levels without records, (len(who), k, k)."""
    term = spec.terms[i]
    Sigma = spec.sigmas(evaluation.theta)[i]
    across = np.asarray(term.covariance.block(term.positions, who))[term.codes]
    C = np.einsum("ns,na->nsa", across, term.basis @ Sigma).reshape(spec.n, -1)
    inner = evaluation.solve(C) if fixed_known else evaluation.project(C)
    shape = (spec.n, len(who), term.k)
    taken = np.einsum("nsa,nsb->sab", C.reshape(shape), np.asarray(inner).reshape(shape))
    return np.asarray(term.covariance.diagonal(who))[:, None, None] * Sigma - taken


def reliability(pev: Float, prior: Float) -> Float:
    """1 − PEV/diag(G), (L, k); NaN for an effect whose variance is zero."""
    diagonal, total = np.einsum("lkk->lk", pev), np.einsum("lkk->lk", prior)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(total > 0, 1 - diagonal / total, np.nan)
