"""Frames of covariances, correlations and heritabilities of traits, with errors and intervals of every kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import NotProvided, OptionError
from ..inference import intervals
from ..inference.parameters import linear_parameters, par_slices, parameters
from ..inference.profile_targets import Target
from ..inference.trait_targets import correlation_target, covariance_target, fraction_target
from ..inference.traits import (
    PHENOTYPIC,
    TraitMatrix,
    component,
    components,
    errors,
    main_component,
    phenotypic,
    share_forms,
)
from .limits import limits_by

if TYPE_CHECKING:
    import pandas as pd

    from .traits import TraitResults

Float = NDArray[np.float64]
KINDS = ("delta", "profile", "boot")
_EDGE = 1e-7  # distance of a correlation from ±1 at which it lies there
_STILL = 1e-9  # SE of a correlation below which it does not move


# ---- matrices ---------------------------------------------------------------------------------------------------


def square(matrix: TraitMatrix, values: Float) -> pd.DataFrame:
    """(t, t) values with the traits' names."""
    import pandas as pd

    return pd.DataFrame(values, index=list(matrix.traits), columns=list(matrix.traits))


def centred(fit: TraitResults) -> Float:
    """θ at which errors are taken: the estimate, or where an estimator says that its own are centred."""
    sampling = fit.estimate.sampling
    return fit.estimate.theta if sampling is None else linear_parameters(fit.spec, sampling.centre)


def covariance_frame(
    fit: TraitResults, matrix: TraitMatrix, level: float, kind: str, variances: bool = False
) -> pd.DataFrame:
    """The lower triangle, one row an entry: trait1, trait2, covariance, se, lower, upper, note; or its diagonal."""
    import pandas as pd

    spec, C, at = fit.spec, matrix.value(fit.estimate.theta), matrix.value(centred(fit))
    cov = fit.covariance()
    se = errors(matrix.L, cov.theta)
    rows = []
    for k in range(matrix.t):
        for j in range(k, k + 1 if variances else matrix.t):
            note = why_covariance(fit, matrix, j, k)
            one = np.nan if note else float(se[j, k])
            if (kind == "delta" and j == k and fit.estimate.loglik is not None) or kind == "chi2":
                positive = np.array(at[j, j] if at[j, j] > 0 else np.nan)
                limits = tuple(map(float, intervals.variance_interval(positive, np.array(one), level)))
            elif kind in ("delta", "wald"):
                limits = tuple(map(float, intervals.wald(np.array(at[j, k]), np.array(one), level)))
            else:
                moves = bool(matrix.L[j, k].any()) and not held(fit, matrix, j, k)
                limits = (np.nan, np.nan)
                if moves:
                    target = covariance_target(spec, matrix, k, j)
                    limits = asked_limits(fit, target, kind, level, lambda T, row=matrix.L[j, k]: T @ row)
            rows.append((matrix.traits[j], matrix.traits[k], C[j, k], one, *limits, note))
    return pd.DataFrame(rows, columns=["trait1", "trait2", "covariance", "se", "lower", "upper", "note"])


def correlation_rows(fit: TraitResults, matrix: TraitMatrix, level: float, kind: str) -> list[dict[str, Any]]:
    """One row a pair of traits."""
    spec, cov = fit.spec, fit.covariance()
    R, at = matrix.correlations(fit.estimate.theta), matrix.correlations(centred(fit))
    se = errors(matrix.correlation_slope(centred(fit)), cov.theta)
    rows = []
    for j, k in matrix.pairs:
        note = why_correlation(fit, matrix, j, k)
        one = np.nan if note else float(se[j, k])
        if kind == "delta":
            limits = tuple(map(float, intervals.correlation_interval(np.array(at[j, k]), np.array(one), level)))
        elif not matrix.L[j, k].any() or held(fit, matrix, j, k):
            limits = (np.nan, np.nan)
        else:
            target = correlation_target(spec, matrix, j, k)

            def drawn(T: Float, j: int = j, k: int = k) -> Float:
                v, w = T @ matrix.L[j, j], T @ matrix.L[k, k]
                with np.errstate(invalid="ignore", divide="ignore"):
                    return np.asarray(np.where((v > 0) & (w > 0), T @ matrix.L[j, k] / np.sqrt(v * w), np.nan))

            limits = asked_limits(fit, target, kind, level, drawn)
        names = {"component": matrix.name, "trait1": matrix.traits[j], "trait2": matrix.traits[k]}
        numbers = {"correlation": R[j, k], "se": one, "lower": limits[0], "upper": limits[1]}
        rows.append({**names, **numbers, "note": note})
    return rows


