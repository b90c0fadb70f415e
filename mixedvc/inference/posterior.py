"""A posterior in the place of one model: effects and predictions averaged over draws of θ, exactly given each θ.

Given θ, β and u are normal, so that their posterior moments are averages over θ of moments that are known
(Rao-Blackwell).  With β̃(θ) = E(β | θ, y), C̃(θ) = Var(β | θ, y) and ũ(θ) = GZᵀV⁻¹(y − Xβ̃)

    E(u | y)   = E_θ ũ(θ)
    Var(u | y) = E_θ [Var(u | θ, β, y) + D C̃ Dᵀ] + Var_θ ũ(θ),      D = GZᵀV⁻¹X         (law of total variance)

Under a flat prior of β the bracket is Henderson's prediction error variance.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Evaluation, Likelihood
from ..likelihood.gaussian import levels_matmat
from ..linalg import dense as la
from ..linalg.threads import blas_threads
from ..sampling.base import Draws
from .blup import effects, error_covariance, prior_covariance, roster

Float = NDArray[np.float64]
Positions = NDArray[np.intp]
FOR_MEANS = 500  # draws of θ that averages are taken over, evenly spaced among those kept
FOR_VARIANCES = 200, 500  # fewest and most: rows times effects decide
_LARGE = 2000  # rows
_ENTRIES = 4e7  # rows × effects × draws of θ


@dataclass(frozen=True)
class PosteriorMeans:
    """What `predict_mean` and the like ask of an evaluation, at one θ or averaged over many.

    Attributes
    ----------
    spec : ModelSpec
    beta : (p,)
        Posterior means of the fixed effects.
    weights : tuple of (q, k)
        Of every term, the residual last: E[Zᵀ V⁻¹(y − Xβ̃) Σ], so that E(u | y) = A_{·,levels} W at any labels.
    """

    spec: ModelSpec
    beta: Float
    weights: tuple[Float, ...]

    def effect_weights(self, i: int) -> Float:
        """(q, k) of term `i`."""
        return self.weights[i]

    def blup(self, i: int) -> Float:
        """(q, k) E(u | y) of the levels in the data."""
        return np.asarray(levels_matmat(self.spec.all_terms[i], self.weights[i]))


def spaced(draws: Draws, count: int) -> tuple[Positions, Positions]:
    """Chain and number of at most `count` kept draws in all, evenly spaced, the same of every chain."""
    each = min(draws.count, max(1, -(-count // draws.chains)))
    at = np.floor((np.arange(each) + 0.5) * draws.count / each).astype(np.intp)
    return np.repeat(np.arange(draws.chains), each), np.tile(at, draws.chains)


def one_by_one(spec: ModelSpec) -> AbstractContextManager[Any]:
    """Context for many small evaluations after each other: BLAS threads that wait for work slow them down manifold."""
    return blas_threads(1 if spec.n < _LARGE else None)


def distinct_thetas(draws: Draws, count: int) -> tuple[Float, Float]:
    """(K, m) different θ among `spaced` draws and (K,) the share of the draws that each stands for."""
    thetas, times = np.unique(draws.theta[spaced(draws, count)], axis=0, return_counts=True)
    return thetas, times / times.sum()


def beta_law(beta: Float, cov: Float, fixed: Any) -> tuple[Float, Float]:
    """Mean and covariance of β given θ from β̂, C = (XᵀV⁻¹X)⁻¹ and its normal prior: (C⁻¹ + B⁻¹)⁻¹ without C⁻¹."""
    if fixed is None or not len(beta):
        return beta, cov
    CP = cov @ fixed.precision
    step = la.small_solve(np.eye(len(beta)) + CP, np.column_stack([CP @ (fixed.mean - beta), cov]))
    return beta + step[:, 0], 0.5 * (step[:, 1:] + step[:, 1:].T)


def conditional_means(spec: ModelSpec, at: Evaluation, fixed: Any) -> PosteriorMeans:
    """E(β | θ, y) and what E(u | θ, y) follows from, under the normal prior `fixed` of β (None: flat)."""
    beta, _ = beta_law(np.asarray(at.beta), np.asarray(at.beta_cov), fixed)
    Py = np.asarray(at.Py)
    if fixed is not None and spec.p:
        Py = Py + np.asarray(at.solve(spec.X @ (at.beta - beta)))
    weights = tuple(
        np.asarray(term.collect(Py) @ S) for term, S in zip(spec.all_terms, spec.sigmas(at.theta), strict=True)
    )
    return PosteriorMeans(spec, beta, weights)


def posterior_means(likelihood: Likelihood, draws: Draws, fixed: Any, count: int = FOR_MEANS) -> PosteriorMeans:
    """Averages over the draws of θ; β is averaged over all kept draws."""
    spec = likelihood.spec
    thetas, shares = distinct_thetas(draws, count)
    total = [np.zeros((term.q, term.k)) for term in spec.all_terms]
    with one_by_one(spec):
        for theta, share in zip(thetas, shares, strict=True):
            for sum_, part in zip(total, conditional_means(spec, likelihood.at(theta), fixed).weights, strict=True):
                sum_ += share * part
    return PosteriorMeans(spec, draws.beta.mean(axis=(0, 1)), tuple(total))


def posterior_covariances(
    likelihood: Likelihood, draws: Draws, fixed: Any, count: int | None = None
) -> tuple[list[Float], list[Float]]:
    """Var(u | y) and the prior variances E_θ(A_ll Σ), (L, k, k) of every level in the roster of every term."""
    spec = likelihood.spec
    shapes = [(len(roster(term).labels), term.k) for term in spec.terms]
    if count is None:
        count = int(np.clip(_ENTRIES / (spec.n * max(1, sum(L * k for L, k in shapes))), *FOR_VARIANCES))
    thetas, shares = distinct_thetas(draws, count)
    within, prior = ([np.zeros((*shape, shape[1])) for shape in shapes] for _ in range(2))
    means = [np.empty((len(thetas), *shape)) for shape in shapes]
    with one_by_one(spec):
        for d, (theta, share) in enumerate(zip(thetas, shares, strict=True)):
            at = likelihood.at(theta)
            given = conditional_means(spec, at, fixed)
            for i in range(len(spec.terms)):
                within[i] += share * _given_theta(spec, at, i, fixed)
                prior[i] += share * prior_covariance(spec, theta, i)
                means[i][d] = effects(spec, given, i)  # type: ignore[arg-type]
    for i, u in enumerate(means):
        u -= np.einsum("d,dla->la", shares, u)
        within[i] += np.einsum("d,dla,dlb->lab", shares, u, u)
    return within, prior


def _given_theta(spec: ModelSpec, at: Evaluation, i: int, fixed: Any) -> Float:
    """Var(u | θ, y) (L, k, k): Henderson's, or with C̃ in the place of C under a normal prior of β."""
    if fixed is None or not spec.p:
        return error_covariance(spec, at, i)
    _, cov = beta_law(np.asarray(at.beta), np.asarray(at.beta_cov), fixed)
    term, who = spec.terms[i], roster(spec.terms[i])
    solved = np.asarray(at.solve(spec.X))
    wide = np.zeros((len(term.covariance.labels), term.k * spec.p))
    collected = np.einsum("qap,ab->qbp", term.collect(solved), spec.sigmas(at.theta)[i])
    wide[term.positions] = collected.reshape(term.q, -1)
    D = np.asarray(term.covariance.matmat(wide))[who.positions].reshape(-1, term.k, spec.p)
    return error_covariance(spec, at, i, fixed_known=True) + np.einsum("lap,pq,lbq->lab", D, cov, D)
