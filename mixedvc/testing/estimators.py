"""What every point estimator must satisfy; those that maximise a likelihood must also reach its maximum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood import likelihoods
from . import assemble, transform
from .compare import OPTIMUM, close
from .optimum import check_consistency, check_optimum, quiet

Float = NDArray[np.float64]


def estimator_checks(estimator: Any, specs: Iterable[tuple[str, ModelSpec]] | None = None) -> list[str]:
    """Conformance of a point estimator.

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


def checks_for(estimator: Any) -> list[Callable[[Any, str, ModelSpec], None]]:
    """The checks that apply to an estimator, by what it provides."""
    found: list[Callable[[Any, str, ModelSpec], None]] = [
        same_numbers_twice,
        row_order_changes_nothing,
        term_order_changes_nothing,
        the_unit_of_y_is_only_a_unit,
        a_large_constant_changes_nothing,
    ]
    if "loglik" in estimator.provides:
        found += [reaches_the_maximum, every_likelihood_gives_the_same]
        if "fixed_varcomp" in {f.name for f in dataclasses.fields(estimator)}:
            found.append(held_components_stay)
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


def _fit(estimator: Any, spec: ModelSpec, **options: Any) -> Any:
    with quiet():
        return estimator.fit(spec, rng=np.random.default_rng(0), **options)


def _sizes(spec: ModelSpec, theta: Float) -> Float:
    """Size of each θ_j by which it is compared: √(Σ_aa Σ_bb), at least a thousandth of what would matter."""
    residual = spec.response - spec.X @ np.linalg.lstsq(spec.X, spec.response, rcond=None)[0]
    whole = float(residual @ residual) / spec.n
    sds = []
    for term, Sigma in zip(spec.all_terms, spec.sigmas(theta), strict=True):
        unit = whole / np.maximum((term.basis**2).mean(axis=0), 1e-300)
        sds.append(np.sqrt(np.maximum(np.diag(Sigma), 1e-3 * unit)))
    return np.array([sds[w.term][w.a] * sds[w.term][w.b] for w in spec.index])


def _same(spec: ModelSpec, got: Float, want: Float, what: str) -> None:
    close(got, want, what, rtol=OPTIMUM, scale=_sizes(spec, want))


def same_numbers_twice(estimator: Any, name: str, spec: ModelSpec) -> None:
    """Two fits of one specification are equal bit for bit, and leave the specification as it was."""
    y = np.array(spec.y)
    first, second = _fit(estimator, spec), _fit(estimator, spec)
    assert np.array_equal(first.theta, second.theta), f"{name}: two fits differ: {first.theta} and {second.theta}"
    assert np.array_equal(y, spec.y), f"{name}: the response was changed by the fit"
    check_consistency(spec, first, name)


def reaches_the_maximum(estimator: Any, name: str, spec: ModelSpec) -> None:
    """First-order conditions over Σ ⪰ 0 by brute force."""
    check_optimum(spec, _fit(estimator, spec), name)


def row_order_changes_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    order = np.random.default_rng(41).permutation(spec.n)
    want, got = _fit(estimator, spec), _fit(estimator, transform.take_rows(spec, order))
    _same(spec, got.theta, want.theta, f"{name}: theta with the rows in another order")


def term_order_changes_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    back = list(range(len(spec.terms)))[::-1]
    want, got = _fit(estimator, spec), _fit(estimator, transform.take_terms(spec, back))
    turned = transform.theta_in_order(spec, want.theta, back)
    _same(transform.take_terms(spec, back), got.theta, turned, f"{name}: theta with the terms in another order")


def the_unit_of_y_is_only_a_unit(estimator: Any, name: str, spec: ModelSpec) -> None:
    """c·y gives c²·θ, and zeros where zeros were, for c from 1e-12 to 1e12."""
    want = _fit(estimator, spec)
    for c in (1e-12, 1e-3, 1e12):
        scaled = transform.with_y(spec, lambda y, c=c: c * y)  # type: ignore[misc]
        got = _fit(estimator, scaled)
        _same(spec, got.theta / c**2, want.theta, f"{name}: theta of {c:g} y")
        assert np.array_equal(got.at_bound, want.at_bound), f"{name}: other parameters at the boundary for {c:g} y"


