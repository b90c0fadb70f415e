"""Prediction of rows old and new: means, standard errors, confidence and prediction intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Positions
from ..covariance.new_features import NewFeatures
from ..design.spec import ModelSpec, Term
from ..errors import DataError, OptionError
from ..likelihood.base import Evaluation
from .blup import CHUNK, effect_weights, effects, roster
from .features import features_of

Float = NDArray[np.float64]
NEW_LEVELS = ("error", "zero", "conditional")


@dataclass(frozen=True)
class TermRows:
    """One term's part of the rows to predict.

    Attributes
    ----------
    seen : (r,) intp
        Position in ``term.levels``; −1 for a level without rows in the fit.
    positions : (r,) intp
        Position in ``term.covariance.labels``; −1 where the covariance does not know the level either.
    basis : (r, k)
    outside : (r,) intp, optional
        Position in `new`, for levels that are known by their own features only; −1 for the others.
    new : NewFeatures, optional
    label : (r,) intp, optional
        Rows of one level have one number, known or not; −1 where the level is missing.
    """

    seen: Positions
    positions: Positions
    basis: Float
    outside: Positions | None = None
    new: NewFeatures | None = None
    label: Positions | None = None

    @property
    def foreign(self) -> NDArray[np.bool_]:
        """(r,) rows whose level is in `new`."""
        return np.zeros(len(self.seen), dtype=bool) if self.outside is None else self.outside >= 0

    def at(self, some: Positions) -> TermRows:
        """The rows at `some`."""
        outside, label = (None if of is None else of[some] for of in (self.outside, self.label))
        return TermRows(self.seen[some], self.positions[some], self.basis[some], outside, self.new, label)


@dataclass(frozen=True)
class Rows:
    """Rows to predict: X (r, p), the chosen random terms, offset and weights, and the cell of the residual (r,).

    −1 is a cell that is not known; None stands for the only variance that there is.
    """

    X: Float
    terms: dict[int, TermRows]
    offset: Float | None = None
    weights: Float | None = None
    residual: Positions | None = None


def choose_terms(spec: ModelSpec, random: str | Sequence[str]) -> tuple[int, ...]:
    """Positions of the random terms named by `random`: "all", "none" or a list of names (``Term.name``)."""
    if isinstance(random, str) and random in ("all", "none"):
        return tuple(range(len(spec.terms))) if random == "all" else ()
    wanted = [random] if isinstance(random, str) else list(random)
    names = [term.name for term in spec.terms]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        has = f"terms {', '.join(map(repr, names))}" if names else "no random terms"
        raise OptionError(f"random={random!r}: no random term is called {unknown[0]!r}; 'all', 'none' or {has}")
    return tuple(i for i, name in enumerate(names) if name in wanted)


def training_rows(spec: ModelSpec, chosen: Sequence[int]) -> Rows:
    """The rows of the fit."""
    parts = {i: TermRows(t.codes, t.positions[t.codes], t.basis) for i, t in enumerate(spec.terms) if i in chosen}
    return Rows(spec.X, parts, spec.offset, spec.weights, np.argmax(spec.residual.basis != 0.0, axis=1))


def match_levels(
    term: Term, levels: NDArray[np.object_], basis: Float, new_levels: str, new: NewFeatures | None = None
) -> TermRows:
    """Find each row's level among those of the fit, of the covariance and of new features; refuse strangers if so told.

    A missing level (None) makes the row's prediction NaN.
    """
    if new_levels not in NEW_LEVELS:
        raise OptionError(f"new_levels={new_levels!r} is not one of {', '.join(map(repr, NEW_LEVELS))}")
    present = np.array([level is not None for level in levels], dtype=bool)
    where = {label: j for j, label in enumerate(term.levels)}
    unique, inverse = _unique(levels[present])
    seen = np.array([where.get(label, -1) for label in unique], dtype=np.intp)
    positions = np.asarray(term.covariance.positions(unique), dtype=np.intp)
    outside = np.full(len(unique), -1, dtype=np.intp) if new is None else new.positions(unique)
    outside[seen >= 0] = -1
    strangers = (seen < 0) & (outside < 0)
    if new_levels == "error" and strangers.any():
        raise DataError(_stranger_message(term, unique[strangers], positions[strangers] >= 0))
    rows = np.full((4, len(levels)), -1, dtype=np.intp)
    rows[:, present] = seen[inverse], positions[inverse], outside[inverse], inverse
    return TermRows(rows[0], rows[1], np.where(present[:, None], basis, np.nan), rows[2], new, rows[3])


def _unique(levels: NDArray[np.object_]) -> tuple[NDArray[np.object_], Positions]:
    """Distinct levels in order of appearance (labels need not be sortable) and each row's place among them."""
    order: dict[object, int] = {}
    inverse = np.fromiter((order.setdefault(x, len(order)) for x in levels), dtype=np.intp, count=len(levels))
    unique = np.empty(len(order), dtype=object)
    unique[:] = list(order)
    return unique, inverse


