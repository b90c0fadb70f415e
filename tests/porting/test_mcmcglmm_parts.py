"""Parts of the port by themselves: densities of incomplete records, effects in R's parameters and order, new rows."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from mixedvc.porting.mcdeviance import Cells, _deviance
from mixedvc.porting.mcmcglmm import MCMCglmm, inverseA
from mixedvc.porting.mcpredict import _noise

from .mcmcglmm_cases import I2, IG, PX, data, pedigree

R = np.array([[1.0, 0.6, 0.2], [0.6, 2.0, -0.3], [0.2, -0.3, 0.5]])
SEEN, GONE = np.array([0, 2]), np.array([1])


def test_the_deviance_of_an_incomplete_record_is_of_what_was_seen_given_what_was_drawn():
    rng = np.random.default_rng(1)
    seen, drawn = rng.standard_normal((4, 2)), rng.standard_normal((4, 1))
    whole = np.column_stack([seen[:, 0], drawn[:, 0], seen[:, 1]])
    want = multivariate_normal(np.zeros(3), R).logpdf(whole).sum()
    want -= multivariate_normal(0.0, R[1, 1]).logpdf(drawn[:, 0]).sum()
    np.testing.assert_allclose(_deviance(seen, drawn, R, SEEN, GONE), -2 * want, rtol=1e-12)


def test_missing_residuals_are_drawn_given_the_observed_ones():
    count = 8_000
    cells = Cells([(np.array([[0, 1]]), SEEN, GONE)], True)
    residuals = np.tile([0.7, -0.4], (count, 1))
    drawn = cells._missing(cells.patterns[0], residuals, np.tile(R, (count, 1, 1)), np.random.default_rng(2))[:, 0, 0]
    across = np.linalg.solve(R[np.ix_(SEEN, SEEN)], R[SEEN, 1])
    variance = R[1, 1] - R[1, SEEN] @ across
    assert abs(drawn.mean() - across @ residuals[0]) < 4.5 * np.sqrt(variance / count)
    assert abs(drawn.var() / variance - 1) < 4.5 * np.sqrt(2 / count)


@pytest.fixture(scope="module")
def shuffled():
    return pedigree().sample(frac=1.0, random_state=3).reset_index(drop=True)


def test_inbreeding_and_mendelian_variances_follow_the_order_given(shuffled):
    straight, mixed = inverseA(pedigree()), inverseA(shuffled)
    by_name = dict(zip(straight.names, zip(straight["inbreeding"], straight["dii"], strict=True), strict=True))
    assert list(mixed.names) == list(shuffled["id"])
    want = np.array([by_name[name] for name in mixed.names])
    np.testing.assert_allclose(np.column_stack([mixed["inbreeding"], mixed["dii"]]), want, rtol=1e-12)
    assert len(np.unique(want[:, 1])) > 1


def test_random_effects_stand_in_the_order_of_the_pedigree_given(shuffled):
    call = {"random": "~animal", "data": data(), "prior": {"R": IG, "G": {"G1": PX}}, "nitt": 3030, "seed": 5}
    m = MCMCglmm("y ~ sex", pedigree=shuffled, pr=True, verbose=False, DIC=False, **call)
    assert [name.removeprefix("animal.") for name in m.Sol.columns[2:]] == list(shuffled["id"])


@pytest.fixture(scope="module")
def two():
    return MCMCglmm(
        "cbind(y2, z) ~ trait + x",
        random="~us(trait):nest",
        rcov="~us(trait):units",
        data=data(),
        prior={"R": {"V": I2, "nu": 2}, "G": {"G1": {"V": I2, "nu": 2}}},
        nitt=3100,
        seed=4,
        verbose=False,
        DIC=False,
    )


def test_fixed_effects_in_rs_parameters_have_the_same_expectations(two):
    ours = two.draws.beta[0] @ two.fit.spec.X.T
    np.testing.assert_allclose(two.Sol.to_numpy() @ two.X.to_numpy().T, ours, rtol=1e-9, atol=1e-9)
    assert list(two.Sol.columns) == ["(Intercept)", "traitz", "x"]


def test_vcv_is_the_cores_matrices_column_by_column(two):
    first = two.fit.spec.sigmas(two.draws.theta[0, 0])
    np.testing.assert_allclose(two.VCV.iloc[0, :4], first[0].ravel(), rtol=1e-14)
    np.testing.assert_allclose(two.VCV.iloc[0, 4:], first[1].ravel(), rtol=1e-14)


def test_new_values_have_the_variance_of_terms_averaged_out_and_of_the_residual():
    prior = {"R": {"V": 0.5, "fix": 1}, "G": {"G1": {"V": 2.0, "fix": 1}}}
    m = MCMCglmm("y ~ 1", random="~nest", data=data(), prior=prior, nitt=3500, seed=1, verbose=False, DIC=False)
    for out, variance in ((set(), 0.5), ({0}, 2.5)):
        noise = _noise(m, out)
        assert abs(noise.var() / variance - 1) < 4.5 * np.sqrt(2 / noise.size)
