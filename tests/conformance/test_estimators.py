"""Every registered estimator that needs no draws keeps the contract, and maximisers reach the maximum."""

import dataclasses

import numpy as np
import pytest

from mixedvc.errors import BoundaryWarning, ConvergenceWarning
from mixedvc.estimators import estimators
from mixedvc.testing import assemble, kernels, problems
from mixedvc.testing import estimators as conformance
from mixedvc.testing.brute import Brute
from mixedvc.testing.checks import balanced_one_way, zero_is_zero
from mixedvc.testing.optimum import check_consistency, check_nothing_higher_nearby, check_optimum, quiet
from tests.tolerances import COMPONENT, IDENTITY, OBJECTIVE

NAMES = estimators.names()
POINT = [name for name in NAMES if "draws" not in estimators.get(name).provides]
MAXIMISERS = [name for name in POINT if "loglik" in estimators.get(name).provides]
SPECS = dict(conformance.default_specs())


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", POINT)
def test_every_estimator_keeps_the_contract(name, spec):
    done = conformance.estimator_checks(estimators.get(name)(), [(spec, SPECS[spec])])
    assert len(done) >= 5


@pytest.mark.parametrize("problem", problems.names())
@pytest.mark.parametrize("name", MAXIMISERS)
def test_every_maximiser_reaches_the_maximum_of_every_problem(name, problem):
    spec = problems.bound(problem)
    with quiet():
        estimate = estimators.get(name)().fit(spec)
    check_consistency(spec, estimate, problem)
    check_optimum(spec, estimate, problem)


@pytest.mark.parametrize("problem", ["slopes", "autoregressive", "kinship_slopes", "crossed_weights_offset", "twins"])
@pytest.mark.parametrize("name", MAXIMISERS)
def test_rows_terms_units_and_likelihoods_change_no_optimum(name, problem):
    estimator, spec = estimators.get(name)(), problems.bound(problem)
    for check in conformance.checks_for(estimator):
        check(estimator, problem, spec)


@pytest.mark.parametrize("name", ["reml", "ml"])
@pytest.mark.parametrize("seed", [1, 3, 4])
def test_a_balanced_one_way_layout_gives_the_anova_estimates(name, seed):
    balanced_one_way(estimators.get(name)(), name == "reml", seed=seed)


@pytest.mark.parametrize("name", ["reml", "ml"])
def test_equal_group_means_give_an_exact_zero(name):
    zero_is_zero(estimators.get(name)(), name == "reml")


@pytest.mark.parametrize("name", MAXIMISERS)
def test_a_singular_fit_warns_and_names_the_term(name):
    with pytest.warns(BoundaryWarning, match="singular.* g"):
        estimators.get(name)().fit(conformance.zero_between_groups())


@pytest.mark.parametrize("name", MAXIMISERS)
def test_too_few_iterations_warn_and_are_not_called_converged(name):
    estimator = dataclasses.replace(estimators.get(name)(), max_iter=1)
    with pytest.warns(ConvergenceWarning, match="converge"):
        estimate = estimator.fit(SPECS["slopes"])
    assert not estimate.converged


@pytest.mark.parametrize("name", ["reml", "ml"])
def test_without_any_variance_between_groups_the_fit_is_least_squares(name):
    spec = conformance.zero_between_groups()
    with quiet():
        estimate = estimators.get(name)().fit(spec)
    evaluation = Brute(spec, name == "reml").at(estimate.theta)
    beta, rss = np.linalg.lstsq(spec.X, spec.y, rcond=None)[:2]
    np.testing.assert_allclose(evaluation.beta, beta, **IDENTITY)
    df = spec.n - (spec.p if name == "reml" else 0)
    np.testing.assert_allclose(estimate.theta[1], rss[0] / df, **COMPONENT)
    plain = -0.5 * (df * np.log(2 * np.pi * rss[0] / df) + df)
    if name == "reml":
        plain -= 0.5 * np.linalg.slogdet(spec.X.T @ spec.X)[1]
    np.testing.assert_allclose(estimate.loglik, plain, **OBJECTIVE)


def test_everything_held_is_evaluated_and_not_moved():
    spec = SPECS["one way"]
    held = dataclasses.replace(estimators.get("reml")(), fixed_varcomp={"g": 20.0, "residual": 40.0})
    estimate = held.fit(spec)
    np.testing.assert_array_equal(estimate.theta, [20.0, 40.0])
    assert estimate.fixed.all()
    assert not estimate.singular


