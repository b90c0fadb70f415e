"""Draws of random effects, of rows and of new observations, each from the law that it has given one draw of θ and β.

Levels without rows in the fit follow from those that have some: relatives through the known covariance, levels known by
their own features through these, levels that nobody knows from N(0, Σ).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Positions
from ..design.spec import ModelSpec
from ..likelihood.base import Likelihood
from ..linalg import dense as la
from ..linalg.roots import pivoted_root
from ..sampling.base import Draws
from ..sampling.effects import EffectSampler, draws_of_effects
from .blup import roster
from .features import roster_rows
from .posterior import one_by_one, spaced
from .predict import Rows, TermRows, training_rows

Float = NDArray[np.float64]
BYTES = 400_000_000  # of effects that are held at once: more levels, fewer draws
FEWEST = 200
_NEW, _NOISE, _FEATURES = 2, 3, 4  # last word of the keys of random streams; 0 and 1 are the chains' own


@dataclass(frozen=True)
class EffectDraws:
    """Random effects that go with N kept draws.

    Attributes
    ----------
    spec : ModelSpec
    seed : int
    chain, draw : (N,) intp
        Which of the kept draws.
    theta : (N, m)
    beta : (N, p)
    effects : tuple of (N, L, k)
        Every term's u at the levels of `blup.roster`.
    """

    spec: ModelSpec
    seed: int
    chain: Positions
    draw: Positions
    theta: Float
    beta: Float
    effects: tuple[Float, ...]

    def __len__(self) -> int:
        return len(self.chain)

    @cached_property
    def sigmas(self) -> tuple[Float, ...]:
        """(N, k, k) Σ of every term, the residual last."""
        made = [self.spec.sigmas(theta) for theta in self.theta]
        return tuple(np.stack(own) for own in zip(*made, strict=True))

    @cached_property
    def roots(self) -> tuple[Float, ...]:
        """(N, k, k) F with F Fᵀ = Σ."""
        return tuple(stacked_root(S) for S in self.sigmas)

    def rng(self, stream: int, *more: int) -> np.random.Generator:
        """Random numbers of a purpose, the same whenever it is asked for."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(len(self), stream, *more)))


