"""What must change no point estimate, or change it in a known way: order of rows and terms, units, origins, weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..design.spec import ModelSpec
from . import transform
from .compare import OPTIMUM, close
from .fits import draws_rows, fit, has_option, par_units, same, same_but_for_draws, sizes
from .kernels import known_dense


def row_order_changes_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    order = np.random.default_rng(41).permutation(spec.n)
    want, got = fit(estimator, spec), fit(estimator, transform.take_rows(spec, order))
    same_but_for_draws(spec, got, want, f"{name}: theta with the rows in another order")


def term_order_changes_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    back = list(range(len(spec.terms)))[::-1]
    want, got = fit(estimator, spec), fit(estimator, transform.take_terms(spec, back))
    turned = transform.theta_in_order(spec, want.theta, back)
    same(transform.take_terms(spec, back), got.theta, turned, f"{name}: theta with the terms in another order")


def the_unit_of_y_is_only_a_unit(estimator: Any, name: str, spec: ModelSpec) -> None:
    """c·y gives c²·θ, its sampling covariance c⁴ times, and zeros where zeros were, for c from 1e-12 to 1e12."""
    want = fit(estimator, spec)
    for c in (1e-12, 1e-3, 1e12):
        got = fit(estimator, transform.with_y(spec, lambda y, c=c: c * y))  # type: ignore[misc]
        same(spec, got.theta / c**2, want.theta, f"{name}: theta of {c:g} y")
        assert np.array_equal(got.at_bound, want.at_bound), f"{name}: other parameters at the boundary for {c:g} y"
        assert (got.sampling is None) == (want.sampling is None), f"{name}: a sampling covariance in one unit only"
        if want.sampling is not None:
            unit = float(c) ** (2 * par_units(spec))
            sd = np.sqrt(np.diag(want.sampling.cov))
            cov = got.sampling.cov / unit[:, None] / unit
            close(cov, want.sampling.cov, f"{name}: sampling.cov of {c:g} y", rtol=1e-5, scale=np.outer(sd, sd))
            centre = got.sampling.centre / unit
            close(centre, want.sampling.centre, f"{name}: sampling.centre of {c:g} y", scale=sd, rtol=1e-5)


def a_large_constant_changes_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    """y + Xb gives the same θ; 1e9 in the response costs the digits it must and no more."""
    if not spec.p:
        return
    want = fit(estimator, spec)
    for size, digits in ((1e3, 1e-8), (1e9, 1e-4)):
        shift = size * spec.X @ (1 + np.arange(spec.p)) / np.abs(spec.X).max()
        got = fit(estimator, transform.with_y(spec, lambda y, s=shift: y + s))  # type: ignore[misc]
        same(spec, got.theta, want.theta, f"{name}: theta with {size:g} X added to y", rtol=max(digits, OPTIMUM))


def an_offset_is_only_subtracted(estimator: Any, name: str, spec: ModelSpec) -> None:
    """Whatever is added to the response and declared as offset changes nothing, in X's space or not."""
    known = np.random.default_rng(42).standard_normal(spec.n) * (1.0 + np.std(spec.response))
    want, got = fit(estimator, spec), fit(estimator, transform.with_offset(spec, known))
    same(spec, got.theta, want.theta, f"{name}: theta with an offset")


def only_the_space_of_x_matters(estimator: Any, name: str, spec: ModelSpec) -> None:
    """X T in the place of X, T regular: θ stays."""
    if not spec.p:
        return
    T = np.random.default_rng(43).standard_normal((spec.p, spec.p)) + 2.0 * np.eye(spec.p)
    want, got = fit(estimator, spec), fit(estimator, transform.with_fixed(spec, T))
    same(spec, got.theta, want.theta, f"{name}: theta with other columns of the same fixed effects")


def units_of_effects_are_only_units(estimator: Any, name: str, spec: ModelSpec) -> None:
    """Effects in units u have Σ_ab / (u_a u_b), wherever the structure can hold that."""
    for i, term in enumerate(spec.terms):
        unit = 10.0 ** np.random.default_rng(44).uniform(-4, 4, term.k)
        probe = np.diag(1.0 / unit**2)
        if not np.allclose(term.structure.build(term.structure.start(probe)), probe, rtol=1e-9, atol=0.0):
            continue
        other = transform.with_basis(spec, i, unit)
        want, got = fit(estimator, spec), fit(estimator, other)
        sigmas = spec.sigmas(want.theta)
        sigmas[i] = sigmas[i] / np.outer(unit, unit)
        same(other, got.theta, spec.theta(sigmas), f"{name}: theta with effects of {term.name} in other units")


def the_unit_of_a_covariance_moves_its_own_term(estimator: Any, name: str, spec: ModelSpec) -> None:
    """cA in the place of A gives Σ/c of that term and the same of all others."""
    for i, term in enumerate(spec.terms):
        A, want = term.covariance.block(), fit(estimator, spec)
        for c in (1e-3, 1e3):
            other = transform.with_covariance(spec, i, known_dense(c * np.asarray(A), term.covariance.labels))
            sigmas = spec.sigmas(want.theta)
            sigmas[i] = sigmas[i] / c
            got, what = fit(estimator, other), f"{name}: theta with {c:g} times the covariance of {term.name}"
            scaled = spec.theta(sigmas)
            factor = np.array([c if w.term == i else 1.0 for w in spec.index])
            close(got.theta, scaled, what, rtol=OPTIMUM, scale=sizes(spec, want.theta) / factor)


def the_size_of_weights_belongs_to_the_residual(estimator: Any, name: str, spec: ModelSpec) -> None:
    """All prior weights times c: the residual variance is c times, nothing else moves."""
    if spec.residual.k > 1:
        return
    want, got = fit(estimator, spec), fit(estimator, transform.reweighted(spec, np.full(spec.n, 8.0)))
    expected = np.append(want.theta[:-1], 8.0 * want.theta[-1])
    close(got.theta, expected, f"{name}: theta with weights times 8", scale=sizes(spec, expected), rtol=OPTIMUM)


def weights_are_replicates(estimator: Any, name: str, spec: ModelSpec) -> None:
    """A row of weight w says of the random terms what w rows of its mean say, the residual variance held.

    True of the likelihoods and of the moment equations over all entries.
    """
    if not has_option(estimator, "fixed_varcomp") or draws_rows(estimator) or spec.residual.k > 1:
        return
    rng = np.random.default_rng(45)
    copies = rng.integers(1, 4, spec.n)
    held = fit(estimator, spec).theta[-1]
    given = dataclasses.replace(estimator, fixed_varcomp={"residual": abs(float(held)) + 1e-6 * np.var(spec.response)})
    weighted = fit(given, transform.reweighted(spec, copies.astype(float)))
    repeated = fit(given, transform.replicated(spec, copies, float(np.std(spec.response)), rng))
    what = f"{name}: theta of replicated rows against that of weighted ones"
    same(spec, repeated.theta, weighted.theta, what, rtol=1e-5)


INVARIANCES = (
    row_order_changes_nothing,
    term_order_changes_nothing,
    the_unit_of_y_is_only_a_unit,
    a_large_constant_changes_nothing,
    an_offset_is_only_subtracted,
    only_the_space_of_x_matters,
    units_of_effects_are_only_units,
    the_unit_of_a_covariance_moves_its_own_term,
    the_size_of_weights_belongs_to_the_residual,
)
"""Of every point estimator; `weights_are_replicates` of those that say so by what they maximise."""
