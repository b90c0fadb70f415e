"""The Gaussian model at one θ, from a handful of primitives that each likelihood supplies (MATH: 2).

    P = V⁻¹ − V⁻¹X(XᵀV⁻¹X)⁻¹XᵀV⁻¹,  score_j = ½((Py)ᵀV_jPy − tr(T V_j)),  T = P (REML) or V⁻¹ (ML)

A likelihood supplies a `State`: log|V|, V⁻¹U, V_jU, tr(V⁻¹V_j), tr(V⁻¹V_jV⁻¹V_k), tr(V_jV⁻¹V_k) in its own working
coordinates; everything else, the REML corrections included, is written once, here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..design.spec import Term
from ..linalg import dense as la
from .base import Evaluation
from .row_pairs import row_pairs
from .rows import Rows

Float = NDArray[np.float64]


class Frame(Protocol):
    """Working coordinates of a likelihood: the rows as they are, permuted, rotated or compressed."""

    @property
    def rows(self) -> Rows: ...
    @property
    def y(self) -> Float: ...  # (n',) response in working coordinates
    @property
    def Q(self) -> Float: ...  # (n', p) fixed effects in working coordinates
    @property
    def extra(self) -> int: ...  # directions outside the coordinates, in which V = σ_e² I

    def into(self, U: Float) -> Float:
        """(n, c) working rows → (n', c) coordinates."""
        ...

    def back(self, U: Float) -> Float:
        """(n', c) coordinates → (n, c) working rows."""
        ...

    def with_response(self, y: Float) -> Frame:
        """The same coordinates for another response."""
        ...


class State(Protocol):
    """V at one θ in working coordinates."""

    @property
    def logdet(self) -> float: ...

    def solve(self, U: Float) -> Float:
        """V⁻¹U."""
        ...

    def apply(self, U: Float) -> Float:
        """(m, n', c): V_j U."""
        ...

    def traces(self) -> Float:
        """(m,) tr(V⁻¹V_j)."""
        ...

    def pair_traces(self) -> Float:
        """(m, m) tr(V⁻¹V_jV⁻¹V_k)."""
        ...

    def cross_traces(self) -> Float:
        """(m, m) tr(V_jV⁻¹V_k)."""
        ...


@runtime_checkable
class HasEntries(Protocol):
    """A state of likelihoods for residuals whose rows depend on each other."""

    def inverse_entries(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> Float:
        """(e,) V⁻¹ at pairs of working rows i ≥ j that share a level of the residual."""
        ...


class GaussianEvaluation:
    """One θ; parts are computed when first asked for (see `mixedvc.likelihood.base.Evaluation`).

    By REML the state may be that of V + Q `lift` Qᵀ, `lift` (p, p): P and log|V| + log|XᵀV⁻¹X| are the same, and exist
    where V is singular within the fixed effects (a centred kernel, a singular residual).
    """

    def __init__(self, frame: Frame, state: State, theta: Float, reml: bool, lift: Float | None = None):
        self.frame, self.state, self.theta, self.reml = frame, state, theta, reml
        self.rows, self._lift = frame.rows, lift

    # ---- fixed effects and the criterion -------------------------------------------------------------------

    @cached_property
    def _solved(self) -> tuple[Float, Float, Float, Float]:
        """H = V⁻¹Q, Cholesky of QᵀV⁻¹Q, the GLS coefficients of the remainder, Py (all in coordinates)."""
        frame, p = self.frame, self.rows.p
        S = self.state.solve(np.column_stack([frame.Q, frame.y]))
        H, Vy = S[:, :p], S[:, p]
        L = la.cholesky(frame.Q.T @ H) if p else np.empty((0, 0))
        b = la.cho_solve(L, H.T @ frame.y) if p else np.empty(0)
        return H, L, b, Vy - H @ b

    @cached_property
    def _C(self) -> Float:
        """(QᵀV⁻¹Q)⁻¹."""
        L = self._solved[1]
        return la.cho_solve(L, np.eye(len(L))) if len(L) else np.empty((0, 0))

    @cached_property
    def loglik(self) -> float:
        _, L, _, Py = self._solved
        return self.rows.loglik(self.state.logdet, float(self.frame.y @ Py), L, self.reml)

    @cached_property
    def beta(self) -> Float:
        return self.rows.beta(self._solved[2])

    @cached_property
    def beta_cov(self) -> Float:
        return self.rows.on_user_scale(self._C if self._lift is None else self._C - self._lift)

    @cached_property
    def Py(self) -> Float:
        return self.frame.back(self._solved[3][:, None])[:, 0] * self.rows.scale

    # ---- derivatives ----------------------------------------------------------------------------------------

    @cached_property
    def _applied(self) -> Float:
        """(m, n', p + 1) V_j [V⁻¹Q, Py]: one pass over every V_j."""
        H, _, _, Py = self._solved
        return self.state.apply(np.column_stack([H, Py]))

    @property
    def _VPy(self) -> Float:
        """(n', m) V_j P y."""
        return self._applied[:, :, -1].T

    @cached_property
    def quad(self) -> Float:
        return self._solved[3] @ self._VPy

    @property
    def _VH(self) -> Float:
        """(m, n', p) V_j V⁻¹ Q."""
        return self._applied[:, :, :-1]

    @cached_property
    def _HVH(self) -> Float:
        """(m, p, p) QᵀV⁻¹V_jV⁻¹Q."""
        return self._solved[0].T @ self._VH

    @cached_property
    def trace(self) -> Float:
        plain = self.state.traces()
        if not self.reml:
            return plain
        return plain - np.einsum("pq,jpq->j", self._C, self._HVH)

    @cached_property
    def score(self) -> Float:
        return 0.5 * (self.quad - self.trace)

    def _project(self, U: Float) -> Float:
        """P U in coordinates."""
        S = self.state.solve(U)
        H = self._solved[0]
        return S - H @ (self._C @ (H.T @ U)) if self.rows.p else S

    @cached_property
    def average_information(self) -> Float:
        F = self._VPy
        return _symmetric(0.5 * F.T @ self._project(F))

    @cached_property
    def expected_information(self) -> Float:
        return self._expected(self.state.pair_traces(), self._VH, self._HVH)

    def _expected(self, total: Float, VH: Float, HVH: Float) -> Float:
        """½ tr(T V_j T V_k) of directions of V from tr(V⁻¹V_jV⁻¹V_k), V_jV⁻¹Q and QᵀV⁻¹V_jV⁻¹Q."""
        if self.reml and self.rows.p:
            C = self._C
            m, n, p = VH.shape
            flat = VH.transpose(1, 0, 2).reshape(n, m * p)
            E = (flat.T @ self.state.solve(flat)).reshape(m, p, m, p)
            CE = np.einsum("pq,jqkp->jk", C, E, optimize=True)
            CH = np.einsum("pq,jqr->jpr", C, HVH)
            total = total - 2.0 * CE + np.einsum("jpr,krp->jk", CH, CH)
        return _symmetric(0.5 * total)

    def information_along(self, kind: str, D: Float) -> Float:
        """(r, r) D I Dᵀ of an information and directions D (r, m) of θ.

        A structure of few parameters has many θ: what it needs of tr(V⁻¹V_jV⁻¹V_k) costs the directions alone.
        """
        along = getattr(self.state, "pair_traces_along", None)
        if kind == "average" or along is None or len(D) >= len(self.theta):
            return np.asarray(D @ getattr(self, f"{kind}_information") @ D.T)
        VH, HVH = (np.tensordot(D, part, axes=1) for part in (self._VH, self._HVH))
        expected = self._expected(along(D), VH, HVH)
        return expected if kind == "expected" else 2.0 * (D @ self.average_information @ D.T) - expected

    @cached_property
    def observed_information(self) -> Float:
        return 2.0 * self.average_information - self.expected_information

    @cached_property
    def cross_trace(self) -> Float:
        total = self.state.cross_traces()
        if self.reml and self.rows.p:
            G = np.einsum("jnp,pq->jnq", self._VH, self._C)
            total = total - np.einsum("jnq,knq->jk", G, self._VH)
        return _symmetric(total)

    @cached_property
    def cross_quad(self) -> Float:
        F = self._VPy
        return F.T @ F

    @cached_property
    def beta_cov_gradient(self) -> Float:
        inner = np.einsum("pq,jqr,rs->jps", self._C, self._HVH, self._C)
        return np.stack([self.rows.on_user_scale(D) for D in inner])

    # ---- solves and random effects on the user's rows -------------------------------------------------------

    def _on_rows(self, U: Float, work: Callable[[Float], Float]) -> Float:
        scale = self.rows.scale
        U2 = np.asarray(U, dtype=np.float64)
        flat = U2[:, None] if U2.ndim == 1 else U2
        given = flat * scale[:, None]
        inside = self.frame.into(given)
        out = self.frame.back(work(inside))
        if self.frame.extra:
            out += (given - self.frame.back(inside)) / self.theta[-1]
        out *= scale[:, None]
        return out[:, 0] if U2.ndim == 1 else out

    def solve(self, U: Float) -> Float:
        return self._on_rows(U, self.state.solve if self._lift is None else self._unlifted)

    def _unlifted(self, U: Float) -> Float:
        """V⁻¹U in coordinates, V without the lift."""
        assert self._lift is not None
        C, H = self._C, self._solved[0]
        M = C - C @ la.cho_solve(la.cholesky(C - self._lift), C)
        return self.state.solve(U) - H @ (M @ (H.T @ U))

    def project(self, U: Float) -> Float:
        return self._on_rows(U, self._project)

    def _sigma(self, term: int) -> Float:
        return self.rows.spec.sigmas(self.theta)[term]

    def blup(self, term: int) -> Float:
        t = self.rows.spec.all_terms[term]
        return levels_matmat(t, t.collect(self.Py)) @ self._sigma(term)

    def prediction_cov(self, term: int, *, fixed_known: bool = False) -> Float:
        t = self.rows.spec.all_terms[term]
        Sigma = self._sigma(term)
        work = self.solve if fixed_known else self.project
        prior = t.covariance.diagonal(t.positions)[:, None, None] * Sigma
        explained = np.empty_like(prior)
        step = max(1, 64_000_000 // (8 * self.rows.n * t.k))
        for start in range(0, t.q, step):
            rows = np.arange(start, min(start + step, t.q))
            explained[rows] = self._explained(t, rows, work)
        return prior - np.einsum("ab,qbc,cd->qad", Sigma, explained, Sigma)

    def _explained(self, t: Term, rows: NDArray[np.intp], work: Callable[[Float], Float]) -> Float:
        """(len(rows), k, k) blocks of A Zᵀ P Z A for some levels: one projection of n × (k·len(rows)) columns."""
        A = t.covariance.block(t.positions[rows], t.positions)  # (c, q)
        c, k = len(rows), t.k
        spread = A[:, t.codes]  # (c, n)
        ZA = np.einsum("na,cn->nac", t.basis, spread).reshape(self.rows.n, k * c)
        PZA = work(ZA)
        return np.einsum("nac,nbc->cab", ZA.reshape(-1, k, c), PZA.reshape(-1, k, c), optimize=True)

    def draw(self, rng: np.random.Generator) -> tuple[Float, list[Float]]:
        return posterior_draw(self, self.rows, rng)

    @cached_property
    def residual_traces(self) -> Float:
        """(k, k) tr(T Z_a Z_bᵀ) of the cells of a residual whose rows depend on each other (on working rows)."""
        pairs = row_pairs(self.rows.spec.residual, self.rows.basis(self.rows.spec.residual))
        if not isinstance(self.state, HasEntries):
            raise TypeError("this likelihood has no entries of V⁻¹ for a residual whose rows depend on each other")
        entries = self.state.inverse_entries(pairs.i, pairs.j)
        if self.reml and self.rows.p:
            H = self._solved[0]
            entries = entries - np.einsum("ep,ep->e", (H @ self._C)[pairs.i], H[pairs.j])
        return pairs.by_cells(entries)


def levels_matmat(term: Term, B: Float) -> Float:
    """A[levels, levels] @ B for B (q, c)."""
    q_all = len(term.covariance.labels)
    if q_all == term.q and np.array_equal(term.positions, np.arange(q_all)):
        return term.covariance.matmat(B)
    full = np.zeros((q_all, B.shape[1]))
    full[term.positions] = B
    return term.covariance.matmat(full)[term.positions]


def posterior_draw(evaluation: Evaluation, rows: Rows, rng: np.random.Generator) -> tuple[Float, list[Float]]:
    """One joint draw of β (flat prior) and every term's u (q, k) given the response of `rows` and θ.

    The difference of two draws with one covariance, regressed on itself, has the conditional law (Matheron).
    """
    spec = rows.spec
    sigmas = spec.sigmas(evaluation.theta)
    prior = [prior_draw(term, Sigma, rng) for term, Sigma in zip(spec.terms, sigmas, strict=False)]
    e = rng.standard_normal((spec.residual.q, spec.residual.k)) @ la.psd_root(sigmas[-1]).T
    y_star = spec.residual.spread(e)
    for term, u in zip(spec.terms, prior, strict=True):
        y_star = y_star + term.spread(u)
    y = (rows.Q @ rows.ols + rows.y) / rows.scale  # the likelihood's own response
    d = (y - spec.X @ evaluation.beta) - y_star
    Pd = evaluation.project(d)
    us = []
    for i, (term, u) in enumerate(zip(spec.terms, prior, strict=True)):
        us.append(u + levels_matmat(term, term.collect(Pd)) @ sigmas[i])
    beta = evaluation.beta + evaluation.beta_cov @ (spec.X.T @ evaluation.solve(d)) if spec.p else np.empty(0)
    return beta, us


def prior_draw(term: Term, Sigma: Float, rng: np.random.Generator) -> Float:
    """(q, k) one draw of a term's effects from N(0, Σ ⊗ A)."""
    base = term.covariance.draw(rng, term.k)[term.positions]
    return base @ la.psd_root(Sigma).T


def _symmetric(A: Float) -> Float:
    return 0.5 * (A + A.T)
