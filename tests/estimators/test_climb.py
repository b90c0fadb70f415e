"""EM, PX-EM, MM and Fisher scoring: one optimum, monotone updates, exact zeros, starts, extrapolation, memory."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from scipy.optimize import minimize

import mixedvc as mv
from mixedvc.errors import ConvergenceWarning, OptionError
from mixedvc.estimators import EM, ML, MM, PXEM, REML, Fisher
from mixedvc.estimators.charts import chart_for, face_at
from mixedvc.estimators.faces import turned
from mixedvc.estimators.squarem import extrapolated
from mixedvc.estimators.start import units_of
from mixedvc.estimators.surrogate import effects_met, look, lowered
from mixedvc.likelihood import choose
from mixedvc.structures import make
from mixedvc.testing import assemble, kernels, problems
from mixedvc.testing.brute import Brute, design_matrix
from mixedvc.testing.optimum import check_consistency, check_optimum, quiet

from ..tolerances import COMPONENT, IDENTITY, OBJECTIVE
from .test_newton import Interrupted

SLOW = {"mm": MM, "em": EM, "pxem": PXEM}
FAMILY = {**SLOW, "fisher": Fisher}


def fitted(estimator, spec, **options):
    with quiet():
        return estimator.fit(spec, **options)


def sizes(spec, theta):
    """√(Σ_aa Σ_bb), at least a hundredth of the response's variance in the units of the effects."""
    unit = [np.var(spec.response) / np.mean(t.basis**2, axis=0) for t in spec.all_terms]
    sds = [np.sqrt(np.maximum(np.diag(S), 0.01 * u)) for S, u in zip(spec.sigmas(theta), unit, strict=True)]
    return np.array([sds[w.term][w.a] * sds[w.term][w.b] for w in spec.index])


def apart(spec, got, want):
    """Squared distance in standard errors: what the likelihood can tell of a difference in θ."""
    gap = got.theta - want.theta
    return gap @ Brute(spec, bool(want.reml)).at(want.theta).expected_information @ gap


# ---- one optimum --------------------------------------------------------------------------------------------------


