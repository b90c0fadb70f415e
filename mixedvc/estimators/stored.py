"""A specification and an estimator as plain values and back: the request that binds the model, and the options."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..covariance.base import covariances
from ..design.request import Request
from ..design.spec import ModelSpec
from ..errors import MixedVCWarning, StoredModelError
from ..io.packing import Packer, unpack
from .base import estimators

Array = NDArray[Any]
_SAME = 1e-8  # relative difference of a design bound again that counts as another design


def pack_spec(spec: ModelSpec, packer: Packer) -> dict[str, Any]:
    """What binds the specification again, and the design that this must give.

    Raises
    ------
    StoredModelError
        A specification put together by hand: it does not carry its data.
    """
    if spec.source is None:
        raise StoredModelError("this fit does not carry its data, so it cannot be saved: fit with mixedvc.fit")
    spec.source.check_unchanged()
    return {
        "request": _pack_request(spec.source.request, packer),
        "design": packer.pack({"X": spec.X, "y": spec.y, "notes": spec.notes}, "the design"),
    }


def unpack_spec(content: Mapping[str, Any], arrays: Mapping[str, Array]) -> ModelSpec:
    """The specification bound again from what `pack_spec` made."""
    return _bound_again(_unpack_request(content["request"], arrays), unpack(content["design"], arrays))


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


def pack_estimator(estimator: Any, packer: Packer) -> Any:
    """Name and options; an estimator whose options are not all plain values says what they are by `to_plain`."""
    if estimator is None:
        return None
    options = {field.name: getattr(estimator, field.name) for field in fields(estimator) if field.init}
    if hasattr(estimator, "to_plain"):
        options = estimator.to_plain()
    return {"name": estimator.name, "options": packer.pack(options, f"options of the estimator {estimator.name!r}")}


def unpack_estimator(packed: Any, arrays: Mapping[str, Array]) -> Any:
    """The estimator with its options; None where no such method is installed (only refitting needs it)."""
    if packed is None or packed["name"] not in estimators.names():
        return None
    kind, options = estimators.get(packed["name"]), unpack(packed["options"], arrays)
    return kind.from_plain(options) if hasattr(kind, "from_plain") else kind(**options)