def heritability_rows(
    fit: TraitResults, term: str, denominator: Sequence[str] | None, scale: str, level: float, kind: str
) -> list[dict[str, Any]]:
    """One row a trait: the part of its variance that a term makes."""
    spec, cov = fit.spec, fit.covariance()
    top, bottom = share_forms(spec, term, denominator, scale)
    centre, theta = centred(fit), fit.estimate.theta
    rows = []
    for j, name in enumerate(spec.traits.names):
        n, d = top[j], bottom[j]
        total, here = float(d @ theta), float(n @ theta)
        if not total > 0:
            raise OptionError(f"the denominator of {name!r} is zero: name components that vary")
        share, mid = here / total, float(n @ centre) / float(d @ centre)
        one = float(errors((n - mid * d) / float(d @ centre), cov.theta))
        moves = bool(errors(n, cov.theta) > 0) and one > 0
        se = one if moves else np.nan
        inside = 0 < mid < 1
        if kind == "logit":
            made = (intervals.share_interval if inside else intervals.wald)(np.array(mid), np.array(se), level)
            limits = (float(made[0]), float(made[1]))
        elif not n.any() or _all_held(fit, n):
            limits = (np.nan, np.nan)
        else:
            target = fraction_target(f"share({term}[{name}])", n, d)
            limits = asked_limits(fit, target, kind, level, lambda T, n=n, d=d: (T @ n) / (T @ d))
        rows.append({"trait": name, "heritability": share, "se": se, "lower": limits[0], "upper": limits[1]})
    return rows


# ---- intervals by refits ----------------------------------------------------------------------------------------


def asked_limits(fit: TraitResults, target: Target, kind: str, level: float, of_draws: Any) -> tuple[float, float]:
    """Limits by the profile of a target, or by what bootstrap draws of θ (B, m) make of it."""
    if kind == "profile":
        module = limits_by("profile")
        module.check_profiled(fit)
        lower, upper = fit.profiler.ends(target, intervals.normal_quantile(level))
        return float(target.value(lower.t)), float(target.value(upper.t))
    from .bootstrap import quantiles

    return quantiles(np.asarray(of_draws(drawn_theta(fit, kind))), level)


def drawn_theta(fit: TraitResults, kind: str = "boot") -> Float:
    """(B, m) θ of the fit's own bootstrap (1,000 refits, seed 0), or of the draws that its estimator kept."""
    if kind == "percentile":
        sampling = fit.estimate.sampling
        if sampling is None or sampling.draws is None:
            raise NotProvided("interval='percentile' needs bootstrap draws: fit with se='bootstrap'")
        par = np.asarray(sampling.draws)
    else:
        draws = fit.booted.draws
        rows, plain = parameters(fit.spec), ("variance", "covariance")
        own = [
            (p.kind if p.kind in plain else "correlation", p.name) for p in rows
        ]  # correlations, loadings as they are
        par = np.column_stack([draws[key].to_numpy(dtype=float) for key in own])
    par = par[np.isfinite(par).all(axis=1)]
    if all(term.structure.linear for term in fit.spec.all_terms):
        return np.asarray(par)
    return np.array([linear_parameters(fit.spec, row) for row in par])


