"""A prior of Σ stated for other effects: Σ = T S Tᵀ, S with the prior, T given."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from ..structures.base import Structure
from .base import BoundPrior
from .matrices import parameters_of

Float = NDArray[np.float64]


@dataclass(frozen=True)
class BoundTurned:
    """`inner` is the prior of S; dΣ = |T|^{k+1} dS.

    Attributes
    ----------
    structure : Structure
        Unstructured.
    inner : BoundPrior
        Proper.
    T : (k, k)
        Effects u = T s.
    words : str
        What s are.
    """

    structure: Structure
    inner: BoundPrior
    T: Float
    words: str
    proper: ClassVar[bool] = True
    held: ClassVar[None] = None

    @cached_property
    def _inverse(self) -> Float:
        return la.small_solve(self.T, np.eye(len(self.T)))

    @cached_property
    def _log_jacobian(self) -> float:
        return -(len(self.T) + 1.0) * float(np.log(np.abs(np.diagonal(la.small_qr(self.T)[1]))).sum())

    def logpdf(self, par: Float) -> Float:
        a, b = np.array(self.structure.pairs).T
        Sigma = np.zeros((len(par), len(self.T), len(self.T)))
        Sigma[:, a, b] = Sigma[:, b, a] = par
        S = self._inverse @ Sigma @ self._inverse.T
        return self.inner.logpdf(S[:, a, b]) + self._log_jacobian

    def draw(self, rng: np.random.Generator) -> Float:
        S = self.structure.build(self.inner.draw(rng))
        return parameters_of(self.structure, self.T @ S @ self.T.T)

    def describe(self) -> str:
        return f"{self.inner.describe()}, {self.words}"
