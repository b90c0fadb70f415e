"""How well a posterior predicts: pointwise log-likelihoods, deviances, WAIC and log evidence.

Given θ, β and u the units are independent: rows, or groups of rows whose residuals depend on each other (records of
several traits).  With u integrated out a unit g is scored by its law given all others, exactly:

    y_g | y_-g, θ, β ~ N(y_g − Q_gg⁻¹ (Q r)_g, Q_gg⁻¹),      Q = V⁻¹, r = y − Xβ
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import NotProvided
from ..likelihood.base import Evaluation, Likelihood
from ..likelihood.marginals import marginals
from ..linalg import dense as la
from ..sampling.base import Draws
from ..sampling.proposal import Proposal, covariance_root, fitted, one_component
from ..sampling.proposal_weights import pareto_k
from ..sampling.target import Target
from .posterior import one_by_one, spaced
from .posterior_draws import EffectDraws, residual_draws

Float = NDArray[np.float64]
Positions = NDArray[np.intp]
LOG2PI = float(np.log(2.0 * np.pi))
_WIDE = 0.1
_COLUMNS = 256  # of V⁻¹ solved for at a time


# ---- given the random effects -------------------------------------------------------------------------------


def pointwise(drawn: EffectDraws) -> Float:
    """(N, m) log p(y_g | θ, β, u) of each unit: a row, or a level of a residual that has several rows a level."""
    return conditional_loglik(drawn.spec, residual_draws(drawn), drawn.sigmas[-1])


def conditional_loglik(spec: ModelSpec, e: Float, Sigma: Float) -> Float:
    """(N, m) log density of residuals e (N, n) under Σ_e (N, k, k), unit by unit."""
    B = spec.residual.basis
    if not spec.correlated_residual:
        variance = np.einsum("na,dab,nb->dn", B, Sigma, B, optimize=True)
        return np.asarray(-0.5 * (LOG2PI + np.log(variance) + e * e / variance))
    out = np.empty((len(e), spec.residual.q))
    for levels, rows in _alike(spec):
        own = B[rows]  # (g, c, k): every level with the same effects in its rows
        S = np.einsum("ca,dab,eb->dce", own[0], Sigma, own[0], optimize=True)
        scale = _length(own) / _length(own[0])
        z = e[:, rows] / scale
        L = la.small_cholesky(S)
        half = la.small_solve(L, z.transpose(0, 2, 1))
        logdet = 2.0 * np.log(np.einsum("dcc->dc", L)).sum(axis=1)
        constant = rows.shape[1] * LOG2PI + logdet[:, None] + 2.0 * np.log(scale).sum(axis=1)
        out[:, levels] = -0.5 * (constant + np.square(half).sum(axis=1))
    return out


def _length(B: Float) -> Float:
    """Euclidean length of the rows of B (..., k)."""
    return np.asarray(np.sqrt(np.square(B).sum(axis=-1)))


def _alike(spec: ModelSpec) -> list[tuple[Positions, Positions]]:
    """Levels of the residual whose rows have the same effects (up to weights), and their rows (g, c)."""
    residual = spec.residual
    order = np.argsort(residual.codes, kind="stable")
    starts = np.searchsorted(residual.codes[order], np.arange(residual.q + 1))
    found: dict[bytes, list[tuple[int, Positions]]] = {}
    for level in range(residual.q):
        rows = order[starts[level] : starts[level + 1]]
        own = residual.basis[rows]
        unit = own / _length(own)[:, None]
        found.setdefault(np.round(unit, 12).tobytes(), []).append((level, rows))
    return [(np.array([g for g, _ in some]), np.stack([rows for _, rows in some])) for some in found.values()]


def unit_labels(spec: ModelSpec) -> tuple[str, NDArray[np.object_]]:
    """What the units of `pointwise` are ("row", "record", "group") and their labels."""
    if not spec.correlated_residual:
        return "row", spec.row_labels
    if spec.traits is not None:
        return "record", spec.traits.labels
    return "group", spec.residual.levels


# ---- random effects integrated out --------------------------------------------------------------------------


def marginal_deviances(likelihood: Likelihood, draws: Draws) -> tuple[Float, float]:
    """−2 log p(y | θ, β) of every kept draw, (C·D,), and at the posterior means."""
    spec = likelihood.spec
    theta = draws.theta.reshape(-1, draws.theta.shape[2])
    beta = draws.beta.reshape(len(theta), spec.p)
    at = _fixed_loglik(likelihood, theta, beta)
    means = _fixed_loglik(likelihood, theta.mean(axis=0)[None], beta.mean(axis=0)[None])
    return -2.0 * at, float(-2.0 * means[0])


def _fixed_loglik(likelihood: Likelihood, theta: Float, beta: Float) -> Float:
    """(K,) log N(y; Xβ, V) from restricted likelihoods: ℓ_REML − ½p log 2π − ½ log|C| − ½(β−β̂)ᵀC⁻¹(β−β̂)."""
    thetas, place = np.unique(theta, axis=0, return_inverse=True)
    at = marginals(likelihood, thetas)
    place = place.reshape(-1)
    out, p = np.asarray(at.loglik)[place], beta.shape[1]
    if not p:
        return out
    C = at.root @ at.root.transpose(0, 2, 1)
    L = la.small_cholesky(C)
    z = la.small_solve(L[place], (beta - at.beta[place])[:, :, None])[:, :, 0]
    logdet = 2.0 * np.log(np.einsum("kpp->kp", L)).sum(axis=1)[place]
    if likelihood.reml:
        out = out - 0.5 * p * LOG2PI - 0.5 * logdet
    return np.asarray(out - 0.5 * np.square(z).sum(axis=1))


def leave_out(
    likelihood: Likelihood, draws: Draws, groups: Sequence[Positions], count: int
) -> tuple[Float, Positions, Positions]:
    """log p(y_g | y_-g, θ, β), u integrated out, of each group of rows: (N, G), and the draws' chains and numbers."""
    spec = likelihood.spec
    chain, draw = spaced(draws, count)
    out, batches = np.empty((len(chain), len(groups))), _batches(groups)
    with one_by_one(spec):
        for d, (c, i) in enumerate(zip(chain, draw, strict=True)):
            at, beta = likelihood.at(draws.theta[c, i]), draws.beta[c, i]
            Qr = np.asarray(at.Py) + np.asarray(at.solve(spec.X @ (at.beta - beta))) if spec.p else np.asarray(at.Py)
            for some in batches:
                rows = np.stack([groups[g] for g in some])
                out[d, some] = _left_out(at, Qr, rows)
    return out, chain, draw


