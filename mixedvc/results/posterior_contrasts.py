"""Posteriors of linear functions of the fixed effects: contrasts and marginal means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..inference.comparisons import comparison_weights
from ..inference.emmeans import ReferenceGrid
from ..inference.hypotheses import hypotheses
from ..inference.intervals import check_level
from . import posterior_numbers as pn
from .emmeans import TRAIT, _combined, _groups, _names, _notes, _of_traits
from .listing import interval_names, label, listing

if TYPE_CHECKING:
    import pandas as pd

    from .posterior import PosteriorResults
    from .render import ModelSummary

Float = NDArray[np.float64]
COLUMNS = ("estimate", "sd", "rhs", "lower", "upper", "above", "ess", "rhat")  # a variable of such a name gets a point


@dataclass(frozen=True, repr=False)
class PosteriorContrasts:
    """What `PosteriorResults.contrast` and `PosteriorMeans.contrast` return; printing shows the table.

    Attributes
    ----------
    frame : DataFrame
        Labels, then estimate (posterior mean), sd, lower, upper, above (the posterior probability that the function
        exceeds rhs), ess, rhat; rhs where it is not zero.
    draws : (C, D, c)
        NaN where a function is not estimable.
    level : float
    interval : str
        "hdi" | "quantile".
    """

    frame: pd.DataFrame
    draws: Float = field(repr=False)
    level: float
    interval: str
    notes: tuple[str, ...] = ()
    title: str = "Contrasts of fixed effects"

    def summary(self) -> ModelSummary:
        """The table as text, HTML and LaTeX."""
        stubs = list(self.frame.columns)[: list(self.frame.columns).index("estimate")]
        return listing(
            self.title, self.frame, stubs, self.notes, _heads(self.level, self.interval, "rhs" in self.frame)
        )

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


@dataclass(frozen=True, repr=False)
class PosteriorMeans(PosteriorContrasts):
    """What `PosteriorResults.emmeans` returns: marginal means as posteriors.

    Attributes
    ----------
    specs, by : tuple of str
    var : str or None
        The covariate whose slopes these are.
    levels : DataFrame
        The variables asked for, by their own names.
    """

    specs: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    var: str | None = None
    levels: Any = field(default=None, repr=False)

    def contrast(
        self, method: str | Mapping[str, Any] = "pairwise", *, ref: int | str | None = None, level: float | None = None
    ) -> PosteriorContrasts:
        """Compare the means, within each combination of `by`.

        Parameters
        ----------
        method : str or mapping
            "pairwise" | "revpairwise" | "trt.vs.ctrl" | "consec" | "poly" | "eff", or a dictionary from names to
            weights.
        ref : int or str, optional
            The control of "trt.vs.ctrl".
        level : float, optional
            Of the intervals; as for the means by default.
        """
        import pandas as pd

        labels, made = [], []
        for key, at in _groups(self.levels, self.by):
            own = [" ".join(map(label, row)) for row in self.levels.loc[at, list(self.specs)].to_numpy(dtype=object)]
            K, names = comparison_weights(method, own, ref)
            labels += [{"contrast": name, **dict(zip(self.by, key, strict=True))} for name in names]
            flat = self.draws[..., at].reshape(-1, len(at)).T
            made.append(_combined(K, flat))
        rows = np.concatenate(made).T.reshape(*self.draws.shape[:2], -1)
        frame = pd.DataFrame(labels, columns=["contrast", *self.by])
        asked = self.level if level is None else check_level(level)
        return _table(frame, rows, np.zeros(len(labels)), asked, self.interval, self.notes[1:])


def contrast(fit: PosteriorResults, given: Any, rhs: Any, level: float, interval: str) -> PosteriorContrasts:
    """See `PosteriorInferring.contrast`."""
    import pandas as pd

    found = hypotheses(given, fit.spec.x_names, rhs, fit.spec.aliased)
    labels = pd.DataFrame({"contrast": pd.Series(found.labels, dtype=object)})
    draws = fit.draws.beta @ found.L.T
    return _table(labels, draws, found.rhs, check_level(level), pn.check_interval(interval), ())


def emmeans(
    fit: PosteriorResults,
    specs: str | Sequence[str],
    by: str | Sequence[str] | None,
    at: Mapping[str, Any] | None,
    weights: str,
    var: str | None,
    level: float,
    interval: str,
) -> PosteriorMeans:
    """See `PosteriorInferring.emmeans`."""
    import pandas as pd

    specs, by = _names(specs, "specs"), _names(by, "by")
    if fit.spec.traits is None:
        found = ReferenceGrid(fit.spec, at).marginal((*specs, *by), weights, var)
    else:
        by = by if TRAIT in (*specs, *by) else (*by, TRAIT)
        found = _of_traits(fit, (*specs, *by), at, weights, var)
    asked = [*specs, *by]
    columns = list(zip(*found.levels, strict=True))
    levels = pd.DataFrame(dict(zip(asked, columns, strict=True)), index=pd.RangeIndex(len(found.levels)))
    labels = levels if asked else pd.DataFrame({"mean of": ["all"]})
    there = np.asarray(np.isfinite(found.L).all(axis=1))
    draws = fit.draws.beta @ np.where(there[:, None], found.L, 0.0).T + found.offset
    draws[..., ~there] = np.nan
    rhs = np.zeros(len(found.L))
    table = _table(labels, draws, rhs, check_level(level), pn.check_interval(interval), _notes(found, weights, fit))
    what = "means" if var is None else f"slopes in {var}"
    frame = table.frame.drop(columns=["above"])
    return PosteriorMeans(
        frame, draws, table.level, table.interval, table.notes, f"Marginal {what}", specs, by, var, levels
    )


def _table(
    labels: pd.DataFrame, draws: Float, rhs: Float, level: float, interval: str, notes: tuple[str, ...]
) -> PosteriorContrasts:
    frame = labels.rename(columns={name: f"{name}." for name in labels.columns if name in COLUMNS})
    made = [pn.numbers(draws[..., j], level, interval) for j in range(draws.shape[-1])]
    frame["estimate"], frame["sd"] = [n.mean for n in made], [n.sd for n in made]
    if np.any(rhs != 0.0):
        frame["rhs"] = rhs
    frame["lower"], frame["upper"] = [n.lower for n in made], [n.upper for n in made]
    above = np.mean(np.asarray(draws > rhs), axis=(0, 1))
    frame["above"] = np.where(np.isfinite(draws).all(axis=(0, 1)), above, np.nan)
    frame["ess"], frame["rhat"] = [n.ess_bulk for n in made], [n.rhat for n in made]
    kind = "highest posterior density" if interval == "hdi" else "equal tails"
    about = f"Posterior means and standard deviations; intervals of {100 * level:g}%: {kind}."
    return PosteriorContrasts(frame, draws, level, interval, (about, *notes))


def _heads(level: float, interval: str, rhs: bool) -> dict[str, str]:
    names = {"estimate": "mean", "sd": "std dev", "above": "P(>rhs)" if rhs else "P(>0)", "ess": "ESS", "rhat": "R-hat"}
    limits = {"lower": f"[{100 * level:g}%", "upper": "HPD]"} if interval == "hdi" else interval_names(level)
    return {**limits, **names}
