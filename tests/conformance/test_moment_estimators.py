"""Haseman-Elston estimators against explicit algebra: equations, cone, sandwich, every kind of moments."""

import dataclasses

import numpy as np
import pytest

from mixedvc.errors import BoundaryWarning, OptionError
from mixedvc.estimators import HE, REHE, ReREHE, moment_fit, moment_sampling
from mixedvc.estimators.admissible import admissible
from mixedvc.moments import Variant, choose_moments, moment_kinds
from mixedvc.testing import assemble, fits, kernels, problems
from mixedvc.testing import estimators as conformance
from mixedvc.testing.checks import balanced_one_way, zero_is_zero
from mixedvc.testing.invariances import weights_are_replicates
from mixedvc.testing.moment_checks import VARIANTS, BruteMoments
from mixedvc.testing.optimum import gradient_matrix, quiet
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER

LINEAR = [name for name in problems.names() if all(t.structure.linear for t in problems.bound(name).all_terms)]
variants = pytest.mark.parametrize("variant", VARIANTS, ids=[f"{v.projection}-{v.entries}" for v in VARIANTS])


def equations(spec, variant):
    brute = BruteMoments(spec)
    return brute.S(variant), brute.q(variant, np.outer(brute.y, brute.y))


def of(kind, variant, **options):
    return kind(projection=variant.projection, entries=variant.entries, **options)


@variants
@pytest.mark.parametrize("problem", LINEAR)
def test_he_solves_the_explicit_equations(problem, variant):
    spec = problems.bound(problem)
    S, q = equations(spec, variant)
    theta = of(HE, variant, se="none").fit(spec).theta
    fits.same(spec, theta, np.linalg.solve(S, q), problem)


def kkt(spec, S, q, theta, where, tol=1e-6):
    """First-order conditions of the largest qᵀθ − ½θᵀSθ over Σ ⪰ 0, in units of each term's share of the objective."""
    size = fits.sizes(spec, theta)
    slope = (q - S @ theta) * size
    whole = np.abs(q * size).max()
    for i, (term, Sigma) in enumerate(zip(spec.all_terms, spec.sigmas(theta), strict=True)):
        sd = np.array([np.sqrt(s) for s, w in zip(size, spec.index, strict=True) if w.term == i and w.a == w.b])
        G = gradient_matrix(spec, slope, i) / whole
        if term.structure.name == "diag":
            G = np.diag(np.diag(G))
        C = Sigma / np.outer(sd, sd)
        values = np.linalg.eigvalsh(C)
        assert values[0] > -1e-9, f"{where}: Σ of {term.name} is not positive semi-definite: {Sigma}"
        assert np.abs(G @ C).max() < 30 * tol, f"{where}: gradient {np.abs(G @ C).max():.2g} left along {term.name}"
        assert np.linalg.eigvalsh(G)[-1] < 30 * tol, f"{where}: the objective rises off the edge of {term.name}"


@variants
@pytest.mark.parametrize("problem", LINEAR)
def test_rehe_is_the_least_squares_over_the_cone(problem, variant):
    spec = problems.bound(problem)
    with quiet():
        estimate = of(REHE, variant, se="none").fit(spec)
    kkt(spec, *equations(spec, variant), estimate.theta, problem)


