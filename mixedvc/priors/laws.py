"""Distributions of one variance v = σ², the pieces of most priors: densities in v, draws, and updates given effects.

    inverse gamma   p(v) ∝ v^{−a−1} e^{−b/v}; flat priors are a = −1 (in v), −½ (in σ), 0 (in log σ) with b = 0
    half-t          σ ~ t⁺(ν, s); as a mixture v | w ~ IG(ν/2, ν/w), w ~ IG(½, 1/s²)  (Wand et al. 2011)
    expanded        v = α² w, w ~ IG(ν/2, νV/2), α ~ N(μ, B): σ is a folded non-central t (Gelman 2006)

Given effects with uᵀA⁻¹u = S of `count` independent rows, v | u of the first two is inverse gamma.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, hyp1f1

from ..errors import OptionError

Float = NDArray[np.float64]


class Law(Protocol):
    """A distribution of one variance."""

    @property
    def proper(self) -> bool: ...

    @property
    def near_zero(self) -> float:
        """r of p(v) ~ v^r as v → 0; ∞ where it vanishes faster than any power."""
        ...

    @property
    def far_out(self) -> float:
        """r of p(v) ~ v^r as v → ∞."""
        ...

    def logpdf(self, v: Float) -> Float: ...  # (K,) → (K,)
    def draw(self, rng: np.random.Generator) -> float: ...
    def describe(self) -> str: ...


class ConjugateLaw(Law, Protocol):
    """A law with an exact draw of v given effects, with `auxiliaries` (0 or 1) variables of its own."""

    auxiliaries: int

    def auxiliary(self, rng: np.random.Generator) -> float: ...

    def update(self, S: float, count: int, auxiliary: float, rng: np.random.Generator) -> tuple[float, float]: ...


def inverse_gamma(a: float, b: float, rng: np.random.Generator) -> float:
    """One draw of IG(a, b): b over a gamma variable."""
    if a <= 0.0 or b <= 0.0:
        raise OptionError(
            f"the variance given its effects would be inverse gamma with shape {a:g} and scale {b:g}, which is no "
            "distribution: too few levels for this improper prior"
        )
    # for a shape of 0.001 the gamma variable underflows; in logarithms it does not: G(a) = G(a + 1) U^{1/a}
    log_gamma = np.log(rng.standard_gamma(a + 1.0)) + np.log(rng.random()) / a
    return float(np.exp(np.clip(np.log(b) - log_gamma, -690.0, 690.0)))


def _inside(v: Float, log_density: Float) -> Float:
    return np.where((v > 0.0) & np.isfinite(v), log_density, -np.inf)


def _safe(v: Float) -> Float:
    return np.where(v > 0.0, v, 1.0)


@dataclass(frozen=True)
class InverseGammaLaw:
    """v^{−a−1} e^{−b/v}, normalised where a, b > 0; `words` describe it, `factor` multiplies an improper one."""

    a: float
    b: float
    words: str = ""
    factor: float = 1.0
    auxiliaries = 0

    @property
    def proper(self) -> bool:
        return self.a > 0.0 and self.b > 0.0

    @property
    def near_zero(self) -> float:
        return np.inf if self.b > 0.0 else -self.a - 1.0

    @property
    def far_out(self) -> float:
        return -self.a - 1.0

    @cached_property
    def _constant(self) -> float:
        return float(self.a * np.log(self.b) - gammaln(self.a)) if self.proper else float(np.log(self.factor))

    def logpdf(self, v: Float) -> Float:
        safe = _safe(v)
        return _inside(v, self._constant - (self.a + 1.0) * np.log(safe) - self.b / safe)

    def draw(self, rng: np.random.Generator) -> float:
        if not self.proper:
            raise OptionError(f"nothing can be drawn from an improper prior ({self.describe()})")
        return inverse_gamma(self.a, self.b, rng)

    def auxiliary(self, rng: np.random.Generator) -> float:
        return np.nan

    def update(self, S: float, count: int, auxiliary: float, rng: np.random.Generator) -> tuple[float, float]:
        return inverse_gamma(self.a + 0.5 * count, self.b + 0.5 * S, rng), np.nan

    def describe(self) -> str:
        return self.words or f"inverse gamma, shape = {self.a:g}, scale = {self.b:g}"


@dataclass(frozen=True)
class HalfTLaw:
    """σ = √v is the absolute value of a t variable with `df` degrees of freedom and `scale`."""

    df: float
    scale: float
    words: str = ""
    proper = True
    near_zero = -0.5
    auxiliaries = 1

    @property
    def far_out(self) -> float:
        return -0.5 * self.df - 1.0

    @cached_property
    def _constant(self) -> float:
        """Of the density in v: 2 t_ν(σ / s) / s · 1 / (2σ)."""
        nu = self.df
        return float(gammaln(0.5 * (nu + 1)) - gammaln(0.5 * nu) - 0.5 * np.log(nu * np.pi) - np.log(self.scale))

    def logpdf(self, v: Float) -> Float:
        safe = _safe(v)
        tail = 0.5 * (self.df + 1.0) * np.log1p(safe / (self.df * self.scale**2))
        return _inside(v, self._constant - 0.5 * np.log(safe) - tail)

    def draw(self, rng: np.random.Generator) -> float:
        return float((self.scale * rng.standard_t(self.df)) ** 2)

    def auxiliary(self, rng: np.random.Generator) -> float:
        return inverse_gamma(0.5, self.scale**-2.0, rng)

    def update(self, S: float, count: int, auxiliary: float, rng: np.random.Generator) -> tuple[float, float]:
        v = inverse_gamma(0.5 * (self.df + count), self.df / auxiliary + 0.5 * S, rng)
        return v, inverse_gamma(0.5 * (self.df + 1.0), self.scale**-2.0 + self.df / v, rng)

    def describe(self) -> str:
        if self.words:
            return self.words
        name = "half-Cauchy" if self.df == 1.0 else f"half-t({self.df:g})"
        return f"{name} on the sd, scale = {self.scale:.4g}"


@dataclass(frozen=True)
class ExpandedLaw:
    """v = α² w, w ~ IG(nu/2, nu V/2), α ~ N(mu, B) with mu ≠ 0: σ is a folded non-central t."""

    V: float
    nu: float
    mu: float
    B: float
    proper = True
    near_zero = -0.5

    @property
    def far_out(self) -> float:
        return -0.5 * self.nu - 1.0

    @cached_property
    def _constant(self) -> float:
        half = 0.5 * self.nu
        return float(half * np.log(half * self.V) - gammaln(half))

    def logpdf(self, v: Float) -> Float:
        safe = _safe(v)
        inner = log_power_integral(self.nu * self.V / safe, self.nu, self.mu, self.B)
        return _inside(v, self._constant - (0.5 * self.nu + 1.0) * np.log(safe) + inner)

    def draw(self, rng: np.random.Generator) -> float:
        alpha = self.mu + np.sqrt(self.B) * rng.standard_normal()
        return float(alpha**2 * inverse_gamma(0.5 * self.nu, 0.5 * self.nu * self.V, rng))

    def describe(self) -> str:
        words = f"V = {self.V:g}, nu = {self.nu:g}, alpha_mu = {self.mu:g}, alpha_V = {self.B:g}"
        return f"parameter-expanded, {words}"


def log_power_integral(M: Float, nu: float, mu: float, B: float) -> Float:
    """(K,) log ∫ |α|^ν e^{−½ M α²} N(α; μ, B) dα for M (K,) ≥ 0.

    The Gaussian is N(m, 1/Q), Q = M + 1/B, m = μ/(BQ), and E|N(x, 1)|^ν is a confluent hypergeometric function of x².
    """
    Q = M + 1.0 / B
    x2 = (mu / B) ** 2 / Q
    moment = 0.5 * nu * np.log(2.0) + gammaln(0.5 * (nu + 1.0)) - 0.5 * np.log(np.pi)
    out = moment - 0.5 * (nu + 1.0) * np.log(Q) - 0.5 * np.log(B)
    if mu != 0.0:
        # −½ μ²/B + ½ m²Q written so that nothing cancels where M is small
        out = out - 0.5 * mu**2 * M / (B * Q) + np.log(hyp1f1(-0.5 * nu, 0.5, -0.5 * x2))
    return out
