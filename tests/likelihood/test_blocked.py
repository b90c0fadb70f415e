"""The grouped likelihood: designs that conformance does not draw, both ways of every computation, its limits."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.likelihood import choose, grouped_elimination, grouped_evaluation, grouped_state, likelihoods
from mixedvc.linalg import component_stack
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.testing import assemble, thetas
from mixedvc.testing.brute import Brute
from mixedvc.testing.compare import BRUTE_FORCE
from mixedvc.testing.likelihood_checks import compare_evaluations, compare_moments

from ..reference.load import reference
from ..tolerances import IDENTITY, OBJECTIVE

GROUPED = likelihoods.get("grouped")


def _spec(n, terms, *, p=2, weights=False, seed=0):
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), rng.standard_normal((n, p - 1))])
    y = 3.0 + rng.standard_normal(n)
    for term in terms:
        y = y + term.spread(rng.standard_normal((term.q, term.k)))
    return assemble.spec(y, X, terms, weights=rng.uniform(0.5, 2.0, n) if weights else None)


def crossed_slopes():
    """Three crossed factors, two of them with slopes."""
    rng = np.random.default_rng(1)
    n = 50
    x = np.column_stack([np.ones(n), rng.standard_normal(n)])
    three = np.column_stack([x, rng.standard_normal(n)])
    a, b, c = (rng.integers(0, q, n) for q in (8, 4, 3))
    terms = [assemble.term("a", a, basis=x), assemble.term("b", b, basis=three), assemble.term("c", c)]
    return _spec(n, terms, weights=True, seed=2)


def nested_unbalanced():
    """Pupils in classes in schools in districts, with numbers of each that differ; slopes of schools."""
    rng = np.random.default_rng(3)
    school = np.repeat(np.arange(9), [1, 2, 2, 3, 1, 4, 2, 3, 2])
    district = np.array([0, 0, 1, 1, 1, 2, 2, 3, 4])[school]
    n = 54
    rows = np.append(np.arange(len(school)), rng.integers(0, len(school), n - len(school)))
    basis = np.column_stack([np.ones(n), rng.standard_normal(n)])
    terms = [
        assemble.term("class", rows),
        assemble.term("school", school[rows], basis=basis),
        assemble.term("district", district[rows]),
    ]
    return _spec(n, terms, seed=4)


def one_grouping_twice():
    """Uncorrelated intercepts and slopes written as two terms, crossed with a patterned one."""
    rng = np.random.default_rng(5)
    n = 45
    g, h = rng.integers(0, 9, n), rng.integers(0, 4, n)
    basis = rng.standard_normal((n, 3))
    terms = [
        assemble.term("g", g),
        assemble.term("g.1", g, basis=rng.standard_normal((n, 2))),
        assemble.term("h", h, basis=basis, structure="ar1"),
    ]
    return _spec(n, terms, p=1, seed=6)


def more_effects_than_rows():
    """As many effects as rows in the first factor alone."""
    rng = np.random.default_rng(7)
    n = 24
    basis = rng.standard_normal((n, 3))
    terms = [assemble.term("g", rng.integers(0, 8, n), basis=basis), assemble.term("h", rng.integers(0, 6, n))]
    return _spec(n, terms, seed=8)


DESIGNS = [crossed_slopes, nested_unbalanced, one_grouping_twice, more_effects_than_rows]


@pytest.mark.parametrize(("design", "reml"), [*((design, True) for design in DESIGNS), (crossed_slopes, False)])
def test_every_quantity_equals_brute_force_inside_and_at_every_edge(design, reml):
    spec = design()
    likelihood, brute = GROUPED(spec, reml=reml), Brute(spec, reml)
    compare_moments(likelihood, brute, design.__name__)
    # where effects explain all rows, what is left for a small residual is a difference of much larger numbers
    rtol = 1e-7 if design is more_effects_than_rows else BRUTE_FORCE
    for where, theta in thetas.points(spec, 3).items():
        compare_evaluations(likelihood.at(theta), brute.at(theta), f"{design.__name__}, {where}", rtol=rtol)


@pytest.mark.parametrize("design", DESIGNS)
def test_dense_slabs_give_what_the_sparse_map_gives(design, monkeypatch):
    spec = design()
    theta = thetas.points(spec, 4)["inside"]
    monkeypatch.setattr(grouped_elimination, "MOST_ENTRIES", 0)
    monkeypatch.setattr(grouped_elimination, "SLAB", 60)
    likelihood = GROUPED(spec)
    assert isinstance(likelihood._elimination, grouped_elimination.Slabs)
    compare_evaluations(likelihood.at(theta), Brute(spec, True).at(theta), design.__name__)


@pytest.mark.parametrize("safe", [0.0, np.inf])
@pytest.mark.parametrize("design", DESIGNS)
def test_traces_by_the_prior_and_by_the_data_agree(design, safe, monkeypatch):
    spec = design()
    theta = thetas.points(spec, 5)["inside"]
    monkeypatch.setattr(grouped_state, "SAFE", safe)
    compare_evaluations(GROUPED(spec).at(theta), Brute(spec, True).at(theta), design.__name__)


@pytest.mark.parametrize(("large_from", "few"), [(0, 0), (10**6, 0), (10**6, 10**6)])
def test_components_are_factored_alike_one_by_one_and_stacked(large_from, few, monkeypatch):
    spec = nested_unbalanced()
    theta = thetas.points(spec, 6)["inside"]
    monkeypatch.setattr(component_stack, "LAPACK_FROM", large_from)
    monkeypatch.setattr(component_stack, "FEW", few)
    compare_evaluations(GROUPED(spec).at(theta), Brute(spec, True).at(theta), "stacks")


def test_nested_levels_leave_components_as_small_as_the_nesting():
    spec = nested_unbalanced()
    storage = GROUPED(spec)._layout.storage
    shapes = sorted(stack.index.shape for stack in storage.stacks)
    sizes = sorted(size for count, size in shapes for _ in range(count))
    districts = {d: len(set(spec.terms[1].codes[spec.terms[2].codes == d])) for d in range(5)}
    assert sizes == sorted(1 + 2 * schools for schools in districts.values())
    assert storage.size == sum(size**2 for size in sizes)


def test_levels_that_meet_everything_go_through_slabs_by_themselves(monkeypatch):
    monkeypatch.setattr(grouped_elimination, "MOST_ENTRIES", 50)
    assert isinstance(GROUPED(crossed_slopes())._elimination, grouped_elimination.Slabs)
    monkeypatch.undo()
    assert isinstance(GROUPED(crossed_slopes())._elimination, grouped_elimination.PairMap)


def _years(shift):
    rng = np.random.default_rng(11)
    g, h, x = rng.integers(0, 30, 400), rng.integers(0, 8, 400), rng.standard_normal(400)
    basis = np.column_stack([np.ones(400), x + shift])
    terms = [assemble.term("g", g, basis=basis), assemble.term("h", h, basis=basis)]
    return assemble.spec(rng.standard_normal(400) + 0.3 * x, basis, terms)


def _counted_from_zero(Sigma, shift):
    """Σ of intercept and slope of x from those of x + shift's origin."""
    T = np.array([[1.0, -shift], [0.0, 1.0]])
    return T @ Sigma @ T.T


