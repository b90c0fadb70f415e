"""Many θ at once: nodes that stand for a spectrum, equal blocks, a kernel beside other terms, and what is chosen."""

import numpy as np
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.likelihood import choose, likelihoods, rank_choices
from mixedvc.likelihood.choose import Cost
from mixedvc.likelihood.eigen_nodes import nodes_of, number_of_nodes
from mixedvc.likelihood.marginals import marginals, marginals_one_by_one
from mixedvc.linalg import dense as la
from mixedvc.linalg.small_stacks import spd_inverse_each
from mixedvc.linalg.stacks import stacked_cholesky, stacked_triangular_inverse
from mixedvc.testing import assemble, thetas

from ..tolerances import IDENTITY

RNG = np.random.default_rng(8)


def equal(found, want, spec, rtol=1e-9):
    """Two `Marginals` of the same θ."""
    np.testing.assert_allclose(found.loglik, want.loglik, rtol=rtol, atol=rtol * spec.n)
    cov = [root @ root.transpose(0, 2, 1) for root in (found.root, want.root)]
    error = np.sqrt(np.einsum("kii->ki", cov[1]))
    assert np.abs((found.beta - want.beta) / (error + np.abs(want.beta))).max(initial=0.0) < rtol
    gap = (cov[0] - cov[1]) / (error[:, :, None] * error[:, None, :])
    assert np.abs(gap).max(initial=0.0) < rtol


def points(spec, count=6, seed=3):
    """θ inside, with each term at zero, with a residual a thousandth and a million times the others."""
    rng = np.random.default_rng(seed)
    some = [thetas.interior(spec, rng) for _ in range(count)]
    *terms, residual = spec.sigmas(some[0])
    some += [
        spec.theta([*(0.0 * S if i == j else S for i, S in enumerate(terms)), residual]) for j in range(len(terms))
    ]
    return np.array([*some, *(spec.theta([*terms, size * residual]) for size in (1e-3, 1e6))])


# ---- nodes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high", "zeros"), [(0.3, 8.0, 0), (1e-3, 300.0, 7), (1e-6, 50.0, 0), (1e-8, 1.0, 3)])
def test_nodes_give_every_weight_to_rounding_whatever_the_variances(low, high, zeros):
    d = np.exp(RNG.uniform(np.log(low), np.log(high), 900))
    d[:zeros] = 0.0
    nodes = nodes_of(d)
    assert not nodes.exact
    assert len(nodes.d) < 150
    for ratio in 10.0 ** np.arange(-12.0, 12.5, 0.5):
        want = 1.0 / (1.0 + ratio * d)
        assert np.abs(nodes.C @ (1.0 / (1.0 + ratio * nodes.d)) / want - 1.0).max() < 1e-12, ratio


def test_few_different_eigenvalues_are_their_own_nodes():
    d = np.repeat([0.0, 0.5, 1.0, 2.5], 30) * (1.0 + 1e-15 * RNG.standard_normal(120))
    nodes = nodes_of(d)
    assert nodes.exact
    np.testing.assert_allclose(nodes.d, [0.0, 0.5, 1.0, 2.5], rtol=1e-13)
    assert (nodes.C.sum(axis=1) == 1.0).all()


def test_a_few_eigenvalues_far_below_the_others_do_not_widen_the_interval():
    d = np.append(np.exp(RNG.uniform(0.0, 2.0, 500)), [1e-11, 3e-9])
    assert len(nodes_of(d).d) <= number_of_nodes(1.0, np.exp(2.0)) + 2


def test_spectra_that_no_interpolation_reaches_have_no_nodes():
    assert nodes_of(np.exp(np.linspace(np.log(1e-12), 0.0, 400))) is None
    assert nodes_of(np.append(np.linspace(1.0, 2.0, 100), -0.1)) is None


# ---- woodbury ----------------------------------------------------------------------------------------------


