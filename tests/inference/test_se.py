"""Standard errors of variance parameters."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mixedvc as mv
from mixedvc import structures
from mixedvc.errors import OptionError
from mixedvc.inference import se
from mixedvc.inference.parameters import jacobian, parameters
from mixedvc.inference.se import parameter_covariance
from mixedvc.testing import assemble
from mixedvc.testing.brute import Brute
from tests.inference import cases
from tests.tolerances import COMPONENT, OBJECTIVE, PARAMETER, printed


def test_sleepstudy_standard_errors_by_expected_information_are_the_published_ones():
    fit = cases.fitted(cases.sleepstudy())
    # lme4 stops 1.7e-5 short of the optimum in the first component
    assert_allclose(fit.varcomp["se"], [288.786, 46.6788, 14.7821, 77.1854], rtol=2e-5, atol=0)


@pytest.mark.parametrize(("groups", "size"), [(6, 5), (10, 3)])
def test_balanced_one_way_standard_errors_have_their_closed_form(groups, size):
    spec = assemble.one_way(groups, size, seed=4)
    fit = cases.fitted(spec)
    a, e = fit.estimate.theta
    between, within = 2 * (e + size * a) ** 2 / (groups - 1), 2 * e**2 / (groups * (size - 1))
    assert_allclose(fit.varcomp["se"], np.sqrt([(between + within) / size**2, within]), **COMPONENT)


def test_the_three_informations_are_told_apart_and_named():
    spec = cases.relatives()
    fit = cases.by_brute_force(spec, cases.RELATIVES_PAR)
    for kind in ("expected", "average"):
        inverse = np.linalg.inv(getattr(fit.evaluation, f"{kind}_information"))
        assert_allclose(fit.variances(information=kind)["se"], np.sqrt(np.diagonal(inverse)), **OBJECTIVE)
        assert fit.covariance(kind).kind == kind
    assert not np.allclose(fit.variances(information="average")["se"], fit.varcomp["se"], rtol=1e-3)
    with pytest.raises(OptionError, match="information='fisher' is not one of 'expected', 'average', 'observed'"):
        fit.variances(information="fisher")


def test_an_information_that_is_not_positive_definite_gives_no_standard_errors_and_says_why():
    spec = assemble.one_way(5, 4, seed=1)
    twice = replace(spec, terms=(spec.terms[0], replace(spec.terms[0], name="again", label="again")))
    fit = cases.by_brute_force(twice, [0.5, 0.5, 1.0])
    assert fit.varcomp["se"].isna().all()
    assert "not positive definite" in fit.covariance().problem
    assert "do not tell all variance components apart" in " ".join(str(fit.summary()).split())


def test_a_component_at_zero_leaves_the_information():
    spec = assemble.one_way(6, 5, seed=2)
    s2 = float(np.var(spec.y, ddof=1))
    fit = cases.by_brute_force(spec, [0.0, s2], at_bound=[True, False])
    assert np.isnan(fit.varcomp["se"].iloc[0])
    assert_allclose(fit.varcomp["se"].iloc[1], np.sqrt(2 / (spec.n - 1)) * s2, **OBJECTIVE)


def test_a_component_held_fixed_leaves_the_information():
    spec = assemble.one_way(6, 5, seed=2)
    fit = cases.by_brute_force(spec, [1.0, 2.0], fixed=[True, False])
    assert np.isnan(fit.varcomp["se"].iloc[0])
    assert_allclose(fit.varcomp["se"].iloc[1], fit.evaluation.expected_information[1, 1] ** -0.5, **OBJECTIVE)


def test_a_correlation_at_one_moves_along_the_face_of_rank_one_matrices():
    spec = cases.relatives()
    b = np.array([1.1, 0.6])
    par = [b[0] ** 2, b[0] * b[1], b[1] ** 2, 0.5, 0.9]
    fit = cases.by_brute_force(spec, par, at_bound=[False, True, False, False, False])
    J = np.zeros((5, 4))  # θ as a function of (b1, b2, σ²_block, σ²_e)
    J[:3, :2] = [[2 * b[0], 0], [b[1], b[0]], [0, 2 * b[1]]]
    J[3, 2] = J[4, 3] = 1
    want = J @ np.linalg.inv(J.T @ fit.evaluation.expected_information @ J) @ J.T
    assert_allclose(fit.covariance().theta, want, **COMPONENT)
    assert np.isnan(fit.varcomp["se"].iloc[1])
    assert_allclose(fit.varcomp["se"].iloc[[0, 2]], np.sqrt(np.diagonal(want)[[0, 2]]), **COMPONENT)


def test_a_zero_slope_takes_its_covariance_with_it():
    spec = cases.relatives()
    fit = cases.by_brute_force(spec, [1.2, 0, 0, 0.5, 0.9], at_bound=[False, True, True, False, False])
    info = fit.evaluation.expected_information[np.ix_([0, 3, 4], [0, 3, 4])]
    assert_allclose(fit.varcomp["se"].iloc[[0, 3, 4]], np.sqrt(np.diagonal(np.linalg.inv(info))), **OBJECTIVE)


@pytest.mark.parametrize("name", ["cs", "ar1"])
def test_structure_parameters_follow_by_the_chain_rule(name):
    rng = np.random.default_rng(5)
    n, k = 40, 3
    basis = np.eye(k)[rng.integers(0, k, n)]
    term = assemble.term("g", rng.integers(0, 8, n).astype(str).astype(object), basis=basis, structure=name)
    spec = assemble.spec(rng.standard_normal(n), np.ones((n, 1)), [term])
    count = term.structure.n_par
    par = np.append(np.linspace(0.8, 1.2, count - 1), [0.4, 0.7])
    est = cases.estimate(spec, par)
    evaluation = Brute(spec).at(est.theta)
    J = np.empty((len(est.theta), len(par)))
    for j in range(len(par)):  # numerical ∂θ/∂par
        h = 1e-6
        up, down = (cases.estimate(spec, par + s * h * np.eye(len(par))[j]).theta for s in (1, -1))
        J[:, j] = (up - down) / (2 * h)
    assert_allclose(jacobian(spec, par), J, rtol=1e-7, atol=1e-8)
    cov = parameter_covariance(spec, evaluation, est)
    assert_allclose(cov.par, np.linalg.inv(J.T @ evaluation.expected_information @ J), **PARAMETER)
    assert [p.kind for p in parameters(spec)] == ["variance"] * (count - 1) + ["correlation", "variance"]


def test_units_of_the_response_do_not_matter():
    spec = assemble.one_way(6, 5, seed=2)
    tiny = replace(spec, y=spec.y * 1e-9)
    big, small = (cases.by_brute_force(s, np.array([1.0, 2.0]) * u) for s, u in ((spec, 1.0), (tiny, 1e-18)))
    assert_allclose(small.varcomp["se"] * 1e18, big.varcomp["se"], **OBJECTIVE)


def test_parameter_names_are_unique_and_speak():
    names = [p.name for p in parameters(cases.sleepstudy())]
    assert names == ["Subject[Intercept]", "Subject[Intercept, Days]", "Subject[Days]", "Residual"]
    assert [p.name for p in parameters(assemble.one_way())] == ["g", "Residual"]


def test_every_structure_of_the_registry_has_a_kind_for_each_parameter():
    for name in structures.structures:
        basis = np.random.default_rng(0).standard_normal((6, 3))
        spec = assemble.spec(
            np.arange(6.0), np.ones((6, 1)), [assemble.term("g", list("aabbcc"), basis=basis, structure=name)]
        )
        assert all(p.kind in ("variance", "covariance", "correlation", "loading") for p in parameters(spec))


def test_printed_precision_of_sleepstudy_matches_lme4():
    fit = cases.fitted(cases.sleepstudy())
    assert_allclose(fit.varcomp["sd"], [24.740, 0.066, 5.922, 25.592], **printed(3))


def test_the_expected_information_is_the_default_until_it_costs_too_much(monkeypatch):
    spec = cases.relatives()
    assert se.default_kind(spec, "dense") == "expected"
    monkeypatch.setattr(se, "MOST_FLOPS", 1e4)
    assert se.default_kind(spec, "dense") == "average"
    assert se.default_kind(spec, "blocks") == "expected"
    assert se.default_kind(assemble.one_way(), "dense") == "expected"
    fit = cases.by_brute_force(spec, cases.RELATIVES_PAR)
    dense = replace(fit, estimate=replace(fit.estimate, likelihood="dense"))
    assert dense.covariance().kind == dense.df_covariance.kind == "average"
    assert "average information (the expected one takes long here" in " ".join(str(dense.summary()).split())


def test_the_origin_of_a_covariate_does_not_change_standard_errors():
    """Σ about x = 0 and about another origin are one Σ in two bases: covariances of the estimates transform exactly."""
    rng = np.random.default_rng(5)
    g, t = np.repeat(np.arange(25), 8), np.tile(np.arange(8.0) - 3.5, 25)
    slopes, noise = 0.5 * rng.standard_normal(25), rng.standard_normal(200)
    data = pd.DataFrame({"y": 3 + 0.2 * t + rng.standard_normal(25)[g] + slopes[g] * t + noise, "g": g})
    covs = []
    for origin in (0.0, 40.0, 500.0):
        fit = mv.fit("y ~ x + (x | g)", data.assign(x=t + origin))
        assert fit.covariance().problem == ""
        a = np.array([[1.0, 2 * origin, origin**2, 0.0], [0.0, 1.0, origin, 0.0], [0, 0, 1, 0], [0, 0, 0, 1]])
        covs.append(a @ fit.cov_varcomp().to_numpy() @ a.T)
    assert_allclose(np.diag(covs[1]), np.diag(covs[0]), rtol=1e-5, atol=0)
    assert_allclose(np.diag(covs[2]), np.diag(covs[0]), rtol=2e-2, atol=0)  # rounding of 1e-16 · (500 / 2.3)⁴ and more
