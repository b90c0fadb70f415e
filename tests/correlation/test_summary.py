"""Genetic correlation from summary statistics: the individual-level moments, panels, the jackknife, what is refused."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.correlation.ld import ld_sums, panel_of, unbiased
from mixedvc.errors import DataError, OptionError
from tests.tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE

N1, N2, M = 60, 50, 90
NAMES = [f"rs{j}" for j in range(M)]
EXACT = {"rtol": 1e-10, "atol": 1e-12}


def data(seed=1, rho=0.6, h2=0.5, n1=N1, n2=N2, m=M, extra=0, ld=0.0):
    """Features of two studies and `extra` others, with correlation `ld` between neighbours, and two responses."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n1 + n2 + extra, m))
    for j in range(1, m):
        W[:, j] = ld * W[:, j - 1] + np.sqrt(1 - ld**2) * W[:, j]
    b = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=m) * np.sqrt(h2 / m)
    e = np.sqrt(1 - h2) * rng.standard_normal(n1 + n2)
    y1, y2 = W[:n1] @ b[:, 0] + e[:n1], W[n1 : n1 + n2] @ b[:, 1] + e[n1:]
    return W[:n1], W[n1 : n1 + n2], W[n1 + n2 :], y1, y2


def free(A, C=None):
    """Columns of A free of an intercept and covariates."""
    X = np.ones((len(A), 1)) if C is None else np.column_stack([np.ones(len(A)), C])
    return A - X @ np.linalg.lstsq(X, A, rcond=None)[0]


def t_statistics(W, y, C=None):
    """effect, se and t of y on each column of W with an intercept and covariates."""
    effect, se = np.empty(W.shape[1]), np.empty(W.shape[1])
    for j, w in enumerate(W.T):
        X = np.column_stack([w, np.ones(len(y))] if C is None else [w, np.ones(len(y)), C])
        beta = np.linalg.lstsq(X, y, rcond=None)[0]
        s2 = np.sum((y - X @ beta) ** 2) / (len(y) - X.shape[1])
        effect[j], se[j] = beta[0], np.sqrt(s2 * np.linalg.inv(X.T @ X)[0, 0])
    return effect, se, effect / se


def z_series(W, y, names=NAMES, C=None):
    return pd.Series(t_statistics(W, y, C)[2], names)


def by_moments(W1, y1, W2, y2, C1=None, C2=None):
    """h₁², h₂², σ₁₂ (standardised responses) and ρ of the moments of individuals, on features free of covariates."""
    parts = []
    for W, y, C in ((W1, y1, C1), (W2, y2, C2)):
        G, r = free(W, C), free(y[:, None], C)[:, 0]
        nu = len(y) - 1 - (0 if C is None else C.shape[1])
        G = G / np.sqrt((G**2).sum(0) / nu)
        K = G @ G.T / W.shape[1]
        S = np.array([[np.sum(K * K), np.trace(K)], [np.trace(K), nu]])
        parts.append((np.linalg.solve(S, [r @ K @ r, r @ r]), G, r))
    (t1, G1, r1), (t2, G2, r2) = parts
    K = G1 @ G2.T / W1.shape[1]
    cov = r1 @ K @ r2 / np.sum(K * K)
    return [t1[0] / t1.sum(), t2[0] / t2.sum(), cov / np.sqrt(t1.sum() * t2.sum()), cov / np.sqrt(t1[0] * t2[0])]


def four(result):
    h1, h2 = result.heritabilities
    return [h1.estimate, h2.estimate, result.covariance.estimate, result.rho.estimate]


def frames(*matrices, names=NAMES):
    return tuple(pd.DataFrame(W, columns=names) for W in matrices)


def small(**options):
    W1, W2, _, y1, y2 = data()
    given = {"n": (N1, N2), "blocks": 30, **options}
    return mv.genetic_correlation_from_summary(z_series(W1, y1), z_series(W2, y2), frames(W1, W2), **given)


def test_with_the_studies_own_features_as_panels_it_is_the_moment_estimate_of_individuals():
    W1, W2, _, y1, y2 = data()
    np.testing.assert_allclose(four(small()), by_moments(W1, y1, W2, y2), **EXACT)