def a_large_constant_changes_nothing(estimator: Any, name: str, spec: ModelSpec) -> None:
    """y + Xb gives the same θ; 1e9 in the response costs the digits it must and no more."""
    if not spec.p:
        return
    want = _fit(estimator, spec)
    for size, digits in ((1e3, 1e-8), (1e9, 1e-4)):
        shift = size * spec.X @ (1 + np.arange(spec.p)) / np.abs(spec.X).max()
        got = _fit(estimator, transform.with_y(spec, lambda y, s=shift: y + s))  # type: ignore[misc]
        what = f"{name}: theta with {size:g} X added to y"
        close(got.theta, want.theta, what, rtol=max(digits, OPTIMUM), scale=_sizes(spec, want.theta))


def every_likelihood_gives_the_same(estimator: Any, name: str, spec: ModelSpec) -> None:
    """The optimum does not depend on which likelihood evaluated."""
    want = _fit(estimator, spec)
    for kind_name in likelihoods.names():
        kind = likelihoods.get(kind_name)
        if kind.cost(spec) is None:
            continue
        got = _fit(estimator, spec, likelihood=kind(spec, reml=bool(want.reml)))
        close(got.loglik, want.loglik, f"{name}: loglik by {kind_name}", rtol=1e-9, scale=abs(want.loglik) + spec.n)
        _same(spec, got.theta, want.theta, f"{name}: theta by {kind_name}")


def held_components_stay(estimator: Any, name: str, spec: ModelSpec) -> None:
    """A component held at a value is that value exactly, is flagged, and the others are at their maximum."""
    free = _fit(estimator, spec)
    for i, term in enumerate(spec.all_terms):
        Sigma = spec.sigmas(free.theta)[i] * 1.3 + 0.1 * np.diag(_diagonal_sizes(spec, i, free.theta))
        if not term.structure.linear:
            continue
        key = "residual" if term is spec.residual else term.name
        held = dataclasses.replace(estimator, fixed_varcomp={key: Sigma if term.k > 1 else float(Sigma[0, 0])})
        got = _fit(held, spec)
        close(spec.sigmas(got.theta)[i], Sigma, f"{name}: {key} held", rtol=1e-12)
        offset = sum(t.structure.n_par for t in spec.all_terms[:i])
        want = np.zeros(len(got.fixed), dtype=bool)
        want[offset : offset + term.structure.n_par] = True
        assert np.array_equal(got.fixed, want), f"{name}: fixed is {got.fixed} with {key} held"
        check_optimum(spec, got, f"{name}, {key} held")


def _diagonal_sizes(spec: ModelSpec, term: int, theta: Float) -> Float:
    sizes = _sizes(spec, theta)
    return np.array([s for s, w in zip(sizes, spec.index, strict=True) if w.term == term and w.a == w.b])


def balanced_one_way(estimator: Any, reml: bool, groups: int = 6, per_group: int = 5, seed: int = 1) -> None:
    """θ of a balanced one-way layout in closed form: (MSB − MSE)/r and MSE; ML divides SSB by the groups."""
    spec = assemble.one_way(groups, per_group, seed)
    y = spec.y.reshape(groups, per_group)
    between = per_group * ((y.mean(axis=1) - y.mean()) ** 2).sum() / (groups - 1 if reml else groups)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / (groups * (per_group - 1))
    assert between > within, "the layout must have a positive estimate"
    got = _fit(estimator, spec)
    close(got.theta, [(between - within) / per_group, within], "balanced one-way layout", rtol=OPTIMUM)


def zero_is_zero(estimator: Any, reml: bool) -> None:
    """Equal group means: exactly 0, flagged, and the residual variance of the model without groups."""
    spec = zero_between_groups()
    got = _fit(estimator, spec)
    assert got.theta[0] == 0.0, f"the variance is {got.theta[0]!r}, not exactly zero"
    assert got.at_bound[0], f"at_bound {got.at_bound}"
    assert got.singular, "a zero variance, but not called singular"
    assert not got.at_bound[1], "the residual is flagged"
    close(got.theta[1], np.var(spec.y, ddof=1 if reml else 0), "residual variance beside a zero", rtol=OPTIMUM)
