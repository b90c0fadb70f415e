"""Every registered likelihood equals brute force on every named problem it applies to."""

import numpy as np
import pytest

from mixedvc.likelihood import likelihoods
from mixedvc.testing import assemble, kernels, problems, thetas, transform
from mixedvc.testing.brute import Brute
from mixedvc.testing.checks import draw_checks, likelihood_checks
from mixedvc.testing.likelihood_checks import compare_evaluations

NAMES = likelihoods.names()


@pytest.mark.parametrize("problem", problems.names())
@pytest.mark.parametrize("name", NAMES)
def test_every_quantity_equals_brute_force(name, problem):
    done = likelihood_checks(likelihoods.get(name), problems.bound(problem))
    if not done:
        pytest.skip(f"the {name} likelihood says that it does not apply to {problem}")
    assert len(done) > (20 if problems.bound(problem).terms else 16)  # there are fewer θ without random terms


@pytest.mark.parametrize("problem", problems.names())
def test_at_least_two_likelihoods_apply_to_every_problem(problem):
    applying = [name for name in NAMES if likelihoods.get(name).cost(problems.bound(problem)) is not None]
    assert "dense" in applying, problem


@pytest.mark.parametrize("name", NAMES)
def test_every_likelihood_applies_to_some_problem(name):
    kind = likelihoods.get(name)
    assert any(kind.cost(problems.bound(problem)) is not None for problem in problems.names())


@pytest.mark.parametrize("matrix", ["full", "blocks", "low rank"])
@pytest.mark.parametrize("name", NAMES)
def test_how_a_covariance_is_stored_changes_no_number(name, matrix):
    rng = np.random.default_rng(4)
    labels = [f"i{i}" for i in range(12)]
    A = kernels.matrix(matrix, 12, rng)
    group = np.array(labels, dtype=object)[np.concatenate([np.arange(11), rng.integers(0, 11, 9)])]
    plain = assemble.spec(
        rng.standard_normal(20),
        np.ones((20, 1)),
        [assemble.term("i", group, covariance=kernels.known_dense(A, labels))],
    )
    theta = thetas.points(plain)["inside"]
    want, applied = Brute(plain, True).at(theta), 0
    for storage, covariance in kernels.stored_in_every_way(A, labels).items():
        spec = transform.with_covariance(plain, 0, covariance)
        if likelihoods.get(name).cost(spec) is None:
            continue
        compare_evaluations(likelihoods.get(name)(spec).at(theta), want, f"{matrix} stored as {storage}")
        applied += 1
    assert applied or name != "dense"


@pytest.mark.parametrize("name", NAMES)
def test_the_unit_of_a_covariance_moves_only_its_own_parameter(name):
    spec = problems.bound("clones")
    kind = likelihoods.get(name)
    if kind.cost(spec) is None:
        pytest.skip(f"the {name} likelihood says that it does not apply to clones")
    theta = thetas.points(spec)["inside"]
    want = Brute(spec, True).at(theta)
    A, labels = spec.terms[0].covariance.block(), spec.terms[0].covariance.labels
    for unit in (1e-3, 1e3):
        scaled = transform.with_covariance(spec, 0, kernels.known_dense(unit * A, labels))
        compare = kind(scaled).at(theta / np.array([unit, 1.0]))
        np.testing.assert_allclose(compare.loglik, want.loglik, rtol=1e-10, atol=0)
        np.testing.assert_allclose(compare.score / np.array([unit, 1.0]), want.score, rtol=1e-8, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize(
    "problem", ["slopes", "crossed_weights_offset", "families", "kinship_slopes", "features", "twins"]
)
@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_posterior_mean_and_covariance(name, problem):
    kind, spec = likelihoods.get(name), problems.bound(problem)
    if kind.cost(spec) is None:
        pytest.skip(f"the {name} likelihood says that it does not apply to {problem}")
    draw_checks(kind, spec)


@pytest.mark.parametrize("name", NAMES)
def test_draws_after_with_response_are_of_the_new_response(name):
    draw_checks(likelihoods.get(name), assemble.one_way(5, 4), draws=300, other_response=True)
