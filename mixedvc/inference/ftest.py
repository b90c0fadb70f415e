"""Tests of linear functions of the fixed effects: t for each, F for several together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..errors import OptionError
from ..linalg import dense as la
from . import intervals
from .df import Denominator

Float = NDArray[np.float64]


@dataclass(frozen=True)
class RowTests:
    """Estimates of c linear functions, each with its t test against `rhs`; every attribute is (c,)."""

    estimate: Float
    se: Float
    df: Float
    t: Float
    pvalue: Float
    rhs: Float

    def interval(self, level: float = 0.95) -> tuple[Float, Float]:
        """estimate ± t·se."""
        return intervals.t_interval(self.estimate, self.se, self.df, level)


@dataclass(frozen=True)
class FTest:
    """One joint test, F(df_num, df_denom); χ²/df_num at df_denom = ∞.

    Attributes
    ----------
    statistic : float
        The F that is referred to the distribution: scaled by `scale` under Kenward and Roger.
    df_num : int
        Rank of the hypothesis.
    df_denom : float
    pvalue : float
    scale : float
        Kenward and Roger's λ; 1 under other methods.
    """

    statistic: float
    df_num: int
    df_denom: float
    pvalue: float
    scale: float = 1.0


@dataclass(frozen=True)
class FixedTests:
    """β̂ with the covariance and the degrees of freedom that its tests use.

    Attributes
    ----------
    beta : (p,)
    denominator : df.Denominator
    """

    beta: Float
    denominator: Denominator

    @property
    def cov(self) -> Float:
        """(p, p) covariance of β̂ behind these tests."""
        return self.denominator.cov

    def coefficients(self) -> RowTests:
        """Each coefficient against zero."""
        return self.rows(np.eye(len(self.beta)))

    def rows(self, L: Float, rhs: Float | float = 0.0) -> RowTests:
        """t tests of L β = rhs row by row, L (c, p)."""
        value = L @ self.beta
        with np.errstate(divide="ignore", invalid="ignore"):
            se = np.sqrt(np.einsum("cp,pq,cq->c", L, self.cov, L))
            t = (value - rhs) / se
        df = self.denominator.single(L)
        return RowTests(
            value, se, df, t, intervals.t_pvalue(t, df), np.broadcast_to(np.asarray(rhs, float), value.shape)
        )

    def joint(self, L: Float, rhs: Float | float = 0.0) -> FTest:
        """F test of all rows of L β = rhs together; rows that repeat others count once.

        Raises
        ------
        OptionError
            Rows that contradict each other.
        """
        if not np.isfinite(self.cov).all():
            return FTest(float("nan"), len(L), float("nan"), float("nan"))
        L, target = independent_rows(L, np.broadcast_to(np.asarray(rhs, dtype=float), (len(L),)), self.cov)
        c = len(L)
        if c == 0:
            return FTest(float("nan"), 0, float("nan"), float("nan"))
        try:
            root = la.cholesky(L @ self.cov @ L.T)
        except la.NotPositiveDefinite:
            raise OptionError(
                f"these {c} contrasts cannot be tested together: their covariance is singular (the rank of a "
                "cluster-robust one is at most its number of clusters)"
            ) from None
        half = la.solve_triangular(root, L @ self.beta - target)
        df, scale = self.denominator.joint(L)
        F = scale * float(half @ half) / c
        return FTest(F, c, df, f_pvalue(F, c, df), scale)


def independent_rows(L: Float, rhs: Float, cov: Float, tolerance: float = 1e-8) -> tuple[Float, Float]:
    """A hypothesis Lβ = rhs by as many rows as it has rank: as given, or the principal components of Lβ̂.

    Satterthwaite's degrees of freedom depend on the rows, not only on their span: rows that are independent stay.
    """
    target = np.array(rhs, dtype=float)
    scaled = L * np.sqrt(np.diagonal(cov))  # coefficients in comparable units
    length = np.sqrt(np.einsum("cp,cp->c", scaled, scaled))
    if np.any((length == 0.0) & (target != 0.0)):
        raise OptionError("the hypothesis says that zero equals something else: a row of the contrasts is all zero")
    some = length > 0.0
    if not some.any():
        return np.zeros((0, L.shape[1])), np.zeros(0)
    L, target, length = L[some], target[some], length[some]
    U, s, _ = la.svd(scaled[some] / length[:, None])
    r = int(np.sum(s > tolerance * s[0]))
    if r == len(L):
        return L, target
    unit = target / length
    left = unit - U[:, :r] @ (U[:, :r].T @ unit)
    if np.max(np.abs(left)) > 1e-8 * max(float(np.max(np.abs(unit))), 1e-300):
        raise OptionError("the rows of the hypothesis contradict each other: the same function is given two values")
    _, vectors = la.small_eigh(L @ cov @ L.T)
    principal = vectors[:, -r:].T
    return principal @ L, principal @ target


def f_pvalue(F: float, df_num: int, df_denom: float) -> float:
    """P(F(df_num, df_denom) > F); χ² at df_denom = ∞."""
    if np.isinf(df_denom):
        return float(special.chdtrc(df_num, df_num * F))
    return float(special.fdtrc(df_num, df_denom, F)) if F >= 0 else float("nan")
