"""Every registered kind of second moments equals brute force on every named problem it applies to."""

import pytest
from hypothesis import given

from mixedvc.moments import moment_kinds
from mixedvc.testing import problems
from mixedvc.testing.checks import moment_checks
from tests.conformance.test_random_designs import PROFILE, design, random_spec

NAMES = moment_kinds.names()


@pytest.mark.parametrize("problem", problems.names())
@pytest.mark.parametrize("name", NAMES)
def test_every_quantity_equals_brute_force(name, problem):
    done = moment_checks(moment_kinds.get(name), [problems.bound(problem)])
    if not done:
        pytest.skip(f"{name} says that it does not apply to {problem}")
    assert len(done) > 15


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_applies_to_some_problem(name):
    kind = moment_kinds.get(name)
    assert any(kind.cost(problems.bound(problem)) is not None for problem in problems.names())


@pytest.mark.parametrize("name", NAMES)
def test_a_kind_equals_brute_force_on_random_designs(name):
    kind = moment_kinds.get(name)
    applied = []

    @PROFILE
    @given(design)
    def check(draw):
        applied.append(len(moment_checks(kind, [random_spec(draw)], seed=draw["seed"])))

    check()
    assert any(applied), f"{name} applied to none of the random designs"
