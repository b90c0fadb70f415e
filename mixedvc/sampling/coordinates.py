"""Unconstrained coordinates z of a structure's parameters: log-Cholesky, logarithms, logits, with log|∂par/∂z|."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..structures.base import Structure

Float = NDArray[np.float64]


@dataclass(frozen=True)
class LogCholesky:
    """An unstructured Σ = L Lᵀ: z is L column by column (as vech(Σ)), its diagonal in logarithms."""

    structure: Structure

    @property
    def d(self) -> int:
        return self.structure.n_par

    @cached_property
    def _where(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.bool_]]:
        col, row = np.array(self.structure.pairs).T
        return row, col, row == col

    def _root(self, z: Float) -> Float:
        row, col, own = self._where
        L = np.zeros((len(z), self.structure.k, self.structure.k))
        L[:, row, col] = np.where(own, np.exp(np.where(own, z, 0.0)), z)
        return L

    def par(self, z: Float) -> Float:
        """(K, n_par) from z (K, d)."""
        row, col, _ = self._where
        L = self._root(z)
        return (L @ L.transpose(0, 2, 1))[:, row, col]

    def z(self, par: Float) -> Float:
        """(K, d) from parameters (K, n_par) of positive definite matrices."""
        row, col, own = self._where
        Sigma = np.zeros((len(par), self.structure.k, self.structure.k))
        Sigma[:, row, col] = Sigma[:, col, row] = par
        L = np.linalg.cholesky(Sigma)[:, row, col]
        return np.where(own, np.log(np.where(own, L, 1.0)), L)

    def log_jacobian(self, z: Float) -> Float:
        """(K,) log|∂par/∂z|: 2^k Π L_ii^{k − i + 1}, i counted from 0."""
        _, col, own = self._where
        k = self.structure.k
        power = np.where(own, k - col + 1, 0)
        return k * np.log(2.0) + z @ power


@dataclass(frozen=True)
class Boxed:
    """Each parameter by itself: a logarithm above a lower bound, a logit between two, as it is without."""

    structure: Structure

    @property
    def d(self) -> int:
        return self.structure.n_par

    @cached_property
    def _bounds(self) -> tuple[Float, Float, NDArray[np.bool_], NDArray[np.bool_]]:
        lower, upper = self.structure.bounds()
        both = np.isfinite(lower) & np.isfinite(upper)
        one = np.isfinite(lower) & ~both
        return np.where(np.isfinite(lower), lower, 0.0), np.where(both, upper, 1.0), one, both

    def par(self, z: Float) -> Float:
        lower, upper, one, both = self._bounds
        above = lower + np.exp(np.where(one, z, 0.0))
        between = lower + (upper - lower) / (1.0 + np.exp(-np.where(both, z, 0.0)))
        return np.where(one, above, np.where(both, between, z))

    def z(self, par: Float) -> Float:
        lower, upper, one, both = self._bounds
        share = np.where(both, (par - lower) / (upper - lower), 0.5)
        return np.where(one, np.log(np.where(one, par - lower, 1.0)), np.where(both, np.log(share / (1 - share)), par))

    def log_jacobian(self, z: Float) -> Float:
        lower, upper, one, both = self._bounds
        inside = np.where(both, z, 0.0)
        slope = np.log(upper - lower) - np.logaddexp(0.0, inside) - np.logaddexp(0.0, -inside)
        return np.where(one, z, np.where(both, slope, 0.0)).sum(axis=1)


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

    def log_jacobian(self, z: Float) -> Float:
        return np.zeros(len(z))


Coordinates = LogCholesky | Boxed | Held


def coordinates_of(structure: Structure, held: Float | None) -> Coordinates:
    """The coordinates of one term."""
    if held is not None:
        return Held(structure, held)
    return LogCholesky(structure) if structure.name == "us" else Boxed(structure)
