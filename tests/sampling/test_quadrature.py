"""Collapsed chains against the exact posterior of two variances and β: quantiles of all, for many priors and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc import priors as pr
from mixedvc.likelihood.choose import choose
from mixedvc.priors.resolve import resolve
from mixedvc.sampling.chains import Run, run
from mixedvc.sampling.collapsed import plan_collapsed
from mixedvc.sampling.target import Target
from tests.sampling.exact_posterior import Exact, exact_posterior, z_score

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
LIMIT = 4.5  # standard errors


@dataclass(frozen=True)
class Case:
    """Data, priors as users write them and as densities of (a, b), and the grid."""

    data: Callable[[], tuple[pd.DataFrame, dict[str, Any], np.ndarray]]
    priors: Any
    log_prior: Callable[[np.ndarray, np.ndarray], np.ndarray]
    a: tuple[float, float]
    b: tuple[float, float]
    weights: bool = False
    normal: tuple[np.ndarray, np.ndarray] | None = None


def inverse_gamma(shape: float, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda v: -(shape + 1.0) * np.log(v) - scale / v


def half_t(df: float, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    """Of v = σ²: the density of σ over 2σ."""
    return lambda v: -0.5 * (df + 1.0) * np.log1p(v / (df * scale**2)) - 0.5 * np.log(v)


def expanded(V: float, nu: float, alpha_V: float) -> Callable[[np.ndarray], np.ndarray]:
    """v = α² w, w inverse gamma, α ~ N(0, alpha_V): integrated over log w on a grid."""
    log_w = np.linspace(-12.0, 30.0, 4000)
    w = np.exp(log_w)

    def log(v: np.ndarray) -> np.ndarray:
        v, back = np.unique(v, return_inverse=True)  # a grid has each many times
        s2 = v[:, None] / w  # α²
        inner = -0.5 * s2 / alpha_V - 0.5 * np.log(s2) - log_w - (0.5 * nu + 1) * log_w - 0.5 * nu * V / w + log_w
        top = inner.max(axis=1)
        return (top + np.log(np.exp(inner - top[:, None]).sum(axis=1)))[back]

    return log


def both(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    return lambda a, b: first(a) + second(b)


def kernel(signal: float, seed: int, n: int = 40) -> Callable[[], Any]:
    """A dense kernel of markers; `signal` its variance over the residual's one."""

    def make() -> Any:
        rng = np.random.default_rng(seed)
        G = rng.normal(size=(n, 2 * n))
        K = G @ G.T / (2 * n)
        ids = [f"i{j}" for j in range(n)]
        u = np.linalg.cholesky(K + 1e-9 * np.eye(n)) @ rng.normal(size=n)
        x = rng.normal(size=n)
        y = 1.0 + 0.5 * x + np.sqrt(signal) * u + rng.normal(size=n)
        data = pd.DataFrame({"y": y, "x": x, "id": ids, "w": rng.uniform(0.3, 3.0, size=n)})
        return data, {"K": pd.DataFrame(K, index=ids, columns=ids)}, K

    return make


def groups(signal: float, seed: int, q: int = 8, each: int = 6) -> Callable[[], Any]:
    def make() -> Any:
        rng = np.random.default_rng(seed)
        code = np.repeat(np.arange(q), each)
        x = rng.normal(size=len(code))
        e = rng.normal(size=len(code))
        u = np.sqrt(signal) * rng.normal(size=q)
        if signal == 0.0:  # no variation between groups at all: the restricted likelihood is highest at zero
            e = e - np.bincount(code, e)[code] / each
        data = pd.DataFrame({"y": 1.0 + 0.5 * x + u[code] + e, "x": x, "id": [f"g{c}" for c in code]})
        data["w"] = rng.uniform(0.3, 3.0, size=len(code))
        return data, {}, (code[:, None] == code).astype(float)

    return make


