"""Resampled restricted Haseman-Elston regression: what is drawn, what is pooled, and what the published form costs."""

from dataclasses import replace

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, OptionError
from mixedvc.estimators import ReREHE
from mixedvc.estimators.rerehe import draw_subsamples
from mixedvc.testing import assemble, problems, simulate
from mixedvc.testing.compare import close
from mixedvc.testing.optimum import check_consistency, quiet
from tests.tolerances import IDENTITY, OBJECTIVE

from .moment_brute import BruteMoments


def fit(spec, seed=0, **options):
    with quiet():
        return ReREHE(**options).fit(spec, rng=np.random.default_rng(seed))


def subsample_equations(spec, rows):
    """S and q of some rows by explicit algebra, projected off their own fixed effects."""
    root = np.ones(spec.n) if spec.weights is None else np.sqrt(spec.weights)
    X = (root[:, None] * spec.X)[rows]
    M = np.eye(len(rows)) - X @ np.linalg.pinv(X)
    W = [M @ V[np.ix_(rows, rows)] @ M for V in BruteMoments(spec).patterns]
    y = (root * spec.response)[rows]
    return np.array([[np.sum(a * b) for b in W] for a in W]), np.array([y @ w @ y for w in W])


@pytest.mark.parametrize("name", ["nested", "crossed_weights_offset", "two_kernels", "slopes"])
def test_pooling_solves_the_mean_of_the_equations_of_the_subsamples(name):
    spec = problems.bound(name)
    got = fit(spec, se="none", n_subsamples=20)
    rng = np.random.default_rng(0)
    _, subsamples = draw_subsamples(spec, 0.1, 20, "auto", rng)
    pairs = [subsample_equations(spec, rows) for rows in subsamples]
    S, q = (np.mean([pair[i] for pair in pairs], axis=0) for i in (0, 1))
    theta = np.linalg.solve(S, q)
    assert all(np.linalg.eigvalsh(Sigma)[0] > 0 for Sigma in spec.sigmas(theta)), "choose a problem inside the cone"
    close(got.theta, theta, name, rtol=1e-7)


@pytest.mark.parametrize("name", ["one_way", "twins", "families", "slopes", "compound_symmetry", "features"])
def test_subsamples_of_everything_are_the_full_fit(name):
    spec = problems.bound(name)
    with quiet():
        want = mv.estimators.get("rehe")().fit(spec)
    got = fit(spec, ratio=1.0, n_subsamples=2, n_boot=2000)
    close(got.theta, want.theta, name, rtol=1e-6)
    np.testing.assert_array_equal(got.at_bound, want.at_bound)
    close(got.sampling.noise, np.zeros(len(got.par)), "noise", rtol=1e-6, scale=np.abs(want.par).max())
    sd = np.sqrt(np.diag(want.sampling.cov))
    assert (np.abs(np.sqrt(np.diag(got.sampling.cov)) / sd - 1) < 0.15).all()


@pytest.mark.parametrize("combine", ["mean", "median"])
def test_the_published_form_combines_constrained_solutions(combine):
    spec = problems.bound("families")
    got = fit(spec, combine=combine, n_subsamples=11, se="none")
    _, subsamples = draw_subsamples(spec, 0.1, 11, "auto", np.random.default_rng(0))
    from .test_rehe import enumerated

    solutions = [enumerated(*subsample_equations(spec, rows)) for rows in subsamples]
    np.testing.assert_allclose(got.theta, getattr(np, combine)(solutions, axis=0), **OBJECTIVE)


def test_one_seed_gives_one_answer_and_another_another_within_the_stated_error():
    spec = mv.model("Reaction ~ Days + (1 | Subject)", mv.load_data("sleepstudy"))
    first, again, other = fit(spec, 1), fit(spec, 1), fit(spec, 2)
    np.testing.assert_array_equal(first.par, again.par)
    np.testing.assert_array_equal(first.sampling.cov, again.sampling.cov)
    assert (first.par != other.par).all()
    assert (np.abs(first.par - other.par) < 4 * np.sqrt(2) * first.sampling.noise).all()


