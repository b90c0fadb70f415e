"""log|R(ρ)| of patterned correlation matrices for many ρ: closed for cs and ar1, by factorisation for others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..linalg.stacks import stacked_cholesky
from ..structures.base import Structure
from ..structures.patterned import Autoregressive, CompoundSymmetry
from ..structures.serial import Serial

Float = NDArray[np.float64]


def is_closed(structure: Structure) -> bool:
    """Whether every ρ within the bounds gives a positive definite R, known in closed form."""
    return isinstance(structure, (CompoundSymmetry, Autoregressive, Serial))


def log_determinants(structure: Structure, rho: Float) -> Float:
    """(K,) log|R| at rows of correlations rho (K, r), −∞ where R is not positive definite.

    cs: (1 − ρ)^{m−1} (1 + (m − 1)ρ) of m cells; ar1: Π (1 − ρ^{2 gap}) over neighbouring places.
    """
    if not is_closed(structure):
        L, good = stacked_cholesky(correlation_matrices(structure, rho))
        logdet = 2.0 * np.log(np.einsum("nii->ni", L)).sum(axis=1)
        return np.where(good, logdet, -np.inf)
    r = rho[:, 0]
    out = np.zeros(len(r))
    with np.errstate(divide="ignore", invalid="ignore"):
        for places in _blocks(structure):
            if structure.name == "cs":
                out += (len(places) - 1) * np.log1p(-r) + np.log1p((len(places) - 1) * r)
            else:
                for gap in np.diff(places):
                    out += np.log1p(-(r ** (2 * int(gap))))
    return np.where(np.isnan(out), -np.inf, out)


def _blocks(structure: Structure) -> list[NDArray[np.intp]]:
    """Sorted places of the cells that are correlated with each other."""
    if not isinstance(structure, Serial):
        return [np.arange(structure.k)]
    place, stratum = np.array(structure.place), np.array(structure.stratum)
    if structure.across:
        return [np.sort(place)]
    return [np.sort(place[stratum == s]) for s in range(structure.n_strata)]


def correlation_matrices(structure: Structure, rho: Float) -> Float:
    """(K, k, k) R at each row of correlations: variances at one, loadings at zero."""
    kinds = np.array(
        getattr(structure, "kinds", None)
        or ["variance" if second is None else "correlation" for _, second in structure.names(_numbers(structure))]
    )
    par = np.zeros((len(rho), structure.n_par))
    par[:, kinds == "variance"] = 1.0
    par[:, kinds == "correlation"] = rho
    return np.stack([structure.build(row) for row in par])


def _numbers(structure: Structure) -> tuple[str, ...]:
    return tuple(str(a) for a in range(structure.k))
