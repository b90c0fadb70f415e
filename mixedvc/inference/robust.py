"""Cluster-robust covariance of β̂ of a GLS fit (Liang & Zeger 1986; Bell & McCaffrey 2002; Pustejovsky & Tipton 2018).

    V^R = M {Σ_i X_iᵀW_i A_i e_i e_iᵀ A_iᵀ W_iX_i} M,   W = V̂⁻¹,  M = (XᵀWX)⁻¹,  e = y − Xβ̂,  i over clusters

V̂, the model's covariance, is the working model; V^R does not rely on it.  A_i = I is CR0, with m clusters times
m/(m − 1) CR1, times m(n − 1)/((m − 1)(n − p)) CR1S (Stata's).  CR2 is unbiased if the working model holds:
A_i = D_iᵀ B_i^{−½} D_i (Moore-Penrose) with V_i = D_iᵀD_i (Cholesky) and B_i = D_i(V_i − X_iMX_iᵀ)D_iᵀ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.frames import column_of, labels_of, nearest
from ..design.spec import ModelSpec
from ..errors import DataError, OptionError
from ..likelihood.base import Evaluation
from ..linalg import dense as la
from ..linalg.memory import require
from .anova import kept_rows

Float = NDArray[np.float64]
KINDS = ("CR0", "CR1", "CR1S", "CR2")


@dataclass(frozen=True)
class Clusters:
    """Rows by cluster: `rows[i]` are the rows of cluster i, `labels[i]` its name."""

    rows: tuple[NDArray[np.intp], ...]
    labels: tuple[object, ...]
    name: str

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Robust:
    """A `df.Denominator`: the sandwich with Bell and McCaffrey's degrees of freedom.

    Attributes
    ----------
    cov : (p, p)
        V^R.
    bread : (p, p)
        M.
    meat : (m, p, p)
        F_i = X_iᵀW_iA_i V_i A_iᵀW_iX_i of every cluster, which degrees of freedom need.
    arms : (m, p, p)
        K_i = X_iᵀW_iA_i X_i.
    """

    cov: Float
    bread: Float
    meat: Float
    arms: Float

    def single(self, L: Float) -> Float:
        """ν = (tr Ω)²/tr Ω² with Ω_ij the working covariance of the clusters' parts of ℓᵀβ̂'s sandwich.

        With g_i = A_iᵀW_iX_iMℓ: Ω_ij = 1[i=j] g_iᵀV_ig_i − g_iᵀX_i M X_jᵀg_j.
        """
        out = np.full(len(L), np.nan)
        for c, row in enumerate(L):
            if np.isfinite(row).all():
                v = self.bread @ row
                own = np.einsum("p,ipq,q->i", v, self.meat, v)
                U = np.einsum("p,ipq->iq", v, self.arms)
                UM = U @ self.bread
                shared = np.einsum("iq,iq->i", UM, U)
                cross = U.T @ UM
                square = float(own @ own - 2.0 * (own @ shared) + np.sum(cross * cross.T))  # no m×m matrix is made
                out[c] = float(np.sum(own - shared)) ** 2 / square if square > 0 else np.nan
        return out

    def joint(self, L: Float) -> tuple[float, float]:
        """Hotelling's T² with the approximate ν of Pustejovsky and Tipton's HTZ test: F(c, ν − c + 1)(ν − c + 1)/ν."""
        nu = self._wishart_df(L)
        c = len(L)
        left = nu - c + 1.0
        return (left, left / nu) if left > 0 else (float("nan"), float("nan"))

    def _wishart_df(self, L: Float) -> float:
        """ν = c(c + 1)/Σ_ab Var(Ω̂_ab) of the standardised sandwich under the working model (their equation 15)."""
        c = len(L)
        G = L @ self.bread  # (c, p)
        own = np.einsum("ap,ipq,bq->iab", G, self.meat, G)
        U = np.einsum("ap,ipq->iaq", G, self.arms)
        root = la.cholesky(self.bread)
        H = np.einsum("iaq,qr->iar", U, root)
        expected = own.sum(axis=0) - np.einsum("iar,ibr->ab", H, H)
        try:
            half = la.triangular_inverse(la.cholesky(expected))
        except la.NotPositiveDefinite:
            return float("nan")
        own = half @ own @ half.T
        H = np.einsum("ab,ibr->iar", half, H)
        # Σ_ab Σ_ij (B_aa,ij B_bb,ij + B_ab,ij B_ba,ij), B_ab,ij = 1[i=j] own_ab,i − H_ia·H_jb
        G = np.einsum("iar,ibs->abrs", H, H)
        shared = np.einsum("iar,ibr->iab", H, H)
        diagonal, squares = np.einsum("iaa->ia", own), np.einsum("iaa->ia", shared)
        first = np.einsum("ia,ib->", diagonal, diagonal - 2.0 * squares) + np.sum(G**2)
        second = np.sum(own * (own - 2.0 * shared)) + np.einsum("abrs,absr->", G, G)
        return float(c * (c + 1.0) / (first + second))


def check_kind(kind: str) -> str:
    """`kind` if it is one of KINDS."""
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not one of {', '.join(map(repr, KINDS))}")
    return kind


def independent_clusters(spec: ModelSpec, labels: NDArray[np.object_] | None, name: str) -> Clusters:
    """Rows by cluster, checked to be independent of each other under the model.

    Parameters
    ----------
    labels : (n,) object or None
        Cluster of each row; None takes the smallest groups of rows that the model makes independent.
    name : str
        For messages.

    Raises
    ------
    OptionError
        Rows of different clusters that depend on each other, or a single cluster.
    """
    family = spec.families
    if labels is None:
        count = int(family.max()) + 1
        if count < 2:
            raise OptionError(f"there are no independent clusters: {_why_one(spec)}. {_REMEDY}")
        return Clusters(_split(family, count), tuple(range(count)), name)
    seen: dict[object, int] = {}
    codes = np.fromiter((seen.setdefault(label, len(seen)) for label in labels), dtype=np.intp, count=len(labels))
    if len(seen) < 2:
        raise OptionError(f"{name} has one level only: a sandwich needs several clusters")
    pairs = np.unique(np.column_stack([family, codes]), axis=0)
    if len(pairs) > len(np.unique(family)):
        raise OptionError(f"the clusters of {name} are not independent in this model: {_link(spec, codes)}. {_REMEDY}")
    return Clusters(_split(codes, len(seen)), tuple(seen), name)


_REMEDY = (
    "The robust covariance sums over clusters that share no random effect: take larger clusters, or another model for "
    "the dependence"
)


def _split(codes: NDArray[np.intp], count: int) -> tuple[NDArray[np.intp], ...]:
    order = np.argsort(codes, kind="stable")
    return tuple(np.split(order, np.cumsum(np.bincount(codes, minlength=count))[:-1]))


def _why_one(spec: ModelSpec) -> str:
    known = [term.label for term in spec.terms if term.cov_name is not None]
    if known:
        return f"the known covariance of {', '.join(known)} relates all rows to each other"
    if len(spec.terms) > 1:
        return f"the levels of {' and '.join(term.label for term in spec.terms)} cross, so that all rows are linked"
    return "all rows share a level"


def _link(spec: ModelSpec, codes: NDArray[np.intp]) -> str:
    """Which term has a level, or a relationship, in several clusters."""
    for term in spec.all_terms:
        pairs = np.unique(np.column_stack([term.codes, codes]), axis=0)
        twice = np.flatnonzero(np.bincount(pairs[:, 0], minlength=term.q) > 1)
        if len(twice):
            return f"level {term.levels[twice[0]]!r} of {term.label} has rows in several of them"
    return f"the known covariance of {', '.join(t.label for t in spec.terms if t.cov_name)} relates some of them"


def robust_covariance(spec: ModelSpec, evaluation: Evaluation, clusters: Clusters, kind: str) -> Robust:
    """V^R of `kind` at the model's covariance.

    Parameters
    ----------
    clusters : Clusters
        Independent of each other (see `independent_clusters`).
    """
    make = _adjusted if check_kind(kind) == "CR2" else _plain
    need = f"the sandwich of {len(clusters):,} clusters and {spec.p} coefficients"
    require(24 * len(clusters) * spec.p**2, need, "Larger clusters need less.")
    parts = [make(spec, evaluation, rows) for rows in _Solved(spec, evaluation).of(clusters)]
    scores, meat, arms = (np.stack(each) for each in zip(*parts, strict=True))
    M, m, n, p = evaluation.beta_cov, len(clusters), spec.n, spec.p
    factor = {"CR1": m / (m - 1.0), "CR1S": m * (n - 1.0) / ((m - 1.0) * (n - p))}.get(kind, 1.0)
    cov = factor * M @ (scores.T @ scores) @ M
    return Robust(0.5 * (cov + cov.T), M, meat, arms)


@dataclass(frozen=True)
class _Part:
    """What one cluster is made of: rows, X_i, W_iX_i, W_ie_i, e_i."""

    rows: NDArray[np.intp]
    X: Float
    WX: Float
    We: Float
    e: Float


@dataclass(frozen=True)
class _Solved:
    spec: ModelSpec
    evaluation: Evaluation

    @cached_property
    def whole(self) -> tuple[Float, Float, Float]:
        e = self.spec.response - self.spec.X @ self.evaluation.beta
        return np.asarray(self.evaluation.solve(self.spec.X)), np.asarray(self.evaluation.Py), e

    def of(self, clusters: Clusters) -> Sequence[_Part]:
        WX, We, e = self.whole
        return [_Part(rows, self.spec.X[rows], WX[rows], We[rows], e[rows]) for rows in clusters.rows]


def _plain(spec: ModelSpec, evaluation: Evaluation, part: _Part) -> tuple[Float, Float, Float]:
    """Score, F_i and K_i with A_i = I."""
    inner = part.X.T @ part.WX
    return part.X.T @ part.We, inner, inner


def _adjusted(spec: ModelSpec, evaluation: Evaluation, part: _Part) -> tuple[Float, Float, Float]:
    """The same with CR2's A_i: X_iᵀW_iA_i = ZᵀB^{−½}Lᵀ, V_i = LLᵀ, Z = L⁻¹X_i."""
    V = covariance_of(spec, evaluation.theta, part.rows)
    L = la.cholesky(V)
    LX, Z = L.T @ part.X, la.solve_triangular(L, part.X)
    LL = L.T @ L
    values, vectors = la.eigh(LL @ LL - LX @ evaluation.beta_cov @ LX.T)
    keep = values > 1e-10 * values[-1]
    half = vectors[:, keep] / np.sqrt(values[keep]) @ vectors[:, keep].T
    ZB = Z.T @ half
    return ZB @ (L.T @ part.e), ZB @ LL @ LL @ ZB.T, ZB @ LX


