"""Frames of a point fit: variance components, random effects, and broom.mixed's tidy, glance and augment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import NotProvided, OptionError
from ..estimators.base import PointEstimate
from ..inference import intervals
from ..inference.blup import roster
from ..inference.parameters import Parameter, par_slices, parameters, theta_slices
from ..inference.ratios import weights
from ..inference.se import ParameterCovariance
from ..inference.traits import parameter_shares
from ..likelihood.row_pairs import residual_times
from .fixed_tests import fixed_tests

if TYPE_CHECKING:
    import pandas as pd

    from .point import PointResults

Float = NDArray[np.float64]
TIDY_EFFECTS = ("fixed", "ran_pars", "ran_vals")
OWN = ("correlation", "loading")  # shown beside standard deviations, as they are
TIDY_SCALES = ("sdcor", "vcov")


def variance_frame(
    spec: ModelSpec,
    estimate: PointEstimate,
    cov: ParameterCovariance,
    level: float,
    interval: str,
    limits: tuple[Float, Float] | None = None,
) -> pd.DataFrame:
    """One row a variance parameter, the residual last; see `PointResults.varcomp`.  `limits`: made elsewhere."""
    import pandas as pd

    rows = parameters(spec)
    sd = sd_column(spec, estimate, rows)
    lower, upper = _limits(rows, estimate, cov.se, level, interval) if limits is None else limits
    return pd.DataFrame(
        {
            "group": [p.group for p in rows],
            "effect": pd.Series([None if p.effect == p.group else p.effect for p in rows], dtype=object),
            "effect2": pd.Series([p.effect2 for p in rows], dtype=object),
            "variance": [np.nan if p.kind in OWN else v for p, v in zip(rows, estimate.par, strict=True)],
            "sd": sd,
            "se": cov.se,
            "lower": lower,
            "upper": upper,
            "share": share_column(spec, estimate, rows),
            "boundary": np.asarray(estimate.at_bound, dtype=bool),
        }
    )


def sd_column(spec: ModelSpec, estimate: PointEstimate, rows: tuple[Parameter, ...]) -> Float:
    """Square roots of variances; correlations in covariance rows; NaN where a variance is negative, or zero there."""
    sigmas = spec.sigmas(estimate.theta)
    out = np.empty(len(rows))
    for j, (p, value) in enumerate(zip(rows, estimate.par, strict=True)):
        if p.kind == "variance":
            out[j] = np.sqrt(value) if value >= 0 else np.nan
        elif p.kind in OWN:
            out[j] = value
        else:
            first, second = sigmas[p.term][p.a, p.a], sigmas[p.term][p.b, p.b]
            r = value / np.sqrt(first * second) if first > 0 and second > 0 else np.nan
            out[j] = np.clip(r, -1.0, 1.0) if abs(r) < 1 + 1e-6 else r  # beyond: an unconstrained estimate
    return out


def _limits(
    rows: tuple[Parameter, ...], estimate: PointEstimate, se: Float, level: float, interval: str
) -> tuple[Float, Float]:
    """Chi-square (or Wald) for variances, Wald for covariances, Fisher's z for correlations.

    An estimator that brings its own sampling distribution says where intervals are centred, or has draws.
    """
    sampling = estimate.sampling
    if interval == "percentile":
        if sampling is None or sampling.draws is None:
            raise NotProvided("interval='percentile' needs bootstrap draws: fit with se='bootstrap'")
        return intervals.percentile(sampling.draws, level)
    par = estimate.par if sampling is None else sampling.centre
    lower, upper = intervals.wald(par, se, level)
    kinds = np.array([p.kind for p in rows])
    if interval == "chi2":
        of = kinds == "variance"
        positive = np.where(par[of] > 0, par[of], np.nan)  # a scaled chi-square has no other
        lower[of], upper[of] = intervals.variance_interval(positive, se[of], level)
    of = kinds == "correlation"
    lower[of], upper[of] = intervals.correlation_interval(par[of], se[of], level)
    return lower, upper


def share_column(spec: ModelSpec, estimate: PointEstimate, rows: tuple[Parameter, ...]) -> Float:
    """Each parameter's part of the average variance of an observation; the column adds up to 1, for every trait."""
    if spec.traits is None:
        contribution = weights(spec) * estimate.theta
    else:
        contribution = parameter_shares(spec, estimate.theta)
    out = np.full(len(rows), np.nan)
    for term, of, at in zip(spec.all_terms, par_slices(spec), theta_slices(spec), strict=True):
        if term.structure.linear:
            out[of] = contribution[at]
            continue
        own = np.array([a == b for a, b in term.structure.pairs])
        if hasattr(term.structure, "loadings"):
            out[of] = _factor_shares(term.structure, estimate.par[of], contribution[at][own])
            continue
        variances = [j for j in range(of.start, of.stop) if rows[j].kind == "variance"]
        if len(variances) == own.sum():
            out[variances] = contribution[at][own]
        elif len(variances) == 1:
            out[variances] = contribution[at][own].sum()
        others = [j for j in range(of.start, of.stop) if rows[j].kind != "variance"]
        if len(others) == 1:
            out[others] = contribution[at][~own].sum()
    if spec.traits is not None:
        return out
    total = contribution.sum()
    return out / total if total > 0 else np.full(len(rows), np.nan)


