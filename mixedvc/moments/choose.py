"""Which second moments are computed: the cheapest exact kind that applies, or randomised ones on request."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..design.spec import ModelSpec
from ..errors import MixedVCError, OptionError
from ..likelihood.choose import Choice
from ..linalg.memory import available_bytes
from .base import Moments, moment_kinds

Trace = Literal["exact", "hutchinson"]


def rank_moments(spec: ModelSpec, *, random: bool = False, covariance: bool = True) -> list[Choice]:
    """Every kind that applies, cheapest first, Cov(q) included or not; those beyond the memory come last."""
    found = []
    for name in moment_kinds.names():
        kind = moment_kinds.get(name)
        if kind.random == random and (cost := kind.cost(spec)) is not None:
            found.append(Choice(name, cost.reason, cost))
    free = available_bytes()
    return sorted(found, key=lambda c: (c.cost.memory > 0.9 * free, c.cost.setup + covariance * c.cost.each))


def choose_moments(
    spec: ModelSpec,
    *,
    trace: Trace = "exact",
    probes: int = 0,
    rng: np.random.Generator | None = None,
    covariance: bool = True,
    name: str | None = None,
) -> Moments:
    """Second moments of a specification; `.name` and `.reason` say which kind and why.

    Parameters
    ----------
    spec : ModelSpec
    trace : "exact" | "hutchinson"
        Traces of products of two kernels exactly, or by random probes.
    probes : int
        Random probes (0: the kind's own number); exact kinds use them where Cov(q) would be too much.
    rng : Generator, optional
        Where probes are drawn from; a fixed seed where None.
    covariance : bool
        Whether Cov(q) will be asked for, or S and q alone.
    name : str, optional
        Use this registered kind.

    Raises
    ------
    MixedVCError
        Where no kind applies, or the named one does not.
    """
    if trace not in ("exact", "hutchinson"):
        raise OptionError(f'trace must be "exact" or "hutchinson", not {trace!r}')
    if name is not None:
        cost = moment_kinds.get(name).cost(spec)
        if cost is None:
            raise MixedVCError(f"the {name!r} kind of second moments does not apply to this model")
        best = Choice(name, cost.reason, cost)
    else:
        best = rank_moments(spec, random=trace == "hutchinson", covariance=covariance)[0]
    moments: Moments = moment_kinds.get(best.name)(spec, probes=probes, rng=rng)
    moments.reason = best.reason
    return moments
