"""Inference a user asks of a fit by name; each method hands over to the module that does it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from . import support

if TYPE_CHECKING:
    import pandas as pd

    from .bootstrap import Bootstrap
    from .point import PointResults
    from .profile import Profile, Profiler


class Inferring:
    """Tests, profiles, bootstraps and diagnoses of a `PointResults`."""

    def bootstrap(
        self: Any,
        statistic: Callable[[PointResults], Any] | None = None,
        nsim: int = 1000,
        *,
        kind: str = "parametric",
        random: str = "new",
        seed: int | None = None,
        workers: int = 1,
        level: float = 0.95,
        progress: bool | None = None,
    ) -> Bootstrap:
        """Refit the model to responses made from it, and see how estimates vary.

        Parameters
        ----------
        statistic : callable, optional
            A function of the refitted results that returns a number, a sequence, a mapping or a Series; every
            parameter (fixed effects, variances, standard deviations, correlations, shares) by default.
        nsim : int
            Responses, and so refits.
        kind : str
            "parametric": effects and residuals are drawn from normal distributions.  "residual": levels and rows are
            drawn with replacement from BLUPs and residuals, centred and spread out to the estimated variances
            (Carpenter, Goldstein & Rasbash 2003), so that normality is not assumed.
        random : str
            "new": effects are drawn for every response (lme4's ``use.u=FALSE``).  "fitted": the BLUPs are kept and
            only residuals are drawn.
        seed : int, optional
            The same draws for any number of workers.  Without one they are new each time; ``.seed`` tells them again.
        workers : int
            Processes, each with one BLAS thread; they take a second or so to start.  A statistic is computed here.
        level : float
            Of the intervals shown.
        progress : bool, optional
            Show a progress bar; by default only on a terminal or in a notebook, and only for long work.

        Returns
        -------
        Bootstrap
            With ``draws``, ``conf_int()``, ``summary()`` and ``failures``; an interruption (Ctrl-C) returns the
            replicates that are there.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
        >>> boot = fit.bootstrap(nsim=100, seed=1)
        >>> boot.draws.shape
        (100, 7)
        >>> low, high = boot.conf_int().loc[("sd", "Residual")]
        >>> bool(low < 49.5 < high)
        True
        """
        from .bootstrap import bootstrap

        return bootstrap(self, statistic, nsim, kind, random, seed, workers, level, progress)

    def profile(
        self: Any,
        parameters: Any = None,
        *,
        level: float = 0.95,
        progress: bool | None = None,
        criterion: str | None = None,
    ) -> Profile:
        """Profile likelihoods: intervals that follow the likelihood where it is not quadratic, and their curves.

        Parameters
        ----------
        parameters : optional
            None: standard deviations, correlations and fixed effects, as lme4's ``profile``.  A group: "variances" (the
            rows of `varcomp`), "sd", "correlations", "covariances", "shares" (of the variance of an observation),
            "fixed", "all".  A name: ``"kin"``, ``"Subject[Days]"``, ``"sd(kin)"``, ``"share(kin)"``,
            ``"corr(Subject[Intercept, Days])"``, a fixed effect.  A mapping from names to functions of the variance parameters, which get
            them as a mapping: ``{"ratio": lambda v: v["kin"] / v["Residual"]}``.  Or a list of these.
        level : float
            Of the intervals to find; others can be asked for later.
        progress : bool, optional
            Show a progress bar; by default only on a terminal or in a notebook, and only for long work.  An
            interruption (Ctrl-C) returns the profiles that are finished.
        criterion : str, optional
            "reml" | "ml": profile variances on this one instead of the one that was fitted, around its own maximum.
            lme4 profiles the ML criterion, for a REML fit too.

        Returns
        -------
        Profile
            With ``conf_int()``, ``frame``, ``curve(name)`` and ``plot()``.  Fixed effects are always profiled on the
            unrestricted likelihood: the restricted one does not know them.

        Raises
        ------
        NotProvided
            A method without a likelihood.
        OptionError
            Unknown names, or parameters that are held fixed.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), method="ml")
        >>> fit.profile("sd").conf_int()[["lower", "upper"]].round(1).to_numpy().tolist()
        [[12.2, 84.1], [38.2, 67.7]]
        """
        from .profile import profile

        return profile(self, parameters, level, progress, criterion)

    @cached_property
    def profiler(self: Any) -> Profiler:
        """What finds profiles of this fit and keeps what it found."""
        from .profile import profiler

        return profiler(self)

    def test_varcomp(self: Any, component: str | None = None, method: str = "mixture") -> pd.DataFrame:
        """Test that a variance is zero: likelihood ratio against the fit without the term.

        Parameters
        ----------
        component : str, optional
            A term with one effect; all such terms, one at a time, by default.
        method : str
            "mixture": ½χ²₀ + ½χ²₁; "chi2": χ²₁, conservative.

        Returns
        -------
        DataFrame, one row a component: statistic, p_value, method, llf, llf_null.
        """
        return support.test_varcomp(self, component, method)
