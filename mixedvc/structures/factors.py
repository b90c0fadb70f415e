"""Σ of few factors: factor-analytic ΛΛᵀ + Ψ, and reduced rank ΛΛᵀ.

Λ (k×f) is determined up to a rotation.  It is reported lower trapezoidal (an effect has no loading on the factors after
its own number), with the first loading of each column that is not zero positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import StructureError
from ..linalg import dense as la
from .base import all_pairs, structures

Float = NDArray[np.float64]
INF = np.inf
_LEAST = 0.005  # of a variance: where a specific variance starts
_MEMBER = 1e-9  # largest difference of correlations at which Σ is a member of the structure


@dataclass(frozen=True)
class _Loadings:
    """Where the entries of Λ (k×f) that are not fixed at zero are: column by column, from the diagonal down."""

    k: int
    factors: int

    @cached_property
    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        columns, rows = np.nonzero(np.arange(self.factors)[:, None] <= np.arange(self.k))
        return rows, columns

    def __len__(self) -> int:
        return len(self.entries[0])

    def matrix(self, values: Float) -> Float:
        """Λ from its free entries."""
        L = np.zeros((self.k, self.factors))
        L[self.entries] = values
        return L

    def values(self, L: Float) -> Float:
        """Free entries of the trapezoidal Λ with LLᵀ = ΛΛᵀ; L may have fewer columns."""
        wide = np.zeros((self.k, self.factors))
        wide[:, : L.shape[1]] = trapezoidal(L)
        return wide[self.entries]

    def gradient(self, L: Float) -> Float:
        """∂(ΛΛᵀ)/∂entry, (len, k, k)."""
        rows, columns = self.entries
        G = np.zeros((len(rows), self.k, self.k))
        at = np.arange(len(rows))
        G[at, rows, :] += L[:, columns].T
        G[at, :, rows] += L[:, columns].T
        return G

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        rows, columns = self.entries
        return tuple((effects[a], f"λ{c + 1}") for a, c in zip(rows.tolist(), columns.tolist(), strict=True))


@structures.register("fa")
@dataclass(frozen=True)
class FactorAnalytic:
    """Σ = ΛΛᵀ + Ψ: what k effects have in common goes through few factors, Ψ ⪰ 0 diagonal is each effect's own.

    Parameters are ψ_1 … ψ_k, then Λ column by column.  A ψ of zero (a Heywood case) is on the boundary.
    """

    k: int
    factors: int = 1
    name = "fa"
    linear = False

    def __post_init__(self) -> None:
        _check_factors(self.k, self.factors, "fa")

    @cached_property
    def loadings(self) -> _Loadings:
        """The layout of Λ."""
        return _Loadings(self.k, self.factors)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return all_pairs(self.k)

    @property
    def n_par(self) -> int:
        return self.k + len(self.loadings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each parameter is."""
        return ("variance",) * self.k + ("loading",) * len(self.loadings)

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        return (*((effect, "ψ") for effect in effects), *self.loadings.names(effects))

    def bounds(self) -> tuple[Float, Float]:
        return np.append(np.zeros(self.k), np.full(len(self.loadings), -INF)), np.full(self.n_par, INF)

    def split(self, par: Float) -> tuple[Float, Float]:
        """ψ (k,) and Λ (k×f)."""
        return np.asarray(par[: self.k], dtype=float), self.loadings.matrix(par[self.k :])

    def join(self, psi: Float, L: Float) -> Float:
        """Parameters of any root L of ΛΛᵀ."""
        return np.append(psi, self.loadings.values(L))

    def scaled(self, par: Float, d: Float) -> Float:
        """Parameters of D Σ D, D = diag(d) positive."""
        psi, L = self.split(par)
        return np.append(psi * d**2, (d[:, None] * L)[self.loadings.entries])

    def start(self, Sigma: Float) -> Float:
        d = np.sqrt(np.maximum(np.diagonal(Sigma), 1e-300))
        psi, L, member = factored(Sigma / d[:, None] / d, self.factors)
        psi = psi if member else np.maximum(psi, _LEAST)
        return self.join(psi * d**2, d[:, None] * L)

    def near(self, Sigma: Float) -> Float:
        """Parameters of a member close to `Sigma`, quickly, with specific variances well inside: to iterate from."""
        d = np.sqrt(np.maximum(np.diagonal(Sigma), 1e-300))
        C = Sigma / d[:, None] / d
        s, L = _principal(C, np.sqrt(_unshared(C)), self.factors, steps=12)
        return self.join(np.maximum(s**2, 0.05) * d**2, d[:, None] * L)

    def build(self, par: Float) -> Float:
        psi, L = self.split(par)
        return L @ L.T + np.diag(psi)

    def gradient(self, par: Float) -> Float:
        own = np.zeros((self.k, self.k, self.k))
        own[np.arange(self.k), np.arange(self.k), np.arange(self.k)] = 1.0
        return np.concatenate([own, self.loadings.gradient(self.split(par)[1])])


