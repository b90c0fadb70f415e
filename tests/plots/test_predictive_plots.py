"""Pictures of a posterior: effects with their own intervals, checks with the data among the replicates."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv

from ..tolerances import IDENTITY

pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture(scope="module")
def fit():
    priors = {"Batch": mv.priors.Fixed(1700.0), "residual": mv.priors.Fixed(2400.0)}
    data = mv.load_data("dyestuff")
    return mv.fit(
        "Yield ~ 1 + (1 | Batch)", data, method="gibbs", priors=priors, draws=100, chains=2, seed=1, workers=1
    )


def test_the_caterpillar_has_posterior_means_and_intervals(fit):
    import matplotlib.pyplot as plt

    ax = fit.plot_effects(kind="quantile", level=0.8)
    frame = fit.random_effects_intervals(kind="quantile", level=0.8).sort_values("mean")
    points = np.concatenate(
        [line.get_xdata() for line in ax.lines if len(line.get_xdata()) > 0 and line.get_marker() == "o"]
    )
    assert_allclose(np.sort(points), frame["mean"], **IDENTITY)
    ends = np.concatenate(
        [[segment[:, 0] for segment in made.get_segments()] for made in ax.collections if len(made.get_segments())]
    )
    assert_allclose(ends[np.argsort(ends[:, 0])], frame[["lower", "upper"]].sort_values("lower"), **IDENTITY)
    plt.close("all")


def test_a_check_is_drawn_with_the_value_of_the_data(fit):
    import matplotlib.pyplot as plt

    made = fit.check("max", n=100)
    ax = made.plot()
    assert_allclose(ax.lines[0].get_xdata()[0], fit.spec.y.max(), **IDENTITY)
    assert f"{made.p_value:.3f}" in ax.get_title()
    assert sum(bar.get_height() for bar in ax.patches) == 100
    plt.close("all")
