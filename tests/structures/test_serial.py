"""Serial Σ: the contract of a structure, entries shared by lag, and what parameters mean."""

import numpy as np
import pytest

from mixedvc.errors import StructureError
from mixedvc.structures.base import entries_of, sigma_of
from mixedvc.structures.serial import Serial
from mixedvc.testing.structure_checks import structure_checks
from tests.tolerances import IDENTITY

CASES = {
    "ar1": Serial("ar1", (0, 1, 2, 3), (0, 0, 0, 0)),
    "ar1 with gaps": Serial("ar1", (0, 2, 5), (0, 0, 0)),
    "ar1, a variance each": Serial("ar1", (0, 1, 3), (0, 1, 2)),
    "ar1 in two strata": Serial("ar1", (0, 1, 2, 0, 2), (0, 0, 0, 1, 1), ("a", "b"), across=True),
    "ar1 in strata that never meet": Serial("ar1", (0, 1, 2, 0, 3), (0, 0, 0, 1, 1), ("a", "b"), across=False),
    "cs": Serial("cs", (0, 1, 2), (0, 0, 0)),
    "cs in strata": Serial("cs", (0, 1, 2, 0, 1), (0, 0, 0, 1, 1), ("a", "b"), across=False),
}


@pytest.mark.parametrize("name", CASES)
def test_every_case_keeps_the_contract_of_a_structure(name):
    structure_checks(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_linear_parameters_give_back_every_entry(name):
    structure = CASES[name]
    par = np.append(np.linspace(1.0, 2.0, structure.n_par - 1), -0.3)
    Sigma = structure.build(par)
    theta = np.array([Sigma[a, b] for a, b in structure.pairs])
    np.testing.assert_allclose(sigma_of(structure, theta), Sigma, **IDENTITY)
    counted = sum((1 if a == b else 2) for j in range(len(theta)) for a, b in entries_of(structure, j))
    assert counted == np.count_nonzero(Sigma)


def test_entries_are_variances_times_powers_of_the_correlation():
    structure = CASES["ar1 in two strata"]
    Sigma = structure.build(np.array([4.0, 9.0, 0.5]))
    assert Sigma[0, 2] == pytest.approx(4.0 * 0.25)
    assert Sigma[0, 3] == pytest.approx(6.0)  # the same place in two strata
    assert Sigma[1, 4] == pytest.approx(6.0 * 0.5)
    assert CASES["ar1 in strata that never meet"].build(np.array([4.0, 9.0, 0.5]))[0, 3] == 0.0


def test_a_long_series_has_a_linear_parameter_for_each_lag():
    structure = Serial("ar1", tuple(range(200)), (0,) * 200)
    assert len(structure.pairs) == 200
    assert structure.pairs[:3] == ((0, 0), (0, 1), (0, 2))


def test_a_negative_correlation_is_found_again_where_the_shortest_lag_is_even():
    structure = CASES["ar1 with gaps"]
    par = np.array([2.0, -0.6])
    np.testing.assert_allclose(structure.start(structure.build(par)), par, rtol=1e-12, atol=0)


def test_the_least_correlation_of_exchangeable_cells_is_that_of_the_largest_group():
    assert CASES["cs"].bounds()[0][-1] == -0.5
    assert CASES["cs in strata"].bounds()[0][-1] == -0.5


def test_unknown_kinds_and_single_cells_are_refused():
    with pytest.raises(StructureError, match="no serial structure"):
        Serial("ma1", (0, 1), (0, 0))
    with pytest.raises(StructureError, match="at least two cells"):
        Serial("ar1", (0,), (0,))
