"""The likelihood with a linear combination wᵀβ of the fixed effects held, without another set-up.

With c = wᵀCw, C = (XᵀV⁻¹X)⁻¹, h = V⁻¹XCw and d = b − wᵀβ̂(θ), maximising over β given wᵀβ = b leaves

    ℓ_b(θ) = ℓ(θ) − ½ d²/c,   r = Py − h d/c,   P_b = P + h hᵀ/c

so that score, average and observed information are those of any Gaussian model with r in the place of Py and P_b in the
place of P.  This is maximum likelihood: the restricted likelihood does not know β.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.base import Evaluation
from .fixed import covariance_times

Float = NDArray[np.float64]


class HeldEffect:
    """An evaluation of the (unrestricted) likelihood at θ with wᵀβ held at b.

    Parameters
    ----------
    evaluation : Evaluation
        Of the likelihood without the constraint, not restricted.
    w : (p,)
    b : float
    """

    def __init__(self, spec: ModelSpec, evaluation: Evaluation, w: Float, b: float):
        self._spec, self._inner, self._w = spec, evaluation, w
        self._Cw = evaluation.beta_cov @ w
        self._c = float(w @ self._Cw)
        self._d = b - float(w @ evaluation.beta)

    @property
    def loglik(self) -> float:
        return float(self._inner.loglik) - 0.5 * self._d**2 / self._c

    @cached_property
    def _h(self) -> Float:
        return self._inner.solve(self._spec.X @ self._Cw)

    @cached_property
    def _r(self) -> Float:
        return self._inner.Py - self._h * (self._d / self._c)

    @cached_property
    def _moved(self) -> Float:
        """(n, m) V_j r."""
        return covariance_times(self._spec, self._r[:, None])[:, :, 0].T

    @cached_property
    def score(self) -> Float:
        return 0.5 * (self._r @ self._moved - self._inner.trace)

    @cached_property
    def average_information(self) -> Float:
        F = self._moved
        along = self._h @ F
        A = 0.5 * (F.T @ self._inner.project(F) + np.outer(along, along) / self._c)
        return 0.5 * (A + A.T)

    @property
    def expected_information(self) -> Float:
        return self._inner.expected_information

    @cached_property
    def observed_information(self) -> Float:
        return 2.0 * self.average_information - self.expected_information

    @property
    def slope(self) -> float:
        """∂ℓ_b/∂b."""
        return -self._d / self._c

    @property
    def bend(self) -> float:
        """−∂²ℓ_b/∂b²."""
        return 1.0 / self._c

    @property
    def cross(self) -> Float:
        """(m,) ∂²ℓ_b/∂θ∂b."""
        return -(self._h @ self._moved) / self._c
