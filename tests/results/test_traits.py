"""Covariances, correlations and heritabilities of several traits against brute force and against single traits."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

import mixedvc as mv
from mixedvc.errors import MixedVCWarning, NotProvided, OptionError
from mixedvc.results.traits import TraitResults
from tests.tolerances import COMPONENT, IDENTITY, PARAMETER

from .traits_brute import Brute, data, delta_se, slope

FORMULA = "cbind(y1, y2) ~ x + (1|id:A)"


def quiet(formula, frame, A, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return mv.fit(formula, frame, cov={"A": A}, **options)


def brute_of(frame, A, t=2, reml=True):
    return Brute(frame[[f"y{a + 1}" for a in range(t)]].to_numpy(), frame["x"].to_numpy(), A.to_numpy(), reml)


@pytest.fixture(scope="module")
def two():
    frame, A = data()
    return SimpleNamespace(frame=frame, A=A, fit=quiet(FORMULA, frame, A), brute=brute_of(frame, A))


@pytest.fixture(scope="module")
def three():
    frame, A = data(t=3, n=40, seed=8)
    fit = quiet("cbind(y1, y2, y3) ~ x + (1|id:A)", frame, A)
    return SimpleNamespace(frame=frame, A=A, fit=fit, brute=brute_of(frame, A, 3))


# ---- what there is ----------------------------------------------------------------------------------------------


def test_a_fit_of_several_traits_has_its_matrices(two):
    fit = two.fit
    assert isinstance(fit, TraitResults)
    assert fit.traits == ("y1", "y2")
    G, R = two.brute.sigmas(fit.estimate.theta)
    assert_allclose(fit.G, G, **IDENTITY)
    assert_allclose(fit.R, R, **IDENTITY)
    assert_allclose(fit.P, G + R, **IDENTITY)
    assert list(fit.G.index) == list(fit.G.columns) == ["y1", "y2"]
    assert_allclose(two.brute.loglik(fit.estimate.theta), fit.llf, rtol=1e-9, atol=0)
    assert "cbind(y1, y2)" in repr(fit) and "2 traits, 45 records, 86 cells" in repr(fit)


def test_a_fit_of_one_response_is_as_before(two):
    fit = quiet("y1 ~ x + (1|id:A)", two.frame, two.A)
    assert not isinstance(fit, TraitResults)


def test_unknown_names_are_refused_with_what_there_is(two):
    with pytest.raises(
        OptionError, match="no covariance among traits is called 'lines'; there are 'id', 'Residual', 'phenotypic'"
    ):
        two.fit.trait_cov("lines")
    with pytest.raises(OptionError, match="'y9' is no trait of 'id'; it has 'y1', 'y2'"):
        two.fit.test_correlation("y1", "y9")
    with pytest.raises(OptionError, match="method='wald' is not one of 'delta', 'profile', 'boot'"):
        two.fit.correlations(interval="wald")
    with pytest.raises(OptionError, match="of which trait"):
        two.fit.heritability("id")
    with pytest.raises(OptionError, match="level=95 must lie"):
        two.fit.correlations(level=95)


# ---- errors -----------------------------------------------------------------------------------------------------


def correlation(S):
    d = np.sqrt(np.diag(S))
    return S / d[:, None] / d


@pytest.mark.parametrize("information", ["expected", "observed"])
def test_errors_are_the_delta_method_of_the_information(two, information):
    fit, brute = two.fit.with_information(information), two.brute
    theta = fit.estimate.theta
    if information == "expected":
        cov, close = np.linalg.inv(brute.expected_information(theta)), PARAMETER
    else:
        cov, close = np.linalg.inv(brute.observed_information(theta)), {"rtol": 1e-4, "atol": 0}
    functions = {
        "id": lambda th: brute.sigmas(th)[0],
        "Residual": lambda th: brute.sigmas(th)[1],
        "phenotypic": lambda th: sum(brute.sigmas(th)),
    }
    for name, of in functions.items():
        frame = fit.trait_cov(name, se=True)
        lower = [(0, 0), (1, 0), (1, 1)]
        want = delta_se(of, theta, cov)
        assert_allclose(frame["se"], [want[at] for at in lower], **close)
        assert_allclose(frame["covariance"], [of(theta)[at] for at in lower], **IDENTITY)
        r = delta_se(lambda th, of=of: correlation(of(th))[0, 1], theta, cov)
        row = fit.correlations(name).iloc[0]
        assert_allclose(row["se"], r, **close)
        assert_allclose(row["correlation"], correlation(of(theta))[0, 1], **IDENTITY)
    share = lambda th: np.diag(brute.sigmas(th)[0]) / np.diag(sum(brute.sigmas(th)))  # noqa: E731
    made = fit.heritabilities()
    assert_allclose(made["heritability"], share(theta), **IDENTITY)
    assert_allclose(made["se"], delta_se(share, theta, cov), **close)


def test_errors_of_three_traits_are_the_delta_method_too(three):
    fit, brute = three.fit, three.brute
    theta = fit.estimate.theta
    cov = np.linalg.inv(brute.expected_information(theta))
    want = delta_se(lambda th: correlation(brute.sigmas(th)[0]), theta, cov)
    made = fit.correlations("id")
    assert list(zip(made["trait1"], made["trait2"], strict=True)) == [("y1", "y2"), ("y1", "y3"), ("y2", "y3")]
    assert_allclose(made["se"], [want[0, 1], want[0, 2], want[1, 2]], **PARAMETER)


def test_intervals_follow_the_errors(two):
    row = two.fit.correlations("id", level=0.9).iloc[0]
    z = np.arctanh(row["correlation"]) + np.array([-1, 1]) * stats.norm.ppf(0.95) * row["se"] / (
        1 - row["correlation"] ** 2
    )
    assert_allclose(row[["lower", "upper"]].astype(float), np.tanh(z), **COMPONENT)
    both = two.fit.trait_cov("id", se=True, level=0.9)
    wald = both.iloc[1]
    assert_allclose(wald["upper"] - wald["covariance"], stats.norm.ppf(0.95) * wald["se"], **COMPONENT)
    own = two.fit.variances(level=0.9)
    assert_allclose(both.iloc[[0, 2]][["lower", "upper"]], own.iloc[[0, 2]][["lower", "upper"]], **COMPONENT)


def test_profile_intervals_end_where_the_likelihood_ratio_is_its_quantile(two):
    fit = two.fit
    for name, place in (("id", 0), ("Residual", 1)):
        row = fit.correlations(name, interval="profile").iloc[0]
        for end in (row["lower"], row["upper"]):
            ratio = 2 * (fit.llf - two.brute.held(end, place, starts=1))
            if abs(end) < 1:
                assert_allclose(ratio, stats.chi2.ppf(0.95, 1), rtol=0, atol=1e-4)
            else:
                assert ratio < stats.chi2.ppf(0.95, 1)


def test_profiles_of_the_phenotypic_correlation_and_of_shares_hold_what_they_say(two):
    """Held by a constrained optimiser of scipy, which knows nothing of charts."""
    from scipy import optimize

    fit, brute = two.fit, two.brute
    quantities = {
        "r": (lambda th: correlation(sum(brute.sigmas(th)))[0, 1], fit.correlations("phenotypic", interval="profile")),
        "h2": (
            lambda th: brute.sigmas(th)[0][0, 0] / sum(brute.sigmas(th))[0, 0],
            fit.heritabilities(interval="profile"),
        ),
        "cov": (lambda th: brute.sigmas(th)[0][0, 1], fit.trait_cov("id", se=True, interval="profile").iloc[[1]]),
    }
    for of, frame in quantities.values():
        end = float(frame["upper"].iloc[0])
        found = optimize.minimize(
            lambda th: (-brute.loglik(th), -brute.score(th)),
            fit.estimate.theta,
            jac=True,
            method="SLSQP",
            constraints={"type": "eq", "fun": lambda th, of=of, end=end: of(th) - end},
            options={"ftol": 1e-12, "maxiter": 300},
        )
        assert_allclose(2 * (fit.llf + found.fun), stats.chi2.ppf(0.95, 1), rtol=0, atol=2e-4)


# ---- equal to single traits ---------------------------------------------------------------------------------------


def test_without_covariances_everything_is_that_of_single_traits(two):
    both = quiet("cbind(y1, y2) ~ x + diag(1|id:A)", two.frame, two.A, residual="diag")
    for trait in both.traits:
        one = quiet(f"{trait} ~ x + (1|id:A)", two.frame.dropna(subset=[trait]), two.A)
        assert_allclose(both.G.loc[trait, trait], one.varcomp["variance"].iloc[0], **PARAMETER)
        for scale in ("variance", "pve"):
            want = one.heritability("id", scale=scale)
            row = both.heritabilities(scale=scale).set_index("trait").loc[trait]
            got = [row[c] for c in ("heritability", "se", "lower", "upper")]
            assert_allclose(got, [want.estimate, want.se, want.lower, want.upper], rtol=2e-5, atol=0)
            ratio = both.heritability("id", trait=trait, scale=scale)
            assert_allclose([ratio.estimate, ratio.se, ratio.lower, ratio.upper], got, **IDENTITY)
        shares = both.varcomp[both.varcomp["effect"] == trait]["share"]
        assert_allclose(shares, one.varcomp["share"], rtol=2e-5, atol=0)
        profile = both.heritabilities(interval="profile").set_index("trait").loc[trait]
        ends = one.heritability("id", interval="profile")
        assert_allclose(profile[["lower", "upper"]].astype(float), [ends.lower, ends.upper], rtol=1e-4, atol=0)
    rows = both.correlations()
    assert (rows["correlation"] == 0).all() and rows["se"].isna().all()
    assert set(rows["note"]) == {"zero by the structure"}


def test_the_phenotypic_matrix_counts_kernels_as_asked(two):
    """By hand: mean diagonal over the records with both traits, less the grand mean for "pve"."""
    fit, A = two.fit, two.A.to_numpy()
    G, R = two.brute.sigmas(fit.estimate.theta)
    assert_allclose(fit.trait_cov("phenotypic"), G + R, **IDENTITY)
    seen = two.frame[["y1", "y2"]].notna().to_numpy()
    want = R.copy()
    for j in range(2):
        for k in range(2):
            both = seen[:, j] & seen[:, k]
            c = np.diag(A)[both].mean() - A[np.ix_(seen[:, j], seen[:, k])].mean()
            want[j, k] += c * G[j, k]
    assert_allclose(fit.trait_cov("phenotypic", scale="pve"), want, **PARAMETER)
    with pytest.raises(OptionError, match="scale='mean' is not one of"):
        fit.trait_cov("phenotypic", scale="mean")


def test_traits_never_seen_together_count_with_their_means(two):
    frame = two.frame.copy()
    frame.loc[:22, "y2"], frame.loc[23:, "y1"] = np.nan, np.nan
    fit = quiet(FORMULA, frame, two.A, residual="diag")
    assert fit.G.iloc[0, 1] != 0
    assert_allclose(fit.P, fit.G + fit.R, **IDENTITY)


def test_weights_and_slopes_enter_the_phenotypic_matrix_at_their_means(two):
    rng = np.random.default_rng(5)
    frame = two.frame.dropna().reset_index(drop=True)
    frame["g"], frame["w"] = [f"g{j % 9}" for j in range(len(frame))], rng.uniform(0.5, 2.0, len(frame))
    fit = quiet("cbind(y1, y2) ~ x + us(1 + x | g, traits='diag')", frame, two.A, weights="w")
    x, w = frame["x"].to_numpy(), frame["w"].to_numpy()
    z = np.column_stack([np.ones(len(x)), x])
    sigmas = fit.spec.sigmas(fit.estimate.theta)
    for j in range(2):
        P = np.mean(np.einsum("ra,ab,rb->r", z, sigmas[j], z)) + fit.R.iloc[j, j] * np.mean(1 / w)
        assert_allclose(fit.P.iloc[j, j], P, **PARAMETER)
    assert_allclose(fit.P.iloc[0, 1], fit.R.iloc[0, 1] * np.mean(1 / w), **PARAMETER)
    assert_allclose(np.diag(fit.trait_cov("g", effect="x")), [s[1, 1] for s in sigmas[:2]], **IDENTITY)
    assert_allclose(np.diag(fit.trait_cov("g")), [s[0, 0] for s in sigmas[:2]], **IDENTITY)
    shares = fit.varcomp.assign(trait=[str(e)[:2] for e in fit.varcomp["effect"]]).groupby("trait")["share"].sum()
    assert_allclose(shares, 1.0, **IDENTITY)


def test_effects_of_slopes_are_matrices_of_their_own(two):
    frame = two.frame.assign(g=[f"g{j % 9}" for j in range(len(two.frame))])
    fit = quiet("cbind(y1, y2) ~ x + (1 + x | g)", frame, two.A)
    S = fit.spec.sigmas(fit.estimate.theta)[0]
    assert fit.spec.terms[0].effects == ("y1: Intercept", "y1: x", "y2: Intercept", "y2: x")
    assert_allclose(fit.trait_cov("g"), S[np.ix_([0, 2], [0, 2])], **IDENTITY)
    assert_allclose(fit.trait_cov("g", effect="x"), S[np.ix_([1, 3], [1, 3])], **IDENTITY)
    assert_allclose(fit.trait_cov("g: x"), fit.trait_cov("g", effect="x"), **IDENTITY)
    assert list(dict.fromkeys(fit.correlations()["component"])) == ["g", "g: x", "Residual", "phenotypic"]
    apart = quiet("cbind(y1, y2) ~ x + (1 + x || g)", frame, two.A)
    assert_allclose(apart.trait_cov("g", effect="x"), apart.spec.sigmas(apart.estimate.theta)[1], **IDENTITY)


# ---- edges ------------------------------------------------------------------------------------------------------


def test_a_correlation_of_one_has_no_error_and_says_why():
    frame, A = data(seed=1, m=25, G=[[1.0, 1.0], [1.0, 1.0]], R=[[0.8, -0.5], [-0.5, 0.8]], missing=0)
    fit = quiet(FORMULA, frame, A)
    row = fit.correlations("id").iloc[0]
    assert fit.is_singular and row["correlation"] == 1.0
    assert np.isnan([row["se"], row["lower"], row["upper"]]).all()
    assert row["note"] == "boundary: the correlation is 1, the covariance matrix is singular"
    profile = fit.correlations("id", interval="profile").iloc[0]
    assert profile["upper"] == 1.0 and 0 < profile["lower"] < 1
    ratio = 2 * (fit.llf - brute_of(frame, A).held(profile["lower"], starts=1))
    assert_allclose(ratio, stats.chi2.ppf(0.95, 1), rtol=0, atol=1e-4)
    variances = fit.trait_cov("id", se=True)
    assert (variances["se"] > 0).all()  # along the edge
    eigen = fit.eigen()
    assert eigen.frame["eigenvalue"].iloc[1] == 0.0 and np.isnan(eigen.frame["se"].iloc[1])
    assert "PC2 is exactly zero" in " ".join(eigen.notes)


def test_traits_without_genetic_variance_have_no_correlation():
    frame, A = data(seed=3, n=40, m=25, G=np.zeros((2, 2)), missing=0)
    fit = quiet(FORMULA, frame, A)
    assert (fit.G == 0).all(axis=None)
    row = fit.correlations("id").iloc[0]
    assert np.isnan(row["correlation"]) and row["note"] == "not defined: the variance of y1 and of y2 is zero"
    rows = fit.trait_cov("id", se=True)
    assert list(rows["note"]) == [f"boundary: the variance of {who} is zero" for who in ("y1", "y2 and of y1", "y2")]
    assert rows["se"].isna().all() and fit.heritabilities()["se"].isna().all()
    made = fit.test_correlation("y1", "y2")
    assert made.statistic == 0.0 and made.p_value == 1.0
    assert "every value fits equally well" in " ".join(made.notes)
    assert "boundary: every random variance is exactly zero" in " ".join(str(fit.summary()).split())
    with pytest.raises(OptionError, match="a variance in 'id' is zero, so it has no correlation matrix"):
        fit.eigen(correlation=True)
    assert fit.eigen().dimensions == 0.0


def test_a_zero_variance_among_independent_traits_is_at_the_boundary():
    frame, A = data(seed=1, n=40, m=25, G=[[1.0, 0.0], [0.0, 0.0]], missing=0)
    fit = quiet("cbind(y1, y2) ~ x + diag(1|id:A)", frame, A)
    assert fit.G.loc["y2", "y2"] == 0.0 < fit.G.loc["y1", "y1"]
    rows = fit.trait_cov("id", se=True)
    assert list(rows["note"]) == ["", "zero by the structure", "boundary: the variance of y2 is zero"]
    assert np.isfinite(rows["se"]).tolist() == [True, False, False]
    h2 = fit.heritabilities()
    assert h2["heritability"].iloc[1] == 0 and np.isnan(h2["se"].iloc[1]) and h2["se"].iloc[0] > 0
    assert "boundary" in str(fit.summary())


def test_what_is_held_is_said_to_be(two):
    G = two.fit.G.to_numpy()
    fit = quiet(FORMULA, two.frame, two.A, fixed_varcomp={"id": G})
    assert list(fit.trait_cov("id", se=True)["note"]) == ["held fixed"] * 3
    assert fit.correlations("id")["note"].iloc[0] == "held fixed"
    with pytest.raises(NotProvided, match="held fixed"):
        fit.test_correlation("y1", "y2")


def test_moment_estimates_have_correlations_with_their_own_errors(two):
    fit = quiet(FORMULA, two.frame, two.A, method="he")
    row = fit.correlations("id").iloc[0]
    S = fit.G.to_numpy()
    assert_allclose(row["correlation"], S[0, 1] / np.sqrt(S[0, 0] * S[1, 1]), **PARAMETER)
    centre, cov = fit.estimate.sampling.centre, fit.estimate.sampling.cov
    of = lambda th: correlation(two.brute.sigmas(th)[0])[0, 1]  # noqa: E731
    assert_allclose(row["se"], delta_se(of, centre, cov), **PARAMETER)
    with pytest.raises(NotProvided, match="no likelihood"):
        fit.test_correlation("y1", "y2")
    assert "Correlations" in str(fit.summary())


# ---- files --------------------------------------------------------------------------------------------------------


def test_a_saved_fit_comes_back_with_its_traits(two, tmp_path):
    two.fit.save(tmp_path / "fit.mvc")
    again = mv.load(tmp_path / "fit.mvc")
    assert isinstance(again, TraitResults)
    assert again.llf == two.fit.llf
    assert again.correlations().equals(two.fit.correlations())
    assert str(again.summary()) == str(two.fit.summary())
    assert again.test_correlation("y1", "y2").statistic == pytest.approx(two.fit.test_correlation("y1", "y2").statistic)
    assert isinstance(again.with_information("observed"), TraitResults)


# ---- refits, profiles by name, factors ------------------------------------------------------------------------------


def test_bootstrap_intervals_are_quantiles_of_what_refits_give(two):
    fit = quiet(FORMULA, two.frame, two.A)
    fit.__dict__["booted"] = boot = fit.bootstrap(nsim=40, seed=1)
    theta = np.column_stack(
        [
            boot.draws[kind, name]
            for kind, name in (("variance", "id[y1]"), ("covariance", "id[y1, y2]"), ("variance", "id[y2]"))
        ]
    )
    r = theta[:, 1] / np.sqrt(theta[:, 0] * theta[:, 2])
    row = fit.correlations("id", interval="boot").iloc[0]
    want = np.quantile(r[np.isfinite(r)], [0.025, 0.975], method="weibull")
    assert_allclose(row[["lower", "upper"]].astype(float), want, rtol=1e-9, atol=0)
    own = fit.trait_cov("id", se=True, interval="boot").iloc[0]
    assert_allclose(own["lower"], np.quantile(theta[:, 0], 0.025, method="weibull"), **COMPONENT)
    assert np.isfinite(fit.correlations("phenotypic", interval="boot")["lower"]).all()
    h2 = fit.heritabilities(interval="boot")
    assert (h2["lower"] < h2["heritability"]).all()
    shares = boot.draws["share"]
    assert_allclose(shares["id[y1]"] + shares["Residual[y1]"], 1.0, **COMPONENT)
    assert_allclose(shares["id[y1, y2]"], 0.0, rtol=0, atol=1e-12)


def test_profiles_of_shares_are_those_of_heritabilities(two):
    table = two.fit.profile("shares").conf_int()
    assert list(table.index) == ["share(id[y1])", "share(id[y2])", "share(Residual[y1])", "share(Residual[y2])"]
    want = two.fit.heritabilities("id", interval="profile")
    assert_allclose(table[["lower", "upper"]].iloc[:2], want[["lower", "upper"]], rtol=1e-5, atol=0)
    assert_allclose(table["lower"].iloc[2], 1 - table["upper"].iloc[0], rtol=1e-4, atol=1e-6)


def test_factors_have_correlations_with_errors_and_profiles():
    """Σ = ΛΛᵀ + Ψ: the delta method through Λ and Ψ by differences, the profile by scipy over them."""
    from scipy import optimize

    loads = np.array([1.0, 0.8, -0.7])
    frame, A = data(t=3, n=60, seed=2, G=np.outer(loads, loads) + 0.8 * np.eye(3), missing=0, m=120)
    fit = quiet("cbind(y1, y2, y3) ~ x + fa(1|id:A)", frame, A)
    brute = brute_of(frame, A, 3)
    par = fit.estimate.par

    def theta(par):
        G = np.diag(par[:3]) + np.outer(par[3:6], par[3:6])
        return np.concatenate([[G[a, b] for a, b in brute.pairs], par[6:]])

    assert_allclose(theta(par), fit.estimate.theta, **COMPONENT)
    J = slope(theta, par)
    cov = np.linalg.inv(J.T @ brute.expected_information(theta(par)) @ J)
    want = delta_se(lambda q: correlation(brute.sigmas(theta(q))[0]), par, cov)
    made = fit.correlations("id")
    assert_allclose(made["se"], [want[0, 1], want[0, 2], want[1, 2]], rtol=1e-4, atol=0)
    end = fit.correlations("id", interval="profile")["lower"].iloc[0]
    found = optimize.minimize(
        lambda q: (-brute.loglik(theta(q)), -brute.score(theta(q)) @ slope(theta, q)),
        par,
        jac=True,
        method="SLSQP",
        bounds=[(0, None)] * 3 + [(None, None)] * 9,
        constraints={"type": "eq", "fun": lambda q: correlation(brute.sigmas(theta(q))[0])[0, 1] - end},
        options={"ftol": 1e-12, "maxiter": 300},
    )
    assert_allclose(2 * (fit.llf + found.fun), stats.chi2.ppf(0.95, 1), rtol=0, atol=5e-4)
    with pytest.raises(
        NotProvided, match=r"the law of the likelihood ratio of \|rho\| = 1 in 'id' \(fa\) is not known"
    ):
        fit.test_correlation("y1", "y2", 1)
    zero = fit.test_correlation("y1", "y2", 0)
    assert zero.df == "chi-square(1)" and zero.statistic > 0
    assert "id[y1, λ1]" in str(mv.compare(fit.spec, ["reml"]))


@pytest.mark.slow
def test_a_reduced_rank_has_profiles_that_the_likelihood_agrees_with():
    from scipy import optimize

    B = np.array([[1.0, 0.0], [0.6, 0.6], [-0.3, 0.9]])
    frame, A = data(t=3, n=50, seed=4, G=B @ B.T, missing=0, m=100)
    fit = quiet("cbind(y1, y2, y3) ~ x + rr(1|id:A, 2)", frame, A)
    brute, low = brute_of(frame, A, 3), np.tril_indices(3)

    def theta(q):
        L, M = np.zeros((3, 2)), np.zeros((3, 3))
        L[[0, 1, 2, 1, 2], [0, 0, 0, 1, 1]], M[low] = q[:5], q[5:]
        return np.concatenate([[S[a, b] for a, b in brute.pairs] for S in (L @ L.T, M @ M.T)])

    begin = np.append(fit.estimate.par[:5], np.linalg.cholesky(fit.R.to_numpy())[low])
    assert_allclose(brute.loglik(theta(begin)), fit.llf, rtol=1e-9, atol=0)
    fit.__dict__["booted"] = fit.bootstrap(nsim=25, seed=1)
    assert np.isfinite(fit.correlations("id", interval="boot")[["lower", "upper"]]).all(axis=None)
    made = fit.correlations("id", interval="profile")
    for row, (j, k) in zip(made.to_dict("records"), [(0, 1), (0, 2), (1, 2)], strict=True):
        for end in (row["lower"], row["upper"]):
            if abs(end) == 1:
                continue
            found = optimize.minimize(
                lambda q: (-brute.loglik(theta(q)), -brute.score(theta(q)) @ slope(theta, q)),
                begin,
                jac=True,
                method="SLSQP",
                constraints={
                    "type": "eq",
                    "fun": lambda q, j=j, k=k, end=end: correlation(brute.sigmas(theta(q))[0])[j, k] - end,
                },
                options={"ftol": 1e-10, "maxiter": 100},
            )
            assert_allclose(2 * (fit.llf + found.fun), stats.chi2.ppf(0.95, 1), rtol=0, atol=1e-3)
