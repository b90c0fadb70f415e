"""The exact law of the likelihood ratio of one variance: closed forms, brute force, published values, RLRsim."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from mixedvc.covariance import Dense, Features
from mixedvc.errors import NotProvided
from mixedvc.inference import rlrt
from mixedvc.likelihood.rows import working_rows
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute
from tests.inference import cases
from tests.reference.load import reference
from tests.tolerances import MONTE_CARLO, OBJECTIVE

PUBLISHED = {6: (2.3287, 0.5611), 10: (2.4168, 0.5441), 20: (2.4985, 0.5297), 100: (2.6081, 0.5127)}


def brute(spec, reml):
    """Eigenvalues by n×n matrices in the rows times weights^½."""
    r = working_rows(spec).scale
    K = Brute(spec).patterns[0] * r[:, None] * r
    X = spec.X * r[:, None]
    M = np.eye(spec.n) - X @ np.linalg.solve(X.T @ X, X.T)
    return np.linalg.eigvalsh(M @ K @ M), np.linalg.eigvalsh(K)


def expanded(values, counts):
    return np.repeat(values, counts)


def weighted_groups():
    rng = np.random.default_rng(2)
    group = rng.integers(0, 9, 40).astype(str).astype(object)
    x = rng.standard_normal(40)
    X = np.column_stack([np.ones(40), x])
    term = assemble.term("g", group, basis=x[:, None])
    return assemble.spec(rng.standard_normal(40), X, [term], weights=rng.uniform(0.5, 2, 40))


def equal_groups():
    rng = np.random.default_rng(3)
    group = np.repeat(np.arange(12), np.repeat([2, 3, 5], 4)).astype(str).astype(object)
    X = np.column_stack([np.ones(40), rng.standard_normal(40)])
    return assemble.spec(rng.standard_normal(40), X, [assemble.term("g", group)])


def kernel(n=30, labels=12, extra=3):
    names = [f"l{j:02d}" for j in range(labels + extra)]
    A = 0.8 ** np.abs(np.subtract.outer(range(labels + extra), range(labels + extra)))
    X = np.column_stack([np.ones(n), np.cos(np.arange(1, n + 1))])
    term = assemble.term("k", np.array(names, dtype=object)[np.arange(n) % labels], covariance=Dense(A, names))
    return assemble.spec(X[:, 1], X, [term])


def wide_kernel():
    rng = np.random.default_rng(4)
    names = [f"i{j}" for j in range(25)]
    W = rng.standard_normal((25, 40))
    X = np.column_stack([np.ones(25), rng.standard_normal(25)])
    own = [assemble.term("k", np.array(names, dtype=object), covariance=Dense(W @ W.T / 40, names))]
    return assemble.spec(rng.standard_normal(25), X, own, weights=rng.uniform(0.5, 2, 25))


def features():
    rng = np.random.default_rng(5)
    names = [f"i{j}" for j in range(25)]
    cov = Features(rng.standard_normal((25, 4)), names)
    X = np.ones((25, 1))
    return assemble.spec(
        rng.standard_normal(25), X, [assemble.term("k", np.array(names, dtype=object), covariance=cov)]
    )


@pytest.mark.parametrize("make", [weighted_groups, equal_groups, kernel, wide_kernel, features])
@pytest.mark.parametrize("reml", [True, False])
def test_the_spectrum_is_that_of_the_projected_kernel(make, reml):
    spec = make()
    found = rlrt.spectrum(spec, 0, reml)
    mu, xi = (v[v > 1e-9 * v.max()] for v in brute(spec, reml))
    assert_allclose(np.sort(expanded(found.mu, found.mu_count)), mu, rtol=1e-7, atol=1e-9)
    assert_allclose(np.sort(expanded(found.xi, found.xi_count)), mu if reml else xi, rtol=1e-7, atol=1e-9)
    assert found.df == (spec.n - spec.p if reml else spec.n)
    assert found.rest == spec.n - spec.p - len(mu)


def test_equal_groups_are_reduced_to_a_small_problem():
    spec = equal_groups()
    assert rlrt.spectrum_size(spec, spec.terms[0]) == 3 * spec.p
    found = rlrt.spectrum(spec, 0, True)
    assert len(found.mu) <= 3 * spec.p + 3
    many = assemble.one_way(40_000, 2, seed=1)
    assert rlrt.spectrum(many, 0, True).mu_count.tolist() == [39_999]


@pytest.mark.parametrize("groups", PUBLISHED)
def test_critical_values_of_the_balanced_one_way_layout(groups):
    """Values computed from the closed form by numerical integration."""
    value, zero = PUBLISHED[groups]
    count = 100_000
    draws = rlrt.simulate(rlrt.spectrum(assemble.one_way(groups, 5, seed=3), 0, True), count, np.random.default_rng(1))
    assert abs((draws >= value).mean() - 0.05) < 3 * np.sqrt(0.05 * 0.95 / count)
    assert abs((draws == 0).mean() - zero) < 3 * np.sqrt(zero * (1 - zero) / count)


def test_one_eigenvalue_has_a_closed_form():
    spectrum = rlrt.spectrum(assemble.one_way(6, 5, seed=3), 0, True)
    draws = rlrt.simulate(spectrum, 500, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    rng.standard_normal((500, 0))
    w, rest = rng.chisquare(5, (500, 1))[:, 0], rng.chisquare(24, 500)
    t = np.maximum(w * 24 / (5 * rest), 1.0)  # 1 + λμ
    want = 29 * np.log((w + rest) / (w / t + rest)) - 5 * np.log(t)
    assert_allclose(draws, np.where(want > 1e-9, want, 0.0), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("make", [kernel, weighted_groups])
def test_every_draw_is_the_maximum_over_the_ratio_of_variances(make, reml):
    s = rlrt.spectrum(make(), 0, reml)
    draws = rlrt.simulate(s, 300, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    w = rng.standard_normal((300, len(s.mu))) ** 2
    rng.chisquare(1.0, (300, 0))
    rest = rng.chisquare(s.rest, 300)
    best = np.zeros(300)
    for x in np.linspace(-20, 20, 8001):
        left = (w / (1 + np.exp(x) * s.mu)).sum(axis=1) + rest
        value = s.df * (np.log(w.sum(axis=1) + rest) - np.log(left)) - s.xi_count @ np.log1p(np.exp(x) * s.xi)
        best = np.maximum(best, value)
    assert (draws >= best - 1e-9).all()
    assert_allclose(draws, best, rtol=0, atol=2e-5)


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")
def test_the_law_is_that_of_refits():
    """Likelihood ratios of responses without the component, from two fits each, against the simulated law."""
    spec = kernel()
    full, null = cases.fitted(spec), cases.fitted(assemble.spec(spec.y, spec.X, []))
    Y = np.random.default_rng(6).standard_normal((spec.n, 150))
    ratios = np.array([2 * (full.refit(y).llf - null.refit(y).llf) for y in Y.T])
    draws = rlrt.simulate(rlrt.spectrum(spec, 0, True), 20_000, np.random.default_rng(7))
    for x in (1e-6, 0.5, 1.5, 3.0):
        p = (draws >= x).mean()
        assert abs((ratios >= x).mean() - p) < MONTE_CARLO * np.sqrt(p * (1 - p) / 150)


def quantiles_agree(draws, ours_count, block):
    total = 1 / ours_count + 1 / block["nsim"]
    for value, q in zip(block["quantiles"], block["p"], strict=True):
        if value > 0.01:
            assert abs((draws >= value).mean() - (1 - q)) < MONTE_CARLO * np.sqrt(q * (1 - q) * total)
    zero = block["zero"]
    # their grid of ratios of variances has no small ones: ratios near zero count as zero
    assert -0.001 < zero - (draws == 0).mean() + MONTE_CARLO * np.sqrt(zero * (1 - zero) * total) < 0.02


@pytest.mark.parametrize("case", ["unbalanced", "unbalanced_ml", "kernel", "sleepstudy_days_distribution"])
def test_laws_agree_with_rlrsim(case):
    sizes = (1, 2, 3, 4, 5, 6, 7, 12)
    if case == "kernel":
        spec = kernel()
    elif case == "sleepstudy_days_distribution":
        one = cases.sleepstudy()
        days = one.X[:, [1]]
        spec = assemble.spec(one.y, one.X, [assemble.term("s", one.terms[0].levels[one.terms[0].codes], basis=days)])
    else:
        group = np.repeat(np.arange(8), sizes).astype(str).astype(object)
        X = np.column_stack([np.ones(40), np.sin(np.arange(1, 41))])
        spec = assemble.spec(X[:, 1], X, [assemble.term("g", group)])
    spectrum = rlrt.spectrum(spec, 0, not case.endswith("_ml"))
    draws = rlrt.simulate(spectrum, 100_000, np.random.default_rng(8))
    quantiles_agree(draws, 100_000, reference("rlrsim/tests")[case])


def test_p_values_count_the_statistic_itself():
    draws = np.arange(1.0, 100.0)
    assert rlrt.p_value(0.0, draws) == (1.0, 0.0)
    p, error = rlrt.p_value(95.0, draws)
    assert p == 6 / 100
    assert_allclose(error, np.sqrt(0.06 * 0.94 / 99), **OBJECTIVE)
    assert rlrt.p_value(1e9, draws)[0] == 0.01


def test_a_term_that_the_fixed_effects_contain_has_no_law_but_zero():
    level = np.repeat(["a", "b"], 5).astype(object)
    X = pd.get_dummies(pd.Series(level)).to_numpy(dtype=float)
    spec = assemble.spec(np.random.default_rng(1).standard_normal(10), X, [assemble.term("g", level)])
    assert (rlrt.simulate(rlrt.spectrum(spec, 0, True), 100, np.random.default_rng(1)) == 0).all()


def test_an_indefinite_covariance_has_no_exact_law():
    names = [f"i{j}" for j in range(6)]
    A = np.eye(6) + 2.0 * np.roll(np.eye(6), 1, axis=0) + 2.0 * np.roll(np.eye(6), -1, axis=0)
    cov = Dense(A, names, psd="allow")
    spec = assemble.spec(
        np.arange(12.0), np.ones((12, 1)), [assemble.term("k", np.array(names * 2, object), covariance=cov)]
    )
    with pytest.raises(
        NotProvided, match=r"exact test of 'k' needs a positive semi-definite covariance.*method='boot'"
    ):
        rlrt.spectrum(spec, 0, True)
