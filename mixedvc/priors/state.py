"""Priors as plain values that JSON can hold, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from ..errors import OptionError, StoredModelError
from .base import priors


def to_state(prior: Any) -> Any:
    """A prior, or a mapping of them by name, as dicts, lists and numbers.

    Raises
    ------
    OptionError
        A callable among the fields (weights of `VarianceShare`), which cannot be stored; `ModelPriors.given` has the
        weights it returned.
    """
    if prior is None or isinstance(prior, (bool, int, float, str)):
        return prior
    if is_dataclass(prior) and not isinstance(prior, type) and hasattr(prior, "kind"):
        return {"kind": prior.kind, **{f.name: to_state(getattr(prior, f.name)) for f in fields(prior)}}
    if isinstance(prior, Mapping):
        return {"by": [[to_state(key), to_state(value)] for key, value in prior.items()]}
    if isinstance(prior, (list, tuple)):
        return [to_state(value) for value in prior]
    raise OptionError(f"a prior with {prior!r:.60} cannot be stored")


def from_state(state: Any) -> Any:
    """The inverse of `to_state`; lists come back as tuples."""
    if isinstance(state, list):
        return tuple(from_state(value) for value in state)
    if not isinstance(state, dict):
        return state
    if "by" in state:
        return {from_state(key): from_state(value) for key, value in state["by"]}
    values = {name: from_state(value) for name, value in state.items() if name != "kind"}
    if "kind" not in state or state["kind"] not in priors:
        raise StoredModelError(f"a stored prior of the unknown kind {state.get('kind')!r}")
    return priors.get(state["kind"])(**values)