def with_kernel(kind, weighted, boundary):
    """Twelve levels of three rows and a crossed factor; at the boundary the rows of a level have mean zero."""
    rng = np.random.default_rng(kernels.KINDS.index(kind) + 10 * weighted)
    labels = np.array([f"l{i:02d}" for i in range(12)], dtype=object)
    code, other = np.repeat(np.arange(12), 3), rng.integers(0, 5, 36)
    covariance = kernels.covariance(kind, labels, rng)
    u, e = covariance.draw(rng)[:, 0], rng.standard_normal(36)
    weights = np.repeat(rng.uniform(0.5, 2.0, 12), 3) if weighted else None
    if boundary:
        e -= (np.add.reduceat(e, np.arange(0, 36, 3)) / 3)[code]
        terms = [assemble.term("k", labels[code], covariance=covariance)]
        return assemble.spec(5.0 + e, np.ones((36, 1)), terms, weights=weights)
    terms = [assemble.term("k", labels[code], covariance=covariance), assemble.term("h", other)]
    y = 5.0 + 2.5 * u[code] + rng.standard_normal(5)[other] + e
    return assemble.spec(y, np.column_stack([np.ones(36), rng.standard_normal(36)]), terms, weights=weights)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("boundary", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", kernels.KINDS)
def test_all_iterations_agree_for_every_kind_of_covariance(kind, weighted, boundary, restricted):
    spec = with_kernel(kind, weighted, boundary)
    want = fitted((REML if restricted else ML)(tol=1e-14), spec)
    assert (want.theta[0] == 0.0) >= boundary
    for name, cls in FAMILY.items():
        got = fitted(cls(restricted=restricted), spec)
        assert got.converged, name
        assert abs(got.loglik - want.loglik) <= 1e-9 * abs(want.loglik), name
        assert np.all(np.abs(got.theta - want.theta) <= 1e-6 * sizes(spec, want.theta)), (name, got.theta, want.theta)
        np.testing.assert_array_equal(got.at_bound, want.at_bound, err_msg=name)


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("problem", problems.names())
def test_all_iterations_agree_on_every_problem(problem, restricted):
    spec = problems.bound(problem)
    want = fitted((REML if restricted else ML)(tol=1e-14), spec)
    for name, cls in FAMILY.items():
        got = fitted(cls(restricted=restricted), spec)
        assert got.converged, name
        assert abs(got.loglik - want.loglik) <= 1e-9 * abs(want.loglik), name
        assert apart(spec, got, want) < 1e-12, (name, got.theta, want.theta)


STRUCTURES = [
    ("us", ()),
    ("diag", ()),
    ("cs", (("hom", True),)),
    ("cs", (("hom", False),)),
    ("ar1", (("hom", True),)),
    ("ar1", (("hom", False),)),
]


def conditions(structure, truth, seed, groups=14):
    """Three conditions of every group, twice; effects with covariance `truth`."""
    rng = np.random.default_rng(seed)
    group, f = np.repeat(np.arange(groups), 6), np.tile([0, 0, 1, 1, 2, 2], groups)
    values, vectors = np.linalg.eigh(np.array(truth))
    u = rng.standard_normal((groups, 3)) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    y = u[group, f] + 0.5 * rng.standard_normal(len(f))
    term = assemble.term("g", group, basis=np.eye(3)[f], structure=structure)
    return assemble.spec(y, np.ones((len(y), 1)), [term])


TRUTHS = {
    "inside": [[1.0, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 1.0]],
    "equal effects": np.ones((3, 3)),
    "unequal effects, correlation one": np.outer([1.0, 2.0, 0.5], [1.0, 2.0, 0.5]),
    "one without variance": np.diag([1.0, 1.5, 0.0]),
    "nothing": np.zeros((3, 3)),
}


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize(("name", "options"), STRUCTURES)
def test_all_iterations_agree_for_every_structure_and_at_its_edges(name, options, truth):
    spec = conditions(make(name, 3, options), TRUTHS[truth], seed=5)
    want = fitted(REML(tol=1e-14), spec)
    for method, cls in FAMILY.items():
        got = fitted(cls(), spec)
        check_consistency(spec, got, method)
        check_optimum(spec, got, method)
        assert abs(got.loglik - want.loglik) <= 1e-9 * abs(want.loglik), (method, got.loglik - want.loglik)
        # steps that shrink by a factor of .99 stop 1e-10 short of the maximum at a decrement of 1e-14
        assert apart(spec, got, want) < 1e-10, (method, got.theta, want.theta)
        np.testing.assert_array_equal(got.at_bound, want.at_bound, err_msg=method)


# ---- monotone updates ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("problem", problems.names())
@pytest.mark.parametrize("name", SLOW)
def test_the_plain_iteration_never_falls(name, problem, restricted):
    spec = problems.bound(problem)
    fit = fitted(SLOW[name](accelerate=None, restricted=restricted, max_iter=40), spec)
    values = np.array([row.loglik for row in fit.trace if row.accepted])
    assert np.all(np.diff(values) >= -1e-10 * abs(values[-1]))
    left = [row for row in fit.trace if not row.accepted]
    assert all(row.loglik < fit.loglik for row in left)


@pytest.mark.parametrize("truth", TRUTHS)
@pytest.mark.parametrize(("structure", "options"), STRUCTURES)
@pytest.mark.parametrize("name", SLOW)
def test_one_update_from_anywhere_does_not_fall(name, structure, options, truth):
    spec, rng = conditions(make(structure, 3, options), TRUTHS[truth], seed=6), np.random.default_rng(7)
    for _ in range(3):
        root = rng.standard_normal((3, 4))
        term = spec.terms[0].structure
        start = {"g": term.build(term.start(root @ root.T / 4)), "residual": rng.uniform(0.1, 2.0)}
        fit = fitted(SLOW[name](accelerate=None, start=start, max_iter=1), spec)
        values = [row.loglik for row in fit.trace if row.accepted]
        assert len(values) == 2
        assert values[1] > values[0]


def test_with_extrapolation_a_cycle_does_not_fall_and_the_optimum_is_the_same():
    spec = problems.bound("crossed_weights_offset")
    for cls in SLOW.values():
        plain, squared = fitted(cls(accelerate=None), spec), fitted(cls(), spec)
        values = np.array([row.loglik for row in squared.trace if row.accepted])
        assert np.all(np.diff(values) >= -1e-10 * abs(values[-1]))
        np.testing.assert_allclose(squared.theta, plain.theta, **COMPONENT)
        assert squared.extra["updates"] < plain.extra["updates"]


def test_extrapolation_saves_most_of_the_updates():
    rng = np.random.default_rng(8)
    ids = np.array([f"i{i:03d}" for i in range(120)], dtype=object)
    K, L = (B @ B.T / 240 for B in rng.standard_normal((2, 120, 240)))
    y = np.linalg.cholesky(0.4 * K + 0.3 * L + 0.3 * np.eye(120)) @ rng.standard_normal(120)
    terms = [assemble.term(n, ids, covariance=kernels.known_dense(A, ids)) for n, A in (("k", K), ("l", L))]
    spec = assemble.spec(y, np.ones((120, 1)), terms)
    plain, squared = fitted(MM(accelerate=None), spec), fitted(MM(), spec)
    np.testing.assert_allclose(squared.loglik, plain.loglik, **OBJECTIVE)
    assert 5 * squared.extra["updates"] <= plain.extra["updates"]


@pytest.mark.parametrize("rate", [0.5, 0.9, 0.999])
def test_a_sequence_with_one_rate_is_extrapolated_to_its_limit(rate):
    structure, limit = make("us", 1), 1.3

    def chart(power):
        return [chart_for(structure, np.array([[(limit + 0.7 * rate**power) ** 2]]))]

    found, length = extrapolated(chart(0), chart(1), chart(2), reach=1e6)
    np.testing.assert_allclose(found[0].sigma(found[0].q), limit**2, rtol=1e-8, atol=0)
    np.testing.assert_allclose(length, 1 / (1 - rate), rtol=1e-8, atol=0)


# ---- the M steps --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["em", "mm"])
@pytest.mark.parametrize(("name", "options"), STRUCTURES)
def test_the_m_step_of_a_structure_is_the_minimum_of_its_surrogate(name, options, kind):
    rng = np.random.default_rng(9)
    structure = make(name, 3, options)
    M, N = (B @ B.T + 0.3 * np.eye(3) for B in rng.standard_normal((2, 3, 5)))
    M, a = (np.zeros((3, 3)), 7.0) if kind == "em" else (M, 0.0)

    def surrogate(par):
        if np.any(par < structure.bounds()[0]) or np.any(par > structure.bounds()[1]):
            return 1e6
        Sigma = structure.build(par)
        if np.linalg.eigvalsh(Sigma)[0] < 1e-9:
            return 1e6
        return a * np.linalg.slogdet(Sigma)[1] + np.sum(M * Sigma) + np.trace(np.linalg.solve(Sigma, N))

    chart = chart_for(structure, np.eye(3) + 0.2)
    for _ in range(40):
        chart = lowered(chart, np.full(3, a), M, N)
    reached = chart.sigma(chart.q)
    start = structure.start(reached)
    starts = [start, structure.start(np.eye(3) * 2 + 0.3)]
    options = {"xatol": 1e-10, "fatol": 1e-12, "maxiter": 20_000, "maxfev": 20_000}
    best = min((minimize(surrogate, s, method="Nelder-Mead", options=options) for s in starts), key=lambda r: r.fun)
    np.testing.assert_allclose(surrogate(start), best.fun, rtol=1e-9, atol=0)
    np.testing.assert_allclose(reached, structure.build(best.x), rtol=0, atol=2e-5)


def test_em_counts_the_effects_that_a_root_of_a_needs():
    rng = np.random.default_rng(10)
    labels = np.array([f"l{i}" for i in range(9)], dtype=object)
    low = assemble.term("k", np.tile(labels, 2), covariance=kernels.covariance("low rank", labels, rng))
    np.testing.assert_array_equal(effects_met(low), [3.0])
    np.testing.assert_array_equal(effects_met(assemble.residual(18)), [18.0])
    basis = np.column_stack([np.ones(18), np.r_[np.ones(4), np.zeros(14)]])
    diag = assemble.term("d", np.repeat(labels, 2), basis=basis, structure="diag")
    np.testing.assert_array_equal(effects_met(diag), [9.0, 2.0])
    np.testing.assert_array_equal(effects_met(assemble.term("u", np.repeat(labels, 2), basis=basis)), [9.0, 9.0])


# ---- singular Σ turn ----------------------------------------------------------------------------------------------


def rank_one_spec():
    rng = np.random.default_rng(3)
    groups, x = np.repeat(np.arange(12), 6), np.tile(np.linspace(-1, 1, 6), 12)
    y = (1.0 + 0.5 * x) * rng.standard_normal(12)[groups] + 0.3 * rng.standard_normal(72)
    X = np.column_stack([np.ones(72), x])
    return assemble.spec(y, X, [assemble.term("g", groups.astype(str), basis=X)])


@pytest.mark.parametrize("accelerate", ["squarem", None])
@pytest.mark.parametrize("name", SLOW)
def test_a_wrong_range_is_turned_to_the_right_one(name, accelerate):
    spec = rank_one_spec()
    want = fitted(REML(tol=1e-14), spec)
    wrong = np.outer([1.0, -0.8], [1.0, -0.8])
    got = fitted(SLOW[name](start={"g": wrong, "residual": 0.1}, accelerate=accelerate), spec)
    assert got.singular
    assert got.converged
    np.testing.assert_allclose(got.theta, want.theta, **COMPONENT)


@pytest.mark.parametrize("origin", [0.0, 2.0])
@pytest.mark.parametrize("reml", [True, False])
def test_a_turn_lies_on_the_bound_that_it_minimises(reml, origin):
    spec = rank_one_spec()
    term = spec.terms[0]
    spec = dataclasses.replace(spec, terms=(dataclasses.replace(term, basis=term.basis + np.array([0.0, origin])),))
    likelihood = choose(spec, reml=reml, name="dense")[0]
    units = units_of(spec, 1.0)
    structure, b = spec.terms[0].structure, np.array([0.9, -0.4])
    charts = [face_at(structure, np.outer(b, b), 1e-12), chart_for(spec.residual.structure, np.array([[0.3]]))]
    theta = spec.theta([units.up(i, c.sigma(c.q)) for i, c in enumerate(charts)])
    at = likelihood.at(theta)
    seen = look(spec, units, at, charts, [effects_met(t) for t in spec.all_terms])
    B = turned(spec, units, at, seen)[0].B[:, 0]
    B = B * np.sign(B @ b)

    def loglik(c):
        return likelihood.at(
            spec.theta([units.up(0, np.outer(c, c)), units.up(1, charts[1].sigma(charts[1].q))])
        ).loglik

    # the minimum of the bound, from explicit designs: (M + G)(B − b) = (Q − M) b
    scaled = np.sqrt(units.variance) * units.transform(0)
    Z = [sum(scaled[a, c] * design_matrix(spec.terms[0], a) for a in range(2)) for c in range(2)]
    effects = sum(b[a] * Z[a].T @ at.Py for a in range(2))
    g = np.column_stack([Z[a] @ effects for a in range(2)])
    move = np.linalg.solve(seen[0].M + g.T @ g / theta[-1], (seen[0].Q - seen[0].M) @ b)
    np.testing.assert_allclose(B, b + move, rtol=1e-9, atol=0)

    # the bound: ℓ(b) + slope·(c − b) − ½ (c − b)ᵀ H (c − b) ≤ ℓ(c), its maximum at B
    S = seen[0].Q - seen[0].M
    rise = 0.5 * float((B - b) @ S @ b)
    assert loglik(B) >= loglik(b) + rise > loglik(b)
    for step in np.random.default_rng(1).standard_normal((20, 2)) * 1e-4:
        slope = (loglik(b + step) - loglik(b - step)) / 2
        np.testing.assert_allclose(slope, S @ b @ step, rtol=0, atol=1e-8)


def two_samples_without_noise(seed):
    """Two samples on one kernel, effects of correlation one; samples may have no residual variance."""
    rng = np.random.default_rng(seed)
    labels = np.array([f"l{i:02d}" for i in range(14)], dtype=object)
    W = rng.standard_normal((14, 20))
    K = W @ W.T / 20
    u = np.linalg.cholesky(K) @ rng.standard_normal(14)
    first, second = np.tile(np.arange(7), 2), np.arange(7, 14)
    code, sample = np.r_[first, second], np.r_[np.zeros(14, int), np.ones(7, int)]
    y = np.array([1.0, 0.6])[sample] * u[code] + np.array([0.5, 0.0])[sample] * rng.standard_normal(21)
    term = assemble.term("k", labels[code], basis=np.eye(2)[sample], covariance=kernels.known_dense(K, labels))
    spec = assemble.spec(y, np.eye(2)[sample], [term])
    residual = dataclasses.replace(
        spec.residual, effects=("a", "b"), basis=np.eye(2)[sample], structure=make("diag", 2)
    )
    return dataclasses.replace(spec, residual=residual)


def test_effects_of_rows_without_noise_are_turned_too():
    at_a_corner = 0
    for seed in range(8):
        spec = two_samples_without_noise(seed)
        want = fitted(REML(tol=1e-15), spec)
        at_a_corner += bool(want.at_bound[1] and want.at_bound[3:].any())
        for name, cls in SLOW.items():
            got = fitted(cls(), spec)
            check_consistency(spec, got, f"{seed}, {name}")
            assert got.loglik > want.loglik - 1e-9, (seed, name, got.loglik - want.loglik, got.message)
    assert at_a_corner >= 2


# ---- starts, held components, ends --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("start", [{"a": 0.0, "b": 0.0}, {"a": 1e3, "b": 1e-6, "residual": 50.0}])
def test_a_start_at_zero_or_far_away_ends_at_the_maximum(name, start):
    spec = problems.bound("crossed_weights_offset")
    want = fitted(REML(tol=1e-14), spec)
    assert not want.singular
    got = FAMILY[name](start=start).fit(spec)
    np.testing.assert_allclose(got.theta, want.theta, **COMPONENT)


SINGULAR = [[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.3]], [[1.0, 0.5], [0.5, 0.25]], [[0.0, 0.0], [0.0, 0.0]]]


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("start", SINGULAR)
def test_a_singular_start_is_left_for_the_maximum_inside(name, start):
    spec = problems.bound("slopes")
    got = FAMILY[name](start={"id": start}).fit(spec)
    np.testing.assert_allclose(got.theta, REML(tol=1e-14).fit(spec).theta, **COMPONENT)


