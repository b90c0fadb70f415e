"""Names to things: what is registered here is found by every layer and by the conformance suite."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from .errors import OptionError

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named plug-ins of one kind, filled by our modules and by entry points.

    Parameters
    ----------
    kind : str
        Singular noun for messages, e.g. ``"estimator"``.
    group : str
        Entry-point group that outside packages use, e.g. ``"mixedvc.estimators"``.
    """

    def __init__(self, kind: str, group: str):
        self.kind, self.group = kind, group
        self._things: dict[str, T] = {}
        self._outside_loaded = False

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """Decorator that files a thing under `name` (and `aliases`)."""

        def file(thing: T) -> T:
            for key in (name, *aliases):
                if key in self._things:
                    raise OptionError(f"a second {self.kind} called {key!r} cannot be registered")
                self._things[key] = thing
            return thing

        return file

    def get(self, name: str) -> T:
        """The thing called `name`; an unknown name lists the known ones, nearest first."""
        if name not in self._things:
            self._load_outside()
        try:
            return self._things[name]
        except KeyError:
            raise OptionError(f"no {self.kind} is called {name!r}{self._hint(name)}") from None

    def names(self) -> list[str]:
        """All registered names, ours and those of installed packages."""
        self._load_outside()
        return list(self._things)

    def __contains__(self, name: object) -> bool:
        return name in self._things or name in self.names()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(str(name), list(self._things), n=1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        return f"{meant} Registered: {', '.join(sorted(self._things))}"

    def _load_outside(self) -> None:
        if self._outside_loaded:
            return
        self._outside_loaded = True
        for point in entry_points(group=self.group):
            if point.name not in self._things:
                self._things[point.name] = point.load()
