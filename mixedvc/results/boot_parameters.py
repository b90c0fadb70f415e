"""Every parameter of many refits at once: fixed effects, variances, standard deviations, correlations, shares."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..inference.bootstrap import Refitted
from ..inference.parameters import Parameter, parameters
from ..inference.ratios import weights
from ..inference.traits import parameter_shares
from .frames import OWN, share_column

Float = NDArray[np.float64]


def parameter_names(spec: ModelSpec) -> list[tuple[str, str]]:
    """(kind, name) of each column of `parameter_values`."""
    rows = parameters(spec)
    variances = [p for p in rows if p.kind == "variance"]
    others = [p for p in rows if p.kind != "variance"]
    names = [("fixed", name) for name in spec.x_names]
    names += [("variance", p.name) for p in variances]
    names += [("covariance", p.name) for p in others if p.kind == "covariance"]
    names += [("sd", p.name) for p in variances]
    names += [("correlation", p.name) for p in others]
    return names + [("share", p.name) for p in rows]


def parameter_values(spec: ModelSpec, fits: Sequence[Refitted]) -> Float:
    """(B, columns) in the order of `parameter_names`; NaN where a refit failed, and where a quantity does not exist.

    A correlation does not exist where a variance is zero, a standard deviation where one is negative.
    """
    rows = parameters(spec)
    nothing = np.full(len(rows), np.nan)
    par = np.array([nothing if one.estimate is None else one.estimate.par for one in fits]).reshape(
        len(fits), len(rows)
    )
    beta = np.array([one.beta for one in fits]).reshape(len(fits), spec.p)
    of = {kind: [j for j, p in enumerate(rows) if p.kind == kind] for kind in ("variance", "covariance")}
    rest = [j for j, p in enumerate(rows) if p.kind != "variance"]
    with np.errstate(invalid="ignore", divide="ignore"):
        sd = np.sqrt(par[:, of["variance"]])
        correlations = [_correlation(rows, par, j) for j in rest]
    parts = [beta, par[:, of["variance"]], par[:, of["covariance"]], sd]
    parts += [column[:, None] for column in correlations]
    return np.hstack([*parts, _shares(spec, rows, fits)])


def _correlation(rows: Sequence[Parameter], par: Float, j: int) -> Float:
    """A correlation of every refit: the parameter itself, or from three entries of Σ."""
    p = rows[j]
    if p.kind in OWN:
        return par[:, j]
    place = {(q.a, q.b): i for i, q in enumerate(rows) if q.term == p.term}
    first, second = par[:, place[p.a, p.a]], par[:, place[p.b, p.b]]
    r = np.where((first > 0) & (second > 0), par[:, j] / np.sqrt(first * second), np.nan)
    return np.where(np.abs(r) < 1 + 1e-6, np.clip(r, -1.0, 1.0), r)  # beyond: an unconstrained estimate


def _shares(spec: ModelSpec, rows: Sequence[Parameter], fits: Sequence[Refitted]) -> Float:
    """Parts of the average variance of an observation, as in `varcomp`."""
    out = np.full((len(fits), len(rows)), np.nan)
    there = [b for b, one in enumerate(fits) if one.estimate is not None]
    if not there:
        return out
    if all(term.structure.linear for term in spec.all_terms):
        if spec.traits is not None:
            out[there] = parameter_shares(spec, np.array([fits[b].estimate.theta for b in there]))  # type: ignore[union-attr]
            return out
        parts = weights(spec) * np.array([fits[b].estimate.theta for b in there])  # type: ignore[union-attr]
        total = parts.sum(axis=1, keepdims=True)
        out[there] = np.where(total > 0, parts / np.where(total > 0, total, 1.0), np.nan)
        return out
    for b in there:
        theta = fits[b].estimate.theta  # type: ignore[union-attr]
        own = SimpleNamespace(theta=theta, par=fits[b].estimate.par)  # type: ignore[union-attr]
        out[b] = share_column(spec, own, tuple(rows))  # type: ignore[arg-type]
    return out
