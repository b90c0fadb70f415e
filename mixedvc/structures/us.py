"""Unstructured and diagonal Σ: parameters are the (co)variances themselves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .base import all_pairs, structures

Float = NDArray[np.float64]
INF = np.inf


@structures.register("us")
@dataclass(frozen=True)
class Unstructured:
    """Σ any k×k positive semi-definite matrix; parameters vech(Σ), column by column of the lower triangle."""

    k: int
    name = "us"
    linear = True

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return all_pairs(self.k)

    @property
    def n_par(self) -> int:
        return len(self.pairs)

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        return tuple((effects[a], None if a == b else effects[b]) for a, b in self.pairs)

    def bounds(self) -> tuple[Float, Float]:
        lower = np.array([0.0 if a == b else -INF for a, b in self.pairs])
        return lower, np.full(self.n_par, INF)

    def start(self, Sigma: Float) -> Float:
        return np.array([Sigma[a, b] for a, b in self.pairs])

    def build(self, par: Float) -> Float:
        Sigma = np.empty((self.k, self.k))
        for value, (a, b) in zip(par, self.pairs, strict=True):
            Sigma[a, b] = Sigma[b, a] = value
        return Sigma

    def gradient(self, par: Float) -> Float:
        G = np.zeros((self.n_par, self.k, self.k))
        for j, (a, b) in enumerate(self.pairs):
            G[j, a, b] = G[j, b, a] = 1.0
        return G


@structures.register("diag")
@dataclass(frozen=True)
class Diagonal:
    """Σ diagonal: one variance per effect, no covariances (``(x || g)``, MCMCglmm's idh)."""

    k: int
    name = "diag"
    linear = True

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return tuple((a, a) for a in range(self.k))

    @property
    def n_par(self) -> int:
        return self.k

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        return tuple((effect, None) for effect in effects)

    def bounds(self) -> tuple[Float, Float]:
        return np.zeros(self.k), np.full(self.k, INF)

    def start(self, Sigma: Float) -> Float:
        return np.diagonal(Sigma).copy()

    def build(self, par: Float) -> Float:
        return np.diag(np.asarray(par, dtype=float))

    def gradient(self, par: Float) -> Float:
        G = np.zeros((self.k, self.k, self.k))
        for a in range(self.k):
            G[a, a, a] = 1.0
        return G
