"""Random effects of many responses at once: A Zᵀ times θ V⁻¹(y − Xβ̂) of all of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..estimators.admissible import admissible
from ..estimators.each import Panel
from ..inference import blup
from ..inference.fixed import LeastSquares
from ..inference.parameters import linear_parameters
from ..likelihood.base import Likelihood
from ..likelihood.panel import with_responses
from ..likelihood.panel_profile import Share

Float = NDArray[np.float64]


def together(spec: ModelSpec, panel: Panel, i: int, Y: Float, par: Float) -> Float:
    """(T, levels, 1) predictions of term i for responses Y (n, T) with variances par (T, 2)."""
    term, profile = spec.terms[i], panel.profile
    top = par[:, 0] * profile.scale
    upper = top > par[:, 1]
    share = Share(np.where(upper, par[:, 1], top) / (top + par[:, 1]), upper)
    Z, _ = profile.coordinates.responses(Y)
    wide = np.zeros((len(term.covariance.labels), Y.shape[1]))
    wide[term.positions] = term.collect(profile.kernel_rows(Z, share))[:, 0]
    return np.asarray(term.covariance.matmat(wide))[blup.roster(term).positions].T[:, :, None]


def one_by_one(spec: ModelSpec, likelihood: Likelihood, ols: bool, i: int, Y: Float, par: Float) -> Float:
    """(T, levels, k) the same by an evaluation for each response; `ols`: fixed effects are those of least squares."""
    made = []
    for y, values, carrier in zip(Y.T, par, with_responses(likelihood, Y), strict=True):
        own = replace(spec, y=np.array(y), source=None)
        theta = admissible(own, linear_parameters(own, values))
        evaluation: Any = carrier.at(theta)
        if ols:
            evaluation = LeastSquares(own, theta, partial(carrier.at, theta))
        made.append(blup.effects(own, evaluation, i))
    return np.stack(made)
