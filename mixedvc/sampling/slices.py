"""Slice sampling that needs no tuning: along ellipses of a fitted t, and along its axes by stepping out.

Nishihara, Murray & Adams (2014) JMLR 15:2087 for the ellipses; Neal (2003) Annals of Statistics 31:705 for the axes,
which cross plateaus and valleys that no ellipse around one centre reaches.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..linalg import dense as la
from .proposal import Proposal, covariance_root
from .target import Evaluated, Target

Float = NDArray[np.float64]
_TRIES = 60  # narrowings after which a step stays where it is
_OUT = 8  # widenings of an axis' bracket
_DF, _AHEAD, _AXIS_EVERY = 5.0, 3, 3


@dataclass
class Work:
    """What steps have cost."""

    evaluations: int = 0
    expansions: int = 0


@dataclass(frozen=True)
class Ellipses:
    """Elliptical slice steps for a t with centre (d,), lower triangular root (d, d), and df."""

    target: Target
    centre: Float
    root: Float
    df: float
    ahead: int  # points of a step evaluated at once

    def _log_t(self, z: Float) -> Float:
        """(K,) log density of the t up to a constant."""
        distance = np.square(la.solve_triangular(self.root, (z - self.centre).T)).sum(axis=0)
        return -0.5 * (self.df + len(self.centre)) * np.log1p(distance / self.df)

    def step(self, here: Evaluated, rng: np.random.Generator, work: Work) -> Evaluated:
        """One step along an ellipse through `here` (one point) and a draw with the scale that the t has there."""
        d, apart = len(self.centre), here.z[0] - self.centre
        distance = float(np.square(la.solve_triangular(self.root, apart)).sum())
        scale = 0.5 * (self.df + distance) / rng.gamma(0.5 * (self.df + d))
        other = np.sqrt(scale) * (self.root @ rng.standard_normal(d))
        level = float(here.lp[0] - self._log_t(here.z)[0]) + np.log(rng.random())
        angle = rng.uniform(0.0, 2.0 * np.pi)
        low, high = angle - 2.0 * np.pi, angle
        for _ in range(-(-_TRIES // self.ahead)):
            angles = np.empty(self.ahead)
            for i in range(self.ahead):  # as they come if none before is accepted
                angles[i] = angle
                low, high = (angle, high) if angle < 0.0 else (low, angle)
                angle = rng.uniform(low, high)
            z = self.centre + np.cos(angles)[:, None] * apart + np.sin(angles)[:, None] * other
            at = self.target.at(z)
            work.evaluations += self.ahead
            above = np.flatnonzero(at.lp - self._log_t(z) > level)
            if len(above):
                return at.take(above[:1])
        return here


def axis_step(target: Target, here: Evaluated, direction: Float, rng: np.random.Generator, work: Work) -> Evaluated:
    """One slice step along `direction` (d,), about two sds long, with stepping out and narrowing."""
    level = float(here.lp[0]) + np.log(rng.random())
    left = -rng.random()
    right = left + 1.0
    out = int(rng.integers(_OUT + 1))
    steps = {-1: out, 1: _OUT - out}
    ends = {-1: left, 1: right}
    for side in (-1, 1):
        while steps[side] > 0:
            at = target.at(here.z + ends[side] * direction)
            work.evaluations += 1
            if not at.lp[0] > level:
                break
            ends[side] += side
            steps[side] -= 1
            work.expansions += 1
    low, high = ends[-1], ends[1]
    for _ in range(_TRIES):
        shift = rng.uniform(low, high)
        at = target.at(here.z + shift * direction)
        work.evaluations += 1
        if at.lp[0] > level:
            return at
        low, high = (shift, high) if shift < 0.0 else (low, shift)
    return here


@dataclass(frozen=True)
class Local:
    """Steps around the mean of a proposal: along ellipses, and every few times along an axis of its covariance."""

    ellipses: Ellipses
    axes: Float  # (d, d), rows two sds long
    every: int

    def step(self, here: Evaluated, number: int, rng: np.random.Generator, work: Work) -> Evaluated:
        """Step `number`, one after another."""
        here = self.ellipses.step(here, rng, work)
        if number % self.every:
            return here
        axis = self.axes[int(rng.integers(len(self.axes)))]
        return axis_step(self.ellipses.target, here, axis, rng, work)


def local_steps(target: Target, proposal: Proposal) -> Local:
    """For a proposal whose first two moments describe the posterior."""
    mean, cov = proposal.moments()
    values, vectors = la.small_eigh(cov)
    axes = 2.0 * (vectors * np.sqrt(np.maximum(values, 1e-12 * values[-1]))).T
    ellipses = Ellipses(target, mean, covariance_root(cov), _DF, _AHEAD if target.vectorised else 1)
    return Local(ellipses, axes, _AXIS_EVERY)
