"""Point results as plain values and back: the request that binds the model, and the estimate that was found."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import covariances
from ..design.request import Request
from ..design.spec import ModelSpec
from ..errors import MixedVCWarning, StoredModelError
from ..estimators.base import PointEstimate, Sampling, TraceRow, estimators
from ..io.packing import Packer, unpack
from ..io.store import stored_kinds
from ..likelihood.base import Likelihood, likelihoods
from ..likelihood.choose import choose

if TYPE_CHECKING:
    from .point import PointResults

Array = NDArray[Any]
_SAME = 1e-8  # relative difference of a design bound again that counts as another design


class PointKind:
    """Stores `PointResults`."""

    def handles(self, results: Any) -> bool:
        from .point import PointResults

        return isinstance(results, PointResults)

    def pack(self, results: PointResults, packer: Packer) -> dict[str, Any]:
        source = results.spec.source
        if source is None:
            raise StoredModelError("this fit does not carry its data, so it cannot be saved: fit with mixedvc.fit")
        source.check_unchanged()
        return {
            "request": _pack_request(source.request, packer),
            "design": packer.pack(
                {"X": results.spec.X, "y": results.spec.y, "notes": results.spec.notes}, "the design"
            ),
            "estimate": _pack_fields(results.estimate, packer, "the estimate"),
            "estimator": _pack_estimator(results.estimator, packer),
            "information": results.information,
        }

    def unpack(self, content: Mapping[str, Any], arrays: Mapping[str, Array]) -> PointResults:
        from .made import made

        spec = _bound_again(_unpack_request(content["request"], arrays), unpack(content["design"], arrays))
        estimate = _unpack_estimate(unpack(content["estimate"], arrays))
        if len(estimate.theta) != len(spec.index):
            raise StoredModelError("the estimate does not fit the model: it has another number of components")
        likelihood = _likelihood(spec, estimate)
        return made(spec, estimate, likelihood, _estimator(content["estimator"], arrays), content["information"])


stored_kinds.register("point")(PointKind())


def _pack_fields(value: Any, packer: Packer, where: str) -> Any:
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


def _pack_request(request: Request, packer: Packer) -> dict[str, Any]:
    made = {}
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name == "covariances":
            made[field.name] = [_pack_covariance(name, cov, packer) for name, cov in value.items()]
        else:
            made[field.name] = packer.pack(value, field.name)
    return made


def _pack_covariance(name: str, covariance: Any, packer: Packer) -> dict[str, Any]:
    options, arrays = covariance.state()
    packed = {key: packer.pack(array, f"cov[{name!r}]") for key, array in arrays.items()}
    return {"name": name, "kind": covariance.kind, "options": packer.pack(options, f"cov[{name!r}]"), "arrays": packed}


def _unpack_request(packed: Mapping[str, Any], arrays: Mapping[str, Array]) -> Request:
    known = {field.name for field in fields(Request)}
    unknown = sorted(packed.keys() - known)
    if unknown:
        raise StoredModelError(f"the model was stored with options this version does not know: {', '.join(unknown)}")
    values = {key: unpack(item, arrays) for key, item in packed.items() if key != "covariances"}
    made = {item["name"]: _unpack_covariance(item, arrays) for item in packed["covariances"]}
    return Request(**values, covariances=made)


def _unpack_covariance(packed: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    if packed["kind"] not in covariances.names():
        raise StoredModelError(
            f"cov[{packed['name']!r}] is of the kind {packed['kind']!r}, which is not installed: "
            f"there are {', '.join(covariances.names())}"
        )
    own = {key: unpack(item, arrays) for key, item in packed["arrays"].items()}
    return covariances.get(packed["kind"]).from_state(unpack(packed["options"], arrays), own)


def _bound_again(request: Request, design: Mapping[str, Any]) -> ModelSpec:
    """The specification of a request, with the notes and the response of the fit (a refit has its own response)."""
    from ..design.bind import bind_request

    with warnings.catch_warnings():  # what there was to warn of was said when the model was fitted
        warnings.simplefilter("ignore", MixedVCWarning)
        spec = bind_request(request)
    X, y = design["X"], design["y"]
    if X.shape != spec.X.shape or y.shape != spec.y.shape or not _close(X, spec.X):
        raise StoredModelError(
            "the stored data and formula do not give the design that was fitted: the versions of the packages behind "
            "it are too far apart"
        )
    return replace(spec, y=y.copy(), notes=design["notes"])


def _close(stored: Array, made: Array) -> bool:
    size = np.abs(stored).max(axis=0, initial=0.0)
    return bool((np.abs(stored - made) <= _SAME * size).all())


def _unpack_estimate(values: dict[str, Any]) -> PointEstimate:
    columns = values.pop("trace")
    rows = zip(*(columns[field.name] for field in fields(TraceRow)), strict=True)
    trace = tuple(
        TraceRow(int(i), np.array(theta), float(ll), float(d), float(s), bool(on)) for i, theta, ll, d, s, on in rows
    )
    sampling = values.pop("sampling", None)
    return PointEstimate(**values, trace=trace, sampling=None if sampling is None else Sampling(**sampling))


def _likelihood(spec: ModelSpec, estimate: PointEstimate) -> Likelihood | None:
    """The likelihood that ran, or (where it is gone) the one this version chooses: all give the same numbers."""
    if estimate.reml is None and not estimate.likelihood:
        return None
    name = estimate.likelihood if estimate.likelihood in likelihoods.names() else None
    if name is not None and likelihoods.get(name).cost(spec) is None:
        name = None
    return choose(spec, reml=bool(estimate.reml), name=name)[0]


def _pack_estimator(estimator: Any, packer: Packer) -> Any:
    if estimator is None:
        return None
    options = {field.name: getattr(estimator, field.name) for field in fields(estimator) if field.init}
    return {"name": estimator.name, "options": packer.pack(options, f"options of the estimator {estimator.name!r}")}


def _estimator(packed: Any, arrays: Mapping[str, Array]) -> Any:
    """The estimator with its options; None where no such method is installed (only refitting needs it)."""
    if packed is None or packed["name"] not in estimators.names():
        return None
    return estimators.get(packed["name"])(**unpack(packed["options"], arrays))
