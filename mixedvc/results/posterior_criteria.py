"""How well a posterior predicts and how it compares with others: DIC, WAIC, PSIS-LOO, evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MixedVCWarning, OptionError, warn
from ..inference.posterior_criteria import (
    Evidence,
    conditional_loglik,
    leave_out,
    log_evidence,
    marginal_deviances,
    pointwise,
    unit_labels,
)
from ..inference.posterior_draws import effect_draws
from ..sampling.target import Target
from .posterior_numbers import array_stats
from .posterior_scores import DIC, ElpdScore, chained, groups_of, loo_score, waic_score

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
_UNITS = 60_000_000  # draws × units of a pointwise log-likelihood that are held at once
_SEED = 7  # word of the random stream of importance sampling
CRITERIA = ("loo", "waic", "dic")


@dataclass(frozen=True)
class Pointwise:
    """Log-likelihood of each unit given θ, β and u.

    Attributes
    ----------
    values : (C, D, m)
        C chains of D evenly spaced kept draws: all of them where memory allows.
    labels : (m,) object
    unit : str
        "row"; "record" of several traits; "group" of rows whose residuals depend on each other.
    draws : (C, D) intp
        Which of the kept draws.
    """

    values: Float
    labels: NDArray[np.object_]
    unit: str
    draws: NDArray[np.intp]


def pointwise_log_likelihood(fit: Any) -> Pointwise:
    """Log p(y_i | θ, β, u) of the units of a fit, by chain."""
    drawn, spec = fit._effects, fit.spec
    unit, labels = unit_labels(spec)
    most = max(200, _UNITS // max(1, len(labels)))
    if len(drawn) > most:
        drawn = effect_draws(fit._single, fit.draws, most)
    values = chained(pointwise(drawn), fit.draws.chains)
    return Pointwise(values, labels, unit, drawn.draw.reshape(values.shape[:2]))


class PosteriorCriteria:
    """Criteria of a `PosteriorResults`."""

    @cached_property
    def _pointwise(self: Any) -> Pointwise:
        return pointwise_log_likelihood(self)

    def deviances(self: Any, marginal: bool = False) -> Float:
        """Deviance −2 log p(y | …) of each draw, (C, D): given θ, β and u (MCMCglmm's), or with u integrated out.

        Missing responses and cells are integrated out (MCMCglmm takes the observed cells of a record given the
        augmented ones).  Given u, of as many draws as memory has effects for: all as a rule.
        """
        if marginal:
            return np.asarray(marginal_deviances(self._evaluator, self.draws)[0].reshape(self.draws.chains, -1))
        return np.asarray(-2.0 * self._pointwise.values.sum(axis=2))

    def dic(self: Any, marginal: bool = False) -> DIC:
        """Deviance information criterion D̄ + p_D, p_D = D̄ − D(posterior means) (Spiegelhalter et al. 2002).

        Parameters
        ----------
        marginal : bool
            False: deviance given the random effects, as MCMCglmm and BUGS have it: how well new records of the same
            levels would be predicted.  True: random effects integrated out: records of new levels.  The two are not
            comparable with each other.
        """
        if marginal:
            each, at_means = marginal_deviances(self._evaluator, self.draws)
            each = each.reshape(self.draws.chains, -1)
        else:
            each = self.deviances()
            drawn = self._effects
            e = (self.spec.y - _mean_rows(self, drawn))[None]
            Sigma = drawn.sigmas[-1].mean(axis=0)[None]
            at_means = float(-2.0 * conditional_loglik(self.spec, e, Sigma).sum())
        return DIC(float(each.mean()), at_means, marginal, _error(each))

    def waic(self: Any) -> ElpdScore:
        """Widely applicable information criterion, given the random effects (Watanabe 2010)."""
        made = self._pointwise
        return waic_score(made.values, made.labels, made.unit)

    def loo(self: Any, *, marginal: bool = False, group: Any = None, draws: int = 400) -> ElpdScore:
        """Leave-one-out expected log predictive density by Pareto-smoothed importance sampling (Vehtari et al. 2017).

        Parameters
        ----------
        marginal : bool
            False: weights from p(y_i | θ, β, u).  True: the random effects are integrated out exactly,
            p(y_i | the other rows, θ, β), so that only θ and β are reweighted: far steadier where a level has few rows
            (Pareto k small), the same quantity, one solve with V a row and draw.
        group : str or array (n,), optional
            Leave out groups instead of rows: a term's name (all rows of one of its levels), or a label for each row;
            the random effects are integrated out.
        draws : int
            About how many of the kept draws, with `marginal` or `group`.

        Returns
        -------
        ElpdScore
            ``elpd``, ``se``, ``p`` (effective number of parameters), ``frame`` (elpd and pareto_k of each unit).

        Warns
        -----
        MixedVCWarning
            Where Pareto k says that importance sampling is unreliable, and what to do.
        """
        stats = array_stats("leave-one-out cross-validation")
        if not marginal and group is None:
            made = self._pointwise
            score = loo_score(stats, made.values, made.labels, made.unit, self._relative_ess)
        else:
            units, labels, unit = groups_of(self.spec, group)
            values, _, _ = leave_out(self._single, self.draws, units, _count(draws))
            score = loo_score(stats, chained(values, self.draws.chains), labels, unit, self._relative_ess, True)
        if score.problem:
            warn(score.problem, MixedVCWarning)
        return score

    def log_evidence(self: Any, *, evaluations: int = 5_000) -> Evidence:
        """log p(y), everything integrated out, by importance sampling; its difference is a log Bayes factor.

        All priors of variances must be proper.  Fixed effects with a flat prior count as of density one: only models
        with the same of them compare.

        Returns
        -------
        Evidence: value, se (Monte-Carlo), pareto_k (of the importance weights; above 0.7 it is unreliable).
        """
        if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 100:
            raise OptionError(f"evaluations={evaluations!r}: a whole number of at least 100")
        target = Target(self.spec, self._evaluator, self.priors)
        rng = np.random.default_rng(np.random.SeedSequence(self.draws.seed, spawn_key=(evaluations, _SEED)))
        found = log_evidence(target, self.draws, evaluations, rng)
        if found.pareto_k > 0.7:
            warn(
                f"log_evidence(): Pareto k = {found.pareto_k:.2f} of the importance weights is above 0.7, so the value "
                "is unreliable: give more evaluations=, or priors with less mass far from the posterior",
                MixedVCWarning,
            )
        return found

    def log_bayes_factor(self: Any, other: Any, *, evaluations: int = 5_000) -> float:
        """log p(y | this model) − log p(y | other), see `log_evidence`.

        Raises
        ------
        OptionError
            Other responses; fixed effects with flat priors that are not the same.
        """
        _same_data(self, other, "this", "other")
        mine, theirs = (fit.log_evidence(evaluations=evaluations) for fit in (self, other))
        if (mine.flat or theirs.flat) and not _same_fixed(self, other):
            raise OptionError(
                "log_bayes_factor(): the models have different fixed effects with flat priors, so their evidences have "
                "different units: give priors={'fixed': Normal(…)}"
            )
        return mine.value - theirs.value

    def compare_with(self: Any, others: Mapping[str, Any], *, by: str = "loo", name: str = "this") -> pd.DataFrame:
        """This posterior beside others of the same responses, best first.

        Parameters
        ----------
        others : mapping of str to PosteriorResults
        by : str
            "loo", "waic" (expected log predictive densities) or "dic".
        name : str
            Of this one.

        Returns
        -------
        DataFrame, one row a model: elpd, se, p, difference (to the best), se_difference (of it, pairwise over units),
        unreliable (units with a large Pareto k); by "dic": dic, p, difference.
        """
        from .posterior_scores import ranking

        if by not in CRITERIA:
            raise OptionError(f"by={by!r} is not one of {', '.join(map(repr, CRITERIA))}")
        fits = {name: self, **dict(others)}
        if len(fits) != len(others) + 1:
            raise OptionError(f"two models are called {name!r}: give name= another")
        for label, fit in fits.items():
            _same_data(self, fit, name, label)
        return ranking({label: getattr(fit, by)() for label, fit in fits.items()}, by)

    @property
    def _relative_ess(self: Any) -> float:
        """Effective draws of the parameters per draw."""
        par = self.draws.par
        moves = [j for j in range(par.shape[2]) if np.ptp(par[..., j]) > 0]
        if par.shape[1] < 4 or not moves:
            return 1.0
        ess = array_stats("leave-one-out cross-validation").ess
        found = [float(ess(par[..., j], method="mean")) for j in moves]
        return float(np.clip(np.nanmean(found) / (par.shape[0] * par.shape[1]), 1e-3, 1.0))


def _mean_rows(fit: Any, drawn: Any) -> Float:
    """(n,) x'β + offset + Σ z'u at the means of the draws."""
    from ..inference.posterior_draws import row_draws
    from ..inference.predict import training_rows

    return np.asarray(row_draws(drawn, training_rows(fit.spec, range(len(fit.spec.terms)))).mean(axis=0))


def _error(x: Float) -> float:
    """Monte-Carlo standard error of the mean of x (C, D); NaN without arviz-stats."""
    from .posterior_numbers import mcse, there

    return float(mcse(x)) if there() else float("nan")


def _count(draws: Any) -> int:
    if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
        raise OptionError(f"draws={draws!r}: a whole number of at least 1")
    return int(draws)


def _same_data(one: Any, other: Any, first: str, second: str) -> None:
    if not hasattr(other, "log_evidence"):
        raise OptionError(f"{second!r} is not a posterior: fit it with method='gibbs'")
    if one.spec.n != other.spec.n or not np.array_equal(one.spec.y, other.spec.y):
        raise OptionError(
            f"{first!r} and {second!r} have different responses or rows: fit both to the same rows to compare them"
        )


def _same_fixed(one: Any, other: Any) -> bool:
    return bool(one.spec.X.shape == other.spec.X.shape and np.allclose(one.spec.X, other.spec.X))
