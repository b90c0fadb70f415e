"""A bootstrap of a fit: draws of every parameter or of a function of the results, intervals, a summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotProvided, OptionError, warn
from ..inference import intervals
from ..inference.bootstrap import Model, Plan, Refitted
from ..inference.parameters import Parameter, parameters
from ..inference.resample import KINDS, resampler
from ..inference.simulate import RANDOM
from ..inference.workers import run
from ..likelihood.base import Likelihood
from ..linalg.processes import check_workers
from ..progress import Progress
from . import support
from .boot_parameters import parameter_names, parameter_values
from .numbers import significant

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .table import SummaryTable

Float = NDArray[np.float64]
INTERVALS = ("percentile", "basic", "normal")
LEAST = 20  # replicates that an interval may be taken from
_HEADINGS = {
    "fixed": "Fixed effects",
    "variance": "Variances",
    "covariance": "Covariances",
    "sd": "Standard deviations",
    "correlation": "Correlations",
    "share": "Shares of variance",
    "statistic": "Statistic",
}


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap:
    """Replicates of a fit; `print` shows the summary.

    Attributes
    ----------
    fit : PointResults
    draws : DataFrame
        One row a replicate, one column a quantity; columns are (kind, name) with kind "fixed", "variance",
        "covariance", "sd", "correlation", "share" or "statistic".  NaN where a refit failed.
    estimate : Series
        The same quantities of the fit itself.
    singular : (B,) bool
        Refits with a variance at zero or a correlation at ±1.
    failures : DataFrame
        One row for each refit that failed (no draws) or did not converge (draws kept): replicate, problem, failed.
    kind, random : str
    nsim : int
        Replicates asked for; there are fewer draws where the work was interrupted.
    seed : int
        With it the same draws are made again, by any number of workers.
    level : float
    seconds : float
    """

    fit: PointResults
    draws: pd.DataFrame
    estimate: pd.Series
    singular: NDArray[np.bool_]
    failures: pd.DataFrame
    kind: str
    random: str
    nsim: int
    seed: int
    level: float
    seconds: float

    @property
    def interrupted(self) -> bool:
        """Fewer replicates than asked for."""
        return len(self.draws) < self.nsim

    @cached_property
    def _values(self) -> Float:
        return self.draws.to_numpy(dtype=float)

    @cached_property
    def bias(self) -> pd.Series:
        """Mean of the draws minus the estimate."""
        return (self._over(np.mean) - self.estimate).rename("bias")

    @cached_property
    def se(self) -> pd.Series:
        """Standard deviations of the draws."""
        return self._over(lambda x: np.std(x, ddof=1) if len(x) > 1 else np.nan).rename("std err")

    def _over(self, function: Callable[[Float], Any]) -> pd.Series:
        import pandas as pd

        columns = [column[np.isfinite(column)] for column in self._values.T]
        return pd.Series([function(c) if len(c) else np.nan for c in columns], index=self.draws.columns)

    def conf_int(self, level: float | None = None, kind: str = "percentile") -> pd.DataFrame:
        """Intervals of every quantity: columns lower, upper.

        Parameters
        ----------
        level : float, optional
            That of the bootstrap by default.
        kind : str
            "percentile": quantiles of the draws.  "basic": 2·estimate − those quantiles.  "normal": estimate − bias ±
            z·standard error.
        """
        import pandas as pd

        level = self.level if level is None else intervals.check_level(level)
        if kind not in INTERVALS:
            raise OptionError(f"kind={kind!r} is not one of {', '.join(map(repr, INTERVALS))}")
        if len(self.draws) < LEAST:
            raise OptionError(f"{len(self.draws)} replicates are too few for an interval: at least {LEAST} are needed")
        centre = self.estimate.to_numpy()
        if kind == "normal":
            low, high = intervals.wald(centre - self.bias.to_numpy(), self.se.to_numpy(), level)
        else:
            low, high = np.array([quantiles(column, level) for column in self._values.T]).T
            if kind == "basic":
                low, high = 2 * centre - high, 2 * centre - low
        return pd.DataFrame({"lower": low, "upper": high}, index=self.draws.columns)

    def summary(self, level: float | None = None, kind: str = "percentile") -> Any:
        """Estimate, bias, standard error and interval of every quantity, and how the refits went."""
        from .render import render

        return render(self._content(self.level if level is None else intervals.check_level(level), kind))

    def _content(self, level: float, kind: str) -> SummaryTable:
        from .table import Grid, SummaryTable

        limits = self.conf_int(level, kind)
        tail = (1 - level) / 2
        ends = (f"[{np.round(tail, 6):g}", f"{np.round(1 - tail, 6):g}]")
        grids = []
        for what in dict.fromkeys(self.draws.columns.get_level_values(0)):
            rows = []
            for name in self.draws[what].columns:
                key = (what, name)
                cells = (self.estimate[key], self.bias[key], self.se[key], *limits.loc[key])
                rows.append((str(name), *(significant(float(cell)) for cell in cells)))
            grids.append(Grid((_HEADINGS[what], "estimate", "bias", "std err", *ends), tuple(rows), 1))
        banner = f"INTERRUPTED after {len(self.draws)} of {self.nsim} replicates" if self.interrupted else ""
        return SummaryTable(self._title, banner, self._header, tuple(grids), self._notes(kind))

    @property
    def _title(self) -> str:
        return f"{'Parametric' if self.kind == 'parametric' else 'Residual'} bootstrap"

    @property
    def _header(self) -> tuple[tuple[tuple[str, str], tuple[str, str]], ...]:
        count = len(self.draws)
        failed = int(self.failures["failed"].sum())
        effects = "drawn anew" if self.random == "new" else "kept at their predictions"
        left = [
            ("Method", str(self.fit.method)),
            ("Random effects", effects),
            ("Replicates", f"{count} of {self.nsim}" if self.interrupted else f"{count}"),
        ]
        right = [
            ("Seed", f"{self.seed}"),
            ("Singular refits", f"{int(self.singular.sum())} ({100 * self.singular.mean() if count else 0:.1f}%)"),
            ("Failed, unfinished", f"{failed}, {len(self.failures) - failed}"),
        ]
        return tuple(zip(left, right, strict=True))

    def _notes(self, kind: str) -> tuple[str, ...]:
        about = {
            "percentile": "Limits are quantiles of the draws.",
            "basic": "Limits are twice the estimate minus quantiles of the draws.",
            "normal": "Limits are estimate minus bias, plus and minus normal quantiles times the standard error.",
        }[kind]
        out = [about]
        if self.kind == "residual":
            out.append(
                "Residuals and BLUPs were centred and spread out to the estimated variances, then drawn with "
                "replacement."
            )
        if len(self.failures):
            out.append(f"The first problem: {self.failures['problem'].iloc[0]}; all are in `failures`.")
        return tuple(out)

    def __repr__(self) -> str:
        state = ", interrupted" if self.interrupted else ""
        count, width = self.draws.shape
        return f"<Bootstrap: {count} replicates of {width} quantities{state}; .summary() prints it>"

    def __str__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return str(self.summary().as_html())


def quantiles(column: Float, level: float) -> tuple[float, float]:
    """Quantiles of the finite draws at ranks p(B + 1)."""
    finite = column[np.isfinite(column)]
    if len(finite) < LEAST:
        return np.nan, np.nan
    tail = 0.5 * (1 - level)
    low, high = np.quantile(finite, [tail, 1 - tail], method="weibull")
    return float(low), float(high)


def bootstrap(
    fit: PointResults,
    statistic: Callable[[PointResults], Any] | None,
    nsim: int,
    kind: str,
    random: str,
    seed: int | None,
    workers: int,
    level: float,
    progress: bool | None,
) -> Bootstrap:
    """See `PointResults.bootstrap`."""
    import pandas as pd

    check(fit, statistic, nsim, kind, random, seed)
    level, workers = intervals.check_level(level), check_workers(workers)
    plan = plan_of(fit, kind, random, nsim, seed)
    collector = Collector(fit, statistic)
    since = time.perf_counter()
    with Progress("bootstrap", nsim, progress) as bar:
        blocks, interrupted = run(plan, workers, collector.visit if statistic is not None else None, bar.step)
    fits = [one[0] for block in blocks for one in block.fits]
    numbers = [block.number * plan.size + b for block in blocks for b in range(len(block.fits))]
    if interrupted:
        warn(f"the bootstrap was interrupted: {len(fits)} of {nsim} replicates are there")
    columns = pd.MultiIndex.from_tuples(collector.names, names=["kind", "name"])
    draws = pd.DataFrame(collector.draws(numbers, fits), index=pd.Index(numbers, name="replicate"), columns=columns)
    problems = [
        (j, one.problem or collector.problems[j], one.estimate is None or j in collector.problems)
        for j, one in zip(numbers, fits, strict=True)
        if one.problem or j in collector.problems
    ]
    return Bootstrap(
        fit=fit,
        draws=draws,
        estimate=pd.Series(collector.own, index=columns, name="estimate"),
        singular=np.array([one.estimate is not None and bool(one.estimate.singular) for one in fits], dtype=bool),
        failures=pd.DataFrame(problems, columns=["replicate", "problem", "failed"]),
        kind=kind,
        random=random,
        nsim=nsim,
        seed=plan.entropy,
        level=level,
        seconds=time.perf_counter() - since,
    )


def check(fit: PointResults, statistic: Any, nsim: Any, kind: str, random: str, seed: Any) -> None:
    """Refuse what cannot be bootstrapped and options outside their domain."""
    if fit.estimator is None:
        raise OptionError("this result does not carry its estimator, so it cannot be refitted: use mixedvc.fit")
    if fit.estimate.fixed_effects == "none":
        raise NotProvided(support.WITHOUT_RESPONSE)
    if statistic is not None and not callable(statistic):
        raise OptionError(f"statistic={statistic!r:.60}: a function of the refitted results is needed, or None")
    if isinstance(nsim, bool) or not isinstance(nsim, int | np.integer) or nsim < 1:
        raise OptionError(f"nsim={nsim!r:.60} must be a whole number of at least 1")
    if kind not in KINDS:
        raise OptionError(f"kind={kind!r} is not one of {', '.join(map(repr, KINDS))}")
    if random not in RANDOM:
        raise OptionError(f"random={random!r} is not one of {', '.join(map(repr, RANDOM))}")
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if seed is not None and (not whole or seed < 0):
        raise OptionError(f"seed={seed!r:.60}: a whole number of at least 0 is needed, or None")


def model_of(fit: PointResults) -> Model:
    """What is fitted again: the likelihood is the one that is cheapest for many responses."""
    assert fit.estimator is not None
    return Model(fit.spec, fit.estimator, fit.estimate, fit._repeated)


def plan_of(fit: PointResults, kind: str, random: str, nsim: int, seed: int | None, *more: PointResults) -> Plan:
    """Responses from `fit`; the models of `fit` and of `more` are fitted to them."""
    entropy = int(np.random.SeedSequence().entropy) if seed is None else int(seed)  # type: ignore[arg-type]
    how = resampler(fit.spec, fit.evaluation, kind, random)
    return Plan(how, tuple(model_of(one) for one in (fit, *more)), entropy, int(nsim))


class Collector:
    """Turns refits into rows of numbers: every parameter, or what a function makes of the results."""

    def __init__(self, fit: PointResults, statistic: Callable[[PointResults], Any] | None):
        self._fit, self._statistic = fit, statistic
        self._rows: dict[int, Float] = {}
        self.problems: dict[int, str] = {}
        self.names: list[tuple[str, str]]
        if statistic is None:
            self.names = parameter_names(fit.spec)
            own = Refitted(fit.estimate, np.asarray(fit.evaluation.beta))
            self.own = parameter_values(fit.spec, [own])[0]
        else:
            named = as_numbers(statistic(fit))
            self.names = [("statistic", name) for name in named]
            self.own = np.array(list(named.values()))

    def visit(self, number: int, fits: tuple[Refitted, ...], y: Float, likelihoods: tuple[Likelihood, ...]) -> None:
        """Apply the function to the results of one refit; what it raises is kept in words."""
        estimate = fits[0].estimate
        if estimate is None:
            return
        assert self._statistic is not None
        again = replace(
            self._fit, spec=replace(self._fit.spec, y=np.array(y)), estimate=estimate, likelihood=likelihoods[0]
        )
        try:
            named = as_numbers(self._statistic(again))
        except Exception as error:
            self.problems[number] = f"the statistic raised {type(error).__name__}: {error}"
            return
        if [("statistic", name) for name in named] != self.names:
            self.problems[number] = f"the statistic gave {', '.join(named)}, not what it gives of the fit itself"
            return
        self._rows[number] = np.array(list(named.values()))

    def draws(self, numbers: list[int], fits: list[Refitted]) -> Float:
        """(B, quantities)."""
        if self._statistic is None:
            return parameter_values(self._fit.spec, fits)
        nothing = np.full(len(self.names), np.nan)
        return np.array([self._rows.get(j, nothing) for j in numbers]).reshape(len(numbers), len(self.names))


DEFAULT_NSIM, DEFAULT_SEED = 1000, 0  # of intervals asked for by name


def fixed_limits(fit: PointResults, level: float) -> tuple[Float, Float]:
    """Percentile limits of the fixed effects from the fit's own bootstrap."""
    limits = fit.booted.conf_int(level)
    if not fit.spec.p:
        return np.empty(0), np.empty(0)
    own = limits.loc["fixed"]
    return own["lower"].to_numpy(), own["upper"].to_numpy()


