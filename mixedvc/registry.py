"""Names to things: what is registered here is found by every layer and by the conformance suite."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from .errors import OptionError, warn

T = TypeVar("T")


class Registry(Generic[T]):
    """A table of named plug-ins of one kind, filled by our modules and by entry points.

    What is registered by our modules keeps its name: a package that brings another thing of that name, or that cannot
    be imported, is left out with a warning, and everything else works.

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
        self._aliases: dict[str, str] = {}  # alias → name
        self._broken: dict[str, str] = {}  # name → which package, and why it is not there
        self._outside_loaded = False

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """Decorator that files a thing under `name`; `get` finds it by `aliases` too, `names` does not list them."""

        def file(thing: T) -> T:
            for key in (name, *aliases):
                if self._has(key):
                    raise OptionError(f"a second {self.kind} called {key!r} cannot be registered")
            self._things[name] = thing
            self._aliases.update(dict.fromkeys(aliases, name))
            return thing

        return file

    def get(self, name: str) -> T:
        """The thing called `name`; an unknown name lists the known ones, nearest first."""
        if not isinstance(name, str):
            raise OptionError(f"{self.kind}={name!r:.60}: the name of one is needed, as a string")
        if not self._has(name):
            self._load_outside()
        if not self._has(name):
            broken = f": {self._broken[name]}" if name in self._broken else self._hint(name)
            raise OptionError(f"no {self.kind} is called {name!r}{broken}")
        return self._things[self._aliases.get(name, name)]

    def names(self) -> list[str]:
        """All registered names, ours and those of installed packages, each thing once (without its aliases)."""
        self._load_outside()
        return list(self._things)

    def __contains__(self, name: object) -> bool:
        if not self._has(name):
            self._load_outside()
        return self._has(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def _has(self, name: object) -> bool:
        return name in self._things or name in self._aliases

    def _hint(self, name: str) -> str:
        near = difflib.get_close_matches(str(name), [*self._things, *self._aliases], n=1)
        meant = f"; did you mean {near[0]!r}?" if near else "."
        return f"{meant} Registered: {', '.join(sorted(self._things))}"

    def _load_outside(self) -> None:
        if self._outside_loaded:
            return
        self._outside_loaded = True
        brought: dict[str, str] = {}
        for point in entry_points(group=self.group):
            package = _package(point)
            if self._has(point.name):
                owner = brought.get(point.name, "mixedvc")
                what = f"package {package!r} brings a {self.kind} called {point.name!r}"
                warn(f"{what}: ignored, that of {owner!r} is used")
                continue
            self._load_one(point, package)
            brought[point.name] = package

    def _load_one(self, point: EntryPoint, package: str) -> None:
        """File what an entry point names; whatever goes wrong in somebody else's module must not break ours."""
        try:
            thing = point.load()
            if self._things.get(point.name) is not thing:  # a module may have registered it by decorator already
                self.register(point.name)(thing)
        except Exception as error:
            why = f"package {package!r} brings it as {point.value!r}, which failed: {type(error).__name__}: {error}"
            self._broken[point.name] = why
            warn(f"the {self.kind} {point.name!r} is not available: {why}")


def _package(point: EntryPoint) -> str:
    return str(point.dist.name) if point.dist is not None else point.module
