"""Traces of products, tr(V⁻¹V_jV⁻¹V_k) and tr(V_jV⁻¹V_k), from small matrices only.

With E_j the pattern of θ_j among one factor's effects (V_j = Z E_j Zᵀ) and X = ZᵀV⁻¹Z,

    tr(V⁻¹V_jV⁻¹V_k) = tr(X E_j X E_k),    tr(V_jV⁻¹V_k) = tr(ZᵀZ E_j X E_k)

X is block-diagonal minus J H Jᵀ for the first factor (J_l = P_lA_l), J Ψ towards the others with Ψ = I − HG/σ², and
GΨ/σ² among them: sums over the first factor's levels go into matrices of the size of the others.  The residual's
row follows from V⁻¹VV⁻¹ = V⁻¹.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..linalg.component_stack import symmetric
from ..linalg.products import product
from ..linalg.small_stacks import multiply
from .grouped_layout import Stack
from .grouped_state import GroupedState

Float = NDArray[np.float64]
Parameter = tuple[int, int, int]  # factor, effect, effect


def parameters(state: GroupedState) -> list[Parameter]:
    """Factor and effects of every linear parameter but the residual's, in the order of θ."""
    where = {term: (f, at) for f, factor in enumerate(state.layout.factors) for term, at in factor.members}
    spec = state.layout.spec
    found = ((where[w.term], w) for w in spec.index if w.term < len(spec.terms))
    return [(f, at + w.a, at + w.b) for (f, at), w in found]


def pattern(k: int, a: int, b: int) -> Float:
    """E_j within one level: 1 at (a, b) and (b, a)."""
    E = np.zeros((k, k))
    E[a, b] = E[b, a] = 1.0
    return E


def by_identity(random: Float, plain: Float, theta: Float, total: float) -> Float:
    """(m, m) pair traces with the residual's row and column, from those of the random parameters.

    Σ_k θ_k tr(TV_jTV_k) = tr(TV_j) and Σ_j θ_j tr(TV_j) = total, `plain` being tr(TV_j) of the random parameters.
    """
    m = len(theta)
    out = np.empty((m, m))
    out[:-1, :-1] = random
    out[-1, :-1] = out[:-1, -1] = (plain - random @ theta[:-1]) / theta[-1]
    last = (total - plain @ theta[:-1]) / theta[-1]
    out[-1, -1] = (last - out[-1, :-1] @ theta[:-1]) / theta[-1]
    return out


def pair_traces(state: GroupedState) -> Float:
    """(m−1, m−1) tr(V⁻¹V_jV⁻¹V_k) of the random parameters."""
    index = parameters(state)
    out = np.zeros((len(index),) * 2)
    own = [j for j, (f, _, _) in enumerate(index) if f == 0]
    out[np.ix_(own, own)] = _alone(state, [pattern(state.layout.first.k, *index[j][1:]) for j in own])
    sums = {j: _level_sums(state, j, index) for j in own}
    for stack in state.layout.storage.stacks:
        _add_stack(state, stack, index, sums, out)
    return out


def _add_stack(state: GroupedState, stack: Stack, index: list[Parameter], sums: dict[int, Float], out: Float) -> None:
    """The share of one stack of components; its matrices may be large, so that few are held at a time."""
    own, parts = list(sums), dict(stack.parts)
    H = symmetric(stack.view(state.H))
    made = {j: products(symmetric(stack.view(sums[j])), H) for j in own}  # K_j H
    if divisible(state) and stack is state.layout.storage.stacks[-1]:
        sums.clear()  # not needed again
    for x, j in enumerate(own):
        for i in own[: x + 1]:
            value = float(np.einsum("bst,bts->", made[i], made[j]))
            out[i, j] += value
            out[j, i] += value if i != j else 0.0
    Psi, N = _matrices(state, stack, H)
    del H
    for j in own:
        K = made.pop(j)
        K = (
            _times_prior(state, stack, K, scratch=True)
            if divisible(state)
            else products(symmetric(stack.view(sums[j])), Psi)
        )
        for k, (g, c, d) in enumerate(index):
            if g in parts:
                value = _within(Psi[:, :, parts[g]], K[:, :, parts[g]], state.layout.factors[g].k, c, d)
                out[j, k] += value
                out[k, j] += value
        del K
    del Psi
    for j, (f, a, b) in enumerate(index):
        for k, (g, c, d) in enumerate(index):
            if f in parts and g in parts:
                k_f, k_g = state.layout.factors[f].k, state.layout.factors[g].k
                out[j, k] += _between(N()[:, parts[f], parts[g]], k_f, k_g, (a, b), (c, d))


