"""Effects of the columns of features under a posterior: means from those of the random effects, spread from draws.

With u = F a, F = G/√m, a ~ N(0, I ⊗ Σ):  a | u ~ N(Fᵀ A⁺ u, (I − Fᵀ A⁺ F) ⊗ Σ), A = F Fᵀ, and y depends on a through u
alone, so that Var(a_j | y) = Var(f_jᵀA⁺u | y) + (1 − f_jᵀA⁺f_j) E(Σ | y).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la
from ..linalg.roots import pivoted_root
from .blup import roster
from .features import FeatureEffects, feature_effects, features_of, roster_rows
from .posterior import PosteriorMeans
from .posterior_draws import EffectDraws

Float = NDArray[np.float64]
_MOST = 500  # draws that standard deviations of features are made of


def feature_posterior(spec: ModelSpec, means: PosteriorMeans, drawn: EffectDraws | None, i: int) -> FeatureEffects:
    """Posterior means of the column effects of term `i`; with draws, their standard deviations and reliabilities."""
    made = feature_effects(spec, means, i)  # type: ignore[arg-type]
    if drawn is None:
        return made
    term = spec.terms[i]
    features, _ = features_of(term)
    some = np.unique(np.linspace(0, len(drawn) - 1, min(_MOST, len(drawn))).astype(np.intp))
    u = drawn.effects[i][some].transpose(1, 0, 2)
    u = u - u.mean(axis=1, keepdims=True)
    Q, T = la.qr(pivoted_root(np.asarray(term.covariance.block(roster(term).positions))))
    half = la.solve_triangular(T, Q.T @ u.reshape(len(u), -1), lower=False)
    prior = np.diagonal(drawn.sigmas[i].mean(axis=0))
    M = features.matrix.shape[1]
    variance, reliability = np.zeros((M, term.k)), np.full((M, term.k), np.nan)
    for part, F in features.chunks(roster_rows(term)):
        H = la.solve_triangular(T, Q.T @ F, lower=False)  # (r, c): A⁺ = (Q T⁻ᵀ)(Q T⁻ᵀ)ᵀ
        spread = (H.T @ half).reshape(F.shape[1], len(some), term.k)
        left = np.maximum(1.0 - np.einsum("rc,rc->c", H, H), 0.0)
        own = np.einsum("cdk,cdk->ck", spread, spread) / (len(some) - 1) + left[:, None] * prior
        variance[features.kept[part]] = own / features.m
        with np.errstate(divide="ignore", invalid="ignore"):
            reliability[features.kept[part]] = np.where(prior > 0.0, 1.0 - own / prior, np.nan)
    scale = np.zeros(M)
    scale[features.kept] = features.scale
    return FeatureEffects(made.raw, made.standardised, scale[:, None] * np.sqrt(variance), reliability)
