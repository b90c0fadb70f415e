"""Kinship models against independent dense solvers run until the score vanished, and twin models against mets."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedvc as mv
from mixedvc.errors import BoundaryWarning
from tests.reference import load
from tests.reference.load import input_or_skip, reference
from tests.tolerances import COMPONENT, OBJECTIVE, PARAMETER, printed

from .closeness import allowance, within

KINDS = {"average": "se_AI", "expected": "se_expected", "observed": "se_observed"}
GOLD = {
    "btdata/uni_tarsus": "tarsus ~ sex + (1 | gr(animal, cov=A)) + (1 | fosternest)",
    "btdata/uni_back": "back ~ sex + (1 | gr(animal, cov=A)) + (1 | fosternest)",
    "wheat/uni_y1_A": "y1 ~ 1 + (1 | gr(line, cov=A))",
    "wheat/uni_y1_G": "y1 ~ 1 + (1 | gr(line, cov=G))",
    "wheat/uni_y1_AG": "y1 ~ 1 + (1 | gr(line, cov=A)) + (1 | gr(line, cov=G))",
}
fits: dict = {}


def gold(case, method):
    if case.split("/")[0] == "wheat":
        data, A, G = load.wheat()
        cov = {name: K for name, K in (("A", A), ("G", G)) if f"cov={name}" in GOLD[case]}
    else:
        data, A = load.btdata()
        cov = {"A": A}
    if (case, method) not in fits:
        fits[case, method] = mv.fit(GOLD[case], data, cov=cov, method=method.lower())
    return fits[case, method], reference(f"kinship/{case}")[f"gold_{method}"], data


BOTH = [(case, method) for case in GOLD for method in ("REML", "ML")]


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_gold_log_likelihoods_and_components(case, method):
    fit, want, _ = gold(case, method)
    np.testing.assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    np.testing.assert_allclose(fit.varcomp["variance"], list(want["vc"].values()), **COMPONENT)


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_gold_standard_errors_of_all_three_kinds(case, method):
    fit, want, _ = gold(case, method)
    for kind, key in KINDS.items():
        np.testing.assert_allclose(fit.variances(information=kind)["se"], want[key], **PARAMETER, err_msg=kind)
        se = np.sqrt(np.diag(fit.cov_varcomp(information=kind)))
        np.testing.assert_allclose(se, want[key], **PARAMETER, err_msg=kind)


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_gold_fixed_effects(case, method):
    fit, want, _ = gold(case, method)
    se = list(want["fixef_se"].values())
    np.testing.assert_allclose(fit.bse, se, **PARAMETER)
    within(fit.params, list(want["fixef"].values()), 1e-5 * np.array(se), "fixef")


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_gold_blups_and_residuals(case, method):
    fit, want, data = gold(case, method)
    for (name, frame), head in zip(fit.random_effects.items(), list(want["blup_head"].values()), strict=False):
        group = name.split(":")[0]
        levels = pd.unique(data[group])[: len(head)]
        sd = float(np.sqrt(fit.varcomp["variance"].iloc[list(fit.random_effects).index(name)]))
        within(frame.loc[levels].iloc[:, 0], head, 1e-5 * sd, f"blup of {name}")
    head = want["blup_head"]["residual"]
    within(np.asarray(fit.resid)[: len(head)], head, 1e-5 * np.sqrt(fit.scale), "residuals")


def test_heritability_of_wheat_and_its_standard_error():
    fit, _, _ = gold("wheat/uni_y1_AG", "REML")
    block = reference("kinship/wheat/uni_y1_AG")
    shares = fit.varcomp["variance"] / fit.varcomp["variance"].sum()
    np.testing.assert_allclose(shares, list(block["gold_h2"].values()), **COMPONENT)


def twins():
    """One row a person of the complete pairs (twinlm leaves singletons out), and sparse A and D."""
    data = pd.read_csv(input_or_skip("kinship/twinbmi/data.csv"))
    data = data[data["tvparnr"].duplicated(keep=False)].reset_index(drop=True)
    assert len(data) == 8542
    data["person"] = [f"{pair}.{number}" for pair, number in zip(data["tvparnr"], data["num"], strict=True)]
    data["pair"] = data["tvparnr"].astype(str)
    first = data.index[data["tvparnr"].duplicated(keep="last")].to_numpy()
    second = data.index[data["tvparnr"].duplicated(keep="first")].to_numpy()
    assert (data["tvparnr"].to_numpy()[first] == data["tvparnr"].to_numpy()[second]).all()
    mz = (data["zyg"] == "MZ").to_numpy()[first]
    n = len(data)

    def covariance(of_dz):
        shared = np.where(mz, 1.0, of_dz)
        rows, cols = np.concatenate([np.arange(n), first, second]), np.concatenate([np.arange(n), second, first])
        values = np.concatenate([np.ones(n), shared, shared])
        return mv.Sparse(sp.csc_array((values, (rows, cols)), shape=(n, n)), data["person"].to_numpy())

    return data, covariance(0.5), covariance(0.25)


TWIN = {
    "ace": "bmi ~ age + gender + (1 | gr(person, cov=A)) + (1 | pair)",
    "ade": "bmi ~ age + gender + (1 | gr(person, cov=A)) + (1 | gr(person, cov=D))",
    "ae": "bmi ~ age + gender + (1 | gr(person, cov=A))",
    "ce": "bmi ~ age + gender + (1 | pair)",
}


def twin_fit(kind):
    data, A, D = twins()
    cov = {name: K for name, K in (("A", A), ("D", D)) if f"cov={name}" in TWIN[kind]}
    return mv.fit(TWIN[kind], data, cov=cov, method="ml")


@pytest.mark.parametrize("kind", ["ade", "ae", "ce"])
def test_twin_models_reach_the_likelihood_and_shares_of_mets(kind):
    want, fit = reference(f"kinship/twinbmi/twinlm_{kind}"), twin_fit(kind)
    assert ("grouped" if kind == "ce" else "blocks") in fit.computation
    near = allowance(fit.llf, want["logLik"])
    variance, se = fit.varcomp["variance"].to_numpy(), fit.varcomp["se"].to_numpy()
    shares = np.array([row[0] for row in want["variance_shares"]["values"]])
    within(variance / variance.sum(), shares, near * se / variance.sum() * 2, "shares")
    table = dict(zip(want["coefficients"]["rows"], want["coefficients"]["values"], strict=True))
    names = ["bmi", "bmi~age", "bmi~gendermale"]
    within(fit.params, [table[k][0] for k in names], near * np.array([table[k][1] for k in names]), "fixed effects")
    within(fit.bse, [table[k][1] for k in names], 1e-3 * np.array([table[k][1] for k in names]), "standard errors")


def test_the_common_environment_of_twins_ends_at_an_exact_zero():
    want, only_a = reference("kinship/twinbmi/twinlm_ace"), reference("kinship/twinbmi/twinlm_ae")
    with pytest.warns(BoundaryWarning, match="pair"):
        fit = twin_fit("ace")
    near = allowance(fit.llf, want["logLik"])
    variance = fit.varcomp["variance"].to_numpy()
    assert variance[1] == 0.0
    assert list(fit.varcomp["boundary"]) == [False, True, False]
    shares = np.array([row[0] for row in want["variance_shares"]["values"]])
    within(variance / variance.sum(), shares, 0.01 * near + 1e-6, "shares")
    np.testing.assert_allclose(fit.llf, only_a["logLik"], **OBJECTIVE)


def test_mrodes_animal_model_at_given_components():
    """Mrode (2014), Linear Models for the Prediction of Animal Breeding Values, Example 3.1."""
    table = pd.DataFrame(
        {
            "id": list("12345678"),
            "sire": [None, None, None, "1", "3", "1", "4", "3"],
            "dam": [None, None, None, None, "2", "2", "5", "6"],
        }
    )
    data = pd.DataFrame({"calf": list("45678"), "sex": list("MFFMM"), "wwg": [4.5, 2.9, 3.9, 3.5, 5.0]})
    fit = mv.fit(
        "wwg ~ 0 + sex + (1 | gr(calf, cov=A))",
        data,
        cov={"A": mv.pedigree(table, id="id", sire="sire", dam="dam")},
        fixed_varcomp={"calf": 20.0, "residual": 40.0},
    )
    b = dict(zip(fit.params.index, fit.params, strict=True))
    np.testing.assert_allclose([b["sex[M]"], b["sex[F]"]], [4.3585, 3.4044], **printed(4))
    u = fit.random_effects["calf"].loc[list("12345678")].iloc[:, 0]
    want = [0.0984, -0.0188, -0.0411, -0.0087, -0.1857, 0.1769, -0.2495, 0.1826]
    for got, value in zip(u, want, strict=True):
        np.testing.assert_allclose(got, value, **printed(4))
    reliability = fit.reliability["calf"].loc[list("12345678")].iloc[:, 0]
    want = [0.0578, 0.0158, 0.0871, 0.1446, 0.1438, 0.1154, 0.1163, 0.1553]
    for got, value in zip(reliability, want, strict=True):
        np.testing.assert_allclose(got, value, **printed(4))
    np.testing.assert_allclose(fit.varcomp["variance"], [20.0, 40.0], rtol=1e-14, atol=0)
