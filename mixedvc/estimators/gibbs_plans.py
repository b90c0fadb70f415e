"""Which scheme samples a posterior, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..sampling.held import HeldPlan
from ..sampling.target import Target

Float = NDArray[np.float64]
SCHEMES = ("auto", "collapsed", "conjugate", "shares")


def chosen_plan(
    target: Target, start: Callable[[], Float], scheme: str, proposal: str | None, thin: int, seed: int
) -> tuple[Any, str]:
    """The plan, and the reason in words.

    Parameters
    ----------
    start : callable
        Gives parameters (n_par,) to start from; asked where the plan needs some.

    Raises
    ------
    OptionError
        A scheme that the priors do not allow.
    """
    if target.priors.shares is not None:
        if scheme not in ("auto", "shares"):
            raise OptionError(f"scheme={scheme!r}: a VarianceShare prior is discrete; scheme='shares' enumerates it")
        from ..sampling.shares import plan_shares

        return plan_shares(target, thin), "the prior is on a grid of variance shares"
    if scheme == "shares":
        raise OptionError("scheme='shares' enumerates a discrete prior: give priors=VarianceShare(…)")
    if target.d == 0:
        return HeldPlan(), ""
    return _continuous(target, start, scheme, proposal, thin, seed)


def _continuous(
    target: Target, start: Callable[[], Float], scheme: str, proposal: str | None, thin: int, seed: int
) -> tuple[Any, str]:
    from ..sampling.collapsed import collapsed_is_cheap, plan_collapsed

    why = "it was asked for"
    if scheme == "auto":
        cheap = proposal is not None or collapsed_is_cheap(target)
        scheme, why = ("collapsed", "few variances") if cheap else ("conjugate", "many variances, or dear to evaluate")
    if scheme == "collapsed":
        return plan_collapsed(target, start(), thin, seed=seed, proposal=proposal), why
    from ..sampling.conjugate import plan_conjugate

    return plan_conjugate(target, start(), thin), why
