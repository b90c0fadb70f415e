"""Every registered structure keeps the contract, for several numbers of effects and every option."""

import numpy as np
import pytest

from mixedvc import structures
from mixedvc.errors import StructureError
from mixedvc.testing.checks import structure_checks
from tests.tolerances import IDENTITY

OPTIONS = {"cs": [(), (("hom", True),)], "ar1": [(), (("hom", False),)], "rr": [(), (("factors", 2),)]}
LEAST = {"fa": 3}  # effects: with fewer a factor has more parameters than an unstructured covariance
SINGULAR = {"rr"}


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("name", structures.structures.names())
def test_every_structure_keeps_the_contract(name, k):
    k = max(k, LEAST.get(name, 1))
    for options in OPTIONS.get(name, [()]):
        structure_checks(structures.make(name, k, options))


@pytest.mark.parametrize("name", ["us", "diag"])
def test_a_structure_of_one_effect_keeps_the_contract(name):
    structure_checks(structures.make(name, 1))


@pytest.mark.parametrize("name", ["cs", "ar1"])
def test_a_correlation_of_one_effect_is_refused(name):
    with pytest.raises(StructureError, match="at least two effects"):
        structures.make(name, 1)


@pytest.mark.parametrize("name", [name for name in structures.structures.names() if name not in SINGULAR])
def test_every_structure_can_reach_the_identity(name):
    structure = structures.make(name, 3)
    np.testing.assert_allclose(structure.build(structure.start(np.eye(3))), np.eye(3), **IDENTITY)
