"""Whether one model is a special case of another: its rows, its columns, and every covariance it allows.

Covariances are compared as matrices, never as formulas: members of the smaller model are drawn at random, V z of random
vectors z tells which parameters of the larger model give the same covariance, if any do, and those tell whether they
lie inside its parameter space, and on which of its edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..estimators.base import PointEstimate
from ..linalg import dense as la
from .chibar import Cone
from .fixed import covariance_times
from .parameters import par_slices

Float = NDArray[np.float64]
_MEMBERS = 12  # random members of the smaller model
_NEAR = 1e-7


@dataclass(frozen=True)
class Nesting:
    """The smaller model inside the larger.

    Attributes
    ----------
    problem : str
        Why it is not inside; empty where it is.
    df : int
        Parameters that are zero (or equal) under the smaller.
    theta : (m1,) or None
        The larger model's θ at the smaller one's estimate.
    edges : tuple of (k, r) or None
        For every term of the larger model, the directions in which its Σ is zero under the smaller one: whatever its
        parameters are, or (reduced rank) at its estimate.
    cone : Cone or None
        The edge on which the hypothesis lies, without its metric; None where the large-sample law is not known.
    """

    problem: str
    df: int = 0
    theta: Float | None = None
    edges: tuple[Float, ...] = ()
    cone: Cone | None = None


def same_data(one: ModelSpec, other: ModelSpec) -> str:
    """Why two models are not models of the same data; empty where they are."""
    if one.n != other.n or not np.array_equal(one.row_labels, other.row_labels):
        only = [len(np.setdiff1d(a.row_labels.astype(str), b.row_labels.astype(str))) for a, b in _both(one, other)]
        return (
            f"they were fitted to different rows: {one.n} and {other.n} ({only[0]} only in the first, {only[1]} only "
            "in the second). Missing values may be the cause: fit both to the rows that are complete for both"
        )
    if one.y.shape != other.y.shape or not np.allclose(one.y, other.y, rtol=1e-12, atol=0):
        names = [", ".join(spec.y_names) for spec in (one, other)]
        what = f"{names[0]!r} and {names[1]!r}" if names[0] != names[1] else f"two different versions of {names[0]!r}"
        return f"they have different responses, {what}: likelihoods of a transformed response are on another scale"
    for what in ("weights", "offset"):
        first, second = getattr(one, what), getattr(other, what)
        neither = first is None and second is None
        if not neither and (first is None or second is None or not np.allclose(first, second, rtol=1e-12, atol=0)):
            return f"they have different {what}"
    return ""


def _both(one: ModelSpec, other: ModelSpec) -> tuple[tuple[ModelSpec, ModelSpec], tuple[ModelSpec, ModelSpec]]:
    return (one, other), (other, one)


def outside(X0: Float, X1: Float) -> NDArray[np.intp]:
    """Columns of X0 that are no linear combination of those of X1."""
    size = np.sqrt((X0**2).sum(axis=0))
    left = X0 / np.where(size > 0, size, 1.0)
    if X1.shape[1]:
        Q = la.qr(X1 / np.maximum(np.sqrt((X1**2).sum(axis=0)), 1e-300))[0]
        left = left - Q @ (Q.T @ left)
    return np.flatnonzero((left**2).sum(axis=0) > _NEAR**2)


def nest(small: ModelSpec, small_fit: PointEstimate, large: ModelSpec, large_fit: PointEstimate) -> Nesting:
    """How the smaller model lies in the larger one; both of the same data (see `same_data`)."""
    extra = outside(small.X, large.X)
    if len(extra):
        names = ", ".join(small.x_names[j] for j in extra[:5])
        return Nesting(f"the fixed part of the smaller model is not contained in that of the larger ({names})")
    rng = np.random.default_rng(0)
    found = np.zeros((len(large.index), _MEMBERS))
    for i, term in enumerate(small.all_terms):
        images, lost = images_of(small, large, _members(small, small_fit, i, rng))
        if lost:
            return Nesting(f"the larger model has no term for {term.text} of the smaller")
        found += images
    for image in found.T:
        bad = _inadmissible(large, large_fit, image)
        if bad:
            return Nesting(f"the smaller model allows covariances that the larger does not: {bad}")
    df = large.p - small.p + int((~large_fit.fixed).sum()) - int((~small_fit.fixed).sum())
    members = [large.sigmas(image) for image in found.T]
    own = images_of(small, large, np.asarray(small_fit.theta)[:, None])[0][:, 0]
    at = large.sigmas(own)
    edges = tuple(_edge([member[i] for member in members], at[i]) for i in range(len(large.all_terms)))
    return Nesting("", df, own, edges, _cone(large, edges, df))


def images_of(small: ModelSpec, large: ModelSpec, thetas: Float) -> tuple[Float, bool]:
    """θ of the larger model (m1, c) with the covariances of the smaller at `thetas` (m0, c), and whether one lacks.

    Both are compared on random vectors z, as many as tell the larger model's V_j apart.
    """
    probes = max(1, -(-20 * len(large.index) // small.n))
    Z = np.random.default_rng(0).standard_normal((small.n, probes))
    mine = np.tensordot(covariance_times(small, Z), thetas, axes=(0, 0)).reshape(-1, thetas.shape[1])
    theirs = covariance_times(large, Z).reshape(len(large.index), -1).T
    size = np.sqrt((theirs**2).sum(axis=0))
    size = np.where(size > 0, size, 1.0)
    last = len(large.terms)
    # the lags of a serial residual add up to the covariance of a random intercept: not both if one will do
    plain = [j for j, where in enumerate(large.index) if where.term < last or where.a == where.b]
    residual = [j for j, where in enumerate(large.index) if where.term == last]
    for some in (plain, residual, list(range(len(large.index)))):
        scaled = la.lstsq((theirs / size)[:, some], mine)
        found = np.zeros((len(size), mine.shape[1]))
        found[some] = np.where(np.abs(scaled) < 1e-8 * np.abs(scaled).max(axis=0), 0.0, scaled) / size[some, None]
        off = np.sqrt(((mine - theirs @ found) ** 2).sum(axis=0)) > _NEAR * np.sqrt((mine**2).sum(axis=0))
        if not off.any():
            break
    return found, bool(off.any())


def _members(spec: ModelSpec, estimate: PointEstimate, i: int, rng: np.random.Generator) -> Float:
    """(m0, _MEMBERS) θ with term `i` alone: its Σ at random in its structure, or where it is held."""
    term, of = spec.all_terms[i], par_slices(spec)[i]
    out = []
    for _ in range(_MEMBERS):
        root = rng.standard_normal((term.k, term.k))
        sigmas = [np.zeros((t.k, t.k)) for t in spec.all_terms]
        free = term.structure.build(term.structure.start(root @ root.T + 0.1 * np.eye(term.k)))
        sigmas[i] = spec.sigmas(estimate.theta)[i] if estimate.fixed[of].all() else free
        out.append(spec.theta(sigmas))
    return np.array(out).T


def _inadmissible(spec: ModelSpec, estimate: PointEstimate, theta: Float) -> str:
    """The term in which θ is no member of the model; empty where it is one."""
    for term, of, Sigma, own in zip(
        spec.all_terms, par_slices(spec), spec.sigmas(theta), spec.sigmas(estimate.theta), strict=True
    ):
        size = float(np.abs(Sigma).max(initial=0.0))
        if la.small_eigh(Sigma)[0][0] < -_NEAR * size:
            return f"{term.text} would need a negative variance"
        if size > 0 and not _in_structure(term, Sigma):
            return f"{term.text} has another pattern"
        if estimate.fixed[of].all() and not np.allclose(Sigma, own, rtol=1e-6, atol=1e-9 * max(size, 1e-300)):
            return f"{term.text} is held at other values"
    return ""


def _in_structure(term: Term, Sigma: Float) -> bool:
    if term.structure.linear:
        return True
    again = term.structure.build(term.structure.start(Sigma))
    return bool(np.allclose(again, Sigma, rtol=1e-4, atol=1e-4 * np.abs(Sigma).max()))


def _edge(members: list[Float], estimate: Float) -> Float:
    """(k, r) directions in which Σ is zero in every member; of members of reduced rank, in the one at the estimate.

    Where all members have rank k − r without a null space in common, they are the matrices of this rank: near one of
    them only its own null block is bounded, by the cone of matrices r×r.
    """
    common, each = _null(np.sum(members, axis=0)), min(_null(member).shape[1] for member in members)
    if each <= common.shape[1]:
        return common
    return la.small_eigh(estimate)[1][:, :each]


def _null(Sigma: Float) -> Float:
    """(k, r) orthonormal directions in which a positive semi-definite Σ is zero."""
    values, vectors = la.small_eigh(Sigma)
    return vectors[:, values <= _NEAR * max(float(values[-1]), 1e-300)]


def _cone(large: ModelSpec, edges: tuple[Float, ...], df: int) -> Cone | None:
    """The cone of what is zero in the smaller model; None where a patterned Σ is zero altogether."""
    blocks: list[int] = []
    for term, N in zip(large.all_terms, edges, strict=True):
        r = N.shape[1]
        if not r:
            continue
        if not term.structure.linear:
            return None
        blocks += [1] * r if term.structure.name == "diag" or term.k == 1 else [r]
    cone = Cone(tuple(blocks))
    return Cone(cone.blocks, df - cone.size) if df >= cone.size else None


def cone_metric(cone: Cone, nesting: Nesting, large: ModelSpec, information: Float, known: NDArray[np.bool_]) -> Cone:
    """The cone with the asymptotic covariance of its entries, N'ΣN of every edge, from the larger model's information
    (m, m) at the smaller one's estimate; entries of θ that are `known` do not vary."""
    rows = []
    for i, (term, N) in enumerate(zip(large.all_terms, nesting.edges, strict=True)):
        diag = term.structure.name == "diag"
        pairs = [(a, b) for a in range(N.shape[1]) for b in range(a, N.shape[1]) if a == b or not diag]
        for a, b in pairs:
            row = [
                0.0 if w.term != i else N[w.a, a] * N[w.b, b] + (w.a != w.b) * N[w.b, a] * N[w.a, b]
                for w in large.index
            ]
            rows.append(row)
    scale = 1.0 / np.sqrt(np.maximum(np.diagonal(information), 1e-300))
    free = np.flatnonzero(~known)
    B = np.array(rows)[:, free] * scale[free]
    inverse = la.inverse_psd((information * scale * scale[:, None])[np.ix_(free, free)])
    return Cone(cone.blocks, cone.extra, B @ inverse @ B.T)
