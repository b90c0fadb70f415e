"""One kernel and many responses: the likelihood profiled over all but the share of variance, together (MATH: 2).

With V = τ(h D + (1 − h) I), D the kernel's eigenvalues of mean one, τ̂ = yᵀP_h y/N (N = n − p for REML, n for ML) and

    −2ℓ(h) = N log(2πτ̂) + N + log|V_h| + log|QᵀV_h⁻¹Q|,

a function of one number for each response.  Sums over coordinates that belong to many responses are matrix products.
A share is kept as the smaller of h and 1 − h (`Share`), so that neither end loses digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.products import product
from .panel_coordinates import Coordinates
from .rows import LOG_2PI

Float = NDArray[np.float64]
Bool = NDArray[np.bool_]
PAIRS_UP_TO = 30  # columns of which all products of pairs are kept
_CELLS = 4e6  # numbers in a temporary array


@dataclass(frozen=True)
class Share:
    """h = k, or 1 − k where `upper`; (T,) each."""

    k: Float
    upper: Bool

    @property
    def top(self) -> Float:
        """h: the weight of the kernel."""
        return np.where(self.upper, 1.0 - self.k, self.k)

    @property
    def low(self) -> Float:
        """1 − h: the weight of the residual."""
        return np.where(self.upper, self.k, 1.0 - self.k)

    @property
    def sign(self) -> Float:
        """dh/dk."""
        return np.where(self.upper, -1.0, 1.0)

    def at(self, some: NDArray[np.intp]) -> Share:
        return Share(self.k[some], self.upper[some])


@dataclass(frozen=True)
class Slope:
    """ℓ (without its constant; NaN where it was not asked for) and its first two derivatives by k, (T,) each."""

    value: Float
    first: Float
    second: Float


@dataclass(frozen=True)
class Ends:
    """The model at the variances found, for T responses; V_1 is the kernel, V_2 the residual.

    Attributes
    ----------
    loglik : (T,)
    theta : (T, 2)
    beta : (T, p)
    beta_cov : (T, p, p)
    beta_slopes : (T, 2, p)
        ∂Var(β̂_a)/∂θ_j.
    expected, average : (T, 2, 2)
        Informations of θ.
    """

    loglik: Float
    theta: Float
    beta: Float
    beta_cov: Float
    beta_slopes: Float
    expected: Float
    average: Float


class Profile:
    """The criterion of every response at shares that differ, or at one share for all (`grid`)."""

    def __init__(self, coordinates: Coordinates, reml: bool):
        self.coordinates, self.reml = coordinates, reml
        self.scale = float(coordinates.d.sum()) / coordinates.size or 1.0
        self.d = coordinates.d / self.scale
        self.u = self.d - 1.0
        self.Q, self.extra = coordinates.Q, coordinates.extra
        self.width = self.Q.shape[1]
        rows = coordinates.rows
        self.N = rows.n - (rows.p if reml else 0)
        # columns in the determinant: all for REML; for ML those alone that take rows out
        self.counted = slice(0 if reml else rows.p, self.width)
        constant = self.N * (LOG_2PI + 1.0 - np.log(self.N)) - 2.0 * rows.log_scale
        self.constant = -0.5 * (constant + (2.0 * rows.log_det_R if reml else 0.0))

    # ---- sums over coordinates -------------------------------------------------------------------------------

    @cached_property
    def _pairs(self) -> tuple[Float, NDArray[np.intp], NDArray[np.intp]]:
        a, b = np.triu_indices(self.width)
        return np.ascontiguousarray((self.Q[:, a] * self.Q[:, b]).T), a, b

    def grams(self, W: Float) -> Float:
        """(T, c, c) Qᵀ diag(w) Q for every column w of W (r, T)."""
        out = np.empty((W.shape[1], self.width, self.width))
        if self.width <= PAIRS_UP_TO:
            products, a, b = self._pairs
            out[:, a, b] = out[:, b, a] = product(products, W).T
        else:
            for gram, w in zip(out, W.T, strict=True):
                gram[...] = product(self.Q.T, w[:, None] * self.Q)
        return out

    def _counted(self, A: Float) -> Float:
        return A[:, self.counted, self.counted]

    # ---- one share for all responses --------------------------------------------------------------------------

    def grid(self, Y: Float, shares: Share) -> tuple[Float, Float]:
        """(G, T) ℓ and dℓ/dh of every response in Y (r, T) at each of G shares."""
        value = np.empty((len(shares.k), Y.shape[1]))
        slope = np.empty_like(value)
        squares = Y * Y
        for some in _chunks(len(shares.k), _CELLS / max(Y.shape[0] * max(self.width, 1), 1)):
            value[some], slope[some] = self._grid(Y, squares, shares.at(some))
        return value, slope

    def _grid(self, Y: Float, squares: Float, shares: Share) -> tuple[Float, Float]:
        top, low = shares.top, shares.low
        W = 1.0 / (np.multiply.outer(self.d, top) + low)  # (r, G)
        UW = self.u[:, None] * W
        WUW = W * UW
        logdet = -np.log(W).sum(axis=0) + self.extra * _log(low)
        trace = UW.sum(axis=0) - self.extra * _over(1.0, low)
        q = product(W.T, squares)
        q1 = -product(WUW.T, squares)
        if self.width:
            A, B = self.grams(W), self.grams(WUW)
            c, k = self._crossed(W, Y), self._crossed(WUW, Y)  # (G, c, T)
            b = la.small_solve(A, c)
            q -= np.einsum("gct,gct->gt", c, b)
            q1 += np.einsum("gct,gct->gt", 2.0 * k - B @ b, b)
            logdet = logdet + _logdets(self._counted(A))
            trace = trace - _traces(self._counted(A), self._counted(B))
        q = np.maximum(q, 1e-300)
        return -0.5 * (self.N * np.log(q) + logdet[:, None]), -0.5 * (self.N * q1 / q + trace[:, None])

    def _crossed(self, W: Float, Y: Float) -> Float:
        """(G, c, T) Qᵀ diag(w) Y."""
        wide = (W.T[:, None, :] * self.Q.T[None]).reshape(-1, len(self.d))
        return product(wide, Y).reshape(W.shape[1], self.width, Y.shape[1])

    # ---- a share of its own for each response -----------------------------------------------------------------

    def at(self, Y: Float, share: Share, *, value: bool = False) -> Slope:
        """ℓ and its derivatives by k, response by response: Y (r, T), shares (T,)."""
        W, A, _, E, WE = self._solved(Y, share)
        UW = self.u[:, None] * W
        UW *= share.sign
        F = UW * WE
        q = np.maximum(_dots(WE, E), 1e-300)
        q1 = -_dots(F, E)
        q2 = 2.0 * _dots(UW * F, E)
        low, sign = share.low, share.sign
        trace, curve = UW.sum(axis=0), -_dots(UW, UW)
        if self.extra:
            trace -= self.extra * sign / low
            curve -= self.extra / low**2
        if self.width:
            B = self.grams(W * UW)
            kept = self._counted(A)
            M = la.small_solve(kept, self._counted(B))
            UW *= UW * W
            trace -= np.einsum("tcc->t", M)
            curve += 2.0 * _traces(kept, self._counted(self.grams(UW))) - np.einsum("tab,tba->t", M, M)
            k = product(self.Q.T, F).T[:, :, None]
            q2 -= 2.0 * np.einsum("tcx,tcx->t", k, la.small_solve(A, k))
        first = -0.5 * (self.N * q1 / q + trace)
        second = -0.5 * (self.N * (q2 / q - (q1 / q) ** 2) + curve)
        return Slope(self._value(W, A, q, low) if value else np.full(len(low), np.nan), first, second)

    def _solved(self, Y: Float, share: Share) -> tuple[Float, Float, Float, Float, Float]:
        """W, QᵀWQ, the GLS coefficients b (c, T), the residuals E = Y − Qb and WE."""
        W = np.multiply.outer(share.top, self.d).T  # by columns, as the coordinates of a response lie
        W += share.low
        np.divide(1.0, W, out=W)
        if not self.width:
            return W, np.empty((Y.shape[1], 0, 0)), np.empty((0, Y.shape[1])), Y, W * Y
        A = self.grams(W)
        WY = W * Y
        b = la.small_solve(A, product(self.Q.T, WY).T[:, :, None])[:, :, 0].T
        E = Y - product(self.Q, np.ascontiguousarray(b))
        return W, A, b, E, np.multiply(W, E, out=WY)

    def _value(self, W: Float, A: Float, q: Float, low: Float) -> Float:
        logdet = -np.log(W).sum(axis=0) + self.extra * _log(low)
        if self.width:
            logdet = logdet + _logdets(self._counted(A))
        return -0.5 * (self.N * np.log(q) + logdet)

    def value_at(self, Y: Float, share: Share) -> Float:
        """ℓ without its constant, (T,)."""
        W, A, _, E, WE = self._solved(Y, share)
        return self._value(W, A, np.maximum(_dots(WE, E), 1e-300), share.low)

    def kernel_rows(self, Y: Float, share: Share) -> Float:
        """(n, T) θ_1 V⁻¹(y − Xβ̂) on the user's rows, up to what the kernel is zero on: A Zᵀ of it are the BLUPs."""
        return self.coordinates.kernel_rows(self._solved(Y, share)[4] * (share.top / self.scale))

    # ---- the end ------------------------------------------------------------------------------------------------

    def ends(self, Y: Float, ols: Float, share: Share) -> Ends:
        """Everything that inference needs at the shares found; `ols` (p, T) from `Coordinates.responses`."""
        rows = self.coordinates.rows
        W, A, b, E, PE = self._solved(Y, share)
        q = np.maximum(_dots(PE, E), 1e-300)
        tau = q / self.N
        loglik = self._value(W, A, q, share.low) + self.constant
        C = la.stacked_inverse(A) if self.width else A
        wd = W * self.d[:, None]
        halves = [self.grams(W * wd), self.grams(W * W)]
        HVH = np.stack(halves, axis=1)
        p = rows.p
        root = la.solve_triangular(rows.R, np.eye(p), lower=False) if p else np.empty((0, 0))
        spread = root @ C[:, :p]  # (T, p, c): R⁻¹C of the model's own columns
        factor = np.array([self.scale, 1.0])
        slopes = np.einsum("tac,tjcd,tad->tja", spread, HVH, spread, optimize=True) * factor[:, None]
        return Ends(
            loglik,
            (tau * np.stack([share.top / self.scale, share.low])).T,
            la.solve_triangular(rows.R, ols + b[:p], lower=False).T if p else np.empty((len(q), 0)),
            tau[:, None, None] * (root @ C[:, :p, :p] @ root.T),
            slopes,
            self._expected(W, wd, self._metric(A, C), HVH, share.low)
            * np.outer(factor, factor)
            / tau[:, None, None] ** 2,
            self._average(W, PE, C) * np.outer(factor, factor) / tau[:, None, None] ** 3,
        )

    def _metric(self, A: Float, C: Float) -> Float:
        """(T, c, c) (QᵀV⁻¹Q)⁻¹ of the columns that T takes out of V⁻¹."""
        kept = self._counted(A)
        return C if self.reml else la.stacked_inverse(kept) if kept.shape[1] else kept

    def _expected(self, W: Float, wd: Float, inner: Float, HVH: Float, low: Float) -> Float:
        """(T, 2, 2) ½ tr(T V_j T V_k) at τ = 1."""
        parts = (wd, W)
        beyond = self.extra * _over(1.0, low) ** 2 if self.extra else 0.0
        out = np.empty((W.shape[1], 2, 2))
        for j, k in ((0, 0), (0, 1), (1, 1)):
            both = parts[j] * parts[k]
            total = both.sum(axis=0)
            if inner.shape[1]:
                G = self._counted(self.grams(both * W))
                total -= 2.0 * np.einsum("tab,tba->t", inner, G)
                M = [inner @ self._counted(HVH[:, x]) for x in (j, k)]
                total += np.einsum("tab,tba->t", M[0], M[1])
            out[:, j, k] = out[:, k, j] = total
        out[:, 1, 1] += beyond
        return 0.5 * out

    def _average(self, W: Float, PE: Float, C: Float) -> Float:
        """(T, 2, 2) ½ (V_jPy)ᵀP(V_kPy) at τ = 1."""
        F = (self.d[:, None] * PE, PE)
        out = np.empty((W.shape[1], 2, 2))
        WF = [W * f for f in F]
        crossed = [product(self.Q.T, f) for f in WF]
        for j, k in ((0, 0), (0, 1), (1, 1)):
            total = _dots(WF[j], F[k])
            if self.width:
                total -= np.einsum("ct,tcd,dt->t", crossed[j], C, crossed[k], optimize=True)
            out[:, j, k] = out[:, k, j] = total
        return 0.5 * out


def _dots(A: Float, B: Float) -> Float:
    """(T,) inner products of columns."""
    return np.einsum("rt,rt->t", A, B)


def _traces(A: Float, B: Float) -> Float:
    """(T,) tr(A⁻¹B)."""
    if not A.shape[1]:
        return np.zeros(len(A))
    return np.einsum("tcc->t", la.small_solve(A, B))


def _logdets(A: Float) -> Float:
    """(T,) log|A| of positive definite matrices."""
    if not A.shape[1]:
        return np.zeros(len(A))
    return 2.0 * np.log(np.einsum("tcc->tc", la.small_cholesky(A))).sum(axis=1)


def _log(low: Float) -> Float:
    return np.log(np.maximum(low, 1e-300))


def _over(a: float, low: Float) -> Float:
    return a / np.maximum(low, 1e-300)


def _chunks(count: int, size: float) -> Iterator[NDArray[np.intp]]:
    step = max(1, int(size))
    for start in range(0, count, step):
        yield np.arange(start, min(start + step, count))
