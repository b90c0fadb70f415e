"""The contract of a sampling scheme: a plan made once, chains that advance in whole blocks, and what they leave.

A block of a chain takes its random numbers from the seed, the chain and the block's number alone (`block_rng`), and is
always run whole: so the draws do not depend on how many processes ran them, and going on later gives the same draws,
bit for bit, as if more had been asked for at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


ROWS = ("par", "theta", "beta", "lp", "loglik")  # what every piece has a row of for each draw


@dataclass(frozen=True)
class Piece:
    """Kept draws of one block of one chain; D of them.

    Attributes
    ----------
    par : (D, n_par)
        Structure parameters, term by term, the residual last.
    theta : (D, m)
        Linear parameters, in the layout of ``spec.index``.
    beta : (D, p)
    lp : (D,)
        Log posterior density of `par`, β and u integrated out, up to a constant.
    loglik : (D,)
        Restricted log-likelihood at θ.
    effects : tuple of (D, q, k), or None
        Random effects of every term at the levels in the data, where they are kept.
    facts : mapping
        Sums over the block's iterations that describe the run: ``{"iterations": 100, "accepted": 61}``.
    """

    par: Float
    theta: Float
    beta: Float
    lp: Float
    loglik: Float
    effects: tuple[Float, ...] | None = None
    facts: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.lp)

    def rows(self, which: slice) -> Piece:
        """Some of the draws; the facts stay those of the block."""
        effects = None if self.effects is None else tuple(u[which] for u in self.effects)
        return piece_of({name: getattr(self, name)[which] for name in ROWS}, effects, self.facts)


def piece_of(
    rows: Mapping[str, Float], effects: tuple[Float, ...] | None = None, facts: Mapping[str, float] | None = None
) -> Piece:
    """A piece from its `ROWS` by name."""
    par, theta, beta, lp, loglik = (rows[name] for name in ROWS)
    return Piece(par, theta, beta, lp, loglik, effects, facts or {})


State = dict[str, Float]  # where a chain is: named arrays, so that it can be sent and stored


class Scheme(Protocol):
    """A Markov chain on one posterior."""

    @property
    def block(self) -> int:
        """Kept draws in a block; a block is `block` × thin iterations."""
        ...

    def begin(self, rng: np.random.Generator) -> State:
        """Where a chain starts."""
        ...

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        """One whole block."""
        ...


class Plan(Protocol):
    """What a scheme needs beside the target, found once (a mode, a proposal): a frozen dataclass of plain numbers and
    arrays that can be sent to other processes and stored."""

    name: str  # "collapsed" | "conjugate" | "shares" | "held"

    @property
    def burnin(self) -> int:
        """Iterations left out at the beginning where the user does not say."""
        ...

    def scheme(self, target: Any) -> Scheme:
        """The chain on a `sampling.target.Target`."""
        ...

    def describe(self) -> str:
        """How it samples, in words, for the notes of the summary."""
        ...


@dataclass(frozen=True)
class Draws:
    """Kept draws of all chains: C chains of D draws.

    Attributes
    ----------
    par : (C, D, n_par), theta : (C, D, m), beta : (C, D, p), lp : (C, D), loglik : (C, D)
        See `Piece`.
    effects : tuple of (C, D, q, k), or None
    seed : int
        Entropy behind every random number.
    burnin, thin : int
        Iterations left out at the beginning (a multiple of thin); kept is every thin-th.
    plan : Plan
    states : tuple of State
        Where each chain is, for going on; with `surplus`, draws it has beyond D, which were not asked for.
    blocks : tuple of int
        Blocks each chain has run.
    facts : mapping of str to (C,)
        Sums of the pieces' facts over the blocks that have a kept draw.
    interrupted : bool
        Ctrl-C ended the run: D is what every chain had reached.
    folder : str or None
        Where the draws are on disk; `effects` are memory-mapped from there.
    """

    par: Float
    theta: Float
    beta: Float
    lp: Float
    loglik: Float
    effects: tuple[Float, ...] | None
    seed: int
    burnin: int
    thin: int
    plan: Any
    states: tuple[State, ...]
    surplus: tuple[Piece, ...]
    blocks: tuple[int, ...]
    facts: Mapping[str, Float]
    interrupted: bool = False
    folder: str | None = None

    @property
    def chains(self) -> int:
        return self.par.shape[0]

    @property
    def count(self) -> int:
        """Draws of each chain."""
        return self.par.shape[1]


def block_rng(seed: int, chain: int, block: int) -> np.random.Generator:
    """Random numbers of one block; block −1 is the chain's beginning."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(chain, block + 1)))
