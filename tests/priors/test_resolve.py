"""Priors by names to bound priors: names, defaults, what is refused, what is stored."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mixedvc import priors as P
from mixedvc.errors import OptionError
from mixedvc.priors.resolve import resolve
from mixedvc.priors.turned import BoundTurned
from mixedvc.testing import problems
from tests.tolerances import IDENTITY, OBJECTIVE

from .data import records, spec_of


def test_terms_without_a_prior_have_the_default_and_the_others_what_was_given():
    spec = spec_of("y ~ x + (1 | g) + (1 | h)")
    bound = resolve(spec, {"h": P.InverseGamma(2, 1)})
    assert bound.given == ("h",)
    assert [prior.describe().split(",")[0] for prior in bound.terms] == [
        "half-t(3) on the sd",
        "inverse gamma",
        "half-t(3) on the sd",
    ]
    assert [words for _, words in bound.describe(spec)][1] == "inverse gamma, shape = 2, scale = 1"
    assert bound.describe(spec)[0][1].endswith("(default)")
    assert bound.describe(spec)[-1] == ("fixed", "flat (default)")


def test_one_prior_stands_for_all_terms_and_the_residual():
    spec = spec_of("y ~ x + (1 | g) + (1 | h)")
    bound = resolve(spec, P.InverseWishart(1, 0.002))
    assert {prior.describe() for prior in bound.terms} == {"inverse Wishart, V = 1, nu = 0.002"}


def test_a_group_stands_for_all_its_terms():
    spec = spec_of("y ~ x + (1 | g) + (0 + x | g)")
    names = [term.name for term in spec.terms]
    assert len(set(names)) == 2
    by_group = resolve(spec, {spec.terms[0].group: P.HalfT(5, 1.0)})
    if spec.terms[0].group not in names:
        assert set(by_group.given) == set(names)
    both = resolve(spec, dict.fromkeys(names, P.HalfT(5, 1.0)))
    assert both.given == tuple(names)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gg": P.HalfT()}, r"no term is called 'gg'.*'g', 'h', 'residual' and 'fixed'; did you mean 'g'\?"),
        ({"residuals": P.HalfT()}, r"did you mean 'residual'\?"),
        (P.HalfT, r"is no prior: write HalfT\(…\)"),
        ({"g": 3.0}, r"priors\['g'\]=3.0 is no prior"),
        ({"g": P.InverseWishart(np.eye(2), 3)}, r"priors\['g'\]: V is 2×2, but 'g' has 1 effect: a number is needed"),
        ({"g": P.InverseWishart(-1.0, 3)}, r"V is not positive definite: its diagonal entry 1 is -1"),
        ({"g": P.Normal(0, sd=1)}, r"Normal\(\) is for fixed effects"),
        ({"fixed": P.HalfT(3, 1.0)}, r"fixed effects have a Normal\(mean, sd\) prior"),
        ({"fixed": {"z": P.Normal(0, sd=1)}}, r"no fixed effect is called 'z': there are 'Intercept' and 'x'"),
        ({"fixed": {"X": P.Normal(0, sd=1)}}, r"no fixed effect is called 'X'"),
        ({"fixed": P.Normal([0, 0, 0], sd=1)}, r"mean has 3 numbers, but there are 2 fixed effects"),
        ({"g": {"Intercep": P.HalfT()}}, r"no effect is called 'Intercep': .*did you mean 'Intercept'\?"),
        ({"g": P.VarianceShare(10)}, r"prior of the shares of all terms together, and there are 'g' and 'h'"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(given: Any, message: str):
    with pytest.raises(OptionError, match=message):
        resolve(spec_of("y ~ x + (1 | g) + (1 | h)"), given)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (P.InverseWishart(np.eye(2), 0.5), r"nu = 0.5 is too small for a 2×2.* more than 1 .*e.g. nu = 1.002"),
        (P.InverseWishart([[1, 2], [2, 1]], 3), r"V is not positive definite: entry \[0, 1\] = 2 means a correlation"),
        (P.InverseWishart([[1, 0.2], [0.1, 1]], 3), r"V is not symmetric: entries \[0, 1\] = 0.2 and \[1, 0\] = 0.1"),
        (P.InverseWishart(np.eye(3), 4), r"V is 3×3, but 'g' has 2 effects: a number or a 2×2 matrix"),
        (P.ParameterExpanded(1, 1, 0, 100), r"nu = 1 is too small for a 2×2 covariance matrix: .* more than 1"),
        (P.ParameterExpanded(1, 2, [0, 0, 0], 100), r"alpha_mu has 3 numbers, but 'g' has 2 effects"),
        (P.HalfT(3, 1.0), r"prior of one variance, but 'g' has a 2×2 covariance matrix: use LKJ\(eta=1, sd=HalfT"),
        (P.Fixed([[1.0, 2.0], [2.0, 1.0]]), r"is not positive definite"),
        (P.LKJ(1, P.HalfT), r"is no prior of one variance: HalfT, HalfCauchy"),
        (P.LKJ(1, [P.HalfT(), P.HalfT(), P.HalfT()]), r"3 priors for 2 effects, 'Intercept' and 'x'"),
        (P.LKJ(1, {"X": P.HalfT()}), r"no effect is called 'X'"),
        (P.LKJ(1, P.LKJ(1)), r"is no prior of one variance"),
        ({"Intercept": P.HalfT()}, r"priors of single effects are for independent effects, \(x \|\| g\)"),
    ],
)
def test_what_does_not_fit_a_matrix_is_refused_by_name(prior: Any, message: str):
    with pytest.raises(OptionError, match=message):
        resolve(spec_of("y ~ x + (x | g)"), {"g": prior})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.HalfT(0), "HalfT: df=0: a finite number above 0"),
        (lambda: P.HalfT(3, -1.0), "HalfT: scale=-1.0"),
        (lambda: P.HalfCauchy(0.0), "HalfCauchy: scale=0.0"),
        (lambda: P.InverseGamma(1, np.nan), "InverseGamma: scale=nan"),
        (lambda: P.InverseGamma(1, -1), "InverseGamma: scale=-1: a finite number of at least 0"),
        (lambda: P.InverseWishart("a", 1), "InverseWishart: V='a'"),
        (lambda: P.InverseWishart(1, None), "InverseWishart: nu=None"),
        (lambda: P.ParameterExpanded(nu=0), "ParameterExpanded: nu=0"),
        (lambda: P.LKJ(0), "LKJ: eta=0"),
        (lambda: P.Flat("scale"), r"Flat\(on='scale'\): one of 'variance', 'sd' and 'log'"),
        (lambda: P.Normal(0), "give the standard deviation, sd=, or the covariance, cov="),
        (lambda: P.Normal(0, sd=1, cov=1), "one of them"),
        (lambda: P.Normal(0, sd=-1), "Normal: sd=-1"),
        (lambda: P.VarianceShare(1), r"VarianceShare\(grid=1\): at least 2 steps"),
        (lambda: P.VarianceShare(10, total=P.HalfT()), r"InverseGamma\(shape, scale\) or None"),
        (lambda: P.HuangWand(2, [1, -1]), "positive numbers"),
        (lambda: P.Patterned(eta=0.5), "Patterned: eta=0.5: a finite number of at least 1"),
    ],
)
def test_numbers_outside_their_domain_are_refused_when_written(make: Any, message: str):
    with pytest.raises(OptionError, match=message):
        make()


def test_priors_of_single_effects_of_a_diagonal_term():
    spec = spec_of("y ~ x + (x || g)")
    bound = resolve(spec, {"g": {"x": P.InverseGamma(3, 2)}}).terms[0]
    v = np.array([[0.7, 1.3]])
    half_t = resolve(spec, None).terms[0].laws[0].logpdf(v[:, 0])
    expected = half_t + P.InverseGamma(3, 2).law("g", None).logpdf(v[:, 1])
    np.testing.assert_allclose(bound.logpdf(v), expected, **IDENTITY)


def test_a_half_t_prior_without_a_scale_takes_that_of_the_data():
    spec = spec_of("y ~ x + (1 | g)")
    left = spec.y - spec.X @ np.linalg.lstsq(spec.X, spec.y, rcond=None)[0]
    sd = np.sqrt(left @ left / (spec.n - spec.p))
    bound = resolve(spec, {"g": P.HalfT(7)})
    assert bound.terms[0].laws[0].scale == pytest.approx(sd, rel=1e-12)
    assert bound.terms[0].laws[0].df == 7.0
    assert bound.terms[1].laws[0].scale == pytest.approx(sd, rel=1e-12)


@pytest.mark.parametrize(("cy", "cx"), [(100.0, 1.0), (1.0, 1000.0), (0.02, 0.1)])
@pytest.mark.parametrize("formula", ["y ~ x + (1 | g)", "y ~ x + (x || g)", "y ~ x + (x | g)", "y ~ x + (0 + f | h)"])
def test_default_priors_follow_the_units_of_y_and_x(formula: str, cy: float, cx: float):
    data = records()
    other = data.assign(y=cy * data["y"], x=cx * data["x"])
    first, second = (resolve(spec_of(formula, d), None) for d in (data, other))
    spec = spec_of(formula, data)
    rng = np.random.default_rng(4)
    for term, a, b in zip(spec.all_terms, first.terms, second.terms, strict=True):
        units = np.array([cy / cx if effect == "x" else cy for effect in term.effects])
        scale = np.array([units[i] * units[j] for i, j in term.structure.pairs])
        par = np.stack([a.draw(rng) for _ in range(5)])
        np.testing.assert_allclose(b.logpdf(par * scale) + np.log(scale).sum(), a.logpdf(par), **OBJECTIVE)


@pytest.mark.parametrize("shift", [0.0, -3.0, 2000.0])
def test_the_default_prior_of_a_random_slope_does_not_depend_on_where_x_is_zero(shift: float):
    data = records()
    moved = data.assign(x=data["x"] + shift)
    first, second = (resolve(spec_of("y ~ x + (x | g)", d), None).terms[0] for d in (data, moved))
    rng = np.random.default_rng(5)
    T = np.array([[1.0, -shift], [0.0, 1.0]])  # intercept at the new zero
    pairs = ([0, 0, 1], [0, 1, 1])
    Sigma = [np.array([[a, b], [b, c]]) for a, b, c in (first.draw(rng) for _ in range(5))]
    old = np.array([S[pairs] for S in Sigma])
    new = np.array([(T @ S @ T.T)[pairs] for S in Sigma])
    assert isinstance(second, BoundTurned)
    np.testing.assert_allclose(second.logpdf(new), first.logpdf(old), rtol=1e-6, atol=1e-6)


def test_three_effects_are_made_orthogonal_in_the_order_of_the_formula():
    data = records()
    data["z"] = data["x"] ** 2 + np.random.default_rng(9).standard_normal(len(data))
    spec = spec_of("y ~ x + z + (x + z | g)", data)
    T = resolve(spec, None).terms[0].T
    gram = (spec.terms[0].basis @ T).T @ (spec.terms[0].basis @ T)
    assert np.abs(gram - gram[0, 0] * np.eye(3)).max() < 1e-9 * gram[0, 0]
    assert np.abs(np.tril(T, -1)).max() == 0.0  # the first effect is what it was, but for its scale


def test_where_effects_are_orthogonal_the_default_is_plain_lkj():
    data = records()
    centred = data.assign(x=data["x"] - data["x"].mean())
    for formula in ("y ~ f + (0 + f | h)", "y ~ x + (x | h)"):
        bound = resolve(spec_of(formula, centred), None).terms[0]
        given = resolve(spec_of(formula, centred), {"h": P.LKJ(1.0)}).terms[0]
        par = np.stack([given.draw(np.random.default_rng(6)) for _ in range(3)])
        np.testing.assert_allclose(bound.logpdf(par), given.logpdf(par), **OBJECTIVE)


@pytest.mark.parametrize(
    "given",
    [
        {"g": P.InverseWishart([[1, 0.2], [0.2, 2]], 3), "residual": P.HalfT(3)},
        {"g": P.LKJ(2, {"x": P.HalfCauchy(1.0)}), "fixed": {"x": P.Normal(0, sd=2)}},
        P.InverseWishart(2.0, 3.0),
    ],
)
def test_stated_priors_come_back_from_json_as_the_same_densities(given: Any):
    spec = spec_of("y ~ x + (x | g)")
    bound = resolve(spec, given)
    again = resolve(spec, P.from_state(json.loads(json.dumps(P.to_state(bound.stated)))))
    assert again.given == bound.given
    assert (again.fixed is None) == (bound.fixed is None)
    rng = np.random.default_rng(7)
    for a, b in zip(bound.terms, again.terms, strict=True):
        par = a.draw(rng)[None]
        assert a.logpdf(par) == b.logpdf(par)


@pytest.mark.parametrize("name", problems.names())
def test_every_kind_of_model_has_proper_default_priors(name: str):
    spec = problems.bound(name)
    bound = resolve(spec, None)
    rng = np.random.default_rng(8)
    for term, prior in zip(spec.all_terms, bound.terms, strict=True):
        assert prior.proper
        par = np.stack([prior.draw(rng) for _ in range(3)])
        assert par.shape == (3, term.structure.n_par)
        assert np.isfinite(prior.logpdf(par)).all()


def test_several_responses_have_default_priors_in_the_units_of_each():
    data = records()
    data["z"] = 1000.0 * (data["x"] + np.random.default_rng(3).standard_normal(len(data)))
    spec = spec_of("cbind(y, z) ~ 1 + (1 | g)", data, residual="us")
    bound = resolve(spec, None)
    assert all(prior.proper for prior in bound.terms)
    for prior in bound.terms:
        laws = getattr(prior, "laws", None) or prior.inner.laws
        scales = [law.scale for law in laws]
        assert scales[0] == pytest.approx(data["y"].std(), rel=1e-9)
        assert scales[1] == pytest.approx(data["z"].std(), rel=1e-9)