VAGUE = inverse_gamma(0.001, 0.001)
CASES = {
    "strong data": Case(kernel(3.0, 1), pr.HalfT(3, 2.0), both(half_t(3, 2.0), half_t(3, 2.0)), (-19, 6), (-9, 4)),
    "nothing between groups, plateau": Case(
        groups(0.0, 2), pr.InverseGamma(0.001, 0.001), both(VAGUE, VAGUE), (-10.5, 3), (-2, 2)
    ),
    "few groups, heavy tails": Case(
        groups(2.0, 3, q=3), pr.HalfCauchy(1.0), both(half_t(1, 1.0), half_t(1, 1.0)), (-17, 13), (-2.5, 3)
    ),
    "a normal prior on β and weights": Case(
        groups(1.0, 4),
        {"id": pr.HalfT(4, 1.0), "residual": pr.InverseGamma(2.0, 1.0), "fixed": pr.Normal(0.0, sd=0.15)},
        both(half_t(4, 1.0), inverse_gamma(2.0, 1.0)),
        (-17, 6),
        (-2, 2),
        weights=True,
        normal=(np.zeros(2), 0.15**2 * np.eye(2)),
    ),
}
SLOW = {
    "inverse Wishart": Case(
        groups(1.0, 5), pr.InverseWishart(V=0.5, nu=3.0), both(*[inverse_gamma(1.5, 0.75)] * 2), (-4, 5), (-2, 2)
    ),
    "parameter expanded": Case(
        groups(0.3, 6),
        {"id": pr.ParameterExpanded(V=1.0, nu=1.0, alpha_mu=0.0, alpha_V=25.0), "residual": pr.InverseGamma(1.0, 1.0)},
        both(expanded(1.0, 1.0, 25.0), inverse_gamma(1.0, 1.0)),
        (-22, 12),
        (-2, 2),
    ),
    "kernel without signal": Case(
        kernel(0.0, 7), pr.HalfT(3, 1.0), both(half_t(3, 1.0), half_t(3, 1.0)), (-22, 5), (-12, 4)
    ),
    "flat on the sd": Case(
        groups(1.5, 8),
        pr.Flat(on="sd"),
        both(lambda v: -0.5 * np.log(v), lambda v: -0.5 * np.log(v)),
        (-17, 8),
        (-2, 2),
    ),
    "kernel with weights, plateau": Case(
        kernel(1.0, 9), pr.InverseGamma(0.001, 0.001), both(VAGUE, VAGUE), (-10.5, 4.5), (-9, 3), weights=True
    ),
    "small prior variance of β against the data": Case(
        kernel(2.0, 10),
        {
            "fixed": pr.Normal([3.0, 0.0], cov=[[0.04, 0.01], [0.01, 0.09]]),
            "id": pr.HalfT(3, 1.0),
            "residual": pr.HalfT(3, 1.0),
        },
        both(half_t(3, 1.0), half_t(3, 1.0)),
        (-22, 8),
        (-14, 6),
        normal=(np.array([3.0, 0.0]), np.array([[0.04, 0.01], [0.01, 0.09]])),
    ),
}


def sampled(case: Case, proposal: str | None, draws: int, seed: int = 11) -> tuple[Any, Exact]:
    data, cov, K = case.data()
    formula = "y ~ x + (1 | id:K)" if cov else "y ~ x + (1 | id)"
    spec = mv.model(formula, data, cov=cov or None, weights="w" if case.weights else None)
    likelihood, _ = choose(spec, reml=True, purpose="sample")
    given = case.priors if isinstance(case.priors, dict) else {"id": case.priors, "residual": case.priors}
    target = Target(spec, likelihood, resolve(spec, given))
    plan = plan_collapsed(target, np.array([0.0, 1.0]), seed=seed, proposal=proposal)
    got = run(target, plan, Run(draws, plan.burnin, 1, 2, seed))
    X = np.column_stack([np.ones(len(data)), data["x"]])
    D = 1.0 / data["w"].to_numpy() if case.weights else np.ones(len(data))
    return got, exact_posterior(data["y"].to_numpy(), X, K, D, case.log_prior, case.a, case.b, normal=case.normal)


