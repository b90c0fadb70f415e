"""Predictions, imputed responses and DIC beside MCMCglmm's on simulated data (tests/reference/mcmcglmm_predict)."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv

HERE = Path(__file__).parents[1] / "reference" / "mcmcglmm_predict"
pytestmark = pytest.mark.slow  # two fits of a thousand draws

Z = 4.5
OPTIONS = {"method": "gibbs", "draws": 1000, "chains": 4, "seed": 6, "workers": 1}


@pytest.fixture(scope="module")
def numbers():
    return json.loads((HERE / "numbers.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data():
    return pd.read_csv(HERE / "data.csv")


@pytest.fixture(scope="module")
def one(data):
    prior = mv.priors.InverseWishart(1, 3)
    with pytest.warns(mv.errors.DroppedRowsWarning):
        return mv.fit("y2 ~ x + (1 | g)", data, priors={"g": prior, "residual": prior}, **OPTIONS)


@pytest.fixture(scope="module")
def two(data):
    prior = mv.priors.InverseWishart(np.eye(2), 4)
    return mv.fit("cbind(y1, y2) ~ x + (1 | g)", data, priors={"g": prior, "residual": prior}, **OPTIONS)


def agree(mean, sd, theirs, ess):
    """Means and standard deviations within the Monte-Carlo error of both."""
    want, spread = (np.array([one[name] for one in theirs]) for name in ("mean", "sd"))
    error = np.hypot([one["se"] for one in theirs], spread / np.sqrt(ess))
    assert (np.abs(mean - want) < Z * error).all(), (mean - want) / error
    if sd is not None:
        errors = np.sqrt(0.7 / np.array([one["ess"] for one in theirs]) + 0.7 / ess)
        assert (np.abs(sd / spread - 1) < Z * errors).all(), (sd / spread - 1) / errors


def ess(fit):
    return float(fit.glance()["ess.min"].iloc[0])


def test_missing_responses_are_those_that_mcmcglmm_augments(one, numbers):
    got = one.impute()
    assert list(got["record"]) == numbers["one"]["rows"]
    agree(got["value"].to_numpy(), got["se"].to_numpy(), numbers["one"]["latent"], ess(one))


def test_missing_cells_are_those_that_mcmcglmm_augments(two, numbers):
    got = two.impute().set_index(["record", "trait"])
    there = pd.MultiIndex.from_arrays([numbers["two"]["record"], numbers["two"]["trait"]])
    got = got.loc[there]
    agree(got["value"].to_numpy(), got["se"].to_numpy(), numbers["two"]["latent"], ess(two))


def test_predictions_and_their_intervals_are_those_of_mcmcglmm(one, numbers):
    new = pd.DataFrame(numbers["one"]["new"])
    got = one.predict(new, se=True, interval="credible")
    agree(got["predicted"].to_numpy(), got["se"].to_numpy(), numbers["one"]["expectation"], ess(one))
    sd = got["se"].to_numpy()[:, None]
    tail = sd * Z * np.sqrt(0.025 * 0.975 / ess(one)) / 0.058  # a quantile's error: √(p(1 − p)/n)/density
    ends = got[["lower", "upper"]].to_numpy()
    assert (np.abs(ends - np.array(numbers["one"]["confidence"])[:, 1:]) < tail).all()
    wider = one.predict(new, interval="prediction")[["lower", "upper"]].to_numpy()
    spread = (wider[:, 1] - wider[:, 0])[:, None] / 4
    tail = spread * Z * np.sqrt(0.025 * 0.975 / ess(one)) / 0.058
    assert (np.abs(wider - np.array(numbers["one"]["prediction"])[:, 1:]) < tail).all()


def test_dic_and_deviance_are_mcmcglmms(one, numbers):
    theirs, each, own = numbers["one"], one.deviances(), one.dic()
    agree(np.array([each.mean()]), np.array([each.std()]), [theirs["Deviance"]], ess(one))
    error = 2 * np.hypot(own.se, theirs["Deviance"]["se"])
    assert abs(own.value - theirs["DIC"]) < Z * error
    assert error < 0.01 * own.value


def test_its_deviance_of_records_with_missing_cells_is_given_the_augmented_ones(two, numbers):
    """Ours integrates them out: −2 log p(y_o) + [2 log p(y_o) − 2 log p(y_o | y_m)] is MCMCglmm's."""
    each = two.deviances().ravel()
    f, drawn = two.predict(draws=True).to_numpy(), two.impute(draws=True)
    R = np.stack([two.spec.sigmas(theta)[-1] for theta in two.draws.theta.reshape(-1, 6)])
    whole = two.spec.traits
    for record, trait in drawn.columns:
        m = list(whole.names).index(trait)
        o, row = 1 - m, np.flatnonzero(whole.record == record)[0]
        X = np.zeros((1, 4))
        X[0, [list(two.spec.x_names).index(f"{trait}: {name}") for name in ("Intercept", "x")]] = 1, data_x(two, record)
        u = two.random_effects_draws("g")[(two.spec.terms[0].levels[two.spec.terms[0].codes[row]], trait)].to_numpy()
        e_m = drawn[(record, trait)].to_numpy() - (two.draws.beta.reshape(-1, 4) @ X.T)[:, 0] - u
        e_o = two.spec.y[row] - f[:, row]
        rest = R[:, o, o] - R[:, o, m] ** 2 / R[:, m, m]
        given = np.log(rest) + (e_o - R[:, o, m] / R[:, m, m] * e_m) ** 2 / rest
        each = each + given - np.log(R[:, o, o]) - e_o**2 / R[:, o, o]
    agree(np.array([each.mean()]), np.array([each.std()]), [numbers["two"]["Deviance"]], ess(two))
    assert numbers["two"]["Deviance"]["mean"] + 2 < two.deviances().mean()


def data_x(fit, record):
    return float(fit.spec.source.frame["x"].iloc[record])


def test_variance_components_are_those_of_the_runs_compared_with(one, two, numbers):
    for fit, which in ((one, "one"), (two, "two")):
        par = fit.draws.par.reshape(-1, fit.draws.par.shape[2])
        theirs = numbers[which]["VCV"]
        if which == "two":  # MCMCglmm prints both halves of Σ
            theirs = [theirs[j] for j in (0, 1, 3, 4, 5, 7)]
        agree(par.mean(axis=0), None, theirs, ess(fit))
    assert_allclose(len(numbers["two"]["VCV"]), 8, rtol=0, atol=0)
