"""What every estimator that samples a posterior must satisfy: whose random numbers, which support, which invariances.

Posteriors are compared by the means of log-variances, correlations and fixed effects, in units of the Monte-Carlo error
of their difference (batch means); a difference of five such units is a fault.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood import likelihoods
from . import transform
from .fits import fit, has_option

Float = NDArray[np.float64]
_BATCHES = 25
_UNITS = 5.0


def same_draws_twice(estimator: Any, name: str, spec: ModelSpec) -> None:
    """One seed gives one set of draws, bit for bit; another seed gives others; nothing else is touched."""
    y, before = np.array(spec.y), _global_state()
    first, second, other = fit(estimator, spec), fit(estimator, spec), fit(estimator, spec, seed=7)
    for part in ("par", "theta", "beta", "lp", "loglik"):
        one, two = getattr(first.draws, part), getattr(second.draws, part)
        assert np.array_equal(one, two), f"{name}: two runs of one seed differ in {part}"
    moves = np.ptp(first.draws.par, axis=(0, 1)) > 0
    if moves.any():
        assert not np.array_equal(first.draws.par, other.draws.par), f"{name}: another seed gives the same draws"
    assert _global_state() == before, f"{name}: numpy's global random numbers were used: take them from rng"
    assert np.array_equal(y, spec.y), f"{name}: the response was changed by the fit"


def _global_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002  (what must not be touched)


def draws_belong_to_the_model(estimator: Any, name: str, spec: ModelSpec) -> None:
    """Shapes, support, θ of every draw from its parameters, and means in the fields of a point estimate."""
    made = fit(estimator, spec)
    draws = made.draws
    C, D = draws.chains, draws.count
    sizes = [term.structure.n_par for term in spec.all_terms]
    assert draws.par.shape == (C, D, sum(sizes)), f"{name}: par has shape {draws.par.shape}"
    assert draws.theta.shape == (C, D, len(spec.index)), f"{name}: theta has shape {draws.theta.shape}"
    assert draws.beta.shape == (C, D, spec.p), f"{name}: beta has shape {draws.beta.shape}"
    for part in ("par", "theta", "beta", "lp", "loglik"):
        assert np.isfinite(getattr(draws, part)).all(), f"{name}: {part} is not finite everywhere"
    assert np.array_equal(made.theta, draws.theta.mean(axis=(0, 1))), f"{name}: theta is not the mean of its draws"
    assert made.loglik is None, f"{name}: a posterior mean has no maximised log-likelihood"
    some = draws.par.reshape(C * D, -1)[:: max(1, C * D // 50)]
    thetas = draws.theta.reshape(C * D, -1)[:: max(1, C * D // 50)]
    offsets = np.cumsum([0, *sizes])
    for par, theta in zip(some, thetas, strict=True):
        sigmas = spec.sigmas(theta)
        for i, term in enumerate(spec.all_terms):
            Sigma = term.structure.build(par[offsets[i] : offsets[i + 1]])
            size = np.sqrt(np.outer(np.diag(Sigma), np.diag(Sigma)))
            where = f"{name}: a draw of {term.name}"
            assert (np.abs(Sigma - sigmas[i]) <= 1e-10 * size).all(), f"{where}: its theta is not that of its par"
            scaled = Sigma / size
            assert np.linalg.eigvalsh(scaled)[0] > -1e-9, f"{where} is not positive semidefinite"


def the_unit_of_y_scales_the_draws(estimator: Any, name: str, spec: ModelSpec) -> None:
    """c·y has the posterior of c²·θ and c·β: default priors take their scale from the data."""
    want = fit(estimator, spec)
    for c in (2.0**-20, 1e6):
        got = fit(estimator, transform.with_y(spec, lambda y, c=c: c * y))  # type: ignore[misc]
        same_posterior(spec, features(spec, got, unit=c), features(spec, want), f"{name}: posterior of {c:g} y")


def an_added_combination_of_x_moves_beta_alone(estimator: Any, name: str, spec: ModelSpec) -> None:
    """y + Xb has the posterior of θ, and of β + b."""
    if not spec.p:
        return
    b = 10.0 * np.std(spec.response) * (1.0 + np.arange(spec.p)) / np.abs(spec.X).max(axis=0)
    want, got = fit(estimator, spec), fit(estimator, transform.with_y(spec, lambda y: y + spec.X @ b))
    moved = features(spec, got)
    moved[:, :, : spec.p] -= b
    same_posterior(spec, moved, features(spec, want), f"{name}: posterior with Xb added to y")


def the_order_of_rows_says_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    order = np.random.default_rng(41).permutation(spec.n)
    want, got = fit(estimator, spec), fit(estimator, transform.take_rows(spec, order), seed=7)
    same_posterior(spec, features(spec, got), features(spec, want), f"{name}: posterior with rows in another order")


def every_likelihood_has_the_same_posterior(estimator: Any, name: str, spec: ModelSpec) -> None:
    want = features(spec, fit(estimator, spec))
    for kind_name in likelihoods.names():
        kind = likelihoods.get(kind_name)
        if kind.cost(spec) is not None:
            got = fit(estimator, spec, likelihood=kind(spec, reml=True), seed=7)
            same_posterior(spec, features(spec, got), want, f"{name}: posterior by {kind_name}")


def a_held_component_does_not_move(estimator: Any, name: str, spec: ModelSpec) -> None:
    """A component held at a value has that value in every draw and is flagged; the others move."""
    if not has_option(estimator, "fixed_varcomp"):
        return
    value = 0.7 * float(np.var(spec.response))
    got = fit(dataclasses.replace(estimator, fixed_varcomp={"residual": value}), spec)
    count = spec.residual.structure.n_par
    assert (got.draws.par[:, :, -1] == value).all(), f"{name}: the residual was held at {value} and moved"
    assert got.fixed[-count:].all(), f"{name}: fixed is {got.fixed} with the residual held"
    assert not got.fixed[:-count].any(), f"{name}: fixed is {got.fixed} with the residual alone held"
    assert (np.ptp(got.draws.par[:, :, :-count], axis=(0, 1)) > 0).all(), f"{name}: what is free does not move"


SAMPLER_CHECKS = (
    same_draws_twice,
    draws_belong_to_the_model,
    the_unit_of_y_scales_the_draws,
    an_added_combination_of_x_moves_beta_alone,
    the_order_of_rows_says_nothing,
    every_likelihood_has_the_same_posterior,
    a_held_component_does_not_move,
)


def features(spec: ModelSpec, made: Any, unit: float = 1.0) -> Float:
    """(C, D, F) of every draw: β, log-variances, correlations; those of y in the unit of the original."""
    draws = made.draws
    columns = [draws.beta / unit]
    place = {(w.term, w.a, w.b): j for j, w in enumerate(spec.index)}
    for j, w in enumerate(spec.index):
        value = draws.theta[:, :, j]
        if w.a == w.b:
            columns.append(np.log(value / unit**2)[:, :, None])
        else:
            a, b = place[w.term, w.a, w.a], place[w.term, w.b, w.b]
            columns.append((value / np.sqrt(draws.theta[:, :, a] * draws.theta[:, :, b]))[:, :, None])
    return np.concatenate(columns, axis=2)


def same_posterior(spec: ModelSpec, got: Float, want: Float, what: str) -> None:
    """Means and variances of the features of two samples agree within their Monte-Carlo errors.

    Raises
    ------
    AssertionError
    """
    for moment, power in (("mean", 1), ("mean square", 2)):
        centre = want.mean(axis=(0, 1))
        one, other = ((x - centre) ** power for x in (got, want))
        error = np.hypot(_error(one), _error(other))
        gap = np.abs(one.mean(axis=(0, 1)) - other.mean(axis=(0, 1)))
        still = error == 0
        z = np.where(still, np.where(gap > 1e-9 * (1 + np.abs(centre)), np.inf, 0.0), gap / np.where(still, 1.0, error))
        worst = int(np.argmax(z))
        assert z[worst] < _UNITS, f"{what}: the {moment} of feature {worst} differs by {z[worst]:.1f} standard errors"


def _error(x: Float) -> Float:
    """(F,) Monte-Carlo standard error of the mean, from means of batches of every chain."""
    C, D, F = x.shape
    size = D // _BATCHES
    batches = x[:, : size * _BATCHES].reshape(C * _BATCHES, size, F).mean(axis=1)
    return np.asarray(batches.std(axis=0, ddof=1) / np.sqrt(C * _BATCHES))
