"""The sparse likelihood: pedigrees, precisions and groupings against brute force, and what it alone does."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.design.bind import bind
from mixedvc.inference import blup
from mixedvc.likelihood import choose, likelihoods, rank_choices, sparse_mme, sparse_moments, sparse_state
from mixedvc.likelihood.differences import observed_by_differences
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.testing import assemble, problems, thetas
from mixedvc.testing.brute import Brute
from mixedvc.testing.likelihood_checks import compare_evaluations, compare_moments, likelihood_checks

from ..tolerances import IDENTITY, OBJECTIVE


def random_pedigree(n, founders, seed, *, unknown=0.15):
    """Animals with parents among all earlier ones: inbreeding, unknown parents, animals that are both sire and dam."""
    rng = np.random.default_rng(seed)

    def parent(i):
        return None if i < founders or rng.random() < unknown else f"a{rng.integers(0, i)}"

    ids = [f"a{i}" for i in range(n)]
    return pd.DataFrame({"id": ids, "sire": [parent(i) for i in range(n)], "dam": [parent(i) for i in range(n)]})


@pytest.fixture(scope="module")
def animals():
    """Records of some of 26 animals, their mothers, a herd, weights; most ancestors have none."""
    with pytest.warns(mv.errors.CovarianceWarning, match="both a sire and a dam"):
        A = mv.pedigree(random_pedigree(26, 5, seed=1))
    rng = np.random.default_rng(2)
    who = rng.integers(8, 26, 36)
    mother = np.where(A.dam[who] >= 0, A.dam[who], 0)
    data = pd.DataFrame(
        {
            "y": 5.0 + 2.0 * rng.standard_normal(36),
            "x": rng.standard_normal(36),
            "t": rng.uniform(0.0, 3.0, 36),
            "id": A.labels[who],
            "mother": A.labels[mother],
            "herd": [f"h{k}" for k in rng.integers(0, 6, 36)],
            "w": rng.uniform(0.3, 3.0, 36),
            "o": rng.standard_normal(36),
        }
    )
    return data, {"A": A}


MODELS = {
    "animal, mother and herd": "y ~ x + (1|id:A) + (1|mother:A) + (1|herd)",
    "random regression": "y ~ x + (1 + t|id:A) + (1|id)",
    "uncorrelated regression on two kinds": "y ~ t + (1 + t||id:A) + (0 + t|herd)",
    "correlated maternal effects": "y ~ 1 + cs(0 + x + t|id:A)",
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("reml", [True, False])
def test_pedigree_models_equal_brute_force_inside_and_on_the_edge(model, reml, animals):
    data, cov = animals
    spec = bind(MODELS[model], data, cov=cov, weights="w", offset="o")
    likelihood, brute = likelihoods.get("sparse")(spec, reml=reml), Brute(spec, reml)
    for name, theta in thetas.points(spec).items():
        compare_evaluations(likelihood.at(theta), brute.at(theta), f"{model}, {name}")


def _selfed(lines, depth):
    """Lines selfed until they are completely inbred, two full sibs of each, and a cross of neighbours."""
    rows = []
    for k in range(lines):
        rows.append((f"f{k}_0", None, None))
        rows += [(f"f{k}_{g}", f"f{k}_{g - 1}", f"f{k}_{g - 1}") for g in range(1, depth)]
        rows += [(f"s{k}_{c}", f"f{k}_{depth - 1}", f"f{k}_{depth - 1}") for c in range(2)]
    rows += [(f"x{k}_{c}", f"s{k}_0", f"s{k + 1}_1") for k in range(lines - 1) for c in range(2)]
    rows += [(f"y{k}", f"x{k}_0", f"x{k}_1") for k in range(lines - 1)]
    return pd.DataFrame(rows, columns=["id", "sire", "dam"])


def test_clones_of_completely_inbred_parents_make_a_singular_and_are_exact():
    table = _selfed(4, 38)
    with pytest.warns(mv.errors.CovarianceWarning):
        A = mv.pedigree(table)
    measured = [i for i in table["id"] if i[0] in "sxy"]
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"id": measured * 2, "t": rng.uniform(0, 2, 2 * len(measured))})
    data["y"] = rng.standard_normal(len(data))
    spec = bind("y ~ 1 + (1 + t|id:A) + (1|id)", data, cov={"A": A})
    assert A.mendelian.min() < 1e-10
    made, Q, logdet = A.regular_precision()
    assert np.abs(Q.toarray()).max() < 1e5
    np.testing.assert_allclose(made @ np.linalg.inv(Q.toarray()) @ made.T, A.block(), rtol=0, atol=1e-11)
    np.testing.assert_allclose(logdet, -np.linalg.slogdet(Q.toarray())[1], rtol=1e-9)
    likelihood, brute = likelihoods.get("sparse")(spec, reml=True), Brute(spec, True)
    for name, theta in thetas.points(spec).items():
        compare_evaluations(likelihood.at(theta), brute.at(theta), name)


def test_every_animal_of_a_regular_pedigree_has_its_own_sampling():
    with pytest.warns(mv.errors.CovarianceWarning):
        A = mv.pedigree(random_pedigree(30, 5, seed=8))
    made, Q, logdet = A.regular_precision()
    np.testing.assert_array_equal(made.toarray(), np.eye(30))
    np.testing.assert_allclose(Q.toarray(), A.precision().toarray(), **IDENTITY)
    np.testing.assert_allclose(logdet, A.logdet(), **IDENTITY)


def test_a_selection_of_a_pedigree_is_evaluated_through_the_whole(animals):
    data, cov = animals
    A = cov["A"]
    rows = np.sort(np.unique(A.positions(data["id"].to_numpy(object))))
    some = A.restrict(rows[::-1])
    assert some.kind == "marginal"
    spec = bind("y ~ x + (1|id:A) + (1|herd)", data, cov={"A": some})
    theta = thetas.points(spec)["inside"]
    compare_evaluations(likelihoods.get("sparse")(spec).at(theta), Brute(spec, True).at(theta), "marginal")


def test_families_of_a_sparse_covariance_may_be_crossed_by_another_factor():
    spec = problems.bound("sparse_blocks")
    home = assemble.term("home", np.array([f"h{i % 3}" for i in range(spec.n)], dtype=object))
    crossed = replace(spec, terms=(*spec.terms, home))
    assert likelihood_checks(likelihoods.get("sparse"), crossed)


@pytest.mark.parametrize("route", ["exact", "by differences"])
def test_informations_are_those_of_brute_force_by_either_route(route, animals, monkeypatch):
    data, cov = animals
    spec = bind("y ~ x + (1 + t|id:A) + (1|herd)", data, cov=cov, weights="w")
    monkeypatch.setattr(sparse_mme, "_DIRECT", 300 if route == "exact" else 0)
    rtol = 1e-8 if route == "exact" else 1e-6
    for reml in (True, False):
        likelihood, brute = likelihoods.get("sparse")(spec, reml=reml), Brute(spec, reml)
        for name, theta in thetas.points(spec).items():
            got, want = likelihood.at(theta), brute.at(theta)
            size = np.sqrt(np.diag(want.average_information) + np.diag(want.expected_information))
            for kind in ("observed_information", "expected_information"):
                error = np.abs(getattr(got, kind) - getattr(want, kind)) / np.outer(size, size)
                assert error.max() < rtol, f"{kind} at {name}: {error.max():.1e}"


def test_differences_know_several_residual_variances_and_structures_of_few_parameters():
    for name in ("residual_variances", "compound_symmetry", "slopes_uncorrelated"):
        spec = problems.bound(name)
        brute = Brute(spec, True)
        for theta in thetas.points(spec).values():
            got, want = observed_by_differences(lambda t, b=brute: b.at(t).score, spec, theta), brute.at(theta)
            size = np.sqrt(np.diag(want.average_information) + np.diag(want.expected_information))
            assert (np.abs(got - want.observed_information) / np.outer(size, size)).max() < 1e-6


def test_moments_of_many_rows_are_estimated_without_bias_and_the_residual_s_exactly(animals, monkeypatch):
    data, cov = animals
    spec = bind("y ~ x + (1|id:A) + (1|herd)", data, cov=cov)
    likelihood = likelihoods.get("sparse")(spec)
    compare_moments(likelihood, Brute(spec, True), "exact")
    S, q = likelihood.moments()
    monkeypatch.setattr(sparse_moments, "EXACT", 0)
    monkeypatch.setattr(sparse_moments, "_PROBES", 40_000)
    guessed, same = likelihood.moments()
    np.testing.assert_allclose(same, q, **IDENTITY)
    np.testing.assert_allclose(guessed[-1], S[-1], **OBJECTIVE)
    np.testing.assert_allclose(guessed, S, rtol=0.1, atol=0)
    assert np.abs(guessed - S).max() > 0


def test_relatives_without_records_have_prediction_errors_from_the_same_equations(animals):
    data, cov = animals
    spec = bind("y ~ x + (1 + t|id:A) + (1|mother:A) + (1|herd)", data, cov=cov, weights="w")
    theta = thetas.points(spec)["inside"]
    sparse, dense = (likelihoods.get(name)(spec).at(theta) for name in ("sparse", "dense"))
    for i in range(3):
        for known in (False, True):
            got = blup.error_covariance(spec, sparse, i, fixed_known=known)
            want = blup.error_covariance(spec, dense, i, fixed_known=known)
            np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * np.abs(want).max())
        np.testing.assert_allclose(blup.effects(spec, sparse, i), blup.effects(spec, dense, i), rtol=0, atol=1e-9)
    assert sparse.prediction_cov_of_labels(0).shape == (26, 2, 2)
    assert sparse.prediction_cov_of_labels(2) is None


def test_a_slope_on_years_costs_no_digits(animals):
    data, cov = animals
    years = data.assign(year=2000.0 + np.round(3 * (data["t"] - 1.5)))
    centred = bind("y ~ t + (1 + c|id:A) + (1|herd)", years.assign(c=years["year"] - 2000.0), cov=cov)
    spec = bind("y ~ t + (1 + year|id:A) + (1|herd)", years, cov=cov)
    turn = np.array([[1.0, -2000.0], [0.0, 1.0]])  # intercept at year 0 from the intercept at 2000
    Sigma = np.array([[0.8, 0.1], [0.1, 0.3]])
    far = spec.theta([turn @ Sigma @ turn.T, np.eye(1) * 0.4, np.eye(1)])
    near = centred.theta([Sigma, np.eye(1) * 0.4, np.eye(1)])
    got, want = likelihoods.get("sparse")(spec).at(far), likelihoods.get("sparse")(centred).at(near)
    np.testing.assert_allclose(got.loglik, want.loglik, rtol=1e-9)
    np.testing.assert_allclose(got.beta, want.beta, rtol=1e-6)
    np.testing.assert_allclose(got.blup(0)[:, 1], want.blup(0)[:, 1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(got.score[[0, 3, 4]], want.score[[0, 3, 4]], rtol=1e-6)
    np.testing.assert_allclose(got.prediction_cov(0)[:, 1, 1], want.prediction_cov(0)[:, 1, 1], rtol=1e-6)


def test_zero_variances_are_exact_zeros(animals):
    data, cov = animals
    spec = bind("y ~ x + (1|id:A) + (1|herd)", data, cov=cov)
    likelihood = likelihoods.get("sparse")(spec)
    at = likelihood.at(np.array([0.0, 0.4, 1.0]))
    assert not at.blup(0).any() and not at.prediction_cov(0).any()
    near = likelihood.at(np.array([1e-9, 0.4, 1.0]))
    np.testing.assert_allclose(at.score, near.score, rtol=1e-6)
    np.testing.assert_allclose(at.loglik, near.loglik, rtol=1e-6)


@pytest.mark.parametrize("theta", [[-0.1, 0.4, 1.0], [0.3, 0.4, 0.0], [0.3, 0.4, -1.0], [np.nan, 0.4, 1.0]])
def test_what_is_no_covariance_is_refused(theta, animals):
    data, cov = animals
    spec = bind("y ~ x + (1|id:A) + (1|herd)", data, cov=cov)
    with pytest.raises(NotPositiveDefinite, match="not positive"):
        likelihoods.get("sparse")(spec).at(np.array(theta))


def test_a_residual_variance_of_zero_is_reached_where_the_random_effects_fill_the_rows():
    spec = problems.bound("relatives_without_rows")
    likelihood, brute = likelihoods.get("sparse")(spec), Brute(spec, True)
    for residual in (1e-4, 1e-6, 1e-9, 0.0):
        theta = np.array([0.9, residual])
        compare_evaluations(likelihood.at(theta), brute.at(theta), f"residual {residual}")
        other = np.asarray(spec.y)[::-1].copy()
        compare_evaluations(
            likelihood.with_response(other).at(theta), brute.with_response(other).at(theta), f"another y, {residual}"
        )
    with pytest.warns(mv.errors.BoundaryWarning, match="Residual"):
        fits = {name: spec.fit("reml", likelihood=name) for name in ("sparse", "dense")}
    np.testing.assert_allclose(fits["sparse"].llf, fits["dense"].llf, **OBJECTIVE)
    assert fits["sparse"].theta[1] == 0.0


def test_an_evaluation_is_freed_when_the_next_one_is_made(animals):
    data, cov = animals
    spec = bind("y ~ x + (1|id:A) + (1|herd)", data, cov=cov)
    likelihood = likelihoods.get("sparse")(spec)
    gc.disable()
    try:
        first = likelihood.at(np.array([0.3, 0.4, 1.0]))
        assert np.isfinite(first.score).all() and likelihood.at(first.theta) is first
        gone = weakref.ref(first)
        del first
        likelihood.at(np.array([0.2, 0.4, 1.0]))
        assert gone() is None
    finally:
        gc.enable()


def test_the_set_up_lives_as_long_as_the_specification(animals):
    data, cov = animals
    spec = bind("y ~ x + (1|id:A) + (1|herd)", data, cov=cov)
    one, two = (likelihoods.get("sparse")(spec, reml=reml) for reml in (True, False))
    assert one.setup is two.setup
    kept = weakref.ref(one.setup)
    del one, two
    gc.collect()
    assert kept() is not None
    del spec
    gc.collect()
    assert kept() is None


def _population(n, seed):
    """A pedigree of n animals over five generations with one record each, in litters of five."""
    rng = np.random.default_rng(seed)
    per = n // 5
    sire, dam, litter = np.full(n, -1), np.full(n, -1), np.arange(n) // 5
    for g in range(1, 5):
        own = np.arange(g * per, (g + 1) * per)
        families = np.arange(per) // 5
        count, parents = families.max() + 1, (g - 1) * per + rng.permutation(per)
        sire[own] = parents[rng.integers(0, 5, count)][families]
        dam[own] = parents[5 : 5 + count][families]
    ids = np.array([f"i{k}" for k in range(n)], dtype=object)
    u = np.zeros(n)
    for i in range(n):
        parents = [p for p in (sire[i], dam[i]) if p >= 0]
        u[i] = sum(u[p] for p in parents) / 2 + np.sqrt(1 - 0.25 * len(parents)) * rng.standard_normal()
    y = 3 + u + rng.standard_normal(litter.max() + 1)[litter] + rng.standard_normal(n)
    name = lambda p: np.where(p >= 0, ids[np.maximum(p, 0)], None)  # noqa: E731
    table = pd.DataFrame({"id": ids, "sire": name(sire), "dam": name(dam)})
    return pd.DataFrame({"y": y, "id": ids, "litter": [f"l{k}" for k in litter]}), table


def test_the_sparse_route_reaches_the_dense_optimum_on_a_pedigree():
    data, table = _population(300, 4)
    cov = {"A": mv.pedigree(table)}
    sparse, dense = (
        mv.fit("y ~ 1 + (1|id:A) + (1|litter)", data, cov=cov, likelihood=name) for name in ("sparse", "dense")
    )
    np.testing.assert_allclose(sparse.llf, dense.llf, rtol=1e-10)
    np.testing.assert_allclose(sparse.theta, dense.theta, rtol=1e-6)
    np.testing.assert_allclose(sparse.varcomp["se"], dense.varcomp["se"], rtol=1e-5)
    np.testing.assert_allclose(sparse.df_fixed(), dense.df_fixed(), rtol=1e-4)
    for name, want in dense.pev.items():
        np.testing.assert_allclose(sparse.pev[name], want, rtol=1e-6)


def test_pedigrees_of_some_size_are_fitted_sparsely_and_small_ones_are_not():
    data, table = _population(1500, 5)
    spec = bind("y ~ 1 + (1|id:A) + (1|litter)", data, cov={"A": mv.pedigree(table)})
    likelihood, reason = choose(spec)
    assert likelihood.name == "sparse" and "effects" in reason and "entries in their factor" in reason
    assert choose(problems.bound("pedigree"))[0].name != "sparse"


def test_two_large_crossed_factors_need_no_dense_matrix():
    rng = np.random.default_rng(6)
    n, q = 12_000, 5_000
    first = rng.integers(0, q, n)
    second = (first + rng.integers(0, 3, n)) % q  # each meets a few neighbours
    y = rng.standard_normal(q)[first] + rng.standard_normal(q)[second] + rng.standard_normal(n)
    terms = [assemble.term("a", first.astype(str)), assemble.term("b", second.astype(str))]
    spec = assemble.spec(y, np.ones((n, 1)), terms)
    prices = {choice.name: choice.cost for choice in rank_choices(spec)}
    assert prices["sparse"].memory < 1e8
    likelihood = likelihoods.get("sparse")(spec)
    assert likelihood.setup.equations.analysis.nnz < 40 * q
    at = likelihood.at(np.array([1.0, 1.0, 1.0]))
    Z = sp.hstack([term.Z() for term in terms])
    V = sp.csc_array(Z @ Z.T + sp.eye_array(n))
    v = rng.standard_normal(n)
    np.testing.assert_allclose(V @ at.solve(v), v, rtol=0, atol=1e-9)
    probes = rng.choice([-1.0, 1.0], (n, 40))
    guess = [float(np.sum(at.project(probes) * (T.Z() @ (T.Z().T @ probes))) / 40) for T in terms]
    np.testing.assert_allclose(at.trace[:2], guess, rtol=0.05)


@pytest.mark.parametrize(("n", "planned"), [(12_000, False), (1_200, True)])
def test_groupings_that_would_fill_in_are_priced_without_a_plan(n, planned):
    rng = np.random.default_rng(7)
    terms = [assemble.term(name, rng.permutation(n) % q) for name, q in (("a", 400), ("b", 350))]
    spec = assemble.spec(rng.standard_normal(n), np.ones((n, 1)), terms)
    reason = likelihoods.get("sparse").cost(spec).reason
    assert ("entries in their factor" in reason) == (id(spec) in sparse_mme._kept) == planned


def test_one_solve_a_row_is_refused_where_rows_are_many(animals, monkeypatch):
    data, cov = animals
    at = likelihoods.get("sparse")(bind("y ~ x + (1|id:A) + (1|herd)", data, cov=cov)).at(np.array([0.3, 0.4, 1.0]))
    monkeypatch.setattr(sparse_state, "MOST_ROWS", 35)
    with pytest.raises(mv.errors.MixedVCError, match=r"36 rows \(the M step of method='pxem'\).*use method='reml'"):
        _ = at.cross_trace


def test_other_kernels_are_left_to_other_likelihoods():
    kind = likelihoods.get("sparse")
    assert kind.cost(problems.bound("two_kernels")) is None
    assert kind.cost(problems.bound("features")) is None
    assert kind.cost(problems.bound("residual_unstructured")) is None
    with pytest.raises(mv.errors.MixedVCError, match="'sparse' likelihood does not apply"):
        choose(problems.bound("two_kernels"), name="sparse")
