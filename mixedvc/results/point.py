"""Results of a point fit: names, inference and tables around the numbers of an estimator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import NotProvided, OptionError
from ..estimators.admissible import admissible
from ..estimators.base import Estimator, PointEstimate
from ..inference import blup, fitstats, intervals, predict, ratios, residuals
from ..inference import df as dof
from ..inference.fixed import LeastSquares
from ..inference.kenward_roger import KenwardRoger, kenward_roger
from ..inference.parameters import Parameter, parameters
from ..inference.se import KINDS, ParameterCovariance, default_kind, parameter_covariance, sampling_covariance
from ..likelihood.base import Evaluation, Likelihood
from ..likelihood.choose import choose, rank_choices
from . import frames, support
from .features import effects_frame as features_frame
from .fixed_tests import fixed_tests
from .inferring import Inferring
from .limits import limits_by
from .reporting import Reporting

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class PointResults(Reporting, Inferring):
    """A fitted model. Nothing is computed before it is asked for; what was computed is kept.

    Parameters
    ----------
    spec : ModelSpec
    estimate : PointEstimate
        What the estimator returned.
    likelihood : Likelihood or None
        Evaluates the model at the estimate; chosen when first needed where a method ran without one.
    estimator : Estimator, optional
        Needed by `refit` and `test_varcomp`.
    information : str
        "expected" | "average" | "observed": the information behind the standard errors of variances; "auto" is the
        expected one where it is affordable, else the average one.
    """

    spec: ModelSpec
    estimate: PointEstimate
    likelihood: Likelihood | None
    estimator: Estimator | None = None
    information: str = "auto"

    def __post_init__(self) -> None:
        if self.information not in ("auto", *KINDS):
            raise OptionError(f"information={self.information!r} is not one of 'auto', {', '.join(map(repr, KINDS))}")

    @cached_property
    def evaluation(self) -> Evaluation:
        """The model at the estimate (at the nearest admissible one where a moment estimate is negative)."""
        if self.estimate.fixed_effects == "none":
            raise NotProvided(support.WITHOUT_RESPONSE)
        if self.estimate.fixed_effects == "ols":
            return cast(Evaluation, LeastSquares(self.spec, self.theta, lambda: self._evaluator.at(self.theta)))
        return self._evaluator.at(self.theta)

    @cached_property
    def theta(self) -> Float:
        """Linear variance parameters behind fixed effects, BLUPs and predictions: the estimate, made admissible."""
        e = self.estimate
        return e.theta if e.loglik is not None else admissible(self.spec, e.theta)

    @cached_property
    def _evaluator(self) -> Likelihood:
        return self.likelihood or choose(self.spec, reml=self.estimate.reml is not False)[0]

    @cached_property
    def _repeated(self) -> Likelihood:
        """The likelihood that is cheapest for many responses: set up at the first `refit`, kept for the next."""
        current = self._evaluator
        best = rank_choices(self.spec, "many")[0].name
        return current if best == current.name else choose(self.spec, current.reml, "many")[0]

    @property
    def method(self) -> str:
        return self.estimate.method

    @property
    def converged(self) -> bool:
        return bool(self.estimate.converged)

    @property
    def is_singular(self) -> bool:
        """Some variance is zero, or some correlation ±1."""
        return bool(self.estimate.singular)

    @property
    def computation(self) -> str:
        """What ran, why it was chosen and how it ended, in words."""
        e = self.estimate
        steps = f"{e.n_evaluations} evaluation{'s' * (e.n_evaluations != 1)}"
        ran = f"{e.method} by the {e.likelihood} likelihood" if e.likelihood else e.method
        parts = [f"{ran} ({e.reason})" if e.reason else ran, steps, e.message]
        return "; ".join(part for part in parts if part)

    @property
    def nobs(self) -> int:
        """Rows in the fit."""
        return self.spec.n

    @property
    def df_resid(self) -> float:
        """n − p."""
        return float(self.spec.n - self.spec.p)

    @property
    def n_parameters(self) -> int:
        """Fixed effects and variance parameters estimated, as AIC and BIC count them (lme4)."""
        return fitstats.n_parameters(self.spec, self.estimate)

    @property
    def llf(self) -> float:
        """Log-likelihood that was maximised, with lme4's constants (restricted for REML)."""
        if self.estimate.loglik is None:
            raise NotProvided(
                f"method {self.method!r} has no likelihood, so no llf, aic or bic: use method='reml' or method='ml'"
            )
        return float(self.estimate.loglik)

    @property
    def aic(self) -> float:
        return fitstats.aic(self.llf, self.n_parameters)

    @property
    def bic(self) -> float:
        return fitstats.bic(self.llf, self.n_parameters, self.spec.n)

    @property
    def scale(self) -> float:
        """Residual variance σ_e²; its mean over the rows where samples have their own."""
        return residuals.scale(self.spec, self.estimate.theta)

    @cached_property
    def params(self) -> pd.Series:
        """Fixed effects."""
        return self._fixed(self.evaluation.beta, "coef")

    @cached_property
    def bse(self) -> pd.Series:
        """Standard errors of the fixed effects, given the variance components."""
        return self._fixed(np.sqrt(np.diagonal(self.evaluation.beta_cov)), "std err")

    @cached_property
    def tvalues(self) -> pd.Series:
        return (self.params / self.bse).rename("t")

    @cached_property
    def pvalues(self) -> pd.Series:
        """Two-sided p-values of the fixed effects with Satterthwaite's degrees of freedom."""
        return self._fixed(intervals.t_pvalue(self.tvalues.to_numpy(), self.df_fixed()), "P>|t|")

    def df_fixed(self, method: str = "satterthwaite", contrasts: Any = None) -> Float:
        """Degrees of freedom of each fixed effect, or of each row of `contrasts` (c, p).

        `method`: "satterthwaite", "kenward-roger" (REML fits), "residual" (n − p) or "normal" (∞).
        """
        return fixed_tests(self, method).denominator.single(dof.as_contrasts(contrasts, self.spec.p))

    @cached_property
    def kenward_roger(self) -> KenwardRoger:
        """Kenward and Roger's covariance of the fixed effects (``.cov``) and what their degrees of freedom need."""
        return kenward_roger(self.spec, self.evaluation, self.estimate)

    def conf_int(self, alpha: float = 0.05, method: str = "wald", df: str = "satterthwaite") -> pd.DataFrame:
        """Intervals of the fixed effects, columns 0 and 1.

        `method`: "wald" (coef ± t·se, t on `df` degrees of freedom), "profile" (profile of the unrestricted
        likelihood around its own maximum, also for a REML fit; see `profile`) or "boot" (percentiles of 1,000
        parametric bootstrap refits, seed 0; see `bootstrap` for others).
        """
        import pandas as pd

        intervals.check_method(method, ("wald", "profile", "boot"))
        level = intervals.check_level(1 - alpha)
        if made := limits_by(method):
            return pd.DataFrame(dict(enumerate(made.fixed_limits(self, level))), index=list(self.spec.x_names))
        low, high = fixed_tests(self, df).coefficients().interval(level)
        return pd.DataFrame({0: low, 1: high}, index=self.params.index)

    def cov_params(self, df: str = "satterthwaite") -> pd.DataFrame:
        """(XᵀV⁻¹X)⁻¹ of the fixed effects; with ``df="kenward-roger"`` the adjusted covariance (pbkrtest's vcovAdj)."""
        import pandas as pd

        names = list(self.spec.x_names)
        return pd.DataFrame(fixed_tests(self, df).cov, index=names, columns=names)

    @cached_property
    def varcomp(self) -> pd.DataFrame:
        """Variance components, one row a parameter, each term's in vech order, the residual last.

        Columns: group, effect, effect2, variance (a covariance where effect2 is given), sd (a correlation there), se,
        lower, upper (95 %: chi-square for variances, Wald for covariances and moment estimates), share (part of the
        average variance of an observation; they add up to 1), boundary.  In the correlation row of a cs or ar1 term
        `variance` is NaN and se, lower, upper are those of the correlation.
        """
        return self.variances()

    def variances(
        self, *, level: float = 0.95, interval: str | None = None, information: str | None = None
    ) -> pd.DataFrame:
        """`varcomp` at another level, with other intervals of variances, or by another information.

        `interval`: "chi2" (the default where there is a likelihood), "wald" (where there is none), "profile" (profile
        likelihood of the criterion that was fitted: slower, and the best of them where groups are few), "boot"
        (percentiles of 1,000 parametric bootstrap refits, seed 0), or "percentile" where the estimator kept draws.
        """
        level, interval = intervals.check_level(level), self.interval_kind(interval)
        made = limits_by(interval)
        limits = made and made.variance_limits(self, level)
        return frames.variance_frame(self.spec, self.estimate, self.covariance(information), level, interval, limits)

    def interval_kind(self, interval: str | None) -> str:
        """The kind of variance intervals asked for, or the method's own."""
        if interval is None:
            return "chi2" if self.estimate.loglik is not None else "wald"
        return intervals.check_method(interval)

    def cov_varcomp(self, information: str | None = None) -> pd.DataFrame:
        """Large-sample covariance of the variance parameters; zero rows for those that do not move."""
        import pandas as pd

        names = [p.name for p in parameters(self.spec)]
        return pd.DataFrame(self.covariance(information).par, index=names, columns=names)

    def with_information(self, information: str) -> PointResults:
        """The same fit with standard errors of variances from another information."""
        return replace(self, information=information)

    def correlation(
        self, p: Parameter, level: float = 0.95, interval: str | None = None
    ) -> tuple[float, float, float, float]:
        """Correlation of two effects of a term: estimate, delta-method SE, Fisher-z (or profile, boot) interval."""
        estimate, se, *limits = support.correlation(self, p, level)
        made = limits_by(interval)
        low, high = made.correlation_limits(self, p, level) if made else limits
        return estimate, se, low, high

    def heritability(
        self,
        term: str | None = None,
        denominator: Sequence[str] | None = None,
        *,
        scale: str = "variance",
        level: float = 0.95,
        interval: str = "logit",
    ) -> ratios.Ratio:
        """Share of a term's variance, with delta-method SE and interval; the denominator is named in it.

        Parameters
        ----------
        term : str, optional
            Term (``"kin"``) or one of its variances (``"id[Intercept]"``); needed unless one term has a covariance.
        denominator : list of str, optional
            Terms added up below the line; all terms and ``"Residual"`` by default.
        scale : str
            "variance": σ² as they are.  "pve": each kernel counted with its (centred) average diagonal, as GEMMA does.
        interval : str
            "logit" (delta method) or "profile" (likelihood).
        """
        return support.heritability(self, term, denominator, scale, intervals.check_level(level), interval)

    def derived(
        self,
        function: Callable[[Mapping[str, float]], float],
        *,
        name: str = "",
        level: float = 0.95,
        interval: str = "wald",
    ) -> ratios.Ratio:
        """Any smooth function of the variance parameters (by name), delta-method SE, "wald" or "profile" interval.

        Names are those of `cov_varcomp`: ``fit.derived(lambda v: v["kin"] / v["Residual"])``.
        """
        cov, level = self.covariance(None), intervals.check_level(level)
        made = ratios.delta(function, parameters(self.spec), self.estimate.par, cov.par, level=level, name=name)
        return support.with_interval(self, made, interval, "wald", lambda to: to.function_target(made.name, function))

    @cached_property
    def random_effects(self) -> dict[str, pd.DataFrame]:
        """BLUPs: for each term, levels × effects.

        Where the covariance knows more levels than the data, its other levels (relatives without records) are
        predicted too, and the rows are in the covariance's order.
        """
        return self._by_term(lambda i: frames.level_frame(self.spec, i, blup.effects(self.spec, self._means, i)))

    @cached_property
    def random_effects_cov(self) -> dict[str, pd.DataFrame]:
        """Var(u | y, β) (lme4's condVar): rows (level, effect); ``fit.random_effects_cov["g"].loc["a"]`` is k×k."""
        return self._by_term(lambda i: frames.covariance_frame(self.spec, i, self._conditional[i]))

    @cached_property
    def conditional_variances(self) -> dict[str, pd.DataFrame]:
        """The diagonals of `random_effects_cov`, levels × effects."""
        return self._by_term(lambda i: frames.level_frame(self.spec, i, np.einsum("lkk->lk", self._conditional[i])))

    @cached_property
    def pev(self) -> dict[str, pd.DataFrame]:
        """Prediction error variances Var(û − u), the uncertainty of β̂ included."""
        return self._by_term(lambda i: frames.level_frame(self.spec, i, np.einsum("lkk->lk", self._pev[i])))

    @cached_property
    def reliability(self) -> dict[str, pd.DataFrame]:
        """1 − PEV/diag(G), the squared accuracy of each prediction."""
        prior = [blup.prior_covariance(self.spec, self.theta, i) for i in range(len(self.spec.terms))]
        return self._by_term(lambda i: frames.level_frame(self.spec, i, blup.reliability(self._pev[i], prior[i])))

    def feature_effects(self, term: str | None = None, *, se: bool = False) -> pd.DataFrame:
        """BLUPs of the effects of the columns of a term's features: the term as a random regression (MATH 2).

        Parameters
        ----------
        term : str, optional
            Needed unless one term has a `Features` covariance.
        se : bool
            Add standard errors (of prediction) and reliabilities; about as costly as m predictions with errors.

        Returns
        -------
        DataFrame, one row a feature: effect (of one unit as the features were given), standardised (of one standard
        deviation), se (of effect), reliability.  Columns that are constant have effect 0.  The random effects are
        ``(W - W.mean()) @ effect`` (``W @ effect`` for features used as they are).
        """
        return features_frame(self, term, se)

    # ---- rows -----------------------------------------------------------------------------------------------

    @cached_property
    def fittedvalues(self) -> pd.Series:
        """Xβ̂ + offset + Σ Z û; NaN at dropped rows under ``missing="exclude"``."""
        return self.padded(self._fitted, "fitted")

    @cached_property
    def resid(self) -> pd.Series:
        """y − fittedvalues."""
        return self.padded(self.resid_values, "resid")

    @cached_property
    def fixed_fit(self) -> pd.Series:
        """Xβ̂ + offset."""
        rows = predict.training_rows(self.spec, ())
        return self.padded(predict.predict_mean(self.spec, self._means, rows), "fixed")

    @cached_property
    def resid_values(self) -> Float:
        """`resid` of the rows of the fit, unpadded."""
        return self.spec.y - self._fitted

    @cached_property
    def _fitted(self) -> Float:
        everything = predict.training_rows(self.spec, range(len(self.spec.terms)))
        return predict.predict_mean(self.spec, self._means, everything)

    def predict(
        self,
        newdata: Any = None,
        *,
        random: str | Sequence[str] = "all",
        new_levels: str = "error",
        features: Mapping[str, Any] | None = None,
        se: bool = False,
        interval: str | None = None,
        level: float = 0.95,
    ) -> Any:
        """Predict rows of `newdata` (the rows of the fit by default).

        Parameters
        ----------
        random : "all", "none" or list of term names
            Which random terms are added; columns of the others need not be there.
        new_levels : str
            Levels without rows in the fit: "error"; "zero" leaves the term out for them; "conditional" predicts those
            the known covariance knows through its cross terms, others at prior mean 0 with prior variance.
        features : mapping, optional
            Features of levels that a `Features` covariance does not know, by its name in ``cov=``: a frame with the
            levels as its index, or ``(matrix, labels)``.  They are standardised with the means and deviations of the
            fit; columns are matched by name where both have names.
        se : bool
            Add standard errors of x'β̂ + z'û as a guess of x'β + z'u: Var(β̂) and Cov(β̂, û) are in them.
        interval : "confidence" or "prediction", optional
            The second adds the residual variance of a new observation.

        Returns
        -------
        Series of predictions, or a DataFrame with columns predicted, se, lower, upper.
        """
        if interval not in (None, "confidence", "prediction"):
            raise OptionError(f"interval={interval!r} is not one of 'confidence', 'prediction', None")
        level = intervals.check_level(level)
        chosen = predict.choose_terms(self.spec, random)
        if newdata is None:
            if features is not None:
                raise OptionError("features= describes levels of new rows: give newdata= too")
            rows, wrap = predict.training_rows(self.spec, chosen), self.padded
        else:
            of_residual = interval == "prediction"
            rows, wrap = support.new_rows(self, newdata, chosen, new_levels, features, of_residual)
        mean = predict.predict_mean(self.spec, self._means, rows, new_levels)
        if not se and interval is None:
            return wrap(mean, "predicted")
        return support.with_errors(self, rows, mean, wrap, interval, level, new_levels)

    def simulate(
        self, nsim: int = 1, *, seed: int | np.random.Generator | None = None, random: str = "new"
    ) -> pd.DataFrame:
        """New responses, one column a draw; ``random="new"`` draws random effects, "fitted" keeps the BLUPs."""
        return support.simulate(self, nsim, seed, random)

    def refit(self, y: Any) -> PointResults:
        """The same model and method for another response: rows of the fit, or rows of the data it came from.

        The first call may decompose the kernel; later ones only rotate the response.
        """
        if self.estimator is None:
            raise OptionError("this result does not carry its estimator, so it cannot be refitted: use mixedvc.fit")
        if self.estimate.fixed_effects == "none":
            raise NotProvided(support.WITHOUT_RESPONSE)
        values = support.response(self.spec, y)
        spec = replace(self.spec, y=values.copy())
        likelihood = self._repeated.with_response(values) if "likelihood" in self.estimator.needs else None
        estimate = self.estimator.fit(spec, likelihood=likelihood)
        return type(self)(spec, estimate, likelihood, self.estimator, self.information)

    def __repr__(self) -> str:
        about = getattr(self.spec.source, "formula", None) or " + ".join(t.text for t in self.spec.terms)
        state = "" if self.converged else ", not converged"
        return f"<PointResults: {about} by {self.method}, {self.nobs} rows{state}; .summary() prints it>"

    # ---- helpers --------------------------------------------------------------------------------------------

    @property
    def _means(self) -> Evaluation:
        """What predictions are made of."""
        return self.evaluation

    def padded(self, values: Float, name: str) -> pd.Series:
        """A row quantity as a Series; NaN at the dropped rows under ``missing="exclude"``."""
        return support.padded(self.spec, values, name)

    def _fixed(self, values: Float, name: str) -> pd.Series:
        import pandas as pd

        return pd.Series(np.array(values), index=list(self.spec.x_names), name=name)

    def _by_term(self, make: Callable[[int], pd.DataFrame]) -> dict[str, pd.DataFrame]:
        return {term.name: make(i) for i, term in enumerate(self.spec.terms)}

    @cached_property
    def _conditional(self) -> list[Float]:
        return [
            blup.error_covariance(self.spec, self.evaluation, i, fixed_known=True) for i in range(len(self.spec.terms))
        ]

    @cached_property
    def _pev(self) -> list[Float]:
        return [blup.error_covariance(self.spec, self.evaluation, i) for i in range(len(self.spec.terms))]

    @cached_property
    def _covariances(self) -> dict[str, ParameterCovariance]:
        return {}

    def covariance(self, information: str | None = None) -> ParameterCovariance:
        """Covariance of the variance parameters by `information` (the fit's own by default), kept once computed."""
        if self.estimate.loglik is None:
            return sampling_covariance(self.spec, self.estimate, information)
        kind = information or self.information
        if kind == "auto":
            kind = default_kind(self.spec, self.estimate.likelihood)
        if kind not in self._covariances:
            self._covariances[kind] = parameter_covariance(self.spec, self.evaluation, self.estimate, kind)
        return self._covariances[kind]

    @cached_property
    def df_covariance(self) -> ParameterCovariance:
        """Satterthwaite's Cov(θ̂): from the observed information (as lmerTest), else the fit's own kind."""
        own = self.covariance()
        if own.kind not in ("expected", "observed"):  # the observed information needs the expected one
            return own
        observed = self.covariance("observed")
        return own if observed.problem else observed
