"""Few eigenvalues that stand for all: sums over a kernel's spectrum as sums over nodes, whatever the variances are.

    Σ_i (d_i G + R)⁻¹ ⊗ s_i s_iᵀ  =  Σ_k (d*_k G + R)⁻¹ ⊗ G_k,    G_k = Σ_i C_ik s_i s_iᵀ

Where a kernel has few different eigenvalues they are the nodes and nothing is approximate.  Else
(d₀ + d)/(g d + r), which lies between d₀/r and 1/g, is interpolated at Chebyshev points of x = log d.  As a function
of x it is analytic for |Im x| < π, so that the error falls as ρ⁻ᴺ, ρ = π/ℓ + √(π²/ℓ² + 1), ℓ half the length of the
interval (Trefethen 2013, Approximation Theory and Approximation Practice, th. 8.2).  d₀ is the middle of the interval,
so that the size of what is interpolated differs along it by less than √(d_max/d_min), whatever g and r are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
_SAME = 1e-13  # relative difference of eigenvalues that count as one
_WIDEST = 1e8  # ratio of the largest eigenvalue to the least beyond which digits would be lost
_ERROR = 1e-16  # bound of the interpolation, relative to the largest value
_STRIP = 0.9 * np.pi  # |Im x| up to which the bound is taken: the function is below 1/sin(0.1π) times its size there


@dataclass(frozen=True)
class Nodes:
    """f(d_i) = Σ_k C_ik f(d*_k) for f(d) = (d G + R)⁻¹.

    Attributes
    ----------
    d : (N,)
        The nodes d*.
    C : (n, N)
    exact : bool
        Whether the nodes are the eigenvalues themselves.
    """

    d: Float
    C: Float
    exact: bool


def number_of_nodes(lowest: float, highest: float) -> int:
    """Chebyshev points that reach rounding on [lowest, highest]."""
    half = 0.5 * np.log(highest / lowest)
    rho = _STRIP / half + np.hypot(_STRIP / half, 1.0)
    return int(np.ceil(-np.log(_ERROR) / np.log(rho))) + 1


def nodes_of(d: Float) -> Nodes | None:
    """The nodes of eigenvalues d (n,); None where they are negative or too far apart.

    Eigenvalues of zero have a node of their own, and so have a few that lie far below all others.
    """
    if not len(d) or d.min() < 0.0:
        return None
    order = np.argsort(d, kind="stable")
    ordered = d[order]
    gap = np.diff(ordered) > np.maximum(_SAME * ordered[1:], 4.0 * np.finfo(float).eps * ordered[-1])
    group = np.empty(len(d), dtype=np.intp)
    group[order] = np.concatenate([[0], np.cumsum(gap)])
    sizes = np.bincount(group)
    distinct = np.bincount(group, d) / sizes
    distinct[distinct < 4.0 * np.finfo(float).eps * ordered[-1]] = 0.0
    alone, count = _alone(distinct)
    if count >= len(distinct):
        C = np.zeros((len(d), len(distinct)))
        C[np.arange(len(d)), group] = 1.0
        return Nodes(distinct, C, True)
    if distinct[-1] > _WIDEST * distinct[alone]:
        return None
    first, second = group < alone, group >= alone
    points, values = _interpolation(d[second], distinct[alone], distinct[-1])
    C = np.zeros((len(d), alone + len(points)))
    C[np.flatnonzero(first), group[first]] = 1.0
    C[np.flatnonzero(second), alone:] = values
    return Nodes(np.concatenate([distinct[:alone], points]), C, False)


def _alone(distinct: Float) -> tuple[int, int]:
    """How many of the least eigenvalues are their own nodes, and how many nodes that makes in all: the fewest."""
    best = (len(distinct), len(distinct))
    zero = int(distinct[0] == 0.0)
    for alone in range(zero, min(zero + 40, len(distinct) - 1)):
        count = alone + number_of_nodes(distinct[alone], distinct[-1])
        if count < best[1]:
            best = alone, count
    return best


def _interpolation(d: Float, lowest: float, highest: float) -> tuple[Float, Float]:
    """Nodes on [lowest, highest], and (len(d), N) what their values add up to at d (second barycentric formula)."""
    N = number_of_nodes(lowest, highest)
    angle = (2.0 * np.arange(N) + 1.0) * np.pi / (2.0 * N)
    half, middle = 0.5 * np.log(highest / lowest), 0.5 * np.log(highest * lowest)
    t = np.cos(angle)
    points, between = np.exp(middle + half * t), np.exp(middle)
    away = ((np.log(d) - middle) / half)[:, None] - t
    hit = np.abs(away) < 1e-15
    terms = (-1.0) ** np.arange(N) * np.sin(angle) / np.where(hit, 1.0, away)
    values = terms / terms.sum(axis=1, keepdims=True)
    there = hit.any(axis=1)
    values[there] = hit[there]
    return points, values * (between + points) / (between + d)[:, None]