def variance_limits(fit: PointResults, level: float) -> tuple[Float, Float]:
    """Percentile limits of every variance parameter, in the order of `varcomp`."""
    limits = fit.booted.conf_int(level)
    keys = [(p.kind, p.name) for p in parameters(fit.spec)]
    own = limits.loc[keys]
    return own["lower"].to_numpy(), own["upper"].to_numpy()


def correlation_limits(fit: PointResults, p: Parameter, level: float) -> tuple[float, float]:
    """Percentile limits of a correlation."""
    own = fit.booted.conf_int(level)
    j = list(own.index).index(("correlation", p.name))
    return float(own["lower"].iloc[j]), float(own["upper"].iloc[j])


def as_numbers(value: Any) -> dict[str, float]:
    """A statistic as named numbers: of a number, a mapping, a Series, or a sequence."""
    if hasattr(value, "items") and not hasattr(value, "columns"):
        pairs: Mapping[Any, Any] = dict(value.items())
        return {str(name): _number(one) for name, one in pairs.items()}
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim > 1:
        raise OptionError(
            f"the statistic gave a {type(value).__name__}; a number, a sequence of numbers, a mapping or a Series is "
            "needed"
        )
    if array.ndim == 0:
        return {"statistic": float(array)}
    return {str(j): float(x) for j, x in enumerate(array)}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise OptionError(f"the statistic gave {value!r:.60}, which is no number") from None