def random_spec(seed):
    """Random terms of one or two effects, any kernel, no signal in most: estimates at every sort of edge."""
    rng = np.random.default_rng(seed)
    n, terms, y = int(rng.integers(25, 60)), [], 0.0
    for i in range(int(rng.integers(1, 4))):
        q, k = int(rng.integers(4, 10)), int(rng.choice([1, 1, 2, 3]))
        labels = np.array([f"t{i}_{j}" for j in range(q)], dtype=object)
        covariance = kernels.covariance(str(rng.choice(kernels.KINDS)), labels, rng)
        basis = np.column_stack([np.ones(n), rng.standard_normal((n, k - 1)) * 10 ** rng.uniform(-2, 2)])
        code = rng.integers(0, q, n)
        structure = str(rng.choice(["us", "diag"]))
        terms.append(assemble.term(f"t{i}", labels[code], basis=basis, covariance=covariance, structure=structure))
        u = covariance.draw(rng, k) * rng.choice([0.0, 0.0, 1.0])
        y = y + ((basis / np.sqrt((basis**2).mean(0))) * u[code]).sum(axis=1)
    weights = 10 ** rng.uniform(-1, 1, n) if rng.integers(2) else None
    y = (y + rng.standard_normal(n)) * 10 ** rng.uniform(-9, 9)
    return assemble.spec(y, np.column_stack([np.ones(n), rng.standard_normal(n)]), terms, weights=weights)


def test_he_and_rehe_of_random_models_are_what_explicit_algebra_says():
    edges = inside = negative = 0
    for seed in range(36):
        spec, variant = random_spec(seed), VARIANTS[seed % 4]
        S, q = equations(spec, variant)
        scale = 1.0 / np.sqrt(np.diag(S))
        if np.linalg.cond(S * np.outer(scale, scale)) > 1e8:
            continue
        free = of(HE, variant, se="none").fit(spec).theta
        fits.same(spec, free, np.linalg.solve(S, q), f"seed {seed}", rtol=1e-5)
        with quiet():
            bounded = of(REHE, variant, se="none").fit(spec)
        kkt(spec, S, q, bounded.theta, f"seed {seed}")
        negative += any(np.linalg.eigvalsh(Sigma)[0] < 0 for Sigma in spec.sigmas(free))
        edges, inside = edges + bounded.singular, inside + (not bounded.singular)
        if not bounded.singular:
            fits.same(spec, bounded.theta, free, f"seed {seed}: nothing at an edge")
    assert min(edges, inside, negative) > 4


@variants
@pytest.mark.parametrize(
    "problem", ["crossed_weights_offset", "slopes", "twins", "families", "features", "two_samples"]
)
@pytest.mark.parametrize("kind", [HE, REHE], ids=["he", "rehe"])
def test_the_sandwich_is_that_of_explicit_algebra(kind, problem, variant):
    spec = problems.bound(problem)
    with quiet():
        estimate = of(kind, variant, se="sandwich").fit(spec)
    S, q = equations(spec, variant)
    C = BruteMoments(spec).covariance(variant, admissible(spec, estimate.theta))
    want = np.linalg.solve(S, np.linalg.solve(S, C).T)
    sd = np.sqrt(np.diag(want))
    np.testing.assert_allclose(estimate.sampling.cov / np.outer(sd, sd), want / np.outer(sd, sd), rtol=0, atol=1e-7)
    np.testing.assert_allclose(estimate.sampling.centre / sd, np.linalg.solve(S, q) / sd, rtol=0, atol=1e-7)


@pytest.mark.parametrize("problem", problems.names())
@pytest.mark.parametrize("kind", [HE, REHE], ids=["he", "rehe"])
def test_every_kind_of_moments_gives_the_same_estimate_and_standard_error(kind, problem, monkeypatch):
    spec, found = problems.bound(problem), {}
    for name in moment_kinds.names():
        one = moment_kinds.get(name)
        if one.random or one.cost(spec) is None:
            continue

        def only(spec, name=name, **options):
            return choose_moments(spec, **options, name=name)

        monkeypatch.setattr(moment_fit, "choose_moments", only)
        with quiet():
            found[name] = kind(se="sandwich").fit(spec)
    assert len(found) > 0
    want = next(iter(found.values()))
    for name, estimate in found.items():
        fits.same(spec, estimate.theta, want.theta, name)
        sd = np.sqrt(np.maximum(np.diag(want.sampling.cov), 1e-300))
        gap = np.abs(estimate.sampling.cov - want.sampling.cov) / np.outer(sd, sd)
        assert gap.max() < 1e-6, f"{name}: sampling.cov differs by {gap.max():.2g}"


