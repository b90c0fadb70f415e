"""Where covariances are zero several traits are so many single ones; and every road ends at one optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.estimators import estimators
from mixedvc.likelihood.base import likelihoods

from ..tolerances import OBJECTIVE, PARAMETER

SEED = 54
NAMES = ["y1", "y2", "y3"]


@pytest.fixture(scope="module")
def data() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """Ninety-six records of twenty-four lines, three traits of different units and cells, a weight, a covariate."""
    rng = np.random.default_rng(SEED)
    q, n = 24, 96
    W = rng.standard_normal((q, 60))
    K = W @ W.T / 60
    line = np.repeat(np.arange(q), 4)
    U = np.linalg.cholesky(K) @ rng.standard_normal((q, 3)) * [1.0, 30.0, 0.02]
    x, block = rng.standard_normal(n), np.arange(n) % 6
    own, slope = rng.standard_normal((6, 3)) * [1.0, 20.0, 0.02], rng.standard_normal((q, 3)) * [1.0, 15.0, 0.02]
    Y = U[line] + own[block] + x[:, None] * slope[line] + rng.standard_normal((n, 3)) * [1.0, 20.0, 0.01]
    Y[rng.random((n, 3)) < 0.15] = np.nan
    names = [f"l{j:02d}" for j in range(q)]
    frame = pd.DataFrame(Y, columns=NAMES).assign(line=[names[j] for j in line], block=[f"b{j}" for j in block], x=x)
    return frame.assign(w=rng.uniform(0.5, 2, n)), {"K": pd.DataFrame(K, names, names)}


BARS = {
    "kernel": ("(1 | line:K)", "diag(1 | line:K)"),
    "groups": ("(1 | block)", "diag(1 | block)"),
    "slopes": ("(1 + x | line)", 'us(1 + x | line, traits="diag")'),
}


def apart(fit: Any, singles: list[Any]) -> None:
    """Log-likelihoods add up; effects, variances and their errors are those of each trait by itself."""
    assert_allclose(fit.llf, sum(one.llf for one in singles), **OBJECTIVE)
    assert_allclose(fit.params, np.concatenate([one.params for one in singles]), **PARAMETER)
    assert_allclose(fit.bse, np.concatenate([one.bse for one in singles]), **PARAMETER)
    names = fit.spec.y_names
    for a, one in enumerate(singles):
        picked, others = [], []
        for j, w in enumerate(fit.spec.index):
            effects = fit.spec.all_terms[w.term].effects
            if effects[w.a].split(":")[0] == effects[w.b].split(":")[0] == names[a]:
                picked.append(j)
            else:
                others.append(j)
        scale = np.abs(one.theta).max()
        assert_allclose(fit.theta[picked], one.theta, rtol=1e-5, atol=1e-6 * scale)
        for kind in ("expected", "observed", "average"):
            ours = fit.cov_varcomp(kind).to_numpy()
            assert_allclose(np.diag(ours)[picked], np.diag(one.cov_varcomp(kind)), rtol=1e-4, atol=1e-9 * scale**2)


@pytest.mark.parametrize(("method", "weights"), [("reml", None), ("ml", "w")])
@pytest.mark.parametrize("bars", BARS)
def test_uncorrelated_traits_are_single_traits(data, bars, weights, method) -> None:
    frame, known = data
    one_bar, several = BARS[bars]
    cov = known if "K" in one_bar else None
    options = {"weights": weights, "method": method, "cov": cov}
    fit = mv.fit(f"cbind(y1, y2, y3) ~ x + {several}", frame, residual="diag", **options)
    singles = [mv.fit(f"{name} ~ x + {one_bar}", frame.dropna(subset=name), **options) for name in NAMES]
    apart(fit, singles)


@pytest.mark.parametrize("method", [name for name in estimators.names() if name in ("em", "pxem", "mm", "fisher")])
def test_uncorrelated_traits_are_single_traits_by_other_maximisers(data, method) -> None:
    frame, cov = data
    fit = mv.fit("cbind(y1, y2, y3) ~ x + diag(1 | line:K)", frame, residual="diag", cov=cov, method=method)
    apart(fit, [mv.fit(f"{name} ~ x + (1 | line:K)", frame.dropna(subset=name), cov=cov) for name in NAMES])


@pytest.mark.parametrize("method", ["he", "rehe"])
def test_uncorrelated_traits_are_single_traits_by_moments(data, method) -> None:
    frame, cov = data
    cells = frame.dropna()
    fit = mv.fit("cbind(y1, y2, y3) ~ x + diag(1 | line:K)", cells, residual="diag", cov=cov, method=method)
    singles = [mv.fit(f"{name} ~ x + (1 | line:K)", cells, cov=cov, method=method).theta for name in NAMES]
    assert_allclose(fit.theta, np.array(singles).T.ravel(), rtol=1e-8)


LIKELIHOODS = {
    ("(1 | line:K)", False): {"dense", "canonical"},
    ("(1 | line:K)", True): {"dense"},
    ("(1 | line)", False): {"dense", "canonical", "blocks", "sparse"},
    ("(1 | line)", True): {"dense", "blocks", "sparse"},
    ("(1 + x | line)", True): {"dense", "blocks", "sparse"},
    ("(1 | line:K) + (1 | block)", True): {"dense"},
}


def _long(case: tuple[str, bool]) -> Any:
    return pytest.param(*case, marks=pytest.mark.slow) if "+" in case[0] or case == ("(1 | line)", False) else case


@pytest.mark.parametrize(("bars", "missing"), [_long(case) for case in LIKELIHOODS])
def test_every_likelihood_and_estimator_ends_at_one_optimum(data, bars, missing) -> None:
    frame, known = data
    cells = frame.dropna(how="any" if not missing else "all", subset=["y1", "y2"])
    cov = known if "K" in bars else None
    formula = f"cbind(y1, y2) ~ x + {bars}"
    first = mv.fit(formula, cells, cov=cov)
    scale = np.concatenate([np.sqrt(np.outer(np.diag(S), np.diag(S)))[np.triu_indices(len(S))] for S in sigmas(first)])
    apply = {name for name in likelihoods.names() if likelihoods.get(name).cost(first.spec) is not None}
    assert apply >= LIKELIHOODS[bars, missing]
    roads = [{"likelihood": name} for name in apply] + [{"method": m} for m in ("fisher", "em", "pxem", "mm")]
    for road in roads:
        fit = mv.fit(formula, cells, cov=cov, **road)
        assert_allclose(fit.llf, first.llf, **OBJECTIVE)
        gap = (in_order(fit) - in_order(first)) / scale
        assert np.abs(gap).max() < 1e-4, road


def sigmas(fit: Any) -> list[Any]:
    return list(fit.spec.sigmas(fit.theta))


def in_order(fit: Any) -> Any:
    return np.concatenate([S[np.triu_indices(len(S))] for S in sigmas(fit)])


def test_traits_in_other_units_have_the_same_fit(data) -> None:
    frame, cov = data
    formula = "cbind(y1, y2, y3) ~ x + (1 | line:K)"
    units = np.array([1e-6, 1e6, 3.0])
    fit = mv.fit(formula, frame, cov=cov)
    other = mv.fit(
        formula, frame.assign(**{name: frame[name] * u for name, u in zip(NAMES, units, strict=True)}), cov=cov
    )
    rows = frame[NAMES].notna().sum().to_numpy() - 2  # cells less fixed effects of each trait
    assert_allclose(other.llf, fit.llf - rows @ np.log(units), **OBJECTIVE)
    for ours, changed in zip(fit.spec.sigmas(fit.theta), other.spec.sigmas(other.theta), strict=True):
        back = changed / np.outer(units, units)
        assert np.abs((back - ours) / np.sqrt(np.outer(np.diag(ours), np.diag(ours)))).max() < 1e-5
    assert_allclose(other.correlations()["se"], fit.correlations()["se"], rtol=1e-4)


def test_the_order_of_traits_and_of_records_does_not_matter(data) -> None:
    frame, cov = data
    fit = mv.fit("cbind(y1, y2, y3) ~ x + (1 | line:K)", frame, cov=cov)
    turned = mv.fit("cbind(y3, y1, y2) ~ x + (1 | line:K)", frame.sample(frac=1, random_state=4), cov=cov)
    assert_allclose(turned.llf, fit.llf, **OBJECTIVE)
    assert_allclose(turned.G.loc[NAMES, NAMES], fit.G, rtol=1e-4)
    assert_allclose(turned.R.loc[NAMES, NAMES], fit.R, rtol=1e-4)


def test_a_trait_that_is_a_sum_of_two_has_the_variance_of_the_sum(data) -> None:
    frame, cov = data
    cells = frame.dropna().assign(total=lambda d: d["y1"] + 2 * d["y2"])
    two = mv.fit("cbind(y1, y2) ~ x + (1 | line:K)", cells, cov=cov)
    other = mv.fit("cbind(y1, total) ~ x + (1 | line:K)", cells, cov=cov)
    T = np.array([[1.0, 0.0], [1.0, 2.0]])
    assert_allclose(other.G, T @ two.G.to_numpy() @ T.T, rtol=1e-5)
    assert_allclose(other.R, T @ two.R.to_numpy() @ T.T, rtol=1e-5)
    assert_allclose(other.llf, two.llf - (len(cells) - 2) * np.log(2), **OBJECTIVE)
