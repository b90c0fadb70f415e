"""Every variance parameter is given: the posterior of β is normal, and its draws are independent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .base import Piece, State
from .target import Target


@dataclass(frozen=True)
class HeldPlan:
    """Independent draws; there is nothing to plan."""

    block: int = 1000
    name: ClassVar[str] = "held"
    burnin: ClassVar[int] = 0

    def scheme(self, target: Target) -> Held:
        return Held(self, target)

    def describe(self) -> str:
        return "independent draws: every variance parameter is given"


class Held:
    """β from its posterior at the one θ."""

    def __init__(self, plan: HeldPlan, target: Target):
        self.block, self._target = plan.block, target
        self._at = target.at(np.zeros((1, 0)))

    def begin(self, rng: np.random.Generator) -> State:
        return {}

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        at = self._at.take(np.zeros(self.block, dtype=np.intp))
        facts = {"iterations": float(self.block), "accepted": float(self.block)}
        return Piece(at.par, at.theta, self._target.draw_beta(at.at, rng), at.lp_par, at.at.loglik, None, facts), state
