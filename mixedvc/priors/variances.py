"""Independent priors of variances: a scalar term, or the diagonal of a ``diag`` term, one law each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..structures.base import Structure
from .base import Tail
from .laws import ConjugateLaw, Law

Float = NDArray[np.float64]


@dataclass(frozen=True)
class BoundVariances:
    """One law for each parameter, which is a variance; no covariances."""

    structure: Structure
    laws: tuple[Law, ...]
    held: ClassVar[None] = None

    @property
    def proper(self) -> bool:
        return all(law.proper for law in self.laws)

    def logpdf(self, par: Float) -> Float:
        out = self.laws[0].logpdf(par[:, 0])
        for i, law in enumerate(self.laws[1:], 1):
            out = out + law.logpdf(par[:, i])
        return out

    def draw(self, rng: np.random.Generator) -> Float:
        return np.array([law.draw(rng) for law in self.laws])

    def tails(self) -> tuple[Tail, ...]:
        """See `propriety`."""
        return tuple(Tail((i,), law.far_out + 1.0, law.near_zero + 1.0) for i, law in enumerate(self.laws))

    def describe(self) -> str:
        words = [law.describe() for law in self.laws]
        return words[0] if len(set(words)) == 1 else "; ".join(words)


@dataclass(frozen=True)
class ConjugateVariances(BoundVariances):
    """Laws that can all be updated given the effects."""

    laws: tuple[ConjugateLaw, ...]

    def auxiliary(self, rng: np.random.Generator) -> Float:
        return np.array([law.auxiliary(rng) for law in self.laws if law.auxiliaries])

    def update(
        self, S: Float, count: int | NDArray[np.intp], auxiliary: Float, rng: np.random.Generator
    ) -> tuple[Float, Float]:
        """See `HasUpdate`; `count` may be one for each variance, (k,)."""
        counts = np.broadcast_to(count, len(self.laws))
        par, out, at = np.empty(len(self.laws)), np.empty(len(auxiliary)), 0
        for i, law in enumerate(self.laws):
            mine = auxiliary[at] if law.auxiliaries else np.nan
            par[i], new = law.update(float(S[i, i]), int(counts[i]), float(mine), rng)
            if law.auxiliaries:
                out[at], at = new, at + 1
        return par, out


def bound_variances(structure: Structure, laws: Sequence[Law]) -> BoundVariances:
    """With `update` where every law has one."""
    conjugate = all(hasattr(law, "update") for law in laws)
    return (ConjugateVariances if conjugate else BoundVariances)(structure, tuple(laws))  # type: ignore[arg-type]


def is_variances(structure: Structure) -> bool:
    """Whether the parameters are variances and nothing else, each its own."""
    return structure.name == "diag" or (structure.linear and structure.k == 1 and structure.n_par == 1)