def test_it_is_the_joint_fit_by_he_of_features_standardised_in_each_sample():
    W1, W2, _, y1, y2 = data()
    ids = [f"i{i}" for i in range(N1 + N2)]
    G = mv.Features(np.vstack([(W - W.mean(0)) / W.std(0, ddof=1) for W in (W1, W2)]), ids, standardize=False)
    one, two = pd.DataFrame({"id": ids[:N1], "y": y1}), pd.DataFrame({"id": ids[N1:], "z": y2})
    first, second = mv.model("y ~ 1 + (1 | id:G)", one, cov={"G": G}), mv.model("z ~ 1 + (1 | id:G)", two, cov={"G": G})
    joint = mv.genetic_correlation(first, second, method="he")
    result = small()
    np.testing.assert_allclose(result.rho.estimate, joint.rho.estimate, **EXACT)
    for mine, its in zip(result.heritabilities, joint.heritabilities, strict=True):
        np.testing.assert_allclose(mine.estimate, its.estimate, **EXACT)


def test_one_panel_serves_both_studies_and_what_is_between_them():
    W1, W2, P, y1, y2 = data(extra=40)
    z = z_series(W1, y1), z_series(W2, y2)
    panel = pd.DataFrame(P, columns=NAMES)
    for given in (panel, (P, NAMES)):
        result = mv.genetic_correlation_from_summary(*z, given, n=(N1, N2), blocks=30)
        r = np.array([[np.corrcoef(w, y)[0, 1] for w in W.T] for W, y in ((W1, y1), (W2, y2))])
        chance = 1 / (40 - 2)
        R = np.corrcoef(P.T) ** 2
        L = np.sum(R - chance * (1 - R)) / M
        nu = np.array([N1 - 1, N2 - 1])
        h = np.sum(r**2 - 1 / nu[:, None], axis=1) / L * nu / (nu - 1)
        cov = np.sum(r[0] * r[1]) / L
        np.testing.assert_allclose(four(result), [*h, cov, cov / np.sqrt(np.prod(h))], **EXACT)
        assert dict(result.about)["Panel"] == "40 individuals"


def test_covariates_of_the_regressions_and_of_the_panels_are_taken_out():
    W1, W2, _, y1, y2 = data()
    rng = np.random.default_rng(2)
    C1, C2 = rng.standard_normal((N1, 3)), rng.standard_normal((N2, 1))
    result = mv.genetic_correlation_from_summary(
        z_series(W1, y1 + 2 * C1[:, 0], C=C1),
        z_series(W2, y2, C=C2),
        frames(W1, W2),
        n=(N1, N2),
        covariates=(3, 1),
        panel_covariates=(C1, C2[:, 0]),
        blocks=30,
    )
    np.testing.assert_allclose(four(result), by_moments(W1, y1 + 2 * C1[:, 0], W2, y2, C1, C2), **EXACT)


def test_score_statistics_are_root_nu_times_the_correlation():
    W1, W2, _, y1, y2 = data()
    z = []
    for W, y in ((W1, y1), (W2, y2)):
        r = np.array([np.corrcoef(w, y)[0, 1] for w in W.T])
        z.append(pd.Series(r * np.sqrt(len(y) - 1), NAMES))
    result = mv.genetic_correlation_from_summary(*z, frames(W1, W2), n=(N1, N2), blocks=30, statistic="score")
    np.testing.assert_allclose(four(result), four(small()), **EXACT)


def test_effects_with_errors_and_sizes_by_feature_say_the_same():
    W1, W2, _, y1, y2 = data()
    effect, se, _ = t_statistics(W1, y1)
    frame = pd.DataFrame({"effect": effect, "se": se, "n": float(N1)}, index=NAMES)
    z = z_series(W2, y2)
    for first in (frame, frame.rename(columns={"effect": "beta", "n": "N"})):
        result = mv.genetic_correlation_from_summary(
            first, (z.to_numpy(), NAMES), frames(W1, W2), n=(None, N2), blocks=30
        )
        np.testing.assert_allclose(four(result), four(small()), **IDENTITY)


def test_sizes_that_differ_by_feature_count_by_feature():
    W1, W2, _, y1, y2 = data()
    n = np.linspace(40, 60, M).round()
    r = np.array([np.corrcoef(w, y1)[0, 1] for w in W1.T])
    first = pd.DataFrame({"z": r * np.sqrt((n - 2) / (1 - r**2)), "n": n}, index=NAMES)
    result = mv.genetic_correlation_from_summary(first, z_series(W2, y2), frames(W1, W2), n=(None, N2), blocks=30)
    R = np.corrcoef(W1.T)
    ell = ((N1 - 1) * np.sum(R**2, axis=0) - M) / (N1 - 2)
    nu = n - 1
    want = M * np.sum(r**2 - 1 / nu) / np.sum(ell * (1 - 1 / nu))
    np.testing.assert_allclose(result.heritabilities[0].estimate, want, **EXACT)


