"""Effects of labels without records given those of the levels in the data, family by family."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.common import members
from ..design.spec import Term
from ..linalg import dense as la
from ..linalg.memory import require
from ..linalg.roots import pivoted_root

Float = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass(frozen=True)
class _Family:
    """u_new = M u_seen + R z for the labels at `new`, `seen` among the levels in the data."""

    new: Ints
    seen: Ints
    M: Float
    R: Float


class Relatives:
    """The labels of a covariance beyond the levels in the data, given those levels.

    With A_ss = FFᵀ = (QT)(QT)ᵀ:  E(u_r | u_s) = A_rs A_ss⁺ u_s,  Var = A_rr − BBᵀ,  B = A_rs Q T⁻ᵀ, and A_ss may be
    singular.
    """

    def __init__(self, term: Term):
        self.term, L = term, len(term.covariance.labels)
        self._level = np.full(L, -1, dtype=np.intp)
        self._level[term.positions] = np.arange(term.q)
        groups = members(term.covariance.components())
        sizes = np.array([len(g) for g in groups], dtype=float)
        require(int(16 * (sizes**2).sum()), f"the relatives of {term.label}", "Ask for the levels in the data alone.")
        self._families = [self._family(g) for g in groups if (self._level[g] < 0).any()]

    def _family(self, group: Ints) -> _Family:
        A = self.term.covariance
        seen, new = group[self._level[group] >= 0], group[self._level[group] < 0]
        rest = np.asarray(A.block(new, new))
        if not len(seen):
            return _Family(new, self._level[seen], np.zeros((len(new), 0)), pivoted_root(rest))
        Q, T = la.qr(pivoted_root(A.block(seen)))
        B = la.solve_triangular(T, (A.block(new, seen) @ Q).T, lower=False).T
        M = la.solve_triangular(T, B.T, lower=False, trans=True).T @ Q.T
        return _Family(new, self._level[seen], M, _root_of_rest(rest, B))

    def extended(self, u: Float, root: Float, rng: np.random.Generator) -> Float:
        """(L, k) all labels in the order of the covariance from the levels' u (q, k), Σ = root rootᵀ."""
        out = np.empty((len(self._level), u.shape[1]))
        out[self.term.positions] = u
        for family in self._families:
            z = rng.standard_normal((family.R.shape[1], u.shape[1]))
            out[family.new] = family.M @ u[family.seen] + family.R @ (z @ root.T)
        return out


def _root_of_rest(A: Float, B: Float) -> Float:
    """A root of A − BBᵀ, rounding of A taken for nothing."""
    rest, size = A - B @ B.T, np.diagonal(A)
    keep = np.diagonal(rest) > 1e-10 * size
    out = np.zeros((len(A), 0))
    if keep.any():
        part = pivoted_root(rest[np.ix_(keep, keep)], 1e-10)
        out = np.zeros((len(A), part.shape[1]))
        out[keep] = part
    return out
