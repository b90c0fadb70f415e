"""Inference a user asks of a fit by name; each method hands over to the module that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from .all_fit import AllFit
    from .anova import Anova
    from .bootstrap import Bootstrap
    from .contrasts import Contrasts
    from .diagnose import Diagnosis
    from .emmeans import MarginalMeans
    from .influence import Influence
    from .point import PointResults
    from .profile import Profile, Profiler
    from .robust import RobustResults


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

    @cached_property
    def booted(self: Any) -> Bootstrap:
        """The parametric bootstrap behind intervals asked for as "boot": 1,000 replicates, seed 0."""
        from .bootstrap import DEFAULT_NSIM, DEFAULT_SEED

        return self.bootstrap(nsim=DEFAULT_NSIM, seed=DEFAULT_SEED)

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
            ``"corr(Subject[Intercept, Days])"``, a fixed effect.  A mapping from names to functions of the variance
            parameters, which get them as a mapping: ``{"ratio": lambda v: v["kin"] / v["Residual"]}``.  Or a list.
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

    def test_varcomp(
        self: Any,
        component: str | None = None,
        method: str = "auto",
        nsim: int | None = None,
        *,
        seed: int | None = None,
        workers: int = 1,
    ) -> pd.DataFrame:
        """Test that a variance is zero: likelihood ratio against the fit without it.

        Parameters
        ----------
        component : str, optional
            A term (``"Subject"``: all of its effects) or an effect of one (``"Subject[Days]"``; of several traits also
            ``"Subject[y1]"``: a trait's whole row of Σ).  By default every term of one effect, and the slopes of the
            others, one at a time; of several traits every term, and every trait in it.
        method : str
            "exact": the finite-sample law of the (restricted) likelihood ratio, simulated (Crainiceanu & Ruppert 2004);
            for one variance.  Where there are other random terms, the law of the model without them stands in for it
            (Greven et al. 2008), which "auto" leaves alone.
            "mixture": the large-sample law: ½χ²₀ + ½χ²₁ for one variance, ½χ²_{k−1} + ½χ²_k for one of k correlated
            effects, and its generalisation (chi-bar-square, simulated) for several.
            "boot": parametric bootstrap: both models refitted to responses drawn from the smaller.
            "chi2": χ², conservative.
            "auto": the first of exact, mixture, boot that applies and is affordable.
        nsim : int, optional
            Simulations (10,000) or bootstrap replicates (1,000).
        seed : int, optional
        workers : int
            Processes of the bootstrap.

        Returns
        -------
        DataFrame, one row a component: statistic, p_value, mc_error (Monte-Carlo standard error of the p-value), df,
        method (the reference distribution in words), llf, llf_null.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
        >>> fit.test_varcomp("Batch", method="mixture")[["statistic", "p_value"]].round(4).values.tolist()
        [[6.369, 0.0058]]
        >>> bool(fit.test_varcomp("Batch", seed=1).p_value["Batch"] < 0.0058)
        True
        """
        from .component_tests import test_varcomp

        return test_varcomp(self, component, method, nsim, seed, workers)

    def anova(self: Any, type: int | str = 3, df: str = "satterthwaite") -> Anova:
        """F tests of the terms of the fixed part, as lmerTest's anova.

        Parameters
        ----------
        type : 1, 2, 3 or "I", "II", "III"
            I: each term after those before it.  II: each term after all that do not contain it.  III: equally weighted
            cells (Yates), whatever the coding of the factors.
        df : str
            "satterthwaite" | "kenward-roger" (REML fits) | "residual" | "normal".

        Returns
        -------
        Anova, with the table in ``.frame`` (Sum Sq, Mean Sq, NumDF, DenDF, F value, Pr(>F)) and what was tested in
        ``.hypotheses``.  Of several traits: each term in every trait, and ("all") in all of them together.

        Raises
        ------
        NotProvided
            A model that was not made from a formula.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("distance ~ age * Sex + (1 | Subject)", mv.load_data("orthodont"))
        >>> fit.anova(df="kenward-roger").frame[["NumDF", "DenDF", "F value"]].round(2)
                 NumDF   DenDF  F value
        term
        age          1   79.00   108.36
        Sex          1  103.99     0.45
        age:Sex      1   79.00     6.30
        """
        from .anova import anova

        return anova(self, type, df)

    def contrast(
        self: Any,
        L: Any,
        rhs: Any = None,
        *,
        df: str = "satterthwaite",
        adjust: str = "none",
        level: float = 0.95,
    ) -> Contrasts:
        """Test linear functions of the fixed effects, L β = rhs, one by one and (``.f_test()``) together.

        Parameters
        ----------
        L : object
            A row or a matrix of weights; a frame with coefficients as columns; text, ``"Days = 10"`` or
            ``"a - 2*b = 0"``, in which names are those of `params`; a dictionary from coefficients to weights; a list
            of these, or a dictionary from labels to them.
        rhs : number or sequence, optional
            Values under the hypothesis; zero by default.  Text brings its own.
        df : str
            "satterthwaite" | "kenward-roger" (REML fits) | "residual" | "normal".
        adjust : str
            For the number of rows: "none" | "bonferroni" | "holm" | "sidak" | "fdr" | "mvt" (exact under normality).
        level : float
            Of the intervals.

        Returns
        -------
        Contrasts: ``.frame`` (contrast, estimate, se, df, t, p, lower, upper), ``.f_test()``.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
        >>> fit.contrast("Days = 10").frame[["estimate", "se", "df", "p"]].round(3)
           estimate     se    df      p
        0    10.467  1.546  17.0  0.766
        """
        from .contrasts import contrast

        return contrast(self, L, rhs, df, adjust, level)

    def emmeans(
        self: Any,
        specs: str | Sequence[str],
        by: str | Sequence[str] | None = None,
        at: Mapping[str, Any] | None = None,
        *,
        weights: str = "equal",
        var: str | None = None,
        df: str = "satterthwaite",
        level: float = 0.95,
        adjust: str = "none",
    ) -> MarginalMeans:
        """Estimated marginal means: the fixed part on a grid of its variables, averaged, as R's emmeans.

        Factors enter with all their levels, numbers at their mean over the rows of the fit (with two values at both).

        Parameters
        ----------
        specs, by : str or list of str
            Variables with a mean for each combination; `by` splits the table for contrasts; ``[]``: the overall mean.
            With several traits "trait" is a variable too, in `by` unless it is named.
        at : mapping, optional
            Values of variables on the grid: numbers of covariates, some of a factor's levels.
        weights : str
            Of the cells averaged over: "equal"; "proportional" to the rows in each combination of what is averaged
            over; "outer" (product of single factors' proportions); "cells" (rows in each cell, also within `specs`).
        var : str, optional
            Slopes in this covariate in the place of means (emtrends).
        df : str
            "satterthwaite" | "kenward-roger" (REML fits) | "residual" | "normal".
        level, adjust
            Of the intervals; `adjust`: "none" | "bonferroni" | "sidak" | "mvt".

        Returns
        -------
        MarginalMeans: ``.frame``, ``.contrast("pairwise")``, ``.plot()``.  Means that are not estimable are NaN.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("distance ~ age * Sex + (1 | Subject)", mv.load_data("orthodont"))
        >>> means = fit.emmeans("Sex", at={"age": 14})
        >>> means.frame.round(2)
              Sex  estimate    se     df  lower  upper
        0    Male     27.32  0.54  37.14  26.23  28.41
        1  Female     24.09  0.65  37.14  22.77  25.40
        >>> means.contrast("pairwise").frame[["contrast", "estimate", "se"]].round(3)
                contrast  estimate     se
        0  Male - Female     3.236  0.844
        """
        from .emmeans import emmeans

        return emmeans(self, specs, by, at, weights, var, df, level, adjust)

    def cov_robust(self: Any, cluster: Any = None, kind: str = "CR2") -> RobustResults:
        """Cluster-robust (sandwich) covariance of the fixed effects: right even where the model's covariance is not.

        Parameters
        ----------
        cluster : str or (n,), optional
            A random term or column by name, or a label for each row (each record, of several traits).  Clusters share
            no random effect; by default they are the smallest groups of rows that the model makes independent.
        kind : str
            "CR2" (unbiased where the model holds; Bell & McCaffrey), "CR1" (m/(m-1)), "CR1S" (Stata's) or "CR0".

        Returns
        -------
        RobustResults: cov, bse, tvalues, df, pvalues, conf_int(), contrast(), summary().

        Raises
        ------
        OptionError
            Clusters that depend on each other: crossed terms, or relatives in several.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("distance ~ age * Sex + (1 | Subject)", mv.load_data("orthodont"))
        >>> fit.cov_robust("Subject").bse.round(3).to_dict()
        {'Intercept': 1.21, 'age': 0.102, 'Sex[T.Female]': 1.429, 'age:Sex[T.Female]': 0.121}
        """
        from .robust import cov_robust

        return cov_robust(self, cluster, kind)

    def residuals(self: Any, kind: str = "response") -> pd.Series:
        """y − fitted values: as they are, over their standard deviations, or decorrelated too.

        Parameters
        ----------
        kind : str
            "response"; "pearson": over the residual standard deviation of each row (weights and a residual variance of
            its own are in it); "normalized": L⁻¹ (y − ŷ) with L Lᵀ the residual covariance, which takes serial
            correlation out as well (rows of a group in their order).
        """
        from ..inference.residuals import scaled

        return self.padded(scaled(self.spec, self.theta, self.resid_values, kind), f"residuals ({kind})")

    def influence(self: Any, group: Any = None, *, refit: bool = False, progress: bool | None = None) -> Influence:
        """What the fixed effects would be without each group of rows: Cook's distance, DFBETA(S), COVRATIO, leverage.

        Parameters
        ----------
        group : str or (n,), optional
            A random term or a column by name, or a label for each row: its levels are left out, one at a time.  Single
            rows by default, or (several traits) records.
        refit : bool
            False: exact for the fixed effects at the variances of the fit, without fitting again.  True: the variances
            are estimated again without each group (as lme4's ``influence``); ``.varcomp`` has them.
        progress : bool, optional
            Show a progress bar; by default only on a terminal or in a notebook, and only for long work.

        Returns
        -------
        Influence: ``.frame``, ``.dfbeta``, ``.dfbetas``, ``.params``, ``.top()``, ``.plot()``.  These are deletions and
        their effect on fixed effects; ``augment(influence=True)`` has the row-wise distances of lme4's
        ``cooks.distance``, which count the fitted random effects among the parameters.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
        >>> fit.influence("Subject").top(1).index[0]
        '309'
        """
        from .influence import influence

        return influence(self, group, refit, progress)

    def all_fit(
        self: Any,
        methods: Sequence[str] | None = None,
        *,
        starts: int = 3,
        seed: int | None = 0,
        progress: bool | None = None,
    ) -> AllFit:
        """Maximise the same criterion by every method that can, and from several starts: do they end at one maximum?

        Parameters
        ----------
        methods : list of str, optional
            Registered names; all that maximise the criterion of this fit by default.
        starts : int
            Random starting values beside small and large random effects (for the fit's own method).
        seed : int, optional
            Of the random starts.
        progress : bool, optional
            Show a progress bar; by default only on a terminal or in a notebook, and only for long work.

        Returns
        -------
        AllFit: ``.frame`` (method, start, log-likelihood, evaluations, seconds, …), ``.estimates``, ``.verdict`` in
        words, ``.fits``.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"))
        >>> fit.all_fit(starts=1).agree
        True
        """
        from .all_fit import all_fit

        return all_fit(self, methods, starts, seed, progress)

    def diagnose(self: Any) -> Diagnosis:
        """The fit looked over, in words: each finding with the number behind it and the remedy.

        Convergence, gradient and Hessian at the maximum, singular terms and what to drop, collinear and badly scaled
        columns, groups (few, single rows, constant), outlying levels and rows, tiny components, residuals that are
        skew, heavy-tailed, of unequal spread or serially correlated.

        Returns
        -------
        Diagnosis: prints (text and HTML) the worst first; ``.frame``, ``.problems``, ``.verdict``.

        Examples
        --------
        >>> import mixedvc as mv
        >>> fit = mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
        >>> [finding.check for finding in fit.diagnose().problems]
        ['normality of residuals', 'outlying rows']
        """
        from .diagnose import diagnose

        return diagnose(self)

    def principal_components(self: Any) -> dict[str, pd.DataFrame]:
        """Principal components of each term's random effects (lme4's rePCA): how many the data support.

        Returns
        -------
        dict of DataFrame, one a term: variance, relative_sd (over the residual's, as rePCA prints; NaN of several
        traits, which have no residual in common), share, cumulative, and the loadings of the effects.
        """
        from .diagnose import principal_components

        return principal_components(self)
