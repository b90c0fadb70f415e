"""Fits of several traits against GEMMA, sommer, nlme, glmmTMB and OpenMx."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

import mixedvc as mv

from ..reference.load import HERE, btdata, reference, standardised_kernel, wheat
from ..tolerances import OBJECTIVE

SIX_DIGITS = {"rtol": 6e-6, "atol": 2e-7}
pytestmark = pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")


@pytest.fixture(scope="module")
def simulated() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    """The data of tests/reference/gemma and their kernel."""
    data = pd.read_csv(HERE / "gemma/data.csv")
    K = standardised_kernel(np.genfromtxt(HERE / "gemma/markers.csv.gz", delimiter=","))
    data["site"] = [f"s{(7 * (i + 1)) % 20:02d}" for i in range(len(data))]
    return data, {"K": pd.DataFrame(K, data["id"], data["id"])}


def half_log_det(fit: Any) -> float:
    """½ log|XᵀX|, which GEMMA's REML criterion has and ours has not."""
    X = fit.spec.X
    return 0.5 * float(np.linalg.slogdet(X.T @ X)[1])


def gemma_errors(fit: Any, want: dict[str, Any]) -> None:
    ours = np.sqrt(np.diag(fit.cov_varcomp("observed")))
    theirs = [want["Vg_se" if w.term == 0 else "Ve_se"][w.a][w.b] for w in fit.spec.index]
    assert_allclose(ours, theirs, rtol=1e-5)
    expected = np.sqrt(np.diag(fit.cov_varcomp("expected")))
    assert np.abs(expected / theirs - 1).max() > 1e-3  # the kinds differ by more than the tolerance


def against_gemma(fit: Any, want: dict[str, Any]) -> None:
    G, R = fit.spec.sigmas(fit.theta)
    shift = half_log_det(fit) if fit.estimate.reml else 0.0
    assert abs(fit.llf + shift - want["loglik"]) < 1e-4
    assert_allclose(G, want["Vg"], **SIX_DIGITS)
    assert_allclose(R, want["Ve"], **SIX_DIGITS)
    gemma_errors(fit, want)
    if "B" in want:
        t = len(want["B"])
        assert_allclose(fit.evaluation.beta.reshape(t, -1), want["B"], rtol=6e-6, atol=1e-8)
        assert_allclose(np.sqrt(np.diag(fit.evaluation.beta_cov)).reshape(t, -1), want["B_se"], rtol=6e-6)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize(
    ("case", "formula"), [("two", "cbind(y1, y2) ~ 1"), ("three_covariate", "cbind(y1, y2, y3) ~ x")]
)
def test_gemma_prints_our_covariances_and_their_observed_information(simulated, case, formula, method) -> None:
    data, cov = simulated
    against_gemma(
        mv.fit(f"{formula} + (1 | id:K)", data, cov=cov, method=method), reference(f"gemma/{case}")[method.upper()]
    )


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_singular_genetic_covariance_is_reached_where_gemma_stops_below(simulated, method) -> None:
    data, cov = simulated
    fit = mv.fit("cbind(y1, y2, y3) ~ 1 + (1 | id:K)", data, cov=cov, method=method)
    shift = half_log_det(fit) if method == "reml" else 0.0
    assert fit.is_singular
    assert 0.05 < fit.llf + shift - reference("gemma/three")[method.upper()]["loglik"] < 0.06


def test_two_wheat_traits_are_those_of_gemma_with_the_errors_of_sommer() -> None:
    table, _, G = wheat()
    fit = mv.fit("cbind(y1, y2) ~ 1 + (1 | line:G)", table, cov={"G": G})
    want = dict(reference("gemma/wheat_2")["REML"])
    assert np.abs(want.pop("B")).max() < 1e-12  # the responses are centred
    against_gemma(fit, want)
    assert_allclose(np.sqrt(np.diag(fit.cov_varcomp("expected")))[:3], [0.0945, 0.0654, 0.0896], atol=6e-5)


def test_four_wheat_traits_have_a_singular_covariance_that_gemma_nearly_reaches() -> None:
    table, _, G = wheat()
    fit = mv.fit("cbind(y1, y2, y3, y4) ~ 1 + (1 | line:G)", table, cov={"G": G})
    want = reference("gemma/wheat_4")["REML"]
    assert fit.is_singular
    assert 0 < fit.llf - evaluated(fit, want["Vg"], want["Ve"]) < 2e-4
    assert abs(evaluated(fit, want["Vg"], want["Ve"]) + half_log_det(fit) - want["loglik"]) < 1e-4
    assert_allclose(fit.spec.sigmas(fit.theta)[0], want["Vg"], rtol=2e-3)


