"""Inverse Wishart prior of a covariance matrix, in MCMCglmm's parameters V and nu."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import multigammaln

from ..errors import OptionError
from ..structures.base import Structure
from .base import priors

Float = NDArray[np.float64]


@priors.register("inverse_wishart")
@dataclass(frozen=True)
class InverseWishart:
    """Σ ~ IW with density ∝ |Σ|^{−(ν+k+1)/2} exp(−½ tr(ν V Σ⁻¹)): MCMCglmm's ``list(V=, nu=)``.

    Parameters
    ----------
    V : float or (k, k)
        Expected covariance at large nu; a number stands for V times the identity.
    nu : float
        Degree of belief; proper where nu > k − 1.
    """

    V: Any = 1.0
    nu: float = 0.002
    kind: ClassVar[str] = "inverse_wishart"

    def bind(self, structure: Structure, where: str) -> BoundInverseWishart:
        if structure.name != "us":
            raise OptionError(f"priors[{where!r}]: an inverse Wishart prior is for 'us', not {structure.name!r}")
        V = np.asarray(self.V, dtype=np.float64)
        return BoundInverseWishart(structure, V * np.eye(structure.k) if V.ndim == 0 else V, float(self.nu))


@dataclass(frozen=True)
class BoundInverseWishart:
    """See `InverseWishart`."""

    structure: Structure
    V: Float
    nu: float
    held: ClassVar[None] = None

    @property
    def proper(self) -> bool:
        return self.nu > self.structure.k - 1

    @cached_property
    def _constant(self) -> float:
        if not self.proper:
            return 0.0
        k, nu = self.structure.k, self.nu
        return float(0.5 * nu * np.linalg.slogdet(nu * self.V)[1] - 0.5 * nu * k * np.log(2) - multigammaln(nu / 2, k))

    def logpdf(self, par: Float) -> Float:
        Sigma = np.stack([self.structure.build(row) for row in par])
        sign, logdet = np.linalg.slogdet(Sigma)
        with np.errstate(all="ignore"):
            trace = np.array([np.trace(np.linalg.solve(S, self.nu * self.V)) for S in Sigma])
        out = self._constant - 0.5 * (self.nu + self.structure.k + 1) * logdet - 0.5 * trace
        return np.where(sign > 0, out, -np.inf)

    def draw(self, rng: np.random.Generator) -> Float:
        if not self.proper:
            raise OptionError("this prior is improper: nothing can be drawn from it")
        return self.update(np.zeros((self.structure.k,) * 2), 0, np.empty(0), rng)[0]

    def auxiliary(self, rng: np.random.Generator) -> Float:
        return np.empty(0)

    def update(self, S: Float, count: int, auxiliary: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        from scipy.stats import invwishart

        Sigma = np.atleast_2d(invwishart.rvs(self.nu + count, self.nu * self.V + S, random_state=rng))
        return self.structure.start(Sigma), auxiliary

    def describe(self) -> str:
        return f"inverse Wishart, nu = {self.nu:g}"
