"""Priors of one variance or standard deviation, as users write them: inverse gamma, half-t, half-Cauchy, flat."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..structures.base import Structure
from .base import BoundPrior, priors
from .laws import HalfTLaw, InverseGammaLaw, Law
from .numbers import joined, number
from .variances import bound_variances, is_variances

Float = NDArray[np.float64]


class _Scalar:
    """What priors of one variance share: they bind to every structure that has variances."""

    def law(self, where: str, scale: float | None) -> Law:
        raise NotImplementedError

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        return bind_scalar(self, structure, where, scale)


def bind_scalar(prior: Any, structure: Structure, where: str, scale: Float | None) -> BoundPrior:
    """`prior` for every variance of a structure that is not a free matrix."""
    from .patterned import Patterned

    if is_variances(structure):
        scales = [None] * structure.k if scale is None else [float(s) for s in scale]
        return bound_variances(structure, [prior.law(where, s) for s in scales])
    if structure.name == "us":
        raise OptionError(
            f"priors[{where!r}]: {prior} is a prior of one variance, but {where!r} has a {structure.k}×{structure.k} "
            f"covariance matrix: use LKJ(eta=1, sd={prior}), HuangWand() or InverseWishart(V, nu)"
        )
    return Patterned(sd=prior).bind(structure, where, scale)


@priors.register("inverse_gamma")
@dataclass(frozen=True)
class InverseGamma(_Scalar):
    """σ² with density ∝ σ²^{−shape−1} e^{−scale/σ²}; MCMCglmm's V and nu are shape = nu/2, scale = nu V/2.

    Parameters
    ----------
    shape, scale : float
        Both positive for a proper prior; ``InverseGamma(0, 0)`` is flat in log σ².

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.InverseGamma(2, 1.5)
    InverseGamma(shape=2.0, scale=1.5)
    """

    shape: float
    scale: float
    kind: ClassVar[str] = "inverse_gamma"

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", number(self.shape, "InverseGamma: shape"))
        object.__setattr__(self, "scale", number(self.scale, "InverseGamma: scale", least=0.0))

    def law(self, where: str, scale: float | None) -> Law:
        return InverseGammaLaw(self.shape, self.scale)


@priors.register("half_t")
@dataclass(frozen=True)
class HalfT(_Scalar):
    """Standard deviation σ = |t|, t with `df` degrees of freedom and `scale` (Gelman 2006).

    Parameters
    ----------
    df : float
    scale : float, optional
        In units of the standard deviation; that of the data by default (see `mixedvc.priors.defaults`).

    Examples
    --------
    >>> import mixedvc as mv
    >>> mv.priors.HalfT(3, scale=2.5)
    HalfT(df=3.0, scale=2.5)
    """

    df: float = 3.0
    scale: float | None = None
    kind: ClassVar[str] = "half_t"

    def __post_init__(self) -> None:
        object.__setattr__(self, "df", number(self.df, "HalfT: df", above=0.0))
        if self.scale is not None:
            object.__setattr__(self, "scale", number(self.scale, "HalfT: scale", above=0.0))

    def law(self, where: str, scale: float | None) -> Law:
        return HalfTLaw(self.df, _open(self.scale, scale, where, "HalfT"))


@priors.register("half_cauchy")
@dataclass(frozen=True)
class HalfCauchy(_Scalar):
    """Standard deviation σ = |Cauchy| with `scale`, its median: `HalfT` with one degree of freedom.

    Parameters
    ----------
    scale : float, optional
        In units of the standard deviation; that of the data by default.
    """

    scale: float | None = None
    kind: ClassVar[str] = "half_cauchy"

    def __post_init__(self) -> None:
        if self.scale is not None:
            object.__setattr__(self, "scale", number(self.scale, "HalfCauchy: scale", above=0.0))

    def law(self, where: str, scale: float | None) -> Law:
        return HalfTLaw(1.0, _open(self.scale, scale, where, "HalfCauchy"))


def _open(given: float | None, data: float | None, where: str, name: str) -> float:
    if given is not None:
        return given
    if data is None:
        raise OptionError(f"priors[{where!r}]: {name}() needs scale=, there are no data to take it from")
    return data


FLAT_ON = {"variance": -1.0, "sd": -0.5, "log": 0.0}  # a of v^{−a−1}


@priors.register("flat")
@dataclass(frozen=True)
class Flat(_Scalar):
    """An improper prior, flat in the variance, the standard deviation or its logarithm.

    Of an unstructured term: flat over the entries of Σ ("variance"), or over correlations and standard deviations
    ("sd") or their logarithms ("log"); of the fixed effects (``"fixed": Flat()``): flat.  Accepted where the posterior
    is proper, see `mixedvc.priors.propriety`.

    Parameters
    ----------
    on : "variance" | "sd" | "log"
    """

    on: str = "variance"
    kind: ClassVar[str] = "flat"

    def __post_init__(self) -> None:
        if not isinstance(self.on, str) or self.on not in FLAT_ON:
            raise OptionError(f"Flat(on={self.on!r:.40}): one of {joined(list(FLAT_ON))} is needed")

    @property
    def words(self) -> str:
        """As the summary prints it."""
        return {"variance": "flat", "sd": "flat on the sd", "log": "flat on the log"}[self.on]

    def law(self, where: str, scale: float | None) -> Law:
        return InverseGammaLaw(FLAT_ON[self.on], 0.0, self.words, 0.5 if self.on == "sd" else 1.0)

    def bind(
        self, structure: Structure, where: str, scale: Float | None = None, effects: Sequence[str] = ()
    ) -> BoundPrior:
        from .flat_matrix import bound_flat

        if structure.name == "us" and structure.k > 1:
            return bound_flat(structure, self.on, self.words)
        return bind_scalar(self, structure, where, scale)


def laws_of(sd: Any, names: Sequence[str], where: str, scales: Sequence[float] | Float | None) -> tuple[Law, ...]:
    """One law for each named variance from a prior for all, a mapping by name, a sequence, or None (half-t(3)).

    `scales` of the data, one for each; None where there are none.
    """
    each = each_of(sd, names, where)
    known = [None] * len(each) if scales is None else [float(s) for s in scales]
    return tuple(prior.law(where, scale) for prior, scale in zip(each, known, strict=True))


def each_of(sd: Any, names: Sequence[str], where: str) -> list[Any]:
    """A prior of one variance for each name."""
    if sd is None:
        sd = HalfT()
    if isinstance(sd, Mapping):
        for name in sd:
            if name not in names:
                near = difflib.get_close_matches(str(name), list(names), n=1)
                meant = f"; did you mean {near[0]!r}?" if near else ""
                raise OptionError(f"priors[{where!r}]: no effect is called {name!r}: there are {joined(names)}{meant}")
        out = [sd.get(name, HalfT()) for name in names]
    elif isinstance(sd, (list, tuple)):
        if len(sd) != len(names):
            raise OptionError(f"priors[{where!r}]: {len(sd)} priors for {len(names)} effects, {joined(names)}")
        out = list(sd)
    else:
        out = [sd] * len(names)
    for prior in out:
        if isinstance(prior, type) or not hasattr(prior, "law"):
            raise OptionError(
                f"priors[{where!r}]: {prior!r:.60} is no prior of one variance: HalfT, HalfCauchy, InverseGamma, "
                "InverseWishart, ParameterExpanded (both of one number) or Flat"
            )
    return out
