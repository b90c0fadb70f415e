"""Chi-bar-square: the large-sample law of a likelihood ratio whose null hypothesis lies on the edge (Shapiro 1988).

Parameters c that are zero under the hypothesis and form positive semi-definite matrices under the alternative, with
asymptotic covariance C = W⁻¹, and `extra` parameters that are zero too but free: with z ~ N(0, C),

    LR → zᵀWz − min_{c ⪰ 0} (z − c)ᵀW(z − c)  +  χ²_extra .

One variance: ½χ²_extra + ½χ²_{extra+1} (Self & Liang 1987; Stram & Lee 1994: one more effect of a term of k − 1 effects
has extra = k − 1).  Two variances: ½ − a, ½ and a = ¼ + asin(r)/2π for 0, 1 and 2 degrees of freedom, r their
correlation.  Otherwise the projection on the cone is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..linalg import dense as la

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Cone:
    """The edge on which a hypothesis lies.

    Attributes
    ----------
    blocks : tuple of int
        Size of each matrix that is zero under the hypothesis.
    extra : int
        Other parameters that are zero then.
    covariance : (d, d) or None
        Asymptotic covariance of the blocks' entries (vech, column by column, block after block), up to a factor; not
        needed for one variance.
    """

    blocks: tuple[int, ...]
    extra: int = 0
    covariance: Float | None = None

    @property
    def size(self) -> int:
        """Number of entries of all blocks."""
        return sum(r * (r + 1) // 2 for r in self.blocks)

    @property
    def df(self) -> int:
        """Parameters that are zero under the hypothesis."""
        return self.size + self.extra


@dataclass(frozen=True)
class Tail:
    """P(LR ≥ statistic), its Monte-Carlo standard error (0 where the law is known), and the law in words."""

    p: float
    error: float
    law: str


def tail(statistic: float, cone: Cone, nsim: int, rng: np.random.Generator) -> Tail:
    """The p-value of a likelihood ratio."""
    weights = known_weights(cone)
    if weights is not None:
        pieces = [(cone.extra + j, w) for j, w in enumerate(weights) if w > 0]
        law = "mixture " + " + ".join(f"{_fraction(w)} chi-square({df})" for df, w in pieces)
        if not cone.blocks:
            law = f"chi-square({cone.extra})"
        p = sum(w * upper(statistic, df) for df, w in pieces)
        return Tail(1.0 if statistic <= 0 else float(p), 0.0, law)
    draws = simulate(cone, nsim, rng)
    p = 1.0 if statistic <= 0 else (1.0 + float((draws >= statistic).sum())) / (1.0 + nsim)
    matrices = ", ".join(f"{r}×{r}" if r > 1 else "1" for r in cone.blocks)
    law = f"mixture of chi-squares, simulated (chi-bar-square; blocks {matrices}; {cone.df} parameters)"
    return Tail(p, float(np.sqrt(p * (1 - p) / nsim)), law)


def upper(statistic: float, df: int) -> float:
    """P(χ²_df ≥ statistic), χ²_0 being zero."""
    if df == 0:
        return 1.0 if statistic <= 0 else 0.0
    return float(special.chdtrc(df, statistic)) if np.isfinite(statistic) else 0.0


def known_weights(cone: Cone) -> tuple[float, ...] | None:
    """Weights of 0, 1, … degrees of freedom beyond `extra`; None where they have no closed form here."""
    if not cone.blocks:
        return (1.0,)
    if cone.blocks == (1,):
        return (0.5, 0.5)
    if cone.blocks == (1, 1) and cone.covariance is not None:
        C = cone.covariance
        r = float(np.clip(C[0, 1] / np.sqrt(C[0, 0] * C[1, 1]), -1.0, 1.0))
        both = 0.25 + np.arcsin(r) / (2 * np.pi)
        return (0.5 - both, 0.5, both)
    return None


def _fraction(weight: float) -> str:
    return "1/2" if weight == 0.5 else f"{weight:.3g}"


def simulate(cone: Cone, nsim: int, rng: np.random.Generator) -> Float:
    """(nsim,) draws of the likelihood ratio in large samples."""
    C = np.eye(cone.size) if cone.covariance is None else cone.covariance
    scale = 1.0 / np.sqrt(np.diagonal(C))
    # variances to one keeps every block positive semi-definite: D Σ D with D the roots of the variances' scales
    d = _congruence(cone.blocks, scale)
    C = C * d[:, None] * d
    z = rng.standard_normal((nsim, cone.size)) @ la.psd_root(C).T
    W = la.inverse_psd(C)
    c = project(cone.blocks, W, z)
    away = z - c
    value = np.einsum("bi,ij,bj->b", z, W, z) - np.einsum("bi,ij,bj->b", away, W, away)
    free = rng.chisquare(cone.extra, nsim) if cone.extra else 0.0
    return np.maximum(value, 0.0) + free


def _congruence(blocks: tuple[int, ...], scale: Float) -> Float:
    """(d,) factors of D Σ D for each entry, D = diag of the roots of `scale` at the variances."""
    out, at = [], 0
    for r in blocks:
        size = r * (r + 1) // 2
        pairs = [(a, b) for a in range(r) for b in range(a, r)]
        root = np.sqrt([scale[at + j] for j, (a, b) in enumerate(pairs) if a == b])
        out += [root[a] * root[b] for a, b in pairs]
        at += size
    return np.array(out)


def project(blocks: tuple[int, ...], W: Float, z: Float, steps: int = 400) -> Float:
    """(B, d) nearest points of the cone to each row of z in the metric W, by accelerated projected gradients."""
    twice = np.concatenate([[1.0 if a == b else 2.0 for a in range(r) for b in range(a, r)] for r in blocks])
    half = np.sqrt(twice)  # coordinates in which the plain distance is Frobenius'
    metric = W / half[:, None] / half
    target = z * half
    length = 1.0 / float(la.small_eigh(metric)[0][-1])
    x = y = _onto_cone(blocks, half, target)
    t = 1.0
    for _ in range(steps):
        new = _onto_cone(blocks, half, y - length * (y - target) @ metric)
        ahead = 0.5 * (1.0 + np.sqrt(1.0 + 4.0 * t * t))
        turned = np.einsum("bi,bi->b", y - new, new - x) > 0  # start again where momentum leads uphill
        y = np.where(turned[:, None], new, new + ((t - 1.0) / ahead) * (new - x))
        moved = float(np.abs(new - x).max())
        x, t = new, ahead
        if moved < 1e-9 * max(1.0, float(np.abs(x).max())):
            break
    return x / half


def _onto_cone(blocks: tuple[int, ...], half: Float, x: Float) -> Float:
    """Every block of every row without its negative eigenvalues."""
    out, at = np.empty_like(x), 0
    for r in blocks:
        of = slice(at, at + r * (r + 1) // 2)
        part = x[:, of] / half[of]
        if r == 1:
            out[:, of] = np.maximum(part, 0.0)
        elif r == 2:
            out[:, of] = _two_by_two(part)
        else:
            out[:, of] = _general(part, r)
        out[:, of] *= half[of]
        at = of.stop
    return out


def _two_by_two(v: Float) -> Float:
    """Positive part of [[a, b], [b, c]], rows (a, b, c)."""
    a, b, c = v.T
    mean, gap = 0.5 * (a + c), 0.5 * (a - c)
    radius = np.hypot(gap, b)
    high, low = np.maximum(mean + radius, 0.0), np.maximum(mean - radius, 0.0)
    safe = np.where(radius > 0, radius, 1.0)
    middle, slope = 0.5 * (high + low), 0.5 * (high - low) / safe
    return np.column_stack([middle + slope * gap, slope * b, middle - slope * gap])


def _general(v: Float, r: int) -> Float:
    a, b = np.array([(a, b) for a in range(r) for b in range(a, r)]).T
    M = np.empty((len(v), r, r))
    M[:, a, b] = M[:, b, a] = v
    values, vectors = la.small_eigh(M)
    positive = (vectors * np.maximum(values, 0.0)[:, None, :]) @ vectors.swapaxes(1, 2)
    return np.asarray(positive[:, a, b])
