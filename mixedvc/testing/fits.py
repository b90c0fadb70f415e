"""Fits of one estimator compared: in the size of each parameter, and within the error of what is drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from .compare import OPTIMUM, close
from .optimum import quiet

Float = NDArray[np.float64]
DRAWN = 6.0  # Monte-Carlo errors that two fits with other draws may differ by


def fit(estimator: Any, spec: ModelSpec, *, seed: int = 0, **options: Any) -> Any:
    """The estimate from a seeded generator, without warnings of singular fits."""
    with quiet():
        return estimator.fit(spec, rng=np.random.default_rng(seed), **options)


def sizes(spec: ModelSpec, theta: Float) -> Float:
    """Size of each θ_j by which it is compared: √(Σ_aa Σ_bb), at least a thousandth of what would matter."""
    residual = spec.response - spec.X @ np.linalg.lstsq(spec.X, spec.response, rcond=None)[0]
    whole = float(residual @ residual) / spec.n
    sds = []
    for term, Sigma in zip(spec.all_terms, spec.sigmas(theta), strict=True):
        unit = whole / np.maximum((term.basis**2).mean(axis=0), 1e-300)
        sds.append(np.sqrt(np.maximum(np.abs(np.diag(Sigma)), 1e-3 * unit)))
    return np.array([sds[w.term][w.a] * sds[w.term][w.b] for w in spec.index])


def same(spec: ModelSpec, got: Float, want: Float, what: str, *, rtol: float = OPTIMUM) -> None:
    """Two θ of `spec` agree to `rtol` of their sizes."""
    close(got, want, what, rtol=rtol, scale=sizes(spec, want))


def same_but_for_draws(spec: ModelSpec, got: Any, want: Any, what: str) -> None:
    """Two estimates agree to `OPTIMUM`, or within their Monte-Carlo errors where rows met other random draws.

    Where a constraint binds, that error is not the one of the estimate: then Σ only has to be of like size.
    """
    one, other = (None if e.sampling is None else e.sampling.noise for e in (got, want))
    if one is None or other is None:
        same(spec, got.theta, want.theta, what)
        return
    if got.singular or want.singular:
        same(spec, got.theta, want.theta, what, rtol=100.0)
        return
    close(got.par, want.par, what, rtol=1.0, scale=DRAWN * np.hypot(one, other) + OPTIMUM * np.abs(want.par))


def par_units(spec: ModelSpec) -> NDArray[np.intp]:
    """(n_par,) the power of a variance that each structure parameter is in: 1, or 0 for correlations."""
    powers = [np.isinf(upper - lower) for lower, upper in (t.structure.bounds() for t in spec.all_terms)]
    return np.concatenate(powers).astype(np.intp)


def has_option(estimator: Any, name: str) -> bool:
    """Whether `name` is an option of the estimator."""
    return name in getattr(type(estimator), "__dataclass_fields__", {})


def draws_rows(estimator: Any) -> bool:
    """Whether the estimate depends on which rows are drawn."""
    return "draws" in estimator.needs
