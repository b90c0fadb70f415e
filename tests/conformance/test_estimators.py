"""Every registered estimator keeps the contract; maximisers of one criterion reach its maximum, the same one."""

import dataclasses
from functools import cache

import numpy as np
import pytest

from mixedvc.errors import BoundaryWarning, ConvergenceWarning
from mixedvc.estimators import estimators
from mixedvc.testing import assemble, fits, kernels, problems, thetas
from mixedvc.testing import estimators as conformance
from mixedvc.testing.brute import Brute
from mixedvc.testing.checks import balanced_one_way, zero_is_zero
from mixedvc.testing.optimum import check_consistency, check_nothing_higher_nearby, check_optimum, quiet
from tests.tolerances import COMPONENT, IDENTITY, OBJECTIVE

NAMES = estimators.names()
POINT = [name for name in NAMES if "draws" not in estimators.get(name).provides]
MAXIMISERS = [name for name in POINT if "loglik" in estimators.get(name).provides]
SPECS = dict(conformance.default_specs())
# what is drawn again and again is drawn less often here: the contract does not depend on how often
FEWER_DRAWS = {"n_subsamples": 10, "n_boot": 20}
TO_THE_END = {"tol": 1e-16}  # default tolerances stop where θ may be 1e-5 of its size away


def to_the_end(name):
    """The option by which an iteration goes on until nothing is left to gain."""
    return TO_THE_END if name in MAXIMISERS else {}


def chooses(name):
    """Whether the estimator maximises either criterion, by its option `restricted`."""
    return "restricted" in {f.name for f in dataclasses.fields(estimators.get(name))}


def made(name, reml=None, **options):
    """The estimator with fewer draws where it draws, of the criterion asked for where it can choose."""
    kind = estimators.get(name)
    known = {f.name for f in dataclasses.fields(kind)}
    options |= {key: value for key, value in FEWER_DRAWS.items() if key in known}
    return kind(**options, restricted=reml) if reml is not None and chooses(name) else kind(**options)


CRITERIA = [
    (n, reml) for n in MAXIMISERS for reml in ((True, False) if chooses(n) else (estimators.get(n).restricted,))
]
ITERATIONS = [
    (n, reml) for n, reml in CRITERIA if "accelerate" in {f.name for f in dataclasses.fields(estimators.get(n))}
]
maximisers = pytest.mark.parametrize(
    ("name", "reml"), CRITERIA, ids=[f"{n}-{'REML' if r else 'ML'}" for n, r in CRITERIA]
)
iterations = pytest.mark.parametrize(
    ("name", "reml"), ITERATIONS, ids=[f"{n}-{'REML' if r else 'ML'}" for n, r in ITERATIONS]
)


def test_every_kind_of_estimator_is_among_those_tested():
    assert {"reml", "ml", "fisher", "mm", "em", "pxem"} <= set(MAXIMISERS)
    assert {"he", "rehe", "rerehe"} <= set(POINT) - set(MAXIMISERS)
    assert {name for name, _ in ITERATIONS} >= {"mm", "em", "pxem"}


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", POINT)
def test_every_estimator_keeps_the_contract(name, spec):
    done = conformance.estimator_checks(made(name, **to_the_end(name)), [(spec, SPECS[spec])])
    assert len(done) >= 13


@cache
def maximum(problem, reml):
    """Newton's estimate with nothing left to gain."""
    with quiet():
        return estimators.get("reml" if reml else "ml")(**TO_THE_END).fit(problems.bound(problem))


def agrees(spec, estimate, want, where):
    """One maximum: log-likelihoods to 1e-9, θ to 1e-6 of its size, the same parameters at a bound."""
    gap = abs(estimate.loglik - want.loglik)
    assert gap <= 1e-9 * (abs(want.loglik) + spec.n), f"{where}: loglik {estimate.loglik!r}, {want.loglik!r} by Newton"
    fits.same(spec, estimate.theta, want.theta, f"{where}: theta")
    np.testing.assert_array_equal(estimate.theta == 0, want.theta == 0, err_msg=where)
    np.testing.assert_array_equal(estimate.at_bound, want.at_bound, err_msg=where)


@pytest.mark.parametrize("problem", problems.names())
@maximisers
def test_every_maximiser_reaches_the_one_maximum_of_every_problem(name, reml, problem):
    spec = problems.bound(problem)
    with quiet():
        estimate = made(name, reml, **TO_THE_END).fit(spec)
    check_consistency(spec, estimate, problem)
    check_optimum(spec, estimate, problem)
    check_nothing_higher_nearby(spec, estimate, problem)
    agrees(spec, estimate, maximum(problem, reml), problem)


