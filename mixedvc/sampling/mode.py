"""The mode of a posterior and its spread along the axes of its curvature: where proposals begin.

Quasi-Newton steps (BFGS) limited in length: densities in z may be flat over many units, and need not have their mode
where the likelihood has its own.  The gradient of the restricted likelihood is its score through the chain rule.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ConvergenceError
from ..linalg import dense as la
from .target import Target

Float = NDArray[np.float64]
_LONGEST = 2.0  # step in z: a factor of e² in an sd
RIDGE_STEP = 0.6
_DOWN = -3.0  # a size of a thousandth of its unit
_NEGLIGIBLE = 7.0  # of log density below the mode
_GAIN = 1e-3  # of log density, below which the mode is near enough


@dataclass
class Counter:
    """Evaluations of the target so far."""

    evaluations: int = 0


def gradient(target: Target, z: Float, count: Counter) -> tuple[float, Float]:
    """lp and ∂lp/∂z at one point (d,)."""
    d = target.d
    if target.priors.fixed is not None or target.vectorised:
        h = 1e-4
        points = np.vstack([z, z + h * np.eye(d), z - h * np.eye(d)])
        values = target.at(points).lp
        count.evaluations += len(points)
        return float(values[0]), (values[1 : d + 1] - values[d + 1 :]) / (2.0 * h)
    count.evaluations += 2
    h = 1e-5
    points = np.vstack([z, z + h * np.eye(d), z - h * np.eye(d)])
    par = target.par(points)
    theta = target.theta(par)
    free = target.log_prior(par) + target.log_jacobian(points)
    try:
        at = target.likelihood.at(theta[0])
        lp, score = float(at.loglik) + float(free[0]), at.score
    except la.NotPositiveDefinite:
        return -np.inf, np.zeros(d)
    slope = (theta[1 : d + 1] - theta[d + 1 :]) @ score + free[1 : d + 1] - free[d + 1 :]
    return lp, slope / (2.0 * h)


def climb(
    target: Target, start: Float, count: Counter, steps: int = 100, held: int | None = None
) -> tuple[Float, float]:
    """A mode and its lp; coordinate `held` stays."""
    z, d = np.array(start), target.d
    lp, slope = _gradient(target, z, count, held)
    if not np.isfinite(lp):
        raise ConvergenceError("the posterior has no density where the restricted likelihood has its maximum")
    H, first = np.eye(d), True
    for _ in range(steps):
        if not np.isfinite(slope).all():
            break
        step = H @ slope
        if step @ slope <= 0.0:
            H, step = np.eye(d), slope
        step = step * min(1.0, _LONGEST / max(float(np.abs(step).max()), 1e-300))
        found = _backtrack(target, z, lp, slope, step, count, held)
        if found is None:
            if first:
                break
            H, first = np.eye(d), True
            continue
        moved, (new, turned) = found
        s, t = moved - z, slope - turned
        gain, z, lp, slope = new - lp, moved, new, turned
        if s @ t > 1e-10 * np.sqrt((s @ s) * (t @ t)):
            if first:
                H = np.eye(d) * (s @ t) / (t @ t)
            rho, A = 1.0 / (s @ t), np.eye(d)
            A = A - rho * np.outer(s, t)
            H = A @ H @ A.T + rho * np.outer(s, s)
        first = False
        if gain < _GAIN and 0.5 * abs(slope @ H @ slope) < _GAIN:
            break
    return z, lp


def _gradient(target: Target, z: Float, count: Counter, held: int | None) -> tuple[float, Float]:
    lp, slope = gradient(target, z, count)
    if held is not None:
        slope[held] = 0.0
    return lp, slope


def _backtrack(
    target: Target, z: Float, lp: float, slope: Float, step: Float, count: Counter, held: int | None
) -> tuple[Float, tuple[float, Float]] | None:
    """The step, shortened until it raises lp enough."""
    for _ in range(12):
        new = _gradient(target, z + step, count, held)
        if np.isfinite(new[0]) and new[0] >= lp + 1e-4 * float(slope @ step):
            return z + step, new
        step = 0.4 * step
    return None


def ridges(target: Target, z: Float, lp: float, count: Counter, most: int) -> list[tuple[int, Float]]:
    """Points (d,) beside the mode, one coordinate lowered step by step, the others at their best, that may have mass.

    A variance near zero is a coordinate far down: where the likelihood does not fall towards it, the posterior has a
    ridge there that a proposal around the mode misses.  With each point the coordinate that was lowered.

    Parameters
    ----------
    most : int
        Evaluations after which no other coordinate is tried.
    """
    found, before = [], count.evaluations
    for i in range(target.d):
        here = z.copy()
        while here[i] > _DOWN and count.evaluations - before < most:
            here[i] -= RIDGE_STEP
            if not np.isfinite(gradient(target, here, count)[0]):
                break
            here, top = climb(target, here, count, steps=5, held=i)
            if top < lp - _NEGLIGIBLE:
                break
            found.append((i, here.copy()))
    return found


def curvature(target: Target, z: Float, count: Counter, h: float = 0.05) -> Float:
    """−∂²lp/∂z² (d, d) by differences of gradients."""
    H = np.empty((target.d, target.d))
    for i, e in enumerate(np.eye(target.d)):
        up, down = gradient(target, z + h * e, count), gradient(target, z - h * e, count)
        H[i] = (down[1] - up[1]) / (2.0 * h)
    H = np.where(np.isfinite(H), H, 0.0)
    return 0.5 * (H + H.T)


def spread(target: Target, z: Float, lp: float, count: Counter) -> tuple[Float, Float]:
    """Centre (d,) and axes (d, d; columns one sd long) of the density around a mode.

    The sd along an axis of the curvature is half the distance at which lp has fallen by 2, side by side: a plateau or
    a long tail shows there and not in the second derivative.
    """
    values, vectors = la.small_eigh(curvature(target, z, count))
    size = 1.0 / np.sqrt(np.maximum(values, 0.02))
    d = target.d
    reach = np.stack([size, size])  # (2, d) sds, forward and back
    low, high = np.zeros((2, d)), np.full((2, d), np.inf)
    for _ in range(6):
        ends = np.vstack([z + 2.0 * (reach[0] * vectors).T, z - 2.0 * (reach[1] * vectors).T])
        fall = lp - target.at(ends).lp.reshape(2, d)
        count.evaluations += 2 * d
        near, far = fall < 1.0, fall > 3.5
        if not (near | far).any():
            break
        low, high = np.where(near, reach, low), np.where(far, reach, high)
        between = np.where(np.isfinite(high), np.sqrt(np.maximum(low, 0.05 * high) * high), 2.2 * reach)
        reach = np.where(near | far, np.minimum(between, 12.0), reach)
    centre = z + (0.5 * (reach[0] - reach[1]) * vectors).sum(axis=1)
    return centre, vectors * (0.5 * (reach[0] + reach[1]))
