"""MCMCglmm's parameter-expanded prior: Σ = D_α W D_α with W inverse Wishart and α normal; α integrated out here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import multigammaln

from ..errors import OptionError
from ..linalg.stacks import stacked_cholesky, stacked_triangular_inverse
from ..structures.base import Structure
from .base import BoundPrior, priors
from .inverse_wishart import BoundInverseWishart, show
from .laws import ExpandedLaw, HalfTLaw, Law, log_power_integral
from .matrices import draw_inverse_wishart, matrices, parameters_of
from .normal_powers import log_mean_powers
from .numbers import covariance, number, plain, vector
from .variances import bound_variances, is_variances

Float = NDArray[np.float64]
MOST = 3  # effects up to which α is integrated out by quadrature


@priors.register("parameter_expanded")
@dataclass(frozen=True)
class ParameterExpanded:
    """Σ = D_α W D_α, W ~ IW(V, nu), α ~ N(alpha_mu, alpha_V): MCMCglmm's ``list(V=, nu=, alpha.mu=, alpha.V=)``.

    A scalar term has σ = |α| √W: half-t with nu degrees of freedom and scale √(alpha_V V) for alpha_mu = 0 (Gelman
    2006), a folded non-central t otherwise.  On a ``diag`` term each variance has its own, independent.

    Parameters
    ----------
    V : float or (k, k)
    nu : float
        More than k − 1 (on ``diag`` terms more than 0).
    alpha_mu : float or (k,)
    alpha_V : float, (k,) or (k, k)
        Covariance of α; a number stands for that times the identity.

    Notes
    -----
    The density of an unstructured Σ needs Π |α_i|^ν averaged over a normal α: exact for diagonal V and alpha_V, by
    quadrature for two and three effects with alpha_mu = 0.  For others only ``scheme="conjugate"`` samples, which
    keeps α.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.ParameterExpanded(V=1, nu=1, alpha_mu=0, alpha_V=1000)
    ParameterExpanded(V=1.0, nu=1.0, alpha_mu=0.0, alpha_V=1000.0)
    """

    V: Any = 1.0
    nu: float = 1.0
    alpha_mu: Any = 0.0
    alpha_V: Any = 1000.0
    kind: ClassVar[str] = "parameter_expanded"

    def __post_init__(self) -> None:
        object.__setattr__(self, "nu", number(self.nu, "ParameterExpanded: nu", above=0.0))
        for name in ("V", "alpha_mu", "alpha_V"):
            object.__setattr__(self, name, plain(getattr(self, name), f"ParameterExpanded: {name}"))

    def _numbers(self, k: int, where: str) -> tuple[Float, Float, Float]:
        of = f"{where!r} has {k} effect{'s' if k > 1 else ''}"
        V = covariance(self.V, k, f"priors[{where!r}]: V", of)
        mu = vector(self.alpha_mu, k, f"priors[{where!r}]: alpha_mu", of)
        return V, mu, covariance(self.alpha_V, k, f"priors[{where!r}]: alpha_V", of)

    def law(self, where: str, scale: float | None) -> Law:
        """The prior of one variance."""
        V, mu, B = self._numbers(1, where)
        return expanded_law(float(V[0, 0]), self.nu, float(mu[0]), float(B[0, 0]))

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        k = structure.k
        V, mu, B = self._numbers(k, where)
        if is_variances(structure):
            if (B - np.diag(np.diagonal(B))).any():
                raise OptionError(f"priors[{where!r}]: alpha_V must be diagonal where the effects are independent")
            each = zip(np.diagonal(V), mu, np.diagonal(B), strict=True)
            return bound_variances(structure, [expanded_law(float(v), self.nu, float(m), float(b)) for v, m, b in each])
        if structure.name != "us":
            raise OptionError(
                f"priors[{where!r}]: a parameter-expanded prior is for free matrices, not for {structure.name!r}: use "
                "Patterned(sd=HalfT()) or a prior of each variance, HalfT()"
            )
        if self.nu <= k - 1:
            raise OptionError(
                f"priors[{where!r}]: nu = {self.nu:g} is too small for a {k}×{k} covariance matrix: it must be more "
                f"than {k - 1}, e.g. nu = {k:g}"
            )
        return BoundExpanded(structure, V, self.nu, mu, B)


def expanded_law(V: float, nu: float, mu: float, B: float) -> Law:
    """σ = |α| √W of one variance."""
    words = f"parameter-expanded, V = {V:g}, nu = {nu:g}, alpha_mu = {mu:g}, alpha_V = {B:g}"
    return HalfTLaw(nu, float(np.sqrt(B * V)), words) if mu == 0.0 else ExpandedLaw(V, nu, mu, B)


@dataclass(frozen=True)
class BoundExpanded:
    """See `ParameterExpanded`: V (k, k), `alpha_mu` (k,), `alpha_V` (k, k).

    With Q = νV∘Σ⁻¹ + alpha_V⁻¹ the density is c |Σ|^{−(ν+k+1)/2} ∫ Π|α_i|^ν e^{−½ αᵀ(νV∘Σ⁻¹)α} N(α; μ, alpha_V) dα.
    """

    structure: Structure
    V: Float
    nu: float
    alpha_mu: Float
    alpha_V: Float
    proper: ClassVar[bool] = True
    held: ClassVar[None] = None

    @cached_property
    def inner(self) -> BoundInverseWishart:
        """The prior of W, which has an `update` given the effects η of u = D_α η."""
        return BoundInverseWishart(self.structure, self.V, self.nu)

    @cached_property
    def separate(self) -> bool:
        """Whether the integral is a product of one for each α_i."""
        return not any((A - np.diag(np.diagonal(A))).any() for A in (self.V, self.alpha_V))

    @property
    def closed(self) -> str:
        """Why there is no density to evaluate; empty where there is one."""
        k = self.structure.k
        if self.separate or (k <= MOST and not self.alpha_mu.any()):
            return ""
        what = f"{k} effects" if k > MOST else "alpha_mu other than zero"
        return (
            f"a parameter-expanded prior with {what} and a V or alpha_V that is not diagonal has no density that can "
            'be evaluated: use scheme="conjugate", which samples α'
        )

    @cached_property
    def _constant(self) -> float:
        k, nu = self.structure.k, self.nu
        L = stacked_cholesky((nu * self.V)[None])[0][0]
        logdet = 2.0 * float(np.log(np.diagonal(L)).sum())
        return 0.5 * nu * (logdet - k * np.log(2.0)) - float(multigammaln(0.5 * nu, k))

    @cached_property
    def _precision(self) -> tuple[Float, float]:
        """alpha_V⁻¹ and log|alpha_V|."""
        L = stacked_cholesky(self.alpha_V[None])[0]
        inverse = stacked_triangular_inverse(L)[0]
        return inverse.T @ inverse, 2.0 * float(np.log(np.diagonal(L[0])).sum())

    def logpdf(self, par: Float) -> Float:
        if self.closed:
            raise OptionError(self.closed)
        M = matrices(self.structure, par)
        out = self._constant - 0.5 * (self.nu + self.structure.k + 1) * M.logdet
        return M.inside(out + self._log_integral(M.inverse))

    def _log_integral(self, inverse: Float) -> Float:
        k, nu = self.structure.k, self.nu
        if self.separate:
            diagonal = nu * np.diagonal(self.V) * np.einsum("nii->ni", inverse)
            each = zip(diagonal.T, self.alpha_mu, np.diagonal(self.alpha_V), strict=True)
            return np.asarray(sum(log_power_integral(m, nu, float(mu), float(b)) for m, mu, b in each))
        precision, logdet = self._precision
        Q = nu * self.V * inverse + precision
        L, good = stacked_cholesky(Q)
        log_Q = 2.0 * np.log(np.einsum("nii->ni", L)).sum(axis=1)
        out = -0.5 * (logdet + log_Q) + log_mean_powers(Q, nu)
        return np.where(good, out, -np.inf) if k > 1 else out

    def draw(self, rng: np.random.Generator) -> Float:
        root = stacked_cholesky(self.alpha_V[None])[0][0]
        alpha = self.alpha_mu + root @ rng.standard_normal(len(root))
        W = draw_inverse_wishart(self.nu, self.nu * self.V, rng)
        return parameters_of(self.structure, alpha[:, None] * W * alpha)

    def describe(self) -> str:
        mu = self.alpha_mu
        shown = f"{mu[0]:g}" if (mu == mu[0]).all() else f"({', '.join(f'{m:g}' for m in mu)})"
        return (
            f"parameter-expanded, V = {show(self.V)}, nu = {self.nu:g}, alpha_mu = {shown}, "
            f"alpha_V = {show(self.alpha_V)}"
        )
