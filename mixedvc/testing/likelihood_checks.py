"""What every likelihood must satisfy on a small specification."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..design.spec import ModelSpec
from ..likelihood.marginals import marginals
from ..structures.base import sigma_of
from . import thetas, transform
from .brute import Brute, BruteEvaluation, design_matrix
from .compare import BRUTE_FORCE, DERIVATIVE, close, z_scores

Float = NDArray[np.float64]


def likelihood_checks(kind: Any, spec: ModelSpec, *, seed: int = 0) -> list[str]:
    """Every quantity of a likelihood against dense brute force, by REML and by ML, at many θ.

    Parameters
    ----------
    kind : LikelihoodKind
        What is registered under ``mixedvc.likelihood.likelihoods``.
    spec : ModelSpec
        One response and at most a few hundred rows.
    seed : int
        Chooses the θ.

    Returns
    -------
    list of str
        What was checked; empty where the likelihood says (by ``cost(spec) is None``) that it does not apply.

    Raises
    ------
    AssertionError
        Names the quantity, the θ, and both values.
    """
    if kind.cost(spec) is None:
        return []
    done: list[str] = []
    for reml in (True, False):
        likelihood, brute = kind(spec, reml=reml), Brute(spec, reml)
        mode = "REML" if reml else "ML"
        for name, theta in thetas.points(spec, seed).items():
            compare_evaluations(likelihood.at(theta), brute.at(theta), f"{mode}, {name}")
            done.append(f"{mode} at θ {name}")
        alone(likelihood, brute, mode, seed)
        many_thetas(likelihood, brute, mode, seed)
        finite_difference_score(likelihood, thetas.points(spec, seed)["inside"], mode)
        compare_moments(likelihood, brute, mode)
        with_another_response(likelihood, brute, mode, seed)
        done += [f"{mode} finite-difference score", f"{mode} moments", f"{mode} with_response", f"{mode} many θ"]
    invariance_checks(kind, spec, seed=seed)
    return [*done, "row order", "term order", "scale of y", "replicated rows"]


def sizes(brute: Brute) -> Float:
    """‖V_j‖_F / √n: the size of each parameter's pattern, in whose units arrays over parameters are compared."""
    return np.array([np.linalg.norm(V) for V in brute.patterns]) / np.sqrt(brute.spec.n)


def _in_units(values: Float, units: Float) -> Float:
    """Allowed size of each entry: the largest, in the units of the parameters."""
    outer = units if values.ndim == 1 else np.outer(units, units)
    return np.abs(values / outer).max() * outer


def compare_evaluations(got: Any, want: BruteEvaluation, where: str, *, rtol: float = BRUTE_FORCE) -> None:
    """Every property and method of an Evaluation (except `draw`) against brute force at the same θ."""
    units, n = sizes(want.model), want.model.spec.n
    assert bool(got.reml) == want.reml, f"{where}: reml is {got.reml}"
    close(got.theta, want.theta, f"{where}: theta")
    close(got.loglik, want.loglik, f"{where}: loglik", rtol=rtol, scale=max(abs(want.loglik), n))
    error = np.sqrt(np.diag(want.beta_cov))
    close(got.beta, want.beta, f"{where}: beta", rtol=rtol, scale=np.abs(want.beta) + error)
    close(got.beta_cov, want.beta_cov, f"{where}: beta_cov", rtol=rtol, scale=np.outer(error, error))
    close(got.Py, want.Py, f"{where}: Py", rtol=rtol)
    for name in ("quad", "trace"):
        value = getattr(want, name)
        close(getattr(got, name), value, f"{where}: {name}", rtol=rtol, scale=_in_units(value, units))
    difference = _in_units(want.quad, units) + _in_units(want.trace, units)
    close(got.score, want.score, f"{where}: score", rtol=rtol, scale=difference)
    _compare_informations(got, want, where, units, rtol)
    _compare_residual(got, want, where, rtol)
    _compare_effects(got, want, where, rtol)


def _compare_informations(got: Any, want: BruteEvaluation, where: str, units: Float, rtol: float) -> None:
    average = _in_units(want.average_information, units)
    expected = _in_units(want.expected_information, units)
    close(got.average_information, want.average_information, f"{where}: average_information", rtol=rtol, scale=average)
    close(
        got.expected_information, want.expected_information, f"{where}: expected_information", rtol=rtol, scale=expected
    )
    both = 2 * average + expected
    close(got.observed_information, want.observed_information, f"{where}: observed_information", rtol=rtol, scale=both)
    for name in ("cross_trace", "cross_quad"):
        cross = getattr(want, name)
        close(getattr(got, name), cross, f"{where}: {name}", rtol=rtol, scale=_in_units(cross, units))
    error = np.sqrt(np.diag(want.beta_cov))
    largest = np.abs(want.beta_cov_gradient / np.outer(error, error) / units[:, None, None]).max(initial=0.0)
    size = largest * units[:, None, None] * np.outer(error, error)
    close(got.beta_cov_gradient, want.beta_cov_gradient, f"{where}: beta_cov_gradient", rtol=rtol, scale=size)


