"""Every registered estimator that samples keeps its contract; flat priors on many data give what REML gives."""

import dataclasses
from functools import cache

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.estimators import estimators
from mixedvc.testing import assemble, fits, sampler_checks
from mixedvc.testing import estimators as conformance
from mixedvc.testing.optimum import quiet

SAMPLERS = [name for name in estimators.names() if "draws" in estimators.get(name).provides]
SPECS = dict(conformance.default_specs())
SCHEMES = {"collapsed": {}, "slice": {"proposal": "slice"}, "conjugate": {"scheme": "conjugate", "burnin": 200}}
LIKELIHOODS = sampler_checks.every_likelihood_has_the_same_posterior
CASES = [
    pytest.param(kind, spec, check, marks=[] if kind == "collapsed" and spec == "one way" else pytest.mark.slow)
    for kind, spec in (
        ("collapsed", "one way"),
        ("collapsed", "slopes"),
        ("slice", "one way"),
        ("conjugate", "one way"),
    )
    for check in sampler_checks.SAMPLER_CHECKS
    if check is not LIKELIHOODS
]


def made(kind, draws=500):
    return estimators.get("gibbs")(draws=draws, chains=2, workers=1, **SCHEMES[kind])


def test_gibbs_is_among_the_samplers():
    assert "gibbs" in SAMPLERS


@pytest.mark.parametrize(("kind", "spec", "check"), CASES)
def test_every_scheme_keeps_the_contract(kind, spec, check):
    with quiet():
        check(made(kind, 1200 if kind == "conjugate" else 500), f"{spec} by {kind}", SPECS[spec])


@pytest.mark.parametrize("spec", ["one way", pytest.param("crossed", marks=pytest.mark.slow)])
def test_every_likelihood_has_the_same_posterior(spec):
    with quiet():
        LIKELIHOODS(made("collapsed", 300), spec, SPECS[spec])


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_conformance_suite_of_plug_ins_knows_samplers(name):
    assert conformance.checks_for(estimators.get(name)()) == list(sampler_checks.SAMPLER_CHECKS)


@cache
def posterior():
    with quiet():
        return fits.fit(made("collapsed"), SPECS["one way"])


@dataclasses.dataclass(frozen=True)
class Beside:
    """The sampler with a fault."""

    fault: str

    def fit(self, spec, *, rng=None, progress=None, likelihood=None):
        estimate = posterior()
        draws = estimate.draws
        if self.fault == "degree of freedom":  # variances as with one row less
            draws = dataclasses.replace(draws, theta=draws.theta * (1 + 1 / 24), par=draws.par * (1 + 1 / 24))
        if self.fault == "another theta":
            draws = dataclasses.replace(draws, theta=draws.theta[:, ::-1])
        if self.fault == "global":
            np.random.rand()  # noqa: NPY002
        if self.fault == "fresh numbers":
            draws = dataclasses.replace(draws, lp=draws.lp + np.random.default_rng().random())
        if self.fault == "mean":
            return dataclasses.replace(estimate, theta=estimate.theta * 1.01)
        return dataclasses.replace(estimate, draws=draws, theta=draws.theta.mean(axis=(0, 1)))


@pytest.mark.parametrize(
    ("fault", "check", "words"),
    [
        ("another theta", sampler_checks.draws_belong_to_the_model, "its theta is not that of its par"),
        ("mean", sampler_checks.draws_belong_to_the_model, "not the mean"),
        ("global", sampler_checks.same_draws_twice, "global random numbers|another seed"),
        ("fresh numbers", sampler_checks.same_draws_twice, "differ in lp"),
        ("", sampler_checks.same_draws_twice, "another seed gives the same draws"),
        ("", sampler_checks.the_unit_of_y_scales_the_draws, "standard errors"),
        ("", sampler_checks.an_added_combination_of_x_moves_beta_alone, "standard errors"),
    ],
)
def test_a_sampler_with_a_fault_is_caught(fault, check, words):
    with pytest.raises(AssertionError, match=words):
        check(Beside(fault), "one way", SPECS["one way"])


def test_a_variance_that_is_a_degree_of_freedom_off_is_another_posterior():
    spec, rng = SPECS["one way"], np.random.default_rng(3)
    features = rng.standard_normal((2, 4000, 3))
    sampler_checks.same_posterior(spec, rng.standard_normal((2, 4000, 3)), features, "the same")
    with pytest.raises(AssertionError, match="feature 1 differs"):
        sampler_checks.same_posterior(spec, features[:, ::-1] + [0.0, 0.15, 0.0], features, "moved")
    with pytest.raises(AssertionError, match="mean square of feature 2"):
        sampler_checks.same_posterior(spec, features[:, ::-1] * [1.0, 1.0, 1.15], features, "wider")


def large(seed=11):
    """Two crossed factors of 200 and 150 levels, 3,000 rows: what a prior says is forgotten."""
    rng = np.random.default_rng(seed)
    a, b, n = rng.integers(0, 200, 3000), rng.integers(0, 150, 3000), 3000
    x = rng.standard_normal(n)
    y = 2 + 0.5 * x + rng.standard_normal(200)[a] + 0.7 * rng.standard_normal(150)[b] + 1.5 * rng.standard_normal(n)
    return assemble.spec(y, np.column_stack([np.ones(n), x]), [assemble.term("a", a), assemble.term("b", b)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["collapsed", "conjugate"])
def test_flat_priors_on_many_data_have_reml_as_their_mean(kind):
    spec, flat = large(), mv.priors.Flat("variance")
    with quiet():
        reml = estimators.get("reml")().fit(spec)
        got = fits.fit(dataclasses.replace(made(kind, 1000), priors=flat), spec)
    sd = got.draws.theta.std(axis=(0, 1))
    # a posterior mean under flat priors lies above the mode: of a variance with df degrees by a factor df / (df - 4)
    df = 2 * (reml.theta / sd) ** 2
    ahead = reml.theta * 4 / df
    error = sampler_checks._error(got.draws.theta)
    np.testing.assert_array_less(np.abs(got.theta - reml.theta - ahead), 4.5 * error + 0.05 * sd)
    np.testing.assert_array_less(error, 0.12 * sd)


@pytest.mark.slow
def test_a_row_of_weight_w_says_of_the_effects_what_w_rows_say():
    """The residual held: weighted rows and replicates of them have one posterior."""
    rng = np.random.default_rng(45)
    base = assemble.one_way(8, 4, seed=2)
    copies = rng.integers(1, 4, base.n)
    weighted = assemble.spec(base.y, base.X, [assemble.term("g", base.terms[0].codes)], weights=copies.astype(float))
    rows = np.repeat(np.arange(base.n), copies)
    repeated = assemble.spec(base.y[rows], base.X[rows], [assemble.term("g", base.terms[0].codes[rows])])
    sampler = dataclasses.replace(
        made("collapsed", 2000), priors={"g": mv.priors.HalfT(3, 5.0)}, fixed_varcomp={"residual": 40.0}
    )
    with quiet():
        one, other = fits.fit(sampler, weighted), fits.fit(sampler, repeated, seed=7)
    sampler_checks.same_posterior(
        base, sampler_checks.features(base, one), sampler_checks.features(base, other), "weights"
    )
