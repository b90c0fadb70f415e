"""The contract of second moments: what S θ = q, its right-hand sides and their covariance are made of (MATH: 4).

    r = M y,  M = I − QQᵀ (Q an orthonormal basis of X),   q_j = rᵀ A_j r,   Cov(q)_jk = 2 tr(A_j Ω A_k Ω)

on working rows (prior weights absorbed, so that the residual's V is the identity; see `likelihood.rows`).  With
W_j = M V_j M (or V_j where `projection` is off), A_j = M W_j M over all entries and M ½(W_j + diag W_j) M over the
upper triangle; S_jk = ⟨W_j, W_k⟩ over the same entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.rows import Rows
from ..registry import Registry

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Variant:
    """Which of the Haseman-Elston regressions in use.

    Attributes
    ----------
    projection : bool
        Whether the V_j are projected off the fixed effects like the response (unprojected is biased downward).
    entries : "all" | "upper"
        All n² products y_i y_k, or each pair once and the diagonal.
    """

    projection: bool = True
    entries: Literal["all", "upper"] = "all"


@dataclass(frozen=True)
class Equations:
    """S θ = q.

    Attributes
    ----------
    S : (m, m)
    q : (m,)
    probes : (B, m, m) or None
        S by each random probe, where traces are randomised: S is their mean.
    """

    S: Float
    q: Float
    probes: Float | None = None


class Moments(Protocol):
    """Second moments of one specification; V_j are never formed together, and nothing is factorised.

    m = len(spec.index); U and Y have the specification's n working rows.

    Attributes
    ----------
    name : str
        Registered kind.
    reason : str
        Why this kind, in words.
    fallback : str
        Why `covariance` used random probes although the traces of S are exact; empty where it did not.
    covariance_probes : (B, m, m) or None
        The last `covariance` by each random probe, where it used them: their mean is what was returned.  The error of
        any function of it, such as a standard error, follows from them (entries share their probes).
    """

    name: str
    reason: str
    fallback: str
    covariance_probes: Float | None
    spec: ModelSpec
    rows: Rows

    def equations(self, variant: Variant, outer: Float | None = None) -> Equations:
        """S and q; with `outer` (n, n) in place of y yᵀ, q_j = tr(A_j · outer)."""
        ...

    def quadratic(self, variant: Variant, Y: Float) -> Float:
        """(m, c) q of other responses Y (n, c), working rows, projected here."""
        ...

    def covariance(self, variant: Variant, theta: Float) -> tuple[Float, Float | None]:
        """Cov(q) (m, m) of a Gaussian response with Ω = V(θ), and its Monte-Carlo standard error where randomised."""
        ...

    def apply(self, U: Float) -> Float:
        """(m, n, c): V_j U."""
        ...


class MomentKind(Protocol):
    """What is registered: says at what cost it applies (see `likelihood.choose.Cost`), and builds."""

    name: str
    random: bool  # whether traces are estimated with random probes

    def cost(self, spec: ModelSpec) -> Any: ...

    def __call__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None) -> Moments: ...


moment_kinds: Registry[Any] = Registry("kind of second moments", "mixedvc.moments")
