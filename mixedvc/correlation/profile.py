"""Profile-likelihood interval of the correlation: the values that a likelihood-ratio test does not reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..design.spec import ModelSpec
from ..errors import ConvergenceError, NotProvided
from ..likelihood.base import Evaluation, Likelihood
from ..likelihood.choose import choose
from ..linalg import dense as la

if TYPE_CHECKING:
    from ..results.point import PointResults

Float = NDArray[np.float64]
_ENOUGH = 1e-9  # rise of a step, in units of log-likelihood, at which a point of the profile is reached
_MOST = 500
_FAR = 1e12
_FINE = 1e-4  # of the correlation
_LEAST = 1e-6  # a variance of zero starts at this share of the residual variance: it may leave zero along the profile


@dataclass(frozen=True)
class Path:
    """θ at a given correlation of the first term's effects: logs of their standard deviations, of other variances.

    Attributes
    ----------
    theta : (m,)
        Values of what does not move.
    tied : (int, int, int)
        Where σ₁₁, σ₁₂, σ₂₂ are in θ.
    free : (f,) intp
        Where the other variances that move are in θ.
    """

    theta: Float
    tied: tuple[int, int, int]
    free: NDArray[np.intp]

    def at(self, rho: float, q: Float) -> Float:
        """θ."""
        theta = self.theta.copy()
        one, cross, two = self.tied
        theta[one], theta[two] = np.exp(2.0 * q[:2])
        theta[cross] = rho * np.exp(q[0] + q[1])
        theta[self.free] = np.exp(q[2:])
        return theta

    def jacobian(self, theta: Float) -> Float:
        """(m, 2 + f) ∂θ/∂q."""
        J = np.zeros((len(theta), 2 + len(self.free)))
        one, cross, two = self.tied
        J[one, 0], J[two, 1] = 2.0 * theta[one], 2.0 * theta[two]
        J[cross, :2] = theta[cross]
        J[self.free, 2 + np.arange(len(self.free))] = theta[self.free]
        return J

    def start(self) -> Float:
        """Coordinates of the estimate."""
        one, _, two = self.tied
        return np.concatenate([0.5 * np.log(self.theta[[one, two]]), np.log(self.theta[self.free])])


def profile_interval(fit: PointResults, rho: float, se: float, level: float) -> tuple[float, float]:
    """{ρ : 2(ℓ̂ − max ℓ given ρ) ≤ χ²₁}, an end at ±1 where even that is not rejected.

    Parameters
    ----------
    rho, se : float
        Estimate and its delta-method error (NaN at the edge), which says where to look.

    Raises
    ------
    NotProvided
        Other terms with covariances or correlations among their effects.
    ConvergenceError
        A point of the profile that was not reached.
    """
    path = path_of(fit)
    likelihood = fit.likelihood or choose(fit.spec, reml=fit.estimate.reml is not False)[0]
    distance = _distance(likelihood, path, fit.llf, float(np.sqrt(special.chdtri(1, 1.0 - level))))
    lower, upper = (_end(distance, rho, se, sign) for sign in (-1.0, 1.0))
    return lower, upper


def _end(distance: Callable[[float], float], rho: float, se: float, sign: float) -> float:
    """Where `distance` is zero between the estimate and ±1; ±1 where it is below zero there."""
    from scipy.optimize import brentq

    if abs(sign - rho) < _FINE:
        return sign
    near = float(np.tanh(np.arctanh(rho) + sign * 4.0 * se / (1.0 - rho**2))) if np.isfinite(se) else sign
    for outside in (near, sign):
        if distance(outside) > 0.0:
            return float(brentq(distance, rho, outside, xtol=_FINE))
    return sign


def path_of(fit: PointResults) -> Path:
    """What moves along the profile of a fit."""
    spec, estimate = fit.spec, fit.estimate
    _refuse_other_structures(spec)
    index = [(w.term, w.a, w.b) for w in spec.index]
    tied = index.index((0, 0, 0)), index.index((0, 0, 1)), index.index((0, 1, 1))
    free = np.array([j for j in range(len(index)) if j not in tied and not estimate.fixed[j]], dtype=np.intp)
    theta = np.array(estimate.theta)
    scale = np.abs(theta[[j for j, w in enumerate(spec.index) if w.term == len(spec.terms)]]).max()
    theta[free] = np.maximum(theta[free], _LEAST * scale)
    return Path(theta, tied, free)


def _refuse_other_structures(spec: ModelSpec) -> None:
    for term in spec.terms[1:]:
        if not term.structure.linear or any(a != b for a, b in term.structure.pairs):
            raise NotProvided(
                f"interval='profile' is for models whose other terms have independent effects; {term.text} has "
                "correlated ones: use interval='fisher'"
            )


def _distance(likelihood: Likelihood, path: Path, best: float, limit: float) -> Callable[[float], float]:
    """ρ ↦ √(2(ℓ̂ − max ℓ given ρ)) − limit, nearly straight on either side of the estimate."""
    return lambda rho: float(np.sqrt(max(2.0 * (best - _climb(likelihood, path, rho)), 0.0))) - limit


def _climb(likelihood: Likelihood, path: Path, rho: float) -> float:
    """The maximum at `rho`, by BFGS from the estimate's variances, in coordinates where the curvature there is one.

    Not from another point of the profile: where a variance vanished there, its logarithm would not come back.
    """
    from scipy.optimize import minimize

    q = path.start()
    scale = _whitening(likelihood.at(path.at(rho, q)), path)
    begin = likelihood.at(path.at(rho, q)).loglik

    def fall(x: Float) -> tuple[float, Float]:
        try:
            evaluation = likelihood.at(path.at(rho, q + scale @ x))
        except la.NotPositiveDefinite:  # only where logarithms ran away: turn back
            return _FAR, np.zeros(len(x))
        slope = path.jacobian(evaluation.theta).T @ evaluation.score
        return begin - evaluation.loglik, -(scale.T @ slope)

    found = minimize(
        fall, np.zeros(len(q)), jac=True, method="L-BFGS-B", options={"ftol": _ENOUGH, "gtol": 1e-4, "maxiter": _MOST}
    )
    if found.nit >= _MOST or not found.fun < _FAR:
        raise ConvergenceError(
            f"the likelihood at a correlation of {rho:.3f} was not maximised ({found.message}): use interval='fisher'"
        )
    return begin - float(found.fun)


def _whitening(evaluation: Evaluation, path: Path) -> Float:
    """T with TᵀHT = I, H = Jᵀ AI J; directions that hardly bend count as bending a little."""
    J = path.jacobian(evaluation.theta)
    values, vectors = la.small_eigh(J.T @ evaluation.average_information @ J)
    return vectors / np.sqrt(np.maximum(values, 1e-4 * values.max()))
