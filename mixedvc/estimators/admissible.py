"""The nearest θ at which the model exists: what conditions on variances needs, and a moment estimate may lack."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..linalg import dense as la

Float = NDArray[np.float64]


def admissible(spec: ModelSpec, theta: Float) -> Float:
    """θ itself where every Σ ⪰ 0 and the residual varies; otherwise with each Σ replaced by the nearest such one.

    Moment estimates may be negative; what conditions on the variances (GLS, BLUPs, predictions) uses this.
    """
    sigmas = spec.sigmas(theta)
    out = [Sigma if la.small_eigh(Sigma)[0][0] >= 0.0 else la.nearest_psd(Sigma, 0.0) for Sigma in sigmas]
    degenerate = getattr(spec.residual.structure, "degenerate", False) and bool((np.diagonal(out[-1]) > 0.0).all())
    if degenerate:  # singular by its making: rounding is no reason to move it
        out[-1] = sigmas[-1]
    elif not la.small_eigh(out[-1])[0][0] > 0.0:
        out[-1] = out[-1] + np.diag(_floors(spec))
    if all(a is b for a, b in zip(out, sigmas, strict=True)):
        return theta
    return spec.theta(out)


def _floors(spec: ModelSpec) -> Float:
    """(k,) a millionth of the least-squares residual variance of the rows of each residual effect."""
    left = spec.response - spec.X @ la.lstsq(spec.X, spec.response) if spec.p else spec.response
    squares = spec.residual.basis**2
    own = (left**2 @ squares) / np.maximum((squares**2).sum(axis=0), 1e-300)
    return np.maximum(1e-6 * own, 1e-300)
