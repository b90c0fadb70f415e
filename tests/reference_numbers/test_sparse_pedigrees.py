"""Animal models on pedigrees by the sparse route: the same as by the dense one, and as pedigreemm's."""

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from tests.reference import load
from tests.reference.load import input_or_skip, reference
from tests.tolerances import OBJECTIVE, PARAMETER

EXACT = {"rtol": 1e-8, "atol": 0.0}


@pytest.fixture(scope="module")
def milk():
    data = pd.read_csv(input_or_skip("kinship/milk/data.csv"))
    return data, {"A": mv.pedigree(pd.read_csv(input_or_skip("kinship/milk/pedigree.csv")))}


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_milk_is_fitted_as_by_pedigreemm_and_no_lower(method, milk):
    data, cov = milk
    want = reference(f"kinship/milk/pedigreemm_{method}")
    fit = mv.fit("sdMilk ~ lact + log(dim) + (1|id:A) + (1|herd)", data, cov=cov, method=method)
    assert fit.likelihood.name == "sparse"
    np.testing.assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    assert fit.llf >= want["logLik"] - 1e-9
    # pedigreemm stops at a relative tolerance of its own
    np.testing.assert_allclose(fit.varcomp["variance"], [row["vcov"] for row in want["varcorr"]], rtol=2e-5)
    np.testing.assert_allclose(fit.params, list(want["fixef"].values()), **PARAMETER)
    np.testing.assert_allclose(fit.bse, list(want["se"].values()), **PARAMETER)
    herds = fit.random_effects["herd"].loc[[int(h) for h in want["ranef_herd"]["levels"]]]
    np.testing.assert_allclose(herds.iloc[:, 0], want["ranef_herd"]["values"], rtol=0, atol=1e-5)
    # pedigreemm's ranef(id) is R b where it should be Rᵀ b, with A = RᵀR among the cows with records and u = Rᵀ b
    cows = np.unique(data["id"])
    L = np.linalg.cholesky(cov["A"].block(cov["A"].positions(cows.astype(object))))
    u = fit.random_effects["id"].loc[cows].iloc[:, 0].to_numpy()
    theirs = L.T @ np.linalg.solve(L, u)
    which = np.searchsorted(cows, [int(cow) for cow in want["ranef_id"]["levels"]])
    np.testing.assert_allclose(theirs[which], want["ranef_id"]["values"], rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("reml", [True, False])
def test_every_quantity_of_milk_is_that_of_the_dense_route(reml, milk):
    data, cov = milk
    spec = mv.model("sdMilk ~ lact + log(dim) + (1|id:A) + (1|herd)", data, cov=cov)
    _same(spec, np.array([0.28, 0.21, 0.48]), reml)


@pytest.mark.parametrize("reml", [True, False])
def test_every_quantity_of_the_blue_tits_is_that_of_the_dense_route(reml):
    data, _ = load.btdata()
    table = pd.read_csv(input_or_skip("kinship/btdata/pedigree.csv"))
    columns = dict(zip(table.columns[:3], ("id", "dam", "sire"), strict=True))
    assert list(table.columns[:3]) == ["animal", "dam", "sire"]
    cov = {"A": mv.pedigree(table.rename(columns=columns))}
    spec = mv.model("tarsus ~ sex + (1|animal:A) + (1|fosternest)", data, cov=cov)
    _same(spec, np.array([0.6, 0.2, 0.4]), reml)
    _same(spec, np.array([0.6, 0.0, 0.4]), reml)


def _same(spec, theta, reml):
    from mixedvc.likelihood import likelihoods

    sparse, dense = (likelihoods.get(name)(spec, reml=reml).at(theta) for name in ("sparse", "dense"))
    for name in ("loglik", "beta", "beta_cov", "quad", "trace", "average_information"):
        np.testing.assert_allclose(getattr(sparse, name), getattr(dense, name), **EXACT, err_msg=name)
    size = np.sqrt(np.diag(dense.expected_information))
    np.testing.assert_allclose(
        sparse.expected_information / np.outer(size, size),
        dense.expected_information / np.outer(size, size),
        rtol=0,
        atol=1e-6,
    )
    for i in range(2):
        scale = {"rtol": 0.0, "atol": 1e-8 * max(float(theta[i]), 1e-300)}
        np.testing.assert_allclose(sparse.blup(i), dense.blup(i), rtol=0, atol=1e-8)
        np.testing.assert_allclose(sparse.prediction_cov(i), dense.prediction_cov(i), **scale)
