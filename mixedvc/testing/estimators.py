"""What every estimator must satisfy; those that maximise a likelihood reach its maximum, those that sample a posterior
have one whatever the order of rows and the unit of the response."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..design.spec import ModelSpec
from ..likelihood import likelihoods
from . import assemble
from .compare import OPTIMUM, close
from .fits import draws_rows, fit, has_option, same, same_but_for_draws, sizes
from .invariances import INVARIANCES, weights_are_replicates
from .optimum import check_consistency, check_optimum
from .sampler_checks import SAMPLER_CHECKS
from .sampling_checks import an_estimate_without_likelihood_claims_none, the_sampling_covariance_is_one

Check = Callable[[Any, str, ModelSpec], None]


def estimator_checks(estimator: Any, specs: Iterable[tuple[str, ModelSpec]] | None = None) -> list[str]:
    """Conformance of an estimator.

    Parameters
    ----------
    estimator : Estimator
        A configured object, e.g. ``REML()``.
    specs : iterable of (name, ModelSpec), optional
        Problems to fit; `default_specs` where not given.

    Returns
    -------
    list of str
        What was checked.

    Raises
    ------
    AssertionError
    """
    done = []
    for name, spec in default_specs() if specs is None else specs:
        for check in checks_for(estimator):
            check(estimator, name, spec)
            done.append(f"{check.__name__} on {name}")
    return done


def checks_for(estimator: Any) -> list[Check]:
    """The checks that apply to an estimator, by what it needs, provides and can be told."""
    if "draws" in estimator.provides:
        return list(SAMPLER_CHECKS)
    found: list[Check] = [
        same_numbers_twice,
        no_random_number_but_from_its_own_generator,
        an_estimate_without_likelihood_claims_none,
        the_sampling_covariance_is_one,
        *INVARIANCES,
    ]
    if has_option(estimator, "fixed_varcomp"):
        found.append(held_components_stay)
    if "loglik" in estimator.provides:
        found += [reaches_the_maximum, every_likelihood_gives_the_same, weights_are_replicates]
    return found


def default_specs() -> list[tuple[str, ModelSpec]]:
    """Small problems that need no formula: balanced groups, a zero, crossed factors, a singular slope."""
    rng = np.random.default_rng(31)
    x = np.tile(np.arange(5.0), 8)
    group = np.repeat(np.arange(8), 5)
    X = np.column_stack([np.ones(40), x])
    slopes = assemble.term("id", group, basis=X)
    crossed = [assemble.term("g", group), assemble.term("h", np.tile(list("abcde"), 8))]
    y = 3 + x + rng.standard_normal(8)[group] * (1 + x) + rng.standard_normal(40)
    return [
        ("one way", assemble.one_way(6, 5, seed=1)),
        ("a zero", zero_between_groups()),
        ("crossed", assemble.spec(y, X, crossed)),
        ("slopes", assemble.spec(y, X, [slopes])),
        ("no slope variance", assemble.spec(rng.standard_normal(40), X, [slopes])),
    ]


def zero_between_groups(groups: int = 5, per_group: int = 6) -> ModelSpec:
    """Groups with exactly equal means: every likelihood estimate of the variance between them is zero."""
    rng = np.random.default_rng(32)
    e = rng.standard_normal((groups, per_group))
    e -= e.mean(axis=1, keepdims=True)
    group = np.repeat(np.arange(groups), per_group)
    return assemble.spec(7 + e.ravel(), np.ones((e.size, 1)), [assemble.term("g", group)])


def same_numbers_twice(estimator: Any, name: str, spec: ModelSpec) -> None:
    """Two fits of one specification are equal bit for bit, and leave the specification as it was."""
    y = np.array(spec.y)
    first, second = fit(estimator, spec), fit(estimator, spec)
    assert np.array_equal(first.theta, second.theta), f"{name}: two fits differ: {first.theta} and {second.theta}"
    if first.sampling is not None:
        cov, again = first.sampling.cov, second.sampling.cov
        assert np.array_equal(cov, again), f"{name}: two sampling covariances differ: {cov} and {again}"
    assert np.array_equal(y, spec.y), f"{name}: the response was changed by the fit"
    check_consistency(spec, first, name)


def no_random_number_but_from_its_own_generator(estimator: Any, name: str, spec: ModelSpec) -> None:
    """The global generator stays where it was, and another seed moves an estimate within its stated error, or not."""
    before = _global_state()
    want, other = fit(estimator, spec), fit(estimator, spec, seed=7)
    assert _global_state() == before, f"{name}: numpy's global random numbers were used: take them from rng"
    same_but_for_draws(spec, other, want, f"{name}: theta with another seed")
    if not draws_rows(estimator) and (want.sampling is None or want.sampling.noise is None):
        assert np.array_equal(other.theta, want.theta), f"{name}: the seed moves an estimate that draws nothing"


def _global_state() -> str:
    return repr(np.random.get_state(legacy=False))  # noqa: NPY002  (what must not be touched)


def reaches_the_maximum(estimator: Any, name: str, spec: ModelSpec) -> None:
    """First-order conditions over Σ ⪰ 0 by brute force."""
    check_optimum(spec, fit(estimator, spec), name)


def every_likelihood_gives_the_same(estimator: Any, name: str, spec: ModelSpec) -> None:
    """The optimum does not depend on which likelihood evaluated."""
    want = fit(estimator, spec)
    for kind_name in likelihoods.names():
        kind = likelihoods.get(kind_name)
        if kind.cost(spec) is None:
            continue
        got = fit(estimator, spec, likelihood=kind(spec, reml=bool(want.reml)))
        close(got.loglik, want.loglik, f"{name}: loglik by {kind_name}", rtol=1e-9, scale=abs(want.loglik) + spec.n)
        same(spec, got.theta, want.theta, f"{name}: theta by {kind_name}")


def held_components_stay(estimator: Any, name: str, spec: ModelSpec) -> None:
    """A component held at a value is that value exactly, is flagged, and the others are at their maximum."""
    free = fit(estimator, spec)
    for i, term in enumerate(spec.all_terms):
        if not term.structure.linear:
            continue
        sizes_of_term = _diagonal_sizes(spec, i, free.theta)
        Sigma = np.abs(np.diag(spec.sigmas(free.theta)[i])) * 1.3 + 0.1 * sizes_of_term
        Sigma = np.diag(Sigma) + (0.05 * np.sqrt(np.outer(Sigma, Sigma)) if term.structure.name == "us" else 0.0)
        key = "residual" if term is spec.residual else term.name
        given = dataclasses.replace(estimator, fixed_varcomp={key: Sigma if term.k > 1 else float(Sigma[0, 0])})
        got = fit(given, spec)
        close(spec.sigmas(got.theta)[i], Sigma, f"{name}: {key} held", rtol=1e-12)
        offset = sum(t.structure.n_par for t in spec.all_terms[:i])
        want = np.zeros(len(got.fixed), dtype=bool)
        want[offset : offset + term.structure.n_par] = True
        assert np.array_equal(got.fixed, want), f"{name}: fixed is {got.fixed} with {key} held"
        if got.loglik is not None:
            check_optimum(spec, got, f"{name}, {key} held")


def _diagonal_sizes(spec: ModelSpec, term: int, theta: Any) -> Any:
    size = sizes(spec, theta)
    return np.array([s for s, w in zip(size, spec.index, strict=True) if w.term == term and w.a == w.b])


def balanced_one_way(estimator: Any, reml: bool, groups: int = 6, per_group: int = 5, seed: int = 1) -> None:
    """θ of a balanced one-way layout in closed form: (MSB − MSE)/r and MSE; ML divides SSB by the groups."""
    spec = assemble.one_way(groups, per_group, seed)
    y = spec.y.reshape(groups, per_group)
    between = per_group * ((y.mean(axis=1) - y.mean()) ** 2).sum() / (groups - 1 if reml else groups)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / (groups * (per_group - 1))
    assert between > within, "the layout must have a positive estimate"
    got = fit(estimator, spec)
    close(got.theta, [(between - within) / per_group, within], "balanced one-way layout", rtol=OPTIMUM)


def zero_is_zero(estimator: Any, reml: bool) -> None:
    """Equal group means: exactly 0, flagged, and the residual variance of the model without groups."""
    spec = zero_between_groups()
    got = fit(estimator, spec)
    assert got.theta[0] == 0.0, f"the variance is {got.theta[0]!r}, not exactly zero"
    assert got.at_bound[0], f"at_bound {got.at_bound}"
    assert got.singular, "a zero variance, but not called singular"
    assert not got.at_bound[1], "the residual is flagged"
    close(got.theta[1], np.var(spec.y, ddof=1 if reml else 0), "residual variance beside a zero", rtol=OPTIMUM)
