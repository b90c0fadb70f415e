"""Unconstrained coordinates z of a structure's parameters, in which posteriors have light tails; and log|∂par/∂z|.

Sizes (sds, leading loadings) are unit · Φ(z)(1 + eᶻ): logarithms above, but a density that is flat in the sd down to
zero has a Gaussian tail, where a logarithm would have an exponential one.  Correlations are 2Φ(z) − 1 (within their
bounds), so that a flat density is Gaussian.

An unstructured Σ = T S Tᵀ is taken in effects that are orthogonal over the rows and of unit size (T): the intercept and
slope of a year are nearly one effect, and a sampler in the user's own basis would walk a knife's edge.  T is upper
triangular, so that later effects stay what they are: a slope without variance is a zero in S, not a correlation of ±1.
S has sds and canonical partial correlations (Lewandowski, Kurowicka & Joe 2009), at rest where a variance is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.columns import orthogonalising
from ..structures.base import Structure

Float = NDArray[np.float64]
_LEAST = 0.01  # of a term's unit: where a variance at zero starts
_MOST = 0.95  # of the way to its bounds: where a correlation at them starts


class Coordinates(Protocol):
    """Coordinates of one term's parameters; K points at once."""

    @property
    def d(self) -> int: ...

    def par(self, z: Float) -> Float:
        """(K, n_par) from z (K, d)."""
        ...

    def z(self, par: Float) -> Float:
        """(K, d) from parameters (K, n_par) inside their bounds."""
        ...

    def inside(self, par: Float) -> Float:
        """(n_par,) parameters off their bounds, near `par` (n_par,), which may be on them."""
        ...

    def log_jacobian(self, z: Float) -> Float:
        """(K,) log|∂par/∂z|."""
        ...


def log_size(z: Float) -> Float:
    """log(Φ(z)(1 + eᶻ))."""
    return np.asarray(log_ndtr(z) + np.logaddexp(0.0, z))


def log_size_slope(z: Float) -> Float:
    """log of the derivative of `log_size`."""
    return np.asarray(np.logaddexp(_log_normal(z) - log_ndtr(z), -np.logaddexp(0.0, -z)))


def size_coordinate(log: Float) -> Float:
    """z of a size given by its logarithm, by Newton's steps."""
    z = np.where(log > 0.0, log, -np.sqrt(2.0 * np.maximum(-log, 0.0)))
    for _ in range(60):
        step = (log_size(z) - log) * np.exp(-log_size_slope(z))
        z = z - np.clip(step, -2.0, 2.0)
        if np.abs(step).max(initial=0.0) < 1e-14:
            break
    return z


def _log_normal(z: Float) -> Float:
    return -0.5 * z * z - 0.5 * np.log(2.0 * np.pi)


def _log_room(z: Float) -> Float:
    """log(1 − p²) of p = 2Φ(z) − 1, which does not lose it near ±1."""
    return np.asarray(np.log(4.0) + log_ndtr(z) + log_ndtr(-z))


def _probit(p: Float) -> Float:
    """z of p = 2Φ(z) − 1."""
    return np.asarray(-np.sign(p) * ndtri(0.5 * (1.0 - np.abs(p))))