def _compare_residual(got: Any, want: BruteEvaluation, where: str, rtol: float) -> None:
    """What a residual of correlated rows asks of an evaluation beyond the sums that θ has."""
    spec = want.model.spec
    if not spec.correlated_residual:
        return
    term = spec.residual
    Z = [design_matrix(term, a) for a in range(term.k)]
    traces = np.array([[np.sum((want.T @ one) * two) for two in Z] for one in Z])
    there = sigma_of(term.structure, np.ones(len(term.structure.pairs))) != 0.0
    found = np.where(there, got.residual_traces, 0.0)
    close(found, np.where(there, traces, 0.0), f"{where}: residual_traces", rtol=rtol, scale=np.abs(traces).max())
    D = np.random.default_rng(2).standard_normal((2, len(want.theta))) * want.theta
    for kind in ("average", "expected", "observed"):
        along = D @ getattr(want, f"{kind}_information") @ D.T
        # far from the maximum the average information is many times the expected one, and has its rounding
        size = np.maximum(np.abs(np.diagonal(D @ want.expected_information @ D.T)), np.abs(np.diagonal(along)))
        size = np.sqrt(np.outer(size, size))
        close(
            got.information_along(kind, D),
            along,
            f"{where}: {kind} information along directions",
            rtol=10 * rtol,
            scale=size,
        )


def _compare_effects(got: Any, want: BruteEvaluation, where: str, rtol: float) -> None:
    spec = want.model.spec
    U = np.random.default_rng(1).standard_normal((spec.n, 3))
    close(got.solve(U), want.solve(U), f"{where}: solve", rtol=rtol)
    close(got.project(U), want.project(U), f"{where}: project", rtol=rtol)
    for i, term in enumerate(spec.terms):
        prior = np.sqrt(np.maximum(np.diag(want.effects_cov(i)), 0)).reshape(term.q, term.k).max(axis=0)
        blup = want.blup(i)
        size = np.maximum(prior, np.abs(blup).max(axis=0))
        close(got.blup(i), blup, f"{where}: blup of {term.name}", rtol=rtol, scale=size)
        for known in (False, True):
            what = f"{where}: prediction_cov of {term.name}, fixed_known={known}"
            cov = want.prediction_cov(i, fixed_known=known)
            close(got.prediction_cov(i, fixed_known=known), cov, what, rtol=rtol, scale=np.outer(prior, prior))


def finite_difference_score(likelihood: Any, theta: Float, where: str) -> None:
    """Score and observed information against central differences of loglik and score, no brute force involved."""
    at = likelihood.at(theta)
    sigmas = likelihood.spec.sigmas(theta)
    roots = [np.sqrt(np.abs(np.diag(S))) for S in sigmas]
    step = 1e-4 * np.array([roots[w.term][w.a] * roots[w.term][w.b] for w in likelihood.spec.index])
    score, information = np.empty(len(theta)), np.empty((len(theta),) * 2)
    for j, h in enumerate(step):
        move = h * np.eye(len(theta))[j]
        up, down = likelihood.at(theta + move), likelihood.at(theta - move)
        score[j] = (up.loglik - down.loglik) / (2 * h)
        information[j] = -(up.score - down.score) / (2 * h)
    size = np.abs(np.asarray(at.observed_information) * np.outer(step, step)).max() / np.outer(step, step)
    close(
        at.observed_information, information, f"{where}: finite differences of the score", rtol=DERIVATIVE, scale=size
    )
    size = np.abs(np.asarray(at.score) * step).max() / step + 1e-4 * likelihood.spec.n / (step * 1e4)
    close(at.score, score, f"{where}: finite differences of the log-likelihood", rtol=DERIVATIVE, scale=size)


MANY = 1e-9  # `marginals` against one evaluation each
SINGLE = (
    *("loglik", "beta", "beta_cov", "Py", "quad", "trace", "score", "cross_trace", "cross_quad", "beta_cov_gradient"),
    *("average_information", "expected_information", "observed_information"),
)


