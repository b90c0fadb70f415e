"""Data that do not tell, and data that hardly do: the maximum where there is one, a sentence where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, ConvergenceWarning, DroppedRowsWarning, MixedVCError

from ..tolerances import OBJECTIVE
from .kronecker import Component, Model, maximum

N = 60


@pytest.fixture(scope="module")
def world() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Two traits of sixty individuals with a dense kernel."""
    rng = np.random.default_rng(8)
    W = rng.standard_normal((N, 90))
    K = W @ W.T / 90
    ids = [f"i{k:02d}" for k in range(N)]
    U = np.linalg.cholesky(K) @ rng.standard_normal((N, 2)) @ np.linalg.cholesky(np.array([[2, 1], [1, 1.5]])).T
    frame = pd.DataFrame(U + rng.standard_normal((N, 2)), columns=["y1", "y2"])
    frame["x"] = rng.standard_normal(N)
    return frame.assign(id=ids), {"K": pd.DataFrame(K, ids, ids)}


FORMULA = "cbind(y1, y2) ~ x + (1 | id:K)"


def by_hand(frame: pd.DataFrame, cov: dict[str, pd.DataFrame], **options: Any) -> Model:
    ones = np.ones((len(frame), 1))
    codes = cov["K"].index.get_indexer(frame["id"])
    one = Component(codes, ones, cov["K"].to_numpy(), options.pop("kind", "us"))
    Y = frame[[c for c in frame if c.startswith("y")]].to_numpy()
    return Model(Y, np.column_stack([ones, frame["x"]]), (one,), **options)


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
@pytest.mark.parametrize("kept", [5, pytest.param(8, marks=pytest.mark.slow)])
def test_a_trait_of_few_records_has_its_maximum(world, kept) -> None:
    frame, cov = world
    sparse = frame.assign(y2=frame["y2"].where(np.arange(N) < kept))
    fit = mv.fit(FORMULA, sparse, cov=cov)
    best, _ = maximum(by_hand(sparse, cov), starts=2)
    assert fit.llf > best - 1e-6
    assert_allclose(fit.llf, by_hand(sparse, cov).at(fit.spec.sigmas(fit.theta)).loglik, **OBJECTIVE)


@pytest.mark.parametrize("sign", [pytest.param(-1, marks=pytest.mark.slow), 1])
def test_a_genetic_correlation_of_one_is_reached_and_said(world, sign) -> None:
    frame, cov = world
    rng = np.random.default_rng(16)
    u = np.linalg.cholesky(cov["K"].to_numpy()) @ rng.standard_normal(N)
    E = rng.standard_normal((N, 2)) @ np.linalg.cholesky(np.array([[1, -0.6 * sign], [-0.6 * sign, 1]])).T
    tied = frame.assign(y1=2 * u + E[:, 0], y2=sign * 2 * u + E[:, 1])
    with pytest.warns(BoundaryWarning, match="correlation ±1 in"):
        fit = mv.fit(FORMULA, tied, cov=cov)
    row = fit.correlations("id").iloc[0]
    assert row["correlation"] == pytest.approx(sign, abs=1e-7)
    assert np.isnan(row["se"])
    assert "boundary" in row["note"]
    best, _ = maximum(by_hand(tied, cov), starts=3)
    assert_allclose(fit.llf, best, rtol=1e-7)
    assert fit.test_correlation("y1", "y2", rho=sign).p_value == 1.0
    assert fit.test_correlation("y1", "y2", rho=-sign).p_value < 0.01


@pytest.mark.parametrize("units", [(1e-6, 1e6), (1e-9, 1e9)])
def test_units_do_not_change_correlations_or_what_is_found(world, units) -> None:
    frame, cov = world
    fit = mv.fit(FORMULA, frame, cov=cov)
    other = mv.fit(FORMULA, frame.assign(y1=frame["y1"] * units[0], y2=frame["y2"] * units[1]), cov=cov)
    assert_allclose(other.llf, fit.llf - (N - 2) * np.log(units[0] * units[1]), **OBJECTIVE)
    ours, theirs = fit.correlations(), other.correlations()
    for column in ("correlation", "se", "lower", "upper"):
        assert_allclose(theirs[column], ours[column], rtol=1e-4)
    assert_allclose(other.heritabilities()["heritability"], fit.heritabilities()["heritability"], rtol=1e-4)


