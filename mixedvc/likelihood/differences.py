"""The observed information as the derivative of an exact score, by differences that stay inside the cone Σ ⪰ 0.

−∂²ℓ/∂θ² costs tr(T V_jT V_k), which needs more than the equations' non-zeros; the score costs no more than those.
Along a direction in which Σ may move both ways the difference is central, on a curve Σ + hD + h²C that stays in the
cone (its h² term cancels); from an edge of the cone it is one-sided, of second order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.columns import orthogonalising

Float = NDArray[np.float64]
STEP = 6e-5  # of what V is made of in the direction
_LEAST = 0.02  # variance of a typical row over its residual's below which steps do not shrink further


@dataclass(frozen=True)
class Move:
    """Σ of one term moves by ±h `first` + h² `second` (both ways), or by h and 2h `first` (inward)."""

    term: int
    first: Float
    second: Float
    h: float
    inward: bool


def observed_by_differences(
    score: Callable[[Float], Float],
    spec: ModelSpec,
    theta: Float,
    directions_of: Callable[[Float], Float] | None = None,
) -> Float:
    """(m, m) −∂score/∂θ at θ, to about eight digits of its largest entries.

    Parameters
    ----------
    score : callable
        θ (m,) → exact score (m,); called twice for each parameter, and once more at θ.
    spec : ModelSpec
    theta : (m,)
    directions_of : callable, optional
        Directions of θ (r, m) → of the parameters by which `score` and the answer are derivatives, where not θ's own.
    """
    sigmas = spec.sigmas(theta)
    here = score(theta)
    directions, changes = [], []
    for move in _moves(spec, sigmas):
        h = move.h
        if move.inward:
            one, two = (score(_moved(spec, sigmas, move.term, f * h * move.first)) for f in (1.0, 2.0))
            change = (4.0 * one - two - 3.0 * here) / (2.0 * h)
        else:
            bend = h * h * move.second
            up, down = (score(_moved(spec, sigmas, move.term, f * h * move.first + bend)) for f in (1.0, -1.0))
            change = (up - down) / (2.0 * h)
        directions.append(spec.theta([move.first if i == move.term else 0.0 * S for i, S in enumerate(sigmas)]))
        changes.append(-change)
    D = np.array(directions)
    return _combined(D if directions_of is None else directions_of(D), np.array(changes))


def _combined(D: Float, changes: Float) -> Float:
    """I from I d = change for independent directions d (rows of D), in units that make the directions alike."""
    size = np.abs(D).max(axis=0)
    size = np.where(size > 0.0, size, 1.0)
    information = la.small_solve(D / size, changes * size)  # rows: I in units of the parameters
    information = information / size[:, None] / size
    return 0.5 * (information + information.T)


def _moved(spec: ModelSpec, sigmas: list[Float], term: int, change: Float) -> Float:
    return spec.theta([S + change if i == term else S for i, S in enumerate(sigmas)])


def _moves(spec: ModelSpec, sigmas: list[Float]) -> list[Move]:
    alone = spec.theta([*(0.0 * S for S in sigmas[:-1]), sigmas[-1]])
    mean_residual = float(np.mean(spec.residual_variances(alone)))
    moves = []
    for i, (term, Sigma) in enumerate(zip(spec.all_terms, sigmas, strict=True)):
        residual = i == len(spec.terms)
        frame = np.diag(np.sqrt(np.diagonal(Sigma))) if residual else _frame(term, mean_residual)
        moves += _term_moves(i, term.structure.pairs, Sigma, frame, residual=residual)
    return moves


def _frame(term: Term, residual: float) -> Float:
    """F (k, k): Σ = F Σ' Fᵀ with Σ' in units of the residual variance, of orthogonal effects where all entries move."""
    basis, k = term.basis, term.k
    diagonal = term.covariance.diagonal(term.positions)[term.codes][:, None]
    T = np.eye(k)
    if k > 1 and len(term.structure.pairs) == k * (k + 1) // 2 and (C := orthogonalising(basis)) is not None:
        T = C / np.sqrt(np.mean(np.square(basis), axis=0))[:, None]
        basis = basis @ T
    mean = (basis**2 * diagonal).sum(axis=0) / np.maximum((basis != 0.0).sum(axis=0), 1)
    return np.asarray(T * np.sqrt(residual / np.where(mean > 0.0, mean, 1.0)))


def _term_moves(
    i: int, pairs: tuple[tuple[int, int], ...], Sigma: Float, frame: Float, *, residual: bool
) -> list[Move]:
    """Directions along the eigenvectors of Σ in units of `frame` (along its own axes where these alone may move)."""
    k = len(Sigma)
    inverse = la.small_solve(frame, np.eye(k))
    scaled = inverse @ Sigma @ inverse.T
    if all(a == b for a, b in pairs):
        values, vectors = np.diagonal(scaled), np.eye(k)
    else:
        values, vectors = la.small_eigh(scaled)
    axes = (frame @ vectors).T
    found = []
    for a, b in pairs:
        low, high = (a, b) if values[a] <= values[b] else (b, a)
        least = 0.0 if residual else _LEAST
        h = STEP * max(float(np.sqrt(max(values[low], least) * max(values[high], least))), 1e-300)
        nothing = np.zeros((k, k))
        if a == b:
            found.append(Move(i, np.outer(axes[a], axes[a]), nothing, h, inward=bool(values[a] <= 2.0 * h)))
        elif values[high] <= 2.0 * h:
            both = axes[a] + axes[b]
            found.append(Move(i, np.outer(both, both), nothing, h, inward=True))
        else:
            cross = np.outer(axes[a], axes[b])
            bend = np.outer(axes[low], axes[low]) / values[high]
            found.append(Move(i, cross + cross.T, bend, h, inward=False))
    return found