def _alone(state: GroupedState, patterns: list[Float]) -> Float:
    """The first factor's parameters: tr(B E_j B E_k) − 2 tr(B E_j Q E_k), B and Q its own blocks of X."""
    B, Q = state.alone, state.lost
    out = np.empty((len(patterns),) * 2)
    made = [(multiply(B, E), multiply(Q, E)) for E in patterns]
    for j, (BE, QE) in enumerate(made):
        for k, (BF, QF) in enumerate(made):
            out[j, k] = np.einsum("abq,baq->", BE, BF - QF) - np.einsum("abq,baq->", QE, BF)
    return out


def _level_sums(state: GroupedState, j: int, index: list[Parameter]) -> Float:
    """Σ_l J_lᵀE_jJ_l in storage."""
    E = pattern(state.layout.first.k, *index[j][1:])
    P = state.P
    return state.elimination.taken(multiply(multiply(P.swapaxes(0, 1), E), P))


def divisible(state: GroupedState) -> bool:
    """Whether all later factors' Σ may be divided by."""
    return all(state.divisible(f) for f in range(1, len(state.layout.factors)))


def products(A: Float, B: Float) -> Float:
    """A_c B_c of every component (b, s, s)."""
    return product(A[0], B[0])[None] if len(A) == 1 else A @ B


def _matrices(state: GroupedState, stack: Stack, H: Float) -> tuple[Float, Callable[[], Float]]:
    """Ψ = I − HG/σ² and, made when asked for and kept, N = GΨ/σ² (b, s, s) of a stack."""
    safe, unit = divisible(state), np.arange(H.shape[1])
    if safe:
        Psi = _times_prior(state, stack, H)
    else:
        G = symmetric(stack.view(state._reduced)) / state.sigma2
        Psi = -products(H, G)
        Psi[:, unit, unit] += 1.0

    @cache
    def N() -> Float:
        if not safe:
            return products(G, Psi)
        rest = -Psi  # D⁻¹(I − HD⁻¹)
        rest[:, unit, unit] += 1.0
        return _times_prior(state, stack, rest.swapaxes(1, 2), scratch=True).swapaxes(1, 2)

    return Psi, N


def _times_prior(state: GroupedState, stack: Stack, B: Float, *, scratch: bool = False) -> Float:
    """B D⁻¹ for B (b, c, s); in the place of B where `scratch`."""
    scale = np.ones(B.shape[2])
    for f, part in stack.parts:
        if len(state.sigmas[f]) == 1:
            scale[part] = 1.0 / state.sigmas[f][0, 0]
    out = B if scratch else B.copy()
    out *= scale
    for f, part in stack.parts:
        if len(state.sigmas[f]) > 1:
            inverse = la.inverse_psd(state.sigmas[f])
            given = out[:, :, part].reshape(*B.shape[:2], -1, len(inverse))
            out[:, :, part] = (given @ inverse).reshape(*B.shape[:2], -1)
    return out


def _within(left: Float, right: Float, k: int, c: int, d: int) -> float:
    """tr(leftᵀ right E) with E the pattern (c, d) of a factor of k effects; columns are that factor's."""
    value = float(np.einsum("bsq,bsq->", left[:, :, c::k], right[:, :, d::k]))
    return value if c == d else 2.0 * value


