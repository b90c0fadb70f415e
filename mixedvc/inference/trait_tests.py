"""Likelihood-ratio test of a correlation among traits, inside its range and at its edges.

Inside, ρ = ρ0 is one restriction: χ²₁.  At |ρ| = 1, Σ (k×k) of the term is singular along v = (1/σ_1, ∓1/σ_2, 0, …).
Matrices with Σv = 0 for some v of that plane are k − 1 restrictions, vᵀΣv = 0 on the edge of the cone Σ ⪰ 0 and k − 2
others (the correlations of the two with the rest are equal) inside it, so that the law is ½χ²_{k−2} + ½χ²_{k−1}
(Self & Liang 1987); k = 2 gives ½χ²₀ + ½χ²₁.
"""

from __future__ import annotations

import numpy as np

from ..design.spec import ModelSpec
from ..errors import NotProvided, OptionError
from .chibar import Cone, tail
from .traits import TraitMatrix


def reference_law(spec: ModelSpec, matrix: TraitMatrix, j: int, k: int, rho: float) -> Cone:
    """The cone whose law the likelihood ratio of ρ = `rho` has in large samples.

    Raises
    ------
    OptionError
        A value that is no correlation.
    NotProvided
        A correlation that the structure holds, or an edge without a known law.
    """
    if not (isinstance(rho, int | float | np.floating) and -1.0 <= rho <= 1.0):
        raise OptionError(f"rho={rho!r} is no correlation: a number from -1 to 1 is needed")
    names = f"{matrix.traits[j]} and {matrix.traits[k]}"
    if not matrix.entries:
        structure = "phenotypic"
    elif matrix.entries[j][0] != matrix.entries[k][0]:
        structure = "diag"
    else:
        structure = spec.all_terms[matrix.entries[j][0]].structure.name
    if structure == "diag" or not matrix.L[j, k].any():
        raise NotProvided(
            f"{matrix.name!r} holds the correlation of {names} at zero by its structure: fit it with an unstructured "
            "covariance to test it"
        )
    if abs(rho) < 1.0:
        return Cone((), 1)
    size = 2 if not matrix.entries else spec.all_terms[matrix.entries[j][0]].structure.k
    if structure == "us" or (structure == "cs" and size == 2):
        return Cone((1,), size - 2)
    if structure == "cs" and rho > 0:  # one correlation for all pairs, at the end of its range
        return Cone((1,), 0)
    raise NotProvided(
        f"the law of the likelihood ratio of |rho| = 1 in {matrix.name!r} ({structure}) is not known; compare fits "
        "with mixedvc.lrt(..., boot=1000), or test a value inside (-1, 1)"
    )


def p_value(statistic: float, cone: Cone) -> tuple[float, str]:
    """p and the law in words."""
    found = tail(statistic, cone, 1, np.random.default_rng(0))
    return found.p, found.law
