"""What a posterior says of random effects: means, covariances, draws, intervals, ranks, effects of features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..inference.blup import roster
from ..inference.features import choose_term
from ..inference.intervals import check_level
from ..inference.posterior import PosteriorMeans, posterior_covariances, posterior_means
from ..inference.posterior_draws import EffectDraws, effect_draws
from ..inference.posterior_features import feature_posterior
from ..inference.posterior_intervals import check_kind, limits
from ..likelihood.base import Likelihood
from ..likelihood.choose import choose, rank_choices
from . import frames
from .features import labelled

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


class PosteriorEffects:
    """Random effects of a `PosteriorResults`; to stand before `PointResults` in the bases."""

    @cached_property
    def _single(self: Any) -> Likelihood:
        """The likelihood that is cheapest for one θ after another: that of the chains may be so for many at once."""
        own, best = self._evaluator, rank_choices(self.spec, "many")[0].name
        return own if own.reml and own.name == best else choose(self.spec, reml=True, purpose="many")[0]

    @cached_property
    def _means(self: Any) -> PosteriorMeans:
        """Posterior means of what predictions are made of, given θ exactly, averaged over draws of θ."""
        return posterior_means(self._single, self.draws, self.priors.fixed)

    @cached_property
    def _posterior_covariances(self: Any) -> tuple[list[Float], list[Float]]:
        return posterior_covariances(self._single, self.draws, self.priors.fixed)

    @cached_property
    def _pev(self: Any) -> list[Float]:
        return list(self._posterior_covariances[0])

    @property
    def _conditional(self: Any) -> list[Float]:
        return list(self._pev)

    @cached_property
    def _effects(self: Any) -> EffectDraws:
        """Random effects that go with the kept draws, or with as many of them as memory allows."""
        return effect_draws(self._single, self.draws)

    @cached_property
    def random_effects(self: Any) -> dict[str, pd.DataFrame]:
        """Posterior means of the random effects: for each term, levels × effects.

        Where the covariance knows more levels than the data, its other levels (relatives without records) are there
        too, and the rows are in the covariance's order.  Given θ they are known exactly, and averaged over up to 500
        draws of θ.
        """
        from ..inference.blup import effects

        return dict(self._by_term(lambda i: frames.level_frame(self.spec, i, effects(self.spec, self._means, i))))

    @cached_property
    def random_effects_cov(self: Any) -> dict[str, pd.DataFrame]:
        """Posterior covariance of each level's effects, rows (level, effect); ``.loc["a"]`` is k×k.

        The uncertainty of θ and of the fixed effects is in it (law of total variance, over 200 to 500 draws of θ).
        """
        return dict(self._by_term(lambda i: frames.covariance_frame(self.spec, i, self._pev[i])))

    @cached_property
    def conditional_variances(self: Any) -> dict[str, pd.DataFrame]:
        """Posterior variances of the effects, levels × effects: the diagonals of `random_effects_cov`."""
        return dict(self.pev)

    @cached_property
    def pev(self: Any) -> dict[str, pd.DataFrame]:
        """Posterior variances of the effects, levels × effects; nothing is taken as known but the model."""
        return dict(self._by_term(lambda i: frames.level_frame(self.spec, i, np.einsum("lkk->lk", self._pev[i]))))

    @cached_property
    def reliability(self: Any) -> dict[str, pd.DataFrame]:
        """1 − posterior variance over the posterior mean of the prior variance A_ll Σ: what the data tell."""
        from ..inference.blup import reliability

        prior = self._posterior_covariances[1]
        return dict(self._by_term(lambda i: frames.level_frame(self.spec, i, reliability(self._pev[i], prior[i]))))

    def random_effects_draws(self: Any, term: str | None = None, draws: int | None = None) -> pd.DataFrame:
        """Draws of the random effects of a term, each from its exact law given θ, β and y.

        The same whenever they are asked for: the effects that go with a kept draw depend on the fit's seed only.

        Parameters
        ----------
        term : str, optional
            Needed where the model has several.
        draws : int, optional
            About how many of the kept draws, evenly spaced; all of them by default (fewer where the levels are so many
            that all draws would take more than 400 MB: ask for a number to have more).

        Returns
        -------
        DataFrame
            Rows (chain, draw), columns levels, or (level, effect) where a term has several effects.
        """
        import pandas as pd

        i = self._term_of(term, "random_effects_draws")
        drawn = self._drawn(draws)
        own = self.spec.terms[i]
        columns = frames.level_frame(self.spec, i, np.zeros((drawn.effects[i].shape[1], own.k))).index
        if own.k > 1:
            columns = pd.MultiIndex.from_product([columns, list(own.effects)], names=[own.group, "effect"])
        return pd.DataFrame(drawn.effects[i].reshape(len(drawn), -1), index=draw_index(drawn), columns=columns)

    def random_effects_intervals(
        self: Any, term: str | None = None, *, level: float = 0.95, kind: str = "hdi"
    ) -> pd.DataFrame:
        """Posterior of every effect of a term: level, effect, mean, sd, lower, upper.

        Parameters
        ----------
        term : str, optional
            Needed where the model has several.
        level : float
        kind : str
            "hdi" (the shortest interval) or "quantile" (equal tails), from draws.
        """
        import pandas as pd

        level, kind = check_level(level), check_kind(kind)
        i = self._term_of(term, "random_effects_intervals")
        own, u = self.spec.terms[i], self._effects.effects[i]
        lower, upper = limits(u, level, kind)
        labels = roster(own).labels
        columns = {
            own.group: np.repeat(labels, own.k),
            "effect": np.tile(np.array(own.effects, dtype=object), len(labels)),
            "mean": self.random_effects[own.name].to_numpy().reshape(-1),
            "sd": u.std(axis=0, ddof=1).reshape(-1),
            "lower": lower.reshape(-1),
            "upper": upper.reshape(-1),
        }
        return pd.DataFrame(columns)

    def rank_probabilities(
        self: Any,
        term: str | None = None,
        *,
        top: float | int = 0.1,
        effect: str | None = None,
        largest: bool = True,
        candidates: Sequence[Any] | None = None,
        level: float = 0.95,
    ) -> pd.DataFrame:
        """How surely each level is among the best: the posterior of its rank.

        Parameters
        ----------
        term : str, optional
            Needed where the model has several.
        top : float or int
            A fraction of the levels, or how many, that count as the best.
        effect : str, optional
            Needed where the term has several.
        largest : bool
            Whether the best are the largest effects.
        candidates : sequence, optional
            Levels to rank; all of them, relatives without records included, by default.
        level : float
            Of the interval of the rank (equal tails).

        Returns
        -------
        DataFrame
            Levels, surest first: mean (of the effect), top (probability of being among the best), rank (its posterior
            mean; 1 is the best), lower, upper.
        """
        import pandas as pd

        from .selection_index import candidates_of, count_of

        level, i = check_level(level), self._term_of(term, "rank_probabilities")
        own = self.spec.terms[i]
        a = self._effect_of(own, effect)
        everyone = roster(own).labels
        some = candidates_of(everyone, candidates, own)
        count = count_of(top, len(some), "top")
        u = self._effects.effects[i][:, some, a]
        order = np.argsort(-u if largest else u, axis=1, kind="stable")
        ranks = np.empty(u.shape, dtype=np.intp)
        np.put_along_axis(ranks, order, np.broadcast_to(np.arange(1, u.shape[1] + 1), u.shape), axis=1)
        lower, upper = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0, method="nearest")
        frame = pd.DataFrame(
            {
                "mean": self.random_effects[own.name].to_numpy()[some, a],
                "top": (ranks <= count).mean(axis=0),
                "rank": ranks.mean(axis=0),
                "lower": lower,
                "upper": upper,
            },
            index=pd.Index(everyone[some], name=own.group, tupleize_cols=False),
        )
        return frame.sort_values(["top", "rank"], ascending=[False, True], kind="stable")

    def feature_effects(self: Any, term: str | None = None, *, se: bool = False) -> pd.DataFrame:
        """Posterior of the effects of the columns of a term's features: the term as a random regression.

        Parameters
        ----------
        term : str, optional
            Needed unless one term has a `Features` covariance.
        se : bool
            Add posterior standard deviations and reliabilities (from draws of the random effects).

        Returns
        -------
        DataFrame, one row a feature: effect (posterior mean, of one unit as the features were given), standardised (of
        one standard deviation), se (of effect), reliability (1 − posterior over prior variance).
        """
        i = choose_term(self.spec, term)
        found = feature_posterior(self.spec, self._means, self._effects if se else None, i)
        return labelled(self.spec, i, found)

    def plot_effects(
        self: Any, term: str | None = None, ax: Any = None, *, level: float = 0.95, kind: str = "hdi"
    ) -> Any:
        """Caterpillar plot of a term's random effects: posterior means and intervals."""
        from .plots import caterpillar

        own = self.spec.terms[self._term_of(term, "plot_effects")]
        frame = self.random_effects_intervals(own.name, level=level, kind=kind)
        ends = tuple(frame[side].to_numpy().reshape(-1, own.k) for side in ("lower", "upper"))
        return caterpillar(self, own.name, level=level, limits=ends, ax=ax)

    # ---- helpers --------------------------------------------------------------------------------------------

    def _drawn(self: Any, draws: int | None) -> EffectDraws:
        """Effects of as many draws as are asked for."""
        if draws is None:
            return self._effects
        if isinstance(draws, bool) or not isinstance(draws, int | np.integer) or draws < 1:
            raise OptionError(f"draws={draws!r}: a whole number of at least 1")
        have = self.draws.chains * self.draws.count
        if draws > have:
            raise OptionError(f"draws={draws}: the fit kept {have} draws; fit.extend() makes more")
        return effect_draws(self._single, self.draws, int(draws))

    def _term_of(self: Any, name: str | None, what: str) -> int:
        """Place of the term called `name`, or of the only one."""
        names = [term.name for term in self.spec.terms]
        if not names:
            raise OptionError(f"{what}(): the model has no random terms")
        if name is None and len(names) == 1:
            return 0
        if name not in names:
            said = "of which term?" if name is None else f"no random term is called {name!r};"
            raise OptionError(f"{what}(): {said} term= is one of {', '.join(map(repr, names))}")
        return names.index(name)

    @staticmethod
    def _effect_of(term: Any, name: str | None) -> int:
        if name is None and term.k == 1:
            return 0
        if name not in term.effects:
            said = "which effect?" if name is None else f"no effect is called {name!r};"
            raise OptionError(f"{term.text}: {said} effect= is one of {', '.join(map(repr, term.effects))}")
        return int(term.effects.index(name))


def draw_index(drawn: EffectDraws) -> Any:
    """(chain, draw) of each row of a frame of draws, counted from 0."""
    import pandas as pd

    return pd.MultiIndex.from_arrays([drawn.chain, drawn.draw], names=["chain", "draw"])