def evaluated(fit: Any, *sigmas: Any) -> float:
    """Log-likelihood of our model at another's covariance matrices."""
    theta = fit.spec.theta([np.array(Sigma) for Sigma in sigmas])
    return float(fit._evaluator.at(theta).loglik)


SOMMER = {
    "two_us": "cbind(y1, y2) ~ x + (1 | id:K)",
    "two_diagonal": "cbind(y1, y2) ~ x + diag(1 | id:K)",
    "two_terms": "cbind(y1, y2) ~ x + (1 | id:K) + diag(1 | site)",
    "three_us": "cbind(y1, y2, y3) ~ x + (1 | id:K)",
}


def sommer_values(rows: list[dict[str, Any]], what: str) -> dict[tuple[str, ...], float]:
    return {(row["term"].split(".")[0][2:], *row["term"].split(".")[1].split("-")): row[what] for row in rows}


@pytest.mark.parametrize("case", SOMMER)
def test_sommer_has_our_covariances_effects_and_errors(simulated, case) -> None:
    data, cov = simulated
    fit = mv.fit(SOMMER[case], data, cov=cov)
    want = reference(f"sommer/{case}")
    values, errors = sommer_values(want["varcomp"], "value"), sommer_values(want["varcomp"], "se")
    names = fit.spec.y_names
    keys = [
        ("units" if w.term == len(fit.spec.terms) else fit.spec.terms[w.term].group, names[w.a], names[w.b])
        for w in fit.spec.index
    ]
    assert len(keys) == len(values)
    assert_allclose(fit.theta, [values[key] for key in keys], rtol=2e-6, atol=1e-7)
    if case != "two_terms":
        assert_allclose(np.sqrt(np.diag(fit.cov_varcomp("expected"))), [errors[key] for key in keys], rtol=2e-5)
    found = {
        (r["trait"], r["effect"].replace("(Intercept)", "Intercept")): (r["value"], r["se"]) for r in want["fixef"]
    }
    beta, se = fit.evaluation.beta, np.sqrt(np.diag(fit.evaluation.beta_cov))
    for name, b, s in zip(fit.spec.x_names, beta, se, strict=True):
        assert_allclose([b, s], found[tuple(name.split(": "))], rtol=2e-6)


def test_blue_tits_are_those_of_sommer() -> None:
    table, A = btdata()
    fit = mv.fit("cbind(tarsus, back) ~ sex + hatchdate + (1 | animal:A) + (1 | fosternest)", table, cov={"A": A})
    want = reference("kinship/btdata/biv_sommer_us")
    theta = np.array([row["VarComp"] for row in want["varcomp"]])
    assert 0 <= fit.llf - fit._evaluator.at(theta).loglik < 1e-8  # sommer stops so near
    assert_allclose(fit.theta, theta, rtol=5e-5, atol=1e-6)
    errors = np.sqrt(np.diag(fit.cov_varcomp("expected")))
    assert_allclose(errors, [row["VarCompSE"] for row in want["varcomp"]], rtol=2e-4)
    by_trait = {name: [row["Estimate"] for row in want["betas"] if row["Trait"] == name] for name in ("tarsus", "back")}
    assert_allclose(fit.evaluation.beta, [*by_trait["tarsus"], *by_trait["back"]], rtol=2e-5, atol=1e-6)


def grouped(fit: Any, want: dict[str, Any], loglik: float, variances: float) -> None:
    """Log-likelihood never below, covariance matrices, fixed effects and their errors of a stacked model of R's."""
    assert -1e-8 * abs(want["logLik"]) < fit.llf - want["logLik"] < loglik
    for ours, theirs in zip(fit.spec.sigmas(fit.theta), (want["G"], want["R"]), strict=True):
        assert_allclose(ours, theirs, rtol=variances, atol=variances * np.abs(theirs).max())
    renamed = {}
    for name in want["fixef"]:
        trait, *column = name.removeprefix("trait").split(":")
        renamed[f"{trait}: {column[0] if column else 'Intercept'}".replace("genderM", "gender[T.M]")] = name
    order = [renamed[name] for name in fit.spec.x_names]
    assert_allclose(fit.evaluation.beta, [want["fixef"][name] for name in order], rtol=10 * variances)
    errors = np.sqrt(np.diag(fit.evaluation.beta_cov))
    assert_allclose(errors, [want["se"][name] for name in order], rtol=10 * variances)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_marks_of_pupils_with_missing_cells_are_those_of_nlme(method) -> None:
    data = pd.read_csv(HERE / "several_traits/gcse.csv.xz")
    fit = mv.fit("cbind(written, course) ~ gender + (1 | school)", data, method=method)
    want = reference(f"several_traits/gcse_{method}")
    grouped(fit, want, 1e-6, 1e-5)
    blups = pd.DataFrame(fit.evaluation.blup(0), [str(level) for level in fit.spec.terms[0].levels])
    assert_allclose(blups.loc[[str(s) for s in want["ranef_of"]]], want["ranef"], rtol=1e-4)


