"""Which trait each effect of a random term belongs to, in a model of several traits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

INTERCEPT = ("Intercept", "(Intercept)")


def split_effect(name: str, traits: Sequence[str]) -> tuple[int, str]:
    """Trait (its place; −1 where none is named) and effect of ``"y1"`` (an intercept) or ``"y1: Days"``."""
    for trait in sorted(traits, key=len, reverse=True):
        if name == trait:
            return list(traits).index(trait), INTERCEPT[0]
        if name.startswith(f"{trait}: "):
            return list(traits).index(trait), name[len(trait) + 2 :]
    return -1, name


def traits_of(effects: Sequence[str], traits: Sequence[str]) -> NDArray[np.intp]:
    """(k,) place of the trait of each effect."""
    return np.array([split_effect(name, traits)[0] for name in effects], dtype=np.intp)
