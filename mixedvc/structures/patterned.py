"""Patterned Σ: compound symmetry and first-order autoregression, with one or k variances."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..errors import StructureError
from .base import structures

Float = NDArray[np.float64]
INF = np.inf


def _all_pairs(k: int) -> tuple[tuple[int, int], ...]:
    return tuple((a, b) for a in range(k) for b in range(a, k))


@dataclass(frozen=True)
class _Pattern:
    """What compound symmetry and AR(1) share: variances first, one correlation ρ last, Σ = D R(ρ) D."""

    k: int
    hom: bool

    def sds(self, par: Float) -> Float:
        return np.sqrt(np.full(self.k, par[0]) if self.hom else np.asarray(par[:-1], dtype=float))

    def build(self, par: Float, R: Float) -> Float:
        d = self.sds(par)
        return d[:, None] * R * d

    def gradient(self, par: Float, R: Float, dR: Float) -> Float:
        d = self.sds(par)
        if self.hom:
            return np.stack([R, par[0] * dR])
        G = np.zeros((self.k + 1, self.k, self.k))
        for a in range(self.k):
            # ∂(d_a d_b)/∂σ_a² = d_b / (2 d_a); at σ_a² = 0 the one-sided derivative of ρ d_a d_b is unbounded
            half = 0.5 * R[a] * d / d[a] if d[a] > 0 else np.zeros(self.k)
            G[a, a, :] += half
            G[a, :, a] += half
        G[self.k] = d[:, None] * dR * d
        return G


def _two_or_more(k: int, what: str) -> None:
    if k < 2:
        raise StructureError(f"{what} needs at least two effects left of the bar, e.g. {what.split('(')[0]}(0 + f | g)")


@structures.register("cs")
@dataclass(frozen=True)
class CompoundSymmetry:
    """Σ_ab = ρ σ_a σ_b (a ≠ b): equal correlations; one common variance with ``hom=True``.

    Parameters are the variance(s), then ρ in [−1/(k−1), 1].
    """

    k: int
    hom: bool = False
    name = "cs"
    linear = False

    def __post_init__(self) -> None:
        _two_or_more(self.k, "cs()")

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return _all_pairs(self.k)

    @property
    def n_par(self) -> int:
        return 2 if self.hom else self.k + 1

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        return _pattern_names(effects, self.hom, "any two")

    def bounds(self) -> tuple[Float, Float]:
        return _pattern_bounds(self.n_par, -1.0 / (self.k - 1))

    def correlation(self, rho: float) -> tuple[Float, Float]:
        """R(ρ) and dR/dρ, (k, k) each."""
        off = 1.0 - np.eye(self.k)
        return np.eye(self.k) + rho * off, off

    def start(self, Sigma: Float) -> Float:
        C, v = _correlations(Sigma)
        rho = float(C[np.triu_indices(self.k, 1)].mean())
        lower = -1.0 / (self.k - 1)
        rho = min(max(rho, 0.9 * lower), 0.9)
        return np.append([v.mean()] if self.hom else v, rho)

    def build(self, par: Float) -> Float:
        return _Pattern(self.k, self.hom).build(par, self.correlation(par[-1])[0])

    def gradient(self, par: Float) -> Float:
        return _Pattern(self.k, self.hom).gradient(par, *self.correlation(par[-1]))


@structures.register("ar1")
@dataclass(frozen=True)
class Autoregressive:
    """Σ_ab = ρ^|a−b| σ_a σ_b over effects in their order; one common variance with ``hom=True`` (the default).

    Parameters are the variance(s), then ρ in [−1, 1].
    """

    k: int
    hom: bool = True
    name = "ar1"
    linear = False

    def __post_init__(self) -> None:
        _two_or_more(self.k, "ar1()")

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        return _all_pairs(self.k)

    @property
    def n_par(self) -> int:
        return 2 if self.hom else self.k + 1

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        return _pattern_names(effects, self.hom, "next")

    def bounds(self) -> tuple[Float, Float]:
        return _pattern_bounds(self.n_par, -1.0)

    def correlation(self, rho: float) -> tuple[Float, Float]:
        """R(ρ) and dR/dρ, (k, k) each."""
        lag = np.abs(np.subtract.outer(np.arange(self.k), np.arange(self.k)))
        R = np.power(float(rho), lag)
        dR = np.where(lag > 0, lag * np.power(float(rho), np.maximum(lag - 1, 0)), 0.0)
        return R, dR

    def start(self, Sigma: Float) -> Float:
        C, v = _correlations(Sigma)
        rho = float(np.diagonal(C, 1).mean())
        return np.append([v.mean()] if self.hom else v, min(max(rho, -0.9), 0.9))

    def build(self, par: Float) -> Float:
        return _Pattern(self.k, self.hom).build(par, self.correlation(par[-1])[0])

    def gradient(self, par: Float) -> Float:
        return _Pattern(self.k, self.hom).gradient(par, *self.correlation(par[-1]))


def _pattern_names(effects: tuple[str, ...], hom: bool, other: str) -> tuple[tuple[str, str | None], ...]:
    if hom:
        return (("any", None), ("any", other))
    return (*((effect, None) for effect in effects), ("any", other))


def _pattern_bounds(n_par: int, rho_min: float) -> tuple[Float, Float]:
    lower, upper = np.zeros(n_par), np.full(n_par, INF)
    lower[-1], upper[-1] = rho_min, 1.0
    return lower, upper


def _correlations(Sigma: Float) -> tuple[Float, Float]:
    v = np.maximum(np.diagonal(Sigma), 1e-300)
    d = np.sqrt(v)
    return Sigma / d[:, None] / d, v
