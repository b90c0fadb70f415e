"""A posterior predictive check: a statistic of the data beside that of data the posterior would make."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference.posterior_predict import replicated

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


def _moment(power: int) -> Callable[[Float], float]:
    def standardised(y: Float) -> float:
        e = y - y.mean()
        return float(np.mean(e**power) / np.mean(e * e) ** (power / 2))

    return standardised


STATISTICS: dict[str, Callable[[Float], float]] = {
    "mean": lambda y: float(np.mean(y)),
    "sd": lambda y: float(np.std(y, ddof=1)),
    "min": lambda y: float(np.min(y)),
    "max": lambda y: float(np.max(y)),
    "skewness": _moment(3),
    "kurtosis": _moment(4),
}


@dataclass(frozen=True, eq=False)
class PosteriorCheck:
    """A statistic of each response and of its replicates.

    Attributes
    ----------
    statistic : str
    names : tuple of str
        Responses.
    observed : (t,)
    replicated : (n, t)
    random : str
        "fitted": replicates have the random effects of the fit; "new": of new levels.
    """

    statistic: str
    names: tuple[str, ...]
    observed: Float
    replicated: Float
    random: str

    @property
    def p_value(self) -> Any:
        """P(T(y_rep) ≥ T(y) | y), ties counted half: near 0 or 1 where the model does not make such data.

        A number, or a Series of several traits.
        """
        import pandas as pd

        above = (self.replicated > self.observed).mean(axis=0) + 0.5 * (self.replicated == self.observed).mean(axis=0)
        return float(above[0]) if len(self.names) == 1 else pd.Series(above, index=list(self.names), name="p_value")

    @property
    def frame(self) -> pd.DataFrame:
        """One row a response: observed, mean, sd, lower, upper (95 % of the replicates), p_value."""
        import pandas as pd

        low, high = np.quantile(self.replicated, [0.025, 0.975], axis=0)
        sd = self.replicated.std(axis=0, ddof=1) if len(self.replicated) > 1 else np.full(len(self.names), np.nan)
        columns = {"observed": self.observed, "mean": self.replicated.mean(axis=0), "sd": sd}
        columns |= {"lower": low, "upper": high, "p_value": np.atleast_1d(np.asarray(self.p_value, dtype=float))}
        return pd.DataFrame(columns, index=list(self.names))

    def plot(self, ax: Any = None) -> Any:
        """Histogram of the replicates' statistic with the observed one."""
        from .plots.predictive import check_plot

        return check_plot(self, ax=ax)

    def __str__(self) -> str:
        lines = [f"Posterior predictive check of {self.statistic}, {len(self.replicated)} replicates"]
        for name, row in self.frame.iterrows():
            lines.append(
                f"{name}: observed {row['observed']:.4g}; replicated {row['mean']:.4g} "
                f"({row['lower']:.4g} to {row['upper']:.4g}), P(replicated >= observed) = {row['p_value']:.3f}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def posterior_check(fit: Any, statistic: Any, n: int, random: str, seed: int | None) -> PosteriorCheck:
    """See `PosteriorPredicting.check`."""
    function, name = _statistic(statistic)
    spec = fit.spec
    y = replicated(fit._single, fit.draws, n, fit.draws.seed if seed is None else seed, random)
    of = np.zeros(spec.n, dtype=np.intp) if spec.traits is None else spec.traits.trait
    names = spec.y_names if spec.traits is None else spec.traits.names
    rows = [np.flatnonzero(of == a) for a in range(len(names))]
    observed = np.array([_number(function, spec.y[at], name) for at in rows])
    made = np.array([[_number(function, column[at], name) for at in rows] for column in y.T])
    return PosteriorCheck(name, tuple(names), observed, made, random)


def _statistic(given: Any) -> tuple[Callable[[Float], float], str]:
    if callable(given):
        return given, str(getattr(given, "__name__", "statistic")).replace("<lambda>", "statistic")
    if given not in STATISTICS:
        raise OptionError(
            f"statistic={given!r:.60} is not one of {', '.join(map(repr, STATISTICS))}, nor a function of the response"
        )
    return STATISTICS[given], str(given)


def _number(function: Callable[[Float], float], y: Float, name: str) -> float:
    value = np.asarray(function(y), dtype=float)
    if value.size != 1:
        raise OptionError(f"the statistic {name!r} gives {value.size} values: one number is needed")
    return float(value.reshape(-1)[0])
