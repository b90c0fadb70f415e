"""Normal priors of fixed effects, and what they do to the marginal likelihood of θ and to draws of β."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..linalg.stacks import stacked_cholesky, stacked_triangular_inverse
from .base import priors
from .numbers import covariance, number, plain, vector

Float = NDArray[np.float64]


@priors.register("normal")
@dataclass(frozen=True)
class Normal:
    """Fixed effects β ~ N(mean, sd²) or N(mean, cov): ``"fixed": Normal(0, sd=10)`` or by column.

    Parameters
    ----------
    mean : float or (p,)
    sd : float or (p,), optional
    cov : (p, p), optional
        Instead of `sd`; a number stands for that times the identity, as MCMCglmm's ``B = list(mu=, V=)``.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.Normal(0, sd=10)
    Normal(mean=0.0, sd=10.0, cov=None)
    """

    mean: Any = 0.0
    sd: Any = None
    cov: Any = None
    kind: ClassVar[str] = "normal"

    def __post_init__(self) -> None:
        if (self.sd is None) == (self.cov is None):
            raise OptionError("Normal(): give the standard deviation, sd=, or the covariance, cov= (one of them)")
        for name in ("mean", "sd", "cov"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, plain(value, f"Normal: {name}"))
        if self.sd is not None and not (np.asarray(self.sd) > 0.0).all():
            raise OptionError(f"Normal: sd={self.sd!r:.60}: positive numbers are needed")

    def bind(self, structure: Any, where: str, *_: Any) -> Any:
        """Refused: variances are positive."""
        raise OptionError(
            f"priors[{where!r}]: Normal() is for fixed effects ('fixed'), not for variances: use HalfT() on the sd"
        )

    def moments(self, p: int, what: str) -> tuple[Float, Float]:
        """Mean (p,) and covariance (p, p)."""
        of = f"there {'is' if p == 1 else 'are'} {p} fixed effect{'s' if p != 1 else ''}"
        mean = vector(self.mean, p, f"{what}: mean", of)
        if self.cov is not None:
            return mean, covariance(self.cov, p, f"{what}: cov", of)
        return mean, np.diag(vector(self.sd, p, f"{what}: sd", of) ** 2)

    def scalar(self, what: str) -> tuple[float, float]:
        """Mean and variance of one coefficient."""
        mean = number(self.mean, f"{what}: mean")
        if self.cov is not None:
            return mean, float(covariance(self.cov, 1, f"{what}: cov", "one coefficient is meant")[0, 0])
        return mean, number(self.sd, f"{what}: sd", above=0.0) ** 2


@dataclass(frozen=True)
class FixedPrior:
    """Normal prior of some of the p fixed effects, the others flat.

    Attributes
    ----------
    which : (s,) intp
        Coefficients that have a prior.
    b : (s,)
        Their prior mean.
    B : (s, s)
        Their prior covariance.
    names : (p,) tuple of str
        Of all fixed effects.
    """

    which: NDArray[np.intp]
    b: Float
    B: Float
    names: tuple[str, ...]

    @property
    def p(self) -> int:
        """Fixed effects in all."""
        return len(self.names)

    @cached_property
    def mean(self) -> Float:
        """(p,) prior mean, zero where the prior is flat."""
        out = np.zeros(self.p)
        out[self.which] = self.b
        return out

    @cached_property
    def precision(self) -> Float:
        """(p, p) prior precision, rows of zeros where the prior is flat."""
        out = np.zeros((self.p, self.p))
        inverse = stacked_triangular_inverse(stacked_cholesky(self.B[None])[0])[0]
        out[np.ix_(self.which, self.which)] = inverse.T @ inverse
        return out

    @cached_property
    def _root(self) -> Float:
        return stacked_cholesky(self.B[None])[0][0]

    def _marginal(self, beta: Float, root: Float) -> tuple[Float, Float, Float]:
        """β̂_s − b (K, s), the inverse Cholesky factor (K, s, s) of B + C_ss, and its log-determinant."""
        rows = root[:, self.which, :]
        S = self.B + rows @ rows.transpose(0, 2, 1)
        L, _ = stacked_cholesky(S)
        logdet = 2.0 * np.log(np.einsum("nii->ni", L)).sum(axis=1)
        return beta[:, self.which] - self.b, stacked_triangular_inverse(L), logdet

    def log_marginal(self, beta: Float, root: Float) -> Float:
        """(K,) log ∫ N(β; β̂, C) p(β) dβ = log N(β̂_s; b, B + C_ss), s the coefficients that have a prior.

        `beta` (K, p) is β̂ at K values of θ, `root` (K, p, p) has root rootᵀ = C = (XᵀV⁻¹X)⁻¹.

        The others are flat, so that their part of N(β; β̂, C) integrates to one and leaves its marginal.
        """
        rest, inverse, logdet = self._marginal(beta, root)
        z = np.einsum("nab,nb->na", inverse, rest)
        return np.asarray(-0.5 * (len(self.which) * np.log(2.0 * np.pi) + logdet + (z * z).sum(axis=1)))

    def draw(self, beta: Float, root: Float, rng: np.random.Generator) -> Float:
        """(K, p) one draw of β | θ, y at each θ.

        A draw of the flat-prior posterior and one of the prior, their difference regressed on itself (Matheron).
        """
        flat = beta + np.einsum("npq,nq->np", root, rng.standard_normal(beta.shape))
        prior = self.b + rng.standard_normal((len(beta), len(self.which))) @ self._root.T
        return flat + self._pull(beta, root, prior - flat[:, self.which])

    def posterior_mean(self, beta: Float, root: Float) -> Float:
        """(K, p) E(β | θ, y)."""
        return beta + self._pull(beta, root, self.b - beta[:, self.which])

    def _pull(self, beta: Float, root: Float, gap: Float) -> Float:
        """(K, p) C_·s (B + C_ss)⁻¹ gap."""
        _, inverse, _ = self._marginal(beta, root)
        solved = np.einsum("nba,nb->na", inverse, np.einsum("nab,nb->na", inverse, gap))
        return np.asarray(np.einsum("npq,nsq,ns->np", root, root[:, self.which, :], solved))

    def logpdf(self, beta: Float) -> Float:
        """(K,) log prior density of β (K, p)."""
        inverse = stacked_triangular_inverse(self._root[None])[0]
        z = (beta[:, self.which] - self.b) @ inverse.T
        logdet = 2.0 * float(np.log(np.diagonal(self._root)).sum())
        return np.asarray(-0.5 * (len(self.which) * np.log(2.0 * np.pi) + logdet + (z * z).sum(axis=1)))

    def describe(self) -> str:
        """As the summary prints it."""
        sd = np.sqrt(np.diagonal(self.B))
        same = (sd == sd[0]).all() and (self.b == self.b[0]).all() and not (self.B - np.diag(sd**2)).any()
        if same and len(self.which) == self.p:
            return f"normal, mean = {self.b[0]:g}, sd = {sd[0]:g}"
        each = [f"{self.names[j]}: {m:g} ± {s:g}" for j, m, s in zip(self.which, self.b, sd, strict=True)]
        rest = "" if len(self.which) == self.p else "; others flat"
        return f"normal, {', '.join(each)}{rest}"
