"""Profile-likelihood interval of the correlation: the values that a likelihood-ratio test does not reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.optimize import brentq

from ..design.spec import ModelSpec
from ..errors import ConvergenceError, NotProvided
from ..likelihood import choose
from ..likelihood.base import Evaluation, Likelihood
from ..linalg import dense as la

if TYPE_CHECKING:
    from ..results.point import PointResults

Float = NDArray[np.float64]
_ENOUGH = 1e-6  # Newton decrement, in units of log-likelihood, at which a point of the profile is reached
_MOST = 60
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


def profile_interval(fit: PointResults, rho: float, level: float) -> tuple[float, float]:
    """{ρ : 2(ℓ̂ − max ℓ given ρ) ≤ χ²₁}, an end at ±1 where even that is not rejected.

    Raises
    ------
    NotProvided
        Other terms with covariances or correlations among their effects.
    ConvergenceError
        A point of the profile that was not reached.
    """
    path = path_of(fit)
    likelihood = fit.likelihood or choose(fit.spec, reml=fit.estimate.reml is not False)[0]
    limit = float(special.chdtri(1, 1.0 - level))
    out = []
    for end in (-1.0, 1.0):
        excess = _excess(likelihood, path, fit.llf, limit)
        if abs(end - rho) < _FINE or excess(end) <= 0.0:
            out.append(end)
        else:
            out.append(
                float(brentq(lambda r, f=excess: f(r) if abs(r - rho) > _FINE else -limit, end, rho, xtol=_FINE))
            )
    return out[0], out[1]


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


def _excess(likelihood: Likelihood, path: Path, best: float, limit: float) -> Callable[[float], float]:
    """ρ ↦ 2(ℓ̂ − max ℓ given ρ) − limit."""
    return lambda rho: 2.0 * (best - _climb(likelihood, path, rho)) - limit


def _climb(likelihood: Likelihood, path: Path, rho: float) -> float:
    """The maximum at `rho`, by damped average-information steps from the estimate's variances.

    Not from another point of the profile: where a variance vanished there, its logarithm would not come back.
    """
    q, damping = path.start(), 1e-3
    evaluation = likelihood.at(path.at(rho, q))
    for _ in range(_MOST):
        gradient, H = _slope(evaluation, path)
        if float(gradient @ la.lstsq(H, gradient)) < _ENOUGH:
            return evaluation.loglik
        step = la.lstsq(H + damping * np.diag(np.diagonal(H)), gradient)
        step *= min(1.0, 2.0 / np.abs(step).max())
        try:
            tried = likelihood.at(path.at(rho, q + step))
            better = tried.loglik >= evaluation.loglik
        except la.NotPositiveDefinite:
            better = False
        if better:
            q, evaluation, damping = q + step, tried, max(damping / 10.0, 1e-8)
        elif damping > 1e8:
            return evaluation.loglik  # no direction leads up any more: rounding
        else:
            damping *= 10.0
    raise ConvergenceError(
        f"the likelihood at a correlation of {rho:.3f} was not maximised in {_MOST} steps: use interval='fisher'"
    )


def _slope(evaluation: Evaluation, path: Path) -> tuple[Float, Float]:
    """Gradient in the coordinates, and the average information."""
    J = path.jacobian(evaluation.theta)
    H = J.T @ evaluation.average_information @ J
    return J.T @ evaluation.score, H + 1e-10 * np.diag(np.maximum(np.diagonal(H), np.diagonal(H).max()))
