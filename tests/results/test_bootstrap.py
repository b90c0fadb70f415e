"""The bootstrap of a fit: its draws are refits, the same for any number of workers; what failed is counted."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass, replace
from multiprocessing.reduction import ForkingPickler
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mixedvc as mv
from mixedvc.errors import BoundaryWarning, ConvergenceError, MixedVCError, MixedVCWarning, NotProvided, OptionError
from mixedvc.inference import workers
from mixedvc.likelihood import choose, rank_choices
from mixedvc.likelihood.panel import with_responses
from mixedvc.results.bootstrap import plan_of
from mixedvc.testing import problems

from ..reference.load import reference
from ..tolerances import IDENTITY, MONTE_CARLO, OBJECTIVE

pytestmark = [
    pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning"),
    pytest.mark.filterwarnings("ignore::mixedvc.errors.DroppedRowsWarning"),
]
IDS = [f"i{k}" for k in range(40)]


def kernel():
    W = np.random.default_rng(2).standard_normal((40, 60))
    return W @ W.T / 60


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(1)
    n = 120
    frame = pd.DataFrame({"x": rng.standard_normal(n), "w": rng.uniform(0.5, 2, n), "o": rng.standard_normal(n)})
    group, other = rng.integers(0, 12, n), rng.integers(0, 7, n)
    frame["g"], frame["h"], frame["s"] = group.astype(str), other.astype(str), np.where(other > 3, "a", "b")
    frame["id"] = np.array(IDS)[rng.integers(0, 40, n)]
    frame["y"] = 1 + frame.x + frame.o + rng.standard_normal(12)[group] * (1 + 0.5 * frame.x) + rng.standard_normal(n)
    frame.loc[3, "y"] = np.nan
    return frame


def model(data, formula, method="reml", **options):
    return mv.fit(
        formula, data, cov={"A": (kernel(), IDS)}, method=method, weights="w", offset="o", missing="exclude", **options
    )


@pytest.fixture(scope="module")
def sleepstudy():
    return mv.fit("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))


EVERY = [(f, m) for f in ("y ~ x + (x | g)", "y ~ x + (1 | id:A) + (1 | h)") for m in ("reml", "ml", "rehe", "he")]
EVERY += [("y ~ x + (1 | id:A)", m) for m in ("reml", "ml", "fisher", "em")] + [("y ~ x", "reml"), ("y ~ x", "he")]


@pytest.mark.parametrize(("formula", "method"), EVERY)
def test_every_draw_is_a_refit(data, formula, method):
    fit = model(data, formula, method)
    boot = fit.bootstrap(nsim=3, seed=5)
    Y = plan_of(fit, "parametric", "new", 3, 5).responses(0)
    for j in range(3):
        again = fit.refit(Y[:, j])
        frame, varied = again.varcomp, boot.draws.loc[j]
        assert_allclose(varied["fixed"], again.params, rtol=1e-5, atol=1e-5)
        size = np.abs(again.estimate.theta).max()
        of = ["variance", "covariance"]
        assert_allclose(np.concatenate([varied.get(k, np.empty(0)) for k in of]),
                        np.concatenate([frame.variance[frame.effect2.isna() == (k == "variance")] for k in of]),
                        rtol=1e-5, atol=1e-4 * size)  # fmt: skip
        assert_allclose(varied["sd"], frame.sd[frame.effect2.isna()], rtol=1e-4, atol=1e-2 * np.sqrt(size))
        assert_allclose(varied["share"], frame.share, rtol=1e-4, atol=1e-4)


def test_fixed_effects_by_least_squares_are_so_in_every_refit(data):
    fit = model(data, "y ~ x + (x | g)", "he", fixed="ols")
    Y = plan_of(fit, "parametric", "new", 2, 5).responses(0)
    draws = fit.bootstrap(nsim=2, seed=5).draws["fixed"]
    for j in range(2):
        assert_allclose(draws.loc[j], fit.refit(Y[:, j]).params, rtol=1e-9, atol=1e-12)


def test_the_estimate_beside_the_draws_is_that_of_the_fit(data, sleepstudy):
    boot = sleepstudy.bootstrap(nsim=2, seed=1)
    frame = sleepstudy.varcomp
    own = boot.estimate
    assert_array_equal(own["fixed"], sleepstudy.params)
    assert_allclose(own["variance"], frame.variance[[0, 2, 3]], **IDENTITY)
    assert_allclose(own["covariance"], frame.variance[[1]], **IDENTITY)
    assert_allclose(own["sd"], frame.sd[[0, 2, 3]], **IDENTITY)
    assert_allclose(own["correlation"], frame.sd[[1]], **IDENTITY)
    assert_allclose(own["share"], frame.share, **IDENTITY)
    assert list(own["share"].index) == list(sleepstudy.cov_varcomp().index)
    patterned = model(data, "y ~ x + cs(0 + s | g)")
    own, frame = patterned.bootstrap(nsim=1, seed=1).estimate, patterned.varcomp
    assert_allclose(own["correlation"], frame.sd[frame.effect2.notna()], **IDENTITY)
    assert_allclose(own["share"], frame.share, **IDENTITY)


def test_draws_do_not_depend_on_the_number_of_workers_or_replicates(sleepstudy):
    alone = sleepstudy.bootstrap(nsim=70, seed=3)
    assert_array_equal(alone.draws.index, np.arange(70))
    assert_allclose(sleepstudy.bootstrap(nsim=60, seed=3).draws, alone.draws[:60], rtol=1e-9, atol=0)
    assert not np.array_equal(sleepstudy.bootstrap(nsim=3, seed=4).draws, alone.draws[:3])
    # a function that could not be sent to another process
    named = [sleepstudy.bootstrap(lambda f: {"r": f.llf, "b": f.params["Days"]}, 70, seed=3, workers=w) for w in (1, 2)]
    assert_array_equal(named[0].draws, named[1].draws)
    assert_array_equal(named[0].singular, named[1].singular)
    assert_allclose(named[0].draws["statistic"]["b"], alone.draws["fixed"]["Days"], **IDENTITY)
    assert_allclose(named[0].estimate["statistic"]["r"], sleepstudy.llf, **IDENTITY)


@pytest.mark.parametrize("name", problems.names())
def test_every_likelihood_can_travel_and_takes_many_responses_at_once(name):
    spec = problems.bound(name)
    Y = spec.y[:, None] + np.random.default_rng(1).standard_normal((spec.n, 3))
    theta = spec.theta([np.eye(term.k) for term in spec.all_terms])
    for choice in rank_choices(spec, "many"):
        likelihood = choose(spec, True, "many", choice.name)[0]
        value = likelihood.at(theta).loglik
        again = ForkingPickler.loads(ForkingPickler.dumps(likelihood))
        assert_allclose(again.at(theta).loglik, value, **IDENTITY)
        for y, own in zip(Y.T, with_responses(again, Y), strict=True):
            want = likelihood.with_response(y).at(theta)
            assert_allclose(own.at(theta).loglik, want.loglik, **OBJECTIVE)
            assert_allclose(own.at(theta).Py, want.Py, rtol=1e-7, atol=1e-9)


def test_a_seed_that_was_not_given_is_told(sleepstudy):
    one = sleepstudy.bootstrap(nsim=2)
    assert_array_equal(sleepstudy.bootstrap(nsim=2, seed=one.seed).draws, one.draws)
    assert not np.array_equal(sleepstudy.bootstrap(nsim=2).draws, one.draws)


def test_statistics_may_be_numbers_sequences_mappings_or_series(sleepstudy):
    def names(statistic):
        return list(sleepstudy.bootstrap(statistic, 2, seed=1).draws["statistic"])

    assert names(lambda f: f.scale) == ["statistic"]
    assert names(lambda f: f.params.to_numpy()) == ["0", "1"]
    assert names(lambda f: f.params) == ["Intercept", "Days"]
    assert names(lambda f: {"h": f.heritability("Subject[Days]").estimate}) == ["h"]
    with pytest.raises(OptionError, match="the statistic gave a DataFrame; a number, a sequence"):
        names(lambda f: f.varcomp)
    with pytest.raises(OptionError, match="the statistic gave 'a', which is no number"):
        names(lambda f: {"x": "a"})
    with pytest.raises(ZeroDivisionError):  # of the fit itself: nothing to go on with
        names(lambda f: 1 / 0)


def test_a_statistic_that_fails_now_and_then_is_counted(sleepstudy):
    own = sleepstudy.params["Days"]

    def moody(fit):
        if fit.params["Days"] > own:
            raise ValueError("too steep")
        return 1.0

    boot = sleepstudy.bootstrap(moody, 40, seed=1)
    steep = sleepstudy.bootstrap(nsim=40, seed=1).draws["fixed"]["Days"] > own
    assert 5 < steep.sum() < 35
    assert_array_equal(np.isnan(boot.draws.to_numpy()[:, 0]), steep)
    assert_array_equal(boot.failures["replicate"], np.flatnonzero(steep))
    assert set(boot.failures["problem"]) == {"the statistic raised ValueError: too steep"}
    assert boot.failures["failed"].all()
    odd = sleepstudy.bootstrap(lambda f: [1.0] if f.params["Days"] == own else [1.0, 2.0], 2, seed=1)
    assert "the statistic gave 0, 1, not what it gives of the fit itself" in set(odd.failures["problem"])


def test_an_interruption_keeps_the_replicates_that_are_there(sleepstudy):
    calls = []

    def impatient(fit):
        calls.append(fit)
        if len(calls) == 31:  # the fit itself was the first
            raise KeyboardInterrupt
        return fit.scale

    with pytest.warns(MixedVCWarning, match="interrupted: 29 of 200 replicates are there"):
        boot = sleepstudy.bootstrap(impatient, 200, seed=1)
    assert boot.interrupted
    assert_allclose(boot.draws, sleepstudy.bootstrap(lambda f: f.scale, 29, seed=1).draws, **IDENTITY)
    assert "*** INTERRUPTED after 29 of 200 replicates ***" in str(boot)


@dataclass(frozen=True)
class Moody(mv.REML):
    """REML that refuses some responses and does not finish others."""

    name: ClassVar[str] = "reml"

    def refits(self, spec, estimate, likelihood):
        inner = super().refits(spec, estimate, likelihood)

        class Refits:
            def prepare(self, Y, likelihoods):
                return [self.one(j, call) for j, call in enumerate(inner.prepare(Y, likelihoods))]

            def one(self, j, call):
                if j % 5 == 1:

                    def fail():
                        raise ConvergenceError("no way")

                    return fail
                return (lambda: replace(call(), converged=False, message="tired")) if j % 5 == 2 else call

        return Refits()


def test_failed_and_unfinished_refits_are_counted_and_reported(sleepstudy):
    fit = replace(sleepstudy, estimator=Moody())
    boot, whole = fit.bootstrap(nsim=30, seed=1), sleepstudy.bootstrap(nsim=30, seed=1)
    failed = np.arange(30) % 5 == 1
    assert boot.draws[failed].isna().all().all()
    assert_array_equal(boot.draws[~failed], whole.draws[~failed])
    assert_array_equal(boot.failures["failed"], boot.failures["replicate"] % 5 == 1)
    assert list(boot.failures["replicate"][:4]) == [1, 2, 6, 7]
    assert list(boot.failures["problem"][:2]) == ["ConvergenceError: no way", "not converged: tired"]
    assert "Failed, unfinished:  6, 6" in str(boot)
    low = np.quantile(whole.draws["fixed"]["Days"][~failed], 0.025, method="weibull")
    assert_allclose(boot.conf_int().loc[("fixed", "Days"), "lower"], low, **IDENTITY)


def test_singular_refits_are_counted(sleepstudy):
    boot = sleepstudy.bootstrap(nsim=200, seed=1)
    r = boot.draws["correlation"].to_numpy()[:, 0]
    zero = (boot.draws["variance"] == 0).any(axis=1).to_numpy()
    assert boot.singular.sum() == ((np.abs(r) > 1 - 1e-9) | zero).sum() > 0
    assert f"Singular refits:     {boot.singular.sum()} " in str(boot)


def test_intervals_are_what_their_names_say(sleepstudy):
    boot = sleepstudy.bootstrap(nsim=199, seed=1)
    x, own = boot.draws["fixed"]["Days"].to_numpy(), sleepstudy.params["Days"]
    key = ("fixed", "Days")
    q = np.sort(x)[[4, 194]]  # ranks 5 and 195 of 199: p(B + 1)
    assert_allclose(boot.conf_int().loc[key], q, **IDENTITY)
    assert_allclose(boot.conf_int(kind="basic").loc[key], 2 * own - q[::-1], **IDENTITY)
    half = 1.959963984540054 * x.std(ddof=1)
    centre = 2 * own - x.mean()
    assert_allclose(boot.conf_int(kind="normal").loc[key], [centre - half, centre + half], **IDENTITY)
    assert_allclose(boot.conf_int(level=0.9).loc[key], np.sort(x)[[9, 189]], **IDENTITY)
    assert_allclose(boot.se[key], x.std(ddof=1), **IDENTITY)
    assert_allclose(boot.bias[key], x.mean() - own, **IDENTITY)
    with pytest.raises(OptionError, match="kind='bca' is not one of 'percentile', 'basic', 'normal'"):
        boot.conf_int(kind="bca")
    with pytest.raises(OptionError, match="3 replicates are too few for an interval: at least 20"):
        sleepstudy.bootstrap(nsim=3, seed=1).conf_int()


def test_standard_errors_of_a_balanced_design_are_those_of_theory(sleepstudy):
    boot = sleepstudy.bootstrap(nsim=300, seed=2)
    spread = 1 / np.sqrt(2 * 300)
    assert_allclose(boot.se["fixed"], sleepstudy.bse, rtol=MONTE_CARLO * spread, atol=0)
    assert_allclose(boot.se["variance"], sleepstudy.varcomp.se[[0, 2, 3]], rtol=0.2, atol=0)  # large-sample errors
    assert (boot.bias["fixed"].abs() < MONTE_CARLO * boot.se["fixed"] / 20).all()


@pytest.mark.parametrize(("kind", "random"), [("parametric", "new"), ("fitted", "fitted")])
def test_draws_are_distributed_as_those_of_lme4(sleepstudy, kind, random):
    want, count = reference("bootmer/sleepstudy")[kind], 400
    boot = sleepstudy.bootstrap(nsim=count, seed=11, random=random).draws
    ours = np.column_stack([boot["fixed"], boot["sd"].iloc[:, :2], boot["correlation"], boot["sd"].iloc[:, 2]])
    assert_allclose(want["estimate"][:2], sleepstudy.params, rtol=1e-6, atol=0)
    spread, share = np.array(want["sd"]), 1 / count + 1 / want["nsim"]
    kept = np.isfinite(ours).all(axis=1)
    assert kept.mean() > 0.97
    assert (np.abs(ours[kept].mean(axis=0) - want["mean"]) < MONTE_CARLO * spread * np.sqrt(share)).all()
    assert_allclose(
        ours[kept].std(axis=0), spread, rtol=MONTE_CARLO * np.sqrt(share), atol=0
    )  # twice the normal's error
    for limit, below in ((want["lower"], 0.025), (want["upper"], 0.975)):
        found = (ours[kept] <= limit).mean(axis=0)
        assert (np.abs(found - below) < MONTE_CARLO * np.sqrt(0.025 * 0.975 * share) + 0.02).all()


def test_intervals_asked_for_by_name_are_percentiles_of_one_bootstrap(sleepstudy, monkeypatch):
    monkeypatch.setattr("mixedvc.results.bootstrap.DEFAULT_NSIM", 60)
    fit = replace(sleepstudy)
    limits = sleepstudy.bootstrap(nsim=60, seed=0).conf_int()
    assert_allclose(fit.conf_int(method="boot"), limits.loc["fixed"], **IDENTITY)
    made = fit.booted
    frame = fit.variances(interval="boot")
    assert fit.booted is made
    wanted = limits.loc[[("variance", "Subject[Intercept]"), ("covariance", "Subject[Intercept, Days]"),
                         ("variance", "Subject[Days]"), ("variance", "Residual")]]  # fmt: skip
    assert_allclose(frame[["lower", "upper"]], wanted, **IDENTITY)
    tidy = fit.tidy("ran_pars", conf_int=True, interval="boot")
    row = tidy[tidy.term == "cor__Intercept.Days"].iloc[0]
    assert_allclose(row[["conf.low", "conf.high"]].astype(float), limits.loc["correlation"].iloc[0], **IDENTITY)
    text = " ".join(str(fit.summary(interval="boot")).split())
    assert "Intervals: percentiles of 1,000 parametric bootstrap refits (seed 0)." in text
    assert_allclose(fit.conf_int(0.1, method="boot"), made.conf_int(0.9).loc["fixed"], **IDENTITY)


def test_patterned_and_moment_fits_have_bootstrap_intervals_too(data, monkeypatch):
    monkeypatch.setattr("mixedvc.results.bootstrap.DEFAULT_NSIM", 30)
    for formula, method in (("y ~ x + cs(0 + s | g, hom=True)", "reml"), ("y ~ x + (x | g)", "rehe")):
        fit = model(data, formula, method)
        frame = fit.variances(interval="boot")
        draws = fit.booted.draws
        low = np.quantile(draws[("variance", "Residual")], 0.025, method="weibull")
        assert_allclose(frame["lower"].iloc[-1], low, **IDENTITY)
        assert frame[["lower", "upper"]].notna().all().all()
        assert "bootstrap refits (seed 0)" in " ".join(str(fit.summary(interval="boot")).split())


def test_the_summary_reads_well(sleepstudy):
    boot = sleepstudy.bootstrap(nsim=25, seed=7, kind="residual", random="fitted", level=0.9)
    text = str(boot.summary())
    for words in ("Residual bootstrap", "kept at their", "predictions", "Seed: 7", "[0.05", "0.95]",
                  "Fixed effects", "Shares of variance", "spread out to the estimated variances"):  # fmt: skip
        assert words in " ".join(text.split()), words
    assert max(map(len, text.splitlines())) <= 100
    assert repr(boot) == "<Bootstrap: 25 replicates of 14 quantities; .summary() prints it>"
    assert "<table" in boot._repr_html_() and "Residual bootstrap" in boot._repr_html_()


def test_what_cannot_be_bootstrapped_is_refused(sleepstudy):
    cases = [
        ({"nsim": 0}, "nsim=0 must be a whole number of at least 1"),
        ({"kind": "wild"}, "kind='wild' is not one of 'parametric', 'residual'"),
        ({"random": "old"}, "random='old' is not one of 'new', 'fitted'"),
        ({"workers": 0}, "workers=0: a whole number of processes of at least 1"),
        ({"workers": True}, "workers=True: a whole number"),
        ({"seed": -1}, "seed=-1: a whole number of at least 0"),
        ({"seed": 1.5}, "seed=1.5: a whole number of at least 0"),
        ({"level": 2}, "level=2 must lie strictly between 0 and 1"),
        ({"statistic": "llf"}, "statistic='llf': a function of the refitted results is needed"),
    ]
    for options, message in cases:
        with pytest.raises(OptionError, match=message):
            sleepstudy.bootstrap(**options)
    with pytest.raises(OptionError, match="does not carry its estimator"):
        replace(sleepstudy, estimator=None).bootstrap()
    y = np.random.default_rng(1).standard_normal(180)
    outer = mv.fit("Reaction ~ Days + (1 | Subject)", mv.load_data("sleepstudy"), method="he", outer=np.outer(y, y))
    with pytest.raises(NotProvided, match="outer product in place of the response"):
        outer.bootstrap()


def test_a_model_that_cannot_travel_says_so(sleepstudy):
    @dataclass(frozen=True)
    class Local(mv.REML):
        name: ClassVar[str] = "reml"

    with pytest.raises(MixedVCError, match=r"cannot be sent to other processes .*Local.*: use workers=1"):
        replace(sleepstudy, estimator=Local()).bootstrap(nsim=60, workers=2)


def ends_at_once(ready, number):
    """What a worker does here."""
    os._exit(1)


def test_a_worker_that_dies_is_an_error_and_not_a_wait(sleepstudy, monkeypatch):
    monkeypatch.setattr(workers, "_block", ends_at_once)  # by its name, in the other process
    with pytest.raises(MixedVCError, match="a worker process ended before its work was done"):
        sleepstudy.bootstrap(nsim=60, workers=2)


def test_held_components_stay_where_they_are(data):
    held = {"id": 0.2, "h": 0.5}
    boot = model(data, "y ~ x + (1 | id:A) + (1 | h)", fixed_varcomp=held).bootstrap(nsim=5, seed=1)
    assert_allclose(boot.draws["variance"][["id", "h"]], [[0.2, 0.5]] * 5, **IDENTITY)
    assert boot.draws["variance"]["Residual"].nunique() == 5
    all_held = model(data, "y ~ x + (1 | h)", fixed_varcomp={"h": 0.5, "residual": 1.0}).bootstrap(nsim=5, seed=1)
    assert_allclose(all_held.draws["variance"], [[0.5, 1.0]] * 5, **IDENTITY)
    assert all_held.draws["fixed"]["x"].nunique() == 5


def test_a_model_without_fixed_effects_can_be_bootstrapped(data):
    fit = model(data, "y ~ 0 + (1 | g)")
    for kind in ("parametric", "residual"):
        boot = fit.bootstrap(nsim=25, seed=1, kind=kind)
        assert list(boot.draws.columns.get_level_values(0).unique()) == ["variance", "sd", "share"]
        assert boot.draws.notna().all().all()
    named = fit.bootstrap(lambda f: f.scale, 25, seed=1).draws["statistic"]["statistic"]
    assert_allclose(named, fit.bootstrap(nsim=25, seed=1).draws["variance"]["Residual"], **IDENTITY)


def test_a_singular_fit_can_be_bootstrapped():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = mv.fit("Yield ~ 1 + (1 | Batch)", mv.load_data("dyestuff2"))
    boot = fit.bootstrap(nsim=200, seed=1)
    zero = (boot.draws["variance"]["Batch"] == 0).mean()
    assert abs(zero - 0.5611) < MONTE_CARLO * np.sqrt(0.25 / 200)  # P(σ̂² = 0 | σ² = 0), 6 groups of 5
    assert len(boot.failures) == 0


@pytest.mark.slow
def test_percentile_intervals_cover():
    """One-way layout of 25 groups of 4: intervals of the mean and of the residual variance."""
    rng, hits, count = np.random.default_rng(8), np.zeros(2), 150
    data = pd.DataFrame({"g": np.repeat(np.arange(25), 4).astype(str), "y": 0.0})
    first = mv.fit("y ~ 1 + (1 | g)", data.assign(y=rng.standard_normal(100)))
    for _ in range(count):
        y = 2 + np.repeat(rng.standard_normal(25), 4) + rng.standard_normal(100)
        limits = first.refit(y).bootstrap(nsim=199, seed=int(rng.integers(1 << 30))).conf_int()
        for j, (key, truth) in enumerate(((("fixed", "Intercept"), 2.0), (("variance", "Residual"), 1.0))):
            hits[j] += limits.loc[key, "lower"] <= truth <= limits.loc[key, "upper"]
    error = np.sqrt(0.95 * 0.05 / count)
    assert (np.abs(hits / count - 0.94) < MONTE_CARLO * error).all()
