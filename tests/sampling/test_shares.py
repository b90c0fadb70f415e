"""The discrete prior on variance shares: its posterior enumerated by brute force, and independent draws from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import dblquad

import mixedvc as mv
from mixedvc import priors as P
from mixedvc.errors import OptionError
from mixedvc.likelihood.choose import choose
from mixedvc.priors.resolve import resolve
from mixedvc.priors.shares import simplex
from mixedvc.sampling.shares import plan_shares
from mixedvc.sampling.target import Target
from tests.priors.data import dense_parts, kernel, records, spec_of
from tests.tolerances import OBJECTIVE

ONE, TWO = "y ~ x + (1 | id:K)", "y ~ x + (1 | g) + (1 | id:K)"


def _target(formula: str, prior: Any, **options: Any) -> Any:
    data = records()
    spec = spec_of(formula, data, cov={"K": kernel(data)} if "K" in formula else None, **options)
    likelihood, _ = choose(spec, reml=True, purpose="many")
    return Target(spec, likelihood, resolve(spec, prior))


def _brute(target: Any, total: Any = None) -> tuple[np.ndarray, np.ndarray]:
    """Posterior probabilities of the points and yᵀPy at a total of one, from dense matrices."""
    spec, bound = target.spec, target.priors.shares
    parts, X, y = dense_parts(spec), spec.X, spec.y
    a, b = (0.0, 0.0) if total is None else (total.shape, total.scale)
    df = spec.n - spec.p
    log, Q = [], []
    for point, weight in zip(bound.shares, bound.log_weights, strict=True):
        sizes = [np.mean(np.sum(term.basis**2, axis=1)) for term in spec.all_terms]
        V = sum(s / size * part for s, size, part in zip(point, sizes, parts, strict=True))
        Vi = np.linalg.inv(V)
        C = X.T @ Vi @ X
        r = y - X @ np.linalg.solve(C, X.T @ Vi @ y)
        q = float(r @ Vi @ r)
        log.append(
            weight - 0.5 * (np.linalg.slogdet(V)[1] + np.linalg.slogdet(C)[1]) - (a + 0.5 * df) * np.log(b + 0.5 * q)
        )
        Q.append(q)
    p = np.exp(np.array(log) - max(log))
    return p / p.sum(), np.array(Q)


PRIORS = {
    "flat": P.VarianceShare(12),
    "weighted": P.VarianceShare(12, weights=lambda s: (1.0 - s[:, -1]) ** 2 + 0.01),
    "total": P.VarianceShare(12, total=P.InverseGamma(3.0, 10.0)),
}


@pytest.mark.parametrize("formula", [ONE, TWO, "y ~ x + (1 | g)"])
@pytest.mark.parametrize("name", list(PRIORS))
def test_the_posterior_is_enumerated_exactly(formula: str, name: str):
    target = _target(formula, PRIORS[name])
    plan = plan_shares(target)
    expected, Q = _brute(target, PRIORS[name].total)
    assert len(plan.Q) == len(expected)
    np.testing.assert_allclose(plan.posterior, expected, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(plan.Q, Q, **OBJECTIVE)
    assert plan.posterior.sum() == pytest.approx(1.0, abs=1e-12)


def test_with_prior_weights_of_records_too():
    data = records().assign(w=np.random.default_rng(4).uniform(0.5, 3.0, 48))
    spec = spec_of("y ~ x + (1 | g)", data, weights="w")
    likelihood, _ = choose(spec, reml=True, purpose="many")
    target = Target(spec, likelihood, resolve(spec, P.VarianceShare(10)))
    np.testing.assert_allclose(plan_shares(target).posterior, _brute(target)[0], rtol=1e-7, atol=1e-12)


def _draws(target: Any, plan: Any, blocks: int) -> Any:
    scheme = plan.scheme(target)
    pieces = [scheme.advance({}, np.random.default_rng((7, i)))[0] for i in range(blocks)]
    return {f: np.concatenate([getattr(p, f) for p in pieces]) for f in ("par", "theta", "beta", "lp", "loglik")}


def test_draws_have_the_enumerated_distribution_to_a_total_variation_of_a_hundredth():
    target = _target(TWO, P.VarianceShare(6))
    plan = plan_shares(target)
    x = _draws(target, plan, 600)
    shares = x["par"] / x["par"].sum(axis=1, keepdims=True)
    nearest = np.abs(shares[:, None] - plan.shares).sum(axis=2)
    assert nearest.min(axis=1).max() < 1e-10  # every draw is a point of the grid
    found = np.bincount(nearest.argmin(axis=1), minlength=len(plan.Q)) / len(shares)
    assert 0.5 * np.abs(found - _brute(target)[0]).sum() < 0.01


def test_totals_and_fixed_effects_follow_their_conditionals():
    target = _target(ONE, P.VarianceShare(12, total=P.InverseGamma(3.0, 10.0)))
    plan = plan_shares(target)
    x = _draws(target, plan, 150)
    total = x["par"].sum(axis=1)
    point = np.abs(x["par"][:, :1] / total[:, None] - plan.shares[:, 0]).argmin(axis=1)
    df = target.spec.n - target.spec.p
    gamma = (10.0 + 0.5 * plan.Q[point]) / total
    assert stats.kstest(gamma, stats.gamma(3.0 + 0.5 * df).cdf).pvalue > 1e-5
    z = []
    for row in range(0, 15_000, 5):
        at = target.likelihood.at(x["theta"][row])
        z.append(np.linalg.solve(np.linalg.cholesky(at.beta_cov), x["beta"][row] - at.beta))
    for column in np.array(z).T:
        assert stats.kstest(column, "norm").pvalue > 1e-5


def test_log_likelihoods_of_draws_are_those_of_the_likelihood():
    target = _target(TWO, P.VarianceShare(8))
    plan = plan_shares(target)
    x = _draws(target, plan, 1)
    expected = [target.likelihood.at(theta).loglik for theta in x["theta"][:20]]
    np.testing.assert_allclose(x["loglik"][:20], expected, **OBJECTIVE)
    difference = x["lp"] - x["loglik"] + np.log(x["par"].sum(axis=1))  # flat weights, p(total) ∝ 1/total
    np.testing.assert_allclose(difference, difference[0], **OBJECTIVE)


def test_fine_grids_tend_to_the_continuous_posterior():
    target = _target(ONE, P.VarianceShare(400))
    plan = plan_shares(target)
    spec = target.spec
    top = float(plan.constant.max())

    def density(log_total: float, share: float) -> float:
        theta = np.exp(log_total) * np.array([share, 1.0 - share])
        return float(np.exp(target.likelihood.at(theta).loglik - top + 0.5 * (spec.n - spec.p) * middle))

    middle = float(np.log(np.var(spec.y)))
    options = {"epsabs": 1e-7, "epsrel": 1e-5}
    total = dblquad(density, 0.0, 1.0, middle - 2.0, middle + 2.0, **options)[0]
    mean = dblquad(lambda t, s: s * density(t, s), 0.0, 1.0, middle - 2.0, middle + 2.0, **options)[0] / total
    # the grid leaves out a residual share of zero: its mean is that of the midpoints' rule but for half a step
    assert abs(plan.posterior @ plan.shares[:, 0] - mean) < 2e-3


def test_draws_are_independent_of_the_units_of_y():
    data = records()
    K = kernel(data)
    plans = []
    for unit in (1.0, 1e4):
        spec = spec_of(TWO, data.assign(y=unit * data["y"]), cov={"K": K})
        likelihood, _ = choose(spec, reml=True, purpose="many")
        plans.append(plan_shares(Target(spec, likelihood, resolve(spec, P.VarianceShare(10)))))
    np.testing.assert_allclose(plans[1].posterior, plans[0].posterior, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(plans[1].Q, 1e8 * plans[0].Q, **OBJECTIVE)


def test_the_grid_is_every_point_of_the_simplex_with_a_residual():
    assert len(simplex(20, 1)) == 20
    grid = simplex(5, 2)
    every = {(a, b) for a in range(5) for b in range(5) if a + b <= 4}
    assert {tuple(np.rint(5 * row[:2]).astype(int)) for row in grid} == every
    assert len(grid) == len(every)
    np.testing.assert_allclose(grid.sum(axis=1), 1.0, rtol=1e-12, atol=0.0)


def test_weights_by_array_mapping_and_function_are_the_same():
    points = simplex(4, 1)
    w = np.array([0.1, 0.2, 0.0, 0.7])
    by_key = {0.0: 0.1, 0.25: 0.2, 0.75: 0.7}
    plans = [
        plan_shares(_target("y ~ x + (1 | g)", P.VarianceShare(4, weights=given)))
        for given in (w, by_key, lambda s: w, {(0.0,): 1, (0.25,): 2, (0.75, 0.25): 7})
    ]
    for plan in plans:
        np.testing.assert_allclose(plan.shares[:, 0], points[[0, 1, 3], 0], rtol=1e-12, atol=0.0)
        np.testing.assert_allclose(plan.posterior, plans[0].posterior, rtol=1e-12, atol=0.0)


def test_weights_multiply_the_posterior_of_equal_weights():
    w = np.array([0.1, 0.2, 0.3, 0.7])
    flat, weighted = (
        plan_shares(_target("y ~ x + (1 | g)", P.VarianceShare(4, weights=given))).posterior for given in (None, w)
    )
    np.testing.assert_allclose(weighted, flat * w / (flat @ w), rtol=1e-10, atol=0.0)


def test_the_points_may_be_given():
    plan = plan_shares(_target("y ~ x + (1 | g)", P.VarianceShare([0.1, 0.3, 0.9])))
    np.testing.assert_allclose(plan.shares, [[0.1, 0.9], [0.3, 0.7], [0.9, 0.1]], rtol=1e-12, atol=0.0)
    two = plan_shares(_target(TWO, P.VarianceShare([[0.1, 0.3], [0.2, 0.2]])))
    np.testing.assert_allclose(two.shares[:, 2], [0.6, 0.6], rtol=1e-12, atol=0.0)


def test_weights_of_a_function_are_stored_as_numbers():
    spec = spec_of("y ~ x + (1 | g)")
    prior = P.VarianceShare(5, weights=lambda s: 1.0 + s[:, 0])
    bound = resolve(spec, prior)
    again = resolve(spec, P.from_state(P.to_state(bound.stated)))
    np.testing.assert_allclose(again.shares.log_weights, bound.shares.log_weights, rtol=1e-12, atol=1e-15)
    with pytest.raises(OptionError, match="cannot be stored"):
        P.to_state(prior)


@pytest.mark.parametrize(
    ("formula", "given", "message"),
    [
        ("y ~ x + (x | g)", P.VarianceShare(5), "'g' has more than one variance component"),
        ("y ~ x + (1 | g)", P.VarianceShare([1.2]), r"\(1.2, -0.2\) is no point of the simplex"),
        ("y ~ x + (1 | g)", P.VarianceShare([1.0]), "the residual's more than 0"),
        ("y ~ x + (1 | g)", P.VarianceShare(5, weights=[1, 1]), r"weights of shape \(2,\), but the grid has 5 points"),
        ("y ~ x + (1 | g)", P.VarianceShare(5, weights=lambda s: -s[:, 0]), "finite and not negative"),
        ("y ~ x + (1 | g)", P.VarianceShare(5, weights=[0] * 5), "every point of the grid has weight zero"),
        ("y ~ x + (1 | g)", P.VarianceShare(5, weights={0.3: 1.0}), r"0.3 is no point of the grid; the nearest is"),
        ("y ~ x + (1 | g) + (1 | h)", P.VarianceShare(2000), "has 2001000 points, more than 200000"),
        (TWO, P.VarianceShare([[0.1, 0.2, 0.3, 0.4]]), "points have 4 shares, but there are 2 random terms"),
        (
            "y ~ x + (1 | g)",
            {"g": P.VarianceShare(5), "fixed": P.Normal(0, sd=1)},
            "does not allow: leave 'fixed' flat",
        ),
        ("y ~ x + (1 | g)", {"residual": P.VarianceShare(5)}, "prior of all variances together"),
    ],
)
def test_what_cannot_be_shared_out_is_refused_by_name(formula: str, given: Any, message: str):
    with pytest.raises(OptionError, match=message):
        _target(formula, given)


def test_a_fit_with_a_prior_on_heritability():
    data = records()
    fit = mv.fit(
        ONE,
        data,
        cov={"K": kernel(data)},
        method="gibbs",
        priors={"id": P.VarianceShare(20)},
        draws=500,
        chains=2,
        seed=3,
        workers=1,
    )
    draws = fit.estimate.draws
    h2 = draws.theta[..., 0] / draws.theta.sum(axis=2)
    assert np.abs(20 * h2 - np.rint(20 * h2)).max() < 1e-9
    spec = fit.spec
    likelihood, _ = choose(spec, reml=True, purpose="many")
    plan = plan_shares(Target(spec, likelihood, resolve(spec, P.VarianceShare(20))))
    mean = plan.posterior @ plan.shares[:, 0]
    sd = np.sqrt(plan.posterior @ plan.shares[:, 0] ** 2 - mean**2)
    assert abs(h2.mean() - mean) < 4.5 * sd / np.sqrt(1000)
    flat = h2.ravel() - h2.mean()
    assert abs(np.mean(flat[1:] * flat[:-1])) / np.var(flat) < 4.5 / np.sqrt(1000)  # no autocorrelation
