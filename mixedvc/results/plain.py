"""All numbers of a fit as plain values (dictionaries, lists, numbers, text), ready for JSON; nothing is rounded."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import NotProvided
from ..estimators.base import PosteriorEstimate
from ..inference.traits import PHENOTYPIC, components, families_of
from ..io.archive import versions

if TYPE_CHECKING:
    import pandas as pd

    from .comparison import Comparison
    from .point import PointResults


def as_plain(fit: PointResults, *, df: str = "satterthwaite", level: float = 0.95, interval: str | None = None) -> Any:
    """A fit as plain values.

    Parameters
    ----------
    fit : PointResults
    df : str
        Degrees of freedom of the tests of fixed effects.
    level : float
        Of all intervals.
    interval : str, optional
        Kind of the intervals of variances; the method's own by default.

    Returns
    -------
    dict
        Keys ``model``, ``fit``, ``fixed``, ``cov_fixed``, ``varcomp``, ``cov_varcomp``, ``traits`` (None for one
        response), ``random``, ``rows``, ``sampling``, ``trace``, ``notes``, ``written_by``.  NaN and infinite numbers
        are None, and so is what the method does not give.  A sampled posterior has no ``traits``, ``rows``,
        ``sampling`` and ``trace``, but ``sampler``, ``priors`` and ``interval`` (of kind "hdi" or "quantile").
    """
    if isinstance(fit.estimate, PosteriorEstimate):
        from .plain_posterior import posterior_plain

        return posterior_plain(fit, level, interval)  # type: ignore[arg-type]
    spec, responds = fit.spec, fit.estimate.fixed_effects != "none"
    return {
        "model": model_plain(fit),
        "fit": _fit(fit),
        "fixed": _fixed(fit, df, level) if responds else None,
        "cov_fixed": _cov_fixed(fit, df) if responds else None,
        "varcomp": records(fit.variances(level=level, interval=interval)),
        "cov_varcomp": {"names": list(fit.cov_varcomp().index), "matrix": plain(fit.cov_varcomp().to_numpy())},
        "traits": None if spec.traits is None else _traits(fit, level, interval),
        "random": {term.name: _random(fit, term.name) for term in spec.terms} if responds else None,
        "rows": _rows(fit) if responds else None,
        "sampling": _sampling(fit),
        "trace": [plain(asdict(row)) for row in fit.estimate.trace],
        "notes": [*spec.notes, *fit.estimate.notes],
        "written_by": versions(),
    }


def _traits(fit: Any, level: float, interval: str | None) -> dict[str, Any]:
    """Covariances, correlations and shares of several traits; profile and bootstrap intervals where asked for."""
    cells = fit.spec.traits
    seen = np.bincount(cells.trait, minlength=cells.t)
    kind = interval if interval in ("profile", "boot") else "delta"
    names = [m.name for m in components(fit.spec)] + [PHENOTYPIC]
    covariances = {}
    for name in names:
        matrix = fit.trait_cov(name)
        entries = records(fit.trait_cov(name, se=True, level=level, interval=kind))
        covariances[name] = {"traits": list(matrix.index), "matrix": plain(matrix.to_numpy()), "entries": entries}
    share = kind if kind != "delta" else "logit"
    return {
        "names": list(cells.names),
        "records": cells.n,
        "missing": {name: int(cells.n - n) for name, n in zip(cells.names, seen.tolist(), strict=True)},
        "covariances": covariances,
        "correlations": records(fit.correlations(level=level, interval=kind)),
        "heritabilities": {name: records(fit.heritabilities(name, level, share)) for name in families_of(fit.spec)},
    }


def _cov_fixed(fit: PointResults, df: str) -> dict[str, Any]:
    return {"names": list(fit.spec.x_names), "matrix": plain(fit.cov_params(df).to_numpy())}


def model_plain(fit: PointResults | Comparison) -> dict[str, Any]:
    """The model behind a fit or a comparison: formula, rows, terms."""
    spec = fit.spec
    return {
        "formula": getattr(spec.source, "formula", None),
        "response": list(spec.y_names),
        "nobs": spec.n,
        "rows_given": spec.dropped.n_given,
        "rows_dropped": spec.dropped.count,
        "dropped_by_variable": dict(spec.dropped.by_variable),
        "missing": spec.missing,
        "aliased": list(spec.aliased),
        "terms": [
            {
                "name": term.name,
                "text": term.text,
                "group": term.group,
                "effects": list(term.effects),
                "levels": term.q,
                "structure": term.structure.name,
                "cov": term.cov_name,
            }
            for term in spec.terms
        ],
    }


def _fit(fit: PointResults) -> dict[str, Any]:
    return {
        "method": fit.method,
        "converged": fit.converged,
        "singular": fit.is_singular,
        "message": fit.estimate.message,
        "computation": fit.computation,
        "n_evaluations": fit.estimate.n_evaluations,
        "loglik": _if_given(lambda: fit.llf),
        "reml": fit.estimate.reml,
        "aic": _if_given(lambda: fit.aic),
        "bic": _if_given(lambda: fit.bic),
        "n_parameters": fit.n_parameters,
        "df_resid": fit.df_resid,
        "scale": plain(fit.scale),
        "information": fit.information if fit.estimate.loglik is not None else None,
    }


def _rows(fit: PointResults) -> dict[str, Any]:
    return {
        "label": plain(list(fit.fittedvalues.index)),
        "fitted": plain(fit.fittedvalues.to_numpy()),
        "resid": plain(fit.resid.to_numpy()),
    }


def _sampling(fit: PointResults) -> dict[str, Any] | None:
    """Where the standard errors of variances come from, for an estimator that says so itself."""
    sampling = fit.estimate.sampling
    if sampling is None:
        return None
    return {
        "kind": sampling.kind,
        "about": sampling.about,
        "centre": plain(sampling.centre),
        "monte_carlo_error": None if sampling.noise is None else plain(sampling.noise),
    }


def _if_given(quantity: Callable[[], float]) -> float | None:
    try:
        return plain(quantity())
    except NotProvided:
        return None


def _fixed(fit: PointResults, df: str, level: float) -> list[dict[str, Any]]:
    table = fit.tidy("fixed", conf_int=True, level=level, df=df)
    names = {"term": "name", "estimate": "coef", "std.error": "se", "df": "df", "statistic": "t", "p.value": "p"}
    names |= {"conf.low": "lower", "conf.high": "upper"}
    return records(table[list(names)].rename(columns=names))


def _random(fit: PointResults, name: str) -> dict[str, Any]:
    u = fit.random_effects[name]
    return {
        "levels": plain(list(u.index)),
        "effects": list(u.columns),
        "estimate": plain(u.to_numpy()),
        "conditional_variance": plain(fit.conditional_variances[name].to_numpy()),
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as dictionaries of plain values."""
    return [{str(key): plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def plain(value: Any) -> Any:
    """Numbers, text and containers as JSON knows them; what is not finite becomes None, what is no number its text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item) for item in value.tolist()]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)