def check(case: Case, proposal: str | None, draws: int) -> None:
    got, exact = sampled(case, proposal, draws)
    a, b = got.theta[:, :, 0], got.theta[:, :, 1]
    pairs = [("a", a, exact.a), ("b", b, exact.b), ("share", a / (a + b), exact.a / (exact.a + exact.b))]
    z = {(name, q): z_score(x, exact.quantile(values, q), q) for name, x, values in pairs for q in LEVELS}
    z |= {("beta", j, q): z_score(got.beta[:, :, j], exact.beta_quantile(j, q), q) for j in (0, 1) for q in LEVELS}
    assert max(abs(value) for value in z.values()) < LIMIT, {key: round(v, 1) for key, v in z.items() if abs(v) > 3}


@pytest.mark.parametrize("name", CASES)
def test_quantiles_of_variances_shares_and_coefficients_are_those_of_the_exact_posterior(name):
    check(CASES[name], None, 1500)


def test_slice_sampling_has_the_same_quantiles():
    check(CASES["nothing between groups, plateau"], "slice", 500)


@pytest.mark.slow
@pytest.mark.parametrize("name", {**CASES, **SLOW})
@pytest.mark.parametrize("proposal", ["independence", "slice"])
def test_long_runs_have_the_quantiles_of_the_exact_posterior(name, proposal):
    check({**CASES, **SLOW}[name], proposal, 8000 if proposal == "independence" else 1500)


def test_the_exact_posterior_agrees_with_a_normal_density_written_out():
    """The grid's algebra against |V| and V⁻¹ of the whole matrix, the prior of β inside V."""
    data, _, K = groups(1.0, 4, q=3, each=4)()
    y, X, D = data["y"].to_numpy(), np.column_stack([np.ones(12), data["x"]]), 1.0 / data["w"].to_numpy()
    B, b0 = np.array([[0.5, 0.1], [0.1, 0.3]]), np.array([0.2, -0.1])
    flat = both(lambda v: -3.0 * np.log(v) - 1.0 / v, lambda v: -3.0 * np.log(v) - 1.0 / v)
    got = exact_posterior(y, X, K, D, flat, (-4, 9), (-4, 5), size=50, normal=(b0, B))

    def log(a: float, b: float) -> float:
        V = a * K + b * np.diag(D) + X @ B @ X.T
        r = y - X @ b0
        prior = float(flat(np.array([a]), np.array([b]))[0]) + np.log(a) + np.log(b)
        return -0.5 * (np.linalg.slogdet(V)[1] + r @ np.linalg.solve(V, r)) + prior

    i, j = np.argsort(got.weight)[[-1, -200]]
    want = log(got.a[i], got.b[i]) - log(got.a[j], got.b[j])
    np.testing.assert_allclose(np.log(got.weight[i] / got.weight[j]), want, rtol=1e-9)


def test_densities_of_the_priors_written_here_are_those_of_the_package():
    """Differences of log densities at two variances: constants do not matter to a posterior."""
    v = np.array([0.3, 2.7])
    pairs = [
        (pr.HalfT(3, 2.0), half_t(3, 2.0)),
        (pr.InverseGamma(1.5, 0.75), inverse_gamma(1.5, 0.75)),
        (pr.InverseWishart(V=0.5, nu=3.0), inverse_gamma(1.5, 0.75)),
        (pr.ParameterExpanded(V=1.0, nu=1.0, alpha_mu=0.0, alpha_V=25.0), expanded(1.0, 1.0, 25.0)),
    ]
    spec = mv.model("y ~ x + (1 | id)", groups(1.0, 4)()[0])
    for prior, log in pairs:
        bound = resolve(spec, {"id": prior}).terms[0]
        np.testing.assert_allclose(np.diff(bound.logpdf(v[:, None])), np.diff(log(v)), rtol=1e-5)