def _factor_shares(structure: Any, par: Float, of_effects: Float) -> Float:
    """Each effect's share parted among its specific variance and the squares of its loadings."""
    squares = np.where([kind == "variance" for kind in structure.kinds], par, par**2)
    rows = np.concatenate([np.arange(len(par) - len(structure.loadings)), structure.loadings.entries[0]])
    total = np.bincount(rows, squares, minlength=structure.k)[rows]
    return np.where(total > 0, of_effects[rows] * squares / np.where(total > 0, total, 1.0), 0.0)


def level_frame(spec: ModelSpec, i: int, values: Float) -> pd.DataFrame:
    """(L, k) values of term i as a frame: levels × effects."""
    import pandas as pd

    term = spec.terms[i]
    return pd.DataFrame(values, index=_level_index(spec, i), columns=list(term.effects))


def covariance_frame(spec: ModelSpec, i: int, blocks: Float) -> pd.DataFrame:
    """(L, k, k) blocks of term i as a frame: rows (level, effect), one column an effect; ``.loc[level]`` is k×k."""
    import pandas as pd

    term = spec.terms[i]
    index = pd.MultiIndex.from_product([_level_index(spec, i), list(term.effects)], names=[term.group, "effect"])
    return pd.DataFrame(blocks.reshape(-1, term.k), index=index, columns=list(term.effects))


def _level_index(spec: ModelSpec, i: int) -> Any:
    import pandas as pd

    return pd.Index(roster(spec.terms[i]).labels, name=spec.terms[i].group)


def tidy(
    fit: PointResults,
    effects: tuple[str, ...] | str,
    scales: str,
    conf_int: bool,
    level: float,
    df: str,
    interval: str | None = None,
) -> pd.DataFrame:
    """broom.mixed's tidy: one row a term of the model."""
    import pandas as pd

    wanted = (effects,) if isinstance(effects, str) else tuple(effects)
    for effect in wanted:
        if effect not in TIDY_EFFECTS:
            raise OptionError(f"effects={effect!r} is not among {', '.join(map(repr, TIDY_EFFECTS))}")
    if scales not in TIDY_SCALES:
        raise OptionError(f"scales={scales!r} is not one of {', '.join(map(repr, TIDY_SCALES))}")
    parts = []
    if "fixed" in wanted and (len(wanted) == 1 or fit.estimate.fixed_effects != "none"):
        parts.append(_tidy_fixed(fit, level, df))
    if "ran_pars" in wanted:
        parts.append(_tidy_parameters(fit, scales, level, interval))
    if "ran_vals" in wanted:
        parts += [_tidy_values(fit, i, level) for i in range(len(fit.spec.terms))]
    columns = ["effect", "group", "level", "term", "estimate", "std.error", "statistic", "df", "p.value"]
    columns += ["conf.low", "conf.high"] if conf_int else []
    if "ran_vals" not in wanted:
        columns.remove("level")
    if "fixed" not in wanted:
        columns = [c for c in columns if c not in ("statistic", "df", "p.value")]
    records = [record for part in parts for record in part]
    return pd.DataFrame(records, columns=columns)


def _tidy_fixed(fit: PointResults, level: float, df: str) -> list[dict[str, Any]]:
    tests = fixed_tests(fit, df).coefficients()
    columns = (fit.spec.x_names, tests.estimate, tests.se, tests.t, tests.df, tests.pvalue, *tests.interval(level))
    keys = ("term", "estimate", "std.error", "statistic", "df", "p.value", "conf.low", "conf.high")
    return [{"effect": "fixed", **dict(zip(keys, row, strict=True))} for row in zip(*columns, strict=True)]


