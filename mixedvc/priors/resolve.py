"""Priors by the names of terms, as users write them, to one bound prior for each term of a specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from .base import BoundPrior
from .inverse_wishart import InverseWishart

Float = NDArray[np.float64]


@dataclass(frozen=True)
class FixedPrior:
    """Normal prior of the fixed effects: flat where `precision` has a zero row.

    Attributes
    ----------
    mean : (p,)
    precision : (p, p)
    """

    mean: Float
    precision: Float


@dataclass(frozen=True)
class ModelPriors:
    """Priors of one specification.

    Attributes
    ----------
    terms : tuple of BoundPrior
        One for each of ``spec.all_terms``, the residual last.
    fixed : FixedPrior or None
        None where every fixed effect has a flat prior.
    shares : Any
        A bound `VarianceShare`, in whose place the priors of the terms are not used; else None.
    given : tuple of str
        Names under which the user gave a prior; the others have the default.
    """

    terms: tuple[BoundPrior, ...]
    fixed: FixedPrior | None = None
    shares: Any = None
    given: tuple[str, ...] = ()


def resolve(spec: ModelSpec, given: Mapping[str, Any] | None) -> ModelPriors:
    """One bound prior for each term.

    Parameters
    ----------
    spec : ModelSpec
    given : mapping, optional
        Priors by the term's name, ``"residual"`` and ``"fixed"``; a single prior stands for all terms.

    Raises
    ------
    OptionError
        An unknown name, a prior that does not fit its term, an improper prior of what the data do not identify.
    """
    asked = dict(given or {})
    names = [term.name for term in spec.terms] + ["residual"]
    unknown = [name for name in asked if name not in (*names, "fixed")]
    if unknown:
        raise OptionError(f"priors: no term is called {unknown[0]!r}; there are {', '.join(map(repr, names))}")
    terms = tuple(
        asked.get(name, InverseWishart()).bind(term.structure, name)
        for name, term in zip(names, spec.all_terms, strict=True)
    )
    return ModelPriors(terms, given=tuple(asked))
