"""Numbers behind a diagnosis: what is left of the gradient, directions the data do not tell, residuals by moments and
groups."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..design.spec import ModelSpec, Term
from ..estimators.base import PointEstimate
from ..likelihood.base import Evaluation, information_along
from ..linalg import dense as la
from ..linalg.dense import small_eigh
from .parameters import jacobian, par_slices

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Slope:
    """The criterion at the estimate, in the parameters that are free.

    Attributes
    ----------
    decrement : float
        gᵀI⁻¹g, twice the rise of the log-likelihood that a Newton step still promises.
    weakest : float
        Smallest eigenvalue of the information scaled to a unit diagonal: 0 where parameters cannot be told apart.
    direction : (n_par,)
        Its eigenvector.
    """

    decrement: float
    weakest: float
    direction: Float


def slope(spec: ModelSpec, evaluation: Evaluation, estimate: PointEstimate) -> Slope | None:
    """None where nothing is free."""
    T = free_directions(spec, estimate)
    if not len(T):
        return None
    D = T @ jacobian(spec, estimate.par).T
    information = information_along(evaluation, "average", D)
    gradient = D @ np.asarray(evaluation.score)
    size = np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    values, vectors = small_eigh(information / np.outer(size, size))
    along = vectors.T @ (gradient / size)
    seen = values > 1e-10
    direction = T.T @ vectors[:, 0]
    direction /= max(float(np.sqrt(direction @ direction)), 1e-300)
    return Slope(float((along[seen] ** 2 / values[seen]).sum()), float(values[0]), direction)


def free_directions(spec: ModelSpec, estimate: PointEstimate) -> Float:
    """(d, n_par) directions in which the parameters can move both ways: each by itself, or along the face of a Σ.

    An unstructured Σ of rank r < k moves among the matrices of this rank: its score need not vanish in any other
    direction, not even in that of one of its variances.
    """
    free, out = ~(estimate.at_bound | estimate.fixed), []
    for term, Sigma, of in zip(spec.all_terms, spec.sigmas(estimate.theta), par_slices(spec), strict=True):
        singular = term.structure.name == "us" and term.k > 1 and estimate.at_bound[of].any()
        rows = np.eye(len(free))[of][free[of]]
        if singular and not estimate.fixed[of].any():
            rows = np.zeros((0, len(free)))
            moves = _tangents(Sigma)
            if len(moves):
                rows = np.zeros((len(moves), len(free)))
                rows[:, of] = [[move[a, b] for a, b in term.structure.pairs] for move in moves]
        out.append(rows)
    return np.concatenate(out)


def _tangents(Sigma: Float) -> list[Float]:
    """Symmetric matrices that change Σ = S C S without changing its rank, to first order."""
    sd = np.sqrt(np.maximum(np.diagonal(Sigma), 0.0))
    unit = np.where(sd > 0, sd, 1.0)
    values, vectors = small_eigh(Sigma / np.outer(unit, unit))
    inside = np.flatnonzero(values > 1e-8)
    turned = vectors * unit[:, None]
    out = []
    for i in inside.tolist():
        for j in range(len(values)):
            if j not in inside or j >= i:
                out.append(np.outer(turned[:, i], turned[:, j]) + np.outer(turned[:, j], turned[:, i]))
    return out


def moments(r: Float) -> tuple[float, float, float, float]:
    """Skewness and excess kurtosis with their z values under normality (n large)."""
    n = len(r)
    z = (r - r.mean()) / max(float(r.std()), 1e-300)
    skew, kurtosis = float(np.mean(z**3)), float(np.mean(z**4)) - 3.0
    return skew, skew / np.sqrt(6.0 / n), kurtosis, kurtosis / np.sqrt(24.0 / n)


def bonferroni(n: int, level: float = 0.05) -> float:
    """|z| that one of n normal values exceeds with probability `level`."""
    return float(stats.norm.isf(level / (2.0 * max(n, 1))))


def levene(r: Float, codes: NDArray[np.intp]) -> tuple[float, Float]:
    """p-value of Brown and Forsythe's test of equal spread, and the variance in each group of two rows or more."""
    groups = [r[codes == c] for c in np.unique(codes)]
    usable = [g for g in groups if len(g) >= 3]
    variances = np.array([g.var(ddof=1) if len(g) > 1 else np.nan for g in groups])
    if len(usable) < 2:
        return 1.0, variances
    deviations = [np.abs(g - np.median(g)) for g in usable]
    if all(float(np.ptp(d)) == 0.0 for d in deviations):
        return 1.0, variances
    return float(stats.f_oneway(*deviations).pvalue), variances


def funnel(fitted: Float, r: Float) -> tuple[float, float]:
    """Spearman's correlation of |r| with the fitted values, and its p-value."""
    if np.ptp(fitted) == 0.0 or np.ptp(np.abs(r)) == 0.0:
        return 0.0, 1.0
    found = stats.spearmanr(fitted, np.abs(r))
    return float(found.statistic), float(found.pvalue)


def neighbours(r: Float, codes: NDArray[np.intp]) -> tuple[float, float]:
    """Correlation of each row's residual with the next one's of its group, and its z value against what centring gives.

    Residuals that add up to about zero in groups of s rows have a correlation of about −1/s without any of their own.
    """
    order = np.argsort(codes, kind="stable")
    pairs = np.flatnonzero(codes[order][1:] == codes[order][:-1])
    if len(pairs) < 20:
        return 0.0, 0.0
    one, two = r[order][pairs], r[order][pairs + 1]
    size = float(np.mean(r**2))
    value = float(np.mean(one * two)) / max(size, 1e-300)
    expected = -float(np.mean(1.0 / np.bincount(codes)[codes[order][pairs]]))
    return value, (value - expected) * np.sqrt(len(pairs))


def standardised_effects(spec: ModelSpec, evaluation: Evaluation, i: int) -> Float:
    """(q, k) BLUPs over the standard deviations they have under the model, √(Var u − PEV)."""
    term: Term = spec.terms[i]
    u = np.asarray(evaluation.blup(i))
    prior = np.asarray(term.covariance.diagonal(term.positions))[:, None] * np.diagonal(
        spec.sigmas(evaluation.theta)[i]
    )
    error = np.einsum("qkk->qk", np.asarray(evaluation.prediction_cov(i)))
    spread = np.sqrt(np.maximum(prior - error, 0.0))
    return np.divide(u, spread, out=np.zeros_like(u), where=spread > 1e-8 * np.sqrt(np.maximum(prior, 1e-300)))


def principal_axes(Sigma: Float) -> tuple[Float, Float]:
    """(k,) variances and (k, k) loadings of the principal components of a term's effects, largest first."""
    values, vectors = la.small_eigh(Sigma)
    order = np.argsort(values)[::-1]
    vectors = vectors[:, order]
    signs = np.where(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(len(vectors))] < 0, -1.0, 1.0)
    return np.maximum(values[order], 0.0), vectors * signs
