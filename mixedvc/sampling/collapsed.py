"""Collapsed sampling: Metropolis-Hastings on the posterior of the variance parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from .base import Piece, State
from .target import Evaluated, Target

Float = NDArray[np.float64]
_DF = 6.0


@dataclass(frozen=True)
class CollapsedPlan:
    """A multivariate t proposal with 6 degrees of freedom around `mode`, scale `root` rootᵀ."""

    mode: Float
    root: Float
    thin: int = 1
    block: int = 100
    name: ClassVar[str] = "collapsed"

    def scheme(self, target: Target) -> Independence:
        return Independence(self, target)

    def describe(self) -> str:
        return "independence proposals on the marginal posterior of the variances"


class Independence:
    """Metropolis-Hastings with the plan's proposals; a block is evaluated at once."""

    def __init__(self, plan: CollapsedPlan, target: Target):
        self.plan, self.target, self.block = plan, target, plan.block

    def _proposals(self, rng: np.random.Generator, count: int) -> tuple[Evaluated, Float]:
        d = len(self.plan.mode)
        t = rng.standard_normal((count, d)) / np.sqrt(rng.chisquare(_DF, (count, 1)) / _DF)
        at = self.target.at(self.plan.mode + t @ self.plan.root.T)
        log_q = -0.5 * (_DF + d) * np.log1p((t * t).sum(axis=1) / _DF)
        return at, at.lp - log_q

    def begin(self, rng: np.random.Generator) -> State:
        at, weight = self._proposals(rng, 20)
        first = int(np.argmax(weight - np.log(-np.log(rng.random(20)))))
        return {"z": at.z[first]}

    def advance(self, state: State, rng: np.random.Generator) -> tuple[Piece, State]:
        count = self.block * self.plan.thin
        at, weight = self._proposals(rng, count)
        here = self.target.at(state["z"][None, :])
        d, t = len(self.plan.mode), np.linalg.solve(self.plan.root, state["z"] - self.plan.mode)
        now = float(here.lp[0] + 0.5 * (_DF + d) * np.log1p(t @ t / _DF))
        dice = np.log(rng.random(count))
        chosen, current = np.empty(count, dtype=np.intp), -1
        accepted = 0
        for i in range(count):
            if dice[i] < weight[i] - now:
                current, now, accepted = i, weight[i], accepted + 1
            chosen[i] = current
        kept = chosen[self.plan.thin - 1 :: self.plan.thin]
        both = _joined(here, at)
        got = both.take(kept + 1)
        beta = self.target.draw_beta(got.at, rng)
        facts = {"iterations": float(count), "accepted": float(accepted)}
        piece = Piece(got.par, got.theta, beta, got.lp_par, got.at.loglik, None, facts)
        return piece, {"z": both.z[chosen[-1] + 1]}


def _joined(first: Evaluated, rest: Evaluated) -> Evaluated:
    from ..likelihood.marginals import Marginals

    at = Marginals(*(np.concatenate([getattr(first.at, f), getattr(rest.at, f)]) for f in ("loglik", "beta", "root")))
    fields = (np.concatenate([getattr(first, f), getattr(rest, f)]) for f in ("z", "par", "theta", "lp", "lp_par"))
    return Evaluated(*fields, at)


def plan_collapsed(target: Target, start: Float, thin: int) -> CollapsedPlan:
    """Mode and curvature of the posterior from `start` (n_par,)."""
    from scipy.optimize import minimize

    def down(z: Float) -> float:
        lp = float(target.at(z[None, :]).lp[0])
        return -lp if np.isfinite(lp) else 1e10

    found = minimize(down, target.z(start[None, :])[0], method="BFGS")
    mode, d, h = found.x, target.d, 1e-3
    points = [
        mode + h * (a * np.eye(d)[i] + b * np.eye(d)[j])
        for i in range(d)
        for j in range(d)
        for a in (1, -1)
        for b in (1, -1)
    ]
    lp = target.at(np.array(points)).lp.reshape(d, d, 2, 2)
    hessian = -(lp[:, :, 0, 0] - lp[:, :, 0, 1] - lp[:, :, 1, 0] + lp[:, :, 1, 1]) / (4 * h * h)
    values, vectors = np.linalg.eigh(0.5 * (hessian + hessian.T))
    root = vectors * np.sqrt(1.15 / np.maximum(values, 1e-3 * values.max()))
    return CollapsedPlan(mode, root, thin)
