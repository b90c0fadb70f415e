"""Further starts where one may have ended on a lower hill: several traits with a singular Σ, and Σ of few factors.

The likelihood of three or more traits may have several maxima on the edge of the cone, and so may that of loadings.
Moments are poor guides there.  Equal parts of uncorrelated traits for every term lean to none of them; Σ of few factors
start a third time from the factors of the unrestricted maximum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import structures
from ..design.spec import ModelSpec
from .charts import Chart, FaceChart, FactorChart, FixedChart, chart_for
from .newton import Ascent, Point

End = tuple[Ascent, Point, bool, str]
Run = Callable[[list[Chart]], End]


def highest_end(run: Run, spec: ModelSpec, charts: list[Chart], *, given: bool) -> End:
    """`run` from `charts`, and from elsewhere where its end may not be the highest; the highest of the ends.

    Parameters
    ----------
    given : bool
        The user said where to start: that is where the iteration starts, and nowhere else.
    """
    kept = run(charts)
    if given or not _doubtful(spec, kept):
        return kept
    spent = kept[0].evaluations
    for more in (_equal_parts, _factors_of_the_free):
        start = more(run, spec, charts)
        if start is None:
            continue
        end = run(start[0])
        spent += end[0].evaluations + start[1]
        if _better(kept, end):
            kept = end
    kept[0].evaluations = spent
    return kept


def _better(kept: End, end: End) -> bool:
    """Whether an end goes before another: one that is an end before one that is none, then the higher."""
    if kept[2] != end[2]:
        return end[2]
    one, two = float(kept[1].loglik), float(end[1].loglik)
    return two > one + 10.0 * kept[0].noise(one)


def _few_factors(chart: Chart) -> bool:
    return isinstance(chart, FactorChart) or (chart.structure.name == "rr" and not isinstance(chart, FixedChart))


def _doubtful(spec: ModelSpec, found: End) -> bool:
    _, at, converged, message = found
    if message.startswith("interrupted"):
        return False
    free = [chart for chart in at.charts if not isinstance(chart, FixedChart)]
    if not free:
        return False
    if any(map(_few_factors, free)):
        return True
    if spec.traits is None or spec.traits.t < 3:
        return False
    return not converged or any(isinstance(c, FaceChart) and c.rank < c.most for c in free)


def _equal_parts(run: Run, spec: ModelSpec, charts: list[Chart]) -> tuple[list[Chart], int]:
    part = 1.0 / sum(not isinstance(chart, FixedChart) for chart in charts)
    pairs = zip(spec.all_terms, charts, strict=True)
    return [c if isinstance(c, FixedChart) else chart_for(t.structure, part * np.eye(t.k)) for t, c in pairs], 0


def _factors_of_the_free(run: Run, spec: ModelSpec, charts: list[Chart]) -> tuple[list[Chart], int] | None:
    """The member near the maximum with any Σ in the place of those of few factors (their θ is laid out alike)."""
    if not any(map(_few_factors, charts)):
        return None
    free: list[Chart] = []
    for chart in charts:
        structure: Any = structures.make("us", chart.structure.k)
        free.append(chart_for(structure, chart.sigma(chart.q)) if _few_factors(chart) else chart)
    ascent, at, _, _ = run(free)
    return [
        chart_for(chart.structure, end.sigma(end.q)) if _few_factors(chart) else end
        for chart, end in zip(charts, at.charts, strict=True)
    ], ascent.evaluations
