"""Balanced designs: REML is the analysis of variance, in closed form, and so are the tests of fixed effects."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from tests.reference.load import reference
from tests.tolerances import COMPONENT


def components(fit):
    return dict(zip(fit.varcomp["group"], fit.varcomp["variance"], strict=True))


@pytest.fixture(scope="module")
def oats():
    want = reference("lme4/oats/split_plot")
    data = pd.DataFrame(want["data"])
    mean_sq = {(row["stratum"], row["term"]): row["mean_sq"] for row in want["aov"]}
    fit = mv.fit("yield ~ nitrogen * variety + (1 | block / variety)", data)
    return want, mean_sq, fit


def test_the_split_plot_of_yates_is_its_analysis_of_variance(oats):
    """Expected mean squares: σ² within, σ² + 4 σ²_wp of whole plots, σ² + 4 σ²_wp + 12 σ²_b of blocks."""
    want, mean_sq, fit = oats
    within, plots, blocks = (mean_sq[s, "Residuals"] for s in ("Within", "block:variety", "block"))
    anova = {"block": (blocks - plots) / 12, "block:variety": (plots - within) / 4, "Residual": within}
    got = components(fit)
    for name, value in anova.items():
        np.testing.assert_allclose(got[name], value, **COMPONENT)
    theirs = {"block": "block", "block:variety": "variety:block", "Residual": "Residual"}
    stopped = max(abs(want["lmer"]["varcorr"][theirs[name]] / value - 1) for name, value in anova.items())
    assert stopped > 1e-5  # lme4 1.1.31 with its default control is this far from the same answer
    assert fit.llf >= want["lmer"]["logLik"]


def test_contrasts_of_the_split_plot_have_the_errors_of_their_strata(oats):
    """Of rates within a plot: 2 MS_within / 6; of varieties, averaged over rates: 2 MS_plots / 24."""
    _, mean_sq, fit = oats
    names, V = list(fit.params.index), fit.cov_params().to_numpy()
    varieties = [n for n in names if n.startswith("variety") and ":" not in n]
    rates = [n for n in names if n.startswith("nitrogen") and ":" not in n]
    one = np.array([float(n == rates[0]) for n in names])
    np.testing.assert_allclose(one @ V @ one, 2 * mean_sq["Within", "Residuals"] / 6, **COMPONENT)
    average = np.array([1.0 if n == varieties[0] else 0.25 * (":" in n and varieties[0] in n) for n in names])
    np.testing.assert_allclose(average @ V @ average, 2 * mean_sq["block:variety", "Residuals"] / 24, **COMPONENT)


def balanced(a, b, c, seed):
    """y of a × b × c cells and its mean squares by explicit sums."""
    y = np.random.default_rng(seed).standard_normal((a, b, c))
    y += 2.0 * np.random.default_rng(seed + 1).standard_normal((a, 1, 1))
    y += 1.5 * np.random.default_rng(seed + 2).standard_normal((a, b, 1))
    i, j, k = np.indices(y.shape)
    return y, pd.DataFrame({"y": y.ravel(), "a": i.ravel(), "b": j.ravel(), "c": [f"c{v}" for v in k.ravel()]})


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_split_plot_is_its_analysis_of_variance(seed):
    """Treatment c on sub-plots of whole plots a:b; the three error strata by sums of squares of means."""
    y, data = balanced(7, 4, 3, 10 * seed)
    centred = y - y.mean(axis=(0, 1))
    blocks = 12 * np.sum((y.mean(axis=(1, 2)) - y.mean()) ** 2) / 6
    plots = 3 * np.sum((y.mean(axis=2) - y.mean(axis=(1, 2))[:, None]) ** 2) / 21
    within = np.sum((centred - centred.mean(axis=2, keepdims=True)) ** 2) / (28 * 2 - 2)
    anova = {"a": (blocks - plots) / 12, "a:b": (plots - within) / 3, "Residual": within}
    assert min(anova.values()) > 0
    got = components(mv.fit("y ~ c + (1 | a / b)", data))
    for name, value in anova.items():
        np.testing.assert_allclose(got[name], value, **COMPONENT)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_crossed_layout_with_interaction_is_its_analysis_of_variance(seed):
    rng = np.random.default_rng(seed)
    A, B, AB = (
        2.0 * rng.standard_normal((8, 1, 1)),
        1.5 * rng.standard_normal((1, 6, 1)),
        rng.standard_normal((8, 6, 1)),
    )
    y = A + B + AB + 0.7 * rng.standard_normal((8, 6, 3))
    i, j, _ = np.indices(y.shape)
    data = pd.DataFrame({"y": y.ravel(), "a": i.ravel(), "b": j.ravel()})
    rows, columns, cells = y.mean(axis=(1, 2)), y.mean(axis=(0, 2)), y.mean(axis=2)
    of_a, of_b = 18 * np.var(rows, ddof=1), 24 * np.var(columns, ddof=1)
    both = 3 * np.sum((cells - rows[:, None] - columns + y.mean()) ** 2) / 35
    within = np.sum((y - cells[:, :, None]) ** 2) / (48 * 2)
    anova = {"a": (of_a - both) / 18, "b": (of_b - both) / 24, "a:b": (both - within) / 3, "Residual": within}
    got = components(mv.fit("y ~ 1 + (1 | a) + (1 | b) + (1 | a:b)", data))
    for name, value in anova.items():
        np.testing.assert_allclose(got[name], value, **COMPONENT)


def test_where_the_analysis_of_variance_is_negative_reml_is_zero_and_pools():
    """Plots vary less than their error: REML has no variance of plots and pools the two strata."""
    y, data = balanced(6, 4, 3, 5)
    y = y - y.mean(axis=2, keepdims=True) + y.mean(axis=(1, 2), keepdims=True)  # whole plots of a block are equal
    data["y"] = y.ravel()
    within = np.sum((y - y.mean(axis=2, keepdims=True)) ** 2)
    blocks = 12 * np.var(y.mean(axis=(1, 2)), ddof=1)
    with pytest.warns(mv.errors.BoundaryWarning, match="a:b"):
        got = components(mv.fit("y ~ 1 + (1 | a / b)", data))
    pooled = within / (6 * 4 * 3 - 6)
    assert got["a:b"] == 0.0
    np.testing.assert_allclose(got["Residual"], pooled, **COMPONENT)
    np.testing.assert_allclose(got["a"], (blocks - pooled) / 12, **COMPONENT)
