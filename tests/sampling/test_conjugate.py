"""The conjugate scheme: its parts against closed forms, its engines against each other, states and blocks."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.integrate import quad

import mixedvc as mv
from mixedvc import priors as pr
from mixedvc.errors import CovarianceError
from mixedvc.likelihood import likelihoods
from mixedvc.likelihood.sparse_residual import records_of
from mixedvc.priors.resolve import resolve
from mixedvc.sampling.augment import ResidualRows
from mixedvc.sampling.base import block_rng
from mixedvc.sampling.conjugate import ConjugatePlan, plan_conjugate
from mixedvc.sampling.conjugate_engines import Rotated, Rows, SparseRows, engine_of
from mixedvc.sampling.conjugate_expanded import expansion_of
from mixedvc.sampling.conjugate_sliced import _Density
from mixedvc.sampling.conjugate_slices import slice_coordinates
from mixedvc.sampling.coordinates import Spherical
from mixedvc.sampling.effects_sources import effect_source
from mixedvc.sampling.expanded import Regression
from mixedvc.sampling.quadratic import RecordScatter, Scatter
from mixedvc.sampling.target import Target
from mixedvc.structures.us import Unstructured
from mixedvc.testing import assemble, problems, thetas

from ..tolerances import IDENTITY, OBJECTIVE
from .geweke_cases import IW2, groups, kernel, pedigree, traits
from .test_effects import Impulse, exact_law


def start_of(spec):
    return np.concatenate([t.structure.start(np.eye(t.k)) for t in spec.all_terms])


def target_of(spec, kind, given=None):
    return Target(spec, likelihoods.get(kind)(spec, reml=True), resolve(spec, given))


def kinds(spec):
    return [name for name in likelihoods.names() if likelihoods.get(name).cost(spec) is not None]


def run(target, blocks, seed=1, thin=1):
    scheme = plan_conjugate(target, start_of(target.spec), thin).scheme(target)
    state, pieces = scheme.begin(block_rng(seed, 0, -1)), []
    for block in range(blocks):
        piece, state = scheme.advance(state, block_rng(seed, 0, block))
        pieces.append(piece)
    return pieces, state


# ---- engines -----------------------------------------------------------------------------------------------


class Mean(Impulse):
    """Zeros, wherever the numbers are asked for."""

    def draw(self, *args):
        return self.standard_normal(*args)


@pytest.mark.parametrize("name", problems.names())
def test_the_effects_of_every_engine_have_the_law_given_the_drawn_fixed_effects(name):
    spec = problems.bound(name)
    rng = np.random.default_rng(3)
    theta = thetas.interior(spec, rng)
    for kind in kinds(spec):
        engine = engine_of(target_of(spec, kind))
        if not isinstance(engine, Rows):
            continue
        where = engine.draw(theta, Mean())
        seen = [source.seen(W) for source, W in zip(engine.sources, where.effects, strict=True)]
        if seen:
            want, _ = exact_law(spec, theta, where.beta)
            size = np.abs(want).max()
            np.testing.assert_allclose(
                np.concatenate([u.ravel() for u in seen]) / size, want / size, rtol=1e-6, atol=1e-8
            )
        left = spec.response - spec.X @ where.beta
        left = left - sum((t.spread(u) for t, u in zip(spec.terms, seen, strict=True)), np.zeros(spec.n))
        np.testing.assert_allclose(where.e, left, **OBJECTIVE)


@pytest.mark.parametrize("spec", [groups(), kernel("full"), kernel("singular"), kernel("features")])
def test_rotated_effects_are_those_of_the_rows(spec):
    target = target_of(spec, "spectral")
    engine, theta = engine_of(target), np.array([0.7, 1.3])
    assert isinstance(engine, Rotated)
    where = engine.draw(theta, Mean())
    rows = engine_of(target_of(spec, "dense")).draw(theta, Mean())
    np.testing.assert_allclose(where.beta, rows.beta, **OBJECTIVE)
    found, other = engine.residual.scatter(where.e, np.eye(1), None), rows.e @ rows.e
    np.testing.assert_allclose(found.S[0, 0], other, **OBJECTIVE)
    assert found.count == spec.n
    np.testing.assert_allclose(engine.left(where.beta, where.effects), where.e, **IDENTITY)


def test_degrees_of_freedom_are_the_rank_of_the_covariance_among_the_levels_used():
    for kind, rank in (("full", 7), ("singular", 4), ("features", 3)):
        spec = kernel(kind)
        for likelihood in ("dense", "spectral"):
            engine = engine_of(target_of(spec, likelihood))
            where = engine.draw(np.array([0.7, 1.3]), np.random.default_rng(1))
            assert engine.scatter(0, where.effects[0]).count == rank


def test_a_scatter_is_the_quadratic_form_with_the_inverse_of_the_covariance():
    ids, A = pedigree()
    spec = assemble.spec(np.arange(4.0), np.ones((4, 1)), [assemble.term("a", ["a7", "a8", "a5", "a7"], covariance=A)])
    source = effect_source(spec.terms[0])
    u = np.random.default_rng(1).standard_normal((len(ids), 2))
    found = source.scatter(u)
    kept = A.ancestors(spec.terms[0].positions)  # a9 and a10 have no records, nor offspring with any
    assert found.count == len(kept) == 9
    want = u[kept].T @ np.linalg.inv(A.block()[np.ix_(kept, kept)]) @ u[kept]
    np.testing.assert_allclose(found.S, want, **OBJECTIVE)


def test_a_matrix_that_is_no_covariance_has_no_effects_to_draw():
    ids = ["a", "b", "c", "d"]
    K = np.eye(4)
    K[0, 1] = K[1, 0] = 1.3
    term = assemble.term("k", ids * 2, covariance=mv.Dense(K, ids, psd="allow"))
    with pytest.raises(CovarianceError, match="psd='clip'"):
        effect_source(term)


# ---- updates -----------------------------------------------------------------------------------------------


def test_the_scatter_has_the_density_of_its_rows():
    rng = np.random.default_rng(2)
    U, Sigma = rng.standard_normal((9, 3)), np.array([[2.0, 0.3, 0.1], [0.3, 1.0, -0.4], [0.1, -0.4, 3.0]])
    found = Scatter(U.T @ U, 9)
    want = -0.5 * (9 * np.linalg.slogdet(Sigma)[1] + np.einsum("na,ab,nb->", U, np.linalg.inv(Sigma), U))
    singular = np.ones((3, 3))
    np.testing.assert_allclose(found.log_density(np.stack([Sigma, singular])), [want, -np.inf], **OBJECTIVE)
    counts = np.array([9, 5, 2])
    apart = Scatter(np.diag([3.0, 2.0, 1.0]), counts).log_density(np.diag([2.0, 1.0, 3.0])[None])
    np.testing.assert_allclose(apart, [-0.5 * (counts @ np.log([2.0, 1.0, 3.0]) + 1.5 + 2.0 + 1 / 3)], **OBJECTIVE)


def test_records_that_lack_cells_have_the_density_of_the_cells_they_have():
    spec = traits()
    rng = np.random.default_rng(2)
    e, Sigma = rng.standard_normal(spec.n), np.array([[1.2, 0.4], [0.4, 0.9]])
    R = np.zeros((spec.n, spec.n))
    for i in range(spec.n):
        for j in range(spec.n):
            if spec.residual.codes[i] == spec.residual.codes[j]:
                R[i, j] = spec.residual.basis[i] @ Sigma @ spec.residual.basis[j]
    want = -0.5 * (np.linalg.slogdet(R)[1] + e @ np.linalg.solve(R, e))
    found = RecordScatter.of(records_of(spec.residual), e).log_density(Sigma[None])
    np.testing.assert_allclose(found, [want], **OBJECTIVE)
    rows = ResidualRows(spec.residual)
    np.testing.assert_allclose(rows.weighted(e[:, None], Sigma)[:, 0], np.linalg.solve(R, e), **OBJECTIVE)


def test_missing_cells_are_drawn_from_their_law_given_the_others():
    Y = np.random.default_rng(1).standard_normal((5, 3))
    Y[0, 1] = Y[1, 0] = Y[1, 2] = np.nan
    spec = assemble.traits_spec(Y, np.ones((5, 1)), [assemble.term("g", [0, 1, 2, 0, 1])], weights=[1, 2, 3, 1, 0.5])
    Sigma = np.array([[1.0, 0.3, 0.2], [0.3, 2.0, -0.5], [0.2, -0.5, 0.7]])
    e, rows = np.random.default_rng(2).standard_normal(spec.n), ResidualRows(spec.residual)
    whole = np.full((5, 3), np.nan)
    whole[spec.traits.record, spec.traits.trait] = e * np.sqrt(spec.weights)
    for have, lack, record in (([0, 2], [1], 0), ([1], [0, 2], 1)):
        whole[record, lack] = Sigma[np.ix_(lack, have)] @ np.linalg.solve(
            Sigma[np.ix_(have, have)], whole[record, have]
        )
    np.testing.assert_allclose(rows.scatter(e, Sigma, Impulse()).S, whole.T @ whole, **OBJECTIVE)
    rng, added = np.random.default_rng(3), []
    for _ in range(1500):
        added.append(rows.scatter(e, Sigma, rng).S - whole.T @ whole)
    rest = np.zeros((3, 3))  # expectation of what the draws add: their covariance given the others
    for have, lack in (([0, 2], [1]), ([1], [0, 2])):
        S = Sigma[np.ix_(lack, lack)]
        S = S - Sigma[np.ix_(lack, have)] @ np.linalg.solve(Sigma[np.ix_(have, have)], Sigma[np.ix_(have, lack)])
        rest[np.ix_(lack, lack)] += S
    z = (np.mean(added, axis=0) - rest) / (np.std(added, axis=0) / np.sqrt(len(added)))
    assert np.abs(z).max() < 4.5


def test_working_parameters_have_the_law_of_a_regression_with_a_normal_prior():
    rng = np.random.default_rng(4)
    M, e, r = rng.standard_normal((7, 2)), rng.standard_normal(7), rng.uniform(0.5, 2.0, 7)
    mean, cov = np.array([0.3, -1.0]), np.array([[2.0, 0.4], [0.4, 0.5]])
    regression = Regression.of(M, M / r[:, None], e)
    precision = np.linalg.inv(cov) + M.T @ (M / r[:, None])
    want = np.linalg.solve(precision, np.linalg.solve(cov, mean) + M.T @ (e / r))
    centre = regression.draw(mean, cov, Impulse())
    np.testing.assert_allclose(centre, want, **OBJECTIVE)
    root = np.array([regression.draw(mean, cov, Impulse(i)) - centre for i in range(2)]).T
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(precision), **OBJECTIVE)


def test_half_t_priors_are_expanded_and_inverse_gamma_ones_beside_them_are_not():
    term = assemble.term("g", [0, 1, 0, 1], basis=np.eye(2)[[0, 1, 1, 0]], structure="diag")
    bound = pr.HalfT(3.0, 0.8).bind(term.structure, "g", np.ones(2), term.effects)
    found = expansion_of(bound)
    np.testing.assert_array_equal(found.free, [0, 1])
    np.testing.assert_allclose(found.cov, 0.64 * np.eye(2), **IDENTITY)
    assert expansion_of(pr.InverseGamma(1.0, 1.0).bind(term.structure, "g", np.ones(2), term.effects)) is None


def test_slices_leave_a_law_of_two_coordinates_as_it_is():
    def log_density(z):
        return -0.5 * (z[:, 0] ** 2 + (z[:, 1] - 0.8 * z[:, 0]) ** 2 / 0.36) + np.where(z[:, 0] > -1.0, 0.0, -np.inf)

    rng, out = np.random.default_rng(1), []
    for _ in range(1500):  # independent starts from the law itself
        x = rng.standard_normal()
        while x <= -1.0:
            x = rng.standard_normal()
        z = np.array([x, 0.8 * x + 0.6 * rng.standard_normal()])
        out.append(np.append(z, slice_coordinates(z, log_density, rng, 1.0)))
    out = np.array(out)
    for moment in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:], lambda z: np.cos(3 * z)):
        differences = moment(out[:, 2:]) - moment(out[:, :2])
        assert np.abs(differences.mean(axis=0) / differences.std(axis=0) * np.sqrt(len(out))).max() < 4.5
    assert np.abs(np.corrcoef(out[:, 0], out[:, 2])[0, 1]) < 0.8


@pytest.mark.parametrize("count", [5, 9])
def test_proposals_of_a_whole_matrix_leave_its_exact_law_as_it_is(count):
    """Σ | S, count is inverse Wishart under such a prior: ½ log|Σ| of draws of it, before and after a proposal."""
    structure, S = Unstructured(2), np.array([[4.0, 1.0], [1.0, 2.0]])
    prior = pr.InverseWishart(V=[[1.0, 0.3], [0.3, 0.5]], nu=4.0).bind(structure, "g")
    density = _Density(prior, Spherical(structure, np.eye(2)))
    rng, found, size = np.random.default_rng(4), Scatter(S, count), []
    for _ in range(6000):
        before, _ = prior.update(S, count, np.empty(0), rng)
        z = density.coordinates.z(before[None])[0]
        after = density.coordinates.par(density.proposed(z, found, rng)[None])[0]
        size.append([np.log(p[0] * p[2] - p[1] ** 2) for p in (before, after)] + [before[1] ** 2, after[1] ** 2])
    size = np.array(size)
    for a, b in (size[:, :2].T, size[:, 2:].T):
        moved = b - a
        assert (moved != 0.0).mean() > 0.3
        assert abs(moved.mean()) < 4.5 * moved.std() / np.sqrt(len(moved))


# ---- the chain ---------------------------------------------------------------------------------------------


def test_quantiles_of_the_posterior_are_those_of_quadrature():
    spec = groups(8, 3, seed=5)
    given = {"g": pr.InverseGamma(2.0, 1.0), "residual": pr.InverseGamma(2.0, 1.0)}
    target = target_of(spec, "spectral", given)
    pieces, _ = run(target, 50)
    draws = np.concatenate([piece.theta for piece in pieces])[200:]
    grid = np.linspace(-4.0, 4.0, 101)
    z = np.array([[a, b] for a in grid for b in grid])
    lp = target.at(target.z(np.exp(z))).lp_par + z.sum(axis=1)
    weight = np.exp(lp - lp.max()).reshape(101, 101)
    for j, marginal in enumerate((weight.sum(axis=1), weight.sum(axis=0))):
        cdf = np.cumsum(marginal) / marginal.sum()
        for q in (0.1, 0.5, 0.9):
            below = np.log(draws[:, j]) < np.interp(q, cdf, grid + 0.5 * (grid[1] - grid[0]))
            batches = below[: len(below) // 20 * 20].reshape(20, -1).mean(axis=1)
            assert abs(below.mean() - q) < 5.0 * batches.std(ddof=1) / np.sqrt(20)


def test_log_posterior_and_likelihood_of_kept_draws_are_those_of_the_target():
    spec = problems.bound("families")
    target = target_of(spec, "dense")
    (piece,), _ = run(target, 1)
    at = target.at(target.z(piece.par[:5]))
    np.testing.assert_allclose(piece.lp[:5], at.lp_par, **OBJECTIVE)
    np.testing.assert_allclose(piece.loglik[:5], at.at.loglik, **OBJECTIVE)
    np.testing.assert_allclose(piece.theta, target.theta(piece.par), **IDENTITY)


def test_thinned_draws_are_every_so_many_of_the_chain_of_a_block():
    spec = problems.bound("one_way")
    target = target_of(spec, "spectral")
    plan = plan_conjugate(target, start_of(spec))
    whole = ConjugatePlan(plan.start, thin=1, block=60).scheme(target)
    thinned = ConjugatePlan(plan.start, thin=3, block=20).scheme(target)
    state = whole.begin(np.random.default_rng(1))
    all_, after = whole.advance(state, np.random.default_rng(2))
    some, also = thinned.advance(state, np.random.default_rng(2))
    np.testing.assert_array_equal(all_.par[2::3], some.par)
    assert some.facts["iterations"] == all_.facts["iterations"] == 60
    for name, value in after.items():
        np.testing.assert_array_equal(value, also[name])


@pytest.mark.parametrize("name", ["traits_missing", "slopes_uncorrelated", "residual_autoregressive", "traits_factor"])
def test_states_are_arrays_from_which_the_same_chain_goes_on(name):
    spec = problems.bound(name)
    target = target_of(spec, kinds(spec)[0])
    plan = ConjugatePlan(target.inside(start_of(spec)), block=4)
    scheme = plan.scheme(target)
    state = scheme.begin(block_rng(1, 0, -1))
    before = {key: value.copy() for key, value in state.items()}
    first, after = scheme.advance(state, block_rng(1, 0, 0))
    for key, value in state.items():
        assert isinstance(value, np.ndarray)
        np.testing.assert_array_equal(value, before[key])  # the state handed in stays what it was
    second, _ = plan.scheme(target).advance(before, block_rng(1, 0, 0))
    np.testing.assert_array_equal(first.par, second.par)
    assert set(after) == set(state)
    assert np.isfinite(first.lp).all()


def test_a_prior_without_a_density_to_evaluate_is_sampled_with_its_working_parameters():
    px = pr.ParameterExpanded(np.array([[1.0, 0.2], [0.2, 0.6]]), 4.0, [0.3, -0.5], np.array([[0.8, 0.1], [0.1, 0.5]]))
    spec = groups(6, 3, slope=True)
    target = target_of(spec, "dense", {"g": px, "residual": pr.InverseGamma(2.0, 1.0)})
    assert target.priors.terms[0].closed
    (piece,), state = run(target, 1)
    assert np.isfinite(piece.lp).all()
    assert state["alpha 0"].shape == (2,)


@pytest.mark.parametrize(
    ("given", "structure"),
    [(pr.ParameterExpanded(1.0, 4.0, 0.3, 2.0), "us"), (pr.LKJ(2.0), "us"), (pr.HalfT(3.0, 1.0), "diag")],
)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_effects_that_an_update_moves_take_the_residual_with_them(given, structure, kind):
    spec = groups(6, 3, True, structure)
    target = target_of(spec, kind, {"g": given, "residual": pr.InverseGamma(2.0, 1.0)})
    scheme, rng = plan_conjugate(target, start_of(spec)).scheme(target), np.random.default_rng(3)
    here = scheme._here(scheme.begin(rng))
    before = here.where.effects[0].copy()
    par, own = scheme.updates[0].draw(here.pieces[0], here.own[0], here.where, np.eye(1), rng)
    assert not np.allclose(here.where.effects[0], before)
    np.testing.assert_allclose(here.where.e, scheme.engine.left(here.where.beta, here.where.effects), **OBJECTIVE)
    assert set(own) == set(here.own[0])
    assert not np.allclose(par, here.pieces[0])


def test_the_inner_matrix_of_an_expansion_is_drawn_given_effects_without_their_working_parameters():
    spec = groups(6, 3, True)
    px = pr.ParameterExpanded(np.eye(2), 4.0, 0.3, 2.0)
    target = target_of(spec, "dense", {"g": px, "residual": pr.InverseGamma(2.0, 1.0)})
    scheme, rng, seen = plan_conjugate(target, start_of(spec)).scheme(target), np.random.default_rng(3), []

    class Recorder:
        def draw(self, found, rng):
            seen.append(found)
            return np.array([[1.0, 0.2], [0.2, 3.0]])

    update = scheme.updates[0]
    update.expansion = replace(update.expansion, inner=Recorder())
    here, alpha = scheme._here(scheme.begin(rng)), np.array([2.0, -0.5])
    eta = here.where.effects[0] / alpha
    par, own = update.draw(here.pieces[0], {"alpha": alpha}, here.where, np.eye(1), rng)
    np.testing.assert_allclose(seen[0].S, eta.T @ eta, **OBJECTIVE)
    assert seen[0].count == 6
    new = own["alpha"]
    np.testing.assert_allclose(here.where.effects[0], eta * new, **OBJECTIVE)
    np.testing.assert_allclose(par, [new[0] ** 2, 0.2 * new[0] * new[1], 3.0 * new[1] ** 2], **OBJECTIVE)


def test_held_parameters_stay():
    spec = groups()
    target = target_of(spec, "sparse", {"g": pr.Fixed(0.4), "residual": pr.InverseGamma(2.0, 1.0)})
    assert isinstance(engine_of(target), SparseRows)
    (piece,), _ = run(target, 1)
    np.testing.assert_array_equal(piece.par[:, 0], 0.4)
    assert np.ptp(piece.par[:, 1]) > 0.0


def test_a_model_without_random_terms_has_independent_draws_of_its_variance():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"y": rng.standard_normal(12), "x": rng.standard_normal(12)})
    spec = problems.problem("one_way").spec()
    spec = assemble.spec(data["y"], np.column_stack([np.ones(12), data["x"]]), [])
    target = target_of(spec, kinds(spec)[0], {"residual": pr.InverseGamma(2.0, 1.0)})
    pieces, _ = run(target, 24)
    v = np.concatenate([piece.theta[:, 0] for piece in pieces])
    X = spec.X
    rss = float(spec.y @ (spec.y - X @ np.linalg.solve(X.T @ X, X.T @ spec.y)))
    a, b = 2.0 + 5.0, 1.0 + 0.5 * rss  # given σ², β integrated out
    log = lambda s: np.log(s) * s ** (-a - 1) * np.exp(-b / s)  # noqa: E731
    mean = quad(log, 0, np.inf)[0] / quad(lambda s: s ** (-a - 1) * np.exp(-b / s), 0, np.inf)[0]
    batches = np.log(v).reshape(24, -1).mean(axis=1)
    assert abs(np.log(v).mean() - mean) < 4.5 * batches.std(ddof=1) / np.sqrt(24)


def test_the_plan_says_how_it_samples():
    spec = traits()
    target = target_of(spec, "sparse", {"g": IW2, "residual": IW2})
    words = plan_conjugate(target, start_of(spec)).describe()
    assert "sparse mixed-model equations" in words
    assert "exact" in words
    assert sp.issparse(engine_of(target).likelihood.setup.equations.spreads[0].Z)
