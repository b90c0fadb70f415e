"""coda's and MCMCglmm's numbers of stored chains, to all digits, and their printed layout, line by line."""

import gzip

import numpy as np
import pandas as pd
import pytest

from mixedvc.errors import DataError, OptionError
from mixedvc.porting import coda
from mixedvc.porting.mcface import posterior_cor, posterior_evals, posterior_inverse
from mixedvc.porting.mcsummary import SummaryMCMCglmm
from tests.reference.load import HERE, reference

CHAINS = ("uni", "long", "mixed", "biv", "alone")
DIGITS = {"rtol": 1e-8, "atol": 1e-13}  # both sides are double precision sums of a few thousand terms

TRAITS = [f"trait{a}:trait{b}" for b in ("y2", "z") for a in ("y2", "z")]
EFFECTS = [f"{a}:{b}" for b in ("(Intercept)", "x") for a in ("(Intercept)", "x")]
STRUCTURES = {
    "uni": ([("~animal", ["animal"]), ("~nest", ["nest"])], [("~units", ["units"])], "y ~ sex + x"),
    "long": ([("~nest", ["nest"])], [("~units", ["units"])], "y ~ sex"),
    "mixed": (
        [("~idh(sex):nest", ["sexF.nest", "sexM.nest"]), ("~us(1 + x):year", [f"{e}.year" for e in EFFECTS])],
        [("~idh(sex):units", ["sexF.units", "sexM.units"])],
        "y ~ 1",
    ),
    "biv": (
        [("~us(trait):animal", [f"{t}.animal" for t in TRAITS])],
        [("~us(trait):units", [f"{t}.units" for t in TRAITS])],
        "cbind(y2, z) ~ trait - 1 + trait:sex",
    ),
    "alone": ([], [("~units", ["units"])], "y ~ 1"),
}


def chain(name, part="VCV"):
    with gzip.open(HERE / "mcmcglmm" / "chains" / f"{name}_{part}.csv.gz", "rt") as file:
        made = pd.read_csv(file)
    made.attrs["mcpar"] = tuple(said(name)["mcpar"])
    return made


def said(name):
    return reference(f"mcmcglmm/chains/{name}")


def numbers(values):
    rows = [[np.nan if v is None else v for v in row] if isinstance(row, list) else row for row in values]
    return np.array(rows, dtype=float)


@pytest.mark.parametrize("name", CHAINS)
def test_summaries_and_diagnostics_are_codas_to_all_digits(name):
    V, want = chain(name), said(name)
    found = {
        "posterior.mode": coda.posterior_mode(V),
        "HPDinterval": coda.HPDinterval(V),
        "HPDinterval50": coda.HPDinterval(V, prob=0.5),
        "effectiveSize": coda.effectiveSize(V),
        "geweke": coda.geweke_diag(V).z,
        "heidel": coda.heidel_diag(V),
        "autocorr.diag": coda.autocorr_diag(V),
    }
    for what, value in found.items():
        np.testing.assert_allclose(np.asarray(value, dtype=float), numbers(want[what]), **DIGITS, err_msg=what)
    if len(V) > 200:  # two batches; R's standard error of two means has another rounding
        np.testing.assert_allclose(coda.batchSE(V), numbers(want["batchSE"]), **DIGITS)


@pytest.mark.parametrize("name", ["uni", "long", "mixed"])
def test_raftery_and_lewis_are_codas(name):
    found = coda.raftery_diag(chain(name), q=0.5, r=0.05)
    np.testing.assert_array_equal(found.table.to_numpy(), numbers(said(name)["raftery"]))


def test_raftery_and_lewis_of_a_short_chain_say_how_many_draws_are_needed():
    assert "at least 385" in str(coda.raftery_diag(chain("biv"), q=0.5, r=0.05))
    assert "at least 3746" in str(coda.raftery_diag(chain("uni")))


