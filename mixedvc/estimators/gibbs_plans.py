"""Which scheme samples a posterior, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import OptionError
from ..linalg.threads import blas_threads
from ..sampling.collapsed import collapsed_is_cheap, plan_collapsed
from ..sampling.conjugate import plan_conjugate
from ..sampling.held import HeldPlan
from ..sampling.shares import plan_shares
from ..sampling.target import Target

Float = NDArray[np.float64]
PROPOSALS = ("independence", "slice")
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
        return plan_shares(target, thin), "the prior is on a grid of variance shares"
    if scheme == "shares":
        raise OptionError("scheme='shares' enumerates a discrete prior: give priors=VarianceShare(…)")
    if target.d == 0:
        return HeldPlan(), ""
    return _continuous(target, start, scheme, proposal, thin, seed)


def _continuous(
    target: Target, start: Callable[[], Float], scheme: str, proposal: str | None, thin: int, seed: int
) -> tuple[Any, str]:
    scheme, why = _scheme(target, scheme, proposal)
    begin = start()
    with blas_threads(1):  # as the chains: threads that wait for each other cost more than small matrices
        if scheme == "collapsed":
            return plan_collapsed(target, begin, thin, seed=seed, proposal=proposal), why
        return plan_conjugate(target, begin, thin), why


def _scheme(target: Target, scheme: str, proposal: str | None) -> tuple[str, str]:
    """The collapsed or the conjugate scheme, and the reason in words."""
    closed = _without_density(target)
    if closed:
        if scheme == "collapsed" or proposal is not None:
            raise OptionError(f"scheme='collapsed' needs the density of every prior: {closed}")
        return "conjugate", "a prior has no density that can be evaluated"
    if scheme != "auto":
        return scheme, "it was asked for"
    if proposal is not None or collapsed_is_cheap(target):
        return "collapsed", "few variances, a likelihood quickly evaluated"
    return "conjugate", "many variances, or a likelihood slow to evaluate"


def _without_density(target: Target) -> str:
    """Why a prior has no density in closed form; empty where all have."""
    return next((words for bound in target.priors.terms if (words := getattr(bound, "closed", ""))), "")