@dataclass(frozen=True)
class Spherical:
    """Σ = T S Tᵀ unstructured: z is in the order of vech(Σ), from sds of S and its canonical partial correlations."""

    structure: Structure
    T: Float

    @property
    def d(self) -> int:
        return self.structure.n_par

    @cached_property
    def _where(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        col, row = np.array(self.structure.pairs).T
        return row, col, row == col

    @cached_property
    def _inverse(self) -> Float:
        return la.small_solve(self.T, np.eye(len(self.T)))

    def par(self, z: Float) -> Float:
        row, col, own = self._where
        k = self.structure.k
        sd = np.exp(log_size(z[:, own]))
        if k == 1:
            return (sd * self.T[0, 0]) ** 2
        partial, left = np.zeros((len(z), k, k)), np.zeros((len(z), k, k))
        apart = ~own
        partial[:, row[apart], col[apart]] = 2.0 * ndtr(z[:, apart]) - 1.0
        left[:, row[apart], col[apart]] = 0.5 * _log_room(z[:, apart])
        partial[:, np.arange(k), np.arange(k)] = 1.0
        before = np.cumsum(left, axis=2) - left  # log of what the columns before leave of the row's length
        F = self.T @ (partial * np.exp(before) * sd[:, :, None])
        return np.einsum("kij,klj->kil", F, F)[:, row, col]

    def z(self, par: Float) -> Float:
        row, col, own = self._where
        S = self._scaled(par)
        sd = np.sqrt(np.einsum("kii->ki", S))
        L = la.small_cholesky(S / sd[:, :, None] / sd[:, None, :])
        tail = np.sqrt(np.cumsum(np.square(L)[:, :, ::-1], axis=2)[:, :, ::-1])  # length from a column on
        partial = np.divide(L, tail, out=np.zeros_like(L), where=tail > 0.0)
        return np.where(own, size_coordinate(np.log(sd))[:, row], _probit(np.where(own, 0.0, partial[:, row, col])))

    def _scaled(self, par: Float) -> Float:
        """(K, k, k) S."""
        row, col, _ = self._where
        k = self.structure.k
        Sigma = np.zeros((len(par), k, k))
        Sigma[:, row, col] = Sigma[:, col, row] = par
        return self._inverse @ Sigma @ self._inverse.T

    def inside(self, par: Float) -> Float:
        row, col, _ = self._where
        values, vectors = la.small_eigh(self._scaled(par[None, :])[0])
        S = (vectors * np.maximum(values, 0.0)) @ vectors.T
        k = len(S)
        sd = np.sqrt(np.maximum(np.diagonal(S), 1e-300))
        R = _MOST * (S / sd[:, None] / sd) + (1.0 - _MOST) * np.eye(k)
        sd = np.sqrt(np.maximum(np.diagonal(S), _LEAST))
        Sigma = self.T @ (R * sd[:, None] * sd) @ self.T.T
        return Sigma[row, col]

    def log_jacobian(self, z: Float) -> Float:
        _, col, own = self._where
        k, apart = self.structure.k, ~own
        size, partial = z[:, own], z[:, apart]
        constant = k * np.log(2.0) + (k + 1) * float(np.log(np.abs(np.diagonal(self.T))).sum())
        sizes = ((k + 1) * log_size(size) + log_size_slope(size)).sum(axis=1)
        within = _log_room(partial) @ (0.5 * (k - col[apart] - 2)) + (np.log(2.0) + _log_normal(partial)).sum(axis=1)
        return np.asarray(constant + sizes + within)


@dataclass(frozen=True)
class Boxed:
    """Each parameter by itself: a size above a lower bound, a probit between two, as it is without.

    `unit` (n_par,) is the size that is expected of each parameter, `power` (n_par,) 2 for a variance and 1 for others.
    """

    structure: Structure
    unit: Float
    power: Float

    @property
    def d(self) -> int:
        return self.structure.n_par

    @cached_property
    def _bounds(self) -> tuple[Float, Float, NDArray[np.bool_], NDArray[np.bool_]]:
        lower, upper = self._limits()
        both = np.isfinite(lower) & np.isfinite(upper)
        one = np.isfinite(lower) & ~both
        return np.where(np.isfinite(lower), lower, 0.0), np.where(both, upper, 1.0), one, both

    def _limits(self) -> tuple[Float, Float]:
        """Loadings have their sign from the first of each column, which is positive."""
        lower, upper = self.structure.bounds()
        loadings = getattr(self.structure, "loadings", None)
        if loadings is not None:
            row, column = loadings.entries
            first = self.structure.n_par - len(loadings) + np.flatnonzero(row == column)
            lower = np.array(lower)
            lower[first] = 0.0
        return lower, upper

    def par(self, z: Float) -> Float:
        lower, upper, one, both = self._bounds
        above = lower + self.unit * np.exp(self.power * log_size(np.where(one, z, 0.0)))
        share = ndtr(np.where(both, z, 0.0))
        between = lower + (upper - lower) * share
        return np.where(one, above, np.where(both, between, z * self.unit))

    def z(self, par: Float) -> Float:
        lower, upper, one, both = self._bounds
        share = np.where(both, (par - lower) / (upper - lower), 0.5)
        log = np.log(np.where(one, (par - lower) / self.unit, 1.0)) / self.power
        return np.where(one, size_coordinate(log), np.where(both, ndtri(share), par / self.unit))

    def inside(self, par: Float) -> Float:
        lower, upper, one, both = self._bounds
        middle, half = 0.5 * (lower + upper), 0.5 * _MOST * (upper - lower)
        boxed = np.clip(par, middle - half, middle + half)
        return np.where(one, np.maximum(par, lower + _LEAST * self.unit), np.where(both, boxed, par))

    def log_jacobian(self, z: Float) -> Float:
        lower, upper, one, both = self._bounds
        unit, size = np.log(self.unit), np.where(one, z, 0.0)
        above = unit + np.log(self.power) + self.power * log_size(size) + log_size_slope(size)
        between = np.log(upper - lower) + _log_normal(z)
        return np.asarray(np.where(one, above, np.where(both, between, unit)).sum(axis=1))


@dataclass(frozen=True)
class Held:
    """Parameters that are given."""

    structure: Structure
    value: Float
    d: int = 0

    def par(self, z: Float) -> Float:
        return np.tile(self.value, (len(z), 1))

    def z(self, par: Float) -> Float:
        return np.empty((len(par), 0))

    def inside(self, par: Float) -> Float:
        return np.array(self.value)

    def log_jacobian(self, z: Float) -> Float:
        return np.zeros(len(z))


def coordinates_of(spec: ModelSpec, term: Term, held: Float | None, left: Float) -> Coordinates:
    """The coordinates of one term; `left` (n,) is what least squares leave of the response."""
    structure = term.structure
    if held is not None:
        return Held(structure, np.asarray(held, dtype=np.float64))
    diagonal = np.maximum(term.covariance.diagonal(term.positions), 0.0)[term.codes]
    sizes = _sizes(term, diagonal, left)
    if structure.name == "us":
        C = orthogonalising(term.basis[:, ::-1], diagonal) if term.k > 1 else None
        if C is None:
            return Spherical(structure, np.diag(sizes))
        rms = np.sqrt(np.square(term.basis).T @ diagonal / len(left))
        return Spherical(structure, np.triu(C[::-1, ::-1]) / rms[:, None] * (rms * sizes))
    unit = _units(structure, sizes)
    return Boxed(structure, unit, _powers(structure))


def _sizes(term: Term, diagonal: Float, left: Float) -> Float:
    """(k,) the sd of each effect that would explain all that is left of the response in the rows that have it."""
    B = term.basis
    explained = np.square(B).T @ diagonal
    there = (B != 0.0).T @ np.square(left)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.sqrt(there / explained)
    usable = np.isfinite(sizes) & (sizes > 0.0)
    return np.where(usable, sizes, max(float(sizes[usable].mean()), 1e-150) if usable.any() else 1.0)


def _units(structure: Structure, sizes: Float) -> Float:
    """(n_par,) expected size of each parameter: squared sds, loadings like sds, correlations one."""
    n_par, k = structure.n_par, structure.k
    overall = float(np.mean(np.square(sizes)))
    loadings = getattr(structure, "loadings", None)
    if loadings is not None:
        own = np.square(sizes) if n_par > len(loadings) else np.empty(0)
        return np.append(own, sizes[loadings.entries[0]])
    upper = structure.bounds()[1]
    if n_par in (k, k + 1) and len(sizes) == k:
        unit = np.append(np.square(sizes), np.ones(n_par - k))
    elif hasattr(structure, "stratum"):
        stratum = np.array(structure.stratum)
        unit = np.append(np.bincount(stratum, np.square(sizes)) / np.bincount(stratum), 1.0)
    else:
        unit = np.full(n_par, overall)
    return np.where(np.isfinite(upper), 1.0, unit)


def _powers(structure: Structure) -> Float:
    """(n_par,) 2 for variances, which are squares of sizes, 1 for the others."""
    loadings = getattr(structure, "loadings", None)
    own = structure.n_par - (0 if loadings is None else len(loadings))
    return np.append(np.full(own, 2.0), np.ones(structure.n_par - own))


def linear_parameters(structure: Structure, par: Float) -> Float:
    """(K, pairs) entries of Σ from parameters (K, n_par)."""
    if structure.linear:
        return par
    a, b = np.array(structure.pairs).T
    if hasattr(structure, "loadings"):
        return _of_loadings(structure, par, a, b)
    if structure.name in ("cs", "ar1"):
        return _of_lags(structure, par, a, b)
    return np.stack([structure.build(row)[a, b] for row in par]) if len(par) else np.empty((0, len(a)))


def _of_loadings(structure: Structure, par: Float, a: NDArray[np.intp], b: NDArray[np.intp]) -> Float:
    """ΛΛᵀ + Ψ."""
    loadings = structure.loadings  # type: ignore[attr-defined]
    own = structure.n_par - len(loadings)
    L = np.zeros((len(par), structure.k, loadings.factors))
    L[:, loadings.entries[0], loadings.entries[1]] = par[:, own:]
    out = np.einsum("kpf,kpf->kp", L[:, a], L[:, b])
    if own:
        out[:, a == b] += par[:, a[a == b]]
    return out


def _of_lags(structure: Structure, par: Float, a: NDArray[np.intp], b: NDArray[np.intp]) -> Float:
    """σ_s(a) σ_s(b) ρ^lag."""
    lags = getattr(structure, "lags", None)
    if lags is None:
        cells = np.arange(structure.k)
        apart = np.abs(cells[:, None] - cells)
        lags = np.minimum(apart, 1) if structure.name == "cs" else apart
    stratum = np.array(getattr(structure, "stratum", np.zeros(structure.k, dtype=np.intp)))
    if not hasattr(structure, "stratum") and par.shape[1] > 2:
        stratum = np.arange(structure.k)
    sd = np.sqrt(par[:, :-1])
    return sd[:, stratum[a]] * sd[:, stratum[b]] * np.power(par[:, -1:], lags[a, b])
