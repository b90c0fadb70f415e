"""LKJ prior of a correlation matrix, p(R) ∝ |R|^{eta − 1}, with a prior for each standard deviation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from ..errors import OptionError
from ..structures.base import Structure
from .base import BoundPrior, Tail, priors
from .laws import Law
from .matrices import matrices, parameters_of
from .numbers import number
from .patterned import Patterned, kinds_of
from .scalars import laws_of
from .variances import bound_variances, is_variances

Float = NDArray[np.float64]


@priors.register("lkj")
@dataclass(frozen=True)
class LKJ:
    """Σ = D R D: R has density ∝ |R|^{eta − 1} (Lewandowski, Kurowicka & Joe 2009), each sd its own prior.

    Parameters
    ----------
    eta : float
        1 is flat over correlation matrices, more favours small correlations.
    sd : prior of a variance, sequence or mapping of them, optional
        `HalfT`, `HalfCauchy`, `InverseGamma`, …: one for all, one for each effect in order, or by the effect's name;
        half-t(3) with the scale of the data by default.

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.LKJ(eta=2, sd=mv.priors.HalfT(3, 1.0))
    LKJ(eta=2.0, sd=HalfT(df=3.0, scale=1.0))
    """

    eta: float = 1.0
    sd: Any = None
    kind: ClassVar[str] = "lkj"

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta", number(self.eta, "LKJ: eta", above=0.0))
        if isinstance(self.sd, list):
            object.__setattr__(self, "sd", tuple(self.sd))

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        names = list(effects) or [str(a) for a in range(structure.k)]
        if is_variances(structure):
            return bound_variances(structure, laws_of(self.sd, names, where, scale))
        if structure.name == "us":
            return BoundLKJ(structure, self.eta, laws_of(self.sd, names, where, scale))
        if "correlation" not in kinds_of(structure) or self.eta < 1.0:
            why = "eta of at least 1" if self.eta < 1.0 else "correlations"
            raise OptionError(f"priors[{where!r}]: LKJ() on {structure.name!r} needs {why}: use Patterned(sd=…) for it")
        return Patterned(self.sd, self.eta).bind(structure, where, scale, effects)


def log_lkj_constant(eta: float, k: int) -> float:
    """log ∫ |R|^{eta − 1} dR over k×k correlation matrices."""
    left = k - np.arange(1, k)  # k − 1, …, 1 partial correlations in each row of the vine
    power = eta + 0.5 * (left - 1.0)
    return float(np.sum(left * ((2.0 * power - 1.0) * np.log(2.0) + betaln(power, power))))


@dataclass(frozen=True)
class BoundLKJ:
    """See `LKJ`; `laws` of the k variances.  dΣ = 2^k Π σ_i^k dσ dR, of which the laws have 2 σ_i each."""

    structure: Structure
    eta: float
    laws: tuple[Law, ...]
    held: ClassVar[None] = None

    @property
    def proper(self) -> bool:
        return all(law.proper for law in self.laws)

    @cached_property
    def _constant(self) -> float:
        return -log_lkj_constant(self.eta, self.structure.k)

    def logpdf(self, par: Float) -> Float:
        M = matrices(self.structure, par)
        v, k = M.variances, self.structure.k
        logs = np.log(v).sum(axis=1)
        out = self._constant + (self.eta - 1.0) * (M.logdet - logs) - 0.5 * (k - 1) * logs
        for i, law in enumerate(self.laws):
            out = out + law.logpdf(v[:, i])
        return M.inside(out)

    def draw(self, rng: np.random.Generator) -> Float:
        sd = np.sqrt([law.draw(rng) for law in self.laws])
        L = draw_lkj_root(self.eta, self.structure.k, rng) * sd[:, None]
        return parameters_of(self.structure, L @ L.T)

    def tails(self) -> tuple[Tail, ...]:
        """See `propriety`."""
        return tuple(Tail((i,), law.far_out + 1.0, law.near_zero + 1.0) for i, law in enumerate(self.laws))

    def describe(self) -> str:
        each = list(dict.fromkeys(law.describe() for law in self.laws))
        return f"LKJ({self.eta:g}) correlations, {'; '.join(each)}"


def draw_lkj_root(eta: float, k: int, rng: np.random.Generator) -> Float:
    """(k, k) Cholesky factor of one R: its rows are on the sphere, of independent partial correlations (C-vine).

    The partial correlation of rows i and j < i given the rows before j is 2 Beta(b, b) − 1, b = eta + (k − 2 − j)/2.
    """
    L = np.zeros((k, k))
    L[0, 0] = 1.0
    for i in range(1, k):
        left = 1.0
        for j in range(i):
            b = eta + 0.5 * (k - 2 - j)
            partial = 2.0 * rng.beta(b, b) - 1.0
            L[i, j] = partial * np.sqrt(left)
            left *= 1.0 - partial**2
        L[i, i] = np.sqrt(left)
    return L
