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

    A structure of the residual may have several entries of Σ share a linear parameter: its `pattern` (k, k) then has
    the number of the parameter of every entry (−1 for an entry that is zero), and `pairs` the first entry of each.

    Two more are optional: `kinds`, what each parameter is ("variance" | "correlation" | "loading") where the names do
    not tell; and `scaled(par, d)`, the parameters of D Σ D, where every such matrix is a member.
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


def all_pairs(k: int) -> tuple[tuple[int, int], ...]:
    """Every entry (a, b), a ≤ b, of a k×k Σ: column by column of the lower triangle."""
    return tuple((a, b) for a in range(k) for b in range(a, k))


def sigma_of(structure: Structure, theta: Float) -> Float:
    """Σ (k×k) from the structure's linear parameters."""
    pattern = pattern_of(structure)
    if pattern is not None:
        return np.append(theta, 0.0)[pattern]
    Sigma = np.zeros((structure.k, structure.k))
    for value, (a, b) in zip(theta, structure.pairs, strict=True):
        Sigma[a, b] = Sigma[b, a] = value
    return Sigma


def pattern_of(structure: Structure) -> NDArray[np.intp] | None:
    """(k, k) the linear parameter of each entry of Σ where entries share them; None where each has its own."""
    return getattr(structure, "pattern", None)


def entries_of(structure: Structure, j: int) -> list[tuple[int, int]]:
    """Entries (a, b), a ≤ b, of Σ that are linear parameter `j`."""
    pattern = pattern_of(structure)
    if pattern is None:
        return [structure.pairs[j]]
    first, second = np.nonzero(np.triu(pattern == j))
    return list(zip(first.tolist(), second.tolist(), strict=True))


structures: Registry[Any] = Registry("structure", "mixedvc.structures")
