"""New responses from the fitted model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec, Term
from ..errors import OptionError
from ..likelihood.base import Evaluation
from ..linalg.dense import small_root

Float = NDArray[np.float64]
RANDOM = ("new", "fitted")


def generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """A random generator: `seed` itself if it is one, else a new one seeded by it."""
    return seed if isinstance(seed, np.random.Generator) else np.random.default_rng(seed)


def simulate(
    spec: ModelSpec,
    evaluation: Evaluation,
    nsim: int = 1,
    seed: int | np.random.Generator | None = None,
    random: str = "new",
) -> Float:
    """y* = offset + Xβ̂ + Σ Z u* + e*, (n, nsim).

    Parameters
    ----------
    random : str
        "new" draws every term's u* from N(0, Σ ⊗ A); "fitted" keeps the predicted û (lme4's ``use.u=TRUE``).
    """
    if random not in RANDOM:
        raise OptionError(f"random={random!r} is not one of {', '.join(map(repr, RANDOM))}")
    if isinstance(nsim, bool) or not isinstance(nsim, int | np.integer) or nsim < 1:
        raise OptionError(f"nsim={nsim!r} must be a whole number of at least 1")
    rng, sigmas = generator(seed), spec.sigmas(evaluation.theta)
    mean = spec.X @ evaluation.beta
    if spec.offset is not None:
        mean = mean + spec.offset
    out = np.repeat(mean[:, None], nsim, axis=1)
    for i, term in enumerate(spec.terms):
        if random == "fitted":
            out += term.spread(np.asarray(evaluation.blup(i)))[:, None]
        else:
            out += term.spread(_draw_effects(term, sigmas[i], rng, nsim))
    if spec.correlated_residual:
        drawn = _draw_effects(spec.residual, sigmas[-1], rng, nsim)
        return out + spec.residual.spread(drawn)
    size = np.sqrt(spec.residual_variances(evaluation.theta))
    return out + size[:, None] * rng.standard_normal((spec.n, nsim))


def _draw_effects(term: Term, Sigma: Float, rng: np.random.Generator, nsim: int) -> Float:
    """u* (q, k, nsim) ~ N(0, Σ ⊗ A) of the levels in the data."""
    among = term.covariance.restrict(term.positions)
    z = np.asarray(among.draw(rng, term.k * nsim)).reshape(term.q, term.k, nsim)
    return np.einsum("ab,qbs->qas", small_root(Sigma), z)
