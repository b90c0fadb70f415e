"""Exact updates of Σ given effects, against the distributions they are meant to be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from mixedvc import priors as P
from mixedvc.errors import OptionError
from mixedvc.structures import make

SCALAR, PAIR = make("us", 1), make("us", 2)
D = 3000
S, COUNT = 7.3, 9
IG = stats.invgamma


@pytest.mark.parametrize(
    ("prior", "shape", "scale"),
    [
        (P.InverseGamma(2.0, 1.5), 2.0 + COUNT / 2, 1.5 + S / 2),
        (P.InverseWishart(1.5, 3.0), (3.0 + COUNT) / 2, (4.5 + S) / 2),
        (P.InverseWishart(1.0, 0.0), COUNT / 2, S / 2),
        (P.Flat("variance"), COUNT / 2 - 1, S / 2),
        (P.Flat("sd"), (COUNT - 1) / 2, S / 2),
        (P.Flat("log"), COUNT / 2, S / 2),
    ],
)
def test_a_variance_given_effects_is_inverse_gamma(prior: Any, shape: float, scale: float):
    bound, rng = prior.bind(SCALAR, "g"), np.random.default_rng(1)
    x = [bound.update(np.array([[S]]), COUNT, np.empty(0), rng)[0][0] for _ in range(D)]
    assert stats.kstest(x, IG(shape, scale=scale).cdf).pvalue > 1e-6
    # a degree of freedom more or less would be seen
    for wrong in (0.5, -0.5):
        assert stats.kstest(x, IG(shape + wrong, scale=scale).cdf).pvalue < 1e-6


@pytest.mark.parametrize(
    ("prior", "df", "s"),
    [
        (P.HalfT(3.0, 2.0), 3.0, 2.0),
        (P.HalfCauchy(0.5), 1.0, 0.5),
        (P.HuangWand(2.0, 1.5), 2.0, 1.5),
        (P.ParameterExpanded(4.0, 3.0, 0.0, 9.0), 3.0, 6.0),
    ],
)
def test_half_t_is_updated_as_a_mixture_of_inverse_gammas(prior: Any, df: float, s: float):
    bound, rng = prior.bind(SCALAR, "g"), np.random.default_rng(2)
    a = np.array([0.8])
    x = [bound.update(np.array([[S]]), COUNT, a, rng) for _ in range(D)]
    v, auxiliary = np.array([par[0] for par, _ in x]), np.array([new[0] for _, new in x])
    shape = (df + COUNT) / 2
    assert stats.kstest(v, IG(shape, scale=df / 0.8 + S / 2).cdf).pvalue > 1e-6
    assert stats.kstest(v, IG(shape + 0.5, scale=df / 0.8 + S / 2).cdf).pvalue < 1e-6
    unit = auxiliary / (s**-2.0 + df / v)  # a | v ~ IG((df + 1)/2, 1/s² + df/v)
    assert stats.kstest(unit, IG((df + 1) / 2).cdf).pvalue > 1e-6
    assert stats.kstest(unit, IG((df + 2) / 2).cdf).pvalue < 1e-6
    assert stats.kstest([bound.auxiliary(rng)[0] for _ in range(D)], IG(0.5, scale=s**-2.0).cdf).pvalue > 1e-6


def test_variances_of_a_diagonal_term_have_counts_of_their_own():
    bound, rng = P.InverseGamma(2.0, 1.0).bind(make("diag", 2), "g"), np.random.default_rng(3)
    two = np.diag([4.0, 9.0]) + 0.7  # the cross product says nothing about them
    x = np.array([bound.update(two, np.array([3, 12]), np.empty(0), rng)[0] for _ in range(D)])
    for i, (count, own) in enumerate(((3, 4.7), (12, 9.7))):
        assert stats.kstest(x[:, i], IG(2.0 + count / 2, scale=1.0 + own / 2).cdf).pvalue > 1e-6


SS = np.array([[5.0, 1.5], [1.5, 3.0]])
V = np.array([[1.0, 0.3], [0.3, 2.0]])


@pytest.mark.parametrize(
    ("prior", "auxiliary", "df", "scale"),
    [
        (P.InverseWishart(V, 3.5), [], 3.5 + COUNT, 3.5 * V + SS),
        (P.InverseWishart(V, 0.0), [], COUNT, SS),
        (P.Flat("variance"), [], COUNT - 3, SS),
        (P.HuangWand(2.0, [1.0, 2.0]), [0.5, 1.7], 3.0 + COUNT, np.diag([4.0 / 0.5, 4.0 / 1.7]) + SS),
    ],
)
def test_a_matrix_given_effects_is_inverse_wishart(prior: Any, auxiliary: list[float], df: float, scale: Any):
    bound, rng = prior.bind(PAIR, "g"), np.random.default_rng(4)
    a = np.array(auxiliary)
    x = [bound.update(SS, COUNT, a, rng) for _ in range(D)]
    Sigma = np.stack([PAIR.build(par) for par, _ in x])
    # W = Σ⁻¹ is Wishart: wᵀ scale w over its own quadratic form is χ² with df degrees of freedom in any direction
    for w in (np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.6, -0.8])):
        q = np.einsum("a,nab,b->n", w, np.linalg.inv(Sigma), w) / (w @ np.linalg.inv(scale) @ w)
        assert stats.kstest(q, stats.chi2(df).cdf).pvalue > 1e-6
        assert stats.kstest(q, stats.chi2(df + 1).cdf).pvalue < 1e-6
    if len(a):
        inverse = np.einsum("nii->ni", np.linalg.inv(Sigma))
        unit = np.array([new for _, new in x]) / (np.array([1.0, 0.25]) + 2.0 * inverse)
        for i in range(2):  # a_i | Σ ~ IG((df + k)/2, 1/A_i² + df (Σ⁻¹)_ii)
            assert stats.kstest(unit[:, i], IG(2.0).cdf).pvalue > 1e-6
            assert stats.kstest(unit[:, i], IG(2.5).cdf).pvalue < 1e-6


def test_too_few_levels_for_an_improper_prior_are_told():
    rng = np.random.default_rng(5)
    with pytest.raises(OptionError, match="too few levels for this improper prior"):
        P.Flat("variance").bind(SCALAR, "g").update(np.array([[S]]), 2, np.empty(0), rng)
    with pytest.raises(OptionError, match="needs more than 4 levels; there are 4"):
        P.Flat("variance").bind(PAIR, "g").update(SS, 4, np.empty(0), rng)
    with pytest.raises(OptionError, match="too few for a 2×2"):
        P.InverseWishart(1.0, 0.0).bind(PAIR, "g").update(SS, 1, np.empty(0), rng)


def test_tiny_shapes_do_not_underflow():
    bound, rng = P.InverseWishart(1.0, 0.002).bind(SCALAR, "g"), np.random.default_rng(6)
    x = np.array([bound.draw(rng)[0] for _ in range(2000)])
    assert np.isfinite(x).all()
    assert (x > 0.0).all()
    # log of a gamma variable of shape 0.001 is −∞ to double precision in half the draws; here the median is right
    assert abs(np.mean(np.log(x) <= np.log(IG(0.001, scale=0.001).ppf(0.3))) - 0.3) < 0.05
