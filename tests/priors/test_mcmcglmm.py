"""Priors mean what they mean in MCMCglmm: quantiles of its chains on data that say nothing.

The script beside this file made the numbers (MCMCglmm 2.36).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from mixedvc import priors as P
from mixedvc.structures import make

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
I2 = np.eye(2)
PRIORS: dict[str, tuple[Any, Any]] = {
    "iw1": (make("us", 1), P.InverseWishart(2, 3)),
    "px1": (make("us", 1), P.ParameterExpanded(1, 3, 0, 25)),
    "px1m": (make("us", 1), P.ParameterExpanded(1, 4, 2, 4)),
    "iw2": (make("us", 2), P.InverseWishart([[2, 0.5], [0.5, 1]], 4)),
    "px2": (make("us", 2), P.ParameterExpanded(I2, 4, [0, 0], 25 * I2)),
    "px2v": (make("us", 2), P.ParameterExpanded([[1, 0.8], [0.8, 1]], 4, [0, 0], [[4, 2], [2, 9]])),
    "px2m": (make("us", 2), P.ParameterExpanded(I2, 4, [1, -2], I2)),
    "idh": (make("diag", 2), P.InverseWishart(np.diag([2, 1]), 3)),
    "idhpx": (make("diag", 2), P.ParameterExpanded(np.diag([2, 1]), 3, [0, 1], np.diag([4, 9]))),
}
# prior, MCMCglmm's column, its quantiles at LEVELS, the largest Monte-Carlo error of a probability
QUANTILES = [
    ("iw1", "g", (0.772276, 1.46323, 2.53155, 4.93394, 17.1964), 0.00161),
    ("px1", "g", (0.113039, 2.98994, 14.5236, 50.5487, 250.829), 0.00158),
    ("px1m", "g", (0.04696, 1.2131, 5.32543, 15.7059, 59.9589), 0.00185),
    ("iw2", "f1:f1.g", (1.02074, 1.95175, 3.39382, 6.60235, 22.7481), 0.00164),
    ("iw2", "f2:f1.g", (-2.19916, 0.0165179, 0.712505, 2.02029, 8.51994), 0.00173),
    ("iw2", "f2:f2.g", (0.510765, 0.977443, 1.68897, 3.304, 11.1698), 0.00167),
    ("px2", "f1:f1.g", (0.157307, 4.13747, 19.5511, 67.6109, 339.96), 0.00203),
    ("px2", "f2:f1.g", (-54.8786, -4.94995, 0.000165004, 4.96344, 54.6983), 0.00152),
    ("px2", "f2:f2.g", (0.152589, 4.11915, 19.4357, 67.1994, 339.42), 0.00149),
    ("px2v", "f1:f1.g", (0.0251051, 0.660079, 3.13971, 10.7919, 54.8987), 0.00127),
    ("px2v", "f2:f1.g", (-12.5967, -1.0224, 0.513595, 5.13385, 35.5205), 0.00154),
    ("px2v", "f2:f2.g", (0.0574475, 1.47616, 7.16124, 24.5948, 121.931), 0.00182),
    ("px2m", "f1:f1.g", (0.0170978, 0.423382, 1.84784, 5.75452, 26.2868), 0.0016),
    ("px2m", "f2:f1.g", (-8.42633, -0.958919, -0.00115114, 0.933237, 8.35093), 0.00127),
    ("px2m", "f2:f2.g", (0.274288, 2.47694, 6.51283, 15.8723, 62.9465), 0.0015),
    ("idh", "f1.g", (0.770203, 1.47038, 2.53804, 4.94672, 17.0812), 0.00145),
    ("idh", "f2.g", (0.385288, 0.727494, 1.2649, 2.4703, 8.3776), 0.00194),
    ("idhpx", "f1.g", (0.0387773, 0.990058, 4.74438, 16.3282, 80.3674), 0.00158),
    ("idhpx", "f2.g", (0.0458753, 1.22265, 5.87231, 20.2617, 101.527), 0.00158),
]
LIMIT = 4.5  # Monte-Carlo errors


@pytest.mark.parametrize(
    ("name", "column", "quantiles", "error"), [q for q in QUANTILES if q[0].startswith(("iw1", "px1", "idh"))]
)
def test_a_prior_of_one_variance_has_the_quantiles_of_mcmcglmm(
    name: str, column: str, quantiles: tuple[float, ...], error: float
):
    structure, prior = PRIORS[name]
    bound = prior.bind(structure, "g")
    law = bound.laws[int(column == "f2.g")]

    def density(z: float) -> float:
        return float(np.exp(law.logpdf(np.array([np.exp(z)]))[0] + z))

    for level, q in zip(LEVELS, quantiles, strict=True):
        below = quad(density, -40.0, np.log(q), limit=400)[0]
        assert abs(below - level) < LIMIT * error, (level, below)


@pytest.mark.parametrize("name", ["iw2", "px2", "px2v", "px2m"])
def test_draws_of_a_matrix_have_the_quantiles_of_mcmcglmm(name: str):
    structure, prior = PRIORS[name]
    bound = prior.bind(structure, "g")
    rng = np.random.default_rng(12)
    x = np.stack([bound.draw(rng) for _ in range(5000)])
    columns = [q for q in QUANTILES if q[0] == name]
    assert len(columns) == 3
    for j, (_, _, quantiles, error) in enumerate(columns):
        for level, q in zip(LEVELS, quantiles, strict=True):
            own = np.sqrt(level * (1 - level) / len(x))
            assert abs(np.mean(x[:, j] <= q) - level) < LIMIT * np.hypot(own, error), (j, level)