def alone(likelihood: Any, brute: Brute, where: str, seed: int) -> None:
    """Each part asked for first, at a fresh evaluation, is what it is when asked for last: no order of questions."""
    at = thetas.points(brute.spec, seed)
    want = brute.at(at["inside"])
    for name in SINGLE:
        likelihood.at(at["inside too"])
        value = np.asarray(getattr(want, name))
        got = getattr(likelihood.at(at["inside"]), name)
        close(got, value, f"{where}: {name} asked for first", rtol=100 * BRUTE_FORCE)


def many_thetas(likelihood: Any, brute: Brute, where: str, seed: int) -> None:
    """`marginals` of all θ, of one that has no density and of none equal what an evaluation says of each."""
    spec = brute.spec
    points = list(thetas.points(spec, seed).values())
    points += [thetas.interior(spec, np.random.default_rng(seed + 100 + i)) for i in range(5)]
    impossible = spec.theta([*(0.0 * S for S in spec.sigmas(points[0])[:-1]), -spec.sigmas(points[0])[-1]])
    for model in (likelihood, likelihood.with_response(spec.y[::-1].copy())):
        found = marginals(model, np.array([impossible, *points]))
        assert found.loglik[0] == -np.inf, f"{where}: V is not positive definite, the log-likelihood {found.loglik[0]}"
        for i, theta in enumerate(points, start=1):
            at, what = model.at(theta), f"{where}, θ {i} of many"
            close(found.loglik[i], at.loglik, f"{what}: loglik", rtol=MANY, scale=max(abs(at.loglik), spec.n))
            error = np.sqrt(np.diag(at.beta_cov))
            close(found.beta[i], at.beta, f"{what}: beta", rtol=MANY, scale=np.abs(at.beta) + error)
            cov = found.root[i] @ found.root[i].T
            close(cov, at.beta_cov, f"{what}: root of beta_cov", rtol=MANY, scale=np.outer(error, error))
        shape = [part.shape for part in (found.loglik, found.beta, found.root)]
        K, p = len(points) + 1, spec.p
        assert shape == [(K,), (K, p), (K, p, p)], f"{where}: many θ have the shapes {shape}"
        none = marginals(model, np.empty((0, len(spec.index))))
        assert none.root.shape == (0, p, p), f"{where}: no θ has the shape {none.root.shape}"


def compare_moments(likelihood: Any, brute: Brute, where: str) -> None:
    """S and q of the moment equations against explicitly formed M V_j M."""
    units = sizes(brute) * (1.0 if brute.spec.weights is None else np.sqrt(np.mean(brute.spec.weights**2)))
    (S, q), (S0, q0) = likelihood.moments(), brute.moments()
    close(S, S0, f"{where}: S of the moment equations", scale=_in_units(S0, units))
    close(q, q0, f"{where}: q of the moment equations", scale=_in_units(q0, units))


def with_another_response(likelihood: Any, brute: Brute, where: str, seed: int) -> None:
    """`with_response` equals a likelihood made afresh, and leaves the first one as it was."""
    spec = brute.spec
    theta = thetas.points(spec, seed)["inside"]
    before = likelihood.at(theta).loglik
    y = np.random.default_rng(seed + 5).standard_normal(spec.n) * np.std(spec.response)
    compare_evaluations(likelihood.with_response(y).at(theta), brute.with_response(y).at(theta), f"{where}, new y")
    after = likelihood.at(theta).loglik
    assert before == after, f"{where}: with_response changed the likelihood it was called on"


def invariance_checks(kind: Any, spec: ModelSpec, *, seed: int = 0, reml: bool = True) -> None:
    """Row order, term order, the unit of y, and rows replicated in the place of weights."""
    theta = thetas.points(spec, seed)["inside"]
    rng = np.random.default_rng(seed + 9)
    want = Brute(spec, reml).at(theta)
    order = rng.permutation(spec.n)
    shuffled = transform.take_rows(spec, order)
    compare_evaluations(kind(shuffled, reml=reml).at(theta), Brute(shuffled, reml).at(theta), "rows in another order")
    close(kind(shuffled, reml=reml).at(theta).score, want.score, "score, rows in another order", scale=_size(want))
    if len(spec.terms) > 1:
        back = list(range(len(spec.terms)))[::-1]
        turned, theta_turned = transform.take_terms(spec, back), transform.theta_in_order(spec, theta, back)
        got = kind(turned, reml=reml).at(theta_turned)
        compare_evaluations(got, Brute(turned, reml).at(theta_turned), "terms in another order")
        close(got.loglik, want.loglik, "loglik, terms in another order", scale=abs(want.loglik) + spec.n)
    _scale_of_y(kind, spec, theta, want, reml)
    _replicated_rows(kind, spec, theta, reml, rng)