def _tidy_parameters(fit: PointResults, scales: str, level: float, interval: str | None) -> list[dict[str, Any]]:
    """Variance parameters as standard deviations and correlations (delta-method SEs), or as they are."""
    frame = fit.variances(level=level, interval=interval)
    out = []
    for p, row in zip(parameters(fit.spec), frame.to_dict("records"), strict=True):
        record: dict[str, Any] = {"effect": "ran_pars", "group": p.group}
        effect = "Observation" if p.group == fit.spec.residual.name and p.single else p.effect
        if p.kind == "variance":
            name, sd = {"sdcor": "sd", "vcov": "var"}[scales], row["sd"]
            record["term"] = f"{name}__{effect}"
            if scales == "sdcor":
                se = row["se"] / (2 * sd) if sd > 0 else np.nan
                record |= _estimate(sd, se, _root_limit(row["lower"]), _root_limit(row["upper"], least=np.nan))
            else:
                record |= _estimate(row["variance"], row["se"], row["lower"], row["upper"])
        elif p.kind == "loading":
            record["term"] = f"loading__{p.effect}.{p.effect2}"
            record |= _estimate(row["sd"], row["se"], row["lower"], row["upper"])
        elif scales == "sdcor" or p.kind == "correlation":
            record["term"] = f"cor__{p.effect}.{p.effect2}"
            record |= _estimate(*fit.correlation(p, level, interval))
        else:
            record["term"] = f"cov__{p.effect}.{p.effect2}"
            record |= _estimate(row["variance"], row["se"], row["lower"], row["upper"])
        out.append(record)
    return out


def _root_limit(limit: float, least: float = 0.0) -> float:
    """Limit of a standard deviation from that of a variance; `least` where that is negative."""
    return float(np.sqrt(limit)) if not limit < 0 else least


def _tidy_values(fit: PointResults, i: int, level: float) -> list[dict[str, Any]]:
    name, term = fit.spec.terms[i].name, fit.spec.terms[i]
    u = fit.random_effects[name].to_numpy()
    se = np.sqrt(np.maximum(fit.conditional_variances[name].to_numpy(), 0.0))
    low, high = intervals.wald(u, se, level)
    return [
        {"effect": "ran_vals", "group": name, "level": label, "term": effect}
        | _estimate(u[j, a], se[j, a], low[j, a], high[j, a])
        for a, effect in enumerate(term.effects)
        for j, label in enumerate(roster(term).labels)
    ]


def _estimate(value: float, se: float, low: float, high: float) -> dict[str, float]:
    return {"estimate": value, "std.error": se, "conf.low": low, "conf.high": high}


def glance(fit: PointResults) -> pd.DataFrame:
    """broom.mixed's glance: one row a model."""
    import pandas as pd

    row: dict[str, Any] = {"nobs": fit.nobs, "sigma": float(np.sqrt(fit.scale)) if fit.scale >= 0 else np.nan}
    if fit.estimate.loglik is not None:
        row |= {"logLik": fit.llf, "AIC": fit.aic, "BIC": fit.bic}
        row["REMLcrit" if fit.estimate.reml else "deviance"] = -2 * fit.llf
    row["df.residual"] = fit.nobs - fit.n_parameters
    return pd.DataFrame([row])


def augment(fit: PointResults, data: pd.DataFrame | None, influence: bool) -> pd.DataFrame:
    """The data's columns with fitted values and residuals beside them, as broom.mixed names them."""
    import pandas as pd

    columns = {".fitted": fit.fittedvalues, ".resid": fit.resid, ".fixed": fit.fixed_fit}
    if fit.spec.weights is not None:
        columns[".weights"] = fit.padded(fit.spec.weights, "weights")
    if fit.spec.offset is not None:
        columns[".offset"] = fit.padded(fit.spec.offset, "offset")
    if influence:
        hat, cook = influence_of_rows(fit)
        columns[".hat"] = fit.padded(hat, "hat")
        columns[".cooksd"] = fit.padded(cook, "cooksd")
    added = pd.DataFrame({name: np.asarray(values) for name, values in columns.items()}, index=fit.fittedvalues.index)
    return added if data is None else pd.concat([data, added], axis=1)


def influence_of_rows(fit: PointResults) -> tuple[Float, Float]:
    """(n,) leverage and Cook's distance of each row, the random effects counted among the parameters (lme4)."""
    hat = leverages(fit)
    pearson = fit.resid_values / np.sqrt(fit.spec.residual_variances(fit.theta))
    return hat, hat * (pearson / (1 - hat)) ** 2 / max(fit.spec.p, 1)


def leverages(fit: PointResults, chunk: int = 512) -> Float:
    """Diagonal of H in ŷ = H y: 1 − (RP)_ii with R the residual covariance."""
    n = fit.spec.n
    out = np.empty(n)
    for at in range(0, n, chunk):
        some = np.arange(at, min(at + chunk, n))
        E = np.zeros((n, len(some)))
        E[some, np.arange(len(some))] = 1.0
        PR = np.asarray(fit.evaluation.project(residual_times(fit.spec, fit.theta, E)))
        out[some] = 1 - PR[some, np.arange(len(some))]
    return out
