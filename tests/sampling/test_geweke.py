"""The conjugate scheme leaves the joint law of parameters and data as it is; a wrong degree of freedom does not."""

from dataclasses import replace

import pytest

from mixedvc.sampling import conjugate_engines

from .geweke_cases import CASES
from .joint_law import joint_differences, worst_z

QUICK = {"inverse gamma, rotated": 500, "expanded": 300, "two traits, missing cells": 150}
LARGEST = 4.5  # standard errors of the worst of some thirty statistics
FOUND = 4.5  # of a planted fault


@pytest.mark.parametrize("name", QUICK)
def test_sweeps_leave_the_joint_law_as_it_is(name):
    assert worst_z(joint_differences(CASES[name](), QUICK[name], 2 if name == "expanded" else 1, seed=1)) < LARGEST


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_sweeps_leave_the_joint_law_of_every_prior_covariance_and_residual(name):
    replicates = 100 if "sliced" in name else 200
    assert worst_z(joint_differences(CASES[name](), replicates, 2 if "expanded" in name else 1, seed=2)) < LARGEST


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inverse gamma, sparse", "half-t of a term and the residual"])
def test_the_successive_conditional_simulator_has_the_joint_law(name):
    assert worst_z(joint_differences(CASES[name](), 100, 1, seed=3, data=4)) < LARGEST


def _counting(monkeypatch, shift):
    for engine in (conjugate_engines.Rows, conjugate_engines.Rotated):
        plain = engine.scatter

        def wrong(self, *args, plain=plain):
            found = plain(self, *args)
            return replace(found, count=found.count + shift)

        monkeypatch.setattr(engine, "scatter", wrong)


@pytest.mark.parametrize("shift", [1, -1])
def test_a_degree_of_freedom_too_many_or_too_few_is_seen(monkeypatch, shift):
    law = CASES["inverse gamma, rotated"]()
    _counting(monkeypatch, shift)
    assert worst_z(joint_differences(law, 700, 1, seed=1)) > FOUND


@pytest.mark.slow
@pytest.mark.parametrize("name", ["inverse gamma", "inverse gamma, sparse", "inverse Wishart", "expanded"])
def test_a_wrong_degree_of_freedom_is_seen_in_every_engine_and_update(monkeypatch, name):
    law = CASES[name]()
    _counting(monkeypatch, 1)
    assert worst_z(joint_differences(law, 600, 2, seed=1)) > FOUND
