"""The contract of an unknown covariance Σ (k×k) among a term's effects: parameters ↦ Σ."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..registry import Registry

Float = NDArray[np.float64]


class Structure(Protocol):
    """Σ = build(par), one frozen object per term, made for its number of effects k.

    The likelihood only knows the linear parameters θ = Σ[pairs]; a structure maps its own parameters to them.
    """

    @property
    def name(self) -> str: ...
    @property
    def k(self) -> int: ...

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Entries (a, b), a ≤ b, of Σ that may be non-zero: column-major lower triangle order."""
        ...

    @property
    def linear(self) -> bool:
        """True where par is θ itself (us, diag)."""
        ...

    @property
    def n_par(self) -> int: ...

    def names(self, effects: tuple[str, ...]) -> tuple[tuple[str, str | None], ...]:
        """(effect, effect2) of each parameter as the variance table shows it; effect2 None for a variance."""
        ...

    def bounds(self) -> tuple[Float, Float]:
        """(lower, upper) of each parameter."""
        ...

    def start(self, Sigma: Float) -> Float:
        """Parameters of the member nearest to `Sigma`, strictly inside the bounds."""
        ...

    def build(self, par: Float) -> Float:
        """Σ (k×k)."""
        ...

    def gradient(self, par: Float) -> Float:
        """∂Σ/∂par, (n_par, k, k)."""
        ...


structures: Registry[Any] = Registry("structure", "mixedvc.structures")