def stacked_root(S: Float) -> Float:
    """F (N, k, k) with F Fᵀ = S for a stack of positive semi-definite matrices, of effects of any units."""
    size = np.sqrt(np.maximum(np.einsum("nkk->nk", S), 0.0))
    unit = np.where(size > 0.0, size, 1.0)
    values, vectors = la.small_eigh(S / unit[:, :, None] / unit[:, None, :])
    return np.asarray(unit[:, :, None] * vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def effect_draws(likelihood: Likelihood, draws: Draws, count: int | None = None) -> EffectDraws:
    """Effects of `count` kept draws, evenly spaced; of all of them, or as many as memory allows, by default."""
    spec = likelihood.spec
    shapes = [(len(roster(term).labels), term.k) for term in spec.terms]
    if count is None:
        size = 8 * max(1, sum(L * k for L, k in shapes))
        count = min(draws.chains * draws.count, max(FEWEST, BYTES // size))
    chain, draw = spaced(draws, count)
    relatives = any(term.q < L for (L, _), term in zip(shapes, spec.terms, strict=True))
    out = tuple(np.empty((len(chain), *shape)) for shape in shapes)
    at = list(zip(chain.tolist(), draw.tolist(), strict=True))
    if shapes:
        with one_by_one(spec):
            sampler = EffectSampler(likelihood, relatives)
            for d, found in enumerate(draws_of_effects(sampler, draws, relatives, at)):
                for own, u in zip(out, found, strict=True):
                    own[d] = u
    theta, beta = draws.theta[chain, draw], draws.beta[chain, draw]
    return EffectDraws(spec, draws.seed, chain, draw, theta, beta, out)


# ---- rows ---------------------------------------------------------------------------------------------------


def row_draws(drawn: EffectDraws, rows: Rows, new_levels: str = "error") -> Float:
    """x'β + offset + Σ z'u of each draw and row, (N, r); rows of one level share its effects."""
    out = drawn.beta @ np.asarray(rows.X).T
    if rows.offset is not None:
        out = out + rows.offset
    for i, part in rows.terms.items():
        out = out + _term_draws(drawn, i, part, new_levels)
    return np.asarray(out)


def _term_draws(drawn: EffectDraws, i: int, part: TermRows, new_levels: str) -> Float:
    """z'u of one term, (N, r)."""
    term = drawn.spec.terms[i]
    place = roster_places(drawn.spec, i)
    known, foreign = part.seen >= 0, part.foreign
    where = np.where(known, place[0][part.seen], -1)
    if new_levels == "conditional":
        related = (part.positions >= 0) & ~known & ~foreign
        where = np.where(related, place[1][part.positions], where)
    u = np.zeros((len(drawn), len(known), term.k))
    there = where >= 0
    u[:, there] = drawn.effects[i][:, where[there]]
    if foreign.any():
        u[:, foreign] = _foreign_draws(drawn, i, part)
    lost = ~there & ~foreign
    if new_levels == "conditional" and lost.any():
        u[:, lost] = _stranger_draws(drawn, i, (np.arange(len(lost)) if part.label is None else part.label)[lost])
    return np.einsum("rk,nrk->nr", part.basis, u)


def roster_places(spec: ModelSpec, i: int) -> tuple[Positions, Positions]:
    """Place in the roster of each level in the data (q,), and of each label of the covariance (−1: not in it)."""
    term, who = spec.terms[i], roster(spec.terms[i])
    of_levels = np.empty(term.q, dtype=np.intp)
    of_levels[who.seen[who.seen >= 0]] = np.flatnonzero(who.seen >= 0)
    of_labels = np.full(len(term.covariance.labels), -1, dtype=np.intp)
    of_labels[who.positions] = np.arange(len(who.positions))
    return of_levels, of_labels


def _stranger_draws(drawn: EffectDraws, i: int, who: Positions) -> Float:
    """(N, r, k) effects of levels that nobody knows: prior mean zero, prior variance of an average level."""
    term = drawn.spec.terms[i]
    distinct, inverse = np.unique(who, return_inverse=True)
    z = drawn.rng(_NEW, i).standard_normal((len(drawn), len(distinct), term.k))
    size = np.sqrt(float(np.mean(term.covariance.diagonal(term.positions))))
    return np.asarray((size * z @ drawn.roots[i].transpose(0, 2, 1))[:, inverse])


def _foreign_draws(drawn: EffectDraws, i: int, part: TermRows) -> Float:
    """(N, r, k) effects of levels known by their own features only, given those of the levels in the roster.

    The records depend on them through the known levels alone: u_new | u ~ N(B u, (A_nn − B A_kn) ⊗ Σ), B = A_nk A_kk⁺.
    """
    assert part.new is not None and part.outside is not None
    term, who = drawn.spec.terms[i], roster(drawn.spec.terms[i])
    distinct, inverse = np.unique(part.outside[part.foreign], return_inverse=True)
    A_nk, A_nn = part.new.block(distinct, roster_rows(term)), part.new.among(distinct)
    Q, T = la.qr(pivoted_root(np.asarray(term.covariance.block(who.positions))))
    half = la.solve_triangular(T, (A_nk @ Q).T, lower=False).T
    B = la.solve_triangular(T, half.T, lower=False, trans=True).T @ Q.T
    root = stacked_root((A_nn - half @ half.T)[None])[0]
    z = drawn.rng(_FEATURES, i).standard_normal((len(drawn), root.shape[1], term.k))
    u = np.einsum("rl,nlk->nrk", B, drawn.effects[i], optimize=True)
    u = u + np.einsum("rl,nlk->nrk", root, z, optimize=True) @ drawn.roots[i].transpose(0, 2, 1)
    return np.asarray(u[:, inverse])


# ---- new observations ---------------------------------------------------------------------------------------


def noise_draws(drawn: EffectDraws, rows: Rows, record: Positions | None = None, key: int = 0) -> Float:
    """Residuals of new observations, (N, r).

    `record` (r,) says which rows are cells of one record, whose residuals depend on each other; by default none are.
    """
    which = np.zeros(len(rows.X), dtype=np.intp) if rows.residual is None else rows.residual
    rng, k = drawn.rng(_NOISE, key), drawn.spec.residual.k
    if record is None:
        variances = np.einsum("nkk->nk", drawn.sigmas[-1])
        out = np.sqrt(np.column_stack([variances, np.full(len(drawn), np.nan)])[:, which])
        out = out * rng.standard_normal(out.shape)
    else:
        z = rng.standard_normal((len(drawn), int(record.max(initial=-1)) + 1, k))
        out = (z @ drawn.roots[-1].transpose(0, 2, 1))[:, record, which]
    return np.asarray(out if rows.weights is None else out / np.sqrt(rows.weights))


def residual_draws(drawn: EffectDraws) -> Float:
    """y − x'β − offset − Σ z'u of the rows of the fit, (N, n)."""
    spec = drawn.spec
    return np.asarray(spec.y - row_draws(drawn, training_rows(spec, range(len(spec.terms)))))


def missing_draws(drawn: EffectDraws, rows: Rows, record: Positions) -> Float:
    """(N, r) missing cells of the records `record` of the fit: given θ, β, u and the cells that were observed.

    e_m | e_o ~ N(Σ_mo Σ_oo⁻¹ e_o, Σ_mm − Σ_mo Σ_oo⁻¹ Σ_om) at unit weight, all records with the same cells at once.
    """
    spec = drawn.spec
    assert rows.residual is not None
    E = np.zeros((len(drawn), spec.traits.n, spec.residual.k))
    own = spec.residual.basis[np.arange(spec.n), spec.traits.trait]
    E[:, spec.traits.record, spec.traits.trait] = residual_draws(drawn) / own
    there = np.zeros((spec.traits.n, spec.residual.k), dtype=bool)
    there[spec.traits.record, spec.traits.trait] = True
    rng = drawn.rng(_NOISE, 0)
    z = np.asarray(rng.standard_normal(E.shape))
    for pattern in np.unique(there[record], axis=0):
        some = np.unique(record[(there[record] == pattern).all(axis=1)])
        o, m = np.flatnonzero(pattern), np.flatnonzero(~pattern)
        S = drawn.sigmas[-1]
        S_mo = S[:, m][:, :, o]
        B = S_mo @ la.stacked_inverse(S[:, o][:, :, o])
        root = stacked_root(S[:, m][:, :, m] - B @ S_mo.transpose(0, 2, 1))
        known = E[:, some][:, :, o] @ B.transpose(0, 2, 1)
        made = known + z[:, some][:, :, m] @ root.transpose(0, 2, 1)
        E[:, some[:, None], m] = made
    e = E[:, record, rows.residual]
    if rows.weights is not None:
        e = e / np.sqrt(rows.weights)
    return np.asarray(row_draws(drawn, rows, "conditional") + e)
