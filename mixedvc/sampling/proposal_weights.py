"""What importance weights say of a proposal: Pareto k, the acceptance and the efficiency of independence chains."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Float = NDArray[np.float64]
GOOD_K = 0.7  # Pareto k from which importance weights have no usable variance
_LONGEST = 100.0  # stay of a chain that counts: slice steps end longer ones


def truncated(log_weights: Float, least: float = 20.0) -> Float:
    """Weights summing to one, none above √K times their mean (Ionides 2008), worth `least` points or half of them.

    Where a few points rule all the same, the weights are taken to a power below one: an early proposal far from the
    posterior still learns which way to go.
    """
    least, power = min(least, 0.5 * len(log_weights)), 1.0
    for _ in range(30):
        log = power * log_weights
        log = log - logsumexp(log)
        log = np.minimum(log, -0.5 * np.log(len(log)))
        weights = np.exp(log - logsumexp(log))
        if np.square(weights).sum() * least <= 1.0:
            break
        power *= 0.7
    return np.asarray(weights)


def expected_acceptance(log_weights: Float) -> float:
    """Acceptance rate of independence proposals at stationarity, from weights of points of the proposal.

    E min(w, w')/E w over two independent points: of the sorted weights, each is the smaller against those above it.
    """
    finite = log_weights[np.isfinite(log_weights)]
    if len(finite) < 2:
        return 0.0
    w = np.zeros(len(log_weights))
    w[: len(finite)] = np.exp(finite - finite.max())
    w = np.sort(w)
    n = len(w)
    return float(2.0 * (w * np.arange(n - 1, -1, -1)).sum() / ((n - 1) * w.sum()))


def acceptance_at(log_weights: Float, points: Float) -> Float:
    """(K,) chance that a proposal is accepted at points of log weight `points`, E min(1, w'/w).

    `log_weights` are those of points of the proposal.
    """
    top = max(float(log_weights.max(initial=-np.inf)), float(points.max(initial=-np.inf)))
    w = np.sort(np.exp(log_weights[np.isfinite(log_weights)] - top))
    v = np.exp(points - top)
    below = np.concatenate([[0.0], np.cumsum(w)])
    rank = np.searchsorted(w, v)
    return np.asarray((below[rank] / np.maximum(v, 1e-300) + (len(w) - rank)) / max(len(log_weights), 1))


def expected_efficiency(log_weights: Float, points: Float | None = None) -> float:
    """Effective draws of an iteration of independence proposals.

    A chain stays 1/a iterations at a point where proposals are accepted with chance a, and goes on to one that does
    not depend on it: as in a renewal process, 1 / E(2/a − 1) over the posterior.  The posterior is that of the weighted
    points themselves, or of `points` (K,), log weights at points of a Markov chain, which has been where the proposal
    does not go.
    """
    finite = log_weights[np.isfinite(log_weights)]
    if len(finite) < 2:
        return 0.0
    where = finite if points is None else points
    share = np.exp(finite - logsumexp(finite)) if points is None else np.full(len(points), 1.0 / len(points))
    stay = np.minimum(2.0 / np.maximum(acceptance_at(log_weights, where), 1e-300) - 1.0, _LONGEST)
    return float(1.0 / (share @ stay))


def pareto_k(log_weights: Float) -> float:
    """Shape of the generalised Pareto fitted to the upper tail of importance weights: above 0.7 they cannot be used.

    Vehtari, Simpson, Gelman, Yao & Gabry (2024) JMLR 25:72; the fit is Zhang & Stephens (2009) Technometrics 51:316,
    with the weak prior at ½ that the former use.
    """
    finite = log_weights[np.isfinite(log_weights)]
    count = len(finite)
    tail = int(min(0.2 * count, 3.0 * np.sqrt(count)))
    if tail < 5:
        return np.inf
    ordered = np.sort(finite)
    cut = ordered[-tail - 1]
    above = np.exp(ordered[-tail:] - ordered[-1]) - np.exp(cut - ordered[-1])
    if above[-1] <= 0.0:
        return -np.inf
    return generalised_pareto(np.maximum(above, 1e-300 + 1e-15 * above[-1]))


def generalised_pareto(x: Float) -> float:
    """Shape k of a generalised Pareto from excesses x > 0 in ascending order, as Zhang & Stephens estimate it."""
    n = len(x)
    grid = 30 + int(np.sqrt(n))
    quartile = x[int(n / 4 + 0.5) - 1]
    b = 1.0 / x[-1] + (1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3.0 * quartile)
    k = np.log1p(-b[:, None] * x).mean(axis=1)
    profile = n * (np.log(-b / k) - k - 1.0)
    weights = np.exp(profile - logsumexp(profile))
    shape = float(np.log1p(-(weights @ b) * x).mean())
    return (n * shape + 10.0 * 0.5) / (n + 10.0)
