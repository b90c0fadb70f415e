"""Point results as plain values and back: the specification, and the estimate that was found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import StoredModelError
from ..estimators.base import PointEstimate, PosteriorEstimate, Sampling, TraceRow
from ..estimators.stored import pack_estimator, pack_spec, unpack_estimator, unpack_spec
from ..io.packing import Packer, unpack
from ..io.store import stored_kinds
from ..likelihood.base import Likelihood, likelihoods
from ..likelihood.choose import choose

if TYPE_CHECKING:
    from .point import PointResults

Array = NDArray[Any]


class PointKind:
    """Stores `PointResults`."""

    def handles(self, results: Any) -> bool:
        from .point import PointResults

        return isinstance(results, PointResults) and not isinstance(results.estimate, PosteriorEstimate)

    def pack(self, results: PointResults, packer: Packer) -> dict[str, Any]:
        return {
            **pack_spec(results.spec, packer),
            "estimate": pack_fields(results.estimate, packer, "the estimate"),
            "estimator": pack_estimator(results.estimator, packer),
            "information": results.information,
        }

    def unpack(self, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> PointResults:
        from .made import made

        spec = unpack_spec(content, arrays)
        estimate = _unpack_estimate(unpack(content["estimate"], arrays))
        if len(estimate.theta) != len(spec.index):
            raise StoredModelError("the estimate does not fit the model: it has another number of components")
        likelihood = likelihood_of(spec, estimate)
        return made(spec, estimate, likelihood, unpack_estimator(content["estimator"], arrays), content["information"])


stored_kinds.register("point")(PointKind())


def pack_fields(value: Any, packer: Packer, where: str) -> Any:
    """The fields of a dataclass as a dictionary; rows of a trace as tuples."""
    made = {}
    for field in fields(value):
        item = getattr(value, field.name)
        if field.name == "trace":
            item = _trace_columns(item)
        if isinstance(item, Sampling):
            item = {part.name: getattr(item, part.name) for part in fields(Sampling)}
        made[field.name] = item
    return packer.pack(made, where)


def _trace_columns(trace: tuple[TraceRow, ...]) -> dict[str, Array]:
    """A trace as one array a column, so that every number keeps its bits."""
    return {field.name: np.array([getattr(row, field.name) for row in trace]) for field in fields(TraceRow)}


def _unpack_estimate(values: dict[str, Any]) -> PointEstimate:
    columns = values.pop("trace")
    rows = zip(*(columns[field.name] for field in fields(TraceRow)), strict=True)
    trace = tuple(
        TraceRow(int(i), np.array(theta), float(ll), float(d), float(s), bool(on)) for i, theta, ll, d, s, on in rows
    )
    sampling = values.pop("sampling", None)
    return PointEstimate(**values, trace=trace, sampling=None if sampling is None else Sampling(**sampling))


def likelihood_of(spec: ModelSpec, estimate: PointEstimate) -> Likelihood | None:
    """The likelihood that ran, or (where it is gone) the one this version chooses: all give the same numbers."""
    if estimate.reml is None and not estimate.likelihood:
        return None
    name = estimate.likelihood if estimate.likelihood in likelihoods.names() else None
    if name is not None and likelihoods.get(name).cost(spec) is None:
        name = None
    return choose(spec, reml=bool(estimate.reml), name=name)[0]
