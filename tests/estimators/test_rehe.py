"""Restricted Haseman-Elston regression: the constrained minimum, exact zeros, errors of the unconstrained estimate."""

import itertools
import warnings

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, ConvergenceWarning
from mixedvc.estimators import HE, REHE
from mixedvc.estimators.moment_solve import Problem, non_negative
from mixedvc.inference.parameters import jacobian, par_slices
from mixedvc.testing import assemble, problems
from mixedvc.testing.compare import close
from mixedvc.testing.estimators import zero_between_groups
from mixedvc.testing.optimum import check_consistency, gradient_matrix, quiet
from tests.tolerances import COMPONENT, IDENTITY, OBJECTIVE

from .moment_brute import BruteMoments


def fit(spec, method="rehe", **options):
    with quiet():
        return mv.estimators.get(method)(**options).fit(spec, rng=np.random.default_rng(0))


def enumerated(S, q):
    """The minimum over θ ≥ 0 by trying every set of zeros."""
    best, where = np.inf, None
    for size in range(len(q) + 1):
        for free in itertools.combinations(range(len(q)), size):
            theta = np.zeros(len(q))
            if size:
                theta[list(free)] = np.linalg.solve(S[np.ix_(free, free)], q[list(free)])
            value = 0.5 * theta @ S @ theta - q @ theta
            if (theta >= 0).all() and value < best:
                best, where = value, theta
    return where


@pytest.mark.parametrize("seed", range(40))
def test_non_negative_least_squares_finds_the_best_set_of_zeros(seed):
    rng = np.random.default_rng(seed)
    m = 2 + seed % 4
    F = rng.standard_normal((m + 2, m))
    scale = 10.0 ** rng.uniform(-6, 6, m)
    S, q = F.T @ F, F.T @ rng.standard_normal(m + 2)
    got = non_negative(S * scale[:, None] * scale, q * scale)
    want = enumerated(S, q) / scale
    np.testing.assert_allclose(got, want, rtol=1e-9, atol=0)
    np.testing.assert_array_equal(got == 0, want == 0)


def test_non_negative_least_squares_of_nothing_is_nothing():
    assert not non_negative(np.eye(3), np.zeros(3)).any()
    assert not non_negative(np.eye(3), np.array([-1.0, -2.0, -0.1])).any()


def test_singular_equations_still_have_a_minimum():
    S = np.array([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0], [1.0, 1.0, 3.0]])
    theta = non_negative(S, S @ [0.5, 0.5, 1.0])
    np.testing.assert_allclose(S @ theta, S @ [0.5, 0.5, 1.0], rtol=1e-9)
    assert (theta >= 0).all()


def test_where_the_unconstrained_estimate_is_inside_it_is_the_estimate():
    spec = problems.bound("nested")
    free, got = fit(spec, "he"), fit(spec)
    np.testing.assert_allclose(got.theta, free.theta, **IDENTITY)
    assert not got.at_bound.any()
    assert not got.singular
    np.testing.assert_allclose(got.sampling.cov, free.sampling.cov, **OBJECTIVE)


@pytest.mark.parametrize("name", problems.names())
def test_the_estimate_satisfies_the_conditions_of_a_minimum_over_the_cone(name):
    spec = problems.bound(name)
    brute, got = BruteMoments(spec), fit(spec)
    check_consistency(spec, got, name)
    gradient = brute.q - brute.S @ got.theta  # of the objective to be maximised
    slopes, moves = jacobian(spec, got.par).T @ gradient, ~got.at_bound
    sizes = np.abs(jacobian(spec, got.par).T) @ np.abs(brute.q)
    for i, (term, Sigma) in enumerate(zip(spec.all_terms, spec.sigmas(got.theta), strict=True)):
        if term.structure.name not in ("us", "diag"):  # θ are not free one by one, the parameters are
            own = np.arange(len(got.par))[par_slices(spec)[i]]
            inner = own[moves[own]]
            assert (np.abs(slopes[inner]) < 1e-6 * sizes[inner]).all(), f"{name}: {term.name}"
            continue
        G = gradient_matrix(spec, gradient, i)
        size = np.sqrt([brute.S[j, j] for j, w in enumerate(spec.index) if w.term == i and w.a == w.b])
        unit = np.outer(size, size) ** 0.5 * np.abs(brute.q).max() / np.sqrt(np.diag(brute.S).max())
        scaled = G / unit
        if term.structure.name == "us":
            assert np.linalg.eigvalsh(Sigma)[0] >= -1e-12 * np.abs(Sigma).max()
            assert np.linalg.eigvalsh(scaled)[-1] < 1e-6, f"{name}: {term.name} could grow"
            in_units = Sigma * np.outer(size, size) ** 0.5 / size.max()
            assert np.abs(np.sum(scaled * in_units)) < 1e-6 * max(np.abs(in_units).max(), 1e-3)
        elif term.structure.name == "diag":
            slope, variances = np.diag(scaled), np.diag(Sigma)
            assert (variances >= 0).all()
            assert (slope < 1e-6).all()
            assert (np.abs(slope[variances > 0]) < 1e-6).all()