def _batches(groups: Sequence[Positions]) -> list[list[int]]:
    """Groups of one size, as many at a time as `_COLUMNS` rows."""
    by: dict[int, list[int]] = {}
    for g, rows in enumerate(groups):
        by.setdefault(len(rows), []).append(g)
    return [
        some[at : at + step]
        for size, some in by.items()
        for step in [max(1, _COLUMNS // max(1, size))]
        for at in range(0, len(some), step)
    ]


def _left_out(at: Evaluation, Qr: Float, rows: Positions) -> Float:
    """(G,) of groups of one size, rows (G, c)."""
    G, c = rows.shape
    E = np.zeros((len(Qr), G * c))
    E[rows.reshape(-1), np.arange(G * c)] = 1.0
    solved = np.asarray(at.solve(E)).reshape(len(Qr), G, c)
    Q = solved[rows, np.arange(G)[:, None], :]
    L = la.small_cholesky(0.5 * (Q + Q.transpose(0, 2, 1)))
    z = la.small_solve(L, Qr[rows][:, :, None])[:, :, 0]
    return np.asarray(-0.5 * (c * LOG2PI + np.square(z).sum(axis=1)) + np.log(np.einsum("gcc->gc", L)).sum(axis=1))


# ---- evidence -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Evidence:
    """log p(y), β, u and θ integrated out.

    Attributes
    ----------
    value, se : float
        Of the logarithm; `se` is its Monte-Carlo standard error.
    pareto_k : float
        Of the importance weights: above 0.7 value and se are not to be trusted.
    evaluations : int
    flat : bool
        Whether some fixed effects have a flat prior (of density one): only models with the same ones compare.
    """

    value: float
    se: float
    pareto_k: float
    evaluations: int
    flat: bool


def log_evidence(target: Target, draws: Draws, evaluations: int, rng: np.random.Generator) -> Evidence:
    """Importance sampling from a mixture of t distributions fitted to the draws (in unconstrained coordinates)."""
    priors = target.priors
    if priors.shares is not None:
        raise NotProvided("log_evidence(): VarianceShare has no density over the variances; compare by loo() or waic()")
    for term, bound in zip(target.spec.all_terms, priors.terms, strict=True):
        if bound.held is None and not bound.proper:
            raise NotProvided(
                f"log_evidence(): the prior of {term.name} is improper ({bound.describe()}), so p(y) has no meaning: "
                "give it a proper prior, or compare by loo() or waic()"
            )
    flat = bool(target.spec.p) and (priors.fixed is None or len(priors.fixed.which) < target.spec.p)
    if not target.d:
        return Evidence(float(target.at(np.empty((1, 0))).lp[0]), 0.0, 0.0, 1, flat)
    z = target.z(draws.par[spaced(draws, 4000)])
    z = z[np.isfinite(z).all(axis=1)]
    shape = one_component(z.mean(axis=0), covariance_root(np.atleast_2d(np.cov(z.T))), 6.0)
    proposal = fitted(z, np.full(len(z), 1.0 / len(z)), shape, 3, rng)
    proposal = _far_reaching(proposal)
    log_w = []
    with one_by_one(target.spec):
        for at in range(0, evaluations, 1000):
            points = proposal.draw(rng, min(1000, evaluations - at))
            log_w.append(target.at(points).lp - proposal.logpdf(points))
    w = np.concatenate(log_w)
    top = float(w.max())
    ratio = np.exp(w - top)
    mean = float(ratio.mean())
    se = float(ratio.std(ddof=1) / np.sqrt(len(ratio)) / mean)
    return Evidence(top + float(np.log(mean)), se, float(pareto_k(w)), len(w), flat)


def _far_reaching(proposal: Proposal) -> Proposal:
    """With a tenth of its points from a wide component of heavy tails, so that no region is out of reach."""
    mean, cov = proposal.moments()
    return Proposal(
        np.append((1.0 - _WIDE) * proposal.weights, _WIDE),
        np.vstack([proposal.means, mean]),
        np.concatenate([proposal.roots, 2.5 * covariance_root(cov)[None]]),
        np.append(proposal.dfs, 3.0),
    )