def test_features_are_matched_by_name_and_what_is_not_everywhere_is_left_out():
    W1, W2, _, y1, y2 = data()
    keep = [j for j in range(M) if j not in (3, 7, 11, 20)]
    z1, z2 = z_series(W1, y1).iloc[::-1].drop("rs3"), z_series(W2, y2).copy()
    z2["rs7"] = np.nan
    P1, P2 = frames(W1, W2)
    P1 = P1.assign(rs11=1e6)  # does not vary
    P2 = P2.drop(columns="rs20").sample(frac=1.0, axis=1, random_state=1)
    result = mv.genetic_correlation_from_summary(z1, z2, (P1, P2), n=(N1, N2), blocks=30)
    want = by_moments(W1[:, keep], y1, W2[:, keep], y2)
    np.testing.assert_allclose(four(result), want, **EXACT)
    assert any(note.startswith("4 of 90 features were left out") for note in result.notes)
    assert dict(result.about)["Features"] == "86 in 30 blocks"


def test_unnamed_arrays_go_by_position_when_that_is_said():
    W1, W2, _, y1, y2 = data()
    z1, z2 = t_statistics(W1, y1)[2], t_statistics(W2, y2)[2]
    result = mv.genetic_correlation_from_summary(z1, z2, (W1, W2), n=(N1, N2), blocks=30, align="position")
    np.testing.assert_allclose(four(result), four(small()), **IDENTITY)
    with pytest.raises(DataError, match="the statistics of sample 1 has no names of features"):
        mv.genetic_correlation_from_summary(z1, z2, (W1, W2), n=(N1, N2))
    with pytest.raises(DataError, match=r"same number of features everywhere; there are: .* 90, .* 89"):
        mv.genetic_correlation_from_summary(z1, z2[1:], (W1, W2), n=(N1, N2), align="position")


def test_far_means_and_units_of_features_change_nothing():
    W1, W2, _, y1, y2 = data()
    z = z_series(W1, y1), z_series(W2, y2)
    far = frames(2.0**30 + W1, 1e-4 * W2)
    result = mv.genetic_correlation_from_summary(*z, far, n=(N1, N2), blocks=30)
    np.testing.assert_allclose(four(result), four(small()), rtol=1e-6, atol=0)  # W1 itself has lost half its digits
    ages = np.linspace(20, 70, N1), np.linspace(0, 1, N2)
    near = small(panel_covariates=ages)
    far = mv.genetic_correlation_from_summary(*z, far, n=(N1, N2), blocks=30, panel_covariates=ages)
    np.testing.assert_allclose(four(far), four(near), rtol=1e-6, atol=0)


# ---- linkage disequilibrium -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "m"), [(30, 80), (80, 30)])
def test_sums_of_products_of_correlations_by_either_route(n, m):
    rng = np.random.default_rng(3)
    W, U = rng.standard_normal((n, m)), 5 + rng.standard_normal((n - 4, m))
    P, Q = panel_of(W, None, "it"), panel_of(U, None, "it")
    R, T = np.corrcoef(W.T), np.corrcoef(U.T)
    np.testing.assert_allclose(ld_sums(P, P), np.sum(R * R, axis=0), **EXACT)
    np.testing.assert_allclose(ld_sums(P, Q), np.sum(R * T, axis=0), **EXACT)
    some = np.array([5, 2, 17])
    np.testing.assert_allclose(ld_sums(P.take(some), P.take(some)), np.sum(R[some][:, some] ** 2, axis=0), **EXACT)


def test_chunks_of_features_add_up(monkeypatch):
    rng = np.random.default_rng(4)
    W, U = rng.standard_normal((20, 75)), rng.standard_normal((25, 75))
    whole = ld_sums(panel_of(W, None, "it"), panel_of(U, None, "it"))
    monkeypatch.setattr("mixedvc.correlation.ld._CHUNK_BYTES", 8 * 25 * 7)
    P, Q = panel_of(W, None, "it"), panel_of(U, None, "it")
    np.testing.assert_allclose(ld_sums(P, Q), whole, **EXACT)
    np.testing.assert_allclose(ld_sums(P, P), np.sum(np.corrcoef(W.T) ** 2, axis=0), **EXACT)


