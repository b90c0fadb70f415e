"""Is a point estimate a constrained maximum of its criterion? Judged by brute force alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import MixedVCWarning
from .brute import Brute
from .compare import BRUTE_FORCE, OPTIMUM, close

Float = NDArray[np.float64]
GRADIENT = 1e-4  # largest θ-scaled gradient left, in units of log-likelihood: far below 1, the size that matters


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of mixedvc inside: singular fits are asked for on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        yield


def gradient_matrix(spec: ModelSpec, score: Float, term: int) -> Float:
    """∂ℓ/∂Σ (k×k) of one term, with dℓ = tr(S dΣ): off-diagonal scores count half."""
    k = spec.all_terms[term].k
    S = np.zeros((k, k))
    for value, where in zip(score, spec.index, strict=True):
        if where.term == term:
            S[where.a, where.b] = S[where.b, where.a] = value if where.a == where.b else 0.5 * value
    return S


def check_optimum(spec: ModelSpec, estimate: Any, where: str, *, gradient: float = GRADIENT) -> None:
    """The first-order conditions of a constrained maximum, term by term.

    Linear unstructured terms: S Σ = 0 and S ⪯ 0 (S = ∂ℓ/∂Σ). Diagonal ones: the same variance by variance.  Others: in
    their own parameters, zero inside the bounds and pointing outward at them.  Terms held fixed are not looked at.
    """
    evaluation = Brute(spec, bool(estimate.reml)).at(estimate.theta)
    size = max(abs(evaluation.loglik), spec.n)
    close(estimate.loglik, evaluation.loglik, f"{where}: loglik of the estimate", rtol=BRUTE_FORCE, scale=size)
    offset = 0
    for i, term in enumerate(spec.all_terms):
        stop = offset + term.structure.n_par
        par, fixed = estimate.par[offset:stop], estimate.fixed[offset:stop]
        if not fixed.any():
            S = gradient_matrix(spec, evaluation.score, i)
            label = f"{where}: {term.name}"
            if term.structure.name in ("us", "diag"):
                Sigma = spec.sigmas(estimate.theta)[i]
                _cone(term, Sigma, S, _unit_of(spec, term), label, gradient, diagonal=term.structure.name == "diag")
            else:
                _box(term, par, S, label, gradient)
        offset = stop


def _unit_of(spec: ModelSpec, term: Term) -> Float:
    """A variance of each effect that would explain the whole response."""
    diagonal = np.asarray(term.covariance.diagonal(term.positions))[term.codes]
    rows = (term.basis**2 * diagonal[:, None]).mean(axis=0)
    residual = spec.response - spec.X @ np.linalg.lstsq(spec.X, spec.response, rcond=None)[0]
    return float(residual @ residual) / spec.n / np.where(rows > 0, rows, 1.0)


def _cone(term: Term, Sigma: Float, S: Float, unit: Float, label: str, tol: float, *, diagonal: bool) -> None:
    if diagonal:
        S = np.diag(np.diag(S))
    scale = np.sqrt(unit)
    B, G = Sigma / np.outer(scale, scale), S * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(B)
    assert values[0] > -1e-9 * max(values[-1], 1e-3), f"{label}: Σ is not positive semi-definite: {Sigma}"
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inner = np.abs(root @ G @ root).max()
    assert inner < tol, f"{label}: gradient {inner:.3g} left along Σ = {Sigma.tolist()}"
    cross = np.abs(G @ root).max()
    assert cross < 30 * tol, f"{label}: gradient {cross:.3g} left between Σ and its null space, Σ = {Sigma.tolist()}"
    null = vectors[:, values < 1e-7]
    if null.size:
        worst = np.linalg.eigvalsh(null.T @ G @ null)[-1]
        assert worst < tol, f"{label}: the criterion rises (by {worst:.3g}) off the boundary at Σ = {Sigma.tolist()}"


def _box(term: Term, par: Float, S: Float, label: str, tol: float) -> None:
    lower, upper = term.structure.bounds()
    slope = np.array([np.sum(S * D) for D in term.structure.gradient(par)])
    unit = np.where(np.isfinite(upper - lower), 1.0, np.maximum(np.abs(par), 1e-8))
    for j in range(len(par)):
        gain = slope[j] * unit[j]
        at_lower, at_upper = par[j] <= lower[j] + 1e-9 * unit[j], par[j] >= upper[j] - 1e-9 * unit[j]
        assert gain < tol or at_upper, f"{label}: parameter {j} = {par[j]:.6g} should be larger ({gain:.3g})"
        assert gain > -tol or at_lower, f"{label}: parameter {j} = {par[j]:.6g} should be smaller ({gain:.3g})"


def check_nothing_higher_nearby(spec: ModelSpec, estimate: Any, where: str, *, seed: int = 0, trials: int = 40) -> None:
    """Second-order condition by trial: no random member of each structure near the estimate has a higher criterion.

    First-order conditions hold at saddles as well.
    """
    rng, brute, seen = np.random.default_rng(seed), Brute(spec, bool(estimate.reml)), 0
    for trial in range(trials):
        par, offset = np.array(estimate.par), 0
        for term in spec.all_terms:
            stop = offset + term.structure.n_par
            if not estimate.fixed[offset:stop].any():
                par[offset:stop] = _moved(spec, term, par[offset:stop], 10.0 ** -(1 + trial % 4), rng)
            offset = stop
        offset, built = 0, []
        for term in spec.all_terms:
            built.append(term.structure.build(par[offset : offset + term.structure.n_par]))
            offset += term.structure.n_par
        try:
            gain = brute.at(spec.theta(built)).loglik - estimate.loglik
        except ValueError:  # a residual variance of zero: V is singular there
            continue
        seen += 1
        assert gain < 1e-6, f"{where}: the criterion is {gain:.3g} higher nearby, at par = {par.tolist()}"
    assert seen > trials // 2, f"{where}: V was positive definite at {seen} of {trials} points nearby"


def _moved(spec: ModelSpec, term: Term, par: Float, size: float, rng: np.random.Generator) -> Float:
    """Parameters of a positive semi-definite member of the structure at about `size` from `par`."""
    lower, upper = term.structure.bounds()
    unit = _unit_of(spec, term)
    if term.structure.name == "us":
        scale = np.sqrt(unit)
        root = rng.standard_normal((term.k, term.k)) * np.sqrt(size)
        values, vectors = np.linalg.eigh(term.structure.build(par) / np.outer(scale, scale))
        half = vectors * np.sqrt(np.maximum(values, 0.0)) + root * np.sqrt(size)
        return term.structure.start(half @ half.T * np.outer(scale, scale))
    span = np.where(np.isfinite(upper - lower), 1.0, np.resize(unit, len(par)))
    moved = np.clip(par + size * span * rng.standard_normal(len(par)), lower, upper)
    moved = np.where(par <= lower, par + np.abs(moved - par), moved)
    bounded = np.isfinite(upper[-1] - lower[-1])
    if (
        not term.structure.linear and bounded and (par[:-1] == 0).any()
    ):  # the correlation of an effect without variance is free
        moved[-1] = rng.uniform(lower[-1], upper[-1])
    return np.clip(moved, lower, upper)


def check_consistency(spec: ModelSpec, estimate: Any, where: str) -> None:
    """Fields agree with each other: θ with par, zeros with at_bound and singular, the trace with the criterion."""
    pars = [term.structure.n_par for term in spec.all_terms]
    assert len(estimate.par) == len(estimate.at_bound) == len(estimate.fixed) == sum(pars), f"{where}: lengths"
    built, offset = [], 0
    for term, n_par in zip(spec.all_terms, pars, strict=True):
        built.append(term.structure.build(estimate.par[offset : offset + n_par]))
        offset += n_par
    theta = spec.theta(built)
    close(estimate.theta, theta, f"{where}: theta against Σ(par)", scale=np.abs(theta) + 1e-6 * np.abs(theta).max())
    assert estimate.converged, f"{where}: not converged: {estimate.message}"
    _zeros(spec, estimate, where)
    if estimate.loglik is not None:
        _trace(spec, estimate, where)


def _zeros(spec: ModelSpec, estimate: Any, where: str) -> None:
    offset, singular = 0, False
    for term, Sigma in zip(spec.all_terms, spec.sigmas(estimate.theta), strict=True):
        stop = offset + term.structure.n_par
        edge, fixed = estimate.at_bound[offset:stop], estimate.fixed[offset:stop]
        variances, unit = np.diag(Sigma), _unit_of(spec, term)
        if not fixed.any():
            for a in range(term.k):
                tiny = 0 < variances[a] < 1e-9 * unit[a]
                assert not tiny, f"{where}: a variance of {term.name} is {variances[a]:.3g}: zero or not?"
            if term.structure.linear and (variances == 0).any():
                assert edge.any(), f"{where}: {term.name} has a zero variance that is not flagged at_bound"
            singular = singular or bool(edge.any())
        offset = stop
    assert estimate.singular == singular, f"{where}: singular is {estimate.singular}, at_bound says {singular}"


def _trace(spec: ModelSpec, estimate: Any, where: str) -> None:
    rows = [row for row in estimate.trace if row.accepted]
    assert len(rows) > 0, f"{where}: no trace"
    assert estimate.n_evaluations >= len(rows), f"{where}: fewer evaluations than rows of the trace"
    brute = Brute(spec, bool(estimate.reml))
    size = max(abs(estimate.loglik), spec.n)
    for row in (rows[0], rows[-1]):
        close(row.loglik, brute.at(row.theta).loglik, f"{where}: loglik in the trace", rtol=BRUTE_FORCE, scale=size)
    values = np.array([row.loglik for row in rows])
    assert np.all(np.diff(values) > -1e-9 * size), f"{where}: the criterion falls along the trace: {values}"
    close(rows[-1].theta, estimate.theta, f"{where}: last θ of the trace", rtol=OPTIMUM)
