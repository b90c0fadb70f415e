"""Influence of groups or rows on a fit: Cook's distance, DFBETA(S), COVRATIO, leverage; by formulas or by refits."""

from __future__ import annotations

import dataclasses
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.subset import take_rows
from ..errors import MixedVCError, MixedVCWarning, NotProvided, OptionError
from ..inference import influence as deletion
from ..inference.parameters import par_slices, parameters
from ..inference.robust import cluster_labels
from ..progress import Progress
from .listing import listing

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults
    from .render import ModelSummary

Float = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Influence:
    """What `PointResults.influence` returns; printing shows the groups that matter most.

    Attributes
    ----------
    frame : DataFrame
        A row for each group: rows (cells, of several traits), cooks_d, mdffits, covratio, leverage.  NaN where the
        other rows do not tell all fixed effects.
    dfbeta : DataFrame, groups × fixed effects
        β̂ − β̂ without the group.
    dfbetas : DataFrame
        The same over the standard errors of β̂ without the group.
    params : DataFrame
        β̂ without each group.
    varcomp : DataFrame or None
        Variance parameters without each group, where the model was fitted again.
    refit : bool
    notes : tuple of str
    """

    frame: pd.DataFrame
    dfbeta: pd.DataFrame
    dfbetas: pd.DataFrame
    params: pd.DataFrame
    varcomp: pd.DataFrame | None
    refit: bool
    notes: tuple[str, ...]

    @property
    def cutoff(self) -> float:
        """4 / number of groups: Cook's distances above it deserve a look."""
        return 4.0 / len(self.frame)

    def top(self, n: int = 10) -> pd.DataFrame:
        """The `n` groups of the largest Cook's distance."""
        return self.frame.sort_values("cooks_d", ascending=False, na_position="first").head(n)

    def summary(self, n: int = 10) -> ModelSummary:
        """The `n` most influential groups, as text, HTML and LaTeX."""
        top = self.top(n)
        more = (
            [f"The {len(top)} of {len(self.frame)} groups of largest Cook's distance."] if n < len(self.frame) else []
        )
        names = {"cooks_d": "Cook's D", "mdffits": "MDFFITS", "covratio": "COVRATIO"}
        return listing(
            "Influence on the fixed effects", top, [str(top.index.name), "rows"], (*more, *self.notes), names
        )

    def plot(self, kind: str = "cooks", *, label: int = 5, ax: Any = None) -> Any:
        """Index plot of Cook's distance ("cooks"), or DFBETAS with a panel for each fixed effect ("dfbetas").

        `label` names that many of the largest.
        """
        from .plots.influence import influence

        return influence(self, kind, label=label, ax=ax)

    def __repr__(self) -> str:
        return str(self.summary())

    def _repr_html_(self) -> str:
        return self.summary().as_html()


def influence(fit: PointResults, group: Any, refit: bool, progress: bool | None) -> Influence:
    """See `PointResults.influence`."""
    if fit.estimate.fixed_effects != "gls" or not fit.spec.p:
        raise NotProvided(
            "influence() is of fixed effects by generalised least squares: fit with some, by a method such as 'reml'"
        )
    if not isinstance(refit, bool):
        raise OptionError(f"refit={refit!r:.60}: True (estimate variances again) or False (hold them)")
    levels, codes, name = _grouped(fit, group)
    if len(levels) < 2:
        raise OptionError(
            f"influence(): {name} has one group, {levels[0]!r}, so there would be no rows left without it"
        )
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    with Progress("Deletions", len(groups), progress) as bar:
        found = deletion.delete(fit.spec, fit.evaluation, groups, None if refit else bar)
        par: Float | None = None
        notes: tuple[str, ...] = ("Variances are held: refit=True estimates them again without each group.",)
        if refit:
            found, par, notes = _refitted(fit, groups, found.leverage, bar)
    return _result(fit, found, par, _index(levels, name), groups, notes)