def test_a_finite_panel_s_chance_correlations_are_taken_out():
    rng = np.random.default_rng(5)
    m, n, ld = 40, 25, 0.6
    truth = np.sum(ld ** (2 * np.abs(np.subtract.outer(np.arange(m), np.arange(m)))), axis=0)
    root = np.linalg.cholesky(ld ** np.abs(np.subtract.outer(np.arange(m), np.arange(m))))
    draws = []
    for _ in range(400):
        P = panel_of(rng.standard_normal((n, m)) @ root.T, None, "it")
        draws.append(unbiased(ld_sums(P, P), P.nu))
    mean, error = np.mean(draws, axis=0), np.std(draws, axis=0) / 20
    assert np.abs((mean - truth) / error).max() < MONTE_CARLO + 1.0  # m² − m entries of (1 − ρ²)ρ²/ν are left over
    raw = np.mean([np.sum(np.corrcoef((rng.standard_normal((n, m)) @ root.T).T) ** 2) for _ in range(50)]) / m
    assert raw > truth.mean() + 1.0  # what would be wrong without it


# ---- the jackknife --------------------------------------------------------------------------------------------------


def without(W1, W2, y1, y2, out):
    """Estimates without some features: their statistics and their LD scores leave, the other features' stay."""
    R1, R2 = np.corrcoef(W1.T), np.corrcoef(W2.T)
    r1, r2 = (np.array([np.corrcoef(w, y)[0, 1] for w in W.T]) for W, y in ((W1, y1), (W2, y2)))
    nu1, nu2 = len(y1) - 1, len(y2) - 1
    l1, l2 = ((nu * np.sum(R**2, axis=0) - M) / (nu - 1) for R, nu in ((R1, nu1), (R2, nu2)))
    l12, keep = np.sum(R1 * R2, axis=0), ~np.isin(np.arange(M), out)
    h1 = M * np.sum((r1**2 - 1 / nu1)[keep]) / np.sum(l1[keep] * (1 - 1 / nu1))
    h2 = M * np.sum((r2**2 - 1 / nu2)[keep]) / np.sum(l2[keep] * (1 - 1 / nu2))
    c = M * np.sum((r1 * r2)[keep]) / np.sum(l12[keep])
    return np.array([h1, h2, c, c / np.sqrt(h1 * h2)])


def errors(result):
    return [*(h.se for h in result.heritabilities), result.covariance.se, result.rho.se]


def big(**options):
    W1, W2, _, y1, y2 = data(n1=400, n2=300, h2=0.8)
    z = z_series(W1, y1), z_series(W2, y2)
    given = {"n": (400, 300), **options}
    return mv.genetic_correlation_from_summary(*z, frames(W1, W2), **given), (W1, W2, y1, y2)


def test_equal_blocks_give_the_textbook_jackknife():
    result, parts = big(blocks=15)
    left = np.stack([without(*parts, np.arange(6 * b, 6 * b + 6)) for b in range(15)])
    want = np.sqrt(14 / 15 * np.sum((left - left.mean(0)) ** 2, axis=0))
    np.testing.assert_allclose(errors(result), want, **OBJECTIVE)
    np.testing.assert_allclose(four(result), without(*parts, []), **EXACT)


def test_unequal_blocks_count_by_their_size():
    sizes = [5, 30, 10, 45]
    chromosome = np.repeat(["c1", "c2", "c3", "c4"], sizes)
    result, parts = big(blocks=pd.Series(chromosome, NAMES).sample(frac=1.0, random_state=1))
    whole = without(*parts, [])
    tau, g = [], []
    ends = np.cumsum([0, *sizes])
    left = [without(*parts, np.arange(a, b)) for a, b in pairwise(ends)]
    estimate = 4 * whole - sum((1 - s / M) * one for s, one in zip(sizes, left, strict=True))
    for s, one in zip(sizes, left, strict=True):
        h = M / s
        tau.append(h * whole - (h - 1) * one)
        g.append(h - 1)
    want = np.sqrt(np.mean([(t - estimate) ** 2 / k for t, k in zip(tau, g, strict=True)], axis=0))
    np.testing.assert_allclose(errors(result), want, **OBJECTIVE)
    again, _ = big(blocks=chromosome)
    np.testing.assert_allclose(errors(again), errors(result), **IDENTITY)
    assert any("4 blocks say little" in note for note in result.notes)