def weighted_model(kind, weighted, amplitude, seed):
    """One kernel of a kind and a crossed factor, weights of three orders, variances inside or at zero."""
    rng = np.random.default_rng(seed)
    labels = np.array([f"l{j:02d}" for j in range(14)], dtype=object)
    covariance = kernels.covariance(kind, labels, rng)
    code, other, w = rng.integers(0, 14, 45), rng.integers(0, 5, 45), 10.0 ** rng.uniform(-1.5, 1.5, 45)
    u = covariance.draw(rng, 1)[:, 0]
    e = rng.standard_normal(45) / (np.sqrt(w) if weighted else 1.0)
    terms = [assemble.term("l", labels[code], covariance=covariance), assemble.term("g", other)]
    y = amplitude * (u[code] + rng.standard_normal(5)[other]) + e
    X = np.column_stack([np.ones(45), rng.standard_normal(45)])
    return assemble.spec(y, X, terms, weights=w if weighted else None)


@pytest.mark.parametrize("kind", kernels.KINDS)
@maximisers
def test_maximisers_agree_for_every_covariance_with_weights_inside_and_at_zero(name, reml, kind):
    inside = zeros = 0
    for weighted in (False, True):
        for amplitude in (0.0, 2.0):
            for seed in (0, 1):
                spec = weighted_model(kind, weighted, amplitude, seed)
                with quiet():
                    want = estimators.get("reml" if reml else "ml")(**TO_THE_END).fit(spec)
                    estimate = made(name, reml, **TO_THE_END).fit(spec)
                where = f"{kind}, weights {weighted}, amplitude {amplitude}, seed {seed}"
                check_optimum(spec, estimate, where)
                agrees(spec, estimate, want, where)
                zeros, inside = zeros + want.singular, inside + (not want.singular)
    assert inside > 1
    assert zeros > 1


def given_at(spec, theta):
    """`start=` of θ: a matrix or variance a term, the parameters of a pattern."""
    out = {}
    for term, Sigma in zip(spec.all_terms, spec.sigmas(theta), strict=True):
        key = "residual" if term is spec.residual else term.name
        if term.structure.linear:
            out[key] = Sigma if term.k > 1 else float(Sigma[0, 0])
        else:
            out[key] = term.structure.start(Sigma)
    return out


@pytest.mark.parametrize("problem", problems.names())
@iterations
def test_one_plain_update_from_anywhere_inside_rises(name, reml, problem):
    """An update that would fall is refused by the iteration, which then stays where it is."""
    spec = problems.bound(problem)
    brute = Brute(spec, reml)
    for where in ("inside", "inside too", "small residual"):
        theta = thetas.points(spec)[where]
        with quiet():
            after = made(name, reml, accelerate=None, max_iter=1, start=given_at(spec, theta)).fit(spec)
        before = brute.at(theta).loglik
        assert after.loglik > before, f"{where}: {before!r} to {after.loglik!r}"
        assert [row.accepted for row in after.trace] == [True, True], f"{where}: {after.trace}"


@pytest.mark.parametrize("problem", problems.names())
@iterations
def test_plain_iterations_never_fall(name, reml, problem):
    spec = problems.bound(problem)
    start = given_at(spec, thetas.points(spec)["inside"])
    with quiet():
        estimate = made(name, reml, accelerate=None, max_iter=100, start=start).fit(spec)
    values = np.array([row.loglik for row in estimate.trace if row.accepted])
    assert len(values) > 5
    assert np.diff(values).min() >= -1e-10 * (abs(values[-1]) + spec.n)


@pytest.mark.parametrize(
    "problem",
    [
        "twins",
        *(
            pytest.param(problem, marks=pytest.mark.slow)
            for problem in ("slopes", "autoregressive", "kinship_slopes", "crossed_weights_offset")
        ),
    ],
)
@pytest.mark.parametrize("name", POINT)
def test_rows_terms_units_and_likelihoods_change_no_estimate(name, problem):
    estimator, spec = made(name, **to_the_end(name)), problems.bound(problem)
    for check in conformance.checks_for(estimator):
        check(estimator, problem, spec)


@maximisers
@pytest.mark.parametrize("seed", [1, 3, 4])
def test_a_balanced_one_way_layout_gives_the_anova_estimates(name, reml, seed):
    balanced_one_way(made(name, reml), reml, seed=seed)


@maximisers
def test_equal_group_means_give_an_exact_zero(name, reml):
    zero_is_zero(made(name, reml), reml)


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


