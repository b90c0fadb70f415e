"""Fits against numbers made elsewhere: OpenMx's twins, and the dense solutions of the simulated kernels."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mixedvc as mv

from .reference.load import input_or_skip, reference, standardised_kernel
from .tolerances import COMPONENT, OBJECTIVE, PARAMETER

SIMULATED = [
    "vcm/basic_n120_p200_q2",
    "vcm/boundary_zero_n100_p120_q2",
    "vcm/tall_rankdef_n150_p40_q1",
    "vcm/threevc_n120",
    "rehe/ace_n200",
    "rehe/ace_boundaryC_n200",
]


def quiet_fit(*arguments, **options):
    """A fit that may end at a boundary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.BoundaryWarning)
        return mv.fit(*arguments, **options)


def simulated(folder: str) -> tuple[str, pd.DataFrame, dict[str, pd.DataFrame]]:
    """Formula, table and labelled kernels of one simulated case."""

    def table(name: str) -> pd.DataFrame:
        return pd.read_csv(input_or_skip(f"{folder}/{name}"))

    data = table("y.csv")
    ids = [f"id{i}" for i in range(len(data))]
    if folder.startswith("rehe"):
        X = table("X.csv").drop(columns="intercept")
        kernels = [table("K_A.csv").to_numpy(), table("K_C.csv").to_numpy()]
    else:
        X = table("Z.csv")
        names = ["X1.csv", "X2.csv"] if "threevc" in folder else ["X.csv"]
        kernels = [standardised_kernel(table(name).to_numpy()) for name in names]
    data = data.join(X).assign(id=ids)
    cov = {f"K{i}": pd.DataFrame(K, ids, ids) for i, K in enumerate(kernels)}
    bars = " + ".join(f"(1 | id:{name})" for name in cov)
    return f"y ~ {' + '.join(X.columns)} + {bars}", data, cov


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("folder", SIMULATED)
def test_simulated_kernels_end_at_the_dense_solution(folder, method):
    formula, data, cov = simulated(folder)
    want = reference(f"{folder}/expected")[f"direct_{method.upper()}"]
    fit = quiet_fit(formula, data, cov=cov, method=method)
    np.testing.assert_allclose(fit.llf, want["loglik"], **OBJECTIVE)
    np.testing.assert_allclose(fit.varcomp["variance"], want["theta"], **COMPONENT)
    np.testing.assert_allclose(fit.params, want["beta"], **PARAMETER)
    free = np.array(want["theta"]) > 0
    assert fit.varcomp["boundary"].tolist() == (~free).tolist()
    inverse = np.linalg.inv(np.array(want["FIM"])[np.ix_(free, free)])
    np.testing.assert_allclose(fit.varcomp["se"][free], np.sqrt(np.diag(inverse)), **PARAMETER)
    assert fit.varcomp["se"][~free].isna().all()


@pytest.fixture(scope="module")
def twins() -> tuple[pd.DataFrame, dict[str, mv.Sparse]]:
    """OpenMx's twins, one row a person, and A, C, D among all of them."""
    wide = mv.load_data("twins")
    m = len(wide)
    people = [f"{fam}-{twin}" for twin in (1, 2) for fam in wide["fam"]]
    women = [wide["zygosity"].isin(kinds) for kinds in (["MZFF", "DZFF", "DZOS"], ["MZFF", "DZFF"])]
    table = pd.DataFrame(
        {
            "person": people,
            "fam": np.tile(wide["fam"], 2),
            "age": np.tile(wide["age"], 2),
            "woman": np.concatenate(women).astype(float),
            "older": np.tile(wide["cohort"] == "older", 2).astype(float),
            "bmi": np.concatenate([wide["bmi1"], wide["bmi2"]]),
        }
    ).dropna()
    identical = wide["zygosity"].str.startswith("MZ").to_numpy()

    def pairs(correlation):
        off = sp.diags_array(np.broadcast_to(correlation, m).astype(float))
        return mv.Sparse(sp.csr_array(sp.block_array([[sp.eye_array(m), off], [off, sp.eye_array(m)]])), people)

    known = {"A": np.where(identical, 1, 0.5), "C": 1.0, "D": np.where(identical, 1, 0.25)}
    return table.sample(frac=1, random_state=1), {name: pairs(r) for name, r in known.items()}


@pytest.mark.parametrize("model", ["ace", "ae", "ce", "ade"])
def test_twin_models_agree_with_openmx(twins, model):
    table, known = twins
    want = reference(f"openmx/twins/{model}")
    assert len(table) == want["n_persons"]
    letters = model.upper()[:-1]
    bars = " + ".join(f"(1 | person:{letter})" for letter in letters)
    cov = {letter: known[letter] for letter in letters}
    fit = quiet_fit(f"bmi ~ age + woman + older + {bars}", table, cov=cov, method="ml")
    np.testing.assert_allclose(fit.llf, want["logLik"], **OBJECTIVE)
    variance = [want["variance"][letter] for letter in model.upper()]
    stopped = {"rtol": 1e-4, "atol": 1e-9}  # OpenMx's optimiser ends about this near to the maximum
    np.testing.assert_allclose(fit.varcomp["variance"], variance, **stopped)
    np.testing.assert_allclose(fit.params, [want["fixef"][k] for k in ("b0", "age", "woman", "older")], **stopped)
    assert fit.is_singular == (model == "ace")


def test_the_shared_environment_of_twins_is_a_grouping_factor(twins):
    table, known = twins
    by_family = quiet_fit("bmi ~ age + woman + older + (1 | fam)", table)
    by_kernel = quiet_fit("bmi ~ age + woman + older + (1 | person:C)", table, cov={"C": known["C"]})
    np.testing.assert_allclose(by_family.llf, by_kernel.llf, **OBJECTIVE)
    np.testing.assert_allclose(by_family.varcomp["variance"], by_kernel.varcomp["variance"], **COMPONENT)
