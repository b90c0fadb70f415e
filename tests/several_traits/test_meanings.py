"""What matrices, intervals and names of several traits mean, where only an unusual model shows it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import MixedVCError

from ..tolerances import IDENTITY
from .test_ill_conditions import FORMULA, N, world  # noqa: F401


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_traits_never_measured_together_have_the_phenotypic_covariance_of_their_effects(world) -> None:  # noqa: F811
    frame, cov = world
    first = np.arange(N) < N // 2
    split = frame.assign(y1=frame["y1"].where(first), y2=frame["y2"].where(~first))
    fit = mv.fit(FORMULA, split, cov=cov, residual="diag")
    assert fit.G.iloc[0, 1] != 0.0
    assert_allclose(fit.P.iloc[0, 1], fit.G.iloc[0, 1], **IDENTITY)
    assert_allclose(np.diag(fit.P), np.diag(fit.G) + np.diag(fit.R), **IDENTITY)


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_G_is_of_the_known_covariance_wherever_it_stands_and_must_be_named_where_there_is_none(world) -> None:  # noqa: F811
    frame, cov = world
    blocks = frame.assign(block=[f"b{k % 6}" for k in range(N)], line=[f"l{k % 10}" for k in range(N)])
    fit = mv.fit("cbind(y1, y2) ~ x + (1 | block) + (1 | id:K)", blocks, cov=cov)
    two = mv.fit("cbind(y1, y2) ~ x + (1 | block) + (1 | line)", blocks)
    assert_allclose(fit.G, fit.spec.sigmas(fit.theta)[1], **IDENTITY)
    with pytest.raises(MixedVCError, match=r"which term\? Name one.*'block', 'line'"):
        _ = two.G
    assert_allclose(two.trait_cov("line"), two.spec.sigmas(two.theta)[1], **IDENTITY)


@pytest.mark.parametrize("weights", [None, "w"])
def test_a_prediction_interval_is_wider_than_one_of_the_mean_by_the_residual_variance(world, weights) -> None:  # noqa: F811
    frame, cov = world
    weighed = frame.assign(w=np.linspace(0.5, 2, N))
    fit = mv.fit(FORMULA, weighed, cov=cov, weights=weights)
    new = weighed.iloc[[1, 40]]
    mean, value = fit.predict(new, interval="confidence"), fit.predict(new, interval="prediction")
    for name in ("y1", "y2"):
        half, wide = ((one[name]["upper"] - one[name]["lower"]) / 2 / 1.959964 for one in (mean, value))
        assert_allclose(half, mean[name]["se"], rtol=1e-6)
        extra = fit.R.loc[name, name] / (new["w"] if weights else 1.0)
        assert_allclose(wide**2 - half**2, np.broadcast_to(extra, 2), rtol=1e-5)


def test_names_of_columns_are_names_of_traits(world) -> None:  # noqa: F811
    frame, cov = world
    dotted = frame.rename(columns={"y1": "Sepal.Length", "y2": "a b"})
    fit = mv.fit("cbind(Sepal.Length, `a b`) ~ x + (1 | id:K)", dotted, cov=cov)
    assert list(fit.traits) == ["Sepal.Length", "a b"] == list(fit.G.columns)
    assert fit.test_correlation("Sepal.Length", "a b").p_value < 1
    assert list(fit.selection_index({"a b": 1.0}).frame.columns)[:1] == ["index"]
    assert isinstance(fit.predict(dotted.head(2))["a b"], pd.Series)