def random_model(seed):
    """One to three terms of one to three effects, any kernel, linear structures, weights, wild units.

    More rows than random effects: with fewer the residual may vanish and the likelihood has no maximum.
    """
    rng = np.random.default_rng(seed)
    shapes = [(int(rng.integers(3, 12)), int(rng.choice([1, 1, 2, 3]))) for _ in range(int(rng.integers(1, 4)))]
    n, y, terms = sum(q * k for q, k in shapes) + int(rng.integers(12, 40)), 0.0, []
    for i, (q, k) in enumerate(shapes):
        labels = np.array([f"t{i}_{j}" for j in range(q)], dtype=object)
        code = rng.integers(0, q, n)
        basis = np.column_stack([np.ones(n), rng.standard_normal((n, k - 1)) * 10 ** rng.uniform(-2, 2)])
        covariance = kernels.covariance(str(rng.choice(kernels.KINDS)), labels, rng)
        structure = str(rng.choice(["us", "diag"]))
        terms.append(assemble.term(f"t{i}", labels[code], basis=basis, covariance=covariance, structure=structure))
        u = covariance.draw(rng, k) * rng.choice([0.0, 0.3, 1.0, 3.0])
        y = y + ((basis / np.sqrt((basis**2).mean(0))) * u[code]).sum(axis=1)
    weights = rng.uniform(0.3, 3, n) if rng.integers(2) else None
    y = (y + rng.standard_normal(n)) * 10 ** rng.uniform(-3, 3)
    return assemble.spec(y, np.column_stack([np.ones(n), rng.standard_normal(n)]), terms, weights=weights)


def reaches(name, seeds):
    failed = []
    for seed in seeds:
        spec = random_model(seed)
        with quiet():
            estimate = estimators.get(name)().fit(spec)
        try:
            check_consistency(spec, estimate, f"seed {seed}")
            check_optimum(spec, estimate, f"seed {seed}")
        except AssertionError as wrong:
            failed.append(str(wrong))
    return failed


@pytest.mark.parametrize("name", MAXIMISERS)
def test_random_models_reach_their_maximum(name):
    assert reaches(name, range(30)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MAXIMISERS)
def test_many_random_models_reach_their_maximum(name):
    assert reaches(name, range(100, 700)) == []


SINGULAR = {
    "intercepts only": [[1.0, 0.0], [0.0, 0.0]],
    "slopes only": [[0.0, 0.0], [0.0, 0.3]],
    "correlation one": [[1.0, 0.5], [0.5, 0.25]],
    "correlation minus one": [[1.0, -0.5], [-0.5, 0.25]],
    "nothing": [[0.0, 0.0], [0.0, 0.0]],
}


@pytest.mark.parametrize("singular", SINGULAR)
@pytest.mark.parametrize("name", ["reml", "ml"])
def test_a_singular_start_is_left_for_the_maximum_inside(name, singular):
    spec, estimator = problems.bound("slopes"), estimators.get(name)()
    want = estimator.fit(spec)
    assert not want.singular
    estimate = dataclasses.replace(estimator, start={"id": np.array(SINGULAR[singular])}).fit(spec)
    check_consistency(spec, estimate, singular)
    check_optimum(spec, estimate, singular)
    np.testing.assert_allclose(estimate.loglik, want.loglik, **OBJECTIVE)


@pytest.mark.parametrize("name", ["reml", "ml"])
def test_a_scalar_start_at_zero_is_left_for_the_maximum_inside(name):
    spec, estimator = problems.bound("crossed_weights_offset"), estimators.get(name)()
    want = estimator.fit(spec)
    assert not want.singular
    estimate = dataclasses.replace(estimator, start={"a": 0.0, "b": 0.0}).fit(spec)
    check_optimum(spec, estimate, "zero start")
    np.testing.assert_allclose(estimate.loglik, want.loglik, **OBJECTIVE)


@pytest.mark.parametrize("problem", problems.names())
@pytest.mark.parametrize("name", MAXIMISERS)
def test_nothing_near_the_estimate_is_higher(name, problem):
    spec = problems.bound(problem)
    with quiet():
        estimate = estimators.get(name)().fit(spec)
    check_nothing_higher_nearby(spec, estimate, problem)


@pytest.mark.parametrize("seed", [7, 197, 298])
def test_a_saddle_of_a_pattern_without_variance_is_left(seed):
    """Noise; a variance of the pattern touches zero, where its correlation has no slope but the criterion can rise."""
    rng = np.random.default_rng(seed)
    basis = np.column_stack([np.ones(40), rng.standard_normal(40)])
    terms = [
        assemble.term("g", rng.integers(0, 8, 40), basis=basis, structure="cs"),
        assemble.term("h", rng.integers(0, 6, 40)),
    ]
    spec = assemble.spec(rng.standard_normal(40), np.ones((40, 1)), terms)
    with quiet():
        estimate = estimators.get("reml")().fit(spec)
    check_consistency(spec, estimate, "saddle")
    check_nothing_higher_nearby(spec, estimate, "saddle", trials=200)


@pytest.mark.parametrize("check", [check_optimum, check_nothing_higher_nearby])
@pytest.mark.parametrize("problem", ["slopes", "slopes_uncorrelated", "autoregressive", "twins"])
def test_an_estimate_beside_the_maximum_is_caught(problem, check):
    spec = problems.bound(problem)
    with quiet():
        estimate = estimators.get("reml")().fit(spec)
    par = np.array(estimate.par)
    par[-1] *= 1.2
    theta = np.array(estimate.theta)
    theta[-1] = par[-1]
    loglik = Brute(spec, True).at(theta).loglik
    beside = dataclasses.replace(estimate, par=par, theta=theta, loglik=loglik)
    with pytest.raises(AssertionError, match=r"gradient|higher nearby|should be smaller"):
        check(spec, beside, problem)
