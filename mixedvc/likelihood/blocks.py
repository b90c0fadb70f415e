"""Block likelihood: rows fall into independent families, V is block-diagonal, blocks of one size work as a stack.

Families are the connected components of all terms together: rows that share a level, or whose levels a kernel
connects.  Every V_j is formed once inside the blocks; no n×n array exists.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ..covariance.base import Can, Covariance
from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.memory import require
from .base import likelihoods
from .choose import Cost, cost_of
from .gaussian import GaussianEvaluation
from .moments import moment_equations
from .rows import RowFrame, Rows, working_rows

Float = NDArray[np.float64]
_SMALL = 2000  # levels of which one dense block is cheap
_LAPACK_FROM = 64  # blocks this large are inverted one by one through Cholesky


def block_rows(label: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """One array (blocks, size) of row numbers for each block size."""
    order = np.argsort(label, kind="stable")
    sizes = np.bincount(label)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return [order[starts[sizes == s][:, None] + np.arange(s)] for s in np.unique(sizes)]


@dataclass(frozen=True)
class Stack:
    """All blocks of one size: their rows (b, s) and every V_j in them (m, b, s, s)."""

    index: NDArray[np.intp]
    V: Float

    def apply(self, U: Float) -> Float:
        """(m, b, s, c)."""
        return self.V @ U[self.index]


class BlockState:
    """V at one θ, block by block."""

    def __init__(self, stacks: list[Stack], theta: Float):
        self.stacks, self.theta = stacks, theta
        self.V = [np.tensordot(theta, stack.V, axes=1) for stack in stacks]
        self.L = [la.small_cholesky(V) for V in self.V]
        self.logdet = sum(la.logdet_from_cholesky(L) for L in self.L)

    def solve(self, U: Float) -> Float:
        out = np.empty((len(U), U.shape[1]))
        for stack, V, L in zip(self.stacks, self.V, self.L, strict=True):
            given = U[stack.index]
            if V.shape[-1] < _LAPACK_FROM:
                out[stack.index] = la.small_solve(V, given)
            else:
                out[stack.index] = np.stack([la.cho_solve(l, g) for l, g in zip(L, given, strict=True)])
        return out

    def apply(self, U: Float) -> Float:
        out = np.empty((len(self.theta), len(U), U.shape[1]))
        for stack in self.stacks:
            out[:, stack.index] = stack.apply(U)
        return out

    @cached_property
    def inverse(self) -> list[Float]:
        return [_inverse(V, L) for V, L in zip(self.V, self.L, strict=True)]

    def traces(self) -> Float:
        return sum(np.einsum("jbst,bst->j", k.V, W, optimize=True) for k, W in zip(self.stacks, self.inverse))

    def pair_traces(self) -> Float:
        total = np.zeros((len(self.theta),) * 2)
        for stack, W in zip(self.stacks, self.inverse, strict=True):
            G = W @ stack.V
            m = len(G)
            total += G.reshape(m, -1) @ G.swapaxes(2, 3).reshape(m, -1).T
        return total

    def cross_traces(self) -> Float:
        total = np.zeros((len(self.theta),) * 2)
        for stack, W in zip(self.stacks, self.inverse, strict=True):
            m = len(stack.V)
            total += (W @ stack.V).reshape(m, -1) @ stack.V.reshape(m, -1).T
        return total


def _inverse(V: Float, L: Float) -> Float:
    if V.shape[-1] < _LAPACK_FROM:
        return la.stacked_inverse(V)
    return np.stack([la.symmetrize_lower(la.cholesky_inverse(np.asfortranarray(l))) for l in L])


class BlockLikelihood:
    """V block-diagonal over families (see `mixedvc.likelihood.base.Likelihood`)."""

    name = "blocks"

    def __init__(self, spec: ModelSpec, reml: bool, frame: RowFrame, stacks: list[Stack]):
        self.spec, self.reml, self._frame, self._stacks = spec, reml, frame, stacks
        self._last: GaussianEvaluation | None = None

    def at(self, theta: Float) -> GaussianEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = None
            self._last = GaussianEvaluation(self._frame, BlockState(self._stacks, theta), theta, self.reml)
        return self._last

    @cached_property
    def _inner(self) -> Float:
        flat = [stack.V.reshape(len(stack.V), -1) for stack in self._stacks]
        return np.sum([F @ F.T for F in flat], axis=0)

    def _apply(self, U: Float) -> Float:
        out = np.empty((len(self.spec.index), len(U), U.shape[1]))
        for stack in self._stacks:
            out[:, stack.index] = stack.apply(U)
        return out

    def moments(self) -> tuple[Float, Float]:
        return moment_equations(self._frame, self._inner, self._apply)

    def with_response(self, y: Float) -> BlockLikelihood:
        return BlockLikelihood(self.spec, self.reml, self._frame.with_response(y), self._stacks)


def block_stack(spec: ModelSpec, rows: Rows, index: NDArray[np.intp]) -> Stack:
    """Every V_j inside the blocks of one size."""
    parts = []
    for term in spec.all_terms:
        B = _kernel_blocks(term, index)
        x = rows.basis(term)[index]  # (b, s, k)
        for a, b in term.structure.pairs:
            V = B * x[:, :, None, a] * x[:, None, :, b]
            parts.append(V if a == b else V + V.swapaxes(1, 2))
    return Stack(index, np.stack(parts))


def _kernel_blocks(term: Term, index: NDArray[np.intp]) -> Float:
    """A among the levels of the rows of each block, (b, s, s)."""
    levels = term.codes[index]
    if term.cov_name is None and term.covariance.kind == "identity":
        return (levels[:, :, None] == levels[:, None, :]).astype(np.float64)
    return _gather(term.covariance, term.positions[levels])


def _gather(covariance: Covariance, positions: NDArray[np.intp]) -> Float:
    """A[p, p] (b, s, s) for each row p of `positions` (b, s), without a dense matrix of all levels."""
    b, s = positions.shape
    if Can.DENSE in covariance.can:
        A = covariance.block()
        return A[positions[:, :, None], positions[:, None, :]]
    used, where = np.unique(positions, return_inverse=True)
    where = where.reshape(b, s)
    if len(used) <= _SMALL:
        return covariance.block(used)[where[:, :, None], where[:, None, :]]
    if Can.SPARSE in covariance.can:
        links = covariance.sparse_block(used)
        i = np.broadcast_to(where[:, :, None], (b, s, s)).ravel()
        j = np.broadcast_to(where[:, None, :], (b, s, s)).ravel()
        found = links[i, j]
        return np.asarray(found.toarray() if sp.issparse(found) else found).reshape(b, s, s)
    return np.stack([covariance.block(p) for p in positions])


class _Blocks:
    """Registered kind: worthwhile where rows fall into more than one family."""

    name = "blocks"

    def cost(self, spec: ModelSpec) -> Cost | None:
        if spec.t != 1:
            return None
        label = spec.families
        sizes = np.bincount(label)
        if len(sizes) < 2:
            return None
        s = sizes.astype(np.float64)
        m = len(spec.index)
        distinct = len(np.unique(sizes))
        return cost_of(
            setup=20.0 * m * (s**2).sum(),
            each=6.0 * (s**3).sum() + 6.0 * m * (s**2).sum() + 3e5 * distinct,
            memory=8.0 * (m + 4) * (s**2).sum(),
            reason=f"{len(sizes):,} independent blocks of at most {sizes.max():,} rows",
        )

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> BlockLikelihood:
        label = spec.families
        s = np.bincount(label).astype(np.float64)
        require(
            int(8 * (len(spec.index) + 3) * (s**2).sum()),
            f"the block likelihood ({len(s):,} blocks, the largest of {int(s.max()):,} rows)",
            "Terms that cross connect the blocks; fewer of them, or kernels of low rank as mv.Features, need less.",
        )
        rows = working_rows(spec)
        stacks = [block_stack(spec, rows, index) for index in block_rows(label)]
        return BlockLikelihood(spec, reml, RowFrame(rows), stacks)


likelihoods.register("blocks")(_Blocks())
