"""Some blocks of one chain in a row: what is sent to a process, what comes back, and what is checked on the way."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ConvergenceError
from ..linalg.dense import NotPositiveDefinite
from .base import ROWS, Piece, Scheme, State, block_rng, piece_of
from .effects import EffectSampler, effects_of
from .target import Target


@dataclass(frozen=True)
class Job:
    """What all chains have in common.

    Attributes
    ----------
    skip : int
        Rows of every chain that are burn-in.
    save_random : bool
        Whether kept rows carry their random effects.
    """

    target: Target
    plan: Any
    seed: int
    thin: int
    skip: int
    save_random: bool

    def light(self) -> Job:
        """Without what only new data would need: what is sent to other processes."""
        return replace(self, target=replace(self.target, spec=replace(self.target.spec, source=None)))


@dataclass(frozen=True)
class Segment:
    """`count` blocks of a chain from block `first` on; its beginning where `state` is None."""

    chain: int
    first: int
    count: int
    state: State | None


@dataclass(frozen=True)
class Reached:
    """What a segment gave: its kept rows (None within the burn-in), where the chain is now, and the seconds of work.

    Work is measured by the processor's clock: the wall's would call for processes on a busy machine, where they help
    least.
    """

    piece: Piece | None
    state: State
    seconds: float


@dataclass(frozen=True)
class Ready:
    """What a process makes once: the scheme, and what draws effects where they are kept."""

    job: Job
    scheme: Scheme
    effects: EffectSampler | None


def ready(job: Job) -> Ready:
    """The scheme of a job on its target."""
    effects = EffectSampler(job.target.likelihood) if job.save_random else None
    return Ready(job, job.plan.scheme(job.target), effects)


def advance(made: Ready, task: Segment) -> Reached:
    """The blocks of a segment, one after another."""
    job, scheme = made.job, made.scheme
    began, pieces = time.process_time(), []
    state = scheme.begin(block_rng(job.seed, task.chain, -1)) if task.state is None else task.state
    for block in range(task.first, task.first + task.count):
        piece, state = _block(job, scheme, task.chain, block, state)
        first = block * scheme.block - job.skip  # kept row of the block's first
        if first + len(piece) > 0:
            pieces.append(_with_effects(made, piece.rows(slice(max(-first, 0), None)), task.chain, max(first, 0)))
    return Reached(joined(pieces) if pieces else None, state, time.process_time() - began)


def _block(job: Job, scheme: Scheme, chain: int, block: int, state: State) -> tuple[Piece, State]:
    where = f"chain {chain + 1}, block {block}, after iteration {block * scheme.block * job.thin:,}"
    try:
        piece, after = scheme.advance(state, block_rng(job.seed, chain, block))
    except (NotPositiveDefinite, FloatingPointError, ZeroDivisionError) as error:
        raise ConvergenceError(_broken(where, f"{type(error).__name__}: {error}", state, job.seed)) from error
    for name in ROWS:
        values = getattr(piece, name)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
            what = f"draw {row + 1} of the block has a {name} that is not finite"
            raise ConvergenceError(_broken(where, what, state, job.seed))
    return piece, after


def _broken(where: str, what: str, state: State, seed: int) -> str:
    """Words for a chain that cannot go on, its state left in a file."""
    with tempfile.NamedTemporaryFile(prefix="mixedvc-state-", suffix=".npz", delete=False) as file:
        named: dict[str, Any] = {"seed": np.array(seed), **state}
        np.savez(file, **named)
    return (
        f"{where}: {what}. The state of the chain before the block is in {file.name!r}. A proper prior, or variables "
        "in units of their standard deviation, usually helps; scheme='collapsed' and scheme='conjugate' fail in "
        "different places"
    )


def _with_effects(made: Ready, piece: Piece, chain: int, first: int) -> Piece:
    """The piece with the random effects of its draws, kept rows `first`, …, where they are to be kept."""
    if made.effects is None:
        return replace(piece, effects=None)
    return replace(piece, effects=effects_of(made.effects, piece.theta, piece.beta, made.job.seed, chain, first))


def joined(pieces: list[Piece]) -> Piece:
    """Pieces of one chain in a row as one."""
    if len(pieces) == 1:
        return pieces[0]
    effects = None
    if pieces[0].effects is not None:
        terms = range(len(pieces[0].effects))
        effects = tuple(np.concatenate([piece.effects[i] for piece in pieces if piece.effects]) for i in terms)
    rows = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in ROWS}
    return piece_of(rows, effects, total([piece.facts for piece in pieces]))


def total(facts: list[Mapping[str, float]]) -> dict[str, float]:
    """Sums of facts, name by name."""
    out: dict[str, float] = {}
    for some in facts:
        for name, value in some.items():
            out[name] = out.get(name, 0.0) + value
    return out
