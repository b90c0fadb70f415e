"""Simulated kernels (VCM, REHE examples), every estimator against dense solutions run until the score vanished."""

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


METHODS = {"newton": {}, **{name: {"restricted": True} for name in ("fisher", "mm", "em", "pxem")}}
ALL = [(case, criterion, method) for case, criterion in BOTH for method in METHODS]
TO_THE_END = {"tol": 1e-20}  # as the direct solver, until nothing moves: default tolerances stop at about 1e-7
DIRECT = {"rtol": 1e-8, "atol": 1e-12}
fits: dict = {}


def fitted(case, criterion, method):
    want = reference(f"{case}/expected")[f"direct_{criterion}"]
    if (case, criterion, method) not in fits:
        formula, data, cov = problem(case)
        name, options = (criterion.lower(), {}) if method == "newton" else (method, {"restricted": criterion == "REML"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BoundaryWarning)  # some end at a zero: looked at below
            fits[case, criterion, method] = mv.fit(formula, data, cov=cov, method=name, **options, **TO_THE_END)
    return fits[case, criterion, method], want


@pytest.mark.parametrize(("case", "criterion", "method"), ALL)
def test_direct_log_likelihoods_and_components(case, criterion, method):
    fit, want = fitted(case, criterion, method)
    np.testing.assert_allclose(fit.llf, want["loglik"], rtol=1e-11, atol=0)
    np.testing.assert_allclose(fit.varcomp["variance"], want["theta"], **DIRECT)
    zero = np.array(want["theta"]) == 0
    np.testing.assert_array_equal(fit.varcomp["variance"] == 0, zero)
    np.testing.assert_array_equal(fit.varcomp["boundary"], zero)
    assert fit.is_singular == zero.any()


@pytest.mark.parametrize(("case", "criterion", "method"), ALL)
def test_direct_fixed_effects_and_standard_errors(case, criterion, method):
    fit, want = fitted(case, criterion, method)
    se = np.sqrt(np.diag(want["beta_cov"]))
    within(fit.params, want["beta"], 1e-7 * se, "beta")
    np.testing.assert_allclose(fit.bse, se, **DIRECT)
    free = np.array(want["theta"]) != 0
    information = np.array(want["FIM"])[np.ix_(free, free)]
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    np.testing.assert_allclose(fit.variances(information="expected")["se"].to_numpy()[free], expected, **DIRECT)
    assert np.isnan(fit.varcomp["se"].to_numpy()[~free]).all()


VCMS_OWN = [  # method, block, its components in our order
    *((name, "pxem", "PXEM_tight", ("sb2", "se2")) for name in VCM[:3]),
    *((name, "mm", "MM_tight", ("sb2", "se2")) for name in VCM[:3]),
    ("threevc_n120", "pxem", "PXEM_3vc_tight", ("s1", "s2", "se2")),
    ("threevc_n120", "mm", "MM_3vc_tight", ("s12", "s22", "se2")),
]


@pytest.mark.parametrize(("name", "method", "block", "keys"), VCMS_OWN)
def test_the_iterations_of_vcm_end_where_ours_do(name, method, block, keys):
    """To the 1e-6 that its own stopping rule allows; it stops at 1e-6 instead of zero."""
    want = reference(f"vcm/{name}/expected")[block]
    formula, data, cov = problem(f"vcm/{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = mv.fit(formula, data, cov=cov, method=method, restricted=False)
    np.testing.assert_allclose(fit.varcomp["variance"], [want[key] for key in keys], rtol=2e-6, atol=1.1e-6)


@pytest.mark.parametrize(
    ("method", "options"), [("ml", {}), *((m, {"restricted": False}) for m in ("mm", "em", "pxem"))]
)
def test_two_kernels_without_covariates(method, options):
    """Where VCM's moment estimates too are right: they have no covariates to project."""
    formula, data, cov = problem("vcm/threevc_n120")
    formula, want = f"y ~ 1 + {formula[formula.index('(') :]}", reference("vcm/threevc_n120/expected")
    fit = mv.fit(formula, data, cov=cov, method=method, **options, **TO_THE_END)
    np.testing.assert_allclose(fit.llf, want["direct_ML_noZ"]["loglik"], rtol=1e-11, atol=0)
    np.testing.assert_allclose(fit.varcomp["variance"], want["direct_ML_noZ"]["theta"], **DIRECT)
    moments = mv.fit(formula, data, cov=cov, method="he").varcomp["variance"]
    np.testing.assert_allclose(moments, want["direct_HE_noZ_full"]["he"], **DIRECT)
    np.testing.assert_allclose(moments, [want["MoM_3vc_noZ"][key] for key in ("s12", "s22", "se2")], **DIRECT)


HE_BLOCKS = [
    (case, projection, entries, method)
    for case in CASES
    for projection in (True, False)
    for entries in ("all", "upper")
    for method in ("he", "rehe", "rerehe")
    if "three" not in case or (projection and entries == "all")  # the one variant recorded of it
]


@pytest.mark.parametrize(("case", "projection", "entries", "method"), HE_BLOCKS)
def test_direct_haseman_elston_estimates(case, projection, entries, method):
    block = reference(f"{case}/expected")
    key = f"HE_{'projected' if projection else 'unprojected'}_{'full' if entries == 'all' else 'tri'}"
    want = block[f"direct_{key}" if case.startswith("vcm") else key]
    formula, data, cov = problem(case)
    options = {"ratio": 1.0, "n_subsamples": 2, "unit": "rows"} if method == "rerehe" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = mv.fit(
            formula, data, cov=cov, method=method, projection=projection, entries=entries, se="none", **options
        )
    theta = np.array(want["he" if method == "he" else "nnls"])
    np.testing.assert_allclose(fit.varcomp["variance"], theta, **DIRECT)
    if method != "he":
        np.testing.assert_array_equal(fit.varcomp["variance"] == 0, theta == 0)
        np.testing.assert_array_equal(fit.varcomp["boundary"], theta == 0)


@pytest.mark.parametrize("case", [case for case in CASES if case.startswith("rehe")])
def test_the_estimates_of_the_rehe_package_are_the_unprojected_ones(case):
    formula, data, cov = problem(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        fit = mv.fit(formula, data, cov=cov, method="rehe", projection=False)
    want = reference(f"{case}/expected")
    np.testing.assert_allclose(fit.varcomp["variance"], want["REHE_varComp"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(fit.params, want["REHE_beta_wls"], **DIRECT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BoundaryWarning)
        ols = mv.fit(formula, data, cov=cov, method="rehe", projection=False, fixed="ols")
    np.testing.assert_allclose(ols.params, want["REHE_beta_ols"], **DIRECT)


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
