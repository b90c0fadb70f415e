"""What an M step is told of a residual whose entries of Σ share parameters: each entry, not the sums that θ has."""

import numpy as np
import pytest

from mixedvc.estimators import estimators
from mixedvc.estimators.setup import begin
from mixedvc.estimators.surrogate import effects_met, look
from mixedvc.testing import problems
from mixedvc.testing.brute import Brute, design_matrix
from tests.tolerances import OBJECTIVE


@pytest.mark.parametrize("problem", ["residual_autoregressive", "residual_by_sex"])
@pytest.mark.parametrize("reml", [True, False])
def test_cells_of_the_residual_are_told_one_by_one(problem, reml):
    spec = problems.bound(problem)
    start = begin(estimators.get("em")(restricted=reml), spec, None)
    theta = spec.theta([start.units.up(i, c.sigma(c.q)) for i, c in enumerate(start.charts)])
    seen = look(spec, start.units, start.likelihood.at(theta), start.charts, [effects_met(t) for t in spec.all_terms])
    brute = Brute(spec, reml).at(theta)
    Z = [design_matrix(spec.residual, a) for a in range(spec.residual.k)]
    size = np.sqrt(start.units.variance) / start.units.sizes[-1]
    Q = np.array([[brute.Py @ one @ two.T @ brute.Py for two in Z] for one in Z]) * np.outer(size, size)
    M = np.array([[np.trace(brute.T @ one @ two.T) for two in Z] for one in Z]) * np.outer(size, size)
    np.testing.assert_allclose(seen[-1].Q, Q, rtol=OBJECTIVE["rtol"], atol=1e-9 * np.abs(Q).max())
    np.testing.assert_allclose(seen[-1].M, M, rtol=OBJECTIVE["rtol"], atol=1e-9 * np.abs(M).max())
