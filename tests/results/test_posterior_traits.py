"""Posteriors of several traits: matrices, correlations, shares and eigenvalues are those of every draw."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc.errors import NotProvided, OptionError
from mixedvc.inference.traits import component
from mixedvc.results import posterior_numbers as pn
from mixedvc.results.posterior import TraitPosterior
from tests.results.posterior_made import results_of
from tests.tolerances import IDENTITY, PARAMETER


def table(t=2, groups=15, seed=1):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), 3)
    y = rng.standard_normal((groups, t))[g] + rng.standard_normal((len(g), t))
    data = pd.DataFrame(y, columns=[f"y{j + 1}" for j in range(t)])
    return data.assign(g=[f"g{i}" for i in g], x=rng.standard_normal(len(g)))


@cache
def fitted():
    """Two traits, with draws that are known: Wishart-like matrices."""
    data = table()
    data.loc[3, "y2"] = np.nan
    spec = mv.model("cbind(y1, y2) ~ x + (1 | g)", data)
    rng = np.random.default_rng(5)
    A = rng.standard_normal((2, 3, 300, 8, 2)) @ np.array([[1.0, 0.5], [0.0, 0.8]])
    S = np.einsum("tcdia,tcdib->tcdab", A, A) / 8
    par = np.concatenate([S[i][..., [0, 0, 1], [0, 1, 1]] for i in range(2)], axis=-1)
    beta = rng.normal(0.2, 0.1, (3, 300, 4))
    return results_of(spec, par, beta), S


def test_the_kind_of_results_is_told_by_the_draws():
    fit, _ = fitted()
    assert isinstance(fit, TraitPosterior) and fit.traits == ("y1", "y2")
    assert "TraitPosterior" in repr(fit)


def test_matrices_are_posterior_means_with_the_spread_of_the_draws():
    fit, S = fitted()
    assert_allclose(fit.G, S[0].mean(axis=(0, 1)), **PARAMETER)
    assert_allclose(fit.R, S[1].mean(axis=(0, 1)), **PARAMETER)
    frame = fit.trait_cov("g", se=True, level=0.9)
    assert list(frame.trait1 + frame.trait2) == ["y1y1", "y2y1", "y2y2"]
    for row, (a, b) in zip(frame.itertuples(), ((0, 0), (1, 0), (1, 1)), strict=True):
        x = S[0][..., a, b]
        assert_allclose((row.covariance, row.se), (x.mean(), x.std(ddof=1)), **PARAMETER)
        assert_allclose((row.lower, row.upper), pn.hdi(x, 0.9), **PARAMETER)


def test_correlations_are_those_of_every_draw():
    fit, S = fitted()
    frame = fit.correlations().set_index("component")
    assert list(frame.index) == ["g", "Residual", "phenotypic"]
    P = component(fit.spec, "phenotypic")
    whole = np.einsum("jkm,cdm->cdjk", P.L, fit.draws.theta)
    for name, C in (("g", S[0]), ("Residual", S[1]), ("phenotypic", whole)):
        r = C[..., 0, 1] / np.sqrt(C[..., 0, 0] * C[..., 1, 1])
        row = frame.loc[name]
        assert_allclose((row.correlation, row.se), (r.mean(), r.std(ddof=1)), **PARAMETER)
        assert_allclose((row.lower, row.upper), pn.hdi(r), **PARAMETER)
        assert row.above_zero == pytest.approx((r > 0).mean(), abs=1e-12)
        assert_allclose(fit.correlation_matrix(name).loc["y1", "y2"], r.mean(), **PARAMETER)
    q = fit.correlation_posterior("y1", "y2", "g")
    assert q.probability(lambda r: r > 0.5) == pytest.approx((q.draws > 0.5).mean(), abs=1e-12)
    assert str(q).startswith("corr(y1, y2) in g = 0.")
    with pytest.raises(NotProvided, match=r"no test_correlation: correlations\(\).*above_zero"):
        fit.test_correlation("y1", "y2")


def test_heritabilities_are_shares_of_each_traits_variance():
    fit, S = fitted()
    frame = fit.heritabilities().set_index("trait")
    for a, name in enumerate(fit.traits):
        h = S[0][..., a, a] / (S[0][..., a, a] + S[1][..., a, a])
        assert_allclose(
            frame.loc[name, ["heritability", "lower", "upper"]].astype(float), (h.mean(), *pn.hdi(h)), **PARAMETER
        )
        one = fit.heritability(trait=name)
        assert_allclose(one.draws, h, **IDENTITY)
        assert one.denominator == f"var(g[{name}]) + var(Residual[{name}])"
    with pytest.raises(OptionError, match=r"heritability\(\) of which trait"):
        fit.heritability()


def test_eigenvalues_are_those_of_every_draw_and_vectors_lie_on_one_side():
    fit, S = fitted()
    flat = S[0].reshape(-1, 2, 2)
    values = np.linalg.eigvalsh(flat)[:, ::-1]
    e = fit.eigen("g", level=0.9)
    assert_allclose(e.frame.eigenvalue, values.mean(axis=0), **PARAMETER)
    assert_allclose(e.frame[["lower", "upper"]], [pn.hdi(x, 0.9) for x in values.T], **PARAMETER)
    assert_allclose(e.frame.share, (values / values.sum(axis=1, keepdims=True)).mean(axis=0), **PARAMETER)
    assert_allclose(e.dimensions, (values.sum(axis=1) / values[:, 0]).mean(), **PARAMETER)
    _, centre = np.linalg.eigh(flat.mean(axis=0))
    assert_allclose(np.abs(np.sum(centre[:, ::-1] * e.vectors.to_numpy(), axis=0)), 1.0, rtol=0, atol=0.15)
    assert "[90%" in str(e) and "std dev" in str(e)


def test_the_data_of_arviz_have_the_traits_as_dimensions():
    fit, S = fitted()
    post = fit.posterior["posterior"]
    assert post["cov_g"].dims == ("chain", "draw", "trait", "trait2")
    assert_allclose(post["cov_Residual"].sel(trait="y2", trait2="y1"), S[1][..., 0, 1], **IDENTITY)
    h = S[0][..., 1, 1] / (S[0][..., 1, 1] + S[1][..., 1, 1])
    assert_allclose(post["share"].sel(trait="y2", term="g"), h, **IDENTITY)
    import arviz_stats as az

    summary = az.summary(fit.posterior, kind="stats", round_to="none")
    assert_allclose(summary.loc["share[y2, g]", "mean"], h.mean(), **PARAMETER)


def test_the_summary_has_a_block_for_each_matrix_and_the_correlations():
    fit, _ = fitted()
    text = str(fit.summary())
    assert "Bayesian linear mixed model of 2 traits" in text and "89 (1 missing)" in text
    assert max(map(len, text.splitlines())) <= 100
    lines = [line.split() for line in text.splitlines()]
    (row,) = [cells for cells in lines if cells[:3] == ["phenotypic", "y1,", "y2"]]
    assert float(row[3]) == pytest.approx(fit.correlations("phenotypic").correlation[0], abs=0.01)
    heads = [cells[0] for cells in lines if "median" in cells]
    assert heads == ["g", "Residual"]
    assert "<table" in fit.summary().as_html()


def test_rows_and_frames_know_traits():
    fit, _ = fitted()
    assert list(fit.tidy("ran_pars").term)[:3] == ["sd__y1", "cor__y1.y2", "sd__y2"]
    assert fit.augment().shape[0] == 45
    with pytest.raises(NotProvided, match="leverages"):
        fit.augment(influence=True)
    means = fit.emmeans([])
    assert list(means.frame.trait) == ["y1", "y2"]
    assert fit.summary_of("par", 0).mean == pytest.approx(fit.G.iloc[0, 0])


def test_many_traits_have_a_summary_of_limited_width():
    data = table(7)
    left = ", ".join(f"y{j + 1}" for j in range(7))
    spec = mv.model(f"cbind({left}) ~ 1 + (1 | g)", data)
    A = np.random.default_rng(6).standard_normal((2, 1, 50, 20, 7))
    S = np.einsum("tcdia,tcdib->tcdab", A, A) / 20
    col, row = np.array(spec.terms[0].structure.pairs).T
    par = np.concatenate([S[0][..., row, col], S[1][..., row, col]], axis=-1)
    fit = results_of(spec, par, np.random.default_rng(7).random((1, 50, 7)))
    text = str(fit.summary())
    assert max(map(len, text.splitlines())) <= 100 and "y7" in text
