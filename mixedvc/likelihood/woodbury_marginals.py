"""The log-likelihood and β̂ of many θ from tables of sums over the spectrum: an evaluation never sees the records.

With nodes d* that stand for all eigenvalues (`eigen_nodes`), the sums over records of (d_i G + R)⁻¹ times products of
two columns are (d*_k G + R)⁻¹ times matrices made once.  The effects of low rank, the fixed effects and y are then
eliminated by one small Cholesky factorisation, y last, whose pivots are all that the likelihood needs (MATH: 2b).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.memory import available_bytes
from ..linalg.products import product
from ..linalg.stacks import stacked_cholesky, stacked_triangular_inverse
from .eigen_nodes import Nodes, nodes_of
from .marginals import Marginals, Normals
from .woodbury_frame import WoodburyFrame
from .woodbury_mixed import PairTables, mixed, shares_columns

Float = NDArray[np.float64]
Bools = NDArray[np.bool_]
_AT_ONCE = 1 << 20  # numbers of Gram matrices held at a time
_MOST = 0.1  # part of the free memory that tables may take
_NEGATIVE = 1e-6  # negative part of a kernel's variance, relative to the residual's, up to which the nodes hold


@dataclass(frozen=True)
class Tables:
    """Sums over the records of products of two columns of S = [columns of low rank, Z, Y].

    Attributes
    ----------
    S : (n', c)
    nodes : Nodes or None
        None where all eigenvalues are summed for each θ.
    sums : (N, c²) or None
        Sᵀ diag(C_k) S of every node.
    """

    S: Float
    nodes: Nodes | None
    sums: Float | None

    @cached_property
    def pairs(self) -> PairTables:
        assert self.sums is not None
        return PairTables(self.sums, self.S.shape[1])

    def by_nodes(self, f: Float) -> Float:
        """(K, c, c) for the values of a function of d at the nodes, (K, N)."""
        assert self.sums is not None
        c = self.S.shape[1]
        flat = product(self.sums.T, f.T).T if len(f) else np.empty(0)  # row-major, so that each is factored in place
        return flat.reshape(len(f), c, c)

    def by_records(self, f: Float) -> Float:
        """(K, c, c) for the values of a function of d at every eigenvalue, (K, n')."""
        c = self.S.shape[1]
        out = np.empty((len(f), c, c))
        for row, w in zip(out, f, strict=True):
            row[...] = product((self.S * w[:, None]).T, self.S)
        return out


def tables_of(frame: WoodburyFrame) -> Tables:
    """Tables where they pay."""
    S = np.hstack([frame.columns, frame.Z, frame.table])
    n, c = S.shape
    nodes = nodes_of(frame.d)
    if nodes is None or 2 * len(nodes.d) > n or 8.0 * len(nodes.d) * c * c > _MOST * available_bytes():
        return Tables(S, None, None)
    sums = np.empty((len(nodes.d), c * c))
    for k, weights in enumerate(nodes.C.T):
        there = weights != 0.0
        part = S if there.all() else S[there]
        sums[k] = product((part * weights[there, None]).T, part).ravel()
    return Tables(S, nodes, sums)


def woodbury_marginals(frame: WoodburyFrame, tables: Tables, thetas: Float, reml: bool) -> Marginals:
    """Each row of `thetas` (K, m)."""
    t, c = frame.t, tables.S.shape[1]
    step = max(1, _AT_ONCE // (max(c, 1) ** 2 * t * t + len(frame.d) * t))
    pieces = [_some(frame, tables, thetas[start : start + step], reml) for start in range(0, len(thetas), step)]
    if not pieces:
        p = frame.rows.p
        return Marginals(np.empty(0), np.empty((0, p)), np.empty((0, p, p)))
    return Marginals(*(np.concatenate([getattr(piece, f) for piece in pieces]) for f in ("loglik", "beta", "root")))


def _some(frame: WoodburyFrame, tables: Tables, thetas: Float, reml: bool) -> Marginals:
    sigmas = _sigmas(frame, thetas)
    diagonal = _diagonal(frame, sigmas, thetas)
    there = diagonal.there.copy()
    roots = []
    for term in frame.low:
        root, good = stacked_root(sigmas[term.index])
        roots.append(root)
        there &= good
    if tables.nodes is not None and _nodes_hold(frame, tables.nodes, diagonal).all() and shares_columns(frame):
        A = mixed(frame, tables.pairs, diagonal.weights(tables.nodes.d), roots)
    else:
        A = _augmented(frame, _grams(frame, tables, diagonal), roots)
    order, p = frame.order, frame.rows.p
    there &= la.factor_each(A)
    pivots = np.einsum("kii->ki", A).copy()
    pivots[~there] = 1.0
    logs = 2.0 * np.log(pivots)
    tail = A[:, order:, order:].transpose(0, 2, 1)
    tail = np.where(there[:, None, None], np.tril(tail), np.eye(p + 1))
    inverse = stacked_triangular_inverse(tail[:, :p, :p])
    b = np.einsum("kij,ki->kj", inverse, tail[:, p, :p])
    found = Normals(inverse, b, np.zeros(len(b)), logs[:, order : order + p].sum(axis=1), there)
    logdet = diagonal.logdet + logs[:, :order].sum(axis=1)
    out = found.marginals(frame.rows, logdet, tail[:, p, p] ** 2, reml, there)
    return out if not frame.lift.N.size else _unlifted(frame, sigmas, found, out)


def _unlifted(frame: WoodburyFrame, sigmas: list[Float], found: Normals, out: Marginals) -> Marginals:
    """With the root of (XᵀV⁻¹X)⁻¹ of the kernel as it was given."""
    assert frame.outline.kernel is not None
    C = np.einsum("kij,kil->kjl", found.inverse, found.inverse)
    C = C - frame.lift.fixed(sigmas[frame.outline.kernel], frame.fixed.B)
    L, good = stacked_cholesky(np.where(found.there[:, None, None], C, np.eye(C.shape[1])))
    root = la.solve_triangular(frame.rows.R, L.transpose(1, 0, 2).reshape(C.shape[1], -1), lower=False)
    root = root.reshape(C.shape[1], len(C), -1).transpose(1, 0, 2)
    return Marginals(np.where(good, out.loglik, -np.inf), out.beta, root)


def _sigmas(frame: WoodburyFrame, thetas: Float) -> list[Float]:
    """(K, k, k) Σ of every term, the residual last."""
    out, at = [], 0
    for E in frame.patterns:
        m, k = len(E), E.shape[1]
        out.append((thetas[:, at : at + m] @ E.reshape(m, k * k)).reshape(-1, k, k))
        at += m
    return out


def stacked_root(Sigma: Float) -> tuple[Float, Bools]:
    """(K, k, k) L with Σ = L Lᵀ, and where Σ has no negative eigenvalue beyond rounding; L is zero elsewhere."""
    if Sigma.shape[1] == 1:
        there = np.greater_equal(Sigma, 0.0)
        return np.sqrt(np.where(there, Sigma, 0.0)), np.asarray(there)[:, 0, 0]
    size = np.sqrt(np.maximum(np.einsum("kii->ki", Sigma), 0.0))
    unit = np.where(size > 0.0, size, 1.0)
    finite = np.asarray(np.isfinite(Sigma).all(axis=(1, 2)))
    scaled = np.where(finite[:, None, None], Sigma / unit[:, :, None] / unit[:, None, :], 0.0)
    values, vectors = la.small_eigh(scaled)
    good = finite & (values[:, 0] >= -1e-9 * np.maximum(values[:, -1], 1.0))
    return np.where(
        good[:, None, None], unit[:, :, None] * vectors * np.sqrt(np.maximum(values, 0.0))[:, None], 0.0
    ), good


@dataclass(frozen=True)
class Diagonal:
    """G ⊗ K + R ⊗ I of K values of θ: T (K, t, t), T G Tᵀ and T R Tᵀ (K, t), log-determinants, where regular."""

    T: Float
    of_G: Float
    of_R: Float
    logdet: Float
    there: Bools

    def values(self, d: Float) -> Float:
        """(K, t, len(d)) 1/(d λ + ρ)."""
        return 1.0 / (self.of_G[:, :, None] * d + self.of_R[:, :, None])

    def weights(self, d: Float) -> Float:
        """(K, t, t, len(d)) (d G + R)⁻¹."""
        if self.T.shape[1] == 1:
            return self.values(d)[:, :, None]
        return np.einsum("kca,kcb,kcn->kabn", self.T, self.T, self.values(d), optimize=True)


def _diagonal(frame: WoodburyFrame, sigmas: list[Float], thetas: Float) -> Diagonal:
    t, d, R = frame.t, frame.d, sigmas[-1]
    kernel = frame.outline.kernel
    G = np.zeros_like(R) if kernel is None else sigmas[kernel]
    T, of_G, of_R = np.ones((len(R), 1, 1)), G[:, :, 0], R[:, :, 0]
    logdet, there = np.zeros(len(R)), np.isfinite(thetas).all(axis=1)
    if t > 1:
        M, good = stacked_cholesky(float(d.mean()) * G + R)
        there = there & good
        inverse = stacked_triangular_inverse(M)
        turned = inverse @ np.where(there[:, None, None], G, 0.0) @ inverse.transpose(0, 2, 1)
        vectors = la.small_eigh(0.5 * (turned + turned.transpose(0, 2, 1)))[1]
        T = vectors.transpose(0, 2, 1) @ inverse
        of_G, of_R = (np.einsum("kca,kab,kcb->kc", T, Sigma, T) for Sigma in (G, R))
        logdet = 2.0 * len(d) * np.log(np.einsum("kii->ki", M)).sum(axis=1)
    v = of_G[:, :, None] * d + of_R[:, :, None]
    there = there & (v.min(axis=(1, 2)) > 0.0)
    if frame.extra:
        there &= thetas[:, -1] > 0.0
    bad = ~there
    if bad.any():
        v[bad], T = 1.0, np.where(bad[:, None, None], np.eye(t), T)
        of_G, of_R = np.where(bad[:, None], 0.0, of_G), np.where(bad[:, None], 1.0, of_R)
    logdet = np.where(bad, 0.0, logdet) + np.log(v).sum(axis=(1, 2))
    if frame.extra:
        logdet += frame.extra * np.log(np.where(bad, 1.0, thetas[:, -1]))
    return Diagonal(T, of_G, of_R, logdet, there)


def _grams(frame: WoodburyFrame, tables: Tables, at: Diagonal) -> dict[tuple[int, int], Float]:
    """(K, c, c) Σ_i [(d_i G + R)⁻¹]_ab s_i s_iᵀ of every two traits a ≤ b."""
    if tables.nodes is None:
        return _summed(at, tables.by_records, frame.d)
    hold = _nodes_hold(frame, tables.nodes, at)
    if hold.all():
        return _summed(at, tables.by_nodes, tables.nodes.d)
    rest = Diagonal(at.T[~hold], at.of_G[~hold], at.of_R[~hold], at.logdet[~hold], at.there[~hold])
    out = _summed(at, tables.by_nodes, tables.nodes.d)
    for pair, sums in _summed(rest, tables.by_records, frame.d).items():
        out[pair][~hold] = sums
    return out


def _nodes_hold(frame: WoodburyFrame, nodes: Nodes, at: Diagonal) -> Bools:
    """Where the kernel's variances are not negative, as the interpolation wants them."""
    return np.logical_and.reduce(at.of_G * float(nodes.d.max()) >= -_NEGATIVE * at.of_R, axis=1)


def _summed(at: Diagonal, sums: object, d: Float) -> dict[tuple[int, int], Float]:
    values = at.values(d)
    t = values.shape[1]
    if t == 1:
        return {(0, 0): sums(values[:, 0])}  # type: ignore[operator]
    pairs = [(a, b) for a in range(t) for b in range(a, t)]
    return {
        (a, b): sums(np.einsum("kc,kcn->kn", at.T[:, :, a] * at.T[:, :, b], values))  # type: ignore[operator]
        for a, b in pairs
    }


@dataclass(frozen=True)
class Part:
    """Columns of the small matrix: of each effect its trait and its place in S; how effects are combined, (K, k, s)."""

    traits: Sequence[int]
    blocks: Sequence[slice]
    mix: Float | None  # None: effects stay as they are, in one piece

    def mixed(self, X: Float, axis: int) -> Float:
        """Along the pair (effect, column) at `axis` of (K, …): (…, k, w, …) → (…, s·w, …)."""
        moved = np.moveaxis(X, (axis, axis + 1), (1, 2))
        K, k, w, *rest = moved.shape
        if self.mix is not None:
            flat = np.ascontiguousarray(moved).reshape(K, k, -1)
            flat = self.mix[:, 0, 0, None, None] * flat if k == 1 else self.mix.transpose(0, 2, 1) @ flat
            moved = flat.reshape(K, k, w, *rest)
        return np.moveaxis(moved.reshape(K, k * w, *rest), 1, axis)


def _parts(frame: WoodburyFrame, roots: list[Float]) -> list[Part]:
    c, r, t = frame.columns.shape[1], frame.Z.shape[1], frame.t
    low = [Part(term.traits, term.blocks, root) for term, root in zip(frame.low, roots, strict=True)]
    fixed = Part(range(t), [slice(c, c + r)] * t, None)
    response = Part(range(t), [slice(c + r + a, c + r + a + 1) for a in range(t)], None)
    return [*low, fixed, response]


def _augmented(frame: WoodburyFrame, grams: dict[tuple[int, int], Float], roots: list[Float]) -> Float:
    """(K, q, q) upper triangle of I + ΛᵀFᵀWFΛ bordered by the fixed effects and y, q = order + p + 1."""
    parts = _parts(frame, roots)
    K, p = len(next(iter(grams.values()))), frame.rows.p
    sizes = [term.k * term.width for term in frame.low] + [p, 1]
    ends = np.cumsum(sizes)
    out = np.zeros((K, ends[-1], ends[-1]))
    for i, one in enumerate(parts):
        for j in range(i, len(parts)):
            X = _between(grams, one, parts[j])
            X = parts[j].mixed(one.mixed(X, 1), 2)
            out[:, ends[i] - sizes[i] : ends[i], ends[j] - sizes[j] : ends[j]] = _of_fixed(frame, X, i, j, len(parts))
    at = np.arange(frame.order)
    out[:, at, at] += 1.0
    return out


def _between(grams: dict[tuple[int, int], Float], one: Part, two: Part) -> Float:
    """(K, k, w, k', w') sums between the columns of two parts."""
    rows = []
    for a, left in zip(one.traits, one.blocks, strict=True):
        across = []
        for b, right in zip(two.traits, two.blocks, strict=True):
            X = grams[min(a, b), max(a, b)]
            across.append(X[:, left, right])
        rows.append(np.stack(across, axis=2))  # K, w, k', w'
    return np.stack(rows, axis=1)


def _of_fixed(frame: WoodburyFrame, X: Float, i: int, j: int, parts: int) -> Float:
    """Traits × columns of Z → fixed effects, and the traits' responses added up, where a part is one of these."""
    B = frame.fixed.B
    flat = None if B is None or frame.t == 1 else B.reshape(-1, frame.rows.p)
    for axis, part in ((1, i), (2, j)):
        if part == parts - 1:
            X = X.sum(axis=axis, keepdims=True)
        elif part == parts - 2 and flat is not None:
            X = np.moveaxis(np.moveaxis(X, axis, -1) @ flat, -1, axis)
    return X
