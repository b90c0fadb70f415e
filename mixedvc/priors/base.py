"""The contract of a prior: what is believed of one term's Σ, or of the fixed effects, before the data are seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..registry import Registry
from ..structures.base import Structure

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Tail:
    """How an improper prior behaves where variances of some effects grow or vanish: p(v) ~ v^{up − 1} and v^{down − 1}.

    A bound prior that is not proper has a method ``tails()`` with one for each direction, so that it can be told
    whether the posterior is proper (`propriety`).
    """

    effects: tuple[int, ...]
    up: float
    down: float


class BoundPrior(Protocol):
    """A prior on the parameters of one structure: densities with respect to the structure's own parameters."""

    @property
    def structure(self) -> Structure: ...

    @property
    def proper(self) -> bool:
        """Whether it integrates to one; `logpdf` then has its constant."""
        ...

    @property
    def held(self) -> Float | None:
        """(n_par,) where the parameters are given, not estimated; else None."""
        ...

    def logpdf(self, par: Float) -> Float:
        """(K,) log density at each row of `par` (K, n_par), −∞ outside the support."""
        ...

    def draw(self, rng: np.random.Generator) -> Float:
        """(n_par,) one draw; raises OptionError where the prior is improper."""
        ...

    def describe(self) -> str:
        """As the summary prints it: ``inverse Wishart, V = 1, nu = 0.002``."""
        ...


@runtime_checkable
class HasUpdate(Protocol):
    """A bound prior under which Σ can be drawn given the effects, perhaps with auxiliary variables of its own.

    Effects enter as `S` (k, k) = uᵀA⁻¹u and `count`, the number of independent rows in it (rank of A).
    """

    def auxiliary(self, rng: np.random.Generator) -> Float:
        """Auxiliary variables to start from, (0,) where there are none."""
        ...

    def update(self, S: Float, count: int, auxiliary: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        """Parameters drawn from p(Σ | u, auxiliary), then the auxiliary variables given Σ."""
        ...


class Prior(Protocol):
    """What users write: a frozen dataclass of plain numbers that validates itself and can be stored."""

    kind: ClassVar[str]

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        """The prior for a structure.

        Parameters
        ----------
        structure : Structure
        where : str
            Name of the term, for messages.
        scale : (k,), optional
            Standard deviations to expect of each effect, from the data: taken where the user left a scale open.
        effects : sequence of str
            Names of the k effects, by which priors of single effects are found.

        Raises
        ------
        OptionError
            Naming `where`, where the prior does not fit (V of another size, …).
        """
        ...


priors: Registry[Any] = Registry("prior", "mixedvc.priors")
