"""The average-information Newton ascent: its trace, its charts, its quadratic step."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import mixedvc as mv
from mixedvc.estimators import ML, REML
from mixedvc.estimators.charts import BoxChart, EigenChart, FaceChart, SdChart, box_chart, chart_for, face_at
from mixedvc.estimators.newton import Ascent
from mixedvc.estimators.quadratic import box_step
from mixedvc.estimators.start import units_of
from mixedvc.likelihood import choose
from mixedvc.likelihood import dense as dense_module
from mixedvc.structures import make
from mixedvc.testing import assemble, problems

from ..tolerances import COMPONENT, IDENTITY, OBJECTIVE, PARAMETER


def six_rows():
    """Three groups of 3, 2 and 1 rows: unbalanced, so that REML is not the moment estimate."""
    y = np.array([1.0, 2.5, 1.7, 4.0, 5.1, 2.2])
    return assemble.spec(y, np.ones((6, 1)), [assemble.term("g", ["a", "a", "a", "b", "b", "c"])])


def newton_by_hand(spec, theta, steps):
    """θ ← θ + AI⁻¹ score by explicit matrices: V, P and their products from the definitions alone."""
    n = spec.n
    groups = spec.terms[0].codes
    V1, V2 = (groups[:, None] == groups).astype(float), np.eye(n)
    X, y = spec.X, spec.y
    path = [theta]
    for _ in range(steps):
        Vi = np.linalg.inv(theta[0] * V1 + theta[1] * V2)
        P = Vi - Vi @ X @ np.linalg.inv(X.T @ Vi @ X) @ X.T @ Vi
        Py = P @ y
        score = np.array([0.5 * (Py @ V @ Py - np.trace(P @ V)) for V in (V1, V2)])
        AI = np.array([[0.5 * Py @ A @ P @ B @ Py for B in (V1, V2)] for A in (V1, V2)])
        theta = theta + np.linalg.solve(AI, score)
        path.append(theta)
    return np.array(path)


def test_the_first_steps_of_reml_are_those_of_plain_dense_algebra():
    spec = six_rows()
    fit = REML(start={"g": 1.6, "residual": 0.7}).fit(spec)
    hand = newton_by_hand(spec, np.array([1.6, 0.7]), 3)
    traced = np.array([row.theta for row in fit.trace[:4]])
    np.testing.assert_allclose(traced, hand[: len(traced)], **PARAMETER)
    assert fit.converged
    assert fit.trace[-1].decrement < REML().tol


def test_the_trace_holds_every_evaluation_rises_and_ends_at_the_estimate():
    spec = mv.model("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    bad_start = {"Subject": [[1e-4, 0.0], [0.0, 1e-4]], "residual": 20.0}
    for options in ({}, {"start": bad_start}):
        fit = ML(**options).fit(spec)
        accepted = [row for row in fit.trace if row.accepted]
        values = [row.loglik for row in accepted]
        assert np.all(np.diff(values) >= -1e-9)
        np.testing.assert_allclose(accepted[-1].theta, fit.theta, **IDENTITY)
        np.testing.assert_allclose(values[-1], fit.loglik, **IDENTITY)
        assert len(fit.trace) == fit.n_evaluations
        for row in fit.trace:
            np.testing.assert_allclose(row.loglik, choose(spec, reml=False)[0].at(row.theta).loglik, **OBJECTIVE)
    assert not all(row.accepted for row in fit.trace)


def test_large_dense_fits_start_in_single_precision_and_end_where_the_others_do(monkeypatch):
    rng = np.random.default_rng(4)
    n = 120
    W, ids = rng.standard_normal((n, 200)), [f"i{k}" for k in range(n)]
    K1, K2 = W[:, :90] @ W[:, :90].T / 90, W[:, 90:] @ W[:, 90:].T / 110
    y = W[:, :90] @ rng.standard_normal(90) * 0.08 + rng.standard_normal(n)
    one = [assemble.term("a", ids, covariance=mv.Dense(K1, ids))]
    slope = assemble.term(
        "b", ids, basis=np.column_stack([np.ones(n), W[:, 0]]), covariance=mv.Dense(K2, ids), structure="us"
    )
    for terms in (one, [*one, slope]):
        spec = assemble.spec(y, np.ones((n, 1)), terms)
        with_warnings_off = REML(likelihood="dense")
        monkeypatch.setattr(dense_module, "_ROUGH_FROM", 10**9)
        exact = _quietly(with_warnings_off, spec)
        monkeypatch.setattr(dense_module, "_ROUGH_FROM", 50)
        rough = _quietly(with_warnings_off, spec)
        assert exact.extra["single_precision_evaluations"] == 0
        assert rough.extra["single_precision_evaluations"] > 0
        assert rough.n_evaluations < exact.n_evaluations + 2
        np.testing.assert_allclose(rough.loglik, exact.loglik, **OBJECTIVE)
        np.testing.assert_allclose(rough.theta, exact.theta, rtol=COMPONENT["rtol"], atol=1e-7)


def _quietly(estimator, spec):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mv.errors.MixedVCWarning)
        return estimator.fit(spec)


def test_a_rank_one_optimum_is_reached_and_flagged():
    rng = np.random.default_rng(3)
    groups, x = np.repeat(np.arange(12), 6), np.tile(np.linspace(-1, 1, 6), 12)
    u = rng.standard_normal(12)
    y = (1.0 + 0.5 * x) * u[groups] + 0.3 * rng.standard_normal(72)
    term = assemble.term("g", groups.astype(str), basis=np.column_stack([np.ones(72), x]))
    with pytest.warns(mv.errors.BoundaryWarning, match="g"):
        fit = REML().fit(assemble.spec(y, np.column_stack([np.ones(72), x]), [term]))
    a, c, b = fit.theta[:3]
    assert fit.singular
    assert fit.converged
    np.testing.assert_allclose(c * c, a * b, rtol=1e-9, atol=0)
    assert list(fit.at_bound) == [False, True, False, False]


@pytest.mark.parametrize("seed", range(12))
def test_the_box_step_solves_its_quadratic_problem(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    A = rng.standard_normal((n, n))
    H, g = A @ A.T + 0.1 * np.eye(n), rng.standard_normal(n) * 3
    low = np.where(rng.random(n) < 0.6, -rng.random(n) * (rng.random(n) < 0.7), -np.inf)
    high = np.where(rng.random(n) < 0.4, rng.random(n), np.inf)
    d = box_step(H, g, low, high)
    slope = g - H @ d
    assert np.all((d >= low - 1e-12) & (d <= high + 1e-12))
    inside = (d > low + 1e-9) & (d < high - 1e-9)
    np.testing.assert_allclose(slope[inside], 0.0, rtol=0, atol=1e-8)
    assert np.all(slope[d <= low + 1e-9] <= 1e-8)
    assert np.all(slope[d >= high - 1e-9] >= -1e-8)


CHARTS = [
    ("us", (), FaceChart),
    ("diag", (), BoxChart),
    ("cs", (("hom", True),), EigenChart),
    ("cs", (), SdChart),
    ("ar1", (), BoxChart),
    ("ar1", (("hom", False),), SdChart),
]


@pytest.mark.parametrize(("name", "options", "kind"), CHARTS)
def test_a_chart_knows_its_derivatives(name, options, kind):
    structure = make(name, 3, options)
    Sigma = structure.build(structure.start(np.array([[1.0, 0.4, 0.2], [0.4, 0.8, 0.3], [0.2, 0.3, 1.3]])))
    chart = chart_for(structure, Sigma)
    assert isinstance(chart, kind)
    np.testing.assert_allclose(chart.sigma(chart.q), Sigma, rtol=1e-10, atol=1e-12)

    def theta(q):
        S = chart.sigma(q)
        return np.array([S[a, b] for a, b in structure.pairs])

    q, h = chart.q, 1e-5
    steps = np.eye(len(q)) * h
    numeric = np.array([(theta(q + s) - theta(q - s)) / (2 * h) for s in steps])
    np.testing.assert_allclose(chart.jacobian(), numeric, rtol=0, atol=1e-8)
    score = np.arange(1.0, len(structure.pairs) + 1)
    bend = [
        [
            (theta(q + s + t) - theta(q + s - t) - theta(q - s + t) + theta(q - s - t)) @ score / (4 * h * h)
            for t in steps
        ]
        for s in steps
    ]
    np.testing.assert_allclose(chart.curvature(score), bend, rtol=0, atol=2e-4)


def test_a_face_drops_and_regains_rank():
    structure = make("us", 3)
    b = np.array([1.0, -2.0, 0.5])
    chart = face_at(structure, np.outer(b, b), 1e-5)
    assert chart.rank == 1
    assert len(chart.q) == 3
    direction = np.array([2.0, 1.0, 0.0])  # outside the face: the criterion rises along it
    up = np.outer(direction, direction)
    score = np.array([up[i, j] * (1 if i == j else 2) for i, j in structure.pairs])
    released, gain = chart.release(score, np.eye(6))
    assert released.rank == 2
    assert gain > 0
    assert chart.release(-score, np.eye(6)) is None


def test_a_component_that_touches_zero_can_come_back():
    spec = mv.model("diameter ~ 1 + (1 | plate) + (1 | sample)", mv.load_data("penicillin"))
    fit = REML(start={"plate": 0.0, "sample": 0.0, "residual": 5.0}).fit(spec)
    np.testing.assert_allclose(fit.theta, spec.fit("reml").estimate.theta, **COMPONENT)
    assert np.all(fit.theta > 0)


def test_components_can_be_held():
    spec = mv.model("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    held = np.array([[600.0, 5.0], [5.0, 30.0]])
    fit = REML(fixed_varcomp={"Subject": held}).fit(spec)
    np.testing.assert_allclose(fit.theta[:3], [600.0, 5.0, 30.0], **IDENTITY)
    assert list(fit.fixed) == [True, True, True, False]
    grid = fit.theta[3] * np.array([0.999, 1.0, 1.001])
    likelihood = choose(spec)[0]
    values = [likelihood.at(np.append(fit.theta[:3], g)).loglik for g in grid]
    assert values[1] > max(values[0], values[2])


class Interrupted:
    """A likelihood whose user loses patience at the evaluation `at_most`."""

    def __init__(self, inner, at_most):
        self.inner, self.left = inner, at_most
        self.name, self.spec, self.reml = inner.name, inner.spec, inner.reml

    def at(self, theta):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.inner.at(theta)

    def moments(self):
        return self.inner.moments()


def test_an_interrupted_fit_keeps_what_it_has():
    spec = mv.model("Reaction ~ Days + (Days | Subject)", mv.load_data("sleepstudy"))
    start = {"Subject": [[1.0, 0.0], [0.0, 1.0]], "residual": 5000.0}
    likelihood = choose(spec)[0]
    with pytest.warns(mv.errors.ConvergenceWarning, match=r"interrupted after [2-9] iterations"):
        fit = REML(start=start).fit(spec, likelihood=Interrupted(likelihood, 7))
    assert not fit.converged
    np.testing.assert_allclose(fit.loglik, likelihood.at(fit.theta).loglik, **OBJECTIVE)
    assert fit.loglik > fit.trace[0].loglik


def test_a_rank_is_not_given_up_where_the_criterion_falls_by_it():
    spec = problems.bound("slopes")
    likelihood = choose(spec)[0]
    units = units_of(spec, float(np.var(spec.y)))
    ascent = Ascent(spec, likelihood, units, tol=1e-12, max_iter=10)
    Sigma, residual = (units.down(i, S) for i, S in enumerate(spec.sigmas(REML().fit(spec).theta)))
    inside = face_at(spec.terms[0].structure, Sigma, 0.0)
    eager = dataclasses.replace(inside, drop_below=float(np.linalg.eigvalsh(Sigma).mean()))
    charts = [eager, box_chart(spec.residual.structure, residual.ravel())]
    at = ascent.point(charts)
    after = ascent._after(at, [chart.q for chart in charts], at.theta, at.loglik)
    assert inside.rank == 2 and eager.moved(eager.q).rank == 1
    assert after.charts[0].rank == 2
    np.testing.assert_allclose(after.theta, at.theta, rtol=1e-10, atol=0)
    assert after.loglik == at.loglik
    refused = [row for row in ascent.visited if not row.accepted]
    assert len(refused) == 1 and refused[0].loglik < at.loglik


@pytest.mark.filterwarnings("ignore::mixedvc.errors.BoundaryWarning")  # the variance of z is zero
@pytest.mark.parametrize("method", ["reml", "ml", "mm"])
@pytest.mark.parametrize("bar", ["(x | g)", "(x + z | g)"])
def test_a_covariate_far_from_zero_is_fitted_like_a_centred_one(method, bar):
    """Years: the correlation of intercept and slope is −1 to six digits, and Σ is far from singular all the same."""
    rng = np.random.default_rng(31)
    g = np.repeat(np.arange(30), 7)
    t = np.tile(np.arange(7.0) - 3.0, 30)
    y = 3.0 + 0.2 * t + rng.standard_normal(30)[g] + 0.5 * rng.standard_normal(30)[g] * t + rng.standard_normal(len(t))
    data = pd.DataFrame({"y": y, "g": g})
    formula = f"y ~ x + {bar}"
    near = mv.fit(formula, data.assign(x=t, z=t**2), method=method)
    far = mv.fit(formula, data.assign(x=t + 2015.0, z=t**2), method=method)
    assert far.converged
    assert far.is_singular == near.is_singular
    np.testing.assert_allclose(far.llf, near.llf, **OBJECTIVE)
    shift = np.array([[1.0, 2015.0], [0.0, 1.0]])
    centred = shift @ far.spec.sigmas(far.theta)[0][:2, :2] @ shift.T
    np.testing.assert_allclose(centred, near.spec.sigmas(near.theta)[0][:2, :2], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(far.fittedvalues, near.fittedvalues, rtol=0, atol=1e-4)


def test_units_turn_correlated_effects_into_orthogonal_ones():
    """Scaled Σ, score and information are those of the orthogonal effects basis · T, by direct multiplication."""
    rng = np.random.default_rng(32)
    x = rng.standard_normal(60) + 40.0
    basis = np.column_stack([np.ones(60), x, x**2])
    spec = assemble.spec(
        rng.standard_normal(60), np.ones((60, 1)), [assemble.term("g", np.repeat(np.arange(12), 5), basis=basis)]
    )
    units = units_of(spec, 2.0)
    turned = basis @ units.transform(0)
    np.testing.assert_allclose(turned.T @ turned / 60, np.eye(3), rtol=0, atol=1e-6)
    root = rng.standard_normal((3, 3))
    Sigma = root @ root.T
    user = units.up(0, Sigma)
    np.testing.assert_allclose(basis @ user @ basis.T, 2.0 * turned @ Sigma @ turned.T, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(units.down(0, user), Sigma, rtol=1e-6, atol=1e-6)
    other = spec.theta([units.up(0, Sigma + np.eye(3)), np.array([[2.0]])]) - spec.theta([user, np.array([[2.0]])])
    step = spec.theta([np.eye(3), np.array([[0.0]])])  # of scaled θ: the residual did not move
    score = rng.standard_normal(7)
    np.testing.assert_allclose(units.dual(score) @ step, score @ other, rtol=1e-5, atol=0)
    matrix = np.outer(score, score) + np.diag(np.abs(score))
    np.testing.assert_allclose(step @ units.information(matrix) @ step, other @ matrix @ other, rtol=1e-5, atol=0)


def test_an_effect_without_variance_stays_exactly_so_through_the_units():
    x = np.random.default_rng(33).standard_normal(40) + 3.0
    basis = np.column_stack([np.ones(40), x])
    spec = assemble.spec(x, np.ones((40, 1)), [assemble.term("g", np.repeat(np.arange(8), 5), basis=basis)])
    units = units_of(spec, 1.7)
    for Sigma in (np.diag([0.8, 0.0]), np.diag([0.0, 0.8])):
        back = units.up(0, units.down(0, Sigma))
        np.testing.assert_array_equal(back == 0.0, Sigma == 0.0)
        np.testing.assert_allclose(back, Sigma, rtol=1e-10, atol=0)
