"""Points θ at which a likelihood must be right: inside, near the edge, and on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..structures.base import Structure

Float = NDArray[np.float64]


def _unit(spec: ModelSpec) -> float:
    """A variance of the size of the response's."""
    spread = float(np.var(spec.response))
    return spread if spread > 0 else 1.0


def random_sigma(structure: Structure, rng: np.random.Generator) -> Float:
    """A positive definite member of the structure, of unit size."""
    root = rng.standard_normal((structure.k, structure.k + 2))
    Sigma = root @ root.T / (structure.k + 2)
    return structure.build(structure.start(Sigma))


def _scaled(spec: ModelSpec, term: int, Sigma: Float) -> Float:
    """Sigma (about 1) in the units of the term's effects, so that each moves the response alike."""
    which = spec.all_terms[term]
    size = np.sqrt(np.maximum((which.basis**2).mean(axis=0), 1e-300))
    return _unit(spec) * Sigma / size[:, None] / size


def interior(spec: ModelSpec, rng: np.random.Generator) -> Float:
    """Every Σ positive definite."""
    return spec.theta([_scaled(spec, i, random_sigma(term.structure, rng)) for i, term in enumerate(spec.all_terms)])


def points(spec: ModelSpec, seed: int = 0) -> dict[str, Float]:
    """Named θ: two inside, one near the edge for each term, one with each term at zero, all terms at zero, rank one.

    The residual variance stays positive throughout.
    """
    rng = np.random.default_rng(seed)
    base = spec.sigmas(interior(spec, rng))
    out = {"inside": spec.theta(base), "inside too": interior(spec, rng)}
    out["small residual"] = spec.theta([*base[:-1], 1e-3 * base[-1]])
    for i, term in enumerate(spec.terms):
        for name, factor in (("near zero", 1e-7), ("zero", 0.0)):
            out[f"{term.name} {name}"] = spec.theta([factor * S if j == i else S for j, S in enumerate(base)])
        if term.k > 1 and len(term.structure.pairs) > term.k:
            b = rng.standard_normal(term.k) * np.sqrt(np.diag(base[i]))
            flat = np.outer(b, b)
            out[f"{term.name} of rank one"] = spec.theta([flat if j == i else S for j, S in enumerate(base)])
        elif term.k > 1:
            flat = base[i].copy()
            flat[-1, -1] = 0.0
            out[f"{term.name} with one zero"] = spec.theta([flat if j == i else S for j, S in enumerate(base)])
    out["all zero but the residual"] = spec.theta([*(0.0 * S for S in base[:-1]), base[-1]])
    return out