@maximisers
def test_without_any_variance_between_groups_the_fit_is_least_squares(name, reml):
    spec = conformance.zero_between_groups()
    with quiet():
        estimate = made(name, reml).fit(spec)
    evaluation = Brute(spec, reml).at(estimate.theta)
    beta, rss = np.linalg.lstsq(spec.X, spec.y, rcond=None)[:2]
    np.testing.assert_allclose(evaluation.beta, beta, **IDENTITY)
    df = spec.n - (spec.p if reml else 0)
    np.testing.assert_allclose(estimate.theta[1], rss[0] / df, **COMPONENT)
    plain = -0.5 * (df * np.log(2 * np.pi * rss[0] / df) + df)
    if reml:
        plain -= 0.5 * np.linalg.slogdet(spec.X.T @ spec.X)[1]
    np.testing.assert_allclose(estimate.loglik, plain, **OBJECTIVE)


@pytest.mark.parametrize("name", POINT)
def test_everything_held_is_evaluated_and_not_moved(name):
    spec = SPECS["one way"]
    estimate = made(name, fixed_varcomp={"g": 20.0, "residual": 40.0}).fit(spec)
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


def reaches(name, reml, seeds):
    failed = []
    for seed in seeds:
        spec = random_model(seed)
        with quiet():
            estimate = made(name, reml).fit(spec)
        try:
            check_consistency(spec, estimate, f"seed {seed}")
            check_optimum(spec, estimate, f"seed {seed}")
        except AssertionError as wrong:
            failed.append(str(wrong))
    return failed


@maximisers
def test_random_models_reach_their_maximum(name, reml):
    assert reaches(name, reml, range(30 if name in ("reml", "ml", "fisher") else 6)) == []


@pytest.mark.slow
@maximisers
def test_many_random_models_reach_their_maximum(name, reml):
    assert reaches(name, reml, range(100, 400 if name in ("reml", "ml", "fisher") else 140)) == []


SINGULAR = {
    "intercepts only": [[1.0, 0.0], [0.0, 0.0]],
    "slopes only": [[0.0, 0.0], [0.0, 0.3]],
    "correlation one": [[1.0, 0.5], [0.5, 0.25]],
    "correlation minus one": [[1.0, -0.5], [-0.5, 0.25]],
    "nothing": [[0.0, 0.0], [0.0, 0.0]],
}


@pytest.mark.parametrize("singular", SINGULAR)
@pytest.mark.parametrize("name", MAXIMISERS)
def test_a_singular_start_is_left_for_the_maximum_inside(name, singular):
    spec, estimator = problems.bound("slopes"), estimators.get(name)()
    want = estimator.fit(spec)
    assert not want.singular
    estimate = dataclasses.replace(estimator, start={"id": np.array(SINGULAR[singular])}).fit(spec)
    check_consistency(spec, estimate, singular)
    check_optimum(spec, estimate, singular)
    np.testing.assert_allclose(estimate.loglik, want.loglik, **OBJECTIVE)


@pytest.mark.parametrize("name", MAXIMISERS)
def test_a_scalar_start_at_zero_is_left_for_the_maximum_inside(name):
    spec, estimator = problems.bound("crossed_weights_offset"), estimators.get(name)()
    want = estimator.fit(spec)
    assert not want.singular
    estimate = dataclasses.replace(estimator, start={"a": 0.0, "b": 0.0}).fit(spec)
    check_optimum(spec, estimate, "zero start")
    np.testing.assert_allclose(estimate.loglik, want.loglik, **OBJECTIVE)


@pytest.mark.parametrize("seed", [7, 197, 298])
@pytest.mark.parametrize("name", MAXIMISERS)
def test_a_saddle_of_a_pattern_without_variance_is_left(name, seed):
    """Noise; a variance of the pattern touches zero, where its correlation has no slope but the criterion can rise."""
    rng = np.random.default_rng(seed)
    basis = np.column_stack([np.ones(40), rng.standard_normal(40)])
    terms = [
        assemble.term("g", rng.integers(0, 8, 40), basis=basis, structure="cs"),
        assemble.term("h", rng.integers(0, 6, 40)),
    ]
    spec = assemble.spec(rng.standard_normal(40), np.ones((40, 1)), terms)
    with quiet():
        estimate = estimators.get(name)().fit(spec)
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


@pytest.mark.parametrize("reml", [True, False])
def test_em_divides_by_the_rank_of_features_not_by_their_individuals(reml):
    """θ + θ²(quad − trace)/rank(ZAZᵀ): by fewer it may fall, by more it crawls."""
    spec = problems.bound("features")
    theta = thetas.points(spec)["inside"]
    at = Brute(spec, reml).at(theta)
    rank = np.linalg.matrix_rank(at.model.patterns[0])
    assert rank < spec.terms[0].q
    want = theta + theta**2 * (at.quad - at.trace) / np.array([rank, spec.n])
    with quiet():
        after = made("em", reml, accelerate=None, max_iter=1, start=given_at(spec, theta)).fit(spec)
    np.testing.assert_allclose(after.theta, want, **OBJECTIVE)
