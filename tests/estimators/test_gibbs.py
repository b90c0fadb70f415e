"""The estimator `gibbs`: its options, which scheme runs and why, where it starts, models that are strange."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import DegenerateResponse, IdentifiabilityError, MixedVCError, MixedVCWarning, OptionError
from mixedvc.estimators.gibbs import Gibbs, extend, seed_of
from mixedvc.estimators.gibbs_summary import judged
from mixedvc.linalg import processes
from mixedvc.priors import Fixed, HalfT, InverseWishart, ParameterExpanded, VarianceShare
from mixedvc.testing import assemble, fits, problems
from mixedvc.testing.estimators import zero_between_groups

FEW = {"draws": 30, "chains": 2, "workers": 1}


def sampled(spec, seed=1, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixedVCWarning)
        return Gibbs(**{**FEW, **options}).fit(spec, rng=np.random.default_rng(seed))


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 0}, r"draws=0: a whole number, at least 1, is needed"),
        ({"draws": -5}, "draws=-5"),
        ({"draws": 1000.0}, r"draws=1000\.0: a whole number"),
        ({"draws": True}, "draws=True"),
        ({"draws": "many"}, "draws='many'"),
        ({"draws": 2**40}, "draws=1099511627776"),
        ({"chains": 0}, "chains=0: a whole number, at least 1.*four chains"),
        ({"chains": 2.5}, r"chains=2\.5"),
        ({"chains": None}, "chains=None"),
        ({"thin": 0}, "thin=0: a whole number, at least 1.*every iteration"),
        ({"burnin": -1}, "burnin=-1: a whole number, zero or above.*or None"),
        ({"burnin": 0.5}, r"burnin=0\.5"),
        ({"burnin": False}, "burnin=False"),
        ({"workers": 0}, "workers=0: a whole number of processes"),
        ({"workers": 1.0}, r"workers=1\.0"),
        ({"scheme": "gibbs"}, "scheme='gibbs': one of 'auto', 'collapsed', 'conjugate', 'shares'"),
        ({"scheme": None}, "scheme=None"),
        ({"proposal": "walk"}, "proposal='walk': 'independence', 'slice' or None"),
        ({"proposal": "slice", "scheme": "conjugate"}, "proposal='slice' is of scheme='collapsed'"),
        ({"save_random": 1}, "save_random=1: True or False"),
        ({"store": 3}, "store=3: the path"),
        ({"store": ""}, "store='': the path"),
        ({"likelihood": "denze"}, "did you mean 'dense'"),
        ({"fixed_varcomp": {"nobody": 1.0}}, "fixed_varcomp names 'nobody'"),
        ({"fixed_varcomp": {"g": 1.0}, "priors": {"g": HalfT(3, 1)}}, "'g' is held by fixed_varcomp and has a prior"),
        ({"fixed_varcomp": {"g": 1.0}, "priors": VarianceShare()}, "fixed_varcomp holds components.*VarianceShare"),
        ({"scheme": "shares"}, r"scheme='shares' enumerates a discrete prior: give priors=VarianceShare"),
        ({"scheme": "conjugate", "priors": VarianceShare()}, "VarianceShare prior is discrete"),
        ({"priors": {"h": HalfT(3, 1)}}, "'h'"),
    ],
)
def test_90_options_that_cannot_be_name_themselves_and_what_can(options, words):
    with pytest.raises(MixedVCError, match=words) as caught:
        Gibbs(**options).fit(assemble.one_way(6, 5, seed=1))
    assert isinstance(caught.value, OptionError)


@pytest.mark.parametrize("seed", [-1, 1.5, "one", True])
def test_90_seeds_that_are_none_are_refused(seed):
    with pytest.raises(OptionError, match=r"seed=.*whole number, zero or above"):
        mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff"), method="gibbs", seed=seed)


def test_the_options_of_a_numpy_kind_are_taken():
    spec = assemble.one_way(6, 5, seed=1)
    got = sampled(spec, draws=np.int64(20), chains=np.int32(2), burnin=np.int64(0), thin=np.int8(2))
    assert got.draws.par.shape == (2, 20, 2)


def test_the_seed_of_a_run_is_the_number_given_and_gives_the_run_again():
    data = mv.load_data("dyestuff")
    fit = mv.fit("Yield ~ 1 + (1 | Batch)", data, method="gibbs", seed=17, **FEW)
    assert fit.draws.seed == 17
    unseeded = mv.fit("Yield ~ 1 + (1 | Batch)", data, method="gibbs", **FEW)
    again = mv.fit("Yield ~ 1 + (1 | Batch)", data, method="gibbs", seed=unseeded.draws.seed, **FEW)
    np.testing.assert_array_equal(again.draws.theta, unseeded.draws.theta)


def test_one_generator_gives_every_fit_draws_of_its_own():
    rng = np.random.default_rng(5)
    assert seed_of(rng) == 5
    assert len({seed_of(rng) for _ in range(4)} | {5}) == 5
    child = np.random.default_rng(np.random.SeedSequence(5).spawn(1)[0])
    assert seed_of(child) != 5


# ---- schemes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "scheme", "why"),
    [
        ({}, "collapsed", "few variances"),
        ({"scheme": "collapsed"}, "collapsed", "it was asked for"),
        ({"proposal": "slice"}, "collapsed", "few variances"),
        ({"scheme": "conjugate", "burnin": 10}, "conjugate", "it was asked for"),
        ({"priors": VarianceShare(5)}, "shares", "grid of variance shares"),
        ({"fixed_varcomp": {"g": 10.0, "residual": 40.0}}, "held", ""),
    ],
)
def test_the_scheme_that_ran_and_why_is_in_the_notes(options, scheme, why):
    got = sampled(assemble.one_way(6, 5, seed=1), **options)
    assert got.draws.plan.name == scheme
    (note,) = (n for n in got.notes if n.startswith("Sampled by"))
    assert f"scheme {scheme!r}" in note
    assert why in note
    assert f"2 chains of {30} draws" in note


def wide(k=4):
    rng = np.random.default_rng(2)
    basis = np.column_stack([np.ones(120), rng.standard_normal((120, k - 1))])
    group = np.repeat(np.arange(20), 6)
    y = (basis * rng.standard_normal((20, k))[group]).sum(axis=1) + rng.standard_normal(120)
    return assemble.spec(y, np.ones((120, 1)), [assemble.term("g", group, basis=basis)])


def test_a_prior_without_a_density_is_sampled_by_the_conjugate_scheme_alone():
    V = np.eye(4) + 0.3
    priors = {"g": ParameterExpanded(V=V, nu=4, alpha_mu=0, alpha_V=100 * np.eye(4))}
    got = sampled(wide(), priors=priors, burnin=20)
    assert got.draws.plan.name == "conjugate"
    assert any("no density" in note for note in got.notes)
    for options in ({"scheme": "collapsed"}, {"proposal": "slice"}):
        with pytest.raises(OptionError, match=r"scheme='collapsed' needs the density.*conjugate"):
            sampled(wide(), priors=priors, **options)


def test_burn_in_by_default_is_what_the_scheme_needs():
    spec = assemble.one_way(6, 5, seed=1)
    assert sampled(spec, scheme="conjugate").draws.burnin == 1000
    assert sampled(spec, priors=VarianceShare(5)).draws.burnin == 0
    got = sampled(spec, thin=7)
    assert got.draws.burnin == -(-got.draws.plan.burnin // 7) * 7


def test_held_components_are_priors_and_shown_as_such():
    spec = problems.bound("slopes")
    Sigma = np.array([[2.0, 0.1], [0.1, 0.5]])
    got = sampled(spec, fixed_varcomp={"id": Sigma})
    np.testing.assert_array_equal(got.fixed, [True, True, True, False])
    np.testing.assert_array_equal(np.unique(got.draws.par[:, :, :3].reshape(-1, 3), axis=0), [[2.0, 0.1, 0.5]])
    other = sampled(spec, priors={"id": Fixed(Sigma)})
    np.testing.assert_array_equal(got.draws.par, other.draws.par)
    single = sampled(assemble.one_way(6, 5, seed=1), priors=HalfT(3, 2.0), fixed_varcomp={"Residual": 1.0})
    assert (single.draws.par[:, :, -1] == 1.0).all()
    assert "half-t" in single.priors.terms[0].describe()


# ---- strange models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["collapsed", "conjugate"])
def test_variances_that_reml_finds_at_zero_are_sampled_from_inside(scheme):
    got = sampled(zero_between_groups(), draws=300, scheme=scheme, burnin=100)
    assert (got.draws.theta > 0).all()
    assert got.draws.theta[:, :, 0].mean() < got.draws.theta[:, :, 1].mean()
    assert not got.at_bound.any()
    assert not got.singular


@pytest.mark.parametrize("scheme", ["collapsed", pytest.param("conjugate", marks=pytest.mark.slow)])
def test_a_covariance_that_reml_finds_singular_is_sampled_from_inside(scheme):
    rng = np.random.default_rng(8)
    group = np.repeat(np.arange(8), 5)
    X = np.column_stack([np.ones(40), np.tile(np.arange(5.0), 8)])
    spec = assemble.spec(rng.standard_normal(40), X, [assemble.term("id", group, basis=X)])
    got = sampled(spec, scheme=scheme, burnin=50)
    for theta in got.draws.theta.reshape(-1, 4):
        assert np.linalg.eigvalsh(spec.sigmas(theta)[0])[0] > 0


@pytest.mark.parametrize("scheme", ["collapsed", pytest.param("conjugate", marks=pytest.mark.slow)])
def test_without_random_terms_the_posterior_is_the_exact_one(scheme):
    """σ² | y ~ inverse gamma((ν + n − p)/2, (νV + RSS)/2), β | σ² ~ N(β̂, σ² (XᵀX)⁻¹): mean and spread of both."""
    rng = np.random.default_rng(4)
    n, p, nu, V = 25, 3, 3.0, 2.0
    X = np.column_stack([np.ones(n), rng.standard_normal((n, p - 1))])
    y = X @ [1.0, 2.0, -1.0] + rng.standard_normal(n)
    spec = assemble.spec(y, X, [])
    got = sampled(spec, draws=1500, scheme=scheme, burnin=50, priors={"residual": InverseWishart(V, nu)}).draws
    beta, rss = np.linalg.lstsq(X, y, rcond=None)[:2]
    shape, scale = 0.5 * (nu + n - p), 0.5 * (nu * V + rss[0])
    precision = scale / got.theta.ravel()  # gamma(shape) distributed
    from mixedvc.testing.sampler_checks import _error

    for power, exact in ((1, shape), (2, shape * (shape + 1))):
        gap = np.mean(precision**power) - exact
        assert abs(gap) < 4.5 * _error((scale / got.theta) ** power)[0], f"moment {power}: {gap}"
    C = np.linalg.inv(X.T @ X)
    z = (got.beta - beta) / np.sqrt(np.diag(C) * scale / (shape - 1))
    assert (np.abs(z.mean(axis=(0, 1))) < 4.5 * _error(z)).all()
    assert (np.abs((z**2).mean(axis=(0, 1)) - 1) < 4.5 * _error(z**2)).all()


def test_without_fixed_effects_there_is_nothing_but_variances():
    rng = np.random.default_rng(6)
    group = np.repeat(np.arange(6), 5)
    spec = assemble.spec(
        rng.standard_normal(6)[group] + rng.standard_normal(30), np.empty((30, 0)), [assemble.term("g", group)]
    )
    for scheme in ("collapsed", "conjugate"):
        got = sampled(spec, scheme=scheme, burnin=10)
        assert got.draws.beta.shape == (2, 30, 0)
        assert np.isfinite(got.draws.theta).all()


def test_very_few_rows_are_sampled_under_proper_priors():
    spec = assemble.spec(np.array([1.0, 2.0, 4.0, 3.5]), np.ones((4, 1)), [assemble.term("g", np.array([0, 0, 1, 1]))])
    got = sampled(spec, draws=200)
    assert np.isfinite(got.draws.theta).all()
    assert (got.draws.theta > 0).all()


@pytest.mark.parametrize("amplitude", [1.0, 1e9, 1e-9])
def test_a_response_that_the_fixed_effects_fit_exactly_is_refused_by_name(amplitude):
    x = np.arange(12.0)
    spec = assemble.spec(
        amplitude * (3.0 + 2.0 * x), np.column_stack([np.ones(12), x]), [assemble.term("g", np.arange(12) % 4)]
    )
    with pytest.raises(DegenerateResponse, match=r"fit the response exactly.*no posterior.*Fixed"):
        sampled(spec)


def test_an_exact_fit_with_a_residual_that_is_given_is_sampled():
    x = np.arange(12.0)
    spec = assemble.spec(3.0 + 2.0 * x, np.column_stack([np.ones(12), x]), [assemble.term("g", np.arange(12) % 4)])
    got = sampled(spec, fixed_varcomp={"residual": 1.0}, priors={"g": HalfT(3, 1.0)})
    assert np.isfinite(got.draws.theta).all()


def confounded():
    """Two terms with the same levels: nothing tells them apart but the priors."""
    rng = np.random.default_rng(9)
    group = np.repeat(np.arange(10), 4)
    terms = [assemble.term("g", group), assemble.term("h", group)]
    return assemble.spec(rng.standard_normal(10)[group] + rng.standard_normal(40), np.ones((40, 1)), terms)


def test_91_components_that_the_design_cannot_tell_apart_are_sampled_under_proper_priors_alone():
    proper = {"g": HalfT(3, 1.0), "h": HalfT(3, 1.0)}
    got = sampled(confounded(), draws=200, priors=proper)
    assert np.isfinite(got.draws.theta).all()
    with pytest.raises((OptionError, IdentifiabilityError), match=r"'[gh]'|improper"):
        sampled(confounded(), priors={"g": mv.priors.Flat("log"), "h": mv.priors.Flat("log")})


def test_start_falls_back_on_equal_parts_where_reml_refuses():
    from mixedvc.estimators.gibbs_start import equal_parts
    from mixedvc.likelihood.choose import choose
    from mixedvc.priors.resolve import resolve
    from mixedvc.sampling.target import Target

    spec = confounded()
    target = Target(spec, choose(spec)[0], resolve(spec, None))
    total = np.linalg.lstsq(spec.X, spec.y, rcond=None)[1][0] / 39
    np.testing.assert_allclose(equal_parts(target), np.full(3, total / 3), rtol=1e-10)
    slopes = problems.bound("slopes")
    target = Target(slopes, choose(slopes)[0], resolve(slopes, None))
    parts = equal_parts(target)
    variance = slopes.theta(target.spec.sigmas(parts))
    np.testing.assert_allclose(variance, parts, rtol=1e-12)
    assert np.isfinite(target.at(target.z(parts[None])).lp).all()


# ---- what comes back -------------------------------------------------------------------------------------------------


def test_the_estimate_holds_means_of_the_draws_and_counts_iterations():
    got = sampled(assemble.one_way(6, 5, seed=1), thin=3, burnin=6)
    np.testing.assert_array_equal(got.theta, got.draws.theta.mean(axis=(0, 1)))
    np.testing.assert_array_equal(got.par, got.draws.par.mean(axis=(0, 1)))
    assert got.n_evaluations == got.draws.facts["iterations"].sum()
    assert got.loglik is None
    assert got.reml is True


def test_chains_that_are_short_or_apart_are_not_called_converged():
    got = sampled(assemble.one_way(6, 5, seed=1), draws=500)
    assert got.converged
    assert "R-hat up to 1.0" in got.message
    short = sampled(assemble.one_way(6, 5, seed=1), draws=20)
    assert not short.converged
    assert "too few, run longer" in short.message
    apart = got.draws.par * np.array([1.0, 3.0])[:, None, None]
    assert not judged(dataclasses.replace(got.draws, par=apart))[0]
    assert judged(dataclasses.replace(got.draws, par=got.draws.par[:, :3], lp=got.draws.lp[:, :3]))[0] is False


def test_without_arviz_the_draws_are_there_and_nobody_judged_them(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "arviz_stats.base", None)
    got = sampled(assemble.one_way(6, 5, seed=1))
    assert got.converged
    assert "was not judged: pip install 'mixedvc[bayes]'" in got.message


def test_extend_says_what_is_no_number_and_keeps_what_was_said(monkeypatch):
    spec = assemble.one_way(6, 5, seed=1)
    first = sampled(spec)
    for value in (0, -1, 2.5, True):
        with pytest.raises(OptionError, match=f"draws={value}"):
            extend(spec, first, None, value)
    with pytest.raises(OptionError, match="workers=0"):
        extend(spec, first, None, 10, workers=0)
    longer = extend(spec, first, None, 20)
    assert longer.draws.count == 50
    assert longer.reason == first.reason
    np.testing.assert_array_equal(longer.draws.theta, sampled(spec, draws=50).draws.theta)


def test_a_fit_inside_a_worker_starts_no_processes(monkeypatch):
    class Daemon:
        daemon = True

    monkeypatch.setattr(processes.multiprocessing, "current_process", lambda: Daemon)
    assert processes.is_worker()


def test_data_with_a_weight_and_an_offset_come_through():
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(list("abcdef"), 6), "x": rng.standard_normal(36), "w": rng.uniform(0.5, 2, 36)})
    data["y"] = 1 + data["x"] + np.repeat(rng.standard_normal(6), 6) + rng.standard_normal(36) / np.sqrt(data["w"])
    plain = mv.fit("y ~ x + (1 | g)", data, weights="w", method="gibbs", seed=1, **FEW)
    shifted = data.assign(y=data["y"] + 10 * data["x"], o=10 * data["x"])
    other = mv.fit("y ~ x + (1 | g)", shifted, weights="w", offset="o", method="gibbs", seed=1, **FEW)
    np.testing.assert_allclose(other.draws.theta.mean((0, 1)), plain.draws.theta.mean((0, 1)), rtol=1e-6)


@pytest.mark.slow
def test_draws_cover_the_truth_as_often_as_they_say():
    """Rank of the true variance among draws from 60 data sets drawn from the prior: uniform (a small SBC)."""
    rng, ranks = np.random.default_rng(12), []
    priors = {"g": HalfT(5, 1.0), "residual": HalfT(5, 1.0)}
    group = np.repeat(np.arange(8), 4)
    for i in range(60):
        sd = np.abs(rng.standard_t(5, 2))
        y = sd[0] * rng.standard_normal(8)[group] + sd[1] * rng.standard_normal(32)
        spec = assemble.spec(y, np.ones((32, 1)), [assemble.term("g", group)])
        got = fits.fit(Gibbs(draws=60, chains=1, thin=3, workers=1, priors=priors), spec, seed=i)
        ranks.append((got.draws.theta[0] < sd**2).mean(axis=0))
    u = np.array(ranks)
    z = (u.mean(axis=0) - 0.5) / np.sqrt(1 / 12 / 60)
    assert (np.abs(z) < 4.5).all(), z
    spread = (u.var(axis=0) - 1 / 12) / np.sqrt(1 / 180 / 60)
    assert (np.abs(spread) < 4.5).all(), spread
