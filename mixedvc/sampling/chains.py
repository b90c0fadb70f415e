"""Several chains of one plan, run and gone on with: blocks in order, kept draws, what is left over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..progress import Progress
from .base import Draws, Piece, Scheme, State, block_rng
from .target import Target


@dataclass(frozen=True)
class Run:
    """What was asked for."""

    draws: int
    burnin: int
    thin: int
    chains: int
    seed: int


def run(target: Target, plan: Any, asked: Run, progress: Progress | None = None) -> Draws:
    """All chains, one after another, in this process."""
    scheme: Scheme = plan.scheme(target)
    burn = -(-asked.burnin // (scheme.block * asked.thin))
    need = -(-asked.draws // scheme.block)
    pieces: list[Piece] = []
    surplus: list[Piece] = []
    states: list[State] = []
    for chain in range(asked.chains):
        state = scheme.begin(block_rng(asked.seed, chain, -1))
        got: list[Piece] = []
        for block in range(burn + need):
            piece, state = scheme.advance(state, block_rng(asked.seed, chain, block))
            if block >= burn:
                got.append(piece)
                if progress is not None:
                    progress.step(scheme.block)
        whole = _joined(got)
        pieces.append(_rows(whole, slice(0, asked.draws)))
        surplus.append(_rows(whole, slice(asked.draws, None)))
        states.append(state)
    names = pieces[0].facts.keys()
    return Draws(
        *(np.stack([getattr(piece, f) for piece in pieces]) for f in ("par", "theta", "beta", "lp", "loglik")),
        effects=None,
        seed=asked.seed,
        burnin=asked.burnin,
        thin=asked.thin,
        plan=plan,
        states=tuple(states),
        surplus=tuple(surplus),
        blocks=(burn + need,) * asked.chains,
        facts={name: np.array([piece.facts[name] for piece in pieces]) for name in names},
    )


def _joined(pieces: list[Piece]) -> Piece:
    fields = (np.concatenate([getattr(piece, f) for piece in pieces]) for f in ("par", "theta", "beta", "lp", "loglik"))
    facts = {name: sum(piece.facts[name] for piece in pieces) for name in pieces[0].facts}
    return Piece(*fields, None, facts)


def _rows(piece: Piece, rows: slice) -> Piece:
    return Piece(
        piece.par[rows], piece.theta[rows], piece.beta[rows], piece.lp[rows], piece.loglik[rows], None, piece.facts
    )
