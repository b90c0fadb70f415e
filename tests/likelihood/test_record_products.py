"""Dense V of several traits: traces of products by records and traits equal those of the full matrices."""

from dataclasses import replace

import numpy as np
import pytest

from mixedvc.covariance import Dense
from mixedvc.likelihood import likelihoods
from mixedvc.likelihood.record_products import record_products
from mixedvc.likelihood.rows import working_rows
from mixedvc.testing import assemble, problems, thetas, transform
from mixedvc.testing.brute import Brute
from mixedvc.testing.likelihood_checks import compare_evaluations, compare_moments

from ..tolerances import OBJECTIVE

DENSE = likelihoods.get("dense")


def made(n, t, *, missing=(), kernels=2, slopes=False, repeats=False, weights=True, structure="us", residual=None):
    rng = np.random.default_rng(n + t)
    q = n // 2 if repeats else n
    ids = np.array([f"i{k:02d}" for k in range(q)], dtype=object)
    who = ids[np.concatenate([np.arange(q), rng.integers(0, q, n - q)])]
    terms = []
    for k in range(kernels):
        W = rng.standard_normal((q, q + 4))
        basis = np.column_stack([np.ones(n), rng.standard_normal(n)]) if slopes and k == 0 else None
        terms.append(assemble.term(f"id{k}", who, covariance=Dense(W @ W.T / q, ids), basis=basis))
    Y = rng.standard_normal((n, t)) + 2
    for cell in missing:
        Y[cell] = np.nan
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    w = rng.uniform(0.5, 2.0, n) if weights else None
    return assemble.traits_spec(Y, X, terms, weights=w, structure=structure, residual_structure=residual)


LAYOUTS = {
    "two kernels": lambda: made(9, 3),
    "missing cells": lambda: made(12, 2, missing=[(0, 0), (4, 1), (5, 1)]),
    "missing cells, repeated records": lambda: made(12, 2, missing=[(0, 0), (4, 1), (5, 1)], repeats=True),
    "slopes of several traits": lambda: made(8, 2, slopes=True),
    "slopes and missing cells": lambda: made(10, 2, kernels=1, slopes=True, missing=[(1, 0), (7, 1)]),
    "patterns shared by entries": lambda: made(9, 3, kernels=1, structure="cs", residual="cs", missing=[(2, 1)]),
    "diagonal": lambda: made(9, 3, structure="diag", residual="diag"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_quantity_equals_brute_force(layout):
    spec = LAYOUTS[layout]()
    assert record_products(working_rows(spec)) is not None
    theta = thetas.points(spec, 2)["inside"]
    for reml in (True, False):
        likelihood, brute = DENSE(spec, reml=reml), Brute(spec, reml)
        compare_evaluations(likelihood.at(theta), brute.at(theta), layout)
        compare_moments(likelihood, brute, layout)


def test_products_made_again_are_those_that_were_kept(monkeypatch):
    spec = LAYOUTS["two kernels"]()
    theta = thetas.points(spec)["inside"]
    want = DENSE(spec).at(theta).expected_information
    monkeypatch.setattr("mixedvc.likelihood.record_products._KEPT", 0.0)
    np.testing.assert_array_equal(DENSE(spec).at(theta).expected_information, want)


def test_the_order_of_rows_does_not_matter():
    spec = LAYOUTS["missing cells"]()
    order = np.random.default_rng(0).permutation(spec.n)
    shuffled = transform.take_rows(spec, order)
    assert record_products(working_rows(shuffled)) is not None
    theta = thetas.points(spec)["inside"]
    compare_evaluations(DENSE(shuffled).at(theta), Brute(shuffled).at(theta), "shuffled")


def test_two_kernels_with_equal_effects_share_what_they_multiply():
    products = record_products(working_rows(made(8, 3, weights=False)))
    assert [source is None for source in products.sources] == [False, False, True]
    slopes = record_products(working_rows(LAYOUTS["slopes of several traits"]()))
    assert len(slopes.sources) == 4 + 1 + 1  # intercept and slope in every order, the second kernel, the residual


def test_layouts_that_are_no_records_of_traits_are_left_to_full_matrices():
    few = made(12, 3, missing=[(i, a) for i in range(12) for a in range(3) if a != i % 3 and i != 11])
    assert record_products(working_rows(few)) is None
    spec = made(8, 2, kernels=1)
    codes = np.array(spec.terms[0].codes)
    codes[0] = codes[-1]  # the traits of one record in two levels
    basis = np.array(spec.terms[0].basis)
    basis[0] = 1.0  # a row with the effects of two traits
    for term in (replace(spec.terms[0], codes=codes), replace(spec.terms[0], basis=basis)):
        assert record_products(working_rows(replace(spec, terms=(term,)))) is None
    assert record_products(working_rows(problems.bound("slopes"))) is None


@pytest.mark.parametrize("layout", ["two kernels", "missing cells", "slopes of several traits"])
def test_v_lifted_within_the_fixed_effects_changes_no_number(monkeypatch, layout):
    monkeypatch.setattr("mixedvc.likelihood.dense.SINGULAR", 2.0)
    spec = LAYOUTS[layout]()
    theta = thetas.points(spec, 4)["inside"]
    evaluation = DENSE(spec).at(theta)
    assert evaluation._lift is not None
    compare_evaluations(evaluation, Brute(spec).at(theta), layout)
    assert DENSE(spec, reml=False).at(theta)._lift is None


def test_a_singular_residual_beside_centred_kernels_has_a_restricted_likelihood():
    """That of n − 1 contrasts of the records, formed by hand."""
    rng = np.random.default_rng(8)
    n, ids = 9, np.array([f"i{k}" for k in range(9)], dtype=object)
    M = np.eye(n) - 1.0 / n
    kernels = [M @ W @ W.T @ M / 12 for W in rng.standard_normal((2, n, 12))]
    terms = [assemble.term(f"k{j}", ids, covariance=Dense(K, ids)) for j, K in enumerate(kernels)]
    spec = assemble.traits_spec(rng.standard_normal((n, 2)), np.ones((n, 1)), terms)
    G, H, b = np.array([[1.0, 0.2], [0.2, 0.7]]), np.array([[0.4, -0.1], [-0.1, 0.5]]), np.array([1.0, -0.6])
    R = np.outer(b, b)
    contrasts = np.linalg.svd(np.ones((1, n)))[2][1:]
    Y = contrasts @ spec.response.reshape(n, 2)
    K, L = (contrasts @ kernel @ contrasts.T for kernel in kernels)
    V = np.kron(K, G) + np.kron(L, H) + np.kron(np.eye(n - 1), R)
    want = -0.5 * (16 * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + Y.ravel() @ np.linalg.solve(V, Y.ravel()))
    want -= 0.5 * 2 * np.log(float(n))  # ½ log|XᵀX|
    theta = spec.theta([G, H, R])
    np.testing.assert_allclose(DENSE(spec).at(theta).loglik, want, **OBJECTIVE)
    assert np.isfinite(DENSE(spec).at(theta).expected_information).all()