@pytest.mark.parametrize("name", SLOW)
def test_a_plain_iteration_that_has_not_arrived_says_how_far_it_is(name):
    spec = problems.bound("families")
    with pytest.warns(ConvergenceWarning, match=r"stopped after 5 updates \(decrement \d.*, tol 1.0e-14\)"):
        fit = SLOW[name](accelerate=None, max_iter=5).fit(spec)
    assert not fit.converged
    assert fit.extra["updates"] == 5
    np.testing.assert_allclose(fit.trace[-1].theta, fit.theta, **IDENTITY)
    gap = fitted(REML(), spec).loglik - fit.loglik
    assert 0.1 * fit.trace[-1].decrement < 2.0 * gap < 10.0 * fit.trace[-1].decrement


@pytest.mark.parametrize("name", SLOW)
def test_an_interrupted_iteration_keeps_what_it_has(name):
    spec = problems.bound("families")
    likelihood = choose(spec)[0]
    with pytest.warns(ConvergenceWarning, match=r"interrupted after [1-9]\d* updates"):
        fit = SLOW[name]().fit(spec, likelihood=Interrupted(likelihood, 12))
    assert not fit.converged
    np.testing.assert_allclose(fit.loglik, likelihood.at(fit.theta).loglik, **OBJECTIVE)
    assert fit.loglik > fit.trace[0].loglik