def _grouped(fit: PointResults, group: Any) -> tuple[list[Any], Rows, str]:
    """Groups in order of appearance, the place of each row's, and what they are called."""
    traits = fit.spec.traits
    if group is None and traits is not None:
        return traits.labels.tolist(), traits.record, "record"
    if group is None:  # labels of rows may stand twice
        return fit.spec.row_labels.tolist(), np.arange(fit.spec.n), "row"
    labels = cluster_labels(fit.spec, group)[0]
    where: dict[Any, int] = {}
    codes = np.fromiter((where.setdefault(x, len(where)) for x in labels.tolist()), dtype=np.intp, count=len(labels))
    return list(where), codes, group if isinstance(group, str) else "group"


def _index(levels: list[Any], name: str) -> pd.Index:
    import pandas as pd

    return pd.Index(levels, name=name, dtype=object if any(isinstance(x, str) for x in levels) else None)


def _result(
    fit: PointResults,
    found: deletion.Deletion,
    par: Float | None,
    index: pd.Index,
    groups: list[Rows],
    notes: tuple[str, ...],
) -> Influence:
    import pandas as pd

    beta, cov = np.asarray(fit.evaluation.beta), np.asarray(fit.evaluation.beta_cov)
    frame = pd.DataFrame(
        {
            "rows": [len(rows) for rows in groups],
            "cooks_d": deletion.cooks_distance(found, beta, cov),
            "mdffits": deletion.mdffits(found, beta),
            "covratio": deletion.covariance_ratio(found, cov),
            "leverage": found.leverage,
        },
        index=index,
    )
    names = list(fit.spec.x_names)
    params = pd.DataFrame(found.beta, index=index, columns=names)
    dfbeta = pd.DataFrame(beta - found.beta, index=index, columns=names)
    varcomp = None
    if par is not None:
        varcomp = pd.DataFrame(par, index=index, columns=[p.name for p in parameters(fit.spec)])
    lost = int(frame["cooks_d"].isna().sum())
    if lost:
        notes = (*notes, f"{lost} groups cannot be left out: the other rows do not tell all fixed effects (NaN).")
    errors = np.sqrt(np.einsum("gpp->gp", found.beta_cov))
    return Influence(frame, dfbeta, dfbeta / errors, params, varcomp, par is not None, notes)


# ---- refits --------------------------------------------------------------------------------------------------------


def _refitted(
    fit: PointResults, groups: list[Rows], leverage: Float, bar: Progress
) -> tuple[deletion.Deletion, Float, tuple[str, ...]]:
    """The model of the other rows, fitted again from the estimate of all."""
    spec, estimator = fit.spec, _started(fit)
    p, G = spec.p, len(groups)
    beta, cov = np.full((G, p), np.nan), np.full((G, p, p), np.nan)
    par = np.full((G, len(fit.estimate.par)), np.nan)
    unfinished = 0
    for i, rows in enumerate(groups):
        part = take_rows(spec, np.setdiff1d(np.arange(spec.n), rows))
        bar.step()
        if part.x_names != spec.x_names:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)  # counted instead
            try:
                estimate = estimator.fit(part)
            except MixedVCError:
                unfinished += 1
                continue
        unfinished += not estimate.converged
        without = replace(fit, spec=part, estimate=estimate, likelihood=None, estimator=estimator)
        beta[i], cov[i], par[i] = without.evaluation.beta, without.evaluation.beta_cov, estimate.par
    notes = (f"{unfinished} of {G} refits did not converge.",) if unfinished else ()
    return deletion.Deletion(beta, cov, leverage), par, ("Variances are estimated again without each group.", *notes)


def _started(fit: PointResults) -> Any:
    """The fit's estimator, starting at its estimate where that is inside."""
    estimator: Any = fit.estimator
    e = fit.estimate
    if estimator is None:
        raise OptionError("this result does not carry its estimator, so refit=True cannot fit again: use mixedvc.fit")
    if not any(f.name == "start" for f in dataclasses.fields(estimator)):
        return estimator
    start = {}
    for term, of in zip(fit.spec.all_terms, par_slices(fit.spec), strict=True):
        if not (e.at_bound[of].any() or e.fixed[of].any()):
            start["residual" if term is fit.spec.residual else term.name] = e.par[of]
    return replace(estimator, start=start or None)
