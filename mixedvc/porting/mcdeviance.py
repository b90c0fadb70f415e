"""Deviance of Gaussian records given all effects, −2 log p(y | β, u, R), as MCMCglmm counts it.

Where a record of several responses has missing cells, MCMCglmm draws them and counts the density of the observed cells
given the drawn ones; residuals of missing cells are drawn here for the same purpose: r_m | r_o ~ N(R_mo R_oo⁻¹ r_o, …).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg.dense import small_cholesky, small_solve

Float = NDArray[np.float64]
Codes = NDArray[np.intp]


@dataclass(frozen=True)
class Cells:
    """Rows of a specification as records × cells of the residual.

    Attributes
    ----------
    patterns : list of (rows, observed, missing)
        Records that have the same cells: rows (records, observed) of the specification, and the cells.
    """

    patterns: list[tuple[Codes, Codes, Codes]]
    linked: bool

    def deviances(self, residuals: Float, R: Float, rng: np.random.Generator) -> tuple[Float, float]:
        """Of every draw, and at the means of all draws.

        Parameters
        ----------
        residuals : (D, n)
        R : (D, k, k)
        """
        drawn = [self._missing(pattern, residuals, R, rng) for pattern in self.patterns]
        each = np.zeros(len(R))
        for d in range(len(R)):
            each[d] = sum(
                _deviance(residuals[d][rows], found[d], R[d], observed, missing)
                for (rows, observed, missing), found in zip(self.patterns, drawn, strict=True)
            )
        middle, mean = residuals.mean(axis=0), R.mean(axis=0)
        at_mean = sum(
            _deviance(middle[rows], found.mean(axis=0), mean, observed, missing)
            for (rows, observed, missing), found in zip(self.patterns, drawn, strict=True)
        )
        return each, float(at_mean)

    def _missing(
        self, pattern: tuple[Codes, Codes, Codes], residuals: Float, R: Float, rng: np.random.Generator
    ) -> Float:
        """(D, records, missing) residuals of missing cells given the observed ones."""
        rows, o, m = pattern
        out = np.zeros((len(R), len(rows), len(m)))
        if not len(m):
            return out
        for d in range(len(R)):
            across = small_solve(R[d][np.ix_(o, o)], R[d][np.ix_(o, m)])  # (o, m)
            left = R[d][np.ix_(m, m)] - R[d][np.ix_(m, o)] @ across
            root = small_cholesky(0.5 * (left + left.T))
            out[d] = residuals[d][rows] @ across + rng.standard_normal((len(rows), len(m))) @ root.T
        return out


def _deviance(seen: Float, drawn: Float, R: Float, o: Codes, m: Codes) -> float:
    """−2 log density of `seen` (records, o) given `drawn` (records, m)."""
    joint = np.hstack([seen, drawn])
    places = np.concatenate([o, m])
    whole = _minus_two_log(joint, R[np.ix_(places, places)])
    return whole - (_minus_two_log(drawn, R[np.ix_(m, m)]) if len(m) else 0.0)


def _minus_two_log(r: Float, S: Float) -> float:
    if len(S) == 1:
        return float(len(r) * np.log(2 * np.pi * S[0, 0]) + (r[:, 0] @ r[:, 0]) / S[0, 0])
    L = small_cholesky(S)
    z = small_solve(L, r.T)
    return float(len(r) * (len(S) * np.log(2 * np.pi) + 2 * np.log(np.diagonal(L)).sum()) + (z * z).sum())


def cells_of(spec: ModelSpec) -> Cells:
    """Records by the cells they have; where cells are independent each row is a record of its own."""
    basis = np.asarray(spec.residual.basis)
    cell = np.argmax(basis != 0.0, axis=1)
    linked = bool(np.bincount(spec.residual.codes, minlength=1).max() > 1) and spec.residual.structure.name == "us"
    k = spec.residual.k
    if not linked:
        patterns = [
            (np.flatnonzero(cell == a)[:, None], np.array([a]), np.empty(0, np.intp))
            for a in range(k)
            if (cell == a).any()
        ]
        return Cells(patterns, False)
    records = int(spec.residual.codes.max()) + 1
    table = np.full((records, k), -1, dtype=np.intp)
    table[spec.residual.codes, cell] = np.arange(len(cell))
    patterns = []
    for pattern in np.unique(table >= 0, axis=0):
        if pattern.any():
            at = np.flatnonzero(((table >= 0) == pattern).all(axis=1))
            o = np.flatnonzero(pattern)
            patterns.append((table[at][:, o], o, np.flatnonzero(~pattern)))
    return Cells(patterns, True)
