"""A second start where one may have ended on a lower hill: several traits with a singular Σ, and Σ of few factors.

The likelihood of three or more traits may have several maxima on the edge of the cone, and so may that of loadings.
Moments are poor guides there.  Equal parts of uncorrelated traits for every term lean to none of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..design.spec import ModelSpec
from .charts import Chart, FaceChart, FactorChart, FixedChart, chart_for
from .newton import Ascent, Point

Run = Callable[[list[Chart]], tuple[Ascent, Point, bool, str]]


def best_of_two(run: Run, spec: ModelSpec, charts: list[Chart], *, given: bool) -> tuple[Ascent, Point, bool, str]:
    """`run` from `charts`, and from equal parts where its end may not be the highest; the higher of the two.

    Parameters
    ----------
    given : bool
        The user said where to start: that is where the iteration starts, and nowhere else.
    """
    first = run(charts)
    if given or not _doubtful(spec, first):
        return first
    second = run(_equal_parts(spec, charts))
    one, two = (float(found[1].loglik) for found in (first, second))
    higher = two > one + 10.0 * first[0].noise(one)
    kept, other = (second, first) if _better(first, second, higher) else (first, second)
    kept[0].evaluations += other[0].evaluations
    return kept


def _better(first: tuple[Ascent, Point, bool, str], second: tuple[Ascent, Point, bool, str], higher: bool) -> bool:
    """Whether the second run is to be kept: an end before one that is none, then the higher."""
    return second[2] if first[2] != second[2] else higher


def _doubtful(spec: ModelSpec, found: tuple[Ascent, Point, bool, str]) -> bool:
    _, at, converged, message = found
    if message.startswith("interrupted"):
        return False
    free = [chart for chart in at.charts if not isinstance(chart, FixedChart)]
    if not free:
        return False
    if any(isinstance(chart, FactorChart) or chart.structure.name == "rr" for chart in free):
        return True
    if spec.traits is None or spec.traits.t < 3:
        return False
    return not converged or any(isinstance(c, FaceChart) and c.rank < c.most for c in free)


def _equal_parts(spec: ModelSpec, charts: list[Chart]) -> list[Chart]:
    part = 1.0 / sum(not isinstance(chart, FixedChart) for chart in charts)
    pairs = zip(spec.all_terms, charts, strict=True)
    return [c if isinstance(c, FixedChart) else chart_for(t.structure, part * np.eye(t.k)) for t, c in pairs]