def test_marks_of_pupils_with_both_are_those_of_nlme() -> None:
    data = pd.read_csv(HERE / "several_traits/gcse.csv.xz").dropna()
    fit = mv.fit("cbind(written, course) ~ gender + (1 | school)", data)
    grouped(fit, reference("several_traits/gcse_complete_reml"), 1e-6, 1e-5)


BDF = {"us": "(1 | school)", "diag": "diag(1 | school)", "rr1": "rr(1 | school)", "rr2": "rr(1 | school, 2)"}


@pytest.mark.parametrize("case", BDF)
def test_tests_of_pupils_have_the_covariances_of_nlme_and_glmmtmb(case) -> None:
    data = pd.read_csv(HERE / "several_traits/bdf.csv.xz")
    formula = f"cbind(iq_verbal, iq_performance, language, arithmetic) ~ sex + {BDF[case]}"
    fit = mv.fit(formula, data, method="ml")
    want = reference(f"several_traits/bdf_{case}")
    if case == "us":
        grouped(fit, want, 1e-5, 3e-5)
        return
    assert abs(fit.llf - want["logLik"]) < 3e-4  # its integral is inexact beside so small a variance of cells
    assert -1e-8 < fit.llf - evaluated(fit, want["G"], want["R"]) < 3e-4
    for ours, theirs in zip(fit.spec.sigmas(fit.theta), (want["G"], want["R"]), strict=True):
        assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * np.abs(theirs).max())
    assert np.linalg.matrix_rank(fit.spec.sigmas(fit.theta)[0], tol=1e-8) == {"rr1": 1, "rr2": 2, "diag": 4}[case]


@pytest.fixture(scope="module")
def twins() -> tuple[pd.DataFrame, mv.Sparse]:
    """Height (cm) and weight (kg) of OpenMx's twins, a row a person, and A among them."""
    wide = mv.load_data("twins")
    wide = wide[wide["age"].notna()].reset_index(drop=True)
    women = [wide["zygosity"].isin(kinds) for kinds in (["MZFF", "DZFF", "DZOS"], ["MZFF", "DZFF"])]
    table = pd.DataFrame(
        {
            "person": [f"{fam}-{twin}" for twin in (1, 2) for fam in wide["fam"]],
            "fam": np.tile(wide["fam"], 2),
            "age": np.tile(wide["age"], 2),
            "woman": np.concatenate(women).astype(float),
            "height": 100 * np.concatenate([wide["ht1"], wide["ht2"]]),
            "weight": np.concatenate([wide["wt1"], wide["wt2"]]).astype(float),
        }
    )
    off = sp.diags_array(np.where(wide["zygosity"].str.startswith("MZ"), 1.0, 0.5))
    one = sp.eye_array(len(wide))
    A = mv.Sparse(sp.csr_array(sp.block_array([[one, off], [off, one]])), table["person"].tolist())
    return table.dropna(subset=["height", "weight"], how="all"), A


@pytest.mark.parametrize("model", [pytest.param("ace", marks=pytest.mark.slow), "ae"])
def test_height_and_weight_of_twins_are_those_of_openmx(twins, model) -> None:
    table, A = twins
    shared = " + (1 | fam)" if model == "ace" else ""
    fit = mv.fit(f"cbind(height, weight) ~ age + woman + (1 | person:A){shared}", table, cov={"A": A}, method="ml")
    want = reference(f"several_traits/twins_{model}")
    assert fit.spec.n == want["cells"]
    assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    for ours, theirs in zip(fit.spec.sigmas(fit.theta), [want[k] for k in model.upper()], strict=True):
        assert_allclose(ours, theirs, rtol=2e-4, atol=2e-3)
    order = [want["fixef"][f"{trait}{column}"] for trait in "hw" for column in ("0", "age", "woman")]
    assert_allclose(fit.evaluation.beta, order, rtol=1e-4)
