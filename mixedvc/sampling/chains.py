"""Several chains of one plan, run and gone on with: in this process or in others, to memory or to disk.

A chain is a sequence of blocks; its state passes through here between them, so that any process may run the next ones.
The chain that is furthest behind is always next: an interruption cuts little off the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..linalg.memory import require
from ..linalg.processes import Crew, cores, is_worker
from ..linalg.threads import blas_threads
from ..progress import Progress
from .base import ROWS, Draws, Piece, State, piece_of
from .chains_segments import Job, Reached, Segment, advance, joined, ready, total
from .chains_watch import Watch
from .target import Target

Float = NDArray[np.float64]
_SHORT = 8.0  # seconds of work left below which new processes (a second or two to start) are not worth it
_SEGMENT = 0.3  # seconds of a segment in another process: bars move, sending costs nothing beside it


@dataclass(frozen=True)
class Run:
    """What was asked for.

    Attributes
    ----------
    draws : int
        Kept of each chain.
    burnin, thin : int
        Iterations left out first, rounded up to a multiple of `thin`; every `thin`-th is kept.
    chains, seed : int
    workers : int or None
        Processes; None decides when it is known how long a block takes.
    save_random : bool
        Keep the random effects of every draw.
    """

    draws: int
    burnin: int
    thin: int
    chains: int
    seed: int
    workers: int | None = 1
    save_random: bool = False

    @property
    def skip(self) -> int:
        """Rows of every chain that are burn-in."""
        return -(-self.burnin // self.thin)


@dataclass(frozen=True)
class At:
    """Where a chain is: blocks run, rows kept, its state (None before its beginning), sums of facts."""

    blocks: int = 0
    kept: int = 0
    state: State | None = None
    facts: Mapping[str, float] = field(default_factory=dict)


class Sink(Protocol):
    """Where kept rows go: memory, or a folder (`store.Folder`)."""

    folder: str | None

    def reserve(self, rows: int) -> None:
        """So many rows of each chain will come, perhaps a few more."""
        ...

    def put(self, chain: int, row: int, piece: Piece) -> None:
        """Rows `row`, … of a chain."""
        ...

    def safe(self, at: list[At]) -> None:
        """Called after every segment: a time to write down where the chains are."""
        ...

    def finish(self, at: list[At]) -> None:
        """No more rows come."""
        ...

    def take(self, count: int, kept: list[int]) -> tuple[dict[str, Float], tuple[Float, ...] | None, list[Piece]]:
        """Arrays (C, count, …) by name, the effects, and what each chain has beyond `count`."""
        ...


class Memory:
    """Kept rows in memory."""

    folder: str | None = None

    def __init__(self, chains: int):
        self._pieces: list[list[Piece]] = [[] for _ in range(chains)]

    def reserve(self, rows: int) -> None:
        """Nothing: lists grow."""

    def put(self, chain: int, row: int, piece: Piece) -> None:
        self._pieces[chain].append(piece)

    def safe(self, at: list[At]) -> None:
        """Nothing: what is in memory is lost with the process."""

    def finish(self, at: list[At]) -> None:
        """Nothing is open."""

    def take(self, count: int, kept: list[int]) -> tuple[dict[str, Float], tuple[Float, ...] | None, list[Piece]]:
        # an interruption may have come between `put` and the note that the rows count: such rows, the last, are cut off
        whole = [joined(mine) for mine in self._pieces]
        rows = {name: np.stack([getattr(piece, name)[:count] for piece in whole]) for name in ROWS}
        effects = None
        if whole[0].effects is not None:
            terms = range(len(whole[0].effects))
            effects = tuple(np.stack([p.effects[i][:count] for p in whole if p.effects]) for i in terms)
        surplus = [piece.rows(slice(count, n)) for piece, n in zip(whole, kept, strict=True)]
        return rows, effects, [replace(copied(piece), facts={}) for piece in surplus]


def copied(piece: Piece) -> Piece:
    """The piece with memory of its own: a view would keep all the draws it comes from."""
    effects = None if piece.effects is None else tuple(u.copy() for u in piece.effects)
    return piece_of({name: getattr(piece, name).copy() for name in ROWS}, effects, piece.facts)


def run(target: Target, plan: Any, asked: Run, progress: Progress | None = None, sink: Sink | None = None) -> Draws:
    """All chains from their beginning.

    Raises
    ------
    KeyboardInterrupt
        Where it came before every chain had a kept draw; later the draws there are are returned, `interrupted`.
    ConvergenceError
        A draw that is not finite; the message says where, and in which file the chain's state is.
    """
    job = Job(target, plan, asked.seed, asked.thin, asked.skip, asked.save_random)
    if sink is None:
        _check_memory(job, asked)
    kept = Memory(asked.chains) if sink is None else sink
    at = [At() for _ in range(asked.chains)]
    return _Runner(job, kept, at, asked.draws, progress).draws(asked.workers)


def extend(
    target: Target,
    draws: Draws,
    more: int,
    workers: int | None = None,
    progress: Progress | None = None,
    sink: Sink | None = None,
) -> Draws:
    """The chains of `draws` gone on with until each has `more` draws more: those a longer run would have had."""
    job = Job(target, draws.plan, draws.seed, draws.thin, -(-draws.burnin // draws.thin), draws.effects is not None)
    kept = _memory_of(draws) if sink is None else sink
    at = []
    for chain, surplus in enumerate(draws.surplus):
        facts = {name: float(values[chain]) for name, values in draws.facts.items()}
        at.append(At(draws.blocks[chain], draws.count + len(surplus), draws.states[chain], facts))
    return _Runner(job, kept, at, draws.count + more, progress).draws(workers)


def _memory_of(draws: Draws) -> Memory:
    """The rows there are, as they were kept."""
    memory = Memory(draws.chains)
    for chain, surplus in enumerate(draws.surplus):
        effects = None if draws.effects is None else tuple(u[chain] for u in draws.effects)
        memory.put(chain, 0, piece_of({name: getattr(draws, name)[chain] for name in ROWS}, effects))
        memory.put(chain, draws.count, surplus)
    return memory


def _check_memory(job: Job, asked: Run) -> None:
    spec = job.target.spec
    width = len(spec.index) + spec.p + 2 + sum(t.structure.n_par for t in spec.all_terms)
    effects = sum(t.q * t.k for t in spec.terms) if asked.save_random else 0
    require(
        8 * 2 * asked.chains * asked.draws * (width + effects),
        f"keeping {asked.draws:,} draws of {asked.chains} chains" + (" with their random effects" * bool(effects)),
        "Give store='folder' to write them to disk"
        + (", or leave save_random out: effects can be drawn later" * bool(effects)),
    )


class _Runner:
    """Chains on their way to `need` kept rows each; `at[c]` is replaced whole, so an interruption finds it sound."""

    def __init__(self, job: Job, sink: Sink, at: list[At], need: int, progress: Progress | None):
        self.job, self.sink, self.at, self.need = job, sink, at, need
        self.ready = ready(job)
        self.block = self.ready.scheme.block
        self.seconds = [0.0, 0]  # spent in segments, blocks in them
        iterations = sum(self._left(c) for c in range(len(at))) * self.block * job.thin
        self.watch = Watch(progress, iterations, len(at))

    def draws(self, workers: int | None) -> Draws:
        """Run, and what came of it."""
        interrupted = False
        self.sink.reserve(self.need)
        try:
            with blas_threads(1):  # as in other processes: the same bits
                self._run(workers)
        except KeyboardInterrupt:
            if min(at.kept for at in self.at) < 1:
                raise
            interrupted = True
        finally:
            self.sink.finish(self.at)
        return self._made(interrupted)

    def _left(self, chain: int) -> int:
        """Blocks that a chain still has to run."""
        at = self.at[chain]
        return max(0, -(-(self.job.skip + self.need) // self.block) - at.blocks)

    def _run(self, workers: int | None) -> None:
        everything = range(len(self.at))
        if workers is not None and min(workers, len(self.at)) > 1:
            self._elsewhere(min(workers, len(self.at)))
            return
        while any(self._left(c) for c in everything):
            if workers is None and self._is_long():
                self._elsewhere(min(cores(), len(self.at)))
                return
            chain = min((c for c in everything if self._left(c)), key=lambda c: self.at[c].blocks)
            self._took(chain, 1, advance(self.ready, self._segment(chain, 1)))

    def _is_long(self) -> bool:
        """Whether what is left is worth starting processes for."""
        seconds, blocks = self.seconds
        if not blocks or min(cores(), len(self.at)) < 2 or is_worker():
            return False
        return seconds / blocks * sum(self._left(c) for c in range(len(self.at))) > _SHORT

    def _segment(self, chain: int, count: int) -> Segment:
        return Segment(chain, self.at[chain].blocks, count, self.at[chain].state)

    def _took(self, chain: int, count: int, reached: Reached) -> None:
        """A segment's rows are filed, then the chain is where it ended."""
        at, piece = self.at[chain], reached.piece
        kept, facts = 0, dict(at.facts)
        if piece is not None:
            kept, facts = len(piece), total([at.facts, piece.facts])
            self.sink.put(chain, at.kept, replace(piece, facts={}))
        self.at[chain] = At(at.blocks + count, at.kept + kept, reached.state, facts)
        self.seconds = [self.seconds[0] + reached.seconds, self.seconds[1] + count]
        self.sink.safe(self.at)
        self.watch.saw(chain, count * self.block * self.job.thin, piece)

    def _elsewhere(self, workers: int) -> None:
        """Segments in other processes, one of each chain at a time."""
        crew: Crew[tuple[int, int], Reached] = Crew(ready, self.job.light(), workers)
        with crew:
            idle = set(range(len(self.at)))
            while True:
                for chain in sorted((c for c in idle if self._left(c)), key=lambda c: self.at[c].blocks):
                    if len(crew) >= workers:
                        break
                    count = self._count(chain)
                    crew.give((chain, count), advance, self._segment(chain, count))
                    idle.discard(chain)
                if not len(crew):
                    return
                (chain, count), reached = crew.next()
                idle.add(chain)
                self._took(chain, count, reached)

    def _count(self, chain: int) -> int:
        """Blocks of the next segment: a part of a second's work, all that is left at most."""
        seconds, blocks = self.seconds
        return min(self._left(chain), max(1, int(_SEGMENT * blocks / seconds)) if seconds > 0 else 1)

    def _made(self, interrupted: bool) -> Draws:
        kept = [at.kept for at in self.at]
        count = min(self.need, *kept)
        rows, effects, surplus = self.sink.take(count, kept)
        names = list(dict.fromkeys(name for at in self.at for name in at.facts))
        return Draws(
            **rows,
            effects=effects,
            seed=self.job.seed,
            burnin=self.job.skip * self.job.thin,
            thin=self.job.thin,
            plan=self.job.plan,
            states=tuple(at.state or {} for at in self.at),
            surplus=tuple(surplus),
            blocks=tuple(at.blocks for at in self.at),
            facts={name: np.array([at.facts.get(name, 0.0) for at in self.at]) for name in names},
            interrupted=interrupted,
            folder=self.sink.folder,
        )
