"""S, q and estimates of all four Haseman-Elston regressions on the data of the VCM and REHE comparisons."""

import numpy as np
import pytest

import mixedvc as mv
from mixedvc.moments import Variant, choose_moments
from tests.reference.load import reference
from tests.reference_numbers.test_direct import REHE, VCM, problem
from tests.tolerances import OBJECTIVE, PARAMETER

VARIANTS = {
    "projected_full": Variant(),
    "projected_tri": Variant(entries="upper"),
    "unprojected_full": Variant(projection=False),
    "unprojected_tri": Variant(projection=False, entries="upper"),
}
BLOCKS = [(f"vcm/{case}", f"direct_HE_{name}", name) for case in VCM for name in VARIANTS]
BLOCKS += [(f"rehe/{case}", f"HE_{name}", name) for case in REHE for name in VARIANTS]
RECORDED = [block for block in BLOCKS if block[1] in reference(f"{block[0]}/expected")]


def moments_of(case):
    formula, data, cov = problem(case)
    return choose_moments(mv.model(formula, data, cov=cov))


@pytest.mark.parametrize(("case", "block", "variant"), RECORDED)
def test_the_equations_are_the_recorded_ones(case, block, variant):
    want = reference(f"{case}/expected")[block]
    found = moments_of(case).equations(VARIANTS[variant])
    np.testing.assert_allclose(found.S, want["S"], **OBJECTIVE)
    np.testing.assert_allclose(found.q, want["q"], **OBJECTIVE)
    np.testing.assert_allclose(np.linalg.solve(found.S, found.q), want["he"], **PARAMETER)


def test_all_four_variants_are_recorded_of_five_cases():
    assert len(RECORDED) == 5 * 4 + 1


def test_without_covariates_vcm_solves_the_same_equations():
    formula, data, cov = problem("vcm/threevc_n120")
    want = reference("vcm/threevc_n120/expected")["direct_HE_noZ_full"]
    spec = mv.model("y ~ 1 + " + formula[formula.index("(") :], data, cov=cov)
    found = choose_moments(spec).equations(Variant())
    np.testing.assert_allclose(found.S, want["S"], **OBJECTIVE)
    np.testing.assert_allclose(found.q, want["q"], **OBJECTIVE)


def test_vcm_takes_another_trace_with_covariates():
    """Its MoM has Σ(MK∘K) for tr(MKMK): ours is the definition's, and differs where there are covariates."""
    formula, data, cov = problem("vcm/basic_n120_p200_q2")
    spec = mv.model(formula, data, cov=cov)
    found = choose_moments(spec).equations(Variant())
    K, Q = cov["A"].to_numpy(), np.linalg.qr(spec.X)[0]
    MK = K - Q @ (Q.T @ K)
    np.testing.assert_allclose(found.S[0, 0], np.trace(MK @ MK), **OBJECTIVE)
    theirs = np.sum(MK * MK)  # ‖MK‖², not tr(MKMK)
    assert abs(theirs / found.S[0, 0] - 1) > 1e-4
    recorded = reference("vcm/basic_n120_p200_q2/expected")["MoM"]["sb2"]
    S = found.S.copy()
    S[0, 0] = theirs
    np.testing.assert_allclose(np.linalg.solve(S, found.q)[0], recorded, **PARAMETER)
