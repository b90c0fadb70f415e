"""Limits that need refits: which module makes them, imported when they are first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def limits_by(interval: str | None) -> Any:
    """The module with `fixed_limits`, `variance_limits`, `correlation_limits` of an interval; None for the others."""
    if interval not in ("profile", "boot"):
        return None
    return import_module({"profile": ".profile", "boot": ".bootstrap"}[interval], __package__)
