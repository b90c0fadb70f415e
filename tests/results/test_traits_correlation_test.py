"""The likelihood-ratio test of a correlation: statistics against refits and brute force, sizes by simulation."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, NotProvided, OptionError
from tests.tolerances import MONTE_CARLO

from .test_traits import FORMULA, brute_of, quiet
from .traits_brute import data, kernel

STATISTIC = {"rtol": 1e-5, "atol": 1e-6}


@pytest.fixture(scope="module")
def two():
    frame, A = data()
    return frame, A, quiet(FORMULA, frame, A)


@pytest.fixture(scope="module")
def three():
    frame, A = data(t=3, n=40, seed=8)
    return frame, A, quiet("cbind(y1, y2, y3) ~ x + (1|id:A)", frame, A)


def test_of_two_traits_zero_is_the_fit_with_independent_traits(two):
    frame, A, fit = two
    for term, other in (
        ("id", quiet("cbind(y1, y2) ~ x + diag(1|id:A)", frame, A)),
        ("Residual", quiet(FORMULA, frame, A, residual="diag")),
    ):
        made = fit.test_correlation("y1", "y2", term=term)
        assert_allclose(made.statistic, 2 * (fit.llf - other.llf), **STATISTIC)
        assert_allclose(made.llf_null, other.llf, rtol=1e-8, atol=0)
        assert made.df == "chi-square(1)"
        assert_allclose(made.p_value, stats.chi2.sf(made.statistic, 1), rtol=1e-10, atol=0)
        assert made.pvalue == made.p_value


def test_by_maximum_likelihood_it_is_that_of_lrt(two):
    frame, A, _ = two
    full = quiet(FORMULA, frame, A, method="ml")
    table = mv.lrt(quiet("cbind(y1, y2) ~ x + diag(1|id:A)", frame, A, method="ml"), full).frame.iloc[1]
    made = full.test_correlation("y1", "y2")
    assert_allclose([made.statistic, made.p_value], [table["chisq"], table["p_value"]], **STATISTIC)


@pytest.mark.parametrize("rho", [-1.0, -0.6, 0.5, 1.0])
def test_any_value_is_held_as_brute_force_holds_it(two, rho):
    frame, A, fit = two
    made = fit.test_correlation("y1", "y2", rho)
    ratio = 2 * (fit.llf - brute_of(frame, A).held(rho, starts=2))
    assert_allclose(made.statistic, ratio, rtol=1e-4, atol=1e-4)
    inside = abs(rho) < 1
    p = stats.chi2.sf(made.statistic, 1) * (1.0 if inside else 0.5)
    assert_allclose(made.p_value, p, rtol=1e-10, atol=0)
    assert made.df == ("chi-square(1)" if inside else "mixture 1/2 chi-square(0) + 1/2 chi-square(1)")


def test_two_of_three_traits_at_the_edge_share_all_correlations(three):
    frame, A, fit = three
    made = fit.test_correlation("y3", "y1", 1)
    order = frame.rename(columns={"y3": "y2", "y2": "y3"})  # the brute force ties the first two
    ratio = 2 * (fit.llf - brute_of(order, A, 3).held(1.0, starts=4))
    assert_allclose(made.statistic, ratio, rtol=1e-4, atol=1e-4)
    assert made.df == "mixture 1/2 chi-square(1) + 1/2 chi-square(2)"
    want = 0.5 * (stats.chi2.sf(made.statistic, 1) + stats.chi2.sf(made.statistic, 2))
    assert_allclose(made.p_value, want, rtol=1e-10, atol=0)
    assert "same correlations with the others" in " ".join(made.notes)
    shown = str(made)
    assert "y3, y1" in shown and "Likelihood-ratio test of a correlation in id" in shown and "same" in shown


def test_the_phenotypic_correlation_and_that_of_equal_correlations_can_be_tested(three):
    frame, A, fit = three
    r = fit.correlation_matrix("phenotypic").loc["y1", "y2"]
    assert fit.test_correlation("y1", "y2", r, term="phenotypic").statistic < 1e-6
    ends = fit.correlations("phenotypic", interval="profile").iloc[0]
    made = fit.test_correlation("y1", "y2", ends["lower"], term="phenotypic")
    assert_allclose(made.statistic, stats.chi2.ppf(0.95, 1), **STATISTIC)
    equal = quiet("cbind(y1, y2, y3) ~ x + cs(1|id:A)", frame, A)
    diag = quiet("cbind(y1, y2, y3) ~ x + diag(1|id:A)", frame, A)
    assert_allclose(equal.test_correlation("y1", "y3").statistic, 2 * (equal.llf - diag.llf), **STATISTIC)
    assert equal.test_correlation("y1", "y3", 1).df == "mixture 1/2 chi-square(0) + 1/2 chi-square(1)"


def test_what_cannot_be_tested_is_refused_by_name(two):
    frame, A, fit = two
    with pytest.raises(OptionError, match=r"rho=1\.5 is no correlation"):
        fit.test_correlation("y1", "y2", 1.5)
    with pytest.raises(OptionError, match="name two traits, not 'y1' twice"):
        fit.test_correlation("y1", "y1")
    with pytest.raises(NotProvided, match=r"\|rho\| = 1 in 'phenotypic'"):
        fit.test_correlation("y1", "y2", 1, term="phenotypic")
    diag = quiet("cbind(y1, y2) ~ x + diag(1|id:A)", frame, A)
    with pytest.raises(NotProvided, match="'id' holds the correlation of y1 and y2 at zero by its structure"):
        diag.test_correlation("y1", "y2")


# ---- sizes --------------------------------------------------------------------------------------------------------


def p_values(t, rho, G, reps, seed, n=150, m=60):
    """P-values of H0 in draws from the model of n records, one a level."""
    rng = np.random.default_rng(seed)
    A = kernel(n, m, rng)
    ids, names = [f"i{j}" for j in range(n)], [f"y{a + 1}" for a in range(t)]
    known = {"A": pd.DataFrame(A, ids, ids)}
    values, vectors = np.linalg.eigh(np.asarray(G, dtype=float))
    half = vectors * np.sqrt(np.maximum(values, 0.0))
    root, noise = np.linalg.cholesky(A), np.linalg.cholesky(0.4 * np.eye(t) + 0.1)
    out = []
    for _ in range(reps):
        Y = root @ rng.standard_normal((n, t)) @ half.T + rng.standard_normal((n, t)) @ noise.T
        frame = pd.DataFrame(Y, columns=names).assign(id=ids)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixedVCWarning)
            fit = mv.fit(f"cbind({', '.join(names)}) ~ 1 + (1|id:A)", frame, cov=known)
        out.append(fit.test_correlation("y1", "y2", rho).p_value)
    return np.array(out)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("t", "rho", "G"),
    [
        (2, 0.0, [[1.0, 0.0], [0.0, 0.8]]),
        (2, 0.5, [[1.0, 0.5], [0.5, 1.0]]),
        (2, 1.0, [[1.0, 0.8], [0.8, 0.64]]),
        (3, -1.0, [[1.0, -0.8, 0.3], [-0.8, 0.64, -0.24], [0.3, -0.24, 1.0]]),
    ],
)
def test_the_test_rejects_at_its_level(t, rho, G):
    """Of 600 draws each: .058, .052, .040 and (three traits) near .05 at the level .05; at an edge it is cautious."""
    reps = 100
    p = p_values(t, rho, G, reps, seed=3)
    for level in (0.05, 0.2):
        rate, error = float((p <= level).mean()), np.sqrt(level * (1 - level) / reps)
        assert rate - level < MONTE_CARLO * error, (rho, level, rate)
        assert rate > (0.3 * level if abs(rho) == 1 else level - MONTE_CARLO * error), (rho, level, rate)
    if abs(rho) == 1 and t == 2:  # about half of the statistics are zero
        assert 0.35 < float((p == 1).mean()) < 0.8