def _size(want: BruteEvaluation) -> Float:
    units = sizes(want.model)
    return _in_units(want.quad, units) + _in_units(want.trace, units)


def _scale_of_y(kind: Any, spec: ModelSpec, theta: Float, want: BruteEvaluation, reml: bool) -> None:
    """ℓ(cy, c²θ) = ℓ(y, θ) − (n − p) log c (n log c by ML); c² · score is unchanged."""
    df = spec.n - spec.p if reml else spec.n
    for c in (1e-6, 1e6):
        scaled = transform.with_y(spec, lambda y, c=c: c * y)  # type: ignore[misc]
        got = kind(scaled, reml=reml).at(c**2 * theta)
        size = abs(want.loglik) + df * abs(np.log(c))
        close(got.loglik, want.loglik - df * np.log(c), f"loglik of {c:g} y", scale=size)
        close(c**2 * np.asarray(got.score), want.score, f"score of {c:g} y", scale=_size(want))
        close(np.asarray(got.beta) / c, want.beta, f"beta of {c:g} y", scale=np.abs(want.beta) + 1e-300)


def _replicated_rows(kind: Any, spec: ModelSpec, theta: Float, reml: bool, rng: np.random.Generator) -> None:
    """r rows of one mean say the same about β and u as one row of weight r."""
    if spec.correlated_residual:
        return  # true of rows with independent errors
    copies = rng.integers(1, 4, spec.n)
    heavy = transform.reweighted(spec, copies.astype(float))
    many = transform.replicated(spec, copies, float(np.std(spec.response)), rng)
    weighted, repeated = Brute(heavy, reml).at(theta), kind(many, reml=reml).at(theta)
    if kind.cost(heavy) is not None:
        compare_evaluations(kind(heavy, reml=reml).at(theta), weighted, "weights")
    error = np.sqrt(np.diag(weighted.beta_cov))
    close(repeated.beta, weighted.beta, "beta of replicated rows", scale=np.abs(weighted.beta) + error)
    close(repeated.beta_cov, weighted.beta_cov, "beta_cov of replicated rows", scale=np.outer(error, error))
    random = [j for j, w in enumerate(spec.index) if w.term < len(spec.terms)]
    size = _size(weighted)[random]
    close(repeated.score[random], weighted.score[random], "score of replicated rows", scale=size)
    for i, term in enumerate(spec.terms):
        prior = np.sqrt(np.diag(weighted.effects_cov(i))).reshape(term.q, term.k).max(axis=0)
        close(repeated.blup(i), weighted.blup(i), f"blup of {term.name}, replicated rows", scale=10 * prior)


def draw_checks(kind: Any, spec: ModelSpec, *, draws: int = 2000, seed: int = 0, other_response: bool = False) -> None:
    """Mean and covariance of `draw` by Monte Carlo: |z| < 4 for each mean and each product of two effects.

    The products are taken in the eigenvectors of the joint posterior covariance, where they are uncorrelated.
    With `other_response` the likelihood is asked through ``with_response``.
    """
    theta = thetas.points(spec, seed)["inside"]
    y = np.asarray(spec.y) + 10 * np.std(spec.response) if other_response else np.asarray(spec.y)
    likelihood = kind(spec, reml=True).with_response(y) if other_response else kind(spec, reml=True)
    evaluation, brute = likelihood.at(theta), Brute(spec, True).with_response(y).at(theta)
    mean, cov = brute.joint_posterior()
    rng = np.random.default_rng(seed)
    samples = np.empty((draws, len(mean)))
    for row in samples:
        beta, effects = evaluation.draw(rng)
        row[:] = np.concatenate([beta, *(np.asarray(u).ravel() for u in effects[: len(spec.terms)])])
    values, vectors = np.linalg.eigh(cov)
    real = values > 1e-10 * values[-1]
    close((samples - mean) @ vectors[:, ~real], np.zeros((draws, (~real).sum())), "draws off their support", scale=1.0)
    white = (samples - mean) @ vectors[:, real] / np.sqrt(values[real])
    z_scores(white, np.zeros(real.sum()), "mean of draws")
    some = white[:, :: max(1, real.sum() // 12)]
    products = np.einsum("si,sj->sij", some, some)
    z_scores(products, np.eye(some.shape[1]), "covariance of draws")