def test_contiguous_blocks_follow_the_panel_whatever_the_order_of_the_statistics():
    W1, W2, _, y1, y2 = data(n1=400, n2=300, h2=0.8)
    z1, z2 = (z_series(W, y).sample(frac=1.0, random_state=s) for s, (W, y) in enumerate(((W1, y1), (W2, y2))))
    shuffled = mv.genetic_correlation_from_summary(z1, z2, frames(W1, W2), n=(400, 300), blocks=15)
    np.testing.assert_allclose(errors(shuffled), errors(big(blocks=15)[0]), **IDENTITY)


def test_more_blocks_than_features_are_one_a_feature():
    result, _ = big()
    assert dict(result.about)["Features"] == "90 in 90 blocks"


def test_intervals_and_the_test_come_from_the_jackknife_errors():
    result, _ = big(blocks=30, level=0.9)
    rho, q = result.rho, 1.6448536269514722
    limits = np.tanh(np.arctanh(rho.estimate) + q * np.array([-1, 1]) * rho.se / (1 - rho.estimate**2))
    np.testing.assert_allclose([rho.lower, rho.upper], limits, **OBJECTIVE)
    h = result.heritabilities[0]
    np.testing.assert_allclose([h.lower, h.upper], [h.estimate - q * h.se, h.estimate + q * h.se], **OBJECTIVE)
    np.testing.assert_allclose(result.test.statistic, result.covariance.estimate / result.covariance.se, **IDENTITY)
    assert result.fit is None and result.sizes == (400.0, 300.0)


def test_a_heritability_below_zero_leaves_no_correlation():
    for seed in range(60):
        W1, W2, _, y1, y2 = data(seed=seed, h2=1e-6)
        z = z_series(W1, y1), z_series(W2, y2)
        result = mv.genetic_correlation_from_summary(*z, frames(W1, W2), n=(N1, N2), blocks=30)
        if result.heritabilities[0].estimate < 0:
            break
    assert result.heritabilities[0].estimate < 0
    assert np.isnan(result.rho.estimate) and np.isfinite(result.covariance.se)
    assert any("heritability of sample 1 is estimated below zero" in note for note in result.notes)
    assert "heritability, sample 1" in str(result)


def test_the_table_shows_each_heritability_once():
    result = small(names=("tall", "heavy"))
    assert list(result.table.index) == [
        *("genetic correlation", "genetic covariance", "heritability, tall", "heritability, heavy")
    ]
    text = str(result)
    for word in ("60 + 50", "90 in 30 blocks", "60 and 50 individuals", "moments of summary", "jackknife"):
        assert word in text, word


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"statistic": "wald"}, OptionError, "statistic='wald' is not one of 't', 'score'"),
        ({"align": "names"}, OptionError, "align='names': choose"),
        ({"names": ("a", "a")}, OptionError, "two different names"),
        ({"n": 60}, OptionError, "n=60: one for each"),
        ({"n": (N1, None)}, OptionError, "n= is needed: how many individuals the statistics of sample 2"),
        ({"n": (N1, 2)}, OptionError, "n=2: the number of individuals"),
        ({"covariates": (0, -1)}, OptionError, r"covariates=\(0, -1\)"),
        ({"covariates": (57, 0)}, DataError, "60 individuals leave no degrees of freedom for 57 covariates"),
        ({"blocks": 1}, OptionError, "at least two blocks"),
        ({"blocks": np.zeros(M)}, OptionError, "all features in one block"),
        ({"blocks": np.zeros(5)}, OptionError, "block of each of the panel's 90 features"),
        (
            {"blocks": pd.Series(1, NAMES[2:])},
            DataError,
            "does not say the block of 2 features of the panel: 'rs0', 'rs1'",
        ),
        ({"blocks": True}, OptionError, "blocks= is a number of blocks"),
        ({"panel_covariates": (np.ones(N1), None)}, DataError, "depend on each other or on the intercept"),
        ({"panel_covariates": (np.ones((3, 1)), None)}, DataError, "3 rows for 60 individuals"),
        ({"level": 95}, OptionError, "level=95"),
    ],
)
def test_options_outside_their_domain_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        small(**options)


