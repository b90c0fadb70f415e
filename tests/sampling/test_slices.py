"""Slice steps leave a known density as it is: along ellipses of a t of any degrees of freedom, and along axes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from mixedvc.sampling.proposal import one_component
from mixedvc.sampling.slices import Ellipses, Work, axis_step, local_steps


class Points:
    """What steps need of an evaluated target."""

    def __init__(self, z: np.ndarray, lp: np.ndarray):
        self.z, self.lp = z, lp

    def take(self, rows: np.ndarray) -> Points:
        return Points(self.z[rows], self.lp[rows])


class Bimodal:
    """Two normal modes of unequal weight in the first coordinate, a normal second coordinate."""

    d, vectorised = 2, False

    def at(self, z: np.ndarray) -> Any:
        first = 0.3 * stats.norm.pdf(z[:, 0], -2.0, 0.7) + 0.7 * stats.norm.pdf(z[:, 0], 2.0, 0.7)
        return Points(z, np.log(first) + stats.norm.logpdf(z[:, 1], 1.0, 1.5))

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        return np.array([[rng.normal(-2.0 if rng.random() < 0.3 else 2.0, 0.7), rng.normal(1.0, 1.5)]])


def kept(step: Any, repeats: int = 1500) -> np.ndarray:
    """Exact draws, each after a few steps: they still have the density if steps leave it as it is."""
    target, rng, work = Bimodal(), np.random.default_rng(1), Work()
    out = np.empty((repeats, 2))
    for i in range(repeats):
        here = target.at(target.draw(rng))
        for _ in range(3):
            here = step(target, here, rng, work)
        out[i] = here.z[0]
    return out


def along_ellipses(df: float, ahead: int) -> Any:
    centre, root = np.array([0.5, 0.5]), np.array([[1.0, 0.0], [0.3, 0.8]])
    return lambda target, here, rng, work: Ellipses(target, centre, root, df, ahead).step(here, rng, work)


def along_axes(target: Any, here: Any, rng: np.random.Generator, work: Work) -> Any:
    return axis_step(target, here, np.array([1.5, 0.4]), rng, work)


def local(target: Any, here: Any, rng: np.random.Generator, work: Work) -> Any:
    proposal = one_component(np.zeros(2), 1.5 * np.eye(2), 5.0)
    return local_steps(target, proposal).step(here, int(rng.integers(6)), rng, work)


@pytest.mark.parametrize(
    "step",
    [along_ellipses(3.0, 1), along_ellipses(1.0, 3), along_axes, local],
    ids=["ellipses", "ellipses of a Cauchy, three points at once", "axes", "both"],
)
def test_steps_leave_the_density_as_it_is(step):
    z = kept(step)
    limit = 4.5 / np.sqrt(len(z))
    assert abs((z[:, 0] < 0.0).mean() - (0.3 * stats.norm.cdf(2 / 0.7) + 0.7 * stats.norm.cdf(-2 / 0.7))) < limit * 0.5
    for level in (0.1, 0.5, 0.9):
        share = (z[:, 1] < stats.norm.ppf(level, 1.0, 1.5)).mean()
        assert abs(share - level) < limit * np.sqrt(level * (1 - level))
    assert abs(np.corrcoef(z.T)[0, 1]) < limit
    assert abs((np.abs(z[:, 0]) > 2.0).mean() - 0.5) < 0.5 * limit + 0.003


def test_axes_lead_from_one_mode_to_the_other_and_work_is_counted():
    target, rng, work = Bimodal(), np.random.default_rng(2), Work()
    here, left = target.at(np.array([[2.0, 1.0]])), 0
    for _ in range(300):
        here = axis_step(target, here, np.array([1.5, 0.0]), rng, work)
        left += here.z[0, 0] < 0.0
    assert left > 30
    assert work.evaluations > 600
    assert work.expansions > 0