@pytest.mark.parametrize("flat", [False, True])
def test_slopes_on_years_lose_no_digits_even_where_the_covariance_is_singular(flat):
    shift = 2000.0
    near, far = _years(0.0), _years(shift)
    Sigma = np.outer([0.7, 0.4], [0.7, 0.4]) + (0.0 if flat else np.diag([0.2, 0.1]))
    other = np.array([[0.5, 0.1], [0.1, 0.3]])
    at_near = GROUPED(near).at(near.theta([Sigma, other, np.eye(1)]))
    given = far.theta([_counted_from_zero(S, shift) for S in (Sigma, other)] + [np.eye(1)])
    at_far = GROUPED(far).at(given)
    np.testing.assert_allclose(at_far.loglik, at_near.loglik, rtol=1e-11, atol=0)
    np.testing.assert_allclose(at_far.Py, at_near.Py, rtol=0, atol=1e-8)
    np.testing.assert_allclose(at_far.score[[2, 5, 6]], _slopes_score(at_near, shift), rtol=1e-6, atol=1e-6)


def _slopes_score(at, shift):
    """∂ℓ/∂Σ_11 of x + shift (and of the residual) from the scores of x: Z_slope' = Z_slope + shift · Z_intercept."""
    s = at.score
    first = s[2] + shift * s[1] + shift**2 * s[0]
    second = s[5] + shift * s[4] + shift**2 * s[3]
    return np.array([first, second, s[6]])