def test_families_are_drawn_whole():
    spec = problems.bound("families")
    unit, subsamples = draw_subsamples(spec, 0.3, 30, "families", np.random.default_rng(1))
    assert unit == "families"
    drawn = set()
    for rows in subsamples:
        inside = set(spec.families[rows])
        np.testing.assert_array_equal(rows, np.flatnonzero(np.isin(spec.families, list(inside))))
        drawn |= inside
    assert len(drawn) == spec.families.max() + 1


def test_rows_of_one_family_are_drawn_by_themselves():
    spec = problems.bound("two_kernels")
    unit, subsamples = draw_subsamples(spec, 0.5, 5, "auto", np.random.default_rng(1))
    assert unit == "rows"
    for rows in subsamples:
        assert len(rows) == len(set(rows)) == max(round(0.5 * spec.n), 4 * (spec.p + 3))
    with pytest.raises(OptionError, match="ties all rows into one family; use unit='rows'"):
        draw_subsamples(spec, 0.5, 5, "families", np.random.default_rng(1))


def test_a_family_larger_than_a_subsample_is_not_drawn_whole():
    group = np.r_[np.zeros(60), np.repeat(np.arange(1, 21), 2)]
    spec = assemble.spec(np.random.default_rng(0).standard_normal(100), np.ones((100, 1)), [assemble.term("g", group)])
    assert draw_subsamples(spec, 0.2, 2, "auto", np.random.default_rng(0))[0] == "rows"
    assert draw_subsamples(spec, 0.7, 2, "auto", np.random.default_rng(0))[0] == "families"


