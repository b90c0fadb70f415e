"""Heritability and other functions of the components."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixedvc.errors import OptionError
from mixedvc.inference import ratios
from mixedvc.testing import assemble
from tests.inference import cases
from tests.reference.load import reference
from tests.tolerances import IDENTITY, OBJECTIVE, PARAMETER


@pytest.mark.parametrize("case", ["uni_y1_A", "uni_y1_G", "uni_y1_AG"])
def test_heritability_and_its_error_are_those_of_the_independent_solver(case):
    numbers = reference(f"kinship/wheat/{case}")
    gold = numbers["gold_REML"]
    names = [name for name in gold["vc"] if name != "residual"]
    base = assemble.one_way(4, 3)
    spec = replace(base, terms=tuple(replace(base.terms[0], name=name) for name in names))
    cov = np.linalg.inv(np.array(gold["EI"]))
    for name in names:
        got = ratios.share(spec, np.array(list(gold["vc"].values())), cov, name)
        assert_allclose(got.estimate, numbers["gold_h2"][name], **PARAMETER)
        assert_allclose(got.se, numbers["gold_h2_se_expected"][name], **PARAMETER)


def test_the_denominator_is_named():
    fit = cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)
    assert str(fit.heritability("block")).startswith("var(block) / (var(kin) + var(block) + var(Residual)) = ")
    part = fit.heritability("block", ["block", "Residual"])
    assert part.denominator == "var(block) + var(Residual)"
    residual = np.mean(1 / fit.spec.weights) * 0.9
    assert_allclose(part.estimate, 0.5 / (0.5 + residual), **OBJECTIVE)
    assert 0 < part.lower < part.estimate < part.upper < 1


def test_shares_of_all_terms_add_up_to_one_and_agree_with_the_table():
    fit = cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)
    total = sum(float(fit.heritability(name)) for name in ("kin", "block", "Residual"))
    assert_allclose(total, 1.0, **IDENTITY)
    assert_allclose(fit.varcomp["share"].sum(), 1.0, **IDENTITY)
    by_term = fit.varcomp.groupby("group")["share"].sum()
    assert_allclose(by_term["kin"], float(fit.heritability("kin")), **IDENTITY)


def test_variance_weights_are_the_average_diagonal_with_unit_kernels_and_pve_with_centred_ones():
    spec = cases.relatives()
    model = cases.by_brute_force(spec, cases.RELATIVES_PAR).likelihood
    n, J = spec.n, np.eye(spec.n) - 1 / spec.n
    want = [np.trace(J @ V) / n for V in model.patterns[:-1]] + [np.mean(1 / spec.weights)]
    assert_allclose(ratios.weights(spec, "pve"), want, **OBJECTIVE)
    x = spec.X[:, 1]
    assert_allclose(ratios.weights(spec), [1, 2 * x.mean(), np.mean(x**2), 1, np.mean(1 / spec.weights)], **OBJECTIVE)


def test_pve_does_not_depend_on_the_scale_of_the_kernel():
    spec = cases.relatives()
    term = spec.terms[0]
    scaled = replace(term, covariance=type(term.covariance)(term.covariance.block() * 4, term.covariance.labels))
    other = replace(spec, terms=(scaled, spec.terms[1]))
    par = np.array(cases.RELATIVES_PAR)
    moved = par * [0.25, 0.25, 0.25, 1, 1]
    first, second = cases.by_brute_force(spec, par), cases.by_brute_force(other, moved)
    a, b = (f.heritability("kin", scale="pve") for f in (first, second))
    assert_allclose([a.estimate, a.se], [b.estimate, b.se], **OBJECTIVE)
    assert a.name == "pve(kin)"
    assert abs(float(first.heritability("kin")) - float(second.heritability("kin"))) > 0.05


def test_a_share_at_zero_has_no_standard_error():
    fit = cases.by_brute_force(assemble.one_way(), [0.0, 1.5], at_bound=[True, False])
    got = fit.heritability()
    assert got.estimate == 0
    assert np.isnan(got.se)
    assert "no SE: at the boundary or held fixed" in str(got)


def test_any_function_by_the_delta_method_matches_the_share():
    fit = cases.by_brute_force(assemble.one_way(), [1.0, 1.5])
    got = fit.derived(lambda v: v["g"] / (v["g"] + v["Residual"]), name="ICC")
    want = fit.heritability("g")
    assert_allclose([got.estimate, got.se], [want.estimate, want.se], rtol=1e-6, atol=0)
    assert got.name == "ICC"
    assert float(got) == got.estimate


def test_unknown_names_list_what_there_is():
    fit = cases.by_brute_force(cases.relatives(), cases.RELATIVES_PAR)
    with pytest.raises(OptionError, match=r"no variance component is called 'kim'; there are 'kin', 'block', 'Resid"):
        fit.heritability("kim")
    with pytest.raises(OptionError, match="scale='h2' is not one of 'variance', 'pve'"):
        fit.heritability("kin", scale="h2")
    two = replace(fit.spec, terms=tuple(replace(t, cov_name="A") for t in fit.spec.terms))
    with pytest.raises(OptionError, match="of which term\\? Name one: 'kin', 'block'"):
        cases.by_brute_force(two, cases.RELATIVES_PAR).heritability()
    assert fit.heritability().name == "var(kin)"
