"""Inference a user asks of a posterior by name: what has a Bayesian meaning, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import posterior_numbers as pn
from .posterior_derived import Names, PosteriorQuantity, Probability, evaluate, probability
from .posterior_refused import refused

if TYPE_CHECKING:
    from .posterior_contrasts import PosteriorContrasts, PosteriorMeans
    from .posterior_diagnose import PosteriorDiagnosis

POINT = "fit the same formula with method='reml' or method='ml' for"
EVIDENCE = "waic(), loo() and dic() compare posteriors"


class PosteriorInferring:
    """Statements about parameters; to stand before `PointResults` in the bases."""

    def derived(
        self: Any,
        function: Callable[[Mapping[str, Any]], Any],
        *,
        name: str = "",
        level: float = 0.95,
        interval: str = "hdi",
    ) -> PosteriorQuantity:
        """Any function of the variance parameters and fixed effects (by name) as a posterior.

        Parameters
        ----------
        function : callable
            Gets a mapping from the names of `cov_varcomp` and of the fixed effects to draws (arrays), or, where it
            does not take arrays, to one draw at a time: ``fit.derived(lambda v: v["kin"] / v["Residual"])``.
        name : str
            How it is printed.
        level, interval
            "hdi" (highest posterior density) or "quantile".
        """
        from ..inference.intervals import check_level
        from .posterior_data import named_draws

        draws = evaluate(function, Names(named_draws(self))).astype(float)
        label = name or getattr(function, "__name__", "function")
        return PosteriorQuantity(draws, label, "", check_level(level), pn.check_interval(interval))

    def probability(self: Any, statement: Callable[[Mapping[str, Any]], Any]) -> Probability:
        """Posterior probability of a statement about variance parameters and fixed effects, by name.

        ``fit.probability(lambda v: v["animal"] > v["Residual"])``; its ``.mcse`` is the Monte-Carlo standard error.
        """
        from .posterior_data import named_draws

        values = Names(named_draws(self))
        return probability(evaluate(statement, values), next(iter(values.values())).shape)

    def heritability(
        self: Any,
        term: str | None = None,
        denominator: Sequence[str] | None = None,
        *,
        scale: str = "variance",
        level: float = 0.95,
        interval: str = "hdi",
    ) -> PosteriorQuantity:
        """Share of a term's variance as a posterior; the denominator is named in it.

        Parameters
        ----------
        term : str, optional
            Term (``"kin"``) or one of its variances (``"id[Intercept]"``); needed unless one term has a covariance.
        denominator : list of str, optional
            Terms added up below the line; all terms and ``"Residual"`` by default.
        scale : str
            "variance": σ² as they are.  "pve": each kernel counted with its (centred) average diagonal, as GEMMA does.
        level : float
        interval : str
            "hdi" (highest posterior density) or "quantile".
        """
        from .posterior_frames import heritability

        return heritability(self, term, denominator, scale, level, interval)

    def contrast(
        self: Any, L: Any, rhs: Any = None, *, level: float = 0.95, interval: str = "hdi"
    ) -> PosteriorContrasts:
        """Posteriors of linear functions of the fixed effects.

        Parameters
        ----------
        L : object
            A row or a matrix of weights; a frame with coefficients as columns; text, ``"Days = 10"`` or
            ``"a - 2*b = 0"``, in which names are those of `params`; a dictionary from coefficients to weights; a list
            of these, or a dictionary from labels to them.
        rhs : number or sequence, optional
            Values whose exceedance is told; zero by default.  Text brings its own.
        level, interval
            "hdi" (highest posterior density) or "quantile".

        Returns
        -------
        PosteriorContrasts: ``.frame`` (contrast, estimate, sd, lower, upper, above: the posterior probability that
        the function exceeds rhs, ess, rhat), ``.draws``.
        """
        from .posterior_contrasts import contrast

        return contrast(self, L, rhs, level, interval)

    def emmeans(
        self: Any,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        *,
        weights: str = "equal",
        var: str | None = None,
        level: float = 0.95,
        interval: str = "hdi",
    ) -> PosteriorMeans:
        """Posteriors of marginal means: the fixed part on a grid of its variables, averaged (see `PointResults`).

        Returns
        -------
        PosteriorMeans: ``.frame``, ``.draws``, ``.contrast("pairwise")``.
        """
        from .posterior_contrasts import emmeans

        return emmeans(self, specs, by, at, weights, var, level, interval)

    def diagnose(self: Any) -> PosteriorDiagnosis:
        """The chains looked over, in words: do they agree, how many draws are they worth, what did the data add?

        Effective sample sizes, R-hat, Geweke's comparison of beginning and end, Heidelberger and Welch's test of
        stationarity, autocorrelation, chains that stand apart, acceptance, and components whose posterior is hardly
        narrower than their prior or lies where the prior does not expect it.

        Returns
        -------
        PosteriorDiagnosis: prints (text and HTML) the worst first; ``.frame`` (findings), ``.table`` (a row a
        parameter), ``.problems``, ``.verdict``.
        """
        from .posterior_diagnose import diagnose

        return diagnose(self)

    # ---- refused -------------------------------------------------------------------------------------------------

    llf = refused(f"no likelihood was maximised. {EVIDENCE}; {POINT} llf")
    aic = refused(f"{EVIDENCE}; {POINT} AIC")
    bic = refused(f"{EVIDENCE}; {POINT} BIC")
    tvalues = refused("probability() and the intervals of conf_int() say how sure an effect is")
    pvalues = refused("probability(lambda v: v['x'] > 0) or contrast('x') gives the posterior probability of a sign")
    df_fixed = refused("intervals come from the draws, which need no degrees of freedom; see conf_int()")
    df_covariance = refused("intervals come from the draws, which need no degrees of freedom; see cov_varcomp()")
    kenward_roger = refused("the uncertainty of the variances is in the draws of the fixed effects; see cov_params()")
    test_varcomp = refused(
        "a variance has no point mass at zero, so its posterior cannot test that it is zero; heritability() and "
        f"probability() say how large it may be, {EVIDENCE} with and without the term; {POINT} a test"
    )
    anova = refused(f"contrast() and emmeans() have posteriors, {EVIDENCE}; {POINT} F tests")
    bootstrap = refused("the draws are the distribution: see draws_frame(), derived() and posterior_predictive()")
    booted = refused("the draws are the distribution: see draws_frame()")
    profile = refused("marginal posteriors take the place of profiles: plot_density(), variances()")
    profiler = refused("marginal posteriors take the place of profiles: plot_density()")
    plot_profile = refused("plot_density() draws marginal posteriors")
    cov_robust = refused(f"draws follow the model's own covariance; {POINT} cov_robust()")
    influence = refused(f"loo() has the influence of single rows (Pareto k); {POINT} deletion diagnostics")
    all_fit = refused("nothing was maximised: diagnose() compares the chains")
    with_information = refused("standard deviations are those of the draws; see cov_varcomp()")
