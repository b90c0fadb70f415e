"""Eigenvalues of a covariance of traits against numpy, differences, and draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.errors import OptionError
from mixedvc.inference.trait_eigen import eigen, signed
from mixedvc.inference.traits import TraitMatrix
from tests.tolerances import COMPONENT, IDENTITY, PARAMETER

from .test_traits import brute_of, correlation, quiet
from .traits_brute import data, delta_se


@pytest.fixture(scope="module")
def three():
    frame, A = data(t=3, n=40, seed=8)
    return brute_of(frame, A, 3), quiet("cbind(y1, y2, y3) ~ x + (1|id:A)", frame, A)


def by_numpy(S):
    values, vectors = np.linalg.eigh(S)
    values, vectors = values[::-1], vectors[:, ::-1]
    return values, vectors * np.sign(vectors[np.argmax(np.abs(vectors), axis=0), np.arange(len(S))])


@pytest.mark.parametrize("scaled", [False, True])
def test_values_vectors_and_errors_are_those_of_differences(three, scaled):
    brute, fit = three
    of = (lambda th: correlation(brute.sigmas(th)[0])) if scaled else (lambda th: brute.sigmas(th)[0])
    theta = fit.estimate.theta
    cov = np.linalg.inv(brute.expected_information(theta))
    made = fit.eigen(correlation=scaled, method="delta")
    values, vectors = by_numpy(of(theta))
    assert_allclose(made.frame["eigenvalue"], values, **COMPONENT)
    assert_allclose(made.vectors, vectors, **COMPONENT)
    assert_allclose(made.frame["share"], values / values.sum(), **COMPONENT)
    assert_allclose(made.frame["cumulative"].iloc[-1], 1.0, **IDENTITY)
    assert_allclose(made.dimensions, values.sum() / values[0], **COMPONENT)
    assert_allclose(made.frame["se"], delta_se(lambda th: by_numpy(of(th))[0], theta, cov), **PARAMETER)
    assert_allclose(made.vectors_se, delta_se(lambda th: by_numpy(of(th))[1], theta, cov), rtol=1e-4, atol=1e-7)
    assert list(made.vectors.index) == ["y1", "y2", "y3"] and list(made.vectors.columns) == ["PC1", "PC2", "PC3"]


def test_the_phenotypic_matrix_has_components_too(three):
    _, fit = three
    assert_allclose(fit.eigen("phenotypic").frame["eigenvalue"], by_numpy(fit.P.to_numpy())[0], **COMPONENT)


def diagonal(values, se):
    """A 3×3 matrix with these eigenvalues, whose entries vary independently."""
    pairs = [(a, b) for a in range(3) for b in range(a, 3)]
    L = np.zeros((3, 3, len(pairs)))
    for m, (a, b) in enumerate(pairs):
        L[a, b, m] = L[b, a, m] = 1.0
    theta = np.array([values[a] if a == b else 0.0 for a, b in pairs])
    return TraitMatrix("g", ("a", "b", "c"), L), theta, se**2 * np.eye(len(pairs))


def test_draws_agree_with_the_delta_method_where_eigenvalues_are_apart():
    matrix, theta, cov = diagonal([9.0, 4.0, 1.0], 0.05)
    delta = eigen(matrix, theta, cov, method="delta")
    drawn = eigen(matrix, theta, cov, method="simulation", nsim=20_000, seed=1)
    assert delta.apart.all() and drawn.clipped == 0.0
    assert_allclose(delta.values_se, 0.05, **IDENTITY)
    assert_allclose(drawn.values_se, delta.values_se, rtol=0.03, atol=0)  # 1/√(2·20,000) = .5 %
    off = ~np.eye(3, dtype=bool)
    assert_allclose(drawn.vectors_se[off], delta.vectors_se[off], rtol=0.03, atol=0)


def test_eigenvalues_that_coincide_have_the_errors_of_draws():
    matrix, theta, cov = diagonal([4.0, 4.0, 1.0], 0.1)
    made = eigen(matrix, theta, cov)
    assert made.apart.tolist() == [False, False, True]
    again = eigen(matrix, theta, cov)
    assert_allclose(again.values_se, made.values_se, **IDENTITY)  # the same seed
    # of a 2×2 symmetric matrix with independent entries of sd s: λ = mean ± √(gap² + b²), gap of sd s/√2, b of sd s
    rng = np.random.default_rng(0)
    a, b, c = 0.1 * rng.standard_normal((3, 400_000))
    larger = 0.5 * (a + c) + np.hypot(0.5 * (a - c), b)
    assert_allclose(made.values_se[0], larger.std(), rtol=0.03, atol=0)
    assert_allclose(made.values_se[2], 0.1, **IDENTITY)


def test_draws_with_a_negative_eigenvalue_are_made_positive_and_counted():
    matrix, theta, cov = diagonal([4.0, 2.0, 0.05], 0.05)
    made = eigen(matrix, theta, cov, method="simulation", nsim=5000)
    assert 0.1 < made.clipped < 0.25  # P(N(.05, .05²) < 0) = .16
    assert (made.draws >= 0).all()


def test_signs_are_those_of_the_largest_loading():
    vectors = signed(np.array([[-0.8, 0.6], [-0.6, -0.8]]))
    assert_allclose(vectors, [[0.8, -0.6], [0.6, 0.8]], **IDENTITY)


def test_the_table_says_how_errors_were_made(three):
    _, fit = three
    drawn = fit.eigen(method="simulation", nsim=500, seed=3)
    assert "500 draws from the asymptotic distribution (seed 3)" in " ".join(str(drawn).split())
    assert drawn.frame["lower"].between(0, drawn.frame["eigenvalue"]).all()
    assert "Eigenvalues of the correlation matrix of Residual" in str(fit.eigen("Residual", correlation=True))
    with pytest.raises(OptionError, match="method='boot' is not one of 'auto', 'delta', 'simulation'"):
        fit.eigen(method="boot")
    with pytest.raises(OptionError, match="nsim=10: at least 100 draws"):
        fit.eigen(nsim=10)