def test_statistics_and_panels_that_cannot_be_used_are_refused():
    W1, W2, _, y1, y2 = data()
    z1, z2, panels = z_series(W1, y1), z_series(W2, y2), frames(W1, W2)

    def run(first=z1, second=z2, panel=panels, **options):
        return mv.genetic_correlation_from_summary(first, second, panel, **{"n": (N1, N2), **options})

    with pytest.raises(DataError, match=r"no feature is in all of .* Their names: .*'x0'.*'rs0'"):
        run(first=z1.rename(lambda name: name.replace("rs", "x")))
    with pytest.raises(DataError, match="needs a column 'z', or 'effect' and 'se'; it has 'p'"):
        run(first=z1.to_frame("p"))
    with pytest.raises(DataError, match="negative standard error for 'rs0'"):
        run(first=pd.DataFrame({"effect": z1, "se": -1.0}))
    with pytest.raises(DataError, match="infinite for feature 'rs4': a standard error of 0"):
        run(first=pd.DataFrame({"effect": z1, "se": np.where(np.arange(M) == 4, 0.0, 1.0)}, index=NAMES))
    with pytest.raises(DataError, match="2 individuals for feature 'rs0'"):
        run(first=pd.DataFrame({"z": z1, "n": 2}), n=(None, N2))
    with pytest.raises(OptionError, match="n=60 and the column 'n' of the statistics of sample 1: give one"):
        run(first=pd.DataFrame({"z": z1, "n": N1}))
    with pytest.raises(DataError, match="not numeric"):
        run(first=z1.astype(str) + "?")
    with pytest.raises(DataError, match="the first panel has missing or infinite values in column 2"):
        run(panel=(panels[0].mask(np.eye(N1, M) * (np.arange(M) == 2) > 0), panels[1]))
    with pytest.raises(DataError, match="a numeric matrix of individuals × features"):
        run(panel=panels[0].astype(str))
    with pytest.raises(DataError, match="90 columns and 3 names"):
        run(panel=(W1, NAMES[:3]))
    with pytest.raises(DataError, match="too few for correlations"):
        run(panel=panels[0].iloc[:3])
    with pytest.raises(mv.errors.CovarianceError, match="'rs1'"):
        run(first=pd.Series([*z1, 1.0], [*NAMES, "rs1"]))
    with pytest.raises(DataError, match="more than a correlation of 1 by score statistics"):
        run(first=z1 * 100, statistic="score")
    with pytest.raises(DataError, match="of 90 features in common, 1 have statistics"):
        run(first=z1.where(np.arange(M) == 3))
    four_people = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])  # as far apart as they can be
    with pytest.raises(DataError, match="no correlation among features beyond chance"):
        run(panel=(four_people, NAMES[:3]), blocks=3)


@pytest.mark.slow
@pytest.mark.parametrize(("ld", "m", "blocks"), [(0.0, 300, 50), (0.7, 500, 60)])
def test_with_a_panel_of_others_it_is_unbiased_and_its_errors_are_those_of_replication(ld, m, blocks):
    rho, h2, n1, n2, reps = 0.5, 0.5, 500, 400, 250
    out = []
    for seed in range(reps):
        W1, W2, P, y1, y2 = data(seed=[seed, m], rho=rho, h2=h2, n1=n1, n2=n2, m=m, extra=600, ld=ld)
        z = []
        for W, y in ((W1, y1), (W2, y2)):
            G, c = W - W.mean(0), y - y.mean()
            r = G.T @ c / np.sqrt((G**2).sum(0) * (c @ c))
            z.append(r * np.sqrt((len(y) - 2) / (1 - r**2)))
        result = mv.genetic_correlation_from_summary(*z, P, n=(n1, n2), blocks=blocks, align="position")
        q = result.rho
        out.append([*four(result), *errors(result), q.lower <= rho <= q.upper])
    out = np.array(out)
    assert np.isfinite(out).all()
    truth = np.array([h2, h2, rho * h2, rho])
    spread = out[:, :4].std(axis=0, ddof=1)
    bias = out[:, :4].mean(axis=0) - truth
    assert np.all(np.abs(bias) < MONTE_CARLO * spread / np.sqrt(reps))
    ratio = out[:, 4:8].mean(axis=0) / spread
    assert np.all((ratio > 0.8) & (ratio < 1.4)), ratio  # cautious where heritability is high
    assert abs(out[:, 8].mean() - 0.95) < 3 * np.sqrt(0.95 * 0.05 / reps) + 0.01
