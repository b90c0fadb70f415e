"""The canonical likelihood of several traits: brute force on many layouts, edges of the cones, where it applies."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.covariance import Dense, Features, Identity
from mixedvc.errors import MixedVCError
from mixedvc.likelihood import choose, likelihoods, rank_choices
from mixedvc.likelihood.panel import with_responses
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.testing import assemble, thetas, transform
from mixedvc.testing.brute import Brute
from mixedvc.testing.compare import BRUTE_FORCE, close
from mixedvc.testing.likelihood_checks import compare_evaluations, compare_moments, draw_checks, likelihood_checks

from ..tolerances import IDENTITY, OBJECTIVE, PARAMETER

CANONICAL = likelihoods.get("canonical")


class Forced:
    """The canonical likelihood where it says that another one is better (one trait)."""

    name = "canonical"

    def cost(self, spec):
        return 1.0

    def __call__(self, spec, *, reml=True):
        return CANONICAL(spec, reml=reml)


def made(n, t, *, q=None, p=2, rank=None, weights=False, structure="us", residual=None, slope=False, low=False, seed=0):
    """n records of t traits; q levels of a kernel of `rank`, stored as features where `low`; q = 0: no random term."""
    rng = np.random.default_rng(seed)
    terms = []
    if q != 0:
        q = q or n
        ids = np.array([f"i{k:02d}" for k in range(q)], dtype=object)
        W = rng.standard_normal((q, rank or q + 3))
        cov = Features(W, ids, standardize=False) if low else Dense(W @ W.T / W.shape[1], ids)
        who = ids[np.concatenate([np.arange(q), rng.integers(0, q, n - q)])]
        basis = rng.standard_normal(n) if slope else None
        terms = [assemble.term("id", who, covariance=cov, basis=basis)]
    X = np.column_stack([np.ones(n), rng.standard_normal((n, p))])[:, :p]
    Y = rng.standard_normal((n, t)) * np.arange(1, t + 1) + 3
    w = rng.uniform(0.5, 2.0, n) if weights else None
    return assemble.traits_spec(Y, X, terms, weights=w, structure=structure, residual_structure=residual)


def other_fixed_effects(spec, seed=0):
    """The first covariate dropped from the second trait, the last one with one coefficient for all traits."""
    t = spec.residual.k
    p = spec.p // t
    X, last = np.array(spec.X), np.arange(p - 1, spec.p, p)
    own = [j for j in range(spec.p) if j not in last and j != p + 1]
    X = np.column_stack([X[:, own], X[:, last].sum(axis=1)])
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    return replace(spec, X=X, x_names=names, traits=None)


LAYOUTS = {
    "one trait, repeated records": lambda: made(14, 1, q=6, weights=True),
    "two traits, weights, an intercept": lambda: made(10, 2, p=1, weights=True),
    "three traits, a singular kernel": lambda: made(9, 3, rank=4),
    "repeated records of few levels": lambda: made(15, 2, q=4, weights=True),
    "features fewer than levels": lambda: made(14, 2, q=12, rank=3, low=True),
    "diagonal in both": lambda: made(9, 3, p=1, structure="diag", residual="diag"),
    "compound symmetry in both": lambda: made(8, 3, p=1, structure="cs", residual="cs"),
    "a slope": lambda: made(12, 2, slope=True),
    "a slope of repeated levels": lambda: made(14, 2, q=4, slope=True, weights=True),
    "no fixed effects": lambda: made(8, 2, p=0),
    "no fixed effects, repeated levels": lambda: made(12, 2, q=4, p=0),
    "fixed effects shared by traits or of some": lambda: other_fixed_effects(made(9, 3, p=3, weights=True)),
    "the same of repeated levels": lambda: other_fixed_effects(made(15, 2, q=4, p=3)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_quantity_equals_brute_force(layout):
    spec = LAYOUTS[layout]()
    theta = list(thetas.points(spec, 1).values())
    for reml in (True, False):
        likelihood, brute = CANONICAL(spec, reml=reml), Brute(spec, reml)
        compare_evaluations(likelihood.at(theta[0]), brute.at(theta[0]), f"{layout}, inside")
        compare_moments(likelihood, brute, layout)
    compare_evaluations(CANONICAL(spec).at(theta[-2]), Brute(spec).at(theta[-2]), f"{layout}, at an edge")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_passes_all_checks(layout):
    assert likelihood_checks(Forced(), LAYOUTS[layout]())


@pytest.mark.parametrize("p", [0, 2])
def test_traits_of_independent_records_need_no_kernel(p):
    spec = made(8, 2, q=0, p=p, weights=True)
    assert CANONICAL.cost(spec) is not None
    assert likelihood_checks(CANONICAL, spec)


@pytest.mark.parametrize("t", [4, 5, 6])
def test_more_traits_equal_brute_force(t):
    spec = other_fixed_effects(made(9, t, q=7, p=3, weights=True, seed=t))
    for reml in (True, False):
        theta = thetas.points(spec, t)["inside"]
        compare_evaluations(CANONICAL(spec, reml=reml).at(theta), Brute(spec, reml).at(theta), f"{t} traits")
    compare_moments(CANONICAL(spec), Brute(spec), f"{t} traits")


def centred(n, t, *, q=None, p=2, weights=False, other=False, low=False, seed=0):
    """Like `made`, but the kernel is zero on the intercept (of unweighted records)."""
    spec = made(n, t, q=q, p=p, weights=weights, low=low, rank=4 if low else None, seed=seed)
    term = spec.terms[0]
    A = term.covariance.block()
    counts = np.bincount(term.codes, minlength=term.q) / len(term.codes)
    M = np.eye(term.q) - np.outer(np.ones(term.q), counts)
    A = M @ A @ M.T
    root = np.linalg.svd(A)[0][:, :4] * np.sqrt(np.linalg.svd(A)[1][:4])
    labels = np.asarray(term.covariance.labels)
    cov = Features(root, labels, standardize=False) if low else Dense(A, labels)
    spec = transform.with_covariance(spec, 0, cov)
    return other_fixed_effects(spec) if other else spec


CENTRED = {
    "one record a level": lambda: centred(10, 2),
    "repeated records": lambda: centred(14, 2, q=5),
    "few features": lambda: centred(16, 2, q=14, low=True),
    "an intercept alone": lambda: centred(9, 3, p=1),
    "other fixed effects too": lambda: centred(10, 3, p=3, other=True),
}


@pytest.mark.parametrize("layout", CENTRED)
def test_a_kernel_that_is_zero_on_the_intercept_is_lifted_there_and_no_number_changes(layout):
    spec = CENTRED[layout]()
    likelihood = CANONICAL(spec)
    assert likelihood._frame.lift.N.shape[1] == 1
    assert CANONICAL(spec, reml=False)._frame.lift.N.shape[1] == 0
    for name, theta in list(thetas.points(spec, 3).items())[:5]:
        compare_evaluations(likelihood.at(theta), Brute(spec).at(theta), name)
    compare_moments(likelihood, Brute(spec), layout)
    theta = thetas.points(spec, 3)["inside"]
    known = Brute(spec).at(theta).prediction_cov(1, fixed_known=True)
    close(likelihood.at(theta).prediction_cov(1, fixed_known=True), known, "residuals", rtol=BRUTE_FORCE)


def test_with_weights_the_kernel_of_the_working_rows_counts():
    spec = centred(10, 2, weights=True)
    theta = thetas.points(spec, 3)["inside"]
    compare_evaluations(CANONICAL(spec).at(theta), Brute(spec).at(theta), "weights")


def test_every_direction_of_the_fixed_effects_may_be_lifted(monkeypatch):
    monkeypatch.setattr("mixedvc.likelihood.canonical_records.NEXT_TO_ZERO", 1e6)
    for layout in ("three traits, a singular kernel", "fixed effects shared by traits or of some"):
        spec = LAYOUTS[layout]()
        likelihood = CANONICAL(spec)
        assert likelihood._frame.lift.N.shape[1] == (2 if "singular" in layout else 1)
        for name, theta in list(thetas.points(spec, 3).items())[:4]:
            compare_evaluations(likelihood.at(theta), Brute(spec).at(theta), name)


def test_a_singular_residual_beside_a_centred_kernel_has_a_restricted_likelihood():
    """That of n − 1 contrasts of the records, formed by hand."""
    spec = centred(9, 2, p=1)
    G, b = np.array([[1.0, 0.2], [0.2, 0.7]]), np.array([1.0, -0.6])
    R = np.outer(b, b)
    K = Brute(spec).patterns[0][::2, ::2]
    contrasts = np.linalg.svd(np.ones((1, 9)))[2][1:]
    Y = contrasts @ spec.response.reshape(9, 2)
    V = np.kron(contrasts @ K @ contrasts.T, G) + np.kron(np.eye(8), R)
    want = -0.5 * (16 * np.log(2 * np.pi) + np.linalg.slogdet(V)[1] + Y.ravel() @ np.linalg.solve(V, Y.ravel()))
    want -= 0.5 * 2 * np.log(9.0)  # ½ log|XᵀX|
    evaluation = CANONICAL(spec).at(spec.theta([G, R]))
    np.testing.assert_allclose(evaluation.loglik, want, **OBJECTIVE)
    assert np.isfinite(evaluation.expected_information).all()
    with pytest.raises(NotPositiveDefinite):
        CANONICAL(spec, reml=False).at(spec.theta([G, R]))


def _edges():
    """(G, R) of three traits with a regular kernel: singular ones, each in another way."""
    regular = np.array([[1.0, 0.3, -0.2], [0.3, 2.0, 0.4], [-0.2, 0.4, 0.5]])
    b = np.array([1.0, -1.3, 0.7])
    tied = regular.copy()  # a correlation of −1 between the first two
    tied[0, 1] = tied[1, 0] = -np.sqrt(2.0)
    tied[:2, 2] = tied[2, :2] = 0.0
    without = regular.copy()
    without[1] = without[:, 1] = 0.0
    yield "genetic correlation of -1", tied, regular
    yield "residual correlation of -1", regular, tied
    yield "G of rank one", np.outer(b, b), regular
    yield "R of rank one", regular, np.outer(b, b)
    yield "a trait without genetic variance", without, regular
    yield "a trait without residual variance", regular, without
    yield "no residual", regular, 0.0 * regular
    yield "G zero", 0.0 * regular, regular


@pytest.mark.parametrize("edge", list(_edges()), ids=lambda edge: edge[0])
def test_singular_covariances_are_exact(edge):
    name, G, R = edge
    rng = np.random.default_rng(3)
    n, ids = 9, np.array([f"i{k}" for k in range(9)], dtype=object)
    A = rng.standard_normal((n, n + 6))
    term = assemble.term("id", ids, covariance=Dense(A @ A.T / n + 0.3 * np.eye(n), ids))
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    spec = assemble.traits_spec(rng.standard_normal((n, 3)), X, [term])
    theta = spec.theta([G, R])
    for reml in (True, False):
        compare_evaluations(CANONICAL(spec, reml=reml).at(theta), Brute(spec, reml).at(theta), name)


def test_a_residual_covariance_that_is_singular_is_refused_where_the_kernel_leaves_directions_to_it():
    spec = made(12, 2, q=5)
    for R in (np.ones((2, 2)), np.array([[1.0, 2.0], [2.0, 1.0]])):
        with pytest.raises(NotPositiveDefinite, match="leading minor"):
            CANONICAL(spec).at(spec.theta([np.eye(2), R]))


def test_an_indefinite_kernel_is_evaluated_where_v_is_positive_definite():
    rng = np.random.default_rng(5)
    ids = np.array([f"i{k}" for k in range(10)], dtype=object)
    A = rng.standard_normal((10, 10))
    A = 0.2 * (A + A.T)
    A[np.diag_indices(10)] = 0.7
    term = assemble.term("id", ids, covariance=Dense(A, ids, psd="allow"))
    assert np.linalg.eigvalsh(A)[0] < -0.1
    spec = assemble.traits_spec(rng.standard_normal((10, 2)), np.ones((10, 1)), [term])
    theta = spec.theta([np.array([[0.3, 0.1], [0.1, 0.2]]), np.array([[1.0, 0.4], [0.4, 2.0]])])
    compare_evaluations(CANONICAL(spec).at(theta), Brute(spec).at(theta), "indefinite kernel")


@pytest.mark.parametrize("units", [(1e-6, 1e6), (1e6, 1e-6)])
def test_units_of_the_traits_cost_no_digits(units):
    plain = made(12, 2, q=6, weights=True, seed=8)
    D = np.diag(units)
    scale = plain.residual.basis.astype(bool) @ np.array(units)
    scaled = replace(plain, y=plain.y * scale)
    theta = thetas.points(plain)["inside"]
    sigmas = plain.sigmas(theta)
    one = CANONICAL(plain).at(theta)
    two = CANONICAL(scaled).at(plain.theta([D @ S @ D for S in sigmas]))
    p = plain.p // 2
    shift = 12 * np.log(units).sum() - p * np.log(units).sum()
    np.testing.assert_allclose(two.loglik, one.loglik - shift, **OBJECTIVE)
    change = np.array([units[w.a] * units[w.b] for w in plain.index])
    np.testing.assert_allclose(two.score * change, one.score, **OBJECTIVE)
    information = two.expected_information * np.outer(change, change)
    np.testing.assert_allclose(information, one.expected_information, **OBJECTIVE)


@pytest.mark.parametrize("layout", ["two traits, weights, an intercept", "a slope of repeated levels"])
def test_residuals_are_predicted_as_effects_are(layout):
    spec = LAYOUTS[layout]()
    theta = thetas.points(spec)["inside"]
    got, want = CANONICAL(spec).at(theta), Brute(spec).at(theta)
    last = len(spec.terms)
    close(got.blup(last), want.blup(last), "residuals", rtol=BRUTE_FORCE)
    for known in (True, False):
        cov = want.prediction_cov(last, fixed_known=known)
        close(got.prediction_cov(last, fixed_known=known), cov, "covariance of residuals", rtol=BRUTE_FORCE)


def test_levels_of_the_residual_without_records_keep_their_places():
    spec = LAYOUTS["repeated records of few levels"]()
    residual = spec.residual
    labels = np.arange(residual.q + 2).astype(object)
    gaps = np.array(residual.codes) + 1
    gaps[gaps > 4] += 1
    residual = replace(
        residual, levels=labels, codes=gaps, covariance=Identity(labels), positions=np.arange(residual.q + 2)
    )
    spec = replace(spec, residual=residual)
    theta = thetas.points(spec)["inside"]
    got, want = CANONICAL(spec).at(theta), Brute(spec).at(theta)
    compare_evaluations(got, want, "gaps")
    close(got.prediction_cov(1), want.prediction_cov(1), "covariance of residuals", rtol=BRUTE_FORCE)


def test_a_level_whose_records_have_next_to_no_effect_keeps_its_prediction_error():
    rng = np.random.default_rng(9)
    ids = np.array([f"i{k}" for k in range(8)], dtype=object)
    A = rng.standard_normal((8, 12))
    x = rng.standard_normal(8)
    x[2], x[5] = 0.0, 1e-9
    term = assemble.term("id", ids, covariance=Dense(A @ A.T / 12, ids), basis=x)
    spec = assemble.traits_spec(rng.standard_normal((8, 2)), np.ones((8, 1)), [term])
    theta = thetas.points(spec)["inside"]
    close(CANONICAL(spec).at(theta).prediction_cov(0), Brute(spec).at(theta).prediction_cov(0), "PEV", rtol=BRUTE_FORCE)


@pytest.mark.parametrize("layout", ["two traits, weights, an intercept", "repeated records of few levels"])
def test_many_responses_rotated_together_are_each_as_by_itself(layout):
    spec = LAYOUTS[layout]()
    spec = transform.with_offset(spec, np.linspace(-1, 1, spec.n))
    Y = np.random.default_rng(2).standard_normal((spec.n, 3)) + 100.0
    theta = thetas.points(spec)["inside"]
    likelihood = CANONICAL(spec)
    likelihood.moments()  # what does not depend on the response is handed on
    for y, one in zip(Y.T, with_responses(likelihood, Y), strict=True):
        again, brute = likelihood.with_response(y), Brute(spec).with_response(y)
        compare_evaluations(one.at(theta), brute.at(theta), "one of many")
        compare_moments(one, brute, "one of many")
        np.testing.assert_allclose(one.at(theta).Py, again.at(theta).Py, **IDENTITY)
    with pytest.raises(MixedVCError, match="not finite in row 1"):
        likelihood.with_response(np.where(np.arange(spec.n) == 1, np.nan, Y[:, 0]))


def test_draws_have_the_posterior_mean_and_covariance():
    draw_checks(CANONICAL, made(8, 2, q=5, weights=True), draws=200)


def test_the_unstructured_effects_of_conditions_in_one_response_are_canonical_too():
    rng = np.random.default_rng(11)
    names = [f"l{i}" for i in range(8)]
    lines, f = np.repeat(names, 2), np.tile(["p", "q"], 8)
    A = rng.standard_normal((8, 14))
    data = pd.DataFrame({"y": rng.standard_normal(16), "f": f, "line": lines, "line2": lines})
    data = data.sample(frac=1.0, random_state=1)
    K = pd.DataFrame(A @ A.T / 14, names, names)
    formula = "y ~ f + (0 + f | gr(line, cov=A))"
    spec = mv.model(formula, data, cov={"A": K}, residual="us(0 + f | line2)")
    assert spec.traits is None
    theta = thetas.points(spec)["inside"]
    compare_evaluations(CANONICAL(spec).at(theta), Brute(spec).at(theta), "conditions")
    missing = mv.model(formula, data.iloc[1:], cov={"A": K}, residual="us(0 + f | line2)")
    assert CANONICAL.cost(missing) is None


def test_it_is_chosen_for_complete_records_of_one_kernel_and_not_elsewhere():
    rng = np.random.default_rng(12)
    n, ids = 150, np.array([f"i{k}" for k in range(150)], dtype=object)
    W = rng.standard_normal((n, 200))
    term = assemble.term("id", ids, covariance=Dense(W @ W.T / 200, ids))
    Y, X = rng.standard_normal((n, 2)), np.ones((n, 1))
    complete = assemble.traits_spec(Y, X, [term])
    likelihood, reason = choose(complete)
    assert likelihood.name == "canonical"
    assert "2 traits, one kernel" in reason
    Y[3, 1] = np.nan
    missing = assemble.traits_spec(Y, X, [term])
    second = assemble.term("other", ids, covariance=Dense(np.eye(n) + 0.1, ids))
    two = assemble.traits_spec(rng.standard_normal((n, 2)), X, [term, second])
    slopes = assemble.term("id", ids, covariance=term.covariance, basis=rng.standard_normal((n, 2)))
    vector = assemble.traits_spec(rng.standard_normal((n, 2)), X, [slopes])
    one = assemble.spec(rng.standard_normal(n), X, [term])
    for spec in (missing, two, vector, one):
        assert CANONICAL.cost(spec) is None
        assert "canonical" not in [choice.name for choice in rank_choices(spec)]
    for spec in (missing, two, vector):
        with pytest.raises(MixedVCError, match="every trait of every record"):
            CANONICAL(spec)
    with pytest.raises(MixedVCError, match="'canonical' likelihood does not apply"):
        choose(missing, name="canonical")


def test_effects_or_weights_that_differ_between_traits_are_left_to_others():
    spec = made(8, 2)
    tilted = np.array(spec.terms[0].basis)
    tilted[0] *= 2.0
    uneven = np.array(spec.residual.basis)
    uneven[3] *= 2.0
    mixed = np.array(spec.terms[0].basis)
    mixed[0] = 1.0  # a row that meets both effects
    codes = np.array(spec.terms[0].codes)
    codes[0] = codes[-1]  # two traits of one record in different levels
    for term in (replace(spec.terms[0], basis=B) for B in (tilted, mixed)):
        assert CANONICAL.cost(replace(spec, terms=(term,))) is None
    assert CANONICAL.cost(replace(spec, residual=replace(spec.residual, basis=uneven))) is None
    assert CANONICAL.cost(replace(spec, terms=(replace(spec.terms[0], codes=codes),))) is None


def test_a_fit_is_that_of_the_dense_likelihood():
    rng = np.random.default_rng(14)
    n, ids = 60, [f"i{k}" for k in range(60)]
    W = rng.standard_normal((n, 90))
    K = W @ W.T / 90
    L = np.linalg.cholesky(np.kron(K, [[1.0, 0.5], [0.5, 0.8]]) + np.kron(np.eye(n), [[0.6, -0.2], [-0.2, 0.9]]))
    Y = (L @ rng.standard_normal(2 * n)).reshape(n, 2)
    data = pd.DataFrame({"a": Y[:, 0], "b": Y[:, 1], "x": rng.standard_normal(n), "id": ids})
    cov = {"K": pd.DataFrame(K, ids, ids)}
    fits = {
        name: mv.fit("cbind(a, b) ~ x + (1 | id:K)", data, cov=cov, likelihood=name) for name in ("canonical", "dense")
    }
    one, two = fits["canonical"], fits["dense"]
    np.testing.assert_allclose(one.llf, two.llf, **OBJECTIVE)
    np.testing.assert_allclose(one.estimate.theta, two.estimate.theta, **PARAMETER)
    left, right = one.tidy(), two.tidy()
    for column in ("estimate", "std.error", "df"):
        np.testing.assert_allclose(left[column], right[column], **PARAMETER)
