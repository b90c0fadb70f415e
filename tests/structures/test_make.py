"""Structures by name, and what they refuse."""

import pytest

from mixedvc.errors import OptionError, StructureError
from mixedvc.structures import make


def test_an_unknown_structure_names_the_nearest():
    with pytest.raises(OptionError, match="no structure is called 'ar'; did you mean 'ar1'"):
        make("ar", 3)


def test_an_unknown_option_lists_the_known_ones():
    with pytest.raises(StructureError, match=r"cs\(\) has no option 'homogeneous'; it knows: hom"):
        make("cs", 3, (("homogeneous", True),))
    with pytest.raises(StructureError, match="hom is True or False"):
        make("ar1", 3, (("hom", 1),))


@pytest.mark.parametrize("name", ["cs", "ar1"])
def test_a_pattern_needs_two_effects(name):
    with pytest.raises(StructureError, match="at least two effects"):
        make(name, 1)