def kinship(n, labels, scale=1.0):
    W = RNG.standard_normal((n, 2 * n)) * np.exp(scale * RNG.standard_normal(2 * n))
    return mv.Dense(W @ W.T / np.square(W).sum() * n, labels)


def kernel_and(*others, n=140, p=3, kernel=None, weights=None, scale=0.0):
    """A kernel of n individuals, one record each, beside other terms."""
    ids = [f"i{k}" for k in range(n)]
    X = np.column_stack([np.ones(n), RNG.standard_normal((n, p - 1))]) if p else np.empty((n, 0))
    term = assemble.term("id", ids, covariance=kinship(n, ids, scale) if kernel is None else kernel)
    return assemble.spec(3.0 + RNG.standard_normal(n), X, [term, *others], weights=weights)


def herds(n=140, q=6, k=1):
    basis = np.column_stack([np.ones(n), RNG.standard_normal((n, k - 1))]) if k > 1 else None
    return assemble.term("herd", [f"h{j}" for j in RNG.integers(0, q, n)], basis=basis)


def features(n=140, m=5):
    lines = [f"i{k}" for k in range(n)]
    return assemble.term("line", lines, covariance=mv.Features(RNG.standard_normal((n, m)), lines))


CASES = {
    "herds": lambda: kernel_and(herds()),
    "herds' slopes": lambda: kernel_and(herds(k=2)),
    "two groupings, weights": lambda: kernel_and(
        herds(), assemble.term("year", [f"y{j}" for j in RNG.integers(0, 9, 140)]), weights=RNG.uniform(0.3, 3.0, 140)
    ),
    "no fixed effects": lambda: kernel_and(herds(), p=0),
    "a wide spectrum": lambda: kernel_and(herds(), scale=0.7),
    "features": lambda: kernel_and(features()),
}


@pytest.mark.parametrize("name", CASES)
def test_many_thetas_of_a_kernel_and_others_equal_dense_evaluations(name):
    spec = CASES[name]()
    likelihood = likelihoods.get("woodbury")(spec)
    assert likelihood._tables.nodes is not None, "the table is what is tested"
    at = points(spec)
    equal(marginals(likelihood, at), marginals(likelihoods.get("dense")(spec), at), spec)


def test_where_no_nodes_hold_all_eigenvalues_are_summed():
    ids = [f"i{k}" for k in range(90)]
    U = np.linalg.qr(RNG.standard_normal((90, 90)))[0]
    spectrum = np.exp(np.linspace(np.log(1e-10), 1.0, 90))
    wide = mv.Dense((U * (spectrum / spectrum.mean())) @ U.T, ids)
    spec = kernel_and(herds(90, k=2), n=90, kernel=wide)
    likelihood = likelihoods.get("woodbury")(spec)
    assert likelihood._tables.nodes is None
    at = points(spec)
    equal(marginals(likelihood, at), marginals(likelihoods.get("dense")(spec), at), spec)


def test_a_negative_variance_of_the_kernel_is_summed_over_all_eigenvalues():
    spec = kernel_and(herds())
    likelihood = likelihoods.get("woodbury")(spec)
    at = np.array([[0.4, 0.2, 1.0], [-0.05, 0.2, 1.0], [-50.0, 0.2, 1.0]])
    found = marginals(likelihood, at)
    assert found.loglik[2] == -np.inf
    want = marginals(likelihoods.get("dense")(spec), at[:2])
    np.testing.assert_allclose(found.loglik[:2], want.loglik, rtol=1e-9)


TRAITS = {
    "the same fixed effects": "cbind(y1, y2) ~ x + (1|id:K) + (1|herd)",
    "of one trait": "cbind(y1, y2) ~ x + at(y2, z) + (1|id:K) + (1|herd)",
    "diagonal": "cbind(y1, y2) ~ x + diag(1|id:K) + diag(1|herd)",
    "slopes": "cbind(y1, y2) ~ x + (1|id:K) + (x|herd)",
    "kernel alone": "cbind(y1, y2) ~ x + (1|id:K)",
    "three traits": "cbind(y1, y2, y3) ~ x + (1|id:K) + (1|herd)",
}