def test_a_large_mean_does_not_cost_digits_of_the_variances(world) -> None:
    frame, cov = world
    fit = mv.fit(FORMULA, frame, cov=cov)
    far = mv.fit(FORMULA, frame.assign(y1=frame["y1"] + 1e6, y2=frame["y2"] - 1e5), cov=cov)
    assert_allclose(far.theta, fit.theta, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_traits_never_measured_together_have_no_residual_covariance(world) -> None:
    frame, cov = world
    first = np.arange(N) < N // 2
    split = frame.assign(y1=frame["y1"].where(first), y2=frame["y2"].where(~first))
    with pytest.raises(MixedVCError, match=r"no record has both y1 and y2.*residual='diag'"):
        mv.fit(FORMULA, split, cov=cov)
    fit = mv.fit(FORMULA, split, cov=cov, residual="diag", method="ml")
    best, _ = maximum(by_hand(split, cov, residual="diag", reml=False), starts=2)
    assert_allclose(fit.llf, best, rtol=1e-8)


def test_traits_without_variance_or_records_are_named(world) -> None:
    frame, cov = world
    for column, words in (
        (3.0, "y2 is 3 in every row"),
        (frame["y2"].where(np.arange(N) < 2), "y2 is observed in 2 records"),
        (frame["y2"].where(np.arange(N) < 0), "y2 is missing in every row"),
        (2 * frame["y1"] + 1, "y2 is an exact linear combination of 'y1'"),
    ):
        with pytest.raises(MixedVCError, match=words):
            mv.fit(FORMULA, frame.assign(y2=column), cov=cov)


def test_a_record_without_any_response_is_dropped_and_one_with_some_is_not(world) -> None:
    frame, cov = world
    gaps = frame.copy()
    gaps.loc[3, ["y1", "y2"]] = np.nan
    gaps.loc[5, "y1"] = np.nan
    with pytest.warns(DroppedRowsWarning, match="1 of 60"):
        fit = mv.fit(FORMULA, gaps, cov=cov)
    assert (fit.spec.traits.n, fit.spec.n) == (N - 1, 2 * (N - 1) - 1)
    without = mv.fit(FORMULA, gaps.drop(index=3), cov=cov)
    assert_allclose(without.theta, fit.theta, rtol=1e-6)


def test_duplicated_records_have_no_highest_likelihood_and_are_warned_of(world) -> None:
    frame, cov = world
    twice = pd.concat([frame, frame], ignore_index=True)
    with pytest.warns(ConvergenceWarning):
        fit = mv.fit(FORMULA, twice, cov=cov)
    assert not fit.converged


def test_one_family_or_a_level_for_each_record_is_refused(world) -> None:
    frame, _ = world
    with pytest.raises(MixedVCError, match="only one level"):
        mv.fit("cbind(y1, y2) ~ 1 + (1 | fam)", frame.assign(fam="a"))
    with pytest.raises(MixedVCError, match="confounded with the residual"):
        mv.fit("cbind(y1, y2) ~ 1 + (1 | id)", frame)


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_eight_traits_of_forty_records_end_singular_and_finite(world) -> None:
    _, cov = world
    rng = np.random.default_rng(3)
    names = [f"y{a}" for a in range(1, 9)]
    frame = pd.DataFrame(rng.standard_normal((40, 8)), columns=names).assign(id=cov["K"].index[:40])
    fit = mv.fit(f"cbind({', '.join(names)}) ~ 1 + (1 | id:K)", frame, cov=cov)
    assert fit.converged
    for Sigma in fit.spec.sigmas(fit.theta):
        assert np.linalg.eigvalsh(Sigma).min() > -1e-10
    separate = sum(mv.fit(f"{name} ~ 1 + (1 | id:K)", frame, cov=cov).llf for name in names)
    assert fit.llf > separate
    assert np.isfinite(fit.bse).all()
    assert not fit.correlations()["correlation"].isna().any() or fit.is_singular
