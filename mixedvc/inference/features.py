"""Features as random regression: BLUPs of the effects of the columns behind u = G α, and how sure they are.

A = G Gᵀ/m with G the standardised features, so a term with Cov(vec u) = Σ ⊗ A is the regression u = G α on m columns
with Cov(α_j) = Σ/m, independent of each other (MATH 2).  With F = G/√m and P of the fit,

    α̂ = Fᵀ Zᵀ P y Σ/√m,        û = G α̂,        Var(α̂_j − α_j) = Σ/m − C_jᵀ P C_j,   C_j = Cov(y, α_j)

The features are read in chunks of columns: neither A (q×q) nor anything m×m is formed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import Positions
from ..covariance.features import Features
from ..covariance.marginal import Marginal
from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..likelihood.base import Evaluation
from ..progress import Progress
from .blup import effect_weights, roster

Float = NDArray[np.float64]


@dataclass(frozen=True)
class FeatureEffects:
    """Effects of all M columns of the features, zero for the constant ones, which were dropped.

    Attributes
    ----------
    raw : (M, k)
        Change of the effects u for one unit of the feature as it was given.
    standardised : (M, k)
        For one unit of the feature as the covariance uses it: one standard deviation, unless it was told not to divide.
    se : (M, k) or None
        Root of the prediction error variance of `raw`.
    reliability : (M, k) or None
        1 − PEV/prior variance; NaN where the column or the variance is zero.
    """

    raw: Float
    standardised: Float
    se: Float | None = None
    reliability: Float | None = None


def has_features(term: Term) -> bool:
    """Whether the term's covariance is made of features."""
    cov = term.covariance
    return isinstance(cov, Features) or (isinstance(cov, Marginal) and isinstance(cov.base, Features))


def features_of(term: Term) -> tuple[Features, Positions]:
    """The features behind a term, and the position of each of its levels among their rows."""
    cov = term.covariance
    if isinstance(cov, Features):
        return cov, term.positions
    if isinstance(cov, Marginal) and isinstance(cov.base, Features):
        return cov.base, cov.rows[term.positions]
    raise OptionError(
        f"{term.text}: the covariance of {term.name!r} is {cov.describe()}, not features: fit with "
        f"cov={{{term.cov_name or 'G'!r}: mixedvc.Features(W)}}"
    )


def roster_rows(term: Term) -> Positions:
    """Row of the features of each level in the term's roster."""
    positions = roster(term).positions
    features, _ = features_of(term)
    if features is term.covariance:
        return positions
    return np.asarray(term.covariance.rows[positions])  # type: ignore[attr-defined]


def choose_term(spec: ModelSpec, name: str | None) -> int:
    """Position of the term called `name`, or of the only one with features."""
    names = [term.name for term in spec.terms]
    having = [i for i, term in enumerate(spec.terms) if has_features(term)]
    known = f"terms with features: {', '.join(repr(names[i]) for i in having)}" if having else "no term has features"
    if name is None:
        if len(having) != 1:
            raise OptionError(f"feature_effects() of which term? {known[0].upper()}{known[1:]}")
        return having[0]
    if name not in names:
        raise OptionError(f"no random term is called {name!r}; {known}")
    features_of(spec.terms[names.index(name)])  # refuses other covariances
    return names.index(name)


def feature_effects(spec: ModelSpec, evaluation: Evaluation, i: int, *, se: bool = False) -> FeatureEffects:
    """BLUPs of the column effects of term `i`.

    Cost: one reading of the features, q·m·k.  With `se`, P times a vector for every column and effect besides: n·r for
    each in r compressed coordinates (m < n), n² for each with a dense factor of V.
    """
    term = spec.terms[i]
    features, rows = features_of(term)
    M, k, root = features.matrix.shape[1], term.k, np.sqrt(features.m)
    weights = effect_weights(spec, evaluation, i)
    standardised, pev = np.zeros((M, k)), np.zeros((M, k))
    with Progress("feature effects", total=features.m) as bar:
        for part, F in features.chunks(rows, spec.n * k if se else 0):
            at = features.kept[part]
            standardised[at] = F.T @ weights / root
            if se:
                Sigma = spec.sigmas(evaluation.theta)[i]
                pev[at] = np.diagonal(Sigma) / features.m - _explained(evaluation, term, Sigma, F) / features.m
            bar.step(F.shape[1])
    scale = np.zeros(M)
    scale[features.kept] = features.scale
    raw = standardised * scale[:, None]
    if not se:
        return FeatureEffects(raw, standardised)
    prior = np.zeros((M, k))
    prior[features.kept] = np.diagonal(spec.sigmas(evaluation.theta)[i]) / features.m
    with np.errstate(divide="ignore", invalid="ignore"):
        reliability = np.where(prior > 0.0, 1.0 - pev / prior, np.nan)
    return FeatureEffects(raw, standardised, scale[:, None] * np.sqrt(np.maximum(pev, 0.0)), reliability)


def _explained(evaluation: Evaluation, term: Term, Sigma: Float, F: Float) -> Float:
    """m times the diagonals of C_jᵀ P C_j, (c, k), of a chunk of features."""
    spread = F[term.codes]
    C = np.einsum("nc,na->nca", spread, term.basis @ Sigma).reshape(len(spread), -1)
    inside = np.einsum("nj,nj->j", C, np.asarray(evaluation.project(C)))
    return inside.reshape(F.shape[1], term.k)
