"""Exact null distribution of the (restricted) likelihood ratio of one variance (Crainiceanu & Ruppert 2004).

With one random term besides the residual and λ = θ_1/θ_0, under θ_1 = 0 and whatever β and θ_0 are,

    REML:  sup_λ (n − p) log(Σ w_s / (Σ w_s/(1 + λμ_s) + w_0)) − Σ log(1 + λμ_s)
    ML:    sup_λ  n      log(          the same              ) − Σ log(1 + λξ_s)

μ the non-zero eigenvalues of M K M, ξ those of K (K = Z A Zᵀ, M projects X out, all in rows times weights^½), w_s
independent χ²₁ and w_0 a χ² with the rest of the n − p degrees of freedom.  Equal eigenvalues share one χ² draw.  With
further terms the same distribution, as if they were absent, is the approximation of Greven, Crainiceanu, Küchenhoff &
Peters (2008), which they propose and RLRsim computes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Can
from ..design.spec import ModelSpec, Term
from ..errors import NotProvided
from ..likelihood.gaussian import levels_matmat
from ..likelihood.kernels import ScalarKernel, row_kernel
from ..likelihood.rows import Rows, working_rows
from ..linalg import dense as la
from ..linalg.memory import require

Float = NDArray[np.float64]
AFFORDABLE = 2500  # size of an eigenvalue problem that is solved without being asked for
_STEP = 0.3  # of the grid in log λ
_SAME = 1e-9  # eigenvalues this near, relative to the largest, are one
_ROUNDING = 1e-9  # of a likelihood ratio
_CELLS = 4_000_000  # of an array of replicates × eigenvalues


@dataclass(frozen=True)
class Spectrum:
    """What the null distribution depends on.

    Attributes
    ----------
    mu, mu_count : (J,)
        Distinct non-zero eigenvalues of M K M and how often each occurs.
    xi, xi_count : (J',)
        Those in the log-determinant: of M K M for REML, of K for ML.
    rest : int
        Degrees of freedom in which nothing of the term is seen.
    df : int
        n − p for REML, n for ML.
    """

    mu: Float
    mu_count: NDArray[np.intp]
    xi: Float
    xi_count: NDArray[np.intp]
    rest: int
    df: int


def spectrum_size(spec: ModelSpec, term: Term) -> int:
    """Rows of the largest eigenvalue problem that `spectrum` solves."""
    if _grouping(term):
        squares = _group_sums(term, 1.0 / np.abs(spec.residual.basis[:, 0]))
        counts = np.unique(np.round(squares / max(float(squares.max()), 1e-300), 12), return_counts=True)[1]
        return int(np.minimum(counts, spec.p).sum())
    rank = int(getattr(term.covariance, "rank", term.q)) if Can.LOW_RANK in term.covariance.can else term.q
    return min(spec.n, rank)


def spectrum(spec: ModelSpec, i: int, reml: bool) -> Spectrum:
    """Eigenvalues of term `i` (one effect) as if it were the only one besides a residual of one variance."""
    term, rows = spec.terms[i], working_rows(spec)
    size = spectrum_size(spec, term)
    require(8 * 4 * size**2, f"eigenvalues of {size:,} directions for the exact test", "Use method='mixture'.")
    mu, count, xi, xi_count = _grouped(term, rows) if _grouping(term) else _known(term, rows)
    top = max(float(xi.max(initial=0.0)), float(mu.max(initial=0.0)))
    if min(float(mu.min(initial=0.0)), float(xi.min(initial=0.0))) < -1e-7 * top:
        raise _indefinite(term)
    mu, count = _distinct(mu, count, top)
    xi, xi_count = _distinct(xi, xi_count, top)
    free = rows.n - rows.p
    if reml:
        xi, xi_count = mu, count
    return Spectrum(mu, count, xi, xi_count, free - int(count.sum()), free if reml else rows.n)


def _grouping(term: Term) -> bool:
    """Whether levels are independent, so that K is a diagonal in disguise."""
    return term.cov_name is None and term.covariance.kind == "identity"


def _group_sums(term: Term, scale: Float) -> Float:
    """(q,) diagonal of ZᵀZ in working rows."""
    return np.asarray(np.bincount(term.codes, (term.basis[:, 0] * scale) ** 2, minlength=term.q), dtype=np.float64)


def _grouped(term: Term, rows: Rows) -> tuple[Float, NDArray[np.intp], Float, NDArray[np.intp]]:
    """Eigenvalues of D − BBᵀ, D = ZᵀZ diagonal and B = ZᵀQ, group by group of equal diagonal entries.

    Among m equal entries d, all but p directions are orthogonal to B: m − p eigenvalues are d itself.
    """
    d = _group_sums(term, rows.scale)
    Z = term.Z(0).T
    B = np.asarray(Z @ (rows.Q * rows.scale[:, None])) if rows.p else np.zeros((term.q, 0))
    _, owner = np.unique(np.round(d / max(float(d.max()), 1e-300), 12), return_inverse=True)
    values, counts, parts, diagonal = [], [], [], []
    for j in range(owner.max() + 1):
        members = np.flatnonzero(owner.reshape(-1) == j)
        value, kept = float(d[members].mean()), min(len(members), rows.p)
        values.append(value)
        counts.append(len(members))
        parts.append(la.qr(B[members])[1] if kept else np.zeros((0, rows.p)))
        diagonal.append(np.full(kept, value))
    values_, counts_ = np.array(values), np.array(counts, dtype=np.intp)
    if not rows.p:
        return values_, counts_, values_, counts_
    R, D = np.vstack(parts), np.concatenate(diagonal)
    inner = la.eigvalsh(np.diag(D) - R @ R.T)
    left = counts_ - np.minimum(counts_, rows.p)
    mu = np.concatenate([inner, values_[left > 0]])
    return mu, np.concatenate([np.ones(len(inner), np.intp), left[left > 0]]), values_, counts_


def _known(term: Term, rows: Rows) -> tuple[Float, NDArray[np.intp], Float, NDArray[np.intp]]:
    """Eigenvalues of a term with a known covariance: of q×q (or rank) or n×n products, the smaller."""
    basis = rows.basis(term)
    if spectrum_size(rows.spec, term) < rows.n:
        root = term.covariance.factor(term.positions)
        z = np.random.default_rng(0).standard_normal((term.q, 1))
        if not np.allclose(root @ (root.T @ z), levels_matmat(term, z), rtol=1e-6, atol=1e-6):
            raise _indefinite(term)
        F = root[term.codes] * basis
        G, inside = F.T @ F, rows.Q.T @ F
        xi = la.eigvalsh(G)
        mu = la.eigvalsh(G - inside.T @ inside)
    else:
        kernel = row_kernel(term, basis)
        assert isinstance(kernel, ScalarKernel)
        K, Q = np.array(kernel.matrix(0)), rows.Q
        xi = la.eigvalsh(K)
        KQ = K @ Q
        mu = la.eigvalsh(K - Q @ KQ.T - KQ @ Q.T + Q @ (Q.T @ KQ) @ Q.T)
    return mu, np.ones(len(mu), np.intp), xi, np.ones(len(xi), np.intp)


def _indefinite(term: Term) -> NotProvided:
    return NotProvided(
        f"the exact test of {term.name!r} needs a positive semi-definite covariance, and this one has negative "
        "eigenvalues: use method='boot'"
    )


def _distinct(values: Float, counts: NDArray[np.intp], top: float) -> tuple[Float, NDArray[np.intp]]:
    """Positive values, those that differ by rounding merged."""
    seen = values > _SAME * max(top, 1e-300)
    order = np.argsort(values[seen])
    values, counts = values[seen][order], counts[seen][order]
    if not len(values):
        return values, counts
    owner = np.cumsum(np.concatenate([[0], np.diff(values) > _SAME * top]))
    total = np.bincount(owner, counts)
    return np.bincount(owner, values * counts) / total, total.astype(np.intp)


def simulate(spectrum: Spectrum, nsim: int, rng: np.random.Generator) -> Float:
    """(nsim,) draws of the likelihood ratio under a zero variance."""
    if not len(spectrum.mu):
        return np.zeros(nsim)
    step = max(1, _CELLS // len(spectrum.mu))
    return np.concatenate([_draws(spectrum, min(step, nsim - at), rng) for at in range(0, nsim, step)])


def _draws(s: Spectrum, count: int, rng: np.random.Generator) -> Float:
    single = s.mu_count == 1
    w = np.empty((count, len(s.mu)))
    w[:, single] = rng.standard_normal((count, int(single.sum()))) ** 2
    w[:, ~single] = rng.chisquare(s.mu_count[~single], (count, int((~single).sum())))
    rest = rng.chisquare(s.rest, count) if s.rest else np.zeros(count)
    grid = np.arange(np.log(1e-5 / s.mu[-1]), np.log(1e5 / s.mu[0]), _STEP)
    value = _height(s, w.sum(axis=1) + rest, w @ (1.0 / (1.0 + np.exp(grid) * s.mu[:, None])) + rest[:, None], grid)
    best = np.argmax(value, axis=1)
    top = value[np.arange(count), best]
    inside = np.flatnonzero((top > 0) & (best > 0) & (best < len(grid) - 1))
    top[inside] = np.maximum(top[inside], _polished(s, w[inside], rest[inside], grid[best[inside]]))
    return np.where(top > _ROUNDING, top, 0.0)


def _height(s: Spectrum, total: Float, left: Float, x: Float) -> Float:
    """The criterion above its value at zero, at every log λ of `x`: `left` (B, G) sums of squares, `total` (B,)."""
    penalty = s.xi_count @ np.log1p(np.exp(x) * s.xi[:, None])
    return s.df * (np.log(total)[:, None] - np.log(left)) - penalty


def _polished(s: Spectrum, w: Float, rest: Float, x: Float) -> Float:
    """The maximum near each log λ of `x` (B,), by three Newton steps within a step of the grid."""
    start = x
    for _ in range(3):
        t = np.exp(x)[:, None] * s.mu
        share = t / (1.0 + t)
        part = w / (1.0 + t)
        left = part.sum(axis=1) + rest
        first = -(part * share).sum(axis=1)  # ∂ left / ∂ log λ
        second = (part * share * (2.0 * share - 1.0)).sum(axis=1)
        u = np.exp(x)[:, None] * s.xi
        ratio = u / (1.0 + u)
        slope = -s.df * first / left - ratio @ s.xi_count
        bend = -s.df * (second / left - (first / left) ** 2) - (ratio * (1.0 - ratio)) @ s.xi_count
        x = np.clip(np.where(bend < 0, x - slope / np.where(bend < 0, bend, 1.0), x), start - _STEP, start + _STEP)
    left = (w / (1.0 + np.exp(x)[:, None] * s.mu)).sum(axis=1) + rest
    penalty = np.log1p(np.exp(x)[:, None] * s.xi) @ s.xi_count
    return s.df * (np.log(w.sum(axis=1) + rest) - np.log(left)) - penalty


def p_value(statistic: float, draws: Float) -> tuple[float, float]:
    """P(draw ≥ statistic), the statistic counted as one of the draws, and its Monte-Carlo standard error."""
    if not statistic > 0:
        return 1.0, 0.0
    p = (1.0 + float((draws >= statistic).sum())) / (1.0 + len(draws))
    return p, float(np.sqrt(p * (1.0 - p) / len(draws)))