@pytest.mark.parametrize("name", CHAINS)
def test_everything_prints_as_in_r(name):
    V, want = chain(name), said(name)["print"]
    found = {
        "HPDinterval": coda.HPDinterval(V),
        "posterior.mode": coda.posterior_mode(V),
        "effectiveSize": coda.effectiveSize(V),
        "geweke": coda.geweke_diag(V),
        "heidel": coda.heidel_diag(V),
        "raftery": coda.raftery_diag(V, q=0.5, r=0.05),
        "autocorr": coda.autocorr(V),
        "autocorr.diag": coda.autocorr_diag(V),
        "summary.VCV": coda.summary_mcmc(V),
    }
    for what, value in found.items():
        assert [line.rstrip() for line in str(value).split("\n")] == [line.rstrip() for line in want[what]], what


@pytest.mark.parametrize("name", CHAINS)
def test_the_summary_of_a_model_prints_as_mcmcglmm_prints_it(name):
    G, R, formula = STRUCTURES[name]
    want = said(name)
    made = SummaryMCMCglmm(chain(name), chain(name, "Sol"), G, R, formula, want["DIC"], tuple(want["mcpar"]))
    assert [line.rstrip() for line in str(made).split("\n")] == [line.rstrip() for line in want["print"]["summary"]]


def test_iterations_go_with_what_is_computed_from_a_chain():
    V = chain("uni")
    ratio = V["animal"] / V.sum(axis=1)
    assert coda.mcpar(ratio) == (1001, 4991, 10)
    assert coda.mcpar(ratio.iloc[::2]) == (1, 200, 1)  # no longer those iterations
    assert coda.mcpar(np.zeros(5)) == (1, 5, 1)
    assert list(coda.autocorr_diag(ratio).index) == ["Lag 0", "Lag 10", "Lag 50", "Lag 100", "Lag 500"]


def test_covariance_matrices_are_transformed_draw_by_draw():
    made = pd.DataFrame([[1.0, 0.5, 0.5, 2.0], [2.0, 1.0, 1.0, 4.0]], columns=list("abcd"))
    np.testing.assert_allclose(posterior_cor(made).iloc[0], [1, 0.5 / 2**0.5, 0.5 / 2**0.5, 1], rtol=1e-14)
    np.testing.assert_allclose(posterior_evals(made), [[2.207107, 0.7928932], [4.414214, 1.5857864]], rtol=1e-6)
    np.testing.assert_allclose(
        posterior_inverse(made).iloc[1], [0.5714286, -0.1428571, -0.1428571, 0.2857143], rtol=1e-6
    )
    with pytest.raises(DataError, match="k² columns of one matrix"):
        posterior_cor(made.iloc[:, :3])


def test_a_chain_that_does_not_move_has_no_effective_draws():
    assert coda.effectiveSize(np.ones(50)).tolist() == [0.0]
    assert coda.posterior_mode(np.full(50, 3.0))["var1"] == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda V: coda.HPDinterval(V, prob=95), "prob=95: a number between 0 and 1"),
        (lambda V: coda.autocorr(V, lags=[5000]), "lag 5000 in a chain of 400 draws"),
        (lambda V: coda.autocorr_diag(V, lags=[5], relative=False), "5 is no multiple of the thinning interval 10"),
        (lambda V: coda.geweke_diag(V, 0.6, 0.6), "shares whose sum is at most 1"),
    ],
)
def test_what_a_diagnostic_cannot_do_is_said(call, message):
    with pytest.raises(OptionError, match=message):
        call(chain("uni"))


def test_chains_that_are_not_finite_or_too_short_are_refused():
    with pytest.raises(DataError, match="'animal' has values that are not finite"):
        coda.effectiveSize(chain("uni").assign(animal=np.nan))
    with pytest.raises(DataError, match="the chain has 5 draws, and at least 20 are needed"):
        coda.heidel_diag(np.arange(5.0))