def _stranger_message(term: Term, labels: NDArray[np.object_], relatives: NDArray[np.bool_]) -> str:
    shown = ", ".join(repr(str(x)) for x in labels[:10]) + (f" and {len(labels) - 10} more" if len(labels) > 10 else "")
    text = (
        f"{term.text}: {len(labels)} level{'s' * (len(labels) > 1)} of {term.group!r} had no rows in the fit: {shown}."
    )
    known = int(relatives.sum())
    if known:
        text += f" {known} of them {'is' if known == 1 else 'are'} in cov[{term.cov_name!r}]:"
        text += " new_levels='conditional' predicts relatives through the known covariance;"
    else:
        text += f" None of them is in cov[{term.cov_name!r}]." if term.cov_name is not None else ""
        text += " new_levels='conditional' predicts them at their prior mean, with prior variance;"
    return text + " new_levels='zero' leaves the term out for them; random='none' predicts the population."


def predict_mean(spec: ModelSpec, evaluation: Evaluation, rows: Rows, new_levels: str = "error") -> Float:
    """x'β̂ + offset + Σ z'û of each row, (r,).

    Levels without rows in the fit count 0, except under "conditional" where the covariance knows them.
    """
    out = rows.X @ evaluation.beta
    if rows.offset is not None:
        out = out + rows.offset
    for i, part in rows.terms.items():
        out = out + _term_mean(spec, evaluation, i, part, new_levels)
    return out


def _term_mean(spec: ModelSpec, evaluation: Evaluation, i: int, part: TermRows, new_levels: str) -> Float:
    known, foreign = part.seen >= 0, part.foreign
    related = (part.positions >= 0) & ~known & ~foreign
    if new_levels == "conditional" and related.any():
        who = roster(spec.terms[i])
        at = np.full(len(spec.terms[i].covariance.labels), -1, dtype=np.intp)
        at[who.positions] = np.arange(len(who.positions))
        u, where, use = effects(spec, evaluation, i), at[part.positions], known | related
    else:
        u, where, use = np.asarray(evaluation.blup(i)), part.seen, known
    values = np.einsum("rk,rk->r", part.basis, u[where])
    if foreign.any():
        values[foreign] = np.einsum("rk,rk->r", part.basis[foreign], _foreign_effects(spec, evaluation, i, part))
        use = use | foreign
    return np.where(use | np.isnan(part.basis).any(axis=1), values, 0.0)


def _foreign_effects(spec: ModelSpec, evaluation: Evaluation, i: int, part: TermRows) -> Float:
    """û of the rows whose level is in ``part.new``: Σ ⊗ A[new, known] times ZᵀPy."""
    assert part.new is not None and part.outside is not None
    term = spec.terms[i]
    distinct, inverse = np.unique(part.outside[part.foreign], return_inverse=True)
    u = part.new.times(distinct, features_of(term)[1], effect_weights(spec, evaluation, i))
    return u[inverse]


