"""Priors of structures that are no free matrix: cs, ar1, correlated residuals, fa, rr, and those of plug-ins.

Each variance has its own prior; correlations p(ρ) ∝ |R(ρ)|^{eta − 1}, flat between their bounds for eta = 1; the
loadings Λ are those of a k×f matrix of independent normal numbers, turned to lower trapezoidal form.  In that form
the law does not depend on the order of the effects: λ_jj² / s² of the first f effects is χ²_{f − j} (j from 0), the
other loadings are normal (Geweke & Zhou 1996; Leung & Drton 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from ..errors import OptionError
from ..structures.base import Structure
from .base import Tail, priors
from .correlations import is_closed, log_determinants
from .laws import Law
from .numbers import number

Float = NDArray[np.float64]


def kinds_of(structure: Structure) -> tuple[str, ...]:
    """What each parameter is: "variance" | "correlation" | "loading" | "covariance"."""
    told = getattr(structure, "kinds", None)
    if told is not None:
        return tuple(told)
    names = structure.names(tuple(str(a) for a in range(structure.k)))
    other = "covariance" if structure.linear else "correlation"
    return tuple("variance" if second is None else other for _, second in names)


def owners_of(structure: Structure) -> tuple[tuple[int, ...], ...]:
    """The effects each parameter speaks of: one, those of a stratum, or all."""
    effects = tuple(str(a) for a in range(structure.k))
    stratum = getattr(structure, "stratum", None)
    names = structure.names(effects)
    everyone = tuple(range(structure.k))
    out = []
    for j, (first, _) in enumerate(names):
        if stratum is not None and j <= max(stratum):
            out.append(tuple(a for a in everyone if stratum[a] == j))
        else:
            out.append((effects.index(first),) if first in effects else everyone)
    return tuple(out)


def scales_of(structure: Structure, scale: Float) -> Float:
    """(n_par,) expected sd of what each parameter speaks of, from those of the effects (k,)."""
    return np.array([np.sqrt(np.mean(scale[list(own)] ** 2)) for own in owners_of(structure)])


@priors.register("patterned")
@dataclass(frozen=True)
class Patterned:
    """Prior of a structure with variances, correlations or loadings: cs, ar1, fa, rr, correlated residuals.

    Parameters
    ----------
    sd : prior of a variance, or mapping, optional
        `HalfT`, `HalfCauchy`, `InverseGamma`, `Flat`, … for each variance (of fa: each specific variance), or priors by
        the name of the effect; half-t(3) with the scale of the data by default.
    eta : float
        At least 1: correlations have density ∝ |R|^{eta − 1}; 1 is flat.
    loading : float, optional
        Standard deviation of loadings; that of the data by default.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.Patterned(sd=mv.priors.HalfT(3, 1.0))
    Patterned(sd=HalfT(df=3.0, scale=1.0), eta=1.0, loading=None)
    """

    sd: Any = None
    eta: float = 1.0
    loading: float | None = None
    kind: ClassVar[str] = "patterned"

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", number(self.eta, "Patterned: eta", least=1.0))
        if self.loading is not None:
            object.__setattr__(self, "loading", number(self.loading, "Patterned: loading", above=0.0))

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPatterned:
        from .scalars import laws_of

        kinds = kinds_of(structure)
        if "covariance" in kinds:
            raise OptionError(
                f"priors[{where!r}]: Patterned() is for structures of variances, correlations and loadings; "
                f"{structure.name!r} has covariances: use LKJ() or InverseWishart()"
            )
        self._check_used(kinds, structure, where)
        if self.eta != 1.0 and getattr(structure, "degenerate", False):
            raise OptionError(
                f"priors[{where!r}]: the correlation matrix of {structure.name!r} is singular here: eta=1"
            )
        given = np.ones(structure.k) if scale is None else scale
        each = scales_of(structure, given)
        variances = [j for j, kind in enumerate(kinds) if kind == "variance"]
        names = structure.names(tuple(effects) or tuple(str(a) for a in range(structure.k)))
        laws = laws_of(self.sd, [names[j][0] for j in variances], where, each[variances])
        spread = each if self.loading is None else np.full(len(kinds), self.loading)
        if scale is None and self.loading is None and "loading" in kinds:
            raise OptionError(f"priors[{where!r}]: Patterned() needs loading=, the sd of loadings")
        return BoundPatterned(structure, laws, self.eta, tuple(float(s) for s in spread))

    def _check_used(self, kinds: Sequence[str], structure: Structure, where: str) -> None:
        """Refuse what a structure has nothing for."""
        given = {"variance": self.sd, "correlation": None if self.eta == 1.0 else self.eta, "loading": self.loading}
        names = {"variance": f"the prior {self.sd} of", "correlation": "eta, for", "loading": "loading=, for"}
        for kind, value in given.items():
            if value is not None and kind not in kinds:
                has = " and ".join(f"{one}s" for one in dict.fromkeys(kinds))
                raise OptionError(
                    f"priors[{where!r}]: {names[kind]} {kind}s, but {structure.name!r} has {has} only: use Patterned("
                    + ", ".join(
                        {"variance": "sd=…", "correlation": "eta=…", "loading": "loading=…"}[k]
                        for k in dict.fromkeys(kinds)
                    )
                    + ")"
                )


@dataclass(frozen=True)
class BoundPatterned:
    """See `Patterned`; `laws` of the variances in their order, `spread` (n_par,) the sd of loadings."""

    structure: Structure
    laws: tuple[Law, ...]
    eta: float
    spread: tuple[float, ...]
    held: ClassVar[None] = None

    @cached_property
    def _where(self) -> dict[str, NDArray[np.intp]]:
        kinds = np.array(kinds_of(self.structure))
        return {kind: np.flatnonzero(kinds == kind) for kind in ("variance", "correlation", "loading")}

    @property
    def proper(self) -> bool:
        return all(law.proper for law in self.laws)

    @cached_property
    def _bounds(self) -> tuple[Float, Float]:
        lower, upper = self.structure.bounds()
        at = self._where["correlation"]
        return lower[at], upper[at]

    @cached_property
    def _powers(self) -> Float:
        """(loadings,) power of |λ| beside the normal: f − 1 − j on the diagonal of Λ, 0 elsewhere."""
        layout = getattr(self.structure, "loadings", None)
        at = self._where["loading"]
        if layout is None:
            return np.zeros(len(at))
        rows, columns = layout.entries
        return np.where(rows == columns, layout.factors - 1.0 - columns, 0.0)

    @cached_property
    def _constant(self) -> float:
        s, m = np.array(self.spread)[self._where["loading"]], self._powers
        # of |x|^m e^{−x²/2} over the line: 2^{(m+1)/2} Γ((m+1)/2)
        loadings = -np.sum(np.log(s) + 0.5 * (m + 1) * np.log(2.0) + gammaln(0.5 * (m + 1)))
        return float(loadings) + self._log_volume

    @cached_property
    def _log_volume(self) -> float:
        """Minus the logarithm of ∫|R|^{eta−1} over the correlations."""
        lower, upper = self._bounds
        if not len(lower):
            return 0.0
        if len(lower) > 1 or self._may_fail:
            return 0.0 if not self.proper else -self._simulated_volume()
        if self.eta == 1.0:
            return -float(np.log(upper - lower)[0])
        from scipy.integrate import quad

        lo, hi = float(lower[0]), float(upper[0])

        def f(rho: float) -> float:
            return float(np.exp(self._log_det_power(np.array([[rho]]))[0]))

        mid = 0.0 if lo < 0.0 < hi else 0.5 * (lo + hi)
        return -float(np.log(quad(f, lo, mid, limit=200)[0] + quad(f, mid, hi, limit=200)[0]))

    @cached_property
    def _may_fail(self) -> bool:
        """Whether some correlations within their bounds give no positive definite matrix."""
        lower, upper = self._bounds
        if is_closed(self.structure) or getattr(self.structure, "degenerate", False) or not len(lower):
            return False
        rho = np.random.default_rng(4).uniform(lower, upper, (64, len(lower)))
        return not np.isfinite(log_determinants(self.structure, rho)).all()

    def _simulated_volume(self) -> float:
        lower, upper = self._bounds
        rho = np.random.default_rng(5).uniform(lower, upper, (20_000, len(lower)))
        power = np.exp(self._log_det_power(rho))
        return float(np.log(np.mean(power) * np.prod(upper - lower)))

    def _log_det_power(self, rho: Float) -> Float:
        """(eta − 1) log|R(ρ)|, −∞ where R is not positive definite."""
        logdet = log_determinants(self.structure, rho)
        return np.where(logdet > -np.inf, (self.eta - 1.0) * logdet, -np.inf)

    def logpdf(self, par: Float) -> Float:
        out = np.full(len(par), self._constant)
        for law, j in zip(self.laws, self._where["variance"], strict=True):
            out = out + law.logpdf(par[:, j])
        out = out + self._log_loadings(par[:, self._where["loading"]])
        rho = par[:, self._where["correlation"]]
        if rho.shape[1]:
            lower, upper = self._bounds
            inside = ((rho > lower) & (rho < upper)).all(axis=1)
            out = np.where(inside, out, -np.inf)
            if self.eta != 1.0 or self._may_fail:
                out[inside] += self._log_det_power(rho[inside])
        return out

    def _log_loadings(self, x: Float) -> Float:
        if not x.shape[1]:
            return np.zeros(len(x))
        z = x / np.array(self.spread)[self._where["loading"]]
        out = -0.5 * (z * z).sum(axis=1)
        raised = self._powers > 0.0
        if raised.any():
            with np.errstate(divide="ignore"):
                out = out + np.log(np.abs(z[:, raised])) @ self._powers[raised]
        return out

    def draw(self, rng: np.random.Generator) -> Float:
        par = np.empty(self.structure.n_par)
        par[self._where["variance"]] = [law.draw(rng) for law in self.laws]
        par[self._where["correlation"]] = self._draw_correlations(rng)
        at, m = self._where["loading"], self._powers
        z = rng.standard_normal(len(at))
        raised = m > 0.0
        z[raised] = np.sign(z[raised]) * np.sqrt(rng.chisquare(m[raised] + 1.0)) if raised.any() else z[raised]
        par[at] = z * np.array(self.spread)[at]
        return par

    def _draw_correlations(self, rng: np.random.Generator) -> Float:
        """By rejection from the box."""
        lower, upper = self._bounds
        if not len(lower):
            return lower
        if self.eta == 1.0 and not self._may_fail:
            return rng.uniform(lower, upper)
        for _ in range(10_000):
            rho = rng.uniform(lower, upper, (8, len(lower)))
            keep = np.log(rng.random(8)) < self._log_det_power(rho)  # at most |I| = 1
            if keep.any():
                return rho[int(np.argmax(keep))]
        raise OptionError(f"no correlations could be drawn for {self.structure.name!r} with eta = {self.eta:g}")

    def tails(self) -> tuple[Tail, ...]:
        """See `propriety`."""
        owners = owners_of(self.structure)
        own = zip(self.laws, self._where["variance"], strict=True)
        return tuple(Tail(owners[j], law.far_out + 1.0, law.near_zero + 1.0) for law, j in own)

    def describe(self) -> str:
        words = []
        if self.laws:
            each = list(dict.fromkeys(law.describe() for law in self.laws))
            words.append("; ".join(each))
        if len(self._where["correlation"]):
            words.append("flat correlation" if self.eta == 1.0 else f"correlation ∝ |R|^{self.eta - 1.0:g}")
        if len(self._where["loading"]):
            scales = sorted({f"{self.spread[j]:.4g}" for j in self._where["loading"]})
            words.append(f"normal loadings, sd = {', '.join(scales)}")
        return "; ".join(words)
