"""Factor-analytic and reduced-rank terms of several traits, and the units in which traits are fitted."""

import dataclasses

import numpy as np
import pytest

from mixedvc.covariance import Dense
from mixedvc.errors import ConvergenceWarning
from mixedvc.estimators import ML, REML, estimators
from mixedvc.estimators.charts import FactorChart, box_chart, numeric_curvature
from mixedvc.estimators.start import units_of
from mixedvc.structures import make
from mixedvc.testing import assemble
from mixedvc.testing.optimum import check_consistency, check_nothing_higher_nearby, check_optimum, quiet

from ..several_traits.comparing import fitted
from ..several_traits.generate import problem
from ..tolerances import COMPONENT, IDENTITY, OBJECTIVE, PARAMETER


def kernel_traits(t=4, n=36, seed=1, missing=0.1, specific=0.3):
    """Y (n, t) with cells missing at random, a kernel, and the term of its individuals."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, 2 * n))
    K, ids = W @ W.T / (2 * n), np.array([f"i{i:02d}" for i in range(n)], dtype=object)
    loadings = np.linspace(1.2, -0.8, t)
    G = np.outer(loadings, loadings) + specific * np.eye(t)
    Y = np.linalg.cholesky(K) @ rng.standard_normal((n, t)) @ np.linalg.cholesky(
        G + 1e-12 * np.eye(t)
    ).T + rng.standard_normal((n, t))
    Y[rng.random(Y.shape) < missing] = np.nan
    return Y, assemble.term("id", ids, covariance=Dense(K, ids))


def with_structures(spec, of_term, of_residual=None):
    """The specification with other structures among the traits."""
    t = spec.traits.t
    terms = tuple(dataclasses.replace(one, structure=make(of_term[0], t, of_term[1:])) for one in spec.terms)
    residual = spec.residual
    if of_residual is not None:
        residual = dataclasses.replace(residual, structure=make(of_residual[0], t, of_residual[1:]))
    return dataclasses.replace(spec, terms=terms, residual=residual)


def traits(**options):
    Y, term = kernel_traits(**options)
    return assemble.traits_spec(Y, np.ones((len(Y), 1)), [term])


ONE, TWO = ("factors", 1), ("factors", 2)


@pytest.mark.parametrize("of_term", [("fa", ONE), ("rr", ONE), ("rr", TWO)])
@pytest.mark.parametrize("reml", [True, False])
def test_few_factors_reach_a_maximum_below_the_unstructured_one(of_term, reml):
    spec, estimator = traits(n=24), (REML if reml else ML)()
    one = with_structures(spec, of_term)
    with quiet():
        free, fit = estimator.fit(spec), estimator.fit(one)
    check_consistency(one, fit, str(of_term))
    check_optimum(one, fit, str(of_term))
    assert fit.loglik <= free.loglik + 1e-8


def test_as_many_factors_as_traits_give_the_unstructured_maximum():
    spec = traits(t=3, missing=0.0, seed=5, n=60, specific=1.0)
    with quiet():
        want, fit = REML().fit(spec), REML().fit(with_structures(spec, ("rr", ("factors", 3))))
    assert not want.singular
    assert not fit.singular
    np.testing.assert_allclose(fit.loglik, want.loglik, **OBJECTIVE)
    np.testing.assert_allclose(fit.theta, want.theta, **COMPONENT)


def test_a_factor_analytic_residual_reaches_its_maximum():
    spec = with_structures(traits(seed=2), ("us",), ("fa", ONE))
    with quiet():
        fit = REML().fit(spec)
    check_consistency(spec, fit, "residual")
    check_optimum(spec, fit, "residual")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mm", "em", "pxem", "fisher"])
@pytest.mark.parametrize("of_term", [("fa", ONE), ("rr", ONE)])
def test_every_maximiser_ends_at_the_same_factors(name, of_term):
    spec = with_structures(traits(t=3, seed=3, missing=0.0, n=24) if of_term[0] == "rr" else traits(n=24), of_term)
    with quiet():
        want, fit = REML().fit(spec), estimators.get(name)().fit(spec)
    np.testing.assert_allclose(fit.loglik, want.loglik, **OBJECTIVE)
    np.testing.assert_array_equal(fit.at_bound, want.at_bound)


def test_a_trait_without_variance_of_its_own_is_a_heywood_case_on_the_boundary():
    spec = with_structures(traits(specific=0.0, seed=6, n=30, missing=0.0), ("fa", ONE))
    with quiet():
        fit = REML().fit(spec)
    check_optimum(spec, fit, "heywood")
    zero = fit.par[:4] == 0.0
    assert zero.any()
    np.testing.assert_array_equal(fit.at_bound[:4], zero)
    assert not fit.at_bound[4:8].any()


def test_a_factor_too_many_is_flagged_and_none_comes_back_below_the_maximum():
    spec = with_structures(traits(seed=9, missing=0.0, specific=0.0, n=30), ("rr", ("factors", 3)))
    with quiet():
        fit = REML().fit(spec)
        full = REML().fit(dataclasses.replace(traits(seed=9, missing=0.0, specific=0.0, n=30)))
    rank = int((np.linalg.eigvalsh(spec.sigmas(full.theta)[0]) > 1e-7).sum())
    assert rank < 3
    np.testing.assert_allclose(fit.loglik, full.loglik, **OBJECTIVE)
    columns = spec.terms[0].structure.loadings.entries[1]
    np.testing.assert_array_equal(fit.at_bound[: len(columns)], columns >= rank)


@pytest.mark.slow
def test_a_factor_that_vanished_is_taken_up_again_where_the_criterion_rises_with_it():
    spec = with_structures(traits(seed=1), ("fa", ONE))
    with quiet():
        want = REML().fit(spec)
        start = np.append(np.full(4, 0.8), np.zeros(4))
        fit = REML(start={"id": start, "residual": np.eye(4)}).fit(spec)
    np.testing.assert_allclose(fit.loglik, want.loglik, **OBJECTIVE)
    assert np.abs(fit.par[4:8]).max() > 0.1


def test_the_chart_of_factors_knows_its_derivatives():
    rng = np.random.default_rng(8)
    structure = make("fa", 5, (TWO,))
    chart = box_chart(structure, rng.uniform(0.2, 1.0, structure.n_par))
    assert isinstance(chart, FactorChart)
    first, second = np.array(structure.pairs).T

    def jacobian(q):
        step = 1e-6
        return np.array(
            [(chart.sigma(q + step * e) - chart.sigma(q - step * e))[first, second] for e in np.eye(len(q))]
        ) / (2 * step)

    np.testing.assert_allclose(chart.jacobian(), jacobian(chart.q), **PARAMETER)
    score = rng.standard_normal(len(first))
    slow = numeric_curvature(jacobian, chart.q, score, chart.lower, chart.upper)
    np.testing.assert_allclose(chart.curvature(score), slow, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(structure.build(chart.parameters()), chart.sigma(chart.q), **IDENTITY)


# ---- units of several traits --------------------------------------------------------------------------------------


def rescaled_traits(Y, term, T):
    return assemble.traits_spec(Y @ T.T, np.ones((len(Y), 1)), [term])


def test_traits_in_units_apart_by_twelve_orders_have_the_same_fit():
    Y, term = kernel_traits(t=3, missing=0.2, n=40)
    d = np.array([1e-6, 1.0, 1e6])
    with quiet():
        want = REML().fit(assemble.traits_spec(Y, np.ones((len(Y), 1)), [term]))
        spec = assemble.traits_spec(Y * d, np.ones((len(Y), 1)), [term])
        fit = REML().fit(spec)
    back = [Sigma / np.outer(d, d) for Sigma in spec.sigmas(fit.theta)]
    np.testing.assert_allclose(spec.theta(back), want.theta, rtol=1e-8, atol=1e-9)
    cells, fixed = spec.traits.trait, np.log(d).sum()
    np.testing.assert_allclose(fit.loglik, want.loglik - np.log(d[cells]).sum() + fixed, **OBJECTIVE)


def test_turned_traits_have_the_turned_covariances():
    Y, term = kernel_traits(t=3, missing=0.0, seed=4)
    T = np.array([[1.0, 0.5, 0.0], [-2.0, 1.0, 3.0], [0.0, 0.1, 0.2]])
    plain, turned = rescaled_traits(Y, term, np.eye(3)), rescaled_traits(Y, term, T)
    with quiet():
        want, fit = REML().fit(plain), REML().fit(turned)
    moved = [T @ Sigma @ T.T for Sigma in plain.sigmas(want.theta)]
    np.testing.assert_allclose(fit.theta, turned.theta(moved), **COMPONENT)
    jacobian = (len(Y) - 1) * np.log(abs(np.linalg.det(T)))
    np.testing.assert_allclose(fit.loglik, want.loglik - jacobian, **OBJECTIVE)


def test_in_scaled_units_the_traits_are_uncorrelated_with_variance_one():
    Y, term = kernel_traits(t=3, missing=0.0)
    spec = assemble.traits_spec(Y * [1.0, 50.0, 1e-3], np.ones((len(Y), 1)), [term])
    P = np.cov(Y * [1.0, 50.0, 1e-3], rowvar=False)
    np.testing.assert_allclose(units_of(spec, 2.7).down(1, P), np.eye(3), rtol=0, atol=1e-10)


def test_a_trait_nearly_a_function_of_another_is_fitted_to_the_maximum():
    Y, term = kernel_traits(t=2, missing=0.0, n=40, seed=5)
    Y[:, 1] = 2.0 * Y[:, 0] + 1e-3 * Y[:, 1]
    spec = assemble.traits_spec(Y, np.ones((len(Y), 1)), [term])
    T = np.array([[1.0, 0.0], [-2000.0, 1000.0]])
    with quiet():
        fit, want = REML(likelihood="canonical").fit(spec), REML().fit(rescaled_traits(Y, term, T))
    assert fit.converged
    np.testing.assert_allclose(fit.loglik, want.loglik + (len(Y) - 1) * np.log(1000.0), rtol=1e-7)


def test_a_lower_hill_is_left_for_the_one_found_from_equal_parts():
    Y, term = kernel_traits(t=4, n=27, seed=3, missing=0.3, specific=0.0)
    spec = with_structures(assemble.traits_spec(Y, np.ones((len(Y), 1)), [term]), ("us",), ("diag",))
    with quiet():
        fit = ML().fit(spec)
    check_optimum(spec, fit, "two starts")
    check_nothing_higher_nearby(spec, fit, "two starts")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["em", "mm", "pxem"])
def test_slow_iterations_turn_a_singular_residual_of_several_traits(name):
    rng = np.random.default_rng(11)
    Y, term = kernel_traits(t=2, n=20, seed=11, missing=0.0)
    u = Y - rng.standard_normal(Y.shape)
    Y = u + np.outer(rng.standard_normal(len(Y)), [1.0, -0.5])
    spec = assemble.traits_spec(Y, np.ones((len(Y), 1)), [term])
    with quiet():
        want, fit = REML().fit(spec), estimators.get(name)().fit(spec)
    check_optimum(spec, fit, name)
    np.testing.assert_allclose(fit.loglik, want.loglik, **OBJECTIVE)


@pytest.mark.parametrize("name", ["ml", "mm"])
def test_a_likelihood_without_upper_bound_says_why(name):
    Y, term = kernel_traits(t=2, n=24, missing=0.0, seed=2)
    twice = np.array([f"i{i:02d}" for i in range(24)] * 2, dtype=object)
    again = assemble.term("id", twice, covariance=term.covariance)
    spec = assemble.traits_spec(np.vstack([Y, Y]), np.ones((48, 1)), [again])
    with pytest.warns(ConvergenceWarning, match="residual covariance of y1, y2 is singular there.*residual='diag'"):
        fit = estimators.get(name)().fit(spec)
    assert not fit.converged


def test_equal_parts_lead_to_a_higher_maximum_than_moments_do():
    with quiet():
        fit = fitted(problem(1096, False))
    check_optimum(fit.spec, fit.estimate, "two starts")
    np.testing.assert_allclose(fit.estimate.loglik, -187.7186674497, **OBJECTIVE)  # from moments alone: -187.827
