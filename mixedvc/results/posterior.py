"""Results of a sampler: every number is a summary of draws, and the draws themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotProvided, OptionError
from ..estimators.base import PosteriorEstimate
from ..inference import intervals
from ..inference.parameters import Parameter, parameters
from ..inference.se import ParameterCovariance
from ..sampling.base import Draws
from . import posterior_numbers as pn
from .point import PointResults
from .posterior_inferring import PosteriorInferring
from .posterior_predict import PosteriorPredicting
from .posterior_reporting import PosteriorReporting
from .posterior_traits import PosteriorTraits
from .traits import TraitResults

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
PARTS = ("par", "beta")


@dataclass(frozen=True, eq=False, repr=False)
class PosteriorResults(PosteriorPredicting, PosteriorReporting, PosteriorInferring, PointResults):  # type: ignore[misc]
    """A sampled posterior. Point estimates are posterior means, standard errors posterior standard deviations.

    Intervals are of highest posterior density ("hdi") or of equal tails ("quantile"). What only a maximised
    likelihood has (AIC, p-values, profiles, …) is refused by name.

    Examples
    --------
    >>> import mixedvc as mv
    >>> data = mv.load_data("dyestuff")
    >>> fit = mv.fit("Yield ~ 1 + (1 | Batch)", data, method="gibbs", draws=500, workers=1, seed=1)
    >>> fit
    <PosteriorResults: Yield ~ 1 + (1 | Batch) by gibbs, 30 rows, 4 chains of 500 draws; .summary() prints it>
    >>> h2 = fit.heritability("Batch")
    >>> low, high = h2.interval(0.9)
    >>> bool(low < h2.median < high)
    True
    >>> bool(fit.probability(lambda v: v["Batch"] > v["Residual"]) < 0.7)
    True
    >>> fit.posterior["posterior"]["share"].dims
    ('chain', 'draw', 'term')
    """

    @property
    def draws(self) -> Draws:
        """Kept draws as arrays."""
        assert isinstance(self.estimate, PosteriorEstimate)
        return self.estimate.draws

    @cached_property
    def posterior(self) -> Any:
        """The draws as ArviZ data with named dimensions: see `to_arviz`."""
        return self.to_arviz()

    @property
    def priors(self) -> Any:
        """What was believed before: `priors.resolve.ModelPriors`, one bound prior for each term."""
        assert isinstance(self.estimate, PosteriorEstimate)
        return self.estimate.priors

    @property
    def sampled_by(self) -> Any:
        """The likelihood that effects given θ are drawn with."""
        return self._evaluator

    def prior_words(self) -> dict[str, str]:
        """Priors in words, by term; those nobody asked for are called default."""
        from .posterior_notes import prior_words

        return prior_words(self)

    def extend(self, draws: int, *, workers: int | None = None, progress: bool | None = None) -> PosteriorResults:
        """The same chains, `draws` draws longer: what a run of that length would have been, bit for bit.

        Parameters
        ----------
        draws : int
            More draws of each chain.
        workers : int, optional
            Processes.
        progress : bool, optional
            Show a progress bar; by default only on a terminal or in a notebook, and only for long work.
        """
        from ..estimators.gibbs import extend

        assert isinstance(self.estimate, PosteriorEstimate)
        more = extend(self.spec, self.estimate, self.likelihood, draws, workers=workers, progress=progress)
        return replace(self, estimate=more)

    # ---- numbers -------------------------------------------------------------------------------------------------

    @cached_property
    def _numbers(self) -> dict[tuple[str, int, float, str], pn.Numbers]:
        return {}

    def summary_of(self, part: str, j: int, level: float = 0.95, interval: str = "hdi") -> pn.Numbers:
        """Numbers of column `j` of "par" (variance parameters) or "beta" (fixed effects), kept once computed."""
        key = (part, j, level, interval)
        if key not in self._numbers:
            self._numbers[key] = pn.numbers(getattr(self.draws, part)[..., j], level, interval)
        return self._numbers[key]

    def all_numbers(self, level: float = 0.95, interval: str = "hdi") -> dict[str, pn.Numbers]:
        """Numbers of every fixed effect and every variance parameter that is not held."""
        out = {f"{name}": self.summary_of("beta", j, level, interval) for j, name in enumerate(self.spec.x_names)}
        taken = set(out)
        for j, p in enumerate(parameters(self.spec)):
            if not self.estimate.fixed[j]:
                name = f"{p.name} (variance)" if p.name in taken else p.name
                out[name] = self.summary_of("par", j, level, interval)
        return out

    @property
    def n_parameters(self) -> int:
        """Fixed effects and variance parameters that are not held."""
        return self.spec.p + int(np.sum(~self.estimate.fixed))

    @property
    def computation(self) -> str:
        """What ran and why, in words."""
        d, e = self.draws, self.estimate
        words = [f"{e.method}: {d.plan.describe()}" if hasattr(d.plan, "describe") else e.method]
        words.append(f"{e.likelihood} likelihood ({e.reason})" if e.reason else f"{e.likelihood} likelihood")
        size = f"{d.chains} chain{'s' * (d.chains != 1)} of {d.count} draws"
        return "; ".join([*words, size, *([e.message] if e.message else [])])

    # ---- fixed effects -------------------------------------------------------------------------------------------

    @cached_property
    def params(self) -> pd.Series:
        """Posterior means of the fixed effects."""
        return self._fixed(self.draws.beta.mean(axis=(0, 1)), "mean")

    @cached_property
    def bse(self) -> pd.Series:
        """Posterior standard deviations of the fixed effects."""
        return self._fixed(np.std(self.draws.beta, axis=(0, 1), ddof=1), "sd")

    def conf_int(self, alpha: float = 0.05, method: str = "hdi") -> pd.DataFrame:  # type: ignore[override]
        """Credible intervals of the fixed effects, columns 0 and 1; `method` "hdi" or "quantile"."""
        import pandas as pd

        level, kind = intervals.check_level(1 - alpha), pn.check_interval(method)
        made = [pn.limits(self.draws.beta[..., j], level, kind) for j in range(self.spec.p)]
        return pd.DataFrame(made, index=list(self.spec.x_names), columns=[0, 1])

    def cov_params(self) -> pd.DataFrame:  # type: ignore[override]
        """Posterior covariance of the fixed effects."""
        import pandas as pd

        names = list(self.spec.x_names)
        return pd.DataFrame(covariance_of(self.draws.beta), index=names, columns=names)

    # ---- variance components -------------------------------------------------------------------------------------

    @cached_property
    def varcomp(self) -> pd.DataFrame:
        """Variance components, one row a parameter, each term's in vech order, the residual last.

        Columns: group, effect, effect2, variance (posterior mean; of a covariance where effect2 is given), sd (mean of
        its square root; of a correlation there), se (posterior standard deviation), lower, upper (95 % highest
        posterior density), share (mean part of the average variance of an observation), boundary (False: a posterior
        has no mass there), median, mode, ess_bulk, ess_tail, rhat, mcse (of the mean).
        """
        return self.variances()

    def variances(  # type: ignore[override]
        self, *, level: float = 0.95, interval: str | None = None
    ) -> pd.DataFrame:
        """`varcomp` at another level, or with "quantile" intervals in the place of "hdi" ones."""
        from .posterior_frames import variance_frame

        return variance_frame(self, intervals.check_level(level), self.interval_kind(interval))

    def interval_kind(self, interval: str | None) -> str:
        """The kind of interval asked for, or "hdi"."""
        return pn.check_interval(interval)

    def cov_varcomp(self) -> pd.DataFrame:  # type: ignore[override]
        """Posterior covariance of the variance parameters; zero rows for those that are held."""
        import pandas as pd

        names = [p.name for p in parameters(self.spec)]
        return pd.DataFrame(self.covariance().par, index=names, columns=names)

    def covariance(self, information: str | None = None) -> ParameterCovariance:
        """Posterior covariance of the variance parameters and of θ."""
        if information is not None:
            raise NotProvided("a posterior has no information matrix: its covariance is that of the draws")
        free = ~np.asarray(self.estimate.fixed)
        par = covariance_of(self.draws.par)
        se = np.where(free, np.sqrt(np.diagonal(par)), np.nan)
        return ParameterCovariance("posterior", par, covariance_of(self.draws.theta), se, free)

    def correlation(
        self, p: Parameter, level: float = 0.95, interval: str | None = None
    ) -> tuple[float, float, float, float]:
        """Correlation of two effects of a term: posterior mean, standard deviation and interval."""
        from .posterior_data import sd_draws

        made = pn.numbers(sd_draws(self)[..., parameters(self.spec).index(p)], level, self.interval_kind(interval))
        return made.mean, made.sd, made.lower, made.upper

    # ---- again ---------------------------------------------------------------------------------------------------

    def refit(self, y: Any, *, seed: int | None = None) -> PosteriorResults:
        """Sample the posterior of the same model for another response: rows of the fit, or of the data it came from.

        `seed`: of the new draws; that of this fit by default.
        """
        from . import support

        if self.estimator is None:
            raise OptionError("this result does not carry its estimator, so it cannot be refitted: use mixedvc.fit")
        values = support.response(self.spec, y)
        spec = replace(self.spec, y=values.copy())
        rng = np.random.default_rng(self.draws.seed if seed is None else seed)
        likelihood = self._repeated.with_response(values)
        estimate = self.estimator.fit(spec, likelihood=likelihood, rng=rng)
        return type(self)(spec, estimate, likelihood, self.estimator, self.information)

    def __repr__(self) -> str:
        about = getattr(self.spec.source, "formula", None) or " + ".join(t.text for t in self.spec.terms)
        d = self.draws
        state = ", interrupted" if d.interrupted else ""
        size = f"{d.chains} chain{'s' * (d.chains != 1)} of {d.count} draws"
        return (
            f"<{type(self).__name__}: {about} by {self.method}, {self.nobs} rows, {size}{state}; .summary() prints it>"
        )


def covariance_of(draws: Float) -> Float:
    """(m, m) covariance of draws (C, D, m), all chains together."""
    if not draws.shape[-1]:
        return np.zeros((0, 0))
    flat = draws.reshape(-1, draws.shape[-1])
    return np.atleast_2d(np.cov(flat, rowvar=False)) if len(flat) > 1 else np.full((flat.shape[1],) * 2, np.nan)


@dataclass(frozen=True, eq=False, repr=False)
class TraitPosterior(PosteriorTraits, PosteriorResults, TraitResults):  # type: ignore[misc]
    """A sampled posterior of several traits."""