@pytest.mark.parametrize("problem", ["crossed_weights_offset", "slopes", "twins", "two_kernels", "families"])
@pytest.mark.parametrize("kind", [HE, REHE], ids=["he", "rehe"])
def test_weights_are_replicates_with_the_residual_held(kind, problem):
    weights_are_replicates(kind(se="none"), problem, problems.bound(problem))


@pytest.mark.parametrize("seed", [1, 3, 4])
def test_in_a_balanced_layout_the_moment_estimates_are_those_of_analysis_of_variance(seed):
    balanced_one_way(HE(), True, seed=seed)
    balanced_one_way(REHE(), True, seed=seed)
    balanced_one_way(ReREHE(ratio=1.0, n_subsamples=2, n_boot=20), True, seed=seed)


def test_equal_group_means_give_a_zero_under_the_constraint_and_a_negative_variance_without():
    zero_is_zero(REHE(), True)
    zero_is_zero(ReREHE(ratio=1.0, n_subsamples=2, n_boot=20), True)
    spec = conformance.zero_between_groups(groups=5, per_group=6)
    estimate = HE().fit(spec)
    within = ((spec.y.reshape(5, 6) - spec.y.reshape(5, 6).mean(1, keepdims=True)) ** 2).sum() / 25
    np.testing.assert_allclose(estimate.theta, [-within / 6, within], **PARAMETER)
    assert not estimate.at_bound.any()
    assert not estimate.singular


@pytest.mark.parametrize("problem", ["families", "slopes", "crossed_weights_offset", "two_kernels"])
@pytest.mark.parametrize("unit", ["rows", "families"])
def test_subsamples_of_everything_are_rehe_itself(problem, unit):
    spec = problems.bound(problem)
    if unit == "families" and spec.families.max() == 0:
        with pytest.raises(OptionError, match="one family"):
            ReREHE(ratio=1.0, unit="families").fit(spec)
        return
    with quiet():
        want = REHE(se="none").fit(spec)
        got = ReREHE(ratio=1.0, n_subsamples=3, unit=unit, n_boot=20).fit(spec)
    fits.same(spec, got.theta, want.theta, problem)
    assert np.array_equal(got.at_bound, want.at_bound)
    # noise is what the choice of rows leaves to chance, and there was no choice
    assert got.sampling.noise.max() < 1e-6 * np.abs(want.theta).max()


@pytest.mark.parametrize("problem", ["families", "crossed_weights_offset"])
def test_the_pooled_equations_are_the_mean_of_those_of_the_subsamples(problem):
    """From the very rows drawn, by explicit algebra."""
    from mixedvc.design.subset import take_rows
    from mixedvc.estimators.rerehe import draw_subsamples

    spec, options = problems.bound(problem), ReREHE(ratio=0.5, n_subsamples=6, se="none")
    _, rows = draw_subsamples(spec, 0.5, 6, "auto", np.random.default_rng(3))
    pairs = [equations(take_rows(spec, r), Variant()) for r in rows]
    S, q = (np.mean(part, axis=0) for part in zip(*pairs, strict=True))
    with quiet():
        estimate = options.fit(spec, rng=np.random.default_rng(3))
    kkt(spec, S, q, estimate.theta, problem)
    assert all(len(np.unique(r)) == len(r) for r in rows)


@pytest.mark.parametrize("problem", ["families", "slopes", "crossed_weights_offset", "autoregressive"])
@pytest.mark.parametrize("kind", [HE, REHE], ids=["he", "rehe"])
def test_an_outer_product_of_the_response_is_the_response(kind, problem):
    spec = dataclasses.replace(problems.bound(problem), y=np.array(problems.bound(problem).response), offset=None)
    y = np.array(spec.y)
    with quiet():
        want = kind(se="none").fit(spec)
        got = kind(se="none", outer=np.outer(y, y)).fit(
            dataclasses.replace(spec, y=np.zeros_like(y) + np.arange(spec.n))
        )
    fits.same(spec, got.theta, want.theta, problem)
    assert got.fixed_effects == "none"


