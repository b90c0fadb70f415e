"""Several methods on one specification, side by side: estimates, errors, one common log-likelihood, time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..design.spec import ModelSpec
from ..errors import MixedVCError, NotProvided, OptionError
from ..estimators.base import PosteriorEstimate
from ..inference import intervals
from ..inference.parameters import parameters
from ..likelihood.base import Likelihood
from ..likelihood.choose import choose
from ..linalg.dense import NotPositiveDefinite

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `mixedvc.compare` returns; `print` shows it, a notebook draws it as a table.

    Attributes
    ----------
    spec : ModelSpec
        The one specification behind all fits.
    labels : tuple of str
        The methods, in the order asked for, those that failed included.
    fits : mapping of str to PointResults
        Each method's results, complete: ``comparison.fits["reml"].summary()``, or ``comparison["reml"]``.
    errors : mapping of str to str
        Why a method has no results.
    reml : bool
        Whether the common log-likelihood is the restricted one.
    likelihood : Likelihood or None
        Evaluates it; None where that is impossible.
    obstacle : str
        Why it is.
    """

    spec: ModelSpec
    labels: tuple[str, ...]
    fits: Mapping[str, PointResults]
    errors: Mapping[str, str]
    reml: bool
    likelihood: Likelihood | None
    obstacle: str = ""

    def __getitem__(self, label: str) -> PointResults:
        if label in self.errors:
            raise OptionError(f"{label} failed: {self.errors[label]}")
        if label not in self.fits:
            raise OptionError(f"no method here is called {label!r}; there are {', '.join(map(repr, self.labels))}")
        return self.fits[label]

    @cached_property
    def loglik(self) -> pd.Series:
        """The common log-likelihood at each method's estimate (made admissible where it is negative)."""
        import pandas as pd

        return pd.Series([self._loglik_at(label) for label in self.labels], index=list(self.labels), name="loglik")

    def _loglik_at(self, label: str) -> float:
        if self.likelihood is None or label in self.errors or self.fits[label].estimate.fixed_effects == "none":
            return np.nan
        try:
            return float(self.likelihood.at(self.fits[label].theta).loglik)
        except NotPositiveDefinite:
            return np.nan

    @property
    def best(self) -> str | None:
        """The method whose estimate has the highest common log-likelihood; None where none has one."""
        return None if self.loglik.isna().all() else str(self.loglik.idxmax())

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a method and parameter, variances first, with 95 % intervals; nothing is rounded.

        Columns: method, kind ("variance" | "covariance" | "correlation" | "fixed"), parameter (named as in
        ``cov_varcomp()``), estimate, se, lower, upper, boundary, given (held by `fixed_varcomp`).
        """
        return self.estimates()

    def estimates(self, *, level: float = 0.95) -> pd.DataFrame:
        """`table` with intervals at another level."""
        import pandas as pd

        level = intervals.check_level(level)
        rows = [row for label, fit in self.fits.items() for row in _rows(label, fit, level)]
        return pd.DataFrame(rows, columns=_COLUMNS)

    def glance(self) -> pd.DataFrame:
        """One row a method, its label as the index.

        Columns: loglik (the common one), below_best, criterion ("REML", "ML" or None: what the method maximised), llf
        (its own log-likelihood), seconds, evaluations, converged, singular, admissible (False: a negative estimate,
        raised to zero for loglik and fixed effects), se (what the standard errors of variances come from), error.
        Where a method sampled a posterior also draws (kept of all chains), ess (the least effective number of them over
        the parameters) and rhat (the largest).
        """
        import pandas as pd

        columns: dict[str, Any] = {"loglik": self.loglik, "below_best": self.loglik.max() - self.loglik}
        rows = [_glance(self.fits.get(label), self.errors.get(label)) for label in self.labels]
        for name in rows[0]:
            values = [row[name] for row in rows]
            text = name in ("criterion", "se", "error")  # keeps None as None
            columns[name] = pd.Series(values, index=list(self.labels), dtype=object if text else None)
        frame = pd.DataFrame(columns)
        if any(is_posterior(fit) for fit in self.fits.values()):
            sampled = pd.DataFrame([_sampled(self.fits.get(label)) for label in self.labels], index=frame.index)
            frame = pd.concat([frame, sampled], axis=1)
        return frame

    def plot(self, parameters: str | list[str] | None = None, *, level: float = 0.95, ax: Any = None) -> Any:
        """Point and interval of every variance parameter by every method; see `results.plots.comparison`."""
        from .plots import comparison

        return comparison(self, parameters, level=level, ax=ax)

    def as_plain(self, *, level: float = 0.95) -> dict[str, Any]:
        """Everything as plain values for JSON: ``model``, ``criterion``, ``methods``, ``estimates``, ``notes``.

        NaN and infinite numbers are None.
        """
        from ..io.archive import versions
        from .comparison_table import comparison_notes
        from .plain import model_plain, records

        return {
            "model": model_plain(self),
            "criterion": "REML" if self.reml else "ML",
            "methods": records(self.glance().rename_axis("method").reset_index()),
            "estimates": records(self.estimates(level=level)),
            "notes": comparison_notes(self),
            "written_by": versions(),
        }

    def to_latex(self, label: str = "") -> str:
        """LaTeX tabulars (booktabs)."""
        from .comparison_table import comparison_table
        from .render import as_latex

        return as_latex(comparison_table(self), label)

    def __str__(self) -> str:
        from .comparison_table import comparison_table
        from .render import text

        return text(comparison_table(self))

    def __repr__(self) -> str:
        return f"<mixedvc comparison of {', '.join(self.labels)}; print() shows it>"

    def _repr_html_(self) -> str:
        from .comparison_table import comparison_table
        from .render import as_html

        return as_html(comparison_table(self, wrap=False))


_COLUMNS = ["method", "kind", "parameter", "estimate", "se", "lower", "upper", "boundary", "given"]


def _rows(label: str, fit: PointResults, level: float) -> list[dict[str, Any]]:
    frame, e = fit.variances(level=level), fit.estimate
    rows = []
    for j, p in enumerate(parameters(fit.spec)):
        value = {"estimate": float(e.par[j]), **{name: float(frame[name].iloc[j]) for name in ("se", "lower", "upper")}}
        flags = {"boundary": bool(e.at_bound[j]), "given": bool(e.fixed[j])}
        rows.append({"method": label, "kind": p.kind, "parameter": p.name, **value, **flags})
    try:
        fixed = zip(fit.spec.x_names, fit.params, fit.bse, fit.conf_int(1 - level).to_numpy(), strict=True)
    except NotProvided:  # a method that regresses no response
        return rows
    none = {"boundary": False, "given": False}
    for name, coef, se, (low, high) in fixed:
        value = {"estimate": coef, "se": se, "lower": low, "upper": high}
        rows.append({"method": label, "kind": "fixed", "parameter": name, **value, **none})
    return rows


def _glance(fit: PointResults | None, error: str | None) -> dict[str, Any]:
    e = None if fit is None else fit.estimate
    return {
        "criterion": criterion(fit) if fit else None,
        "llf": np.nan if e is None or e.loglik is None else e.loglik,
        "seconds": e.extra.get("seconds", np.nan) if e else np.nan,
        "evaluations": e.n_evaluations if e else 0,
        "converged": bool(fit and fit.converged),
        "singular": bool(fit and fit.is_singular),
        "admissible": bool(fit and is_admissible(fit)),
        "se": se_kind(fit) if fit else None,
        "error": error,
    }


def is_posterior(fit: PointResults | None) -> bool:
    """Whether estimates are means of draws."""
    return isinstance(fit.estimate, PosteriorEstimate) if fit is not None else False


def _sampled(fit: PointResults | None) -> dict[str, float]:
    if fit is None or not is_posterior(fit):
        return {"draws": np.nan, "ess": np.nan, "rhat": np.nan}
    row = fit.glance().iloc[0]
    return {"draws": row["pss"], "ess": row.get("ess.min", np.nan), "rhat": row.get("rhat.max", np.nan)}


def criterion(fit: PointResults) -> str | None:
    """What the method maximised."""
    e = fit.estimate
    return None if e.loglik is None else "REML" if e.reml else "ML"


def is_admissible(fit: PointResults) -> bool:
    """Whether the estimate itself is a covariance, so that nothing had to be raised to zero."""
    return bool(np.array_equal(fit.theta, fit.estimate.theta))


def se_kind(fit: PointResults) -> str | None:
    """What the standard errors of variances come from; None where there are none."""
    cov = fit.covariance()
    if cov.problem or not cov.free.any():
        return None
    return f"{cov.kind} information" if fit.estimate.loglik is not None else cov.kind


def side_by_side(
    spec: ModelSpec, labels: tuple[str, ...], fits: dict[str, PointResults], errors: dict[str, str], reml: bool | None
) -> Comparison:
    """A Comparison whose fits share likelihoods: one set-up of each kind stays in memory, and answers for all.

    Parameters
    ----------
    reml : bool, optional
        The common log-likelihood; by default the restricted one unless all that maximised a likelihood maximised ML.
    """
    if reml is None:
        maximised = {fit.estimate.reml for fit in fits.values() if fit.estimate.loglik is not None}
        reml = maximised != {False}
    kept: dict[tuple[str, bool], Likelihood] = {}
    for fit in fits.values():
        if fit.likelihood is not None:
            kept.setdefault((fit.likelihood.name, fit.likelihood.reml), fit.likelihood)
    common, obstacle = next((one for (_, kind), one in kept.items() if kind == reml), None), ""
    if common is None:
        try:
            common = choose(spec, reml=reml)[0]
        except MixedVCError as error:
            obstacle = str(error)
    shared = {label: _sharing(fit, kept, common) for label, fit in fits.items()}
    return Comparison(spec, labels, MappingProxyType(shared), MappingProxyType(errors), reml, common, obstacle)


def _sharing(fit: PointResults, kept: dict[tuple[str, bool], Likelihood], common: Likelihood | None) -> PointResults:
    if fit.likelihood is not None:
        return replace(fit, likelihood=kept[fit.likelihood.name, fit.likelihood.reml])
    own = fit.estimate.reml is not False  # what `PointResults` would choose by itself
    return replace(fit, likelihood=common) if common is not None and common.reml == own else fit
