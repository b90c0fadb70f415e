"""Huang & Wand's (2013) prior of a covariance matrix: half-t standard deviations, conjugate through auxiliaries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, multigammaln

from ..errors import OptionError
from ..linalg import dense as la
from ..structures.base import Structure
from .base import BoundPrior, priors
from .inverse_wishart import show
from .laws import HalfTLaw, Law, inverse_gamma
from .matrices import draw_inverse_wishart, matrices, parameters_of
from .numbers import number, plain, vector
from .patterned import Patterned
from .variances import bound_variances, is_variances

Float = NDArray[np.float64]


@priors.register("huang_wand")
@dataclass(frozen=True)
class HuangWand:
    """Σ | a ~ IW with df + k − 1 degrees of freedom and scale 2 df diag(1/a), a_i ~ IG(½, 1/scale_i²).

    Each standard deviation is half-t with `df` degrees of freedom and its scale; with df = 2 every correlation is
    uniform on (−1, 1).  On scalar and ``diag`` terms it is `HalfT`.

    Parameters
    ----------
    df : float
    scale : float or (k,), optional
        Of the standard deviations; those of the data by default.

    References
    ----------
    Huang A, Wand MP (2013). Simple marginally noninformative prior distributions for covariance matrices. Bayesian
    Analysis 8, 439-452.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.HuangWand(2, scale=1.5)
    HuangWand(df=2.0, scale=1.5)
    """

    df: float = 2.0
    scale: Any = None
    kind: ClassVar[str] = "huang_wand"

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", number(self.df, "HuangWand: df", above=0.0))
        if self.scale is not None:
            object.__setattr__(self, "scale", plain(self.scale, "HuangWand: scale"))
            if not (np.asarray(self.scale) > 0).all():
                raise OptionError(f"HuangWand: scale={self.scale!r}: positive numbers are needed")

    def law(self, where: str, scale: float | None) -> Law:
        """The prior of one variance."""
        given = None if self.scale is None else float(vector(self.scale, 1, f"priors[{where!r}]: scale", "one")[0])
        if given is None and scale is None:
            raise OptionError(f"priors[{where!r}]: HuangWand() needs scale=, there are no data to take it from")
        return HalfTLaw(self.df, float(scale) if given is None else given)  # type: ignore[arg-type]

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        k = structure.k
        if self.scale is None and scale is None:
            raise OptionError(f"priors[{where!r}]: HuangWand() needs scale=, there are no data to take it from")
        of = f"{where!r} has {k} effect{'s' if k > 1 else ''}"
        A = np.asarray(scale) if self.scale is None else vector(self.scale, k, f"priors[{where!r}]: scale", of)
        if is_variances(structure):
            return bound_variances(structure, [HalfTLaw(self.df, float(s)) for s in A])
        if structure.name != "us":
            if np.ndim(self.scale):
                raise OptionError(f"priors[{where!r}]: HuangWand() with several scales is for free matrices")
            from .scalars import HalfT

            own = None if self.scale is None else float(self.scale)
            return Patterned(sd=HalfT(self.df, own)).bind(structure, where, scale, effects)
        return BoundHuangWand(structure, self.df, A)


@dataclass(frozen=True)
class BoundHuangWand:
    """See `HuangWand`; `scale` (k,).

    a integrates out: p(Σ) ∝ |Σ|^{−(ν+2k)/2} Π_i {ν (Σ⁻¹)_ii + 1/A_i²}^{−(ν+k)/2}.
    """

    structure: Structure
    df: float
    scale: Float
    proper: ClassVar[bool] = True
    held: ClassVar[None] = None

    @property
    def _wishart_df(self) -> float:
        return self.df + self.structure.k - 1.0

    @cached_property
    def _constant(self) -> float:
        k, d = self.structure.k, self._wishart_df
        own = 0.5 * d * np.log(self.df) - np.log(self.scale) - gammaln(0.5) + gammaln(0.5 * (d + 1.0))
        return float(own.sum() - multigammaln(0.5 * d, k))

    def logpdf(self, par: Float) -> Float:
        M = matrices(self.structure, par)
        k, nu = self.structure.k, self.df
        inner = np.log(nu * M.inverse_diagonal + self.scale**-2.0).sum(axis=1)
        return M.inside(self._constant - 0.5 * (nu + 2 * k) * M.logdet - 0.5 * (nu + k) * inner)

    def draw(self, rng: np.random.Generator) -> Float:
        scale = np.diag(2.0 * self.df / self.auxiliary(rng))
        return parameters_of(self.structure, draw_inverse_wishart(self._wishart_df, scale, rng))

    def auxiliary(self, rng: np.random.Generator) -> Float:
        return np.array([inverse_gamma(0.5, s**-2.0, rng) for s in self.scale])

    def update(self, S: Float, count: int, auxiliary: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        scale = np.diag(2.0 * self.df / auxiliary) + S
        Sigma = draw_inverse_wishart(self._wishart_df + count, scale, rng)
        rate = self.df * np.diagonal(la.stacked_inverse(Sigma)) + self.scale**-2.0
        shape = 0.5 * (self._wishart_df + 1.0)
        return parameters_of(self.structure, Sigma), np.array([inverse_gamma(shape, float(b), rng) for b in rate])

    def describe(self) -> str:
        return f"Huang-Wand, df = {self.df:g}, scale of the sds = {show(np.diag(self.scale))}"