def test_the_jackknife_is_the_one_of_explicit_leave_out_fits():
    from mixedvc.design.subset import take_rows

    spec = problems.bound("families")
    groups, what = moment_sampling.row_groups(spec, 6, np.random.default_rng(0))
    assert what == "families"
    assert len(groups) == 6
    left = []
    for group in groups:
        part = take_rows(spec, np.setdiff1d(np.arange(spec.n), group))
        left.append(np.linalg.solve(*equations(part, Variant())))
    spread = np.array(left) - np.mean(left, axis=0)
    estimate = HE(se="jackknife", n_blocks=6).fit(spec, rng=np.random.default_rng(0))
    np.testing.assert_allclose(estimate.sampling.cov, 5 / 6 * spread.T @ spread, **OBJECTIVE)
    np.testing.assert_allclose(estimate.sampling.centre, np.linalg.solve(*equations(spec, Variant())), **OBJECTIVE)


def test_the_bootstrap_redraws_the_fitted_model():
    """Mean and covariance of its draws are the estimate's and the sandwich's (he is linear in the second moments)."""
    spec = assemble.one_way(30, 3, seed=5)
    sandwich = HE(se="sandwich").fit(spec)
    drawn = HE(se="bootstrap", n_boot=2000).fit(spec, rng=np.random.default_rng(1)).sampling
    error = np.sqrt(np.diag(drawn.cov) / 2000)
    assert (np.abs(drawn.draws.mean(axis=0) - sandwich.theta) < 4 * error).all()
    ratio = np.diag(drawn.cov) / np.diag(sandwich.sampling.cov)
    assert (np.abs(ratio - 1) < 4 * np.sqrt(3 / 2000)).all()


def test_random_traces_come_near_the_exact_ones_as_their_error_says():
    spec, z = problems.bound("families"), []
    exact = HE(se="none").fit(spec).theta
    for seed in range(30):
        with quiet():
            estimate = HE(trace="hutchinson", probes=60).fit(spec, rng=np.random.default_rng(seed))
        z.append((estimate.theta - exact) / estimate.sampling.noise)
    assert np.abs(z).max() < 6
    assert 0.6 < np.std(z) < 1.5


def test_the_stated_error_of_subsampling_is_the_spread_over_seeds():
    spec, options = assemble.one_way(20, 3, seed=2), {"ratio": 0.5, "n_subsamples": 8, "se": "sandwich", "n_boot": 20}
    found = [ReREHE(**options).fit(spec, rng=np.random.default_rng(seed)) for seed in range(24)]
    spread = np.std([e.theta for e in found], axis=0, ddof=1)
    stated = np.mean([e.sampling.noise for e in found], axis=0)
    np.testing.assert_allclose(stated, spread, rtol=4 / np.sqrt(2 * 23), atol=0)


def test_a_singular_moment_fit_warns_and_names_the_term():
    with pytest.warns(BoundaryWarning, match="singular.* g"):
        REHE().fit(conformance.zero_between_groups())


def test_a_held_component_leaves_the_equations_of_the_others():
    spec = problems.bound("families")
    S, q = equations(spec, Variant())
    for j, key in enumerate([*(term.name for term in spec.terms), "residual"]):
        others = [k for k in range(3) if k != j]
        want = np.linalg.solve(S[np.ix_(others, others)], q[others] - 0.4 * S[others, j])
        got = HE(fixed_varcomp={key: 0.4}).fit(spec)
        np.testing.assert_allclose(got.theta[others], want, **OBJECTIVE)
        np.testing.assert_allclose(got.theta[j], 0.4, **IDENTITY)