@pytest.fixture(scope="module")
def several():
    import pandas as pd

    rng = np.random.default_rng(21)
    n = 110
    ids = [f"i{k}" for k in range(n)]
    W, herd = rng.standard_normal((n, 300)), rng.integers(0, 9, n)
    mixing = np.eye(3) + 0.4
    Y = (W @ rng.standard_normal((300, 3)) / np.sqrt(100) + rng.standard_normal((9, 3))[herd]) @ mixing
    Y = (Y + rng.standard_normal((n, 3))) * [1.0, 30.0, 0.01]
    data = pd.DataFrame({"y1": Y[:, 0], "y2": Y[:, 1], "y3": Y[:, 2], "x": rng.standard_normal(n), "id": ids})
    data = data.assign(z=rng.standard_normal(n), herd=[f"h{j}" for j in herd])
    return data, {"K": mv.Dense(W @ W.T / 300, ids)}


@pytest.mark.parametrize("name", TRAITS)
def test_many_thetas_of_several_traits_equal_dense_evaluations(several, name):
    data, cov = several
    spec = mv.model(TRAITS[name], data, cov=cov)
    likelihood = likelihoods.get("woodbury")(spec)
    assert likelihood._tables.nodes is not None
    at = points(spec, count=4)
    equal(marginals(likelihood, at), marginals(likelihoods.get("dense")(spec), at), spec)


def test_a_centred_kernel_beside_a_singular_residual_of_two_traits_is_lifted(several):
    data, cov = several
    n = len(data)
    K = cov["K"].block()
    C = np.eye(n) - 1.0 / n
    spec = mv.model("cbind(y1, y2) ~ x + (1|id:K) + (1|herd)", data, cov={"K": mv.Dense(C @ K @ C, data["id"])})
    G, H, R = spec.sigmas(thetas.interior(spec, np.random.default_rng(5)))
    b = np.sqrt(np.diag(R))
    at = np.array([spec.theta([G, H, S]) for S in (R, np.outer(b, b))])
    likelihood, dense = likelihoods.get("woodbury")(spec), likelihoods.get("dense")(spec)
    equal(marginals(likelihood, at), marginals(dense, at), spec, rtol=1e-7)
    one, other = likelihood.at(at[1]), dense.at(at[1])
    np.testing.assert_allclose(one.score, other.score, rtol=1e-6, atol=1e-6 * np.abs(other.score).max())
    np.testing.assert_allclose(one.beta_cov, other.beta_cov, rtol=1e-6)
    size = np.abs(other.beta_cov_gradient).max()
    np.testing.assert_allclose(one.beta_cov_gradient, other.beta_cov_gradient, atol=1e-6 * size)


def test_an_optimum_of_two_traits_does_not_depend_on_the_likelihood(several):
    data, cov = several
    formula = "cbind(y1, y2) ~ x + (1|id:K) + (1|herd)"
    one, other = (mv.fit(formula, data, cov=cov, likelihood=name) for name in ("woodbury", "dense"))
    np.testing.assert_allclose(one.llf, other.llf, rtol=0, atol=1e-8)
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-5)


# ---- blocks ------------------------------------------------------------------------------------------------


def twin_pairs(pairs=40, shuffled=True):
    kinds = RNG.random(pairs) < 0.5
    A = sp.block_diag([np.array([[1.0, r], [r, 1.0]]) for r in np.where(kinds, 1.0, 0.5)]).tocsc()
    ids = np.array([f"t{i}" for i in range(2 * pairs)], dtype=object)
    order = RNG.permutation(2 * pairs) if shuffled else np.arange(2 * pairs)
    X = np.column_stack([np.ones(2 * pairs), RNG.standard_normal(2 * pairs)])
    terms = [
        assemble.term("id", ids[order], covariance=mv.Sparse(A, ids)),
        assemble.term("pair", np.repeat([f"p{j}" for j in range(pairs)], 2)[order]),
    ]
    return assemble.spec(RNG.standard_normal(2 * pairs), X, terms)


