"""Factor-analytic and reduced-rank covariances: identification, members, refusals, names."""

import numpy as np
import pytest

from mixedvc.errors import StructureError
from mixedvc.structures import make
from mixedvc.structures.factors import trapezoidal

from ..tolerances import IDENTITY, OBJECTIVE


def fa(k, factors=1):
    return make("fa", k, (("factors", factors),))


def rr(k, factors=1):
    return make("rr", k, (("factors", factors),))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_loadings_are_lower_trapezoidal_with_positive_first_entries_and_keep_the_product(rank):
    L = np.random.default_rng(rank).standard_normal((5, rank))
    got = trapezoidal(L)
    np.testing.assert_allclose(got @ got.T, L @ L.T, **IDENTITY)
    assert np.all(got[np.triu_indices(5, 1, rank)] == 0.0)
    assert np.all(np.diagonal(got) > 0.0)


def test_an_effect_without_loadings_leaves_the_sign_to_the_next():
    L = np.array([[0.0], [-2.0], [1.0]])
    np.testing.assert_array_equal(trapezoidal(L), [[0.0], [2.0], [-1.0]])


@pytest.mark.parametrize(("k", "factors", "zeros"), [(3, 1, 0), (4, 1, 1), (5, 2, 0), (6, 2, 1), (8, 3, 0)])
def test_start_finds_a_member_again_whatever_the_units_and_with_a_heywood_case(k, factors, zeros):
    rng = np.random.default_rng(10 * k + factors)
    L, psi = rng.standard_normal((k, factors)), rng.uniform(0.2, 1.0, k)
    psi[:zeros] = 0.0
    d = 10.0 ** rng.uniform(-4, 4, k)
    Sigma = (L @ L.T + np.diag(psi)) * np.outer(d, d)
    par = fa(k, factors).start(Sigma)
    scale = np.sqrt(np.outer(np.diagonal(Sigma), np.diagonal(Sigma)))
    np.testing.assert_allclose(fa(k, factors).build(par) / scale, Sigma / scale, **OBJECTIVE)
    assert np.all(par[:zeros] == 0.0)


def test_parameters_of_rescaled_effects_are_rescaled():
    rng, d = np.random.default_rng(3), np.array([0.01, 1.0, 30.0, 4.0, 7.0])
    for structure in (fa(5, 2), rr(5, 2)):
        par = rng.uniform(0.1, 1.0, structure.n_par)
        want = structure.build(par) * np.outer(d, d)
        np.testing.assert_allclose(structure.build(structure.scaled(par, d)), want, **IDENTITY)


def test_names_are_the_specific_variances_then_the_loadings_factor_by_factor():
    assert fa(3).names(("a", "b", "c"))[:3] == (("a", "ψ"), ("b", "ψ"), ("c", "ψ"))
    loadings = (("a", "λ1"), ("b", "λ1"), ("c", "λ1"), ("b", "λ2"), ("c", "λ2"))
    assert rr(3, 2).names(("a", "b", "c")) == loadings
    assert fa(5, 2).kinds == ("variance",) * 5 + ("loading",) * 9


def test_more_parameters_than_an_unstructured_covariance_are_refused_with_their_number():
    with pytest.raises(
        StructureError, match=r"fa\(\) with 1 factor of 2 effects has 4 parameters, more than the 3 .*us"
    ):
        fa(2)
    with pytest.raises(StructureError, match=r"11 parameters, more than the 10 .* at most 1 factor, or us"):
        fa(4, 2)
    with pytest.raises(StructureError, match="4 factors of 3 effects: there are at most as many as effects"):
        rr(3, 4)
    assert fa(3).n_par == make("us", 3).n_par


@pytest.mark.parametrize("name", ["fa", "rr"])
def test_one_effect_and_odd_numbers_of_factors_are_refused(name):
    with pytest.raises(StructureError, match="at least two traits or effects"):
        make(name, 1)
    for factors in (0, True, 1.5, "2"):
        with pytest.raises(StructureError, match="a whole number of at least 1"):
            make(name, 5, (("factors", factors),))