def test_rounding_of_a_singular_covariance_on_years_does_not_make_it_regular():
    spec = _years(2000.0)
    rng = np.random.default_rng(1)
    for b in rng.standard_normal((20, 2)):
        flat = _counted_from_zero(np.outer(b, b), 2000.0)
        state = GROUPED(spec).at(spec.theta([flat, flat, np.eye(1)])).state
        assert [int((np.abs(L) > 0).any(axis=0).sum()) for L in state.roots] == [1, 1]


def test_large_variances_cost_no_digits():
    rng = np.random.default_rng(2)
    basis = np.column_stack([np.ones(300), rng.standard_normal(300)])
    spec = assemble.spec(
        rng.standard_normal(300), np.ones((300, 1)), [assemble.term("g", np.arange(300) % 3, basis=basis)]
    )
    Sigma = 1e6 * np.array([[1.0, 0.3], [0.3, 2.0]])
    state = GROUPED(spec).at(spec.theta([Sigma, np.eye(1)])).state
    inverse = state.layout.turned.inverses[0]
    working = Sigma if inverse is None else inverse @ Sigma @ inverse.T
    for level in range(3):
        N = state.layout.own[0][:, :, level]
        want = np.linalg.inv(working + np.linalg.inv(N))  # Z'V⁻¹Z = (Σ + σ²N⁻¹)⁻¹
        np.testing.assert_allclose(state.alone[:, :, level], want, rtol=1e-9, atol=0)


def test_many_fixed_effects_are_worked_on_a_few_at_a_time(monkeypatch):
    spec = _spec(60, [assemble.term("g", np.arange(60) % 9), assemble.term("h", np.arange(60) % 4)], p=6)
    theta = thetas.points(spec)["inside"]
    whole = GROUPED(spec).at(theta)
    want = whole.expected_information, whole.cross_trace
    monkeypatch.setattr(grouped_evaluation, "COLUMNS", 13 * 3 * 4)
    parts = GROUPED(spec).at(theta)
    np.testing.assert_allclose(parts.expected_information, want[0], rtol=1e-11, atol=0)
    np.testing.assert_allclose(parts.cross_trace, want[1], rtol=1e-11, atol=0)


def test_what_is_not_a_covariance_is_refused():
    spec = crossed_slopes()
    likelihood, theta = GROUPED(spec), thetas.points(spec)["inside"]
    for bad in (-1.0, 0.0):
        with pytest.raises(NotPositiveDefinite):
            likelihood.at(np.append(theta[:-1], bad)).loglik  # noqa: B018
    negative = theta.copy()
    negative[[j for j, w in enumerate(spec.index) if w.term == 2]] = -1e-3
    with pytest.raises(NotPositiveDefinite):
        likelihood.at(negative)
    indefinite = theta.copy()
    indefinite[1] = 1.01 * np.sqrt(theta[0] * theta[2])
    with pytest.raises(NotPositiveDefinite):
        likelihood.at(indefinite)


def test_it_applies_to_independent_levels_and_one_residual_variance_only():
    spec = crossed_slopes()
    assert GROUPED.cost(spec) is not None
    assert GROUPED.cost(replace(spec, terms=())) is None
    labels = spec.terms[2].levels
    known = mv.Dense(np.eye(3) + 0.2, labels)
    term = replace(spec.terms[2], covariance=known, cov_name="A")
    assert GROUPED.cost(replace(spec, terms=(*spec.terms[:2], term))) is None
    data = pd.DataFrame(
        {"y": np.random.default_rng(1).standard_normal(40), "g": [1, 2, 3, 4] * 10, "f": ["p", "q"] * 20}
    )
    assert GROUPED.cost(mv.model("y ~ 1 + (1 | g)", data)) is not None
    assert GROUPED.cost(mv.model("y ~ 1 + (1 | g)", data, residual="diag(0 + f | rows)")) is None


def _simulated(n, q1, q2, seed=0, slope=0.0):
    rng = np.random.default_rng(seed)
    i, j, x = rng.integers(0, q1, n), rng.integers(0, q2, n), rng.standard_normal(n)
    y = 2 + 0.5 * x + 0.7 * rng.standard_normal(q1)[i] + 0.4 * rng.standard_normal(q2)[j] + rng.standard_normal(n)
    y += slope * x * rng.standard_normal(q1)[i]
    return pd.DataFrame({"y": y, "x": x, "i": i, "j": j})


