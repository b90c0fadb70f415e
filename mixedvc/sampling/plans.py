"""Plans as plain values and back: the fields of a fixed list of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from ..errors import StoredModelError
from ..io.npy import Array
from ..io.packing import Packer, unpack
from .collapsed import CollapsedPlan
from .conjugate import ConjugatePlan
from .held import HeldPlan
from .shares import SharesPlan


def pack_plan(plan: Any, packer: Packer) -> dict[str, Any]:
    """Name and fields; arrays go to `packer`."""
    values = {field.name: getattr(plan, field.name) for field in fields(plan) if field.init}
    return {"name": plan.name, "fields": packer.pack(values, f"the plan of scheme {plan.name!r}")}


def unpack_plan(packed: Mapping[str, Any], arrays: Mapping[str, Array]) -> Any:
    """The plan from what `pack_plan` made.

    Raises
    ------
    StoredModelError
        A scheme or a field that this version does not have.
    """
    name, values = packed["name"], unpack(packed["fields"], arrays)
    kinds = {kind.name: kind for kind in _plans()}
    if name not in kinds:
        raise StoredModelError(f"the draws come from the scheme {name!r}; this version has {', '.join(sorted(kinds))}")
    unknown = sorted(values.keys() - {field.name for field in fields(kinds[name]) if field.init})
    if unknown:
        raise StoredModelError(f"the scheme {name!r} was stored with fields this version does not have: {unknown}")
    return kinds[name](**values)


def _plans() -> tuple[Any, ...]:
    return (CollapsedPlan, ConjugatePlan, HeldPlan, SharesPlan)
