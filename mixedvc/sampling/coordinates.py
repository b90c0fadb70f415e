"""Unconstrained coordinates z of a structure's parameters: log sds, partial correlations, logits; and log|∂par/∂z|.

An unstructured Σ = T S Tᵀ is taken in effects that are orthogonal over the rows and of unit size (T): the intercept and
slope of a year are nearly one effect, and a sampler in the user's own basis would walk a knife's edge.  S has the
logarithms of its sds and the inverse hyperbolic tangents of its canonical partial correlations as coordinates
(Lewandowski, Kurowicka & Joe 2009), which stay at rest when a variance goes to zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class Spherical:
    """Σ = T S Tᵀ unstructured: z is in the order of vech(Σ), log sds of S and atanh of its partial correlations."""

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
        if k == 1:
            return np.exp(2.0 * z) * self.T[0, 0] ** 2
        sd, partial, left = np.exp(z[:, own]), np.zeros((len(z), k, k)), np.zeros((len(z), k, k))
        apart = ~own
        partial[:, row[apart], col[apart]] = np.tanh(z[:, apart])
        left[:, row[apart], col[apart]] = _log_sech(z[:, apart])
        partial[:, np.arange(k), np.arange(k)] = 1.0
        before = np.cumsum(left, axis=2) - left  # log of what the columns before leave of the row's length
        L = np.tril(partial * np.exp(before)) * sd[:, :, None]
        F = self.T @ L
        return np.einsum("kij,klj->kil", F, F)[:, row, col]

    def z(self, par: Float) -> Float:
        row, col, own = self._where
        S = self._scaled(par)
        sd = np.sqrt(np.einsum("kii->ki", S))
        L = la.small_cholesky(S / sd[:, :, None] / sd[:, None, :])
        tail = np.sqrt(np.cumsum(np.square(L)[:, :, ::-1], axis=2)[:, :, ::-1])  # length from a column on
        partial = np.divide(L, tail, out=np.zeros_like(L), where=tail > 0.0)
        return np.where(own, np.log(sd)[:, row], np.arctanh(np.where(own, 0.0, partial[:, row, col])))

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
        k = self.structure.k
        constant = k * np.log(2.0) + (k + 1) * float(np.log(np.abs(np.diagonal(self.T))).sum())
        if k == 1:
            return constant + 2.0 * z[:, 0]
        apart = ~own
        return constant + (k + 1) * z[:, own].sum(axis=1) + _log_sech(z[:, apart]) @ (k - col[apart])


def _log_sech(z: Float) -> Float:
    """log(1/cosh z) = ½ log(1 − tanh² z) without losing it near ±1."""
    size = np.abs(z)
    return np.log(2.0) - size - np.log1p(np.exp(-2.0 * size))


@dataclass(frozen=True)
class Boxed:
    """Each parameter by itself: a logarithm above a lower bound, a logit between two, as it is without.

    `unit` (n_par,) is the size that is expected of each parameter.
    """

    structure: Structure
    unit: Float

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
        above = lower + self.unit * np.exp(np.where(one, z, 0.0))
        between = lower + (upper - lower) / (1.0 + np.exp(-np.where(both, z, 0.0)))
        return np.where(one, above, np.where(both, between, z * self.unit))

    def z(self, par: Float) -> Float:
        lower, upper, one, both = self._bounds
        share = np.where(both, (par - lower) / (upper - lower), 0.5)
        log = np.log(np.where(one, (par - lower) / self.unit, 1.0))
        return np.where(one, log, np.where(both, np.log(share) - np.log1p(-share), par / self.unit))

    def inside(self, par: Float) -> Float:
        lower, upper, one, both = self._bounds
        middle, half = 0.5 * (lower + upper), 0.5 * _MOST * (upper - lower)
        boxed = np.clip(par, middle - half, middle + half)
        return np.where(one, np.maximum(par, lower + _LEAST * self.unit), np.where(both, boxed, par))

    def log_jacobian(self, z: Float) -> Float:
        lower, upper, one, both = self._bounds
        inside = np.where(both, z, 0.0)
        slope = np.log(upper - lower) - np.logaddexp(0.0, inside) - np.logaddexp(0.0, -inside)
        unit = np.log(self.unit)
        return np.where(one, z + unit, np.where(both, slope, unit)).sum(axis=1)


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
        C = orthogonalising(term.basis, diagonal) if term.k > 1 else None
        return Spherical(structure, np.diag(sizes) if C is None else sizes[:, None] * C)
    return Boxed(structure, _units(structure, sizes))


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