@pytest.mark.parametrize("name", SLOW)
def test_the_trace_holds_every_evaluation(name):
    spec = problems.bound("factor_unstructured")
    fit = fitted(SLOW[name](), spec)
    assert len(fit.trace) == fit.n_evaluations
    likelihood = choose(spec)[0]
    for row in fit.trace:
        np.testing.assert_allclose(row.loglik, likelihood.at(row.theta).loglik, **OBJECTIVE)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("tol", 0.0, "positive number"),
        ("max_iter", 0, "at least one iteration"),
        ("restricted", "yes", "True .REML. or False"),
        ("accelerate", "anderson", "'anderson' is not one of 'squarem' or None"),
    ],
)
def test_options_outside_their_domain_are_refused(name, option, value, message):
    if option not in {f.name for f in dataclasses.fields(FAMILY[name])}:
        pytest.skip(f"{name} has no {option}")
    with pytest.raises(OptionError, match=message):
        FAMILY[name](**{option: value})


def test_one_kernel_is_iterated_on_its_spectrum_and_results_know_the_rest():
    data, cov = mv.load_data("penicillin"), None
    fit = mv.fit("diameter ~ 1 + (1 | plate)", data, cov=cov, method="mm", restricted=False)
    want = mv.fit("diameter ~ 1 + (1 | plate)", data, method="ml")
    assert fit.estimate.likelihood == "spectral"
    assert fit.estimate.reml is False
    np.testing.assert_allclose(fit.llf, want.llf, **OBJECTIVE)
    np.testing.assert_allclose(fit.bse, want.bse, rtol=1e-6, atol=0)


# ---- memory -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["mm", "pxem"])
@pytest.mark.parametrize(("n", "m"), [(1200, 40), (60, 6000)])
def test_features_never_make_a_matrix_of_the_larger_side(n, m, method):
    rng = np.random.default_rng(18)
    W = rng.standard_normal((n, m), dtype=np.float32)
    ids = np.array([f"i{i:05d}" for i in range(n)], dtype=object)
    term = assemble.term("w", ids, covariance=mv.Features(W, ids))
    y = W @ rng.standard_normal(m) * np.sqrt(2.0 / m) + rng.standard_normal(n)
    spec = assemble.spec(y, np.ones((n, 1)), [term])
    tracemalloc.start()
    try:
        estimate = fitted(FAMILY[method](), spec)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert estimate.converged
    assert peak < 0.4 * 8 * max(n, m) ** 2
