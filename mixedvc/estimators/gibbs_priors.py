"""Components that are held, as priors: `fixed_varcomp` says in all methods what `Fixed` says in a Bayesian one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..priors.held import Fixed
from ..priors.shares import VarianceShare
from .given import given_parameters


def with_held(spec: ModelSpec, priors: Any, fixed_varcomp: Mapping[str, Any] | None) -> Any:
    """The priors as given, with `Fixed` for the components that `fixed_varcomp` names.

    Raises
    ------
    OptionError
        A component that has a prior as well, a value that does not fit, a prior on the shares of all components.
    """
    if fixed_varcomp is None:
        return priors
    given_parameters(spec, fixed_varcomp, "fixed_varcomp")  # says what is wrong with a name or a value
    held = {"residual" if name == "Residual" else name: Fixed(value) for name, value in fixed_varcomp.items()}
    if isinstance(priors, VarianceShare):
        raise OptionError(
            "fixed_varcomp holds components, and priors=VarianceShare(…) shares out the variance of all of them: leave "
            "one of the two out"
        )
    if priors is None or not held:
        return held or priors
    if not isinstance(priors, Mapping):
        names = [term.name for term in spec.terms] + ["residual"]
        priors = {name: priors for name in names if name not in held}
    twice = [name for name in held if name in priors]
    if twice:
        raise OptionError(f"{twice[0]!r} is held by fixed_varcomp and has a prior as well: leave one of the two out")
    return {**priors, **held}
