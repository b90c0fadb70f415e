"""What a posterior does not have: the name refused, with what takes its place."""

from __future__ import annotations

from typing import Any

from ..errors import NotProvided


class Refused:
    """A name that raises NotProvided when it is asked for."""

    def __init__(self, instead: str):
        self.instead = instead
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        raise NotProvided(f"a posterior has no {self.name}: {self.instead}")


def refused(instead: str) -> Any:
    """`Refused`, of any type: it stands in the place of methods and properties alike."""
    return Refused(instead)
