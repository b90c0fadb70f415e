"""Options that the moment estimators share, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from ..errors import OptionError

SE = ("sandwich", "bootstrap", "jackknife", "none")


class MomentOptions(Protocol):
    """The fields that `HE` and `REHE` have in common."""

    @property
    def name(self) -> str: ...
    @property
    def projection(self) -> bool: ...
    @property
    def entries(self) -> str: ...
    @property
    def se(self) -> str: ...
    @property
    def trace(self) -> str: ...
    @property
    def probes(self) -> int: ...
    @property
    def n_boot(self) -> int: ...
    @property
    def n_blocks(self) -> int: ...
    @property
    def fixed(self) -> str: ...
    @property
    def outer(self) -> Any: ...
    @property
    def fixed_varcomp(self) -> Mapping[str, Any] | None: ...


def one_of(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a word that is not among `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise OptionError(f"{name}={value!r:.60} is not one of {', '.join(map(repr, allowed))}")


def whole(name: str, value: object, least: int, why: str) -> None:
    """Refuse what is no whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise OptionError(f"{name}={value!r:.60}: a whole number of at least {least} is needed, {why}")


def yes_or_no(name: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"{name}={value!r:.60}: True or False is needed")


def check_options(o: MomentOptions) -> None:
    """Every option by itself, and those that exclude each other."""
    yes_or_no("projection", o.projection)
    one_of("entries", o.entries, ("all", "upper"))
    one_of("se", o.se, ("auto", *SE))
    one_of("trace", o.trace, ("exact", "hutchinson"))
    one_of("fixed", o.fixed, ("gls", "ols"))
    whole("probes", o.probes, 2, "so that their error can be told")
    whole("n_boot", o.n_boot, 20, "for a standard error that means something")
    whole("n_blocks", o.n_blocks, 3, "so that leaving one out leaves most")
    if o.outer is not None and o.se in ("sandwich", "bootstrap"):
        raise OptionError(
            f"se={o.se!r} takes the response to be Gaussian, and outer= is no outer product of one Gaussian response "
            "(its rank is above one): use se='jackknife', or se='none'"
        )
    if o.outer is not None and o.fixed == "ols":
        raise OptionError("fixed='ols' regresses the response, and outer= takes its place: leave fixed= out")
    if o.trace == "hutchinson" and wanted_se(o) == "jackknife":
        raise OptionError(
            "se='jackknife' compares fits of nearly the same rows, whose differences the error of trace='hutchinson' "
            "would drown: use trace='exact', or another se="
        )


def wanted_se(o: MomentOptions) -> str:
    """The kind of standard errors; "auto" is the sandwich, the jackknife for an outer product."""
    if o.se != "auto":
        return o.se
    return "sandwich" if o.outer is None else "jackknife"
