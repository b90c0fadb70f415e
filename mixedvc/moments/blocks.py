"""Families: rows fall into independent groups, every V_j is formed inside the groups and nowhere else."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.blocks import Stack, block_stack
from ..likelihood.choose import Cost, cost_of
from ..likelihood.row_pairs import block_rows
from ..linalg.memory import require
from .base import Variant, moment_kinds
from .exact import OperatorMoments
from .products import Products

Float = NDArray[np.float64]


class BlockMoments(OperatorMoments):
    """Exact second moments where V is block-diagonal over families."""

    name = "blocks"

    @cached_property
    def stacks(self) -> list[Stack]:
        """Blocks of one size together."""
        sizes = np.bincount(self.spec.families).astype(np.float64)
        require(
            int(8 * (self.m + 3) * (sizes**2).sum()),
            f"second moments in {len(sizes):,} blocks, the largest of {int(sizes.max()):,} rows",
            'Use trace="hutchinson", which needs products alone.',
        )
        return [block_stack(self.spec, self.rows, index) for index in block_rows(self.spec.families)]

    def apply(self, U: Float) -> Float:
        """(m, n, c): V_j U."""
        U = np.asarray(U, dtype=np.float64)
        out = np.empty((self.m, *U.shape))
        for stack in self.stacks:
            out[:, stack.index] = stack.apply(U)
        return out

    @cached_property
    def products(self) -> Products:
        inner, diagonal = np.zeros((self.m, self.m)), np.empty((self.m, self.rows.n))
        for stack in self.stacks:
            flat = stack.V.reshape(self.m, -1)
            inner += flat @ flat.T
            diagonal[:, stack.index] = np.einsum("jbss->jbs", stack.V)
        VU = self.apply(np.column_stack([self.rows.Q, self.rows.y]))
        return Products(inner, VU[:, :, :-1], VU[:, :, -1] @ self.rows.y, diagonal, self.rows.Q)

    def inner_with(self, G: Float) -> Float:
        """(m,): ⟨V_j, G⟩: only the blocks of G count."""
        return np.sum(
            [
                np.einsum("jbst,bst->j", k.V, G[k.index[:, :, None], k.index[:, None, :]], optimize=True)
                for k in self.stacks
            ],
            axis=0,
        )

    def covariance(self, variant: Variant, theta: Float) -> tuple[Float, Float | None]:
        """Cov(q) inside the blocks, the projection as a correction of rank 2p: Ω' = Ω + U K Uᵀ, U = [Q, ΩQ]."""
        theta, Q, m = np.asarray(theta, dtype=np.float64), self.rows.Q, self.m
        parts = [self._halved(stack, variant) for stack in self.stacks]
        Omega = [np.tensordot(theta, stack.V, axes=1) for stack in self.stacks]
        C = np.zeros((m, m))
        for B, W in zip(parts, Omega, strict=True):
            G = B @ W
            C += G.reshape(m, -1) @ G.swapaxes(2, 3).reshape(m, -1).T
        if Q.shape[1]:
            U, K = self._correction(Omega)
            BU, OBU = np.empty((m, *U.shape)), np.empty((m, *U.shape))
            for stack, B, W in zip(self.stacks, parts, Omega, strict=True):
                inside = B @ U[stack.index]
                BU[:, stack.index], OBU[:, stack.index] = inside, W @ inside
            X = np.einsum("jnu,knv,uv->jk", BU, OBU, K, optimize=True)
            KUBU = K @ np.einsum("nu,jnv->juv", U, BU, optimize=True)
            C += X + X.T + np.einsum("juv,kvu->jk", KUBU, KUBU)
        return 2.0 * C, None

    def _halved(self, stack: Stack, variant: Variant) -> Float:
        """B_j inside the blocks of one size: V_j, or ½(V_j + diag W_j)."""
        if variant.entries == "all":
            return stack.V
        B = 0.5 * stack.V
        np.einsum("jbss->jbs", B)[...] += 0.5 * self.products.diagonals(variant)[:, stack.index]
        return B

    def _correction(self, Omega: list[Float]) -> tuple[Float, Float]:
        """U (n, 2p) and K (2p, 2p) with M Ω M = Ω + U K Uᵀ."""
        Q, p = self.rows.Q, self.rows.p
        OQ = np.empty_like(Q)
        for stack, W in zip(self.stacks, Omega, strict=True):
            OQ[stack.index] = W @ Q[stack.index]
        K = np.zeros((2 * p, 2 * p))
        K[:p, :p] = Q.T @ OQ
        K[:p, p:] = K[p:, :p] = -np.eye(p)
        return np.hstack([Q, OQ]), K


class _Blocks:
    """Registered kind: worthwhile where rows fall into more than one family."""

    name = "blocks"
    random = False

    def cost(self, spec: ModelSpec) -> Cost | None:
        sizes = np.bincount(spec.families)
        if len(sizes) < 2:
            return None
        s, m = sizes.astype(np.float64), len(spec.index)
        return cost_of(
            setup=(20.0 * m + m * m) * (s**2).sum() + 3e5 * len(np.unique(sizes)),
            each=0.4 * m * (s**3).sum(),
            memory=8.0 * (m + 3) * (s**2).sum(),
            reason=f"{len(sizes):,} independent blocks of at most {sizes.max():,} rows",
        )

    def __call__(self, spec: ModelSpec, *, probes: int = 0, rng: np.random.Generator | None = None) -> BlockMoments:
        return BlockMoments(spec, probes=probes, rng=rng)


moment_kinds.register("blocks")(_Blocks())
