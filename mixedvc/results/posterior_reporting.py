"""What a posterior prints, tabulates and draws; the numbers are made elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import NotProvided
from ..inference.intervals import check_level
from . import posterior_numbers as pn

if TYPE_CHECKING:
    import pandas as pd
    from statsmodels.iolib.summary import Summary


class PosteriorReporting:
    """Tables, ArviZ data and plots of a posterior; to stand before `PointResults` in the bases."""

    def summary(self: Any, *, level: float = 0.95, interval: str = "hdi") -> Summary:
        """A statsmodels Summary: header, fixed effects, variances, notes; text, HTML and LaTeX.

        Parameters
        ----------
        level : float
            Of all intervals.
        interval : str
            "hdi" (highest posterior density) or "quantile" (equal tails).
        """
        from .posterior_table import summary_table
        from .render import render

        return render(summary_table(self, check_level(level), pn.check_interval(interval)))

    def tidy(
        self: Any,
        effects: str | tuple[str, ...] = ("fixed", "ran_pars"),
        *,
        scales: str = "sdcor",
        conf_int: bool = True,
        level: float = 0.95,
        interval: str = "hdi",
    ) -> pd.DataFrame:
        """broom.mixed's tidy: effect, group, term, estimate, std.error, conf.low, conf.high, rhat, ess.

        `effects` among "fixed", "ran_pars", "ran_vals"; ``scales="vcov"`` gives variances instead of sd's.  Estimates
        are posterior means.
        """
        from .posterior_frames import tidy

        return tidy(self, effects, scales, conf_int, check_level(level), pn.check_interval(interval))

    def glance(self: Any) -> pd.DataFrame:
        """broom.mixed's glance: algorithm, chains, pss (draws in all), nobs, sigma, rhat.max, ess.min."""
        from .posterior_frames import glance

        return glance(self)

    def augment(self: Any, *, influence: bool = False) -> pd.DataFrame:
        """broom.mixed's augment: the data with .fitted, .resid, .fixed, made of posterior means."""
        from . import frames, support

        if influence:
            raise NotProvided("a posterior has no leverages: loo() has the influence of single rows (Pareto k)")
        return frames.augment(self, support.used_data(self.spec), False)

    def draws_frame(self: Any) -> pd.DataFrame:
        """All draws, one row each: chain, draw, fixed effects, variance parameters (named as in `cov_varcomp`), lp.

        A fixed effect with the name of a variance parameter is called ``fixed: name``.
        """
        from .posterior_data import draws_frame

        return draws_frame(self)

    def to_arviz(self: Any, *, effects: bool | None = None, log_likelihood: bool = False) -> Any:
        """The posterior as ArviZ data (an xarray DataTree), for arviz_stats and arviz_plots.

        Parameters
        ----------
        effects : bool, optional
            Random effects (u_<term>); by default where the fit kept them.
        log_likelihood : bool
            Add the pointwise log-likelihood, which ``arviz_stats.loo`` needs.

        Returns
        -------
        DataTree
            ``posterior``: beta (dim fixed), var_<term> or cov_<term> (dims effect_<term>, effect2_<term>; or trait,
            trait2), sd_<term>, cor_<term>, par_<term> (parameters of a structure), share (dims [trait,] term),
            u_<term>; ``sample_stats``: lp, loglik, acceptance_rate; ``observed_data``; attributes with the scheme,
            the seed and the priors in words.

        Raises
        ------
        MissingExtra
            Without ``pip install mixedvc[bayes]``.
        """
        from .posterior_data import arviz_data

        return arviz_data(self, effects, log_likelihood)

    def plot_trace(self: Any, parameters: Any = None, ax: Any = None) -> Any:
        """Draws of each parameter against iteration, a colour a chain."""
        from .plots.posterior_chains import trace

        return trace(self, parameters, ax=ax)

    def plot_rank(self: Any, parameters: Any = None, ax: Any = None) -> Any:
        """Ranks of each chain's draws among all: flat where the chains agree."""
        from .plots.posterior_chains import rank

        return rank(self, parameters, ax=ax)

    def plot_autocorrelation(self: Any, parameters: Any = None, max_lag: int = 40, ax: Any = None) -> Any:
        """Autocorrelations of each parameter, a line a chain."""
        from .plots.posterior_chains import autocorrelation

        return autocorrelation(self, parameters, max_lag, ax=ax)

    def plot_density(
        self: Any, parameters: Any = None, *, level: float = 0.95, prior: bool = True, ax: Any = None
    ) -> Any:
        """Marginal posteriors with their interval and, where it is proper, the prior."""
        from .plots.posterior_density import density

        return density(self, parameters, level, prior, ax=ax)

    def plot_pairs(self: Any, parameters: Any = None, ax: Any = None) -> Any:
        """Variance parameters against each other."""
        from .plots.posterior_density import pairs

        return pairs(self, parameters, ax=ax)

    def plot_forest(self: Any, parameters: Any = None, *, level: float = 0.95, ax: Any = None) -> Any:
        """Means and intervals under each other: "shares" (or "fixed"), "sd", names, or a term's random effects."""
        from .plots.posterior_forest import forest

        return forest(self, parameters, level, ax=ax)