def test_twin_pairs_are_two_kinds_of_blocks_in_any_order_of_rows():
    spec = twin_pairs()
    likelihood = likelihoods.get("blocks")(spec)
    assert [len(kind.counts) for kind in likelihood._kinds] == [2]
    assert sum(kind.counts.sum() for kind in likelihood._kinds) == 40
    at = points(spec)
    equal(marginals(likelihood, at), marginals_one_by_one(likelihood, at), spec)


def test_subjects_at_the_same_times_are_one_kind_of_block_and_with_weights_all_their_own():
    times, subjects = np.tile(np.arange(4.0), 12), np.repeat([f"s{i}" for i in range(12)], 4)
    order = RNG.permutation(48)
    basis = np.column_stack([np.ones(48), times])[order]
    slopes = assemble.term("s", subjects[order], basis=basis)
    for weights, different in ((None, 1), (RNG.uniform(0.5, 2.0, 48), 12)):
        spec = assemble.spec(RNG.standard_normal(48), basis, [slopes], weights=weights)
        likelihood = likelihoods.get("blocks")(spec)
        assert [len(kind.counts) for kind in likelihood._kinds] == [different]
        at = points(spec)
        equal(marginals(likelihood, at), marginals_one_by_one(likelihood, at), spec)


def test_blocks_larger_than_a_table_is_worth_are_evaluated_one_by_one():
    groups = np.repeat(["a", "b"], 70)
    spec = assemble.spec(RNG.standard_normal(140), np.ones((140, 1)), [assemble.term("g", groups)])
    likelihood = likelihoods.get("blocks")(spec)
    assert likelihood._kinds is None
    at = points(spec)
    equal(marginals(likelihood, at), marginals(likelihoods.get("dense")(spec), at), spec)


# ---- one grouping factor ------------------------------------------------------------------------------------


def slopes_of(groups, far=0.0, weights=None, sizes=4):
    """Intercepts and slopes of groups and one more effect of the same groups; a covariate around `far`."""
    n = groups * sizes
    x = far + RNG.standard_normal(n)
    group = np.repeat([f"g{i}" for i in range(groups)], sizes)
    basis = np.column_stack([np.ones(n), x])
    terms = [assemble.term("g", group, basis=basis), assemble.term("again", group, basis=RNG.standard_normal((n, 1)))]
    return assemble.spec(5.0 + RNG.standard_normal(n), basis, terms, weights=weights)


def test_one_factor_with_several_terms_is_eliminated_at_all_thetas_at_once():
    for spec in (slopes_of(9), slopes_of(9, weights=RNG.uniform(0.3, 3.0, 36))):
        likelihood = likelihoods.get("grouped")(spec)
        at = points(spec)
        equal(marginals(likelihood, at), marginals(likelihoods.get("dense")(spec), at), spec)


def test_levels_with_the_same_rows_are_counted_once():
    spec = assemble.one_way(30, 4)
    likelihood = likelihoods.get("grouped")(spec)
    at = points(spec)
    equal(marginals(likelihood, at), marginals(likelihoods.get("dense")(spec), at), spec)
    np.testing.assert_array_equal(likelihood._levels.counts, [30.0])


def test_collinear_effects_and_singular_covariances_keep_their_digits():
    spec = slopes_of(12, far=2000.0)
    S, other, residual = spec.sigmas(thetas.interior(spec, np.random.default_rng(2)))
    b = np.sqrt(np.diag(S))
    at = np.array([spec.theta([Sigma, other, residual]) for Sigma in (S, np.outer(b, b), 0.0 * S)])
    likelihood = likelihoods.get("grouped")(spec)
    equal(marginals(likelihood, at), marginals_one_by_one(likelihood, at), spec, rtol=1e-8)


