"""A plan whose draws say where they come from, and models small enough to be sampled in no time."""

import os
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

import numpy as np

from mixedvc.likelihood.choose import choose
from mixedvc.priors.resolve import resolve
from mixedvc.sampling.base import ROWS, Piece
from mixedvc.sampling.target import Target
from mixedvc.testing import assemble


@cache
def target():
    """One way, six groups of five."""
    spec = assemble.one_way(6, 5, seed=1)
    return Target(spec, choose(spec, purpose="sample", name="dense")[0], resolve(spec, None))


@dataclass(frozen=True)
class Counting:
    """A random walk that keeps count of its iterations in `lp`; it may stop at a block in several ways."""

    block: int = 10
    thin: int = 1
    how: str = ""
    when: int = 3
    name: ClassVar[str] = "counting"
    burnin: ClassVar[int] = 0

    def scheme(self, target):
        return Walk(self)

    def describe(self):
        return "counting"


class Walk:
    def __init__(self, plan):
        self.plan, self.block, self.calls = plan, plan.block, 0

    def begin(self, rng):
        return {"at": np.array([0.0, 0.0, rng.standard_normal()])}  # iterations, blocks, where

    def advance(self, state, rng):
        count, blocks, x = state["at"]
        self.calls += 1
        stop = self.plan.how if blocks == self.plan.when else ""
        if stop == "interrupt":
            raise KeyboardInterrupt
        if stop == "die":
            os._exit(9)
        steps = 0.1 * rng.standard_normal(self.block * self.plan.thin)
        walk = x + np.cumsum(steps)
        kept = walk[self.plan.thin - 1 :: self.plan.thin]
        if stop == "nan":
            kept = np.where(np.arange(self.block) == 4, np.nan, kept)
        iteration = count + self.plan.thin * np.arange(1, self.block + 1)
        theta = np.exp(np.stack([kept, -kept], axis=1))
        if stop in ROWS:  # one quantity alone is not finite
            iteration = np.where(np.arange(self.block) == 4, np.inf, iteration) if stop == "lp" else iteration
            kept = np.where(np.arange(self.block) == 4, np.nan, kept) if stop in ("loglik", "beta") else kept
        piece = Piece(theta, theta, kept[:, None], iteration, kept, None, {"iterations": float(len(steps))})
        return piece, {"at": np.array([count + len(steps), blocks + 1, walk[-1]])}
