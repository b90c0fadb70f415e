"""Block likelihood: rows fall into independent families, V is block-diagonal, blocks of one size work as a stack.

Families are the connected components of all terms together: rows that share a level, or whose levels a kernel
connects.  Every V_j is formed once inside the blocks; no n×n array exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..linalg import dense as la
from ..linalg.memory import require
from ..structures.base import pattern_of
from .base import likelihoods
from .blocks_marginals import LARGEST, SWEPT, Kind, blocks_marginals, kinds_of, share_that_differs
from .choose import Cost, cost_of
from .covariance_blocks import blocks_at
from .gaussian import GaussianEvaluation
from .marginals import Marginals, marginals_one_by_one
from .moments import moment_equations
from .row_pairs import RowPairs, block_rows, row_pairs
from .rows import RowFrame, Rows, working_rows
from .turned import TurnedLikelihood, on_orthogonal_effects

Float = NDArray[np.float64]
_MOST_PARAMETERS = 1 << 23  # numbers of V_j of a residual in groups that are formed for many θ
_LOOKED_AT = 30  # blocks of each size that are compared to tell the price
_LAPACK_FROM = 64  # blocks this large are inverted one by one through Cholesky


@dataclass(frozen=True)
class Stack:
    """All blocks of one size: their rows (b, s) and V_j in them (m, b, s, s).

    Where rows of the residual depend on each other V has the random terms' parameters only, and `at` is the place of
    each of the residual's pairs of rows (`which` of them are in these blocks) in a raveled (b, s, s).
    """

    index: NDArray[np.intp]
    V: Float
    which: NDArray[np.intp] | None = None
    at: NDArray[np.intp] | None = None

    def apply(self, U: Float) -> Float:
        """(m, b, s, c)."""
        return self.V @ U[self.index]


class BlockState:
    """V at one θ, block by block; `pairs` are the residual's where it is not in the stacks."""

    def __init__(self, stacks: list[Stack], pairs: RowPairs | None, theta: Float):
        self.stacks, self.pairs, self.theta = stacks, pairs, theta
        self.V = [combined(stack, pairs, theta) for stack in stacks]
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
        return applied(self.stacks, self.pairs, U, len(self.theta))

    @cached_property
    def inverse(self) -> list[Float]:
        return [_inverse(V, L) for V, L in zip(self.V, self.L, strict=True)]

    def traces(self) -> Float:
        total = sum(np.einsum("jbst,bst->j", k.V, W, optimize=True) for k, W in zip(self.stacks, self.inverse))
        return total if self.pairs is None else np.concatenate([total, self.pairs.inner(self._at_pairs(self.inverse))])

    def _at_pairs(self, blocks: Sequence[Float]) -> Float:
        """(e,) symmetric matrices of the blocks at the residual's pairs of rows."""
        assert self.pairs is not None
        out = np.empty(len(self.pairs.i))
        for stack, B in zip(self.stacks, blocks, strict=True):
            out[stack.which] = B.ravel()[stack.at]
        return out

    def inverse_entries(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> Float:
        if self.pairs is not None and np.array_equal(i, self.pairs.i) and np.array_equal(j, self.pairs.j):
            return self._at_pairs(self.inverse)
        raise NotImplementedError("entries of V⁻¹ are given at the residual's own pairs of rows")

    def pair_traces(self) -> Float:
        if self.pairs is not None:
            return self._each_against_all(lambda W, V: W @ V @ W)
        total = np.zeros((len(self.theta),) * 2)
        for stack, W in zip(self.stacks, self.inverse, strict=True):
            G = W @ stack.V
            m = len(G)
            total += G.reshape(m, -1) @ G.swapaxes(2, 3).reshape(m, -1).T
        return total

    def cross_traces(self) -> Float:
        if self.pairs is not None:
            return self._each_against_all(lambda W, V: 0.5 * (W @ V + V @ W))
        total = np.zeros((len(self.theta),) * 2)
        for stack, W in zip(self.stacks, self.inverse, strict=True):
            m = len(stack.V)
            total += (W @ stack.V).reshape(m, -1) @ stack.V.reshape(m, -1).T
        return total

    def _each_against_all(self, change: Callable[[Float, Float], Float]) -> Float:
        """(m, m) ⟨change(W, V_j), V_k⟩, one V_j at a time."""
        assert self.pairs is not None
        rows = []
        for unit in np.eye(len(self.theta)):
            changed = [change(W, combined(s, self.pairs, unit)) for s, W in zip(self.stacks, self.inverse, strict=True)]
            first = sum(np.einsum("jbst,bst->j", s.V, B) for s, B in zip(self.stacks, changed, strict=True))
            rows.append(np.concatenate([first, self.pairs.inner(self._at_pairs(changed))]))
        return np.array(rows)

    def pair_traces_along(self, D: Float) -> Float:
        """(r, r) tr(V⁻¹G_aV⁻¹G_b), G_a = Σ_j D_aj V_j: the cost of the directions, not of the parameters."""
        total = np.zeros((len(D), len(D)))
        for stack, W in zip(self.stacks, self.inverse, strict=True):
            G = np.stack([W @ combined(stack, self.pairs, direction) for direction in D])
            total += G.reshape(len(D), -1) @ G.swapaxes(2, 3).reshape(len(D), -1).T
        return total


def combined(stack: Stack, pairs: RowPairs | None, theta: Float) -> Float:
    """Σ_j θ_j V_j in the blocks of a stack (b, s, s)."""
    V = np.tensordot(theta[: len(stack.V)], stack.V, axes=1)
    if pairs is not None:
        assert stack.which is not None and stack.at is not None
        s = V.shape[-1]
        flat, values = V.reshape(-1), pairs.entries(theta[len(stack.V) :])[stack.which]
        block, inside = np.divmod(stack.at, s * s)
        row, column = np.divmod(inside, s)
        flat[stack.at] += values
        off = row != column
        flat[(block * s * s + column * s + row)[off]] += values[off]
    return V


def applied(stacks: list[Stack], pairs: RowPairs | None, U: Float, m: int) -> Float:
    """(m, n, c): V_j U."""
    out = np.empty((m, len(U), U.shape[1]))
    first = m if pairs is None else m - pairs.m
    for stack in stacks:
        out[:first, stack.index] = stack.apply(U)
    if pairs is not None:
        out[first:] = pairs.apply(U)
    return out


def _inverse(V: Float, L: Float) -> Float:
    if V.shape[-1] < _LAPACK_FROM:
        return la.stacked_inverse(V)
    return np.stack([la.symmetrize_lower(la.cholesky_inverse(np.asfortranarray(l))) for l in L])


class BlockLikelihood:
    """V block-diagonal over families (see `mixedvc.likelihood.base.Likelihood`)."""

    name = "blocks"

    def __init__(
        self, spec: ModelSpec, reml: bool, frame: RowFrame, stacks: list[Stack], pairs: RowPairs | None = None
    ):
        self.spec, self.reml, self._frame, self._stacks, self._pairs = spec, reml, frame, stacks, pairs
        self._last: GaussianEvaluation | None = None

    def at(self, theta: Float) -> GaussianEvaluation:
        theta = np.array(theta, dtype=np.float64)
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = None
            self._last = GaussianEvaluation(self._frame, BlockState(self._stacks, self._pairs, theta), theta, self.reml)
        return self._last

    @cached_property
    def _inner(self) -> Float:
        flat = [stack.V.reshape(len(stack.V), stack.V[0].size if len(stack.V) else 0) for stack in self._stacks]
        inner = np.sum([F @ F.T for F in flat], axis=0)
        pairs = self._pairs
        if pairs is None:
            return inner
        r, m = len(inner), len(self.spec.index)
        out = np.zeros((m, m))
        out[:r, :r] = inner
        for stack, F in zip(self._stacks, flat, strict=True):
            assert stack.which is not None and stack.at is not None
            size = (pairs.value * pairs.twice)[stack.which]
            for j in range(r):
                out[j, r:] += np.bincount(pairs.owner[stack.which], F[j, stack.at] * size, minlength=pairs.m)
        out[r:, :r] = out[:r, r:].T
        own = np.bincount(pairs.owner, pairs.value**2 * pairs.twice, minlength=pairs.m)
        out[r:, r:] = np.diag(own)  # an entry belongs to one parameter
        return out

    @cached_property
    def _kinds(self) -> list[Kind] | None:
        """Different blocks and their data; None where there is no table of them."""
        m = len(self.spec.index)
        if self._pairs is None:
            return kinds_of(self._frame, [(stack.index, stack.V) for stack in self._stacks])
        if m * sum(stack.index.size * stack.index.shape[1] for stack in self._stacks) > _MOST_PARAMETERS:
            return None
        full = [(s.index, np.stack([combined(s, self._pairs, unit) for unit in np.eye(m)])) for s in self._stacks]
        return kinds_of(self._frame, full)

    def marginals(self, thetas: Float) -> Marginals:
        """Each row of `thetas` (K, m)."""
        if self._kinds is None:
            return marginals_one_by_one(self, thetas)
        return blocks_marginals(self._frame, self._kinds, thetas, self.reml)

    def _apply(self, U: Float) -> Float:
        return applied(self._stacks, self._pairs, U, len(self.spec.index))

    def moments(self) -> tuple[Float, Float]:
        return moment_equations(self._frame, self._inner, self._apply)

    def with_response(self, y: Float) -> BlockLikelihood:
        return BlockLikelihood(self.spec, self.reml, self._frame.with_response(y), self._stacks, self._pairs)


def block_stack(spec: ModelSpec, rows: Rows, index: NDArray[np.intp], terms: Sequence[Term] | None = None) -> Stack:
    """Every V_j of `terms` (all of them, the residual last, by default) inside the blocks of one size."""
    parts = []
    for term in spec.all_terms if terms is None else terms:
        B = _kernel_blocks(term, index)
        x = rows.basis(term)[index]  # (b, s, k)
        pattern = pattern_of(term.structure)
        for j, (a, b) in enumerate(term.structure.pairs):
            if pattern is None:
                V = B * x[:, :, None, a] * x[:, None, :, b]
                parts.append(V if a == b else V + V.swapaxes(1, 2))
            else:
                shared = np.where(pattern == j, 1.0, 0.0)
                parts.append(B * (x @ shared @ x.swapaxes(1, 2)))
    return Stack(index, np.stack(parts) if parts else np.zeros((0, *index.shape, index.shape[1])))


def _with_places(stack: Stack, pairs: RowPairs) -> Stack:
    """The stack with the places of the residual's pairs of rows."""
    b, s = stack.index.shape
    block, local = np.full(pairs.n, -1), np.zeros(pairs.n, dtype=np.intp)
    block[stack.index] = np.arange(b)[:, None]
    local[stack.index] = np.arange(s)
    which = np.flatnonzero(block[pairs.i] >= 0)
    i, j = pairs.i[which], pairs.j[which]
    return replace(stack, which=which, at=(block[i] * s + local[i]) * s + local[j])


def _kernel_blocks(term: Term, index: NDArray[np.intp]) -> Float:
    """A among the levels of the rows of each block, (b, s, s)."""
    levels = term.codes[index]
    if term.cov_name is None and term.covariance.kind == "identity":
        return (levels[:, :, None] == levels[:, None, :]).astype(np.float64)
    return blocks_at(term.covariance, term.positions[levels])


def _dense_parameters(spec: ModelSpec) -> int:
    """Parameters whose V_j fill the blocks; those of a residual in groups are kept as pairs of rows, as if two."""
    if not spec.correlated_residual:
        return len(spec.index)
    return sum(len(term.structure.pairs) for term in spec.terms) + 2


class _Blocks:
    """Registered kind: worthwhile where rows fall into more than one family."""

    name = "blocks"

    def cost(self, spec: ModelSpec) -> Cost | None:
        label = spec.families
        sizes = np.bincount(label)
        if len(sizes) < 2:
            return None
        s = sizes.astype(np.float64)
        m = _dense_parameters(spec)
        distinct = len(np.unique(sizes))
        return cost_of(
            setup=20.0 * m * (s**2).sum(),
            each=6.0 * (s**3).sum() + 40.0 * m * (s**2).sum() + 3e5 * distinct + 6e3 * len(sizes),
            memory=8.0 * (m + 4) * (s**2).sum(),
            reason=f"{len(sizes):,} independent blocks of at most {sizes.max():,} rows",
            loglik=lambda: _price_of_many(spec),
        )

    def __call__(self, spec: ModelSpec, *, reml: bool = True) -> BlockLikelihood | TurnedLikelihood:
        label = spec.families
        s = np.bincount(label).astype(np.float64)
        require(
            int(8 * (_dense_parameters(spec) + 3) * (s**2).sum()),
            f"the block likelihood ({len(s):,} blocks, the largest of {int(s.max()):,} rows)",
            "Terms that cross connect the blocks; fewer of them, or kernels of low rank as mv.Features, need less.",
        )
        return on_orthogonal_effects(spec, lambda turned: self._build(turned, label, reml))

    def _build(self, spec: ModelSpec, label: NDArray[np.intp], reml: bool) -> BlockLikelihood:
        rows = working_rows(spec)
        if not spec.correlated_residual:
            stacks = [block_stack(spec, rows, index) for index in block_rows(label)]
            return BlockLikelihood(spec, reml, RowFrame(rows), stacks)
        pairs = row_pairs(spec.residual, rows.basis(spec.residual))
        stacks = [_with_places(block_stack(spec, rows, index, spec.terms), pairs) for index in block_rows(label)]
        return BlockLikelihood(spec, reml, RowFrame(rows), stacks, pairs)


def _price_of_many(spec: ModelSpec) -> float | None:
    """Flops of one of many θ: that of the different blocks, whose share is judged by a few of each size."""
    total, c = 5e4, spec.p + 1
    if np.bincount(spec.families).max() > LARGEST:
        return None
    for index in block_rows(spec.families):
        b, s = index.shape
        some = index[np.unique(np.linspace(0, b - 1, _LOOKED_AT).astype(np.intp))]
        share = share_that_differs(spec, some)
        different = len(some) * share if share < 0.5 else b * share
        total += different * (60.0 * s**3 if s <= SWEPT else 2e4 + 12.0 * s**3)
        total += different * s**2 * (2.0 * c**2 + 2.0 * len(spec.index))
    return total


likelihoods.register("blocks")(_Blocks())
