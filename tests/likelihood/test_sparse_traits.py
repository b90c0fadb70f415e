"""The sparse likelihood of several traits: correlated residuals of records, missing cells, brute force and fits."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc import structures
from mixedvc.inference import blup, se
from mixedvc.likelihood import choose, likelihoods, sparse_equations, sparse_mme, sparse_moments
from mixedvc.likelihood.sparse_residual import has_records, records_of
from mixedvc.likelihood.sparse_sources import source_of
from mixedvc.linalg.dense import NotPositiveDefinite
from mixedvc.linalg.sparse_cholesky import analyse
from mixedvc.testing import assemble, problems, thetas
from mixedvc.testing.brute import Brute
from mixedvc.testing.likelihood_checks import (
    compare_evaluations,
    compare_moments,
    draw_checks,
    finite_difference_score,
)

from ..tolerances import IDENTITY, OBJECTIVE


def _animals(n, traits, seed, *, missing=0.25, repeated=False):
    """Records of some of 14 animals (ancestors without any), their herds, a covariate; cells missing at random."""
    rng = np.random.default_rng(seed)
    ids = [f"a{i}" for i in range(14)]
    parent = lambda i: None if i < 4 or rng.random() < 0.2 else f"a{rng.integers(0, i)}"  # noqa: E731
    table = pd.DataFrame({"id": ids, "sire": [parent(i) for i in range(14)], "dam": [parent(i) for i in range(14)]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.CovarianceWarning)  # some animals are both sire and dam
        A = mv.pedigree(table)
    who = np.array(ids, dtype=object)[rng.integers(9, 14, n) if repeated else rng.integers(4, 14, n)]
    herd = [f"h{i}" for i in rng.integers(0, 4, n)]
    Y = 1.0 + rng.standard_normal((n, traits)) * np.linspace(1.0, 2.0, traits)
    gone = rng.random((n, traits)) < missing
    gone[gone.all(axis=1), 0] = False
    Y[gone] = np.nan
    return Y, np.column_stack([np.ones(n), rng.standard_normal(n)]), who, herd, A, rng


def _spec(name):
    """One of several models of 2 or 3 traits."""
    if name == "animal and herd":
        Y, X, who, herd, A, _ = _animals(20, 2, 1)
        return assemble.traits_spec(Y, X, [assemble.term("id", who, covariance=A), assemble.term("herd", herd)])
    if name == "repeated records, weights, permanent environment":
        Y, X, who, _, A, rng = _animals(16, 3, 2, repeated=True)
        terms = [assemble.term("id", who, covariance=A), assemble.term("pe", who)]
        return assemble.traits_spec(Y, X[:, :1], terms, weights=rng.uniform(0.3, 3.0, 16))
    if name == "regressions of every trait, complete":
        Y, X, who, _, A, rng = _animals(20, 2, 3, missing=0.0)
        basis = np.column_stack([np.ones(20), rng.uniform(1.0, 3.0, 20)])
        return assemble.traits_spec(Y, X, [assemble.term("id", who, basis=basis, covariance=A)])
    if name == "independent traits in every term":
        Y, X, who, herd, A, _ = _animals(18, 3, 4)
        terms = [assemble.term("id", who, covariance=A), assemble.term("herd", herd)]
        return assemble.traits_spec(Y, X[:, :1], terms, structure="diag", residual_structure="diag")
    if name == "crossed groupings":
        Y, X, who, herd, _, _ = _animals(20, 3, 5)
        return assemble.traits_spec(Y, X, [assemble.term("who", who), assemble.term("herd", herd)], structure="cs")
    Y, X, who, herd, A, _ = _animals(18, 2, 6)
    spec = assemble.traits_spec(Y, X, [assemble.term("id", who, covariance=A), assemble.term("herd", herd)])
    one_trait = replace(
        spec.terms[1], structure=structures.make("us", 1), effects=("y2",), basis=spec.terms[1].basis[:, 1:]
    )
    return replace(spec, terms=(spec.terms[0], one_trait))


MODELS = [
    "animal and herd",
    "repeated records, weights, permanent environment",
    "regressions of every trait, complete",
    "independent traits in every term",
    "crossed groupings",
    "a term of one trait alone",
]


@pytest.mark.parametrize("name", MODELS)
def test_every_quantity_equals_brute_force_inside_and_on_the_edge(name):
    spec = _spec(name)
    likelihood, brute = likelihoods.get("sparse")(spec, reml=True), Brute(spec, True)
    for where, theta in thetas.points(spec).items():
        compare_evaluations(likelihood.at(theta), brute.at(theta), f"{name}, {where}")
    theta = thetas.points(spec)["inside"]
    compare_evaluations(likelihoods.get("sparse")(spec, reml=False).at(theta), Brute(spec, False).at(theta), name)
    finite_difference_score(likelihood, thetas.points(spec)["inside too"], name)
    compare_moments(likelihood, brute, name)


@pytest.mark.slow
def test_draws_have_the_posterior_s_moments():
    draw_checks(likelihoods.get("sparse"), _spec("animal and herd"))


def test_rows_of_a_record_need_not_be_neighbours_nor_share_a_level():
    """A residual in groups whose rows have different levels of a term: us(0 + f | g) beside a crossed grouping."""
    spec = problems.bound("residual_unstructured")
    rng = np.random.default_rng(8)
    order = rng.permutation(spec.n)
    site = assemble.term("site", np.array([f"s{i}" for i in rng.integers(0, 5, spec.n)], dtype=object))
    residual = replace(spec.residual, codes=spec.residual.codes[order], basis=spec.residual.basis[order])
    crossed = replace(spec, terms=(site,), residual=residual, y=spec.y[order], X=spec.X[order])
    records = records_of(residual)
    assert (
        sum(len(s.cells) for s in records.sets) <= 7 and not records.single
    )  # the sets of three cells, however shuffled
    for reml in (True, False):
        likelihood, brute = likelihoods.get("sparse")(crossed, reml=reml), Brute(crossed, reml)
        for where, theta in thetas.points(crossed).items():
            compare_evaluations(likelihood.at(theta), brute.at(theta), where)
        compare_moments(likelihood, brute, "levels differ within a record")


def test_informations_by_differences_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr(sparse_mme, "_DIRECT", 0)
    spec = _spec("animal and herd")
    points = {k: v for k, v in thetas.points(spec).items() if k in ("inside", "id of rank one", "herd zero")}
    for reml in (True, False):
        likelihood, brute = likelihoods.get("sparse")(spec, reml=reml), Brute(spec, reml)
        for where, theta in points.items():
            got, want = likelihood.at(theta), brute.at(theta)
            size = np.sqrt(np.diag(want.average_information) + np.diag(want.expected_information))
            for kind in ("observed_information", "expected_information"):
                error = np.abs(getattr(got, kind) - getattr(want, kind)) / np.outer(size, size)
                assert error.max() < 1e-6, f"{kind} at {where}: {error.max():.1e}"


def test_moments_of_many_rows_are_estimated_and_the_residual_s_exactly(monkeypatch):
    likelihood = likelihoods.get("sparse")(_spec("animal and herd"))
    S, q = likelihood.moments()
    monkeypatch.setattr(sparse_moments, "EXACT", 0)
    monkeypatch.setattr(sparse_moments, "_PROBES", 20_000)
    guessed, same = likelihood.moments()
    np.testing.assert_allclose(same, q, **IDENTITY)
    np.testing.assert_allclose(guessed[-3:], S[-3:], **OBJECTIVE)
    assert 0 < np.abs(guessed - S).max() < 0.1 * np.abs(S).max()


@pytest.mark.parametrize("unit", [[1e-6, 1e6], [1.0, 1e-7, 1e7]])
def test_traits_in_units_of_a_million_and_a_millionth_cost_no_digits(unit):
    """θ of traits y·c is D θ D, and so is everything that follows; zero and singular Σ stay so."""
    Y, X, who, herd, A, _ = _animals(20, len(unit), 1)
    terms = [assemble.term("id", who, covariance=A), assemble.term("herd", herd)]
    near, far = assemble.traits_spec(Y, X, terms), assemble.traits_spec(Y * unit, X, terms)
    unit = np.array(unit)
    jacobian = np.sum(np.log(unit)[near.traits.trait]) - 2 * np.log(unit).sum()  # REML: two columns a trait
    for where, theta in thetas.points(near).items():
        got = likelihoods.get("sparse")(far).at(far.theta([S * np.outer(unit, unit) for S in near.sigmas(theta)]))
        want = Brute(near).at(theta)
        factor = np.array([unit[w.a] * unit[w.b] for w in near.index])
        allowed = 1e-7 * np.abs(want.quad).max() + 1e-7 * np.abs(want.trace).max()
        np.testing.assert_allclose(got.loglik + jacobian, want.loglik, rtol=1e-8, err_msg=where)
        np.testing.assert_allclose(got.score * factor, want.score, rtol=0, atol=allowed, err_msg=where)
        np.testing.assert_allclose(got.blup(0) / unit, want.blup(0), rtol=0, atol=1e-7, err_msg=where)


def test_relatives_without_records_are_predicted_for_every_trait():
    spec = _spec("repeated records, weights, permanent environment")
    theta = thetas.points(spec)["inside"]
    sparse, dense = (likelihoods.get(name)(spec).at(theta) for name in ("sparse", "dense"))
    for known in (False, True):
        got = blup.error_covariance(spec, sparse, 0, fixed_known=known)
        want = blup.error_covariance(spec, dense, 0, fixed_known=known)
        assert got.shape == (14, 3, 3)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9 * np.abs(want).max())
    np.testing.assert_allclose(blup.effects(spec, sparse, 0), blup.effects(spec, dense, 0), rtol=0, atol=1e-9)


def test_a_vanishing_or_singular_residual_is_evaluated_where_the_random_effects_fill_the_rows():
    Y, X, who, _, _, _ = _animals(16, 2, 7)
    each = assemble.term("each", [f"r{i}" for i in range(16)])
    spec = assemble.traits_spec(Y, X, [each, assemble.term("who", who)])
    sparse = likelihoods.get("sparse")(spec)
    G, H, e = np.array([[0.9, 0.2], [0.2, 0.7]]), 0.3 * np.eye(2), np.array([1.0, -0.8])
    close = np.array([[1.0, 1.0 - 1e-9], [1.0 - 1e-9, 1.0]])
    for residual in (1e-7 * np.eye(2), np.diag([0.5, 1e-9]), np.outer(e, e), close, np.zeros((2, 2))):
        theta = spec.theta([G, H, residual])
        compare_evaluations(sparse.at(theta), Brute(spec).at(theta), f"residual {residual.tolist()}")


@pytest.mark.parametrize("residual", [[[1.0, 2.0], [2.0, 1.0]], [[-0.1, 0.0], [0.0, 1.0]], [[np.nan, 0.0], [0.0, 1.0]]])
def test_what_is_no_residual_covariance_is_refused(residual):
    spec = _spec("animal and herd")
    with pytest.raises(NotPositiveDefinite, match="not positive"):
        likelihoods.get("sparse")(spec).at(spec.theta([np.eye(2), np.eye(2), np.array(residual)]))


def test_a_singular_residual_of_many_rows_is_refused(monkeypatch):
    spec = _spec("animal and herd")
    monkeypatch.setattr(sparse_mme, "_WHOLE", spec.n - 1)
    with pytest.raises(NotPositiveDefinite, match="not positive"):
        likelihoods.get("sparse")(spec).at(spec.theta([np.eye(2), np.eye(2), np.ones((2, 2))]))


def test_a_cell_twice_in_a_record_or_shared_entries_are_left_to_other_likelihoods():
    spec = _spec("animal and herd")
    twice = replace(spec.residual, codes=np.zeros(spec.n, dtype=np.intp))
    assert has_records(spec.residual) and not has_records(twice)
    assert likelihoods.get("sparse").cost(replace(spec, residual=twice)) is None
    assert likelihoods.get("sparse").cost(problems.bound("residual_exchangeable")) is None


@pytest.fixture(scope="module")
def population():
    """900 animals of three generations in litters, two traits and a fifth of the cells missing."""
    rng = np.random.default_rng(11)
    per, n = 300, 900
    sire, dam = np.full(n, -1), np.full(n, -1)
    for g in (1, 2):
        own, family = np.arange(g * per, (g + 1) * per), np.arange(per) // 5
        parents = (g - 1) * per + rng.permutation(per)
        sire[own], dam[own] = parents[rng.integers(0, 8, 60)][family], parents[8:68][family]
    u, root = np.zeros((n, 2)), np.linalg.cholesky([[1.0, 0.5], [0.5, 0.8]])
    for i in range(n):
        known = [p for p in (sire[i], dam[i]) if p >= 0]
        u[i] = sum(u[p] for p in known) / 2 + np.sqrt(1 - 0.25 * len(known)) * (root @ rng.standard_normal(2))
    litter = np.arange(n) // 5
    Y = 3 + u + 0.5 * rng.standard_normal((n // 5, 2))[litter] + rng.standard_normal((n, 2)) @ [[1.0, 0.3], [0.0, 0.9]]
    gone = rng.random((n, 2)) < 0.2
    gone[gone.all(axis=1), 1] = False
    Y[gone] = np.nan
    ids = np.array([f"i{k}" for k in range(n)], dtype=object)
    label = lambda p: np.where(p >= 0, ids[np.maximum(p, 0)], None)  # noqa: E731
    A = mv.pedigree(pd.DataFrame({"id": ids, "sire": label(sire), "dam": label(dam)}))
    data = pd.DataFrame({"id": ids, "litter": [f"l{k}" for k in litter], "y1": Y[:, 0], "y2": Y[:, 1]})
    return data, {"A": A}


def test_animals_of_two_traits_are_fitted_sparsely_and_reach_the_dense_optimum(population):
    data, cov = population
    small = data.iloc[:450]
    formula = "cbind(y1, y2) ~ 1 + (1|id:A) + (1|litter)"
    sparse, dense = (mv.fit(formula, small, cov=cov, likelihood=name) for name in ("sparse", "dense"))
    np.testing.assert_allclose(sparse.llf, dense.llf, rtol=1e-10)
    np.testing.assert_allclose(sparse.theta, dense.theta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sparse.covariance("average").se, dense.covariance("average").se, rtol=1e-4)
    spec = mv.model(formula, data, cov=cov)
    likelihood, reason = choose(spec)
    assert likelihood.name == "sparse" and "entries in their factor" in reason


def test_standard_errors_of_many_parameters_are_those_of_the_average_information_where_scores_are_dear(monkeypatch):
    spec = _spec("animal and herd")
    assert se.default_kind(spec, "sparse") == "expected"
    monkeypatch.setattr(se, "MOST_SCORES", 1e8)  # 18 scores of 4e7 and more
    assert se.default_kind(spec, "sparse") == "average"


def test_effects_of_a_level_are_eliminated_one_after_the_other(population):
    data, cov = population
    spec = mv.model("cbind(y1, y2) ~ 1 + (1|id:A) + (1|litter)", data, cov=cov)
    analysis = likelihoods.get("sparse")(spec).setup.equations.analysis
    rank = np.argsort(sparse_equations._level_order(*_levels(spec)))
    assert (np.diff(rank.reshape(-1, 2), axis=1) == 1).all()
    assert (
        analysis.nnz <= 1.1 * analyse(sp.coo_array((np.ones(len(analysis.rows)), (analysis.rows, analysis.cols)))).nnz
    )


def _levels(spec):
    """What the order is made from, of terms whose levels meet where they share a record."""
    sources = [source_of(term) for term in spec.terms]
    met = [source.seen[term.codes] for source, term in zip(sources, spec.terms, strict=True)]
    patterns = [(i, j, met[i], met[j]) for i in range(2) for j in range(i, 2)]
    return patterns, sources, [2, 2]


@pytest.mark.parametrize(("n", "planned"), [(2_800, True), (8_000, False)])
def test_a_record_of_two_traits_meets_a_level_once(n, planned):
    """What will fill in is judged by records: seven in a level of 400 do not join 350 others, twenty do."""
    rng = np.random.default_rng(7)
    terms = [assemble.term(name, rng.permutation(n) % q) for name, q in (("a", 400), ("b", 350))]
    spec = assemble.traits_spec(rng.standard_normal((n, 2)), np.ones((n, 1)), terms)
    assert ("entries in their factor" in likelihoods.get("sparse").cost(spec).reason) == planned
