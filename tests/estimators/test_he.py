"""Haseman-Elston regression against explicit algebra, closed forms, other software and simulation."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import DataError, IdentifiabilityError, MixedVCError, MixedVCWarning, OptionError
from mixedvc.estimators import HE, REHE
from mixedvc.estimators.admissible import admissible
from mixedvc.estimators.moment_sampling import draw_responses, row_groups
from mixedvc.moments import Variant, choose_moments
from mixedvc.testing import assemble, problems
from mixedvc.testing.brute import Brute
from mixedvc.testing.compare import close, z_scores
from mixedvc.testing.optimum import check_consistency, quiet
from tests.reference.load import reference
from tests.reference_numbers.test_direct import problem as reference_problem
from tests.tolerances import IDENTITY, OBJECTIVE

from .moment_brute import BruteMoments

LINEAR = [n for n in problems.names() if all(t.structure.linear for t in problems.bound(n).all_terms)]
PATTERNED = [n for n in problems.names() if n not in LINEAR]
VARIANTS = [(True, "all"), (True, "upper"), (False, "all"), (False, "upper")]


def fit(spec, method="he", **options):
    with quiet():
        return mv.estimators.get(method)(**options).fit(spec, rng=np.random.default_rng(0))


def test_dyestuff2_has_the_negative_estimate_of_the_analysis_of_variance():
    estimate = fit(mv.model("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2")))
    np.testing.assert_allclose(estimate.theta, [-1.321913, 14.945890], rtol=0, atol=5e-7)
    assert not estimate.at_bound.any()
    assert not estimate.singular
    assert estimate.loglik is None
    assert estimate.reml is None


@pytest.mark.parametrize("seed", range(4))
def test_a_balanced_layout_gives_the_mean_squares_whatever_their_sign(seed):
    spec = assemble.one_way(7, 4, seed)
    y = np.random.default_rng(seed).standard_normal((7, 4)) + (seed % 2) * np.arange(7)[:, None]
    spec = assemble.spec(y.ravel(), spec.X, spec.terms)
    between = 4 * ((y.mean(axis=1) - y.mean()) ** 2).sum() / 6
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / 21
    estimate = fit(spec)
    np.testing.assert_allclose(estimate.theta, [(between - within) / 4, within], **OBJECTIVE)
    # mean squares are independent scaled chi-squares at the admissible estimate
    a, e = admissible(spec, estimate.theta)
    variance_b, variance_w = 2 * (4 * a + e) ** 2 / 6, 2 * e**2 / 21
    want = np.array([[(variance_b + variance_w) / 16, -variance_w / 4], [-variance_w / 4, variance_w]])
    np.testing.assert_allclose(estimate.sampling.cov, want, **OBJECTIVE)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize(("projection", "entries"), VARIANTS)
def test_estimate_and_sandwich_are_those_of_explicit_algebra(name, projection, entries):
    spec = problems.bound(name)
    want = BruteMoments(spec, projection, entries)
    got = fit(spec, projection=projection, entries=entries)
    theta = np.linalg.solve(want.S, want.q)
    close(got.theta, theta, f"{name}: theta", rtol=1e-7)
    np.testing.assert_array_equal(got.par, got.theta)
    cov = want.sandwich(admissible(spec, theta))
    sd = np.sqrt(np.diag(cov))
    close(got.sampling.cov, cov, f"{name}: sandwich", rtol=1e-6, scale=np.outer(sd, sd))
    np.testing.assert_array_equal(got.sampling.centre, got.par)
    assert got.sampling.kind == "sandwich"
    assert got.sampling.noise is None


@pytest.mark.parametrize("name", PATTERNED)
def test_patterned_structures_minimise_the_same_squares_inside_their_bounds(name):
    spec = problems.bound(name)
    brute, got = BruteMoments(spec), fit(spec)
    check_consistency(spec, got, name)

    def squares(par):
        sigmas, at = [], 0
        for term in spec.all_terms:
            sigmas.append(term.structure.build(par[at : at + term.structure.n_par]))
            at += term.structure.n_par
        theta = spec.theta(sigmas)
        return theta @ brute.S @ theta - 2 * brute.q @ theta

    bounds = [term.structure.bounds() for term in spec.all_terms]
    lower, upper = (np.concatenate([b[side] for b in bounds]) for side in (0, 1))
    linear = np.concatenate([[t.structure.linear] * t.structure.n_par for t in spec.all_terms])
    best = squares(got.par)
    rng = np.random.default_rng(1)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(200):
            other = got.par + size * rng.standard_normal(len(got.par)) * np.maximum(np.abs(got.par), 0.1)
            other = np.where(linear, other, np.clip(other, lower, upper))
            assert squares(other) >= best - 1e-12 * abs(best)
    assert (got.sampling.cov[np.diag_indices(len(got.par))] > 0).all()


CASES = [f"rehe/{n}" for n in ("ace_n200", "ace_boundaryC_n200")]
CASES += [f"vcm/{n}" for n in ("basic_n120_p200_q2", "boundary_zero_n100_p120_q2", "tall_rankdef_n150_p40_q1")]
CASES += ["vcm/threevc_n120"]
BLOCKS = [
    (case, key, method)
    for case in CASES
    for key in reference(f"{case}/expected")
    if key.removeprefix("direct_").startswith("HE_") and "noZ" not in key
    for method in ("he", "rehe")
]


def variant_of(key):
    return {"projection": "unprojected" not in key, "entries": "upper" if key.endswith("tri") else "all"}


def reference_spec(case):
    formula, data, cov = reference_problem(case)
    return mv.model(formula, data, cov=cov)


@pytest.mark.parametrize(("case", "key", "method"), BLOCKS)
def test_direct_haseman_elston_of_other_software_without_its_faults(case, key, method):
    want = reference(f"{case}/expected")[key]
    spec, variant = reference_spec(case), variant_of(key)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        got = spec.fit(method, se="none", **variant)
    theta = want["he" if method == "he" else "nnls"]
    np.testing.assert_allclose(got.estimate.theta, theta, rtol=1e-8, atol=1e-8)
    equations = choose_moments(spec).equations(Variant(**variant))
    np.testing.assert_allclose(equations.S, want["S"], rtol=1e-8)
    np.testing.assert_allclose(equations.q, want["q"], rtol=1e-8)


@pytest.mark.parametrize("case", ["rehe/ace_n200", "rehe/ace_boundaryC_n200"])
def test_the_rehe_package_solves_the_unprojected_equations(case):
    want = reference(f"{case}/expected")["REHE_varComp"]
    with quiet():
        got = reference_spec(case).fit("rehe", projection=False, se="none")
    np.testing.assert_allclose(got.estimate.theta, want, rtol=0, atol=1e-9)


def test_vcm_takes_the_wrong_trace_with_covariates_and_we_do_not():
    case = "vcm/basic_n120_p200_q2"
    spec = reference_spec(case)
    K = spec.terms[0].covariance.block(spec.terms[0].positions)
    M = np.eye(spec.n) - spec.X @ np.linalg.pinv(spec.X)
    right, wrong = np.trace(M @ K @ M @ K), np.sum((M @ K) ** 2)
    assert abs(wrong - right) > 0.01
    np.testing.assert_allclose(choose_moments(spec).equations(Variant()).S[0, 0], right, rtol=1e-10)


# ---- held, confounded, exact ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["he", "rehe"])
def test_a_held_component_leaves_the_equations(method):
    spec = problems.bound("nested")
    brute = BruteMoments(spec)
    got = fit(spec, method, fixed_varcomp={spec.terms[0].name: 0.3})
    S, q = brute.S, brute.q
    want = np.linalg.solve(S[1:, 1:], q[1:] - 0.3 * S[1:, 0])
    np.testing.assert_allclose(got.theta, [0.3, *want], **OBJECTIVE)
    np.testing.assert_array_equal(got.fixed, [True, False, False])
    inverse = np.linalg.inv(S[1:, 1:])
    cov = inverse @ brute.covariance(got.theta)[1:, 1:] @ inverse
    np.testing.assert_allclose(got.sampling.cov[1:, 1:], cov, **OBJECTIVE)
    assert not got.sampling.cov[0].any()


@pytest.mark.parametrize("method", ["he", "rehe"])
def test_equations_that_cannot_tell_terms_apart_name_them(method):
    group = np.repeat(np.arange(6), 4)
    rng = np.random.default_rng(3)
    terms = [assemble.term("g", group), assemble.term("h", group), assemble.term("i", rng.integers(0, 5, 24))]
    spec = assemble.spec(rng.standard_normal(24), np.ones((24, 1)), terms)
    with pytest.raises(IdentifiabilityError, match=r"cannot tell \(e0 \| g\) and \(e0 \| h\) apart: S is singular"):
        fit(spec, method)


def test_a_term_that_the_fixed_effects_explain_is_named():
    group = np.repeat(np.arange(4), 5)
    X = (group[:, None] == np.arange(4)).astype(float)
    spec = assemble.spec(np.random.default_rng(3).standard_normal(20), X, [assemble.term("g", group)])
    with pytest.raises(IdentifiabilityError, match=r"\(e0 \| g\): nothing of it is left in the second moments"):
        fit(spec)


@pytest.mark.parametrize("method", ["he", "rehe", "rerehe"])
def test_a_response_that_the_fixed_effects_reproduce_has_no_variance(method):
    spec = problems.bound("one_way_unbalanced")
    spec = assemble.spec(spec.X @ [1.0, 2.0], spec.X, spec.terms)
    got = fit(spec, method)
    assert not got.theta.any()
    assert got.at_bound.all()
    assert got.singular
    assert "exactly" in got.message


# ---- options ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"projection": 1}, "projection=1: True or False"),
        ({"entries": "lower"}, "entries='lower' is not one of 'all', 'upper'"),
        ({"se": "huber"}, "se='huber' is not one of"),
        ({"trace": "random"}, "trace='random' is not one of 'exact', 'hutchinson'"),
        ({"fixed": "wls"}, "fixed='wls' is not one of 'gls', 'ols'"),
        ({"probes": 1}, "probes=1: a whole number of at least 2"),
        ({"n_boot": 5.5}, "n_boot=5.5: a whole number of at least 20"),
        ({"n_blocks": 2}, "n_blocks=2: a whole number of at least 3"),
        ({"outer": np.eye(3), "se": "sandwich"}, "se='sandwich' takes the response to be Gaussian.*jackknife"),
        ({"outer": np.eye(3), "se": "bootstrap"}, "se='bootstrap' takes the response to be Gaussian"),
        ({"outer": np.eye(3), "fixed": "ols"}, "fixed='ols' regresses the response"),
        ({"trace": "hutchinson", "se": "jackknife"}, "se='jackknife' compares fits of nearly the same rows"),
    ],
)
@pytest.mark.parametrize("estimator", [HE, REHE])
def test_options_that_make_no_sense_are_refused_with_the_reason(estimator, options, words):
    with pytest.raises(OptionError, match=words):
        estimator(**options)


def test_mom_is_another_name_of_he_and_is_listed_once():
    assert mv.estimators.get("mom") is HE
    assert "mom" not in mv.estimators.names()
    assert "he" in mv.estimators.names()


# ---- outer -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["crossed_weights", "slopes", "families"])
@pytest.mark.parametrize(("projection", "entries"), VARIANTS)
@pytest.mark.parametrize("method", ["he", "rehe"])
def test_the_outer_product_of_the_response_gives_the_fit_of_the_response(name, projection, entries, method):
    if name == "crossed_weights":  # an offset has no place beside an outer product
        spec = problems.bound("crossed_weights_offset")
        spec = assemble.spec(spec.response, spec.X, spec.terms, weights=spec.weights)
    else:
        spec = problems.bound(name)
    options = {"projection": projection, "entries": entries}
    want = fit(spec, method, se="jackknife", n_blocks=4, **options)
    y = spec.response
    got = fit(spec, method, outer=np.outer(y, y), n_blocks=4, **options)
    close(got.theta, want.theta, "theta", rtol=1e-8)
    close(got.sampling.cov, want.sampling.cov, "jackknife", rtol=1e-7)
    assert got.sampling.kind == "jackknife"
    assert got.fixed_effects == "none"


def test_an_outer_product_of_rank_above_one_is_regressed_as_it_is():
    spec = problems.bound("families")
    rng = np.random.default_rng(5)
    W = rng.standard_normal((spec.n, 4))
    brute = BruteMoments(spec)
    got = fit(spec, outer=W @ W.T, se="none")
    np.testing.assert_allclose(got.theta, np.linalg.solve(brute.S, brute.q_of(W @ W.T)), **OBJECTIVE)
    assert got.sampling is None


def frame_problem():
    data = mv.load_data("dyestuff2")
    data.index = [f"r{i:02d}" for i in range(len(data))]
    rng = np.random.default_rng(1)
    W = rng.standard_normal((len(data), 3))
    return data, W @ W.T


def test_a_labelled_outer_product_is_matched_by_the_rows_labels():
    data, G = frame_problem()
    spec = mv.model("Yield ~ 1 + (1 | Batch)", data)
    want = fit(spec, outer=G, se="none").theta
    order = np.random.default_rng(2).permutation(len(data))
    frame = pd.DataFrame(G, data.index, data.index).iloc[order, order[::-1]]
    np.testing.assert_allclose(fit(spec, outer=frame, se="none").theta, want, **IDENTITY)
    with pytest.raises(DataError, match=r"outer lacks 1 of the 30 rows, by their labels .*'r07'"):
        fit(spec, outer=frame.drop(index="r07", columns="r07"), se="none")
    with pytest.raises(DataError, match="other labels in its columns"):
        fit(spec, outer=frame.rename(columns={"r01": "x"}), se="none")
    repeated = data.set_axis(["a"] * len(data))
    with pytest.raises(DataError, match="row labels of the data repeat"):
        fit(mv.model("Yield ~ 1 + (1 | Batch)", repeated), outer=frame, se="none")


def test_an_outer_product_of_all_rows_given_loses_the_rows_that_were_dropped():
    data, G = frame_problem()
    data.loc["r03", "Yield"] = np.nan
    with quiet():
        spec = mv.model("Yield ~ 1 + (1 | Batch)", data)
    kept = np.delete(np.arange(30), 3)
    want = fit(spec, outer=G[np.ix_(kept, kept)], se="none").theta
    np.testing.assert_allclose(fit(spec, outer=G, se="none").theta, want, **IDENTITY)
    with pytest.raises(DataError, match=r"outer has shape \(5, 5\).*\(29, 29\) or \(30, 30\)"):
        fit(spec, outer=np.eye(5), se="none")


def test_outer_products_that_are_none_are_refused():
    spec = problems.bound("one_way")
    G = np.eye(spec.n)
    G[0, 1] = 3.0
    with pytest.raises(MixedVCError, match="not symmetric"):
        fit(spec, outer=G, se="none")
    with pytest.raises(MixedVCError, match="not finite"):
        fit(spec, outer=np.full((spec.n, spec.n), np.nan), se="none")
    with pytest.raises(DataError, match="not a numeric matrix"):
        fit(spec, outer=np.full((spec.n, spec.n), "a"), se="none")
    offset = problems.bound("crossed_weights_offset")
    with pytest.raises(OptionError, match="an offset has nothing to be subtracted from"):
        fit(offset, outer=np.eye(offset.n), se="none")


# ---- jackknife and bootstrap -------------------------------------------------------------------------------------


def test_the_jackknife_leaves_out_whole_families():
    spec = problems.bound("families")
    n_families = int(spec.families.max()) + 1
    got = fit(spec, se="jackknife", n_blocks=n_families)
    found = []
    for family in range(n_families):
        kept = np.flatnonzero(spec.families != family)
        brute = BruteMoments(spec)
        M = np.eye(len(kept)) - spec.X[kept] @ np.linalg.pinv(spec.X[kept])
        W = [M @ V[np.ix_(kept, kept)] @ M for V in brute.patterns]
        S = np.array([[np.sum(a * b) for b in W] for a in W])
        found.append(np.linalg.solve(S, [spec.y[kept] @ w @ spec.y[kept] for w in W]))
    spread = np.array(found) - np.mean(found, axis=0)
    want = (n_families - 1) / n_families * spread.T @ spread
    close(got.sampling.cov, want, "jackknife", rtol=1e-8)


def test_groups_of_the_jackknife_are_of_like_size_and_cut_no_family():
    spec = problems.bound("families")
    groups, what = row_groups(spec, 4, np.random.default_rng(0))
    assert what == "families"
    assert len(groups) == 4
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(spec.n))
    for group in groups:
        assert set(spec.families[group]).isdisjoint(np.delete(spec.families, group))
    sizes = [len(group) for group in groups]
    assert max(sizes) <= 2 * min(sizes)


def test_one_family_of_rows_is_left_out_row_by_row_and_that_is_said():
    got = fit(problems.bound("two_kernels"), se="jackknife", n_blocks=10)
    assert "rows" in got.sampling.about
    assert any("took rows as independent" in note for note in got.notes)


def test_the_bootstrap_repeats_itself_and_agrees_with_the_sandwich():
    spec = problems.bound("slopes")
    first, second = (fit(spec, se="bootstrap", n_boot=400) for _ in range(2))
    np.testing.assert_array_equal(first.sampling.draws, second.sampling.draws)
    assert first.sampling.draws.shape == (400, 4)
    want = np.diag(fit(spec).sampling.cov)
    ratio = np.diag(first.sampling.cov) / want
    assert (np.abs(ratio - 1) < 4 * np.sqrt(2 / 399) * 1.6).all()  # draws of quadratic forms have heavier tails
    cov = np.cov(first.sampling.draws.T)
    np.testing.assert_allclose(first.sampling.cov, cov, **IDENTITY)


class Interrupter:
    """Progress that is stopped by the keyboard after some steps."""

    def __init__(self, after):
        self.left = after

    def step(self, done=1, **facts):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_an_interrupted_bootstrap_keeps_the_draws_it_has():
    spec = problems.bound("one_way")
    got = HE(se="bootstrap", n_boot=300).fit(spec, progress=Interrupter(50))
    assert len(got.sampling.draws) == 51
    assert "51 responses" in got.sampling.about
    assert "interrupted, 300 were asked for" in got.sampling.about
    little = HE(se="bootstrap", n_boot=300).fit(spec, progress=Interrupter(3))
    assert little.sampling is None
    assert any("interrupted" in note for note in little.notes)


def test_an_interrupted_jackknife_has_no_errors():
    got = HE(se="jackknife").fit(problems.bound("one_way"), progress=Interrupter(2))
    assert got.sampling is None
    assert any("interrupted" in note for note in got.notes)


@pytest.mark.parametrize("name", ["slopes", "crossed_weights_offset", "families", "relatives_without_rows"])
def test_drawn_responses_have_the_covariance_of_the_model(name):
    spec = problems.bound(name)
    theta = admissible(spec, fit(spec, se="none").theta)
    Y = draw_responses(spec, theta, np.random.default_rng(4), 4000)
    V = Brute(spec).at(theta).V
    probe = np.random.default_rng(5).standard_normal((spec.n, 3))
    z_scores((probe.T @ Y).T ** 2, np.einsum("nc,nm,mc->c", probe, V, probe), "variance of contrasts")
    z_scores((probe.T @ Y).T, np.zeros(3), "mean of contrasts")


# ---- random traces ---------------------------------------------------------------------------------------------


def test_random_traces_are_near_the_exact_ones_and_say_how_near():
    spec = problems.bound("two_kernels")
    want = fit(spec)
    got = fit(spec, trace="hutchinson", probes=400)
    assert (got.sampling.noise > 0).all()
    assert (np.abs(got.theta - want.theta) < 4 * got.sampling.noise).all()
    ratio = np.diag(got.sampling.cov) / np.diag(want.sampling.cov)
    assert (np.abs(ratio - 1) < 0.5).all()
    assert any("400 random probes" in note for note in got.notes)


def test_the_noise_of_random_traces_is_the_first_order_change_of_the_solution():
    spec = problems.bound("two_kernels")
    got = fit(spec, trace="hutchinson", probes=50)
    equations = choose_moments(spec, trace="hutchinson", probes=50, rng=np.random.default_rng(0)).equations(Variant())
    np.testing.assert_allclose(np.linalg.solve(equations.S, equations.q), got.theta, **OBJECTIVE)
    moved = np.array([np.linalg.solve(equations.S, (S_b - equations.S) @ got.theta) for S_b in equations.probes])
    np.testing.assert_allclose(got.sampling.noise, moved.std(axis=0, ddof=1) / np.sqrt(50), **OBJECTIVE)


def test_a_sandwich_by_probes_says_how_exact_it_is():
    spec = problems.bound("two_kernels")
    got = fit(spec, trace="hutchinson", probes=200)
    moments = choose_moments(spec, trace="hutchinson", probes=200, rng=np.random.default_rng(0))
    S, theta = moments.equations(Variant()).S, admissible(spec, got.theta)
    exact = np.diag(np.linalg.inv(S) @ BruteMoments(spec).covariance(theta) @ np.linalg.inv(S))
    stated = float(re.search(r"within about (\d+)%", got.sampling.about).group(1)) / 100
    assert 0.01 <= stated < 0.5
    assert (np.abs(np.sqrt(np.diag(got.sampling.cov) / exact) - 1) < 2 * stated).all()  # stated: two errors


def test_few_probes_warn_that_the_error_is_theirs():
    with pytest.warns(MixedVCWarning, match=r"the error of random traces is \d+% of a standard error"):
        HE(trace="hutchinson", probes=2).fit(problems.bound("slopes"), rng=np.random.default_rng(1))


@pytest.mark.slow
def test_the_stated_noise_is_that_of_many_seeds():
    spec = problems.bound("two_kernels")
    with quiet():
        fits = [
            HE(trace="hutchinson", probes=200, se="none").fit(spec, rng=np.random.default_rng(seed))
            for seed in range(300)
        ]
        stated = HE(trace="hutchinson", probes=200, n_boot=20).fit(spec, rng=np.random.default_rng(1)).sampling.noise
    seen = np.std([f.theta for f in fits], axis=0, ddof=1)
    np.testing.assert_allclose(stated, seen, rtol=0.35)