def test_it_is_chosen_for_large_crossed_factors_and_reaches_the_maximum_of_the_others():
    data = _simulated(1500, 100, 30, slope=0.5)
    fit = mv.fit("y ~ x + (1 + x | i) + (1 | j)", data)
    assert fit.estimate.likelihood == "grouped"
    other = mv.fit("y ~ x + (1 + x | i) + (1 | j)", data, likelihood="reduced")
    np.testing.assert_allclose(fit.llf, other.llf, **OBJECTIVE)
    np.testing.assert_allclose(fit.estimate.theta, other.estimate.theta, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fit.bse, other.bse, rtol=1e-6, atol=0)


def test_tens_of_thousands_of_levels_need_no_matrix_of_them():
    spec = mv.model("y ~ x + (1 | i) + (1 | j)", _simulated(30_000, 12_000, 50))
    tracemalloc.start()
    fit = spec.fit()
    str(fit.summary())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fit.estimate.likelihood == "grouped"
    assert peak < 100e6, f"{peak / 1e6:.0f} MB where 12,000 × 12,000 numbers are 1,152 MB"


def test_a_start_far_above_a_variance_does_not_overshoot():
    fit = mv.fit("y ~ x + (1 | i) + (1 | j)", _simulated(3000, 300, 40), start={"i": 20.0, "j": 30.0, "residual": 1.0})
    assert fit.converged
    assert not fit.is_singular
    assert fit.estimate.n_evaluations <= 12
    assert all(row.accepted for row in fit.estimate.trace)


def test_another_response_keeps_the_set_up():
    spec = crossed_slopes()
    likelihood = GROUPED(spec)
    y = np.random.default_rng(2).standard_normal(spec.n)
    again = likelihood.with_response(y)
    assert again._layout is likelihood._layout
    assert again._elimination is likelihood._elimination
    theta = thetas.points(spec)["inside"]
    np.testing.assert_allclose(again.at(theta).loglik, GROUPED(replace(spec, y=y)).at(theta).loglik, **IDENTITY)


def test_blups_and_their_errors_are_those_of_the_mixed_model_equations():
    spec = crossed_slopes()
    theta = thetas.points(spec, 9)["inside"]
    at = GROUPED(spec).at(theta)
    sigmas = spec.sigmas(theta)
    Z = np.hstack([np.stack([t.Z(a).toarray() for a in range(t.k)], axis=2).reshape(spec.n, -1) for t in spec.terms])
    D = np.zeros((Z.shape[1],) * 2)
    start = 0
    for t, S in zip(spec.terms, sigmas, strict=False):
        for _ in range(t.q):
            D[start : start + t.k, start : start + t.k] = np.linalg.inv(S)
            start += t.k
    W = np.hstack([spec.X, Z]) * np.sqrt(spec.weights)[:, None]
    C = W.T @ W / theta[-1]
    C[spec.X.shape[1] :, spec.X.shape[1] :] += D
    inverse = np.linalg.inv(C)
    solution = inverse @ (W.T @ (np.sqrt(spec.weights) * spec.y)) / theta[-1]
    np.testing.assert_allclose(at.beta, solution[: spec.p], **OBJECTIVE)
    start = spec.p
    for i, t in enumerate(spec.terms):
        stop = start + t.q * t.k
        np.testing.assert_allclose(at.blup(i).ravel(), solution[start:stop], rtol=1e-8, atol=1e-9)
        block = inverse[start:stop, start:stop].reshape(t.q, t.k, t.q, t.k)
        want = np.stack([block[level, :, level, :] for level in range(t.q)])
        np.testing.assert_allclose(at.prediction_cov(i), want, rtol=1e-8, atol=1e-10)
        start = stop


def test_the_choice_says_which_levels_go_and_what_is_left():
    _, reason = choose(nested_unbalanced(), name="grouped")
    assert reason == (
        "the 20 levels of class are eliminated one by one, which leaves 23 effects in components of at most 7"
    )


@pytest.mark.slow
def test_insteval_reaches_lme4s_criterion_and_standard_errors():
    want = reference("lme4/insteval/crossed_large")["REML"]
    fit = mv.fit("y ~ service + (1 | s) + (1 | d) + (1 | dept:service)", mv.load_data("insteval"))
    assert fit.estimate.likelihood == "grouped"
    np.testing.assert_allclose(-2 * fit.llf, 237661.53572, rtol=0, atol=1e-5)
    np.testing.assert_allclose(-2 * fit.llf, want["criterion"], rtol=1e-10, atol=0)
    np.testing.assert_allclose(fit.params, list(want["fixef"].values()), rtol=1e-5, atol=0)
    np.testing.assert_allclose(fit.bse, list(want["se"].values()), rtol=1e-4, atol=0)
