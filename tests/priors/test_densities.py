"""Densities of priors against other sources: scipy's distributions, quadrature, closed forms."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import betaln, gammaln

from mixedvc import priors as P
from mixedvc.priors.laws import ExpandedLaw, HalfTLaw, log_power_integral
from mixedvc.priors.lkj import log_lkj_constant
from mixedvc.priors.normal_powers import log_mean_powers
from mixedvc.priors.patterned import Patterned
from mixedvc.structures import make
from mixedvc.structures.serial import Serial
from tests.tolerances import IDENTITY, OBJECTIVE

SCALAR = make("us", 1)
V = np.geomspace(1e-3, 1e3, 25)[:, None]
LAWS = {
    "inverse gamma": P.InverseGamma(1.7, 0.4),
    "inverse Wishart": P.InverseWishart(2.0, 0.7),
    "half-t": P.HalfT(3.0, 1.4),
    "half-Cauchy": P.HalfCauchy(0.2),
    "Huang-Wand": P.HuangWand(2.0, 0.8),
    "expanded": P.ParameterExpanded(1.0, 1.0, 0.0, 1000.0),
    "expanded off zero": P.ParameterExpanded(2.0, 3.0, -2.0, 0.5),
    "expanded far off zero": P.ParameterExpanded(1.0, 5.0, 12.0, 1.0),
}


@pytest.mark.parametrize("name", list(LAWS))
def test_a_density_of_one_variance_integrates_to_one(name: str):
    bound = LAWS[name].bind(SCALAR, "g")

    def density(z: float) -> float:  # in log v
        return float(np.exp(bound.logpdf(np.array([[np.exp(z)]]))[0] + z))

    parts = [quad(density, a, b, limit=400, epsabs=1e-12)[0] for a, b in ((-160, -30), (-30, 0), (0, 30), (30, 160))]
    assert sum(parts) == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize(
    "prior",
    [
        P.InverseGamma(1.7, 0.4),
        P.HalfT(3.0, 1.0),
        P.ParameterExpanded(1, 3, 1, 2),
        *map(P.Flat, ("variance", "sd", "log")),
    ],
)
def test_tails_of_a_law_are_the_powers_it_says(prior: object):
    law = prior.law("g", None)
    for ends, power in (((1e-14, 1e-12), law.near_zero), ((1e12, 1e14), law.far_out)):
        low, high = law.logpdf(np.array(ends))
        slope = (high - low) / np.log(100.0)
        assert slope > 100.0 if power == np.inf else slope == pytest.approx(power, abs=1e-4)


def test_the_inverse_gamma_and_the_scalar_inverse_wishart_are_scipys():
    close = np.testing.assert_allclose
    close(
        P.InverseGamma(1.7, 0.4).bind(SCALAR, "g").logpdf(V),
        stats.invgamma(1.7, scale=0.4).logpdf(V[:, 0]),
        **OBJECTIVE,
    )
    close(
        P.InverseWishart(2.0, 3.0).bind(SCALAR, "g").logpdf(V),
        stats.invgamma(1.5, scale=3.0).logpdf(V[:, 0]),
        **OBJECTIVE,
    )


@pytest.mark.parametrize(("df", "scale"), [(1.0, 0.3), (3.0, 2.5), (30.0, 1.0)])
def test_half_t_is_scipys_t_on_the_sd(df: float, scale: float):
    sd = np.sqrt(V[:, 0])
    expected = np.log(2.0) + stats.t(df, scale=scale).logpdf(sd) - np.log(2.0 * sd)
    np.testing.assert_allclose(P.HalfT(df, scale).bind(SCALAR, "g").logpdf(V), expected, **OBJECTIVE)


@pytest.mark.parametrize(
    ("nu", "mu", "B", "scale"), [(1.0, 0.5, 1.0, 1.0), (3.0, -2.0, 0.5, 2.0), (7.0, 3.0, 4.0, 0.1)]
)
def test_the_expanded_variance_is_a_folded_noncentral_t(nu: float, mu: float, B: float, scale: float):
    sd = np.geomspace(1e-2, 30.0, 15)
    unit = np.sqrt(B * scale)
    t = stats.nct(nu, mu / np.sqrt(B), scale=unit)
    expected = np.log(t.pdf(sd) + t.pdf(-sd)) - np.log(2.0 * sd)
    np.testing.assert_allclose(ExpandedLaw(scale, nu, mu, B).logpdf(sd**2), expected, rtol=1e-6, atol=1e-8)


def test_the_expanded_variance_tends_to_half_t_as_its_mean_vanishes():
    v = V[:, 0]
    np.testing.assert_allclose(
        ExpandedLaw(2.0, 3.0, 1e-9, 4.0).logpdf(v), HalfTLaw(3.0, np.sqrt(8.0)).logpdf(v), **OBJECTIVE
    )


@pytest.mark.parametrize("x", [0.0, 0.4, 3.0, 11.0, 40.0])
@pytest.mark.parametrize("nu", [0.3, 1.0, 4.5])
def test_moments_of_a_normal_are_those_of_quadrature(x: float, nu: float):
    B, M = 2.0, np.array([0.0, 0.01, 1.0, 50.0])
    mu = x * np.sqrt(B)
    for m, found in zip(M, log_power_integral(M, nu, mu, B), strict=True):
        Q = m + 1.0 / B
        centre, width = mu / B / Q, 1.0 / np.sqrt(Q)
        top = -0.5 * m * centre**2 - 0.5 * (centre - mu) ** 2 / B

        def integrand(a: float, m: float = m, top: float = top) -> float:
            return abs(a) ** nu * np.exp(-0.5 * m * a * a - 0.5 * (a - mu) ** 2 / B - top)

        far = 14.0 * width
        ends = sorted({centre - far, min(max(0.0, centre - far), centre + far), centre, centre + far})
        total = sum(quad(integrand, a, b, limit=400, epsabs=0.0)[0] for a, b in pairwise(ends))
        expected = np.log(total) + top - 0.5 * np.log(2.0 * np.pi * B)
        assert found == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("k", [2, 3])
def test_the_inverse_wishart_is_scipys(k: int):
    rng = np.random.default_rng(k)
    root = rng.standard_normal((k, k + 1))
    scale, nu = root @ root.T, k + 1.3
    s = make("us", k)
    x = np.stack([s.start(np.cov(rng.standard_normal((k, 9)))) for _ in range(6)])
    expected = [stats.invwishart(nu, nu * scale).logpdf(s.build(row)) for row in x]
    np.testing.assert_allclose(P.InverseWishart(scale, nu).bind(s, "g").logpdf(x), expected, **OBJECTIVE)


def test_the_expanded_pair_is_the_double_integral_over_alpha():
    s = make("us", 2)
    scale, B, nu = np.array([[1.0, 0.8], [0.8, 1.5]]), np.array([[2.0, 0.7], [0.7, 1.0]]), 2.5
    bound = P.ParameterExpanded(scale, nu, 0.0, B).bind(s, "g")
    Sigma = np.array([[1.4, -0.3], [-0.3, 0.6]])
    normal, wishart = stats.multivariate_normal([0, 0], B), stats.invwishart(nu, nu * scale)

    nodes, weights = np.polynomial.legendre.leggauss(90)
    t, w = 4.5 * nodes - 1.7, 4.5 * weights  # log|α| from −6.2 to 2.8
    total = 0.0
    for i, a in enumerate(np.exp(t)):
        for sign in (-1.0, 1.0):
            alpha = np.column_stack([np.full(len(t), a), sign * np.exp(t)])
            W = Sigma / (alpha[:, :, None] * alpha[:, None, :])
            outer = np.abs(alpha.prod(axis=1))
            density = wishart.pdf(W.transpose(1, 2, 0)) * outer**-3.0 * normal.pdf(alpha)
            total += w[i] * float(w @ (density * outer))
    found = bound.logpdf(s.start(Sigma)[None])[0]
    assert found == pytest.approx(np.log(2.0 * total), abs=1e-6)


def test_diagonal_scales_are_the_same_by_products_and_by_quadrature():
    s = make("us", 3)
    rng = np.random.default_rng(8)
    x = np.stack([s.start(np.cov(rng.standard_normal((3, 7)))) for _ in range(5)])
    diagonal = np.diag([1.0, 2.0, 0.5])
    bound = P.ParameterExpanded(np.diag([1.0, 0.4, 3.0]), 4.2, 0.0, diagonal).bind(s, "g")
    assert bound.separate
    by_products = bound.logpdf(x)
    object.__setattr__(bound, "separate", False)  # the general road
    np.testing.assert_allclose(bound.logpdf(x), by_products, **OBJECTIVE)


@pytest.mark.parametrize("nu", [0.5, 1.0, 3.7, 12.0])
def test_powers_of_three_normals_are_those_of_two_where_one_is_independent(nu: float):
    r = np.array([-0.95, -0.3, 0.0, 0.6, 0.9])
    Q = np.tile(np.eye(3), (len(r), 1, 1))
    Q[:, 0, 1] = Q[:, 1, 0] = r
    Q *= 1.7
    one = 0.5 * nu * np.log(2.0 / 1.7) + gammaln(0.5 * (nu + 1.0)) - 0.5 * np.log(np.pi)
    np.testing.assert_allclose(log_mean_powers(Q, nu), log_mean_powers(Q[:, :2, :2], nu) + one, rtol=1e-7, atol=1e-7)


def test_powers_of_three_dependent_normals_are_those_of_a_polynomial():
    # E x²y²z² of a normal with covariance C: sums over pairings (Isserlis)
    C = np.array([[1.0, 0.5, -0.3], [0.5, 2.0, 0.4], [-0.3, 0.4, 0.7]])
    a, b, c = C[0, 0], C[1, 1], C[2, 2]
    d, e, f = C[0, 1], C[0, 2], C[1, 2]
    expected = a * b * c + 2.0 * (a * f**2 + b * e**2 + c * d**2) + 8.0 * d * e * f
    np.testing.assert_allclose(log_mean_powers(np.linalg.inv(C)[None], 2.0), [np.log(expected)], rtol=1e-9, atol=0.0)


@pytest.mark.parametrize("eta", [0.6, 1.0, 3.0])
def test_the_constant_of_lkj_is_the_integral(eta: float):
    assert log_lkj_constant(eta, 2) == pytest.approx((2 * eta - 1) * np.log(2.0) + betaln(eta, eta), abs=1e-12)
    if eta == 1.0:  # the volume of 3×3 correlation matrices (Joe 2006)
        assert log_lkj_constant(1.0, 3) == pytest.approx(np.log(np.pi**2 / 2.0), abs=1e-12)


def test_huang_wand_has_uniform_correlations_and_half_t_sds():
    s, rng = make("us", 3), np.random.default_rng(5)
    bound = P.HuangWand(2.0, [0.5, 1.0, 4.0]).bind(s, "g")
    Sigma = np.stack([s.build(bound.draw(rng)) for _ in range(3000)])
    sd = np.sqrt(np.einsum("nii->ni", Sigma))
    for i, scale in enumerate((0.5, 1.0, 4.0)):
        assert stats.kstest(sd[:, i] / scale, lambda x: 2.0 * stats.t(2.0).cdf(x) - 1.0).pvalue > 1e-5
    r = Sigma[:, 0, 2] / (sd[:, 0] * sd[:, 2])
    assert stats.kstest(r, stats.uniform(-1.0, 2.0).cdf).pvalue > 1e-5


def test_lkj_draws_have_beta_correlations_and_the_sds_asked_for():
    s, rng = make("us", 3), np.random.default_rng(6)
    bound = P.LKJ(2.0, {"a": P.HalfT(4.0, 2.0), "c": P.HalfCauchy(0.1), "b": P.HalfT(3.0, 1.0)})
    bound = bound.bind(s, "g", effects=["a", "b", "c"])
    Sigma = np.stack([s.build(bound.draw(rng)) for _ in range(3000)])
    sd = np.sqrt(np.einsum("nii->ni", Sigma))
    for i, t in enumerate((stats.t(4.0, scale=2.0), stats.t(3.0), stats.t(1.0, scale=0.1))):
        assert stats.kstest(sd[:, i], lambda x, t=t: 2.0 * t.cdf(x) - 1.0).pvalue > 1e-5
    for a, b in ((0, 1), (0, 2), (1, 2)):  # of k effects each (r + 1)/2 is Beta(eta − 1 + k/2)
        r = Sigma[:, a, b] / (sd[:, a] * sd[:, b])
        assert stats.kstest((r + 1.0) / 2.0, stats.beta(2.5, 2.5).cdf).pvalue > 1e-5


@pytest.mark.parametrize(
    "structure",
    [
        make("cs", 4),
        make("ar1", 4),
        Serial("ar1", (0, 2, 3, 7), (0, 0, 1, 1), ("a", "b")),
        Serial("ar1", (0, 2, 0, 5), (0, 0, 1, 1), ("a", "b"), across=False),
        Serial("cs", (0, 1, 2, 3, 4), (0, 0, 0, 1, 1), ("a", "b"), across=False),
    ],
    ids=["cs", "ar1", "serial", "apart", "cs apart"],
)
def test_determinants_of_patterned_correlations_are_those_of_the_matrices(structure: object):
    from mixedvc.priors.correlations import correlation_matrices, log_determinants

    lower, upper = (bound[-1] for bound in structure.bounds())
    rho = np.linspace(lower, upper, 11)[1:-1, None]
    expected = np.linalg.slogdet(correlation_matrices(structure, rho))[1]
    np.testing.assert_allclose(log_determinants(structure, rho), expected, rtol=1e-9, atol=1e-12)


def test_loadings_do_not_know_the_order_of_the_effects():
    # ΛΛᵀ of a Gaussian 3×2 Λ has the same law as that of the trapezoidal parameters
    s, rng = make("rr", 3, (("factors", 2),)), np.random.default_rng(9)
    bound = Patterned(loading=1.5).bind(s, "g")
    mine = np.stack([s.build(bound.draw(rng)) for _ in range(4000)])
    L = 1.5 * rng.standard_normal((4000, 3, 2))
    full = L @ L.transpose(0, 2, 1)
    for a, b in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        assert stats.ks_2samp(mine[:, a, b], full[:, a, b]).pvalue > 1e-5, (a, b)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_flat_on_sd_and_log_are_flat_there(k: int):
    # in (log σ, R) the density of Flat("log") is constant; that of Flat("sd") is Π σ
    s, rng = make("us", k), np.random.default_rng(2)
    sd = np.exp(rng.standard_normal((6, k)))
    R = np.eye(k) + 0.3 * (1 - np.eye(k))
    x = np.stack([s.start(R * np.outer(d, d)) for d in sd])
    jacobian = (k + 1.0) * np.log(sd).sum(axis=1)
    flat = P.Flat("log").bind(s, "g").logpdf(x) + jacobian
    np.testing.assert_allclose(flat, flat[0], **IDENTITY)
    on_sd = P.Flat("sd").bind(s, "g").logpdf(x) + jacobian - np.log(sd).sum(axis=1)
    np.testing.assert_allclose(on_sd, on_sd[0], **OBJECTIVE)
