"""Which likelihood evaluates a specification: the cheapest that applies, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..design.spec import ModelSpec
from ..errors import MixedVCError
from ..linalg.memory import available_bytes
from .base import Likelihood, likelihoods

Purpose = Literal["fit", "iterate", "many", "sample"]
_EVALUATIONS = {"fit": 8.0, "iterate": 100.0, "many": 2000.0, "sample": 10_000.0}


@dataclass(frozen=True)
class Cost:
    """Rough price of a likelihood: flops once, flops for each θ, bytes, and the reason in words.

    `each` is the price of an evaluation with its derivatives; `loglik`, where it differs much, that of the
    log-likelihood and β̂ alone of one of many θ (`marginals`), or a function that finds it when it is asked for.
    """

    setup: float
    each: float
    memory: float
    reason: str
    loglik: float | Callable[[], float | None] | None = None

    def total(self, purpose: Purpose, evaluations: float | None = None) -> float:
        """Flops of a whole run; of `evaluations` θ where their number is known."""
        each = self.each
        if purpose == "sample":
            found = self.loglik() if callable(self.loglik) else self.loglik
            each = self.each if found is None else found
        return self.setup + (_EVALUATIONS[purpose] if evaluations is None else evaluations) * each


def cost_of(
    *,
    setup: float,
    each: float,
    memory: float,
    reason: str,
    loglik: float | Callable[[], float | None] | None = None,
) -> Cost:
    """A Cost with a floor for the interpreter's own work (3e5 flops ≈ a few numpy calls)."""
    return Cost(setup + 3e5, each + 3e5, memory, reason, loglik)


@dataclass(frozen=True)
class Choice:
    """What was chosen and why; `likelihood` builds it."""

    name: str
    reason: str
    cost: Cost


def rank_choices(spec: ModelSpec, purpose: Purpose = "fit", evaluations: float | None = None) -> list[Choice]:
    """Every likelihood that applies, cheapest first; those that would not fit in memory come last."""
    found = []
    for name in likelihoods.names():
        cost = likelihoods.get(name).cost(spec)
        if cost is not None:
            found.append(Choice(name, cost.reason, cost))
    free = available_bytes()
    return sorted(found, key=lambda c: (c.cost.memory > 0.9 * free, c.cost.total(purpose, evaluations)))


def choose(
    spec: ModelSpec,
    reml: bool = True,
    purpose: Purpose = "fit",
    name: str | None = None,
    evaluations: float | None = None,
) -> tuple[Likelihood, str]:
    """The likelihood for a specification, and the reason in words.

    Parameters
    ----------
    spec : ModelSpec
    reml : bool
    purpose : "fit" | "iterate" | "many" | "sample"
        One optimum by a few Newton steps or by many cheap ones (EM, MM), many responses or θ on the same kernels
        (refits, profiles, bootstrap), or the log-likelihood alone at thousands of θ (`marginals`).
    name : str, optional
        Use this registered likelihood.
    evaluations : float, optional
        How many θ will be asked for; a typical number for the purpose by default.

    Raises
    ------
    MixedVCError
        Where no likelihood applies, or the named one does not.
    MemoryLimitError
        Where not even the cheapest fits in memory (the likelihood asks before it allocates).
    """
    if name is not None:
        kind = likelihoods.get(name)
        cost = kind.cost(spec)
        if cost is None:
            raise MixedVCError(f"the {name!r} likelihood does not apply to this model")
        return kind(spec, reml=reml), cost.reason
    best = rank_choices(spec, purpose, evaluations)[0]  # dense applies to every model
    return likelihoods.get(best.name)(spec, reml=reml), best.reason