def _between(N: Float, k: int, k2: int, one: tuple[int, int], two: tuple[int, int]) -> float:
    """tr(N E_one Nᵀ-block E_two) for the block N of two factors of k and k2 effects."""
    (a, b), (c, d) = one, two
    value = 0.0
    for x, y in {(a, b), (b, a)}:
        for v, w in {(c, d), (d, c)}:
            value += float(np.einsum("bst,bst->", N[:, x::k, v::k2], N[:, y::k, w::k2]))
    return value


def cross_traces(state: GroupedState) -> Float:
    """(m−1, m−1) tr(V_jV⁻¹V_k) of the random parameters: X where ZᵀZ has entries."""
    index, layout = parameters(state), state.layout
    out = np.zeros((len(index),) * 2)
    own = [j for j, (f, _, _) in enumerate(index) if f == 0]
    block = state.alone - state.lost
    for j in own:
        E = pattern(layout.first.k, *index[j][1:])
        NE = multiply(layout.own[0], E)
        for k in own:
            out[j, k] = np.einsum("abq,baq->", NE, multiply(block, pattern(layout.first.k, *index[k][1:])))
    for stack in layout.storage.stacks:
        Psi, N = _matrices(state, stack, symmetric(stack.view(state.H)))
        effects = layout.first.size + stack.index
        for c in range(len(stack.index)):
            gram = layout.gram[effects[c]]
            inside, upward = gram[:, effects[c]].toarray(), gram[:, : layout.first.size]
            _add_cross(state, stack, index, inside, upward, Psi[c], N()[c], c, out)
    return out


def _add_cross(
    state: GroupedState,
    stack: Stack,
    index: list[Parameter],
    inside: Float,
    upward: object,
    Psi: Float,
    N: Float,
    c: int,
    out: Float,
) -> None:
    """One component's share: pairs of later factors, and of the first with a later one."""
    parts, layout = dict(stack.parts), state.layout
    for j, (f, a, b) in enumerate(index):
        for k, (g, x, y) in enumerate(index):
            if f == 0 or g == 0 or f not in parts or g not in parts:
                continue
            left, right = inside[parts[g], parts[f]], N[parts[f], parts[g]]
            out[j, k] += _pattern_sum(left, right, layout.factors[f].k, layout.factors[g].k, (a, b), (x, y))
    J = layout.across[:, stack.index[c]]
    for j, (f, a, b) in enumerate(index):
        if f != 0:
            continue
        EP = multiply(pattern(layout.first.k, a, b), state.P)
        reached = (upward @ _level_product(EP, J)).toarray()  # type: ignore[operator]
        for k, (g, x, y) in enumerate(index):
            if g == 0 or g not in parts:
                continue
            whole = reached[parts[g]] @ Psi[:, parts[g]]
            k_g = layout.factors[g].k
            value = sum(float(np.trace(whole[v::k_g, w::k_g])) for v, w in {(x, y), (y, x)})
            out[j, k] += value
            out[k, j] += value


def _level_product(M: Float, A: object) -> object:
    """Sparse rows M_l A_l of the first factor's levels."""
    import scipy.sparse as sp

    k, _, q = M.shape
    levels = np.arange(q) * k
    i = np.concatenate([levels + a for a in range(k) for _ in range(k)])
    j = np.concatenate([levels + b for _ in range(k) for b in range(k)])
    data = np.concatenate([M[a, b] for a in range(k) for b in range(k)])
    return sp.coo_array((data, (i, j)), shape=(q * k, q * k)).tocsr() @ A


def _pattern_sum(left: Float, right: Float, k: int, k2: int, one: tuple[int, int], two: tuple[int, int]) -> float:
    """tr(left E_one right E_two), left (g × f) and right (f × g)."""
    (a, b), (c, d) = one, two
    value = 0.0
    for x, y in {(a, b), (b, a)}:
        for v, w in {(c, d), (d, c)}:
            value += float(np.einsum("st,ts->", left[v::k2, x::k], right[y::k, w::k2]))
    return value
