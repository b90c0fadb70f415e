"""Inverse Wishart prior of a covariance matrix, in MCMCglmm's parameters V and nu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import multigammaln

from ..errors import OptionError
from ..linalg.stacks import stacked_cholesky
from ..structures.base import Structure
from .base import BoundPrior, Tail, priors
from .laws import InverseGammaLaw, Law
from .matrices import draw_inverse_wishart, matrices, parameters_of
from .numbers import covariance, number, plain
from .variances import bound_variances, is_variances

Float = NDArray[np.float64]


@priors.register("inverse_wishart")
@dataclass(frozen=True)
class InverseWishart:
    """Σ ~ IW with density ∝ |Σ|^{−(ν+k+1)/2} exp(−½ tr(ν V Σ⁻¹)): MCMCglmm's ``list(V=, nu=)``.

    A scalar term has σ² ~ IG(ν/2, νV/2).  On a ``diag`` term (MCMCglmm's idh) each variance has that, with its own
    diagonal entry of V and the same ν.

    Parameters
    ----------
    V : float or (k, k)
        Expected covariance at large nu; a number stands for V times the identity.
    nu : float
        Degree of belief; proper where nu > k − 1 (on ``diag`` terms where nu > 0).
    improper : bool
        Says that a positive nu of k − 1 or less is meant; otherwise it is refused, as it usually is a slip
        (0.002 for two effects).  A nu of 0 or less is always taken as meant.  Either is accepted only where the
        posterior is proper.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.InverseWishart(V=1, nu=0.002)
    InverseWishart(V=1.0, nu=0.002, improper=False)
    """

    V: Any = 1.0
    nu: float = 0.002
    improper: bool = False
    kind: ClassVar[str] = "inverse_wishart"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nu", number(self.nu, "InverseWishart: nu"))
        object.__setattr__(self, "V", plain(self.V, "InverseWishart: V"))
        if not isinstance(self.improper, bool):
            raise OptionError(f"InverseWishart: improper={self.improper!r:.40}: True or False is needed")

    def law(self, where: str, scale: float | None) -> Law:
        """The prior of one variance."""
        V = float(covariance(self.V, 1, f"priors[{where!r}]: V", f"{where!r} has one variance here")[0, 0])
        return _law(V, self.nu)

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        k = structure.k
        V = covariance(self.V, k, f"priors[{where!r}]: V", f"{where!r} has {k} effect{'s' if k > 1 else ''}")
        if is_variances(structure):
            return bound_variances(structure, [_law(float(v), self.nu) for v in np.diagonal(V)])
        if structure.name != "us":
            raise OptionError(
                f"priors[{where!r}]: an inverse Wishart prior is for free matrices, not for {structure.name!r}: use "
                "Patterned(sd=HalfT()) or a prior of each variance, HalfT()"
            )
        if 0.0 < self.nu <= k - 1 and not self.improper:
            raise OptionError(
                f"priors[{where!r}]: nu = {self.nu:g} is too small for a {k}×{k} covariance matrix: it must be more "
                f"than {k - 1} for a proper prior, e.g. nu = {k - 1 + 0.002:g}; improper=True says that it is meant"
            )
        return BoundInverseWishart(structure, V, self.nu)


def _law(V: float, nu: float) -> InverseGammaLaw:
    return InverseGammaLaw(0.5 * nu, max(0.5 * nu * V, 0.0), f"inverse Wishart, V = {V:g}, nu = {nu:g}")


@dataclass(frozen=True)
class BoundInverseWishart:
    """See `InverseWishart`; `V` (k, k).  With nu ≤ 0 the scale matrix nu V counts as zero."""

    structure: Structure
    V: Float
    nu: float
    held: ClassVar[None] = None

    @property
    def proper(self) -> bool:
        return self.nu > self.structure.k - 1

    @cached_property
    def scale(self) -> Float:
        """(k, k) nu V."""
        return max(self.nu, 0.0) * self.V

    @cached_property
    def _constant(self) -> float:
        if not self.proper:
            return 0.0
        k, nu = self.structure.k, self.nu
        L = stacked_cholesky(self.scale[None])[0][0]
        logdet = 2.0 * float(np.log(np.diagonal(L)).sum())
        return 0.5 * nu * (logdet - k * np.log(2.0)) - float(multigammaln(0.5 * nu, k))

    def logpdf(self, par: Float) -> Float:
        M = matrices(self.structure, par)
        trace = np.einsum("nab,ab->n", M.inverse, self.scale)
        return M.inside(self._constant - 0.5 * (self.nu + self.structure.k + 1) * M.logdet - 0.5 * trace)

    def draw(self, rng: np.random.Generator) -> Float:
        if not self.proper:
            raise OptionError(f"nothing can be drawn from an improper prior ({self.describe()})")
        return parameters_of(self.structure, draw_inverse_wishart(self.nu, self.scale, rng))

    def auxiliary(self, rng: np.random.Generator) -> Float:
        return np.empty(0)

    def update(self, S: Float, count: int, auxiliary: Float, rng: np.random.Generator) -> tuple[Float, Float]:
        df, k = self.nu + count, self.structure.k
        if df <= k - 1:
            raise OptionError(f"nu = {self.nu:g} and {count} levels are too few for a {k}×{k} covariance matrix")
        return parameters_of(self.structure, draw_inverse_wishart(df, self.scale + S, rng)), auxiliary

    def tails(self) -> tuple[Tail, ...]:
        """See `propriety`: eigenvalues λ of Σ have λ^{k − 1 − (ν+k+1)/2} far out, λ^{−(ν+k+1)/2} near zero if V counts
        as zero."""
        k = self.structure.k
        down = np.inf if self.nu > 0.0 else 0.5 * (1.0 - k - self.nu)
        return tuple(Tail((a,), 0.5 * (k - 1.0 - self.nu), down) for a in range(k))

    def describe(self) -> str:
        return f"inverse Wishart, V = {show(self.V)}, nu = {self.nu:g}"


def show(V: Float) -> str:
    """``1``, ``2 I``, ``diag(1, 2)``, ``[[1, 0.5], [0.5, 2]]``."""
    d = np.diagonal(V)
    if len(V) == 1:
        return f"{d[0]:g}"
    if not (V - np.diag(d)).any():
        if (d == d[0]).all():
            return "I" if d[0] == 1.0 else f"{d[0]:g} I"
        return f"diag({', '.join(f'{v:g}' for v in d)})" if len(d) <= 6 else f"diag of {len(d)}"
    if len(V) > 4:
        return f"{len(V)}×{len(V)}"
    return "[" + ", ".join("[" + ", ".join(f"{v:g}" for v in row) + "]" for row in V) + "]"
