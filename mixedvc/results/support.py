"""Helpers of `PointResults` that are more than one line: new rows, responses, tests by refitting."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import DataError, OptionError
from ..estimators.base import PointEstimate
from ..inference import intervals, ratios
from ..inference import simulate as draws
from ..inference.parameters import Parameter, linear_parameters, parameters
from ..inference.predict import Rows, match_levels, prediction_variance
from ..inference.se import ParameterCovariance
from . import trait_response
from .features import new_features
from .frames import sd_column
from .limits import limits_by

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

Float = NDArray[np.float64]
WITHOUT_RESPONSE = (
    "this fit took an outer product in place of the response (outer=), so there are no fixed effects, predictions or "
    "residuals; varcomp, heritability() and derived() are there"
)


def new_rows(
    fit: PointResults,
    newdata: Any,
    chosen: Sequence[int],
    new_levels: str,
    features: Mapping[str, Any] | None = None,
    residual: bool = False,
) -> tuple[Rows, Any]:
    """Rows of `newdata` bound as the fit's were, and what turns a vector into a Series with their index.

    `residual`: whether the rows' residual variances will be asked for, which may depend on columns of their own.
    """
    import pandas as pd

    spec = fit.spec
    if spec.source is None:
        raise OptionError("this model was not made from a formula and data, so new rows cannot be bound to it")
    new = new_features(spec, chosen, features)
    bound = spec.source.new_rows(newdata, terms=[spec.terms[i].name for i in chosen], residual=residual)
    parts = {
        i: match_levels(spec.terms[i], part.levels, part.basis, new_levels, new.get(i))
        for i, part in zip(chosen, bound.rows, strict=True)
    }
    index = newdata.index if isinstance(newdata, pd.DataFrame) else pd.Index(bound.labels)
    rows = Rows(bound.X, parts, bound.offset, bound.weights, bound.residual)
    return rows, lambda values, name: pd.Series(values, index=index, name=name)


def with_errors(
    fit: PointResults,
    rows: Rows,
    mean: Float,
    wrap: Callable[[Float, str], pd.Series],
    interval: str | None,
    level: float,
    new_levels: str,
) -> pd.DataFrame:
    """Predictions with standard errors and, if asked for, an interval."""
    import pandas as pd

    variance = prediction_variance(fit.spec, fit.evaluation, rows, new_levels)
    columns = {"predicted": mean, "se": np.sqrt(variance)}
    if interval is not None:
        if interval == "prediction":
            variance = variance + residual_variances(fit, rows)
        columns["lower"], columns["upper"] = intervals.wald(mean, np.sqrt(variance), level)
    return pd.DataFrame({name: wrap(values, name) for name, values in columns.items()})


def residual_variances(fit: PointResults, rows: Rows) -> Float:
    """Of new observations, each with the variance of its cell of the residual."""
    variances = np.append(np.diagonal(fit.spec.sigmas(fit.theta)[-1]), np.nan)
    which = np.zeros(len(rows.X), dtype=np.intp) if rows.residual is None else rows.residual
    return variances[which] / (1.0 if rows.weights is None else rows.weights)


def response(spec: ModelSpec, y: Any) -> Float:
    """A new response (n,) on the rows of the fit, from n values or from one a row of the data handed in."""
    if spec.traits is not None:
        return trait_response.response(spec, y)
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the new response is not numeric") from None
    given = spec.dropped.n_given
    if values.shape == (given,) and given != spec.n:
        values = values[kept(spec)]
    if values.shape != (spec.n,):
        also = f" or {given} (one for each row of the data)" if given not in (0, spec.n) else ""
        raise DataError(f"the new response has shape {values.shape}; the model has {spec.n} rows{also}")
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        rows = ", ".join(repr(spec.row_labels[i]) for i in bad[:5])
        raise DataError(f"the new response is missing or infinite in {len(bad)} rows: {rows}. Bind a new model for it.")
    return values


def simulate(fit: PointResults, nsim: int, seed: int | np.random.Generator | None, random: str) -> pd.DataFrame:
    """New responses as columns sim_1, sim_2, …"""
    import pandas as pd

    y = draws.simulate(fit.spec, fit.evaluation, nsim, seed, random)
    names = [f"sim_{j + 1}" for j in range(y.shape[1])]
    return pd.DataFrame({name: fit.padded(column, name) for name, column in zip(names, y.T, strict=True)})


def correlation_se(spec: ModelSpec, estimate: PointEstimate, cov: ParameterCovariance, p: Parameter) -> float:
    """Delta-method SE of r = σ_ab/√(σ_aa σ_bb) in a linear structure."""
    S = spec.sigmas(estimate.theta)[p.term]
    scale = float(np.sqrt(S[p.a, p.a] * S[p.b, p.b]))
    r = float(S[p.a, p.b]) / scale
    slope = {(p.a, p.b): 1 / scale, (p.a, p.a): -0.5 * r / S[p.a, p.a], (p.b, p.b): -0.5 * r / S[p.b, p.b]}
    gradient = np.zeros(len(cov.se))
    for j, q in enumerate(parameters(spec)):
        if q.term == p.term:
            gradient[j] = slope.get((q.a, q.b), 0.0)
    return math.sqrt(max(float(gradient @ cov.par @ gradient), 0.0))


def correlation(fit: PointResults, p: Parameter, level: float) -> tuple[float, float, float, float]:
    """Estimate, SE and Fisher-z interval of a correlation."""
    rows, cov = parameters(fit.spec), fit.covariance()
    j = rows.index(p)
    estimate = float(sd_column(fit.spec, fit.estimate, rows)[j])
    if p.kind == "correlation":
        se = float(cov.se[j])
    else:
        known = np.isfinite(cov.se[j]) and np.isfinite(estimate)
        se = correlation_se(fit.spec, fit.estimate, cov, p) if known else np.nan
    low, high = intervals.correlation_interval(np.array(estimate), np.array(se), level)
    return estimate, se, float(low), float(high)


def heritability(
    fit: PointResults,
    term: str | None,
    denominator: Sequence[str] | None,
    scale: str,
    level: float,
    interval: str = "logit",
) -> ratios.Ratio:
    """Share of `term`; its SE is NaN where the term cannot move.

    Error and interval of an estimate with its own sampling distribution are taken where that is centred.
    """
    spec, cov = fit.spec, fit.covariance()
    name = only_kernel(spec) if term is None else term
    moves = bool((np.diagonal(cov.theta)[ratios.members(spec, name)] > 0).any())
    theta, sampling = fit.estimate.theta, fit.estimate.sampling
    made = [
        ratios.share(spec, at, cov.theta, name, denominator, scale=scale, level=level, estimable=moves)
        for at in ([theta] if sampling is None else [theta, linear_parameters(spec, sampling.centre)])
    ]
    found = replace(made[-1], estimate=made[0].estimate)
    return with_interval(fit, found, interval, "logit", lambda to: to.share_target(spec, name, denominator, scale))


def with_interval(
    fit: PointResults, made: ratios.Ratio, interval: str, own: str, target: Callable[[Any], Any]
) -> ratios.Ratio:
    """A ratio with the interval asked for: its `own` kind, or the profile likelihood of what `target` makes of it."""
    if intervals.check_method(interval, (own, "profile")) == own:
        return made
    profile = limits_by("profile")
    lower, upper = profile.target_limits(fit, target(profile), made.level)
    return replace(made, lower=lower, upper=upper, interval="profile-likelihood")


def only_kernel(spec: ModelSpec) -> str:
    """The one term with a known covariance (or the only random term)."""
    known = [term.name for term in spec.terms if term.cov_name is not None] or [term.name for term in spec.terms]
    if len(known) != 1:
        what = ", ".join(map(repr, known)) if known else "none: the model has no random terms"
        raise OptionError(f"heritability() of which term? Name one: {what}")
    return known[0]


def padded(spec: ModelSpec, values: Float, name: str) -> pd.Series:
    """Values of the rows kept as a Series; under ``missing="exclude"`` with NaN at the dropped rows."""
    import pandas as pd

    if spec.missing != "exclude" or not spec.dropped.count:
        return pd.Series(values, index=pd.Index(spec.row_labels), name=name)
    full = np.full(spec.dropped.n_given, np.nan)
    full[kept(spec)] = values
    data = source_data(spec)
    return pd.Series(full, index=None if data is None else data.index, name=name)


def kept(spec: ModelSpec) -> NDArray[np.intp]:
    """Positions of the rows of the fit in the data handed in."""
    return np.setdiff1d(np.arange(spec.dropped.n_given), spec.dropped.rows)


def source_data(spec: ModelSpec) -> pd.DataFrame | None:
    """The used columns of the data handed in, before rows were dropped."""
    return getattr(spec.source, "frame", None)


def used_data(spec: ModelSpec) -> pd.DataFrame | None:
    """The used columns of the data at the rows of `padded`; None where the specification does not carry them."""
    data = source_data(spec)
    if data is None or spec.missing == "exclude" or not spec.dropped.count:
        return data
    return data.iloc[kept(spec)]