def prediction_variance(spec: ModelSpec, evaluation: Evaluation, rows: Rows, new_levels: str = "error") -> Float:
    """Var of the error of `predict_mean` as a guess of x'β + Σ z'u, (r,), with Var(β̂) and Cov(β̂, û) in it.

    With c = Cov(y, z'u) and d = x − XᵀV⁻¹c:  z'Gz − cᵀV⁻¹c + dᵀ(XᵀV⁻¹X)⁻¹d  (Henderson).
    """
    whole = np.isfinite(rows.X).all(axis=1)
    for part in rows.terms.values():
        whole &= np.isfinite(part.basis).all(axis=1)
    out = np.full(len(rows.X), np.nan)
    positions = np.flatnonzero(whole)
    step = max(1, CHUNK // spec.n)
    for at in range(0, len(positions), step):
        some = positions[at : at + step]
        out[some] = _slab_variance(spec, evaluation, _subset(rows, some), new_levels)
    return out


def _subset(rows: Rows, some: Positions) -> Rows:
    parts = {i: part.at(some) for i, part in rows.terms.items()}
    return Rows(rows.X[some], parts)


def _slab_variance(spec: ModelSpec, evaluation: Evaluation, rows: Rows, new_levels: str) -> Float:
    c, prior = np.zeros((spec.n, len(rows.X))), np.zeros(len(rows.X))
    for i, part in rows.terms.items():
        c_i, prior_i = _term_covariance(spec, evaluation, i, part, new_levels)
        c, prior = c + c_i, prior + prior_i
    solved = np.asarray(evaluation.solve(c)) if rows.terms else c
    d = rows.X - solved.T @ spec.X
    explained = np.einsum("nr,nr->r", c, solved)
    return np.maximum(prior - explained + np.einsum("rp,pq,rq->r", d, evaluation.beta_cov, d), 0.0)


def _term_covariance(
    spec: ModelSpec, evaluation: Evaluation, i: int, part: TermRows, new_levels: str
) -> tuple[Float, Float]:
    """Cov(y, z'u) (n, r) and Var(z'u) (r,) of one term, or of the residual of records of several traits."""
    term, Sigma = spec.all_terms[i], spec.sigmas(evaluation.theta)[i]
    foreign = part.foreign
    counted = (part.positions >= 0 if new_levels == "conditional" else part.seen >= 0) & ~foreign
    distinct, inverse = np.unique(part.positions[counted], return_inverse=True)
    A = np.asarray(term.covariance.block(term.positions, distinct))[np.ix_(term.codes, inverse)]
    c = np.zeros((spec.n, len(counted)))
    c[:, counted] = A * (term.basis @ Sigma @ part.basis[counted].T)
    spread = np.zeros(len(counted))
    spread[counted] = np.asarray(term.covariance.diagonal(distinct))[inverse]
    if foreign.any():
        assert part.new is not None and part.outside is not None
        distinct, inverse = np.unique(part.outside[foreign], return_inverse=True)
        A = part.new.block(distinct, features_of(term)[1]).T[np.ix_(term.codes, inverse)]
        c[:, foreign] = A * (term.basis @ Sigma @ part.basis[foreign].T)
        spread[foreign] = part.new.diagonal(distinct)[inverse]
    if new_levels == "conditional":  # a level nobody knows: prior mean zero, prior variance of an average level
        spread[~counted & ~foreign] = float(np.mean(term.covariance.diagonal(term.positions)))
    return c, spread * np.einsum("rk,kl,rl->r", part.basis, Sigma, part.basis)


def held_out(whole: ModelSpec, part: ModelSpec, at: Positions) -> Rows:
    """Rows of `whole` as new rows for the model `part` of some other of its rows (`design.subset.take_rows`).

    Fixed-effect columns that `part` had to drop count zero, as they do in its fit.
    """
    columns = np.array([whole.x_names.index(name) for name in part.x_names], dtype=np.intp)
    parts = {}
    for i, (term, fitted) in enumerate(zip(whole.terms, part.terms, strict=True)):
        seen = np.full(len(term.covariance.labels), -1, dtype=np.intp)
        seen[fitted.positions] = np.arange(fitted.q)
        positions = term.positions[term.codes[at]]
        parts[i] = TermRows(seen[positions], positions, term.basis[at])
    offset, weights = (None if values is None else values[at] for values in (whole.offset, whole.weights))
    cell = np.argmax(whole.residual.basis[at] != 0.0, axis=1)
    return Rows(whole.X[np.ix_(at, columns)], parts, offset, weights, cell)
