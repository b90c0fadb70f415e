"""Posterior summaries of rows, a slab of rows at a time, and new responses of the rows of the fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..errors import OptionError
from ..likelihood.base import Likelihood
from ..sampling.base import Draws
from ..sampling.effects import draws_of_effects
from ..sampling.effects_sources import effect_source, residual_draw, root_of
from .posterior import one_by_one
from .posterior_draws import EffectDraws, noise_draws, row_draws
from .posterior_intervals import limits
from .predict import Rows
from .simulate import RANDOM, generator

Float = NDArray[np.float64]
_SLAB = 8_000_000  # draws × rows at a time


def row_summaries(
    drawn: EffectDraws, rows: Rows, interval: str | None, level: float, kind: str, new_levels: str
) -> dict[str, Float]:
    """se and, for an interval, lower and upper of each row: of x'β + z'u, or of a new observation ("prediction")."""
    out: dict[str, list[Float]] = {"se": []}
    if interval is not None:
        out |= {"lower": [], "upper": []}
    step = max(1, _SLAB // max(1, len(drawn)))
    for number, at in enumerate(range(0, max(1, len(rows.X)), step)):
        part = slab(rows, np.arange(at, min(at + step, len(rows.X))))
        f = row_draws(drawn, part, new_levels)
        out["se"].append(f.std(axis=0, ddof=1) if len(f) > 1 else np.full(f.shape[1], np.nan))
        if interval is None:
            continue
        if interval == "prediction":
            f = f + noise_draws(drawn, part, key=number)
        for name, ends in zip(("lower", "upper"), limits(f, level, kind), strict=True):
            out[name].append(ends)
    return {name: np.concatenate(parts) for name, parts in out.items()}


def slab(rows: Rows, some: NDArray[np.intp]) -> Rows:
    """The rows at `some`."""
    parts = {i: part.at(some) for i, part in rows.terms.items()}
    offset, weights = (None if values is None else values[some] for values in (rows.offset, rows.weights))
    return Rows(rows.X[some], parts, offset, weights, None if rows.residual is None else rows.residual[some])


def replicated(
    likelihood: Likelihood, draws: Draws, nsim: int, seed: int | np.random.Generator | None, random: str
) -> Float:
    """New responses of the rows of the fit, (n, nsim), each from one kept draw of θ and β.

    Parameters
    ----------
    random : str
        "new": random effects of new levels, from N(0, Σ ⊗ A); "fitted": those of the fit, from their posterior.
    """
    if random not in RANDOM:
        raise OptionError(f"random={random!r} is not one of {', '.join(map(repr, RANDOM))}")
    if isinstance(nsim, bool) or not isinstance(nsim, int | np.integer) or nsim < 1:
        raise OptionError(f"nsim={nsim!r} must be a whole number of at least 1")
    rng, spec = generator(seed), likelihood.spec
    have = draws.chains * draws.count
    flat = rng.choice(have, int(nsim), replace=nsim > have)
    chain, draw = np.divmod(flat, draws.count)
    out = np.empty((spec.n, int(nsim)))
    effects = _effects(likelihood, draws, list(zip(chain.tolist(), draw.tolist(), strict=True)), random, rng)
    with one_by_one(spec):
        for j, (c, d, us) in enumerate(zip(chain, draw, effects, strict=True)):
            theta, beta = draws.theta[c, d], draws.beta[c, d]
            out[:, j] = spec.X @ beta + residual_draw(spec, spec.sigmas(theta)[-1], rng)
            for term, u in zip(spec.terms, us, strict=True):
                out[:, j] += term.spread(u)
    return out if spec.offset is None else out + spec.offset[:, None]


def _effects(likelihood: Likelihood, draws: Draws, at: list[tuple[int, int]], random: str, rng: Any) -> Any:
    spec: ModelSpec = likelihood.spec
    if random == "fitted":
        if not spec.terms:
            return iter([()] * len(at))
        return draws_of_effects(likelihood, draws, at=at)
    sources = [effect_source(term) for term in spec.terms]

    def new(c: int, d: int) -> tuple[Float, ...]:
        sigmas = spec.sigmas(draws.theta[c, d])
        return tuple(own.seen(own.draw(len(S), rng) @ root_of(S).T) for own, S in zip(sources, sigmas, strict=False))

    return (new(c, d) for c, d in at)
