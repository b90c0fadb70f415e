"""What a progress bar says of running chains: iterations, and effective draws a second of the worst parameter.

The effective number comes from means of batches of blocks, which costs next to nothing; results use ArviZ's.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress
from .base import Piece

Float = NDArray[np.float64]
_BATCHES = 20  # of each chain, at least, for a number to be shown


class Watch:
    """Looks at kept draws of θ as they come."""

    def __init__(self, progress: Progress | None, iterations: int, chains: int):
        self._progress, self._since, self._shown = progress, time.monotonic(), 0.0
        self._means: list[list[Float]] = [[] for _ in range(chains)]
        self._squares: list[list[Float]] = [[] for _ in range(chains)]
        self._length = 0
        if progress is not None:
            progress.expect(iterations)

    def saw(self, chain: int, iterations: int, piece: Piece | None) -> None:
        """Another segment of a chain is done."""
        if piece is not None and len(piece):
            self._means[chain].append(piece.theta.mean(axis=0))
            self._squares[chain].append(np.mean(piece.theta**2, axis=0))
            self._length = len(piece)
        if self._progress is None:
            return
        now, facts = time.monotonic(), {}
        if now - self._shown > 1.0 and (ess := self.ess()) is not None:
            facts, self._shown = {"ESS/s": f"{ess / (now - self._since):.3g}"}, now
        self._progress.step(iterations, **facts)

    def ess(self) -> float | None:
        """Effective draws of all chains of the worst parameter that moves; None while there are too few."""
        counts = [len(means) for means in self._means]
        size = min(counts) // _BATCHES
        if size < 1:
            return None
        within, between = [], []
        for means, squares in zip(self._means, self._squares, strict=True):
            use = len(means) // size * size
            batch = np.array(means[:use]).reshape(-1, size, len(means[0])).mean(axis=1)
            between.append(batch.var(axis=0, ddof=1))
            within.append(np.mean(squares, axis=0) - np.mean(means, axis=0) ** 2)
        spread, noise = np.mean(within, axis=0), np.mean(between, axis=0)
        moves = (spread > 0) & (noise > 0)
        if not moves.any():
            return None
        draws = sum(counts) * self._length
        return float(min(np.min(spread[moves] / noise[moves]) * sum(counts) / size, draws))