def covariance_of(spec: ModelSpec, theta: Float, rows: NDArray[np.intp]) -> Float:
    """V among some rows, dense: Σ over terms of (B Σ Bᵀ) ∘ A at the rows' levels."""
    require(8 * 4 * len(rows) ** 2, f"a cluster of {len(rows):,} rows", "kind='CR1' needs no matrix of a cluster.")
    V = np.zeros((len(rows), len(rows)))
    for term, Sigma in zip(spec.all_terms, spec.sigmas(theta), strict=True):
        levels, codes = np.unique(term.codes[rows], return_inverse=True)
        A = np.asarray(term.covariance.block(term.positions[levels]))
        B = term.basis[rows]
        V += (B @ Sigma @ B.T) * A[np.ix_(codes, codes)]
    return V


def cluster_labels(spec: ModelSpec, cluster: object) -> tuple[NDArray[np.object_], str]:
    """Cluster of each row of the fit, from the name of a column or a random term, or from one label a row.

    Raises
    ------
    OptionError, DataError
        No such column, a wrong length, missing labels.
    """
    if isinstance(cluster, str):
        return _named(spec, cluster), repr(cluster)
    values = np.asarray(cluster, dtype=object)
    given, traits = spec.dropped.n_given, spec.traits
    n = spec.n if traits is None else traits.n
    if values.shape == (given,) and given != n:
        values = np.delete(values, spec.dropped.rows)
    if values.shape != (n,):
        also = f" or {given} (one for each row of the data)" if given not in (0, n) else ""
        what = "rows" if traits is None else "records"
        raise OptionError(f"cluster= has shape {values.shape}; the model has {n} {what}{also}")
    if any(value is None or value != value for value in values.tolist()):
        raise DataError("cluster= has missing labels")
    return values if traits is None else values[traits.record], "cluster="


def _named(spec: ModelSpec, name: str) -> NDArray[np.object_]:
    for term in spec.terms:
        if name in (term.name, term.group):
            return term.levels[term.codes]
    frame = getattr(spec.source, "frame", None)
    known = [term.name for term in spec.terms] + ([] if frame is None else [str(c) for c in frame.columns])
    if frame is None or name not in frame.columns:
        hint = nearest(name, known)
        hint = hint if hint.startswith("; did") else f"; the model has {', '.join(map(repr, dict.fromkeys(known)))}"
        raise OptionError(
            f"cluster={name!r} is no column that the model uses{hint}. Other labels: cluster=data[{name!r}]"
        )
    codes, levels = labels_of(column_of(frame.iloc[kept_rows(spec)], name))
    if (codes < 0).any():
        raise DataError(f"cluster={name!r} has missing labels in rows of the fit")
    return levels[codes] if spec.traits is None else levels[codes][spec.traits.record]