def test_a_zero_is_exact_and_flagged_and_warned_of():
    spec = zero_between_groups()
    with pytest.warns(BoundaryWarning, match="singular fit: a variance is zero or a correlation ±1 in g"):
        got = REHE().fit(spec)
    assert got.theta[0] == 0.0
    np.testing.assert_array_equal(got.at_bound, [True, False])
    assert got.singular
    np.testing.assert_allclose(got.theta[1], np.var(spec.y, ddof=1), **OBJECTIVE)


def test_errors_are_those_of_the_unconstrained_estimate_at_the_constrained_variances():
    spec = problems.bound("families")
    got, brute = fit(spec), BruteMoments(spec)
    assert got.theta[1] == 0.0
    np.testing.assert_allclose(got.sampling.centre, np.linalg.solve(brute.S, brute.q), **COMPONENT)
    assert got.sampling.centre[1] < 0
    close(got.sampling.cov, brute.sandwich(got.theta), "sandwich", rtol=1e-8)


def test_the_bootstrap_estimates_under_the_constraint():
    spec = problems.bound("families")
    draws = fit(spec, se="bootstrap", n_boot=200).sampling.draws
    assert (draws >= 0).all()
    assert 0.2 < (draws[:, 1] == 0).mean() < 0.9
    assert (fit(spec, "he", se="bootstrap", n_boot=200).sampling.draws[:, 1] < 0).any()


@pytest.mark.parametrize("seed", range(12))
def test_a_random_slope_is_estimated_over_the_cone_of_covariance_matrices(seed):
    """Against a projected-gradient minimisation of the same squares, which knows nothing of faces."""
    rng = np.random.default_rng(seed)
    group, x = np.repeat(np.arange(9), 5), np.tile(np.linspace(-1, 1, 5), 9)
    X = np.column_stack([np.ones(45), x])
    u = rng.standard_normal((9, 1)) @ rng.standard_normal((1, 2)) if seed % 2 else 0.3 * rng.standard_normal((9, 2))
    y = (X * u[group]).sum(axis=1) + rng.standard_normal(45)
    spec = assemble.spec(y, X, [assemble.term("g", group, basis=X)])
    brute, got = BruteMoments(spec), fit(spec)
    D = 1 / np.sqrt(np.diag(brute.S))
    rate = 1 / np.linalg.eigvalsh(brute.S * D[:, None] * D)[-1]

    def projected(theta):
        """The cone in units that make S well conditioned is not the cone: step in the user's units instead."""
        Sigma = np.array([[theta[0], theta[1]], [theta[1], theta[2]]])
        values, vectors = np.linalg.eigh(Sigma)
        P = (vectors * np.maximum(values, 0)) @ vectors.T
        return np.array([P[0, 0], P[0, 1], P[1, 1], max(theta[3], 0.0)])

    weight = np.array([1.0, 2.0, 1.0, 1.0])  # an off-diagonal entry counts twice in the norm of a matrix
    rate = 0.9 / np.linalg.eigvalsh(brute.S / np.sqrt(np.outer(weight, weight)))[-1]
    theta = momentum = np.array([1.0, 0.0, 1.0, 1.0])
    t = 1.0
    for _ in range(20000):
        after = projected(momentum + rate * (brute.q - brute.S @ momentum) / weight)
        t_after = 0.5 * (1 + np.sqrt(1 + 4 * t * t))
        momentum, theta, t = after + (t - 1) / t_after * (after - theta), after, t_after

    def value(theta):
        return brute.q @ theta - 0.5 * theta @ brute.S @ theta

    assert value(got.theta) >= value(theta) - 1e-10 * abs(value(theta))
    np.testing.assert_allclose(got.theta, theta, rtol=0, atol=2e-5 * np.abs(theta).max())