@structures.register("rr")
@dataclass(frozen=True)
class ReducedRank:
    """Σ = ΛΛᵀ of rank f < k: every effect is a combination of few factors.

    Parameters are the entries of Λ column by column.
    """

    k: int
    factors: int = 1
    name = "rr"
    linear = False

    def __post_init__(self) -> None:
        _check_factors(self.k, self.factors, "rr")

    @cached_property
    def loadings(self) -> _Loadings:
        """The layout of Λ."""
        return _Loadings(self.k, self.factors)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return all_pairs(self.k)

    @property
    def degenerate(self) -> bool:
        """Whether Σ is singular by its making."""
        return self.factors < self.k

    @property
    def n_par(self) -> int:
        return len(self.loadings)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What each parameter is."""
        return ("loading",) * self.n_par

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        return self.loadings.names(effects)

    def bounds(self) -> tuple[Float, Float]:
        return np.full(self.n_par, -INF), np.full(self.n_par, INF)

    def join(self, L: Float) -> Float:
        """Parameters of any root L of ΛΛᵀ."""
        return self.loadings.values(L)

    def scaled(self, par: Float, d: Float) -> Float:
        """Parameters of D Σ D, D = diag(d) positive."""
        return (d[:, None] * self.loadings.matrix(par))[self.loadings.entries]

    def start(self, Sigma: Float) -> Float:
        d = np.sqrt(np.maximum(np.diagonal(Sigma), 1e-300))
        return self.join(d[:, None] * _leading(Sigma / d[:, None] / d, self.factors))

    def build(self, par: Float) -> Float:
        L = self.loadings.matrix(par)
        return L @ L.T

    def gradient(self, par: Float) -> Float:
        return self.loadings.gradient(self.loadings.matrix(par))


def _check_factors(k: int, factors: object, name: str) -> None:
    if isinstance(factors, bool) or not isinstance(factors, (int, np.integer)) or factors < 1:
        raise StructureError(f"{name}(…, factors={factors!r:.40}): a whole number of at least 1 is needed")
    if k < 2:
        raise StructureError(f"{name}() needs at least two traits or effects: one has a variance and nothing to share")
    free = k * (k + 1) // 2
    n_par = int(k * factors - factors * (factors - 1) // 2) + (k if name == "fa" else 0)
    if factors > k or n_par > free:
        most = max((f for f in range(1, k) if (k - f) ** 2 >= k + f), default=0) if name == "fa" else k
        if factors > k:
            raise StructureError(
                f"{name}() with {factors} factors of {k} effects: there are at most as many as effects"
            )
        remedy = f"at most {most} factor{'' if most == 1 else 's'}, or us()" if most else "us()"
        many = "factor" if factors == 1 else "factors"
        raise StructureError(
            f"{name}() with {factors} {many} of {k} effects has {n_par} parameters, more than the "
            f"{free} of an unstructured covariance: use {remedy}"
        )


def trapezoidal(L: Float) -> Float:
    """Lower trapezoidal Λ with ΛΛᵀ = LLᵀ (k×f, f ≤ k), the first entry of each column that is not zero positive."""
    out = la.small_qr(L.T)[1].T
    tiny = 1e-14 * np.sqrt((L**2).sum(axis=1, keepdims=True))
    out = np.where(np.abs(out) <= tiny, 0.0, out)
    first = out[np.argmax(out != 0.0, axis=0), np.arange(out.shape[1])]
    return out * np.where(first < 0.0, -1.0, 1.0)


def factored(C: Float, factors: int) -> tuple[Float, Float, bool]:
    """ψ (k,) ≥ 0 and L (k×f) with LLᵀ + diag(ψ) nearest to a correlation matrix C, and whether it is C.

    Least squares over all entries of C (principal factors, iterated to the end), from several starts.
    """
    k = len(C)
    best: tuple[float, Float, Float] | None = None
    low = [np.where(np.arange(k) == a, 0.01, 0.5) for a in range(k)]
    for psi in (_unshared(C), np.full(k, 0.05), np.full(k, 0.6), *low):
        s, L = _principal(C, np.sqrt(psi), factors)
        worst = float(np.abs(L @ L.T + np.diag(s**2) - C).max())
        if best is None or worst < best[0]:
            best = (worst, s**2, L)
        if worst < _MEMBER:
            break
    assert best is not None
    worst, psi, L = best
    member = worst < _MEMBER
    if member:  # zero is zero
        psi = np.where(psi < _MEMBER, 0.0, psi)
    return psi, L, member


def _unshared(C: Float) -> Float:
    """(k,) what the other effects leave of each variance: one minus the squared multiple correlation."""
    inverse = la.inverse_psd(la.nearest_psd(C, 1e-3))
    return np.clip(1.0 / np.maximum(np.diagonal(inverse), 1e-12), 1e-4, 1.0)


def _principal(C: Float, s: Float, factors: int, steps: int = 200) -> tuple[Float, Float]:
    """Levenberg-Marquardt steps on ‖LLᵀ + diag(s²) − C‖² in (s, L)."""
    k = len(C)
    L = _leading(C - np.diag(s**2), factors)
    a, b = np.triu_indices(k)
    weight = np.where(a == b, 1.0, np.sqrt(2.0))

    def misfit(s: Float, L: Float) -> Float:
        return ((L @ L.T + np.diag(s**2) - C)[a, b]) * weight

    damping, rest = 1e-3, misfit(s, L)
    for _ in range(steps):
        J = np.zeros((len(a), k + L.size))
        J[a == b, :k] = 2.0 * np.diag(s)
        inner = J[:, k:].reshape(len(a), k, factors)
        at = np.arange(len(a))
        np.add.at(inner, (at, a), L[b])
        np.add.at(inner, (at, b), L[a])
        inner *= weight[:, None, None]
        slope, H = J.T @ rest, J.T @ J
        step = -la.small_solve(H + damping * np.eye(len(H)), slope)
        s2, L2 = s + step[:k], L + step[k:].reshape(k, factors)
        other = misfit(s2, L2)
        if other @ other <= rest @ rest:
            done = rest @ rest - other @ other <= 1e-30 + 1e-13 * (rest @ rest)
            s, L, rest, damping = s2, L2, other, max(0.1 * damping, 1e-14)
            if done:
                break
        else:
            damping *= 10.0
            if damping > 1e8:
                break
    return s, L


def _leading(C: Float, factors: int) -> Float:
    """Root (k×f) of the largest eigenvalues of C, those below zero taken as zero."""
    values, vectors = la.small_eigh(0.5 * (C + C.T))
    return vectors[:, : -factors - 1 : -1] * np.sqrt(np.maximum(values[: -factors - 1 : -1], 0.0))
