"""Panels: each kernel is read once, a few rows at a time and only its lower triangle; no n×n array is made.

Applies to every covariance: stored matrices are read where they are, others are gathered or computed panel by panel.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.choose import Cost, cost_of
from .base import Variant, moment_kinds
from .exact import OperatorMoments
from .levels import entry_work
from .products import Products
from .squared import INEXACT, covariance

Float = NDArray[np.float64]
_GATHERED_BYTES = 16 * 2**20  # panels that are looked up
_COMPUTED_BYTES = 64 * 2**20  # panels that are computed: fewer of them, each begins anew
_CACHED_ROWS = 32  # at least so many rows of a stored matrix at a time,
_CACHED_BYTES = 2.5 * 2**20  # and so much of it: it stays in cache for every product


class PanelMoments(OperatorMoments):
    """Exact second moments of any specification by panels of rows."""

    name = "panels"

    @property
    def _height(self) -> int:
        """Rows of one panel."""
        ops = self.operators.random
        per_row = sum(op.row_bytes for op in ops)
        if per_row == 0:
            return max(_CACHED_ROWS, int(_CACHED_BYTES // (8 * self.rows.n)))
        budget = _COMPUTED_BYTES if any(op.computed for op in ops) else _GATHERED_BYTES
        return max(8, budget // per_row)

    def panels(self) -> Iterator[tuple[int, int, list[Float]]]:
        """(start, stop, [V_j[start:stop, :stop] of each random term's parameters])."""
        n, step = self.rows.n, self._height
        for start in range(0, n, step):
            stop = min(start + step, n)
            yield start, stop, [V for op in self.operators.random for V in op.panel(start, stop)]

    @cached_property
    def products(self) -> Products:
        ops, Q, y = self.operators, self.rows.Q, self.rows.y
        U = np.ascontiguousarray(np.column_stack([Q, y]).T)  # (c, n)
        r, n = ops.m - len(ops.residual), self.rows.n
        inner, VU, D = np.zeros((ops.m, ops.m)), np.zeros((ops.m, len(U), n)), np.empty((ops.m, n))
        D[r:] = ops.residual
        for start, stop, found in self.panels():
            lefts, corners = [V[:, :start] for V in found], [V[:, start:] for V in found]
            inner[:r, :r] += 2.0 * row_products(lefts) + corner_products(corners)
            for j, (V, left) in enumerate(zip(found, lefts, strict=True)):
                VU[j, :, start:stop] += U[:, :stop] @ V.T
                VU[j, :, :start] += U[:, start:stop] @ left
                D[j, start:stop] = np.diagonal(corners[j])
        inner[:r, :r] += np.triu(inner[:r, :r], 1).T
        E = ops.residual
        VU[r:] = E[:, None, :] * U
        inner[r:] = E @ D.T
        inner[:r, r:] = inner[r:, :r].T
        quad = VU[:, -1] @ y
        return Products(inner, VU[:, :-1].swapaxes(1, 2), quad, D, Q)

    def inner_with(self, G: Float) -> Float:
        """(m,): ⟨V_j, G⟩, panel by panel."""
        ops = self.operators
        r = ops.m - len(ops.residual)
        out = np.zeros(ops.m)
        for start, stop, found in self.panels():
            left, corner = G[start:stop, :start], G[start:stop, start:stop]
            for j, V in enumerate(found):
                both = np.einsum("ij,ij->", V[:, :start], left), np.einsum("ij,ij->", V[:, start:], corner)
                out[j] += 2.0 * both[0] + both[1]
        out[r:] = ops.residual @ np.diagonal(G)
        return out

    def covariance(self, variant: Variant, theta: Float) -> tuple[Float, Float | None]:
        """Cov(q) by one product of n×n matrices a kernel, or by probes where that is too much."""
        return covariance(self, variant, theta)


def row_products(panels: list[Float]) -> Float:
    """(r, r) upper triangle of ⟨P_j, P_k⟩ by one dot product a row (the rows of a view are contiguous)."""
    r = len(panels)
    out = np.zeros((r, r))
    for j in range(r):
        for k in range(j, r):
            out[j, k] = np.matmul(panels[j][:, None, :], panels[k][:, :, None]).sum()
    return out


def corner_products(corners: list[Float]) -> Float:
    """(r, r) upper triangle of ⟨P_j, P_k⟩ of small square corners."""
    r = len(corners)
    out = np.zeros((r, r))
    for j in range(r):
        for k in range(j, r):
            out[j, k] = np.einsum("ij,ij->", corners[j], corners[k])
    return out


class _Panels:
    """Registered kind: applies to every specification."""

    name = "panels"
    random = False

    def cost(self, spec: ModelSpec) -> Cost | None:
        n, m = float(spec.n), len(spec.index)
        return cost_of(
            setup=n * n * (0.4 * m * (spec.p + 1) + m * m + sum(map(entry_work, spec.terms))),
            each=min(0.4 * n**3 * (m - 1), INEXACT),
            memory=2e8,
            reason=f"each kernel is read once, a few of its {spec.n:,} rows at a time",
        )

    def __call__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None) -> PanelMoments:
        return PanelMoments(spec, probes=probes, rng=rng)


moment_kinds.register("panels")(_Panels())
