"""The first five iterates of each iteration on six rows, by plain dense algebra from the definitions."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from mixedvc.estimators import EM, MM, PXEM, Fisher
from mixedvc.testing import assemble, kernels
from mixedvc.testing.brute import Brute, design_matrix, known_covariance, pattern
from mixedvc.testing.optimum import quiet

TRACE = {"rtol": 1e-10, "atol": 1e-13}
WEIGHTS = np.array([1.0, 2.0, 0.5, 1.5, 1.0, 0.8])
G, H = np.array(list("aabbcc")), np.array(list("xyxyyx"))


def one_scalar():
    A = np.array([[1.0, 0.5, 0.25], [0.5, 1.0, 0.0], [0.25, 0.0, 1.2]])
    term = assemble.term("g", G, covariance=kernels.known_dense(A, np.array(list("abc"), dtype=object)))
    return assemble.spec([-1.7, -3.4, 7.6, 2.1, -3.6, -1.4], np.ones((6, 1)), [term], weights=WEIGHTS), {
        "g": 9.0,
        "residual": 4.0,
    }


def two_scalars():
    terms = [assemble.term("g", G), assemble.term("h", H)]
    X = np.column_stack([np.ones(6), [0.0, 1.0, 2.0, 0.5, 1.5, 1.0]])
    return assemble.spec([-0.7, 1.7, -7.7, -1.2, -3.8, -9.1], X, terms, weights=WEIGHTS), {
        "g": 7.0,
        "h": 8.0,
        "residual": 1.0,
    }


def one_vector():
    x = np.array([0.0, 1.0, 2.0, 0.3, 1.0, 2.5])
    term = assemble.term("g", G, basis=np.column_stack([x, np.ones(6)]))
    spec = assemble.spec([9.7, 3.0, -2.5, 2.9, 5.6, 1.9], np.ones((6, 1)), [term])
    return spec, {"g": [[15.0, -12.5], [-12.5, 14.0]], "residual": 3.3}


CASES = {f.__name__: f for f in (one_scalar, two_scalars, one_vector)}


def moments(spec, at, i):
    """Q and M (k×k) of term i: (Py)ᵀZ_aAZ_bᵀPy and tr(T Z_aAZ_bᵀ)."""
    term = spec.all_terms[i]
    A, Z = known_covariance(term), [design_matrix(term, a) for a in range(term.k)]
    Q = np.array([[at.Py @ Za @ A @ Zb.T @ at.Py for Zb in Z] for Za in Z])
    M = np.array([[np.trace(at.T @ Za @ A @ Zb.T) for Zb in Z] for Za in Z])
    return Q, M


def em_by_hand(spec, at):
    new = []
    for i, Sigma in enumerate(spec.sigmas(at.theta)):
        Q, M = moments(spec, at, i)
        q = np.linalg.matrix_rank(known_covariance(spec.all_terms[i]))
        new.append(Sigma + Sigma @ (Q - M) @ Sigma / q)
    return spec.theta(new)


def mm_by_hand(spec, at):
    new = []
    for i, Sigma in enumerate(spec.sigmas(at.theta)):
        Q, M = moments(spec, at, i)
        half = np.real(sqrtm(M))
        inner = np.real(sqrtm(half @ Sigma @ Q @ Sigma @ half))
        new.append(np.linalg.solve(half, np.linalg.solve(half, inner).T))
    return spec.theta(new)


def pxem_by_hand(spec, at):
    """Posterior of g = (g_1, …, g_R) and e as one Gaussian; least squares for the scales in it."""
    n, R = spec.n, len(spec.terms)
    W = np.eye(n) if spec.weights is None else np.diag(spec.weights)
    covs = [sum(at.theta[j] * pattern(t, w.a, w.b) for j, w in enumerate(spec.index) if w.term == i)
            for i, t in enumerate(spec.all_terms)]  # fmt: skip
    mean = [C @ at.Py for C in covs]
    cov = [[(i == j) * covs[i] - covs[i] @ at.T @ covs[j] for j in range(R + 1)] for i in range(R + 1)]
    E = np.array([[mean[i] @ W @ mean[j] + np.trace(W @ cov[i][j]) for j in range(R + 1)] for i in range(R + 1)])
    hess = E[:R, :R]
    if at.reml:  # β is integrated out: y − Xβ = Σ g + e
        b, whole = E[:R].sum(axis=1), E.sum()
    else:
        rest = spec.response - spec.X @ at.beta
        b, whole = np.array([mean[i] @ W @ rest for i in range(R)]), rest @ W @ rest
    delta = np.linalg.solve(hess, b)
    sigmas = spec.sigmas(em_by_hand(spec, at))
    residual = (whole - 2 * delta @ b + delta @ hess @ delta) / n
    return spec.theta([*(d**2 * S for d, S in zip(delta, sigmas, strict=False)), np.array([[residual]])])


def fisher_by_hand(spec, at):
    """Scoring in the entries of a lower triangular root of each vector term, in θ elsewhere."""
    coordinates, J, bend = [], [], []
    for i, (term, Sigma) in enumerate(zip(spec.all_terms, spec.sigmas(at.theta), strict=True)):
        where = [j for j, w in enumerate(spec.index) if w.term == i]
        if term.k == 1:
            coordinates.append((i, None, None))
            J.append(np.eye(len(at.theta))[where[0]])
            continue
        L = np.linalg.cholesky(Sigma)
        for a in range(term.k):
            for c in range(a + 1):
                step = np.zeros_like(L)
                step[a, c] = 1.0
                full = np.zeros(len(at.theta))
                full[where] = [(step @ L.T + L @ step.T)[x, y] for x, y in term.structure.pairs]
                coordinates.append((i, a, c))
                J.append(full)
    J = np.array(J)
    bend = np.zeros((len(J), len(J)))
    for s, (i, a, c) in enumerate(coordinates):
        for t, (k, b, d) in enumerate(coordinates):
            if i == k and a is not None and c == d:  # ∂²(LLᵀ)/∂L_ac∂L_bc = E_ab + E_ba
                score = at.score[next(j for j, w in enumerate(spec.index) if w.term == i and {w.a, w.b} == {a, b})]
                bend[s, t] = 2.0 * score if a == b else score
    move = np.linalg.solve(J @ at.expected_information @ J.T - bend, J @ at.score)
    new = spec.sigmas(at.theta)
    roots = {i: np.linalg.cholesky(new[i]) for i, a, _ in coordinates if a is not None}
    for (i, a, c), change in zip(coordinates, move, strict=True):
        if a is None:
            new[i] = new[i] + change
        else:
            roots[i][a, c] += change
    return spec.theta([roots[i] @ roots[i].T if i in roots else S for i, S in enumerate(new)])


BY_HAND = {
    "em": (EM, em_by_hand),
    "mm": (MM, mm_by_hand),
    "pxem": (PXEM, pxem_by_hand),
    "fisher": (Fisher, fisher_by_hand),
}


@pytest.mark.parametrize("restricted", [True, False])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", BY_HAND)
def test_the_first_five_iterates_are_those_of_plain_dense_algebra(name, case, restricted):
    cls, by_hand = BY_HAND[name]
    spec, start = CASES[case]()
    options = {} if name == "fisher" else {"accelerate": None}
    with quiet():
        fit = cls(start=start, restricted=restricted, max_iter=6, tol=1e-30, **options).fit(spec)
    rows = [row for row in fit.trace if row.accepted and row.iteration <= 5]
    damped = [row.iteration for row in rows if row.step < 1.0]  # scoring overshoots in one of the cases
    assert len(rows) == 6
    assert not damped or (name, case) == ("fisher", "one_vector")
    traced = np.array([row.theta for row in rows[: min(damped, default=6)]])
    assert len(traced) >= 3
    brute, theta = Brute(spec, restricted), traced[0]
    np.testing.assert_allclose(theta[-1], start["residual"], rtol=1e-14, atol=0)
    hand = [theta]
    for _ in traced[1:]:
        hand.append(by_hand(spec, brute.at(hand[-1])))
    np.testing.assert_allclose(traced, np.array(hand), **TRACE)