def test_an_ascent_that_cannot_end_says_so(monkeypatch):
    from mixedvc.estimators import moment_solve

    monkeypatch.setattr(moment_solve, "MAX_STEPS", 1)
    with pytest.warns(ConvergenceWarning, match="rehe did not converge: stopped after 1 iterations"):
        got = REHE().fit(problems.bound("kinship_slopes"))
    assert not got.converged


def test_another_right_hand_side_has_the_solution_of_its_own_equations():
    spec = problems.bound("families")
    brute = BruteMoments(spec)
    q = brute.q * [1.0, 0.5, 2.0]
    first = Problem(spec, brute.S, brute.q)
    np.testing.assert_array_equal(first.with_q(q).constrained().par, Problem(spec, brute.S, q).constrained().par)


# ---- simulation ------------------------------------------------------------------------------------------------


def family_spec(count, size, variances, rng, slope=False):
    """`count` families of `size`: a family effect (with a slope), a residual; true variances in the order of θ."""
    group, x = np.repeat(np.arange(count), size), np.tile(np.linspace(-1, 1, size), count)
    X = np.column_stack([np.ones(count * size), x])
    basis = X if slope else X[:, :1]
    term = assemble.term("g", group, basis=basis)
    spec = assemble.spec(np.zeros(len(x)), X, [term])
    Sigma = spec.sigmas(np.array(variances))[0]
    values, vectors = np.linalg.eigh(Sigma)
    root = vectors * np.sqrt(np.maximum(values, 0))

    def draw():
        u = rng.standard_normal((count, len(Sigma))) @ root.T
        y = (basis * u[group]).sum(axis=1) + np.sqrt(variances[-1]) * rng.standard_normal(len(x))
        return assemble.spec(y, X, [term])

    return draw


SIMULATED = {
    "interior": (False, [0.5, 1.0]),
    "a zero": (False, [0.0, 1.0]),
    "slopes": (True, [0.6, 0.2, 0.4, 1.0]),
    "a singular slope": (True, [0.5, 0.5, 0.5, 1.0]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SIMULATED)
def test_the_sandwich_is_the_covariance_of_repeated_estimates(case):
    """1,500 data sets; every variance of the sandwich at the truth within 3 Monte-Carlo errors (kurtosis measured)."""
    slope, variances = SIMULATED[case]
    draw = family_spec(40, 4, variances, np.random.default_rng(17), slope)
    specs = [draw() for _ in range(1500)]
    theta = np.array([HE(se="none").fit(spec).theta for spec in specs])
    want = BruteMoments(specs[0]).sandwich(np.array(variances))
    centred = theta - np.array(variances)
    error = np.std(theta, axis=0, ddof=1) / np.sqrt(len(theta))
    assert (np.abs(centred.mean(axis=0)) < 3 * error).all()
    products = np.einsum("bi,bj->bij", centred, centred)
    monte_carlo = products.std(axis=0, ddof=1) / np.sqrt(len(theta))
    assert (np.abs(products.mean(axis=0) - want) < 3 * monte_carlo).all()
    # and the estimated one is right on average, a little large at a zero, where the variances put in are never negative
    estimated = np.array([np.diag(HE().fit(spec).sampling.cov) for spec in specs[:300]])
    ratio = np.sqrt(estimated).mean(axis=0) / np.sqrt(np.diag(want))
    assert (np.abs(ratio - 1) < 0.1).all(), ratio


@pytest.mark.slow
@pytest.mark.parametrize("variances", [[0.5, 0.5], [0.0, 1.0]])
def test_intervals_of_200_families_cover_what_they_say(variances):
    """2,000 data sets of 200 families of 4: coverage 93 to 97 % (Monte-Carlo error 0.5 %), at a true zero too."""
    draw = family_spec(200, 4, variances, np.random.default_rng(23))
    covered = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        for _ in range(2000):
            got = REHE().fit(draw())
            half = 1.959964 * np.sqrt(np.diag(got.sampling.cov))
            covered.append(np.abs(got.sampling.centre - variances) <= half)
    rate = np.mean(covered, axis=0)
    assert ((rate > 0.93) & (rate < 0.97)).all(), rate
