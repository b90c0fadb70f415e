"""Covariance of variance parameters: the inverse of an information, taken where the parameters are free to move."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import NotProvided, OptionError
from ..estimators.base import PointEstimate
from ..estimators.charts import numeric_curvature
from ..likelihood.base import Evaluation, information_along, likelihoods
from ..linalg.columns import orthogonalising
from ..linalg.dense import NotPositiveDefinite, inverse_psd, small_eigh, small_solve, svd
from ..structures.base import Structure
from .parameters import jacobian, par_slices, theta_slices

Float = NDArray[np.float64]
KINDS = ("expected", "average", "observed")
MOST_FLOPS = 2e12  # about a minute on one core
NO_VARIANCE = 1e-6  # of the largest eigenvalue of a correlation matrix: below it a direction counts as null
MOST_SCORES = 5e11  # about half a minute of what sparse equations do


@dataclass(frozen=True)
class ParameterCovariance:
    """Large-sample covariance of the variance parameters (MATH 3).

    Attributes
    ----------
    kind : str
        "expected" | "average" | "observed": which information was inverted.
    par : (n_par, n_par)
        Covariance of the structure parameters; zero rows for those that do not move.
    theta : (m, m)
        The same for the linear parameters, J · par · Jᵀ.
    se : (n_par,)
        Standard errors of the structure parameters; NaN for parameters held fixed or at the edge of their domain.
    free : (n_par,) bool
    problem : str
        Empty, or why no covariance could be given (every `se` is then NaN).
    """

    kind: str
    par: Float
    theta: Float
    se: Float
    free: NDArray[np.bool_]
    problem: str = ""


def default_kind(spec: ModelSpec, likelihood: str) -> str:
    """Expected where tr(T V_j T V_k) is affordable, else average.

    It is not with several large dense kernels (MATH 3), nor where sparse equations, which take it from two scores a
    parameter, are large and the parameters of several traits many.
    """
    if likelihood == "sparse":
        cost = likelihoods.get("sparse").cost(spec)  # the plan it knows the price from is kept with the specification
        dear = cost is not None and 2.0 * len(spec.index) * cost.each > MOST_SCORES
        return "average" if dear else "expected"
    kernels = sum(where.term < len(spec.terms) for where in spec.index)
    costly = likelihood == "dense" and kernels > 1 and 2.0 * kernels * spec.n**3 > MOST_FLOPS
    return "average" if costly else "expected"


def information(evaluation: Evaluation, kind: str) -> Float:
    """The (m, m) information of the linear parameters called `kind`."""
    check_kind(kind)
    return np.asarray(getattr(evaluation, f"{kind}_information"))


def check_kind(kind: str) -> None:
    """Refuse what is no information."""
    if kind not in KINDS:
        raise OptionError(f"information={kind!r} is not one of {', '.join(map(repr, KINDS))}")


def parameter_covariance(
    spec: ModelSpec, evaluation: Evaluation, estimate: PointEstimate, kind: str = "expected"
) -> ParameterCovariance:
    """Invert the information of kind `kind` over the directions in which the parameters are free to move.

    A parameter held fixed or at a bound leaves the information.  A block Σ = B Bᵀ of deficient rank whose variances
    are positive (a correlation of ±1) moves along its face: the directions B Mᵀ + M Bᵀ.
    """
    free = ~(estimate.at_bound | estimate.fixed)
    D = _directions(spec, estimate, free)
    J = jacobian(spec, estimate.par)
    T = J @ D
    try:
        check_kind(kind)
        along = information_along(evaluation, kind, T.T)
        if kind == "observed":
            along = along - D.T @ _bend(spec, estimate, evaluation) @ D - _bend_of_faces(spec, estimate, evaluation, D)
        inner = inverse_information(along)
        problem = ""
    except NotPositiveDefinite:
        inner = np.full((D.shape[1],) * 2, np.nan)
        problem = (
            f"the {kind} information is not positive definite here, so the data do not tell all variance components "
            "apart (or the fit is not at a maximum): no standard errors of variances"
        )
    par = D @ inner @ D.T
    se = np.where(free, np.sqrt(np.maximum(np.diagonal(par), 0.0)), np.nan)
    return ParameterCovariance(kind, par, J @ par @ J.T, se, free, problem)


def sampling_covariance(
    spec: ModelSpec, estimate: PointEstimate, information: str | None = None
) -> ParameterCovariance:
    """The covariance that an estimator without a likelihood brings itself (`estimators.base.Sampling`)."""
    if information is not None:
        raise NotProvided(
            f"method {estimate.method!r} has no likelihood, so no {information} information: use method='reml'"
        )
    n, sampling = len(estimate.par), estimate.sampling
    if sampling is None:
        nothing = np.full((n, n), np.nan)
        m = len(estimate.theta)
        why = f"method {estimate.method!r} gave no standard errors of variances"
        return ParameterCovariance("none", nothing, np.full((m, m), np.nan), np.full(n, np.nan), ~estimate.fixed, why)
    J = jacobian(spec, estimate.par)
    variances = np.diagonal(sampling.cov)
    moves = ~estimate.fixed & (variances > 0.0)
    se = np.where(moves, np.sqrt(np.where(moves, variances, 1.0)), np.nan)
    return ParameterCovariance(sampling.kind, sampling.cov, J @ sampling.cov @ J.T, se, ~estimate.fixed)


def inverse_information(information_: Float) -> Float:
    """Inverse after scaling to a unit diagonal: units of y may be anything."""
    if not len(information_):
        return information_
    diagonal = np.diagonal(information_)
    if not (np.all(np.isfinite(information_)) and np.all(diagonal > 0)):
        raise NotPositiveDefinite(1)
    scale = 1.0 / np.sqrt(diagonal)
    scaled = information_ * scale[:, None] * scale
    if small_eigh(scaled)[0][0] < 1e-12:
        raise NotPositiveDefinite(len(scaled))
    return inverse_psd(scaled) * scale[:, None] * scale


def _bend(spec: ModelSpec, estimate: PointEstimate, evaluation: Evaluation) -> Float:
    """Σ_j score_j ∇²θ_j over the structure parameters: patterned Σ bend, and single θ_j have scores at the maximum."""
    out = np.zeros((len(estimate.par),) * 2)
    for term, of, at in zip(spec.all_terms, par_slices(spec), theta_slices(spec), strict=True):
        structure, par = term.structure, estimate.par[of]
        if structure.linear or estimate.at_bound[of].any():
            continue
        unit = np.where(np.isfinite(structure.bounds()[1]), 1.0, np.maximum(np.abs(par), 1e-300))
        lower, upper = (limit / unit for limit in structure.bounds())
        slope = partial(_slope, structure, unit)
        scaled = numeric_curvature(slope, par / unit, evaluation.score[at], lower, upper)
        out[of, of] = scaled / unit[:, None] / unit
    return out


def _slope(structure: Structure, unit: Float, x: Float) -> Float:
    """(n_par, m) ∂θ/∂x at the parameters x · unit."""
    first, second = np.array(structure.pairs).T
    return structure.gradient(x * unit)[:, first, second] * unit[:, None]


def _bend_of_faces(spec: ModelSpec, estimate: PointEstimate, evaluation: Evaluation, D: Float) -> Float:
    """Second derivative of ℓ along the faces of singular unstructured Σ less that along their tangents D (n_par, r).

    A path of constant rank leaves the tangent by N NᵀDΣ⁺DN Nᵀ, N the null space, where ℓ falls: 2⟨S, …⟩, S = ∂ℓ/∂Σ.
    """
    out = np.zeros((D.shape[1],) * 2)
    free = ~(estimate.at_bound | estimate.fixed)
    for term, of, at in zip(spec.all_terms, par_slices(spec), theta_slices(spec), strict=True):
        if term.structure.name != "us" or term.k == 1 or estimate.fixed[of].any():
            continue
        face = _face(term, term.structure.build(estimate.par[of]), free[of])
        if face is None or not face.singular:
            continue
        values, vectors = small_eigh(face.scaled)
        none = values <= NO_VARIANCE * values[-1]
        null, inverse = vectors[:, none], (vectors[:, ~none] / values[~none]) @ vectors[:, ~none].T
        S = np.zeros((term.k, term.k))
        moves = np.zeros((D.shape[1], term.k, term.k))
        for j, (a, b) in enumerate(term.structure.pairs):
            S[a, b] = S[b, a] = evaluation.score[at][j] * (1.0 if a == b else 0.5)
            moves[:, a, b] = moves[:, b, a] = D[of][j]
        on = np.ix_(face.alive, face.alive)
        S_null = null @ (null.T @ face.T.T @ S[on] @ face.T @ null) @ null.T
        m = np.stack([small_solve(face.T, small_solve(face.T, move[on]).T) for move in moves])
        out += 2.0 * np.einsum("ab,ibc,cd,jda->ij", S_null, m, inverse, m, optimize=True)
    return 0.5 * (out + out.T)


def _directions(spec: ModelSpec, estimate: PointEstimate, free: NDArray[np.bool_]) -> Float:
    """Columns: directions in the space of structure parameters along which the estimate may move."""
    columns = []
    for term, of in zip(spec.all_terms, par_slices(spec), strict=True):
        local = free[of]
        block = np.eye(len(local))[:, local]
        if term.structure.name == "us" and term.k > 1 and not estimate.fixed[of].any():
            block = _free_directions(term, term.structure.build(estimate.par[of]), local)
        wide = np.zeros((len(free), block.shape[1]))
        wide[of] = block
        columns.append(wide)
    return np.hstack(columns)


def orthogonal_patterns(term: Term) -> Float:
    """Columns: the entries of Σ that one entry of it among orthogonal effects of unit size makes."""
    C = orthogonalising(term.basis)
    if C is None:
        return np.eye(len(term.structure.pairs))
    T = C / np.sqrt(np.mean(term.basis**2, axis=0))[:, None]
    columns = []
    for a, b in term.structure.pairs:
        made = np.outer(T[:, a], T[:, b])
        made = made if a == b else made + made.T
        columns.append([made[c, d] for c, d in term.structure.pairs])
    return np.array(columns).T


def _free_directions(term: Term, Sigma: Float, free: NDArray[np.bool_]) -> Float:
    """Tangent of the face of an unstructured Σ in the coordinates of its pairs, made of orthogonal effects.

    Effects of zero variance leave with their covariances; the rest of Σ moves freely or, if singular, as B Mᵀ + M Bᵀ.
    In effects that are orthogonal over the rows the columns do not nearly depend on each other, as those of the
    intercept and the slope of a year do, and what is singular stands out.
    """
    pairs = term.structure.pairs
    face = _face(term, Sigma, free)
    if face is None:
        return np.zeros((len(pairs), 0))
    moves = _tangent(face.scaled, face.singular)
    out = np.zeros((len(pairs), len(moves)))
    for column, move in zip(out.T, moves, strict=True):
        full = np.zeros_like(Sigma)
        full[np.ix_(face.alive, face.alive)] = face.T @ move @ face.T.T
        column[:] = [full[a, b] for a, b in pairs]
    return out


@dataclass(frozen=True)
class _Face:
    """An unstructured Σ among its effects of some variance, in orthogonal effects of unit variance: Σ = T scaled Tᵀ."""

    alive: list[int]
    T: Float
    scaled: Float
    singular: bool


def _face(term: Term, Sigma: Float, free: NDArray[np.bool_]) -> _Face | None:
    """Of a term whose parameters `free` are inside; None where no effect has a variance."""
    pairs = term.structure.pairs
    alive = [a for j, (a, b) in enumerate(pairs) if a == b and free[j]]
    if not alive:
        return None
    size = np.sqrt(np.mean(term.basis[:, alive] ** 2, axis=0))
    C = orthogonalising(term.basis[:, alive])
    T = np.diag(1.0 / size) @ (np.eye(len(alive)) if C is None else C)
    half = small_solve(T, Sigma[np.ix_(alive, alive)])
    inner = small_solve(T, half.T)
    d = np.sqrt(np.maximum(np.diagonal(inner), 1e-12 * np.diagonal(inner).max()))
    at_edge = any(a in alive and b in alive and not free[j] for j, (a, b) in enumerate(pairs))
    return _Face(alive, T * d, inner / d[:, None] / d, at_edge)


def _tangent(Sigma: Float, singular: bool) -> list[Float]:
    """Symmetric matrices that span the tangent of the cone's face at Σ (scaled to a unit diagonal)."""
    k = len(Sigma)
    upper = [(a, b) for a in range(k) for b in range(a, k)]
    units = [np.eye(k)[:, [a]] @ np.eye(k)[[b]] for a, b in upper]
    if not singular:
        return [E + E.T - E * E.T for E in units]
    values, vectors = small_eigh(Sigma)
    null = vectors[:, values <= NO_VARIANCE * values[-1]]
    # the face's tangent: all symmetric moves without a part in the null space of Σ on both sides
    keep = np.eye(k * k) - np.kron(null @ null.T, null @ null.T)
    moved = np.array([(keep @ (E + E.T).ravel()) for E in units])
    _, lengths, rows = svd(moved)
    return [row.reshape(k, k) for row in rows[lengths > 1e-8 * lengths[0]]]