@pytest.mark.parametrize("combine", ["pooled", "mean", "median"])
def test_the_bootstrap_combines_as_the_estimate_does(combine):
    spec = problems.bound("families")
    got = fit(spec, combine=combine, se="bootstrap", n_boot=60, n_subsamples=10)
    assert got.sampling.kind == "bootstrap"
    assert got.sampling.draws.shape == (60, 3)
    assert (got.sampling.draws >= 0).all()
    np.testing.assert_array_equal(got.sampling.centre, got.par)
    check_consistency(spec, got, combine)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ratio": 0}, "ratio=0: a part of the rows, above 0 and at most 1"),
        ({"ratio": 1.5}, "ratio=1.5"),
        ({"ratio": True}, "ratio=True"),
        ({"n_subsamples": 1}, "n_subsamples=1: a whole number of at least 2"),
        ({"combine": "sum"}, "combine='sum' is not one of 'pooled', 'mean', 'median'"),
        ({"unit": "clusters"}, "unit='clusters' is not one of"),
        ({"se": "jackknife"}, "se='jackknife' is not one of 'auto', 'sandwich', 'bootstrap', 'none'"),
        ({"combine": "mean", "se": "sandwich"}, "se='sandwich' is that of one linear system"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(OptionError, match=words):
        ReREHE(**options)


def test_medians_of_covariance_matrices_are_refused():
    with pytest.raises(OptionError, match="medians entry by entry, and those of covariance matrices need not be one"):
        ReREHE(combine="median").fit(problems.bound("slopes"))


def test_a_held_component_stays():
    spec = problems.bound("nested")
    got = fit(spec, fixed_varcomp={"residual": 0.5}, n_subsamples=10)
    assert got.theta[-1] == 0.5
    np.testing.assert_array_equal(got.fixed, [False, False, True])
    assert not got.sampling.cov[-1].any()


def test_two_subsamples_warn_that_the_answer_is_theirs():
    with pytest.warns(MixedVCWarning, match=r"the choice of subsamples moves estimates by \d+% of a standard error"):
        ReREHE(n_subsamples=2, ratio=0.05).fit(problems.bound("one_way"), rng=np.random.default_rng(3))


def test_what_was_drawn_is_said():
    got = fit(problems.bound("families"), combine="mean", n_subsamples=10, n_boot=20)
    assert any(note.startswith("10 subsamples of ") and "families" in note for note in got.notes)
    assert any("biased toward equal shares" in note for note in got.notes)
    pooled = fit(problems.bound("families"), n_subsamples=10, se="none")
    assert not any("biased" in note for note in pooled.notes)


# ---- simulation ------------------------------------------------------------------------------------------------

TRUTH = (0.85, 0.05, 0.10)  # of 250 families of 4: two parents, two sibs
REPLICATES = 100


def family_draws(seed, truth=TRUTH):
    """A specification of 250 families with additive and common variances, and responses to put in."""
    made = simulate.families(250, 2, additive=1.0, household=1.0, residual=1.0, seed=seed)
    spec = mv.model(made.formula, made.data, cov=made.cov)
    V = sum(value * P for value, P in zip(truth, BruteMoments(spec).patterns, strict=True))
    values, vectors = np.linalg.eigh(V)
    root = vectors * np.sqrt(np.maximum(values, 0))
    rng = np.random.default_rng(seed)
    return spec, [root @ rng.standard_normal(spec.n) for _ in range(REPLICATES)]


@pytest.mark.slow
@pytest.mark.parametrize("truth", [TRUTH, (0.9, 0.0, 0.1)])
def test_pooled_subsamples_have_the_bias_of_the_full_fit_and_the_published_form_has_not(truth):
    """h² = .85 and .9, ratio .1, 100 data sets of 1,000 persons: the means of the four are in docs/math.md (4)."""
    spec, responses = family_draws(11, truth)
    methods = {
        "full": mv.estimators.get("rehe")(se="none"),
        "families": ReREHE(se="none", n_subsamples=25),
        "rows": ReREHE(se="none", unit="rows", n_subsamples=25),
        "published": ReREHE(se="none", unit="rows", combine="mean", n_subsamples=25),
    }
    found = {name: [] for name in methods}
    for b, y in enumerate(responses):
        data = replace(spec, y=y, source=None)
        for name, method in methods.items():
            with quiet():
                found[name].append(method.fit(data, rng=np.random.default_rng(b)).theta)
    means = {name: np.mean(thetas, axis=0) for name, thetas in found.items()}
    gap = np.array(found["families"]) - np.array(found["full"])
    error = gap.std(axis=0, ddof=1) / np.sqrt(REPLICATES)
    assert (np.abs(gap.mean(axis=0)) < 3 * error).all(), (means, error)
    assert means["families"][0] > means["rows"][0] > means["published"][0]
    assert means["published"][0] < truth[0] - 0.2, means


@pytest.mark.slow
def test_the_pooled_sandwich_is_the_spread_of_repeated_estimates():
    """250 families; the unconstrained pooled estimate over 200 data sets against the mean stated variance."""
    spec, _ = family_draws(12)
    V = sum(value * P for value, P in zip([0.4, 0.3, 0.3], BruteMoments(spec).patterns, strict=True))
    root = np.linalg.cholesky(V)
    rng = np.random.default_rng(5)
    centres, stated = [], []
    for b in range(200):
        data = replace(spec, y=root @ rng.standard_normal(spec.n), source=None)
        with quiet():
            got = ReREHE(n_boot=50, n_subsamples=10, ratio=0.2).fit(data, rng=np.random.default_rng(b % 3))
        centres.append(got.sampling.centre)
        stated.append(np.diag(got.sampling.cov))
    ratio = np.var(centres, axis=0, ddof=1) / np.mean(stated, axis=0)
    assert (np.abs(ratio - 1) < 0.3).all(), ratio
    close(np.mean(centres, axis=0), [0.4, 0.3, 0.3], "mean", rtol=0.05, scale=1.0)


def test_two_seeds_draw_other_rows():
    spec = problems.bound("families")
    a, b = (draw_subsamples(spec, 0.3, 3, "rows", np.random.default_rng(seed))[1] for seed in (1, 2))
    assert any(not np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    np.testing.assert_allclose(len(a[0]), len(b[0]), **IDENTITY)
