"""Quantities made of draws: functions of the parameters as whole posteriors, and probabilities of statements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from . import posterior_numbers as pn

Float = NDArray[np.float64]
WORDS = {"hdi": "HPD", "quantile": "quantile"}


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorQuantity:
    """One quantity as a posterior; prints mean, standard deviation and interval.

    Attributes
    ----------
    draws : (C, D)
        C chains of D draws.
    name, denominator : str
        What it is; of a ratio, by what was divided.
    level : float
    interval_kind : str
        "hdi" | "quantile".
    lower_bound, upper_bound : float or None
        Ends of its range, where it has any.
    """

    draws: Float
    name: str
    denominator: str = ""
    level: float = 0.95
    interval_kind: str = "hdi"
    lower_bound: float | None = None
    upper_bound: float | None = None

    @property
    def mean(self) -> float:
        """Posterior mean."""
        return float(np.mean(self.draws))

    @property
    def estimate(self) -> float:
        """The posterior mean, under the name that point estimates have."""
        return self.mean

    @property
    def sd(self) -> float:
        """Posterior standard deviation."""
        return float(np.std(self.draws, ddof=1)) if self.draws.size > 1 else float("nan")

    @property
    def se(self) -> float:
        """The posterior standard deviation, under the name that point estimates have."""
        return self.sd

    @property
    def median(self) -> float:
        """Posterior median."""
        return float(np.median(self.draws))

    def mode(self, adjust: float = 1.0) -> float:
        """Posterior mode, of a kernel density; `adjust` times Silverman's bandwidth (MCMCglmm's has 0.1)."""
        return pn.mode(self.draws, adjust, self.lower_bound, self.upper_bound)

    def interval(self, level: float | None = None, kind: str | None = None) -> tuple[float, float]:
        """Highest-posterior-density ("hdi") or equal-tailed ("quantile") interval."""
        from ..inference.intervals import check_level

        asked = self.level if level is None else check_level(level)
        return pn.limits(self.draws, asked, self.interval_kind if kind is None else pn.check_interval(kind))

    @cached_property
    def _limits(self) -> tuple[float, float]:
        return self.interval()

    @property
    def lower(self) -> float:
        return self._limits[0]

    @property
    def upper(self) -> float:
        return self._limits[1]

    @cached_property
    def ess(self) -> float:
        """Effective sample size in the bulk."""
        return pn.ess_bulk(self.draws)

    @cached_property
    def ess_tail(self) -> float:
        """Effective sample size in the tails."""
        return pn.ess_tail(self.draws)

    @cached_property
    def rhat(self) -> float:
        """Rank-normalised split R-hat."""
        return pn.rhat(self.draws)

    @cached_property
    def mcse(self) -> float:
        """Monte-Carlo standard error of the mean."""
        return pn.mcse(self.draws)

    def probability(self, statement: Callable[[Float], Any]) -> Probability:
        """Posterior probability of a statement: ``h2.probability(lambda h: h > 0.2)``."""
        return probability(np.asarray(statement(self.draws)), self.draws.shape)

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        over = f" / ({self.denominator})" if self.denominator else ""
        if np.ptp(self.draws) == 0.0:
            return f"{self.name}{over} = {self.mean:.4g} (held fixed)"
        low, high = self._limits
        words = f"{100 * self.level:g} % {WORDS[self.interval_kind]} interval {low:.4g} to {high:.4g}"
        return f"{self.name}{over} = {self.mean:.4g} (posterior SD {self.sd:.4g}, {words})"

    def __repr__(self) -> str:
        return f"<{self}>"


class Probability(float):
    """A posterior probability: a number that knows its Monte-Carlo standard error (``.mcse``, NaN where unknown)."""

    mcse: float

    def __new__(cls, value: float, mcse: float) -> Probability:
        made = super().__new__(cls, value)
        made.mcse = mcse
        return made

    def __repr__(self) -> str:
        tail = "" if np.isnan(self.mcse) else f" (Monte-Carlo error {self.mcse:.1g})"
        return f"posterior probability {float(self):.4g}{tail}"

    __str__ = __repr__


def probability(true: NDArray[Any], shape: tuple[int, ...]) -> Probability:
    """The part of the draws in which a statement holds."""
    if true.shape != shape or not (true.dtype == np.bool_ or np.isin(true, (0, 1)).all()):
        raise OptionError(
            "a statement is true or false of every draw: write it as a comparison, e.g. lambda v: v['kin'] > 1, and "
            "join several with & and | instead of `and` and `or`"
        )
    x = true.astype(np.float64)
    known = pn.there() and np.ptp(x) > 0
    return Probability(float(x.mean()), pn.mcse(x) if known else float("nan"))


def evaluate(function: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Float]) -> NDArray[Any]:
    """A function of named parameters at every draw: at once where it takes arrays, else draw by draw."""
    shape = next(iter(values.values())).shape
    flat = Names({name: x.ravel() for name, x in values.items()})
    n = int(np.prod(shape))
    try:
        with np.errstate(all="ignore"):
            whole = np.asarray(function(flat))
    except (OptionError, NameError):
        raise
    except Exception:  # a function of numbers, not of arrays
        whole = np.empty(0)
    some = np.unique(np.linspace(0, n - 1, min(n, 5)).astype(int))
    if whole.shape == (n,):
        single = [_one(function, flat, i) for i in some]
        if all(
            a == b or abs(a - b) <= 1e-12 * max(abs(a), abs(b)) or (a != a and b != b)
            for a, b in zip(single, whole[some].astype(float), strict=True)
        ):
            return np.asarray(whole.reshape(shape))
    made = [_one(function, flat, i) for i in range(n)]
    return np.array(made, dtype=whole.dtype if whole.dtype == np.bool_ else np.float64).reshape(shape)


def _one(function: Callable[[Mapping[str, Any]], Any], flat: Mapping[str, Float], i: int) -> float:
    value = function(Names({name: float(x[i]) for name, x in flat.items()}))
    if np.ndim(value):
        raise OptionError(f"the function gives {np.shape(value)} numbers where one is needed")
    return float(value)


@dataclass(frozen=True)
class Names(Mapping[str, Any]):
    """Draws by name; an unknown name is told with those there are."""

    values_of: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        if name not in self.values_of:
            raise OptionError(f"no parameter is called {name!r}; there are {', '.join(map(repr, self.values_of))}")
        return self.values_of[name]

    def __iter__(self) -> Any:
        return iter(self.values_of)

    def __len__(self) -> int:
        return len(self.values_of)
