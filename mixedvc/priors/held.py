"""A term's Σ given, not estimated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..structures.base import Structure
from .base import priors
from .numbers import covariance, plain, size_of

Float = NDArray[np.float64]


@priors.register("fixed")
@dataclass(frozen=True)
class Fixed:
    """Σ held at `value`: MCMCglmm's ``fix=1``.

    Parameters
    ----------
    value : float, (k,), (k, k) or (n_par,)
        A variance; variances of independent effects; a covariance matrix; of a patterned structure its parameters.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.Fixed(1.0)
    Fixed(value=1.0)
    """

    value: Any
    kind: ClassVar[str] = "fixed"

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", plain(self.value, "Fixed: value"))

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundFixed:
        return BoundFixed(structure, _parameters(np.asarray(self.value), structure, where))


def _parameters(value: Float, structure: Structure, where: str) -> Float:
    k, what = structure.k, f"priors[{where!r}]: Fixed: value"
    if not structure.linear:
        if value.shape == (k, k) and k > 1:
            Sigma = covariance(value, k, what, f"{where!r} has {k} effects")
            par = structure.start(Sigma)
            if not np.allclose(structure.build(par), Sigma, rtol=1e-8, atol=1e-10):
                raise OptionError(f"{what} is no matrix of the structure {structure.name!r}")
            return np.asarray(par, dtype=np.float64)
        lower, upper = structure.bounds()
        if value.shape != (structure.n_par,):
            raise OptionError(
                f"{what} is {size_of(value) or 'one number'}, but {structure.name!r} of {k} effects has "
                f"{structure.n_par} parameters: give those, or the {k}×{k} matrix"
            )
        if ((value <= lower) | (value >= upper)).any():
            raise OptionError(f"{what}: parameters of {structure.name!r} outside their bounds")
        return value
    Sigma = covariance(value, k, what, f"{where!r} has {k} effect{'s' if k > 1 else ''}")
    par = np.asarray(structure.start(Sigma), dtype=np.float64)
    if not np.allclose(structure.build(par), Sigma, rtol=1e-12, atol=0.0):
        raise OptionError(f"{what} has covariances, but {where!r} has none ({structure.name!r})")
    return par


@dataclass(frozen=True)
class BoundFixed:
    """See `Fixed`."""

    structure: Structure
    held: Float
    proper: ClassVar[bool] = True

    def logpdf(self, par: Float) -> Float:
        """Nothing is uncertain: zero at the value, −∞ elsewhere."""
        same = np.isclose(par, self.held, rtol=1e-9, atol=0.0).all(axis=1)
        return np.where(same, 0.0, -np.inf)

    def draw(self, rng: np.random.Generator) -> Float:
        return self.held.copy()

    def auxiliary(self, rng: np.random.Generator) -> Float:
        return np.empty(0)

    def update(self, S: Float, count: int, auxiliary: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        return self.held.copy(), auxiliary

    def describe(self) -> str:
        shown = ", ".join(f"{v:g}" for v in self.held) if len(self.held) <= 6 else f"{len(self.held)} parameters"
        return f"held at {shown}"
