"""Simulated kernels (VCM, REHE examples) against dense Fisher scoring run until the score vanished."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.errors import BoundaryWarning
from mixedvc.likelihood import choose
from tests.reference.load import input_or_skip, reference
from tests.tolerances import COMPONENT, OBJECTIVE, PARAMETER

from .closeness import within

VCM = ["basic_n120_p200_q2", "boundary_zero_n100_p120_q2", "tall_rankdef_n150_p40_q1", "threevc_n120"]
REHE = ["ace_n200", "ace_boundaryC_n200"]
CASES = [f"vcm/{name}" for name in VCM] + [f"rehe/{name}" for name in REHE]
BOTH = [(case, method) for case in CASES for method in ("REML", "ML")]


def table(case, name):
    return pd.read_csv(input_or_skip(f"{case}/{name}.csv"))


def problem(case):
    """Formula, data and covariances: kernels of standardised features (VCM) or given matrices (REHE)."""
    y = table(case, "y")["y"]
    ids = [f"i{i:03d}" for i in range(len(y))]
    if case.startswith("rehe"):
        data = table(case, "X").assign(y=y, id=ids)
        kernels = {name: table(case, f"K_{name}").to_numpy() for name in ("A", "C")}
        fixed = "sex + age"
    else:
        data = table(case, "Z")
        fixed = " + ".join(data.columns)
        data = data.assign(y=y, id=ids)
        names = {"X1": "A", "X2": "C"} if "three" in case else {"X": "A"}
        kernels = {}
        for file, name in names.items():
            X = table(case, file).to_numpy(dtype=float)
            W = (X - X.mean(0)) / X.std(0)
            kernels[name] = W @ W.T / W.shape[1]
    terms = " + ".join(f"(1 | gr(id, cov={name}))" for name in kernels)
    cov = {name: pd.DataFrame(K, ids, ids) for name, K in kernels.items()}
    return f"y ~ {fixed} + {terms}", data, cov


fits: dict = {}


def fitted(case, method):
    want = reference(f"{case}/expected")[f"direct_{method}"]
    if (case, method) not in fits:
        formula, data, cov = problem(case)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BoundaryWarning)  # some end at a zero: looked at below
            fits[case, method] = mv.fit(formula, data, cov=cov, method=method.lower())
    return fits[case, method], want


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_direct_log_likelihoods_and_components(case, method):
    fit, want = fitted(case, method)
    np.testing.assert_allclose(fit.llf, want["loglik"], **OBJECTIVE)
    np.testing.assert_allclose(fit.varcomp["variance"], want["theta"], **COMPONENT)
    zero = np.array(want["theta"]) == 0
    np.testing.assert_array_equal(fit.varcomp["variance"] == 0, zero)
    np.testing.assert_array_equal(fit.varcomp["boundary"], zero)
    assert fit.is_singular == zero.any()


@pytest.mark.parametrize(("case", "method"), BOTH)
def test_direct_fixed_effects_and_standard_errors(case, method):
    fit, want = fitted(case, method)
    se = np.sqrt(np.diag(want["beta_cov"]))
    within(fit.params, want["beta"], 1e-5 * se, "beta")
    np.testing.assert_allclose(fit.bse, se, **PARAMETER)
    free = np.array(want["theta"]) != 0
    information = np.array(want["FIM"])[np.ix_(free, free)]
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(fit.variances(information="expected")["se"].to_numpy()[free], expected, **PARAMETER)
    assert np.isnan(fit.varcomp["se"].to_numpy()[~free]).all()


@pytest.mark.parametrize("case", CASES)
def test_moment_equations_are_the_projected_ones(case):
    block = reference(f"{case}/expected")
    want = block["direct_HE_projected_full"] if case.startswith("vcm") else block["HE_projected_full"]
    formula, data, cov = problem(case)
    S, q = choose(mv.model(formula, data, cov=cov))[0].moments()
    np.testing.assert_allclose(S, want["S"], **OBJECTIVE)
    np.testing.assert_allclose(q, want["q"], **OBJECTIVE)
    np.testing.assert_allclose(np.linalg.solve(S, q), want["he"], **PARAMETER)


def test_a_constant_added_to_a_kernel_changes_no_reml_component():
    """An intercept among the fixed effects absorbs it: centred and uncentred kernels give one answer."""
    formula, data, cov = problem("vcm/basic_n120_p200_q2")
    first = mv.fit(formula, data, cov={"A": cov["A"]})
    second = mv.fit(formula, data, cov={"A": cov["A"] + 0.5})
    np.testing.assert_allclose(second.varcomp["variance"], first.varcomp["variance"], **COMPONENT)
