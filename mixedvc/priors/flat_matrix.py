"""Flat priors of an unstructured Σ: over its entries, or over correlations and (log) standard deviations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..structures.base import Structure
from .base import Tail
from .matrices import draw_inverse_wishart, matrices, parameters_of

Float = NDArray[np.float64]


@dataclass(frozen=True)
class BoundFlat:
    """p(Σ) ∝ 1 ("variance"), Π σ_i^{−k} ("sd": flat in σ and R) or Π σ_i^{−k−1} ("log")."""

    structure: Structure
    on: str
    words: str
    held: ClassVar[None] = None
    proper: ClassVar[bool] = False

    def logpdf(self, par: Float) -> Float:
        M = matrices(self.structure, par)
        k = self.structure.k
        if self.on == "variance":
            return M.inside(np.zeros(len(par)))
        logs = np.log(M.variances).sum(axis=1)
        if self.on == "log":
            return M.inside(-0.5 * (k + 1) * logs)
        return M.inside(-0.5 * k * logs - k * np.log(2.0))

    def draw(self, rng: np.random.Generator) -> Float:
        raise OptionError(f"nothing can be drawn from an improper prior ({self.describe()})")

    def tails(self) -> tuple[Tail, ...]:
        """See `propriety`."""
        k = self.structure.k
        up, down = {"variance": (float(k), 1.0), "sd": (0.5, 0.5), "log": (0.0, 0.0)}[self.on]
        return tuple(Tail((a,), up, down) for a in range(k))

    def describe(self) -> str:
        return self.words if self.on == "variance" else f"{self.words}, flat correlations"


@dataclass(frozen=True)
class ConjugateFlat(BoundFlat):
    """Flat over the entries of Σ, which given effects is inverse Wishart with count − k − 1 degrees of freedom."""

    def auxiliary(self, rng: np.random.Generator) -> Float:
        return np.empty(0)

    def update(self, S: Float, count: int, auxiliary: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        k = self.structure.k
        if count - k - 1 <= k - 1:
            raise OptionError(f"a flat prior of a {k}×{k} Σ needs more than {2 * k} levels; there are {count}")
        return parameters_of(self.structure, draw_inverse_wishart(count - k - 1.0, S, rng)), auxiliary


def bound_flat(structure: Structure, on: str, words: str) -> BoundFlat:
    """With `update` where there is one."""
    return (ConjugateFlat if on == "variance" else BoundFlat)(structure, on, words)