def check_kind(kind: str, own: str = "delta") -> str:
    """`kind` if it is an interval of these frames."""
    return intervals.check_method(kind, (own, "profile", "boot"))


# ---- why there is no standard error -----------------------------------------------------------------------------


def why_covariance(fit: TraitResults, matrix: TraitMatrix, j: int, k: int) -> str:
    """Why entry (j, k) has no standard error, in words; empty where it has one."""
    general = _why_nothing(fit, matrix, j, k)
    if general:
        return general
    C = matrix.value(fit.estimate.theta)
    zero = [matrix.traits[a] for a in dict.fromkeys((j, k)) if C[a, a] == 0]
    if zero and fit.estimate.sampling is None:
        return f"boundary: the variance of {' and of '.join(zero)} is zero"
    if not errors(matrix.L[j, k], fit.covariance().theta) > 0:
        return "boundary: it does not move"
    return ""


def why_correlation(fit: TraitResults, matrix: TraitMatrix, j: int, k: int) -> str:
    """Why a correlation has no standard error, in words; empty where it has one."""
    general = _why_nothing(fit, matrix, j, k)
    if general:
        return general
    C = matrix.value(fit.estimate.theta)
    zero = [matrix.traits[a] for a in (j, k) if not C[a, a] > 0]
    if zero:
        return f"not defined: the variance of {' and of '.join(zero)} is {'zero' if C.min() >= 0 else 'not positive'}"
    r = matrix.correlations(fit.estimate.theta)[j, k]
    if abs(r) > 1 and fit.estimate.sampling is not None:
        return "" if abs(r) > 1 + _EDGE else "boundary: the correlation is at the edge of its range"
    if abs(r) > 1 - _EDGE:
        rank = [fit.spec.all_terms[i].structure.name for i, _ in matrix.entries[:1]]
        why = "the structure has rank one" if rank == ["rr"] else "the covariance matrix is singular"
        return f"boundary: the correlation is {'1' if r > 0 else '-1'}, {why}"
    if not errors(matrix.correlation_slope(centred(fit))[j, k], fit.covariance().theta) > _STILL:
        return "boundary: it does not move"
    return ""


def _why_nothing(fit: TraitResults, matrix: TraitMatrix, j: int, k: int) -> str:
    if not matrix.L[j, k].any():
        return "zero by the structure"
    if held(fit, matrix, j, k):
        return "held fixed"
    return fit.covariance().problem


def held(fit: TraitResults, matrix: TraitMatrix, j: int, k: int) -> bool:
    """Whether everything that an entry depends on was given."""
    return _all_held(fit, matrix.L[j, j] + matrix.L[k, k] + np.abs(matrix.L[j, k]))


def _all_held(fit: TraitResults, row: Float) -> bool:
    terms = {w.term for w, x in zip(fit.spec.index, row, strict=True) if x != 0.0}
    return all(fit.estimate.fixed[of].all() for i, of in enumerate(par_slices(fit.spec)) if i in terms)


# ---- which ------------------------------------------------------------------------------------------------------


def chosen(fit: TraitResults, which: Any, effect: str | None = None, scale: str = "variance") -> list[TraitMatrix]:
    """The matrices asked for: a name, a list of names; by default every term, the residual and the phenotypic one."""
    if which is None:
        if effect is not None:
            return [component(fit.spec, main_component(fit.spec), effect)]
        return [*components(fit.spec), *([phenotypic(fit.spec, scale)] if fit.spec.terms else [])]
    names = [which] if isinstance(which, str) else list(which)
    return [component(fit.spec, _text(name), None if name == PHENOTYPIC else effect, scale) for name in names]


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise OptionError(f"which={name!r:.60}: the name of a term, 'Residual' or 'phenotypic' is needed")
    return name


def check_estimated(fit: TraitResults) -> None:
    """Refuse a test where there is no likelihood."""
    if fit.estimate.loglik is None:
        raise NotProvided(f"method {fit.method!r} has no likelihood, so no test: fit with method='reml' or method='ml'")