def test_a_residual_next_to_nothing_beside_the_groups_is_left_to_single_evaluations():
    spec = assemble.one_way(6, 4)
    likelihood = likelihoods.get("grouped")(spec)
    at = np.array([[1.0, 1e-9], [1.0, 1.0], [1e9, 1.0]])
    equal(marginals(likelihood, at), marginals_one_by_one(likelihood, at), spec)


# ---- one θ among others ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["spectral", "woodbury", "blocks", "grouped", "sparse"])
def test_what_a_theta_gives_does_not_depend_on_its_neighbours(name):
    spec = twin_pairs() if name == "blocks" else kernel_and(*([] if name == "spectral" else [herds()]))
    kind = likelihoods.get(name)
    if kind.cost(spec) is None:
        spec = assemble.one_way(6, 4)
    likelihood = kind(spec)
    at = points(spec)
    bad = -np.ones((1, len(spec.index)))
    alone = marginals(likelihood, at[2:3])
    among = marginals(likelihood, np.vstack([at[:2], bad, np.full_like(bad, np.nan), at[2:]]))
    assert list(np.isfinite(among.loglik[:5])) == [True, True, False, False, True]
    np.testing.assert_allclose(among.loglik[4], alone.loglik[0], rtol=1e-12)
    np.testing.assert_allclose(among.root[4], alone.root[0], rtol=1e-10)


# ---- small matrices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4, 12])
def test_stacks_of_matrices_are_factored_and_those_that_have_no_factor_named(k):
    A = RNG.standard_normal((7, k, k))
    S = A @ A.transpose(0, 2, 1) + 0.1 * np.eye(k)
    S[3] = np.diag([-1.0 if i == k // 2 else 1.0 + i for i in range(k)])
    L, there = stacked_cholesky(S)
    assert list(np.flatnonzero(~there)) == [3]
    np.testing.assert_allclose(L[there] @ L[there].transpose(0, 2, 1), S[there], **IDENTITY)
    np.testing.assert_allclose(stacked_triangular_inverse(L) @ L, np.tile(np.eye(k), (7, 1, 1)), atol=1e-12)
    inverse, logdet, good = spd_inverse_each(np.ascontiguousarray(S.transpose(1, 2, 0)))
    np.testing.assert_array_equal(good, there)
    np.testing.assert_allclose(
        inverse[:, :, good].transpose(2, 0, 1) @ S[good], np.tile(np.eye(k), (6, 1, 1)), atol=1e-9
    )
    np.testing.assert_allclose(logdet[good], np.linalg.slogdet(S[good])[1], rtol=1e-10)
    U = S.copy()
    np.testing.assert_array_equal(la.factor_each(U), there)
    np.testing.assert_allclose(np.triu(U[there]), L[there].transpose(0, 2, 1), rtol=1e-10, atol=1e-12)


# ---- the choice --------------------------------------------------------------------------------------------


def test_the_log_likelihood_alone_has_a_price_of_its_own():
    cost = Cost(10.0, 5.0, 0.0, "", loglik=lambda: 2.0)
    assert cost.total("fit") == 10.0 + 8 * 5.0
    assert cost.total("sample", 100) == 10.0 + 100 * 2.0
    assert Cost(10.0, 5.0, 0.0, "", loglik=lambda: None).total("sample", 100) == 10.0 + 100 * 5.0
    assert Cost(10.0, 5.0, 0.0, "").total("sample", 100) == 10.0 + 100 * 5.0


def test_a_kernel_beside_herds_is_rotated_for_sampling_and_factorised_for_a_fit():
    spec = kernel_and(herds(400), n=400)
    assert choose(spec)[0].name == "dense"
    likelihood, reason = choose(spec, purpose="sample")
    assert likelihood.name == "woodbury"
    assert "is rotated once, beside it 6 columns of other terms" in reason
    few = rank_choices(spec, "sample", evaluations=3.0)
    assert few[0].name == "dense"


def test_twins_are_sampled_by_blocks():
    assert choose(twin_pairs(300), purpose="sample")[0].name == "blocks"
